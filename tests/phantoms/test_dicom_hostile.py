"""Files made to exhaust or to mislead the reader: each is refused by name, at little cost, or read harmlessly."""

from __future__ import annotations

import io
import json
import warnings
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pydicom
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydicom.uid import DeflatedExplicitVRLittleEndian

from phantoms.dicom_series import choose, header, list_files, pixels, read_header, read_scan, write_series
from phantoms.dicom_series import elements as elements_module
from phantoms.errors import AnalysisRefused
from phantoms.volume import PetVolume
from tests.phantoms.memory import peak_bytes

LONG_UID = "1.2." + "3" * 60


def written(folder: Path, **attributes: Any) -> list[Path]:
    image = np.random.default_rng(1).uniform(0, 20000, (3, 4, 4)).astype(np.float32)
    made = PetVolume(image, np.diag([4.0, 4.0, 3.0, 1.0]), "Bq/mL")
    return write_series(folder, made, {"CorrectedImage": ["ATTN", "DECY"], "Manufacturer": "SIEMENS"} | attributes)


def edit(path: Path, change: Callable[[pydicom.Dataset], Any]) -> None:
    dataset = pydicom.dcmread(path)
    change(dataset)
    dataset.save_as(path)


def deflated(path: Path, filling_bytes: int = 0) -> None:
    """Store a file deflated, with so many zeros in a private element before its pixels."""
    dataset = pydicom.dcmread(path)
    dataset.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    if filling_bytes:
        dataset.add_new(0x00291010, "OB", b"\0" * filling_bytes)
    dataset.save_as(path)


class Endless(io.RawIOBase):
    """A file that goes on with zeros up to a size, of which nothing lies anywhere."""

    def __init__(self, head: bytes, size: int) -> None:
        self.head, self.size, self.at, self.read_bytes = head, size, 0, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self.at

    def seek(self, offset: int, whence: int = 0) -> int:
        self.at = offset + (0, self.at, self.size)[whence]
        return self.at

    def read(self, size: int = -1) -> bytes:
        count = max(0, self.size - self.at) if size < 0 else min(size, max(0, self.size - self.at))
        data = self.head[self.at : self.at + count].ljust(count, b"\0")
        self.at += count
        self.read_bytes += count
        return data


def refused(file: BinaryIO | Path) -> AnalysisRefused:
    with pytest.raises(AnalysisRefused) as caught:
        read_header(file)
    return caught.value


def test_read_header_when_a_deflated_file_is_small_then_it_is_read(tmp_path: Path) -> None:
    expected = choose(read_scan(list_files(tmp_path))).load().image if written(tmp_path) else None
    for path in tmp_path.iterdir():
        deflated(path, 100_000)
        assert read_header(path).manufacturer == "SIEMENS"
    assert np.array_equal(choose(read_scan(list_files(tmp_path))).load().image, expected)


def test_read_header_when_a_deflated_file_is_a_bomb_then_it_is_refused_by_name_before_it_is_unpacked(tmp_path) -> None:
    path = written(tmp_path)[0]
    deflated(path, 2 * elements_module.MAX_HEADER_BYTES)
    assert path.stat().st_size < 1_000_000
    refusals: list[AnalysisRefused] = []
    peak = peak_bytes(lambda: refusals.append(refused(path)))
    assert refusals[0].code == "ING-15"
    assert "1.2.840.10008.1.2.1.99" in refusals[0].detail
    assert peak < 8_000_000


def test_read_header_when_the_head_of_a_deflated_bomb_is_unusual_then_it_is_refused_too(tmp_path: Path) -> None:
    path = written(tmp_path)[0]
    deflated(path, 2 * elements_module.MAX_HEADER_BYTES)
    raw = path.read_bytes()
    path.write_bytes(raw[:140] + (7).to_bytes(4, "little") + raw[144:])
    assert refused(path).code == "ING-15"


@pytest.mark.parametrize("syntax", ["1.2.840.10008.1.2.1", "1.2.840.10008.1.2.4.90", "1.2.840.10008.1.2.1.99"])
def test_read_header_when_an_element_goes_on_for_gigabytes_then_it_is_refused_after_a_bounded_part(
    tmp_path: Path, syntax: str
) -> None:
    path = written(tmp_path)[0]
    edit(path, lambda one: setattr(one.file_meta, "TransferSyntaxUID", "1.2.840.10008.1.2.1"))
    raw = path.read_bytes()
    at = raw.index(b"\x08\x00\x16\x00UI")
    head = raw[:at] + b"\x08\x00\x06\x00OB\0\0" + (0xF0000000).to_bytes(4, "little")
    place = head.index(b"1.2.840.10008.1.2.1\0")
    padded = syntax.encode() + b"\0" * (len(syntax) % 2)
    head = head[: place - 2] + len(padded).to_bytes(2, "little") + padded + head[place + 20 :]
    file = Endless(head, 0xF0001000)
    assert refused(file).code == "ING-01"  # type: ignore[arg-type]
    assert file.read_bytes <= 3 * elements_module.MAX_HEADER_BYTES


