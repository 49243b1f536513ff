"""Figures of a uniform cylinder."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.colors import LinearSegmentedColormap

from phantoms import standards
from phantoms.figure_svg import FigureSvg
from phantoms.figures.canvas import (
    BAND,
    BAND_EDGE,
    GRID,
    INK,
    INK_2,
    INK_3,
    LINE_PT,
    MARKS,
    PROFILE_AXIS_PCT,
    SERIES_1,
    SERIES_2,
    TEXT_PT,
    box_patch,
    circle_patch,
    drawing,
    dress_chart,
    high_limit,
    judged,
    new_axes,
    new_figure,
    right_labels,
    written,
)
from phantoms.figures.sections import Window, axial_plane, coronal_plane, draw_picture
from phantoms.findings import signed
from phantoms.results import Measurement, Outcome

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from phantoms.cylinder import CylinderResult
    from phantoms.volume import PetVolume

DEVIATION = LinearSegmentedColormap.from_list("deviation", [SERIES_1, "#FFFFFF", SERIES_2])
UNIFORMITY_AXIS_PCT = 10.0


@drawing()
def cylinder_figures(
    volume: PetVolume, result: CylinderResult, standard: standards.Standard | None = None
) -> dict[str, FigureSvg]:
    """Draw a uniform cylinder.

    Parameters
    ----------
    volume : PetVolume
        The image the result was measured on.
    result : CylinderResult
        Pose, profiles and tiles.
    standard : Standard or None
        Its limits for slice deviation and bias are drawn; without it no limit is.

    Returns
    -------
    dict
        ``central_slice``, ``coronal``, ``slice_profile``, ``uniformity_map``, ``radial_profile``, ``edge_profile`` and,
        where the true concentration is known, ``bias``.
    """
    measured = judged(result.measurements, standard)
    window = Window.for_phantom(volume, result.expected_bqml, result.mean_bqml, "cylinder")
    figures = {
        "central_slice": _cylinder_slice(volume, result, window),
        "coronal": _cylinder_coronal(volume, result, window),
        "slice_profile": _slice_profile(result, standard),
        "uniformity_map": _uniformity_map(result),
        "radial_profile": _radial_profile(result),
        "edge_profile": _edge_profile(result),
    }
    bias = measured.get("cylinder_bias_pct")
    if bias is not None and bias.value is not None:
        figures["bias"] = _bias(bias)
    return figures


def _cylinder_slice(volume: PetVolume, result: CylinderResult, window: Window) -> FigureSvg:
    pose = result.pose
    plane = axial_plane(pose.center_lps_mm, pose.axis)
    figure, axes = draw_picture(volume, plane, window, ("R", "L", "A"))
    axes.add_patch(circle_patch((0.0, 0.0), pose.radius_mm, SERIES_1, dashed=True))
    axes.add_patch(circle_patch((0.0, 0.0), result.roi_radius_mm, SERIES_2))
    return written(
        figure,
        f"Axial plane through the middle of the cylinder, black on white, {window.words}; the circle of the measured "
        f"region, radius {result.roi_radius_mm:.0f} mm, and dashed the cylinder found, radius {pose.radius_mm:.0f} mm.",
        f"Central slice, {window.words}. Look for rings, wedges and air. Dashed: the cylinder found; "
        "orange: the measured region.",
    )


def _cylinder_coronal(volume: PetVolume, result: CylinderResult, window: Window) -> FigureSvg:
    pose = result.pose
    plane = coronal_plane(pose.center_lps_mm, pose.axis)
    figure, axes = draw_picture(volume, plane, window, ("R", "L", "H"))
    sign = 1.0 if np.asarray(pose.axis) @ plane.v >= 0 else -1.0
    along = np.asarray(result.axis_position_mm, dtype=np.float64) * sign
    used = np.asarray(result.slice_used, dtype=bool)
    half = pose.length_mm / 2
    axes.add_patch(box_patch(-pose.radius_mm, pose.radius_mm, -half, half, SERIES_1, dashed=True))
    words = "no slice is measured"
    if used.any():
        step = float(np.median(np.abs(np.diff(along)))) / 2 if along.size > 1 else 0.0
        low, high = float(along[used].min()) - step, float(along[used].max()) + step
        axes.add_patch(box_patch(-result.roi_radius_mm, result.roi_radius_mm, low, high, SERIES_2))
        words = f"the box of the measured region, {high - low:.0f} mm long"
    return written(
        figure,
        f"Coronal plane through the cylinder's axis, black on white, {window.words}; {words}, and dashed the cylinder "
        f"found, {pose.length_mm:.0f} mm long.",
        f"Coronal slice, {window.words}. Look for bed joins, bubbles at the top and a hot or cold end.",
    )


def _slice_profile(result: CylinderResult, standard: standards.Standard | None) -> FigureSvg:
    z = np.asarray(result.axis_position_mm, dtype=np.float64)
    means = np.asarray(result.slice_mean, dtype=np.float64)
    used = np.asarray(result.slice_used, dtype=bool)
    reference = float(np.nanmean(means[used])) if used.any() else float("nan")
    deviation = 100.0 * (means / reference - 1.0)
    figure = new_figure(174, 50)
    axes = new_axes(figure, 11.5, 9.5, 145, 38)
    dress_chart(axes, (-160.0, 160.0), (-PROFILE_AXIS_PCT, PROFILE_AXIS_PCT), "z along the axis, mm", "deviation, %")
    axes.set_xticks(np.arange(-150.0, 151.0, 50.0))
    axes.set_yticks(np.arange(-15.0, 15.1, 5.0))
    axes.grid(axis="y", color=GRID, linewidth=LINE_PT)
    axes.axhline(0.0, color=INK_3, linewidth=LINE_PT)
    limit = high_limit(standard, "cylinder_slice_deviation_max_pct")
    if limit is not None:
        for edge in (-limit, limit):
            axes.axhline(edge, color=INK_2, linewidth=0.8, dashes=(4, 2))
        right_labels(axes, [(limit, f"+{limit:g} % limit", INK_2), (-limit, f"−{limit:g} % limit", INK_2)], 3.0)
    inside = used & (np.abs(deviation) <= PROFILE_AXIS_PCT)
    over = used & (np.abs(deviation) > PROFILE_AXIS_PCT)
    axes.plot(z[used], np.clip(deviation[used], -20, 20), color=SERIES_1, linewidth=1.0)
    failed = np.abs(deviation) > limit if limit is not None else np.zeros_like(used)
    for chosen, marker, color in (
        (inside & ~failed, "o", SERIES_1),
        (inside & failed, *MARKS[Outcome.FAIL]),
        (over & (deviation > 0), "^", MARKS[Outcome.FAIL][1]),
        (over & (deviation < 0), "v", MARKS[Outcome.FAIL][1]),
    ):
        shown = np.clip(deviation[chosen], -PROFILE_AXIS_PCT + 0.6, PROFILE_AXIS_PCT - 0.6)
        axes.plot(z[chosen], shown, marker=marker, color=color, markersize=2.6, linestyle="none")
    rest = ~used & (np.abs(deviation) <= PROFILE_AXIS_PCT)
    axes.plot(
        z[rest], deviation[rest], marker="o", color=INK_3, markersize=2.2, markerfacecolor="none", linestyle="none"
    )
    joins = _evidence(result, "PHA-BED-JOIN").get("heights_mm", [])
    for at in joins:
        axes.axvline(at, color=SERIES_2, linewidth=0.8, dashes=(3, 2))
        axes.text(at, PROFILE_AXIS_PCT - 0.5, " step", color=INK, fontsize=TEXT_PT, ha="left", va="top")
    places = ", ".join(signed(at, 0) for at in joins)
    worst = float(np.nanmax(np.abs(deviation[used]))) if used.any() else float("nan")
    return written(
        figure,
        f"Slice mean against position along the axis, deviation from the mean of the used slices, axis −15 to +15 %; "
        f"{int(used.sum())} slices used, the largest deviation is {worst:.1f} %."
        + (f" Steps are marked at {places} mm." if joins else ""),
        "Slice means along the axis. Look for a saw-tooth at bed joins and a slope. Hollow: end slices, not used.",
    )


def _uniformity_map(result: CylinderResult) -> FigureSvg:
    tiles = np.asarray(result.tile_deviation_pct, dtype=np.float64)
    rows, columns = tiles.shape
    size = float(result.tile_size_mm)
    figure = new_figure(83, 70)
    axes = new_axes(figure, 1.0, 3.0, 64.0, 64.0)
    limit = UNIFORMITY_AXIS_PCT
    # Each tile is drawn as a block of pixels: viewers smooth a picture of 18 × 18 pixels into a blur.
    blocks = np.kron(np.ma.filled(np.ma.masked_invalid(tiles), np.nan), np.ones((8, 8)))
    extent = (-columns * size / 2, columns * size / 2, -rows * size / 2, rows * size / 2)
    axes.imshow(blocks, cmap=DEVIATION, vmin=-limit, vmax=limit, extent=extent, interpolation="none", aspect="auto")
    axes.set_xlim(-105, 105)
    axes.set_ylim(-105, 105)
    axes.set_xticks([])
    axes.set_yticks([])
    for spine in axes.spines.values():
        spine.set_visible(False)
    axes.add_patch(circle_patch((0.0, 0.0), result.pose.radius_mm, INK_3, dashed=True))
    failing = np.argwhere(np.abs(np.nan_to_num(tiles)) > limit)
    for row, column in failing:
        x, y = extent[0] + (column + 0.5) * size, extent[3] - (row + 0.5) * size
        axes.text(x, y, signed(tiles[row, column], 0), ha="center", va="center", fontsize=5.0, color=INK)
    marked = _mark_faults(axes, result)
    axes.plot([-100, -50], [-102, -102], color=INK, linewidth=1.5, solid_capstyle="butt")
    axes.text(-46, -102, "50 mm", va="center")
    bar = new_axes(figure, 68.5, 8.0, 2.6, 54.0)
    bar.imshow(
        np.repeat(np.linspace(1, -1, 65)[:, None], 2, axis=1) * limit,
        cmap=DEVIATION,
        extent=(0, 1, -limit, limit),
        aspect="auto",
        interpolation="none",
    )
    bar.set_xticks([])
    bar.yaxis.tick_right()
    bar.set_yticks([-10, -5, 0, 5, 10], ["−10", "−5", "0", "+5", "+10"])
    bar.tick_params(length=2, pad=1.5)
    bar.set_title("%", fontsize=TEXT_PT, color=INK, pad=3)
    for spine in bar.spines.values():
        spine.set_color(INK_3)
        spine.set_linewidth(0.4)
    return written(
        figure,
        f"Map of {int(np.isfinite(tiles).sum())} tiles of {size:g} mm in the central slice, deviation from their "
        f"mean, blue low, orange high, −{limit:g} to +{limit:g} %; {len(failing)} tiles are beyond it and numbered."
        + marked,
        f"Tiles of {size:g} mm in the central slice, % of their mean. Look for rings, wedges and one-sided shades.",
    )


def _mark_faults(axes: Axes, result: CylinderResult) -> str:
    """Draw where a wedge and a ring were found, round the scanner's axis; return that in words."""
    aside = np.array([result.scanner_offset_mm[0], -result.scanner_offset_mm[1]])  # anterior is up
    words = ""
    wedge, ring = _evidence(result, "PHA-WEDGE"), _evidence(result, "PHA-RING")
    if wedge:
        middle, half = float(wedge["at_deg"]), float(wedge["width_deg"]) / 2
        angles = np.radians(-np.linspace(middle - half, middle + half, 31))
        reach = result.roi_radius_mm - 2.0
        arc = aside + reach * np.stack([np.cos(angles), np.sin(angles)], axis=1)
        outline = np.vstack([aside, arc, aside])
        axes.plot(outline[:, 0], outline[:, 1], color=INK, linewidth=1.0, dashes=(3, 2))
        at = aside + (reach + 9.0) * np.array([np.cos(np.radians(-middle)), np.sin(np.radians(-middle))])
        left, up = np.clip(at, -92.0, 92.0)
        axes.text(float(left), float(up), "wedge", ha="center", va="center", fontsize=TEXT_PT, color=INK)
        words += f" A wedge is outlined, its middle {middle:.0f}° from the patient's left towards the back."
    if ring:
        radius = float(ring["radius_mm"])
        for edge in (radius - float(ring["width_mm"]) / 2, radius + float(ring["width_mm"]) / 2):
            if edge > 0:
                axes.add_patch(circle_patch((float(aside[0]), float(aside[1])), edge, INK, dashed=True))
        axes.text(
            float(aside[0]), float(aside[1]) + radius, "ring", ha="center", va="center", fontsize=TEXT_PT, color=INK
        )
        words += f" A ring of {radius:.0f} mm radius is outlined."
    return words


