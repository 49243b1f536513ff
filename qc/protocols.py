"""A trial's protocol: what it asks of its patient scans, as one JSON document; and the register that scans are held to.

`TEMPLATES` is where a trial starts. Each limit there says where its numbers come from and how well that is known; a
trial that publishes it makes it its own, so every limit of a protocol decides. The formats are the JSON Schemas in the
folder ``schemas`` beside this module.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from copy import deepcopy
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from functools import cache
from itertools import pairwise
from pathlib import Path
from types import MappingProxyType
from typing import Any

from phantoms.results import Outcome

SCHEMAS = Path(__file__).with_name("schemas")

#: What each limit is about and its unit, in the order in which people read them.
LIMITS: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        "uptake_min": ("Time from injection to the start of the scan", "min"),
        "mbq_per_kg": ("Injected activity per kilogram", "MBq/kg"),
        "injected_mbq": ("Injected activity", "MBq"),
        "net_activity_difference_pct": ("Net activity: the site's value against the images'", "%"),
        "weight_kg": ("Weight", "kg"),
        "weight_difference_kg": ("Weight: the site's value against the images'", "kg"),
        "weight_difference_pct": ("Weight: the site's value against the images'", "%"),
        "glucose_mmol_l": ("Blood glucose", "mmol/L"),
        "fasting_h": ("Fasting before the injection", "h"),
        "frame_min": ("Duration of a bed position", "min"),
        "coverage_mm": ("Length of the body that is shown", "mm"),
        "matrix": ("Columns of the matrix", "1"),
        "pixel_mm": ("Pixel", "mm"),
        "slice_mm": ("Distance of slices", "mm"),
    }
)


class DocumentProblems(Exception):
    """A document cannot be judged by; ``problems`` says everything that is wrong with it, in words."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__(" ".join(problems))
        self.problems = problems


@dataclass(frozen=True, kw_only=True)
class Limit:
    """One limit: ``low`` to ``high`` is accepted, both ends included; outside ``warn_low`` to ``warn_high`` it warns.

    None is an end that is not limited.
    """

    name: str
    low: float | None = None
    high: float | None = None
    warn_low: float | None = None
    warn_high: float | None = None
    source: str
    provenance: str

    def judge(self, value: float) -> Outcome:
        """Return what a value is by this limit."""
        if _is_outside(value, self.low, self.high):
            return Outcome.FAIL
        return Outcome.WARN if _is_outside(value, self.warn_low, self.warn_high) else Outcome.PASS

    @property
    def unit(self) -> str:
        """The unit of the value, ``1`` for a plain number."""
        return LIMITS[self.name][1]

    @property
    def words(self) -> str:
        """What is accepted, with its unit: ``50 to 75 min``, ``at most 11.1 mmol/L``."""
        return _span(self.low, self.high, self.unit)

    @property
    def expected(self) -> str:
        """What is accepted, and within it what is best: ``50 to 75 min, best 55 to 65 min``."""
        return ", best ".join(filter(None, (self.words, self.best)))

    @property
    def best(self) -> str:
        """What gives no warning, with its unit; empty where that is all that is accepted."""
        return _span(self.warn_low, self.warn_high, self.unit)


def _is_outside(value: float, low: float | None, high: float | None) -> bool:
    return (low is not None and value < low) or (high is not None and value > high)


def _span(low: float | None, high: float | None, unit: str) -> str:
    sign = "" if unit == "1" else f" {unit}"
    if low is not None and high is not None:
        return f"{low:g} to {high:g}{sign}"
    if high is not None:
        return f"at most {high:g}{sign}"
    return f"at least {low:g}{sign}" if low is not None else ""


@dataclass(frozen=True, kw_only=True)
class Protocol:
    """A trial's protocol, read: see ``schemas/protocol.schema.json`` for what each part means."""

    title: str
    trial: str | None
    standard: str | None
    nuclide: str
    tracer_names: tuple[str, ...]
    tracer_codes: tuple[str, ...]
    corrections_needed: tuple[str, ...]
    corrections_expected: tuple[str, ...]
    limits: Mapping[str, Limit] = field(default_factory=dict)


def parse(document: Any) -> Protocol:
    """Read a protocol.

    Raises
    ------
    DocumentProblems
        With everything that is wrong with it.
    """
    if found := problems(document):
        raise DocumentProblems(found)
    return Protocol(
        title=document["title"],
        trial=document.get("trial"),
        standard=document.get("standard"),
        nuclide=document["tracer"]["nuclide"],
        tracer_names=tuple(document["tracer"]["names"]),
        tracer_codes=tuple(document["tracer"]["codes"]),
        corrections_needed=tuple(document["corrections"]["needed"]),
        corrections_expected=tuple(document["corrections"]["expected"]),
        limits={name: Limit(name=name, **limit) for name, limit in document["limits"].items() if limit is not None},
    )


