"""The elements of one DICOM file's header, up to the pixels.

pydicom is the authority. Uncompressed little-endian files, which is nearly all of PET, are walked here first, ten
times faster; at anything unusual the walk gives up and pydicom reads the file. A property test holds both to the same
result.
"""

from __future__ import annotations

import io
import logging
import math
import struct
import warnings
import zlib
from collections.abc import Iterable
from typing import Any, BinaryIO

from pydicom import config, dcmread
from pydicom.charset import python_encoding
from pydicom.dataelem import RawDataElement, empty_value_for_VR
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence as DicomSequence
from pydicom.tag import BaseTag
from pydicom.uid import DeflatedExplicitVRLittleEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

from phantoms.errors import AnalysisRefused

# Odd values in headers are facts to judge, not something to print: a warning would carry them into logs.
config.settings.reading_validation_mode = config.IGNORE
logging.getLogger("pydicom").setLevel(logging.CRITICAL)
warnings.filterwarnings("ignore", category=UserWarning, module="pydicom")

FAST_SYNTAXES = frozenset({ExplicitVRLittleEndian, ImplicitVRLittleEndian})
PREFIX = b"DICM"

_LONG_VRS = {vr.encode(): vr for vr in ("OB", "OD", "OF", "OL", "OV", "OW", "SQ", "SV", "UC", "UN", "UR", "UT", "UV")}
_SHORT_VRS = {
    vr.encode(): vr
    for vr in (
        *("AE", "AS", "AT", "CS", "DA", "DS", "DT", "FD", "FL", "IS", "LO"),
        *("LT", "PN", "SH", "SL", "SS", "ST", "TM", "UI", "UL", "US"),
    )
}
_EMPTY: dict[str | None, Any] = {
    vr: empty_value_for_VR(vr, raw=True) for vr in (*_LONG_VRS.values(), *_SHORT_VRS.values(), None)
}
_HEAD, _UINT = struct.Struct("<HH2sH").unpack_from, struct.Struct("<I").unpack_from
_CHARSET = 0x00080005
_PIXELS = 0x7FE00010
_OTHER_PIXELS = frozenset({0x7FE00008, 0x7FE00009})
_ITEM, _ITEM_END, _SEQUENCE_END = 0xFFFEE000, 0xFFFEE00D, 0xFFFEE0DD
_UNDEFINED = 0xFFFFFFFF
_MAX_DEPTH = 8
_CHUNK_BYTES = 32 * 1024
_INFLATE_BYTES = 1024 * 1024

#: What is read of a file to get past its header, and what a deflated file may unpack to, header and pixels. A PET
#: header has some 10 kB, with vendors' blocks 1 MB; a plane of the largest matrix that is measured has 16 MB.
MAX_HEADER_BYTES = 64 * 1024**2


class Elements:
    """A header as read: its elements, what the file's own head says, and where the pixels lie.

    Attributes
    ----------
    raw : dict
        The elements by tag, undecoded where pydicom left them so. Plain integers as keys: pydicom's own tags compare
        in Python, and a header is asked some sixty times.
    syntax, media_class, media_instance : str
        Transfer syntax, SOP class and instance from the file's own head.
    has_pixels, pixel_offset, pixel_bytes
        Whether pixels follow, and the place of an uncompressed little-endian PixelData value in the file; None where
        pydicom must find and decode it.
    """

    def __init__(
        self,
        raw: dict[int, Any],
        file_head: tuple[str, str, str],
        place: tuple[bool, int | None, int | None],
        dataset: Dataset | None = None,
    ) -> None:
        self.raw = raw
        self.syntax, self.media_class, self.media_instance = file_head
        self.has_pixels, self.pixel_offset, self.pixel_bytes = place
        self.charset = getattr(raw.get(_CHARSET), "value", None)
        self._dataset = dataset

    def decoded(self, tag: int) -> Any:
        """Return the value as pydicom decodes it, sequences as tuples of mappings; None where it cannot."""
        if self._dataset is None:
            self._dataset = Dataset({BaseTag(one): element for one, element in self.raw.items()})
        try:
            return _plain(self._dataset[BaseTag(tag)].value)
        except Exception:  # noqa: BLE001 (pydicom raises whatever a broken value provokes; it counts as absent)
            return None


