"""Find a phantom in an image by itself: where it lies, how it is turned, and how sure that is."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from phantoms import sphere_ring
from phantoms.acr_pose import AcrPose, find_acr
from phantoms.body import Body, find_body, without_hot_ends
from phantoms.cylinder_pose import CylinderPose, find_cylinder
from phantoms.sight import PhantomNotFound, Place, Sight
from phantoms.sphere_order import is_cold
from phantoms.spheres import DIAMETERS_MM, FWHM_PER_SIGMA
from phantoms.volume import PetVolume, along_patient_axes, binned

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["AcrPose", "CylinderPose", "NemaPose", "find_acr", "find_cylinder", "find_nema_iq"]

_NEMA_GUESSES = 3  # places of the coarse search that the fine fit looks at before it gives up
_MIN_EXPLAINED = 0.7
_MIN_ORDER_CONFIDENCE = 0.99
_MAX_RESIDUAL_MM = 6.0
_MAX_RADIUS_ERROR_MM = 8.0
_MIN_CONTRAST = 1.0  # spheres at least twice the background
_LARGE_SPHERE_RANGE = (0.5, 1.7)  # heights of the 37 and 28 mm spheres over the common one
_VISIBLE_RANGE = (0.3, 3.0)
_MIN_VISIBLE = 4
_MAX_FWHM_MM = 15.0
_MAX_REFITS = 4
_MAX_MOVE_MM = 4.0  # as far as the coarse search may err; from farther the fit sees other voxels, and is made again
_MAX_ODD = 2
_NO_RING = "nothing in the image looks like six hot spheres on a ring"


@dataclass(frozen=True)
class NemaPose:
    """Where the NEMA image-quality phantom lies. Positions are DICOM patient coordinates (LPS), millimetres.

    Attributes
    ----------
    spheres : dict of int to ndarray, shape (3,)
        Centre of each sphere by its inner diameter in mm, the largest first.
    axis : ndarray, shape (3,)
        Unit vector along the phantom's axis, square to the plane of the spheres, towards +z (head).
    center_lps_mm : ndarray, shape (3,)
        Centre of the ring of spheres.
    frame : ndarray, shape (3, 3)
        The phantom's own directions as columns: towards the 37 mm sphere's place, across it the way the sizes fall,
        and ``axis``. Left-handed where the sizes fall the other way round.
    lung_center_lps_mm, lung_radius_mm : ndarray and float, or None
        Where the cold insert crosses the sphere plane, and its radius; None where there is none.
    filled_mm : tuple of float
        Where the filled body begins and ends along ``axis``, from the sphere plane.
    is_cut : tuple of bool
        True where the image, not the phantom, ends there.
    tilt_deg : float
        Angle between ``axis`` and z.
    ring_radius_mm : float
        Fitted radius of the ring; phantoms are made to 57.2.
    fwhm_mm : float
        Blur common to all spheres in the fit that placed them.
    background : float
        Fitted background among the spheres, in the image's unit.
    contrast : float
        Fitted sphere concentration over background, from the image alone.
    residual_mm : float
        Root mean square distance of the spheres from their places on the rigid ring.
    order_confidence : float
        Probability, from the spheres' sizes, that the order round the ring is this one and none of the other eleven,
        with the two largest hot or cold as ``cold_spheres`` says.
    cold_spheres : tuple of int
        Diameters of the spheres that hold no activity: 37 and 28 in editions of NEMA NU 2 before 2018, else none.
    odd_spheres : tuple of int
        Diameters of spheres whose profile fits neither this order's size nor the others' concentration: empty,
        misfilled, a bubble. They had no say in where the ring lies.
    explained : float
        Share of the voxels' variance, beyond noise, that six equal spheres on a ring explain.
    """

    spheres: dict[int, NDArray[np.float64]]
    axis: NDArray[np.float64]
    center_lps_mm: NDArray[np.float64]
    frame: NDArray[np.float64]
    lung_center_lps_mm: NDArray[np.float64] | None
    lung_radius_mm: float | None
    filled_mm: tuple[float, float]
    is_cut: tuple[bool, bool]
    tilt_deg: float
    ring_radius_mm: float
    fwhm_mm: float
    background: float
    contrast: float
    residual_mm: float
    order_confidence: float
    cold_spheres: tuple[int, ...]
    odd_spheres: tuple[int, ...]
    explained: float


def find_nema_iq(volume: PetVolume) -> NemaPose:
    """Find the six spheres of a NEMA image-quality phantom, their order and the phantom's axis.

    Any flip, any turn about the axis and either order of the spheres; the axis within about 15 degrees of z.

    Parameters
    ----------
    volume : PetVolume
        The image, in any unit.

    Raises
    ------
    PhantomNotFound
        ``PHA-NOT-FOUND`` where no ring explains the image well enough, or its order is not sure. ``detail`` says what
        was seen instead, ``sight`` where.

    Notes
    -----
    Outline and axis from the image at half its background; template search over centre, turn and order; then a
    least-squares fit of one rigid ring of blurred spheres to the voxels (`phantoms.sphere_ring`). Refused where fewer
    than four spheres are seen, the fitted ring's radius is more than 8 mm off 57.2, the spheres stand more than 6 mm
    (root mean square) off the ring, the order is less than 0.99 probable, or the model explains less than 0.7 of the
    variance beyond noise. A uniform cylinder fails in the template search already; patients fail several of these.
    """
    oriented = along_patient_axes(volume)
    fine = binned(oriented, sphere_ring.FINE_VOXEL_MM)
    body = find_body(fine)
    if body is None:
        raise _not_found("no body stands out from the image", Sight(None))
    fine = without_hot_ends(fine, body)
    seen: list[tuple[float, Place]] = []
    for guess in sphere_ring.guesses(body, count=_NEMA_GUESSES):
        found = _fit(fine, guess)
        doubt = _NO_RING if found is None else _doubt(*found)
        if found is not None and doubt is None:
            return _pose(fine, body, *found)
        ring = guess if found is None else found[0].ring
        circles = zip(ring.places_lps_mm, sphere_ring.RADII_MM.tolist(), strict=True)
        place = Place(ring.center_lps_mm, ring.frame[:, 2], tuple(circles), doubt or "")
        seen.append((0.0 if found is None else found[0].explained, place))
    places = tuple(place for _, place in sorted(seen, key=lambda one: -one[0]))
    outline = PetVolume(body.mask.astype(np.float32), body.image.affine_lps_mm, "1")
    raise _not_found(places[0].why_not if places else _NO_RING, Sight(outline, places))


def _fit(volume: PetVolume, guess: sphere_ring.Ring) -> tuple[sphere_ring.RingFit, sphere_ring.FreeFit] | None:
    """Fit the ring from the guess, then let the spheres leave it; None where one of both finds nothing."""
    noise = sphere_ring.background_noise(volume, guess)
    fit = None if noise is None else _settled(volume, guess, noise)
    if noise is None or fit is None:
        return None
    free = sphere_ring.free_spheres(volume, fit, noise=noise)
    return None if free is None else (fit, free)


def _settled(volume: PetVolume, guess: sphere_ring.Ring, noise: float) -> sphere_ring.RingFit | None:
    """Fit from the guess, and again while the order, the odd spheres or a far move ask for it."""
    start, without = guess, frozenset[int]()
    for _ in range(_MAX_REFITS):
        fit = sphere_ring.fit_ring(volume, start, noise=noise, without=without)
        if fit is None:
            return None
        moved_mm = float(np.linalg.norm(fit.ring.center_lps_mm - start.center_lps_mm))
        is_settled = fit.is_in_order and fit.order.odd == without
        if is_settled and moved_mm < _MAX_MOVE_MM:
            return fit
        # With three or more odd ones the order itself is in doubt: all six have their say again.
        start = fit.ring.reordered(fit.order.start, fit.order.way, has_cold=fit.order.has_cold)
        without = fit.order.odd if len(fit.order.odd) <= _MAX_ODD else frozenset()
    return fit


def _doubt(fit: sphere_ring.RingFit, free: sphere_ring.FreeFit) -> str | None:
    """Return why this fit is not taken for the phantom, in words; None where it is."""
    ring = fit.ring
    height = free.amplitudes / ring.heights
    visible = int(np.sum((height > _VISIBLE_RANGE[0]) & (height < _VISIBLE_RANGE[1])))
    fwhm_mm = ring.sigma_mm * FWHM_PER_SIGMA
    if ring.background <= 0 or ring.amplitude < _MIN_CONTRAST * ring.background:
        return "nothing on a ring of 114 mm is hotter than twice its surroundings"
    if fit.explained < _MIN_EXPLAINED or fwhm_mm > _MAX_FWHM_MM:
        return f"six spheres on a ring explain {100 * max(fit.explained, 0.0):.0f} % of the best place's contrast"
    if visible < _MIN_VISIBLE or not np.all(
        (height[:2] > _LARGE_SPHERE_RANGE[0]) & (height[:2] < _LARGE_SPHERE_RANGE[1])
    ):
        return f"{visible} of six spheres are seen on the ring"
    if abs(ring.radius_mm - sphere_ring.RING_RADIUS_MM) >= _MAX_RADIUS_ERROR_MM:
        return f"the ring's radius is {ring.radius_mm:.0f} mm, 57 is expected"
    if free.residual_mm > _MAX_RESIDUAL_MM:
        return f"the spheres lie {free.residual_mm:.0f} mm off their ring"
    if not fit.is_in_order or fit.order.probability < _MIN_ORDER_CONFIDENCE:
        return "which sphere is which is not sure"
    return None


def _pose(volume: PetVolume, body: Body, fit: sphere_ring.RingFit, free: sphere_ring.FreeFit) -> NemaPose:
    ring = fit.ring
    filled_mm, is_cut = sphere_ring.filled_extent(body.image, ring)
    lung = sphere_ring.cold_insert(volume, ring, filled_mm)
    axis = ring.frame[:, 2]
    return NemaPose(
        spheres=dict(zip(DIAMETERS_MM, free.centers_lps_mm, strict=True)),
        axis=axis,
        center_lps_mm=ring.center_lps_mm,
        frame=ring.frame,
        lung_center_lps_mm=lung[0] if lung else None,
        lung_radius_mm=lung[1] if lung else None,
        filled_mm=filled_mm,
        is_cut=is_cut,
        tilt_deg=math.degrees(math.acos(min(1.0, abs(float(axis[2]))))),
        ring_radius_mm=ring.radius_mm,
        fwhm_mm=ring.sigma_mm * FWHM_PER_SIGMA,
        background=float(ring.background),
        contrast=float(1.0 + ring.amplitude / ring.background),
        residual_mm=free.residual_mm,
        order_confidence=fit.order.probability,
        cold_spheres=tuple(d for d, cold in zip(DIAMETERS_MM, is_cold(has_cold=ring.has_cold), strict=True) if cold),
        odd_spheres=tuple(DIAMETERS_MM[j] for j in sorted(fit.order.odd)),
        explained=fit.explained,
    )


def _not_found(what: str, sight: Sight) -> PhantomNotFound:
    return PhantomNotFound(
        f"We could not find the six spheres: {what}.",
        next_step="Check that the whole phantom is in the field and that this is the NEMA IQ phantom.",
        sight=sight,
    )
