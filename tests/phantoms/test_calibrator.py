"""The radionuclide calibrator: readings of sources whose decay is known by hand, and what cannot be read."""

from __future__ import annotations

import copy
import json
import math
import random
from datetime import datetime, timedelta
from xml.etree import ElementTree

import pytest

from phantoms import calibrator, figures, standards
from phantoms.errors import AnalysisRefused
from phantoms.results import Outcome, Owner, QualityFlag

LIMITS = standards.load(calibrator.STANDARD)
CERTIFIED = datetime(2020, 1, 15, 12)
CS137_DAYS = 30.05 * 365.2422
F18_S = 6586.2


def cs137_mbq(at: datetime, activity_mbq: float = 9.2) -> float:
    """Return what the source holds: the decay law by hand."""
    return activity_mbq * 2 ** (-(at - CERTIFIED).total_seconds() / 86_400 / CS137_DAYS)


def readings_of(*deviations_pct: float, **more) -> dict:
    days = [datetime(2026, 3, 2, 8) + timedelta(days=n) for n in range(len(deviations_pct))]
    rows = [
        {"at": day.isoformat(), "activity_mbq": cs137_mbq(day) * (1 + off / 100)}
        for day, off in zip(days, deviations_pct, strict=True)
    ]
    source = {"nuclide": "Cs-137", "activity_mbq": 9.2, "calibrated_at": CERTIFIED.isoformat(), "uncertainty_pct": 1.5}
    return {"calibrator": "C1", "source": source, "readings": rows, **more}


def falling(level=lambda mbq: 1.0, *, count: int = 12, start_mbq: float = 2000.0) -> dict:
    """Return a linearity test: F-18 read every hour by a calibrator whose response hangs on the activity."""
    rows = []
    for hour in range(count):
        true_mbq = start_mbq * 2 ** (-3600 * hour / F18_S)
        at = datetime(2026, 3, 2, 8) + timedelta(hours=hour)
        rows.append({"at": at.isoformat(), "activity_mbq": true_mbq * level(true_mbq)})
    return {"nuclide": "F-18", "readings": rows}


def judged(data: dict) -> dict:
    return {one.name: one for one in standards.judge(calibrator.measure(data).measurements, LIMITS)}


def test_accuracy_when_readings_are_the_decayed_certificate_times_a_factor_then_gives_the_factor_back():
    one = judged(readings_of(2.0, 3.0, 4.0))["calibrator_accuracy_pct"]
    assert one.value == pytest.approx(3.0, abs=1e-9)
    # The certificate's 1.5 %, and the scatter of 1 % of three readings over the root of three.
    assert one.uncertainty == pytest.approx(math.hypot(1.5 * 1.03, 1 / math.sqrt(3)), abs=1e-9)
    assert one.verdict is Outcome.PASS
    assert QualityFlag.NEAR_LIMIT in one.flags


def test_accuracy_when_the_certificate_states_no_uncertainty_then_none_is_given():
    data = readings_of(2.0)
    del data["source"]["uncertainty_pct"]
    assert "UNCERTAINTY_NOT_STATED" in judged(data)["calibrator_accuracy_pct"].as_json()["flags"]


@pytest.mark.parametrize(("off", "verdict"), [(4.99, "PASS"), (-4.99, "PASS"), (5.01, "FAIL"), (-5.01, "FAIL")])
def test_constancy_when_one_reading_is_off_then_it_decides_with_its_sign(off, verdict):
    one = judged(readings_of(0.4, off, -0.3))["calibrator_constancy_max_pct"]
    assert one.value == pytest.approx(off, abs=1e-9)
    assert one.verdict.value == verdict


def test_constancy_when_there_is_a_baseline_then_it_is_held_against_that_and_accuracy_against_the_certificate():
    at = datetime(2025, 1, 10, 8)
    baseline = {"at": at.isoformat(), "activity_mbq": 1.06 * cs137_mbq(at)}
    found = judged(readings_of(6.0, 7.0, baseline=baseline))
    assert found["calibrator_constancy_max_pct"].value == pytest.approx(100 * (1.07 / 1.06 - 1), abs=1e-9)
    assert found["calibrator_constancy_max_pct"].verdict is Outcome.PASS
    assert found["calibrator_accuracy_pct"].verdict is Outcome.FAIL


