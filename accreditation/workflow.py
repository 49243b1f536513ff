"""The states of a case and every move between them."""

from __future__ import annotations

from enum import StrEnum


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


#: Nothing more happens in these; another case for the same scope may be opened.
CLOSED = frozenset({CaseState.FAIL, CaseState.WITHDRAWN})
#: The scope may be scanned in these.
IN_FORCE = frozenset({CaseState.ACCREDITED, CaseState.DUE_SOON})
