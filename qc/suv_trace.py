"""A run's SUV as it is read line by line: steps, instants on a time line, factors, and what stands in the way.

Pure: it reads the ``suv`` object of a result. Of the patient's own group only what SUV needs is let through.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from typing import Any
from xml.sax.saxutils import escape

from phantoms.results import Owner
from phantoms.suv.catalogue import CATALOGUE
from qc import wording
from qc.suv_choice import first_in_precedence

#: Of the patient's own group only what SUV needs: size, weight, sex, age.
SHOWN_PATIENT_TAGS = frozenset({"(0010,1020)", "(0010,1030)", "(0010,0040)", "(0010,1010)"})
#: Doubts about a patient. A phantom's weight and activity are those of its fill, and its sheet is checked instead.
OF_A_PATIENT = frozenset({"SUV-WEIGHT", "SUV-DOSE", "SUV-UPTAKE"})
PHANTOMS = frozenset({"cylinder", "nema_iq", "acr"})
NOT_SEEN = "–"

PIXELS, BODY, INJECTION, TIMES, REFERENCE, FACTOR = (
    "What the pixel values are",
    "The body",
    "The injection",
    "Times as the headers have them",
    "The instant that the pixel values refer to",
    "The factor",
)
#: What each line of a trace is about: its step, and the attribute's name.
ATTRIBUTES: Mapping[str, tuple[str, str]] = {
    "(0028,1052)": (PIXELS, "Rescale Intercept"),
    "(0028,0051)": (PIXELS, "Corrected Image"),
    "(0054,1001)": (PIXELS, "Units"),
    "(0054,1001) (0054,1006)": (PIXELS, "Units, SUV Type"),
    "(7053,xx00)": (PIXELS, "SUV Scale Factor of Philips"),
    "(7053,xx09)": (PIXELS, "Activity Concentration Scale Factor of Philips"),
    "accepts the coefficient 120": (PIXELS, "Signed decision"),
    "(0010,1030)": (BODY, "Patient's Weight"),
    "(0010,1020)": (BODY, "Patient's Size"),
    "(0010,0040)": (BODY, "Patient's Sex"),
    "lbm_james128": (BODY, "Lean mass, James 128"),
    "lbm_120": (BODY, "Lean mass, coefficient 120"),
    "lbm_janmahasatian": (BODY, "Lean mass, Janmahasatian"),
    "bsa": (BODY, "Body surface, Du Bois"),
    "ibw": (BODY, "Ideal weight, Sugawara"),
    "(0054,0016)": (INJECTION, "Radiopharmaceutical Information Sequence"),
    "(0018,0031)": (INJECTION, "Radiopharmaceutical"),
    "(0054,0300)": (INJECTION, "Radionuclide Code Sequence"),
    "(0018,1075)": (INJECTION, "Radionuclide Half Life"),
    "(0018,1074)": (INJECTION, "Radionuclide Total Dose"),
    "(0008,0070)": (TIMES, "Manufacturer"),
    "(0008,0008)": (TIMES, "Image Type"),
    "(0008,0201)": (TIMES, "Timezone Offset From UTC"),
    "(0008,0021)": (TIMES, "Series Date"),
    "(0008,0031)": (TIMES, "Series Time"),
    "(0008,0021) (0008,0031)": (TIMES, "Series Date and Time"),
    "(0008,0022)": (TIMES, "Acquisition Date"),
    "(0008,0032)": (TIMES, "Acquisition Time"),
    "(0008,002A)": (TIMES, "Acquisition DateTime"),
    "(0008,0022) (0008,0032)": (TIMES, "Acquisition Date and Time"),
    "(0054,0081)": (TIMES, "Number of Slices"),
    "(0071,xx22)": (TIMES, "Decay correction time of Siemens"),
    "(0009,xx0D)": (TIMES, "Scan time of GE"),
    "(0018,9701)": (TIMES, "Decay Correction DateTime"),
    "(0054,1300)": (TIMES, "Frame Reference Time"),
    "(0018,1242)": (TIMES, "Actual Frame Duration"),
    "(0054,1321)": (TIMES, "Decay Factor"),
    "(0054,1102)": (TIMES, "Decay Correction"),
    "(0018,1078)": (TIMES, "Radiopharmaceutical Start DateTime"),
    "(0018,1072)": (TIMES, "Radiopharmaceutical Start Time"),
    "t_adm": (REFERENCE, "Administration"),
    "chosen reference": (REFERENCE, "Signed decision"),
    "t_frame": (REFERENCE, "Moments of the slices"),
    "D(t_ref)": (FACTOR, "Activity at the reference"),
    "factor": (FACTOR, "Factor to SUVbw"),
    "SUVbw": (FACTOR, "Body weight"),
    "SUVlbm_james128": (FACTOR, "Lean mass, James 128"),
    "SUVlbm_120": (FACTOR, "Lean mass, coefficient 120"),
    "SUVlbm_janmahasatian": (FACTOR, "Lean mass, Janmahasatian"),
    "SUVbsa": (FACTOR, "Body surface, Du Bois"),
    "SUVibw": (FACTOR, "Ideal weight, Sugawara"),
}
#: What each candidate is, in a few words.
CANDIDATES: Mapping[str, str] = {
    "R1": "The vendor's own private time",
    "R2": "SeriesTime",
    "R3": "DecayCorrectionDateTime",
    "R4": "Frame's mean activity less FrameReferenceTime",
    "R5": "Frame's start less FrameReferenceTime",
    "R6": "DecayFactor, a check only",
    "R7": "Ratio of Philips' factors, a check only",
    "R8": "First acquisition",
}


def may_be_shown(attribute: str) -> bool:
    """Say whether a line of a trace may be shown: nothing of the patient's own group beyond what SUV needs."""
    return all(not tag.startswith("(0010,") or tag in SHOWN_PATIENT_TAGS for tag in _tags(attribute))


