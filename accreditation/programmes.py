"""Accreditation programmes as versioned data: what a case needs, for how long each thing holds, and when it is due.

Each file in the folder ``programmes`` beside this module is one version of one programme. Adding a version is adding a
file: nothing here knows a programme by name, and old cases keep theirs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from functools import cache
from pathlib import Path
from typing import Any

import yaml

FOLDER = Path(__file__).with_name("programmes")
PROVENANCE = frozenset({"C", "C2", "D", "MH", "MM", "ML", "house"})
SCOPES = frozenset({"trial", "any"})
CHANGES = frozenset({"new_evidence", "voids"})
KINDS = frozenset({"cylinder", "nema_iq", "transfer"})


class ProgrammeFileError(Exception):
    """A programme's file is absent or says something that is not understood."""


@dataclass(frozen=True, kw_only=True)
class Window:
    """Days in which something is to be sent.

    Attributes
    ----------
    scan_from : date
        The first day whose scan counts: a little before the window opens.
    first, last : date
        The window itself.
    until : date
        ``last`` and the days of grace: after it, what is missing suspends.
    """

    scan_from: date
    first: date
    last: date
    until: date


@dataclass(frozen=True, kw_only=True)
class Windows:
    """The submission windows of a year, as month and day, in order."""

    quarters: tuple[tuple[tuple[int, int], tuple[int, int]], ...]
    early_days: int
    grace_days: int

    def of_year(self, year: int) -> list[Window]:
        """Return the windows that open in a year; one that ends before it opens ends in the next year."""
        return [self._window(year, quarter) for quarter in range(len(self.quarters))]

    def after(self, day: date, *, every: str = "quarter") -> Window:
        """Return the window in which what was scanned on a day is to be scanned again.

        A scan belongs to the last window that was open to scans on its day or before, however late it came. The next
        is the one after that (``every="quarter"``) or the same one a year later (``every="year"``).
        """
        around = [window for year in range(day.year - 1, day.year + 3) for window in self.of_year(year)]
        own = max(index for index, window in enumerate(around) if window.scan_from <= day)
        return around[own + (1 if every == "quarter" else len(self.quarters))]

    def _window(self, year: int, quarter: int) -> Window:
        (month, day), end = self.quarters[quarter]
        first = date(year, month, day)
        last = date(year + (end < (month, day)), *end)
        return Window(
            scan_from=first - timedelta(days=self.early_days),
            first=first,
            last=last,
            until=last + timedelta(days=self.grace_days),
        )


@dataclass(frozen=True, kw_only=True)
class Needed:
    """One requirement of a programme.

    Attributes
    ----------
    kind : str
        ``cylinder`` or ``nema_iq``: a signed run of that phantom; ``transfer``: anything that arrived.
    accepts : frozenset of str
        The physicist's verdicts that meet it.
    every : str
        ``quarter`` or ``year`` where it holds until a window ends; empty otherwise.
    months : int
        How long it holds after its scan; 0 where a window says so, or for ever.
    renews : bool
        The next accreditation needs a newer one than the last.
    source : str
        Where it comes from.
    provenance : str
    """

    id: str
    title: str
    kind: str
    accepts: frozenset[str]
    every: str
    months: int
    renews: bool
    source: str
    provenance: str


@dataclass(frozen=True, kw_only=True)
class Programme:
    """One version of one programme.

    Attributes
    ----------
    scope : str
        ``trial``: a case is for one trial; ``any``: for one trial or general.
    validity_months : int
        How long a certificate lasts.
    counted_from : str
        ``valid_from``, or the id of the requirement from whose acceptance the months are counted.
    until_trial_ends : bool
        The trial's last day ends it earlier.
    change_does : str
        ``voids``: a change of the scanner ends what was certified; ``new_evidence``: it must be shown again within
        ``change_days``.
    """

    id: str
    title: str
    scope: str
    standards: tuple[str, ...]
    validity_months: int
    counted_from: str
    until_trial_ends: bool
    due_soon_days: int
    max_attempts: int
    correction_days: int
    windows: Windows | None
    change_does: str
    change_days: int
    requirements: tuple[Needed, ...]


def available() -> tuple[str, ...]:
    """Return the ids of all shipped programmes, sorted."""
    return tuple(sorted(path.stem for path in FOLDER.glob("*.yaml")))


