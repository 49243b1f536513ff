"""Submissions looked at: the list, one page by role, what the workers do with it, and the moves people make."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.contrib import messages
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.http import require_http_methods, require_safe
from django_htmx.http import HttpResponseClientRedirect, HttpResponseClientRefresh

from corelab import access
from corelab import selectors as registry
from corelab.audit import CATALOGUE
from corelab.errors import NotAllowed, NotFound, Refused, StaleState
from corelab.panels import WORK_VIEWS
from qc import selectors, services
from qc.forms import ReasonForm, kept_of
from qc.forms.place import KINDS
from qc.reports.activity import suv_blocks
from qc.selectors import OUR_ERROR
from qc.services.reports import MAY_REPEAT, report_meta
from qc.states import SUBMISSION
from qc.states import SubmissionState as S
from qc.status import (
    AT_WORK,
    NOT_IN_LISTS,
    WITH_RESULT,
    is_own,
    query_status,
    sentence_of,
    shown_verdict,
    status_for_lab,
    status_for_site,
)
from qc.views import results

PAGE_ROWS = 50
#: Groups of states that the list can be narrowed to.
STATE_GROUPS = {
    "open": ("Open", (S.CHECKING, S.SENT, S.ANALYSING, S.AWAITING_REVIEW, S.IN_REVIEW, S.HELD)),
    "drafts": ("Drafts", (S.DRAFT,)),
    "signed": ("Signed", (S.RELEASED,)),
    "dry-runs": ("Dry runs", (S.PREVIEWED,)),
    "closed": ("Withdrawn or replaced", (S.WITHDRAWN, S.REPLACED)),
}
VERDICTS = [("PASS", "Pass"), ("WARN", "Warning"), ("FAIL", "Fail"), ("NOT_EVALUABLE", "Could not check")]
#: What a verdict means, for those who see one a few times a year.
VERDICT_HELP = {
    "PASS": "Every number and rule that decides lies within its limits.",
    "WARN": "It passes, and something in it needs a look before the next scan.",
    "FAIL": "At least one number or rule that decides lies outside its limits.",
    "NOT_EVALUABLE": "Something that is needed to decide is missing, or could not be read from what was sent.",
}
#: How often a page asks again, seconds, by how often it asked already.
POLL_EVERY_S = ((15, 2), (50, 5), (10**9, 15))


# --- list -----------------------------------------------------------------------------------------


@require_safe
def submission_list(request: HttpRequest) -> HttpResponse:
    """List what the person may see, narrowed by the address."""
    user = request.user
    sees_proposed = access.sees_everything(user)
    rows = selectors.submissions_visible_to(user).defer(*NOT_IN_LISTS, "check_findings")
    chosen = {name: request.GET.get(name, "") for name in ("state", "kind", "site", "trial", "scanner", "verdict")}
    if chosen["state"] in STATE_GROUPS:
        rows = rows.filter(state__in=STATE_GROUPS[chosen["state"]][1])
    if chosen["kind"] in dict(KINDS):
        rows = rows.filter(kind=chosen["kind"])
    if chosen["site"]:
        rows = rows.filter(site__code=chosen["site"])
    if chosen["trial"]:
        rows = rows.filter(trial__code=chosen["trial"])
    if chosen["scanner"].isdecimal() and len(chosen["scanner"]) < 19:
        rows = rows.filter(scanner_id=int(chosen["scanner"]))
    if chosen["verdict"] in dict(VERDICTS):
        rows = rows.filter(verdict=chosen["verdict"])
    page = Paginator(rows, PAGE_ROWS).get_page(request.GET.get("page"))
    sites = list(registry.sites_visible_to(user))
    trials = list(registry.trials_visible_to(user))
    may_send = bool(access.site_ids_of(user))
    context = {
        "page": page,
        "rows": [_list_row(submission, sees_proposed=sees_proposed) for submission in page],
        "chosen": chosen,
        "is_filtered": any(chosen.values()),
        "states": [(key, word) for key, (word, _) in STATE_GROUPS.items() if may_send or key != "drafts"],
        "kinds": KINDS,
        "sites": sites if len(sites) > 1 else [],
        "trials": trials if len(trials) > 1 else [],
        "verdicts": VERDICTS,
        "may_send": may_send,
        "shows_due": sees_proposed or may_send,
    }
    return render(request, "qc/submission_list.html", context)


def _list_row(submission: Any, *, sees_proposed: bool) -> dict[str, Any]:
    verdict, is_proposed = shown_verdict(submission, sees_proposed=sees_proposed)
    status = status_for_lab(submission) if sees_proposed else status_for_site(submission)
    return {
        "submission": submission,
        "verdict": verdict,
        "is_proposed": is_proposed,
        "status": status,
        "shows_due": submission.state in STATE_GROUPS["open"][1],
    }


# --- one submission -------------------------------------------------------------------------------


@require_safe
def submission_detail(request: HttpRequest, number: int) -> HttpResponse:
    """Show one submission: to staff everything, to its site what it asks for, to a trial what was released."""
    submission = selectors.submission_for(request.user, number)
    is_own_site = submission.site_id in access.site_ids_of(request.user)
    if is_own_site and submission.state == S.DRAFT:
        return redirect(next_step_url(submission))
    if access.sees_everything(request.user) or not is_own_site:
        return render(request, "qc/submission_staff.html", _staff_context(request, submission))
    return render(request, "qc/submission_site.html", _site_context(request, submission))


def next_step_url(draft: Any) -> str:
    """Return the step of a draft that is to be done next."""
    if not draft.sheet:
        return reverse("qc:submission-sheet", args=[draft.number])
    step = "check" if draft.check_findings or selectors.arrival_of(draft).files else "files"
    return reverse(f"qc:submission-{step}", args=[draft.number])


def _common_context(request: HttpRequest, submission: Any, run: Any) -> dict[str, Any]:
    result = run.result if run is not None else {}
    figures = list(selectors.figures_visible_to(request.user).filter(run=run)) if run is not None else []
    report = report_of(request.user, run)
    review = _review_of(run)
    against = results.tabs(result, submission.standard, request.GET.get("against", ""))
    current = next((tab.key for tab in against if tab.is_current), "")
    first, others = results.split_pictures(figures, run.method if run is not None else "")
    return {
        "submission": submission,
        "run": run,
        "result": result,
        "review": review,
        "review_sentence": _review_sentence(submission, review),
        "has_report": report is not None and report.stored_id is not None,
        "waits_for_report": report is not None and report.stored_id is None and not report.is_failed,
        "failed_report": report if report is not None and report.is_failed else None,
        "may_repeat_report": bool(access.lab_roles_of(request.user) & MAY_REPEAT),
        "suv_blocks": suv_blocks(result, report_meta(report, is_whole=False)) if report is not None and result else [],
        "choices": selectors.choices_behind(run) if run is not None else [],
        "is_our_error": submission.state == S.HELD and submission.hold_code == OUR_ERROR,
        "against": against,
        "table": results.numbers(result, current) if current else None,
        "pictures": first,
        "more_pictures": others,
        "polling": polling(submission, "detail") if submission.state in AT_WORK else None,
        "sentence": sentence_of(submission.headline),
        "queries": _queries_of(request.user, submission),
    }


def _queries_of(user: Any, submission: Any) -> list[dict[str, Any]]:
    """Return the questions about a submission, and the one that it was sent in answer to, newest first."""
    is_site = submission.site_id in access.site_ids_of(user) and not access.sees_everything(user)
    acts = bool(access.lab_roles_of(user) & {"technician", "physicist"})
    return [
        {"query": query, "status": query_status(query, is_site=is_site, acts=acts)}
        for query in selectors.queries_about(user, submission)
    ]


def _review_of(run: Any) -> Any:
    """Return the signed review of a run that was read with it, or None."""
    return getattr(run, "review", None) if run is not None else None


def _review_sentence(submission: Any, review: Any) -> str:
    """Return the sentence beside a signed verdict: the program's where the person agreed, else the person's own."""
    if review is None:
        return ""
    if review.verdict == review.proposed_verdict:
        return sentence_of(submission.headline)
    return str(review.difference_reason)


def report_of(user: Any, run: Any) -> Any:
    """Return the report of a run that the person may read: the signed one where there is one."""
    if run is None:
        return None
    reports = selectors.reports_visible_to(user).filter(run=run)
    reports = reports.select_related(
        "stored",
        "run__submission__site",
        "run__submission__scanner",
        "run__submission__reconstruction",
        "run__submission__trial",
        "run__superseded_by",
        "review__signature",
    )
    # Where nulls sort differs between databases, so the order is made here.
    return min(reports, key=lambda one: one.review_id is None, default=None)


def _run_for(request: HttpRequest, submission: Any) -> Any:
    """Return the current run if its numbers may be read by this person."""
    if submission.current_run_id is None:
        return None
    return (
        selectors.runs_visible_to(request.user)
        .filter(pk=submission.current_run_id)
        .select_related("review__signature")
        .first()
    )


def _staff_context(request: HttpRequest, submission: Any) -> dict[str, Any]:
    visible = selectors.runs_visible_to(request.user).filter(submission=submission)
    runs = list(visible.select_related("review__signature"))
    run = next((one for one in runs if one.pk == submission.current_run_id), None)
    is_staff = access.sees_everything(request.user)
    context = _common_context(request, submission, run)
    found = results.sort_findings(context["result"].get("findings", []), submission.check_findings)
    verdict, is_proposed = shown_verdict(submission, sees_proposed=is_staff)
    return context | {
        "is_staff": is_staff,
        "verdict": verdict,
        "is_proposed": is_proposed,
        "status": status_for_lab(submission),
        "found": found,
        "kept": kept_of(submission.sheet).values() if is_staff else [],
        "series": selectors.received_series(submission) if is_staff else [],
        "arrival": selectors.arrival_of(submission) if is_staff else None,
        "history": _history(submission) if is_staff else [],
        "checklist": [row for row in selectors.checklist_of(run) if row.answer] if is_staff and run else [],
        "runs": runs,
        "earlier": _earlier(request, submission),
        "may": _moves_of(request.user, submission),
        "place_in_list": _place_in_worklist(request, submission),
    }


def _site_context(request: HttpRequest, submission: Any) -> dict[str, Any]:
    run = _run_for(request, submission)
    context = _common_context(request, submission, run)
    findings = context["result"].get("findings", [])
    verdict, is_proposed = shown_verdict(submission, sees_proposed=False)
    repairable = results.worst_first(selectors.repairable_findings(submission))
    return context | {
        "verdict": verdict,
        "is_proposed": is_proposed,
        "status": status_for_site(submission),
        "has_result": submission.state in WITH_RESULT,
        "verdict_help": VERDICT_HELP.get(verdict, ""),
        "timeline": _timeline(submission, run),
        "steps_to_do": results.steps_for_site([*findings, *repairable]),
        "repairable": repairable,
        "needs_mending": any(
            one["outcome"] in {"FAIL", "NOT_EVALUABLE"} and one.get("owner") == "site" for one in repairable
        ),
        "found": results.sort_findings(findings),
        "arrival": selectors.arrival_of(submission),
        "series": selectors.received_series(submission),
        "may": _moves_of(request.user, submission),
    }


def _timeline(submission: Any, run: Any) -> list[dict[str, Any]]:
    """Return what has happened and what is still to come, in the site's words."""
    state = submission.state
    is_over = state in {S.WITHDRAWN, S.REPLACED}
    measured_at = run.finished_at if run is not None else None
    is_measured = submission.current_run_id is not None and state not in AT_WORK
    events = [
        {"words": "Sent" if state == S.CHECKING else "Arrived", "at": submission.sent_at, "is_done": True},
        {"words": "Measured", "at": measured_at, "is_done": is_measured},
    ]
    if submission.is_dry_run:
        events.append({"words": "Shown to you as a dry run", "at": None, "is_done": state == S.PREVIEWED})
    else:
        events.append({"words": "Reviewed and signed", "at": submission.released_at, "is_done": state == S.RELEASED})
    if state == S.HELD:
        events.insert(1, {"words": "Held by the core lab", "at": None, "is_done": False})
    if is_over:
        words = "Withdrawn" if state == S.WITHDRAWN else "Replaced by a later submission"
        events = [event for event in events if event["is_done"]] + [{"words": words, "at": None, "is_done": True}]
    elif submission.verdict in {"FAIL", "NOT_EVALUABLE"}:
        events.append({"words": "Waiting for your next scan", "at": None, "is_done": False})
    current = next((event for event in events if not event["is_done"]), None)
    for event in events:
        event["class"] = "is-done" if event["is_done"] else "is-current" if event is current else ""
    return events


