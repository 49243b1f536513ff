"""A digital uniform cylinder."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from phantoms.digital.blurred import (
    SIGMA_PER_FWHM,
    Grid,
    Vector,
    blurred_bed,
    blurred_disc,
    blurred_slab,
    own_frame,
    rotation,
    with_noise,
)
from phantoms.digital.scan import DigitalScan
from phantoms.digital.written import (
    HALF_LIFE_S,
    SCANNED_AT,
    Times,
    fill_of,
    header_of,
    net_dose_bq,
    sealed_fill_of,
    sheet_of,
)
from phantoms.volume import PetVolume

if TYPE_CHECKING:
    from datetime import datetime

    from numpy.typing import NDArray

    from phantoms.digital.faults import ScannerFaults


def uniform_cylinder(
    *,
    fwhm_mm: float = 7.0,
    cov: float = 0.05,
    concentration_bqml: float = 7500.0,
    calibration: float = 1.0,
    radius_mm: float = 100.0,
    length_mm: float = 200.0,
    shift_mm: Vector = (0.0, 0.0, 0.0),
    tilt_x_deg: float = 0.0,
    tilt_y_deg: float = 0.0,
    axial_slope_pct_per_cm: float = 0.0,
    cupping_pct: float = 0.0,
    faults: ScannerFaults | None = None,
    bed_fraction: float = 0.0,
    nuclide: str = "F-18",
    assayed_days_ago: float | None = None,
    shape_zyx: tuple[int, int, int] = (110, 168, 168),
    spacing_zyx_mm: Vector = (2.0, 3.2, 3.2),
    samples_per_voxel: int = 1,
    scanned_at: datetime = SCANNED_AT,
    seed: int = 0,
) -> DigitalScan:
    """Return a uniformly filled cylinder.

    Parameters
    ----------
    fwhm_mm, cov : float
        Resolution, and noise SD as a fraction of the concentration.
    concentration_bqml : float
        True concentration at the decay reference time.
    calibration : float
        What the scanner reads over what is true.
    radius_mm, length_mm, shift_mm, tilt_x_deg, tilt_y_deg : float
        Inner size and pose; turned about x, then about y, then shifted from the middle of the image.
    axial_slope_pct_per_cm : float
        Rise of the reading towards +z, per cent of the mean.
    cupping_pct : float
        (centre - wall) / mean of the reading, quadratic in the radius; a low centre is negative.
    faults : ScannerFaults or None
        What the scanner does to the image, drawn before the noise.
    bed_fraction : float
        Activity of the patient bed, as a fraction of the concentration.
    assayed_days_ago : float or None
        A sealed source: its certificate's assay lies so many days back, and there is no residual.
    """
    grid = Grid(shape_zyx, spacing_zyx_mm, samples_per_voxel)
    turn = rotation(tilt_x_deg, tilt_y_deg, 0.0)
    center = np.array(shift_mm)
    sigma = fwhm_mm * SIGMA_PER_FWHM
    disc = blurred_disc(radius_mm, sigma)

    def reading(x: NDArray[np.float64], y: NDArray[np.float64], z: NDArray[np.float64]) -> NDArray[np.float64]:
        u, v, w = own_frame(x, y, z, center, turn)
        radius = np.hypot(u, v)
        value = disc(radius) * blurred_slab(w, -length_mm / 2, length_mm / 2, sigma)
        if cupping_pct:
            value = value * (1 - cupping_pct / 200 * (2 * (radius / radius_mm) ** 2 - 1))
        if axial_slope_pct_per_cm:
            value = value * (1 + axial_slope_pct_per_cm / 1000 * w)
        if faults is not None:
            value = value * faults.gain(x, y, z)
        return value + bed_fraction * blurred_bed(x, y, center[1] + radius_mm, sigma)

    image = grid.sample(reading) * concentration_bqml
    image = with_noise(image, grid, fwhm_mm, cov, concentration_bqml, seed) * calibration
    volume_ml = np.pi * radius_mm**2 * length_mm / 1000
    if assayed_days_ago is None:
        times = Times(scanned_at, 600.0, HALF_LIFE_S[nuclide])
        fill = fill_of("cylinder", concentration_bqml, volume_ml, times)
    else:
        times = Times(scanned_at, 600.0, HALF_LIFE_S[nuclide], assayed_days_ago * 86400.0)
        fill = sealed_fill_of("cylinder", concentration_bqml, volume_ml, times)
    attributes, by_slice = header_of(
        times, nuclide, shape_zyx[0], beds=1, dose_bq=net_dose_bq(fill, times), weight_kg=volume_ml / 1000
    )
    return DigitalScan(
        volume=PetVolume(image.astype(np.float32), grid.affine_lps_mm, "Bq/mL"),
        attributes={**attributes, "SeriesDescription": "Uniform cylinder"},
        slice_attributes=by_slice,
        sheet=sheet_of(nuclide, fill),
        truth={
            "kind": "cylinder",
            "concentration_bqml": concentration_bqml,
            "calibration": calibration,
            "bias_pct": 100 * (calibration - 1),
            "fwhm_mm": fwhm_mm,
            "cov": cov,
            "radius_mm": radius_mm,
            "length_mm": length_mm,
            "center_lps_mm": tuple(center.tolist()),
            "axis": tuple(turn[:, 2].tolist()),
            "tilt_deg": float(np.degrees(np.arccos(turn[2, 2]))),
            "axial_slope_pct_per_cm": axial_slope_pct_per_cm,
            "cupping_pct": cupping_pct,
            "faults": faults,
            "reference_time": scanned_at,
        },
    )
