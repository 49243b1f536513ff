"""What the headers of one scan say, as one frozen view that the rules read: no arrays, no files, no framework.

Made from the headers that `phantoms.dicom_series.read_scan` read already. Names are DICOM keywords; what was worked out
of several attributes has a name of its own. None, or an empty tuple, is what the headers do not say.
"""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import datetime, time
from statistics import median
from typing import TYPE_CHECKING, Any

from phantoms.nuclides import by_half_life, nuclide_name
from phantoms.suv.header import Injection, SeriesHeader, parse_datetime, parse_time
from phantoms.suv.reference import DAY_S, read_clock, shifted

if TYPE_CHECKING:
    from phantoms.dicom_series import Instance, Scan, Series

#: Below it RadionuclideTotalDose (0018,1074) was written in MBq and not in Bq. Source: IBSI SUV, v3.
MBQ_BELOW = 1e4


@dataclass(frozen=True, kw_only=True)
class Reconstruction:
    """How the images were reconstructed, read from the maker's words; None is what they do not say.

    ``family`` is the algorithm (``OSEM``, ``BSREM``, ``RAMLA``, ``FBP``, ``HYPER`` …); ``filter_axes`` is ``XYZ`` or
    ``XY`` where the filter's name says so; ``z_filter`` is GE's own code.
    """

    family: str | None = None
    has_tof: bool | None = None
    has_psf: bool | None = None
    iterations: int | None = None
    subsets: int | None = None
    beta: float | None = None
    filter_fwhm_mm: float | None = None
    filter_axes: str | None = None
    z_filter: str | None = None
    is_deep_learning: bool = False

    @property
    def words(self) -> str:
        """The reconstruction in words, but for its filter: ``OSEM with PSF and TOF, 3 iterations, 21 subsets``."""
        extras = [word for word, has in (("PSF", self.has_psf), ("TOF", self.has_tof)) if has]
        parts = [(self.family or "unnamed") + (f" with {' and '.join(extras)}" if extras else "")]
        parts += [
            f"{value:g} {name}"
            for value, name in ((self.iterations, "iterations"), (self.subsets, "subsets"))
            if value is not None
        ]
        parts += [f"β {self.beta:g}"] if self.beta is not None else []
        parts += ["deep learning"] if self.is_deep_learning else []
        return ", ".join(parts)


def filter_words(fwhm_mm: float, axes: str | None = None) -> str:
    """Return a post-filter in words: ``4 mm filter``, ``4 mm XY filter``, ``no filter``."""
    return " ".join(filter(None, (f"{fwhm_mm:g} mm", axes, "filter"))) if fwhm_mm else "no filter"


@dataclass(frozen=True, kw_only=True)
class Syringe:
    """What was measured of the syringe before and after an injection; the times are wall clock."""

    assayed_mbq: float
    assayed_at: datetime
    residual_mbq: float = 0.0
    residual_at: datetime | None = None

    def net_mbq(self, injected_at: datetime, half_life_s: float) -> float | None:
        """Return what was injected, decayed to the injection, MBq; None where the times are not of one day.

        ``A(t_inj) = A_pre · 2^(−(t_inj − t_pre)/T½) − A_post · 2^((t_post − t_inj)/T½)``
        """
        waited_s = (injected_at - self.assayed_at).total_seconds()
        left_s = ((self.residual_at or injected_at) - injected_at).total_seconds()
        if max(abs(waited_s), abs(left_s)) > DAY_S:
            return None
        decay, growth = math.exp2(-waited_s / half_life_s), math.exp2(left_s / half_life_s)
        return self.assayed_mbq * decay - self.residual_mbq * growth


