"""PET series written as DICOM files."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from pydicom import config
from pydicom.datadict import dictionary_VR, tag_for_keyword
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.filewriter import dcmwrite
from pydicom.sequence import Sequence as DicomSequence
from pydicom.tag import Tag
from pydicom.uid import UID, ExplicitVRLittleEndian
from pydicom.valuerep import DSfloat

from phantoms.dicom_series.header import PET_IMAGE
from phantoms.volume import PetVolume


def write_series(
    folder: Path,
    volume: PetVolume,
    attributes: Mapping[Any, Any],
    per_slice: Callable[[int], Mapping[Any, Any]] | None = None,
    seed: int = 0,
) -> list[Path]:
    """Write a volume as single-frame PET Image Storage files, Explicit VR Little Endian, one file a plane.

    Parameters
    ----------
    folder : Path
        Made if it does not exist. File ``IM0001.dcm`` is plane 0 of the array.
    volume : PetVolume
        ``image[z, y, x]``; position and orientation come from its affine, Units from its unit.
    attributes : mapping
        Element values by DICOM keyword; sequences as a mapping or a list of mappings. They replace the defaults,
        and None leaves an element out. A private element has the key ``(group, creator, element offset)`` and the
        value ``(VR, value)``; an empty creator writes it without its creator element. With ``RescaleSlope`` all
        planes have that slope, without it each plane has the slope that its own maximum needs.
    per_slice : callable, optional
        Returns further attributes of plane k; they replace those of the series.
    seed : int
        All UIDs follow from it, so the same seed writes the same files.

    Returns
    -------
    list of Path
        The files, in the order of the planes.
    """
    folder.mkdir(parents=True, exist_ok=True)
    planes, rows, columns = volume.image.shape
    spacing_z, spacing_y, spacing_x = volume.spacing_zyx_mm
    affine = volume.affine_lps_mm
    common: dict[Any, Any] = {
        "SOPClassUID": PET_IMAGE,
        "ImageType": ["ORIGINAL", "PRIMARY"],
        "Modality": "PT",
        "Manufacturer": "",
        "PatientName": "",
        "PatientID": "",
        "PatientBirthDate": "",
        "PatientSex": "",
        "StudyDate": attributes.get("SeriesDate", ""),
        "StudyTime": attributes.get("SeriesTime", ""),
        "AccessionNumber": "",
        "ReferringPhysicianName": "",
        "StudyID": "",
        "SeriesNumber": 1,
        "PositionReferenceIndicator": "",
        "StudyInstanceUID": _uid(seed, "study"),
        "SeriesInstanceUID": _uid(seed, "series"),
        "FrameOfReferenceUID": _uid(seed, "frame of reference"),
        "SeriesType": ["STATIC", "IMAGE"],
        "CountsSource": "EMISSION",
        "CollimatorType": "NONE",
        "Units": {"Bq/mL": "BQML", "g/mL": "GML"}.get(volume.unit),
        "NumberOfSlices": planes,
        "SliceThickness": spacing_z,
        "PixelSpacing": [spacing_y, spacing_x],
        "ImageOrientationPatient": [*(affine[:3, 0] / spacing_x), *(affine[:3, 1] / spacing_y)],
        "RescaleIntercept": 0,
        "SamplesPerPixel": 1,
        "PhotometricInterpretation": "MONOCHROME2",
        "Rows": rows,
        "Columns": columns,
        "BitsAllocated": 16,
        "BitsStored": 16,
        "HighBit": 15,
        "PixelRepresentation": 1,
        **attributes,
    }
    paths = []
    for k, plane in enumerate(volume.image):
        values = {
            "SOPInstanceUID": _uid(seed, f"instance {k}"),
            "InstanceNumber": k + 1,
            "ImageIndex": k + 1,
            "ImagePositionPatient": list(affine[:3, 3] + k * affine[:3, 2]),
            **common,
            **(per_slice(k) if per_slice else {}),
        }
        intercept = float(values["RescaleIntercept"] or 0.0)
        peak = float(np.abs(plane - intercept).max())
        # The slope that readers will see is the written text's, so that is the one to divide by.
        slope = DSfloat(values.get("RescaleSlope") or (peak / 32767 if peak else 1.0), auto_format=True)
        values["RescaleSlope"] = slope
        stored = np.clip(np.rint((plane - intercept) / float(str(slope))), -32768, 32767).astype("<i2")
        path = folder / f"IM{k + 1:04d}.dcm"
        _write_instance(path, values, stored.tobytes())
        paths.append(path)
    return paths


def _write_instance(path: Path, values: Mapping[Any, Any], pixels: bytes) -> None:
    dataset = _dataset(values)
    dataset.add_new(0x7FE00010, "OW", pixels)
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.file_meta.ImplementationClassUID = _uid(0, "implementation")
    dcmwrite(path, dataset, enforce_file_format=True)


def _dataset(values: Mapping[Any, Any]) -> Dataset:
    dataset = Dataset()
    for key, value in values.items():
        if value is None:
            continue
        if isinstance(key, tuple):
            group, creator, offset = key
            vr, content = value
            if creator:
                dataset.private_block(group, creator, create=True).add_new(offset, vr, content)
            else:
                dataset.add_new(Tag(group, 0x1000 | offset), vr, content)
            continue
        tag = tag_for_keyword(key)
        if tag is None:
            raise ValueError(f"{key} is no DICOM keyword")
        vr = dictionary_VR(tag)
        if vr == "SQ":
            items = [value] if isinstance(value, Mapping) else list(value)
            dataset.add_new(tag, vr, DicomSequence([_dataset(item) for item in items]))
        elif vr == "DS":
            numbers = value if isinstance(value, list | tuple) else [value]
            texts = [DSfloat(n, auto_format=True) if isinstance(n, float) else n for n in numbers]
            dataset.add_new(tag, vr, texts if isinstance(value, list | tuple) else texts[0])
        else:
            # Written as it was given: what a reader makes of a value that the standard does not allow is seen only so.
            dataset.add(DataElement(tag, vr, value, validation_mode=config.IGNORE))
    return dataset


def _uid(seed: int, what: str) -> UID:
    digest = hashlib.sha256(f"{seed} {what}".encode()).digest()
    return UID(f"2.25.{int.from_bytes(digest[:16])}")