def problems(document: Any) -> list[str]:
    """Return everything that keeps a document from being a protocol, in words; nothing where it is one."""
    found = list(_schema_problems("protocol", document))
    return found or list(_limit_problems(document["limits"]))


def _limit_problems(limits: Mapping[str, Any]) -> Iterator[str]:
    for name, limit in limits.items():
        if limit is None:
            continue
        what = f"{LIMITS[name][0]} ({name})"
        low, warn_low, warn_high, high = (limit.get(end) for end in ("low", "warn_low", "warn_high", "high"))
        if low is None and high is None and warn_low is None and warn_high is None:
            yield f"{what}: give at least one end, or leave the limit out."
        given = [(end, value) for end, value in (("low", low), ("warn_low", warn_low)) if value is not None]
        given += [(end, value) for end, value in (("warn_high", warn_high), ("high", high)) if value is not None]
        for (lower, below), (upper, above) in pairwise(given):
            if below > above:
                yield f"{what}: {lower} ({below:g}) lies above {upper} ({above:g})."


# --- the register ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Profile:
    """One reconstruction of a scanner, as it is registered; None is what the register does not say."""

    name: str
    method: str
    kernel: str = ""
    filter_fwhm_mm: float | None = None
    matrix: int | None = None
    pixel_mm: float | None = None
    slice_mm: float | None = None


@dataclass(frozen=True, kw_only=True)
class ClearanceSpan:
    """Days on which a scanner may scan with a reconstruction and a tracer, for one trial or, where None, for every."""

    reconstruction: str
    tracer: str
    standard: str
    trial: str | None
    certificate: str
    from_on: date
    until_on: date
    ended_on: date | None = None
    ending: str = ""
    reason: str = ""

    @property
    def last_day(self) -> date:
        """The last day on which it holds."""
        return self.until_on if self.ended_on is None else min(self.until_on, self.ended_on - timedelta(days=1))

    def holds_on(self, day: date) -> bool:
        """Say whether the scanner may scan on this day."""
        return self.from_on <= day <= self.last_day


@dataclass(frozen=True, kw_only=True)
class Registered:
    """One scanner of the register."""

    manufacturer: str
    model: str
    serial: str
    software: str
    reconstructions: tuple[Profile, ...]
    clearances: tuple[ClearanceSpan, ...]


def parse_registry(document: Any) -> tuple[Registered, ...]:
    """Read a register of scanners.

    Raises
    ------
    DocumentProblems
        With everything that is wrong with it.
    """
    found = list(_schema_problems("registry", document))
    if not found:
        try:
            return tuple(_scanner(row) for row in document["scanners"])
        except ValueError:
            found = ["A day is no day of the calendar; write it as 2026-03-31."]
    raise DocumentProblems(found)


def _scanner(row: Mapping[str, Any]) -> Registered:
    profiles = tuple(Profile(**profile) for profile in row["reconstructions"])
    clearances = tuple(map(_clearance, row["clearances"]))
    return Registered(**dict(row) | {"reconstructions": profiles, "clearances": clearances})


def _clearance(row: Mapping[str, Any]) -> ClearanceSpan:
    read: dict[str, Any] = {key: _day(value) if key.endswith("_on") else value for key, value in row.items()}
    return ClearanceSpan(**read)


def _day(text: str | None) -> date | None:
    return date.fromisoformat(text) if text else None


# --- what the site wrote down ---------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class ScanDayValues:
    """What the site wrote down on the scan day; times are the site's wall clock, None is what it did not write."""

    weight_kg: float | None = None
    height_m: float | None = None
    injected_mbq: float | None = None
    injected_at: datetime | None = None
    residual_mbq: float | None = None
    residual_at: datetime | None = None
    glucose_mmol_l: float | None = None
    glucose_at: datetime | None = None
    fasting_h: float | None = None

    @classmethod
    def read(cls, values: Mapping[str, Any]) -> ScanDayValues:
        """Read the ``patient`` part of a sheet; what is not a number or a time there counts as not written."""
        read: dict[str, Any] = {}
        for name in cls.__dataclass_fields__:
            value = values.get(name)
            if name.endswith("_at"):
                read[name] = _moment(value)
            elif isinstance(value, int | float) and not isinstance(value, bool) and value >= 0:
                read[name] = float(value)
        return cls(**read)


def _moment(text: Any) -> datetime | None:
    try:
        return datetime.fromisoformat(text).replace(tzinfo=None)
    except (TypeError, ValueError):
        return None


# --- schemas in words -----------------------------------------------------------------------------------------------

_TYPE_WORDS = {
    "object": "a group of values",
    "array": "a list",
    "string": "text",
    "number": "a number",
    "integer": "a whole number",
    "null": "nothing",
}


@cache
def schema(name: str) -> Any:
    """Return the JSON Schema ``protocol`` or ``registry``."""
    return json.loads((SCHEMAS / f"{name}.schema.json").read_text(encoding="utf-8"))


