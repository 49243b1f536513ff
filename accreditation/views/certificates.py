"""One certificate: what it says, whether it holds today, who signed it, and its PDF."""

from __future__ import annotations

from typing import Any

from django.http import FileResponse, HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.views.decorators.http import require_safe

from accreditation import selectors
from accreditation.status import answer_of
from accreditation.views.cases import names_of
from corelab import access, storage
from corelab.errors import NotFound


@require_safe
def certificate_detail(request: HttpRequest, number: str) -> HttpResponse:
    """Show a certificate to those who see its case."""
    certificate = selectors.certificate_for(request.user, number)
    case = certificate.case
    state = selectors.certificate_state(certificate.number)
    check_path = reverse("accreditation:certificate-check", args=[certificate.number])
    context = {
        "certificate": certificate,
        "case": case,
        "answer": answer_of(state),
        "facts": _facts(certificate.scope),
        "check_url": request.build_absolute_uri(check_path),
        "signatures": _signatures(case, certificate),
        "may_withdraw": bool(access.lab_roles_of(request.user) & {"physicist", "approver"})
        and state.word in {"VALID", "NOT_YET", "SUSPENDED"},
        **names_of(case),
    }
    return render(request, "accreditation/certificate_detail.html", context)


def _facts(scope: dict[str, str]) -> list[tuple[str, str]]:
    """Return the scope as it was signed, in the order of the document."""
    place = ", ".join(part for part in (scope["site"], scope["city"], scope["country"]) if part)
    return [
        ("Site", place),
        ("Scanner", f"{scope['manufacturer']} {scope['model']}, serial {scope['serial']}"),
        ("Tracer", scope["tracer"]),
        (
            "Reconstruction",
            f"{scope['reconstruction']}: {scope['fingerprint']}" if scope["fingerprint"] else scope["reconstruction"],
        ),
        ("Standard", f"{scope['standard_title']} ({scope['edition']})"),
        ("Trial", scope["trial"] or "general"),
        ("Programme", scope["programme_title"]),
    ]


def _signatures(case: Any, certificate: Any) -> list[Any]:
    """Return who proposed what was certified, and who approved it."""
    approved = certificate.decision
    earlier = [one for one in selectors.decisions_of(case) if one.decided_at <= approved.decided_at]
    proposal = next((one for one in reversed(earlier) if one.event == "propose"), None)
    return [one.signature for one in (proposal, approved) if one is not None]


@require_safe
def certificate_download(request: HttpRequest, number: str) -> HttpResponse:
    """Serve the stored PDF."""
    certificate = selectors.certificate_for(request.user, number)
    if certificate.stored is None:
        raise NotFound("The certificate is not made yet. It usually takes a few seconds.")
    response = FileResponse(
        storage.open_object(certificate.stored.sha256),
        content_type="application/pdf",
        as_attachment=True,
        filename=f"{certificate.number}.pdf",
    )
    response.headers["Cache-Control"] = "private, no-cache"
    return response
