"""Figures of a NEMA image-quality phantom."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from phantoms import harmonise, standards
from phantoms.figure_svg import FigureSvg
from phantoms.figures.canvas import (
    BAND,
    BAND_EDGE,
    GRID,
    INK_2,
    INK_3,
    LINE_PT,
    PROFILE_AXIS_PCT,
    SERIES_1,
    SERIES_2,
    TEXT_PT,
    circle_patch,
    draw_bars,
    draw_values,
    drawing,
    dress_chart,
    high_limit,
    judged,
    new_axes,
    new_figure,
    right_labels,
    standard_name,
    written,
)
from phantoms.figures.sections import (
    Plane,
    Window,
    axial_plane,
    coronal_plane,
    draw_frame,
    draw_gray,
    draw_picture,
    draw_scale,
    sample_plane,
)
from phantoms.findings import signed
from phantoms.results import Measurement, Outcome
from phantoms.spheres import blurred_sphere

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from phantoms.background_columns import Profile
    from phantoms.nema_iq import NemaIqResult
    from phantoms.sphere_contents import OddSphere
    from phantoms.volume import PetVolume

DIAMETERS_MM = (10, 13, 17, 22, 28, 37)
CONTRAST_METRICS = {"a50": "A50", "max": "hottest voxel", "peak": "1 mL peak"}
ODD_WIDTH_MM = 72.0  # one sphere with its surroundings


@drawing()
def nema_iq_figures(
    volume: PetVolume, result: NemaIqResult, standard: standards.Standard | None, *more: standards.Standard
) -> dict[str, FigureSvg]:
    """Draw a NEMA image quality phantom.

    Parameters
    ----------
    volume : PetVolume
        The image the result was measured on.
    result : NemaIqResult
        Pose, spheres and background regions.
    standard : Standard or None
        Its recovery bands are drawn and decide the shape of the marks.
    *more : Standard
        Further editions that decide: each has its band and its marks in a chart of its own.

    Returns
    -------
    dict
        ``central_slice``, ``coronal``, ``contrast``, ``lung_profile`` and, where the true sphere concentration is
        known, ``recovery_a50`` and ``recovery_max``; ``contrast_recovery`` where the ratio is; ``post_filter`` where
        one is looked for; ``odd_sphere`` where one sphere is not like its siblings, and ``background_profile`` where
        the background drifts.
    """
    measured = judged(result.measurements, standard)
    window = Window.for_phantom(volume, result.true_sphere_bqml, result.sphere_filling, "sphere")
    figures = {
        "central_slice": _nema_slice(volume, result, window),
        "coronal": _nema_coronal(volume, result, window),
        "contrast": _contrast(measured),
        "lung_profile": _lung_profile(result),
    }
    for key, metric, words, top in (
        ("recovery_a50", "a50", "mean inside the half-maximum contour (A50)", 1.4),
        ("recovery_max", "max", "hottest voxel", 1.8),
    ):
        if any((found := measured.get(f"sphere_{d}mm_rc_{metric}")) and found.value is not None for d in DIAMETERS_MM):
            editions = [one for one in (standard, *more) if one is not None]
            figures[key] = _recovery(result.measurements, metric, words, top, editions)
    if any((found := measured.get(f"sphere_{d}mm_crc_a50")) and found.value is not None for d in DIAMETERS_MM):
        figures["contrast_recovery"] = _contrast_recovery(result.measurements, standard)
    advice = next((one for one in result.filter_advice if standard and one.standard_id == standard.id), None)
    is_held_back = advice is not None and advice.help is harmonise.Help.PRECHECK_FIRST
    if result.filter_curves is not None and not is_held_back:
        figures["post_filter"] = _post_filter(result.filter_curves, advice, standard)
    if result.contents is not None and result.contents.odd is not None:
        figures["odd_sphere"] = _odd_sphere(volume, result.contents.odd, window)
    if result.columns is not None and any(one.id == "PHA-SLOPE" for one in result.findings):
        figures["background_profile"] = _background_profile(result.columns.profile)
    return figures


def _nema_slice(volume: PetVolume, result: NemaIqResult, window: Window) -> FigureSvg:
    pose = result.pose
    spheres = np.array([sphere.center_lps_mm for sphere in result.spheres], dtype=np.float64)
    axial = axial_plane(pose.center_lps_mm, pose.axis)
    normal = np.cross(axial.u, axial.v)
    on_axis = np.asarray(pose.center_lps_mm, dtype=np.float64)
    plane = axial_plane(on_axis + float(np.mean((spheres - on_axis) @ normal)) * normal, pose.axis)
    figure, axes = draw_picture(volume, plane, window, ("R", "L", "A"))
    for center, radius_mm in result.background_rois:
        axes.add_patch(circle_patch(plane.project_mm(np.asarray(center)), radius_mm, SERIES_1))
    for sphere in result.spheres:
        at = np.array(plane.project_mm(np.asarray(sphere.center_lps_mm)))
        axes.add_patch(circle_patch((float(at[0]), float(at[1])), sphere.diameter_mm / 2, SERIES_2))
        # Beside it along the ring of spheres: inwards lies the lung insert, outwards are the background regions.
        outwards = at / (np.linalg.norm(at) or 1.0)
        where = at + np.array([-outwards[1], outwards[0]]) * (sphere.diameter_mm / 2 + 8.5)
        axes.text(where[0], where[1], f"{sphere.diameter_mm}", color=SERIES_2, ha="center", va="center")
    found = {one.name: one.value for one in result.measurements if one.standard is None}
    edge_mm, spheres_mm = (found[f"background_{what}_margin_mm"] or 0.0 for what in ("edge", "sphere"))
    margins = f"{edge_mm:.0f} mm from the edge and {spheres_mm:.0f} mm from the spheres"
    insert = "there is no lung insert"
    if pose.lung_center_lps_mm is not None and pose.lung_radius_mm is not None:
        axes.add_patch(
            circle_patch(plane.project_mm(pose.lung_center_lps_mm), pose.lung_radius_mm, SERIES_1, dashed=True)
        )
        insert = "dashed, a circle on the lung insert"
    return written(
        figure,
        f"Axial plane through the six spheres, black on white, {window.words}; circles on the spheres with their inner "
        f"diameters in mm and on {len(result.background_rois)} background regions, {margins}; {insert}.",
        f"Sphere plane, {window.words}. Look for round, full spheres without air. Orange: spheres, mm; "
        f"blue: background, {margins}; dashed: lung insert.",
    )


def _nema_coronal(volume: PetVolume, result: NemaIqResult, window: Window) -> FigureSvg:
    largest = max(result.spheres, key=lambda sphere: sphere.diameter_mm)
    plane = coronal_plane(np.asarray(largest.center_lps_mm), result.pose.axis)
    offset = np.asarray(result.pose.center_lps_mm) - plane.center_lps_mm
    plane = Plane(plane.center_lps_mm + (offset @ plane.u) * plane.u + (offset @ plane.v) * plane.v, plane.u, plane.v)
    figure, axes = draw_picture(volume, plane, window, ("R", "L", "H"))
    at = plane.project_mm(np.asarray(largest.center_lps_mm))
    axes.add_patch(circle_patch(at, largest.diameter_mm / 2, SERIES_2))
    axes.annotate(
        f"{largest.diameter_mm} mm",
        xy=(at[0], at[1] + largest.diameter_mm / 2),
        xytext=(0, 2),
        textcoords="offset points",
        ha="center",
        va="bottom",
        color=SERIES_2,
    )
    return written(
        figure,
        f"Coronal plane through the {largest.diameter_mm} mm sphere, black on white, {window.words}; a circle on the "
        "sphere.",
        f"Coronal through the {largest.diameter_mm} mm sphere, {window.words}. Look for bubbles at the top, bed joins "
        "and an even background.",
    )


def _recovery(
    measurements: Sequence[Measurement], metric: str, words: str, top: float, editions: Sequence[standards.Standard]
) -> FigureSvg:
    """Draw a recovery in a chart for each edition that judges it; in one without a band where none does."""
    names = {d: f"sphere_{d}mm_rc_{metric}" for d in DIAMETERS_MM}
    with_band = [one for one in editions if _band_of(names, one)]
    charts: list[standards.Standard | None] = [*with_band] or [None]
    rows, wide = -(-len(charts) // 2), len(charts) > 1
    high = 66.0
    figure = new_figure(174 if wide else 83, high * rows)
    counts = []
    for number, standard in enumerate(charts):
        below = rows - 1 - number // 2
        axes = new_axes(figure, 10.5 + 91.0 * (number % 2), 9.5 + high * below, 57, 52 if wide else 54)
        label = "" if number % 2 else "recovery, measured / true"
        _spheres_axes(axes, top, label, step=0.4 if wide else 0.2)
        measured = judged(measurements, standard)
        band = _draw_band(axes, names, standard)
        series = _draw_spheres(axes, {d: measured.get(name) for d, name in names.items()}, top)
        labels = []
        if band is not None and standard is not None:
            labels.append((band, standard_name(standard), INK_3))
        if series is not None:
            labels.append((min(series, top), "measured", SERIES_1))
        right_labels(axes, labels, least_gap=0.075 * top)
        counted = [found.verdict for name in names.values() if (found := measured.get(name)) is not None]
        outside = f"{counted.count(Outcome.FAIL)} of {len(counted)} fail" if band is not None else "no band drawn"
        counts.append(f"{standard_name(standard)}: {outside}" if wide and standard is not None else outside)
        if wide and standard is not None:
            axes.set_title(counts[-1], fontsize=TEXT_PT, color=INK_2, loc="left", pad=1.5)
    band_words = ""
    if with_band:
        band_words = " Bands: what each edition accepts, one a chart." if wide else " Band: what the standard accepts."
    return written(
        figure,
        f"Recovery against inner sphere diameter, {words}, axis 0 to {top:g}; {'; '.join(counts)}.",
        f"Recovery, {words}.{band_words} ● pass, ▲ warning, ■ fail, ◆ could not check; bars are ± 2 SD where stated.",
    )


def _contrast_recovery(measurements: Sequence[Measurement], standard: standards.Standard | None) -> FigureSvg:
    """Draw the three contrast recoveries beside each other."""
    top = 1.6
    measured = judged(measurements, standard)
    figure = new_figure(174, 60)
    has_band = False
    for number, (metric, title) in enumerate(CONTRAST_METRICS.items()):
        axes = new_axes(figure, 10.5 + 57.0 * number, 9.5, 46, 45)
        _spheres_axes(axes, top, "contrast recovery" if number == 0 else "", step=0.4)
        if number > 0:
            axes.set_yticklabels([])
        axes.set_title(title, fontsize=TEXT_PT, color=INK_2, loc="left", pad=1.5)
        names = {d: f"sphere_{d}mm_crc_{metric}" for d in DIAMETERS_MM}
        has_band |= _draw_band(axes, names, standard) is not None
        _draw_spheres(axes, {d: measured.get(name) for d, name in names.items()}, top)
    limited = " Band: what the standard accepts." if has_band else " No edition sets a limit."
    return written(
        figure,
        "Contrast recovery (CRC) against inner sphere diameter for A50, hottest voxel and 1 mL peak, axis 0 to "
        f"{top:g}, with bars of two standard deviations where stated.",
        "Contrast recovery: (sphere / background − 1) over the same by the activity sheet, so no calibration error is "
        "in it."
        f"{limited} Bars are ± 2 SD where stated.",
    )


def _spheres_axes(axes: Axes, top: float, label: str, *, step: float = 0.2) -> None:
    """Dress a chart of recoveries against the spheres' diameters."""
    dress_chart(axes, (8.0, 39.0), (0.0, top), "inner diameter, mm", label)
    axes.set_xticks(DIAMETERS_MM)
    axes.set_yticks(np.arange(0.0, top + 0.01, step))
    axes.grid(axis="y", color=GRID, linewidth=LINE_PT)
    axes.axhline(1.0, color=INK_3, linewidth=LINE_PT)


