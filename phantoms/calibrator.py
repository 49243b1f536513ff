"""Radionuclide calibrator, ``calibrator@2``: accuracy, constancy and linearity from readings, and its clock.

Steps: read the readings (`read`, format below); what a long-lived reference source should read, decayed from its
certificate or from the calibrator's own baseline; readings over that, less 1; a short-lived source read down through
the range, against the decay law through all its readings; the clock against a reference clock. The other way to see a
calibrator is by the scanner: `cross_calibration`.

The object that is read::

    {"calibrator": "what it is called",
     "source": {"nuclide": "Cs-137", "activity_mbq": 9.2, "calibrated_at": "2020-01-15T12:00:00",
                "uncertainty_pct": 1.5},
     "baseline": {"at": "2025-01-10T08:00:00", "activity_mbq": 8.15},
     "readings": [{"at": "2026-03-02T08:00:00", "activity_mbq": 7.98, "background_mbq": 0.01}],
     "linearity": {"nuclide": "F-18", "readings": [{"at": "2026-03-02T08:10:00", "activity_mbq": 812.0}]},
     "clock_offset_s": 20}

``source`` and ``readings`` are needed; what else is not there is not looked at. ``uncertainty_pct`` is one standard
deviation. ``baseline`` is what the calibrator read for the source when it was accepted; without it constancy is held
against the certificate. ``clock_offset_s`` is the calibrator's clock minus a reference clock. Times are wall clock, all
with a zone or all without.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import special

from phantoms.errors import AnalysisRefused
from phantoms.findings import band, signed
from phantoms.nuclides import NUCLIDES, nuclide_name
from phantoms.results import Finding, Measurement, Outcome, Owner, QualityFlag
from phantoms.standards import judge

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from phantoms.standards import Standard

STANDARD = "radionuclide_calibrator"

_DAY_S = 86_400.0
_YEAR_S = 365.2422 * _DAY_S
#: Half-lives of sources that calibrators are checked with and that scanners do not image (evaluated nuclear data).
REFERENCE_HALF_LIVES_S: Mapping[str, float] = {
    "Co-57": 271.8 * _DAY_S,
    "Na-22": 2.602 * _YEAR_S,
    "Co-60": 5.271 * _YEAR_S,
    "Ba-133": 10.54 * _YEAR_S,
    "Cs-137": 30.05 * _YEAR_S,
    "Ra-226": 1600.0 * _YEAR_S,
}
#: A source of a shorter half-life decays by more than 0.1 % in a day: its reading hangs on the clock.
LONG_LIVED_S = 180 * _DAY_S
MIN_LINEARITY_READINGS = 3
#: A range narrower than this shows the same place of the calibrator again and again.
MIN_LINEARITY_RANGE = 10.0
#: No source is read after more half-lives than this; the date is wrong.
MAX_HALF_LIVES = 12.0
_NUMBERS = (1e-6, 1e7)
_MAX_CLOCK_OFFSET_S = 1e9
#: Two clocks, each read to the second: rectangular, so 1/√12 s each.
_CLOCKS_SD_S = math.sqrt(2 / 12)
_DRAWS = 1000  # the spread of so many is known to 2 %
_OPTIONAL = {"calibrator_linearity_max_pct": "linearity", "calibrator_clock_offset_s": "the clock"}


@dataclass(frozen=True)
class Reading:
    """One reading, the background taken off, and what it should have been; MBq."""

    at: datetime
    activity_mbq: float
    expected_mbq: float

    @property
    def deviation_pct(self) -> float:
        """Reading over expected, less 1, per cent."""
        return 100.0 * (self.activity_mbq / self.expected_mbq - 1.0)


@dataclass(frozen=True)
class CalibratorResult:
    """All that the readings say of one calibrator.

    Attributes
    ----------
    measurements : tuple of Measurement
        ``calibrator_accuracy_pct``, ``calibrator_constancy_max_pct`` and, where they were entered,
        ``calibrator_linearity_max_pct``, ``calibrator_clock_offset_s``; not yet judged.
    constancy, linearity : tuple of Reading
        In the order of time.
    has_baseline : bool
        Whether constancy is held against the calibrator's own baseline, or against the certificate.
    nuclide : str
        Of the reference source.
    """

    measurements: tuple[Measurement, ...]
    constancy: tuple[Reading, ...]
    linearity: tuple[Reading, ...]
    has_baseline: bool
    nuclide: str


def measure(data: object) -> CalibratorResult:
    """Work out what the readings of a calibrator come to.

    Parameters
    ----------
    data : object
        The readings as read from JSON, see the module.

    Raises
    ------
    AnalysisRefused
        ``CAL-FORM``, ``CAL-NUCLIDE``, ``CAL-NUMBER`` or ``CAL-TIME``, at the first that cannot be read.

    Notes
    -----
    Accuracy: mean of the readings over the certificate's activity, each decayed to its own time, less 1; its standard
    deviation is the certificate's together with the scatter of the mean. Constancy: the reading farthest from what is
    expected. Linearity: with the half-life given, the one activity that fits all readings in the mean of logarithms;
    the reading farthest from it.

    The uncertainty of a farthest reading is that of the largest of as many as were taken, from their own scatter: about
    their mean, and for linearity about the line over activity that a dead time leaves. Few readings know their scatter
    badly: it is widened as Student's law says, so that one standard deviation still holds 68 %. Constancy has beside it
    the certificate's uncertainty or, where it is held against the baseline, the scatter of that one reading. The clocks
    are read to the second.
    """
    written = _table(data, "The readings")
    source = _table(written.get("source"), "The source")
    nuclide, half_life_s = _half_life(source.get("nuclide"))
    if half_life_s < LONG_LIVED_S:
        raise AnalysisRefused(
            "CAL-NUCLIDE",
            f"The reference source is of {nuclide}, which decays by more than 0.1 % in a few hours.",
            next_step="Check the calibrator with a long-lived source, such as Cs-137, Co-57 or Ge-68.",
        )
    certified_mbq = _number(source.get("activity_mbq"), "The activity of the certificate")
    calibrated_at = _time(source.get("calibrated_at"), "The date of the certificate")
    source_sd_pct = _number(source.get("uncertainty_pct", 0.0), "The uncertainty of the certificate", least=0.0)
    taken = _readings(written.get("readings"), "The readings")
    by_certificate = _expected(taken, calibrated_at, certified_mbq, half_life_s)
    baseline = written.get("baseline")
    constancy = by_certificate
    if baseline is not None:
        ((at, read_mbq),) = _readings([baseline], "The baseline")
        constancy = _expected(taken, at, read_mbq, half_life_s)
    linearity = _linearity(written["linearity"]) if "linearity" in written else ()
    measurements = [
        _accuracy(by_certificate, source_sd_pct, "uncertainty_pct" in source),
        _farthest(
            "calibrator_constancy_max_pct",
            constancy,
            _constancy_sd(constancy, None if baseline is not None else source.get("uncertainty_pct")),
        ),
    ]
    if "linearity" in written:
        measurements.append(_farthest("calibrator_linearity_max_pct", linearity, _linearity_sd(linearity)))
    if written.get("clock_offset_s") is not None:
        measurements.append(_clock(written["clock_offset_s"]))
    return CalibratorResult(
        measurements=tuple(measurements),
        constancy=constancy,
        linearity=linearity,
        has_baseline=baseline is not None,
        nuclide=nuclide,
    )


def diagnose(result: CalibratorResult, standard: Standard) -> tuple[Finding, ...]:
    """Say which readings are outside the limits, and what to do.

    Parameters
    ----------
    result : CalibratorResult
    standard : Standard
        The limits that decide.

    Returns
    -------
    tuple of Finding
        ``CAL-ACCURACY``, ``CAL-CONSTANCY``, ``CAL-LINEARITY``, ``CAL-CLOCK`` where the number fails; ``CAL-PARTS``
        for what was not entered.
    """
    failed = {one.name: one for one in judge(result.measurements, standard) if one.verdict is Outcome.FAIL}
    findings = []
    if one := failed.get("calibrator_accuracy_pct"):
        findings.append(
            _finding(
                "CAL-ACCURACY",
                one,
                f"The calibrator reads {abs(one.value or 0.0):.1f} % {_side(one)} for {result.nuclide}.",
                "Check the nuclide setting, the source's position and its certificate; then have it calibrated.",
            )
        )
    if one := failed.get("calibrator_constancy_max_pct"):
        findings.append(
            _finding(
                "CAL-CONSTANCY",
                one,
                f"{_outside(result.constancy, one)} of {len(result.constancy)} readings of the reference source "
                f"{'are' if _outside(result.constancy, one) != 1 else 'is'} outside; the farthest is "
                f"{abs(one.value or 0.0):.1f} % {_side(one)}.",
                "Read the source again with the background taken off. If it stays, do not use the calibrator.",
            )
        )
    if one := failed.get("calibrator_linearity_max_pct"):
        worst = max(result.linearity, key=lambda reading: abs(reading.deviation_pct))
        findings.append(
            _finding(
                "CAL-LINEARITY",
                one,
                f"At {worst.activity_mbq:.4g} MBq the calibrator reads {abs(worst.deviation_pct):.1f} % {_side(one)} "
                "by the decay of the source.",
                "Note the range in which it holds, stay inside it, and have it calibrated.",
            )
        )
    if one := failed.get("calibrator_clock_offset_s"):
        ahead = "ahead" if (one.value or 0.0) > 0 else "behind"
        findings.append(
            _finding(
                "CAL-CLOCK",
                one,
                f"The calibrator's clock is {abs(one.value or 0.0):.0f} s {ahead}.",
                "Set it by the reference clock, and check the sheets written since it was last right.",
            )
        )
    given = {one.name for one in result.measurements}
    if left_out := [words for name, words in _OPTIONAL.items() if name not in given]:
        findings.append(
            Finding(
                id="CAL-PARTS",
                outcome=Outcome.NOT_EVALUABLE,
                severity="info",
                message=f"Not looked at, since nothing was entered: {' and '.join(left_out)}.",
                owner=Owner.NOBODY,
            )
        )
    return tuple(findings)


def cross_calibration(
    measured_bqml: float | None,
    expected_bqml: float | None,
    *,
    measured_sd: float = 0.0,
    expected_sd_pct: float | None = None,
    flags: QualityFlag = QualityFlag.NONE,
) -> Measurement:
    """Return the factor between scanner and calibrator, ``cylinder_cross_calibration``: 1 where they agree.

    Parameters
    ----------
    measured_bqml, expected_bqml : float or None
        What the scanner shows of a uniform cylinder, and what the calibrator's assay gives for it, at one moment.
    measured_sd : float
        One standard deviation of the first, Bq/mL.
    expected_sd_pct : float or None
        One standard deviation of the second, per cent: the fill's budget.
    flags : QualityFlag
        What the numbers carry; it says why one is missing.

    Notes
    -----
    ``F = measured / expected``; ``σ_F = F · √((σ_m / m)² + σ_e²)``, the two being independent.
    """
    if measured_bqml is None or expected_bqml is None or measured_bqml <= 0 or expected_bqml <= 0:
        missing = flags if flags is not QualityFlag.NONE else QualityFlag.NO_SHEET
        return Measurement(name="cylinder_cross_calibration", value=None, unit="1", flags=missing)
    factor = measured_bqml / expected_bqml
    sd = None
    if expected_sd_pct is not None:
        sd = factor * math.hypot(measured_sd / measured_bqml, expected_sd_pct / 100.0)
    return Measurement(name="cylinder_cross_calibration", value=factor, unit="1", uncertainty=sd, flags=flags)


# --- the numbers ------------------------------------------------------------------------------


def _accuracy(readings: Sequence[Reading], source_sd_pct: float, is_stated: bool) -> Measurement:
    deviations = [reading.deviation_pct for reading in readings]
    mean = sum(deviations) / len(deviations)
    sd = None
    if is_stated:
        scatter = 0.0
        if len(deviations) > 1:
            variance = sum((one - mean) ** 2 for one in deviations) / (len(deviations) - 1)
            scatter = math.sqrt(variance / len(deviations))
        sd = math.hypot(source_sd_pct * (1 + mean / 100), scatter)
    return Measurement(name="calibrator_accuracy_pct", value=mean, unit="%", uncertainty=sd)


def _farthest(name: str, readings: Sequence[Reading], sd: float | None) -> Measurement:
    """Return the deviation that is farthest from 0, with its sign."""
    if not readings:
        return Measurement(name=name, value=None, unit="%", flags=QualityFlag.TOO_FEW_READINGS)
    farthest = max((one.deviation_pct for one in readings), key=abs)
    return Measurement(name=name, value=farthest, unit="%", uncertainty=sd)


def _constancy_sd(readings: Sequence[Reading], certificate_sd_pct: float | None) -> float | None:
    """Return the SD of the farthest of readings that scatter about their mean.

    ``certificate_sd_pct`` is that of what they are held against; None where it is one reading of the calibrator's own.
    A single reading shows no scatter: then only a certificate tells anything.
    """
    deviations = np.array([one.deviation_pct for one in readings])
    count, mean = len(deviations), float(deviations.mean())
    if count < 2:
        return None if certificate_sd_pct is None else certificate_sd_pct * (1 + mean / 100)
    scatter = float(deviations.std(ddof=1)) * _student(count - 1)
    reference = scatter if certificate_sd_pct is None else certificate_sd_pct * (1 + mean / 100)
    return math.hypot(_farthest_sd(np.full(count, mean), scatter), reference) or None


def _linearity_sd(readings: Sequence[Reading]) -> float | None:
    """Return the SD of the farthest of readings that scatter about a line over their activity."""
    if len(readings) < MIN_LINEARITY_READINGS:
        return None
    deviations = np.array([one.deviation_pct for one in readings])
    activity = np.array([one.expected_mbq for one in readings])
    along = activity - activity.mean()
    line = deviations.mean() + along * float(along @ deviations) / float(along @ along)
    degrees = len(deviations) - 2
    scatter = math.sqrt(float(np.square(deviations - line).sum()) / degrees) * _student(degrees)
    return _farthest_sd(line, scatter, is_about_their_mean=True) or None


def _farthest_sd(middle_pct: NDArray[np.float64], scatter_pct: float, *, is_about_their_mean: bool = False) -> float:
    """Return the SD of the largest of numbers that scatter about ``middle_pct``, their sign left out."""
    drawn = np.random.default_rng(len(middle_pct)).standard_normal((_DRAWS, len(middle_pct)))
    if is_about_their_mean:
        drawn -= drawn.mean(axis=1, keepdims=True)
    return float(np.abs(middle_pct + scatter_pct * drawn).max(axis=1).std())


def _student(degrees: int) -> float:
    """Return how much wider an SD known from so few is to be taken, to hold what one of a Gaussian does."""
    return float(special.stdtrit(degrees, special.ndtr(1.0)))


def _clock(offset_s: object) -> Measurement:
    is_number = isinstance(offset_s, int | float) and not isinstance(offset_s, bool)
    if not is_number or not abs(offset_s) <= _MAX_CLOCK_OFFSET_S:  # type: ignore[arg-type]  # a number by the line above
        raise AnalysisRefused(
            "CAL-NUMBER",
            "The clock offset is not a number of seconds.",
            next_step="Enter the seconds, or leave it out.",
        )
    return Measurement(name="calibrator_clock_offset_s", value=float(offset_s), unit="s", uncertainty=_CLOCKS_SD_S)  # type: ignore[arg-type]


def _linearity(written: object) -> tuple[Reading, ...]:
    """Return the readings against the decay law through all of them; none where they are too few or too alike."""
    table = _table(written, "The fields of the linearity test")
    _, half_life_s = _half_life(table.get("nuclide"))
    taken = _readings(table.get("readings"), "The linearity test")
    read_mbq = [activity for _, activity in taken]
    if len(taken) < MIN_LINEARITY_READINGS or max(read_mbq) < MIN_LINEARITY_RANGE * min(read_mbq):
        return ()
    start = taken[0][0]
    halvings = [(at - start).total_seconds() / half_life_s for at, _ in taken]
    # The activity at the start that each reading stands for; with the half-life given, their mean is the fit.
    level = sum(math.log2(one) + gone for one, gone in zip(read_mbq, halvings, strict=True)) / len(taken)
    return tuple(
        Reading(at, activity, 2.0 ** (level - gone)) for (at, activity), gone in zip(taken, halvings, strict=True)
    )


def _expected(
    taken: Sequence[tuple[datetime, float]], since: datetime, activity_mbq: float, half_life_s: float
) -> tuple[Reading, ...]:
    readings = []
    for at, read_mbq in taken:
        halvings = _seconds(since, at) / half_life_s
        if abs(halvings) > MAX_HALF_LIVES or halvings < -_DAY_S / half_life_s:
            raise AnalysisRefused(
                "CAL-TIME",
                f"A reading of {at:%d %b %Y} does not follow from what is known of the source on {since:%d %b %Y}.",
                next_step="Check both dates.",
            )
        readings.append(Reading(at, read_mbq, activity_mbq * 2.0**-halvings))
    return tuple(readings)


def _outside(readings: Sequence[Reading], one: Measurement) -> int:
    low, high = one.limit_low or -math.inf, one.limit_high or math.inf
    return sum(not low <= reading.deviation_pct <= high for reading in readings)


def _side(one: Measurement) -> str:
    return "high" if (one.value or 0.0) > 0 else "low"


def _finding(code: str, one: Measurement, message: str, next_step: str) -> Finding:
    return Finding(
        id=code,
        outcome=Outcome.FAIL,
        severity="query",
        message=message,
        observed=f"{signed(one.value or 0.0, 1)} {one.unit}",
        expected=band(one.limit_low, one.limit_high, one.unit, is_signed=True),
        next_step=next_step,
        owner=Owner.SITE,
        source=one.source,
    )


# --- reading ----------------------------------------------------------------------------------


def _table(value: object, what: str) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise AnalysisRefused("CAL-FORM", f"{what} are not there, or no table of fields.", next_step="Enter them.")
    return value


def _half_life(written: object) -> tuple[str, float]:
    name = nuclide_name(written) or "" if isinstance(written, str) else ""
    if name in REFERENCE_HALF_LIVES_S:
        return name, REFERENCE_HALF_LIVES_S[name]
    if name in NUCLIDES:
        return name, NUCLIDES[name].half_life_s
    known = ", ".join([*REFERENCE_HALF_LIVES_S, *NUCLIDES])
    raise AnalysisRefused(
        "CAL-NUCLIDE",
        f"The half-life of “{str(written)[:20]}” is not known here; known are {known}.",
        next_step="Check the nuclide that was written down.",
    )


def _number(value: object, what: str, *, least: float = _NUMBERS[0]) -> float:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if not is_number or not least <= value <= _NUMBERS[1]:  # type: ignore[operator]  # a number by the line above
        raise AnalysisRefused(
            "CAL-NUMBER", f"{what} is not a number that it could be ({str(value)[:20]}).", next_step="Enter a number."
        )
    return float(value)  # type: ignore[arg-type]  # the same


def _time(value: object, what: str) -> datetime:
    moment = None
    with suppress(ValueError):
        moment = datetime.fromisoformat(value) if isinstance(value, str) else None
    if moment is None:
        raise AnalysisRefused(
            "CAL-TIME", f"{what} is not a date ({str(value)[:30]}).", next_step="Enter date and clock time."
        )
    if not 1900 <= moment.year <= 2199:
        raise AnalysisRefused("CAL-TIME", f"{what} lies in the year {moment.year}.", next_step="Check the date.")
    return moment


def _seconds(since: datetime, at: datetime) -> float:
    if (since.tzinfo is None) != (at.tzinfo is None):
        raise AnalysisRefused(
            "CAL-TIME",
            "Some times carry a zone and some do not.",
            next_step="Write all of them with their zone, or all without.",
        )
    return (at - since).total_seconds()


def _readings(rows: object, what: str) -> list[tuple[datetime, float]]:
    """Return time and activity of each reading, the background taken off, in the order of time."""
    if not isinstance(rows, list) or not rows:
        raise AnalysisRefused("CAL-FORM", f"{what} are empty.", next_step="Enter at least one reading.")
    taken = []
    for row in rows:
        one = _table(row, "The fields of a reading")
        read_mbq = _number(one.get("activity_mbq"), "A reading")
        background_mbq = _number(one.get("background_mbq", 0.0), "A background", least=0.0)
        taken.append(
            (_time(one.get("at"), "The time of a reading"), _number(read_mbq - background_mbq, "A net reading"))
        )
    for at, _ in taken:
        _seconds(taken[0][0], at)
    return sorted(taken)
