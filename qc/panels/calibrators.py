"""Dose calibrators on the page of their site, each with its checks."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django.http import HttpRequest

from corelab.panels import Panel
from qc import selectors


def of_site(request: HttpRequest, site: Any) -> Iterator[Panel]:
    """Yield the site's dose calibrators with the day of their last reading; nothing where there is none to see."""
    rows = list(selectors.checked_calibrators_visible_to(request.user).filter(site=site, is_active=True))
    if rows:
        yield Panel(template="qc/_panel_calibrators.html", context={"rows": rows, "site": site}, order=40)


PLACES = {"site": of_site}
