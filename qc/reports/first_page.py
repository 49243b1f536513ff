"""The first page: who, what, when; the verdict; what to do next; pictures; the numbers that decided; signatures."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from phantoms.results import Outcome
from qc import wording
from qc.reports.activity import suv_facts
from qc.reports.blocks import date_words, day_words, method_name, moment_words, signature_entry
from qc.reports.meta import ReportMeta
from qc.reports.numbers import edition_name, is_limited, numbers_table, urgency
from qc.reports.scan_day import protocol_words, scan_day

NOTICE = "For trial quality control, not for diagnosis"
DECISIVE_NUMBERS = 8


def document(run: Mapping[str, Any], meta: ReportMeta, deciding: tuple[str, ...]) -> dict[str, Any]:
    """Return title, header and footer: what stands on every page."""
    signed = max((one.signed_at for one in meta.signatures), default=None)
    state = f"Signed {day_words(signed, meta.time_zone)}" if signed else "Proposed, not signed"
    digest = (run["input_digest"] or "").removeprefix("sha256:")
    footer = [
        f"run {meta.run_number}",
        method_name(run),
        f"input sha256 {digest[:16] or 'none'}",
        *(edition_name(one) for one in deciding),
    ]
    replaced = ""
    if meta.superseded_by:
        on = f" on {date_words(meta.superseded_on)}" if meta.superseded_on else ""
        replaced = f"Replaced by {meta.superseded_by}{on}"
    return {
        "title": f"{meta.kind_label}: quality control report",
        "file_title": f"{meta.submission_number} {meta.kind_label}, quality control report",
        "lab_name": meta.lab_name,
        "header": [meta.lab_name, "QC report", meta.submission_number, meta.site_name, meta.scanner_label],
        "state": state,
        "is_signed": signed is not None,
        "is_dry_run": meta.is_dry_run,
        "dry_run_words": "Unofficial dry run: not counted, not signed, deleted after 30 days"
        if meta.is_dry_run
        else "",
        "replaced": replaced,
        "footer": " · ".join(footer),
        "notice": NOTICE,
        "made_at": meta.made_at.isoformat(),
    }


def result(
    run: Mapping[str, Any], meta: ReportMeta, deciding: tuple[str, ...], pictures: Mapping[str, dict[str, Any]]
) -> dict[str, Any]:
    """Return the first page."""
    is_patient = run["method"] in {"patient", "suv"}
    wanted = ("mip_coronal", "mip_sagittal") if is_patient else ("central_slice", "faceplate", "coronal")
    return {
        "facts": _facts(run, meta, deciding),
        "verdict": _verdict_bar(run, meta, deciding),
        "steps": _steps(run, meta),
        "comment": meta.review.comment if meta.review else "",
        "figures": [pictures[key] for key in wanted if key in pictures],
        "beside": _beside(run) if is_patient else [],
        "numbers": None if is_patient else _decisive(run, deciding),
        "signatures": [signature_entry(one) for one in meta.signatures],
    }


def _facts(run: Mapping[str, Any], meta: ReportMeta, deciding: tuple[str, ...]) -> list[list[str]]:
    scanned = moment_words(meta.scanned_at, meta.time_zone) if meta.scanned_at else "not known"
    return [
        ["Site", meta.site_name],
        ["Submission", meta.submission_number],
        ["Scanner", meta.scanner_label],
        ["Run", f"{meta.run_number}, {method_name(run)}"],
        ["Reconstruction", meta.reconstruction or "not stated"],
        ["Received", moment_words(meta.received_at, meta.time_zone)],
        ["Scanned", scanned],
        *(
            [["Trial", meta.trial_code], ["Subject, visit", _joined(meta.subject_code, meta.visit)]]
            if meta.trial_code
            else []
        ),
        *_decided(meta),
        _judged_by(run, deciding),
    ]


def _decided(meta: ReportMeta) -> list[list[str]]:
    """Say on the first page that a person decided how the SUV is worked out; the sentences stand with the SUV."""
    names = dict.fromkeys(one.signature.name for one in meta.choices)
    return [["SUV", f"by a decision that {', '.join(names)} signed; see SUV and activity"]] if names else []


def _joined(*parts: str) -> str:
    return ", ".join(part for part in parts if part) or "not stated"


def _judged_by(run: Mapping[str, Any], deciding: tuple[str, ...]) -> list[str]:
    if run["method"] == "patient" and run.get("conformance"):
        return ["Protocol", protocol_words(run)]
    return ["Judged by", ", ".join(edition_name(one) for one in deciding) or "no standard"]


def _beside(run: Mapping[str, Any]) -> list[dict[str, str]]:
    """Return what stands beside a patient's pictures: the scan day where rules judged it, else the SUV."""
    plain = [{"name": name, "value": value, "note": "", "css": "", "word": ""} for name, value in suv_facts(run)]
    judged = scan_day(run)
    # The SUV has a page of its own; beside the scan day its maximum is enough.
    highest = [one for one in plain if one["name"] == wording.label("suvbw_max")]
    return [*judged, *highest] if judged else plain


