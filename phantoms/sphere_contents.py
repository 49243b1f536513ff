"""What each hot sphere of the NEMA phantom holds beside its siblings: less than they do, and why.

Every sphere is fitted with the blurred profile (`phantoms.spheres`). What the other five hold and how wide they are
blurred foretells what this one must read; how far it is off is held against the standard error that the image's own
noise and the others' own scatter give that very difference. So a sphere is odd only beside siblings that agree, and
where the model does not fit the image, nothing is named.

Air gathers at the top of a sphere and leaves a cold cap there; a wrong filling is even. Both are fitted to the
voxels of an odd sphere, and one is named where the image tells them apart.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from scipy import linalg, special, stats

from phantoms.background_columns import correlated_voxels
from phantoms.blurred_cap import BlurredCaps
from phantoms.spheres import DIAMETERS_MM, FWHM_PER_SIGMA, least_squares, sphere_model

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from phantoms.artefacts import Noise
    from phantoms.localise import NemaPose
    from phantoms.volume import PetVolume

#: How often one of the six spheres of a faultless phantom may be called odd.
FALSE_NAMES = 0.005
#: The smallest loss that matters, per cent of the filling (the lab's rule, no confirmed source); half of it is named.
MATTERS_PCT = 10.0
#: A bubble and a misfill are told apart where the likelier one leads by this many standard deviations.
APART_SD = 2.0

# Up to this size a sphere's voxels count by the noise's covariance, in a whole box: its corners see neither insert nor
# neighbour. Larger spheres show a fault of the size that matters without, and only the ball about them is free.
_WHITENED_TO_MM = 17
# In a broader blur they count alike: the noise is as broad, and its correlation, read up to where it falls under 0.05,
# says too little of the fine parts that such weights lean on.
_WHITENED_TO_FWHM_MM = 10.0
# The share of the noise taken as not correlated in those weights: of its finest parts an image tells little, and were
# they believed, an error of a hundredth in them would outweigh all else.
_UNCORRELATED = 0.1
_STEM_MM = 0.7  # how far a sphere may stand off the ring
_SKIN_MM = 9.0
_LUNG_KEEPOUT_MM = 33.0
_FREE_FROM_MM = 17  # under it a broad blur looks like a low filling: such a sphere bears on one number only
_MODEL_PCT = 0.5  # what the model is off by where there is no noise
# The wall is taken as thin. A cold one of 1 mm displaces background; a quarter of that, as a share of the sphere's hot
# contents, is what the fits do not take up in a wider or narrower blur (seen at 4:1 and 10:1).
_WALL_MM, _WALL_LEFT = 1.0, 0.25
_SHARES = np.array([0.03, 0.06, 0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.5, 0.6, 0.75])
_UPWARDS = {"anterior": -1.0, "posterior": 1.0}  # along +y of the patient; most phantoms lie as a supine patient does
_CAPS = tuple((side, share) for side in _UPWARDS for share in (0.1, 0.3))
# An even loss and each cap, in each sphere.
_LOOKS = len(DIAMETERS_MM) * (1 + len(_CAPS))
_ONE_SIDED_95 = 1.645
# Columns of what is fitted to a patch: three of shift, background, filling, blur, a cap of each kind, the residual.
_FILLING, _BLUR, _FIRST_CAP = 4, 5, 6
_Z = float(-special.ndtri(-math.expm1(math.log1p(-FALSE_NAMES) / _LOOKS)))


@dataclass(frozen=True)
class OddSphere:
    """One sphere that holds less than its siblings.

    Attributes
    ----------
    diameter_mm : int
    loss_pct, loss_sd_pct : float
        How much less it holds than the others foretell, per cent of the filling, and its standard error.
    cause : "bubble", "misfill" or "either"
    apart_sd : float
        By how many standard deviations a cold cap at the top explains the voxels better than an even loss (negative:
        worse).
    bubble_pct : float
        The share of the volume that the cap which fits best takes up, per cent.
    upwards : "anterior" or "posterior"
        On which side that cap lies.
    place_lps_mm : ndarray, shape (3,)
        The sphere's place on the ring.
    filling, background, sigma_mm : float
        What the others foretell of it, and its own surroundings: concentrations in the image's unit, and the blur.
    """

    diameter_mm: int
    loss_pct: float
    loss_sd_pct: float
    cause: Literal["bubble", "misfill", "either"]
    apart_sd: float
    bubble_pct: float
    upwards: str
    place_lps_mm: NDArray[np.float64]
    filling: float
    background: float
    sigma_mm: float


@dataclass(frozen=True)
class Contents:
    """The six spheres beside each other.

    ``filling_pct`` is how far each sphere's filling is off what the others foretell, by diameter, with its standard
    error ``filling_sd_pct``; ``limit_pct`` is the smallest bubble, per cent of the sphere's volume, that this image
    shows in 95 of 100 scans, known to ``limit_sd_pct``; ``odd`` is the one that is off, if one is.
    """

    filling_pct: Mapping[int, float]
    filling_sd_pct: Mapping[int, float]
    limit_pct: Mapping[int, float]
    limit_sd_pct: Mapping[int, float]
    odd: OddSphere | None


def compare(
    volume: PetVolume, pose: NemaPose, noise: Noise, sigma_mm: float, half_noises: Sequence[Noise] = ()
) -> Contents | None:
    """Hold each sphere's filling against its siblings'.

    Parameters
    ----------
    volume : PetVolume
        Along patient axes.
    pose : NemaPose
    noise : Noise
        Of the background (`phantoms.background_columns`).
    sigma_mm : float
        Standard deviation of the blur, as a first guess.
    half_noises : sequence of Noise
        What halves of the background say of it (`phantoms.background_columns.Columns`): how surely it is known.

    Returns
    -------
    Contents or None
        None where two spheres are cold, the image cuts a sphere, or a fit does not settle.
    """
    if pose.cold_spheres:
        return None
    places = _ring_places(pose)
    settled = []
    for diameter in DIAMETERS_MM:
        is_whitened = diameter <= _WHITENED_TO_MM and sigma_mm * FWHM_PER_SIGMA <= _WHITENED_TO_FWHM_MM
        patch = _Patch.around(volume, places[diameter], diameter / 2.0, pose, is_box=is_whitened)
        one = _settled(patch, diameter, pose, noise, sigma_mm, is_whitened=is_whitened) if patch is not None else None
        if one is None:
            return None
        settled.append(one)
    looks = _looks([one.weighed(noise) for one in settled])
    by_half = np.array(
        [[one.least_pct_of_noise for one in _looks([each.weighed(half) for each in settled])] for half in half_noises]
    ).reshape(-1, len(looks))
    odd: list[tuple[float, _Look, _Loss]] = []
    off, sd, limit, limit_sd = {}, {}, {}, {}
    for k, look in enumerate(looks):
        diameter = look.fit.diameter
        off[diameter], sd[diameter] = -look.even.pct, look.even.sd_pct
        limit[diameter] = float(_limit_pct(look.least_pct))
        limit_sd[diameter] = _limit_sd_pct(look, by_half[:, k])
        loss = max((look.even, *look.caps), key=lambda one: one.pct / one.sd_pct)
        if loss.pct > _threshold_pct(loss.sd_pct):
            odd.append((loss.pct / loss.sd_pct, look, loss))
    if not odd:
        return Contents(off, sd, limit, limit_sd, None)
    _, look, loss = max(odd, key=lambda one: one[0])
    return Contents(off, sd, limit, limit_sd, _explain(look.fit, loss, look.common))


@dataclass(frozen=True)
class _Look:
    """One sphere beside the others: an even loss in it, and each cap."""

    fit: _SphereFit
    common: _Common
    even: _Loss
    caps: tuple[_Loss, ...]

    @property
    def least_pct(self) -> float:
        """The standard error of the loss that shows best."""
        return min(one.sd_pct for one in (self.even, *self.caps))

    @property
    def least_pct_of_noise(self) -> float:
        """The same without what the others scatter beyond their noise."""
        return self.least_pct / math.sqrt(self.common.scatter)


def _looks(fits: list[_SphereFit]) -> list[_Look]:
    """Hold each sphere beside the others."""
    looks = []
    for fit in fits:
        common = _Common.of([one for one in fits if one is not fit])
        caps = tuple(_cap_trial(fit, common, k) for k in range(len(_CAPS)))
        # What a cap explains is no doubt about the model: only the rest of the scatter is.
        excess = min(1.0, *(one.excess for one in caps))
        foretold, foretold_sd = common.foretell(fit)
        own_sd = math.sqrt(common.scatter * excess * fit.variance[0, 0])
        off_pct = 100.0 * (fit.filling / foretold - 1.0)
        sd_pct = 100.0 * math.hypot(own_sd / foretold, foretold_sd / foretold, _model_sd(fit))
        looks.append(_Look(fit, common, _Loss(-off_pct, sd_pct, 1.0), caps))
    return looks


def _threshold_pct(sd_pct: float) -> float:
    """Return the loss from which a sphere is odd, where its standard error is ``sd_pct``."""
    return max(_Z * sd_pct, MATTERS_PCT / 2.0)


def _limit_pct(sd_pct: float) -> float:
    """Return the loss of which noise hides no more than one in twenty: so far over the threshold as 1.645 SE."""
    return _threshold_pct(sd_pct) + _ONE_SIDED_95 * sd_pct


def _limit_sd_pct(look: _Look, by_half: NDArray[np.float64]) -> float:
    """Return the SD of the smallest bubble, which hangs on a standard error and scatters as that does.

    The error goes with the noise, its strength and its correlation: as surely as halves of the background tell it. And
    it goes with k, by how much the other spheres scatter more than they may: k² is max(q χ²/ν, 1), q the share of noise
    in what they may be off by and χ² of ν degrees of freedom, as the rest is the model's and does not scatter. The
    threshold stays at 5 % up to some error and rises from there, so the limit is no multiple of the error: it is worked
    out for a thousand errors that another noise would give.
    """
    error, common = look.least_pct_of_noise, look.common
    share = math.sqrt(float(np.square(np.log(by_half / error)).mean())) if len(by_half) else 0.0
    levels, off = _chances()
    chi_squares = stats.chi2.ppf(levels, common.noise_freedom)
    scatter = np.sqrt(np.maximum(common.noise_share / common.noise_freedom * chi_squares, 1.0))
    return float(np.std([_limit_pct(one) for one in error * scatter * np.exp(share * off)]))


@lru_cache
def _chances() -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return a thousand levels, and as many quantiles of the normal law in an order of their own."""
    levels = (np.arange(1000, dtype=np.float64) + 0.5) / 1000.0
    return np.asarray(levels, dtype=np.float64), np.asarray(special.ndtri(np.random.default_rng(0).permutation(levels)))


