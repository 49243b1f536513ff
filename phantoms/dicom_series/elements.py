"""The header of one DICOM file, up to the pixels.

pydicom is the authority. Uncompressed little-endian files, which is nearly all of PET, are walked here first, without
pydicom or numpy and some forty times faster; at anything unusual the walk gives up and pydicom reads the file. A
property test holds both to the same result.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping, Sequence
from typing import Any, BinaryIO, NamedTuple

from phantoms.dicom_series.attributes import ATTRIBUTES, find_attributes
from phantoms.dicom_series.values import Unusual, check_charset, decode
from phantoms.errors import AnalysisRefused

IMPLICIT_LITTLE, EXPLICIT_LITTLE = "1.2.840.10008.1.2", "1.2.840.10008.1.2.1"
FAST_SYNTAXES = frozenset({IMPLICIT_LITTLE, EXPLICIT_LITTLE})
PREFIX = b"DICM"
_HEAD_START, _HEAD_LENGTH = 128 + len(PREFIX), b"\x02\x00\x00\x00UL\x04\x00"

#: What is read of a file to get past its header, and what a deflated file may unpack to, header and pixels. A PET
#: header has some 10 kB, with vendors' blocks 1 MB; a plane of the largest matrix that is measured has 16 MB.
MAX_HEADER_BYTES = 64 * 1024**2
#: Items of all sequences of a header. Each takes a hundred times its eight bytes in memory; the largest real header
#: at hand, 4134 frames, has 25,000.
MAX_ITEMS = 200_000

_LONG_VRS = {vr.encode(): vr for vr in ("OB", "OD", "OF", "OL", "OV", "OW", "SQ", "SV", "UC", "UN", "UR", "UT", "UV")}
_SHORT_VRS = {
    vr.encode(): vr
    for vr in (
        *("AE", "AS", "AT", "CS", "DA", "DS", "DT", "FD", "FL", "IS", "LO"),
        *("LT", "PN", "SH", "SL", "SS", "ST", "TM", "UI", "UL", "US"),
    )
}
_HEAD, _UINT = struct.Struct("<HH2sH").unpack_from, struct.Struct("<I").unpack_from
_CHARSET = 0x00080005
_PIXELS, _PIXELS_TAG = 0x7FE00010, b"\xe0\x7f\x10\x00"
_OTHER_PIXELS = frozenset({0x7FE00008, 0x7FE00009})
_ITEM, _ITEM_END, _SEQUENCE_END = 0xFFFEE000, 0xFFFEE00D, 0xFFFEE0DD
_UNDEFINED = 0xFFFFFFFF
_MAX_DEPTH = 8
_CHUNK_BYTES = 16 * 1024
_MAX_TEMPLATES = 8


#: How something follows from a header: the function, and the keywords of the values that it takes, None where absent.
Field = tuple[Callable[..., Any], tuple[str, ...]]


class Elements(NamedTuple):
    """A header as read.

    Attributes
    ----------
    values : mapping
        What `attributes` wants of it, by keyword, as plain Python; what is absent or empty is not there.
        ``private_without_creator`` names makers' values whose block has no creator.
    syntax, media_class, media_instance : str
        Transfer syntax, SOP class and instance from the file's own head.
    has_pixels, pixel_offset, pixel_bytes
        Whether pixels follow, and the place of an uncompressed little-endian PixelData value in the file; None where
        pydicom must find and decode it.
    kind
        The headers that it shares most with, where it was read beside others.
    """

    values: Mapping[str, Any]
    syntax: str
    media_class: str
    media_instance: str
    has_pixels: bool
    pixel_offset: int | None
    pixel_bytes: int | None
    kind: _Template | None = None

    def derive(self, fields: Mapping[str, Field]) -> dict[str, Any]:
        """Return what follows from the values, by the fields' names.

        What hangs on values that all headers of this kind share is worked out once for all of them.
        """
        found, own = self.kind.derive(fields) if self.kind else ({}, fields)
        value = self.values.get
        return found | {name: function(*map(value, keywords)) for name, (function, keywords) in own.items()}


class HeaderReader:
    """Reads headers, one file after the other; what a file shares with those before it is not parsed again."""

    def __init__(self) -> None:
        self._templates: list[_Template] = []
        self._first_bytes = _CHUNK_BYTES
        self._last_head: _FileHead | None = None

    def read(self, file: BinaryIO) -> Elements:
        """Read the header of a DICOM file that stands at its start; it is left open, at some position.

        Raises
        ------
        AnalysisRefused
            ``ING-01`` where it is not a DICOM file, cannot be read, or has a header of more than `MAX_HEADER_BYTES`
            or `MAX_ITEMS`; ``ING-15`` where it is deflated and unpacks to more than that.
        """
        data = file.read(self._first_bytes)
        if data[128:132] != PREFIX:
            what = "The file is empty." if not data else "Not a DICOM file: it lacks the DICOM prefix."
            raise AnalysisRefused("ING-01", what)
        found = self.walk(data, file)
        if found is None:
            from phantoms.dicom_series.authority import read_by_pydicom  # imports pydicom and numpy

            found = read_by_pydicom(file)
        return found

    def walk(self, data: bytes, file: BinaryIO) -> Elements | None:
        """Read the header of a plain little-endian file; None at anything unusual.

        Parameters
        ----------
        data : bytes
            The first part of the file, as far as it has been read.
        file : binary file
            Stands behind it.
        """
        try:
            meta = self._last_head and self._last_head.again(data)
            if meta is None:
                meta = self._last_head = _FileHead.walk(data)
            syntax, start = meta.syntax, meta.end
            if syntax not in FAST_SYNTAXES:
                return None
            values, head, at, kind = self._repeated(data, start, syntax) or self._walked(data, file, start, syntax)
        except (Unusual, _Short):
            return None
        has_pixels, pixel_offset, pixel_bytes = pixel_place(head, at, is_explicit=syntax == EXPLICIT_LITTLE)
        return Elements(
            values=values,
            syntax=syntax,
            media_class=meta.media_class,
            media_instance=meta.media_instance,
            has_pixels=has_pixels,
            pixel_offset=pixel_offset,
            pixel_bytes=pixel_bytes,
            kind=kind,
        )

    def _repeated(self, data: bytes, start: int, syntax: str) -> _Read | None:
        """Read a header that is like one before it."""
        for k, template in enumerate(self._templates):
            try:
                found = template.read(data, start) if template.syntax == syntax else None
            except _Short:
                found = None
            if found:
                if k:
                    self._templates.insert(0, self._templates.pop(k))
                values, at = found
                return values, data[at : at + 12], at, template
        return None

    def _walked(self, data: bytes, file: BinaryIO, start: int, syntax: str) -> _Read:
        is_explicit = syntax == EXPLICIT_LITTLE
        data, places = _walk_top(data, file, start, is_explicit=is_explicit)
        at = places[-1].end if places else start
        self._first_bytes = min(max(self._first_bytes, at + _CHUNK_BYTES // 8), MAX_HEADER_BYTES)
        header = _Header(data, places, is_explicit)
        values = header.values(places)
        if header.orphans:
            values["private_without_creator"] = header.orphans
        head = data[at : at + 12]
        if head[:4] == _PIXELS_TAG:
            self._learn(_Template(header, syntax, start, at, values))
        return values, head, at, None

    def _learn(self, new: _Template) -> None:
        for template in self._templates:
            if template.key == new.key:
                template.widen(new)
                return
        self._templates = [new, *self._templates[: _MAX_TEMPLATES - 1]]


def header_too_long() -> AnalysisRefused:
    """Return the refusal of a file that goes on beyond every header."""
    megabytes = MAX_HEADER_BYTES // 1024**2
    return AnalysisRefused("ING-01", f"The DICOM header goes on for more than {megabytes} MB, so it was not read.")


def too_many_items() -> AnalysisRefused:
    """Return the refusal of a header that lists more than any header does."""
    return AnalysisRefused("ING-01", f"The DICOM header lists more than {MAX_ITEMS:,} items, so it was not read.")


def pixel_place(head: bytes, start: int, *, is_explicit: bool) -> tuple[bool, int | None, int | None]:
    """Return whether the element that begins with `head` at `start` is PixelData, and its value's place and length."""
    size = 12 if is_explicit else 8
    if len(head) < size or head[:4] != _PIXELS_TAG:
        return False, None, None
    length = int.from_bytes(head[size - 4 : size], "little")
    if length == _UNDEFINED or (is_explicit and head[4:6] not in {b"OW", b"OB"}):
        return True, None, None
    return True, start + size, length


