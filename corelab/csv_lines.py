"""Tables as CSV, line by line: UTF-8 text that a spreadsheet opens without running anything in it."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator

#: A spreadsheet takes text that begins with one of these for a formula.
FORMULA_BEGINNINGS = ("=", "+", "-", "@", "\t", "\r")


class _Line:
    """A file that hands each line on."""

    def write(self, line: str) -> str:
        """Return the line instead of keeping it."""
        return line


_writer = csv.writer(_Line())


def csv_line(values: Iterable[object]) -> str:
    """Return one row as CSV, with its end of line.

    Numbers stay numbers, None is an empty cell; text that a spreadsheet would run gets an apostrophe in front.
    """
    line: str = _writer.writerow([harmless(value) for value in values])  # type: ignore[assignment]
    return line


def csv_lines(heading: Iterable[str], rows: Iterable[Iterable[object]]) -> Iterator[str]:
    """Yield a table as CSV, one line at a time; the heading names each column with its unit."""
    yield csv_line(heading)
    for row in rows:
        yield csv_line(row)


def harmless(value: object) -> object:
    """Keep a spreadsheet from taking what a person typed for a formula."""
    if value is None:
        return ""
    if isinstance(value, int | float):
        return value
    text = str(value)
    return f"'{text}" if text.startswith(FORMULA_BEGINNINGS) else text
