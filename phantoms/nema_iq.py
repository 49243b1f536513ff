"""The NEMA image-quality phantom: recovery, contrast, background variability, lung residual (method ``nema_iq``).

Steps: find the phantom (`phantoms.localise`); place twelve background regions and take them on five planes
(`phantoms.background_rois`); on every sphere the hottest voxel, the 50 % background-adapted isocontour (A50), the
1 mL peak and NEMA's disc; with the activity sheet the recoveries and contrasts that hang on true concentrations; the
cold insert slice by slice; the blur from the sphere profiles (`phantoms.resolution`).

Regions lie in the phantom's own planes. Up to 3 degrees of tilt a plane is the nearest slice; above, a disc is split
between the slices on either side of it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from phantoms import (
    background_columns,
    background_rois,
    findings,
    harmonise,
    resolution,
    rois,
    sphere_contents,
    sphere_noise,
    sphere_ring,
    standards,
)
from phantoms.diagnosis import diagnose, sphere_findings, unevenness
from phantoms.errors import AnalysisRefused
from phantoms.localise import NemaPose, find_nema_iq
from phantoms.metrics import PeakKernels, PeakPlaces, isocontour, peak_kernels
from phantoms.results import Finding, Measurement, Outcome, Owner, QualityFlag, other_than_bqml
from phantoms.spheres import DIAMETERS_MM, FWHM_PER_SIGMA, search_box
from phantoms.volume import PetVolume

if TYPE_CHECKING:
    from datetime import datetime

    from numpy.typing import NDArray

    from phantoms.sheet import Sheet

# Every phantom method answers to the same two calls: measure a volume, say why a standard is failed.
__all__ = ["NemaIqResult", "SphereResult", "diagnose", "measure"]

PLANE_OFFSETS_MM = (-20.0, -10.0, 0.0, 10.0, 20.0)
LUNG_ROI_DIAMETER_MM = 30.0
#: How near to the insert's ends a slice may lie, by edition of NEMA NU 2.
LUNG_EXCLUSION_MM = {"nu2_2018": 30.0, "nu2_2012": 10.0}
_EDITIONS_WITH_COLD = frozenset({"nu2_2012"})


@dataclass(frozen=True)
class SphereResult:
    """What was measured on one sphere.

    ``a50``, ``max``, ``peak`` and ``disc_mean`` are in the image's unit; ``rc_*`` are measured over true sphere
    concentration; ``relative_rc_*`` are the same with the measured background in the place of the calibration, so a
    calibration error drops out; ``crc_*`` and ``qh_pct`` are contrast over true contrast. None where what it needs is
    missing. A cold sphere has ``qc_pct``, the share of the background that is missing in its disc, and no recovery.
    ``*_axial_pct`` are taken on slices of the image where the phantom's own planes are not those.
    """

    diameter_mm: int
    center_lps_mm: NDArray[np.float64]
    a50: float | None
    max: float | None
    peak: float | None
    disc_mean: float | None
    is_whole: bool
    n_pct: float | None
    fwhm_mm: float | None
    is_cold: bool = False
    qc_pct: float | None = None
    qh_axial_pct: float | None = None
    qc_axial_pct: float | None = None
    n_axial_pct: float | None = None
    qh_pct: float | None = None
    rc_a50: float | None = None
    rc_max: float | None = None
    rc_peak: float | None = None
    relative_rc_a50: float | None = None
    relative_rc_max: float | None = None
    relative_rc_peak: float | None = None
    crc_a50: float | None = None
    crc_max: float | None = None
    crc_peak: float | None = None


@dataclass(frozen=True)
class NemaIqResult:
    """The whole measurement; positions in LPS millimetres, concentrations in the image's unit unless named.

    Attributes
    ----------
    measurements, findings
        As the offline contract names them; nothing is judged yet, see `phantoms.standards` and
        `diagnose`.
    pose : NemaPose
    spheres : tuple of SphereResult
        The largest first.
    background_rois : tuple of (center_lps_mm, radius_mm)
        The twelve circles of the sphere plane.
    background_mean, background_cov_pct : float
        Mean of the 60 region means of 37 mm; standard deviation of all voxels in the 60 regions over that mean.
    lung_profile_z_mm, lung_profile_pct : ndarray, shape (n,)
        Distance of each slice from the sphere plane along the axis, and the cold insert there in per cent of the
        background; empty where there is no insert.
    true_sphere_bqml, true_background_bqml, activity_ratio : float or None
        From the sheet at the image's decay reference time.
    fwhm_mm : float or None
        Median blur of the spheres of 17 mm and more.
    sphere_filling : float or None
        Concentration inside the large spheres as their profiles give it, freed of the blur.
    filter_curves : FilterCurves or None
        Recoveries and noise behind every post-filter; None where no recovery is known or a sphere is cut.
    filter_advice : tuple of FilterAdvice
        Which post-filter brings the image into each edition.
    columns : Columns or None
        Noise, axial profile and sectors of the background; None where the image holds too little of it.
    contents : Contents or None
        Each sphere's filling beside its siblings'; None where the image cuts one, or there is no blur to go by.
    """

    measurements: tuple[Measurement, ...]
    findings: tuple[Finding, ...]
    pose: NemaPose
    spheres: tuple[SphereResult, ...]
    background_rois: tuple[tuple[NDArray[np.float64], float], ...]
    background_mean: float
    background_cov_pct: float
    lung_profile_z_mm: NDArray[np.float64]
    lung_profile_pct: NDArray[np.float64]
    true_sphere_bqml: float | None
    true_background_bqml: float | None
    activity_ratio: float | None
    fwhm_mm: float | None
    sphere_filling: float | None
    filter_curves: harmonise.FilterCurves | None = None
    filter_advice: tuple[harmonise.FilterAdvice, ...] = ()
    columns: background_columns.Columns | None = None
    contents: sphere_contents.Contents | None = None

    def profiles(self) -> dict[str, list[dict[str, float]]]:
        """Return what was measured slice by slice, in plain JSON types: the insert, per cent of the background."""
        slices = zip(self.lung_profile_z_mm.tolist(), self.lung_profile_pct.tolist(), strict=True)
        return {"lung_residual_pct": [{"position_mm": z, "value": value} for z, value in slices]}


def measure(
    volume: PetVolume,
    *,
    reference_time: datetime | None,
    sheet: Sheet | None,
    suv_factor: float | None = None,
    edition: str = "nu2_2018",
    pose: NemaPose | None = None,
) -> NemaIqResult:
    """Measure a NEMA image-quality phantom.

    Parameters
    ----------
    volume : PetVolume
        The image. In ``Bq/mL`` recoveries are absolute; without a unit (``1``) the raw values are taken for Bq/mL and
        every number that rests on it carries ``NO_UNITS``; in any other unit recoveries are not given
        (``OTHER_UNITS``).
    reference_time : datetime or None
        The image's decay reference time, local wall clock.
    sheet : Sheet or None
        The site's activity sheet.
    suv_factor : float or None
        Taken for the sake of one signature for all phantom methods; no number of this one is an SUV.
    edition : str
        ``nu2_2018`` or ``nu2_2012``: decides which slices of the insert count, and whether cold spheres are usual.
    pose : NemaPose, optional
        Where the phantom lies, where that is known already.

    Raises
    ------
    AnalysisRefused
        ``PHA-NOT-FOUND``; ``PHA-EDITION`` for an edition that is not known.

    Notes
    -----
    Sources: NEMA NU 2-2018 section 7 for Q_H, N and the insert; EARL for A50 (26-connected from the hottest voxel, at
    half way between it and the background) and recovery. Differs: the hottest voxel is a single voxel.
    """
    del suv_factor
    if edition not in LUNG_EXCLUSION_MM:
        raise AnalysisRefused(
            "PHA-EDITION",
            f"Edition {edition} of NEMA NU 2 is not known.",
            next_step=f"Choose {' or '.join(LUNG_EXCLUSION_MM)}.",
        )
    volume = sphere_ring.along_patient_axes(volume)
    pose = pose or find_nema_iq(volume)
    layout = background_rois.place(volume, pose)
    is_steep = pose.tilt_deg > findings.STEEP_TILT_DEG
    background = _measure_background(volume, pose, layout, pose.axis if is_steep else None)
    if background is None:
        raise AnalysisRefused(
            "PHA-NOT-FOUND",
            "The image cuts the phantom through its background: no plane holds all twelve regions.",
            next_step="Check that the whole phantom is in the field.",
        )
    axial = _measure_background(volume, pose, layout, None) if is_steep else None
    fits = resolution.fit_spheres(volume, pose)
    kernels = peak_kernels(volume)
    truth = _truth(sheet, reference_time, volume.unit)
    spheres = tuple(
        _measure_sphere(volume, pose, diameter, background, axial, truth, kernels, fits[diameter].fwhm_mm)
        for diameter in DIAMETERS_MM
    )
    lung = _measure_lung(volume, pose, background.mean, LUNG_EXCLUSION_MM[edition])
    fwhm_mm = resolution.common_fwhm_mm(fits)
    filling = resolution.common_filling({d: fit for d, fit in fits.items() if d not in pose.cold_spheres})
    columns, contents = _compare(volume, pose, layout, fwhm_mm)
    noise = sphere_noise.Noise.of(volume, layout.centers_lps_mm, background.mean, background.cov_pct / 100.0)
    scatter = {d: _scatter(volume, pose, d, noise, fits[d], background.mean, kernels) for d in DIAMETERS_MM}
    parts = dict(_recovery_parts(scatter, spheres, background, truth))
    sds = {name: one.total for name, one in parts.items()}
    sds |= dict(_sds(noise, scatter, spheres, background, lung, truth, _step_along(volume, pose)))
    editions = _editions(sheet)
    curves = _filter_curves(volume, pose, background, spheres, truth, editions)
    biases_pct = _biases_pct(truth, filling, background.mean)
    advised = (
        harmonise.advise(curves, one, biases_pct=biases_pct, sds=parts) for one in editions if curves is not None
    )
    advice = tuple(one for one in advised if one is not None)
    said = harmonise.finding(advice)
    cut = QualityFlag.NONE if all(sphere.is_whole for sphere in spheres) else QualityFlag.OUTSIDE_IMAGE
    cut |= QualityFlag.COLD_SPHERE if pose.cold_spheres else QualityFlag.NONE
    return NemaIqResult(
        measurements=(
            *(
                replace(one, uncertainty=sds[one.name]) if one.name in sds and one.value is not None else one
                for one in _measurements(volume, pose, layout, background, spheres, lung, truth, fwhm_mm)
            ),
            *harmonise.measurements(
                editions,
                advice,
                recovery_flags=cut | truth.unit_flags | truth.sphere_flags,
                contrast_flags=cut | truth.ratio_flags,
            ),
        ),
        findings=(
            *_findings(pose, layout, background, spheres, edition),
            *unevenness(columns),
            *sphere_findings(pose, contents, columns),
            *((said,) if said else ()),
        ),
        pose=pose,
        spheres=spheres,
        background_rois=tuple((center, background_rois.DIAMETER_MM / 2.0) for center in layout.centers_lps_mm),
        background_mean=background.mean,
        background_cov_pct=background.cov_pct,
        lung_profile_z_mm=lung.position_mm,
        lung_profile_pct=lung.residual_pct,
        true_sphere_bqml=truth.sphere_bqml,
        true_background_bqml=truth.background_bqml,
        activity_ratio=truth.ratio,
        fwhm_mm=fwhm_mm,
        sphere_filling=filling,
        filter_curves=curves,
        filter_advice=advice,
        columns=columns,
        contents=contents,
    )


def _compare(
    volume: PetVolume, pose: NemaPose, layout: background_rois.BackgroundRois, fwhm_mm: float | None
) -> tuple[background_columns.Columns | None, sphere_contents.Contents | None]:
    """Look at the background along the axis, and at each sphere beside its siblings, on voxels no finer than needed."""
    fine = sphere_ring.binned(volume, sphere_ring.FINE_VOXEL_MM)
    columns = background_columns.measure(fine, pose, layout)
    if columns is None or fwhm_mm is None:
        return columns, None
    return columns, sphere_contents.compare(fine, pose, columns.noise, fwhm_mm / FWHM_PER_SIGMA)


# --- background -------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Background:
    """The region means on the planes that lie in the image, by diameter: ``means[diameter][plane, roi]``."""

    means: dict[int, NDArray[np.float64]]
    mean: float
    standard_error: float
    cov_pct: float
    roughness_pct: float
    regions: tuple[rois.Roi, ...]

    @property
    def planes(self) -> int:
        """How many planes lie whole in the image."""
        return int(self.means[int(background_rois.DIAMETER_MM)].shape[0])

    @property
    def is_complete(self) -> bool:
        return self.planes == len(PLANE_OFFSETS_MM)

    def of_size(self, diameter: int) -> float:
        return float(self.means[diameter].mean())

    def variability_pct(self, diameter: int) -> float:
        """N: standard deviation of the region means over their mean, per cent."""
        means = self.means[diameter]
        return 100.0 * float(means.std(ddof=1)) / float(means.mean())


def _measure_background(
    volume: PetVolume, pose: NemaPose, layout: background_rois.BackgroundRois, normal: NDArray[np.float64] | None
) -> _Background | None:
    """Take the twelve places on five planes, discs square to ``normal`` or, without, in slices; None where cut."""
    offsets_mm = np.array(PLANE_OFFSETS_MM)[:, None, None] * pose.axis
    centers = layout.centers_lps_mm + offsets_mm  # [plane, roi, 3]
    last_slice = volume.image.shape[0] - 1
    is_within = np.abs(volume.to_index_zyx(centers)[..., 0] - last_slice / 2.0) <= last_slice / 2.0 + 0.5
    largest = rois.circles(volume, centers.reshape(-1, 3), background_rois.DIAMETER_MM / 2.0, normal)
    is_complete = np.array([roi.is_complete for roi in largest]).reshape(is_within.shape)
    is_whole = np.all(is_within & is_complete, axis=1)
    if not is_whole.any():
        return None
    regions = [
        roi for roi, of_plane in zip(largest, np.repeat(is_whole, background_rois.COUNT), strict=True) if of_plane
    ]
    whole = centers[is_whole].reshape(-1, 3)
    means, variances = np.transpose([roi.moments(volume.image) for roi in regions])
    by_size = {int(background_rois.DIAMETER_MM): means}
    for diameter in DIAMETERS_MM:
        if diameter not in by_size:
            discs = rois.circles(volume, whole, diameter / 2.0, normal)
            by_size[diameter] = np.array([disc.mean(volume.image) for disc in discs])
    means_by_size = {d: by_size[d].reshape(-1, background_rois.COUNT) for d in DIAMETERS_MM}
    largest_means = means_by_size[int(background_rois.DIAMETER_MM)]
    mean = float(largest_means.mean())
    # The same place on neighbouring planes shares its noise and its unevenness: twelve columns, not sixty regions.
    columns = largest_means.mean(axis=0)
    within = float(np.mean(variances))
    return _Background(
        means=means_by_size,
        mean=mean,
        standard_error=float(columns.std(ddof=1)) / math.sqrt(len(columns)),
        cov_pct=100.0 * math.sqrt(within + float(largest_means.var())) / mean,
        roughness_pct=100.0 * math.sqrt(within) / mean,
        regions=tuple(regions),
    )


# --- spheres ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Truth:
    """True concentrations, Bq/mL, with the flags that say where they come from or why they are missing."""

    sphere_bqml: float | None
    sphere_flags: QualityFlag
    background_bqml: float | None
    background_flags: QualityFlag
    ratio: float | None
    ratio_flags: QualityFlag
    unit_flags: QualityFlag  # what a number carries that needs Bq/mL
    has_concentrations: bool  # whether the image's values can be compared with Bq/mL
    sphere_rel: float  # relative uncertainty of the sphere concentration
    ratio_rel: float  # and of the ratio

    @property
    def known(self) -> dict[str, float | None]:
        """What `phantoms.sphere_noise.recovery_sds` asks for."""
        return {
            "sphere": self.sphere_bqml if self.has_concentrations else None,
            "sphere_rel": self.sphere_rel,
            "ratio": self.ratio,
            "ratio_rel": self.ratio_rel,
        }


def _truth(sheet: Sheet | None, reference_time: datetime | None, unit: str) -> _Truth:
    unit_flags = other_than_bqml(unit)
    has_concentrations = QualityFlag.OTHER_UNITS not in unit_flags
    if sheet is None:
        missing = QualityFlag.NO_SHEET
        return _Truth(None, missing, None, missing, None, missing, unit_flags, has_concentrations, 0.0, 0.0)
    sphere_rel = sheet.uncertainty_budget("spheres").total_pct / 100.0
    sphere, sphere_flags = sheet.concentration_bqml("spheres", reference_time)
    background, background_flags = sheet.concentration_bqml("background", reference_time)
    ratio, ratio_flags = sheet.activity_ratio(reference_time)
    return _Truth(
        sphere,
        sphere_flags,
        background,
        background_flags,
        ratio,
        ratio_flags,
        unit_flags,
        has_concentrations,
        sphere_rel,
        sheet.ratio_uncertainty_pct() / 100.0,
    )


def _disc(volume: PetVolume, pose: NemaPose, diameter: int) -> rois.Roi:
    """Return NEMA's disc of one sphere."""
    normal = pose.axis if pose.tilt_deg > findings.STEEP_TILT_DEG else None
    return rois.circle(volume, pose.spheres[diameter], diameter / 2.0, normal)


