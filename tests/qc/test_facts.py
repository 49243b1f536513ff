"""What the headers of a scan say: read once, without arrays; reconstructions by the makers' own words."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import pydicom
import pytest

from phantoms import dicom_series, digital
from qc import analysis, facts, protocols
from qc.facts import Reconstruction, facts_of, fingerprint_of, read_reconstruction
from tests.qc.conformance.scans import FACTS

ROOT = Path(__file__).resolve().parents[2]


def test_rules_when_imported_then_no_framework_and_no_arrays_come_with_them() -> None:
    code = "import sys, qc.facts, qc.protocols, qc.conformance; print(*{name.split('.')[0] for name in sys.modules})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert not {"numpy", "scipy", "django", "pydicom", "celery", "matplotlib"} & set(done.stdout.split())


# --- reconstructions, by the makers' words ----------------------------------------------------


@pytest.mark.parametrize(
    ("maker", "method", "family", "has_psf", "has_tof", "counts"),
    [
        ("SIEMENS", "PSF+TOF 3i21s", "OSEM", True, True, (3, 21)),
        ("SIEMENS", "OSEM3D 3i24s", "OSEM", False, False, (3, 24)),
        ("SIEMENS", "TrueX+TOF 4i5s", "OSEM", True, True, (4, 5)),
        ("Siemens Healthineers", "PSF 2i21s", "OSEM", True, False, (2, 21)),
        ("GE MEDICAL SYSTEMS", "VPHD", "OSEM", False, False, (None, None)),
        ("GE MEDICAL SYSTEMS", "VPFX", "OSEM", False, True, (None, None)),
        ("GE MEDICAL SYSTEMS", "VPFXS", "OSEM", True, True, (None, None)),
        ("GE MEDICAL SYSTEMS", "VPHDS", "OSEM", True, False, (None, None)),
        ("GE MEDICAL SYSTEMS", "QCHD", "BSREM", True, False, (None, None)),
        ("GE MEDICAL SYSTEMS", "QCFX", "BSREM", True, True, (None, None)),
        ("GE MEDICAL SYSTEMS", "3D IR", "OSEM", False, False, (None, None)),
        ("Philips Medical Systems", "BLOB-OS-TF", "BLOB-OS", False, True, (None, None)),
        ("Philips Medical Systems", "LOR-RAMLA", "RAMLA", False, False, (None, None)),
        ("Philips Medical Systems", "PSF_TOF_OSEM", "OSEM", True, True, (None, None)),
        ("UIH", "TOF_HYPER_DPR", "HYPER", False, True, (None, None)),
        ("CANON", "OSEM 3i10s", "OSEM", False, False, (3, 10)),
    ],
)
def test_reconstruction_when_a_maker_names_it_then_it_is_read(maker, method, family, has_psf, has_tof, counts) -> None:
    read = read_reconstruction(maker, method)
    assert (read.family, read.has_psf, read.has_tof) == (family, has_psf, has_tof)
    assert (read.iterations, read.subsets) == counts


@pytest.mark.parametrize(
    ("method", "is_learned"), [("TOF_HYPER_DPR", True), ("VPFXS Precision DL", True), ("PSF+TOF 4i5s", False)]
)
def test_reconstruction_when_it_was_learned_then_it_is_another_one(method, is_learned) -> None:
    assert read_reconstruction("UIH", method).is_deep_learning is is_learned


@pytest.mark.parametrize(
    ("kernel", "width_mm"),
    [
        ("XYZGAUSS5.00", 5.0),
        ("XYZ Gauss4.00", 4.0),
        ("XYZ Gauss2.00", 2.0),
        ("Gauss_3.0", 3.0),
        ("All-pass", 0.0),
        ("", None),
        ("B31f", None),
    ],
)
def test_filter_when_the_kernel_names_its_width_then_it_is_read(kernel, width_mm) -> None:
    assert read_reconstruction("SIEMENS", "PSF+TOF 4i5s", kernel).filter_fwhm_mm == width_mm


def test_reconstruction_when_ge_says_more_in_its_own_elements_then_that_is_read() -> None:
    private = {"Iterations": 4.0, "Subsets": 8.0, "PostFilter": 1.0, "PostFilterFWHM": 6.4, "ZFilter": 2.0}
    read = read_reconstruction("GE MEDICAL SYSTEMS", "VPFXS", ge=private)
    assert (read.iterations, read.subsets, read.filter_fwhm_mm, read.z_filter) == (4, 8, 6.4, "2")
    unfiltered = read_reconstruction("GE MEDICAL SYSTEMS", "VPFX", ge=private | {"PostFilter": 0.0})
    assert unfiltered.filter_fwhm_mm == 0.0
    penalised = read_reconstruction("GE MEDICAL SYSTEMS", "QCFX", ge={"Regularize": 1.0, "Beta": 350.0})
    assert penalised.beta == 350.0


def test_reconstruction_when_a_register_names_the_counts_of_ge_then_other_counts_are_another_one() -> None:
    registered = read_reconstruction("GE MEDICAL SYSTEMS", "VPFXS 3i16s")
    assert (registered.family, registered.iterations, registered.subsets) == ("OSEM", 3, 16)
    images = {"Iterations": 2.0, "Subsets": 17.0}
    read = read_reconstruction("GE MEDICAL SYSTEMS", "VPFXS 3i16s", ge=images)
    assert (read.iterations, read.subsets) == (2, 17)  # what the console wrote is what was done


def test_reconstruction_when_nothing_is_written_then_nothing_is_known() -> None:
    assert read_reconstruction("SIEMENS", "") == Reconstruction()


@pytest.mark.parametrize(
    "changed",
    [
        {"SoftwareVersions": "VG85A"},
        {"ReconstructionMethod": "PSF+TOF 3i21s"},
        {"reconstruction": replace(FACTS.reconstruction, filter_fwhm_mm=4.0)},
        {"Columns": 440},
        {"PixelSpacing": (1.65, 1.65)},
        {"positions_mm": (0.0, 2.0, 4.0)},
    ],
    ids=lambda changed: next(iter(changed)),
)
def test_fingerprint_when_anything_of_a_reconstruction_changes_then_it_is_another(changed) -> None:
    assert fingerprint_of(replace(FACTS, **changed)) != fingerprint_of(FACTS)


def test_fingerprint_when_only_the_scan_changes_then_it_stays() -> None:
    assert fingerprint_of(replace(FACTS, PatientWeight=60.0, SeriesInstanceUID="1.9")) == fingerprint_of(FACTS)


# --- from files -------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("torso")
    torso = digital.patient_like(weight_kg=75.0, shape_zyx=(20, 16, 16), spacing_zyx_mm=(25.0, 30.0, 30.0))
    digital.write_dicom(torso, folder)
    return folder


def read(folder: Path, **changed: object) -> facts.SubmissionFacts:
    for file in sorted(folder.iterdir()) if changed else ():
        dataset = pydicom.dcmread(file)
        for keyword, value in changed.items():
            setattr(dataset, keyword, value)
        dataset.save_as(file)
    scan = dicom_series.read_scan(dicom_series.list_files(folder))
    return facts_of(scan, scan.series[0] if scan.series else None)


@pytest.fixture
def copy(written: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(written, tmp_path / "copy"))


def test_facts_when_a_series_is_read_then_they_are_what_its_headers_say(written) -> None:
    found = read(written)
    assert (found.series, found.studies, found.patients, found.slices) == (1, 1, 1, 20)
    assert (found.PatientWeight, found.nuclide, found.ImageType) == (75.0, "F-18", ("ORIGINAL", "PRIMARY"))
    assert (found.Rows, found.Columns, found.PixelSpacing) == (16, 16, (30.0, 30.0))
    assert found.step_mm == pytest.approx(25.0)
    assert found.coverage_mm == pytest.approx(500.0)
    assert (found.is_axial, found.is_volume, found.is_lossy, found.is_derived) == (True, True, False, False)
    assert found.reconstruction == read_reconstruction("SIEMENS", "PSF+TOF 3i21s", "XYZ Gauss4.00")
    assert found.first_frame_at is not None
    assert found.last_frame_end_at > found.first_frame_at
    assert "DIGITAL" not in repr(found)


def test_facts_when_dates_were_moved_then_that_is_read(copy) -> None:
    assert read(copy, LongitudinalTemporalInformationModified="MODIFIED").are_dates_shifted
    assert not read(copy, LongitudinalTemporalInformationModified="UNMODIFIED").are_dates_shifted


def test_facts_when_the_slices_lie_along_the_body_then_they_are_not_axial(copy) -> None:
    assert read(copy, ImageOrientationPatient=[1, 0, 0, 0, 0, -1]).is_axial is False


def test_facts_when_acquisition_time_repeats_then_frame_time_tells_the_end(copy) -> None:
    for number, file in enumerate(sorted(copy.iterdir())):
        dataset = pydicom.dcmread(file)
        dataset.AcquisitionTime = "103000"
        dataset.FrameReferenceTime = 180_000.0 * (number // 10)  # two beds, three minutes apart
        dataset.ActualFrameDuration = 180_000
        dataset.save_as(file)
    found = read(copy)
    assert found.last_frame_end_at - found.first_frame_at == timedelta(minutes=6)
    assert found.frame_min == (3.0,)


def test_facts_when_ge_wrote_of_the_syringe_then_it_is_read(copy) -> None:
    for file in copy.iterdir():
        dataset = pydicom.dcmread(file)
        block = dataset.private_block(0x0009, "GEMS_PETD_01", create=True)
        block.add_new(0x38, "FL", 400.0)
        block.add_new(0x39, "DT", "20260302092500.00")
        block.add_new(0x3C, "FL", 8.0)
        block.add_new(0x3D, "DT", "20260302093500.00")
        dataset.save_as(file)
    syringe = read(copy).syringe
    assert (syringe.assayed_mbq, syringe.residual_mbq) == (400.0, 8.0)
    assert (syringe.assayed_at, syringe.residual_at) == (datetime(2026, 3, 2, 9, 25), datetime(2026, 3, 2, 9, 35))


def test_facts_when_nothing_was_chosen_then_only_the_files_are_counted(tmp_path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "notes.txt").write_text("not an image")
    found = read(folder)
    assert (found.files, found.unreadable_files, found.series, found.slices) == (1, 1, 0, 0)


@pytest.mark.parametrize(
    "changed",
    [
        {"FrameReferenceTime": "1E300"},
        {"ActualFrameDuration": "-5"},
        {"ActualFrameDuration": "2147483647", "FrameReferenceTime": "9E15"},
        {"ImagePositionPatient": ["0", "0", "1E300"]},
        {"PixelSpacing": ["1E100", "1E100"]},
        {"PatientWeight": "1E-300"},
        {"SeriesDate": "00010101", "AcquisitionDate": "00010101"},
        {"SeriesDate": "99991231", "AcquisitionDate": "99991231"},
        {"NumberOfSlices": 65535, "NumberOfTimeSlices": 65535},
        {"ReconstructionMethod": "999999999999i9s"},
        {"ConvolutionKernel": "GAUSS99999999999"},
    ],
    ids=lambda changed: " ".join(f"{name}={value}" for name, value in changed.items()),
)
def test_rules_when_a_header_holds_what_cannot_be_then_they_answer_all_the_same(copy, changed) -> None:
    for number, file in enumerate(sorted(copy.iterdir())):
        dataset = pydicom.dcmread(file)
        for keyword, value in changed.items():
            if keyword != "ImagePositionPatient" or number == 0:
                setattr(dataset, keyword, value)
        dataset.save_as(file)
    asked = {
        "protocol": {"version": 1, "document": protocols.TEMPLATES["lymphoma"]},
        "registry": {"scanners": []},
        "values": {"injected_mbq": 1e308, "injected_at": "9999-12-31T23:59", "residual_mbq": 1e308, "weight_kg": 1e-308}
        | {"residual_at": "0001-01-01T00:00"},
        "date_offset_days": -(10**9),
    }
    request = analysis.Request(method="patient", conformance=asked)
    result = analysis.conform_files(dicom_series.list_files(copy), request).json
    assert {one["id"] for one in result["findings"]} >= {"TIM-01", "ING-06", "SUV-01"}
    json.dumps(result, allow_nan=False)


def test_syringe_when_a_value_is_no_number_then_it_is_not_there(copy) -> None:
    for file in copy.iterdir():
        dataset = pydicom.dcmread(file)
        block = dataset.private_block(0x0009, "GEMS_PETD_01", create=True)
        block.add_new(0x38, "FL", float("nan"))
        block.add_new(0x39, "DT", "20260302092500.00")
        dataset.save_as(file)
    assert read(copy).syringe is None
