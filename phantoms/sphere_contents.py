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
from scipy import linalg, special

from phantoms.background_columns import correlated_voxels
from phantoms.spheres import DIAMETERS_MM, least_squares, sphere_model

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from phantoms.artefacts import Noise
    from phantoms.localise import NemaPose
    from phantoms.volume import PetVolume

#: How often one of the six spheres of a faultless phantom may be called odd.
FALSE_NAMES = 0.003
#: The smallest loss that matters, per cent of the filling (the lab's rule, no confirmed source); half of it is named.
MATTERS_PCT = 10.0
#: A bubble and a misfill are told apart where the likelier one leads by this many standard deviations.
APART_SD = 2.0

_STEM_MM = 0.7  # how far a sphere may stand off the ring
_SKIN_MM = 9.0
_LUNG_KEEPOUT_MM = 33.0
_FREE_FROM_MM = 17  # under it a broad blur looks like a low filling: such a sphere bears on one number only
_MODEL_PCT = 0.5  # what the model is off by where there is no noise
# The wall is taken as thin. A cold one of 1 mm displaces background; a quarter of that, as a share of the sphere's hot
# contents, is what the fits do not take up in a wider or narrower blur (seen at 4:1 and 10:1).
_WALL_MM, _WALL_LEFT = 1.0, 0.25
_CAP_NODES = 48
_RING_NODES, _RING_WEIGHTS = np.polynomial.legendre.leggauss(32)
_SHARES = np.array([0.03, 0.06, 0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.5, 0.6, 0.75])
_UPWARDS = {"anterior": -1.0, "posterior": 1.0}  # along +y of the patient; most phantoms lie as a supine patient does
_TRIED_SHARES = (0.1, 0.3)
# An even loss and each cap, in each sphere.
_LOOKS = len(DIAMETERS_MM) * (1 + len(_UPWARDS) * len(_TRIED_SHARES))
_ONE_SIDED_95 = 1.645
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
    shows in 95 of 100 scans; ``odd`` is the one that is off, if one is.
    """

    filling_pct: Mapping[int, float]
    filling_sd_pct: Mapping[int, float]
    limit_pct: Mapping[int, float]
    odd: OddSphere | None


def compare(volume: PetVolume, pose: NemaPose, noise: Noise, sigma_mm: float) -> Contents | None:
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

    Returns
    -------
    Contents or None
        None where two spheres are cold, the image cuts a sphere, or a fit does not settle.
    """
    if pose.cold_spheres:
        return None
    places = _ring_places(pose)
    fits = []
    for diameter in DIAMETERS_MM:
        patch = _Patch.around(volume, places[diameter], diameter / 2.0, pose)
        fit = _fit(patch, diameter, pose, noise, sigma_mm) if patch is not None else None
        if fit is None:
            return None
        fits.append(fit)
    odd: list[tuple[float, OddSphere]] = []
    off, sd, limit = {}, {}, {}
    for fit in fits:
        common = _Common.of([one for one in fits if one is not fit])
        caps = [_cap_trial(fit, noise, common, side, share) for side in _UPWARDS for share in _TRIED_SHARES]
        likeliest = max(caps, key=lambda one: one.pct / one.sd_pct)
        # What a cap explains is no doubt about the model: only the rest of the scatter is.
        excess = min(1.0, *(one.excess for one in caps))
        foretold, foretold_sd = common.foretell(fit)
        own_sd = math.sqrt(common.scatter * excess * fit.variance[0, 0])
        off[fit.diameter] = 100.0 * (fit.filling / foretold - 1.0)
        sd[fit.diameter] = 100.0 * math.hypot(own_sd / foretold, foretold_sd / foretold, _model_sd(fit))
        even = _Loss(-off[fit.diameter], sd[fit.diameter], 1.0)
        loss = max((even, likeliest), key=lambda one: one.pct / one.sd_pct)
        limit[fit.diameter] = _limit_pct(min(one.sd_pct for one in (even, *caps)))
        if loss.pct > _threshold_pct(loss.sd_pct):
            odd.append((loss.pct / loss.sd_pct, _explain(fit, noise, loss, common)))
    return Contents(off, sd, limit, max(odd, key=lambda one: one[0])[1] if odd else None)


def _threshold_pct(sd_pct: float) -> float:
    """Return the loss from which a sphere is odd, where its standard error is ``sd_pct``."""
    return max(_Z * sd_pct, MATTERS_PCT / 2.0)


