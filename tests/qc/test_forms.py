"""What people write, and what the sheet makes of it."""

from __future__ import annotations

from datetime import datetime, time

import pytest

from qc.forms import PatientForm, ReviewForm, SheetForm, kept_of, typed_of
from qc.forms.fields import WrittenNumberField, parse_clock, parse_number

F18_S = 6586.2


@pytest.mark.parametrize(
    ("written", "number"),
    [
        ("22.0", 22.0),
        ("22,0", 22.0),
        (" 22 ", 22.0),
        ("0,250", 0.25),
        ("9 293", 9293.0),
        ("9\u202f293,5", 9293.5),
        ("1.234,5", 1234.5),
        ("1,234.5", 1234.5),
        ("1.234.567", 1234567.0),
        ("−3,5", -3.5),
    ],
)
def test_number_when_written_with_point_or_comma_then_is_read(written, number):
    assert parse_number(written) == pytest.approx(number)


@pytest.mark.parametrize("written", ["1.000", "9,293"])
def test_number_when_it_can_be_thousands_then_is_asked_about(written):
    with pytest.raises(ValueError, match="two ways"):
        parse_number(written, up_to=50_000)


def test_number_when_thousands_cannot_be_meant_then_is_not_asked_about():
    assert parse_number("22.125", up_to=10_000) == 22.125


def test_number_when_zero_has_a_minus_then_it_is_plain_zero():
    field = WrittenNumberField(unit="s", above=-10, up_to=10)
    assert str(field.clean("-0")) == "0.0"


@pytest.mark.parametrize("written", ["abc", "1,2,3,4x", "--2", "1.2,3.4,5", "", "12 MBq"])
def test_number_when_unreadable_then_says_so(written):
    with pytest.raises(ValueError, match=r"number|decimal"):
        parse_number(written)


@pytest.mark.parametrize(
    ("written", "clock"),
    [
        ("09:10", time(9, 10)),
        ("9.10", time(9, 10)),
        ("0910", time(9, 10)),
        ("910", time(9, 10)),
        ("23h59", time(23, 59)),
    ],
)
def test_clock_when_written_in_any_common_way_then_is_read(written, clock):
    assert parse_clock(written) == clock


@pytest.mark.parametrize("written", ["24:00", "9:60", "soon", "9", "12345"])
def test_clock_when_no_time_of_day_then_says_so(written):
    with pytest.raises(ValueError, match="24-hour"):
        parse_clock(written)


# --- the sheet ----------------------------------------------------------------------------------

SPHERES = {
    "unit": "MBq",
    "date": "2026-03-02",
    "spheres-activity": "22,0",
    "spheres-activity_time": "0910",
    "spheres-residual": "0.4",
    "spheres-residual_time": "09:14",
    "spheres-volume": "1000",
}


def sheet_of(typed: dict[str, str], kind: str = "nema_iq") -> dict:
    return SheetForm(typed, kind=kind).sheet(time_zone="Europe/London", calibrator="CRC-55 · 7")


def test_sheet_when_typed_with_comma_then_has_the_contract_structure():
    sheet = sheet_of(SPHERES)
    assert sheet["nuclide"] == "F-18"
    assert sheet["time_zone"] == "Europe/London"
    assert sheet["calibrator"] == "CRC-55 · 7"
    assert sheet["fills"] == [
        {
            "what": "spheres",
            "activity_mbq": 22.0,
            "assayed_at": "2026-03-02T09:10:00",
            "residual_mbq": 0.4,
            "residual_at": "2026-03-02T09:14:00",
            "volume_ml": 1000.0,
        }
    ]


def test_sheet_when_in_millicurie_then_is_stored_in_megabecquerel():
    sheet = sheet_of({**SPHERES, "unit": "mCi", "spheres-activity": "0.6", "spheres-residual": "0"})
    assert sheet["fills"][0]["activity_mbq"] == 22.2
    assert sheet["fills"][0]["residual_mbq"] == 0.0


def test_sheet_when_saved_and_opened_then_shows_every_keystroke_again():
    typed = {**SPHERES, "nuclide": "F-18", "spheres-volume": "abc", "background-activity": "1.000", "unit": "mCi"}
    assert typed_of(sheet_of(typed)) == typed


