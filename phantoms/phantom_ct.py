"""The NEMA phantom's CT: air in a sphere, the number of its water, and how far CT and PET lie apart.

Steps: the walls of the six spheres are looked for about their places in the PET, by correlation on a 2 mm grid; each of
the four large spheres is then fitted as a thin shell between two fluids, blurred and averaged over the thickness of a
slice. The median shift from PET to CT is the offset, and places the regions in which air and water are read.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage, optimize, signal

from phantoms import findings, rois
from phantoms.errors import AnalysisRefused
from phantoms.results import Finding, Measurement, Outcome, Owner, QualityFlag
from phantoms.sphere_ring import along_patient_axes
from phantoms.spheres import DIAMETERS_MM, blurred_sphere
from phantoms.volume import PetVolume

if TYPE_CHECKING:
    from numpy.typing import NDArray

AIR_HU = -150.0  # below it a sphere holds air
WATER_HU = 10.0  # the lab's rule: water is within this of 0
OFFSET_MM = 3.0  # the lab's rule: a greater offset warns
REACH_MM = 70.0  # slices within this of the spheres' plane are read
PLANES_MM = (-10.0, 0.0, 10.0)

_SEARCH_MM = 16.0
_GRID_MM = 2.0
_WALL_MM = 1.0
_SIGMA_MM = 0.8
_FITTED_MM = (37, 28, 22, 17)
_FILLED_MM = (37, 28, 22)  # large enough that their fill is known to a few HU
_MIN_WALL_SD = 8.0  # a wall stands out by so many standard errors, or it is not seen
_AGREE_MM = 1.5  # spheres whose shifts differ by more do not lie on the phantom that the PET shows
_LEAST_SPHERES = 3
_REGION_RADIUS_MM = 12.0
_SMOOTH_RADIUS_MM = 1.5  # the lowest value is a mean over so much of a slice, so that noise is not air


@dataclass(frozen=True)
class CtResult:
    """What the CT says; nothing is judged yet, see `phantoms.standards`.

    Attributes
    ----------
    measurements, findings
        As the offline contract names them.
    offset_lps_mm : ndarray, shape (3,), or None
        From a place in the PET to the same in the CT; None where the spheres were not found.
    """

    measurements: tuple[Measurement, ...]
    findings: tuple[Finding, ...]
    offset_lps_mm: NDArray[np.float64] | None


def measure(
    volume: PetVolume,
    spheres: Mapping[int, NDArray[np.float64]],
    background_lps_mm: Sequence[NDArray[np.float64]],
    axis: NDArray[np.float64],
    *,
    is_in_frame: bool = True,
) -> CtResult:
    """Measure the CT of a NEMA image-quality phantom.

    Parameters
    ----------
    volume : PetVolume
        HU, about the plane of the spheres.
    spheres : mapping of int to ndarray, shape (3,)
        Centre of each sphere in the PET by inner diameter, LPS millimetres.
    background_lps_mm : sequence of ndarray, shape (3,)
        Middles of the background regions in the plane of the spheres, in the PET.
    axis : ndarray, shape (3,)
        Along the phantom.
    is_in_frame : bool
        Whether PET and CT share a frame of reference; without it no offset is given.

    Raises
    ------
    AnalysisRefused
        ``CT-NOT-FOUND`` where the walls of the spheres are not seen, or not where the PET has them.
    """
    volume = along_patient_axes(volume)
    shift, sd_mm = _find(volume, spheres)
    smooth = _smoothed(volume)
    water, water_sd, noise = _water(volume, [at + shift for at in background_lps_mm], axis)
    rows = [
        Measurement(name="ct_water_hu", value=water, unit="HU", uncertainty=water_sd),
        Measurement(name="ct_noise_hu", value=noise, unit="HU"),
    ]
    air: dict[int, float] = {}
    fills: dict[int, float] = {}
    for diameter in DIAMETERS_MM:
        lowest, air_pct, fill, fill_sd = _sphere(volume, smooth, spheres[diameter] + shift, diameter / 2.0)
        if lowest < AIR_HU:
            air[diameter] = air_pct
        if fill is not None and diameter in _FILLED_MM:
            fills[diameter] = fill
        prefix = f"sphere_{diameter}mm_ct"
        small = QualityFlag.SMALL_REGION if fill is None else QualityFlag.NONE
        rows += [
            Measurement(name=f"{prefix}_min_hu", value=lowest, unit="HU"),
            Measurement(name=f"{prefix}_air_pct", value=air_pct, unit="%"),
            Measurement(name=f"{prefix}_hu", value=fill, unit="HU", uncertainty=fill_sd, flags=small),
        ]
    other = QualityFlag.NONE if is_in_frame else QualityFlag.OTHER_FRAME
    length = float(np.linalg.norm(shift))
    along = float(np.sqrt(np.square(sd_mm) @ np.square(shift / length))) if length > 0 else float(sd_mm.max())
    for name, value, sd in (
        *((f"ct_offset_{axis_name}_mm", float(shift[k]), float(sd_mm[k])) for k, axis_name in enumerate("xyz")),
        ("ct_offset_mm", length, along),
    ):
        given = (value, sd) if is_in_frame else (None, None)
        rows.append(Measurement(name=name, value=given[0], unit="mm", uncertainty=given[1], flags=other))
    said = tuple(_findings(air, water, fills, shift if is_in_frame else None, 2 * along))
    return CtResult(tuple(rows), said, shift)


def unread(refused: AnalysisRefused) -> CtResult:
    """Say that a CT came and could not be used, and why.

    It has no numbers, not even missing ones: a limit would find them missing, and that would withhold the verdict.
    """
    said = findings.warning(
        "PHA-CT-UNREAD",
        f"The phantom's CT was not measured, so air and water were not looked at: {refused.detail}",
        refused.code,
        "the CT of the same session, original slices",
        "Look at the spheres on the CT, and send its original slices with the PET of the same session.",
    )
    return CtResult((), (said,), None)


def absent() -> Finding:
    """Say that no CT was sent; it decides nothing."""
    return Finding(
        id="PHA-CT-NONE",
        outcome=Outcome.NOT_EVALUABLE,
        severity="info",
        message="No CT was sent with the phantom, so air in the spheres and the water were not looked at.",
        expected="the CT of the same session",
        next_step="Send the CT of the same session with the phantom next time.",
        owner=Owner.NOBODY,
        source="EARL 18F accreditation: PET and CT of the phantom",
    )


def _findings(
    air: Mapping[int, float],
    water: float,
    fills: Mapping[int, float],
    shift: NDArray[np.float64] | None,
    offset_2sd_mm: float,
) -> Iterator[Finding]:
    for diameter, pct in air.items():
        yield findings.warning(
            "PHA-CT-BUBBLE",
            f"The {diameter} mm sphere holds air on the CT: {pct:.0f} % of it lies below {_hu(AIR_HU)}.",
            f"{pct:.1f} % of the sphere",
            f"nothing below {_hu(AIR_HU)}",
            f"Fill the {diameter} mm sphere again without air and repeat the scan.",
            figure="ct_spheres",
            diameter_mm=diameter,
        )
    off = [("background", water), *((f"{d} mm sphere", fill) for d, fill in fills.items())]
    off = [(what, value) for what, value in off if abs(value) > WATER_HU]
    if off:
        what, value = max(off, key=lambda one: abs(one[1]))
        more = f", and {len(off) - 1} more" if len(off) > 1 else ""
        yield findings.warning(
            "PHA-CT-WATER",
            f"The water of the phantom reads {_hu(value)} on the CT ({what}{more}): it is not plain water, or the CT "
            "is not calibrated.",
            "; ".join(f"{what} {_hu(value)}" for what, value in off),
            f"within {WATER_HU:g} HU of 0",
            "Check the CT's daily water value; if it is right, empty the phantom and fill it with plain water.",
        )
    if shift is None:
        yield findings.warning(
            "PHA-CT-FRAME",
            "PET and CT name different frames of reference (0020,0052), so how far they lie apart is not given.",
            "two frames of reference",
            "one for both",
            "Send PET and CT of one session, with their UIDs left alike.",
        )
        return
    length = float(np.linalg.norm(shift))
    if length - offset_2sd_mm > OFFSET_MM:
        x, y, z = shift
        yield findings.warning(
            "PHA-CT-OFFSET",
            f"The spheres lie {length:.1f} mm apart on PET and CT, so the attenuation correction is displaced.",
            f"x {x:+.1f}, y {y:+.1f}, z {z:+.1f} mm",
            f"up to {OFFSET_MM:g} mm",
            "Check that nothing moved between CT and PET, then the scanner's PET–CT alignment.",
            figure="ct_spheres",
        )


def _hu(value: float) -> str:
    return f"{value:.0f} HU".replace("-", "−")


# --- where the spheres are ------------------------------------------------------------------------


def _find(
    volume: PetVolume, spheres: Mapping[int, NDArray[np.float64]]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the shift from PET to CT and its standard error, both shape (3,), millimetres."""
    coarse = _coarse(volume, spheres)
    fitted = [_fit(volume, spheres[d] + coarse, d / 2.0) for d in _FITTED_MM]
    shifts = np.array([coarse + one for one in fitted if one is not None])
    if len(shifts) >= _LEAST_SPHERES:
        shifts = shifts[np.linalg.norm(shifts - np.median(shifts, axis=0), axis=1) <= _AGREE_MM]
    if len(shifts) < _LEAST_SPHERES:
        raise AnalysisRefused("CT-NOT-FOUND", "the walls of the spheres are not seen near their places in the PET.")
    spread = shifts.std(axis=0, ddof=1)
    return shifts.mean(axis=0), np.maximum(spread, 0.05) / np.sqrt(len(shifts))


