"""How a finding writes its numbers: signs, bands, places and directions."""

from __future__ import annotations

import pytest

from phantoms import findings


@pytest.mark.parametrize(
    ("value", "decimals", "text"),
    [(5.26, 1, "+5.3"), (-5.26, 1, "−5.3"), (-0.04, 1, "0.0"), (0.04, 1, "0.0"), (-0.4, 0, "0"), (-10.0, 0, "−10")],
)
def test_signed_when_it_rounds_to_nothing_then_has_no_sign(value, decimals, text):
    assert findings.signed(value, decimals) == text


@pytest.mark.parametrize(
    ("height_mm", "text"),
    [
        (0.0, "in the middle"),
        (-0.49, "in the middle"),
        (0.49, "in the middle"),
        (-38.2, "38 mm from the middle towards the feet"),
        (58.0, "58 mm from the middle towards the head"),
    ],
)
def test_along_the_axis_when_less_than_half_a_millimetre_off_then_is_the_middle(height_mm, text):
    assert findings.along_the_axis(height_mm) == text


@pytest.mark.parametrize(("angle_deg", "degrees"), [(-0.2, "0°"), (359.7, "0°"), (200.4, "200°"), (-90.0, "270°")])
def test_direction_when_a_turn_is_full_then_starts_at_nothing_again(angle_deg, degrees):
    assert findings.direction(angle_deg).split()[0] == degrees


@pytest.mark.parametrize(
    ("low", "high", "text"),
    [(-10, 10, "−10 to +10 %"), (None, 10, "up to +10 %"), (-10, None, "from −10 %"), (0, 10, "0 to +10 %")],
)
def test_band_when_an_edition_sets_one_end_alone_then_names_that_end(low, high, text):
    assert findings.band(low, high, "%", is_signed=True) == text


def test_band_when_there_is_none_then_says_nothing():
    assert findings.band(None, None, "%") == ""
    assert findings.band(0.9, 1.1) == "0.9 to 1.1"
