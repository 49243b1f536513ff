"""How the numbers of an image-quality phantom scatter: counting noise from the image itself, and the fill's budget.

The noise is read off the background: its standard deviation, and its correlation along each axis. A blurred sphere is
drawn on the image's own grid, such noise is added many times over, and the hottest voxel, A50, the peak and the disc
are read off each copy: the spread of their readings is their standard deviation. The blur's follows from the Jacobian
of its fit and the same correlation. What hangs on the activity sheet adds the sheet's budget.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from phantoms import resolution
from phantoms.metrics import PEAK_RADIUS_MM, isocontours
from phantoms.spheres import FWHM_PER_SIGMA, SearchBox, blurred_sphere, sphere_model

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from phantoms.localise import NemaPose
    from phantoms.metrics import PeakPlaces
    from phantoms.resolution import SphereFit
    from phantoms.rois import Roi
    from phantoms.volume import PetVolume

COPIES = 100  # the spread of so many copies is known to 7 %
SEED = 37  # the same image gives the same numbers
MAX_CORRELATION_MM = 20.0
HALF_BOX_MM = (25.0, 13.0, 13.0)  # z, y, x: the square inside a background region, through all planes

_MIN_CORRELATION = 0.05
_LEFT_OUT = 1e-4  # of the variance of drawn noise, along each axis
_PEAK_PLACES, _PEAK_BEYOND_MM = 40, 2.0


@dataclass(frozen=True)
class Noise:
    """Noise of the background: SD over mean, and the Gaussian whose white noise has its correlation, by axis.

    ``sd_zyx_mm`` is the standard deviation of that Gaussian along z, y and x; the noise's own correlation is the
    Gaussian of √2 times that.
    """

    cov: float
    sd_zyx_mm: tuple[float, float, float]

    @classmethod
    def of(cls, volume: PetVolume, centers_lps_mm: NDArray[np.float64], mean: float, cov: float) -> Noise:
        """Read the correlation off boxes about points of the background.

        Along an axis the correlations of all lags, to the first under 0.05 or 20 mm, add to a length; for a Gaussian
        that length is 2√π times its standard deviation.
        """
        boxes = []
        shape = np.array(volume.image.shape)
        half = np.array(HALF_BOX_MM) / np.array(volume.spacing_zyx_mm)
        for middle in volume.to_index_zyx(centers_lps_mm):
            low = np.clip(np.ceil(middle - half), 0, shape).astype(int)
            high = np.clip(np.floor(middle + half).astype(int) + 1, low, shape)
            boxes.append(volume.image[tuple(map(slice, low, high))].astype(np.float64) - mean)
        lengths = [_length_mm(boxes, axis, step_mm) for axis, step_mm in enumerate(volume.spacing_zyx_mm)]
        z, y, x = (length / (2.0 * math.sqrt(math.pi)) for length in lengths)
        return cls(cov, (z, y, x))

    def correlation(self, distance_mm: NDArray[np.float64], axis: int) -> NDArray[np.float64]:
        """Return the correlation of two voxels ``distance_mm`` apart along one axis."""
        return np.asarray(np.exp(-np.square(distance_mm) / (4.0 * self.sd_zyx_mm[axis] ** 2)))

    @property
    def sd_mm(self) -> float:
        """The geometric mean of that Gaussian's standard deviations."""
        return math.prod(self.sd_zyx_mm) ** (1.0 / 3.0)

    def copies(
        self, shape: tuple[int, ...], spacing_zyx_mm: Sequence[float], count: int, rng: np.random.Generator
    ) -> NDArray[np.float32]:
        """Return ``[count, z, y, x]`` of noise with mean 0, SD 1 and this correlation."""
        along_z, along_y, along_x = (root.astype(np.float32) for root in self._roots(shape, spacing_zyx_mm))
        drawn = along_z.shape[1], along_y.shape[1], along_x.shape[1]
        noise = rng.standard_normal((count, *drawn), dtype=np.float32) @ along_x.T
        noise = along_y @ noise
        return np.asarray((along_z @ noise.reshape(count, drawn[0], -1)).reshape(count, *shape))

    def covariance(self, weights: NDArray[np.float64], spacing_zyx_mm: Sequence[float]) -> NDArray[np.float64]:
        """Return how sums over voxels vary together under noise of SD 1: ``[n, n]`` for ``weights[z, y, x, n]``."""
        sums = weights
        for root in self._roots(weights.shape[:3], spacing_zyx_mm):
            sums = np.tensordot(sums, root, axes=(0, 0))
        by_independent = sums.reshape(weights.shape[3], -1)
        return np.asarray(by_independent @ by_independent.T)

    def _roots(self, shape: Sequence[int], spacing_zyx_mm: Sequence[float]) -> list[NDArray[np.float64]]:
        """Return for each axis the matrix that turns independent numbers into a row of this noise."""
        steps = enumerate(zip(shape, spacing_zyx_mm, strict=True))
        return [_root(self.correlation(_apart_mm(size, step_mm), axis)) for axis, (size, step_mm) in steps]


