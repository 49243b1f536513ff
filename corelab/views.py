"""Pages of the core app."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render


def not_found(request: HttpRequest, exception: Exception | None = None) -> HttpResponse:
    """Answer absent and forbidden alike."""
    return render(request, "404.html", status=404)


def our_error(request: HttpRequest) -> HttpResponse:
    """Say that something broke on our side, with the reference."""
    return render(request, "500.html", {"reference": getattr(request, "reference", "")}, status=500)


def csrf_failure(request: HttpRequest, reason: str = "") -> HttpResponse:
    """Say that the form is too old."""
    return render(request, "403_csrf.html", status=403)
