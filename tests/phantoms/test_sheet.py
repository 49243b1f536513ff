"""The activity sheet: arithmetic of decay by hand, what is refused, and which slips are proposed."""

from __future__ import annotations

import copy
from datetime import datetime, timedelta

import pytest

from phantoms import sheet as sheets
from phantoms.errors import AnalysisRefused
from phantoms.results import Outcome, Owner, QualityFlag
from phantoms.sheet import Sheet

T_SCAN = datetime(2026, 3, 2, 10, 32)
F18_S = 6586.2
STOCK = {
    "what": "spheres",
    "activity_mbq": 22.0,
    "assayed_at": "2026-03-02T09:10:00",
    "residual_mbq": 0.4,
    "residual_at": "2026-03-02T09:14:00",
    "volume_ml": 1000.0,
}
CONTRACT = {
    "nuclide": "F-18",
    "time_zone": "Europe/London",
    "fills": [STOCK, {"what": "background", "concentration_bqml": 2000.0, "at": "2026-03-02T10:30:00"}],
}


def sheet_with(**changes) -> dict:
    """Return the cylinder's sheet, its one fill changed; a value of None drops the field."""
    fill = {
        "what": "cylinder",
        "activity_mbq": 80.0,
        "assayed_at": "2026-03-02T09:10:00",
        "residual_mbq": 1.0,
        "residual_at": "2026-03-02T09:14:00",
        "volume_ml": 6283.0,
    }
    fill = {key: value for key, value in {**fill, **changes}.items() if value is not None}
    return {"nuclide": "F-18", "time_zone": "Europe/London", "fills": [fill]}


def by_id(findings) -> dict:
    return {finding.id: finding for finding in findings}


def test_concentration_when_an_activity_is_given_then_residual_and_volume_count_each_at_its_own_time():
    value, flags = Sheet.parse(CONTRACT).concentration_bqml("spheres", T_SCAN)
    drawn = 22e6 * 0.5 ** (82 * 60 / F18_S)
    left = 0.4e6 * 0.5 ** (78 * 60 / F18_S)
    assert value == pytest.approx((drawn - left) / 1000, rel=1e-12)
    assert flags is QualityFlag.NONE


def test_concentration_when_stated_then_decays_from_its_own_time():
    value, _ = Sheet.parse(CONTRACT).concentration_bqml("background", T_SCAN)
    assert value == pytest.approx(2000 * 0.5 ** (120 / F18_S), rel=1e-12)


def test_concentration_when_its_time_is_null_then_holds_at_the_image_and_is_flagged():
    fill = {"what": "cylinder", "concentration_bqml": 5000.0, "at": None}
    for at in (T_SCAN, None):
        value, flags = Sheet.parse({"nuclide": "F-18", "fills": [fill]}).concentration_bqml("cylinder", at)
        assert (value, flags) == (5000.0, QualityFlag.SHEET_TIME_ASSUMED)


def test_concentration_when_the_image_has_no_reference_time_then_is_missing_and_says_so():
    value, flags = Sheet.parse(CONTRACT).concentration_bqml("spheres", None)
    assert value is None
    assert flags is QualityFlag.NO_REFERENCE_TIME


def test_concentration_when_there_is_no_such_fill_then_is_missing_and_says_so():
    assert Sheet.parse(CONTRACT).concentration_bqml("cylinder", T_SCAN) == (None, QualityFlag.NO_SHEET)


def test_concentration_when_the_clocks_differ_then_the_offset_is_added_to_the_sheet():
    plain, _ = Sheet.parse(sheet_with()).concentration_bqml("cylinder", T_SCAN)
    # The scanner is ten minutes ahead: by its clock the draw was later, so less has decayed.
    ahead, _ = Sheet.parse({**sheet_with(), "clock_offset_s": 600}).concentration_bqml("cylinder", T_SCAN)
    assert ahead / plain == pytest.approx(2 ** (600 / F18_S), rel=1e-9)


def test_concentration_when_a_time_carries_its_zone_then_is_read_on_the_sites_clock():
    summer = sheet_with(assayed_at="2026-07-02T08:10:00Z", residual_at="2026-07-02T09:14:00+01:00")
    fill = Sheet.parse(summer).fill("cylinder")
    assert fill.assayed_at == datetime(2026, 7, 2, 9, 10)
    assert fill.residual_at == datetime(2026, 7, 2, 9, 14)


def test_concentration_when_the_nuclide_differs_then_its_half_life_counts():
    value, _ = Sheet.parse({**sheet_with(residual_mbq=0), "nuclide": "Ga-68"}).concentration_bqml("cylinder", T_SCAN)
    assert value == pytest.approx(80e6 / 6283 * 0.5 ** (82 * 60 / 4062.6), rel=1e-12)


