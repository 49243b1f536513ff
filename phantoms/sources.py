"""The files under a path: one file, a folder or a zip, none of them opened until somebody reads."""

from __future__ import annotations

import io
import os
import stat
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import BinaryIO, cast

from phantoms.errors import AnalysisRefused

MAX_ZIP_RATIO = 50
MAX_ZIP_BYTES = 8 * 1024**3
MAX_FILES = 50_000
MAX_DICTIONARY_BYTES = 64 * 1024**2


@dataclass(frozen=True)
class Source:
    """One file to read.

    Attributes
    ----------
    name : str
        Its path below what was given, as the site named it: for the list of ignored files, never for logs.
    opener : callable
        Opens it for reading; raises OSError or what the zip reader raises.
    path : Path or None
        Where it lies on disk; None for a member of a zip.
    """

    name: str
    opener: Callable[[], BinaryIO] = field(repr=False, compare=False)
    path: Path | None = None

    @classmethod
    def from_path(cls, path: Path, name: str | None = None) -> Source:
        """Return the source of a file on disk."""
        return cls(name or path.name, partial(_open_regular, path), path)

    def open(self) -> BinaryIO:
        """Open for reading; a zip member comes as a stream and is never written to disk.

        A file on disk comes without a buffer, for most readers here take few and large pieces: who reads in small ones
        puts `io.BufferedReader` before it.
        """
        return self.opener()


def list_files(
    path: Path,
    *,
    max_zip_ratio: int = MAX_ZIP_RATIO,
    max_zip_bytes: int = MAX_ZIP_BYTES,
    max_files: int = MAX_FILES,
) -> list[Source]:
    """List every file under a path, sorted by name; name endings mean nothing.

    Parameters
    ----------
    path : Path
        A file, a folder (walked, links to folders are not followed), or a zip. A zip inside a folder or a zip is a
        file like any other.
    max_zip_ratio, max_zip_bytes, max_files : int
        What a zip may unpack to: times its own size, bytes, and number of members; a folder is held to the number.

    Raises
    ------
    AnalysisRefused
        ``INPUT-NOT-FOUND``, or ``ING-15`` for a zip that is damaged or unpacks to more than allowed. A zip is judged
        by its directory before anything is unpacked, and reading a member stops at the size declared there.
    """
    if path.is_dir():
        prefix = len(path.joinpath("_").as_posix()) - 1
        sources = [Source.from_path(file, file.as_posix()[prefix:]) for file in _walk(path, max_files)]
        return sorted(sources, key=lambda source: source.name)
    if not path.is_file():
        raise AnalysisRefused("INPUT-NOT-FOUND", "There is no file or folder at the path that was given.")
    if _is_zip(path):
        return _members(path, max_zip_ratio, max_zip_bytes, max_files)
    return [Source.from_path(path)]


def _walk(folder: Path, max_files: int) -> Iterator[Path]:
    count = 0
    for parent, folders, names in os.walk(folder):
        folders.sort()
        count += len(names)
        if count > max_files:
            raise AnalysisRefused(
                "ING-15", f"The folder holds more than {max_files:,} files.", next_step="Send one visit at a time."
            )
        yield from (Path(parent, name) for name in names)


def _open_regular(path: Path) -> BinaryIO:
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)  # opening a pipe would wait for ever
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError("not a regular file")
    return cast("BinaryIO", io.FileIO(descriptor))


def _is_zip(path: Path) -> bool:
    # The end record alone does not make a zip: any file may carry one somewhere in its last 64 kB.
    with path.open("rb") as file:
        return file.read(4) in {b"PK\x03\x04", b"PK\x05\x06"}


def _members(path: Path, max_ratio: int, max_bytes: int, max_files: int) -> list[Source]:
    try:
        archive = zipfile.ZipFile(path)
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
        raise AnalysisRefused(
            "ING-15", "The zip is damaged or cut off, so it could not be opened.", next_step="Send the folder itself."
        ) from error
    members = [member for member in archive.infolist() if not member.is_dir()]
    unpacked = sum(member.file_size for member in members)
    # A member may lie about its size, but reading one stops at the size that its directory entry declares.
    too_much = (
        f"more than {max_files:,} files"
        if len(members) > max_files
        else f"more than {max_ratio} times its size"
        if unpacked > max_ratio * path.stat().st_size
        else f"more than {max_bytes / 1024**3:.3g} GB"
        if unpacked > max_bytes
        else ""
    )
    if too_much:
        archive.close()
        raise AnalysisRefused(
            "ING-15",
            f"The zip unpacks to {too_much}, so it was not opened.",
            next_step="Send the folder itself instead of a zip.",
        )
    # The archive stays open for as long as one of its members is referred to.
    sources = [Source(member.filename, partial(open_member, archive, member)) for member in members]
    return sorted(sources, key=lambda source: source.name)


def open_member(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> BinaryIO:
    """Open one member of a zip that lies on the disk, in bounded memory.

    Raises
    ------
    zipfile.BadZipFile
        Also where an LZMA member declares a dictionary larger than any that is made for images.
    """
    if member.compress_type == zipfile.ZIP_LZMA:
        _check_dictionary(archive, member)
    return cast("BinaryIO", archive.open(member))


def _check_dictionary(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> None:
    """Refuse an LZMA member before its dictionary is made, which may be declared as 4 GB.

    A zip writes version and length before the properties, of which the last four bytes are the dictionary's size.
    Source: APPNOTE.TXT 6.3.10, 5.8.8.
    """
    with Path(archive.filename or "").open("rb") as packed:
        packed.seek(member.header_offset + 26)
        lengths = packed.read(4)
        packed.seek(int.from_bytes(lengths[:2], "little") + int.from_bytes(lengths[2:], "little"), os.SEEK_CUR)
        head = packed.read(9)
    if len(head) < 9 or int.from_bytes(head[5:], "little") > MAX_DICTIONARY_BYTES:
        raise zipfile.BadZipFile("an LZMA dictionary larger than any that is made for images")
