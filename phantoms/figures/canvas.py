"""What every report figure shares: colours, sizes in print, the face, charts, and the writing as SVG."""

from __future__ import annotations

import base64
import importlib.util
import io
import re
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure
from matplotlib.font_manager import fontManager
from matplotlib.patches import Circle, Polygon
from PIL import Image

from phantoms import standards
from phantoms.figure_svg import FigureSvg
from phantoms.results import Measurement, Outcome

if TYPE_CHECKING:
    from matplotlib.axes import Axes


INK, INK_2, INK_3, GRID = "#16202B", "#465361", "#5F6C79", "#E3E8ED"
SERIES_1, SERIES_2 = "#1D4E89", "#D55E00"
BAND, BAND_EDGE = "#D6E4F2", "#6E93BC"
# Word first, shape second, colour third: print in grey reads the same.
MARKS = {
    Outcome.PASS: ("o", "#237F71"),
    Outcome.WARN: ("^", "#B97817"),
    Outcome.FAIL: ("s", "#972614"),
    Outcome.NOT_EVALUABLE: ("D", "#5D5091"),
    Outcome.REPORT_ONLY: ("o", SERIES_1),
    Outcome.ERROR: ("X", "#192A35"),
}
TEXT_PT = 7.5
LINE_PT = 0.6
ROI_PT = 0.5
MM_PER_INCH = 25.4
PROFILE_AXIS_PCT = 15.0
_ONE_AT_A_TIME = threading.Lock()  # matplotlib's settings are global to the process


@cache
def _face() -> str:
    """Register the report's face with matplotlib, once a process, and return its name."""
    spec = importlib.util.find_spec("fontpkg_ibm_plex_sans")
    places = list(spec.submodule_search_locations or []) if spec else []
    for place in places:
        fontManager.addfont(str(Path(place) / "files" / "IBMPlexSans[wdth,wght].ttf"))
        return "IBM Plex Sans"
    return "DejaVu Sans"


@contextmanager
def drawing() -> Iterator[None]:
    """Hold matplotlib's global settings still while figures are made and written."""
    settings: Any = {
        "font.family": [_face()],
        "font.size": TEXT_PT,
        "text.color": INK,
        "axes.unicode_minus": True,
        "svg.fonttype": "path",  # the same letters in every viewer, whatever faces it has
        "svg.hashsalt": "pet-corelab",
    }
    with _ONE_AT_A_TIME, mpl.rc_context(settings):
        yield


def draw_values(axes: Axes, points: Sequence[tuple[float, Measurement]], top: float) -> None:
    """Mark judged values by their outcome's shape and colour; one beyond the axis becomes an arrow with its number."""
    for verdict, (marker, color) in MARKS.items():
        shown = [(x, found.value, found.uncertainty) for x, found in points if found.verdict is verdict]
        known = [(x, value, sd) for x, value, sd in shown if value is not None]
        for x, value, _ in known:
            if value > top:
                axes.annotate(
                    f"{value:.2f}",
                    xy=(x, top),
                    xytext=(x, top * 0.9),
                    ha="center",
                    va="top",
                    color=color,
                    arrowprops={"arrowstyle": "-|>", "color": color, "linewidth": LINE_PT, "shrinkA": 0, "shrinkB": 0},
                )
        inside = [(x, value, sd) for x, value, sd in known if value <= top]
        draw_bars(axes, [(x, value, sd) for x, value, sd in inside if sd is not None], color)
        if inside:
            at, heights, _ = zip(*inside, strict=True)
            axes.plot(at, heights, marker=marker, color=color, markersize=4.2, linestyle="none", zorder=5)


def draw_bars(axes: Axes, values: Sequence[tuple[float, float, float]], color: str) -> None:
    """Draw bars of two standard deviations: place, value and its standard deviation."""
    if values:
        at, heights, sds = zip(*values, strict=True)
        reach = [2 * sd for sd in sds]
        axes.errorbar(
            at, heights, yerr=reach, color=color, linestyle="none", elinewidth=LINE_PT, capsize=1.6, capthick=LINE_PT
        )


def judged(measurements: Sequence[Measurement], standard: standards.Standard | None) -> dict[str, Measurement]:
    """Return the plain numbers by name, the judged copy in place of the plain one where the standard has a limit."""
    found = {one.name: one for one in measurements if one.standard is None}
    if standard is not None:
        found |= {one.name: one for one in standards.judge(tuple(found.values()), standard)}
    return found


def standard_name(standard: standards.Standard) -> str:
    """Return how a chart calls a standard."""
    known = re.fullmatch(r"earl(\d)_18f", standard.id)
    return f"EARL {known[1]}" if known else standard.id


def high_limit(standard: standards.Standard | None, name: str) -> float | None:
    """Return a standard's upper limit of a measurement; None where it has none."""
    limit = standard.limits.get(name) if standard is not None else None
    return limit.high if limit is not None else None


