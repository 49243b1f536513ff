"""Real scans and published reference objects, with their truths."""

from __future__ import annotations

import csv
import json
from datetime import datetime
from pathlib import Path

import numpy as np
import pydicom
import pytest

from phantoms.dicom_series import Series, choose, list_files, read_header, read_scan
from phantoms.errors import AnalysisRefused
from phantoms.masks import read_mask
from phantoms.suv import SeriesHeader, suv_factor
from tests.phantoms.test_dicom_series import by_pydicom, by_walk
from tests.phantoms.test_suv import candidate, codes, refusal

DROS = (
    *("DRO_0_0", "DRO_1_0", "DRO_2_0", "DRO_2_1", "DRO_2_3", "DRO_2_4"),
    *("DRO_3_0", "DRO_3_1", "DRO_3_3", "DRO_4_0", "DRO_4_1", "DRO_5_0"),
)


def series_of(folder: Path) -> Series:
    return choose(read_scan(list_files(folder)))


@pytest.mark.parametrize("name", DROS)
def test_suv_when_the_object_is_an_ibsi_dro_then_the_mask_holds_its_published_values(shared_data, name: str) -> None:
    folder = shared_data / "ibsi_suv_dro" / name
    series = series_of(folder)
    result = suv_factor(series.header)
    volume = series.load()
    suv = volume.image[read_mask(folder / "mask" / "DRO_mask.nii.gz", volume)] * result.factor_g_per_bq
    # The slope of DRO_2_3 cuts its stored values off.
    expected = (0.19, 0.98, 3.98) if name == "DRO_2_3" else (0.20, 1.00, 4.00)
    assert (suv.min(), np.median(suv), suv.max()) == pytest.approx(expected, abs=0.005)


@pytest.mark.parametrize("name", ["DRO_0_0", "DRO_1_0", "DRO_2_1"])
def test_suv_when_the_region_is_the_dros_structure_set_then_it_holds_the_same_values(shared_data, name: str) -> None:
    folder = shared_data / "ibsi_suv_dro" / name
    series = series_of(folder / "PT")
    volume = series.load()
    drawn = read_mask(next((folder / "RS").iterdir()), volume)
    suv = volume.image[drawn] * suv_factor(series.header).factor_g_per_bq
    assert (suv.min(), np.median(suv), suv.max()) == pytest.approx((0.20, 1.00, 4.00), abs=0.005)
    # It is drawn one slice and one pixel inside the NIfTI mask.
    assert not (drawn & ~read_mask(folder / "mask" / "DRO_mask.nii.gz", volume)).any()


def test_dro_when_ge_names_its_scan_time_then_that_decides_and_the_missing_creator_is_said(shared_data) -> None:
    result = suv_factor(series_of(shared_data / "ibsi_suv_dro" / "DRO_3_3").header)
    assert candidate(result, "R1").is_used
    assert "SUV-PRIVATE-NO-CREATOR" in codes(result)


def test_dro_when_philips_factor_has_no_creator_then_it_is_used_and_said(shared_data) -> None:
    result = suv_factor(series_of(shared_data / "ibsi_suv_dro" / "DRO_2_4").header)
    assert result.factor_g_per_bq == 0.0005
    assert "SUV-PRIVATE-NO-CREATOR" in codes(result)


def test_dro_when_the_dose_is_in_mbq_then_it_is_said(shared_data) -> None:
    assert "SUV-DOSE-MBQ" in codes(suv_factor(series_of(shared_data / "ibsi_suv_dro" / "DRO_3_0").header))


def vendor_headers(folder: Path) -> list[tuple[str, SeriesHeader, float]]:
    found = []
    with (folder / "expected.csv").open(newline="") as table:
        for row in csv.DictReader(table):
            slices = []
            for one in json.loads((folder / row["file"]).read_text()):
                item = {keyword: one.pop(keyword) for keyword in list(one) if keyword.startswith("Radio")}
                slices.append(
                    one | one.pop("PhilipsPETPrivateGroup") | {"RadiopharmaceuticalInformationSequence": [item]}
                )
            found.append((row["file"], SeriesHeader.from_slices(slices), float(row["suvbw_factor_g_per_bq"])))
    return found