def test_ratio_when_both_times_are_known_then_needs_no_reference_time():
    ratio, flags = Sheet.parse(CONTRACT).activity_ratio()
    again, _ = Sheet.parse(CONTRACT).activity_ratio(T_SCAN)
    assert ratio == pytest.approx(again, rel=1e-12)
    stock = (22e6 * 0.5 ** (82 * 60 / F18_S) - 0.4e6 * 0.5 ** (78 * 60 / F18_S)) / 1000
    assert ratio == pytest.approx(stock / (2000 * 0.5 ** (120 / F18_S)), rel=1e-12)
    assert flags is QualityFlag.NONE


def test_ratio_when_both_times_are_null_then_is_given_and_flagged():
    fills = [
        {"what": "spheres", "concentration_bqml": 20000, "at": None},
        {"what": "background", "concentration_bqml": 2000, "at": None},
    ]
    ratio, flags = Sheet.parse({"fills": fills}).activity_ratio()
    assert ratio == pytest.approx(10.0)
    assert flags is QualityFlag.SHEET_TIME_ASSUMED


def test_ratio_when_one_time_is_null_then_needs_the_reference_time():
    mixed = {**CONTRACT, "fills": [STOCK, {"what": "background", "concentration_bqml": 2000.0, "at": None}]}
    assert Sheet.parse(mixed).activity_ratio() == (None, QualityFlag.NO_REFERENCE_TIME)
    assert Sheet.parse(mixed).activity_ratio(T_SCAN)[0] == pytest.approx(12.864 / 2.0, rel=1e-3)


def test_decay_steps_when_complete_then_go_from_the_draw_to_the_scan():
    drawn, filled, scanned = Sheet.parse(CONTRACT).decay_steps("spheres", T_SCAN)
    assert (drawn.label, drawn.activity_mbq, drawn.concentration_bqml) == ("Drawn", 22.0, None)
    assert filled.activity_mbq == pytest.approx(21.05, abs=0.005)
    assert filled.concentration_bqml == pytest.approx(21050, abs=5)
    assert scanned.at == T_SCAN
    assert scanned.activity_mbq == pytest.approx(12.86, abs=0.01)
    # Line by line: four minutes and 78 minutes of F-18, each line the one above times its factor, less what it lost.
    assert (drawn.waited_s, drawn.factor) == (None, None)
    assert (filled.waited_s, filled.factor) == (240.0, pytest.approx(0.5 ** (240 / F18_S)))
    assert filled.activity_mbq == pytest.approx(drawn.activity_mbq * filled.factor - filled.taken_off_mbq)
    assert (scanned.waited_s, scanned.factor) == (4680.0, pytest.approx(0.5 ** (4680 / F18_S)))
    assert scanned.activity_mbq == pytest.approx(filled.activity_mbq * scanned.factor)


def test_decay_steps_when_the_clocks_differ_then_times_between_are_on_one_clock():
    *_, scanned = Sheet.parse(CONTRACT | {"clock_offset_s": 120}).decay_steps("spheres", T_SCAN)
    assert scanned.waited_s == 4680.0 - 120


def test_decay_steps_when_half_filled_in_then_show_what_is_there():
    steps = Sheet.parse(sheet_with(volume_ml=None)).decay_steps("cylinder", T_SCAN)
    assert [step.label for step in steps] == ["Drawn"]
    assert Sheet.parse(CONTRACT).decay_steps("cylinder", T_SCAN) == []


def test_budget_when_the_sheet_states_its_volume_uncertainty_then_that_counts():
    budget = Sheet.parse({**sheet_with(), "volume_uncertainty_ml": 125.66}).uncertainty_budget("cylinder")
    parts = {row.what: row.pct for row in budget.rows}
    assert parts["Volume"] == pytest.approx(2.0)
    assert parts["Clock"] == pytest.approx(0.63, abs=0.005)
    assert budget.total_pct == pytest.approx((3.0**2 + 2.0**2 + 0.5**2 + 0.6315**2) ** 0.5, abs=1e-3)


def test_ratio_when_its_uncertainty_is_asked_for_then_volumes_and_residuals_of_both_fills_count():
    # 1 % volume and 0.5 % residual, twice; calibrator and clock are common to both fills.
    assert Sheet.parse(CONTRACT).ratio_uncertainty_pct() == pytest.approx((2 * (1.0**2 + 0.5**2)) ** 0.5)


