"""The ACR PET phantom through the door of every analysis: what it is taken for, and what decides."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from phantoms import dicom_series, digital, digital_acr
from qc.analysis import Request, analyse_files

ACR_NAMES = {"acr_background_suv_mean", "acr_cylinder_25mm_suv_max", "acr_ratio_16_25"}


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> tuple[Path, dict[str, Any]]:
    return written(digital_acr.acr_pet(seed=3), tmp_path_factory.mktemp("acr"))


def written(scan: digital.DigitalScan, folder: Path) -> tuple[Path, dict[str, Any]]:
    digital.write_dicom(scan, folder, seed=1)
    assert scan.sheet is not None
    return folder, scan.sheet


def result_of(folder: Path, **request: Any) -> dict[str, Any]:
    return analyse_files(dicom_series.list_files(folder), Request(**request)).json


def judged(result: dict[str, Any]) -> dict[str, str]:
    return {one["name"]: one["verdict"] for one in result["measurements"] if one["standard"] == "acr_pet"}


@pytest.mark.parametrize("named", [("earl1_18f",), ("acr_pet",)])
def test_auto_when_the_scan_is_an_acr_phantom_then_its_own_standard_decides(whole, named) -> None:
    result = result_of(whole[0], sheet=whole[1], standards=named)
    assert (result["method"], result["method_version"], result["verdict"]) == ("acr", 3, "PASS")
    assert {name for name, verdict in judged(result).items() if verdict == "PASS"} == ACR_NAMES


def test_acr_when_the_scanner_reads_20_per_cent_low_then_it_fails(tmp_path) -> None:
    folder, sheet = written(digital_acr.acr_pet(calibration=0.8), tmp_path)
    result = result_of(folder, method="acr", sheet=sheet)
    assert result["verdict"] == "FAIL"
    assert judged(result)["acr_background_suv_mean"] == "FAIL"
    assert "PHA-CALIBRATION" in {one["id"] for one in result["findings"]}


def test_acr_when_there_is_no_faceplate_then_no_method_takes_it_for_a_phantom_in_order(tmp_path) -> None:
    folder, sheet = written(digital_acr.acr_pet(has_faceplate=False), tmp_path)
    assert result_of(folder, method="acr", sheet=sheet)["refused"]["code"] == "PHA-NOT-FOUND"
    by_itself = result_of(folder, sheet=sheet)
    assert (by_itself["method"], by_itself["verdict"]) == ("patient", "NOT_EVALUABLE")


def test_cylinder_when_the_scan_is_an_acr_phantom_then_it_is_refused(whole) -> None:
    assert result_of(whole[0], method="cylinder", sheet=whole[1])["refused"]["code"] == "PHA-NOT-FOUND"


def test_sheet_when_the_ratio_is_a_nema_phantoms_then_the_acr_phantom_asks(whole) -> None:
    assert "PHA-RATIO" not in {one["id"] for one in result_of(whole[0], method="acr", sheet=whole[1])["findings"]}
    fills = [
        fill | ({"activity_mbq": 4 * fill["activity_mbq"]} if fill["what"] == "spheres" else {})
        for fill in whole[1]["fills"]
    ]
    result = result_of(whole[0], method="acr", sheet=whole[1] | {"fills": fills})
    (asked,) = (one for one in result["findings"] if one["id"] == "PHA-RATIO")
    assert "2 to 3 is accepted" in asked["message"]


def test_acr_when_the_header_has_no_weight_then_the_sheet_gives_the_suv(whole, tmp_path) -> None:
    import pydicom

    for file in whole[0].iterdir():
        dataset = pydicom.dcmread(file)
        del dataset.PatientWeight
        dataset.save_as(tmp_path / file.name)
    result = result_of(tmp_path, method="acr", sheet=whole[1])
    assert result["suv"]["refused"]["code"] == "SUV-NO-WEIGHT"
    assert result["verdict"] == "PASS"
    assert "PHA-SUV" in {one["id"] for one in result["findings"]}
