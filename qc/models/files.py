"""What arrived: uploads in progress, and files that are kept."""

from __future__ import annotations

import uuid

from django.db import models
from django.utils import timezone

from corelab.models import Work


class Upload(Work):
    """One resumable upload (tus); its work columns are those of unpacking a zip.

    The name a site gave its file is never kept: only a keyed digest of it, so that a resumed folder sends
    what is missing.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    submission = models.ForeignKey("qc.Submission", on_delete=models.CASCADE, related_name="uploads")
    name_digest = models.CharField(max_length=64)
    length_bytes = models.BigIntegerField()
    offset_bytes = models.BigIntegerField(default=0)
    is_zip = models.BooleanField(default=False)
    is_complete = models.BooleanField(default=False)
    sha256 = models.CharField("SHA-256 of the whole file, once it is here", max_length=64, blank=True)
    refused_code = models.CharField(max_length=40, blank=True)
    refused_detail = models.CharField(max_length=300, blank=True)
    created_by = models.ForeignKey("corelab.User", on_delete=models.PROTECT, related_name="+")
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["submission", "name_digest", "length_bytes"], name="upload_once_per_submission"
            )
        ]

    def __str__(self) -> str:
        return str(self.pk)


class ReceivedFile(models.Model):
    """One file of a submission: its bytes by digest, and the few header facts that the arrival check needs.

    Patient identity is kept only as a keyed digest, so that two people in one submission are seen.
    """

    class Status(models.TextChoices):
        """What became of it."""

        KEPT = "KEPT", "Kept"
        IGNORED = "IGNORED", "Left out"
        REPEATED = "REPEATED", "Came before"
        CONFLICT = "CONFLICT", "Same identity, other content"

    id = models.BigAutoField(primary_key=True)
    submission = models.ForeignKey("qc.Submission", on_delete=models.CASCADE, related_name="files")
    stored = models.ForeignKey("corelab.StoredObject", on_delete=models.PROTECT, related_name="+")
    upload = models.ForeignKey("qc.Upload", on_delete=models.SET_NULL, null=True, related_name="files")
    received_at = models.DateTimeField(default=timezone.now)
    status = models.CharField(max_length=8, choices=Status, default=Status.KEPT)
    reason_code = models.CharField(max_length=40, blank=True)
    reason = models.CharField(max_length=300, blank=True)
    sop_instance_uid = models.CharField(max_length=64, blank=True, db_index=True)
    sop_class_uid = models.CharField(max_length=64, blank=True)
    study_instance_uid = models.CharField(max_length=64, blank=True)
    series_instance_uid = models.CharField(max_length=64, blank=True)
    modality = models.CharField(max_length=16, blank=True)
    series_number = models.IntegerField(null=True)
    instance_number = models.IntegerField(null=True)
    number_of_slices = models.IntegerField(null=True)
    position_mm = models.FloatField("position along the slice normal, mm", null=True)
    is_attenuation_corrected = models.BooleanField(null=True)
    patient_digest = models.CharField(max_length=64, blank=True)
    facts = models.JSONField("other header facts without identity", default=dict)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["submission", "stored"], name="file_once_per_submission")]
        indexes = [models.Index(fields=["submission", "series_instance_uid"])]

    def __str__(self) -> str:
        return f"{self.submission} {self.stored}"
