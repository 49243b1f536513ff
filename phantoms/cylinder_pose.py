"""Find a uniform cylinder: its axis, radius, ends, and whether it is one at all."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage

from phantoms.body import beside_an_end
from phantoms.errors import AnalysisRefused
from phantoms.sight import PhantomNotFound, Sight
from phantoms.volume import PetVolume, along_patient_axes, binned

if TYPE_CHECKING:
    from numpy.typing import NDArray

# The image is smoothed by this Gaussian before it is cut at half its level, so that noise makes no holes.
_SMOOTHING_MM = 3.4
_VOXEL_MM = 2.0  # voxels much smaller than this are averaged first
_COARSE_VOXEL_MM = 8.0
_END_BLUR_MM = 10.0  # how far from an end the smoothed outline is still rounded
_SCAN_ENDS = 2
_MIN_CORRELATION = 0.05  # where that of neighbouring slices is taken to end
_WIDE = 1.3  # of the usual section; a cylinder has one section
_CORE = 0.7  # ends are measured inside this share of the radius, where the rim does not round them off

# What still counts as one uniform cylinder. The outline bounds are those of a round body: the IEC body strays 13 mm
# from its best circle. A spot is what differs from the rest by more than uniformity tests look for, and than noise.
_MIN_RADIUS_MM = 40.0
_MIN_LENGTH_MM = 60.0
_MAX_TILT_DEG = 20.0
_MAX_RESIDUAL_MM = 4.0
_SPOT_RATIO = 0.35
_SPOT_NOISE = 5.0
_SPOT_MIN_ML = 0.3
_SPOT_MARGIN_MM = 15.0


@dataclass(frozen=True)
class CylinderPose:
    """Where a uniform cylinder lies. Positions are DICOM patient coordinates (LPS), millimetres.

    Attributes
    ----------
    center_lps_mm : ndarray, shape (3,)
        Middle of the part that the image shows.
    axis : ndarray, shape (3,)
        Unit vector along the cylinder, towards +z (head).
    radius_mm, length_mm : float
        Inner radius, and length of the part that the image shows.
    tilt_deg : float
        Angle between ``axis`` and z.
    residual_mm : float
        Mean distance between the outline in the image and the cylinder's.
    is_cut : tuple of bool
        Whether the image, not the cylinder, ends at the feet's and at the head's side.
    is_cut_across : bool
        Whether the outline reaches an edge of the image in x or y, so that its wall is not all seen.
    axis_covariance : ndarray, shape (3, 3)
        Of ``axis``, by how the centroids of the slices scatter about it.
    """

    center_lps_mm: NDArray[np.float64]
    axis: NDArray[np.float64]
    radius_mm: float
    length_mm: float
    tilt_deg: float
    residual_mm: float
    is_cut: tuple[bool, bool]
    is_cut_across: bool
    axis_covariance: NDArray[np.float64]


@dataclass(frozen=True)
class _Line:
    """A straight line through centroids: a point on it, its direction towards +z, and that one's covariance."""

    point_lps_mm: NDArray[np.float64]
    axis: NDArray[np.float64]
    axis_covariance: NDArray[np.float64]


