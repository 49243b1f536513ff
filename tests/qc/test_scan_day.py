"""The scan-day values of a patient: what they give, what looks like a slip, and how the protocol judges them."""

from __future__ import annotations

import datetime
from dataclasses import replace

import pytest
from django.urls import reverse
from django.utils import timezone

from corelab.models import Role
from phantoms.results import Outcome
from qc import protocols
from qc.forms import PatientForm, typed_of
from qc.models import ProtocolVersion, Submission
from tests import factories
from tests.qc.kit import receive, slices

TYPED = {
    "date": "2026-03-02",
    "weight_kg": "72,5",
    "height_cm": "178",
    "fasting_h": "6",
    "glucose": "98",
    "glucose_unit": "mg/dL",
    "glucose_time": "0850",
    "injected": "280",
    "injected_time": "0912",
    "residual": "5",
    "residual_time": "0915",
    "scan_time": "10:14",
}


def form(**changes: str) -> PatientForm:
    return PatientForm({**TYPED, **changes}, shows_errors=True)


def values(**changes: str):
    return form(**changes).sheet(time_zone="Europe/London", calibrator="")["patient"]


# --- what is kept ---------------------------------------------------------------------------------


def test_values_when_all_is_typed_then_the_rules_get_them_in_their_units_and_times():
    assert values() == {
        "weight_kg": 72.5,
        "height_m": 1.78,
        "fasting_h": 6.0,
        "glucose_mmol_l": 5.44,
        "glucose_at": "2026-03-02T08:50:00",
        "injected_mbq": 280.0,
        "injected_at": "2026-03-02T09:12:00",
        "residual_mbq": 5.0,
        "residual_at": "2026-03-02T09:15:00",
    }
    read = protocols.ScanDayValues.read(values())
    assert read.glucose_at == datetime.datetime(2026, 3, 2, 8, 50)


@pytest.mark.parametrize(("mg_dl", "expected"), [("200", Outcome.PASS), ("201", Outcome.FAIL)])
def test_glucose_when_it_is_the_guidelines_200_mg_dl_then_it_is_their_11_1_mmol_l(mg_dl, expected):
    limit = replace(protocols.parse(protocols.TEMPLATES["lymphoma"]).limits["glucose_mmol_l"], warn_high=None)
    assert limit.judge(values(glucose=mg_dl, glucose_unit="mg/dL")["glucose_mmol_l"]) is expected


@pytest.mark.parametrize("written", ["5,4", "5.4"])
def test_glucose_when_written_with_comma_or_point_then_it_is_the_same_and_mmol_is_not_converted(written):
    assert values(glucose=written, glucose_unit="mmol/L")["glucose_mmol_l"] == 5.4


def test_whole_when_a_value_lacks_its_time_then_both_are_asked_for():
    for changes, name in (({"glucose_time": ""}, "glucose_time"), ({"glucose": ""}, "glucose")):
        lacking = form(**changes)
        lacking.require_whole()
        assert name in lacking.errors
    whole = form()
    whole.require_whole()
    assert not whole.errors
    nothing = PatientForm({}, shows_errors=True)
    nothing.require_whole()
    assert nothing.is_blank
    assert not nothing.errors


def test_typed_when_the_values_came_without_a_form_then_it_is_what_would_have_been_typed():
    sheet = {"patient": {"weight_kg": 72.5, "height_m": 1.78, "glucose_mmol_l": 5.4, "injected_at": "2026-03-02T09:12"}}
    assert typed_of(sheet) == {
        "unit": "MBq",
        "weight_kg": "72.5",
        "height_cm": "178",
        "glucose": "5.4",
        "date": "2026-03-02",
        "injected_time": "09:12",
    }


# --- what the values give -------------------------------------------------------------------------


def given(protocol=None, **changes):
    return {one.words: one for one in form(**changes).given(protocol)}


def test_given_when_a_rest_stayed_in_the_syringe_then_it_is_taken_off_at_the_time_of_the_injection():
    # 5 MBq measured three minutes later were 5.096 MBq at the injection: half-life of F-18 109.77 min.
    assert form().net_mbq() == pytest.approx(280 - 5 * 2 ** (3 / 109.77), abs=1e-3)
    assert given()["Per kilogram"].value == "3.79 MBq/kg"


def test_given_when_a_protocol_is_in_force_then_each_number_says_how_it_stands():
    lymphoma = protocols.parse(protocols.template("lymphoma"))
    numbers = given(lymphoma)
    uptake = numbers["Uptake"]
    assert (uptake.value, uptake.outcome) == ("62 min", "PASS")
    assert uptake.accepted.startswith("50 to 75 min")
    assert given(lymphoma, scan_time="10:34")["Uptake"].outcome == "FAIL"
    assert given(lymphoma, glucose="9.0", glucose_unit="mmol/L")["Blood glucose"].outcome == "WARN"
    assert given(lymphoma, fasting_h="3")["Fasted"].outcome == "FAIL"


def test_given_when_no_protocol_is_in_force_then_nothing_is_judged():
    assert {one.outcome for one in given().values()} == {""}


def test_given_when_the_images_are_here_then_their_clock_counts_on_the_written_day():
    moved = PatientForm(TYPED, images_began_at=datetime.datetime(1999, 12, 31, 10, 17, 0))
    assert moved.uptake_min() == 65


def test_given_when_a_value_is_missing_then_its_number_is_not_there():
    assert "Per kilogram" not in given(weight_kg="")
    assert "Injected, less what was left" not in given(residual_time="")


# --- slips ----------------------------------------------------------------------------------------


