"""Conformance reports of whole trials."""

from __future__ import annotations

import uuid

from django.db import models
from django.utils import timezone

from corelab.models import Work


class TrialReport(Work):
    """One conformance report of a trial as PDF and CSV; the same data find the report that is there."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    trial = models.ForeignKey("corelab.Trial", on_delete=models.PROTECT, related_name="reports")
    data_digest = models.CharField("SHA-256 of what it was made from", max_length=64, blank=True)
    data_as_of = models.DateTimeField("newest change in its data", null=True, blank=True)
    pdf = models.ForeignKey("corelab.StoredObject", on_delete=models.PROTECT, null=True, related_name="+")
    csv = models.ForeignKey(
        "corelab.StoredObject", verbose_name="one row a scan", on_delete=models.PROTECT, null=True, related_name="+"
    )
    deviations_csv = models.ForeignKey(
        "corelab.StoredObject", verbose_name="one row a finding", on_delete=models.PROTECT, null=True, related_name="+"
    )
    requested_by = models.ForeignKey("corelab.User", on_delete=models.PROTECT, related_name="+")
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        ordering = ["-created_at"]

    def __str__(self) -> str:
        return f"{self.trial} conformance report"
