"""Differences between scans and the register: on the lab's worklist, and on the scanner's own page."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django.db.models import Count, Q, Window
from django.http import HttpRequest
from django.urls import reverse

from corelab import access
from corelab.panels import Panel, WorkPage, WorkQuery, WorkRow
from qc import selectors
from qc.services.drifts import MAY_DECLARE, MAY_EXPLAIN

KIND = "drift"


def work(request: HttpRequest, query: WorkQuery) -> WorkPage:
    """Return the differences that somebody has to declare or explain; they have no day, so they stand last."""
    staff = bool(access.lab_roles_of(request.user) & {"technician", "physicist"})
    views = {"open", "needs-me"} if staff else {"open"}
    if not access.sees_everything(request.user) or query.kind not in ("", KIND) or query.verdict or query.trial:
        return WorkPage(rows=[], counts={}, kinds={KIND: "Drift of a scanner"})
    narrow = Q(state="OPEN")
    if query.site:
        narrow &= Q(scanner__site__code=query.site)
    drifts = selectors.drifts_visible_to(request.user).filter(narrow)
    if query.view not in views:
        return WorkPage(rows=[], counts=dict.fromkeys(views, drifts.count()), kinds={KIND: "Drift of a scanner"})
    shown = list(drifts.annotate(of_all=Window(Count("pk"))).order_by("opened_at", "pk")[: query.limit])
    total = shown[0].of_all if shown else 0
    rows = [
        WorkRow(
            number=f"D-{drift.pk}",
            url=reverse("corelab:scanner-detail", args=[drift.scanner_id]),
            what=_what(drift),
            site=str(drift.scanner.site),
            next_step="Declare or explain",
            state="needs-you" if staff else "waiting-lab",
            waits_since=drift.opened_at,
        )
        for drift in shown
    ]
    return WorkPage(rows=rows, counts=dict.fromkeys(views, total), kinds={KIND: "Drift of a scanner"})


def _what(drift: Any) -> str:
    was = drift.registered or "not registered"
    return f"{drift.get_attribute_display()}: {was} → {drift.seen}, {drift.scanner}"


def of_scanner(request: HttpRequest, scanner: Any) -> Iterator[Panel]:
    """Yield what somebody has to declare or explain about one scanner; nothing where nothing differs."""
    rows = list(selectors.drifts_visible_to(request.user).filter(scanner=scanner, state="OPEN").order_by("opened_at"))
    if rows:
        roles = access.roles_of(request.user, scanner.site)
        context = {"rows": rows, "may_declare": bool(roles & MAY_DECLARE), "may_explain": bool(roles & MAY_EXPLAIN)}
        yield Panel(template="qc/_panel_drifts.html", context=context, order=10)


PLACES = {"work": work, "scanner": of_scanner}
