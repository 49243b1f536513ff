"""What this package puts on the pages of `corelab`, one module a noun."""

from __future__ import annotations

from corelab import panels
from qc.panels import calibrators, drifts, protocols, queries, submissions, trials


def register() -> None:
    """Fill the places; called once when the app is ready."""
    for module in (submissions, queries, drifts, trials, protocols, calibrators):
        for place, provider in module.PLACES.items():
            panels.register(place, provider)
