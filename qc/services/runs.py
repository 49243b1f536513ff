"""Analyses: made once for each identity, claimed by one worker, never edited afterwards."""

from __future__ import annotations

import logging
from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models import QuerySet

from corelab import audit, jobs, storage
from corelab.errors import InvalidMove, StaleState
from corelab.models import Attempt, StoredObject
from corelab.models.work import WorkState
from corelab.numbers import next_number
from phantoms.dicom_series import Source, digest_of
from phantoms.errors import AnalysisRefused
from phantoms.results import Outcome
from qc import analysis, suv_choice, wording
from qc.deviations import summary_of
from qc.models import Figure, ReceivedFile, Report, Run, Submission
from qc.models.submissions import Kind
from qc.selectors import OUR_ERROR
from qc.services import drifts, queries
from qc.services.moves import move
from qc.services.yardsticks import yardstick_of
from qc.states import SubmissionState as S

logger = logging.getLogger(__name__)

audit.catalogue(
    {
        "run.request": "An analysis was asked for.",
        "run.finish": "A worker finished an analysis.",
        "run.fail": "An analysis ended as our error after its last try.",
    }
)

#: Files that are measured: also those that came before, if the site sends them for another purpose.
MEASURED = (ReceivedFile.Status.KEPT, ReceivedFile.Status.REPEATED)
#: Modalities that are measured; a phantom with spheres has its CT looked at.
_MODALITIES = {Kind.NEMA_IQ: ("PT", "CT")}
#: Keys of the stored sheet that are no part of the contract's ``sheet.json``.
_OTHER_KEYS = frozenset({"patient", "entry"})


def sheet_of(submission: Submission) -> dict[str, Any] | None:
    """Return the sheet as the analysis reads it; None where nothing was filled in."""
    if submission.kind == Kind.PATIENT:
        return None
    sheet = {key: value for key, value in submission.sheet.items() if key not in _OTHER_KEYS}
    return sheet if sheet.get("fills") else None


def run_request(submission: Submission) -> Run:
    """Find or make the run for what a submission holds now, in the caller's transaction.

    The identity is the files, the parameters, the method's version and the program; the same identity finds the run.
    Among the parameters is all that the scan is judged by, as it stands now: protocol, register, clearances.
    A finished one is used as it is, one that failed gets its tries again.
    """
    run, is_new = _find_or_make(submission)
    if is_new:
        audit.record("run.request", run, after={"method": run.method, "input_digest": run.input_digest})
    if run.work_state == WorkState.DONE:
        move(submission, "analyse", actor=None)
        _hand_on(run, submission)
    else:
        jobs.queue(run, "qc.analyse_run", key="run_id")
    return run


def run_analyse(*, run_id: UUID) -> None:
    """Job: measure one run and hand its submission on to review, or to preview."""
    run = Run.objects.select_related("submission__site", "submission__trial").filter(pk=run_id).first()
    if run is None or not _is_wanted(run):
        return
    attempt = jobs.claim(run)
    if attempt is None:
        return
    try:
        _take_up(run.submission)
        with jobs.at_work(run):
            result, figures = _measure(run)
            pictures = {name: (figure, storage.put_once([figure.svg]).stored) for name, figure in figures.items()}
        _finish(run, attempt, result, pictures)
    except StaleState:
        logger.warning("run %s: another worker has it, this outcome is dropped", run.pk)
    except Exception as error:  # noqa: BLE001 (the try is recorded and repeated, whatever it was)
        if jobs.give_up(run, attempt, error):
            run_failed(run)


@transaction.atomic
def run_failed(run: Run) -> None:
    """End a run as our error after its last try, and hold its submission; nothing is said about the scan."""
    reason = f"Our error in {run.method}@{run.method_version}, reference {run.work_error}. The files are safe."
    Run.objects.filter(pk=run.pk).update(verdict=Outcome.ERROR, headline="Our error – we are on it")
    run.refresh_from_db()
    audit.record("run.fail", run, after={"attempts": run.attempts, "reference": run.work_error})
    submission = Submission.objects.select_related("site", "trial").get(pk=run.submission_id)
    if submission.state in (S.SENT, S.ANALYSING):
        move(
            submission,
            "hold",
            actor=None,
            reason=reason,
            hold_code=OUR_ERROR,
            hold_reason=reason,
            current_run=run,
            proposed_verdict=Outcome.ERROR,
            headline=run.headline,
        )


# --- the steps -------------------------------------------------------------------------------


def _measured_files(submission: Submission) -> QuerySet[ReceivedFile]:
    modalities = _MODALITIES.get(Kind(submission.kind), ("PT",))
    return submission.files.filter(status__in=MEASURED, modality__in=modalities)


