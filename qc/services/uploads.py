"""Bytes on their way in: resumable uploads, and zips that are unpacked by a job."""

from __future__ import annotations

from typing import BinaryIO
from uuid import UUID

from corelab.models import User
from qc.models import Upload


def upload_create(*, submission_id: UUID, actor: User, length_bytes: int, file_name: str, is_zip: bool) -> Upload:
    """Announce one file; the same name and length in the same draft find the upload that is there.

    ``file_name`` carries the folder within what was chosen; only a keyed digest of it is kept.
    """
    raise NotImplementedError


def upload_append(*, upload_id: UUID, actor: User, offset_bytes: int, stream: BinaryIO) -> Upload:
    """Write what the stream still gives at this offset; the file that is whole thereby is landed, a zip queued.

    Raises
    ------
    StaleState
        The upload does not stand at this offset, or another request writes to it now.
    """
    raise NotImplementedError


def upload_remove(*, upload_id: UUID, actor: User) -> None:
    """Take an upload, and the files it brought, out of a draft."""
    raise NotImplementedError


def upload_unpack(*, upload_id: UUID) -> None:
    """Job: stream a zip entry by entry into the store; a second start goes on where the first died."""
    raise NotImplementedError
