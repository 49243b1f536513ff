"""The walls of the six spheres on a CT: where they lie, and how the CT lies to the PET that has their places.

The walls are looked for about their places in the PET, by correlation on a 2 mm grid; each sphere is then fitted as a
thin shell between two fluids, blurred and averaged over the thickness of a slice. One rigid motion takes the PET's
places to the CT's (W. Kabsch, Acta Crystallogr A 1976;32:922).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage, optimize, signal
from scipy.spatial.transform import Rotation

from phantoms.errors import AnalysisRefused
from phantoms.spheres import DIAMETERS_MM, blurred_sphere
from phantoms.volume import PetVolume

if TYPE_CHECKING:
    from numpy.typing import NDArray

SEARCH_MM = 16.0  # the walls are looked for so far from their places in the PET, along each axis
WALL_MM, SIGMA_MM = 1.0, 0.8  # what is taken for the thickness of a wall, and for the blur of a CT

_AIR_HU = -150.0  # what is darker is no fluid, and tells nothing of a wall
_GRID_MM = 2.0
_REACH_MM = 4.0  # the fit looks so far from the place that the correlation gives
_MIN_WALL_SD = 8.0  # a wall stands out by so many standard errors, or it is not seen
_AGREE_MM = 1.5  # a sphere farther off the common motion is not the one that the PET shows
_LEAST_SPHERES = 3
_LEAST_TURNED = 4  # three places fit a turn to their own errors
_LEAST_SD_MM = 0.05  # of one sphere's place, however well they agree


@dataclass(frozen=True, kw_only=True)
class Match:
    """How the spheres on the CT lie to those in the PET.

    Attributes
    ----------
    offset_lps_mm, offset_sd_mm : ndarray, shape (3,)
        From the middle of the ring in the PET to the same on the CT.
    turn_deg, turn_sd_deg : ndarray, shape (3,), or None
        Turn about the patient's x, y and z from PET to CT; None with fewer than four spheres.
    spheres : dict of int to ndarray, shape (3,)
        Where each sphere's place in the PET lies on the CT.
    """

    offset_lps_mm: NDArray[np.float64]
    offset_sd_mm: NDArray[np.float64]
    turn_deg: NDArray[np.float64] | None
    turn_sd_deg: NDArray[np.float64] | None
    spheres: dict[int, NDArray[np.float64]]

    def place(self, lps_mm: NDArray[np.float64], middle: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return where a place in the PET lies on the CT; ``middle`` is that of the ring in the PET."""
        turn = Rotation.from_rotvec(np.zeros(3) if self.turn_deg is None else np.radians(self.turn_deg))
        return np.asarray(turn.apply(lps_mm - middle) + middle + self.offset_lps_mm)


def find(volume: PetVolume, spheres: Mapping[int, NDArray[np.float64]]) -> Match:
    """Find the spheres of a PET on its CT.

    Parameters
    ----------
    volume : PetVolume
        HU, its index axes along those of the patient.
    spheres : mapping of int to ndarray, shape (3,)
        Centre of each sphere in the PET by inner diameter, LPS millimetres.

    Raises
    ------
    AnalysisRefused
        ``CT-NOT-FOUND`` where fewer than three walls are seen within `SEARCH_MM` in places that one motion explains.
    """
    coarse = _coarse(volume, spheres)
    found = {d: _fit(volume, spheres[d] + coarse, d / 2.0) for d in DIAMETERS_MM}
    seen = {d: spheres[d] + coarse + one for d, one in found.items() if one is not None}
    middle = np.mean([spheres[d] for d in DIAMETERS_MM], axis=0)
    while len(seen) >= _LEAST_SPHERES:
        pet, ct = (np.array([of[d] for d in seen]) for of in (spheres, seen))
        is_turned = len(seen) >= _LEAST_TURNED
        turn = Rotation.align_vectors(ct - ct.mean(axis=0), pet - pet.mean(axis=0))[0] if is_turned else _STILL
        left = ct - ct.mean(axis=0) - turn.apply(pet - pet.mean(axis=0))
        away = np.linalg.norm(left, axis=1)
        if away.max() <= _AGREE_MM:
            return _match(spheres, middle, pet, ct.mean(axis=0), left, turn if is_turned else None)
        del seen[list(seen)[int(away.argmax())]]
    raise AnalysisRefused(
        "CT-NOT-FOUND",
        f"the walls of the spheres are not seen within {SEARCH_MM:.0f} mm of their places in the PET: the two lie "
        "further apart than that, this CT shows another phantom, or its noise hides thin walls. No offset is given.",
    )


_STILL = Rotation.identity()


def _match(
    spheres: Mapping[int, NDArray[np.float64]],
    middle: NDArray[np.float64],
    pet: NDArray[np.float64],
    ct_middle: NDArray[np.float64],
    left: NDArray[np.float64],
    turn: Rotation | None,
) -> Match:
    """Return the motion with its standard errors, from what it leaves of the places, ``left``."""
    count = len(pet)
    spent = 6 if turn is not None else 3  # numbers that the motion takes from the places
    free = 3 * count - spent
    # An error known from few others is larger than those: by so much the mean square of Student's t lies over 1.
    scatter = float(np.square(left).sum()) / (free - 2)
    sd = np.full(3, np.sqrt(scatter + _LEAST_SD_MM**2))
    arms = pet - pet.mean(axis=0)
    # What a small turn about x, y and z moves a place by is its cross product with the arm.
    design = np.concatenate([np.cross(np.eye(3), arm).T / sd[:, None] for arm in arms])
    motion = _STILL if turn is None else turn
    places = {d: motion.apply(at - pet.mean(axis=0)) + ct_middle for d, at in spheres.items()}
    return Match(
        offset_lps_mm=motion.apply(middle - pet.mean(axis=0)) + ct_middle - middle,
        offset_sd_mm=sd / np.sqrt(count),
        turn_deg=None if turn is None else np.degrees(turn.as_rotvec()),
        turn_sd_deg=None if turn is None else np.degrees(np.sqrt(np.diag(np.linalg.inv(design.T @ design)))),
        spheres=places,
    )


