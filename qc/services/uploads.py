"""Bytes on their way in: resumable uploads, and what a site takes out of its draft again.

Each file's own rows say who sent it and when. The audit log gets one row for a submission when it is sent, with the
number of files and the digest over all of them, not one row for every slice.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import fcntl
import hashlib
import hmac
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO
from uuid import UUID

from django.conf import settings
from django.db import IntegrityError, transaction
from django.db.models import Q

from corelab import audit, jobs, storage
from corelab.errors import NotFound, OutOfSpace, Refused, StaleState
from corelab.models import StoredObject, User
from qc import intake, selectors
from qc.models import ReceivedFile, Submission, Upload
from qc.states import SubmissionState as S

audit.catalogue(
    {
        "upload.remove": "A site took a file out of its draft.",
        "series.remove": "A site took a series out of its draft.",
    }
)


class ChecksumMismatch(Refused):
    """The bytes that arrived are not the bytes whose checksum was sent: none of them is kept."""

    code = "CHECKSUM"


@dataclass(frozen=True)
class Checksum:
    """The digest that a sender gives with a body."""

    algorithm: str
    digest: bytes


def part_path(upload_id: UUID) -> Path:
    """Return where the bytes of an unfinished upload lie."""
    return Path(settings.UPLOAD_DIR) / upload_id.hex


def upload_create(
    *, submission_id: UUID, actor: User, length_bytes: int, file_name: str, is_zip: bool = False
) -> Upload:
    """Announce one file; the same name and length in the same draft find the upload that is there.

    ``file_name`` carries the folder within what was chosen; only a keyed digest of it is kept.
    """
    submission = _draft(actor, submission_id)
    _check_length(length_bytes)
    digest = _name_digest(submission, file_name)
    upload = _same(submission, digest, length_bytes)
    if upload is None:
        upload = _insert(_new(submission, actor, digest, length_bytes, is_zip))
        if length_bytes == 0:
            _write(upload, 0, _nothing)
    return upload


def upload_receive(
    *,
    submission_id: UUID,
    actor: User,
    length_bytes: int,
    file_name: str,
    stream: BinaryIO,
    is_zip: bool = False,
    checksum: Checksum | None = None,
) -> Upload:
    """Announce one file and take its first bytes in the same request; a whole file is landed in one transaction.

    A file of the same name and length whose bytes differ from those that are here is another file.
    """
    submission = _draft(actor, submission_id)
    _check_length(length_bytes)
    digest = _name_digest(submission, file_name)
    upload = _same(submission, digest, length_bytes)
    if upload is None:
        upload = _new(submission, actor, digest, length_bytes, is_zip)
        try:
            return _write(upload, 0, stream.read, checksum)
        except IntegrityError:
            part_path(upload.pk).unlink(missing_ok=True)
            found = _same(submission, digest, length_bytes)
            if found is None:
                raise
            return found
        except Refused:
            part_path(upload.pk).unlink(missing_ok=True)
            raise
    if upload.is_complete and upload.sha256:
        return _other_content(upload, submission, actor, stream, checksum)
    if not upload.is_complete and upload.offset_bytes == 0:
        return _write(upload, 0, stream.read, checksum)
    return upload


def upload_append(
    *, upload_id: UUID, actor: User, offset_bytes: int, stream: BinaryIO, checksum: Checksum | None = None
) -> Upload:
    """Write what the stream still gives at this offset; the file that is whole thereby is landed, a zip queued.

    Raises
    ------
    StaleState
        The upload does not stand at this offset, or another request writes to it now.
    """
    upload = selectors.upload_for(actor, upload_id)
    _check_offset(upload, offset_bytes)
    if upload.is_complete:
        return upload
    return _write(upload, offset_bytes, stream.read, checksum)


def upload_remove(*, upload_id: UUID, actor: User) -> None:
    """Take an upload, and the files it brought, out of a draft."""
    upload = selectors.upload_for(actor, upload_id)
    with transaction.atomic():
        submission = lock_submission(upload.submission_id, S.DRAFT)
        stored = _take_out(submission, [upload])
        if stored:
            _let_zips_come_again(submission)
        audit.record("upload.remove", submission, before={"files": len(stored), "size_bytes": upload.length_bytes})
    _remove_bytes(stored)


def series_remove(*, submission_id: UUID, actor: User, series_uid: str) -> None:
    """Take one series out of a draft; with an empty ``series_uid`` everything that has no series."""
    submission = _draft(actor, submission_id)
    with transaction.atomic():
        submission = lock_submission(submission.pk, S.DRAFT)
        files = list(submission.files.filter(series_instance_uid=series_uid).select_related("stored"))
        # Every upload that brought one of these alone goes too, so that the file can be sent again.
        brought = Q(pk__in={file.upload_id for file in files}) | Q(sha256__in={file.stored.sha256 for file in files})
        stored = _take_out(submission, list(submission.uploads.filter(brought, is_zip=False, is_complete=True)))
        rest = submission.files.filter(series_instance_uid=series_uid).select_related("stored")
        stored += [file.stored for file in rest]
        rest.delete()
        _let_zips_come_again(submission)
        audit.record("series.remove", submission, before={"files": len(files)})
    _remove_bytes(stored)


# --- the steps -------------------------------------------------------------------------------


def lock_submission(submission_id: UUID, *states: str) -> Submission:
    """Lock a submission's row for this transaction, in one of these states, or raise StaleState."""
    locked = Submission.objects.select_for_update().filter(pk=submission_id, state__in=states).first()
    if locked is None:
        raise StaleState("This was sent or withdrawn in the meantime. Files can be added to a draft only.")
    return locked


