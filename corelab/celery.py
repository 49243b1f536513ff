"""The Celery application: JSON only, late acknowledgement, four queues, a beat that sweeps."""

import os
from typing import Any

from celery import Celery
from celery.signals import worker_init
from kombu import Exchange, Queue

from corelab.threads import ONE_THREAD

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "corelab.settings.local")
# Children with two threads each would fight over two cores, and what is forked beside a running thread may wait for its
# locks for ever.
os.environ.update(ONE_THREAD)
#: `corelab.jobs` says what belongs on which.
QUEUES = ("short", "intake", "analysis", "reports")


def queue_of_job(name: str, *_: Any, **__: Any) -> dict[str, str]:
    """Send each job to the queue that its decorator names."""
    from corelab.jobs import queue_of

    return {"queue": queue_of(name)}


app = Celery("corelab")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.conf.update(
    task_serializer="json",
    accept_content=["json"],
    task_ignore_result=True,
    task_acks_late=True,
    task_reject_on_worker_lost=True,
    worker_prefetch_multiplier=1,
    worker_max_memory_per_child=1_500_000,  # kB: a child that grew is replaced after its task
    worker_hijack_root_logger=False,
    task_create_missing_queues=False,
    task_default_queue="intake",
    # A queue without a key of its own takes the default one, and then each message lands in all of them.
    task_queues=[Queue(name, Exchange("work"), routing_key=name) for name in QUEUES],
    task_routes=(queue_of_job,),
    broker_transport_options={"visibility_timeout": 3600},
    broker_connection_retry_on_startup=True,
    task_publish_retry_policy={"max_retries": 1, "interval_start": 0.1, "interval_max": 0.2},
    timezone="UTC",
    beat_schedule={
        "sweep-work": {"task": "qc.sweep_work", "schedule": 5.0, "options": {"expires": 5.0}},
        "reconcile-cases": {"task": "accreditation.reconcile_cases", "schedule": 60.0, "options": {"expires": 60.0}},
        "advance-calendar": {
            "task": "accreditation.advance_calendar",
            "schedule": 3600.0,
            "options": {"expires": 3600.0},
        },
        "delete-old-dry-runs": {"task": "qc.delete_old_dry_runs", "schedule": 3600.0},
        "delete-stale-uploads": {"task": "qc.delete_stale_uploads", "schedule": 3600.0},
        "set-unnamed-bytes-aside": {"task": "qc.set_unnamed_bytes_aside", "schedule": 86400.0},
    },
)
app.autodiscover_tasks()


@worker_init.connect
def import_before_the_fork(sender: Any, **_: Any) -> None:
    """Import once, in the parent, what the jobs of this worker's queues need: each child has it from its first job."""
    from corelab.jobs import preload

    preload(sender.app.amqp.queues.consume_from)
