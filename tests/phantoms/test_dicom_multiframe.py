"""Enhanced and Legacy Converted PET, as digital objects written here: they must give what single slices give.

No file of a real scanner was to be had but one converted dynamic series without pixels (`test_real_series.py`).
"""

from __future__ import annotations

import itertools
import zipfile
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian, RLELossless

from phantoms.dicom_series import Series, choose, list_files, read_header, read_scan
from phantoms.dicom_series.frames import ENHANCED_PET, LEGACY_CONVERTED_PET
from phantoms.errors import AnalysisRefused
from phantoms.suv import suv_factor
from phantoms.volume import PetVolume
from tests.phantoms.test_dicom_series import ATTRIBUTES, affine, by_pydicom, by_walk, volume, written

FRAMES = 6
CORRECTED = (
    *("DecayCorrected", "AttenuationCorrected", "ScatterCorrected", "DeadTimeCorrected"),
    *("RandomsCorrected", "DetectorNormalizationCorrection"),
)


def item(**values: Any) -> Sequence:
    dataset = Dataset()
    for keyword, value in values.items():
        setattr(dataset, keyword, value)
    return Sequence([dataset])


def code(value: str) -> Sequence:
    return item(CodeValue=value, CodingSchemeDesignator="SRT", CodeMeaning=value)


def head(made: PetVolume, sop_class: str) -> Dataset:
    """Return what both kinds have at their top."""
    frames, rows, columns = made.image.shape
    dataset = Dataset()
    dataset.SOPClassUID, dataset.SOPInstanceUID = sop_class, "2.25.11"
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID = "2.25.12", "2.25.13"
    dataset.Modality, dataset.Manufacturer, dataset.SeriesNumber = "PT", "SIEMENS", 3
    dataset.InstanceNumber = 1
    dataset.ImageType = ["ORIGINAL", "PRIMARY", "VOLUME", "NONE"]
    dataset.PatientName, dataset.PatientID = "Somebody^Secret", "ID-774"
    dataset.PatientWeight, dataset.PatientSize, dataset.PatientSex = 70, 1.75, "M"
    dataset.SeriesDate, dataset.SeriesTime = "20260302", "111500"  # written by later processing
    dataset.NumberOfFrames, dataset.Rows, dataset.Columns = frames, rows, columns
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.BitsAllocated = dataset.BitsStored = 16
    dataset.HighBit, dataset.PixelRepresentation = 15, 0
    dataset.VolumetricProperties, dataset.VolumeBasedCalculationTechnique = "VOLUME", "NONE"
    return dataset


def write(
    path: Path,
    made: PetVolume,
    sop_class: str = ENHANCED_PET,
    change: Callable[[Dataset], Any] = lambda _: None,
    syntax: str = ExplicitVRLittleEndian,
) -> Path:
    """Write a volume as one multi-frame file; every frame has its own slope."""
    dataset = head(made, sop_class)
    spacing_z, spacing_y, spacing_x = made.spacing_zyx_mm
    lps = made.affine_lps_mm
    shared = Dataset()
    shared.PixelMeasuresSequence = item(PixelSpacing=[spacing_y, spacing_x], SliceThickness=spacing_z)
    shared.PlaneOrientationSequence = item(
        ImageOrientationPatient=[*(lps[:3, 0] / spacing_x), *(lps[:3, 1] / spacing_y)]
    )
    injection = {
        "RadiopharmaceuticalStartDateTime": "20260302100000",
        "RadionuclideHalfLife": 6586.2,
        "RadionuclideCodeSequence": code("C-111A1"),
    }
    if sop_class == ENHANCED_PET:
        dataset.RadiopharmaceuticalInformationSequence = item(
            RadiopharmaceuticalAgentNumber=1, RadionuclideTotalDose=370, **injection
        )
        dataset.DecayCorrectionDateTime = "20260302110000"
        dataset.AcquisitionDateTime = "20260302110000"
        for keyword in CORRECTED:
            setattr(dataset, keyword, "YES")
    else:
        shared.UnassignedSharedConvertedAttributesSequence = item(
            RadiopharmaceuticalInformationSequence=item(RadionuclideTotalDose=3.7e8, **injection),
            CorrectedImage=ATTRIBUTES["CorrectedImage"],
            DecayCorrection="START",
            Units="BQML",
            SeriesType=["STATIC", "IMAGE"],
            NumberOfSlices=len(made.image),
        )
        dataset.SeriesTime = "110000"
    per_frame, stored = [], []
    for k, plane in enumerate(made.image):
        slope = f"{float(plane.max()) / 65535 * (1 + k / 8):.10g}"
        groups = Dataset()
        groups.FrameContentSequence = item(
            FrameAcquisitionDateTime=f"20260302110{k}00",
            FrameReferenceDateTime=f"20260302110{k}30",
            FrameAcquisitionDuration=60000.0,
            StackID="1",
            InStackPositionNumber=k + 1,
            TemporalPositionIndex=1,
        )
        groups.PlanePositionSequence = item(ImagePositionPatient=list(lps[:3, 3] + k * lps[:3, 2]))
        groups.PixelValueTransformationSequence = item(RescaleIntercept=0, RescaleSlope=slope, RescaleType="BQML")
        per_frame.append(groups)
        stored.append(np.rint(plane / float(slope)).astype("<u2"))
    dataset.SharedFunctionalGroupsSequence = Sequence([shared])
    dataset.PerFrameFunctionalGroupsSequence = Sequence(per_frame)
    dataset.PixelData = np.stack(stored).tobytes()
    change(dataset)
    dataset.file_meta = pydicom.dataset.FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian if syntax == RLELossless else syntax
    if syntax == RLELossless:
        dataset.compress(RLELossless)
    pydicom.dcmwrite(path, dataset, enforce_file_format=True)
    return path


