"""How the numbers of a cylinder scatter, from the noise of the image itself."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from phantoms.cylinder.region import CENTRE_RADIUS_MM, RING_WIDTH_MM
from phantoms.voxel_noise import VoxelNoise

if TYPE_CHECKING:
    from phantoms.cylinder.region import Region


class Noise:
    """How the region's means scatter: `phantoms.voxel_noise` in the largest box inside the region."""

    def __init__(self, region: Region) -> None:
        self.region = region
        middle = region.volume.to_index_zyx(region.pose.center_lps_mm)
        half = region.radius_mm / math.sqrt(2) / np.array(region.volume.spacing_zyx_mm)
        rows, columns = (
            slice(max(0, math.ceil(middle[axis] - half[axis])), math.floor(middle[axis] + half[axis]) + 1)
            for axis in (1, 2)
        )
        noise = VoxelNoise.of(region.volume.image[region.used, rows, columns], region.volume.spacing_zyx_mm)
        self.variance, self.correlation = noise.variance, noise.correlation
        self.length_mm, self.squared_length_mm = noise.length_mm, noise.squared_length_mm
        self.section_mm2 = math.pi * region.radius_mm**2
        self.depth_mm = float(region.used.sum()) * region.step_mm

    def mean_sd(self) -> float:
        """Return the SD of the region's mean."""
        return math.sqrt(self.variance * math.prod(self.length_mm) / (self.section_mm2 * self.depth_mm))

    def slice_mean_sd(self) -> float:
        """Return the SD of one slice's mean."""
        return math.sqrt(self.variance * self.length_mm[1] * self.length_mm[2] / self.section_mm2)

    def slope_sd_pct_per_cm(self) -> float:
        """Return the SD of the slope of the slice means."""
        height = self.region.height_mm[self.region.used]
        spread = float(((height - height.mean()) ** 2).sum()) * self.region.step_mm / self.length_mm[0]
        return 1000 / self.region.mean * self.slice_mean_sd() / math.sqrt(spread)

    def cupping_sd_pct(self) -> float:
        """Return the SD of the difference of centre and edge."""
        edge_mm2 = math.pi * (self.region.radius_mm**2 - (self.region.radius_mm - RING_WIDTH_MM) ** 2)
        per_mm2 = 1 / (math.pi * CENTRE_RADIUS_MM**2) + 1 / edge_mm2
        variance = self.variance * math.prod(self.length_mm) / self.depth_mm * per_mm2
        return 100 / self.region.mean * math.sqrt(variance)

    def cov_sd_pct(self) -> float:
        """Return the SD of the coefficient of variation."""
        share = math.prod(self.squared_length_mm) / (self.section_mm2 * self.depth_mm)
        return self.region.cov_pct * math.sqrt(share / 2)
