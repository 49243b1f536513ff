"""What a physicist decided by signature about how a SUV is worked out."""

from __future__ import annotations

from django.db import models
from django.utils import timezone


class SuvChoice(models.Model):
    """One signed decision about a submission's SUV, made while looking at a run; the last one stands.

    ``decision`` is the id of the chosen reference time, ``LBM120`` where the lean mass with the coefficient 120 was
    accepted, and empty where an earlier decision was taken back.
    """

    submission = models.ForeignKey("qc.Submission", on_delete=models.CASCADE, related_name="suv_choices")
    run = models.ForeignKey(
        "qc.Run", verbose_name="run that was looked at", on_delete=models.CASCADE, related_name="suv_choices"
    )
    decision = models.CharField(max_length=8, blank=True)
    reason = models.TextField()
    signature = models.OneToOneField("corelab.Signature", on_delete=models.PROTECT, related_name="suv_choice")
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ["pk"]
        constraints = [models.CheckConstraint(condition=~models.Q(reason=""), name="suv_choice_has_reason")]

    def __str__(self) -> str:
        return f"SUV of {self.submission}: {self.decision or 'taken back'}"

    @property
    def site_id(self) -> int:
        """The site it belongs to, for the audit log."""
        return self.submission.site_id
