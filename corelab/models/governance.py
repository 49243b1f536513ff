"""What a scanner is allowed to do, and from when to when."""

from __future__ import annotations

import datetime

from django.db import models
from django.utils import timezone


class Clearance(models.Model):
    """Days on which a scanner may scan: with a reconstruction and a tracer, under a standard, for a trial or for all.

    Accreditation writes it, a patient scan is judged by the one in force on its own scan day. One that ends early keeps
    its days and says why; what begins again is a new row. So what was true on a day stays true for ever.
    """

    class Ending(models.TextChoices):
        """Why a clearance ended before its last day."""

        SUSPENDED = "SUSPENDED", "Suspended"
        WITHDRAWN = "WITHDRAWN", "Withdrawn"
        REPLACED = "REPLACED", "Replaced"

    scanner = models.ForeignKey("corelab.Scanner", on_delete=models.PROTECT, related_name="clearances")
    reconstruction = models.ForeignKey(
        "corelab.ReconstructionProfile", on_delete=models.PROTECT, related_name="clearances"
    )
    tracer = models.CharField("radionuclide of the tracer", max_length=16)
    standard = models.CharField(max_length=32)
    trial = models.ForeignKey(
        "corelab.Trial", on_delete=models.PROTECT, null=True, blank=True, related_name="clearances"
    )
    certificate_number = models.CharField(max_length=24)
    from_on = models.DateField("first day")
    until_on = models.DateField("last day")
    ended_on = models.DateField("first day on which it held no more", null=True, blank=True)
    ending = models.CharField(max_length=10, choices=Ending, blank=True)
    ended_reason = models.CharField(max_length=300, blank=True)
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        ordering = ["scanner", "from_on"]
        constraints = [
            models.CheckConstraint(
                condition=models.Q(until_on__gte=models.F("from_on")), name="clearance_days_in_order"
            ),
            models.CheckConstraint(
                condition=models.Q(ended_on__isnull=True, ending="")
                | models.Q(ended_on__isnull=False) & ~models.Q(ending=""),
                name="clearance_ending_has_day",
            ),
        ]
        indexes = [models.Index(fields=["scanner", "reconstruction", "from_on"])]

    def __str__(self) -> str:
        return f"{self.certificate_number}: {self.from_on} to {self.last_day}"

    @property
    def last_day(self) -> datetime.date:
        """The last day on which it holds."""
        if self.ended_on is None:
            return self.until_on
        return min(self.until_on, self.ended_on - datetime.timedelta(days=1))

    def holds_on(self, day: datetime.date) -> bool:
        """Say whether the scanner may scan on this day."""
        return self.from_on <= day <= self.last_day

    @property
    def site_id(self) -> int:
        """The site it belongs to, for the audit log."""
        return self.scanner.site_id
