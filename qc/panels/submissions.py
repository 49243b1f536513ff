"""Submissions on the pages of `corelab`: worklist rows, tasks, what was sent, what was found."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from django.db.models import BooleanField, Case, Exists, OuterRef, Q, QuerySet, When
from django.http import HttpRequest
from django.urls import reverse

from corelab import access
from corelab.panels import Panel, SearchGroup, SearchHit, Sent, Task, WorkPage, WorkQuery, WorkRow
from qc import selectors
from qc.forms.place import KINDS
from qc.states import SubmissionState as S
from qc.status import NOT_IN_LISTS, is_own, sentence_of, shown_verdict, status_for_lab, status_for_site

SENT_LINES = 8
PANEL_ROWS = 8
TASKS = 20
_NUMBER = re.compile(r"([SR])-?(\d{1,18})", re.IGNORECASE)


def detail_url(submission: Any) -> str:
    """Return the address of a submission."""
    return reverse("qc:submission-detail", args=[submission.number])


def what(submission: Any) -> str:
    """Return in a few words what was sent."""
    parts = [submission.get_kind_display()]
    if submission.subject_code:
        parts.append(f"subject {submission.subject_code}")
    if submission.visit:
        parts.append(submission.visit)
    return ", ".join(parts)


# --- the lab's worklist ---------------------------------------------------------------------------


def work(request: HttpRequest, query: WorkQuery) -> WorkPage:
    """Return the worklist's rows of one view, and how many each view has."""
    narrow = Q()
    for name, value in (("site__code", query.site), ("trial__code", query.trial), ("kind", query.kind)):
        if value:
            narrow &= Q(**{name: value})
    if query.verdict:
        narrow &= Q(verdict=query.verdict) | Q(verdict="", proposed_verdict=query.verdict)
    rows = selectors.worklist_for(request.user, query.view).filter(narrow).defer(*NOT_IN_LISTS)[: query.limit]
    totals = selectors.worklist_totals(request.user, query.view, narrow)
    request._submissions_needed = totals.needs_me  # type: ignore[attr-defined]
    return WorkPage(
        rows=[_work_row(submission, request.user, query.view) for submission in rows],
        counts=totals.counts,
        kinds=dict(KINDS),
        overdue=totals.overdue,
        due_today=totals.due_today,
        oldest_at=totals.oldest_at,
    )


def _work_row(submission: Any, user: Any, view: str) -> WorkRow:
    verdict, is_proposed = shown_verdict(submission, sees_proposed=True)
    status = status_for_lab(submission, is_mine=_needs(submission, user))
    return WorkRow(
        number=str(submission),
        url=f"{detail_url(submission)}?from={view}",
        what=what(submission),
        site=str(submission.site),
        trial=str(submission.trial or ""),
        due_on=submission.due_on,
        verdict=verdict,
        is_proposed=is_proposed,
        headline=sentence_of(submission.headline) if is_proposed else "",
        next_step=_next_step(submission, status, view),
        state=status.chip,
        with_whom=_with_whom(submission, user),
        waits_since=submission.sent_at,
    )


def _next_step(submission: Any, status: Any, view: str) -> str:
    if view == "our-errors" and submission.state != S.HELD:
        return "Make the report again"
    return "" if submission.state == S.RELEASED else str(status.words)


def _needs(submission: Any, user: Any) -> bool:
    roles = access.lab_roles_of(user)
    if submission.state == S.AWAITING_REVIEW:
        return "physicist" in roles and not is_own(submission, user)
    if submission.state == S.IN_REVIEW:
        return bool(submission.reviewer_id == user.pk)
    return submission.state == S.HELD and bool(roles & {"physicist", "technician"})


def _with_whom(submission: Any, user: Any) -> str:
    if submission.reviewer_id:
        return "you" if submission.reviewer_id == user.pk else str(submission.reviewer)
    return "system" if submission.state in {S.CHECKING, S.SENT, S.ANALYSING} else ""