class _FileHead(NamedTuple):
    """A file's own head, group 0002, up to the byte `end`; `before` and `after` surround the instance's UID in it."""

    syntax: str
    media_class: str
    media_instance: str
    end: int
    before: bytes
    after: bytes

    @classmethod
    def walk(cls, data: bytes) -> _FileHead:
        """Read the head at the start of a file."""
        places: dict[int, _Place] = {}
        end = _HEAD_START
        while data[end : end + 2] == b"\x02\x00":
            place = _element(data, end, True)
            places[place.tag] = place
            end = place.end
        # pydicom goes by the declared length of the head, so a head that differs from it is left to pydicom.
        length = places.get(0x00020000)
        if length and (length.end != _HEAD_START + 12 or _UINT(data, length.start)[0] != end - length.end):
            raise Unusual

        def text(tag: int) -> str:
            return _head_text(data[places[tag].start : places[tag].end]) if tag in places else ""

        uid = places.get(0x00020003)
        return cls(
            syntax=text(0x00020010),
            media_class=text(0x00020002),
            media_instance=text(0x00020003),
            end=end,
            before=data[_HEAD_START + 12 : uid.start - 2] if uid and length else b"",
            after=data[uid.end : end] if uid and length else b"",
        )

    def again(self, data: bytes) -> _FileHead | None:
        """Read the head of another file, where nothing but the instance's UID differs."""
        start = _HEAD_START + 12
        if not self.before or not data.startswith(_HEAD_LENGTH, _HEAD_START):
            return None
        end = start + int.from_bytes(data[start - 4 : start], "little")
        uid_start, uid_end = start + len(self.before) + 2, end - len(self.after)
        if not (data.startswith(self.before, start) and data.startswith(self.after, uid_end)):
            return None
        if int.from_bytes(data[uid_start - 2 : uid_start], "little") != uid_end - uid_start:
            return None
        uid = _head_text(data[uid_start:uid_end])
        return _FileHead(self.syntax, self.media_class, uid, end, self.before, self.after)


