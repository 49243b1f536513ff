"""What a measurement is: a number with its unit, uncertainty, limit, flags and verdict."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import Enum, Flag, StrEnum, auto
from typing import Any


class Outcome(StrEnum):
    """The words of a verdict; REPORT_ONLY belongs to a number, never to a whole scan."""

    PASS = "PASS"  # noqa: S105 (a verdict, not a secret)
    WARN = "WARN"
    FAIL = "FAIL"
    NOT_EVALUABLE = "NOT_EVALUABLE"
    REPORT_ONLY = "REPORT_ONLY"
    ERROR = "ERROR"


WORST_FIRST = (Outcome.ERROR, Outcome.FAIL, Outcome.NOT_EVALUABLE, Outcome.WARN, Outcome.PASS)


def worst(outcomes: Iterable[Outcome]) -> Outcome | None:
    """Return the outcome that decides; None where nothing was judged (REPORT_ONLY judges nothing)."""
    seen = set(outcomes)
    return next((outcome for outcome in WORST_FIRST if outcome in seen), None)


def counted(outcome: Outcome, severity: str) -> Outcome | None:
    """Return what one finding's outcome is for the whole; None where it does not count.

    ``exclude`` counts as it is. ``query`` asks for an answer and warns at most: its FAIL or NOT_EVALUABLE is a WARN of
    the whole. ``info`` does not count.
    """
    if severity == "info":
        return None
    return Outcome.WARN if severity == "query" and outcome in {Outcome.FAIL, Outcome.NOT_EVALUABLE} else outcome


class QualityFlag(Flag):
    """Why a number must be read with care, or why it is missing."""

    NONE = 0
    UNCERTAINTY_NOT_STATED = auto()
    NO_SHEET = auto()  # the site's fill data are absent, so no true value is known
    SHEET_TIME_ASSUMED = auto()  # a fill's time is null: taken as the image's own reference time
    NO_REFERENCE_TIME = auto()  # the image's decay reference time could not be found
    NO_SUV = auto()  # the SUV factor was refused
    NO_UNITS = auto()  # the headers name no unit: values are raw
    OTHER_UNITS = auto()  # the headers name a unit that is not Bq/mL, so nothing compares with a concentration
    OUTSIDE_IMAGE = auto()  # the region is cut by the edge of the image
    NOT_LOCALISED = auto()
    NEAR_LIMIT = auto()  # closer to a limit than 2 SD, or than 0.02 for a recovery coefficient
    LIMIT_UNCONFIRMED = auto()  # there is no limit with a confirmed source, so nothing decides
    NO_FIT = auto()  # the model that would give the number did not settle on one
    SMALL_REGION = auto()  # no sphere of 1 mL lies far enough inside the region
    OTHER_NUCLIDE_TOLD = auto()  # the scanner was told another nuclide than the sealed source's: taken into account
    TOO_FEW_READINGS = auto()  # readings of a calibrator are too few, or over too narrow a range
    FILTER_CANNOT_HELP = auto()  # no post-filter brings the image into the edition's bands
    COLD_SPHERE = auto()  # the sphere holds no activity, as in editions of NEMA NU 2 before 2018: it has no recovery
    PLACE_ASSUMED = auto()  # which part of the phantom it is was taken from the usual order, not seen in the image
    OTHER_FRAME = auto()  # PET and CT name different frames of reference, so places in them do not compare
    NO_POSITION = auto()  # the CT does not say how the phantom lay (0018,5100), so which way is up is not known
    SEARCH_END = auto()  # the number is an end of what was searched, a setting: no estimate, so no uncertainty

    def names(self) -> list[str]:
        """Return the flags' names in the order of their definition."""
        return [flag.name for flag in QualityFlag if flag.name and flag in self and flag is not QualityFlag.NONE]


def other_than_bqml(unit: str) -> QualityFlag:
    """Return what a number that needs Bq/mL carries where the image is in another unit, or in none (``1``)."""
    if unit == "Bq/mL":
        return QualityFlag.NONE
    return QualityFlag.NO_UNITS if unit == "1" else QualityFlag.OTHER_UNITS


@dataclass(frozen=True, kw_only=True)
class Measurement:
    """One number of a run.

    ``value`` is None only together with a flag that says why; it is never NaN and never a stand-in 0.
    ``uncertainty`` is one standard deviation in the same unit. ``standard`` is None for a plain number;
    a judged copy carries the standard's id, its limits and its verdict.
    """

    name: str
    value: float | None
    unit: str
    uncertainty: float | None = None
    flags: QualityFlag = QualityFlag.NONE
    limit_low: float | None = None
    limit_high: float | None = None
    standard: str | None = None
    verdict: Outcome = Outcome.REPORT_ONLY
    source: str = ""

    def __post_init__(self) -> None:
        if self.value is None and self.flags is QualityFlag.NONE:
            msg = f"{self.name}: a missing value needs a flag that says why"
            raise ValueError(msg)
        if self.value is not None and not math.isfinite(self.value):
            msg = f"{self.name}: {self.value} is not a number to report"
            raise ValueError(msg)

    def as_json(self) -> dict[str, Any]:
        """Return the ``measurements[]`` object of the offline contract."""
        flags = self.flags
        if self.value is not None and self.uncertainty is None:
            flags |= QualityFlag.UNCERTAINTY_NOT_STATED
        return {
            "name": self.name,
            "value": self.value,
            "unit": self.unit,
            "uncertainty": self.uncertainty,
            "flags": flags.names(),
            "limit_low": self.limit_low,
            "limit_high": self.limit_high,
            "standard": self.standard,
            "verdict": self.verdict.value,
            "source": self.source,
        }


class Owner(Enum):
    """Who can take the next step of a finding."""

    SITE = "site"
    CORE_LAB = "core_lab"
    NOBODY = "nobody"


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One rule's outcome with its evidence, in words; ``reason`` is a code for programs, such as DATES-SHIFTED."""

    id: str
    outcome: Outcome
    severity: str  # "exclude", "query" or "info"
    message: str
    observed: str = ""
    expected: str = ""
    next_step: str = ""
    owner: Owner = Owner.NOBODY
    source: str = ""
    reason: str = ""
    evidence: dict[str, Any] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """Return the ``findings[]`` object of the offline contract."""
        return {
            "id": self.id,
            "outcome": self.outcome.value,
            "severity": self.severity,
            "observed": self.observed,
            "expected": self.expected,
            "message": self.message,
            "next_step": self.next_step,
            "owner": self.owner.value,
            "source": self.source,
        } | ({"reason": self.reason} if self.reason else {})