def _model_sd(fit: _SphereFit) -> float:
    """Return what the model may be off by in one sphere's filling without any noise, as a fraction of it."""
    displaced = 6.0 * _WALL_MM / fit.diameter / max(fit.filling / fit.background - 1.0, 0.5)
    return math.hypot(_MODEL_PCT / 100.0, _WALL_LEFT * displaced)


def _ring_places(pose: NemaPose) -> dict[int, NDArray[np.float64]]:
    """Return where the spheres belong on the rigid ring; their own centres may have given way to a bubble."""
    turn = np.arange(len(DIAMETERS_MM)) * (math.pi / 3.0)
    directions = np.outer(np.cos(turn), pose.frame[:, 0]) + np.outer(np.sin(turn), pose.frame[:, 1])
    places = pose.center_lps_mm + pose.ring_radius_mm * directions
    return dict(zip(DIAMETERS_MM, places, strict=True))


@dataclass(frozen=True)
class _Patch:
    """The voxels about one sphere: a box, which of its voxels count, their places from the sphere's, and values."""

    place_lps_mm: NDArray[np.float64]
    inside: NDArray[np.bool_]  # [z, y, x]
    offset_mm: NDArray[np.float64]  # [n, 3]
    values: NDArray[np.float64]  # [n]

    @classmethod
    def around(
        cls, volume: PetVolume, place: NDArray[np.float64], radius_mm: float, pose: NemaPose, *, is_box: bool
    ) -> _Patch | None:
        reach_mm = radius_mm + _SKIN_MM
        half = reach_mm / np.array(volume.spacing_zyx_mm)
        middle = volume.to_index_zyx(place)
        low, high = np.ceil(middle - half).astype(int), np.floor(middle + half).astype(int) + 1
        if np.any(low < 0) or np.any(high > np.array(volume.image.shape)):
            return None
        grid = np.stack(np.meshgrid(*(np.arange(a, b) for a, b in zip(low, high, strict=True)), indexing="ij"), axis=-1)
        lps_mm = volume.to_lps_mm(grid.astype(np.float64))
        sideways = np.cross(lps_mm - pose.center_lps_mm, pose.axis)
        inside = np.linalg.norm(sideways, axis=-1) > _LUNG_KEEPOUT_MM
        if not is_box:
            inside &= np.linalg.norm(lps_mm - place, axis=-1) <= reach_mm
        box = volume.image[low[0] : high[0], low[1] : high[1], low[2] : high[2]]
        return cls(place, inside, (lps_mm - place)[inside], box[inside].astype(np.float64))


