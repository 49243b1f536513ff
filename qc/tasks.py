"""Doorbells: each job calls the service of its name."""

from __future__ import annotations

from uuid import UUID

from corelab.jobs import job
from qc import services


@job("qc.unpack_upload", queue="intake", time_limit_s=1800)
def unpack_upload(*, upload_id: str) -> None:
    """Unpack a zip."""
    services.upload_unpack(upload_id=UUID(upload_id))


@job("qc.check_submission", queue="short", time_limit_s=300)
def check_submission(*, submission_id: str) -> None:
    """Check a submission's arrival."""
    services.submission_check(submission_id=UUID(submission_id))


@job(
    "qc.analyse_run",
    queue="analysis",
    time_limit_s=900,
    modules=(
        "phantoms.cylinder",
        "phantoms.nema_iq",
        "phantoms.acr",
        "phantoms.figures",
        "matplotlib.backends.backend_svg",
    ),
)
def analyse_run(*, run_id: str) -> None:
    """Measure a run."""
    services.run_analyse(run_id=UUID(run_id))


@job("qc.make_report", queue="reports", time_limit_s=300)
def make_report(*, report_id: str) -> None:
    """Typeset a report."""
    services.report_make(report_id=UUID(report_id))


@job("qc.make_trial_report", queue="reports", time_limit_s=300)
def make_trial_report(*, trial_report_id: str) -> None:
    """Write a trial's conformance report."""
    services.trial_report_make(trial_report_id=UUID(trial_report_id))


@job("qc.sweep_work", queue="short", time_limit_s=60)
def sweep_work() -> None:
    """Give lost work back."""
    services.work_sweep()


@job("qc.delete_old_dry_runs", queue="intake", time_limit_s=900)
def delete_old_dry_runs() -> None:
    """Delete old dry runs."""
    services.dry_runs_delete_old()


@job("qc.delete_stale_uploads", queue="intake", time_limit_s=900)
def delete_stale_uploads() -> None:
    """Delete stale uploads."""
    services.uploads_delete_stale()


@job("qc.set_unnamed_bytes_aside", queue="intake", time_limit_s=3600)
def set_unnamed_bytes_aside() -> None:
    """Set bytes aside that no row names."""
    services.unnamed_bytes_set_aside()
