"""The method ``cylinder``: the steps from an image to its numbers and findings."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from phantoms.cylinder.faults import budget_finding, findings_of
from phantoms.cylinder.noise import Noise
from phantoms.cylinder.region import Region
from phantoms.cylinder.reported import concentrations, edge_numbers, slice_suvs, uniformity
from phantoms.cylinder.tiles import TILE_SIZE_MM, Tiles
from phantoms.cylinder_edge import EdgeFit, fit_edge
from phantoms.cylinder_pose import CylinderPose, find_cylinder
from phantoms.results import Finding, Measurement, QualityFlag
from phantoms.volume import PetVolume, along_patient_axes

if TYPE_CHECKING:
    from datetime import datetime

    import numpy as np
    from numpy.typing import NDArray

    from phantoms.sheet import Budget, Sheet


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
    region = Region(oriented, pose)
    expected, expected_flags = (
        sheet.concentration_bqml("cylinder", reference_time) if sheet else (None, QualityFlag.NO_SHEET)
    )
    budget = sheet.uncertainty_budget("cylinder") if sheet and expected is not None else None
    if sheet is not None and sheet.header_dose == "placeholder":
        suv_factor = None
    tiles, noise = Tiles(region), Noise(region)
    edge = fit_edge(region.volume, pose, region.used, region.slice_mean, noise.correlation)
    measurements = (
        *concentrations(volume.unit, region, noise.mean_sd(), expected, expected_flags, budget, suv_factor),
        *slice_suvs(region, noise, budget, suv_factor),
        *uniformity(region, tiles, noise),
        *edge_numbers(edge, pose, region.cut),
    )
    ring_mm, ring_ratio = region.rings()
    aside = region.scanner_lps_mm - pose.center_lps_mm
    return CylinderResult(
        measurements=measurements,
        findings=(
            *findings_of(region, noise, {one.name: one for one in measurements}, sheet),
            *budget_finding(budget, 100 * noise.mean_sd() / region.mean),
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