def counts(request: HttpRequest) -> dict[str, int]:
    """Return how much waits for this person, for the bar."""
    if not access.is_lab_staff(request.user):
        return {}
    known: int | None = getattr(request, "_submissions_needed", None)
    return {"corelab:work-list": selectors.worklist_needs_me(request.user) if known is None else known}


# --- the site's home ------------------------------------------------------------------------------


def tasks(request: HttpRequest) -> Iterator[Task]:
    """Yield what a site has to do: answer what came back, finish its drafts, send again what failed."""
    drafts, failed, _ = _own(request)
    for draft in sorted(drafts, key=lambda one: not one.check_findings):
        came_back = bool(draft.check_findings)
        yield Task(
            text=f"{'Put right' if came_back else 'Finish'} {draft} {what(draft)}",
            url=detail_url(draft),
            hint=draft.check_findings[0]["message"] if came_back else f"{draft.scanner}, draft",
            state="needs-you" if came_back else "in-progress",
        )
    for submission in failed:
        yield Task(
            text=f"Send {submission} again",
            url=detail_url(submission),
            hint=f"{what(submission)}, {submission.scanner}: read what to do",
            state="needs-you",
        )


def _own(request: HttpRequest) -> tuple[list[Any], list[Any], list[Any]]:
    """Return of the person's own sites the drafts, what failed and was not sent again, and what was sent lately.

    One query, and one a request: the rows of the three lists are found by their keys.
    """
    kept: tuple[list[Any], list[Any], list[Any]] | None = getattr(request, "_own_submissions", None)
    if kept is not None:
        return kept
    mine = selectors.submissions_visible_to(request.user).filter(site_id__in=access.site_ids_of(request.user))
    drafts = mine.filter(state=S.DRAFT).order_by("-changed_at")[:TASKS]
    # A phantom is scanned again; a patient is not: what the lab wants to know of that scan comes as a query.
    failed = mine.filter(state=S.RELEASED, verdict__in=("FAIL", "NOT_EVALUABLE"), is_dry_run=False)
    failed = failed.exclude(kind="patient").exclude(_was_followed(request)).order_by("-released_at")[:TASKS]
    sent = mine.exclude(state=S.DRAFT).order_by("-number")[:SENT_LINES]
    keys = [Q(pk__in=rows.values("pk")) for rows in (drafts, failed, sent)]
    listed = list(
        mine.filter(keys[0] | keys[1] | keys[2])
        .annotate(is_failed=Case(When(keys[1], then=True), default=False, output_field=BooleanField()))
        .defer(*NOT_IN_LISTS)
    )
    kept = (
        sorted((one for one in listed if one.state == S.DRAFT), key=lambda one: one.changed_at, reverse=True),
        sorted((one for one in listed if one.is_failed), key=lambda one: one.released_at, reverse=True),
        sorted((one for one in listed if one.state != S.DRAFT), key=lambda one: one.number, reverse=True)[:SENT_LINES],
    )
    request._own_submissions = kept  # type: ignore[attr-defined]
    return kept


def _was_followed(request: HttpRequest) -> Exists:
    """Ask of each row whether the site sent the same again since it got the result."""
    later = selectors.submissions_visible_to(request.user).filter(
        site_id=OuterRef("site_id"),
        scanner_id=OuterRef("scanner_id"),
        kind=OuterRef("kind"),
        is_dry_run=False,
        sent_at__gt=OuterRef("released_at"),
    )
    return Exists(later.exclude(state__in=(S.DRAFT, S.WITHDRAWN)))


def sent(request: HttpRequest) -> Iterator[Sent]:
    """Yield what a site sent lately, newest first."""
    for submission in _own(request)[2]:
        verdict, is_proposed = shown_verdict(submission, sees_proposed=False)
        status = status_for_site(submission)
        yield Sent(
            number=str(submission),
            url=detail_url(submission),
            what=what(submission),
            sent_at=submission.sent_at,
            zone=submission.site.time_zone,
            verdict=verdict,
            is_proposed=is_proposed,
            state=status.chip,
            state_text=status.words,
        )


# --- panels of register pages ---------------------------------------------------------------------


