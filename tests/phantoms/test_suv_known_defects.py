"""Defects that public SUV programs have been read to have: each would give another number, and none is repeated."""

from __future__ import annotations

import math
from datetime import datetime

import pytest

from phantoms.suv import SeriesHeader, suv_factor
from phantoms.suv.reference import mean_activity_s
from tests.phantoms.test_suv import (
    ALL_CORRECTIONS,
    DOSE_BQ,
    F18_S,
    WEIGHT_KG,
    factor_by_hand,
    header,
    injection,
    philips,
    refusal,
)


def test_decay_correction_when_it_is_admin_or_none_then_it_is_not_taken_as_start() -> None:
    start, admin, none = (suv_factor(header(DecayCorrection=one)).factor_g_per_bq for one in ("START", "ADMIN", "NONE"))
    assert admin == pytest.approx(start * 2 ** (-3600 / F18_S), rel=1e-12)
    assert none == pytest.approx(start * 2 ** (mean_activity_s(120, F18_S) / F18_S), rel=1e-12)


@pytest.mark.parametrize("dated", [True, False])
def test_midnight_when_the_uptake_crosses_it_then_the_factor_is_that_of_the_interval(dated: bool) -> None:
    given = {
        "RadiopharmaceuticalStartDateTime": "20260301233000" if dated else None,
        "RadiopharmaceuticalStartTime": "233000",
    }
    result = suv_factor(header(SeriesTime="003000", AcquisitionTime="003000", given=given))
    assert result.factor_g_per_bq == pytest.approx(factor_by_hand(3600), rel=1e-12)


def test_dates_when_the_uptake_lasts_days_then_more_than_times_of_day_are_compared() -> None:
    given = {
        "RadionuclideHalfLife": 282276.0,
        "RadionuclideCodeSequence": [{"CodeValue": "C-168A4"}],
        "RadionuclideTotalDose": 7e7,
        "RadiopharmaceuticalStartDateTime": "20260226100000",
    }
    by_hand = factor_by_hand(4 * 86400 + 3600, dose_bq=7e7, half_life=282276.0)
    assert suv_factor(header(given=given)).factor_g_per_bq == pytest.approx(by_hand, rel=1e-12)


def test_frame_time_when_series_time_was_overwritten_then_it_is_used_and_not_switched_off() -> None:
    centre_s = mean_activity_s(120, F18_S)
    late = header(SeriesTime="150000", AcquisitionTime="111000", FrameReferenceTime=(600 + centre_s) * 1000)
    assert suv_factor(late).factor_g_per_bq == pytest.approx(factor_by_hand(3600), rel=1e-9)


def test_mean_activity_when_the_frame_is_long_then_its_whole_length_counts() -> None:
    decay = math.log(2) / F18_S
    right = math.log(decay * 180 / (1 - math.exp(-decay * 180))) / decay
    wrong = math.log(decay * 180 / (1 - math.exp(-decay))) / decay
    assert mean_activity_s(180, F18_S) == pytest.approx(right, rel=1e-9)
    assert abs(mean_activity_s(180, F18_S) - wrong) > 1000


def test_counts_when_normalised_to_lean_mass_or_surface_then_philips_factor_is_in_all_of_them() -> None:
    one, two = (suv_factor(philips(SUVScaleFactor=scale)).body_weight_factors for scale in (5e-4, 1e-3))
    for kind in ("bw", "lbm_james128", "lbm_janmahasatian", "bsa", "ibw"):
        assert two[kind] == pytest.approx(2 * one[kind], rel=1e-12)


def test_gml_when_nothing_else_is_there_then_no_dose_is_asked_for() -> None:
    bare = SeriesHeader.from_slices([{"Units": "GML", "CorrectedImage": ALL_CORRECTIONS}])
    assert suv_factor(bare).factor_g_per_bq == 1.0


def test_lean_mass_when_no_formula_is_named_then_it_has_128_and_not_120() -> None:
    result = suv_factor(header(PatientWeight=75, PatientSize=1.85))
    relative = result.body_weight_factors["lbm_james128"] / result.factor_g_per_bq
    assert relative * 75 == pytest.approx(61.4627, abs=5e-4)


def test_acquisition_time_when_it_is_missing_on_a_slice_then_nothing_is_thrown() -> None:
    assert suv_factor(header(slices=[{"AcquisitionTime": None}, {}])).factor_g_per_bq
    assert refusal(suv_factor(header(slices=[{"AcquisitionTime": None}, {}], DecayCorrection="NONE")))


def test_slices_when_the_first_one_differs_from_the_rest_then_more_than_the_first_file_is_read() -> None:
    late = {"AcquisitionTime": "113000"}
    result = suv_factor(header(SeriesTime="110000", slices=[late, {}]))
    assert result.reference_time == datetime(2026, 3, 2, 11)
    assert refusal(suv_factor(header(slices=[{}, {"Units": "CNTS"}]))).code == "SUV-INCONSISTENT"


def test_ideal_weight_when_it_exceeds_the_weight_then_it_is_not_clamped() -> None:
    result = suv_factor(header(PatientWeight=50, PatientSize=1.85))
    assert result.body_weight_factors["ibw"] / result.factor_g_per_bq * 50 == pytest.approx(82.98, abs=1e-6)


def test_positron_fraction_when_it_is_written_then_it_does_not_touch_the_dose() -> None:
    with_fraction = header(
        RadiopharmaceuticalInformationSequence=[injection() | {"RadionuclidePositronFraction": 0.967}]
    )
    assert suv_factor(with_fraction).factor_g_per_bq == suv_factor(header()).factor_g_per_bq
    assert suv_factor(header()).factor_g_per_bq == pytest.approx(WEIGHT_KG * 1e3 / DOSE_BQ * 2 ** (3600 / F18_S))


def test_height_when_the_lean_mass_vector_of_an_unreal_body_is_given_then_it_is_refused_not_scaled() -> None:
    result = suv_factor(header(PatientSize=2.898275))
    assert result.body_weight_factors["lbm_james128"] is None
    assert "(0010,1020)" in result.body_weight_reasons["lbm_james128"]
