"""Digital scans with known answers, for the demonstration, tests and benchmarks; no measurement uses them.

A scan is an object of known activity convolved with an isotropic Gaussian, in closed form where there is one (sphere,
disc, slab), and read at the voxel centres: every voxel is a point sample of the blurred object unless
``samples_per_voxel`` asks for the mean of several. Noise is Gaussian, correlated over the same width, and its SD goes
with the square root of the signal. Headers and activity sheet agree with the drawn concentrations at the decay
reference time, so each number of an analysis has its true value in ``DigitalScan.truth``.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import ndimage, special

from phantoms.dicom_series import write_series
from phantoms.volume import PetVolume

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping
    from pathlib import Path

    from numpy.typing import ArrayLike, NDArray

SIGMA_PER_FWHM = 1.0 / np.sqrt(8.0 * np.log(2.0))
SPHERE_DIAMETERS_MM = (37, 28, 22, 17, 13, 10)
SPHERE_RING_RADIUS_MM = 57.2
LUNG_INSERT_DIAMETER_MM = 51.0
SCANNED_AT = datetime(2026, 3, 2, 10, 30)

# What a scanner writes; written here again, not taken from phantoms.suv, so that the answer key leans on nothing
# that it checks.
_HALF_LIFE_S = {"F-18": 6586.2, "Ga-68": 4062.6, "Zr-89": 282276.0, "Ge-68": 2.341e7}
_POSITRON_FRACTION = {"F-18": 0.967, "Ga-68": 0.889, "Zr-89": 0.228, "Ge-68": 0.889}
_NUCLIDE_CODE = {"F-18": "C-111A1", "Ga-68": "C-131A3", "Zr-89": "C-168A4", "Ge-68": "C-128A2"}

# The body of the IEC phantom, millimetres from the centre of the sphere ring: a half circle above (anterior), two
# quarter circles below, the flat back between them (IEC 61675-1).
_BODY_ARCH_RADIUS_MM = 147.0
_BODY_CORNER_RADIUS_MM = 77.0
_BODY_CORNER_X_MM = 70.0
_BODY_WAIST_Y_MM = 35.0
_BODY_LENGTH_MM = 190.0
_SPHERES_FROM_LID_MM = 68.0

Vector = tuple[float, float, float]


@dataclass(frozen=True)
class DigitalScan:
    """A digital scan and what is true of it.

    Attributes
    ----------
    volume : PetVolume
        The image, Bq/mL.
    attributes : mapping
        Header values by DICOM keyword; sequences are lists of such mappings.
    slice_attributes : tuple of mappings
        Values that differ by slice (acquisition time, decay factor), in the order of ``volume.image``'s first axis.
    sheet : dict or None
        The activity sheet in the form of ``sheet.json``.
    truth : dict
        What was drawn.
    """

    volume: PetVolume
    attributes: Mapping[str, Any]
    slice_attributes: tuple[Mapping[str, Any], ...]
    sheet: dict[str, Any] | None
    truth: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class ScannerFaults:
    """Faults of a scanner, fixed to its own axis (x = y = 0) wherever the phantom lies; per cent of the reading.

    Attributes
    ----------
    wedge_pct, wedge_at_deg, wedge_width_deg : float
        A sector that reads otherwise, as a detector block that dropped out leaves it; its middle from +x (patient left)
        towards +y (posterior).
    ring_pct, ring_radius_mm, ring_width_mm : float
        A ring that reads otherwise, with a Gaussian profile of that full width at half maximum.
    bed_join_pct, bed_length_mm, bed_join_z_mm : float
        Inside each bed the reading rises evenly by so much from its foot end to its head end, so it falls by as much at
        each join; one join lies at ``bed_join_z_mm``.
    """

    wedge_pct: float = 0.0
    wedge_at_deg: float = 0.0
    wedge_width_deg: float = 30.0
    ring_pct: float = 0.0
    ring_radius_mm: float = 50.0
    ring_width_mm: float = 8.0
    bed_join_pct: float = 0.0
    bed_length_mm: float = 100.0
    bed_join_z_mm: float = 0.0

    def gain(self, x: NDArray[np.float64], y: NDArray[np.float64], z: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return what the scanner reads over what it should, at patient millimetres that broadcast."""
        gain = np.ones((1, 1, 1))
        if self.wedge_pct:
            away = (np.degrees(np.arctan2(y, x)) - self.wedge_at_deg + 180) % 360 - 180
            gain = gain * (1 + self.wedge_pct / 100 * (np.abs(away) <= self.wedge_width_deg / 2))
        if self.ring_pct:
            off = (np.hypot(x, y) - self.ring_radius_mm) / (self.ring_width_mm * SIGMA_PER_FWHM)
            gain = gain * (1 + self.ring_pct / 100 * np.exp(-(off**2) / 2))
        if self.bed_join_pct:
            share = (z - self.bed_join_z_mm) / self.bed_length_mm % 1.0
            gain = gain * (1 + self.bed_join_pct / 100 * (share - 0.5))
        return np.asarray(gain)