def read_elements(file: BinaryIO, wanted: frozenset[int], wanted_groups: frozenset[int]) -> Elements:
    """Read the header of a DICOM file that stands at its start.

    Parameters
    ----------
    file : binary file
        Left open, at some position.
    wanted, wanted_groups : frozenset of int
        Tags and whole groups that the caller may ask for; others may be left out.

    Raises
    ------
    AnalysisRefused
        ``ING-01`` where it is not a DICOM file, cannot be read, or has a header of more than `MAX_HEADER_BYTES`;
        ``ING-15`` where it is deflated and unpacks to more than that.
    """
    head = file.read(132)
    if head[128:] != PREFIX:
        what = "The file is empty." if not head else "Not a DICOM file: it lacks the DICOM prefix."
        raise AnalysisRefused("ING-01", what)
    return walk(file, wanted, wanted_groups) or read_by_pydicom(file)


def read_by_pydicom(file: BinaryIO) -> Elements:
    """Read any DICOM file's header with pydicom."""
    file.seek(0)
    try:
        dataset = dcmread(Bounded(file, MAX_HEADER_BYTES), stop_before_pixels=True)
        syntax = _plain(str(dataset.file_meta.get("TransferSyntaxUID", "")))
        media_class = _plain(str(dataset.file_meta.get("MediaStorageSOPClassUID", "")))
        media_instance = _plain(str(dataset.file_meta.get("MediaStorageSOPInstanceUID", "")))
        place = _place_after_pydicom(file, syntax)
        raw = {int(tag): dataset.get_item(tag) for tag in dataset.keys()}  # noqa: SIM118 (iteration would decode)
    except AnalysisRefused:
        raise
    except Exception as error:
        raise AnalysisRefused("ING-01", "The DICOM header is broken or cut off, so it could not be read.") from error
    return Elements(raw, (syntax, media_class, media_instance), place, dataset)


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


def header_too_long() -> AnalysisRefused:
    """Return the refusal of a file that goes on beyond every header."""
    megabytes = MAX_HEADER_BYTES // 1024**2
    return AnalysisRefused("ING-01", f"The DICOM header goes on for more than {megabytes} MB, so it was not read.")


def _check_inflated(packed: bytes) -> None:
    """Unpack raw deflate (DICOM PS3.5, A.5) piece by piece, keeping none, up to the bound."""
    stream = zlib.decompressobj(-zlib.MAX_WBITS)
    unpacked_bytes = 0
    while packed and not stream.eof:
        unpacked_bytes += len(stream.decompress(packed, _INFLATE_BYTES))
        packed = stream.unconsumed_tail
        if unpacked_bytes > MAX_HEADER_BYTES:
            raise AnalysisRefused(
                "ING-15",
                f"A deflated file ({DeflatedExplicitVRLittleEndian}) that unpacks to more than "
                f"{MAX_HEADER_BYTES // 1024**2} MB, so it was not read.",
            )


def _place_after_pydicom(file: BinaryIO, syntax: str) -> tuple[bool, int | None, int | None]:
    """Return where the pixels lie; pydicom leaves the file at the PixelData element, where there is one."""
    if syntax not in FAST_SYNTAXES:
        return True, None, None
    start, size = file.tell(), 12 if syntax == ExplicitVRLittleEndian else 8
    return _place(file.read(size), start, is_explicit=size == 12)


def _place(head: bytes, start: int, *, is_explicit: bool) -> tuple[bool, int | None, int | None]:
    size = 12 if is_explicit else 8
    if len(head) < size or head[:4] != b"\xe0\x7f\x10\x00":
        return False, None, None
    length = int.from_bytes(head[size - 4 : size], "little")
    if length == _UNDEFINED or (is_explicit and head[4:6] not in {b"OW", b"OB"}):
        return True, None, None
    return True, start + size, length


