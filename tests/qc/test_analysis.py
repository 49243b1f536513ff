"""What decides a verdict: the limits of the named standards, the headers that forbid judging, and nothing silent."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pydicom
import pytest

from phantoms import dicom_series, digital
from phantoms.errors import AnalysisRefused
from phantoms.results import Finding, Measurement, Outcome, QualityFlag
from qc import analysis
from qc.analysis import Request, analyse_files

COARSE = {"shape_zyx": (56, 72, 72), "spacing_zyx_mm": (4.0, 4.0, 4.0)}
Change = Callable[[pydicom.Dataset, int], Any]


@pytest.fixture(scope="module")
def cylinder(tmp_path_factory):
    """Return a cylinder in order, as files and sheet."""
    scan = digital.uniform_cylinder(seed=3, **COARSE)
    folder = tmp_path_factory.mktemp("cylinder")
    digital.write_dicom(scan, folder, seed=1)
    return folder, scan.sheet


@pytest.fixture
def changed(cylinder, tmp_path):
    """Return the cylinder with every header changed by a function of the data set and its place."""

    def change(by: Change) -> Path:
        for number, file in enumerate(sorted(cylinder[0].iterdir())):
            dataset = pydicom.dcmread(file)
            by(dataset, number)
            dataset.save_as(tmp_path / file.name)
        return tmp_path

    return change


def result_of(folder: Path, **request: Any) -> dict[str, Any]:
    return analyse_files(dicom_series.list_files(folder), Request(**request)).json


def value_of(result: dict[str, Any], name: str) -> float | None:
    (value,) = [one["value"] for one in result["measurements"] if (one["name"], one["standard"]) == (name, None)]
    return value


def ids_of(result: dict[str, Any], outcome: str) -> set[str]:
    return {finding["id"] for finding in result["findings"] if finding["outcome"] == outcome}


def test_cylinder_when_everything_is_in_order_then_it_passes(cylinder):
    folder, sheet = cylinder
    result = result_of(folder, method="cylinder", sheet=sheet)
    assert result["verdict"] == "PASS"
    assert not ids_of(result, "WARN") | ids_of(result, "NOT_EVALUABLE")


def uncorrected(dataset, number):
    dataset.CorrectedImage = ["DECY"]


def unsaid(dataset, number):
    del dataset.CorrectedImage


def undecayed(dataset, number):
    dataset.CorrectedImage = ["ATTN", "SCAT"]


def two_units(dataset, number):
    dataset.Units = "CNTS" if number % 2 else "BQML"


def two_times(dataset, number):
    if number % 2:
        dataset.SeriesTime = "101500"


def no_decay_correction(dataset, number):
    del dataset.DecayCorrection


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (uncorrected, "SUV-NOT-CORRECTED"),
        (unsaid, "SUV-NOT-CORRECTED"),
        (undecayed, "SUV-NOT-CORRECTED"),
        (two_units, "SUV-INCONSISTENT"),
        (two_times, "SUV-INCONSISTENT"),
        (no_decay_correction, "SUV-DECAY-UNKNOWN"),
    ],
    ids=lambda value: getattr(value, "__name__", value),
)
def test_phantom_when_the_headers_forbid_judging_it_then_it_does_not_pass(cylinder, changed, change, code):
    folder = changed(change)
    uid = pydicom.dcmread(next(folder.iterdir())).SeriesInstanceUID
    result = result_of(folder, method="cylinder", sheet=cylinder[1], series_uid=uid)
    assert result["verdict"] == "NOT_EVALUABLE"
    assert code in ids_of(result, "NOT_EVALUABLE")


def test_phantom_when_its_header_has_no_weight_then_the_sheet_still_decides(cylinder, changed):
    def weightless(dataset, number):
        del dataset.PatientWeight

    result = result_of(changed(weightless), method="cylinder", sheet=cylinder[1])
    assert result["suv"]["refused"]["code"] == "SUV-NO-WEIGHT"
    assert result["verdict"] == "PASS"


def test_phantom_when_the_reference_time_is_doubtful_then_it_is_said(cylinder, changed):
    def early(dataset, number):
        dataset.SeriesTime = "102520"

    result = result_of(changed(early), method="cylinder", sheet=cylinder[1])
    assert "SUV-TREF-CONFLICT" in ids_of(result, "WARN") | ids_of(result, "NOT_EVALUABLE")
    assert result["verdict"] in ("WARN", "NOT_EVALUABLE")


def test_auto_when_the_sheet_names_fills_but_no_phantom_is_seen_then_it_is_not_a_patient_that_passes(
    cylinder, monkeypatch
):
    def unseen(volume):
        raise AnalysisRefused("PHA-NOT-FOUND", "We could not find the six spheres.", None, "Check the phantom.")

    monkeypatch.setattr("phantoms.localise.find_nema_iq", unseen)
    monkeypatch.setattr("phantoms.localise.find_cylinder", unseen)
    result = result_of(cylinder[0], sheet=cylinder[1])
    assert result["method"] == "patient"
    assert "PHA-NOT-FOUND" in ids_of(result, "NOT_EVALUABLE")
    assert result["verdict"] == "NOT_EVALUABLE"


def test_sheet_when_it_is_unusable_then_the_files_are_still_counted_and_the_suv_given(cylinder):
    result = result_of(cylinder[0], method="cylinder", sheet={"fills": [{"what": "x"}]})
    assert result["refused"]["code"] == "SHEET-WHAT"
    assert result["series"][0]["slices"] == 56
    assert result["suv"]["refused"] is None
    assert value_of(result, "image_max") is not None


def test_sheet_when_it_is_empty_then_it_is_not_taken_for_none(cylinder):
    assert result_of(cylinder[0], method="cylinder", sheet={})["refused"]["code"] == "SHEET-FORM"


def test_suv_when_refused_then_raw_values_are_given_all_the_same(cylinder, changed):
    def weightless(dataset, number):
        del dataset.PatientWeight

    result = result_of(changed(weightless), method="suv")
    assert result["refused"]["code"] == result["suv"]["refused"]["code"] == "SUV-NO-WEIGHT"
    assert value_of(result, "image_max") > 0
    assert value_of(result, "suvbw_max") is None


def test_analysis_when_repeated_then_everything_but_the_seconds_is_the_same(cylinder):
    folder, sheet = cylinder
    first, second = (analysis.lasting(result_of(folder, method="cylinder", sheet=sheet)) for _ in range(2))
    assert analysis.canonical(first) == analysis.canonical(second)


def judged(verdict: Outcome, standard: str) -> Measurement:
    return Measurement(
        name="n", value=1.0, unit="1", standard=standard, verdict=verdict, flags=QualityFlag.UNCERTAINTY_NOT_STATED
    )


def found(outcome: Outcome, severity: str = "query") -> Finding:
    return Finding(id="X-01", outcome=outcome, severity=severity, message="x")


@pytest.mark.parametrize(
    ("verdicts", "expected"),
    [
        ((Outcome.PASS, Outcome.WARN), Outcome.WARN),
        ((Outcome.WARN, Outcome.NOT_EVALUABLE), Outcome.NOT_EVALUABLE),
        ((Outcome.NOT_EVALUABLE, Outcome.FAIL), Outcome.FAIL),
        ((Outcome.FAIL, Outcome.ERROR), Outcome.ERROR),
        ((Outcome.REPORT_ONLY, Outcome.PASS), Outcome.PASS),
        ((Outcome.REPORT_ONLY,), None),
        ((), None),
    ],
)
def test_decide_when_numbers_differ_then_the_worst_of_the_named_standard_counts(verdicts, expected):
    numbers = [judged(verdict, "named") for verdict in verdicts]
    others = [judged(Outcome.FAIL, "another edition")]
    assert analysis.decide([*numbers, *others], [], ["named"]) is expected


def test_decide_when_a_finding_is_for_information_then_it_lowers_nothing():
    assert analysis.decide([judged(Outcome.PASS, "a")], [found(Outcome.WARN, "info")], ["a"]) is Outcome.PASS
    assert analysis.decide([judged(Outcome.PASS, "a")], [found(Outcome.WARN)], ["a"]) is Outcome.WARN


def gallium(dataset, number):
    dataset.RadiopharmaceuticalInformationSequence[0].RadionuclideHalfLife = 4062.6
    del dataset.RadiopharmaceuticalInformationSequence[0].RadionuclideCodeSequence


def test_standard_when_the_images_are_of_another_nuclide_then_it_does_not_judge_them(cylinder, changed):
    sheet = cylinder[1] | {"nuclide": "Ga-68"}
    result = result_of(changed(gallium), method="cylinder", sheet=sheet)
    assert result["suv"]["nuclide"] == "Ga-68"
    assert "STD-NUCLIDE" in ids_of(result, "NOT_EVALUABLE")
    assert result["verdict"] == "NOT_EVALUABLE"
    # What limits scanner against calibrator holds for any nuclide, and so does ACRIN, which takes Ge-68 too.
    assert {one["standard"] for one in result["measurements"]} == {None, "radionuclide_calibrator", "acrin_cylinder"}


@pytest.mark.parametrize("standard", ["acrin_cylinder", "qiba_fdg_1_14", "uk_core_lab"])
def test_standard_when_it_is_of_the_cylinder_then_its_suv_decides_and_the_others_stand_beside(cylinder, standard):
    result = result_of(cylinder[0], method="cylinder", sheet=cylinder[1], standards=(standard,))
    assert result["verdict"] == "PASS"
    judged_by = {one["standard"] for one in result["measurements"] if one["name"].startswith("cylinder_")}
    assert judged_by >= {None, "acrin_cylinder", "qiba_fdg_1_14", "uk_core_lab", "earl1_18f", "earl2_18f"}


def test_standard_when_it_limits_nothing_of_the_phantom_then_nothing_passes(cylinder):
    result = result_of(cylinder[0], method="cylinder", sheet=cylinder[1], standards=("acr_pet",))
    assert result["verdict"] == "NOT_EVALUABLE"
    assert "STD-METHOD" in ids_of(result, "NOT_EVALUABLE")


def test_sheet_when_its_nuclide_is_not_that_of_the_images_then_no_bias_is_given(cylinder, changed):
    result = result_of(changed(gallium), method="cylinder", sheet=cylinder[1] | {"nuclide": "F-18"})
    assert "SHEET-NUCLIDE" in ids_of(result, "NOT_EVALUABLE")
    assert value_of(result, "cylinder_bias_pct") is None


def test_sheet_when_it_holds_fills_of_another_phantom_then_they_change_nothing(cylinder):
    folder, sheet = cylinder
    more = [
        {"what": "spheres", "concentration_bqml": 8000.0, "at": "2026-03-02T10:30:00"},
        {"what": "background", "concentration_bqml": 2000.0, "at": "2026-03-02T10:30:00"},
    ]
    result = result_of(folder, method="cylinder", sheet=sheet | {"fills": [*sheet["fills"], *more]})
    assert result["verdict"] == "PASS"


def test_sheet_when_a_date_is_years_off_then_it_is_a_finding_and_no_crash(cylinder):
    folder, sheet = cylinder
    (fill,) = sheet["fills"]
    later = fill | {"assayed_at": fill["assayed_at"].replace("2026", "2027")}
    result = result_of(folder, method="cylinder", sheet=sheet | {"fills": [later]})
    assert result["verdict"] == "NOT_EVALUABLE"
    assert value_of(result, "cylinder_bias_pct") is None


def test_phantom_when_decay_is_not_corrected_then_a_fill_without_time_gives_no_bias(cylinder, changed):
    def beds(dataset, number):
        dataset.DecayCorrection = "NONE"
        dataset.CorrectedImage = [name for name in dataset.CorrectedImage if name != "DECY"]
        dataset.AcquisitionTime = "103000" if number < 28 else "104000"

    sheet = cylinder[1] | {"fills": [{"what": "cylinder", "concentration_bqml": 7500.0, "at": None}]}
    result = result_of(changed(beds), method="cylinder", sheet=sheet)
    assert value_of(result, "cylinder_bias_pct") is None
    assert result["verdict"] != "PASS"


def test_phantom_when_counts_carry_the_makers_factor_then_it_is_measured_in_bqml(cylinder, changed):
    def counts(dataset, number):
        dataset.Manufacturer = "Philips Medical Systems"
        dataset.Units = "CNTS"
        block = dataset.private_block(0x7053, "Philips PET Private Group", create=True)
        block.add_new(0x09, "DS", "2")
        dataset.RescaleSlope = float(dataset.RescaleSlope) / 2

    plain = result_of(cylinder[0], method="cylinder", sheet=cylinder[1])
    result = result_of(changed(counts), method="cylinder", sheet=cylinder[1])
    assert value_of(result, "image_max") == pytest.approx(value_of(plain, "image_max") / 2, rel=1e-6)
    for name in ("cylinder_mean_bqml", "cylinder_bias_pct", "cylinder_suv_mean"):
        assert value_of(result, name) == pytest.approx(value_of(plain, name), rel=1e-5, abs=1e-4)
    assert result["verdict"] == "PASS"


def test_phantom_when_counts_carry_no_factor_then_no_concentration_is_given(cylinder, changed):
    def counts(dataset, number):
        dataset.Units = "CNTS"

    result = result_of(changed(counts), method="cylinder", sheet=cylinder[1])
    assert value_of(result, "cylinder_mean_bqml") is None
    assert result["verdict"] == "NOT_EVALUABLE"


def _an_hour_early(sheet: dict[str, Any]) -> dict[str, Any]:
    """Return a sheet whose calibrator's clock still stood at winter time."""
    names = ("assayed_at", "residual_at", "at")
    moved = [
        fill
        | {
            name: (datetime.fromisoformat(fill[name]) - timedelta(hours=1)).isoformat()
            for name in names
            if fill.get(name)
        }
        for fill in sheet["fills"]
    ]
    return sheet | {"fills": moved}


