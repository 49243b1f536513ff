"""The report: one context for page and PDF, every number printed, nothing that names a person."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import AnonymousUser
from django.template.loader import render_to_string
from django.test import RequestFactory

from phantoms import cylinder, diagnosis, digital, figures, nema_iq, standards
from phantoms.figure_svg import FigureSvg
from phantoms.results import Finding, Measurement, Outcome, Owner, QualityFlag
from phantoms.sheet import Sheet
from qc import reports, wording
from tests.qc import scenes

SCANNED_AT = datetime(2026, 3, 2, 10, 30)
DIGEST = "sha256:9f3c71aa04be5d20" + "ab" * 24
META = reports.ReportMeta(
    lab_name="PET Core Lab",
    submission_number="S-2481",
    run_number="R-3310",
    site_name="Site North",
    scanner_label="Scanner 1 · 60421",
    reconstruction="PSF+TOF 4i5s 5 mm",
    kind_label="NEMA IQ phantom",
    standards=("earl1_18f",),
    received_at=datetime(2026, 3, 2, 10, 52, tzinfo=UTC),
    scanned_at=datetime(2026, 3, 2, 10, 30, tzinfo=UTC),
    time_zone="Europe/Berlin",
    made_at=datetime(2026, 3, 2, 10, 54, tzinfo=UTC),
)
SIGNATURE = reports.SignatureBlock(
    name="Physicist 1",
    role="physicist",
    meaning="I have reviewed run R-3310 and recommend Pass.",
    signed_at=datetime(2026, 3, 4, 23, 20, tzinfo=UTC),
    time_zone="Europe/Berlin",
    digest="04be9f3c" * 8,
)
SUV = {
    "factor_g_per_bq": 2.42903e-4,
    "body_weight_factors": {"bw": 2.42903e-4},
    "reference_time": "2026-03-02T10:30:00",
    "administration_time": "2026-03-02T09:28:00",
    "decayed_activity_bq": 286.3e6,
    "candidates": [
        {"id": "R2", "time": "2026-03-02T10:30:00", "used": True, "eligible": True, "reason": "start of the series"},
        {"id": "R3", "time": None, "used": False, "eligible": False, "reason": "no such element"},
    ],
    "trace": [
        {"attribute": "(0010,1030)", "value": "75.0", "use": "weight, kg"},
        {"attribute": "(0010,0010)", "value": "PLANTED^NAME", "use": "planted"},
        {"attribute": "Patient ID (0010,0020)", "value": "PLANTED-ID-17", "use": "planted"},
        {"attribute": "(0018,1074)", "value": "370000000", "use": "injected activity, Bq"},
    ],
    "warnings": [{"code": "SUV-MIDNIGHT", "detail": "The scan crosses midnight."}],
    "refused": None,
}
REFUSED = {
    "code": "SUV-NO-WEIGHT",
    "detail": "The weight is missing (0010,1030).",
    "attribute": "(0010,1030)",
    "next_step": "Enter the weight from the scan day.",
}

needs_poppler = pytest.mark.skipif(shutil.which("pdftotext") is None, reason="poppler-utils reads the PDF back")


def run_of(method: str, measurements: tuple[Measurement, ...], findings: tuple[Finding, ...] = (), **more: Any) -> dict:
    """Return the offline contract's object for some measurements, judged by all editions."""
    rows = [one.as_json() for one in measurements]
    rows += [
        one.as_json() for key in standards.available() for one in standards.judge(measurements, standards.load(key))
    ]
    decisive = [one["verdict"] for one in rows if one["standard"] == "earl1_18f"] + [one.outcome for one in findings]
    verdict = next((str(one) for one in ("FAIL", "NOT_EVALUABLE", "WARN", "PASS") if one in decisive), None)
    run = {
        "method": method,
        "method_version": 1,
        "verdict": verdict,
        "input_digest": DIGEST,
        "program": {"version": "0.1.0", "commit": "3d09640aa11b22c", "libraries": {"numpy": "2.4.6"}},
        "series": [
            {
                "series_instance_uid": "1.2.826.0.1.3680043.8.498.1",
                "manufacturer": "DIGITAL",
                "slices": 110,
                "shape_zyx": [110, 168, 168],
                "spacing_zyx_mm": [2.0, 3.2, 3.2],
                "units": "BQML",
            }
        ],
        "suv": SUV,
        "measurements": rows,
        "findings": [one.as_json() for one in findings],
        "refused": None,
        "ignored": [
            {"path": "Planted Surname/IM_0001.txt", "reason": "IM_0001.txt is not a DICOM file."},
            {"path": "Planted Surname/DICOMDIR", "reason": "A DICOMDIR lists files and holds no image."},
        ],
        "seconds": {"read": 0.1},
    }
    return {**run, **more}


