"""What the headers of the CT images say that came with a PET scan."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from phantoms.dicom_series.values import number, numbers, text
from qc.facts.identity import distinct, distinct_texts
from qc.facts.slices import coverage_mm, heights_mm, is_axial

if TYPE_CHECKING:
    from phantoms.dicom_series.scan import Other

#: The least and the greatest over the slices; None where no slice says.
Range = tuple[float, float] | None


@dataclass(frozen=True, kw_only=True)
class CtSeries:
    """One series of CT images, for ING-09 and the rules that each attribute names.

    Attributes
    ----------
    SeriesInstanceUID : str
        (0020,000E), for ING-09.
    slices : int
        Different objects of the series, for ING-09.
    ImageType : tuple of str
        (0008,0008), by which a scout is told from slices, for ING-09 and ING-11.
    FrameOfReferenceUID : tuple of str
        (0020,0052), each that is there, for ING-08 and CT-02.
    positions_mm : tuple of float
        Heights along the normal of the plane, ascending, for CT-02 and ACQ-03.
    SliceThickness : float or None
        (0018,0050), millimetres, for CT-02.
    is_axial : bool or None
        Whether all planes are transverse, for ING-08.
    first_frame_at : datetime or None
        The earliest acquisition, wall clock, for DEID-03: dates of PET and CT are shifted alike.
    KVP : tuple of float or None
        (0018,0060), kV, for CT-01.
    ExposureTime, XRayTubeCurrent, Exposure : tuple of float or None
        (0018,1150) ms, (0018,1151) mA and (0018,1152) mAs, for CT-01.
    ReconstructionDiameter : tuple of float or None
        (0018,1100), millimetres, for ACQ-04.
    ContrastBolusAgent : tuple of str
        (0018,0010), for CT-04.
    is_lossy : bool
        Whether any slice was compressed with loss, for ING-10.
    """

    SeriesInstanceUID: str
    slices: int
    ImageType: tuple[str, ...] = ()
    FrameOfReferenceUID: tuple[str, ...] = ()
    positions_mm: tuple[float, ...] = ()
    SliceThickness: float | None = None
    is_axial: bool | None = None
    first_frame_at: datetime | None = None
    KVP: Range = None
    ExposureTime: Range = None
    XRayTubeCurrent: Range = None
    Exposure: Range = None
    ReconstructionDiameter: Range = None
    ContrastBolusAgent: tuple[str, ...] = ()
    is_lossy: bool = False

    @property
    def is_scout(self) -> bool:
        """Whether it is the view by which the scan is planned, and no slices."""
        return "LOCALIZER" in self.ImageType

    @property
    def coverage_mm(self) -> float | None:
        """How far the slices reach, edge to edge."""
        return coverage_mm(self.positions_mm, self.SliceThickness)


def ct_series_of(others: Iterable[Other]) -> tuple[CtSeries, ...]:
    """Return the CT series, in the order of their numbers; a copy of a slice does not count."""
    by_series: dict[str, dict[str, Other]] = {}
    for other in others:
        if other.facts.modality == "CT":
            by_series.setdefault(other.facts.series_instance_uid, {}).setdefault(other.facts.sop_instance_uid, other)
    found = [list(one.values()) for one in by_series.values()]
    found.sort(key=lambda slices: (slices[0].facts.series_number or 0, slices[0].facts.series_instance_uid))
    return tuple(map(_series, found))


def _series(slices: Sequence[Other]) -> CtSeries:
    first = slices[0]
    headers = [one.header for one in slices]
    times = [one.facts.scan_at for one in slices if one.facts.scan_at is not None]
    return CtSeries(
        SeriesInstanceUID=first.facts.series_instance_uid,
        slices=len(slices),
        ImageType=first.facts.image_type,
        FrameOfReferenceUID=distinct_texts(headers, "FrameOfReferenceUID"),
        positions_mm=heights_mm([one.facts.position_mm for one in slices]),
        SliceThickness=number(first.header.get("SliceThickness")),
        is_axial=is_axial(numbers(header.get("ImageOrientationPatient"), 6) for header in headers),
        first_frame_at=min(times, default=None),
        KVP=_range(headers, "KVP"),
        ExposureTime=_range(headers, "ExposureTime"),
        XRayTubeCurrent=_range(headers, "XRayTubeCurrent"),
        Exposure=_range(headers, "Exposure"),
        ReconstructionDiameter=_range(headers, "ReconstructionDiameter"),
        ContrastBolusAgent=tuple(filter(None, map(text, distinct(headers, "ContrastBolusAgent")))),
        is_lossy=any(one.facts.is_lossy for one in slices),
    )


def _range(headers: Sequence[Mapping[str, Any]], keyword: str) -> Range:
    values = {value for header in headers if (value := number(header.get(keyword))) is not None}
    return (min(values), max(values)) if values else None
