"""The landing place of every receiver: bytes kept, what they are read from the header, and what came before.

Nothing here decides about a submission: a file is kept with its status, and the arrival check speaks about all of
them at once.
"""

from __future__ import annotations

import hashlib
import hmac
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db import transaction
from django.db.models import Q

from corelab import storage
from phantoms.dicom_series import InstanceFacts, read_header
from phantoms.errors import AnalysisRefused
from qc.arrival import MAX_SLICES
from qc.models import ReceivedFile, Submission, Upload
from qc.states import SubmissionState as S

Status = ReceivedFile.Status

#: Submissions that count as sent before: not drafts, not what was taken back, not dry runs.
COUNTED_STATES = (S.SENT, S.ANALYSING, S.AWAITING_REVIEW, S.IN_REVIEW, S.RELEASED, S.HELD)
ZIP_STARTS = (b"PK\x03\x04", b"PK\x05\x06")
#: Marks a file that conflicted with an earlier submission and was accepted by staff.
ACCEPTED = "ING-13-ACCEPTED"
_MAX_INTEGER = 2**31 - 1
_TEXT_LENGTH = 64


class Landed(StrEnum):
    """What came of one file."""

    NEW = "NEW"
    IDENTICAL = "IDENTICAL"
    CONFLICT = "CONFLICT"
    LEFT_OUT = "LEFT_OUT"


@dataclass(frozen=True)
class Examined:
    """Bytes that are secured on disk, and what their header says; ``facts`` is None for what is no DICOM image."""

    part: storage.Part
    facts: InstanceFacts | None
    reason_code: str = ""
    reason: str = ""


@dataclass(frozen=True)
class Landing:
    """One file's row, and what came of it."""

    file: ReceivedFile
    landed: Landed


def keyed_digest(purpose: str, *values: str) -> str:
    """Return a digest that only this installation can make: for what must be recognised and never kept."""
    message = "\x1f".join((purpose, *values)).encode("utf-8", "surrogatepass")
    return hmac.new(settings.SECRET_KEY.encode(), message, hashlib.sha256).hexdigest()


def is_zip(path: Path) -> bool:
    """Say whether a file begins like a zip and is no DICOM file behind a preamble that looks like one."""
    with path.open("rb") as file:
        head = file.read(132)
    return head[:4] in ZIP_STARTS and head[128:] != b"DICM"


def examine(part: storage.Part) -> Examined:
    """Secure one part and read its header; reads no pixels, writes no row.

    Raises
    ------
    OutOfSpace
    """
    storage.secure([part])
    return read_facts(part)


def read_facts(part: storage.Part) -> Examined:
    """Read the header of one part that is secured already, or say why it is left out."""
    try:
        facts = read_header(part.path)
    except AnalysisRefused as refused:
        if is_zip(part.path):
            return Examined(part, None, "ZIP-NESTED", "A zip within a zip is not opened.")
        return Examined(part, None, refused.code, refused.detail[:300])
    if not facts.sop_instance_uid or not facts.modality:
        return Examined(part, None, "ING-01", "A DICOM file, but not an image.")
    return Examined(part, facts)


def land_object(examined: Examined, *, submission: Submission, upload: Upload | None = None) -> Landing:
    """Keep one secured file for a submission; the same again is the same, another content is kept beside it.

    Within the caller's transaction, in which the submission's row is locked.

    Returns
    -------
    Landing
        ``IDENTICAL`` where this submission has these bytes, or an earlier one had them (then the row's status is
        REPEATED); ``CONFLICT`` where the same SOPInstanceUID came with other bytes: both are kept.
    """
    return land_objects([examined], submission=submission, upload=upload)[0]


def land_objects(many: Sequence[Examined], *, submission: Submission, upload: Upload | None = None) -> list[Landing]:
    """Keep several secured files, in the caller's transaction; their own part files are removed after the commit.

    The caller has locked the submission's row, and looked at its state.
    """
    puts = storage.adopt([examined.part for examined in many])
    for examined in many:
        transaction.on_commit(lambda path=examined.part.path: path.unlink(missing_ok=True))
    known = {
        row.stored_id: row
        for row in ReceivedFile.objects.filter(
            submission=submission, stored__in=[p.stored for p in puts if not p.is_new]
        )
    }
    uids = {e.facts.sop_instance_uid[:_TEXT_LENGTH] for e in many if e.facts is not None}
    twins = _twins(submission, uids)
    landings, fresh = [], []
    for examined, put in zip(many, puts, strict=True):
        if put.stored.pk in known:
            landings.append(Landing(known[put.stored.pk], Landed.IDENTICAL))
            continue
        row, landed = _row(examined, put.stored.pk, submission, upload, twins)
        known[put.stored.pk] = row
        if row.sop_instance_uid:
            twins.setdefault(row.sop_instance_uid, []).append((put.stored.pk, submission.pk))
        fresh.append(row)
        landings.append(Landing(row, landed))
    ReceivedFile.objects.bulk_create(fresh)
    return landings


