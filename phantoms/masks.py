"""Regions drawn elsewhere, brought onto a volume's grid: NIfTI, DICOM SEG and RTSTRUCT."""

from __future__ import annotations

import gzip
import struct
import zlib
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from phantoms.dicom_series import regions
from phantoms.dicom_series.regions import unreadable
from phantoms.errors import AnalysisRefused
from phantoms.volume import PetVolume

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

# NIfTI-1 datatype code -> numpy kind; the header's byte order is put before it.
_KINDS = {2: "u1", 4: "i2", 8: "i4", 16: "f4", 64: "f8", 256: "i1", 512: "u2", 768: "u4", 1024: "i8", 1280: "u8"}
_HEADER_BYTES = 348
_MAX_BYTES = 512 * 1024**2  # unpacked
_RAS_TO_LPS = np.diag([-1.0, -1.0, 1.0, 1.0])
_MAX_LEAN = 0.25  # of a slice, between the points of one contour
_ROUNDING = 0.01  # of a slice


def read_mask(path: Path, volume: PetVolume) -> NDArray[np.bool_]:
    """Read a mask onto the grid of a volume: NIfTI-1 (``.nii``, ``.nii.gz``), DICOM SEG or RTSTRUCT, known by content.

    Parameters
    ----------
    path : Path
        One region. NIfTI: values other than 0 are inside; the affine is sform where set, else qform, RAS millimetres.
        SEG: one segment, of a fractional one half and more. RTSTRUCT: one ROI of closed planar contours that lie along
        the slices of the volume.
    volume : PetVolume

    Returns
    -------
    ndarray of bool, shape (z, y, x)
        True where the centre of a voxel of the volume lies in a voxel of the mask that is inside, or in the contours
        of the nearest plane.

    Raises
    ------
    AnalysisRefused
        ``MASK-UNREADABLE`` where it is no such file, ``MASK-AMBIGUOUS`` where it holds several regions,
        ``MASK-OUTSIDE`` where nothing of it lies on the volume.
    """
    if _is_dicom(path):
        region = regions.read_region(path)
        if isinstance(region, regions.Contours):
            return _on_volume(_fill(region.polygons_lps_mm, volume), has_any=True)
        stored, affine_lps_mm = region.inside, region.affine_lps_mm
    else:
        values, affine_ras_mm = _read_nifti(path)
        stored, affine_lps_mm = values != 0, _RAS_TO_LPS @ affine_ras_mm
    return _on_volume(_resampled(stored, affine_lps_mm, volume), has_any=bool(stored.any()))