@dataclass(frozen=True)
class _Waves:
    """The noise of a box of voxels in parts that vary each for itself, and what each part counts with.

    Attributes
    ----------
    vectors_zyx : tuple of ndarray
        Along each axis the eigenvectors of the noise's correlation, in columns.
    power, weight : ndarray, shape (parts,)
        Variance of each part over a voxel's, and its weight in sums of squares.
    together : float
        How many times too much such sums are taken to say: 1 where the weights are those of the noise.
    """

    vectors_zyx: tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]
    power: NDArray[np.float64]
    weight: NDArray[np.float64]
    together: float

    @classmethod
    def of(cls, noise: Noise, shape_zyx: tuple[int, ...], *, is_whitened: bool) -> _Waves:
        (z, at_z), (y, at_y), (x, at_x) = (
            _eigen(by_lag, size) for by_lag, size in zip(noise.correlation, shape_zyx, strict=True)
        )
        power = (z[:, None, None] * y[:, None] * x).ravel()
        if not is_whitened:
            return cls((at_z, at_y, at_x), power, np.ones(power.shape), math.prod(correlated_voxels(noise)))
        weight = 1.0 / ((1.0 - _UNCORRELATED) * power + _UNCORRELATED)
        return cls((at_z, at_y, at_x), power, weight, 1.0)

    def seen(self, columns: NDArray[np.float64], inside: NDArray[np.bool_]) -> NDArray[np.float64]:
        """Return columns of voxels ``[k, n]`` as these parts, shape (k, parts)."""
        boxes = np.zeros((len(columns), *inside.shape))
        boxes[:, inside] = columns
        z, y, x = self.vectors_zyx
        boxes = np.matmul(y.T, boxes @ x)
        return np.asarray((z.T @ boxes.reshape(len(columns), len(z), -1)).reshape(len(columns), -1))


