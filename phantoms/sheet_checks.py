"""What looks wrong on an activity sheet, with the value that would mend it: proposed, never applied."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from phantoms.fills import MAX_HALF_LIVES, NAMES
from phantoms.results import Finding, Outcome, Owner

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from phantoms.fills import DecayClock, Fill

# The lab's rules (no confirmed source): the ratio that recovery limits were made for, and how much may stay behind.
NOMINAL_RATIO = 10.0
RATIO_ACCEPTED = (8.0, 12.0)
RATIO_BEST = (9.0, 11.0)
RESIDUAL_WARN_PCT = 10.0
RESIDUAL_QUERY_PCT = 20.0
# Concentrations at the scan that a phantom of this kind has, kBq/mL; wide, so that only a slip of unit falls outside.
PLAUSIBLE_KBQML = {"cylinder": (1.0, 30.0), "spheres": (4.0, 200.0), "background": (0.5, 20.0)}
SEALED_LOWEST_KBQML = 0.2
MBQ_PER_MCI = 37.0
# A residual is measured within this time of the draw, and a phantom scanned within that one of it.
RESIDUAL_WITHIN = timedelta(hours=1)
SCAN_WITHIN = timedelta(hours=24)
# A draw that a proposal names lies within this time of the scan.
USUAL_WAIT = timedelta(hours=6)
SHORT_LIVED_S = 12 * 3600.0


def check_fill(fill: Fill, clock: DecayClock, at: datetime | None) -> list[Finding]:
    """Return everything that looks wrong in one fill; ``at`` is the image's decay reference time, if it is known."""
    findings = _completeness(fill)
    if fill.missing:
        return findings
    far = _far(fill, clock, at)
    if far or fill.is_concentration:
        return [*findings, *far]
    return [*findings, *_residual(fill, clock), *_order(fill, clock, at), *_unit(fill, clock, at)]


def check_partner(filled: Iterable[str]) -> list[Finding]:
    """Say so where spheres have no background, or a background no spheres."""
    missing = {"spheres", "background"} - set(filled)
    if len(missing) != 1:
        return []
    name = NAMES[missing.pop()]
    return [
        finding(
            "SHEET-PARTNER",
            Outcome.WARN,
            "query",
            f"The sheet has nothing for the {name}: ratio and contrast recovery cannot be worked out.",
            f"Enter the fill of the {name}.",
        )
    ]


def check_nuclide(sheet_says: str | None, images_say: str | None, *, is_sealed: bool = False) -> list[Finding]:
    """Compare the nuclide that the sheet names, if it names one, with the one that the images name.

    A sealed source is what its certificate says, whatever the scanner was told: it decays by its own half-life.
    """
    if images_say is None or sheet_says == images_say:
        return []
    if is_sealed and sheet_says is not None:
        return [
            finding(
                "SHEET-NUCLIDE",
                Outcome.WARN,
                "info",
                f"The sealed source is of {sheet_says}, the scanner was told {images_say}: the certificate was decayed "
                f"as {sheet_says}, and the reading expected in the share of positrons that the scanner assumed.",
                "If the scanner can be told the nuclide of the source, do so next time.",
                observed=images_say,
                expected=sheet_says,
            )
        ]
    if sheet_says is None:
        return [
            finding(
                "SHEET-NUCLIDE",
                Outcome.WARN,
                "info",
                f"The sheet names no nuclide; the images say {images_say}, which was used.",
                "Enter the nuclide. If it is the one of the images, no number changes.",
                observed="none",
                expected=images_say,
            )
        ]
    return [
        finding(
            "SHEET-NUCLIDE",
            Outcome.NOT_EVALUABLE,
            "exclude",
            f"The sheet says {sheet_says}, the images say {images_say}: the decay cannot be worked out.",
            "Check which nuclide was filled in. Correct the sheet, or send the images that belong to it.",
            observed=sheet_says,
            expected=images_say,
        )
    ]


