"""How the numbers of an ACR phantom scatter, from the noise of its own slices of 1 cm.

The noise is read off the uniform section: its standard deviation and, along each axis, its correlation, whose sum a
Gaussian stands for (`phantoms.sphere_noise.Noise`). Where the phantom is tilted, slices far from the cylinders are read
between pixels, which calms them, and that of the cylinders is not: so the uniform section's noise is that of its own
slices, and the cylinders' that of the original voxels in a box of 1 cm. Such noise is put many times over on the
uniform section, and on each cylinder as a blurred disc that fits it in the faceplate's slice; each copy is read as the
image was, its centre found anew, and the spread of the readings is their standard deviation. It grows with the root of
the signal, as that of the spheres.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy import optimize, special

from phantoms.acr_pose import CENTROID_MM, PLANE_MM
from phantoms.sphere_noise import Noise

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from phantoms.reformat import ThickSlices
    from phantoms.voxel_noise import VoxelNoise

COPIES = 200  # the spread of so many copies is known to 5 %
_SKIN_MM = 8.0  # beyond a cylinder's edge, whose blur is fitted there too
_SIGMA_MM = (1.0, 6.5)  # of the blur
_SEED = 25


@dataclass(frozen=True)
class Disc:
    """A cylinder in the faceplate's slice: where it stands, how wide it is made, and within which radius it is read."""

    u_mm: float
    v_mm: float
    diameter_mm: float
    radius_mm: float
    inside: NDArray[np.bool_]


@dataclass(frozen=True)
class UniformScatter:
    """Standard deviations of the uniform section's extremes and of its noise, per cent."""

    slice_deviation_max_pct: float
    nu_pct: float
    cov_pct: float


@dataclass(frozen=True)
class DiscScatter:
    """Standard deviations of one cylinder: of its extreme, in the image's unit, and of its centre off the axis, mm.

    ``radial_mm`` is seen through the window in which the localiser first finds a centre, as its misfit is.
    """

    extreme: float
    radial_mm: float


def slice_noise(slices: ThickSlices, used: NDArray[np.bool_], disc: NDArray[np.bool_], along: VoxelNoise) -> Noise:
    """Return the noise of the thick slices, over their mean.

    Parameters
    ----------
    slices : ThickSlices
    used : ndarray of bool, shape (n,)
        The uniform ones.
    disc : ndarray of bool, shape (rows, columns)
        The pixels that count.
    along : VoxelNoise
        Noise of the original voxels, for its correlation along the axis: a box of one thick slice widens it.
    """
    box = np.where(disc, slices.image[used], np.nan)
    box = box - np.nanmean(box, axis=(1, 2), keepdims=True)
    count = np.count_nonzero(np.isfinite(box), axis=(1, 2)).min()
    variance = float(np.nansum(box**2) / (len(box) * (count - 1)))
    steps = (slices.v_mm[1] - slices.v_mm[0], slices.u_mm[1] - slices.u_mm[0])
    v, u = (_length_mm(np.moveaxis(box, 1 + axis, 0), step, variance) for axis, step in enumerate(steps))
    z = math.hypot(along.length_mm[0] / (2 * math.sqrt(math.pi)), slices.thickness_mm / math.sqrt(12))
    mean = float(np.nanmean(np.where(disc, slices.image[used], np.nan)))
    return Noise(math.sqrt(variance) / mean, (z, v / (2 * math.sqrt(math.pi)), u / (2 * math.sqrt(math.pi))))


def plane_noise(voxels: VoxelNoise, mean: float, thickness_mm: float) -> Noise:
    """Return the noise of a thick slice in the plane that the grid is laid through, over ``mean``: none is lost there.

    Notes
    -----
    Of noise whose correlation is r(d) = exp(−d²/4s²), the mean over a length L has 2/L² ∫ (L − d) r(d) of the variance.
    """
    z, v, u = (length / (2 * math.sqrt(math.pi)) for length in voxels.length_mm)
    cov = math.sqrt(voxels.variance * _share_of_box(z, thickness_mm)) / mean
    return Noise(cov, (math.hypot(z, thickness_mm / math.sqrt(12)), v, u))


