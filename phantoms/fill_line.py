"""Air in the body of a NEMA phantom, on its CT: the layer above the water, and bubbles that lie free in it.

A phantom that is not filled to the top has its air where gravity leaves it: above a flat surface, under the wall that
is uppermost. Steps: from the water upwards, each column of the image is summed over what it lacks against water, up to
the air outside; what the wall itself adds is known from columns without air, and the rest is the layer's thickness.
The surface is where columns cross half way from water to air; a plane through it tells its tilt.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage

from phantoms.volume import PetVolume, along_patient_axes

if TYPE_CHECKING:
    from numpy.typing import NDArray

AIR_HU = -1000.0

_CLEAR_MM = 82.0  # from the ring's middle upwards: no sphere reaches it, however the ring lies
_SIDE_MM = 140.0  # columns are read to so far on both sides
_TOP_MM = 165.0  # the body ends below, its wall with it
_END_MM = 5.0  # from the ends of the filled body, which the PET tells
END_SD_MM = 1.0  # how well: 0.15 mm on digital phantoms, whose lid is flat
_STEP_MM = 2.5  # slices nearer to each other say nothing more
_WALL_HU, _WALL_SD_HU = 120.0, 20.0 / math.sqrt(3.0)  # plastic of 100 to 140 HU
_LEVEL_HU = (AIR_HU + _WALL_HU) / 2  # where the body ends
_DARK_HU = -150.0  # a column that nowhere falls below it has no air in it
_RUN_MM = 6.0  # what is summed beyond the air on both sides: several blurs
_WALL_MM = 4.0  # no wall of a body is thicker
_PLASTIC_HU = 50.0  # water lies below it, the wall above
_WALL_LACK_MM, _WALL_LACK_SD_MM = -0.36, 0.15  # 3 mm of plastic of 120 HU, where no column without air shows it
_LEAST_COLUMNS = 40
_SPHERE_WALL_MM = 1.0
_WALL_DEPTH_MM = 8.0  # of the mean profile through the wall
_PROFILE_STEP_MM = 0.25
_WALL_HIDDEN_SD_MM = 2.0 / math.sqrt(12.0)  # where no column shows whether 2 of 3 mm pass for water
_WALL_SEEN = 0.75  # of the way to plastic: a profile that comes so near shows its half way where it is
_WALL_SEEN_SD_MM = 0.1  # two crossings on it
_CLEAR_LAYER_MM = 6.0  # half of it is beyond the blur of water and wall
_WALL_IN_AIR_SD_MM = 0.05  # air that is off by 10 HU along 5 mm
# Of what the body holds: the edge of the water is read at whole pixels, and at the insert at a level that is half way
# for air and not for foam.
_HELD_SD = 0.002
# Of a pixel, of where a column crosses a level between two: at most a fifteenth, whichever part of a pixel it is.
_EDGE_SD = 2.0 / 15.0 / math.sqrt(12.0)
_THIN_MM = 0.4  # a thinner layer is no layer
_RESOLVED_MM = 3.0  # a layer whose two faces are seen apart
_INSERT_MM = 32.0  # from the ring's middle: the insert with its wall
_SLICES_AVERAGED = 5
_WATER_SD_HU = 0.5  # how well the water's number is known about a bubble
_WATER_HU = 60.0  # half way from water to the wall: what is nearer to water is water


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """A number and its standard uncertainty."""

    value: float
    sd: float


@dataclass(frozen=True, kw_only=True)
class FillLine:
    """Air in the body.

    Attributes
    ----------
    air_ml, air_pct, height_mm : Estimate or None
        The layer above the water: millilitres, per cent of what the body holds, greatest thickness. None where it
        reaches down to the spheres.
    tilt_deg : Estimate or None
        Angle of its surface to the horizontal; None where the layer is too thin, or there is none.
    bubble_ml : Estimate
        The largest bubble in the water.
    is_whole : bool
        False where the CT does not show the whole body: the numbers are those of what it shows.
    deepest_lps_mm, surface : ndarray, shape (3,), or None
        On the surface under the thickest place, and the unit vector square to it; None where there is no layer.
    bubble_lps_mm : ndarray, shape (3,), or None
        Middle of the largest bubble.
    """

    air_ml: Estimate | None
    air_pct: Estimate | None
    height_mm: Estimate | None
    tilt_deg: Estimate | None
    bubble_ml: Estimate
    is_whole: bool
    deepest_lps_mm: NDArray[np.float64] | None = None
    surface: NDArray[np.float64] | None = None
    bubble_lps_mm: NDArray[np.float64] | None = None


def measure(
    volume: PetVolume,
    spheres: Mapping[int, NDArray[np.float64]],
    axis: NDArray[np.float64],
    filled_mm: tuple[float, float],
    up: NDArray[np.float64],
    *,
    water_hu: float,
    noise_hu: float,
) -> FillLine | None:
    """Measure the air in the body.

    Parameters
    ----------
    volume : PetVolume
        HU.
    spheres : mapping of int to ndarray, shape (3,)
        Centre of each sphere on the CT by inner diameter, LPS millimetres.
    axis : ndarray, shape (3,)
        Along the phantom.
    filled_mm : tuple of float
        Where the filled body begins and ends along ``axis``, from the plane of the spheres.
    up : ndarray, shape (3,)
        Against gravity, across the image's z.
    water_hu, noise_hu : float
        Mean of the water; SD of a voxel times the root of how many voxels vary as one.

    Returns
    -------
    FillLine or None
        None where the CT shows too little of the body.
    """
    body = _Body.of(along_patient_axes(volume), np.mean(list(spheres.values()), axis=0), axis, filled_mm, up)
    if body is None:
        return None
    bubble, bubble_at, water = _bubbles(body, spheres, axis, water_hu, noise_hu)
    columns = _Columns.of(body, water_hu, noise_hu)
    if columns is None or columns.is_deep:
        return FillLine(
            air_ml=None, air_pct=None, height_mm=None, tilt_deg=None, bubble_ml=bubble, is_whole=body.is_whole
        )
    held = _held(body, columns, water, spheres)
    return _layer(body, columns, up, bubble, bubble_at, held)


@dataclass(frozen=True, kw_only=True)
class _Body:
    """The slices of the body, ``image[slice, across, upwards]``, and the map from these indices to the patient."""

    image: NDArray[np.float32]
    affine_lps_mm: NDArray[np.float64]  # of (slice, across, upwards, 1)
    middle: NDArray[np.float64]  # of the ring, as an index; shape (slices, 2): where the axis crosses each slice
    steps_mm: tuple[float, float, float]
    is_whole: bool
    is_end: tuple[bool, bool]  # whether the first and the last slice lie at an end of the body
    length_mm: float

    @classmethod
    def of(
        cls,
        volume: PetVolume,
        center: NDArray[np.float64],
        axis: NDArray[np.float64],
        filled_mm: tuple[float, float],
        up: NDArray[np.float64],
    ) -> _Body | None:
        """Cut the slices of the body out of a volume that lies along the patient's axes."""
        along = axis * np.sign(axis[2])
        z = volume.affine_lps_mm[2, 3] + volume.affine_lps_mm[2, 2] * np.arange(len(volume.image))
        height = (z - center[2]) / along[2]
        low, high = sorted(filled_mm) if axis[2] > 0 else sorted(-one for one in filled_mm)
        inside = np.flatnonzero((height > low + _END_MM) & (height < high - _END_MM))
        every = max(round(_STEP_MM / volume.spacing_zyx_mm[0]), 1)
        inside = inside[::every]
        if len(inside) < 5:
            return None
        image, affine = volume.image[inside[0] : inside[-1] + 1 : every], volume.affine_lps_mm.copy()
        affine[:3, 3] += affine[:3, 2] * inside[0]
        # Of (slice, row, column), then of (slice, across, upwards).
        affine = affine[:, [2, 1, 0, 3]]
        affine[:3, 0] *= every
        upwards = 2 if abs(up[0]) > abs(up[1]) else 1
        if upwards == 1:
            image, affine = image.transpose(0, 2, 1), affine[:, [0, 2, 1, 3]]
        if affine[:3, 2] @ up < 0:
            image = image[:, :, ::-1]
            affine[:3, 3] += affine[:3, 2] * (image.shape[2] - 1)
            affine[:3, 2] *= -1
        steps = np.linalg.norm(affine[:3, :3], axis=0)
        inverse = np.linalg.inv(affine)
        crossing = center + np.outer(height[inside], along)
        middle = (crossing @ inverse[:3, :3].T + inverse[:3, 3])[:, 1:]
        ends = (bool(height[0] < low), bool(height[-1] > high))
        return cls(
            image=image,
            affine_lps_mm=affine,
            middle=middle,
            steps_mm=(float(steps[0]), float(steps[1]), float(steps[2])),
            is_whole=all(ends),
            is_end=ends,
            length_mm=float(high - low),
        )

    def lps_mm(self, index: NDArray[np.float64]) -> NDArray[np.float64]:
        """Map indices ``[..., (slice, across, upwards)]`` to the patient."""
        return np.asarray(index @ self.affine_lps_mm[:3, :3].T + self.affine_lps_mm[:3, 3])


