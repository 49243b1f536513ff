"""The background of the NEMA image-quality phantom: twelve places on five planes."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from phantoms import background_rois, rois
from phantoms.spheres import DIAMETERS_MM

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from phantoms.localise import NemaPose
    from phantoms.volume import PetVolume

PLANE_OFFSETS_MM = (-20.0, -10.0, 0.0, 10.0, 20.0)


@dataclass(frozen=True)
class Background:
    """The region means on the planes that lie in the image, by diameter: ``means[diameter][plane, roi]``."""

    means: dict[int, NDArray[np.float64]]
    mean: float
    standard_error: float
    cov_pct: float
    roughness_pct: float
    regions: tuple[rois.Roi, ...]

    @property
    def planes(self) -> int:
        """How many planes lie whole in the image."""
        return int(self.means[int(background_rois.DIAMETER_MM)].shape[0])

    @property
    def is_complete(self) -> bool:
        """Whether all five planes lie whole in the image."""
        return self.planes == len(PLANE_OFFSETS_MM)

    def of_size(self, diameter: int) -> float:
        """Return the mean over all regions of one diameter."""
        return float(self.means[diameter].mean())

    def variability_pct(self, diameter: int) -> float:
        """N: standard deviation of the region means over their mean, per cent."""
        means = self.means[diameter]
        return 100.0 * float(means.std(ddof=1)) / float(means.mean())


def measure_background(
    volume: PetVolume, pose: NemaPose, layout: background_rois.BackgroundRois, normal: NDArray[np.float64] | None
) -> Background | None:
    """Take the twelve places on five planes, discs square to ``normal`` or, without, in slices; None where cut."""
    offsets_mm = np.array(PLANE_OFFSETS_MM)[:, None, None] * pose.axis
    centers = layout.centers_lps_mm + offsets_mm  # [plane, roi, 3]
    last_slice = volume.image.shape[0] - 1
    is_within = np.abs(volume.to_index_zyx(centers)[..., 0] - last_slice / 2.0) <= last_slice / 2.0 + 0.5
    largest = rois.circles(volume, centers.reshape(-1, 3), background_rois.DIAMETER_MM / 2.0, normal)
    is_complete = np.array([roi.is_complete for roi in largest]).reshape(is_within.shape)
    is_whole = np.all(is_within & is_complete, axis=1)
    if not is_whole.any():
        return None
    regions = [
        roi for roi, of_plane in zip(largest, np.repeat(is_whole, background_rois.COUNT), strict=True) if of_plane
    ]
    whole = centers[is_whole].reshape(-1, 3)
    means, variances = np.transpose([roi.moments(volume.image) for roi in regions])
    by_size = {int(background_rois.DIAMETER_MM): means}
    for diameter in DIAMETERS_MM:
        if diameter not in by_size:
            discs = rois.circles(volume, whole, diameter / 2.0, normal)
            by_size[diameter] = np.array([disc.mean(volume.image) for disc in discs])
    means_by_size = {d: by_size[d].reshape(-1, background_rois.COUNT) for d in DIAMETERS_MM}
    largest_means = means_by_size[int(background_rois.DIAMETER_MM)]
    mean = float(largest_means.mean())
    # The same place on neighbouring planes shares its noise and its unevenness: twelve columns, not sixty regions.
    columns = largest_means.mean(axis=0)
    within = float(np.mean(variances))
    return Background(
        means=means_by_size,
        mean=mean,
        standard_error=float(columns.std(ddof=1)) / math.sqrt(len(columns)),
        cov_pct=100.0 * math.sqrt(within + float(largest_means.var())) / mean,
        roughness_pct=100.0 * math.sqrt(within) / mean,
        regions=tuple(regions),
    )