def scientific(value: float) -> str:
    """Return ``2.429030 × 10⁻⁴``."""
    mantissa, _, exponent = f"{value:.6e}".partition("e")
    raised = str(int(exponent)).translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))
    return f"{mantissa} × 10{raised}"


def _tags(attribute: str) -> list[str]:
    return re.findall(r"\([0-9A-Fa-f]{4},[0-9A-Fa-fx]{4}\)", attribute)


# --- step by step ------------------------------------------------------------------------------


@dataclass(frozen=True)
class Line:
    """One value, what was made of it, and what else could have stood in its place."""

    name: str
    tag: str
    value: str
    use: str
    alternatives: tuple[str, ...] = ()

    @property
    def is_seen(self) -> bool:
        """Whether the headers have it at all."""
        return self.value != NOT_SEEN


@dataclass(frozen=True)
class Step:
    """One step on the way to the factor."""

    title: str
    lines: tuple[Line, ...]


def steps(suv: Mapping[str, Any]) -> list[Step]:
    """Return the trace in its own order, step by step; an attribute without a name stays in the step before it."""
    found: list[tuple[str, Line]] = []
    for one in suv["trace"]:
        attribute = one["attribute"]
        if not may_be_shown(attribute):
            continue
        before = found[-1][0] if found else PIXELS
        step, name = (
            (REFERENCE, CANDIDATES[attribute])
            if attribute in CANDIDATES
            else ATTRIBUTES.get(attribute, (before, attribute))
        )
        tag = attribute if _tags(attribute) or attribute in CANDIDATES else ""
        found.append((step, Line(name, tag, str(one["value"]), one["use"], _alternatives(attribute, suv))))
    return [Step(title, tuple(line for _, line in lines)) for title, lines in groupby(found, key=lambda one: one[0])]


def _alternatives(attribute: str, suv: Mapping[str, Any]) -> tuple[str, ...]:
    """Return what else could have been taken: other candidates that hold, the injection's times as written."""
    if attribute in CANDIDATES:
        return tuple(
            f"{one.id} {one.clock}, {one.apart}" for one in instants(suv) if one.is_eligible and one.id != attribute
        )
    if attribute == "t_adm":
        written = [one for one in suv["trace"] if one["attribute"] in {"(0018,1078)", "(0018,1072)"}]
        seen = [f"{one['attribute']} {one['value']}" for one in written if one["value"] != NOT_SEEN]
        return tuple(seen) if len(seen) > 1 else ()
    return ()


# --- the instants ------------------------------------------------------------------------------


@dataclass(frozen=True)
class Instant:
    """One candidate for the reference time, against the one that others are compared with."""

    id: str
    what: str
    at: datetime | None
    is_used: bool
    is_eligible: bool
    reason: str
    apart_s: float | None

    @property
    def clock(self) -> str:
        """Time of day to the second."""
        return f"{self.at:%H:%M:%S}" if self.at else NOT_SEEN

    @property
    def apart(self) -> str:
        """Seconds from the one that is compared with, with their sign."""
        return NOT_SEEN if self.apart_s is None else wording.with_unit(wording.signed(round(self.apart_s), 0), "s")

    @property
    def state(self) -> str:
        """Whether it is used, holds, or is left out."""
        return "used" if self.is_used else "holds" if self.is_eligible else "left out"