def test_sheet_when_it_came_from_elsewhere_then_fills_the_form():
    sheet = sheet_of({**SPHERES, "spheres-residual_next_day": "on", "spheres-residual_time": "00:02"})
    del sheet["entry"]
    typed = typed_of(sheet)
    assert typed["spheres-activity"] == "22"
    assert typed["spheres-residual_next_day"] == "on"
    assert sheet_of(typed)["fills"] == sheet["fills"]


def test_sheet_when_residual_is_on_the_next_day_then_its_date_says_so():
    typed = {
        **SPHERES,
        "spheres-activity_time": "23:55",
        "spheres-residual_time": "00:02",
        "spheres-residual_next_day": "on",
    }
    assert sheet_of(typed)["fills"][0]["residual_at"] == "2026-03-03T00:02:00"


def test_sheet_when_half_filled_then_names_every_missing_answer():
    form = SheetForm({"spheres-activity": "22", "background-volume": "9700"}, kind="nema_iq", shows_errors=True)
    form.require_whole()
    assert set(form.errors) == {
        "date",
        "spheres-activity_time",
        "spheres-volume",
        "background-activity",
        "background-activity_time",
    }


def test_sheet_when_one_fill_is_left_out_whole_then_is_no_error():
    form = SheetForm(SPHERES, kind="nema_iq", shows_errors=True)
    form.require_whole()
    assert not form.errors


def test_sheet_when_blank_then_says_so_and_keeps_nothing_of_fills():
    form = SheetForm({"date": "2026-03-02"}, kind="cylinder")
    assert form.is_blank
    assert form.sheet(time_zone="Europe/London", calibrator="")["fills"] == []


def test_patient_values_when_typed_then_are_saved_under_patient():
    typed = {"date": "2026-03-02", "weight_kg": "72,5", "height_cm": "178", "injected": "301", "injected_time": "0912"}
    sheet = PatientForm(typed).sheet(time_zone="Europe/London", calibrator="")
    assert sheet["patient"] == {
        "weight_kg": 72.5,
        "height_m": 1.78,
        "injected_mbq": 301.0,
        "injected_at": "2026-03-02T09:12:00",
    }
    assert "fills" not in sheet


# --- slips --------------------------------------------------------------------------------------


def slips(**changes: str):
    return SheetForm({**SPHERES, **changes}, kind="nema_iq").slips()


def test_slip_when_everything_is_right_then_nothing_is_asked():
    assert slips(scan_time="10:32") == []


def test_slip_when_residual_hour_is_wrong_then_proposes_it_with_the_effect():
    (slip,) = slips(**{"spheres-residual_time": "04:14"})
    assert "04:14 is before the syringe was drawn at 09:10" in slip.message
    assert slip.proposals[0].label == "Use 09:14"
    assert slip.proposals[0].use["spheres-residual_time"] == "09:14"
    # 0.4 MBq at 04:14 is 0.061 MBq at 09:10, so 21.939 is in the stock; measured at 09:14 it is 0.410, so 21.590.
    residual_early = 0.4 * 2 ** (-(4 * 60 + 56) * 60 / F18_S)
    residual_late = 0.4 * 2 ** (4 * 60 / F18_S)
    percent = (1 - (22.0 - residual_late) / (22.0 - residual_early)) * 100
    assert f"{percent:.1f} % lower" in slip.effect
    assert f"{percent:.1f}" == "1.6"


def test_slip_when_times_are_swapped_then_proposes_to_swap():
    (slip,) = slips(**{"spheres-activity_time": "09:14", "spheres-residual_time": "09:10"})
    swap = next(one for one in slip.proposals if "spheres-activity_time" in one.use)
    assert swap.use["spheres-activity_time"] == "09:10"
    assert swap.use["spheres-residual_time"] == "09:14"


def test_slip_when_midnight_lies_between_then_proposes_the_next_day():
    (slip,) = slips(**{"spheres-activity_time": "23:55", "spheres-residual_time": "00:02"})
    assert any(one.use.get("spheres-residual_next_day") == "on" for one in slip.proposals)