@dataclass(frozen=True, kw_only=True)
class _Columns:
    """The columns above the spheres, arrays of ``[slice, across]``.

    ``lack_mm`` is what a column lacks against water, but for the air outside and the wall; ``surface`` is the index at
    which it leaves the water, NaN where the layer's two faces are not seen apart; ``edge`` that at which a column
    without air leaves the body, NaN for others, and ``oblique`` how much longer than straight its way through the wall
    is.
    """

    lack_mm: NDArray[np.float64]
    surface: NDArray[np.float64]
    edge: NDArray[np.float64]
    oblique: NDArray[np.float64]
    noise_mm: float
    wall_sd_mm: float
    thickness: Estimate | None  # mm of the wall, None where no column without air shows it
    is_deep: bool
    left: int

    @classmethod
    def of(cls, body: _Body, water_hu: float, noise_hu: float) -> _Columns | None:
        """Read the columns; None where the CT does not show the air above the body."""
        _, across, upwards = body.steps_mm
        w0, u0 = body.middle.mean(axis=0)
        left = max(int(w0 - _SIDE_MM / across), 0)
        right = min(int(w0 + _SIDE_MM / across) + 1, body.image.shape[1])
        low = int(u0 + _CLEAR_MM / upwards)
        high = min(int(u0 + (_TOP_MM + 2 * _RUN_MM) / upwards), body.image.shape[2])
        part = body.image[:, left:right, low:high]
        if part.size == 0 or part.shape[2] * upwards < _RUN_MM * 3:
            return None
        smooth = ndimage.uniform_filter(part, (3, 3, 1), mode="nearest")
        outside = part.shape[2] - 1 - np.argmax(smooth[:, :, ::-1] > _LEVEL_HU, axis=2)
        is_body = (smooth > _LEVEL_HU).any(axis=2) & (outside < part.shape[2] - int(_RUN_MM / upwards) - 1)
        edge = np.where(is_body, _crossing(smooth, outside), np.nan)
        index = np.arange(part.shape[2])
        under = index[None, None, :] < (edge - 2.0 / upwards)[:, :, None]
        is_air = under & (smooth < _DARK_HU)
        has_air = np.asarray(is_air.any(axis=2))
        first = np.where(has_air, is_air.argmax(axis=2), np.nan)
        near = np.abs(np.arange(left, right) - w0) * across < 40.0
        deep = is_body & has_air & (first * upwards < 6.0)
        # Each column is summed from a little below its air to a little above the wall.
        run = _RUN_MM / upwards
        start = np.floor(np.where(has_air, first, edge - _WALL_MM / upwards) - run)
        stop = np.floor(np.nan_to_num(edge) + run)
        is_body = np.asarray(is_body & (start >= 0))
        start, stop = np.where(is_body, start, 0).astype(int), np.where(is_body, stop, 0).astype(int)
        total = np.concatenate([np.zeros((*part.shape[:2], 1)), np.cumsum(part, axis=2, dtype=np.float64)], axis=2)
        summed = np.take_along_axis(total, (stop + 1)[..., None], 2) - np.take_along_axis(total, start[..., None], 2)
        count = stop + 1 - start
        lack = upwards * (water_hu * count - summed[..., 0]) / (water_hu - AIR_HU)
        lack -= upwards * (stop + 0.5 - edge)
        lack[~is_body] = np.nan
        with np.errstate(invalid="ignore"):
            slope = upwards * np.hypot(np.gradient(edge, axis=1) / across, np.gradient(edge, axis=0) / body.steps_mm[0])
        oblique = np.sqrt(1.0 + np.minimum(ndimage.median_filter(np.nan_to_num(slope), 5), 3.0) ** 2)
        off_mm = np.abs(np.arange(left, right) - w0) * across
        plain = is_body & ~ndimage.binary_dilation(has_air, iterations=int(np.ceil(8.0 / across))) & (off_mm < 110.0)
        if plain.sum() >= _LEAST_COLUMNS:
            wall = lack[plain] / oblique[plain]
            wall_mm, wall_sd = float(np.median(wall)), 0.02
            depth_mm = (edge[plain][:, None] - index) * upwards / oblique[plain][:, None]
            thickness = _wall_thickness(depth_mm, part[plain], wall_mm, wall_sd, water_hu)
        else:
            wall_mm, wall_sd, thickness = _WALL_LACK_MM, _WALL_LACK_SD_MM, None
        lack -= wall_mm * oblique
        noise_mm = upwards * noise_hu * float(np.sqrt(np.median(count[is_body]) if is_body.any() else 1)) / 1000.0
        surface = _surface(smooth, first, has_air & is_body, water_hu, upwards)
        _drop_what_lies_on_top(smooth, surface, lack, has_air, water_hu, upwards)
        clear = has_air & is_body & np.isfinite(surface) & (lack > _CLEAR_LAYER_MM)
        if clear.sum() >= _LEAST_COLUMNS:
            inner = surface[clear] + lack[clear] / 2.0 / upwards
            thickness, shift_mm = _wall_in_air(part[clear], inner, stop[clear], edge[clear], oblique[clear], upwards)
            lack += np.where(has_air & (lack > _RESOLVED_MM), shift_mm * oblique, 0.0)
        surface[~(lack > _RESOLVED_MM)] = np.nan
        return cls(
            lack_mm=lack,
            surface=surface + low,
            edge=np.where(plain, edge, np.nan) + low,
            oblique=oblique,
            noise_mm=noise_mm,
            wall_sd_mm=wall_sd,
            thickness=thickness,
            is_deep=bool(deep[:, near].mean() > 0.2),
            left=left,
        )


