"""The pixels of a slice: checked against the file before anything is allocated, then read."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from phantoms.dicom_series.codestreams import RLE, read_codestream
from phantoms.dicom_series.frames import MULTI_FRAME, MULTI_FRAME_CT
from phantoms.dicom_series.header import Instance
from phantoms.errors import AnalysisRefused

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from pydicom.dataset import Dataset

MAX_EDGE = 2048  # rows or columns; PET matrices end below 1000
MAX_VOLUME_BYTES = 1024**3  # the longest scans, 700 planes of 440 × 440, take half of it
MAX_SLICE_FILE_BYTES = 128 * 1024**2  # the longest header and the largest plane, with room
MAX_MULTI_FRAME_BYTES = 512 * 1024**2  # half the largest volume: stored values have half the bytes of float32
#: What decodes, of those plug-ins that do not end the process over broken data; JPEG has only the one.
_PLUGINS = {
    **{"1.2.840.10008.1.2.4.57": "gdcm", "1.2.840.10008.1.2.4.70": "gdcm", "1.2.840.10008.1.2.4.80": "pyjpegls"},
    **dict.fromkeys((f"1.2.840.10008.1.2.4.{number}" for number in (90, 91, 201, 202, 203)), "pylibjpeg"),
    RLE: "pylibjpeg",
}
#: Names of transfer syntaxes that pydicom's dictionary lacks. Source: DICOM PS3.6, table A-1.
_UNKNOWN_TO_PYDICOM = {"1.2.840.10008.1.2.4.110": "JPEG XL Lossless"}
_LARGEST_FLOAT32 = float(np.finfo(np.float32).max)


def check_pixels(instances: Sequence[Instance]) -> None:
    """Check what the headers declare about the pixels, before a byte is allocated for them.

    Raises
    ------
    AnalysisRefused
        Compressed with loss, two slices of one identity, too large, not one whole number each, without a slope, or
        shorter than declared.
    """
    if any(instance.facts.is_lossy for instance in instances):
        raise lossy("This series was compressed with loss, so its values cannot be measured (0028,2110).")
    if len({(instance.facts.sop_instance_uid, instance.frame) for instance in instances}) < len(instances):
        raise AnalysisRefused(
            "ING-13",
            "Two files of this series have one identity but other content (0008,0018).",
            "(0008,0018)",
            "Tell us which is right; until then neither is measured.",
        )
    planes, rows, columns = len(instances), instances[0].rows, instances[0].columns
    if not (0 < rows <= MAX_EDGE and 0 < columns <= MAX_EDGE and planes * rows * columns * 4 <= MAX_VOLUME_BYTES):
        raise AnalysisRefused(
            "SERIES-SIZE",
            f"The headers declare {planes} slices of {rows} × {columns}, which is no PET image (0028,0010).",
            "(0028,0010)",
            "Export the series again.",
        )
    for instance in instances:
        is_one_number = instance.samples == 1 and instance.bits_allocated in {8, 16, 32}
        is_several = instance.frames != 1 and instance.facts.sop_class_uid not in MULTI_FRAME | MULTI_FRAME_CT
        if not is_one_number or is_several:
            raise AnalysisRefused(
                "SERIES-PIXELS",
                "The pixels of a slice are not one whole number each (0028,0002) (0028,0008) (0028,0100).",
                "(0028,0100)",
                "Send the original PET series.",
            )
        if instance.slope is None or instance.slope == 0:
            raise AnalysisRefused(
                "SERIES-NO-SLOPE",
                "A slice has no rescale slope, so its stored numbers have no value (0028,1053).",
                "(0028,1053)",
                "Export the series again from the scanner or archive.",
            )
        wanted = instance.frames * rows * columns * instance.bits_allocated // 8
        is_short = instance.pixel_offset is not None and (
            (instance.pixel_bytes or 0) < wanted or instance.pixel_offset + wanted > instance.file_bytes
        )
        if not instance.has_pixels or is_short:
            raise AnalysisRefused(
                "SERIES-TRUNCATED",
                "A slice is cut off: it holds fewer pixels than its header declares (7FE0,0010).",
                "(7FE0,0010)",
                "Send the series again.",
            )


def read_planes(
    instances: Sequence[Instance], image: NDArray[np.float32], factors: Sequence[float] | None = None
) -> None:
    """Read the rescaled values of slices into ``image[z, y, x]``; each file is opened once and read forwards.

    Parameters
    ----------
    instances : sequence of Instance
        One for each plane, checked by `check_pixels`.
    image : ndarray of float32, shape (z, y, x)
        Is written.
    factors : sequence of float, optional
        What the values of each plane are multiplied by besides.

    Raises
    ------
    AnalysisRefused
        ``SERIES-PIXELS`` where pixels cannot be decoded, or rescale to no finite number; ``ING-10`` where a frame was
        compressed with loss, whatever the headers say.
    """
    by_source: dict[int, list[int]] = {}
    for z, instance in enumerate(instances):
        by_source.setdefault(id(instance.source), []).append(z)
    buffers: dict[tuple[str, int, int], NDArray[Any]] = {}
    with np.errstate(over="ignore", invalid="ignore"):  # judged by _rescale
        for planes in by_source.values():
            if len(planes) > 1:
                planes.sort(key=lambda z: instances[z].frame)
            of_file = [instances[z] for z in planes]
            is_plain = of_file[0].pixel_offset is not None
            stored = _stored_fast(of_file, buffers) if is_plain else _stored_by_pydicom(of_file)
            for z, instance, one in zip(planes, of_file, stored, strict=True):
                if one.shape != image[z].shape:
                    raise _undecodable(instance)
                _rescale(one, instance, 1.0 if factors is None else factors[z], image[z])


def _rescale(stored: NDArray[Any], instance: Instance, factor: float, plane: NDArray[np.float32]) -> None:
    slope, intercept = (instance.slope or 0.0) * factor, instance.intercept * factor
    np.multiply(stored, np.float32(slope), out=plane, casting="unsafe")
    if intercept:
        plane += np.float32(intercept)
    # The values are looked at only where the largest number that could be stored would not do.
    largest = 2.0**instance.bits_allocated * abs(slope) + abs(intercept)
    if not largest <= _LARGEST_FLOAT32 and not np.isfinite(plane).all():
        raise AnalysisRefused(
            "SERIES-PIXELS",
            "The rescale slope or intercept of a slice makes values beyond all numbers (0028,1053) (0028,1052).",
            "(0028,1053)",
            "Export the series again from the scanner or archive.",
        )


def _stored_fast(
    instances: Sequence[Instance], buffers: dict[tuple[str, int, int], NDArray[Any]]
) -> Iterator[NDArray[Any]]:
    """Yield the stored values of uncompressed little-endian slices of one file; each lasts until the next.

    ``buffers`` has one plane for each kind and size of stored values, and is filled as they come.
    """
    first = instances[0]
    kind = f"<{'i' if first.is_signed else 'u'}{first.bits_allocated // 8}", first.rows, first.columns
    if kind not in buffers:
        buffers[kind] = np.empty(kind[1:], kind[0])
    stored = buffers[kind]
    with first.source.open() as file:
        for instance in instances:
            file.seek((instance.pixel_offset or 0) + instance.frame * stored.nbytes)
            if file.readinto(stored) != stored.nbytes:  # type: ignore[attr-defined]  # the file shrank since
                raise _undecodable(instance)
            yield stored


def _stored_by_pydicom(instances: Sequence[Instance]) -> Iterator[NDArray[Any]]:
    """Yield the stored values of slices of one file, decoded by pydicom and its plug-ins, one after the other."""
    # Plain files need none of this, and its import takes as long as they take to be read.
    from pydicom import dcmread
    from pydicom.pixels.utils import iter_pixels

    from phantoms.dicom_series.authority import Bounded

    first = instances[0]
    limit_bytes = MAX_SLICE_FILE_BYTES if first.frames == 1 else MAX_MULTI_FRAME_BYTES
    if first.file_bytes > limit_bytes:
        raise _undecodable(first)
    try:
        with first.source.open() as file:
            # A zip stream seeks slowly.
            whole = io.BufferedReader(file) if first.source.path else io.BytesIO(file.read(first.file_bytes))  # type: ignore[type-var]
            dataset = dcmread(Bounded(whole, limit_bytes))
        if dataset.file_meta.TransferSyntaxUID.is_encapsulated:
            _check_frames(dataset, first)
        plugin = _PLUGINS.get(first.facts.transfer_syntax_uid, "")
        frames = [instance.frame for instance in instances]
        yield from iter_pixels(dataset, indices=frames, raw=True, decoding_plugin=plugin)
    except AnalysisRefused:
        raise
    except Exception as error:
        raise _undecodable(first) from error


def _check_frames(dataset: Dataset, first: Instance) -> None:
    """Hold what every compressed frame says of itself against the header, before any is decoded."""
    from pydicom.encaps import generate_frames

    syntax = first.facts.transfer_syntax_uid
    for frame in generate_frames(dataset.PixelData, number_of_frames=first.frames):
        found = read_codestream(syntax, frame, first.rows, first.columns)
        if found is None or (found.rows, found.columns, found.samples) != (first.rows, first.columns, 1):
            raise _undecodable(first)
        if found.bits > first.bits_allocated:
            raise _undecodable(first)
        if found.is_lossy:
            raise lossy(
                "A slice of this series was compressed with loss, though its header does not say so (7FE0,0010)."
            )


def lossy(detail: str) -> AnalysisRefused:
    """Return the refusal of values that were changed by compression."""
    return AnalysisRefused(
        "ING-10",
        detail,
        "(0028,2110)",
        "Export it again without compression, or with lossless compression.",
    )


def _undecodable(instance: Instance) -> AnalysisRefused:
    from pydicom.uid import UID

    syntax = instance.facts.transfer_syntax_uid
    name = _UNKNOWN_TO_PYDICOM.get(syntax) or UID(syntax).name
    return AnalysisRefused(
        "SERIES-PIXELS",
        f"The pixels of a slice could not be read (7FE0,0010); they are stored as {name}.",
        "(7FE0,0010)",
        "Export the series again without compression.",
    )