def _coarse(volume: PetVolume, spheres: Mapping[int, NDArray[np.float64]]) -> NDArray[np.float64]:
    """Return the shift at which six shells correlate best with the image, to about a millimetre."""
    places = np.array([spheres[d] for d in DIAMETERS_MM])
    margin = max(DIAMETERS_MM) / 2.0 + 6.0
    low, high = places.min(axis=0) - margin, places.max(axis=0) + margin
    steps = int(SEARCH_MM / _GRID_MM)
    inner = [np.arange(a, b, _GRID_MM) for a, b in zip(low, high, strict=True)]
    outer = [a + _GRID_MM * np.arange(-steps, len(line) + steps) for a, line in zip(low, inner, strict=True)]
    sigma = [0.4 * _GRID_MM / step for step in volume.spacing_zyx_mm]
    level = np.where(volume.image < _AIR_HU, 0.0, np.clip(volume.image, -100.0, 300.0))
    smooth = ndimage.gaussian_filter(level, sigma)
    index = np.moveaxis(volume.to_index_zyx(np.stack(np.meshgrid(*outer, indexing="ij"), axis=-1)), -1, 0)
    seen = ndimage.map_coordinates(smooth, index, order=1, mode="nearest")
    template = np.zeros([len(line) for line in inner])
    for diameter in DIAMETERS_MM:
        x, y, z = (line - at for line, at in zip(inner, spheres[diameter], strict=True))
        distance = np.sqrt(x[:, None, None] ** 2 + y[:, None] ** 2 + z**2)
        radius = diameter / 2.0
        near = distance < radius + 5.0
        wall = np.exp(-0.5 * ((distance[near] - radius - WALL_MM / 2) / 1.3) ** 2)
        template[near] += wall - wall.mean()
    score = signal.fftconvolve(seen - np.median(seen), template[::-1, ::-1, ::-1], mode="valid")
    best = np.array(np.unravel_index(int(score.argmax()), score.shape))
    return np.asarray((best - steps) * _GRID_MM, dtype=np.float64)


def _fit(volume: PetVolume, start: NDArray[np.float64], radius: float) -> NDArray[np.float64] | None:
    """Return how far a sphere lies from ``start``; None where its wall does not stand out, or lies too far."""
    reach = radius + 5.0
    low = np.clip(np.floor(volume.to_index_zyx(start) - np.divide(reach, volume.spacing_zyx_mm)), 0, None).astype(int)
    high = np.ceil(volume.to_index_zyx(start) + np.divide(reach, volume.spacing_zyx_mm)).astype(int) + 1
    box = volume.image[tuple(slice(a, b) for a, b in zip(low, high, strict=True))]
    if box.size == 0:
        return None
    index = np.moveaxis(np.indices(box.shape), 0, -1) + low
    place = volume.to_lps_mm(index.astype(np.float64)) - start
    is_fluid = ~ndimage.binary_dilation(box < _AIR_HU, iterations=2)
    # What lies farther from the wall says nothing of where it is.
    near = (np.abs(np.linalg.norm(place, axis=-1) - radius) <= 5.0) & is_fluid
    place, values = place[near], np.clip(box[near], -300.0, 2000.0).astype(np.float64)
    if values.size < 200:
        return None
    slice_mm = volume.spacing_zyx_mm[0]

    def columns(at: NDArray[np.float64]) -> NDArray[np.float64]:
        return shell_columns(place - at, radius, slice_mm)

    def residual(at: NDArray[np.float64]) -> NDArray[np.float64]:
        design = columns(at)
        found = np.linalg.lstsq(design, values, rcond=None)[0]
        return np.asarray(design @ found - values)

    bounds = (-_REACH_MM, _REACH_MM)
    # A step that lowers a sum over thousands of voxels by a millionth is a small part of its own standard error.
    fit = optimize.least_squares(
        residual, np.zeros(3), bounds=bounds, diff_step=np.full(3, 1e-3), ftol=1e-6, xtol=1e-4, max_nfev=25
    )
    if np.abs(fit.x).max() > _REACH_MM - 0.1:  # the wall lies farther, nobody knows how far
        return None
    design = columns(fit.x)
    scatter = np.linalg.pinv(design.T @ design)
    wall = float((scatter @ design.T @ values)[2])
    sd = float(np.sqrt(scatter[2, 2] * np.square(fit.fun).sum() / max(values.size - 6, 1)))
    return np.asarray(fit.x) if wall > _MIN_WALL_SD * sd else None


def shell_columns(place: NDArray[np.float64], radius: float, slice_mm: float) -> NDArray[np.float64]:
    """Return what a voxel at ``place`` (shape (n, 3), from the sphere's centre) sees of all, fluid within, and wall.

    Each is averaged over the thickness of a slice; the fluid within and the wall come as differences from what lies
    about the sphere.
    """
    count = max(int(np.ceil(slice_mm / 1.0)), 1)
    inner, outer = np.zeros(len(place)), np.zeros(len(place))
    for dz in ((np.arange(count) + 0.5) / count - 0.5) * slice_mm:
        distance = np.linalg.norm(place + np.array([0.0, 0.0, dz]), axis=1)
        inner += blurred_sphere(distance, radius, SIGMA_MM) / count
        outer += blurred_sphere(distance, radius + WALL_MM, SIGMA_MM) / count
    return np.stack([np.ones(len(place)), inner, outer - inner], axis=1)
