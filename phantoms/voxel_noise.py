"""How the means of a region scatter, from the voxels' own variance and correlation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

MAX_CORRELATION_MM = 20.0
_MIN_CORRELATION = 0.05


@dataclass(frozen=True)
class VoxelNoise:
    """Variance of one voxel, and how far it is correlated.

    With the autocorrelation r along an axis, a mean over a length L has the variance of one voxel times l / L, where
    l is the sum of r over all lags, times the voxel's width; over an area or a volume the axes multiply. The variance
    itself scatters the same way with r squared. Lags end where r falls below 0.05, or at 20 mm, so shading does not
    count as noise.

    Attributes
    ----------
    variance : float
        Of one voxel, in the square of the image's unit.
    correlation : tuple of three ndarrays
        The autocorrelation along z, y and x from lag 0 to where it ends.
    spacing_zyx_mm : tuple of float
    """

    variance: float
    correlation: tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]
    spacing_zyx_mm: tuple[float, float, float]

    @classmethod
    def of(cls, values: NDArray[np.floating], spacing_zyx_mm: tuple[float, float, float]) -> VoxelNoise:
        """Measure it in a box of voxels ``values[z, y, x]``, each slice less its mean."""
        residual = values.astype(np.float64)
        residual -= residual.mean(axis=(1, 2), keepdims=True)
        variance = float((residual**2).mean())
        z, y, x = (_by_lag(residual, axis, spacing_zyx_mm[axis], variance) for axis in range(3))
        return cls(variance, (z, y, x), spacing_zyx_mm)

    @property
    def length_mm(self) -> list[float]:
        """The sums over the correlation along z, y and x, both ways, times the voxel's width."""
        return self._lengths(1)

    @property
    def squared_length_mm(self) -> list[float]:
        """The same over its square."""
        return self._lengths(2)

    def _lengths(self, power: int) -> list[float]:
        pairs = zip(self.correlation, self.spacing_zyx_mm, strict=True)
        return [(1.0 + 2 * float((by_lag[1:] ** power).sum())) * step for by_lag, step in pairs]


def _by_lag(values: NDArray[np.float64], axis: int, step_mm: float, variance: float) -> NDArray[np.float64]:
    moved = np.moveaxis(values, axis, 0)
    by_lag = [1.0]
    for lag in range(1, min(len(moved) // 2, round(MAX_CORRELATION_MM / step_mm)) + 1):
        ratio = float((moved[lag:] * moved[:-lag]).mean()) / variance if variance > 0 else 0.0
        if ratio < _MIN_CORRELATION:
            break
        by_lag.append(ratio)
    return np.array(by_lag)
