"""The background along the axis: a drift and a low sector are named, with their standard error."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest

from phantoms import background_columns, background_rois, digital, nema_iq, standards
from phantoms.diagnosis import unevenness
from phantoms.digital import ScannerFaults
from phantoms.localise import NemaPose, find_nema_iq
from phantoms.results import Owner
from phantoms.sheet import Sheet

GRID = {"shape_zyx": (66, 92, 92), "spacing_zyx_mm": (3.2, 3.4, 3.4)}
POSE = {"tilt_x_deg": 3.0, "tilt_y_deg": 4.0}


@cache
def place() -> tuple[NemaPose, background_rois.BackgroundRois]:
    """Return pose and regions of all these phantoms, found on one without a fault."""
    volume = digital.nema_iq(cov=0.03, **GRID, **POSE).volume
    found = find_nema_iq(volume)
    return found, background_rois.place(volume, found)


def columns(seed: int, cov: float = 0.08, **wrong: object) -> background_columns.Columns:
    scan = digital.nema_iq(cov=cov, seed=seed, **GRID, **POSE, **wrong)  # type: ignore[arg-type]
    pose, layout = place()
    found = background_columns.measure(scan.volume, pose, layout)
    assert found is not None
    return found


@pytest.mark.parametrize("seed", range(10))
def test_measure_when_the_reading_drifts_names_the_slope(seed: int) -> None:
    slope = (-1) ** seed * (1.0 + 2.0 * seed / 9)
    found = columns(seed, axial_slope_pct_per_cm=slope)
    # The slope is drawn per cent of the middle of the phantom; the columns' mean lies at it to a slice.
    assert abs(found.profile.slope_pct_per_cm - slope) < 4 * found.profile.slope_sd_pct_per_cm
    (finding,) = unevenness(found)
    assert finding.id == "PHA-SLOPE"
    assert f"{'rises' if slope > 0 else 'falls'} by" in finding.message
    assert finding.owner is Owner.SITE


def test_measure_when_there_is_no_noise_gives_the_drawn_slope() -> None:
    assert columns(0, cov=0.0, axial_slope_pct_per_cm=2.0).profile.slope_pct_per_cm == pytest.approx(2.0, abs=0.02)


def test_measure_when_noise_repeats_scatters_the_slope_as_stated() -> None:
    found = [columns(50 + seed, cov=0.2).profile for seed in range(10)]
    scores = [one.slope_pct_per_cm / one.slope_sd_pct_per_cm for one in found]
    # RMS of 10 scores: 1 within 4 / sqrt(20); the larger of two standard errors makes it smaller rather than larger.
    assert 0.1 < np.sqrt(np.mean(np.square(scores))) < 1.9


@pytest.mark.parametrize("seed", range(10))
def test_measure_when_a_sector_is_low_names_where_it_lies_wherever_it_passes(seed: int) -> None:
    at_deg, pct = 36.0 * seed + 5.0, -8.0 - 12.0 * seed / 9
    found = columns(seed, 0.05, faults=ScannerFaults(wedge_pct=pct, wedge_at_deg=at_deg, wedge_width_deg=35))
    wedge = found.wedge
    assert wedge is not None
    # Sectors are tried in steps of 10 degrees: the best holds up to 5 degrees too much on either side.
    assert wedge.pct == pytest.approx(pct, abs=4 * wedge.sd_pct + 0.3 * abs(pct))
    assert abs((wedge.at_deg - at_deg + 180) % 360 - 180) < 25
    assert [one.id for one in unevenness(found)] == ["PHA-WEDGE"]


def test_diagnose_when_the_reading_drifts_takes_no_calibration_error_from_the_place_of_the_spheres() -> None:
    scan = digital.nema_iq(cov=0.05, axial_slope_pct_per_cm=-2.5, seed=1, **GRID, **POSE)
    result = nema_iq.measure(
        scan.volume, reference_time=scan.truth["reference_time"], sheet=Sheet.parse(scan.sheet), pose=place()[0]
    )
    assert "PHA-SLOPE" in {one.id for one in result.findings}
    assert "PHA-CALIBRATION" not in {one.id for one in nema_iq.diagnose(result, standards.load("earl1_18f"))}


def test_halves_when_taken_of_twelve_columns_then_their_spread_is_the_variance_of_what_all_of_them_tell() -> None:
    halves = list(background_columns._balanced_halves())
    assert all(len(set(half)) == 6 for half in halves)
    # Any two columns are parted 6 of 11 times, so that
    # the mean square of (half - all) of a linear number is sum (x_i - x)^2 / (12 * 11), the variance of a mean.
    drawn = np.random.default_rng(3).standard_normal(12)
    spread = np.mean([(drawn[half].mean() - drawn.mean()) ** 2 for half in halves])
    assert spread == pytest.approx(drawn.var(ddof=1) / 12, rel=1e-12)
