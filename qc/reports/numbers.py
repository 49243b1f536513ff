"""Tables of measurements: each number with its spread, limits, where they come from, margin and verdict."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from phantoms import standards as editions
from phantoms.results import Outcome
from qc import wording
from qc.reports.blocks import band_cell, cell, column, table_block, verdict_cell
from qc.wording import Quantity, quantity

DIAMETERS_MM = (37, 28, 22, 17, 13, 10)
ORDER = {
    Outcome.ERROR: 0,
    Outcome.FAIL: 1,
    Outcome.NOT_EVALUABLE: 2,
    Outcome.WARN: 3,
    Outcome.PASS: 4,
    Outcome.REPORT_ONLY: 5,
}


class _Footnotes:
    """Notes below a table, each once, with the raised number that stands at its values."""

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}

    def mark(self, notes: Iterable[str]) -> str:
        """Return the marks of some notes, to stand behind a text."""
        numbers = [self._numbers.setdefault(note, len(self._numbers) + 1) for note in notes]
        return "".join(f" {_raised(number)}" for number in numbers)

    def text(self, rows: Iterable[Mapping[str, Any]]) -> str:
        """Return all notes, and whether some of the rows' uncertainties are not stated."""
        notes = [f"{_raised(number)} {note[:1].upper()}{note[1:]}." for note, number in self._numbers.items()]
        if any(one["value"] is not None and one["uncertainty"] is None for one in rows):
            notes.append("Where no ± is printed the uncertainty is not stated.")
        return " ".join(notes)


