"""A verdict hangs on the pixels and on the attributes that the measurement uses, and on nothing else.

The digital scans are made by the program itself, so a method could recognise them by what they are called. Here every
other attribute is taken out, the names and identities are made new, the files come in another order under other names
and with their serial numbers dealt anew, and the verdicts are the same.
"""

from __future__ import annotations

import random
from pathlib import Path

import pydicom
import pytest
from pydicom.uid import generate_uid

from phantoms import dicom_series, digital
from qc.analysis import Request, analyse_files

#: What a measurement may look at: geometry, pixels, scaling, units, corrections, times, dose, body.
USED = {
    "SOPClassUID",
    "SOPInstanceUID",
    "SeriesInstanceUID",
    "StudyInstanceUID",
    "Modality",
    "Rows",
    "Columns",
    "BitsAllocated",
    "BitsStored",
    "HighBit",
    "PixelRepresentation",
    "SamplesPerPixel",
    "PhotometricInterpretation",
    "PixelData",
    "PixelSpacing",
    "ImagePositionPatient",
    "ImageOrientationPatient",
    "RescaleSlope",
    "RescaleIntercept",
    "Units",
    "CorrectedImage",
    "DecayCorrection",
    "SeriesDate",
    "SeriesTime",
    "AcquisitionDate",
    "AcquisitionTime",
    "FrameReferenceTime",
    "ActualFrameDuration",
    "RadiopharmaceuticalInformationSequence",
    "PatientWeight",
    "SeriesType",
}
STRANGE = {
    "PatientName": "Another^Name",
    "PatientID": "000000",
    "StudyDescription": "ankle",
    "SeriesDescription": "uniform failed passed smooth",
    "Manufacturer": "Unheard of",
    "ManufacturerModelName": "Model",
    "ImageComments": "FAIL",
    "SliceThickness": "1",
}

SCANS = {
    "cylinder": (lambda: digital.uniform_cylinder(seed=3), "PASS"),
    "cylinder that reads high": (lambda: digital.uniform_cylinder(calibration=1.14, seed=4), "FAIL"),
    "sphere phantom": (lambda: digital.nema_iq(fwhm_mm=8.0, cov=0.07, seed=1), "PASS"),
    "sphere phantom, too smooth": (lambda: digital.nema_iq(fwhm_mm=11.0, cov=0.07, seed=2), "FAIL"),
    "patient without weight": (lambda: digital.patient_like(seed=5), "NOT_EVALUABLE"),
}


def blinded(source: Path, target: Path, chance: random.Random) -> None:
    """Write each file again with nothing but what may be used, as a stranger's export of the same pixels."""
    files = sorted(source.iterdir())
    chance.shuffle(files)
    series, study = generate_uid(), generate_uid()
    target.mkdir()
    for number, file in enumerate(files, start=1):
        dataset = pydicom.dcmread(file)
        for element in list(dataset):
            if element.keyword not in USED:
                del dataset[element.tag]
        for keyword, value in STRANGE.items():
            setattr(dataset, keyword, value)
        dataset.InstanceNumber = number
        dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = generate_uid()
        dataset.SeriesInstanceUID, dataset.StudyInstanceUID = series, study
        dataset.save_as(target / f"{chance.getrandbits(64):016x}")


@pytest.mark.parametrize("name", list(SCANS))
def test_verdict_when_all_that_is_not_used_is_stripped_and_shuffled_then_it_is_the_same(name, tmp_path):
    make, expected = SCANS[name]
    scan = make()
    digital.write_dicom(scan, tmp_path / "sent", seed=1)
    blinded(tmp_path / "sent", tmp_path / "blind", random.Random(7))
    request = Request(sheet=scan.sheet or None)
    plain = analyse_files(dicom_series.list_files(tmp_path / "sent"), request).json
    blind = analyse_files(dicom_series.list_files(tmp_path / "blind"), request).json
    assert plain["verdict"] == blind["verdict"] == expected
    assert plain["method"] == blind["method"]
    values = {(one["name"], one["standard"]): one["value"] for one in plain["measurements"]}
    assert {(one["name"], one["standard"]): one["value"] for one in blind["measurements"]} == values