def test_budget_when_the_time_is_null_then_no_clock_counts():
    sheet = Sheet.parse({"fills": [{"what": "cylinder", "concentration_bqml": 5000, "at": None}]})
    assert "Clock" not in {row.what for row in sheet.uncertainty_budget("cylinder").rows}


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"nuclide": "Xx-99"}, "SHEET-NUCLIDE"),
        ({"nuclide": 18}, "SHEET-FORM"),
        ({"fills": []}, "SHEET-FORM"),
        ({"fills": "22 MBq"}, "SHEET-FORM"),
        ({"fills": [3]}, "SHEET-FORM"),
        ({"fills": [{"what": "bucket"}]}, "SHEET-WHAT"),
        ({"fills": [STOCK, STOCK]}, "SHEET-WHAT"),
        ({"fills": [{**STOCK, "activity_mbq": "22"}]}, "SHEET-NUMBER"),
        ({"fills": [{**STOCK, "activity_mbq": -1}]}, "SHEET-NUMBER"),
        ({"fills": [{**STOCK, "activity_mbq": True}]}, "SHEET-NUMBER"),
        ({"fills": [{**STOCK, "residual_mbq": float("nan")}]}, "SHEET-NUMBER"),
        ({"fills": [{**STOCK, "volume_ml": 0}]}, "SHEET-NUMBER"),
        ({"fills": [{**STOCK, "assayed_at": "09:10"}]}, "SHEET-TIME"),
        ({"fills": [{**STOCK, "assayed_at": "2026-03-02"}]}, "SHEET-TIME"),
        ({"fills": [{**STOCK, "assayed_at": 910}]}, "SHEET-TIME"),
        ({"time_zone": None, "fills": [{**STOCK, "assayed_at": "2026-03-02T09:10:00Z"}]}, "SHEET-TIME"),
        ({"clock_offset_s": "ten"}, "SHEET-NUMBER"),
        ({"header_dose": "perhaps"}, "SHEET-FORM"),
    ],
)
def test_parse_when_something_cannot_be_read_then_is_refused_with_its_code(change, code):
    with pytest.raises(AnalysisRefused) as refusal:
        Sheet.parse({**CONTRACT, **change})
    assert refusal.value.code == code
    assert refusal.value.next_step


@pytest.mark.parametrize("data", [None, [], "sheet", 3])
def test_parse_when_it_is_no_object_then_is_refused(data):
    with pytest.raises(AnalysisRefused, match="SHEET-FORM"):
        Sheet.parse(data)


def test_parse_when_two_things_cannot_be_read_then_both_are_said():
    bad = {**CONTRACT, "nuclide": "Xx-99", "fills": [{**STOCK, "volume_ml": "much"}]}
    with pytest.raises(AnalysisRefused) as refusal:
        Sheet.parse(bad)
    assert "Xx-99" in refusal.value.detail
    assert "volume" in refusal.value.detail
    assert {"SHEET-NUCLIDE", "SHEET-NUMBER"} <= {finding.id for finding in sheets.problems(bad)}


def test_check_when_in_order_then_is_silent():
    assert Sheet.parse(sheet_with()).check(T_SCAN) == ()


@pytest.mark.parametrize(
    ("missing", "words"),
    [
        ("volume_ml", "the volume"),
        ("assayed_at", "the time it was drawn"),
        ("activity_mbq", "the activity drawn"),
        ("residual_at", "the time of the residual"),
        ("residual_mbq", "the residual"),
    ],
)
def test_check_when_half_filled_in_then_blocks_and_names_what_is_missing(missing, words):
    sheet = Sheet.parse(sheet_with(**{missing: None}))
    finding = by_id(sheet.check())["SHEET-HALF"]
    assert finding.severity == "exclude"
    assert finding.outcome is Outcome.NOT_EVALUABLE
    assert words in finding.message
    assert sheet.concentration_bqml("cylinder", T_SCAN) == (None, QualityFlag.NO_SHEET)


def test_check_when_a_concentration_has_no_time_at_all_then_blocks():
    sheet = Sheet.parse({"fills": [{"what": "cylinder", "concentration_bqml": 5000.0}]})
    assert by_id(sheet.check())["SHEET-HALF"].severity == "exclude"


def test_check_when_the_residual_is_before_the_draw_then_proposes_with_the_effect_and_changes_nothing():
    slip = copy.deepcopy(CONTRACT)
    slip["fills"][0]["residual_at"] = "2026-03-02T04:14:00"
    sheet = Sheet.parse(slip)
    finding = by_id(sheet.check())["SHEET-RESIDUAL-TIME"]
    assert finding.severity == "query"
    proposal = finding.evidence["proposals"][0]
    assert (proposal["field"], proposal["to"]) == ("residual_at", "2026-03-02T09:14:00")
    assert proposal["effect_pct"] == pytest.approx(-1.6, abs=0.05)
    assert "1.6 % lower" in finding.next_step
    assert sheet.fill("spheres").residual_at == datetime(2026, 3, 2, 4, 14)


@pytest.mark.parametrize(
    ("drawn", "left", "to", "reason"),
    [
        ("2026-03-02T13:50:00", "2026-03-02T01:55:00", "2026-03-02T13:55:00", "afternoon"),
        ("2026-03-29T09:10:00", "2026-03-29T08:14:00", "2026-03-29T09:14:00", "summer time"),
        ("2026-03-02T09:10:00", "2026-03-01T09:15:00", "2026-03-02T09:15:00", "day before"),
        ("2026-03-02T23:58:00", "2026-03-02T00:03:00", "2026-03-03T00:03:00", "day before"),
        ("2026-03-02T09:58:00", "2026-03-02T04:03:00", "2026-03-02T10:03:00", "another hour"),
    ],
)
def test_check_when_a_residual_time_slipped_then_the_slip_is_recognised(drawn, left, to, reason):
    finding = by_id(Sheet.parse(sheet_with(assayed_at=drawn, residual_at=left)).check())["SHEET-RESIDUAL-TIME"]
    proposals = {proposal["to"]: proposal["reason"] for proposal in finding.evidence["proposals"]}
    assert reason in proposals[to]


