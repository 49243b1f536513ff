"""Doors: what stands in the way of sign-up, and the password."""

from __future__ import annotations

from django.http import Http404, HttpRequest, HttpResponse
from django.views.decorators.http import require_POST


def closed(request: HttpRequest) -> HttpResponse:
    """Answer a door that this house does not have."""
    raise Http404


def password_change(request: HttpRequest) -> HttpResponse:
    """Change one's own password."""
    raise Http404


@require_POST
def session_stay(request: HttpRequest) -> HttpResponse:
    """Move the end of the sign-in; the idle middleware has done so already."""
    return HttpResponse(status=204)
