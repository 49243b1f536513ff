"""Header values as plain Python: text, numbers, tuples of them, and sequences as tuples of mappings by keyword.

What is absent and what is empty are the same: None, or not there. Text has no padding and no NUL, which no text of
DICOM may hold and no database takes.
"""

from __future__ import annotations

import math
import re
import struct
from typing import Any


class Unusual(Exception):
    """Something that is left to pydicom."""


#: Character sets of one byte a character or UTF-8. ASCII is part of each; further text is read in the two that most
#: of the world writes. Source: DICOM PS3.3, C.12.1.1.2.
_CHARSETS: dict[str | None, str] = {
    **{None: "ascii", "ISO_IR 6": "ascii", "ISO_IR 100": "latin-1", "ISO_IR 192": "utf-8"},
    **dict.fromkeys((f"ISO_IR {number}" for number in (101, 109, 110, 126, 127, 138, 144, 148)), "ascii"),
}
_NUMBERS = {"FD": "d", "FL": "f", "SL": "i", "SS": "h", "UL": "I", "US": "H"}
_SIZES = {vr: struct.calcsize(code) for vr, code in _NUMBERS.items()}
_ONE_TEXT = frozenset({"LT", "ST", "UT"})
_IN_CHARSET = frozenset({"LO", "LT", "PN", "SH", "ST", "UT"})
_DECIMAL = r" *[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]{1,2})? *"
_INTEGER = r" *[+-]?[0-9]{1,9} *"
#: One number or several, as the standard has them written.
_WRITTEN = {
    vr: (re.compile(rf"{one}(?:\\{one})*".encode()).fullmatch, number)
    for vr, one, number in (("DS", _DECIMAL, float), ("IS", _INTEGER, int))
}


def check_charset(charset: Any) -> None:
    """Leave to pydicom what is written in a character set that is not read here."""
    if isinstance(charset, tuple) or charset not in _CHARSETS:
        raise Unusual


def decode(vr: str, raw: bytes, charset: str | None) -> Any:
    """Read the bytes of a little-endian value; what is not written as the standard says is left to pydicom.

    Raises
    ------
    Unusual
    """
    if not raw:
        return None
    if vr in _NUMBERS:
        count, rest = divmod(len(raw), _SIZES[vr])
        if rest:
            raise Unusual
        numbers = struct.unpack(f"<{count}{_NUMBERS[vr]}", raw)
        return numbers[0] if count == 1 else numbers
    if vr in _WRITTEN:
        return _written_numbers(vr, raw.rstrip(b" \0"))
    is_plain = raw.isascii()
    if not is_plain and vr not in _IN_CHARSET:
        raise Unusual
    try:
        text = raw.decode("ascii" if is_plain else _CHARSETS[charset])
    except UnicodeDecodeError:
        raise Unusual from None
    if vr in _IN_CHARSET and "\x1b" in text:  # begins another character set
        raise Unusual
    if "\\" not in text or vr in _ONE_TEXT:
        return plain_text(text)
    return tuple(plain_text(part) or "" for part in text.split("\\"))


def _written_numbers(vr: str, raw: bytes) -> Any:
    """Return the number of a text, or its several; None where nothing is written."""
    if not raw:
        return None
    is_written, number = _WRITTEN[vr]
    if not is_written(raw):
        raise Unusual
    if b"\\" not in raw:
        return number(raw)
    return tuple(map(number, raw.split(b"\\")))


def plain_text(text: str) -> str | None:
    """Return text without padding and NUL; None where nothing is left."""
    return text.replace("\0", "").strip() or None


def text(value: Any) -> str:
    """Return a plain value as text, several joined by a backslash; empty where there is none."""
    if value is None:
        return ""
    return "\\".join(map(str, value)) if isinstance(value, tuple) else str(value)


def texts(value: Any) -> tuple[str, ...]:
    """Return a plain value as texts."""
    return tuple(map(str, value if isinstance(value, tuple) else () if value is None else (value,)))


def numbers(value: Any, count: int) -> tuple[float, ...]:
    """Return `count` finite numbers, or nothing."""
    if value is None:
        return ()
    try:
        found = tuple(map(float, value if isinstance(value, tuple) else (value,)))
    except (TypeError, ValueError):
        return ()
    return found if len(found) == count and all(map(math.isfinite, found)) else ()


def number(value: Any) -> float | None:
    """Return one finite number, or None."""
    if isinstance(value, int | float):
        return float(value) if math.isfinite(value) else None
    found = numbers(value, 1)
    return found[0] if found else None


def integer(value: Any) -> int | None:
    """Return one number without its fraction, or None."""
    if isinstance(value, int):
        return value
    found = number(value)
    return None if found is None else int(found)
