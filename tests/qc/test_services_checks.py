"""The arrival check as a job: what sends, what blocks, what is held, and the preview of all that."""

from __future__ import annotations

from datetime import UTC, date, datetime

import pytest
from django.utils import timezone

from corelab import jobs
from corelab.models import AuditEvent
from qc import intake, services
from qc.models import ReceivedFile, Run, Upload
from qc.services import checks
from qc.states import SubmissionState as S
from tests import factories
from tests.qc.kit import CT, SHEET, call, receive, slices, work

pytestmark = pytest.mark.django_db


def check(submission):
    work(services.submission_check, submission_id=submission.pk)
    submission.refresh_from_db()
    return {finding["id"] for finding in submission.check_findings}


@pytest.fixture
def sent(draft):
    """Fill a draft with these files and send it."""

    def send(*files, submission=draft, sheet=SHEET):
        submission.sheet = sheet
        submission.save()
        receive(submission, *files)
        call(services.submission_send, actor=submission.created_by, submission_id=submission.pk)
        return submission

    return send


def test_check_when_all_is_well_then_it_is_sent_with_a_run_and_a_date(sent):
    submission = sent(*slices())
    assert check(submission) == set()
    assert submission.state == S.SENT
    assert submission.sent_at is not None
    assert submission.due_on is not None
    run = Run.objects.get()
    assert run.queued_at is not None
    assert run.work_state == "QUEUED"
    assert (run.method, run.parameters["standards"], run.parameters["sheet"]) == ("cylinder", ["earl1_18f"], SHEET)


def test_check_when_it_is_sent_then_the_audit_row_ties_the_bytes_to_it(sent):
    submission = sent(*slices())
    check(submission)
    after = AuditEvent.objects.get(action="submission.receive").after
    assert after["files"] == 3
    assert after["size_bytes"] == sum(map(len, slices()))
    assert after["files_digest"] == Run.objects.get().input_digest


def test_check_when_it_is_received_on_a_monday_then_review_is_due_ten_working_days_later(sent, monkeypatch):
    submission = sent(*slices())
    monkeypatch.setattr(checks.timezone, "now", lambda: datetime(2026, 3, 2, 9, tzinfo=UTC))
    check(submission)
    assert submission.due_on == date(2026, 3, 16)


def test_check_when_the_scan_has_a_time_then_it_is_read_on_the_sites_clock(sent, site):
    site.time_zone = "Asia/Tokyo"
    site.save()
    submission = sent(*slices())
    check(submission)
    assert submission.scanned_at == datetime(2026, 3, 2, 1, 30, tzinfo=UTC)


@pytest.mark.parametrize(
    ("files", "id_"),
    [
        (slices(3, Modality="NM", SOPClassUID="1.2.840.10008.5.1.4.1.1.20"), "ING-14"),
        (slices(3, **CT), "ING-09"),
        ([b"no image"], "SERIES-NONE"),
        ([*slices(), *slices(seed=2, PatientID="B", SeriesNumber=4, **{"CorrectedImage": ["DECY"]})], "ING-02"),
    ],
)
def test_check_when_something_blocks_then_it_goes_back_to_the_site_with_the_finding(sent, files, id_):
    submission = sent(*files)
    assert id_ in check(submission)
    assert submission.state == S.DRAFT
    assert submission.sent_at is None
    assert Run.objects.count() == 0


def test_check_when_the_sheet_is_half_then_it_goes_back(sent):
    submission = sent(*slices(), sheet={"fills": [{"what": "cylinder", "activity_mbq": 22.0}]})
    findings = check(submission)
    assert submission.state == S.DRAFT
    assert any(one.startswith("SHEET-") for one in findings)


def test_check_when_there_is_no_sheet_then_it_sends_with_a_finding(sent):
    submission = sent(*slices(), sheet={})
    assert check(submission) == {"SHEET-NONE"}
    assert submission.state == S.SENT


def test_check_when_many_small_things_are_wrong_then_all_are_kept_and_it_sends(sent, draft):
    files = slices(4, DeviceSerialNumber="other", ImageType=["DERIVED", "SECONDARY"])
    del files[1]
    call(
        services.upload_create,
        actor=draft.created_by,
        submission_id=draft.pk,
        length_bytes=10,
        file_name="never finished",
    )
    submission = sent(*files, b"no image")
    assert check(submission) == {"ING-05", "ING-11", "REC-07", "ING-01", "ING-16"}
    assert submission.state == S.SENT


def test_check_when_a_blocked_one_is_mended_and_sent_again_then_it_goes_through(sent, draft):
    submission = sent(b"no image")
    check(submission)
    submission = sent(*slices())
    assert check(submission) == {"ING-01"}
    assert submission.state == S.SENT


def test_check_when_it_is_sent_many_times_then_it_has_its_full_tries_each_time(sent, monkeypatch):
    for _ in range(4):
        submission = sent(b"no image")
        check(submission)

    def broken(arrived):
        raise MemoryError

    monkeypatch.setattr(checks, "arrival_findings", broken)
    submission = sent(b"no image")
    check(submission)
    assert (submission.work_state, submission.state) == ("QUEUED", S.CHECKING)


