"""A scan on which every rule passes, and how one thing of it is changed."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, datetime, timedelta
from typing import Any

from phantoms.errors import AnalysisRefused
from phantoms.suv import Injection, SuvResult, Warned
from qc import protocols
from qc.conformance import Inputs
from qc.facts import SubmissionFacts, read_reconstruction
from qc.protocols import ClearanceSpan, Profile, Registered, ScanDayValues

SCANNED_ON = date(2026, 3, 2)
INJECTED_AT = datetime(2026, 3, 2, 9, 30)
FIRST_FRAME_AT = INJECTED_AT + timedelta(minutes=60)
SLICES = 300

FACTS = SubmissionFacts(
    files=SLICES,
    series=1,
    studies=1,
    patients=1,
    slices=SLICES,
    SeriesInstanceUID="1.2.3",
    ImageType=("ORIGINAL", "PRIMARY"),
    is_volume=True,
    DecayCorrection="START",
    CorrectedImage=("NORM", "DTIM", "ATTN", "SCAT", "DECY", "RAN"),
    Manufacturer="SIEMENS",
    ManufacturerModelName="Vision 600",
    DeviceSerialNumber="60421",
    SoftwareVersions="VG80B",
    ReconstructionMethod="PSF+TOF 4i5s",
    ConvolutionKernel="XYZ Gauss2.00",
    reconstruction=read_reconstruction("SIEMENS", "PSF+TOF 4i5s", "XYZ Gauss2.00"),
    PatientWeight=75.0,
    injections=(
        Injection(
            Radiopharmaceutical="FDG",
            RadionuclideTotalDose=290e6,
            RadionuclideHalfLife=6586.2,
            RadiopharmaceuticalStartTime="093000",
            RadiopharmaceuticalStartDateTime="20260302093000",
            nuclide_code="C-111A1",
        ),
    ),
    series_at=FIRST_FRAME_AT,
    first_frame_at=FIRST_FRAME_AT,
    last_frame_end_at=FIRST_FRAME_AT + timedelta(minutes=16),
    frame_min=(2.0,),
    Rows=220,
    Columns=220,
    PixelSpacing=(3.3, 3.3),
    SliceThickness=3.0,
    NumberOfSlices=SLICES,
    positions_mm=tuple(3.0 * k for k in range(SLICES)),
    is_axial=True,
)
SUV = SuvResult(
    factor_g_per_bq=3.8e-4,
    reference_time=FIRST_FRAME_AT,
    administration_time=INJECTED_AT,
    nuclide="F-18",
)
VALUES = ScanDayValues(
    weight_kg=75.0,
    height_m=1.78,
    injected_mbq=295.0,
    injected_at=INJECTED_AT,
    residual_mbq=5.0,
    residual_at=INJECTED_AT,
    glucose_mmol_l=5.4,
    fasting_h=6.0,
)
PROFILE = Profile(
    name="PSF+TOF 2 mm",
    method="PSF+TOF 4i5s",
    kernel="XYZ Gauss2.00",
    filter_fwhm_mm=2.0,
    matrix=220,
    pixel_mm=3.3,
    slice_mm=3.0,
)
CLEARANCE = ClearanceSpan(
    reconstruction="PSF+TOF 2 mm",
    tracer="F-18",
    standard="earl2_18f",
    trial="TRIAL-1",
    certificate="PET-2026-0001",
    from_on=date(2026, 1, 1),
    until_on=date(2026, 12, 31),
)
REGISTERED = Registered(
    manufacturer="Siemens Healthineers",
    model="Vision 600",
    serial="60421",
    software="VG80B",
    reconstructions=(PROFILE,),
    clearances=(CLEARANCE,),
)
GOOD = Inputs(
    facts=FACTS,
    suv=SUV,
    protocol=protocols.parse(protocols.TEMPLATES["lymphoma"]),
    values=VALUES,
    registered=REGISTERED,
    has_register=True,
    profile=PROFILE,
    clearances=(CLEARANCE,),
    scanned_on=SCANNED_ON,
    trial="TRIAL-1",
    standard="earl2_18f",
)


def facts(base: Inputs = GOOD, **changed: Any) -> Inputs:
    """Return the scan with other facts."""
    return replace(base, facts=replace(base.facts, **changed))


def injected(**changed: Any) -> Inputs:
    """Return the scan with another injection in its headers."""
    return facts(injections=(replace(FACTS.injections[0], **changed),))


def values(**changed: Any) -> Inputs:
    """Return the scan with other values of the site."""
    return replace(GOOD, values=replace(VALUES, **changed))


def with_suv(**changed: Any) -> Inputs:
    """Return the scan with another SUV."""
    return replace(GOOD, suv=replace(SUV, **changed))


def registered(**changed: Any) -> Inputs:
    """Return the scan with another entry of its scanner in the register."""
    return replace(GOOD, registered=replace(REGISTERED, **changed))


def profile(**changed: Any) -> Inputs:
    """Return the scan held to another reconstruction."""
    return replace(GOOD, profile=replace(PROFILE, **changed))


def waited(minutes: float) -> Inputs:
    """Return the scan begun so many minutes after the injection."""
    start = INJECTED_AT + timedelta(minutes=minutes)
    return facts(first_frame_at=start, last_frame_end_at=start + timedelta(minutes=16))


def made_by(method: str, kernel: str = "XYZ Gauss2.00") -> Inputs:
    """Return the scan reconstructed in another way."""
    read = read_reconstruction("SIEMENS", method, kernel)
    return facts(ReconstructionMethod=method, ConvolutionKernel=kernel, reconstruction=read)


NO_SERIES = replace(GOOD, facts=SubmissionFacts(files=90, series=2, studies=1, patients=1), suv=None)
NOTHING = replace(GOOD, facts=SubmissionFacts(), suv=None)
WITHOUT_REGISTER = replace(GOOD, registered=None, has_register=False, profile=None, clearances=None)
WITHOUT_PROTOCOL = replace(GOOD, protocol=None)
REFUSED = with_suv(factor_g_per_bq=None, refused=AnalysisRefused("SUV-UNITS", "Pixel values in CNTS.", "(0054,1001)"))
MOVED_DATE = with_suv(warnings=(Warned("AD-01", "Injection and scan are 1 day apart in the files (0018,1078)."),))
