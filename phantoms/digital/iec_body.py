"""The body of the IEC phantom and where its spheres lie."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

SPHERE_DIAMETERS_MM = (37, 28, 22, 17, 13, 10)
SPHERE_RING_RADIUS_MM = 57.2
LUNG_INSERT_DIAMETER_MM = 51.0

# The body of the IEC phantom, millimetres from the centre of the sphere ring: a half circle above (anterior), two
# quarter circles below, the flat back between them (IEC 61675-1).
BODY_ARCH_RADIUS_MM = 147.0
BODY_CORNER_RADIUS_MM = 77.0
BODY_CORNER_X_MM = 70.0
BODY_WAIST_Y_MM = 35.0
BODY_LENGTH_MM = 190.0
SPHERES_FROM_LID_MM = 68.0


def blurred_body(
    sigma: float, wall_mm: float = 0.0
) -> Callable[[NDArray[np.float64], NDArray[np.float64]], NDArray[np.float64]]:
    """Return the cross-section of the IEC body convolved with a two-dimensional Gaussian, from a 0.5 mm table.

    With ``wall_mm`` it is that of the body and so much of a wall about it.
    """
    step = 0.5
    reach = BODY_ARCH_RADIUS_MM + 10 + wall_mm + 6 * sigma
    axis = np.arange(-reach, reach + step, step)
    u, v = axis[None, :], axis[:, None] - BODY_WAIST_Y_MM
    arch = np.hypot(u, v) - BODY_ARCH_RADIUS_MM
    corner = np.hypot(np.maximum(np.abs(u) - BODY_CORNER_X_MM, 0.0), v) - BODY_CORNER_RADIUS_MM
    distance = np.where(v < 0, arch, corner) - wall_mm
    table = ndimage.gaussian_filter(np.clip(0.5 - distance / step, 0.0, 1.0), sigma / step, truncate=6.0)

    def profile(u: NDArray[np.float64], v: NDArray[np.float64]) -> NDArray[np.float64]:
        places = np.stack(np.broadcast_arrays((v - axis[0]) / step, (u - axis[0]) / step))
        return np.asarray(ndimage.map_coordinates(table, places, order=1, mode="constant"))

    return profile