def test_slip_when_amounts_are_swapped_then_proposes_to_swap():
    (slip,) = slips(**{"spheres-activity": "0.4", "spheres-residual": "22"})
    assert slip.proposals[0].use == {"spheres-activity": "22", "spheres-residual": "0.4"}


@pytest.mark.parametrize(("drawn_mci", "left_mci"), [("0.6", "0.011")])
def test_slip_when_millicurie_was_meant_then_proposes_the_unit(drawn_mci, left_mci):
    (slip,) = slips(**{"spheres-activity": drawn_mci, "spheres-residual": left_mci})
    assert slip.proposals[0].use == {"unit": "mCi"}
    assert slips(unit="mCi", **{"spheres-activity": drawn_mci, "spheres-residual": left_mci}) == []


def test_slip_when_only_one_of_two_fills_is_in_millicurie_then_its_amounts_are_proposed_and_not_the_unit():
    around = {"background-activity": "35", "background-activity_time": "09:20", "background-volume": "9700"}
    around |= {"background-residual": "0"}
    (slip,) = slips(scan_time="10:32", **around, **{"spheres-activity": "0.6", "spheres-residual": "0.011"})
    assert slip.proposals[0].use == {"spheres-activity": "22.2", "spheres-residual": "0.407"}


def test_slip_when_both_fills_are_an_hour_late_then_one_question_moves_all_times():
    around = {"background-activity": "35", "background-activity_time": "09:20", "background-volume": "9700"}
    around |= {"background-residual": "0.5", "background-residual_time": "09:22"}
    asked = slips(scan_time="08:55", **around)
    assert len(asked) == 1
    use = asked[0].proposals[0].use
    assert {name: text for name, text in use.items() if text} == {
        "spheres-activity_time": "08:10",
        "spheres-residual_time": "08:14",
        "background-activity_time": "08:20",
        "background-residual_time": "08:22",
    }


def test_slip_when_drawn_just_after_the_scan_then_asks_about_summer_time():
    (slip,) = slips(scan_time="08:40")
    # One clock was read for both: the draw alone an hour earlier would leave its residual for after the scan.
    times = {"spheres-activity_time": "08:10", "spheres-residual_time": "08:14", "spheres-residual_next_day": ""}
    assert [one.use for one in slip.proposals] == [times]


def test_slip_when_taken_or_kept_then_is_not_asked_again():
    typed = {**SPHERES, "spheres-residual_time": "04:14"}
    form = SheetForm(typed, kind="nema_iq")
    (slip,) = form.slips()
    mended = SheetForm(form.with_changes(slip.proposals[0].use), kind="nema_iq")
    assert mended.sheet(time_zone="Europe/London", calibrator="")["fills"][0]["residual_at"] == "2026-03-02T09:14:00"
    assert mended.slips() == []
    sheet = form.sheet(time_zone="Europe/London", calibrator="", kept={slip.key: "clock was read twice"})
    assert form.slips(kept_of(sheet)) == []


def test_draft_when_only_opened_then_shows_no_error():
    assert not SheetForm({"spheres-activity": "abc"}, kind="nema_iq").errors
    assert SheetForm({"spheres-activity": "abc"}, kind="nema_iq", shows_errors=True).errors


# --- the review ---------------------------------------------------------------------------------


def test_review_when_the_verdict_differs_then_needs_a_reason():
    form = ReviewForm({"verdict": "PASS", "comment_to_site": ""}, proposed="FAIL")
    assert "difference_reason" in form.errors
    assert ReviewForm({"verdict": "PASS", "difference_reason": "Known bubble."}, proposed="FAIL").is_valid()


def test_review_when_nothing_is_chosen_then_nothing_is_proposed_for_the_person():
    form = ReviewForm(proposed="PASS")
    assert not form["verdict"].value()
    assert not ReviewForm({}, proposed="PASS").is_valid()


