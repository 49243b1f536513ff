"""Slices as one even stack: their order, and the map from voxel index to patient millimetres."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from phantoms.dicom_series.header import Instance
from phantoms.errors import AnalysisRefused

if TYPE_CHECKING:
    from numpy.typing import NDArray

GAP_RATIO = 1.5  # a step above this many median steps is a missing slice
UNEVEN_RATIO = 0.1  # steps may differ from the mean by this part of it; GE tables step 3.19 to 3.29 mm
ALIGNMENT_MM = 0.5  # how far slice centres may lie off their common line
SAME_POSITION_MM = 0.01
#: What a pixel or a thickness can be, millimetres, and how far from the origin a slice can lie: hundreds of times
#: beyond what scanners make, on either side, so that nothing worked out of them overflows or vanishes.
LENGTHS_MM = (1e-3, 1e4)
FARTHEST_MM = 1e6
#: What tells the times or phases of a dynamic or gated series apart.
_TIMES = (
    *("AcquisitionTime", "AcquisitionDateTime", "FrameReferenceTime"),
    *("FrameReferenceDateTime", "TriggerTime", "NominalCardiacTriggerDelayTime"),
)


def stack_order(instance: Instance) -> tuple[float, int, int]:
    """Sort key: height along the slice normal, then InstanceNumber and frame."""
    # The normal of each slice itself: where orientations differ the series is refused later anyway.
    position = instance.facts.position_mm
    return (0.0 if position is None else position, instance.facts.instance_number or 0, instance.frame)


def affine_lps_mm(instances: Sequence[Instance]) -> NDArray[np.float64]:
    """Map index ``(x, y, z, 1)`` to patient millimetres, or raise AnalysisRefused where there is no even stack."""
    first = instances[0]
    if not all(one.position and one.orientation and one.pixel_spacing_mm for one in instances):
        raise AnalysisRefused(
            "SERIES-GEOMETRY",
            "The position, orientation or pixel size of a slice is missing (0020,0032) (0020,0037) (0028,0030).",
            "(0020,0032)",
            "Export the original transaxial PET series again.",
        )
    is_one_matrix = len({(one.rows, one.columns) for one in instances}) == 1
    spacings = np.array([one.pixel_spacing_mm for one in instances])
    if not is_one_matrix or not np.allclose(spacings, spacings[0], rtol=1e-4):
        raise AnalysisRefused(
            "SERIES-GEOMETRY",
            "The slices of this series differ in matrix or pixel size (0028,0010) (0028,0030).",
            "(0028,0030)",
            "Send the original transaxial PET series, alone.",
        )
    positions = np.array([one.position for one in instances])
    if not (_is_length(spacings).all() and np.abs(positions).max() <= FARTHEST_MM):
        raise AnalysisRefused(
            "SERIES-GEOMETRY",
            "The pixel size or the position of a slice is none that a scanner can have (0028,0030) (0020,0032).",
            "(0028,0030)",
            "Export the original transaxial PET series again.",
        )
    orientations = np.array([instance.orientation for instance in instances])
    if np.abs(orientations - orientations[0]).max() > 1e-3:
        raise AnalysisRefused(
            "SERIES-ORIENTATION",
            "The slices of this series lie in several directions (0020,0037).",
            "(0020,0037)",
            "Send the original transaxial PET series, alone.",
        )
    row, column = orientations[0, :3], orientations[0, 3:]
    # Direction cosines far beyond 1 are no directions, and their squares would overflow.
    if (
        np.abs(orientations[0]).max() > 2
        or abs(np.linalg.norm(row) - 1) > 1e-2
        or abs(np.linalg.norm(column) - 1) > 1e-2
        or abs(row @ column) > 1e-2
    ):
        raise AnalysisRefused(
            "SERIES-GEOMETRY",
            "The orientation of the slices is not two directions at a right angle (0020,0037).",
            "(0020,0037)",
            "Export the original transaxial PET series again.",
        )
    spacing_y, spacing_x = first.pixel_spacing_mm
    affine = np.eye(4)
    affine[:3, 0], affine[:3, 1] = row * spacing_x, column * spacing_y
    affine[:3, 2], affine[:3, 3] = _stack_step(instances, np.cross(row, column)), first.position
    return affine


def _stack_step(instances: Sequence[Instance], normal: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the mean step from slice to slice, millimetres, after checking that the slices make one even stack."""
    _check_time_slices(instances)
    positions = np.array([instance.position for instance in instances])
    if len(instances) == 1:
        thickness = instances[0].slice_thickness_mm
        if not thickness or not _is_length(thickness):
            raise AnalysisRefused(
                "SERIES-GEOMETRY",
                "One slice without a thickness makes no volume (0018,0050).",
                "(0018,0050)",
                "Send the whole series again from the scanner or archive.",
            )
        return normal * thickness
    heights = positions @ normal
    steps = np.diff(heights)
    if steps.min() < SAME_POSITION_MM:
        _refuse_doubled(instances, int((steps < SAME_POSITION_MM).sum()))
    if not _is_length(steps).all():
        raise AnalysisRefused(
            "SERIES-GEOMETRY",
            f"Two slices lie {steps.max():.0f} mm apart, farther than a scanner can place them (0020,0032).",
            "(0020,0032)",
            "Export the original transaxial PET series again.",
        )
    median = float(np.median(steps))
    gaps = steps > GAP_RATIO * median
    if gaps.any():
        lost = int(np.rint(steps[gaps] / median - 1).sum())
        raise AnalysisRefused(
            "SERIES-GAP",
            f"Slices are missing: {int(gaps.sum())} steps between slices are wider than the usual {median:.2f} mm, "
            f"about {lost} slices in all (0020,0032).",
            "(0020,0032)",
            "Send the whole series again from the scanner or archive.",
        )
    mean_step = (positions[-1] - positions[0]) / (len(instances) - 1)
    even = positions[0] + np.arange(len(instances))[:, None] * mean_step
    drift = positions - even
    off_line = np.abs(drift - np.outer(drift @ normal, normal)).max()
    if np.abs(steps - steps.mean()).max() > UNEVEN_RATIO * steps.mean() or off_line > ALIGNMENT_MM:
        raise AnalysisRefused(
            "SERIES-UNEVEN",
            f"The slices are not evenly spaced: steps of {steps.min():.2f} to {steps.max():.2f} mm (0020,0032).",
            "(0020,0032)",
            "Send the original transaxial PET series.",
        )
    if np.linalg.norm(mean_step - normal * (mean_step @ normal)) > 0.01 * np.linalg.norm(mean_step):
        raise AnalysisRefused(
            "SERIES-GEOMETRY",
            "The stack of slices leans: it does not rise at a right angle to them (0020,0032).",
            "(0020,0032)",
            "Send the original transaxial PET series.",
        )
    return np.asarray(mean_step)


