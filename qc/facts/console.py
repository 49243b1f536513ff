"""What GE's console wrote in its private block GEMS_PETD_01, found through its creator."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from phantoms.dicom_series.values import number, text
from phantoms.suv.header import parse_datetime
from phantoms.suv.reference import DAY_S

#: Below it RadionuclideTotalDose (0018,1074) was written in MBq and not in Bq. Source: IBSI SUV, v3.
MBQ_BELOW = 1e4


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
class GEConsole:
    """What the console wrote of one scan; times are wall clock. Where no unit is named, GE names none.

    Attributes
    ----------
    tracer : str
        (0009,xx36), for INJ-01.
    administered_at : datetime or None
        (0009,xx3B), for INJ-05.
    half_life_s : float or None
        (0009,xx3F), for INJ-02.
    acquired_at : datetime or None
        (0009,xx6C), for TIM-01.
    acquisition_duration : float or None
        (0009,xx6D), for ACQ-01.
    reconstruction_diameter : float or None
        (0009,xxB4), for ACQ-04.
    loop_filter, loop_filter_parameter, loop_filter_width : float or None
        (0009,xxB6), (0009,xxB8) and (0009,xxD5), for REC-04.
    scatter_method : float or None
        (0009,xxC3), for REC-02.
    overlap_slices : int or None
        Slices that two beds share, (0009,xxC7), for ACQ-02.
    z_filter_ratio : float or None
        (0009,xxDC), for REC-04.
    protocol : str
        (0009,xxE4), for REC-03.
    """

    tracer: str = ""
    administered_at: datetime | None = None
    half_life_s: float | None = None
    acquired_at: datetime | None = None
    acquisition_duration: float | None = None
    reconstruction_diameter: float | None = None
    loop_filter: float | None = None
    loop_filter_parameter: float | None = None
    loop_filter_width: float | None = None
    scatter_method: float | None = None
    overlap_slices: int | None = None
    z_filter_ratio: float | None = None
    protocol: str = ""


def read_console(header: Mapping[str, Any]) -> GEConsole | None:
    """Return what GE's console wrote; None where it wrote nothing of it."""
    overlap = number(header.get("GEOverlap"))
    read = GEConsole(
        tracer=text(header.get("GETracerName")),
        administered_at=parse_datetime(text(header.get("GEAdministrationDateTime"))),
        half_life_s=number(header.get("GEHalfLife")),
        acquired_at=parse_datetime(text(header.get("GEAcquisitionDateTime"))),
        acquisition_duration=number(header.get("GEAcquisitionDuration")),
        reconstruction_diameter=number(header.get("GEReconstructionDiameter")),
        loop_filter=number(header.get("GELoopFilter")),
        loop_filter_parameter=number(header.get("GELoopFilterParameter")),
        loop_filter_width=number(header.get("GELoopFilterWidth")),
        scatter_method=number(header.get("GEScatterMethod")),
        overlap_slices=None if overlap is None else int(overlap),
        z_filter_ratio=number(header.get("GEZFilterRatio")),
        protocol=text(header.get("GEReconstructionProtocol")),
    )
    return None if read == GEConsole() else read


def read_syringe(header: Mapping[str, Any]) -> Syringe | None:
    """Return what the console was told of the syringe, (0009,xx38) to (0009,xx3D); None where it was told nothing."""
    assayed = number(header.get("GETracerActivity"))
    assayed_at = parse_datetime(text(header.get("GEMeasuredDateTime")))
    if not assayed or assayed < 0 or assayed_at is None:
        return None
    residual = number(header.get("GEPostInjectionActivity")) or 0.0
    per_mbq = 1.0 if assayed < MBQ_BELOW else 1e6
    return Syringe(
        assayed_mbq=assayed / per_mbq,
        assayed_at=assayed_at,
        residual_mbq=residual / per_mbq,
        residual_at=parse_datetime(text(header.get("GEPostInjectionDateTime"))),
    )
