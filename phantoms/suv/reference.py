"""When the pixel values and the activity refer to: every candidate for the decay reference, weighed and chosen.

Scanners correct the decay of a scan to one instant and name that instant in several ways, which do not always agree.
Each way is a candidate, R1 to R8, with preconditions; only candidates whose preconditions hold are compared. Times
are the scanner's wall clock. Sources: DICOM PS3.3 C.8.9.1, QIBA SUV vendor-neutral pseudo-code (2018), IBSI-SUV v3.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from typing import Any

from phantoms.errors import AnalysisRefused
from phantoms.suv.catalogue import refusal
from phantoms.suv.header import SeriesHeader, SliceHeader, parse_date, parse_datetime, parse_time
from phantoms.suv.notes import Warned

SAME_S = 2.0  # times that a scanner writes for one instant differ by less
WARN_S = 60.0  # 0.63 % in F-18
REFUSE_S = 300.0
DAY_S = 86_400.0
HALF_DAY_S = 43_200.0
# What anonymisers write in the place of a date, and the days that clocks of computers begin with.
PLACEHOLDER_DATES = frozenset(
    {*(date(year, 1, 1) for year in (1, 1800, 1900, 1901, 1950, 1960, 1970, 1980)), date(1858, 11, 17)}
)

PRECEDENCE = ("R1", "R3", "R2", "R4", "R5", "R8")  # R6 and R7 check only
# SeriesTime wins over the frames on the scanner's own images only: what made others wrote their SeriesTime.
PRECEDENCE_OF_DERIVED = ("R1", "R3", "R4", "R5", "R2", "R8")
DECIDES_ALONE = frozenset({"R1", "R3"})  # they name the instant itself; the others are worked out
CHECKS_THAT_ONLY_WARN = frozenset({"R6"})  # derived from physics, not confirmed vendor by vendor


@dataclass(frozen=True)
class Candidate:
    """One way to find the decay reference time; `reason` says why it was used, only compared, or left out."""

    id: str
    time: datetime | None
    is_eligible: bool
    reason: str
    is_used: bool = False

    def as_json(self) -> dict[str, Any]:
        """Return the ``candidates[]`` object of the offline contract."""
        return {
            "id": self.id,
            "time": self.time.isoformat() if self.time else None,
            "eligible": self.is_eligible,
            "used": self.is_used,
            "reason": self.reason,
        }


def mean_activity_s(duration_s: float, half_life_s: float) -> float:
    """Return the time after the start of a frame at which its activity equals the frame's mean, seconds.

    ``(1/λ)·ln(λT / (1 − e^(−λT)))``: 37.14 s for a frame of 74.3 s in F-18.
    """
    x = math.log(2) / half_life_s * duration_s
    if x < 1e-6:
        return duration_s / 2  # the limit, where the difference of 1 and 1 − x is lost
    return half_life_s / math.log(2) * math.log(x / -math.expm1(-x))


def shifted(at: datetime, seconds: float) -> datetime | None:
    """Return a time moved by seconds, None where the calendar ends before it."""
    try:
        return at + timedelta(seconds=seconds)
    except OverflowError:
        return None


@dataclass(frozen=True)
class Clock:
    """The series' times as they are used: `series` is SeriesDate and SeriesTime, `acquired` one time a slice."""

    series: datetime | None
    acquired: tuple[datetime | None, ...]
    warnings: tuple[Warned, ...] = ()

    @property
    def earliest(self) -> datetime | None:
        """The first acquisition of the series, None where no slice has a time."""
        return min((at for at in self.acquired if at), default=None)

    @property
    def anchor(self) -> datetime | None:
        """When the scan was, to the accuracy of a day."""
        return self.earliest or self.series


