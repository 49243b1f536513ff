"""What a site sends for one purpose: the sheet and its scans."""

from __future__ import annotations

import uuid

from django.db import models
from django.utils import timezone

from corelab.models import Work
from phantoms.results import Outcome
from qc.states import SubmissionState


class Kind(models.TextChoices):
    """What was scanned."""

    CYLINDER = "cylinder", "Uniform cylinder"
    NEMA_IQ = "nema_iq", "NEMA IQ phantom"
    ACR = "acr", "ACR PET phantom"
    PATIENT = "patient", "Patient scan for a trial"


class Submission(Work):
    """One submission; its work columns are those of the arrival check in the intake queue.

    ``proposed_verdict`` is the software's, ``verdict`` the physicist's: two fields, never mixed.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    number = models.BigIntegerField(unique=True, editable=False)
    site = models.ForeignKey("corelab.Site", on_delete=models.PROTECT, related_name="submissions")
    scanner = models.ForeignKey("corelab.Scanner", on_delete=models.PROTECT, related_name="submissions")
    reconstruction = models.ForeignKey(
        "corelab.ReconstructionProfile", on_delete=models.PROTECT, null=True, blank=True, related_name="submissions"
    )
    trial = models.ForeignKey(
        "corelab.Trial", on_delete=models.PROTECT, null=True, blank=True, related_name="submissions"
    )
    calibrator = models.ForeignKey(
        "corelab.DoseCalibrator", on_delete=models.PROTECT, null=True, blank=True, related_name="submissions"
    )
    subject_code = models.CharField(max_length=32, blank=True)
    visit = models.CharField(max_length=64, blank=True)
    kind = models.CharField(max_length=16, choices=Kind)
    standard = models.CharField(max_length=32, default="earl1_18f")
    is_dry_run = models.BooleanField(default=False)
    state = models.CharField(max_length=16, default=SubmissionState.DRAFT, db_index=True)
    sheet = models.JSONField(default=dict, blank=True)
    chosen_series = models.CharField("series to measure, where several qualify", max_length=64, blank=True)
    comment = models.TextField(blank=True)
    check_findings = models.JSONField(default=list, blank=True)
    hold_code = models.CharField("why it is held", max_length=40, blank=True)
    hold_reason = models.CharField(max_length=300, blank=True)
    replaces = models.OneToOneField("self", on_delete=models.PROTECT, null=True, blank=True, related_name="replaced_by")
    answers = models.ForeignKey(
        "qc.Query", on_delete=models.PROTECT, null=True, blank=True, related_name="resubmissions"
    )
    current_run = models.ForeignKey("qc.Run", on_delete=models.PROTECT, null=True, blank=True, related_name="+")
    proposed_verdict = models.CharField(max_length=16, blank=True, choices=[(o.value, o.value) for o in Outcome])
    headline = models.CharField("the verdict in one sentence", max_length=300, blank=True)
    raised = models.JSONField("worst outcome by rule that the current run raised", default=dict, blank=True)
    uptake_min = models.FloatField("injection to scan by the current run, minutes", null=True, blank=True)
    verdict = models.CharField(max_length=16, blank=True, choices=[(o.value, o.value) for o in Outcome])
    reviewer = models.ForeignKey("corelab.User", on_delete=models.PROTECT, null=True, blank=True, related_name="+")
    created_by = models.ForeignKey("corelab.User", on_delete=models.PROTECT, related_name="+")
    sent_by = models.ForeignKey("corelab.User", on_delete=models.PROTECT, null=True, blank=True, related_name="+")
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    changed_at = models.DateTimeField(auto_now=True)
    scanned_at = models.DateTimeField(null=True, blank=True)
    sent_at = models.DateTimeField(null=True, blank=True, db_index=True)
    due_on = models.DateField(null=True, blank=True, db_index=True)
    released_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-number"]
        constraints = [
            models.CheckConstraint(
                condition=models.Q(state__in=[state.value for state in SubmissionState]), name="submission_state_known"
            ),
            models.CheckConstraint(
                condition=~models.Q(kind=Kind.PATIENT) | models.Q(trial__isnull=False),
                name="submission_patient_has_trial",
            ),
        ]
        indexes = [models.Index(fields=["state", "due_on"]), models.Index(fields=["site", "-number"])]

    def __str__(self) -> str:
        return self.short_number

    @property
    def short_number(self) -> str:
        """The number people use."""
        return f"S-{self.number}"