def _twins(submission: Submission, uids: Iterable[str]) -> dict[str, list[tuple[int, Any]]]:
    """Return which bytes have these SOPInstanceUIDs: in this submission, and in counted earlier ones."""
    where = Q(submission=submission)
    if not submission.is_dry_run:
        where |= earlier(submission)
    found: dict[str, list[tuple[int, Any]]] = {}
    rows = ReceivedFile.objects.filter(where, sop_instance_uid__in=uids)
    for uid, stored_id, submission_id in rows.values_list("sop_instance_uid", "stored_id", "submission_id"):
        found.setdefault(uid, []).append((stored_id, submission_id))
    return found


def earlier(submission: Submission) -> Q:
    """Return which files count as sent before this submission; what it replaces does not."""
    counted = Q(submission__state__in=COUNTED_STATES, submission__is_dry_run=False) & ~Q(submission=submission.pk)
    if submission.replaces_id:
        counted &= ~Q(submission=submission.replaces_id)
    return counted


def _row(
    examined: Examined,
    stored_id: int,
    submission: Submission,
    upload: Upload | None,
    twins: dict[str, list[tuple[int, Any]]],
) -> tuple[ReceivedFile, Landed]:
    row = ReceivedFile(submission=submission, stored_id=stored_id, upload=upload)
    facts = examined.facts
    if facts is None:
        row.status = Status.IGNORED
        row.reason_code, row.reason = examined.reason_code, examined.reason
        return row, Landed.LEFT_OUT
    row.sop_instance_uid = _text(facts.sop_instance_uid)
    row.sop_class_uid = _text(facts.sop_class_uid)
    row.study_instance_uid = _text(facts.study_instance_uid)
    row.series_instance_uid = _text(facts.series_instance_uid)
    row.modality = _text(facts.modality)[:16]
    row.series_number = _integer(facts.series_number)
    row.instance_number = _integer(facts.instance_number)
    declared = facts.number_of_slices
    row.number_of_slices = declared if declared is not None and 0 < declared <= MAX_SLICES else None
    row.position_mm = facts.position_mm if facts.position_mm is not None and math.isfinite(facts.position_mm) else None
    row.is_attenuation_corrected = facts.is_attenuation_corrected
    row.patient_digest = _patient_digest(facts.patient_identity)
    row.facts = {
        "manufacturer": _text(facts.manufacturer),
        "model": _text(facts.model),
        "serial": _text(facts.device_serial_number),
        "software": _text(facts.software_versions),
        "reconstruction": _text(facts.reconstruction_method),
        "transfer_syntax": _text(facts.transfer_syntax_uid),
        "is_lossy": facts.is_lossy,
        "is_derived": "DERIVED" in facts.image_type[:1],
        "scan_at": facts.scan_at.isoformat() if facts.scan_at else None,
    }
    same_uid = twins.get(row.sop_instance_uid, ())
    if any(other != stored_id for other, _ in same_uid):
        row.status, row.reason_code = Status.CONFLICT, "ING-13"
        return row, Landed.CONFLICT
    if same_uid:
        row.status, row.reason_code = Status.REPEATED, "ING-03"
        return row, Landed.IDENTICAL
    return row, Landed.NEW


def _patient_digest(identity: str) -> str:
    """Return who it is as a keyed digest: by the patient's number, or by name and birth date where it has none."""
    number, _, rest = identity.partition("\x1f")
    who = number.strip() or rest.strip("\x1f ")
    return keyed_digest("patient", who) if who else ""


def _text(value: str) -> str:
    """Return a header's text as a column holds it: a hostile header may be of any length, and hold NUL."""
    return value.replace("\x00", "")[:_TEXT_LENGTH]


def _integer(value: int | None) -> int | None:
    return value if value is not None and abs(value) <= _MAX_INTEGER else None
