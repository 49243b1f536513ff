"""What is read off a lesion or a sphere: extremes, isocontour, 1 mL peak, metabolic volume.

Pure arrays: every function takes a `PetVolume` or its values and a mask ``inside[z, y, x]``, and its numbers are in the
volume's unit. Sources: the isocontour and the peak are EARL's; a sphere of 1 mL placed to maximise its mean is
PERCIST's peak (Wahl 2009; Lodge 2012 describes the placing).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage

from phantoms import rois
from phantoms.volume import PetVolume

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

PEAK_RADIUS_MM = (3000.0 / (4.0 * math.pi)) ** (1.0 / 3.0)  # a sphere of 1 mL
PEAK_STEP_MM = 1.0  # the peak's centre is sought on a grid not coarser than this
PEAK_MIN_SHARE = 0.5  # how much of the 1 mL must lie inside the region
LIVER_DIAMETER_MM = 30.0

# The peak's centre is sought about so many voxels, those with the hottest surroundings: all of them in any lesion.
_PEAK_VOXELS = 20_000
_PEAK_CANDIDATES = 12
_CHUNK_VALUES = 4_000_000

_TOUCHING = np.ones((3, 3, 3), dtype=bool)  # over faces, edges and corners


@dataclass(frozen=True)
class Peak:
    """The 1 mL sphere with the highest mean: its mean, its centre, and the share of it that lies inside the region."""

    mean: float
    center_lps_mm: NDArray[np.float64]
    share_inside: float


@dataclass(frozen=True)
class RegionMetrics:
    """A region in numbers; ``peak`` is None where no whole 1 mL sphere lies far enough inside."""

    minimum: float
    median: float
    maximum: float
    mean: float
    volume_ml: float
    peak: Peak | None


def measure_region(volume: PetVolume, inside: NDArray[np.bool_], *, min_share: float = PEAK_MIN_SHARE) -> RegionMetrics:
    """Return minimum, median, maximum, mean, volume and peak of a region of at least one voxel.

    Parameters
    ----------
    volume : PetVolume
    inside : ndarray of bool, shape (z, y, x)
    min_share : float
        See `peak`.
    """
    values = volume.image[inside].astype(np.float64)
    return RegionMetrics(
        minimum=float(values.min()),
        median=float(np.median(values)),
        maximum=float(values.max()),
        mean=float(values.mean()),
        volume_ml=len(values) * voxel_ml(volume),
        peak=peak(volume, inside, min_share=min_share),
    )


def voxel_ml(volume: PetVolume) -> float:
    """Return the volume of one voxel, mL."""
    return abs(float(np.linalg.det(volume.affine_lps_mm[:3, :3]))) / 1000.0


# --- the isocontour ----------------------------------------------------------------------------------------------


def isocontour(
    values: NDArray[np.float32], inside: NDArray[np.bool_], background: float, *, neighbourhood: int = 1
) -> tuple[float, float]:
    """Return the hottest voxel and the mean of the 50 % background-adapted isocontour about it (A50).

    Parameters
    ----------
    values : ndarray, shape (z, y, x)
        The voxels about one sphere.
    inside : ndarray of bool, same shape
        Where the hottest voxel is looked for, and what the isocontour may not leave.
    background : float
        Mean of the background, in the image's unit.
    neighbourhood : int
        Edge in voxels of the cube about the hottest voxel whose mean sets the contour; some texts take 3, EARL's
        maximum is the single voxel (1).

    Returns
    -------
    hottest : float
        The single hottest voxel.
    a50 : float
        Mean of the voxels at or above ``(hottest + background) / 2`` that hang together with it over faces, edges or
        corners.
    """
    candidates = np.where(inside, values, -np.inf)
    at = np.unravel_index(int(np.argmax(candidates)), candidates.shape)
    hottest = float(values[at])
    reach = neighbourhood // 2
    cube = values[tuple(slice(max(k - reach, 0), k + reach + 1) for k in at)]
    top = hottest if reach == 0 else float(cube.mean(dtype=np.float64))
    return hottest, float(_contour_means(candidates[None], np.array([at]), np.array([(top + background) / 2.0]))[0])


def isocontours(
    copies: NDArray[np.float32], inside: NDArray[np.bool_], background: float
) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    """Return what `isocontour` does for each of ``copies[k, z, y, x]``: hottest voxels and A50, shape (k,) each."""
    candidates = np.where(inside, copies, -np.inf)
    flat = candidates.reshape(len(copies), -1)
    at = flat.argmax(axis=1)
    hottest = np.take_along_axis(flat, at[:, None], axis=1)[:, 0]
    at_zyx = np.stack(np.unravel_index(at, inside.shape), axis=1)
    return hottest, _contour_means(candidates, at_zyx, (hottest + background) / 2.0)


def _contour_means(
    copies: NDArray[np.floating], at: NDArray[np.intp], thresholds: NDArray[np.floating]
) -> NDArray[np.float64]:
    """Return, for each of ``copies[k, z, y, x]``, the mean of the voxels at or above a threshold that hang together.

    They hang together over faces, edges or corners with the voxel ``at[k, (z, y, x)]``, which always belongs to them:
    where nothing reaches the background it is all there is.
    """
    thresholds = np.minimum(thresholds, copies[(np.arange(len(at)), *at.T)])
    reached = np.argwhere(copies.max(axis=0) >= thresholds.min())
    low, high = reached.min(axis=0), reached.max(axis=0) + 1
    cut = copies[(slice(None), *map(slice, low, high))].astype(np.float32, copy=False)
    above = cut >= thresholds.astype(np.float32)[:, None, None, None]
    # What hangs on the one core that every copy has is grown in all copies at once; without it each has its labels.
    core, count = ndimage.label(above.all(axis=0), structure=_TOUCHING)
    region = above & (core == 1)
    while not np.array_equal(grown := above & _widened(region), region):
        region = grown
    is_grown = region[(np.arange(len(at)), *(at - low).T)] & (count == 1)
    for k in np.flatnonzero(~is_grown):
        labels, _ = ndimage.label(above[k], structure=_TOUCHING)
        region[k] = labels == labels[tuple(at[k] - low)]
    total = np.where(region, cut, 0.0).reshape(len(at), -1).sum(axis=1, dtype=np.float64)
    return np.asarray(total / region.reshape(len(at), -1).sum(axis=1))


def _widened(masks: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return ``masks[k, z, y, x]`` with all voxels that touch them over faces, edges or corners."""
    for axis in (1, 2, 3):
        narrow = np.moveaxis(masks, axis, 0)
        wide = narrow.copy()
        wide[1:] |= narrow[:-1]
        wide[:-1] |= narrow[1:]
        masks = np.moveaxis(wide, 0, axis)
    return masks