def test_suv_when_given_headers_of_four_vendors_then_each_factor_is_the_published_one(shared_data) -> None:
    vectors = vendor_headers(shared_data / "vendor_headers")
    assert len(vectors) == 4
    for name, header, factor in vectors:
        result = suv_factor(header)
        assert result.factor_g_per_bq == pytest.approx(factor, rel=1e-12), name
        assert result.refused is None


def test_philips_when_it_repeats_the_acquisition_time_then_its_own_factors_confirm_series_time(shared_data) -> None:
    header = next(h for name, h, _ in vendor_headers(shared_data / "vendor_headers") if name.startswith("PHILIPS_BQML"))
    result = suv_factor(header)
    assert result.reference_time == datetime(2020, 12, 17, 11, 1, 55)
    assert abs((candidate(result, "R7").time - result.reference_time).total_seconds()) < 2


# --- a patient from a GE scanner ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def patient(shared_data) -> Series:
    return series_of(shared_data / "patient_ge" / "STS_001_bqml")


def test_ge_patient_when_read_then_factor_and_maximum_are_the_published_ones(patient: Series) -> None:
    result = suv_factor(patient.header)
    assert result.factor_g_per_bq == pytest.approx(2.429030e-4, rel=1e-6)
    assert result.factor_g_per_bq * float(patient.load().image.max()) == pytest.approx(66.52, abs=0.005)
    assert result.reference_time == datetime(2000, 9, 7, 11, 20, 11)
    assert candidate(result, "R2").is_used
    assert "acquisition time repeats" in candidate(result, "R5").reason
    assert not result.warnings


def test_ge_patient_when_steps_are_3_19_to_3_29_mm_then_the_mean_is_taken(patient: Series) -> None:
    assert patient.slices == 267
    assert patient.spacing_zyx_mm == pytest.approx((3.27, 4.6875, 4.6875), abs=1e-3)
    steps = np.diff([instance.facts.position_mm for instance in patient.instances])
    assert (steps.min(), steps.max()) == pytest.approx((3.19, 3.29), abs=0.005)


def test_ge_patient_when_compared_with_an_independent_suv_image_then_every_voxel_agrees(patient, shared_data) -> None:
    published_series = series_of(shared_data / "patient_ge" / "STS_001_gml")
    assert suv_factor(published_series.header).factor_g_per_bq == 1.0
    published, whole = published_series.load(), patient.load()
    start = np.rint(whole.to_index_zyx(published.affine_lps_mm[:3, 3])).astype(int)
    box = tuple(slice(a, a + n) for a, n in zip(start, published.image.shape, strict=True))
    suv = whole.image[box] * suv_factor(patient.header).factor_g_per_bq
    # Both store 16-bit steps slice by slice; half of each is the most they may differ by.
    pet = [
        float(pydicom.dcmread(i.source.path, stop_before_pixels=True).RescaleSlope) for i in published_series.instances
    ]
    assert (np.abs(suv - published.image).max(axis=(1, 2)) <= np.array(pet) * 1.01).all()
    assert suv.max() == pytest.approx(25.412, abs=5e-4)
    bright = published.image > 0.5
    assert np.median(suv[bright] / published.image[bright]) == pytest.approx(1, abs=1e-6)


PATIENTS = ["STS_002", "STS_005", "STS_009", "STS_012", "STS_016", "STS_021", "STS_028", "STS_035", "STS_042"]
MOVED = {"STS_002", "STS_009", "STS_012", "STS_016", "STS_028"}  # their injection is dated the day after the scan


@pytest.mark.parametrize("name", PATIENTS)
def test_gml_patient_when_the_injection_is_dated_after_the_scan_then_it_is_questioned(shared_data, name: str) -> None:
    result = suv_factor(series_of(shared_data / "patient_gml" / name).header)
    assert result.factor_g_per_bq == 1.0
    assert ("AD-01" in codes(result)) == (name in MOVED)


# --- stripped, wrong, broken -------------------------------------------------------------------------------------