def of_scanner(request: HttpRequest, scanner: Any) -> Iterator[Panel]:
    """Yield the submissions of one scanner."""
    rows = selectors.submissions_visible_to(request.user).filter(scanner=scanner)
    yield _panel(request, rows, "Submissions of this scanner", f"scanner={scanner.pk}")


def of_trial(request: HttpRequest, trial: Any) -> Iterator[Panel]:
    """Yield the submissions of one trial."""
    rows = selectors.submissions_visible_to(request.user).filter(trial=trial)
    yield _panel(request, rows, "Scans", f"trial={trial.code}")


def of_trials(request: HttpRequest) -> Iterator[Panel]:
    """Yield what was released in the trials of a trial manager."""
    rows = selectors.submissions_visible_to(request.user).filter(
        trial_id__in=access.trial_ids_of(request.user), state=S.RELEASED
    )
    yield _panel(request, rows, "Released scans", "state=signed")


def _panel(request: HttpRequest, rows: QuerySet[Any], title: str, narrowed: str) -> Panel:
    sees_proposed = access.sees_everything(request.user)
    listed = []
    counted = rows.defer(*NOT_IN_LISTS).annotate(of_all=selectors.count_of(rows))
    for submission in counted[:PANEL_ROWS]:
        verdict, is_proposed = shown_verdict(submission, sees_proposed=sees_proposed)
        status = status_for_lab(submission) if sees_proposed else status_for_site(submission)
        listed.append(
            {
                "submission": submission,
                "what": what(submission),
                "verdict": verdict,
                "is_proposed": is_proposed,
                "status": status,
            }
        )
    context = {
        "title": title,
        "rows": listed,
        "total": listed[0]["submission"].of_all if listed else 0,
        "all_url": f"{reverse('qc:submission-list')}?{narrowed}",
    }
    return Panel(template="qc/_panel_submissions.html", context=context)


# --- search ---------------------------------------------------------------------------------------


def search(request: HttpRequest, text: str, limit: int) -> Iterator[SearchGroup]:
    """Yield the submissions that fit: by number, subject code, scanner or site."""
    wanted = Q(subject_code__icontains=text) | Q(scanner__serial__icontains=text) | Q(site__name__icontains=text)
    digits = text.upper().removeprefix("S-")
    if digits.isdecimal() and len(digits) <= 18:
        wanted |= Q(number=int(digits))
    rows = selectors.submissions_visible_to(request.user).filter(wanted)
    found = list(rows.defer(*NOT_IN_LISTS)[: limit + 1])
    if not found:
        return
    sees_proposed = access.sees_everything(request.user)
    hits = []
    for submission in found[:limit]:
        verdict, is_proposed = shown_verdict(submission, sees_proposed=sees_proposed)
        hint = f"{submission.site} · {submission.scanner}"
        hits.append(
            SearchHit(
                text=f"{submission} {what(submission)}",
                url=detail_url(submission),
                hint=hint,
                verdict=verdict,
                is_proposed=is_proposed,
            )
        )
    yield SearchGroup(
        title="Submissions",
        hits=hits,
        total=len(found) if len(found) <= limit else rows.count(),
        all_url=reverse("qc:submission-list"),
    )


def jump(request: HttpRequest, text: str) -> str:
    """Return the address of exactly this submission or run, if the person may see it."""
    match = _NUMBER.fullmatch(text.strip())
    if match is None:
        return ""
    number = int(match[2])
    if match[1].upper() == "S":
        seen = selectors.submissions_visible_to(request.user).filter(number=number).exists()
        return reverse("qc:submission-detail", args=[number]) if seen else ""
    seen = selectors.runs_visible_to(request.user).filter(number=number).exists()
    return reverse("qc:run-detail", args=[number]) if seen else ""


PLACES = {
    "work": work,
    "tasks": tasks,
    "sent": sent,
    "nav": counts,
    "search": search,
    "jump": jump,
    "scanner": of_scanner,
    "trial": of_trial,
    "trials": of_trials,
}