@dataclass(frozen=True, kw_only=True)
class SphereFaults:
    """What is wrong with the filling of single spheres, by their inner diameter in millimetres.

    Attributes
    ----------
    bubble_pct : mapping of int to float
        Air at the top (patient anterior, -y, wherever the phantom is turned): a cap of the sphere that holds nothing,
        per cent of its volume.
    misfill_pct : mapping of int to float
        How much less, evenly, the sphere holds than the others, per cent; more is negative.
    """

    bubble_pct: Mapping[int, float] = field(default_factory=dict)
    misfill_pct: Mapping[int, float] = field(default_factory=dict)


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
    grid = _Grid(shape_zyx, spacing_zyx_mm, samples_per_voxel)
    turn = _rotation(tilt_x_deg, tilt_y_deg, 0.0)
    center = np.array(shift_mm)
    sigma = fwhm_mm * SIGMA_PER_FWHM
    disc = _blurred_disc(radius_mm, sigma)

    def reading(x: NDArray[np.float64], y: NDArray[np.float64], z: NDArray[np.float64]) -> NDArray[np.float64]:
        u, v, w = _own_frame(x, y, z, center, turn)
        radius = np.hypot(u, v)
        value = disc(radius) * _blurred_slab(w, -length_mm / 2, length_mm / 2, sigma)
        if cupping_pct:
            value = value * (1 - cupping_pct / 200 * (2 * (radius / radius_mm) ** 2 - 1))
        if axial_slope_pct_per_cm:
            value = value * (1 + axial_slope_pct_per_cm / 1000 * w)
        if faults is not None:
            value = value * faults.gain(x, y, z)
        return value + bed_fraction * _bed(x, y, center[1] + radius_mm, sigma)

    image = grid.sample(reading) * concentration_bqml
    image = _with_noise(image, grid, fwhm_mm, cov, concentration_bqml, seed) * calibration
    volume_ml = np.pi * radius_mm**2 * length_mm / 1000
    if assayed_days_ago is None:
        times = _Times(scanned_at, 600.0, _HALF_LIFE_S[nuclide])
        fill = _fill("cylinder", concentration_bqml, volume_ml, times)
    else:
        times = _Times(scanned_at, 600.0, _HALF_LIFE_S[nuclide], assayed_days_ago * 86400.0)
        fill = _sealed("cylinder", concentration_bqml, volume_ml, times)
    attributes, by_slice = _header(
        times, nuclide, shape_zyx[0], beds=1, dose_bq=_net_dose_bq(fill, times), weight_kg=volume_ml / 1000
    )
    return DigitalScan(
        volume=PetVolume(image.astype(np.float32), grid.affine_lps_mm, "Bq/mL"),
        attributes={**attributes, "SeriesDescription": "Uniform cylinder"},
        slice_attributes=by_slice,
        sheet=_sheet(nuclide, fill),
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


def nema_iq(
    fwhm_mm: float = 8.0,
    cov: float = 0.07,
    ratio: float = 10.0,
    *,
    background_bqml: float = 2000.0,
    calibration: float = 1.0,
    wall_mm: float = 0.0,
    cold_mm: Collection[int] = (),
    shift_mm: Vector = (0.0, 0.0, 0.0),
    tilt_x_deg: float = 0.0,
    tilt_y_deg: float = 0.0,
    roll_deg: float = 0.0,
    first_angle_deg: float = 0.0,
    is_clockwise: bool = True,
    is_lid_at_head: bool = True,
    bed_fraction: float = 0.0,
    sphere_faults: SphereFaults | None = None,
    axial_slope_pct_per_cm: float = 0.0,
    faults: ScannerFaults | None = None,
    shape_zyx: tuple[int, int, int] = (110, 168, 168),
    spacing_zyx_mm: Vector = (2.0, 3.2, 3.2),
    samples_per_voxel: int = 1,
    scanned_at: datetime = SCANNED_AT,
    seed: int = 0,
) -> DigitalScan:
    """Return an image-quality phantom: IEC body, cold lung insert, six hot spheres on one ring.

    Parameters
    ----------
    fwhm_mm, cov : float
        Resolution (at least 2 mm), and noise SD in the background as a fraction of the background.
    ratio, background_bqml : float
        True sphere-to-background ratio, and background at the decay reference time.
    calibration : float
        What the scanner reads over what is true.
    wall_mm : float
        Cold wall round each sphere.
    cold_mm : collection of int
        Inner diameters of the spheres that hold no activity: 28 and 37 in the editions of NEMA NU 2 before 2018.
    shift_mm, tilt_x_deg, tilt_y_deg, roll_deg
        Pose of the middle of the body: rolled about its axis, turned about x, then y, then shifted.
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
    """
    if fwhm_mm < 2:
        msg = "the outline of the body is drawn on a 0.5 mm grid: fwhm_mm must be at least 2"
        raise ValueError(msg)
    grid = _Grid(shape_zyx, spacing_zyx_mm, samples_per_voxel)
    turn = _rotation(tilt_x_deg, tilt_y_deg, roll_deg)
    center = np.array(shift_mm)
    sigma = fwhm_mm * SIGMA_PER_FWHM
    plane_w = (_BODY_LENGTH_MM / 2 - _SPHERES_FROM_LID_MM) * (1 if is_lid_at_head else -1)
    spheres = {}
    for k, diameter in enumerate(SPHERE_DIAMETERS_MM):
        angle = np.radians(first_angle_deg + (60 if is_clockwise else -60) * k)
        own = np.array([SPHERE_RING_RADIUS_MM * np.cos(angle), SPHERE_RING_RADIUS_MM * np.sin(angle), plane_w])
        spheres[diameter] = turn @ own + center
    body = _blurred_body(sigma)
    lung = _blurred_disc(LUNG_INSERT_DIAMETER_MM / 2, sigma)

    def background(x: NDArray[np.float64], y: NDArray[np.float64], z: NDArray[np.float64]) -> NDArray[np.float64]:
        u, v, w = _own_frame(x, y, z, center, turn)
        ends = _blurred_slab(w, -_BODY_LENGTH_MM / 2, _BODY_LENGTH_MM / 2, sigma)
        value = (body(u, v) - lung(np.hypot(u, v))) * ends
        return value + bed_fraction * _bed(x, y, center[1] + _BODY_WAIST_Y_MM + _BODY_CORNER_RADIUS_MM, sigma)

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
                held * _blurred_ball(r, radius, sigma) - _blurred_ball(r, radius + wall_mm, sigma)
            ),
        )
        if diameter in wrong.bubble_pct:
            cap = _blurred_cap(radius, wrong.bubble_pct[diameter] / 100, sigma)
            image -= held * grid.sample(lambda x, y, z, at=position, cap=cap: cap(x - at[0], y - at[1], z - at[2]))
    if axial_slope_pct_per_cm or faults is not None:
        image *= grid.sample(
            lambda x, y, z: (
                (1 + axial_slope_pct_per_cm / 1000 * _own_frame(x, y, z, center, turn)[2])
                * (faults.gain(x, y, z) if faults is not None else 1.0)
            )
        )
    image *= background_bqml
    image = _with_noise(image, grid, fwhm_mm, cov, background_bqml, seed) * calibration
    times = _Times(scanned_at, 600.0, _HALF_LIFE_S["F-18"])
    spheres_fill = _fill("spheres", ratio * background_bqml, 1000.0, times)
    background_fill = _fill("background", background_bqml, 9700.0, times)
    attributes, by_slice = _header(
        times, "F-18", shape_zyx[0], beds=1, dose_bq=_net_dose_bq(background_fill, times), weight_kg=9.7
    )
    return DigitalScan(
        volume=PetVolume(image.astype(np.float32), grid.affine_lps_mm, "Bq/mL"),
        attributes={**attributes, "SeriesDescription": "NEMA IQ phantom"},
        slice_attributes=by_slice,
        sheet=_sheet("F-18", spheres_fill, background_fill),
        truth={
            "kind": "nema_iq",
            "background_bqml": background_bqml,
            "sphere_bqml": ratio * background_bqml,
            "ratio": ratio,
            "calibration": calibration,
            "fwhm_mm": fwhm_mm,
            "cov": cov,
            "wall_mm": wall_mm,
            "cold_mm": tuple(sorted(cold_mm)),
            "spheres": {diameter: tuple(position.tolist()) for diameter, position in spheres.items()},
            "sphere_faults": sphere_faults,
            "axial_slope_pct_per_cm": axial_slope_pct_per_cm,
            "faults": faults,
            "axis": tuple(turn[:, 2].tolist()),
            "center_lps_mm": tuple((turn @ np.array([0.0, 0.0, plane_w]) + center).tolist()),
            "tilt_deg": float(np.degrees(np.arccos(turn[2, 2]))),
            "reference_time": scanned_at,
        },
    )


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
    grid = _Grid(shape_zyx, spacing_zyx_mm, 1)
    times = _Times(scanned_at, 120.0, _HALF_LIFE_S["F-18"], uptake_s)
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
    image = _with_noise(image, grid, fwhm_mm, cov, liver_suv * bqml_per_suv, seed)
    attributes, by_slice = _header(times, "F-18", shape_zyx[0], beds=beds, dose_bq=dose_bq, weight_kg=weight_kg)
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


