"""The five steps of sending, as a browser walks them, with script and without."""

from __future__ import annotations

import re

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.urls import reverse

from corelab.models import Role
from qc import selectors
from qc.models import Submission
from qc.states import SubmissionState as S
from tests import factories
from tests.qc import kit

pytestmark = pytest.mark.django_db

TYPED = {
    "unit": "MBq",
    "nuclide": "F-18",
    "date": "2026-03-02",
    "scan_time": "1030",
    "cylinder-activity": "70,0",
    "cylinder-activity_time": "0910",
    "cylinder-residual": "0.4",
    "cylinder-residual_time": "0914",
    "cylinder-volume": "9293",
}


@pytest.fixture
def site_client(client, sender):
    client.force_login(sender)
    return client


def url(name: str, submission: Submission) -> str:
    return reverse(f"qc:{name}", args=[submission.number])


def place(submission: Submission, **changes):
    machine = submission.scanner
    return {"kind": "cylinder", "scanner": machine.pk, "standard": "earl1_18f"} | changes


# --- 1 what and where -----------------------------------------------------------------------------


def test_start_when_answered_then_makes_a_draft_and_goes_to_the_sheet(site_client, site):
    machine = factories.scanner(site)
    calibrator = factories.calibrator(site)
    answer = site_client.post(
        reverse("qc:submission-start"),
        {
            "kind": "cylinder",
            "scanner": machine.pk,
            "reconstruction": machine.reconstructions.get().pk,
            "standard": "earl1_18f",
            "calibrator": calibrator.pk,
        },
    )
    made = Submission.objects.get()
    assert answer.url == url("submission-sheet", made)
    assert (made.state, made.site, made.scanner, made.calibrator) == (S.DRAFT, site, machine, calibrator)


def test_start_when_nothing_is_chosen_then_says_what_is_missing_and_keeps_the_rest(site_client, site):
    factories.scanner(site)
    page = site_client.post(reverse("qc:submission-start"), {"subject_code": "0113"}).content.decode()
    assert "Choose what you are sending." in page
    assert "Choose the scanner." in page
    assert 'value="0113"' in page
    assert not Submission.objects.exists()


def test_start_when_the_scanner_is_another_sites_then_it_is_no_choice(site_client, site):
    factories.scanner(site)
    elsewhere = factories.scanner(factories.site())
    page = site_client.post(reverse("qc:submission-start"), {"kind": "cylinder", "scanner": elsewhere.pk})
    assert page.status_code == 200
    assert elsewhere.serial not in page.content.decode()
    assert not Submission.objects.exists()


def test_start_when_a_reconstruction_belongs_to_another_scanner_then_is_refused(site_client, site):
    one, other = factories.scanner(site), factories.scanner(site)
    data = {"kind": "cylinder", "scanner": one.pk, "standard": "earl1_18f"}
    data["reconstruction"] = other.reconstructions.get().pk
    assert "is not one of" in site_client.post(reverse("qc:submission-start"), data).content.decode()


@pytest.mark.parametrize("code", ["", "John Smith", "Smith"])
def test_start_when_a_patient_has_no_trial_code_then_asks_for_it(site_client, site, code):
    machine, trial = factories.scanner(site), factories.trial(site)
    data = {"kind": "patient", "scanner": machine.pk, "standard": "earl1_18f", "trial": trial.pk, "subject_code": code}
    page = site_client.post(reverse("qc:submission-start"), data)
    assert page.status_code == 200
    assert "code" in page.content.decode()
    assert not Submission.objects.exists()


def test_start_when_nobody_registered_a_scanner_then_says_whom_to_ask(site_client):
    assert "Ask the core lab to add one." in site_client.get(reverse("qc:submission-start")).content.decode()


def test_start_when_like_an_earlier_one_then_is_filled_in(site_client, draft):
    page = site_client.get(reverse("qc:submission-start"), {"like": str(draft)}).content.decode()
    assert re.search(r'<input[^>]*value="cylinder"[^>]*checked', page)
    assert f'<option value="{draft.scanner_id}" selected>' in page


def test_place_when_changed_from_the_summary_then_goes_back_there(site_client, draft):
    answer = site_client.post(url("submission-place", draft) + "?from=check", place(draft, kind="nema_iq"))
    draft.refresh_from_db()
    assert draft.kind == "nema_iq"
    assert answer.url == url("submission-check", draft)


# --- 2 the sheet ----------------------------------------------------------------------------------


def test_sheet_when_a_field_is_left_then_saves_and_shows_the_decay(site_client, draft):
    answer = site_client.post(url("submission-sheet", draft), TYPED, headers={"HX-Request": "true"})
    page = answer.content.decode()
    draft.refresh_from_db()
    assert draft.sheet["fills"][0]["activity_mbq"] == 70.0
    assert draft.sheet["time_zone"] == draft.site.time_zone
    assert "At the scan" in page
    assert 'hx-swap-oob="true"' in page
    assert "<html" not in page


