"""The figure of a sphere phantom's CT."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from phantoms import phantom_ct
from phantoms.figure_svg import FigureSvg
from phantoms.figures.canvas import SERIES_1, SERIES_2, circle_patch, drawing, written
from phantoms.figures.sections import Window, axial_plane, draw_picture

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from phantoms.phantom_ct import CtResult
    from phantoms.volume import PetVolume

WINDOW_HU = (-200.0, 400.0)  # air white, water a light grey that marks stand out from, plastic darker
_APART_MM = 1.0  # circles nearer than this cannot be told apart in print


@drawing()
def phantom_ct_figures(
    volume: PetVolume, found: CtResult, spheres: Mapping[int, NDArray[np.float64]], axis: NDArray[np.float64]
) -> dict[str, FigureSvg]:
    """Draw the slice of the CT through the six spheres.

    Parameters
    ----------
    volume : PetVolume
        HU, about the plane of the spheres.
    found : CtResult
        What was measured on it.
    spheres : mapping of int to ndarray, shape (3,)
        Centre of each sphere in the PET by inner diameter, LPS millimetres.
    axis : ndarray, shape (3,)
        Along the phantom.

    Returns
    -------
    dict
        ``ct_spheres``; empty where the spheres were not found.
    """
    if found.offset_lps_mm is None:
        return {}
    lowest = {one.name: one.value for one in found.measurements}
    window = Window.of_hu(*WINDOW_HU)
    middle = np.mean(list(spheres.values()), axis=0) + found.offset_lps_mm
    plane = axial_plane(middle, axis)
    figure, axes = draw_picture(volume, plane, window, ("R", "L", "A"))
    is_apart = np.linalg.norm(found.offset_lps_mm) >= _APART_MM
    air = []
    for diameter, on_pet in spheres.items():
        at = np.array(plane.project_mm(on_pet + found.offset_lps_mm))
        value = lowest[f"sphere_{diameter}mm_ct_min_hu"]
        is_air = value is not None and value < phantom_ct.AIR_HU
        if is_air:
            air.append(diameter)
        axes.add_patch(circle_patch((float(at[0]), float(at[1])), diameter / 2, SERIES_2))
        if is_apart:
            axes.add_patch(circle_patch(plane.project_mm(on_pet), diameter / 2, SERIES_1, dashed=True))
        outwards = at / (np.linalg.norm(at) or 1.0)
        where = at + outwards * (diameter / 2 + (15.0 if is_air else 9.0))
        axes.text(
            where[0],
            where[1],
            f"{diameter} air" if is_air else f"{diameter}",
            color=SERIES_2,
            ha="center",
            va="center",
        )
    said = f"air in {' and '.join(f'{one} mm' for one in sorted(air))}" if air else "no air in any"
    apart = " Dashed blue: where the PET has them." if is_apart else ""
    return {
        "ct_spheres": written(
            figure,
            f"Axial plane of the CT through the six spheres, {window.words}, air white; circles on the spheres with "
            f"their inner diameters in mm; {said}.",
            f"CT of the sphere plane, {window.words}. Look for white caps in the spheres. Orange: spheres, mm; "
            f"{said}.{apart}",
        )
    }
