"""The uptake histogram: one small SVG for a trial's page and for its report, and the same numbers in words.

The axis is the same for every trial, 40 to 90 minutes, so that two pictures can be laid over each other; what lies
beyond has a bar of its own at either end. Colours are attributes and classes, never styles, as in `qc.bandplot`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from xml.sax.saxutils import escape

#: Width of a bin, minutes.
BIN_MIN = 2
FROM_MIN, TO_MIN = 40, 90
WIDTH_PX, HEIGHT_PX = 520, 190
LEFT_PX, RIGHT_PX, TOP_PX, BOTTOM_PX = 34.0, 12.0, 14.0, 34.0
#: Bars of what lies below and beyond the axis stand one bin outside it.
_FIRST, _LAST = FROM_MIN - BIN_MIN, TO_MIN
INK_2, INK_3, GRID, BAR, BAND, BAND_EDGE = "#465361", "#5F6C79", "#E3E8ED", "#1D4E89", "#D6E4F2", "#6E93BC"
FACE = "IBM Plex Sans"


def bin_of(uptake_min: float) -> int:
    """Return the lower end of the bin that an uptake lies in, minutes."""
    return int(uptake_min // BIN_MIN) * BIN_MIN


@dataclass(frozen=True)
class Bar:
    """One bar: its lower end on the axis, what it holds in words, how many scans."""

    at_min: int
    words: str
    count: int


def bars_of(bins: Mapping[int, int]) -> list[Bar]:
    """Return the bars of some bins (lower end to count), from left to right; empty ones have none."""
    counts: dict[int, int] = {}
    for lower, count in bins.items():
        at = min(max(lower, _FIRST), _LAST)
        counts[at] = counts.get(at, 0) + count
    return [Bar(at, _words(at), counts[at]) for at in sorted(counts) if counts[at]]


def _words(at: int) -> str:
    if at == _FIRST:
        return f"under {FROM_MIN}"
    return f"{TO_MIN} or more" if at == _LAST else f"{at} to {at + BIN_MIN}"


def described(bins: Mapping[int, int], band: tuple[float, float] | None) -> str:
    """Return in one sentence what the histogram shows."""
    bars, total = bars_of(bins), sum(bins.values())
    if not bars:
        return "No uptake time is known yet."
    fullest = max(bars, key=lambda bar: bar.count)
    accepted = f"; the protocol accepts {band[0]:g} to {band[1]:g} min" if band else "; no protocol limits it"
    return f"{total} scan{'' if total == 1 else 's'}, most at {fullest.words} min{accepted}."


def histogram_svg(bins: Mapping[int, int], band: tuple[float, float] | None) -> str:
    """Draw the uptake of a trial's signed scans.

    Parameters
    ----------
    bins : mapping of int to int
        Scans by the lower end of their bin, minutes.
    band : tuple of float or None
        What the protocol accepts, minutes.

    Returns
    -------
    str
        An SVG element of 520 × 190 px.
    """
    bars = bars_of(bins)
    top, step = _scale(max((bar.count for bar in bars), default=0))
    floor = HEIGHT_PX - BOTTOM_PX
    parts = _band(band, floor)
    for count in range(0, top + 1, step):
        y = floor - count / top * (floor - TOP_PX)
        parts.append(_line(LEFT_PX, WIDTH_PX - RIGHT_PX, y, y, "chart-grid", GRID))
        parts.append(_text(LEFT_PX - 5, y + 4, str(count), "end"))
    width = _x(BIN_MIN) - _x(0) - 1.2
    for bar in bars:
        height = max(bar.count / top * (floor - TOP_PX), 1.0)  # one scan among thousands is still seen
        parts.append(
            f'<rect x="{_x(bar.at_min) + 0.6:.1f}" y="{floor - height:.1f}" width="{width:.1f}" height="{height:.1f}" '
            f'class="chart-bar" fill="{BAR}"/>'
        )
    parts.append(_line(LEFT_PX, WIDTH_PX - RIGHT_PX, floor, floor, "chart-axis", INK_3))
    for minute in range(FROM_MIN, TO_MIN + 1, 10):
        parts.append(_line(_x(minute), _x(minute), floor, floor + 4, "chart-axis", INK_3))
        parts.append(_text(_x(minute), floor + 15, str(minute), "middle"))
    parts.append(_text((LEFT_PX + WIDTH_PX - RIGHT_PX) / 2, HEIGHT_PX - 4, "Injection to scan, min", "middle"))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" role="img" class="histogram" width="{WIDTH_PX}" '
        f'height="{HEIGHT_PX}" viewBox="0 0 {WIDTH_PX} {HEIGHT_PX}"><title>Uptake, all signed scans</title>'
        f"<desc>{escape(described(bins, band))}</desc>{''.join(parts)}</svg>"
    )


def _scale(most: int) -> tuple[int, int]:
    """Return the top of the axis and the step of its marks, whole numbers of scans."""
    step = next(step for power in range(9) for one in (1, 2, 5) if most <= 5 * (step := one * 10**power))
    return max(step, -(-most // step) * step), step


def _x(minute: float) -> float:
    span = WIDTH_PX - LEFT_PX - RIGHT_PX
    return LEFT_PX + (minute - _FIRST) / (_LAST + BIN_MIN - _FIRST) * span


def _band(band: tuple[float, float] | None, floor: float) -> list[str]:
    if band is None:
        return []
    low, high = (_x(min(max(end, _FIRST), _LAST + BIN_MIN)) for end in band)
    parts = [
        f'<rect x="{low:.1f}" y="{TOP_PX}" width="{high - low:.1f}" height="{floor - TOP_PX:.1f}" class="chart-band" '
        f'fill="{BAND}"/>'
    ]
    parts += [_line(x, x, TOP_PX, floor, "chart-band-edge", BAND_EDGE) for x in (low, high)]
    return [*parts, _text(high, TOP_PX - 3, f"accepted {band[0]:g} to {band[1]:g}", "end")]


def _line(x1: float, x2: float, y1: float, y2: float, name: str, color: str) -> str:
    return f'<line x1="{x1:.1f}" x2="{x2:.1f}" y1="{y1:.1f}" y2="{y2:.1f}" class="{name}" stroke="{color}"/>'


def _text(x: float, y: float, words: str, anchor: str) -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" class="chart-text" fill="{INK_2}" font-size="11" '
        f'font-family="{FACE}" aria-hidden="true">{escape(words)}</text>'
    )
