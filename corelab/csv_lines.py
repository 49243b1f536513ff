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


def csv_lines(heading: Iterable[str], rows: Iterable[Iterable[object]]) -> Iterator[str]:
    """Yield a table as CSV, one line at a time.

    Parameters
    ----------
    heading : iterable of str
        Names of the columns, with units.
    rows : iterable of iterables
        Numbers stay numbers, None is an empty cell; text that a spreadsheet would run gets an apostrophe in front.
    """
    writer = csv.writer(_Line())
    yield writer.writerow(heading)
    for row in rows:
        yield writer.writerow(harmless(value) for value in row)


def harmless(value: object) -> object:
    """Keep a spreadsheet from taking what a person typed for a formula."""
    if value is None:
        return ""
    if isinstance(value, int | float):
        return value
    text = str(value)
    return f"'{text}" if text.startswith(FORMULA_BEGINNINGS) else text
