"""Rows that a worker takes up: the row says what is due, the broker only rings the bell."""

from __future__ import annotations

import uuid

from django.db import models


class WorkState(models.TextChoices):
    """Where a piece of work stands."""

    QUEUED = "QUEUED", "Waiting"
    RUNNING = "RUNNING", "Running"
    DONE = "DONE", "Done"
    FAILED = "FAILED", "Our error"


class Work(models.Model):
    """What a row needs to be claimed once, watched while it runs and swept when it stands still."""

    work_state = models.CharField(max_length=8, choices=WorkState, default=WorkState.QUEUED, db_index=True)
    attempts = models.PositiveSmallIntegerField(default=0)
    attempts_before = models.PositiveSmallIntegerField("tries made before it was last queued", default=0)
    worker = models.CharField(max_length=120, blank=True)
    queued_at = models.DateTimeField(null=True)
    claimed_at = models.DateTimeField(null=True)
    heartbeat_at = models.DateTimeField(null=True)
    finished_at = models.DateTimeField(null=True)
    progress_done = models.PositiveIntegerField(default=0)
    progress_total = models.PositiveIntegerField(default=0)
    work_error = models.CharField("reference of our error", max_length=300, blank=True)

    class Meta:
        abstract = True


class Attempt(models.Model):
    """One worker's try at one row: completed, lost (the worker died) or failed."""

    class Outcome(models.TextChoices):
        """How a try ended."""

        RUNNING = "RUNNING", "Running"
        COMPLETED = "COMPLETED", "Completed"
        LOST = "LOST", "Lost"
        FAILED = "FAILED", "Failed"

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    target_type = models.CharField(max_length=64)
    target_id = models.CharField(max_length=64)
    number = models.PositiveSmallIntegerField()
    worker = models.CharField(max_length=120)
    started_at = models.DateTimeField()
    ended_at = models.DateTimeField(null=True)
    outcome = models.CharField(max_length=10, choices=Outcome, default=Outcome.RUNNING)
    detail = models.CharField(max_length=300, blank=True)

    class Meta:
        ordering = ["started_at"]
        constraints = [
            models.UniqueConstraint(fields=["target_type", "target_id", "number"], name="attempt_number_once_per_row")
        ]


class Counter(models.Model):
    """The next short number of a series: submissions S, runs R, queries Q, cases C, a year's certificates PET-2026."""

    prefix = models.CharField(max_length=16, primary_key=True)
    value = models.BigIntegerField(default=1000)