@dataclass(frozen=True)
class _Outline:
    """The box round the body, ``[z, y, x]`` along the patient's axes: smoothed image, body's mask, half its level."""

    volume: PetVolume
    mask: NDArray[np.bool_]
    half_level: float

    def cylindrical(
        self, point: NDArray[np.float64], axis: NDArray[np.float64]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        return cylindrical(self.volume, point, axis)


def cylindrical(
    volume: PetVolume, point_lps_mm: NDArray[np.float64], axis: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return each voxel's position along an axis and its squared distance from it, ``[z, y, x]``, mm and mm²."""
    spacing = volume.spacing_zyx_mm
    columns = volume.affine_lps_mm[:3, :3] / np.array(spacing[::-1])
    start = (volume.affine_lps_mm[:3, 3] - point_lps_mm) @ columns
    lean = axis @ columns
    z, y, x = (np.arange(volume.image.shape[k]) * spacing[k] + start[2 - k] for k in range(3))
    along = (z * lean[2])[:, None, None] + (y * lean[1])[None, :, None] + (x * lean[0])[None, None, :]
    squared = (z * z)[:, None, None] + (y * y)[None, :, None] + (x * x)[None, None, :]
    return along, squared - along**2


def slice_heights_mm(
    volume: PetVolume, point_lps_mm: NDArray[np.float64], axis: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return where the middle of each slice cuts an axis, millimetres along it from a point on it."""
    columns = volume.affine_lps_mm[:3, :3]
    normal = np.cross(columns[:, 0], columns[:, 1])
    planes = volume.affine_lps_mm[:3, 3] + np.arange(volume.image.shape[0])[:, None] * columns[:, 2]
    return np.asarray((planes - point_lps_mm) @ normal / (axis @ normal))


def find_cylinder(volume: PetVolume) -> CylinderPose:
    """Find the one uniform cylinder that fills the image.

    The axis within 20 degrees of z; any flip; ends may lie outside the image.

    Parameters
    ----------
    volume : PetVolume
        The image, in any unit.

    Raises
    ------
    AnalysisRefused
        ``PHA-NOT-FOUND`` where the brightest body is too small or not round, or holds hot or cold spots. ``detail``
        says what was seen; where a body stood out it is a `PhantomNotFound`, whose ``sight`` has its outline.

    Notes
    -----
    Largest connected body above half the bright level of the smoothed image; axis by a line through the centroids of
    the slices that it fills to the rim; radius and ends where the mean profiles across and along the axis fall to
    half the level.
    """
    body = _body(volume)
    try:
        pose = _fitted(body)
        _refuse_unless_cylinder(pose, body)
        _refuse_spots(pose, body)
    except AnalysisRefused as refused:
        outline = PetVolume(body.mask.astype(np.float32), body.volume.affine_lps_mm, "1")
        raise PhantomNotFound(refused.detail, next_step=refused.next_step, sight=Sight(outline)) from refused
    return pose


def find_round_body(volume: PetVolume) -> CylinderPose:
    """Find the round body that fills the image, whatever stands in it; see `find_cylinder`.

    Raises
    ------
    AnalysisRefused
        ``PHA-NOT-FOUND`` where the brightest body is too small or not round.
    """
    body = _body(volume)
    pose = _fitted(body)
    _refuse_unless_cylinder(pose, body)
    return pose


def _fitted(body: _Outline) -> CylinderPose:
    spacing = body.volume.spacing_zyx_mm
    area_mm2 = body.mask.sum(axis=(1, 2)) * spacing[1] * spacing[2]
    full = _full_slices(area_mm2)
    if full.sum() < 3:
        raise _not_found(f"its section changes from slice to slice ({_size(body)})")
    line = _line(body, full)
    point, axis = line.point_lps_mm, line.axis
    cosine = float(axis[2])
    tilt_deg = math.degrees(math.acos(min(1.0, cosine)))
    radius_mm = math.sqrt(float(np.median(area_mm2[full])) * cosine / math.pi)
    if tilt_deg > _MAX_TILT_DEG:
        raise _not_found(f"its axis lies {tilt_deg:.0f}° from the scanner's")
    low, high = _ends(body, point, axis, radius_mm)
    # Blur and tilt cut the outermost of the slices that look full, and pull their centroids: fit again without them.
    heights = slice_heights_mm(body.volume, point, axis)
    rim_mm = radius_mm * math.sin(math.radians(tilt_deg)) + _END_BLUR_MM
    whole = full & (heights > low + rim_mm) & (heights < high - rim_mm)
    if whole.sum() >= 3:
        full = whole
        line = _line(body, full)
        point, axis = line.point_lps_mm, line.axis
    radius_mm = _radius_mm(body, full, point, axis) or radius_mm
    low, high = _ends(body, point, axis, radius_mm)
    return CylinderPose(
        center_lps_mm=point + axis * (low + high) / 2,
        axis=axis,
        radius_mm=radius_mm,
        length_mm=high - low,
        tilt_deg=math.degrees(math.acos(min(1.0, float(axis[2])))),
        residual_mm=_residual_mm(body, full, point, axis, radius_mm),
        is_cut=(bool(area_mm2[0] > 0), bool(area_mm2[-1] > 0)),
        is_cut_across=_touches_a_side(body.mask[full]),
        axis_covariance=line.axis_covariance,
    )


def _body(volume: PetVolume) -> _Outline:
    """Find the largest bright body in coarse voxels, then its outline in fine ones, in a box round it."""
    oriented = binned(along_patient_axes(volume), _VOXEL_MM)
    for _ in range(_SCAN_ENDS + 1):
        coarse = binned(oriented, _COARSE_VOXEL_MM)
        half, mask = _bright(coarse.image)
        rest = beside_an_end(mask, coarse.spacing_zyx_mm[0]) or _between_wide_ends(mask)
        if rest is None:
            break
        oriented = _slices(oriented, rest, round(coarse.spacing_zyx_mm[0] / oriented.spacing_zyx_mm[0]), len(mask))
    fine = _around(oriented, coarse, mask)
    outline = _smoothed(fine, half)
    rest = _between_wide_ends(outline.mask)  # what is less than a coarse slice at the end of the scan
    return outline if rest is None else _smoothed(_slices(fine, rest, 1, len(fine.image)), outline.half_level)


def _smoothed(fine: PetVolume, half: float) -> _Outline:
    """Smooth the box, and outline the largest body at half of its own level; ``half`` is near that."""
    sigma = [_SMOOTHING_MM / step for step in fine.spacing_zyx_mm]
    smooth = ndimage.gaussian_filter(fine.image, sigma, mode="nearest", truncate=3.0)
    half = 0.5 * float(np.median(smooth[_largest(smooth > half)]))
    # Holes that noise makes would pull the centroids.
    mask = np.stack([ndimage.binary_fill_holes(section) for section in _largest(smooth > half)])
    return _Outline(PetVolume(smooth, fine.affine_lps_mm, fine.unit), mask, half)


def _between_wide_ends(mask: NDArray[np.bool_]) -> slice | None:
    """Return the slices between ends where the body is far wider than usual: end slices whose noise touches it."""
    area = mask.sum(axis=(1, 2))
    usual = np.flatnonzero(area < _WIDE * np.median(area[area > 0]))
    first, last = int(usual[0]), int(usual[-1])
    return None if (first, last) == (0, len(mask) - 1) else slice(first, last + 1)


def _slices(volume: PetVolume, coarse: slice, factor: int, count: int) -> PetVolume:
    """Cut out the slices that lie in some of the ``count`` coarse ones, each of which holds ``factor``."""
    start, stop = coarse.start * factor, None if coarse.stop == count else coarse.stop * factor
    affine = volume.affine_lps_mm.copy()
    affine[:3, 3] += start * affine[:3, 2]
    return PetVolume(volume.image[start:stop], affine, volume.unit)


def _bright(image: NDArray[np.float32]) -> tuple[float, NDArray[np.bool_]]:
    """Return half the level of what is bright, and the largest body above it."""
    above = image[image > max(float(image.mean()), 0.0)]
    if not above.size or not np.isfinite(above).all():
        raise _not_found("nothing stands out from the image")
    half = 0.5 * float(above.mean())
    for _ in range(4):  # half the median of what lies above half the median settles in two or three rounds
        half = 0.5 * float(np.median(image[image > half]))
    return half, _largest(image > half)


def _largest(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    labels, count = ndimage.label(mask)
    if count == 0:
        raise _not_found("nothing stands out from the image")
    return np.asarray(labels == 1 + int(np.argmax(np.bincount(labels.ravel())[1:])))


def _around(volume: PetVolume, coarse: PetVolume, mask: NDArray[np.bool_]) -> PetVolume:
    """Cut the box out of ``volume`` that holds the body ``mask`` of ``coarse`` with a margin for the smoothing."""
    steps, coarse_steps = np.array(volume.spacing_zyx_mm), np.array(coarse.spacing_zyx_mm)
    margin_mm = 4 * _SMOOTHING_MM + coarse_steps
    box = ndimage.find_objects(mask.astype(np.int8))[0]
    low = [max(0, int((b.start * c - m) / s)) for b, c, m, s in zip(box, coarse_steps, margin_mm, steps, strict=True)]
    high = [int((b.stop * c + m) / s) + 1 for b, c, m, s in zip(box, coarse_steps, margin_mm, steps, strict=True)]
    affine = volume.affine_lps_mm.copy()
    affine[:3, 3] = volume.to_lps_mm(np.array(low, dtype=np.float64))
    image = volume.image[low[0] : high[0], low[1] : high[1], low[2] : high[2]]
    return PetVolume(image, affine, volume.unit)


def _full_slices(area_mm2: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Return the slices that a cylinder would fill to its rim: within 3 % of the usual area."""
    there = area_mm2[area_mm2 > 0]
    usual = float(np.median(there[there > 0.5 * np.median(there)]))
    return np.abs(area_mm2 / usual - 1) < 0.03


def _touches_a_side(mask: NDArray[np.bool_]) -> bool:
    """Say whether an outline reaches its box in y or x: the box keeps a margin that only the image's edge takes."""
    return bool(mask[:, [0, -1], :].any() or mask[:, :, [0, -1]].any())


def _centroids(body: _Outline, slices: NDArray[np.bool_]) -> NDArray[np.float64]:
    index = np.flatnonzero(slices)
    count = body.mask[index].sum(axis=(1, 2))
    y = body.mask[index].sum(axis=2) @ np.arange(body.mask.shape[1]) / count
    x = body.mask[index].sum(axis=1) @ np.arange(body.mask.shape[2]) / count
    return body.volume.to_lps_mm(np.stack([index, y, x], axis=1))


def _line(body: _Outline, slices: NDArray[np.bool_]) -> _Line:
    """Fit a straight line through the centroids of some slices."""
    places = _centroids(body, slices)
    z = places[:, 2] - places[:, 2].mean()
    slope = (places[:, :2] - places[:, :2].mean(axis=0)).T @ z / (z @ z)
    axis = np.array([slope[0], slope[1], 1.0])
    left = places[:, :2] - places[:, :2].mean(axis=0) - np.outer(z, slope)
    pixel_mm = math.sqrt(math.prod(body.volume.spacing_zyx_mm[1:]))
    area_mm2 = float(body.mask[slices].sum(axis=(1, 2)).mean()) * pixel_mm**2
    together = _pixels_together(z * float(np.linalg.norm(slope)), pixel_mm)
    pixels = _Scatter(2 * pixel_mm**3 / (9 * math.pi**1.5 * math.sqrt(area_mm2)), together)
    return _Line(places.mean(axis=0), axis / np.linalg.norm(axis), _slope_covariance(z, left, pixels))


@dataclass(frozen=True)
class _Scatter:
    """The variance of a centroid along one axis, mm², and how those of the slices go together, ``[slice, slice]``."""

    variance_mm2: float
    together: NDArray[np.float64]


def _pixels_together(moved_mm: NDArray[np.float64], pixel_mm: float) -> NDArray[np.float64]:
    """Return how the roundings of an edge go together that lies ``moved_mm`` further in each slice.

    A rounding goes as a saw-tooth with the place between two pixels: 1 − 6 f + 6 f² for f of a pixel between two.
    """
    share = np.abs(moved_mm[:, None] - moved_mm[None, :]) / pixel_mm % 1.0
    return np.asarray(1.0 - 6.0 * share + 6.0 * share**2)


def _slope_covariance(z_mm: NDArray[np.float64], left: NDArray[np.float64], pixels: _Scatter) -> NDArray[np.float64]:
    """Return the covariance of an axis, from what a straight line leaves of the centroids ``[slice, xy]``.

    With R the correlation of the slices, H the line's projection and h = z / z·z, a slope scatters by s² hᵀRh where the
    line leaves s² tr((1 − H) R) of the sum of squares; R is that of what is left, up to where it falls under 0.05. An
    outline of whole pixels errs too: each row of a circle of radius R ends on a pixel p, so its centroid scatters by
    2 p³ / 9π²R. In a body that leans by less than a pixel from end to end that leans with it and leaves next to
    nothing; in one that leans by more it is in what is left. So the larger of both stands, and nothing counts twice.
    """
    n = len(z_mm)
    design = np.column_stack([np.ones(n), z_mm])
    rest = np.eye(n) - design @ np.linalg.pinv(design)
    steepness = z_mm / float(z_mm @ z_mm)
    of_pixels = pixels.variance_mm2 * float(steepness @ pixels.together @ steepness)
    total = np.square(left).sum(axis=0)
    along = [float((left[lag:] * left[:-lag]).sum()) / max(float(total.sum()), 1e-30) for lag in range(1, n - 2)]
    ends = next((lag for lag, one in enumerate(along) if one < _MIN_CORRELATION), len(along))
    by_lag = np.zeros(n)
    by_lag[: ends + 1] = [1.0, *along[:ends]]
    together = by_lag[np.abs(np.arange(n)[:, None] - np.arange(n)[None, :])]
    of_left = float(steepness @ together @ steepness) / max(float((rest * together).sum()), 1.0)
    return np.diag([*np.maximum(total * of_left, of_pixels), 0.0])


def _ends(
    body: _Outline, point: NDArray[np.float64], axis: NDArray[np.float64], radius_mm: float
) -> tuple[float, float]:
    """Return where the core's profile along the axis falls to half level, or where the image ends."""
    along, squared = body.cylindrical(point, axis)
    core = squared < (_CORE * radius_mm) ** 2
    at, profile = _profile(along[core], body.volume.image[core], body.volume.spacing_zyx_mm[0])
    bright = np.flatnonzero(profile > body.half_level)
    if not bright.size:
        raise _not_found("it has no core")
    middle = int(bright[len(bright) // 2])
    heights = slice_heights_mm(body.volume, point, axis)
    half_step = abs(float(heights[-1] - heights[0])) / (2 * max(len(heights) - 1, 1))
    low = _falls_to(body.half_level, at[middle::-1], profile[middle::-1])
    high = _falls_to(body.half_level, at[middle:], profile[middle:])
    return (
        float(heights.min()) - half_step if low is None else low,
        float(heights.max()) + half_step if high is None else high,
    )


def _radius_mm(
    body: _Outline, slices: NDArray[np.bool_], point: NDArray[np.float64], axis: NDArray[np.float64]
) -> float | None:
    """Return where the profile across the axis falls to half level; None where it does not."""
    squared = body.cylindrical(point, axis)[1][slices]
    step = min(body.volume.spacing_zyx_mm[1:]) / 2
    at, profile = _profile(np.sqrt(squared).ravel(), body.volume.image[slices].ravel(), step)
    inside_mm = _falls_to(body.half_level, at, profile)
    # The half level of a disc smoothed by sigma lies inside its edge by sigma^2 / 2R.
    return None if inside_mm is None else inside_mm + _SMOOTHING_MM**2 / (2 * inside_mm)


def _profile(
    place_mm: NDArray[np.float64], values: NDArray[np.float32], step_mm: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return places a step apart and the mean value at each; a value counts for both of its neighbours, by distance."""
    place = place_mm / step_mm
    origin = math.floor(float(place.min()))
    lower = np.floor(place).astype(np.intp) - origin
    share = place - np.floor(place)
    size = int(lower.max()) + 2
    weight = np.bincount(lower, 1 - share, size) + np.bincount(lower + 1, share, size)
    total = np.bincount(lower, (1 - share) * values, size) + np.bincount(lower + 1, share * values, size)
    seen = np.flatnonzero(weight > 1e-6)
    return np.asarray((seen + origin) * step_mm), np.asarray(total[seen] / weight[seen], dtype=np.float64)


def _falls_to(level: float, at: NDArray[np.float64], profile: NDArray[np.float64]) -> float | None:
    """Return where a profile, going outwards, first falls to a level; None where it ends above it."""
    below = np.flatnonzero(profile <= level)
    if not below.size or below[0] == 0:
        return None
    k = int(below[0])
    share = (profile[k - 1] - level) / (profile[k - 1] - profile[k])
    return float(at[k - 1] + share * (at[k] - at[k - 1]))


def _residual_mm(
    body: _Outline, slices: NDArray[np.bool_], point: NDArray[np.float64], axis: NDArray[np.float64], radius_mm: float
) -> float:
    """Return the area between the outline and the fitted one, over the outline's length, mean of the full slices."""
    inside = body.cylindrical(point, axis)[1] < radius_mm**2
    differs = (inside != body.mask)[slices].mean(axis=0).sum()
    pixel_mm2 = body.volume.spacing_zyx_mm[1] * body.volume.spacing_zyx_mm[2]
    return float(differs * pixel_mm2 / (2 * math.pi * radius_mm))


def _refuse_unless_cylinder(pose: CylinderPose, body: _Outline) -> None:
    if pose.radius_mm < _MIN_RADIUS_MM or pose.length_mm < _MIN_LENGTH_MM:
        raise _not_found(f"it is {2 * pose.radius_mm:.0f} mm wide and {pose.length_mm:.0f} mm long")
    if pose.residual_mm > max(_MAX_RESIDUAL_MM, max(body.volume.spacing_zyx_mm[1:])):
        raise _not_found(f"its outline strays {pose.residual_mm:.0f} mm from a circle ({_size(body)})")


def _refuse_spots(pose: CylinderPose, body: _Outline) -> None:
    along, squared = body.cylindrical(pose.center_lps_mm, pose.axis)
    inner = np.abs(along) < pose.length_mm / 2 - _SPOT_MARGIN_MM
    inner &= squared < (pose.radius_mm - _SPOT_MARGIN_MM) ** 2
    values = body.volume.image[inner]
    middle = float(np.median(values))
    ratio = np.abs(values / middle - 1)
    noise = 1.4826 * float(np.median(ratio))
    spot_ml = float((ratio > max(_SPOT_RATIO, _SPOT_NOISE * noise)).sum())
    spot_ml *= math.prod(body.volume.spacing_zyx_mm) / 1000
    if spot_ml > _SPOT_MIN_ML:
        raise _not_found(f"{spot_ml:.1f} mL of it read more than {100 * _SPOT_RATIO:.0f} % off the rest")


def _size(body: _Outline) -> str:
    z, y, x = (np.ptp(axis) + 1 for axis in np.nonzero(body.mask))
    step = body.volume.spacing_zyx_mm
    return f"{x * step[2]:.0f} × {y * step[1]:.0f} × {z * step[0]:.0f} mm"


def _not_found(what: str) -> AnalysisRefused:
    return AnalysisRefused(
        "PHA-NOT-FOUND",
        f"We could not find one uniform cylinder. Looking at the brightest body: {what}.",
        next_step="Check that the whole phantom is in the field and that this is the uniform cylinder.",
    )
