"""ACR PET phantom, ``acr@3``: SUV of background and hot cylinders in slices of 1 cm, and pictures for the eye.

Steps: find the phantom and its faceplate (`phantoms.acr_pose`); reformat to slices of 1 cm square to the phantom's own
axis, one of them in the middle of the cylinders (`phantoms.reformat`); in that slice the maximum of each hot and the
minimum of each cold cylinder; mean, slice means and 10 mm tiles of the uniform section. SUV comes from the headers'
dose and weight, as a scanner shows it; where they give none, from the activity sheet. Rods and uniformity are for the
physicist's eye: their pictures are made, no code judges them. Source: ACR PET accreditation, phantom testing.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from phantoms import acr_noise, findings, magnitudes, rois, sphere_noise
from phantoms.acr_pose import COLD_DIAMETER_MM, COLD_ORDER, HOT_DIAMETERS_MM, SURE_MM, AcrPose, find_acr
from phantoms.cylinder_edge import EDGE_REACH_MM, EdgeFit, fit_edge
from phantoms.cylinder_pose import cylindrical, slice_heights_mm
from phantoms.errors import AnalysisRefused
from phantoms.reformat import ThickSlices, thick_slices
from phantoms.results import Finding, Measurement, Outcome, Owner, QualityFlag, other_than_bqml
from phantoms.standards import judge
from phantoms.volume import along_patient_axes
from phantoms.voxel_noise import VoxelNoise

if TYPE_CHECKING:
    from datetime import datetime

    from numpy.typing import NDArray

    from phantoms.sheet import Budget, Sheet
    from phantoms.standards import Standard
    from phantoms.volume import PetVolume


SLICE_MM = 10.0
EDGE_MARGIN_MM = 20.0  # of the background region from the wall
TILE_SIZE_MM = 10.0

# The lab's rules (no confirmed source); they warn and never fail a scan.
SUV_DIFFERS_PCT = 10.0  # between the headers and the sheet
AIR_OVER_WATER_SUV = 0.05  # what noise alone may put between the two minima


@dataclass(frozen=True)
class AcrResult:
    """All that was measured of one phantom, with what the figures draw.

    Attributes
    ----------
    measurements, findings : tuple
        The numbers, not yet judged, and what the images show.
    pose : AcrPose
    slices : ThickSlices
        The phantom in slices of 1 cm, in the image's unit; heights from the middle of the cylinders, falling towards
        the rods.
    slice_mean, slice_nu_pct : ndarray, shape (n,)
        Mean of the large region in each slice, and its tile farthest from the slice's mean; NaN where it is cut.
    is_uniform, is_rods : ndarray of bool, shape (n,)
        Which slices lie wholly in the uniform section, and which in the rods.
    roi_radius_mm : float
        Radius of the large region.
    background : float
        Mean of the uniform section, in the image's unit.
    suv_factor : float or None
        Turns the image's unit into SUV, g/mL.
    budget : Budget or None
        What the sheet's background concentration may be off by.
    """

    measurements: tuple[Measurement, ...]
    findings: tuple[Finding, ...]
    pose: AcrPose
    slices: ThickSlices
    slice_mean: NDArray[np.float64]
    slice_nu_pct: NDArray[np.float64]
    is_uniform: NDArray[np.bool_]
    is_rods: NDArray[np.bool_]
    roi_radius_mm: float
    background: float
    suv_factor: float | None
    budget: Budget | None = None


def measure(
    volume: PetVolume,
    *,
    reference_time: datetime | None,
    sheet: Sheet | None,
    suv_factor: float | None,
    pose: AcrPose | None = None,
) -> AcrResult:
    """Measure an ACR PET phantom.

    Parameters
    ----------
    volume : PetVolume
        The image.
    reference_time : datetime or None
        The image's decay reference time on the scanner's clock, without zone.
    sheet : Sheet or None
        What the site wrote down: ``background`` is the dose in the phantom, ``spheres`` the stock that fills the hot
        cylinders. Its background gives the SUV where the headers give none: a phantom's own activity over its own
        mass of water is SUV 1.
    suv_factor : float or None
        Factor from the volume's values to SUVbw (g/mL) by the headers. Not used where the sheet calls the headers'
        dose a placeholder.
    pose : AcrPose, optional
        Where the phantom lies, if that is known already.

    Raises
    ------
    AnalysisRefused
        ``PHA-NOT-FOUND`` where the image holds no such phantom, or a uniform section too short for two slices.
    """
    pose = pose or find_acr(volume)
    stack = _Stack(along_patient_axes(volume), pose)
    expected, expected_flags = (
        sheet.concentration_bqml("background", reference_time) if sheet else (None, QualityFlag.NO_SHEET)
    )
    budget = sheet.uncertainty_budget("background") if sheet and expected is not None else None
    if sheet is not None and sheet.header_dose == "placeholder":
        suv_factor = None
    by_sheet = 1 / expected if expected is not None and volume.unit == "Bq/mL" else None
    factor = suv_factor if suv_factor is not None else by_sheet
    measurements = (
        *_suv(stack, factor, budget),
        *_ratios(stack),
        *_uniformity(stack),
        *_concentrations(stack, volume.unit, expected, expected_flags, budget),
        _activity_ratio(sheet, reference_time),
        _diameter(stack),
        Measurement(
            name="acr_tilt_deg",
            value=pose.body.tilt_deg,
            unit="deg",
            uncertainty=magnitudes.tilt_sd_deg(pose.body.axis, pose.body.axis_covariance),
        ),
        Measurement(
            name="acr_ring_residual_mm", value=pose.residual_mm, unit="mm", uncertainty=stack.ring_residual_sd_mm()
        ),
    )
    found = _findings(stack, {one.name: one for one in measurements}, by_header=suv_factor, by_sheet=by_sheet)
    return AcrResult(
        measurements=measurements,
        findings=tuple(found),
        pose=pose,
        slices=stack.slices,
        slice_mean=stack.slice_mean,
        slice_nu_pct=stack.slice_nu_pct,
        is_uniform=stack.is_uniform,
        is_rods=stack.is_rods,
        roi_radius_mm=stack.radius_mm,
        background=stack.background,
        suv_factor=factor,
        budget=budget,
    )


def diagnose(result: AcrResult, standard: Standard) -> tuple[Finding, ...]:
    """Say why a phantom fails one standard.

    Parameters
    ----------
    result : AcrResult
    standard : Standard
        The edition that decides.

    Returns
    -------
    tuple of Finding
        ``PHA-CALIBRATION``, ``PHA-FILTER``, both or none.
    """
    failed = {one.name: one for one in judge(result.measurements, standard) if one.verdict is Outcome.FAIL}
    found = []
    background = failed.get("acr_background_suv_mean")
    if background is not None and background.value is not None:
        found.append(
            Finding(
                id="PHA-CALIBRATION",
                outcome=Outcome.FAIL,
                severity="query",
                message=f"The background reads SUV {background.value:.2f}; a phantom filled by its sheet reads 1.",
                observed=f"{background.value:.2f}",
                expected=f"{background.limit_low:g} to {background.limit_high:g}",
                next_step="Check dose, weight and times entered on the scanner, then the calibrator and the scanner's "
                "calibration; then scan the phantom again.",
                owner=Owner.SITE,
                source=background.source,
            )
        )
    ratio = failed.get("acr_ratio_16_25")
    if ratio is not None and ratio.value is not None:
        found.append(
            Finding(
                id="PHA-FILTER",
                outcome=Outcome.FAIL,
                severity="query",
                message=f"The 16 mm cylinder reads {100 * ratio.value:.0f} % of the 25 mm one: the images are smooth.",
                observed=f"{ratio.value:.2f}",
                expected=f"over {ratio.limit_low:g}",
                next_step="Use a sharper filter or more iterations. Check the 16 mm cylinder for air.",
                owner=Owner.SITE,
                source=ratio.source,
            )
        )
    return tuple(found)


class _Stack:
    """The phantom in slices of 1 cm, and its sums."""

    def __init__(self, volume: PetVolume, pose: AcrPose) -> None:
        self.volume, self.pose = volume, pose
        self.radius_mm = pose.body.radius_mm - EDGE_MARGIN_MM
        middle = sum(pose.inserts_mm) / 2
        center = pose.body.center_lps_mm + middle * pose.axis
        half = pose.body.length_mm / 2
        up, down = math.floor((half - middle) / SLICE_MM - 0.5), math.floor((half + middle) / SLICE_MM - 0.5)
        heights = SLICE_MM * np.arange(up, -down - 1, -1, dtype=np.float64)
        #: Index of the slice in the middle of the cylinders.
        self.faceplate = up
        self.slices = thick_slices(
            volume,
            center,
            pose.axis,
            heights,
            thickness_mm=SLICE_MM,
            reach_mm=pose.body.radius_mm + EDGE_MARGIN_MM,
        )
        self.is_uniform = self._within(heights + middle, pose.uniform_mm)
        self.is_rods = (
            self._within(heights + middle, pose.rods_mm) if pose.rods_mm else np.zeros(len(heights), dtype=np.bool_)
        )
        if self.is_uniform.sum() < 2:
            raise AnalysisRefused(
                "PHA-NOT-FOUND",
                f"The uniform section of the ACR phantom is too short: {np.diff(pose.uniform_mm)[0]:.0f} mm of it are "
                "seen, and two slices of 1 cm are needed.",
                next_step="Scan the whole phantom.",
            )
        regions = [
            rois.cylinder(volume, center + height * pose.axis, pose.axis, self.radius_mm, SLICE_MM)
            for height in heights
        ]
        self.slice_mean = np.array(
            [one.mean(volume.image) if one.is_complete else np.nan for one in regions], dtype=np.float64
        )
        self.tiles = _tiles(self.slices, self.radius_mm)
        mean = np.nanmean(self.tiles, axis=1, keepdims=True)
        self.slice_nu_pct = 100 * np.abs(self.tiles / mean - 1).max(axis=1)
        if np.isnan(self.slice_mean[self.is_uniform]).any():
            raise AnalysisRefused(
                "PHA-NOT-FOUND",
                "The edge of the image cuts the uniform section of the ACR phantom.",
                next_step="Scan again with the whole phantom in the field of view.",
            )
        self.background = float(self.slice_mean[self.is_uniform].mean())

    @staticmethod
    def _within(heights: NDArray[np.float64], section_mm: tuple[float, float]) -> NDArray[np.bool_]:
        low, high = section_mm
        return (heights - SLICE_MM / 2 >= low) & (heights + SLICE_MM / 2 <= high)

    @property
    def cut(self) -> QualityFlag:
        """The flag of all that hangs on where the wall lies."""
        return QualityFlag.OUTSIDE_IMAGE if self.pose.body.is_cut_across else QualityFlag.NONE

    def hottest(self, diameter_mm: int) -> float | None:
        """Return the maximum of a hot cylinder."""
        disc = self.discs.get(f"{diameter_mm}")
        return None if disc is None else float(self.slices.image[self.faceplate][disc.inside].max())

    def coldest(self, name: str) -> float | None:
        """Return the minimum of a cold cylinder."""
        disc = self.discs.get(name)
        return None if disc is None else float(self.slices.image[self.faceplate][disc.inside].min())

    @cached_property
    def discs(self) -> dict[str, acr_noise.Disc]:
        """The faceplate's cylinders that the image does not cut, by diameter or by what is cold in them."""
        places = {f"{diameter}": (place, float(diameter)) for diameter, place in self.pose.hot.items()}
        places |= {name: (place, float(COLD_DIAMETER_MM)) for name, place in self.pose.cold.items()}
        found = {}
        for name, (place, diameter_mm) in places.items():
            u, v = self.slices.to_section_mm(place)
            # A cylinder narrower than a pixel still holds the pixel that its axis lies in.
            radius = max(diameter_mm / 2, math.sqrt(self.slices.pixel_mm2 / 2) + 1e-6)
            inside = self.slices.distance_mm(u, v) <= radius
            if not np.isnan(self.slices.image[self.faceplate][inside]).any():
                found[name] = acr_noise.Disc(u, v, diameter_mm, radius, inside)
        return found

    @property
    def disc(self) -> NDArray[np.bool_]:
        """The pixels of a thick slice within the large region."""
        return self.slices.distance_mm() <= self.radius_mm

    @cached_property
    def slice_noise(self) -> sphere_noise.Noise | None:
        """The noise of the thick slices; None where the section is too thin to tell, or has none."""
        if self._noise is None or self._noise.variance <= 0:
            return None
        return acr_noise.slice_noise(self.slices, self.is_uniform, self.disc, self._noise)

    @cached_property
    def disc_scatter(self) -> dict[str, acr_noise.DiscScatter]:
        """What noise makes of each cylinder; without those of which it cannot be told."""
        if self._noise is None or self._noise.variance <= 0:
            return {}
        image = self.slices.image[self.faceplate]
        return acr_noise.disc_scatter(self._noise, self.slices, image, self.background, self.discs)

    def extreme_sd(self, name: str) -> float | None:
        """Return the SD of the extreme of one cylinder, in the image's unit; None where it cannot be told."""
        found = self.disc_scatter.get(name)
        return None if found is None else found.extreme

    def ring_residual_sd_mm(self) -> float | None:
        """Return the SD of the cylinders' distance from one circle; None where one's place cannot be told.

        Each errs along its own radius, and the circle takes the mean of them. Two directions are left, in which one
        image does not show how much of the misfit is noise: so it is that of a misfit which lies in either, a larger
        one than that of noise alone.
        """
        placed = [self.disc_scatter.get(f"{diameter}") for diameter in SURE_MM]
        radial = np.array([one.radial_mm for one in placed if one is not None])
        if len(radial) < len(SURE_MM):
            return None
        off = np.eye(len(radial)) - 1.0 / len(radial)
        left = off @ np.diag(radial**2) @ off
        return math.sqrt(float(np.square(left).sum() / np.trace(left)) / len(radial))

    def uniform_scatter(self) -> acr_noise.UniformScatter | None:
        """Return how the extremes of the uniform section and its noise scatter."""
        if self.slice_noise is None:
            return None
        return acr_noise.uniform_scatter(
            self.slice_noise,
            self.slices,
            self.is_uniform,
            self.disc,
            lambda image: _tiles(replace(self.slices, image=image), self.radius_mm),
        )

    def edge(self) -> EdgeFit | None:
        """Fit the wall of the uniform section; None where it is too thin."""
        pose = self.pose
        used = self._uniform_voxels(pose.body.radius_mm + EDGE_REACH_MM)
        if self._noise is None or used.size < 3:
            return None
        count = self.volume.image.shape[0]
        is_used, mean = np.zeros(count, dtype=np.bool_), np.full(count, np.nan)
        is_used[used] = True
        squared = cylindrical(self.volume, pose.body.center_lps_mm, pose.axis)[1][used] < self.radius_mm**2
        mean[used] = np.where(squared, self.volume.image[used], 0.0).sum(axis=(1, 2)) / squared.sum(axis=(1, 2))
        return fit_edge(self.volume, pose.body, is_used, mean, self._noise.correlation)

    def background_sd(self) -> float | None:
        """Return what noise makes of the background's mean; None where the section is too thin to tell."""
        noise, depth_mm = self._noise, SLICE_MM * float(self.is_uniform.sum())
        if noise is None:
            return None
        section_mm2 = math.pi * self.radius_mm**2
        return math.sqrt(noise.variance * math.prod(noise.length_mm) / (section_mm2 * depth_mm))

    def relative_sd_pct(self, budget: Budget | None) -> float | None:
        """Return the SD of the background over what was filled: the fill's budget and the image's noise."""
        noise_sd = self.background_sd()
        if budget is None or noise_sd is None:
            return None
        return math.hypot(budget.total_pct, 100 * noise_sd / self.background)

    def _uniform_voxels(self, radius_mm: float) -> NDArray[np.intp]:
        """Return the original slices that lie in the uniform section as far out as a radius."""
        pose = self.pose
        low, high = pose.uniform_mm
        heights = slice_heights_mm(self.volume, pose.body.center_lps_mm, pose.axis)
        rim_mm = radius_mm * math.tan(math.radians(pose.body.tilt_deg))
        return np.flatnonzero((heights > low + rim_mm) & (heights < high - rim_mm))

    @cached_property
    def _noise(self) -> VoxelNoise | None:
        """The noise of the original voxels in the largest box inside the uniform section."""
        pose, volume = self.pose, self.volume
        low, high = pose.uniform_mm
        used = self._uniform_voxels(self.radius_mm)
        if used.size < 3:
            return None
        middle = volume.to_index_zyx(pose.body.center_lps_mm + (low + high) / 2 * pose.axis)
        half = self.radius_mm / math.sqrt(2) / np.array(volume.spacing_zyx_mm)
        rows, columns = (
            slice(max(0, math.ceil(middle[axis] - half[axis])), math.floor(middle[axis] + half[axis]) + 1)
            for axis in (1, 2)
        )
        return VoxelNoise.of(volume.image[used[0] : used[-1] + 1, rows, columns], volume.spacing_zyx_mm)