def _share_of_box(sd_mm: float, thickness_mm: float) -> float:
    """Return the variance of a mean over a thickness over that of one place."""
    reach = thickness_mm / (2 * sd_mm)
    along = math.sqrt(math.pi) / 2 * math.erf(reach) / reach
    return 2 * along - (1 - math.exp(-(reach**2))) / reach**2


def uniform_scatter(
    noise: Noise,
    slices: ThickSlices,
    used: NDArray[np.bool_],
    disc: NDArray[np.bool_],
    tiles_of: Callable[[NDArray[np.float64]], NDArray[np.float64]],
) -> UniformScatter:
    """Read the numbers of the uniform section off noisy copies of an even one.

    Parameters
    ----------
    noise : Noise
    slices, used, disc
        See `slice_noise`.
    tiles_of : callable
        Gives the tile means ``[slice, tile]`` of ``image[slice, row, column]``.
    """
    shape = (int(used.sum()), *slices.image.shape[1:])
    steps = (slices.thickness_mm, slices.v_mm[1] - slices.v_mm[0], slices.u_mm[1] - slices.u_mm[0])
    rng = np.random.default_rng(_SEED)  # the same image gives the same numbers
    rows = []
    for copy in noise.copies(shape, steps, COPIES, rng):
        even = 1.0 + noise.cov * copy.astype(np.float64)
        values, tiles = even[:, disc], tiles_of(even)
        means = values.mean(axis=1)
        rows.append(
            (
                np.abs(means / means.mean() - 1).max(),
                np.abs(tiles / tiles.mean(axis=1, keepdims=True) - 1).max(),
                values.std(axis=1, ddof=1).mean(),
            )
        )
    deviation, nu, cov = 100 * np.std(rows, axis=0, ddof=1)
    return UniformScatter(float(deviation), float(nu), float(cov))


