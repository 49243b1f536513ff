"""A digital ACR PET phantom with known answers, for the demonstration, tests and benchmarks; no measurement uses it.

A cylinder on whose lid stand four hot and three cold cylinders (the faceplate), then a uniform section, then six
sectors of cold rods. Every section is a sum of blurred discs times a blurred slab, both in closed form; the discs are
read from a 0.5 mm table by cubic splines, so that a tilted phantom costs no more than a straight one.

Axial lengths are those of the design that the library niftypet.nimpa ships (inserts 38.0, uniform part 58.1, rods
83.4 mm), rod diameters the nominal ones. Where the seven cylinders stand is not published in what was at hand: one
ring of 60 mm, evenly spaced, is this module's own choice, and a pose may turn and mirror it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Unpack

import numpy as np
from scipy import ndimage

from phantoms.digital.acquisition import Acquisition
from phantoms.digital.blurred import blurred_disc, blurred_slab, own_frame
from phantoms.digital.written import fill_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from numpy.typing import NDArray

    from phantoms.digital.acquisition import AcquisitionOptions
    from phantoms.digital.scan import DigitalScan

HOT_DIAMETERS_MM = (25, 16, 12, 8)
COLD_DIAMETER_MM = 25.0
#: Round the ring from the 25 mm hot cylinder on: the hot ones as they get smaller, then these.
COLD_ORDER = ("water", "air", "bone")
RING_RADIUS_MM = 60.0
ROD_DIAMETERS_MM = (12.7, 11.1, 9.5, 7.9, 6.4, 4.8)
INSERT_LENGTH_MM, UNIFORM_LENGTH_MM, ROD_LENGTH_MM = 38.0, 58.1, 83.4
LENGTH_MM = INSERT_LENGTH_MM + UNIFORM_LENGTH_MM + ROD_LENGTH_MM

_GRID: AcquisitionOptions = {"shape_zyx": (110, 84, 84)}  # as much of the usual field as the phantom takes
_TABLE_STEP_MM = 0.5
_RODS_WITHIN = 0.92  # of the radius: the rods leave a rim of liquid at the wall
_ROD_SECTOR_GAP_MM = 4.0


def acr_pet(
    fwhm_mm: float = 7.0,
    cov: float = 0.05,
    ratio: float = 2.5,
    *,
    background_bqml: float = 4000.0,
    wall_mm: float = 0.0,
    radius_mm: float = 100.0,
    is_mirrored: bool = False,
    is_lid_at_head: bool = True,
    has_faceplate: bool = True,
    has_rods: bool = True,
    cold_fractions: Mapping[str, float] | None = None,
    **options: Unpack[AcquisitionOptions],
) -> DigitalScan:
    """Return an ACR PET phantom.

    Parameters
    ----------
    fwhm_mm, cov : float
        Resolution, and noise SD in the background as a fraction of the background.
    ratio, background_bqml : float
        True ratio of the hot cylinders to the background, and the background at the decay reference time.
    wall_mm : float
        Cold wall round each hot cylinder.
    radius_mm : float
        Inner radius of the phantom.
    is_mirrored : bool
        The cylinders follow each other the other way round the ring.
    is_lid_at_head, has_faceplate, has_rods : bool
        Which end the faceplate is at, and whether it and the rods are there at all.
    cold_fractions : mapping of str to float, optional
        What ``water``, ``air`` and ``bone`` seem to hold, as fractions of the background; 0 where not named.
    **options
        Calibration, pose of the middle of the phantom, voxels, clock and seed, as `Acquisition` has them.
    """
    acquisition = Acquisition(fwhm_mm=fwhm_mm, cov=cov, **(_GRID | options))
    turn, center, sigma = acquisition.turn, acquisition.center_lps_mm, acquisition.sigma_mm
    sign = 1.0 if is_lid_at_head else -1.0
    places = _ring(is_mirrored=is_mirrored)
    inserts: list[tuple[tuple[float, float], float, float]] = []
    if has_faceplate:
        for diameter in HOT_DIAMETERS_MM:
            inserts.append((places[f"{diameter}"], diameter / 2, ratio))
            inserts.append((places[f"{diameter}"], diameter / 2 + wall_mm, -1.0))
        left = dict.fromkeys(COLD_ORDER, 0.0) | dict(cold_fractions or {})
        inserts += [(places[name], COLD_DIAMETER_MM / 2, left[name] - 1.0) for name in COLD_ORDER]
    body = blurred_disc(radius_mm, sigma)
    faceplate = _table(inserts, radius_mm, sigma)
    rods = _table(((place, d / 2, -1.0) for place, d in _rods(radius_mm)) if has_rods else (), radius_mm, sigma)
    lid_mm, bottom_mm = LENGTH_MM / 2 - INSERT_LENGTH_MM, -LENGTH_MM / 2

    def reading(x: NDArray[np.float64], y: NDArray[np.float64], z: NDArray[np.float64]) -> NDArray[np.float64]:
        u, v, along = own_frame(x, y, z, center, turn)
        w = sign * along
        value = body(np.hypot(u, v)) * blurred_slab(w, bottom_mm, LENGTH_MM / 2, sigma)
        value = value + faceplate(u, v) * blurred_slab(w, lid_mm, LENGTH_MM / 2, sigma)
        return value + rods(u, v) * blurred_slab(w, bottom_mm, bottom_mm + ROD_LENGTH_MM, sigma)

    image = acquisition.grid.sample(reading) * background_bqml
    times = acquisition.times()
    volume_ml = np.pi * radius_mm**2 * LENGTH_MM / 1000
    insert_w = sign * (lid_mm + LENGTH_MM / 2) / 2
    return acquisition.scan(
        image,
        background_bqml,
        times,
        fill_of("spheres", ratio * background_bqml, 1000.0, times),
        fill_of("background", background_bqml, volume_ml, times),
        description="ACR PET phantom",
        truth={
            "kind": "acr",
            "background_bqml": background_bqml,
            "hot_bqml": ratio * background_bqml,
            "ratio": ratio,
            "wall_mm": wall_mm,
            "radius_mm": radius_mm,
            "length_mm": LENGTH_MM,
            "inserts": {
                name: tuple((turn @ np.array([*place, insert_w]) + center).tolist()) for name, place in places.items()
            },
            "center_lps_mm": tuple(center.tolist()),
            "axis": tuple((sign * turn[:, 2]).tolist()),
        },
    )


def _ring(*, is_mirrored: bool) -> dict[str, tuple[float, float]]:
    """Return where the seven cylinders stand, millimetres from the axis, by diameter or by what is cold in them."""
    names = (*(f"{diameter}" for diameter in HOT_DIAMETERS_MM), *COLD_ORDER)
    angles = np.radians(np.arange(len(names)) * 360 / len(names)) * (-1 if is_mirrored else 1)
    return {
        name: (float(RING_RADIUS_MM * np.cos(angle)), float(RING_RADIUS_MM * np.sin(angle)))
        for name, angle in zip(names, angles, strict=True)
    }


def _rods(radius_mm: float) -> list[tuple[tuple[float, float], float]]:
    """Return each rod's place and diameter: per sector of 60 degrees a triangle of rods two diameters apart."""
    rods = []
    for sector, diameter in enumerate(ROD_DIAMETERS_MM):
        turn = np.radians(60 * sector + 30)
        along, across = np.array([np.cos(turn), np.sin(turn)]), np.array([-np.sin(turn), np.cos(turn)])
        row = 0
        while True:
            # The row's distance from the axis: the first rod clears both of its sector's edges.
            depth = _ROD_SECTOR_GAP_MM + diameter + row * diameter * np.sqrt(3)
            if depth + diameter / 2 > _RODS_WITHIN * radius_mm:
                break
            for column in range(row + 1):
                place = depth * along + (column - row / 2) * 2 * diameter * across
                if np.hypot(*place) + diameter / 2 <= _RODS_WITHIN * radius_mm:
                    rods.append(((float(place[0]), float(place[1])), diameter))
            row += 1
    return rods