def test_check_when_the_two_times_are_exchanged_then_proposes_both():
    sheet = Sheet.parse(sheet_with(assayed_at="2026-03-02T09:14:00", residual_at="2026-03-02T09:10:00"))
    proposals = by_id(sheet.check())["SHEET-RESIDUAL-TIME"].evidence["proposals"]
    exchanged = {proposal["field"]: proposal["to"] for proposal in proposals if "exchanged" in proposal["reason"]}
    assert exchanged == {"assayed_at": "2026-03-02T09:10:00", "residual_at": "2026-03-02T09:14:00"}
    # Nothing tells an hour from an exchange here, so the words name both.
    step = by_id(sheet.check())["SHEET-RESIDUAL-TIME"].next_step
    assert "With 10:10" in step
    assert "With the two times exchanged" in step


def test_check_when_draw_and_residual_are_exchanged_then_proposes_that_alone():
    # 80 MBq at 09:10 and 1 MBq at 09:14, each written on the other's line.
    wrong = {"activity_mbq": 1.0, "assayed_at": "2026-03-02T09:14:00"}
    wrong |= {"residual_mbq": 80.0, "residual_at": "2026-03-02T09:10:00"}
    finding = by_id(Sheet.parse(sheet_with(**wrong)).check())["SHEET-RESIDUAL-TIME"]
    assert {one["field"]: one["to"] for one in finding.evidence["proposals"]} == {
        "activity_mbq": 80.0,
        "assayed_at": "2026-03-02T09:10:00",
        "residual_mbq": 1.0,
        "residual_at": "2026-03-02T09:14:00",
    }
    assert {one["reason"] for one in finding.evidence["proposals"]} == {"draw and residual are exchanged"}
    assert "80 MBq" in finding.next_step
    assert "higher" not in finding.next_step  # there was no activity left to compare with


def test_check_when_the_residual_is_of_another_day_then_the_words_say_which():
    sheet = Sheet.parse(sheet_with(assayed_at="2026-03-02T09:10:00", residual_at="2026-03-01T09:15:00"))
    finding = by_id(sheet.check())["SHEET-RESIDUAL-TIME"]
    assert "01 Mar 09:15 is before the syringe was drawn at 02 Mar 09:10" in finding.message
    assert "Use 02 Mar 09:15, or keep 01 Mar 09:15" in finding.next_step


@pytest.mark.parametrize(("residual", "severity"), [(4.0, None), (12.0, "info"), (20.0, "query"), (90.0, "exclude")])
def test_check_when_much_stayed_in_the_syringe_then_the_severity_follows_its_share(residual, severity):
    finding = by_id(Sheet.parse(sheet_with(residual_mbq=residual)).check()).get("SHEET-RESIDUAL")
    assert (finding.severity if finding else None) == severity


def test_check_when_no_residual_is_written_then_asks():
    data = sheet_with(residual_mbq=None, residual_at=None)
    assert by_id(Sheet.parse(data).check())["SHEET-NO-RESIDUAL"].severity == "query"
    assert Sheet.parse(sheet_with(residual_mbq=0, residual_at=None)).check() == ()


def test_check_when_an_activity_is_in_mci_then_proposes_37_times_it():
    finding = by_id(Sheet.parse(sheet_with(activity_mbq=80 / 37, residual_mbq=1 / 37)).check(T_SCAN))["SHEET-UNIT"]
    proposals = {proposal["field"]: proposal["to"] for proposal in finding.evidence["proposals"]}
    assert proposals["activity_mbq"] == pytest.approx(80.0)
    assert proposals["residual_mbq"] == pytest.approx(1.0)


def test_check_when_an_activity_was_converted_twice_then_proposes_a_37th():
    finding = by_id(Sheet.parse(sheet_with(activity_mbq=80 * 37, residual_mbq=37)).check())["SHEET-UNIT"]
    assert finding.evidence["proposals"][0]["to"] == pytest.approx(80.0)


@pytest.mark.parametrize(
    ("drawn", "to", "reason"),
    [
        ("2026-03-02T11:10:00", "2026-03-02T10:10:00", "summer time"),
        ("2026-03-02T21:10:00", "2026-03-02T09:10:00", "afternoon"),
        ("2026-03-01T09:10:00", "2026-03-02T09:10:00", "day before"),
    ],
)
def test_check_when_the_draw_does_not_fit_the_scan_then_proposes_a_time_that_does(drawn, to, reason):
    finding = by_id(Sheet.parse(sheet_with(assayed_at=drawn, residual_at=drawn)).check(T_SCAN))["SHEET-ORDER"]
    proposals = {proposal["to"]: proposal["reason"] for proposal in finding.evidence["proposals"]}
    assert reason in proposals[to]