def test_readings_when_a_background_is_written_then_it_is_taken_off():
    data = readings_of(0.0)
    data["readings"][0]["activity_mbq"] += 0.2
    data["readings"][0]["background_mbq"] = 0.2
    assert judged(data)["calibrator_accuracy_pct"].value == pytest.approx(0.0, abs=1e-9)


def test_source_when_germanium_was_certified_months_ago_then_its_own_half_life_counts():
    data = readings_of(0.0)
    data["source"] = {"nuclide": "68Ge", "activity_mbq": 50.0, "calibrated_at": "2025-08-01T12:00:00"}
    days = (datetime(2026, 3, 2, 8) - datetime(2025, 8, 1, 12)).total_seconds() / 86_400
    # 270.93 days: the table's 2.341e7 s are 270.95, 0.01 % over these seven months.
    data["readings"] = [{"at": "2026-03-02T08:00:00", "activity_mbq": 50.0 * 2 ** (-days / 270.93)}]
    assert judged(data)["calibrator_accuracy_pct"].value == pytest.approx(0.0, abs=0.01)


def test_linearity_when_the_response_is_straight_then_is_nought_and_a_factor_does_not_matter():
    for factor in (1.0, 1.2):
        one = judged(readings_of(0.0, linearity=falling(lambda mbq, f=factor: f)))["calibrator_linearity_max_pct"]
        assert one.value == pytest.approx(0.0, abs=1e-9)
        assert one.verdict is Outcome.PASS


def test_linearity_when_the_top_reading_falls_then_is_found_there():
    # One reading of 12 is 9 % low: in the mean of logarithms the fit follows by a twelfth of it.
    found = calibrator.measure(readings_of(0.0, linearity=falling(lambda mbq: 0.91 if mbq > 1900 else 1.0)))
    one = next(one for one in found.measurements if one.name == "calibrator_linearity_max_pct")
    assert one.value == pytest.approx(100 * (0.91 ** (11 / 12) - 1), abs=1e-9)
    (said,) = [f for f in calibrator.diagnose(found, LIMITS) if f.id == "CAL-LINEARITY"]
    assert "At 1820 MBq" in said.message
    assert said.owner is Owner.SITE


@pytest.mark.parametrize("linearity", [falling(count=2), falling(count=3, start_mbq=100.0)])
def test_linearity_when_the_range_is_too_narrow_then_is_missing_and_not_passed(linearity):
    one = judged(readings_of(0.0, linearity=linearity))["calibrator_linearity_max_pct"]
    assert (one.value, one.flags, one.verdict) == (None, QualityFlag.TOO_FEW_READINGS, Outcome.NOT_EVALUABLE)


@pytest.mark.parametrize(("seconds", "verdict"), [(60, "PASS"), (-60, "PASS"), (61, "FAIL"), (-75, "FAIL")])
def test_clock_when_it_is_off_then_a_minute_is_the_limit(seconds, verdict):
    assert judged(readings_of(0.0, clock_offset_s=seconds))["calibrator_clock_offset_s"].verdict.value == verdict


def test_parts_when_they_were_not_entered_then_are_not_judged_and_it_is_said():
    found = calibrator.measure(readings_of(0.0))
    assert {one.name for one in found.measurements} == {"calibrator_accuracy_pct", "calibrator_constancy_max_pct"}
    (said,) = calibrator.diagnose(found, LIMITS)
    assert (said.id, said.severity) == ("CAL-PARTS", "info")
    assert "linearity and the clock" in said.message


def test_diagnose_when_everything_fails_then_each_has_cause_and_next_step():
    data = readings_of(7.0, 8.0, clock_offset_s=90, linearity=falling(lambda mbq: 1.2 if mbq > 1900 else 1.0))
    found = calibrator.diagnose(calibrator.measure(data), LIMITS)
    assert [one.id for one in found] == ["CAL-ACCURACY", "CAL-CONSTANCY", "CAL-LINEARITY", "CAL-CLOCK"]
    assert all(one.next_step and one.observed and one.expected and one.source for one in found)
    assert "2 of 2 readings of the reference source are outside; the farthest is 8.0 % high" in found[1].message