def shell_mean(
    volume: PetVolume, inside: NDArray[np.bool_], *, gap_mm: float = 10.0, thickness_mm: float = 10.0
) -> float | None:
    """Return the mean of a shell about a lesion, its local background; None where none of the shell is in the image.

    The shell begins ``gap_mm`` outside the lesion, beyond what blur carries out of it, and is ``thickness_mm`` thick;
    both are choices, to be stored with the number.
    """
    distance_mm = ndimage.distance_transform_edt(~inside, sampling=volume.spacing_zyx_mm)
    shell = (distance_mm > gap_mm) & (distance_mm <= gap_mm + thickness_mm)
    return float(volume.image[shell].mean(dtype=np.float64)) if shell.any() else None


# --- the peak ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class PeakKernels:
    """The 1 mL sphere on one grid: weights for the centre of a voxel, and for a grid of places within a voxel.

    ``shifts[k]`` is the place in voxels (z, y, x) off the voxel's centre that ``shifted[k]`` holds the weights for,
    those of the box ``2 · half + 1`` in one row, of sum 1.
    """

    half: NDArray[np.intp]
    central: NDArray[np.float64]
    shifts: NDArray[np.float64]
    shifted: NDArray[np.float64]


def peak_kernels(volume: PetVolume) -> PeakKernels:
    """Return the exact weights of the 1 mL sphere for a grid, on places no more than 1 mm apart."""
    spacing = np.array(volume.spacing_zyx_mm)
    half = np.ceil(PEAK_RADIUS_MM / spacing + 0.5).astype(int)
    counts = np.maximum(np.ceil(spacing / PEAK_STEP_MM).astype(int), 1)
    shifts = np.stack(np.meshgrid(*((np.arange(n) - (n - 1) / 2.0) / n for n in counts), indexing="ij"), axis=-1)
    shifts = shifts.reshape(-1, 3)
    balls = np.stack([_ball_on_grid(volume, shift, half).ravel() for shift in shifts])
    return PeakKernels(half, _ball_on_grid(volume, np.zeros(3), half), shifts, balls)


