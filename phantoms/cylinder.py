"""Uniform cylinder, ``cylinder@4``: calibration against the activity sheet, and uniformity.

Steps: find the cylinder (`phantoms.cylinder_pose`); measured region = radius less 20 mm, ends less 20 mm, in slices
that lie wholly within; bias = mean of the region over the sheet's concentration at the image's decay reference time;
slice means, their slope and largest deviation; 10 mm tiles for integral uniformity; 10 mm rings for cupping; standard
deviation of the voxels; wedges, rings and steps at bed joins (`phantoms.artefacts`). Sources: EARL calibration QC
(bias), NEMA NU 2-1994 and IAEA Human Health Series 1 (tiles).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy import special

from phantoms import artefacts, calibrator, findings, rois
from phantoms.cylinder_pose import CylinderPose, cylindrical, find_cylinder, slice_heights_mm
from phantoms.errors import AnalysisRefused
from phantoms.resolution import EdgeFit, fit_edge
from phantoms.results import Finding, Measurement, Outcome, Owner, QualityFlag, other_than_bqml
from phantoms.sphere_ring import along_patient_axes
from phantoms.standards import judge
from phantoms.volume import PetVolume
from phantoms.voxel_noise import VoxelNoise

if TYPE_CHECKING:
    from datetime import datetime

    from numpy.typing import NDArray

    from phantoms.sheet import Budget, Sheet
    from phantoms.standards import Standard

EDGE_MARGIN_MM = 20.0  # EARL: at least 1.5 to 2 FWHM and not less than 20 mm from the wall and the ends
TILE_SIZE_MM = 10.0  # NEMA NU 2-1994: squares wholly inside a circle of nine tenths of the cylinder
TILE_CIRCLE = 0.9
RING_WIDTH_MM = 10.0
CENTRE_RADIUS_MM = 20.0  # cupping compares this circle with the outermost ring of the region

# The lab's rules (no confirmed source); they warn and never fail a scan.
SLOPE_WARN_PCT_PER_CM = 1.0
SLICE_WARN_PCT = 5.0
CUPPING_WARN_PCT = 5.0
VOLUME_WARN_PCT = 10.0
ONE_SIDED_95 = 1.645  # a number that may lie at its rule's limit with this many standard errors is named
REPEAT_BELOW_PCT = 12.0  # a fill is known to 3 or 4 %, so a bias just outside its limit is first repeated


@dataclass(frozen=True)
class CylinderResult:
    """All that was measured of one cylinder, with what the figures draw.

    Slices are in the order of +z (head). Arrays hold NaN where there is nothing to show.

    Attributes
    ----------
    measurements, findings : tuple
        The numbers, not yet judged, and what the images show.
    pose : CylinderPose
        Where the cylinder lies.
    axis_position_mm : ndarray, shape (n,)
        Where the middle of each slice cuts the axis, from the cylinder's middle.
    slice_mean, slice_cov_pct : ndarray, shape (n,)
        Mean of the region in each slice, in the image's unit, and SD of its voxels over that mean.
    slice_used : ndarray of bool, shape (n,)
        Whether the slice lies in the measured region.
    radial_r_mm, radial_ratio : ndarray, shape (m,)
        Middle of each 10 mm ring and its mean over the region's.
    tile_deviation_pct : ndarray, shape (rows, columns)
        Tile means of the central slice over their mean, less 1; rows towards posterior, columns towards left.
    mean_bqml, expected_bqml : float or None
        Mean of the region (in the image's unit) and the sheet's concentration.
    roi_radius_mm : float
        Radius of the region.
    edge : EdgeFit
        The blur across the wall, with the profile that it was fitted to.
    scanner_offset_mm : tuple of float
        Where the middle of the image lies from the cylinder's, towards patient left and posterior.
    budget : Budget or None
        What the sheet's concentration may be off by.
    """

    measurements: tuple[Measurement, ...]
    findings: tuple[Finding, ...]
    pose: CylinderPose
    axis_position_mm: NDArray[np.float64]
    slice_mean: NDArray[np.float64]
    slice_cov_pct: NDArray[np.float64]
    slice_used: NDArray[np.bool_]
    radial_r_mm: NDArray[np.float64]
    radial_ratio: NDArray[np.float64]
    tile_deviation_pct: NDArray[np.float64]
    mean_bqml: float
    expected_bqml: float | None
    roi_radius_mm: float
    edge: EdgeFit
    scanner_offset_mm: tuple[float, float] = (0.0, 0.0)
    budget: Budget | None = None
    tile_size_mm: float = TILE_SIZE_MM


def measure(
    volume: PetVolume, *, reference_time: datetime | None, sheet: Sheet | None, suv_factor: float | None
) -> CylinderResult:
    """Measure a uniform cylinder.

    Parameters
    ----------
    volume : PetVolume
        The image.
    reference_time : datetime or None
        The image's decay reference time on the scanner's clock, without zone.
    sheet : Sheet or None
        What the site wrote down; without it the expected concentration and the bias are missing.
    suv_factor : float or None
        Factor from the volume's values to SUVbw (g/mL). Not used where the sheet calls the headers' dose a placeholder.

    Raises
    ------
    AnalysisRefused
        ``PHA-NOT-FOUND`` where the image holds no uniform cylinder, or one too short to measure.
    """
    oriented = along_patient_axes(volume)
    pose = find_cylinder(oriented)
    region = _Region(oriented, pose)
    expected, expected_flags = (
        sheet.concentration_bqml("cylinder", reference_time) if sheet else (None, QualityFlag.NO_SHEET)
    )
    budget = sheet.uncertainty_budget("cylinder") if sheet and expected is not None else None
    if sheet is not None and sheet.header_dose == "placeholder":
        suv_factor = None
    tiles, noise = _Tiles(region), _Noise(region)
    edge = fit_edge(region.volume, pose, region.used, region.slice_mean, noise.correlation)
    measurements = (
        *_concentrations(volume.unit, region, noise.mean_sd(), expected, expected_flags, budget, suv_factor),
        *_slice_suvs(region, noise, budget, suv_factor),
        *_uniformity(region, tiles, noise),
        *_edge_numbers(edge, pose, region.cut),
    )
    ring_mm, ring_ratio = region.rings()
    aside = region.scanner_lps_mm - pose.center_lps_mm
    return CylinderResult(
        measurements=measurements,
        findings=(
            *_findings(region, noise, {one.name: one for one in measurements}, sheet),
            *_budget_finding(budget, 100 * noise.mean_sd() / region.mean),
        ),
        pose=pose,
        axis_position_mm=region.height_mm,
        slice_mean=region.slice_mean,
        slice_cov_pct=region.slice_cov_pct,
        slice_used=region.used,
        radial_r_mm=ring_mm,
        radial_ratio=ring_ratio,
        tile_deviation_pct=tiles.central_deviation_pct(),
        mean_bqml=region.mean,
        expected_bqml=expected,
        roi_radius_mm=region.radius_mm,
        edge=edge,
        scanner_offset_mm=(float(aside[0]), float(aside[1])),
        budget=budget,
    )


def diagnose(result: CylinderResult, standard: Standard) -> tuple[Finding, ...]:
    """Say why a cylinder fails one standard, or is nearer to failing than its fill explains.

    Parameters
    ----------
    result : CylinderResult
    standard : Standard
        The edition that decides.

    Returns
    -------
    tuple of Finding
        ``PHA-CALIBRATION`` or none. It fails where the standard's limit of bias or SUV does, and warns where the bias
        lies beyond two of its standard deviations, which the fill's own budget is the most of.
    """
    judged = {one.name: one for one in judge(result.measurements, standard)}
    plain = {one.name: one for one in result.measurements}
    limited = [judged[name] for name in ("cylinder_bias_pct", "cylinder_suv_mean") if name in judged]
    failed = next((one for one in limited if one.verdict is Outcome.FAIL), None)
    if failed is not None:
        return (_calibration(failed, result.budget, Outcome.FAIL),)
    bias = judged.get("cylinder_bias_pct", plain["cylinder_bias_pct"])
    is_beyond_fill = bias.value is not None and bias.uncertainty is not None and abs(bias.value) > 2 * bias.uncertainty
    return (_calibration(bias, result.budget, Outcome.WARN),) if is_beyond_fill else ()


def _calibration(off: Measurement, budget: Budget | None, outcome: Outcome) -> Finding:
    """Say how far bias or SUV is off, and whether the fill is to be repeated first."""
    value, is_suv = off.value or 0.0, off.unit == "g/mL"
    off_pct = 100 * (value - 1) if is_suv else value
    step = "Check the calibrator and scanner calibration, then repeat the cylinder."
    if abs(off_pct) < REPEAT_BELOW_PCT and budget is not None:
        step = (
            f"The fill itself is known to {budget.total_pct:.0f} %: fill and scan again "
            "before anything is recalibrated."
        )
    low, high = off.limit_low, off.limit_high
    band = "" if low is None or high is None else f"{low:g} to {high:g}" if is_suv else f"{low:+g} to {high:+g} %"
    if outcome is Outcome.WARN:
        band = f"within {2 * (off.uncertainty or 0.0):.1f} %, two standard deviations of the fill"
    return Finding(
        id="PHA-CALIBRATION",
        outcome=outcome,
        severity="query" if outcome is Outcome.FAIL else "info",  # within its limit the standard's word stands
        message=f"The cylinder reads {abs(off_pct):.0f} % {'high' if off_pct > 0 else 'low'}"
        + (", more than its fill explains." if outcome is Outcome.WARN else "."),
        observed=f"SUV {value:.3f}" if is_suv else f"{value:+.1f} %",
        expected=band,
        next_step=step,
        owner=Owner.SITE,
        source=off.source if outcome is Outcome.FAIL else findings.LAB_RULE,
        evidence={"pct": off_pct} | ({} if is_suv else {"figure": "bias"}),
    )


class _Region:
    """The measured region and its sums, slice by slice, in a box round the cylinder."""

    def __init__(self, volume: PetVolume, pose: CylinderPose) -> None:
        self.pose = pose
        self.radius_mm = pose.radius_mm - EDGE_MARGIN_MM
        self.volume = _box_round(volume, pose)
        self.scanner_lps_mm = volume.to_lps_mm((np.array(volume.image.shape) - 1) / 2)
        self.height_mm = slice_heights_mm(volume, pose.center_lps_mm, pose.axis)
        # A tilted slice reaches further along the axis at its rim than at its middle.
        reach_mm = np.abs(self.height_mm) + self.radius_mm * math.tan(math.radians(pose.tilt_deg))
        self.used = reach_mm <= pose.length_mm / 2 - EDGE_MARGIN_MM
        if self.used.sum() < 3:
            raise AnalysisRefused(
                "PHA-NOT-FOUND",
                f"The cylinder is too short to measure: {pose.length_mm:.0f} mm of it lie in the image, "
                f"and {EDGE_MARGIN_MM:.0f} mm at each end are left out.",
                next_step="Scan the whole phantom.",
            )
        #: Squared distance of the used slices' voxels from the axis.
        self.squared_mm2 = cylindrical(self.volume, pose.center_lps_mm, pose.axis)[1][self.used]
        self.step_mm = float(np.median(np.diff(self.height_mm)))
        count = len(self.height_mm)
        self.slice_mean, self.slice_cov_pct = np.full(count, np.nan), np.full(count, np.nan)
        self.is_complete = True
        total = weight = voxels = 0.0
        parts: list[tuple[int, float, float]] = []
        for k in range(count):
            roi = rois.section(self.volume, k, pose.center_lps_mm, pose.axis, self.radius_mm)
            values = roi.values(self.volume.image).astype(np.float64)
            inside = values[roi.weights >= 0.5]
            if inside.size < 2 or not roi.is_complete:
                self.is_complete &= not self.used[k]
                continue
            mean = roi.mean(self.volume.image)
            self.slice_mean[k] = mean
            if mean > 0:
                self.slice_cov_pct[k] = 100 * float(inside.std(ddof=1)) / mean
            if self.used[k]:
                total += float((roi.weights * values).sum())
                weight += float(roi.weights.sum())
                voxels += inside.size
                parts.append((inside.size, float(inside.mean()), float(inside.var())))
        self.mean = total / weight
        # About the mean of the whole voxels themselves: the region's counts cut voxels too, and is another number.
        middle = sum(number * mean for number, mean, _ in parts) / voxels
        squares = sum(number * (spread + (mean - middle) ** 2) for number, mean, spread in parts)
        variance = squares / (voxels - 1)
        self.cov_pct = 100 * math.sqrt(variance) / self.mean

    @property
    def cut(self) -> QualityFlag:
        """The flag of all that hangs on where the region lies: the image cuts it, or the wall that it is laid by."""
        whole = self.is_complete and not self.pose.is_cut_across
        return QualityFlag.NONE if whole else QualityFlag.OUTSIDE_IMAGE

    @property
    def deviation(self) -> NDArray[np.float64]:
        """Each slice's mean over the region's, less 1."""
        return np.asarray(self.slice_mean / self.mean - 1, dtype=np.float64)

    def slope_pct_per_cm(self) -> float:
        """Return the slope of a straight line through the slice means."""
        slope, _ = np.polyfit(self.height_mm[self.used], self.slice_mean[self.used], 1)
        return 1000 / self.mean * float(slope)

    def rings(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return the middle of each 10 mm ring out to the wall, and its mean in the used slices over the region's."""
        count = int(self.pose.radius_mm // RING_WIDTH_MM)
        ring = np.minimum(np.sqrt(self.squared_mm2) // RING_WIDTH_MM, count).astype(np.intp).ravel()
        values = self.volume.image[self.used].ravel()
        number = np.bincount(ring, minlength=count + 1)[:count]
        sums = np.bincount(ring, weights=values, minlength=count + 1)[:count]
        ratio: NDArray[np.float64] = np.where(number > 0, sums / np.maximum(number, 1) / self.mean, np.nan)
        middle = (np.arange(count, dtype=np.float64) + 0.5) * RING_WIDTH_MM
        return middle, ratio

    def cupping_pct(self, *, without: artefacts.Ring | None = None) -> float:
        """Return (centre - edge) / mean, a ring round the scanner's axis left out; 0 where none of one is left."""
        image, squared = self.volume.image[self.used], self.squared_mm2
        is_kept = np.ones(squared.shape, dtype=bool)
        if without is not None:
            x, y = self.scanner_axes_mm()
            is_kept &= np.abs(np.hypot(x[None, :], y[:, None]) - without.radius_mm) > without.width_mm
        edge_mm = self.radius_mm - RING_WIDTH_MM
        centre = image[is_kept & (squared < CENTRE_RADIUS_MM**2)]
        edge = image[is_kept & (squared < self.radius_mm**2) & (squared >= edge_mm**2)]
        if not centre.size or not edge.size:
            return 0.0
        return float(100 * (centre.mean(dtype=float) - edge.mean(dtype=float)) / self.mean)

    def scanner_axes_mm(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return how far each column (patient left) and row (posterior) lies from the scanner's axis."""
        affine, (rows, columns) = self.volume.affine_lps_mm, self.volume.image.shape[1:]
        x = affine[0, 3] + affine[0, 0] * np.arange(columns) - self.scanner_lps_mm[0]
        y = affine[1, 3] + affine[1, 1] * np.arange(rows) - self.scanner_lps_mm[1]
        return x, y


class _Noise:
    """How the region's means scatter: `phantoms.voxel_noise` in the largest box inside the region."""

    def __init__(self, region: _Region) -> None:
        self.region = region
        middle = region.volume.to_index_zyx(region.pose.center_lps_mm)
        half = region.radius_mm / math.sqrt(2) / np.array(region.volume.spacing_zyx_mm)
        rows, columns = (
            slice(max(0, math.ceil(middle[axis] - half[axis])), math.floor(middle[axis] + half[axis]) + 1)
            for axis in (1, 2)
        )
        noise = VoxelNoise.of(region.volume.image[region.used, rows, columns], region.volume.spacing_zyx_mm)
        self.variance, self.correlation = noise.variance, noise.correlation
        self.length_mm, self.squared_length_mm = noise.length_mm, noise.squared_length_mm
        self.section_mm2 = math.pi * region.radius_mm**2
        self.depth_mm = float(region.used.sum()) * region.step_mm

    def mean_sd(self) -> float:
        """Return the SD of the region's mean."""
        return math.sqrt(self.variance * math.prod(self.length_mm) / (self.section_mm2 * self.depth_mm))

    def slice_mean_sd(self) -> float:
        """Return the SD of one slice's mean."""
        return math.sqrt(self.variance * self.length_mm[1] * self.length_mm[2] / self.section_mm2)

    def slope_sd_pct_per_cm(self) -> float:
        """Return the SD of the slope of the slice means."""
        height = self.region.height_mm[self.region.used]
        spread = float(((height - height.mean()) ** 2).sum()) * self.region.step_mm / self.length_mm[0]
        return 1000 / self.region.mean * self.slice_mean_sd() / math.sqrt(spread)

    def cupping_sd_pct(self) -> float:
        """Return the SD of the difference of centre and edge."""
        edge_mm2 = math.pi * (self.region.radius_mm**2 - (self.region.radius_mm - RING_WIDTH_MM) ** 2)
        per_mm2 = 1 / (math.pi * CENTRE_RADIUS_MM**2) + 1 / edge_mm2
        variance = self.variance * math.prod(self.length_mm) / self.depth_mm * per_mm2
        return 100 / self.region.mean * math.sqrt(variance)

    def cov_sd_pct(self) -> float:
        """Return the SD of the coefficient of variation."""
        share = math.prod(self.squared_length_mm) / (self.section_mm2 * self.depth_mm)
        return self.region.cov_pct * math.sqrt(share / 2)


class _Tiles:
    """Means of 10 mm squares, centred on the axis, of the used slices: ``means[slice, row, column]``."""

    def __init__(self, region: _Region) -> None:
        self.region = region
        volume, pose = region.volume, region.pose
        half = round(TILE_CIRCLE * pose.radius_mm / TILE_SIZE_MM)
        edges_mm = np.arange(-half, half + 1) * TILE_SIZE_MM
        far = np.maximum(np.abs(edges_mm[1:]), np.abs(edges_mm[:-1]))
        self.inside = np.hypot(far[:, None], far[None, :]) <= TILE_CIRCLE * pose.radius_mm
        self.index = np.flatnonzero(region.used)
        axis_points = volume.to_index_zyx(pose.center_lps_mm + region.height_mm[self.index, None] * pose.axis)
        _, step_y, step_x = volume.spacing_zyx_mm
        self.means = np.empty((len(self.index), 2 * half, 2 * half))
        for row, (k, (_, y, x)) in enumerate(zip(self.index, axis_points, strict=True)):
            along_y = rois.interval_shares(edges_mm / step_y + y, volume.image.shape[1])
            along_x = rois.interval_shares(edges_mm / step_x + x, volume.image.shape[2])
            self.means[row] = along_y @ volume.image[k] @ along_x.T

    def nu_pct(self) -> float:
        """Return the larger of (maximum - mean) and (mean - minimum) of all tiles, over their mean."""
        values = self.means[:, self.inside]
        mean = float(values.mean())
        return 100 * max(float(values.max()) - mean, mean - float(values.min())) / mean

    def nu_sd_pct(self, noise: _Noise) -> float:
        """Return how far NU scatters from scan to scan: the largest of as many tiles as vary on their own.

        The larger of two tails of n independent Gaussian tiles has the distribution (2 Phi(x / s) - 1)^n.
        """
        values = self.means[:, self.inside]
        mean = float(values.mean())
        tile_sd = float((values - values.mean(axis=1, keepdims=True)).std())
        along = max(1.0, noise.length_mm[0] / self.region.step_mm)
        across = max(1.0, noise.length_mm[1] / TILE_SIZE_MM) * max(1.0, noise.length_mm[2] / TILE_SIZE_MM)
        x = np.linspace(0.0, 10.0, 2001)
        below = special.erf(x / math.sqrt(2)) ** (values.size / (along * across))
        first = float(np.trapezoid(1 - below, x))
        second = float(np.trapezoid(2 * x * (1 - below), x))
        return 100 * tile_sd / mean * math.sqrt(max(second - first**2, 0.0))

    def central_deviation_pct(self) -> NDArray[np.float64]:
        """Return the tiles of the slice nearest to the middle against their mean; NaN outside the circle."""
        row = int(np.argmin(np.abs(self.region.height_mm[self.index])))
        values = np.where(self.inside, self.means[row], np.nan)
        return np.asarray(100 * (values / np.nanmean(values) - 1), dtype=np.float64)


def _box_round(volume: PetVolume, pose: CylinderPose) -> PetVolume:
    """Cut the columns out that the cylinder may touch; all slices stay."""
    ends = pose.center_lps_mm + np.array([[-0.5], [0.5]]) * pose.length_mm * pose.axis
    index = volume.to_index_zyx(ends)
    reach = (pose.radius_mm + EDGE_MARGIN_MM) / np.array(volume.spacing_zyx_mm)
    low = np.clip(np.floor(index.min(axis=0) - reach), 0, None).astype(int)
    high = np.ceil(index.max(axis=0) + reach).astype(int) + 1
    affine = volume.affine_lps_mm.copy()
    affine[:3, 3] = volume.to_lps_mm(np.array([0.0, low[1], low[2]]))
    return PetVolume(volume.image[:, low[1] : high[1], low[2] : high[2]], affine, volume.unit)


def _concentrations(
    unit: str,
    region: _Region,
    noise_sd: float,
    expected: float | None,
    expected_flags: QualityFlag,
    budget: Budget | None,
    suv_factor: float | None,
) -> Iterator[Measurement]:
    cut = region.cut
    is_bqml = unit == "Bq/mL"
    units = other_than_bqml(unit)
    # An image of SUV or counts has no Bq/mL; an image without a unit still has raw values.
    is_other = QualityFlag.OTHER_UNITS in units
    yield Measurement(
        name="cylinder_mean_bqml",
        value=None if is_other else region.mean,
        unit="Bq/mL" if is_other else unit,
        uncertainty=None if is_other else noise_sd,
        flags=cut | units,
    )
    yield Measurement(
        name="cylinder_expected_bqml",
        value=expected,
        unit="Bq/mL",
        uncertainty=expected * budget.total_pct / 100 if expected is not None and budget else None,
        flags=expected_flags,
    )
    ratio = region.mean / expected if expected is not None and is_bqml else None
    yield Measurement(
        name="cylinder_bias_pct",
        value=None if ratio is None else 100 * (ratio - 1),
        unit="%",
        uncertainty=_bias_sd_pct(ratio, budget, noise_sd, region.mean),
        flags=cut | units | expected_flags,
    )
    yield calibrator.cross_calibration(
        region.mean if is_bqml else None,
        expected,
        measured_sd=noise_sd,
        expected_sd_pct=budget.total_pct if budget else None,
        flags=cut | units | expected_flags,
    )
    yield Measurement(
        name="cylinder_suv_mean",
        value=None if suv_factor is None else region.mean * suv_factor,
        unit="g/mL",
        uncertainty=None
        if suv_factor is None or budget is None
        else suv_factor * math.hypot(noise_sd, region.mean * budget.total_pct / 100),
        flags=cut | (QualityFlag.NO_SUV if suv_factor is None else QualityFlag.NONE),
    )


def _slice_suvs(
    region: _Region, noise: _Noise, budget: Budget | None, suv_factor: float | None
) -> Iterator[Measurement]:
    """Give the SUV of the lowest and the highest slice; the fill moves all slices together."""
    means = region.slice_mean[region.used]
    for name, mean in (
        ("cylinder_suv_slice_min", float(np.nanmin(means))),
        ("cylinder_suv_slice_max", float(np.nanmax(means))),
    ):
        yield Measurement(
            name=name,
            value=None if suv_factor is None else mean * suv_factor,
            unit="g/mL",
            uncertainty=suv_factor * math.hypot(noise.slice_mean_sd(), mean * budget.total_pct / 100)
            if suv_factor is not None and budget is not None
            else None,
            flags=region.cut | (QualityFlag.NO_SUV if suv_factor is None else QualityFlag.NONE),
        )


def _bias_sd_pct(ratio: float | None, budget: Budget | None, noise_sd: float, mean: float) -> float | None:
    """Return the SD of the bias: the fill's budget and the image's noise, independent of each other."""
    if ratio is None or budget is None:
        return None
    return ratio * math.hypot(budget.total_pct, 100 * noise_sd / mean)


def _uniformity(region: _Region, tiles: _Tiles, noise: _Noise) -> Iterator[Measurement]:
    rows = (
        (
            "cylinder_slice_deviation_max_pct",
            100 * float(np.nanmax(np.abs(region.deviation[region.used]))),
            "%",
            100 * noise.slice_mean_sd() / region.mean,
        ),
        ("cylinder_axial_slope_pct_per_cm", region.slope_pct_per_cm(), "%/cm", noise.slope_sd_pct_per_cm()),
        ("cylinder_cupping_pct", region.cupping_pct(), "%", noise.cupping_sd_pct()),
        ("cylinder_nu_pct", tiles.nu_pct(), "%", tiles.nu_sd_pct(noise)),
        ("cylinder_cov_pct", region.cov_pct, "%", noise.cov_sd_pct()),
    )
    for name, value, unit, uncertainty in rows:
        yield Measurement(name=name, value=value, unit=unit, uncertainty=uncertainty, flags=region.cut)


def _edge_numbers(edge: EdgeFit, pose: CylinderPose, cut: QualityFlag) -> Iterator[Measurement]:
    """Give what the edge tells: the blur, the size and the tilt; where it cannot be fitted, size and tilt as found."""
    is_fitted = edge.fwhm_mm is not None
    yield Measurement(
        name="cylinder_edge_fwhm_mm",
        value=edge.fwhm_mm,
        unit="mm",
        uncertainty=edge.sd_mm,
        flags=cut | (QualityFlag.NONE if is_fitted else QualityFlag.NO_FIT),
    )
    yield Measurement(
        name="cylinder_diameter_mm",
        value=2 * (edge.radius_mm if is_fitted else pose.radius_mm),
        unit="mm",
        uncertainty=2 * edge.radius_sd_mm if is_fitted else None,
        flags=cut,
    )
    tilt_deg = math.degrees(math.acos(min(1.0, float(edge.axis[2]))))
    yield Measurement(
        name="cylinder_tilt_deg",
        value=tilt_deg if is_fitted else pose.tilt_deg,
        unit="deg",
        uncertainty=edge.axis_sd_deg if is_fitted else None,
    )


def _findings(
    region: _Region, noise: _Noise, measured: dict[str, Measurement], sheet: Sheet | None
) -> Iterator[Finding]:
    """Say how the cylinder lies and what its uniformity shows; limits of a standard are `diagnose`'s matter."""
    pose = region.pose
    yield findings.pose(pose.tilt_deg, "regions", residual_mm=pose.residual_mm)
    if region.cut:
        yield findings.warning(
            "PHA-CUT",
            "The edge of the image cuts the cylinder's wall, so where the measured region lies is not sure.",
            "wall at the edge",
            "the whole phantom in the field",
            "Scan again with the whole phantom in the field of view.",
        )
    elif any(pose.is_cut):
        ends = " and ".join(name for name, cut in zip(("foot", "head"), pose.is_cut, strict=True) if cut)
        yield Finding(
            id="PHA-CUT",
            outcome=Outcome.PASS,
            severity="info",
            message=f"The image ends before the cylinder does ({ends} end); {pose.length_mm:.0f} mm of it are seen.",
            observed=f"{pose.length_mm:.0f} mm",
        )
    slope = _number(measured["cylinder_axial_slope_pct_per_cm"])
    section = _section(region, noise)
    if _is_named(*slope, SLOPE_WARN_PCT_PER_CM):
        # Along a tilted axis a slope is also a slant across the slices, which is no wedge.
        section = section.level_along(float(pose.axis[0]), float(pose.axis[1]))
    wedge = section.wedge()
    ring = section.ring(beside=wedge)
    yield from _shading(region, noise, measured, ring)
    yield from _artefacts(region, noise, wedge, ring)
    yield from _slice_off(region, measured)  # after what may be its cause: a slope or a bed join
    yield from _volume_finding(pose, sheet)


def _shading(
    region: _Region, noise: _Noise, measured: dict[str, Measurement], ring: artefacts.Ring | None
) -> Iterator[Finding]:
    """Name slope and cupping where they are more than noise and may reach the lab's rule.

    A ring that meets the middle or the edge moves what cupping compares: then both are compared without it.
    """
    slope, slope_sd = _number(measured["cylinder_axial_slope_pct_per_cm"])
    if _is_named(slope, slope_sd, SLOPE_WARN_PCT_PER_CM):
        yield findings.warning(
            "PHA-SLOPE",
            f"The reading {'rises' if slope > 0 else 'falls'} by {abs(slope):.1f} % per cm towards the head.",
            f"{slope:+.2f} ± {slope_sd:.2f} %/cm",
            f"up to {SLOPE_WARN_PCT_PER_CM:g} %/cm",
            "Check the scanner's normalisation and that the cylinder was mixed, then repeat it.",
            figure="slice_profile",
            pct_per_cm=slope,
            sd_pct_per_cm=slope_sd,
        )
    cupping, cupping_sd = _number(measured["cylinder_cupping_pct"])
    beside_ring = cupping if ring is None else region.cupping_pct(without=ring)
    if _is_named(cupping, cupping_sd, CUPPING_WARN_PCT) and _is_named(beside_ring, cupping_sd, CUPPING_WARN_PCT):
        yield findings.warning(
            "PHA-CUPPING",
            f"The middle reads {abs(cupping):.1f} % {'higher' if cupping > 0 else 'lower'} than the edge.",
            f"{cupping:+.1f} ± {cupping_sd:.1f} %",
            f"within {CUPPING_WARN_PCT:g} %",
            "Check scatter and attenuation correction, and that the CT shows the whole phantom.",
            figure="radial_profile",
            pct=cupping,
            sd_pct=cupping_sd,
        )


def _slice_off(region: _Region, measured: dict[str, Measurement]) -> Iterator[Finding]:
    """Name the slice that is farthest off the mean of all, where it is more than noise and the lab's rule."""
    deviation, deviation_sd = _number(measured["cylinder_slice_deviation_max_pct"])
    if deviation > max(SLICE_WARN_PCT, artefacts.quantile(int(region.used.sum())) * deviation_sd):
        worst_mm = float(region.height_mm[np.nanargmax(np.where(region.used, np.abs(region.deviation), np.nan))])
        yield findings.warning(
            "PHA-SLICE",
            f"The slice {abs(worst_mm):.0f} mm {'above' if worst_mm > 0 else 'below'} the middle is "
            f"{deviation:.1f} % off the mean of all.",
            f"{deviation:.1f} ± {deviation_sd:.1f} %",
            f"up to {SLICE_WARN_PCT:g} %",
            "Look at the slice profile for a saw-tooth at bed joins or one bad slice.",
            figure="slice_profile",
            height_mm=worst_mm,
            pct=deviation,
            sd_pct=deviation_sd,
        )


def _number(measurement: Measurement) -> tuple[float, float]:
    return measurement.value or 0.0, measurement.uncertainty or 0.0


def _is_named(value: float, sd: float, limit: float) -> bool:
    """Whether a number is more than noise, and its upper 95 % bound reaches the limit."""
    return abs(value) > artefacts.quantile(1) * sd and abs(value) + ONE_SIDED_95 * sd > limit


def _artefacts(
    region: _Region, noise: _Noise, wedge: artefacts.Wedge | None, ring: artefacts.Ring | None
) -> Iterator[Finding]:
    """Name wedges, rings and steps at bed joins."""
    expected = f"no more than {artefacts.MATTERS_PCT:g} %, beyond noise"
    if wedge is not None:
        yield findings.warning(
            "PHA-WEDGE",
            f"A sector of about {wedge.width_deg:.0f}° reads {-wedge.pct:.1f} % lower than the rest; its middle lies "
            f"{wedge.at_deg:.0f}° from the patient's left towards the back, as a failed detector block leaves it.",
            f"{wedge.pct:+.1f} ± {wedge.sd_pct:.1f} %",
            expected,
            "Look at the daily check of the detectors, have the block seen to, then repeat the cylinder.",
            figure="uniformity_map",
            at_deg=wedge.at_deg,
            width_deg=wedge.width_deg,
            pct=wedge.pct,
            sd_pct=wedge.sd_pct,
        )
    if ring is not None:
        yield findings.warning(
            "PHA-RING",
            f"A ring {ring.radius_mm:.0f} mm round the scanner's axis, {ring.width_mm:.0f} mm wide, reads "
            f"{abs(ring.pct):.1f} % {'higher' if ring.pct > 0 else 'lower'} than what lies beside it.",
            f"{ring.pct:+.1f} ± {ring.sd_pct:.1f} %",
            expected,
            "Make a new normalisation, then repeat the cylinder.",
            figure="uniformity_map",
            radius_mm=ring.radius_mm,
            width_mm=ring.width_mm,
            pct=ring.pct,
            sd_pct=ring.sd_pct,
        )
    joins = artefacts.steps(
        region.height_mm[region.used], region.slice_mean[region.used], noise.slice_mean_sd(), noise.length_mm[0]
    )
    if joins:
        largest = max(joins, key=lambda step: abs(step.pct))
        yield findings.warning(
            "PHA-BED-JOIN",
            f"The slice means jump like a saw-tooth, by {abs(largest.pct):.1f} % at {largest.height_mm:+.0f} mm from "
            "the middle, as at the join of two beds.",
            f"{artefacts.listed_steps(joins)} (± {largest.sd_pct:.1f} %)",
            expected,
            "Check normalisation and bed overlap, and that decay is corrected from bed to bed.",
            figure="slice_profile",
            heights_mm=[step.height_mm for step in joins],
            pct=[step.pct for step in joins],
            sd_pct=[step.sd_pct for step in joins],
        )


def _section(region: _Region, noise: _Noise) -> artefacts.Section:
    """See the region along the axis; the scanner's axis is the middle of the image."""
    inside = region.squared_mm2 < region.radius_mm**2
    # Over its own slice mean: a tilted cylinder reaches the outer rings in some slices only, and a slope is no ring.
    level = np.where(np.isfinite(region.slice_mean), region.slice_mean, region.mean)[region.used]
    image = region.volume.image[region.used] * (region.mean / level)[:, None, None]
    x_mm, y_mm = region.scanner_axes_mm()
    along_z, along_y, along_x = noise.correlation
    return artefacts.Section(
        total=np.where(inside, image, 0.0).sum(axis=0, dtype=np.float64),
        number=inside.sum(axis=0).astype(np.float64),
        x_mm=x_mm,
        y_mm=y_mm,
        mean=region.mean,
        noise=artefacts.Noise(noise.variance, (along_z, along_y, along_x)),
    )


def _budget_finding(budget: Budget | None, counting_pct: float) -> Iterator[Finding]:
    """Print what the bias may be off by, part by part."""
    if budget is None:
        return
    parts = [f"{row.what} {row.pct:.2f} % ({row.source})" for row in budget.rows]
    parts.append(f"Counting {counting_pct:.2f} % (the image's own noise)")
    total_pct = math.hypot(budget.total_pct, counting_pct)
    yield Finding(
        id="PHA-BUDGET",
        outcome=Outcome.PASS,
        severity="info",
        message=f"The bias is known to {total_pct:.1f} %, one standard deviation: {'; '.join(parts)}.",
        observed=f"{total_pct:.2f} %",
        source="root of the sum of squares of independent parts",
        evidence={row.what: row.pct for row in budget.rows} | {"Counting": counting_pct, "figure": "bias"},
    )


def _volume_finding(pose: CylinderPose, sheet: Sheet | None) -> Iterator[Finding]:
    """Compare the sheet's volume with the cylinder's in the image, where both of its ends are seen."""
    fill = sheet.fill("cylinder") if sheet else None
    if fill is None or fill.volume_ml is None or any(pose.is_cut):
        return
    seen_ml = math.pi * pose.radius_mm**2 * pose.length_mm / 1000
    off_pct = 100 * (fill.volume_ml / seen_ml - 1)
    if abs(off_pct) > VOLUME_WARN_PCT:
        yield findings.warning(
            "PHA-VOLUME",
            f"The sheet says {fill.volume_ml:.0f} mL; the cylinder in the image holds about {seen_ml:.0f} mL.",
            f"{fill.volume_ml:.0f} mL",
            f"{seen_ml:.0f} mL within {VOLUME_WARN_PCT:g} %",
            "Check the volume on the sheet.",
        )
