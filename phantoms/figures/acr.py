"""Figures of an ACR PET phantom."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from phantoms import standards
from phantoms.figure_svg import FigureSvg
from phantoms.figures.canvas import (
    GRID,
    INK_2,
    INK_3,
    LINE_PT,
    PROFILE_AXIS_PCT,
    SERIES_1,
    SERIES_2,
    box_patch,
    circle_patch,
    drawing,
    dress_chart,
    new_axes,
    new_figure,
    right_labels,
    written,
)
from phantoms.figures.sections import (
    BAR_MM,
    SLICE_PRINT_HEIGHT_MM,
    SLICE_PRINT_MM,
    SLICE_WIDTH_MM,
    Plane,
    Window,
    coronal_plane,
    draw_frame,
    draw_gray,
    draw_picture,
    draw_scale,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from numpy.typing import NDArray

    from phantoms.acr import AcrResult
    from phantoms.reformat import ThickSlices
    from phantoms.volume import PetVolume

MONTAGE_COLUMNS, MONTAGE_PRINT_MM, MONTAGE_WIDTH_MM = 4, 174.0, 230.0
FACEPLATE_SUV, MONTAGE_SUV = 3.0, 1.5  # SUV, or times the background where there is none


@drawing()
def acr_figures(volume: PetVolume, result: AcrResult, standard: standards.Standard | None) -> dict[str, FigureSvg]:
    """Draw an ACR PET phantom; its slices are those of 1 cm that were measured.

    Parameters
    ----------
    volume : PetVolume
        The image the result was measured on.
    result : AcrResult
        Pose and slices.
    standard : Standard or None
        Not drawn: its limits are on single numbers.

    Returns
    -------
    dict
        ``faceplate``, ``coronal``, ``uniform_slices``, ``slice_profile`` and, where there are rods, ``rods``.
    """
    figures = {
        "faceplate": _acr_faceplate(result, volume.unit),
        "coronal": _acr_coronal(volume, result),
        "uniform_slices": _acr_montage(
            result,
            volume.unit,
            np.flatnonzero(result.is_uniform),
            "Uniform section",
            "Look for rings, wedges, streaks and bed joins.",
        ),
        "slice_profile": _acr_profile(result),
    }
    if result.is_rods.any():
        figures["rods"] = _acr_montage(
            result,
            volume.unit,
            np.flatnonzero(result.is_rods),
            "Rods",
            "Name the smallest sector whose rods stand apart: 12.7, 11.1, 9.5, 7.9, 6.4, 4.8 mm.",
        )
    return figures


def _acr_window(result: AcrResult, volume_unit: str, top: float) -> Window:
    """Return 0 to ``top`` in SUV; where there is no SUV, to so many times the background."""
    if result.suv_factor is not None:
        return Window(label="SUV, g/mL", per_unit=result.suv_factor, upper=top, words=f"SUV 0 to {top:g}")
    return Window.of(volume_unit, top * result.background, f"{top:g} × the background; there is no SUV")


def _acr_faceplate(result: AcrResult, unit: str) -> FigureSvg:
    window = _acr_window(result, unit, FACEPLATE_SUV)
    slices = result.slices
    figure = new_figure(SLICE_PRINT_MM, SLICE_PRINT_HEIGHT_MM + BAR_MM)
    axes = new_axes(figure, 0, BAR_MM, SLICE_PRINT_MM, SLICE_PRINT_HEIGHT_MM)
    height_mm = SLICE_WIDTH_MM * SLICE_PRINT_HEIGHT_MM / SLICE_PRINT_MM
    _thick(axes, slices, int(np.argmin(np.abs(slices.position_mm))), window, SLICE_WIDTH_MM, height_mm)
    named = {f"{diameter}": (place, diameter / 2, SERIES_2) for diameter, place in result.pose.hot.items()}
    named |= {name: (place, 12.5, SERIES_1) for name, place in result.pose.cold.items()}
    for name, (place, radius, color) in named.items():
        u, v = slices.to_section_mm(place)
        axes.add_patch(circle_patch((u, -v), radius, color))
        # Outside the wall, where there is nothing to hide.
        outwards = np.array([u, -v]) / (math.hypot(u, v) or 1.0)
        where = outwards * (result.pose.body.radius_mm + 18.0)
        axes.text(where[0], where[1], name, color=color, ha="center", va="center")
    axes.add_patch(circle_patch((0.0, 0.0), result.pose.body.radius_mm, SERIES_1, dashed=True))
    draw_frame(axes, ("R", "L", "A"), bar_mm=50.0)
    draw_scale(figure, window, SLICE_PRINT_MM)
    seen = ", ".join(f"{diameter}" for diameter in result.pose.hot)
    cold = f"; and on the cold ones, {', '.join(result.pose.cold)} by their usual order" if result.pose.cold else ""
    return written(
        figure,
        f"Slice of 1 cm through the faceplate, black on white, {window.words}; circles on the hot cylinders of {seen} "
        f"mm{cold}.",
        f"Faceplate, 1 cm, {window.words}. Orange: hot cylinders, mm; blue: cold ones, named by their usual order.",
    )


def _acr_coronal(volume: PetVolume, result: AcrResult) -> FigureSvg:
    window = _acr_window(result, volume.unit, FACEPLATE_SUV)
    pose = result.pose
    # Through the 25 mm cylinder and the axis as nearly as a coronal plane can: at the height of the cylinder.
    plane = coronal_plane(pose.body.center_lps_mm, pose.axis)
    normal = np.cross(plane.u, plane.v)
    offset = float((pose.hot[25] - plane.center_lps_mm) @ normal)
    plane = Plane(plane.center_lps_mm + offset * normal, plane.u, plane.v)
    figure, axes = draw_picture(volume, plane, window, ("R", "L", "H"))
    sign = 1.0 if pose.axis @ plane.v >= 0 else -1.0
    half = math.sqrt(max(pose.body.radius_mm**2 - offset**2, 0.0))
    for section, color in ((pose.inserts_mm, SERIES_2), (pose.uniform_mm, SERIES_1)):
        low, high = sorted(sign * end for end in section)
        axes.add_patch(box_patch(-half, half, low, high, color))
    return written(
        figure,
        f"Coronal plane through the 25 mm cylinder, black on white, {window.words}; boxes on the section of the "
        f"cylinders, {np.diff(pose.inserts_mm)[0]:.0f} mm long, and on the uniform section.",
        f"Coronal through the 25 mm cylinder, {window.words}. Orange: section of the cylinders; blue: uniform section. "
        "Look for air under the lid.",
    )


def _acr_montage(result: AcrResult, unit: str, index: NDArray[np.intp], title: str, look: str) -> FigureSvg:
    """Draw slices of 1 cm side by side, each with its distance from the faceplate's."""
    window = _acr_window(result, unit, MONTAGE_SUV)
    tile = MONTAGE_PRINT_MM / MONTAGE_COLUMNS
    rows = -(-len(index) // MONTAGE_COLUMNS)
    figure = new_figure(MONTAGE_PRINT_MM, rows * tile + BAR_MM)
    for place, k in enumerate(index):
        row, column = divmod(place, MONTAGE_COLUMNS)
        axes = new_axes(figure, column * tile + 0.5, BAR_MM + (rows - 1 - row) * tile + 0.5, tile - 1.0, tile - 1.0)
        _thick(axes, result.slices, int(k), window, MONTAGE_WIDTH_MM, MONTAGE_WIDTH_MM)
        axes.set_xticks([])
        axes.set_yticks([])
        for spine in axes.spines.values():
            spine.set_color("#D3DAE1")
            spine.set_linewidth(LINE_PT)
        below_cm = abs(float(result.slices.position_mm[k])) / 10
        axes.text(0.03, 0.97, f"{below_cm:.0f} cm", transform=axes.transAxes, ha="left", va="top", color=INK_2)
    draw_scale(figure, window, MONTAGE_PRINT_MM)
    return written(
        figure,
        f"{title}: {len(index)} slices of 1 cm, black on white, {window.words}, each with its distance from the "
        "faceplate's slice.",
        f"{title} in slices of 1 cm, {window.words}. {look}",
    )


def _thick(axes: Axes, slices: ThickSlices, index: int, window: Window, width_mm: float, height_mm: float) -> None:
    """Draw one thick slice, patient's right at the left, front up; white outside the image."""
    half_u = (slices.u_mm[1] - slices.u_mm[0]) / 2
    half_v = (slices.v_mm[1] - slices.v_mm[0]) / 2
    extent = (
        float(slices.u_mm[0] - half_u),
        float(slices.u_mm[-1] + half_u),
        float(-slices.v_mm[-1] - half_v),
        float(-slices.v_mm[0] + half_v),
    )
    draw_gray(axes, np.nan_to_num(slices.image[index]).astype(np.float32), extent, window)
    axes.set_xlim(-width_mm / 2, width_mm / 2)
    axes.set_ylim(-height_mm / 2, height_mm / 2)


def _acr_profile(result: AcrResult) -> FigureSvg:
    below = np.abs(np.asarray(result.slices.position_mm, dtype=np.float64)) / 10
    below *= np.where(result.slices.position_mm > 0, -1.0, 1.0)
    deviation = 100.0 * (np.asarray(result.slice_mean) / result.background - 1.0)
    used = np.asarray(result.is_uniform, dtype=bool)
    figure = new_figure(174, 50)
    axes = new_axes(figure, 11.5, 9.5, 140, 38)
    dress_chart(axes, (-3.0, 18.0), (-PROFILE_AXIS_PCT, PROFILE_AXIS_PCT), "distance from the faceplate, cm", "%")
    axes.set_xticks(np.arange(0.0, 18.1, 2.0))
    axes.set_yticks(np.arange(-15.0, 15.1, 5.0))
    axes.grid(axis="y", color=GRID, linewidth=LINE_PT)
    axes.axhline(0.0, color=INK_3, linewidth=LINE_PT)
    rest = ~used & (np.abs(deviation) <= PROFILE_AXIS_PCT)
    axes.plot(below[rest], deviation[rest], "o", color=INK_3, markersize=2.2, markerfacecolor="none")
    limit = PROFILE_AXIS_PCT - 0.6
    tiles = np.asarray(result.slice_nu_pct, dtype=np.float64)
    mean_at, tile_at = np.clip(deviation[used], -limit, limit), np.clip(tiles[used], -limit, limit)
    axes.plot(below[used], mean_at, "-o", color=SERIES_1, linewidth=1.0, markersize=3.0)
    axes.plot(below[used], tile_at, "--v", color=SERIES_2, linewidth=1.0, markersize=3.0)
    right_labels(axes, [(float(mean_at[-1]), "slice mean", SERIES_1), (float(tile_at[-1]), "worst tile", SERIES_2)], 3)
    return written(
        figure,
        f"Mean of each slice of 1 cm and its tile farthest from the slice's mean, deviation in percent, axis −15 to "
        f"+15 %; {int(used.sum())} slices of the uniform section, the largest slice deviation is "
        f"{float(np.abs(deviation[used]).max()):.1f} %, the worst tile {float(tiles[used].max()):.1f} % off.",
        "Uniform section, slice by slice: mean against the section's (blue), worst tile of 10 mm against its slice "
        "(orange). Hollow: other sections, with cylinders or rods in them.",
    )