@dataclass(frozen=True, kw_only=True)
class SubmissionFacts:
    """One scan: its files, the chosen series, the patient, the injection, the times, the geometry, how it was made.

    Attributes
    ----------
    files, unreadable_files, series, studies, patients : int
        Counted over the whole scan; ``patients`` counts different people without saying who they are.
    slices : int
        Files of the chosen series; 0 where none was chosen, and then everything below is empty.
    is_lossy, is_derived : bool
        Whether any slice was compressed with loss, or is called DERIVED.
    is_volume : bool or None
        False for projections, such as a turning picture of the body; None where the headers do not say.
    injections : tuple of Injection
        The items of RadiopharmaceuticalInformationSequence (0054,0016).
    pharmaceutical_codes : tuple of str
        The codes of RadiopharmaceuticalCodeSequence (0054,0304) of the first injection.
    series_at, first_frame_at, last_frame_end_at : datetime or None
        Wall clock of the scanner. The last two bound what the images of this series show.
    frame_min : tuple of float
        The different durations of frames, minutes, shortest first.
    positions_mm : tuple of float
        Heights of the slices along the normal of their plane, ascending.
    is_axial : bool or None
        Whether all planes are transverse and alike; None where a slice does not say.
    syringe : Syringe or None
        What GE's console was told of the syringe.
    """

    # The files.
    files: int = 0
    unreadable_files: int = 0
    series: int = 0
    studies: int = 0
    patients: int = 0
    # What the chosen series is.
    slices: int = 0
    SeriesInstanceUID: str = ""
    ImageType: tuple[str, ...] = ()
    is_lossy: bool = False
    is_derived: bool = False
    is_volume: bool | None = None
    DecayCorrection: str | None = None
    CorrectedImage: tuple[str, ...] = ()
    LongitudinalTemporalInformationModified: str | None = None
    # The scanner and how the images were made.
    Manufacturer: str = ""
    ManufacturerModelName: str = ""
    DeviceSerialNumber: str = ""
    SoftwareVersions: str = ""
    ReconstructionMethod: str = ""
    ConvolutionKernel: str = ""
    reconstruction: Reconstruction = Reconstruction()
    # The patient.
    PatientWeight: float | None = None
    # The injection.
    injections: tuple[Injection, ...] = ()
    pharmaceutical_codes: tuple[str, ...] = ()
    syringe: Syringe | None = None
    # The times.
    series_at: datetime | None = None
    first_frame_at: datetime | None = None
    last_frame_end_at: datetime | None = None
    frame_min: tuple[float, ...] = ()
    # The geometry.
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
        return tuple(b - a for a, b in zip(self.positions_mm, self.positions_mm[1:], strict=False))

    @property
    def step_mm(self) -> float | None:
        """The usual distance of slices; the thickness of a single one."""
        return median(self.steps_mm) if self.steps_mm else self.SliceThickness

    @property
    def coverage_mm(self) -> float | None:
        """How far the slices reach, edge to edge."""
        if not self.positions_mm or self.step_mm is None:
            return None
        return self.positions_mm[-1] - self.positions_mm[0] + self.step_mm

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
    instances = [instance for one in scan.series for instance in one.instances]
    about_files: dict[str, Any] = {
        "files": len(instances) + len(scan.ignored),
        "unreadable_files": sum(not ignored.is_dicom for ignored in scan.ignored),
        "series": len(scan.series),
        "studies": len({instance.facts.study_instance_uid for instance in instances}),
        "patients": len({instance.facts.patient_identity for instance in instances}),
    }
    if series is None:
        return SubmissionFacts(**about_files)
    first, said = series.instances[0], series.header
    header: Mapping[str, Any] = first.header
    return SubmissionFacts(
        **about_files,
        slices=series.slices,
        SeriesInstanceUID=series.series_instance_uid,
        ImageType=first.facts.image_type,
        is_lossy=any(instance.facts.is_lossy for instance in series.instances),
        is_derived=said.is_derived,
        is_volume=series.is_volume if _says_volume(first) else None,
        DecayCorrection=said.DecayCorrection,
        CorrectedImage=said.CorrectedImage,
        LongitudinalTemporalInformationModified=_text(header, "LongitudinalTemporalInformationModified") or None,
        Manufacturer=first.facts.manufacturer,
        ManufacturerModelName=first.facts.model,
        DeviceSerialNumber=first.facts.device_serial_number,
        SoftwareVersions=first.facts.software_versions,
        ReconstructionMethod=first.facts.reconstruction_method,
        ConvolutionKernel=_text(header, "ConvolutionKernel"),
        reconstruction=read_reconstruction(
            first.facts.manufacturer,
            first.facts.reconstruction_method,
            _text(header, "ConvolutionKernel"),
            ge={name: _number(header.get(f"GE{name}")) for name in GE_RECONSTRUCTION},
        ),
        PatientWeight=said.PatientWeight,
        injections=said.injections,
        pharmaceutical_codes=_pharmaceutical_codes(header),
        syringe=_ge_syringe(header),
        **_times(said),
        Rows=first.rows,
        Columns=first.columns,
        PixelSpacing=first.pixel_spacing_mm,
        SliceThickness=first.slice_thickness_mm,
        NumberOfSlices=said.NumberOfSlices or (first.frames if first.frames > 1 else None),
        NumberOfTimeSlices=first.time_slices,
        **_heights(series.instances),
    )


