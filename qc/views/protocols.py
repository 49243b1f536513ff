"""Protocols of trials: what is in force, its limits with their sources, and how a physicist makes the next version."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from django.contrib import messages
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from corelab import selectors as registry
from corelab.errors import NotAllowed, NotFound, Refused, StaleState
from qc import protocols, selectors, services, wording
from qc.forms import ProtocolForm, PublishForm

PAGE_ROWS = 50
get_or_post = require_http_methods(["GET", "HEAD", "POST"])


@dataclass(frozen=True)
class LimitRow:
    """One limit as it is read: what it is about, what is accepted, what is best, and where that comes from."""

    what: str
    name: str
    accepted: str
    best: str
    source: str
    provenance: str


def limit_rows(protocol: protocols.Protocol) -> list[LimitRow]:
    """Return the limits of a protocol in the order in which people read them."""
    rows = []
    for name, (what, _) in protocols.LIMITS.items():
        limit = protocol.limits.get(name)
        if limit is not None:
            best = limit.expected.removeprefix(limit.words).removeprefix(", ").removeprefix("best ")
            provenance = (
                "the trial’s own" if limit.provenance == "trial" else wording.PROVENANCE_WORDS[limit.provenance]
            )
            rows.append(LimitRow(what, name, limit.words, best, limit.source, provenance))
    return rows


# --- list and one version -------------------------------------------------------------------------


@require_safe
def protocol_list(request: HttpRequest) -> HttpResponse:
    """List the versions that the person may see, and for a physicist the trials that have none."""
    rows = selectors.protocols_visible_to(request.user).defer("document")
    page = Paginator(rows, PAGE_ROWS).get_page(request.GET.get("page"))
    writes = selectors.writes_protocols(request.user)
    without = registry.trials_visible_to(request.user).filter(is_active=True, protocols=None) if writes else []
    return render(
        request,
        "qc/protocol_list.html",
        {"page": page, "without": list(without), "templates": list(protocols.TEMPLATES), "today": _today()},
    )


@require_safe
def protocol_detail(request: HttpRequest, code: str, version: int) -> HttpResponse:
    """Show one version: its limits in words, each with its source."""
    protocol = selectors.protocol_for(request.user, code, version)
    return render(request, "qc/protocol_detail.html", _detail_context(request, protocol))


def _detail_context(request: HttpRequest, protocol: Any) -> dict[str, Any]:
    problems = protocols.problems(protocol.document)
    parsed = None if problems else protocols.parse(protocol.document)
    versions = selectors.protocols_visible_to(request.user).filter(trial=protocol.trial).defer("document")
    in_force = selectors.protocol_in_force(protocol.trial, _today())
    return {
        "protocol": protocol,
        "parsed": parsed,
        "limits": limit_rows(parsed) if parsed else [],
        "problems": problems,
        "versions": list(versions),
        "is_in_force": in_force is not None and in_force.pk == protocol.pk,
        "writes": selectors.writes_protocols(request.user),
        "today": _today(),
    }


def _today() -> Any:
    return timezone.now().date()


# --- the next version -----------------------------------------------------------------------------


@require_POST
def protocol_start(request: HttpRequest, code: str) -> HttpResponse:
    """Start the next version of a trial's protocol."""
    trial = registry.trial_for(request.user, code)
    protocol = services.protocol_start(trial=trial, actor=request.user, template=request.POST.get("template", "")[:40])
    return redirect("qc:protocol-detail", code, protocol.version)


def _draft(request: HttpRequest, code: str, version: int) -> Any:
    protocol = selectors.protocol_for(request.user, code, version)
    if not selectors.writes_protocols(request.user):
        raise NotFound("There is nothing here, or it is not yours to see.")
    return protocol


@get_or_post
def protocol_edit(request: HttpRequest, code: str, version: int) -> HttpResponse:
    """Write a draft's document as text."""
    protocol = _draft(request, code, version)
    initial = {
        "document": json.dumps(protocol.document, indent=2, ensure_ascii=False),
        "shown_digest": protocol.digest,
    }
    form = ProtocolForm(request.POST if request.method == "POST" else None, initial=initial)
    status = 200
    if request.method == "POST" and form.is_valid():
        try:
            services.protocol_save(
                protocol_id=protocol.pk,
                actor=request.user,
                document=form.cleaned_data["document"],
                shown_digest=form.cleaned_data["shown_digest"],
            )
        except (NotAllowed, NotFound):
            raise
        except Refused as error:
            for problem in error.context.get("problems", [error.message]):
                form.add_error("document", problem)
            status = 409 if isinstance(error, StaleState) or error.code == "PROTOCOL-FROZEN" else 422
        else:
            messages.success(request, "Saved.")
            return redirect("qc:protocol-detail", code, version)
    elif form.errors:
        status = 422
    context = {"form": form, "protocol": protocol, "is_frozen": protocol.published_at is not None}
    return render(request, "qc/protocol_edit.html", context, status=status)


@get_or_post
def protocol_publish(request: HttpRequest, code: str, version: int) -> HttpResponse:
    """Publish a draft with the day from which scans are judged by it."""
    protocol = _draft(request, code, version)
    initial = {"shown_digest": protocol.digest, "effective_on": _today()}
    form = PublishForm(request.POST if request.method == "POST" else None, initial=initial)
    status = 200
    if request.method == "POST" and form.is_valid():
        try:
            services.protocol_publish(
                protocol_id=protocol.pk,
                actor=request.user,
                effective_on=form.cleaned_data["effective_on"],
                shown_digest=form.cleaned_data["shown_digest"],
            )
        except (NotAllowed, NotFound):
            raise
        except Refused as error:
            form.add_error("effective_on", error.message)
            status = 409 if isinstance(error, StaleState) or error.code == "PROTOCOL-FROZEN" else 422
        else:
            messages.success(request, f"Version {version} is published.")
            return redirect("qc:protocol-detail", code, version)
    elif form.errors:
        status = 422
    return render(request, "qc/protocol_publish.html", {"form": form, "protocol": protocol}, status=status)
