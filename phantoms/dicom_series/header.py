"""One DICOM file: what it is, whose it is, what SUV needs of it, and where its pixels lie."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, BinaryIO

from pydicom.datadict import tag_for_keyword

from phantoms.dicom_series.elements import PREFIX, Elements, Values, read_elements
from phantoms.errors import AnalysisRefused
from phantoms.sources import Source
from phantoms.suv.header import parse_date, parse_datetime, parse_time

PET_IMAGE = "1.2.840.10008.5.1.4.1.1.128"
ENHANCED_PET = frozenset({"1.2.840.10008.5.1.4.1.1.130", "1.2.840.10008.5.1.4.1.1.128.1"})  # and Legacy Converted
DICOMDIR = "1.2.840.10008.1.3.10"
LOSSY_SYNTAXES = frozenset(
    {
        "1.2.840.10008.1.2.4.50",  # JPEG baseline
        "1.2.840.10008.1.2.4.51",  # JPEG extended
        "1.2.840.10008.1.2.4.81",  # JPEG-LS near-lossless
    }
)
# These two may hold either; without a word in the header a reader cannot tell.
MAYBE_LOSSY_SYNTAXES = frozenset({"1.2.840.10008.1.2.4.91", "1.2.840.10008.1.2.4.203"})

#: A UID has at most so many characters. Source: DICOM PS3.5, 9.1.
MAX_UID_LENGTH = 64
#: A member of a zip is unpacked into memory; no image of one series' slice is larger by far.
MAX_MEMBER_BYTES = 512 * 1024**2

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
    store it. ``scan_at`` is the scanner's wall clock.
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
    manufacturer: str
    model: str
    device_serial_number: str
    software_versions: str
    reconstruction_method: str
    scan_at: datetime | None
    image_type: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Instance:
    """One PET slice: its file, facts, SUV header values, and where and how its pixels lie.

    ``pixel_offset`` and ``pixel_bytes`` say where the uncompressed PixelData value lies in the file; they are None
    where pydicom must decode it. ``position``, ``orientation`` and ``pixel_spacing_mm`` are empty where the header
    does not give them as numbers.
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
        ``ING-15`` where it is deflated and unpacks to more than any slice.
    """
    if isinstance(file, Path):
        with Source.from_path(file).open() as opened:
            return read_header(opened)
    file.seek(0)
    return facts_of(read_elements(file, WANTED, WANTED_GROUPS), Values())


_HEADER_TAGS = {
    keyword: int(tag_for_keyword(keyword) or 0)
    for keyword in (
        "AcquisitionDate",
        "AcquisitionDateTime",
        "AcquisitionTime",
        "ActualFrameDuration",
        "CorrectedImage",
        "DecayCorrection",
        "DecayFactor",
        "FrameReferenceTime",
        "ImageType",
        "Manufacturer",
        "NumberOfSlices",
        "PatientSex",
        "PatientSize",
        "PatientWeight",
        "RadiopharmaceuticalInformationSequence",
        "RescaleIntercept",
        "SUVType",
        "SeriesDate",
        "SeriesTime",
        "TimezoneOffsetFromUTC",
        "Units",
    )
}
# (group, creators, element, name in SeriesHeader); two creator texts of Siemens' block are in use.
_PRIVATE = (
    (0x0009, ("GEMS_PETD_01",), 0x0D, "GEScanDateTime"),
    (0x0071, ("SIEMENS MED PT", "SIEMENS MEDCOM HEADER"), 0x22, "SiemensDecayCorrectionDateTime"),
    (0x7053, ("Philips PET Private Group",), 0x00, "SUVScaleFactor"),
    (0x7053, ("Philips PET Private Group",), 0x09, "ActivityConcentrationScaleFactor"),
)


# What is read of a header; the walk of plain files keeps nothing else.
WANTED = frozenset(_HEADER_TAGS.values()) | {
    *(0x00080005, 0x00080016, 0x00080018, 0x00080060, 0x00081090),
    *(0x00100010, 0x00100020, 0x00100030),
    *(0x00180050, 0x00180088, 0x00181000, 0x00181020),
    *(0x0020000D, 0x0020000E, 0x00200011, 0x00200013, 0x00200032, 0x00200037),
    *(0x00280002, 0x00280008, 0x00280010, 0x00280011, 0x00280030, 0x00280100, 0x00280103, 0x00281053, 0x00282110),
    *(0x00540101, 0x00541000, 0x00541103),
}
WANTED_GROUPS = frozenset(group for group, *_ in _PRIVATE)


def facts_of(read: Elements, values: Values) -> InstanceFacts:
    """Return the facts of a header.

    Raises
    ------
    AnalysisRefused
        ``ING-01`` where it has no object in it, or a UID is longer than one may be.
    """
    syntax = read.syntax
    sop_instance_uid = values.text(read, 0x00080018) or read.media_instance
    if not sop_instance_uid:
        raise AnalysisRefused("ING-01", "A DICOM file without an object in it: it has no identity (0008,0018).")
    sop_class_uid = values.text(read, 0x00080016) or read.media_class
    series_instance_uid = values.text(read, 0x0020000E)
    study_instance_uid = values.text(read, 0x0020000D)
    # Cut to what a database column holds, two of these could look like one.
    if max(map(len, (sop_instance_uid, sop_class_uid, series_instance_uid, study_instance_uid))) > MAX_UID_LENGTH:
        raise AnalysisRefused("ING-01", "A DICOM file with a UID of more than 64 characters, which none may have.")
    corrections = values.texts(read, 0x00280051)
    lossy_word = values.text(read, 0x00282110)
    position = values.numbers(read, 0x00200032, 3)
    orientation = values.numbers(read, 0x00200037, 6)
    clock = (values.text(read, 0x00080022), values.text(read, 0x00080032))
    if not all(clock):
        clock = (values.text(read, 0x00080021), values.text(read, 0x00080031))
    day, moment = parse_date(clock[0]), parse_time(clock[1])
    scan_at = datetime.combine(day, moment) if day and moment else parse_datetime(values.text(read, 0x0008002A))
    return InstanceFacts(
        sop_instance_uid=sop_instance_uid,
        sop_class_uid=sop_class_uid,
        series_instance_uid=series_instance_uid,
        study_instance_uid=study_instance_uid,
        modality=values.text(read, 0x00080060),
        series_number=values.integer(read, 0x00200011),
        instance_number=values.integer(read, 0x00200013),
        position_mm=_along_normal(position, orientation),
        is_attenuation_corrected="ATTN" in corrections if corrections else None,
        number_of_slices=values.integer(read, 0x00540081),
        transfer_syntax_uid=syntax,
        is_lossy=lossy_word == "01" or syntax in LOSSY_SYNTAXES or (syntax in MAYBE_LOSSY_SYNTAXES and not lossy_word),
        patient_identity="\x1f".join(values.text(read, tag) for tag in (0x00100020, 0x00100010, 0x00100030)),
        manufacturer=values.text(read, 0x00080070),
        model=values.text(read, 0x00081090),
        device_serial_number=values.text(read, 0x00181000),
        software_versions=values.text(read, 0x00181020),
        reconstruction_method=values.text(read, 0x00541103),
        scan_at=scan_at,
        image_type=values.texts(read, 0x00080008),
    )


def _along_normal(position: Sequence[float], orientation: Sequence[float]) -> float | None:
    if not (position and orientation):
        return None
    a, b, c, d, e, f = orientation
    return position[0] * (b * f - c * e) + position[1] * (c * d - a * f) + position[2] * (a * e - b * d)


def read_instance(source: Source, values: Values) -> Instance:
    """Read one file's header as a PET slice, or raise AnalysisRefused with why it is none."""
    try:
        file = source.open()
    except Exception as error:
        raise AnalysisRefused("ING-01", "The file could not be opened.") from error
    with file:
        try:
            if source.path is None:  # a zip stream seeks slowly, so a DICOM member is unpacked once, into memory
                head = file.read(132)
                rest = file.read(MAX_MEMBER_BYTES + 1) if head[128:] == PREFIX else b""
                file = io.BytesIO(head + rest)
            file_bytes = file.seek(0, io.SEEK_END)
            file.seek(0)
        except Exception as error:
            raise AnalysisRefused("ING-01", "The file is damaged, so it could not be read.") from error
        if source.path is None and file_bytes > MAX_MEMBER_BYTES:
            raise AnalysisRefused("ING-01", "The file is larger than any PET image, so it was not read.")
        read = read_elements(file, WANTED, WANTED_GROUPS)
    return instance_of(read, source, file_bytes, values)