def test_sheet_when_opened_again_then_shows_what_was_typed(site_client, draft):
    site_client.post(url("submission-sheet", draft), TYPED | {"cylinder-volume": "about 9 L", "save": "1"})
    page = site_client.get(url("submission-sheet", draft)).content.decode()
    assert 'value="70,0"' in page
    assert 'value="about 9 L"' in page
    assert "There is a problem" not in page


def test_sheet_when_half_and_continued_then_stays_and_keeps_everything(site_client, draft):
    typed = {"cylinder-activity": "70,0", "continue": "1"}
    page = site_client.post(url("submission-sheet", draft), typed).content.decode()
    draft.refresh_from_db()
    assert "Cylinder: enter the volume." in page
    assert draft.sheet["entry"]["typed"]["cylinder-activity"] == "70,0"


def test_sheet_when_whole_and_continued_then_goes_to_the_files(site_client, draft):
    answer = site_client.post(url("submission-sheet", draft), TYPED | {"continue": "1"})
    assert answer.url == url("submission-files", draft)


def test_sheet_when_a_proposal_is_taken_then_only_that_value_changes(site_client, draft):
    slipped = TYPED | {"cylinder-residual_time": "0414"}
    page = site_client.post(url("submission-sheet", draft), slipped | {"save": "1"}, follow=True).content.decode()
    assert "Use 09:14" in page
    draft.refresh_from_db()
    assert draft.sheet["fills"][0]["residual_at"] == "2026-03-02T04:14:00"
    site_client.post(url("submission-sheet", draft), slipped | {"use": "0.0"})
    draft.refresh_from_db()
    assert draft.sheet["fills"][0]["residual_at"] == "2026-03-02T09:14:00"
    assert draft.sheet["entry"]["typed"]["cylinder-activity"] == "70,0"


def test_sheet_when_a_slip_is_kept_then_wants_the_reason_and_asks_no_more(site_client, draft):
    slipped = TYPED | {"cylinder-residual_time": "0414", "keep": "0"}
    page = site_client.post(url("submission-sheet", draft), slipped | {"why-0": ""}).content.decode()
    assert "Say in a few words why it stays." in page
    page = site_client.post(url("submission-sheet", draft), slipped | {"why-0": "Read twice."}, follow=True)
    draft.refresh_from_db()
    assert list(draft.sheet["entry"]["kept"].values()) == ["Read twice."]
    assert "Use 09:14" not in page.content.decode()


def test_sheet_when_filled_before_then_offers_the_volume_again(site_client, draft, sender):
    earlier = factories.submission(of=draft.site, created_by=sender, state=S.RELEASED, scanner=draft.scanner)
    earlier.sheet = {"fills": [{"what": "cylinder", "activity_mbq": 60.0, "volume_ml": 6283.0}]}
    earlier.sent_at = earlier.created_at
    earlier.save()
    page = site_client.get(url("submission-sheet", draft)).content.decode()
    assert "Filled like last time?" in page
    assert 'name="cylinder-volume" value="6283"' in page
    assert 'name="cylinder-activity" value="60"' not in page


@pytest.mark.parametrize(("query", "shows"), [("", True), ("?blank=1", False)])
def test_sheet_when_printed_then_is_one_form_filled_or_blank(site_client, draft, query, shows):
    site_client.post(url("submission-sheet", draft), TYPED | {"save": "1"})
    page = site_client.get(url("submission-sheet-print", draft) + query).content.decode()
    assert ("70,0" in page) is shows
    assert "Written by" in page


def test_patient_values_when_saved_then_stand_beside_the_sheet(site_client, site, sender):
    patient = factories.submission(of=site, created_by=sender, kind="patient", trial=factories.trial(site))
    typed = {"date": "2026-03-02", "weight_kg": "72,5", "height_cm": "178", "continue": "1"}
    answer = site_client.post(url("submission-sheet", patient), typed)
    patient.refresh_from_db()
    assert answer.url == url("submission-files", patient)
    assert patient.sheet["patient"] == {"weight_kg": 72.5, "height_m": 1.78}


# --- 3 files --------------------------------------------------------------------------------------


def test_files_when_sent_without_script_then_arrive(site_client, draft):
    for content in kit.slices(3):
        file = SimpleUploadedFile("PATIENT_NAME.dcm", content, content_type="application/dicom")
        assert site_client.post(url("submission-files", draft), {"file": file}).status_code == 302
    page = site_client.get(url("submission-files", draft)).content.decode()
    assert draft.files.count() == 3
    assert "Series 3" in page
    assert "PATIENT_NAME" not in page


def test_files_when_only_looked_at_then_nothing_is_wrong(site_client, draft):
    page = site_client.get(url("submission-files", draft)).content.decode()
    assert "There is a problem" not in page
    assert "Choose a file first." not in page


def test_files_when_no_file_is_chosen_then_says_so(site_client, draft):
    page = site_client.post(url("submission-files", draft), {})
    assert "Choose a file first." in page.content.decode()


def test_files_when_asked_again_then_the_part_alone_is_answered(site_client, draft, sender):
    kit.receive(draft, *kit.slices(2), b"not an image", actor=sender)
    page = site_client.get(url("submission-file-list", draft)).content.decode()
    assert "<html" not in page
    assert "PET, attenuation corrected" in page
    assert "1 file left out" in page


