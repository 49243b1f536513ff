"""What a compressed frame says of itself: held against the header before a decoder allocates anything for it.

A decoder takes size and kind from the codestream, not from the DICOM header, so a few bytes there could ask for any
amount of memory, or hold values that were changed by compression under the name of a lossless transfer syntax.
Sources: ITU-T T.81, B.2 (JPEG); T.87, C.2 (JPEG-LS); T.800, A.5 and A.6 (JPEG 2000); DICOM PS3.5, annex G (RLE).
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

RLE = "1.2.840.10008.1.2.5"
_JPEG = frozenset({"1.2.840.10008.1.2.4.57", "1.2.840.10008.1.2.4.70", "1.2.840.10008.1.2.4.80"})
_JPEG_2000 = frozenset(f"1.2.840.10008.1.2.4.{number}" for number in (90, 91, 201, 202, 203))

#: Run lengths make two bytes of 128 equal ones; what unpacks to more than any volume is refused unread.
_RLE_RATIO = 64
_MAX_RLE_BYTES = 256 * 1024**2
#: Frame headers of JPEG, by their marker: lossless by Huffman codes and JPEG-LS; all others change values.
_LOSSLESS_FRAMES = frozenset({0xC3, 0xF7})
_FRAMES = frozenset({0xC0, 0xC1, 0xC2, *range(0xC5, 0xC8), *range(0xC9, 0xCC), *range(0xCD, 0xD0)}) | _LOSSLESS_FRAMES
_JPEG_LS, _SCAN, _START_2000 = 0xF7, 0xDA, b"\xff\x4f\xff\x51"
_REVERSIBLE = 1


@dataclass(frozen=True)
class Codestream:
    """Size, samples a pixel and kind of a compressed frame."""

    rows: int
    columns: int
    samples: int
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
        Of the DICOM header: run lengths say no size, only what they unpack to at most.

    Returns
    -------
    Codestream or None
        None where there is no such codestream; it is not to be decoded.
    """
    try:
        if syntax == RLE:
            segments = struct.unpack_from("<I", frame)[0]
            is_small = len(frame) * _RLE_RATIO <= _MAX_RLE_BYTES
            return Codestream(rows, columns, 1, is_lossy=False) if is_small and 1 <= segments <= 15 else None
        if syntax in _JPEG:
            return _jpeg(frame)
        if syntax in _JPEG_2000:
            return _jpeg_2000(frame)
    except (struct.error, IndexError):
        return None
    return None


def _jpeg(frame: bytes) -> Codestream | None:
    if frame[:2] != b"\xff\xd8":
        return None
    position, size, kind = 2, (0, 0, 0), 0
    while True:
        if frame[position] != 0xFF:
            return None
        marker = frame[position + 1]
        if marker == 0xFF:  # filling
            position += 1
            continue
        length = struct.unpack_from(">H", frame, position + 2)[0]
        if marker in _FRAMES:
            if kind:
                return None
            kind, size = marker, struct.unpack_from(">xHHB", frame, position + 4)
        elif marker == _SCAN:
            # NEAR, how far values may be off, stands after the scan's components: T.87, C.2.3.
            is_near = kind == _JPEG_LS and frame[position + 5 + 2 * frame[position + 4]] != 0
            return Codestream(*size, is_lossy=kind not in _LOSSLESS_FRAMES or is_near) if kind else None
        position += 2 + length


def _jpeg_2000(frame: bytes) -> Codestream | None:
    start = frame.find(_START_2000)  # some wrap the codestream in the boxes of a file
    if start < 0:
        return None
    width, height, left, top = struct.unpack_from(">IIII", frame, start + 8)
    samples = struct.unpack_from(">H", frame, start + 40)[0]
    position = start + 2
    while frame[position : position + 2] != b"\xff\x52":  # the coding style
        if frame[position] != 0xFF or frame[position + 1] in {0x90, 0xD9}:
            return None
        position += 2 + struct.unpack_from(">H", frame, position + 2)[0]
    return Codestream(height - top, width - left, samples, is_lossy=frame[position + 13] != _REVERSIBLE)
