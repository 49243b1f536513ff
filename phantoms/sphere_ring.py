"""Six spheres on a ring: where they are, found coarsely by template and finely by a fit of the blurred-sphere model.

All six are hot, or the two largest are cold (NEMA NU 2 before 2018); the image says which.

The coarse search knows the phantom's axis from its outline and tries every centre near it, every turn about it and
both ways round; the fine fit moves all six spheres as one rigid ring, so that the large ones carry the small ones,
and then lets each sphere leave its place on the ring as far as its own voxels ask for it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage

from phantoms import sphere_order
from phantoms.spheres import (
    DIAMETERS_MM,
    Region,
    blurred_sphere,
    is_clear_of_line,
    least_squares,
    region_within,
    sphere_model,
)
from phantoms.volume import PetVolume

if TYPE_CHECKING:
    from numpy.typing import NDArray

RING_RADIUS_MM = 57.2  # NEMA NU 2: centres of the spheres from the phantom's axis
RADII_MM = np.array(DIAMETERS_MM) / 2.0

FINE_VOXEL_MM = 2.0  # smaller voxels are averaged to about this before the fit: it needs no more, and time

_COARSE_VOXEL_MM = 4.0
_SMOOTHING_MM = 5.0  # standard deviation of the coarse image's smoothing
_TRUNCATE = 3.0  # standard deviations at which it ends
_TYPICAL_SIGMA_MM = 3.0  # blur of a PET image, for the sizes expected in the coarse search
_AXIS_REACH_MM = 30.0  # the ring's centre lies this near the line through the outline's centroids
_MIN_SCORE = 8.0
_MIN_EXPLAINED = 0.3  # a fit that explains less is nowhere near a ring of spheres
_OUTSIDE = -5.0  # height that a place outside the body counts with
_TYPICAL_CONTRAST = 4.0  # of hot spheres, where others are cold: 4:1 or 8:1
_PHASE_STEPS = 12  # turns tried within 60 degrees
_LEAST_PLACES = 6  # of background that tell its noise
_FITTED_MM3 = (
    27.0  # one voxel in about so much tells where the ring lies: in noise as broad as a blur its neighbours agree
)
_SKIN_MM = 9.0  # voxels up to here outside a sphere take part in its fit: about two blurs
_LUNG_KEEPOUT_MM = 33.0  # voxels nearer to the axis see the cold insert (radius 25.5 mm and its blur)
_BETWEEN_SPHERES_AND_WALL_MM = 85.0  # from the axis: the spheres reach 76, the body's flattest side lies at 112
_LONGEST_BODY_MM = 240.0
_SHORTEST_BODY_MM = 60.0  # what is bright, shorter, and at an end of the scan is the noise of its end slices
_INSERT_REACH_MM = 38.0  # from the axis: the insert's radius is 25.5, the spheres begin at 39
_OUTLINE_AXIS_SD = math.radians(0.5)  # the axis through the outline's centroids, against the true one
_RING_RADIUS_SD_MM = 1.0  # how exactly phantoms are made
_SPHERE_PLACE_SD_MM = 0.7  # how far a sphere on its stem stands from its place on the ring


@dataclass(frozen=True)
class Body:
    """The phantom's outline as the coarse, smoothed image shows it.

    Attributes
    ----------
    image : PetVolume
        Voxels of about 4 mm, smoothed by 5 mm.
    mask : ndarray of bool, shape (z, y, x)
        Voxels of the largest body above half its own median.
    level : float
        That median, in the image's unit.
    axis : ndarray, shape (3,)
        Unit vector along the line through the centroids of its slices, towards +z (head).
    point_lps_mm : ndarray, shape (3,)
        A point of that line.
    """

    image: PetVolume
    mask: NDArray[np.bool_]
    level: float
    axis: NDArray[np.float64]
    point_lps_mm: NDArray[np.float64]


@dataclass(frozen=True)
class Ring:
    """A rigid ring: sphere j stands at ``center + radius · (cos φ · e1 + sin φ · e2)`` with φ = j · 60°.

    ``frame[3, 3]`` has the columns e1 (towards the largest sphere), e2 (the way the sizes fall), and the axis; it is
    left-handed where the sizes fall the other way round. With ``has_cold`` the two largest spheres hold nothing, and
    ``amplitude`` is the height of the others over the background.
    """

    center_lps_mm: NDArray[np.float64]
    frame: NDArray[np.float64]
    radius_mm: float = RING_RADIUS_MM
    sigma_mm: float = _TYPICAL_SIGMA_MM
    amplitude: float = 0.0
    background: float = 0.0
    has_cold: bool = False

    @property
    def heights(self) -> NDArray[np.float64]:
        """Concentration of each sphere over the background, shape (6,), the largest first; negative where cold."""
        return np.where(sphere_order.is_cold(has_cold=self.has_cold), -self.background, self.amplitude)

    @property
    def directions(self) -> NDArray[np.float64]:
        """Unit vectors from the ring's centre to the spheres, shape (6, 3), the largest sphere first."""
        turn = np.arange(6) * (math.pi / 3.0)
        return np.outer(np.cos(turn), self.frame[:, 0]) + np.outer(np.sin(turn), self.frame[:, 1])

    @property
    def places_lps_mm(self) -> NDArray[np.float64]:
        """Centres of the spheres, shape (6, 3), the largest first."""
        return np.asarray(self.center_lps_mm + self.radius_mm * self.directions)

    def reordered(self, start: int, way: int, *, has_cold: bool) -> Ring:
        """Return the same six places with the largest sphere at place ``start`` and the sizes falling ``way`` (±1)."""
        angle = start * math.pi / 3.0
        e1, e2 = self.frame[:, 0], self.frame[:, 1]
        largest = math.cos(angle) * e1 + math.sin(angle) * e2
        next_to_it = way * (-math.sin(angle) * e1 + math.cos(angle) * e2)
        return replace(self, frame=np.column_stack([largest, next_to_it, self.frame[:, 2]]), has_cold=has_cold)


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


