"""The one slip of the pen that makes an activity sheet hold together again: looked for, named, never applied.

A sheet holds together where its times come in order, little stays in the syringe, the concentration is one that a
phantom has, the ratio of two fills is near the nominal one, and, once the images are measured, they show what the
sheet says. Where one of these does not hold, every simple slip is tried on a copy of the sheet, and those are named
that leave nothing wrong. Several may: then the sheet and the images cannot tell them apart, and all are named.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from phantoms.fills import NAMES, DecayClock, Fill
from phantoms.results import Finding, Outcome
from phantoms.sheet_checks import (
    MBQ_PER_MCI,
    RATIO_ACCEPTED,
    RESIDUAL_QUERY_PCT,
    RESIDUAL_WARN_PCT,
    RESIDUAL_WITHIN,
    SCAN_WITHIN,
    SHORT_LIVED_S,
    USUAL_WAIT,
    finding,
    highest_kbqml,
    listed,
    lowest_kbqml,
    residual_share_pct,
)

#: One standard deviation of a scanner's own calibration, per cent: half of the 10 % that calibration QC accepts.
SCANNER_SD_PCT = 5.0
#: Image and sheet are in doubt where they differ by more than this many standard deviations, and agree within fewer.
DOUBT_SD, AGREE_SD = 3.0, 2.0

_ANY_MOMENT = datetime(2000, 1, 1)  # noqa: DTZ001 (two concentrations without a time: their ratio needs none)
_HOUR = timedelta(hours=1)
#: How far a clock time is moved to mend it, with the slip in words.
_SHIFTS = (
    (-1 * _HOUR, "an hour of summer time"),
    (1 * _HOUR, "an hour of summer time"),
    (-12 * _HOUR, "afternoon written for morning"),
    (12 * _HOUR, "morning written for afternoon"),
    (24 * _HOUR, "midnight: the day before written for the day"),
    (-24 * _HOUR, "midnight: the day after written for the day"),
)
#: What a written activity is multiplied by to mend its unit, with the slip in words and the activities it may be of.
_UNITS = (
    (MBQ_PER_MCI, "written in mCi", ("both", "activity_mbq", "residual_mbq")),
    (1 / MBQ_PER_MCI, "turned from mCi into MBq twice", ("both",)),
    (1000.0, "written in GBq", ("both", "activity_mbq")),
    (1e-3, "written in kBq", ("both", "residual_mbq")),
    (MBQ_PER_MCI / 1000, "written in µCi", ("both", "residual_mbq")),
)
_FIELDS = ("assayed_at", "activity_mbq", "residual_at", "residual_mbq", "concentration_bqml", "at")
#: Findings of the sheet alone that a slip may explain.
_MENDED_BY_A_SLIP = frozenset({"SHEET-UNIT", "SHEET-ORDER", "SHEET-RESIDUAL", "PHA-RATIO"})


@dataclass(frozen=True)
class Reading:
    """What the images show of one fill: its concentration, and one standard deviation of that in per cent."""

    bqml: float
    sd_pct: float = 0.0


@dataclass(frozen=True)
class Slip:
    """One slip: its kind, what would then be true in words, and the values that would stand on the sheet."""

    reason: str
    words: str
    proposals: tuple[dict[str, Any], ...]


@dataclass(frozen=True)
class Evidence:
    """What a sheet is held against.

    Attributes
    ----------
    clock : DecayClock
    at : datetime or None
        The image's decay reference time on the scanner's clock, where it is known.
    budget_pct : mapping of str to float
        One standard deviation of each fill's concentration.
    readings : mapping of str to Reading
        What the images show, by fill; empty before they are measured.
    ratio_accepted : tuple of float
        The ratios of spheres to background that the phantom's limits hold for.
    """

    clock: DecayClock
    at: datetime | None
    budget_pct: Mapping[str, float] = field(default_factory=dict)
    readings: Mapping[str, Reading] = field(default_factory=dict)
    ratio_accepted: tuple[float, float] = RATIO_ACCEPTED

    def deviation(self, fill: Fill) -> tuple[float, float] | None:
        """Return ln(image / sheet) with its standard deviation; None where one of the two is missing."""
        reading = self.readings.get(fill.what)
        if reading is None or self.at is None or reading.bqml <= 0:
            return None
        bqml = self.clock.concentration_bqml(fill, self.at)
        if bqml is None or bqml <= 0:
            return None
        sd_pct = math.hypot(self.budget_pct.get(fill.what, 0.0), reading.sd_pct, SCANNER_SD_PCT)
        return math.log(reading.bqml / bqml), sd_pct / 100


def explain(fills: Sequence[Fill], evidence: Evidence) -> tuple[Slip, ...]:
    """Return every simple slip that explains what is wrong with a sheet; none where nothing is, or no one does.

    Parameters
    ----------
    fills : sequence of Fill
        The fills that are used; one that lacks something is passed over.
    evidence : Evidence

    Notes
    -----
    A slip explains where the mended sheet has nothing impossible left (`_impossible`), agrees with the images within
    two standard deviations, and has nothing unusual (`_unusual`) that the sheet did not have before. A slip of draw
    and residual together stands for the same slip of the draw alone where both explain alike: one clock and one
    calibrator were read for both, and the residual is too small to tell. Where the draw alone leaves less unusual, as
    the time between the two may, it is named. Where one leaves nothing unusual, those that do are left out.
    """
    whole = tuple(fill for fill in fills if not fill.missing)
    impossible, unusual = _all_wrong(whole, evidence, DOUBT_SD)
    is_ratio_off = "ratio" in unusual
    if not impossible and not is_ratio_off:
        return ()
    found: dict[tuple[str, ...], tuple[set[str], str, list[tuple[Fill, Fill]]]] = {}
    for group, reason, key, changed in _candidates(whole):
        mended = tuple(changed.get(fill.what, fill) for fill in whole)
        still_impossible, then_unusual = _all_wrong(mended, evidence, AGREE_SD)
        if still_impossible or not then_unusual <= unusual or (not impossible and "ratio" in then_unusual):
            continue
        if key not in found or then_unusual < found[key][0]:
            found[key] = then_unusual, reason, [(fill, changed[fill.what]) for fill in group]
    is_all_mended = any(not left for left, _, _ in found.values())
    best = [(reason, pairs) for left, reason, pairs in found.values() if not (is_all_mended and left)]
    return tuple(_slip(number, reason, pairs, evidence) for number, (reason, pairs) in enumerate(best))


def with_slips(findings: Sequence[Finding], fills: Sequence[Fill], evidence: Evidence) -> tuple[Finding, ...]:
    """Return the findings of a sheet with the slips that explain them, and one of its own for what the images show.

    ``SHEET-SLIP`` is given where the images disagree with the sheet, or the sheet gives no concentration to compare,
    and at least one slip explains it. It takes the place of ``SHEET-UNIT``, which says the same with less to go by.
    """
    slips = explain(fills, evidence)
    if not slips:
        return tuple(findings)
    proposals = [proposal for slip in slips for proposal in slip.proposals]
    result = [
        replace(
            one,
            next_step=f"{_it_would_fit(slips)} {one.next_step}",
            evidence=one.evidence | {"proposals": proposals},
        )
        if _is_mended(one)
        else one
        for one in findings
    ]
    seen = _seen(fills, evidence)
    if not seen:
        return tuple(result)
    apart = finding(
        "SHEET-SLIP",
        Outcome.WARN,
        "query",
        f"The images do not show what the sheet says. {_it_would_fit(slips)}",
        "Look at what was written down on the day. If it is so, correct the sheet; if not, say why it stands. "
        "Nothing was changed.",
        observed=seen,
        expected=f"within {AGREE_SD:g} standard deviations of the sheet, the scanner and the image together",
        proposals=proposals,
    )
    return (*(one for one in result if one.id != "SHEET-UNIT"), apart)


def _is_mended(one: Finding) -> bool:
    """Whether a slip may explain a finding; a share in the syringe that is only unusual is none."""
    if one.id == "SHEET-RESIDUAL":
        return one.severity != "info"
    # A draw years away is named with the times it may stand for already.
    return one.id in _MENDED_BY_A_SLIP and not (one.id == "SHEET-ORDER" and one.outcome is Outcome.NOT_EVALUABLE)


def _it_would_fit(slips: Sequence[Slip]) -> str:
    if len(slips) == 1:
        return f"All fits if {slips[0].words}."
    return f"All fits with any one of these, which cannot be told apart: {'; or '.join(slip.words for slip in slips)}."


def _seen(fills: Sequence[Fill], evidence: Evidence) -> str:
    """Return in words where the images disagree with the sheet, or have nothing to be compared with."""
    words = []
    for fill in fills:
        if fill.missing or fill.what not in evidence.readings:
            continue
        deviation = evidence.deviation(fill)
        if deviation is None:
            words.append(f"{NAMES[fill.what]}: the sheet gives no concentration")
        elif abs(deviation[0]) > DOUBT_SD * deviation[1]:
            words.append(f"{NAMES[fill.what]}: {math.exp(deviation[0]):.3g} times the sheet")
    return ", ".join(words) if evidence.at is not None else ""


# --- what holds together ----------------------------------------------------------------------


def _all_wrong(fills: Sequence[Fill], evidence: Evidence, bound_sd: float) -> tuple[set[str], set[str]]:
    """Return what cannot be, and what is only unusual, each named by fill and rule."""
    impossible = {f"{fill.what} {rule}" for fill in fills for rule in _impossible(fill, evidence, bound_sd)}
    unusual = {f"{fill.what} {rule}" for fill in fills for rule in _unusual(fill, evidence)}
    ratio = _ratio(fills, evidence)
    if ratio is not None and not evidence.ratio_accepted[0] <= ratio <= evidence.ratio_accepted[1]:
        unusual.add("ratio")
    return impossible, unusual


def _impossible(fill: Fill, evidence: Evidence, bound_sd: float) -> Iterator[str]:
    clock, at = evidence.clock, evidence.at
    share_pct = residual_share_pct(fill, clock)
    if share_pct is not None and share_pct > RESIDUAL_QUERY_PCT:
        yield "share"
    drawn = None if fill.is_concentration else fill.assayed_at
    if drawn and fill.residual_mbq and fill.residual_at and fill.residual_at < drawn:
        yield "residual before the draw"
    if at is not None and drawn is not None:
        waited = at - clock.on_scanner(drawn)
        if waited < timedelta(0) or (waited > SCAN_WITHIN and clock.half_life_s <= SHORT_LIVED_S):
            yield "order"
    moment = at or (clock.on_scanner(max(fill.moments)) if fill.moments else None)
    if moment is not None:
        bqml = clock.concentration_bqml(fill, moment)
        low, high = lowest_kbqml(fill), highest_kbqml(fill.what, at)
        if bqml is None or not low <= bqml / 1000 <= high:
            yield "level"
    deviation = evidence.deviation(fill)
    if deviation is not None and abs(deviation[0]) > bound_sd * deviation[1]:
        yield "image"


def _unusual(fill: Fill, evidence: Evidence) -> Iterator[str]:
    clock, at = evidence.clock, evidence.at
    share_pct = residual_share_pct(fill, clock)
    if share_pct is not None and share_pct > RESIDUAL_WARN_PCT:
        yield "much left"
    drawn, left = fill.assayed_at, fill.residual_at
    if drawn and left and fill.residual_mbq and left - drawn > RESIDUAL_WITHIN:
        yield "left late"
    is_short_lived = clock.half_life_s <= SHORT_LIVED_S
    if is_short_lived and at is not None and drawn is not None and at - clock.on_scanner(drawn) > USUAL_WAIT:
        yield "long wait"


def _ratio(fills: Sequence[Fill], evidence: Evidence) -> float | None:
    """Return spheres over background at one moment; None without both."""
    by_name = {fill.what: fill for fill in fills}
    if not {"spheres", "background"} <= set(by_name):
        return None
    stock, around = by_name["spheres"], by_name["background"]
    if stock.is_at_reference_time != around.is_at_reference_time and evidence.at is None:
        return None
    moments = [evidence.clock.on_scanner(one) for one in (*stock.moments, *around.moments)]
    moment = evidence.at or (moments[0] if moments else _ANY_MOMENT)
    spheres, background = (evidence.clock.concentration_bqml(fill, moment) for fill in (stock, around))
    return spheres / background if spheres is not None and background else None


# --- the slips --------------------------------------------------------------------------------


def _candidates(
    fills: Sequence[Fill],
) -> Iterator[tuple[tuple[Fill, ...], str, tuple[str, ...], dict[str, Fill]]]:
    """Yield each slip as the fills it is of, its reason, what makes it one of a kind, and the mended fills."""
    groups: list[tuple[Fill, ...]] = [(fill,) for fill in fills]
    if len(fills) > 1:
        groups.append(tuple(fills))
    changed: dict[str, Fill] | None
    for group in groups:
        name = "+".join(fill.what for fill in group)
        if len(group) == 1 and group[0].activity_mbq and group[0].residual_mbq and not group[0].is_concentration:
            (one,) = group
            swapped = replace(one, activity_mbq=one.residual_mbq, residual_mbq=one.activity_mbq)
            yield group, "the two activities are exchanged", (name, "activities"), {one.what: swapped}
            swapped = replace(one, assayed_at=one.residual_at, residual_at=one.assayed_at)
            yield group, "the two times are exchanged", (name, "times"), {one.what: swapped}
        if all(fill.is_concentration for fill in group):
            changed = {
                one.what: replace(one, concentration_bqml=1000 * (one.concentration_bqml or 0.0)) for one in group
            }
            yield group, "written in kBq/mL", (name, "concentration"), changed
        for factor, reason, whose in _UNITS:
            for which in whose:
                if changed := _changed(group, lambda fill, f=factor, w=which: _scaled(fill, f, w)):
                    yield group, reason, (name, reason, "residual" if which == "residual_mbq" else "draw"), changed
        for shift, reason in _SHIFTS:
            # Both times first: the draw alone is another slip only where both together do not explain.
            for which in ("both", "draw", "residual"):
                if changed := _changed(group, lambda fill, s=shift, w=which: _moved(fill, s, w)):
                    key = (name, str(shift), "residual" if which == "residual" else "draw")
                    yield group, reason, key, changed


def _changed(group: Sequence[Fill], change: Any) -> dict[str, Fill] | None:
    """Return every fill of a group changed; None where one of them has nothing to change."""
    changed = {fill.what: change(fill) for fill in group}
    return changed if all(changed[fill.what] not in (None, fill) for fill in group) else None


def _scaled(fill: Fill, factor: float, which: str) -> Fill | None:
    if fill.is_concentration:
        return None
    names = ("activity_mbq", "residual_mbq") if which == "both" else (which,)
    if which == "residual_mbq" and not fill.residual_mbq:
        return None
    if which == "activity_mbq" and not fill.residual_mbq:
        return None  # with nothing left, the draw alone is both
    return replace(fill, **{name: getattr(fill, name) * factor for name in names if getattr(fill, name)})


def _moved(fill: Fill, shift: timedelta, which: str) -> Fill | None:
    if fill.is_concentration:
        return replace(fill, at=fill.at + shift) if fill.at and which == "both" else None
    has_residual = bool(fill.residual_mbq and fill.residual_at)
    if (which != "both" and not has_residual) or fill.assayed_at is None:
        return None
    drawn, left = fill.assayed_at, fill.residual_at
    return replace(
        fill,
        assayed_at=drawn + shift if which != "residual" else drawn,
        residual_at=left + shift if left and has_residual and which != "draw" else left,
    )


def _slip(number: int, reason: str, pairs: Sequence[tuple[Fill, Fill]], evidence: Evidence) -> Slip:
    proposals = []
    for old, new in pairs:
        effect_pct = _change_pct(old, new, evidence)
        for name in _FIELDS:
            before, after = getattr(old, name), getattr(new, name)
            if after != before:
                to = after.isoformat() if isinstance(after, datetime) else float(f"{after:.10g}")
                one = {"fill": old.what, "field": name, "to": to, "reason": reason, "effect_pct": effect_pct}
                proposals.append(one | {"slip": number})
    words = listed([_in_words(old, new) for old, new in pairs])
    return Slip(reason, f"{words} ({reason})", tuple(proposals))


def _change_pct(old: Fill, new: Fill, evidence: Evidence) -> float | None:
    """Return how far the concentration at the scan moves; None where there was none before."""
    moment = evidence.at or next((evidence.clock.on_scanner(one) for one in old.moments), None)
    if moment is None:
        return None
    before, after = (evidence.clock.concentration_bqml(fill, moment) for fill in (old, new))
    return round(100 * (after / before - 1), 3) if before and before > 0 and after is not None else None


def _in_words(old: Fill, new: Fill) -> str:
    """Return what would then be true of one fill."""
    name = NAMES[old.what]
    parts = []
    if new.assayed_at != old.assayed_at:
        parts.append(f"the {name} was drawn at {_clock(new.assayed_at, old.assayed_at)}")
    if new.residual_at != old.residual_at:
        whose = "its residual" if parts else f"the residual of the {name}"
        parts.append(f"{whose} was measured at {_clock(new.residual_at, old.residual_at)}")
    if new.at != old.at:
        parts.append(f"the concentration of the {name} is that of {_clock(new.at, old.at)}")
    if new.concentration_bqml != old.concentration_bqml:
        parts.append(f"the {name} held {new.concentration_bqml:g} Bq/mL, not {old.concentration_bqml:g}")
    if new.activity_mbq != old.activity_mbq:
        verb = "certified" if new.is_sealed else "drawn"
        parts.append(f"{new.activity_mbq:.4g} MBq of the {name} were {verb}, not {old.activity_mbq:g}")
    if new.residual_mbq != old.residual_mbq:
        whose = "" if parts else f" of the {name}"
        parts.append(f"{new.residual_mbq:.4g} MBq{whose} were left, not {old.residual_mbq:g}")
    return ", and ".join(parts)


def _clock(new: datetime | None, old: datetime | None) -> str:
    if new is None or old is None:
        return ""
    pattern = "%H:%M" if new.date() == old.date() else "%d %b %H:%M"
    return f"{new:{pattern}}, not {old:{pattern}}"