def _evidence(result: CylinderResult, code: str) -> Mapping[str, Any]:
    """Return the evidence of a finding; empty where it was not made."""
    return next((one.evidence for one in result.findings if one.id == code), {})


def _edge_profile(result: CylinderResult) -> FigureSvg:
    edge = result.edge
    away = np.asarray(edge.profile_r_mm, dtype=np.float64) - edge.radius_mm
    figure = new_figure(83, 60)
    axes = new_axes(figure, 10.5, 9.5, 68, 48)
    dress_chart(axes, (-25.0, 25.0), (-0.1, 1.3), "distance from the wall, mm", "value / level inside")
    axes.set_xticks(np.arange(-20.0, 21.0, 10.0))
    axes.set_yticks(np.arange(0.0, 1.21, 0.2))
    axes.grid(axis="y", color=GRID, linewidth=LINE_PT)
    axes.axvline(0.0, color=INK_3, linewidth=LINE_PT)
    shown = np.clip(np.asarray(edge.profile_ratio, dtype=np.float64), -0.1, 1.3)
    axes.plot(away, shown, marker="o", color=SERIES_1, markersize=1.4, linestyle="none")
    width = "the fit did not settle"
    if edge.fwhm_mm is not None:
        axes.plot(away, np.clip(edge.fitted_ratio, -0.1, 1.3), color=SERIES_2, linewidth=1.0)
        width = f"FWHM {edge.fwhm_mm:.2f} mm"
        axes.text(24.0, 1.2, width, ha="right", va="center", color=INK)
    return written(
        figure,
        f"Mean value against the distance from the cylinder's wall, over the level inside, axis −25 to 25 mm, with the "
        f"blurred edge that fits it best: {width}.",
        "Edge of the cylinder across its own axis: dots measured, line the fitted blur. Look for an overshoot.",
    )


