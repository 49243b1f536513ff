"""A run's object turned into the rows of a page; the words and numbers themselves come from `qc.wording`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from django.utils.safestring import SafeString, mark_safe

from phantoms import standards
from phantoms.results import Outcome
from qc import wording
from qc.bandplot import band_svg

#: What stands open in the table; passes and report-only numbers are folded below it.
OPEN_OUTCOMES = (Outcome.ERROR, Outcome.FAIL, Outcome.NOT_EVALUABLE, Outcome.WARN)
#: The address of the table of numbers that no standard judges.
PLAIN = "plain"
#: The address of the contrast recoveries, which stand beside the recoveries whether or not an edition limits them.
CRC = "crc"
OWNERS = (("site", "Site"), ("core_lab", "Core lab"))
#: The pictures that stand beside the verdict, by method; the rest follow below.
FIRST_PICTURES: Mapping[str, tuple[str, ...]] = {
    "cylinder": ("central_slice", "coronal", "slice_profile", "uniformity_map", "radial_profile", "edge_profile"),
    "nema_iq": (
        "central_slice",
        "coronal",
        "odd_sphere",
        "ct_spheres",
        "ct_fill",
        "background_profile",
        "recovery_a50",
        "recovery_max",
        "contrast_recovery",
    ),
    "acr": ("faceplate", "coronal", "rods", "uniform_slices", "slice_profile"),
    "patient": ("mip_coronal", "mip_sagittal"),
}
#: Pictures that are several times as wide as high, and take a whole row.
WIDE_PICTURES = frozenset(
    {"slice_profile", "odd_sphere", "bias", "contrast_recovery", "post_filter", "rods", "uniform_slices"}
)


@dataclass(frozen=True)
class NumberRow:
    """One measurement with its limits, ready to be shown."""

    label: str
    quantity: wording.Quantity
    band: SafeString
    verdict: str
    source: str
    distance: float


@dataclass(frozen=True)
class NumbersTable:
    """The numbers against one standard: what is open by distance from its limit, then what passes; ``note`` on all."""

    key: str
    title: str
    citation: str
    open_rows: Sequence[NumberRow]
    passed_rows: Sequence[NumberRow]
    plain_rows: Sequence[NumberRow]
    note: str = ""


@dataclass(frozen=True)
class Against:
    """One tab: a standard that numbers can be read against."""

    key: str
    title: str
    is_current: bool
    decides: bool


@dataclass(frozen=True)
class OwnedFindings:
    """The findings that wait for one owner."""

    owner: str
    title: str
    findings: Sequence[Mapping[str, Any]]


@dataclass(frozen=True)
class SortedFindings:
    """All findings of a submission, by who acts next."""

    groups: Sequence[OwnedFindings] = field(default_factory=list)
    nobody: Sequence[Mapping[str, Any]] = field(default_factory=list)
    passed: Sequence[Mapping[str, Any]] = field(default_factory=list)


def tabs(result: Mapping[str, Any], deciding: str, chosen: str) -> list[Against]:
    """Return the standards that judged something, the deciding one first, then the plain numbers."""
    judged = {one["standard"] for one in result.get("measurements", []) if one["standard"]}
    keys = sorted(judged, key=lambda key: (key != deciding, key))
    crc = [Against(CRC, "CRC", chosen == CRC, False)] if _contrast_recoveries(result) else []
    current = chosen if chosen in {*keys, PLAIN, *(one.key for one in crc)} else (keys[0] if keys else PLAIN)
    found = [Against(key, wording.standard_name(key), key == current, key == deciding) for key in keys]
    if not result.get("measurements"):
        return found
    return [*found, *crc, Against(PLAIN, "All numbers", current == PLAIN, False)]


def numbers(result: Mapping[str, Any], key: str) -> NumbersTable:
    """Return the table of one tab."""
    if key == PLAIN:
        rows = [_row(one) for one in result.get("measurements", []) if one["standard"] is None]
        return NumbersTable(key, "All numbers", "", [], [], rows)
    if key == CRC:
        found = _contrast_recoveries(result)
        is_limited = any(one["standard"] and "mm_crc_" in one["name"] for one in result["measurements"])
        note = "" if is_limited else f"{wording.NO_CRC_LIMITS}."
        return NumbersTable(key, "CRC", "", [], [], [_row(one) for one in found], note)
    judged = [_row(one) for one in result.get("measurements", []) if one["standard"] == key]
    open_rows = [row for row in judged if row.verdict in OPEN_OUTCOMES]
    open_rows.sort(key=lambda row: (OPEN_OUTCOMES.index(Outcome(row.verdict)), row.distance))
    return NumbersTable(
        key,
        wording.standard_name(key),
        _citation(key),
        open_rows,
        sorted((row for row in judged if row.verdict == Outcome.PASS), key=lambda row: row.distance),
        [row for row in judged if row.verdict == Outcome.REPORT_ONLY],
    )


def _contrast_recoveries(result: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return [one for one in result.get("measurements", []) if one["standard"] is None and "mm_crc_" in one["name"]]


def _row(one: Mapping[str, Any]) -> NumberRow:
    band = band_svg(one["value"], one["uncertainty"], one["limit_low"], one["limit_high"], one["verdict"])
    distance = wording.relative_margin(one)
    return NumberRow(
        label=wording.label(one["name"]),
        quantity=wording.quantity(one),
        band=mark_safe(band),  # noqa: S308 (our own drawing; numbers and fixed words only)
        verdict=one["verdict"],
        source=one.get("source", ""),
        distance=float("inf") if distance is None else distance,
    )


def _citation(key: str) -> str:
    if key not in standards.available():
        return ""
    standard = standards.load(key)
    return f"{standard.title}. {standard.edition}. {standard.citation}"


def sort_findings(of_run: Iterable[Mapping[str, Any]], of_arrival: Iterable[Mapping[str, Any]] = ()) -> SortedFindings:
    """Sort findings by who acts next, the worst first; what passed is folded away.

    What a rule says in the run is the last word on what the arrival said.
    """
    of_run = list(of_run)
    said = {one["id"] for one in of_run if one["outcome"] in OPEN_OUTCOMES}
    before = [one for one in of_arrival if one["id"] not in said]
    unique = {(one["id"], one["message"]): one for one in (*before, *of_run)}
    rest = [one for one in unique.values() if one["outcome"] not in {Outcome.PASS, Outcome.REPORT_ONLY}]
    rest.sort(key=lambda one: _rank(one["outcome"]))
    groups = [
        OwnedFindings(owner, title, mine)
        for owner, title in OWNERS
        if (mine := [one for one in rest if one.get("owner") == owner])
    ]
    owned = {owner for owner, _ in OWNERS}
    nobody = [one for one in rest if one.get("owner") not in owned]
    passed = [one for one in unique.values() if one["outcome"] in {Outcome.PASS, Outcome.REPORT_ONLY}]
    return SortedFindings(groups, nobody, passed)


def worst_first(findings: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Return findings with the gravest outcome first, else in their order."""
    return sorted(findings, key=lambda one: _rank(one["outcome"]))


def _rank(outcome: str) -> int:
    return OPEN_OUTCOMES.index(Outcome(outcome)) if outcome in OPEN_OUTCOMES else len(OPEN_OUTCOMES)


def steps_for_site(findings: Iterable[Mapping[str, Any]]) -> list[str]:
    """Return what the site should do, each step once, the gravest first."""
    mine = [one for one in findings if one.get("owner") == "site" and one["outcome"] in OPEN_OUTCOMES]
    mine.sort(key=lambda one: _rank(one["outcome"]))
    return list(dict.fromkeys(one["next_step"] for one in mine if one.get("next_step")))


def split_pictures(figures: Sequence[Any], method: str) -> tuple[list[Any], list[Any]]:
    """Return the pictures that stand first, in their order, and the others."""
    wanted = FIRST_PICTURES.get(method, ())
    for figure in figures:
        figure.is_wide = figure.name in WIDE_PICTURES
    by_name = {figure.name: figure for figure in figures}
    first = [by_name[name] for name in wanted if name in by_name]
    return first, [figure for figure in figures if figure.name not in wanted]
