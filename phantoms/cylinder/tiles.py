"""The tiles of a cylinder's slices, for integral uniformity (NEMA NU 2-1994, IAEA Human Health Series 1)."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from scipy import special

from phantoms import rois

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from phantoms.cylinder.noise import Noise
    from phantoms.cylinder.region import Region

TILE_SIZE_MM = 10.0  # NEMA NU 2-1994: squares wholly inside a circle of nine tenths of the cylinder
TILE_CIRCLE = 0.9


class Tiles:
    """Means of 10 mm squares, centred on the axis, of the used slices: ``means[slice, row, column]``."""

    def __init__(self, region: Region) -> None:
        self.region = region
        volume, pose = region.volume, region.pose
        half = round(TILE_CIRCLE * pose.radius_mm / TILE_SIZE_MM)
        edges_mm = np.arange(-half, half + 1) * TILE_SIZE_MM
        far = np.maximum(np.abs(edges_mm[1:]), np.abs(edges_mm[:-1]))
        self.inside = np.hypot(far[:, None], far[None, :]) <= TILE_CIRCLE * pose.radius_mm
        self.index = np.flatnonzero(region.used)
        axis_points = volume.to_index_zyx(pose.center_lps_mm + region.height_mm[self.index, None] * pose.axis)
        _, step_y, step_x = volume.spacing_zyx_mm
        self.means = np.empty((len(self.index), 2 * half, 2 * half))
        for row, (k, (_, y, x)) in enumerate(zip(self.index, axis_points, strict=True)):
            along_y = rois.interval_shares(edges_mm / step_y + y, volume.image.shape[1])
            along_x = rois.interval_shares(edges_mm / step_x + x, volume.image.shape[2])
            self.means[row] = along_y @ volume.image[k] @ along_x.T

    def nu_pct(self) -> float:
        """Return the larger of (maximum - mean) and (mean - minimum) of all tiles, over their mean."""
        values = self.means[:, self.inside]
        mean = float(values.mean())
        return 100 * max(float(values.max()) - mean, mean - float(values.min())) / mean

    def nu_sd_pct(self, noise: Noise) -> float:
        """Return how far NU scatters from scan to scan: the largest of as many tiles as vary on their own.

        The larger of two tails of n independent Gaussian tiles has the distribution (2 Phi(x / s) - 1)^n.
        """
        values = self.means[:, self.inside]
        mean = float(values.mean())
        tile_sd = float((values - values.mean(axis=1, keepdims=True)).std())
        along = max(1.0, noise.length_mm[0] / self.region.step_mm)
        across = max(1.0, noise.length_mm[1] / TILE_SIZE_MM) * max(1.0, noise.length_mm[2] / TILE_SIZE_MM)
        x = np.linspace(0.0, 10.0, 2001)
        below = special.erf(x / math.sqrt(2)) ** (values.size / (along * across))
        first = float(np.trapezoid(1 - below, x))
        second = float(np.trapezoid(2 * x * (1 - below), x))
        return 100 * tile_sd / mean * math.sqrt(max(second - first**2, 0.0))

    def central_deviation_pct(self) -> NDArray[np.float64]:
        """Return the tiles of the slice nearest to the middle against their mean; NaN outside the circle."""
        row = int(np.argmin(np.abs(self.region.height_mm[self.index])))
        values = np.where(self.inside, self.means[row], np.nan)
        return np.asarray(100 * (values / np.nanmean(values) - 1), dtype=np.float64)
