"""Where a scan and the register differ about a scanner: declared or explained, each with a reason on its own page."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_http_methods

from corelab import access
from corelab.errors import NotAllowed, NotFound, Refused, StaleState
from qc import selectors, services
from qc.forms import ReasonForm
from qc.services.drifts import MAY_DECLARE, MAY_EXPLAIN


def _decide(
    request: HttpRequest,
    pk: int,
    *,
    roles: frozenset[Any],
    words: Callable[[Any], dict[str, str]],
    act: Callable[..., Any],
) -> HttpResponse:
    drift = selectors.drift_for(request.user, pk)
    if not access.roles_of(request.user, drift.scanner.site) & roles:
        raise NotFound("There is nothing here, or it is not yours to see.")
    form = ReasonForm(request.POST if request.method == "POST" else None)
    said = words(drift)
    if request.method == "POST" and form.is_valid():
        try:
            act(drift_id=pk, actor=request.user, reason=form.cleaned_data["reason"])
        except (NotAllowed, NotFound, StaleState):
            raise
        except Refused as error:
            form.add_error("reason", error.message)
        else:
            messages.success(request, said["done"])
            return redirect("corelab:scanner-detail", drift.scanner_id)
    status = 422 if form.errors else 200
    return render(request, "qc/drift_decide.html", {"form": form, "drift": drift, **said}, status=status)


def _declare_words(drift: Any) -> dict[str, str]:
    if drift.submission is None:
        explanation = "The scanner itself has changed. A change of this kind can call for a new phantom."
        return {"title": "Declare the change", "explanation": explanation, "button": "Declare", "done": "Declared."}
    explanation = (
        "This reconstruction is added to the register as a new one. The one that is registered keeps its clearances; "
        "the new one has none until it is accredited."
        if drift.attribute == "reconstruction"
        else f"The register says {drift.seen} from now on. A change of this kind can call for a new phantom."
    )
    return {"title": "Declare the change", "explanation": explanation, "button": "Declare", "done": "Declared."}


def _explain_words(drift: Any) -> dict[str, str]:
    if drift.submission is None:
        return {
            "title": "Explain the change of the entry",
            "explanation": "The scanner has not changed: its entry was wrong, and is right now.",
            "button": "Only the entry was wrong",
            "done": "Explained.",
        }
    return {
        "title": "Explain the difference",
        "explanation": f"The register stays as it is. Scans that show {drift.seen} are not asked about again.",
        "button": "Keep the register",
        "done": "Explained.",
    }


@require_http_methods(["GET", "HEAD", "POST"])
def drift_declare(request: HttpRequest, pk: int) -> HttpResponse:
    """Let the register follow what a scan showed."""
    return _decide(request, pk, roles=MAY_DECLARE, words=_declare_words, act=services.drift_declare)


@require_http_methods(["GET", "HEAD", "POST"])
def drift_explain(request: HttpRequest, pk: int) -> HttpResponse:
    """Say why the register is right all the same."""
    return _decide(request, pk, roles=MAY_EXPLAIN, words=_explain_words, act=services.drift_explain)
