"""The one way a submission changes its state."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.db import transaction
from django.utils import timezone

from corelab import access, audit
from corelab.errors import StaleState
from corelab.models import User
from qc.models import Submission
from qc.states import SUBMISSION, SubmissionState

_SENTENCES = {
    "send": "A site sent a submission to the core lab.",
    "return": "The arrival check gave a submission back to its site, with what is missing.",
    "receive": "A submission arrived and was accepted for analysis.",
    "analyse": "A worker took a submission up for analysis.",
    "measured": "A submission was measured and waits for review.",
    "preview": "A dry run was measured; it counts for nothing.",
    "repeat": "Staff asked for another analysis.",
    "claim": "A physicist took a submission for review.",
    "unclaim": "A physicist gave a submission back to the worklist.",
    "release": "A signed review released the result to the site.",
    "hold": "A submission was held until a person decides.",
    "recheck": "Staff let a held submission be checked again.",
    "withdraw": "A site withdrew a submission.",
    "replace": "A later submission took the place of this one.",
}
audit.catalogue({f"submission.{event}": sentence for event, sentence in _SENTENCES.items()})

_STATE_WORDS = {state: state.replace("_", " ").lower() for state in SubmissionState}


@transaction.atomic
def move(
    submission: Submission,
    event: str,
    *,
    actor: User | None,
    reason: str = "",
    evidence: Mapping[str, Any] | None = None,
    only_if: Mapping[str, Any] | None = None,
    **fields: Any,
) -> Submission:
    """Make one move of the state table: find it, check it, swap the state, record it.

    Parameters
    ----------
    submission : Submission
        Its state here is what the caller has seen; another state in the table means someone was faster.
    actor : User or None
        The person, checked against the roles of the move; None is the system.
    evidence : mapping, optional
        What else the audit row keeps.
    only_if : mapping, optional
        Columns that must still hold these values beside the state, for the swap to be made.
    **fields
        Columns that change in the same statement.

    Raises
    ------
    InvalidMove, NotAllowed, Refused, StaleState
    """
    row = SUBMISSION.find(event, submission.state)
    roles = None if actor is None else access.roles_of(actor, submission.site, submission.trial)
    row.check(submission, roles=roles, reason=reason)
    before = {"state": row.source} | {name: plain(getattr(submission, name)) for name in fields}
    moved = Submission.objects.filter(pk=submission.pk, state=row.source, **(only_if or {})).update(
        state=row.target, changed_at=timezone.now(), **fields
    )
    if not moved:
        if only_if and Submission.objects.filter(pk=submission.pk, state=row.source).exists():
            raise StaleState(f"{submission} changed while you were reading. Look at it again first.")
        raise StaleState(f"{submission} is no longer {_STATE_WORDS[SubmissionState(row.source)]}.")
    submission.state = row.target
    for name, value in fields.items():
        setattr(submission, name, value)
    after = {"state": row.target} | {name: plain(value) for name, value in fields.items()} | dict(evidence or {})
    audit.record(f"submission.{event}", submission, before=before, after=after, reason=reason)
    return submission


def plain(value: Any) -> Any:
    """Return a column's value as JSON holds it; people and rows by their key."""
    if value is None or isinstance(value, bool | int | float | str | list | dict):
        return value
    return str(getattr(value, "pk", value))
