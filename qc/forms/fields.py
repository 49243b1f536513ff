"""Fields that take what people write: ``22,0`` and ``22.0``, ``0910`` and ``09:10``."""

from __future__ import annotations

import math
import re
from datetime import time
from typing import Any

from django import forms
from django.core.exceptions import ValidationError

# Blanks that people and spreadsheets put between thousands: plain, no-break, narrow no-break, thin.
_BLANKS = str.maketrans("", "", " \u00a0\u202f\u2009'’")
_NUMBER = re.compile(r"[+-]?\d+(?:[.,]\d+)*")
_CLOCK = re.compile(r"(\d{1,2})\s*[:.h]\s*(\d{2})|(\d{1,2})(\d{2})")


def parse_number(text: str, up_to: float = math.inf) -> float:
    """Return the number a person wrote, with a point or a comma.

    Parameters
    ----------
    text : str
    up_to : float
        The largest sensible value; it tells whether ``1.000`` can also mean one thousand.

    Raises
    ------
    ValueError
        With words for the person: not a number, or one that can be read in two ways.
    """
    written = text.translate(_BLANKS).replace("−", "-")
    if not _NUMBER.fullmatch(written):
        msg = f"Write a number, like 22.0. This reads “{text[:20]}”."
        raise ValueError(msg)
    separators = [character for character in written if character in ".,"]
    if len(set(separators)) == 2:
        decimal = separators[-1]
        if separators.count(decimal) > 1:
            msg = f"“{text[:20]}” has two decimal marks. Write it with one."
            raise ValueError(msg)
        return float(written.replace("," if decimal == "." else ".", "").replace(decimal, "."))
    if len(separators) > 1:
        return float(written.replace(separators[0], ""))
    if separators:
        whole, _, part = written.replace(",", ".").partition(".")
        is_grouped = len(part) == 3 and whole.lstrip("+-").lstrip("0") and len(whole.lstrip("+-")) <= 3
        if is_grouped and float(whole + part) <= up_to:
            msg = f"“{text[:20]}” can be read in two ways. Write {whole}{part} or {float(f'{whole}.{part}'):g}."
            raise ValueError(msg)
    return float(written.replace(",", "."))


def parse_clock(text: str) -> time:
    """Return the time of day a person wrote: ``09:10``, ``9.10``, ``0910``.

    Raises
    ------
    ValueError
        With words for the person.
    """
    match = _CLOCK.fullmatch(text.strip())
    hour, minute = (int(match[1] or match[3]), int(match[2] or match[4])) if match else (99, 99)
    if hour > 23 or minute > 59:
        msg = f"Write the time on the 24-hour clock, like 09:10. This reads “{text[:20]}”."
        raise ValueError(msg)
    return time(hour, minute)


class WrittenNumberField(forms.CharField):
    """A number as a person writes it, within bounds that only a slip of the pen passes.

    Parameters
    ----------
    unit : str
        Printed beside the field; ``activity`` stands for the unit that the form is switched to.
    above, up_to : float
        What every sensible value is greater than, and not greater than.
    or_equal : bool
        Whether ``above`` itself is sensible too: a residual may be 0.
    """

    def __init__(self, *, unit: str, up_to: float, above: float = 0.0, or_equal: bool = False, **kwargs: Any) -> None:
        kwargs.setdefault("required", False)
        kwargs.setdefault("max_length", 24)
        super().__init__(**kwargs)
        self.unit, self.above, self.up_to, self.or_equal = unit, above, up_to, or_equal
        self.widget.attrs |= {"inputmode": "decimal", "autocomplete": "off", "class": "form-control num"}

    def clean(self, value: Any) -> float | None:
        """Return the number, or None where nothing was written."""
        text = super().clean(value)
        if not text:
            return None
        try:
            number = parse_number(text, self.up_to) + 0.0  # a minus before 0 says nothing
        except ValueError as error:
            raise ValidationError(str(error), code="number") from error
        low_enough = number <= self.up_to and math.isfinite(number)
        if not low_enough or not (number > self.above or (self.or_equal and number == self.above)):
            raise ValidationError(
                f"{self.label}: {text} cannot be right. Check the number and its unit.", code="out_of_bounds"
            )
        return number


class ClockField(forms.CharField):
    """A time of day on the 24-hour clock; the keypad of a phone has no colon, so it may be left out."""

    def __init__(self, **kwargs: Any) -> None:
        kwargs.setdefault("required", False)
        kwargs.setdefault("max_length", 8)
        super().__init__(**kwargs)
        self.widget.attrs |= {"inputmode": "numeric", "autocomplete": "off", "class": "form-control clock", "size": 5}

    def clean(self, value: Any) -> time | None:
        """Return the time, or None where nothing was written."""
        text = super().clean(value)
        if not text:
            return None
        try:
            return parse_clock(text)
        except ValueError as error:
            raise ValidationError(str(error), code="clock") from error