def binned(volume: PetVolume, voxel_mm: float) -> PetVolume:
    """Average whole blocks of voxels so that none is much larger than ``voxel_mm``; large voxels stay as they are."""
    factors = [max(1, round(voxel_mm / step)) for step in volume.spacing_zyx_mm]
    if factors == [1, 1, 1]:
        return volume
    image = volume.image
    for axis, factor in enumerate(factors):
        if factor > 1:
            count = image.shape[axis] // factor * factor
            first, second, *others = (image[(slice(None),) * axis + (slice(k, count, factor),)] for k in range(factor))
            image = first + second
            for other in others:
                image += other
            image /= np.float32(factor)
    affine = volume.affine_lps_mm.copy()
    affine[:3, :3] = volume.affine_lps_mm[:3, :3] * factors[::-1]
    affine[:3, 3] += volume.affine_lps_mm[:3, :3] @ ((np.array(factors[::-1]) - 1) / 2.0)
    return PetVolume(image, affine, volume.unit)


def along_patient_axes(volume: PetVolume) -> PetVolume:
    """Return a view whose index axes run as nearly as they can along +z, +y and +x of the patient."""
    columns = volume.affine_lps_mm[:3, :3] / np.linalg.norm(volume.affine_lps_mm[:3, :3], axis=0)
    image, affine = volume.image, volume.affine_lps_mm.copy()
    order_xyz = [int(np.argmax(np.abs(columns[k]))) for k in range(3)]
    if sorted(order_xyz) != [0, 1, 2]:
        return volume
    image = image.transpose([2 - order_xyz[2], 2 - order_xyz[1], 2 - order_xyz[0]])
    affine[:3, :3] = affine[:3, order_xyz]
    for k in range(3):
        if affine[k, k] < 0:
            image = np.flip(image, axis=2 - k)
            affine[:3, 3] += affine[:3, k] * (image.shape[2 - k] - 1)
            affine[:3, k] *= -1
    return PetVolume(image, affine, volume.unit)