def test_check_when_the_same_bytes_came_before_then_it_says_as_what(sent, site, draft):
    earlier = sent(*slices(), submission=factories.submission(of=site, created_by=draft.created_by))
    check(earlier)
    submission = sent(*slices())
    assert check(submission) == {"ING-03"}
    assert submission.check_findings[0]["message"].endswith(f"as {earlier.short_number}.")
    assert submission.state == S.SENT
    assert set(ReceivedFile.objects.filter(submission=submission).values_list("status", flat=True)) == {"REPEATED"}


def test_check_when_another_site_sent_the_same_bytes_then_its_number_is_not_told(sent):
    earlier = sent(*slices(), submission=factories.submission())
    check(earlier)
    submission = sent(*slices())
    assert check(submission) == {"ING-03"}
    assert earlier.short_number not in submission.check_findings[0]["message"]


def test_check_when_the_earlier_one_was_withdrawn_since_then_nothing_came_before(sent, site, draft):
    earlier = sent(*slices(), submission=factories.submission(of=site, created_by=draft.created_by))
    check(earlier)
    submission = sent(*slices())
    call(services.submission_withdraw, actor=draft.created_by, submission_id=earlier.pk, reason="wrong scanner")
    assert check(submission) == set()
    assert set(ReceivedFile.objects.filter(submission=submission).values_list("status", flat=True)) == {"KEPT"}


def test_check_when_a_dry_run_came_before_then_the_real_one_is_new(sent, site, draft):
    dry = factories.submission(of=site, created_by=draft.created_by, is_dry_run=True)
    check(sent(*slices(), submission=dry))
    assert dry.state == S.SENT
    assert dry.due_on is None
    assert check(sent(*slices())) == set()


def test_check_when_an_identity_came_before_with_other_bytes_then_it_is_held_for_a_person(sent, site, draft):
    check(sent(*slices(), submission=factories.submission(of=site, created_by=draft.created_by)))
    submission = sent(*slices(SeriesDescription="exported again"))
    assert "ING-13" in check(submission)
    assert (submission.state, submission.hold_code) == (S.HELD, "ING-13")
    assert not submission.runs.exists()


def test_recheck_when_staff_accepts_a_conflict_with_a_reason_then_it_is_measured(sent, site, draft):
    check(sent(*slices(), submission=factories.submission(of=site, created_by=draft.created_by)))
    submission = sent(*slices(SeriesDescription="exported again"))
    check(submission)
    technician = factories.user("technician")
    call(services.submission_recheck, actor=technician, submission_id=submission.pk, reason="the site says the later")
    assert "ING-13" not in check(submission)
    assert submission.state == S.SENT
    assert ReceivedFile.objects.filter(submission=submission, reason_code=intake.ACCEPTED).count() == 3


def test_check_when_both_contents_are_in_one_submission_then_the_site_sends_that_series_anew(sent, draft):
    submission = sent(*slices(), *slices(SeriesDescription="exported again"))
    assert check(submission) == {"ING-13"}
    assert (submission.state, submission.hold_code) == (S.DRAFT, "")
    (finding,) = submission.check_findings
    assert (finding["severity"], finding["next_step"]) == ("exclude", "Send this series anew; take it out first.")
    uid = submission.files.first().series_instance_uid
    assert finding["series"] == [uid]
    call(services.series_remove, actor=draft.created_by, submission_id=submission.pk, series_uid=uid)
    assert check(sent(*slices(SeriesDescription="exported again"))) == set()
    submission.refresh_from_db()
    assert submission.state == S.SENT


def test_recheck_when_it_was_held_with_both_contents_then_it_goes_back_to_the_site(sent, site, draft):
    check(sent(*slices(), submission=factories.submission(of=site, created_by=draft.created_by)))
    submission = sent(*slices(SeriesDescription="exported again"), *slices(SeriesDescription="a third time"))
    submission.state = S.HELD
    submission.save()
    call(services.submission_recheck, actor=factories.user("technician"), submission_id=submission.pk, reason="try")
    check(submission)
    assert submission.state == S.DRAFT


@pytest.mark.parametrize("date", ["99991231", "18991231", "21010101"])
def test_check_when_the_scan_date_is_a_placeholder_then_it_sends_without_one(sent, site, date):
    site.time_zone = "America/New_York"
    site.save()
    submission = sent(*slices(AcquisitionDate=date, AcquisitionTime="235900"), sheet={})
    check(submission)
    assert (submission.state, submission.scanned_at) == (S.SENT, None)


def test_check_when_it_replaces_another_then_that_one_lets_go_when_this_is_sent(sent, site, draft):
    old = sent(*slices(), submission=factories.submission(of=site, created_by=draft.created_by))
    check(old)
    new = call(
        services.submission_start,
        actor=draft.created_by,
        site=site,
        kind="cylinder",
        scanner=draft.scanner,
        replaces=old,
    )
    assert new.sheet == SHEET
    sent(*slices(SeriesDescription="exported again"), submission=new)
    old.refresh_from_db()
    assert old.state == S.SENT
    assert check(new) == set()
    old.refresh_from_db()
    assert (old.state, new.state, old.replaced_by) == (S.REPLACED, S.SENT, new)


