"""What the workers do with a submission now."""

from __future__ import annotations

from dataclasses import dataclass

from django.utils import timezone

from corelab.models import Work
from corelab.models.work import WorkState
from qc.models import Report, Submission
from qc.selectors.arrival import UNPACKING
from qc.selectors.submissions import OUR_ERROR
from qc.states import SubmissionState as S


@dataclass(frozen=True, kw_only=True)
class Progress:
    """What the workers do with a submission now, for the line that a page polls.

    ``step`` is ``unpack``, ``check``, ``analyse``, ``report`` or ``""``; ``done`` of ``total`` counts within it (0 of
    0 where it cannot be counted); ``ahead`` is how many jobs of that step wait before this one; ``usual`` says how long
    such a step takes, ``elapsed_s`` how long this one has been at work.
    """

    step: str = ""
    words: str = "Nothing is running."
    usual: str = ""
    done: int = 0
    total: int = 0
    ahead: int = 0
    attempt: int = 0
    elapsed_s: int | None = None
    is_running: bool = False
    is_finished: bool = True
    is_our_error: bool = False
    error_reference: str = ""


@dataclass(frozen=True)
class _Step:
    """The words of one step, while it waits and while it runs, and how long it usually takes."""

    waits: str
    runs: str
    usual: str


_STEPS = {
    "unpack": _Step("The zip waits to be opened", "Opening the zip", "10 to 60 s"),
    "check": _Step("Waiting to be checked", "Checking what arrived", "1 to 3 s"),
    "analyse": _Step("Waiting to be measured", "Measuring", "5 to 40 s"),
    "report": _Step("The report waits to be made", "Making the report", "2 to 5 s"),
}


def progress_of(submission: Submission) -> Progress:
    """Return what the workers do with a submission now; at most four queries."""
    if submission.state == S.HELD and submission.hold_code == OUR_ERROR:
        return Progress(words=submission.hold_reason, is_our_error=True)
    if submission.state in (S.DRAFT, S.CHECKING):
        zip_upload = submission.uploads.filter(UNPACKING).order_by("queued_at").first()
        if zip_upload is not None:
            return _progress("unpack", zip_upload)
        return _progress("check", submission) if submission.state == S.CHECKING else Progress()
    if submission.state in (S.SENT, S.ANALYSING):
        run = submission.runs.filter(superseded_by=None).order_by("-number").first()
        return _progress("analyse", run) if run is not None else Progress()
    if submission.state in (S.AWAITING_REVIEW, S.IN_REVIEW, S.RELEASED, S.PREVIEWED):
        report = (
            Report.objects.filter(run__submission=submission, run=submission.current_run_id)
            .exclude(work_state=WorkState.DONE)
            .order_by("-created_at")
            .first()
        )
        return _progress("report", report) if report is not None else Progress()
    return Progress()


def _progress(step: str, row: Work) -> Progress:
    if row.work_state == WorkState.FAILED:
        return Progress(
            step=step, words="Our error. The files are safe.", is_our_error=True, error_reference=row.work_error
        )
    is_running = row.work_state == WorkState.RUNNING
    ahead = 0
    if not is_running and row.queued_at is not None:
        waiting = type(row)._default_manager.filter(work_state=WorkState.QUEUED, queued_at__lt=row.queued_at)
        ahead = waiting.count()
    words = _STEPS[step]
    return Progress(
        step=step,
        words=words.runs if is_running else words.waits,
        usual=words.usual,
        done=row.progress_done,
        total=row.progress_total,
        ahead=ahead,
        attempt=max(row.attempts - row.attempts_before, 1) if is_running else row.attempts - row.attempts_before + 1,
        elapsed_s=int((timezone.now() - row.claimed_at).total_seconds()) if is_running and row.claimed_at else None,
        is_running=is_running,
        is_finished=row.work_state == WorkState.DONE,
        error_reference=row.work_error,
    )
