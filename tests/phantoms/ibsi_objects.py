"""Digital objects for every case of the IBSI-SUV requirement list, version 2: a table, and a writer of DICOM files.

The list (oncoray/suv_computation, CC BY 4.0, (c) Michael Vácha, OncoRay/HZDR) names 58 cases, 43 with an answer and 15
that must be refused. The objects here are our own: a cylinder of SUV 1.00 with one hot sphere of 4.00 and one cold of
0.20, headers after the list's words, pixels worked out here from the definition of the SUV. Only pydicom and numpy are
used, so the table leans on nothing of the program that it checks.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, generate_uid

#: Folder names of the published version 1 objects, by the id that version 2 gives the same case.
V1_OF_V2 = {
    "DRO_0_0": "DRO_0_0",
    "DRO_1_0": "DRO_1_0",
    "DRO_2_0": "DRO_2_0",
    "DRO_2_1_0": "DRO_2_1",
    "DRO_2_2_2": "DRO_2_2",
    "DRO_2_3": "DRO_2_3",
    "DRO_2_4": "DRO_2_4",
    "DRO_2_5": "DRO_2_5",
    "DRO_3_0": "DRO_3_0",
    "DRO_3_1": "DRO_3_1",
    "DRO_3_2_3": "DRO_3_2",
    "DRO_3_3_1": "DRO_3_3",
    "DRO_3_4_3": "DRO_3_4",
    "DRO_4_0": "DRO_4_0",
    "DRO_4_1": "DRO_4_1",
    "DRO_4_2": "DRO_4_2",
    "DRO_5_0": "DRO_5_0",
}

PLANES, ROWS, COLUMNS = 6, 28, 28
SPACING_MM = 4.0
WEIGHT_KG, HEIGHT_CM, DOSE_BQ = 70.0, 175.0, 368.08e6
F18_S, GA68_S, ZR89_S = 6586.2, 4057.7, 282276.0
FRAME_S = 300.0
MAKERS = {
    "SIEMENS": "SIEMENS",
    "GE": "GE MEDICAL SYSTEMS",
    "PHILIPS": "Philips Medical Systems",
    "SYNTHETIC": "Synthetic",
}


@dataclass(frozen=True)
class Case:
    """One object: what its headers say beside `BASE`, and the rescaled pixel value that stands for SUV 1 on each plane.

    ``attributes`` and ``injected`` replace those of the base, None leaves one out; ``planes`` has more of each plane.
    ``private`` are (group, creator, element, VR, value).
    """

    words: str
    one: Sequence[float] | float = 0.0
    attributes: Mapping[str, Any] = field(default_factory=dict)
    injected: Mapping[str, Any] = field(default_factory=dict)
    planes: Sequence[Mapping[str, Any]] = ({},) * PLANES
    private: Sequence[tuple[int, str, int, str, Any]] = ()
    slopes: Sequence[float] = ()

    @property
    def is_enhanced(self) -> bool:
        """Whether it is one multi-frame object."""
        return "Enhanced" in self.words


def bqml(waited_s: float, half_life_s: float = F18_S) -> float:
    """Return the concentration of SUV 1, Bq/mL: the activity, decayed for a time, evenly over the body."""
    return DOSE_BQ * 2.0 ** (-waited_s / half_life_s) / (1000.0 * WEIGHT_KG)


def frame_mean(half_life_s: float = F18_S) -> float:
    """Return what decay leaves of a frame's first moment in its mean."""
    x = math.log(2.0) / half_life_s * FRAME_S
    return (1.0 - math.exp(-x)) / x


#: Seconds from a frame's start to the moment that has its mean activity.
T_AVE_S = -F18_S * math.log2(frame_mean())
ONE = bqml(3600.0)

