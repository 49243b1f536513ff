"""Acceptance limits as versioned data, and the judgement of measurements against them.

Each file in the folder ``standards`` beside this module is one edition of one standard. Adding an edition is adding
a file: nothing here knows a limit, a sphere or a standard by name.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import date
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any

import yaml

from phantoms.nuclides import NUCLIDES
from phantoms.results import Measurement, Outcome, QualityFlag

FOLDER = Path(__file__).with_name("standards")
CONFIRMED = frozenset({"C", "C2", "D"})
KNOWN_PROVENANCE = CONFIRMED | {"MH", "MM", "ML", "none"}
STANDARD_KEYS = frozenset({"id", "title", "edition", "effective_from", "effective_to", "citation", "nuclide", "groups"})
GROUP_KEYS = frozenset(
    {"what", "unit", "provenance", "source", "decides", "reason", "near", "needs_whole", "open", "limits"}
)
LIMIT_KEYS = frozenset({"low", "high", "warn"})
#: A name tells its unit: a limit in another one would judge every number wrongly.
_UNIT_OF = (
    (r"_pct_per_cm$", "%/cm"),
    (r"_pct(_axial)?$", "%"),
    (r"_mm$", "mm"),
    (r"_hu$", "HU"),
    (r"_bqml$", "Bq/mL"),
    (r"_offset_s$", "s"),
    (r"_suv_", "g/mL"),
    (r"_(rc|relative_rc|crc)_", "1"),
)

#: As safe as the other and ten times faster, where PyYAML was built with libyaml.
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class StandardFileError(Exception):
    """A standard's file is absent or says something that cannot be judged by."""


@dataclass(frozen=True, kw_only=True)
class Limit:
    """What one edition says about one measurement.

    Attributes
    ----------
    low, high : float or None
        The band, both ends included unless ``is_open``; None where the edition sets no such end.
    warn_low, warn_high : float or None
        A narrower band: outside it, and inside ``low`` to ``high``, the verdict is WARN.
    unit : str
        The unit of the measurement that it belongs to.
    provenance : str
        ``C``, ``C2``, ``D``, ``MH``, ``MM``, ``ML`` or ``none``.
    source : str
        Where the numbers come from, in words for a report.
    decides : bool
        False: the limit is shown beside the number and the verdict stays REPORT_ONLY.
    near : float or None
        Margin, in ``unit``, below which the number is flagged as near its limit.
    reason : str
        Why the lab lets an unconfirmed limit decide, or keeps a confirmed one from deciding.
    what : str
        What is limited, in words.
    needs_whole : bool
        True: a number whose region the edge of the image cuts is not judged.
    is_open : bool
        True: the source asks for more than ``low`` and less than ``high``, so a number on an end is outside.
    """

    low: float | None
    high: float | None
    unit: str
    provenance: str
    source: str
    decides: bool
    warn_low: float | None = None
    warn_high: float | None = None
    near: float | None = None
    reason: str = ""
    what: str = ""
    needs_whole: bool = False
    is_open: bool = False

    def margin(self, value: float) -> float | None:
        """Return the distance to the nearest end of the band, negative outside; None without a band."""
        distances = [value - self.low] if self.low is not None else []
        if self.high is not None:
            distances.append(self.high - value)
        return min(distances, default=None)


@dataclass(frozen=True, kw_only=True)
class Standard:
    """One edition: ``limits`` by measurement name, with the citation and the dates in which it is in force.

    ``nuclide`` is the one that the limits hold for, as `phantoms.nuclides` names it; None where any will do.
    """

    id: str
    title: str
    edition: str
    effective_from: date | None
    effective_to: date | None
    citation: str
    limits: Mapping[str, Limit]
    nuclide: str | None = None

    @property
    def is_of_cylinders(self) -> bool:
        """Whether every limit is for a uniform cylinder: no other phantom has a number that it judges."""
        return all(name.startswith("cylinder_") for name in self.limits)


def available() -> tuple[str, ...]:
    """Return the ids of all shipped standards, sorted."""
    return tuple(sorted(path.stem for path in FOLDER.glob("*.yaml")))


