"""One sphere of the NEMA image-quality phantom: hottest voxel, A50, peak and NEMA's disc, over what is true."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from phantoms import findings, rois
from phantoms.metrics import PeakKernels, PeakPlaces, isocontour
from phantoms.sphere_noise import Regions
from phantoms.spheres import search_box

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from phantoms.localise import NemaPose
    from phantoms.nema_iq.background import Background
    from phantoms.nema_iq.truth import Truth
    from phantoms.volume import PetVolume


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


def regions_of(volume: PetVolume, pose: NemaPose, diameter: int, kernels: PeakKernels) -> Regions:
    """Return where one sphere is read; ``kernels`` are the 1 mL sphere on this grid."""
    center, radius_mm = pose.spheres[diameter], diameter / 2.0
    normal = pose.axis if pose.tilt_deg > findings.STEEP_TILT_DEG else None
    return Regions(
        search_box(volume, pose.spheres, diameter),
        PeakPlaces.within(volume, center, radius_mm, kernels),
        rois.circle(volume, center, radius_mm, normal),
    )


def measure_sphere(
    volume: PetVolume,
    pose: NemaPose,
    diameter: int,
    background: Background,
    axial: Background | None,
    truth: Truth,
    regions: Regions,
    fwhm_mm: float | None,
) -> SphereResult:
    """Measure one sphere.

    Parameters
    ----------
    volume : PetVolume
        Along patient axes.
    pose : NemaPose
    diameter : int
        The sphere's, mm.
    background, axial : Background
        On the phantom's own planes; on slices of the image, or None where these are the same.
    truth : Truth
    regions : Regions
        Where it is read.
    fwhm_mm : float or None
        The blur at this sphere, which is passed on.
    """
    center = pose.spheres[diameter]
    box, places = regions.box, regions.places
    contrast = truth.ratio - 1.0 if truth.ratio is not None and truth.ratio > 1.0 else None
    is_cold = diameter in pose.cold_spheres

    def q_pct(disc_mean: float | None, around: Background) -> float | None:
        if disc_mean is None or (contrast is None and not is_cold):
            return None
        height = disc_mean / around.of_size(diameter) - 1.0
        return -100.0 * height if is_cold or contrast is None else 100.0 * height / contrast

    disc_mean = _mean(volume, regions.disc)
    q = q_pct(disc_mean, background)
    q_axial = None
    if axial is not None:
        q_axial = q_pct(_mean(volume, rois.circle(volume, center, diameter / 2.0)), axial)
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


def _mean(volume: PetVolume, disc: rois.Roi) -> float | None:
    """Return the mean of a disc; None where the image cuts it."""
    return disc.mean(volume.image) if disc.is_complete else None