def new_figure(width_mm: float, height_mm: float) -> Figure:
    """Return an empty figure of that size in print."""
    return Figure(figsize=(width_mm / MM_PER_INCH, height_mm / MM_PER_INCH), facecolor="white")


def new_axes(figure: Figure, left_mm: float, bottom_mm: float, width_mm: float, height_mm: float) -> Axes:
    """Place axes by millimetres from the figure's lower left corner."""
    wide, high = (float(side) * MM_PER_INCH for side in figure.get_size_inches())
    axes = figure.add_axes((left_mm / wide, bottom_mm / high, width_mm / wide, height_mm / high))
    axes.tick_params(labelsize=TEXT_PT, width=LINE_PT, length=2.5, color=INK_3, labelcolor=INK)
    return axes


def dress_chart(axes: Axes, x: tuple[float, float], y: tuple[float, float], x_label: str, y_label: str) -> None:
    """Fix a chart's axes and label them."""
    axes.set_xlim(*x)
    axes.set_ylim(*y)
    axes.set_xlabel(x_label, fontsize=TEXT_PT, color=INK, labelpad=2)
    axes.set_ylabel(y_label, fontsize=TEXT_PT, color=INK, labelpad=2)
    axes.set_axisbelow(True)
    for side, spine in axes.spines.items():
        spine.set_visible(side in {"left", "bottom"})
        spine.set_color(INK_3)
        spine.set_linewidth(LINE_PT)


def right_labels(axes: Axes, labels: Sequence[tuple[float, str, str]], least_gap: float) -> None:
    """Name series at the right end, each at its own height, pushed apart where they would touch."""
    low, high = axes.get_ylim()
    at = -np.inf
    for height, text, color in sorted(labels):
        at = max(min(max(height, low), high), at + least_gap)
        axes.annotate(
            text,
            xy=(1.0, at),
            xycoords=("axes fraction", "data"),
            xytext=(3, 0),
            textcoords="offset points",
            va="center",
            color=color,
            annotation_clip=False,
        )


def circle_patch(center: tuple[float, float], radius: float, color: str, *, dashed: bool = False) -> Circle:
    """Return the outline of a round region."""
    style: Any = (0, (4, 2)) if dashed else "-"
    return Circle(center, radius, fill=False, edgecolor=color, linewidth=ROI_PT, linestyle=style)


def box_patch(left: float, right: float, bottom: float, top: float, color: str, *, dashed: bool = False) -> Polygon:
    """Return the outline of a rectangle."""
    style: Any = (0, (4, 2)) if dashed else "-"
    corners = [(left, bottom), (right, bottom), (right, top), (left, top)]
    return Polygon(corners, closed=True, fill=False, edgecolor=color, linewidth=ROI_PT, linestyle=style)


def short(value: float) -> str:
    """Return three figures, without a trailing zero."""
    return f"{value:.3g}".replace("-", "−") if value < 1000 else f"{value:,.0f}".replace(",", "\u202f")


def written(figure: Figure, alt: str, caption: str) -> FigureSvg:
    """Write a figure as SVG that carries its words, has small pictures and no style."""
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    svg = buffer.getvalue()
    svg = svg[svg.index("<svg ") :]
    svg = re.sub(r"<metadata>.*?</metadata>\s*", "", svg, flags=re.DOTALL)
    svg = re.sub(r"<defs>\s*<style[^>]*>.*?</style>\s*</defs>", "", svg, count=1, flags=re.DOTALL)
    svg = svg.replace('<g id="figure_1">', '<g id="figure_1" stroke-linejoin="round" stroke-linecap="butt">', 1)
    svg = re.sub(r' style="([^"]*)"', _as_attributes, svg)
    svg = re.sub(r"data:image/png;base64,([^\"]+)", _small_png, svg)
    return FigureSvg.with_words(svg, alt, caption)


def _as_attributes(style: re.Match[str]) -> str:
    """Turn ``style="fill: none; stroke: #000"`` into presentation attributes."""
    pairs = (item.partition(":") for item in style[1].split(";") if item.strip())
    settings = {name.strip(): value.strip() for name, _, value in pairs}
    return "".join(f' {name}="{value}"' for name, value in settings.items())


def _small_png(found: re.Match[str]) -> str:
    """Re-encode an embedded RGBA picture with as few channels and colours as it has."""
    picture = Image.open(io.BytesIO(base64.b64decode(found[1])))
    rgba = np.asarray(picture.convert("RGBA"))
    grey = np.array_equal(rgba[..., 0], rgba[..., 1]) and np.array_equal(rgba[..., 1], rgba[..., 2])
    small = Image.fromarray(rgba[..., 0] if grey and bool((rgba[..., 3] == 255).all()) else rgba)
    buffer = io.BytesIO()
    small.save(buffer, format="PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()