def _limit_pct(sd_pct: float) -> float:
    """Return the loss of which noise hides no more than one in twenty: so far over the threshold as 1.645 SE."""
    return _threshold_pct(sd_pct) + _ONE_SIDED_95 * sd_pct


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
    def around(cls, volume: PetVolume, place: NDArray[np.float64], radius_mm: float, pose: NemaPose) -> _Patch | None:
        reach_mm = radius_mm + _SKIN_MM
        half = reach_mm / np.array(volume.spacing_zyx_mm)
        middle = volume.to_index_zyx(place)
        low, high = np.ceil(middle - half).astype(int), np.floor(middle + half).astype(int) + 1
        if np.any(low < 0) or np.any(high > np.array(volume.image.shape)):
            return None
        grid = np.stack(np.meshgrid(*(np.arange(a, b) for a, b in zip(low, high, strict=True)), indexing="ij"), axis=-1)
        lps_mm = volume.to_lps_mm(grid.astype(np.float64))
        sideways = np.cross(lps_mm - pose.center_lps_mm, pose.axis)
        inside = np.linalg.norm(lps_mm - place, axis=-1) <= reach_mm
        inside &= np.linalg.norm(sideways, axis=-1) > _LUNG_KEEPOUT_MM
        box = volume.image[low[0] : high[0], low[1] : high[1], low[2] : high[2]]
        return cls(place, inside, (lps_mm - place)[inside], box[inside].astype(np.float64))

    def covariance(
        self, weights: NDArray[np.float64], voxel_sd: NDArray[np.float64], noise: Noise
    ) -> NDArray[np.float64]:
        """Return the covariance of ``weights @ values``, shape (k, k), from the noise's SD and correlation."""
        shape = (len(weights), *self.inside.shape)
        filled = np.zeros(shape)
        filled[:, self.inside] = weights * voxel_sd
        for axis, by_lag in enumerate(noise.correlation, start=1):
            root = _root(by_lag, shape[axis])
            filled = np.moveaxis(np.tensordot(root, filled, axes=(0, axis)), 0, axis)
        flat = filled.reshape(len(weights), -1)
        return np.asarray(flat @ flat.T)


def _root(by_lag: NDArray[np.float64], size: int) -> NDArray[np.float64]:
    """Return a matrix R whose R Rᵀ is the correlation of a row of voxels, shape (size, size).

    A correlation that is read off an image and ends at a lag is no possible one: it would give some contrasts a
    variance under nothing. The nearest that is possible keeps the parts of it that are not negative.
    """
    lags = np.zeros(size)
    lags[: len(by_lag)] = by_lag[:size]
    values, vectors = np.linalg.eigh(linalg.toeplitz(lags))
    return np.asarray(vectors * np.sqrt(np.maximum(values, 0.0)))


@dataclass(frozen=True)
class _SphereFit:
    """One sphere with the common blur: its filling, how that hangs on the blur, and the blur that it asks for itself.

    ``variance`` is the covariance of filling and own blur, shape (2, 2); ``voxel_sd`` is each voxel's noise, raised by
    the root of ``excess`` where the voxels scatter so much more about the fit.
    """

    diameter: int
    patch: _Patch
    filling: float
    background: float
    shift_mm: NDArray[np.float64]
    sigma_mm: float
    own_sigma_mm: float
    by_sigma: float
    variance: NDArray[np.float64]
    voxel_sd: NDArray[np.float64]
    excess: float


def _fit(patch: _Patch, diameter: int, pose: NemaPose, noise: Noise, sigma_mm: float) -> _SphereFit | None:
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
    residual = patch.values - values
    # Counts scatter with the root of the signal; where the voxels scatter more about the fit, that is believed.
    voxel_sd = max(math.sqrt(noise.variance), 1e-4) * scale * np.sqrt(np.maximum(values / scale, 0.1))
    excess = max(float(np.mean((residual / voxel_sd) ** 2)), 1.0)
    voxel_sd *= math.sqrt(excess)
    held = np.vstack([jacobian, hold * np.eye(3, 6)])
    narrow = np.linalg.pinv(np.delete(held, 5, axis=1))[:, : len(residual)]
    free = np.linalg.pinv(held)[:, : len(residual)]
    weights = np.stack([scale * narrow[4], free[5]])
    return _SphereFit(
        diameter=diameter,
        patch=patch,
        filling=float(scale * p[4]),
        background=float(scale * p[3]),
        shift_mm=p[:3],
        sigma_mm=sigma_mm,
        own_sigma_mm=sigma_mm + float(free[5] @ residual),
        # Assumed wider by one, the same voxels need so much more filling.
        by_sigma=-float(scale * narrow[4] @ jacobian[:, 5]),
        variance=patch.covariance(weights, voxel_sd, noise),
        voxel_sd=voxel_sd,
        excess=excess,
    )


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
    """The filling and blur that some spheres share, their covariance, and how far beyond it they scatter (1: not)."""

    filling: float
    sigma_mm: float
    covariance: NDArray[Any]
    scatter: float

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
            rows.append((design, seen, inverse))
        covariance = np.linalg.inv(information)
        best = covariance @ right
        misfits = [seen - design @ best for design, seen, _ in rows]
        chi = sum(float(miss @ inverse @ miss) for miss, (_, _, inverse) in zip(misfits, rows, strict=True))
        freedom = sum(len(miss) for miss in misfits) - 2
        return cls(float(best[0]), float(best[1]), covariance, max(chi / freedom, 1.0))