def _wall_in_air(
    columns: NDArray[np.float32],
    inner: NDArray[np.float64],
    stop: NDArray[np.int64],
    edge: NDArray[np.float64],
    oblique: NDArray[np.float64],
    upwards: float,
) -> tuple[Estimate, float]:
    """Return how thick the wall over air is, and how far beyond where columns cross `_LEVEL_HU` it ends, mm.

    Between air and air neither its sum nor its middle hang on blur, which takes from a thin wall's height.
    """
    index = np.arange(columns.shape[1])
    is_in = (index >= inner[:, None]) & (index <= stop[:, None])
    plastic = np.where(is_in, columns.astype(np.float64) - AIR_HU, 0.0)
    total = plastic.sum(axis=1)
    middle = (plastic * index).sum(axis=1) / np.maximum(total, 1.0)
    thickness_mm = float(np.median(total * upwards / (_WALL_HU - AIR_HU) / oblique))
    shift_mm = float(np.median((middle - edge) * upwards / oblique)) + thickness_mm / 2.0
    sd_mm = math.hypot(thickness_mm * _WALL_SD_HU / (_WALL_HU - AIR_HU), _WALL_IN_AIR_SD_MM)
    return Estimate(value=thickness_mm, sd=sd_mm), shift_mm


def _wall_thickness(
    depth_mm: NDArray[np.float64], values: NDArray[np.float32], lack_mm: float, lack_sd_mm: float, water_hu: float
) -> Estimate:
    """Return how thick the wall is: to half way into it from the water, or, where blur hides that, by what it adds."""
    bins = np.floor(depth_mm / _PROFILE_STEP_MM).astype(int)
    is_in = (bins >= 0) & (bins < int(_WALL_DEPTH_MM / _PROFILE_STEP_MM))
    count = np.bincount(bins[is_in])
    profile = np.bincount(bins[is_in], values[is_in]) / np.maximum(count, 1)
    contrast = max(_WALL_HU - water_hu, _PLASTIC_HU)
    if float(profile.max()) > water_hu + _WALL_SEEN * contrast:
        level = water_hu + contrast / 2
        k = int(profile.argmax())
        below = np.flatnonzero(profile[k:] < level)
        if len(below):
            last = k + int(below[0])
            share = float((profile[last - 1] - level) / (profile[last - 1] - profile[last]))
            return Estimate(value=(last - 0.5 + share) * _PROFILE_STEP_MM, sd=_WALL_SEEN_SD_MM)
    value = max(-lack_mm, 0.0) * (water_hu - AIR_HU) / contrast
    sd = math.hypot(lack_sd_mm * (water_hu - AIR_HU), value * _WALL_SD_HU) / contrast
    return Estimate(value=value, sd=sd)


