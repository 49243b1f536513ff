"""Work is a row: claimed once, given back when its worker dies, ended after the third loss."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone
from kombu.exceptions import OperationalError

from corelab import jobs
from corelab.errors import StaleState
from corelab.models import Attempt
from corelab.models.work import WorkState
from qc.models import Upload

pytestmark = pytest.mark.django_db


@pytest.fixture
def row(make_submission, make_user):
    return Upload.objects.create(
        submission=make_submission(),
        created_by=make_user(),
        name_digest="0" * 64,
        length_bytes=1,
        queued_at=timezone.now(),
    )


@pytest.fixture
def rung(monkeypatch):
    calls = []
    monkeypatch.setattr(jobs, "enqueue", lambda name, **kwargs: calls.append((name, kwargs)))
    return calls


def silence(row):
    """Make the row look as if its worker died."""
    long_ago = timezone.now() - timedelta(seconds=jobs.LOST_AFTER_S + 1)
    type(row).objects.filter(pk=row.pk).update(heartbeat_at=long_ago)


def sweep(lost=lambda row: None):
    return jobs.sweep(Upload, "qc.unpack_upload", "upload_id", lost)


def test_claim_when_two_workers_want_a_row_then_one_has_it(row):
    other = Upload.objects.get(pk=row.pk)
    assert jobs.claim(row) is not None
    assert jobs.claim(other) is None
    assert Attempt.objects.count() == 1


def test_sweep_when_the_heart_beats_then_the_row_is_left_alone(row, rung):
    jobs.claim(row)
    assert sweep() == 0
    assert rung == []


def test_sweep_when_the_worker_died_then_the_try_is_lost_and_another_worker_finishes(row, rung):
    jobs.claim(row)
    silence(row)
    assert sweep() == 1
    assert rung == [("qc.unpack_upload", {"upload_id": row.pk})]
    second = jobs.claim(row)
    jobs.finish(row, second)
    assert [attempt.outcome for attempt in Attempt.objects.all()] == ["LOST", "COMPLETED"]
    assert row.work_state == WorkState.DONE


def test_finish_when_the_row_was_given_to_another_then_the_late_outcome_is_dropped(row, rung):
    late = Upload.objects.get(pk=row.pk)
    late_attempt = jobs.claim(late)
    silence(late)
    sweep()
    row.refresh_from_db()
    jobs.claim(row)
    with pytest.raises(StaleState):
        jobs.finish(late, late_attempt, refused_code="LATE")
    row.refresh_from_db()
    assert row.refused_code == ""


def test_sweep_when_the_third_worker_died_then_the_row_ends_as_our_error(row, rung):
    ended = []
    for _ in range(jobs.MAX_ATTEMPTS):
        assert jobs.claim(row)
        silence(row)
        sweep(ended.append)
        row.refresh_from_db()
    assert row.work_state == WorkState.FAILED
    assert ended == [row]
    assert len(rung) == jobs.MAX_ATTEMPTS - 1
    assert jobs.claim(row) is None


def test_sweep_when_one_row_breaks_then_the_rows_behind_it_have_their_turn(row, rung, make_user, caplog):
    def lost_for_the_last_time(one):
        jobs.claim(one)
        silence(one)
        Upload.objects.filter(pk=one.pk).update(attempts=jobs.MAX_ATTEMPTS)
        Attempt.objects.filter(target_id=str(one.pk)).update(number=jobs.MAX_ATTEMPTS)

    other = Upload.objects.create(
        submission=row.submission,
        created_by=make_user(),
        name_digest="1" * 64,
        length_bytes=1,
        queued_at=timezone.now(),
    )
    for one in (row, other):
        lost_for_the_last_time(one)
    ended = []

    def on_last(one):
        if not ended and one.pk == first.pk:
            raise RuntimeError
        ended.append(one.pk)

    first = next(iter(Upload.objects.filter(work_state=WorkState.RUNNING)))
    assert sweep(on_last) == 1
    assert ended == [({row.pk, other.pk} - {first.pk}).pop()]
    assert str(first.pk) in caplog.text
    first.refresh_from_db()
    assert first.work_state == WorkState.RUNNING, "so that the next sweep finds it"


def test_give_up_when_a_try_fails_then_it_is_queued_again_until_the_third(row):
    for number in range(1, jobs.MAX_ATTEMPTS + 1):
        attempt = jobs.claim(row)
        assert jobs.give_up(row, attempt, ZeroDivisionError("x")) is (number == jobs.MAX_ATTEMPTS)
    assert row.work_state == WorkState.FAILED
    assert row.work_error
    assert {attempt.outcome for attempt in Attempt.objects.all()} == {"FAILED"}


def test_sweep_when_a_queued_row_was_forgotten_then_it_is_announced_again(row, rung):
    Upload.objects.update(queued_at=timezone.now() - timedelta(seconds=jobs.RING_AGAIN_AFTER_S + 1))
    assert sweep() == 1
    assert sweep() == 0, "not at every turn"
    assert rung == [("qc.unpack_upload", {"upload_id": row.pk})]


def test_enqueue_when_the_broker_is_away_then_the_commit_stands(
    row, monkeypatch, django_capture_on_commit_callbacks, caplog
):
    from celery.app.task import Task

    def away(*args, **kwargs):
        raise OperationalError

    monkeypatch.setattr(Task, "apply_async", away)
    with django_capture_on_commit_callbacks(execute=True):
        jobs.enqueue("qc.unpack_upload", upload_id=row.pk)
    assert "broker away" in caplog.text
