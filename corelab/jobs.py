"""The house door to Celery: a task is a doorbell, the row says what is due.

Late acknowledgement means *at least once*. So a task claims its row by compare-and-swap (`claim`), beats while it
works (`at_work`), and writes its outcome only while the claim is still its own (`finish`, `give_up`). A row that
stands still, because the broker lost the message or the worker died, is found by `sweep`.

A job lies on one of four queues, so that what is short never waits behind what is long:

========== ========================================================================================================
short      ends within seconds, and a person or all other work waits for it: the sweep, arrival checks. It has a
           worker of its own. Nothing goes here that reads pixels, typesets, or grows with what a site sends at once.
intake     bytes that arrive or go: unpacking, deleting. May take many minutes.
analysis   numbers from pixels. Seconds to minutes.
reports    documents from numbers. Seconds.
========== ========================================================================================================
"""

from __future__ import annotations

import importlib
import logging
import os
import socket
import threading
import traceback
from collections.abc import Callable, Container, Iterator
from contextlib import contextmanager
from datetime import timedelta
from functools import wraps
from typing import Any

from celery import current_task, shared_task  # noqa: TID251 (this is the house decorator)
from django.db import connection, models, transaction
from django.db.models import F
from django.utils import timezone
from kombu.exceptions import OperationalError

from corelab import audit
from corelab.errors import DomainError, StaleState, Transient
from corelab.models.work import Attempt, Work, WorkState

logger = logging.getLogger(__name__)

HEARTBEAT_S = 4
#: No heartbeat for this long means that the worker died.
LOST_AFTER_S = 16
#: A queued row that nobody took for this long is announced again.
RING_AGAIN_AFTER_S = 30
#: The third lost or failed try ends in our error: a file that kills workers is not tried for ever.
MAX_ATTEMPTS = 3

_queues: dict[str, str] = {}
_modules: dict[str, tuple[str, ...]] = {}
_kept: dict[type[Work], tuple[str, str, Callable[[Any], None]]] = {}