@cache
def load(standard_id: str) -> Standard:
    """Read one standard.

    Raises
    ------
    StandardFileError
        No such standard, or its file has a key, a provenance or a decision that is not understood.
    """
    if standard_id not in available():
        msg = f"no standard {standard_id!r}; there are {', '.join(available())}"
        raise StandardFileError(msg)
    path = FOLDER / f"{standard_id}.yaml"
    return parse(path.stem, yaml.load(path.read_text(encoding="utf-8"), _LOADER))  # noqa: S506 (it is safe)


def parse(standard_id: str, content: Mapping[str, Any]) -> Standard:
    """Turn a standard's file content into a `Standard`, refusing what it does not understand.

    Parameters
    ----------
    standard_id : str
        The name of the file without its ending; the ``id`` inside must be the same.
    content : mapping
        The file as read from YAML.

    Raises
    ------
    StandardFileError
        An unknown or missing key, an unknown nuclide or provenance, a name limited twice, an empty or inverted band,
        or a decision against the provenance without a reason.
    """
    _check_keys(standard_id, content, STANDARD_KEYS, required=STANDARD_KEYS - {"nuclide"})
    if content["id"] != standard_id:
        msg = f"{standard_id}: the file names itself {content['id']!r}"
        raise StandardFileError(msg)
    nuclide = content.get("nuclide")
    if nuclide is not None and nuclide not in NUCLIDES:
        msg = f"{standard_id}: unknown nuclide {nuclide!r}; there are {', '.join(NUCLIDES)}"
        raise StandardFileError(msg)
    limits: dict[str, Limit] = {}
    for group in content["groups"]:
        for name, limit in _group_limits(standard_id, group):
            if name in limits:
                msg = f"{standard_id}: {name} is limited twice"
                raise StandardFileError(msg)
            limits[name] = limit
    return Standard(
        id=standard_id,
        title=content["title"],
        edition=content["edition"],
        effective_from=content["effective_from"],
        effective_to=content["effective_to"],
        citation=" ".join(content["citation"].split()),
        limits=MappingProxyType(limits),
        nuclide=nuclide,
    )


def judge(measurements: Iterable[Measurement], standard: Standard) -> tuple[Measurement, ...]:
    """Judge every measurement that the standard speaks of.

    A limit that decides gives PASS, WARN, FAIL, or NOT_EVALUABLE where the number is missing, its unit is not known,
    or the edge of the image cuts a region that the limit needs whole; any other limit gives REPORT_ONLY. A band
    includes its ends unless its file says that it is open, and a value is compared unrounded.

    A number nearer to an end of its band than the limit's ``near``, or than two standard deviations, gets the flag
    NEAR_LIMIT on either side of it. The flag leaves the verdict alone: the limit is the limit, so a value inside
    passes and one outside fails, and the flag sends the physicist to the margin.

    Parameters
    ----------
    measurements : iterable of Measurement
        Plain numbers; those already judged (``standard`` set) are passed over.
    standard : Standard
        The edition that judges.

    Returns
    -------
    tuple of Measurement
        A judged copy per measurement that the standard names, in the order given.
    """
    return tuple(
        _judged(measurement, standard.limits[measurement.name], standard.id)
        for measurement in measurements
        if measurement.standard is None and measurement.name in standard.limits
    )


def _judged(measurement: Measurement, limit: Limit, standard_id: str) -> Measurement:
    flags = measurement.flags
    if not limit.decides:
        verdict = Outcome.REPORT_ONLY
        if limit.provenance not in CONFIRMED:
            flags |= QualityFlag.LIMIT_UNCONFIRMED
    elif (
        measurement.value is None
        or QualityFlag.NO_UNITS in flags
        or (limit.needs_whole and QualityFlag.OUTSIDE_IMAGE in flags)
    ):
        verdict = Outcome.NOT_EVALUABLE
    else:
        verdict = _verdict(measurement.value, limit)
    if measurement.value is not None:
        margin = limit.margin(measurement.value)
        near = max(limit.near or 0.0, 2.0 * (measurement.uncertainty or 0.0))
        if margin is not None and abs(margin) < near:
            flags |= QualityFlag.NEAR_LIMIT
    return replace(
        measurement,
        flags=flags,
        limit_low=limit.low,
        limit_high=limit.high,
        standard=standard_id,
        verdict=verdict,
        source=limit.source,
    )