def _tiles(slices: ThickSlices, radius_mm: float) -> NDArray[np.float64]:
    """Return the means of the 10 mm squares that lie whole within a radius of the axis, ``[slice, tile]``."""
    half = math.floor(radius_mm / TILE_SIZE_MM)
    edges_mm = np.arange(-half, half + 1) * TILE_SIZE_MM
    far = np.maximum(np.abs(edges_mm[1:]), np.abs(edges_mm[:-1]))
    inside = np.hypot(far[:, None], far[None, :]) <= radius_mm
    shares = [
        rois.interval_shares((edges_mm - places[0]) / (places[1] - places[0]), len(places))
        for places in (slices.v_mm, slices.u_mm)
    ]
    # A pixel outside the image makes its tiles NaN, and they alone: 0 · NaN is NaN too.
    image = np.nan_to_num(slices.image)
    means = shares[0] @ image @ shares[1].T
    missing = shares[0] @ np.isnan(slices.image).astype(np.float64) @ shares[1].T
    return np.where(missing > 1e-9, np.nan, means)[:, inside]


def _suv(stack: _Stack, factor: float | None, budget: Budget | None) -> Iterator[Measurement]:
    """Yield what is read as SUV."""
    no_suv = QualityFlag.NONE if factor is not None else QualityFlag.NO_SUV
    mean = None if factor is None else stack.background * factor
    # Dose and weight carry the same errors whoever writes them down, so the fill's budget stands for both.
    relative_pct = stack.relative_sd_pct(budget)
    suv = _ToSuv(factor, None if budget is None else budget.total_pct, no_suv)
    yield Measurement(
        name="acr_background_suv_mean",
        value=mean,
        unit="g/mL",
        uncertainty=None if mean is None or relative_pct is None else mean * relative_pct / 100,
        flags=stack.cut | no_suv,
    )
    for diameter in HOT_DIAMETERS_MM:
        value = stack.hottest(diameter)
        yield _extreme(f"acr_cylinder_{diameter}mm_suv_max", value, stack.extreme_sd(f"{diameter}"), suv)
    for name in COLD_ORDER:
        cold = replace(suv, flags=no_suv | QualityFlag.PLACE_ASSUMED)
        yield _extreme(f"acr_{name}_suv_min", stack.coldest(name), stack.extreme_sd(name), cold)


