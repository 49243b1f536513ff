"""How much each distance from a sphere's centre counts where a blurred sphere is fitted in correlated noise.

Shell means of the noise go together: two of radius r and r' as the correlation averaged over all directions, which is
closed for a Gaussian one. Generalised least squares on the shell means with that covariance gives what each voxel of a
shell counts for; a grid finer or coarser than the shells changes nothing.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from phantoms.spheres import blurred_sphere, sphere_model

if TYPE_CHECKING:
    from numpy.typing import NDArray

SHELL_MM = 0.5
#: Uncorrelated noise beside the correlated one, as a volume of one voxel's variance: a correlation that is known only
#: roughly would otherwise let the weights alternate from shell to shell.
UNCORRELATED_MM3 = 20.0
WALL_MM = 1.0
#: A cold wall of 1 mm is one more noise, of this SD in units of COV: more costs scatter, less lets the wall through.
WALL_PER_COV = 10.0
_LEAST_SIGNAL = 0.1  # of the background: the inside of a cold sphere is not free of noise


@dataclass(frozen=True, eq=False)
class ProfileWeights:
    """What a voxel counts for in each equation that depends on the distance alone.

    Attributes
    ----------
    radii_mm : ndarray, shape (shells,)
    columns : ndarray, shape (shells, equations)
        For the width, the background and, where it is free, the filling.
    """

    radii_mm: NDArray[np.float64]
    columns: NDArray[np.float64]

    @classmethod
    def of(
        cls, *, radius_mm: float, reach_mm: float, sigma_mm: float, contrast: float, noise_sd_mm: float, is_free: bool
    ) -> ProfileWeights:
        """Weigh the shells of one sphere by the inverse of their noise's covariance.

        Parameters
        ----------
        radius_mm, sigma_mm : float
            Inner radius of the sphere, and standard deviation of the blur.
        reach_mm : float
            How far from the centre voxels are counted.
        contrast : float
            Concentration inside over the background's, less one.
        noise_sd_mm : float
            Standard deviation of the Gaussian that makes white noise as broad as the image's.
        is_free : bool
            Whether the filling is fitted; where it is not, the sphere's height falls as the background rises.
        """
        radii = np.arange(SHELL_MM / 2.0, reach_mm, SHELL_MM)
        model = sphere_model(
            radii[:, None] * np.array([1.0, 0.0, 0.0]),
            center_lps_mm=np.zeros(3),
            radius_mm=radius_mm,
            sigma_mm=sigma_mm,
            amplitude=contrast,
            background=1.0,
        )
        volumes = 4.0 * math.pi * np.square(radii) * SHELL_MM
        noise = np.sqrt(np.maximum(model.values, _LEAST_SIGNAL))
        covariance = shell_correlation(radii, noise_sd_mm) + np.diag(UNCORRELATED_MM3 / volumes)
        wall = blurred_sphere(radii, radius_mm + WALL_MM, sigma_mm) - model.profile
        covariance = noise[:, None] * covariance * noise + WALL_PER_COV**2 * np.outer(wall, wall)
        level = np.ones_like(radii)
        sought = [model.by_sigma, level, model.profile] if is_free else [model.by_sigma, level - model.profile]
        return cls(radii, np.linalg.solve(covariance, np.stack(sought, axis=1)) / volumes[:, None])

    def at(self, distance_mm: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the weights ``[n, equations]`` of voxels at distances ``distance_mm[n]`` from the centre."""
        return np.stack([np.interp(distance_mm, self.radii_mm, column) for column in self.columns.T], axis=1)


def shell_correlation(radii_mm: NDArray[np.float64], noise_sd_mm: float) -> NDArray[np.float64]:
    """Return the correlation exp(-d²/4s²) of two shells' voxels, averaged over all their pairs, ``[shell, shell]``."""
    own, other = radii_mm[:, None], radii_mm[None, :]
    scale = 4.0 * noise_sd_mm**2
    near, far = np.exp(-np.square(own - other) / scale), np.exp(-np.square(own + other) / scale)
    return np.asarray((near - far) * scale / (4.0 * own * other))
