"""Analyses: found by identity, claimed once, never edited; refusals are results and bugs are ours."""

from __future__ import annotations

import hashlib
from datetime import timedelta

import pytest
from django.utils import timezone

from corelab import jobs
from corelab.errors import StaleState
from corelab.models import Attempt, AuditEvent
from phantoms.dicom_series import digest_of
from phantoms.errors import AnalysisRefused
from qc import analysis, services
from qc.models import Figure, Report, Run
from qc.services import runs
from qc.states import SubmissionState as S
from tests import factories
from tests.qc.kit import CT, SHEET, call, receive, slices, work

pytestmark = pytest.mark.django_db


@pytest.fixture
def sent(draft, measured):
    """A submission that was checked and waits to be measured."""
    return send(draft)


def send(submission, *files):
    submission.sheet = SHEET
    submission.save()
    receive(submission, *(files or slices()))
    call(services.submission_send, actor=submission.created_by, submission_id=submission.pk)
    work(services.submission_check, submission_id=submission.pk)
    submission.refresh_from_db()
    assert submission.state == S.SENT
    return submission


def analyse(run):
    work(services.run_analyse, run_id=run.pk)
    run.refresh_from_db()
    return run


def repeat(submission):
    call(services.submission_repeat, actor=factories.user("physicist"), submission_id=submission.pk, reason="again")
    submission.refresh_from_db()


def test_analyse_when_it_is_done_then_the_submission_waits_for_review_with_its_verdict(sent):
    run = analyse(sent.runs.get())
    sent.refresh_from_db()
    assert (run.work_state, run.verdict) == ("DONE", "PASS")
    assert run.result["verdict"] == "PASS"
    assert run.result_digest == analysis.digest(analysis.lasting(run.result))
    assert (sent.state, sent.current_run, sent.proposed_verdict) == (S.AWAITING_REVIEW, run, "PASS")
    assert sent.verdict == ""
    assert sent.headline == run.headline != ""
    assert Figure.objects.get().alt == "Axial slice"
    assert Report.objects.get().queued_at is not None
    assert Attempt.objects.get(target_type="qc.run").outcome == "COMPLETED"


def test_analyse_when_staff_move_a_question_meanwhile_then_the_run_is_kept_and_follows_it_as_it_is_now(
    sent, monkeypatch
):
    follow, calls = runs.queries.run_follow, []

    def moved_meanwhile(run, submission):
        calls.append(submission)
        if len(calls) == 1:
            raise StaleState("Somebody closed it.")
        follow(run, submission)

    monkeypatch.setattr(runs.queries, "run_follow", moved_meanwhile)
    run = analyse(sent.runs.get())
    assert (run.work_state, run.attempts, len(calls)) == ("DONE", 1, 2)


@pytest.mark.parametrize(("kind", "handed_on"), [("nema_iq", 5), ("cylinder", 3)])
def test_analyse_when_a_ct_came_with_it_then_a_sphere_phantom_is_measured_with_it_and_its_digest(
    draft, measured, monkeypatch, kind, handed_on
):
    seen = []
    analysed = analysis.analyse_files
    monkeypatch.setattr(
        analysis, "analyse_files", lambda files, *a, **k: seen.extend(files) or analysed(files, *a, **k)
    )
    draft.kind = kind
    draft.save()
    pet, ct = slices(), slices(2, seed=2, **CT)
    run = analyse(send(draft, *pet, *ct).runs.get())
    assert len(seen) == handed_on
    digests = sorted(hashlib.sha256(one).hexdigest() for one in (pet + ct)[:handed_on])
    assert run.input_digest == digest_of(digests)


def test_analyse_when_it_is_a_dry_run_then_it_ends_as_a_preview(draft, measured):
    draft.is_dry_run = True
    submission = send(draft)
    analyse(submission.runs.get())
    submission.refresh_from_db()
    assert submission.state == S.PREVIEWED


def test_analyse_when_it_is_rung_twice_then_it_is_measured_once(sent, measured):
    run = sent.runs.get()
    analyse(run)
    analyse(run)
    assert measured.calls == 1
    assert run.attempts == 1


def test_analyse_when_nothing_was_judged_then_it_could_not_be_checked(sent, measured):
    measured.result["verdict"] = None
    run = analyse(sent.runs.get())
    assert run.verdict == "NOT_EVALUABLE"


