"""Compressed slices: every lossless way gives the same values, loss is refused by name, lies cost no memory."""

from __future__ import annotations

import base64
from collections.abc import Callable
from pathlib import Path

import gdcm
import numpy as np
import pydicom
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydicom.encaps import encapsulate, generate_frames
from pydicom.uid import (
    HTJ2K,
    JPEG2000,
    HTJ2KLossless,
    HTJ2KLosslessRPCL,
    JPEG2000Lossless,
    JPEGLossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    RLELossless,
)

from phantoms.dicom_series import choose, list_files, read_scan
from phantoms.dicom_series.codestreams import Codestream, read_codestream
from phantoms.errors import AnalysisRefused
from tests.phantoms.memory import peak_bytes
from tests.phantoms.test_dicom_multiframe import write
from tests.phantoms.test_dicom_series import refusal, refused_load, series_of, volume, written

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


#: The plane 700 y + 13 x of this size, encoded for these tests by OpenJPH 0.26.3 with the reversible wavelet and the
#: progression RPCL, unsigned, and less 5000 signed. Nothing that is installed here can encode it.
HTJ2K_FRAMES = {
    0: """
    /0//UQApQAAAAAAOAAAADwAAAAAAAAAAAAAADgAAAA8AAAAAAAAAAAABDwEB/1AACAACAAAACv9SAAwAAgABAAUEBEAB/1wAEyCIkJCQkJCQkJCQkJCQ
    iIiI/2QAFwABT3BlbkpQSCBWZXIgMC4yNi4zLv+QAAoAAAAAAGYAAf+TwAAmleYFB3QAAMAAEsAAEwDqAQd0AObxBAd0AMAAE0AAE4As+wCCdACaWBMA
    41QAwAASQAAVgIB1FADu6i53uevAYwHstgDAACtAGBEjRvznhfr9fst4AP/Z""",
    1: """
    /0//UQApQAAAAAAOAAAADwAAAAAAAAAAAAAADgAAAA8AAAAAAAAAAAABjwEB/1AACAACAAAACv9SAAwAAgABAAUEBEAB/1wAEyCIkJCQkJCQkJCQkJCQ
    iIiI/2QAFwABT3BlbkpQSCBWZXIgMC4yNi4zLv+QAAoAAAAAAGYAAf+TwAAmpf0DB3QAAMAAEsAAEwDqAQd0AObxBAd0AMAAE0AAE4As+wCCdACaWBMA
    41QAwAASQAAVgIB1FADu6i53uevAYwHstgDAACtAGBEjRvznhfr9fst4AP/Z""",
}
HIGH_THROUGHPUT = pytest.mark.parametrize("syntax", [HTJ2KLossless, HTJ2KLosslessRPCL], ids=["HTJ2K", "HTJ2K RPCL"])


def high_throughput(folder: Path, syntax: str, is_signed: int = 0, **changes) -> np.ndarray:
    """Write one slice of high-throughput JPEG 2000, and return what was stored in it."""
    (path,) = written(folder, volume((1, ROWS, COLUMNS)), PixelRepresentation=is_signed, RescaleSlope=0.5, **changes)
    dataset = pydicom.dcmread(path)
    dataset.PixelData = encapsulate([base64.b64decode(HTJ2K_FRAMES[is_signed])])
    dataset["PixelData"].is_undefined_length = True
    dataset.file_meta.TransferSyntaxUID = syntax
    dataset.save_as(path)
    y, x = np.mgrid[:ROWS, :COLUMNS]
    return 700 * y + 13 * x - 5000 * is_signed


@HIGH_THROUGHPUT
@pytest.mark.parametrize("is_signed", [1, 0], ids=["signed", "unsigned"])
def test_load_when_it_is_high_throughput_jpeg_2000_without_loss_then_values_are_those_that_were_encoded(
    tmp_path: Path, syntax: str, is_signed: int
) -> None:
    stored = high_throughput(tmp_path, syntax, is_signed)
    assert np.array_equal(series_of(tmp_path).load().image[0], 0.5 * stored.astype(np.float32))


@HIGH_THROUGHPUT
def test_load_when_high_throughput_jpeg_2000_is_irreversible_under_a_lossless_name_then_it_is_refused_by_name(
    tmp_path: Path, syntax: str
) -> None:
    high_throughput(tmp_path, syntax)
    with_frame(next(tmp_path.iterdir()), at(b"\xff\x52", 13, b"\x00"))
    assert refusal(tmp_path).code == "ING-10"


@HIGH_THROUGHPUT
def test_load_when_high_throughput_jpeg_2000_declares_another_size_or_is_cut_off_then_it_is_refused(
    tmp_path: Path, syntax: str
) -> None:
    high_throughput(tmp_path / "huge", syntax)
    with_frame(next((tmp_path / "huge").iterdir()), at(b"\xff\x51", 6, HUGE_2000 + HUGE_2000))
    high_throughput(tmp_path / "cut", syntax)
    with_frame(next((tmp_path / "cut").iterdir()), lambda frame: frame[:-30])
    assert {refusal(tmp_path / name).code for name in ("huge", "cut")} == {"SERIES-PIXELS"}


@pytest.mark.parametrize("declared", ["01", None])
def test_load_when_high_throughput_jpeg_2000_may_be_lossy_then_it_is_refused_by_name(tmp_path: Path, declared) -> None:
    high_throughput(tmp_path, HTJ2K, LossyImageCompression=declared)
    assert refusal(tmp_path).code == "ING-10"


def test_load_when_high_throughput_jpeg_2000_is_declared_and_coded_without_loss_then_it_is_read(tmp_path: Path) -> None:
    stored = high_throughput(tmp_path, HTJ2K, LossyImageCompression="00")
    assert np.array_equal(series_of(tmp_path).load().image[0], 0.5 * stored.astype(np.float32))


# --- what cannot be decoded --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("syntax", "code", "words"),
    [
        ("1.2.840.10008.1.2.4.110", "SERIES-PIXELS", "JPEG XL"),
        ("1.2.840.10008.1.2.4.111", "ING-10", "loss"),
        ("1.2.840.10008.1.2.4.112", "ING-10", "loss"),
    ],
)
def test_load_when_nothing_here_decodes_it_then_it_is_refused_by_name_with_what_to_do(
    tmp_path: Path, syntax: str, code: str, words: str
) -> None:
    high_throughput(tmp_path, HTJ2KLossless)
    path = next(tmp_path.iterdir())
    path.write_bytes(path.read_bytes().replace(HTJ2KLossless.encode(), syntax.encode()))  # pydicom writes none of them
    refused = refusal(tmp_path)
    assert refused.code == code
    assert words in refused.detail
    assert "without compression" in refused.next_step


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
    assert peak_bytes(lambda: refused_load(series, "SERIES-PIXELS")) < 4_000_000


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
    made = {syntax: compressed(tmp_path_factory.mktemp("codec"), syntax)[0].read_bytes() for syntax in GDCM_NAMES}
    folder = tmp_path_factory.mktemp("codec")
    high_throughput(folder, HTJ2KLossless)
    return made | {HTJ2KLossless: next(folder.iterdir()).read_bytes()}


@pytest.mark.parametrize("syntax", [*GDCM_NAMES, HTJ2KLossless], ids=[*GDCM_NAMES.values(), "HTJ2K"])
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
