"""Several scans of one phantom: mean and standard deviation of every number, of scans that are really several.

NEMA NU 2-2018 asks for three acquisitions. One acquisition that was reconstructed more than once has the same counts,
and its scatter would tell nothing: it is known by its acquisition times.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING, Any

from phantoms.errors import AnalysisRefused

if TYPE_CHECKING:
    from phantoms.results import Measurement
    from phantoms.suv.header import SeriesHeader


@dataclass(frozen=True)
class Replicate:
    """One measured series.

    Attributes
    ----------
    series_instance_uid : str
    acquired : frozenset of str
        When its slices were acquired, ``YYYYMMDDHHMMSS``; see `acquisition_times`.
    measurements : tuple of Measurement
        Its plain numbers.
    """

    series_instance_uid: str
    acquired: frozenset[str]
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


def acquisition_times(header: SeriesHeader) -> frozenset[str]:
    """Return when the slices of a series were acquired, to the second; empty where its headers do not say."""
    written = (
        one.AcquisitionDateTime or f"{one.AcquisitionDate or ''}{one.AcquisitionTime or ''}" for one in header.slices
    )
    return frozenset(time[:14] for time in written if len(time) >= 14 and time[:14].isdigit())


def combine(replicates: Sequence[Replicate]) -> tuple[Combined, ...]:
    """Return mean and sample standard deviation (n − 1) of every number that the first replicate has.

    Raises
    ------
    AnalysisRefused
        ``NEMA-REPLICATE-NO-TIME`` where a series does not say when it was acquired;
        ``NEMA-REPLICATE-SAME-ACQUISITION`` where two have a slice acquired at the same second.
    ValueError
        Of fewer than two.
    """
    if len(replicates) < 2:
        msg = "replicates are two or more"
        raise ValueError(msg)
    for one in replicates:
        if not one.acquired:
            raise AnalysisRefused(
                "NEMA-REPLICATE-NO-TIME",
                f"Series {one.series_instance_uid} does not say when it was acquired (0008,0022) (0008,0032).",
                "(0008,0032)",
                "Export the series again from the scanner or archive, with all dates and times.",
            )
    for one, other in combinations(replicates, 2):
        if shared := one.acquired & other.acquired:
            raise AnalysisRefused(
                "NEMA-REPLICATE-SAME-ACQUISITION",
                f"Series {one.series_instance_uid} and {other.series_instance_uid} are one acquisition, begun "
                f"{min(shared)}: reconstructed twice, it is no replicate (0008,0032).",
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