def _verdict_bar(run: Mapping[str, Any], meta: ReportMeta, deciding: tuple[str, ...]) -> dict[str, Any]:
    """Return the verdict that stands: the physicist's where there is one, else the proposed one."""
    proposed = wording.verdict_of(run)
    shown, reason, second = proposed, wording.reason(run, deciding), "Proposed by software. Not signed."
    if meta.is_dry_run:
        second = "Unofficial dry run: what the software would propose."
    if meta.review is not None:
        shown, second = meta.review.verdict, "The physicist agrees with the proposed verdict."
        if shown != proposed:
            # the software's sentence belongs to its proposal; the person's own words explain the person's verdict
            reason, second = meta.review.reason, f"Proposed by software: {wording.headline(run, deciding)}"
        if not meta.signatures:
            second = f"Not signed. {second}"
    word = wording.VERDICT_WORDS[shown] if shown else "Measured"
    return {
        "verdict": shown or "",
        "word": word,
        "css": wording.VERDICT_CLASSES[shown or Outcome.REPORT_ONLY],
        "reason": reason,
        "headline": f"{word} – {reason}" if reason else word,
        "second": second,
        "is_proposed": not meta.signatures,
    }


def _steps(run: Mapping[str, Any], meta: ReportMeta) -> list[dict[str, Any]]:
    """Return what to do next, by who can do it; each step once."""
    steps: dict[str, dict[str, str]] = {"site": {}, "core_lab": {}}
    refusals = [one for one in (run["refused"], run["suv"]["refused"]) if one]
    known = {one["id"] for one in run["findings"]}
    for finding in run["findings"]:
        if finding["outcome"] in {Outcome.PASS, Outcome.REPORT_ONLY} or not finding.get("next_step"):
            continue
        owner = finding.get("owner", "site")
        if owner in steps:
            steps[owner].setdefault(finding["next_step"], finding["id"])
    for refused in refusals:
        if refused["next_step"] and refused["code"] not in known:
            steps["site"].setdefault(refused["next_step"], refused["code"])
    if not meta.signatures and not meta.is_dry_run:
        steps["core_lab"].setdefault(f"Review run {meta.run_number} and sign.", "")
    return [
        {"owner": wording.OWNER_WORDS[owner], "todo": [{"text": text, "rule": rule} for text, rule in found.items()]}
        for owner, found in steps.items()
        if found
    ]


def _decisive(run: Mapping[str, Any], deciding: tuple[str, ...]) -> dict[str, Any]:
    """Return the few numbers that made the verdict, the nearest to a limit first; plain ones fill what is left."""
    limited = [one for one in run["measurements"] if one["standard"] in deciding and is_limited(one)]
    judged = [one for one in limited if one["verdict"] != Outcome.REPORT_ONLY]
    rows = sorted(judged, key=urgency)[:DECISIVE_NUMBERS]
    names = {one["name"] for one in judged}
    spare = [one for one in run["measurements"] if one["standard"] is None and one["name"] not in names]
    wanted = [one for one in spare if one["name"] in _FIRST_PAGE.get(run["method"] or "", ())]
    rows += wanted[: DECISIVE_NUMBERS - len(rows)]
    table = numbers_table(rows, "Decisive numbers")
    others = sorted(judged, key=urgency)[DECISIVE_NUMBERS:]
    if others:
        count = "1 more number is" if len(others) == 1 else f"{len(others)} more numbers are"
        result = "; all pass" if all(one["verdict"] == Outcome.PASS for one in others) else ""
        table["note"] = f"{count} judged on the next pages{result}. {table['note']}".strip()
    return table


_FIRST_PAGE: Mapping[str, tuple[str, ...]] = {
    "cylinder": (
        "cylinder_mean_bqml",
        "cylinder_expected_bqml",
        "cylinder_suv_mean",
        "cylinder_cov_pct",
        "cylinder_edge_fwhm_mm",
        "cylinder_nu_pct",
        "cylinder_cupping_pct",
        "cylinder_axial_slope_pct_per_cm",
        "cylinder_tilt_deg",
    ),
    "acr": (
        "acr_cylinder_16mm_suv_max",
        "acr_cylinder_12mm_suv_max",
        "acr_cylinder_8mm_suv_max",
        "acr_background_bias_pct",
        "acr_slice_deviation_max_pct",
        "acr_nu_pct",
        "acr_activity_ratio",
    ),
    "nema_iq": ("background_mean", "background_cov_pct", "lung_residual_pct", "activity_ratio"),
}
