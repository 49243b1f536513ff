"""Regions of interest with exact partial-voxel weights.

A voxel is a box of constant value; a weight is the fraction of that box (0 to 1) inside the region. Weights come from
closed forms, not from sub-sampling: the volume of a ball inside an axis-parallel box is the triple difference of one
function at the box's corners, the area of an ellipse inside a pixel the double difference of a line integral along the
pixel's edges. Only a bounding box is computed.

All positions are DICOM patient coordinates (LPS), millimetres. The grid's axes must be at right angles to each other,
as DICOM's always are; their direction is free.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike, NDArray

    from phantoms.volume import PetVolume

# Below this tilt (its tangent) the closed forms for regions square to the slices hold to better than 1e-6 of a voxel.
_SQUARE_TANGENT = 1e-7
# Planes per slice over which the section of a tilted cylinder is averaged: Gauss-Legendre nodes on (-1/2, 1/2).
_NODES, _NODE_WEIGHTS = np.polynomial.legendre.leggauss(3)


@dataclass(frozen=True)
class Roi:
    """Weights ``weights[z, y, x]`` (0 to 1) on the part of the image that ``slices`` cuts out.

    Attributes
    ----------
    slices : tuple of three slices
        Where the bounding box lies in ``image[z, y, x]``.
    weights : ndarray of float64, shape of the bounding box
        Fraction of each voxel inside the region.
    nominal_sum : float
        Sum of the weights of the whole region, were the image large enough.
    """

    slices: tuple[slice, slice, slice]
    weights: NDArray[np.float64]
    nominal_sum: float

    @property
    def is_complete(self) -> bool:
        """Whether the image holds the whole region (to one part in a thousand)."""
        return bool(self.weights.sum() >= 0.999 * self.nominal_sum)

    def values(self, image: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the image's voxels in the bounding box, a view of shape ``weights.shape``."""
        return image[self.slices]

    def mean(self, image: NDArray[np.float32]) -> float:
        """Return the weighted mean of ``image[z, y, x]`` over the region, in the image's unit.

        Raises
        ------
        ValueError
            Where no voxel of the image lies in the region.
        """
        total = float(self.weights.sum())
        if total <= 0:
            msg = "the region lies outside the image"
            raise ValueError(msg)
        return float(np.einsum("zyx,zyx->", self.values(image), self.weights)) / total

    def moments(self, image: NDArray[np.float32]) -> tuple[float, float]:
        """Return mean and variance of the voxels of ``image[z, y, x]``; a voxel counts as much as it lies inside."""
        return self.moments_of(self.values(image))

    def moments_of(self, values: NDArray[np.float32]) -> tuple[float, float]:
        """Return mean and variance where the bounding box holds ``values``, of shape ``weights.shape``."""
        weights, flat = self.weights.ravel(), values.ravel().astype(np.float64)
        total = float(weights.sum())
        mean = float(weights @ flat) / total
        unbiased = total - float(weights @ weights) / total
        return mean, float(weights @ (flat - mean) ** 2) / unbiased


def sphere(volume: PetVolume, center_lps_mm: ArrayLike, radius_mm: float) -> Roi:
    """Return the exact weights of a ball.

    The volume of a ball inside the box from the ball's centre to ``(a, b, c)`` is odd in each argument; its triple
    difference over the voxel corners is the volume inside each voxel.
    """
    spacing = np.array(volume.spacing_zyx_mm)
    center = _grid_mm(volume, center_lps_mm)
    slices, edges = _box(volume.image.shape, spacing, center, np.full(3, radius_mm))
    z, y, x = (np.clip(edge / radius_mm, -1.0, 1.0) for edge in edges)
    corner = _ball_in_box(z[:, None, None], y[None, :, None], x[None, None, :])
    weights = np.diff(np.diff(np.diff(corner, axis=0), axis=1), axis=2) * (radius_mm**3 / spacing.prod())
    return Roi(slices, np.clip(weights, 0.0, 1.0), float(4 / 3 * np.pi * radius_mm**3 / spacing.prod()))


