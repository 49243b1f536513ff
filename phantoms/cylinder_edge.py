"""Resolution of an image from the edge of a uniform cylinder, with the cylinder's radius and axis.

The profile of a cylinder across its axis is a short sum of error functions; the width of the Gaussian that fits the
voxels best is the image's resolution where the edge lies.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage, special

from phantoms.cylinder_pose import slice_heights_mm
from phantoms.resolution import MAX_FWHM_MM, MIN_FWHM_MM
from phantoms.spheres import FWHM_PER_SIGMA, Fit, least_squares

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from phantoms.cylinder_pose import CylinderPose
    from phantoms.volume import PetVolume

EDGE_REACH_MM = 25.0  # the edge of the widest blur that is looked for ends within three of its sigmas
_EDGE_BIN_MM = 0.25
_AXIS_STEPS = 3
_SECTORS, _LAYERS = 8, 3  # parts of the edge, each many times wider than noise is correlated
# Nodes across the edge's curvature: the square root under the sum is smooth, so few are exact.
_NODES, _WEIGHTS = np.polynomial.hermite_e.hermegauss(7)
_WEIGHTS = _WEIGHTS / _WEIGHTS.sum()


@dataclass(frozen=True)
class EdgeFit:
    """The blurred cylinder that fits the edge of a uniform one best.

    Attributes
    ----------
    fwhm_mm, sd_mm : float or None
        Width of the blur at half its height across the axis, and its standard deviation; None where the fit ran into a
        bound or found no minimum.
    radius_mm, radius_sd_mm : float
        Radius of the activity, the phantom's inner wall, and its standard deviation.
    axis : ndarray, shape (3,)
        Unit vector along the cylinder (LPS), round which the edge lies evenly.
    axis_sd_deg : float
        Standard deviation of its direction, either way.
    level, outside : float
        Reading at the edge inside, and outside, over the mean of the slice.
    misfit : float
        Root mean square residual of the profile over the height of the edge.
    profile_r_mm, profile_ratio, fitted_ratio : ndarray, shape (n,)
        The measured profile and the fitted one, over ``level``.
    """

    fwhm_mm: float | None
    sd_mm: float | None
    radius_mm: float
    radius_sd_mm: float
    axis: NDArray[np.float64]
    axis_sd_deg: float
    level: float
    outside: float
    misfit: float
    profile_r_mm: NDArray[np.float64]
    profile_ratio: NDArray[np.float64]
    fitted_ratio: NDArray[np.float64]


def fit_edge(
    volume: PetVolume,
    pose: CylinderPose,
    used: NDArray[np.bool_],
    slice_mean: NDArray[np.float64],
    correlation: tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]],
) -> EdgeFit:
    """Fit the blur of a uniform cylinder's edge across its axis.

    Every voxel of the used slices within 25 mm of the wall is sorted by its distance from the phantom's own axis, so
    that a voxel grid of any step samples the edge finely. The axis is first moved to where the edge, seen in eight
    sectors and three layers, lies evenly round it. Free are the radius, the width, the level and its bend inside
    (cupping), and the level outside. A cold wall needs no term: no activity lies beyond the inner one.

    Parameters
    ----------
    volume : PetVolume
        The image, slices along the patient's axes.
    pose : CylinderPose
        Where the cylinder lies.
    used : ndarray of bool, shape (slices,)
        Slices that lie wholly within the cylinder, away from its ends.
    slice_mean : ndarray, shape (slices,)
        What each slice is divided by, so that a slope along the axis bends no edge; NaN leaves it as it is. A tilted
        slice is divided by what the slope makes of it at each voxel's own height.
    correlation : tuple of three ndarrays
        The noise's autocorrelation along z, y and x from lag 0, as `phantoms.voxel_noise.VoxelNoise` has it.

    Returns
    -------
    EdgeFit

    Notes
    -----
    A disc of radius R, blurred by a Gaussian of sigma in two dimensions, at the distance r from its middle: the mean of
    ``Phi((sqrt(R² - y²) - r) / sigma)`` over a Gaussian y of the same sigma. The standard deviation is that of the fit
    with each of the 24 parts left out in turn, so an uneven edge is in it, times what neighbours share of their noise:
    with C the covariance of what the parts add to the number, leaving out sees n/(n−1) (tr C − 1ᵀC1/n) where the number
    has 1ᵀC1. Voxels are taken as point samples, so the width includes the averaging over a voxel. Source: Lodge 2009,
    J Nucl Med 50:1307 (a uniform cylinder's edge gives the resolution of clinical images), and the oblique cylinder of
    the same group, whose voxels
    sample the edge finely.
    """
    edge = _Edge(volume, pose, used, slice_mean)
    moved = np.zeros(4)
    for _ in range(_AXIS_STEPS):
        number, total, radii = edge.sort(moved)
        step, axis_sd = edge.displacement(number, total, radii, _fit_profile(number, total, radii, pose))
        moved = moved + step
    number, total, radii = edge.sort(moved)
    fit = _fit_profile(number, total, radii, pose)
    shared = edge.shared(moved, number, radii, fit.parameters, correlation)
    _, axis_sd = edge.displacement(number, total, radii, fit, shared.of_place)
    p, level = fit.parameters, float(fit.parameters[2])
    model = _edge_model(radii, p)[0]
    counts = number.sum(axis=0)
    measured = total.sum(axis=0) / counts
    misfit = math.sqrt(float(counts @ (measured - model) ** 2) / float(counts.sum())) / max(abs(level), 1e-30)
    # What the width of a bin adds to the variance is taken off again.
    fwhm_mm = math.sqrt(max(float(p[1]) ** 2 - _EDGE_BIN_MM**2 / 12, 0.0)) * FWHM_PER_SIGMA
    is_inside = MIN_FWHM_MM < p[1] * FWHM_PER_SIGMA < MAX_FWHM_MM and abs(p[0] - pose.radius_mm) < EDGE_REACH_MM / 2
    is_good = fit.converged and is_inside and level > 0
    radius_sd, sigma_sd = _left_out_sd(number, total, radii, p)
    radius_sd, sigma_sd = radius_sd * _sharing(shared.of_radius), sigma_sd * _sharing(shared.of_sigma)
    return EdgeFit(
        fwhm_mm=fwhm_mm if is_good else None,
        sd_mm=sigma_sd * FWHM_PER_SIGMA if is_good else None,
        radius_mm=float(p[0]),
        radius_sd_mm=radius_sd,
        axis=edge.axis(moved),
        axis_sd_deg=math.degrees(axis_sd),
        level=level,
        outside=float(p[3]),
        misfit=misfit,
        profile_r_mm=radii,
        profile_ratio=measured / level,
        fitted_ratio=model / level,
    )


@dataclass(frozen=True)
class _Shared:
    """How the noise of the parts goes together: covariances ``[part, part]``, up to a factor, of what each adds.

    ``of_radius`` and ``of_sigma`` are of their shares in the fit, ``of_place`` of each part's pull outward.
    """

    of_radius: NDArray[np.float64]
    of_sigma: NDArray[np.float64]
    of_place: NDArray[np.float64]


def _sharing(covariance: NDArray[np.float64]) -> float:
    """Return the SD of a sum of parts over that which leaving out one at a time sees."""
    n = len(covariance)
    whole, own = float(covariance.sum()), float(np.trace(covariance))
    seen = n / (n - 1) * (own - whole / n)
    return math.sqrt(whole / seen) if whole > 0 and seen > 0 else 1.0


class _Edge:
    """The voxels near a cylinder's wall, sorted by their distance from its axis and by part of the edge."""

    def __init__(
        self, volume: PetVolume, pose: CylinderPose, used: NDArray[np.bool_], slice_mean: NDArray[np.float64]
    ) -> None:
        self.image, self.slices = volume.image, np.flatnonzero(used)
        self.mean = np.where(np.isfinite(slice_mean) & (slice_mean > 0), slice_mean, np.nanmean(slice_mean[used]))
        #: Where each slice cuts the axis, and how the slice means rise along it.
        self.cut_mm = slice_heights_mm(volume, pose.center_lps_mm, pose.axis)
        self.rise_per_mm = float(np.polyfit(self.cut_mm[used], self.mean[used], 1)[0])
        self.radius_mm = pose.radius_mm
        across = np.cross(pose.axis, [0.0, 1.0, 0.0])
        across /= np.linalg.norm(across)
        self.frame = frame = np.stack([across, np.cross(pose.axis, across), pose.axis])
        #: Position of voxel [0, 0, 0] in the cylinder's own frame, and its steps for z, y, x.
        self.start = frame @ (volume.affine_lps_mm[:3, 3] - pose.center_lps_mm)
        self.steps = (frame @ volume.affine_lps_mm[:3, :3]).T[::-1]
        self.count = int(2 * EDGE_REACH_MM / _EDGE_BIN_MM)
        self.layer = np.arange(len(self.slices)) * _LAYERS // len(self.slices)
        rows, columns = self.image.shape[1:]
        self.plane = (
            np.arange(rows)[:, None, None] * self.steps[1] + np.arange(columns)[None, :, None] * self.steps[2]
        ).reshape(-1, 3)

    def axis(self, moved: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the unit vector along the moved axis, in patient space."""
        leaning = np.array([moved[2], moved[3], 1.0]) @ self.frame
        return np.asarray(leaning / np.linalg.norm(leaning))

    def sort(self, moved: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
        """Return the number of voxels and their sum, ``[part, bin]``, and each bin's mean radius.

        ``moved`` is where the axis lies in the frame at the middle (two numbers) and its lean (two more).
        """
        parts = _SECTORS * _LAYERS
        sums = np.zeros((3, parts * self.count))
        low_mm = self.radius_mm - EDGE_REACH_MM
        for k, layer in zip(self.slices, self.layer, strict=True):
            own = self.plane + self.start + k * self.steps[0]
            u = own[:, 0] - moved[0] - moved[2] * own[:, 2]
            v = own[:, 1] - moved[1] - moved[3] * own[:, 2]
            radius = np.hypot(u, v)
            near = np.flatnonzero(np.abs(radius - self.radius_mm) < EDGE_REACH_MM)
            u, v, radius = u[near], v[near], radius[near]
            sector = np.floor(np.arctan2(v, u) / (2 * math.pi) * _SECTORS).astype(np.intp) % _SECTORS
            bins = np.minimum(((radius - low_mm) / _EDGE_BIN_MM).astype(np.intp), self.count - 1)
            place = (layer * _SECTORS + sector) * self.count + bins
            level = self.mean[k] + self.rise_per_mm * (own[near, 2] - self.cut_mm[k])
            values = self.image[k].ravel()[near].astype(np.float64) / level
            for row, weights in zip(sums, (np.ones_like(radius), values, radius), strict=True):
                row += np.bincount(place, weights=weights, minlength=len(row))
        number, total, radii = sums.reshape(3, parts, self.count)
        seen = number.sum(axis=0) > 0
        number, total, radii = number[:, seen], total[:, seen], radii[:, seen]
        return number, total, radii.sum(axis=0) / number.sum(axis=0)

    def shared(
        self,
        moved: NDArray[np.float64],
        number: NDArray[np.float64],
        radii: NDArray[np.float64],
        p: NDArray[np.float64],
        correlation: tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]],
    ) -> _Shared:
        """Return how the parts' noise goes together, its variance growing with the signal.

        Parts that touch neither over an edge nor over a corner are far apart, so four sets of them, every other sector
        and layer, are smeared by the correlation together; what a part has in common with the neighbours of one set is
        shared out evenly between them.
        """
        model, jacobian = _edge_model(radii, p)
        counts = number.sum(axis=0)
        influence = np.linalg.pinv((jacobian * counts[:, None]).T @ jacobian, hermitian=True) @ jacobian.T
        rows = np.stack([influence[0], influence[1], jacobian[:, 0]]) * np.sqrt(np.maximum(model, 0.0))
        shape = (len(self.slices), *self.image.shape[1:])
        part = np.full(shape, -1, dtype=np.intp).reshape(len(self.slices), -1)
        fields = np.zeros((3, *part.shape))
        for row, (k, layer) in enumerate(zip(self.slices, self.layer, strict=True)):
            own = self.plane + self.start + k * self.steps[0]
            u = own[:, 0] - moved[0] - moved[2] * own[:, 2]
            v = own[:, 1] - moved[1] - moved[3] * own[:, 2]
            radius = np.hypot(u, v)
            near = np.flatnonzero(np.abs(radius - self.radius_mm) < EDGE_REACH_MM)
            sector = np.floor(np.arctan2(v[near], u[near]) / (2 * math.pi) * _SECTORS).astype(np.intp) % _SECTORS
            part[row, near] = layer * _SECTORS + sector
            for field, values in zip(fields, rows, strict=True):
                field[row, near] = np.interp(radius[near], radii, values)
        layers, sectors = np.divmod(np.arange(_SECTORS * _LAYERS), _SECTORS)
        colour = layers % 2 * 2 + sectors % 2
        apart = np.abs(sectors[:, None] - sectors[None, :])
        touch = (np.minimum(apart, _SECTORS - apart) <= 1) & (np.abs(layers[:, None] - layers[None, :]) <= 1)
        kernels = [np.concatenate([by_lag[:0:-1], by_lag]) for by_lag in correlation]
        seen = part >= 0
        found = []
        for field in fields:
            covariance = np.zeros((len(colour), len(colour)))
            for one in range(4):
                smeared = np.where(seen & (colour[part] == one), field, 0.0).reshape(shape)
                for axis, kernel in enumerate(kernels):
                    smeared = ndimage.correlate1d(smeared, kernel, axis=axis, mode="constant")
                together = np.bincount(
                    part[seen], weights=field[seen] * smeared.reshape(part.shape)[seen], minlength=len(colour)
                )
                of_set = touch & (colour == one)[None, :]
                covariance += of_set * (together / np.maximum(of_set.sum(axis=1), 1))[:, None]
            found.append((covariance + covariance.T) / 2)
        return _Shared(*found)

    def displacement(
        self,
        number: NDArray[np.float64],
        total: NDArray[np.float64],
        radii: NDArray[np.float64],
        fit: Fit,
        covariance: NDArray[np.float64] | None = None,
    ) -> tuple[NDArray[np.float64], float]:
        """Return where the axis lies, from how far out each part's edge is, and the standard deviation of its lean.

        With the ``covariance`` of the parts' pulls, up to a factor, the deviation counts what neighbours share.
        """
        model, jacobian = _edge_model(radii, fit.parameters)
        slope = jacobian[:, 0]
        weight = (number * slope**2).sum(axis=1)
        outward = ((total - number * model) @ slope) / np.maximum(weight, 1e-30)
        angle = 2 * math.pi * (np.arange(_SECTORS) + 0.5) / _SECTORS
        # A part sees the mean of the cosine over its sector.
        cosine, sine = (np.sinc(1 / _SECTORS) * turned(angle) for turned in (np.cos, np.sin))
        heights = self.start[2] + self.slices * self.steps[0, 2]
        height = np.array([heights[self.layer == layer].mean() for layer in range(_LAYERS)])
        c, s, h = np.tile(cosine, _LAYERS), np.tile(sine, _LAYERS), np.repeat(height, _SECTORS)
        root = np.sqrt(weight)
        design = np.stack([c, s, h * c, h * s, np.ones_like(c)], axis=1) * root[:, None]
        found = np.linalg.lstsq(design, outward * root, rcond=None)[0]
        left = outward * root - design @ found
        solve = np.linalg.pinv(design)
        noise = np.eye(len(left))
        if covariance is not None:
            noise = covariance / np.maximum(np.outer(root, root), 1e-30)
        # The scatter that is left tells the factor: of noise of this covariance the fit leaves tr((1 − H) C).
        freedom = float(np.trace(noise) - np.trace(design @ solve @ noise))
        scatter = solve @ noise @ solve.T * float(left @ left) / max(freedom, 1e-30)
        return np.asarray(found[:4]), math.sqrt(float(scatter[2, 2] + scatter[3, 3]) / 2)


def _edge_model(radii: NDArray[np.float64], p: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the blurred disc at each radius and its derivatives by radius, sigma, level, outside and bend."""
    radius, sigma, level, outside, bend = (float(one) for one in p)
    chord = np.sqrt(radius**2 - (sigma * _NODES) ** 2)
    t = (chord[None, :] - radii[:, None]) / sigma
    density = np.exp(-(t**2) / 2) / math.sqrt(2 * math.pi)
    disc = special.ndtr(t) @ _WEIGHTS
    by_radius = density @ (_WEIGHTS * radius / (chord * sigma))
    by_sigma = (density * (-(_NODES**2) / chord - t / sigma)) @ _WEIGHTS
    inward = (radii / radius) ** 2 - 1
    inside = level + bend * inward
    height = inside - outside
    jacobian = np.stack([height * by_radius, height * by_sigma, disc, 1 - disc, inward * disc], axis=1)
    return outside + height * disc, jacobian


def _fit_profile(
    number: NDArray[np.float64], total: NDArray[np.float64], radii: NDArray[np.float64], pose: CylinderPose
) -> Fit:
    counts = number.sum(axis=0)
    measured = total.sum(axis=0) / counts
    weight = np.sqrt(counts / counts.sum())
    is_deep = radii < pose.radius_mm - EDGE_REACH_MM / 2
    scale = float(measured[is_deep].mean()) if is_deep.any() else float(measured.max())

    def residuals(p: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        model, jacobian = _edge_model(radii, p)
        return weight * (model - measured), weight[:, None] * jacobian

    reach = 10.0 * abs(scale)
    return least_squares(
        residuals,
        np.array([pose.radius_mm, 3.0, scale, 0.0, 0.0]),
        low=np.array([pose.radius_mm - EDGE_REACH_MM / 2, MIN_FWHM_MM / FWHM_PER_SIGMA, -reach, -reach, -reach]),
        high=np.array([pose.radius_mm + EDGE_REACH_MM / 2, MAX_FWHM_MM / FWHM_PER_SIGMA, reach, reach, reach]),
        tolerance=np.array([1e-4, 1e-4, 1e-5 * reach, 1e-5 * reach, 1e-4 * reach]),
    )


def _left_out_sd(
    number: NDArray[np.float64], total: NDArray[np.float64], radii: NDArray[np.float64], p: NDArray[np.float64]
) -> tuple[float, float]:
    """Return the standard deviations of radius and sigma: each part left out in turn, by one step of the fit."""
    model, jacobian = _edge_model(radii, p)
    of_part = np.einsum("pn,ni,nj->pij", number, jacobian, jacobian)
    gradient = (number * model - total) @ jacobian
    whole, pull = of_part.sum(axis=0), gradient.sum(axis=0)
    parts = len(number)
    steps = [np.linalg.lstsq(whole - of_part[k], gradient[k] - pull, rcond=None)[0][:2] for k in range(parts)]
    scatter = ((np.array(steps) - np.mean(steps, axis=0)) ** 2).sum(axis=0)
    radius_sd, sigma_sd = np.sqrt((parts - 1) / parts * scatter)
    return float(radius_sd), float(sigma_sd)