def expected_recovery(
    fwhm_mm: float, diameter_mm: float, ratio: float = 10.0, wall_mm: float = 0.0
) -> tuple[float, float]:
    """Return what a perfect scanner of this resolution recovers of a hot sphere: (A50, maximum).

    Both are fractions of the true sphere concentration, noise-free and continuous (no voxels): the maximum is the
    blurred profile's centre; A50 its mean inside the surface where it falls to half-way between maximum and
    background. Background is ``1 / ratio``.
    """
    sigma = fwhm_mm * SIGMA_PER_FWHM
    radius = diameter_mm / 2
    background = 1.0 / ratio
    r = np.linspace(0.0, radius + 5 * sigma, 20001)
    profile = _blurred_ball(r, radius, sigma) + background * (1 - _blurred_ball(r, radius + wall_mm, sigma))
    maximum = float(profile[0])
    outside = int(np.argmax(profile < (maximum + background) / 2))
    inner = r[:outside]
    # Shells of the profile, weighted with their volume.
    a50 = float(np.trapezoid(profile[:outside] * inner**2, inner) / (inner[-1] ** 3 / 3))
    return a50, maximum


@dataclass(frozen=True)
class RecoverySpread:
    """Mean and SD of a measured recovery over noise and sub-voxel places, as fractions of the true concentration."""

    a50_mean: float
    a50_sd: float
    max_mean: float
    max_sd: float