def _band_of(names: Mapping[int, str], standard: standards.Standard | None) -> list[tuple[int, float, float]]:
    """Return diameter, lower and upper end of each sphere that a standard limits on both sides."""
    limits = standard.limits if standard is not None else {}
    return [
        (d, limit.low, limit.high)
        for d, name in names.items()
        if (limit := limits.get(name)) is not None and limit.low is not None and limit.high is not None
    ]


def _draw_band(axes: Axes, names: Mapping[int, str], standard: standards.Standard | None) -> float | None:
    """Draw the standard's band; return its middle at the largest sphere."""
    edges = _band_of(names, standard)
    if not edges:
        return None
    diameters, low, high = zip(*edges, strict=True)
    axes.fill_between(diameters, low, high, color=BAND, linewidth=0)
    for edge in (low, high):
        axes.plot(diameters, edge, color=BAND_EDGE, linewidth=LINE_PT)
    return float(low[-1] + high[-1]) / 2


def _draw_spheres(axes: Axes, spheres: Mapping[int, Measurement | None], top: float) -> float | None:
    """Draw the measured curve; return its value at the largest sphere that has one."""
    points = [(d, found) for d, found in spheres.items() if found is not None and found.value is not None]
    if not points:
        return None
    axes.plot([d for d, _ in points], [found.value or 0.0 for _, found in points], color=SERIES_1, linewidth=1.0)
    draw_values(axes, points, top)
    return points[-1][1].value