def _table(
    discs: Iterable[tuple[tuple[float, float], float, float]], radius_mm: float, sigma: float
) -> Callable[[NDArray[np.float64], NDArray[np.float64]], NDArray[np.float64]]:
    """Return the sum of blurred discs ``(place, radius, height)`` over the section; 0 where there are none."""
    step = _TABLE_STEP_MM
    reach = radius_mm + 6 * sigma
    axis = np.arange(-reach, reach + step, step)
    table = np.zeros((len(axis), len(axis)))
    profiles: dict[float, Callable[[NDArray[np.float64]], NDArray[np.float64]]] = {}
    for (u, v), radius, height in discs:
        if radius not in profiles:
            profiles[radius] = blurred_disc(radius, sigma)
        near_u, near_v = (np.flatnonzero(np.abs(axis - at) < radius + 7 * sigma) for at in (u, v))
        distance = np.hypot(axis[near_u][None, :] - u, axis[near_v][:, None] - v)
        table[np.ix_(near_v, near_u)] += height * profiles[radius](distance)
    if not profiles:
        return lambda u, v: np.zeros(np.broadcast_shapes(u.shape, v.shape))
    splines = ndimage.spline_filter(table, order=3, mode="constant")

    def section(u: NDArray[np.float64], v: NDArray[np.float64]) -> NDArray[np.float64]:
        places = np.stack(np.broadcast_arrays((v - axis[0]) / step, (u - axis[0]) / step))
        return np.asarray(ndimage.map_coordinates(splines, places, order=3, mode="constant", prefilter=False))

    return section