def recovery_spread(
    fwhm_mm: float,
    cov: float,
    diameter_mm: float,
    ratio: float = 10.0,
    *,
    spacing_zyx_mm: Vector = (2.0, 3.2, 3.2),
    draws: int = 40,
    seed: int = 0,
) -> RecoverySpread:
    """Return how noise and voxels spread the recovery of one sphere round `expected_recovery`.

    Draws the sphere alone, at random places between voxels and with the noise that `nema_iq` adds, and takes the
    hottest voxel and the isocontour half-way to the true background by the shortest code that does so. It says which
    drawn truths lie too near to a limit for their verdict to be certain.
    """
    sigma = fwhm_mm * SIGMA_PER_FWHM
    radius = diameter_mm / 2
    rng = np.random.default_rng(seed)
    shape = tuple(2 * int(np.ceil((radius + 1.5 * fwhm_mm) / step)) + 1 for step in spacing_zyx_mm)
    grid = _Grid(shape, spacing_zyx_mm, 1)
    rows = []
    for _ in range(draws):
        image = np.ones(shape)
        place = rng.uniform(-0.5, 0.5, 3) * spacing_zyx_mm[::-1]
        reach = 2 * max(axis[-1] for axis in grid.axes_lps_mm)
        grid.add_ball(image, place, reach, lambda r: (ratio - 1) * _blurred_ball(r, radius, sigma))
        image = _with_noise(image, grid, fwhm_mm, cov, 1.0, int(rng.integers(2**31))) / ratio
        near = sum((axis - at) ** 2 for axis, at in zip(np.ix_(*grid.axes_lps_mm), place[::-1], strict=True))
        maximum = float(image[near <= (radius + 6.0) ** 2].max())
        contour, _ = ndimage.label(image > (maximum + 1 / ratio) / 2, structure=np.ones((3, 3, 3)))
        hottest = contour[image == maximum].max()
        rows.append((image[contour == hottest].mean(), maximum))
    a50, peak = np.array(rows).T
    return RecoverySpread(float(a50.mean()), float(a50.std(ddof=1)), float(peak.mean()), float(peak.std(ddof=1)))