def _is_dicom(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return file.read(132)[128:] == b"DICM"
    except OSError as error:
        raise unreadable("it could not be opened") from error


def _on_volume(inside: NDArray[np.bool_], *, has_any: bool) -> NDArray[np.bool_]:
    if has_any and not inside.any():
        raise AnalysisRefused(
            "MASK-OUTSIDE", "The mask does not lie on this series.", next_step="Check that it was drawn on this series."
        )
    return inside


def _resampled(stored: NDArray[np.bool_], affine_lps_mm: NDArray[np.float64], volume: PetVolume) -> NDArray[np.bool_]:
    """Return for each voxel of a volume whether its centre lies in a voxel of ``stored[i, j, k]`` that is inside."""
    to_mask = np.linalg.inv(affine_lps_mm) @ volume.affine_lps_mm  # index (x,y,z,1) -> index (i,j,k,1)
    inside = np.zeros(volume.image.shape, bool)
    z, y, x = (np.arange(size) for size in volume.image.shape)
    for k in z:  # plane by plane, so that no grid of coordinates is held
        index = [
            np.rint(row[0] * x[None, :] + row[1] * y[:, None] + row[2] * k + row[3]).astype(np.int64)
            for row in to_mask[:3]
        ]
        on_grid = np.logical_and.reduce([(i >= 0) & (i < size) for i, size in zip(index, stored.shape, strict=True)])
        inside[k][on_grid] = stored[index[0][on_grid], index[1][on_grid], index[2][on_grid]]
    return inside


# --- contours ----------------------------------------------------------------------------------------------------


def _fill(polygons_lps_mm: Sequence[NDArray[np.float64]], volume: PetVolume) -> NDArray[np.bool_]:
    """Return the voxels whose centres lie in the contours of the plane that is nearest to their slice."""
    planes: dict[float, list[NDArray[np.float64]]] = {}
    for polygon in polygons_lps_mm:
        points = volume.to_index_zyx(polygon)
        if np.ptp(points[:, 0]) > _MAX_LEAN:
            raise unreadable("its contours are tilted against the slices of this series")
        planes.setdefault(round(float(points[:, 0].mean()), 2), []).append(points[:, 1:])
    heights = np.array(sorted(planes))
    step = float(np.median(np.diff(heights))) if len(heights) > 1 else 1.0
    inside = np.zeros(volume.image.shape, bool)
    for k in range(len(inside)):
        nearest = float(heights[np.argmin(np.abs(heights - k))])
        if abs(nearest - k) <= step / 2 + _ROUNDING:
            inside[k] = _inside_polygons(planes[nearest], inside.shape[1:])
    return inside


def _inside_polygons(polygons: Sequence[NDArray[np.float64]], shape: tuple[int, ...]) -> NDArray[np.bool_]:
    """Return the pixels of a slice whose centres lie inside an odd number of polygons ``[n, (y, x)]``.

    Along a row, every edge that is crossed turns inside into outside. An edge owns its upper end and not its lower one.
    """
    rows, columns = shape
    turns = np.zeros((rows, columns + 1), np.int64)
    for polygon in polygons:
        start, stop = polygon, np.roll(polygon, -1, axis=0)
        first = np.clip(np.ceil(np.minimum(start[:, 0], stop[:, 0])), 0, rows).astype(int)
        last = np.clip(np.ceil(np.maximum(start[:, 0], stop[:, 0])), 0, rows).astype(int)
        crossed = last - first
        edge = np.repeat(np.arange(len(polygon)), crossed)
        row = np.arange(len(edge)) - np.repeat(np.cumsum(crossed) - crossed, crossed) + first[edge]
        (y0, x0), (y1, x1) = start[edge].T, stop[edge].T
        at = x0 + (row - y0) * (x1 - x0) / (y1 - y0)
        np.add.at(turns, (row, np.clip(np.ceil(at), 0, columns).astype(int)), 1)
    return np.asarray(np.cumsum(turns, axis=1)[:, :columns] % 2 == 1)


# --- NIfTI -------------------------------------------------------------------------------------------------------


def _read_nifti(path: Path) -> tuple[NDArray[np.generic], NDArray[np.float64]]:
    """Return the stored values ``[i, j, k]`` and the affine, RAS millimetres."""
    try:
        with path.open("rb") as file:
            is_packed = file.read(2) == b"\x1f\x8b"
        with gzip.open(path) if is_packed else path.open("rb") as file:
            raw = file.read(_MAX_BYTES)
    except (OSError, EOFError, zlib.error) as error:
        raise unreadable("it could not be opened") from error
    order = next((o for o in "<>" if len(raw) >= 352 and struct.unpack(o + "i", raw[:4])[0] == _HEADER_BYTES), None)
    if order is None or raw[344:347] not in {b"n+1", b"ni1"}:
        raise unreadable("it is no NIfTI-1 file")
    shape = struct.unpack(order + "8h", raw[40:56])
    code = struct.unpack(order + "h", raw[70:72])[0]
    voxel_offset = int(struct.unpack(order + "f", raw[108:112])[0])
    dimensions = shape[1 : 1 + shape[0]] if 3 <= shape[0] <= 7 else ()
    if len(dimensions) < 3 or min(dimensions) < 1 or max(dimensions[3:], default=1) > 1 or code not in _KINDS:
        raise unreadable("it is not one volume of whole or real numbers")
    kind = np.dtype(order + _KINDS[code])
    count = int(np.prod(dimensions[:3], dtype=np.int64))
    if voxel_offset < _HEADER_BYTES or voxel_offset + count * kind.itemsize > len(raw):
        raise unreadable("it is cut off")
    stored = np.frombuffer(raw, kind, count, voxel_offset).reshape(dimensions[:3], order="F")
    affine = _affine_ras_mm(raw, order)
    if not np.isfinite(affine).all() or abs(np.linalg.det(affine)) < 1e-9:
        raise unreadable("its position in space is missing")
    return stored, affine


def _affine_ras_mm(raw: bytes, order: str) -> NDArray[np.float64]:
    qform, sform = struct.unpack(order + "2h", raw[252:256])
    affine = np.eye(4)
    if sform > 0:
        affine[:3] = np.reshape(struct.unpack(order + "12f", raw[280:328]), (3, 4))
        return affine
    if qform <= 0:
        raise unreadable("its position in space is missing")
    # The quaternion's scalar part follows from its length being 1; pixdim[0] says whether k points backwards.
    b, c, d, *offset = struct.unpack(order + "6f", raw[256:280])
    a = max(0.0, 1 - b * b - c * c - d * d) ** 0.5
    pixdim = struct.unpack(order + "4f", raw[76:92])
    rotation = np.array(
        [
            [a * a + b * b - c * c - d * d, 2 * (b * c - a * d), 2 * (b * d + a * c)],
            [2 * (b * c + a * d), a * a + c * c - b * b - d * d, 2 * (c * d - a * b)],
            [2 * (b * d - a * c), 2 * (c * d + a * b), a * a + d * d - b * b - c * c],
        ]
    )
    affine[:3, :3] = rotation * np.array([pixdim[1], pixdim[2], pixdim[3] * (-1 if pixdim[0] < 0 else 1)])
    affine[:3, 3] = offset
    return affine
