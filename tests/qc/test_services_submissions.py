"""Drafts: whose, where, and what; kept answer by answer, sent once, taken back until the review begins."""

from __future__ import annotations

import io

import pytest
from kombu.exceptions import OperationalError

from corelab import celery
from corelab.errors import InvalidMove, NotAllowed, NotFound, Refused, StaleState
from corelab.models import AuditEvent, Role
from qc import services
from qc.models import ReceivedFile, Submission, Upload
from qc.states import SubmissionState as S
from tests import factories
from tests.qc.kit import CT, call, receive, slices, work, zip_of

pytestmark = pytest.mark.django_db


@pytest.fixture
def scanner(site):
    return factories.scanner(site)


@pytest.fixture
def start(site, sender, scanner):
    def started(**fields):
        given = {"actor": sender, "site": site, "kind": "cylinder", "scanner": scanner} | fields
        return call(services.submission_start, **given)

    return started


def test_start_when_a_site_user_starts_then_there_is_a_numbered_draft_and_an_audit_row(start, sender):
    first, second = start(), start()
    assert first.state == S.DRAFT
    assert second.number == first.number + 1
    assert str(first) == f"S-{first.number}"
    row = AuditEvent.objects.filter(action="submission.start").last()
    assert (row.actor, row.site_id, row.after["kind"]) == (sender, first.site_id, "cylinder")


@pytest.mark.parametrize(
    "role", [None, *[role for role in Role if role not in (Role.SITE_USER, "trial_manager", "monitor")]]
)
def test_start_when_the_person_is_no_site_user_there_then_it_is_refused(start, role):
    with pytest.raises(NotAllowed):
        start(actor=factories.user(role))


def test_start_when_the_person_is_of_another_site_then_it_is_refused(start):
    with pytest.raises(NotAllowed):
        start(actor=factories.user(Role.SITE_USER, site=factories.site()))


@pytest.mark.parametrize(
    ("code", "fields"),
    [
        ("KIND-UNKNOWN", lambda site: {"kind": "spect"}),
        ("SCANNER-SITE", lambda site: {"scanner": factories.scanner()}),
        ("RECONSTRUCTION-SCANNER", lambda site: {"reconstruction": factories.scanner().reconstructions.get()}),
        ("STANDARD-UNKNOWN", lambda site: {"standard": "earl9"}),
        ("STANDARD-UNKNOWN", lambda site: {"kind": "nema_iq", "standard": "acrin_cylinder"}),
        ("TRIAL-MISSING", lambda site: {"kind": "patient"}),
        ("TRIAL-SITE", lambda site: {"trial": factories.trial()}),
        ("SUBJECT-CODE", lambda site: {"subject_code": "Jane Doe"}),
        ("REPLACE-STATE", lambda site: {"replaces": factories.submission(of=site, state=S.IN_REVIEW)}),
        ("REPLACE-STATE", lambda site: {"replaces": factories.submission(state=S.SENT)}),
    ],
)
def test_start_when_something_does_not_fit_then_it_is_refused_by_its_code(start, site, code, fields):
    with pytest.raises(Refused) as refused:
        start(**fields(site))
    assert refused.value.code == code


def test_start_when_a_draft_replaces_it_already_then_that_draft_is_found(start, site, sender):
    old = factories.submission(of=site, state=S.SENT, created_by=sender)
    assert start(replaces=old) == start(replaces=old)
    assert Submission.objects.filter(replaces=old).count() == 1


def test_start_when_the_replacing_draft_was_withdrawn_then_another_may_replace(start, site, sender):
    old = factories.submission(of=site, state=S.SENT, created_by=sender)
    first = start(replaces=old)
    call(services.submission_withdraw, actor=sender, submission_id=first.pk, reason="not needed")
    assert start(replaces=old) != first


def test_edit_when_something_changes_then_only_that_is_recorded(start, sender):
    draft = start()
    edited = call(services.submission_place_edit, actor=sender, submission_id=draft.pk, kind="nema_iq", visit="")
    assert edited.kind == "nema_iq"
    row = AuditEvent.objects.get(action="submission.edit")
    assert (row.before, row.after) == ({"kind": "cylinder"}, {"kind": "nema_iq"})
    call(services.submission_place_edit, actor=sender, submission_id=draft.pk, kind="nema_iq")
    assert AuditEvent.objects.filter(action="submission.edit").count() == 1


