"""What waits for whom: the views of the worklist, their counts and how the time stands."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from django.db.models import Count, F, Min, Q, QuerySet
from django.utils import timezone

from corelab import access
from corelab.models import Role, User
from corelab.models.work import WorkState
from qc.models import Report, Submission
from qc.selectors.lookup import count_of
from qc.selectors.submissions import OPEN_STATES, OUR_ERROR, submissions_visible_to
from qc.states import SubmissionState as S

#: A filter that keeps every row.
ANY = Q()


def _without_report() -> Q:
    """Return whose report ended as our error: the signed one, or the unsigned one of a run that nobody has signed."""
    failed = Report.objects.filter(
        Q(review__isnull=False) | Q(run__review__isnull=True), stored__isnull=True, work_state=WorkState.FAILED
    )
    return Q(current_run__in=failed.values("run"), state__in=(*OPEN_STATES, S.RELEASED))


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
        "our-errors": Q(state=S.HELD, hold_code=OUR_ERROR) | _without_report(),
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


@dataclass(frozen=True, kw_only=True)
class Totals:
    """How many rows stand where.

    ``counts`` has each view under the filters; ``overdue``, ``due_today`` and ``oldest_at`` are of the one that is
    shown: how many rows have a day that has passed or is today, and since when the oldest waits. ``needs_me`` is for
    the bar, which knows no filter.
    """

    counts: Mapping[str, int]
    overdue: int = 0
    due_today: int = 0
    oldest_at: datetime | None = None
    needs_me: int = 0


def worklist_totals(user: User, view: str = "open", narrow: Q = ANY) -> Totals:
    """Return how many rows each view of the worklist has, and how the time stands for one; one query.

    It reads the rows that are open; what was released is counted beside them, and its time stands still: also where its
    report was not made, which stands among our errors.
    """
    filters = _work_filters(user)
    if not access.sees_everything(user):
        return Totals(counts=dict.fromkeys([*filters, "released"], 0))
    rows = Submission.objects.filter(is_dry_run=False)
    shown = narrow & filters.get(view, Q(pk__in=[]))
    today = timezone.now().date()
    found = rows.filter(filters["open"]).aggregate(
        **{f"in_{name.replace('-', '_')}": Count("pk", filter=narrow & one) for name, one in filters.items()},
        # Beside an aggregate, so that the count comes also where nothing is open.
        released_without=Count("pk") * 0 + count_of(rows.filter(narrow & _without_report(), state=S.RELEASED)),
        released=Count("pk") * 0 + count_of(rows.filter(narrow, state=S.RELEASED)),
        overdue=Count("pk", filter=shown & Q(due_on__lt=today)),
        due_today=Count("pk", filter=shown & Q(due_on=today)),
        oldest_at=Min("sent_at", filter=shown),
        needs_me=Count("pk", filter=filters["needs-me"]),
    )
    counts = {name: found.pop(f"in_{name.replace('-', '_')}") for name in filters}
    counts["our-errors"] += found.pop("released_without")
    return Totals(counts=counts | {"released": found.pop("released")}, **found)


def worklist_needs_me(user: User) -> int:
    """Return how many rows wait for this very person, for the bar of every page; one query."""
    return worklist_for(user, "needs-me").count()
