"""The uptake histogram: bins, ends beyond the axis, words."""

from __future__ import annotations

import re
from xml.etree import ElementTree

import pytest

from qc.histogram import bars_of, bin_of, described, histogram_svg

SVG = "{http://www.w3.org/2000/svg}"


@pytest.mark.parametrize(("uptake_min", "lower"), [(40.0, 40), (41.99, 40), (42.0, 42), (55.0, 54), (75.0, 74)])
def test_bin_when_an_uptake_lies_on_an_edge_then_it_belongs_to_the_bin_that_begins_there(uptake_min, lower):
    assert bin_of(uptake_min) == lower


def test_bars_when_uptakes_lie_beyond_the_axis_then_they_share_a_bar_at_its_end():
    bars = bars_of({30: 1, 36: 2, 38: 1, 60: 5, 90: 1, 200: 3, 62: 0})
    assert [(bar.words, bar.count) for bar in bars] == [("under 40", 4), ("60 to 62", 5), ("90 or more", 4)]


def test_words_when_nothing_is_known_then_they_say_so():
    assert described({}, (55.0, 75.0)) == "No uptake time is known yet."
    assert described({60: 1}, None) == "1 scan, most at 60 to 62 min; no protocol limits it."
    assert (
        described({60: 1, 64: 3}, (55.0, 75.0)) == "4 scans, most at 64 to 66 min; the protocol accepts 55 to 75 min."
    )


@pytest.mark.parametrize("most", [1, 2, 5, 6, 11, 37, 999, 5000])
def test_picture_when_drawn_then_bars_stay_inside_it_the_axis_counts_whole_scans_and_no_style_is_needed(most):
    svg = histogram_svg({30: most, 60: 1, 90: 2}, (55.0, 75.0))
    drawn = ElementTree.fromstring(svg)
    assert "style" not in svg
    width, height = (float(drawn.get(side)) for side in ("width", "height"))
    bars = [one for one in drawn.iter(f"{SVG}rect") if one.get("class") == "chart-bar"]
    assert len(bars) == 3
    for bar in bars:
        left, top = float(bar.get("x")), float(bar.get("y"))
        assert 0 <= left <= left + float(bar.get("width")) <= width
        assert 0 <= top <= top + float(bar.get("height")) <= height
        assert float(bar.get("height")) >= 1, "one scan among thousands is still seen"
    marks = re.findall(r'text-anchor="end"[^>]*>(\d+)<', svg)
    assert marks[0] == "0"
    assert int(marks[-1]) >= most
    assert 2 <= len(marks) <= 7
    assert "accepted 55 to 75" in svg
