"""PET series written and read back: values, geometry, and every way in which files can be wrong."""

from __future__ import annotations

import hashlib
import io
import itertools
import os
import subprocess
import sys
import zipfile
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydicom.datadict import dictionary_VR, keyword_for_tag
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from pydicom.uid import (
    JPEG2000,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    RLELossless,
)

from phantoms.dicom_series import (
    Series,
    Source,
    attributes,
    choose,
    digest_of,
    list_files,
    read_header,
    read_scan,
    write_series,
)
from phantoms.dicom_series.authority import read_by_pydicom
from phantoms.dicom_series.elements import HeaderReader
from phantoms.dicom_series.header import facts_of, instances_of
from phantoms.errors import AnalysisRefused
from phantoms.suv import suv_factor
from phantoms.volume import PetVolume
from tests.phantoms.memory import peak_bytes

SPACING_ZYX_MM = (3.0, 2.0, 2.5)
ATTRIBUTES: dict[Any, Any] = {
    "Manufacturer": "SIEMENS",
    "ManufacturerModelName": "Vision",
    "DeviceSerialNumber": "60421",
    "SoftwareVersions": ["VG80B", "1"],
    "ReconstructionMethod": "PSF+TOF 4i5s",
    "PatientName": "Somebody^Secret",
    "PatientID": "ID-774",
    "PatientBirthDate": "19500203",
    "PatientWeight": 70.0,
    "PatientSize": 1.75,
    "PatientSex": "M",
    "SeriesDate": "20260302",
    "SeriesTime": "110000",
    "AcquisitionDate": "20260302",
    "AcquisitionTime": "110000",
    "ActualFrameDuration": 120000,
    "CorrectedImage": ["ATTN", "DECY", "SCAT", "NORM", "DTIM", "RAN"],
    "DecayCorrection": "START",
    "RadiopharmaceuticalInformationSequence": {
        "RadiopharmaceuticalStartTime": "100000",
        "RadiopharmaceuticalStartDateTime": "20260302100000",
        "RadionuclideTotalDose": 3.7e8,
        "RadionuclideHalfLife": 6586.2,
        "RadionuclideCodeSequence": {"CodeValue": "C-111A1", "CodingSchemeDesignator": "SRT", "CodeMeaning": "F-18"},
    },
}


def affine(spacing_zyx=SPACING_ZYX_MM, origin=(-7.0, 11.0, -100.0), axes=None) -> np.ndarray:
    z, y, x = spacing_zyx
    made = np.eye(4)
    made[:3, :3] = (np.eye(3) if axes is None else np.asarray(axes, float)) * (x, y, z)
    made[:3, 3] = origin
    return made


def volume(shape=(6, 5, 4), unit="Bq/mL", seed=1, **geometry: Any) -> PetVolume:
    image = np.random.default_rng(seed).uniform(0, 20000, shape).astype(np.float32)
    return PetVolume(image, affine(**geometry), unit)


def written(folder: Path, made: PetVolume | None = None, per_slice=None, seed=0, **changes: Any) -> list[Path]:
    return write_series(folder, made or volume(), ATTRIBUTES | changes, per_slice, seed)


def edit(path: Path, change) -> None:
    """Change one element of a written file and write it again."""
    dataset = pydicom.dcmread(path)
    change(dataset)
    dataset.save_as(path)


def rescaled(path: Path) -> np.ndarray:
    dataset = pydicom.dcmread(path)
    return dataset.pixel_array * float(dataset.RescaleSlope) + float(dataset.RescaleIntercept)


def series_of(folder: Path):
    return choose(read_scan(list_files(folder)))


def refusal(folder: Path) -> AnalysisRefused:
    with pytest.raises(AnalysisRefused) as caught:
        series_of(folder).load()
    assert "Secret" not in str(caught.value)
    assert "ID-774" not in str(caught.value)
    return caught.value


def refused_load(series: Series, code: str) -> None:
    with pytest.raises(AnalysisRefused, match=code):
        series.load()


# --- writing -----------------------------------------------------------------------------------------------------


def test_write_when_read_by_pydicom_then_values_are_within_half_a_step(tmp_path: Path) -> None:
    made = volume()
    for k, path in enumerate(written(tmp_path, made)):
        slope = float(pydicom.dcmread(path).RescaleSlope)
        assert np.abs(rescaled(path) - made.image[k]).max() <= slope * 0.51
        assert slope == pytest.approx(made.image[k].max() / 32767, rel=1e-9)


def test_write_when_a_slope_is_given_then_every_slice_has_it(tmp_path: Path) -> None:
    paths = written(tmp_path, RescaleSlope=2.0)
    assert {float(pydicom.dcmread(path).RescaleSlope) for path in paths} == {2.0}
    assert np.abs(series_of(tmp_path).load().image - volume().image).max() <= 1.001


def test_write_when_done_twice_with_one_seed_then_files_are_the_same_and_another_seed_gives_other_uids(
    tmp_path,
) -> None:
    one, two, other = (written(tmp_path / name, seed=seed) for name, seed in (("a", 3), ("b", 3), ("c", 4)))
    assert [path.read_bytes() for path in one] == [path.read_bytes() for path in two]
    uids = [{str(pydicom.dcmread(path).SOPInstanceUID) for path in paths} for paths in (one, other)]
    assert len(uids[0]) == 6
    assert not uids[0] & uids[1]


