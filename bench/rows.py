"""One line of the table, and what sections share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

#: How much is done: enough to see that it runs, enough for figures, everything.
MODES = ("smoke", "normal", "full")
#: Reference data beside the checkout, where a developer has it.
SHARED_DATA = Path(__file__).resolve().parents[1].parent / "shared" / "data"
RECON_1 = SHARED_DATA / "nema_iq" / "recon_1"
#: The true filling of that scan is not known; this is what its publishers assume.
RECON_1_SHEET = {
    "nuclide": "F-18",
    "fills": [
        {"what": "spheres", "concentration_bqml": 20000.0, "at": None},
        {"what": "background", "concentration_bqml": 2000.0, "at": None},
    ],
}


@dataclass(frozen=True)
class Row:
    """One measured thing.

    Attributes
    ----------
    name : str
        What was measured.
    figure : str
        What came out, with its unit.
    limit : str
        What it must keep to; empty where it is only shown.
    holds : bool or None
        Whether it does; None without a limit.
    is_timed : bool
        Whether a busy machine alone can break it: then it decides nothing in a smoke run.
    beside : str
        Peers and parts.
    """

    name: str
    figure: str
    limit: str = ""
    holds: bool | None = None
    is_timed: bool = False
    beside: str = ""


def at_most(name: str, value: float, limit: float, unit: str, *, is_timed: bool, beside: str = "") -> Row:
    """Return the row of a figure with an upper limit."""
    return Row(name, f"{value:.3g} {unit}", f"≤ {limit:g} {unit}", value <= limit, is_timed, beside)


def at_least(name: str, value: float, limit: float, unit: str, *, is_timed: bool, beside: str = "") -> Row:
    """Return the row of a figure with a lower limit."""
    return Row(name, f"{value:.3g} {unit}", f"≥ {limit:g} {unit}", value >= limit, is_timed, beside)


def best_s(repeats: int, *functions: Callable[[], Any], clock: Callable[[], float] = perf_counter) -> list[float]:
    """Return the shortest time of each function, seconds; they take turns, so that a busy moment meets all of them."""
    best = [float("inf")] * len(functions)
    for _ in range(repeats):
        for k, function in enumerate(functions):
            started = clock()
            function()
            best[k] = min(best[k], clock() - started)
    return best


def ms(seconds: float) -> str:
    """Write a time in milliseconds."""
    return f"{1000 * seconds:.0f} ms" if seconds >= 0.01 else f"{1000 * seconds:.1f} ms"
