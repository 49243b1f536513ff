"""The band plot: one number against its limits, as a small SVG for pages and documents.

The accepted band always fills the middle third, so left of it means low on every row. Colours are attributes and
classes, never styles: a page's style sheet may recolour them, a document shows them as they are.
"""

from __future__ import annotations

from xml.sax.saxutils import escape

from phantoms.results import Outcome
from qc.wording import VERDICT_WORDS, plain

WIDTH_PX, HEIGHT_PX = 200, 22
THIRD_PX = WIDTH_PX / 3
EDGE_PX = 6.0  # a mark never leaves the strip
MIDDLE_PX = HEIGHT_PX / 2
BAND, BAND_EDGE, LINE, WHISKER = "#D6E4F2", "#6E93BC", "#5F6C79", "#465361"
MARK_COLORS = {
    Outcome.PASS: ("pass", "#237F71"),
    Outcome.WARN: ("warn", "#B97817"),
    Outcome.FAIL: ("fail", "#972614"),
    Outcome.NOT_EVALUABLE: ("unknown", "#5D5091"),
    Outcome.REPORT_ONLY: ("report", "#5F6C79"),
    Outcome.ERROR: ("error", "#192A35"),
}


def band_svg(
    value: float | None, uncertainty: float | None, low: float | None, high: float | None, verdict: str
) -> str:
    """Draw one value against its limits.

    Parameters
    ----------
    value : float or None
        None draws the band alone.
    uncertainty : float or None
        One standard deviation; the whiskers are two.
    low, high : float or None
        The band's ends; an end that is not limited is left open.
    verdict : str
        Decides the mark's shape: ● pass, ▲ warning, ■ fail.

    Returns
    -------
    str
        An SVG element of 200 × 22 px; empty where there is no limit to draw against.
    """
    if low is None and high is None:
        return ""
    position = _Scale(low, high)
    parts = [
        f'<line x1="0" x2="{WIDTH_PX}" y1="{MIDDLE_PX:g}" y2="{MIDDLE_PX:g}" class="chart-axis" stroke="{LINE}" '
        'stroke-width="1"/>',
        *_band(low, high),
    ]
    if value is not None:
        parts += _mark(position, value, uncertainty, Outcome(verdict))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" role="img" class="band-plot" width="{WIDTH_PX}" height="{HEIGHT_PX}" '
        f'viewBox="0 0 {WIDTH_PX} {HEIGHT_PX}"><title>{escape(band_words(value, low, high, verdict))}</title>'
        f"<desc>{escape(_description(value, low, high))}</desc>{''.join(parts)}</svg>"
    )


def band_words(value: float | None, low: float | None, high: float | None, verdict: str) -> str:
    """Return in words what the band plot shows; the alternative text where the picture stands alone."""
    word = VERDICT_WORDS[verdict]
    if value is None:
        return f"{word}: no value"
    if low is not None and value < low:
        return f"{word}: below the band"
    if high is not None and value > high:
        return f"{word}: above the band"
    return f"{word}: inside the band"


def _description(value: float | None, low: float | None, high: float | None) -> str:
    ends = [f"from {plain(low)}" if low is not None else "", f"to {plain(high)}" if high is not None else ""]
    band = "band " + " ".join(end for end in ends if end)
    return band if value is None else f"{plain(float(f'{value:.6g}'))} against the {band}"


class _Scale:
    """Maps a value to pixels so that the band is the middle third; an open end takes the other's size as width."""

    def __init__(self, low: float | None, high: float | None) -> None:
        if low is None:
            assert high is not None  # noqa: S101 (band_svg leaves first)
            low = min(0.0, high - (abs(high) or 1.0))
        if high is None:
            high = low + (abs(low) or 1.0)
        self.low, self.per_px = low, (high - low) / THIRD_PX or 1.0

    def px(self, value: float) -> float:
        return THIRD_PX + (value - self.low) / self.per_px

    def inside(self, px: float) -> float:
        return min(max(px, EDGE_PX), WIDTH_PX - EDGE_PX)


def _band(low: float | None, high: float | None) -> list[str]:
    left = THIRD_PX if low is not None else 0.0
    right = 2 * THIRD_PX if high is not None else float(WIDTH_PX)
    parts = [
        f'<rect x="{left:.2f}" y="3" width="{right - left:.2f}" height="{HEIGHT_PX - 6}" class="chart-band" '
        f'fill="{BAND}"/>'
    ]
    for limit, x in ((low, THIRD_PX), (high, 2 * THIRD_PX)):
        if limit is not None:
            parts.append(
                f'<line x1="{x:.2f}" x2="{x:.2f}" y1="2" y2="{HEIGHT_PX - 2}" class="chart-band-edge" '
                f'stroke="{BAND_EDGE}" stroke-width="1.2"/>'
            )
    return parts


def _mark(scale: _Scale, value: float, uncertainty: float | None, verdict: Outcome) -> list[str]:
    name, color = MARK_COLORS[verdict]
    x, y = scale.px(value), MIDDLE_PX
    if not EDGE_PX <= x <= WIDTH_PX - EDGE_PX:
        tip, back = (0.5, 8.5) if x < EDGE_PX else (WIDTH_PX - 0.5, WIDTH_PX - 8.5)
        return [f'<path d="M{tip:g} {y:g}L{back:g} {y - 5:g}V{y + 5:g}Z" class="mark-{name}" fill="{color}"/>']
    shape = _shape(x, verdict)
    return [*_whiskers(scale, value, uncertainty), f'<{shape} class="mark-{name}" fill="{color}"/>']


def _whiskers(scale: _Scale, value: float, uncertainty: float | None) -> list[str]:
    """Draw two standard deviations either side, cut at the ends of the strip."""
    if not uncertainty:
        return []
    left, right = (scale.inside(scale.px(value + sign * 2 * uncertainty)) for sign in (-1, 1))
    lines = [(left, right, MIDDLE_PX, MIDDLE_PX), *((end, end, MIDDLE_PX - 4, MIDDLE_PX + 4) for end in (left, right))]
    return [
        f'<line x1="{x1:.2f}" x2="{x2:.2f}" y1="{y1:g}" y2="{y2:g}" class="chart-whisker" stroke="{WHISKER}" '
        'stroke-width="1.2"/>'
        for x1, x2, y1, y2 in lines
    ]


def _shape(x: float, verdict: Outcome) -> str:
    y = MIDDLE_PX
    if verdict is Outcome.FAIL:
        return f'rect x="{x - 4:.2f}" y="{y - 4:g}" width="8" height="8"'
    if verdict is Outcome.WARN:
        return f'path d="M{x:.2f} {y - 5:g}l5 9h-10z"'
    if verdict in {Outcome.NOT_EVALUABLE, Outcome.ERROR}:
        return f'path d="M{x:.2f} {y - 5:g}l5 5l-5 5l-5 -5z"'
    return f'circle cx="{x:.2f}" cy="{y:g}" r="4"'
