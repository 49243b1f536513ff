"""Slips of the pen in an activity sheet, as questions with answers: proposed, never applied.

What looks wrong is found by `phantoms.sheet`; here its proposals become what would be typed into the form.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from phantoms import sheet as sheets
from phantoms.fills import NAMES
from phantoms.results import Finding
from phantoms.sheet_checks import MBQ_PER_MCI, NOMINAL_RATIO

_ACTIVITIES = ("activity_mbq", "residual_mbq")


@dataclass(frozen=True, kw_only=True)
class Proposal:
    """One answer: its words, and what it writes into which field."""

    label: str
    use: Mapping[str, str]


@dataclass(frozen=True, kw_only=True)
class Slip:
    """One likely slip.

    Attributes
    ----------
    key : str
        Names the rule, the fill and the values it hangs on: a changed value is asked about again.
    message, effect : str
        What was seen; what a proposal changes.
    """

    key: str
    message: str
    effect: str
    proposals: tuple[Proposal, ...]


def findings_of(sheet: Mapping[str, Any], at: datetime | None, nominal_ratio: float = NOMINAL_RATIO) -> list[Finding]:
    """Return what looks wrong on a sheet that is being written; what is only missing yet is left out.

    ``nominal_ratio`` is that of hot to background for which the phantom is made.
    """
    if not sheet.get("fills"):
        return []
    found = sheets.problems(sheet, at, nominal_ratio=nominal_ratio)
    return [finding for finding in found if finding.id not in {"SHEET-HALF", "SHEET-FORM"}]


def slips_in(findings: Sequence[Finding], sheet: Mapping[str, Any], *, unit: str, day: date | None) -> list[Slip]:
    """Turn findings that carry proposals into questions.

    Parameters
    ----------
    findings : sequence of Finding
        As `findings_of` gives them.
    sheet : mapping
        The same sheet.
    unit : str
        ``MBq`` or ``mCi``: what the form's activities are written in.
    day : date or None
        The form's day of the scan.
    """
    fills = {fill["what"]: fill for fill in sheet.get("fills", [])}
    slips: list[Slip] = []
    for finding in findings:
        by_slip: dict[str, list[Mapping[str, Any]]] = {}
        for proposal in finding.evidence.get("proposals", []):
            by_slip.setdefault(_slip_of(proposal), []).append(proposal)
        proposals = [_proposal(group, fills, unit, day) for group in by_slip.values()]
        # One slip may upset several checks: it is asked about once.
        if not proposals or any(slip.proposals == tuple(proposals) for slip in slips):
            continue
        what = finding.evidence["proposals"][0]["fill"]
        slips.append(
            Slip(
                key=f"{finding.id}/{what}/{finding.observed or finding.message[:60]}",
                message=finding.message,
                effect=finding.next_step,
                proposals=tuple(proposals),
            )
        )
    return slips


def _slip_of(proposal: Mapping[str, Any]) -> str:
    """Return what the proposals of one slip share; without a number, the same reason can be two: two other hours."""
    if "slip" in proposal:
        return str(proposal["slip"])
    is_pair = "exchanged" in proposal["reason"] or not str(proposal["field"]).endswith("_at")
    return proposal["reason"] if is_pair else f"{proposal['reason']} {proposal['to']}"


def _proposal(
    group: Sequence[Mapping[str, Any]], fills: Mapping[str, Mapping[str, Any]], unit: str, day: date | None
) -> Proposal:
    use: dict[str, str] = {}
    words: list[str] = []
    is_of_several = len({one["fill"] for one in group}) > 1
    proposed = {(one["fill"], one["field"]) for one in group}
    written = {(what, name) for what, fill in fills.items() for name in _ACTIVITIES if fill.get(name)}
    new_day = _day_after(group, day)
    for one in group:
        what = one["fill"]
        if str(one["field"]).endswith("_at"):
            moment = datetime.fromisoformat(one["to"])
            said = _time_into(use, what, one["field"], moment, new_day)
        elif written <= proposed and (other := _other_unit(one, fills[what], unit)):
            use["unit"] = other  # the form's unit is that of all its activities
            words = [f"{other} for the whole sheet"]
            continue
        else:
            amount = float(one["to"]) / (MBQ_PER_MCI if unit == "mCi" else 1.0)
            name = "activity" if one["field"] == "activity_mbq" else "residual"
            use[f"{what}-{name}"] = f"{amount:.6g}"
            said = f"{amount:.6g} {unit} {'drawn' if name == 'activity' else 'left'}"
        words.append(f"{NAMES[what]} {said}" if is_of_several else said)
    if len(group) == 1:
        words = [words[0].removesuffix(" drawn").removesuffix(" left")]
    if new_day is not None and day is not None and new_day != day:
        words.insert(0, f"{new_day.day} {new_day:%b} as the day")
        use |= _on_day(new_day, day, proposed, fills)
    return Proposal(label=f"Use {', '.join(words)}", use=use)


def _day_after(group: Sequence[Mapping[str, Any]], day: date | None) -> date | None:
    """Return the form's day with a slip mended: that of the draw, where the slip moves it."""
    moved = [datetime.fromisoformat(one["to"]).date() for one in group if one["field"] == "assayed_at"]
    return moved[0] if moved and day is not None else day


def _on_day(
    new_day: date, day: date, proposed: set[tuple[str, str]], fills: Mapping[str, Mapping[str, Any]]
) -> dict[str, str]:
    """Return what else a new day changes: what the slip leaves alone stays on the day that it was on."""
    use = {"date": new_day.isoformat(), "scan_next_day": "on" if new_day < day else ""}
    for what, fill in fills.items():
        left_at = fill.get("residual_at")
        if left_at and (what, "residual_at") not in proposed:
            use[f"{what}-residual_next_day"] = "on" if datetime.fromisoformat(left_at).date() > new_day else ""
    return use


def _time_into(use: dict[str, str], what: str, name: str, moment: datetime, day: date | None) -> str:
    """Write a proposed time into the fields that make it up, and return it in words."""
    clock = f"{moment:%H:%M}"
    if name == "assayed_at":
        use[f"{what}-activity_time"] = clock
        return f"{clock} drawn"
    use[f"{what}-residual_time"] = clock
    is_later_day = day is not None and moment.date() > day
    use[f"{what}-residual_next_day"] = "on" if is_later_day else ""
    return f"{clock} on the next day left" if is_later_day else f"{clock} left"


def _other_unit(one: Mapping[str, Any], fill: Mapping[str, Any], unit: str) -> str:
    """Return the unit that the proposal amounts to: 37 times as much is the same figure in mCi."""
    now = fill.get(one["field"])
    if not now:
        return ""
    factor = float(one["to"]) / float(now)
    if unit == "MBq" and abs(factor / MBQ_PER_MCI - 1) < 1e-6:
        return "mCi"
    return "MBq" if unit == "mCi" and abs(factor * MBQ_PER_MCI - 1) < 1e-6 else ""
