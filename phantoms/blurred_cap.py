"""The image of the air at the top of a sphere: a cap of a ball, blurred.

A cap is a stack of thin discs along y. Each is blurred in its own plane, where a disc of radius a at a distance r from
its middle reads, with I0 the modified Bessel function,

    d(r; a) = ∫₀ᵃ (q / s²) exp(−(q² + r²) / (2 s²)) I0(q r / s²) dq,

and then along y, where a slab reads half a difference of two error functions.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage, special

if TYPE_CHECKING:
    from numpy.typing import NDArray

_DISCS = 32
_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(20)
_STEPS_PER_SIGMA = 6.0  # between them linear: off by (1/6)² / 8 of the cap's own height at most


class BlurredCaps:
    """The caps of one ball, whatever their size and side.

    Parameters
    ----------
    radius_mm, sigma_mm : float
        Of the ball, and standard deviation of the blur.
    reach_mm : float
        How far from the ball's centre an image is asked for.
    """

    def __init__(self, radius_mm: float, sigma_mm: float, reach_mm: float) -> None:
        self._radius_mm, self._sigma_mm = radius_mm, sigma_mm
        self._step_mm = sigma_mm / _STEPS_PER_SIGMA
        count = math.ceil(reach_mm / self._step_mm) + 2
        self._up_mm = np.arange(-count, count + 1) * self._step_mm
        self._thick_mm = 2.0 * radius_mm / _DISCS
        height_mm = radius_mm - (np.arange(_DISCS) + 0.5) * self._thick_mm  # from the top down
        area = np.maximum(radius_mm**2 - height_mm**2, 0.0)
        self._share = np.cumsum(area) / np.sum(area)
        self._discs = _blurred_discs(np.sqrt(area), self._step_mm * np.arange(count, dtype=np.float64), sigma_mm)

    def image(self, offset_mm: NDArray[np.float64], share: float, sign: float) -> NDArray[np.float64]:
        """Return a cap at millimetres from the ball's centre, shape (n,): 1 deep inside it, 0 far from it.

        Parameters
        ----------
        offset_mm : ndarray, shape (n, 3)
        share : float
            Of the ball's volume.
        sign : float
            1 where the cap lies towards +y (posterior), -1 towards -y.
        """
        table = self._table(share)
        aside = np.hypot(offset_mm[:, 0], offset_mm[:, 2]) / self._step_mm
        up = (sign * offset_mm[:, 1] - self._up_mm[0]) / self._step_mm
        return np.asarray(ndimage.map_coordinates(table, [up, aside], order=1, mode="nearest"), dtype=np.float64)

    def _table(self, share: float) -> NDArray[np.float64]:
        """Return the cap over ``[height, distance from the y axis]``."""
        before = np.concatenate([[0.0], self._share[:-1]])
        whole = np.clip((share - before) / (self._share - before), 0.0, 1.0)
        layers = np.flatnonzero(whole > 0)  # from the top down without a gap, so neighbours share an edge
        edges_mm = self._radius_mm - self._thick_mm * np.arange(len(layers) + 1)
        below = special.erf((self._up_mm[:, None] - edges_mm) / (math.sqrt(2.0) * self._sigma_mm))
        return np.asarray(np.diff(below, axis=1) @ (self._discs[layers] * (whole[layers, None] / 2.0)))


def _blurred_discs(
    radius_mm: NDArray[np.float64], distance_mm: NDArray[np.float64], sigma_mm: float
) -> NDArray[np.float64]:
    """Return each disc at each distance from its middle, shape (discs, distances)."""
    # A disc and the one as far from the other end of the ball are the same.
    half = len(radius_mm) // 2
    ring = radius_mm[:half, None, None] * (_NODES + 1.0) / 2.0
    r = distance_mm[None, :, None]
    density = ring / sigma_mm**2 * np.exp(-((ring - r) ** 2) / (2.0 * sigma_mm**2))
    upper = (density * special.i0e(ring * r / sigma_mm**2)) @ _WEIGHTS * (radius_mm[:half, None] / 2.0)
    return np.concatenate([upper, upper[::-1]])