@dataclass(frozen=True)
class _ToSuv:
    """What turns the image's unit into SUV, by how much per cent the fill lets it be off, and what it carries."""

    factor: float | None
    fill_pct: float | None
    flags: QualityFlag


def _extreme(name: str, value: float | None, counting: float | None, suv: _ToSuv) -> Measurement:
    flags = suv.flags | (QualityFlag.NOT_LOCALISED if value is None else QualityFlag.NONE)
    if value is None or suv.factor is None:
        return Measurement(name=name, value=None, unit="g/mL", flags=flags)
    sd = None
    if counting is not None and suv.fill_pct is not None:
        sd = suv.factor * math.hypot(counting, value * suv.fill_pct / 100)
    return Measurement(name=name, value=value * suv.factor, unit="g/mL", uncertainty=sd, flags=flags)


def _ratios(stack: _Stack) -> Iterator[Measurement]:
    """Yield maxima over that of the 25 mm cylinder: no SUV is needed for them, and no fill moves them."""
    largest, largest_sd = stack.hottest(25), stack.extreme_sd("25")
    for diameter in HOT_DIAMETERS_MM[1:]:
        name, value = f"acr_ratio_{diameter}_25", stack.hottest(diameter)
        value_sd = stack.extreme_sd(f"{diameter}")
        if value is None or largest is None:
            yield Measurement(name=name, value=None, unit="1", flags=QualityFlag.NOT_LOCALISED)
            continue
        sd = None
        if value_sd is not None and largest_sd is not None:
            sd = value / largest * math.hypot(value_sd / value, largest_sd / largest)
        yield Measurement(name=name, value=value / largest, unit="1", uncertainty=sd)


