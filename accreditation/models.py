"""Cases, what speaks for them, what was decided, and certificates."""

from __future__ import annotations

import uuid

from django.db import models
from django.utils import timezone

from accreditation.workflow import CLOSED, CaseState
from corelab.models import Work

_IS_OPEN = ~models.Q(state__in=sorted(CLOSED))


class Case(models.Model):
    """One application for one scope: site × scanner × tracer × reconstruction × standard × trial, or general.

    The site is the scanner's. ``trial`` is empty for the general scope.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    number = models.BigIntegerField(unique=True, editable=False)
    scanner = models.ForeignKey("corelab.Scanner", on_delete=models.PROTECT, related_name="cases")
    reconstruction = models.ForeignKey("corelab.ReconstructionProfile", on_delete=models.PROTECT, related_name="cases")
    tracer = models.CharField("radionuclide of the tracer", max_length=16, default="F-18")
    standard = models.CharField(max_length=32, default="earl1_18f")
    trial = models.ForeignKey("corelab.Trial", on_delete=models.PROTECT, null=True, blank=True, related_name="cases")
    programme = models.CharField("programme, with its version", max_length=32)
    state = models.CharField(max_length=32, default=CaseState.DRAFT, db_index=True)
    attempt = models.PositiveSmallIntegerField("which attempt this is", default=1)
    approver = models.ForeignKey(
        "corelab.User", on_delete=models.PROTECT, null=True, blank=True, related_name="+", verbose_name="who decides"
    )
    deadline_on = models.DateField("corrective action by", null=True, blank=True)
    action_text = models.TextField("what the site is asked to do", blank=True)
    valid_from = models.DateField(null=True, blank=True)
    valid_until = models.DateField(null=True, blank=True)
    applied_at = models.DateTimeField(null=True, blank=True)
    created_by = models.ForeignKey("corelab.User", on_delete=models.PROTECT, related_name="+")
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    changed_at = models.DateTimeField(auto_now=True)

    class Meta:
        ordering = ["-number"]
        constraints = [
            models.CheckConstraint(
                condition=models.Q(state__in=[state.value for state in CaseState]), name="case_state_known"
            ),
            # Two constraints, because a database takes two NULLs for different trials.
            models.UniqueConstraint(
                fields=["scanner", "reconstruction", "tracer", "standard", "trial"],
                condition=_IS_OPEN & models.Q(trial__isnull=False),
                name="case_open_once_per_scope",
            ),
            models.UniqueConstraint(
                fields=["scanner", "reconstruction", "tracer", "standard"],
                condition=_IS_OPEN & models.Q(trial__isnull=True),
                name="case_open_once_per_general_scope",
            ),
        ]
        indexes = [models.Index(fields=["state", "valid_until"]), models.Index(fields=["state", "deadline_on"])]

    def __str__(self) -> str:
        return self.short_number

    @property
    def short_number(self) -> str:
        """The number people use."""
        return f"C-{self.number}"

    @property
    def site_id(self) -> int:
        """The site it belongs to, for the audit log."""
        return self.scanner.site_id


class Evidence(models.Model):
    """One signed run that speaks for, or against, a requirement of a case; the same run counts once."""

    case = models.ForeignKey(Case, on_delete=models.PROTECT, related_name="evidence")
    requirement = models.CharField("id in the programme", max_length=40)
    run = models.ForeignKey("qc.Run", on_delete=models.PROTECT, related_name="evidence")
    verdict = models.CharField("the physicist's", max_length=16)
    scanned_on = models.DateField("scan day on the site's calendar")
    attempt = models.PositiveSmallIntegerField(default=1)
    added_at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ["-scanned_on", "-added_at"]
        constraints = [
            models.UniqueConstraint(fields=["case", "requirement", "run"], name="evidence_once_per_requirement")
        ]

    def __str__(self) -> str:
        return f"{self.case} {self.requirement}: {self.run} {self.verdict}"


class Decision(models.Model):
    """One signed judgement of a person about a case; never edited."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    case = models.ForeignKey(Case, on_delete=models.PROTECT, related_name="decisions")
    event = models.CharField("the move it made", max_length=32)
    reason = models.TextField(blank=True)
    conditions = models.TextField(blank=True)
    content = models.JSONField("exactly what was signed", default=dict)
    signature = models.OneToOneField("corelab.Signature", on_delete=models.PROTECT, related_name="decision")
    decided_at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ["decided_at"]

    def __str__(self) -> str:
        return f"{self.case} {self.event}"


class Certificate(Work):
    """The signed document for one scope; its work columns are those of the job that typesets it.

    Whether it is valid today is derived from its days, its own withdrawal and its case's state, never stored.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    number = models.CharField(max_length=24, unique=True)
    case = models.ForeignKey(Case, on_delete=models.PROTECT, related_name="certificates")
    decision = models.OneToOneField(Decision, on_delete=models.PROTECT, related_name="certificate")
    scope = models.JSONField("the scope in words as it was signed", default=dict)
    conditions = models.TextField(blank=True)
    valid_from = models.DateField()
    valid_until = models.DateField()
    issued_at = models.DateTimeField(default=timezone.now)
    suspended_on = models.DateField(null=True, blank=True)
    withdrawn_on = models.DateField(null=True, blank=True)
    replaced_by = models.OneToOneField("self", on_delete=models.PROTECT, null=True, blank=True, related_name="replaces")
    stored = models.ForeignKey("corelab.StoredObject", on_delete=models.PROTECT, null=True, related_name="+")

    class Meta:
        ordering = ["-issued_at"]

    def __str__(self) -> str:
        return self.number

    @property
    def site_id(self) -> int:
        """The site it belongs to, for the audit log."""
        return self.case.site_id