@pytest.mark.parametrize("day", ["9999-12-31", "0001-01-01", "2101-01-01", "1899-12-31"])
def test_sheet_when_the_day_is_of_another_age_then_it_is_asked_for_again(day):
    typed = {"date": day, "cylinder-residual_time": "09:10", "cylinder-residual_next_day": "on"}
    form = SheetForm(typed, kind="cylinder", shows_errors=True)
    assert form.sheet(time_zone="America/New_York", calibrator="")["fills"] == []
    assert form.errors["date"] == ["Enter a day of the years 1900 to 2100."]


# --- midnight, and sealed sources -----------------------------------------------------------------


def test_slip_when_midnight_lies_between_draw_and_scan_then_the_day_before_is_proposed_whole():
    typed = {**SPHERES, "date": "2026-03-03", "spheres-activity_time": "23:55", "spheres-residual_time": "23:59"}
    form = SheetForm({**typed, "scan_time": "01:10"}, kind="nema_iq")
    (slip,) = form.slips()
    mended = form.revised(slip.proposals[0].use)
    assert mended.sheet(time_zone="", calibrator="")["fills"][0]["assayed_at"] == "2026-03-02T23:55:00"
    assert mended.sheet(time_zone="", calibrator="")["fills"][0]["residual_at"] == "2026-03-02T23:59:00"
    assert mended.scan_at == datetime(2026, 3, 3, 1, 10)
    assert mended.slips() == []


def test_slip_when_the_residual_lies_beyond_midnight_then_it_stays_where_it_was():
    typed = {**SPHERES, "date": "2026-03-03", "spheres-activity_time": "23:55", "spheres-residual_time": "00:02"}
    form = SheetForm({**typed, "scan_time": "01:10"}, kind="nema_iq")
    use = next(one.use for slip in form.slips() for one in slip.proposals if "date" in one.use)
    mended = form.revised(use)
    fill = mended.sheet(time_zone="", calibrator="")["fills"][0]
    assert (fill["assayed_at"], fill["residual_at"]) == ("2026-03-02T23:55:00", "2026-03-03T00:02:00")
    assert mended.slips() == []


SEALED = {
    "date": "2026-03-02",
    "nuclide": "Ge-68",
    "sealed": "on",
    "certified_on": "2025-08-01",
    "certificate_sd_pct": "1.5",
    "cylinder-activity": "75",
    "cylinder-volume": "6283",
}


def test_sealed_when_its_certificate_is_entered_then_the_sheet_has_it_and_nothing_is_asked():
    form = SheetForm(SEALED, kind="cylinder", shows_errors=True)
    form.require_whole()
    assert not form.errors
    sheet = form.sheet(time_zone="Europe/London", calibrator="")
    assert sheet["nuclide"] == "Ge-68"
    assert sheet["fills"] == [
        {
            "what": "cylinder",
            "sealed": True,
            "activity_mbq": 75.0,
            "assayed_at": "2025-08-01",
            "volume_ml": 6283.0,
            "uncertainty_pct": 1.5,
        }
    ]
    assert form.slips() == []
    assert [one.id for one in form.findings()] == []
    del sheet["entry"]
    assert sheet_of_kind(typed_of(sheet) | {"date": "2026-03-02"})["fills"] == sheet["fills"]


def sheet_of_kind(typed: dict[str, str]) -> dict:
    return SheetForm(typed, kind="cylinder").sheet(time_zone="Europe/London", calibrator="")


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"nuclide": "F-18"}, "nuclide"),
        ({"certified_on": ""}, "certified_on"),
        ({"cylinder-activity": ""}, "cylinder-activity"),
        ({"cylinder-volume": ""}, "cylinder-volume"),
        ({"cylinder-residual": "1"}, "cylinder-residual"),
        ({"cylinder-activity_time": "09:10"}, "cylinder-activity_time"),
    ],
)
def test_sealed_when_something_is_missing_or_too_much_then_the_field_says_so(change, field):
    form = SheetForm(SEALED | change, kind="cylinder", shows_errors=True)
    form.require_whole()
    assert set(form.errors) == {field}


def test_sealed_when_the_phantom_has_spheres_then_the_answer_has_no_part():
    assert not SheetForm(SPHERES | {"sealed": "on"}, kind="nema_iq").is_sealed