def _measure_sphere(
    volume: PetVolume,
    pose: NemaPose,
    diameter: int,
    background: _Background,
    axial: _Background | None,
    truth: _Truth,
    kernels: PeakKernels,
    fwhm_mm: float | None,
) -> SphereResult:
    center = pose.spheres[diameter]
    box = search_box(volume, pose.spheres, diameter)
    contrast = truth.ratio - 1.0 if truth.ratio is not None and truth.ratio > 1.0 else None
    normal = pose.axis if pose.tilt_deg > findings.STEEP_TILT_DEG else None
    is_cold = diameter in pose.cold_spheres

    def q_pct(disc_mean: float | None, around: _Background) -> float | None:
        if disc_mean is None or (contrast is None and not is_cold):
            return None
        height = disc_mean / around.of_size(diameter) - 1.0
        return -100.0 * height if is_cold or contrast is None else 100.0 * height / contrast

    disc_mean = _disc_mean(volume, center, diameter, normal)
    q = q_pct(disc_mean, background)
    q_axial = q_pct(_disc_mean(volume, center, diameter, None), axial) if axial is not None else None
    by_discs = SphereResult(
        diameter_mm=diameter,
        center_lps_mm=center,
        a50=None,
        max=None,
        peak=None,
        disc_mean=disc_mean,
        is_whole=box.is_whole,
        is_cold=is_cold,
        n_pct=background.variability_pct(diameter),
        n_axial_pct=axial.variability_pct(diameter) if axial is not None else None,
        fwhm_mm=fwhm_mm,
        qh_pct=None if is_cold else q,
        qc_pct=q if is_cold else None,
        qh_axial_pct=None if is_cold else q_axial,
        qc_axial_pct=q_axial if is_cold else None,
    )
    if is_cold:
        return by_discs
    hottest, a50 = isocontour(volume.image[box.slices], box.inside, background.mean)
    places = PeakPlaces.within(volume, center, diameter / 2.0, kernels)
    peak = None if places is None else places.highest(volume.image[places.slices].astype(np.float64))
    sphere = truth.sphere_bqml if truth.has_concentrations else None

    def over(value: float | None, whole: float | None) -> float | None:
        return value / whole if value is not None and whole is not None else None

    return replace(
        by_discs,
        a50=a50,
        max=hottest,
        peak=peak,
        rc_a50=over(a50, sphere),
        rc_max=over(hottest, sphere),
        rc_peak=over(peak, sphere),
        relative_rc_a50=over(a50 / background.mean, truth.ratio),
        relative_rc_max=over(hottest / background.mean, truth.ratio),
        relative_rc_peak=over(peak / background.mean, truth.ratio) if peak is not None else None,
        crc_a50=over(a50 / background.mean - 1.0, contrast),
        crc_max=over(hottest / background.mean - 1.0, contrast),
        crc_peak=over(peak / background.mean - 1.0, contrast) if peak is not None else None,
    )