def test_scan_when_a_member_of_a_zip_is_larger_than_any_slice_then_it_is_left_out_unread(tmp_path, monkeypatch) -> None:
    path = written(tmp_path / "scan")[0]
    zipped = tmp_path / "scan.zip"
    with zipfile.ZipFile(zipped, "w") as archive:
        archive.writestr("IM1", path.read_bytes() + b"\0" * 100_000)
        archive.writestr("IM2", path.read_bytes())
    monkeypatch.setattr(header, "MAX_MEMBER_BYTES", 50_000)
    scan = read_scan(list_files(zipped))
    assert [one.code for one in scan.ignored] == ["ING-01"]
    assert [one.slices for one in scan.series] == [1]


def test_load_when_a_compressed_file_is_larger_than_any_slice_then_it_is_refused_unread(tmp_path, monkeypatch) -> None:
    for path in written(tmp_path):
        deflated(path)
    series = choose(read_scan(list_files(tmp_path)))
    monkeypatch.setattr(pixels, "MAX_SLICE_FILE_BYTES", 500)
    with pytest.raises(AnalysisRefused, match="SERIES-PIXELS"):
        series.load()


@pytest.mark.parametrize(("slope", "intercept"), [("1e38", "0"), ("1e300", "0"), ("1", "1e39")])
def test_load_when_rescaled_values_are_beyond_all_numbers_then_it_is_refused(tmp_path, slope, intercept) -> None:
    path = written(tmp_path)[1]
    edit(path, lambda one: (setattr(one, "RescaleSlope", slope), setattr(one, "RescaleIntercept", intercept)))
    with pytest.raises(AnalysisRefused, match="SERIES-PIXELS"):
        choose(read_scan(list_files(tmp_path))).load()


# --- where slices lie ----------------------------------------------------------------------------------------------

LENGTHS = st.one_of(
    st.sampled_from([0.0, -4.0, 4.0, 1e-300, 1e-4, 1e-3, 1e4, 1e5, 1e154, 1e160, 1e300, -1e300]),
    st.floats(-1e308, 1e308, allow_nan=False),
)
#: What is changed of a slice: its pixel, thickness, distance, position, direction.
GEOMETRY = st.fixed_dictionaries(
    {},
    optional={
        "PixelSpacing": st.lists(LENGTHS, min_size=2, max_size=2),
        "SliceThickness": LENGTHS,
        "SpacingBetweenSlices": LENGTHS,
        "ImagePositionPatient": st.lists(LENGTHS, min_size=3, max_size=3),
        "ImageOrientationPatient": st.lists(LENGTHS, min_size=6, max_size=6),
    },
)


def attempt(call: Callable[[], Any]) -> tuple[Any, AnalysisRefused | None]:
    """Return what a call gives, or its refusal."""
    try:
        return call(), None
    except AnalysisRefused as refusal:
        return None, refusal


def as_text(value: Any) -> Any:
    return [f"{one:.9e}" for one in value] if isinstance(value, list) else f"{value:.9e}"


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(changed=GEOMETRY, which=st.integers(1, 7), slices=st.integers(1, 3))
def test_load_when_the_place_of_slices_is_beyond_all_scanners_then_it_is_refused_or_every_number_is_one(
    tmp_path: Path, changed, which: int, slices: int
) -> None:
    for old in tmp_path.iterdir():
        old.unlink()
    for number, path in enumerate(written(tmp_path)[:slices]):
        if which >> number & 1:
            edit(path, lambda one: [setattr(one, keyword, as_text(value)) for keyword, value in changed.items()])
    paths = sorted(tmp_path.iterdir())[:slices]
    with warnings.catch_warnings(), np.errstate(all="raise", under="ignore"):
        warnings.simplefilter("error")
        series = read_scan(paths).series[0]
        json.dumps(series.as_json(), allow_nan=False)
        spacing_mm = series.spacing_zyx_mm
        assert spacing_mm is None or all(9e-4 <= step_mm <= 1.1e4 for step_mm in spacing_mm)
        made, refusal = attempt(series.load)
    if refusal is not None:
        assert refusal.code.startswith("SERIES-")
        assert refusal.next_step
        return
    assert made.spacing_zyx_mm == pytest.approx(spacing_mm)
    assert np.isfinite(made.affine_lps_mm).all()
    assert np.allclose(made.to_index_zyx(made.to_lps_mm(np.ones(3))), 1.0, atol=1e-3)


