"""Where a submission stands, in the words of the person who asks: a site, or the core lab.

Pure: it looks at a submission's columns and asks nothing of the database.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from qc.states import QueryState
from qc.states import SubmissionState as S

#: States in which the workers have it and a page asks again.
AT_WORK = frozenset({S.CHECKING, S.SENT, S.ANALYSING})
#: States in which a verdict stands: the physicist's, or that of a dry run.
WITH_RESULT = frozenset({S.RELEASED, S.PREVIEWED})
#: Large columns that no list prints.
NOT_IN_LISTS = ("sheet", "current_run__result", "current_run__parameters", "current_run__program")


@dataclass(frozen=True)
class Status:
    """A workflow state as it is shown: the chip's name, its words, and one sentence of what happens next."""

    chip: str
    words: str
    next: str = ""


_FOR_SITE = {
    S.DRAFT: Status("needs-you", "Draft", "Finish it and send it."),
    S.CHECKING: Status("in-progress", "Checking", "We look whether everything arrived."),
    S.SENT: Status("in-progress", "Arrived", "It is measured next."),
    S.ANALYSING: Status("in-progress", "Measuring", "This usually takes less than a minute."),
    S.AWAITING_REVIEW: Status("waiting-lab", "Waits for review", "A physicist reviews it."),
    S.IN_REVIEW: Status("waiting-lab", "In review", "A physicist looks at it now."),
    S.RELEASED: Status("signed", "Signed"),
    S.PREVIEWED: Status("done", "Dry run measured", "It counts for nothing and is deleted after 30 days."),
    S.WITHDRAWN: Status("closed", "Withdrawn"),
    S.REPLACED: Status("closed", "Replaced"),
    S.HELD: Status("waiting-lab", "Held", "The core lab looks at it and answers."),
}
_FOR_LAB = _FOR_SITE | {
    S.DRAFT: Status("waiting-site", "Draft"),
    S.CHECKING: Status("in-progress", "Checking the arrival"),
    S.SENT: Status("waiting-lab", "Waits to be measured"),
    S.ANALYSING: Status("in-progress", "Measuring"),
    S.AWAITING_REVIEW: Status("waiting-lab", "Waits for review", "Review"),
    S.IN_REVIEW: Status("in-progress", "In review", "Sign"),
    S.HELD: Status("waiting-lab", "Held", "Decide"),
}


_QUERY_FOR_SITE = {
    QueryState.OPEN: Status("needs-you", "Needs you"),
    QueryState.REOPENED: Status("needs-you", "Asked again"),
    QueryState.SITE_RESPONDED: Status("waiting-lab", "Answered", "The core lab reads your answer."),
    QueryState.CLOSED: Status("closed", "Closed"),
    QueryState.UNRESOLVABLE: Status("closed", "Could not be solved", "The scan stays a deviation from the protocol."),
}
_QUERY_FOR_LAB = _QUERY_FOR_SITE | {
    QueryState.DRAFT: Status("waiting-lab", "Draft", "Read it, then ask or drop it."),
    QueryState.OPEN: Status("waiting-site", "Waiting for site"),
    QueryState.REOPENED: Status("waiting-site", "Asked again"),
    QueryState.SITE_RESPONDED: Status("waiting-lab", "Site answered", "Read the answer."),
}


def query_status(query: Any, *, is_site: bool, acts: bool = False) -> Status:
    """Return where a question stands, in the words of its site or of everybody else; who is to act sees that."""
    status = (_QUERY_FOR_SITE if is_site else _QUERY_FOR_LAB)[QueryState(query.state)]
    return Status("needs-you", status.words, status.next) if acts and status.chip == "waiting-lab" else status


def status_for_site(submission: Any) -> Status:
    """Return the state in the site's words."""
    return _FOR_SITE[S(submission.state)]


def status_for_lab(submission: Any, *, is_mine: bool = False) -> Status:
    """Return the state in the lab's words; what waits for this very person stands out."""
    status = _FOR_LAB[S(submission.state)]
    return Status("needs-you", status.next or status.words, status.next) if is_mine else status


def shown_verdict(submission: Any, *, sees_proposed: bool) -> tuple[str, bool]:
    """Return the verdict that may be shown, and whether it is only proposed.

    A site and a trial see what a physicist signed, and what a dry run came to; staff see the proposal too.
    """
    if submission.verdict:
        return submission.verdict, False
    if sees_proposed or submission.state == S.PREVIEWED:
        return submission.proposed_verdict, True
    return "", False


def is_own(submission: Any, user: Any) -> bool:
    """Say whether the person started or sent it: then another one reviews it."""
    return user.pk in {submission.created_by_id, submission.sent_by_id}


def sentence_of(headline: str) -> str:
    """Return a headline without the verdict's word in front, which stands beside it as a chip or in the bar."""
    _, dash, rest = headline.partition(" – ")
    return rest if dash else ""