def test_analyse_when_it_is_refused_then_the_refusal_is_the_result(sent, measured):
    measured.error = AnalysisRefused("SERIES-NONE", "There is no PET series.", None, "Send one.")
    run = analyse(sent.runs.get())
    sent.refresh_from_db()
    assert (run.work_state, run.verdict) == ("DONE", "NOT_EVALUABLE")
    assert run.result["refused"]["code"] == "SERIES-NONE"
    assert sent.state == S.AWAITING_REVIEW


def test_analyse_when_it_breaks_once_then_the_next_try_measures(sent, measured):
    measured.error = MemoryError()
    run = analyse(sent.runs.get())
    assert (run.work_state, run.attempts) == ("QUEUED", 1)
    measured.error = None
    assert analyse(run).work_state == "DONE"
    sent.refresh_from_db()
    assert sent.state == S.AWAITING_REVIEW
    outcomes = Attempt.objects.filter(target_type="qc.run").values_list("outcome", flat=True)
    assert list(outcomes) == ["FAILED", "COMPLETED"]


def test_analyse_when_it_breaks_three_times_then_it_is_our_error_and_never_a_fail(sent, measured):
    measured.error = ZeroDivisionError()
    run = sent.runs.get()
    for _ in range(jobs.MAX_ATTEMPTS):
        analyse(run)
    sent.refresh_from_db()
    assert (run.work_state, run.verdict) == ("FAILED", "ERROR")
    assert (sent.state, sent.hold_code, sent.proposed_verdict) == (S.HELD, "OUR-ERROR", "ERROR")
    assert run.work_error in sent.hold_reason
    assert "run.fail" in AuditEvent.objects.values_list("action", flat=True)


def test_analyse_when_our_error_is_mended_and_rechecked_then_the_same_run_is_measured(sent, measured):
    measured.error = ZeroDivisionError()
    run = sent.runs.get()
    for _ in range(jobs.MAX_ATTEMPTS):
        analyse(run)
    measured.error = None
    call(services.submission_recheck, actor=factories.user("technician"), submission_id=sent.pk, reason="mended")
    work(services.submission_check, submission_id=sent.pk)
    analyse(run)
    sent.refresh_from_db()
    assert (run.work_state, run.attempts, sent.state) == ("DONE", 4, S.AWAITING_REVIEW)
    assert sent.runs.count() == 1


def test_analyse_when_a_late_worker_ends_then_its_outcome_is_dropped(sent, measured, monkeypatch):
    run = sent.runs.get()
    measure = runs._measure

    def swept_meanwhile(row):
        Run.objects.filter(pk=row.pk).update(attempts=2)
        return measure(row)

    monkeypatch.setattr(runs, "_measure", swept_meanwhile)
    analyse(run)
    sent.refresh_from_db()
    assert (run.work_state, run.result, sent.state) == ("RUNNING", {}, S.ANALYSING)
    assert Figure.objects.count() == Report.objects.count() == 0


def test_analyse_when_the_site_withdrew_meanwhile_then_the_result_moves_nothing(sent, measured, monkeypatch):
    measure = runs._measure

    def withdrawn_meanwhile(row):
        call(services.submission_withdraw, actor=sent.created_by, submission_id=sent.pk, reason="wrong phantom")
        return measure(row)

    monkeypatch.setattr(runs, "_measure", withdrawn_meanwhile)
    run = analyse(sent.runs.get())
    sent.refresh_from_db()
    assert (run.work_state, sent.state, sent.current_run) == ("DONE", S.WITHDRAWN, None)


def test_analyse_when_the_site_withdrew_before_then_nothing_is_measured_and_nothing_rings_again(sent, measured):
    call(services.submission_withdraw, actor=sent.created_by, submission_id=sent.pk, reason="wrong phantom")
    run = analyse(sent.runs.get())
    assert measured.calls == 0
    assert run.queued_at is None
    Run.objects.update(created_at=timezone.now() - timedelta(days=1))
    work(services.work_sweep)
    run.refresh_from_db()
    assert run.queued_at is None


def test_repeat_when_nothing_changed_then_the_finished_run_is_found(sent, measured):
    run = analyse(sent.runs.get())
    repeat(sent)
    assert measured.calls == 1
    assert (sent.state, sent.current_run, sent.runs.count()) == (S.AWAITING_REVIEW, run, 1)


