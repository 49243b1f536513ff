"""The small parts of every page: icons, chips, the verdict bar, dates in the site's zone, numbers, form fields.

Verdicts are tinted, workflow states are grey; the word comes first, the shape second, the colour third.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta, tzinfo
from typing import Any
from zoneinfo import ZoneInfo

from django import template
from django.forms import BaseForm, BoundField, CheckboxInput, CheckboxSelectMultiple, RadioSelect, Select, Textarea
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString, mark_safe

register = template.Library()

MINUS = "\u2212"
NARROW_SPACE = "\u202f"
THIN_DASH = "\u2013"

#: Drawn on 16 × 16, in the colour of the text around them; each name says what it means.
ICONS: dict[str, str] = {
    "pass": '<circle cx="8" cy="8" r="6.5"/><path d="M5 8.3 7.1 10.4 11.1 5.9"/>',
    "warn": '<path d="M8 1.9 14.7 13.6H1.3Z"/><path d="M8 6.3v3.3"/><circle class="solid" cx="8" cy="11.6" r=".9"/>',
    "fail": '<path d="M5.3 1.6h5.4l3.7 3.7v5.4l-3.7 3.7H5.3l-3.7-3.7V5.3Z"/><path d="m5.8 5.8 4.4 4.4m0-4.4-4.4 4.4"/>',
    "unknown": '<path d="M8 1.1 14.9 8 8 14.9 1.1 8Z"/><path d="M6.3 6.6a1.7 1.7 0 1 1 2.4 1.6c-.5.2-.7.5-.7 1"/>'
    '<circle class="solid" cx="8" cy="11.3" r=".8"/>',
    "error": '<path d="M8 4.4c2 0 3.2 1.7 3.2 4.1S9.9 13.4 8 13.4s-3.2-2.5-3.2-4.9S6 4.4 8 4.4Zm0 0v9"/>'
    '<path d="M1.6 8.8h3.2m6.4 0h3.2M2.6 4.6l2.7 1.7m8.1-1.7-2.7 1.7'
    'M2.9 13.2l2.5-1.7m7.7 1.7-2.5-1.7M6 2.6l.8 1.8M10 2.6l-.8 1.8"/>',
    "report": '<path d="M3 4.5h10M3 8h10M3 11.5h6"/>',
    "not-started": '<circle cx="8" cy="8" r="6.2"/>',
    "in-progress": '<circle cx="8" cy="8" r="6.2"/><path class="solid" d="M8 2.4a5.6 5.6 0 0 0 0 11.2Z"/>',
    "waiting": '<path d="M4 1.8h8M4 14.2h8M5 1.8v2.6c0 1.6 3 2.4 3 3.6s-3 2-3 3.6v2.6'
    'M11 1.8v2.6c0 1.6-3 2.4-3 3.6s3 2 3 3.6v2.6"/>',
    "person": '<circle cx="8" cy="5" r="3"/><path d="M2.2 14.2c.5-3.2 2.8-4.7 5.8-4.7s5.3 1.5 5.8 4.7"/>',
    "signed": '<path d="m10.6 2.4 3 3-7.4 7.4-3.7.7.7-3.7ZM2 15h12"/>',
    "closed": '<path d="M2.5 5h11v9h-11ZM1.5 2h13v3h-13ZM6.3 8h3.4"/>',
    "shield": '<path d="M8 1.5 13.5 3.6v4c0 3.4-2.3 5.8-5.5 7-3.2-1.2-5.5-3.6-5.5-7v-4Z"/>',
    "clock": '<circle cx="8" cy="8" r="6.3"/><path d="M8 4.4V8l2.6 1.7"/>',
    "calendar": '<path d="M2 3.4h12v10.8H2ZM2 6.8h12M5 1.6v3.2M11 1.6v3.2"/>',
    "search": '<circle cx="7" cy="7" r="4.6"/><path d="m10.5 10.5 3.7 3.7"/>',
    "down": '<path d="m4 6.2 4 4 4-4"/>',
    "left": '<path d="m9.8 4-4 4 4 4"/>',
    "right": '<path d="m6.2 4 4 4-4 4"/>',
    "menu": '<path d="M2 4h12M2 8h12M2 12h12"/>',
    "more": '<circle class="solid" cx="3" cy="8" r="1.3"/><circle class="solid" cx="8" cy="8" r="1.3"/>'
    '<circle class="solid" cx="13" cy="8" r="1.3"/>',
    "plus": '<path d="M8 2.8v10.4M2.8 8h10.4"/>',
    "close": '<path d="m3.5 3.5 9 9m0-9-9 9"/>',
    "file": '<path d="M3.5 1.5h5.8l3.2 3.2v9.8h-9ZM9 1.6v3.3h3.4"/>',
    "folder": '<path d="M1.5 3.2h4.6l1.6 2h6.8v8.2h-13Z"/>',
    "upload": '<path d="M8 10.6V2.2M4.8 5.2 8 2l3.2 3.2M2 10.4v3.4h12v-3.4"/>',
    "download": '<path d="M8 2v8.4M4.8 7.4 8 10.6l3.2-3.2M2 10.6v3.2h12v-3.2"/>',
    "print": '<path d="M4.4 5.6V1.8h7.2v3.8M4.4 11.4H2V5.6h12v5.8h-2.4M4.4 9.2h7.2v5H4.4Z"/>',
    "info": '<circle cx="8" cy="8" r="6.4"/><path d="M8 7.4v3.8"/><circle class="solid" cx="8" cy="5" r=".9"/>',
    "lock": '<path d="M3.2 7.2h9.6v6.8H3.2ZM5 7.2V4.8a3 3 0 0 1 6 0v2.4"/>',
    "eye": '<path d="M1.2 8C2.7 5 5 3.4 8 3.4S13.3 5 14.8 8c-1.5 3-3.8 4.6-6.8 4.6S2.7 11 1.2 8Z"/>'
    '<circle cx="8" cy="8" r="2"/>',
    "pause": '<path d="M5 3v10M11 3v10"/>',
    "again": '<path d="M13.4 6.4A5.7 5.7 0 1 0 13.7 9M13.6 2.6v3.9H9.7"/>',
    "theme": '<circle cx="8" cy="8" r="6.3"/><path class="solid" d="M8 1.7a6.3 6.3 0 0 1 0 12.6Z"/>',
    "exit": '<path d="M9.4 2H2.6v12h6.8M6.4 8h8M11.6 5.2 14.4 8l-2.8 2.8"/>',
}

#: A verdict's word, icon and the ending of its CSS classes.
VERDICTS: dict[str, tuple[str, str, str]] = {
    "PASS": ("Pass", "pass", "pass"),
    "WARN": ("Warning", "warn", "warn"),
    "FAIL": ("Fail", "fail", "fail"),
    "NOT_EVALUABLE": ("Could not check", "unknown", "unknown"),
    "ERROR": ("Our error", "error", "error"),
    "REPORT_ONLY": ("Report only", "report", "report"),
}

#: A workflow state's word and icon; these are never tinted.
STATES: dict[str, tuple[str, str]] = {
    "not-started": ("Not started", "not-started"),
    "in-progress": ("In progress", "in-progress"),
    "waiting-site": ("Waiting for site", "waiting"),
    "waiting-lab": ("Waiting for core lab", "waiting"),
    "needs-you": ("Needs you", "person"),
    "signed": ("Signed", "signed"),
    "closed": ("Closed", "closed"),
    "done": ("Done", "pass"),
}


@register.simple_tag
def icon(name: str, label: str = "") -> SafeString:
    """Draw an icon; without a label it is hidden from readers, since a word stands beside it."""
    body = mark_safe(ICONS[name])  # noqa: S308 (a constant of this module)
    if label:
        return format_html(
            '<svg class="icon" viewBox="0 0 16 16" width="16" height="16" role="img" aria-label="{}">{}</svg>',
            label,
            body,
        )
    return format_html(
        '<svg class="icon" viewBox="0 0 16 16" width="16" height="16" aria-hidden="true" focusable="false">{}</svg>',
        body,
    )


# --- verdicts and states ----------------------------------------------------------------


@register.filter
def verdict_word(outcome: str) -> str:
    """Return the one word of a verdict."""
    return VERDICTS[outcome][0] if outcome in VERDICTS else ""


@register.filter
def verdict_class(outcome: str) -> str:
    """Return the ending of a verdict's CSS classes (``chip-…``, ``verdict-…``, ``mark-…``)."""
    return VERDICTS[outcome][2] if outcome in VERDICTS else "none"


