"""What every request passes: an id, a content policy, the person who acts, errors in words."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

from django.contrib.auth.middleware import LoginRequiredMiddleware
from django.contrib.auth.views import redirect_to_login
from django.http import HttpRequest, HttpResponse, HttpResponseNotFound
from django.shortcuts import render
from django.utils.http import url_has_allowed_host_and_scheme
from django_htmx.http import HttpResponseClientRedirect

from corelab import access, audit
from corelab.errors import DomainError, InvalidMove, NotAllowed, NotFound, StaleState, Transient
from corelab.models import User
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


#: A sign-in ends after so long without a press: sites, and those who work in the lab all day.
IDLE_S = 30 * 60
IDLE_STAFF_S = 60 * 60
#: The session is written at most this often, not at every press.
SEEN_EVERY_S = 60


def idle_s_of(user: User) -> int:
    """Return after how many idle seconds this person's sign-in ends."""
    return IDLE_STAFF_S if access.sees_everything(user) else IDLE_S


class IdleMiddleware:
    """Ends a sign-in by idleness: a press moves the end, a page that polls by itself does not."""

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if request.user.is_authenticated and request.headers.get("X-Poll") != "1":
            now = int(time.time())
            if now - request.session.get("seen", 0) >= SEEN_EVERY_S:
                request.session["seen"] = now
                request.session.set_expiry(idle_s_of(request.user))
        return self.get_response(request)


class SignInRequiredMiddleware(LoginRequiredMiddleware):
    """Asks for a sign-in before every page that does not say it needs none."""

    def handle_no_permission(self, request: HttpRequest, view_func: Callable[..., Any]) -> HttpResponse:
        """Lead a page to the sign-in and back; say 401 to a program, and to htmx where to lead the whole page."""
        referer = request.headers.get("Referer", "")
        if request.method in {"GET", "HEAD"} and not request.htmx:
            return redirect_to_login(request.get_full_path())
        if not request.htmx and request.headers.get("Sec-Fetch-Mode", "navigate") != "navigate":
            return HttpResponse(status=401)
        # A form or a fragment: its own address may answer nothing on its own, the page it stands on does.
        page = "/"
        if url_has_allowed_host_and_scheme(referer, {request.get_host()}, require_https=request.is_secure()):
            parts = urlsplit(referer)
            page = f"{parts.path}?{parts.query}" if parts.query else parts.path
        answer = redirect_to_login(page)
        return HttpResponseClientRedirect(answer.url) if request.htmx else answer


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
