"""The background of the NEMA phantom along its axis: twelve columns, their noise, and how the reading drifts.

The columns stand on the twelve background regions (`phantoms.background_rois`), squares inside their circles, from
20 mm above one end of the filled body to 20 mm below the other. They see neither a sphere nor the wall, so what
changes along them is the scanner's doing, and what scatters in each of them is the image's noise. A low sector is
looked for in all of the background that lies as far from wall, spheres and insert: it may pass between two columns.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from phantoms.artefacts import Noise, Section, Wedge

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from phantoms.background_rois import BackgroundRois
    from phantoms.localise import NemaPose
    from phantoms.volume import PetVolume

END_MM = 20.0  # more than two blurs of any image that EARL accepts
_PIXEL_MM = 4.0  # a sector is seen in voxels this far apart: nearer ones share their noise
_INSERT_RADIUS_MM = 25.5
HALF_WIDTH_MM = 13.0  # a square of 26 mm fits the circle of 37 mm
_LAG_MM = 20.0
_MIN_CORRELATION = 0.05
_MIN_SLICES = 3


@dataclass(frozen=True)
class Profile:
    """The background along the phantom's axis.

    Attributes
    ----------
    height_mm, pct : ndarray, shape (n,)
        Distance of each slice from the sphere plane along the axis, towards +z, and the mean of its twelve columns over
        the background's mean, per cent off.
    slope_pct_per_cm, slope_sd_pct_per_cm : float
        Straight line through the columns, and its standard error: the larger of what the image's noise and what the
        columns' own differences give.
    """

    height_mm: NDArray[np.float64]
    pct: NDArray[np.float64]
    slope_pct_per_cm: float
    slope_sd_pct_per_cm: float


@dataclass(frozen=True)
class Columns:
    """What the columns show: the noise over the background's mean, the drift along the axis, a sector that is low.

    ``half_noises`` are eleven that six of the columns show, chosen so that the mean square of what anything worked out
    from the noise moves by is its variance.
    """

    noise: Noise
    half_noises: tuple[Noise, ...]
    profile: Profile
    wedge: Wedge | None


def correlated_voxels(noise: Noise) -> tuple[float, float, float]:
    """Return how many voxels along each axis (z, y, x) vary as one."""
    z, y, x = (max(2 * float(by_lag.sum()) - 1, 1.0) for by_lag in noise.correlation)
    return z, y, x


def measure(volume: PetVolume, pose: NemaPose, layout: BackgroundRois) -> Columns | None:
    """Measure the noise, the axial drift and the sectors of the background.

    Parameters
    ----------
    volume : PetVolume
        Along patient axes.
    pose : NemaPose
    layout : BackgroundRois
        The twelve regions of the sphere plane, and the outline.

    Returns
    -------
    Columns or None
        None where fewer than three slices hold all columns.
    """
    columns = _columns(volume, pose, layout.centers_lps_mm)
    if columns is None:
        return None
    height_mm, values = columns
    mean = float(values.mean())
    if mean <= 0:
        return None
    means = values.mean(axis=(2, 3)) / mean - 1.0  # [column, slice]
    design = height_mm - height_mm.mean(axis=1, keepdims=True)
    slopes = (design * means).sum(axis=1) / (design**2).sum(axis=1)
    slope = float(slopes.mean())
    level = values / mean - 1.0 - slope * (height_mm - height_mm.mean())[:, :, None, None]
    # What sets a whole column apart is no noise: a low sector would hide itself.
    level -= level.mean(axis=(1, 2, 3), keepdims=True)
    noise = _noise(level, volume.spacing_zyx_mm)
    together = math.prod(map(min, correlated_voxels(noise), values.shape[1:]))
    from_noise = math.sqrt(noise.variance * together / values.size / float((design**2).mean()))
    from_columns = float(slopes.std(ddof=1)) / math.sqrt(len(slopes))
    profile = Profile(
        height_mm=height_mm.mean(axis=0),
        pct=100.0 * means.mean(axis=0),
        slope_pct_per_cm=1000.0 * slope,
        slope_sd_pct_per_cm=1000.0 * max(from_noise, from_columns),
    )
    section = _section(volume, pose, layout, profile, noise)
    halves = tuple(_noise(level[half], volume.spacing_zyx_mm) for half in _balanced_halves())
    return Columns(noise, halves, profile, section.wedge() if section is not None else None)


def _balanced_halves() -> Iterator[list[int]]:
    """Yield six of the twelve columns eleven times: the rows of a Hadamard matrix of order 12 (Paley).

    Any two columns are parted as often as not (6 of 11 times), so of anything linear in the columns the
    mean square difference between a half and all is the variance that their own differences give (McCarthy 1969).
    """
    squares = sorted({k * k % 11 for k in range(1, 11)})
    for turn in range(11):
        yield [0, *(1 + (square + turn) % 11 for square in squares)]


def _section(
    volume: PetVolume, pose: NemaPose, layout: BackgroundRois, profile: Profile, noise: Noise
) -> Section | None:
    """See the background, freed of the drift, each slice over its mean; the scanner's axis is the middle of the image.

    The drift runs along the phantom's axis: across a slice of a tilted one it looks like a low side.

    None where no voxel lies 20 mm from wall, spheres and insert.
    """
    every = [max(1, round(_PIXEL_MM / step)) for step in volume.spacing_zyx_mm]
    index = [np.arange(0, size, step) for size, step in zip(volume.image.shape, every, strict=True)]
    total, number = np.zeros((2, len(index[1]) * len(index[2])))
    # From slice to slice all places move alike; slice by slice, as those of all at once would take ten times the image.
    middle = volume.image.shape[0] // 2
    here = np.stack(np.meshgrid([middle], *index[1:], indexing="ij"), axis=-1).reshape(-1, 3)
    in_middle = np.ascontiguousarray(((volume.to_lps_mm(here.astype(float)) - pose.center_lps_mm) @ pose.frame).T)
    step = volume.affine_lps_mm[:3, 2] @ pose.frame
    inside_mm = layout.inside_mm(in_middle[:2].T)
    balls = [
        ((place - pose.center_lps_mm) @ pose.frame, diameter / 2.0 + END_MM) for diameter, place in pose.spheres.items()
    ]
    drift = profile.slope_pct_per_cm / 1000.0
    for z in index[0]:
        # A place that moves in the plane comes no nearer to the outline than by its way.
        moved = (z - middle) * step
        near = np.flatnonzero(inside_mm + math.hypot(moved[0], moved[1]) > END_MM)
        u, v, height = in_middle[:, near] + moved[:, None]
        is_clear = (height >= pose.filled_mm[0] + END_MM) & (height <= pose.filled_mm[1] - END_MM)
        if not is_clear.any():
            continue
        is_clear &= u**2 + v**2 > (_INSERT_RADIUS_MM + END_MM) ** 2
        is_clear &= layout.inside_mm(np.stack([u, v], -1)) > END_MM
        lowest, highest = height.min(), height.max()
        for place, reach_mm in balls:
            if lowest - reach_mm < place[2] < highest + reach_mm:
                is_clear &= (u - place[0]) ** 2 + (v - place[1]) ** 2 + (height - place[2]) ** 2 > reach_mm**2
        seen, height = near[is_clear], height[is_clear]
        values = volume.image[z][np.ix_(*index[1:])].ravel()[seen]
        values = values / (1.0 + drift * (height - float(profile.height_mm.mean())))
        mean = values.sum() / max(len(seen), 1)
        if mean > 0:
            total[seen] += values / mean
        number[seen] += 1.0
    if not number.any():
        return None
    rows, across = volume.image.shape[1:]
    _, y_mm, x_mm = volume.spacing_zyx_mm
    by_z, by_y, by_x = (by_lag[::step] for by_lag, step in zip(noise.correlation, every, strict=True))
    return Section(
        total=total.reshape(len(index[1]), -1),
        number=number.reshape(len(index[1]), -1),
        x_mm=(index[2] - (across - 1) / 2.0) * x_mm,
        y_mm=(index[1] - (rows - 1) / 2.0) * y_mm,
        mean=1.0,
        noise=Noise(noise.variance, (by_z, by_y, by_x)),
    )


def _columns(
    volume: PetVolume, pose: NemaPose, centers_lps_mm: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]] | None:
    """Return heights along the axis ``[12, n]`` and voxels ``[12, n, rows, columns]``.

    Only slices that hold all columns count.
    """
    depth, rows, across = volume.image.shape
    z_mm = volume.to_lps_mm(np.stack([np.arange(depth), np.zeros(depth), np.zeros(depth)], axis=1))[:, 2]
    height = (z_mm[None, :] - centers_lps_mm[:, 2:]) / pose.axis[2]
    centers = centers_lps_mm[:, None, :] + height[:, :, None] * pose.axis
    index = np.rint(volume.to_index_zyx(centers)).astype(int)
    half = [max(int(HALF_WIDTH_MM / step), 1) for step in volume.spacing_zyx_mm[1:]]
    low, high = index[..., 1:] - half, index[..., 1:] + half
    is_inside = np.all((low >= 0) & (high < [rows, across]), axis=-1)
    is_filled = (height >= pose.filled_mm[0] + END_MM) & (height <= pose.filled_mm[1] - END_MM)
    used = np.all(is_inside & is_filled, axis=0)
    if used.sum() < _MIN_SLICES:
        return None
    at_y = index[:, used, 1, None] + np.arange(-half[0], half[0] + 1)
    at_x = index[:, used, 2, None] + np.arange(-half[1], half[1] + 1)
    slices = np.flatnonzero(used)[None, :, None, None]
    values = volume.image[slices, at_y[:, :, :, None], at_x[:, :, None, :]]
    return height[:, used], values.astype(np.float64)


def _noise(level: NDArray[np.float64], spacing_zyx_mm: tuple[float, float, float]) -> Noise:
    variance = float((level**2).mean())
    correlation = []
    for axis, step in zip((1, 2, 3), spacing_zyx_mm, strict=True):
        by_lag = [1.0]
        for lag in range(1, min(int(_LAG_MM / step), level.shape[axis] - 1) + 1):
            early = np.take(level, range(level.shape[axis] - lag), axis=axis)
            late = np.take(level, range(lag, level.shape[axis]), axis=axis)
            share = float((early * late).mean()) / variance if variance > 0 else 0.0
            if share < _MIN_CORRELATION:
                break
            by_lag.append(share)
        correlation.append(np.array(by_lag))
    return Noise(variance, (correlation[0], correlation[1], correlation[2]))