def _disc_mean(
    volume: PetVolume, center: NDArray[np.float64], diameter: int, normal: NDArray[np.float64] | None
) -> float | None:
    """Return the mean of NEMA's disc on one sphere; None where the image cuts it."""
    disc = rois.circle(volume, center, diameter / 2.0, normal)
    return disc.mean(volume.image) if disc.is_complete else None


# --- post-filter --------------------------------------------------------------------------------


def _editions(sheet: Sheet | None) -> tuple[standards.Standard, ...]:
    """Return the editions made for the nuclide of the sheet; all where there is no sheet."""
    every = map(standards.load, standards.available())
    return tuple(one for one in every if sheet is None or one.nuclide in (None, sheet.nuclide))


def _filter_curves(
    volume: PetVolume,
    pose: NemaPose,
    background: _Background,
    spheres: tuple[SphereResult, ...],
    truth: _Truth,
    editions: tuple[standards.Standard, ...],
) -> harmonise.FilterCurves | None:
    """Measure the image behind every post-filter; None where no edition asks, no truth is known or a sphere is cut."""
    sphere_bqml = truth.sphere_bqml if truth.unit_flags is QualityFlag.NONE else None
    known = {"rc"} if sphere_bqml is not None else set()
    known |= {"relative_rc", "crc"} if truth.ratio is not None and truth.ratio > 1.0 else set()
    asked = [one for one in editions if (kinds := harmonise.kinds_limited(one)) and kinds <= known]
    if not asked or not all(sphere.is_whole and not sphere.is_cold for sphere in spheres):
        return None
    peaks: dict[int, PeakPlaces] = {}
    if harmonise.limits_peak(asked):
        kernels = peak_kernels(volume)
        found = {d: PeakPlaces.within(volume, pose.spheres[d], d / 2.0, kernels) for d in DIAMETERS_MM}
        peaks = {d: places for d, places in found.items() if places is not None}
    return harmonise.filter_curves(
        volume,
        {diameter: search_box(volume, pose.spheres, diameter) for diameter in DIAMETERS_MM},
        background.regions,
        true_sphere=sphere_bqml,
        ratio=truth.ratio,
        peaks=peaks,
    )