def test_readings_when_drawn_at_random_then_the_stated_uncertainty_covers_the_truth_as_often_as_it_says():
    """One standard deviation covers 68 %: of 400 calibrators 273 ± 9.3; four of those deviations are allowed."""
    dice, covered = random.Random(7), 0
    for _ in range(400):
        true_pct = dice.uniform(-6, 6)
        certificate = dice.gauss(0, 1.5)
        data = readings_of(*[true_pct - certificate + dice.gauss(0, 0.8) for _ in range(5)])
        one = judged(data)["calibrator_accuracy_pct"]
        covered += abs(one.value - true_pct) <= one.uncertainty
    assert abs(covered - 273) <= 4 * 9.3


def covered(rows: list[tuple[float, float]]) -> float:
    """Return the share of (size, standard deviation) whose mean size lies within one standard deviation."""
    middle = sum(size for size, _ in rows) / len(rows)
    return sum(abs(size - middle) <= sd for size, sd in rows) / len(rows)


@pytest.mark.parametrize("moved_pct", [0.0, 0.5, 3.0])
@pytest.mark.parametrize("count", [3, 8])
def test_constancy_when_readings_scatter_then_its_uncertainty_holds_the_mean_farthest(moved_pct, count):
    """Held against a baseline that is known: the truth of a farthest reading is the mean of its size.

    It is skewed where readings lie about 0, so not 68 % of 600 but 60 to 80 %.
    """
    dice, rows = random.Random(11), []
    for _ in range(600):
        off = [moved_pct + dice.gauss(0, 0.6) for _ in range(count)]
        data = readings_of(*off)
        data["source"]["uncertainty_pct"] = 0.0
        one = judged(data)["calibrator_constancy_max_pct"]
        rows.append((abs(one.value), one.uncertainty))
    assert 0.60 <= covered(rows) <= 0.80


def test_constancy_when_the_certificate_is_uncertain_then_that_is_in_it_but_not_beside_a_baseline():
    by_certificate = judged(readings_of(2.0, 2.0, 2.0))["calibrator_constancy_max_pct"]
    assert by_certificate.uncertainty == pytest.approx(1.5 * 1.02)
    baseline = {"at": CERTIFIED.isoformat(), "activity_mbq": 9.2}
    own = judged(readings_of(1.9, 2.0, 2.1, baseline=baseline))["calibrator_constancy_max_pct"]
    # The baseline's own scatter is 0.1 %, wider by Student's 1.32 for two degrees; the largest of three adds to it.
    assert 0.132 < own.uncertainty < math.sqrt(2) * 0.132


def test_constancy_when_there_is_one_reading_beside_a_baseline_then_nothing_tells_its_scatter():
    baseline = {"at": CERTIFIED.isoformat(), "activity_mbq": 9.2}
    one = judged(readings_of(2.0, baseline=baseline))["calibrator_constancy_max_pct"]
    assert "UNCERTAINTY_NOT_STATED" in one.as_json()["flags"]


@pytest.mark.parametrize("dead_time", [0.0, 2e-5])
def test_linearity_when_readings_scatter_then_its_uncertainty_holds_the_mean_farthest(dead_time):
    dice, rows = random.Random(5), []
    for _ in range(600):
        data = readings_of(0.0, linearity=falling(lambda mbq: (1 - dead_time * mbq) * (1 + dice.gauss(0, 0.004))))
        one = judged(data)["calibrator_linearity_max_pct"]
        rows.append((abs(one.value), one.uncertainty))
    assert 0.60 <= covered(rows) <= 0.76


def test_clock_when_both_are_read_to_the_second_then_its_uncertainty_is_that_of_two_roundings():
    one = judged(readings_of(0.0, clock_offset_s=20))["calibrator_clock_offset_s"]
    assert one.uncertainty == pytest.approx(math.sqrt(2 / 12))


def _with(path: tuple, value: object) -> dict:
    data = readings_of(0.0, linearity=falling())
    data["linearity"] = copy.deepcopy(data["linearity"])
    place = data
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    return data