def test_sheet_when_an_hour_of_summer_time_explains_the_images_then_a_finding_says_so(cylinder):
    folder, sheet = cylinder
    assert not any("SLIP" in one["id"] for one in result_of(folder, method="cylinder", sheet=sheet)["findings"])
    result = result_of(folder, method="cylinder", sheet=_an_hour_early(sheet))
    (found,) = [one for one in result["findings"] if one["id"] == "SHEET-SLIP"]
    assert (found["outcome"], found["severity"], found["owner"]) == ("WARN", "query", "site")
    assert "an hour of summer time" in found["message"]
    # 2^(3600 s / 6586.2 s) = 1.46; nothing was mended: the bias is what the sheet as it stands gives.
    bias = next(one for one in result["measurements"] if one["name"] == "cylinder_bias_pct")
    assert bias["value"] == pytest.approx(46, abs=2)


def _germanium(sheet: dict[str, Any], true_bqml: float) -> dict[str, Any]:
    """Return the sheet of a sealed source that holds ``true_bqml`` at the scan and was certified 200 days before."""
    volume_ml = sheet["fills"][0]["volume_ml"]
    certified_mbq = true_bqml * volume_ml / 1e6 * 2 ** (200 / 270.95)
    day = datetime.fromisoformat(sheet["fills"][0]["assayed_at"]) - timedelta(days=200)
    fill = {"what": "cylinder", "sealed": True, "activity_mbq": certified_mbq, "assayed_at": day.isoformat()}
    return {"nuclide": "Ge-68", "fills": [fill | {"volume_ml": volume_ml, "uncertainty_pct": 1.5}]}


