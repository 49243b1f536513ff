"""What waits for whom: the views of the worklist, their counts and how the time stands."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from django.db.models import Count, F, Min, Q, QuerySet
from django.utils import timezone

from corelab import access
from corelab.models import Role, User
from qc.models import Submission
from qc.selectors.submissions import OPEN_STATES, OUR_ERROR, submissions_visible_to
from qc.states import SubmissionState as S

#: A filter that keeps every row.
ANY = Q()


def _work_filters(user: User) -> dict[str, Q]:
    """Return what stands in each view of the worklist, by the names of `corelab.panels.WORK_VIEWS`."""
    roles = access.lab_roles_of(user)
    needs_me = Q(pk__in=[])
    if Role.PHYSICIST in roles:
        not_mine = ~Q(created_by=user) & ~(Q(sent_by__isnull=False) & Q(sent_by=user))
        needs_me |= Q(state=S.AWAITING_REVIEW) & not_mine | Q(state=S.IN_REVIEW, reviewer=user)
    if roles & {Role.TECHNICIAN, Role.PHYSICIST}:
        needs_me |= Q(state=S.HELD)
    return {
        "needs-me": needs_me,
        "breaching-today": Q(
            due_on__lte=timezone.now().date(), state__in=(S.SENT, S.ANALYSING, S.AWAITING_REVIEW, S.IN_REVIEW)
        ),
        # A site is waited for where it must answer before anything goes on.
        "waiting-for-sites": Q(state=S.HELD) & ~Q(hold_code=OUR_ERROR),
        "running": Q(state__in=(S.CHECKING, S.SENT, S.ANALYSING)),
        "our-errors": Q(state=S.HELD, hold_code=OUR_ERROR),
        "open": Q(state__in=OPEN_STATES),
    }


def worklist_for(user: User, view: str) -> QuerySet[Submission]:
    """Return the rows of one view of the worklist, the next deadline first; dry runs never stand in it."""
    rows = submissions_visible_to(user).filter(is_dry_run=False)
    if not access.sees_everything(user):
        return rows.none()
    rows = rows.filter(state=S.RELEASED) if view == "released" else rows.filter(_work_filters(user)[view])
    # What is open has a day, but for what still arrives; so an index may give the order.
    return rows.order_by(F("due_on").asc(nulls_last=True), "number")


def worklist_counts(user: User, narrow: Q = ANY) -> dict[str, int]:
    """Return how many rows each view of the worklist has; two queries, of which one reads what is open only."""
    filters = _work_filters(user)
    if not access.sees_everything(user):
        return dict.fromkeys([*filters, "released"], 0)
    rows = Submission.objects.filter(narrow, is_dry_run=False)
    counts = rows.filter(filters["open"]).aggregate(
        **{view.replace("-", "_"): Count("pk", filter=one) for view, one in filters.items()}
    )
    return {view: counts[view.replace("-", "_")] for view in filters} | {
        "released": rows.filter(state=S.RELEASED).count()
    }


def worklist_needs_me(user: User) -> int:
    """Return how many rows wait for this very person, for the bar of every page; one query."""
    return worklist_for(user, "needs-me").count()


@dataclass(frozen=True, kw_only=True)
class Clock:
    """How many rows of a view have a day that has passed or is today, and since when the oldest waits."""

    overdue: int = 0
    due_today: int = 0
    oldest_at: datetime | None = None


def worklist_clock(user: User, view: str, narrow: Q = ANY) -> Clock:
    """Return how the time stands for one view; for what was released it stands still."""
    if view == "released" or not access.sees_everything(user):
        return Clock()
    today = timezone.now().date()
    rows = Submission.objects.filter(narrow, _work_filters(user)[view], is_dry_run=False)
    return Clock(
        **rows.aggregate(
            overdue=Count("pk", filter=Q(due_on__lt=today)),
            due_today=Count("pk", filter=Q(due_on=today)),
            oldest_at=Min("sent_at"),
        )
    )