@dataclass(frozen=True)
class _Loss:
    """What a sphere lacks, per cent of its filling, and the share of the voxels' scatter about its fit that remains."""

    pct: float
    sd_pct: float
    excess: float


def _cap_trial(fit: _SphereFit, noise: Noise, common: _Common, side: str, share: float) -> _Loss:
    """Fit the depth of a cap of one size beside shift, background and filling, the filling held by the siblings."""
    p = np.array([*fit.shift_mm, 1.0, fit.filling / fit.background])
    values, jacobian = _model(fit.patch, p, fit.diameter / 2.0, fit.sigma_mm, fit.background)
    cap = _Cap(fit.diameter / 2.0, fit.sigma_mm, _UPWARDS[side]).image(fit.patch.offset_mm, share)
    foretold, foretold_sd = common.foretell(fit)
    unit = float(np.mean(fit.voxel_sd)) * math.sqrt(math.prod(correlated_voxels(noise)))
    foretold_sd = math.hypot(foretold_sd, _model_sd(fit) * foretold)
    design = np.column_stack([jacobian[:, :5], -foretold * cap])
    hold = np.zeros((4, 6))
    hold[:3, :3] = np.eye(3) / _STEM_MM
    hold[3, 4] = fit.background / foretold_sd
    wanted = np.concatenate(
        [
            fit.patch.values - values,
            -unit * hold[:3] @ [*p[:3], 0, 0, 0],
            [unit * (foretold - fit.filling) / foretold_sd],
        ]
    )
    inverse = np.linalg.pinv(np.vstack([design, unit * hold]))
    found = inverse @ wanted
    count = len(fit.patch.values)
    remaining = fit.patch.values - values - design @ found
    before = float(np.sum((fit.patch.values - values) ** 2 / fit.voxel_sd**2))
    excess = min(float(np.sum(remaining**2 / fit.voxel_sd**2)) / max(before, 1e-30), 1.0)
    # A fit that left no more than noise to begin with keeps its noise.
    excess = max(excess, 1.0 / fit.excess)
    variance = excess * fit.patch.covariance(inverse[5:, :count], fit.voxel_sd, noise)[0, 0]
    variance += float(np.sum((inverse[5, count:] * unit) ** 2))
    return _Loss(100.0 * share * float(found[5]), 100.0 * share * math.sqrt(common.scatter * variance), excess)


# --- bubble or misfill ----------------------------------------------------------------------------


def _explain(fit: _SphereFit, noise: Noise, loss: _Loss, common: _Common) -> OddSphere:
    """Fit an even loss and a cold cap to the voxels of an odd sphere, and say which of them is likelier."""
    filling, sigma_mm = common.filling, common.sigma_mm
    even = _best_even(fit, noise, sigma_mm)
    caps = {side: _best_cap(fit, noise, filling, sigma_mm, sign) for side, sign in _UPWARDS.items()}
    side = min(caps, key=lambda one: caps[one].cost)
    cap = caps[side]
    # The difference of two sums of squares is linear in the noise, with the difference of the models as weights.
    apart = (even.values - cap.values)[None]
    sd = 2.0 * math.sqrt(max(float(fit.patch.covariance(apart, fit.voxel_sd, noise)[0, 0]), 1e-30))
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
    """One model of an odd sphere at its best: its image, the sum of squares, and the share that a cap takes up."""

    values: NDArray[np.float64]
    cost: float
    share: float


def _best_even(fit: _SphereFit, noise: Noise, sigma_mm: float) -> _Trial:
    """Fit shift, background and filling."""
    return _settle(fit, noise, sigma_mm, None, np.array([*fit.shift_mm, fit.background, fit.filling]), 0.0)


def _best_cap(fit: _SphereFit, noise: Noise, filling: float, sigma_mm: float, sign: float) -> _Trial:
    """Fit shift and background beside a cap of every size, the filling being the siblings'; then between the sizes."""
    cap = _Cap(fit.diameter / 2.0, sigma_mm, sign)
    start = np.array([0.0, 0.0, 0.0, fit.background, filling])
    trials = [_settle(fit, noise, sigma_mm, cap, start, share) for share in _SHARES]
    best = int(np.argmin([one.cost for one in trials]))
    if 0 < best < len(_SHARES) - 1:
        at, cost = _SHARES[best - 1 : best + 2], np.array([one.cost for one in trials[best - 1 : best + 2]])
        bend, tilt, _ = np.polyfit(at - at[1], cost, 2)
        if bend > 0:
            share = float(np.clip(at[1] - tilt / (2.0 * bend), at[0], at[2]))
            trials.append(_settle(fit, noise, sigma_mm, cap, start, share))
    return min(trials, key=lambda one: one.cost)