def _is_length(length_mm: Any) -> Any:
    """Say whether lengths, one or an array of them, are such as scanners have."""
    least_mm, greatest_mm = LENGTHS_MM
    return (least_mm <= length_mm) & (length_mm <= greatest_mm)


def _check_time_slices(instances: Sequence[Instance]) -> None:
    # GE counts beds in NumberOfTimeSlices (0054,0101), so alone it says nothing about time.
    kind = instances[0].series_type[:1]
    if kind and kind[0] in {"DYNAMIC", "GATED"} and instances[0].time_slices != 1:
        raise _dynamic(kind[0].lower())
    if len({instance.header.get("TemporalPositionIndex") for instance in instances}) > 1:
        raise _dynamic("dynamic")


def _refuse_doubled(instances: Sequence[Instance], doubled: int) -> None:
    times = {tuple(map(instance.header.get, _TIMES)) for instance in instances}
    counts = Counter(round(instance.facts.position_mm or 0.0, 2) for instance in instances)
    if len(times) > 1 and len(set(counts.values())) == 1:
        raise _dynamic("dynamic or gated")
    raise AnalysisRefused(
        "SERIES-DOUBLED",
        f"{doubled} slices lie where another slice of the series lies (0020,0032).",
        "(0020,0032)",
        "Tell us which slices are right, or send the series again, alone.",
    )


def _dynamic(kind: str) -> AnalysisRefused:
    return AnalysisRefused(
        "SERIES-DYNAMIC",
        f"This series is {kind}: it holds several times or phases of the same place (0054,1000) (0054,0101).",
        "(0054,1000)",
        "Send the static series.",
    )
