"""Several scans of one phantom: mean and standard deviation of every number, of scans that are really several.

NEMA NU 2-2018 asks for three acquisitions. One acquisition that was reconstructed more than once has the same counts,
and its scatter would tell nothing. It is known by its times: a phantom is scanned once at a time, so what overlaps in
time is one acquisition, also where one of its reconstructions takes a part of the counts. Study, frame of reference and
injection are shared by true replicates too, and tell nothing.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import combinations
from typing import TYPE_CHECKING, Any

from phantoms.errors import AnalysisRefused
from phantoms.suv.header import parse_date, parse_datetime, parse_time

if TYPE_CHECKING:
    from phantoms.results import Measurement
    from phantoms.suv.header import SeriesHeader


#: Headers may cut a start to whole seconds, so scans that follow at once may seem to overlap by as much.
TIME_IS_KNOWN_TO = timedelta(seconds=1)


@dataclass(frozen=True)
class Span:
    """From the begin of a series' first slice to the end of its last, the scanner's clock."""

    start: datetime
    end: datetime

    def overlaps(self, other: Span) -> bool:
        """Say whether both were acquired at one time, by more than the times are known to."""
        shared = min(self.end, other.end) - max(self.start, other.start)
        return shared > TIME_IS_KNOWN_TO or self.start == other.start


@dataclass(frozen=True)
class Replicate:
    """One measured series.

    Attributes
    ----------
    series_instance_uid : str
    acquired : Span or None
        When it was acquired; see `acquisition_span`.
    measurements : tuple of Measurement
        Its plain numbers.
    """

    series_instance_uid: str
    acquired: Span | None
    measurements: tuple[Measurement, ...]


@dataclass(frozen=True)
class Combined:
    """One number over all replicates; ``mean`` and ``sd`` (of a single one) are None where a replicate lacks it."""

    name: str
    unit: str
    values: tuple[float | None, ...]
    mean: float | None
    sd: float | None

    def as_json(self) -> dict[str, Any]:
        """Return it in plain JSON types."""
        return {"name": self.name, "unit": self.unit, "mean": self.mean, "sd": self.sd, "values": list(self.values)}


def acquisition_span(header: SeriesHeader) -> Span | None:
    """Return from when to when a series was acquired; None where a slice does not say when, or for how long."""
    zone = header.TimezoneOffsetFromUTC
    starts, ends = [], []
    for one in header.slices:
        start = parse_datetime(one.AcquisitionDateTime, zone)
        if start is None:
            day, clock = parse_date(one.AcquisitionDate), parse_time(one.AcquisitionTime)
            start = datetime.combine(day, clock) if day is not None and clock is not None else None
        if start is None or not one.ActualFrameDuration or one.ActualFrameDuration < 0:
            return None
        starts.append(start)
        ends.append(start + timedelta(milliseconds=one.ActualFrameDuration))
    return Span(min(starts), max(ends)) if starts else None


def combine(replicates: Sequence[Replicate]) -> tuple[Combined, ...]:
    """Return mean and sample standard deviation (n − 1) of every number that the first replicate has.

    Raises
    ------
    AnalysisRefused
        ``NEMA-REPLICATE-NO-TIME`` where a series does not say when, and for how long, it was acquired;
        ``NEMA-REPLICATE-SAME-ACQUISITION`` where two overlap in time.
    ValueError
        Of fewer than two.
    """
    if len(replicates) < 2:
        msg = "replicates are two or more"
        raise ValueError(msg)
    spans = []
    for one in replicates:
        if one.acquired is None:
            raise AnalysisRefused(
                "NEMA-REPLICATE-NO-TIME",
                f"Series {one.series_instance_uid} does not say for every slice when, and for how long, it was "
                "acquired (0008,0022) (0008,0032) (0018,1242).",
                "(0008,0032)",
                "Export the series again from the scanner or archive, with all dates, times and frame durations.",
            )
        spans.append((one.series_instance_uid, one.acquired))
    for (uid, first), (other_uid, second) in combinations(spans, 2):
        if first.overlaps(second):
            begun = "both begun" if first.start == second.start else "begun"
            at = " and ".join(dict.fromkeys(f"{start:%Y-%m-%d %H:%M:%S}" for start in (first.start, second.start)))
            raise AnalysisRefused(
                "NEMA-REPLICATE-SAME-ACQUISITION",
                f"Series {uid} and {other_uid} were acquired at the same time, {begun} {at}, and one phantom is in one "
                "scan at a time: they are one acquisition reconstructed twice, no replicates (0008,0032) (0018,1242).",
                "(0008,0032)",
                "Name one series of each acquisition.",
            )
    found = [{one.name: one.value for one in each.measurements if one.standard is None} for each in replicates]
    return tuple(
        _combined(one.name, one.unit, tuple(values.get(one.name) for values in found))
        for one in replicates[0].measurements
        if one.standard is None
    )


def _combined(name: str, unit: str, values: tuple[float | None, ...]) -> Combined:
    numbers = [value for value in values if value is not None]
    if len(numbers) < len(values):
        return Combined(name, unit, values, None, None)
    mean = math.fsum(numbers) / len(numbers)
    spread = math.fsum((value - mean) ** 2 for value in numbers)
    return Combined(name, unit, values, mean, math.sqrt(spread / (len(numbers) - 1)))
