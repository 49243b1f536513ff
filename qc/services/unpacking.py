"""A zip, streamed entry by entry into the store by a job; never extracted to names."""

from __future__ import annotations

import contextlib
import hashlib
import logging
import lzma
import struct
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO
from uuid import UUID

from django.conf import settings
from django.db import transaction

from corelab import audit, jobs, storage
from corelab.errors import Refused, StaleState
from corelab.models import Attempt
from corelab.models.work import WorkState
from phantoms.sources import open_member
from qc import intake
from qc.models import Upload
from qc.selectors import OUR_ERROR
from qc.services.uploads import lock_submission, part_path
from qc.states import SubmissionState as S

logger = logging.getLogger(__name__)

audit.catalogue({"upload.unpack": "A zip was unpacked, or refused with the reason."})

#: Entries that are secured together and committed together.
BATCH_ENTRIES = 50
#: An entry of the directory has 46 bytes and its names; more than this each is no scan's folder.
_DIRECTORY_BYTES_PER_ENTRY = 320
_END_BYTES = 22
_LOCATOR_BYTES = 20
_LONG_END_BYTES = 56
_IN_LONG_FORM = 0xFFFFFFFF
_COMMENT_MAX_BYTES = 65_535


class ZipRefused(Refused):
    """A zip that is not opened, in words for the site."""


def upload_unpack(*, upload_id: UUID) -> None:
    """Job: stream a zip entry by entry into the store; a second start goes on where the first died."""
    upload = Upload.objects.select_related("submission__site").filter(pk=upload_id).first()
    if upload is None or not upload.is_complete:
        return
    attempt = jobs.claim(upload)
    if attempt is None:
        return
    path = part_path(upload.pk)
    code = detail = sha256 = ""
    try:
        with jobs.at_work(upload):
            with path.open("rb") as file:
                sha256 = hashlib.file_digest(file, "sha256").hexdigest()
            _unpack(upload, path)
    except ZipRefused as refused:
        code, detail = refused.code, refused.message
    except StaleState:
        # Sent back, withdrawn, or lost to another worker: the rows say so, and nothing is left to do here.
        logger.info("upload %s: its submission takes no more files", upload.pk)
        code, detail = "UPLOAD-LATE", "The submission was sent or withdrawn before this zip was opened."
    except Exception as error:  # noqa: BLE001 (the try is recorded and repeated, whatever it was)
        if jobs.give_up(upload, attempt, error):
            unpack_failed(upload)
        return
    _end(upload, attempt, path, refused_code=code, refused_detail=detail[:300], sha256=sha256)


def unpack_failed(upload: Upload) -> None:
    """Say on the upload that it was our error, after its last try, and let the check go on without it."""
    with transaction.atomic():
        Upload.objects.filter(pk=upload.pk, work_state=WorkState.FAILED).update(
            refused_code=OUR_ERROR,
            refused_detail="Something broke on our side while this zip was opened. Send the folder itself.",
        )
        _ring_waiting_check(upload)


def _end(upload: Upload, attempt: Attempt, path: Path, **fields: str) -> None:
    try:
        with transaction.atomic():
            jobs.finish(upload, attempt, **fields)
            audit.record(
                "upload.unpack",
                upload.submission,
                after={"sha256": fields["sha256"], "entries": upload.progress_total, "refused": fields["refused_code"]},
            )
            transaction.on_commit(lambda: path.unlink(missing_ok=True))
            _ring_waiting_check(upload)
    except StaleState:
        logger.warning("upload %s: another worker has it, this outcome is dropped", upload.pk)


def _ring_waiting_check(upload: Upload) -> None:
    """Ring for the arrival check that found this zip not yet unpacked."""
    if upload.submission.__class__.objects.filter(pk=upload.submission_id, state=S.CHECKING).exists():
        jobs.enqueue("qc.check_submission", submission_id=upload.submission_id)


def _unpack(upload: Upload, path: Path) -> None:
    with path.open("rb") as file, _open_zip(file) as archive:
        entries = [entry for entry in archive.infolist() if not entry.is_dir()]
        _check_size(entries, upload.length_bytes)
        Upload.objects.filter(pk=upload.pk).update(progress_done=0, progress_total=len(entries))
        upload.progress_total = len(entries)
        for start in range(0, len(entries), BATCH_ENTRIES):
            batch = entries[start : start + BATCH_ENTRIES]
            _land_batch(upload, archive, batch)
            done = start + len(batch)
            still_mine = Upload.objects.filter(pk=upload.pk, work_state=WorkState.RUNNING, attempts=upload.attempts)
            if not still_mine.update(progress_done=done):
                raise StaleState("Another worker has this zip.")