def _uniformity(stack: _Stack) -> Iterator[Measurement]:
    used = stack.is_uniform
    deviation = np.abs(stack.slice_mean[used] / stack.background - 1)
    values = stack.slices.image[used][:, stack.disc]
    scatter = stack.uniform_scatter()
    rows = (
        (
            "acr_slice_deviation_max_pct",
            100 * float(deviation.max()),
            None if scatter is None else scatter.slice_deviation_max_pct,
        ),
        ("acr_nu_pct", float(stack.slice_nu_pct[used].max()), None if scatter is None else scatter.nu_pct),
        (
            "acr_cov_pct",
            100 * float(values.std(axis=1, ddof=1).mean()) / stack.background,
            None if scatter is None else scatter.cov_pct,
        ),
    )
    for name, value, uncertainty in rows:
        yield Measurement(name=name, value=value, unit="%", uncertainty=uncertainty, flags=stack.cut)


def _diameter(stack: _Stack) -> Measurement:
    """Give the inner diameter where the wall's blurred edge has it; where that does not fit, the outline's."""
    edge = stack.edge()
    is_fitted = edge is not None and edge.fwhm_mm is not None
    return Measurement(
        name="acr_diameter_mm",
        value=2 * (edge.radius_mm if edge is not None and is_fitted else stack.pose.body.radius_mm),
        unit="mm",
        uncertainty=2 * edge.radius_sd_mm if edge is not None and is_fitted else None,
        flags=stack.cut,
    )


