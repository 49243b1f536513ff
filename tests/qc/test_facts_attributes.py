"""Every attribute that a rule of the catalogue is about has its place in the facts, and is read there."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest

from phantoms.dicom_series import choose, list_files, read_scan, write_series
from phantoms.volume import PetVolume
from qc.facts import CtSeries, SubmissionFacts, facts_of

DOMAIN = Path(__file__).resolve().parents[3] / "shared" / "domain.md"
SLICES, PER_BED = 6, 3
STARTED_AT = datetime(2026, 3, 2, 10, 30)
FRAME_S = 120
PET = {
    "Manufacturer": "GE MEDICAL SYSTEMS",
    "ManufacturerModelName": "Discovery 710",
    "DeviceSerialNumber": "60421",
    "SoftwareVersions": "61.00",
    "ConversionType": "WSD",
    "BodyPartExamined": "WHOLEBODY",
    "LossyImageCompressionMethod": "ISO_15444_1",
    "LossyImageCompressionRatio": 2.5,
    "LongitudinalTemporalInformationModified": "MODIFIED",
    "PatientName": "Somebody^Secret",
    "PatientID": "Trial-1-007",
    "PatientBirthDate": "19660401",
    "PatientSex": "F",
    "PatientAge": "059Y",
    "PatientSize": 1.63,
    "PatientWeight": 71.0,
    "InstitutionName": "Infirmary of Secrets",
    "ClinicalTrialSubjectID": "TRIAL-1-007",
    "PatientIdentityRemoved": "YES",
    "DeidentificationMethod": "DICOM PS3.15 Basic",
    "DeidentificationMethodCodeSequence": {"CodeValue": "113100", "CodingSchemeDesignator": "DCM"},
    "BurnedInAnnotation": "NO",
    "TimezoneOffsetFromUTC": "+0100",
    "SeriesDate": "20260302",
    "SeriesTime": "103000",
    "AcquisitionDate": "20260302",
    "ActualFrameDuration": 1000 * FRAME_S,
    "ReconstructionDiameter": 700.0,
    "CorrectedImage": ["DECY", "ATTN", "SCAT", "DTIM", "RAN", "NORM"],
    "RandomsCorrectionMethod": "SING",
    "AttenuationCorrectionMethod": "CT measured",
    "ScatterCorrectionMethod": "Model based",
    "ReconstructionMethod": "VPFXS",
    "ConvolutionKernel": "XYZ Gauss4.00",
    "FilterType": "Gauss",
    "DecayCorrection": "START",
    "NumberOfTimeSlices": 1,
    "RadiopharmaceuticalInformationSequence": {
        "Radiopharmaceutical": "FDG",
        "RadiopharmaceuticalStartTime": "093000",
        "RadiopharmaceuticalStartDateTime": "20260302093000",
        "RadionuclideTotalDose": 2.9e8,
        "RadionuclideHalfLife": 6586.2,
        "RadionuclideCodeSequence": {"CodeValue": "C-111A1", "CodingSchemeDesignator": "SRT", "CodeMeaning": "F-18"},
        "RadiopharmaceuticalCodeSequence": {"CodeValue": "C-B1031", "CodingSchemeDesignator": "SRT"},
    },
}
GE_BLOCK = {
    0x0D: ("DT", "20260302103000.00"),
    0x36: ("LO", "FDG"),
    0x38: ("FL", 300.0),
    0x39: ("DT", "20260302092500.00"),
    0x3B: ("DT", "20260302093000.00"),
    0x3C: ("FL", 8.0),
    0x3D: ("DT", "20260302093500.00"),
    0x3F: ("FL", 6588.0),
    0x6C: ("DT", "20260302103000.00"),
    0x6D: ("SL", 120),
    0xB2: ("SL", 3),
    0xB3: ("SL", 16),
    0xB4: ("FL", 700.0),
    0xB6: ("SL", 1),
    0xB8: ("SL", 2),
    0xBA: ("SL", 1),
    0xBB: ("FL", 6.5),
    0xBC: ("SL", 1),
    0xBD: ("FL", 350.0),
    0xC3: ("SL", 4),
    0xC7: ("SL", 11),
    0xD5: ("FL", 5.0),
    0xDB: ("SL", 2),
    0xDC: ("FL", 0.5),
    0xE4: ("ST", "WB VPFXS"),
}
PET |= {(0x0009, "GEMS_PETD_01", element): value for element, value in GE_BLOCK.items()}
PET[0x0071, "SIEMENS MED PT", 0x22] = ("DT", "20260302103000.000000")
PET[0x7053, "Philips PET Private Group", 0x00] = ("DS", "0.0007")
PET[0x7053, "Philips PET Private Group", 0x09] = ("DS", "1.6")
CT = {
    "SOPClassUID": "1.2.840.10008.5.1.4.1.1.2",
    "Modality": "CT",
    "ImageType": ["ORIGINAL", "PRIMARY", "AXIAL"],
    "SeriesNumber": 2,
    "Units": None,
    "ContrastBolusAgent": "Iohexol",
    "KVP": 120.0,
    "ReconstructionDiameter": 500.0,
    "PatientID": "TRIAL-1-007",
    "AcquisitionDate": "20260302",
    "AcquisitionTime": "102500",
    "RescaleSlope": 1,
}


def grid(planes: int, step_mm: float) -> PetVolume:
    made = np.diag([4.0, 4.0, step_mm, 1.0])
    made[2, 3] = -100.0
    return PetVolume(np.ones((planes, 4, 4), np.float32), made, "Bq/mL")


def of_slice(k: int) -> dict[str, Any]:
    """Return what a slice says of its bed: the upper one is taken first, as where a scan begins at the head."""
    bed = 0 if k >= PER_BED else 1
    return {
        "AcquisitionTime": (STARTED_AT + timedelta(seconds=bed * FRAME_S)).strftime("%H%M%S"),
        "FrameReferenceTime": 1000.0 * FRAME_S * bed,
        "DecayFactor": 1.01 + bed / 100,
    }


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a PET series of two beds, the same without attenuation correction, and a CT of four slices."""
    folder = tmp_path_factory.mktemp("scan")
    write_series(folder / "pet", grid(SLICES, 3.0), PET, of_slice)
    frame_of_reference = pydicom.dcmread(next((folder / "pet").iterdir())).FrameOfReferenceUID
    nac = {"CorrectedImage": ["DECY"], "AttenuationCorrectionMethod": "NONE", "SeriesNumber": 3}
    write_series(folder / "nac", grid(SLICES, 3.0), PET | nac, of_slice, seed=1)
    tube = [{"Exposure": 30 + k, "ExposureTime": 500, "XRayTubeCurrent": 60 + 2 * k} for k in range(4)]
    ct = CT | {"FrameOfReferenceUID": frame_of_reference}
    write_series(folder / "ct", grid(4, 5.0), ct, tube.__getitem__, seed=2)
    return folder