BASE: dict[str, Any] = {
    "ImageType": ["ORIGINAL", "PRIMARY"],
    "Modality": "PT",
    "Manufacturer": MAKERS["SYNTHETIC"],
    "StudyDate": "20250101",
    "SeriesDate": "20250101",
    "AcquisitionDate": "20250101",
    "StudyTime": "110000.000000",
    "SeriesTime": "110000.000000",
    "AcquisitionTime": "110000.000000",
    "PatientSex": "O",
    "PatientSize": HEIGHT_CM / 100,
    "PatientWeight": WEIGHT_KG,
    "ActualFrameDuration": int(FRAME_S * 1000),
    "CorrectedImage": ["NORM", "DTIM", "ATTN", "SCAT", "DECY", "RAN"],
    "SeriesType": ["STATIC", "IMAGE"],
    "Units": "BQML",
    "CountsSource": "EMISSION",
    "DecayCorrection": "START",
    "FrameReferenceTime": 150000.0,
    "DecayFactor": 1.0,
    "NumberOfSlices": PLANES,
}
INJECTED: dict[str, Any] = {
    "Radiopharmaceutical": "FDG",
    "RadiopharmaceuticalStartTime": "100000.000000",
    "RadiopharmaceuticalStartDateTime": "20250101100000.000000",
    "RadionuclideTotalDose": DOSE_BQ,
    "RadionuclideHalfLife": F18_S,
    "code": ("C-111A1", "^18^Fluorine"),
}
UNDATED = {"RadiopharmaceuticalStartDateTime": None}
NIGHT = {"RadiopharmaceuticalStartTime": "233000.000000", "RadiopharmaceuticalStartDateTime": "20250101233000.000000"}
NEXT_DAY = {
    **dict.fromkeys(("StudyDate", "SeriesDate", "AcquisitionDate"), "20250102"),
    **dict.fromkeys(("StudyTime", "SeriesTime", "AcquisitionTime"), "003000.000000"),
}
ZIRCONIUM = {
    "Radiopharmaceutical": "Zr89-antibody",
    "RadionuclideHalfLife": ZR89_S,
    "code": ("C-168A4", "^89^Zirconium"),
}
THREE_DAYS = dict.fromkeys(("StudyDate", "SeriesDate", "AcquisitionDate"), "20250104")
# Masses of 70 kg and 175 cm, by sex, kg; O is the mean of both.
MASSES_KG = {
    "LBMJAMES128": {"M": 56.52, "F": 51.22},
    "LBMJANMA": {"M": 9270 * 70 / (6680 + 216 * 70 / 1.75**2), "F": 9270 * 70 / (8780 + 244 * 70 / 1.75**2)},
    "IBW": {"M": 72.38, "F": 66.43},
}
SURFACE_CM2 = 71.84 * 70.0**0.425 * 175.0**0.725
SUV_SCALE, ACTIVITY_SCALE = (0x7053, "Philips PET Private Group", 0x00), (0x7053, "Philips PET Private Group", 0x09)
SIEMENS_TIME, GE_TIME = (0x0071, "SIEMENS MED PT", 0x22), (0x0009, "GEMS_PETD_01", 0x0D)
UNDECAYED = ["NORM", "DTIM", "ATTN", "SCAT", "RAN"]


def _gml(kind: str, sex: str) -> Case:
    masses = MASSES_KG[kind]
    mass = masses[sex] if sex != "O" else (masses["M"] + masses["F"]) / 2
    name = {"LBMJAMES128": "LBMJAMES128", "LBMJANMA": "LBMJANMA", "IBW": "IBW"}[kind]
    return Case(
        f"GML {name} sex {sex}", mass / WEIGHT_KG, {"Units": "GML", "SUVType": kind, "PatientSex": sex}, slopes=[1e-3]
    )


