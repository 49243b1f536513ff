"""Where a case and a clearance stand, in the words of the person who asks: a site, or the core lab.

Pure: it looks at columns and days and asks nothing of the database. Workflow states are grey; what may be scanned wears
a shield and a verdict's tint.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any, Protocol

from accreditation.workflow import CLOSED, STANDING
from accreditation.workflow import CaseState as C
from qc.status import Status

#: A clearance that ends within so many days is said to end: time enough for a phantom and its review.
ENDS_SOON_DAYS = 60

#: A state of a case in the site's words, and in one sentence what happens next.
_FOR_SITE: Mapping[C, Status] = {
    C.DRAFT: Status("needs-you", "Draft", "Send the application when the scope is right."),
    C.SUBMITTED: Status("waiting-lab", "Applied", "The core lab takes it up."),
    C.RECEIPT_CHECK: Status("waiting-lab", "Receipt check", "The core lab looks whether the application is complete."),
    C.INCOMPLETE: Status("needs-you", "Incomplete", "Complete it as asked and send it again."),
    C.ANALYSIS_RUNNING: Status(
        "in-progress",
        "Collecting evidence",
        "Send what is missing below. What is reviewed and signed counts by itself.",
    ),
    C.PHYSICIST_REVIEW: Status("waiting-lab", "In review", "A physicist judges the evidence."),
    C.CORRECTIVE_ACTION_REQUIRED: Status(
        "needs-you", "Corrective action", "Do what is asked, then send the scan again."
    ),
    C.RESUBMITTED: Status("in-progress", "Sent again", "The new scan is measured and reviewed."),
    C.PASS_RECOMMENDED: Status("waiting-lab", "Proposed", "An approver, another person, decides."),
    C.SECOND_REVIEW: Status("waiting-lab", "Second signature", "An approver, another person, decides."),
    C.SIGNED: Status("in-progress", "Signed", "The certificate is being written, about 5 s."),
    C.ACCREDITED: Status("done", "Accredited", "Tell the core lab before any upgrade, repair or calibrator change."),
    C.DUE_SOON: Status("needs-you", "Ends soon", "Send what is due below, so that it goes on without a gap."),
    C.EXPIRED: Status("needs-you", "Expired", "Do not scan for this scope. Send what is missing below."),
    C.SUSPENDED: Status("needs-you", "Suspended", "Do not scan for this scope until it is cleared again."),
    C.REACCREDITATION: Status("in-progress", "Re-accreditation", "Send what is missing below; it is judged anew."),
    C.FAIL: Status("closed", "Failed", "A new case for the same scope may be started."),
    C.WITHDRAWN: Status("closed", "Withdrawn", "A new case for the same scope may be started."),
}
_FOR_LAB: Mapping[C, Status] = {
    **_FOR_SITE,
    C.DRAFT: Status("waiting-site", "Draft", "The site sends it."),
    C.SUBMITTED: Status("waiting-lab", "Applied", "Take up"),
    C.RECEIPT_CHECK: Status("waiting-lab", "Receipt check", "Check the receipt"),
    C.INCOMPLETE: Status("waiting-site", "Incomplete", "The site completes it."),
    C.ANALYSIS_RUNNING: Status("waiting-site", "Collecting evidence", "The site sends what is missing."),
    C.PHYSICIST_REVIEW: Status("waiting-lab", "Waits for a physicist", "Decide"),
    C.CORRECTIVE_ACTION_REQUIRED: Status("waiting-site", "Corrective action", "The site acts and sends again."),
    C.PASS_RECOMMENDED: Status("waiting-lab", "Proposed", "Take for the second signature"),
    C.SECOND_REVIEW: Status("waiting-lab", "Second signature", "2nd signature"),
    C.ACCREDITED: Status("done", "Accredited"),
    C.DUE_SOON: Status("waiting-site", "Ends soon", "The site sends what is due."),
    C.EXPIRED: Status("waiting-site", "Expired", "The site sends what is missing."),
    C.SUSPENDED: Status("waiting-lab", "Suspended", "Reinstate or judge anew"),
    C.REACCREDITATION: Status("waiting-site", "Re-accreditation", "The site sends what is missing."),
}


def status_for_site(case: Any) -> Status:
    """Return the state in the site's words."""
    return _FOR_SITE[C(case.state)]


def status_for_lab(case: Any, *, is_mine: bool = False) -> Status:
    """Return the state in the lab's words; what waits for this very person stands out."""
    status = _FOR_LAB[C(case.state)]
    return Status("needs-you", status.next or status.words, status.next) if is_mine else status


# --- the way of a case ----------------------------------------------------------------------------


@dataclass(frozen=True)
class Step:
    """One station of a case's way."""

    title: str
    is_done: bool = False
    is_current: bool = False


#: The stations, and the states in which a case stands at each.
_STATIONS: tuple[tuple[str, frozenset[C]], ...] = (
    ("Applied", frozenset({C.DRAFT, C.SUBMITTED})),
    ("Receipt", frozenset({C.RECEIPT_CHECK, C.INCOMPLETE})),
    ("Evidence", frozenset({C.ANALYSIS_RUNNING, C.RESUBMITTED, C.REACCREDITATION})),
    ("Review", frozenset({C.PHYSICIST_REVIEW})),
    ("Corrective action", frozenset({C.CORRECTIVE_ACTION_REQUIRED})),
    ("Second signature", frozenset({C.PASS_RECOMMENDED, C.SECOND_REVIEW, C.SIGNED})),
    ("Accredited", frozenset({C.ACCREDITED, C.DUE_SOON, C.EXPIRED, C.SUSPENDED})),
)
#: What the station is called when the case stands there in one of these states.
_CALLED: Mapping[C, str] = {
    C.DRAFT: "Draft",
    C.INCOMPLETE: "Incomplete",
    C.REACCREDITATION: "Evidence anew",
    C.DUE_SOON: "Ends soon",
    C.EXPIRED: "Expired",
    C.SUSPENDED: "Suspended",
}


