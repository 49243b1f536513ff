"""The fine fit: first all six spheres as one rigid ring, then each sphere by its own voxels.

As one ring the large spheres carry the small ones; then each leaves its place as far as its own voxels ask for it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from phantoms import sphere_order
from phantoms.sphere_ring.ring import RADII_MM, RING_RADIUS_MM, Ring
from phantoms.spheres import (
    Region,
    blurred_sphere,
    is_clear_of_line,
    least_squares,
    region_within,
    sphere_model,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from phantoms.volume import PetVolume

FINE_VOXEL_MM = 2.0  # smaller voxels are averaged to about this before the fit: it needs no more, and time
_MIN_EXPLAINED = 0.3  # a fit that explains less is nowhere near a ring of spheres
_FITTED_MM3 = (
    27.0  # one voxel in about so much tells where the ring lies: in noise as broad as a blur its neighbours agree
)
_SKIN_MM = 9.0  # voxels up to here outside a sphere take part in its fit: about two blurs
_LUNG_KEEPOUT_MM = 33.0  # voxels nearer to the axis see the cold insert (radius 25.5 mm and its blur)
OUTLINE_AXIS_SD = math.radians(0.5)  # the axis through the outline's centroids, against the true one
RING_RADIUS_SD_MM = 1.0  # how exactly phantoms are made
SPHERE_PLACE_SD_MM = 0.7  # how far a sphere on its stem stands from its place on the ring


@dataclass(frozen=True)
class RingFit:
    """What the fit of a rigid ring found.

    Attributes
    ----------
    ring : Ring
        The rigid ring.
    without : frozenset of int
        Spheres, counted from the largest (0), that had no say in where it lies.
    explained : float
        Share of the voxels' variance, beyond their noise, that six equal spheres explain; 1 is perfect.
    order : Order
        The likeliest order of the places; ``start`` 0, ``way`` 1 and the ring's ``has_cold`` where it is this one.
    """

    ring: Ring
    without: frozenset[int]
    explained: float
    order: sphere_order.Order

    @property
    def is_in_order(self) -> bool:
        """Whether no other order of the places is likelier than the one that was fitted."""
        return (self.order.start, self.order.way, self.order.has_cold) == (0, 1, self.ring.has_cold)


@dataclass(frozen=True)
class FreeFit:
    """Where each sphere stands once it may leave the ring.

    Attributes
    ----------
    centers_lps_mm : ndarray, shape (6, 3)
        Each sphere's own centre, the largest first.
    amplitudes : ndarray, shape (6,)
        Each sphere's own height above the background, with the common blur; below it where it is cold.
    residual_mm : float
        Root mean square distance of the spheres, but those without a say, from their places on the ring.
    """

    centers_lps_mm: NDArray[np.float64]
    amplitudes: NDArray[np.float64]
    residual_mm: float


def fit_ring(volume: PetVolume, guess: Ring, *, noise: float, without: frozenset[int] = frozenset()) -> RingFit | None:
    """Fit the ring to the voxels about its spheres; None where the image cuts them or nothing like a ring is there.

    Parameters
    ----------
    volume : PetVolume
        The image, its voxels not above a few millimetres where that can be had.
    guess : Ring
        Within about 5 mm and 5 degrees of the truth, its axis that of the outline.
    noise : float
        Standard deviation of a voxel of the background, in the image's unit.
    without : frozenset of int
        Spheres, counted from the largest (0), that have no say in where the ring lies.
    """
    all_regions = _ring_regions(volume, guess)
    if all_regions is None:
        return None
    used = [j for j in range(6) if j not in without]
    voxel_mm3 = abs(float(np.linalg.det(volume.affine_lps_mm[:3, :3])))
    every = max(1, round(_FITTED_MM3 / voxel_mm3))
    regions = [Region(all_regions[j].lps_mm[::every], all_regions[j].values[::every]) for j in used]
    lps_mm = np.concatenate([region.lps_mm for region in regions])
    values = np.concatenate([region.values for region in regions])
    ends = np.cumsum([len(region.values) for region in regions])
    parts = [slice(stop - len(region.values), stop) for region, stop in zip(regions, ends, strict=True)]
    scale = max(guess.background, noise, 1e-30)
    # What is known beforehand weighs as much as the noise lets it: neighbouring voxels repeat each other.
    blob_noise = noise * _blob(every * voxel_mm3, guess.sigma_mm)
    radius_weight, tilt_weight = blob_noise / RING_RADIUS_SD_MM, blob_noise / OUTLINE_AXIS_SD
    across = guess.frame[:, :2].T
    cold = sphere_order.is_cold(has_cold=guess.has_cold)

    def ring_at(p: NDArray[np.float64]) -> Ring:
        return replace(
            guess,
            center_lps_mm=guess.center_lps_mm + p[:3],
            frame=_rotation(p[3:6]) @ guess.frame,
            radius_mm=float(p[6]),
            sigma_mm=float(p[7]),
            amplitude=float(p[8] * scale),
            background=float(p[9] * scale),
        )

    def residuals(p: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        ring = ring_at(p)
        residual = np.empty(len(values) + 3)
        jacobian = np.zeros((len(values) + 3, 10))
        places, directions, heights = ring.places_lps_mm, ring.directions, ring.heights
        for part, j in zip(parts, used, strict=True):
            direction = directions[j]
            model = sphere_model(
                lps_mm[part],
                center_lps_mm=places[j],
                radius_mm=RADII_MM[j],
                sigma_mm=ring.sigma_mm,
                amplitude=heights[j],
                background=ring.background,
            )
            residual[part] = model.values - values[part]
            jacobian[part, :3] = model.by_center
            jacobian[part, 3:6] = model.by_center @ _cross_matrix(ring.radius_mm * direction).T
            jacobian[part, 6] = model.by_center @ direction
            jacobian[part, 7] = model.by_sigma
            if cold[j]:
                jacobian[part, 9] = (1.0 - model.profile) * scale
            else:
                jacobian[part, 8] = model.profile * scale
                jacobian[part, 9] = scale
        residual[-3] = radius_weight * (ring.radius_mm - RING_RADIUS_MM)
        jacobian[-3, 6] = radius_weight
        residual[-2:] = tilt_weight * (across @ p[3:6])
        jacobian[-2:, 3:6] = tilt_weight * across
        return residual, jacobian

    start = np.array([0, 0, 0, 0, 0, 0, RING_RADIUS_MM, guess.sigma_mm, 4.0, guess.background / scale])
    reach = np.array([15.0, 15.0, 15.0, 0.35, 0.35, 0.35, 8.0, 0, 0, 0])
    low, high = start - reach, start + reach
    low[7:], high[7:] = [0.8, -2.0, -1.0], [7.0, 1e4, 1e4]
    tolerance = np.array([0.01, 0.01, 0.01, 2e-4, 2e-4, 2e-4, 0.01, 0.01, 0.005, 0.005])
    fit = least_squares(residuals, start, low=low, high=high, tolerance=tolerance, max_steps=20)
    ring = ring_at(fit.parameters)
    explained = _explained(fit.sum_of_squares, values, noise)
    if ring.amplitude <= 0 or explained < _MIN_EXPLAINED:
        return None
    blob_voxels = _blob(voxel_mm3, ring.sigma_mm) ** 2
    return RingFit(
        ring=ring,
        without=without,
        explained=explained,
        order=sphere_order.likeliest(
            volume,
            ring.places_lps_mm,
            axis=ring.frame[:, 2],
            clear_of_axis_mm=_LUNG_KEEPOUT_MM,
            noise=noise,
            blob_voxels=blob_voxels,
        ),
    )


def free_spheres(volume: PetVolume, fit: RingFit, *, noise: float) -> FreeFit | None:
    """Let every sphere leave the ring as far as its voxels ask for it against the usual tolerance of a stem.

    None where the image cuts a sphere; the parameters are those of `fit_ring`.
    """
    ring = fit.ring
    regions = _ring_regions(volume, ring)
    if regions is None:
        return None
    blob_noise = noise * _blob(abs(float(np.linalg.det(volume.affine_lps_mm[:3, :3]))), ring.sigma_mm)
    centers, amplitudes = [], []
    for region, place, radius, height in zip(regions, ring.places_lps_mm, RADII_MM, ring.heights, strict=True):
        # Counting noise grows with the root of the signal.
        top = height * float(blurred_sphere(np.zeros(1), radius, ring.sigma_mm)[0])
        own_noise = blob_noise * math.sqrt(max(0.1, 1.0 + top / max(ring.background, 0.01 * ring.amplitude)))
        weight = own_noise / SPHERE_PLACE_SD_MM

        def residuals(
            p: NDArray[np.float64],
            region: Region = region,
            place: NDArray[np.float64] = place,
            radius: float = radius,
            weight: float = weight,
        ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
            model = sphere_model(
                region.lps_mm,
                center_lps_mm=place + p[:3],
                radius_mm=radius,
                sigma_mm=ring.sigma_mm,
                amplitude=p[3] * ring.amplitude,
                background=p[4] * ring.amplitude,
            )
            jacobian = np.zeros((len(region.values) + 3, 5))
            jacobian[:-3, :3] = model.by_center
            jacobian[:-3, 3] = model.profile * ring.amplitude
            jacobian[:-3, 4] = ring.amplitude
            jacobian[-3:, :3] = weight * np.eye(3)
            return np.concatenate([model.values - region.values, weight * p[:3]]), jacobian

        start = np.array([0.0, 0.0, 0.0, height / ring.amplitude, ring.background / ring.amplitude])
        reach = np.array([8.0, 8.0, 8.0, 9.0, 9.0])
        tolerance = np.array([0.01, 0.01, 0.01, 0.005, 0.005])
        own = least_squares(residuals, start, low=start - reach, high=start + reach, tolerance=tolerance, max_steps=12)
        centers.append(place + own.parameters[:3])
        amplitudes.append(own.parameters[3] * ring.amplitude)
    used = [j for j in range(6) if j not in fit.without]
    off_mm2 = np.sum((np.array(centers) - ring.places_lps_mm)[used] ** 2, axis=1)
    return FreeFit(np.array(centers), np.array(amplitudes), math.sqrt(float(off_mm2.mean())))


def _ring_regions(volume: PetVolume, ring: Ring) -> list[Region] | None:
    """Return each sphere's voxels without those that see the cold insert; None where the image cuts one in half."""
    voxel_mm3 = abs(float(np.linalg.det(volume.affine_lps_mm[:3, :3])))
    regions = []
    for place, radius in zip(ring.places_lps_mm, RADII_MM, strict=True):
        region = region_within(volume, place, radius + _SKIN_MM)
        if len(region.values) < 0.6 * (4.0 / 3.0 * math.pi * (radius + _SKIN_MM) ** 3) / voxel_mm3:
            return None
        clear = is_clear_of_line(region.lps_mm, ring.center_lps_mm, ring.frame[:, 2], _LUNG_KEEPOUT_MM)
        regions.append(Region(region.lps_mm[clear], region.values[clear]))
    return regions


