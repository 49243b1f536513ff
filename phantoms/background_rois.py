"""Where the twelve background regions of the NEMA image-quality phantom go.

NEMA NU 2 asks for twelve circles of 37 mm in the sphere plane, 15 mm from the phantom's edge and from any sphere. In
the real phantom that many circles do not fit both rules without overlapping, so the edge's margin is kept, the margin
to the spheres is made as large as it can be without an overlap, and what was achieved is recorded.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage, special

from phantoms.errors import AnalysisRefused
from phantoms.spheres import DIAMETERS_MM, FWHM_PER_SIGMA

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from phantoms.localise import NemaPose
    from phantoms.volume import PetVolume

COUNT = 12
DIAMETER_MM = 37.0
MARGIN_MM = 15.0

_RADIUS_MM = DIAMETER_MM / 2.0
_GRID_MM = 2.5
_REACH_MM = 200.0
SLAB_MM = tuple(range(-20, 21, 5))  # the outline is the mean over the heights that the regions are taken at
_SMOOTHING_MM = 3.0
_LOOK_AHEAD = 160  # steps of the line of centres, about 1 mm each, within which the next region is looked for

#: Where the wall is read for a region's margin: lines beside the one to the nearest wall, and places along each, from
#: the margin asked for.
ARC_MM = (-6.0, -3.0, 0.0, 3.0, 6.0)
_ALONG_MM = np.arange(-10.0, 17.0, 2.0)
MAX_BEND_PER_MM = 1.0 / 77.0  # the body of IEC 61675-1 at its corners; in front half of that, behind it is flat
_STEPS = 3  # of the fit to the wall: the next moves it by less than 0.01 mm


@dataclass(frozen=True)
class BackgroundRois:
    """Centres in the sphere plane, shape (12, 3), LPS millimetres, and the margins that were achieved.

    ``edge_margins_mm``, shape (12,), is the distance from each circle to the body's wall, ``sphere_margin_mm`` the
    smallest to a sphere's inner wall in the sphere plane, ``gap_mm`` between neighbouring circles. ``edge_distance_mm``
    is how far inside the outline each point of a grid of the sphere plane lies.
    """

    centers_lps_mm: NDArray[np.float64]
    edge_margins_mm: NDArray[np.float64]
    sphere_margin_mm: float
    gap_mm: float
    edge_distance_mm: NDArray[np.float64]

    @property
    def edge_margin_mm(self) -> float:
        """The smallest distance from a circle to the body's wall."""
        return float(self.edge_margins_mm.min())

    def inside_mm(self, in_plane_mm: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return how far inside the outline points lie, given along the phantom's own axes from the ring's centre.

        Parameters
        ----------
        in_plane_mm : ndarray, shape (..., 2)

        Returns
        -------
        ndarray, shape (...)
            Millimetres; 0 outside.
        """
        return _look_up(self.edge_distance_mm, in_plane_mm)


def place(volume: PetVolume, pose: NemaPose) -> BackgroundRois:
    """Place the twelve regions.

    The line of possible centres runs inside the outline at the edge's margin. On it the largest margin to the spheres,
    not above 15 mm, is sought at which twelve circles do not overlap, and with it the widest spacing.

    Raises
    ------
    AnalysisRefused
        ``PHA-NOT-FOUND`` where no twelve circles fit: the outline in the image is not that of this phantom.
    """
    distance = _distance_to_edge(volume, pose)
    line = _line_of_centers(distance, pose)
    spheres = np.array([pose.spheres[diameter] for diameter in DIAMETERS_MM]) - pose.center_lps_mm
    in_plane = spheres @ pose.frame[:, :2]
    apart = np.linalg.norm(line[:, None] - in_plane[None], axis=2) - np.array(DIAMETERS_MM) / 2.0 - _RADIUS_MM
    margin = apart.min(axis=1)
    chords = _chords(line)
    spacing, chosen = DIAMETER_MM, None
    low, high = float(margin.min()), min(MARGIN_MM, float(margin.max()))
    for wanted in (high, low, *([None] * 10)):
        tried = wanted if wanted is not None else (low + high) / 2.0
        found = _fit_round(chords, margin >= tried, spacing)
        if found is not None:
            chosen, low = found, tried
            if wanted == high:
                break
        elif wanted == low:
            break
        else:
            high = tried
    if chosen is None:
        raise AnalysisRefused(
            "PHA-NOT-FOUND",
            "We could not find the six spheres: the outline round them does not hold twelve background regions.",
            next_step="Check that the whole phantom is in the field and that this is the NEMA IQ phantom.",
        )
    allowed = margin >= low
    high = len(line) / COUNT + 2.0
    for _ in range(8):
        tried = (spacing + high) / 2.0
        found = _fit_round(chords, allowed, tried)
        if found is None:
            high = tried
        else:
            chosen, spacing = found, tried
    centers = line[chosen]
    neighbours = np.linalg.norm(centers - np.roll(centers, -1, axis=0), axis=1)
    return BackgroundRois(
        centers_lps_mm=pose.center_lps_mm + centers @ pose.frame[:, :2].T,
        edge_margins_mm=_edge_margins_mm(volume, pose, distance, centers),
        sphere_margin_mm=float(margin[chosen].min()),
        gap_mm=float(neighbours.min()) - DIAMETER_MM,
        edge_distance_mm=distance,
    )


def _distance_to_edge(volume: PetVolume, pose: NemaPose) -> NDArray[np.float64]:
    """Return, on a grid of the sphere plane, each point's distance to the outline, millimetres; 0 outside.

    The outline is the half-level of the background; the cold insert counts as inside.
    """
    line = np.arange(-_REACH_MM, _REACH_MM + _GRID_MM, _GRID_MM)
    u, v = np.meshgrid(line, line, indexing="ij")
    inverse = np.linalg.inv(volume.affine_lps_mm[:3, :3])
    # One millimetre along each of the phantom's directions, and the middle, in (z, y, x) of the image.
    across = (inverse @ pose.frame).T[:, ::-1, None, None]
    origin = volume.to_index_zyx(pose.center_lps_mm)[:, None, None]
    in_plane = origin + u * across[0] + v * across[1]
    limit = np.array(volume.image.shape)[:, None, None]
    total, count = np.zeros(u.shape), np.zeros(u.shape)
    for height in SLAB_MM:
        index = np.rint(in_plane + height * across[2]).astype(int)
        inside = np.all((index >= 0) & (index < limit), axis=0)
        z, y, x = index[:, inside]
        total[inside] += volume.image[z, y, x]
        count[inside] += 1
    mean = total / np.maximum(count, 1)
    smooth = ndimage.gaussian_filter(mean, _SMOOTHING_MM / _GRID_MM)
    labels, _ = ndimage.label(smooth > 0.5 * pose.background)
    middle = len(line) // 2
    near = np.hypot(u, v) < 80.0
    body = labels == np.argmax(np.bincount(labels[near & (labels > 0)], minlength=1)) if labels.any() else labels > 0
    body = ndimage.binary_fill_holes(body)
    if not body[middle, middle]:
        return np.zeros(u.shape)
    # The transform measures to the next voxel's centre outside; the outline lies half a step nearer.
    return np.clip(ndimage.distance_transform_edt(body) * _GRID_MM - _GRID_MM / 2.0, 0.0, None)


def inwards_mm2(pose: NemaPose) -> float:
    """Return how far inside its nearest point a bent wall is read, times its radius, mean over the arc.

    A wall of radius R falls away by s²/2R at s beside its nearest point, and a blur σ takes its half level σ²/2R
    inwards.
    """
    return ((pose.fwhm_mm / FWHM_PER_SIGMA) ** 2 + float(np.square(ARC_MM).mean())) / 2.0


def _edge_margins_mm(
    volume: PetVolume, pose: NemaPose, distance: NDArray[np.float64], centers: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return how far each circle is from the wall, shape (12,), read off the voxels themselves and not off the grid.

    Parallel lines lead to the wall the way the grid's distance falls. To the voxels nearest to their places, at all
    heights, each where it lies, a blurred wall is fitted by least squares: its distance and its turn. It falls from the
    background to what is outside, and bends half as much as it may.
    """
    steps = 2.0 * _GRID_MM * np.eye(2)
    fall = np.stack([_look_up(distance, centers - one) - _look_up(distance, centers + one) for one in steps], axis=-1)
    out = fall / np.maximum(np.linalg.norm(fall, axis=-1, keepdims=True), 1e-9)
    own = np.stack([out, np.stack([-out[:, 1], out[:, 0]], axis=-1)], axis=-1)  # [region, (u, v), (out, beside)]
    nominal_mm = _RADIUS_MM + MARGIN_MM
    lines = np.stack(np.meshgrid(nominal_mm + _ALONG_MM, ARC_MM, indexing="ij"), axis=-1).reshape(-1, 2)
    inverse = np.linalg.inv(volume.affine_lps_mm[:3, :3])
    across = (inverse @ pose.frame)[::-1]  # [(z, y, x), the phantom's direction]
    middles = volume.to_index_zyx(pose.center_lps_mm) + centers @ across[:, :2].T
    to_lines = lines @ np.swapaxes(across[:, :2] @ own, 1, 2)  # [region, place, (z, y, x)]
    heights = np.array(SLAB_MM)[:, None] * across[:, 2]
    exact = middles[:, None, None] + to_lines[:, None] + heights[:, None]  # [region, height, place, (z, y, x)]
    index = np.rint(exact).astype(int)
    is_imaged = np.all((index >= 0) & (index < volume.image.shape), axis=-1)
    z, y, x = np.moveaxis(np.clip(index, 0, np.array(volume.image.shape) - 1), -1, 0)
    values = volume.image[z, y, x]
    # What rounding moved each place by, along the phantom's own directions, and then the region's.
    moved = (index - exact) @ (pose.frame[:, :2].T @ volume.affine_lps_mm[:3, :3])[:, ::-1].T @ own[:, None]
    along, beside = (lines[:, k] + moved[..., k] for k in range(2))
    beyond = values[is_imaged & (lines[:, 0] == lines[-1, 0])]
    outside = float(np.median(beyond)) if beyond.size else 0.0
    sigma_mm = pose.fwhm_mm / FWHM_PER_SIGMA
    inside = along + MAX_BEND_PER_MM / 4.0 * (np.square(beside) + sigma_mm**2)
    ways = np.stack([np.ones_like(beside), beside], axis=-1).reshape(COUNT, -1, 2)
    height = np.where(is_imaged, pose.background - outside, 0.0).reshape(COUNT, -1)
    above, inside = np.where(is_imaged, values - outside, 0.0).reshape(COUNT, -1), inside.reshape(COUNT, -1)
    wall = np.tile([nominal_mm, 0.0], (COUNT, 1))
    for _ in range(_STEPS):
        u = ((ways @ wall[..., None])[..., 0] - inside) / sigma_mm
        steepness = height * np.exp(-0.5 * u * u) / (math.sqrt(2.0 * math.pi) * sigma_mm)
        by_wall = steepness[..., None] * ways
        normal = np.swapaxes(by_wall, 1, 2) @ by_wall + 1e-9 * pose.background**2 * np.eye(2)
        pull = np.swapaxes(by_wall, 1, 2) @ (above - height * special.ndtr(u))[..., None]
        wall += np.linalg.solve(normal, pull)[..., 0]
    return np.asarray(wall[:, 0] / np.hypot(1.0, wall[:, 1]) - _RADIUS_MM)


def _look_up(distance: NDArray[np.float64], points: NDArray[np.float64]) -> NDArray[np.float64]:
    """Interpolate the distance at points ``[..., 2]`` of the sphere plane, millimetres from its centre."""
    index = np.moveaxis((points + _REACH_MM) / _GRID_MM, -1, 0)
    return np.asarray(ndimage.map_coordinates(distance, index, order=1, mode="nearest"))


def _line_of_centers(distance: NDArray[np.float64], pose: NemaPose) -> NDArray[np.float64]:
    """Return points about 1 mm apart, shape (n, 2), on the closed line that keeps the edge's margin."""
    turn = np.linspace(0.0, 2.0 * math.pi, 720, endpoint=False)
    radius = np.arange(0.0, _REACH_MM, 1.0)
    way = np.column_stack([np.cos(turn), np.sin(turn)])
    along = _look_up(distance, radius[None, :, None] * way[:, None, :]) - (_RADIUS_MM + MARGIN_MM)
    last = along.shape[1] - 1 - np.argmax(along[:, ::-1] >= 0, axis=1)
    if not (along >= 0).any(axis=1).all() or last.max() >= len(radius) - 1:
        raise AnalysisRefused(
            "PHA-NOT-FOUND",
            "We could not find the six spheres: the outline round them is not closed.",
            next_step="Check that the whole phantom is in the field and that this is the NEMA IQ phantom.",
        )
    rows = np.arange(len(turn))
    here, beyond = along[rows, last], along[rows, last + 1]
    points = way * (radius[last] + here / np.maximum(here - beyond, 1e-9))[:, None]
    steps = np.linalg.norm(np.roll(points, -1, axis=0) - points, axis=1)
    travelled = np.concatenate([[0.0], np.cumsum(steps)])
    at = np.linspace(0.0, travelled[-1], round(travelled[-1]), endpoint=False)
    closed = np.vstack([points, points[:1]])
    return np.column_stack([np.interp(at, travelled, closed[:, k]) for k in range(2)])


def _chords(line: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the distance from each point of the closed line to the next ones, shape (n, look-ahead)."""
    ahead = (np.arange(len(line))[:, None] + np.arange(min(_LOOK_AHEAD, len(line)))) % len(line)
    u, v = line.T
    return np.asarray(np.hypot(u[ahead] - u[:, None], v[ahead] - v[:, None]))


def _fit_round(chords: NDArray[np.float64], allowed: NDArray[np.bool_], spacing: float) -> NDArray[np.intp] | None:
    """Return twelve allowed points of the closed line, neighbours at least ``spacing`` apart; None where none are.

    From every allowed start the next point is the first allowed one far enough away: if that does not come round,
    nothing from that start does.
    """
    count = len(chords)
    far = chords >= spacing
    if not allowed.any() or not far.any(axis=1).all():
        return None
    reach = np.argmax(far, axis=1)
    twice = np.flatnonzero(np.concatenate([allowed, allowed, allowed]))
    start = np.flatnonzero(allowed)
    path = [start]
    for _ in range(COUNT - 1):
        at = path[-1]
        earliest = at + reach[at % count]
        path.append(twice[np.minimum(np.searchsorted(twice, earliest), len(twice) - 1)])
    closes = path[-1] + reach[path[-1] % count] <= start + count
    if not closes.any():
        return None
    return np.array([points[int(np.argmax(closes))] % count for points in path])
