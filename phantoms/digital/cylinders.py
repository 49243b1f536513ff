"""A digital uniform cylinder."""

from __future__ import annotations

from typing import TYPE_CHECKING, Unpack

import numpy as np

from phantoms.digital.acquisition import Acquisition
from phantoms.digital.blurred import blurred_bed, blurred_disc, blurred_slab, own_frame
from phantoms.digital.written import fill_of, sealed_fill_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from phantoms.digital.acquisition import AcquisitionOptions
    from phantoms.digital.faults import ScannerFaults
    from phantoms.digital.scan import DigitalScan


def uniform_cylinder(
    *,
    fwhm_mm: float = 7.0,
    cov: float = 0.05,
    concentration_bqml: float = 7500.0,
    radius_mm: float = 100.0,
    length_mm: float = 200.0,
    axial_slope_pct_per_cm: float = 0.0,
    cupping_pct: float = 0.0,
    faults: ScannerFaults | None = None,
    bed_fraction: float = 0.0,
    nuclide: str = "F-18",
    assayed_days_ago: float | None = None,
    **options: Unpack[AcquisitionOptions],
) -> DigitalScan:
    """Return a uniformly filled cylinder.

    Parameters
    ----------
    fwhm_mm, cov : float
        Resolution, and noise SD as a fraction of the concentration.
    concentration_bqml : float
        True concentration at the decay reference time.
    radius_mm, length_mm : float
        Inner size.
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
    **options
        Calibration, pose, voxels, clock and seed, as `Acquisition` has them.
    """
    acquisition = Acquisition(fwhm_mm=fwhm_mm, cov=cov, **options)
    turn, center, sigma = acquisition.turn, acquisition.center_lps_mm, acquisition.sigma_mm
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

    image = acquisition.grid.sample(reading) * concentration_bqml
    volume_ml = np.pi * radius_mm**2 * length_mm / 1000
    if assayed_days_ago is None:
        times = acquisition.times(nuclide)
        fill = fill_of("cylinder", concentration_bqml, volume_ml, times)
    else:
        times = acquisition.times(nuclide, assayed_days_ago * 86400.0)
        fill = sealed_fill_of("cylinder", concentration_bqml, volume_ml, times)
    return acquisition.scan(
        image,
        concentration_bqml,
        times,
        fill,
        nuclide=nuclide,
        description="Uniform cylinder",
        truth={
            "kind": "cylinder",
            "concentration_bqml": concentration_bqml,
            "bias_pct": 100 * (acquisition.calibration - 1),
            "radius_mm": radius_mm,
            "length_mm": length_mm,
            "center_lps_mm": tuple(center.tolist()),
            "axis": tuple(turn[:, 2].tolist()),
            "axial_slope_pct_per_cm": axial_slope_pct_per_cm,
            "cupping_pct": cupping_pct,
            "faults": faults,
        },
    )
