"""What people sign about a case: physicists propose, an approver, another person, decides."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any
from uuid import UUID

from django.db import transaction

from accreditation import programmes
from accreditation.models import Case, Decision
from accreditation.requirements import Requirement, day_words, longest_validity
from accreditation.selectors import deciding_content, facts_of, requirements_of, standing_of, today_at
from accreditation.services.certificates import certificate_issue, certificate_reinstate, clearances_end
from accreditation.services.moves import case_seen, move
from accreditation.statements import statement_of
from accreditation.workflow import CaseState
from corelab import access, audit, signatures
from corelab.errors import NotAllowed, Refused, StaleState
from corelab.models import Clearance, Role, User
from corelab.models.signatures import Meaning
from qc import analysis

#: Characters that fit the page whatever the letters.
CONDITIONS_MAX = 600

audit.catalogue({"decision.sign": "A person signed a decision about a case."})


@transaction.atomic
def case_propose(*, case_id: UUID, actor: User, password: str, shown_digest: str, conditions: str = "") -> Decision:
    """Propose to accredit, by a signature.

    Raises
    ------
    Refused
        A requirement is missing, the person is of the site, or ``CONDITIONS-LONG``.
    """
    shown = _read(case_id, actor, "propose", shown_digest)
    case = shown.case
    statement = statement_of("propose", case, {}, shown.today)
    conditions = _conditions(conditions)
    move(case, "propose", actor=actor, standing=shown.standing)
    return _sign(shown, password, statement, {"conditions": conditions})


@transaction.atomic
def case_require_action(
    *,
    case_id: UUID,
    actor: User,
    password: str,
    shown_digest: str,
    reason: str,
    action_text: str,
    deadline_on: date,
    more_attempts_reason: str = "",
) -> Decision:
    """Ask the site for a corrective action by a day, by a signature.

    Raises
    ------
    Refused
        ``ACTION-MISSING``, ``DEADLINE-PAST``; the last attempt is used and ``more_attempts_reason`` is empty.
    """
    shown = _read(case_id, actor, "require_action", shown_digest, more_attempts_reason=more_attempts_reason)
    case = shown.case
    if not action_text.strip():
        raise Refused("Say what the site is asked to do.", code="ACTION-MISSING")
    if deadline_on < shown.today:
        raise Refused("Give the site a day that is still to come.", code="DEADLINE-PAST")
    statement = statement_of("require_action", case, {"deadline_on": deadline_on}, shown.today)
    signed = {
        "reason": reason.strip(),
        "action_text": action_text.strip(),
        "deadline_on": deadline_on.isoformat(),
        "more_attempts_reason": more_attempts_reason.strip(),
    }
    move(
        case,
        "require_action",
        actor=actor,
        standing=shown.standing,
        reason=reason.strip(),
        evidence={"more_attempts_reason": more_attempts_reason.strip()} if more_attempts_reason.strip() else None,
        action_text=action_text.strip(),
        deadline_on=deadline_on,
    )
    return _sign(shown, password, statement, signed)


@transaction.atomic
def case_fail(*, case_id: UUID, actor: User, password: str, shown_digest: str, reason: str) -> Decision:
    """End a case as not accredited, by a signature; a certificate that it had is withdrawn."""
    shown = _read(case_id, actor, "fail", shown_digest)
    statement = statement_of("fail", shown.case, {}, shown.today)
    move(shown.case, "fail", actor=actor, standing=shown.standing, reason=reason.strip())
    decision = _sign(shown, password, statement, {"reason": reason.strip()})
    clearances_end(shown.case, Clearance.Ending.WITHDRAWN, reason)
    return decision


@transaction.atomic
def case_take_second(*, case_id: UUID, actor: User) -> Case:
    """Take a proposed case for the second signature; of two approvers at once one gets StaleState."""
    case = case_seen(actor, case_id)
    if case.state == CaseState.SECOND_REVIEW:
        if case.approver_id == actor.pk:
            return case
        raise StaleState(f"{case.approver} has this already.")
    today = today_at(case.scanner.site)
    standing = standing_of(case, requirements_of(case, today), today, actor=actor, event="take")
    return move(case, "take", actor=actor, standing=standing, approver=actor)


@transaction.atomic
def case_give_back(*, case_id: UUID, actor: User) -> Case:
    """Let go of a case; another approver may do it for one who is away."""
    return move(case_seen(actor, case_id), "give_back", actor=actor, approver=None)


@transaction.atomic
def case_return(*, case_id: UUID, actor: User, reason: str) -> Case:
    """Return a case to the physicists, undecided, with a reason."""
    case = case_seen(actor, case_id)
    _check_has_it(case, actor)
    return move(case, "return", actor=actor, reason=reason.strip(), approver=None)


@transaction.atomic
def case_approve(
    *,
    case_id: UUID,
    actor: User,
    password: str,
    shown_digest: str,
    valid_from: date,
    valid_until: date,
    conditions: str = "",
) -> Decision:
    """Accredit, by a signature: certificate, clearance and the job for the document are written with it.

    Raises
    ------
    Refused
        ``VALID-DAYS``: the days are in no order, begin in the past, or last longer than the programme gives;
        ``CONDITIONS-LONG``; a requirement is missing, or the person had another part in the case.
    """
    shown = _read(case_id, actor, "approve", shown_digest)
    case = shown.case
    _check_has_it(case, actor)
    _check_days(case, valid_from, valid_until, shown.today)
    conditions = _conditions(conditions)
    statement = statement_of("approve", case, {"valid_from": valid_from, "valid_until": valid_until}, shown.today)
    signed = {
        "valid_from": valid_from.isoformat(),
        "valid_until": valid_until.isoformat(),
        "conditions": conditions,
    }
    move(case, "approve", actor=actor, standing=shown.standing, valid_from=valid_from, valid_until=valid_until)
    decision = _sign(shown, password, statement, signed)
    certificate = certificate_issue(
        case, decision, valid_from=valid_from, valid_until=valid_until, conditions=conditions
    )
    move(case, "issue", actor=None, evidence={"certificate": certificate.number}, approver=None, action_text="")
    return decision


@transaction.atomic
def case_refuse(*, case_id: UUID, actor: User, password: str, shown_digest: str, reason: str) -> Decision:
    """Refuse the accreditation, by a signature; a certificate that the case had is withdrawn."""
    shown = _read(case_id, actor, "refuse", shown_digest)
    _check_has_it(shown.case, actor)
    statement = statement_of("refuse", shown.case, {}, shown.today)
    move(shown.case, "refuse", actor=actor, standing=shown.standing, reason=reason.strip(), approver=None)
    decision = _sign(shown, password, statement, {"reason": reason.strip()})
    clearances_end(shown.case, Clearance.Ending.WITHDRAWN, reason)
    return decision


@transaction.atomic
def case_reinstate(*, case_id: UUID, actor: User, password: str, shown_digest: str, reason: str) -> Decision:
    """Let a suspended accreditation hold again from today, by a signature."""
    shown = _read(case_id, actor, "reinstate", shown_digest)
    case = shown.case
    statement = statement_of("reinstate", case, {}, shown.today)
    move(case, "reinstate", actor=actor, standing=shown.standing, reason=reason.strip())
    decision = _sign(shown, password, statement, {"reason": reason.strip()})
    certificate_reinstate(case)
    return decision


# --- the steps -------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class _Shown:
    """A case as the person has read it, locked, with what the guards need."""

    case: Case
    actor: User
    event: str
    content: dict[str, Any]
    standing: Any
    today: date


def _read(case_id: UUID, actor: User, event: str, shown_digest: str, **more: str) -> _Shown:
    case = case_seen(actor, case_id)
    today = today_at(case.scanner.site)
    found: list[Requirement] = requirements_of(case, today)
    content = deciding_content(case, found)
    if analysis.digest(content) != shown_digest:
        raise StaleState("The case changed while you were reading. Read it again before you sign.")
    standing = standing_of(case, found, today, actor=actor, event=event, **more)
    return _Shown(case=case, actor=actor, event=event, content=content, standing=standing, today=today)


def _check_has_it(case: Case, actor: User) -> None:
    if Role.APPROVER not in access.lab_roles_of(actor):
        raise NotAllowed("An approver decides this.")
    if case.state == CaseState.SECOND_REVIEW and case.approver_id != actor.pk:
        raise StaleState(f"{case.approver} has this.")


def _check_days(case: Case, valid_from: date, valid_until: date, today: date) -> None:
    if valid_from < today:
        raise Refused(
            "A certificate begins today at the earliest: a day that is over stays as it was.", code="VALID-DAYS"
        )
    if valid_until < valid_from:
        raise Refused("The last day comes before the first.", code="VALID-DAYS")
    facts = facts_of([case])[case.pk].on(today)
    longest = longest_validity(programmes.load(case.programme), facts, valid_from, today)
    if valid_until > longest:
        raise Refused(f"The programme lets it hold to {day_words(longest)} at most.", code="VALID-DAYS")


def _conditions(text: str) -> str:
    """Return conditions as one paragraph that fits the certificate's one page."""
    words = " ".join(text.split())
    if len(words) > CONDITIONS_MAX:
        raise Refused(
            f"Conditions stand on a certificate of one page: {CONDITIONS_MAX} characters at most.",
            code="CONDITIONS-LONG",
        )
    return words