def instance_of(read: Elements, source: Source, file_bytes: int, values: Values) -> Instance:
    """Return a header as a PET slice, or raise AnalysisRefused with why it is none."""
    facts = facts_of(read, values)
    _check_kind(facts)
    header = {keyword: values.get(read, tag) for keyword, tag in _HEADER_TAGS.items()}
    header |= _private_values(read, values)
    return Instance(
        source=source,
        facts=facts,
        header=header,
        series_type=values.texts(read, 0x00541000),
        time_slices=values.integer(read, 0x00540101),
        position=values.numbers(read, 0x00200032, 3),
        orientation=values.numbers(read, 0x00200037, 6),
        pixel_spacing_mm=values.numbers(read, 0x00280030, 2),
        slice_thickness_mm=values.number(read, 0x00180088) or values.number(read, 0x00180050),
        rows=values.integer(read, 0x00280010) or 0,
        columns=values.integer(read, 0x00280011) or 0,
        frames=values.integer(read, 0x00280008) or 1,
        samples=values.integer(read, 0x00280002) or 1,
        bits_allocated=values.integer(read, 0x00280100) or 0,
        is_signed=values.integer(read, 0x00280103) == 1,
        slope=values.number(read, 0x00281053),
        intercept=values.number(read, 0x00281052) or 0.0,
        has_pixels=read.has_pixels,
        file_bytes=file_bytes,
        pixel_offset=read.pixel_offset,
        pixel_bytes=read.pixel_bytes,
    )