def series_of(path: Path) -> Series:
    return choose(read_scan(list_files(path)))


def refusal(path: Path) -> AnalysisRefused:
    with pytest.raises(AnalysisRefused) as caught:
        series_of(path).load()
    assert caught.value.next_step
    assert "Secret" not in str(caught.value)
    return caught.value


KINDS = pytest.mark.parametrize("sop_class", [ENHANCED_PET, LEGACY_CONVERTED_PET], ids=["enhanced", "converted"])


@KINDS
@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, ImplicitVRLittleEndian, RLELossless], ids=str)
def test_load_when_multi_frame_then_values_grid_and_unit_are_those_of_single_slices(
    tmp_path, sop_class, syntax
) -> None:
    made = volume()
    written(tmp_path / "single", made)
    series = series_of(write(tmp_path / "multi.dcm", made, sop_class, syntax=syntax))
    loaded, single = series.load(), series_of(tmp_path / "single").load()
    assert np.abs(loaded.image - made.image).max() <= 20000 / 65535
    assert np.allclose(loaded.affine_lps_mm, single.affine_lps_mm, atol=1e-9)
    assert (loaded.unit, series.slices, len(series.sources)) == ("Bq/mL", FRAMES, 1)
    assert series.is_attenuation_corrected is True


@KINDS
def test_suv_when_multi_frame_then_the_factor_is_that_of_single_slices(tmp_path: Path, sop_class: str) -> None:
    written(tmp_path / "single")
    expected = suv_factor(series_of(tmp_path / "single").header)
    found = suv_factor(series_of(write(tmp_path / "multi.dcm", volume(), sop_class)).header)
    assert found.factor_g_per_bq == pytest.approx(expected.factor_g_per_bq, rel=1e-12)
    assert found.factor_g_per_bq == pytest.approx(70000 / (3.7e8 * 2 ** (-3600 / 6586.2)))
    assert found.reference_time == datetime(2026, 3, 2, 11)
    assert "SUV-DOSE-MBQ" not in {warned.code for warned in found.warnings}
    if sop_class == ENHANCED_PET:
        assert [one.id for one in found.candidates if one.is_used] == ["R3"]


@KINDS
def test_header_when_multi_frame_then_each_slice_has_its_own_time(tmp_path: Path, sop_class: str) -> None:
    header = series_of(write(tmp_path / "multi.dcm", volume(), sop_class)).header
    assert [one.AcquisitionDateTime for one in header.slices] == [f"20260302110{k}00" for k in range(FRAMES)]
    assert {one.ActualFrameDuration for one in header.slices} == {60000.0}
    assert not header.differing


SIGNED_PERMUTATIONS = [
    np.array([[sign * (i == row) for i in range(3)] for row, sign in zip(order, signs, strict=True)]).T
    for order in itertools.permutations(range(3))
    for signs in itertools.product((1, -1), repeat=3)
]


@pytest.mark.parametrize("axes", SIGNED_PERMUTATIONS, ids=lambda axes: "".join(map(str, axes.ravel())))
def test_load_when_multi_frame_is_mirrored_turned_or_transposed_then_patient_positions_stay(tmp_path, axes) -> None:
    made = volume(axes=axes)
    made.image[:] = 1
    made.image[1, 3, 2] = 1000
    loaded = series_of(write(tmp_path / "multi.dcm", made)).load()
    index = np.unravel_index(loaded.image.argmax(), loaded.image.shape)
    assert loaded.to_lps_mm(np.array(index, float)) == pytest.approx(made.to_lps_mm(np.array([1.0, 3.0, 2.0])))


