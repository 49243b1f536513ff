"""What is released of a cylinder, each number with its flags and its standard deviation."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from phantoms import calibrator
from phantoms.magnitudes import tilt_sd_deg
from phantoms.results import Measurement, QualityFlag, other_than_bqml

if TYPE_CHECKING:
    from collections.abc import Iterator

    from phantoms.cylinder.noise import Noise
    from phantoms.cylinder.region import Region
    from phantoms.cylinder.tiles import Tiles
    from phantoms.cylinder_edge import EdgeFit
    from phantoms.cylinder_pose import CylinderPose
    from phantoms.sheet import Budget


def concentrations(
    unit: str,
    region: Region,
    noise_sd: float,
    expected: float | None,
    expected_flags: QualityFlag,
    budget: Budget | None,
    suv_factor: float | None,
) -> Iterator[Measurement]:
    """Give the mean, what the sheet says it should be, and what both come to."""
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


def slice_suvs(region: Region, noise: Noise, budget: Budget | None, suv_factor: float | None) -> Iterator[Measurement]:
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


def uniformity(region: Region, tiles: Tiles, noise: Noise) -> Iterator[Measurement]:
    """Give how far slices, rings, tiles and voxels lie from one another."""
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


def edge_numbers(edge: EdgeFit, pose: CylinderPose, cut: QualityFlag) -> Iterator[Measurement]:
    """Give what the edge tells: the blur, the size and the tilt; where it cannot be fitted, size and tilt as found.

    The axis errs alike in every direction; what that makes of the tilt is `phantoms.magnitudes.tilt_sd_deg`.
    """
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
        uncertainty=tilt_sd_deg(edge.axis, np.eye(3) * math.radians(edge.axis_sd_deg) ** 2) if is_fitted else None,
    )
