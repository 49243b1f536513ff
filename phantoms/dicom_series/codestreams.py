"""What a compressed frame says of itself: held against the header before a decoder allocates anything for it.

A decoder takes size and kind from the codestream, not from the DICOM header, so a few bytes there could ask for any
amount of memory, or hold values that were changed by compression under the name of a lossless transfer syntax.
Sources: ITU-T T.81, B.2 (JPEG); T.87, C.2 (JPEG-LS); T.800, A.5 and A.6 (JPEG 2000); DICOM PS3.5, annex G (RLE).
"""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass

RLE = "1.2.840.10008.1.2.5"
_JPEG = frozenset({"1.2.840.10008.1.2.4.57", "1.2.840.10008.1.2.4.70", "1.2.840.10008.1.2.4.80"})
_JPEG_2000 = frozenset(f"1.2.840.10008.1.2.4.{number}" for number in (90, 91, 201, 202, 203))

#: Frame headers of JPEG, by their marker: lossless by Huffman codes and JPEG-LS; all others change values.
_HUFFMAN, _JPEG_LS = 0xC3, 0xF7
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC} | {_JPEG_LS}
_TABLES, _SCAN = 0xC4, 0xDA
#: What may stand before the coded data: frame, tables of all kinds, restart interval, an application's, a comment.
_SEGMENTS = _FRAMES | {_TABLES, _SCAN, 0xDB, 0xDD, *range(0xE0, 0xF0), 0xF8, 0xFE}
#: A marker in coded data that have one scan: behind FF stands 0 in T.81, or a restart; in T.87 no more than 127.
_MARKER = {
    _HUFFMAN: re.compile(rb"\xff[^\x00\xd0-\xd7]", re.DOTALL),
    _JPEG_LS: re.compile(rb"\xff[\x80-\xcf\xd8-\xff]", re.DOTALL),
}
_LARGEST_CATEGORY = 16
_START_2000, _STYLE, _COMPONENT_STYLE = b"\xff\x4f\xff\x51", b"\xff\x52", b"\xff\x53"
_REVERSIBLE = 1
_END = b"\xff\xd9"


@dataclass(frozen=True)
class Codestream:
    """Size, samples a pixel, bits a sample and kind of a compressed frame."""

    rows: int
    columns: int
    samples: int
    bits: int
    is_lossy: bool


def read_codestream(syntax: str, frame: bytes, rows: int, columns: int) -> Codestream | None:
    """Read what a frame says of itself.

    Parameters
    ----------
    syntax : str
        Transfer syntax UID.
    frame : bytes
        One frame, its fragments joined.
    rows, columns : int
        Of the DICOM header: run lengths name no size, but must come out at this one.

    Returns
    -------
    Codestream or None
        None where it is no such codestream, or one that no encoder writes: it is not to be decoded.
    """
    try:
        if syntax == RLE:
            return _run_lengths(frame, rows, columns)
        if not frame[-3:].rstrip(b"\0").endswith(_END):  # cut off, it would decode into a blurred or a grey image
            return None
        if syntax in _JPEG:
            return _jpeg(frame)
        if syntax in _JPEG_2000:
            return _jpeg_2000(frame)
    except (struct.error, IndexError, ValueError):
        pass
    return None


def _run_lengths(frame: bytes, rows: int, columns: int) -> Codestream | None:
    count, *offsets = struct.unpack_from("<16I", frame)
    if not 1 <= count <= 4 or offsets[0] != 64:
        return None
    for start, end in zip(offsets[:count], [*offsets[1:count], len(frame)], strict=True):
        position, left = start, rows * columns
        while left > 0:
            run = frame[position]
            if run < 128:
                position, left = position + run + 2, left - run - 1
            elif run > 128:
                position, left = position + 2, left - 257 + run
            else:
                position += 1
        if left or position > end:
            return None
    return Codestream(rows, columns, 1, 8 * count, is_lossy=False)


def _jpeg(frame: bytes) -> Codestream | None:
    if frame[:2] != b"\xff\xd8":
        return None
    position, kind, size, component = 2, 0, (0, 0, 0, 0), 0
    while True:
        marker = frame[position + 1]
        if frame[position] != 0xFF or marker not in _SEGMENTS:
            return None
        length = struct.unpack_from(">H", frame, position + 2)[0]
        segment = frame[position + 4 : position + 2 + length]
        if marker in _FRAMES:
            if kind or len(segment) != 6 + 3 * segment[5]:
                return None
            kind, size, component = marker, struct.unpack_from(">BHHB", segment), segment[6]
        elif marker == _TABLES and not _is_table(segment):
            return None
        elif marker == _SCAN:
            bits, rows, columns, samples = size
            if kind not in _MARKER:
                return Codestream(rows, columns, samples, bits, is_lossy=True) if kind else None
            # Behind the scan's component stand T.81's predictor, 0 and point transform, or T.87's NEAR, mode and
            # point transform: NEAR is how far a value may be off, a point transform drops its last bits.
            count, one, _, first, second, transform = segment
            if count != 1 or one != component or (kind == _HUFFMAN and (not 1 <= first <= 7 or second)):
                return None
            is_lossy = bool(transform & 15 if kind == _HUFFMAN else first | transform)
            coded = frame[position + 2 + length :].rstrip(b"\0")
            if _MARKER[kind].search(coded, 0, len(coded) - len(_END)):
                return None
            return Codestream(rows, columns, samples, bits, is_lossy=is_lossy)
        position += 2 + length


def _is_table(segment: bytes) -> bool:
    """Say whether a segment holds Huffman tables that a lossless encoder may write: T.81, B.2.4.2 and H.1.2.2."""
    position = 0
    while position < len(segment):
        counts = segment[position + 1 : position + 17]
        values = segment[position + 17 : position + 17 + sum(counts)]
        # A code of n bits takes a 2⁻ⁿ-th of all codes, and there are no more than all.
        used = sum(count << (15 - k) for k, count in enumerate(counts))
        if (
            len(counts) < 16
            or len(values) < sum(counts)
            or used > 1 << 16
            or max(values, default=0) > _LARGEST_CATEGORY
        ):
            return False
        position += 17 + len(values)
    return True


def _jpeg_2000(frame: bytes) -> Codestream | None:
    start = frame.find(_START_2000)  # some wrap the codestream in the boxes of a file
    if start < 0:
        return None
    width, height, left, top = struct.unpack_from(">IIII", frame, start + 8)
    samples, depth = struct.unpack_from(">HB", frame, start + 40)
    position = start + 2
    while frame[position : position + 2] != _STYLE:
        if (
            frame[position] != 0xFF
            or frame[position + 1] in {0x90, 0xD9}
            or frame.startswith(_COMPONENT_STYLE, position)
        ):
            return None
        position += 2 + struct.unpack_from(">H", frame, position + 2)[0]
    is_lossy = frame[position + 13] != _REVERSIBLE
    return Codestream(height - top, width - left, samples, (depth & 127) + 1, is_lossy=is_lossy)