@register.simple_tag
def verdict_chip(outcome: str, is_proposed: bool = False, detail: str = "") -> SafeString | str:
    """Draw a verdict: filled when signed, a dashed outline when only proposed; nothing for no verdict."""
    if outcome not in VERDICTS:
        return ""
    word, picture, name = VERDICTS[outcome]
    return format_html(
        '<span class="chip chip-{}{}">{}{}{}{}</span>',
        name,
        " chip-proposed" if is_proposed else "",
        icon(picture),
        mark_safe('<span class="visually-hidden">Proposed: </span>') if is_proposed else "",
        word,
        f" {THIN_DASH} {detail}" if detail else "",
    )


@register.simple_tag
def state_chip(state: str, text: str = "") -> SafeString:
    """Draw a workflow state in grey; only *Needs you* stands out."""
    word, picture = STATES[state]
    return format_html(
        '<span class="state{}">{}{}</span>',
        " state-needs" if state == "needs-you" else "",
        icon(picture),
        text or word,
    )


@register.simple_tag
def clearance_chip(tint: str, words: str) -> SafeString:
    """Draw whether something may be scanned: a shield in a verdict's tint, grey where nothing was cleared yet."""
    classes = f"chip chip-{tint}" if tint else "state"
    return format_html('<span class="{}">{}{}</span>', classes, icon("shield"), words)