def _history(submission: Any) -> list[dict[str, Any]]:
    return [
        {"event": event, "sentence": CATALOGUE.get(event.action, event.action)}
        for event in selectors.history_of(submission)[:100]
    ]


def _earlier(request: HttpRequest, submission: Any) -> list[Any]:
    """Return the last signed submissions of the same kind from this scanner."""
    return list(
        selectors.submissions_visible_to(request.user)
        .filter(scanner_id=submission.scanner_id, kind=submission.kind, state=S.RELEASED)
        .exclude(pk=submission.pk)
        .defer(*NOT_IN_LISTS)
        .order_by("-released_at")[:5]
    )


def _moves_of(user: Any, submission: Any) -> dict[str, bool]:
    """Return which moves this person may make now; the services check again."""
    roles = access.roles_of(user, submission.site, submission.trial)
    may = {
        move.event: bool(move.roles & roles) for move in SUBMISSION if move.source == submission.state and move.roles
    }
    own = is_own(submission, user)
    is_mine = submission.reviewer_id == user.pk
    return {
        "claim": may.get("claim", False) and not own and not submission.is_dry_run,
        "own": own and may.get("claim", False),
        "review": may.get("release", False) and is_mine,
        "unclaim": may.get("unclaim", False),
        "repeat": may.get("repeat", False),
        "recheck": may.get("recheck", False),
        "withdraw": may.get("withdraw", False),
        "replace": may.get("replace", False),
    }