@pytest.mark.parametrize("changed", ["program", "version"])
def test_repeat_when_the_program_changed_then_a_new_run_is_made_and_the_old_one_is_superseded(
    sent, measured, monkeypatch, changed
):
    old = analyse(sent.runs.get())
    if changed == "program":
        monkeypatch.setattr(analysis, "program", lambda: {"version": "2", "commit": "1", "libraries": {}})
    else:
        monkeypatch.setattr(analysis, "METHODS", dict(analysis.METHODS) | {"cylinder": 99})
    kept = dict(Run.objects.values().get())
    repeat(sent)
    assert sent.state == S.SENT
    new = analyse(sent.runs.exclude(pk=old.pk).get())
    old.refresh_from_db()
    sent.refresh_from_db()
    assert (old.superseded_by, new.superseded_by, sent.current_run) == (new, None, new)
    now = Run.objects.values().get(pk=old.pk)
    assert {key for key in kept if kept[key] != now[key]} == {"superseded_by_id"}


def test_repeat_when_the_old_program_comes_back_then_its_run_is_the_current_one_again(sent, measured, monkeypatch):
    old = analyse(sent.runs.get())
    with monkeypatch.context() as patched:
        patched.setattr(analysis, "program", lambda: {"version": "2", "commit": "1", "libraries": {}})
        repeat(sent)
        new = analyse(sent.runs.exclude(pk=old.pk).get())
    repeat(sent)
    old.refresh_from_db()
    new.refresh_from_db()
    assert (sent.current_run, old.superseded_by, new.superseded_by) == (old, None, old)


def test_identity_when_two_submissions_hold_the_same_files_then_each_has_its_own_run(sent, site, measured):
    other = send(factories.submission(of=site, created_by=sent.created_by))
    assert other.runs.get().input_digest == sent.runs.get().input_digest
    assert Run.objects.count() == 2


def test_identity_when_a_ct_is_added_then_the_measured_files_are_the_same(site, sender, measured):
    ct = slices(2, seed=9, Modality="CT", SOPClassUID="1.2.840.10008.5.1.4.1.1.2", NumberOfSlices=None, SeriesNumber=2)
    with_ct = send(factories.submission(of=site, created_by=sender), *slices(), *ct)
    without = send(factories.submission(of=site, created_by=sender), *slices())
    assert with_ct.runs.get().input_digest == without.runs.get().input_digest


def test_identity_when_the_series_is_chosen_then_the_parameters_say_so(draft, measured):
    second = slices(3, seed=2, SeriesNumber=4)
    receive(draft, *slices(), *second)
    uid = draft.files.filter(series_number=4).first().series_instance_uid
    call(services.submission_place_edit, actor=draft.created_by, submission_id=draft.pk, chosen_series=uid)
    draft.refresh_from_db()
    submission = send(draft, *slices(), *second)
    assert submission.check_findings == []
    assert submission.runs.get().parameters["series_uid"] == uid


def test_analyse_when_files_are_given_then_their_names_are_digests(sent, measured, monkeypatch):
    names = []
    monkeypatch.setattr(
        analysis,
        "analyse_files",
        lambda files, request, **options: (names.extend(one.name for one in files), measured(files, request))[1],
    )
    analyse(sent.runs.get())
    assert len(names) == 3
    assert all(len(name) == 16 and int(name, 16) >= 0 for name in names)


def test_sweep_when_a_worker_died_then_the_try_is_lost_and_the_next_completes_once(sent, measured, monkeypatch):
    run = sent.runs.get()
    assert jobs.claim(run) is not None
    Run.objects.update(heartbeat_at=timezone.now() - timedelta(seconds=jobs.LOST_AFTER_S + 1))
    rung = []
    monkeypatch.setattr(jobs, "enqueue", lambda name, **kwargs: rung.append(name))
    work(services.work_sweep)
    assert rung == ["qc.analyse_run"]
    analyse(run)
    outcomes = Attempt.objects.filter(target_type="qc.run").values_list("number", "outcome")
    assert list(outcomes) == [(1, "LOST"), (2, "COMPLETED")]
    assert measured.calls == 1


def test_sweep_when_it_is_lost_for_the_third_time_then_it_is_our_error_and_held(sent, measured):
    run = sent.runs.get()
    for _ in range(jobs.MAX_ATTEMPTS):
        assert jobs.claim(run) is not None
        Run.objects.update(heartbeat_at=timezone.now() - timedelta(seconds=jobs.LOST_AFTER_S + 1))
        work(services.work_sweep)
    run.refresh_from_db()
    sent.refresh_from_db()
    assert (run.work_state, run.verdict) == ("FAILED", "ERROR")
    assert (sent.state, sent.hold_code) == (S.HELD, "OUR-ERROR")
    assert jobs.claim(run) is None