def check_keys(unknown: Iterable[str]) -> list[Finding]:
    """Name the fields that are none of the sheet's."""
    message = "“{}” is not a field of the sheet; it was left out."
    return [
        finding("SHEET-KEY", Outcome.WARN, "query", message.format(key[:40]), "Check its spelling.") for key in unknown
    ]


def check_told_decay(told: str, factors: Sequence[float]) -> Finding:
    """Say what became of the decay that the scanner corrected by another half-life than the sealed source's.

    ``factors`` are those of the slices (DecayFactor); none where they are not known.
    """
    if not factors:
        return finding(
            "SHEET-SEALED",
            Outcome.NOT_EVALUABLE,
            "exclude",
            f"The scanner corrected the decay of {told}, not that of the sealed source, and by how much is not in the "
            "images (0054,1321).",
            "Send the images as the scanner made them, or scan again with the nuclide of the source.",
        )
    return finding(
        "SHEET-SEALED",
        Outcome.PASS,
        "info",
        f"The scanner raised the values by {100 * (min(factors) - 1):.1f} to {100 * (max(factors) - 1):.1f} % for the "
        f"decay of {told} (0054,1321), which the sealed source does not show: this was taken back, slice by slice.",
        "",
        observed=f"{min(factors):.4f} to {max(factors):.4f}",
    )


def ratio_bands(nominal: float = NOMINAL_RATIO) -> tuple[tuple[float, float], tuple[float, float]]:
    """Return which ratios of hot to background are accepted, and which are best, for a phantom made for ``nominal``."""
    share = nominal / NOMINAL_RATIO
    accepted, best = ((low * share, high * share) for low, high in (RATIO_ACCEPTED, RATIO_BEST))
    return accepted, best


def check_ratio(ratio: float | None, nominal: float = NOMINAL_RATIO) -> list[Finding]:
    """Compare hot over background with the ratio that the phantom's limits were made for: a tenth, a fifth off it."""
    bands = ratio_bands(nominal)
    is_accepted, is_best = (ratio is not None and low <= ratio <= high for low, high in bands)
    if ratio is None or is_best:
        return []
    accepted, best = (f"{low:g} to {high:g}" for low, high in bands)
    what = "Sphere" if nominal == NOMINAL_RATIO else "Hot cylinder"
    return [
        finding(
            "PHA-RATIO",
            Outcome.WARN if is_accepted else Outcome.FAIL,
            "query",
            f"{what} to background is {ratio:.1f} by your sheet; {accepted} is accepted, {best} is best.",
            "Check stock volume, residual and times in the sheet. If they are right, fill again.",
            observed=f"{ratio:.2f}",
            expected=f"{accepted}, best {best}",
        )
    ]


def finding(
    code: str,
    outcome: Outcome,
    severity: str,
    message: str,
    next_step: str,
    *,
    observed: str = "",
    expected: str = "",
    **evidence: Any,
) -> Finding:
    """Return a finding that the site owns; ``evidence["proposals"]`` lists fill, field, new value, reason, effect."""
    return Finding(
        id=code,
        outcome=outcome,
        severity=severity,
        message=message,
        observed=observed,
        expected=expected,
        next_step=next_step,
        owner=Owner.SITE,
        evidence=evidence,
    )


def residual_share_pct(fill: Fill, clock: DecayClock) -> float | None:
    """Return what stayed in the syringe over what was drawn, at one moment; None where one of the two is missing."""
    drawn, left = fill.assayed_at, fill.residual_at
    if not fill.residual_mbq or not fill.activity_mbq or drawn is None or left is None:
        return None
    if not clock.is_near(left, clock.on_scanner(drawn)):
        return None
    grown = 2.0 ** ((left - drawn).total_seconds() / clock.half_life_s)
    return float(100 * fill.residual_mbq * grown / fill.activity_mbq)


def lowest_kbqml(fill: Fill) -> float:
    """Return the lowest plausible concentration; a sealed source is used for years."""
    return SEALED_LOWEST_KBQML if fill.is_sealed else PLAUSIBLE_KBQML[fill.what][0]