def _radial_profile(result: CylinderResult) -> FigureSvg:
    radius, ratio = np.asarray(result.radial_r_mm, dtype=float), np.asarray(result.radial_ratio, dtype=float)
    figure = new_figure(83, 60)
    axes = new_axes(figure, 10.5, 9.5, 68, 48)
    dress_chart(axes, (0.0, 100.0), (0.8, 1.2), "radius, mm", "value / mean")
    axes.set_xticks(np.arange(0.0, 101.0, 20.0))
    axes.set_yticks(np.arange(0.8, 1.21, 0.1))
    axes.grid(axis="y", color=GRID, linewidth=LINE_PT)
    axes.axhline(1.0, color=INK_3, linewidth=LINE_PT)
    finite = np.isfinite(ratio)
    half = float(np.median(np.diff(radius))) / 2 if radius.size > 1 else 0.0
    # A ring counts where the measured region holds all of it, to the millimetre that its radius is known to.
    inside = finite & (radius + half <= result.roi_radius_mm + 1.0)
    beyond = finite & ~inside
    axes.axvspan(result.roi_radius_mm, 100.0, color=GRID, linewidth=0)
    axes.axvline(result.roi_radius_mm, color=SERIES_2, linewidth=0.8)
    axes.text(result.roi_radius_mm - 1.5, 1.19, "measured region", ha="right", va="top", color=SERIES_2)
    axes.plot(
        radius[inside], np.clip(ratio[inside], 0.8, 1.2), color=SERIES_1, linewidth=1.0, marker="o", markersize=2.6
    )
    off = ratio < 0.8
    for chosen, marker in ((beyond & ~off, "o"), (beyond & off, "v")):
        axes.plot(
            radius[chosen],
            np.clip(ratio[chosen], 0.806, 1.2),
            marker=marker,
            color=INK_3,
            markersize=3.0,
            markerfacecolor="none",
            linestyle="none",
        )
    count = int(beyond.sum())
    rest = f" The {count} outermost lie beyond the measured region, towards the wall." if count else ""
    return written(
        figure,
        f"Mean value in {int(finite.sum())} rings against their radius, divided by the mean of the region, axis 0.8 to "
        f"1.2; the region ends at {result.roi_radius_mm:.0f} mm.{rest}",
        "Rings from the axis outwards. A low middle is cupping: scatter or attenuation correction is off. Shaded, "
        "hollow: outside the measured region, where the wall's blur lowers them"
        + ("; ▽ below the axis." if (beyond & off).any() else "."),
    )


