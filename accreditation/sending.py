"""Where a site sends what a case needs: the first step of sending, with the scope filled in."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from django.urls import reverse

from accreditation import programmes

#: What the button says, by what a programme asks for; a transfer is met by whatever arrives.
SEND_WORDS = {"cylinder": "Send the cylinder", "nema_iq": "Send the NEMA IQ phantom", "transfer": "Send a scan"}


def kinds_of(case: Any) -> dict[str, str]:
    """Return what each requirement of the case's programme is met by, by its id."""
    return {need.id: need.kind for need in programmes.load(case.programme).requirements}


def send_url(case: Any, kind: str) -> str:
    """Return the address at which a site begins to send it for exactly this scope."""
    asked = {"scanner": case.scanner_id, "reconstruction": case.reconstruction_id, "standard": case.standard}
    if kind != "transfer":
        asked = {"kind": kind} | asked
    return f"{reverse('qc:submission-start')}?{urlencode(asked)}"