def _contrast(measured: Mapping[str, Measurement]) -> FigureSvg:
    figure = new_figure(83, 60)
    axes = new_axes(figure, 10.5, 9.5, 57, 48)
    dress_chart(axes, (8.0, 39.0), (0.0, 120.0), "inner diameter, mm", "percent")
    axes.set_xticks(DIAMETERS_MM)
    axes.set_yticks(np.arange(0.0, 121.0, 20.0))
    axes.grid(axis="y", color=GRID, linewidth=LINE_PT)
    labels, has_bars = [], False
    for metric, label, color, marker, dashes in (
        ("qh_pct", "hot contrast", SERIES_1, "o", "-"),
        ("qc_pct", "cold", SERIES_1, "s", ":"),
        ("n_pct", "variability", SERIES_2, "v", "--"),
    ):
        found = [(d, measured.get(f"sphere_{d}mm_{metric}")) for d in DIAMETERS_MM]
        points = [(d, one.value) for d, one in found if one is not None and one.value is not None]
        if not points:
            continue
        x, y = zip(*points, strict=True)
        axes.plot(x, y, color=color, linewidth=1.0, linestyle=dashes, marker=marker, markersize=3.6)
        bars = [
            (d, one.value, one.uncertainty)
            for d, one in found
            if one is not None and one.value is not None and one.uncertainty is not None
        ]
        draw_bars(axes, bars, color)
        has_bars |= bool(bars)
        labels.append((float(y[-1]), label, color))
    right_labels(axes, labels, least_gap=9.0)
    cold = ", cold contrast (dotted)" if any(label == "cold" for _, label, _ in labels) else ""
    return written(
        figure,
        f"Hot contrast recovery{cold} and background variability against inner sphere diameter, axis 0 to 120 %.",
        f"NEMA hot contrast recovery (solid){cold} and background variability (dashed) by sphere. "
        "No edition sets a limit." + (" Bars are ± 2 SD where stated." if has_bars else ""),
    )