def read(folder: Path) -> SubmissionFacts:
    scan = read_scan(list_files(folder))
    return facts_of(scan, choose(scan))


@pytest.fixture(scope="module")
def found(folder: Path) -> SubmissionFacts:
    return read(folder)


def ct(name: str) -> Callable[[SubmissionFacts], Any]:
    return lambda facts: getattr(facts.ct[0], name)


def said(name: str) -> Callable[[SubmissionFacts], Any]:
    return lambda facts: {getattr(one, name) for one in facts.said.slices}


UP = tuple(float(-100 + 3 * k) for k in range(SLICES))
PET_CLASS, CT_CLASS = "1.2.840.10008.5.1.4.1.1.128", "1.2.840.10008.5.1.4.1.1.2"
#: Rule, tag, where the attribute is in the facts, and what is there of the scan above.
CATALOGUE: list[tuple[str, str, Callable[[SubmissionFacts], Any], Any]] = [
    ("ING-01", "(0002,0010)", lambda facts: facts.TransferSyntaxUID, ("1.2.840.10008.1.2.1",)),
    ("ING-01", "(0008,0016)", lambda facts: facts.SOPClassUID, (PET_CLASS, CT_CLASS)),
    ("ING-02", "(0010,0020)", lambda facts: (facts.identity.is_subject("trial-1-007 "), facts.patients), (True, 1)),
    ("ING-02", "(0012,0040)", lambda facts: facts.identity.ClinicalTrialSubjectID, ("TRIAL-1-007",)),
    ("ING-02", "(0020,000D)", lambda facts: facts.studies, 2),
    ("ING-03", "(0008,0018)", lambda facts: (facts.copies, facts.doubled_identities), (0, 0)),
    ("ING-04", "(0020,0032)", lambda facts: facts.positions_mm, UP),
    ("ING-05", "(0054,0081)", lambda facts: facts.NumberOfSlices, SLICES),
    ("ING-05", "(0054,0101)", lambda facts: facts.NumberOfTimeSlices, 1),
    ("ING-06", "(0020,0032)", lambda facts: facts.steps_mm, (3.0,) * 5),
    ("ING-07", "(0020,0013)", lambda facts: facts.numbering.InstanceNumber, tuple(range(1, SLICES + 1))),
    ("ING-07", "(0054,1330)", lambda facts: facts.numbering.ImageIndex, tuple(range(1, SLICES + 1))),
    ("ING-08", "(0020,0037)", lambda facts: (facts.is_axial, facts.ct[0].is_axial), (True, True)),
    ("ING-08", "(0020,0052)", lambda facts: facts.FrameOfReferenceUID == facts.ct[0].FrameOfReferenceUID, True),
    ("ING-09", "(0028,0051)", lambda facts: facts.uncorrected_series, 1),
    ("ING-09", "(0054,1101)", lambda facts: facts.methods.AttenuationCorrectionMethod, "CT measured"),
    ("ING-09", "(0008,0060)", lambda facts: facts.Modality, ("CT", "PT")),
    ("ING-10", "(0028,2110)", lambda facts: facts.is_lossy, False),
    ("ING-10", "(0028,2112)", lambda facts: facts.LossyImageCompressionRatio, 2.5),
    ("ING-10", "(0028,2114)", lambda facts: facts.LossyImageCompressionMethod, ("ISO_15444_1",)),
    ("ING-11", "(0008,0008)", lambda facts: facts.ImageType, ("ORIGINAL", "PRIMARY")),
    ("ING-11", "(0008,0064)", lambda facts: facts.ConversionType, "WSD"),
    ("ING-12", "(0054,1000)", lambda facts: (facts.SeriesType, facts.is_volume), (("STATIC", "IMAGE"), True)),
    ("ING-12", "(0018,0015)", lambda facts: facts.BodyPartExamined, "WHOLEBODY"),
    ("DEID-01", "(0010,0010)", lambda facts: "PatientName" in facts.identity.identifying, True),
    ("DEID-01", "(0028,0301)", lambda facts: facts.identity.BurnedInAnnotation, ("NO",)),
    ("DEID-02", "(0012,0062)", lambda facts: facts.identity.PatientIdentityRemoved, ("YES",)),
    ("DEID-02", "(0012,0063)", lambda facts: facts.identity.DeidentificationMethod, ("DICOM PS3.15 Basic",)),
    ("DEID-02", "(0012,0064)", lambda facts: facts.identity.deidentification_codes, ("113100",)),
    ("DEID-03", "(0009,xx0D)", lambda facts: facts.said.GEScanDateTime, "20260302103000.00"),
    ("DEID-03", "(0071,xx22)", lambda facts: facts.said.SiemensDecayCorrectionDateTime, "20260302103000.000000"),
    ("DEID-03", "(7053,xx00)", lambda facts: facts.said.SUVScaleFactor, 0.0007),
    ("DEID-03", "(7053,xx09)", lambda facts: facts.said.ActivityConcentrationScaleFactor, 1.6),
    ("DEID-03", "(0008,0201)", lambda facts: facts.said.TimezoneOffsetFromUTC, "+0100"),
    ("DEID-03", "(0008,0031)", lambda facts: facts.series_at, STARTED_AT),
    ("DEID-03", "(0008,0022)", ct("first_frame_at"), datetime(2026, 3, 2, 10, 25)),
    ("DEID-03", "(0028,0303)", lambda facts: facts.LongitudinalTemporalInformationModified, "MODIFIED"),
    ("PAT-01", "(0010,1030)", lambda facts: facts.PatientWeight, 71.0),
    ("PAT-03", "(0010,1020)", lambda facts: facts.PatientSize, 1.63),
    ("PAT-03", "(0010,0040)", lambda facts: facts.PatientSex, "F"),
    ("PAT-04", "(0010,1010)", lambda facts: (facts.PatientAge, facts.age_years), ("059Y", 59.0)),
    ("INJ-01", "(0018,0031)", lambda facts: facts.injection.Radiopharmaceutical, "FDG"),
    ("INJ-01", "(0054,0300)", lambda facts: facts.nuclide, "F-18"),
    ("INJ-01", "(0054,0304)", lambda facts: facts.pharmaceutical_codes, ("C-B1031",)),
    ("INJ-01", "(0009,xx36)", lambda facts: facts.ge.tracer, "FDG"),
    ("INJ-02", "(0018,1075)", lambda facts: facts.injection.RadionuclideHalfLife, 6586.2),
    ("INJ-02", "(0009,xx3F)", lambda facts: facts.ge.half_life_s, 6588.0),
    ("INJ-03", "(0018,1074)", lambda facts: facts.dose_mbq, 290.0),
    ("INJ-04", "(0009,xx38)", lambda facts: facts.syringe.assayed_mbq, 300.0),
    ("INJ-04", "(0009,xx39)", lambda facts: facts.syringe.assayed_at, datetime(2026, 3, 2, 9, 25)),
    ("INJ-04", "(0009,xx3C)", lambda facts: facts.syringe.residual_mbq, 8.0),
    ("INJ-04", "(0009,xx3D)", lambda facts: facts.syringe.residual_at, datetime(2026, 3, 2, 9, 35)),
    ("INJ-05", "(0018,1072)", lambda facts: facts.injection.RadiopharmaceuticalStartTime, "093000"),
    ("INJ-05", "(0018,1078)", lambda facts: facts.injection.RadiopharmaceuticalStartDateTime, "20260302093000"),
    ("INJ-05", "(0009,xx3B)", lambda facts: facts.ge.administered_at, datetime(2026, 3, 2, 9, 30)),
    ("TIM-01", "(0008,0032)", lambda facts: facts.beds[0].started_at, STARTED_AT),
    ("TIM-01", "(0009,xx6C)", lambda facts: facts.ge.acquired_at, STARTED_AT),
    ("TIM-03", "(0008,0032)", lambda facts: facts.is_toward_head, False),
    ("TIM-04", "(0008,0032)", lambda facts: facts.last_frame_end_at - facts.first_frame_at, timedelta(minutes=4)),
    ("TIM-05", "(0054,1321)", said("DecayFactor"), {1.01, 1.02}),
    ("TIM-05", "(0054,1300)", said("FrameReferenceTime"), {0.0, 120_000.0}),
    ("ACQ-01", "(0018,1242)", lambda facts: facts.frame_min, (2.0,)),
    ("ACQ-01", "(0009,xx6D)", lambda facts: facts.ge.acquisition_duration, 120.0),
    ("ACQ-02", "(0008,0032)", lambda facts: ([bed.slices for bed in facts.beds], facts.bed_steps_mm), ([3, 3], (9.0,))),
    ("ACQ-02", "(0009,xxC7)", lambda facts: facts.ge.overlap_slices, 11),
    ("ACQ-03", "(0020,0032)", lambda facts: (facts.coverage_mm, facts.ct[0].coverage_mm), (18.0, 20.0)),
    (
        "ACQ-04",
        "(0018,1100)",
        lambda facts: (facts.ReconstructionDiameter, facts.ct[0].ReconstructionDiameter),
        (700.0, (500.0, 500.0)),
    ),
    ("ACQ-04", "(0009,xxB4)", lambda facts: facts.ge.reconstruction_diameter, 700.0),
    ("ACQ-05", "(0008,0032)", lambda facts: facts.is_continuous, False),
    ("REC-01", "(0028,0051)", lambda facts: facts.CorrectedImage, tuple(PET["CorrectedImage"])),
    ("REC-02", "(0054,1100)", lambda facts: facts.methods.RandomsCorrectionMethod, "SING"),
    ("REC-02", "(0054,1101)", lambda facts: facts.methods.AttenuationCorrectionMethod, "CT measured"),
    ("REC-02", "(0054,1105)", lambda facts: facts.methods.ScatterCorrectionMethod, "Model based"),
    ("REC-02", "(0009,xxC3)", lambda facts: facts.ge.scatter_method, 4.0),
    ("REC-03", "(0054,1103)", lambda facts: facts.ReconstructionMethod, "VPFXS"),
    ("REC-03", "(0018,1210)", lambda facts: facts.ConvolutionKernel, "XYZ Gauss4.00"),
    ("REC-03", "(0009,xxB2)", lambda facts: facts.reconstruction.iterations, 3),
    ("REC-03", "(0009,xxB3)", lambda facts: facts.reconstruction.subsets, 16),
    ("REC-03", "(0009,xxBD)", lambda facts: facts.reconstruction.beta, 350.0),
    ("REC-03", "(0009,xxE4)", lambda facts: facts.ge.protocol, "WB VPFXS"),
    ("REC-04", "(0018,1210)", lambda facts: facts.reconstruction.filter_fwhm_mm, 4.0),
    ("REC-04", "(0018,1160)", lambda facts: facts.FilterType, "Gauss"),
    ("REC-04", "(0009,xxDB)", lambda facts: facts.reconstruction.z_filter, "2"),
    ("REC-04", "(0009,xxDC)", lambda facts: facts.ge.z_filter_ratio, 0.5),
    ("REC-04", "(0009,xxB6)", lambda facts: facts.ge.loop_filter, 1.0),
    ("REC-04", "(0009,xxB8)", lambda facts: facts.ge.loop_filter_parameter, 2.0),
    ("REC-04", "(0009,xxD5)", lambda facts: facts.ge.loop_filter_width, 5.0),
    ("REC-05", "(0028,0010)", lambda facts: facts.Rows, 4),
    ("REC-05", "(0028,0011)", lambda facts: facts.Columns, 4),
    ("REC-05", "(0028,0030)", lambda facts: facts.PixelSpacing, (4.0, 4.0)),
    ("REC-06", "(0018,0050)", lambda facts: (facts.SliceThickness, facts.step_mm), (3.0, 3.0)),
    ("REC-07", "(0008,0070)", lambda facts: facts.Manufacturer, "GE MEDICAL SYSTEMS"),
    ("REC-07", "(0008,1090)", lambda facts: facts.ManufacturerModelName, "Discovery 710"),
    ("REC-07", "(0018,1000)", lambda facts: facts.DeviceSerialNumber, "60421"),
    ("REC-07", "(0018,1020)", lambda facts: facts.SoftwareVersions, "61.00"),
    ("SUV-01", "(0054,1001)", lambda facts: facts.said.Units, "BQML"),
    ("SUV-01", "(0054,1102)", lambda facts: facts.DecayCorrection, "START"),
    ("CT-01", "(0018,0060)", ct("KVP"), (120.0, 120.0)),
    ("CT-01", "(0018,1150)", ct("ExposureTime"), (500.0, 500.0)),
    ("CT-01", "(0018,1151)", ct("XRayTubeCurrent"), (60.0, 66.0)),
    ("CT-01", "(0018,1152)", ct("Exposure"), (30.0, 33.0)),
    ("CT-02", "(0020,0032)", ct("positions_mm"), (-100.0, -95.0, -90.0, -85.0)),
    ("CT-02", "(0018,0050)", ct("SliceThickness"), 5.0),
    ("CT-04", "(0018,0010)", ct("ContrastBolusAgent"), ("Iohexol",)),
]
#: Tags that one scan cannot show beside the others, and the test below that shows them.
ELSEWHERE = {"(0009,xxBA)", "(0009,xxBB)"}


