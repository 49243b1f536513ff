"""Home, by role."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render


def home_show(request: HttpRequest) -> HttpResponse:
    """Show the home of this person's roles."""
    return render(request, "corelab/home_show.html")
