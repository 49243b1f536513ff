"""What a scanner's faults leave on a uniform cylinder: wedges, rings and steps at bed joins, by name.

Each is a contrast of means, tested against the standard error that the image's own noise gives that very contrast. The
standard error of a mean over any set of voxels follows from the voxels' variance and autocorrelation; in a slice it is
summed over the real shapes, along the axis it is the correlation length over the depth. As many places are looked at,
the chance of one false name is shared between them (Šidák). A fault is named where it is significant and at least half
of the smallest that matters: half-way, a fault of that size is missed as often as one of none is named.

Detector blocks and rings belong to the scanner, so wedges and rings are looked for round its axis, the middle of the
image, and not round the cylinder's.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy import fft, special

from phantoms.findings import along_the_axis, signed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

#: How often one of the searches may name a fault on a cylinder that has none.
FALSE_NAMES = 0.003
#: The smallest wedge, ring and step that matter, per cent of the mean (the lab's rule, no confirmed source).
MATTERS_PCT = 5.0

SECTOR_DEG = 10
WEDGE_WIDTHS_DEG = (10, 20, 30, 40, 60, 90)
WEDGE_INNER_MM = 15.0  # nearer to the axis all sectors meet
ANNULUS_MM = 4.0
RING_WIDTHS_MM = (4.0, 8.0, 12.0, 16.0)
#: A step is looked for with this much of the axis on either side, and a join this far from the measured region's ends;
#: what is seen there is then placed where it fits best, which may be nearer to an end.
STEP_REACH_MM = 60.0
STEP_END_MM = 20.0


@dataclass(frozen=True)
class Wedge:
    """A sector that reads lower than the rest, angles from +x (patient left) towards +y (posterior)."""

    at_deg: float
    width_deg: float
    pct: float
    sd_pct: float


@dataclass(frozen=True)
class Ring:
    """A ring round the scanner's axis that reads otherwise than what lies on either side."""

    radius_mm: float
    width_mm: float
    pct: float
    sd_pct: float


@dataclass(frozen=True)
class Step:
    """A place along the axis where the slice means jump, in the direction of +z."""

    height_mm: float
    pct: float
    sd_pct: float


def quantile(tests: int) -> float:
    """Return how many standard errors one of ``tests`` contrasts, either way, passes with chance `FALSE_NAMES`."""
    one = -math.expm1(math.log1p(-FALSE_NAMES) / max(tests, 1))
    return float(-special.ndtri(one / 2))


