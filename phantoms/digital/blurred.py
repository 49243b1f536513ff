"""What digital objects are made of: voxels, poses, shapes convolved with a Gaussian, and noise."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage, special

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import ArrayLike, NDArray

SIGMA_PER_FWHM = 1.0 / np.sqrt(8.0 * np.log(2.0))

Vector = tuple[float, float, float]


class Grid:
    """Voxel centres of a transaxial image about the origin, head first supine."""

    def __init__(self, shape_zyx: tuple[int, ...], spacing_zyx_mm: Vector, samples_per_voxel: int) -> None:
        self.shape_zyx = shape_zyx
        self.spacing_zyx_mm = spacing_zyx_mm
        self.samples_per_voxel = samples_per_voxel
        self.axes_lps_mm = tuple(
            (np.arange(count) - (count - 1) / 2) * step for count, step in zip(shape_zyx, spacing_zyx_mm, strict=True)
        )
        self.affine_lps_mm = np.diag([*spacing_zyx_mm[::-1], 1.0])
        self.affine_lps_mm[:3, 3] = [axis[0] for axis in self.axes_lps_mm[::-1]]

    def sigma_voxels(self, fwhm_mm: float) -> list[float]:
        """Return the SD of a Gaussian in voxels of each axis."""
        return [fwhm_mm * SIGMA_PER_FWHM / step for step in self.spacing_zyx_mm]

    def sample(self, reading: Callable[..., NDArray[np.float64]]) -> NDArray[np.float64]:
        """Read ``reading(x, y, z)`` (patient millimetres, shapes that broadcast to the image) at the voxels."""
        image = np.zeros(self.shape_zyx)
        z, y, x = self.axes_lps_mm
        for dz, dy, dx in self._offsets():
            image += reading((x + dx)[None, None, :], (y + dy)[None, :, None], (z + dz)[:, None, None])
        return image / self.samples_per_voxel**3

    def add_ball(
        self,
        image: NDArray[np.float64],
        center_lps_mm: NDArray[np.float64],
        reach_mm: float,
        profile: Callable[[NDArray[np.float64]], NDArray[np.float64]],
    ) -> None:
        """Add ``profile(distance from the centre)`` within ``reach_mm``."""
        box, axes = [], []
        for axis, middle in zip(self.axes_lps_mm, center_lps_mm[::-1], strict=True):
            low, high = np.searchsorted(axis, [middle - reach_mm, middle + reach_mm])
            box.append(slice(int(low), int(high)))
            axes.append(axis[low:high] - middle)
        z, y, x = axes
        for dz, dy, dx in self._offsets():
            squared = (z + dz)[:, None, None] ** 2 + (y + dy)[None, :, None] ** 2 + (x + dx)[None, None, :] ** 2
            image[tuple(box)] += profile(np.sqrt(squared)) / self.samples_per_voxel**3

    def _offsets(self) -> NDArray[np.float64]:
        steps = (np.arange(self.samples_per_voxel) + 0.5) / self.samples_per_voxel - 0.5
        mesh = np.meshgrid(*(steps * step for step in self.spacing_zyx_mm), indexing="ij")
        return np.stack(mesh, axis=-1).reshape(-1, 3)


def rotation(tilt_x_deg: float, tilt_y_deg: float, roll_deg: float) -> NDArray[np.float64]:
    """Columns are the object's own axes in patient coordinates."""
    a, b, c = np.radians([tilt_x_deg, tilt_y_deg, roll_deg])
    about_x = np.array([[1, 0, 0], [0, np.cos(a), -np.sin(a)], [0, np.sin(a), np.cos(a)]])
    about_y = np.array([[np.cos(b), 0, np.sin(b)], [0, 1, 0], [-np.sin(b), 0, np.cos(b)]])
    about_z = np.array([[np.cos(c), -np.sin(c), 0], [np.sin(c), np.cos(c), 0], [0, 0, 1]])
    return np.asarray(about_y @ about_x @ about_z)


def own_frame(
    x: NDArray[np.float64], y: NDArray[np.float64], z: NDArray[np.float64], center: ArrayLike, turn: NDArray[np.float64]
) -> list[NDArray[np.float64]]:
    """Map patient positions to the object's frame; an axis that has no part in a coordinate does not widen it."""
    moved = [axis - middle for axis, middle in zip((x, y, z), np.asarray(center), strict=True)]
    return [np.asarray(sum(turn[i, own] * moved[i] for i in range(3) if turn[i, own] != 0.0)) for own in range(3)]


def blurred_slab(w: NDArray[np.float64], low: float, high: float, sigma: float) -> NDArray[np.float64]:
    """Return a slab from ``low`` to ``high`` convolved with a Gaussian."""
    scale = np.sqrt(2.0) * sigma
    return np.asarray((special.erf((w - low) / scale) - special.erf((w - high) / scale)) / 2)