def test_check_when_the_nuclide_is_long_lived_then_days_before_the_scan_are_in_order():
    data = {**sheet_with(assayed_at="2026-02-27T09:10:00", residual_at="2026-02-27T09:14:00"), "nuclide": "Zr-89"}
    assert "SHEET-ORDER" not in by_id(Sheet.parse(data).check(T_SCAN))


@pytest.mark.parametrize(
    ("ratio", "outcome"), [(7.4, "FAIL"), (8.5, "WARN"), (9.5, None), (11.5, "WARN"), (12.5, "FAIL")]
)
def test_check_when_the_ratio_is_off_then_says_so(ratio, outcome):
    fills = [
        {"what": "spheres", "concentration_bqml": 2000 * ratio, "at": None},
        {"what": "background", "concentration_bqml": 2000, "at": None},
    ]
    finding = by_id(Sheet.parse({"fills": fills}).check()).get("PHA-RATIO")
    assert (finding.outcome.value if finding else None) == outcome
    if finding:
        assert f"{ratio:.1f} by your sheet" in finding.message


def test_check_when_spheres_have_no_background_then_asks():
    assert by_id(Sheet.parse({**CONTRACT, "fills": [STOCK]}).check())["SHEET-PARTNER"].severity == "query"


def test_check_when_a_field_is_misspelt_then_names_it():
    data = {**sheet_with(residual_mb=3.0), "nuclied": "F-18"}
    messages = " ".join(finding.message for finding in Sheet.parse(data).check() if finding.id == "SHEET-KEY")
    assert "residual_mb" in messages
    assert "nuclied" in messages


def test_check_when_activity_and_concentration_are_both_written_then_asks_which():
    fill = {**STOCK, "what": "cylinder", "concentration_bqml": 5000.0, "at": None}
    assert by_id(Sheet.parse({"fills": [fill]}).check())["SHEET-TWICE"].severity == "query"


def test_problems_when_readable_then_are_those_of_the_check():
    assert sheets.problems(sheet_with(volume_ml=None)) == Sheet.parse(sheet_with(volume_ml=None)).check()


def test_parse_when_the_time_zone_is_unknown_then_it_is_said():
    with pytest.raises(AnalysisRefused) as refused:
        Sheet.parse(
            {"time_zone": "Europe/Atlantis", "fills": [{"what": "cylinder", "concentration_bqml": 7500.0, "at": None}]}
        )
    assert refused.value.code == "SHEET-TIME"


FAR = [
    {"assayed_at": "2020-03-02T09:10:00"},
    {"assayed_at": "2031-03-02T09:10:00"},
    {"residual_at": "2020-03-02T09:14:00"},
    {"residual_at": "2062-03-02T09:14:00"},
    {"assayed_at": "1926-03-02T09:10:00", "residual_at": "1926-03-02T09:14:00"},
    {"concentration_bqml": 5000.0, "at": "2062-03-02T10:30:00"},
    {"concentration_bqml": 5000.0, "at": "1962-03-02T10:30:00"},
]


@pytest.mark.parametrize("change", FAR)
def test_check_when_a_time_is_years_off_then_no_concentration_follows_and_both_moments_are_named(change):
    sheet = Sheet.parse(sheet_with(**change))
    assert sheet.concentration_bqml("cylinder", T_SCAN) == (None, QualityFlag.NO_SHEET)
    findings = [finding for finding in sheet.check(T_SCAN) if finding.id == "SHEET-ORDER"]
    for finding, key in zip(findings, sorted(set(change) & {"assayed_at", "residual_at", "at"}), strict=True):
        assert (finding.outcome, finding.severity, finding.owner) == (Outcome.NOT_EVALUABLE, "exclude", Owner.SITE)
        assert f"{datetime.fromisoformat(change[key]):%d %b %Y %H:%M}" in finding.message
        assert "02 Mar 2026 10:32" in finding.message
        assert finding.next_step
    assert sheet.decay_steps("cylinder", T_SCAN)[-1].label != "At the scan"


@pytest.mark.parametrize("at", [datetime(1900, 1, 1), datetime(1, 1, 1), datetime(9999, 12, 31, 23, 59)])
def test_check_when_the_images_carry_an_emptied_date_then_blocks_and_keeps_the_ratio(at):
    sheet = Sheet.parse(CONTRACT)
    assert sheet.concentration_bqml("spheres", at) == (None, QualityFlag.NO_SHEET)
    assert by_id(sheet.check(at))["SHEET-ORDER"].severity == "exclude"
    assert sheet.activity_ratio(at) == sheet.activity_ratio()
    assert sheet.activity_ratio()[0] is not None


@pytest.mark.parametrize("left", ["2020-03-02T09:14:00", "2062-03-02T09:14:00"])
def test_check_when_no_scan_is_known_and_the_residual_is_years_off_then_it_is_held_against_the_draw(left):
    sheet = Sheet.parse(sheet_with(residual_at=left))
    finding = by_id(sheet.check())["SHEET-ORDER"]
    assert finding.outcome is Outcome.NOT_EVALUABLE
    assert "02 Mar 2026 09:10" in finding.message
    assert finding.evidence["proposals"][0]["to"] == "2026-03-02T09:14:00"
    assert [step.label for step in sheet.decay_steps("cylinder", None)] == ["Drawn"]