def test_nema_scan_when_headers_are_stripped_then_suv_is_refused_and_all_that_is_missing_is_named(shared_data) -> None:
    series = series_of(shared_data / "nema_iq" / "recon_1")
    result = suv_factor(series.header)
    assert refusal(result).code == "SUV-UNITS"
    for tag in ("0054,1001", "0010,1030", "0018,1074", "0018,1075", "0018,1072", "0054,1102"):
        assert tag in refusal(result).detail
    assert result.reference_time is None
    volume = series.load()
    assert volume.image.shape == (89, 192, 192)
    assert volume.unit == "1"
    assert series.spacing_zyx_mm == pytest.approx((2.78, 2.0833, 2.0833), abs=1e-3)


def test_nema_scan_when_loaded_then_every_plane_equals_pydicom(shared_data) -> None:
    series = series_of(shared_data / "nema_iq" / "recon_1")
    image = series.load().image
    for k in (0, 44, 88):
        dataset = pydicom.dcmread(series.instances[k].source.path)
        assert np.allclose(image[k], dataset.pixel_array * float(dataset.RescaleSlope), rtol=1e-6)


@pytest.mark.parametrize("folder", ["bad_input", "wrong_modality"])
def test_scan_when_files_are_broken_or_no_pet_then_each_is_counted_once_with_a_reason(shared_data, folder: str) -> None:
    files = list_files(shared_data / folder)
    assert len(files) == sum(path.is_file() for path in (shared_data / folder).rglob("*"))
    scan = read_scan(files)
    counted = [source.name for series in scan.series for source in series.sources] + [one.path for one in scan.ignored]
    assert sorted(counted) == sorted(file.name for file in files)
    assert all(one.reason and one.code for one in scan.ignored)


def test_gamma_camera_when_sent_as_pet_then_it_is_refused_by_name(shared_data) -> None:
    scan = read_scan(list_files(shared_data / "wrong_modality"))
    with pytest.raises(AnalysisRefused, match="MODALITY-NOT-PET") as caught:
        choose(scan)
    assert "gamma-camera images (NM)" in caught.value.detail


def test_truncated_slice_when_loaded_then_it_is_refused(shared_data) -> None:
    series = series_of(shared_data / "bad_input" / "truncated_real_PT_40000bytes.dcm")
    with pytest.raises(AnalysisRefused, match="SERIES-TRUNCATED"):
        series.load()


def test_converted_multi_frame_when_it_is_dynamic_then_its_frames_are_read_and_it_is_refused(shared_data) -> None:
    series = series_of(shared_data / "bad_input" / "testtoenhanceddynamicpet.dcm")
    assert (series.slices, len(series.sources), series.units) == (4134, 1, "BQML")
    assert len({instance.position for instance in series.instances}) == 159
    assert {instance.pixel_spacing_mm for instance in series.instances} == {(0.388192, 0.388192)}
    first = next(instance for instance in series.instances if instance.frame == 0)
    assert (first.orientation, first.slope) == ((1, 0, 0, 0, -1, 0), 4.254608116e-17)
    assert {one.ActualFrameDuration for one in series.header.slices} == {60000, 300000}
    assert series.header.injections[0].RadionuclideTotalDose == 7.166493e6
    assert series.header.DecayCorrection == "START"
    with pytest.raises(AnalysisRefused, match="SERIES-DYNAMIC"):
        series.load()


def test_read_header_when_given_anything_then_it_gives_facts_or_refuses(shared_data) -> None:
    for path in (path for path in (shared_data / "bad_input").rglob("*") if path.is_file()):
        try:
            assert read_header(path).sop_instance_uid
        except AnalysisRefused as refused:
            if refused.code != "ING-01":
                raise


@pytest.mark.parametrize(
    "folder", ["patient_ge/STS_001_bqml", "patient_gml/STS_002", "nema_iq/recon_1", "ibsi_suv_dro", "bad_input"]
)
def test_walk_when_files_are_real_then_it_equals_pydicom_or_leaves_them(shared_data, folder: str) -> None:
    files = sorted(path for path in (shared_data / folder).rglob("*") if path.is_file())
    walked = 0
    for path in files[:: max(1, len(files) // 40)]:
        found = by_walk(path.read_bytes())
        if found != "left to pydicom":
            walked += 1
            assert found == by_pydicom(path.read_bytes()), path
    assert walked > 5