def test_load_when_frames_come_in_any_order_then_planes_and_times_follow_the_place(tmp_path: Path) -> None:
    made = volume()
    order = [3, 0, 5, 1, 4, 2]

    def shuffled(dataset: Dataset) -> None:
        groups = list(dataset.PerFrameFunctionalGroupsSequence)
        dataset.PerFrameFunctionalGroupsSequence = Sequence([groups[k] for k in order])
        dataset.PixelData = np.frombuffer(dataset.PixelData, "<u2").reshape(made.image.shape)[order].tobytes()

    series = series_of(write(tmp_path / "multi.dcm", made, change=shuffled))
    assert np.allclose(series.load().image, made.image, atol=0.4)
    assert [one.AcquisitionDateTime[11] for one in series.header.slices] == list("012345")


def test_load_when_a_series_is_in_two_multi_frame_files_then_they_are_one_stack(tmp_path: Path) -> None:
    made = volume()
    base = affine()
    upper = base.copy()
    upper[:3, 3] += 3 * base[:3, 2]
    write(tmp_path / "a", PetVolume(made.image[:3], base, "Bq/mL"))
    write(
        tmp_path / "b",
        PetVolume(made.image[3:], upper, "Bq/mL"),
        change=lambda one: setattr(one, "SOPInstanceUID", "2.25.99"),
    )
    series = series_of(tmp_path)
    assert (series.slices, len(series.sources)) == (FRAMES, 2)
    assert np.allclose(series.load().image, made.image, atol=0.4)


def test_load_when_multi_frame_lies_in_a_zip_then_it_reads_like_the_file(tmp_path: Path) -> None:
    path = write(tmp_path / "multi.dcm", volume())
    with zipfile.ZipFile(tmp_path / "scan.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.write(path, "multi.dcm")
    zipped, plain = series_of(tmp_path / "scan.zip"), series_of(path)
    assert np.array_equal(zipped.load().image, plain.load().image)
    assert zipped.input_digest() == plain.input_digest()


def test_scan_when_multi_frame_comes_twice_then_the_copy_is_left_out(tmp_path: Path) -> None:
    path = write(tmp_path / "a", volume())
    (tmp_path / "b").write_bytes(path.read_bytes())
    scan = read_scan(list_files(tmp_path))
    assert [(one.path, one.code) for one in scan.ignored] == [("b", "ING-03")]
    assert [one.slices for one in scan.series] == [FRAMES]


@KINDS
def test_read_header_when_multi_frame_then_it_says_what_it_is_and_counts_no_files(tmp_path: Path, sop_class) -> None:
    facts = read_header(write(tmp_path / "multi.dcm", volume(), sop_class))
    assert (facts.sop_class_uid, facts.modality, facts.is_attenuation_corrected) == (sop_class, "PT", True)
    assert facts.number_of_slices is None
    assert facts.scan_at in {datetime(2026, 3, 2, 11), datetime(2026, 3, 2, 11, 15)}
    assert facts.image_type[0] == "ORIGINAL"


@KINDS
@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, ImplicitVRLittleEndian], ids=str)
def test_walk_when_multi_frame_then_it_equals_pydicom(tmp_path: Path, sop_class: str, syntax: str) -> None:
    raw = write(tmp_path / "multi.dcm", volume(), sop_class, syntax=syntax).read_bytes()
    assert by_walk(raw) == by_pydicom(raw)


# --- units and slopes --------------------------------------------------------------------------------------------


def rescaled_as(rescale_type: str, *mappings: tuple[str, float]) -> Callable[[Dataset], None]:
    """Name the unit of the rescale, and add real-world mappings with a slope of so many times the rescale's."""

    def change(dataset: Dataset) -> None:
        for groups in dataset.PerFrameFunctionalGroupsSequence:
            transformation = groups.PixelValueTransformationSequence[0]
            transformation.RescaleType = rescale_type
            slope = float(transformation.RescaleSlope)
            groups.RealWorldValueMappingSequence = Sequence(
                item(
                    RealWorldValueSlope=slope * factor,
                    RealWorldValueIntercept=0.0,
                    MeasurementUnitsCodeSequence=code(unit),
                )[0]
                for unit, factor in mappings
            )

    return change