def test_write_when_an_attribute_is_none_then_it_is_left_out_and_per_slice_wins(tmp_path: Path) -> None:
    paths = written(tmp_path, per_slice=lambda k: {"AcquisitionTime": f"11{k:02d}00"}, PatientWeight=None)
    datasets = [pydicom.dcmread(path) for path in paths]
    assert "PatientWeight" not in datasets[0]
    assert [one.AcquisitionTime for one in datasets] == [f"11{k:02d}00" for k in range(6)]


def test_write_when_the_plane_is_empty_or_negative_then_it_is_kept(tmp_path: Path) -> None:
    made = volume()
    made.image[0] = 0
    made.image[1] *= -1
    written(tmp_path, made)
    image = series_of(tmp_path).load().image
    assert not image[0].any()
    assert np.allclose(image[1], made.image[1], atol=0.4)


def test_write_when_the_keyword_is_unknown_then_it_says_so(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="PatientMass"):
        written(tmp_path, PatientMass=70)


def test_write_when_read_then_it_has_what_a_pet_image_must_have(tmp_path: Path) -> None:
    dataset = pydicom.dcmread(written(tmp_path)[0])
    assert dataset.file_meta.TransferSyntaxUID == ExplicitVRLittleEndian
    assert dataset.file_meta.MediaStorageSOPInstanceUID == dataset.SOPInstanceUID
    for keyword in ("SeriesType", "Units", "CountsSource", "NumberOfSlices", "ImageIndex", "FrameOfReferenceUID"):
        assert dataset.data_element(keyword).value
    assert (dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation) == (16, 15, 1)


# --- values and geometry -----------------------------------------------------------------------------------------


def test_load_when_written_then_values_grid_and_unit_come_back(tmp_path: Path) -> None:
    made = volume()
    written(tmp_path, made)
    series = series_of(tmp_path)
    loaded = series.load()
    assert np.abs(loaded.image - made.image).max() <= 20000 / 32767 * 0.51
    assert loaded.image.dtype == np.float32
    assert np.allclose(loaded.affine_lps_mm, made.affine_lps_mm, atol=1e-9)
    assert loaded.unit == "Bq/mL"
    assert series.shape_zyx == (6, 5, 4)
    assert series.spacing_zyx_mm == pytest.approx(SPACING_ZYX_MM)


@pytest.mark.parametrize(
    ("units", "unit"), [("BQML", "Bq/mL"), ("GML", "g/mL"), ("CNTS", "CNTS"), ("PROPCPS", "PROPCPS"), (None, "1")]
)
def test_load_when_units_are_named_then_the_volume_has_them(tmp_path: Path, units: str | None, unit: str) -> None:
    written(tmp_path, Units=units)
    assert series_of(tmp_path).load().unit == unit


def test_volume_when_scaled_then_values_and_unit_change_and_the_grid_stays() -> None:
    plain = volume(unit="CNTS")
    scaled = plain.scaled(2.5, "Bq/mL")
    np.testing.assert_allclose(scaled.image, 2.5 * plain.image, rtol=1e-6)
    assert scaled.image.dtype == np.float32
    assert scaled.unit == "Bq/mL"
    np.testing.assert_array_equal(scaled.affine_lps_mm, plain.affine_lps_mm)
    same = volume(unit="Bq/mL")
    assert same.scaled(1.0, "Bq/mL") is same


@pytest.mark.parametrize(("units", "factor"), [("BQML", 1.0), ("GML", None), ("CNTS", None), (None, None)])
def test_to_bqml_factor_when_only_units_lead_there_then_bqml_alone_has_one(tmp_path: Path, units, factor) -> None:
    written(tmp_path, Units=units)
    assert series_of(tmp_path).to_bqml_factor == factor


def test_load_when_file_names_are_in_any_order_then_planes_are_sorted_by_position(tmp_path: Path) -> None:
    made = volume()
    paths = written(tmp_path, made)
    for path, name in zip(paths, ("d.txt", "no_ending", "a", "z.dcm", "b.zip", "c.jpg"), strict=True):
        path.rename(tmp_path / name)
    assert np.allclose(series_of(tmp_path).load().image, made.image, atol=0.4)


def test_load_when_slices_have_their_own_slopes_and_intercept_then_each_is_applied(tmp_path: Path) -> None:
    made = volume()
    paths = written(tmp_path, made, per_slice=lambda k: {"RescaleSlope": 1.0 + k / 4}, RescaleIntercept=100)
    expected = np.stack([rescaled(path) for path in paths])
    assert np.allclose(series_of(tmp_path).load().image, expected, rtol=1e-6)


def test_load_when_photometric_interpretation_is_monochrome1_then_no_value_is_inverted(tmp_path: Path) -> None:
    written(tmp_path / "one")
    written(tmp_path / "two", PhotometricInterpretation="MONOCHROME1")
    assert np.array_equal(series_of(tmp_path / "one").load().image, series_of(tmp_path / "two").load().image)


SIGNED_PERMUTATIONS = [
    np.array([[sign * (i == row) for i in range(3)] for row, sign in zip(order, signs, strict=True)]).T
    for order in itertools.permutations(range(3))
    for signs in itertools.product((1, -1), repeat=3)
]