def read_clock(header: SeriesHeader) -> Clock:
    """Combine dates and times; a placeholder date, or none, is replaced by the other's day, nearest in time."""
    series_on, series_time = parse_date(header.SeriesDate), parse_time(header.SeriesTime)
    acquired_on = [parse_date(one.AcquisitionDate) for one in header.slices]
    warnings: list[Warned] = []
    known = {day for day in (series_on, *acquired_on) if day}
    placeholders = known & PLACEHOLDER_DATES
    if placeholders and known - PLACEHOLDER_DATES:
        warnings.append(
            Warned(
                "AD-01",
                "A date of this series is a placeholder: the other dates were used (0008,0021) (0008,0022).",
            )
        )
        series_on = None if series_on in PLACEHOLDER_DATES else series_on
        acquired_on = [None if day in PLACEHOLDER_DATES else day for day in acquired_on]
    fallback_on = series_on or next((day for day in acquired_on if day), None)
    series = datetime.combine(series_on or fallback_on, series_time) if fallback_on and series_time else None
    acquired: list[datetime | None] = []
    for one, day in zip(header.slices, acquired_on, strict=True):
        moment = parse_time(one.AcquisitionTime)
        if moment and day:
            acquired.append(datetime.combine(day, moment))
        elif moment and fallback_on:
            acquired.append(_nearest_day(datetime.combine(fallback_on, moment), series))
        else:
            acquired.append(parse_datetime(one.AcquisitionDateTime, header.TimezoneOffsetFromUTC))
    return Clock(series, tuple(acquired), tuple(warnings))


def _nearest_day(at: datetime, anchor: datetime | None) -> datetime:
    if anchor is None:
        return at
    days = [day for day in (shifted(at, offset_s) for offset_s in (0, -DAY_S, DAY_S)) if day]
    return min(days, key=lambda day: abs(day - anchor))


# --- the candidates ----------------------------------------------------------------------------------------------


def candidates(header: SeriesHeader, clock: Clock, half_life_s: float | None) -> list[Candidate]:
    """Return R1 to R6 and R8, each with its time where it has one and whether its preconditions hold."""
    found = {
        "R1": _vendor_time(header, clock),
        "R3": _enhanced_time(header),
        "R4": _frame_centre(header, clock, half_life_s),
        "R5": _frame_start(header, clock),
        "R6": _decay_factor(header, clock, half_life_s),
        "R8": _earliest(header, clock),
    }
    found["R2"] = _series_time(clock, [found[key] for key in ("R4", "R5", "R8")])
    return [found[key] for key in sorted(found)]


def is_ge(header: SeriesHeader) -> bool | None:
    """Whether GE made the scanner; None where the header names no maker."""
    maker = (header.Manufacturer or "").upper()
    return maker.split()[0] in {"GE", "GEMS"} if maker else None


def _vendor_time(header: SeriesHeader, clock: Clock) -> Candidate:
    maker = (header.Manufacturer or "").upper()
    for name, tag, owner in (
        ("SiemensDecayCorrectionDateTime", "(0071,xx22)", "SIEMENS"),
        ("GEScanDateTime", "(0009,xx0D)", "GE"),
    ):
        written = getattr(header, name)
        if not written:
            continue
        at = parse_datetime(written, header.TimezoneOffsetFromUTC)
        if at is None:
            return Candidate("R1", None, False, f"The vendor's private time {tag} is no date and time.")
        if name in header.differing:
            return Candidate("R1", at, False, f"{tag} is not the same on every slice.")
        if name in header.private_without_creator and not maker.startswith(owner):
            return Candidate("R1", at, False, f"{tag} has no private creator and the maker is not {owner}.")
        if clock.anchor and abs((at - clock.anchor).total_seconds()) > HALF_DAY_S:
            return Candidate("R1", at, False, f"The date of {tag} does not go with the dates of the series.")
        return Candidate("R1", at, True, f"The vendor's own decay reference {tag}.")
    return Candidate("R1", None, False, "There is no private vendor time (0071,xx22) (0009,xx0D).")


def _series_time(clock: Clock, confirming: Sequence[Candidate]) -> Candidate:
    at, earliest = clock.series, clock.earliest
    if at is None:
        return Candidate("R2", None, False, "SeriesDate or SeriesTime is missing (0008,0021) (0008,0031).")
    if earliest is None:
        return Candidate("R2", at, False, "No slice has an acquisition time that would confirm SeriesTime.")
    late_s = (at - earliest).total_seconds()
    if abs(late_s) <= SAME_S:
        return Candidate("R2", at, True, "SeriesTime is the start of the first acquisition.")
    if late_s > 0:
        return Candidate(
            "R2", at, False, f"SeriesTime is {late_s:.0f} s after the first acquisition: written by later processing."
        )
    if not any(candidate.is_eligible for candidate in confirming):
        return Candidate("R2", at, False, "SeriesTime is before the first acquisition and nothing confirms it.")
    return Candidate("R2", at, True, f"SeriesTime is {-late_s:.0f} s before the first acquisition.")


