"""A digital torso, as a patient's scan looks to the reader of its headers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage

from phantoms.digital.blurred import Grid, Vector, with_noise
from phantoms.digital.scan import DigitalScan
from phantoms.digital.written import HALF_LIFE_S, SCANNED_AT, Times, header_of
from phantoms.volume import PetVolume

if TYPE_CHECKING:
    from datetime import datetime


def patient_like(
    *,
    weight_kg: float | None = None,
    true_weight_kg: float = 75.0,
    dose_bq: float = 2.5e8,
    fwhm_mm: float = 7.0,
    cov: float = 0.10,
    liver_suv: float = 2.2,
    uptake_s: float = 4800.0,
    beds: int = 4,
    shape_zyx: tuple[int, int, int] = (110, 168, 168),
    spacing_zyx_mm: Vector = (5.0, 4.07, 4.07),
    scanned_at: datetime = SCANNED_AT,
    seed: int = 0,
) -> DigitalScan:
    """Return a torso of ellipsoids: body, lungs, heart, liver, bladder.

    ``weight_kg`` goes into the header (None leaves it out); ``true_weight_kg`` sets the concentrations, so that the
    liver has ``liver_suv`` where both agree. ``uptake_s`` is the time from the injection to the first bed. The beds are
    scanned from the feet up, with their own acquisition times.
    """
    grid = Grid(shape_zyx, spacing_zyx_mm, 1)
    times = Times(scanned_at, 120.0, HALF_LIFE_S["F-18"], uptake_s)
    bqml_per_suv = dose_bq * times.decay_since_draw / (true_weight_kg * 1000)
    z, y, x = grid.axes_lps_mm
    reach = z[-1] - z[0]
    # Centres and half axes, millimetres (x, y, z), and SUV; each replaces what lies under it.
    organs: tuple[tuple[Vector, Vector, float], ...] = (
        ((0, 0, 0), (185, 115, 0.55 * reach), 0.6),
        ((95, -5, 0.27 * reach), (60, 75, 110), 0.4),
        ((-95, -5, 0.27 * reach), (60, 75, 110), 0.4),
        ((35, -35, 0.20 * reach), (45, 38, 45), 2.8),
        ((-75, -5, 0.02 * reach), (85, 75, 70), liver_suv),
        ((0, -30, -0.38 * reach), (38, 32, 32), 18.0),
    )
    image = np.zeros(shape_zyx)
    for (cx, cy, cz), (ax, ay, az), suv in organs:
        inside = ((z - cz) / az)[:, None, None] ** 2 + ((y - cy) / ay)[:, None] ** 2 + ((x - cx) / ax) ** 2 <= 1
        image[inside] = suv
    image = ndimage.gaussian_filter(image, grid.sigma_voxels(fwhm_mm)) * bqml_per_suv
    image = with_noise(image, grid, fwhm_mm, cov, liver_suv * bqml_per_suv, seed)
    attributes, by_slice = header_of(times, "F-18", shape_zyx[0], beds=beds, dose_bq=dose_bq, weight_kg=weight_kg)
    return DigitalScan(
        volume=PetVolume(image.astype(np.float32), grid.affine_lps_mm, "Bq/mL"),
        attributes={
            **attributes,
            "SeriesDescription": "Torso",
            "SeriesType": ["WHOLE BODY", "IMAGE"],
            "PatientSex": "O",
            "PatientSize": 1.75,
        },
        slice_attributes=by_slice,
        sheet=None,
        truth={
            "kind": "patient",
            "true_weight_kg": true_weight_kg,
            "factor_g_per_bq": 1 / bqml_per_suv
            if weight_kg is None
            else weight_kg * 1000 / (dose_bq * times.decay_since_draw),
            "liver_suv": liver_suv,
            "liver_center_lps_mm": (-75.0, -5.0, float(0.02 * reach)),
            "reference_time": scanned_at,
        },
    )