@pytest.mark.parametrize("axes", SIGNED_PERMUTATIONS, ids=lambda axes: "".join(map(str, axes.ravel())))
def test_load_when_the_grid_is_mirrored_turned_or_transposed_then_patient_positions_stay(tmp_path, axes) -> None:
    made = volume(axes=axes)
    made.image[:] = 1
    made.image[1, 3, 2] = 1000
    written(tmp_path, made)
    loaded = series_of(tmp_path).load()
    index = np.unravel_index(loaded.image.argmax(), loaded.image.shape)
    assert loaded.to_lps_mm(np.array(index, float)) == pytest.approx(made.to_lps_mm(np.array([1.0, 3.0, 2.0])))


def test_load_when_the_stack_is_oblique_then_positions_stay(tmp_path: Path) -> None:
    angle = np.radians(20)
    axes = np.array([[np.cos(angle), 0, -np.sin(angle)], [0, 1, 0], [np.sin(angle), 0, np.cos(angle)]])
    made = volume(axes=axes)
    written(tmp_path, made)
    assert np.allclose(series_of(tmp_path).load().affine_lps_mm, made.affine_lps_mm, atol=1e-6)


def moved(k_to_z):
    """Return a per_slice function that puts slice k at another height."""
    base = affine()[:3, 3]
    return lambda k: {"ImagePositionPatient": [float(base[0]), float(base[1]), float(base[2] + k_to_z(k))]}


def test_load_when_steps_are_a_little_uneven_then_the_mean_step_is_taken(tmp_path: Path) -> None:
    heights = np.cumsum([0, 3.19, 3.27, 3.29, 3.27, 3.27])
    written(tmp_path, per_slice=moved(lambda k: heights[k]))
    assert series_of(tmp_path).load().spacing_zyx_mm[0] == pytest.approx(heights[-1] / 5)


@pytest.mark.parametrize(
    ("heights", "code"),
    [
        ([0, 3, 6, 12, 15, 18], "SERIES-GAP"),
        ([0, 3, 6, 9, 12.9, 15.9], "SERIES-UNEVEN"),
        ([0, 3, 6, 6, 9, 12], "SERIES-DOUBLED"),
    ],
)
def test_load_when_slices_make_no_even_stack_then_it_is_refused_by_name(tmp_path: Path, heights, code: str) -> None:
    written(tmp_path, per_slice=moved(lambda k: heights[k]))
    assert refusal(tmp_path).code == code
    assert series_of(tmp_path).spacing_zyx_mm is None


def test_refusal_when_slices_are_missing_then_it_says_how_many(tmp_path: Path) -> None:
    for path in written(tmp_path, volume((12, 5, 4)))[5:8]:
        path.unlink()
    assert "about 3 slices" in refusal(tmp_path).detail


@pytest.mark.parametrize("kind", ["DYNAMIC", "GATED"])
def test_load_when_the_series_is_of_several_times_then_it_is_refused(tmp_path: Path, kind: str) -> None:
    written(tmp_path, SeriesType=[kind, "IMAGE"], NumberOfTimeSlices=20)
    assert refusal(tmp_path).code == "SERIES-DYNAMIC"