def _odd_sphere(volume: PetVolume, odd: OddSphere, window: Window) -> FigureSvg:
    """Draw the slice through a sphere, and its voxels from back to front against what its siblings foretell."""
    figure = new_figure(174, 66)
    width_mm = ODD_WIDTH_MM
    plane = axial_plane(odd.place_lps_mm, np.array([0.0, 0.0, 1.0]))
    axes = new_axes(figure, 0, 9.5, 56, 56)
    draw_gray(axes, *sample_plane(volume, plane, width_mm, width_mm), window)
    axes.set_xlim(-width_mm / 2, width_mm / 2)
    axes.set_ylim(-width_mm / 2, width_mm / 2)
    draw_frame(axes, ("R", "L", "A"), bar_mm=20.0)
    radius = odd.diameter_mm / 2
    axes.add_patch(circle_patch((0.0, 0.0), radius, SERIES_2))
    draw_scale(figure, window, 56.0)
    is_air, up = odd.cause != "misfill", 1.0 if odd.upwards == "anterior" else -1.0
    depth = np.linspace(0.0, 2 * radius, 1001)
    level = radius - float(np.interp(odd.bubble_pct / 100, depth**2 * (3 * radius - depth) / (4 * radius**3), depth))
    if is_air:
        half = float(np.sqrt(max(radius**2 - level**2, 0.0)))
        axes.plot([-half, half], [up * level, up * level], color=SERIES_2, linewidth=0.8, dashes=(3, 1.5))
    chart = new_axes(figure, 70, 9.5, 82, 54)
    top = 1.3 * odd.filling * window.per_unit
    dress_chart(
        chart, (-width_mm / 2, width_mm / 2), (0.0, top), "from the sphere's middle towards the front, mm", window.label
    )
    chart.grid(axis="y", color=GRID, linewidth=LINE_PT)
    at = np.linspace(-width_mm / 2, width_mm / 2, 201)
    foretold = odd.background + (odd.filling - odd.background) * blurred_sphere(np.abs(at), radius, odd.sigma_mm)
    chart.plot(at, foretold * window.per_unit, color=INK_2, linewidth=1.0, dashes=(4, 2))
    for edge in (-radius, radius):
        chart.axvline(edge, color=INK_3, linewidth=LINE_PT)
    if is_air:
        chart.axvspan(*sorted((up * level, up * radius)), color=BAND, linewidth=0)
    z, middle, x = np.rint(volume.to_index_zyx(odd.place_lps_mm)).astype(int)
    reach = int(width_mm / 2 / volume.spacing_zyx_mm[1])
    rows = np.arange(max(middle - reach, 0), min(middle + reach + 1, volume.image.shape[1]))
    places = volume.to_lps_mm(np.stack([np.full(rows.size, z), rows, np.full(rows.size, x)], axis=1))
    front = odd.place_lps_mm[1] - places[:, 1]
    seen = np.clip(volume.image[z, rows, x] * window.per_unit, 0.0, top)
    chart.plot(front, seen, color=SERIES_2, linewidth=1.0, marker="o", markersize=2.6)
    label_at = float(seen[np.argmin(np.abs(front))])
    right_labels(
        chart,
        [(float(foretold.max() * window.per_unit), "as the others\nforetell", INK_2), (label_at, "voxels", SERIES_2)],
        top / 8,
    )
    air = f"; a cold cap of {odd.bubble_pct:.0f} % of its volume fits at the {odd.upwards} side" if is_air else ""
    return written(
        figure,
        f"Axial plane through the {odd.diameter_mm} mm sphere, {window.words}, and its voxels from back to front with "
        f"the profile that the other five spheres foretell; it lacks {odd.loss_pct:.0f} % of their filling{air}.",
        f"The {odd.diameter_mm} mm sphere: voxels (orange) and what its siblings foretell (dashed). "
        + ("Shaded: where the air that fits best would be." if is_air else "Low all through is a thin filling."),
    )


