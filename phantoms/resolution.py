"""Resolution of an image from the profiles of hot spheres.

The profile of a sphere that a Gaussian has blurred is known in closed form (`phantoms.spheres`); the width of the
Gaussian that fits the voxels best is the image's resolution where the sphere lies. From the edge of a uniform cylinder
it is told by `phantoms.cylinder_edge`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from phantoms.profile_weights import ProfileWeights
from phantoms.spheres import FWHM_PER_SIGMA, Fit, Region, least_squares, region_within, sphere_model

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from phantoms.localise import NemaPose
    from phantoms.volume import PetVolume

SMALLEST_FREE_MM = 17  # under it a broad blur looks like a low filling: the filling comes from the large spheres
FILLING_FROM_MM = 22
SKIN_MM = 9.0
_LUNG_KEEPOUT_MM = 33.0
MIN_FWHM_MM, MAX_FWHM_MM = 1.5, 20.0
_WEIGHTED_STEPS = 12  # three or four are the rule


@dataclass(frozen=True)
class SphereFit:
    """The blurred-sphere model that fits one sphere best.

    Attributes
    ----------
    fwhm_mm : float or None
        Width of the blur at half its height; None where the fit ran into a bound or found no minimum.
    concentration, background : float
        Fitted true concentration inside and around the sphere, in the image's unit.
    misfit : float
        Root mean square residual over the sphere's height above the background.
    weights : ProfileWeights or None
        What the voxels counted for; None where all counted alike.
    """

    fwhm_mm: float | None
    concentration: float
    background: float
    misfit: float
    weights: ProfileWeights | None = None


def fit_spheres(volume: PetVolume, pose: NemaPose, noise_sd_mm: float) -> dict[int, SphereFit]:
    """Fit the blur of every sphere of a NEMA image-quality phantom.

    Free are the width, the sphere's centre, its concentration and the background round it. Spheres under 17 mm get the
    median concentration that the spheres of 22 mm and more have. The voxels count as `phantoms.profile_weights` has it;
    where that leads to no width, all count alike.

    Parameters
    ----------
    volume : PetVolume
        The image.
    pose : NemaPose
        Where the spheres lie.
    noise_sd_mm : float
        Standard deviation of the Gaussian that makes white noise as broad as the image's.

    Returns
    -------
    dict of int to SphereFit
        By inner diameter in mm, in the order of ``pose.spheres``.

    Notes
    -----
    Source: the sphere convolved with an isotropic Gaussian, as in pymirc; voxels are taken as point samples, so the
    width includes the averaging over a voxel. Voxels nearer than 33 mm to the axis see the cold insert and are left
    out.
    """
    fits: dict[int, SphereFit] = {}
    filling: float | None = None
    for diameter, center in sorted(pose.spheres.items(), reverse=True):
        if diameter < SMALLEST_FREE_MM and filling is None:
            filling = common_filling(_hot(fits, pose))
        fixed = filling if diameter < SMALLEST_FREE_MM else None
        region = _clear_of_insert(region_within(volume, center, diameter / 2.0 + SKIN_MM), pose)
        height = -1.0 if diameter in pose.cold_spheres else pose.contrast - 1.0
        weights = ProfileWeights.of(
            radius_mm=diameter / 2.0,
            reach_mm=diameter / 2.0 + SKIN_MM,
            sigma_mm=pose.fwhm_mm / FWHM_PER_SIGMA,
            contrast=height,
            noise_sd_mm=noise_sd_mm,
            is_free=fixed is None,
        )
        fits[diameter] = _fit(region, center, diameter / 2.0, pose, height, fixed, weights)
    return {diameter: fits[diameter] for diameter in pose.spheres}


def common_fwhm_mm(fits: Mapping[int, SphereFit]) -> float | None:
    """Return the median width over the spheres of 17 mm and more; None where none of them could be fitted."""
    widths = [fit.fwhm_mm for diameter, fit in fits.items() if diameter >= SMALLEST_FREE_MM and fit.fwhm_mm]
    return float(np.median(widths)) if widths else None


def common_filling(fits: Mapping[int, SphereFit]) -> float | None:
    """Return the median fitted concentration of the spheres of 22 mm and more, in the image's unit; of hot ones."""
    large = [fit.concentration for diameter, fit in fits.items() if diameter >= FILLING_FROM_MM and fit.fwhm_mm]
    return float(np.median(large)) if large else None


def _hot(fits: Mapping[int, SphereFit], pose: NemaPose) -> dict[int, SphereFit]:
    return {diameter: fit for diameter, fit in fits.items() if diameter not in pose.cold_spheres}