@pytest.mark.parametrize(
    ("place", "expected"), [row[2:] for row in CATALOGUE], ids=[f"{rule} {tag}" for rule, tag, *_ in CATALOGUE]
)
def test_facts_when_a_rule_is_about_an_attribute_then_it_has_its_place_there(found, place, expected) -> None:
    assert place(found) == expected


def test_facts_when_ge_names_a_filter_and_no_kernel_does_then_that_is_read(tmp_path: Path) -> None:
    write_series(tmp_path, grid(SLICES, 3.0), PET | {"ConvolutionKernel": None}, of_slice)
    assert read(tmp_path).reconstruction.filter_fwhm_mm == 6.5  # (0009,xxBA) says that there is one, xxBB its width


def tags_of(cell: str) -> set[str]:
    """Return the tags that a cell of the catalogue names: ``(0018,1150–1152)``, ``(0018,1072/1078)``."""
    tags: set[str] = set()
    for group, elements in re.findall(r"\((\w{4}),([\w/–]+)\)", cell):
        first, *more = re.split(r"[/–]", elements)
        whole = [first, *(first[: 4 - len(one)] + one for one in more)]
        if "–" in elements:
            whole = [f"{number:04X}" for number in range(int(first, 16), int(more[0], 16) + 1)]
        tags |= {f"({group},{one})" for one in whole}
    return tags