def compared_with(suv: Mapping[str, Any]) -> str:
    """Return the id of the candidate that others are compared with: the used one, else the first in precedence."""
    used = next((one["id"] for one in suv["candidates"] if one.get("used")), None)
    if used is not None:
        return str(used)
    first = first_in_precedence(suv)
    return first.id if first is not None else ""


def instants(suv: Mapping[str, Any]) -> list[Instant]:
    """Return every candidate for the reference time; empty where none was looked at."""
    times = {one["id"]: datetime.fromisoformat(one["time"]) if one["time"] else None for one in suv["candidates"]}
    anchor = times.get(compared_with(suv))
    return [
        Instant(
            id=one["id"],
            what=CANDIDATES.get(one["id"], ""),
            at=(at := times[one["id"]]),
            is_used=bool(one.get("used")),
            is_eligible=bool(one.get("eligible")),
            reason=one["reason"],
            apart_s=(at - anchor).total_seconds() if at and anchor else None,
        )
        for one in suv["candidates"]
    ]


WIDTH_PX, ROW_PX, TOP_PX, FOOT_PX = 360, 24, 8, 24
LEFT_PX, RIGHT_PX = 40.0, 256.0  # where the line begins and ends; names stand before it, seconds behind
FAR_S = 6 * 3600.0  # farther away lies a wrong date: the mark stands at the end of the line


def time_line_svg(suv: Mapping[str, Any]) -> str:
    """Draw the candidates that have a time, one row each; empty where there are not two to compare.

    The used one is a filled disc with a bold name, those that hold are rings, those left out are crosses.
    """
    shown = [one for one in instants(suv) if one.at is not None]
    if len(shown) < 2:
        return ""
    apart_s = [one.apart_s or 0.0 for one in shown]
    near = [apart for apart in apart_s if abs(apart) <= FAR_S]
    first_s, last_s = min(near), max(near)
    span_s = max(last_s - first_s, 60.0)
    bottom = TOP_PX + ROW_PX * len(shown)

    def px(apart: float) -> float:
        return min(max(LEFT_PX + 8 + (apart - first_s) / span_s * (RIGHT_PX - LEFT_PX - 16), LEFT_PX), RIGHT_PX)

    parts = [f'<line class="chart-axis" x1="{LEFT_PX:g}" x2="{RIGHT_PX:g}" y1="{bottom}" y2="{bottom}"/>']
    if 0.0 in near:
        parts.append(f'<line class="chart-grid" x1="{px(0):.1f}" x2="{px(0):.1f}" y1="{TOP_PX}" y2="{bottom}"/>')
    for row, (one, apart) in enumerate(zip(shown, apart_s, strict=True)):
        parts += _row(one, px(apart), TOP_PX + ROW_PX * (row + 0.5))
    ends = (
        [(first_s, LEFT_PX, "start"), (last_s, RIGHT_PX, "end")] if last_s > first_s else [(first_s, LEFT_PX, "start")]
    )
    clocks = {apart: one.clock for one, apart in zip(shown, apart_s, strict=True)}
    for apart, x, anchor in ends:
        parts.append(_text(clocks[apart], x, bottom + 16, anchor))
    height = bottom + FOOT_PX
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" class="time-line" role="img" width="{WIDTH_PX}" height="{height}" '
        f'viewBox="0 0 {WIDTH_PX} {height}"><title>Candidates for the reference time</title>'
        f"<desc>{escape(_described(shown))}</desc>{''.join(parts)}</svg>"
    )


def _row(one: Instant, x: float, y: float) -> list[str]:
    if one.is_used:
        mark = f'<circle class="time-line-used" cx="{x:.1f}" cy="{y:g}" r="6"/>'
    elif one.is_eligible:
        mark = f'<circle class="time-line-holds" cx="{x:.1f}" cy="{y:g}" r="5"/>'
    else:
        mark = f'<path class="time-line-out" d="M{x - 4:.1f} {y - 4:g}l8 8m0 -8l-8 8"/>'
    return [
        mark,
        _text(one.id, 4, y + 4, "start", is_bold=one.is_used),
        _text("used" if one.is_used else one.apart, WIDTH_PX - 4, y + 4, "end", is_bold=one.is_used),
    ]