def test_check_when_a_residual_of_nothing_is_years_off_then_it_does_not_matter():
    sheet = Sheet.parse(sheet_with(residual_mbq=0, residual_at="2062-03-02T09:14:00"))
    assert sheet.concentration_bqml("cylinder", T_SCAN)[0] == pytest.approx(80e6 / 6283 * 0.5 ** (82 * 60 / F18_S))
    assert "SHEET-ORDER" not in by_id(sheet.check(T_SCAN))


@pytest.mark.parametrize("sign", [-1, 1])
def test_concentration_when_at_the_bound_of_half_lives_then_is_given_and_beyond_it_is_not(sign):
    sheet = Sheet.parse({"fills": [{"what": "cylinder", "concentration_bqml": 5000.0, "at": T_SCAN.isoformat()}]})
    inside, outside = (T_SCAN + sign * timedelta(seconds=n * F18_S) for n in (19.999, 20.001))
    assert sheet.concentration_bqml("cylinder", inside)[0] == pytest.approx(5000 * 2 ** (-sign * 19.999))
    assert sheet.concentration_bqml("cylinder", outside) == (None, QualityFlag.NO_SHEET)


def test_check_when_a_time_is_far_but_a_usual_slip_explains_it_then_proposes_it():
    data = {**sheet_with(assayed_at="2026-03-01T09:10:00"), "nuclide": "C-11"}
    finding = by_id(Sheet.parse(data).check(T_SCAN))["SHEET-ORDER"]
    assert finding.outcome is Outcome.NOT_EVALUABLE
    assert finding.evidence["proposals"][0]["to"] == "2026-03-02T09:10:00"
    assert "day before" in finding.next_step


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"clock_offset_s": 1e12}, "SHEET-NUMBER"),
        ({"clock_offset_s": -(10**400)}, "SHEET-NUMBER"),
        ({"clock_offset_s": float("inf")}, "SHEET-NUMBER"),
        ({"volume_uncertainty_ml": 10**400}, "SHEET-NUMBER"),
        ({"fills": [{**STOCK, "activity_mbq": 10**400}]}, "SHEET-NUMBER"),
        ({"fills": [{**STOCK, "activity_mbq": 10**5000}]}, "SHEET-NUMBER"),
        ({"fills": [{**STOCK, "activity_mbq": [10**5000]}]}, "SHEET-NUMBER"),
        ({"fills": [{**STOCK, "activity_mbq": 1e300}]}, "SHEET-NUMBER"),
        ({"fills": [{**STOCK, "volume_ml": 1e-300}]}, "SHEET-NUMBER"),
        ({"fills": [{**STOCK, "what": 10**5000}]}, "SHEET-WHAT"),
        ({"fills": [{**STOCK, "assayed_at": "0001-01-01T00:00:00+14:00"}]}, "SHEET-TIME"),
        ({"fills": [{**STOCK, "assayed_at": "9999-12-31T23:59:59"}]}, "SHEET-TIME"),
        ({"fills": [{**STOCK, "residual_at": "9999-12-31T23:59:59-12:00"}]}, "SHEET-TIME"),
    ],
)
def test_parse_when_a_number_or_time_cannot_be_then_is_refused_with_its_code(change, code):
    with pytest.raises(AnalysisRefused) as refusal:
        Sheet.parse({**CONTRACT, **change})
    assert (refusal.value.code, len(refusal.value.detail) < 200) == (code, True)
    assert code in by_id(sheets.problems({**CONTRACT, **change}, T_SCAN))


def test_check_when_everything_is_at_its_extreme_then_still_answers():
    for offset in (sheets.MAX_CLOCK_OFFSET_S, -sheets.MAX_CLOCK_OFFSET_S):
        for moment in ("1900-01-01T00:00:00", "2199-12-31T23:59:59"):
            for number in sheets.NUMBERS:
                fill = {"activity_mbq": number, "residual_mbq": number, "volume_ml": min(sheets.NUMBERS)}
                data = sheet_with(**fill, assayed_at=moment, residual_at=moment)
                for at in (None, T_SCAN, datetime.fromisoformat(moment)):
                    sheet = Sheet.parse({**data, "clock_offset_s": offset})
                    sheet.check(at)
                    sheet.decay_steps("cylinder", at)


def test_nuclide_when_the_sheet_names_none_then_is_that_of_the_images_and_is_said():
    data = {key: value for key, value in sheet_with(residual_mbq=0).items() if key != "nuclide"}
    sheet = Sheet.parse(data, header_nuclide="68Ga")
    assert sheet.concentration_bqml("cylinder", T_SCAN)[0] == pytest.approx(80e6 / 6283 * 0.5 ** (82 * 60 / 4062.6))
    finding = by_id(sheet.check(T_SCAN))["SHEET-NUCLIDE"]
    assert finding.message == "The sheet names no nuclide; the images say Ga-68, which was used."
    assert (finding.outcome, finding.severity) == (Outcome.WARN, "info")