def test_catalogue_when_the_fields_own_is_there_then_no_tag_of_it_is_without_a_place() -> None:
    if not DOMAIN.is_file():
        pytest.skip("../shared/domain.md is not here")
    section = DOMAIN.read_text().partition("### 3.2 ")[2].partition("\n### ")[0]
    rows = [[cell.strip() for cell in line.split("|")] for line in section.splitlines() if re.match(r"\| \w+-\d", line)]
    assert len(rows) > 50
    placed = {(rule, tag) for rule, tag, *_ in CATALOGUE}
    named = {(row[1], tag) for row in rows for tag in tags_of(row[3])}
    assert len(named) > 50
    missing = {(rule, tag) for rule, tag in named - placed if tag not in ELSEWHERE}
    # INJ-03 compares with the weight, TIM-04 with the frame: both have their place under the rule that is about them.
    assert {tag for _, tag in missing} <= {tag for _, tag in placed}


# --- whose it is ---------------------------------------------------------------------------------------------------


def test_identity_when_attributes_say_who_it_is_then_their_names_are_kept_and_not_what_they_hold(found) -> None:
    assert found.identity.identifying == ("InstitutionName", "PatientBirthDate", "PatientID", "PatientName")
    assert "Secret" not in repr(found)
    assert "007" not in repr(found.identity).replace("TRIAL-1-007", "")  # the trial's own code of the subject


