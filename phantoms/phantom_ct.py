"""The NEMA phantom's CT: air in a sphere or above the water, the number of the water, and how CT and PET lie apart.

The walls of the spheres say where the phantom lies on the CT (`phantoms.sphere_walls`), and so where air and water are
read; `phantoms.fill_line` looks at the body above them. What is too much is said by the editions that judge.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage

from phantoms import fill_line, findings, rois, sphere_walls, standards
from phantoms.errors import AnalysisRefused
from phantoms.results import Finding, Measurement, QualityFlag
from phantoms.spheres import DIAMETERS_MM
from phantoms.volume import PetVolume, along_patient_axes
from phantoms.voxel_noise import VoxelNoise

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from phantoms.fill_line import Estimate, FillLine
    from phantoms.sphere_walls import Match

REACH_MM = 145.0  # slices within this of the spheres' plane are read: the body's far end lies 122 mm from it

_NEAR_MM = 70.0  # the spheres' own part of the CT, and that of the water about them
_PLANES_MM = (-10.0, 0.0, 10.0)
_AIR_HU = -1000.0
_NO_FLUID_HU = -150.0  # how much of a sphere is air is summed about voxels below this
_AIR_IN_IT_HU = -400.0  # far below the noise of water; air of two voxels goes lower
_FILLED_MM = (37, 28, 22)  # large enough that their fill is known to a few HU
_LEAST_REGIONS = 3
_REGION_RADIUS_MM = 12.0
_SMOOTH_RADIUS_MM = 1.5  # the lowest value is a mean over so much of a slice, so that noise is not air
_BLUR_MM = 3.0  # air blurs over no more
_LEAST_FLUID = 30  # voxels
# How well the wall over a bubble is known, as a thickness of air: 0.5 to 1.5 mm of 120 HU, not 1, are a tenth of that.
_SHELL_SD_MM = 0.12 / math.sqrt(12.0)


@dataclass(frozen=True)
class CtResult:
    """What the CT says; nothing is judged yet, see `phantoms.standards`.

    Attributes
    ----------
    measurements, findings
        As the offline contract names them.
    offset_lps_mm : ndarray, shape (3,), or None
        From the middle of the ring in the PET to the same on the CT; None where the spheres were not found.
    spheres : mapping of int to ndarray, shape (3,)
        Centre of each sphere on the CT; empty where they were not found.
    fill : FillLine or None
        The air in the body; None where it was not looked for.
    """

    measurements: tuple[Measurement, ...]
    findings: tuple[Finding, ...]
    offset_lps_mm: NDArray[np.float64] | None
    spheres: Mapping[int, NDArray[np.float64]]
    fill: FillLine | None = None


@dataclass(frozen=True)
class Bands:
    """The band of each number of the CT beyond which a finding is raised: the narrowest of the editions that judge."""

    by_name: Mapping[str, tuple[float | None, float | None]]

    @classmethod
    def of(cls, deciding: Iterable[str] = ()) -> Bands:
        """Take the bands of these editions, and of all others what none of these limits."""
        asked = [standards.load(one) for one in deciding]
        others = [standards.load(one) for one in standards.available()]
        bands: dict[str, tuple[float | None, float | None]] = {}
        for name in {name for one in others for name in one.limits if "ct_" in name}:
            limits = [one.limits[name] for one in asked if name in one.limits]
            limits = limits or [one.limits[name] for one in others if name in one.limits]
            lows = [one.low for one in limits if one.low is not None]
            highs = [one.high for one in limits if one.high is not None]
            bands[name] = (max(lows, default=None), min(highs, default=None))
        return cls(bands)

    def low(self, name: str) -> float:
        """Return the lower end; minus infinity where there is none."""
        low = self.by_name.get(name, (None, None))[0]
        return -np.inf if low is None else low

    def high(self, name: str) -> float:
        """Return the upper end; infinity where there is none."""
        high = self.by_name.get(name, (None, None))[1]
        return np.inf if high is None else high

    def words(self, name: str) -> str:
        """Return the band in words, in HU."""
        low, high = self.low(name), self.high(name)
        if np.isfinite(low) and np.isfinite(high):
            return f"{_number(low)} to {_hu(high)}"
        return f"from {_hu(low)}" if np.isfinite(low) else f"up to {_hu(high)}"


@dataclass(frozen=True, kw_only=True)
class _Sphere:
    """What is read in one sphere; HU but for the air, per cent of its volume. None where too few voxels are whole."""

    lowest: float
    air_pct: float
    air_sd_pct: float
    fill: float | None
    fill_sd: float | None


def measure(
    volume: PetVolume,
    spheres: Mapping[int, NDArray[np.float64]],
    background_lps_mm: Sequence[NDArray[np.float64]],
    axis: NDArray[np.float64],
    *,
    filled_mm: tuple[float, float],
    up: NDArray[np.float64] | None,
    bands: Bands,
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
    filled_mm : tuple of float
        Where the filled body begins and ends along ``axis``, from the plane of the spheres, in the PET.
    up : ndarray, shape (3,), or None
        Against gravity; without it the layer of air is not looked for.
    bands : Bands
        Beyond them findings are raised; no number hangs on them.
    is_in_frame : bool
        Whether PET and CT share a frame of reference; without it no offset is given.

    Raises
    ------
    AnalysisRefused
        ``CT-NOT-FOUND`` where the walls of the spheres are not seen, or not where the PET has them.
    """
    volume = along_patient_axes(volume)
    middle = np.mean([spheres[d] for d in DIAMETERS_MM], axis=0)
    near = _slices_near(volume, middle)
    match = sphere_walls.find(near, spheres)
    places = [match.place(at, middle) for at in background_lps_mm]
    water, water_sd, noise, noise_sd = _water(near, places, axis)
    together = _voxels_together(near, places)
    rows = [
        Measurement(name="ct_water_hu", value=water, unit="HU", uncertainty=water_sd),
        Measurement(name="ct_noise_hu", value=noise, unit="HU", uncertainty=noise_sd),
    ]
    smooth, disc = _smoothed(near)
    read = {d: _sphere(near, smooth, match.spheres[d], d / 2.0, noise, together) for d in DIAMETERS_MM}
    for diameter, one in read.items():
        prefix = f"sphere_{diameter}mm_ct"
        small = QualityFlag.SMALL_REGION if one.fill is None else QualityFlag.NONE
        lowest_sd = noise / float(np.sqrt(disc))
        rows += [
            Measurement(name=f"{prefix}_min_hu", value=one.lowest, unit="HU", uncertainty=lowest_sd),
            Measurement(name=f"{prefix}_air_pct", value=one.air_pct, unit="%", uncertainty=one.air_sd_pct),
            Measurement(name=f"{prefix}_hu", value=one.fill, unit="HU", uncertainty=one.fill_sd, flags=small),
        ]
    fill = None
    if up is not None:
        shared_hu = noise * float(np.sqrt(together))
        fill = fill_line.measure(volume, match.spheres, axis, filled_mm, up, water_hu=water, noise_hu=shared_hu)
    rows += _fill_rows(fill, is_looked_for=up is not None)
    rows += _offset_rows(match, is_in_frame=is_in_frame)
    numbers = {one.name: one for one in rows}
    said = tuple(_findings(numbers, read, fill, bands, match if is_in_frame else None))
    return CtResult(tuple(rows), said, match.offset_lps_mm, match.spheres, fill)


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
    return CtResult((), (said,), None, {})


