"""Proof: series, digests, versions, the visual check, the standards with their sources, signatures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any

from qc import wording
from qc.reports.blocks import cell, column, method_name, moment_words, signature_entry, table_block, text_block
from qc.reports.meta import ReportMeta
from qc.reports.numbers import edition, editions_of

HOW_TO_READ = (
    "The verdict is proposed by software and becomes valid when a named physicist signs it.",
    "Pass: every number and rule that decides lies within its limits. Warning: it passes, and something needs a look.",
    "Fail: at least one number or rule that decides lies outside. Could not check: something needed is missing.",
    "Report only: no edition with a confirmed source limits this number, so it decides nothing.",
    "± is two standard deviations. Where none is printed the uncertainty is not stated.",
    "Margin is the distance to the nearest limit; a minus sign means outside.",
    "A number is never rounded across its limit: it keeps as many decimals as it takes.",
    "In band plots the accepted band is always the middle third; left of it is low. ● pass, ▲ warning, ■ fail.",
    "All charts keep their axes from report to report, so that two pages can be laid over each other.",
    "Positions are in the scanner's patient coordinates (left, back, head positive), millimetres.",
    "Times in the SUV part are the scanner's own clock; all others name their zone.",
    "The digest in the footer is computed from the image files: the same files give the same digest.",
)


def proof_blocks(run: Mapping[str, Any], meta: ReportMeta, deciding: tuple[str, ...]) -> list[dict[str, Any]]:
    """Return what lets another person repeat and check the run."""
    program = run["program"]
    libraries = ", ".join(f"{name} {version}" for name, version in sorted(program.get("libraries", {}).items()))
    facts = [
        ["Run", f"{meta.run_number}, {method_name(run)}"],
        ["Program", f"version {program['version']}, commit {str(program['commit'])[:12]}"],
        ["Libraries", libraries or "not recorded"],
        ["Input digest", run["input_digest"] or "none: no series was chosen"],
        *_ct_facts(run),
        ["Left out", _left_out([one for one in run["ignored"] if "used_as" not in one])],
    ]
    return [
        {"kind": "facts", "facts": facts, "is_wide": True},
        _series_table(run),
        *_checklist_blocks(meta),
        *_standard_blocks(run, deciding),
        *_signature_blocks(meta),
        {"kind": "list", "title": "How to read this report", "lines": list(HOW_TO_READ)},
    ]


def _series_table(run: Mapping[str, Any]) -> dict[str, Any]:
    rows = [
        [
            cell(" ".join(str(one[key]) for key in ("manufacturer", "model") if one.get(key)) or "–"),
            cell(str(one["slices"]), kind="number"),
            cell(_by_axis(one.get("shape_zyx"), "d"), kind="number"),
            cell(_by_axis(one.get("spacing_zyx_mm"), ".2f"), kind="number"),
            cell(one.get("units") or "none"),
            cell(one["series_instance_uid"], kind="code"),
        ]
        for one in run["series"]
    ]
    columns = [
        column("Scanner", 2.2),
        column("Slices", 0, "end"),
        column("Columns × rows × slices", 0, "end"),
        column("Voxel, mm", 0, "end"),
        column("Units", 0),
        column("Series UID", 3.4),
    ]
    return table_block("Series", columns, rows) if rows else {}


def _checklist_blocks(meta: ReportMeta) -> list[dict[str, Any]]:
    if not meta.checklist:
        return []
    rows = [
        [
            cell(one.question),
            cell(one.answer),
            cell(one.answered_by),
            cell(moment_words(one.answered_at, meta.time_zone)),
        ]
        for one in meta.checklist
    ]
    columns = [column("Looked for", 2.4), column("Answer", 2.4), column("By", 1.6), column("When", 1.8)]
    return [table_block("Visual check", columns, rows)]


def _standard_blocks(run: Mapping[str, Any], deciding: tuple[str, ...]) -> list[dict[str, Any]]:
    """Return each edition that judged with its citation, and where each kind of limit comes from."""
    rows = []
    for standard in editions_of(run, deciding):
        known = edition(standard)
        if known is None:
            continue
        judged = {one["name"] for one in run["measurements"] if one["standard"] == standard}
        groups: dict[tuple[str, str, str, bool], None] = {}
        for name, limit in known.limits.items():
            if name in judged and (limit.low is not None or limit.high is not None):
                groups.setdefault(
                    (limit.what or wording.label(name), limit.source, limit.provenance, limit.decides), None
                )
        role = "decides" if standard in deciding else "beside it, decides nothing"
        rows.append([cell(f"{known.title}, {role}", is_strong=True), cell(known.citation, sub=known.edition), cell("")])
        for what, source, provenance, decides in groups:
            verdict = "" if decides else ", report only"
            rows.append([cell(what[:1].upper() + what[1:]), cell(source), cell(f"{provenance}{verdict}")])
    if not rows:
        return []
    columns = [column("Standard and its limits", 3), column("Source", 4), column("Mark", 0)]
    marks = "; ".join(f"{mark}: {words}" for mark, words in wording.PROVENANCE_WORDS.items() if mark != "none")
    return [{**table_block("Standards", columns, rows), "note": f"Marks: {marks}."}]


def _signature_blocks(meta: ReportMeta) -> list[dict[str, Any]]:
    if not meta.signatures:
        return [text_block(["Signatures: none."])]
    return [{"kind": "signatures", "signatures": [signature_entry(one) for one in meta.signatures]}]


def _ct_facts(run: Mapping[str, Any]) -> list[list[str]]:
    """Name the CT that was measured beside the PET; nothing where none was."""
    ct = run.get("ct")
    if not ct:
        return []
    frame = "the PET's frame of reference" if ct["is_in_frame"] else "another frame of reference than the PET's"
    return [["CT", f"{ct['slices']} slices in {frame}, measured; series {ct['series_instance_uid']}"]]


def _left_out(ignored: Sequence[Mapping[str, Any]]) -> str:
    """Count the files left out by reason, without their names."""
    if not ignored:
        return "nothing"
    counts: dict[str, int] = {}
    for one in ignored:
        reason = str(one["reason"]).rstrip(".")
        for name in (str(one["path"]), PurePosixPath(str(one["path"])).name):
            reason = reason.replace(name, "the file") if name not in {"", "DICOMDIR"} else reason
        counts[reason] = counts.get(reason, 0) + 1
    total = "1 file" if len(ignored) == 1 else f"{len(ignored)} files"
    return f"{total}: " + "; ".join(f"{count} × {reason}" for reason, count in sorted(counts.items()))


def _by_axis(sizes_zyx: Sequence[float] | None, form: str) -> str:
    """Return sizes in the order people say them: columns, rows, slices."""
    return " × ".join(f"{size:{form}}" for size in reversed(sizes_zyx)) if sizes_zyx else "–"
