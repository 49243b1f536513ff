"""Figures of a phantom that was not found: what the search saw."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from phantoms.figure_svg import FigureSvg
from phantoms.figures.canvas import INK_3, LINE_PT, SERIES_1, SERIES_2, circle_patch, drawing, written
from phantoms.figures.sections import Plane, Window, axial_plane, coronal_plane, draw_picture, sample_plane
from phantoms.sight import Sight

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from phantoms.volume import PetVolume


@drawing()
def refusal_figures(volume: PetVolume, sight: Sight | None) -> dict[str, FigureSvg]:
    """Draw what a search for a phantom saw before it refused.

    Parameters
    ----------
    volume : PetVolume
        The image that was searched.
    sight : Sight or None
        Outline and places; None where the refusal brings none, then the middle of the image is shown.

    Returns
    -------
    dict
        ``central_slice`` and ``coronal``, under the names that the phantom's own pictures have.
    """
    # Noisy end slices may outshine the phantom: the window ends where one voxel in a thousand is brighter.
    window = Window.without_the_brightest(volume)
    sight = sight or Sight(None)
    up = np.array([0.0, 0.0, 1.0])
    if sight.places:
        center, axis, where = sight.places[0].center_lps_mm, sight.places[0].axis, "the place that came nearest"
    elif sight.outline is not None:
        inside = np.argwhere(sight.outline.image > 0.5).mean(axis=0)
        center, axis, where = sight.outline.to_lps_mm(inside), up, "the middle of the brightest body"
    else:
        middle = (np.array(volume.image.shape) - 1) / 2.0
        center, axis, where = volume.to_lps_mm(middle), up, "the middle of the image"
    marks = _sight_words(sight)
    figures = {}
    for name, plane, letters, view in (
        ("central_slice", axial_plane(center, axis), ("R", "L", "A"), "Slice"),
        ("coronal", coronal_plane(center, axis), ("R", "L", "H"), "Coronal"),
    ):
        figure, axes = draw_picture(volume, plane, window, letters)
        _draw_sight(axes, sight, plane)
        figures[name] = written(
            figure,
            f"{view} through {where}, black on white, {window.words}. {marks}",
            f"Not found. {view} through {where}, {window.words}. {marks}",
        )
    return figures


def _sight_words(sight: Sight) -> str:
    if sight.outline is None:
        return "Nothing stood out to be marked."
    if not sight.places:
        return "Dashed: outline of the brightest body."
    others = {1: "", 2: "; grey: another place that was looked at"}.get(
        len(sight.places), f"; grey: {len(sight.places) - 1} other places that were looked at"
    )
    return f"Dashed: outline of the brightest body; orange: the place that came nearest{others}."


def _draw_sight(axes: Axes, sight: Sight, plane: Plane) -> None:
    """Draw the outline where the plane cuts it, and the circles as the balls that the plane passes through or near."""
    if sight.outline is not None:
        width, height = (float(np.ptp(limits)) for limits in (axes.get_xlim(), axes.get_ylim()))
        inside, (left, right, bottom, top) = sample_plane(sight.outline, plane, width, height)
        rows, columns = inside.shape
        u = left + (np.arange(columns) + 0.5) * (right - left) / columns
        v = top - (np.arange(rows) + 0.5) * (top - bottom) / rows
        if 0.0 < float(inside.mean()) < 1.0:
            axes.contour(u, v, inside, levels=[0.5], colors=[SERIES_1], linewidths=LINE_PT, linestyles=[(0, (4, 2))])
    normal = np.cross(plane.u, plane.v)
    for rank, place in reversed(list(enumerate(sight.places))):
        for center, radius_mm in place.circles:
            off_mm = abs(float((np.asarray(center) - plane.center_lps_mm) @ normal))
            if off_mm < radius_mm:
                cut_mm = float(np.sqrt(radius_mm**2 - off_mm**2))
                axes.add_patch(circle_patch(plane.project_mm(center), cut_mm, INK_3 if rank else SERIES_2))