def _draft(actor: User, submission_id: UUID) -> Submission:
    # One for every slice: read without the names that pages print.
    submission = selectors.drafts_visible_to(actor).select_related(None).filter(pk=submission_id).first()
    if submission is None:
        raise NotFound("There is no such draft.")
    return submission


def _check_length(length_bytes: int) -> None:
    if length_bytes > settings.UPLOAD_FILE_MAX_BYTES:
        gigabytes = settings.UPLOAD_FILE_MAX_BYTES / 1024**3
        raise Refused(f"A file of more than {gigabytes:.0f} GB is not taken.", code="UPLOAD-TOO-LARGE")
    if length_bytes < 0:
        raise Refused("A file has a length of 0 bytes or more.", code="UPLOAD-LENGTH")


def _check_offset(upload: Upload, offset_bytes: int) -> None:
    if upload.offset_bytes != offset_bytes:
        raise StaleState(f"This upload stands at {upload.offset_bytes} bytes, not at {offset_bytes}.")


def _name_digest(submission: Submission, file_name: str, *more: str) -> str:
    return intake.keyed_digest("file name", submission.pk.hex, file_name, *more)


def _same(submission: Submission, name_digest: str, length_bytes: int) -> Upload | None:
    return Upload.objects.filter(submission=submission, name_digest=name_digest, length_bytes=length_bytes).first()


def _new(submission: Submission, actor: User, name_digest: str, length_bytes: int, is_zip: bool) -> Upload:
    return Upload(
        submission=submission, created_by=actor, name_digest=name_digest, length_bytes=length_bytes, is_zip=is_zip
    )


def _insert(upload: Upload) -> Upload:
    """Write a new row, or find the one that another request wrote a moment before."""
    try:
        with transaction.atomic():
            lock_submission(upload.submission_id, S.DRAFT)
            upload.save(force_insert=True)
    except IntegrityError:
        found = _same(upload.submission, upload.name_digest, upload.length_bytes)
        if found is None:
            raise
        return found
    return upload


def _nothing(_: int) -> bytes:
    return b""


def _other_content(
    upload: Upload, submission: Submission, actor: User, stream: BinaryIO, checksum: Checksum | None
) -> Upload:
    """Answer a name and length that are here with the upload that is here, or take it as another file by its bytes."""
    other = _new(submission, actor, "", upload.length_bytes, is_zip=False)
    size, sha256 = _copy(part_path(other.pk), 0, upload.length_bytes, stream.read, checksum)
    if size < upload.length_bytes or sha256 == upload.sha256:
        part_path(other.pk).unlink(missing_ok=True)
        return upload
    other.name_digest = _name_digest(submission, sha256)
    try:
        return _complete(other, 0, sha256)
    except IntegrityError:
        part_path(other.pk).unlink(missing_ok=True)
        return Upload.objects.get(
            submission=submission, name_digest=other.name_digest, length_bytes=upload.length_bytes
        )


def _write(upload: Upload, offset_bytes: int, read: Callable[[int], bytes], checksum: Checksum | None = None) -> Upload:
    """Write at an offset under the lock of the part, then move the offset to what is safe on disk."""
    path = part_path(upload.pk)
    with _locked(path):
        is_stored = not upload._state.adding
        if is_stored:
            # Read again under the lock: the request before this one may have moved the offset.
            upload = Upload.objects.select_related("submission__site").get(pk=upload.pk)
            _check_offset(upload, offset_bytes)
            if path.stat().st_size < offset_bytes:
                Upload.objects.filter(pk=upload.pk).update(offset_bytes=0)
                raise StaleState("What arrived of this file is gone. It starts again at 0 bytes.")
        written, sha256 = _copy(path, offset_bytes, upload.length_bytes - offset_bytes, read, checksum)
        reached = offset_bytes + written
        if reached == upload.length_bytes:
            return _complete(upload, offset_bytes, sha256 if offset_bytes == 0 else "")
        if offset_bytes == 0:
            storage.sync_folder(path.parent)
        if is_stored:
            _swap_offset(upload, offset_bytes, offset_bytes=reached)
        else:
            upload.offset_bytes = reached
            upload = _insert(upload)
    return upload


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Hold the part alone; a second request is told so at once instead of waiting and writing over it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise StaleState("Another request writes to this upload now.", code="UPLOAD-BUSY") from error
        yield


