"""Compressed slices: every lossless way gives the same values, loss is refused by name, lies cost no memory."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from pathlib import Path

import gdcm
import numpy as np
import pydicom
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydicom.encaps import encapsulate, generate_frames
from pydicom.uid import JPEG2000, JPEG2000Lossless, JPEGLossless, JPEGLosslessSV1, JPEGLSLossless, RLELossless

from phantoms.dicom_series import choose, list_files, read_scan
from phantoms.dicom_series.codestreams import Codestream, read_codestream
from phantoms.errors import AnalysisRefused
from tests.phantoms.test_dicom_multiframe import write
from tests.phantoms.test_dicom_series import refusal, series_of, volume, written

ROWS, COLUMNS = 15, 14
GDCM_NAMES = {
    JPEGLossless: "JPEGLosslessProcess14",
    JPEGLosslessSV1: "JPEGLosslessProcess14_1",
    JPEGLSLossless: "JPEGLSLossless",
    JPEG2000Lossless: "JPEG2000Lossless",
    RLELossless: "RLELossless",
}
LOSSLESS = pytest.mark.parametrize("syntax", GDCM_NAMES, ids=list(GDCM_NAMES.values()))


def compress(path: Path, syntax: str) -> None:
    """Rewrite a file in a lossless transfer syntax with GDCM, which is not what decodes all of them here."""
    reader = gdcm.ImageReader()
    reader.SetFileName(str(path))
    assert reader.Read()
    change = gdcm.ImageChangeTransferSyntax()
    change.SetTransferSyntax(gdcm.TransferSyntax(getattr(gdcm.TransferSyntax, GDCM_NAMES[syntax])))
    change.SetInput(reader.GetImage())
    assert change.Change()
    writer = gdcm.ImageWriter()
    writer.SetFileName(str(path))
    writer.SetFile(reader.GetFile())
    writer.SetImage(change.GetOutput())
    assert writer.Write()


def compressed(folder: Path, syntax: str) -> list[Path]:
    paths = written(folder, volume((3, ROWS, COLUMNS)))
    for path in paths:
        compress(path, syntax)
    return paths


def frame_of(path: Path) -> bytes:
    return next(generate_frames(pydicom.dcmread(path).PixelData, number_of_frames=1))


def with_frame(path: Path, change: Callable[[bytearray], bytes | bytearray | None]) -> None:
    """Change the codestream of a compressed file; its header stays."""
    dataset = pydicom.dcmread(path)
    frame = bytearray(frame_of(path))
    dataset.PixelData = encapsulate([bytes(change(frame) or frame)])
    dataset.save_as(path)


# --- the same values ---------------------------------------------------------------------------------------------


@LOSSLESS
@pytest.mark.parametrize("is_signed", [True, False], ids=["signed", "unsigned"])
def test_load_when_compressed_without_loss_then_values_are_the_same(tmp_path: Path, syntax: str, is_signed) -> None:
    paths = written(tmp_path, volume((3, ROWS, COLUMNS)), PixelRepresentation=int(is_signed))
    for path in paths:
        dataset = pydicom.dcmread(path)
        if is_signed:
            dataset.PixelData = (np.frombuffer(dataset.PixelData, "<i2") - 9000).astype("<i2").tobytes()
        dataset.save_as(path)
    expected = series_of(tmp_path).load().image
    for path in paths:
        compress(path, syntax)
    series = series_of(tmp_path)
    assert series.facts.transfer_syntax_uid == syntax
    assert np.array_equal(series.load().image, expected)


@pytest.mark.parametrize("syntax", [RLELossless, JPEG2000Lossless, JPEGLSLossless], ids=str)
def test_load_when_a_multi_frame_file_is_compressed_then_values_are_the_same(tmp_path: Path, syntax: str) -> None:
    made = volume((5, 40, 36))
    path = write(tmp_path / "multi.dcm", made)
    expected = choose(read_scan([path])).load().image
    dataset = pydicom.dcmread(path)
    dataset.compress(syntax, generate_instance_uid=False)
    dataset.save_as(path)
    assert np.array_equal(choose(read_scan([path])).load().image, expected)


# --- what a codestream says --------------------------------------------------------------------------------------


@LOSSLESS
def test_codestream_when_written_by_an_encoder_then_size_and_kind_are_read(tmp_path: Path, syntax: str) -> None:
    frame = frame_of(compressed(tmp_path, syntax)[0])
    assert read_codestream(syntax, frame, ROWS, COLUMNS) == Codestream(ROWS, COLUMNS, 1, 16, is_lossy=False)


def at(marker: bytes, offset: int, value: bytes) -> Callable[[bytearray], None]:
    """Overwrite what stands so far behind the first of a marker."""

    def change(frame: bytearray) -> None:
        place = frame.index(marker) + offset
        frame[place : place + len(value)] = value

    return change


HUGE = (65535).to_bytes(2, "big")
HUGE_2000 = (2**31 - 1).to_bytes(4, "big")


@pytest.mark.parametrize(
    ("syntax", "change"),
    [
        (JPEGLosslessSV1, at(b"\xff\xc3", 5, HUGE + HUGE)),
        (JPEGLossless, at(b"\xff\xc3", 7, HUGE)),
        (JPEGLossless, at(b"\xff\xc3", 4, b"\x74")),
        (JPEGLSLossless, at(b"\xff\xf7", 5, HUGE + HUGE)),
        (JPEGLSLossless, at(b"\xff\xf7", 9, b"\x03")),
        (JPEG2000Lossless, at(b"\xff\x51", 6, HUGE_2000 + HUGE_2000)),
        (JPEG2000Lossless, at(b"\xff\x51", 38, b"\x00\x03")),
        (RLELossless, lambda frame: frame[:64] + b"\x81\x00" * 20000),
        (RLELossless, lambda frame: frame[:-20]),
        (RLELossless, lambda frame: b"\x0f" + frame[1:]),
        *((syntax, lambda frame: frame[:-30]) for syntax in GDCM_NAMES),
        *((syntax, lambda frame: frame[:3]) for syntax in GDCM_NAMES),
        *((syntax, lambda frame: b"\0" * 64) for syntax in GDCM_NAMES),
    ],
)
def test_load_when_a_codestream_is_not_what_the_header_declares_then_it_is_refused_before_it_is_decoded(
    tmp_path: Path, syntax: str, change
) -> None:
    with_frame(compressed(tmp_path, syntax)[1], change)
    series = series_of(tmp_path)
    tracemalloc.start()
    with pytest.raises(AnalysisRefused, match="SERIES-PIXELS"):
        series.load()
    assert tracemalloc.get_traced_memory()[1] < 4_000_000
    tracemalloc.stop()


@LOSSLESS
def test_load_when_the_header_declares_another_size_than_the_codestream_then_it_is_refused(tmp_path, syntax) -> None:
    for path in compressed(tmp_path, syntax):
        dataset = pydicom.dcmread(path)
        dataset.Rows, dataset.Columns = COLUMNS, ROWS + 1
        dataset.save_as(path)
    assert refusal(tmp_path).code == "SERIES-PIXELS"


def as_irreversible(path: Path) -> None:
    dataset = pydicom.dcmread(path)
    dataset.compress(JPEG2000, j2k_cr=[2], generate_instance_uid=False)
    dataset.LossyImageCompression = "00"
    dataset.save_as(path)


@pytest.mark.parametrize(
    ("syntax", "change"),
    [
        (JPEGLossless, at(b"\xff\xc3", 1, b"\xc0")),  # a baseline frame under the name of a lossless one
        (JPEGLossless, at(b"\xff\xda", 9, b"\x02")),  # a point transform drops two bits
        (JPEGLSLossless, at(b"\xff\xda", 7, b"\x02")),  # NEAR 2: each value may be off by 2
        (JPEG2000Lossless, at(b"\xff\x52", 13, b"\x00")),  # the irreversible wavelet
    ],
)
def test_load_when_the_codestream_is_lossy_under_a_lossless_name_then_it_is_refused_by_name(
    tmp_path: Path, syntax: str, change
) -> None:
    with_frame(compressed(tmp_path, syntax)[2], change)
    assert refusal(tmp_path).code == "ING-10"


def test_load_when_jpeg_2000_is_irreversible_though_the_header_says_no_loss_then_it_is_refused(tmp_path: Path) -> None:
    for path in written(tmp_path, volume((2, 32, 32))):
        as_irreversible(path)
    assert refusal(tmp_path).code == "ING-10"


def test_load_when_jpeg_2000_is_reversible_and_the_header_says_no_loss_then_it_is_read(tmp_path: Path) -> None:
    paths = compressed(tmp_path, JPEG2000Lossless)
    expected = series_of(tmp_path).load().image
    for path in paths:
        dataset = pydicom.dcmread(path)
        dataset.file_meta.TransferSyntaxUID, dataset.LossyImageCompression = JPEG2000, "00"
        dataset.save_as(path)
    assert np.array_equal(series_of(tmp_path).load().image, expected)


# --- damaged ------------------------------------------------------------------------------------------------------

MUTATIONS = st.lists(st.tuples(st.integers(0, 10**5), st.integers(0, 255)), min_size=1, max_size=5)


@pytest.fixture(scope="module")
def frames(tmp_path_factory) -> dict[str, bytes]:
    return {syntax: compressed(tmp_path_factory.mktemp("codec"), syntax)[0].read_bytes() for syntax in GDCM_NAMES}


@LOSSLESS
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(mutations=MUTATIONS, cut=st.integers(0, 10**4))
def test_load_when_a_codestream_is_mutated_then_it_is_refused_or_has_the_declared_shape(
    tmp_path: Path, frames, syntax: str, mutations, cut
) -> None:
    raw = bytearray(frames[syntax])
    start = raw.rindex(b"\xfe\xff\x00\xe0") + 8
    for place, value in mutations:
        raw[start + place % (len(raw) - start)] = value
    path = tmp_path / "one.dcm"
    path.write_bytes(raw[: start + cut])
    for series in read_scan(list_files(tmp_path)).series:
        try:
            loaded = series.load()
        except AnalysisRefused:
            continue
        assert loaded.image.shape == (1, ROWS, COLUMNS)
        assert np.isfinite(loaded.image).all()