def _check_kind(facts: InstanceFacts) -> None:
    if facts.sop_class_uid == PET_IMAGE:
        if not facts.series_instance_uid:
            raise AnalysisRefused("SERIES-NO-IMAGE", "A PET image that names no series (0020,000E).")
        return
    if facts.sop_class_uid == DICOMDIR:
        raise AnalysisRefused("SERIES-NO-IMAGE", "An index of a disc (DICOMDIR), not an image.")
    if facts.sop_class_uid in ENHANCED_PET:
        raise AnalysisRefused("SERIES-ENHANCED", "A multi-frame (Enhanced) PET object, which cannot be measured yet.")
    if facts.modality == "PT":
        raise AnalysisRefused("ING-11", "Made from PET, but not a PET image (0008,0016), such as a screen capture.")
    if not facts.modality:
        raise AnalysisRefused("SERIES-NO-IMAGE", "A DICOM object that names no modality (0008,0060).")
    what = _MODALITY_WORDS.get(facts.modality, f"objects of modality {facts.modality[:16]}")
    raise AnalysisRefused("MODALITY-NOT-PET", f"These are {what}, not PET.")


def _private_values(read: Elements, values: Values) -> dict[str, Any]:
    """Return vendors' elements by their name in SeriesHeader, found through their block's creator.

    Some exports drop the creator elements. An element that then stands at its customary place, 10xx, is returned
    too, and named in ``private_without_creator``: who uses it says so.
    """
    found: dict[str, Any] = {}
    orphans: list[str] = []
    tags = [tag for tag in read.raw if tag >> 16 in WANTED_GROUPS]
    for group, creators, element, name in _PRIVATE if tags else ():
        blocks = [
            tag & 0xFF
            for tag in tags
            if tag >> 16 == group and 0x10 <= tag & 0xFFFF <= 0xFF and values.text(read, tag) in creators
        ]
        for block in blocks:
            found.setdefault(name, values.get(read, group << 16 | block << 8 | element))
        customary = group << 16 | 0x1000 | element
        if found.get(name) is None and customary in tags and (group << 16 | 0x10) not in tags:
            found[name] = values.get(read, customary)
            orphans.append(name)
    return found | {"private_without_creator": tuple(orphans)}