def steps_of(case: Any) -> list[Step]:
    """Return the stations of a case: passed, here, to come; none of a case that has ended.

    Corrective action is a station only of a case that stands there or went through it.
    """
    state = C(case.state)
    if state in CLOSED:
        return []
    wanted = case.attempt > 1 or state == C.CORRECTIVE_ACTION_REQUIRED
    stations = [(title, states) for title, states in _STATIONS if wanted or title != "Corrective action"]
    here = next(at for at, (_, states) in enumerate(stations) if state in states)
    steps = []
    for at, (title, _) in enumerate(stations):
        went_through = at < here or (title == "Corrective action" and case.attempt > 1)
        steps.append(
            Step(
                _CALLED.get(state, title) if at == here else title,
                is_done=went_through or (at == here and state in {C.ACCREDITED, C.DUE_SOON}),
                is_current=at == here,
            )
        )
    return steps


# --- may it be scanned? ---------------------------------------------------------------------------


class ClearanceDays(Protocol):
    """What is read of a clearance."""

    from_on: date
    ended_on: date | None
    ending: str
    ended_reason: str

    @property
    def last_day(self) -> date:
        """The last day on which it holds."""


@dataclass(frozen=True)
class ClearanceState:
    """Whether a scope may be scanned on a day: a tint with a shield, the words, and why where it may not.

    ``tint`` is ``pass``, ``warn``, ``fail``, or empty for *Not cleared yet*.
    """

    tint: str
    words: str
    why: str = ""

    @property
    def may_scan(self) -> bool:
        """Whether a patient may be scanned."""
        return self.tint in {"pass", "warn"}


def clearance_state(clearance: ClearanceDays | None, today: date) -> ClearanceState:
    """Say in words what a clearance allows on a day of the site's calendar; None where there never was one."""
    if clearance is None:
        return ClearanceState("", "Not cleared yet")
    if today < clearance.from_on:
        return ClearanceState("", f"Cleared from {_day(clearance.from_on)}")
    last_day = clearance.last_day
    if today <= last_day or clearance.ended_on is None or clearance.ending == "REPLACED":
        return _until(last_day, today)
    word = {"SUSPENDED": "Suspended", "WITHDRAWN": "Withdrawn"}[clearance.ending]
    return ClearanceState("fail", f"{word} {_day(clearance.ended_on)}", clearance.ended_reason)


def case_clearance(case: Any, today: date) -> ClearanceState | None:
    """Say what a case that is watched, not worked on, allows on a day; None for every other state."""
    state = C(case.state)
    if state not in STANDING or case.valid_until is None:
        return None
    if state == C.SUSPENDED:
        return ClearanceState("fail", "Suspended")
    if state == C.EXPIRED:
        return ClearanceState("fail", f"Expired {_day(case.valid_until)}")
    return _until(case.valid_until, today)


def _until(last_day: date, today: date) -> ClearanceState:
    days_left = (last_day - today).days
    if days_left < 0:
        return ClearanceState("fail", f"Expired {_day(last_day)}")
    if days_left > ENDS_SOON_DAYS:
        return ClearanceState("pass", f"Cleared to {_day(last_day)}")
    if days_left == 0:
        return ClearanceState("warn", "Ends today")
    return ClearanceState("warn", f"Ends in {days_left} day{'' if days_left == 1 else 's'}")


# --- is this certificate valid? -------------------------------------------------------------------


def answer_of(state: Any) -> ClearanceState:
    """Say what the check of a certificate answers: the words first, with the day on which they hold.

    Parameters
    ----------
    state : accreditation.selectors.CertificateState
    """
    today = _day(state.day)
    since = _day(state.since) if state.since else ""
    days = f"It is valid from {_day(state.valid_from)} to {_day(state.valid_until)}."
    return {
        "VALID": ClearanceState("pass", f"Valid today, {today}", days),
        "NOT_YET": ClearanceState("", f"Not valid yet today, {today}", days),
        "SUSPENDED": ClearanceState("fail", f"Not valid today, {today}: suspended since {since}"),
        "WITHDRAWN": ClearanceState("fail", f"Not valid today, {today}: withdrawn on {since}"),
        "REPLACED": ClearanceState("fail", f"Not valid today, {today}: replaced by {state.replaced_by}"),
        "EXPIRED": ClearanceState("fail", f"Not valid today, {today}: expired on {since}"),
    }[state.word]


def certificate_words(certificate: Any, today: date) -> ClearanceState:
    """Say in a few words, for a list, whether a certificate holds on a day."""
    if certificate.withdrawn_on is not None:
        return ClearanceState("fail", f"Withdrawn {_day(certificate.withdrawn_on)}")
    if certificate.replaced_by_id is not None:
        return ClearanceState("", "Replaced")
    if certificate.suspended_on is not None:
        return ClearanceState("fail", f"Suspended {_day(certificate.suspended_on)}")
    return _until(certificate.valid_until, today)


def _day(value: date) -> str:
    return f"{value.day} {value:%b %Y}"
