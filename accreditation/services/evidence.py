"""Signed runs become evidence of the cases whose scope they are of; by themselves, and once each."""

from __future__ import annotations

import logging
from uuid import UUID

from django.db import transaction
from django.db.models import Exists, F, OuterRef, Q, QuerySet

from accreditation import programmes
from accreditation.models import Case, Evidence
from accreditation.requirements import APPROVAL, Facts, Piece, Requirement, RequirementState, lacking, requirements
from accreditation.selectors import Known, facts_of, is_standing, signed_runs, today_at
from accreditation.services.certificates import clearances_end
from accreditation.services.moves import case_locked, move
from accreditation.workflow import CLOSED, IN_FORCE, CaseState
from corelab import audit
from corelab.models import Clearance
from qc.models import Review, Run

logger = logging.getLogger(__name__)

audit.catalogue({"evidence.add": "A signed run was counted as evidence of a case."})


@transaction.atomic
def evidence_collect(*, case_id: UUID) -> Case:
    """Count the signed runs of a case's scope that are not counted yet, and move the case where that decides it.

    The same run again changes nothing.
    """
    return case_collect(case_locked(case_id))


def run_evidence_collect(*, run_id: UUID) -> int:
    """Collect for every open case whose scope a signed run may be of; return how many there were."""
    submission = Run.objects.select_related("submission").get(pk=run_id).submission
    cases = Case.objects.filter(
        scanner_id=submission.scanner_id, reconstruction_id=submission.reconstruction_id, standard=submission.standard
    ).exclude(state__in=CLOSED)
    return _collect_each(cases)


def cases_reconcile() -> int:
    """Job: collect where a signed run is not counted although it is of an open case's scope: its signal was lost."""
    return _collect_each(_with_uncounted_runs())


def case_collect(case: Case) -> Case:
    """Do what `evidence_collect` does with a case that the caller has locked in its transaction."""
    if case.state in CLOSED:
        return case
    fresh = _uncounted(case, facts_of([case])[case.pk])
    if case.state == CaseState.CORRECTIVE_ACTION_REQUIRED and _answers_the_action(case, [one for _, one in fresh]):
        move(case, "resubmit", actor=None)
        move(case, "analyse", actor=None, attempt=case.attempt + 1, deadline_on=None)
    for requirement, piece in fresh:
        _count(case, requirement, piece)
    known, today = facts_of([case])[case.pk], today_at(case.scanner.site)
    if case.state == CaseState.ANALYSIS_RUNNING:
        found = requirements(programmes.load(case.programme), known.on(today), today)
        if why := _ready(case, found):
            move(case, "collect", actor=None, evidence={"because": why})
    certificate_hold(case, known)
    return case


def certificate_hold(case: Case, known: Known) -> bool:
    """Suspend a certificate whose requirements hold no more, in whatever state its case is; say whether it was."""
    reason = broken(case, known)
    if not reason:
        return False
    if case.state in IN_FORCE:
        move(case, "suspend", actor=None, reason=reason)
    clearances_end(case, Clearance.Ending.SUSPENDED, reason)
    return True


def broken(case: Case, known: Known) -> str:
    """Return why a standing certificate of a case holds no more today; empty where it does, or there is none."""
    today = today_at(case.scanner.site)
    if not any(is_standing(one) and one.valid_until >= today for one in known.certificates):
        return ""
    facts: Facts = known.on(today, as_it_stands=True)
    found = requirements(programmes.load(case.programme), facts, today)
    return " ".join(
        f"{one.title}: {one.reason}" for one in found if one.state == RequirementState.NOT_MET and one.id != APPROVAL
    )


def is_ready(case: Case, known: Known) -> bool:
    """Say whether a case that collects its evidence has what a physicist needs."""
    today = today_at(case.scanner.site)
    return bool(_ready(case, requirements(programmes.load(case.programme), known.on(today), today)))


# --- the steps -------------------------------------------------------------------------------


def _collect_each(cases: QuerySet[Case]) -> int:
    ids = list(cases.order_by("number").values_list("pk", flat=True))
    for case_id in ids:
        try:
            evidence_collect(case_id=case_id)
        except Exception:
            # One that breaks must not keep the others from their evidence: it is tried again at the next turn.
            logger.exception("evidence of case %s could not be collected", case_id)
    return len(ids)


def _uncounted(case: Case, known: Known) -> list[tuple[str, Piece]]:
    """Return what speaks for a requirement and is not counted, the oldest scan first."""
    counted = set(case.evidence.values_list("requirement", "run__number"))
    needs = programmes.load(case.programme).requirements
    return [
        (need.id, piece)
        for piece in sorted(known.runs, key=lambda one: (one.scanned_on, one.run))
        for need in needs
        if need.kind == piece.kind and (need.id, int(piece.run.removeprefix("R-"))) not in counted
    ]


def _count(case: Case, requirement: str, piece: Piece) -> None:
    row, is_new = Evidence.objects.get_or_create(
        case=case,
        requirement=requirement,
        run=Run.objects.get(number=piece.run.removeprefix("R-")),
        defaults={"verdict": piece.verdict, "scanned_on": piece.scanned_on, "attempt": case.attempt},
    )
    if is_new:
        audit.record(
            "evidence.add",
            case,
            after={
                "requirement": requirement,
                "run": piece.run,
                "submission": piece.submission,
                "verdict": piece.verdict,
                "scanned_on": piece.scanned_on.isoformat(),
                "attempt": row.attempt,
            },
        )


def _answers_the_action(case: Case, pieces: list[Piece]) -> bool:
    asked = case.decisions.filter(event="require_action").order_by("-decided_at").first()
    return asked is not None and any(one.signed_at and one.signed_at > asked.decided_at for one in pieces)


def _ready(case: Case, found: list[Requirement]) -> str:
    """Say why a physicist should look at a case now; empty while evidence is still awaited.

    A run that failed in an earlier attempt, or before the site applied, waits for the next one.
    """
    if not lacking(found):
        return "every requirement is met"
    for one in found:
        if one.state == RequirementState.NOT_MET and one.evidence:
            piece = one.evidence[0]
            is_of_now = (
                case.applied_at is not None and piece.signed_at is not None and piece.signed_at > case.applied_at
            )
            if is_of_now and piece.attempt == case.attempt:
                return f"{piece.run} did not pass"
    return ""


def _with_uncounted_runs() -> QuerySet[Case]:
    counted = Evidence.objects.filter(case=OuterRef(OuterRef("pk")), run=OuterRef("run"))
    uncounted = signed_runs().filter(
        ~Exists(counted),
        run__submission__scanner=OuterRef("scanner"),
        run__submission__reconstruction=OuterRef("reconstruction"),
        run__submission__standard=OuterRef("standard"),
    )
    own: QuerySet[Review] = uncounted.filter(
        Q(run__submission__trial__isnull=True) | Q(run__submission__trial=OuterRef("trial"))
    )
    return (
        Case.objects.exclude(state__in=CLOSED)
        .filter(Q(Exists(uncounted), trial__isnull=True) | Q(Exists(own), trial__isnull=False))
        .order_by(F("number"))
    )