def _head_text(raw: bytes) -> str:
    return raw.decode("ascii", "replace").replace("\0", "").strip(" ")


# --- what repeats -------------------------------------------------------------------------------------------------


class _Place(NamedTuple):
    """Where an element lies: its tag, VR (None where the file names none), first byte, and value."""

    tag: int
    vr: str | None
    at: int
    start: int
    end: int


class _Header:
    """The elements at the top of one header, and what of them is read."""

    def __init__(self, data: bytes, places: Sequence[_Place], is_explicit: bool) -> None:
        self.data, self.places, self.is_explicit = data, places, is_explicit
        by_tag = {place.tag: place for place in places}
        self.creators: dict[int, str] = {}

        def creator_of(tag: int) -> str:
            place = by_tag[tag]
            self.creators[tag] = data[place.start : place.end].decode("latin-1").replace("\0", "").strip()
            return self.creators[tag]

        self.wanted, self.orphans = find_attributes(by_tag, creator_of)
        charset = by_tag.get(_CHARSET)
        self.charset = decode("CS", data[charset.start : charset.end], None) if charset else None
        check_charset(self.charset)
        self.items_left = MAX_ITEMS

    def values(self, places: Sequence[_Place]) -> dict[str, Any]:
        """Decode those of the places that are wanted."""
        found = {}
        for place in places:
            attribute = self.wanted.get(place.tag)
            if attribute is not None:
                value = self.value(attribute[1], place, self.data)
                if value is not None:
                    found[attribute[0]] = value
        return found

    def value(self, vr: str, place: _Place, data: bytes, depth: int = 0) -> Any:
        """Decode one value; `data` is that of a header of the same kind."""
        # Archives that do not know a maker's element call it UN; for the standard's own that is left to pydicom.
        if place.vr not in {vr, None} and not (place.vr == "UN" and place.tag >> 16 & 1):
            raise Unusual
        if vr == "SQ":
            return self._items(data, place.start, place.end, depth) or None
        return decode(vr, data[place.start : place.end], self.charset)

    def _items(self, data: bytes, position: int, end: int, depth: int) -> tuple[dict[str, Any], ...]:
        items = []
        while position < end:
            tag, length, position = _item_head(data, position)
            if tag == _SEQUENCE_END:
                break
            self.items_left -= 1
            if self.items_left < 0:
                raise too_many_items()
            if tag != _ITEM or depth > _MAX_DEPTH:
                raise Unusual
            item: dict[str, Any] = {}
            last = 0
            item_end = end if length == _UNDEFINED else position + length
            while position < item_end:
                if length == _UNDEFINED and _tag(data, position) == _ITEM_END:
                    position += 8
                    break
                place = _element(data, position, self.is_explicit, depth + 1)
                attribute = ATTRIBUTES.get(place.tag)
                if place.tag <= last or place.tag == _CHARSET:
                    raise Unusual
                if attribute is not None:
                    value = self.value(attribute[1], place, data, depth + 1)
                    if value is not None:
                        item[attribute[0]] = value
                last, position = place.tag, place.end
            if length != _UNDEFINED and position != item_end:
                raise Unusual
            items.append(item)
        return tuple(items)