def _held(
    body: _Body, columns: _Columns, water: NDArray[np.bool_], spheres: Mapping[int, NDArray[np.float64]]
) -> Estimate:
    """Return how much water the slices hold, mL: its voxels, less spheres and wall that blur lets pass for water."""
    along, across, upwards = body.steps_mm
    water, steps = water.copy(), np.array(body.steps_mm)
    inverse = np.linalg.inv(body.affine_lps_mm)
    for diameter, place in spheres.items():
        # A wall of 1 mm is too thin to part the water in it from that about it.
        radius = diameter / 2.0 + _SPHERE_WALL_MM
        at = inverse[:3, :3] @ place + inverse[:3, 3]
        low = np.maximum(np.floor(at - radius / steps), 0).astype(int)
        box = tuple(slice(a, max(int(b) + 1, a)) for a, b in zip(low, np.ceil(at + radius / steps), strict=True))
        away = np.indices(water[box].shape) + (low - at)[:, None, None, None]
        water[box] &= ((away * steps[:, None, None, None]) ** 2).sum(axis=0) > radius**2
    held_ml = float(water.sum()) * along * across * upwards / 1000.0
    # A convex section: lines across it and upwards meet its wall twice, but where air lies over the water (Crofton).
    has_air = int(np.isfinite(columns.surface).sum())
    lines = 2 * int(water.any(axis=1).sum()) * upwards + (2 * int(water.any(axis=2).sum()) - has_air) * across
    wall_mm2 = np.pi / 4 * lines * along
    part = water[:, columns.left : columns.left + columns.edge.shape[1]]
    top = part.shape[2] - 0.5 - np.argmax(part[:, :, ::-1], axis=2)
    gap_mm = ((columns.edge - top) * upwards / columns.oblique)[np.isfinite(columns.edge) & part.any(axis=2)]
    excess_mm, sd_mm = 0.0, _WALL_HIDDEN_SD_MM
    if columns.thickness is not None and gap_mm.size:
        # A mean, for noise may let blur hide the wall here and not there.
        excess_mm = columns.thickness.value - float(np.clip(gap_mm, 0.0, _WALL_DEPTH_MM).mean())
        sd_mm = columns.thickness.sd
    sd_ml = math.hypot(wall_mm2 * sd_mm / 1000.0, _HELD_SD * held_ml)
    return Estimate(value=held_ml - excess_mm * wall_mm2 / 1000.0, sd=sd_ml)