def _text(words: str, x: float, y: float, anchor: str, *, is_bold: bool = False) -> str:
    bold = " time-line-bold" if is_bold else ""
    place = f'x="{x:g}" y="{y:g}" text-anchor="{anchor}"'
    return f'<text class="time-line-text{bold}" {place} aria-hidden="true">{escape(words)}</text>'


def _described(shown: Sequence[Instant]) -> str:
    return "; ".join(
        f"{one.id} {one.clock} {one.state}" + ("" if one.is_used or one.apart_s is None else f", {one.apart}")
        for one in shown
    )


# --- what stands in the way ----------------------------------------------------------------------


@dataclass(frozen=True)
class Problem:
    """A refusal or a warning with its next step and who can take it."""

    code: str
    detail: str
    attribute: str
    next_step: str
    owner: str


def refusals(suv: Mapping[str, Any]) -> list[Problem]:
    """Return everything that keeps the SUV from being given, the first first."""
    if not suv["refused"]:
        return []
    first: dict[str, Any] = suv["refused"]
    further: list[dict[str, Any]] = list(suv.get("further_problems", []))
    # The first one's text ends with all the others', which stand below it here.
    rest = " ".join(one["detail"] for one in further)
    detail = first["detail"].removesuffix(f" Also: {rest}") if rest else first["detail"]
    return [_problem(one) for one in ({**first, "detail": detail}, *further)]


def warnings(suv: Mapping[str, Any], method: str | None) -> list[Problem]:
    """Return what a person should look at; of a phantom nothing about a patient."""
    silent = OF_A_PATIENT if method in PHANTOMS else frozenset()
    return [_problem(one) for one in suv["warnings"] if one["code"] not in silent]


def _problem(one: Mapping[str, Any]) -> Problem:
    entry = CATALOGUE.get(one["code"])
    attribute = one.get("attribute") or (entry.attribute if entry else None) or ""
    return Problem(
        code=one["code"],
        detail=one["detail"],
        attribute="" if attribute in one["detail"] else attribute,
        next_step=one.get("next_step") or (entry.next_step if entry else ""),
        owner=wording.OWNER_WORDS[(entry.owner if entry else Owner.SITE).value],
    )


# --- factors -------------------------------------------------------------------------------------

#: What SUV may be divided by, with the unit of the factor from rescaled pixel value.
KINDS: Mapping[str, tuple[str, str]] = {
    "bw": ("SUVbw, body weight", "g/mL"),
    "lbm_james128": ("SUVlbm, lean mass by James 128", "g/mL"),
    "lbm_120": ("SUVlbm, lean mass with the coefficient 120", "g/mL"),
    "lbm_janmahasatian": ("SUVlbm, lean mass by Janmahasatian", "g/mL"),
    "bsa": ("SUVbsa, body surface by Du Bois", "cm²/mL"),
    "ibw": ("SUVibw, ideal weight by Sugawara", "g/mL"),
}


@dataclass(frozen=True)
class SizeFactor:
    """The factor to one kind of SUV, or why there is none."""

    what: str
    factor: str
    unit: str
    reason: str


def size_factors(suv: Mapping[str, Any]) -> list[SizeFactor]:
    """Return the factor to each kind of SUV, in the order of `KINDS`."""
    factors, reasons = suv["body_weight_factors"] or {}, suv.get("body_weight_reasons") or {}
    return [
        SizeFactor(
            what=what,
            factor="" if factors[kind] is None else scientific(factors[kind]),
            unit=unit,
            reason="" if factors[kind] is not None else reasons.get(kind, ""),
        )
        for kind, (what, unit) in KINDS.items()
        if kind in factors
    ]


@dataclass(frozen=True)
class SliceFactor:
    """The factor of slices that follow one another and share it."""

    first: int
    last: int
    factor: str


def slice_factors(suv: Mapping[str, Any]) -> list[SliceFactor]:
    """Return the factors of a series without decay correction, slices of one bed in one row; counted from 1."""
    found: list[SliceFactor] = []
    numbered: Iterable[tuple[int, float]] = enumerate(suv.get("factors_by_slice") or (), start=1)
    for factor, group in groupby(numbered, key=lambda one: one[1]):
        numbers = [number for number, _ in group]
        found.append(SliceFactor(numbers[0], numbers[-1], scientific(factor)))
    return found