def _place_in_worklist(request: HttpRequest, submission: Any) -> dict[str, Any] | None:
    """Return where the submission stands in the worklist that the person came from, with its neighbours."""
    view = request.GET.get("from", "")
    if view not in WORK_VIEWS or not access.sees_everything(request.user):
        return None
    rows = selectors.worklist_for(request.user, view)
    numbers = list(rows.values_list("number", flat=True)[:500])
    if submission.number not in numbers:
        return {"view": view, "at": 0, "total": len(numbers), "previous": None, "next": None}
    at = numbers.index(submission.number)
    return {
        "view": view,
        "at": at + 1,
        "total": len(numbers),
        "previous": numbers[at - 1] if at else None,
        "next": numbers[at + 1] if at + 1 < len(numbers) else None,
    }


# --- what the workers do now ----------------------------------------------------------------------


@require_safe
def submission_progress(request: HttpRequest, number: int) -> HttpResponse:
    """Answer a page that asks again: the line of what is done now, or a fresh page once that has ended."""
    submission = selectors.submission_for(request.user, number)
    if submission.state == S.DRAFT:
        return HttpResponseClientRedirect(reverse("qc:submission-check", args=[number]))
    if submission.state not in AT_WORK:
        return HttpResponseClientRefresh()
    asked = request.GET.get("asked", "0")
    count = int(asked) + 1 if asked.isdecimal() and len(asked) < 6 else 1
    polls_for = "receipt" if request.GET.get("for") == "receipt" else "detail"
    return render(
        request, "qc/_progress.html", {"submission": submission, "polling": polling(submission, polls_for, count)}
    )


