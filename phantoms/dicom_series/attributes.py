"""What is read of a header, as one table: to have one more attribute read, add its line.

Every attribute is then in `Instance.header` under its keyword, as plain Python (`phantoms.dicom_series.values`). A
test holds tags, VRs and keywords to pydicom's dictionary.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

#: Keyword and VR by tag. Source: DICOM PS3.6. An attribute is read at the top and in the items of those sequences
#: that are in the table themselves.
ATTRIBUTES: dict[int, tuple[str, str]] = {
    0x00080005: ("SpecificCharacterSet", "CS"),
    0x00080008: ("ImageType", "CS"),
    0x00080016: ("SOPClassUID", "UI"),
    0x00080018: ("SOPInstanceUID", "UI"),
    0x00080021: ("SeriesDate", "DA"),
    0x00080022: ("AcquisitionDate", "DA"),
    0x0008002A: ("AcquisitionDateTime", "DT"),
    0x00080031: ("SeriesTime", "TM"),
    0x00080032: ("AcquisitionTime", "TM"),
    0x00080050: ("AccessionNumber", "SH"),
    0x00080060: ("Modality", "CS"),
    0x00080064: ("ConversionType", "CS"),
    0x00080070: ("Manufacturer", "LO"),
    0x00080080: ("InstitutionName", "LO"),
    0x00080081: ("InstitutionAddress", "ST"),
    0x00080090: ("ReferringPhysicianName", "PN"),
    0x00080100: ("CodeValue", "SH"),
    0x00080102: ("CodingSchemeDesignator", "SH"),
    0x00080104: ("CodeMeaning", "LO"),
    0x00080201: ("TimezoneOffsetFromUTC", "SH"),
    0x00081010: ("StationName", "SH"),
    0x00081030: ("StudyDescription", "LO"),
    0x0008103E: ("SeriesDescription", "LO"),
    0x00081040: ("InstitutionalDepartmentName", "LO"),
    0x00081050: ("PerformingPhysicianName", "PN"),
    0x00081070: ("OperatorsName", "PN"),
    0x00081090: ("ManufacturerModelName", "LO"),
    0x00089007: ("FrameType", "CS"),
    0x00089207: ("VolumeBasedCalculationTechnique", "CS"),
    0x00100010: ("PatientName", "PN"),
    0x00100020: ("PatientID", "LO"),
    0x00100030: ("PatientBirthDate", "DA"),
    0x00100040: ("PatientSex", "CS"),
    0x00101000: ("OtherPatientIDs", "LO"),
    0x00101001: ("OtherPatientNames", "PN"),
    0x00101002: ("OtherPatientIDsSequence", "SQ"),
    0x00101010: ("PatientAge", "AS"),
    0x00101020: ("PatientSize", "DS"),
    0x00101030: ("PatientWeight", "DS"),
    0x00101040: ("PatientAddress", "LO"),
    0x00102154: ("PatientTelephoneNumbers", "SH"),
    0x00104000: ("PatientComments", "LT"),
    0x00120040: ("ClinicalTrialSubjectID", "LO"),
    0x00120062: ("PatientIdentityRemoved", "CS"),
    0x00120063: ("DeidentificationMethod", "LO"),
    0x00120064: ("DeidentificationMethodCodeSequence", "SQ"),
    0x00180010: ("ContrastBolusAgent", "LO"),
    0x00180015: ("BodyPartExamined", "CS"),
    0x00180031: ("Radiopharmaceutical", "LO"),
    0x00180050: ("SliceThickness", "DS"),
    0x00180060: ("KVP", "DS"),
    0x00180088: ("SpacingBetweenSlices", "DS"),
    0x00181000: ("DeviceSerialNumber", "LO"),
    0x00181020: ("SoftwareVersions", "LO"),
    0x00181030: ("ProtocolName", "LO"),
    0x00181060: ("TriggerTime", "DS"),
    0x00181071: ("RadiopharmaceuticalVolume", "DS"),
    0x00181072: ("RadiopharmaceuticalStartTime", "TM"),
    0x00181073: ("RadiopharmaceuticalStopTime", "TM"),
    0x00181074: ("RadionuclideTotalDose", "DS"),
    0x00181075: ("RadionuclideHalfLife", "DS"),
    0x00181076: ("RadionuclidePositronFraction", "DS"),
    0x00181078: ("RadiopharmaceuticalStartDateTime", "DT"),
    0x00181079: ("RadiopharmaceuticalStopDateTime", "DT"),
    0x00181100: ("ReconstructionDiameter", "DS"),
    0x00181150: ("ExposureTime", "IS"),
    0x00181151: ("XRayTubeCurrent", "IS"),
    0x00181152: ("Exposure", "IS"),
    0x00181160: ("FilterType", "SH"),
    0x00181210: ("ConvolutionKernel", "SH"),
    0x00181242: ("ActualFrameDuration", "IS"),
    0x00185100: ("PatientPosition", "CS"),
    0x00189074: ("FrameAcquisitionDateTime", "DT"),
    0x00189118: ("CardiacSynchronizationSequence", "SQ"),
    0x00189151: ("FrameReferenceDateTime", "DT"),
    0x00189220: ("FrameAcquisitionDuration", "FD"),
    0x00189329: ("CTImageFrameTypeSequence", "SQ"),
    0x00189701: ("DecayCorrectionDateTime", "DT"),
    0x00189736: ("PETFrameCorrectionFactorsSequence", "SQ"),
    0x00189751: ("PETFrameTypeSequence", "SQ"),
    0x00189758: ("DecayCorrected", "CS"),
    0x00189759: ("AttenuationCorrected", "CS"),
    0x00189760: ("ScatterCorrected", "CS"),
    0x00189761: ("DeadTimeCorrected", "CS"),
    0x00189762: ("GantryMotionCorrected", "CS"),
    0x00189763: ("PatientMotionCorrected", "CS"),
    0x00189764: ("CountLossNormalizationCorrected", "CS"),
    0x00189765: ("RandomsCorrected", "CS"),
    0x00189766: ("NonUniformRadialSamplingCorrected", "CS"),
    0x00189767: ("SensitivityCalibrated", "CS"),
    0x00189768: ("DetectorNormalizationCorrection", "CS"),
    0x0020000D: ("StudyInstanceUID", "UI"),
    0x0020000E: ("SeriesInstanceUID", "UI"),
    0x00200011: ("SeriesNumber", "IS"),
    0x00200013: ("InstanceNumber", "IS"),
    0x00200032: ("ImagePositionPatient", "DS"),
    0x00200037: ("ImageOrientationPatient", "DS"),
    0x00200052: ("FrameOfReferenceUID", "UI"),
    0x00204000: ("ImageComments", "LT"),
    0x00209111: ("FrameContentSequence", "SQ"),
    0x00209113: ("PlanePositionSequence", "SQ"),
    0x00209116: ("PlaneOrientationSequence", "SQ"),
    0x00209128: ("TemporalPositionIndex", "UL"),
    0x00209153: ("NominalCardiacTriggerDelayTime", "FD"),
    0x00209170: ("UnassignedSharedConvertedAttributesSequence", "SQ"),
    0x00209171: ("UnassignedPerFrameConvertedAttributesSequence", "SQ"),
    0x00280002: ("SamplesPerPixel", "US"),
    0x00280008: ("NumberOfFrames", "IS"),
    0x00280010: ("Rows", "US"),
    0x00280011: ("Columns", "US"),
    0x00280030: ("PixelSpacing", "DS"),
    0x00280051: ("CorrectedImage", "CS"),
    0x00280100: ("BitsAllocated", "US"),
    0x00280103: ("PixelRepresentation", "US"),
    0x00280301: ("BurnedInAnnotation", "CS"),
    0x00280303: ("LongitudinalTemporalInformationModified", "CS"),
    0x00281052: ("RescaleIntercept", "DS"),
    0x00281053: ("RescaleSlope", "DS"),
    0x00281054: ("RescaleType", "LO"),
    0x00282110: ("LossyImageCompression", "CS"),
    0x00282112: ("LossyImageCompressionRatio", "DS"),
    0x00282114: ("LossyImageCompressionMethod", "CS"),
    0x00289110: ("PixelMeasuresSequence", "SQ"),
    0x00289145: ("PixelValueTransformationSequence", "SQ"),
    0x00400275: ("RequestAttributesSequence", "SQ"),
    0x004008EA: ("MeasurementUnitsCodeSequence", "SQ"),
    0x00409096: ("RealWorldValueMappingSequence", "SQ"),
    0x00409224: ("RealWorldValueIntercept", "FD"),
    0x00409225: ("RealWorldValueSlope", "FD"),
    0x00540016: ("RadiopharmaceuticalInformationSequence", "SQ"),
    0x00540081: ("NumberOfSlices", "US"),
    0x00540101: ("NumberOfTimeSlices", "US"),
    0x00540300: ("RadionuclideCodeSequence", "SQ"),
    0x00540304: ("RadiopharmaceuticalCodeSequence", "SQ"),
    0x00541000: ("SeriesType", "CS"),
    0x00541001: ("Units", "CS"),
    0x00541006: ("SUVType", "CS"),
    0x00541100: ("RandomsCorrectionMethod", "CS"),
    0x00541101: ("AttenuationCorrectionMethod", "LO"),
    0x00541102: ("DecayCorrection", "CS"),
    0x00541103: ("ReconstructionMethod", "LO"),
    0x00541105: ("ScatterCorrectionMethod", "LO"),
    0x00541300: ("FrameReferenceTime", "DS"),
    0x00541321: ("DecayFactor", "DS"),
    0x00541330: ("ImageIndex", "US"),
    0x52009229: ("SharedFunctionalGroupsSequence", "SQ"),
    0x52009230: ("PerFrameFunctionalGroupsSequence", "SQ"),
}
#: Who a patient is: read for `InstanceFacts.patient_identity` and left out of `Instance.header`.
IDENTITY = ("PatientID", "PatientName", "PatientBirthDate")
#: What may say who somebody is: read for `InstanceFacts.identifying`, which says what is filled, and left out of
#: `Instance.header`. A subset of DICOM PS3.15, table E.1-1.
IDENTIFYING = (
    *IDENTITY,
    *("OtherPatientIDs", "OtherPatientIDsSequence", "OtherPatientNames", "PatientAddress", "PatientTelephoneNumbers"),
    *("AccessionNumber", "RequestAttributesSequence"),
    *("ReferringPhysicianName", "PerformingPhysicianName", "OperatorsName"),
    *("InstitutionName", "InstitutionAddress", "InstitutionalDepartmentName", "StationName"),
    *("StudyDescription", "SeriesDescription", "ProtocolName", "ImageComments", "PatientComments"),
)

#: Name here and VR of makers' private elements, by group, creator and element within the creator's block. Two creator
#: texts of Siemens' block are in use.
PRIVATE: dict[tuple[int, str, int], tuple[str, str]] = {
    (0x0009, "GEMS_PETD_01", 0x0D): ("GEScanDateTime", "DT"),
    (0x0009, "GEMS_PETD_01", 0x36): ("GETracerName", "LO"),
    (0x0009, "GEMS_PETD_01", 0x38): ("GETracerActivity", "FL"),
    (0x0009, "GEMS_PETD_01", 0x39): ("GEMeasuredDateTime", "DT"),
    (0x0009, "GEMS_PETD_01", 0x3B): ("GEAdministrationDateTime", "DT"),
    (0x0009, "GEMS_PETD_01", 0x3C): ("GEPostInjectionActivity", "FL"),
    (0x0009, "GEMS_PETD_01", 0x3D): ("GEPostInjectionDateTime", "DT"),
    (0x0009, "GEMS_PETD_01", 0x3F): ("GEHalfLife", "FL"),
    (0x0009, "GEMS_PETD_01", 0x6C): ("GEAcquisitionDateTime", "DT"),
    (0x0009, "GEMS_PETD_01", 0x6D): ("GEAcquisitionDuration", "SL"),
    (0x0009, "GEMS_PETD_01", 0xB2): ("GEIterations", "SL"),
    (0x0009, "GEMS_PETD_01", 0xB3): ("GESubsets", "SL"),
    (0x0009, "GEMS_PETD_01", 0xB4): ("GEReconstructionDiameter", "FL"),
    (0x0009, "GEMS_PETD_01", 0xB6): ("GELoopFilter", "SL"),
    (0x0009, "GEMS_PETD_01", 0xB8): ("GELoopFilterParameter", "SL"),
    (0x0009, "GEMS_PETD_01", 0xBA): ("GEPostFilter", "SL"),
    (0x0009, "GEMS_PETD_01", 0xBB): ("GEPostFilterFWHM", "FL"),
    (0x0009, "GEMS_PETD_01", 0xBC): ("GERegularize", "SL"),
    (0x0009, "GEMS_PETD_01", 0xBD): ("GEBeta", "FL"),
    (0x0009, "GEMS_PETD_01", 0xC3): ("GEScatterMethod", "SL"),
    (0x0009, "GEMS_PETD_01", 0xC7): ("GEOverlap", "SL"),
    (0x0009, "GEMS_PETD_01", 0xD5): ("GELoopFilterWidth", "FL"),
    (0x0009, "GEMS_PETD_01", 0xDB): ("GEZFilter", "SL"),
    (0x0009, "GEMS_PETD_01", 0xDC): ("GEZFilterRatio", "FL"),
    (0x0009, "GEMS_PETD_01", 0xE4): ("GEReconstructionProtocol", "ST"),
    (0x0071, "SIEMENS MED PT", 0x22): ("SiemensDecayCorrectionDateTime", "DT"),
    (0x0071, "SIEMENS MEDCOM HEADER", 0x22): ("SiemensDecayCorrectionDateTime", "DT"),
    (0x7053, "Philips PET Private Group", 0x00): ("SUVScaleFactor", "DS"),
    (0x7053, "Philips PET Private Group", 0x09): ("ActivityConcentrationScaleFactor", "DS"),
}
PRIVATE_GROUPS = frozenset(group for group, *_ in PRIVATE)
#: Where an element stands whose block lost its creator: exports that drop the creators keep the customary block 10.
_ORPHANS = {(group, 0x1000 | element): attribute for (group, _, element), attribute in PRIVATE.items()}


def find_attributes(
    tags: Iterable[int], creator_of: Callable[[int], str]
) -> tuple[dict[int, tuple[str, str]], tuple[str, ...]]:
    """Return what of a header is read.

    Parameters
    ----------
    tags : iterable of int
        The tags at the top of the header, in rising order.
    creator_of : callable
        Returns the text of a private creator element.

    Returns
    -------
    dict
        Keyword and VR by tag; no keyword comes twice.
    tuple of str
        Private ones whose block has no creator: who uses such a value says so.
    """
    found: dict[int, tuple[str, str]] = {}
    creators: dict[tuple[int, int], str] = {}
    orphans: dict[int, tuple[str, str]] = {}
    taken: set[str] = set()
    for tag in tags:
        group, element = tag >> 16, tag & 0xFFFF
        if tag in ATTRIBUTES:
            found[tag] = ATTRIBUTES[tag]
        elif group not in PRIVATE_GROUPS:
            continue
        elif 0x10 <= element <= 0xFF:
            creators[group, element] = creator_of(tag)
        elif (group, element >> 8) in creators:
            private = PRIVATE.get((group, creators[group, element >> 8], element & 0xFF))
            if private and private[0] not in taken:
                taken.add(private[0])
                found[tag] = private
        elif (group, element) in _ORPHANS:
            orphans[tag] = _ORPHANS[group, element]
    orphans = {tag: attribute for tag, attribute in orphans.items() if attribute[0] not in taken}
    return found | orphans, tuple(sorted(keyword for keyword, _ in orphans.values()))