def _ball_on_grid(volume: PetVolume, shift: NDArray[np.float64], half: NDArray[np.intp]) -> NDArray[np.float64]:
    """Return the 1 mL sphere's voxel weights, sum 1, centred ``shift`` voxels off the middle of a box."""
    box = PetVolume(np.zeros(2 * half + 1, np.float32), volume.affine_lps_mm, volume.unit)
    ball = rois.sphere(box, box.to_lps_mm(half + shift), PEAK_RADIUS_MM)
    weights = np.zeros(box.image.shape)
    weights[ball.slices] = ball.weights
    return np.asarray(weights / weights.sum())


def shifted_means(values: NDArray[np.float64], at: NDArray[np.intp], kernels: PeakKernels) -> NDArray[np.float64]:
    """Return the means ``[n, k]`` of the sphere at each shift ``k`` off the voxels ``at[n, 3]``, whose boxes fit."""
    windows = np.lib.stride_tricks.sliding_window_view(values, kernels.central.shape)[tuple((at - kernels.half).T)]
    return np.asarray(windows.reshape(len(at), -1) @ kernels.shifted.T)


@dataclass(frozen=True)
class PeakPlaces:
    """Where the 1 mL sphere of one phantom sphere may have its centre: within ``radius_mm`` of that sphere's.

    ``slices`` cuts the voxels out of the image that any of the places needs; ``at[n, 3]`` are the voxels tried as the
    centre, counted in the cut, and ``middle`` is the sphere's centre there, in voxels.
    """

    slices: tuple[slice, slice, slice]
    at: NDArray[np.intp]
    middle: NDArray[np.float64]
    spacing_zyx_mm: NDArray[np.float64]
    radius_mm: float
    kernels: PeakKernels

    @classmethod
    def within(
        cls, volume: PetVolume, center_lps_mm: NDArray[np.float64], radius_mm: float, kernels: PeakKernels
    ) -> PeakPlaces | None:
        """Return the places in one sphere; None where the image cuts what they need."""
        spacing = np.array(volume.spacing_zyx_mm)
        middle = volume.to_index_zyx(center_lps_mm)
        reach = np.ceil(radius_mm / spacing).astype(int)
        around = np.stack(np.meshgrid(*(np.arange(-r, r + 1) for r in reach), indexing="ij"), axis=-1).reshape(-1, 3)
        places = np.rint(middle).astype(int) + around
        # Voxels may be larger than the sphere: the nearest to its centre is always one of the places.
        places = places[np.linalg.norm((places - middle) * spacing, axis=1) <= max(radius_mm, float(spacing.max()))]
        low, high = places.min(axis=0) - kernels.half, places.max(axis=0) + kernels.half + 1
        if np.any(low < 0) or np.any(high > np.array(volume.image.shape)):
            return None
        z, y, x = (slice(int(a), int(b)) for a, b in zip(low, high, strict=True))
        return cls((z, y, x), places - low, middle - low, spacing, radius_mm, kernels)

    def highest(self, values: NDArray[np.float64]) -> float:
        """Return the highest mean of the 1 mL sphere in ``values[z, y, x]``, the cut of an image.

        Every voxel is tried as the centre, then the best dozen on a grid of 1 mm or finer within half a voxel.
        """
        means = self._central_means(values)
        best = self.at[np.argsort(means)[::-1][:_PEAK_CANDIDATES]]
        refined = shifted_means(values, best, self.kernels)
        off = np.linalg.norm((best[:, None] + self.kernels.shifts - self.middle) * self.spacing_zyx_mm, axis=2)
        refined[off > self.radius_mm] = -np.inf
        return float(max(means.max(), refined.max()))

    def _central_means(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the means of the sphere about the centre of every voxel tried, all at once as one convolution."""
        spectrum = np.fft.rfftn(values) * np.fft.rfftn(self.kernels.central, values.shape, axes=(0, 1, 2)).conj()
        # It wraps round the cut, but no box of a voxel tried does.
        corners = np.fft.irfftn(spectrum, values.shape, axes=(0, 1, 2))
        return np.asarray(corners[tuple((self.at - self.kernels.half).T)])


def peak(volume: PetVolume, inside: NDArray[np.bool_], *, min_share: float = PEAK_MIN_SHARE) -> Peak | None:
    """Return the 1 mL sphere with the highest mean in a region; None where none lies far enough inside.

    Parameters
    ----------
    volume : PetVolume
    inside : ndarray of bool, shape (z, y, x)
        The region; its voxels count whole.
    min_share : float
        How much of the sphere must lie in the region, 0 to 1. The box of voxels about it lies in the image.

    Notes
    -----
    The centre is sought on a grid of 1 mm or finer, at the voxels' centres too; weights are exact. About a region of
    more than 20 000 voxels the places with the hottest surroundings are tried.
    """
    kernels = _with_center(peak_kernels(volume))
    best: Peak | None = None
    for crop, mask, at, low in _around(volume, inside, kernels, min_share):
        means = shifted_means(crop, at, kernels)
        shares = shifted_means(mask, at, kernels)
        means[shares < min_share - 1e-9] = -np.inf
        n, k = np.unravel_index(int(np.argmax(means)), means.shape)
        if np.isfinite(means[n, k]) and (best is None or means[n, k] > best.mean):
            center = volume.to_lps_mm(at[n] + low + kernels.shifts[k])
            best = Peak(float(means[n, k]), center, min(float(shares[n, k]), 1.0))
    return best


def _with_center(kernels: PeakKernels) -> PeakKernels:
    """Return the same places with the voxel's centre first."""
    return PeakKernels(
        kernels.half,
        kernels.central,
        np.vstack([np.zeros(3), kernels.shifts]),
        np.vstack([kernels.central.ravel(), kernels.shifted]),
    )


def _around(
    volume: PetVolume, inside: NDArray[np.bool_], kernels: PeakKernels, min_share: float
) -> Iterator[tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.intp], NDArray[np.intp]]]:
    """Yield voxels that the centre may lie near, in portions: image, mask, the voxels in both, and their corner.

    Image and mask are cut to the region and a sphere's width about it, in the image.
    """
    shape = np.array(inside.shape)
    where = np.argwhere(inside)
    if not len(where) or np.any(shape < 2 * kernels.half + 1):
        return
    low = np.maximum(where.min(axis=0) - 2 * kernels.half, 0)
    high = np.minimum(where.max(axis=0) + 2 * kernels.half + 1, shape)
    box = tuple(slice(a, b) for a, b in zip(low, high, strict=True))
    image, mask = volume.image[box].astype(np.float64), inside[box].astype(np.float64)
    window = tuple(int(edge) for edge in 2 * kernels.half + 1)
    # No sphere holds more of the region than the box about it does.
    in_box_ml = ndimage.uniform_filter(mask, window, mode="constant") * math.prod(window) * voxel_ml(volume)
    fits = in_box_ml >= min_share - 1e-6
    for axis, edge in enumerate(kernels.half):  # the sphere's box lies in the image
        outer = np.moveaxis(fits, axis, 0)
        outer[:edge] = False
        outer[len(outer) - edge :] = False
    at = np.argwhere(fits)
    if len(at) > _PEAK_VOXELS:
        # What is hot outside the region must not take the places of what is inside.
        cube = tuple(max(round(10.0 / step), 1) for step in volume.spacing_zyx_mm)
        own = np.where(mask > 0, image, image[mask > 0].min())
        heat = ndimage.uniform_filter(own, cube, mode="nearest")[fits]
        at = at[np.argpartition(heat, -_PEAK_VOXELS)[-_PEAK_VOXELS:]]
    size = max(_CHUNK_VALUES // math.prod(window), 1)
    for start in range(0, len(at), size):
        yield image, mask, at[start : start + size], low


# --- metabolic volume --------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Reference:
    """Mean and standard deviation over a reference region."""

    mean: float
    sd: float


def liver_reference(
    volume: PetVolume, center_lps_mm: ArrayLike, diameter_mm: float = LIVER_DIAMETER_MM
) -> Reference | None:
    """Return mean and SD in a sphere of 3 cm in the right lobe of the liver; None where the image cuts it."""
    ball = rois.sphere(volume, center_lps_mm, diameter_mm / 2.0)
    if not ball.is_complete:
        return None
    mean, values = ball.mean(volume.image), ball.values(volume.image).astype(np.float64)
    variance = float((ball.weights * (values - mean) ** 2).sum() / ball.weights.sum())
    return Reference(mean, math.sqrt(variance))


@dataclass(frozen=True)
class ThresholdRule:
    """What belongs to the metabolic volume: one term or several, which add up. The id is stored with every number.

    ``of_maximum`` is a fraction of the region's maximum, ``fixed`` a value in the volume's unit, ``of_liver_mean`` and
    ``of_liver_sd`` multiples of the liver's.
    """

    id: str
    of_maximum: float = 0.0
    fixed: float = 0.0
    of_liver_mean: float = 0.0
    of_liver_sd: float = 0.0

    def value(self, maximum: float, liver: Reference | None) -> float:
        """Return the threshold in the volume's unit.

        Raises
        ------
        ValueError
            Where the rule needs a liver and there is none.
        """
        found = self.of_maximum * maximum + self.fixed
        if self.of_liver_mean or self.of_liver_sd:
            if liver is None:
                raise ValueError(f"the rule {self.id} needs the liver's mean and SD")
            found += self.of_liver_mean * liver.mean + self.of_liver_sd * liver.sd
        return found


#: The rules in use. 41 %, 4.0 and 2.5 are the field's [MH]; PERCIST's liver rule is 1.5 means and 2 SD (Wahl 2009).
THRESHOLD_RULES: Mapping[str, ThresholdRule] = {
    rule.id: rule
    for rule in (
        ThresholdRule("max_41pct", of_maximum=0.41),
        ThresholdRule("suv_4_0", fixed=4.0),
        ThresholdRule("suv_2_5", fixed=2.5),
        ThresholdRule("liver_1_5_mean_2_sd", of_liver_mean=1.5, of_liver_sd=2.0),
    )
}


@dataclass(frozen=True)
class MetabolicVolume:
    """Metabolic tumour volume (MTV) and total lesion glycolysis (TLG), with the rule that they hang on.

    ``mean`` is None where no voxel reaches the threshold; ``tlg`` is mean times volume, SUV · mL.
    """

    rule_id: str
    threshold: float
    mtv_ml: float
    mean: float | None
    tlg: float


def metabolic_volume(
    volume: PetVolume, inside: NDArray[np.bool_], rule: ThresholdRule, liver: Reference | None = None
) -> MetabolicVolume:
    """Return volume and mean of the voxels of a region that reach a rule's threshold.

    Parameters
    ----------
    volume : PetVolume
        In SUV where the rule has a fixed value.
    inside : ndarray of bool, shape (z, y, x)
        At least one voxel.
    rule : ThresholdRule
    liver : Reference, optional
        What a liver rule needs.

    Raises
    ------
    ValueError
        Where the rule needs a liver and there is none.
    """
    values = volume.image[inside].astype(np.float64)
    threshold = rule.value(float(values.max()), liver)
    reached = values[values >= threshold]
    each_ml = voxel_ml(volume)
    return MetabolicVolume(
        rule_id=rule.id,
        threshold=threshold,
        mtv_ml=len(reached) * each_ml,
        mean=float(reached.mean()) if len(reached) else None,
        tlg=float(reached.sum()) * each_ml,
    )
