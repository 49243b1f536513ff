"""Bytes by their digest: put once, never overwritten, safe on disk before anybody is told.

The file system is the only store now. Everything else asks for bytes through this module, so another store
changes this file alone.
"""

from __future__ import annotations

import errno
import hashlib
import os
import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from django.conf import settings

from corelab.errors import OutOfSpace
from corelab.models import StoredObject

CHUNK_BYTES = 1024 * 1024


@dataclass(frozen=True)
class Put:
    """What came of putting bytes: their row, and whether they were new."""

    stored: StoredObject
    is_new: bool


def path_of(sha256: str) -> Path:
    """Return where the bytes with this digest lie; names on disk are digests, never header values."""
    return Path(settings.OBJECT_STORE_DIR) / sha256[:2] / sha256[2:4] / sha256


def open_object(sha256: str) -> BinaryIO:
    """Open kept bytes for reading."""
    return path_of(sha256).open("rb")


def put_once(chunks: Iterable[bytes]) -> Put:
    """Keep bytes under their digest: on disk and synced before the row is written.

    Raises
    ------
    OutOfSpace
        The disk is full; nothing was kept.
    """
    root = Path(settings.OBJECT_STORE_DIR)
    incoming = root / "incoming"
    incoming.mkdir(parents=True, exist_ok=True)
    part = incoming / secrets.token_hex(16)
    digest, size = hashlib.sha256(), 0
    try:
        with part.open("xb") as file:
            for chunk in chunks:
                digest.update(chunk)
                size += len(chunk)
                file.write(chunk)
            file.flush()
            os.fsync(file.fileno())
        return adopt(part, sha256=digest.hexdigest(), size_bytes=size)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise OutOfSpace("The lab's disk is full. What arrived before is safe; try again later.") from error
        raise
    finally:
        part.unlink(missing_ok=True)


def adopt(part: Path, *, sha256: str, size_bytes: int) -> Put:
    """Move a file that is already synced to its place by digest, and write its row."""
    target = path_of(sha256)
    if not target.exists():
        target.parent.mkdir(parents=True, exist_ok=True)
        part.replace(target)
        _sync_folder(target.parent)
        _sync_folder(target.parent.parent)
    else:
        part.unlink(missing_ok=True)
    stored, is_new = StoredObject.objects.get_or_create(sha256=sha256, defaults={"size_bytes": size_bytes})
    return Put(stored=stored, is_new=is_new)


def read_chunks(file: BinaryIO) -> Iterable[bytes]:
    """Yield a file's bytes piece by piece."""
    while chunk := file.read(CHUNK_BYTES):
        yield chunk


def _sync_folder(folder: Path) -> None:
    """Make a rename outlive a power cut."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
