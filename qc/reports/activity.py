"""SUV and activity: the factor with its trace, the times considered, the sheet with its decay and uncertainty."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from phantoms.errors import AnalysisRefused
from phantoms.results import Outcome
from phantoms.sheet import DecayStep, Sheet
from qc import wording
from qc.reports.blocks import (
    cell,
    clock_words,
    column,
    date_words,
    kilo_bqml,
    mega_bq,
    moment_words,
    naive,
    note_block,
    table_block,
)
from qc.reports.meta import ReportMeta, SignedChoice
from qc.suv_trace import OF_A_PATIENT, PHANTOMS, may_be_shown, scientific
from qc.wording import quantity


def suv_blocks(run: Mapping[str, Any], meta: ReportMeta) -> list[dict[str, Any]]:
    """Return the SUV with every step that led to it, then the sheet; a refusal stands in its place."""
    suv = run["suv"]
    blocks: list[dict[str, Any]] = []
    if suv["refused"]:
        refused = suv["refused"]
        where = (
            f" {refused['attribute']}" if refused["attribute"] and refused["attribute"] not in refused["detail"] else ""
        )
        blocks.append(
            note_block(Outcome.NOT_EVALUABLE, f"{refused['detail']}{where}", refused["next_step"], refused["code"])
        )
    blocks += [_choice_block(one) for one in meta.choices]
    facts = suv_facts(run)
    if facts:
        blocks.append({"kind": "facts", "facts": facts})
    silent = OF_A_PATIENT if run["method"] in PHANTOMS else frozenset()
    blocks += [
        note_block(Outcome.WARN, one["detail"], one.get("next_step", ""), one["code"])
        for one in suv["warnings"]
        if one["code"] not in silent
    ]
    blocks += [_trace_table(suv), _candidate_table(suv), *_sheet_blocks(meta, suv)]
    return blocks


def _choice_block(one: SignedChoice) -> dict[str, Any]:
    """Return a signed decision: the sentences, the reason, who signed and when, over which digest."""
    signed = one.signature
    facts = [
        ["Decided by signature", signed.meaning],
        ["Reason", one.reason],
        ["Signed by", f"{signed.name}, {signed.role}, {moment_words(signed.signed_at, signed.time_zone)}"],
        ["Meaning", "Override"],
        ["Digest", signed.digest],
    ]
    return {"kind": "facts", "facts": facts, "is_wide": True}


def suv_facts(run: Mapping[str, Any]) -> list[list[str]]:
    """Return what the SUV was worked out from, in a few lines."""
    suv = run["suv"]
    facts = []
    if suv["factor_g_per_bq"] is not None:
        facts.append(["SUV factor", wording.with_unit(scientific(suv["factor_g_per_bq"]), "g/Bq")])
    elif suv.get("factors_by_slice"):
        factors = suv["factors_by_slice"]
        ends = f"{scientific(min(factors))} to {scientific(max(factors))}"
        facts.append(["SUV factor, by slice", wording.with_unit(ends, "g/Bq")])
    elif suv["refused"]:
        facts.append(["SUV", "not worked out"])
    times = [naive(suv[key]) for key in ("administration_time", "reference_time")]
    for words, moment in zip(("Injected", "Decay reference"), times, strict=True):
        if moment is not None:
            facts.append([words, f"{date_words(moment.date())} {moment:%H:%M:%S}"])
    if times[0] is not None and times[1] is not None:
        minutes = (times[1] - times[0]).total_seconds() / 60
        facts.append(["Injection to reference", wording.with_unit(f"{wording.number(minutes, 0)}", "min")])
    if suv["decayed_activity_bq"] is not None:
        decayed = wording.with_unit(wording.number(suv["decayed_activity_bq"] / 1e6, 2), "MBq")
        facts.append(["Activity at the reference", decayed])
    names = {one["name"]: one for one in run["measurements"] if one["standard"] is None}
    measured = [name for name in ("suvbw_max", "image_max") if name in names and names[name]["value"] is not None]
    return facts + [[wording.label(name), quantity(names[name]).text] for name in measured]


def _trace_table(suv: Mapping[str, Any]) -> dict[str, Any]:
    rows = [
        [cell(one["attribute"], kind="code"), cell(str(one["value"]), kind="code"), cell(one["use"])]
        for one in suv["trace"]
        if may_be_shown(one["attribute"])
    ]
    if not rows:
        return {}
    return table_block("SUV, step by step", [column("Attribute", 0), column("Value", 2), column("Use", 4)], rows)


def _candidate_table(suv: Mapping[str, Any]) -> dict[str, Any]:
    used = next((naive(one["time"]) for one in suv["candidates"] if one.get("used")), None)
    rows = []
    for one in suv["candidates"]:
        moment = naive(one["time"])
        apart = (moment - used).total_seconds() if moment and used else None
        state = "used" if one.get("used") else ("agrees or not needed" if one.get("eligible", True) else "not eligible")
        rows.append(
            [
                cell(one["id"], kind="code"),
                cell(f"{moment:%H:%M:%S}" if moment else "–", is_strong=bool(one.get("used"))),
                cell(
                    wording.with_unit(wording.signed(round(apart), 0), "s") if apart is not None else "–", kind="number"
                ),
                cell(state, is_strong=bool(one.get("used"))),
                cell(one.get("reason", "")),
            ]
        )
    if not rows:
        return {}
    columns = [
        column("Candidate", 0),
        column("Time", 0),
        column("From the used one", 0, "end"),
        column("State", 1.6),
        column("Why", 4),
    ]
    return table_block("Reference times that were considered, scanner clock", columns, rows)


def _sheet_blocks(meta: ReportMeta, suv: Mapping[str, Any]) -> list[dict[str, Any]]:
    if not meta.sheet:
        return []
    facts = [
        [words, str(meta.sheet[key])]
        for key, words in (
            ("nuclide", "Nuclide"),
            ("time_zone", "Time zone"),
            ("calibrator", "Calibrator"),
            ("phantom_serial", "Phantom"),
            ("clock_offset_s", "Clock offset, s"),
            ("volume_uncertainty_ml", "Volume uncertainty, mL"),
        )
        if meta.sheet.get(key) not in {None, ""}
    ]
    fills = [_fill_row(fill) for fill in meta.sheet.get("fills", [])]
    columns = [
        column("Fill", 1.2),
        column("Activity", 1.4, "end"),
        column("Assayed", 1.8),
        column("Residual", 1.4, "end"),
        column("Measured", 1.8),
        column("Volume", 1.4, "end"),
        column("Concentration", 2, "end"),
    ]
    blocks = [table_block("Activity sheet, as the site wrote it", columns, fills)] if fills else []
    blocks.append({"kind": "facts", "facts": facts} if facts else {})
    return blocks + _decay_blocks(meta.sheet, suv)


def _decay_blocks(written: Mapping[str, Any], suv: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return each fill's decay to the scan and what its true concentration may be off by."""
    try:
        sheet = Sheet.parse(written, header_nuclide=suv.get("nuclide"))
    except AnalysisRefused as refused:
        return [note_block(Outcome.NOT_EVALUABLE, refused.detail, refused.next_step, refused.code)]
    at = naive(suv["reference_time"])
    steps, contributions = [], []
    for fill in sheet.fills:
        name = fill.what.capitalize()
        decayed = sheet.decay_steps(fill.what, at)
        steps += [[cell(name), cell(step.label, sub=wording.decay_words(step)), *_amounts(step)] for step in decayed]
        budget = sheet.uncertainty_budget(fill.what)
        contributions += [
            [cell(name), cell(row.what), cell(_percent(row.pct), kind="number"), cell(row.source)]
            for row in budget.rows
        ]
        total = cell(_percent(budget.total_pct), kind="number", is_strong=True)
        contributions.append([cell(name), cell("Together", is_strong=True), total, cell("root of the sum of squares")])
    decay = [column("Fill", 1.2), column("Step", 3), column("Clock", 0.8, "end")]
    decay += [column("Activity", 1.4, "end"), column("Concentration", 1.6, "end")]
    shares = [column("Fill", 1.2), column("Contribution", 1.8), column("1 SD", 0.8, "end"), column("Where from", 4)]
    return [
        table_block("Decay to the scan", decay, steps),
        table_block("How far the true concentration may be off", shares, contributions),
    ]