def test_header_when_it_says_who_somebody_is_then_that_is_not_handed_on(folder: Path) -> None:
    scan = read_scan(list_files(folder))
    headers = [one.header for one in (*scan.series[0].instances, *scan.others)]
    assert len(scan.others) == 4
    assert not any("Secret" in repr(header) or "PatientID" in header for header in headers)


@pytest.mark.parametrize(("code", "is_one"), [("TRIAL-1-008", False), ("TRIAL-1-007", True)])
def test_identity_when_a_subject_is_asked_for_then_it_is_said_whether_it_is(found, code: str, is_one: bool) -> None:
    assert found.identity.is_subject(code) is is_one


def test_identity_when_nobody_is_named_then_it_is_nobody(tmp_path: Path) -> None:
    write_series(tmp_path, grid(2, 3.0), {"CorrectedImage": ["ATTN"]})
    assert read(tmp_path).identity.is_subject("TRIAL-1-007") is None
    assert read(tmp_path).identity.identifying == ()


@pytest.mark.parametrize(
    ("age", "born", "years"),
    [
        ("059Y", "", 59.0),
        ("006M", "", 0.5),
        ("089Y", "19000101", 89.0),
        ("", "19660302", 60.0),
        ("", "19660303", 59.0),
        ("old", "", None),
        ("", "", None),
        ("", "20270101", None),
    ],
)
def test_age_when_it_is_written_or_a_birth_date_is_then_it_is_read(tmp_path: Path, age, born, years) -> None:
    write_series(tmp_path, grid(2, 3.0), PET | {"PatientAge": age, "PatientBirthDate": born}, of_slice)
    assert read(tmp_path).age_years == years


