"""The worklist: what needs somebody in the lab, the item that breaches next first."""

from __future__ import annotations

import hashlib

from django.core.paginator import Page, Paginator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.http import require_safe

from corelab import access, panels, selectors
from corelab.errors import NotFound
from corelab.models import User
from corelab.panels import WORK_VIEWS, WorkPage, WorkQuery
from corelab.templatetags.ui import VERDICTS

ROWS = 50
#: Deeper than this nobody pages through a worklist: a filter narrows it, or the list of submissions takes over.
LAST_PAGE = 2


def require_staff(user: User) -> None:
    """Hide the worklist from those who do not work in the lab."""
    if not access.is_lab_staff(user):
        raise NotFound(selectors.NOTHING_HERE)


def _query(request: HttpRequest) -> WorkQuery:
    wanted = request.GET
    view, page = wanted.get("view", "needs-me"), wanted.get("page", "1")
    number = min(int(page), LAST_PAGE) if page.isdecimal() and len(page) < 9 else 1
    return WorkQuery(
        view=view if view in WORK_VIEWS else "needs-me",
        site=wanted.get("site", "")[:64],
        trial=wanted.get("trial", "")[:64],
        kind=wanted.get("kind", "")[:64],
        verdict=wanted.get("verdict", "") if wanted.get("verdict") in VERDICTS else "",
        limit=ROWS * max(number, 1),
    )


def _marks(page: WorkPage) -> str:
    """Return a digest of what the list shows, so that a page can tell whether it is still right."""
    shown = [f"{row.number} {row.verdict} {row.next_step} {row.with_whom}" for row in page.rows]
    return hashlib.sha256("\n".join([*shown, str(dict(page.counts))]).encode()).hexdigest()[:16]


def _rows_of(found: WorkPage, query: WorkQuery) -> Page:
    """Return the asked page of what was found, or the last one there is; only rows up to its end were read."""
    total = min(found.counts[query.view], ROWS * LAST_PAGE)
    page = Paginator(range(total), ROWS).get_page(query.limit // ROWS)
    page.object_list = found.rows[page.start_index() - 1 : page.end_index()] if total else []
    return page


@require_safe
def work_list(request: HttpRequest) -> HttpResponse:
    """Show one view of the worklist with its filters."""
    require_staff(request.user)
    query = _query(request)
    found = panels.work(request, query)
    sites, trials = selectors.filters_for(request.user)
    is_filtered = any((query.site, query.trial, query.kind, query.verdict))
    return render(
        request,
        "corelab/work_list.html",
        {
            "query": query,
            "view_word": WORK_VIEWS[query.view],
            "tabs": [(key, word, found.counts[key]) for key, word in WORK_VIEWS.items()],
            "rows": _rows_of(found, query),
            "found": found,
            "total": found.counts[query.view],
            "most": ROWS * LAST_PAGE,
            "marks": _marks(found),
            "is_filtered": is_filtered,
            "today": timezone.now().date(),
            "sites": sites,
            "trials": trials,
            "verdicts": [(key, words[0]) for key, words in VERDICTS.items() if key != "REPORT_ONLY"],
        },
    )


@require_safe
def work_news(request: HttpRequest) -> HttpResponse:
    """Say whether the list that a page shows has changed; rows never move under the pointer."""
    require_staff(request.user)
    found = panels.work(request, _query(request))
    is_new = _marks(found) != request.GET.get("marks")
    return render(
        request,
        "corelab/_work_news.html",
        {"is_new": is_new, "marks": request.GET.get("marks", ""), "now": timezone.now()},
    )