def test_sealed_source_when_the_scanner_was_told_fluorine_then_is_compared_all_the_same(cylinder):
    folder, sheet = cylinder
    # The image holds 7500 Bq/mL as a scanner told F-18 makes it: true · 0.889/0.967 · DecayFactor of a 600 s frame.
    halvings = 600 / 6586.2
    decay_factor = halvings * 0.693147 / (1 - 2**-halvings)
    true_bqml = 7500 / decay_factor * 0.967 / 0.889
    result = result_of(folder, method="cylinder", sheet=_germanium(sheet, true_bqml))
    assert value_of(result, "cylinder_bias_pct") == pytest.approx(0.0, abs=0.2)
    assert value_of(result, "cylinder_cross_calibration") == pytest.approx(1.0, abs=0.002)
    bias = next(one for one in result["measurements"] if one["name"] == "cylinder_bias_pct")
    assert "OTHER_NUCLIDE_TOLD" in bias["flags"]
    found = {one["id"]: one for one in result["findings"]}
    assert found["SHEET-NUCLIDE"]["severity"] == "info"
    assert "raised the values by 3.2 to 3.2 %" in found["SHEET-SEALED"]["message"]
    # No limit for F-18 is held against germanium, and no SUV is made of a dose that was not there.
    assert result["verdict"] == "NOT_EVALUABLE"
    assert "STD-NUCLIDE" in found
    assert value_of(result, "cylinder_suv_mean") is None


