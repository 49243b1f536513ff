"""How the NEMA image-quality phantom is measured: the order of the steps, and the result.

Steps: find the phantom (`phantoms.localise`); place twelve background regions and take them on five planes
(`phantoms.background_rois`); on every sphere the hottest voxel, the 50 % background-adapted isocontour (A50), the
1 mL peak and NEMA's disc; with the activity sheet the recoveries and contrasts that hang on true concentrations; the
cold insert slice by slice; the blur from the sphere profiles (`phantoms.resolution`).

Regions lie in the phantom's own planes. Up to 3 degrees of tilt a plane is the nearest slice; above, a disc is split
between the slices on either side of it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from phantoms import (
    background_columns,
    background_rois,
    findings,
    harmonise,
    resolution,
    sphere_contents,
    sphere_noise,
)
from phantoms.diagnosis import fill_prechecks, sight, sphere_findings, unevenness
from phantoms.errors import AnalysisRefused
from phantoms.localise import NemaPose, find_nema_iq
from phantoms.metrics import peak_kernels
from phantoms.nema_iq.background import measure_background
from phantoms.nema_iq.lung import LUNG_EXCLUSION_MM, measure_lung
from phantoms.nema_iq.post_filter import biases_pct_of, editions_for, filter_curves, without_filter
from phantoms.nema_iq.reported import list_bubble_limits, list_findings, list_measurements
from phantoms.nema_iq.sphere import SphereResult, measure_sphere, regions_of
from phantoms.nema_iq.truth import true_values
from phantoms.nema_iq.uncertainty import (
    placement,
    places_of,
    recovery_parts,
    scatter_of,
    standard_deviations,
    step_along_mm,
)
from phantoms.results import Finding, Measurement, QualityFlag
from phantoms.sphere_ring import FINE_VOXEL_MM
from phantoms.spheres import DIAMETERS_MM, FWHM_PER_SIGMA
from phantoms.volume import along_patient_axes, binned

if TYPE_CHECKING:
    from datetime import datetime

    import numpy as np
    from numpy.typing import NDArray

    from phantoms.background_rois import BackgroundRois
    from phantoms.sheet import Sheet
    from phantoms.volume import PetVolume


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
    layout : BackgroundRois
        The twelve regions of the sphere plane, and the outline.
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
        Noise, axial profile and sectors of the background; None where the image holds too little of it, and until
        `look_for_faults`.
    contents : Contents or None
        Each sphere's filling beside its siblings'; None where the image cuts one, where there is no blur to go by, and
        until `look_for_faults`.
    """

    measurements: tuple[Measurement, ...]
    findings: tuple[Finding, ...]
    pose: NemaPose
    spheres: tuple[SphereResult, ...]
    layout: BackgroundRois
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

    @property
    def background_rois(self) -> tuple[tuple[NDArray[np.float64], float], ...]:
        """Return the twelve circles of the sphere plane: centre in LPS millimetres, radius in millimetres."""
        return tuple((center, background_rois.DIAMETER_MM / 2.0) for center in self.layout.centers_lps_mm)

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
    """Measure a NEMA image-quality phantom and look for what is wrong with it.

    ``suv_factor`` is taken for the sake of one signature for all phantom methods; no number of this one is an SUV. All
    else, and what is refused, as `measure_numbers` has it.
    """
    del suv_factor
    volume = along_patient_axes(volume)
    numbers = measure_numbers(volume, reference_time=reference_time, sheet=sheet, edition=edition, pose=pose)
    return look_for_faults(volume, numbers)


