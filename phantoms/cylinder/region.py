"""Where a cylinder is measured, and its sums slice by slice."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from phantoms import rois
from phantoms.cylinder_pose import CylinderPose, cylindrical, slice_heights_mm
from phantoms.errors import AnalysisRefused
from phantoms.results import QualityFlag
from phantoms.volume import PetVolume

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from phantoms import artefacts

EDGE_MARGIN_MM = 20.0  # EARL: at least 1.5 to 2 FWHM and not less than 20 mm from the wall and the ends
RING_WIDTH_MM = 10.0
CENTRE_RADIUS_MM = 20.0  # cupping compares this circle with the outermost ring of the region


class Region:
    """The measured region and its sums, slice by slice, in a box round the cylinder."""

    def __init__(self, volume: PetVolume, pose: CylinderPose) -> None:
        self.pose = pose
        self.radius_mm = pose.radius_mm - EDGE_MARGIN_MM
        self.volume = _box_round(volume, pose)
        self.scanner_lps_mm = volume.to_lps_mm((np.array(volume.image.shape) - 1) / 2)
        self.height_mm = slice_heights_mm(volume, pose.center_lps_mm, pose.axis)
        # A tilted slice reaches further along the axis at its rim than at its middle.
        reach_mm = np.abs(self.height_mm) + self.radius_mm * math.tan(math.radians(pose.tilt_deg))
        self.used = reach_mm <= pose.length_mm / 2 - EDGE_MARGIN_MM
        if self.used.sum() < 3:
            raise AnalysisRefused(
                "PHA-NOT-FOUND",
                f"The cylinder is too short to measure: {pose.length_mm:.0f} mm of it lie in the image, "
                f"and {EDGE_MARGIN_MM:.0f} mm at each end are left out.",
                next_step="Scan the whole phantom.",
            )
        #: Squared distance of the used slices' voxels from the axis.
        self.squared_mm2 = cylindrical(self.volume, pose.center_lps_mm, pose.axis)[1][self.used]
        self.step_mm = float(np.median(np.diff(self.height_mm)))
        count = len(self.height_mm)
        self.slice_mean, self.slice_cov_pct = np.full(count, np.nan), np.full(count, np.nan)
        self.is_complete = True
        total = weight = voxels = 0.0
        parts: list[tuple[int, float, float]] = []
        for k in range(count):
            roi = rois.section(self.volume, k, pose.center_lps_mm, pose.axis, self.radius_mm)
            values = roi.values(self.volume.image).astype(np.float64)
            inside = values[roi.weights >= 0.5]
            if inside.size < 2 or not roi.is_complete:
                self.is_complete &= not self.used[k]
                continue
            mean = roi.mean(self.volume.image)
            self.slice_mean[k] = mean
            if mean > 0:
                self.slice_cov_pct[k] = 100 * float(inside.std(ddof=1)) / mean
            if self.used[k]:
                total += float((roi.weights * values).sum())
                weight += float(roi.weights.sum())
                voxels += inside.size
                parts.append((inside.size, float(inside.mean()), float(inside.var())))
        self.mean = total / weight
        # About the mean of the whole voxels themselves: the region's counts cut voxels too, and is another number.
        middle = sum(number * mean for number, mean, _ in parts) / voxels
        squares = sum(number * (spread + (mean - middle) ** 2) for number, mean, spread in parts)
        variance = squares / (voxels - 1)
        self.cov_pct = 100 * math.sqrt(variance) / self.mean

    @property
    def cut(self) -> QualityFlag:
        """The flag of all that hangs on where the region lies: the image cuts it, or the wall that it is laid by."""
        whole = self.is_complete and not self.pose.is_cut_across
        return QualityFlag.NONE if whole else QualityFlag.OUTSIDE_IMAGE

    @property
    def deviation(self) -> NDArray[np.float64]:
        """Each slice's mean over the region's, less 1."""
        return np.asarray(self.slice_mean / self.mean - 1, dtype=np.float64)

    def slope_pct_per_cm(self) -> float:
        """Return the slope of a straight line through the slice means."""
        slope, _ = np.polyfit(self.height_mm[self.used], self.slice_mean[self.used], 1)
        return 1000 / self.mean * float(slope)

    def rings(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return the middle of each 10 mm ring out to the wall, and its mean in the used slices over the region's."""
        count = int(self.pose.radius_mm // RING_WIDTH_MM)
        ring = np.minimum(np.sqrt(self.squared_mm2) // RING_WIDTH_MM, count).astype(np.intp).ravel()
        values = self.volume.image[self.used].ravel()
        number = np.bincount(ring, minlength=count + 1)[:count]
        sums = np.bincount(ring, weights=values, minlength=count + 1)[:count]
        ratio: NDArray[np.float64] = np.where(number > 0, sums / np.maximum(number, 1) / self.mean, np.nan)
        middle = (np.arange(count, dtype=np.float64) + 0.5) * RING_WIDTH_MM
        return middle, ratio

    def cupping_pct(self, *, without: artefacts.Ring | None = None) -> float:
        """Return (centre - edge) / mean, a ring round the scanner's axis left out; 0 where none of one is left."""
        image, squared = self.volume.image[self.used], self.squared_mm2
        is_kept = np.ones(squared.shape, dtype=bool)
        if without is not None:
            x, y = self.scanner_axes_mm()
            is_kept &= np.abs(np.hypot(x[None, :], y[:, None]) - without.radius_mm) > without.width_mm
        edge_mm = self.radius_mm - RING_WIDTH_MM
        centre = image[is_kept & (squared < CENTRE_RADIUS_MM**2)]
        edge = image[is_kept & (squared < self.radius_mm**2) & (squared >= edge_mm**2)]
        if not centre.size or not edge.size:
            return 0.0
        return float(100 * (centre.mean(dtype=float) - edge.mean(dtype=float)) / self.mean)

    def scanner_axes_mm(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return how far each column (patient left) and row (posterior) lies from the scanner's axis."""
        affine, (rows, columns) = self.volume.affine_lps_mm, self.volume.image.shape[1:]
        x = affine[0, 3] + affine[0, 0] * np.arange(columns) - self.scanner_lps_mm[0]
        y = affine[1, 3] + affine[1, 1] * np.arange(rows) - self.scanner_lps_mm[1]
        return x, y


def _box_round(volume: PetVolume, pose: CylinderPose) -> PetVolume:
    """Cut the columns out that the cylinder may touch; all slices stay."""
    ends = pose.center_lps_mm + np.array([[-0.5], [0.5]]) * pose.length_mm * pose.axis
    index = volume.to_index_zyx(ends)
    reach = (pose.radius_mm + EDGE_MARGIN_MM) / np.array(volume.spacing_zyx_mm)
    low = np.clip(np.floor(index.min(axis=0) - reach), 0, None).astype(int)
    high = np.ceil(index.max(axis=0) + reach).astype(int) + 1
    affine = volume.affine_lps_mm.copy()
    affine[:3, 3] = volume.to_lps_mm(np.array([0.0, low[1], low[2]]))
    return PetVolume(volume.image[:, low[1] : high[1], low[2] : high[2]], affine, volume.unit)