def job(
    name: str, *, queue: str, time_limit_s: int, modules: tuple[str, ...] = ()
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Make a Celery task of a function: named, on one queue, bounded in time, retried when the world was busy.

    Parameters
    ----------
    name : str
        ``package.verb_thing``, defined in that package's ``tasks``.
    queue : str
        One of the four above.
    time_limit_s : int
        The job is interrupted after this long, and its process killed half a minute later.
    modules : tuple of str
        What the job imports only when it runs: a worker of its queue imports them before it forks.
    """

    def decorate(function: Callable[..., None]) -> Callable[..., None]:
        @wraps(function)
        def ring(self: Any, **kwargs: Any) -> None:
            with audit.acting(name=f"system: job {name}", request_id=str(self.request.id or "")[:8]):
                try:
                    function(**kwargs)
                except Transient as error:
                    raise self.retry(exc=error, countdown=2**self.request.retries, max_retries=5) from error

        _queues[name], _modules[name] = queue, modules
        task: Callable[..., None] = shared_task(
            name=name, bind=True, soft_time_limit=time_limit_s, time_limit=time_limit_s + 30
        )(ring)
        return task

    return decorate


def queue_of(name: str) -> str:
    """Return the queue of a job, by its name: services never import tasks, and the module's import tells."""
    if name not in _queues:
        importlib.import_module(f"{name.split('.')[0]}.tasks")
    return _queues[name]


def preload(queues: Container[str]) -> None:
    """Import what the jobs on these queues need when they run."""
    for name, modules in _modules.items():
        if _queues[name] in queues:
            for module in modules:
                importlib.import_module(module)


def enqueue(name: str, **kwargs: Any) -> None:
    """Ring for a job after the transaction commits; a broker that is away is no error, the sweep rings again."""

    def ring() -> None:
        queue_of(name)
        from corelab.celery import app

        try:
            app.tasks[name].apply_async(kwargs={key: str(value) for key, value in kwargs.items()})
        except OperationalError:
            logger.warning("broker away: %s will be announced by the sweep", name)

    transaction.on_commit(ring)


def worker_name() -> str:
    """Return a name that tells which process holds a row."""
    hostname = getattr(getattr(current_task, "request", None), "hostname", None) or socket.gethostname()
    return f"{hostname}/{os.getpid()}"


def _label(row: Work) -> str:
    return row._meta.label_lower


def queue(row: Work, name: str, *, key: str) -> bool:
    """Make a row due, with its full number of tries, and ring for its job; False when a worker has it now.

    Call it in the transaction that makes the row due. The row's own fields are read again.
    """
    waiting = type(row)._default_manager.filter(pk=row.pk).exclude(work_state=WorkState.RUNNING)
    moved = waiting.update(
        work_state=WorkState.QUEUED,
        attempts_before=F("attempts"),
        queued_at=timezone.now(),
        finished_at=None,
        work_error="",
        progress_done=0,
        progress_total=0,
    )
    row.refresh_from_db()
    if moved:
        enqueue(name, **{key: row.pk})
    return bool(moved)


def claim(row: Work) -> Attempt | None:
    """Take a queued row for this worker; None when another worker has it or nothing is due.

    The row's own fields are read again, so the caller goes on with what the claim wrote.
    """
    now = timezone.now()
    with transaction.atomic():
        taken = (
            type(row)
            ._default_manager.filter(pk=row.pk, work_state=WorkState.QUEUED)
            .update(
                work_state=WorkState.RUNNING,
                attempts=F("attempts") + 1,
                worker=worker_name(),
                claimed_at=now,
                heartbeat_at=now,
                work_error="",
            )
        )
        if not taken:
            return None
        row.refresh_from_db()
        return Attempt.objects.create(
            target_type=_label(row), target_id=str(row.pk), number=row.attempts, worker=row.worker, started_at=now
        )


def _still_mine(row: Work) -> models.QuerySet[Work]:
    queryset: models.QuerySet[Work] = type(row)._default_manager.filter(
        pk=row.pk, work_state=WorkState.RUNNING, attempts=row.attempts
    )
    return queryset


@contextmanager
def at_work(row: Work) -> Iterator[None]:
    """Beat in the row while the block runs, from a thread with its own connection."""
    stop = threading.Event()

    def beat() -> None:
        try:
            while not stop.wait(HEARTBEAT_S):
                _still_mine(row).update(heartbeat_at=timezone.now())
        finally:
            connection.close()

    # A database in memory belongs to one connection; only unit tests have one, and they run nothing long.
    if connection.vendor == "sqlite" and connection.is_in_memory_db():  # type: ignore[attr-defined]
        yield
        return
    thread = threading.Thread(target=beat, name=f"heartbeat-{row.pk}", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def finish(row: Work, attempt: Attempt, **fields: Any) -> None:
    """Write the outcome, if the claim is still this worker's; call it in the transaction of the outcome.

    Raises
    ------
    StaleState
        The sweep gave the row to another worker in the meantime: this outcome is dropped.
    """
    now = timezone.now()
    if not _still_mine(row).update(work_state=WorkState.DONE, finished_at=now, heartbeat_at=now, **fields):
        raise StaleState(f"{row} was given to another worker")
    row.refresh_from_db()
    Attempt.objects.filter(pk=attempt.pk).update(ended_at=now, outcome=Attempt.Outcome.COMPLETED)


def give_up(row: Work, attempt: Attempt, error: BaseException) -> bool:
    """Record a failed try; True when it was the last one and the row ends as our error."""
    reference = attempt.pk.hex[:6].upper()
    summary = "".join(traceback.format_exception_only(error)).strip()
    logger.error("%s %s try %s failed, reference %s", _label(row), row.pk, row.attempts, reference, exc_info=error)
    return _release(row, attempt, Attempt.Outcome.FAILED, summary[:300], reference)


def _release(row: Work, attempt: Attempt, outcome: str, detail: str, reference: str) -> bool:
    last = bool(row.attempts - row.attempts_before >= MAX_ATTEMPTS)
    now = timezone.now()
    with transaction.atomic():
        moved = _still_mine(row).update(
            work_state=WorkState.FAILED if last else WorkState.QUEUED,
            queued_at=now,
            finished_at=now if last else None,
            work_error=reference,
        )
        if not moved:
            return False
        Attempt.objects.filter(pk=attempt.pk).update(ended_at=now, outcome=outcome, detail=detail)
    row.refresh_from_db()
    return last


def sweep(model: type[Work], job_name: str, key: str, on_last: Callable[[Any], None]) -> int:
    """Find rows of this model that stand still: give lost ones back, ring again for forgotten ones.

    Parameters
    ----------
    model : type of Work
    job_name, key : str
        The job that works on such rows, and the name of its keyword for the row's id.
    on_last : callable
        Called with a row that was lost for the last time, in a transaction.

    Returns
    -------
    int
        How many rows were moved or announced.
    """
    now, moved = timezone.now(), 0
    silent = model._default_manager.filter(
        work_state=WorkState.RUNNING, heartbeat_at__lt=now - timedelta(seconds=LOST_AFTER_S)
    )
    for row in silent:
        with _alone(row), transaction.atomic():
            _give_back(row, job_name, key, on_last)
            moved += 1
    forgotten = model._default_manager.filter(
        work_state=WorkState.QUEUED, queued_at__lt=now - timedelta(seconds=RING_AGAIN_AFTER_S)
    )
    for row in forgotten:
        with _alone(row), transaction.atomic():
            if model._default_manager.filter(pk=row.pk, work_state=WorkState.QUEUED).update(queued_at=now):
                enqueue(job_name, **{key: row.pk})
            moved += 1
    return moved


def _give_back(row: Work, job_name: str, key: str, on_last: Callable[[Any], None]) -> None:
    attempt = Attempt.objects.get(target_type=_label(row), target_id=str(row.pk), number=row.attempts)
    detail = f"no heartbeat since {row.heartbeat_at:%H:%M:%S} UTC"
    if _release(row, attempt, Attempt.Outcome.LOST, detail, attempt.pk.hex[:6].upper()):
        on_last(row)
    elif row.work_state == WorkState.QUEUED:
        enqueue(job_name, **{key: row.pk})


def keep_swept(model: type[Work], job_name: str, key: str, on_last: Callable[[Any], None]) -> None:
    """Let `sweep_kept` sweep a model too; a package calls it in its ``ready()``, with what `sweep` takes."""
    _kept[model] = (job_name, key, on_last)


def sweep_kept() -> int:
    """Sweep the models that packages above have named; return how many rows were moved or announced."""
    return sum(sweep(model, *how) for model, how in _kept.items())


@contextmanager
def _alone(row: Work) -> Iterator[None]:
    """Log what breaks at one row of a sweep: it must not keep the rows behind it from their turn."""
    try:
        yield
    except Exception:
        logger.exception("%s %s could not be swept, the next sweep tries again", _label(row), row.pk)


def is_refusal(error: BaseException) -> bool:
    """Say whether an error is an answer to the input and not a fault of ours."""
    return isinstance(error, DomainError) and not isinstance(error, Transient)