def _says_volume(first: Instance) -> bool:
    return bool(first.series_type or first.header.get("VolumeBasedCalculationTechnique"))


def _times(said: SeriesHeader) -> dict[str, Any]:
    clock = read_clock(said)
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


_ALIGNED = 1e-3  # direction cosines written with few digits differ by less
_FARTHEST_MM = 1e5  # a slice that lies farther off lies nowhere


def _heights(instances: Sequence[Instance]) -> dict[str, Any]:
    heights = [instance.facts.position_mm for instance in instances]
    orientations = [instance.orientation for instance in instances]
    is_axial: bool | None = None
    if all(orientations):
        axial = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)
        is_axial = all(
            abs(abs(given) - wanted) <= _ALIGNED
            for orientation in set(orientations)
            for given, wanted in zip(orientation, axial, strict=True)
        )
    known = [height for height in heights if height is not None and abs(height) <= _FARTHEST_MM]
    return {"positions_mm": tuple(sorted(known)) if len(known) == len(heights) else (), "is_axial": is_axial}


def _pharmaceutical_codes(header: Mapping[str, Any]) -> tuple[str, ...]:
    items = header.get("RadiopharmaceuticalInformationSequence") or ()
    codes = (items[0].get("RadiopharmaceuticalCodeSequence") if items else None) or ()
    return tuple(text for code in codes if (text := _text(code, "CodeValue")))


def _ge_syringe(header: Mapping[str, Any]) -> Syringe | None:
    """Return what GE's console was told of the syringe, (0009,xx38) to (0009,xx3D) of the block GEMS_PETD_01."""
    assayed, assayed_at = _number(header.get("GETracerActivity")), parse_datetime(_text(header, "GEMeasuredDateTime"))
    if not assayed or assayed < 0 or assayed_at is None:
        return None
    residual = _number(header.get("GEPostInjectionActivity")) or 0.0
    per_mbq = 1.0 if assayed < MBQ_BELOW else 1e6
    return Syringe(
        assayed_mbq=assayed / per_mbq,
        assayed_at=assayed_at,
        residual_mbq=residual / per_mbq,
        residual_at=parse_datetime(_text(header, "GEPostInjectionDateTime")),
    )


def _text(header: Mapping[str, Any], keyword: str) -> str:
    value = header.get(keyword)
    if value is None:
        return ""
    return "\\".join(map(str, value)) if isinstance(value, tuple) else str(value).strip()


def _number(value: Any) -> float | None:
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None


# --- the reconstruction ---------------------------------------------------------------------------------------------

#: GE's own elements of the block GEMS_PETD_01 that a reconstruction is read from: (0009,xxB2) and following.
GE_RECONSTRUCTION = ("Iterations", "Subsets", "PostFilter", "PostFilterFWHM", "Regularize", "Beta", "ZFilter")
_COUNTS = re.compile(r"(\d+)\s*i\s*(\d+)\s*s", re.IGNORECASE)
_GAUSS = re.compile(r"GAUSS(?:IAN)?\s*(\d+(?:\.\d+)?)", re.IGNORECASE)
_AXES = re.compile(r"^(XYZ?)(?=GAUSS)")
_BETA = re.compile(r"(?:\bBETA|Β)\s*=?\s*(\d+(?:\.\d+)?)")  # the capital of β, for the words are upper case
_GE_NAME = re.compile(r"^(VP|QC)(HD|FX)(S?)\b", re.IGNORECASE)
_DEEP_LEARNING = re.compile(r"DEEP|\bDPR\b|\bDLR?\b|PRECISION|AICE", re.IGNORECASE)
_FAMILIES = (
    ("BLOB-OS", "BLOB-OS"),
    ("RAMLA", "RAMLA"),
    ("HYPER", "HYPER"),
    ("BSREM", "BSREM"),
    ("Q.CLEAR", "BSREM"),
    ("QCLEAR", "BSREM"),
    ("FBP", "FBP"),
    ("FILTERED", "FBP"),
    ("3D IR", "OSEM"),
    ("OSEM", "OSEM"),
)


