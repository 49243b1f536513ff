"""One DICOM file: what it is, whose it is, what SUV needs of it, and where its pixels lie."""

from __future__ import annotations

import io
import lzma
import math
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any, BinaryIO

from phantoms.dicom_series.attributes import IDENTIFYING, IDENTITY
from phantoms.dicom_series.elements import Elements, Field, HeaderReader
from phantoms.dicom_series.frames import GROUPS, MULTI_FRAME, MULTI_FRAME_CT, frame_values
from phantoms.dicom_series.values import integer, number, numbers, text, texts
from phantoms.errors import AnalysisRefused
from phantoms.sources import Source
from phantoms.suv.header import parse_date, parse_datetime, parse_time

PET_IMAGE = "1.2.840.10008.5.1.4.1.1.128"
CT_IMAGE = "1.2.840.10008.5.1.4.1.1.2"
DICOMDIR = "1.2.840.10008.1.3.10"
LOSSY_SYNTAXES = frozenset(
    {
        "1.2.840.10008.1.2.4.50",  # JPEG baseline
        "1.2.840.10008.1.2.4.51",  # JPEG extended
        "1.2.840.10008.1.2.4.53",  # JPEG spectral selection
        "1.2.840.10008.1.2.4.55",  # JPEG full progression
        "1.2.840.10008.1.2.4.81",  # JPEG-LS near-lossless
        "1.2.840.10008.1.2.4.111",  # JPEG XL around a JPEG image, which had loss before
    }
)
# JPEG 2000, high-throughput JPEG 2000 and JPEG XL may hold either; without a word in the header nobody can tell.
MAYBE_LOSSY_SYNTAXES = frozenset({"1.2.840.10008.1.2.4.91", "1.2.840.10008.1.2.4.203", "1.2.840.10008.1.2.4.112"})

#: A UID has at most so many characters. Source: DICOM PS3.5, 9.1.
MAX_UID_LENGTH = 64
#: No file of a PET series is larger by far.
MAX_MEMBER_BYTES = 512 * 1024**2
_DRAIN_BYTES = 1024 * 1024
#: What reading raises where a disk or a zip gives no bytes, or wrong ones.
_DAMAGE = (OSError, EOFError, ValueError, NotImplementedError, zipfile.BadZipFile, zlib.error, lzma.LZMAError)

#: What of a header goes no further than this module.
_KEPT_BACK = frozenset((*IDENTIFYING, *GROUPS))
_UIDS = ("sop_instance_uid", "sop_class_uid", "series_instance_uid", "study_instance_uid")

_MODALITY_WORDS = {
    "NM": "gamma-camera images (NM)",
    "CT": "CT images",
    "MR": "MR images",
    "SR": "a structured report",
    "RTSTRUCT": "a structure set (RTSTRUCT)",
    "SEG": "a segmentation (SEG)",
}


@dataclass(frozen=True, kw_only=True)
class InstanceFacts:
    """What the header of one DICOM file says about what and whose it is.

    ``position_mm`` is ImagePositionPatient along the normal of the image plane. ``is_attenuation_corrected`` is None
    where the header does not say. ``is_lossy`` is true where values were, or may have been, changed by compression.
    ``patient_identity`` joins patient id, name and birth date: hash it to tell people apart, never show, log or
    store it. ``identifying`` names those of `attributes.IDENTIFYING` that hold something, a pseudonym too.
    ``scan_at`` is the scanner's wall clock.
    """

    sop_instance_uid: str
    sop_class_uid: str
    series_instance_uid: str
    study_instance_uid: str
    modality: str
    series_number: int | None
    instance_number: int | None
    position_mm: float | None
    is_attenuation_corrected: bool | None
    number_of_slices: int | None
    transfer_syntax_uid: str
    is_lossy: bool
    patient_identity: str = field(repr=False)
    identifying: tuple[str, ...]
    manufacturer: str
    model: str
    device_serial_number: str
    software_versions: str
    reconstruction_method: str
    scan_at: datetime | None
    image_type: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Instance:
    """One PET slice, a file or a frame of one: its file, facts, and where and how its pixels lie.

    ``header`` holds every attribute of `attributes.ATTRIBUTES` that the file has, by keyword, but for who it is.
    ``pixel_offset`` and ``pixel_bytes`` say where the uncompressed PixelData value lies in the file; they are None
    where pydicom must decode it. ``position``, ``orientation`` and ``pixel_spacing_mm`` are empty where the header
    does not give them as numbers. ``frame`` counts from 0 among the ``frames`` of the file.
    """

    source: Source
    facts: InstanceFacts
    header: Mapping[str, Any] = field(repr=False)
    series_type: tuple[str, ...]
    time_slices: int | None
    position: tuple[float, ...]
    orientation: tuple[float, ...]
    pixel_spacing_mm: tuple[float, ...]
    slice_thickness_mm: float | None
    rows: int
    columns: int
    frame: int
    frames: int
    samples: int
    bits_allocated: int
    is_signed: bool
    slope: float | None
    intercept: float
    has_pixels: bool
    file_bytes: int
    pixel_offset: int | None
    pixel_bytes: int | None