def test_edit_when_the_chosen_series_did_not_arrive_then_it_is_refused(start, sender):
    with pytest.raises(Refused, match="not among"):
        call(services.submission_place_edit, actor=sender, submission_id=start().pk, chosen_series="1.2.3")


def test_edit_when_the_person_is_staff_then_the_draft_is_not_there(start):
    with pytest.raises(NotFound):
        call(
            services.submission_place_edit,
            actor=factories.user(Role.PHYSICIST),
            submission_id=start().pk,
            kind="nema_iq",
        )


@pytest.mark.parametrize("state", [state for state in S if state != S.DRAFT])
def test_edit_when_it_is_no_draft_then_it_is_stale(start, sender, state):
    draft = start()
    Submission.objects.filter(pk=draft.pk).update(state=state)
    with pytest.raises(StaleState):
        call(services.sheet_save, actor=sender, submission_id=draft.pk, sheet={"nuclide": "F-18"})


def test_sheet_when_half_of_it_is_saved_then_it_is_kept_and_the_change_recorded(start, sender):
    draft = start()
    half = {"fills": [{"what": "cylinder", "activity_mbq": "22,"}]}
    call(services.sheet_save, actor=sender, submission_id=draft.pk, sheet=half)
    draft.refresh_from_db()
    assert draft.sheet == half
    call(services.sheet_save, actor=sender, submission_id=draft.pk, sheet=half)
    rows = AuditEvent.objects.filter(action="sheet.save")
    assert rows.count() == 1
    assert rows.get().after == half


def test_patient_values_when_they_are_saved_then_the_sheet_keeps_them_apart(start, sender, site):
    draft = start(kind="patient", trial=factories.trial(site))
    call(services.patient_values_save, actor=sender, submission_id=draft.pk, values={"weight_kg": 72})
    call(services.sheet_save, actor=sender, submission_id=draft.pk, sheet={"nuclide": "F-18"})
    draft.refresh_from_db()
    assert draft.sheet == {"nuclide": "F-18", "patient": {"weight_kg": 72}}


def test_send_when_it_is_pressed_twice_then_the_second_is_told(start, sender):
    draft = start()
    call(services.submission_send, actor=sender, submission_id=draft.pk)
    with pytest.raises(InvalidMove):
        call(services.submission_send, actor=sender, submission_id=draft.pk)
    draft.refresh_from_db()
    assert (draft.state, draft.sent_by) == (S.CHECKING, sender)
    assert AuditEvent.objects.filter(action="submission.send").count() == 1


def test_send_when_the_broker_is_away_then_it_is_sent_and_the_sweep_rings_later(
    start, sender, monkeypatch, django_capture_on_commit_callbacks
):
    draft = start()

    def away(*args, **kwargs):
        raise OperationalError("connection refused")

    import qc.tasks  # noqa: F401 (registers the jobs)

    monkeypatch.setattr(celery.app.tasks["qc.check_submission"], "apply_async", away)
    with django_capture_on_commit_callbacks(execute=True):
        call(services.submission_send, actor=sender, submission_id=draft.pk)
    draft.refresh_from_db()
    assert (draft.state, draft.work_state) == (S.CHECKING, "QUEUED")
    assert draft.queued_at is not None


@pytest.mark.parametrize("state", [S.DRAFT, S.SENT, S.ANALYSING, S.AWAITING_REVIEW, S.HELD])
def test_withdraw_when_the_review_has_not_begun_then_it_is_taken_back_with_a_reason(draft, sender, state):
    Submission.objects.update(state=state)
    with pytest.raises(Refused, match="reason"):
        call(services.submission_withdraw, actor=sender, submission_id=draft.pk, reason="")
    call(services.submission_withdraw, actor=sender, submission_id=draft.pk, reason="wrong phantom")
    draft.refresh_from_db()
    assert draft.state == S.WITHDRAWN
    assert AuditEvent.objects.get(action="submission.withdraw").reason == "wrong phantom"


@pytest.mark.parametrize("state", [S.IN_REVIEW, S.RELEASED, S.WITHDRAWN, S.REPLACED, S.PREVIEWED])
def test_withdraw_when_it_is_too_late_then_it_is_refused(draft, sender, state):
    Submission.objects.update(state=state)
    with pytest.raises(InvalidMove):
        call(services.submission_withdraw, actor=sender, submission_id=draft.pk, reason="too late")


