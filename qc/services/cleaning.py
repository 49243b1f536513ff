"""What the beat does: give lost work back, delete old dry runs and stale uploads, set lost bytes aside."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from corelab import audit, jobs, storage
from corelab.models import AuditHead, StoredObject
from corelab.models.work import WorkState
from qc.models import Report, Run, Submission, TrialReport, Upload
from qc.services.checks import check_failed
from qc.services.reports import plain_file
from qc.services.runs import run_failed
from qc.services.unpacking import unpack_failed
from qc.services.uploads import part_path
from qc.states import SubmissionState as S

logger = logging.getLogger(__name__)

audit.catalogue(
    {
        "submission.delete": "A dry run was deleted after the days it is kept.",
        "upload.expire": "Unfinished uploads were deleted that nobody went on with.",
        "bytes.set_aside": "Bytes that no row named were taken out of the store and set aside.",
        "bytes.delete": "Bytes that had been set aside, and that no row named since, were deleted.",
    }
)

UPLOAD_KEPT_DAYS = 30
#: A part that no row knows belongs to a request that broke; one that is being written is younger than this.
_ORPHAN_AGE = timedelta(days=1)
#: Bytes without a row that are younger may still get one.
UNNAMED_AGE = timedelta(hours=48)
#: How long they lie aside; an older database that comes back from its backup may name them.
ASIDE_KEPT = timedelta(days=90)
_DELETABLE = (S.DRAFT, S.PREVIEWED, S.WITHDRAWN, S.REPLACED, S.HELD)


def work_sweep() -> None:
    """Job: find work that stands still, here and in packages above, and end what was lost for the last time."""
    jobs.sweep(Upload, "qc.unpack_upload", "upload_id", unpack_failed)
    jobs.sweep(Submission, "qc.check_submission", "submission_id", check_failed)
    jobs.sweep(Run, "qc.analyse_run", "run_id", run_failed)
    jobs.sweep(Report, "qc.make_report", "report_id", _nothing_more)
    jobs.sweep(TrialReport, "qc.make_trial_report", "trial_report_id", _nothing_more)
    jobs.sweep_kept()


def dry_runs_delete_old() -> int:
    """Job: delete dry runs that nobody touched for the days they are kept, with files that nothing else uses."""
    limit = timezone.now() - timedelta(days=settings.DRY_RUN_KEPT_DAYS)
    old = Submission.objects.filter(is_dry_run=True, state__in=_DELETABLE, changed_at__lt=limit)
    ids = list(old.exclude(work_state=WorkState.RUNNING).values_list("pk", flat=True))
    deleted = 0
    for pk in ids:
        try:
            deleted += _delete_dry_run(pk)
        except Exception:
            # One that cannot go must not keep the others: it is tried again at the next turn.
            logger.exception("dry run %s could not be deleted", pk)
    return deleted


def uploads_delete_stale() -> int:
    """Job: delete unfinished uploads that nobody went on with for 30 days, and parts that no row knows."""
    limit = timezone.now() - timedelta(days=UPLOAD_KEPT_DAYS)
    by_submission: dict[Any, list[Upload]] = {}
    stale = Upload.objects.filter(is_complete=False, created_at__lt=limit).select_related("submission__site")
    for upload in stale:
        if _last_written(upload) < limit:
            by_submission.setdefault(upload.submission, []).append(upload)
    deleted = 0
    for submission, uploads in by_submission.items():
        with transaction.atomic():
            # Only those that still stand unfinished: a request may have moved one on.
            gone, _ = Upload.objects.filter(pk__in=[one.pk for one in uploads], is_complete=False).delete()
            audit.record("upload.expire", submission, before={"uploads": gone})
            paths = [part_path(upload.pk) for upload in uploads]
            transaction.on_commit(lambda paths=paths: _unlink(paths))
        deleted += gone
    _delete_orphans()
    return deleted


@dataclass(frozen=True, kw_only=True)
class Unnamed:
    """What became of bytes that no row named: how many were set aside, put back, deleted for good."""

    set_aside: int = 0
    taken_back: int = 0
    deleted: int = 0


def unnamed_bytes_set_aside(*, is_rehearsal: bool = False) -> Unnamed:
    """Job: set bytes aside that no row has named for two days, and delete them when 90 more have passed.

    What a row names is left alone, also where the row is committed in the same moment; what lies aside and is named
    after all is put back. A rehearsal counts what would be done and does nothing.
    """
    now = timezone.now()
    found = list(storage.unnamed(before=now - UNNAMED_AGE))
    aside = dict(storage.lies_aside())
    named = set(StoredObject.objects.filter(sha256__in=list(aside)).values_list("sha256", flat=True))
    old = [sha256 for sha256, since in aside.items() if sha256 not in named and since < now - ASIDE_KEPT]
    if is_rehearsal:
        return Unnamed(set_aside=len(found), taken_back=len(named), deleted=len(old))
    done = Unnamed(
        set_aside=sum(storage.set_aside(sha256, _record_set_aside) for sha256 in found),
        taken_back=sum(storage.take_back(sha256) for sha256 in sorted(named)),
        deleted=len(old),
    )
    head = AuditHead.objects.get(pk=1)
    for sha256 in old:
        what = {"sha256": sha256, "aside_since": aside[sha256].isoformat()}
        storage.delete_aside(sha256, partial(audit.record, "bytes.delete", head, before=what))
    return done


def _record_set_aside(row: StoredObject) -> None:
    audit.record("bytes.set_aside", row, before={"sha256": row.sha256, "size_bytes": row.size_bytes})


def _nothing_more(report: Report | TrialReport) -> None:
    """Do nothing more: the page says that it was not made, and a person has it made again."""


def _delete_dry_run(pk: Any) -> int:
    with transaction.atomic():
        submission = (
            Submission.objects.select_for_update(of=("self",)).select_related("site").filter(pk=pk, is_dry_run=True)
        ).first()
        if submission is None or submission.state not in _DELETABLE:
            return 0
        stored_ids = _stored_ids(submission)
        files = [
            plain_file(report)
            for report in Report.objects.filter(run__submission=submission).select_related("run__submission")
        ]
        files += [part_path(upload_id) for upload_id in submission.uploads.values_list("pk", flat=True)]
        audit.record("submission.delete", submission, before={"state": submission.state, "files": len(stored_ids)})
        # Rows of its own that point at each other, and a draft that was to replace it, must not hold it back.
        Submission.objects.filter(pk=pk).update(current_run=None)
        submission.runs.update(superseded_by=None)
        Submission.objects.filter(replaces=pk).update(replaces=None)
        submission.delete()
    _unlink(files)
    for stored in StoredObject.objects.filter(pk__in=stored_ids):
        storage.remove_unused(stored)
    return 1


def _stored_ids(submission: Submission) -> set[int]:
    ids = set(submission.files.values_list("stored", flat=True))
    for run in submission.runs.all():
        ids |= set(run.figures.values_list("stored", flat=True))
        ids |= set(run.reports.exclude(stored=None).values_list("stored", flat=True))
    return ids


def _unlink(paths: Iterable[Path]) -> None:
    for path in paths:
        path.unlink(missing_ok=True)


def _last_written(upload: Upload) -> datetime:
    path = part_path(upload.pk)
    if not path.exists():
        return upload.created_at
    return datetime.fromtimestamp(path.stat().st_mtime, tz=timezone.get_default_timezone())


def _delete_orphans() -> None:
    limit = timezone.now() - _ORPHAN_AGE
    known = {upload_id.hex for upload_id in Upload.objects.values_list("pk", flat=True)}
    for folder in (Path(settings.UPLOAD_DIR), Path(settings.OBJECT_STORE_DIR) / "incoming"):
        if not folder.is_dir():
            continue
        for path in folder.iterdir():
            written_at = datetime.fromtimestamp(path.stat().st_mtime, tz=timezone.get_default_timezone())
            if path.name not in known and written_at < limit:
                path.unlink(missing_ok=True)
