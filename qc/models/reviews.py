"""What a physicist saw, said and signed."""

from __future__ import annotations

import uuid

from django.db import models
from django.utils import timezone

from phantoms.results import Outcome


class ChecklistAnswer(models.Model):
    """One answer of the visual checklist, with the person and the time; a changed mind is a later row."""

    run = models.ForeignKey("qc.Run", on_delete=models.CASCADE, related_name="checklist_answers")
    item = models.CharField(max_length=40)
    is_seen = models.BooleanField("the artefact is seen")
    note = models.CharField(max_length=300, blank=True)
    answered_by = models.ForeignKey("corelab.User", on_delete=models.PROTECT, related_name="+")
    answered_at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ["answered_at"]

    def __str__(self) -> str:
        return f"{self.item}: {'seen' if self.is_seen else 'not seen'}"


class Review(models.Model):
    """A named physicist's signed judgement of a run; never edited."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    run = models.OneToOneField("qc.Run", on_delete=models.PROTECT, related_name="review")
    proposed_verdict = models.CharField(max_length=16)
    verdict = models.CharField(max_length=16, choices=[(o.value, o.value) for o in Outcome])
    difference_reason = models.TextField("why the verdict differs from the proposed one", blank=True)
    comment_to_site = models.TextField(blank=True)
    signature = models.OneToOneField("corelab.Signature", on_delete=models.PROTECT, related_name="review")
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=models.Q(verdict=models.F("proposed_verdict")) | ~models.Q(difference_reason=""),
                name="review_difference_has_reason",
            )
        ]

    def __str__(self) -> str:
        return f"Review of {self.run}"

    @property
    def site_id(self) -> int:
        """The site it belongs to, for the audit log."""
        return self.run.submission.site_id
