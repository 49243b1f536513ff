"""Electronic signatures: name, role, meaning, time and the digest of what was signed."""

from __future__ import annotations

import uuid

from django.db import models


class Meaning(models.TextChoices):
    """What a signature says."""

    REVIEW = "review", "Review"
    APPROVAL = "approval", "Approval"
    OVERRIDE = "override", "Override"


class Signature(models.Model):
    """One person's signature; never edited. Name and role stand as they were at that moment."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    user = models.ForeignKey("corelab.User", on_delete=models.PROTECT, related_name="signatures")
    printed_name = models.CharField(max_length=120)
    role = models.CharField(max_length=64)
    meaning = models.CharField(max_length=16, choices=Meaning)
    statement = models.TextField()
    method = models.CharField("how the person proved who they are", max_length=16)
    signed_at = models.DateTimeField()
    digest = models.CharField("SHA-256 of what was signed", max_length=64)
    object_type = models.CharField(max_length=64)
    object_id = models.CharField(max_length=64)

    class Meta:
        ordering = ["signed_at"]
        indexes = [models.Index(fields=["object_type", "object_id"])]

    def __str__(self) -> str:
        return f"{self.printed_name}, {self.role}: {self.meaning}"
