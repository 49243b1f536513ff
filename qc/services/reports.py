"""Documents of a run: made once by a job, kept by digest, and as a plain file for people with a file browser."""

from __future__ import annotations

from uuid import UUID


def report_make(*, report_id: UUID) -> None:
    """Job: typeset one report, keep it, and put the plain file beside the others."""
    raise NotImplementedError