def test_load_when_each_position_comes_at_two_times_then_it_is_dynamic(tmp_path: Path) -> None:
    def per_slice(k: int) -> dict[str, Any]:
        return moved(lambda k: 3 * (k % 3))(k) | {"FrameReferenceTime": 1000.0 * (k // 3)}

    written(tmp_path, per_slice=per_slice)
    assert refusal(tmp_path).code == "SERIES-DYNAMIC"


def test_load_when_ge_counts_beds_as_time_slices_then_it_is_a_static_series(tmp_path: Path) -> None:
    written(tmp_path, per_slice=lambda k: {"NumberOfTimeSlices": 6 - k})
    assert series_of(tmp_path).load().image.shape == (6, 5, 4)


def test_load_when_one_slice_lies_across_then_it_is_refused(tmp_path: Path) -> None:
    paths = written(tmp_path)
    edit(paths[2], lambda one: setattr(one, "ImageOrientationPatient", [1, 0, 0, 0, 0, 1]))
    assert refusal(tmp_path).code == "SERIES-ORIENTATION"


@pytest.mark.parametrize(
    ("keyword", "value"),
    [
        ("ImagePositionPatient", None),
        ("ImageOrientationPatient", None),
        ("PixelSpacing", None),
        ("PixelSpacing", [0, 0]),
        ("ImageOrientationPatient", [1, 0, 0, 1, 0, 0]),
        ("ImageOrientationPatient", [0, 0, 0, 0, 0, 0]),
    ],
)
def test_load_when_the_place_in_space_is_missing_then_it_is_refused(tmp_path: Path, keyword: str, value) -> None:
    written(tmp_path, per_slice=lambda k: {keyword: value})
    assert refusal(tmp_path).code in {"SERIES-GEOMETRY", "SERIES-DOUBLED"}


def test_load_when_slices_differ_in_pixel_size_then_it_is_refused(tmp_path: Path) -> None:
    written(tmp_path, per_slice=lambda k: {"PixelSpacing": [2.0, 2.5 + (k == 3)]})
    assert refusal(tmp_path).code == "SERIES-GEOMETRY"


def test_load_when_the_stack_leans_then_it_is_refused(tmp_path: Path) -> None:
    written(tmp_path, per_slice=lambda k: {"ImagePositionPatient": [float(k), 0.0, 3.0 * k]})
    assert refusal(tmp_path).code == "SERIES-GEOMETRY"


def test_load_when_there_is_one_slice_then_its_thickness_is_the_step(tmp_path: Path) -> None:
    written(tmp_path, volume((1, 5, 4)))
    assert series_of(tmp_path).load().spacing_zyx_mm == pytest.approx(SPACING_ZYX_MM)


# --- pixels ------------------------------------------------------------------------------------------------------


def as_syntax(paths: list[Path], syntax: str) -> None:
    """Rewrite files in another transfer syntax with pydicom."""
    for path in paths:
        dataset = pydicom.dcmread(path)
        stored = dataset.pixel_array
        if syntax == RLELossless:
            dataset.compress(RLELossless)
        elif syntax == ExplicitVRBigEndian:
            meta, dataset = dataset.file_meta, Dataset({element.tag: element for element in dataset})
            dataset.file_meta = meta
            dataset.PixelData = stored.astype(">i2").tobytes()
        dataset.file_meta.TransferSyntaxUID = syntax
        pydicom.dcmwrite(path, dataset, enforce_file_format=True)


@pytest.mark.parametrize(
    "syntax", [ImplicitVRLittleEndian, RLELossless, DeflatedExplicitVRLittleEndian, ExplicitVRBigEndian], ids=str
)
def test_load_when_stored_in_another_lossless_way_then_values_are_the_same(tmp_path: Path, syntax: str) -> None:
    paths = written(tmp_path)
    expected = series_of(tmp_path).load().image
    as_syntax(paths, syntax)
    assert np.array_equal(series_of(tmp_path).load().image, expected)


@pytest.mark.parametrize("kind", ["u1", "i1", "u2", "i2", "u4", "i4"])
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_load_when_values_are_stored_in_any_width_then_the_fast_way_equals_pydicom(tmp_path, kind, data) -> None:
    rows, columns = data.draw(st.integers(1, 7)), data.draw(st.integers(1, 7))
    dtype = np.dtype(f"<{kind}")
    stored = np.frombuffer(
        data.draw(st.binary(min_size=rows * columns * dtype.itemsize, max_size=rows * columns * dtype.itemsize)), dtype
    )
    slope = data.draw(st.floats(1e-6, 1e6))
    path = written(tmp_path, volume((1, rows, columns)))[0]

    def change(dataset) -> None:
        dataset.BitsAllocated = dataset.BitsStored = 8 * dtype.itemsize
        dataset.HighBit = 8 * dtype.itemsize - 1
        dataset.PixelRepresentation = int(dtype.kind == "i")
        dataset.RescaleSlope = f"{slope:.10e}"[:16]
        dataset.PixelData = stored.tobytes() + b"\0" * (stored.nbytes % 2)

    edit(path, change)
    series = series_of(tmp_path)
    assert series.instances[0].pixel_offset is not None
    assert np.allclose(series.load().image[0], rescaled(path), rtol=1e-6)


def labelled(syntax: str, lossy: str | None = None):
    """Return a change that stores undecodable compressed pixels under a transfer syntax."""

    def change(dataset) -> None:
        dataset.file_meta.TransferSyntaxUID = syntax
        dataset.PixelData = encapsulate([b"\xff\xd8 not decoded \xff\xd9"])
        if lossy is not None:
            dataset.LossyImageCompression = lossy

    return change


def shortened_before_more(dataset) -> None:
    """Cut pixels off, but put other bytes behind them."""
    dataset.PixelData = dataset.PixelData[:-2]
    dataset.add_new(0xFFFCFFFC, "OB", b"\0" * 100)


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (lambda d: setattr(d, "LossyImageCompression", "01"), "ING-10"),
        (labelled(JPEGBaseline8Bit), "ING-10"),
        (labelled(JPEG2000), "ING-10"),
        (labelled(JPEG2000, "01"), "ING-10"),
        (labelled(JPEG2000, "00"), "SERIES-PIXELS"),
        (labelled(JPEG2000Lossless), "SERIES-PIXELS"),
        (lambda d: delattr(d, "PixelData"), "SERIES-TRUNCATED"),
        (lambda d: setattr(d, "PixelData", d.PixelData[:-2]), "SERIES-TRUNCATED"),
        (lambda d: setattr(d, "PixelData", b""), "SERIES-TRUNCATED"),
        (shortened_before_more, "SERIES-TRUNCATED"),
        (lambda d: setattr(d, "SamplesPerPixel", 3), "SERIES-PIXELS"),
        (lambda d: setattr(d, "NumberOfFrames", 2), "SERIES-PIXELS"),
        (lambda d: setattr(d, "BitsAllocated", 12), "SERIES-PIXELS"),
        (lambda d: delattr(d, "BitsAllocated"), "SERIES-PIXELS"),
        (lambda d: delattr(d, "RescaleSlope"), "SERIES-NO-SLOPE"),
        (lambda d: setattr(d, "RescaleSlope", 0), "SERIES-NO-SLOPE"),
    ],
)
def test_load_when_the_pixels_of_a_slice_cannot_be_trusted_then_it_is_refused(tmp_path: Path, change, code) -> None:
    path = written(tmp_path)[3]
    edit(path, change)
    assert refusal(tmp_path).code == code


def test_load_when_a_file_is_cut_off_in_its_pixels_then_it_is_refused(tmp_path: Path) -> None:
    path = written(tmp_path)[3]
    path.write_bytes(path.read_bytes()[:-10])
    assert refusal(tmp_path).code == "SERIES-TRUNCATED"


