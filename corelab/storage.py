"""Bytes by their digest: put once, never overwritten, safe on disk before anybody is told.

The file system is the only store now. Everything else asks for bytes through this module, so another store
changes this file alone.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import secrets
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO

from django.conf import settings
from django.db import IntegrityError, transaction
from django.db.models import ProtectedError

from corelab.errors import OutOfSpace
from corelab.models import StoredObject

CHUNK_BYTES = 1024 * 1024
SHA256_DIGITS = 64
#: Digests that the database is asked for at once.
NAMES_AT_ONCE = 500
#: What the system says when no more can be written.
FULL = (errno.ENOSPC, errno.EDQUOT)


@dataclass(frozen=True)
class Part:
    """Bytes in a file that is not at its place yet; whoever made the file removes it after the commit."""

    path: Path
    sha256: str
    size_bytes: int


@dataclass(frozen=True)
class Put:
    """What came of putting bytes: their row, and whether they were new."""

    stored: StoredObject
    is_new: bool


def path_of(sha256: str) -> Path:
    """Return where the bytes with this digest lie; names on disk are digests, never header values."""
    return Path(settings.OBJECT_STORE_DIR) / sha256[:2] / sha256


def open_object(sha256: str) -> BinaryIO:
    """Open kept bytes for reading."""
    return path_of(sha256).open("rb")


def incoming_path() -> Path:
    """Return a fresh path for bytes on their way in, on the store's own file system."""
    folder = Path(settings.OBJECT_STORE_DIR) / "incoming"
    folder.mkdir(parents=True, exist_ok=True)
    return folder / secrets.token_hex(16)


def write_part(chunks: Iterable[bytes], path: Path | None = None) -> Part:
    """Write bytes to a new file and digest them on the way; they are not synced yet.

    Raises
    ------
    OutOfSpace
        The disk is full; no file is left.
    """
    path = path or incoming_path()
    digest, size = hashlib.sha256(), 0
    try:
        with path.open("xb") as file:
            for chunk in chunks:
                digest.update(chunk)
                size += len(chunk)
                file.write(chunk)
    except BaseException as error:
        path.unlink(missing_ok=True)
        _raise_if_full(error)
        raise
    return Part(path=path, sha256=digest.hexdigest(), size_bytes=size)


def put_once(chunks: Iterable[bytes]) -> Put:
    """Keep bytes under their digest: on disk and synced before the row is written.

    Raises
    ------
    OutOfSpace
        The disk is full; nothing was kept.
    """
    part = write_part(chunks)
    try:
        secure([part])
        return adopt([part])[0]
    finally:
        part.path.unlink(missing_ok=True)


def secure(parts: Sequence[Part]) -> None:
    """Make parts outlive a power cut: synced and linked to their place by digest. No row is written yet.

    It waits for the disk, so it stands before the transaction that calls `adopt`, not in it.

    Raises
    ------
    OutOfSpace
        The disk is full.
    """
    try:
        for part in parts:
            _sync(part.path)
        _place(parts)
    except OSError as error:
        _raise_if_full(error)
        raise


@transaction.atomic(savepoint=False)
def adopt(parts: Sequence[Part]) -> list[Put]:
    """Write the rows of parts that are secured.

    A part's own file stays until the caller, after the commit, removes it: what rolls back has lost nothing.
    """
    puts = _rows_of(parts)
    # A removal may have taken a file away before these rows were locked; now nobody can.
    _place(parts)
    return puts


@transaction.atomic(durable=True)
def remove_unused(stored: StoredObject) -> bool:
    """Remove bytes that no row points to; False where one does.

    The file goes before the commit, while the row is locked: whoever brings the same bytes waits and then puts the
    file back. So this stands in no other transaction, whose failure could not put it back.
    """
    locked = StoredObject.objects.select_for_update().filter(pk=stored.pk).first()
    if locked is None:
        return False
    try:
        locked.delete()
    except ProtectedError:
        return False
    path_of(stored.sha256).unlink(missing_ok=True)
    return True


def unnamed(*, before: datetime) -> Iterator[str]:
    """Yield the digests of bytes that lie at their place since before a moment, and that no row names.

    A landing that broke between disk and database leaves them. Younger ones may still get their row.
    """
    for folder in sorted(Path(settings.OBJECT_STORE_DIR).glob("[0-9a-f][0-9a-f]")):
        old = [path.name for path in folder.iterdir() if _is_old_object(path, before)]
        for at in range(0, len(old), NAMES_AT_ONCE):
            names = old[at : at + NAMES_AT_ONCE]
            named = set(StoredObject.objects.filter(sha256__in=names).values_list("sha256", flat=True))
            yield from sorted(set(names) - named)


