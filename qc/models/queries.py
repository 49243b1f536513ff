"""Questions of the core lab to a site, and what was said."""

from __future__ import annotations

import uuid

from django.db import models
from django.utils import timezone

from corelab.models import Site, Trial
from qc.states import QueryState


class Query(models.Model):
    """One question about one submission, tied to the findings that raised it."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    number = models.BigIntegerField(unique=True, editable=False)
    submission = models.ForeignKey("qc.Submission", on_delete=models.PROTECT, related_name="queries")
    run = models.ForeignKey("qc.Run", on_delete=models.PROTECT, related_name="+")
    state = models.CharField(max_length=16, default=QueryState.DRAFT, db_index=True)
    title = models.CharField(max_length=160)
    text = models.TextField("the question, as the site reads it")
    findings = models.JSONField("ids and sentences of the findings it is about", default=list)
    asked_by = models.ForeignKey("corelab.User", on_delete=models.PROTECT, null=True, blank=True, related_name="+")
    asked_at = models.DateTimeField(null=True, blank=True)
    due_on = models.DateField("answer by", null=True, blank=True, db_index=True)
    answered_at = models.DateTimeField(null=True, blank=True)
    closed_by = models.ForeignKey("corelab.User", on_delete=models.PROTECT, null=True, blank=True, related_name="+")
    closed_at = models.DateTimeField(null=True, blank=True)
    closed_reason = models.TextField(blank=True)
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    changed_at = models.DateTimeField(auto_now=True)

    class Meta:
        ordering = ["-number"]
        verbose_name_plural = "queries"
        constraints = [
            models.CheckConstraint(
                condition=models.Q(state__in=[state.value for state in QueryState]), name="query_state_known"
            ),
            models.UniqueConstraint(
                fields=["submission"],
                condition=~models.Q(state__in=[QueryState.CLOSED.value, QueryState.UNRESOLVABLE.value]),
                name="query_open_once_per_submission",
            ),
        ]
        indexes = [models.Index(fields=["state", "due_on"])]

    def __str__(self) -> str:
        return self.short_number

    @property
    def short_number(self) -> str:
        """The number people use."""
        return f"Q-{self.number}"

    @property
    def site_id(self) -> int:
        """The site it belongs to, for the audit log."""
        return self.submission.site_id

    @property
    def site(self) -> Site:
        """The site that is asked."""
        return self.submission.site

    @property
    def trial(self) -> Trial | None:
        """The trial that the scan is for."""
        return self.submission.trial


class QueryMessage(models.Model):
    """One thing said in a query; never edited. Without an author the system speaks."""

    query = models.ForeignKey(Query, on_delete=models.PROTECT, related_name="messages")
    author = models.ForeignKey("corelab.User", on_delete=models.PROTECT, null=True, blank=True, related_name="+")
    is_from_site = models.BooleanField(default=False)
    text = models.TextField()
    said_at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ["said_at", "pk"]

    def __str__(self) -> str:
        return f"{self.query}: {self.text[:40]}"
