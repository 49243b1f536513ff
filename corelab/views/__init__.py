"""Pages of the core app, one module a noun; here those that answer errors."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

__all__ = ["bad_request", "csrf_failure", "not_found", "our_error"]


def not_found(request: HttpRequest, exception: Exception | None = None) -> HttpResponse:
    """Answer absent and forbidden alike."""
    return render(request, "404.html", status=404)


def bad_request(request: HttpRequest, exception: Exception | None = None) -> HttpResponse:
    """Say that the request itself cannot be read."""
    return render(request, "400.html", status=400)


def our_error(request: HttpRequest) -> HttpResponse:
    """Say that something broke on our side, with the reference; needs neither database nor session."""
    return render(None, "500.html", {"reference": getattr(request, "reference", "")}, status=500)


def csrf_failure(request: HttpRequest, reason: str = "") -> HttpResponse:
    """Say that the form is too old."""
    return render(request, "403_csrf.html", status=403)