def _amounts(step: DecayStep) -> list[dict[str, Any]]:
    clock = f"{step.at:%H:%M}" if step.at is not None else "–"
    shown = (clock, mega_bq(step.activity_mbq), kilo_bqml(step.concentration_bqml))
    return [cell(text, kind="number") for text in shown]


def _seconds(apart: float) -> str:
    return wording.with_unit(wording.signed(round(apart), 0), "s")


def _millilitres(volume: float) -> str:
    return wording.with_unit(wording.plain(round(float(volume), 1)), "mL")


def _percent(value: float) -> str:
    return wording.with_unit(wording.number(value, 1), "%")


def _fill_row(fill: Mapping[str, Any]) -> list[dict[str, Any]]:
    volume = fill.get("volume_ml")
    assayed, residual_at = naive(fill.get("assayed_at")), naive(fill.get("residual_at"))
    concentration = kilo_bqml(fill.get("concentration_bqml"))
    if fill.get("concentration_bqml") is not None:
        at = naive(fill.get("at"))
        concentration += f" at {at:%H:%M}" if at else " at the image's own time"
    return [
        cell(str(fill.get("what", "")).capitalize()),
        cell(mega_bq(fill.get("activity_mbq")), kind="number"),
        cell(clock_words(assayed)),
        cell(mega_bq(fill.get("residual_mbq")), kind="number"),
        cell(clock_words(residual_at)),
        cell(
            wording.with_unit(wording.plain(round(float(volume), 1)), "mL") if volume is not None else "–",
            kind="number",
        ),
        cell(concentration, kind="number"),
    ]