def circle(volume: PetVolume, center_lps_mm: ArrayLike, radius_mm: float, normal: ArrayLike | None = None) -> Roi:
    """Return the exact weights of a disc in one plane, in units of one pixel of one slice.

    Parameters
    ----------
    volume : PetVolume
        Gives the grid.
    center_lps_mm : array_like, shape (3,)
        Centre of the disc.
    radius_mm : float
        Its radius.
    normal : array_like, shape (3,), optional
        Normal of the disc's plane. Without it the disc lies in the slice nearest to its centre. With it, every pixel's
        share is split linearly between the two slices on either side of the plane, so a disc square to the slices and
        on a slice's centre is the same as without ``normal``.

    Notes
    -----
    The pixel areas are exact in the projection of the disc along the slice normal; the plane's height is taken at
    the pixel's centre.
    """
    return circles(volume, np.asarray(center_lps_mm, dtype=np.float64)[None], radius_mm, normal)[0]


def circles(
    volume: PetVolume, centers_lps_mm: NDArray[np.float64], radius_mm: float, normal: ArrayLike | None = None
) -> list[Roi]:
    """Return `circle` about each of ``centers_lps_mm[n, 3]``, all worked out at once."""
    spacing = np.array(volume.spacing_zyx_mm)
    centers = _grid_mm(volume, centers_lps_mm)
    direction = np.array([1.0, 0.0, 0.0]) if normal is None else _grid_direction(volume, normal)
    # Along its steepest direction the disc's projection shrinks by the cosine of the tilt.
    reach = radius_mm * np.sqrt(np.clip(1.0 - direction**2, 0.0, None))
    low, high = _bounds(volume.image.shape, spacing, centers, reach)
    # Every box is given the width of the widest, so that they stack, and is cut back to its own below.
    widest = (high - low).max(axis=0)
    y_edges, x_edges = (
        (low[:, k, None] + np.arange(widest[k] + 1) - 0.5) * spacing[k] - centers[:, k, None] for k in (1, 2)
    )
    areas = _ellipse_in_pixels(y_edges, x_edges, _projection(direction), radius_mm) / (spacing[1] * spacing[2])
    nominal = float(np.pi * radius_mm**2 * direction[0] / (spacing[1] * spacing[2]))
    depth = volume.image.shape[0]
    found = []
    for center, first, stop, area, y, x in zip(centers, low, high, areas, y_edges, x_edges, strict=True):
        rows, columns = (stop - first)[1:]
        in_plane = slice(int(first[1]), int(stop[1])), slice(int(first[2]), int(stop[2]))
        if normal is None:
            index = int(np.clip(np.rint(center[0] / spacing[0]), 0, depth - 1))
            found.append(Roi((slice(index, index + 1), *in_plane), area[None, :rows, :columns], nominal))
            continue
        height = _plane_height(center[0], direction, y[: rows + 1], x[: columns + 1]) / spacing[0]
        bottom = int(np.clip(np.floor(height.min(initial=depth)), 0, depth - 1))
        top = max(int(np.clip(np.ceil(height.max(initial=0)), 0, depth - 1)), bottom)
        share = np.clip(1.0 - np.abs(np.arange(bottom, top + 1)[:, None, None] - height), 0.0, None)
        found.append(Roi((slice(bottom, top + 1), *in_plane), share * area[:rows, :columns], nominal))
    return found


def section(volume: PetVolume, index: int, center_lps_mm: ArrayLike, axis: ArrayLike, radius_mm: float) -> Roi:
    """Return the exact weights of the ellipse that the middle of one slice cuts out of an endless cylinder.

    Parameters
    ----------
    volume : PetVolume
        Gives the grid.
    index : int
        The slice, along the first axis of the image.
    center_lps_mm, axis : array_like, shape (3,)
        A point on the cylinder's axis, and its direction.
    radius_mm : float
        The cylinder's radius.
    """
    spacing = np.array(volume.spacing_zyx_mm)
    center = _grid_mm(volume, center_lps_mm)
    direction = _grid_direction(volume, axis)
    middle = center + direction / direction[0] * (index * spacing[0] - center[0])
    reach = radius_mm / direction[0] * np.sqrt(1.0 - np.array([1.0, direction[2] ** 2, direction[1] ** 2]))
    slices, edges = _box(volume.image.shape, spacing, middle, reach)
    area = _ellipse_in_pixels(edges[1], edges[2], _section(direction), radius_mm) / (spacing[1] * spacing[2])
    nominal = float(np.pi * radius_mm**2 / direction[0] / (spacing[1] * spacing[2]))
    return Roi((slice(index, index + 1), *slices[1:]), area[None], nominal)