def find_body(volume: PetVolume) -> Body | None:
    """Find the largest body and the axis through the centroids of its slices; None where nothing stands out."""
    coarse = binned(volume, _COARSE_VOXEL_MM)
    sigma = [_SMOOTHING_MM / step for step in coarse.spacing_zyx_mm]
    in_slices = ndimage.gaussian_filter(coarse.image, [0.0, *sigma[1:]], mode="nearest", truncate=_TRUNCATE)
    # Hot ends are left out before smoothing along the axis, which would carry them into the body.
    body = _cut_hot_ends(PetVolume(in_slices, coarse.affine_lps_mm, coarse.unit))
    smooth = _smoothed_along_z(body.image, sigma[0])
    threshold = _half_level(_thinned(smooth))
    if threshold is None:
        return None
    # The cold insert and cold spheres lie inside the outline.
    mask = _filled_by_slice(_largest_part(smooth > threshold))
    image = PetVolume(smooth, body.affine_lps_mm, body.unit)
    line = _centroid_line(image, mask)
    if line is None:
        return None
    return Body(image, mask, 2.0 * threshold, line[0], line[1])


def _smoothed_along_z(image: NDArray[np.float32], sigma: float) -> NDArray[np.float32]:
    """Return the image smoothed across its slices: one product, which is faster than a filter that strides."""
    each = np.eye(len(image), dtype=np.float32)
    weights = ndimage.gaussian_filter1d(each, sigma, axis=0, mode="nearest", truncate=_TRUNCATE)
    return np.asarray((weights @ image.reshape(len(image), -1)).reshape(image.shape))