def test_load_when_declared_sizes_are_huge_then_it_is_refused_before_memory_is_taken(tmp_path: Path) -> None:
    for path in written(tmp_path):
        edit(path, lambda one: (setattr(one, "Rows", 65535), setattr(one, "Columns", 65535)))
    series = series_of(tmp_path)
    assert peak_bytes(lambda: refused_load(series, "SERIES-SIZE")) < 1_000_000


def test_load_when_rows_are_more_than_the_file_holds_then_it_is_refused_before_memory_is_taken(tmp_path: Path) -> None:
    for path in written(tmp_path):
        edit(path, lambda one: (setattr(one, "Rows", 2000), setattr(one, "Columns", 2000)))
    series = series_of(tmp_path)
    assert peak_bytes(lambda: refused_load(series, "SERIES-TRUNCATED")) < 1_000_000


def test_load_when_compressed_data_are_broken_then_it_is_refused(tmp_path: Path) -> None:
    paths = written(tmp_path)
    as_syntax(paths, RLELossless)
    raw = bytearray(paths[2].read_bytes())
    raw[-60:] = b"\x7f" * 60
    paths[2].write_bytes(raw)
    assert refusal(tmp_path).code in {"SERIES-PIXELS", "SERIES-TRUNCATED"}


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(mutations=st.lists(st.tuples(st.integers(0, 10**5), st.integers(0, 255)), max_size=6), cut=st.integers(0, 10**5))
def test_reading_when_bytes_are_mutated_then_it_never_raises_anything_but_a_refusal(tmp_path, mutations, cut) -> None:
    raw = bytearray(written(tmp_path, volume((1, 3, 3)))[0].read_bytes())
    for place, value in mutations:
        raw[place % len(raw)] = value
    raw = raw[:cut] if cut < len(raw) else raw
    (tmp_path / "IM0001.dcm").write_bytes(raw)
    scan = read_scan(list_files(tmp_path))
    assert sum(series.slices for series in scan.series) + len(scan.ignored) == 1
    for series in scan.series:
        suv_factor(series.header)
        try:
            loaded = series.load()
        except AnalysisRefused:
            continue
        assert loaded.image.shape == series.shape_zyx


# --- which series ------------------------------------------------------------------------------------------------


def test_scan_when_a_folder_holds_anything_then_every_file_is_counted_once(tmp_path: Path) -> None:
    paths = written(tmp_path / "pet")
    (tmp_path / "pet" / "notes.txt").write_text("scan of today")
    (tmp_path / "empty").write_bytes(b"")
    (tmp_path / "copy").mkdir()
    (tmp_path / "copy" / "again.dcm").write_bytes(paths[0].read_bytes())
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "dangling").symlink_to(tmp_path / "nowhere")
    ct = written(tmp_path / "ct", seed=9, SOPClassUID="1.2.840.10008.5.1.4.1.1.2", Modality="CT")
    scan = read_scan(list_files(tmp_path))
    assert [series.slices for series in scan.series] == [6]
    unreadable = dict.fromkeys(("pet/notes.txt", "empty", "pipe", "dangling"), "ING-01")
    others = dict.fromkeys((f"ct/{path.name}" for path in ct), "MODALITY-NOT-PET")
    # Files are read in the order of their names, so the copy is met first.
    assert {one.path: one.code for one in scan.ignored} == unreadable | others | {"pet/IM0001.dcm": "ING-03"}
    assert {one.path for one in scan.ignored if not one.is_dicom} == set(unreadable)
    assert all(one.reason for one in scan.ignored)


def test_scan_when_one_identity_has_two_contents_then_both_stay_and_neither_is_measured(tmp_path: Path) -> None:
    paths = written(tmp_path)
    (tmp_path / "other.dcm").write_bytes(paths[2].read_bytes())
    edit(tmp_path / "other.dcm", lambda one: setattr(one, "ImagePositionPatient", [-7, 11, -82]))
    assert series_of(tmp_path).slices == 7
    assert refusal(tmp_path).code == "ING-13"


def test_choose_when_a_corrected_and_an_uncorrected_series_are_there_then_the_corrected_is_taken(tmp_path) -> None:
    written(tmp_path / "nac", seed=1, CorrectedImage=["DECY"])
    written(tmp_path / "ac", seed=2)
    scan = read_scan(list_files(tmp_path))
    assert len(scan.series) == 2
    assert choose(scan).is_attenuation_corrected is True
    other = next(series for series in scan.series if not series.is_attenuation_corrected)
    assert choose(scan, other.series_instance_uid) is other


def test_choose_when_two_series_qualify_then_it_is_refused_with_the_list(tmp_path: Path) -> None:
    written(tmp_path / "a", seed=1)
    written(tmp_path / "b", seed=2)
    scan = read_scan(list_files(tmp_path))
    with pytest.raises(AnalysisRefused, match="SERIES-AMBIGUOUS") as caught:
        choose(scan)
    assert all(series.series_instance_uid in caught.value.detail for series in scan.series)


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"CorrectedImage": ["DECY"]}, "SUV-NOT-CORRECTED"),
        ({"SeriesType": ["STATIC", "REPROJECTION"]}, "SERIES-NONE"),
        ({"SOPClassUID": "1.2.840.10008.5.1.4.1.1.130"}, "SERIES-ENHANCED"),
        ({"SOPClassUID": "1.2.840.10008.5.1.4.1.1.128.1"}, "SERIES-ENHANCED"),
        ({"SOPClassUID": "1.2.840.10008.5.1.4.1.1.20", "Modality": "NM"}, "MODALITY-NOT-PET"),
        ({"SOPClassUID": "1.2.840.10008.5.1.4.1.1.7", "Modality": "PT"}, "SERIES-NONE"),
        ({"SeriesInstanceUID": None}, "SERIES-NONE"),
    ],
)
def test_choose_when_nothing_can_be_measured_then_it_is_refused_by_name(tmp_path: Path, changes, code: str) -> None:
    written(tmp_path, **changes)
    with pytest.raises(AnalysisRefused) as caught:
        choose(read_scan(list_files(tmp_path)))
    assert caught.value.code == code
    assert caught.value.next_step


