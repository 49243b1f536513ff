"""The states of a case and every move between them.

A guard looks at a `Standing`: what is known about the case at the moment of the move. It holds no rows, so the whole
table can be walked without a database.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from corelab.states import Move, MoveTable


class CaseState(StrEnum):
    """Where an application for one scope stands."""

    DRAFT = "DRAFT"
    SUBMITTED = "SUBMITTED"
    RECEIPT_CHECK = "RECEIPT_CHECK"
    INCOMPLETE = "INCOMPLETE"
    ANALYSIS_RUNNING = "ANALYSIS_RUNNING"
    PHYSICIST_REVIEW = "PHYSICIST_REVIEW"
    CORRECTIVE_ACTION_REQUIRED = "CORRECTIVE_ACTION_REQUIRED"
    RESUBMITTED = "RESUBMITTED"
    PASS_RECOMMENDED = "PASS_RECOMMENDED"  # noqa: S105 (a state, not a secret)
    SECOND_REVIEW = "SECOND_REVIEW"
    SIGNED = "SIGNED"
    ACCREDITED = "ACCREDITED"
    DUE_SOON = "DUE_SOON"
    EXPIRED = "EXPIRED"
    SUSPENDED = "SUSPENDED"
    REACCREDITATION = "REACCREDITATION"
    FAIL = "FAIL"
    WITHDRAWN = "WITHDRAWN"


S = CaseState
#: Nothing more happens in these; another case for the same scope may be opened.
CLOSED = frozenset({S.FAIL, S.WITHDRAWN})
#: The scope may be scanned in these.
IN_FORCE = frozenset({S.ACCREDITED, S.DUE_SOON})
#: A certificate was given and nobody asks for the next one: these cases are watched, not worked on.
STANDING = IN_FORCE | {S.EXPIRED, S.SUSPENDED}

SITE = frozenset({"site_user"})
STAFF = frozenset({"technician", "physicist"})
PHYSICIST = frozenset({"physicist"})
APPROVER = frozenset({"approver"})
LAB = STAFF | APPROVER


@dataclass(frozen=True, kw_only=True)
class Standing:
    """What the guards of a move look at.

    Attributes
    ----------
    attempt, attempts_allowed : int
        Which attempt this is, and how many the programme gives.
    more_attempts_reason : str
        Why the person allows one more than that.
    lacks : tuple of str
        Titles of the requirements that are not met, without the approval itself.
    own_part : str
        What the person who acts had to do with the case, as a sentence; empty where nothing.
    is_in_force : bool
        Today lies within the days that were certified.
    """

    attempt: int = 1
    attempts_allowed: int = 3
    more_attempts_reason: str = ""
    lacks: tuple[str, ...] = ()
    own_part: str = ""
    is_in_force: bool = True


def is_complete(standing: Standing) -> str:
    """Guard: every requirement is met."""
    if not standing.lacks:
        return ""
    count = len(standing.lacks)
    words = "1 requirement is" if count == 1 else f"{count} requirements are"
    return f"{words} missing: {', '.join(standing.lacks)}."


def has_attempts(standing: Standing) -> str:
    """Guard: the last attempt that the programme gives can only end the case, unless somebody says why not."""
    if standing.attempt < standing.attempts_allowed or standing.more_attempts_reason.strip():
        return ""
    return (
        f"This was attempt {standing.attempt} of {standing.attempts_allowed}. "
        "End the case as not accredited, or say why one more attempt is allowed."
    )


def is_another_person(standing: Standing) -> str:
    """Guard: whoever decides had no other part in the case."""
    return standing.own_part


def is_within_days(standing: Standing) -> str:
    """Guard: the certified days are not over."""
    return "" if standing.is_in_force else "The certified days are over. Begin the next accreditation instead."


CASE = MoveTable(
    "case",
    [
        *(Move(event="submit", source=source, target=S.SUBMITTED, roles=SITE) for source in (S.DRAFT, S.INCOMPLETE)),
        Move(event="receive", source=S.SUBMITTED, target=S.RECEIPT_CHECK, roles=STAFF),
        Move(event="incomplete", source=S.RECEIPT_CHECK, target=S.INCOMPLETE, roles=STAFF, reason=True),
        Move(event="accept", source=S.RECEIPT_CHECK, target=S.ANALYSIS_RUNNING, roles=STAFF),
        # Signed runs have arrived for everything, or one of them failed: a physicist looks at the whole.
        Move(event="collect", source=S.ANALYSIS_RUNNING, target=S.PHYSICIST_REVIEW),
        Move(
            event="propose",
            source=S.PHYSICIST_REVIEW,
            target=S.PASS_RECOMMENDED,
            roles=PHYSICIST,
            guards=(is_another_person, is_complete),
            signature=True,
        ),
        Move(
            event="require_action",
            source=S.PHYSICIST_REVIEW,
            target=S.CORRECTIVE_ACTION_REQUIRED,
            roles=PHYSICIST,
            guards=(has_attempts,),
            reason=True,
            signature=True,
        ),
        Move(event="fail", source=S.PHYSICIST_REVIEW, target=S.FAIL, roles=PHYSICIST, reason=True, signature=True),
        # The site says it is done, or what it sent for it is signed; the next attempt is counted here.
        Move(event="resubmit", source=S.CORRECTIVE_ACTION_REQUIRED, target=S.RESUBMITTED, roles=SITE),
        # The deadline passed without it: a physicist decides.
        Move(event="lapse", source=S.CORRECTIVE_ACTION_REQUIRED, target=S.PHYSICIST_REVIEW, reason=True),
        *(
            Move(event="analyse", source=source, target=S.ANALYSIS_RUNNING)
            for source in (S.RESUBMITTED, S.REACCREDITATION)
        ),
        Move(
            event="take",
            source=S.PASS_RECOMMENDED,
            target=S.SECOND_REVIEW,
            roles=APPROVER,
            guards=(is_another_person,),
        ),
        Move(event="give_back", source=S.SECOND_REVIEW, target=S.PASS_RECOMMENDED, roles=APPROVER),
        Move(event="return", source=S.SECOND_REVIEW, target=S.PHYSICIST_REVIEW, roles=APPROVER, reason=True),
        Move(
            event="approve",
            source=S.SECOND_REVIEW,
            target=S.SIGNED,
            roles=APPROVER,
            guards=(is_another_person, is_complete),
            signature=True,
        ),
        Move(event="issue", source=S.SIGNED, target=S.ACCREDITED),
        Move(
            event="refuse",
            source=S.SECOND_REVIEW,
            target=S.FAIL,
            roles=APPROVER,
            guards=(is_another_person,),
            reason=True,
            signature=True,
        ),
        Move(event="remind", source=S.ACCREDITED, target=S.DUE_SOON),
        *(Move(event="expire", source=source, target=S.EXPIRED) for source in (*sorted(IN_FORCE), S.SUSPENDED)),
        *(
            Move(event="suspend", source=source, target=S.SUSPENDED, roles=PHYSICIST | APPROVER, reason=True)
            for source in sorted(IN_FORCE)
        ),
        Move(
            event="reinstate",
            source=S.SUSPENDED,
            target=S.ACCREDITED,
            roles=APPROVER,
            guards=(is_another_person, is_within_days, is_complete),
            reason=True,
            signature=True,
        ),
        *(
            Move(event="reaccredit", source=source, target=S.REACCREDITATION, roles=SITE | PHYSICIST, reason=True)
            for source in (S.DUE_SOON, S.EXPIRED, S.SUSPENDED)
        ),
        *(
            Move(event="withdraw", source=source, target=S.WITHDRAWN, roles=SITE | PHYSICIST | APPROVER, reason=True)
            for source in CaseState
            # These three last only as long as the transaction that makes them.
            if source not in CLOSED | {S.SIGNED, S.RESUBMITTED, S.REACCREDITATION}
        ),
    ],
)
