"""The one way a submission or a query changes its state."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from django.db import transaction
from django.utils import timezone

from corelab import access, audit
from corelab.errors import StaleState
from corelab.models import User
from corelab.states import MoveTable
from qc.models import Query, Submission
from qc.states import QUERY, SUBMISSION

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
    "choose": "A physicist decided by signature how the SUV is worked out; it is measured anew.",
    "release": "A signed review released the result to the site.",
    "hold": "A submission was held until a person decides.",
    "recheck": "Staff let a held submission be checked again.",
    "withdraw": "A site withdrew a submission.",
    "replace": "A later submission took the place of this one.",
}
_QUERY_SENTENCES = {
    "ask": "Staff asked a site about a scan.",
    "drop": "A drafted question was dropped before it was asked.",
    "answer": "A site answered a question.",
    "resubmit": "A scan that a site sent in answer was measured.",
    "reopen": "Staff asked a site again.",
    "close": "Staff closed a question.",
    "give_up": "Staff gave a question up as one that cannot be solved.",
}
audit.catalogue({f"submission.{event}": sentence for event, sentence in _SENTENCES.items()})
audit.catalogue({f"query.{event}": sentence for event, sentence in _QUERY_SENTENCES.items()})

_TABLES: Mapping[type, MoveTable] = {Submission: SUBMISSION, Query: QUERY}
Movable = TypeVar("Movable", Submission, Query)


@transaction.atomic
def move(
    moving: Movable,
    event: str,
    *,
    actor: User | None,
    reason: str = "",
    evidence: Mapping[str, Any] | None = None,
    only_if: Mapping[str, Any] | None = None,
    **fields: Any,
) -> Movable:
    """Make one move of the state table: find it, check it, swap the state, record it.

    Parameters
    ----------
    moving : Submission or Query
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
    table = _TABLES[type(moving)]
    row = table.find(event, moving.state)
    roles = None if actor is None else access.roles_of(actor, moving.site, moving.trial)
    row.check(moving, roles=roles, reason=reason)
    before = {"state": row.source} | {name: plain(getattr(moving, name)) for name in fields}
    here = type(moving)._default_manager.filter(pk=moving.pk, state=row.source)
    moved = here.filter(**(only_if or {})).update(state=row.target, changed_at=timezone.now(), **fields)
    if not moved:
        if only_if and here.exists():
            raise StaleState(f"{moving} changed while you were reading. Look at it again first.")
        raise StaleState(f"{moving} is no longer {row.source.replace('_', ' ').lower()}.")
    moving.state = row.target
    for name, value in fields.items():
        setattr(moving, name, value)
    after = {"state": row.target} | {name: plain(value) for name, value in fields.items()} | dict(evidence or {})
    audit.record(f"{table.name}.{event}", moving, before=before, after=after, reason=reason)
    return moving


def plain(value: Any) -> Any:
    """Return a column's value as JSON holds it; people and rows by their key."""
    if value is None or isinstance(value, bool | int | float | str | list | dict):
        return value
    return str(getattr(value, "pk", value))
