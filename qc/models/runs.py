"""Unchangeable analyses and the documents made from them."""

from __future__ import annotations

import uuid

from django.db import models
from django.utils import timezone

from corelab.models import Work
from corelab.models.work import WorkState
from phantoms.results import Outcome


class Run(Work):
    """One analysis. Its inputs, parameters and versions are its identity; once done it is never edited.

    The same identity *finds* the run. A new version makes a new run and marks the old one superseded.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    number = models.BigIntegerField(unique=True, editable=False)
    submission = models.ForeignKey("qc.Submission", on_delete=models.CASCADE, related_name="runs")
    method = models.CharField(max_length=16)
    method_version = models.PositiveSmallIntegerField()
    input_digest = models.CharField("SHA-256 over the digests of the input files", max_length=71)
    parameters = models.JSONField(default=dict)
    parameters_digest = models.CharField(max_length=64)
    program = models.JSONField("version, commit, libraries", default=dict)
    program_digest = models.CharField(max_length=64)
    superseded_by = models.ForeignKey(
        "self", on_delete=models.PROTECT, null=True, blank=True, related_name="supersedes"
    )
    created_at = models.DateTimeField(default=timezone.now)
    result = models.JSONField("the offline contract's object", default=dict)
    result_digest = models.CharField("SHA-256 of the canonical result", max_length=64, blank=True)
    verdict = models.CharField(max_length=16, blank=True, choices=[(o.value, o.value) for o in Outcome])
    headline = models.CharField(max_length=300, blank=True)

    class Meta:
        ordering = ["-number"]
        constraints = [
            models.UniqueConstraint(
                fields=[
                    "submission",
                    "method",
                    "method_version",
                    "input_digest",
                    "parameters_digest",
                    "program_digest",
                ],
                name="run_once_per_identity",
            )
        ]

    def __str__(self) -> str:
        return self.short_number

    @property
    def short_number(self) -> str:
        """The number people use."""
        return f"R-{self.number}"

    @property
    def site_id(self) -> int:
        """The site it belongs to, for the audit log."""
        return self.submission.site_id


class Figure(models.Model):
    """One picture of a run, as SVG, with its words."""

    run = models.ForeignKey(Run, on_delete=models.CASCADE, related_name="figures")
    name = models.CharField(max_length=40)
    alt = models.TextField()
    caption = models.TextField()
    stored = models.ForeignKey("corelab.StoredObject", on_delete=models.PROTECT, related_name="+")

    class Meta:
        constraints = [models.UniqueConstraint(fields=["run", "name"], name="figure_name_once_per_run")]

    def __str__(self) -> str:
        return f"{self.run} {self.name}"


class Report(Work):
    """One PDF of a run: unsigned, or the one that carries a review's signature."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    run = models.ForeignKey(Run, on_delete=models.CASCADE, related_name="reports")
    review = models.OneToOneField("qc.Review", on_delete=models.CASCADE, null=True, blank=True, related_name="report")
    stored = models.ForeignKey("corelab.StoredObject", on_delete=models.PROTECT, null=True, related_name="+")
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["run"], condition=models.Q(review__isnull=True), name="report_unsigned_once_per_run"
            )
        ]

    def __str__(self) -> str:
        return f"{self.run} report"

    @property
    def is_failed(self) -> bool:
        """Whether it ended as our error: nobody makes it until a person asks for it again."""
        return self.stored_id is None and self.work_state == WorkState.FAILED

    @property
    def site_id(self) -> int:
        """The site it belongs to, for the audit log."""
        return self.run.submission.site_id