@pytest.fixture(scope="module")
def nema() -> tuple[dict[str, Any], dict[str, FigureSvg], digital.DigitalScan]:
    scan = digital.nema_iq(fwhm_mm=8.0, cov=0.07, seed=2)
    result = nema_iq.measure(scan.volume, reference_time=SCANNED_AT, sheet=Sheet.parse(scan.sheet))
    drawn = figures.nema_iq_figures(scan.volume, result, standards.load("earl1_18f"))
    return run_of("nema_iq", result.measurements, result.findings), drawn, scan


@pytest.fixture(scope="module")
def uniform() -> tuple[dict[str, Any], dict[str, FigureSvg], digital.DigitalScan]:
    scan = digital.uniform_cylinder(calibration=1.14, shape_zyx=(60, 96, 96), spacing_zyx_mm=(4, 4, 4), seed=1)
    result = cylinder.measure(scan.volume, reference_time=SCANNED_AT, sheet=Sheet.parse(scan.sheet), suv_factor=None)
    drawn = figures.cylinder_figures(scan.volume, result, standards.load("earl1_18f"))
    return run_of("cylinder", result.measurements, result.findings), drawn, scan


def patient_run(**more: Any) -> dict[str, Any]:
    measurements = (
        Measurement(name="image_max", value=40750.0, unit="Bq/mL"),
        Measurement(name="suvbw_max", value=None, unit="g/mL", flags=QualityFlag.NO_SUV),
    )
    finding = Finding(
        id="SUV-NO-WEIGHT",
        outcome=Outcome.NOT_EVALUABLE,
        severity="exclude",
        message=REFUSED["detail"],
        next_step=REFUSED["next_step"],
        owner=Owner.SITE,
    )
    refused = {**SUV, "factor_g_per_bq": None, "refused": REFUSED}
    return run_of("patient", measurements, (finding,), suv=refused, **more)


