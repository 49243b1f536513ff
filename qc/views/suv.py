"""A run's SUV read line by line, what a physicist decides about it, and how the program stands on reference objects."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.safestring import mark_safe
from django.views.decorators.http import require_http_methods, require_safe

from corelab import access
from corelab.errors import NotAllowed, NotFound, Refused
from phantoms.suv.standing import standing
from qc import selectors, services, suv_choice, suv_trace
from qc.forms import SuvChoiceForm
from qc.reports.activity import suv_facts
from qc.states import SubmissionState as S
from qc.status import is_own


@require_safe
def suv_trace_show(request: HttpRequest, number: int) -> HttpResponse:
    """Show how a run's SUV came about, or why there is none: to whoever may read the run."""
    run = selectors.run_for(request.user, number)
    if not run.result:
        raise NotFound("There is no SUV trace of this run yet. It is made with the run.")
    suv, submission = run.result["suv"], run.submission
    is_staff = access.sees_everything(request.user)
    offers = suv_choice.offers(run.result, run.parameters) if is_staff else ()
    context = {
        "run": run,
        "submission": submission,
        "is_staff": is_staff,
        "facts": suv_facts(run.result),
        "refusals": suv_trace.refusals(suv),
        "warnings": suv_trace.warnings(suv, run.method),
        "choices": selectors.choices_behind(run),
        "is_open": bool(offers) and submission.current_run_id == run.pk,
        "may_choose": bool(offers) and _may_choose(request.user, submission, run),
        "time_line": mark_safe(suv_trace.time_line_svg(suv)),  # noqa: S308 (our own drawing; words are escaped)
        "instants": suv_trace.instants(suv),
        "compared_with": suv_trace.compared_with(suv),
        "steps": suv_trace.steps(suv),
        "size_factors": suv_trace.size_factors(suv),
        "slice_factors": suv_trace.slice_factors(suv),
    }
    return render(request, "qc/suv_trace.html", context)


def _may_choose(user: Any, submission: Any, run: Any) -> bool:
    """Say whether this person may decide now; the service checks again."""
    has_it = submission.state == S.IN_REVIEW and submission.reviewer_id == user.pk
    return has_it and submission.current_run_id == run.pk and not is_own(submission, user)


@require_http_methods(["GET", "HEAD", "POST"])
def submission_choose(request: HttpRequest, number: int) -> HttpResponse:
    """Ask a physicist for a decision about the SUV of the submission they have in review, and sign it."""
    submission = selectors.submission_for(request.user, number)
    if "physicist" not in access.lab_roles_of(request.user):
        raise NotFound("There is nothing here, or it is not yours to see.")
    if submission.current_run_id is None:
        return redirect("qc:submission-detail", number)
    run = selectors.run_for(request.user, submission.current_run.number)
    offers = suv_choice.offers(run.result, run.parameters)
    if not offers or not _may_choose(request.user, submission, run):
        return redirect("qc:suv-trace", run.number)
    form = SuvChoiceForm(request.POST or None, offers=offers, initial={"run": run.number})
    if request.method == "POST" and form.is_valid():
        try:
            _sign(request, submission, run, form)
        except NotAllowed as error:
            form.add_error("password" if error.code == "SIGN-PASSWORD" else None, error.message)
        except Refused as error:
            form.add_error(None, error.message)
        else:
            messages.success(request, "Signed. It is measured anew.")
            return redirect("qc:submission-detail", number)
    context = {
        "form": form,
        "submission": submission,
        "run": run,
        "refusals": suv_trace.refusals(run.result["suv"]),
        "decided": suv_choice.decision_of(run.parameters),
        "begins": suv_choice.beginning(run.short_number, submission.short_number),
    }
    return render(request, "qc/submission_choose.html", context)


def _sign(request: HttpRequest, submission: Any, run: Any, form: SuvChoiceForm) -> None:
    values = form.cleaned_data
    if values["run"] != run.number:
        raise Refused(f"The run changed while you were reading ({run}). Read it again before you sign.")
    services.suv_choice_sign(
        submission_id=submission.pk,
        run_id=run.pk,
        actor=request.user,
        decision=form.decision,
        reason=values["reason"],
        password=values["password"],
    )


@require_safe
def standing_show(request: HttpRequest) -> HttpResponse:
    """Show how the program's SUV stands on reference objects: which, which version, with what result."""
    known = standing()
    sets = [one | {"objects": [_object_row(each) for each in one["objects"]]} for one in known["sets"]]
    return render(request, "qc/standing_show.html", {"standing": known, "sets": sets})


_RESULT_WORDS = {"PASS": "as expected", "FAIL": "not as expected", "NOT_READ": "not read"}


def _object_row(one: dict[str, Any]) -> dict[str, str]:
    """Return what a reference object was to give and gave, in words."""
    refused = f"refused, {one['refused']}" if one["refused"] else ""
    return {
        "id": one["id"],
        "id_v2": one.get("id_v2", ""),
        "expected": _values_words(one["expected"]),
        "found": refused or _values_words(one["found"]),
        "used": one["used"] or "",
        "result": _RESULT_WORDS[one["result"]],
    }


def _values_words(given: Any) -> str:
    """Return minimum, median and maximum as SUV, or one factor, or the word that stands in their place."""
    if isinstance(given, list):
        return " · ".join(f"{value:.3f}" for value in given)
    return suv_trace.scientific(given) if isinstance(given, float) else str(given or "")
