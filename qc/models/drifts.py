"""Where scans, or a change of its entry, say something else about a scanner than the register did."""

from __future__ import annotations

from django.db import models
from django.utils import timezone


class Drift(models.Model):
    """One attribute of a scanner that is not as the register said: a task until somebody decides.

    A scan showed it, or an administrator entered it.
    """

    class Attribute(models.TextChoices):
        """What differs."""

        SOFTWARE = "software", "Software version"
        SERIAL = "serial", "Serial number"
        MODEL = "model", "Model"
        RECONSTRUCTION = "reconstruction", "Reconstruction"

    class State(models.TextChoices):
        """Where the task stands."""

        OPEN = "OPEN", "Open"
        DECLARED = "DECLARED", "Declared: the register follows"
        EXPLAINED = "EXPLAINED", "Explained: the register stays"

    scanner = models.ForeignKey("corelab.Scanner", on_delete=models.PROTECT, related_name="drifts")
    reconstruction = models.ForeignKey(
        "corelab.ReconstructionProfile", on_delete=models.PROTECT, null=True, blank=True, related_name="drifts"
    )
    attribute = models.CharField(max_length=16, choices=Attribute)
    registered = models.CharField(max_length=200, blank=True)
    seen = models.CharField(max_length=200)
    submission = models.ForeignKey(
        "qc.Submission",
        on_delete=models.PROTECT,
        null=True,
        blank=True,
        related_name="drifts",
        verbose_name="the scan that shows it; none where the register's entry was changed",
    )
    state = models.CharField(max_length=10, choices=State, default=State.OPEN, db_index=True)
    opened_at = models.DateTimeField(default=timezone.now)
    closed_at = models.DateTimeField(null=True, blank=True)
    closed_by = models.ForeignKey("corelab.User", on_delete=models.PROTECT, null=True, blank=True, related_name="+")
    reason = models.CharField(max_length=300, blank=True)

    class Meta:
        ordering = ["-opened_at"]
        constraints = [
            models.UniqueConstraint(
                fields=["scanner", "attribute", "seen"],
                condition=models.Q(state="OPEN"),
                name="drift_open_once_per_value",
            )
        ]

    def __str__(self) -> str:
        return f"{self.scanner} {self.attribute}: {self.registered} → {self.seen}"

    @property
    def site_id(self) -> int:
        """The site it belongs to, for the audit log."""
        return self.scanner.site_id