def _enhanced_time(header: SeriesHeader) -> Candidate:
    at = parse_datetime(header.DecayCorrectionDateTime, header.TimezoneOffsetFromUTC)
    if at is None:
        return Candidate("R3", None, False, "There is no DecayCorrectionDateTime (0018,9701).")
    if "DecayCorrectionDateTime" in header.differing:
        return Candidate("R3", at, False, "DecayCorrectionDateTime is not the same on every slice (0018,9701).")
    return Candidate("R3", at, True, "DecayCorrectionDateTime (0018,9701).")


def _frame_centre(header: SeriesHeader, clock: Clock, half_life_s: float | None) -> Candidate:
    """R4: t_acq + T_ave − FRT, where FrameReferenceTime counts to the frame's mean activity (all makers but GE)."""
    if is_ge(header):
        return Candidate("R4", None, False, "GE counts FrameReferenceTime to the start of the frame (see R5).")
    if half_life_s is None:
        return Candidate("R4", None, False, "The half-life is missing (0018,1075).")

    def offset_s(one: SliceHeader) -> float | str:
        if one.FrameReferenceTime is None or one.FrameReferenceTime <= 0:
            return "FrameReferenceTime is 0 or missing (0054,1300): it was not filled in."
        if one.ActualFrameDuration is None or one.ActualFrameDuration <= 0:
            return "The frame duration is missing (0018,1242)."
        mean_s = mean_activity_s(one.ActualFrameDuration / 1000, half_life_s)
        return mean_s - one.FrameReferenceTime / 1000

    found = _from_slices("R4", header, clock, offset_s, "Acquisition time + mean-activity time − FrameReferenceTime.")
    if found.is_eligible and clock.series and clock.earliest:
        late_s = (clock.series - clock.earliest).total_seconds()
        if abs(late_s) <= SAME_S:
            # Some exports repeat one acquisition time while FrameReferenceTime grows by bed.
            reason = "SeriesTime is the start of the first acquisition, which decides (R2)."
            return replace(found, is_eligible=False, reason=reason)
    return found


def _frame_start(header: SeriesHeader, clock: Clock) -> Candidate:
    """R5: t_acq − FRT, where FrameReferenceTime counts to the start of the frame (GE)."""
    if not is_ge(header):
        return Candidate("R5", None, False, "The scanner is not named as one of GE (0008,0070).")

    def offset_s(one: SliceHeader) -> float | str:
        if one.FrameReferenceTime is None or one.FrameReferenceTime < 0:
            return "FrameReferenceTime is missing or negative (0054,1300)."
        return -one.FrameReferenceTime / 1000

    return _from_slices("R5", header, clock, offset_s, "Acquisition time − FrameReferenceTime.")


def _decay_factor(header: SeriesHeader, clock: Clock, half_life_s: float | None) -> Candidate:
    """R6: t_acq + T_ave − ln(DecayFactor)/λ, whoever made the scanner."""
    if half_life_s is None:
        return Candidate("R6", None, False, "The half-life is missing (0018,1075).")

    def offset_s(one: SliceHeader) -> float | str:
        if one.DecayFactor is None or one.DecayFactor <= 1:
            return "DecayFactor is 1 or missing (0054,1321)."
        if one.ActualFrameDuration is None or one.ActualFrameDuration <= 0:
            return "The frame duration is missing (0018,1242)."
        mean_s = mean_activity_s(one.ActualFrameDuration / 1000, half_life_s)
        return mean_s - math.log2(one.DecayFactor) * half_life_s

    return _from_slices("R6", header, clock, offset_s, "Acquisition time + mean-activity time − time of DecayFactor.")


def _earliest(header: SeriesHeader, clock: Clock) -> Candidate:
    at = clock.earliest
    if at is None:
        return Candidate("R8", None, False, "No slice has an acquisition time (0008,0022) (0008,0032).")
    if any(one.FrameReferenceTime for one in header.slices):
        return Candidate(
            "R8", at, False, "FrameReferenceTime is filled in: the first acquisition is not the reference."
        )
    if None in clock.acquired or (header.NumberOfSlices or 0) > len(header.slices):
        return Candidate("R8", at, False, "Slices or their times are missing, so the first acquisition is not known.")
    return Candidate("R8", at, True, "The first acquisition of the series.")