def cylinder(volume: PetVolume, center_lps_mm: ArrayLike, axis: ArrayLike, radius_mm: float, length_mm: float) -> Roi:
    """Return the weights of a cylinder along ``axis``.

    Exact where the axis is square to the slices. Tilted, a voxel's share of the cylinder's wall is the exact area of
    the elliptic section averaged over three Gauss-Legendre planes of the slice, and the flat ends cut each column of
    voxels at their height over the pixel's centre. Up to 15 degrees of tilt a voxel of the wall is then right to 1e-3
    and one on an end's rim to 3e-2; the weights' sum is the volume to 1e-4 where the length is at least the radius,
    to 3e-3 for a cylinder as thin as a slice.
    """
    spacing = np.array(volume.spacing_zyx_mm)
    center = _grid_mm(volume, center_lps_mm)
    direction = _grid_direction(volume, axis)
    half = length_mm / 2
    reach = half * np.abs(direction) + radius_mm * np.sqrt(np.clip(1.0 - direction**2, 0.0, None))
    slices, edges = _box(volume.image.shape, spacing, center, reach)
    lean = direction / direction[0]  # how far the axis moves in y and x for a millimetre in z
    nominal = float(np.pi * radius_mm**2 * length_mm / spacing.prod())
    z = (edges[0][1:] + edges[0][:-1]) / 2
    y = (edges[1][1:] + edges[1][:-1]) / 2
    x = (edges[2][1:] + edges[2][:-1]) / 2
    section = _section(direction)
    pixel = spacing[1] * spacing[2]
    if np.hypot(lean[1], lean[2]) < _SQUARE_TANGENT:
        wall = _ellipse_in_pixels(edges[1], edges[2], section, radius_mm)[None] / pixel
    else:
        wall = np.zeros((len(z), len(y), len(x)))
        for k, height in enumerate(z):
            for node, weight in zip(_NODES, _NODE_WEIGHTS, strict=True):
                at = height + node / 2 * spacing[0]
                shifted = edges[1] - lean[1] * at, edges[2] - lean[2] * at
                wall[k] += weight / 2 / pixel * _ellipse_in_pixels(*shifted, section, radius_mm)
    # The ends are the planes direction . r = +-half; in each column they lie at these heights.
    sideways = direction[1] * y[:, None] + direction[2] * x[None, :]
    top = (half - sideways) / direction[0]
    bottom = (-half - sideways) / direction[0]
    upper = np.minimum(edges[0][1:, None, None], top[None])
    lower = np.maximum(edges[0][:-1, None, None], bottom[None])
    return Roi(slices, wall * np.clip(upper - lower, 0.0, None) / spacing[0], nominal)


def interval_shares(edges: NDArray[np.float64], count: int) -> NDArray[np.float64]:
    """Return the share of each voxel of a row in the mean of each interval, ``[interval, voxel]``.

    Parameters
    ----------
    edges : ndarray, shape (n + 1,)
        Ends of the intervals in voxel indices, rising.
    count : int
        Number of voxels in the row; an interval that reaches beyond it has shares that add up to less than 1.
    """
    voxel = np.arange(count)
    upper = np.minimum(edges[1:, None], voxel + 0.5)
    lower = np.maximum(edges[:-1, None], voxel - 0.5)
    return np.asarray(np.clip(upper - lower, 0.0, None) / np.diff(edges)[:, None])


def _grid_mm(volume: PetVolume, lps_mm: ArrayLike) -> NDArray[np.float64]:
    """Map a patient position to millimetres (z, y, x) along the grid's axes from the first voxel's centre."""
    index = volume.to_index_zyx(np.asarray(lps_mm, dtype=np.float64))
    return np.asarray(index * np.array(volume.spacing_zyx_mm))


def _grid_direction(volume: PetVolume, direction: ArrayLike) -> NDArray[np.float64]:
    """Map a patient direction to a unit vector (z, y, x) along the grid's axes that points up the slices."""
    axes = volume.affine_lps_mm[:3, :3] / np.linalg.norm(volume.affine_lps_mm[:3, :3], axis=0)
    zyx = (np.asarray(direction, dtype=np.float64) @ axes)[::-1]
    zyx = zyx / np.linalg.norm(zyx)
    return np.asarray(-zyx if zyx[0] < 0 else zyx)


