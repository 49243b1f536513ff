"""How surely the size of something is known that has no sign: a tilt, a root mean square distance.

Both are lifted by noise, for what is read is never under nothing, and their scatter is no Gaussian's near it.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from scipy import special

if TYPE_CHECKING:
    from numpy.typing import NDArray

_NODES, _WEIGHTS = np.polynomial.hermite_e.hermegauss(12)
_WEIGHTS = _WEIGHTS / _WEIGHTS.sum()


def tilt_sd_deg(axis: NDArray[np.float64], covariance: NDArray[np.float64]) -> float:
    """Return the standard deviation of the angle between an axis and z, degrees.

    Parameters
    ----------
    axis : ndarray, shape (3,)
        Unit vector as it was found.
    covariance : ndarray, shape (3, 3)
        Of its components.

    Notes
    -----
    The axis errs by a along the tilt and by b across it, and an axis tilted by T is seen at √((T + a)² + b²): near
    T = 0 that lies above the truth and never on it. So what is stated is the root mean square distance from the true
    tilt, over Gaussian a and b. It is the SD of a where the tilt is large beside it, and √(var a + var b) at 0, which
    holds the truth in 1 − 1/e, 63 %, of upright phantoms. T² is taken as the found one less var a + var b, by which
    noise lifts it, and not under 0.
    """
    sideways = np.array([-axis[1], axis[0], 0.0])
    length = float(np.linalg.norm(sideways))
    across = sideways / length if length > 1e-12 else np.array([1.0, 0.0, 0.0])
    along = np.cross(axis, across)
    variances = float(along @ covariance @ along), float(across @ covariance @ across)
    seen = math.acos(min(1.0, abs(float(axis[2]))))
    true = math.sqrt(max(seen**2 - sum(variances), 0.0))
    a, b = (math.sqrt(max(variance, 0.0)) * _NODES for variance in variances)
    distance = np.hypot(true + a[:, None], b[None, :]) - true
    return math.degrees(math.sqrt(float(_WEIGHTS @ np.square(distance) @ _WEIGHTS)))


def rms_sd(rms: float, covariance: NDArray[np.float64], count: int) -> float:
    """Return the standard deviation of a root mean square, from what noise makes of its terms.

    Parameters
    ----------
    rms : float
        √(Σ x² / count) as it was found.
    covariance : ndarray, shape (n, n)
        Of the terms x under noise.
    count : int
        What the sum was divided by.

    Notes
    -----
    A sum of squares of Gaussians with covariance M about means m has the mean tr M + m² and the variance
    2 tr M² + 4 mᵀMm. What of it is m² is not seen: the found sum less tr M, not under 0, lying along M as M² does. The
    sum is taken for a gamma variable of these two moments, whose root has the mean √θ Γ(k + ½) / Γ(k): exact for a χ.
    The truth of such a number is its mean over the noise, of one object on one grid.
    """
    own, squared = float(np.trace(covariance)), float(np.square(covariance).sum())
    if own <= 0:
        return 0.0
    fixed = max(count * rms**2 - own, 0.0)
    mean, variance = own + fixed, 2.0 * squared + 4.0 * fixed * squared / own
    shape = mean**2 / variance
    mean_root = math.sqrt(mean / shape) * math.exp(float(special.gammaln(shape + 0.5) - special.gammaln(shape)))
    return math.sqrt(max(mean - mean_root**2, 0.0) / count)
