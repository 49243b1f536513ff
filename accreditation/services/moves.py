"""The one way a case changes its state."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from django.db import transaction
from django.utils import timezone

from accreditation.models import Case
from accreditation.selectors import NOTHING_HERE, cases_visible_to
from accreditation.workflow import CASE, CaseState, Standing
from corelab import access, audit
from corelab.errors import NotFound, StaleState
from corelab.models import User

_SENTENCES = {
    "submit": "A site applied for the accreditation of a scope.",
    "receive": "The core lab took an application up.",
    "incomplete": "The core lab gave an application back to its site, with what is missing.",
    "accept": "An application is complete; its evidence is being collected.",
    "collect": "The evidence of a case is there, or some of it failed; a physicist looks at it.",
    "propose": "A physicist proposed to accredit.",
    "require_action": "A physicist asked the site for a corrective action.",
    "fail": "A physicist ended a case as not accredited.",
    "resubmit": "What a corrective action asked for was done.",
    "lapse": "The day by which a corrective action was due has passed.",
    "analyse": "The evidence of a case is being collected again.",
    "take": "An approver took a case for the second signature.",
    "give_back": "An approver let go of a case, for another to take.",
    "return": "An approver returned a case to the physicists.",
    "approve": "An approver signed the accreditation.",
    "issue": "Certificate and clearance were written.",
    "refuse": "An approver refused the accreditation.",
    "remind": "The end of an accreditation is near.",
    "expire": "The last day of an accreditation has passed.",
    "suspend": "An accreditation was suspended.",
    "reinstate": "An approver let a suspended accreditation hold again.",
    "reaccredit": "The next accreditation of a scope was begun.",
    "withdraw": "A case was withdrawn.",
}
audit.catalogue({f"case.{event}": sentence for event, sentence in _SENTENCES.items()})

_STATE_WORDS = {state: state.replace("_", " ").lower() for state in CaseState}


def case_seen(actor: User, case_id: UUID) -> Case:
    """Return a case that the person may look at, locked in the caller's transaction, or raise NotFound."""
    case = cases_visible_to(actor).select_for_update(of=("self",)).filter(pk=case_id).first()
    if case is None:
        raise NotFound(NOTHING_HERE)
    return case


def case_locked(case_id: UUID) -> Case:
    """Return a case for the system, locked in the caller's transaction."""
    rows = Case.objects.select_related("scanner__site", "reconstruction", "trial", "created_by", "approver")
    return rows.select_for_update(of=("self",)).get(pk=case_id)


@transaction.atomic
def move(
    case: Case,
    event: str,
    *,
    actor: User | None,
    standing: Standing | None = None,
    reason: str = "",
    evidence: Mapping[str, Any] | None = None,
    **fields: Any,
) -> Case:
    """Make one move of the state table: find it, check it, swap the state, record it.

    Parameters
    ----------
    case : Case
        Its state here is what the caller has seen; another state in the table means someone was faster.
    actor : User or None
        The person, checked against the roles of the move; None is the system.
    standing : Standing, optional
        What the guards look at; moves without guards need none.
    evidence : mapping, optional
        What else the audit row keeps.
    **fields
        Columns that change in the same statement.

    Raises
    ------
    InvalidMove, NotAllowed, Refused, StaleState
    """
    row = CASE.find(event, case.state)
    roles = None if actor is None else access.roles_of(actor, case.scanner.site, case.trial)
    row.check(standing, roles=roles, reason=reason)
    before = {"state": row.source} | {name: plain(getattr(case, name)) for name in fields}
    moved = Case.objects.filter(pk=case.pk, state=row.source, attempt=case.attempt, approver=case.approver_id).update(
        state=row.target, changed_at=timezone.now(), **fields
    )
    if not moved:
        raise StaleState(f"{case} is no longer {_STATE_WORDS[CaseState(row.source)]}, or someone else has it now.")
    case.state = row.target
    for name, value in fields.items():
        setattr(case, name, value)
    after = {"state": row.target} | {name: plain(value) for name, value in fields.items()} | dict(evidence or {})
    audit.record(f"case.{event}", case, before=before, after=after, reason=reason)
    return case


def plain(value: Any) -> Any:
    """Return a column's value as JSON holds it; people and rows by their key, days in ISO."""
    if value is None or isinstance(value, bool | int | float | str | list | dict):
        return value
    return str(getattr(value, "pk", value))
