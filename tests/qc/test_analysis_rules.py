"""Rules inside an analysis: asked for by the request, said once, and never moving what was before there were rules."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pydicom
import pytest

from phantoms import dicom_series, digital
from phantoms.results import Finding, Measurement, Outcome
from qc import analysis, protocols, wording
from qc.analysis import Request, analyse_files, conform_files
from qc.protocols import DocumentProblems

DOCUMENT = protocols.template("lymphoma")
#: The digital scans are coarse and short, and what was injected into them is called Solution.
DOCUMENT["limits"] |= {"coverage_mm": None, "pixel_mm": None, "slice_mm": None}
DOCUMENT["tracer"]["names"].append("Solution")
SCANNER = {
    "manufacturer": "SIEMENS",
    "model": "Digital PET",
    "serial": "1",
    "software": "1",
    "reconstructions": [
        {"name": "PSF", "method": "PSF+TOF 3i21s", "filter_fwhm_mm": 4.0, "matrix": 16, "slice_mm": 25.0}
    ],
    "clearances": [],
}


def asked(**changed: Any) -> dict[str, Any]:
    return {
        "protocol": {"version": 3, "document": DOCUMENT},
        "registry": {"scanners": [SCANNER]},
        "values": {},
        "scope": {"trial": "DEMO-1", "standard": "earl1_18f", "reconstruction": "PSF"},
    } | changed


@pytest.fixture(scope="module")
def patient(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("patient")
    digital.write_dicom(
        digital.patient_like(weight_kg=75.0, shape_zyx=(20, 16, 16), spacing_zyx_mm=(25.0, 30.0, 30.0)), folder
    )
    return folder


@pytest.fixture(scope="module")
def cylinder(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    folder = tmp_path_factory.mktemp("cylinder")
    scan = digital.uniform_cylinder(seed=3, shape_zyx=(56, 72, 72), spacing_zyx_mm=(4.0, 4.0, 4.0))
    digital.write_dicom(scan, folder, seed=1)
    return folder, dict(scan.sheet)


def result_of(folder: Path, **request: Any) -> dict[str, Any]:
    return analyse_files(dicom_series.list_files(folder), Request(**request)).json


def copied(folder: Path, to: Path, **changed: Any) -> Path:
    """Return a copy of a scan with other attributes."""
    copy = Path(shutil.copytree(folder, to / "copy"))
    for file in copy.iterdir():
        dataset = pydicom.dcmread(file)
        for keyword, value in changed.items():
            setattr(dataset, keyword, value)
        dataset.save_as(file)
    return copy


def outcomes(result: dict[str, Any]) -> dict[str, str]:
    ids = [one["id"] for one in result["findings"]]
    assert len(ids) == len(set(ids)), "a finding is said once"
    return {one["id"]: one["outcome"] for one in result["findings"]}


def test_request_when_no_rules_are_asked_for_then_its_digest_is_that_of_a_time_before_rules() -> None:
    old = '{"edition":"nu2_2018","method":"patient","series_uid":null,"sheet":null,"standards":["earl1_18f"]}'
    assert analysis.canonical(Request(method="patient").as_json()).decode() == old
    assert Request(method="patient", conformance={}).as_json()["conformance"] == {}


def test_analysis_when_no_rules_are_asked_for_then_none_is_answered(patient) -> None:
    result = result_of(patient, method="patient")
    assert "conformance" not in result
    assert outcomes(result)["SUV-01"] == "PASS"
    assert not {"TIM-01", "ING-01", "REC-03"} & set(outcomes(result))


def test_patient_when_rules_are_asked_for_then_each_is_answered_and_what_was_judged_by_is_kept(patient) -> None:
    result = result_of(patient, method="patient", conformance=asked())
    found = outcomes(result)
    assert {"TIM-01", "ING-06", "PAT-01", "SUV-01", "REC-08"} <= set(found)
    assert found["SUV-01"] == "PASS"
    assert result["conformance"]["protocol"] == {"version": 3, "digest": analysis.digest(DOCUMENT)}
    assert result["conformance"]["values"]["weight_kg"] == 75.0
    assert result["conformance"]["drifts"] == []
    assert result["verdict"] == "FAIL"  # nobody cleared the scanner
    assert found["REC-08"] == "FAIL"
    assert "not cleared for DEMO-1" in wording.headline(result)


def test_patient_when_a_warning_of_the_suv_is_said_by_a_rule_then_it_is_not_said_twice(patient, tmp_path) -> None:
    derived = copied(patient, tmp_path, ImageType=["DERIVED", "SECONDARY"])
    without, by_rules = result_of(derived, method="patient"), result_of(derived, method="patient", conformance=asked())
    assert "SUV-DERIVED" in outcomes(without)
    assert "SUV-DERIVED" not in outcomes(by_rules)
    assert outcomes(by_rules)["ING-11"] == "WARN"


def test_patient_when_no_rule_says_a_warning_of_the_suv_then_it_is_still_said(patient, tmp_path) -> None:
    shifted = copied(patient, tmp_path, RescaleIntercept=1)
    result = result_of(shifted, method="patient", conformance=asked())
    (found,) = [one for one in result["findings"] if one["id"] == "SUV-INTERCEPT"]
    assert (found["outcome"], found["owner"]) == ("WARN", "core_lab")
    assert found["next_step"]


def test_patient_when_suv_is_refused_then_one_finding_says_it_with_its_code(patient, tmp_path) -> None:
    result = result_of(copied(patient, tmp_path, PatientWeight=None), method="patient", conformance=asked())
    assert outcomes(result)["SUV-01"] == "NOT_EVALUABLE"
    assert "SUV-NO-WEIGHT" not in outcomes(result)
    (suv,) = [one for one in result["findings"] if one["id"] == "SUV-01"]
    assert suv["reason"] == "SUV-NO-WEIGHT"


def test_patient_when_slices_are_missing_then_the_rules_speak_although_nothing_is_measured(patient, tmp_path) -> None:
    torn = copied(patient, tmp_path)
    files = sorted(torn.iterdir(), key=lambda file: float(pydicom.dcmread(file).ImagePositionPatient[2]))
    files[9].unlink()
    result = result_of(torn, method="patient", conformance=asked())
    assert result["refused"]["code"] == "SERIES-GAP"
    assert outcomes(result)["ING-06"] == "FAIL"
    assert outcomes(result)["ING-05"] == "FAIL"


def test_patient_when_nothing_is_readable_then_the_rules_say_that_they_cannot_tell(tmp_path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "notes.txt").write_text("not an image")
    analysed = analyse_files(dicom_series.list_files(folder), Request(method="patient", conformance=asked()))
    assert analysed.exit_status == 2
    assert outcomes(analysed.json)["ING-01"] == "FAIL"
    assert outcomes(analysed.json)["TIM-01"] == "NOT_EVALUABLE"


def test_phantom_when_rules_are_asked_for_then_its_verdict_stays(cylinder) -> None:
    folder, sheet = cylinder
    result = result_of(folder, method="cylinder", sheet=sheet, conformance=asked(protocol=None, registry=None))
    assert result["verdict"] == result_of(folder, method="cylinder", sheet=sheet)["verdict"] == "PASS"
    assert "REC-07" in outcomes(result)


def test_phantom_when_its_software_is_new_then_it_warns_and_the_difference_is_kept(cylinder, tmp_path) -> None:
    folder, sheet = cylinder
    profile = SCANNER["reconstructions"][0] | {"matrix": 72, "slice_mm": 4.0, "pixel_mm": 4.0}
    scanner = SCANNER | {"reconstructions": [profile]}
    given = {"sheet": sheet, "conformance": asked(protocol=None, registry={"scanners": [scanner]})}
    assert result_of(folder, method="cylinder", **given)["verdict"] == "PASS"
    result = result_of(copied(folder, tmp_path, SoftwareVersions="2"), method="cylinder", **given)
    assert result["verdict"] == "WARN"
    assert result["conformance"]["drifts"] == [{"attribute": "software", "registered": "1", "seen": "2"}]


def test_analysis_when_the_protocol_cannot_be_read_then_it_is_not_the_sites_fault(patient) -> None:
    with pytest.raises(DocumentProblems):
        result_of(patient, method="patient", conformance=asked(protocol={"version": 1, "document": {}}))


def test_conform_when_run_then_its_rules_are_those_of_the_analysis(patient) -> None:
    request = Request(method="patient", conformance=asked())
    by_headers = conform_files(dicom_series.list_files(patient), request).json
    assert by_headers["findings"] == result_of(patient, method="patient", conformance=asked())["findings"]
    assert by_headers["measurements"] == []


def test_phantom_when_it_asks_for_an_answer_then_the_numbers_still_decide() -> None:
    finding = Finding(id="PHA-RATIO", outcome=Outcome.FAIL, severity="query", message="Ratio.")
    outside = Measurement(name="activity_ratio", value=7.4, unit="1", standard="earl1_18f", verdict=Outcome.FAIL)
    assert analysis.decide([], [finding], ["earl1_18f"]) is Outcome.WARN
    assert analysis.decide([outside], [finding], ["earl1_18f"]) is Outcome.FAIL