def test_nuclide_when_neither_names_one_then_is_f18():
    sheet = Sheet.parse({key: value for key, value in sheet_with().items() if key != "nuclide"})
    assert sheet.nuclide == "F-18"
    assert sheet.check(T_SCAN) == ()


def test_nuclide_when_sheet_and_images_differ_then_blocks():
    for findings in (
        Sheet.parse(CONTRACT, header_nuclide="Ga-68").check(T_SCAN),
        sheets.problems(CONTRACT, T_SCAN, header_nuclide="Ga-68"),
    ):
        finding = by_id(findings)["SHEET-NUCLIDE"]
        assert (finding.outcome, finding.severity, finding.owner) == (Outcome.NOT_EVALUABLE, "exclude", Owner.SITE)
        assert "F-18" in finding.message
        assert "Ga-68" in finding.message
        assert finding.next_step


def test_nuclide_when_sheet_and_images_spell_it_differently_then_is_in_order():
    assert Sheet.parse({**sheet_with(), "nuclide": "18F"}, header_nuclide="^18^Fluorine").check(T_SCAN) == ()


def test_nuclide_when_only_the_images_name_one_that_is_not_known_then_none_is_guessed():
    with pytest.raises(AnalysisRefused, match="SHEET-NUCLIDE"):
        Sheet.parse({"fills": [STOCK]}, header_nuclide="Sc-44")
    assert "Sc-44" in by_id(Sheet.parse(CONTRACT, header_nuclide="Sc-44").check())["SHEET-NUCLIDE"].message


def test_check_when_a_fill_is_not_used_then_is_not_looked_at():
    cylinder = sheet_with()["fills"][0]
    half = {"what": "spheres", "activity_mbq": 22.0}
    sheet = Sheet.parse({"fills": [cylinder, half]})
    assert sheet.check(T_SCAN, fills={"cylinder"}) == ()
    assert {"SHEET-HALF", "SHEET-PARTNER"} <= set(by_id(sheet.check(T_SCAN)))
    assert {"SHEET-HALF", "SHEET-PARTNER"} <= set(by_id(sheet.check(T_SCAN, fills={"spheres", "background"})))
    assert sheets.problems({"fills": [cylinder, half]}, T_SCAN, fills={"cylinder"}) == ()


def test_check_when_the_method_uses_only_one_of_two_fills_then_no_ratio_is_judged():
    assert "PHA-RATIO" in by_id(Sheet.parse(CONTRACT).check(T_SCAN, fills={"spheres", "background"}))
    assert "PHA-RATIO" not in by_id(Sheet.parse(CONTRACT).check(T_SCAN, fills={"cylinder"}))


def test_concentration_when_the_image_is_of_no_one_instant_then_a_null_time_gives_the_ratio_alone():
    fills = [
        {"what": "spheres", "concentration_bqml": 20000, "at": None},
        {"what": "background", "concentration_bqml": 2000, "at": None},
    ]
    sheet = Sheet.parse({"fills": fills}, is_one_instant=False)
    for at in (None, T_SCAN):
        assert sheet.concentration_bqml("spheres", at) == (None, QualityFlag.NO_REFERENCE_TIME)
        assert sheet.activity_ratio(at) == (10.0, QualityFlag.SHEET_TIME_ASSUMED)
    mixed = Sheet.parse({"fills": [STOCK, fills[1]]}, is_one_instant=False)
    assert mixed.activity_ratio(T_SCAN) == (None, QualityFlag.NO_REFERENCE_TIME)


# --- sealed sources ------------------------------------------------------------------------------

GERMANIUM = {
    "nuclide": "Ge-68",
    "fills": [
        {
            "what": "cylinder",
            "sealed": True,
            "activity_mbq": 75.0,
            "assayed_at": "2025-08-01",
            "volume_ml": 6283.0,
            "uncertainty_pct": 1.5,
        }
    ],
}


def sealed(**changes) -> dict:
    (fill,) = GERMANIUM["fills"]
    return GERMANIUM | {"fills": [{key: value for key, value in (fill | changes).items() if value is not None}]}


def test_sealed_when_certified_months_ago_then_decays_by_germanium_from_that_days_noon():
    value, flags = Sheet.parse(GERMANIUM, header_nuclide="Ge-68").concentration_bqml("cylinder", T_SCAN)
    days = (T_SCAN - datetime(2025, 8, 1, 12)).total_seconds() / 86_400
    # 270.93 d; the table's 2.341e7 s are 270.95 d: 0.004 % over these seven months.
    assert value == pytest.approx(75e6 / 6283 * 0.5 ** (days / 270.93), rel=1e-4)
    assert flags is QualityFlag.NONE


@pytest.mark.parametrize("told", ["Ge-68", "Ga-68", None])
def test_sealed_when_the_scanner_was_told_the_source_or_its_daughter_then_nothing_is_taken_into_account(told):
    sheet = Sheet.parse(GERMANIUM, header_nuclide=told)
    assert sheet.positron_ratio == 1.0
    assert sheet.concentration_bqml("cylinder", T_SCAN)[0] == pytest.approx(
        Sheet.parse(GERMANIUM).concentration_bqml("cylinder", T_SCAN)[0]
    )