def _verdict(value: float, limit: Limit) -> Outcome:
    if not _inside(value, limit.low, limit.high) or (limit.is_open and value in {limit.low, limit.high}):
        return Outcome.FAIL
    return Outcome.PASS if _inside(value, limit.warn_low, limit.warn_high) else Outcome.WARN


def _inside(value: float, low: float | None, high: float | None) -> bool:
    return (low is None or value >= low) and (high is None or value <= high)


def _group_limits(standard_id: str, group: Mapping[str, Any]) -> Iterable[tuple[str, Limit]]:
    _check_keys(
        standard_id, group, GROUP_KEYS, required=GROUP_KEYS - {"decides", "reason", "near", "needs_whole", "open"}
    )
    provenance, reason = str(group["provenance"]), str(group.get("reason", ""))
    if provenance not in KNOWN_PROVENANCE:
        msg = f"{standard_id}: unknown provenance {provenance!r}"
        raise StandardFileError(msg)
    decides = bool(group.get("decides", provenance in CONFIRMED))
    if decides != (provenance in CONFIRMED) and not reason:
        msg = f"{standard_id}: {group['what']!r} decides against its provenance {provenance} without a reason"
        raise StandardFileError(msg)
    for key in ("decides", "needs_whole", "open"):
        if not isinstance(group.get(key, False), bool):
            msg = f"{standard_id}: {group['what']!r} has {key} {group[key]!r}, which is neither true nor false"
            raise StandardFileError(msg)
    needs_whole = bool(group.get("needs_whole", False))
    for name, band in group["limits"].items():
        unit = next((unit for part, unit in _UNIT_OF if re.search(part, name)), None)
        if unit is not None and str(group["unit"]) != unit:
            msg = f"{standard_id}: {name} is a number in {unit}, not in {group['unit']}"
            raise StandardFileError(msg)
        low, high, warn_low, warn_high = _band(standard_id, name, band)
        if decides and low is None and high is None:
            msg = f"{standard_id}: {name} is to decide and has no limit"
            raise StandardFileError(msg)
        yield (
            name,
            Limit(
                low=low,
                high=high,
                warn_low=warn_low,
                warn_high=warn_high,
                unit=str(group["unit"]),
                provenance=provenance,
                source=str(group["source"]),
                decides=decides,
                near=group.get("near"),
                reason=reason,
                what=" ".join(str(group["what"]).split()),
                needs_whole=needs_whole,
                is_open=bool(group.get("open", False)),
            ),
        )


def _band(standard_id: str, name: str, band: object) -> tuple[float | None, float | None, float | None, float | None]:
    if isinstance(band, list):
        band = {"low": band[0], "high": band[1]} if len(band) == 2 else None
    if not isinstance(band, Mapping):
        msg = f"{standard_id}: {name} needs [low, high]"
        raise StandardFileError(msg)
    _check_keys(standard_id, band, LIMIT_KEYS, required=frozenset({"low", "high"}))
    warn_low, warn_high = band.get("warn") or (None, None)
    ends = (band["low"], warn_low, warn_high, band["high"])
    numbers = [float(end) for end in ends if end is not None]
    if numbers != sorted(numbers) or not all(math.isfinite(number) for number in numbers):
        msg = f"{standard_id}: {name} has a band that no value can lie in: {band}"
        raise StandardFileError(msg)
    low, warn_low, warn_high, high = (None if end is None else float(end) for end in ends)
    return low, high, warn_low, warn_high


def _check_keys(
    standard_id: str, content: Mapping[str, Any], known: frozenset[str], *, required: frozenset[str]
) -> None:
    unknown, missing = set(content) - known, required - set(content)
    if unknown or missing:
        msg = f"{standard_id}: unknown keys {sorted(unknown)}, missing keys {sorted(missing)}"
        raise StandardFileError(msg)