def _plane_height(
    middle_mm: float, direction: NDArray[np.float64], y_edges: NDArray[np.float64], x_edges: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return how high a tilted plane lies over each pixel's centre ``[y, x]``, at ``middle_mm`` over the origin."""
    y, x = ((edges[1:] + edges[:-1]) / 2 for edges in (y_edges, x_edges))
    lean = direction / direction[0]
    return np.asarray(middle_mm - lean[1] * y[:, None] - lean[2] * x[None, :])


def _bounds(
    shape: Sequence[int], spacing: NDArray[np.float64], centers: NDArray[np.float64], reach: NDArray[np.float64]
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return the first voxel within ``reach`` of each of ``centers[..., 3]`` and the first beyond, along each axis."""
    low = np.clip(np.floor((centers - reach) / spacing + 0.5), 0, shape).astype(np.intp)
    high = np.clip(np.ceil((centers + reach) / spacing + 0.5), low, shape).astype(np.intp)
    return low, high


def _box(
    shape: Sequence[int], spacing: NDArray[np.float64], center: NDArray[np.float64], reach: NDArray[np.float64]
) -> tuple[tuple[slice, slice, slice], tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]]:
    """Return the voxels within ``reach`` of ``center`` and the positions of their edges relative to it."""
    low, high = _bounds(shape, spacing, center, reach)
    z, y, x = (slice(int(a), int(b)) for a, b in zip(low, high, strict=True))
    edges = [
        (np.arange(a, b + 1) - 0.5) * step - middle
        for a, b, step, middle in zip(low, high, spacing, center, strict=True)
    ]
    return (z, y, x), (edges[0], edges[1], edges[2])


def _ball_in_box(a: NDArray[np.float64], b: NDArray[np.float64], c: NDArray[np.float64]) -> NDArray[np.float64]:
    """Volume of the unit ball inside the box from 0 to (a, b, c), odd in each argument; arguments in [-1, 1].

    With the far corner inside the ball it is the box itself. Else it is the ball's octant, minus what lies beyond
    each face, plus what lies beyond two faces at once (nothing lies beyond all three).
    """
    sign = np.sign(a) * np.sign(b) * np.sign(c)
    a, b, c = np.abs(a), np.abs(b), np.abs(c)
    outside = np.pi / 6 - _beyond_face(a) - _beyond_face(b) - _beyond_face(c)
    outside = outside + _beyond_edge(a, b) + _beyond_edge(b, c) + _beyond_edge(a, c)
    return np.asarray(sign * np.where(a * a + b * b + c * c <= 1.0, a * b * c, outside))


def _beyond_face(a: NDArray[np.float64]) -> NDArray[np.float64]:
    """Volume of the unit ball's octant with x > a."""
    return np.pi / 4 * (2 / 3 - a + a**3 / 3)


def _beyond_edge(a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64]:
    """Volume of the unit ball's octant with x > a and y > b (integrated by parts; symmetric in a and b)."""
    s = np.sqrt(np.clip(1.0 - a * a - b * b, 0.0, None))
    volume = (np.arctan2(s, a * b) + a * b * s) / 3
    volume = volume - (a - a**3 / 3) / 2 * np.arctan2(s, b) - (b - b**3 / 3) / 2 * np.arctan2(s, a)
    return np.where(s > 0, volume, 0.0)


def _projection(direction: NDArray[np.float64]) -> NDArray[np.float64]:
    """Map (y, x) in the slice to a plane where the projection of a disc with this normal is a circle."""
    return _stretch(direction, 1.0 / direction[0])


def _section(direction: NDArray[np.float64]) -> NDArray[np.float64]:
    """Map (y, x) in the slice to a plane where the section of a cylinder along this axis is a circle."""
    return _stretch(direction, direction[0])


def _stretch(direction: NDArray[np.float64], factor: float) -> NDArray[np.float64]:
    sideways = np.hypot(direction[1], direction[2])
    if sideways < _SQUARE_TANGENT:
        return np.eye(2)
    along = direction[1:] / sideways
    return np.asarray(np.eye(2) + (factor - 1.0) * np.outer(along, along))


def _ellipse_in_pixels(
    y_edges: NDArray[np.float64], x_edges: NDArray[np.float64], to_circle: NDArray[np.float64], radius: float
) -> NDArray[np.float64]:
    """Return the area of an ellipse about the origin in each pixel ``[..., y, x]``, in the square of the edges' unit.

    ``to_circle`` maps (y, x) to where the ellipse is a circle of ``radius``. By Green's theorem the area of a circle
    inside a polygon is the sum, over the polygon's edges, of the signed area of the circle inside the triangle that
    the edge makes with the centre; each lattice edge is computed once and serves both of its pixels. Edges are
    ``y_edges[..., y]`` and ``x_edges[..., x]``.
    """
    pixels = np.diff(y_edges)[..., :, None] * np.diff(x_edges)[..., None, :]
    if np.array_equal(to_circle, np.eye(2)):
        corner = radius**2 * _circle_in_rectangle(y_edges / radius, x_edges / radius)
        return np.clip(np.diff(np.diff(corner, axis=-2), axis=-1), 0.0, pixels)
    corners = np.stack(np.broadcast_arrays(y_edges[..., :, None], x_edges[..., None, :]), axis=-1) @ to_circle.T
    along_x = _circle_in_triangle(corners[..., :-1, :], corners[..., 1:, :], radius)
    along_y = _circle_in_triangle(corners[..., :-1, :, :], corners[..., 1:, :, :], radius)
    # Round each pixel: along its low-y edge towards +x, up its high-x edge, back, down.
    area = along_x[..., :-1, :] + along_y[..., :, 1:] - along_x[..., 1:, :] - along_y[..., :, :-1]
    scale = abs(float(np.linalg.det(to_circle)))
    return np.clip(area / scale, 0.0, pixels)


def _circle_in_rectangle(y: NDArray[np.float64], x: NDArray[np.float64]) -> NDArray[np.float64]:
    """Area of the unit circle inside the rectangle from 0 to each ``(y[..., i], x[..., j])``, odd in both.

    With the far corner inside the circle it is the rectangle itself, else the quadrant without what lies beyond
    either side (nothing lies beyond both).
    """
    y, x = np.clip(y, -1.0, 1.0), np.clip(x, -1.0, 1.0)
    beyond = [(np.arccos(np.abs(side)) - np.abs(side) * np.sqrt(1.0 - side * side)) / 2 for side in (y, x)]
    quadrant = np.pi / 4 - beyond[0][..., :, None] - beyond[1][..., None, :]
    sign = np.sign(y)[..., :, None] * np.sign(x)[..., None, :]
    inside = np.square(y)[..., :, None] + np.square(x)[..., None, :] <= 1.0
    return np.where(inside, y[..., :, None] * x[..., None, :], sign * quadrant)


def _circle_in_triangle(start: NDArray[np.float64], stop: NDArray[np.float64], radius: float) -> NDArray[np.float64]:
    """Signed area of the circle about the origin inside the triangle (origin, start, stop); points are (y, x)."""
    delta = stop - start
    length_squared = np.einsum("...i,...i->...", delta, delta)
    middle = np.einsum("...i,...i->...", start, delta)
    inside_squared = np.einsum("...i,...i->...", start, start) - radius**2
    discriminant = middle**2 - length_squared * inside_squared
    root = np.sqrt(np.clip(discriminant, 0.0, None))
    # The part of the segment inside the circle runs from t0 to t1; where the line misses, both end at one place.
    t0 = np.clip((-middle - root) / length_squared, 0.0, 1.0)[..., None]
    t1 = np.clip((-middle + root) / length_squared, 0.0, 1.0)[..., None]
    enter, leave = start + t0 * delta, start + t1 * delta
    sectors = _angle(start, enter) + _angle(leave, stop)
    return np.asarray((radius**2 * sectors + _cross(enter, leave)) / 2)


def _cross(a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64]:
    """Twice the signed area of the triangle (origin, a, b), positive from +x to +y; points are (y, x)."""
    return np.asarray(a[..., 1] * b[..., 0] - a[..., 0] * b[..., 1])


def _angle(a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64]:
    """Signed angle from a to b seen from the origin."""
    return np.asarray(np.arctan2(_cross(a, b), np.einsum("...i,...i->...", a, b)))
