"""The coarse search: every centre near the axis of the outline, every turn about it, both ways round."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from phantoms import sphere_order
from phantoms.body import SMOOTHING_MM
from phantoms.sphere_ring.ring import RADII_MM, RING_RADIUS_MM, TYPICAL_SIGMA_MM, Ring
from phantoms.spheres import blurred_sphere

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from phantoms.body import Body

_AXIS_REACH_MM = 30.0  # the ring's centre lies this near the line through the outline's centroids
_MIN_SCORE = 8.0
_OUTSIDE = -5.0  # height that a place outside the body counts with
_TYPICAL_CONTRAST = 4.0  # of hot spheres, where others are cold: 4:1 or 8:1
_PHASE_STEPS = 12  # turns tried within 60 degrees


def guesses(body: Body, *, count: int) -> Iterator[Ring]:
    """Yield the likeliest rings of a coarse search, best first, each at another place, turn or order.

    Every voxel near the axis is tried as the centre, every 5 degrees as the turn, and all twelve orders, each with all
    spheres hot and with the two largest cold; the score is the matched filter of the six expected heights with the
    image's heights over the background of each slice, in units of that slice's own noise, so that the noisy end slices
    of a scan do not win. Noise alone reaches 4 in all the places tried; the weakest phantom that is to be found (4:1,
    noise 40 %, FWHM 9 mm) reaches 18.
    """
    heights = _heights_in_noise(body)
    # Nothing cold counts outside the body: there all is cold.
    cold_heights = np.where(heights == _OUTSIDE, -_OUTSIDE, heights)
    affine = body.image.affine_lps_mm
    inverse = np.linalg.inv(affine[:3, :3])
    pad = [math.ceil(RING_RADIUS_MM * np.linalg.norm(inverse[2 - k])) + 1 for k in range(3)]
    padded = [np.pad(h, [(p, p) for p in pad], constant_values=out) for h, out in ((heights, -1), (cold_heights, 1))]
    centers, flat = _centers_near_axis(body, padded[0].shape, pad)
    if not len(flat):
        return
    e1 = np.cross(body.axis, [0.0, 1.0, 0.0])
    e1 /= np.linalg.norm(e1)
    e2 = np.cross(body.axis, e1)
    expected = np.array(
        [blurred_sphere(np.zeros(1), r, math.hypot(TYPICAL_SIGMA_MM, SMOOTHING_MM))[0] for r in RADII_MM]
    )
    orders = sphere_order.ORDERS
    templates = np.zeros((len(orders), 6), np.float32)
    for row, (start, way, has_cold) in enumerate(orders):
        template = expected * np.where(sphere_order.is_cold(has_cold=has_cold), -1.0 / _TYPICAL_CONTRAST, 1.0)
        templates[row, [(start + way * j) % 6 for j in range(6)]] = template / np.linalg.norm(template)
    hot, cold = np.maximum(templates, 0.0), np.minimum(templates, 0.0)
    shape = padded[0].shape
    hot_seen, cold_seen = (one.ravel() for one in padded)
    stride = np.array([shape[1] * shape[2], shape[2], 1])
    best = np.full(len(flat), -np.inf, np.float32)
    best_step = np.zeros(len(flat), int)

    def scores_at(step: int, places: NDArray[np.intp]) -> NDArray[np.float32]:
        turn = (step / _PHASE_STEPS + np.arange(6)) * (math.pi / 3.0)
        offset = RING_RADIUS_MM * (np.outer(np.cos(turn), e1) + np.outer(np.sin(turn), e2))
        shift = np.rint(offset @ inverse.T).astype(int)[:, ::-1] @ stride
        around = places + shift[:, None]
        return np.asarray(hot @ hot_seen.take(around) + cold @ cold_seen.take(around))

    for step in range(_PHASE_STEPS):
        score = scores_at(step, flat).max(axis=0)
        better = score > best
        best[better], best_step[better] = score[better], step
    for _ in range(count):
        at = int(np.argmax(best))
        if best[at] < _MIN_SCORE:
            return
        turn0 = best_step[at] / _PHASE_STEPS * (math.pi / 3.0)
        u1 = math.cos(turn0) * e1 + math.sin(turn0) * e2
        u2 = -math.sin(turn0) * e1 + math.cos(turn0) * e2
        ring = Ring(centers[at], np.column_stack([u1, u2, body.axis]), background=body.level)
        start, way, has_cold = orders[int(scores_at(int(best_step[at]), flat[at : at + 1]).argmax())]
        yield ring.reordered(start, way, has_cold=has_cold)
        # The fit finds its way over a few millimetres; the next guess is another place.
        best[np.linalg.norm(centers - centers[at], axis=1) < 12.0] = -np.inf


def _heights_in_noise(body: Body) -> NDArray[np.float32]:
    """Return the image above each slice's median, in that slice's noise; clearly negative outside the body."""
    image = body.image.image
    heights = np.full(image.shape, _OUTSIDE, np.float32)
    area = body.mask.sum(axis=(1, 2))
    for k in np.flatnonzero(area > 0.3 * np.median(area[area > 0])):
        inside = image[k][body.mask[k]]
        some = inside[::3]  # of a smooth image they tell the same
        middle = np.median(some)
        noise = max(1.4826 * float(np.median(np.abs(some - middle))), 0.02 * body.level)
        heights[k][body.mask[k]] = (inside - middle) / noise
    return heights


def _centers_near_axis(
    body: Body, padded_shape: tuple[int, ...], pad: list[int]
) -> tuple[NDArray[np.float64], NDArray[np.intp]]:
    """Return the coarse voxels near the axis: positions ``[n, 3]`` and flat indices into the padded image."""
    inverse = np.linalg.inv(body.image.affine_lps_mm[:3, :3])
    direction = (inverse @ body.axis)[::-1]
    slices = np.flatnonzero(body.mask.any(axis=(1, 2)))
    start = body.image.to_index_zyx(body.point_lps_mm)
    on_axis = start + (slices - start[0])[:, None] * (direction / direction[0])
    reach = [math.ceil(_AXIS_REACH_MM * np.linalg.norm(inverse[k])) for k in (1, 0)]
    around = np.indices((1, 2 * reach[0] + 1, 2 * reach[1] + 1)).reshape(3, -1).T - np.array([0, *reach])
    around = around[np.linalg.norm(around * body.image.spacing_zyx_mm, axis=1) <= _AXIS_REACH_MM]
    index = (np.rint(on_axis).astype(int)[:, None] + around).reshape(-1, 3)
    index = index[np.all((index >= 0) & (index < body.image.image.shape), axis=1)]
    lps_mm = body.image.to_lps_mm(index.astype(np.float64))
    return lps_mm, np.ravel_multi_index(tuple((index + np.array(pad)).T), padded_shape)
