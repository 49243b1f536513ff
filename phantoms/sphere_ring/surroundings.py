"""What surrounds a fitted ring: the noise of the background, the ends of the filled body, the cold insert."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage

from phantoms.body import SMOOTHING_MM
from phantoms.sphere_ring.ring import RING_RADIUS_MM
from phantoms.spheres import region_within

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from phantoms.sphere_ring.ring import Ring
    from phantoms.volume import PetVolume

_LEAST_PLACES = 6  # of background that tell its noise
_BETWEEN_SPHERES_AND_WALL_MM = 85.0  # from the axis: the spheres reach 76, the body's flattest side lies at 112
_LONGEST_BODY_MM = 240.0
_INSERT_REACH_MM = 38.0  # from the axis: the insert's radius is 25.5, the spheres begin at 39


def background_noise(volume: PetVolume, ring: Ring) -> float | None:
    """Return the standard deviation of a background voxel; None where too little background is in the image.

    The median over twelve to twenty-four places over and under the ring, 40 mm from its plane, between insert and
    outline: it bears places that hang out of the phantom or over an artefact. Places that read half the background or
    half as much again do not count while there are enough others: noisy end slices may reach into one whole side.
    """
    deviations, usual = [], []
    for offset_mm in (-40.0, 40.0):
        for turn in np.arange(12) * (math.pi / 6.0):
            way = math.cos(turn) * ring.frame[:, 0] + math.sin(turn) * ring.frame[:, 1]
            place = ring.center_lps_mm + RING_RADIUS_MM * way + offset_mm * ring.frame[:, 2]
            region = region_within(volume, place, 2.0 * SMOOTHING_MM)
            if len(region.values) >= 8:
                deviations.append(float(region.values.std(ddof=1)))
                usual.append(abs(float(region.values.mean()) / ring.background - 1.0) < 0.5)
    fitting = [deviation for deviation, is_usual in zip(deviations, usual, strict=True) if is_usual]
    if len(fitting) >= _LEAST_PLACES:
        return float(np.median(fitting))
    return float(np.median(deviations)) if len(deviations) >= _LEAST_PLACES else None


def filled_extent(smooth: PetVolume, ring: Ring) -> tuple[tuple[float, float], tuple[bool, bool]]:
    """Find where the filled body begins and ends along the axis, millimetres from the sphere plane.

    Parameters
    ----------
    smooth : PetVolume
        The smoothed image of `find_body`; smoothing leaves the half-level of a flat end where it is.
    ring : Ring
        The fitted ring.

    Returns
    -------
    filled_mm : tuple of float
        Both ends, the lower first.
    is_cut : tuple of bool
        True where the image ends before the body does.
    """
    height = np.arange(0.0, _LONGEST_BODY_MM + 1.0)
    turn = np.arange(24) * (math.pi / 12.0)
    rim = _BETWEEN_SPHERES_AND_WALL_MM * (
        np.outer(np.cos(turn), ring.frame[:, 0]) + np.outer(np.sin(turn), ring.frame[:, 1])
    )
    ends, cuts = [], []
    for way in (-1.0, 1.0):
        points = ring.center_lps_mm + rim[:, None] + (way * height)[None, :, None] * ring.frame[:, 2]
        index = np.moveaxis(smooth.to_index_zyx(points), -1, 0)
        values = ndimage.map_coordinates(smooth.image, index, order=1, mode="nearest")
        shape = np.array(smooth.image.shape)[:, None, None]
        inside = np.all((index > -0.5) & (index < shape - 0.5), axis=0).all(axis=0)
        profile = np.median(values, axis=0) / ring.background
        stop = int(np.argmax(profile < 0.5)) if (profile < 0.5).any() else len(profile) - 1
        edge = int(np.argmin(inside)) if not inside.all() else len(profile)
        if stop == 0 or edge <= stop:
            ends.append(way * float(height[max(edge - 1, 0)]) if edge < len(height) else way * _LONGEST_BODY_MM)
            cuts.append(True)
        else:
            step = (profile[stop - 1] - 0.5) / max(profile[stop - 1] - profile[stop], 1e-9)
            ends.append(way * float(height[stop - 1] + step))
            cuts.append(False)
    return (ends[0], ends[1]), (cuts[0], cuts[1])


def cold_insert(
    volume: PetVolume, ring: Ring, filled_mm: tuple[float, float]
) -> tuple[NDArray[np.float64], float] | None:
    """Find the cold cylinder inside the ring: where it crosses the sphere plane, and its radius, millimetres.

    Averaged along the axis, away from the spheres and the ends; the centre is the centroid of the missing activity and
    the radius that of the disc that lacks as much as was found, were it as cold throughout as in its middle.
    """
    step_mm = 2.0
    line = np.arange(-_INSERT_REACH_MM, _INSERT_REACH_MM + step_mm, step_mm)
    u, v = (part.ravel() for part in np.meshgrid(line, line, indexing="ij"))
    within = np.hypot(u, v) <= _INSERT_REACH_MM
    u, v = u[within], v[within]
    height = np.arange(filled_mm[0] + 15.0, filled_mm[1] - 15.0, 4.0)
    height = height[np.abs(height) > 25.0]  # clear of the spheres
    if not len(height):
        return None
    across = np.outer(u, ring.frame[:, 0]) + np.outer(v, ring.frame[:, 1])
    points = ring.center_lps_mm + across[:, None] + height[None, :, None] * ring.frame[:, 2]
    index = np.rint(volume.to_index_zyx(points)).astype(int)
    inside = np.all((index >= 0) & (index < volume.image.shape), axis=(0, 2))
    if not inside.any():
        return None
    z, y, x = np.moveaxis(index[:, inside], -1, 0)
    missing = 1.0 - volume.image[z, y, x].mean(axis=1) / ring.background
    middle = float(missing[np.hypot(u, v) < 12.0].mean())
    if middle < 0.4:
        return None
    share = np.clip(missing / middle, 0.0, 1.0)
    share[share < 0.25] = 0.0
    center = ring.center_lps_mm + (share @ across) / share.sum()
    return center, math.sqrt(float(np.clip(missing, 0.0, None).sum()) / middle * step_mm**2 / math.pi)