def polling(submission: Any, page: str, asked: int = 0) -> dict[str, Any]:
    """Return what the line of progress shows, and how many seconds its page waits before it asks again."""
    every_s = next(seconds for limit, seconds in POLL_EVERY_S if asked < limit)
    return {"progress": selectors.progress_of(submission), "page": page, "asked": asked, "every_s": every_s}


# --- moves with a reason --------------------------------------------------------------------------


def _with_reason(
    request: HttpRequest, submission: Any, *, event: str, template: dict[str, str], act: Callable[[str], Any]
) -> HttpResponse:
    """Ask for the reason of a move on a page of its own, make the move, go back to the submission."""
    SUBMISSION.find(event, submission.state)
    form = ReasonForm(request.POST if request.method == "POST" else None)
    if request.method == "POST" and form.is_valid():
        try:
            act(form.cleaned_data["reason"])
        except (NotAllowed, NotFound, StaleState):
            raise
        except Refused as error:
            form.add_error("reason", error.message)
        else:
            messages.success(request, template["done"])
            return redirect("qc:submission-detail", submission.number)
    return render(request, "qc/submission_confirm.html", {"form": form, "submission": submission, **template})


def _movable(request: HttpRequest, number: int, move: str) -> Any:
    """Return the submission if this person may make the move, else the answer that is there for absent ones."""
    submission = selectors.submission_for(request.user, number)
    rows = [row for row in SUBMISSION if row.event == move]
    roles = access.roles_of(request.user, submission.site, submission.trial)
    if not any(row.roles & roles for row in rows):
        raise NotFound("There is nothing here, or it is not yours to see.")
    return submission