def measure_numbers(
    volume: PetVolume,
    *,
    reference_time: datetime | None,
    sheet: Sheet | None,
    edition: str = "nu2_2018",
    pose: NemaPose | None = None,
) -> NemaIqResult:
    """Measure all that a standard judges, with its uncertainties, and the post-filters that would bring it inside.

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
    if edition not in LUNG_EXCLUSION_MM:
        raise AnalysisRefused(
            "PHA-EDITION",
            f"Edition {edition} of NEMA NU 2 is not known.",
            next_step=f"Choose {' or '.join(LUNG_EXCLUSION_MM)}.",
        )
    volume = along_patient_axes(volume)
    pose = pose or find_nema_iq(volume)
    layout = background_rois.place(volume, pose)
    is_steep = pose.tilt_deg > findings.STEEP_TILT_DEG
    background = measure_background(volume, pose, layout, pose.axis if is_steep else None)
    if background is None:
        raise AnalysisRefused(
            "PHA-NOT-FOUND",
            "The image cuts the phantom through its background: no plane holds all twelve regions.",
            next_step="Check that the whole phantom is in the field.",
        )
    axial = measure_background(volume, pose, layout, None) if is_steep else None
    noise = sphere_noise.Noise.of(volume, layout.centers_lps_mm, background.mean, background.cov_pct / 100.0)
    fits = resolution.fit_spheres(volume, pose, noise.sd_mm)
    kernels = peak_kernels(volume)
    regions = {diameter: regions_of(volume, pose, diameter, kernels) for diameter in DIAMETERS_MM}
    truth = true_values(sheet, reference_time, volume.unit)
    spheres = tuple(
        measure_sphere(volume, pose, diameter, background, axial, truth, where, fits[diameter].fwhm_mm)
        for diameter, where in regions.items()
    )
    lung = measure_lung(volume, pose, background.mean, LUNG_EXCLUSION_MM[edition])
    fwhm_mm = resolution.common_fwhm_mm(fits)
    filling = resolution.common_filling({d: fit for d, fit in fits.items() if d not in pose.cold_spheres})
    scatter = scatter_of(volume, pose, noise, fits, background.mean, regions)
    parts = dict(recovery_parts(scatter, spheres, background, truth))
    sds = {name: one.total for name, one in parts.items()}
    spacing, step_mm = volume.spacing_zyx_mm, step_along_mm(volume, pose)
    sds |= dict(standard_deviations(noise, scatter, spheres, background, lung, truth, spacing, step_mm))
    places = places_of(volume, pose, noise, scatter, background.mean)
    sds |= dict(placement(pose, noise, places, background.mean, layout))
    editions = editions_for(sheet)
    curves = filter_curves(volume, regions, background, spheres, truth, editions)
    biases_pct = biases_pct_of(truth, filling, background.mean)
    advised = (
        harmonise.advise(curves, one, biases_pct=biases_pct, sds=parts, ratio=truth.ratio)
        for one in editions
        if curves is not None
    )
    advice = tuple(one for one in advised if one is not None)
    said = harmonise.finding(advice)
    if said is None and sheet is not None and truth.unit_flags is not QualityFlag.NONE:
        said = harmonise.without_unit()
    cut = QualityFlag.NONE if all(sphere.is_whole for sphere in spheres) else QualityFlag.OUTSIDE_IMAGE
    cut |= QualityFlag.COLD_SPHERE if pose.cold_spheres else QualityFlag.NONE
    return NemaIqResult(
        measurements=(
            *(
                replace(one, uncertainty=sds[one.name]) if one.name in sds and one.value is not None else one
                for one in list_measurements(volume, pose, layout, background, spheres, lung, truth, fwhm_mm)
            ),
            *harmonise.measurements(
                editions,
                advice,
                recovery_flags=cut | truth.unit_flags | truth.sphere_flags,
                contrast_flags=cut | truth.ratio_flags,
            ),
        ),
        findings=(
            *list_findings(pose, layout, background, spheres, edition),
            *((said,) if said else ()),
        ),
        pose=pose,
        spheres=spheres,
        layout=layout,
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
    )


def look_for_faults(volume: PetVolume, result: NemaIqResult) -> NemaIqResult:
    """Add what is uneven in the background and odd in a sphere: no standard asks, but it says why one is failed.

    The background is looked at along the axis and around it, each sphere beside its siblings, on voxels no finer than
    needed.
    """
    fine = binned(along_patient_axes(volume), FINE_VOXEL_MM)
    columns = background_columns.measure(fine, result.pose, result.layout)
    contents = None
    if columns is not None and result.fwhm_mm is not None:
        sigma_mm = result.fwhm_mm / FWHM_PER_SIGMA
        contents = sphere_contents.compare(fine, result.pose, columns.noise, sigma_mm, columns.half_noises)
    found = (*unevenness(columns), *sphere_findings(result.pose, contents, columns), *sight(contents))
    result = replace(result, columns=columns, contents=contents)
    result = without_filter(result, (*harmonise.prechecks_failed(found), *fill_prechecks(result)))
    told = tuple(harmonise.beside(one, found) if one.id == "PHA-HARMONISE" else one for one in result.findings)
    return replace(
        result,
        measurements=(*result.measurements, *list_bubble_limits(result.pose, contents)),
        findings=(*told, *found),
    )