def _raised(number: int) -> str:
    return str(number).translate(str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹"))


NEAR = wording.FLAG_WORDS["NEAR_LIMIT"]


def _value(shown: Quantity, footnotes: _Footnotes, unit: str) -> dict[str, Any]:
    """Return a value with spread and unit, or a dash; its notes stand below the table."""
    notes = [note for note in shown.notes if note != NEAR] if shown.value else [shown.missing]
    text = wording.with_unit(f"{shown.value} {shown.spread}".rstrip(), unit) if shown.value else "–"
    return cell(text + footnotes.mark(notes), kind="number")


def numbers_table(rows: Sequence[Mapping[str, Any]], title: str) -> dict[str, Any]:
    """Return one row a number: name, value ± 2 SD, band, limits with their edition, margin, verdict."""
    if not rows:
        return {}
    is_judged, footnotes = any(is_limited(one) for one in rows), _Footnotes()
    columns = [column("Measurement", 3.2), column("Value ± 2 SD", 2.8, "end")]
    if is_judged:
        columns += [column("low · band · high", 0), column("Limits", 1.8, "end"), column("Margin", 0.8, "end")]
        columns.append(column("Verdict", 0))
    body = []
    for one in rows:
        shown = quantity(one)
        near = NEAR if NEAR in shown.notes else ""
        line = [cell(wording.label(one["name"]), sub=near), _value(shown, footnotes, shown.unit)]
        if is_judged:
            limits = wording.with_unit(shown.limits, shown.unit) if shown.limits else ""
            line += [band_cell(one), cell(limits, sub=_provenance(one), kind="number")]
            line += [cell(shown.margin, kind="number"), verdict_cell(one["verdict"])]
        body.append(line)
    return {**table_block(title, columns, body), "note": footnotes.text(rows)}


def sphere_judged(run: Mapping[str, Any], what: str, title: str, shown: Sequence[str]) -> dict[str, Any]:
    """Return the six spheres against every edition that limits them, the deciding one first."""
    by_key = {(one["name"], one["standard"]): one for one in run["measurements"]}
    names = {d: f"sphere_{d}mm_{what}" for d in DIAMETERS_MM if (f"sphere_{d}mm_{what}", None) in by_key}
    limited = [s for s in shown if any((n, s) in by_key and is_limited(by_key[n, s]) for n in names.values())]
    columns = [column("Sphere", 0), column("Value ± 2 SD", 1.6, "end")]
    for standard in limited:
        name = wording.standard_name(standard)
        columns += [column(f"{name} limits", 1.2, "end"), column("Margin", 1, "end"), column("Verdict", 0)]
    body, footnotes = [], _Footnotes()
    for diameter, name in names.items():
        value = _closest(by_key, name, limited) or quantity(by_key[name, None])
        line = [cell(wording.with_unit(str(diameter), "mm")), _value(value, footnotes, "")]
        for standard in limited:
            judged = by_key.get((name, standard))
            if judged is None:
                line += [cell("–", kind="number"), cell("–", kind="number"), cell("–")]
                continue
            numbers = quantity(judged)
            line += [cell(numbers.limits or "–", kind="number"), cell(numbers.margin or "–", kind="number")]
            line.append(verdict_cell(judged["verdict"]))
        body.append(line)
    note = footnotes.text(by_key[name, None] for name in names.values())
    return {**table_block(title, columns, body), "note": note} if body else {}


def _closest(
    by_key: Mapping[tuple[str, str | None], Mapping[str, Any]], name: str, limited: Sequence[str]
) -> Quantity | None:
    """Return the value with the decimals that the tightest of its limits asks for."""
    shown = [quantity(by_key[name, standard]) for standard in limited if (name, standard) in by_key]
    return max(shown, key=lambda one: len(one.value), default=None)


def sphere_plain(run: Mapping[str, Any], title: str, whats: Sequence[str], titles: Sequence[str]) -> dict[str, Any]:
    """Return one row a sphere, one column a quantity; columns that no sphere has are left out."""
    by_name = {one["name"]: one for one in run["measurements"] if one["standard"] is None}
    present = [
        (what, words)
        for what, words in zip(whats, titles, strict=True)
        if any(f"sphere_{d}mm_{what}" in by_name for d in DIAMETERS_MM)
    ]
    if not present:
        return {}
    body, footnotes = [], _Footnotes()
    used: list[Mapping[str, Any]] = []
    for diameter in DIAMETERS_MM:
        line = [cell(wording.with_unit(str(diameter), "mm"))]
        for what, _ in present:
            one = by_name.get(f"sphere_{diameter}mm_{what}")
            if one is None:
                line.append(cell("–", kind="number"))
                continue
            used.append(one)
            shown = quantity(one)
            line.append(_value(shown, footnotes, "" if what.endswith(("_pct", "_mm")) else shown.unit))
        body.append(line)
    columns = [column("Sphere", 0), *(column(words, 1, "end") for _, words in present)]
    return {**table_block(title, columns, body), "note": footnotes.text(used)}


_SPHERE_COLUMNS = re.compile(
    r"sphere_\d+mm_((c|relative_)?rc_(a50|max|peak)|fwhm_mm|qh_pct|n_pct|a50|max|peak|center_[xyz]_mm|ct_(min_hu|hu|air_pct))"
)


def other_spheres(run: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the sphere numbers that no table of columns holds, so that no number of a run goes unprinted."""
    rows = [
        one
        for one in run["measurements"]
        if one["standard"] is None and one["name"].startswith("sphere_") and not _SPHERE_COLUMNS.fullmatch(one["name"])
    ]
    return [numbers_table(rows, "Other sphere numbers")] if rows else []


def preferred(run: Mapping[str, Any], deciding: tuple[str, ...]) -> list[Mapping[str, Any]]:
    """Return each number once: its copy under the first deciding standard that limits it, else the plain one."""
    chosen: dict[str, Mapping[str, Any]] = {}
    for one in run["measurements"]:
        if one["standard"] is None:
            chosen.setdefault(one["name"], one)
    for standard in reversed(deciding):
        for one in run["measurements"]:
            if one["standard"] == standard and is_limited(one):
                chosen[one["name"]] = one
    return list(chosen.values())


def editions_of(run: Mapping[str, Any], deciding: tuple[str, ...]) -> list[str]:
    """Return the standards that judged, the deciding ones first."""
    seen = dict.fromkeys(one["standard"] for one in run["measurements"] if one["standard"] is not None)
    return [one for one in deciding if one in seen] + [one for one in seen if one not in deciding]


def is_limited(one: Mapping[str, Any]) -> bool:
    """Say whether an edition limits this copy of a number."""
    return one["limit_low"] is not None or one["limit_high"] is not None


def urgency(one: Mapping[str, Any]) -> tuple[int, float]:
    """Return what numbers are sorted by: fails by distance, could not check, warnings, passes by margin, the rest."""
    margin = wording.relative_margin(one)
    return ORDER[Outcome(one["verdict"])], margin if margin is not None else 0.0


def _provenance(one: Mapping[str, Any]) -> str:
    """Return the edition and the mark of a limit: ``EARL 1, C``."""
    if one["standard"] is None:
        return ""
    known = edition(one["standard"])
    limit = known.limits.get(one["name"]) if known is not None else None
    mark = f", {limit.provenance}" if limit is not None else ""
    return f"{wording.standard_name(one['standard'])}{mark}"


def edition(standard: str) -> editions.Standard | None:
    """Return a standard's data; None for a run whose standard this program no longer ships."""
    try:
        return editions.load(standard)
    except editions.StandardFileError:
        return None


def edition_name(standard: str) -> str:
    """Return a standard's short name with its edition."""
    known = edition(standard)
    return f"{wording.standard_name(standard)} ({known.edition})" if known else wording.standard_name(standard)