def _biases_pct(truth: _Truth, filling: float | None, background: float) -> tuple[float, float] | None:
    """Return what the spheres' filling and the background read over what is true, less 1, per cent."""
    if filling is None or truth.sphere_bqml is None or truth.background_bqml is None:
        return None
    return 100.0 * (filling / truth.sphere_bqml - 1.0), 100.0 * (background / truth.background_bqml - 1.0)


# --- uncertainty --------------------------------------------------------------------------------


def _scatter(
    volume: PetVolume,
    pose: NemaPose,
    diameter: int,
    noise: sphere_noise.Noise,
    fit: resolution.SphereFit,
    background: float,
    kernels: PeakKernels,
) -> sphere_noise.SphereScatter | None:
    """Return how the readings of one sphere scatter; None where no blurred sphere fits it or the image cuts it."""
    box = search_box(volume, pose.spheres, diameter)
    disc = _disc(volume, pose, diameter)
    is_filled = fit.concentration > background or diameter in pose.cold_spheres
    if fit.fwhm_mm is None or not box.is_whole or not disc.is_complete or not is_filled:
        return None
    sphere = sphere_noise.SphereNoise(volume, noise, pose, diameter, fit, background)
    return sphere.scatter(box, PeakPlaces.within(volume, pose.spheres[diameter], diameter / 2.0, kernels), disc)