@register.simple_tag
def due_chip(due_on: date | None, done: bool = False) -> SafeString | str:
    """Say when something is due: days while it is near, the date else, *Overdue* with a tint when it has passed."""
    if due_on is None:
        return ""
    text, tint = due_words(due_on)
    if tint and not done:
        return format_html('<span class="chip chip-{}">{}{}</span>', tint, icon("clock"), text)
    return format_html('<span class="state">{}{}</span>', icon("calendar"), text)


def due_words(due_on: date, today: date | None = None) -> tuple[str, str]:
    """Return the words for a due date and its tint (``warn``, ``fail`` or none)."""
    days = (due_on - (today or timezone.now().date())).days
    if days < 0:
        return (f"Overdue {-days} day{'' if days == -1 else 's'}", "fail")
    if days == 0:
        return ("Today", "warn")
    if days <= 14:
        return (f"{days} day{'' if days == 1 else 's'}", "")
    return (f"by {day(due_on)}", "")


@register.filter
def due_text(due_on: date) -> str:
    """Return the words for a due date, without a tint."""
    return due_words(due_on)[0]


@register.filter
def waited(since: datetime) -> str:
    """Return how long something has waited, in the largest unit that says enough."""
    hours = (timezone.now() - since) // timedelta(hours=1)
    count, unit = (hours // 24, "day") if hours >= 24 else (hours, "hour")
    return f"{count} {unit}{'' if count == 1 else 's'}" if count else "less than an hour"


@register.inclusion_tag("corelab/_verdict_bar.html")
def verdict_bar(
    outcome: str, headline: str = "", is_proposed: bool = False, more: str = "", signed_by: str = ""
) -> dict[str, Any]:
    """Draw the verdict bar: word and sentence in one line, who signed or what comes next below."""
    word, picture, name = VERDICTS.get(outcome, ("", "waiting", "none"))
    return {
        "word": word,
        "icon": picture,
        "name": name,
        "headline": headline,
        "is_proposed": is_proposed,
        "more": more,
        "signed_by": signed_by,
    }


# --- dates and times --------------------------------------------------------------------


def zone_of(place: Any) -> tzinfo:
    """Return the zone of a site, of a zone's name, or UTC for nothing."""
    if not place:
        return UTC
    if isinstance(place, tzinfo):
        return place
    return ZoneInfo(getattr(place, "time_zone", place))


@register.filter
def day(value: date | datetime | None, zone: Any = None) -> str:
    """Print a date as ``2 Mar 2026``; a moment is first turned to the zone given."""
    if value is None:
        return ""
    if isinstance(value, datetime) and value.tzinfo is not None:
        value = value.astimezone(zone_of(zone))
    return f"{value.day} {value:%b %Y}"


@register.filter
def clock(value: datetime | None, zone: Any = None) -> str:
    """Print a moment's time as ``14:02`` in the zone given."""
    if value is None:
        return ""
    return f"{value.astimezone(zone_of(zone)) if value.tzinfo else value:%H:%M}"


@register.simple_tag
def moment(value: datetime | None, zone: Any = None) -> SafeString | str:
    """Print a moment with its zone, ``2 Mar 2026 10:32 GMT``, as a ``<time>``; a naive one has no zone to name."""
    if value is None:
        return ""
    if value.tzinfo is None:
        return format_html('<time datetime="{}">{} {}</time>', value.isoformat(), day(value), f"{value:%H:%M}")
    local = value.astimezone(zone_of(zone))
    return format_html(
        '<time datetime="{}">{} {} {}</time>',
        value.isoformat(),
        day(local, local.tzinfo),
        f"{local:%H:%M}",
        _zone(local),
    )


@register.simple_tag
def moment_utc(value: datetime | None, zone: Any = None) -> SafeString | str:
    """Print a moment to the second in UTC, with the local time beside it: for the audit."""
    if value is None:
        return ""
    utc = value.astimezone(UTC)
    local = value.astimezone(zone_of(zone))
    beside = "" if local.utcoffset() == utc.utcoffset() else f" ({local:%H:%M} {_zone(local)})"
    return format_html('<time datetime="{}">{} {} UTC{}</time>', value.isoformat(), day(utc), f"{utc:%H:%M:%S}", beside)


def _zone(local: datetime) -> str:
    name = local.tzname() or ""
    # Zones without letters of their own are named by their offset, "+03".
    return f"UTC{name}" if name[:1] in "+-" else name


@register.filter
def duration(seconds: float | None) -> str:
    """Print a duration in the largest fitting unit: ``40 s``, ``62 min``, ``3 h``, ``2 days``."""
    if seconds is None:
        return ""
    if seconds < 90:
        return f"{seconds:.0f}{NARROW_SPACE}s"
    if seconds < 5_400:
        return f"{seconds / 60:.0f}{NARROW_SPACE}min"
    if seconds < 172_800:
        return f"{seconds / 3_600:.0f}{NARROW_SPACE}h"
    return f"{seconds / 86_400:.0f} days"


# --- numbers ----------------------------------------------------------------------------


def decimals_for(value: float, decimals: int, limits: Iterable[float | None]) -> int:
    """Return how many decimals keep a value on its own side of each limit: 0.849 against 0.85 keeps its third."""
    bounds = [limit for limit in limits if limit is not None]
    for places in range(decimals, decimals + 7):
        shown = round(value, places)
        if all((value < limit) == (shown < limit) and (value > limit) == (shown > limit) for limit in bounds):
            return places
    return decimals


def format_number(value: float | None, decimals: int = 2, *, limits: Iterable[float | None] = ()) -> str:
    """Print a number with a true minus and narrow spaces between thousands.

    Parameters
    ----------
    value : float or None
        None prints an en dash.
    decimals : int
        Decimals to print at least.
    limits : iterable of float or None
        Limits that rounding may not cross.
    """
    if value is None or not math.isfinite(value):
        return THIN_DASH
    text = f"{value:,.{decimals_for(value, decimals, limits)}f}".replace(",", NARROW_SPACE)
    if not text.startswith("-"):
        return text
    is_zero = not text.strip("-0." + NARROW_SPACE)
    return text[1:] if is_zero else MINUS + text[1:]


@register.filter
def number(value: float | None, decimals: int = 2) -> str:
    """Print a number with so many decimals."""
    return format_number(value, int(decimals))


@register.filter
def quantity(text: Any, unit: str) -> str:
    """Put a unit behind a printed number, with a narrow space that never breaks; the unit 1 is not printed."""
    return str(text) if unit in {"", "1"} else f"{text}{NARROW_SPACE}{unit}"


@register.filter
def file_size(size_bytes: int | None) -> str:
    """Print a size as people read it: ``61 MB``."""
    if size_bytes is None:
        return THIN_DASH
    size = float(size_bytes)
    for unit in ("B", "kB", "MB", "GB"):
        if size < 1_000 or unit == "GB":
            break
        size /= 1_000
    return quantity(f"{size:.0f}" if size >= 10 or unit == "B" else f"{size:.1f}", unit)


@register.filter
def digest(value: str, groups: int = 0) -> SafeString:
    """Print a digest in groups of four, all of it or so many groups."""
    plain = value.removeprefix("sha256:")
    parts = [plain[i : i + 4] for i in range(0, len(plain), 4)]
    shown = parts[: int(groups)] if groups else parts
    text = " ".join(shown) + (" …" if len(shown) < len(parts) else "")
    return format_html('<span class="digest" title="{}">{}</span>', value, text)


# --- forms ------------------------------------------------------------------------------


def _control(bound: BoundField, width: str) -> SafeString:
    widget = bound.field.widget
    if isinstance(widget, CheckboxInput | RadioSelect | CheckboxSelectMultiple):
        return bound.as_widget()
    names = ["form-select" if isinstance(widget, Select) else "form-control"]
    if width:
        names.append(f"w-{width}")
    attrs: dict[str, Any] = {"class": " ".join(names)}
    if isinstance(widget, Textarea):
        attrs.setdefault("rows", widget.attrs.get("rows", 3))
    return bound.as_widget(attrs=attrs)


@register.filter
def control(bound: BoundField) -> SafeString:
    """Draw only a field's control, for a form that sets its own label."""
    return _control(bound, "")


@register.inclusion_tag("corelab/_field.html")
def field(bound: BoundField, unit: str = "", width: str = "l", hint: str = "", label: str = "") -> dict[str, Any]:
    """Draw one form field: label, hint, error, control, unit.

    ``width`` is ``xs``, ``s``, ``m``, ``l`` or empty for all there is. Ids of hint and error are those that
    Django puts into ``aria-describedby``.
    """
    if hint:
        bound.help_text = hint
    widget = bound.field.widget
    return {
        "bound": bound,
        "control": _control(bound, width),
        "label": label or bound.label,
        "unit": unit,
        "is_group": isinstance(widget, RadioSelect | CheckboxSelectMultiple),
        "is_check": isinstance(widget, CheckboxInput),
    }


@register.inclusion_tag("corelab/_error_summary.html")
def error_summary(*forms: BaseForm) -> dict[str, Any]:
    """List every error of the forms, each linked to its field; nothing when there is none."""
    rows: list[tuple[str, str]] = []
    for form in forms:
        if not form or not form.is_bound:
            continue
        rows.extend(("", str(error)) for error in form.non_field_errors())
        for bound in form:
            rows.extend((bound.id_for_label or bound.auto_id, str(error)) for error in bound.errors)
    return {"rows": rows}


@register.simple_tag(takes_context=True)
def query(context: template.Context, **changes: Any) -> str:
    """Return the query string of this page with changes; an empty value drops its key, and so does ``page``."""
    parameters = context["request"].GET.copy()
    parameters.pop("page", None)
    for key, value in changes.items():
        if value in (None, ""):
            parameters.pop(key, None)
        else:
            parameters[key] = value
    text = parameters.urlencode()
    return f"?{text}" if text else "?"
