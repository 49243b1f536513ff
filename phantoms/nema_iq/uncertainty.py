"""One standard deviation of every number of the NEMA image-quality phantom: noise of the image, and the fills."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

import numpy as np

from phantoms import background_rois, resolution, ring_scatter, sphere_noise
from phantoms.nema_iq.background import PLANE_OFFSETS_MM, Background
from phantoms.spheres import FWHM_PER_SIGMA

if TYPE_CHECKING:
    from phantoms.localise import NemaPose
    from phantoms.nema_iq.lung import Lung
    from phantoms.nema_iq.sphere import SphereResult
    from phantoms.nema_iq.truth import Truth
    from phantoms.volume import PetVolume

_DRAWN = 400  # the root mean square of so many is known to 4 %


def scatter_of(
    volume: PetVolume,
    pose: NemaPose,
    noise: sphere_noise.Noise,
    fits: Mapping[int, resolution.SphereFit],
    background: float,
    regions: Mapping[int, sphere_noise.Regions],
) -> dict[int, sphere_noise.SphereScatter | None]:
    """Return how the readings of each sphere scatter; None where no blurred sphere fits it or the image cuts it.

    All spheres are read off the same noise: it is drawn once, as wide as the largest needs it.
    """
    shape = tuple(max(sizes) for sizes in zip(*(one.shape for one in regions.values()), strict=True))
    rng = np.random.default_rng(sphere_noise.SEED)
    copies = noise.copies(shape, volume.spacing_zyx_mm, sphere_noise.COPIES, rng)
    found: dict[int, sphere_noise.SphereScatter | None] = {}
    filling_from = {d for d in fits if d >= resolution.FILLING_FROM_MM} - set(pose.cold_spheres)
    fillings: list[float] = []
    for diameter, where in regions.items():  # the largest first, whose filling the small ones take
        fit = fits[diameter]
        is_filled = fit.concentration > background or diameter in pose.cold_spheres
        is_read = fit.fwhm_mm is not None and is_filled and where.box.is_whole and where.disc.is_complete
        filling_sd = sphere_noise.median_sd(fillings) if fillings and diameter < resolution.SMALLEST_FREE_MM else 0.0
        sphere = sphere_noise.SphereNoise(volume, noise, pose, diameter, fit, background, filling_sd)
        found[diameter] = own = sphere.scatter(where, copies) if is_read else None
        if own is not None and own.filling is not None and diameter in filling_from:
            fillings.append(own.filling)
    return found


def places_of(
    volume: PetVolume,
    pose: NemaPose,
    noise: sphere_noise.Noise,
    scatter: Mapping[int, sphere_noise.SphereScatter | None],
    background: float,
) -> dict[int, sphere_noise.PlaceScatter]:
    """Return how surely each sphere is placed; one without a fit of its own is taken as the ring has it."""
    places = {}
    for diameter, found in scatter.items():
        if found is not None:
            places[diameter] = found.place
            continue
        inside = 0.0 if diameter in pose.cold_spheres else pose.background * pose.contrast
        as_ring = resolution.SphereFit(pose.fwhm_mm, inside, pose.background, misfit=0.0)
        places[diameter] = sphere_noise.SphereNoise(volume, noise, pose, diameter, as_ring, background).place()
    return places


def placement(
    pose: NemaPose,
    noise: sphere_noise.Noise,
    places: Mapping[int, sphere_noise.PlaceScatter],
    background: float,
    layout: background_rois.BackgroundRois,
) -> Iterator[tuple[str, float]]:
    """Yield names of what says how the phantom lies, and how its regions, with one standard deviation each."""
    with_a_say = {diameter: place for diameter, place in places.items() if diameter not in pose.odd_spheres}
    ring = ring_scatter.ring_scatter(pose, with_a_say, noise.cov * background)
    if ring is not None:
        yield "phantom_tilt_deg", ring.tilt_deg
        yield "localisation_residual_mm", ring.residual_mm
    yield "background_edge_margin_mm", _edge_margin_sd_mm(pose, noise, layout)
    yield "background_sphere_margin_mm", _sphere_margin_sd_mm(pose, places, layout)


def _edge_margin_sd_mm(pose: NemaPose, noise: sphere_noise.Noise, layout: background_rois.BackgroundRois) -> float:
    """Return how far the smallest of the true distances between region and wall is from the smallest found.

    Noise moves a half level by the noise there, whose variance is half the background's, over the slope
    ``1 / √(2π) σ`` of a wall blurred by σ. The mean over heights and arc keeps a part of that variance, and least
    squares across the wall 2 / √(1 + σ²/s²) of it, s the noise's own Gaussian. How much the wall bends is taken as
    anything from flat to the body's corners alike. Another region than the nearest found may be the nearest in truth.
    """
    sigma_mm = pose.fwhm_mm / FWHM_PER_SIGMA
    heights, arc = (np.array(one, dtype=np.float64) for one in (background_rois.SLAB_MM, background_rois.ARC_MM))
    kept = float(noise.correlation(heights[:, None] - heights, 0).mean())
    kept *= math.sqrt(math.prod(float(noise.correlation(arc[:, None] - arc, axis).mean()) for axis in (1, 2)))
    kept *= 2.0 / math.sqrt(1.0 + sigma_mm**2 / math.prod(noise.sd_zyx_mm[1:]))
    of_noise = noise.cov * math.sqrt(0.5 * kept) * math.sqrt(2.0 * math.pi) * sigma_mm
    of_bend = background_rois.MAX_BEND_PER_MM / math.sqrt(12.0) * background_rois.inwards_mm2(pose)
    rng = np.random.default_rng(background_rois.COUNT)
    off = math.hypot(of_noise, of_bend) * rng.standard_normal((_DRAWN, background_rois.COUNT))
    true = (layout.edge_margins_mm + off).min(axis=1)
    return math.sqrt(float(np.square(true - layout.edge_margin_mm).mean()))


def _sphere_margin_sd_mm(
    pose: NemaPose, places: Mapping[int, sphere_noise.PlaceScatter], layout: background_rois.BackgroundRois
) -> float:
    """Return how far the smallest true distance between a region and a sphere is from the one found.

    The regions stand where they were put; the spheres err by what their own voxels tell, and another than the nearest
    may be the nearest in truth.
    """
    rng = np.random.default_rng(len(places))
    off, margins = [], []
    for diameter, place in places.items():
        apart = (layout.centers_lps_mm - pose.spheres[diameter]) @ pose.frame[:, :2]
        distance = np.linalg.norm(apart, axis=1)
        root = np.linalg.cholesky(pose.frame[:, :2].T @ place.covariance_mm2 @ pose.frame[:, :2] + 1e-12 * np.eye(2))
        off.append(rng.standard_normal((_DRAWN, 2)) @ root.T @ (apart / distance[:, None]).T)
        margins.append(distance - diameter / 2.0)
    found = np.concatenate(margins)
    true = (found + np.concatenate(off, axis=1)).min(axis=1)
    return math.sqrt(float(np.square(true - found.min()).mean()))


def recovery_parts(
    scatter: dict[int, sphere_noise.SphereScatter | None],
    spheres: tuple[SphereResult, ...],
    background: Background,
    truth: Truth,
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


def standard_deviations(
    noise: sphere_noise.Noise,
    scatter: dict[int, sphere_noise.SphereScatter | None],
    spheres: tuple[SphereResult, ...],
    background: Background,
    lung: Lung,
    truth: Truth,
    spacing_zyx_mm: tuple[float, float, float],
    step_mm: float,
) -> Iterator[tuple[str, float]]:
    """Yield names of measurements with one standard deviation each."""
    count = len(background.regions)
    plane_step_mm = PLANE_OFFSETS_MM[1] - PLANE_OFFSETS_MM[0]
    back, back_sd = background.mean, background.standard_error
    means = 0.5 * math.sqrt(sphere_noise.means_share(noise, background.planes, plane_step_mm, count))
    # The regions lie plane by plane; the first place stands for all.
    column = background.regions[:: background_rois.COUNT]
    about_all, about_own = sphere_noise.voxel_shares(noise, column, spacing_zyx_mm, background_rois.COUNT)
    yield "background_cov_pct", background.cov_pct * 0.5 * math.sqrt(about_all)
    yield "background_roughness_pct", background.roughness_pct * 0.5 * math.sqrt(about_own)
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
        for axis, off_mm in zip("xyz", np.sqrt(np.diag(found.place.covariance_mm2)), strict=True):
            yield f"{prefix}_center_{axis}_mm", float(off_mm)
        if sphere.diameter_mm >= resolution.SMALLEST_FREE_MM:
            widths.append(found.fwhm_mm)
    if widths:
        yield "resolution_fwhm_mm", sphere_noise.median_sd(widths)


def step_along_mm(volume: PetVolume, pose: NemaPose) -> float:
    """Return how far apart along the phantom's axis two slices cut it, mm."""
    return 1.0 / abs(float((np.linalg.inv(volume.affine_lps_mm[:3, :3]) @ pose.axis)[2]))
