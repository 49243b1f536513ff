"""A physicist's work: take a submission, answer the visual check, decide, sign."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_http_methods, require_POST

from corelab import access
from corelab.errors import NotAllowed, NotFound, Refused, StaleState
from qc import selectors, services, suv_choice
from qc.checklists import unanswered
from qc.forms import ChecklistForm, ReviewForm, SignForm
from qc.forms.review import VERDICTS
from qc.reports.activity import suv_blocks
from qc.services.reports import report_meta
from qc.states import SubmissionState as S
from qc.status import sentence_of
from qc.views import results
from qc.views.submissions import report_of

#: What a draft of a review holds between the two pages; it lives in the person's session.
REVIEW_FIELDS = ("verdict", "difference_reason", "comment_to_site")


def _submission(request: HttpRequest, number: int) -> Any:
    """Return the submission for a physicist; for everybody else there is nothing here."""
    submission = selectors.submission_for(request.user, number)
    if "physicist" not in access.lab_roles_of(request.user):
        raise NotFound("There is nothing here, or it is not yours to see.")
    return submission


@require_POST
def submission_claim(request: HttpRequest, number: int) -> HttpResponse:
    """Take a submission for review."""
    submission = _submission(request, number)
    services.submission_claim(submission_id=submission.pk, actor=request.user)
    return redirect("qc:submission-review", number)


@require_POST
def submission_unclaim(request: HttpRequest, number: int) -> HttpResponse:
    """Give a submission back to the worklist."""
    submission = _submission(request, number)
    services.submission_unclaim(submission_id=submission.pk, actor=request.user)
    messages.success(request, "It is back on the worklist.")
    return redirect("qc:submission-detail", number)


def _mine(submission: Any, user: Any) -> bool:
    return submission.state == S.IN_REVIEW and submission.reviewer_id == user.pk


def _session_key(submission: Any) -> str:
    return f"review:{submission.number}:{submission.current_run_id}"


# --- review ---------------------------------------------------------------------------------------


@require_http_methods(["GET", "HEAD", "POST"])
def submission_review(request: HttpRequest, number: int) -> HttpResponse:
    """Ask what the physicist saw and decides; going on leads to the signature."""
    submission = _submission(request, number)
    if not _mine(submission, request.user):
        return redirect("qc:submission-detail", number)
    run = selectors.run_for(request.user, submission.current_run.number)
    key = _session_key(submission)
    kept = request.session.get(key, {})
    if request.method != "POST":
        form = ReviewForm(initial=kept, proposed=submission.proposed_verdict)
        return _review_page(request, submission, run, form)
    form = ReviewForm(request.POST, proposed=submission.proposed_verdict)
    request.session[key] = {name: request.POST.get(name, "")[:4_000] for name in REVIEW_FIELDS}
    if request.htmx:
        return render(request, "qc/_saved.html", {"saved_at": timezone.now(), "zone": None})
    checklist = selectors.checklist_of(run)
    left = unanswered(run.method, {row.item.key for row in checklist if row.answer})
    if left:
        titles = ", ".join(item.title.lower() for item in left)
        form.add_error(None, f"Answer the visual check first: {titles}.")
    if str(run.number) != request.POST.get("run"):
        form.add_error(None, f"The run changed while you were reading ({run}). Read the difference before you sign.")
    if form.is_valid():
        return redirect("qc:submission-sign", number)
    return _review_page(request, submission, run, form)


def _review_page(
    request: HttpRequest, submission: Any, run: Any, form: ReviewForm, *, status: int = 200
) -> HttpResponse:
    figures = list(selectors.figures_visible_to(request.user).filter(run=run))
    first, others = results.split_pictures(figures, run.method)
    report = report_of(request.user, run)
    context = {
        "submission": submission,
        "run": run,
        "form": form,
        "checklist": selectors.checklist_of(run),
        "pictures": [*first, *others],
        "sentence": sentence_of(submission.headline),
        "found": results.sort_findings(run.result.get("findings", []), submission.check_findings),
        "table": results.numbers(run.result, submission.standard),
        "suv_blocks": suv_blocks(run.result, report_meta(report)) if report is not None else [],
        "choices": selectors.choices_behind(run),
        "may_choose": bool(suv_choice.offers(run.result, run.parameters)),
    }
    return render(request, "qc/submission_review.html", context, status=status)


@require_POST
def checklist_answer(request: HttpRequest, number: int) -> HttpResponse:
    """Record one answer of the visual check, with the person and the time."""
    submission = _submission(request, number)
    if not _mine(submission, request.user):
        raise StaleState(f"{submission} is no longer in your review. Look at the new state first.")
    run = selectors.run_for(request.user, submission.current_run.number)
    form = ChecklistForm(request.POST)
    if form.is_valid():
        services.checklist_answer(
            run_id=run.pk,
            actor=request.user,
            item=form.cleaned_data["item"],
            is_seen=form.cleaned_data["is_seen"],
            note=form.cleaned_data["note"],
        )
    item = request.POST.get("item", "")
    if not request.htmx:
        return redirect(f"{reverse('qc:submission-review', args=[number])}#check-{item}")
    row = next((row for row in selectors.checklist_of(run) if row.item.key == item), None)
    if row is None:
        raise NotFound("There is no such question.")
    return render(request, "qc/_checklist_row.html", {"row": row, "submission": submission, "run": run})


# --- signature ------------------------------------------------------------------------------------


@require_http_methods(["GET", "HEAD", "POST"])
def submission_sign(request: HttpRequest, number: int) -> HttpResponse:
    """Show exactly what is signed, take the password, sign."""
    submission = _submission(request, number)
    if not _mine(submission, request.user):
        return redirect("qc:submission-detail", number)
    run = selectors.run_for(request.user, submission.current_run.number)
    kept = request.session.get(_session_key(submission), {})
    if request.method != "POST":
        checked = ReviewForm(kept, proposed=submission.proposed_verdict)
        if not checked.is_valid():
            return redirect("qc:submission-review", number)
        digest = services.signing_digest(run)
        initial = {**checked.cleaned_data, "run": str(run.number), "shown_digest": digest or ""}
        return _sign_page(request, submission, run, SignForm(initial=initial), initial)
    form = SignForm(request.POST)
    if request.POST.get("verdict") not in dict(VERDICTS):
        return redirect("qc:submission-review", number)
    if not form.is_valid():
        return _sign_page(request, submission, run, form, request.POST.dict())
    values = form.cleaned_data
    try:
        _sign(request, submission, run, values)
    except StaleState as error:
        review = ReviewForm({name: values[name] for name in REVIEW_FIELDS}, proposed=submission.proposed_verdict)
        review.add_error(None, f"{error.message} Nothing was signed, and nothing you wrote is lost: it is below.")
        return _review_page(request, submission, run, review, status=409)
    except NotAllowed as error:
        form.add_error("password" if error.code == "SIGN-PASSWORD" else None, error.message)
        return _sign_page(request, submission, run, form, values)
    except Refused as error:
        form.add_error(None, error.message)
        return _sign_page(request, submission, run, form, values)
    request.session.pop(_session_key(submission), None)
    messages.success(request, "Signed and released to the site.")
    return redirect("qc:submission-detail", number)


def _sign(request: HttpRequest, submission: Any, run: Any, values: dict[str, Any]) -> None:
    if values["run"] != str(run.number):
        raise StaleState(f"The run changed while you were reading ({run}). Read the difference before you sign.")
    services.review_sign(
        submission_id=submission.pk,
        run_id=run.pk,
        actor=request.user,
        verdict=values["verdict"],
        difference_reason=values["difference_reason"],
        comment_to_site=values["comment_to_site"],
        password=values["password"],
        shown_digest=values["shown_digest"],
    )


def _sign_page(request: HttpRequest, submission: Any, run: Any, form: SignForm, values: dict[str, Any]) -> HttpResponse:
    verdict = values.get("verdict", "")
    context = {
        "submission": submission,
        "run": run,
        "form": form,
        "verdict": verdict,
        "difference_reason": values.get("difference_reason", ""),
        "comment_to_site": values.get("comment_to_site", ""),
        "digest": values.get("shown_digest", ""),
        "statement": services.signing_statement(run, verdict),
        "role": "Physicist",
        "now": timezone.now(),
        "report": selectors.unsigned_report_of(run),
    }
    return render(request, "qc/submission_sign.html", context)
