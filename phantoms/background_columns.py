"""The background of the NEMA phantom along its axis: twelve columns, their noise, and how the reading drifts.

The columns stand on the twelve background regions (`phantoms.background_rois`), squares inside their circles, from
20 mm above one end of the filled body to 20 mm below the other. They see neither a sphere nor the wall, so what
changes along them is the scanner's doing, and what scatters in them is the image's noise.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from phantoms.artefacts import Noise, Section, Wedge

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from phantoms.localise import NemaPose
    from phantoms.volume import PetVolume

END_MM = 20.0  # more than two blurs of any image that EARL accepts
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
    """What the columns show: the noise over the background's mean, the drift along the axis, a sector that is low."""

    noise: Noise
    profile: Profile
    wedge: Wedge | None


def correlated_voxels(noise: Noise) -> tuple[float, float, float]:
    """Return how many voxels along each axis (z, y, x) vary as one."""
    z, y, x = (max(2 * float(by_lag.sum()) - 1, 1.0) for by_lag in noise.correlation)
    return z, y, x


def measure(volume: PetVolume, pose: NemaPose, centers_lps_mm: NDArray[np.float64]) -> Columns | None:
    """Measure the noise, the axial drift and the sectors of the background.

    Parameters
    ----------
    volume : PetVolume
        Along patient axes.
    pose : NemaPose
    centers_lps_mm : ndarray, shape (12, 3)
        Centres of the background regions in the sphere plane.

    Returns
    -------
    Columns or None
        None where fewer than three slices hold all columns.
    """
    columns = _columns(volume, pose, centers_lps_mm)
    if columns is None:
        return None
    height_mm, values, at_y, at_x = columns
    mean = float(values.mean())
    if mean <= 0:
        return None
    means = values.mean(axis=(2, 3)) / mean - 1.0  # [column, slice]
    design = height_mm - height_mm.mean(axis=1, keepdims=True)
    slopes = (design * means).sum(axis=1) / (design**2).sum(axis=1)
    slope = float(slopes.mean())
    level = values / mean - 1.0 - slope * (height_mm - height_mm.mean())[:, :, None, None]
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
    return Columns(noise, profile, _section(volume, 1.0 + level, at_y, at_x, noise).wedge())


def _section(
    volume: PetVolume,
    values: NDArray[np.float64],
    at_y: NDArray[np.intp],
    at_x: NDArray[np.intp],
    noise: Noise,
) -> Section:
    """See the columns, freed of the drift, along the axis; the scanner's axis is the middle of the image."""
    level = values / values.mean(axis=(0, 2, 3))[None, :, None, None]
    total, number = np.zeros(volume.image.shape[1:]), np.zeros(volume.image.shape[1:])
    places = np.broadcast_arrays(at_y[:, :, :, None], at_x[:, :, None, :])
    np.add.at(total, tuple(places), level)
    np.add.at(number, tuple(places), 1.0)
    rows, across = volume.image.shape[1:]
    _, y_mm, x_mm = volume.spacing_zyx_mm
    box = slice(int(at_y.min()), int(at_y.max()) + 1), slice(int(at_x.min()), int(at_x.max()) + 1)
    return Section(
        total=total[box],
        number=number[box],
        x_mm=((np.arange(across) - (across - 1) / 2.0) * x_mm)[box[1]],
        y_mm=((np.arange(rows) - (rows - 1) / 2.0) * y_mm)[box[0]],
        mean=1.0,
        noise=noise,
    )


def _columns(
    volume: PetVolume, pose: NemaPose, centers_lps_mm: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.intp], NDArray[np.intp]] | None:
    """Return heights along the axis ``[12, n]``, voxels ``[12, n, rows, columns]``, and their rows and columns.

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
    return height[:, used], values.astype(np.float64), at_y, at_x


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