def write_dicom(scan: DigitalScan, folder: Path, seed: int = 0) -> list[Path]:
    """Write the scan as one PET series, one file a slice; all UIDs follow from ``seed``."""
    return write_series(folder, scan.volume, scan.attributes, lambda k: scan.slice_attributes[k], seed)


class _Grid:
    """Voxel centres of a transaxial image about the origin, head first supine."""

    def __init__(self, shape_zyx: tuple[int, ...], spacing_zyx_mm: Vector, samples_per_voxel: int) -> None:
        self.shape_zyx = shape_zyx
        self.spacing_zyx_mm = spacing_zyx_mm
        self.samples_per_voxel = samples_per_voxel
        self.axes_lps_mm = tuple(
            (np.arange(count) - (count - 1) / 2) * step for count, step in zip(shape_zyx, spacing_zyx_mm, strict=True)
        )
        self.affine_lps_mm = np.diag([*spacing_zyx_mm[::-1], 1.0])
        self.affine_lps_mm[:3, 3] = [axis[0] for axis in self.axes_lps_mm[::-1]]

    def sigma_voxels(self, fwhm_mm: float) -> list[float]:
        return [fwhm_mm * SIGMA_PER_FWHM / step for step in self.spacing_zyx_mm]

    def sample(self, reading: Callable[..., NDArray[np.float64]]) -> NDArray[np.float64]:
        """Read ``reading(x, y, z)`` (patient millimetres, shapes that broadcast to the image) at the voxels."""
        image = np.zeros(self.shape_zyx)
        z, y, x = self.axes_lps_mm
        for dz, dy, dx in self._offsets():
            image += reading((x + dx)[None, None, :], (y + dy)[None, :, None], (z + dz)[:, None, None])
        return image / self.samples_per_voxel**3

    def add_ball(
        self,
        image: NDArray[np.float64],
        center_lps_mm: NDArray[np.float64],
        reach_mm: float,
        profile: Callable[[NDArray[np.float64]], NDArray[np.float64]],
    ) -> None:
        """Add ``profile(distance from the centre)`` within ``reach_mm``."""
        box, axes = [], []
        for axis, middle in zip(self.axes_lps_mm, center_lps_mm[::-1], strict=True):
            low, high = np.searchsorted(axis, [middle - reach_mm, middle + reach_mm])
            box.append(slice(int(low), int(high)))
            axes.append(axis[low:high] - middle)
        z, y, x = axes
        for dz, dy, dx in self._offsets():
            squared = (z + dz)[:, None, None] ** 2 + (y + dy)[None, :, None] ** 2 + (x + dx)[None, None, :] ** 2
            image[tuple(box)] += profile(np.sqrt(squared)) / self.samples_per_voxel**3

    def _offsets(self) -> NDArray[np.float64]:
        steps = (np.arange(self.samples_per_voxel) + 0.5) / self.samples_per_voxel - 0.5
        mesh = np.meshgrid(*(steps * step for step in self.spacing_zyx_mm), indexing="ij")
        return np.stack(mesh, axis=-1).reshape(-1, 3)


@dataclass(frozen=True)
class _Times:
    """Clock of one scan: the decay reference is the start of the first bed."""

    scanned_at: datetime
    frame_s: float
    half_life_s: float
    lead_s: float = 4800.0

    @property
    def drawn_at(self) -> datetime:
        return self.scanned_at - timedelta(seconds=self.lead_s)

    @property
    def decay_since_draw(self) -> float:
        return self.decay(self.lead_s)

    @property
    def in_frame_factor(self) -> float:
        """Decay during the frame: activity at its start over its mean."""
        exponent = np.log(2) * self.frame_s / self.half_life_s
        return float(exponent / -np.expm1(-exponent))

    def decay(self, seconds: float) -> float:
        return float(2.0 ** (-seconds / self.half_life_s))