def _settle(
    fit: _SphereFit, noise: Noise, sigma_mm: float, cap: _Cap | None, start: NDArray[np.float64], share: float
) -> _Trial:
    """Take two steps of least squares; the filling is free only where there is no cap."""
    scale = max(abs(fit.background), 1e-30)
    count = 5 if cap is None else 4
    hold = _hold(noise, float(np.mean(fit.voxel_sd)))
    p = np.array([*start[:3], start[3] / scale, start[4] / scale])

    def image(p: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        values, jacobian = _model(fit.patch, p, fit.diameter / 2.0, sigma_mm, scale)
        if cap is not None:
            values = values - scale * p[4] * cap.image(fit.patch.offset_mm - p[:3], share)
        return values, jacobian

    for _ in range(2):
        values, jacobian = image(p)
        held = np.vstack([jacobian[:, :count], hold * np.eye(3, count)])
        wanted = np.concatenate([fit.patch.values - values, -hold * p[:3]])
        step = np.linalg.lstsq(held, wanted, rcond=None)[0]
        p[:count] += np.concatenate([np.clip(step[:3], -2.0, 2.0), step[3:]])
    values, _ = image(p)
    cost = float(np.sum((fit.patch.values - values) ** 2) + np.sum((hold * p[:3]) ** 2))
    return _Trial(values, cost, share)


def _disc_heights_mm(radius_mm: float) -> NDArray[np.float64]:
    """Return how high over a ball's centre its discs lie, from the top down."""
    return np.asarray(radius_mm - (np.arange(_CAP_NODES) + 0.5) * (2.0 * radius_mm / _CAP_NODES), dtype=np.float64)


@lru_cache(maxsize=12)  # both sides and every size of cap of one sphere have the same discs
def _blurred_discs(radius_mm: float, sigma_mm: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return distances from the axis, and there the profile ``[disc, distance]`` of each disc blurred in its plane."""
    disc_mm = np.sqrt(np.maximum(radius_mm**2 - _disc_heights_mm(radius_mm) ** 2, 0.0))
    distance_mm = np.arange(0.0, 2.0 * radius_mm + 2.0 * _SKIN_MM, sigma_mm / 4.0)
    ring = disc_mm[:, None, None] * (_RING_NODES + 1.0) / 2.0
    r = distance_mm[None, :, None]
    density = ring / sigma_mm**2 * np.exp(-((ring - r) ** 2) / (2.0 * sigma_mm**2))
    rings = (density * special.i0e(ring * r / sigma_mm**2)) @ _RING_WEIGHTS
    return distance_mm, np.asarray(rings * disc_mm[:, None] / 2.0, dtype=np.float64)


class _Cap:
    """The blurred image of a ball's cap: discs stacked along y, each blurred in its plane, then along y."""

    def __init__(self, radius_mm: float, sigma_mm: float, sign: float) -> None:
        self.sigma_mm, self.sign = sigma_mm, sign
        self.step_mm = 2.0 * radius_mm / _CAP_NODES
        self.height_mm = _disc_heights_mm(radius_mm)
        disc_mm = np.sqrt(np.maximum(radius_mm**2 - self.height_mm**2, 0.0))
        self.share = np.cumsum(disc_mm**2) / np.sum(disc_mm**2)
        self.distance_mm, self.disc = _blurred_discs(radius_mm, sigma_mm)

    def image(self, offset_mm: NDArray[np.float64], share: float) -> NDArray[np.float64]:
        """Return the cap of that share of the volume at millimetres from the ball's centre, shape (n,)."""
        before = np.concatenate([[0.0], self.share[:-1]])
        whole = np.clip((share - before) / (self.share - before), 0.0, 1.0)
        aside = np.hypot(offset_mm[:, 0], offset_mm[:, 2])
        up = self.sign * offset_mm[:, 1]
        layers = np.flatnonzero(whole > 0)  # from the top down without a gap, so neighbours share an edge
        edges = self.height_mm[0] + self.step_mm * (0.5 - np.arange(len(layers) + 1))
        below = special.erf((up[:, None] - edges) / (math.sqrt(2.0) * self.sigma_mm))
        along = np.diff(below, axis=1)
        # Linear between the distances of the discs' profiles.
        disc = np.ascontiguousarray(self.disc[layers].T * (whole[layers] / 2.0))
        place = aside / self.distance_mm[1]
        at = np.minimum(place.astype(np.intp), len(disc) - 2)
        beyond = np.minimum(place - at, 1.0)
        inner, outer = (np.einsum("nl,nl->n", along, disc[k]) for k in (at, at + 1))
        return np.asarray(inner * (1.0 - beyond) + outer * beyond)
