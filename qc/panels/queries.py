"""Questions to sites: on the lab's worklist, among a site's tasks, in the bar and by their number."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from django.db.models import BooleanField, Case, Count, F, Min, Q, When, Window
from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone

from corelab import access
from corelab.panels import Task, WorkPage, WorkQuery, WorkRow
from qc import selectors
from qc.states import WITH_SITE, QueryState

KIND = "query"
TASKS = 20
_NUMBER = re.compile(r"Q-?(\d{1,18})", re.IGNORECASE)
OPEN = (QueryState.DRAFT, QueryState.OPEN, QueryState.SITE_RESPONDED, QueryState.REOPENED)
#: No row at all, by a condition that the database finds false: for an empty list Django would write 0 in its place.
NOTHING = Q(pk__isnull=True)
#: What comes next, and the chip it wears.
_NEXT = {
    QueryState.DRAFT: ("waiting-lab", "Read and ask"),
    QueryState.OPEN: ("waiting-site", "Site answers"),
    QueryState.REOPENED: ("waiting-site", "Site answers again"),
    QueryState.SITE_RESPONDED: ("waiting-lab", "Read the answer"),
}


def work(request: HttpRequest, query: WorkQuery) -> WorkPage:
    """Return the questions that stand in one view of the worklist, the next deadline first; one query.

    How many there are comes beside each row, so those of the view come first and one of the others may come last.
    """
    if not access.sees_everything(request.user) or query.kind not in ("", KIND) or query.verdict:
        return WorkPage(rows=[], counts={}, kinds={KIND: "Query"})
    needs = NOTHING | Q(pk__in=selectors.queries_needing(request.user).order_by().values("pk"))
    today = timezone.now().date()
    narrow = Q()
    for name, value in (("submission__site__code", query.site), ("submission__trial__code", query.trial)):
        if value:
            narrow &= Q(**{name: value})
    views = {
        "needs-me": narrow & needs,
        "breaching-today": narrow & Q(due_on__lte=today, state__in=(QueryState.OPEN, QueryState.REOPENED)),
        "waiting-for-sites": narrow & Q(state__in=(QueryState.OPEN, QueryState.REOPENED)),
        "open": narrow & Q(state__in=OPEN),
    }
    shown = views.get(query.view, NOTHING)
    rows = selectors.queries_visible_to(request.user).filter(state__in=OPEN).defer("text", "findings")
    listed = list(
        rows.annotate(
            **{f"in_{view.replace('-', '_')}": Window(Count("pk", filter=one)) for view, one in views.items()},
            needed=Window(Count("pk", filter=needs)),
            overdue=Window(Count("pk", filter=shown & Q(due_on__lt=today))),
            due_today=Window(Count("pk", filter=shown & Q(due_on=today))),
            oldest_at=Window(Min("created_at", filter=shown)),
            is_shown=Case(When(shown, then=True), default=False, output_field=BooleanField()),
        ).order_by("-is_shown", F("due_on").asc(nulls_last=True), "number")[: query.limit]
    )
    first = listed[0] if listed else None
    request._queries_needed = first.needed if first else 0  # type: ignore[attr-defined]
    if first is None:
        return WorkPage(rows=[], counts=dict.fromkeys(views, 0), kinds={KIND: "Query"})
    staff = bool(access.lab_roles_of(request.user) & {"technician", "physicist"})
    return WorkPage(
        rows=[_row(one, is_mine=staff) for one in listed if one.is_shown],
        counts={view: getattr(first, f"in_{view.replace('-', '_')}") for view in views},
        kinds={KIND: "Query"},
        overdue=first.overdue,
        due_today=first.due_today,
        oldest_at=first.oldest_at,
    )


def _row(query: Any, *, is_mine: bool) -> WorkRow:
    chip, words = _NEXT[QueryState(query.state)]
    return WorkRow(
        number=str(query),
        url=reverse("qc:query-detail", args=[query.number]),
        what=f"{query.title}, {query.submission}",
        site=str(query.submission.site),
        trial=str(query.submission.trial or ""),
        due_on=query.due_on,
        next_step=words,
        state="needs-you" if is_mine and chip == "waiting-lab" else chip,
        with_whom="" if chip == "waiting-lab" else "site",
        waits_since=query.created_at,
    )


def tasks(request: HttpRequest) -> Iterator[Task]:
    """Yield the questions that a site has to answer, the next deadline first."""
    mine = selectors.queries_needing(request.user).filter(
        state__in=WITH_SITE, submission__site_id__in=access.site_ids_of(request.user)
    )
    # How many there are of all comes with them, so that the bar need not ask again.
    mine = mine.defer("text", "findings").annotate(of_all=Window(Count("pk")))
    listed = list(mine.order_by(F("due_on").asc(nulls_last=True), "number")[:TASKS])
    if not access.lab_roles_of(request.user):
        request._queries_needed = listed[0].of_all if listed else 0  # type: ignore[attr-defined]
    for query in listed:
        yield Task(
            text=f"Answer the core lab about {query.submission}",
            url=reverse("qc:query-detail", args=[query.number]),
            hint=f"{query}: {query.title}",
            state="needs-you",
            due_on=query.due_on,
        )


def counts(request: HttpRequest) -> dict[str, int]:
    """Return how many questions wait for this person, for the bar."""
    if not access.site_ids_of(request.user) and not access.is_lab_staff(request.user):
        return {}
    known: int | None = getattr(request, "_queries_needed", None)
    return {"qc:query-list": selectors.queries_needing(request.user).count() if known is None else known}


def jump(request: HttpRequest, text: str) -> str:
    """Return the address of exactly this question, if the person may see it."""
    match = _NUMBER.fullmatch(text.strip())
    if match is None:
        return ""
    seen = selectors.queries_visible_to(request.user).filter(number=int(match[1])).exists()
    return reverse("qc:query-detail", args=[int(match[1])]) if seen else ""


PLACES = {"work": work, "tasks": tasks, "nav": counts, "jump": jump}
