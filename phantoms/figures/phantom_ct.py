"""The figures of a sphere phantom's CT."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from phantoms.figure_svg import FigureSvg
from phantoms.figures.canvas import LINE_PT, SERIES_1, SERIES_2, circle_patch, drawing, written
from phantoms.figures.sections import Window, axial_plane, draw_picture

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from phantoms.fill_line import FillLine
    from phantoms.phantom_ct import CtResult
    from phantoms.volume import PetVolume

WINDOW_HU = (-200.0, 400.0)  # air white, water a light grey that marks stand out from, plastic darker
_APART_MM = 1.0  # circles nearer than this cannot be told apart in print
_MARK_MM, _LINE_MM = 14.0, 110.0  # a ring about a bubble; half the line along the water's surface


@drawing()
def phantom_ct_figures(
    volume: PetVolume, found: CtResult, spheres: Mapping[int, NDArray[np.float64]], axis: NDArray[np.float64]
) -> dict[str, FigureSvg]:
    """Draw the slice of the CT through the six spheres, and that under the deepest air of the body.

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
        ``ct_spheres``; ``ct_fill`` where air in the body was named; empty where the spheres were not found.
    """
    if found.offset_lps_mm is None:
        return {}
    figures = {"ct_spheres": _spheres(volume, found, found.offset_lps_mm, spheres, axis)}
    for one in found.findings:
        if found.fill is not None and one.evidence.get("figure") == "ct_fill":
            figures["ct_fill"] = _fill(volume, found, found.fill, axis, is_layer=one.evidence["shows"] == "layer")
    return figures


def _spheres(
    volume: PetVolume,
    found: CtResult,
    offset_lps_mm: NDArray[np.float64],
    spheres: Mapping[int, NDArray[np.float64]],
    axis: NDArray[np.float64],
) -> FigureSvg:
    holding_air = {one.evidence["diameter_mm"] for one in found.findings if one.id == "PHA-CT-BUBBLE"}
    window = Window.of_hu(*WINDOW_HU)
    middle = np.mean(list(spheres.values()), axis=0) + offset_lps_mm
    plane = axial_plane(middle, axis)
    figure, axes = draw_picture(volume, plane, window, ("R", "L", "A"))
    is_apart = np.linalg.norm(offset_lps_mm) >= _APART_MM
    for diameter, on_pet in spheres.items():
        at = np.array(plane.project_mm(found.spheres[diameter]))
        is_air = diameter in holding_air
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
    said = f"air in {' and '.join(f'{one} mm' for one in sorted(holding_air))}" if holding_air else "no air in any"
    apart = " Dashed blue: where the PET has them." if is_apart else ""
    return written(
        figure,
        f"Axial plane of the CT through the six spheres, {window.words}, air white; circles on the spheres with "
        f"their inner diameters in mm; {said}.",
        f"CT of the sphere plane, {window.words}. Look for white caps in the spheres. Orange: spheres, mm; "
        f"{said}.{apart}",
    )


def _fill(
    volume: PetVolume, found: CtResult, fill: FillLine, axis: NDArray[np.float64], *, is_layer: bool
) -> FigureSvg:
    """Draw the slice under the deepest air with the water's surface, or, where that is not too much, of the bubble."""
    window = Window.of_hu(*WINDOW_HU)
    middle = np.mean(list(found.spheres.values()), axis=0)
    where = fill.deepest_lps_mm if is_layer else fill.bubble_lps_mm
    plane = axial_plane(middle if where is None else middle + ((where - middle) @ axis) * axis, axis)
    figure, axes = draw_picture(volume, plane, window, ("R", "L", "A"))
    said, look = "air down to the spheres", "the white above the water"
    place = "where the air above the water is deepest" if is_layer else "through the largest bubble"
    if not is_layer and where is not None:
        at = plane.project_mm(where)
        axes.add_patch(circle_patch(at, _MARK_MM, SERIES_2))
        axes.text(
            at[0], at[1] - _MARK_MM - 6.0, f"{fill.bubble_ml.value:.1f} mL", color=SERIES_2, ha="center", va="center"
        )
        said, look = f"a bubble of {fill.bubble_ml.value:.1f} mL", "the white spot in the water"
    elif where is not None and fill.surface is not None and fill.height_mm is not None:
        along = np.cross(fill.surface, axis)
        ends = np.array([plane.project_mm(where + reach * along) for reach in (-_LINE_MM, _LINE_MM)])
        axes.plot(ends[:, 0], ends[:, 1], color=SERIES_2, linewidth=LINE_PT, linestyle=(0, (4, 2)))
        said = f"air {fill.height_mm.value:.0f} mm deep above the water"
        axes.text(
            ends[:, 0].mean(),
            ends[:, 1].mean() - 8.0,
            f"{fill.height_mm.value:.0f} mm of air",
            color=SERIES_2,
            ha="center",
            va="center",
        )
    return written(
        figure,
        f"Axial plane of the CT {place}, {window.words}, air white; {said}.",
        f"CT of the body, {window.words}. Look for {look}. Orange: {said}.",
    )
