"""The pixels of a slice: checked against the file before anything is allocated, then read."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from pydicom import dcmread
from pydicom.uid import UID

from phantoms.dicom_series.authority import Bounded
from phantoms.dicom_series.header import Instance
from phantoms.errors import AnalysisRefused

if TYPE_CHECKING:
    from numpy.typing import NDArray

MAX_EDGE = 2048  # rows or columns; PET matrices end below 1000
MAX_VOLUME_BYTES = 1024**3  # the longest scans, 700 planes of 440 × 440, take half of it
MAX_SLICE_FILE_BYTES = 128 * 1024**2  # the longest header and the largest plane, with room


def check_pixels(instances: Sequence[Instance]) -> None:
    """Check what the headers declare about the pixels, before a byte is allocated for them."""
    if any(instance.facts.is_lossy for instance in instances):
        raise AnalysisRefused(
            "ING-10",
            "This series was compressed with loss, so its values cannot be measured (0028,2110).",
            "(0028,2110)",
            "Export it again without compression, or with lossless compression.",
        )
    if len({instance.facts.sop_instance_uid for instance in instances}) < len(instances):
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
        if instance.samples != 1 or instance.frames != 1 or instance.bits_allocated not in {8, 16, 32}:
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
        wanted = rows * columns * instance.bits_allocated // 8
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


def read_plane(instance: Instance, plane: NDArray[np.float32]) -> None:
    """Read one slice's rescaled values into ``plane[y, x]``.

    Raises
    ------
    AnalysisRefused
        ``SERIES-PIXELS`` where the pixels cannot be decoded, or rescale to no finite number.
    """
    stored = _stored_fast(instance) if instance.pixel_offset is not None else _stored_by_pydicom(instance)
    if stored.shape != plane.shape:
        raise _undecodable(instance)
    with np.errstate(over="ignore", invalid="ignore"):  # judged below
        np.multiply(stored, np.float32(instance.slope), out=plane, casting="unsafe")
        if instance.intercept:
            plane += np.float32(instance.intercept)
    if not np.isfinite(plane).all():
        raise AnalysisRefused(
            "SERIES-PIXELS",
            "The rescale slope or intercept of a slice makes values beyond all numbers (0028,1053) (0028,1052).",
            "(0028,1053)",
            "Export the series again from the scanner or archive.",
        )


def _stored_fast(instance: Instance) -> NDArray[Any]:
    """Return the stored values of an uncompressed little-endian slice, straight from its bytes."""
    kind = np.dtype(f"<{'i' if instance.is_signed else 'u'}{instance.bits_allocated // 8}")
    wanted = instance.rows * instance.columns * kind.itemsize
    with instance.source.open() as file:
        file.seek(instance.pixel_offset or 0)
        data = file.read(wanted)
    if len(data) < wanted:  # the file shrank since its header was read
        raise _undecodable(instance)
    return np.frombuffer(data, kind).reshape(instance.rows, instance.columns)


def _stored_by_pydicom(instance: Instance) -> NDArray[Any]:
    if instance.file_bytes > MAX_SLICE_FILE_BYTES:
        raise _undecodable(instance)
    try:
        with instance.source.open() as file:
            whole = io.BytesIO(file.read(instance.file_bytes))  # a zip stream seeks slowly
        return np.asarray(dcmread(Bounded(whole, MAX_SLICE_FILE_BYTES)).pixel_array)
    except Exception as error:
        raise _undecodable(instance) from error


def _undecodable(instance: Instance) -> AnalysisRefused:
    name = UID(instance.facts.transfer_syntax_uid).name
    return AnalysisRefused(
        "SERIES-PIXELS",
        f"The pixels of a slice could not be read (7FE0,0010); they are stored as {name}.",
        "(7FE0,0010)",
        "Export the series again without compression.",
    )
