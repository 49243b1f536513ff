"""One region out of a DICOM segmentation (SEG) or structure set (RTSTRUCT), in patient coordinates.

Sources: DICOM PS3.3 C.8.20 (segmentation), C.8.8.5 and C.8.8.6 (structure set and its contours).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from pydicom import dcmread

from phantoms.dicom_series.authority import Bounded
from phantoms.errors import AnalysisRefused

if TYPE_CHECKING:
    from numpy.typing import NDArray

SEGMENTATION = "1.2.840.10008.5.1.4.1.1.66.4"
STRUCTURE_SET = "1.2.840.10008.5.1.4.1.1.481.3"
MAX_VOXELS = 512 * 1024**2
_MAX_FILE_BYTES = 512 * 1024**2
_MAX_PLANES = 4096
_SAME_MM = 0.05  # what rounding in texts may move a plane by
_UNEVEN = 0.2  # of a step


@dataclass(frozen=True)
class Segment:
    """Voxels ``inside[i, j, k]`` on a grid of their own; the affine maps ``(i, j, k, 1)`` to LPS millimetres."""

    inside: NDArray[np.bool_]
    affine_lps_mm: NDArray[np.float64]


@dataclass(frozen=True)
class Contours:
    """Closed planar polygons, each ``[n, 3]`` LPS millimetres; where two overlap in a plane, the inner is a hole."""

    polygons_lps_mm: tuple[NDArray[np.float64], ...]


def read_region(path: Path) -> Segment | Contours:
    """Read the one region of a DICOM SEG or RTSTRUCT file.

    Raises
    ------
    AnalysisRefused
        ``MASK-UNREADABLE`` where it is neither or is broken, ``MASK-AMBIGUOUS`` where it holds several regions.
    """
    try:
        with path.open("rb") as file:
            dataset = dcmread(Bounded(file, _MAX_FILE_BYTES))
        kind = str(dataset.get("SOPClassUID", ""))
        if kind == SEGMENTATION:
            return _segment(dataset)
        if kind == STRUCTURE_SET:
            return _contours(dataset)
    except AnalysisRefused as refused:
        raise refused if refused.code.startswith("MASK") else unreadable("the DICOM object is too large") from refused
    except Exception as error:
        raise unreadable("the DICOM object is broken") from error
    raise unreadable("the DICOM object is no segmentation and no structure set (0008,0016)")


def unreadable(why: str) -> AnalysisRefused:
    """Return the refusal of a mask that cannot be used."""
    return AnalysisRefused(
        "MASK-UNREADABLE",
        f"The mask could not be used: {why}.",
        next_step="Give the mask as NIfTI-1, DICOM SEG or RTSTRUCT, with one region.",
    )


def _one_of(numbers: Iterable[int], tag: str) -> int:
    """Return the one number that is there."""
    found = sorted(set(numbers))
    if not found:
        raise unreadable("no region is in it")
    if len(found) > 1:
        raise AnalysisRefused(
            "MASK-AMBIGUOUS",
            f"The mask holds {len(found)} regions {tag}, and only one can be measured: numbers "
            f"{', '.join(map(str, found[:20]))}.",
            tag,
            "Give a file with one region.",
        )
    return found[0]


# --- segmentation ------------------------------------------------------------------------------------------------


def _segment(dataset: Any) -> Segment:
    frames, rows, columns = int(dataset.get("NumberOfFrames") or 1), int(dataset.Rows), int(dataset.Columns)
    if frames * rows * columns > MAX_VOXELS:
        raise unreadable("it is larger than any PET volume")
    shared = dataset.SharedFunctionalGroupsSequence[0]
    groups = dataset.PerFrameFunctionalGroupsSequence
    if len(groups) != frames:
        raise unreadable(f"it declares {frames} frames and describes {len(groups)} (0028,0008)")

    def macro(group: Any, keyword: str) -> Any:
        found = group.get(keyword) or shared.get(keyword)
        if not found:
            raise unreadable("its position in space is missing")
        return found[0]

    _one_of((int(macro(one, "SegmentIdentificationSequence").ReferencedSegmentNumber) for one in groups), "(0062,0004)")
    orientations = [macro(one, "PlaneOrientationSequence").ImageOrientationPatient for one in groups]
    orientation = np.array(orientations, float)
    if np.abs(orientation - orientation[0]).max() > 1e-4:
        raise unreadable("its frames have several orientations")
    measures = macro(groups[0], "PixelMeasuresSequence")
    spacing_y, spacing_x = (float(step) for step in measures.PixelSpacing)
    along_row, along_column = orientation[0, :3], orientation[0, 3:]
    normal = np.cross(along_row, along_column)
    positions = np.array([macro(one, "PlanePositionSequence").ImagePositionPatient for one in groups], float)
    heights = positions @ normal
    offsets = positions - heights[:, None] * normal
    if np.abs(offsets - offsets[0]).max() > 0.5 * min(spacing_x, spacing_y):
        raise unreadable("its frames do not lie behind one another")
    step = _step_mm(heights, measures)
    places = (heights - heights.min()) / step
    planes = np.rint(places).astype(int)
    if np.abs(places - planes).max() > _UNEVEN or planes.max() >= _MAX_PLANES:
        raise unreadable("its frames are not evenly spaced")

    stored = np.asarray(dataset.pixel_array).reshape(frames, rows, columns)
    highest = 1.0
    if str(dataset.get("SegmentationType", "BINARY")) == "FRACTIONAL":
        highest = float(dataset.get("MaximumFractionalValue") or 255)
    inside = np.zeros((columns, rows, int(planes.max()) + 1), bool)
    for k, frame in zip(planes, stored, strict=True):
        inside[:, :, k] |= 0.5 * highest <= frame.T
    affine = np.eye(4)
    affine[:3, 0], affine[:3, 1], affine[:3, 2] = along_row * spacing_x, along_column * spacing_y, normal * step
    affine[:3, 3] = positions[int(np.argmin(heights))]
    return Segment(inside, affine)


def _step_mm(heights: NDArray[np.float64], measures: Any) -> float:
    """Return the distance of neighbouring planes; empty ones may be left out of a segmentation."""
    named = measures.get("SpacingBetweenSlices") or measures.get("SliceThickness")
    if named and float(named) > _SAME_MM:
        return float(named)
    gaps = np.diff(np.unique(np.round(heights, 3)))
    gaps = gaps[gaps > _SAME_MM]
    if not len(gaps):
        raise unreadable("the distance of its planes is missing")
    return float(gaps.min())


# --- structure set -----------------------------------------------------------------------------------------------


def _contours(dataset: Any) -> Contours:
    drawn = {}
    for roi in dataset.get("ROIContourSequence") or ():
        polygons = _polygons(roi.get("ContourSequence") or ())
        if polygons:
            drawn[int(roi.ReferencedROINumber)] = polygons
    return Contours(drawn[_one_of(drawn, "(3006,0084)")])


def _polygons(contours: Sequence[Any]) -> tuple[NDArray[np.float64], ...]:
    found = []
    for contour in contours:
        if str(contour.get("ContourGeometricType", "")).startswith("CLOSED"):
            points = np.array(contour.ContourData, float).reshape(-1, 3)
            if len(points) < 3 or not np.isfinite(points).all():
                raise unreadable("a contour of it has fewer than three points")
            found.append(points)
    return tuple(found)