# --- the fast walk -----------------------------------------------------------------------------------------------


class _Unusual(Exception):
    """Something that the walk leaves to pydicom."""


class _Short(Exception):
    """The element goes on beyond what was read of the file."""


def walk(file: BinaryIO, wanted: frozenset[int], wanted_groups: frozenset[int]) -> Elements | None:
    """Read the header of a plain little-endian file; None at anything unusual."""
    file.seek(0)
    data = file.read(_CHUNK_BYTES)
    try:
        meta, position = _walk_meta(data)
        syntax = _meta_text(meta, 0x00020010)
        if syntax not in FAST_SYNTAXES:
            return None
        is_explicit = syntax == ExplicitVRLittleEndian
        found: dict[int, Any] = {}
        last = 0
        while True:
            try:
                tag, vr, start, end = _element(data, position, is_explicit)
            except _Short:
                if len(data) >= MAX_HEADER_BYTES:
                    raise header_too_long() from None
                more = file.read(max(_CHUNK_BYTES, len(data)))
                if more:
                    data += more
                    continue
                if position != len(data):
                    return None
                place: tuple[bool, int | None, int | None] = (False, None, None)
                break
            if tag <= last or tag in _OTHER_PIXELS:
                return None
            # pydicom reads the character set at once, so what breaks it must be seen here.
            if tag == _CHARSET and (
                vr not in {None, "CS"} or data[start:end].decode("latin-1").strip() not in python_encoding
            ):
                return None
            if tag == _PIXELS:
                place = _place(data[position : position + 12], position, is_explicit=is_explicit)
                break
            if tag in wanted or tag >> 16 in wanted_groups:
                value = data[start:end] or _EMPTY[vr]
                found[tag] = RawDataElement(BaseTag(tag), vr, end - start, value, start, not is_explicit, True)
            last, position = tag, end
    except (_Unusual, _Short):
        return None
    return Elements(found, (syntax, _meta_text(meta, 0x00020002), _meta_text(meta, 0x00020003)), place)


def _walk_meta(data: bytes) -> tuple[dict[int, bytes], int]:
    """Return the elements of the file's own head, group 0002, and the position after them."""
    meta: dict[int, bytes] = {}
    position = len(PREFIX) + 128
    while data[position : position + 2] == b"\x02\x00":
        tag, _, start, end = _element(data, position, True)
        meta[tag] = data[start:end]
        position = end
    # pydicom goes by the declared length of the head, so a head that differs from it is left to pydicom.
    declared = meta.get(0x00020000)
    if declared is not None and (len(declared) != 4 or int.from_bytes(declared, "little") != position - 144):
        raise _Unusual
    return meta, position


def _meta_text(meta: dict[int, bytes], tag: int) -> str:
    return meta.get(tag, b"").decode("ascii", "replace").replace("\0", "").strip(" ")


def _element(data: bytes, position: int, is_explicit: bool, depth: int = 0) -> tuple[int, str | None, int, int]:
    """Return tag, VR, and where the value starts and ends, of the element at a position."""
    try:
        group, number, vr, short = _HEAD(data, position)
        tag = group << 16 | number
        if tag == _PIXELS:
            _UINT(data, position + 8)  # so that a long head is there
            return tag, None, position, position
        name: str | None = None
        if not is_explicit:
            if vr.isalpha() and vr.isupper():  # looks like explicit VR after all
                raise _Unusual
            start, length = position + 8, _UINT(data, position + 4)[0]
        elif vr in _SHORT_VRS:
            start, length, name = position + 8, short, _SHORT_VRS[vr]
        elif vr in _LONG_VRS:
            start, length, name = position + 12, _UINT(data, position + 8)[0], _LONG_VRS[vr]
        else:
            raise _Unusual
    except struct.error:
        raise _Short from None
    if length != _UNDEFINED:
        end: int = start + length
        if end > len(data):
            raise _Short
        return tag, name, start, end
    if name not in {None, "SQ"} or depth > _MAX_DEPTH:
        raise _Unusual
    return tag, name, start, _sequence_end(data, start, is_explicit, depth)


