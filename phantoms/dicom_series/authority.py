"""The header of any DICOM file as pydicom reads it: what the walk in `elements` leaves, and what it is held to."""

from __future__ import annotations

import io
import logging
import warnings
import zlib
from typing import Any, BinaryIO

from pydicom import config, dcmread
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence as DicomSequence
from pydicom.tag import BaseTag
from pydicom.valuerep import PersonName

from phantoms.dicom_series.attributes import ATTRIBUTES, find_attributes
from phantoms.dicom_series.elements import (
    EXPLICIT_LITTLE,
    FAST_SYNTAXES,
    MAX_HEADER_BYTES,
    MAX_ITEMS,
    Elements,
    header_too_long,
    pixel_place,
    too_many_items,
)
from phantoms.dicom_series.values import decode, plain_text, text
from phantoms.errors import AnalysisRefused

# Odd values in headers are facts to judge, not something to print: a warning would carry them into logs.
config.settings.reading_validation_mode = config.IGNORE
logging.getLogger("pydicom").setLevel(logging.CRITICAL)
warnings.filterwarnings("ignore", category=UserWarning, module="pydicom")

DEFLATED = "1.2.840.10008.1.2.1.99"
_PIECE_BYTES = 1024 * 1024
_ITEM_TAGS = (b"\xfe\xff\x00\xe0", b"\xff\xfe\xe0\x00")


def read_by_pydicom(file: BinaryIO) -> Elements:
    """Read any DICOM file's header with pydicom; a member of a zip goes back once.

    Raises
    ------
    AnalysisRefused
        As `HeaderReader.read`.
    """
    start = _first_part(file)
    if _items(start) > MAX_ITEMS:
        raise too_many_items()
    head = io.BytesIO(start)
    try:
        dataset = dcmread(Bounded(head, MAX_HEADER_BYTES), stop_before_pixels=True)
        syntax, media_class, media_instance = (
            plain_text(str(dataset.file_meta.get(keyword, ""))) or ""
            for keyword in ("TransferSyntaxUID", "MediaStorageSOPClassUID", "MediaStorageSOPInstanceUID")
        )
        has_pixels, pixel_offset, pixel_bytes = _place(head, syntax)
        values = _values(dataset)
    except AnalysisRefused:
        raise
    except Exception as error:
        raise AnalysisRefused("ING-01", "The DICOM header is broken or cut off, so it could not be read.") from error
    return Elements(
        values=values,
        syntax=syntax,
        media_class=media_class,
        media_instance=media_instance,
        has_pixels=has_pixels,
        pixel_offset=pixel_offset,
        pixel_bytes=pixel_bytes,
    )


def _first_part(file: BinaryIO) -> bytes:
    """Return the file, or just more of it than a header may have: read in pieces, as asking for all takes it all."""
    file.seek(0)
    pieces: list[bytes] = []
    while len(pieces) <= MAX_HEADER_BYTES // _PIECE_BYTES and (piece := file.read(_PIECE_BYTES)):
        pieces.append(piece)
    return b"".join(pieces)


class Bounded:
    """A file for pydicom of which only the first part may be read, and nothing that unpacks to more than that.

    pydicom takes a declared length at its word, and inflates a deflated file whole, whatever comes out.

    Raises
    ------
    AnalysisRefused
        By `read`: ``ING-01`` beyond the bound, ``ING-15`` where a deflated file unpacks beyond `MAX_HEADER_BYTES`.
    """

    def __init__(self, file: BinaryIO, limit_bytes: int) -> None:
        self._file = file
        self._limit_bytes = limit_bytes
        at = file.tell()
        self._size_bytes = file.seek(0, io.SEEK_END)
        file.seek(at)
        self.seek, self.tell = file.seek, file.tell

    def read(self, size: int = -1) -> bytes:
        """Read as a file does."""
        at = self._file.tell()
        left = max(0, self._size_bytes - at)
        wanted = left if size < 0 else min(size, left)
        if at + wanted > self._limit_bytes:
            raise header_too_long()
        data = self._file.read(wanted)
        if size < 0:  # only what pydicom then inflates is read to the end
            _check_inflated(data)
        return data


def _check_inflated(packed: bytes) -> None:
    """Unpack raw deflate (DICOM PS3.5, A.5) piece by piece, keeping none, up to the bounds."""
    stream = zlib.decompressobj(-zlib.MAX_WBITS)
    unpacked_bytes = items = 0
    while packed and not stream.eof:
        piece = stream.decompress(packed, _PIECE_BYTES)
        unpacked_bytes += len(piece)
        items += _items(piece)
        packed = stream.unconsumed_tail
        if unpacked_bytes > MAX_HEADER_BYTES:
            raise AnalysisRefused(
                "ING-15",
                f"A deflated file ({DEFLATED}) that unpacks to more than {MAX_HEADER_BYTES // 1024**2} MB, so it was "
                "not read.",
            )
        if items > MAX_ITEMS:
            raise too_many_items()


def _items(data: bytes) -> int:
    """Count the heads of sequence items in either byte order; each costs pydicom a hundred times its size."""
    return sum(map(data.count, _ITEM_TAGS))


def _place(file: BinaryIO, syntax: str) -> tuple[bool, int | None, int | None]:
    """Return where the pixels lie; pydicom leaves the file at the PixelData element, where there is one."""
    if syntax not in FAST_SYNTAXES:
        return True, None, None
    start = file.tell()
    return pixel_place(file.read(12), start, is_explicit=syntax == EXPLICIT_LITTLE)


def _values(dataset: Dataset) -> dict[str, Any]:
    tags = sorted(map(int, dataset.keys()))
    wanted, orphans = find_attributes(tags, lambda tag: text(_value(dataset, tag, "LO")))
    found = {keyword: _value(dataset, tag, vr) for tag, (keyword, vr) in wanted.items()}
    found = {keyword: value for keyword, value in found.items() if value is not None}
    return found | {"private_without_creator": orphans} if orphans else found


def _value(dataset: Dataset, tag: int, vr: str) -> Any:
    """Return a value as plain Python; None where it is empty or cannot be read."""
    try:
        value = dataset[BaseTag(tag)].value
        if isinstance(value, bytes):  # a maker's element that pydicom does not know
            return decode(vr, value, None)
        if isinstance(value, DicomSequence) != (vr == "SQ"):
            return None
        if vr == "SQ":
            return tuple(map(_item, value)) or None
        return _plain(value)
    except Exception:  # noqa: BLE001 (pydicom raises whatever a broken value provokes; it counts as absent)
        return None


def _item(item: Dataset) -> dict[str, Any]:
    found = {}
    for tag in map(int, item.keys()):
        if tag in ATTRIBUTES:
            keyword, vr = ATTRIBUTES[tag]
            value = _value(item, tag, vr)
            if value is not None:
                found[keyword] = value
    return found


def _plain(value: Any) -> Any:
    if isinstance(value, str | PersonName) or value is None:
        return plain_text(str(value)) if value else None
    if isinstance(value, float):
        return float(value)
    if isinstance(value, int):
        return int(value)
    values = [("" if one is None else one) for one in map(_plain, value)]
    return tuple(values) if len(values) > 1 else values[0] if values and values[0] != "" else None