def highest_kbqml(what: str, at: datetime | None) -> float:
    """Return the highest plausible concentration; with no scan known, up to three half-lives may pass before it."""
    return PLAUSIBLE_KBQML[what][1] * (1 if at is not None else 8)


def listed(words: Sequence[str], last: str = "and") -> str:
    """Join words into “a, b and c”."""
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} {last} {words[-1]}"


def _completeness(fill: Fill) -> list[Finding]:
    name = NAMES[fill.what]
    findings = []
    if fill.missing:
        lacks = listed(fill.missing)
        verb = "is" if len(fill.missing) == 1 else "are"
        findings.append(
            finding(
                "SHEET-HALF",
                Outcome.NOT_EVALUABLE,
                "exclude",
                f"The sheet is half filled in for the {name}: {lacks} {verb} missing.",
                f"Enter {lacks}.",
                missing=list(fill.missing),
            )
        )
    if fill.is_concentration and fill.activity_mbq is not None:
        findings.append(
            finding(
                "SHEET-TWICE",
                Outcome.WARN,
                "query",
                f"Both an activity and a concentration are written for the {name}; the concentration was used.",
                "Leave one of them out.",
            )
        )
    if not (fill.is_concentration or fill.is_sealed or fill.missing) and fill.residual_mbq is None:
        findings.append(
            finding(
                "SHEET-NO-RESIDUAL",
                Outcome.WARN,
                "query",
                f"No residual is written for the {name}: it was taken as none.",
                "Enter what was left in the syringe and when it was measured; 0 if nothing was.",
            )
        )
    return findings


def _residual(fill: Fill, clock: DecayClock) -> list[Finding]:
    drawn, left = fill.assayed_at, fill.residual_at
    if not fill.residual_mbq or not fill.activity_mbq or drawn is None or left is None:
        return []
    if left < drawn:
        return [_residual_before_draw(fill, clock, drawn, left)]
    name = NAMES[fill.what]
    share_pct = residual_share_pct(fill, clock)
    if share_pct is None:
        return []
    observed, expected = f"{share_pct:.1f} %", f"at most {RESIDUAL_WARN_PCT:g} %"
    if share_pct >= 100:
        return [
            finding(
                "SHEET-RESIDUAL",
                Outcome.NOT_EVALUABLE,
                "exclude",
                f"The residual of the {name} is more than was drawn "
                f"({fill.residual_mbq:g} of {fill.activity_mbq:g} MBq).",
                "Check both activities, their units and their times; they may be exchanged.",
                observed=observed,
                expected=expected,
            )
        ]
    if share_pct <= RESIDUAL_WARN_PCT:
        return []
    return [
        finding(
            "SHEET-RESIDUAL",
            Outcome.WARN,
            "query" if share_pct > RESIDUAL_QUERY_PCT else "info",
            f"{share_pct:.0f} % of the {name} stayed in the syringe; up to {RESIDUAL_WARN_PCT:g} % is usual.",
            "Check the residual and its unit. If they are right nothing needs changing.",
            observed=observed,
            expected=expected,
        )
    ]


