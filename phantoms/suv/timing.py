"""When the tracer was given and what instant the pixel values refer to."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, time, timedelta

from phantoms.errors import AnalysisRefused
from phantoms.suv import reference
from phantoms.suv.catalogue import refusal
from phantoms.suv.header import Injection, SeriesHeader, SliceHeader, parse_datetime, parse_time
from phantoms.suv.notes import Notes, Warned
from phantoms.suv.reference import DAY_S, PLACEHOLDER_DATES, Candidate, Clock, mean_activity_s, shifted
from phantoms.suv.tracer import Tracer

MULTI_DAY_HALF_LIFE_S = 41_400.0  # above it an uptake may last days, and a time of day alone means nothing
MAX_HALF_LIVES = 10.0  # after ten less than 0.1 % is left: a date was wrong, not a scan late
F18_MAX_UPTAKE_S = 6 * 3600.0

# --- the injection -----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Administration:
    """When the tracer was given, or None with `refused` where that is needed and not known."""

    at: datetime | None
    use: str
    warnings: tuple[Warned, ...] = ()
    refused: AnalysisRefused | None = None


def administration(
    injection: Injection, scan_at: datetime | None, half_life_s: float | None, zone: str | None
) -> Administration:
    """Find the administration time from the DT, or from the TM and the day of the scan.

    A DT whose date cannot belong to the scan is never used silently: with a short-lived nuclide its time of day is
    taken and said; with one that is scanned days later the SUV is refused.
    """
    dated = parse_datetime(injection.RadiopharmaceuticalStartDateTime, zone)
    clock = parse_time(injection.RadiopharmaceuticalStartTime)
    if dated is None and clock is None:
        refused = refusal("SUV-NO-TIME", "There is no injection time (0018,1072) (0018,1078).")
        return Administration(None, "missing", refused=refused)
    if scan_at is None:
        return Administration(dated, "the date and time of injection")
    may_take_days = half_life_s is not None and half_life_s >= MULTI_DAY_HALF_LIFE_S
    if dated is not None:
        waited_s = (scan_at - dated).total_seconds()
        limit_s = MAX_HALF_LIVES * half_life_s if may_take_days and half_life_s else DAY_S
        is_placeholder = dated.date() in PLACEHOLDER_DATES and may_take_days
        if 0 <= waited_s <= limit_s and not is_placeholder:
            return Administration(dated, "the date and time of injection", _disagreement(dated, clock))
        return _repaired(dated, clock, scan_at, may_take_days)
    if may_take_days or clock is None:
        refused = refusal(
            "SUV-NO-TIME",
            "The injection has a time of day but no date (0018,1078), and this nuclide may be scanned days later.",
            "(0018,1078)",
            "Enter the date and time from the injection record.",
        )
        return Administration(None, "a time of day without a date", refused=refused)
    return _on_day_of(scan_at, datetime.combine(scan_at.date(), clock), "the time of injection on the day of the scan")


def _disagreement(dated: datetime, clock: time | None) -> tuple[Warned, ...]:
    if clock is None:
        return ()
    apart_s = abs((datetime.combine(dated.date(), clock) - dated).total_seconds())
    if min(apart_s, DAY_S - apart_s) <= 1:
        return ()
    return (
        Warned(
            "SUV-INJECTION-TIMES",
            f"Two injection times are written, {dated:%H:%M:%S} (0018,1078) and {clock:%H:%M:%S} (0018,1072); "
            "the first was used.",
        ),
    )


def _repaired(dated: datetime, clock: time | None, scan_at: datetime, may_take_days: bool) -> Administration:
    days = abs((scan_at.date() - dated.date()).days)
    detail = (
        f"Injection and scan are {days} {'day' if days == 1 else 'days'} apart in the files (0018,1078); "
        "one date was probably moved."
    )
    if may_take_days:
        return Administration(None, "its date cannot be", refused=refusal("AD-01", detail))
    # A placeholder date mostly comes with a placeholder time, so the separate time of day is the better witness.
    at = datetime.combine(scan_at.date(), clock or dated.time())
    found = _on_day_of(scan_at, at, "its time of day only, because its date cannot belong to this scan")
    return replace(found, warnings=(Warned("AD-01", f"{detail} Its time of day was used."), *found.warnings))


def _on_day_of(scan_at: datetime, at: datetime, use: str) -> Administration:
    if at <= scan_at:
        return Administration(at, use)
    warned = Warned(
        "SUV-MIDNIGHT",
        f"The injection at {at:%H:%M} is later in the day than the scan at {scan_at:%H:%M}: taken as the day before.",
    )
    return Administration(shifted(at, -DAY_S), use, (warned,))


# --- both --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Timing:
    """The instants of a series.

    `reference` is what the pixel values refer to; without decay correction that is one of `moments` for each slice.
    """

    reference: datetime | None
    administered: datetime | None
    candidates: tuple[Candidate, ...]
    moments: tuple[datetime, ...]
    correction: str | None
    is_plausible: bool = True

    def decayed_bq(self, tracer: Tracer) -> float | None:
        """Return the administered activity at the reference time."""
        if self.correction == "ADMIN":
            return tracer.dose_bq
        if (
            self.reference is None
            or self.administered is None
            or tracer.dose_bq is None
            or tracer.half_life_s is None
            or not self.is_plausible
        ):
            return None
        waited_s = (self.reference - self.administered).total_seconds()
        return tracer.dose_bq * math.exp(-math.log(2) * waited_s / tracer.half_life_s)


def read_timing(header: SeriesHeader, tracer: Tracer, notes: Notes, chosen_reference: str | None = None) -> Timing:
    """Find the administration and the decay reference; what is missing or cannot be is noted as a problem.

    `chosen_reference` is the id of the candidate that a physicist chose, where one did.
    """
    correction, half_life_s = header.DecayCorrection, tracer.half_life_s
    clock = reference.read_clock(header)
    notes.warnings += clock.warnings
    _note_times(header, clock, notes)
    found = reference.candidates(header, clock, half_life_s)
    first = reference.choose(found, is_derived=header.is_derived) if correction == "START" else None
    chosen = _eligible(found, chosen_reference) if correction == "START" else None
    used = chosen or first
    scan_at = used.time if used else clock.anchor
    given = administration(tracer.injection, scan_at, half_life_s, header.TimezoneOffsetFromUTC)
    notes.warnings += given.warnings
    if given.refused and correction != "ADMIN":
        notes.problems.append(given.refused)
    elif given.refused:  # with ADMIN the activity is not decayed, so the SUV does not hang on this time
        notes.warn(given.refused.code, given.refused.detail)
    notes.note("t_adm", given.at, f"administration: {given.use}")
    found.insert(6, reference.philips_ratio(header, given.at, tracer.dose_bq, half_life_s))
    refers_to: datetime | None = None
    moments: tuple[datetime, ...] = ()
    if correction == "START":
        if chosen_reference is not None:
            chosen = _eligible(found, chosen_reference)
            used = _follow_choice(found, chosen_reference, chosen, first, notes)
        if used or chosen_reference is None:
            refers_to = _reference_at_start(header, found, used, half_life_s, notes, is_chosen=chosen is not None)
        found = [replace(one, is_used=bool(used and refers_to and one.id == used.id)) for one in found]
    else:
        why = f"DecayCorrection is {correction or 'missing'} (0054,1102), so no scan start is looked for."
        found = [replace(one, is_eligible=False, reason=why) for one in found]
        if chosen_reference is not None:
            notes.refuse("SUV-CHOICE", f"{chosen_reference[:8]} was chosen as the reference time. {why}")
        if correction == "ADMIN":
            refers_to = given.at
        elif correction == "NONE":
            moments = _moments_of_frames(header, clock, half_life_s, notes)
            refers_to = moments[0] if len(set(moments)) == 1 else None
        else:
            notes.refuse(
                "SUV-DECAY-UNKNOWN",
                f"DecayCorrection is {correction or 'missing'}, so the time that the pixel values refer to is not "
                "known (0054,1102).",
            )
    is_plausible = True
    if scan_at and given.at:
        latest = max((at for at in clock.acquired if at), default=scan_at) if correction == "NONE" else scan_at
        is_plausible = _check_uptake(scan_at - given.at, latest - given.at, tracer, notes)
    return Timing(refers_to, given.at, tuple(found), moments, correction, is_plausible)


def _eligible(found: Sequence[Candidate], key: str | None) -> Candidate | None:
    return next((one for one in found if one.id == key and one.is_eligible), None)


def _follow_choice(
    found: Sequence[Candidate], key: str, chosen: Candidate | None, first: Candidate | None, notes: Notes
) -> Candidate | None:
    """Return the candidate that a physicist chose, and say what stood first without the choice."""
    if chosen is None:
        why = next((one.reason for one in found if one.id == key), "There is no such candidate.")
        notes.refuse("SUV-CHOICE", f"{key[:8]} was chosen as the reference time, and it does not hold. {why}")
        return None
    without = f"{first.id} {first.time}" if first else "none"
    notes.warn(
        "SUV-CHOICE",
        f"The reference time {chosen.id} {chosen.time} was chosen by a signed decision; first in precedence is "
        f"{without}.",
    )
    notes.note("chosen reference", chosen.id, f"signed decision; first in precedence: {without}")
    return chosen


def _note_times(header: SeriesHeader, clock: Clock, notes: Notes) -> None:
    """Write down every time as the headers have it, and the first two as they were understood."""
    firsts = header.slices[0] if header.slices else SliceHeader()
    notes.note("(0008,0070)", header.Manufacturer, "maker: says how FrameReferenceTime is counted (R4, R5)")
    notes.note("(0008,0008)", "\\".join(header.ImageType) or None, "ORIGINAL or DERIVED, of the first slice")
    notes.note("(0008,0201)", header.TimezoneOffsetFromUTC, "offset from UTC: moves only times that carry their own")
    notes.note("(0008,0021)", header.SeriesDate, "series date as written")
    notes.note("(0008,0031)", header.SeriesTime, "series time as written")
    notes.note("(0008,0021) (0008,0031)", clock.series, "series date and time, as understood")
    notes.note("(0008,0022)", firsts.AcquisitionDate, "acquisition date of the first slice as written")
    notes.note("(0008,0032)", firsts.AcquisitionTime, "acquisition time of the first slice as written")
    notes.note("(0008,002A)", firsts.AcquisitionDateTime, "used where the two above are not both there")
    known = [at for at in clock.acquired if at]
    several = f"; {len(set(known))} times on {len(header.slices)} slices, last {max(known)}" if known else ""
    notes.note("(0008,0022) (0008,0032)", clock.earliest, f"first acquisition of the series, as understood{several}")
    notes.note("(0054,0081)", header.NumberOfSlices, f"slices that the series should have; {len(header.slices)} here")
    notes.note("(0071,xx22)", header.SiemensDecayCorrectionDateTime, "Siemens' own reference time (R1)")
    notes.note("(0009,xx0D)", header.GEScanDateTime, "GE's own scan time (R1)")
    notes.note("(0018,9701)", header.DecayCorrectionDateTime, "decay correction time of Enhanced PET (R3)")
    notes.note("(0054,1300)", _range_ms([one.FrameReferenceTime for one in header.slices]), "frame reference time")
    notes.note("(0018,1242)", _range_ms([one.ActualFrameDuration for one in header.slices]), "frame duration")
    factors = sorted({one.DecayFactor for one in header.slices if one.DecayFactor is not None})
    notes.note("(0054,1321)", _ends(factors), "decay factor (R6)")
    notes.note("(0054,1102)", header.DecayCorrection, "what the decay of the pixel values is corrected to")
    injection = header.injections[0] if header.injections else Injection()
    notes.note("(0018,1078)", injection.RadiopharmaceuticalStartDateTime, "injection date and time as written")
    notes.note("(0018,1072)", injection.RadiopharmaceuticalStartTime, "injection time of day as written")


def _ends(values: Sequence[float]) -> str | None:
    """Return the first and the last of sorted values as a text."""
    if not values:
        return None
    return f"{values[0]:.10g}" if len(values) == 1 else f"{values[0]:.10g} to {values[-1]:.10g}"


def _range_ms(values: list[float | None]) -> str | None:
    ends = _ends(sorted({value for value in values if value is not None}))
    return None if ends is None else f"{ends} ms"


def _reference_at_start(
    header: SeriesHeader,
    found: list[Candidate],
    used: Candidate | None,
    half_life_s: float | None,
    notes: Notes,
    *,
    is_chosen: bool,
) -> datetime | None:
    if used is None:
        notes.refuse(
            "SUV-NO-REFERENCE",
            "The time that the decay correction refers to cannot be found in the headers (0008,0031) (0008,0032).",
        )
        return None
    if used.id == "R4" and reference.is_ge(header) is None and not is_chosen:
        notes.refuse(
            "SUV-NO-REFERENCE",
            "The scanner's maker is missing (0008,0070), and makers count FrameReferenceTime differently (0054,1300).",
            "(0008,0070)",
        )
        return None
    if used.id == "R1" and {"GEScanDateTime", "SiemensDecayCorrectionDateTime"} & set(header.private_without_creator):
        notes.warn(
            "SUV-PRIVATE-NO-CREATOR",
            f"A private time has no creator; from this maker it cannot be anything else, so it was used: {used.time}.",
        )
    warnings, refused = reference.compare(found, used, half_life_s, is_chosen=is_chosen)
    notes.warnings += warnings
    if refused is not None:
        notes.problems.append(refused)
        return None
    notes.note(used.id, used.time, f"decay reference time: {used.reason}")
    return used.time


def _moments_of_frames(
    header: SeriesHeader, clock: Clock, half_life_s: float | None, notes: Notes
) -> tuple[datetime, ...]:
    """Return the moment that each slice's values hold at, without decay correction; none where one is missing.

    That is FrameReferenceDateTime where a multi-frame object has it, else the frame's mean activity.
    """
    moments: list[datetime | None] = []
    apart_s = 0.0
    for at, one in zip(clock.acquired, header.slices, strict=True):
        named = parse_datetime(one.FrameReferenceDateTime, header.TimezoneOffsetFromUTC)
        mean = None
        if at and one.ActualFrameDuration and one.ActualFrameDuration > 0 and half_life_s is not None:
            mean = shifted(at, mean_activity_s(one.ActualFrameDuration / 1000, half_life_s))
        if named and mean:
            apart_s = max(apart_s, abs((named - mean).total_seconds()))
        moments.append(named or mean)
    known = tuple(moment for moment in moments if moment)
    if half_life_s is None:
        return ()  # it is asked for already
    if not known or len(known) < len(moments):
        notes.refuse(
            "SUV-NO-REFERENCE",
            "This series is not decay corrected (0054,1102), and a slice lacks its acquisition time or frame "
            "duration (0008,0032) (0018,1242).",
            "(0018,1242)",
        )
        return ()
    if apart_s > reference.WARN_S:
        notes.warn(
            "SUV-TREF-CONFLICT",
            f"FrameReferenceDateTime (0018,9151) is up to {apart_s / 60:.0f} minutes from the frame's mean activity "
            "(0018,9074) (0018,9220); it was used.",
        )
    notes.note(
        "t_frame",
        f"{min(known)} to {max(known)}",
        f"{len(set(known))} moments that the slices hold at: (0018,9151), else the frame's mean activity",
    )
    return known


def _check_uptake(first: timedelta, last: timedelta, tracer: Tracer, notes: Notes) -> bool:
    """Return whether the times from injection to the first and the last frame can be."""
    minutes = first.total_seconds() / 60
    limit_s = MAX_HALF_LIVES * tracer.half_life_s if tracer.half_life_s else math.inf
    if tracer.nuclide == "F-18":
        limit_s = min(limit_s, F18_MAX_UPTAKE_S)
    detail = f"The scan began {minutes:,.0f} minutes after the injection (0018,1078) (0018,1072)."
    if minutes < 0 or last.total_seconds() > limit_s:
        notes.refuse("SUV-UPTAKE", f"{detail} That cannot be.")
        return False
    if tracer.nuclide == "F-18" and not 30 <= minutes <= 150:
        notes.warn("SUV-UPTAKE", detail)
    return True