def strings(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for inner in value.values():
            yield from strings(inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from strings(inner)
    elif isinstance(value, str):
        yield value


def tables(context: dict[str, Any]) -> list[dict[str, Any]]:
    blocks = [block for section in context["sections"] for block in section["blocks"]]
    first = context["result"]["numbers"]
    return [*([first] if first else []), *(block for block in blocks if block["kind"] == "table")]


def pages_of(document: bytes, folder: Path) -> list[str]:
    path = folder / "report.pdf"
    path.write_bytes(document)
    done = subprocess.run(["pdftotext", "-layout", str(path), "-"], capture_output=True, text=True, check=True)
    return done.stdout.split("\f")[:-1]


def squeezed(text: str) -> str:
    """Return a text without any space: a PDF breaks lines where it likes."""
    return re.sub(r"[\s\u200b\u2068\u2069]+", "", text)


# --- what the context holds -----------------------------------------------------------------------------------


def test_context_when_built_then_it_is_plain_json(nema: Any) -> None:
    run, drawn, scan = nema
    context = reports.build_context(run, replace(META, sheet=scan.sheet, signatures=(SIGNATURE,)), drawn)
    assert json.loads(json.dumps(context, allow_nan=False)) == context


def test_context_when_built_then_every_number_of_the_run_is_in_it(nema: Any, uniform: Any) -> None:
    for run, drawn, _ in (nema, uniform, (patient_run(), {}, None)):
        context = reports.build_context(run, META, drawn)
        cells = [cell["text"] for table in tables(context) for row in table["rows"] for cell in row]
        for one in run["measurements"]:
            shown = wording.quantity(one)
            printed = shown.value or "–"
            assert any(text.startswith(printed) for text in cells), one["name"]
            if one["standard"] is None and not one["name"].startswith("sphere_"):
                assert wording.label(one["name"]) in cells, one["name"]


def test_context_when_built_then_limits_say_which_edition_they_are_of_and_how_sure(nema: Any) -> None:
    run, drawn, _ = nema
    context = reports.build_context(run, META, drawn)
    rows = context["result"]["numbers"]["rows"]
    assert {cell["sub"] for row in rows for cell in row if cell["heading"] == "Limits"} >= {"EARL 1, C"}
    proof = next(section for section in context["sections"] if section["key"] == "proof")
    (editions,) = [block for block in proof["blocks"] if block.get("title") == "Standards"]
    words = " ".join(strings(editions["rows"]))
    assert f"{standards.load('earl1_18f').title}, decides" in words
    assert f"{standards.load('earl2_18f').title}, beside it, decides nothing" in words
    assert standards.load("earl1_18f").citation in words
    assert "C2: read in a public work" in editions["note"]


def test_recovery_page_when_no_edition_limits_contrast_recovery_then_it_stands_beside_recovery_and_says_so(
    nema: Any,
) -> None:
    run, drawn, _ = nema
    context = reports.build_context(run, META, drawn)
    (recovery,) = (one for one in context["sections"] if one["key"] == "recovery")
    (table,) = (one for one in recovery["blocks"] if one.get("title", "").startswith("Contrast recovery"))
    assert table["title"] == "Contrast recovery. Report only: no edition publishes limits yet"
    assert [column["title"] for column in table["columns"]] == ["Sphere", "CRC A50", "CRC max", "CRC peak"]
    values = {one["name"]: one for one in run["measurements"] if one["standard"] is None}
    first = wording.quantity(values["sphere_37mm_crc_peak"]).value
    assert table["rows"][0][3]["text"].startswith(first)


def test_recovery_page_when_both_editions_judge_then_each_shows_the_distance_to_its_nearest_limit(nema: Any) -> None:
    run, drawn, _ = nema
    context = reports.build_context(run, META, drawn)
    for name in ("Recovery A50", "Recovery max"):
        (table,) = (one for one in tables(context) if one.get("title", "").startswith(name))
        assert [column["title"] for column in table["columns"]].count("Margin") == 2
    a50 = next(one for one in tables(context) if one.get("title", "").startswith("Recovery A50"))
    value = next(one["value"] for one in run["measurements"] if one["name"] == "sphere_37mm_rc_a50")
    margins = [float(a50["rows"][0][at]["text"].replace("−", "-")) for at in (3, 6)]
    assert margins[0] == pytest.approx(min(value - 0.76, 0.89 - value), abs=6e-4)
    assert margins[1] == pytest.approx(min(value - 0.85, 1.00 - value), abs=6e-4)


def test_post_filter_page_when_a_filter_was_looked_for_then_picture_words_and_numbers_stand_together(nema: Any) -> None:
    run, drawn, _ = nema
    context = reports.build_context(run, META, drawn)
    (section,) = (one for one in context["sections"] if one["key"] == "post-filter")
    pictures, words, table = section["blocks"]
    assert [one["key"] for one in pictures["figures"]] == ["post_filter"]
    assert any("EARL 1 needs no post-filter" in text for text in words["paragraphs"])
    assert "Post-filter for EARL 1, narrowest" in list(strings(table["rows"]))


def test_first_page_when_numbers_fail_then_they_come_by_distance_before_what_passes(nema: Any) -> None:
    run, _, _ = nema
    moved = {"sphere_22mm_rc_a50": 0.62, "sphere_10mm_rc_a50": 0.10}
    measurements = tuple(
        Measurement(name=one["name"], value=moved.get(one["name"], one["value"]), unit=one["unit"])
        for one in run["measurements"]
        if one["standard"] is None and one["value"] is not None
    )
    context = reports.build_context(run_of("nema_iq", measurements), META)
    rows = context["result"]["numbers"]["rows"]
    assert len(rows) == 8
    names = [row[0]["text"].replace(wording.NARROW_SPACE, " ") for row in rows]
    verdicts = [row[-1]["verdict"] for row in rows]
    assert names[:2] == ["A50 10 mm", "A50 22 mm"]
    assert verdicts == ["FAIL", "FAIL", *["PASS"] * 6]
    assert "all pass" in context["result"]["numbers"]["note"]


def test_uncertainty_when_not_stated_then_the_table_says_so() -> None:
    bare = reports.build_context(run_of("cylinder", (Measurement(name="cylinder_cov_pct", value=5.0, unit="%"),)), META)
    assert "uncertainty is not stated" in bare["result"]["numbers"]["note"]
    stated = Measurement(name="cylinder_cov_pct", value=5.0, unit="%", uncertainty=0.1)
    context = reports.build_context(run_of("cylinder", (stated,)), META)
    assert context["result"]["numbers"]["note"] == ""
    assert "5.0 ± 0.2" in context["result"]["numbers"]["rows"][0][1]["text"]


def test_flags_when_a_number_carries_them_then_words_stand_below_its_table() -> None:
    raw = Measurement(name="background_mean", value=1686.8, unit="1", flags=QualityFlag.NO_UNITS)
    context = reports.build_context(run_of("nema_iq", (raw,)), META)
    assert context["result"]["numbers"]["rows"][0][1]["text"] == "1686.8 ¹"
    assert context["result"]["numbers"]["note"].startswith("¹ The headers name no unit: raw values.")


def test_steps_when_findings_name_owners_then_each_step_stands_once_under_its_owner() -> None:
    context = reports.build_context(patient_run(), META)
    assert context["result"]["steps"] == [
        {"owner": "Site", "todo": [{"text": "Enter the weight from the scan day.", "rule": "SUV-NO-WEIGHT"}]},
        {"owner": "Core lab", "todo": [{"text": "Review run R-3310 and sign.", "rule": ""}]},
    ]


def test_findings_when_listed_then_the_worst_comes_first_and_what_passed_is_a_line_of_ids() -> None:
    findings = tuple(
        Finding(id=f"RUL-{n}", outcome=outcome, severity="query", message=f"Message {n}.")
        for n, outcome in enumerate((Outcome.PASS, Outcome.WARN, Outcome.FAIL, Outcome.PASS, Outcome.NOT_EVALUABLE))
    )
    context = reports.build_context(run_of("cylinder", (), findings), META)
    (section,) = [section for section in context["sections"] if section["key"] == "findings"]
    table, passed = section["blocks"]
    assert [row[1]["code"] for row in table["rows"]] == ["RUL-2", "RUL-4", "RUL-1"]
    assert passed["paragraphs"] == ["2 passed: RUL-0; RUL-3."]


def test_findings_when_a_phantom_rule_passed_then_it_stands_in_words_with_its_code() -> None:
    budget = Finding(id="PHA-BUDGET", outcome=Outcome.PASS, severity="info", message="The bias is known to 2.0 %.")
    context = reports.build_context(run_of("cylinder", (), (budget,)), META)
    (section,) = [section for section in context["sections"] if section["key"] == "findings"]
    assert section["blocks"][-1]["paragraphs"] == ["1 passed: Uncertainty of the bias (PHA-BUDGET)."]


def test_standard_when_the_scan_is_a_patients_then_none_is_said_to_judge_it() -> None:
    context = reports.build_context(patient_run(), META)
    assert ["Judged by", "no standard"] in context["result"]["facts"]
    assert "EARL" not in context["document"]["footer"]


def test_suv_when_refused_then_the_refusal_stands_in_its_place() -> None:
    context = reports.build_context(patient_run(), META)
    (section,) = [section for section in context["sections"] if section["key"] == "suv"]
    note = section["blocks"][0]
    assert (note["kind"], note["verdict"], note["code"]) == ("note", "NOT_EVALUABLE", "SUV-NO-WEIGHT")
    assert note["next_step"] == "Enter the weight from the scan day."
    assert not any("g/Bq" in text for text in strings(context))


def test_suv_when_worked_out_then_six_digits_times_and_the_chosen_candidate_are_shown(nema: Any) -> None:
    run, _, scan = nema
    context = reports.build_context(run, replace(META, sheet=scan.sheet))
    (section,) = [section for section in context["sections"] if section["key"] == "suv"]
    words = list(strings(section))
    assert f"2.429030 × 10⁻⁴{wording.NARROW_SPACE}g/Bq" in words
    assert f"62{wording.NARROW_SPACE}min" in words
    assert any(
        cell.get("is_strong") and cell["text"] == "10:30:00"
        for table in tables(context)
        for row in table["rows"]
        for cell in row
    )
    assert {"Drawn", "At the scan", "Dose calibrator", "Together"} <= set(words)


@pytest.mark.parametrize("is_phantom", [True, False])
def test_suv_when_a_weight_is_unusual_then_it_is_said_of_a_patient_and_not_of_a_phantom(
    uniform: Any, is_phantom: bool
) -> None:
    warned = SUV | {"warnings": [*SUV["warnings"], {"code": "SUV-WEIGHT", "detail": "6.3 kg is unusual."}]}
    run = (uniform[0] if is_phantom else patient_run()) | {"suv": warned}
    said = set(strings(reports.build_context(run, META)))
    assert ("SUV-WEIGHT" in said) is not is_phantom
    assert "SUV-MIDNIGHT" in said


def test_sheet_when_it_cannot_be_read_then_the_report_says_why_and_is_made() -> None:
    context = reports.build_context(patient_run(), replace(META, sheet={"fills": [{"what": "bucket"}]}))
    assert any("bucket" in text for text in strings(context))
    assert any(code.startswith("SHEET-") for code in strings(context))


# --- the day of a patient's scan ------------------------------------------------------------------------------


def beside(**outcomes: str) -> dict[str, dict[str, str]]:
    context = reports.build_context(scenes.patient_result(**outcomes), META)
    return {one["name"]: one for one in context["result"]["beside"]}


def test_first_page_when_rules_judged_a_patient_then_each_value_stands_with_what_is_accepted_and_the_verdict() -> None:
    shown = beside(uptake_min=82.0, TIM_01="FAIL")
    uptake = shown["Uptake, injection to scan"]
    assert uptake["value"] == f"82{wording.NARROW_SPACE}min"
    assert (uptake["note"], uptake["word"]) == ("accepted: 55 to 75 min", "Fail")
    clearance = shown["Clearance on the scan day"]
    assert (clearance["value"], clearance["word"]) == ("PET-2026-0412, to 14 Jun 2027", "Pass")
    assert {"Injected activity", "Weight", "Blood glucose", "SUV maximum"} <= set(shown)


def test_first_page_when_a_value_is_not_known_then_it_says_so_and_no_number_stands_in() -> None:
    shown = beside(uptake_min=None, TIM_01="NOT_EVALUABLE", REC_08="FAIL")
    assert shown["Uptake, injection to scan"]["value"] == "not known"
    assert (shown["Clearance on the scan day"]["value"], shown["Clearance on the scan day"]["word"]) == (
        "none known",
        "Fail",
    )


def test_first_page_when_a_scan_is_a_trials_then_trial_subject_visit_and_protocol_are_named() -> None:
    meta = replace(META, trial_code="ALPHA", subject_code="0113", visit="PET2")
    facts = reports.build_context(scenes.patient_result(), meta)["result"]["facts"]
    assert ["Trial", "ALPHA"] in facts
    assert ["Subject, visit", "0113, PET2"] in facts
    assert ["Protocol", "version 4"] in facts


def test_rules_when_a_query_asks_about_one_then_its_number_and_the_rules_title_stand_in_the_row() -> None:
    meta = replace(META, queries={"TIM-01": "Q-904"})
    context = reports.build_context(scenes.patient_result(TIM_01="FAIL", PREP_01="WARN"), meta)
    (section,) = [section for section in context["sections"] if section["key"] == "findings"]
    late, glucose = section["blocks"][0]["rows"]
    assert (late[1]["text"], late[1]["code"]) == ("Time from injection to scan within the protocol", "TIM-01")
    assert (late[2]["text"], late[3]["text"], late[5]["text"]) == ("61 min", "55 to 75 min", "Q-904")
    assert glucose[5]["text"] == "–"
    assert section["new_page"]


# --- who signed, what stands ----------------------------------------------------------------------------------


def test_verdict_when_nobody_signed_then_it_is_proposed(uniform: Any) -> None:
    context = reports.build_context(uniform[0], META)
    assert context["document"]["state"] == "Proposed, not signed"
    assert context["result"]["verdict"]["is_proposed"]
    assert context["result"]["verdict"]["headline"].startswith("Fail – the cylinder reads 14")


def test_verdict_when_the_physicist_differs_then_theirs_stands_with_the_reason_and_the_proposal(uniform: Any) -> None:
    review = reports.ReviewedVerdict(
        verdict="WARN", reason="the sheet's clock was an hour off", comment="Mind the clock."
    )
    context = reports.build_context(uniform[0], replace(META, review=review, signatures=(SIGNATURE,)))
    verdict = context["result"]["verdict"]
    assert (verdict["verdict"], verdict["is_proposed"]) == ("WARN", False)
    assert verdict["headline"] == "Warning – the sheet's clock was an hour off"
    assert verdict["second"].startswith("Proposed by software: Fail – the cylinder reads 14")
    assert context["result"]["comment"] == "Mind the clock."


def test_state_when_signed_then_the_date_is_the_sites_own(uniform: Any) -> None:
    context = reports.build_context(uniform[0], replace(META, signatures=(SIGNATURE,)))
    assert context["document"]["state"] == "Signed 5 Mar 2026", "23:20 in London is past midnight in Berlin"
    assert context["result"]["signatures"][0]["at"] == "5 Mar 2026 00:20 CET"


# --- nothing that names a person ------------------------------------------------------------------------------

PLANTED = ("PLANTED", "Planted", "Surname", "IM_0001")


@needs_poppler
def test_report_when_the_run_holds_names_and_files_then_neither_page_nor_document_shows_them(
    nema: Any, tmp_path: Path
) -> None:
    run, drawn, _ = nema
    context = reports.build_context(run, META, drawn)
    texts = [*strings(context), page_of(context), *pages_of(reports.render_pdf(context, drawn), tmp_path)]
    for planted in PLANTED:
        assert not any(planted in text for text in texts), planted
    assert any("2 files: 1 × A DICOMDIR" in text for text in texts), "they are counted all the same"


# --- the document ---------------------------------------------------------------------------------------------


@needs_poppler
def test_document_when_printed_then_every_page_carries_run_digest_edition_notice_and_state(
    nema: Any, tmp_path: Path
) -> None:
    run, drawn, scan = nema
    meta = replace(META, sheet=scan.sheet, superseded_by="R-3344", superseded_on=date(2026, 3, 5))
    pages = pages_of(reports.render_pdf(reports.build_context(run, meta, drawn), drawn), tmp_path)
    assert len(pages) >= 4
    for number, page in enumerate(pages, start=1):
        text = squeezed(page)
        for words in (
            "run R-3310 · nema_iq@1 · input sha256 9f3c71aa04be5d20 · EARL 1",
            f"page {number} of {len(pages)}",
            "For trial quality control, not for diagnosis",
            "PET Core Lab · QC report · S-2481 · Site North · Scanner 1 · 60421",
            "Proposed, not signed",
            "Replaced by R-3344 on 5 Mar 2026",
        ):
            assert squeezed(words) in text, (number, words)


@needs_poppler
def test_document_when_it_is_a_dry_run_then_every_page_says_so(uniform: Any, tmp_path: Path) -> None:
    run, drawn, _ = uniform
    context = reports.build_context(run, replace(META, is_dry_run=True), drawn)
    for page in pages_of(reports.render_pdf(context, drawn), tmp_path):
        assert squeezed("Unofficial dry run") in squeezed(page)
    assert "Review run" not in " ".join(strings(context["result"]["steps"]))


@needs_poppler
def test_document_when_spheres_fail_and_staff_are_asked_too_then_the_signature_stands_on_the_first_page(
    tmp_path: Path,
) -> None:
    earl1 = standards.load("earl1_18f")
    scan = digital.nema_iq(fwhm_mm=11.0, cov=0.07, seed=2)
    result = nema_iq.measure(scan.volume, reference_time=SCANNED_AT, sheet=Sheet.parse(scan.sheet))
    cause = diagnosis.diagnose(result, earl1)[0]
    asked = [
        replace(cause, id=rule, owner=Owner.CORE_LAB, next_step=f"Enter the {what} of the accredited reconstruction.")
        for rule, what in (("REC-05", "matrix and pixel"), ("REC-06", "distance of slices"))
    ]
    run = run_of("nema_iq", result.measurements, [*result.findings, cause, *asked])
    drawn = figures.nema_iq_figures(scan.volume, result, earl1)
    first = pages_of(reports.render_pdf(reports.build_context(run, META, drawn), drawn), tmp_path)[0]
    assert "Not signed. The verdict above is a proposal" in first


@needs_poppler
@pytest.mark.parametrize("kind", ["nema", "uniform", "patient"])
def test_document_and_page_when_made_from_one_context_then_both_hold_every_word_of_its_tables(
    kind: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    run, drawn, _ = (patient_run(), {}, None) if kind == "patient" else request.getfixturevalue(kind)
    context = reports.build_context(run, META, drawn, figure_url=lambda key: f"/figures/{key}.svg")
    document = squeezed("".join(pages_of(reports.render_pdf(context, drawn), tmp_path)))
    page = squeezed(re.sub(r"<[^>]+>", "", page_of(context)).replace("&#x27;", "'").replace("&lt;", "<"))
    words = [context["result"]["verdict"]["second"]]
    for table in tables(context):
        words += [table["title"], *(column["title"] for column in table["columns"])]
        words += [
            cell["text"] for row in table["rows"] for cell in row if cell["kind"] in {"text", "number", "verdict"}
        ]
    for text in words:
        for part in text.split():  # a cell's words may be broken over lines that lie between another cell's
            assert squeezed(part) in document, (text, "document")
        assert squeezed(text) in page, (text, "page")


@needs_poppler
def test_document_when_identifiers_are_long_then_they_are_copied_without_hidden_characters(
    uniform: Any, tmp_path: Path
) -> None:
    run, drawn, _ = uniform
    uid = "2.25." + "7097404714795098270976894497834932528"
    run = {**run, "series": [{**run["series"][0], "series_instance_uid": uid}]}
    pages = pages_of(reports.render_pdf(reports.build_context(run, META, drawn), drawn), tmp_path)
    assert not any("\u200b" in page for page in pages)
    assert any(DIGEST in page for page in pages)


def test_document_when_made_twice_then_the_bytes_are_the_same(uniform: Any) -> None:
    run, drawn, scan = uniform
    meta = replace(META, sheet=scan.sheet, signatures=(SIGNATURE,))
    first = reports.render_pdf(reports.build_context(run, meta, drawn), drawn)
    assert first == reports.render_pdf(reports.build_context(run, meta, drawn), drawn)


@needs_poppler
@pytest.mark.parametrize(
    "name", ["#panic", "$x$ * <b>", "مستشفى الملك", "東京大学病院", "W" * 80, "Ł", "a & b; \"c\" 'd'", "\x00 ภ"]
)
def test_document_and_page_when_a_site_is_called_anything_then_they_are_made(
    name: str, uniform: Any, tmp_path: Path
) -> None:
    run, drawn, _ = uniform
    review = reports.ReviewedVerdict(verdict="FAIL", comment=f"Comment {name}")
    meta = replace(META, site_name=name, scanner_label=name, reconstruction=name, review=review)
    context = reports.build_context(run, meta, drawn)
    text = squeezed("".join(pages_of(reports.render_pdf(context, drawn), tmp_path)))
    if name.isascii() and name.isprintable():
        assert squeezed(name) in text
    assert "<b>" not in page_of(context)


@needs_poppler
def test_document_when_the_run_was_refused_outright_then_it_says_why(tmp_path: Path) -> None:
    refused = {**REFUSED, "code": "SERIES-NONE", "detail": "There is no PET series.", "attribute": None}
    nothing = {"method": None, "method_version": None, "series": [], "input_digest": None, "verdict": "NOT_EVALUABLE"}
    run = {**run_of("patient", ()), **nothing, "refused": refused}
    context = reports.build_context(run, replace(META, standards=()))
    assert context["result"]["verdict"]["headline"] == "Could not check – there is no PET series"
    text = squeezed("".join(pages_of(reports.render_pdf(context, {}), tmp_path)))
    assert squeezed("there is no PET series") in text


# --- the page -------------------------------------------------------------------------------------------------


def page_of(context: dict[str, Any]) -> str:
    request = RequestFactory().get("/")
    request.user = AnonymousUser()
    crumbs = [("Submissions", "/submissions/"), (META.submission_number, "/submissions/S-2481/")]
    given = {"report": context, "crumbs": crumbs, "download_url": "/runs/R-3310/report.pdf"}
    return render_to_string("qc/report_show.html", given, request=request)


def test_page_when_shown_then_it_keeps_to_the_pages_own_rules(nema: Any) -> None:
    run, drawn, scan = nema
    context = reports.build_context(
        run, replace(META, sheet=scan.sheet, signatures=(SIGNATURE,)), drawn, lambda key: f"/figures/{key}.svg"
    )
    html = page_of(context)
    main = html[html.index("<main") : html.index("</main>")]
    assert not re.search(r"\sstyle=", main)
    assert main.count("<h1") == 1
    assert html.count("<title>S-2481 NEMA IQ phantom, quality control report") == 1
    for key, figure in drawn.items():
        assert f'src="/figures/{key}.svg"' in main
        assert figure.alt in main
    assert all("width=" in one and "height=" in one for one in re.findall(r"<img [^>]*>", main))
    assert "For trial quality control, not for diagnosis" in main
    assert len(re.findall(r"<caption>", main)) == len(re.findall(r"<table", main))
    assert main.count('<svg xmlns="http://www.w3.org/2000/svg" role="img" class="band-plot"') >= 8


def test_pages_when_two_editions_decide_then_each_recovery_has_a_row_of_its_own(nema: Any) -> None:
    run, drawn, _ = nema
    wide = {key: replace(one, svg=one.svg.replace(b'width="235.', b'width="493.', 1)) for key, one in drawn.items()}
    for figures_of, rows in ((drawn, [2]), (wide, [1, 1])):
        context = reports.build_context(run, META, figures_of)
        (recovery,) = (one for one in context["sections"] if one["key"] == "recovery")
        kinds = [[one["key"] for one in block["figures"]] for block in recovery["blocks"] if block["kind"] == "figures"]
        assert [len(keys) for keys in kinds if keys[0].startswith("recovery_")] == rows
        assert ["contrast_recovery"] in kinds


def test_proof_when_a_ct_was_measured_then_it_is_named_and_not_among_what_was_left_out() -> None:
    ignored = [
        {
            "path": "ct/1.dcm",
            "reason": "Measured as the CT of the phantom.",
            "code": "MODALITY-NOT-PET",
            "used_as": "ct",
        },
        {"path": "sr/1.dcm", "reason": "These are a structured report, not PET.", "code": "MODALITY-NOT-PET"},
    ]
    ct = {"series_instance_uid": "2.25.7", "slices": 56, "is_in_frame": True}
    context = reports.build_context(run_of("nema_iq", (), ignored=ignored, ct=ct), META)
    (proof,) = (section for section in context["sections"] if section["key"] == "proof")
    facts = dict(next(block for block in proof["blocks"] if block.get("kind") == "facts")["facts"])
    assert facts["CT"] == "56 slices in the PET's frame of reference, measured; series 2.25.7"
    assert facts["Left out"] == "1 file: 1 × These are a structured report, not PET"