def _bias(bias: Measurement) -> FigureSvg:
    value = bias.value or 0.0
    figure = new_figure(174, 22)
    axes = new_axes(figure, 3.0, 9.5, 150, 10.5)
    dress_chart(axes, (-15.0, 15.0), (0.0, 1.0), "measured against the activity sheet, %", "")
    axes.spines["left"].set_visible(False)
    axes.set_yticks([])
    axes.set_xticks(np.arange(-15.0, 15.1, 5.0), ["−15", "−10", "−5", "0", "+5", "+10", "+15"])
    if bias.limit_low is not None and bias.limit_high is not None:
        axes.axvspan(bias.limit_low, bias.limit_high, color=BAND, linewidth=0)
        for edge in (bias.limit_low, bias.limit_high):
            axes.axvline(edge, color=BAND_EDGE, linewidth=LINE_PT)
    axes.axvline(0.0, color=INK_3, linewidth=LINE_PT)
    marker, color = MARKS[bias.verdict]
    if abs(value) > 15.0:
        marker = ">" if value > 0 else "<"
    elif bias.uncertainty is not None:
        axes.errorbar(
            [value], [0.5], xerr=[2 * bias.uncertainty], color=color, linewidth=0.8, capsize=2.0, capthick=0.8
        )
    axes.plot([np.clip(value, -14.7, 14.7)], [0.5], marker=marker, color=color, markersize=5.0, linestyle="none")
    axes.text(1.0 + 2.0 / 150, 0.5, f"{signed(value, 1)} %", transform=axes.transAxes, va="center", color=color)
    sd = f" ± {2 * bias.uncertainty:.1f} % (2 SD)" if bias.uncertainty is not None else ", uncertainty not stated"
    return written(
        figure,
        f"Calibration bias {signed(value, 1)} %{sd}, on an axis of −15 to +15 %"
        + (", with the accepted band." if bias.limit_high is not None else "."),
        "Calibration bias." + (" Band: what the standard accepts." if bias.limit_high is not None else ""),
    )