def read_header(file: BinaryIO | Path) -> InstanceFacts:
    """Read what one DICOM file is, without its pixels.

    Parameters
    ----------
    file : binary file or Path
        A file is read from its start and left open, at some position.

    Raises
    ------
    AnalysisRefused
        ``ING-01`` where it is not a DICOM file or cannot be read, or names a UID that is longer than one may be;
        ``ING-15`` where it is deflated and unpacks to more than any slice; ``SERIES-ENHANCED`` where it has several
        frames and does not describe each.
    """
    if isinstance(file, Path):
        with Source.from_path(file).open() as opened:
            return read_header(opened)
    file.seek(0)
    read = HeaderReader().read(file)
    facts = facts_of(read)
    if facts.sop_class_uid not in MULTI_FRAME:
        return facts
    first = next(frame_values(read.values, facts.sop_class_uid))
    # What counts a series' slices counts its files elsewhere; a multi-frame file is all of them.
    return replace(facts_of(read._replace(values=first, kind=None)), number_of_slices=None)


def _scan_at(
    acquisition_date: Any, acquisition_time: Any, series_date: Any, series_time: Any, acquisition_datetime: Any
) -> datetime | None:
    clock = (text(acquisition_date), text(acquisition_time))
    if not all(clock):
        clock = (text(series_date), text(series_time))
    day, moment = parse_date(clock[0]), parse_time(clock[1])
    return datetime.combine(day, moment) if day and moment else parse_datetime(text(acquisition_datetime))


def _has_attenuation_correction(corrected_image: Any) -> bool | None:
    corrections = texts(corrected_image)
    return "ATTN" in corrections if corrections else None


def _along_normal(position: Any, orientation: Any) -> float | None:
    x_y_z, row_column = numbers(position, 3), numbers(orientation, 6)
    if not (x_y_z and row_column):
        return None
    a, b, c, d, e, f = row_column
    height = x_y_z[0] * (b * f - c * e) + x_y_z[1] * (c * d - a * f) + x_y_z[2] * (a * e - b * d)
    return height if math.isfinite(height) else None


_FACTS: dict[str, Field] = {
    "sop_instance_uid": (text, ("SOPInstanceUID",)),
    "sop_class_uid": (text, ("SOPClassUID",)),
    "series_instance_uid": (text, ("SeriesInstanceUID",)),
    "study_instance_uid": (text, ("StudyInstanceUID",)),
    "modality": (text, ("Modality",)),
    "series_number": (integer, ("SeriesNumber",)),
    "instance_number": (integer, ("InstanceNumber",)),
    "position_mm": (_along_normal, ("ImagePositionPatient", "ImageOrientationPatient")),
    "is_attenuation_corrected": (_has_attenuation_correction, ("CorrectedImage",)),
    "number_of_slices": (integer, ("NumberOfSlices",)),
    "is_lossy": (text, ("LossyImageCompression",)),
    "patient_identity": (lambda *parts: "\x1f".join(map(text, parts)), IDENTITY),
    "identifying": (
        lambda *values: tuple(name for name, value in zip(IDENTIFYING, values, strict=True) if value is not None),
        IDENTIFYING,
    ),
    "manufacturer": (text, ("Manufacturer",)),
    "model": (text, ("ManufacturerModelName",)),
    "device_serial_number": (text, ("DeviceSerialNumber",)),
    "software_versions": (text, ("SoftwareVersions",)),
    "reconstruction_method": (text, ("ReconstructionMethod",)),
    "scan_at": (
        _scan_at,
        ("AcquisitionDate", "AcquisitionTime", "SeriesDate", "SeriesTime", "AcquisitionDateTime"),
    ),
    "image_type": (texts, ("ImageType",)),
}
_PLANE: dict[str, Field] = {
    "series_type": (texts, ("SeriesType",)),
    "time_slices": (integer, ("NumberOfTimeSlices",)),
    "position": (lambda value: numbers(value, 3), ("ImagePositionPatient",)),
    "orientation": (lambda value: numbers(value, 6), ("ImageOrientationPatient",)),
    "pixel_spacing_mm": (lambda value: numbers(value, 2), ("PixelSpacing",)),
    "slice_thickness_mm": (
        lambda spacing, thickness: number(spacing) or number(thickness),
        ("SpacingBetweenSlices", "SliceThickness"),
    ),
    "rows": (lambda value: integer(value) or 0, ("Rows",)),
    "columns": (lambda value: integer(value) or 0, ("Columns",)),
    "frames": (lambda value: integer(value) or 1, ("NumberOfFrames",)),
    "samples": (lambda value: integer(value) or 1, ("SamplesPerPixel",)),
    "bits_allocated": (lambda value: integer(value) or 0, ("BitsAllocated",)),
    "is_signed": (lambda value: integer(value) == 1, ("PixelRepresentation",)),
    "slope": (number, ("RescaleSlope",)),
    "intercept": (lambda value: number(value) or 0.0, ("RescaleIntercept",)),
}


