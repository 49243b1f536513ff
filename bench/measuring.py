"""One analysis of each phantom, a report's figures and PDF, and the offline command, each in a warm process."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from time import perf_counter
from typing import Any

from accreditation.management.commands._demo_scans import standard_scans
from bench.reading import PATIENT
from bench.rows import RECON_1, RECON_1_SHEET, Row, at_most, best_s, ms
from phantoms import dicom_series, digital, suv
from phantoms.results import Finding
from qc import conformance, protocols
from qc.analysis import Analysis, Request, analyse_files
from qc.facts import facts_of
from qc.reports import ReportMeta, build_context, render_pdf

MAX_REPORT_S = 2.0
MAX_RULES_S = 0.3
ROOT = Path(__file__).resolve().parents[1]
#: A register with as much in it as a run of one scanner is given.
REGISTRY = {
    "scanners": [
        {
            "manufacturer": "SIEMENS",
            "model": "Digital PET",
            "serial": "1",
            "software": "1",
            "reconstructions": [{"name": "PSF+TOF 4 mm", "method": "PSF+TOF 3i21s", "filter_fwhm_mm": 4.0}],
            "clearances": [
                {
                    "reconstruction": "PSF+TOF 4 mm",
                    "tracer": "F-18",
                    "standard": "earl1_18f",
                    "trial": None,
                    "certificate": f"PET-{year}-0001",
                    "from_on": f"{year}-01-01",
                    "until_on": f"{year}-12-31",
                }
                for year in range(2017, 2027)
            ],
        }
    ]
}
META = ReportMeta(
    lab_name="PET core lab",
    submission_number="S-1001",
    run_number="R-1001",
    site_name="Site North",
    scanner_label="Digital PET · 1",
    reconstruction="PSF+TOF 3i21s 4 mm",
    kind_label="NEMA IQ phantom",
    standards=("earl1_18f",),
    received_at=datetime(2026, 3, 2, 12, 0, tzinfo=UTC),
    scanned_at=datetime(2026, 3, 2, 10, 30, tzinfo=UTC),
    time_zone="Europe/London",
    made_at=datetime(2026, 3, 2, 12, 1, tzinfo=UTC),
)


def analysed(folder: Path, method: str, sheet: dict[str, Any] | None, *, with_figures: bool = False) -> Analysis:
    """Analyse a folder as a worker does."""
    request = Request(method=method, sheet=sheet)
    return analyse_files(dicom_series.list_files(folder), request, with_figures=with_figures)


def analysis_row(name: str, folder: Path, method: str, sheet: dict[str, Any] | None, repeats: int) -> Row:
    """Return the row of one analysis without figures, the shortest of several."""
    done = [analysed(folder, method, sheet).json for _ in range(repeats)]
    seconds = min((one["seconds"] for one in done), key=lambda parts: sum(parts.values()))
    parts = ", ".join(f"{part} {ms(took)}" for part, took in seconds.items() if took)
    refused = done[0]["refused"]
    said = f"; {done[0]['verdict']}{' ' + refused['code'] if refused else ''}"
    return Row(name, f"{sum(seconds.values()):.2f} s", is_timed=True, beside=parts + said)


def report_row(folder: Path, repeats: int) -> Row:
    """Return what a report adds to an analysis, in a process that has drawn and typeset others before."""
    done: list[tuple[float, float]] = []
    for seed in range(repeats + 1):  # each another scan: what is typeset twice costs nothing the second time
        drawn = digital.nema_iq(seed=seed)
        digital.write_dicom(drawn, folder / f"report-{seed}")
        outcome = analysed(folder / f"report-{seed}", "nema_iq", drawn.sheet, with_figures=True)
        meta = replace(META, run_number=f"R-{1001 + seed}")
        (pdf_s,) = best_s(
            1,
            lambda outcome=outcome, meta=meta: render_pdf(
                build_context(outcome.json, meta, outcome.figures), outcome.figures
            ),
        )
        done.append((outcome.json["seconds"]["figures"], pdf_s))
    figures_s, pdf_s = min(done[1:], key=sum)
    beside = f"{len(outcome.figures)} figures {ms(figures_s)}, PDF {ms(pdf_s)}; first in a process {sum(done[0]):.2f} s"
    return at_most("figures and PDF of a report", figures_s + pdf_s, MAX_REPORT_S, "s", is_timed=True, beside=beside)


def command_row(path: Path, sheet: Path, repeats: int) -> Row:
    """Return the wall time of the offline command, imports and all."""
    command = [sys.executable, ROOT / "manage.py", "analyse", path, "--method", "nema_iq", "--sheet", sheet, "--json"]
    (took,) = best_s(repeats, lambda: subprocess.run(command, check=True, stdout=subprocess.DEVNULL))
    return Row("offline command, NEMA IQ", f"{took:.2f} s", is_timed=True, beside=path.name)


def rules_row(name: str, folder: Path, repeats: int) -> Row:
    """Return what all rules take beyond reading the headers and finding the SUV; they read their documents too."""
    scan = dicom_series.read_scan(dicom_series.list_files(folder))
    series = dicom_series.choose(scan)
    factor = suv.suv_factor(series.header)
    document = protocols.template("lymphoma")
    asked = {"protocol": {"version": 1, "document": document}, "registry": REGISTRY, "values": {}}

    def all_rules() -> list[Finding]:
        inputs = conformance.inputs_of(facts_of(scan, series), factor, "patient", asked)
        conformance.shown_of(inputs)
        return conformance.evaluate(inputs)

    began = perf_counter()
    count = len(all_rules())
    first_s = perf_counter() - began
    (seconds,) = best_s(repeats, all_rules)
    beside = f"{count} rules; first in a process {ms(first_s)}"
    return at_most(f"all rules, {name}", seconds, MAX_RULES_S, "s", is_timed=True, beside=beside)


def measure(mode: str, folder: Path) -> list[Row]:
    """Return the rows of the demonstration's first scan of each kind, and of the real phantom."""
    repeats = {"smoke": 1}.get(mode, 3)
    scans = {}
    for scan in standard_scans():
        if scan.name in {"cylinder", "nema-iq"}:
            drawn = scan.make()
            digital.write_dicom(drawn, folder / scan.name)
            scans[scan.kind] = (folder / scan.name, drawn.sheet)
    cylinder, cylinder_sheet = scans["cylinder"]
    nema_iq, nema_iq_sheet = scans["nema_iq"]
    assert nema_iq_sheet is not None
    rows = [
        analysis_row("cylinder analysis", cylinder, "cylinder", cylinder_sheet, repeats),
        analysis_row("NEMA IQ analysis, digital", nema_iq, "nema_iq", nema_iq_sheet, repeats),
    ]
    if RECON_1.is_dir():
        rows.append(analysis_row("NEMA IQ analysis, recon_1", RECON_1, "nema_iq", RECON_1_SHEET, repeats))
    torso = folder / "torso"
    digital.write_dicom(digital.patient_like(shape_zyx=(267, 16, 16), spacing_zyx_mm=(3.27, 30.0, 30.0)), torso)
    rows.append(rules_row("267 slices digital", torso, repeats))
    if PATIENT.is_dir():
        rows.append(rules_row("267×128² patient", PATIENT, repeats))
    rows.append(report_row(folder, repeats))
    real, real_sheet = (RECON_1, RECON_1_SHEET) if RECON_1.is_dir() else (nema_iq, nema_iq_sheet)
    sheet = folder / "sheet.json"
    sheet.write_text(json.dumps(real_sheet))
    rows.append(command_row(real, sheet, repeats))
    return rows
