"""The building blocks of a report: cells, tables, pictures, notes, dates; plain JSON that both renderers place."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import date, datetime
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from qc import wording
from qc.bandplot import band_svg, band_words
from qc.reports.meta import SignatureBlock

if TYPE_CHECKING:
    from phantoms.figure_svg import FigureSvg

#: A picture up to this wide has another beside it on a page.
HALF_PAGE_MM = 86.0
PX_PER_MM = 5.0


def table_block(title: str, columns: list[dict[str, Any]], rows: list[list[dict[str, Any]]]) -> dict[str, Any]:
    """Return a table; each cell learns its column's heading and side, since a phone shows cells one by one."""
    for row in rows:
        for heading, one in zip(columns, row, strict=True):
            one["align"] = heading["align"]
            one["heading"] = heading["title"]
    return {"kind": "table", "title": title, "columns": columns, "rows": rows, "note": ""}


def column(title: str, share: float, align: str = "start") -> dict[str, Any]:
    """Describe a column; ``share`` of the free width, 0 takes what its cells need."""
    return {"title": title, "share": share, "align": align}


def cell(text: str, *, kind: str = "text", sub: str = "", code: str = "", is_strong: bool = False) -> dict[str, Any]:
    """Return a cell: ``text``, a quieter second line ``sub``, a rule or tag in ``code``."""
    return {"kind": kind, "text": text, "sub": sub, "code": code, "is_strong": is_strong}


def verdict_cell(outcome: str) -> dict[str, Any]:
    """Return a verdict's word with what draws its chip."""
    return {**cell(wording.VERDICT_WORDS[outcome], kind="verdict"), **verdict_of(outcome)}


def band_cell(one: Mapping[str, Any]) -> dict[str, Any]:
    """Return a band plot with its words; an empty cell where nothing is limited."""
    limits = (one["limit_low"], one["limit_high"])
    svg = band_svg(one["value"], one["uncertainty"], *limits, one["verdict"])
    words = band_words(one["value"], *limits, one["verdict"])
    return {**cell(words if svg else "", kind="band" if svg else "text"), "svg": svg}


def verdict_of(outcome: str) -> dict[str, str]:
    """Return a verdict's code, word and class ending."""
    return {
        "verdict": str(outcome),
        "word": wording.VERDICT_WORDS[outcome],
        "css": wording.VERDICT_CLASSES[outcome],
    }


def figure_entry(key: str, figure: FigureSvg, figure_url: Callable[[str], str] | None) -> dict[str, Any]:
    """Return a picture's words, size and address; the PDF finds it as ``file``, the page at ``src``."""
    width_mm, height_mm = figure.size_mm
    return {
        "key": key,
        "file": f"{key}.svg",
        "alt": figure.alt,
        "caption": figure.caption,
        "width_mm": round(width_mm, 2),
        "width_px": round(width_mm * PX_PER_MM),
        "height_px": round(height_mm * PX_PER_MM),
        "src": figure_url(key) if figure_url else "",
    }


def figures_block(pictures: Mapping[str, dict[str, Any]], *keys: str) -> dict[str, Any]:
    """Return those of the named pictures that exist, side by side."""
    found = [pictures[key] for key in keys if key in pictures]
    return {"kind": "figures", "figures": found} if found else {}


def figure_rows(pictures: Mapping[str, dict[str, Any]], *keys: str) -> list[dict[str, Any]]:
    """Return those of the named pictures that exist, side by side, or in rows where one is too wide."""
    found = [key for key in keys if key in pictures]
    is_wide = any(pictures[key]["width_mm"] > HALF_PAGE_MM for key in found)
    return [figures_block(pictures, key) for key in found] if is_wide else [figures_block(pictures, *found)]


def text_block(paragraphs: list[str]) -> dict[str, Any]:
    """Return paragraphs."""
    return {"kind": "text", "paragraphs": paragraphs}


def note_block(outcome: str, text: str, next_step: str | None, code: str) -> dict[str, Any]:
    """Return a tinted note: what was seen, the next step, the rule."""
    return {"kind": "note", **verdict_of(outcome), "text": text, "next_step": next_step or "", "code": code}


def signature_entry(one: SignatureBlock) -> dict[str, str]:
    """Return a signature as it is printed."""
    return {
        "name": one.name,
        "role": one.role,
        "meaning": one.meaning,
        "at": moment_words(one.signed_at, one.time_zone),
        "digest": one.digest.removeprefix("sha256:"),
    }


def method_name(run: Mapping[str, Any]) -> str:
    """Return ``nema_iq@1``."""
    return f"{run['method']}@{run['method_version']}" if run["method"] else "no method"


def naive(iso: str | None) -> datetime | None:
    """Read a clock time of a scanner or a sheet, which carries no zone."""
    return datetime.fromisoformat(iso) if iso else None


def date_words(day: date) -> str:
    """Return ``2 Mar 2026``."""
    return f"{day.day} {day:%b %Y}"


def day_words(moment: datetime, time_zone: str) -> str:
    """Return the date of a moment in a zone."""
    return date_words(moment.astimezone(ZoneInfo(time_zone)).date())


def moment_words(moment: datetime, time_zone: str) -> str:
    """Return ``2 Mar 2026 10:32 GMT``; a zone without letters of its own is named by its offset from UTC."""
    local = moment.astimezone(ZoneInfo(time_zone))
    zone = local.tzname() or "UTC"
    return f"{date_words(local.date())} {local:%H:%M} {'UTC' if zone[:1] in '+-' else ''}{zone}"


def clock_words(moment: datetime | None) -> str:
    """Return a clock time with its date, without zone."""
    return f"{date_words(moment.date())} {moment:%H:%M}" if moment else "–"


def mega_bq(value: float | None) -> str:
    """Return an activity given in MBq."""
    return wording.with_unit(wording.number(float(value), 2), "MBq") if value is not None else "–"


def kilo_bqml(value: float | None) -> str:
    """Return a concentration given in Bq/mL, shown in kBq/mL."""
    return wording.with_unit(wording.number(float(value) / 1e3, 2), "kBq/mL") if value is not None else "–"
