"""Questions to a site: drafted by rules, asked by staff, answered in words or by a new scan, closed with a reason."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from typing import Any
from uuid import UUID

from django.db import transaction
from django.utils import timezone

from corelab import audit
from corelab.errors import NotFound, Refused
from corelab.models import User
from corelab.numbers import next_number
from phantoms.results import WORST_FIRST, Outcome, Owner
from qc import selectors
from qc.conformance import RULES
from qc.deadlines import query_due_on
from qc.models import Query, QueryMessage, Run, Submission
from qc.services.moves import move
from qc.states import QUERY, QueryState
from qc.wording import subject_of

audit.catalogue(
    {
        "query.draft": "Rules drafted a question to a site.",
        "query.refresh": "A drafted question was written anew after another analysis.",
        "query.note": "The program noted in a question what became of its scan.",
    }
)

Q = QueryState
#: Nothing more is said in these.
ENDED = (Q.CLOSED, Q.UNRESOLVABLE)
MOST_TITLE, MOST_TEXT = 160, 4_000


# --- what rules draft ------------------------------------------------------------------------


def findings_for_site(submission: Submission) -> list[dict[str, Any]]:
    """Return what the site is to answer, the gravest first: its own findings that exclude the scan or need an answer.

    Of a phantom only how it arrived and whether it can be measured: what was measured is said after the review.
    """
    mine: dict[str, dict[str, Any]] = {}
    for one in selectors.repairable_findings(submission):
        is_open = one["outcome"] in (Outcome.FAIL, Outcome.WARN, Outcome.NOT_EVALUABLE)
        if is_open and one.get("owner") == Owner.SITE.value and one["severity"] in ("exclude", "query"):
            mine.setdefault(one["id"], one)
    return sorted(mine.values(), key=lambda one: (one["severity"] != "exclude", WORST_FIRST.index(one["outcome"])))


def drafted_title(findings: Sequence[Mapping[str, Any]]) -> str:
    """Return the title of a question about these findings; it holds no value, so that a trial may read it."""
    titles = list(dict.fromkeys(one["title"] for one in findings))
    more = len(titles) - 1
    return (titles[0] + (f", and {more} more" if more else ""))[:MOST_TITLE]


def drafted_text(findings: Sequence[Mapping[str, Any]]) -> str:
    """Return the question in the words of the rules: what was seen, then what the site is to do."""
    parts, steps = [], set()
    for one in findings:
        # One step can mend several things; it is said once.
        step = "" if one["next_step"] in steps else one["next_step"]
        steps.add(step)
        parts.append(" ".join(filter(None, (one["message"], step))))
    if len(parts) == 1:
        return parts[0][:MOST_TEXT]
    return "\n\n".join(f"{number}. {part}" for number, part in enumerate(parts, start=1))[:MOST_TEXT]


def _kept(findings: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    keys = ("id", "outcome", "severity", "message", "observed", "expected", "next_step")
    return [{key: one.get(key, "") for key in keys} | {"title": subject_of(one["id"])} for one in findings]


def run_follow(run: Run, submission: Submission) -> None:
    """Let the questions follow a run that has just become the current one, in the caller's transaction.

    A scan that was sent in answer is held against the question; what else a site is to answer is drafted as one
    question, in which a later run of the same scan replaces the words until staff have asked.
    """
    if submission.is_dry_run:
        return
    findings = findings_for_site(submission)
    asked_about: set[str] = set()
    if submission.answers is not None:
        asked_about = {one["id"] for one in submission.answers.findings}
        _answered_by_scan(submission.answers, run, submission, findings)
    for query in submission.queries.all():
        if query.state == Q.DRAFT:
            continue
        asked_about |= {one["id"] for one in query.findings}
        if query.state not in ENDED and query.run_id != run.pk:
            _say(query, f"{submission} was measured again ({run}). {_compared(query, run, findings)}")
    query_draft(run, submission, [one for one in findings if one["id"] not in asked_about])


def query_draft(run: Run, submission: Submission, findings: Sequence[Mapping[str, Any]]) -> Query | None:
    """Draft the one question about a scan, write the draft anew, or drop it where nothing is left to ask."""
    draft = submission.queries.filter(state=Q.DRAFT).first()
    kept = _kept(findings)
    if draft is not None and not kept:
        _drop(draft, f"{run} found nothing that the site must answer.")
        return None
    if not kept:
        return None
    words = {"title": drafted_title(kept), "text": drafted_text(kept), "findings": kept, "run": run}
    if draft is not None:
        _rewrite(draft, words)
        return draft
    if submission.queries.exclude(state__in=ENDED).exists():
        # One open question a scan: what is new stands on the submission's page, and staff ask it in the same thread.
        return None
    query = Query(submission=submission, number=next_number("Q"), **words)
    query.save(force_insert=True)
    audit.record("query.draft", query, after={"submission": str(submission), "run": str(run), "rules": _ids(kept)})
    return query


def _rewrite(draft: Query, words: Mapping[str, Any]) -> None:
    before = {"run": str(draft.run), "rules": _ids(draft.findings)}
    moved = Query.objects.filter(pk=draft.pk, state=Q.DRAFT).update(changed_at=timezone.now(), **words)
    if moved:
        audit.record(
            "query.refresh", draft, before=before, after={"run": str(words["run"]), "rules": _ids(words["findings"])}
        )


def _ids(findings: Iterable[Mapping[str, Any]]) -> list[str]:
    return [one["id"] for one in findings]


def _drop(draft: Query, reason: str) -> None:
    move(draft, "drop", actor=None, reason=reason, closed_at=timezone.now(), closed_reason=reason)


def submission_gone(submission: Submission, words: str) -> None:
    """Let questions follow a scan that was withdrawn or replaced: a draft is dropped, what was asked says so."""
    for query in submission.queries.exclude(state__in=ENDED):
        if query.state == Q.DRAFT:
            _drop(query, words)
        else:
            _say(query, words)
    if submission.answers is not None and submission.sent_at and submission.answers.state not in ENDED:
        _say(submission.answers, words)


# --- a scan in answer ------------------------------------------------------------------------


def _answered_by_scan(query: Query, run: Run, submission: Submission, findings: Sequence[Mapping[str, Any]]) -> None:
    if query.state in ENDED:
        return
    _say(query, f"{submission} came in answer and was measured ({run}). {_compared(query, run, findings)}")
    if QUERY.allows("resubmit", query.state):
        evidence = {"submission": str(submission), "run": str(run)}
        move(query, "resubmit", actor=None, evidence=evidence, answered_at=timezone.now())


def _compared(query: Query, run: Run, findings: Sequence[Mapping[str, Any]]) -> str:
    """Return in words which findings of a question are gone in a run, which stay, and what could not be looked at."""
    outcomes: dict[str, set[str]] = {}
    for one in run.result.get("findings", []):
        outcomes.setdefault(one["id"], set()).add(one["outcome"])
    still_open = {one["id"] for one in findings}
    is_refused = bool(run.result.get("refused"))
    groups: dict[str, list[str]] = {"Gone": [], "Still there": [], "Could not be checked again": []}
    for one in query.findings:
        seen = outcomes.get(one["id"], set())
        if one["id"] in still_open or seen - {Outcome.PASS.value, Outcome.REPORT_ONLY.value}:
            groups["Still there"].append(one)
        elif seen or not (is_refused or one["id"] in RULES):
            groups["Gone"].append(one)
        else:
            groups["Could not be checked again"].append(one)
    named = {
        words: ", ".join(f"{one['title']} ({one['id']})" for one in mine) for words, mine in groups.items() if mine
    }
    return " ".join(f"{words}: {titles}." for words, titles in named.items())


def _say(query: Query, text: str) -> None:
    QueryMessage.objects.create(query=query, text=text)
    audit.record("query.note", query, after={"text": text})


# --- what people do --------------------------------------------------------------------------


@transaction.atomic
def query_ask(
    *, query_id: UUID, actor: User, text: str, due_on: date | None = None, shown_run: UUID | None = None
) -> Query:
    """Ask a site what was drafted, in the words that staff made of it.

    Parameters
    ----------
    due_on : date, optional
        Answer by; seven working days without it.
    shown_run : UUID, optional
        The run that the draft was read from: another analysis since then is a StaleState.

    Raises
    ------
    Refused
        ``QUERY-TEXT``: nothing is asked. ``QUERY-DUE``: the day has passed.
    InvalidMove, NotAllowed, NotFound, StaleState
    """
    query = _visible(actor, query_id)
    words = _words(text, "Write what the site is asked.")
    now = timezone.now()
    today = now.astimezone(query.site.zone).date()
    if due_on is not None and due_on < today:
        raise Refused("This day has passed. Choose a later one.", code="QUERY-DUE")
    return move(
        query,
        "ask",
        actor=actor,
        only_if={"run_id": shown_run} if shown_run else None,
        text=words,
        asked_by=actor,
        asked_at=now,
        due_on=due_on or query_due_on(today),
    )


@transaction.atomic
def query_drop(*, query_id: UUID, actor: User, reason: str) -> Query:
    """Drop a drafted question in which a person sees none."""
    return _end(query_id, actor, "drop", reason)


@transaction.atomic
def query_answer(*, query_id: UUID, actor: User, text: str) -> Query:
    """Answer a question in words.

    Raises
    ------
    Refused
        ``QUERY-TEXT``: nothing is answered.
    InvalidMove, NotAllowed, NotFound, StaleState
        StaleState where a colleague answered, or staff closed it, a moment before.
    """
    query = _visible(actor, query_id)
    words = _words(text, "Write your answer.")
    now = timezone.now()
    move(query, "answer", actor=actor, evidence={"text": words}, answered_at=now)
    QueryMessage.objects.create(query=query, author=actor, is_from_site=True, text=words, said_at=now)
    return query


@transaction.atomic
def query_reopen(*, query_id: UUID, actor: User, reason: str) -> Query:
    """Ask again: the reason is what the site reads, and it has its days anew."""
    query = _visible(actor, query_id)
    words = _words(reason, "Write what is still to be answered.")
    now = timezone.now()
    due_on = query_due_on(now.astimezone(query.site.zone).date())
    move(query, "reopen", actor=actor, reason=words, due_on=due_on)
    QueryMessage.objects.create(query=query, author=actor, text=words, said_at=now)
    return query


@transaction.atomic
def query_close(*, query_id: UUID, actor: User, reason: str) -> Query:
    """Close a question with the reason: the answer settles it."""
    return _end(query_id, actor, "close", reason)


@transaction.atomic
def query_give_up(*, query_id: UUID, actor: User, reason: str) -> Query:
    """End a question that cannot be solved: the scan stays a deviation from the protocol, and the reason says why."""
    return _end(query_id, actor, "give_up", reason)


def query_to_answer(actor: User, query: Query, submission_site_id: int) -> Query:
    """Return a question that a scan of this site may answer now, or refuse it.

    Raises
    ------
    Refused
        ``QUERY-ENDED``: nobody waits for an answer any more.
    NotFound
        It is not this site's.
    """
    asked = _visible(actor, query.pk)
    if asked.site_id != submission_site_id:
        raise NotFound("There is nothing here, or it is not yours to see.")
    if asked.state in (*ENDED, Q.DRAFT):
        raise Refused(f"{asked} is {asked.state.lower()}. Send this as a new scan.", code="QUERY-ENDED")
    return asked


def open_question_of(submission: Submission) -> Query | None:
    """Return the question that is open about a scan, or that the scan itself was sent in answer to."""
    asked = submission.queries.exclude(state__in=(*ENDED, Q.DRAFT)).first()
    answered = submission.answers
    return asked or (answered if answered is not None and answered.state not in ENDED else None)


# --- the steps -------------------------------------------------------------------------------


def _visible(actor: User, query_id: UUID) -> Query:
    query = selectors.queries_visible_to(actor).filter(pk=query_id).first()
    if query is None or not selectors.reads_query(actor, query):
        raise NotFound("There is nothing here, or it is not yours to see.")
    return query


def _end(query_id: UUID, actor: User, event: str, reason: str) -> Query:
    query = _visible(actor, query_id)
    words = reason.strip()
    return move(query, event, actor=actor, reason=words, closed_by=actor, closed_at=timezone.now(), closed_reason=words)


def _words(text: str, why_not: str) -> str:
    words = text.strip()
    if not words:
        raise Refused(why_not, code="QUERY-TEXT")
    return words[:MOST_TEXT]