def test_files_when_a_series_is_taken_out_then_it_is_gone(site_client, draft, sender):
    kit.receive(draft, *kit.slices(2), actor=sender)
    uid = draft.files.first().series_instance_uid
    site_client.post(reverse("qc:series-remove", args=[draft.number]), {"series_uid": uid})
    assert not draft.files.exists()


@pytest.mark.parametrize("name", ["submission-place", "submission-sheet", "submission-files", "submission-check"])
def test_step_when_already_sent_then_leads_to_the_receipt(site_client, checking, name):
    assert site_client.get(url(name, checking)).url == url("submission-receipt", checking)


@pytest.mark.parametrize("name", ["submission-place", "submission-sheet", "submission-files", "submission-file-list"])
def test_step_when_another_sites_then_is_not_there(client, draft, name):
    client.force_login(factories.user(Role.SITE_USER, site=factories.site()))
    assert client.get(url(name, draft)).status_code == 404


# --- 4 check and send, 5 receipt ------------------------------------------------------------------


def test_check_when_nothing_arrived_then_says_what_must_be_put_right(site_client, draft):
    page = site_client.get(url("submission-check", draft)).content.decode()
    assert "This must be put right before sending" in page
    assert page.index("This must be put right") < page.index("What and where</h2>")


def test_check_when_sent_then_the_receipt_follows_and_the_comment_is_kept(site_client, draft, sender, monkeypatch):
    kit.receive(draft, *kit.slices(3), actor=sender)
    answer = site_client.post(url("submission-check", draft), {"comment": "Second fill.", "send": "1"})
    draft.refresh_from_db()
    assert answer.url == url("submission-receipt", draft)
    assert (draft.state, draft.comment, draft.sent_by) == (S.CHECKING, "Second fill.", sender)
    page = site_client.get(answer.url).content.decode()
    assert 'hx-trigger="every 2s"' in page
    assert "3 files" in page


def test_check_when_two_series_qualify_then_one_can_be_chosen(site_client, draft, sender):
    kit.receive(draft, *kit.slices(2), actor=sender)
    kit.receive(draft, *kit.slices(2, seed=2, SeriesNumber=4), actor=sender, name="other")
    page = site_client.get(url("submission-check", draft)).content.decode()
    assert "Which series should be measured?" in page
    uid = draft.files.filter(series_number=4).first().series_instance_uid
    site_client.post(url("submission-check", draft), {"chosen_series": uid, "save": "1"})
    draft.refresh_from_db()
    assert draft.chosen_series == uid
    site_client.post(url("submission-check", draft), {"chosen_series": "1.2.3.not.there", "save": "1"})
    draft.refresh_from_db()
    assert draft.chosen_series == ""


def test_check_when_a_phantom_came_without_attenuation_correction_only_then_it_can_be_chosen(
    site_client, draft, sender
):
    kit.receive(draft, *kit.slices(2, CorrectedImage=["DECY"]), actor=sender)
    page = site_client.get(url("submission-check", draft)).content.decode()
    assert "None is attenuation corrected" in page
    assert "Send the corrected series too" in page
    uid = draft.files.first().series_instance_uid
    site_client.post(url("submission-check", draft), {"chosen_series": uid, "save": "1"})
    draft.refresh_from_db()
    assert draft.chosen_series == uid


@pytest.mark.parametrize(("corrected", "kind"), [(["ATTN", "DECY"], "nema_iq"), (["DECY"], "patient")])
def test_series_to_choose_when_one_qualifies_or_it_is_a_patient_then_there_is_nothing_to_choose(
    draft, sender, corrected, kind
):
    kit.receive(draft, *kit.slices(2, CorrectedImage=corrected), actor=sender)
    assert selectors.series_to_choose(selectors.received_series(draft), kind) == []


def test_receipt_when_still_a_draft_then_leads_to_the_check(site_client, draft):
    assert site_client.get(url("submission-receipt", draft)).url == url("submission-check", draft)


def test_start_when_a_link_names_the_scope_then_it_is_chosen(client, site, sender):
    scanner, other = factories.scanner(site), factories.scanner()
    profile = scanner.reconstructions.get()
    client.force_login(sender)
    query = {"kind": "nema_iq", "scanner": scanner.pk, "reconstruction": profile.pk, "standard": "earl2_18f"}
    page = client.get(reverse("qc:submission-start"), query).content.decode()
    for chosen in (scanner.pk, profile.pk, "earl2_18f"):
        assert re.search(rf'<option value="{chosen}"[^>]*selected', page)
    assert re.search(r'<input type="radio" name="kind" value="nema_iq"[^>]*checked', page)
    page = client.get(reverse("qc:submission-start"), {"scanner": other.pk}).content.decode()
    # Keys of several tables may be the same number, so only the select of scanners is searched.
    offered = re.search(r'<select[^>]*name="scanner".*?</select>', page, re.DOTALL)[0]
    assert f'value="{scanner.pk}"' in offered
    assert f'value="{other.pk}"' not in offered