def _fill_rows(fill: FillLine | None, *, is_looked_for: bool) -> Iterator[Measurement]:
    """Return the numbers of the air in the body."""
    missing = QualityFlag.OUTSIDE_IMAGE if is_looked_for else QualityFlag.NO_POSITION
    numbers: dict[str, tuple[str, Estimate | None]] = {
        "ct_fill_air_ml": ("mL", None if fill is None else fill.air_ml),
        "ct_fill_air_pct": ("%", None if fill is None else fill.air_pct),
        "ct_fill_height_mm": ("mm", None if fill is None else fill.height_mm),
        "ct_fill_tilt_deg": ("deg", None if fill is None else fill.tilt_deg),
        "ct_bubble_ml": ("mL", None if fill is None else fill.bubble_ml),
    }
    if fill is not None:
        missing = QualityFlag.NO_FIT
    for name, (unit, one) in numbers.items():
        flags = missing if one is None else QualityFlag.NONE
        if fill is not None and not fill.is_whole:
            flags |= QualityFlag.OUTSIDE_IMAGE
        yield Measurement(
            name=name,
            value=None if one is None else one.value,
            unit=unit,
            uncertainty=None if one is None else one.sd,
            flags=flags,
        )


def _offset_rows(match: Match, *, is_in_frame: bool) -> Iterator[Measurement]:
    """Return how far, and how turned, the CT lies to the PET."""
    other = QualityFlag.NONE if is_in_frame else QualityFlag.OTHER_FRAME
    shift, sd_mm = match.offset_lps_mm, match.offset_sd_mm
    for name, value, sd in (
        *((f"ct_offset_{axis_name}_mm", float(shift[k]), float(sd_mm[k])) for k, axis_name in enumerate("xyz")),
        ("ct_offset_mm", float(np.linalg.norm(shift)), _sd_along(shift, sd_mm)),
    ):
        given = (value, sd) if is_in_frame else (None, None)
        yield Measurement(name=name, value=given[0], unit="mm", uncertainty=given[1], flags=other)
    for k, axis_name in enumerate("xyz"):
        value_deg = sd_deg = None
        flags = other
        if match.turn_deg is None or match.turn_sd_deg is None:
            flags |= QualityFlag.NO_FIT
        elif is_in_frame:
            value_deg, sd_deg = float(match.turn_deg[k]), float(match.turn_sd_deg[k])
        yield Measurement(name=f"ct_turn_{axis_name}_deg", value=value_deg, unit="deg", uncertainty=sd_deg, flags=flags)