def _sequence_end(data: bytes, position: int, is_explicit: bool, depth: int) -> int:
    """Return the position after a sequence of undefined length."""
    while True:
        tag, length, position = _item_head(data, position)
        if tag == _SEQUENCE_END:
            return position
        if tag != _ITEM:
            raise _Unusual
        if length != _UNDEFINED:
            item_end = position + length
            while position < item_end:  # pydicom reads these items at once, so what breaks it must be seen here
                position = _element(data, position, is_explicit, depth + 1)[3]
            if position != item_end:
                raise _Unusual
            continue
        while _tag(data, position) != _ITEM_END:
            position = _element(data, position, is_explicit, depth + 1)[3]
        position += 8


def _item_head(data: bytes, position: int) -> tuple[int, int, int]:
    head = data[position : position + 8]
    if len(head) < 8:
        raise _Short
    group, number, length = struct.unpack("<HHI", head)
    return group << 16 | number, length, position + 8


def _tag(data: bytes, position: int) -> int:
    return _item_head(data, position)[0]


# --- values ------------------------------------------------------------------------------------------------------


class Values:
    """Header values as pydicom reads them, each distinct encoding read once.

    The slices of a series repeat most of their header, and decoding elements is what costs.
    """

    def __init__(self) -> None:
        self._known: dict[tuple[Any, ...], Any] = {}

    def get(self, read: Elements, tag: int) -> Any:
        """Return the value, a sequence as a tuple of mappings by keyword; None where it is absent or unreadable."""
        raw = read.raw.get(tag)
        if raw is None:
            return None
        if not isinstance(raw, RawDataElement):
            return read.decoded(tag)
        try:
            key = (tag, raw.value, raw.VR, raw.is_implicit_VR, raw.is_little_endian, read.charset)
            return self._known[key]
        except KeyError:
            value = self._known[key] = read.decoded(tag)
            return value
        except TypeError:  # a decoded character set of several values
            return read.decoded(tag)

    def text(self, read: Elements, tag: int) -> str:
        """Return the value as text, several joined by a backslash; empty where there is none."""
        value = self.get(read, tag)
        if value is None:
            return ""
        return "\\".join(map(str, value)) if isinstance(value, tuple) else str(value).strip()

    def texts(self, read: Elements, tag: int) -> tuple[str, ...]:
        """Return the values as texts."""
        value = self.get(read, tag)
        return tuple(map(str, value if isinstance(value, tuple) else () if value is None else (value,)))

    def numbers(self, read: Elements, tag: int, count: int) -> tuple[float, ...]:
        """Return `count` finite numbers, or nothing."""
        value = self.get(read, tag)
        if value is None:
            return ()
        try:
            numbers = tuple(map(float, value if isinstance(value, tuple) else (value,)))
        except (TypeError, ValueError):
            return ()
        return numbers if len(numbers) == count and all(map(math.isfinite, numbers)) else ()

    def number(self, read: Elements, tag: int) -> float | None:
        """Return one finite number, or None."""
        numbers = self.numbers(read, tag, 1)
        return numbers[0] if numbers else None

    def integer(self, read: Elements, tag: int) -> int | None:
        """Return one number without its fraction, or None."""
        number = self.number(read, tag)
        return None if number is None else int(number)


def _plain(value: Any) -> Any:
    if isinstance(value, DicomSequence):
        return tuple({element.keyword: _plain(element.value) for element in item} for item in value)
    if isinstance(value, str):
        return value.replace("\0", "")  # no text of DICOM may hold it, and no database takes it
    if isinstance(value, int | float | bytes) or value is None:
        return value
    return tuple(map(_plain, value)) if isinstance(value, Iterable) else str(value).replace("\0", "")