def _step_along(volume: PetVolume, pose: NemaPose) -> float:
    """Return how far apart along the phantom's axis two slices cut it, mm."""
    return 1.0 / abs(float((np.linalg.inv(volume.affine_lps_mm[:3, :3]) @ pose.axis)[2]))


def _recovery_parts(
    scatter: dict[int, sphere_noise.SphereScatter | None],
    spheres: tuple[SphereResult, ...],
    background: _Background,
    truth: _Truth,
) -> Iterator[tuple[str, sphere_noise.Parts]]:
    """Yield names of recoveries with what makes them uncertain."""
    for sphere in spheres:
        found = scatter[sphere.diameter_mm]
        if found is None or sphere.is_cold:
            continue
        for metric, value, sd in (
            ("a50", sphere.a50, found.a50),
            ("max", sphere.max, found.max),
            ("peak", sphere.peak, found.peak),
        ):
            if value is not None and sd is not None:
                parts = sphere_noise.recovery_sds(value, sd, background.mean, background.standard_error, truth.known)
                for kind, one in parts.items():
                    yield f"sphere_{sphere.diameter_mm}mm_{kind}_{metric}", one


def _sds(
    noise: sphere_noise.Noise,
    scatter: dict[int, sphere_noise.SphereScatter | None],
    spheres: tuple[SphereResult, ...],
    background: _Background,
    lung: _Lung,
    truth: _Truth,
    step_mm: float,
) -> Iterator[tuple[str, float]]:
    """Yield names of measurements with one standard deviation each."""
    count = len(background.regions)
    plane_step_mm = PLANE_OFFSETS_MM[1] - PLANE_OFFSETS_MM[0]
    area_mm2 = math.pi * background_rois.DIAMETER_MM**2 / 4.0
    back, back_sd = background.mean, background.standard_error
    voxels = 0.5 * math.sqrt(sphere_noise.regions_share(noise, area_mm2, background.planes, plane_step_mm, count))
    means = 0.5 * math.sqrt(sphere_noise.means_share(noise, background.planes, plane_step_mm, count))
    yield "background_cov_pct", background.cov_pct * voxels
    yield "background_roughness_pct", background.roughness_pct * voxels
    profile = sphere_noise.profile_sds(noise, lung.residual_pct, step_mm)
    if profile is not None:
        mean_sd, max_sd = profile
        yield "lung_residual_pct", math.hypot(mean_sd, float(lung.residual_pct.mean()) * back_sd / back)
        yield "lung_residual_max_pct", math.hypot(max_sd, float(lung.residual_pct.max()) * back_sd / back)
    if truth.ratio is not None:
        yield "activity_ratio", truth.ratio * truth.ratio_rel
    known = truth.known
    widths = []
    for sphere in spheres:
        prefix, found = f"sphere_{sphere.diameter_mm}mm", scatter[sphere.diameter_mm]
        for name, variability in (("n_pct", sphere.n_pct), ("n_pct_axial", sphere.n_axial_pct)):
            if variability is not None:
                yield f"{prefix}_{name}", variability * means
        if found is None:
            continue
        if not sphere.is_cold:
            yield f"{prefix}_a50", found.a50
            yield f"{prefix}_max", found.max
        if found.peak is not None:
            yield f"{prefix}_peak", found.peak
        if sphere.disc_mean is not None and sphere.is_cold:
            cold = 100.0 * math.hypot(found.disc_mean / back, sphere.disc_mean / back * back_sd / back)
            yield f"{prefix}_qc_pct", cold
            yield f"{prefix}_qc_pct_axial", cold
        elif sphere.disc_mean is not None:
            disc = sphere_noise.recovery_sds(sphere.disc_mean, found.disc_mean, back, back_sd, known)
            if "crc" in disc:
                yield f"{prefix}_qh_pct", 100.0 * disc["crc"].total
                yield f"{prefix}_qh_pct_axial", 100.0 * disc["crc"].total
        yield f"{prefix}_fwhm_mm", found.fwhm_mm
        for axis, off_mm in zip("xyz", found.center_mm, strict=True):
            yield f"{prefix}_center_{axis}_mm", float(off_mm)
        if sphere.diameter_mm >= resolution.SMALLEST_FREE_MM:
            widths.append(found.fwhm_mm)
    if widths:
        yield "resolution_fwhm_mm", sphere_noise.median_sd(widths)


