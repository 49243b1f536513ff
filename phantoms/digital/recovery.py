"""What a digital sphere recovers, from its blurred profile and from the shortest code: by none of the methods."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from phantoms.digital.blurred import SIGMA_PER_FWHM, Grid, Vector, blurred_ball, with_noise


def expected_recovery(
    fwhm_mm: float, diameter_mm: float, ratio: float = 10.0, wall_mm: float = 0.0
) -> tuple[float, float]:
    """Return what a perfect scanner of this resolution recovers of a hot sphere: (A50, maximum).

    Both are fractions of the true sphere concentration, noise-free and continuous (no voxels): the maximum is the
    blurred profile's centre; A50 its mean inside the surface where it falls to half-way between maximum and
    background. Background is ``1 / ratio``.
    """
    sigma = fwhm_mm * SIGMA_PER_FWHM
    radius = diameter_mm / 2
    background = 1.0 / ratio
    r = np.linspace(0.0, radius + 5 * sigma, 20001)
    profile = blurred_ball(r, radius, sigma) + background * (1 - blurred_ball(r, radius + wall_mm, sigma))
    maximum = float(profile[0])
    outside = int(np.argmax(profile < (maximum + background) / 2))
    inner = r[:outside]
    # Shells of the profile, weighted with their volume.
    a50 = float(np.trapezoid(profile[:outside] * inner**2, inner) / (inner[-1] ** 3 / 3))
    return a50, maximum


@dataclass(frozen=True)
class RecoverySpread:
    """Mean and SD of a measured recovery over noise and sub-voxel places, as fractions of the true concentration."""

    a50_mean: float
    a50_sd: float
    max_mean: float
    max_sd: float


def recovery_spread(
    fwhm_mm: float,
    cov: float,
    diameter_mm: float,
    ratio: float = 10.0,
    *,
    spacing_zyx_mm: Vector = (2.0, 3.2, 3.2),
    draws: int = 40,
    seed: int = 0,
) -> RecoverySpread:
    """Return how noise and voxels spread the recovery of one sphere round `expected_recovery`.

    Draws the sphere alone, at random places between voxels and with the noise that `nema_iq` adds, and takes the
    hottest voxel and the isocontour half-way to the true background by the shortest code that does so. It says which
    drawn truths lie too near to a limit for their verdict to be certain.
    """
    sigma = fwhm_mm * SIGMA_PER_FWHM
    radius = diameter_mm / 2
    rng = np.random.default_rng(seed)
    shape = tuple(2 * int(np.ceil((radius + 1.5 * fwhm_mm) / step)) + 1 for step in spacing_zyx_mm)
    grid = Grid(shape, spacing_zyx_mm, 1)
    rows = []
    for _ in range(draws):
        image = np.ones(shape)
        place = rng.uniform(-0.5, 0.5, 3) * spacing_zyx_mm[::-1]
        reach = 2 * max(axis[-1] for axis in grid.axes_lps_mm)
        grid.add_ball(image, place, reach, lambda r: (ratio - 1) * blurred_ball(r, radius, sigma))
        image = with_noise(image, grid, fwhm_mm, cov, 1.0, int(rng.integers(2**31))) / ratio
        near = sum((axis - at) ** 2 for axis, at in zip(np.ix_(*grid.axes_lps_mm), place[::-1], strict=True))
        maximum = float(image[near <= (radius + 6.0) ** 2].max())
        contour, _ = ndimage.label(image > (maximum + 1 / ratio) / 2, structure=np.ones((3, 3, 3)))
        hottest = contour[image == maximum].max()
        rows.append((image[contour == hottest].mean(), maximum))
    a50, peak = np.array(rows).T
    return RecoverySpread(float(a50.mean()), float(a50.std(ddof=1)), float(peak.mean()), float(peak.std(ddof=1)))