def _residual_before_draw(fill: Fill, clock: DecayClock, drawn: datetime, left: datetime) -> Finding:
    name = NAMES[fill.what]
    mended = [(replace(fill, residual_at=moment), reason) for moment, reason in _times_after(drawn, left)]
    if drawn - left <= RESIDUAL_WITHIN:
        mended.append((replace(fill, assayed_at=left, residual_at=drawn), "the two times are exchanged"))
    if (fill.residual_mbq or 0.0) > (fill.activity_mbq or 0.0):  # no other time mends more left than drawn
        lines = replace(fill, activity_mbq=fill.residual_mbq, residual_mbq=fill.activity_mbq)
        mended = [(replace(lines, assayed_at=left, residual_at=drawn), "draw and residual are exchanged")]
    proposals, words = [], []
    for one, reason in mended:
        effect_pct = _change_pct(fill, one, clock)
        for field in ("activity_mbq", "assayed_at", "residual_mbq", "residual_at"):
            if (to := getattr(one, field)) != getattr(fill, field):
                value = to.isoformat() if isinstance(to, datetime) else to
                proposals.append(_proposal(fill, field, value, reason, effect_pct))
        moved = "" if effect_pct is None else f"{abs(effect_pct):.1f} % {'lower' if effect_pct < 0 else 'higher'}"
        if one.activity_mbq != fill.activity_mbq:
            words.append(
                f"With {one.activity_mbq:g} MBq drawn at {_short(left, drawn)} and {one.residual_mbq:g} MBq left at "
                f"{_short(drawn, left)} the sheet holds together ({reason})."
            )
        elif moved and one.assayed_at != fill.assayed_at:
            words.append(f"With the two times exchanged the {name} at scan time is {moved}.")
        elif moved:
            words.append(f"With {_short(one.residual_at, left)} the {name} at scan time is {moved} ({reason}).")
    was = _short(left, drawn)
    if not mended:
        words.append("Enter the time at which the residual was measured.")
    elif mended[0][0].assayed_at == fill.assayed_at:
        words.append(f"Use {_short(mended[0][0].residual_at, left)}, or keep {was} and say why.")
    else:
        words.append(f"Exchange them, or keep {was} and say why.")
    return finding(
        "SHEET-RESIDUAL-TIME",
        Outcome.WARN,
        "query",
        f"Check the residual time of the {name}. {was} is before the syringe was drawn at {_short(drawn, left)}.",
        " ".join(words),
        observed=left.isoformat(),
        expected=f"{drawn.isoformat()} or later",
        proposals=proposals,
    )


def _short(moment: datetime | None, beside: datetime) -> str:
    """Return a clock time, with its day where that of what it stands beside is another."""
    return "" if moment is None else f"{moment:{'%H:%M' if moment.date() == beside.date() else '%d %b %H:%M'}}"


def _times_after(drawn: datetime, left: datetime) -> list[tuple[datetime, str]]:
    """Return times soon after the draw that a residual's time may stand for, each with the slip that explains it."""
    same_hour = left.replace(year=drawn.year, month=drawn.month, day=drawn.day, hour=drawn.hour)
    slips = (
        (left + timedelta(hours=1), "an hour of summer time"),
        (left + timedelta(hours=12), "afternoon for morning"),
        (left + timedelta(days=1), "the day before for the day"),
        (same_hour, "another hour written"),
        (same_hour + timedelta(hours=1), "another hour written"),
    )
    found: dict[datetime, str] = {}
    for moment, reason in slips:
        if drawn <= moment <= drawn + RESIDUAL_WITHIN:
            found.setdefault(moment, reason)
    return list(found.items())


def _far(fill: Fill, clock: DecayClock, at: datetime | None) -> list[Finding]:
    """Say which times are too far from the scan, or with no scan known from the draw, for any decay to be worked out.

    The usual bounds of the other checks do not hold then, so this stands alone, with the slips they would propose.
    """
    drawn = fill.assayed_at
    start = at or (clock.on_scanner(drawn) if drawn and not fill.is_concentration else None)
    if start is None:
        return []
    other = f"the scan began at {_words(start)}" if at else f"it was drawn at {_words(drawn)}"
    findings = []
    for moment in fill.moments:
        if clock.is_near(moment, start):
            continue
        name = NAMES[fill.what]
        what, proposals = f"The concentration of the {name} is stated for", []
        if moment is drawn and not fill.is_concentration:
            what, proposals = f"The {name} was drawn at", _draws_before(fill, clock, start)
        elif drawn and not fill.is_concentration:
            what = f"The residual of the {name} was measured at"
            times = _times_after(drawn, moment) if clock.is_near(drawn, start) else []
            proposals = [_proposal(fill, "residual_at", to.isoformat(), reason) for to, reason in times]
        step = "Check the year, date and clock time on the sheet"
        step += "; if they are right, send the images with the date of the scan." if at else "."
        if proposals:
            to = datetime.fromisoformat(proposals[0]["to"])
            step = f"Use {_words(to)} ({proposals[0]['reason']}) if that is right. {step}"
        findings.append(
            finding(
                "SHEET-ORDER",
                Outcome.NOT_EVALUABLE,
                "exclude",
                f"{what} {_words(moment)} by the sheet, and {other}: more than {MAX_HALF_LIVES:g} half-lives apart, "
                "so that no concentration follows.",
                step,
                observed=moment.isoformat(),
                expected=f"within {MAX_HALF_LIVES:g} half-lives of {start.isoformat()}",
                proposals=proposals,
            )
        )
    return findings