def _sd_along(shift: NDArray[np.float64], sd_mm: NDArray[np.float64]) -> float:
    length = float(np.linalg.norm(shift))
    return float(np.sqrt(np.square(sd_mm) @ np.square(shift / length))) if length > 0 else float(sd_mm.max())


def _findings(
    numbers: Mapping[str, Measurement],
    read: Mapping[int, _Sphere],
    fill: FillLine | None,
    bands: Bands,
    match: Match | None,
) -> Iterator[Finding]:
    for diameter, one in read.items():
        name = f"sphere_{diameter}mm_ct_min_hu"
        if one.lowest < bands.low(name):
            share = f"; {one.air_pct:.0f} % of it is air" if one.air_pct >= 0.5 else ""
            yield findings.warning(
                "PHA-CT-BUBBLE",
                f"The {diameter} mm sphere holds air on the CT: it reads down to {_hu(one.lowest)}{share}.",
                f"{_hu(one.lowest)}, {one.air_pct:.1f} % of the sphere",
                bands.words(name),
                f"Fill the {diameter} mm sphere again without air and repeat the scan.",
                figure="ct_spheres",
                diameter_mm=diameter,
            )
    yield from _water_finding(numbers, bands)
    if fill is not None:
        yield from _fill_finding(fill, bands)
    if match is None:
        yield findings.warning(
            "PHA-CT-FRAME",
            "PET and CT name different frames of reference (0020,0052), so how far they lie apart is not given.",
            "two frames of reference",
            "one for both",
            "Send PET and CT of one session, with their UIDs left alike.",
        )
        return
    shift = match.offset_lps_mm
    length, limit = float(np.linalg.norm(shift)), bands.high("ct_offset_mm")
    if length - 2 * _sd_along(shift, match.offset_sd_mm) > limit:
        x, y, z = shift
        yield findings.warning(
            "PHA-CT-OFFSET",
            f"The spheres lie {length:.1f} mm apart on PET and CT, so the attenuation correction is displaced.",
            f"x {findings.signed(x, 1)}, y {findings.signed(y, 1)}, z {findings.signed(z, 1)} mm",
            f"up to {limit:g} mm",
            "Check that nothing moved between CT and PET, then the scanner's PET–CT alignment.",
            figure="ct_spheres",
        )


