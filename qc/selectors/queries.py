"""Which questions about scans a person may see, read and act on."""

from __future__ import annotations

from django.db.models import Q, QuerySet

from corelab import access
from corelab.models import Role, User
from qc.models import Query, Submission
from qc.selectors.lookup import by_number
from qc.states import WITH_SITE, QueryState
from qc.states import SubmissionState as S


def queries_visible_to(user: User) -> QuerySet[Query]:
    """Return the questions the person may see, newest first, with all that a list row prints.

    The lab sees its drafts too. A site and a trial see what was asked; of a scan that is not released yet a trial sees
    no more than number, title and days (`reads_query`).
    """
    queries = Query.objects.select_related(
        "submission__site", "submission__scanner", "submission__trial", "asked_by", "closed_by"
    )
    if access.sees_everything(user):
        return queries
    asked = Q(asked_at__isnull=False, submission__is_dry_run=False)
    mine = Q(submission__site_id__in=access.site_ids_of(user)) | Q(submission__trial_id__in=access.trial_ids_of(user))
    return queries.filter(asked & mine)


def query_for(user: User, number: int | str) -> Query:
    """Return one question by its number, ``904`` or ``Q-904``, or raise NotFound."""
    query: Query = by_number(queries_visible_to(user), number, "Q-")
    return query


def queries_about(user: User, submission: Submission) -> QuerySet[Query]:
    """Return the questions about a submission, and the one that it was sent in answer to."""
    about = Q(submission=submission) | Q(pk=submission.answers_id)
    return queries_visible_to(user).filter(about).defer("text", "findings")


def reads_query(user: User, query: Query) -> bool:
    """Say whether the person may read what was asked and answered, and not only that it was."""
    if access.sees_everything(user) or query.submission.site_id in access.site_ids_of(user):
        return True
    return query.submission.state == S.RELEASED


def queries_needing(user: User) -> QuerySet[Query]:
    """Return the questions that this person is to act on: a site answers, staff ask and close."""
    needs = Q(pk__in=[])
    if access.lab_roles_of(user) & {Role.TECHNICIAN, Role.PHYSICIST}:
        needs |= Q(state__in=(QueryState.DRAFT, QueryState.SITE_RESPONDED))
    needs |= Q(state__in=WITH_SITE, submission__site_id__in=access.site_ids_of(user))
    return queries_visible_to(user).filter(needs)
