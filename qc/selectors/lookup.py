"""One row out of those a person may see. Absent and forbidden are the same answer."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet

from corelab.errors import NotFound


def by_number(queryset: QuerySet[Any], number: int | str, prefix: str) -> Any:
    """Return the row of a number as people write it, ``1001`` or ``S-1001``, or raise NotFound."""
    digits = str(number).upper().removeprefix(prefix)
    return only(queryset.filter(number=int(digits)) if digits.isdecimal() and len(digits) < 19 else queryset.none())


def only(queryset: QuerySet[Any]) -> Any:
    """Return the one row there is, or raise NotFound."""
    row = queryset.first()
    if row is None:
        raise NotFound("There is nothing here, or it is not yours to see.")
    return row