def test_sealed_source_when_the_factor_of_scanner_and_calibrator_is_asked_for_then_that_decides(cylinder):
    folder, sheet = cylinder
    result = result_of(
        folder, method="cylinder", sheet=_germanium(sheet, 7500.0), standards=("radionuclide_calibrator",)
    )
    # 0.889/0.967 and the 3.2 % of the frame lie between: the image of 7500 Bq/mL is 7500 · 1.0541 of this source.
    (one,) = [m for m in result["measurements"] if m["standard"] == "radionuclide_calibrator"]
    assert one["name"] == "cylinder_cross_calibration"
    assert one["value"] == pytest.approx(0.967 / 0.889 / 1.03225, abs=0.003)
    assert (one["verdict"], result["verdict"]) == ("WARN", "WARN")


def no_decay_factor(dataset, number):
    if number == 3:
        del dataset.DecayFactor


def test_sealed_source_when_the_scanners_decay_correction_is_not_known_then_nothing_is_compared(cylinder, changed):
    result = result_of(changed(no_decay_factor), method="cylinder", sheet=_germanium(cylinder[1], 7500.0))
    assert "SHEET-SEALED" in ids_of(result, "NOT_EVALUABLE")
    assert value_of(result, "cylinder_bias_pct") is None


def germanium(dataset, number):
    injection = dataset.RadiopharmaceuticalInformationSequence[0]
    injection.RadionuclideHalfLife = 2.341e7
    injection.RadionuclideCodeSequence[0].CodeValue = "C-128A2"
    injection.RadionuclideCodeSequence[0].CodeMeaning = "^68^Germanium"
    dataset.DecayFactor = 1.0


def test_sealed_source_when_the_scanner_was_told_germanium_then_nothing_is_taken_back(cylinder, changed):
    result = result_of(changed(germanium), method="cylinder", sheet=_germanium(cylinder[1], 7500.0))
    assert value_of(result, "cylinder_bias_pct") == pytest.approx(0.0, abs=0.2)
    assert not {"SHEET-SEALED", "SHEET-NUCLIDE"} & {one["id"] for one in result["findings"]}


def test_phantom_when_it_is_not_found_then_the_refusal_comes_with_pictures_of_what_was_seen(cylinder):
    files = dicom_series.list_files(cylinder[0])
    refused = analyse_files(files, Request(method="nema_iq"), with_figures=True)
    assert refused.json["refused"]["code"] == "PHA-NOT-FOUND"
    # Under these names the run page and the first page of the report show them.
    assert set(refused.figures) == {"central_slice", "coronal"}
    assert all(figure.caption.startswith("Not found.") for figure in refused.figures.values())
    assert analyse_files(files, Request(method="nema_iq")).figures == {}
