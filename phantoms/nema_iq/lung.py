"""The cold insert of the NEMA image-quality phantom, slice by slice."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from phantoms import findings, rois
from phantoms.results import QualityFlag

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from phantoms.localise import NemaPose
    from phantoms.volume import PetVolume

LUNG_ROI_DIAMETER_MM = 30.0
#: How near to the insert's ends a slice may lie, by edition of NEMA NU 2.
LUNG_EXCLUSION_MM = {"nu2_2018": 30.0, "nu2_2012": 10.0}


@dataclass(frozen=True)
class Lung:
    """Distance of each slice from the sphere plane along the axis, and the insert there, per cent of the background."""

    position_mm: NDArray[np.float64]
    residual_pct: NDArray[np.float64]
    flags: QualityFlag


def measure_lung(volume: PetVolume, pose: NemaPose, background: float, exclusion_mm: float) -> Lung:
    """Measure the cold insert on every slice that lies deep enough inside it."""
    if pose.lung_center_lps_mm is None:
        return Lung(np.empty(0), np.empty(0), QualityFlag.NOT_LOCALISED)
    normal = pose.axis if pose.tilt_deg > findings.STEEP_TILT_DEG else None
    foot = volume.to_index_zyx(pose.lung_center_lps_mm)
    step = (np.linalg.inv(volume.affine_lps_mm[:3, :3]) @ pose.axis)[::-1]
    along_mm = (np.arange(volume.image.shape[0]) - foot[0]) / step[0]
    deep = (along_mm >= pose.filled_mm[0] + exclusion_mm) & (along_mm <= pose.filled_mm[1] - exclusion_mm)
    centers = pose.lung_center_lps_mm + along_mm[deep, None] * pose.axis
    discs = rois.circles(volume, centers, LUNG_ROI_DIAMETER_MM / 2.0, normal) if deep.any() else []
    whole = [(mm, disc) for mm, disc in zip(along_mm[deep].tolist(), discs, strict=True) if disc.is_complete]
    positions_mm = np.array([mm for mm, _ in whole])
    residuals = np.array([100.0 * disc.mean(volume.image) / background for _, disc in whole])
    flags = QualityFlag.OUTSIDE_IMAGE if any(pose.is_cut) or not whole else QualityFlag.NONE
    return Lung(positions_mm, residuals, flags)
