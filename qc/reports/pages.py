"""The pages after the first, in order, as sections of blocks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from phantoms.results import Outcome
from qc import wording
from qc.reports.activity import suv_blocks
from qc.reports.blocks import cell, column, figure_rows, figures_block, table_block, text_block, verdict_cell
from qc.reports.meta import ReportMeta
from qc.reports.numbers import (
    ORDER,
    editions_of,
    is_limited,
    numbers_table,
    other_spheres,
    preferred,
    sphere_judged,
    sphere_plain,
    urgency,
)
from qc.reports.proof import proof_blocks
from qc.reports.scan_day import rule_title
from qc.wording import NO_CRC_LIMITS


def sections(
    run: Mapping[str, Any], meta: ReportMeta, deciding: tuple[str, ...], pictures: Mapping[str, dict[str, Any]]
) -> list[dict[str, Any]]:
    """Return the pages after the first; a section without blocks says nothing and is dropped by the caller."""
    findings = _finding_blocks(run, meta)
    after = [
        _section("suv", "SUV and activity", suv_blocks(run, meta)),
        _section("proof", "Proof", proof_blocks(run, meta, deciding)),
    ]
    if run["method"] not in {"nema_iq", "cylinder", "acr"}:
        rows = [one for one in run["measurements"] if one["standard"] is None]
        rules = _section("findings", "Findings", findings, new_page=bool(run.get("conformance")))
        return [rules, _section("numbers", "Numbers", [numbers_table(rows, "Image values")]), *after]
    found = []
    if run["method"] == "nema_iq":
        found.append(_section("recovery", "Recovery", _recovery_blocks(run, deciding, pictures), new_page=True))
        found.append(_section("post-filter", "Post-filter", _post_filter_blocks(run, pictures)))
        blocks = _nema_blocks(run, deciding, pictures)
        found.append(_section("background", "Contrast, background and position", blocks, new_page=True))
    elif run["method"] == "acr":
        found.append(_section("slices", "Slices of 1 cm", _acr_slices(pictures), new_page=True))
        found.append(_section("suv_numbers", "SUV and uniformity", _acr_blocks(run, deciding, pictures)))
    else:
        blocks = _cylinder_blocks(run, deciding, pictures)
        found.append(_section("uniformity", "Calibration and uniformity", blocks, new_page=True))
    return [*found, _section("findings", "Findings", findings), *after]


def _section(key: str, title: str, blocks: list[dict[str, Any]], *, new_page: bool = False) -> dict[str, Any]:
    return {"key": key, "title": title, "new_page": new_page, "blocks": [block for block in blocks if block]}


def _order(one: Mapping[str, Any]) -> tuple[int, float, bool]:
    """Sort by urgency; what is read off the whole volume comes last."""
    return (*urgency(one), one["name"].startswith(("image_", "suvbw_")))


def _recovery_blocks(
    run: Mapping[str, Any], deciding: tuple[str, ...], pictures: Mapping[str, dict[str, Any]]
) -> list[dict[str, Any]]:
    shown = editions_of(run, deciding)
    return [
        *figure_rows(pictures, "recovery_a50", "recovery_max"),
        sphere_judged(run, "rc_a50", "Recovery A50: mean inside the half-maximum contour", shown),
        sphere_judged(run, "rc_max", "Recovery max: hottest voxel", shown),
        figures_block(pictures, "contrast_recovery"),
        *_contrast_recovery(run, deciding),
        sphere_plain(
            run,
            "Peak and relative recovery, report only",
            ("rc_peak", "relative_rc_a50", "relative_rc_max", "relative_rc_peak", "fwhm_mm"),
            ("Peak", "Relative A50", "Relative max", "Relative peak", "Blur, mm"),
        ),
        text_block(
            [
                "Contrast recovery (CRC) is (sphere / background − 1) over the same by the activity sheet. Relative "
                "recovery takes the measured background for the calibration, so that a calibration error drops out of "
                "it. Neither hangs on a clock."
            ]
        ),
    ]


def _contrast_recovery(run: Mapping[str, Any], deciding: tuple[str, ...]) -> list[dict[str, Any]]:
    """Return the contrast recoveries: against their limits where an edition has some, else as report only."""
    kinds = {"crc_a50": "CRC A50", "crc_max": "CRC max", "crc_peak": "CRC peak"}
    limited = {
        what
        for what in kinds
        for one in run["measurements"]
        if one["standard"] is not None and one["name"].endswith(f"mm_{what}") and is_limited(one)
    }
    shown = editions_of(run, deciding)
    judged = [
        sphere_judged(run, what, f"{title}: contrast recovery", shown)
        for what, title in kinds.items()
        if what in limited
    ]
    plain = {what: title for what, title in kinds.items() if what not in limited}
    table = sphere_plain(run, f"Contrast recovery. {NO_CRC_LIMITS}", tuple(plain), tuple(plain.values()))
    return [*judged, table] if plain else judged


def _post_filter_blocks(run: Mapping[str, Any], pictures: Mapping[str, dict[str, Any]]) -> list[dict[str, Any]]:
    """Return what a post-filter would do, as picture, words and numbers."""
    rows = [one for one in run["measurements"] if one["name"].startswith("harmonisation_filter_")]
    said = [one["message"] for one in run["findings"] if one["id"] == "PHA-HARMONISE"]
    return [
        figures_block(pictures, "post_filter"),
        text_block(list(dict.fromkeys(said))) if said else {},
        numbers_table(rows, "Post-filter for each edition: advice, nothing of it decides"),
    ]


def _nema_blocks(
    run: Mapping[str, Any], deciding: tuple[str, ...], pictures: Mapping[str, dict[str, Any]]
) -> list[dict[str, Any]]:
    own = ("sphere_", "harmonisation_filter_")  # they have tables of their own
    rest = [one for one in preferred(run, deciding) if not one["name"].startswith(own)]
    return [
        figures_block(pictures, "odd_sphere"),
        figures_block(pictures, "contrast", "lung_profile"),
        figures_block(pictures, "background_profile"),
        numbers_table(sorted(rest, key=_order), "Background, lung insert and image"),
        sphere_plain(
            run,
            "Hot contrast and background variability, %; measured values",
            ("qh_pct", "n_pct", "a50", "max", "peak"),
            ("Hot contrast, %", "Variability, %", "A50", "Max", "Peak"),
        ),
        sphere_plain(
            run,
            "Sphere centres, mm",
            ("center_x_mm", "center_y_mm", "center_z_mm"),
            ("x, to the left", "y, to the back", "z, to the head"),
        ),
        *_ct_blocks(run, deciding, pictures),
        *other_spheres(run),
    ]


def _ct_blocks(
    run: Mapping[str, Any], deciding: tuple[str, ...], pictures: Mapping[str, dict[str, Any]]
) -> list[dict[str, Any]]:
    """Return the spheres on the CT, where one was measured."""
    shown = editions_of(run, deciding)
    return [
        figures_block(pictures, "ct_spheres", "ct_fill"),
        sphere_judged(run, "ct_min_hu", "Air in the spheres: the lowest value of each on the CT, HU", shown),
        sphere_judged(run, "ct_hu", "Fill of each sphere on the CT, HU", shown),
        sphere_plain(run, "Part of each sphere that is air on the CT", ("ct_air_pct",), ("Air, %",)),
    ]


def _cylinder_blocks(
    run: Mapping[str, Any], deciding: tuple[str, ...], pictures: Mapping[str, dict[str, Any]]
) -> list[dict[str, Any]]:
    return [
        figures_block(pictures, "bias"),
        figures_block(pictures, "slice_profile"),
        figures_block(pictures, "uniformity_map", "radial_profile"),
        figures_block(pictures, "edge_profile"),
        numbers_table(sorted(preferred(run, deciding), key=_order), "All numbers"),
    ]


def _acr_slices(pictures: Mapping[str, dict[str, Any]]) -> list[dict[str, Any]]:
    """Return what is for the eye: no code judges rods or the look of the uniform section."""
    return [figures_block(pictures, "rods"), figures_block(pictures, "uniform_slices")]


def _acr_blocks(
    run: Mapping[str, Any], deciding: tuple[str, ...], pictures: Mapping[str, dict[str, Any]]
) -> list[dict[str, Any]]:
    return [
        figures_block(pictures, "slice_profile"),
        numbers_table(sorted(preferred(run, deciding), key=_order), "All numbers"),
        text_block(
            [
                "Background, maxima and minima are read in slices of 1 cm square to the phantom’s own axis. PET does "
                "not show which cold cylinder holds water, air or bone: they are named by their usual order round the "
                "faceplate."
            ]
        ),
    ]


def _finding_blocks(run: Mapping[str, Any], meta: ReportMeta) -> list[dict[str, Any]]:
    raised = [one for one in run["findings"] if one["outcome"] not in {Outcome.PASS, Outcome.REPORT_ONLY}]
    passed = [_passed_words(one["id"]) for one in run["findings"] if one["outcome"] == Outcome.PASS]
    blocks: list[dict[str, Any]] = []
    if raised:
        raised.sort(key=lambda one: ORDER[Outcome(one["outcome"])])
        columns = [
            column("Verdict", 0),
            column("Finding", 4.4),
            column("Seen", 2.2),
            column("Expected", 2.6),
            column("Who acts", 1.7),
        ]
        if meta.queries:
            columns.append(column("Query", 0))
        rows = [_finding_row(one, meta) for one in raised]
        blocks.append(table_block("Worst first", columns, rows))
    elif run["findings"]:
        blocks.append(text_block(["No rule raised anything beyond the numbers."]))
    else:
        blocks.append(text_block(["No rule was run on this scan."]))
    if passed:
        blocks.append(text_block([f"{len(passed)} passed: {'; '.join(passed)}."]))
    return blocks


def _passed_words(rule_id: str) -> str:
    """Return what a passed finding is about, with its code; the code alone where only its failing has words."""
    words = rule_title(rule_id) or (wording.subject_of(rule_id) if rule_id.startswith("PHA-") else "")
    return f"{words} ({rule_id})" if words else rule_id


def _finding_row(one: Mapping[str, Any], meta: ReportMeta) -> list[dict[str, Any]]:
    said = " ".join(words for words in (one["message"], one.get("next_step", "")) if words)
    title = rule_title(one["id"])
    row = [
        verdict_cell(one["outcome"]),
        cell(title, sub=said, code=one["id"], is_strong=True)
        if title
        else cell(one["message"], sub=one.get("next_step", ""), code=one["id"]),
        cell(one["observed"] or "–"),
        cell(one["expected"] or "–", sub=one.get("source", "")),
        cell(
            wording.OWNER_WORDS.get(one.get("owner", ""), "Site"),
            sub=wording.SEVERITY_WORDS.get(one["severity"], one["severity"]),
        ),
    ]
    return [*row, cell(meta.queries.get(one["id"], "–"))] if meta.queries else row