class _Template:
    """What headers of one kind share byte for byte, as runs, and between them the elements that differ.

    The slices of a series share most of their header. Reading one is then comparing a few runs of bytes, and decoding
    the dozen values between them.
    """

    def __init__(self, header: _Header, syntax: str, start: int, end: int, values: dict[str, Any]) -> None:
        self._header, self.syntax, self._start, self._end, self._values = header, syntax, start, end, values
        self._data = header.data[:end] + _PIXELS_TAG
        #: Headers of one kind: the same elements, read in the same way.
        self.key = (syntax, header.charset, header.creators, [place.tag for place in header.places])
        self._differing: set[int] = set()
        self._divide()

    def widen(self, other: _Template) -> None:
        """Note the elements that differ from those of another header of this kind."""
        for k, (mine, its) in enumerate(zip(self._header.places, other._header.places, strict=True)):
            if self._data[mine.at : mine.end] != other._data[its.at : its.end]:
                self._differing.add(k)
        self._divide()

    def _divide(self) -> None:
        #: Bytes up to the length of an element that differs, the size of that length, the element, what it is.
        self._runs: list[tuple[bytes, int, _Place, tuple[str, str] | None]] = []
        self._own: set[str] = set()
        self._derived: dict[int, tuple[dict[str, Any], dict[str, Field]]] = {}
        self._shared = dict(self._values)
        start = self._start
        for k in sorted(self._differing):
            place = self._header.places[k]
            size = 2 if place.start == place.at + 8 and self._header.is_explicit else 4
            attribute = self._header.wanted.get(place.tag)
            self._runs.append((self._data[start : place.start - size], size, place, attribute))
            if attribute is not None:
                self._shared.pop(attribute[0], None)
                self._own.add(attribute[0])
            start = place.end
        self._tail = self._data[start:]

    def derive(self, fields: Mapping[str, Field]) -> tuple[dict[str, Any], dict[str, Field]]:
        """Return what follows from the shared values, and the fields that do not."""
        if id(fields) not in self._derived:
            own = {name: field for name, field in fields.items() if self._own.intersection(field[1])}
            shared = {
                name: function(*map(self._shared.get, keywords))
                for name, (function, keywords) in fields.items()
                if name not in own
            }
            self._derived[id(fields)] = shared, own
        return self._derived[id(fields)]

    def read(self, data: bytes, position: int) -> tuple[Mapping[str, Any], int] | None:
        """Return the values of a header and where its pixels' element begins; None where it is of another kind."""
        values = self._shared.copy()
        header = self._header
        header.items_left = MAX_ITEMS
        for run, size, place, attribute in self._runs:
            if not data.startswith(run, position):
                return None
            at = position + len(run) + size
            length = int.from_bytes(data[at - size : at], "little")
            if length != _UNDEFINED:
                position = at + length
            elif place.vr == "SQ":
                position = _sequence_end(data, at, header.is_explicit, 0)
            else:
                return None
            if position > len(data):
                return None
            if attribute is not None:
                keyword, vr = attribute
                value = (
                    header.value(vr, _Place(place.tag, place.vr, place.at, at, position), data)
                    if vr == "SQ"
                    else decode(vr, data[at:position], header.charset)
                )
                if value is not None:
                    values[keyword] = value
        if not data.startswith(self._tail, position):
            return None
        return values, position + len(self._tail) - len(_PIXELS_TAG)