def _concentrations(
    stack: _Stack, unit: str, expected: float | None, expected_flags: QualityFlag, budget: Budget | None
) -> Iterator[Measurement]:
    units = other_than_bqml(unit)
    is_other = QualityFlag.OTHER_UNITS in units
    noise_sd = stack.background_sd()
    yield Measurement(
        name="acr_background_bqml",
        value=None if is_other else stack.background,
        unit="Bq/mL" if is_other else unit,
        uncertainty=None if is_other else noise_sd,
        flags=stack.cut | units,
    )
    yield Measurement(
        name="acr_background_expected_bqml",
        value=expected,
        unit="Bq/mL",
        uncertainty=expected * budget.total_pct / 100 if expected is not None and budget else None,
        flags=expected_flags,
    )
    ratio = stack.background / expected if expected is not None and unit == "Bq/mL" else None
    relative_pct = stack.relative_sd_pct(budget)
    yield Measurement(
        name="acr_background_bias_pct",
        value=None if ratio is None else 100 * (ratio - 1),
        unit="%",
        uncertainty=None if ratio is None or relative_pct is None else ratio * relative_pct,
        flags=stack.cut | units | expected_flags,
    )


def _activity_ratio(sheet: Sheet | None, at: datetime | None) -> Measurement:
    if sheet is None:
        return Measurement(name="acr_activity_ratio", value=None, unit="1", flags=QualityFlag.NO_SHEET)
    value, flags = sheet.activity_ratio(at)
    sd = None if value is None else value * sheet.ratio_uncertainty_pct() / 100
    return Measurement(name="acr_activity_ratio", value=value, unit="1", uncertainty=sd, flags=flags)


