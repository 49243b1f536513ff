"""Doorbells: each on its queue, each calls the service of its name; lost work is found."""

from __future__ import annotations

import datetime

import pytest
from django.utils import timezone

from accreditation import services, tasks
from accreditation.models import Certificate
from corelab import celery, jobs
from corelab.models import Attempt
from qc.services import work_sweep
from tests.accreditation.scenes import Scene, certificate_of
from tests.qc.kit import work

pytestmark = pytest.mark.django_db
QUEUES = {
    "accreditation.reconcile_cases": "short",
    "accreditation.advance_calendar": "short",
    "accreditation.make_certificate": "reports",
}


def test_jobs_when_they_are_registered_then_each_has_its_queue_and_a_time_limit():
    for name, queue in QUEUES.items():
        assert jobs.queue_of(name) == queue
        task = celery.app.tasks[name]
        assert task.soft_time_limit < task.time_limit


def test_beat_when_it_rings_then_cases_are_reconciled_and_the_calendar_is_read():
    rung = {entry["task"]: entry["schedule"] for entry in celery.app.conf.beat_schedule.values()}
    assert rung["accreditation.reconcile_cases"] <= 60
    assert rung["accreditation.advance_calendar"] <= 3600


@pytest.mark.parametrize(
    ("name", "service", "key"),
    [
        ("reconcile_cases", "cases_reconcile", ""),
        ("advance_calendar", "calendar_advance", ""),
        ("make_certificate", "certificate_make", "certificate_id"),
    ],
)
def test_job_when_it_rings_then_it_calls_its_service_with_a_uuid(monkeypatch, name, service, key):
    calls, one = [], Scene().site
    monkeypatch.setattr(services, service, lambda **given: calls.append(given))
    pk = "5f3b1f5e-0f2a-4a53-9a38-0a8d9d5f6a11"
    getattr(tasks, name).apply(kwargs={key: pk} if key else {})
    assert [{k: str(v) for k, v in given.items()} for given in calls] == [{key: pk} if key else {}]
    assert one.pk


def test_certificate_when_it_is_issued_then_its_document_is_rung_for_after_commit(
    clock, django_capture_on_commit_callbacks
):
    scene = Scene()
    case = scene.taken()
    with django_capture_on_commit_callbacks(execute=True):
        scene.approve(case)
    certificate = certificate_of(case)
    assert certificate.work_state == "DONE"
    assert certificate.stored is not None


def test_sweep_when_the_bell_for_a_document_was_lost_then_it_is_rung_again(clock, django_capture_on_commit_callbacks):
    scene = Scene()
    case = scene.accredited()
    assert certificate_of(case).work_state == "QUEUED"
    clock.now += datetime.timedelta(seconds=jobs.RING_AGAIN_AFTER_S + 1)
    with django_capture_on_commit_callbacks(execute=True):
        work(work_sweep)
    assert certificate_of(case).stored is not None


def test_sweep_when_the_worker_died_three_times_then_it_ends_as_our_error_and_staff_may_repeat_it(clock):
    from tests.qc.kit import call

    scene = Scene()
    certificate = certificate_of(scene.accredited())
    for number in range(1, 4):
        assert jobs.claim(certificate) is not None
        assert certificate.attempts == number
        clock.now += datetime.timedelta(seconds=jobs.LOST_AFTER_S + 1)
        work(work_sweep)
        certificate.refresh_from_db()
    assert certificate.work_state == "FAILED"
    assert set(Attempt.objects.values_list("outcome", flat=True)) == {"LOST"}
    call(services.certificate_repeat, actor=scene.technician, certificate_id=certificate.pk)
    work(services.certificate_make, certificate_id=certificate.pk)
    certificate.refresh_from_db()
    assert (certificate.work_state, certificate.attempts) == ("DONE", 4)
    assert timezone.now() > certificate.issued_at
    assert Certificate.objects.count() == 1
