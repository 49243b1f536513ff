"""What happened to the activity between the calibrator and the scan: tables and a small chart for the sheet's side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from math import log
from typing import Any

from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from phantoms.errors import AnalysisRefused
from phantoms.results import Finding
from phantoms.sheet import DecayStep, Sheet
from phantoms.sheet_checks import ratio_bands
from qc import analysis, wording
from qc.forms.sheet import FILLS_OF_KIND, fill_title

WIDTH_PX, HEIGHT_PX = 320, 120
LEFT_PX, RIGHT_PX, TOP_PX, BOTTOM_PX = 6, 6, 22, 26


@dataclass(frozen=True)
class StepRow:
    """One line of the decay table; ``how`` says how it follows from the line above."""

    label: str
    how: str
    at: datetime | None
    activity_mbq: float | None
    concentration_kbqml: float | None


@dataclass(frozen=True)
class FillDecay:
    """One fill's steps; ``title`` names the fill."""

    title: str
    steps: Sequence[StepRow]


@dataclass(frozen=True)
class SheetSide:
    """Everything that stands beside the sheet while it is written; a ``best_ratio`` only where there are two fills."""

    fills: Sequence[FillDecay]
    ratio: float | None
    is_ratio_best: bool
    best_ratio: str
    notices: Sequence[Finding]
    chart: SafeString | str


def sheet_side(kind: str, core: Mapping[str, Any], at: datetime | None, findings: Sequence[Finding]) -> SheetSide:
    """Work out the side of a sheet that may still be half written.

    Parameters
    ----------
    kind : str
        What was scanned.
    core : mapping
        The sheet as far as it can be read.
    at : datetime or None
        When the scan began, the site's wall clock.
    findings : sequence of Finding
        What looks wrong; those without a proposal are shown as notices.
    """
    notices = [finding for finding in findings if not finding.evidence.get("proposals")]
    low, high = ratio_bands(analysis.nominal_ratio(kind))[1]
    words = f"{low:g} to {high:g}" if len(FILLS_OF_KIND.get(kind, ())) > 1 else ""
    try:
        sheet = Sheet.parse(core)
    except AnalysisRefused:
        return SheetSide([], None, False, words, notices, "")
    fills = [
        FillDecay(fill_title(kind, fill.what), [_row(step) for step in sheet.decay_steps(fill.what, at)])
        for fill in sheet.fills
        if not fill.missing
    ]
    ratio, _ = sheet.activity_ratio(at)
    is_best = ratio is not None and low <= ratio <= high
    return SheetSide([fill for fill in fills if fill.steps], ratio, is_best, words, notices, _chart(fills))


def _row(step: DecayStep) -> StepRow:
    kbqml = None if step.concentration_bqml is None else step.concentration_bqml / 1_000
    return StepRow(step.label, wording.decay_words(step), step.at, step.activity_mbq, kbqml)


def _chart(fills: Sequence[FillDecay]) -> SafeString | str:
    """Draw each fill's concentration from the filling to the scan."""
    ends = [(fill.title, known[0], known[-1]) for fill in fills if len(known := _known(fill.steps)) > 1]
    if not ends:
        return ""
    first = min(start.at for _, start, _ in ends if start.at)
    last = max(end.at for _, _, end in ends if end.at)
    span_s = (last - first).total_seconds()
    if span_s <= 0:
        return ""
    ends_kbqml = [step.concentration_kbqml or 1.0 for _, start, end in ends for step in (start, end)]
    # Decay is a straight line on a logarithmic axis, and stock and background are ten times apart.
    top, bottom = log(max(ends_kbqml)), log(min(ends_kbqml))

    def point(step: StepRow) -> tuple[float, float]:
        waited_s = (step.at - first).total_seconds() if step.at else 0.0
        x = LEFT_PX + (WIDTH_PX - LEFT_PX - RIGHT_PX) * waited_s / span_s
        part = (top - log(step.concentration_kbqml or 1.0)) / ((top - bottom) or 1.0)
        return x, TOP_PX + (HEIGHT_PX - TOP_PX - BOTTOM_PX) * part

    lines, labels, words = [], [], []
    for index, (title, start, end) in enumerate(ends, start=1):
        (x1, y1), (x2, y2) = point(start), point(end)
        lines.append((f"chart-line-{index}", f"{x1:.1f},{y1:.1f} {x2:.1f},{y2:.1f}"))
        # A line that begins on the right has its name end where the chart ends.
        x, anchor = (x1, "start") if x1 < WIDTH_PX / 2 else (WIDTH_PX - RIGHT_PX, "end")
        labels.append((f"{x:.1f}", f"{y1 - 6:.1f}", anchor, f"{title}, kBq/mL"))
        words.append(f"{title} from {start.concentration_kbqml:.2f} to {end.concentration_kbqml:.2f} kBq/mL")
    base = HEIGHT_PX - BOTTOM_PX
    return format_html(
        '<svg class="decay-chart" role="img" viewBox="0 0 {w} {h}" width="{w}" height="{h}"><title>{title}</title>'
        '<desc>{desc}</desc><line class="chart-axis" x1="{l}" x2="{r}" y1="{b}" y2="{b}"/>{lines}{labels}'
        '<text class="chart-text" x="{l}" y="{ty}" aria-hidden="true">{first}</text>'
        '<text class="chart-text" x="{r}" y="{ty}" text-anchor="end" aria-hidden="true">{last}</text></svg>',
        w=WIDTH_PX,
        h=HEIGHT_PX,
        l=LEFT_PX,
        r=WIDTH_PX - RIGHT_PX,
        b=base,
        ty=HEIGHT_PX - 6,
        title="Decay from the filling to the scan",
        desc="; ".join(words),
        first=f"{first:%H:%M}",
        last=f"{last:%H:%M} scan",
        lines=format_html_join("", '<polyline class="{}" points="{}"/>', lines),
        labels=format_html_join(
            "", '<text class="chart-text" x="{}" y="{}" text-anchor="{}" aria-hidden="true">{}</text>', labels
        ),
    )


def _known(steps: Sequence[StepRow]) -> list[StepRow]:
    return [step for step in steps if step.at is not None and step.concentration_kbqml]
