"""Words and numbers: one sentence for a verdict, and no number rounded across its limit."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from phantoms.sheet import DecayStep
from qc import wording

NARROW = wording.NARROW_SPACE


def measurement(name: str, value: float | None, unit: str = "1", **more: Any) -> dict[str, Any]:
    plain = {
        "uncertainty": None,
        "flags": [],
        "limit_low": None,
        "limit_high": None,
        "standard": None,
        "verdict": "REPORT_ONLY",
        "source": "",
    }
    return {"name": name, "value": value, "unit": unit, **plain, **more}


def judged(name: str, value: float | None, low: float | None, high: float | None, unit: str = "1", **more: Any) -> dict:
    inside = value is not None and (low is None or value >= low) and (high is None or value <= high)
    verdict = "NOT_EVALUABLE" if value is None else "PASS" if inside else "FAIL"
    limits = {"limit_low": low, "limit_high": high, "standard": "earl1_18f", "verdict": verdict}
    return measurement(name, value, unit, **{**limits, **more})


A50_LIMITS = {
    37: (0.76, 0.89),
    28: (0.72, 0.85),
    22: (0.63, 0.78),
    17: (0.57, 0.73),
    13: (0.44, 0.60),
    10: (0.27, 0.43),
}


def spheres(**offset: float) -> list[dict[str, Any]]:
    """All six inside, but for the named ones (``d10=-0.1``), moved by so much from the middle of their band."""
    return [
        judged(f"sphere_{d}mm_rc_a50", (low + high) / 2 + offset.get(f"d{d}", 0.0), low, high)
        for d, (low, high) in A50_LIMITS.items()
    ]


def run(measurements: list[dict[str, Any]], *, method: str | None = "nema_iq", **more: Any) -> dict[str, Any]:
    verdicts = {one["verdict"] for one in measurements}
    worst = next((one for one in ("FAIL", "NOT_EVALUABLE", "WARN", "PASS") if one in verdicts), None)
    base = {"method": method, "verdict": worst, "measurements": measurements, "findings": [], "refused": None}
    return {**base, "suv": {"refused": None}, **more}


NO_WEIGHT = {
    "code": "SUV-NO-WEIGHT",
    "detail": "The weight is missing (0010,1030).",
    "attribute": "(0010,1030)",
    "next_step": "",
}
LOW = {f"d{d}": -0.3 for d in A50_LIMITS}


@pytest.mark.parametrize(
    ("given_run", "expected"),
    [
        (run(spheres()), "Pass – all six spheres lie inside the EARL 1 band"),
        (run(spheres(d10=-0.2)), "Fail – the 10 mm sphere is below the EARL 1 band"),
        (
            run(spheres(**{k: v for k, v in LOW.items() if k != "d37"})),
            "Fail – five of six spheres are below the EARL 1 band",
        ),
        (run(spheres(**LOW)), "Fail – all six spheres are below the EARL 1 band"),
        (run(spheres(d10=0.3, d13=0.3)), "Fail – two of six spheres are above the EARL 1 band"),
        (run(spheres(d10=-0.3, d37=0.3)), "Fail – two of six spheres are outside the EARL 1 band"),
        (
            run([*spheres(d10=-0.2), judged("background_cov_pct", 17.2, None, 15.0, "%")]),
            "Fail – the 10 mm sphere is below the EARL 1 band (and 1 more)",
        ),
        (
            run([*spheres(), judged("background_cov_pct", 17.2, None, 15.0, "%")]),
            "Fail – the background noise is 17 %; 15 % is allowed",
        ),
        (
            run([judged("cylinder_bias_pct", 14.0, -10, 10, "%")], method="cylinder"),
            "Fail – the cylinder reads 14 % high; 10 % is allowed",
        ),
        (
            run([judged("cylinder_bias_pct", -10.3, -10, 10, "%")], method="cylinder"),
            "Fail – the cylinder reads 10.3 % low; 10 % is allowed",
        ),
        (
            run([judged("cylinder_bias_pct", 9.96, -10, 10, "%")], method="cylinder"),
            "Pass – the cylinder reads 10 % high; 10 % is allowed",
        ),
        (
            run([judged("cylinder_bias_pct", -1.1, -10, 10, "%")], method="cylinder"),
            "Pass – the cylinder reads 1.1 % low; 10 % is allowed",
        ),
        (
            run(
                [
                    judged("cylinder_bias_pct", 0.4, -10, 10, "%"),
                    judged("cylinder_slice_deviation_max_pct", 12.4, None, 10, "%"),
                ],
                method="cylinder",
            ),
            "Fail – one slice is 12 % off the mean; 10 % is allowed",
        ),
        (
            run([*spheres(), judged("activity_ratio", 7.4, 8, 12)]),
            "Fail – sphere to background is 7.40 by the sheet; 8–12 is accepted",
        ),
        (
            run([], method="patient", verdict="NOT_EVALUABLE", suv={"refused": NO_WEIGHT}),
            "Could not check – SUV was not worked out: the weight is missing (0010,1030)",
        ),
        (
            run([], method="suv", refused=NO_WEIGHT),
            "Could not check – SUV was not worked out: the weight is missing (0010,1030)",
        ),
        (
            run(
                [],
                method="nema_iq",
                refused={**NO_WEIGHT, "code": "PHA-NOT-FOUND", "detail": "We could not find the six spheres."},
            ),
            "Could not check – we could not find the six spheres",
        ),
        (
            run([judged(f"sphere_{d}mm_rc_a50", None, *A50_LIMITS[d], flags=["NO_SHEET"]) for d in A50_LIMITS]),
            "Could not check – the activity sheet is missing or does not give this fill",
        ),
        (run([], method="patient", verdict="PASS"), "Pass – SUV can be worked out from the headers"),
        (run([], verdict="ERROR"), "Our error – we are on it"),
        (run([measurement("image_max", 1.0)], method="suv"), "Measured – nothing to judge it by"),
        (
            run(
                [],
                method="patient",
                verdict="FAIL",
                findings=[
                    {"id": "TIM-01", "outcome": "FAIL", "severity": "exclude", "message": "The scan began late."}
                ],
            ),
            "Fail – the scan began late",
        ),
    ],
)
def test_headline_when_a_run_ends_so_then_one_sentence_says_it(given_run: dict[str, Any], expected: str) -> None:
    assert wording.headline(given_run).replace(NARROW, " ") == expected


def test_headline_when_several_editions_judged_then_only_the_named_one_is_spoken_of() -> None:
    other = [{**one, "standard": "earl2_18f", "verdict": "FAIL"} for one in spheres()]
    both = {**run(spheres()), "measurements": [*other, *spheres()]}
    assert wording.headline(both, ["earl1_18f"]) == "Pass – all six spheres lie inside the EARL 1 band"


def test_headline_when_both_recoveries_of_a_sphere_fail_then_it_is_counted_once() -> None:
    also_max = judged("sphere_10mm_rc_max", 0.1, 0.34, 0.57)
    text = wording.headline(run([*spheres(d10=-0.2), also_max]))
    assert text.replace(NARROW, " ") == "Fail – the 10 mm sphere is below the EARL 1 band"


# --- numbers --------------------------------------------------------------------------------------------------


def read(text: str) -> float:
    return float(text.replace(wording.MINUS, "-"))


@given(
    value=st.floats(-1e3, 1e3).map(lambda x: round(x, 7)),
    low=st.floats(-1e3, 1e3).map(lambda x: round(x, 2)),
    width=st.floats(0.01, 1e3).map(lambda x: round(x, 2)),
    decimals=st.integers(0, 3),
)
def test_number_when_printed_then_it_meets_its_limits_as_the_value_does(
    value: float, low: float, width: float, decimals: int
) -> None:
    shown = read(wording.number(value, decimals, low, low + width))
    assert (shown >= low) == (value >= low)
    assert (shown <= low + width) == (value <= low + width)
    assert shown == pytest.approx(value, abs=0.5 * 10**-decimals + 1e-9)


@pytest.mark.parametrize(
    ("value", "decimals", "low", "high", "expected"),
    [
        (0.849, 2, 0.85, 1.0, "0.849"),
        (0.8496, 2, 0.85, 1.0, "0.8496"),
        (0.851, 2, 0.85, 1.0, "0.85"),
        (1.0004, 2, 0.85, 1.0, "1.0004"),
        (-1.1, 1, -10, 10, "−1.1"),
        (-0.04, 1, None, None, "0.0"),
        (12.0, 0, None, 15, "12"),
    ],
)
def test_number_when_rounding_would_cross_a_limit_then_decimals_are_added(
    value: float, decimals: int, low: float | None, high: float | None, expected: str
) -> None:
    assert wording.number(value, decimals, low, high) == expected


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0.85, 1.0, "0.85–1.00"),
        (-10, 10, "−10 to +10"),
        (None, 15.0, "≤ 15"),
        (3.0, None, "≥ 3"),
        (8, 12, "8–12"),
        (0.0, 3.0, "0–3"),
        (None, None, ""),
    ],
)
def test_limits_when_printed_then_they_read_as_people_write_them(
    low: float | None, high: float | None, expected: str
) -> None:
    assert wording.limits_text(low, high) == expected


def test_quantity_when_measured_then_value_spread_limits_and_margin_agree() -> None:
    shown = wording.quantity(judged("sphere_37mm_rc_a50", 0.849, 0.85, 1.0, uncertainty=0.012))
    assert (shown.value, shown.spread, shown.limits, shown.margin) == ("0.849", "± 0.024", "0.85–1.00", "−0.001")
    assert shown.text == "0.849 ± 0.024"


def test_quantity_when_concentration_then_it_is_shown_in_kilobecquerel_with_a_narrow_space() -> None:
    shown = wording.quantity(measurement("cylinder_mean_bqml", 7321.4, "Bq/mL", uncertainty=12.0))
    assert shown.text == f"7.32 ± 0.02{NARROW}kBq/mL"


@pytest.mark.parametrize(
    ("value", "sd", "expected"),
    [
        (7.0213, 0.0215, "7.021 ± 0.043"),
        (7.0213, 0.06, "7.0 ± 0.1"),
        (7.0213, 0.0, "7.0 ± < 0.05"),
        (7.0, 1e-9, "7.0000 ± < 0.00005"),
    ],
)
def test_quantity_when_the_spread_is_small_then_rounding_never_makes_it_nothing(
    value: float, sd: float, expected: str
) -> None:
    """A spread under one of the last place brings two of its own digits; under what is printed it is said so."""
    shown = wording.quantity(measurement("cylinder_edge_fwhm_mm", value, "mm", uncertainty=sd))
    assert shown.text == f"{expected}{NARROW}mm"


def test_quantity_when_missing_then_it_says_why_and_is_never_a_number() -> None:
    shown = wording.quantity(judged("cylinder_bias_pct", None, -10, 10, "%", flags=["NO_SHEET"]))
    assert shown.value == ""
    assert shown.margin == ""
    assert "activity sheet" in shown.missing


def test_quantity_when_no_unit_is_named_then_raw_values_are_not_shown_as_ratios() -> None:
    raw = wording.quantity(measurement("sphere_37mm_a50", 16462.4, flags=["NO_UNITS"]))
    assert raw.value == "16462.4"
    assert raw.notes == ("the headers name no unit: raw values",)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("sphere_37mm_rc_a50", "A50 37 mm"),
        ("sphere_10mm_rc_max", "Max 10 mm"),
        ("sphere_13mm_qh_pct_axial", "Hot contrast 13 mm, axial plane"),
        ("cylinder_bias_pct", "Calibration bias"),
        ("a_number_of_tomorrow_mm", "A number of tomorrow"),
    ],
)
def test_label_when_a_measurement_is_named_then_it_reads_as_words(name: str, expected: str) -> None:
    assert wording.label(name).replace(NARROW, " ") == expected


@pytest.mark.parametrize(
    ("waited_s", "factor", "off", "words"),
    [
        (None, None, None, ""),
        (240.0, 0.97505, 0.4, "4\u202fmin later: × 0.9750, then 0.40\u202fMBq off"),
        (4680.0, 0.61107, None, "1\u202fh 18\u202fmin later: × 0.6111"),
        (-600.0, 1.0652, None, "10\u202fmin earlier: × 1.0652"),
        (226 * 86_400.0, 0.5609, None, "226.0\u202fd later: × 0.5609"),
    ],
)
def test_decay_words_when_a_line_follows_another_then_say_time_factor_and_what_was_taken_off(
    waited_s, factor, off, words
):
    assert wording.decay_words(DecayStep("Step", None, None, None, waited_s, factor, off)) == words


def test_decay_words_when_a_source_was_certified_then_say_on_which_day():
    certified = DecayStep("Certified", datetime(2025, 8, 1, 12), 75.0, None)
    assert wording.decay_words(certified) == "1 Aug 2025"
    assert wording.decay_words(DecayStep("Drawn", datetime(2026, 3, 2, 9, 10), 22.0, None)) == ""


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("PHA-BUBBLE", "Air in a sphere"),
        ("PHA-FILL", "Fills and activity sheet"),
        ("PHA-FILTER", "Resolution"),
        ("PHA-CUT", "Ends of the phantom in the field"),
        ("PHA-BUDGET", "Uncertainty of the bias"),
        ("PHA-EDITION", "Phantom"),
    ],
)
def test_subject_of_when_a_phantom_finding_is_asked_about_then_its_cause_is_said(code: str, words: str) -> None:
    assert wording.subject_of(code) == words
