"""The image of a hot sphere, and fits of that model to voxels.

A sphere of radius R, blurred by an isotropic Gaussian of standard deviation s, has the profile, with z = r/(√2 s) and
Z = R/(√2 s),

    g(r) = ½ [erf(z + Z) − erf(z − Z)] − [exp(−(z − Z)²) − exp(−(z + Z)²)] / (2 √π z).

On a background B the image of a sphere with the inner concentration S is B + (S − B) g where the wall is thin.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import erf

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from phantoms.volume import PetVolume

FWHM_PER_SIGMA = 2.0 * math.sqrt(2.0 * math.log(2.0))
DIAMETERS_MM = (37, 28, 22, 17, 13, 10)
SEARCH_SKIN_MM = 6.0  # the hottest voxel of a sphere is looked for up to here outside it

_SQRT_PI = math.sqrt(math.pi)
# Below this z the profile is taken at it: g is flat there to 1e-6, and the quotient keeps its digits.
_Z_FLOOR = 1e-3


def blurred_sphere(distance_mm: NDArray[np.float64], radius_mm: float, sigma_mm: float) -> NDArray[np.float64]:
    """Return g(r), the profile of a unit sphere blurred by a Gaussian, at distances ``r`` from its centre.

    Parameters
    ----------
    distance_mm : ndarray
        Distances from the centre, millimetres, any shape.
    radius_mm, sigma_mm : float
        Inner radius of the sphere and standard deviation of the blur, millimetres.
    """
    return _profile(distance_mm, radius_mm, sigma_mm)[0]


@dataclass(frozen=True)
class Region:
    """Voxels near one sphere: ``lps_mm[n, 3]`` positions and ``values[n]``."""

    lps_mm: NDArray[np.float64]
    values: NDArray[np.float64]


def region_within(volume: PetVolume, center_lps_mm: NDArray[np.float64], radius_mm: float) -> Region:
    """Return the voxels whose centres lie within ``radius_mm`` of a point; none where it lies outside the image."""
    image, affine = volume.image, volume.affine_lps_mm
    inverse = np.linalg.inv(affine[:3, :3])
    middle = inverse @ (center_lps_mm - affine[:3, 3])
    reach = radius_mm * np.linalg.norm(inverse, axis=1)
    low = np.clip(np.ceil(middle - reach), 0, image.shape[::-1]).astype(int)
    high = np.clip(np.floor(middle + reach) + 1, low, image.shape[::-1]).astype(int)
    box = image[low[2] : high[2], low[1] : high[1], low[0] : high[0]]
    x, y, z = (np.outer(affine[:3, k], np.arange(low[k], high[k]) - middle[k]) for k in range(3))
    offset = z[:, :, None, None] + y[:, None, :, None] + x[:, None, None, :]
    inside = np.flatnonzero(np.square(offset).sum(axis=0) <= radius_mm**2)
    lps_mm = offset.reshape(3, -1)[:, inside].T + center_lps_mm
    return Region(lps_mm, box.reshape(-1)[inside].astype(np.float64))


def is_clear_of_line(
    lps_mm: NDArray[np.float64], point_lps_mm: NDArray[np.float64], direction: NDArray[np.float64], clear_mm: float
) -> NDArray[np.bool_]:
    """Say which of the points ``lps_mm[n, 3]`` lie more than ``clear_mm`` from a line of unit ``direction``."""
    offset = lps_mm - point_lps_mm
    return np.asarray(np.einsum("ni,ni->n", offset, offset) - (offset @ direction) ** 2 > clear_mm**2)


@dataclass(frozen=True)
class SearchBox:
    """The part of the image that holds one sphere: ``image[slices]``, and which of its voxels may belong to it.

    ``is_whole`` is False where the edge of the image cuts the box.
    """

    slices: tuple[slice, slice, slice]
    inside: NDArray[np.bool_]
    is_whole: bool


def search_box(volume: PetVolume, spheres: Mapping[int, NDArray[np.float64]], diameter: int) -> SearchBox:
    """Cut out the voxels within 6 mm of a sphere's surface that no other sphere's centre is nearer to.

    Parameters
    ----------
    volume : PetVolume
    spheres : mapping of int to ndarray, shape (3,)
        Centre of every sphere by its inner diameter, LPS millimetres.
    diameter : int
        Which one, millimetres.
    """
    center = spheres[diameter]
    reach_mm = diameter / 2.0 + SEARCH_SKIN_MM
    inverse = np.linalg.inv(volume.affine_lps_mm[:3, :3])
    middle = volume.to_index_zyx(center)
    half = reach_mm * np.linalg.norm(inverse, axis=1)[::-1]
    shape = np.array(volume.image.shape)
    low, high = np.ceil(middle - half).astype(int), np.floor(middle + half).astype(int) + 1
    is_whole = bool(np.all(low >= 0) and np.all(high <= shape))
    low, high = np.clip(low, 0, shape), np.clip(high, 0, shape)
    grid = np.stack(np.meshgrid(*(np.arange(a, b) for a, b in zip(low, high, strict=True)), indexing="ij"), axis=-1)
    lps_mm = volume.to_lps_mm(grid.astype(np.float64))
    distance = np.linalg.norm(lps_mm - center, axis=-1)
    inside = distance <= reach_mm
    for other, place in spheres.items():
        if other != diameter and np.linalg.norm(place - center) < 2.0 * reach_mm:
            inside &= distance <= np.linalg.norm(lps_mm - place, axis=-1)
    z, y, x = (slice(int(a), int(b)) for a, b in zip(low, high, strict=True))
    return SearchBox((z, y, x), inside, is_whole)


@dataclass(frozen=True)
class SphereModel:
    """B + A g(r) on the voxels of one region, with its derivatives."""

    values: NDArray[np.float64]  # [n]
    by_center: NDArray[np.float64]  # [n, 3]
    by_sigma: NDArray[np.float64]  # [n]
    profile: NDArray[np.float64]  # g itself, the derivative by A, [n]


def sphere_model(
    lps_mm: NDArray[np.float64],
    *,
    center_lps_mm: NDArray[np.float64],
    radius_mm: float,
    sigma_mm: float,
    amplitude: float,
    background: float,
) -> SphereModel:
    """Return the model image of one sphere at the positions ``lps_mm[n, 3]``, with its derivatives."""
    offset = lps_mm - center_lps_mm
    distance = np.sqrt(np.einsum("ni,ni->n", offset, offset))
    profile, by_distance, by_sigma = _profile(distance, radius_mm, sigma_mm)
    direction = offset / np.maximum(distance, 1e-9)[:, None]
    return SphereModel(
        values=background + amplitude * profile,
        by_center=-amplitude * by_distance[:, None] * direction,
        by_sigma=amplitude * by_sigma,
        profile=profile,
    )


@dataclass(frozen=True)
class Fit:
    """Where a least-squares fit ended: parameters, their scatter matrix (JᵀJ)⁻¹, and the sum of squares."""

    parameters: NDArray[np.float64]
    inverse_hessian: NDArray[np.float64]
    sum_of_squares: float
    converged: bool


def least_squares(
    residuals: Callable[[NDArray[np.float64]], tuple[NDArray[np.float64], NDArray[np.float64]]],
    start: NDArray[np.float64],
    *,
    low: NDArray[np.float64],
    high: NDArray[np.float64],
    tolerance: NDArray[np.float64],
    max_steps: int = 30,
) -> Fit:
    """Minimise a sum of squares by Levenberg-Marquardt inside a box.

    Parameters
    ----------
    residuals : callable
        Gives, for parameters ``[p]``, the residuals ``[n]`` (model minus data) and their Jacobian ``[n, p]`` at once:
        the sphere profile and its derivatives share their exponentials.
    start, low, high : ndarray, shape (p,)
        First guess and the box that no step leaves.
    tolerance : ndarray, shape (p,)
        The fit has converged when a step is smaller than this in every parameter.
    max_steps : int
        Steps tried, accepted or not.
    """
    current = np.clip(start, low, high)
    residual, jacobian = residuals(current)
    cost = float(residual @ residual)
    damping, converged = 1e-3, False
    for _ in range(max_steps):
        hessian = jacobian.T @ jacobian
        scale = np.diag(np.maximum(np.diag(hessian), 1e-30))
        step = np.linalg.solve(hessian + damping * scale, -(jacobian.T @ residual))
        tried = np.clip(current + step, low, high)
        tried_residual, tried_jacobian = residuals(tried)
        tried_cost = float(tried_residual @ tried_residual)
        moved = np.abs(tried - current)
        if tried_cost <= cost:
            current, residual, jacobian, cost = tried, tried_residual, tried_jacobian, tried_cost
            damping = max(damping / 10.0, 1e-9)
        else:
            damping *= 10.0
        if np.all(moved <= tolerance):
            converged = True
            break
    hessian = jacobian.T @ jacobian
    return Fit(current, np.asarray(np.linalg.pinv(hessian, hermitian=True)), cost, converged)


def _profile(
    distance_mm: NDArray[np.float64], radius_mm: float, sigma_mm: float
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Return g and its derivatives by distance and by sigma, from one pair of exponentials."""
    width = math.sqrt(2.0) * sigma_mm
    Z = radius_mm / width
    z = np.maximum(distance_mm / width, _Z_FLOOR)
    near, far = np.exp(-np.square(z - Z)), np.exp(-np.square(z + Z))
    total, difference = near + far, near - far
    quotient = difference / (2.0 * _SQRT_PI * z)
    profile = 0.5 * (erf(z + Z) - erf(z - Z)) - quotient
    by_z = (quotient - Z * total / _SQRT_PI) / z
    # g depends on z and Z only, both proportional to 1/sigma.
    by_sigma = -(z * by_z + 2.0 * Z * Z * quotient) / sigma_mm
    return profile, by_z / width, by_sigma