# --- lung insert ------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Lung:
    position_mm: NDArray[np.float64]
    residual_pct: NDArray[np.float64]
    flags: QualityFlag


def _measure_lung(volume: PetVolume, pose: NemaPose, background: float, exclusion_mm: float) -> _Lung:
    """Measure the cold insert on every slice that lies deep enough inside it."""
    if pose.lung_center_lps_mm is None:
        return _Lung(np.empty(0), np.empty(0), QualityFlag.NOT_LOCALISED)
    normal = pose.axis if pose.tilt_deg > findings.STEEP_TILT_DEG else None
    foot = volume.to_index_zyx(pose.lung_center_lps_mm)
    step = (np.linalg.inv(volume.affine_lps_mm[:3, :3]) @ pose.axis)[::-1]
    along_mm = (np.arange(volume.image.shape[0]) - foot[0]) / step[0]
    deep = (along_mm >= pose.filled_mm[0] + exclusion_mm) & (along_mm <= pose.filled_mm[1] - exclusion_mm)
    centers = pose.lung_center_lps_mm + along_mm[deep, None] * pose.axis
    discs = rois.circles(volume, centers, LUNG_ROI_DIAMETER_MM / 2.0, normal) if deep.any() else []
    whole = [(mm, disc) for mm, disc in zip(along_mm[deep].tolist(), discs, strict=True) if disc.is_complete]
    positions_mm = np.array([mm for mm, _ in whole])
    residuals = np.array([100.0 * disc.mean(volume.image) / background for _, disc in whole])
    flags = QualityFlag.OUTSIDE_IMAGE if any(pose.is_cut) or not whole else QualityFlag.NONE
    return _Lung(positions_mm, residuals, flags)


