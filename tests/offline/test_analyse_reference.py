"""The offline command on real and reference data whose answers are known."""

from __future__ import annotations

import csv
import json
import math
import re
from pathlib import Path

import pytest


def test_analyse_when_the_ge_patient_is_read_then_factor_and_maximum_are_the_published_ones(analyse, shared_data):
    outcome = analyse(shared_data / "patient_ge" / "STS_001_bqml", "--method", "patient")
    assert outcome.status == 0
    assert outcome.json["suv"]["factor_g_per_bq"] == pytest.approx(2.429030e-4, rel=1e-6)
    assert outcome.value("suvbw_max") == pytest.approx(66.52, abs=0.005)
    assert outcome.json["series"][0]["slices"] == 267


@pytest.mark.parametrize(
    "name",
    ["0_0", "1_0", "2_0", "2_1", "2_3", "2_4", "3_0", "3_1", "3_3", "4_0", "4_1", "5_0"],
)
def test_analyse_when_given_a_reference_object_then_the_mask_reads_its_published_suv(analyse, shared_data, name):
    folder = shared_data / "ibsi_suv_dro" / f"DRO_{name}"
    mask = next((folder / "mask").iterdir())
    outcome = analyse(folder / "PT", "--method", "suv", "--mask", mask)
    assert outcome.status == 0, outcome.json["refused"]
    low, median, high = (0.19, 0.98, 3.98) if name == "2_3" else (0.20, 1.00, 4.00)
    assert outcome.value("mask_suvbw_min") == pytest.approx(low, abs=0.005)
    assert outcome.value("mask_suvbw_median") == pytest.approx(median, abs=0.005)
    assert outcome.value("mask_suvbw_max") == pytest.approx(high, abs=0.005)


def test_analyse_when_the_mask_is_a_structure_set_then_the_peak_lies_in_the_hot_sphere_of_40_mm(analyse, shared_data):
    folder = shared_data / "ibsi_suv_dro" / "DRO_0_0"
    outcome = analyse(folder / "PT", "--method", "suv", "--mask", folder / "RS" / "RS_dro_0_0.dcm")
    assert outcome.status == 0
    assert outcome.value("mask_suvbw_median") == pytest.approx(1.00, abs=0.005)
    assert outcome.value("mask_suvbw_peak") == pytest.approx(4.00, abs=0.005)
    assert all(outcome.value(f"mask_suvbw_peak_center_{axis}_mm") is not None for axis in "xyz")


def test_analyse_when_the_patient_is_also_published_as_suv_then_the_box_around_the_tumour_is_equal(
    analyse, shared_data
):
    outcome = analyse(shared_data / "patient_ge" / "STS_001_gml")
    assert outcome.value("suvbw_max") == pytest.approx(25.412, abs=0.0005)


@pytest.fixture(scope="module")
def recon_1(analyse, shared_data, tmp_path_factory):
    sheet = tmp_path_factory.mktemp("sheet") / "sheet.json"
    fills = [
        {"what": "spheres", "concentration_bqml": 20000.0, "at": None},
        {"what": "background", "concentration_bqml": 2000.0, "at": None},
    ]
    sheet.write_text(json.dumps({"nuclide": "F-18", "time_zone": "Europe/London", "fills": fills}))
    return analyse(shared_data / "nema_iq" / "recon_1", "--sheet", sheet)


def test_analyse_when_headers_are_stripped_then_the_phantom_is_found_and_the_gap_is_said(recon_1):
    assert recon_1.status == 0
    assert recon_1.json["method"] == "nema_iq"
    assert recon_1.json["suv"]["refused"]["detail"]


def _rows(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_analyse_when_recon_1_is_measured_then_a50_and_max_agree_with_an_independent_program(recon_1, shared_data):
    for row in _rows(shared_data / "nema_iq" / "recon_1_reference_pynemaiqpet_0.5.4.csv"):
        diameter = round(2 * float(row["R"]))
        assert recon_1.value(f"sphere_{diameter}mm_a50") == pytest.approx(float(row["mean_a50"]), rel=0.005)
        assert recon_1.value(f"sphere_{diameter}mm_max") == pytest.approx(float(row["max"]), rel=1e-4)


def test_analyse_when_recon_1_has_the_10_to_1_sheet_then_large_spheres_agree_on_contrast_recovery(recon_1, shared_data):
    for row in _rows(shared_data / "nema_iq" / "recon_1_reference_chameleoniq_3.0.1.csv"):
        diameter = round(float(row["diameter_mm"]))
        if diameter >= 22:
            expected = float(row["percentaje_constrast_QH"])
            assert recon_1.value(f"sphere_{diameter}mm_qh_pct") == pytest.approx(expected, abs=3.0)


def test_analyse_when_recon_1_is_measured_then_the_readme_says_what_was_found(recon_1):
    readme = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (\d+) mm \| (.+) \|$", readme, flags=re.MULTILINE)
    assert [row[0] for row in rows] == ["37", "28", "22", "17", "13", "10"]
    for diameter, cells in rows:
        a50, of_others, apart, hottest, _, contrast, _ = cells.split(" | ")
        assert a50 == f"{recon_1.value(f'sphere_{diameter}mm_a50'):.1f}"
        assert hottest == f"{recon_1.value(f'sphere_{diameter}mm_max'):.1f}"
        assert contrast == f"{recon_1.value(f'sphere_{diameter}mm_qh_pct'):.1f}"
        assert apart.replace("−", "-") == f"{100 * (float(a50) / float(of_others) - 1):.2f} %"


CENTRES_ZYX = {
    37: (42.1, 97.3, 121.9),
    28: (43.2, 120.3, 107.6),
    22: (42.2, 119.4, 80.1),
    17: (42.5, 95.3, 67.0),
    13: (42.6, 72.1, 81.6),
    10: (42.3, 73.0, 109.3),
}


def test_analyse_when_recon_1_is_measured_then_centres_lie_within_3_mm(recon_1, shared_data):
    from phantoms import dicom_series

    scan = dicom_series.read_scan(dicom_series.list_files(shared_data / "nema_iq" / "recon_1"))
    volume = dicom_series.choose(scan).load()
    for diameter, index in CENTRES_ZYX.items():
        truth = volume.to_lps_mm(index)
        found = [recon_1.value(f"sphere_{diameter}mm_center_{axis}_mm") for axis in "xyz"]
        assert math.dist(truth, found) < 3.0, diameter


def test_analyse_when_the_object_is_a_gamma_camera_image_then_it_is_refused_as_pet(analyse, shared_data):
    outcome = analyse(shared_data / "wrong_modality" / "Jaszack.dcm")
    assert outcome.status == 3
    assert "PET" in outcome.json["refused"]["detail"] + outcome.json["refused"]["next_step"]


def test_analyse_when_given_broken_files_then_each_has_a_reason_and_nothing_crashes(analyse, shared_data):
    outcome = analyse(shared_data / "bad_input")
    files = [path for path in (shared_data / "bad_input").rglob("*") if path.is_file()]
    counted = sum(series["slices"] for series in outcome.json["series"]) + len(outcome.json["ignored"])
    assert counted >= len(files)
    assert outcome.status in (2, 3)
