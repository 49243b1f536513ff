"""The arrival check: everything that is wrong with a submission, said at once."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from qc.models import Submission


def preview_findings(submission: Submission) -> list[dict[str, Any]]:
    """Return what the arrival check would say of a draft now: findings as JSON, those that block sending first.

    A finding blocks where its severity is ``exclude``.
    """
    raise NotImplementedError


def submission_check(*, submission_id: UUID) -> None:
    """Job: check a submission's arrival; send it on to analysis, hold it, or give it back to its site."""
    raise NotImplementedError