def _beds(first_frt_s: float) -> list[dict[str, Any]]:
    """Return two beds of three planes, at 11:00 and 11:05, whose frame times count from 11:00."""
    beds = (("110000.000000", 0.0), ("110500.000000", FRAME_S))
    return [
        {"AcquisitionTime": at, "FrameReferenceTime": round(1000 * (first_frt_s + after_s), 4)}
        for at, after_s in beds
        for _ in range(PLANES // 2)
    ]


def _series_after(maker: str) -> Case:
    attributes = {"Manufacturer": MAKERS[maker], "SeriesTime": "114500.000000"}
    frt_s = 0.0 if maker == "GE" else T_AVE_S  # GE counts to the start of the frame, others to its mean activity
    return Case("START; Series datetime after Acquisition datetime", ONE, attributes, planes=_beds(frt_s))


def _private_start(maker: str) -> Case:
    place = SIEMENS_TIME if maker == "SIEMENS" else GE_TIME
    attributes = {
        "Manufacturer": MAKERS[maker],
        "AcquisitionTime": "113000.000000",
        "SeriesTime": "120000.000000",
        "FrameReferenceTime": 0.0,
    }
    private = [(*place, "DT", "20250101110000.000000")]
    return Case("START; Series after Acquisition + private scan start datetime", ONE, attributes, private=private)


def _undecayed(maker: str) -> Case:
    scale = 0.5 if maker == "PHILIPS" else 1.0
    attributes = {"Manufacturer": MAKERS[maker], "DecayCorrection": "NONE", "CorrectedImage": UNDECAYED}
    attributes |= {"Units": "CNTS"} if maker == "PHILIPS" else {}
    one = [bqml(3600.0 + after_s) * frame_mean() / scale for after_s in (0.0, FRAME_S) for _ in range(PLANES // 2)]
    private = [(*ACTIVITY_SCALE, "DS", scale)] if maker == "PHILIPS" else []
    words = "NONE; multiple Acquisition datetimes"
    return Case(words, one, attributes, planes=_beds(0.0), private=private)


def _same_time(maker: str) -> Case:
    return Case("START; Series == Acquisition", ONE, {"Manufacturer": MAKERS[maker]})


FRAMES_NONE = [{"AcquisitionTime": one["AcquisitionTime"]} for one in _beds(0.0)]
PHILIPS_COUNTS = {"Manufacturer": MAKERS["PHILIPS"], "Units": "CNTS"}
IBW_O = {"Units": "GML", "SUVType": "IBW"}

CASES: dict[str, Case] = {
    "DRO_0_0": Case("Default (PET Image Storage)", ONE),
    "DRO_1_0": Case("multiple Rescale Slope values", ONE, slopes=[4.0, 3.0]),
    "DRO_2_0": Case("GML = SUVbw", 1.0, {"Units": "GML", "SUVType": "BW"}, slopes=[1e-3]),
    **{f"DRO_2_1_{k}": _gml("LBMJAMES128", sex) for k, sex in enumerate("MFO")},
    **{f"DRO_2_2_{k}": _gml("IBW", sex) for k, sex in enumerate("MFO")},
    "DRO_2_3": Case(
        "CM2ML = SUVbsa", SURFACE_CM2 / (1000 * WEIGHT_KG), {"Units": "CM2ML", "SUVType": "BSA"}, slopes=[1e-4]
    ),
    "DRO_2_4": Case("CNTS Philips SUV scale factor", 1 / 0.0005, PHILIPS_COUNTS, private=[(*SUV_SCALE, "DS", 0.0005)]),
    "DRO_2_5": Case(
        "CNTS Philips activity scale factor", ONE / 0.5, PHILIPS_COUNTS, private=[(*ACTIVITY_SCALE, "DS", 0.5)]
    ),
    **{f"DRO_2_6_{k}": _gml("LBMJANMA", sex) for k, sex in enumerate("MFO")},
    "DRO_3_0": Case("dose in MBq", ONE, injected={"RadionuclideTotalDose": DOSE_BQ / 1e6}),
    "DRO_3_1": Case("DecayCorrection ADMIN", bqml(0.0), {"DecayCorrection": "ADMIN"}),
    **{f"DRO_3_2_{k}": _series_after(maker) for k, maker in enumerate(MAKERS)},
    **{f"DRO_3_3_{k}": _private_start(maker) for k, maker in enumerate(("SIEMENS", "GE"))},
    **{f"DRO_3_4_{k}": _undecayed(maker) for k, maker in enumerate(MAKERS)},
    **{f"DRO_3_5_{k}": _same_time(maker) for k, maker in enumerate(MAKERS)},
    "DRO_4_0": Case("StartDateTime present StartTime absent", ONE, injected={"RadiopharmaceuticalStartTime": None}),
    "DRO_4_1": Case("StartTime present StartDateTime absent", ONE, injected=UNDATED),
    "DRO_4_2": Case("uptake spans midnight StartDateTime absent", ONE, NEXT_DAY, NIGHT | UNDATED),
    "DRO_4_3": Case("uptake spans midnight StartDateTime present", ONE, NEXT_DAY, NIGHT),
    "DRO_4_4": Case(
        "uptake spans midnight and anonymized AcquisitionDate", ONE, NEXT_DAY | {"AcquisitionDate": "19000101"}, NIGHT
    ),
    "DRO_4_5": Case("Zr89 uptake > 24 h StartDateTime present", bqml(3 * 86400 + 3600, ZR89_S), THREE_DAYS, ZIRCONIUM),
    "DRO_5_0": Case(
        "Ga68",
        bqml(3600, GA68_S),
        injected={
            "Radiopharmaceutical": "Ga68-PSMA",
            "RadionuclideHalfLife": GA68_S,
            "code": ("C-131A3", "^68^Gallium"),
        },
    ),
    "DRO_7_0_0": Case("Enhanced PET default", ONE),
    "DRO_7_1_0": Case("Enhanced PET multiple Rescale Slope", ONE, slopes=[4.0, 3.0]),
    "DRO_7_2_0": Case("Enhanced PET GML SUVbw", 1.0, {"Units": "GML", "SUVType": "BW"}, slopes=[1e-3]),
    "DRO_7_3_0": Case(
        "Enhanced PET Series after Decay Correction DateTime",
        ONE,
        {"SeriesTime": "114500.000000", "AcquisitionTime": "114500.000000"},
    ),
    "DRO_7_3_1": Case(
        "Enhanced PET DecayCorrected=NO multiple Frame Reference DateTime",
        [bqml(3600 + after_s) * frame_mean() for after_s in (0.0, FRAME_S) for _ in range(PLANES // 2)],
        {"DecayCorrection": "NONE"},
        planes=FRAMES_NONE,
    ),
    "DRO_error_2_0": Case("BQML and PatientWeight missing", ONE, {"PatientWeight": None}),
    "DRO_error_2_1": Case("BQML and PatientWeight = 0", ONE, {"PatientWeight": 0.0}),
    "DRO_error_2_2": Case("GML SUVibw and PatientSex absent", 1.0, IBW_O | {"PatientSex": None}, slopes=[1e-3]),
    "DRO_error_2_3": Case("GML SUVibw and PatientSex other value", 1.0, IBW_O | {"PatientSex": "X"}, slopes=[1e-3]),
    "DRO_error_2_4": Case("GML SUVibw and PatientSize absent", 1.0, IBW_O | {"PatientSize": None}, slopes=[1e-3]),
    "DRO_error_2_5": Case("GML SUVibw and PatientSize = 0", 1.0, IBW_O | {"PatientSize": 0.0}, slopes=[1e-3]),
    "DRO_error_2_6": Case("CNTS with neither Philips factor", 2000.0, PHILIPS_COUNTS),
    "DRO_error_2_7": Case("PROPCNTS", 2000.0, {"Units": "PROPCNTS"}),
    "DRO_error_3_0": Case("RadionuclideTotalDose absent", ONE, injected={"RadionuclideTotalDose": None}),
    "DRO_error_3_1": Case("RadionuclideTotalDose negative", ONE, injected={"RadionuclideTotalDose": -DOSE_BQ}),
    "DRO_error_3_2": Case(
        "ActualFrameDuration absent and not GE",
        ONE,
        {"SeriesTime": "114500.000000", "ActualFrameDuration": None},
        planes=_beds(T_AVE_S),
    ),
    "DRO_error_4_0": Case(
        "StartTime and StartDateTime both absent", ONE, injected=UNDATED | {"RadiopharmaceuticalStartTime": None}
    ),
    "DRO_error_4_1": Case("uptake > 24 h and StartDateTime absent", ONE, THREE_DAYS, ZIRCONIUM | UNDATED),
    "DRO_error_4_2": Case(
        "uptake > 24 h and StartDateTime anonymized",
        ONE,
        THREE_DAYS,
        ZIRCONIUM | {"RadiopharmaceuticalStartDateTime": "19000101100000.000000"},
    ),
    "DRO_error_5_0": Case("RadionuclideHalfLife absent", ONE, injected={"RadionuclideHalfLife": None}),
}


# --- pixels -------------------------------------------------------------------------------------------------------


def suv_zyx() -> np.ndarray:
    """Return the drawn SUV: a cylinder of 1.0 along z in air, a hot sphere of 4.0 and a cold one of 0.2."""
    z, y, x = np.indices((PLANES, ROWS, COLUMNS)).astype(float)
    suv = np.where(np.hypot(y - 13.5, x - 13.5) < 12, 1.0, 0.0)
    for center, value in (((2.5, 13.5, 8.5), 4.0), ((2.5, 13.5, 18.5), 0.2)):
        suv[np.sqrt((z - center[0]) ** 2 + (y - center[1]) ** 2 + (x - center[2]) ** 2) < 2.6] = value
    return suv


def mask_zyx() -> np.ndarray:
    """Return where the cylinder is."""
    return suv_zyx() > 0


def _stored(case: Case) -> tuple[np.ndarray, list[float]]:
    """Return the stored whole numbers and each plane's slope."""
    one = np.broadcast_to(np.asarray(case.one, float), (PLANES,))
    slopes = [(case.slopes or [1.0])[k % len(case.slopes or [1.0])] for k in range(PLANES)]
    values = suv_zyx() * one[:, None, None] / np.asarray(slopes)[:, None, None]
    return np.rint(values).astype("<i2"), slopes


# --- files --------------------------------------------------------------------------------------------------------


def write(case_id: str, folder: Path) -> list[Path]:
    """Write the object of a case into a folder; one file a plane, or one for all where it is Enhanced."""
    case = CASES[case_id]
    folder.mkdir(parents=True, exist_ok=True)
    return [_write_enhanced(case_id, case, folder)] if case.is_enhanced else _write_planes(case_id, case, folder)


def _injection(case: Case) -> Dataset:
    values = INJECTED | dict(case.injected)
    (code, meaning), item = values.pop("code"), Dataset()
    for keyword, value in values.items():
        if value is not None:
            setattr(item, keyword, value)
    coded = Dataset()
    coded.CodeValue, coded.CodingSchemeDesignator, coded.CodeMeaning = code, "SRT", meaning
    item.RadionuclideCodeSequence = [coded]
    return item


def _common(case_id: str, case: Case, leave_out: Sequence[str] = ()) -> Dataset:
    dataset = Dataset()
    for keyword, value in (BASE | dict(case.attributes)).items():
        if value is not None and keyword not in leave_out:
            setattr(dataset, keyword, value)
    dataset.RadiopharmaceuticalInformationSequence = [_injection(case)]
    for group, creator, element, vr, value in case.private:
        dataset.private_block(group, creator, create=True).add_new(element, vr, value)
    dataset.PatientName, dataset.PatientID = "DIGITAL^OBJECT", "DRO"
    dataset.StudyInstanceUID = generate_uid(entropy_srcs=[case_id, "study"])
    dataset.SeriesInstanceUID = generate_uid(entropy_srcs=[case_id, "series"])
    dataset.FrameOfReferenceUID = generate_uid(entropy_srcs=[case_id, "frame of reference"])
    dataset.SeriesNumber, dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, 1, "MONOCHROME2"
    dataset.Rows, dataset.Columns = ROWS, COLUMNS
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = 16, 16, 15, 1
    return dataset


def _save(dataset: Dataset, path: Path, sop_class: str) -> Path:
    dataset.SOPClassUID, dataset.SOPInstanceUID = (
        sop_class,
        generate_uid(entropy_srcs=[str(path.parent.name), path.name]),
    )
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.MediaStorageSOPClassUID = sop_class
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    pydicom.dcmwrite(path, dataset, enforce_file_format=True)
    return path


def _write_planes(case_id: str, case: Case, folder: Path) -> list[Path]:
    stored, slopes = _stored(case)
    paths = []
    for k, plane in enumerate(stored):
        dataset = copy.deepcopy(_common(case_id, case))
        for keyword, value in case.planes[k].items():
            setattr(dataset, keyword, value)
        dataset.InstanceNumber = dataset.ImageIndex = k + 1
        dataset.ImagePositionPatient = [0.0, 0.0, k * SPACING_MM]
        dataset.ImageOrientationPatient = [1.0, 0.0, 0.0, 0.0, 1.0, 0.0]
        dataset.PixelSpacing, dataset.SliceThickness = [SPACING_MM, SPACING_MM], SPACING_MM
        dataset.RescaleSlope, dataset.RescaleIntercept = slopes[k], 0.0
        dataset.PixelData = plane.tobytes()
        paths.append(_save(dataset, folder / f"plane_{k}.dcm", "1.2.840.10008.5.1.4.1.1.128"))
    return paths


def _item(**values: Any) -> Dataset:
    item = Dataset()
    for keyword, value in values.items():
        setattr(item, keyword, value)
    return item


def _later(day: str, clock: str, seconds: float) -> str:
    """Return a DT, so many seconds after a date and a time on the same day."""
    total = int(clock[:2]) * 3600 + int(clock[2:4]) * 60 + float(clock[4:]) + seconds
    return f"{day}{int(total // 3600):02d}{int(total % 3600 // 60):02d}{total % 60:09.6f}"


def _write_enhanced(case_id: str, case: Case, folder: Path) -> Path:
    """Write one Enhanced PET object: times are absolute, corrections are YES or NO, the dose is in MBq (PS3.3 A.56)."""
    stored, slopes = _stored(case)
    single_frame = (
        *("CorrectedImage", "DecayCorrection", "FrameReferenceTime", "DecayFactor", "NumberOfSlices"),
        *("ActualFrameDuration", "AcquisitionTime", "AcquisitionDate", "SeriesType", "CountsSource"),
    )
    dataset = _common(case_id, case, leave_out=single_frame)
    values = BASE | dict(case.attributes)
    is_corrected = values["DecayCorrection"] != "NONE"
    dataset.ImageType = ["ORIGINAL", "PRIMARY", "VOLUME", "NONE"]
    dataset.AcquisitionDateTime = values["AcquisitionDate"] + values["AcquisitionTime"]
    dataset.RadiopharmaceuticalInformationSequence[0].RadionuclideTotalDose = DOSE_BQ / 1e6
    dataset.DecayCorrected = "YES" if is_corrected else "NO"
    if is_corrected:
        dataset.DecayCorrectionDateTime = "20250101110000.000000"
    for keyword in (
        *("AttenuationCorrected", "ScatterCorrected", "DeadTimeCorrected", "RandomsCorrected"),
        *("DetectorNormalizationCorrection",),
    ):
        setattr(dataset, keyword, "YES")
    dataset.CountLossNormalizationCorrected = "NO"
    unit = {"BQML": ("Bq/ml", "Becquerels/milliliter"), "GML": ("g/ml{SUVbw}", "SUV body weight")}[values["Units"]]
    dataset.NumberOfFrames = PLANES
    dataset.SharedFunctionalGroupsSequence = [
        _item(
            PixelMeasuresSequence=[_item(PixelSpacing=[SPACING_MM] * 2, SliceThickness=SPACING_MM)],
            PlaneOrientationSequence=[_item(ImageOrientationPatient=[1.0, 0.0, 0.0, 0.0, 1.0, 0.0])],
            PETFrameTypeSequence=[_item(FrameType=["ORIGINAL", "PRIMARY", "VOLUME", "NONE"])],
        )
    ]
    frames = []
    for k in range(PLANES):
        at = case.planes[k].get("AcquisitionTime", values["AcquisitionTime"])
        code = _item(CodeValue=unit[0], CodingSchemeDesignator="UCUM", CodeMeaning=unit[1])
        frames.append(
            _item(
                FrameContentSequence=[
                    _item(
                        FrameAcquisitionDateTime=_later(values["AcquisitionDate"], at, 0.0),
                        FrameReferenceDateTime=_later(values["AcquisitionDate"], at, T_AVE_S),
                        FrameAcquisitionDuration=FRAME_S * 1000,
                        StackID="1",
                        InStackPositionNumber=k + 1,
                    )
                ],
                PlanePositionSequence=[_item(ImagePositionPatient=[0.0, 0.0, k * SPACING_MM])],
                PixelValueTransformationSequence=[
                    _item(RescaleSlope=slopes[k], RescaleIntercept=0.0, RescaleType="US")
                ],
                RealWorldValueMappingSequence=[
                    _item(
                        RealWorldValueFirstValueMapped=-32768,
                        RealWorldValueLastValueMapped=32767,
                        RealWorldValueIntercept=0.0,
                        RealWorldValueSlope=slopes[k],
                        LUTLabel=values["Units"],
                        LUTExplanation=unit[1],
                        MeasurementUnitsCodeSequence=[code],
                    )
                ],
            )
        )
    dataset.PerFrameFunctionalGroupsSequence = frames
    dataset.PixelData = stored.tobytes()
    return _save(dataset, folder / "enhanced.dcm", "1.2.840.10008.5.1.4.1.1.130")
