"""The audit log as a list: filter, pages by cursor, the state of the chain, export."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC

from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_POST, require_safe

from corelab import selectors, services
from corelab.csv_lines import csv_lines
from corelab.errors import NotFound
from corelab.forms import AuditFilterForm
from corelab.models import AuditEvent
from corelab.selectors import AuditFilter
from corelab.templatetags.ui import clock, day, format_number

ROWS = 100
COLUMNS = (
    "row", "at_utc", "who", "role", "action", "object_type", "object", "reason", "before", "after", "request", "hash",
)  # fmt: skip


def _filter(request: HttpRequest) -> tuple[AuditFilterForm, AuditFilter]:
    if not selectors.sees_audit(request.user):
        raise NotFound(selectors.NOTHING_HERE)
    form = AuditFilterForm(request.GET, actions=list(selectors.audit_actions()))
    form.is_valid()
    return form, AuditFilter(**{name: value for name, value in form.cleaned_data.items() if value})


@require_safe
def audit_list(request: HttpRequest) -> HttpResponse:
    """Show a page of the log, newest first, from a row on."""
    form, wanted = _filter(request)
    events = wanted.apply(selectors.audit_visible_to(request.user))
    before = request.GET.get("before", "")
    if before.isdecimal():
        events = events.filter(sequence__lt=int(before[:18]))
    rows = list(events[: ROWS + 1])
    has_more = len(rows) > ROWS
    rows = rows[:ROWS]
    sites = selectors.audit_zones(rows)
    sentences = selectors.audit_actions()
    last = selectors.audit_last_verification(request.user)
    for row in rows:
        row.site = sites.get(row.site_id)
        row.sentence = sentences.get(row.action, "")
        row.changes = _changes(row)
    return render(
        request,
        "corelab/audit_list.html",
        {
            "filter_form": form,
            "has_errors": bool(form.errors),
            "is_filtered": wanted != AuditFilter(),
            "rows": rows,
            "is_first_page": not before,
            "next_before": rows[-1].sequence if has_more else None,
            "head": selectors.audit_head(),
            "last": last,
            "chain_break": _break(request, last) if last and not last.after["intact"] else "",
        },
    )


def _break(request: HttpRequest, last: AuditEvent) -> str:
    """Return where the chain breaks, in words."""
    sequence = last.after["first_break"]
    row = selectors.audit_visible_to(request.user).filter(sequence=sequence).first()
    when = f" ({day(row.at)} {clock(row.at)} UTC)" if row else ""
    return f"The chain breaks at row {format_number(sequence, 0)}{when}. Rows before it are intact."


def _changes(event: AuditEvent) -> list[tuple[str, str, str]]:
    """Return what changed as name, before, after, in the order they were recorded."""
    names = list(dict.fromkeys([*event.before, *event.after]))
    return [(name, _text(event.before.get(name)), _text(event.after.get(name))) for name in names]


def _text(value: object) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


@require_POST
def audit_verify(request: HttpRequest) -> HttpResponse:
    """Walk the chain now; what was found is recorded and shown."""
    if not selectors.sees_audit(request.user):
        raise NotFound(selectors.NOTHING_HERE)
    services.audit_verify(actor=request.user)
    return redirect("corelab:audit-list")


@require_safe
def audit_export(request: HttpRequest) -> StreamingHttpResponse:
    """Stream the filtered log as CSV, oldest last, in flat memory."""
    _, wanted = _filter(request)
    events = wanted.apply(selectors.audit_visible_to(request.user))
    response = StreamingHttpResponse(_csv(events.iterator(chunk_size=1_000)), content_type="text/csv; charset=utf-8")
    response["Content-Disposition"] = 'attachment; filename="audit.csv"'
    return response


def _csv(events: Iterator[AuditEvent]) -> Iterator[str]:
    return csv_lines(
        COLUMNS,
        (
            (
                event.sequence,
                event.at.astimezone(UTC).isoformat(timespec="seconds"),
                event.actor_name,
                event.actor_role,
                event.action,
                event.object_type,
                event.object_label,
                event.reason,
                json.dumps(event.before, ensure_ascii=False),
                json.dumps(event.after, ensure_ascii=False),
                event.request_id,
                event.hash,
            )
            for event in events
        ),
    )