def disc_scatter(
    voxels: VoxelNoise, slices: ThickSlices, image: NDArray[np.float64], level: float, discs: Mapping[str, Disc]
) -> dict[str, DiscScatter]:
    """Return how the hottest pixel of each hot cylinder and the coldest of each cold one scatter, and where it stands.

    Without a cold one that holds less than noise makes of a mean over its section: how little that is, is not known.

    Parameters
    ----------
    voxels : VoxelNoise
        Noise of the original voxels, at ``level``.
    slices : ThickSlices
        Gives the grid.
    image : ndarray, shape (rows, columns)
        The faceplate's slice.
    level : float
        Background, in the image's unit.
    discs : mapping of str to Disc
        All cylinders that are read.

    Notes
    -----
    Discs and one width of their blur are fitted together, by least squares; each has its own height, so that air in
    one, or what scatter leaves in a cold one, does not stretch the blur. A disc of radius R under a Gaussian of sigma
    is at the distance r from its middle the distribution function at (R/σ)² of χ² with two degrees of freedom, not
    central by (r/σ)².
    """
    if not discs:
        return {}
    near = {}
    for name, disc in discs.items():
        distance = slices.distance_mm(disc.u_mm, disc.v_mm)
        fitted = (distance <= disc.diameter_mm / 2 + _SKIN_MM) & np.isfinite(image)
        near[name] = distance[fitted], image[fitted] - level

    def height(name: str, sigma_mm: float) -> tuple[float, float]:
        """Return the height that fits best, and what it leaves."""
        profile = blurred_disc(near[name][0], discs[name].diameter_mm / 2, sigma_mm)
        best = float(profile @ near[name][1]) / float(profile @ profile)
        return best, float(np.square(near[name][1] - best * profile).sum())

    sigma_mm = float(
        optimize.minimize_scalar(
            lambda sigma: sum(height(name, sigma)[1] for name in discs), bounds=_SIGMA_MM, method="bounded"
        ).x
    )
    rng = np.random.default_rng(_SEED)
    steps = (slices.thickness_mm, slices.v_mm[1] - slices.v_mm[0], slices.u_mm[1] - slices.u_mm[0])
    noise = plane_noise(voxels, level, slices.thickness_mm)
    calm = plane_noise(voxels, level, PLANE_MM).cov / noise.cov
    found = {}
    for name, disc in discs.items():
        distance = slices.distance_mm(disc.u_mm, disc.v_mm)
        rows, columns = np.nonzero(distance <= disc.diameter_mm / 2 + _SKIN_MM)
        box = slice(rows.min(), rows.max() + 1), slice(columns.min(), columns.max() + 1)
        best = height(name, sigma_mm)[0]
        model = level + best * blurred_disc(distance[box], disc.diameter_mm / 2, sigma_mm)
        share = 4 * math.pi * noise.sd_zyx_mm[1] * noise.sd_zyx_mm[2] / (math.pi * disc.diameter_mm**2 / 4)
        if float(model.min()) < noise.cov * level * math.sqrt(min(share, 1.0)):
            continue
        sd = noise.cov * np.sqrt(np.maximum(model, 0.0) * level)
        drawn = sd * noise.copies((1, *model.shape), steps, COPIES, rng)[:, 0]
        sign = 1.0 if best > 0 else -1.0
        v_mm, u_mm = slices.v_mm[box[0]] - disc.v_mm, slices.u_mm[box[1]] - disc.u_mm
        v, u = _centres(sign * (model + calm * drawn - level), v_mm, u_mm, disc.diameter_mm / 2)
        away = np.hypot(v_mm[:, None] - v[:, None, None], u_mm[None, :] - u[:, None, None])
        read = np.where(away <= disc.radius_mm, sign * (model + drawn), -np.inf).max(axis=(1, 2))
        first_v, first_u = _centres(sign * (model + calm * drawn - level), v_mm, u_mm, CENTROID_MM)
        outward = (first_v * disc.v_mm + first_u * disc.u_mm) / max(math.hypot(disc.v_mm, disc.u_mm), 1e-9)
        found[name] = DiscScatter(float(read[np.isfinite(read)].std(ddof=1)), float(outward.std(ddof=1)))
    return found


def _centres(
    rising: NDArray[np.float64], v_mm: NDArray[np.float64], u_mm: NDArray[np.float64], sigma_mm: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return where the middle of each copy of a cylinder is found, as `phantoms.acr_pose` finds it."""
    rising = np.clip(rising, 0.0, None)
    v, u = np.zeros(len(rising)), np.zeros(len(rising))
    for _ in range(6):
        along_v = np.exp(-np.square(v_mm - v[:, None]) / (2 * sigma_mm**2))
        along_u = np.exp(-np.square(u_mm - u[:, None]) / (2 * sigma_mm**2))
        weight = rising * along_v[:, :, None] * along_u[:, None, :]
        total = np.maximum(weight.sum(axis=(1, 2)), 1e-30)
        v, u = weight.sum(axis=2) @ v_mm / total, weight.sum(axis=1) @ u_mm / total
    return v, u


def blurred_disc(distance_mm: NDArray[np.float64], radius_mm: float, sigma_mm: float) -> NDArray[np.float64]:
    """Return a disc of height 1 convolved with a Gaussian, at distances from its middle."""
    return np.asarray(special.chndtr((radius_mm / sigma_mm) ** 2, 2.0, np.square(distance_mm / sigma_mm)))


def _length_mm(rows: NDArray[np.float64], step_mm: float, variance: float) -> float:
    """Return the sum of the correlations over all lags of the first axis, times the pixel; NaN counts for nothing."""
    length, lag = 1.0, 1
    while variance > 0 and lag * step_mm <= 20.0 and lag < len(rows):
        ratio = float(np.nanmean(rows[lag:] * rows[:-lag])) / variance
        if ratio < 0.05:
            break
        length, lag = length + 2.0 * ratio, lag + 1
    return length * step_mm
