"""How numbers, dates and verdicts are printed."""

from __future__ import annotations

import datetime
from zoneinfo import ZoneInfo

import pytest
from django import forms
from django.template import Context, Template

from corelab.templatetags import ui

NARROW = "\u202f"
MOMENT = datetime.datetime(2026, 3, 4, 14, 20, 7, tzinfo=datetime.UTC)


def render(text: str, **context: object) -> str:
    return Template("{% load ui %}" + text).render(Context(context))


@pytest.mark.parametrize(
    ("value", "decimals", "limits", "printed"),
    [
        (-1.1, 1, (), "\u22121.1"),
        (1234567.8, 1, (), f"1{NARROW}234{NARROW}567.8"),
        (0.849, 2, (0.85,), "0.849"),
        (0.8496, 2, (0.85, 1.0), "0.8496"),
        (0.8501, 2, (0.85,), "0.8501"),
        (0.85, 2, (0.85,), "0.85"),
        (0.9, 2, (0.85, None), "0.90"),
        (-0.0001, 2, (), "0.00"),
        (-0.004, 2, (0.0,), "\u22120.004"),
        (None, 2, (), "–"),
        (float("nan"), 2, (), "–"),
    ],
)
def test_number_when_printed_then_it_is_never_rounded_across_a_limit(value, decimals, limits, printed):
    assert ui.format_number(value, decimals, limits=limits) == printed


@pytest.mark.parametrize(
    ("size", "printed"),
    [(0, "0 B"), (999, "999 B"), (1_500, "1.5 kB"), (61_234_567, "61 MB"), (4_200_000_000, "4.2 GB")],
)
def test_file_size_when_printed_then_people_can_read_it(size, printed):
    assert ui.file_size(size).replace(NARROW, " ") == printed


def test_moment_when_printed_then_the_zone_is_the_sites():
    assert ">4 Mar 2026 14:20 GMT</time>" in ui.moment(MOMENT, "Europe/London")
    assert ">4 Mar 2026 17:20 UTC+03</time>" in ui.moment(MOMENT, ZoneInfo("Europe/Istanbul"))
    assert ">4 Mar 2026 14:20 UTC</time>" in ui.moment(MOMENT)
    assert ui.moment(None) == ""


def test_moment_utc_when_the_site_has_another_clock_then_both_are_printed():
    assert ">4 Mar 2026 14:20:07 UTC (17:20 UTC+03)</time>" in ui.moment_utc(MOMENT, "Europe/Istanbul")
    assert ">4 Mar 2026 14:20:07 UTC</time>" in ui.moment_utc(MOMENT, "Europe/London")


def test_day_when_it_is_another_day_at_the_site_then_the_sites_day_is_printed():
    late = datetime.datetime(2026, 3, 4, 23, 30, tzinfo=datetime.UTC)
    assert (ui.day(late), ui.day(late, "Asia/Tokyo")) == ("4 Mar 2026", "5 Mar 2026")


@pytest.mark.parametrize(
    ("days", "words"),
    [
        (-16, ("Overdue 16 days", "fail")),
        (-1, ("Overdue 1 day", "fail")),
        (0, ("Today", "warn")),
        (1, ("1 day", "")),
        (14, ("14 days", "")),
        (15, ("by 19 Mar 2026", "")),
    ],
)
def test_due_when_printed_then_only_what_has_passed_is_tinted(days, words):
    today = datetime.date(2026, 3, 4)
    assert ui.due_words(today + datetime.timedelta(days=days), today) == words


@pytest.mark.parametrize("outcome", ["PASS", "WARN", "FAIL", "NOT_EVALUABLE", "ERROR", "REPORT_ONLY"])
def test_verdict_chip_when_drawn_then_the_word_and_an_icon_stand_in_it(outcome):
    signed, proposed = ui.verdict_chip(outcome), ui.verdict_chip(outcome, True)
    assert ui.VERDICTS[outcome][0] in signed
    assert "<svg" in signed
    assert ("Proposed: " in signed, "Proposed: " in proposed) == (False, True)
    assert ("chip-proposed" in signed, "chip-proposed" in proposed) == (False, True)


def test_verdict_chip_when_there_is_no_verdict_then_nothing_is_drawn():
    assert ui.verdict_chip("") == ""


def test_chip_when_its_detail_holds_markup_then_it_is_escaped():
    assert "<b>" not in ui.verdict_chip("FAIL", detail="<b>x</b>")
    assert "<b>" not in ui.state_chip("needs-you", "<b>x</b>")
    assert "<b>" not in render('{% verdict_bar "FAIL" headline %}', headline="<b>x</b>")


class _Form(forms.Form):
    weight_kg = forms.DecimalField(label="Weight", help_text="From the scan day.")
    kind = forms.ChoiceField(label="Kind", choices=[("a", "A"), ("b", "B")], widget=forms.RadioSelect)


def test_field_when_it_has_an_error_then_hint_and_error_are_tied_to_the_control():
    form = _Form({"weight_kg": "heavy"})
    form.is_valid()
    drawn = render('{% field form.weight_kg unit="kg" %}', form=form)
    assert 'aria-describedby="id_weight_kg_helptext id_weight_kg_error"' in drawn
    assert 'id="id_weight_kg_helptext"' in drawn
    assert 'id="id_weight_kg_error"' in drawn
    assert 'aria-invalid="true"' in drawn
    assert 'value="heavy"' in drawn
    assert ">kg<" in drawn


def test_error_summary_when_a_form_came_back_then_each_line_links_to_something_on_the_page():
    form = _Form({})
    form.is_valid()
    drawn = render("{% error_summary form %}{% field form.weight_kg %}{% field form.kind %}", form=form)
    assert 'href="#id_weight_kg"' in drawn
    assert 'id="id_weight_kg"' in drawn
    assert 'href="#id_kind"' in drawn
    assert 'id="id_kind"' in drawn


def test_error_summary_when_nothing_is_wrong_then_it_is_not_there():
    assert render("{% error_summary form %}", form=_Form()).strip() == ""


def test_icons_when_drawn_then_they_take_the_colour_of_the_text():
    for name in ui.ICONS:
        assert "style=" not in ui.icon(name)
        assert "#" not in ui.icon(name)


def test_clearance_chip_when_nothing_was_cleared_then_it_has_no_tint():
    assert 'class="chip chip-fail"' in ui.clearance_chip("fail", "Suspended 2 Mar 2026")
    grey = ui.clearance_chip("", "Not cleared yet")
    assert 'class="state"' in grey
    assert "Not cleared yet" in grey
