"""Which of six spheres on a ring is which: twelve orders, judged by the spheres' radial profiles.

The profile about each place is compared with that of every size, for every blur, under one common height for all six;
and again with the two largest cold, which is as likely beforehand.
A sphere that no size fits (empty, misfilled, a bubble) counts only so much, so that it does not turn the other five.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from phantoms.spheres import DIAMETERS_MM, FWHM_PER_SIGMA, blurred_sphere, is_clear_of_line, region_within

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from phantoms.volume import PetVolume

COLD_COUNT = 2  # the largest ones, in editions of NEMA NU 2 before 2018
ORDERS = tuple((start, way, has_cold) for has_cold in (False, True) for start in range(6) for way in (1, -1))

_PROFILE_MM = 28.0  # about half way to the neighbours; beyond the largest sphere and its blur
_BACKGROUND_FROM_MM = 22.0
_BLURS_MM = np.arange(3.0, 14.5, 1.0)  # FWHM tried
_MODEL_ERROR = 0.1  # of the height: wall, misfill and a place that is a millimetre off
_LOUDEST = 16.0  # misfit above which a sphere is taken for odd and counts no more


@dataclass(frozen=True)
class Order:
    """The likeliest order of six places.

    Attributes
    ----------
    start, way : int
        The largest sphere is at place ``start`` and the sizes fall in the direction ``way`` (±1) of the places.
    has_cold : bool
        Whether the two largest hold no activity.
    probability : float
        Of this order among the twelve, each with and without cold spheres.
    odd : frozenset of int
        Spheres, counted from the largest (0), whose profile fits none of what this order expects there.
    """

    start: int
    way: int
    has_cold: bool
    probability: float
    odd: frozenset[int]


def is_cold(*, has_cold: bool) -> NDArray[np.bool_]:
    """Return which spheres are cold, shape (6,), the largest first."""
    return (np.arange(6) < COLD_COUNT) & has_cold


_NO_ORDER = Order(0, 1, has_cold=False, probability=0.0, odd=frozenset())


def likeliest(
    volume: PetVolume,
    places_lps_mm: NDArray[np.float64],
    *,
    axis: NDArray[np.float64],
    clear_of_axis_mm: float,
    noise: float,
    blob_voxels: float,
) -> Order:
    """Judge the twelve orders of six places, all hot or two of them cold.

    Parameters
    ----------
    volume : PetVolume
        The image.
    places_lps_mm : ndarray, shape (6, 3)
        The places round the ring, in turn.
    axis : ndarray, shape (3,)
        Direction of the ring's axis.
    clear_of_axis_mm : float
        Voxels nearer to the axis than this are left out.
    noise : float
        Standard deviation of a background voxel.
    blob_voxels : float
        How many voxels repeat each other in the noise.
    """
    edges = np.arange(0.0, _PROFILE_MM + 1.0, max(1.0, max(volume.spacing_zyx_mm) / 2.0))
    profiles = np.zeros((6, len(edges) - 1))
    counts = np.zeros_like(profiles)
    middle = places_lps_mm.mean(axis=0)
    for i, place in enumerate(places_lps_mm):
        region = region_within(volume, place, float(edges[-1]) - 1e-6)
        clear = is_clear_of_line(region.lps_mm, middle, axis, clear_of_axis_mm)
        offset = region.lps_mm[clear] - place
        ring = (np.sqrt(np.einsum("ni,ni->n", offset, offset)) / edges[1]).astype(int)
        counts[i] = np.bincount(ring, minlength=len(edges) - 1)
        total = np.bincount(ring, weights=region.values[clear], minlength=len(edges) - 1)
        profiles[i] = total / np.maximum(counts[i], 1)
    distance_mm = (edges[1:] + edges[:-1]) / 2.0
    outer = distance_mm >= _BACKGROUND_FROM_MM
    seen = [np.average(p[outer], weights=c[outer]) for p, c in zip(profiles, counts, strict=True) if c[outer].any()]
    if not seen:
        return _NO_ORDER
    background = float(np.median(seen))
    heights = profiles - background
    shapes = np.array(
        [[blurred_sphere(distance_mm, d / 2.0, blur / FWHM_PER_SIGMA) for d in DIAMETERS_MM] for blur in _BLURS_MM]
    )  # [blur, size, r]
    # Bins closer than the noise is broad tell the same thing twice.
    step_mm = float(edges[1] - edges[0])
    spread_mm = (blob_voxels * abs(float(np.linalg.det(volume.affine_lps_mm[:3, :3])))) ** (1.0 / 3.0)
    share = min(1.0, step_mm / spread_mm)
    variance = noise**2 * np.maximum(blob_voxels / np.maximum(counts, 1e-9), 1.0)

    at = np.array([[(start + way * j) % 6 for j in range(6)] for start, way, has_cold in ORDERS if not has_cold])
    filled = (is_cold(has_cold=False), is_cold(has_cold=True))  # as the orders come
    misfits = np.concatenate(
        [_misfits(heights[at], counts[at], shapes, variance[at], share, cold, background) for cold in filled]
    )
    by_blur = np.minimum(misfits, _LOUDEST).sum(axis=2)
    totals = by_blur.min(axis=1)
    if not np.isfinite(totals).any():
        return _NO_ORDER
    likelihood = np.exp(-0.5 * (totals - totals.min()))
    winner = int(np.argmin(totals))
    own_misfit = misfits[winner, int(np.argmin(by_blur[winner]))]
    odd = frozenset(int(j) for j in np.flatnonzero(own_misfit >= _LOUDEST))
    start, way, has_cold = ORDERS[winner]
    return Order(start, way, has_cold, float(likelihood[winner] / likelihood.sum()), odd)


def _misfits(
    heights: NDArray[np.float64],
    counts: NDArray[np.float64],
    shapes: NDArray[np.float64],
    variance: NDArray[np.float64],
    share: float,
    cold: NDArray[np.bool_],
    background: float,
) -> NDArray[np.float64]:
    """Return each sphere's misfit ``[order, blur, size]``, under the common height that most hot ones ask for.

    ``shapes`` is ``[blur, size, r]``, the others ``[order, size, r]``. A cold sphere lacks the whole background.
    """
    power = np.einsum("osr,bsr->obs", counts, shapes**2)
    asked = np.einsum("osr,bsr->obs", counts * heights, shapes) / np.maximum(power, 1e-12)
    common = _weighted_medians(asked[..., ~cold], np.sqrt(power)[..., ~cold])[..., None]
    if cold.any() and background <= 0:
        return np.full(asked.shape, math.inf)
    wanted = np.where(cold, -background, common)[..., None]
    deviation2 = variance[:, None] + (_MODEL_ERROR * wanted) ** 2
    residual2 = np.where(counts[:, None] > 0, (heights[:, None] - wanted * shapes) ** 2, 0.0)
    misfits = share * np.sum(residual2 / deviation2, axis=3)
    return np.where(common > 0, misfits, math.inf)


def _weighted_medians(values: NDArray[np.float64], weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the weighted medians along the last axis."""
    rank = np.argsort(values, axis=-1)
    below = np.cumsum(np.take_along_axis(weights, rank, axis=-1), axis=-1)
    middle = np.sum(below < below[..., -1:] / 2.0, axis=-1, keepdims=True)
    return np.take_along_axis(values, np.take_along_axis(rank, middle, axis=-1), axis=-1)[..., 0]
