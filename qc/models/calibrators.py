"""What a dose calibrator is checked with, and what it read."""

from __future__ import annotations

from django.db import models
from django.utils import timezone


class ReferenceSource(models.Model):
    """A long-lived source with its certificate; a new certificate is a new source."""

    calibrator = models.ForeignKey("corelab.DoseCalibrator", on_delete=models.PROTECT, related_name="sources")
    nuclide = models.CharField(max_length=16)
    activity_mbq = models.FloatField()
    certified_on = models.DateField()
    uncertainty_pct = models.FloatField(null=True, blank=True)
    added_at = models.DateTimeField(default=timezone.now, editable=False)
    added_by = models.ForeignKey("corelab.User", on_delete=models.PROTECT, related_name="+")

    class Meta:
        ordering = ["-added_at", "-pk"]

    def __str__(self) -> str:
        return f"{self.nuclide} of {self.certified_on:%d %b %Y}"

    @property
    def site_id(self) -> int:
        """The site it belongs to, for the audit log."""
        return self.calibrator.site_id


class CalibratorReading(models.Model):
    """One reading of a reference source; it is never changed, only withdrawn with a reason."""

    source = models.ForeignKey(ReferenceSource, on_delete=models.PROTECT, related_name="readings")
    read_at = models.DateTimeField()
    activity_mbq = models.FloatField()
    background_mbq = models.FloatField(default=0.0)
    clock_offset_s = models.FloatField(null=True, blank=True)
    is_baseline = models.BooleanField(default=False)
    entered_at = models.DateTimeField(default=timezone.now, editable=False)
    entered_by = models.ForeignKey("corelab.User", on_delete=models.PROTECT, related_name="+")
    withdrawn_at = models.DateTimeField(null=True, blank=True)
    withdrawn_by = models.ForeignKey("corelab.User", on_delete=models.PROTECT, null=True, blank=True, related_name="+")
    withdrawn_reason = models.CharField(max_length=300, blank=True)

    class Meta:
        ordering = ["-read_at", "-pk"]
        constraints = [
            models.UniqueConstraint(
                fields=["source"],
                condition=models.Q(is_baseline=True, withdrawn_at__isnull=True),
                name="reading_one_baseline_per_source",
            )
        ]

    def __str__(self) -> str:
        return f"{self.source} read at {self.read_at:%d %b %Y %H:%M}"

    @property
    def site_id(self) -> int:
        """The site it belongs to, for the audit log."""
        return self.source.site_id