def _from_slices(
    key: str,
    header: SeriesHeader,
    clock: Clock,
    offset_s: Callable[[SliceHeader], float | str],
    reason: str,
) -> Candidate:
    """Return a candidate worked out slice by slice; eligible where all slices give the same instant.

    `offset_s` returns seconds from a slice's acquisition time to the reference, or why it has none.
    """
    times: list[tuple[datetime, datetime]] = []
    before: tuple[datetime | None, SliceHeader] | None = None
    for at, one in zip(clock.acquired, header.slices, strict=True):
        if (at, one) == before:  # slices of one bed give one time
            continue
        before = at, one
        offset = offset_s(one) if at else "A slice has no acquisition time (0008,0022) (0008,0032)."
        if isinstance(offset, str):
            return Candidate(key, None, False, offset)
        time = shifted(at, offset) if at else None
        if at is None or time is None:
            return Candidate(key, None, False, "The time lies outside the calendar.")
        times.append((at, time))
    if not times:
        return Candidate(key, None, False, "The series has no slices.")
    spread_s = (max(time for _, time in times) - min(time for _, time in times)).total_seconds()
    if spread_s > SAME_S:
        repeats = len({at for at, _ in times}) == 1
        why = "acquisition time repeats" if repeats else "acquisition time and frame time do not move together"
        return Candidate(key, None, False, f"The slices disagree by {spread_s:.0f} s: {why}.")
    return Candidate(key, min(times)[1], True, reason)


def philips_ratio(
    header: SeriesHeader, administered: datetime | None, dose_bq: float | None, half_life_s: float | None
) -> Candidate:
    """R7: the instant at which Philips' two factors give the same SUV."""
    suv_scale, activity_scale = header.SUVScaleFactor, header.ActivityConcentrationScaleFactor
    if not (suv_scale and activity_scale and suv_scale > 0 and activity_scale > 0):
        return Candidate("R7", None, False, "Philips' two factors are not both there (7053,xx00) (7053,xx09).")
    weight_kg = header.PatientWeight
    if not (administered and dose_bq and half_life_s and weight_kg and weight_kg > 0):
        return Candidate("R7", None, False, "Weight, activity, half-life or injection time is missing.")
    ratio = suv_scale / activity_scale * dose_bq / (1000 * weight_kg)
    # Factors far beyond any that are written make a ratio that is no number.
    waited_s = half_life_s * math.log2(ratio) if 0 < ratio < math.inf else math.inf
    if abs(waited_s) > DAY_S:
        return Candidate("R7", None, False, "Philips' two factors do not go with weight and activity.")
    at = shifted(administered, waited_s)
    return Candidate("R7", at, at is not None, "The ratio of Philips' two factors (7053,xx00) (7053,xx09).")


# --- the choice --------------------------------------------------------------------------------------------------


def choose(found: Sequence[Candidate], *, is_derived: bool) -> Candidate | None:
    """Return the eligible candidate that comes first in precedence."""
    eligible = {candidate.id: candidate for candidate in found if candidate.is_eligible}
    order = PRECEDENCE_OF_DERIVED if is_derived else PRECEDENCE
    return next((eligible[key] for key in order if key in eligible), None)


def compare(
    found: Sequence[Candidate], used: Candidate, half_life_s: float | None, *, is_chosen: bool
) -> tuple[list[Warned], AnalysisRefused | None]:
    """Compare the eligible candidates with the used one: warn above 60 s, refuse above 300 s.

    Where the used one names the instant itself (R1, R3), or a physicist chose it, it decides, and what differs from it
    only warns.
    """
    decides = is_chosen or used.id in DECIDES_ALONE
    warnings: list[Warned] = []
    refused: AnalysisRefused | None = None
    for other in found:
        if not other.is_eligible or other.time is None or used.time is None:
            continue
        apart_s = abs((other.time - used.time).total_seconds())
        if apart_s <= WARN_S:
            continue
        half_lives = apart_s / half_life_s if half_life_s else 0.0
        in_suv = f", which is {100 * (2**half_lives - 1):.1f} % in SUV" if 0 < half_lives < 10 else ""
        minutes = apart_s / 60
        detail = (
            f"Two ways to find the scan's reference time differ by {minutes:.0f} minutes{in_suv}: "
            f"{used.id} {used.time:%H:%M:%S} and {other.id} {other.time:%H:%M:%S}."
        )
        if apart_s > REFUSE_S and not decides and other.id not in CHECKS_THAT_ONLY_WARN:
            refused = refused or refusal("SUV-TREF-CONFLICT", detail)
        else:
            warnings.append(Warned("SUV-TREF-CONFLICT", detail))
    return warnings, refused