def _draws_before(fill: Fill, clock: DecayClock, at: datetime) -> list[dict[str, Any]]:
    """Return times soon before the scan that a draw's time may stand for, each with the slip that explains it."""
    drawn = fill.assayed_at
    slips = ((-1, "an hour of summer time"), (-12, "afternoon for morning"), (12, "morning for afternoon"))
    proposals = []
    for hours, reason in (*slips, (24, "the day before for the day"), (-24, "the day after for the day")):
        moved = drawn + timedelta(hours=hours) if drawn else None
        if moved and timedelta(0) < at - clock.on_scanner(moved) <= USUAL_WAIT:
            proposals.append(_proposal(fill, "assayed_at", moved.isoformat(), reason))
    return proposals


def _order(fill: Fill, clock: DecayClock, at: datetime | None) -> list[Finding]:
    """Compare the draw with the scan: before it, and for a short-lived nuclide within a day."""
    drawn = fill.assayed_at
    if at is None or drawn is None:
        return []
    waited = at - clock.on_scanner(drawn)
    if timedelta(0) <= waited and (waited <= SCAN_WITHIN or clock.half_life_s > SHORT_LIVED_S):
        return []
    when = "after the scan began" if waited < timedelta(0) else "more than a day before the scan"
    happened = "certified" if fill.is_sealed else "drawn"
    return [
        finding(
            "SHEET-ORDER",
            Outcome.WARN,
            "query",
            f"The {NAMES[fill.what]} was {happened} {when} by the sheet "
            f"({drawn:%d %b %Y %H:%M}; scan {at:%d %b %Y %H:%M}).",
            "Check date and clock time.",
            observed=drawn.isoformat(),
            expected=f"within a day before {at.isoformat()}",
        )
    ]


def _unit(fill: Fill, clock: DecayClock, at: datetime | None) -> list[Finding]:
    """Say so where the concentration is none that a phantom has."""
    if fill.activity_mbq is None or not fill.moments:
        return []
    filled_at = max(fill.moments)
    low, high = lowest_kbqml(fill), highest_kbqml(fill.what, at)
    kbqml = (clock.concentration_bqml(fill, at or clock.on_scanner(filled_at)) or 0.0) / 1000
    if kbqml <= 0 or low <= kbqml <= high:
        return []
    observed, expected = f"{kbqml:.3g} kBq/mL", f"{low:g} to {high:g} kBq/mL"
    return [
        finding(
            "SHEET-UNIT",
            Outcome.WARN,
            "query",
            f"The {NAMES[fill.what]} comes to {observed} by the sheet; {expected} is usual.",
            "Check activity, unit, times and volume.",
            observed=observed,
            expected=expected,
        )
    ]


def _change_pct(fill: Fill, other: Fill, clock: DecayClock) -> float | None:
    """Return how far the concentration moves when ``other`` is written instead; any moment gives the same."""
    at = clock.on_scanner(fill.moments[0])
    before, after = clock.concentration_bqml(fill, at), clock.concentration_bqml(other, at)
    return 100 * (after / before - 1) if before and before > 0 and after is not None else None


def _words(moment: datetime | None) -> str:
    return f"{moment:%d %b %Y %H:%M}" if moment else ""


def _proposal(fill: Fill, field: str, value: object, reason: str, effect_pct: float | None = None) -> dict[str, Any]:
    rounded = None if effect_pct is None else round(effect_pct, 3)
    return {"fill": fill.what, "field": field, "to": value, "reason": reason, "effect_pct": rounded}