def _water_finding(numbers: Mapping[str, Measurement], bands: Bands) -> Iterator[Finding]:
    read = {"background": "ct_water_hu", **{f"{d} mm sphere": f"sphere_{d}mm_ct_hu" for d in _FILLED_MM}}
    off = []
    for what, name in read.items():
        value = numbers[name].value
        if value is not None and not bands.low(name) <= value <= bands.high(name):
            off.append((what, value, name))
    if off:
        what, value, name = max(off, key=lambda one: abs(one[1]))
        more = f", and {len(off) - 1} more" if len(off) > 1 else ""
        yield findings.warning(
            "PHA-CT-WATER",
            f"The water of the phantom reads {_hu(value)} on the CT ({what}{more}): it is not plain water, or the CT "
            "is not calibrated.",
            "; ".join(f"{what} {_hu(value)}" for what, value, _ in off),
            bands.words(name),
            "Check the CT's daily water value; if it is right, empty the phantom and fill it with plain water.",
        )


def _fill_finding(fill: FillLine, bands: Bands) -> Iterator[Finding]:
    """Say that the body is not full, or that a bubble lies in it: one finding, for one deed mends both."""
    said, observed, expected = [], [], []
    pct_limit, ml_limit = bands.high("ct_fill_air_pct"), bands.high("ct_bubble_ml")
    part = "" if fill.is_whole else " in the part that the CT shows"
    if fill.air_pct is None or fill.air_ml is None or fill.height_mm is None:
        said.append("the air above the water reaches down to the spheres")
        observed.append("air down to the spheres")
    elif fill.air_pct.value - 2 * fill.air_pct.sd > pct_limit:
        said.append(
            f"{fill.air_ml.value:.0f} mL of air lie above the water{part}, {fill.air_pct.value:.1f} % of what it "
            f"holds, in a layer of up to {fill.height_mm.value:.0f} mm"
        )
        observed.append(f"{fill.air_pct.value:.2f} %, {fill.air_ml.value:.0f} mL")
    shows = "layer" if said else "bubble"
    if said:
        expected.append(f"up to {pct_limit:g} % of the body")
    if fill.bubble_ml.value - 2 * fill.bubble_ml.sd > ml_limit:
        said.append(f"a bubble of {fill.bubble_ml.value:.1f} mL lies in the water")
        observed.append(f"a bubble of {fill.bubble_ml.value:.2f} mL")
        expected.append(f"no bubble over {ml_limit:g} mL")
    if said:
        yield findings.warning(
            "PHA-CT-FILL",
            f"On the CT the body of the phantom is not free of air: {', and '.join(said)}.",
            "; ".join(observed),
            "; ".join(expected),
            "Top up the body: turn its fill port up, tilt it until the air is under the port, fill and close it, and "
            "repeat the scan. If it was scanned so on purpose, enter on the activity sheet the volume that was filled.",
            figure="ct_fill",
            shows=shows,
        )


def _hu(value: float) -> str:
    return f"{_number(value)} HU"


def _number(value: float) -> str:
    return f"{value:.0f}".replace("-", "−")


# --- what is read ---------------------------------------------------------------------------------


def _slices_near(volume: PetVolume, middle: NDArray[np.float64]) -> PetVolume:
    """Return the slices about the spheres."""
    z = float(volume.to_index_zyx(middle)[0])
    reach = _NEAR_MM / volume.spacing_zyx_mm[0]
    low, high = max(int(np.ceil(z - reach)), 0), max(int(z + reach) + 1, 1)
    affine = volume.affine_lps_mm.copy()
    affine[:3, 3] += low * affine[:3, 2]
    return PetVolume(volume.image[low:high], affine, volume.unit)