def slip(**changes):
    (found,) = form(**changes).slips()
    return found


def test_slip_when_all_is_right_then_nothing_is_asked():
    assert form().slips() == []


@pytest.mark.parametrize(
    ("changes", "use", "effect"),
    [
        ({"glucose_unit": "mmol/L"}, {"glucose_unit": "mg/dL"}, "5.4 mmol/L"),
        ({"glucose": "5.4"}, {"glucose_unit": "mmol/L"}, "97 mg/dL"),
        ({"unit": "MBq", "injected": "7.5", "residual": "0.1"}, {"unit": "mCi"}, "3.8 MBq/kg instead of 0.1 MBq/kg"),
        ({"unit": "mCi"}, {"unit": "MBq"}, "3.9 MBq/kg"),
        ({"injected": "5", "residual": "280"}, {"injected": "280", "residual": "5"}, "280 MBq were injected"),
        ({"height_cm": "1.78"}, {"height_cm": "178"}, "178 cm"),
        ({"injected_time": "1012"}, {"injected_time": "09:12"}, "the uptake is 62 min"),
        ({"injected_time": "2112"}, {"injected_time": "09:12"}, "the uptake is 62 min"),
    ],
    ids=["mg/dL as mmol/L", "mmol/L as mg/dL", "mCi", "MBq", "exchanged", "metres", "an hour", "afternoon"],
)
def test_slip_when_it_is_recognised_then_it_is_proposed_with_its_effect_and_gone_once_taken(changes, use, effect):
    found = [one for one in form(**changes).slips() if effect in one.effect]
    assert len(found) == 1, [one.effect for one in form(**changes).slips()]
    assert any(dict(proposal.use) == use for proposal in found[0].proposals)
    taken = form(**changes).revised(use)
    assert found[0].key not in {one.key for one in taken.slips()}


def test_slip_when_it_was_kept_with_a_reason_then_it_is_asked_no_more_until_the_value_changes():
    asked = slip(height_cm="1.78")
    assert form(height_cm="1.78").slips({asked.key: "a child"}) == []
    assert form(height_cm="1.79").slips({asked.key: "a child"}) != []


# --- the pages ------------------------------------------------------------------------------------


@pytest.fixture
def draft(site, sender):
    trial = factories.trial(site)
    return factories.submission(of=site, created_by=sender, kind="patient", trial=trial, subject_code="SUBJ-1")


@pytest.fixture
def in_force(draft):
    return ProtocolVersion.objects.create(
        trial=draft.trial,
        version=1,
        document=protocols.template("lymphoma"),
        digest="0" * 64,
        effective_on=datetime.date(2026, 1, 1),
        published_at=timezone.now(),
        made_by=factories.user(Role.PHYSICIST),
    )


@pytest.mark.django_db
def test_page_when_a_value_is_left_then_it_is_saved_and_the_uptake_stands_beside_its_limits(
    client, draft, sender, in_force
):
    client.force_login(sender)
    address = reverse("qc:submission-sheet", args=[draft.number])
    assert client.get(address).status_code == 200
    html = client.post(address, TYPED, headers={"HX-Request": "true"}).content.decode()
    assert "62 min" in html
    assert "50 to 75 min" in html
    assert "protocol version 1" in html
    draft.refresh_from_db()
    assert draft.sheet["patient"]["fasting_h"] == 6.0
    check = client.get(reverse("qc:submission-check", args=[draft.number])).content.decode()
    assert "98 mg/dL at 0850" in check
    assert "62 min" in check
    paper = client.get(reverse("qc:submission-sheet-print", args=[draft.number])).content.decode()
    assert "Blood glucose, mg/dL" in paper
    blank = client.get(reverse("qc:submission-sheet-print", args=[draft.number]), {"blank": 1}).content.decode()
    assert "Blood glucose, mmol/L or mg/dL" in blank


@pytest.mark.django_db
def test_page_when_no_protocol_is_in_force_then_it_says_that_nothing_is_judged(client, draft, sender):
    client.force_login(sender)
    html = client.post(reverse("qc:submission-sheet", args=[draft.number]), TYPED, follow=True).content.decode()
    assert "No protocol of the trial is in force on this day" in html


@pytest.mark.django_db
def test_page_when_a_slip_is_answered_then_it_is_taken_or_kept_with_the_reason(client, draft, sender):
    client.force_login(sender)
    address = reverse("qc:submission-sheet", args=[draft.number])
    slipped = TYPED | {"glucose_unit": "mmol/L"}
    assert "Check the unit of the blood glucose." in client.post(address, slipped, follow=True).content.decode()
    client.post(address, slipped | {"use": "0.0"})
    assert Submission.objects.get().sheet["patient"]["glucose_mmol_l"] == pytest.approx(5.4395, abs=1e-3)
    assert "Say in a few words why it stays." in client.post(address, slipped | {"keep": "0"}).content.decode()
    client.post(address, slipped | {"keep": "0", "why-0": "Read twice."})
    assert Submission.objects.get().sheet["entry"]["kept"] == {"GLUCOSE-UNIT/98 mmol/L": "Read twice."}
    assert "Check the unit" not in client.get(address).content.decode()


@pytest.mark.django_db
def test_page_when_the_images_came_first_then_their_time_is_the_scans(client, draft, sender, in_force):
    receive(draft, *slices(AcquisitionTime="103000"))
    client.force_login(sender)
    html = client.post(
        reverse("qc:submission-sheet", args=[draft.number]), TYPED | {"scan_time": ""}, headers={"HX-Request": "true"}
    ).content.decode()
    assert "78 min" in html
    assert "chip-fail" in html
