"""A trial's conformance report: found where the same data made one, else made by a job, in flat memory."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from functools import partial
from tempfile import TemporaryFile
from typing import IO
from uuid import UUID

from django.db import transaction

from corelab import audit, jobs, storage
from corelab.csv_lines import csv_line
from corelab.errors import NotAllowed, StaleState, Transient
from corelab.models import StoredObject, Trial, User
from corelab.models.work import WorkState
from qc import trials
from qc.models import TrialReport
from qc.reports import trial as document

logger = logging.getLogger(__name__)

audit.catalogue(
    {
        "trial-report.request": "A trial's conformance report was asked for.",
        "trial-report.make": "A trial's conformance report was made and kept.",
    }
)

#: A scan that changes while the report is written makes it again from the beginning, so often within one try.
READINGS = 3
#: Scans between two notes of how far it is.
NOTED_EVERY = 100
_CHUNK_BYTES = 1 << 16


def trial_report_request(*, trial: Trial, actor: User) -> TrialReport:
    """Return the report of what the trial's data are now: the one that is there, or a new one that a job makes.

    Raises
    ------
    NotFound
        The trial is not this person's to read.
    NotAllowed
        The person only oversees.
    """
    trial = trials.trial_for(actor, trial.code)
    if not trials.may_request(actor):
        raise NotAllowed("Your role does not permit this. Ask the core lab.")
    made = trials.made_from(trial)
    with transaction.atomic():
        # Two people who press at once get one report.
        Trial.objects.select_for_update().get(pk=trial.pk)
        found = TrialReport.objects.filter(trial=trial, data_digest=made.digest).order_by("created_at").first()
        if found is not None and found.work_state != WorkState.FAILED:
            return found
        report = found or TrialReport.objects.create(
            trial=trial, data_digest=made.digest, data_as_of=made.as_of, requested_by=actor
        )
        audit.record("trial-report.request", report, after={"trial": trial.code, "data_digest": made.digest})
        jobs.queue(report, "qc.make_trial_report", key="trial_report_id")
    return report


def trial_report_make(*, trial_report_id: UUID) -> None:
    """Job: write a trial's report as PDF and two CSVs."""
    report = TrialReport.objects.select_related("trial").filter(pk=trial_report_id).first()
    if report is None:
        return
    attempt = jobs.claim(report)
    if attempt is None:
        return
    try:
        with jobs.at_work(report):
            made, stored = _make(report)
        with transaction.atomic():
            jobs.finish(report, attempt, data_digest=made.digest, data_as_of=made.as_of, **stored)
            audit.record(
                "trial-report.make",
                report,
                after={"data_digest": made.digest, **{name: one.sha256 for name, one in stored.items()}},
            )
    except StaleState:
        logger.warning("trial report %s: another worker has it, this outcome is dropped", report.pk)
    except Exception as error:  # noqa: BLE001 (the try is recorded and repeated, whatever it was)
        jobs.give_up(report, attempt, error)


def _make(report: TrialReport) -> tuple[trials.Made, dict[str, StoredObject]]:
    """Write the report of one state of the data: what changed while it was written is read again."""
    made = trials.made_from(report.trial)
    for _ in range(READINGS):
        stored = _write(report, made)
        after = trials.made_from(report.trial)
        if after.digest == made.digest:
            return made, stored
        made = after
        for one in stored.values():
            storage.remove_unused(one)
    raise Transient("A scan was corrected each time while the report was written.", code="TRIAL-REPORT-CHANGED")


def _write(report: TrialReport, made: trials.Made) -> dict[str, StoredObject]:
    whole = document.TrialReport(trials.facts_of(report.trial, made))
    with TemporaryFile() as scans, TemporaryFile() as deviations:
        _add_line(scans, document.SCAN_COLUMNS)
        _add_line(deviations, document.DEVIATION_COLUMNS)
        for done, scan in enumerate(trials.signed_scans(report.trial)):
            if done % NOTED_EVERY == 0:
                _note(report, done, made.signed)
            whole.add(scan)
            _add_line(scans, document.scan_cells(scan))
            for cells in document.deviation_cells(scan):
                _add_line(deviations, cells)
        _note(report, made.signed, made.signed)
        tables = {"csv": _kept(scans), "deviations_csv": _kept(deviations)}
    context = whole.context(scans_digest=tables["csv"].sha256, deviations_digest=tables["deviations_csv"].sha256)
    return {"pdf": storage.put_once([document.render_pdf(whole, context)]).stored, **tables}


def _note(report: TrialReport, done: int, total: int) -> None:
    """Note how many scans are written, for the line that pages poll."""
    TrialReport.objects.filter(pk=report.pk).update(progress_done=done, progress_total=total)


def _add_line(file: IO[bytes], cells: Iterable[object]) -> None:
    file.write(csv_line(cells).encode())


def _kept(file: IO[bytes]) -> StoredObject:
    file.seek(0)
    return storage.put_once(iter(partial(file.read, _CHUNK_BYTES), b"")).stored