@dataclass(frozen=True)
class Noise:
    """The voxels' variance, and along each image axis (z, y, x) their autocorrelation by lag, from lag 0."""

    variance: float
    correlation: tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]

    def covariance(self, weights: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the covariance of means of columns of voxels along the axis.

        Neighbouring columns share as many slices as the geometric mean of their lengths: a tilted region's outer
        columns are short, and their noise is not that of the whole depth.

        Parameters
        ----------
        weights : ndarray, shape (n, rows, columns)
            Root of the number of voxels that each pixel's column has in each mean, over the mean's number of voxels.

        Returns
        -------
        ndarray, shape (n, n)
        """
        rows, columns = weights.shape[1:]
        _, along_y, along_x = self.correlation
        size = [fft.next_fast_len(rows + len(along_y)), fft.next_fast_len(columns + len(along_x))]
        spectrum = fft.rfft2(_wrapped(along_y, size[0])[:, None] * _wrapped(along_x, size[1])[None, :])
        spread = fft.irfft2(fft.rfft2(weights, size) * spectrum, size)[:, :rows, :columns]
        length = 2 * float(self.correlation[0].sum()) - 1
        flat = weights.reshape(len(weights), -1)
        in_plane = flat @ spread.reshape(len(weights), -1).T
        return np.asarray(self.variance * length * in_plane)


def _wrapped(by_lag: NDArray[np.float64], size: int) -> NDArray[np.float64]:
    """Return a symmetric autocorrelation with lag 0 first and the negative lags at the end."""
    kernel = np.zeros(size)
    kernel[: len(by_lag)] = by_lag
    kernel[size - len(by_lag) + 1 :] = by_lag[:0:-1]
    return kernel


class Section:
    """The measured region seen along the axis: per pixel the sum of its voxels, how many, and its place.

    Parameters
    ----------
    total, number : ndarray, shape (rows, columns)
        Sum and number of the region's voxels behind each pixel.
    x_mm, y_mm : ndarray, shape (columns,) and (rows,)
        Distance of each column and row from the scanner's axis, towards patient left and posterior.
    mean : float
        Mean of the region.
    noise : Noise
    """

    def __init__(
        self,
        total: NDArray[np.float64],
        number: NDArray[np.float64],
        x_mm: NDArray[np.float64],
        y_mm: NDArray[np.float64],
        mean: float,
        noise: Noise,
    ) -> None:
        self.total, self.number, self.mean, self.noise = total, number, mean, noise
        self.x_mm, self.y_mm = x_mm, y_mm
        self.radius_mm = np.hypot(x_mm[None, :], y_mm[:, None])
        self.angle_deg = np.degrees(np.arctan2(y_mm[:, None], x_mm[None, :])) % 360

    def level_along(self, x: float, y: float) -> Section:
        """Return the section without the slant that fits it best along one direction (patient left, posterior)."""
        along = x * self.x_mm[None, :] + y * self.y_mm[:, None]
        along = along - float((along * self.number).sum() / self.number.sum())
        spread = float((self.number * along**2).sum())
        if spread == 0:
            return self
        slant = float((self.total * along).sum()) / spread
        total = self.total - slant * along * self.number
        return Section(total, self.number, self.x_mm, self.y_mm, self.mean, self.noise)

    def wedge(self) -> Wedge | None:
        """Return the sector that reads lowest for its noise; None where none is low enough."""
        count = 360 // SECTOR_DEG
        which = np.where(self.radius_mm >= WEDGE_INNER_MM, self.angle_deg // SECTOR_DEG, -1).astype(np.intp) % (
            count + 1
        )
        cells = _Cells(self, which, count)
        if len(cells.number) < count // 2:
            return None
        windows = np.zeros((len(WEDGE_WIDTHS_DEG), count, count))
        for row, width in zip(windows, WEDGE_WIDTHS_DEG, strict=True):
            for start in range(count):
                row[start, (start + np.arange(width // SECTOR_DEG)) % count] = 1.0
        inside = windows.reshape(-1, count)
        best = cells.most_significant(inside, 1 - inside, only_low=True)
        if best is None:
            return None
        place, pct, sd_pct = best
        width = WEDGE_WIDTHS_DEG[place // count]
        return Wedge((place % count * SECTOR_DEG + width / 2) % 360, float(width), pct, sd_pct)

    def ring(self, *, beside: Wedge | None = None) -> Ring | None:
        """Return the ring that differs most, for its noise, from what lies inside and outside it; None without one.

        The sector ``beside`` is left out: off the middle, its share differs from ring to ring.
        """
        if beside is not None:
            away = np.abs((self.angle_deg - beside.at_deg + 180) % 360 - 180)
            is_clear = away > beside.width_deg / 2 + SECTOR_DEG
            section = Section(
                self.total * is_clear, self.number * is_clear, self.x_mm, self.y_mm, self.mean, self.noise
            )
            return section.ring()
        count = int(self.radius_mm[self.number > 0].max() // ANNULUS_MM)
        which = np.minimum(self.radius_mm // ANNULUS_MM, count).astype(np.intp)
        cells = _Cells(self, which, count)
        inside, outside, places = [], [], []
        for width in (round(width / ANNULUS_MM) for width in RING_WIDTHS_MM):
            for start in range(count - 2 * width + 1):
                if 0 < start < width:
                    continue
                window = np.zeros((3, count))
                window[0, start : start + width] = 1.0
                window[1, max(start - width, 0) : start] = 1.0
                window[2, start + width : start + 2 * width] = 1.0
                inside.append(window[0])
                outside.append(window[1:])
                places.append((start + width / 2, width))
        best = cells.most_significant(np.array(inside), np.array(outside))
        if best is None:
            return None
        place, pct, sd_pct = best
        middle, width = places[place]
        return Ring(middle * ANNULUS_MM, width * ANNULUS_MM, pct, sd_pct)


class _Cells:
    """The means of parts of a `Section` and their covariance; a part that the region does not reach counts nothing."""

    def __init__(self, section: Section, which: NDArray[np.intp], count: int) -> None:
        masks = which[None] == np.arange(count)[:, None, None]
        self.number = (masks * section.number).sum(axis=(1, 2))
        self.values = (masks * section.total).sum(axis=(1, 2)) / np.maximum(self.number, 1)
        self.covariance = section.noise.covariance(
            masks * np.sqrt(section.number) / np.maximum(self.number, 1)[:, None, None]
        )
        self.mean = section.mean

    def most_significant(
        self, inside: NDArray[np.float64], beside: NDArray[np.float64], *, only_low: bool = False
    ) -> tuple[int, float, float] | None:
        """Return row, size and standard error (per cent) of the largest contrast for its noise; None where none counts.

        Parameters
        ----------
        inside : ndarray, shape (n, cells)
            Which cells the mean is taken of.
        beside : ndarray, shape (n, cells) or (n, sides, cells)
            Which cells it is compared with; the means of two sides are averaged, so that a slant drops out.
        """
        if beside.ndim == 2:
            beside = beside[:, None, :]
        is_there = (beside * self.number).sum(axis=2) > 0
        sides = self._shares(beside) * (is_there / np.maximum(is_there.sum(axis=1, keepdims=True), 1))[:, :, None]
        contrast = self._shares(inside) - sides.sum(axis=1)
        is_whole = ((inside * self.number).sum(axis=1) > 0) & is_there.any(axis=1)
        pct = 100 * contrast @ self.values / self.mean
        variance = np.einsum("ni,ij,nj->n", contrast, self.covariance, contrast)
        sd_pct = 100 * np.sqrt(np.maximum(variance, 0)) / self.mean
        return _largest(-pct if only_low else np.abs(pct), pct, sd_pct, is_whole)

    def _shares(self, cells: NDArray[np.float64]) -> NDArray[np.float64]:
        weights = cells * self.number
        return np.asarray(weights / np.maximum(weights.sum(axis=-1, keepdims=True), 1))


def _largest(
    size: NDArray[np.float64], pct: NDArray[np.float64], sd_pct: NDArray[np.float64], may: NDArray[np.bool_]
) -> tuple[int, float, float] | None:
    """Return the place, size and standard error of the most significant contrast of some; None where none counts."""
    named = may & (size > quantile(int(may.sum())) * sd_pct) & (size >= MATTERS_PCT / 2)
    if not named.any():
        return None
    # Without noise all are significant: then the largest is meant.
    score = np.where(named, size / np.maximum(sd_pct, 0.02 * size.max()), -np.inf)
    best = int(np.argmax(score))
    return best, float(pct[best]), float(sd_pct[best])


def steps(
    height_mm: NDArray[np.float64], slice_mean: NDArray[np.float64], slice_sd: float, correlation_mm: float
) -> tuple[Step, ...]:
    """Return where the slice means jump, from foot to head.

    Round each place a straight line with a jump is fitted to the slices within `STEP_REACH_MM`, so a slope is no step.

    Parameters
    ----------
    height_mm, slice_mean : ndarray, shape (n,)
        The used slices in the order of +z.
    slice_sd, correlation_mm : float
        Standard error of one slice's mean, and the length over which neighbours vary as one.
    """
    mean = float(slice_mean.mean())
    middles = (height_mm[1:] + height_mm[:-1]) / 2
    noise = slice_sd * math.sqrt(max(correlation_mm / float(np.median(np.diff(height_mm))), 1.0))
    inner = (middles >= height_mm[0] + STEP_END_MM) & (middles <= height_mm[-1] - STEP_END_MM)
    rows = []
    for at in middles[inner]:
        near = np.abs(height_mm - at) <= STEP_REACH_MM
        rows.append((float(at), *_jump_pct(height_mm[near], slice_mean[near], at, mean, noise)))
    found: list[Step] = []
    left = np.array(rows).reshape(-1, 3)
    while len(left):
        best = _largest(np.abs(left[:, 1]), left[:, 1], left[:, 2], np.ones(len(left), dtype=bool))
        if best is None:
            break
        seen_at = float(left[best[0], 0])
        found.append(_placed(height_mm, slice_mean, seen_at, mean, noise))
        # Beside a jump the same fit sees a part of it, so one place within reach is named.
        left = left[np.abs(left[:, 0] - seen_at) > STEP_REACH_MM]
    return tuple(sorted(found, key=lambda step: step.height_mm))


def _placed(
    height_mm: NDArray[np.float64], slice_mean: NDArray[np.float64], seen_at_mm: float, mean: float, noise: float
) -> Step:
    """Return a jump where it fits the slices about it best: it may lie nearer to the end than one is looked for.

    Of fits to the same slices that of the largest jump for its error leaves the least.
    """
    near = np.abs(height_mm - seen_at_mm) <= STEP_REACH_MM
    z, means = height_mm[near], slice_mean[near]
    middles = (z[1:] + z[:-1]) / 2
    fits = [(float(at), *_jump_pct(z, means, at, mean, noise)) for at in middles[1:-1]]
    return Step(*max(fits, key=lambda fit: abs(fit[1]) / fit[2] if fit[2] else abs(fit[1])))


def _jump_pct(
    height_mm: NDArray[np.float64], slice_mean: NDArray[np.float64], at_mm: float, mean: float, noise: float
) -> tuple[float, float]:
    """Return the jump of a straight line with one at a place, and its standard error, per cent of ``mean``."""
    z = height_mm - at_mm
    design = np.stack([np.ones_like(z), z, (z > 0) - 0.5], axis=1)
    solve = np.linalg.pinv(design)[2]
    return 100 * float(solve @ slice_mean) / mean, 100 * noise * float(np.linalg.norm(solve)) / mean


def listed_steps(found: Sequence[Step]) -> str:
    """Write the jumps as “+6.1 % 12 mm from the middle towards the feet”."""
    return ", ".join(f"{signed(one.pct, 1)} % {along_the_axis(one.height_mm)}" for one in found)