def test_choose_when_the_header_does_not_say_whether_it_is_corrected_then_an_only_series_is_taken(tmp_path) -> None:
    written(tmp_path, CorrectedImage=None)
    assert series_of(tmp_path).is_attenuation_corrected is None


def test_choose_when_the_named_series_is_absent_then_it_is_refused(tmp_path: Path) -> None:
    written(tmp_path)
    with pytest.raises(AnalysisRefused, match="SERIES-NONE"):
        choose(read_scan(list_files(tmp_path)), "1.2.3")


def test_digest_when_names_and_order_change_then_it_stays_and_a_changed_byte_changes_it(tmp_path: Path) -> None:
    paths = written(tmp_path)
    before = series_of(tmp_path).input_digest()
    assert before == digest_of(hashlib.sha256(path.read_bytes()).hexdigest() for path in reversed(paths))
    paths[0].rename(tmp_path / "zzz")
    assert series_of(tmp_path).input_digest() == before
    edit(paths[1], lambda one: setattr(one, "PatientWeight", 71))
    assert series_of(tmp_path).input_digest() != before


# --- headers for SUV ---------------------------------------------------------------------------------------------


def test_header_when_read_then_suv_has_what_it_needs(tmp_path: Path) -> None:
    written(tmp_path, per_slice=lambda k: {"FrameReferenceTime": 1000.0 * k})
    header = series_of(tmp_path).header
    assert header.Units == "BQML"
    assert header.injections[0].RadionuclideTotalDose == 3.7e8
    assert header.injections[0].nuclide_code == "C-111A1"
    assert [one.FrameReferenceTime for one in header.slices] == [1000.0 * k for k in range(6)]
    assert not header.differing
    assert suv_factor(header).factor_g_per_bq == pytest.approx(70000 / (3.7e8 * 2 ** (-3600 / 6586.2)))


def test_header_when_slices_are_reversed_in_space_then_its_slices_follow_the_planes(tmp_path: Path) -> None:
    def per_slice(k: int) -> dict[str, Any]:
        return moved(lambda k: -3.0 * k)(k) | {"AcquisitionTime": f"11{k:02d}00"}

    written(tmp_path, per_slice=per_slice)
    times = [one.AcquisitionTime for one in series_of(tmp_path).header.slices]
    assert times == [f"11{k:02d}00" for k in range(5, -1, -1)]


def test_header_when_slices_disagree_then_the_attribute_is_named(tmp_path: Path) -> None:
    written(tmp_path, per_slice=lambda k: {"PatientWeight": 70.0 + (k == 4)})
    assert series_of(tmp_path).header.differing == ("PatientWeight",)


@pytest.mark.parametrize("block_before", [False, True])
def test_header_when_a_private_block_is_moved_then_it_is_found_through_its_creator(
    tmp_path, block_before: bool
) -> None:
    other = {(0x7053, "SOMEBODY ELSE", 0x00): ("DS", "9")} if block_before else {}
    private = {
        (0x7053, "Philips PET Private Group", 0x00): ("DS", "0.0005"),
        (0x7053, "Philips PET Private Group", 0x09): ("DS", "1.5"),
        (0x0009, "GEMS_PETD_01", 0x0D): ("DT", "20260302110000"),
        (0x0071, "SIEMENS MED PT", 0x22): ("DT", "20260302110001"),
    }
    write_series(tmp_path, volume(), ATTRIBUTES | other | private)
    header = series_of(tmp_path).header
    assert (header.SUVScaleFactor, header.ActivityConcentrationScaleFactor) == (0.0005, 1.5)
    assert header.GEScanDateTime == "20260302110000"
    assert header.SiemensDecayCorrectionDateTime == "20260302110001"
    assert not header.private_without_creator


def test_header_when_a_private_element_has_no_creator_then_it_is_read_and_named(tmp_path: Path) -> None:
    write_series(tmp_path, volume(), ATTRIBUTES | {(0x0009, "", 0x0D): ("DT", "20260302110000")})
    header = series_of(tmp_path).header
    assert header.GEScanDateTime == "20260302110000"
    assert header.private_without_creator == ("GEScanDateTime",)


def test_header_when_the_block_belongs_to_somebody_else_then_it_is_not_read(tmp_path: Path) -> None:
    write_series(tmp_path, volume(), ATTRIBUTES | {(0x7053, "SOMEBODY ELSE", 0x00): ("DS", "9")})
    assert series_of(tmp_path).header.SUVScaleFactor is None


# --- one file ----------------------------------------------------------------------------------------------------


