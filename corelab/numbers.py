"""Short numbers that people read to each other: S-1001, R-1002, C-1003."""

from __future__ import annotations

from django.db.models import F

from corelab.models import Counter


def next_number(prefix: str) -> int:
    """Return the next number of a series, in the caller's transaction; a rolled back one leaves no gap."""
    Counter.objects.get_or_create(prefix=prefix)
    Counter.objects.filter(pk=prefix).update(value=F("value") + 1)
    return Counter.objects.values_list("value", flat=True).get(pk=prefix)
