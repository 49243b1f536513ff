"""Figures of a radionuclide calibrator's readings."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.figure import Figure

from phantoms import standards
from phantoms.figure_svg import FigureSvg
from phantoms.figures.canvas import (
    GRID,
    INK_2,
    INK_3,
    LINE_PT,
    MARKS,
    SERIES_1,
    drawing,
    dress_chart,
    high_limit,
    new_axes,
    new_figure,
    right_labels,
    short,
    written,
)
from phantoms.findings import signed
from phantoms.results import Outcome

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from phantoms.calibrator import CalibratorResult, Reading

READING_AXIS_PCT = 10.0


@drawing()
def calibrator_figures(result: CalibratorResult, standard: standards.Standard | None = None) -> dict[str, FigureSvg]:
    """Draw a radionuclide calibrator's readings.

    Parameters
    ----------
    result : CalibratorResult
        Readings with what they should have been.
    standard : Standard or None
        Its limits are drawn; without it no limit is.

    Returns
    -------
    dict
        ``constancy`` and, where a short-lived source was read down, ``linearity``.
    """
    against = "the baseline" if result.has_baseline else "the certificate"
    first, last = result.constancy[0].at, result.constancy[-1].at
    span_days = max((last - first).total_seconds() / 86_400.0, 1.0)
    days = [(one.at - first).total_seconds() / 86_400.0 for one in result.constancy]
    axes, figure = _reading_axes(f"{first:%d %b %Y} to {last:%d %b %Y}, days", (-0.02 * span_days, 1.02 * span_days))
    worst = _draw_readings(axes, days, result.constancy, standard, "calibrator_constancy_max_pct")
    found = {
        "constancy": written(
            figure,
            f"Deviation of {len(days)} readings of {result.nuclide} from {against}, decayed, against the day, axis "
            f"−10 to +10 %; the farthest is {signed(worst, 1)} %.",
            f"Readings of the reference source over {against}. Look for a step after a repair, and for a slow drift.",
        )
    }
    if result.linearity:
        read = [one.activity_mbq for one in result.linearity]
        axes, figure = _reading_axes("reading, MBq", (min(read) / 1.5, max(read) * 1.5))
        axes.set_xscale("log")
        axes.xaxis.set_major_formatter("{x:g}")
        worst = _draw_readings(axes, read, result.linearity, standard, "calibrator_linearity_max_pct")
        found["linearity"] = written(
            figure,
            f"Deviation of {len(read)} readings from the decay law through all of them, against the reading from "
            f"{short(min(read))} to {short(max(read))} MBq, axis −10 to +10 %; farthest {signed(worst, 1)} %.",
            "Readings of a decaying source. A fall at the right end is dead time, a rise at the left end background.",
        )
    return found


def _reading_axes(x_label: str, x: tuple[float, float]) -> tuple[Axes, Figure]:
    figure = new_figure(174, 50)
    axes = new_axes(figure, 11.5, 9.5, 145, 38)
    dress_chart(axes, x, (-READING_AXIS_PCT, READING_AXIS_PCT), x_label, "deviation, %")
    axes.set_yticks(np.arange(-10.0, 10.1, 5.0))
    axes.grid(axis="y", color=GRID, linewidth=LINE_PT)
    axes.axhline(0.0, color=INK_3, linewidth=LINE_PT)
    return axes, figure


def _draw_readings(
    axes: Axes, x: Sequence[float], readings: Sequence[Reading], standard: standards.Standard | None, name: str
) -> float:
    """Draw readings with their limit; one beyond the axis becomes an arrow. Return the farthest, per cent."""
    deviation = np.array([one.deviation_pct for one in readings])
    limit = high_limit(standard, name)
    if limit is not None:
        for edge in (-limit, limit):
            axes.axhline(edge, color=INK_2, linewidth=0.8, dashes=(4, 2))
        right_labels(axes, [(limit, f"+{limit:g} % limit", INK_2), (-limit, f"−{limit:g} % limit", INK_2)], 3.0)
    over = np.abs(deviation) > READING_AXIS_PCT
    failed = np.abs(deviation) > limit if limit is not None else np.zeros_like(over)
    places = np.asarray(x, dtype=np.float64)
    axes.plot(places, np.clip(deviation, -READING_AXIS_PCT, READING_AXIS_PCT), color=SERIES_1, linewidth=0.8)
    for chosen, marker, color in (
        (~over & ~failed, "o", SERIES_1),
        (~over & failed, *MARKS[Outcome.FAIL]),
        (over & (deviation > 0), "^", MARKS[Outcome.FAIL][1]),
        (over & (deviation < 0), "v", MARKS[Outcome.FAIL][1]),
    ):
        shown = np.clip(deviation[chosen], -READING_AXIS_PCT + 0.4, READING_AXIS_PCT - 0.4)
        axes.plot(places[chosen], shown, marker=marker, color=color, markersize=3.0, linestyle="none")
        for at, height, value in zip(places[chosen & over], shown[over[chosen]], deviation[chosen & over], strict=True):
            axes.annotate(signed(float(value), 0), (at, height), (4, 0), textcoords="offset points", va="center")
    return float(deviation[int(np.argmax(np.abs(deviation)))])
