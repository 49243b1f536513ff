"""What is wrong with a sphere phantom before it is measured decides its verdict and withholds no number."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pydicom
import pytest

from phantoms import digital, standards
from phantoms.dicom_series import list_files
from qc.analysis import Request, analyse_files

Change = Callable[[pydicom.Dataset], Any]
DIAMETERS = (37, 28, 22, 17, 13, 10)


@pytest.fixture(scope="module")
def spheres(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """Return a sphere phantom that EARL 1 passes, as files and sheet."""
    scan = digital.nema_iq(fwhm_mm=8.0, cov=0.05, seed=1, shape_zyx=(80, 110, 110), spacing_zyx_mm=(2.8, 3.2, 3.2))
    folder = tmp_path_factory.mktemp("spheres")
    digital.write_dicom(scan, folder, seed=1)
    assert scan.sheet is not None
    return folder, scan.sheet


def result_of(folder: Path, sheet: dict[str, Any], **more: Any) -> dict[str, Any]:
    return analyse_files(list_files(folder), Request(method="nema_iq", sheet=sheet, **more)).json


def plain(result: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {one["name"]: one for one in result["measurements"] if one["standard"] is None}


def outcomes(result: dict[str, Any], finding: str) -> set[str]:
    return {one["outcome"] for one in result["findings"] if one["id"] == finding}


@pytest.mark.parametrize(
    ("ratio", "verdict"),
    [(7.9, "FAIL"), (8.1, "WARN"), (8.9, "WARN"), (9.1, "PASS"), (10.9, "PASS"), (11.1, "WARN"), (12.1, "FAIL")],
)
def test_phantom_when_the_fill_ratio_is_off_then_it_decides_and_every_number_is_given(
    spheres: tuple[Path, dict[str, Any]], ratio: float, verdict: str
) -> None:
    folder, sheet = spheres
    sheet = copy.deepcopy(sheet)
    (background,) = (fill for fill in sheet["fills"] if fill["what"] == "background")
    background["volume_ml"] *= ratio / 10.0
    result = result_of(folder, sheet)
    found = plain(result)
    assert found["activity_ratio"]["value"] == pytest.approx(ratio, rel=2e-3)
    (judged,) = (
        one for one in result["measurements"] if (one["name"], one["standard"]) == ("activity_ratio", "earl1_18f")
    )
    assert judged["verdict"] == verdict
    # The images still hold 10:1, so the background is 9 % and more beside its sheet: that alone is asked about.
    assert result["verdict"] == ("WARN" if verdict == "PASS" else verdict)
    assert outcomes(result, "PHA-FILL") == {"WARN"}
    assert outcomes(result, "PHA-RATIO") == (set() if verdict == "PASS" else {verdict})
    for d in DIAMETERS:
        for kind in ("rc", "relative_rc", "crc"):
            assert all(found[f"sphere_{d}mm_{kind}_{metric}"]["value"] is not None for metric in ("a50", "max", "peak"))
        assert found[f"sphere_{d}mm_qh_pct"]["value"] is not None
    assert (found["harmonisation_filter_earl1_fwhm_mm"]["value"] is None) is (verdict == "FAIL")


@pytest.fixture
def changed(spheres: tuple[Path, dict[str, Any]], tmp_path: Path) -> Callable[[Change], Path]:
    def change(by: Change) -> Path:
        for file in sorted(spheres[0].iterdir()):
            dataset = pydicom.dcmread(file)
            by(dataset)
            dataset.save_as(tmp_path / file.name)
        return tmp_path

    return change


def uncorrected(dataset: pydicom.Dataset) -> None:
    dataset.CorrectedImage = ["DECY"]


def counts(dataset: pydicom.Dataset) -> None:
    dataset.Units = "CNTS"


def unitless(dataset: pydicom.Dataset) -> None:
    del dataset.Units


@pytest.mark.parametrize(
    ("change", "has_recovery"),
    [(uncorrected, True), (counts, False), (unitless, True)],
    ids=["no attenuation correction", "counts", "no unit"],
)
def test_phantom_when_its_image_cannot_be_judged_then_no_verdict_is_made_and_what_can_be_measured_is_given(
    spheres: tuple[Path, dict[str, Any]], changed: Callable[[Change], Path], change: Change, *, has_recovery: bool
) -> None:
    folder = changed(change)
    uid = str(pydicom.dcmread(next(folder.iterdir())).SeriesInstanceUID)
    result = result_of(folder, spheres[1], series_uid=uid)
    found = plain(result)
    assert result["verdict"] == "NOT_EVALUABLE"
    for d in DIAMETERS:
        assert found[f"sphere_{d}mm_a50"]["value"] is not None
        assert found[f"sphere_{d}mm_crc_max"]["value"] is not None
        assert (found[f"sphere_{d}mm_rc_a50"]["value"] is not None) is has_recovery
        assert has_recovery or found[f"sphere_{d}mm_rc_a50"]["flags"] != []
    for name, one in found.items():
        assert one["value"] is None or not name.startswith("harmonisation_filter_")
    (advice,) = (one for one in result["findings"] if one["id"] == "PHA-HARMONISE")
    assert "o post-filter is proposed" in advice["message"]
    assert advice["next_step"]
    if change is uncorrected:
        assert outcomes(result, "SUV-NOT-CORRECTED") == {"NOT_EVALUABLE"}


def test_phantom_when_sent_once_then_every_edition_judges_it_and_the_named_one_makes_the_verdict(
    spheres: tuple[Path, dict[str, Any]],
) -> None:
    folder, sheet = spheres
    for named, verdict in (("earl1_18f", "PASS"), ("earl2_18f", "FAIL")):
        result = result_of(folder, sheet, standards=(named,))
        assert result["verdict"] == verdict
        for edition in ("earl1_18f", "earl2_18f"):
            judged = {one["name"]: one for one in result["measurements"] if one["standard"] == edition}
            for name, limit in standards.load(edition).limits.items():
                is_of_pet = name.startswith("sphere_") and "mm_ct_" not in name
                if not is_of_pet or limit.low is None or limit.high is None:
                    continue
                one = judged[name]
                assert (one["limit_low"], one["limit_high"]) == (limit.low, limit.high)
                margin = min(one["value"] - limit.low, limit.high - one["value"])
                assert one["verdict"] == ("PASS" if margin >= 0 else "FAIL")
                # Nearer than 0.02, or than two standard deviations, is said on the number.
                assert ("NEAR_LIMIT" in one["flags"]) is (abs(margin) < max(0.02, 2 * one["uncertainty"]))