def _coarse(volume: PetVolume, spheres: Mapping[int, NDArray[np.float64]]) -> NDArray[np.float64]:
    """Return the shift at which six shells correlate best with the image, to about a millimetre."""
    places = np.array([spheres[d] for d in DIAMETERS_MM])
    margin = max(DIAMETERS_MM) / 2.0 + _SEARCH_MM + 6.0
    low, high = places.min(axis=0) - margin, places.max(axis=0) + margin
    axes = [np.arange(a, b, _GRID_MM) for a, b in zip(low, high, strict=True)]
    grid = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1)
    sigma = [0.4 * _GRID_MM / step for step in volume.spacing_zyx_mm]
    level = np.where(volume.image < AIR_HU, 0.0, np.clip(volume.image, -100.0, 300.0))
    smooth = ndimage.gaussian_filter(level, sigma)
    index = np.moveaxis(volume.to_index_zyx(grid), -1, 0)
    seen = ndimage.map_coordinates(smooth, index, order=1, mode="nearest")
    template = np.zeros(grid.shape[:3])
    for diameter in DIAMETERS_MM:
        distance = np.linalg.norm(grid - spheres[diameter], axis=-1)
        radius = diameter / 2.0
        wall = np.exp(-0.5 * ((distance - radius - _WALL_MM / 2) / 1.3) ** 2)
        near = distance < radius + 5.0
        template += near * (wall - (wall * near).sum() / near.sum())
    score = signal.fftconvolve(seen - np.median(seen), template[::-1, ::-1, ::-1], mode="same")
    middle = [(count - 1) // 2 for count in score.shape]
    steps = int(_SEARCH_MM / _GRID_MM)
    box = score[tuple(slice(max(m - steps, 0), m + steps + 1) for m in middle)]
    best = np.array(np.unravel_index(int(box.argmax()), box.shape))
    origin = np.array([max(m - steps, 0) for m in middle])
    return np.asarray((best + origin - middle) * _GRID_MM, dtype=np.float64)


def _fit(volume: PetVolume, start: NDArray[np.float64], radius: float) -> NDArray[np.float64] | None:
    """Return how far a sphere lies from ``start``; None where its wall does not stand out."""
    reach = radius + 5.0
    low = np.clip(np.floor(volume.to_index_zyx(start) - np.divide(reach, volume.spacing_zyx_mm)), 0, None).astype(int)
    high = np.ceil(volume.to_index_zyx(start) + np.divide(reach, volume.spacing_zyx_mm)).astype(int) + 1
    box = volume.image[tuple(slice(a, b) for a, b in zip(low, high, strict=True))]
    if box.size == 0:
        return None
    index = np.moveaxis(np.indices(box.shape), 0, -1) + low
    place = volume.to_lps_mm(index.astype(np.float64)) - start
    is_fluid = ~ndimage.binary_dilation(box < AIR_HU, iterations=2)
    # What lies farther from the wall says nothing of where it is.
    near = (np.abs(np.linalg.norm(place, axis=-1) - radius) <= 5.0) & is_fluid
    place, values = place[near], np.clip(box[near], -300.0, 2000.0).astype(np.float64)
    if values.size < 200:
        return None
    slice_mm = volume.spacing_zyx_mm[0]
    count = max(int(np.ceil(slice_mm / 1.0)), 1)
    offsets = ((np.arange(count) + 0.5) / count - 0.5) * slice_mm

    def columns(at: NDArray[np.float64]) -> NDArray[np.float64]:
        inner, outer = np.zeros(len(values)), np.zeros(len(values))
        for dz in offsets:
            distance = np.linalg.norm(place + np.array([0.0, 0.0, dz]) - at, axis=1)
            inner += blurred_sphere(distance, radius, _SIGMA_MM) / count
            outer += blurred_sphere(distance, radius + _WALL_MM, _SIGMA_MM) / count
        return np.stack([np.ones(len(values)), inner, outer - inner], axis=1)

    def residual(at: NDArray[np.float64]) -> NDArray[np.float64]:
        design = columns(at)
        found = np.linalg.lstsq(design, values, rcond=None)[0]
        return np.asarray(design @ found - values)

    fit = optimize.least_squares(residual, np.zeros(3), bounds=(-4.0, 4.0), diff_step=np.full(3, 1e-3), max_nfev=25)
    design = columns(fit.x)
    scatter = np.linalg.pinv(design.T @ design)
    wall = float((scatter @ design.T @ values)[2])
    sd = float(np.sqrt(scatter[2, 2] * np.square(fit.fun).sum() / max(values.size - 6, 1)))
    return np.asarray(fit.x) if wall > _MIN_WALL_SD * sd else None


# --- what is read there ---------------------------------------------------------------------------


def _smoothed(volume: PetVolume) -> NDArray[np.float32]:
    """Return the mean over a small disc of each slice."""
    _, dy, dx = volume.spacing_zyx_mm
    reach_y, reach_x = int(_SMOOTH_RADIUS_MM / dy), int(_SMOOTH_RADIUS_MM / dx)
    y, x = np.mgrid[-reach_y : reach_y + 1, -reach_x : reach_x + 1]
    disc = ((y * dy) ** 2 + (x * dx) ** 2 <= _SMOOTH_RADIUS_MM**2 + 1e-9).astype(np.float32)
    smooth: NDArray[np.float32] = ndimage.convolve(volume.image, (disc / disc.sum())[None], mode="nearest")
    return smooth


def _water(
    volume: PetVolume, middles: Sequence[NDArray[np.float64]], axis: NDArray[np.float64]
) -> tuple[float, float, float]:
    """Return the mean over the background regions, its standard error from their scatter, and the voxels' SD."""
    means, variances = [], []
    for middle in middles:
        planes = [rois.circle(volume, middle + height * axis, _REGION_RADIUS_MM) for height in PLANES_MM]
        moments = [roi.moments(volume.image) for roi in planes if roi.is_complete]
        if moments:
            means.append(float(np.mean([mean for mean, _ in moments])))
            variances += [variance for _, variance in moments]
    if len(means) < _LEAST_SPHERES:
        raise AnalysisRefused("CT-NOT-FOUND", "the CT cuts the water about the spheres.")
    sd = float(np.std(means, ddof=1) / np.sqrt(len(means)))
    return float(np.mean(means)), sd, float(np.sqrt(np.mean(variances)))


def _sphere(
    volume: PetVolume, smooth: NDArray[np.float32], center: NDArray[np.float64], radius: float
) -> tuple[float, float, float | None, float | None]:
    """Return the lowest HU, per cent of the volume that is air, and mean HU of the fluid with its standard error."""
    roi = rois.sphere(volume, center, radius)
    if not roi.is_complete:
        raise AnalysisRefused("CT-NOT-FOUND", "the CT cuts a sphere.")
    inside = roi.weights > 0.5
    low = smooth[roi.slices]
    is_air = (low < AIR_HU) & inside
    air_pct = 100.0 * float(roi.weights[is_air].sum() / roi.weights.sum())
    start = [one.start for one in roi.slices]
    place = volume.to_lps_mm(np.moveaxis(np.indices(low.shape).astype(np.float64), 0, -1) + start) - center
    half = np.array(volume.spacing_zyx_mm[::-1]) / 2.0
    core = np.linalg.norm(np.abs(place) + half, axis=-1) <= radius - 1.5
    core &= ~ndimage.binary_dilation(is_air, iterations=2)
    fluid = volume.image[roi.slices][core]
    if fluid.size < 10:
        return float(low[inside].min()), air_pct, None, None
    # Voxels of a CT share their noise with the next in the slice; taken as four that move together.
    sd = float(fluid.std(ddof=1) * 2.0 / np.sqrt(fluid.size))
    return float(low[inside].min()), air_pct, float(fluid.mean(dtype=np.float64)), sd