@pytest.mark.parametrize(
    ("change", "units", "factor"),
    [
        (rescaled_as("US", ("Bq/ml", 2.0)), "BQML", 2.0),
        (rescaled_as("US", ("g/ml{SUVbw}", 0.5)), "GML", 0.5),
        (rescaled_as("US", ("g/ml{SUVbw}", 0.5), ("Bq/ml", 2.0)), "BQML", 2.0),
        (rescaled_as("BQML", ("g/ml{SUVbw}", 0.5)), "BQML", 1.0),
        (rescaled_as("US"), None, 1.0),
        (rescaled_as("US", ("[furlong]", 3.0)), None, 1.0),
        (rescaled_as("US", ("g/ml{SUVbw}", 0.5), ("cm2/ml{SUVbsa}", 3.0)), None, 1.0),
    ],
)
def test_load_when_units_are_named_in_another_place_then_slope_and_unit_belong_together(
    tmp_path: Path, change, units, factor
) -> None:
    made = volume()
    series = series_of(write(tmp_path / "multi.dcm", made, change=change))
    assert series.units == units
    assert np.allclose(series.load().image, made.image * factor, atol=0.4 * factor)


def test_load_when_a_slope_stands_only_at_the_top_then_it_is_refused(tmp_path: Path) -> None:
    def change(dataset: Dataset) -> None:
        dataset.RescaleSlope = 2.0
        for groups in dataset.PerFrameFunctionalGroupsSequence:
            del groups.PixelValueTransformationSequence

    assert refusal(write(tmp_path / "multi.dcm", volume(), change=change)).code == "SERIES-NO-SLOPE"


def test_suv_when_decay_was_corrected_to_a_time_that_is_not_named_then_it_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "multi.dcm", volume(), change=lambda one: delattr(one, "DecayCorrectionDateTime"))
    found = suv_factor(series_of(path).header)
    assert found.factor_g_per_bq is None
    assert "SUV-DECAY-UNKNOWN" in {problem.code for problem in (found.refused, *found.further_problems) if problem}


def test_suv_when_an_enhanced_object_counts_its_activity_in_bq_all_the_same_then_it_is_taken_so(tmp_path: Path) -> None:
    def change(dataset: Dataset) -> None:
        dataset.RadiopharmaceuticalInformationSequence[0].RadionuclideTotalDose = 3.7e8

    header = series_of(write(tmp_path / "multi.dcm", volume(), change=change)).header
    assert header.injections[0].RadionuclideTotalDose == 3.7e8


# --- refused by name ---------------------------------------------------------------------------------------------


def at_times(*indexes: int) -> Callable[[Dataset], None]:
    def change(dataset: Dataset) -> None:
        for groups, index in zip(dataset.PerFrameFunctionalGroupsSequence, indexes, strict=True):
            groups.FrameContentSequence[0].TemporalPositionIndex = index

    return change


def doubled(*, gated: bool) -> Callable[[Dataset], None]:
    """Put frames 3 to 5 where 0 to 2 lie, at the same time, or in another phase of the heart."""

    def change(dataset: Dataset) -> None:
        groups = dataset.PerFrameFunctionalGroupsSequence
        for k, one in enumerate(groups):
            one.PlanePositionSequence = groups[k % 3].PlanePositionSequence
            one.FrameContentSequence = groups[0].FrameContentSequence
            if gated:
                one.CardiacSynchronizationSequence = item(NominalCardiacTriggerDelayTime=100.0 * (k // 3))

    return change


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (at_times(1, 1, 1, 2, 2, 2), "SERIES-DYNAMIC"),
        (doubled(gated=True), "SERIES-DYNAMIC"),
        (doubled(gated=False), "SERIES-DOUBLED"),
        (lambda d: setattr(d, "NumberOfFrames", 5), "SERIES-ENHANCED"),
        (lambda d: delattr(d, "PerFrameFunctionalGroupsSequence"), "SERIES-ENHANCED"),
        (lambda d: delattr(d, "NumberOfFrames"), "SERIES-ENHANCED"),
        (lambda d: setattr(d, "VolumeBasedCalculationTechnique", "MAX_IP"), "SERIES-NONE"),
        (lambda d: delattr(d, "SharedFunctionalGroupsSequence"), "SERIES-GEOMETRY"),
        (lambda d: setattr(d, "PixelData", d.PixelData[:-2]), "SERIES-TRUNCATED"),
        (lambda d: delattr(d, "PixelData"), "SERIES-TRUNCATED"),
        (lambda d: setattr(d, "AttenuationCorrected", "NO"), "SUV-NOT-CORRECTED"),
        (lambda d: setattr(d, "LossyImageCompression", "01"), "ING-10"),
        (lambda d: d.PerFrameFunctionalGroupsSequence[2].pop("PlanePositionSequence"), "SERIES-GEOMETRY"),
    ],
)
def test_load_when_a_multi_frame_object_cannot_be_one_volume_then_it_is_refused_by_name(
    tmp_path: Path, change, code: str
) -> None:
    assert refusal(write(tmp_path / "multi.dcm", volume(), change=change)).code == code
