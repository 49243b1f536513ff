"""Thick slices square to a phantom's own axis, each the exact mean of what it covers along that axis.

A voxel is taken as a box along the axis: a thick slice takes each original slice with the share of it that it covers,
so that no slice is left out or counted twice, whatever the ratio of the two thicknesses. Across the axis the grid has
the image's own pixels; where the phantom lies along z they are the image's pixels themselves and no value is made up,
where it is tilted each original slice is read between its pixels (bilinear).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from phantoms.volume import PetVolume


@dataclass(frozen=True)
class ThickSlices:
    """Slices square to an axis.

    Attributes
    ----------
    image : ndarray of float64, shape (n, rows, columns)
        In the volume's unit; NaN where the volume does not hold the whole of a pixel's depth.
    position_mm : ndarray, shape (n,)
        Middle of each slice along the axis, from ``center_lps_mm``.
    v_mm, u_mm : ndarray
        Places of the rows (towards posterior) and columns (towards left), from the axis.
    center_lps_mm, axis, u, v : ndarray, shape (3,)
        The point on the axis that all is counted from, and the three directions.
    thickness_mm : float
    """

    image: NDArray[np.float64]
    position_mm: NDArray[np.float64]
    v_mm: NDArray[np.float64]
    u_mm: NDArray[np.float64]
    center_lps_mm: NDArray[np.float64]
    axis: NDArray[np.float64]
    u: NDArray[np.float64]
    v: NDArray[np.float64]
    thickness_mm: float

    @property
    def pixel_mm2(self) -> float:
        """Area of one pixel."""
        return float((self.u_mm[1] - self.u_mm[0]) * (self.v_mm[1] - self.v_mm[0]))

    def distance_mm(self, u_mm: float = 0.0, v_mm: float = 0.0) -> NDArray[np.float64]:
        """Return each pixel's distance from a point of the section, ``[row, column]``."""
        return np.hypot(self.u_mm[None, :] - u_mm, self.v_mm[:, None] - v_mm)

    def to_lps_mm(self, u_mm: float, v_mm: float, position_mm: float) -> NDArray[np.float64]:
        """Return the patient position of a point of the section at some height along the axis."""
        return self.center_lps_mm + u_mm * self.u + v_mm * self.v + position_mm * self.axis

    def to_section_mm(self, lps_mm: NDArray[np.float64]) -> tuple[float, float]:
        """Return where a patient position falls in the section: u and v."""
        offset = np.asarray(lps_mm) - self.center_lps_mm
        return float(offset @ self.u), float(offset @ self.v)


def thick_slices(
    volume: PetVolume,
    center_lps_mm: NDArray[np.float64],
    axis: NDArray[np.float64],
    position_mm: Sequence[float] | NDArray[np.float64],
    *,
    thickness_mm: float,
    reach_mm: float,
) -> ThickSlices:
    """Reformat a volume.

    Parameters
    ----------
    volume : PetVolume
        With its slices nearly square to ``axis`` (`phantoms.volume.along_patient_axes`).
    center_lps_mm, axis : ndarray, shape (3,)
        A point on the axis, and the axis, a unit vector.
    position_mm : sequence of float
        Where the middle of each slice is to lie along the axis.
    thickness_mm : float
    reach_mm : float
        How far the section reaches from the axis.
    """
    center = np.asarray(center_lps_mm, dtype=np.float64)
    inverse = np.linalg.inv(volume.affine_lps_mm[:3, :3])[::-1]  # patient mm -> index (z, y, x)
    columns = volume.affine_lps_mm[:3, :3] / np.linalg.norm(volume.affine_lps_mm[:3, :3], axis=0)
    u = columns[:, 0] - (columns[:, 0] @ axis) * axis
    u /= np.linalg.norm(u)
    up = axis if axis @ columns[:, 2] >= 0 else -axis
    v = np.cross(up, u)
    v = v if v @ columns[:, 1] >= 0 else -v
    middle = volume.to_index_zyx(center)
    _, step_v, step_u = volume.spacing_zyx_mm
    # The grid goes through the centre of the voxel nearest to the axis, so that a straight phantom keeps its pixels.
    start = volume.to_lps_mm(np.array([middle[0], np.rint(middle[1]), np.rint(middle[2])])) - center
    u_mm = start @ u + step_u * np.arange(-np.ceil(reach_mm / step_u), np.ceil(reach_mm / step_u) + 1)
    v_mm = start @ v + step_v * np.arange(-np.ceil(reach_mm / step_v), np.ceil(reach_mm / step_v) + 1)
    section = center + v_mm[:, None, None] * v + u_mm[None, :, None] * u
    index = np.moveaxis((section - volume.affine_lps_mm[:3, 3]) @ inverse.T, -1, 0)
    climb = inverse @ axis  # indices (z, y, x) per millimetre along the axis
    half_mm = 0.5 / abs(float(climb[0]))
    heights = np.asarray(position_mm, dtype=np.float64)
    image = np.zeros((len(heights), len(v_mm), len(u_mm)))
    covered = np.zeros_like(image)
    shape = np.array(volume.image.shape)
    for k in range(shape[0]):
        at_mm = (k - index[0]) / climb[0]  # where the middle of this slice cuts the line through each pixel
        near = np.flatnonzero(np.abs(heights - at_mm.mean()) < np.ptp(at_mm) + thickness_mm / 2 + half_mm)
        if not near.size:
            continue
        y, x = (index[axis] + climb[axis] * at_mm for axis in (1, 2))
        inside = (y > -0.5) & (y < shape[1] - 0.5) & (x > -0.5) & (x < shape[2] - 0.5)
        values = ndimage.map_coordinates(volume.image[k], [y, x], order=1, mode="nearest", output=np.float64)
        upper = np.minimum(at_mm + half_mm, heights[near, None, None] + thickness_mm / 2)
        lower = np.maximum(at_mm - half_mm, heights[near, None, None] - thickness_mm / 2)
        share = np.clip(upper - lower, 0.0, None) * inside
        image[near] += share * values
        covered[near] += share
    whole = covered >= thickness_mm * (1 - 1e-6)
    image = np.where(whole, image / np.where(whole, covered, 1.0), np.nan)
    return ThickSlices(image, heights, v_mm, u_mm, center, np.asarray(axis), u, v, thickness_mm)
