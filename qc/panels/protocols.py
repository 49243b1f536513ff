"""A trial's protocol on the trial's page."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django.http import HttpRequest
from django.utils import timezone

from corelab.panels import Panel
from qc import protocols, selectors


def versions_of(request: HttpRequest, trial: Any) -> list[Any]:
    """Return the versions of a trial's protocol that the person sees, the newest first, read once a request."""
    kept: dict[int, list[Any]] = request.__dict__.setdefault("_protocols", {})
    if trial.pk not in kept:
        kept[trial.pk] = list(selectors.protocols_visible_to(request.user).filter(trial=trial))
    return kept[trial.pk]


def of_trial(request: HttpRequest, trial: Any) -> Iterator[Panel]:
    """Yield which version is in force, and those that come after it."""
    today = timezone.now().date()
    versions = versions_of(request, trial)
    begun = [one for one in versions if one.published_at and one.effective_on <= today]
    in_force = max(begun, key=lambda one: (one.effective_on, one.version), default=None)
    writes = selectors.writes_protocols(request.user)
    if not versions and not writes:
        return
    context = {
        "trial": trial,
        "in_force": in_force,
        "others": [one for one in versions if one not in begun],
        "writes": writes,
        "templates": list(protocols.TEMPLATES),
    }
    yield Panel(template="qc/_panel_protocol.html", context=context, order=40)


PLACES = {"trial": of_trial}