def _rotation(tilt_x_deg: float, tilt_y_deg: float, roll_deg: float) -> NDArray[np.float64]:
    """Columns are the object's own axes in patient coordinates."""
    a, b, c = np.radians([tilt_x_deg, tilt_y_deg, roll_deg])
    about_x = np.array([[1, 0, 0], [0, np.cos(a), -np.sin(a)], [0, np.sin(a), np.cos(a)]])
    about_y = np.array([[np.cos(b), 0, np.sin(b)], [0, 1, 0], [-np.sin(b), 0, np.cos(b)]])
    about_z = np.array([[np.cos(c), -np.sin(c), 0], [np.sin(c), np.cos(c), 0], [0, 0, 1]])
    return np.asarray(about_y @ about_x @ about_z)


def _own_frame(
    x: NDArray[np.float64], y: NDArray[np.float64], z: NDArray[np.float64], center: ArrayLike, turn: NDArray[np.float64]
) -> list[NDArray[np.float64]]:
    """Map patient positions to the object's frame; an axis that has no part in a coordinate does not widen it."""
    moved = [axis - middle for axis, middle in zip((x, y, z), np.asarray(center), strict=True)]
    return [np.asarray(sum(turn[i, own] * moved[i] for i in range(3) if turn[i, own] != 0.0)) for own in range(3)]


def _blurred_slab(w: NDArray[np.float64], low: float, high: float, sigma: float) -> NDArray[np.float64]:
    scale = np.sqrt(2.0) * sigma
    return np.asarray((special.erf((w - low) / scale) - special.erf((w - high) / scale)) / 2)


def _blurred_ball(r: NDArray[np.float64], radius: float, sigma: float) -> NDArray[np.float64]:
    """Return the unit ball of ``radius`` convolved with an isotropic Gaussian, at distance ``r`` from its centre."""
    z = np.maximum(r / (np.sqrt(2.0) * sigma), 1e-4)  # the limit r -> 0 is reached to 1e-8
    Z = radius / (np.sqrt(2.0) * sigma)
    ends = np.exp(-((z - Z) ** 2)) - np.exp(-((z + Z) ** 2))
    return np.asarray((special.erf(z + Z) - special.erf(z - Z)) / 2 - ends / (2 * np.sqrt(np.pi) * z))


def _blurred_disc(radius: float, sigma: float) -> Callable[[NDArray[np.float64]], NDArray[np.float64]]:
    """Return the profile over the distance from the axis of a disc convolved with a two-dimensional Gaussian.

    Around the edge it is tabulated: an integral over rings, whose angular part is a Bessel function.
    """
    r = np.arange(max(radius - 7 * sigma, 0.0), radius + 7 * sigma, sigma / 50)
    low = np.maximum(r - 9 * sigma, 0.0)
    high = np.maximum(np.minimum(r + 9 * sigma, radius), low)
    nodes, weights = np.polynomial.legendre.leggauss(96)
    ring = (low + high)[:, None] / 2 + (high - low)[:, None] / 2 * nodes
    angular = special.i0e(ring * r[:, None] / sigma**2)
    density = ring / sigma**2 * np.exp(-((ring - r[:, None]) ** 2) / (2 * sigma**2)) * angular
    table = (density @ weights) * (high - low) / 2
    return lambda distance: np.interp(distance, r, table, right=0.0)