def test_read_header_when_given_a_file_then_it_says_what_it_is(tmp_path: Path) -> None:
    path = written(tmp_path)[2]
    for given_as in (path, io.BytesIO(path.read_bytes())):
        facts = read_header(given_as)
        assert facts.sop_class_uid == "1.2.840.10008.5.1.4.1.1.128"
        assert (facts.modality, facts.series_number, facts.instance_number) == ("PT", 1, 3)
        assert facts.position_mm == pytest.approx(-94.0)
        assert facts.is_attenuation_corrected is True
        assert facts.number_of_slices == 6
        assert facts.transfer_syntax_uid == ExplicitVRLittleEndian
        assert facts.is_lossy is False
        assert (facts.manufacturer, facts.model, facts.device_serial_number) == ("SIEMENS", "Vision", "60421")
        assert (facts.software_versions, facts.reconstruction_method) == ("VG80B\\1", "PSF+TOF 4i5s")
        assert facts.scan_at == datetime(2026, 3, 2, 11)


def test_read_header_when_people_differ_then_their_identities_differ_and_are_not_shown(tmp_path: Path) -> None:
    one = read_header(written(tmp_path / "a")[0])
    same = read_header(written(tmp_path / "b", seed=5)[0])
    other = read_header(written(tmp_path / "c", PatientBirthDate="19500204")[0])
    assert one.patient_identity == same.patient_identity != other.patient_identity
    assert "Secret" not in repr(one)
    assert "ID-774" not in repr(one)


PREFIX = b"\0" * 128 + b"DICM"


@pytest.mark.parametrize("raw", [b"", b"DICM", PREFIX, b"\xff" * 5000, PREFIX + b"\xff" * 99])
def test_read_header_when_it_is_no_dicom_object_then_it_is_refused(raw: bytes) -> None:
    with pytest.raises(AnalysisRefused, match="ING-01"):
        read_header(io.BytesIO(raw))


# --- the fast walk and pydicom ------------------------------------------------------------------------------------


def outcome(read) -> str:
    """Return everything that is made of a header, or its refusal, as text."""
    if read is None:
        return "left to pydicom"
    try:
        made = instances_of(read, facts_of(read), Source("x", io.BytesIO), 0)[0]
    except AnalysisRefused as refused:
        return str(refused)
    return f"{made} {sorted(made.header.items())} {made.facts.patient_identity}"


def by_pydicom(raw: bytes) -> str:
    try:
        return outcome(read_by_pydicom(io.BytesIO(raw)))
    except AnalysisRefused as refused:
        return str(refused)


def by_walk(raw: bytes, *before: bytes) -> str:
    """Return the outcome of the walk alone, after files that may have taught it what headers share."""
    reader = HeaderReader()
    for one in before:
        reader.walk(one, io.BytesIO())
    return outcome(reader.walk(raw, io.BytesIO()))


def test_table_when_held_to_pydicoms_dictionary_then_tags_vrs_and_keywords_are_its() -> None:
    for tag, (keyword, vr) in attributes.ATTRIBUTES.items():
        assert (keyword_for_tag(tag), dictionary_VR(tag)) == (keyword, vr)


@pytest.fixture(scope="module")
def plain_files(tmp_path_factory) -> list[bytes]:
    """Files with private blocks, nested sequences and long values, in both plain transfer syntaxes."""
    folder = tmp_path_factory.mktemp("plain")
    extra = {
        (0x0009, "GEMS_PETD_01", 0x0D): ("DT", "20260302110000"),
        (0x0029, "SIEMENS CSA HEADER", 0x10): ("OB", bytes(range(256)) * 300),
        (0x7053, "", 0x00): ("DS", "0.0005"),
        "PatientName": "Yamada^Tarou=山田^太郎",
        "SpecificCharacterSet": "ISO_IR 192",
        "Manufacturer": "Ünïted",
        "FrameReferenceTime": 59936.8547,
        "AcquisitionDateTime": "",
    }
    paths = write_series(folder / "explicit", volume((2, 3, 3)), ATTRIBUTES | extra)
    implicit = write_series(folder / "implicit", volume((2, 3, 3)), ATTRIBUTES | extra, seed=1)
    as_syntax(implicit, ImplicitVRLittleEndian)
    undefined = write_series(folder / "undefined", volume((2, 3, 3)), ATTRIBUTES | extra, seed=2)
    for path in undefined:
        dataset = pydicom.dcmread(path)
        dataset["RadiopharmaceuticalInformationSequence"].is_undefined_length = True
        item = dataset.RadiopharmaceuticalInformationSequence[0]
        item.is_undefined_length_sequence_item = True
        item["RadionuclideCodeSequence"].is_undefined_length = True
        dataset.save_as(path)
    return [path.read_bytes() for path in (*paths, *implicit, *undefined)]


def test_walk_when_the_file_is_plain_then_it_reads_it_and_equals_pydicom(plain_files: list[bytes]) -> None:
    for raw in plain_files:
        assert by_walk(raw) == by_walk(raw, *plain_files, *plain_files) == by_pydicom(raw)
        assert "RadionuclideTotalDose" in by_walk(raw)


def test_walk_when_the_file_is_cut_anywhere_then_it_equals_pydicom_or_leaves_it(plain_files: list[bytes]) -> None:
    for raw in plain_files:
        for end in range(132, len(raw), 997):
            found = by_walk(raw[:end])
            assert found in {"left to pydicom", by_pydicom(raw[:end])}


