"""How much memory a call takes, for the tests that bound it."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from typing import Any


def peak_bytes(call: Callable[[], Any]) -> int:
    """Return the most that Python held at once above the start of a call, bytes.

    The call is made once before it is measured: what the first call of a process imports and compiles is no cost of
    the input, and would count or not by the order of the tests.
    """
    call()
    tracemalloc.start()
    try:
        call()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