def _blurred_cap(radius: float, share: float, sigma: float) -> Callable[..., NDArray[np.float64]]:
    """Return the anterior cap (-y) of a ball, ``share`` of its volume, convolved with a Gaussian, from a fine grid.

    The edges of the grid's cells are counted by their distance to the sphere and to the cap's level.
    """
    depth = np.linspace(0.0, 2 * radius, 4001)
    height = radius - np.interp(share, depth**2 * (3 * radius - depth) / (4 * radius**3), depth)
    step = min(0.5, radius / 12)
    reach = radius + 6 * sigma
    axis = np.arange(-reach, reach + step, step)
    x, y, z = axis[None, None, :], axis[None, :, None], axis[:, None, None]
    inside = np.clip(0.5 + (radius - np.sqrt(x**2 + y**2 + z**2)) / step, 0.0, 1.0)
    inside = inside * np.clip(0.5 - (y + height) / step, 0.0, 1.0)
    # What the cells leave of the cap's volume is put right.
    inside *= share * 4 / 3 * np.pi * radius**3 / (inside.sum() * step**3)
    table = ndimage.gaussian_filter(inside, sigma / step, truncate=6.0)

    def image(x: NDArray[np.float64], y: NDArray[np.float64], z: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the cap at millimetres from the ball's centre."""
        shape = np.broadcast_shapes(x.shape, y.shape, z.shape)
        drawn = np.zeros(shape)
        near = tuple(np.abs(one).ravel() < reach for one in (z, y, x))
        places = np.meshgrid(
            *((one.ravel()[at] - axis[0]) / step for one, at in zip((z, y, x), near, strict=True)), indexing="ij"
        )
        drawn[np.ix_(*near)] = ndimage.map_coordinates(table, places, order=1, mode="constant")
        return drawn

    return image


def _blurred_body(sigma: float) -> Callable[[NDArray[np.float64], NDArray[np.float64]], NDArray[np.float64]]:
    """Return the cross-section of the IEC body convolved with a two-dimensional Gaussian, from a 0.5 mm table."""
    step = 0.5
    reach = _BODY_ARCH_RADIUS_MM + 10 + 6 * sigma
    axis = np.arange(-reach, reach + step, step)
    u, v = axis[None, :], axis[:, None] - _BODY_WAIST_Y_MM
    arch = np.hypot(u, v) - _BODY_ARCH_RADIUS_MM
    corner = np.hypot(np.maximum(np.abs(u) - _BODY_CORNER_X_MM, 0.0), v) - _BODY_CORNER_RADIUS_MM
    distance = np.where(v < 0, arch, corner)
    table = ndimage.gaussian_filter(np.clip(0.5 - distance / step, 0.0, 1.0), sigma / step, truncate=6.0)

    def profile(u: NDArray[np.float64], v: NDArray[np.float64]) -> NDArray[np.float64]:
        places = np.stack(np.broadcast_arrays((v - axis[0]) / step, (u - axis[0]) / step))
        return np.asarray(ndimage.map_coordinates(table, places, order=1, mode="constant"))

    return profile


def _bed(x: NDArray[np.float64], y: NDArray[np.float64], top_mm: float, sigma: float) -> NDArray[np.float64]:
    """Return a flat bed, 400 mm wide and 20 mm thick, 5 mm below ``top_mm``."""
    return _blurred_slab(x, -200, 200, sigma) * _blurred_slab(y, top_mm + 5, top_mm + 25, sigma)


def _with_noise(
    image: NDArray[np.float64], grid: _Grid, fwhm_mm: float, cov: float, level: float, seed: int
) -> NDArray[np.float64]:
    """Add Gaussian noise of width ``fwhm_mm`` whose SD is ``cov * sqrt(signal * level)``."""
    if cov == 0:
        return image
    white = np.random.default_rng(seed).standard_normal(grid.shape_zyx, dtype=np.float32)
    norm = 1.0
    for axis, sigma in enumerate(grid.sigma_voxels(fwhm_mm)):
        white = ndimage.gaussian_filter1d(white, sigma, axis=axis, mode="wrap")
        impulse = np.zeros(2 * int(5 * sigma + 1) + 1)
        impulse[len(impulse) // 2] = 1.0
        norm *= float(np.sqrt((ndimage.gaussian_filter1d(impulse, sigma) ** 2).sum()))
    return np.asarray(image + cov / norm * np.sqrt(np.clip(image, 0.0, None) * level) * white)


def _fill(what: str, concentration_bqml: float, volume_ml: float, times: _Times) -> dict[str, Any]:
    """Return what the site wrote down: 2 % of the draw stays in the syringe, measured four minutes later."""
    left = 0.02
    residual_s = 240.0
    remaining = times.decay_since_draw - left * times.decay(times.lead_s - residual_s)
    activity_mbq = concentration_bqml * volume_ml / 1e6 / remaining
    return {
        "what": what,
        "activity_mbq": round(activity_mbq, 9),
        "assayed_at": times.drawn_at.isoformat(),
        "residual_mbq": round(left * activity_mbq, 9),
        "residual_at": (times.drawn_at + timedelta(seconds=residual_s)).isoformat(),
        "volume_ml": volume_ml,
    }


def _sealed(what: str, concentration_bqml: float, volume_ml: float, times: _Times) -> dict[str, Any]:
    """Return what stands on the certificate of a sealed source."""
    activity_mbq = concentration_bqml * volume_ml / 1e6 / times.decay_since_draw
    return {
        "what": what,
        "activity_mbq": round(activity_mbq, 9),
        "assayed_at": times.drawn_at.isoformat(),
        "volume_ml": volume_ml,
        "is_sealed": True,
    }


def _sheet(nuclide: str, *fills: dict[str, Any]) -> dict[str, Any]:
    return {"nuclide": nuclide, "time_zone": "Europe/London", "header_dose": "real", "fills": list(fills)}


def _net_dose_bq(fill: Mapping[str, Any], times: _Times) -> float:
    """Activity in the phantom, decay-corrected to the draw, becquerel."""
    if fill.get("is_sealed"):
        return float(fill["activity_mbq"] * 1e6)
    waited = datetime.fromisoformat(fill["residual_at"]) - datetime.fromisoformat(fill["assayed_at"])
    net_mbq = fill["activity_mbq"] - fill["residual_mbq"] / times.decay(waited.total_seconds())
    return float(net_mbq * 1e6)


def _header(
    times: _Times, nuclide: str, slices: int, *, beds: int, dose_bq: float, weight_kg: float | None
) -> tuple[dict[str, Any], tuple[dict[str, Any], ...]]:
    """Return the attributes of the series and of each slice, as a Siemens scanner writes them (decay START)."""
    drawn_at, started_at = times.drawn_at, times.scanned_at
    attributes: dict[str, Any] = {
        "Modality": "PT",
        "ImageType": ["ORIGINAL", "PRIMARY"],
        "Manufacturer": "SIEMENS",
        "ManufacturerModelName": "Digital PET",
        "DeviceSerialNumber": "1",
        "SoftwareVersions": "1",
        "PatientName": "Digital",
        "PatientID": "DIGITAL",
        "PatientPosition": "HFS",
        "StudyDate": started_at.strftime("%Y%m%d"),
        "StudyTime": started_at.strftime("%H%M%S"),
        "SeriesDate": started_at.strftime("%Y%m%d"),
        "SeriesTime": started_at.strftime("%H%M%S"),
        "SeriesType": ["STATIC", "IMAGE"],
        "CountsSource": "EMISSION",
        "Units": "BQML",
        "DecayCorrection": "START",
        "CorrectedImage": ["NORM", "DTIM", "ATTN", "SCAT", "DECY", "RAN"],
        "RandomsCorrectionMethod": "DLYD",
        "AttenuationCorrectionMethod": "measured,AC CT",
        "ScatterCorrectionMethod": "Model-based",
        "ReconstructionMethod": "PSF+TOF 3i21s",
        "ConvolutionKernel": "XYZ Gauss4.00",
        "NumberOfSlices": slices,
        "ActualFrameDuration": round(times.frame_s * 1000),
        "RadiopharmaceuticalInformationSequence": [
            {
                "Radiopharmaceutical": "Solution",
                "RadiopharmaceuticalStartTime": drawn_at.strftime("%H%M%S"),
                "RadiopharmaceuticalStartDateTime": drawn_at.strftime("%Y%m%d%H%M%S"),
                "RadionuclideTotalDose": round(dose_bq),
                "RadionuclideHalfLife": times.half_life_s,
                "RadionuclidePositronFraction": _POSITRON_FRACTION[nuclide],
                "RadionuclideCodeSequence": [
                    {"CodeValue": _NUCLIDE_CODE[nuclide], "CodingSchemeDesignator": "SRT", "CodeMeaning": nuclide}
                ],
            }
        ],
    }
    if weight_kg is not None:
        attributes["PatientWeight"] = round(weight_kg, 4)
    by_slice = []
    mean_s = np.log(times.in_frame_factor) * times.half_life_s / np.log(2)
    for k in range(slices):
        waited_s = times.frame_s * (k * beds // slices)
        acquired_at = started_at + timedelta(seconds=waited_s)
        by_slice.append(
            {
                "AcquisitionDate": acquired_at.strftime("%Y%m%d"),
                "AcquisitionTime": acquired_at.strftime("%H%M%S"),
                "FrameReferenceTime": round(1000 * (waited_s + mean_s)),
                "DecayFactor": round(times.in_frame_factor / times.decay(waited_s), 6),
            }
        )
    return attributes, tuple(by_slice)