def _findings(
    stack: _Stack, measured: dict[str, Measurement], *, by_header: float | None, by_sheet: float | None
) -> Iterator[Finding]:
    pose = stack.pose
    yield findings.pose(pose.body.tilt_deg, "slices", residual_mm=pose.residual_mm)
    if stack.cut:
        yield findings.warning(
            "PHA-CUT",
            "The edge of the image cuts the phantom's wall, so where the regions lie is not sure.",
            "wall at the edge",
            "the whole phantom in the field",
            "Scan again with the whole phantom in the field of view.",
        )
    if pose.rods_mm is None:
        yield findings.warning(
            "PHA-RODS",
            "No section of rods is seen beside the uniform one.",
            "no rods",
            "six sectors of cold rods",
            "Check that the rods are in the phantom and in the field of view.",
        )
    unseen = [f"{diameter} mm" for diameter in HOT_DIAMETERS_MM if diameter not in pose.hot]
    if unseen:
        yield findings.warning(
            "PHA-UNSEEN",
            f"The hot cylinder of {unseen[0]} does not stand out from the noise; its number is missing.",
            "not seen",
            "four hot cylinders",
            "Look at the faceplate. Check the small cylinder for air, and noise and filter.",
        )
    yield from _suv_finding(stack, by_header, by_sheet)
    yield from _cold_finding(measured)