# --- the slices ----------------------------------------------------------------------------------------------------


def change(folder: Path, per_file: Callable[[int], dict[str, Any]]) -> SubmissionFacts:
    """Write the PET series with other values in its files, and read it."""
    write_series(folder, grid(SLICES, 3.0), PET, lambda k: of_slice(k) | per_file(k))
    return read(folder)


def test_numbering_when_a_number_is_left_out_or_comes_twice_then_it_is_not_contiguous(tmp_path: Path) -> None:
    assert change(tmp_path / "good", lambda k: {}).numbering.is_contiguous is True
    assert change(tmp_path / "gap", lambda k: {"ImageIndex": k + 1 + (k > 3)}).numbering.is_contiguous is False
    assert change(tmp_path / "twice", lambda k: {"InstanceNumber": max(k, 1)}).numbering.is_contiguous is False
    none = change(tmp_path / "none", lambda k: {"InstanceNumber": None, "ImageIndex": None if k else 1})
    assert none.numbering.is_contiguous is None


def test_beds_when_the_scan_begins_at_the_feet_then_it_goes_toward_the_head(tmp_path: Path) -> None:
    found = change(tmp_path, lambda k: {"AcquisitionTime": "103000" if k < PER_BED else "103200"})
    assert found.is_toward_head is True


