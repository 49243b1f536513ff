"""What is written beside the image: the headers of a scanner and the activity sheet of a site, on one clock."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping

SCANNED_AT = datetime(2026, 3, 2, 10, 30)

# What a scanner writes; written here again, not taken from phantoms.suv, so that the answer key leans on nothing
# that it checks.
HALF_LIFE_S = {"F-18": 6586.2, "Ga-68": 4062.6, "Zr-89": 282276.0, "Ge-68": 2.341e7}
_POSITRON_FRACTION = {"F-18": 0.967, "Ga-68": 0.889, "Zr-89": 0.228, "Ge-68": 0.889}
_NUCLIDE_CODE = {"F-18": "C-111A1", "Ga-68": "C-131A3", "Zr-89": "C-168A4", "Ge-68": "C-128A2"}


@dataclass(frozen=True)
class Times:
    """Clock of one scan: the decay reference is the start of the first bed."""

    scanned_at: datetime
    frame_s: float
    half_life_s: float
    lead_s: float = 4800.0

    @property
    def drawn_at(self) -> datetime:
        """When the activity was drawn up and assayed."""
        return self.scanned_at - timedelta(seconds=self.lead_s)

    @property
    def decay_since_draw(self) -> float:
        """Activity at the scan over that at the draw."""
        return self.decay(self.lead_s)

    @property
    def in_frame_factor(self) -> float:
        """Decay during the frame: activity at its start over its mean."""
        exponent = np.log(2) * self.frame_s / self.half_life_s
        return float(exponent / -np.expm1(-exponent))

    def decay(self, seconds: float) -> float:
        """Return what is left after so long."""
        return float(2.0 ** (-seconds / self.half_life_s))


def fill_of(what: str, concentration_bqml: float, volume_ml: float, times: Times) -> dict[str, Any]:
    """Return what the site wrote down: 2 % of the draw stays in the syringe, measured four minutes later."""
    left = 0.02
    residual_s = 240.0
    remaining = times.decay_since_draw - left * times.decay(times.lead_s - residual_s)
    activity_mbq = concentration_bqml * volume_ml / 1e6 / remaining
    return {
        "what": what,
        "activity_mbq": round(activity_mbq, 9),
        "assayed_at": times.drawn_at.isoformat(),
        "residual_mbq": round(left * activity_mbq, 9),
        "residual_at": (times.drawn_at + timedelta(seconds=residual_s)).isoformat(),
        "volume_ml": volume_ml,
    }


def sealed_fill_of(what: str, concentration_bqml: float, volume_ml: float, times: Times) -> dict[str, Any]:
    """Return what stands on the certificate of a sealed source."""
    activity_mbq = concentration_bqml * volume_ml / 1e6 / times.decay_since_draw
    return {
        "what": what,
        "activity_mbq": round(activity_mbq, 9),
        "assayed_at": times.drawn_at.isoformat(),
        "volume_ml": volume_ml,
        "sealed": True,
    }


def sheet_of(nuclide: str, *fills: dict[str, Any]) -> dict[str, Any]:
    """Return the activity sheet in the form of ``sheet.json``."""
    return {"nuclide": nuclide, "time_zone": "Europe/London", "header_dose": "real", "fills": list(fills)}


def net_dose_bq(fill: Mapping[str, Any], times: Times) -> float:
    """Activity in the phantom, decay-corrected to the draw, becquerel."""
    if fill.get("sealed"):
        return float(fill["activity_mbq"] * 1e6)
    waited = datetime.fromisoformat(fill["residual_at"]) - datetime.fromisoformat(fill["assayed_at"])
    net_mbq = fill["activity_mbq"] - fill["residual_mbq"] / times.decay(waited.total_seconds())
    return float(net_mbq * 1e6)


def header_of(
    times: Times, nuclide: str, slices: int, *, beds: int, dose_bq: float, weight_kg: float | None
) -> tuple[dict[str, Any], tuple[dict[str, Any], ...]]:
    """Return the attributes of the series and of each slice, as a Siemens scanner writes them (decay START)."""
    drawn_at, started_at = times.drawn_at, times.scanned_at
    attributes: dict[str, Any] = {
        "Modality": "PT",
        "ImageType": ["ORIGINAL", "PRIMARY"],
        "Manufacturer": "SIEMENS",
        "ManufacturerModelName": "Digital PET",
        "DeviceSerialNumber": "1",
        "SoftwareVersions": "1",
        "PatientName": "Digital",
        "PatientID": "DIGITAL",
        "PatientPosition": "HFS",
        "StudyDate": started_at.strftime("%Y%m%d"),
        "StudyTime": started_at.strftime("%H%M%S"),
        "SeriesDate": started_at.strftime("%Y%m%d"),
        "SeriesTime": started_at.strftime("%H%M%S"),
        "SeriesType": ["STATIC", "IMAGE"],
        "CountsSource": "EMISSION",
        "Units": "BQML",
        "DecayCorrection": "START",
        "CorrectedImage": ["NORM", "DTIM", "ATTN", "SCAT", "DECY", "RAN"],
        "RandomsCorrectionMethod": "DLYD",
        "AttenuationCorrectionMethod": "measured,AC CT",
        "ScatterCorrectionMethod": "Model-based",
        "ReconstructionMethod": "PSF+TOF 3i21s",
        "ConvolutionKernel": "XYZ Gauss4.00",
        "NumberOfSlices": slices,
        "ActualFrameDuration": round(times.frame_s * 1000),
        "RadiopharmaceuticalInformationSequence": [
            {
                "Radiopharmaceutical": "Solution",
                "RadiopharmaceuticalStartTime": drawn_at.strftime("%H%M%S"),
                "RadiopharmaceuticalStartDateTime": drawn_at.strftime("%Y%m%d%H%M%S"),
                "RadionuclideTotalDose": round(dose_bq),
                "RadionuclideHalfLife": times.half_life_s,
                "RadionuclidePositronFraction": _POSITRON_FRACTION[nuclide],
                "RadionuclideCodeSequence": [
                    {"CodeValue": _NUCLIDE_CODE[nuclide], "CodingSchemeDesignator": "SRT", "CodeMeaning": nuclide}
                ],
            }
        ],
    }
    if weight_kg is not None:
        attributes["PatientWeight"] = round(weight_kg, 4)
    by_slice = []
    mean_s = np.log(times.in_frame_factor) * times.half_life_s / np.log(2)
    for k in range(slices):
        waited_s = times.frame_s * (k * beds // slices)
        acquired_at = started_at + timedelta(seconds=waited_s)
        by_slice.append(
            {
                "AcquisitionDate": acquired_at.strftime("%Y%m%d"),
                "AcquisitionTime": acquired_at.strftime("%H%M%S"),
                "FrameReferenceTime": round(1000 * (waited_s + mean_s)),
                "DecayFactor": round(times.in_frame_factor / times.decay(waited_s), 6),
            }
        )
    return attributes, tuple(by_slice)
