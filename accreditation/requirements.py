"""What a case still lacks, why, and who acts next: pure, on the site's own calendar.

Days are calendar days at the site; an end day is the last one on which a thing holds. Nothing here knows a programme
by name: `accreditation.programmes` gives the numbers.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from enum import StrEnum

from accreditation.programmes import Needed, Programme

APPROVAL = "approval"
_FAIL = "FAIL"
_VERDICT_WORDS = {"PASS": "Pass", "WARN": "Warning", "FAIL": "Fail", "NOT_EVALUABLE": "Could not check"}


class RequirementState(StrEnum):
    """Where one requirement stands. MET and ENDING let a case be accredited, NOT_MET and WAITING do not."""

    MET = "MET"
    ENDING = "ENDING"
    WAITING = "WAITING"
    NOT_MET = "NOT_MET"


R = RequirementState
LACKING = frozenset({R.NOT_MET, R.WAITING})


@dataclass(frozen=True, kw_only=True)
class Piece:
    """One thing that speaks for or against a requirement.

    Attributes
    ----------
    kind : str
        ``cylinder``, ``nema_iq`` or ``transfer``.
    submission, run : str
        Short numbers, as people use them; a transfer has no run.
    verdict : str
        The physicist's; empty for a transfer.
    scanned_on : date
        On the site's calendar.
    signed_at : datetime or None
        Aware; orders two of one day.
    signed_on : date or None
        The same on the site's calendar.
    attempt : int
        In which attempt of the case it was counted; 0 where not yet.
    digest : str
        SHA-256 of the run's canonical result.
    """

    kind: str
    submission: str
    run: str = ""
    verdict: str = ""
    scanned_on: date
    signed_at: datetime | None = None
    signed_on: date | None = None
    attempt: int = 0
    digest: str = ""


@dataclass(frozen=True, kw_only=True)
class InHand:
    """A phantom that was sent and that no physicist has signed yet."""

    kind: str
    submission: str
    sent_on: date


@dataclass(frozen=True, kw_only=True)
class Change:
    """A declared change of the scanner or its reconstruction, and the scan that first showed it, if one did."""

    what: str
    before: str
    after: str
    seen_on: date
    submission: str = ""

    @property
    def words(self) -> str:
        """The change in a sentence without its end."""
        where = self.submission or "entered in the register"
        return f"{self.what} changed from {self.before or 'nothing registered'} to {self.after} ({where})"


@dataclass(frozen=True, kw_only=True)
class Facts:
    """What is known about the scope of a case.

    Attributes
    ----------
    runs, in_hand, changes : tuple
    transfer : Piece or None
        The first thing that arrived whole from this scanner.
    trial_ends_on : date or None
        The last day of the scope's trial.
    certificate : str
        The number of the certificate in force today; empty where there is none.
    certificate_until : date or None
    renew_after : datetime or None
        In a re-accreditation: when the last certificate was issued.
    is_proposed : bool
        A physicist proposed it, an approver decides.
    """

    runs: tuple[Piece, ...] = ()
    in_hand: tuple[InHand, ...] = ()
    changes: tuple[Change, ...] = ()
    transfer: Piece | None = None
    trial_ends_on: date | None = None
    certificate: str = ""
    certificate_until: date | None = None
    renew_after: datetime | None = None
    is_proposed: bool = False


@dataclass(frozen=True, kw_only=True)
class Requirement:
    """One thing a case needs, and how it stands.

    Attributes
    ----------
    id, title : str
    state : RequirementState
    reason : str
        Why it stands so, and the next step, in words for whoever acts.
    with_whom : str
        ``site``, ``core_lab``, ``approver``; empty where nobody has to act now.
    valid_to : date or None
        The last day on which it counts as met.
    evidence : tuple of Piece
        What decided it, that first.
    scan_from, due_on : date or None
        The days in which the next one is to be scanned and sent.
    """

    id: str
    title: str
    state: RequirementState
    reason: str
    with_whom: str = ""
    valid_to: date | None = None
    evidence: tuple[Piece, ...] = ()
    scan_from: date | None = None
    due_on: date | None = None


def requirements(programme: Programme, facts: Facts, today: date) -> list[Requirement]:
    """Say for each requirement of a programme how it stands on a day, in the order of the programme.

    Parameters
    ----------
    today : date
        On the site's calendar.
    """
    found = [
        _transfer(need, facts) if need.kind == "transfer" else _signed(programme, need, facts, today)
        for need in programme.requirements
    ]
    return [*found, _approval(facts, found, today)]


def lacking(found: Iterable[Requirement]) -> tuple[str, ...]:
    """Return the titles of what is not met yet, without the approval itself."""
    return tuple(one.title for one in found if one.id != APPROVAL and one.state in LACKING)


def longest_validity(programme: Programme, facts: Facts, from_on: date, today: date) -> date:
    """Return the last day that a certificate from a day on may have.

    It lies before ``from_on`` where nothing may be certified any more.
    """
    start = from_on
    for need in programme.requirements:
        if need.id == programme.counted_from:
            decisive = _decisive(need, _counting(need, facts, today))
            if decisive is not None and decisive.signed_on is not None:
                start = min(from_on, decisive.signed_on)
    last = last_day(start, programme.validity_months)
    if programme.until_trial_ends and facts.trial_ends_on is not None:
        last = min(last, facts.trial_ends_on)
    return last


def last_day(first: date, months: int) -> date:
    """Return the last of so many months that begin on a day; of a year from 4 March 2026 that is 3 March 2027.

    A day that the later month does not have counts as the first of the month after it.
    """
    year, month = divmod(first.year * 12 + first.month - 1 + months, 12)
    try:
        over = date(year, month + 1, first.day)
    except ValueError:
        year, month = divmod(year * 12 + month + 1, 12)
        over = date(year, month + 1, 1)
    return over - timedelta(days=1)


def day_words(day: date) -> str:
    """Return ``2 Mar 2026``."""
    return f"{day.day} {day:%b %Y}"


# --- the kinds -------------------------------------------------------------------------------


def _transfer(need: Needed, facts: Facts) -> Requirement:
    if facts.transfer is None:
        words = "Nothing from this scanner has arrived yet. Send one scan, a phantom will do."
        return Requirement(id=need.id, title=need.title, state=R.NOT_MET, reason=words, with_whom="site")
    words = f"{facts.transfer.submission} arrived whole."
    return Requirement(id=need.id, title=need.title, state=R.MET, reason=words, evidence=(facts.transfer,))


def _approval(facts: Facts, others: list[Requirement], today: date) -> Requirement:
    title = "Written approval"
    if facts.certificate and facts.certificate_until and today <= facts.certificate_until:
        words = f"Certificate {facts.certificate}."
        return Requirement(id=APPROVAL, title=title, state=R.MET, reason=words, valid_to=facts.certificate_until)
    if lacking(others):
        words, whom = "It follows when everything else is met. Do not scan before it.", ""
    elif facts.is_proposed:
        words, whom = "A physicist proposed it. An approver, another person, decides. Do not scan before.", "approver"
    else:
        words, whom = "A physicist proposes it next. Do not scan before it.", "core_lab"
    return Requirement(id=APPROVAL, title=title, state=R.WAITING, reason=words, with_whom=whom)


def _signed(programme: Programme, need: Needed, facts: Facts, today: date) -> Requirement:
    """Say how a requirement stands that a signed run meets."""
    waiting = [one for one in facts.in_hand if one.kind == need.kind]
    change = max(facts.changes, key=lambda one: one.seen_on, default=None)
    decisive = _decisive(need, _counting(need, facts, today))
    if change is not None and (decisive is None or not _is_judged(need, decisive)):
        earlier = _decisive(need, _counting(need, facts, today, in_spite_of_change=True))
        if earlier is not None and earlier.verdict in need.accepts:
            return _changed(programme, need, facts, change, earlier, waiting, today)
    if decisive is None:
        return _absent(need, facts, waiting)
    if decisive.verdict not in need.accepts:
        return _not_passed(need, decisive, waiting)
    return _passed(programme, need, decisive, waiting, today)


def _counting(need: Needed, facts: Facts, today: date, *, in_spite_of_change: bool = False) -> list[Piece]:
    """Return the signed runs that may decide, the newest scan first; of one day the one signed last."""
    changed_on = max((one.seen_on for one in facts.changes), default=date.min)
    runs = [
        one
        for one in facts.runs
        if one.kind == need.kind
        and one.scanned_on <= today
        and one.signed_at is not None
        and (in_spite_of_change or one.scanned_on >= changed_on)
        and not (need.renews and facts.renew_after is not None and one.signed_at <= facts.renew_after)
    ]
    return sorted(runs, key=lambda one: (one.scanned_on, one.signed_at, one.run), reverse=True)


def _decisive(need: Needed, runs: list[Piece]) -> Piece | None:
    """Return the run that decides: one that could not be judged says nothing against an earlier one that could."""
    judged = [one for one in runs if _is_judged(need, one)]
    return next(iter(judged), next(iter(runs), None))


def _is_judged(need: Needed, piece: Piece) -> bool:
    return piece.verdict in need.accepts or piece.verdict == _FAIL


def _absent(need: Needed, facts: Facts, waiting: list[InHand]) -> Requirement:
    if waiting:
        return _made(need, R.WAITING, f"{waiting[0].submission} is being measured and reviewed.", "core_lab")
    if need.renews and facts.renew_after is not None and any(one.kind == need.kind for one in facts.runs):
        return _made(need, R.NOT_MET, "The last certificate was given for the one before. Scan it again.", "site")
    return _made(need, R.NOT_MET, "None has been sent for this scanner and reconstruction yet.", "site")


def _not_passed(need: Needed, decisive: Piece, waiting: list[InHand]) -> Requirement:
    verdict = _VERDICT_WORDS.get(decisive.verdict, decisive.verdict)
    scanned = day_words(decisive.scanned_on)
    words = f"{decisive.run} of {decisive.submission}, scanned {scanned}, is signed as {verdict}."
    newer = [one for one in waiting if decisive.signed_on is None or one.sent_on >= decisive.signed_on]
    if newer:
        words, whom = f"{words} {newer[0].submission} is being measured and reviewed.", "core_lab"
    else:
        words, whom = f"{words} Do what its review says, then send another.", "site"
    return _made(need, R.NOT_MET, words, whom, evidence=(decisive,))


def _changed(
    programme: Programme,
    need: Needed,
    facts: Facts,
    change: Change,
    earlier: Piece,
    waiting: list[InHand],
    today: date,
) -> Requirement:
    """Say how a requirement stands whose evidence is older than a change of the scanner.

    Days are given only to what is certified, and only while it would stand without the change.
    """
    whom = "core_lab" if waiting else "site"
    if facts.certificate and programme.change_does == "new_evidence":
        before = _passed(programme, need, earlier, waiting, today)
        if before.state in LACKING:
            return before
        by = change.seen_on + timedelta(days=programme.change_days)
        by = by if before.valid_to is None else min(by, before.valid_to)
        if today <= by:
            words = f"{change.words}. Scan it again and send it by {day_words(by)}."
            days = {"valid_to": by, "scan_from": change.seen_on, "due_on": by}
            return _made(need, R.ENDING, words, whom, evidence=(earlier,), **days)
        if any(one.sent_on <= by for one in waiting):
            words = f"{change.words}. {waiting[0].submission} is being measured and reviewed."
            return _made(need, R.WAITING, words, whom)
    if waiting and not facts.certificate:
        words = f"{change.words}. {waiting[0].submission} is being measured and reviewed."
        return _made(need, R.WAITING, words, whom)
    return _made(need, R.NOT_MET, f"{change.words}. Scan it again: what was shown before holds no more.", whom)


def _passed(programme: Programme, need: Needed, decisive: Piece, waiting: list[InHand], today: date) -> Requirement:
    """Say how a requirement stands whose newest run passed: until when, and what comes next."""
    said = f"{_VERDICT_WORDS[decisive.verdict]}, scanned {day_words(decisive.scanned_on)}."
    scan_from, due_on, until = _next(programme, need, decisive)

    def stands(state: RequirementState, words: str, with_whom: str = "") -> Requirement:
        return _made(
            need,
            state,
            f"{said}{words}",
            with_whom,
            evidence=(decisive,),
            valid_to=until,
            scan_from=scan_from,
            due_on=due_on,
        )

    if until is None or due_on is None or scan_from is None:
        return stands(R.MET, "")
    due = day_words(due_on)
    if today < scan_from:
        return stands(R.MET, f" Next: by {due}.")
    if newer := [one for one in waiting if one.sent_on >= scan_from]:
        words = f" The next, {newer[0].submission}, is being measured and reviewed."
        if today <= until:
            return stands(R.ENDING, words, "core_lab")
        # What came in time suspends nobody because a review takes long.
        in_time = any(one.sent_on <= until for one in newer)
        return stands(R.WAITING if in_time else R.NOT_MET, words, "core_lab")
    if today <= due_on:
        return stands(R.ENDING, f" The next may be scanned now; send it by {due}.", "site")
    if today <= until:
        words = f" The next was due by {due}; without it nothing holds after {day_words(until)}."
        return stands(R.ENDING, words, "site")
    return stands(R.NOT_MET, f" The next was due by {due} and has not come.", "site")


def _next(programme: Programme, need: Needed, decisive: Piece) -> tuple[date | None, date | None, date | None]:
    """Return from when the next may be scanned, by when it is due, and until when this one holds."""
    if need.every:
        assert programme.windows is not None  # the file was refused otherwise  # noqa: S101
        window = programme.windows.after(decisive.scanned_on, every=need.every)
        return window.scan_from, window.last, window.until
    if need.months:
        until = last_day(decisive.scanned_on, need.months)
        return until - timedelta(days=programme.due_soon_days), until, until
    return None, None, None


def _made(
    need: Needed,
    state: RequirementState,
    reason: str,
    with_whom: str,
    *,
    valid_to: date | None = None,
    evidence: tuple[Piece, ...] = (),
    scan_from: date | None = None,
    due_on: date | None = None,
) -> Requirement:
    return Requirement(
        id=need.id,
        title=need.title,
        state=state,
        reason=reason,
        with_whom=with_whom,
        valid_to=valid_to,
        evidence=evidence,
        scan_from=scan_from,
        due_on=due_on,
    )