def _smoothed(volume: PetVolume) -> tuple[NDArray[np.float32], int]:
    """Return the mean over a small disc of each slice, and how many voxels the disc has."""
    _, dy, dx = volume.spacing_zyx_mm
    reach_y, reach_x = int(_SMOOTH_RADIUS_MM / dy), int(_SMOOTH_RADIUS_MM / dx)
    y, x = np.mgrid[-reach_y : reach_y + 1, -reach_x : reach_x + 1]
    disc = ((y * dy) ** 2 + (x * dx) ** 2 <= _SMOOTH_RADIUS_MM**2 + 1e-9).astype(np.float32)
    smooth: NDArray[np.float32] = ndimage.convolve(volume.image, (disc / disc.sum())[None], mode="nearest")
    return smooth, int(disc.sum())


def _water(
    volume: PetVolume, middles: Sequence[NDArray[np.float64]], axis: NDArray[np.float64]
) -> tuple[float, float, float, float]:
    """Return the mean over the background regions and the voxels' SD, each with its standard error from scatter."""
    means, variances = [], []
    for middle in middles:
        planes = [rois.circle(volume, middle + height * axis, _REGION_RADIUS_MM) for height in _PLANES_MM]
        whole = [roi for roi in planes if roi.is_complete]
        # Where the body is not full, a region may lie in the air above its water.
        moments = [roi.moments(volume.image) for roi in whole if volume.image[roi.slices].min() > _AIR_IN_IT_HU]
        if moments:
            means.append(float(np.mean([mean for mean, _ in moments])))
            variances.append(float(np.mean([variance for _, variance in moments])))
    if len(means) < _LEAST_REGIONS:
        raise AnalysisRefused("CT-NOT-FOUND", "the CT cuts the water about the spheres, or air lies there.")
    root = float(np.sqrt(len(means)))
    noises = np.sqrt(variances)
    noise = float(np.sqrt(np.mean(variances)))
    return float(np.mean(means)), float(np.std(means, ddof=1)) / root, noise, float(np.std(noises, ddof=1)) / root


def _voxels_together(volume: PetVolume, middles: Sequence[NDArray[np.float64]]) -> float:
    """Return how many voxels of water vary as one: a reconstruction kernel spreads noise to the neighbours."""
    half = np.array([_PLANES_MM[-1], *(2 * [_REGION_RADIUS_MM / np.sqrt(2)])]) / volume.spacing_zyx_mm
    found = []
    for middle in middles:
        at = volume.to_index_zyx(middle)
        low, high = np.ceil(at - half).astype(int), np.floor(at + half).astype(int) + 1
        if np.all(low >= 0) and np.all(high <= volume.image.shape):
            box = volume.image[low[0] : high[0], low[1] : high[1], low[2] : high[2]]
            if box.min() > _AIR_IN_IT_HU:
                lengths_mm = VoxelNoise.of(box, volume.spacing_zyx_mm).length_mm
                found.append(float(np.prod(lengths_mm) / np.prod(volume.spacing_zyx_mm)))
    return float(np.mean(found)) if found else 1.0


def _sphere(
    volume: PetVolume,
    smooth: NDArray[np.float32],
    center: NDArray[np.float64],
    radius: float,
    noise_hu: float,
    together: float,
) -> _Sphere:
    roi = rois.sphere(volume, center, radius)
    if not roi.is_complete:
        raise AnalysisRefused("CT-NOT-FOUND", "the CT cuts a sphere.")
    inside = roi.weights > 0.5
    low = smooth[roi.slices]
    is_air = (low < _NO_FLUID_HU) & inside
    start = [one.start for one in roi.slices]
    place = volume.to_lps_mm(np.moveaxis(np.indices(low.shape).astype(np.float64), 0, -1) + start) - center
    half = np.array(volume.spacing_zyx_mm[::-1]) / 2.0
    core = np.linalg.norm(np.abs(place) + half, axis=-1) <= radius - 1.5
    core &= ~ndimage.binary_dilation(is_air, iterations=2)
    fluid = volume.image[roi.slices][core]
    fill = fill_sd = None
    if fluid.size >= 10:
        fill = float(fluid.mean(dtype=np.float64))
        fill_sd = float(fluid.std(ddof=1) * np.sqrt(together / fluid.size))
    air_mm3, air_sd_mm3 = _air(volume, smooth, center, radius, noise_hu * float(np.sqrt(together)))
    share = 100.0 / (4.0 / 3.0 * np.pi * radius**3)
    return _Sphere(
        lowest=float(low[inside].min()),
        air_pct=air_mm3 * share,
        air_sd_pct=air_sd_mm3 * share,
        fill=fill,
        fill_sd=fill_sd,
    )