def blurred_ball(r: NDArray[np.float64], radius: float, sigma: float) -> NDArray[np.float64]:
    """Return the unit ball of ``radius`` convolved with an isotropic Gaussian, at distance ``r`` from its centre."""
    z = np.maximum(r / (np.sqrt(2.0) * sigma), 1e-4)  # the limit r -> 0 is reached to 1e-8
    Z = radius / (np.sqrt(2.0) * sigma)
    ends = np.exp(-((z - Z) ** 2)) - np.exp(-((z + Z) ** 2))
    return np.asarray((special.erf(z + Z) - special.erf(z - Z)) / 2 - ends / (2 * np.sqrt(np.pi) * z))


def blurred_disc(radius: float, sigma: float) -> Callable[[NDArray[np.float64]], NDArray[np.float64]]:
    """Return the profile over the distance from the axis of a disc convolved with a two-dimensional Gaussian.

    Around the edge it is tabulated: an integral over rings, whose angular part is a Bessel function.
    """
    r = np.arange(max(radius - 7 * sigma, 0.0), radius + 7 * sigma, sigma / 50)
    low = np.maximum(r - 9 * sigma, 0.0)
    high = np.maximum(np.minimum(r + 9 * sigma, radius), low)
    nodes, weights = np.polynomial.legendre.leggauss(96)
    ring = (low + high)[:, None] / 2 + (high - low)[:, None] / 2 * nodes
    angular = special.i0e(ring * r[:, None] / sigma**2)
    density = ring / sigma**2 * np.exp(-((ring - r[:, None]) ** 2) / (2 * sigma**2)) * angular
    table = (density @ weights) * (high - low) / 2
    return lambda distance: np.interp(distance, r, table, right=0.0)


@lru_cache(maxsize=1)  # the same bubble in other noise; a table takes some 30 MB
def blurred_cap(radius: float, share: float, sigma: float) -> Callable[..., NDArray[np.float64]]:
    """Return the anterior cap (-y) of a ball, ``share`` of its volume, convolved with a Gaussian, from a fine grid.

    The edges of the grid's cells are counted by their distance to the sphere and to the cap's level.
    """
    depth = np.linspace(0.0, 2 * radius, 4001)
    height = radius - np.interp(share, depth**2 * (3 * radius - depth) / (4 * radius**3), depth)
    step = min(0.5, radius / 12)
    reach = radius + 6 * sigma
    axis = np.arange(-reach, reach + step, step)
    x, y, z = axis[None, None, :], axis[None, :, None], axis[:, None, None]
    inside = np.clip(0.5 + (radius - np.sqrt(x**2 + y**2 + z**2)) / step, 0.0, 1.0)
    inside = inside * np.clip(0.5 - (y + height) / step, 0.0, 1.0)
    # What the cells leave of the cap's volume is put right.
    inside *= share * 4 / 3 * np.pi * radius**3 / (inside.sum() * step**3)
    table = ndimage.gaussian_filter(inside, sigma / step, truncate=6.0)

    def image(x: NDArray[np.float64], y: NDArray[np.float64], z: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the cap at millimetres from the ball's centre."""
        shape = np.broadcast_shapes(x.shape, y.shape, z.shape)
        drawn = np.zeros(shape)
        near = tuple(np.abs(one).ravel() < reach for one in (z, y, x))
        places = np.meshgrid(
            *((one.ravel()[at] - axis[0]) / step for one, at in zip((z, y, x), near, strict=True)), indexing="ij"
        )
        drawn[np.ix_(*near)] = ndimage.map_coordinates(table, places, order=1, mode="constant")
        return drawn

    return image


def blurred_bed(x: NDArray[np.float64], y: NDArray[np.float64], top_mm: float, sigma: float) -> NDArray[np.float64]:
    """Return a flat bed, 400 mm wide and 20 mm thick, 5 mm below ``top_mm``."""
    return blurred_slab(x, -200, 200, sigma) * blurred_slab(y, top_mm + 5, top_mm + 25, sigma)


def with_noise(
    image: NDArray[np.float64], grid: Grid, fwhm_mm: float, cov: float, level: float, seed: int
) -> NDArray[np.float64]:
    """Add Gaussian noise of width ``fwhm_mm`` whose SD is ``cov * sqrt(signal * level)``."""
    if cov == 0:
        return image
    white = np.random.default_rng(seed).standard_normal(grid.shape_zyx, dtype=np.float32)
    norm = 1.0
    for axis, sigma in enumerate(grid.sigma_voxels(fwhm_mm)):
        white = ndimage.gaussian_filter1d(white, sigma, axis=axis, mode="wrap")
        impulse = np.zeros(2 * int(5 * sigma + 1) + 1)
        impulse[len(impulse) // 2] = 1.0
        norm *= float(np.sqrt((ndimage.gaussian_filter1d(impulse, sigma) ** 2).sum()))
    return np.asarray(image + cov / norm * np.sqrt(np.clip(image, 0.0, None) * level) * white)
