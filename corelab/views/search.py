"""Search: a number goes straight there, otherwise groups of what the person may see."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.http import require_safe

from corelab import panels, selectors
from corelab.errors import NotFound
from corelab.models import User
from corelab.panels import SearchGroup

HITS = 5
SHORTEST = 2
URL_OF: dict[str, Any] = {
    "site": lambda site: reverse("corelab:site-detail", args=[site.code]),
    "scanner": lambda scanner: reverse("corelab:scanner-detail", args=[scanner.pk]),
    "trial": lambda trial: reverse("corelab:trial-detail", args=[trial.code]),
    "person": lambda person: reverse("corelab:person-detail", args=[person.pk]),
}


@require_safe
def search_show(request: HttpRequest) -> HttpResponse:
    """Find something; as one types, only the groups come back."""
    text = request.GET.get("q", "").strip()[:80]
    is_whole_page = not request.htmx
    if text and is_whole_page and (url := _straight_to(request, text)):
        return redirect(url)
    groups = _groups(request, text) if len(text) >= SHORTEST else []
    context = {
        "text": text,
        "groups": groups,
        "is_too_short": bool(text) and len(text) < SHORTEST,
        "spelling": selectors.spelling_for(request.user, text) if len(text) > SHORTEST and not groups else "",
    }
    return render(request, "corelab/search_show.html" if is_whole_page else "corelab/_search_groups.html", context)


def _groups(request: HttpRequest, text: str) -> list[SearchGroup]:
    found = [group for groups in panels.ask("search", request, text, HITS) for group in groups]
    return [group for group in found if group.total] + selectors.search_register(request.user, text, HITS, URL_OF)


def _straight_to(request: HttpRequest, text: str) -> str:
    for url in panels.ask("jump", request, text):
        if url:
            return str(url)
    user: User = request.user
    if scanner := selectors.scanner_with_serial(user, text):
        return URL_OF["scanner"](scanner)
    for kind, find in (("site", selectors.site_for), ("trial", selectors.trial_for)):
        try:
            return URL_OF[kind](find(user, text))
        except NotFound:
            continue
    return ""