@pytest.mark.parametrize(
    ("data", "code"),
    [
        ([], "CAL-FORM"),
        (None, "CAL-FORM"),
        ({}, "CAL-FORM"),
        (_with(("readings",), []), "CAL-FORM"),
        (_with(("readings",), [3]), "CAL-FORM"),
        (_with(("source",), "Cs-137"), "CAL-FORM"),
        (_with(("linearity",), 3), "CAL-FORM"),
        (_with(("source", "nuclide"), "Xx-99"), "CAL-NUCLIDE"),
        (_with(("source", "nuclide"), 137), "CAL-NUCLIDE"),
        (_with(("source", "nuclide"), "F-18"), "CAL-NUCLIDE"),
        (_with(("source", "activity_mbq"), "9.2"), "CAL-NUMBER"),
        (_with(("source", "activity_mbq"), 0), "CAL-NUMBER"),
        (_with(("source", "activity_mbq"), float("nan")), "CAL-NUMBER"),
        (_with(("source", "activity_mbq"), True), "CAL-NUMBER"),
        (_with(("source", "uncertainty_pct"), -1), "CAL-NUMBER"),
        (_with(("readings", 0, "background_mbq"), 100.0), "CAL-NUMBER"),
        (_with(("clock_offset_s",), "ten"), "CAL-NUMBER"),
        (_with(("clock_offset_s",), float("inf")), "CAL-NUMBER"),
        (_with(("source", "calibrated_at"), "January"), "CAL-TIME"),
        (_with(("source", "calibrated_at"), None), "CAL-TIME"),
        (_with(("source", "calibrated_at"), "2027-01-15T12:00:00"), "CAL-TIME"),
        (_with(("readings", 0, "at"), "2026-03-02T08:00:00Z"), "CAL-TIME"),
        (_with(("readings", 0, "at"), "1026-03-02T08:00:00"), "CAL-TIME"),
        (_with(("linearity", "readings", 1, "at"), "2026-03-02T09:00:00Z"), "CAL-TIME"),
    ],
)
def test_measure_when_something_cannot_be_read_then_is_refused_with_code_and_step(data, code):
    with pytest.raises(AnalysisRefused) as refused:
        calibrator.measure(data)
    assert refused.value.code == code
    assert refused.value.next_step


def test_limits_when_the_standard_is_read_then_unconfirmed_ones_decide_with_a_reason():
    for name, limit in LIMITS.limits.items():
        assert limit.decides, name
        assert limit.provenance in standards.CONFIRMED or limit.reason, name
    factor = LIMITS.limits["cylinder_cross_calibration"]
    assert (factor.low, factor.warn_low, factor.warn_high, factor.high) == (0.90, 0.95, 1.05, 1.10)
    assert factor.provenance == "C"


# --- the scanner against the calibrator --------------------------------------------------------


@pytest.mark.parametrize(
    ("measured", "verdict"),
    [(5000, "PASS"), (5250, "PASS"), (5300, "WARN"), (4600, "WARN"), (5550, "FAIL"), (4400, "FAIL")],
)
def test_cross_calibration_when_scanner_and_calibrator_differ_then_5_warns_and_10_percent_fails(measured, verdict):
    factor = calibrator.cross_calibration(measured, 5000.0, measured_sd=10.0, expected_sd_pct=3.3)
    assert factor.value == pytest.approx(measured / 5000)
    assert factor.uncertainty == pytest.approx(factor.value * math.hypot(10 / measured, 0.033))
    (one,) = standards.judge([factor], LIMITS)
    assert one.verdict.value == verdict


@pytest.mark.parametrize(("measured", "expected"), [(None, 5000.0), (5000.0, None), (0.0, 5000.0), (5000.0, 0.0)])
def test_cross_calibration_when_one_side_is_missing_then_is_missing_and_says_so(measured, expected):
    assert calibrator.cross_calibration(measured, expected).flags is QualityFlag.NO_SHEET
    flags = QualityFlag.OTHER_UNITS
    assert calibrator.cross_calibration(measured, expected, flags=flags).flags is flags


# --- figures -----------------------------------------------------------------------------------


def test_figures_when_drawn_twice_then_are_the_same_bytes_with_their_words():
    data = readings_of(0.5, -1.0, 7.0, 12.0, linearity=falling(lambda mbq: 0.93 if mbq > 1900 else 1.0))
    result = calibrator.measure(data)
    drawn = figures.calibrator_figures(result, LIMITS)
    assert set(drawn) == {"constancy", "linearity"}
    again = figures.calibrator_figures(calibrator.measure(json.loads(json.dumps(data))), LIMITS)
    for name, figure in drawn.items():
        ElementTree.fromstring(figure.svg)
        assert figure.svg == again[name].svg
        assert "style=" not in figure.svg.decode()
    assert "the farthest is +12.0 %" in drawn["constancy"].alt
    assert set(figures.calibrator_figures(calibrator.measure(readings_of(0.5)), None)) == {"constancy"}
