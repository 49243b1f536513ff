"""A digital image-quality phantom: the IEC body with its lung insert and six spheres."""

from __future__ import annotations

from typing import TYPE_CHECKING, Unpack

import numpy as np

from phantoms.digital.acquisition import Acquisition
from phantoms.digital.blurred import blurred_ball, blurred_bed, blurred_cap, blurred_disc, blurred_slab, own_frame
from phantoms.digital.faults import SphereFaults
from phantoms.digital.iec_body import (
    BODY_CORNER_RADIUS_MM,
    BODY_LENGTH_MM,
    BODY_WAIST_Y_MM,
    LUNG_INSERT_DIAMETER_MM,
    SPHERE_DIAMETERS_MM,
    SPHERE_RING_RADIUS_MM,
    SPHERES_FROM_LID_MM,
    blurred_body,
)
from phantoms.digital.written import fill_of

if TYPE_CHECKING:
    from collections.abc import Collection

    from numpy.typing import NDArray

    from phantoms.digital.acquisition import AcquisitionOptions
    from phantoms.digital.faults import ScannerFaults
    from phantoms.digital.scan import DigitalScan


def nema_iq(
    fwhm_mm: float = 8.0,
    cov: float = 0.07,
    ratio: float = 10.0,
    *,
    background_bqml: float = 2000.0,
    wall_mm: float = 0.0,
    cold_mm: Collection[int] = (),
    first_angle_deg: float = 0.0,
    is_clockwise: bool = True,
    is_lid_at_head: bool = True,
    bed_fraction: float = 0.0,
    sphere_faults: SphereFaults | None = None,
    axial_slope_pct_per_cm: float = 0.0,
    faults: ScannerFaults | None = None,
    **options: Unpack[AcquisitionOptions],
) -> DigitalScan:
    """Return an image-quality phantom: IEC body, cold lung insert, six hot spheres on one ring.

    Parameters
    ----------
    fwhm_mm, cov : float
        Resolution (at least 2 mm), and noise SD in the background as a fraction of the background.
    ratio, background_bqml : float
        True sphere-to-background ratio, and background at the decay reference time.
    wall_mm : float
        Cold wall round each sphere.
    cold_mm : collection of int
        Inner diameters of the spheres that hold no activity: 28 and 37 in the editions of NEMA NU 2 before 2018.
    first_angle_deg, is_clockwise
        Where the 37 mm sphere lies, from +x (patient left) towards +y (posterior), and on which way round the smaller
        ones follow, seen from the feet (increasing angle where clockwise).
    is_lid_at_head : bool
        The sphere plane lies 68 mm from the lid.
    sphere_faults : SphereFaults or None
        What single spheres hold that they should not.
    axial_slope_pct_per_cm : float
        Rise of the whole reading along the phantom's axis towards +z, per cent of what is read at its middle.
    faults : ScannerFaults or None
        What the scanner does to the image, drawn before the noise.
    **options
        Calibration, pose of the middle of the body, voxels, clock and seed, as `Acquisition` has them.

    Raises
    ------
    ValueError
        Where ``fwhm_mm`` is less than 2: the outline of the body is drawn on a grid of 0.5 mm.
    """
    if fwhm_mm < 2:
        msg = "the outline of the body is drawn on a 0.5 mm grid: fwhm_mm must be at least 2"
        raise ValueError(msg)
    acquisition = Acquisition(fwhm_mm=fwhm_mm, cov=cov, **options)
    grid, turn, center, sigma = acquisition.grid, acquisition.turn, acquisition.center_lps_mm, acquisition.sigma_mm
    plane_w = (BODY_LENGTH_MM / 2 - SPHERES_FROM_LID_MM) * (1 if is_lid_at_head else -1)
    spheres = {}
    for k, diameter in enumerate(SPHERE_DIAMETERS_MM):
        angle = np.radians(first_angle_deg + (60 if is_clockwise else -60) * k)
        own = np.array([SPHERE_RING_RADIUS_MM * np.cos(angle), SPHERE_RING_RADIUS_MM * np.sin(angle), plane_w])
        spheres[diameter] = turn @ own + center
    body = blurred_body(sigma)
    lung = blurred_disc(LUNG_INSERT_DIAMETER_MM / 2, sigma)

    def background(x: NDArray[np.float64], y: NDArray[np.float64], z: NDArray[np.float64]) -> NDArray[np.float64]:
        u, v, w = own_frame(x, y, z, center, turn)
        ends = blurred_slab(w, -BODY_LENGTH_MM / 2, BODY_LENGTH_MM / 2, sigma)
        value = (body(u, v) - lung(np.hypot(u, v))) * ends
        return value + bed_fraction * blurred_bed(x, y, center[1] + BODY_WAIST_Y_MM + BODY_CORNER_RADIUS_MM, sigma)

    image = grid.sample(background)
    wrong = sphere_faults or SphereFaults()
    for diameter, position in spheres.items():
        radius = diameter / 2
        held = 0.0 if diameter in cold_mm else ratio * (1 - wrong.misfill_pct.get(diameter, 0.0) / 100)
        grid.add_ball(
            image,
            position,
            radius + wall_mm + 6 * sigma,
            lambda r, radius=radius, held=held: (  # type: ignore[misc]
                held * blurred_ball(r, radius, sigma) - blurred_ball(r, radius + wall_mm, sigma)
            ),
        )
        if diameter in wrong.bubble_pct:
            cap = blurred_cap(radius, wrong.bubble_pct[diameter] / 100, sigma)
            image -= held * grid.sample(lambda x, y, z, at=position, cap=cap: cap(x - at[0], y - at[1], z - at[2]))
    if axial_slope_pct_per_cm or faults is not None:
        image *= grid.sample(
            lambda x, y, z: (
                (1 + axial_slope_pct_per_cm / 1000 * own_frame(x, y, z, center, turn)[2])
                * (faults.gain(x, y, z) if faults is not None else 1.0)
            )
        )
    image *= background_bqml
    times = acquisition.times()
    return acquisition.scan(
        image,
        background_bqml,
        times,
        fill_of("spheres", ratio * background_bqml, 1000.0, times),
        fill_of("background", background_bqml, 9700.0, times),
        description="NEMA IQ phantom",
        truth={
            "kind": "nema_iq",
            "background_bqml": background_bqml,
            "sphere_bqml": ratio * background_bqml,
            "ratio": ratio,
            "wall_mm": wall_mm,
            "cold_mm": tuple(sorted(cold_mm)),
            "spheres": {diameter: tuple(position.tolist()) for diameter, position in spheres.items()},
            "sphere_faults": sphere_faults,
            "axial_slope_pct_per_cm": axial_slope_pct_per_cm,
            "faults": faults,
            "axis": tuple(turn[:, 2].tolist()),
            "center_lps_mm": tuple((turn @ np.array([0.0, 0.0, plane_w]) + center).tolist()),
        },
    )