def facts_of(read: Elements) -> InstanceFacts:
    """Return the facts of a header.

    Raises
    ------
    AnalysisRefused
        ``ING-01`` where it has no object in it, or a UID is longer than one may be.
    """
    facts = read.derive(_FACTS)
    facts["sop_instance_uid"] = facts["sop_instance_uid"] or read.media_instance
    facts["sop_class_uid"] = facts["sop_class_uid"] or read.media_class
    if not facts["sop_instance_uid"]:
        raise AnalysisRefused("ING-01", "A DICOM file without an object in it: it has no identity (0008,0018).")
    # Cut to what a database column holds, two of these could look like one.
    if max(map(len, map(facts.__getitem__, _UIDS))) > MAX_UID_LENGTH:
        raise AnalysisRefused("ING-01", "A DICOM file with a UID of more than 64 characters, which none may have.")
    syntax, lossy = read.syntax, facts["is_lossy"]
    facts["is_lossy"] = lossy == "01" or syntax in LOSSY_SYNTAXES or (syntax in MAYBE_LOSSY_SYNTAXES and not lossy)
    return InstanceFacts(transfer_syntax_uid=syntax, **facts)


def read_elements(source: Source, reader: HeaderReader) -> tuple[Elements, int]:
    """Read one file's header, and how many bytes the file has.

    Raises
    ------
    AnalysisRefused
        ``ING-01`` or ``ING-15`` where it cannot be read.
    """
    try:
        file = source.open()
    except Exception as error:
        raise AnalysisRefused("ING-01", "The file could not be opened.") from error
    with file:
        try:
            read = reader.read(file)
            file_bytes = file.seek(0, io.SEEK_END) if source.path else _unpacked_bytes(file)
        except _DAMAGE as error:
            raise AnalysisRefused("ING-01", "The file is damaged, so it could not be read.") from error
    return read, file_bytes


def _unpacked_bytes(member: BinaryIO) -> int:
    """Unpack the rest of a zip's member, keeping none of it, and return its length; the zip checks its sum thereby."""
    while member.read(_DRAIN_BYTES):
        if member.tell() > MAX_MEMBER_BYTES:
            raise AnalysisRefused("ING-01", "The file is larger than any PET image, so it was not read.")
    return member.tell()


def instances_of(read: Elements, facts: InstanceFacts, source: Source, file_bytes: int) -> list[Instance]:
    """Return the PET slices of a header with these facts, or raise AnalysisRefused with why it has none."""
    _check_kind(facts)
    return slices_of(read, facts, source, file_bytes)


def slices_of(read: Elements, facts: InstanceFacts, source: Source, file_bytes: int) -> list[Instance]:
    """Return the slices of an image, one or one a frame, whatever its modality.

    Raises
    ------
    AnalysisRefused
        ``SERIES-ENHANCED`` where it has several frames and does not describe each.
    """
    if facts.sop_class_uid not in MULTI_FRAME | MULTI_FRAME_CT:
        return [slice_of(read, facts, source, file_bytes)]
    frames = (read._replace(values=values, kind=None) for values in frame_values(read.values, facts.sop_class_uid))
    return [slice_of(frame, facts_of(frame), source, file_bytes, k) for k, frame in enumerate(frames)]


def slice_of(read: Elements, facts: InstanceFacts, source: Source, file_bytes: int, frame: int = 0) -> Instance:
    """Return where and how the pixels of one slice lie, whatever its modality."""
    return Instance(
        source=source,
        facts=facts,
        header=header_of(read),
        frame=frame,
        has_pixels=read.has_pixels,
        file_bytes=file_bytes,
        pixel_offset=read.pixel_offset,
        pixel_bytes=read.pixel_bytes,
        **read.derive(_PLANE),
    )


def header_of(read: Elements) -> dict[str, Any]:
    """Return the values of a header, but for what may say who somebody is, and what is said of single frames."""
    header = dict(read.values)
    for keyword in header.keys() & _KEPT_BACK:
        del header[keyword]
    return header


def _check_kind(facts: InstanceFacts) -> None:
    if facts.sop_class_uid == PET_IMAGE or facts.sop_class_uid in MULTI_FRAME:
        if not facts.series_instance_uid:
            raise AnalysisRefused("SERIES-NO-IMAGE", "A PET image that names no series (0020,000E).")
        return
    if facts.sop_class_uid == DICOMDIR:
        raise AnalysisRefused("SERIES-NO-IMAGE", "An index of a disc (DICOMDIR), not an image.")
    if facts.modality == "PT":
        raise AnalysisRefused("ING-11", "Made from PET, but not a PET image (0008,0016), such as a screen capture.")
    if not facts.modality:
        raise AnalysisRefused("SERIES-NO-IMAGE", "A DICOM object that names no modality (0008,0060).")
    what = _MODALITY_WORDS.get(facts.modality, f"objects of modality {facts.modality[:16]}")
    raise AnalysisRefused("MODALITY-NOT-PET", f"These are {what}, not PET.")
