"""What the beat does: give lost work back, delete old dry runs and stale uploads."""

from __future__ import annotations


def work_sweep() -> None:
    """Job: find work that stands still, and end what was lost for the last time as our error."""
    raise NotImplementedError


def dry_runs_delete_old() -> int:
    """Job: delete dry runs that nobody touched for the days they are kept, with files that nothing else uses."""
    raise NotImplementedError


def uploads_delete_stale() -> int:
    """Job: delete unfinished uploads that nobody went on with for 30 days."""
    raise NotImplementedError