def read_reconstruction(
    manufacturer: str, method: str, kernel: str = "", *, ge: Mapping[str, float | None] | None = None
) -> Reconstruction:
    """Read how images were reconstructed from the maker's words.

    Parameters
    ----------
    manufacturer, method, kernel : str
        Manufacturer (0008,0070), ReconstructionMethod (0054,1103), ConvolutionKernel (0018,1210).
    ge : mapping, optional
        GE's private values by the names of `GE_RECONSTRUCTION`.

    Notes
    -----
    Siemens writes ``PSF+TOF 3i21s``, where TrueX is PSF too and a name with neither has neither. GE writes ``VPFXS``:
    VP is OSEM and QC is penalised (Q.Clear), FX has TOF and HD has not, S has PSF (SharpIR); Q.Clear always has PSF.
    Philips and others leave iterations and subsets out, so these stay None. A registered method may name Q.Clear's
    penalty as words, ``QCFX β 350``; the images carry it privately.
    """
    if not method:
        return Reconstruction(filter_fwhm_mm=_filter_mm(kernel), filter_axes=_filter_axes(kernel))
    words = method.upper().replace("_", " ")
    maker = manufacturer.upper()
    private = ge or {}
    counts = _COUNTS.search(words)
    iterations, subsets = (int(counts[1]), int(counts[2])) if counts else (None, None)
    family = next((family for word, family in _FAMILIES if word in words), None)
    has_psf, has_tof = "PSF" in words or "TRUEX" in words, "TOF" in words or "-TF" in words
    written_beta = _BETA.search(words)
    filter_mm, beta, z_filter = _filter_mm(kernel), float(written_beta[1]) if written_beta else None, None
    named = _GE_NAME.match(method.strip()) if maker.startswith("GE") else None
    if named:
        is_penalised = named[1].upper() == "QC"
        family = "BSREM" if is_penalised else "OSEM"
        has_tof, has_psf = named[2].upper() == "FX", is_penalised or bool(named[3])
    if maker.startswith("GE"):
        # A registered method is words alone; the images' own counts are private.
        iterations = _whole(private.get("Iterations")) or iterations
        subsets = _whole(private.get("Subsets")) or subsets
        beta = private.get("Beta") if private.get("Regularize") else beta
        if filter_mm is None and private.get("PostFilter") is not None:
            filter_mm = private.get("PostFilterFWHM") if private["PostFilter"] else 0.0
        z_filter = f"{z:g}" if (z := private.get("ZFilter")) is not None else None
    elif maker.startswith("SIEMENS") and family is None and (counts or has_psf or has_tof):
        family = "OSEM"  # PSF+TOF and TrueX are Siemens' names of OSEM with them
    return Reconstruction(
        family=family,
        has_tof=has_tof,
        has_psf=has_psf,
        iterations=iterations,
        subsets=subsets,
        beta=beta,
        filter_fwhm_mm=filter_mm,
        filter_axes=_filter_axes(kernel),
        z_filter=z_filter,
        is_deep_learning=bool(_DEEP_LEARNING.search(words)),
    )


def _filter_axes(kernel: str) -> str | None:
    """Return along which axes the filter of a ConvolutionKernel smooths, where its name says so: ``XYZ`` or ``XY``."""
    named = _AXES.search(_joined(kernel))
    return named[1] if named else None


def _joined(kernel: str) -> str:
    return re.sub(r"[-_\s]", "", kernel.upper())


def _filter_mm(kernel: str) -> float | None:
    """Return the width of the filter that a ConvolutionKernel names, millimetres; 0 for none (``All-pass``)."""
    words = _joined(kernel)
    if words in {"ALLPASS", "NONE"}:
        return 0.0
    width = _GAUSS.search(words)
    return float(width[1]) if width else None


def _whole(value: float | None) -> int | None:
    return int(value) if value else None


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
