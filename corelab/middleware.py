"""What every request passes: an id, a content policy, the person who acts, errors in words."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.contrib.auth.middleware import LoginRequiredMiddleware
from django.contrib.auth.views import redirect_to_login
from django.http import HttpRequest, HttpResponse, HttpResponseNotFound, QueryDict, UnreadablePostError
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


_FORM_TYPES = frozenset({"application/x-www-form-urlencoded", "multipart/form-data"})


class BodyLimitMiddleware:
    """Answers 413 to a body that is declared larger than any form, before anything reads it.

    The check against forged forms reads a whole form, with its files, of anybody. More than a form may hold comes only
    where files come: by the form with a file from a person who is signed in, or by a resumable upload, whose view
    holds each piece to its own limit. A body without a declared length is empty here, under WSGI.
    """

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        return self.get_response(request)

    def process_view(self, request: HttpRequest, *_: Any) -> HttpResponse | None:
        """Judge by the declared length, once it is known who asks for which page."""
        declared = request.META.get("CONTENT_LENGTH") or "0"
        limit_bytes = _body_limit_bytes(request)
        if limit_bytes is None or (declared.isdecimal() and int(declared) <= limit_bytes):
            return None
        return _plain(413, "This is more than may be sent at once.")


def _body_limit_bytes(request: HttpRequest) -> int | None:
    """Return how long this request's body may be; None where its view says so itself."""
    view_name = request.resolver_match.view_name if request.resolver_match else ""
    if view_name in settings.RESUMABLE_VIEWS and request.content_type not in _FORM_TYPES:
        return None
    takes_file = view_name in settings.FILE_FORM_VIEWS and request.content_type == "multipart/form-data"
    if takes_file and request.method == "POST" and request.user.is_authenticated:
        # The form's own fields and boundaries come on top of the file.
        return settings.UPLOAD_FILE_MAX_BYTES + settings.DATA_UPLOAD_MAX_MEMORY_SIZE
    return settings.DATA_UPLOAD_MAX_MEMORY_SIZE


class NulMiddleware:
    """Answers 400 to a NUL character in path, query, cookies or a form: no text holds one, and PostgreSQL takes none.

    Bodies that are no form, such as those of resumable uploads, are not read.
    """

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        cookies = (text for pair in request.COOKIES.items() for text in pair)
        if "\0" in request.path_info or _has_nul(request.GET) or any("\0" in text for text in cookies):
            return _nul()
        return self.get_response(request)

    def process_view(self, request: HttpRequest, *_: Any) -> HttpResponse | None:
        """Look into a form, which is read next in any case; its length was judged before."""
        if request.content_type not in _FORM_TYPES:
            return None
        try:
            file_names = (text for field, file in request.FILES.items() for text in (field, file.name or ""))
            found = _has_nul(request.POST) or any("\0" in text for text in file_names)
        except UnreadablePostError:
            return _plain(400, "The connection broke. Send the form again.")
        return _nul() if found else None


def _has_nul(fields: QueryDict) -> bool:
    return any("\0" in text for key, values in fields.lists() for text in (key, *values))


def _nul() -> HttpResponse:
    return _plain(400, "This request holds a NUL character, which no text may have.")


def _plain(status: int, text: str) -> HttpResponse:
    return HttpResponse(text, status=status, content_type="text/plain; charset=utf-8")


class ContentSecurityPolicyMiddleware:
    """Sends the content policy with every page."""

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        response = self.get_response(request)
        response.headers.setdefault("Content-Security-Policy", POLICY)
        response.headers.setdefault("Permissions-Policy", "camera=(), geolocation=(), microphone=()")
        return response


#: A sign-in ends after so long without use: sites, and those who work in the lab all day.
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