def _schema_problems(name: str, document: Any) -> Iterator[str]:
    from jsonschema import Draft202012Validator  # imported here: only who reads a document waits for it

    errors = Draft202012Validator(schema(name)).iter_errors(document)
    for error in sorted(errors, key=lambda error: list(map(str, error.absolute_path))):
        place = ".".join(map(str, error.absolute_path)) or "The document"
        yield f"{place}: {_in_words(error)}."


def _in_words(error: Any) -> str:
    expected = error.validator_value
    match error.validator:
        case "required":
            missing = [key for key in expected if key not in error.instance]
            return f"{', '.join(missing)} {'is' if len(missing) == 1 else 'are'} missing"
        case "additionalProperties":
            unknown = sorted(set(error.instance) - set(error.schema.get("properties", {})))
            return f"{', '.join(key[:40] for key in unknown)} {'is' if len(unknown) == 1 else 'are'} not known here"
        case "type":
            kinds = [expected] if isinstance(expected, str) else expected
            return f"{' or '.join(_TYPE_WORDS.get(kind, kind) for kind in kinds)} is expected"
        case "enum":
            return f"one of {', '.join(map(repr, expected))} is expected"
        case "minimum" | "exclusiveMinimum":
            return f"a number {'of at least' if error.validator == 'minimum' else 'above'} {expected} is expected"
        case "minLength":
            return "it is empty or too short"
        case "maxLength":
            return f"it has more than {expected} characters"
        case "uniqueItems":
            return "the same stands there twice"
        case _:
            return "it is not written as expected"


# --- templates ------------------------------------------------------------------------------------------------------


def _limit(provenance: str, source: str, **ends: float) -> dict[str, Any]:
    return {**ends, "source": source, "provenance": provenance}


_EANM = "EANM procedure guideline for FDG PET/CT, version 2.0 (2015)"
_QIBA = "QIBA FDG-PET/CT profile, version 1.14"

_LYMPHOMA: dict[str, Any] = {
    "title": "Lymphoma trial with FDG PET/CT",
    "trial": None,
    "standard": None,
    "tracer": {
        "nuclide": "F-18",
        "names": ["FDG", "fluorodeoxyglucose", "fludeoxyglucose"],
        "codes": ["C-B1031", "Y-X1743", "35321007"],
    },
    "corrections": {"needed": ["ATTN", "SCAT", "DECY"], "expected": ["RAN", "DTIM", "NORM"]},
    "limits": {
        "uptake_min": _limit(
            "ML",
            f"house default for lymphoma trials: 55 to 65 is best, 50 to 75 is accepted; {_QIBA} and {_EANM} accept "
            "55 to 75 (C2)",
            low=50,
            warn_low=55,
            warn_high=65,
            high=75,
        ),
        "mbq_per_kg": _limit(
            "ML",
            "usual in trials: 3.5 to 4 MBq/kg, within 10 % of it passes, within 20 % is asked about",
            low=2.8,
            warn_low=3.15,
            warn_high=4.4,
            high=4.8,
        ),
        "injected_mbq": _limit("ML", "what FDG scans of adults have", low=50, high=700),
        "net_activity_difference_pct": _limit("ML", "house default: beyond it, an entry error", warn_high=2, high=5),
        "weight_kg": _limit("C2", "plausible for adults; as a public checker of series has it", low=20, high=300),
        "weight_difference_kg": _limit("ML", "house default: 1 kg, or 2 % where that is more", high=1),
        "weight_difference_pct": _limit("ML", "house default: 1 kg, or 2 % where that is more", high=2),
        "glucose_mmol_l": _limit(
            "C2",
            f"house default after {_EANM}: below 11 mmol/L (200 mg/dL) in the clinic, 7 to 8.3 in research (MM)",
            warn_high=8.3,
            high=11.1,
        ),
        "fasting_h": _limit("MH", f"{_EANM}: at least 4 h", low=4),
        "frame_min": _limit(
            "MM",
            f"{_EANM}: activity × minutes per bed / weight is at least 7 where beds overlap by more than 30 %; that is "
            "2 min with 3.5 MBq/kg, 1.75 min with 4 MBq/kg",
            low=1.75,
            warn_low=2,
        ),
        "coverage_mm": _limit("ML", "house default: skull base to mid-thigh of an adult", low=700, warn_low=800),
        "pixel_mm": _limit("MM", "after EANM: 3 to 4 mm, never above 5 mm", warn_high=4, high=5),
        "slice_mm": _limit("MM", "after EANM: 3 to 4 mm, never above 5 mm", warn_high=4, high=5),
    },
}

#: Where a trial's protocol starts, by name; copy one before changing it (`template`).
TEMPLATES: Mapping[str, Mapping[str, Any]] = MappingProxyType({"lymphoma": _LYMPHOMA})


def template(name: str) -> dict[str, Any]:
    """Return a template's document to be changed."""
    return deepcopy(dict(TEMPLATES[name]))