def test_withdraw_when_staff_tries_then_it_is_the_sites_to_do(draft):
    Submission.objects.update(state=S.SENT)
    with pytest.raises(NotAllowed):
        call(services.submission_withdraw, actor=factories.user(Role.PHYSICIST), submission_id=draft.pk, reason="x")


def test_move_when_it_is_recorded_then_before_and_after_hold_state_and_changed_fields(draft, physicist):
    Submission.objects.update(state=S.AWAITING_REVIEW)
    call(services.submission_claim, actor=physicist, submission_id=draft.pk)
    row = AuditEvent.objects.get(action="submission.claim")
    assert row.before == {"state": "AWAITING_REVIEW", "reviewer": None}
    assert row.after == {"state": "IN_REVIEW", "reviewer": str(physicist.pk)}


def test_series_remove_when_one_persons_series_is_taken_out_then_files_uploads_and_bytes_go(draft, sender):
    receive(draft, *slices(), name="pet")
    receive(draft, *slices(2, seed=7, PatientID="B", **CT), name="ct")
    assert "ING-02" in {finding["id"] for finding in services.preview_findings(draft)}
    uid = draft.files.filter(modality="CT").first().series_instance_uid
    call(services.series_remove, actor=sender, submission_id=draft.pk, series_uid=uid)
    assert set(ReceivedFile.objects.values_list("modality", flat=True)) == {"PT"}
    assert Upload.objects.count() == 3
    assert "ING-02" not in {finding["id"] for finding in services.preview_findings(draft)}
    receive(draft, *slices(2, seed=7, PatientID="B", **CT), name="ct")
    assert draft.files.filter(modality="CT").count() == 2


@pytest.fixture
def send_zip(draft, sender):
    """Send a zip of these files to the draft and open it."""

    def send(*files, name="all.zip"):
        content = zip_of(*((str(number), one) for number, one in enumerate(files)))
        upload = call(
            services.upload_receive,
            actor=sender,
            submission_id=draft.pk,
            length_bytes=len(content),
            file_name=name,
            stream=io.BytesIO(content),
        )
        work(services.upload_unpack, upload_id=upload.pk)
        return upload

    return send


def test_series_remove_when_it_came_in_a_zip_then_the_same_zip_brings_it_again(draft, sender, send_zip):
    send_zip(*slices())
    uid = draft.files.first().series_instance_uid
    call(services.series_remove, actor=sender, submission_id=draft.pk, series_uid=uid)
    assert draft.files.count() == 0
    send_zip(*slices())
    assert draft.files.count() == 3


@pytest.mark.parametrize("zip_first", [True, False])
def test_series_remove_when_it_came_twice_then_it_is_gone_and_either_way_brings_it_again(
    draft, sender, send_zip, zip_first
):
    ways = [lambda: send_zip(*slices()), lambda: receive(draft, *slices())]
    for way in ways if zip_first else reversed(ways):
        way()
    for way in ways:
        uid = draft.files.first().series_instance_uid
        call(services.series_remove, actor=sender, submission_id=draft.pk, series_uid=uid)
        assert draft.files.count() == 0
        way()
        assert draft.files.count() == 3


def test_upload_remove_when_a_zip_held_the_file_too_then_the_zip_brings_it_again(draft, sender, send_zip):
    receive(draft, slices()[0])
    single = Upload.objects.get()
    send_zip(*slices())
    call(services.upload_remove, actor=sender, upload_id=single.pk)
    assert draft.files.count() == 2
    send_zip(*slices())
    assert draft.files.count() == 3


def test_place_edit_when_what_replaces_a_real_one_becomes_a_dry_run_then_it_is_refused(draft, sender, site):
    old = factories.submission(of=site, state=S.AWAITING_REVIEW)
    new = call(services.submission_start, actor=sender, site=site, kind="cylinder", scanner=draft.scanner, replaces=old)
    with pytest.raises(Refused, match=f"cannot take the place of {old}") as refused:
        call(services.submission_place_edit, actor=sender, submission_id=new.pk, is_dry_run=True)
    assert refused.value.code == "REPLACE-DRY-RUN"
    with pytest.raises(Refused, match="only a dry run"):
        dry = factories.submission(of=site, state=S.HELD, is_dry_run=True)
        call(services.submission_start, actor=sender, site=site, kind="cylinder", scanner=draft.scanner, replaces=dry)
