"""The arrival check: everything that is wrong with a submission, said at once."""

from __future__ import annotations

import logging
from collections import defaultdict
from datetime import UTC, datetime
from typing import Any, NamedTuple
from uuid import UUID

from django.db import transaction
from django.db.models import Count, Q, Sum
from django.utils import timezone

from corelab import jobs
from corelab.errors import InvalidMove, StaleState
from corelab.models import Attempt
from phantoms import sheet as sheets
from phantoms.dicom_series import digest_of
from phantoms.results import Finding, Outcome, Owner
from qc import intake
from qc.analysis import nominal_ratio
from qc.arrival import Arrived, ArrivedFile, Before, RefusedUpload, arrival_findings, as_rows, measured_series
from qc.deadlines import review_due_on
from qc.models import ReceivedFile, Submission
from qc.models.submissions import Kind
from qc.selectors import OUR_ERROR, UNPACKING
from qc.services import queries, runs
from qc.services.moves import move
from qc.states import SUBMISSION
from qc.states import SubmissionState as S

logger = logging.getLogger(__name__)

Status = ReceivedFile.Status


class _Found(NamedTuple):
    """What a file is as of now: its status, where its bytes came before, and whether its other bytes are here too."""

    status: str
    before: Before | None = None
    is_twice_here: bool = False


#: Scan dates outside are placeholders, and some cannot be turned into UTC.
_YEARS = range(1900, 2101)


def preview_findings(submission: Submission) -> list[dict[str, Any]]:
    """Return what the arrival check would say of a draft now: findings as JSON, those that block sending first.

    A finding blocks where its severity is ``exclude``.
    """
    return as_rows(arrival_findings(_arrived(submission, _statuses(submission))))


def submission_check(*, submission_id: UUID) -> None:
    """Job: check a submission's arrival; send it on to analysis, hold it, or give it back to its site."""
    submission = _with_place().filter(pk=submission_id, state=S.CHECKING).first()
    # A zip that is still being unpacked rings for this check when it is done.
    if submission is None or submission.uploads.filter(UNPACKING).exists():
        return
    attempt = jobs.claim(submission)
    if attempt is None:
        return
    try:
        with jobs.at_work(submission):
            statuses = _statuses(submission)
            arrived = _arrived(submission, statuses)
            findings = arrival_findings(arrived)
        _decide(submission, attempt, statuses, arrived, findings)
    except StaleState:
        logger.warning("submission %s: another worker has it, this check is dropped", submission.pk)
    except Exception as error:  # noqa: BLE001 (the try is recorded and repeated, whatever it was)
        if jobs.give_up(submission, attempt, error):
            check_failed(submission)


def check_failed(submission: Submission) -> None:
    """Hold a submission whose check was our error for the last time."""
    submission.refresh_from_db()
    if submission.state == S.CHECKING:
        reason = f"Our error, reference {submission.work_error}. The files are safe."
        move(submission, "hold", actor=None, reason=reason, hold_code=OUR_ERROR, hold_reason=reason)


# --- what comes of it ------------------------------------------------------------------------


@transaction.atomic
def _decide(
    submission: Submission,
    attempt: Attempt,
    statuses: dict[int, _Found],
    arrived: Arrived,
    findings: list[Finding],
) -> None:
    jobs.finish(submission, attempt)
    if submission.state != S.CHECKING:
        return
    _keep_statuses(submission, statuses)
    rows = as_rows(findings)
    if any(finding.severity == "exclude" for finding in findings):
        move(submission, "return", actor=None, check_findings=rows)
    elif any(finding.id == "ING-13" for finding in findings):
        reason = "A file with this identity came before with other content."
        move(
            submission,
            "hold",
            actor=None,
            reason=reason,
            check_findings=rows,
            hold_code="ING-13",
            hold_reason=reason,
            sent_at=submission.sent_at or timezone.now(),
        )
    else:
        _receive(submission, arrived, findings)


