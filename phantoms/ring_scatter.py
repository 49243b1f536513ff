"""How surely the ring of six spheres is placed: its tilt, and how far the spheres stand off it.

The fit of `phantoms.sphere_ring` in which all voxels count alike is, to first order in the noise, one of the spheres'
own centres, each weighed by the steepness of its wall; so the covariances of the centres, which the noise of the image
gives, lead to that of the ring.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy import linalg

from phantoms import magnitudes
from phantoms.sphere_ring import fit
from phantoms.spheres import DIAMETERS_MM, FWHM_PER_SIGMA, blurred_sphere

if TYPE_CHECKING:
    from phantoms.localise import NemaPose
    from phantoms.sphere_noise import PlaceScatter

_LEAST_SPHERES = 3  # that make a plane


@dataclass(frozen=True)
class RingScatter:
    """One standard deviation of the ring's tilt against z, degrees, and of the spheres' distance from it, mm (RMS)."""

    tilt_deg: float
    residual_mm: float


def ring_scatter(pose: NemaPose, places: Mapping[int, PlaceScatter], noise_sd: float) -> RingScatter | None:
    """Return how tilt and misfit of the ring scatter.

    Parameters
    ----------
    pose : NemaPose
    places : mapping of int to PlaceScatter
        By diameter, of the spheres that had a say in where the ring lies.
    noise_sd : float
        Standard deviation of a background voxel, in the image's unit.

    Returns
    -------
    RingScatter or None
        None of fewer than three spheres.

    Notes
    -----
    With T what centre, turn and radius move each sphere by, W the steepness of its wall and P what the fit knows
    beforehand (radius ± 1 mm, the outline's axis ± 0.5°, in the noise of a blob as broad as the blur):

        ring     θ = (TᵀWT + P)⁻¹ TᵀW c           Cov θ = H (TᵀW C WT + P₀) H,   H = (TᵀWT + P)⁻¹
        misfit   x = S (1 − T H TᵀW) c            S = W / (W + stem), for each sphere is held by 0.7 mm too

    C are the centres' covariances, P₀ the share of the outline's axis, which noise moves; the radius that phantoms are
    made to it does not. How far real spheres stand off one plane is not in the tilt: it is the tilt of that plane.
    """
    used = [diameter for diameter in DIAMETERS_MM if diameter in places]
    if len(used) < _LEAST_SPHERES:
        return None
    turn = np.array([DIAMETERS_MM.index(diameter) for diameter in used]) * (math.pi / 3.0)
    outward = np.outer(np.cos(turn), pose.frame[:, 0]) + np.outer(np.sin(turn), pose.frame[:, 1])
    moves = np.concatenate(
        [
            np.column_stack([np.eye(3), np.cross(np.eye(3), pose.ring_radius_mm * way).T, way[:, None]])
            for way in outward
        ]
    )
    sigma_mm = pose.fwhm_mm / FWHM_PER_SIGMA
    blob = noise_sd**2 * (4.0 * math.pi * sigma_mm**2) ** 1.5
    known = np.zeros((7, 7))
    known[3:6, 3:6] = blob / fit.OUTLINE_AXIS_SD**2 * pose.frame[:, :2] @ pose.frame[:, :2].T
    noisy = known * blob
    known[6, 6] = blob / fit.RING_RADIUS_SD_MM**2
    steepness = np.array([places[diameter].steepness for diameter in used])
    weights = np.repeat(steepness, 3)
    inverse = np.linalg.inv(moves.T @ (weights[:, None] * moves) + known)
    to_ring = inverse @ (moves.T * weights)
    covariance = linalg.block_diag(*(places[diameter].covariance_mm2 for diameter in used))
    of_ring = to_ring @ covariance @ to_ring.T + inverse @ noisy @ inverse
    leaning = np.cross(np.eye(3), pose.axis).T
    of_axis = leaning @ of_ring[3:6, 3:6] @ leaning.T
    # What the fit of each sphere is held to its place by: noise that goes with the root of the signal, over 0.7 mm.
    radii_mm = np.array(used) / 2.0
    tops = np.array([float(blurred_sphere(np.zeros(1), radius, sigma_mm)[0]) for radius in radii_mm])
    heights = np.array([-1.0 if diameter in pose.cold_spheres else pose.contrast - 1.0 for diameter in used])
    stems = blob * np.maximum(0.1, 1.0 + heights * tops) / fit.SPHERE_PLACE_SD_MM**2
    free = np.repeat(steepness / (steepness + stems), 3)
    left = free[:, None] * (np.eye(len(weights)) - moves @ to_ring)
    return RingScatter(
        tilt_deg=magnitudes.tilt_sd_deg(pose.axis, of_axis),
        residual_mm=magnitudes.rms_sd(pose.residual_mm, left @ covariance @ left.T, len(used)),
    )