def _background_profile(profile: Profile) -> FigureSvg:
    figure = new_figure(83, 60)
    axes = new_axes(figure, 11.5, 9.5, 56, 48)
    dress_chart(
        axes,
        (-150.0, 150.0),
        (-PROFILE_AXIS_PCT, PROFILE_AXIS_PCT),
        "distance from the sphere plane, mm",
        "deviation, %",
    )
    axes.set_xticks(np.arange(-150.0, 151.0, 50.0))
    axes.set_yticks(np.arange(-15.0, 15.1, 5.0))
    axes.grid(axis="y", color=GRID, linewidth=LINE_PT)
    axes.axhline(0.0, color=INK_3, linewidth=LINE_PT)
    height, slope = profile.height_mm, profile.slope_pct_per_cm
    over = np.abs(profile.pct) > PROFILE_AXIS_PCT
    edge = PROFILE_AXIS_PCT - 0.6
    axes.plot(height[~over], profile.pct[~over], color=SERIES_1, marker="o", markersize=2.2, linestyle="none")
    for beyond, marker in ((over & (profile.pct > 0), "^"), (over & (profile.pct < 0), "v")):
        axes.plot(height[beyond], np.sign(profile.pct[beyond]) * edge, marker, color=SERIES_1, markersize=3.2)
    ends = np.array([height.min(), height.max()])
    labels = []
    for pct_per_cm, color, dashes, words in (
        (slope, SERIES_1, (1, 0), f"{signed(slope, 1)} %/cm"),
        (float(np.sign(slope)), INK_2, (4, 2), "1 %/cm"),
    ):
        line = pct_per_cm * (ends - height.mean()) / 10.0
        axes.plot(ends, np.clip(line, -PROFILE_AXIS_PCT, PROFILE_AXIS_PCT), color=color, linewidth=1.0, dashes=dashes)
        labels.append((float(line[1]), words, color))
    right_labels(axes, labels, least_gap=3.0)
    return written(
        figure,
        "Mean of twelve columns of background in each slice against its distance from the sphere plane, deviation from "
        f"their mean, axis −15 to +15 %; the straight line rises by {signed(slope, 2)} % per cm towards the head.",
        "Background along the axis (dots) with its straight line; dashed: the lab's rule. A drift is the "
        "normalisation's, or the phantom was not mixed.",
    )


