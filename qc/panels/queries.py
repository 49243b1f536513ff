"""Questions to sites: on the lab's worklist, among a site's tasks, in the bar and by their number."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from django.db.models import Count, F, Min, Q, Window
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
#: What comes next, and the chip it wears.
_NEXT = {
    QueryState.DRAFT: ("waiting-lab", "Read and ask"),
    QueryState.OPEN: ("waiting-site", "Site answers"),
    QueryState.REOPENED: ("waiting-site", "Site answers again"),
    QueryState.SITE_RESPONDED: ("waiting-lab", "Read the answer"),
}


def work(request: HttpRequest, query: WorkQuery) -> WorkPage:
    """Return the questions that stand in one view of the worklist, the next deadline first."""
    if not access.sees_everything(request.user) or query.kind not in ("", KIND) or query.verdict:
        return WorkPage(rows=[], counts={}, kinds={KIND: "Query"})
    needs = Q(pk__in=selectors.queries_needing(request.user).values("pk"))
    today = timezone.now().date()
    views = {
        "needs-me": needs,
        "breaching-today": Q(due_on__lte=today, state__in=(QueryState.OPEN, QueryState.REOPENED)),
        "waiting-for-sites": Q(state__in=(QueryState.OPEN, QueryState.REOPENED)),
        "open": Q(),
    }
    narrow = Q(state__in=OPEN)
    for name, value in (("submission__site__code", query.site), ("submission__trial__code", query.trial)):
        if value:
            narrow &= Q(**{name: value})
    rows = selectors.queries_visible_to(request.user).filter(narrow)
    counts = rows.aggregate(**{view.replace("-", "_"): Count("pk", filter=one) for view, one in views.items()})
    found = {view: counts[view.replace("-", "_")] for view in views}
    if not found.get(query.view):
        return WorkPage(rows=[], counts=found, kinds={KIND: "Query"})
    shown = rows.filter(views[query.view]).order_by(F("due_on").asc(nulls_last=True), "number")
    clock = shown.aggregate(
        overdue=Count("pk", filter=Q(due_on__lt=today)),
        due_today=Count("pk", filter=Q(due_on=today)),
        oldest_at=Min("created_at"),
    )
    staff = bool(access.lab_roles_of(request.user) & {"technician", "physicist"})
    return WorkPage(
        rows=[_row(one, is_mine=staff) for one in shown[: query.limit]],
        counts=found,
        kinds={KIND: "Query"},
        **clock,
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