def _eigen(by_lag: NDArray[np.float64], size: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return eigenvalues and eigenvectors of the correlation of a row of voxels, shapes (size,) and (size, size).

    A correlation that is read off an image and ends at a lag is no possible one: it would give some contrasts a
    variance under nothing. The nearest that is possible keeps the parts of it that are not negative.
    """
    lags = np.zeros(size)
    lags[: len(by_lag)] = by_lag[:size]
    values, vectors = np.linalg.eigh(linalg.toeplitz(lags))
    return np.maximum(values, 0.0), vectors


@dataclass(frozen=True)
class _SphereFit:
    """One sphere with the common blur: its filling, how that hangs on the blur, and the blur that it asks for itself.

    Attributes
    ----------
    filling, background, own_sigma_mm, by_sigma : float
        Concentrations in the image's unit; ``by_sigma`` is how much more filling the same voxels need where the blur
        is assumed wider by one millimetre.
    variance : ndarray, shape (2, 2)
        Covariance of filling and own blur.
    voxel_sd : ndarray, shape (n,)
        Each voxel's noise, raised by the root of ``excess`` where the voxels scatter so much more about the fit.
    point : ndarray, shape (5,)
        Where the products are taken: shift, and background and filling over ``scale``.
    information, spread : ndarray, shape (columns, columns)
        Weighted products of what is fitted, and the covariance that the noise gives them with the residual.
    """

    diameter: int
    patch: _Patch
    waves: _Waves
    filling: float
    background: float
    sigma_mm: float
    own_sigma_mm: float
    by_sigma: float
    variance: NDArray[np.float64]
    voxel_sd: NDArray[np.float64]
    excess: float
    scale: float
    point: NDArray[np.float64]
    information: NDArray[np.float64]
    spread: NDArray[np.float64]


def _settled(
    patch: _Patch, diameter: int, pose: NemaPose, noise: Noise, sigma_mm: float, *, is_whitened: bool
) -> _Settled | None:
    radius_mm, scale = diameter / 2.0, pose.background
    hold = _hold(noise, scale * math.sqrt(noise.variance) * math.sqrt(max(pose.contrast, 1.0)))

    def residuals(p: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        values, jacobian = _model(patch, p, radius_mm, sigma_mm, scale)
        return (
            np.concatenate([values - patch.values, hold * p[:3]]),
            np.vstack([np.delete(jacobian, 5, axis=1), hold * np.eye(3, 5)]),
        )

    start = np.array([0.0, 0.0, 0.0, 1.0, pose.contrast])
    low, high = np.array([-4.0, -4.0, -4.0, -10.0, -10.0]), np.array([4.0, 4.0, 4.0, 100.0, 1000.0])
    tolerance = np.array([0.005, 0.005, 0.005, 0.002, 0.005])
    fit = least_squares(residuals, start, low=low, high=high, tolerance=tolerance)
    p = fit.parameters
    if not fit.converged or p[4] <= 0:
        return None
    values, jacobian = _model(patch, p, radius_mm, sigma_mm, scale)
    caps = BlurredCaps(radius_mm, sigma_mm, radius_mm + _SKIN_MM)
    columns = np.stack(
        [
            *jacobian.T,
            *(-scale * caps.image(patch.offset_mm, share, _UPWARDS[side]) for side, share in _CAPS),
            patch.values - values,
        ]
    )
    return _Settled(diameter, patch, sigma_mm, scale, p, values, columns, is_whitened)


@dataclass(frozen=True)
class _Settled:
    """One sphere as least squares have it: ``point`` as of `_SphereFit`, its image, and what is fitted to the rest."""

    diameter: int
    patch: _Patch
    sigma_mm: float
    scale: float
    point: NDArray[np.float64]
    values: NDArray[np.float64]
    columns: NDArray[np.float64]
    is_whitened: bool

    def weighed(self, noise: Noise) -> _SphereFit:
        """Take a step more from here, where every part of the voxels counts by this noise."""
        patch, scale, p = self.patch, self.scale, self.point
        # Counts scatter with the root of the signal; where the voxels scatter more about the fit, that is believed.
        voxel_sd = max(math.sqrt(noise.variance), 1e-4) * scale * np.sqrt(np.maximum(self.values / scale, 0.1))
        waves = _Waves.of(noise, patch.inside.shape, is_whitened=self.is_whitened)
        seen = waves.seen(self.columns / voxel_sd, patch.inside)
        weighted = seen * waves.weight
        information, spread = weighted @ seen.T, (weighted * waves.power) @ weighted.T
        by_chance = float(waves.weight @ waves.power) * float(patch.inside.mean())
        excess = max(float(information[-1, -1]) / by_chance, 1.0)
        information, spread = information / excess, spread / excess
        stem = np.array([*_stem(waves), 0.0, 0.0, 0.0])
        held = information[:_FIRST_CAP, :_FIRST_CAP] + np.diag(stem)
        free, narrow = np.linalg.inv(held), np.zeros(held.shape)
        narrow[:_BLUR, :_BLUR] = np.linalg.inv(held[:_BLUR, :_BLUR])
        told = np.stack([scale * narrow[_FILLING], free[_BLUR]])
        filling, blur = told @ (information[:_FIRST_CAP, -1] - stem * [*p[:3], 0.0, 0.0, 0.0])
        noisy = spread[:_FIRST_CAP, :_FIRST_CAP] + np.diag(stem * waves.together)
        return _SphereFit(
            diameter=self.diameter,
            patch=patch,
            waves=waves,
            filling=float(scale * p[4] + filling),
            background=float(scale * p[3]),
            sigma_mm=self.sigma_mm,
            own_sigma_mm=float(self.sigma_mm + blur),
            by_sigma=-float(told[0] @ information[:_FIRST_CAP, _BLUR]),
            variance=told @ noisy @ told.T,
            voxel_sd=voxel_sd * math.sqrt(excess),
            excess=excess,
            scale=scale,
            point=p,
            information=information,
            spread=spread,
        )


def _stem(waves: _Waves) -> NDArray[np.float64]:
    """Return what ties a centre to the ring: a stem's tolerance, shape (3,), in sums of squares of these weights."""
    return np.full(3, waves.together / _STEM_MM**2)


def _hold(noise: Noise, sd: float) -> float:
    """Return the weight that ties a centre to the ring: a stem's tolerance, in the noise that varies as one."""
    return max(sd, 1e-6) * math.sqrt(math.prod(correlated_voxels(noise))) / _STEM_MM


def _model(
    patch: _Patch, p: NDArray[np.float64], radius_mm: float, sigma_mm: float, scale: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return image and derivatives by shift (3), background, filling (both over ``scale``) and blur."""
    sphere = sphere_model(
        patch.offset_mm,
        center_lps_mm=p[:3],
        radius_mm=radius_mm,
        sigma_mm=sigma_mm,
        amplitude=float(scale * (p[4] - p[3])),
        background=float(scale * p[3]),
    )
    by_background = scale * (1.0 - sphere.profile)
    jacobian = np.column_stack([sphere.by_center, by_background, scale * sphere.profile, sphere.by_sigma])
    return sphere.values, jacobian


@dataclass(frozen=True)
class _Common:
    """The filling and blur that some spheres share, their covariance, and how far beyond it they scatter (1: not).

    That is told by their χ² over its degrees of freedom. ``noise_share`` is its mean where they are off by noise alone
    and not by the model, and ``noise_freedom`` the degrees of freedom of the χ variable that then scatters as it does.
    """

    filling: float
    sigma_mm: float
    covariance: NDArray[Any]
    scatter: float
    noise_share: float
    noise_freedom: float

    def foretell(self, fit: _SphereFit) -> tuple[float, float]:
        """Return what a sphere's filling must read at the blur that its fit assumed, and the standard error of that."""
        bears = np.array([1.0, -fit.by_sigma])
        foretold = self.filling + fit.by_sigma * (fit.sigma_mm - self.sigma_mm)
        return foretold, math.sqrt(self.scatter * float(bears @ self.covariance @ bears))

    @classmethod
    def of(cls, fits: list[_SphereFit]) -> _Common:
        """Fit both by generalised least squares; a small sphere bears on its filling at the assumed blur alone."""
        information, right = np.zeros((2, 2)), np.zeros(2)
        rows = []
        for fit in fits:
            # With the blur assumed at s0 and true at s, a sphere of filling C reads C + by_sigma * (s0 - s).
            design = np.array([[1.0, -fit.by_sigma], [0.0, 1.0]])
            seen = np.array([fit.filling - fit.by_sigma * fit.sigma_mm, fit.own_sigma_mm])
            floor = np.diag([(_model_sd(fit) * fit.filling) ** 2, (_MODEL_PCT / 100.0 * fit.sigma_mm) ** 2])
            count = 2 if fit.diameter >= _FREE_FROM_MM else 1
            inverse = np.linalg.inv((fit.variance + floor)[:count, :count])
            design, seen = design[:count], seen[:count]
            information += design.T @ inverse @ design
            right += design.T @ inverse @ seen
            rows.append((design, seen, inverse, fit.variance[:count, :count]))
        covariance = np.linalg.inv(information)
        best = covariance @ right
        misfits = [seen - design @ best for design, seen, *_ in rows]
        chi = sum(float(miss @ inverse @ miss) for miss, (_, _, inverse, _) in zip(misfits, rows, strict=True))
        freedom = sum(len(miss) for miss in misfits) - 2
        # Noise of the covariance V gives the χ² of M a mean of tr MV and a variance of 2 tr (MV)².
        designs = np.vstack([design for design, *_ in rows])
        weights = linalg.block_diag(*(inverse for _, _, inverse, _ in rows))
        of_noise = (weights - weights @ designs @ covariance @ designs.T @ weights) @ linalg.block_diag(
            *(variance for *_, variance in rows)
        )
        mean = float(np.trace(of_noise))
        return cls(
            filling=float(best[0]),
            sigma_mm=float(best[1]),
            covariance=covariance,
            scatter=max(chi / freedom, 1.0),
            noise_share=mean / freedom,
            noise_freedom=mean**2 / max(float(np.trace(of_noise @ of_noise)), 1e-30),
        )


@dataclass(frozen=True)
class _Loss:
    """What a sphere lacks, per cent of its filling, and the share of the voxels' scatter about its fit that remains."""

    pct: float
    sd_pct: float
    excess: float


def _cap_trial(fit: _SphereFit, common: _Common, which: int) -> _Loss:
    """Fit the depth of one cap beside shift, background and filling, the filling held by the siblings."""
    scale, together = fit.scale, fit.waves.together
    foretold, foretold_sd = common.foretell(fit)
    foretold_sd = math.hypot(foretold_sd, _model_sd(fit) * foretold)
    columns = [*range(_BLUR), _FIRST_CAP + which]
    information, right = fit.information[np.ix_(columns, columns)], fit.information[columns, -1]
    held = np.array([*_stem(fit.waves), 0.0, together * (scale / foretold_sd) ** 2, 0.0])
    off = np.array([*-fit.point[:3], 0.0, foretold / scale - fit.point[4], 0.0])
    inverse = np.linalg.inv(information + np.diag(held))
    found = inverse @ (right + held * off)
    before = float(fit.information[-1, -1])
    remaining = before - 2.0 * float(found @ right) + float(found @ information @ found)
    excess = min(remaining / max(before, 1e-30), 1.0)
    # A fit that left no more than noise to begin with keeps its noise.
    excess = max(excess, 1.0 / fit.excess)
    depth = inverse[-1]
    variance = excess * float(depth @ fit.spread[np.ix_(columns, columns)] @ depth)
    variance += float(depth**2 @ held) * together
    loss_pct = 100.0 * _CAPS[which][1] * scale / foretold
    return _Loss(loss_pct * float(found[-1]), loss_pct * math.sqrt(common.scatter * variance), excess)


# --- bubble or misfill ----------------------------------------------------------------------------


def _explain(fit: _SphereFit, loss: _Loss, common: _Common) -> OddSphere:
    """Fit an even loss and a cold cap to the voxels of an odd sphere, and say which of them is likelier."""
    filling, sigma_mm = common.filling, common.sigma_mm
    even = _best_even(fit, sigma_mm)
    caps = {side: _best_cap(fit, filling, sigma_mm, sign) for side, sign in _UPWARDS.items()}
    side = min(caps, key=lambda one: caps[one].cost)
    cap = caps[side]
    # The difference of two sums of squares is linear in the noise, with the difference of the models as weights.
    apart = even.seen - cap.seen
    sd = 2.0 * math.sqrt(max(float(apart**2 @ (fit.waves.weight * fit.waves.power)), 1e-30))
    apart_sd = (even.cost - cap.cost) / sd
    cause: Literal["bubble", "misfill", "either"] = "either"
    if abs(apart_sd) >= APART_SD:
        cause = "bubble" if apart_sd > 0 else "misfill"
    return OddSphere(
        diameter_mm=fit.diameter,
        loss_pct=loss.pct,
        loss_sd_pct=loss.sd_pct,
        cause=cause,
        apart_sd=apart_sd,
        bubble_pct=100.0 * float(cap.share),
        upwards=side,
        place_lps_mm=fit.patch.place_lps_mm,
        filling=filling,
        background=fit.background,
        sigma_mm=sigma_mm,
    )


@dataclass(frozen=True)
class _Trial:
    """One model of an odd sphere at its best: the parts it leaves, their sum of squares, and the share of its cap."""

    seen: NDArray[np.float64]
    cost: float
    share: float


def _best_even(fit: _SphereFit, sigma_mm: float) -> _Trial:
    """Fit shift, background and filling."""
    return _settle(fit, sigma_mm, None, np.array([*fit.point[:3], fit.background, fit.filling]), 0.0, 0.0)


def _best_cap(fit: _SphereFit, filling: float, sigma_mm: float, sign: float) -> _Trial:
    """Fit shift and background beside a cap of every size, the filling being the siblings'; then between the sizes."""
    radius_mm = fit.diameter / 2.0
    caps = BlurredCaps(radius_mm, sigma_mm, radius_mm + _SKIN_MM)
    start = np.array([0.0, 0.0, 0.0, fit.background, filling])
    trials = [_settle(fit, sigma_mm, caps, start, share, sign) for share in _SHARES]
    best = int(np.argmin([one.cost for one in trials]))
    if 0 < best < len(_SHARES) - 1:
        at, cost = _SHARES[best - 1 : best + 2], np.array([one.cost for one in trials[best - 1 : best + 2]])
        bend, tilt, _ = np.polyfit(at - at[1], cost, 2)
        if bend > 0:
            share = float(np.clip(at[1] - tilt / (2.0 * bend), at[0], at[2]))
            trials.append(_settle(fit, sigma_mm, caps, start, share, sign))
    return min(trials, key=lambda one: one.cost)


def _settle(
    fit: _SphereFit, sigma_mm: float, caps: BlurredCaps | None, start: NDArray[np.float64], share: float, sign: float
) -> _Trial:
    """Take two steps of least squares; the filling is free only where there is no cap."""
    scale = max(abs(fit.background), 1e-30)
    count = 5 if caps is None else 4
    p = np.array([*start[:3], start[3] / scale, start[4] / scale])
    weight = np.sqrt(fit.waves.weight)

    def left(p: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        values, jacobian = _model(fit.patch, p, fit.diameter / 2.0, sigma_mm, scale)
        if caps is not None:
            values = values - scale * p[4] * caps.image(fit.patch.offset_mm - p[:3], share, sign)
        columns = np.vstack([fit.patch.values - values, jacobian.T[:count]])
        seen = fit.waves.seen(columns / fit.voxel_sd, fit.patch.inside) * weight
        return seen[0], seen[1:]

    stem = _stem(fit.waves)
    for _ in range(2):
        residual, jacobian = left(p)
        information = jacobian @ jacobian.T
        information[range(3), range(3)] += stem
        right = jacobian @ residual
        right[:3] -= stem * p[:3]
        step = np.linalg.solve(information, right)
        p[:count] += np.concatenate([np.clip(step[:3], -2.0, 2.0), step[3:]])
    residual, _ = left(p)
    return _Trial(residual, float(residual @ residual + stem @ p[:3] ** 2), share)