@require_http_methods(["GET", "HEAD", "POST"])
def submission_withdraw(request: HttpRequest, number: int) -> HttpResponse:
    """Take a submission back."""
    submission = _movable(request, number, "withdraw")
    words = {
        "title": f"Withdraw {submission}",
        "explanation": "It is not measured or reviewed any more. What you sent and its history are kept.",
        "button": "Withdraw",
        "done": "Withdrawn.",
        "tone": "danger",
    }
    return _with_reason(
        request,
        submission,
        event="withdraw",
        template=words,
        act=lambda reason: services.submission_withdraw(submission_id=submission.pk, actor=request.user, reason=reason),
    )


@require_http_methods(["GET", "HEAD", "POST"])
def submission_repeat(request: HttpRequest, number: int) -> HttpResponse:
    """Let a submission be measured again."""
    submission = _movable(request, number, "repeat")
    words = {
        "title": f"Measure {submission} again",
        "explanation": "The earlier run stays as it is. If files, settings and program are still the same, "
        "it is shown again.",
        "button": "Measure again",
        "done": "It is measured again.",
        "tone": "",
    }
    return _with_reason(
        request,
        submission,
        event="repeat",
        template=words,
        act=lambda reason: services.submission_repeat(submission_id=submission.pk, actor=request.user, reason=reason),
    )


@require_http_methods(["GET", "HEAD", "POST"])
def submission_recheck(request: HttpRequest, number: int) -> HttpResponse:
    """Let a held submission go on."""
    submission = _movable(request, number, "recheck")
    words = {
        "title": f"Check {submission} again",
        "explanation": f"It is held: {submission.hold_reason}"
        if submission.hold_reason
        else "It is held until a person decides.",
        "button": "Check again",
        "done": "It is checked again.",
        "tone": "",
    }
    return _with_reason(
        request,
        submission,
        event="recheck",
        template=words,
        act=lambda reason: services.submission_recheck(submission_id=submission.pk, actor=request.user, reason=reason),
    )


@require_http_methods(["GET", "HEAD", "POST"])
def submission_replace(request: HttpRequest, number: int) -> HttpResponse:
    """Start a draft that takes the place of this submission when it is sent."""
    submission = _movable(request, number, "replace")
    SUBMISSION.find("replace", submission.state)
    if request.method == "POST":
        draft = services.submission_start(
            actor=request.user,
            site=submission.site,
            kind=submission.kind,
            scanner=submission.scanner,
            reconstruction=submission.reconstruction,
            standard=submission.standard,
            trial=submission.trial,
            subject_code=submission.subject_code,
            visit=submission.visit,
            is_dry_run=submission.is_dry_run,
            replaces=submission,
        )
        return redirect("qc:submission-place", draft.number)
    return render(request, "qc/submission_replace.html", {"submission": submission})
