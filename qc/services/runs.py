"""Analyses: made once for each identity, claimed by one worker, never edited afterwards."""

from __future__ import annotations

from uuid import UUID


def run_analyse(*, run_id: UUID) -> None:
    """Job: measure one run and hand its submission on to review, or to preview."""
    raise NotImplementedError