def _receive(submission: Submission, arrived: Arrived, findings: list[Finding]) -> None:
    now = timezone.now()
    kept_replaces = submission.replaces
    if kept_replaces is not None:
        not_replaced = _take_place(submission, kept_replaces)
        if not_replaced is not None:
            findings, kept_replaces = [*findings, not_replaced], None
    received_on = now.astimezone(submission.site.zone).date()
    due_on = submission.due_on or review_due_on(submission.kind, received_on)
    move(
        submission,
        "receive",
        actor=None,
        evidence=_evidence(submission),
        check_findings=as_rows(findings),
        sent_at=submission.sent_at or now,
        due_on=None if submission.is_dry_run else due_on,
        scanned_at=_scanned_at(submission, arrived),
        replaces=kept_replaces,
    )
    runs.run_request(submission)


def _take_place(submission: Submission, replaced: Submission) -> Finding | None:
    """Let the submission that was replaced go; where it must stay, both stand, and it is said."""
    if submission.is_dry_run != replaced.is_dry_run:
        return _both_stand(
            "REPLACE-DRY-RUN",
            f"One of this and {replaced} is a dry run and the other counts, so it is not replaced: both are kept.",
        )
    try:
        if SUBMISSION.allows("replace", replaced.state):
            move(replaced, "replace", actor=None)
            queries.submission_gone(replaced, f"{submission} took the place of {replaced}.")
            return None
    except (InvalidMove, StaleState):
        pass
    return _both_stand(
        "REPLACE-LATE",
        f"{replaced} was in review already when this arrived, so it is not replaced: both are kept.",
    )


def _both_stand(id_: str, message: str) -> Finding:
    return Finding(id=id_, outcome=Outcome.WARN, severity="info", message=message, owner=Owner.CORE_LAB)


def _evidence(submission: Submission) -> dict[str, Any]:
    """Return what the audit log keeps of the bytes that arrived: how many, how much, and the digest over all."""
    total = submission.files.aggregate(files=Count("pk"), size_bytes=Sum("stored__size_bytes"))
    digests = submission.files.values_list("stored__sha256", flat=True)
    return {"files": total["files"], "size_bytes": total["size_bytes"] or 0, "files_digest": digest_of(digests)}


def _scanned_at(submission: Submission, arrived: Arrived) -> datetime | None:
    """Return when the series that is measured began, on the site's clock."""
    uids = measured_series(arrived.files)
    moments = [file.scan_at for file in arrived.files if file.scan_at and file.series_uid in uids]
    first = min(moments, default=None)
    if first is None or first.year not in _YEARS:
        return None
    return first.replace(tzinfo=submission.site.zone).astimezone(UTC)


# --- what is looked at -----------------------------------------------------------------------


def _with_place() -> Any:
    return Submission.objects.select_related("site", "scanner", "trial", "replaces__site", "replaces__trial")


def _arrived(submission: Submission, statuses: dict[int, _Found]) -> Arrived:
    uploads = submission.uploads.aggregate(total=Count("pk"), complete=Count("pk", filter=Q(is_complete=True)))
    refused = submission.uploads.exclude(refused_code="").values_list("refused_code", "refused_detail")
    files = tuple(_file(row, statuses[row.pk]) for row in submission.files.order_by("pk"))
    sheet_findings, needs_sheet = _sheet_findings(submission, files)
    return Arrived(
        files=files,
        uploads_complete=uploads["complete"],
        uploads_total=uploads["total"],
        refused_uploads=tuple(RefusedUpload(code=code, detail=detail) for code, detail in refused),
        scanner_label=str(submission.scanner),
        scanner_model=submission.scanner.model,
        scanner_serial=submission.scanner.serial,
        chosen_series=submission.chosen_series,
        sheet_findings=sheet_findings,
        needs_sheet=needs_sheet,
    )


