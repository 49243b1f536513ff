"""The reference that ties a page, a log line and an audit row together; logging loads this before any app."""

from __future__ import annotations

import logging
import secrets
from contextvars import ContextVar

ALPHABET = "23456789ABCDEFGHJKLMNPQRSTUVWXYZ"  # read aloud without 0/O and 1/I

request_id: ContextVar[str] = ContextVar("request_id", default="-")


def new_reference() -> str:
    """Return a short reference such as ``7F3K-2Q``, fit to be read over the telephone."""
    letters = "".join(secrets.choice(ALPHABET) for _ in range(6))
    return f"{letters[:4]}-{letters[4:]}"


class RequestIdFilter(logging.Filter):
    """Puts the request's reference on every log line."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Add the reference; never drop a line."""
        record.request_id = request_id.get()
        return True