def test_beds_when_every_slice_has_a_time_of_its_own_then_the_table_moved_on_steadily(tmp_path: Path) -> None:
    assert change(tmp_path, lambda k: {"AcquisitionTime": f"1030{k:02d}"}).is_continuous is True


def test_beds_when_acquisition_time_repeats_then_frame_time_tells_them_apart(tmp_path: Path) -> None:
    found = change(tmp_path, lambda k: {"AcquisitionTime": "103000"})
    assert [(bed.started_at, bed.slices) for bed in found.beds] == [
        (STARTED_AT, 3),
        (STARTED_AT + timedelta(seconds=FRAME_S), 3),
    ]


def test_beds_when_a_slice_has_no_time_then_there_are_none(tmp_path: Path) -> None:
    found = change(tmp_path, lambda k: {"AcquisitionTime": "" if k else "103000", "AcquisitionDate": ""})
    assert (found.beds, found.is_toward_head, found.is_continuous) == ((), None, None)


# --- files ---------------------------------------------------------------------------------------------------------


def test_files_when_one_is_there_twice_then_copies_and_doubled_identities_are_counted(tmp_path: Path) -> None:
    paths = write_series(tmp_path, grid(SLICES, 3.0), PET, of_slice)
    (tmp_path / "copy.dcm").write_bytes(paths[0].read_bytes())
    other = pydicom.dcmread(paths[1])
    other.PatientWeight = 72
    other.save_as(tmp_path / "other.dcm")
    found = read(tmp_path)
    assert (found.copies, found.doubled_identities) == (1, 1)


def test_ct_when_a_scout_comes_with_it_then_it_is_told_from_slices_and_a_copy_does_not_count(tmp_path: Path) -> None:
    write_series(tmp_path / "pet", grid(SLICES, 3.0), PET, of_slice)
    paths = write_series(tmp_path / "ct", grid(4, 5.0), CT, seed=2)
    (tmp_path / "ct" / "copy.dcm").write_bytes(paths[0].read_bytes())
    write_series(tmp_path / "scout", grid(1, 5.0), CT | {"ImageType": ["ORIGINAL", "PRIMARY", "LOCALIZER"]}, seed=3)
    found = read(tmp_path)
    assert sorted((one.is_scout, one.slices) for one in found.ct) == [(False, 4), (True, 1)]
    assert all(isinstance(one, CtSeries) and one.Exposure is None for one in found.ct)


def test_files_when_one_slice_was_compressed_with_loss_then_the_series_was(tmp_path: Path) -> None:
    assert change(tmp_path, lambda k: {"LossyImageCompression": "01" if k == 4 else "00"}).is_lossy is True
