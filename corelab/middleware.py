"""What every request passes: an id, a content policy, the person who acts, errors in words."""

from __future__ import annotations

from collections.abc import Callable

from django.http import HttpRequest, HttpResponse, HttpResponseNotFound
from django.shortcuts import render

from corelab import access, audit
from corelab.errors import DomainError, InvalidMove, NotAllowed, NotFound, StaleState, Transient
from corelab.request_ids import new_reference, request_id

GetResponse = Callable[[HttpRequest], HttpResponse]

# No inline script or style anywhere; pictures may be data: for Bootstrap's own icons.
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; font-src 'self'; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'; manifest-src 'self'"
)


class RequestIdMiddleware:
    """Gives each request a short reference that a person can read to the lab."""

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        request.reference = new_reference()  # type: ignore[attr-defined]
        token = request_id.set(request.reference)  # type: ignore[attr-defined]
        try:
            response = self.get_response(request)
        finally:
            request_id.reset(token)
        response["X-Request-Reference"] = request.reference  # type: ignore[attr-defined]
        return response


class ContentSecurityPolicyMiddleware:
    """Sends the content policy with every page."""

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        response = self.get_response(request)
        response.headers.setdefault("Content-Security-Policy", POLICY)
        response.headers.setdefault("Permissions-Policy", "camera=(), geolocation=(), microphone=()")
        return response


class SignedInMiddleware:
    """Sets the person as the one who acts, and keeps signed-in pages out of shared caches."""

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if not request.user.is_authenticated:
            return self.get_response(request)
        reference = getattr(request, "reference", "")
        with audit.acting(request.user, role=access.role_text(request.user), request_id=reference):
            response = self.get_response(request)
        response.headers.setdefault("Cache-Control", "no-store")
        return response


class DomainErrorMiddleware:
    """Turns expected errors into pages: 404 for absent and forbidden alike, 409 when someone was faster."""

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        return self.get_response(request)

    def process_exception(self, request: HttpRequest, error: Exception) -> HttpResponse | None:
        """Answer a DomainError that a view did not turn into a form error."""
        if isinstance(error, NotFound | NotAllowed):
            return HttpResponseNotFound(render(request, "404.html").content)
        if isinstance(error, StaleState | InvalidMove):
            return render(request, "409.html", {"message": error.message}, status=409)
        if isinstance(error, Transient):
            return render(request, "503.html", {"message": error.message}, status=503)
        if isinstance(error, DomainError):
            return render(request, "400.html", {"message": error.message, "code": error.code}, status=400)
        return None