#: In which role each decision is signed, and what the signature means.
_ROLES = {
    "propose": (Role.PHYSICIST, Meaning.REVIEW),
    "require_action": (Role.PHYSICIST, Meaning.REVIEW),
    "fail": (Role.PHYSICIST, Meaning.REVIEW),
    "approve": (Role.APPROVER, Meaning.APPROVAL),
    "refuse": (Role.APPROVER, Meaning.APPROVAL),
    "reinstate": (Role.APPROVER, Meaning.APPROVAL),
}


def _sign(shown: _Shown, password: str, statement: str, signed: Mapping[str, Any]) -> Decision:
    """Sign what was shown together with what the person wrote, and keep exactly that.

    The move comes first: of two signers the slower one stops there, before anything is signed.
    """
    role, meaning = _ROLES[shown.event]
    content = shown.content | {"decision": shown.event, "statement": statement} | dict(signed)
    signature = signatures.sign(
        user=shown.actor,
        password=password,
        role=str(role.label),
        meaning=meaning,
        statement=statement,
        digest=analysis.digest(content),
        target=shown.case,
    )
    decision = Decision.objects.create(
        case=shown.case,
        event=shown.event,
        reason=str(signed.get("reason", "")),
        conditions=str(signed.get("conditions", "")),
        content=content,
        signature=signature,
        decided_at=signature.signed_at,
    )
    audit.record(
        "decision.sign",
        shown.case,
        after={"event": shown.event, "digest": signature.digest} | dict(signed),
        reason=decision.reason,
    )
    return decision
