"""One row out of those a person may see. Absent and forbidden are the same answer."""

from __future__ import annotations

from typing import Any

from django.db.models import Count, QuerySet, Subquery, Value
from django.db.models.functions import Coalesce

from corelab.errors import NotFound


def by_number(queryset: QuerySet[Any], number: int | str, prefix: str) -> Any:
    """Return the row of a number as people write it, ``1001`` or ``S-1001``, or raise NotFound."""
    digits = str(number).upper().removeprefix(prefix)
    return only(queryset.filter(number=int(digits)) if digits.isdecimal() and len(digits) < 19 else queryset.none())


def count_of(queryset: QuerySet[Any]) -> Coalesce:
    """Return how many rows these are, as a column of another query: counted once, not once a row."""
    whole = queryset.order_by().annotate(whole=Value(1)).values("whole")
    return Coalesce(Subquery(whole.annotate(times=Count("pk")).values("times")), 0)


def only(queryset: QuerySet[Any]) -> Any:
    """Return the one row there is, or raise NotFound."""
    row = queryset.first()
    if row is None:
        raise NotFound("There is nothing here, or it is not yours to see.")
    return row