# --- what is reported -------------------------------------------------------------------------


def _measurements(
    volume: PetVolume,
    pose: NemaPose,
    layout: background_rois.BackgroundRois,
    background: _Background,
    spheres: tuple[SphereResult, ...],
    lung: _Lung,
    truth: _Truth,
    fwhm_mm: float | None,
) -> Iterator[Measurement]:
    planes = QualityFlag.NONE if background.is_complete else QualityFlag.OUTSIDE_IMAGE
    for sphere in spheres:
        yield from _sphere_measurements(volume, sphere, planes, truth)
    yield Measurement(
        name="background_mean",
        value=background.mean,
        unit=volume.unit,
        uncertainty=background.standard_error,
        flags=planes | truth.unit_flags & QualityFlag.NO_UNITS,
    )
    yield Measurement(name="background_cov_pct", value=background.cov_pct, unit="%", flags=planes)
    yield Measurement(name="background_roughness_pct", value=background.roughness_pct, unit="%", flags=planes)
    has_lung = lung.residual_pct.size > 0
    for name, value in (("lung_residual_pct", np.mean), ("lung_residual_max_pct", np.max)):
        yield Measurement(
            name=name, value=float(value(lung.residual_pct)) if has_lung else None, unit="%", flags=lung.flags
        )
    yield Measurement(name="activity_ratio", value=truth.ratio, unit="1", flags=truth.ratio_flags)
    yield Measurement(name="resolution_fwhm_mm", value=fwhm_mm, unit="mm", flags=_unless(fwhm_mm, QualityFlag.NO_FIT))
    for name, millimetres in (
        ("background_edge_margin_mm", layout.edge_margin_mm),
        ("background_sphere_margin_mm", layout.sphere_margin_mm),
        ("localisation_residual_mm", pose.residual_mm),
    ):
        yield Measurement(name=name, value=millimetres, unit="mm")
    yield Measurement(name="phantom_tilt_deg", value=pose.tilt_deg, unit="deg")


