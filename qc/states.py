"""The states of a submission and of a query, and every move between them."""

from __future__ import annotations

from enum import StrEnum
from typing import Any

from corelab.states import Move, MoveTable


class SubmissionState(StrEnum):
    """Where a submission stands."""

    DRAFT = "DRAFT"
    CHECKING = "CHECKING"
    SENT = "SENT"
    ANALYSING = "ANALYSING"
    AWAITING_REVIEW = "AWAITING_REVIEW"
    IN_REVIEW = "IN_REVIEW"
    RELEASED = "RELEASED"
    PREVIEWED = "PREVIEWED"
    WITHDRAWN = "WITHDRAWN"
    REPLACED = "REPLACED"
    HELD = "HELD"


S = SubmissionState
SITE = frozenset({"site_user"})
STAFF = frozenset({"technician", "physicist"})
PHYSICIST = frozenset({"physicist"})


def is_counted(submission: Any) -> str:
    """Guard: a dry run never reaches review."""
    return "A dry run is not reviewed." if submission.is_dry_run else ""


def is_dry_run(submission: Any) -> str:
    """Guard: only a dry run ends as a preview."""
    return "" if submission.is_dry_run else "Only a dry run ends as a preview."


SUBMISSION = MoveTable(
    "submission",
    [
        Move(event="send", source=S.DRAFT, target=S.CHECKING, roles=SITE),
        Move(event="return", source=S.CHECKING, target=S.DRAFT),
        Move(event="receive", source=S.CHECKING, target=S.SENT),
        Move(event="analyse", source=S.SENT, target=S.ANALYSING),
        # A lost worker's row is taken up again in the state it was left in.
        Move(event="analyse", source=S.ANALYSING, target=S.ANALYSING),
        Move(event="measured", source=S.ANALYSING, target=S.AWAITING_REVIEW, guards=(is_counted,)),
        Move(event="preview", source=S.ANALYSING, target=S.PREVIEWED, guards=(is_dry_run,)),
        Move(event="repeat", source=S.AWAITING_REVIEW, target=S.SENT, roles=STAFF, reason=True),
        Move(event="claim", source=S.AWAITING_REVIEW, target=S.IN_REVIEW, roles=PHYSICIST),
        Move(event="unclaim", source=S.IN_REVIEW, target=S.AWAITING_REVIEW, roles=PHYSICIST),
        # What a physicist decides about the SUV is measured anew, and reviewed as a new run.
        Move(event="choose", source=S.IN_REVIEW, target=S.SENT, roles=PHYSICIST, reason=True, signature=True),
        Move(event="release", source=S.IN_REVIEW, target=S.RELEASED, roles=PHYSICIST, signature=True),
        *(
            Move(event="hold", source=source, target=S.HELD, reason=True)
            for source in (S.CHECKING, S.SENT, S.ANALYSING)
        ),
        Move(event="recheck", source=S.HELD, target=S.CHECKING, roles=STAFF, reason=True),
        *(
            Move(event="withdraw", source=source, target=S.WITHDRAWN, roles=SITE, reason=True)
            for source in (S.DRAFT, S.SENT, S.ANALYSING, S.AWAITING_REVIEW, S.HELD)
        ),
        *(
            Move(event="replace", source=source, target=S.REPLACED, roles=SITE)
            for source in (S.SENT, S.ANALYSING, S.AWAITING_REVIEW, S.HELD)
        ),
    ],
)

#: Nothing more happens in these.
FINAL = frozenset({S.RELEASED, S.PREVIEWED, S.WITHDRAWN, S.REPLACED})
#: The site may still change or add to it.
OPEN_FOR_SITE = frozenset({S.DRAFT})


class QueryState(StrEnum):
    """Where a question to a site stands."""

    DRAFT = "DRAFT"
    OPEN = "OPEN"
    SITE_RESPONDED = "SITE_RESPONDED"
    REOPENED = "REOPENED"
    CLOSED = "CLOSED"
    UNRESOLVABLE = "UNRESOLVABLE"


Q = QueryState
#: The site is to answer in these.
WITH_SITE = frozenset({Q.OPEN, Q.REOPENED})

QUERY = MoveTable(
    "query",
    [
        Move(event="ask", source=Q.DRAFT, target=Q.OPEN, roles=STAFF),
        # Drafted by rules, dropped by a person who sees no question in it, or by the system with its submission.
        Move(event="drop", source=Q.DRAFT, target=Q.CLOSED, roles=STAFF, reason=True),
        *(Move(event="answer", source=source, target=Q.SITE_RESPONDED, roles=SITE) for source in (Q.OPEN, Q.REOPENED)),
        # A scan that the site sent in answer was measured.
        *(Move(event="resubmit", source=source, target=Q.SITE_RESPONDED) for source in (Q.OPEN, Q.REOPENED)),
        Move(event="reopen", source=Q.SITE_RESPONDED, target=Q.REOPENED, roles=STAFF, reason=True),
        *(
            Move(event=event, source=source, target=target, roles=STAFF, reason=True)
            for event, target in (("close", Q.CLOSED), ("give_up", Q.UNRESOLVABLE))
            for source in (Q.OPEN, Q.SITE_RESPONDED, Q.REOPENED)
        ),
    ],
)
