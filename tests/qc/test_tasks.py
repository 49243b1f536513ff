"""Doorbells: each on its queue, each calls the service of its name, and a whole scan rings through."""

from __future__ import annotations

import pytest

from corelab import celery, jobs
from corelab.models import Attempt, AuditEvent
from qc import services, tasks
from qc.models import Report, Run
from qc.states import SubmissionState as S
from tests.qc.kit import SHEET, call, receive, slices

QUEUES = {
    "qc.unpack_upload": "intake",
    "qc.check_submission": "short",
    "qc.analyse_run": "analysis",
    "qc.make_report": "reports",
    "qc.sweep_work": "short",
    "qc.delete_old_dry_runs": "intake",
    "qc.delete_stale_uploads": "intake",
}


def test_jobs_when_they_are_registered_then_each_has_its_queue_and_a_time_limit():
    for name, queue in QUEUES.items():
        task = celery.app.tasks[name]
        assert jobs.queue_of(name) == queue
        assert task.soft_time_limit < task.time_limit


def test_beat_when_it_rings_then_every_name_is_a_job():
    rung = {entry["task"] for entry in celery.app.conf.beat_schedule.values()}
    assert all(jobs.queue_of(name) in celery.QUEUES for name in rung)
    assert rung <= set(celery.app.tasks)


@pytest.mark.parametrize(
    ("name", "service", "key"),
    [
        ("unpack_upload", "upload_unpack", "upload_id"),
        ("check_submission", "submission_check", "submission_id"),
        ("analyse_run", "run_analyse", "run_id"),
        ("make_report", "report_make", "report_id"),
        ("sweep_work", "work_sweep", ""),
        ("delete_old_dry_runs", "dry_runs_delete_old", ""),
        ("delete_stale_uploads", "uploads_delete_stale", ""),
    ],
)
def test_job_when_it_rings_then_it_calls_its_service_with_a_uuid(monkeypatch, draft, name, service, key):
    calls = []
    monkeypatch.setattr(services, service, lambda **given: calls.append(given))
    getattr(tasks, name).apply(kwargs={key: str(draft.pk)} if key else {})
    assert calls == [{key: draft.pk} if key else {}]


def test_whole_scan_when_it_is_sent_then_the_bells_carry_it_to_review(
    draft, measured, django_capture_on_commit_callbacks
):
    draft.sheet = SHEET
    draft.save()
    with django_capture_on_commit_callbacks(execute=True):
        receive(draft, *slices())
        call(services.submission_send, actor=draft.created_by, submission_id=draft.pk)
    draft.refresh_from_db()
    assert draft.state == S.AWAITING_REVIEW
    assert Report.objects.get().work_state == "DONE"
    assert Report.objects.get().stored is not None
    assert set(Attempt.objects.values_list("target_type", "outcome")) == {
        ("qc.submission", "COMPLETED"),
        ("qc.run", "COMPLETED"),
        ("qc.report", "COMPLETED"),
    }
    names = AuditEvent.objects.filter(action="run.finish").values_list("actor_name", flat=True)
    assert list(names) == ["system: job qc.analyse_run"]


@pytest.mark.django_db
def test_job_when_its_row_is_gone_then_it_ends_quietly():
    import uuid

    for name, key in (
        ("unpack_upload", "upload_id"),
        ("check_submission", "submission_id"),
        ("analyse_run", "run_id"),
        ("make_report", "report_id"),
    ):
        getattr(tasks, name).apply(kwargs={key: str(uuid.uuid4())})


@pytest.mark.django_db
def test_sweep_when_a_bell_was_lost_then_it_rings_again(draft, measured, monkeypatch):
    from datetime import timedelta

    from django.utils import timezone

    receive(draft, *slices())
    call(services.submission_send, actor=draft.created_by, submission_id=draft.pk)
    type(draft).objects.update(queued_at=timezone.now() - timedelta(seconds=jobs.RING_AGAIN_AFTER_S + 1))
    rung = []
    monkeypatch.setattr(jobs, "enqueue", lambda name, **kwargs: rung.append(name))
    tasks.sweep_work.apply()
    assert rung == ["qc.check_submission"]
    assert Run.objects.count() == 0
