"""Where the slices of a series lie, how they are numbered, and in which beds they were taken."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from statistics import fmean, median
from typing import TYPE_CHECKING

from phantoms.suv.reference import shifted

if TYPE_CHECKING:
    from phantoms.dicom_series import Instance
    from phantoms.suv.header import SliceHeader

_ALIGNED = 1e-3  # direction cosines written with few digits differ by less
_AXIAL = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)
_FARTHEST_MM = 1e5  # a slice that lies farther off lies nowhere


@dataclass(frozen=True, kw_only=True)
class Numbering:
    """The numbers of the slices, ascending, for ING-07; empty where a slice has none.

    ``InstanceNumber`` is (0020,0013), of each file; ``ImageIndex`` is (0054,1330).
    """

    InstanceNumber: tuple[int, ...] = ()
    ImageIndex: tuple[int, ...] = ()

    @property
    def is_contiguous(self) -> bool | None:
        """Whether those that are given run from 1 without a gap or a double; None where neither is given."""
        given = [numbers for numbers in (self.InstanceNumber, self.ImageIndex) if numbers]
        return all(numbers == tuple(range(1, len(numbers) + 1)) for numbers in given) if given else None


@dataclass(frozen=True, kw_only=True)
class Bed:
    """Slices that were taken at one time, for TIM-01, TIM-03, TIM-04, ACQ-02 and ACQ-05.

    Attributes
    ----------
    started_at : datetime
        Wall clock, AcquisitionTime (0008,0032) with its date.
    slices : int
        How many they are.
    first_mm, last_mm : float
        The lowest and the highest along the normal of their plane.
    center_z_mm : float
        Their middle along the patient's z, which rises to the head.
    """

    started_at: datetime
    slices: int
    first_mm: float
    last_mm: float
    center_z_mm: float

    @property
    def center_mm(self) -> float:
        """Their middle along the normal of their plane."""
        return (self.first_mm + self.last_mm) / 2


def step_mm(positions_mm: Sequence[float], thickness_mm: float | None) -> float | None:
    """Return the usual distance of slices at ascending heights; the thickness of a single one."""
    steps = [b - a for a, b in pairwise(positions_mm)]
    return median(steps) if steps else thickness_mm


def coverage_mm(positions_mm: Sequence[float], thickness_mm: float | None) -> float | None:
    """Return how far slices at ascending heights reach, edge to edge."""
    usual_mm = step_mm(positions_mm, thickness_mm)
    return positions_mm[-1] - positions_mm[0] + usual_mm if positions_mm and usual_mm is not None else None


def heights_mm(positions_mm: Sequence[float | None]) -> tuple[float, ...]:
    """Return the heights of all slices, ascending; empty where one is not known."""
    known = [height for height in positions_mm if height is not None and abs(height) <= _FARTHEST_MM]
    return tuple(sorted(known)) if len(known) == len(positions_mm) else ()


def is_axial(orientations: Iterable[Sequence[float]]) -> bool | None:
    """Say whether all planes are transverse and alike; None where one does not say."""
    different = set(map(tuple, orientations))
    if not all(different):
        return None
    return all(
        abs(abs(given) - wanted) <= _ALIGNED
        for orientation in different
        for given, wanted in zip(orientation, _AXIAL, strict=True)
    )


def numbering_of(instances: Sequence[Instance]) -> Numbering:
    """Return the numbers of the slices; a file of several frames has one InstanceNumber."""
    of_files = [one.facts.instance_number for one in instances if one.frame == 0]
    indices = [one.header.get("ImageIndex") for one in instances]
    return Numbering(InstanceNumber=_ascending(of_files), ImageIndex=_ascending(indices))


def _ascending(numbers: Sequence[int | None]) -> tuple[int, ...]:
    known = [number for number in numbers if isinstance(number, int)]
    return tuple(sorted(known)) if len(known) == len(numbers) else ()


def beds_of(
    instances: Sequence[Instance], said: Sequence[SliceHeader], acquired: Sequence[datetime | None]
) -> tuple[Bed, ...]:
    """Return the beds in the order of time; empty where a slice has no time or no place.

    Parameters
    ----------
    instances, said, acquired : sequence
        The slices, what SUV read of each, and its acquisition time. Some exports repeat one acquisition time while
        FrameReferenceTime (0054,1300) grows from bed to bed; then it tells them apart.
    """
    starts = list(acquired)
    offsets_ms = [one.FrameReferenceTime for one in said]
    known_ms = [offset for offset in offsets_ms if offset is not None]
    if len(set(starts)) == 1 and starts[0] is not None and len(known_ms) == len(offsets_ms):
        first_ms = min(known_ms)
        starts = [shifted(starts[0], (offset_ms - first_ms) / 1000) for offset_ms in known_ms]
    by_start: dict[datetime, list[Instance]] = {}
    for instance, start in zip(instances, starts, strict=True):
        if start is None or instance.facts.position_mm is None or abs(instance.facts.position_mm) > _FARTHEST_MM:
            return ()
        by_start.setdefault(start, []).append(instance)
    return tuple(_bed(start, by_start[start]) for start in sorted(by_start))


def _bed(start: datetime, instances: Sequence[Instance]) -> Bed:
    heights = [one.facts.position_mm or 0.0 for one in instances]
    return Bed(
        started_at=start,
        slices=len(instances),
        first_mm=min(heights),
        last_mm=max(heights),
        center_z_mm=fmean(one.position[2] for one in instances),
    )