def test_check_when_the_review_of_the_replaced_one_has_begun_then_both_stand_and_it_is_said(sent, site, draft):
    old = factories.submission(of=site, created_by=draft.created_by, state=S.AWAITING_REVIEW)
    draft.replaces = old
    submission = sent(*slices())
    old.state = S.IN_REVIEW
    old.save()
    assert check(submission) == {"REPLACE-LATE"}
    old.refresh_from_db()
    assert (old.state, submission.state, submission.replaces) == (S.IN_REVIEW, S.SENT, None)


def test_check_when_a_dry_run_would_take_a_real_ones_place_then_both_stand_and_it_is_said(sent, site, draft):
    real = factories.submission(of=site, created_by=draft.created_by, state=S.AWAITING_REVIEW)
    draft.replaces, draft.is_dry_run = real, True
    submission = sent(*slices())
    assert check(submission) == {"REPLACE-DRY-RUN"}
    real.refresh_from_db()
    assert (real.state, submission.state, submission.replaces) == (S.AWAITING_REVIEW, S.SENT, None)


def test_check_when_a_zip_is_still_being_opened_then_it_waits(sent, draft):
    submission = sent(*slices())
    Upload.objects.create(
        submission=draft,
        name_digest="0",
        length_bytes=1,
        is_zip=True,
        is_complete=True,
        queued_at=timezone.now(),
        created_by=draft.created_by,
    )
    check(submission)
    assert (submission.state, submission.work_state) == (S.CHECKING, "QUEUED")
    Upload.objects.update(work_state="DONE")
    check(submission)
    assert submission.state == S.SENT


def test_check_when_it_is_rung_twice_then_the_second_does_nothing(sent):
    submission = sent(*slices())
    check(submission)
    check(submission)
    assert submission.attempts == 1
    assert Run.objects.count() == 1


def test_check_when_it_fails_three_times_then_it_is_held_as_our_error(sent, monkeypatch):
    submission = sent(*slices())

    def broken(arrived):
        raise MemoryError

    monkeypatch.setattr(checks, "arrival_findings", broken)
    for _ in range(jobs.MAX_ATTEMPTS):
        check(submission)
    assert (submission.state, submission.hold_code) == (S.HELD, "OUR-ERROR")
    assert submission.work_error in submission.hold_reason


def test_recheck_when_our_error_is_mended_then_it_is_checked_again(sent, monkeypatch):
    submission = sent(*slices())
    with monkeypatch.context() as patched:
        patched.setattr(checks, "arrival_findings", lambda arrived: 1 / 0)
        for _ in range(jobs.MAX_ATTEMPTS):
            check(submission)
    call(services.submission_recheck, actor=factories.user("physicist"), submission_id=submission.pk, reason="mended")
    check(submission)
    assert submission.state == S.SENT


def test_check_when_a_late_worker_ends_then_its_outcome_is_dropped(sent, monkeypatch):
    submission = sent(*slices())
    findings = checks.arrival_findings

    def swept_meanwhile(arrived):
        type(submission).objects.update(attempts=2)
        return findings(arrived)

    monkeypatch.setattr(checks, "arrival_findings", swept_meanwhile)
    check(submission)
    assert (submission.state, submission.work_state, submission.attempts) == (S.CHECKING, "RUNNING", 2)


def test_preview_when_the_draft_is_looked_at_then_it_says_the_same_and_changes_nothing(draft):
    receive(draft, *slices(4)[:3], b"no image")
    draft.sheet = SHEET
    draft.save()
    before = list(ReceivedFile.objects.values())
    preview = {finding["id"]: finding for finding in services.preview_findings(draft)}
    assert set(preview) == {"ING-05", "ING-01"}
    assert preview["ING-05"]["message"] == "Series 3 has 3 of 4 slices; 4 is missing."
    assert list(ReceivedFile.objects.values()) == before


def test_preview_when_there_are_many_files_then_queries_do_not_grow(draft, django_assert_max_num_queries):
    receive(draft, *slices(40))
    with django_assert_max_num_queries(6):
        services.preview_findings(draft)


def test_check_when_it_is_a_patient_then_no_sheet_is_asked_for_and_five_days_are_given(sent, site, draft, monkeypatch):
    patient = factories.submission(of=site, created_by=draft.created_by, kind="patient", trial=factories.trial(site))
    submission = sent(*slices(), submission=patient, sheet={"patient": {"weight_kg": 72}})
    monkeypatch.setattr(checks.timezone, "now", lambda: datetime(2026, 3, 2, 9, tzinfo=UTC))
    assert check(submission) == set()
    assert submission.due_on == date(2026, 3, 9)
    assert Run.objects.get().parameters["sheet"] is None