def _fit(
    region: Region,
    center: NDArray[np.float64],
    radius_mm: float,
    pose: NemaPose,
    height: float,
    filling: float | None,
    weights: ProfileWeights,
) -> SphereFit:
    scale = pose.background

    def residuals(p: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        amplitude = p[5] * scale if filling is None else filling - p[4] * scale
        model = sphere_model(
            region.lps_mm,
            center_lps_mm=center + p[:3],
            radius_mm=radius_mm,
            sigma_mm=float(p[3]),
            amplitude=float(amplitude),
            background=float(p[4] * scale),
        )
        jacobian = np.empty((len(region.values), 6))
        jacobian[:, :3] = model.by_center
        jacobian[:, 3] = model.by_sigma
        # With the filling fixed the height above the background falls as the background rises.
        jacobian[:, 4] = scale * (1.0 if filling is None else 1.0 - model.profile)
        jacobian[:, 5] = scale * model.profile
        count = 6 if filling is None else 5
        return model.values - region.values, jacobian[:, :count]

    count = 6 if filling is None else 5
    start = np.array([0.0, 0.0, 0.0, pose.fwhm_mm / FWHM_PER_SIGMA, 1.0, height])[:count]
    low = np.array([-4.0, -4.0, -4.0, MIN_FWHM_MM / FWHM_PER_SIGMA, -10.0, -10.0])[:count]
    high = np.array([4.0, 4.0, 4.0, MAX_FWHM_MM / FWHM_PER_SIGMA, 100.0, 1000.0])[:count]
    tolerance = np.array([0.005, 0.005, 0.005, 0.002, 0.002, 0.005])[:count]

    def is_inside(p: NDArray[np.float64]) -> bool:
        return bool(low[3] < p[3] < high[3]) and bool(np.all(np.abs(p[:3]) < 4.0))

    counted = weights.at(np.linalg.norm(region.lps_mm - center, axis=1))
    fit = _weighted_fit(residuals, start, counted, low=low, high=high, tolerance=tolerance)
    is_weighted = fit.converged and is_inside(fit.parameters)
    if not is_weighted:
        fit = least_squares(residuals, start, low=low, high=high, tolerance=tolerance)
    p = fit.parameters
    background = float(p[4] * scale)
    concentration = background + float(p[5] * scale) if filling is None else filling
    return SphereFit(
        fwhm_mm=float(p[3]) * FWHM_PER_SIGMA if fit.converged and is_inside(p) else None,
        concentration=concentration,
        background=background,
        misfit=math.sqrt(fit.sum_of_squares / max(len(region.values), 1)) / max(abs(concentration - background), 1e-30),
        weights=weights if is_weighted else None,
    )


def _weighted_fit(
    residuals: Callable[[NDArray[np.float64]], tuple[NDArray[np.float64], NDArray[np.float64]]],
    start: NDArray[np.float64],
    counted: NDArray[np.float64],
    *,
    low: NDArray[np.float64],
    high: NDArray[np.float64],
    tolerance: NDArray[np.float64],
) -> Fit:
    """Find where the residuals of a sphere, as they are counted, add to nothing.

    The centre counts with equal weights, ``counted[n, equations]`` are what the voxels count for in the others. Both
    stay as they are at the start, so a step solves A^T J step = -A^T r.
    """
    p, converged = np.clip(start, low, high), False
    residual, jacobian = residuals(p)
    equations = np.concatenate([jacobian[:, :3], counted], axis=1)
    for _ in range(_WEIGHTED_STEPS):
        step = np.linalg.lstsq(equations.T @ jacobian, -(equations.T @ residual), rcond=None)[0]
        tried = np.clip(p + step, low, high)
        moved, p = np.abs(tried - p), tried
        residual, jacobian = residuals(p)
        if np.all(moved <= tolerance):
            converged = True
            break
    inverse_hessian = np.asarray(np.linalg.pinv(jacobian.T @ jacobian, hermitian=True))
    return Fit(p, inverse_hessian, float(residual @ residual), converged)


def _clear_of_insert(region: Region, pose: NemaPose) -> Region:
    clear = is_clear_of_insert(region.lps_mm, pose)
    return Region(region.lps_mm[clear], region.values[clear])


def is_clear_of_insert(lps_mm: NDArray[np.float64], pose: NemaPose) -> NDArray[np.bool_]:
    """Say which of the points ``lps_mm[n, 3]`` do not see the cold insert."""
    sideways = np.cross(lps_mm - pose.center_lps_mm, pose.axis)
    return np.asarray(np.einsum("ni,ni->n", sideways, sideways) > _LUNG_KEEPOUT_MM**2)