def _air(
    volume: PetVolume,
    smooth: NDArray[np.float32],
    center: NDArray[np.float64],
    radius: float,
    noise_hu: float,
) -> tuple[float, float]:
    """Return how much of a sphere is air, mm³, with its standard error: what the voxels about it lack.

    They are held against the sphere without air, fitted to the rest of its voxels, so that neither blur nor wall
    counts as air or hides it.
    """
    reach = radius + _BLUR_MM + 2.0
    box = []
    for at, step, size in zip(volume.to_index_zyx(center), volume.spacing_zyx_mm, volume.image.shape, strict=True):
        box.append(slice(max(int(at - reach / step), 0), min(int(at + reach / step) + 2, size)))
    part = tuple(box)
    index = np.moveaxis(np.indices(smooth[part].shape).astype(np.float64), 0, -1) + [one.start for one in part]
    place = volume.to_lps_mm(index) - center
    distance = np.linalg.norm(place, axis=-1)
    is_air = (smooth[part] < _NO_FLUID_HU) & (distance < radius + 0.5)
    voxel_mm3 = float(np.prod(volume.spacing_zyx_mm))
    # A voxel's worth of disc and slice may hold so much and not fall below the level.
    least_mm3 = 0.15 * np.pi * _SMOOTH_RADIUS_MM**2 * volume.spacing_zyx_mm[0] / 2.0
    if not is_air.any():
        return 0.0, float(least_mm3)
    # The next slice is reached however thick it is: air that ends in it does not make it dark.
    dz, dy, dx = volume.spacing_zyx_mm
    away = ndimage.distance_transform_edt(~is_air, sampling=(min(dz, _BLUR_MM), dy, dx))
    touched = away <= _BLUR_MM + 1.0
    rest = ~touched & (distance < radius + _BLUR_MM)
    columns = sphere_walls.shell_columns(place.reshape(-1, 3), radius, volume.spacing_zyx_mm[0])
    values = volume.image[part].reshape(-1).astype(np.float64)
    # Where too little of the fluid is left to tell its number, it is that of the water about the sphere.
    told = [0, 1, 2] if int((rest & (distance < radius - 1.0)).sum()) >= _LEAST_FLUID else [0, 2]
    seen = columns[rest.ravel()][:, told]
    known = np.zeros(3)
    known[told] = np.linalg.lstsq(seen, values[rest.ravel()], rcond=None)[0]
    full_hu, model = float(known[0] + known[1]), columns @ known
    lack = ((model - values)[touched.ravel()]).sum() / (full_hu - _AIR_HU)
    face_mm2 = float(is_air.sum()) * voxel_mm3 / radius  # of the wall over a cap, about
    # The noise of the voxels that are summed, and of those that tell what they would be without air.
    summed = columns[touched.ravel()][:, told].sum(axis=0)
    voxels = float(touched.sum() + summed @ np.linalg.pinv(seen.T @ seen) @ summed)
    sd = np.hypot(noise_hu / (full_hu - _AIR_HU) * np.sqrt(voxels) * voxel_mm3, _SHELL_SD_MM * face_mm2)
    return float(max(lack * voxel_mm3, 0.0)), float(sd)