@pytest.mark.parametrize("spacing", [["1E300", "1E300"], ["1E-300", "1E-300"], ["4", "1E300"], ["0", "4"], ["-4", "4"]])
def test_load_when_a_pixel_is_none_that_a_scanner_has_then_it_is_refused_by_name(tmp_path: Path, spacing) -> None:
    written(tmp_path, PixelSpacing=spacing)
    series = choose(read_scan(list_files(tmp_path)))
    assert series.spacing_zyx_mm is None
    with pytest.raises(AnalysisRefused, match="SERIES-GEOMETRY"):
        series.load()


def test_load_when_slices_lie_farther_apart_than_a_scanner_can_place_them_then_it_is_refused_by_name(tmp_path) -> None:
    paths = written(tmp_path)
    for path in paths[2:]:
        path.unlink()
    edit(paths[1], lambda one: setattr(one, "ImagePositionPatient", [0.0, 0.0, 1e5]))
    series = choose(read_scan(list_files(tmp_path)))
    assert series.spacing_zyx_mm is None
    with pytest.raises(AnalysisRefused, match="SERIES-GEOMETRY"):
        series.load()


def test_volume_bound_when_the_largest_pet_matrix_comes_then_it_fits_and_twice_as_much_does_not() -> None:
    assert 440 * 440 * 700 * 4 < pixels.MAX_VOLUME_BYTES == 1024**3


def test_read_header_when_a_text_holds_nul_then_it_is_taken_out(tmp_path: Path) -> None:
    path = written(tmp_path, Manufacturer="GE?X", SoftwareVersions=["A?B", "C"])[0]
    path.write_bytes(path.read_bytes().replace(b"GE?X", b"GE\0X").replace(b"A?B", b"A\0B"))
    facts = read_header(path)
    assert (facts.manufacturer, facts.software_versions) == ("GEX", "AB\\C")
    series = choose(read_scan([path]))
    assert series.header.Manufacturer == "GEX"
    assert "\0" not in repr(series.instances[0].header)


@pytest.mark.parametrize("keyword", ["SOPInstanceUID", "SeriesInstanceUID", "StudyInstanceUID", "SOPClassUID"])
def test_read_header_when_a_uid_is_longer_than_a_uid_may_be_then_it_is_refused(tmp_path: Path, keyword: str) -> None:
    path = written(tmp_path)[0]
    edit(path, lambda one: setattr(one, keyword, LONG_UID))
    read_header(path)
    edit(path, lambda one: setattr(one, keyword, LONG_UID + "4"))
    assert refused(path).code == "ING-01"
    assert [one.code for one in read_scan([path]).ignored] == ["ING-01"]


def test_zip_when_a_member_declares_a_huge_lzma_dictionary_then_it_is_left_out_before_memory_is_taken(tmp_path) -> None:
    path = written(tmp_path / "scan")[0]
    zipped = tmp_path / "scan.zip"
    with zipfile.ZipFile(zipped, "w", zipfile.ZIP_LZMA) as archive:
        archive.writestr("IM1", path.read_bytes())
        archive.writestr("IM2", path.read_bytes())
    assert [one.slices for one in read_scan(list_files(zipped)).series] == [1]
    raw = bytearray(zipped.read_bytes())
    with zipfile.ZipFile(zipped) as archive:
        start = archive.getinfo("IM1").header_offset + 30 + len("IM1")
    raw[start + 5 : start + 9] = (0xFFFFFFFF).to_bytes(4, "little")
    zipped.write_bytes(raw)
    scan = read_scan(list_files(zipped))
    assert [(one.path, one.code) for one in scan.ignored] == [("IM1", "ING-01")]
    assert [one.slices for one in scan.series] == [1]


@pytest.mark.parametrize("syntax", ["1.2.840.10008.1.2.1", "1.2.840.10008.1.2.1.99"])
def test_read_header_when_it_lists_more_items_than_any_then_it_is_refused(tmp_path: Path, syntax: str) -> None:
    path = written(tmp_path)[0]
    raw = path.read_bytes()
    at = raw.index(b"\xe0\x7f\x10\x00OW")
    items = b"\xfe\xff\x00\xe0\0\0\0\0" * (elements_module.MAX_ITEMS + 100)
    path.write_bytes(raw[:at] + b"\x00\x52\x29\x92SQ\0\0" + len(items).to_bytes(4, "little") + items + raw[at:])
    if syntax.endswith("99"):
        start = raw.index(b"\x08\x00\x08\x00CS")
        packed = zlib.compress(path.read_bytes()[start:])[2:-4]
        head = raw[:start].replace(b"1.2.840.10008.1.2.1\0", b"1.2.840.10008.1.2.1.99")
        head = head.replace(b"UI\x14\x001.2.840.10008.1.2.1.99", b"UI\x16\x001.2.840.10008.1.2.1.99")
        path.write_bytes(
            head[:140] + (int.from_bytes(head[140:144], "little") + 2).to_bytes(4, "little") + head[144:] + packed
        )
    assert refused(path).code == "ING-01"
    assert "items" in refused(path).detail