def _lung_profile(result: NemaIqResult) -> FigureSvg:
    z, residual = np.asarray(result.lung_profile_z_mm), np.asarray(result.lung_profile_pct)
    figure = new_figure(83, 60)
    axes = new_axes(figure, 10.5, 9.5, 69, 48)
    dress_chart(
        axes, (-100.0, 100.0), (0.0, 60.0), "distance from the sphere plane along the axis, mm", "% of background"
    )
    axes.set_xticks(np.arange(-100.0, 101.0, 50.0))
    axes.grid(axis="y", color=GRID, linewidth=LINE_PT)
    if z.size:
        axes.plot(z, np.minimum(residual, 60.0), color=SERIES_1, linewidth=1.0, marker="o", markersize=2.2)
        beyond = residual > 60.0
        axes.plot(z[beyond], np.full(int(beyond.sum()), 58.5), "^", color=SERIES_1, markersize=3.6)
    return written(
        figure,
        "Residual activity in the lung insert, slice by slice, in percent of background, axis 0 to 60 %.",
        "Lung insert, slice by slice: it holds no activity, so what is left is scatter and correction error.",
    )


def _post_filter(
    curves: harmonise.FilterCurves, advice: harmonise.FilterAdvice | None, standard: standards.Standard | None
) -> FigureSvg:
    """Draw every sphere's recovery against the filter, a row a metric, and the noise below."""
    limits = harmonise.recoveries_limited(standard) if standard is not None else {}
    asked = dict.fromkeys(name.partition("mm_")[2] for name in limits) or {"rc_a50": None, "rc_max": None}
    rows = [what for what in asked if any(f"sphere_{d}mm_{what}" in curves.recovery for d in DIAMETERS_MM)]
    high, gap, foot = 25.0, 4.0, 26.0
    figure = new_figure(174, 6.0 + len(rows) * (high + gap) + foot)
    edges = [edge for edge in (advice.fwhm_mm, advice.widest_mm) if edge is not None] if advice is not None else []
    shown, step = curves.fwhm_mm[::6], harmonise.WIDEST_MM + 2.0  # one axes a row, a block of it a sphere
    blocks = {d: step * k for k, d in enumerate(reversed(DIAMETERS_MM))}
    for row, what in enumerate(rows):
        top = 1.8 if what.endswith("max") else 1.4
        axes = new_axes(figure, 11.5, foot + (len(rows) - 1 - row) * (high + gap), 160, high)
        words = what.removeprefix("rc_").replace("_", " ").replace("a50", "A50").replace("rc", "RC")
        dress_chart(axes, (0.0, 6 * step - 2.0), (0.0, top), "", f"{words}, measured / true")
        axes.set_xticks([])
        if row == len(rows) - 1:
            axes.set_xticks(
                [start + end for start in blocks.values() for end in (0.0, 6.0, 12.0)], ["0", "6", "12"] * 6
            )
        axes.set_yticks(np.arange(0.0, top + 0.01, 0.4))
        axes.grid(axis="y", color=GRID, linewidth=LINE_PT)
        bands, marks, lines = [], [], []
        for d, start in blocks.items():
            name = f"sphere_{d}mm_{what}"
            ends, limit = (start, start + harmonise.WIDEST_MM), limits.get(name)
            if limit is not None and limit.low is not None and limit.high is not None:
                bands += [(ends[0], limit.low, limit.high), (ends[1], limit.low, limit.high)]
            bands.append((ends[1], np.nan, np.nan))
            marks += [(start + edge, height) for edge in edges for height in (0.0, top, np.nan)]
            if name in curves.recovery:
                lines += list(zip(start + shown, np.minimum(curves.recovery[name][::6], top), strict=True))
            lines.append((ends[1], np.nan))
            if row == 0:
                axes.text(start + 6.0, top * 1.04, f"{d} mm", ha="center", va="bottom")
        x, low, upper = zip(*bands, strict=True)
        axes.fill_between(x, low, upper, color=BAND, linewidth=0)
        for side in (low, upper):
            axes.plot(x, side, color=BAND_EDGE, linewidth=LINE_PT)
        if marks:
            axes.plot(*zip(*marks, strict=True), color=SERIES_2, linewidth=0.8, dashes=(4, 2))
        axes.plot(*zip(*lines, strict=True), color=SERIES_1, linewidth=1.0)
    axes = new_axes(figure, 11.5, 9.5, 160, foot - 15.0)
    dress_chart(axes, (0.0, harmonise.WIDEST_MM), (0.0, 20.0), "added post-filter, FWHM, mm", "noise, %")
    axes.set_xticks(np.arange(0.0, harmonise.WIDEST_MM + 0.1, 2.0))
    axes.set_yticks([0, 10, 20])
    axes.grid(axis="y", color=GRID, linewidth=LINE_PT)
    noise_limit = high_limit(standard, harmonise.COV)
    if noise_limit is not None:
        axes.axhline(noise_limit, color=INK_2, linewidth=0.8, dashes=(4, 2))
    for edge in edges:
        axes.axvline(edge, color=SERIES_2, linewidth=0.8, dashes=(4, 2))
    axes.plot(shown, np.minimum(curves.cov_pct[::6], 20.0), color=SERIES_1, linewidth=1.0)
    said = harmonise.sentence(advice) if advice is not None else "No edition is named to look for a filter."
    return written(
        figure,
        f"Recovery of the six spheres behind an added Gaussian filter of 0 to 12 mm, a row for each of "
        f"{len(rows)} measures, and below the background noise, axis 0 to 20 %. {said}",
        f"What a post-filter would do. {said}"
        + (f" {todo}" if advice is not None and (todo := harmonise.next_step(advice)) else "")
        + (f" Blue: what {standard_name(standard)} accepts" if limits and standard is not None else "")
        + ("; orange: the narrowest and the widest filter that keep all inside." if edges else "."),
    )