def test_sealed_when_the_scanner_was_told_fluorine_then_its_positrons_are_taken_into_account_and_it_is_said():
    own = Sheet.parse(GERMANIUM).concentration_bqml("cylinder", T_SCAN)[0]
    sheet = Sheet.parse(GERMANIUM, header_nuclide="F-18")
    value, flags = sheet.concentration_bqml("cylinder", T_SCAN)
    assert value == pytest.approx(own * 0.889 / 0.967)
    assert flags is QualityFlag.OTHER_NUCLIDE_TOLD
    finding = by_id(sheet.check(T_SCAN))["SHEET-NUCLIDE"]
    assert (finding.outcome, finding.severity) == (Outcome.WARN, "info")
    assert [step.label for step in sheet.decay_steps("cylinder", T_SCAN)] == [
        "Certified",
        "At the scan",
        "As a scanner told F-18 shows it",
    ]


def test_sealed_when_in_order_then_asks_for_no_residual_and_raises_nothing():
    assert Sheet.parse(GERMANIUM).check(T_SCAN) == ()
    three_years = sealed(assayed_at="2023-03-01")
    assert Sheet.parse(three_years).check(T_SCAN) == (), "a sealed source is used for years"


def test_sealed_when_a_concentration_was_certified_then_its_volume_has_no_part():
    data = sealed(activity_mbq=None, assayed_at=None, volume_ml=None, concentration_bqml=12_000.0, at="2025-08-01")
    sheet = Sheet.parse(data)
    assert sheet.concentration_bqml("cylinder", T_SCAN)[0] == pytest.approx(
        Sheet.parse(sealed(activity_mbq=12.0, volume_ml=1000.0)).concentration_bqml("cylinder", T_SCAN)[0]
    )
    assert [(row.what, row.pct) for row in sheet.uncertainty_budget("cylinder").rows] == [("Certificate", 1.5)]


def test_sealed_when_budgeted_then_certificate_and_volume_count_and_no_residual_or_clock():
    budget = Sheet.parse(GERMANIUM).uncertainty_budget("cylinder")
    assert {row.what: row.pct for row in budget.rows} == {"Certificate": 1.5, "Volume": 1.0}
    house = Sheet.parse(sealed(uncertainty_pct=None)).uncertainty_budget("cylinder")
    assert house.rows[0].pct == 3.0
    assert "no uncertainty" in house.rows[0].source


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (sealed() | {"nuclide": "F-18"}, "lives for months"),
        (sealed(residual_mbq=1.0), "has no residual"),
        (sealed(sealed="yes"), "neither true nor false"),
        (sealed(assayed_at="last year"), "not a date"),
    ],
)
def test_sealed_when_it_cannot_be_then_is_refused_with_the_reason(data, words):
    with pytest.raises(AnalysisRefused, match=words):
        Sheet.parse(data)


@pytest.mark.parametrize(("missing", "words"), [("activity_mbq", "activity"), ("assayed_at", "date")])
def test_sealed_when_half_filled_in_then_names_the_certificate(missing, words):
    finding = by_id(Sheet.parse(sealed(**{missing: None})).check())["SHEET-HALF"]
    assert f"the {words} of the certificate" in finding.message


def test_sealed_when_written_in_millicurie_then_proposes_what_was_certified():
    # 2 mCi of 6.3 L: 2/37 of the figure, far below what even an old source holds.
    wrong = Sheet.parse(sealed(activity_mbq=75.0 / 37))
    finding = by_id(wrong.check(T_SCAN))["SHEET-UNIT"]
    assert finding.evidence["proposals"][0]["to"] == pytest.approx(75.0)


@pytest.mark.parametrize(
    ("nuclide", "half_life_s", "wait"),
    [("Zr-89", 78.41 * 3600, timedelta(days=2)), ("Ga-68", 67.71 * 60, timedelta(minutes=70))],
)
def test_concentration_when_the_nuclide_is_zirconium_or_gallium_then_decays_by_its_half_life(
    nuclide, half_life_s, wait
):
    data = sheet_with(assayed_at=(T_SCAN - wait).isoformat(), residual_mbq=0, residual_at=None) | {"nuclide": nuclide}
    sheet = Sheet.parse(data, header_nuclide=nuclide)
    value, flags = sheet.concentration_bqml("cylinder", T_SCAN)
    assert value == pytest.approx(80e6 / 6283 * 0.5 ** (wait.total_seconds() / half_life_s), rel=1e-3)
    assert flags is QualityFlag.NONE
    assert sheet.check(T_SCAN) == ()
    # One minute of the clock: 0.015 % of Zr-89, 1.02 % of Ga-68.
    clock = {row.what: row.pct for row in sheet.uncertainty_budget("cylinder").rows}["Clock"]
    assert clock == pytest.approx(100 * 60 * 0.693147 / half_life_s, rel=1e-3)