def _suv_finding(stack: _Stack, by_header: float | None, by_sheet: float | None) -> Iterator[Finding]:
    """Say where the SUV comes from, and whether headers and sheet agree."""
    if by_header is None and by_sheet is not None:
        yield Finding(
            id="PHA-SUV",
            outcome=Outcome.WARN,
            severity="info",
            message="The headers give no SUV; it was made from the sheet, whose concentration is SUV 1.",
            next_step="Enter the phantom's dose, weight and times on the scanner next time.",
            owner=Owner.SITE,
            source=findings.LAB_RULE,
        )
    if by_header is None or by_sheet is None:
        return
    header, sheet = stack.background * by_header, stack.background * by_sheet
    if abs(header / sheet - 1) > SUV_DIFFERS_PCT / 100:
        yield findings.warning(
            "PHA-SUV",
            f"The background is SUV {header:.2f} by the headers' dose and weight, and {sheet:.2f} by the sheet.",
            f"{header:.2f}",
            f"{sheet:.2f} within {SUV_DIFFERS_PCT:g} %",
            "Check dose, weight and times entered on the scanner against the sheet.",
        )


def _cold_finding(measured: dict[str, Measurement]) -> Iterator[Finding]:
    """Compare air with water: scatter that is left fills air less than water."""
    air, water = (measured[f"acr_{name}_suv_min"].value for name in ("air", "water"))
    if air is not None and water is not None and air > water + AIR_OVER_WATER_SUV:
        yield findings.warning(
            "PHA-SCATTER",
            f"The air cylinder reads SUV {air:.2f}, more than the water one with {water:.2f}: scatter correction may "
            "be off. Which is which follows from the usual order round the faceplate.",
            f"{air:.2f} in air",
            f"up to {water:.2f}, as in water, and {AIR_OVER_WATER_SUV:g}",
            "Check on the CT which cylinder holds air, and that it holds no liquid; then look at scatter correction.",
        )