def _apart_mm(size: int, step_mm: float) -> NDArray[np.float64]:
    """Return the distances ``[i, j]`` between the places of a row."""
    along_mm = np.arange(size) * step_mm
    return np.asarray(along_mm[:, None] - along_mm[None, :])


def _root(correlation: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return a matrix that turns independent numbers into such correlated ones, as few as hold all but 1e-4 of it.

    Noise that is wider than a voxel has far fewer than one independent number a voxel.
    """
    values, vectors = np.linalg.eigh(correlation)
    left_out = np.cumsum(values) < _LEFT_OUT * values.sum()
    return np.asarray(vectors[:, ~left_out] * np.sqrt(np.maximum(values[~left_out], 0.0)))


def _length_mm(boxes: Sequence[NDArray[np.float64]], axis: int, step_mm: float) -> float:
    """Return the sum of the correlations over all lags along one axis, times the voxel."""
    moved = [np.moveaxis(box, axis, 0) for box in boxes if box.size]
    variance = sum(float(np.square(box).sum()) for box in moved) / max(sum(box.size for box in moved), 1)
    length, lag = 1.0, 1
    while variance > 0 and lag * step_mm <= MAX_CORRELATION_MM and all(lag < len(box) for box in moved):
        products = sum(float((box[lag:] * box[:-lag]).sum()) for box in moved)
        ratio = products / sum(box[lag:].size for box in moved) / variance
        if ratio < _MIN_CORRELATION:
            break
        length, lag = length + 2.0 * ratio, lag + 1
    return length * step_mm


@dataclass(frozen=True)
class Regions:
    """Where one sphere is read: hottest voxel and A50 in the box, the peak at its places (None: cut), NEMA's disc."""

    box: SearchBox
    places: PeakPlaces | None
    disc: Roi

    @property
    def slices(self) -> tuple[slice, ...]:
        """The smallest part of the image that holds them all."""
        parts = [self.box.slices, self.disc.slices, *([self.places.slices] if self.places is not None else [])]
        along_axes = zip(*parts, strict=True)
        return tuple(slice(min(cut.start for cut in cuts), max(cut.stop for cut in cuts)) for cuts in along_axes)

    @property
    def shape(self) -> tuple[int, ...]:
        """How many voxels that part has along each axis."""
        return tuple(cut.stop - cut.start for cut in self.slices)


@dataclass(frozen=True)
class PlaceScatter:
    """How surely one sphere's centre is known by its own voxels.

    ``covariance_mm2`` is that of the centre (LPS). ``steepness`` is what a shift of it weighs in a fit in which all
    voxels count alike: the integral over the sphere of the squared slope along one direction, in the square of the
    image's unit times millimetres.
    """

    covariance_mm2: NDArray[np.float64]
    steepness: float


@dataclass(frozen=True)
class SphereScatter:
    """Standard deviations of what is read off one sphere, in the image's unit; ``fwhm_mm`` in mm, and its place.

    ``filling`` is that of the fitted concentration inside; None where it was not fitted.
    """

    a50: float
    max: float
    peak: float | None
    disc_mean: float
    fwhm_mm: float
    place: PlaceScatter
    filling: float | None


@dataclass(frozen=True)
class SphereNoise:
    """One sphere as its fit has it, on the image's grid, with the background's noise.

    ``filling_sd`` is that of the concentration which a small sphere takes from the large ones.
    """

    volume: PetVolume
    noise: Noise
    pose: NemaPose
    diameter: int
    fit: SphereFit
    background: float
    filling_sd: float = 0.0

    @cached_property
    def _sigma_mm(self) -> float:
        return (self.fit.fwhm_mm or 0.0) / FWHM_PER_SIGMA

    @property
    def _is_free(self) -> bool:
        """Whether its filling is its own fit's."""
        return self.diameter >= resolution.SMALLEST_FREE_MM

    def _sd(self, model: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the noise's SD where the image reads ``model``: it grows with the root of the signal."""
        return self.noise.cov * np.sqrt(np.maximum(model, 0.0) * self.background)

    def scatter(self, regions: Regions, copies: NDArray[np.float32]) -> SphereScatter:
        """Read the sphere off many noisy copies, of noise ``copies[k, z, y, x]`` no smaller than the regions."""
        box, places, disc = regions.box, regions.places, regions.disc
        along_axes = (np.arange(cut.start, cut.stop) for cut in regions.slices)
        grid = np.stack(np.meshgrid(*along_axes, indexing="ij"), axis=-1)
        lps_mm = self.volume.to_lps_mm(grid.astype(np.float64))
        distance_mm = np.linalg.norm(lps_mm - self.pose.spheres[self.diameter], axis=-1)
        profile = blurred_sphere(distance_mm, self.diameter / 2.0, self._sigma_mm)
        model = self.background + (self.fit.concentration - self.background) * profile
        sd = self._sd(model)
        noisy = copies[(slice(None), *map(slice, model.shape))] * sd.astype(np.float32)
        noisy += model.astype(np.float32)

        def inside(cuts: tuple[slice, ...]) -> tuple[slice, ...]:
            pairs = zip(cuts, regions.slices, strict=True)
            return tuple(slice(cut.start - whole.start, cut.stop - whole.start) for cut, whole in pairs)

        hottest, a50 = isocontours(noisy[(slice(None), *inside(box.slices))], box.inside, self.background)
        in_disc = (disc.weights * sd[inside(disc.slices)])[..., None]
        disc_variance = float(self.noise.covariance(in_disc, self.volume.spacing_zyx_mm)[0, 0])
        covariance, place = self._fit_scatter()
        return SphereScatter(
            a50=float(a50.std(ddof=1)),
            max=float(hottest.std(ddof=1, dtype=np.float64)),
            peak=None if places is None else self._peak_sd(noisy[(slice(None), *inside(places.slices))], places),
            disc_mean=math.sqrt(disc_variance) / float(disc.weights.sum()),
            fwhm_mm=FWHM_PER_SIGMA * math.sqrt(covariance[3, 3]),
            place=place,
            filling=math.sqrt(float(covariance[4:, 4:].sum())) if self._is_free else None,
        )

    def _peak_sd(self, copies: NDArray[np.float32], places: PeakPlaces) -> float:
        """Return the SD of the highest ball mean, over at most forty places.

        The highest is never seen where the ball reaches more than 2 mm (or a voxel) beyond the sphere.
        """
        off_mm = np.linalg.norm((places.at - places.middle) * places.spacing_zyx_mm, axis=1)
        beyond_mm = max(_PEAK_BEYOND_MM, float(places.spacing_zyx_mm.max()))
        at = places.at[off_mm <= max(places.radius_mm - PEAK_RADIUS_MM, 0.0) + beyond_mm]
        at = at[:: math.ceil(len(at) / _PEAK_PLACES)]
        half, kernel = places.kernels.half, places.kernels.central.astype(np.float32)
        means = [  # not a product of matrices: with their sizes its last digits hang on the number of threads
            np.einsum("kzyx,zyx->k", copies[(slice(None), *map(slice, start, start + 2 * half + 1))], kernel)
            for start in at - half
        ]
        return float(np.max(means, axis=0).std(ddof=1, dtype=np.float64))

    def place(self) -> PlaceScatter:
        """Return how surely its centre is known; for a sphere whose other numbers do not scatter about a fit."""
        return self._fit_scatter()[1]

    def _fit_scatter(self) -> tuple[NDArray[np.float64], PlaceScatter]:
        """Return the covariance of the fit's centre, sigma, background and filling under correlated noise.

        With A what each voxel counts for: (AᵀJ)⁻¹ AᵀΣA (JᵀA)⁻¹ with Σ = D R D, D the SD of each voxel and R the product
        of the correlations along the axes. A filling that is not its own moves the rest by (AᵀJ)⁻¹ Aᵀg, g the profile.
        """
        reach_mm = self.diameter / 2.0 + resolution.SKIN_MM
        middle = self.volume.to_index_zyx(self.pose.spheres[self.diameter])
        half = reach_mm / np.array(self.volume.spacing_zyx_mm)
        shape = np.array(self.volume.image.shape)
        low = np.clip(np.ceil(middle - half), 0, shape).astype(int)
        high = np.clip(np.floor(middle + half).astype(int) + 1, low, shape)
        grid = np.stack(np.meshgrid(*map(np.arange, low, high), indexing="ij"), axis=-1)
        lps_mm = self.volume.to_lps_mm(grid.astype(np.float64)).reshape(-1, 3)
        center = self.pose.spheres[self.diameter]
        model = sphere_model(
            lps_mm,
            center_lps_mm=center,
            radius_mm=self.diameter / 2.0,
            sigma_mm=self._sigma_mm,
            amplitude=self.fit.concentration - self.fit.background,
            background=self.fit.background,
        )
        distance_mm = np.sqrt(np.square(lps_mm - center).sum(axis=1))
        counted = (distance_mm <= reach_mm) & resolution.is_clear_of_insert(lps_mm, self.pose)
        level = np.ones(len(lps_mm))
        of_levels = [level, model.profile] if self._is_free else [level - model.profile]
        columns = [*model.by_center.T, model.by_sigma, *of_levels]
        jacobian = np.stack(columns, axis=1) * counted[:, None]
        equations = jacobian
        if self.fit.weights is not None:
            of_profile = self.fit.weights.at(distance_mm) * counted[:, None]
            equations = np.concatenate([jacobian[:, :3], of_profile], axis=1)
        weighted = (equations * self._sd(model.values)[:, None]).reshape(*grid.shape[:3], -1)
        scattered = self.noise.covariance(weighted, self.volume.spacing_zyx_mm)
        inverse = np.linalg.pinv(equations.T @ jacobian)
        covariance = inverse @ scattered @ inverse.T
        if not self._is_free:
            moved = self.filling_sd * (inverse @ (equations.T @ (model.profile * counted)))
            covariance = covariance + np.outer(moved, moved)
        steepness = float(np.square(jacobian[:, :3]).sum()) / 3.0 * math.prod(self.volume.spacing_zyx_mm)
        return np.asarray(covariance), PlaceScatter(np.asarray(covariance[:3, :3]), steepness)


def voxel_shares(
    noise: Noise, discs: Sequence[Roi], spacing_zyx_mm: Sequence[float], count: int
) -> tuple[float, float]:
    """Return 2 / (degrees of freedom) of a variance read off all voxels of ``count`` such columns of regions.

    Of a Gaussian field of correlation K, a sum of squares with weights w has the variance 2 ΣΣ wᵢ wⱼ Kᵢⱼ². About each
    region's own mean, W = diag(w) - wwᵀ stands for the weights, w of sum 1: 2 tr(W K V K) for two regions W and V, and
    the mean is tr(W K). Their voxels are those that count, so edges, tilt and shared slices are in it.

    Parameters
    ----------
    noise : Noise
        Its correlation along the image's axes.
    discs : sequence of Roi
        The regions of one place on all planes, which share their noise.
    spacing_zyx_mm : sequence of float
        Of the image.
    count : int
        How many such columns there are, each far enough from the others to share nothing.

    Returns
    -------
    about_all, about_own : float
        Of the variance about the mean of all regions, and of that about each region's own.
    """
    parts = [[disc.slices[axis] for disc in discs] for axis in range(3)]
    low = [min(cut.start for cut in cuts) for cuts in parts]
    shape = [max(cut.stop for cut in cuts) - start for cuts, start in zip(parts, low, strict=True)]
    weights = np.zeros((*shape, len(discs)))
    for plane, disc in enumerate(discs):
        z, y, x = (slice(cut.start - start, cut.stop - start) for cut, start in zip(disc.slices, low, strict=True))
        weights[z, y, x, plane] = disc.weights / disc.weights.sum()
    sd_z, sd_y, sd_x = (sd_mm / math.sqrt(2.0) for sd_mm in noise.sd_zyx_mm)  # a squared Gaussian is one, √2 narrower
    squares = replace(noise, sd_zyx_mm=(sd_z, sd_y, sd_x)).covariance(weights, spacing_zyx_mm)
    of_means = noise.covariance(weights, spacing_zyx_mm)
    with_mean = weights  # how each voxel varies with each mean
    for axis, (size, step_mm) in enumerate(zip(shape, spacing_zyx_mm, strict=True)):
        correlation = noise.correlation(_apart_mm(size, step_mm), axis)
        with_mean = np.moveaxis(np.tensordot(correlation, with_mean, axes=(1, axis)), 0, axis)
    crossed = np.einsum("zyxp,zyxq->pq", weights, np.square(with_mean))
    about_own = squares - crossed - crossed.T + np.square(of_means)
    left = float((1.0 - np.diag(of_means)).sum())
    return 2.0 * float(squares.sum()) / len(discs) ** 2 / count, 2.0 * float(about_own.sum()) / left**2 / count


def means_share(noise: Noise, planes: int, plane_step_mm: float, count: int) -> float:
    """Return 2 / (degrees of freedom) of the variance of the means of ``count`` discs on parallel planes."""
    return 2.0 * _planes_factor(noise, planes, plane_step_mm) / (count - 1)


def _planes_factor(noise: Noise, planes: int, plane_step_mm: float) -> float:
    """Return how many times fewer planes there are, for a variance, than are counted: neighbours share their noise."""
    lags = np.arange(1, planes, dtype=np.float64)
    correlation = noise.correlation(lags * plane_step_mm, 0)
    return 1.0 + 2.0 * float(((1.0 - lags / planes) * np.square(correlation)).sum())


def median_sd(sds: Sequence[float]) -> float:
    """Return the SD of the median of independent normal numbers of one mean."""
    rng = np.random.default_rng(len(sds))
    return float(np.median(rng.standard_normal((4000, len(sds))) * np.array(sds), axis=1).std())


def profile_sds(noise: Noise, profile: NDArray[np.float64], step_mm: float) -> tuple[float, float] | None:
    """Return the SD of the mean and of the maximum of a row of slices, from their own scatter; None under three."""
    if len(profile) < 3:
        return None
    n = len(profile)
    correlation = noise.correlation(_apart_mm(n, step_mm), 0)
    unbiased = 1.0 - float(correlation.mean())  # the mean of correlated slices follows them
    sd = float(profile.std()) / math.sqrt(max(unbiased, 1.0 / n))
    root = _root(correlation)
    drawn = np.random.default_rng(n).standard_normal((1000, root.shape[1])) @ root.T
    return sd * math.sqrt(float(correlation.mean())), sd * float(drawn.max(axis=1).std())


@dataclass(frozen=True)
class Parts:
    """One standard deviation of a recovery, by what makes it: the counting noise of the image, and the fill."""

    counting: float
    fill: float

    @property
    def total(self) -> float:
        """Both together: they are independent."""
        return math.hypot(self.counting, self.fill)


def recovery_sds(
    value: float, sd: float, background: float, background_sd: float, truth: Mapping[str, float | None]
) -> dict[str, Parts]:
    """Return the SD of ``rc``, ``relative_rc`` and ``crc`` of one reading, as far as their truths are known.

    Parameters
    ----------
    value, sd, background, background_sd : float
        The reading and the background, in the image's unit, with their counting noise.
    truth : mapping
        ``sphere`` and ``ratio``, and their relative uncertainties ``sphere_rel`` and ``ratio_rel``.
    """
    found = {}
    sphere, ratio = truth["sphere"], truth["ratio"]
    if sphere is not None:
        found["rc"] = Parts(sd / sphere, value / sphere * (truth["sphere_rel"] or 0.0))
    if ratio is not None:
        contrast = value / background
        counting = contrast * math.hypot(sd / value, background_sd / background)
        ratio_rel = truth["ratio_rel"] or 0.0
        found["relative_rc"] = Parts(counting / ratio, contrast / ratio * ratio_rel)
        if ratio > 1.0:
            crc = (contrast - 1.0) / (ratio - 1.0)
            found["crc"] = Parts(counting / (ratio - 1.0), abs(crc) * ratio * ratio_rel / (ratio - 1.0))
    return found