def _sphere_measurements(
    volume: PetVolume, sphere: SphereResult, planes: QualityFlag, truth: _Truth
) -> Iterator[Measurement]:
    prefix = f"sphere_{sphere.diameter_mm}mm"
    whole = QualityFlag.NONE if sphere.is_whole else QualityFlag.OUTSIDE_IMAGE
    cut = whole | (QualityFlag.COLD_SPHERE if sphere.is_cold else QualityFlag.NONE)
    recovery = cut | truth.unit_flags | truth.sphere_flags
    raw = truth.unit_flags & QualityFlag.NO_UNITS
    contrast = cut | truth.ratio_flags
    if truth.ratio is not None and truth.ratio <= 1.0:
        contrast |= QualityFlag.NO_SHEET
    for axis, value in zip("xyz", sphere.center_lps_mm, strict=True):
        yield Measurement(name=f"{prefix}_center_{axis}_mm", value=float(value), unit="mm")
    rows: tuple[tuple[str, float | None, str, QualityFlag], ...] = (
        ("qh_pct", sphere.qh_pct, "%", contrast | planes),
        ("n_pct", sphere.n_pct, "%", planes),
        ("a50", sphere.a50, volume.unit, cut | raw),
        ("max", sphere.max, volume.unit, cut | raw),
        ("peak", sphere.peak, volume.unit, cut | raw),
        ("rc_a50", sphere.rc_a50, "1", recovery),
        ("rc_max", sphere.rc_max, "1", recovery),
        ("rc_peak", sphere.rc_peak, "1", recovery),
        ("relative_rc_a50", sphere.relative_rc_a50, "1", contrast),
        ("relative_rc_max", sphere.relative_rc_max, "1", contrast),
        ("relative_rc_peak", sphere.relative_rc_peak, "1", contrast),
        ("crc_a50", sphere.crc_a50, "1", contrast),
        ("crc_max", sphere.crc_max, "1", contrast),
        ("crc_peak", sphere.crc_peak, "1", contrast),
        ("fwhm_mm", sphere.fwhm_mm, "mm", whole | _unless(sphere.fwhm_mm, QualityFlag.NO_FIT)),
    )
    if sphere.is_cold:
        rows += (("qc_pct", sphere.qc_pct, "%", whole | planes),)
    if sphere.n_axial_pct is not None:
        q_axial = (
            ("qc_pct_axial", sphere.qc_axial_pct, "%", whole | planes)
            if sphere.is_cold
            else ("qh_pct_axial", sphere.qh_axial_pct, "%", contrast | planes)
        )
        rows += (q_axial, ("n_pct_axial", sphere.n_axial_pct, "%", planes))
    for what, number, unit, flags in rows:
        missing = QualityFlag.OUTSIDE_IMAGE if number is None and flags is QualityFlag.NONE else QualityFlag.NONE
        yield Measurement(name=f"{prefix}_{what}", value=number, unit=unit, flags=flags | missing)


def _unless(value: float | None, flag: QualityFlag) -> QualityFlag:
    return flag if value is None else QualityFlag.NONE


def _findings(
    pose: NemaPose,
    layout: background_rois.BackgroundRois,
    background: _Background,
    spheres: tuple[SphereResult, ...],
    edition: str,
) -> Iterator[Finding]:
    """Say how the phantom was found; of this only what the image cuts decides, and warns."""
    yield findings.pose(pose.tilt_deg, "regions", order_confidence=pose.order_confidence, residual_mm=pose.residual_mm)
    if pose.cold_spheres:
        names = " and ".join(map(str, sorted(pose.cold_spheres)))
        expected = edition in _EDITIONS_WITH_COLD
        yield Finding(
            id="PHA-COLD",
            outcome=Outcome.PASS if expected else Outcome.WARN,
            severity="info" if expected else "query",
            message=f"The {names} mm spheres hold no activity: they have a cold contrast and no recovery.",
            observed=f"{names} mm cold",
            expected="two cold spheres" if expected else "six hot spheres, as NU 2-2018 has them",
            next_step="" if expected else "Fill all six spheres alike where recovery is to be judged.",
            owner=Owner.NOBODY if expected else Owner.SITE,
            source="NEMA NU 2-2012 and 2018 section 7",
        )
    narrow = layout.sphere_margin_mm < background_rois.MARGIN_MM
    yield Finding(
        id="PHA-MARGIN",
        outcome=Outcome.PASS,
        severity="info",
        message=f"The twelve background regions keep {layout.edge_margin_mm:.0f} mm from the edge and "
        f"{layout.sphere_margin_mm:.0f} mm from the spheres"
        + (f"; {background_rois.MARGIN_MM:.0f} mm from both do not fit into this phantom." if narrow else "."),
        observed=f"{layout.edge_margin_mm:.1f} mm, {layout.sphere_margin_mm:.1f} mm",
        expected=f"{background_rois.MARGIN_MM:.0f} mm",
        source="NEMA NU 2 section 7",
    )
    cut = [sphere.diameter_mm for sphere in spheres if not sphere.is_whole]
    if cut or not background.is_complete:
        planes = len(PLANE_OFFSETS_MM)
        seen = f"{background.planes} of the {planes} background planes lie in it"
        names = " and ".join(filter(None, (", ".join(map(str, cut[:-1])), str(cut[-1])))) if cut else ""
        lost = f", and it cuts the {names} mm sphere{'s' if len(cut) > 1 else ''}" if cut else ""
        yield Finding(
            id="PHA-CUT",
            outcome=Outcome.WARN,
            severity="query",
            message=f"The image does not hold the whole phantom: {seen}{lost}.",
            observed=f"{background.planes} of {planes} planes" + (f"; {names} mm" if cut else ""),
            expected="the whole phantom in the field",
            next_step="Scan again with the whole phantom in the field of view.",
            owner=Owner.SITE,
        )