def _copy(
    path: Path, offset_bytes: int, room_bytes: int, read: Callable[[int], bytes], checksum: Checksum | None
) -> tuple[int, str]:
    """Write the stream at an offset, sync it, and return how much it was and its SHA-256.

    What lies beyond the offset from an earlier, broken request is cut off first. A connection that breaks ends the
    stream early, or makes reading fail: what came until then is kept.
    """
    digest = hashlib.sha256()
    declared = hashlib.new(checksum.algorithm) if checksum else None
    written = 0
    try:
        with path.open("r+b" if path.exists() else "xb") as file:
            file.truncate(offset_bytes)
            file.seek(offset_bytes)
            while written < room_bytes:
                try:
                    chunk = read(min(storage.CHUNK_BYTES, room_bytes - written))
                except OSError:
                    break
                if not chunk:
                    break
                digest.update(chunk)
                if declared:
                    declared.update(chunk)
                file.write(chunk)
                written += len(chunk)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        if error.errno in storage.FULL:
            raise OutOfSpace("There is no room to keep this now. What arrived before is safe.") from error
        raise
    if declared and not hmac.compare_digest(declared.digest(), checksum.digest):
        raise ChecksumMismatch("The checksum does not fit what arrived. Send these bytes again.")
    return written, digest.hexdigest()


def _complete(upload: Upload, offset_bytes: int, sha256: str) -> Upload:
    """Land the whole file, or queue the zip; offset, object and row are committed together."""
    path = part_path(upload.pk)
    is_zip = upload.is_zip or intake.is_zip(path)
    if is_zip:
        storage.sync_folder(path.parent)
        examined = None
    else:
        if not sha256:
            with path.open("rb") as file:
                sha256 = hashlib.file_digest(file, "sha256").hexdigest()
        examined = intake.examine(storage.Part(path=path, sha256=sha256, size_bytes=upload.length_bytes))
    fields = {
        "offset_bytes": upload.length_bytes,
        "is_complete": True,
        "is_zip": is_zip,
        "sha256": "" if is_zip else sha256,
    }
    with transaction.atomic():
        submission = lock_submission(upload.submission_id, S.DRAFT)
        if upload._state.adding:
            for name, value in fields.items():
                setattr(upload, name, value)
            upload.save(force_insert=True)
        else:
            _swap_offset(upload, offset_bytes, **fields)
        if examined is not None:
            intake.land_object(examined, submission=submission, upload=upload)
        else:
            jobs.queue(upload, "qc.unpack_upload", key="upload_id")
    return upload


def _swap_offset(upload: Upload, seen_bytes: int, **fields: object) -> None:
    if not Upload.objects.filter(pk=upload.pk, offset_bytes=seen_bytes, is_complete=False).update(**fields):
        raise StaleState("This upload was moved on by another request.")
    for name, value in fields.items():
        setattr(upload, name, value)


def _take_out(submission: Submission, uploads: list[Upload]) -> list[StoredObject]:
    """Delete uploads with the files they brought; a file that another upload brought too stays."""
    files = list(submission.files.filter(upload__in=uploads).select_related("stored"))
    others = {
        upload.sha256: upload
        for upload in submission.uploads.filter(is_complete=True)
        .exclude(sha256="")
        .exclude(pk__in=[upload.pk for upload in uploads])
    }
    gone = []
    for file in files:
        if other := others.get(file.stored.sha256):
            ReceivedFile.objects.filter(pk=file.pk).update(upload=other)
        else:
            gone.append(file)
    ReceivedFile.objects.filter(pk__in=[file.pk for file in gone]).delete()
    Upload.objects.filter(pk__in=[upload.pk for upload in uploads]).delete()
    for upload in uploads:
        path = part_path(upload.pk)
        transaction.on_commit(lambda path=path: path.unlink(missing_ok=True))
    return [file.stored for file in gone]


def _let_zips_come_again(submission: Submission) -> None:
    """Forget the names of the zips that are here, so that sending one again opens it again.

    What was taken out is gone whoever brought it: a site that takes out the wrong person's scan must not find it
    kept. Which zips held it besides is not known, so each of them may bring it back, if the site sends it again.
    """
    for upload in submission.uploads.filter(is_zip=True, is_complete=True):
        upload.name_digest = _name_digest(submission, "", upload.pk.hex)
        upload.save(update_fields=["name_digest"])


def _remove_bytes(stored: list[StoredObject]) -> None:
    for one in stored:
        storage.remove_unused(one)


def parse_checksum(header: str) -> Checksum:
    """Read ``sha256 <base64>`` as the checksum extension of tus sends it."""
    algorithm, _, encoded = header.strip().partition(" ")
    try:
        digest = base64.b64decode(encoded, validate=True)
    except binascii.Error as error:
        raise Refused("The checksum is not base64.", code="CHECKSUM-FORM") from error
    if algorithm not in CHECKSUM_ALGORITHMS:
        raise Refused("This checksum algorithm is not known.", code="CHECKSUM-FORM")
    return Checksum(algorithm, digest)


CHECKSUM_ALGORITHMS = ("sha256", "sha1")