def _blob(voxel_mm3: float, sigma_mm: float) -> float:
    """Return the root of how many voxels repeat each other in noise as broad as the blur."""
    return math.sqrt(max(1.0, (4.0 * math.pi * sigma_mm**2) ** 1.5 / voxel_mm3))


def _explained(sum_of_squares: float, values: NDArray[np.float64], noise: float) -> float:
    """Share of the variance beyond noise that the model explains, 0 where there is none beyond noise."""
    from_noise = noise**2 * len(values)
    beyond = float(np.sum((values - values.mean()) ** 2)) - from_noise
    return 1.0 - max(sum_of_squares - from_noise, 0.0) / beyond if beyond > 0 else 0.0


def _rotation(vector: NDArray[np.float64]) -> NDArray[np.float64]:
    """Rotation by ``|vector|`` radians about ``vector`` (Rodrigues)."""
    angle = float(np.linalg.norm(vector))
    if angle < 1e-12:
        return np.eye(3)
    cross = _cross_matrix(vector / angle)
    return np.asarray(np.eye(3) + math.sin(angle) * cross + (1.0 - math.cos(angle)) * (cross @ cross))


def _cross_matrix(vector: NDArray[np.float64]) -> NDArray[np.float64]:
    """Matrix of the cross product with ``vector`` on its left."""
    x, y, z = vector
    return np.array([[0.0, -z, y], [z, 0.0, -x], [-y, x, 0.0]])