def _land_batch(upload: Upload, archive: zipfile.ZipFile, batch: list[zipfile.ZipInfo]) -> None:
    parts: list[storage.Part] = []
    try:
        parts.extend(storage.write_part(_read_entry(archive, entry)) for entry in batch)
        storage.secure(parts)
        examined = [intake.read_facts(part) for part in parts]
        with transaction.atomic():
            submission = lock_submission(upload.submission_id, S.DRAFT, S.CHECKING)
            intake.land_objects(examined, submission=submission, upload=upload)
    finally:
        for part in parts:
            part.path.unlink(missing_ok=True)


def _read_entry(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> Iterator[bytes]:
    try:
        with open_member(archive, entry) as file:
            yield from storage.read_chunks(file)  # type: ignore[arg-type]
    except (zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, NotImplementedError, ValueError) as error:
        raise _damaged() from error
    except OSError as error:
        if error.errno is not None:  # the disk's; bz2 says so of broken data, without a number
            raise
        raise _damaged() from error


@contextlib.contextmanager
def _open_zip(file: BinaryIO) -> Iterator[zipfile.ZipFile]:
    if _directory_bytes(file) > settings.ZIP_MAX_ENTRIES * _DIRECTORY_BYTES_PER_ENTRY:
        raise _too_many()
    try:
        archive = zipfile.ZipFile(file)
    except (zipfile.BadZipFile, ValueError, NotImplementedError, UnicodeError) as error:
        raise _damaged() from error
    with archive:
        yield archive


def _directory_bytes(file: BinaryIO) -> int:
    """Return the declared size of the zip's directory, which the zip library reads into memory whole.

    Source: PKWARE APPNOTE 6.3.10, 4.3.16 (end record), 4.3.14 (its 64-bit form) and 4.3.15 (the locator of that).
    The library goes by the 64-bit form wherever its locator stands, whatever the end record says: the larger counts.
    """
    size = file.seek(0, 2)
    tail_bytes = min(size, _LONG_END_BYTES + _LOCATOR_BYTES + _END_BYTES + _COMMENT_MAX_BYTES)
    file.seek(size - tail_bytes)
    tail = file.read(tail_bytes)
    at = tail.rfind(b"PK\x05\x06")
    if at < 0 or len(tail) - at < _END_BYTES:
        raise _damaged()
    (declared,) = struct.unpack_from("<I", tail, at + 12)
    locator_at = at - _LOCATOR_BYTES
    long_at = locator_at - _LONG_END_BYTES
    if long_at < 0 or tail[locator_at : locator_at + 4] != b"PK\x06\x07":
        return int(declared)
    (long_declared,) = struct.unpack_from("<Q", tail, long_at + 40)
    return int(long_declared if declared == _IN_LONG_FORM else max(declared, long_declared))


def _check_size(entries: list[zipfile.ZipInfo], zip_bytes: int) -> None:
    """Refuse by the directory; reading an entry ends at the size that the directory declares for it."""
    if not entries:
        raise ZipRefused("The zip is empty. Send the folder itself.", code="ZIP-EMPTY")
    if any(entry.flag_bits & 1 for entry in entries):
        raise ZipRefused(
            "The zip is locked with a password, so we did not open it. Send it without one.", code="ZIP-ENCRYPTED"
        )
    if len(entries) > settings.ZIP_MAX_ENTRIES:
        raise _too_many()
    unpacked = sum(entry.file_size for entry in entries)
    if unpacked > settings.ZIP_MAX_RATIO * max(zip_bytes, 1):
        raise ZipRefused(
            f"The zip unpacks to more than {settings.ZIP_MAX_RATIO} times its size, so we did not open it. "
            "Send the folder itself instead of a zip.",
            code="ING-15",
        )
    if unpacked > settings.ZIP_MAX_TOTAL_BYTES:
        gigabytes = settings.ZIP_MAX_TOTAL_BYTES / 1024**3
        raise ZipRefused(
            f"The zip unpacks to more than {gigabytes:.3g} GB, so we did not open it. Send one visit at a time.",
            code="ZIP-TOO-LARGE",
        )


def _too_many() -> ZipRefused:
    return ZipRefused(
        f"The zip holds more than {settings.ZIP_MAX_ENTRIES:,} files, so we did not open it. Send one visit at a time.",
        code="ZIP-TOO-MANY",
    )


def _damaged() -> ZipRefused:
    return ZipRefused(
        "The zip is damaged or cut off, so we could not open it all. Make it again, or send the folder itself.",
        code="ZIP-DAMAGED",
    )