@pytest.mark.parametrize("is_undefined", [True, False])
@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, ImplicitVRLittleEndian], ids=str)
def test_walk_when_an_icon_has_pixels_of_its_own_then_it_goes_on_to_those_of_the_image(
    tmp_path: Path, syntax: str, is_undefined: bool
) -> None:
    path = written(tmp_path)[0]
    icon = Dataset()
    icon.Rows = icon.Columns = 4
    icon.BitsAllocated = 8
    icon.PixelData = bytes(16)
    icon.is_undefined_length_sequence_item = is_undefined

    def change(dataset) -> None:
        dataset.IconImageSequence = [icon]
        dataset["IconImageSequence"].is_undefined_length = is_undefined

    edit(path, change)
    as_syntax([path], syntax)
    raw = path.read_bytes()
    assert by_walk(raw) == by_pydicom(raw)
    assert series_of(tmp_path).load().image.shape == (6, 5, 4)


MUTATIONS = st.lists(st.tuples(st.integers(0, 10**5), st.integers(0, 255)), min_size=1, max_size=4)


@settings(max_examples=150, deadline=None)
@given(which=st.integers(0, 5), mutations=MUTATIONS)
def test_walk_when_bytes_are_mutated_then_it_equals_pydicom_or_leaves_it(plain_files, which, mutations) -> None:
    raw = bytearray(plain_files[which])
    places = [*range(132, 2000), *range(len(raw) - 3000, len(raw))]  # the long private value lies between
    for place, value in mutations:
        raw[places[place % len(places)]] = value
    expected = {"left to pydicom", by_pydicom(bytes(raw))}
    assert by_walk(bytes(raw)) in expected
    assert by_walk(bytes(raw), *plain_files, *plain_files) in expected


# --- zip ---------------------------------------------------------------------------------------------------------


def zipped(path: Path, members: dict[str, bytes], compression: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, raw in members.items():
            archive.writestr(name, raw)
    return path


def test_zip_when_it_holds_a_series_then_it_reads_like_the_folder(tmp_path: Path) -> None:
    paths = written(tmp_path / "pet")
    members = {f"study/../{path.name}": path.read_bytes() for path in paths} | {"/etc/notes": b"text"}
    scan = read_scan(list_files(zipped(tmp_path / "scan.zip", members)))
    assert [one.path for one in scan.ignored] == ["/etc/notes"]
    folder = series_of(tmp_path / "pet")
    assert np.array_equal(choose(scan).load().image, folder.load().image)
    assert choose(scan).input_digest() == folder.input_digest()
    assert not (tmp_path / "study").exists()


@pytest.mark.parametrize(
    ("caps", "words"),
    [({"max_zip_ratio": 2}, "2 times its size"), ({"max_zip_bytes": 100}, "GB"), ({"max_files": 3}, "3 files")],
)
def test_zip_when_it_unpacks_to_more_than_allowed_then_it_is_refused_unopened(tmp_path: Path, caps, words) -> None:
    made = zipped(tmp_path / "big.zip", {f"{k}": b"\0" * 1000 for k in range(5)})
    with pytest.raises(AnalysisRefused, match="ING-15") as caught:
        list_files(made, **caps)
    assert words in caught.value.detail


def test_zip_when_it_is_a_bomb_then_it_is_refused_with_the_shipped_limits(tmp_path: Path) -> None:
    with pytest.raises(AnalysisRefused, match="ING-15"):
        list_files(zipped(tmp_path / "bomb.zip", {"a": b"\0" * 10_000_000}))


def test_zip_when_it_is_damaged_then_it_is_refused_or_its_member_is_left_out(tmp_path: Path) -> None:
    raw = written(tmp_path / "pet")[0].read_bytes()
    made = zipped(tmp_path / "scan.zip", {"a.dcm": raw, "b.dcm": raw}, zipfile.ZIP_STORED)
    whole = bytearray(made.read_bytes())
    made.write_bytes(whole[:-30])
    with pytest.raises(AnalysisRefused, match="ING-15"):
        list_files(made)
    whole[400] ^= 0xFF  # the checksum of the first member fails
    made.write_bytes(whole)
    scan = read_scan(list_files(made))
    assert [one.path for one in scan.ignored] == ["a.dcm"]


def test_zip_when_one_lies_in_another_then_it_is_a_file_like_any_other(tmp_path: Path) -> None:
    inner = zipped(tmp_path / "inner.zip", {"a": b"x"}).read_bytes()
    scan = read_scan(list_files(zipped(tmp_path / "outer.zip", {"inner.zip": inner})))
    assert [(one.path, one.code) for one in scan.ignored] == [("inner.zip", "ING-01")]


def test_list_when_nothing_is_there_then_it_is_refused(tmp_path: Path) -> None:
    with pytest.raises(AnalysisRefused, match="INPUT-NOT-FOUND"):
        list_files(tmp_path / "nowhere")


def test_list_when_a_folder_holds_too_many_files_then_it_is_refused(tmp_path: Path) -> None:
    for k in range(4):
        (tmp_path / f"{k}").touch()
    with pytest.raises(AnalysisRefused, match="ING-15"):
        list_files(tmp_path, max_files=3)


def test_header_when_imported_and_used_then_neither_numpy_nor_pydicom_is_needed(tmp_path: Path) -> None:
    path = written(tmp_path)[0]
    program = (
        "import sys; from pathlib import Path; import phantoms.dicom_series.header as header; "
        f"facts = header.read_header(Path({str(path)!r})); print(facts.modality); "
        "sys.exit(any(name in sys.modules for name in ('numpy', 'scipy', 'pydicom')))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "PT\n"), done.stderr
