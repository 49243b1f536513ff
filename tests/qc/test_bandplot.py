"""Band plots: the band is always the middle third, and shape says the verdict before colour does."""

from __future__ import annotations

import re
from xml.etree import ElementTree as ET

import pytest

from qc.bandplot import HEIGHT_PX, THIRD_PX, WIDTH_PX, band_svg

SVG = "{http://www.w3.org/2000/svg}"


def marks(svg: str) -> list[ET.Element]:
    return [one for one in ET.fromstring(svg) if one.get("class", "").startswith("mark-")]


def band(svg: str) -> tuple[float, float]:
    (rect,) = [one for one in ET.fromstring(svg) if one.get("class") == "chart-band"]
    return float(rect.get("x", "")), float(rect.get("x", "")) + float(rect.get("width", ""))


@pytest.mark.parametrize(("low", "high"), [(0.85, 1.0), (-10, 10), (7.15, 9.3), (-3.0, -1.0), (0.0, 1e-6)])
def test_band_when_both_ends_are_limited_then_it_fills_the_middle_third(low: float, high: float) -> None:
    assert band(band_svg((low + high) / 2, None, low, high, "PASS")) == pytest.approx(
        (THIRD_PX, 2 * THIRD_PX), abs=0.01
    )


@pytest.mark.parametrize(("part", "x"), [(0.0, THIRD_PX), (0.5, 1.5 * THIRD_PX), (1.0, 2 * THIRD_PX)])
def test_mark_when_the_value_moves_through_the_band_then_it_moves_with_it(part: float, x: float) -> None:
    (mark,) = marks(band_svg(0.85 + part * 0.15, None, 0.85, 1.0, "PASS"))
    assert float(mark.get("cx", "")) == pytest.approx(x, abs=0.01)


@pytest.mark.parametrize(
    ("verdict", "shape"), [("PASS", "circle"), ("REPORT_ONLY", "circle"), ("FAIL", "rect"), ("WARN", "path")]
)
def test_mark_when_the_verdict_differs_then_its_shape_does(verdict: str, shape: str) -> None:
    (mark,) = marks(band_svg(0.9, None, 0.85, 1.0, verdict))
    assert mark.tag == SVG + shape


@pytest.mark.parametrize(("value", "tip"), [(0.2, 0.5), (3.0, WIDTH_PX - 0.5)])
def test_mark_when_the_value_is_beyond_the_strip_then_an_arrow_stands_at_its_end(value: float, tip: float) -> None:
    (mark,) = marks(band_svg(value, 0.01, 0.85, 1.0, "FAIL"))
    assert mark.get("d", "").startswith(f"M{tip:g} ")
    assert "chart-whisker" not in band_svg(value, 0.01, 0.85, 1.0, "FAIL")


def test_whiskers_when_the_uncertainty_is_known_then_they_are_two_standard_deviations() -> None:
    svg = band_svg(0.925, 0.01, 0.85, 1.0, "PASS")
    whiskers = [one for one in ET.fromstring(svg) if one.get("class") == "chart-whisker"]
    ends = [float(end) for one in whiskers for end in (one.get("x1", ""), one.get("x2", ""))]
    assert max(ends) - min(ends) == pytest.approx(4 * 0.01 / 0.15 * THIRD_PX, abs=0.02)


def test_whiskers_when_they_leave_the_strip_then_they_are_cut() -> None:
    svg = band_svg(0.9, 5.0, 0.85, 1.0, "PASS")
    numbers = [float(one) for one in re.findall(r'x[12]="([-\d.]+)"', svg)]
    assert min(numbers) >= 0
    assert max(numbers) <= WIDTH_PX


def test_band_when_only_one_end_is_limited_then_the_other_is_open() -> None:
    assert band(band_svg(7.0, None, None, 15.0, "PASS")) == pytest.approx((0.0, 2 * THIRD_PX), abs=0.01)
    assert band(band_svg(7.0, None, 5.0, None, "PASS")) == pytest.approx((THIRD_PX, WIDTH_PX), abs=0.01)
    (low,) = marks(band_svg(7.5, None, None, 15.0, "PASS"))
    assert float(low.get("cx", "")) == pytest.approx(1.5 * THIRD_PX, abs=0.01)


def test_plot_when_nothing_is_limited_then_there_is_none() -> None:
    assert band_svg(7.0, 1.0, None, None, "REPORT_ONLY") == ""


def test_plot_when_there_is_no_value_then_the_band_stands_alone() -> None:
    svg = band_svg(None, None, 0.85, 1.0, "NOT_EVALUABLE")
    assert not marks(svg)
    assert band(svg)
    assert "no value" in svg


def test_plot_when_drawn_then_it_may_stand_in_a_page_and_says_what_it_shows() -> None:
    svg = band_svg(0.849, 0.012, 0.85, 1.0, "FAIL")
    root = ET.fromstring(svg)
    assert root.get("role") == "img"
    assert (root.get("width"), root.get("height")) == (str(WIDTH_PX), str(HEIGHT_PX)) == ("200", "22")
    assert root[0].tag == SVG + "title"
    assert root[0].text == "Fail: below the band"
    assert root[1].text == "0.849 against the band from 0.85 to 1"
    assert "style" not in svg