@transaction.atomic(durable=True)
def set_aside(sha256: str, record: Callable[[StoredObject], object]) -> bool:
    """Take bytes that no row names out of the store into a folder beside it; False where a row names them by now.

    The row that is missing is written first and deleted last, in this one transaction: whoever brings the same bytes
    meanwhile waits for it, and then finds no file and puts their own. Nothing is deleted here; `take_back` undoes it.

    Parameters
    ----------
    record : callable
        Writes the audit row, given the row of the bytes.
    """
    path = path_of(sha256)
    try:
        size_bytes = path.stat().st_size
        with transaction.atomic():
            row = StoredObject.objects.create(sha256=sha256, size_bytes=size_bytes)
    except (FileNotFoundError, IntegrityError):
        return False
    record(row)
    target = _aside_path(sha256)
    target.parent.mkdir(parents=True, exist_ok=True)
    path.replace(target)
    os.utime(target)  # when it was set aside
    row.delete()
    return True


def lies_aside() -> list[tuple[str, datetime]]:
    """Return the digests of what was set aside, and since when it lies there."""
    folder = _aside_folder()
    if not folder.is_dir():
        return []
    return [(path.name, _written_at(path)) for path in sorted(folder.iterdir())]


@transaction.atomic
def take_back(sha256: str) -> bool:
    """Put back what was set aside where a row names it after all; False where none does."""
    if not StoredObject.objects.select_for_update().filter(sha256=sha256).exists():
        return False
    path, target = _aside_path(sha256), path_of(sha256)
    if not target.exists():
        target.parent.mkdir(parents=True, exist_ok=True)
        target.hardlink_to(path)
        _sync(target.parent)
    path.unlink()
    return True


@transaction.atomic
def delete_aside(sha256: str, record: Callable[[], object]) -> None:
    """Delete for good what was set aside, with an audit row that ``record`` writes."""
    record()
    transaction.on_commit(lambda: _aside_path(sha256).unlink(missing_ok=True))


def read_chunks(file: BinaryIO) -> Iterable[bytes]:
    """Yield a file's bytes piece by piece."""
    while chunk := file.read(CHUNK_BYTES):
        yield chunk


def sync_folder(folder: Path) -> None:
    """Make a new name in a folder outlive a power cut."""
    _sync(folder)


def _place(parts: Sequence[Part]) -> None:
    """Link each part to its place, where nothing lies yet, and sync the folders that got a name."""
    changed: set[Path] = set()
    for part in parts:
        target = path_of(part.sha256)
        if target.exists():
            continue
        if not target.parent.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            changed.add(target.parent.parent)
        # Another request may have brought the same bytes in between: the same file.
        with contextlib.suppress(FileExistsError):
            target.hardlink_to(part.path)
        changed.add(target.parent)
    for folder in sorted(changed, reverse=True):
        _sync(folder)


def _rows_of(parts: Sequence[Part]) -> list[Put]:
    """Return the rows of the digests, locked, with the missing ones written."""
    sizes = {part.sha256: part.size_bytes for part in parts}
    locked = StoredObject.objects.select_for_update().order_by("sha256")
    known = {row.sha256: row for row in locked.filter(sha256__in=sizes)}
    missing = [sha256 for sha256 in sizes if sha256 not in known]
    if missing:
        rows = [StoredObject(sha256=sha256, size_bytes=sizes[sha256]) for sha256 in missing]
        StoredObject.objects.bulk_create(rows, ignore_conflicts=True)
    written = {row.sha256: row for row in locked.filter(sha256__in=missing)} if missing else {}
    rows_by_digest = known | written
    return [Put(stored=rows_by_digest[part.sha256], is_new=part.sha256 in written) for part in parts]


def _aside_folder() -> Path:
    return Path(settings.OBJECT_STORE_DIR) / "aside"


def _aside_path(sha256: str) -> Path:
    return _aside_folder() / sha256


def _is_old_object(path: Path, before: datetime) -> bool:
    """Say whether this is an object at its place since before a moment; what is gone meanwhile is none."""
    try:
        return path_of(path.name) == path and len(path.name) == SHA256_DIGITS and _written_at(path) < before
    except FileNotFoundError:
        return False


def _written_at(path: Path) -> datetime:
    return datetime.fromtimestamp(path.stat().st_mtime, tz=UTC)


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _raise_if_full(error: BaseException) -> None:
    """Raise a full disk as the error that people and jobs understand."""
    if isinstance(error, OSError) and error.errno in FULL:
        raise OutOfSpace("There is no room to keep this now. What arrived before is safe; try again later.") from error
