"""One scan's headers as one frozen view, and the digest of its reconstruction."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from datetime import datetime, time
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from phantoms.dicom_series.values import number, text
from phantoms.nuclides import by_half_life, nuclide_name
from phantoms.suv.header import Injection, SeriesHeader, parse_datetime, parse_time
from phantoms.suv.reference import Clock, read_clock, shifted
from qc.facts.console import MBQ_BELOW, GEConsole, Syringe, read_console, read_syringe
from qc.facts.ct import CtSeries, ct_series_of
from qc.facts.identity import Identity, age_years, distinct_texts, identity_of
from qc.facts.reconstruction import GE_RECONSTRUCTION, Reconstruction, read_reconstruction
from qc.facts.slices import Bed, Numbering, beds_of, coverage_mm, heights_mm, is_axial, numbering_of, step_mm

if TYPE_CHECKING:
    from phantoms.dicom_series import Instance, Scan, Series


@dataclass(frozen=True, kw_only=True)
class CorrectionMethods:
    """How the maker says that it corrected, in its own words, for REC-02.

    ``RandomsCorrectionMethod`` is (0054,1100), ``AttenuationCorrectionMethod`` (0054,1101), for ING-09 too, and
    ``ScatterCorrectionMethod`` (0054,1105).
    """

    RandomsCorrectionMethod: str = ""
    AttenuationCorrectionMethod: str = ""
    ScatterCorrectionMethod: str = ""


@dataclass(frozen=True, kw_only=True)
class SubmissionFacts:
    """One scan: its files, the chosen series, the patient, the injection, the times, the geometry, how it was made.

    Attributes
    ----------
    files, unreadable_files, series, studies, patients : int
        Counted over the whole scan, for ING-01 and ING-02 (0020,000D); ``patients`` counts different people without
        saying who they are.
    uncorrected_series : int
        PET series of the scan whose CorrectedImage (0028,0051) leaves ATTN out, for ING-09.
    copies, doubled_identities : int
        Files left out as copies of another, and identities (0008,0018) that several files of one series have with
        other content, for ING-03. What lies in the pixels is not looked at here.
    TransferSyntaxUID, SOPClassUID, Modality : tuple of str
        (0002,0010), (0008,0016) and (0008,0060) of all DICOM objects of the scan, each once, for ING-01 and ING-09.
    identity : Identity
        Whose scan it is said to be, for ING-02, DEID-01 and DEID-02.
    ct : tuple of CtSeries
        The CT series of the scan, for ING-08, ING-09, ACQ-03, ACQ-04 and the rules of the CT.
    slices : int
        Files of the chosen series; 0 where none was chosen, and then everything below is empty.
    ImageType, ConversionType : tuple of str, str
        (0008,0008) and (0008,0064), for ING-11.
    SeriesType, BodyPartExamined : tuple of str, str
        (0054,1000) and (0018,0015), for ING-12.
    is_lossy, is_derived : bool
        Whether any slice was compressed with loss, or is called DERIVED.
    LossyImageCompressionMethod : tuple of str
        (0028,2114), and ``LossyImageCompressionRatio`` (0028,2112), for ING-10.
    is_volume : bool or None
        False for projections, such as a turning picture of the body; None where the headers do not say.
    LongitudinalTemporalInformationModified : str or None
        (0028,0303), for DEID-03.
    said : SeriesHeader
        What SUV is worked out of, for the SUV rules and DEID-03: units, makers' private times and factors, and of
        every slice AcquisitionTime (0008,0032), FrameReferenceTime (0054,1300), ActualFrameDuration (0018,1242) and
        DecayFactor (0054,1321), for TIM-05. ``said.private_without_creator`` names private ones that lost theirs.
    methods : CorrectionMethods
        How it was corrected, for REC-02.
    FilterType : str
        (0018,1160), and ``ConvolutionKernel`` (0018,1210), for REC-04.
    PatientWeight, PatientSize, PatientSex
        (0010,1030) kg, (0010,1020) m and (0010,0040), for PAT-01 and PAT-03.
    PatientAge, age_years : str, float or None
        (0010,1010) as written, and the age at the scan, from the date of birth where that alone is there, for PAT-04.
    injections : tuple of Injection
        The items of RadiopharmaceuticalInformationSequence (0054,0016).
    pharmaceutical_codes : tuple of str
        The codes of RadiopharmaceuticalCodeSequence (0054,0304) of the first injection.
    syringe : Syringe or None
        What GE's console was told of the syringe.
    ge : GEConsole or None
        What else GE's console wrote.
    series_at, first_frame_at, last_frame_end_at : datetime or None
        Wall clock of the scanner. The last two bound what the images of this series show.
    frame_min : tuple of float
        The different durations of frames, minutes, shortest first.
    beds : tuple of Bed
        Slices by the time at which they were taken, in the order of time; empty where a slice has no time or place.
    numbering : Numbering
        (0020,0013) and (0054,1330), for ING-07.
    FrameOfReferenceUID : tuple of str
        (0020,0052) of the chosen series, each that is there, for ING-08, CT-02 and DEID-03.
    ReconstructionDiameter : float or None
        (0018,1100), millimetres, for ACQ-04.
    positions_mm : tuple of float
        Heights of the slices along the normal of their plane, ascending.
    is_axial : bool or None
        Whether all planes are transverse and alike; None where a slice does not say.
    """

    # The files.
    files: int = 0
    unreadable_files: int = 0
    series: int = 0
    uncorrected_series: int = 0
    studies: int = 0
    patients: int = 0
    copies: int = 0
    doubled_identities: int = 0
    TransferSyntaxUID: tuple[str, ...] = ()
    SOPClassUID: tuple[str, ...] = ()
    Modality: tuple[str, ...] = ()
    identity: Identity = field(default_factory=Identity)
    ct: tuple[CtSeries, ...] = ()
    # What the chosen series is.
    slices: int = 0
    SeriesInstanceUID: str = ""
    ImageType: tuple[str, ...] = ()
    ConversionType: str = ""
    SeriesType: tuple[str, ...] = ()
    BodyPartExamined: str = ""
    is_lossy: bool = False
    LossyImageCompressionMethod: tuple[str, ...] = ()
    LossyImageCompressionRatio: float | None = None
    is_derived: bool = False
    is_volume: bool | None = None
    DecayCorrection: str | None = None
    CorrectedImage: tuple[str, ...] = ()
    LongitudinalTemporalInformationModified: str | None = None
    said: SeriesHeader = field(default_factory=SeriesHeader, repr=False)
    # The scanner and how the images were made.
    Manufacturer: str = ""
    ManufacturerModelName: str = ""
    DeviceSerialNumber: str = ""
    SoftwareVersions: str = ""
    methods: CorrectionMethods = field(default_factory=CorrectionMethods)
    ReconstructionMethod: str = ""
    ConvolutionKernel: str = ""
    FilterType: str = ""
    reconstruction: Reconstruction = field(default_factory=Reconstruction)
    # The patient.
    PatientWeight: float | None = None
    PatientSize: float | None = None
    PatientSex: str | None = None
    PatientAge: str = ""
    age_years: float | None = None
    # The injection.
    injections: tuple[Injection, ...] = ()
    pharmaceutical_codes: tuple[str, ...] = ()
    syringe: Syringe | None = None
    ge: GEConsole | None = None
    # The times.
    series_at: datetime | None = None
    first_frame_at: datetime | None = None
    last_frame_end_at: datetime | None = None
    frame_min: tuple[float, ...] = ()
    beds: tuple[Bed, ...] = ()
    # The geometry.
    numbering: Numbering = field(default_factory=Numbering)
    FrameOfReferenceUID: tuple[str, ...] = ()
    ReconstructionDiameter: float | None = None
    Rows: int = 0
    Columns: int = 0
    PixelSpacing: tuple[float, ...] = ()
    SliceThickness: float | None = None
    NumberOfSlices: int | None = None
    NumberOfTimeSlices: int | None = None
    positions_mm: tuple[float, ...] = ()
    is_axial: bool | None = None

    @property
    def injection(self) -> Injection:
        """The first injection; an empty one where none is listed."""
        return self.injections[0] if self.injections else Injection()

    @property
    def nuclide(self) -> str | None:
        """The radionuclide by code, by words, or by its half-life, as ``F-18``."""
        given = self.injection
        named = nuclide_name(given.nuclide_code) or nuclide_name(given.nuclide_meaning)
        return named or (by_half_life(given.RadionuclideHalfLife) if given.RadionuclideHalfLife else None)

    @property
    def dose_mbq(self) -> float | None:
        """RadionuclideTotalDose in MBq, also where it was written in MBq; None where it is missing or not above 0."""
        dose = self.injection.RadionuclideTotalDose
        if dose is None or dose <= 0:
            return None
        return dose if dose < MBQ_BELOW else dose / 1e6

    @property
    def injection_clocks(self) -> tuple[time, ...]:
        """The times of day at which the injection is said to have been: from the TM, then from the DT."""
        dated = parse_datetime(self.injection.RadiopharmaceuticalStartDateTime)
        clocks = (parse_time(self.injection.RadiopharmaceuticalStartTime), dated.time() if dated else None)
        return tuple(clock for clock in clocks if clock is not None)

    @property
    def steps_mm(self) -> tuple[float, ...]:
        """Distances from each slice to the next."""
        return tuple(b - a for a, b in pairwise(self.positions_mm))

    @property
    def step_mm(self) -> float | None:
        """The usual distance of slices; the thickness of a single one."""
        return step_mm(self.positions_mm, self.SliceThickness)

    @property
    def coverage_mm(self) -> float | None:
        """How far the slices reach, edge to edge."""
        return coverage_mm(self.positions_mm, self.SliceThickness)

    @property
    def bed_steps_mm(self) -> tuple[float, ...]:
        """How far the table went from each bed to the next in time, along the normal of the slices, for ACQ-02."""
        return tuple(abs(b.center_mm - a.center_mm) for a, b in pairwise(self.beds))

    @property
    def is_toward_head(self) -> bool | None:
        """Whether the later beds lie nearer to the head, for TIM-03; None for a single bed."""
        if len(self.beds) < 2:
            return None
        return self.beds[-1].center_z_mm > self.beds[0].center_z_mm

    @property
    def is_continuous(self) -> bool | None:
        """Whether every slice has a time of its own, as where the table moves on steadily, for ACQ-05."""
        return len(self.beds) == self.slices if len(self.beds) > 1 else None

    @property
    def are_dates_shifted(self) -> bool:
        """Whether the headers say that their dates are not the true ones (0028,0303)."""
        return self.LongitudinalTemporalInformationModified in {"MODIFIED", "REMOVED"}


def facts_of(scan: Scan, series: Series | None) -> SubmissionFacts:
    """Return the facts of one scan.

    Parameters
    ----------
    scan : Scan
        As `phantoms.dicom_series.read_scan` returned it; no file is opened.
    series : Series or None
        The series that is judged; None where none could be chosen.
    """
    about_files = _about_files(scan)
    if series is None:
        return SubmissionFacts(**about_files)
    first, said, instances = series.instances[0], series.header, series.instances
    header: Mapping[str, Any] = first.header
    headers = [instance.header for instance in instances]
    clock = read_clock(said)
    day = clock.series or clock.earliest
    return SubmissionFacts(
        **about_files,
        slices=series.slices,
        SeriesInstanceUID=series.series_instance_uid,
        ImageType=first.facts.image_type,
        ConversionType=text(header.get("ConversionType")),
        SeriesType=first.series_type,
        BodyPartExamined=text(header.get("BodyPartExamined")),
        is_lossy=any(instance.facts.is_lossy for instance in instances),
        LossyImageCompressionMethod=distinct_texts(headers, "LossyImageCompressionMethod"),
        LossyImageCompressionRatio=number(header.get("LossyImageCompressionRatio")),
        is_derived=said.is_derived,
        is_volume=series.is_volume if _says_volume(first) else None,
        DecayCorrection=said.DecayCorrection,
        CorrectedImage=said.CorrectedImage,
        LongitudinalTemporalInformationModified=text(header.get("LongitudinalTemporalInformationModified")) or None,
        said=said,
        Manufacturer=first.facts.manufacturer,
        ManufacturerModelName=first.facts.model,
        DeviceSerialNumber=first.facts.device_serial_number,
        SoftwareVersions=first.facts.software_versions,
        methods=CorrectionMethods(**{one.name: text(header.get(one.name)) for one in fields(CorrectionMethods)}),
        ReconstructionMethod=first.facts.reconstruction_method,
        ConvolutionKernel=text(header.get("ConvolutionKernel")),
        FilterType=text(header.get("FilterType")),
        reconstruction=read_reconstruction(
            first.facts.manufacturer,
            first.facts.reconstruction_method,
            text(header.get("ConvolutionKernel")),
            ge={name: number(header.get(f"GE{name}")) for name in GE_RECONSTRUCTION},
        ),
        PatientWeight=said.PatientWeight,
        PatientSize=said.PatientSize,
        PatientSex=said.PatientSex,
        PatientAge=text(header.get("PatientAge")),
        age_years=age_years(header.get("PatientAge"), first.facts.patient_identity, day.date() if day else None),
        injections=said.injections,
        pharmaceutical_codes=_pharmaceutical_codes(header),
        syringe=read_syringe(header),
        ge=read_console(header),
        **_times(said, clock),
        beds=beds_of(instances, said.slices, clock.acquired),
        numbering=numbering_of(instances),
        FrameOfReferenceUID=distinct_texts(headers, "FrameOfReferenceUID"),
        ReconstructionDiameter=number(header.get("ReconstructionDiameter")),
        Rows=first.rows,
        Columns=first.columns,
        PixelSpacing=first.pixel_spacing_mm,
        SliceThickness=first.slice_thickness_mm,
        NumberOfSlices=said.NumberOfSlices or (first.frames if first.frames > 1 else None),
        NumberOfTimeSlices=first.time_slices,
        positions_mm=heights_mm([instance.facts.position_mm for instance in instances]),
        is_axial=is_axial(instance.orientation for instance in instances),
    )


def _about_files(scan: Scan) -> dict[str, Any]:
    instances = [instance for one in scan.series for instance in one.instances]
    objects = [*(one.facts for one in instances), *(one.facts for one in scan.others)]
    headers = [*(one.header for one in instances), *(one.header for one in scan.others)]
    identities = Counter((one.facts.sop_instance_uid, one.frame) for one in instances)
    return {
        "files": len(instances) + len(scan.ignored),
        "unreadable_files": sum(not ignored.is_dicom for ignored in scan.ignored),
        "series": len(scan.series),
        "uncorrected_series": sum(one.is_attenuation_corrected is False for one in scan.series),
        "studies": len({instance.facts.study_instance_uid for instance in instances}),
        "patients": len({instance.facts.patient_identity for instance in instances}),
        "copies": sum(ignored.code == "ING-03" for ignored in scan.ignored),
        "doubled_identities": sum(count > 1 for (_, frame), count in identities.items() if frame == 0),
        "TransferSyntaxUID": tuple(sorted({one.transfer_syntax_uid for one in objects})),
        "SOPClassUID": tuple(sorted({one.sop_class_uid for one in objects})),
        "Modality": tuple(sorted({one.modality for one in objects} - {""})),
        "identity": identity_of(objects, headers),
        "ct": ct_series_of(scan.others),
    }


def _says_volume(first: Instance) -> bool:
    return bool(first.series_type or first.header.get("VolumeBasedCalculationTechnique"))


def _times(said: SeriesHeader, clock: Clock) -> dict[str, Any]:
    starts = [at for at in clock.acquired if at is not None]
    frames = [ms for one in said.slices if (ms := one.ActualFrameDuration) is not None and ms > 0]
    last_end = None
    if starts and frames:
        after_ms = max(frames)
        offsets_ms = [one.FrameReferenceTime for one in said.slices if one.FrameReferenceTime is not None]
        if len(set(starts)) == 1 and offsets_ms:
            # Some exports repeat one acquisition time while FrameReferenceTime grows from bed to bed.
            after_ms += max(offsets_ms) - min(offsets_ms)
        last_end = shifted(max(starts), after_ms / 1000)
    return {
        "series_at": clock.series,
        "first_frame_at": clock.earliest,
        "last_frame_end_at": last_end,
        "frame_min": tuple(sorted({frame_ms / 60_000 for frame_ms in frames})),
    }


def _pharmaceutical_codes(header: Mapping[str, Any]) -> tuple[str, ...]:
    items = header.get("RadiopharmaceuticalInformationSequence") or ()
    codes = (items[0].get("RadiopharmaceuticalCodeSequence") if items else None) or ()
    return tuple(value for code in codes if (value := text(code.get("CodeValue"))))


def fingerprint_of(facts: SubmissionFacts) -> str:
    """Return one digest of all that makes a reconstruction what it is, by which two scans are held together.

    Over maker, model, software, the maker's name of the method and what was read of it, matrix, pixel and distance of
    slices; lengths to a hundredth of a millimetre.
    """
    read = facts.reconstruction
    parts = [facts.Manufacturer, facts.ManufacturerModelName, facts.SoftwareVersions, facts.ReconstructionMethod]
    parts += [str(getattr(read, one.name)) for one in fields(read)]
    parts += [f"{facts.Rows}x{facts.Columns}", *(f"{size_mm:.2f}" for size_mm in facts.PixelSpacing)]
    parts += [f"{facts.step_mm:.2f}" if facts.step_mm is not None else ""]
    return hashlib.sha256("|".join(parts).encode()).hexdigest()