def _filled_by_slice(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return the mask ``[z, y, x]`` with all that it encloses within each slice."""
    in_slice = np.zeros((3, 3, 3), dtype=bool)
    in_slice[1] = ndimage.generate_binary_structure(2, 1)
    labels, count = ndimage.label(~mask, structure=in_slice)
    is_inside = np.ones(count + 1, dtype=bool)
    for border in (labels[:, 0], labels[:, -1], labels[:, :, 0], labels[:, :, -1]):
        is_inside[border] = False
    is_inside[0] = True  # the mask itself
    return np.asarray(is_inside[labels])


def beside_an_end(mask: NDArray[np.bool_], step_mm: float) -> slice | None:
    """Return the slices beside a short bright body at an end of the scan: the noise that end slices have.

    Parameters
    ----------
    mask : ndarray of bool, shape (z, y, x)
        The brightest body.
    step_mm : float
        Distance of the slices.
    """
    bright = np.flatnonzero(mask.any(axis=(1, 2)))
    first, last, count = int(bright[0]), int(bright[-1]), len(mask)
    if (last + 1 - first) * step_mm >= _SHORTEST_BODY_MM:
        return None
    if last == count - 1 and first > 0:
        return slice(0, first)
    return slice(last + 1, count) if first == 0 and last < count - 1 else None


def without_hot_ends(volume: PetVolume, body: Body) -> PetVolume:
    """Return the slices that `find_body` looked at: not those of an end that outshine the body."""
    last = len(body.image.image) - 0.5
    first, stop = (volume.to_index_zyx(body.image.to_lps_mm(np.array([z, 0.0, 0.0])))[0] for z in (-0.5, last))
    low, high = max(0, math.ceil(first)), min(len(volume.image), math.floor(stop) + 1)
    affine = volume.affine_lps_mm.copy()
    affine[:3, 3] += low * affine[:3, 2]
    return PetVolume(volume.image[low:high], affine, volume.unit)


def _cut_hot_ends(in_slices: PetVolume) -> PetVolume:
    """Leave out end slices that outshine the body, of an image that is smooth within its slices."""
    for _ in range(2):  # one end, then the other
        image = _thinned(in_slices.image)
        threshold = _half_level(image)
        if threshold is None:
            break
        rest = beside_an_end(_largest_part(image > threshold), in_slices.spacing_zyx_mm[0])
        if rest is None:
            break
        affine = in_slices.affine_lps_mm.copy()
        affine[:3, 3] += rest.start * affine[:3, 2]
        in_slices = PetVolume(in_slices.image[rest], affine, in_slices.unit)
    return in_slices


def _thinned(smooth: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return every other row and column: of a smooth image they tell the same."""
    return smooth[:, ::2, ::2]


def _half_level(image: NDArray[np.float32]) -> float | None:
    """Return half the level of what is bright; None where nothing stands out."""
    above = image[image > image.mean()]
    if not above.size or not np.isfinite(above).all():
        return None
    threshold = 0.5 * float(above.mean())
    if threshold <= 0:
        return None  # an even image below nothing: above half of its level there is no voxel
    for _ in range(4):  # half the median of what lies above half the median: settles in two or three rounds
        threshold = 0.5 * float(np.median(image[image > threshold]))
    return threshold


def _largest_part(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return the largest part of a mask that hangs together over faces."""
    labels, _ = ndimage.label(mask)
    return np.asarray(labels == 1 + int(np.argmax(np.bincount(labels.ravel())[1:])))


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
        [blurred_sphere(np.zeros(1), r, math.hypot(_TYPICAL_SIGMA_MM, _SMOOTHING_MM))[0] for r in RADII_MM]
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
    radius_weight, tilt_weight = blob_noise / _RING_RADIUS_SD_MM, blob_noise / _OUTLINE_AXIS_SD
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
            region = region_within(volume, place, 2.0 * _SMOOTHING_MM)
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


def _blob(voxel_mm3: float, sigma_mm: float) -> float:
    """Return the root of how many voxels repeat each other in noise as broad as the blur."""
    return math.sqrt(max(1.0, (4.0 * math.pi * sigma_mm**2) ** 1.5 / voxel_mm3))


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
        weight = own_noise / _SPHERE_PLACE_SD_MM

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


def _explained(sum_of_squares: float, values: NDArray[np.float64], noise: float) -> float:
    """Share of the variance beyond noise that the model explains, 0 where there is none beyond noise."""
    from_noise = noise**2 * len(values)
    beyond = float(np.sum((values - values.mean()) ** 2)) - from_noise
    return 1.0 - max(sum_of_squares - from_noise, 0.0) / beyond if beyond > 0 else 0.0


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


def _centroid_line(image: PetVolume, mask: NDArray[np.bool_]) -> tuple[NDArray[np.float64], NDArray[np.float64]] | None:
    """Fit a line to the centroids of the slices that show the whole cross-section."""
    area = mask.sum(axis=(1, 2))
    if not area.any():
        return None
    usual = float(np.median(area[area > 0]))
    whole = np.flatnonzero((area > 0.85 * usual) & (area < 1.15 * usual))
    if len(whole) < 4:
        return None
    y = mask[whole].sum(axis=2) @ np.arange(mask.shape[1]) / area[whole]
    x = mask[whole].sum(axis=1) @ np.arange(mask.shape[2]) / area[whole]
    points = image.to_lps_mm(np.column_stack([whole, y, x]))
    keep = np.ones(len(points), dtype=bool)
    for _ in range(2):
        design = np.column_stack([points[keep, 2], np.ones(int(keep.sum()))])
        slope, intercept = np.linalg.lstsq(design, points[keep, :2], rcond=None)[0]
        misfit = np.linalg.norm(points[:, :2] - points[:, 2:] * slope - intercept, axis=1)
        keep = misfit <= max(3.0 * float(np.median(misfit)), 0.5)
    axis = np.append(slope, 1.0)
    height = float(points[keep, 2].mean())
    return axis / np.linalg.norm(axis), np.append(height * slope + intercept, height)


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
