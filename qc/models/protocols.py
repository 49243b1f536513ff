"""What a trial asks of its scans."""

from __future__ import annotations

from django.db import models
from django.utils import timezone


class ProtocolVersion(models.Model):
    """One version of a trial's protocol: its limits as one JSON document, frozen once it is published or used.

    The version in force on a scan's day is the published one with the latest ``effective_on`` not after it.
    """

    trial = models.ForeignKey("corelab.Trial", on_delete=models.PROTECT, related_name="protocols")
    version = models.PositiveSmallIntegerField()
    document = models.JSONField()
    digest = models.CharField("SHA-256 of the canonical document", max_length=64)
    effective_on = models.DateField("in force from", null=True, blank=True)
    published_at = models.DateTimeField(null=True, blank=True)
    made_by = models.ForeignKey("corelab.User", on_delete=models.PROTECT, related_name="+")
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    changed_at = models.DateTimeField(auto_now=True)

    class Meta:
        ordering = ["trial", "-version"]
        constraints = [
            models.UniqueConstraint(fields=["trial", "version"], name="protocol_version_once_per_trial"),
            models.CheckConstraint(
                condition=models.Q(published_at__isnull=True) | models.Q(effective_on__isnull=False),
                name="protocol_published_has_day",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.trial} protocol {self.version}"