def _file(row: ReceivedFile, found: _Found) -> ArrivedFile:
    facts = row.facts
    scan_at = facts.get("scan_at")
    return ArrivedFile(
        is_left_out=found.status == Status.IGNORED,
        is_conflict=found.status == Status.CONFLICT and not found.is_twice_here,
        is_twice_here=found.is_twice_here,
        before=found.before,
        sop_instance_uid=row.sop_instance_uid,
        series_uid=row.series_instance_uid,
        series_number=row.series_number,
        instance_number=row.instance_number,
        number_of_slices=row.number_of_slices,
        modality=row.modality,
        is_attenuation_corrected=row.is_attenuation_corrected,
        is_lossy=facts.get("is_lossy", False),
        is_derived=facts.get("is_derived", False),
        patient=row.patient_digest,
        model=facts.get("model", ""),
        serial=facts.get("serial", ""),
        scan_at=datetime.fromisoformat(scan_at) if scan_at else None,
    )


def _sheet_findings(submission: Submission, files: tuple[ArrivedFile, ...]) -> tuple[tuple[Finding, ...], bool]:
    """Return what is wrong with the sheet, and whether it is missing altogether; patient scans have none."""
    if submission.kind == Kind.PATIENT:
        return (), False
    sheet = runs.sheet_of(submission)
    if sheet is None:
        return (), True
    uids = measured_series(files)
    at = min((file.scan_at for file in files if file.scan_at and file.series_uid in uids), default=None)
    return tuple(sheets.problems(sheet, at, nominal_ratio=nominal_ratio(submission.kind))), False


def _statuses(submission: Submission) -> dict[int, _Found]:
    """Return each file's status as of now: what was counted when it landed may have been withdrawn since."""
    mine = list(
        submission.files.order_by("pk").values_list("pk", "sop_instance_uid", "stored_id", "status", "reason_code")
    )
    earlier = {} if submission.is_dry_run else _earlier(submission)
    first_bytes: dict[str, int] = {}
    statuses: dict[int, _Found] = {}
    for pk, uid, stored_id, status, reason_code in mine:
        if status == Status.IGNORED or not uid:
            statuses[pk] = _Found(status)
            continue
        others = earlier.get(uid, {})
        before = others.get(stored_id)
        # Staff accept what differs from an earlier submission; which of two in the same one is right, the site says.
        is_twice_here = first_bytes.setdefault(uid, stored_id) != stored_id
        differs = is_twice_here or (bool(others) and before is None and reason_code != intake.ACCEPTED)
        now = Status.CONFLICT if differs else Status.REPEATED if before else Status.KEPT
        statuses[pk] = _Found(now, before, is_twice_here)
    return statuses


def _earlier(submission: Submission) -> dict[str, dict[int, Before]]:
    """Return, by SOPInstanceUID, which bytes came in counted earlier submissions, and in which; one query."""
    mine = submission.files.exclude(sop_instance_uid="").values("sop_instance_uid")
    rows = (
        ReceivedFile.objects.filter(intake.earlier(submission), sop_instance_uid__in=mine)
        .exclude(status=Status.IGNORED)
        .order_by("submission__number")
        .values_list(
            "sop_instance_uid", "stored_id", "submission__number", "submission__site_id", "submission__sent_at"
        )
    )
    found: dict[str, dict[int, Before]] = defaultdict(dict)
    for uid, stored_id, number, site_id, sent_at in rows:
        is_ours = site_id == submission.site_id
        on = sent_at.astimezone(submission.site.zone).date() if is_ours and sent_at else None
        found[uid].setdefault(stored_id, Before(number=f"S-{number}" if is_ours else "", on=on))
    return found


def _keep_statuses(submission: Submission, statuses: dict[int, _Found]) -> None:
    now_stored = dict(submission.files.values_list("pk", "status"))
    changed: dict[str, list[int]] = defaultdict(list)
    for pk, found in statuses.items():
        if now_stored.get(pk) != found.status:
            changed[found.status].append(pk)
    codes = {Status.CONFLICT: "ING-13", Status.REPEATED: "ING-03", Status.KEPT: ""}
    for status, pks in changed.items():
        submission.files.filter(pk__in=pks).update(status=status, reason_code=codes[Status(status)])