def _find_or_make(submission: Submission) -> tuple[Run, bool]:
    digests = _measured_files(submission).values_list("stored__sha256", flat=True)
    input_digest, chosen = digest_of(digests), submission.chosen_series
    series_uid = chosen if chosen and submission.files.filter(series_instance_uid=chosen).exists() else None
    request = analysis.Request(
        method=submission.kind,
        sheet=sheet_of(submission),
        standards=(submission.standard,),
        series_uid=series_uid,
        conformance=audit.storable(yardstick_of(submission)),
        **suv_choice.request_of(_decision_about(submission, input_digest, series_uid)),
    )
    parameters, program = request.as_json(), analysis.program()
    identity = {
        "method": submission.kind,
        "method_version": analysis.METHODS[submission.kind],
        "input_digest": input_digest,
        "parameters_digest": analysis.digest(parameters),
        "program_digest": analysis.digest(program),
    }
    found = submission.runs.filter(**identity).first()
    if found is not None:
        return found, False
    run = Run(submission=submission, number=next_number("R"), parameters=parameters, program=program, **identity)
    run.save(force_insert=True)
    return run, True


def _decision_about(submission: Submission, input_digest: str, series_uid: str | None) -> str:
    """Return what a physicist last decided about the SUV of just these images; of others it says nothing."""
    last = submission.suv_choices.select_related("run").last()
    if last is None or (last.run.input_digest, last.run.parameters.get("series_uid")) != (input_digest, series_uid):
        return suv_choice.TAKEN_BACK
    return last.decision


def _is_wanted(run: Run) -> bool:
    """Say whether the submission still waits for a result; a run that nobody waits for is no longer due."""
    if run.submission.state in (S.SENT, S.ANALYSING):
        return True
    Run.objects.filter(pk=run.pk, work_state=WorkState.QUEUED).update(queued_at=None)
    return False


def _take_up(submission: Submission) -> None:
    try:
        move(submission, "analyse", actor=None)
    except (StaleState, InvalidMove):
        # Withdrawn or replaced a moment ago: the run is finished all the same, and moves nothing.
        submission.refresh_from_db()


def _measure(run: Run) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the result and the pictures of a run; a refusal is a result."""
    files = _measured_files(run.submission).order_by("stored__sha256")
    digests = files.values_list("stored__sha256", flat=True)
    sources = [Source.from_path(storage.path_of(sha256), sha256[:16]) for sha256 in digests]
    parameters = run.parameters
    request = analysis.Request(
        method=parameters["method"],
        sheet=parameters["sheet"],
        standards=tuple(parameters["standards"]),
        edition=parameters["edition"],
        series_uid=parameters["series_uid"],
        conformance=parameters.get("conformance"),
        **suv_choice.request_of(suv_choice.decision_of(parameters)),
    )
    try:
        done = analysis.analyse_files(sources, request, with_figures=True)
    except AnalysisRefused as refused:
        done = analysis.unusable(refused.code, refused.detail, refused.next_step, request)
    return done.json, done.figures


@transaction.atomic
def _finish(run: Run, attempt: Attempt, result: dict[str, Any], pictures: dict[str, tuple[Any, StoredObject]]) -> None:
    result = audit.storable(result)  # its digest must hold for what the database gives back
    # A result that nothing judged says nothing about the scan: it could not be checked.
    verdict = result["verdict"] or Outcome.NOT_EVALUABLE.value
    jobs.finish(
        run,
        attempt,
        result=result,
        result_digest=analysis.digest(analysis.lasting(result)),
        verdict=verdict,
        headline=wording.headline(result, run.parameters["standards"])[:300],
    )
    Figure.objects.bulk_create(
        Figure(run=run, name=name, alt=figure.alt, caption=figure.caption, stored=stored)
        for name, (figure, stored) in pictures.items()
    )
    audit.record("run.finish", run, after={"verdict": verdict, "result_digest": run.result_digest})
    submission = Submission.objects.select_related("site", "trial").get(pk=run.submission_id)
    _hand_on(run, submission)


def _hand_on(run: Run, submission: Submission) -> None:
    """Make a finished run the current one, move its submission on, and have the report made."""
    submission.runs.exclude(pk=run.pk).filter(superseded_by=None).update(superseded_by=run)
    Run.objects.filter(pk=run.pk).update(superseded_by=None)
    if submission.state == S.ANALYSING:
        move(
            submission,
            "preview" if submission.is_dry_run else "measured",
            actor=None,
            current_run=run,
            proposed_verdict=run.verdict,
            headline=run.headline,
            **summary_of(run.result),
        )
        _follow(run, submission)
        drifts.drift_note(run, submission)
    report, is_new = Report.objects.get_or_create(run=run, review=None)
    if is_new or report.work_state == WorkState.FAILED:
        jobs.queue(report, "qc.make_report", key="report_id")


def _follow(run: Run, submission: Submission) -> None:
    """Let the questions follow the run; one that staff moved this very moment is followed as it is now."""
    try:
        with transaction.atomic():
            queries.run_follow(run, submission)
    except StaleState:
        again = Submission.objects.select_related("site", "trial", "answers").get(pk=submission.pk)
        queries.run_follow(run, again)
