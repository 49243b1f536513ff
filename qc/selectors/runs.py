"""Which results a person may read: runs, their pictures and reports, and what was decided about them."""

from __future__ import annotations

from dataclasses import dataclass

from django.db.models import F, Q, QuerySet

from corelab import access
from corelab.models import User
from qc import suv_choice
from qc.checklists import Item, checklist_for
from qc.models import ChecklistAnswer, Figure, Report, Run, SuvChoice
from qc.selectors.lookup import by_number
from qc.selectors.submissions import NUMBERS_FOR_SITE
from qc.states import SubmissionState as S


def _results(user: User, submission: str, run: str) -> Q:
    """Return whose results may be read: the lab all of them, a site and a trial the one that was released.

    ``submission`` and ``run`` are the lookup paths from the asked table to those two.
    """
    if access.sees_everything(user):
        return Q()
    site = Q(**{f"{submission}__site_id__in": access.site_ids_of(user), f"{submission}__state__in": NUMBERS_FOR_SITE})
    trial = Q(
        **{
            f"{submission}__trial_id__in": access.trial_ids_of(user),
            f"{submission}__state": S.RELEASED,
            f"{submission}__is_dry_run": False,
        }
    )
    return Q(**{f"{submission}__current_run": F(run)}) & (site | trial)


def runs_visible_to(user: User) -> QuerySet[Run]:
    """Return the runs whose numbers the person may read."""
    return Run.objects.filter(_results(user, "submission", "pk")).select_related(
        "submission__site", "submission__scanner", "submission__reconstruction", "submission__trial"
    )


def run_for(user: User, number: int | str) -> Run:
    """Return one run by its number, ``1003`` or ``R-1003``, or raise NotFound."""
    run: Run = by_number(runs_visible_to(user), number, "R-")
    return run


def figures_visible_to(user: User) -> QuerySet[Figure]:
    """Return the pictures of the runs that the person may read."""
    return Figure.objects.filter(_results(user, "run__submission", "run")).select_related("stored", "run")


def reports_visible_to(user: User) -> QuerySet[Report]:
    """Return the documents of the runs that the person may read; outside the lab only what is final.

    Final is the signed report, or the unofficial one of a dry run.
    """
    reports = Report.objects.filter(_results(user, "run__submission", "run")).select_related(
        "stored", "run__submission__site", "review__signature"
    )
    if access.sees_everything(user):
        return reports
    return reports.filter(Q(review__isnull=False) | Q(run__submission__state=S.PREVIEWED))


@dataclass(frozen=True)
class ChecklistRow:
    """One item of the visual checklist with its last answer, None while there is none."""

    item: Item
    answer: ChecklistAnswer | None


def checklist_of(run: Run) -> list[ChecklistRow]:
    """Return the checklist of a run's method with the last answer to each item; one query."""
    last: dict[str, ChecklistAnswer] = {}
    for answer in run.checklist_answers.select_related("answered_by").order_by("answered_at", "pk"):
        last[answer.item] = answer
    return [ChecklistRow(item, last.get(item.key)) for item in checklist_for(run.method)]


def choices_behind(run: Run) -> list[SuvChoice]:
    """Return the signed decisions about the SUV that a run was made by, the first one first; mostly none, unasked."""
    decision = suv_choice.decision_of(run.parameters)
    if not decision:
        return []
    behind = SuvChoice.objects.filter(
        submission=run.submission_id, decision=decision, run__input_digest=run.input_digest
    )
    return list(behind.select_related("signature"))


def unsigned_report_of(run: Run) -> Report | None:
    """Return the unsigned report of a run, with its stored bytes once it is made."""
    return run.reports.filter(review__isnull=True).select_related("stored").first()
