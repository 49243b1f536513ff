"""Multi-frame PET and CT: what the functional groups say of each frame, under the keywords that a single slice has.

Enhanced and Legacy Converted Enhanced objects of both are read. Sources: DICOM PS3.3, C.7.6.16 (functional groups),
C.8.15 (Enhanced CT), C.8.22 (Enhanced PET); C.8.22.4 counts the activity in MBq, where a single slice has Bq.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from phantoms.dicom_series.values import integer, number, text
from phantoms.errors import AnalysisRefused

ENHANCED_PET = "1.2.840.10008.5.1.4.1.1.130"
LEGACY_CONVERTED_PET = "1.2.840.10008.5.1.4.1.1.128.1"
MULTI_FRAME = frozenset({ENHANCED_PET, LEGACY_CONVERTED_PET})
#: Enhanced CT, and Legacy Converted Enhanced CT.
MULTI_FRAME_CT = frozenset({"1.2.840.10008.5.1.4.1.1.2.1", "1.2.840.10008.5.1.4.1.1.2.2"})

#: What all frames share, and what each has of its own.
GROUPS = _SHARED, _PER_FRAME = "SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence"
#: Macros of one item that hold what a single slice has at its top; those of a conversion first, as a macro of the
#: standard's own says it more exactly.
_MACROS = (
    "UnassignedSharedConvertedAttributesSequence",
    "UnassignedPerFrameConvertedAttributesSequence",
    "PETFrameTypeSequence",
    "CTImageFrameTypeSequence",
    "PETFrameCorrectionFactorsSequence",
    "CardiacSynchronizationSequence",
    "FrameContentSequence",
    "PlanePositionSequence",
    "PlaneOrientationSequence",
    "PixelMeasuresSequence",
    "PixelValueTransformationSequence",
)
#: A multi-frame object says what was corrected in words of its own; CorrectedImage (0028,0051) has a term for each.
_CORRECTIONS = {
    "DecayCorrected": "DECY",
    "AttenuationCorrected": "ATTN",
    "ScatterCorrected": "SCAT",
    "DeadTimeCorrected": "DTIM",
    "GantryMotionCorrected": "MOTN",
    "PatientMotionCorrected": "PMOT",
    "CountLossNormalizationCorrected": "CLN",
    "RandomsCorrected": "RAN",
    "NonUniformRadialSamplingCorrected": "RADL",
    "SensitivityCalibrated": "DCAL",
    "DetectorNormalizationCorrection": "NORM",
}
#: Units (0054,1001) that RescaleType (0028,1054) names too.
_UNITS = frozenset({"BQML", "GML", "CM2ML", "CNTS", "CPS", "PROPCNTS", "PROPCPS"})
#: UCUM codes of MeasurementUnitsCodeSequence as Units and SUVType. Source: DICOM PS3.16, CID 84, which wrote the
#: first two of SUV the other way round in earlier editions.
_UCUM: dict[str, tuple[str, str | None]] = {
    "Bq/ml": ("BQML", None),
    "g/ml{SUVbw}": ("GML", "BW"),
    "{SUVbw}g/ml": ("GML", "BW"),
    "g/ml{SUVlbm}": ("GML", "LBM"),
    "{SUVlbm}g/ml": ("GML", "LBM"),
    "g/ml{SUVlbm(James128)}": ("GML", "LBMJAMES128"),
    "g/ml{SUVlbm(Janma)}": ("GML", "LBMJANMA"),
    "g/ml{SUVibw}": ("GML", "IBW"),
    "cm2/ml{SUVbsa}": ("CM2ML", "BSA"),
}
#: Below it an activity can only be MBq, and above only Bq: 10 GBq is more than anybody is given, 10 kBq less.
_LARGEST_MBQ = 1e4


def frame_values(values: Mapping[str, Any], sop_class_uid: str) -> Iterator[Mapping[str, Any]]:
    """Return the values of each frame, in the order of the pixels.

    Raises
    ------
    AnalysisRefused
        ``SERIES-ENHANCED`` where not every frame is described.
    """
    described: tuple[Mapping[str, Any], ...] = values.get(_PER_FRAME) or ()
    declared = integer(values.get("NumberOfFrames")) or 1
    if len(described) != declared:
        what = "CT" if sop_class_uid in MULTI_FRAME_CT else "PET"
        raise AnalysisRefused(
            "SERIES-ENHANCED",
            f"A multi-frame {what} object that declares {declared} frames and describes {len(described)} "
            "(0028,0008) (5200,9230).",
            "(5200,9230)",
            f"Export the series as single-frame {what} images.",
        )
    common = {keyword: value for keyword, value in values.items() if keyword not in GROUPS}
    # Some writers leave a slope at the top that is not that of any frame.
    common.pop("RescaleSlope", None)
    common.pop("RescaleIntercept", None)
    for groups in values.get(_SHARED, ()):
        common |= _flat(groups)
    if sop_class_uid == ENHANCED_PET and "RadiopharmaceuticalInformationSequence" in common:
        injections = common["RadiopharmaceuticalInformationSequence"]
        common["RadiopharmaceuticalInformationSequence"] = tuple(map(_in_bq, injections))
    return (_as_slice(common | _flat(groups)) for groups in described)


def _flat(groups: Mapping[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for macro in _MACROS:
        items: tuple[Mapping[str, Any], ...] = groups.get(macro) or ()
        if len(items) == 1:
            found |= items[0]
    if "RealWorldValueMappingSequence" in groups:
        found["RealWorldValueMappingSequence"] = groups["RealWorldValueMappingSequence"]
    return found


def _in_bq(injection: Mapping[str, Any]) -> Mapping[str, Any]:
    dose = number(injection.get("RadionuclideTotalDose"))
    if dose is None or not 0 < dose < _LARGEST_MBQ:
        return injection
    return {**injection, "RadionuclideTotalDose": dose * 1e6}


def _as_slice(values: dict[str, Any]) -> dict[str, Any]:
    """Say under a single slice's keywords what a multi-frame object says in its own."""
    for own, keyword in (("FrameType", "ImageType"), ("FrameAcquisitionDateTime", "AcquisitionDateTime")):
        if own in values:
            values[keyword] = values[own]
    if "FrameAcquisitionDuration" in values:
        values.setdefault("ActualFrameDuration", values["FrameAcquisitionDuration"])
    if any(keyword in values for keyword in _CORRECTIONS):
        made = tuple(term for keyword, term in _CORRECTIONS.items() if values.get(keyword) == "YES")
        values.setdefault("CorrectedImage", made or "NONE")
    # Corrected to a time that is not named is not corrected to the start.
    if values.get("DecayCorrected") == "YES" and "DecayCorrectionDateTime" in values:
        values.setdefault("DecayCorrection", "START")
    elif values.get("DecayCorrected") == "NO":
        values.setdefault("DecayCorrection", "NONE")
    if "Units" not in values and values.get("RescaleType") in _UNITS:
        values["Units"] = values["RescaleType"]
    if "Units" not in values:
        values |= _real_world(values.get("RealWorldValueMappingSequence") or ())
    return values


def _real_world(mappings: tuple[Mapping[str, Any], ...]) -> dict[str, Any]:
    """Return slope, intercept and unit of the one mapping into a unit that is known, Bq/mL before all others."""
    known: dict[str, dict[str, Any]] = {}
    for mapping in mappings:
        codes = [text(code.get("CodeValue")) for code in mapping.get("MeasurementUnitsCodeSequence", ())]
        units, suv_type = _UCUM.get("".join(codes), ("", None))
        slope = number(mapping.get("RealWorldValueSlope"))
        if not units or slope is None:
            continue
        known[units] = {
            "Units": units,
            "RescaleSlope": slope,
            "RescaleIntercept": number(mapping.get("RealWorldValueIntercept")) or 0.0,
        } | ({"SUVType": suv_type} if suv_type else {})
    return known.get("BQML") or (next(iter(known.values())) if len(known) == 1 else {})
