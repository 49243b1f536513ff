"""The largest body in an image and its own axis: what a search for a phantom starts from."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage

from phantoms.volume import PetVolume, binned

if TYPE_CHECKING:
    from numpy.typing import NDArray

_COARSE_VOXEL_MM = 4.0
SMOOTHING_MM = 5.0  # standard deviation of the coarse image's smoothing
_TRUNCATE = 3.0  # standard deviations at which it ends
_SHORTEST_BODY_MM = 60.0  # what is bright, shorter, and at an end of the scan is the noise of its end slices


@dataclass(frozen=True)
class Body:
    """The phantom's outline as the coarse, smoothed image shows it.

    Attributes
    ----------
    image : PetVolume
        Voxels of about 4 mm, smoothed by 5 mm.
    mask : ndarray of bool, shape (z, y, x)
        Voxels of the largest body above half its own median.
    level : float
        That median, in the image's unit.
    axis : ndarray, shape (3,)
        Unit vector along the line through the centroids of its slices, towards +z (head).
    point_lps_mm : ndarray, shape (3,)
        A point of that line.
    """

    image: PetVolume
    mask: NDArray[np.bool_]
    level: float
    axis: NDArray[np.float64]
    point_lps_mm: NDArray[np.float64]


def find_body(volume: PetVolume) -> Body | None:
    """Find the largest body and the axis through the centroids of its slices; None where nothing stands out."""
    coarse = binned(volume, _COARSE_VOXEL_MM)
    sigma = [SMOOTHING_MM / step for step in coarse.spacing_zyx_mm]
    in_slices = ndimage.gaussian_filter(coarse.image, [0.0, *sigma[1:]], mode="nearest", truncate=_TRUNCATE)
    # Hot ends are left out before smoothing along the axis, which would carry them into the body.
    body = _cut_hot_ends(PetVolume(in_slices, coarse.affine_lps_mm, coarse.unit))
    smooth = _smoothed_along_z(body.image, sigma[0])
    threshold = _half_level(_thinned(smooth))
    if threshold is None:
        return None
    # The cold insert and cold spheres lie inside the outline.
    mask = _filled_by_slice(_largest_part(smooth > threshold))
    image = PetVolume(smooth, body.affine_lps_mm, body.unit)
    line = _centroid_line(image, mask)
    if line is None:
        return None
    return Body(image, mask, 2.0 * threshold, line[0], line[1])


def without_hot_ends(volume: PetVolume, body: Body) -> PetVolume:
    """Return the slices that `find_body` looked at: not those of an end that outshine the body."""
    last = len(body.image.image) - 0.5
    first, stop = (volume.to_index_zyx(body.image.to_lps_mm(np.array([z, 0.0, 0.0])))[0] for z in (-0.5, last))
    low, high = max(0, math.ceil(first)), min(len(volume.image), math.floor(stop) + 1)
    affine = volume.affine_lps_mm.copy()
    affine[:3, 3] += low * affine[:3, 2]
    return PetVolume(volume.image[low:high], affine, volume.unit)


def beside_an_end(mask: NDArray[np.bool_], step_mm: float) -> slice | None:
    """Return the slices beside a short bright body at an end of the scan: the noise that end slices have.

    Parameters
    ----------
    mask : ndarray of bool, shape (z, y, x)
        The brightest body.
    step_mm : float
        Distance of the slices.
    """
    bright = np.flatnonzero(mask.any(axis=(1, 2)))
    first, last, count = int(bright[0]), int(bright[-1]), len(mask)
    if (last + 1 - first) * step_mm >= _SHORTEST_BODY_MM:
        return None
    if last == count - 1 and first > 0:
        return slice(0, first)
    return slice(last + 1, count) if first == 0 and last < count - 1 else None


def _cut_hot_ends(in_slices: PetVolume) -> PetVolume:
    """Leave out end slices that outshine the body, of an image that is smooth within its slices."""
    for _ in range(2):  # one end, then the other
        image = _thinned(in_slices.image)
        threshold = _half_level(image)
        if threshold is None:
            break
        rest = beside_an_end(_largest_part(image > threshold), in_slices.spacing_zyx_mm[0])
        if rest is None:
            break
        affine = in_slices.affine_lps_mm.copy()
        affine[:3, 3] += rest.start * affine[:3, 2]
        in_slices = PetVolume(in_slices.image[rest], affine, in_slices.unit)
    return in_slices


def _smoothed_along_z(image: NDArray[np.float32], sigma: float) -> NDArray[np.float32]:
    """Return the image smoothed across its slices: one product, which is faster than a filter that strides."""
    each = np.eye(len(image), dtype=np.float32)
    weights = ndimage.gaussian_filter1d(each, sigma, axis=0, mode="nearest", truncate=_TRUNCATE)
    return np.asarray((weights @ image.reshape(len(image), -1)).reshape(image.shape))


def _thinned(smooth: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return every other row and column: of a smooth image they tell the same."""
    return smooth[:, ::2, ::2]


def _half_level(image: NDArray[np.float32]) -> float | None:
    """Return half the level of what is bright; None where nothing stands out."""
    above = image[image > image.mean()]
    if not above.size or not np.isfinite(above).all():
        return None
    threshold = 0.5 * float(above.mean())
    if threshold <= 0:
        return None  # an even image below nothing: above half of its level there is no voxel
    for _ in range(4):  # half the median of what lies above half the median: settles in two or three rounds
        threshold = 0.5 * float(np.median(image[image > threshold]))
    return threshold


def _largest_part(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return the largest part of a mask that hangs together over faces."""
    labels, _ = ndimage.label(mask)
    return np.asarray(labels == 1 + int(np.argmax(np.bincount(labels.ravel())[1:])))


def _filled_by_slice(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return the mask ``[z, y, x]`` with all that it encloses within each slice."""
    in_slice = np.zeros((3, 3, 3), dtype=bool)
    in_slice[1] = ndimage.generate_binary_structure(2, 1)
    labels, count = ndimage.label(~mask, structure=in_slice)
    is_inside = np.ones(count + 1, dtype=bool)
    for border in (labels[:, 0], labels[:, -1], labels[:, :, 0], labels[:, :, -1]):
        is_inside[border] = False
    is_inside[0] = True  # the mask itself
    return np.asarray(is_inside[labels])


def _centroid_line(image: PetVolume, mask: NDArray[np.bool_]) -> tuple[NDArray[np.float64], NDArray[np.float64]] | None:
    """Fit a line to the centroids of the slices that show the whole cross-section."""
    area = mask.sum(axis=(1, 2))
    if not area.any():
        return None
    usual = float(np.median(area[area > 0]))
    whole = np.flatnonzero((area > 0.85 * usual) & (area < 1.15 * usual))
    if len(whole) < 4:
        return None
    y = mask[whole].sum(axis=2) @ np.arange(mask.shape[1]) / area[whole]
    x = mask[whole].sum(axis=1) @ np.arange(mask.shape[2]) / area[whole]
    points = image.to_lps_mm(np.column_stack([whole, y, x]))
    keep = np.ones(len(points), dtype=bool)
    for _ in range(2):
        design = np.column_stack([points[keep, 2], np.ones(int(keep.sum()))])
        slope, intercept = np.linalg.lstsq(design, points[keep, :2], rcond=None)[0]
        misfit = np.linalg.norm(points[:, :2] - points[:, 2:] * slope - intercept, axis=1)
        keep = misfit <= max(3.0 * float(np.median(misfit)), 0.5)
    axis = np.append(slope, 1.0)
    height = float(points[keep, 2].mean())
    return axis / np.linalg.norm(axis), np.append(height * slope + intercept, height)