#: Values, the head of the pixels' element and its place, and the kind where there is one.
_Read = tuple[Mapping[str, Any], bytes, int, _Template | None]


# --- the walk -----------------------------------------------------------------------------------------------------


class _Short(Exception):
    """The element goes on beyond what was read of the file."""


def _walk_top(data: bytes, file: BinaryIO, position: int, *, is_explicit: bool) -> tuple[bytes, list[_Place]]:
    """Return as much of the file as was read, and the elements before the pixels."""
    places: list[_Place] = []
    last = 0
    while True:
        try:
            place = _element(data, position, is_explicit)
        except _Short:
            if len(data) >= MAX_HEADER_BYTES:
                raise header_too_long() from None
            more = file.read(max(_CHUNK_BYTES, len(data)))
            if more:
                data += more
                continue
            if position != len(data):
                raise Unusual from None
            return data, places
        if place.tag <= last or place.tag in _OTHER_PIXELS:
            raise Unusual
        if place.tag == _PIXELS:
            return data, places
        places.append(place)
        last, position = place.tag, place.end


def _element(data: bytes, position: int, is_explicit: bool, depth: int = 0) -> _Place:
    """Return where the element at a position lies; for PixelData at the top, that it is there."""
    try:
        group, number, vr, short = _HEAD(data, position)
        tag = group << 16 | number
        if tag == _PIXELS and depth == 0:  # an icon in a sequence has pixels of its own
            _UINT(data, position + 8)  # so that a long head is there
            return _Place(tag, None, position, position, position)
        name: str | None = None
        if not is_explicit:
            if vr.isalpha() and vr.isupper():  # looks like explicit VR after all
                raise Unusual
            start, length = position + 8, _UINT(data, position + 4)[0]
        elif vr in _SHORT_VRS:
            start, length, name = position + 8, short, _SHORT_VRS[vr]
        elif vr in _LONG_VRS:
            start, length, name = position + 12, _UINT(data, position + 8)[0], _LONG_VRS[vr]
        else:
            raise Unusual
    except struct.error:
        raise _Short from None
    if length != _UNDEFINED:
        end: int = start + length
        if end > len(data):
            raise _Short
        return _Place(tag, name, position, start, end)
    if name not in {None, "SQ"} or depth > _MAX_DEPTH:
        raise Unusual
    return _Place(tag, "SQ", position, start, _sequence_end(data, start, is_explicit, depth))


def _sequence_end(data: bytes, position: int, is_explicit: bool, depth: int) -> int:
    """Return the position after a sequence of undefined length."""
    while True:
        tag, length, position = _item_head(data, position)
        if tag == _SEQUENCE_END:
            return position
        if tag != _ITEM:
            raise Unusual
        if length != _UNDEFINED:
            item_end = position + length
            while position < item_end:  # pydicom reads these items at once, so what breaks it must be seen here
                position = _element(data, position, is_explicit, depth + 1).end
            if position != item_end:
                raise Unusual
            continue
        while _tag(data, position) != _ITEM_END:
            position = _element(data, position, is_explicit, depth + 1).end
        position += 8


def _item_head(data: bytes, position: int) -> tuple[int, int, int]:
    try:
        group, number, _, _ = _HEAD(data, position)
        return group << 16 | number, _UINT(data, position + 4)[0], position + 8
    except struct.error:
        raise _Short from None


def _tag(data: bytes, position: int) -> int:
    try:
        group, number, _, _ = _HEAD(data, position)
    except struct.error:
        raise _Short from None
    return int(group << 16 | number)
