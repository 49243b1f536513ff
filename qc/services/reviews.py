"""A physicist's work on a measured submission: claim, look, judge, sign."""

from __future__ import annotations

from uuid import UUID

from corelab.models import User
from qc.models import ChecklistAnswer, Review, Run, Submission


def submission_claim(*, submission_id: UUID, actor: User) -> Submission:
    """Take a submission for review; of two physicists at once one gets StaleState."""
    raise NotImplementedError


def submission_unclaim(*, submission_id: UUID, actor: User) -> Submission:
    """Give a submission back to the worklist."""
    raise NotImplementedError


def checklist_answer(*, run_id: UUID, actor: User, item: str, is_seen: bool, note: str = "") -> ChecklistAnswer:
    """Record one answer of the visual checklist; a changed mind is a later row."""
    raise NotImplementedError


def signing_digest(run: Run) -> str | None:
    """Return the digest of exactly what a review signs; None while the unsigned report is not made."""
    raise NotImplementedError


def signing_statement(run: Run, verdict: str) -> str:
    """Return the sentence that a review of this run with this verdict signs."""
    raise NotImplementedError


def review_sign(
    *,
    submission_id: UUID,
    run_id: UUID,
    actor: User,
    verdict: str,
    difference_reason: str,
    comment_to_site: str,
    password: str,
    shown_digest: str,
) -> Review:
    """Sign the review of a run and release the result to the site.

    Raises
    ------
    StaleState
        The run or its report changed, or another physicist has the submission.
    Refused
        ``CHECKLIST-OPEN``, ``DIFFERENCE-REASON``, ``VERDICT-UNKNOWN``, ``REPORT-NOT-READY``.
    NotAllowed
        ``SIGN-PASSWORD``: the password is not right; nothing was signed. ``OWN-SUBMISSION``: the person sent it.
    """
    raise NotImplementedError