@cache
def load(programme_id: str) -> Programme:
    """Read one version of one programme.

    Raises
    ------
    ProgrammeFileError
        There is no such file, or it says something that is not understood.
    """
    if programme_id not in available():
        msg = f"no programme {programme_id!r}; there are {', '.join(available())}"
        raise ProgrammeFileError(msg)
    return parse(programme_id, yaml.safe_load((FOLDER / f"{programme_id}.yaml").read_text(encoding="utf-8")))


def parse(programme_id: str, document: Mapping[str, Any]) -> Programme:
    """Build a programme from its file's content, and refuse what is not understood.

    Raises
    ------
    ProgrammeFileError
    """
    try:
        made = _parse(document)
    except (KeyError, TypeError, ValueError) as error:
        msg = f"{programme_id}: {error!r}"
        raise ProgrammeFileError(msg) from error
    for is_wrong, words in (
        (made.id != programme_id, "is named otherwise inside"),
        (made.scope not in SCOPES, f"has the scope {made.scope!r}"),
        (made.change_does not in CHANGES, f"knows no change {made.change_does!r}"),
        (made.counted_from not in {"valid_from", *(one.id for one in made.requirements)}, "counts from nothing known"),
        (len({one.id for one in made.requirements}) < len(made.requirements), "has a requirement twice"),
        (any(one.kind not in KINDS for one in made.requirements), "asks for a kind that nothing is"),
        (
            any(bool(one.accepts) == (one.kind == "transfer") for one in made.requirements),
            "accepts nothing",
        ),
        (any(one.accepts - {"PASS", "WARN"} for one in made.requirements), "accepts what no physicist passed"),
        (any(one.every and made.windows is None for one in made.requirements), "waits for windows and has none"),
    ):
        if is_wrong:
            msg = f"{programme_id} {words}"
            raise ProgrammeFileError(msg)
    return made


def _parse(document: Mapping[str, Any]) -> Programme:
    validity, change, windows = document["validity"], document["change"], document["windows"]
    for sourced in (validity, change, windows, *document["requirements"]):
        _check_source(sourced)
    return Programme(
        id=document["id"],
        title=document["title"],
        scope=document["scope"],
        standards=tuple(document["standards"]),
        validity_months=int(validity["months"]),
        counted_from=validity["counted_from"],
        until_trial_ends=bool(validity.get("until_trial_ends", False)),
        due_soon_days=_number(document["due_soon_days"]),
        max_attempts=_number(document["max_attempts"]),
        correction_days=_number(document["correction_days"]),
        windows=_windows(windows),
        change_does=change["does"],
        change_days=int(change["within_days"]),
        requirements=tuple(_needed(one) for one in document["requirements"]),
    )


def _number(entry: Mapping[str, Any]) -> int:
    _check_source(entry)
    return int(entry["value"])


def _check_source(entry: Mapping[str, Any] | None) -> None:
    if entry is not None and (entry["provenance"] not in PROVENANCE or not entry["source"]):
        msg = f"no source that is understood: {entry['provenance']!r}"
        raise ValueError(msg)


def _windows(entry: Mapping[str, Any] | None) -> Windows | None:
    if entry is None:
        return None
    quarters = tuple((_month_day(first), _month_day(last)) for first, last in entry["quarters"])
    if list(quarters) != sorted(quarters):
        msg = "the windows are not in the order of the year"
        raise ValueError(msg)
    return Windows(quarters=quarters, early_days=int(entry["early_days"]), grace_days=int(entry["grace_days"]))


def _month_day(text: str) -> tuple[int, int]:
    day = date.fromisoformat(f"2001-{text}")  # a common year: no window may begin or end on 29 February
    return day.month, day.day


def _needed(entry: Mapping[str, Any]) -> Needed:
    lasts = entry.get("lasts", {})
    every, months = lasts.get("every", ""), int(lasts.get("months", 0))
    if lasts and (lasts["by"], bool(every), bool(months)) not in {("window", True, False), ("age", False, True)}:
        msg = f"{entry['id']} lasts neither to a window nor for months"
        raise ValueError(msg)
    if every not in {"", "quarter", "year"}:
        msg = f"{entry['id']} is due every {every!r}"
        raise ValueError(msg)
    return Needed(
        id=entry["id"],
        title=entry["title"],
        kind=entry["kind"],
        accepts=frozenset(entry.get("accepts", ())),
        every=every,
        months=months,
        renews=bool(entry.get("renews", False)),
        source=entry["source"],
        provenance=entry["provenance"],
    )