def _crossing(smooth: NDArray[np.float32], last: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return where a column crosses `_LEVEL_HU` between ``last`` and the next voxel."""
    here = np.take_along_axis(smooth, last[..., None], 2)[..., 0].astype(np.float64)
    following = np.take_along_axis(smooth, np.minimum(last + 1, smooth.shape[2] - 1)[..., None], 2)[..., 0]
    return np.asarray(last + np.clip((here - _LEVEL_HU) / np.maximum(here - following, 1e-6), 0.0, 1.0))


def _surface(
    smooth: NDArray[np.float32],
    first: NDArray[np.float64],
    has_air: NDArray[np.bool_],
    water_hu: float,
    upwards: float,
) -> NDArray[np.float64]:
    """Return the index at which each column falls half way to air, NaN where it has none."""
    level = (water_hu + AIR_HU) / 2
    start = np.where(has_air, first, 0).astype(int)
    steps = np.arange(int(np.ceil(4.0 / upwards)) + 1)
    at = np.minimum(start[..., None] + steps, smooth.shape[2] - 1)
    below = np.take_along_axis(smooth, at, 2) < level
    reached = below.any(axis=2) & has_air
    after = start + below.argmax(axis=2)
    before = np.maximum(after - 1, 0)
    high = np.take_along_axis(smooth, before[..., None], 2)[..., 0].astype(np.float64)
    low = np.take_along_axis(smooth, after[..., None], 2)[..., 0].astype(np.float64)
    share = np.clip((high - level) / np.maximum(high - low, 1e-6), 0.0, 1.0)
    return np.where(reached, before + share, np.nan)


def _drop_what_lies_on_top(
    smooth: NDArray[np.float32],
    surface: NDArray[np.float64],
    lack: NDArray[np.float64],
    has_air: NDArray[np.bool_],
    water_hu: float,
    upwards: float,
) -> None:
    """Take back what is no layer: under a thing that lies on the body there is air too, but a wall below it."""
    regions, count = ndimage.label(has_air & np.isfinite(surface))
    for region in range(1, count + 1):
        rows, columns = np.nonzero(regions == region)
        at = surface[rows, columns]
        under = [
            smooth[rows, columns, np.clip(np.rint(at - depth / upwards), 0, smooth.shape[2] - 1).astype(int)]
            for depth in (1.5, 2.5)
        ]
        if np.median(np.maximum(*under)) > water_hu + _PLASTIC_HU:
            lack[rows, columns] = 0.0
            surface[rows, columns] = np.nan


def _layer(
    body: _Body,
    columns: _Columns,
    up: NDArray[np.float64],
    bubble: Estimate,
    bubble_at: NDArray[np.float64] | None,
    held: Estimate,
) -> FillLine:
    along, across, _ = body.steps_mm
    lack = np.nan_to_num(columns.lack_mm)
    window = (max(round(8.0 / along), 1) | 1, max(round(8.0 / across), 1) | 1)
    smooth = ndimage.uniform_filter(lack, window, mode="nearest")
    seen = max(_THIN_MM, 4.0 * columns.noise_mm / float(np.sqrt(np.prod(window))))
    is_layer = smooth > seen
    reach = int(np.ceil(6.0 / across))
    wide = ndimage.binary_dilation(is_layer, np.ones((1, 3), bool), iterations=reach) if is_layer.any() else is_layer
    column_ml = along * across / 1000.0
    areas = (lack * wide).sum(axis=1) * across  # mm² of each slice
    air_ml = float(areas.sum()) * along / 1000.0
    covered_mm = along * len(areas)
    # The layer goes on to the ends of the body, which the slices stop short of.
    missing_mm = max(body.length_mm - covered_mm, 0.0) if body.is_whole else 0.0
    ends_mm2 = (areas[:3].mean() + areas[-3:].mean()) / 2
    added_ml = missing_mm * float(ends_mm2) / 1000.0
    added_sd_ml = END_SD_MM * float(np.hypot(areas[:3].mean(), areas[-3:].mean())) / 1000.0
    count = max(int(wide.sum()), int(20.0 / across) * len(areas))
    sd_ml = float(np.sqrt(count * columns.noise_mm**2 + (count * columns.wall_sd_mm) ** 2) * column_ml)
    total = Estimate(value=air_ml + added_ml, sd=float(np.hypot(sd_ml, added_sd_ml)))
    # Per cent of the whole length too; where the layer is thicker at one end, that end's place matters.
    section_mm2 = 1000.0 * (held.value + air_ml) / covered_mm
    share = 100.0 / (section_mm2 * (covered_mm + missing_mm) / 1000.0)
    uneven = np.array([areas[:3].mean(), areas[-3:].mean()]) - areas.mean()
    uneven_ml = END_SD_MM * float(np.hypot(*uneven)) / 1000.0 if body.is_whole else 0.0
    air_sd_ml = float(np.linalg.norm([sd_ml, uneven_ml, held.sd / held.value * air_ml]))
    air_pct = Estimate(value=total.value * share, sd=air_sd_ml * share)
    # Of the columns where the layer is deepest; those without it, on the slant, cross at every part of a pixel.
    edge_sd = _EDGE_SD * body.steps_mm[2]
    thick_sd = float(np.hypot(columns.noise_mm / np.sqrt(np.prod(window)), np.hypot(columns.wall_sd_mm, edge_sd)))
    if not is_layer.any():
        return FillLine(
            air_ml=total,
            air_pct=air_pct,
            height_mm=Estimate(value=0.0, sd=thick_sd),
            tilt_deg=None,
            bubble_ml=bubble,
            bubble_lps_mm=bubble_at,
            is_whole=body.is_whole,
        )
    thickest = np.unravel_index(int(smooth.argmax()), smooth.shape)
    height = Estimate(value=float(smooth[thickest]), sd=thick_sd)
    tilt, normal, deepest = _plane(body, columns, up, thickest)
    return FillLine(
        air_ml=total,
        air_pct=air_pct,
        height_mm=height,
        tilt_deg=tilt,
        bubble_ml=bubble,
        bubble_lps_mm=bubble_at,
        is_whole=body.is_whole,
        deepest_lps_mm=deepest,
        surface=normal,
    )


def _plane(
    body: _Body, columns: _Columns, up: NDArray[np.float64], thickest: tuple[np.intp, ...]
) -> tuple[Estimate | None, NDArray[np.float64] | None, NDArray[np.float64] | None]:
    """Fit a plane to the surface; return its tilt, its normal, and the place under the thickest column."""
    rows, cols = np.nonzero(np.isfinite(columns.surface))
    if len(rows) < _LEAST_COLUMNS or np.ptp(rows) < 3 or np.ptp(cols) < 6:
        return None, None, None
    index = np.stack([rows, cols + columns.left, columns.surface[rows, cols]], axis=1).astype(np.float64)
    places = body.lps_mm(index)
    upwards = body.affine_lps_mm[:3, 2] / body.steps_mm[2]
    along, across = (body.affine_lps_mm[:3, k] / body.steps_mm[k] for k in (0, 1))
    middle = places.mean(axis=0)
    design = np.stack([np.ones(len(places)), (places - middle) @ along, (places - middle) @ across], axis=1)
    height = (places - middle) @ upwards
    kept = np.ones(len(places), bool)
    for _ in range(3):
        found = np.linalg.lstsq(design[kept], height[kept], rcond=None)[0]
        residual = height - design @ found
        spread = 1.4826 * float(np.median(np.abs(residual[kept]))) + 1e-3
        kept = np.abs(residual) < 4 * spread
    scatter = _scatter(design[kept], residual[kept], rows[kept], cols[kept])
    normal = upwards - found[1] * along - found[2] * across
    normal /= np.linalg.norm(normal)
    cosine = float(np.clip(normal @ (up / np.linalg.norm(up)), -1.0, 1.0))
    slope = float(np.hypot(found[1], found[2]))
    way = np.array([0.0, found[1], found[2]]) / slope if slope > 0 else np.array([0.0, 0.0, 1.0])
    # A crossing read between two pixels is off by a wave that returns with each: nothing on a pixel and half way to the
    # next. The fit makes a slope of it where the surface rises by less than a pixel, and little of it where by several.
    wave = _EDGE_SD * body.steps_mm[2] * np.sin(2 * np.pi * columns.surface[rows, cols][kept])
    edge = float(way @ np.linalg.lstsq(design[kept], wave, rcond=None)[0])
    variance = max(float(way @ scatter @ way), 0.0)
    sd_deg = float(np.degrees(np.hypot(np.sqrt(variance), edge)))
    tilt = Estimate(value=float(np.degrees(np.arccos(cosine))), sd=sd_deg)
    under = body.lps_mm(np.array([float(thickest[0]), float(thickest[1]) + columns.left, 0.0]))
    on_plane = middle + upwards * found[0]
    return tilt, normal, under + upwards * ((on_plane - under) @ normal) / float(upwards @ normal)


def _scatter(
    design: NDArray[np.float64], residual: NDArray[np.float64], rows: NDArray[np.int64], cols: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Return the covariance of a fit whose errors repeat along slices and along columns: crossings between pixels do.

    Source: A. C. Cameron, J. B. Gelbach, D. L. Miller, J Bus Econ Stat 2011;29:238: the two one-way parts, less what
    both count, which is each place by itself.
    """
    inverse = np.linalg.inv(design.T @ design)
    parts = np.zeros_like(inverse)
    for group in (rows, cols):
        sums = np.zeros((int(group.max()) + 1, design.shape[1]))
        np.add.at(sums, group, design * residual[:, None])
        parts += sums.T @ sums
    alone = design * residual[:, None]
    parts -= alone.T @ alone
    return np.asarray(inverse @ parts @ inverse)


def _bubbles(
    body: _Body, spheres: Mapping[int, NDArray[np.float64]], axis: NDArray[np.float64], water_hu: float, noise_hu: float
) -> tuple[Estimate, NDArray[np.float64] | None, NDArray[np.bool_]]:
    """Return the largest bubble and its middle, and where the body's water is."""
    along, across, upwards = body.steps_mm
    voxel_ml = along * across * upwards / 1000.0
    smooth = ndimage.uniform_filter(body.image, (1, 3, 3), mode="nearest")
    # The body goes on along z: averaged that way its wall stays as thin as it is.
    along_z = ndimage.uniform_filter1d(body.image, _SLICES_AVERAGED, axis=0, mode="nearest")
    is_water = np.abs(along_z - water_hu) < _WATER_HU
    in_plane = np.zeros((3, 3, 3), bool)
    in_plane[1, :, 1] = in_plane[1, 1, :] = True
    # Between air and wall the image passes the water's number, in a line that would close a layer in like a bubble.
    parts, _ = ndimage.label(ndimage.binary_opening(is_water, in_plane), in_plane)
    # The water of a slice is its largest part.
    water = np.zeros_like(is_water)
    for k in range(len(parts)):
        sizes = np.bincount(parts[k].ravel())
        if len(sizes) > 1:
            water[k] = parts[k] == 1 + int(sizes[1:].argmax())
    # Against air the edge is half way to it.
    is_edge = (along_z < water_hu - _WATER_HU) & (along_z > _LEVEL_HU)
    held = ndimage.binary_dilation(water, in_plane, iterations=3, mask=is_edge | water)
    rest, count = ndimage.label(~water, in_plane)
    rim = np.unique(np.concatenate([rest[:, [0, -1], :].ravel(), rest[:, :, [0, -1]].ravel()]))
    is_open = np.zeros(count + 1, bool)
    is_open[[0, *rim]] = True
    bubbles, _ = ndimage.label(~is_open[rest] & (smooth < _DARK_HU))
    largest, sd, where = 0.0, 0.0, None
    for k, box in enumerate(ndimage.find_objects(bubbles), start=1):
        index = np.argwhere(bubbles[box] == k).mean(axis=0) + [one.start for one in box]
        place = body.lps_mm(index)
        if _is_of_phantom(place, spheres, axis):
            continue
        margin = [int(np.ceil(3.0 / step)) for step in body.steps_mm]
        around = tuple(slice(max(one.start - more, 0), one.stop + more) for one, more in zip(box, margin, strict=True))
        lack = (water_hu - body.image[around]) / (water_hu - AIR_HU)
        volume_ml = float(lack.sum()) * voxel_ml
        if volume_ml > largest:
            largest, where = volume_ml, place
            # The voxels' noise, and the water's own number.
            shared = noise_hu * float(np.sqrt(lack.size))
            sd = float(np.hypot(shared, _WATER_SD_HU * lack.size)) / (water_hu - AIR_HU) * voxel_ml
    unseen_ml = 2.0 * voxel_ml
    return Estimate(value=largest, sd=max(sd, unseen_ml / 4)), where, held


def _is_of_phantom(
    place: NDArray[np.float64], spheres: Mapping[int, NDArray[np.float64]], axis: NDArray[np.float64]
) -> bool:
    """Whether a place lies in a sphere or in the insert."""
    center = np.mean(list(spheres.values()), axis=0)
    away = place - center
    if float(np.linalg.norm(away - (away @ axis) * axis)) < _INSERT_MM:
        return True
    return any(float(np.linalg.norm(place - at)) < diameter / 2 + 2.0 for diameter, at in spheres.items())
