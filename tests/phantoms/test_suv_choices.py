"""What a physicist may decide by signature: which time the values refer to, and the lean mass with 120."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest

from phantoms.suv import suv_factor
from phantoms.suv.body import lean_mass_james_kg
from tests.phantoms.test_suv import H, W, candidate, codes, factor_by_hand, header, philips, refusal
from tests.phantoms.test_suv_reference import beds, late_frames, made


def uses(result, attribute: str) -> list[str]:
    return [line.use for line in result.trace if line.attribute == attribute]


@pytest.mark.parametrize(("chosen", "wait_s"), [("R2", 3600), ("R5", 3600 + 420)])
def test_choice_when_candidates_conflict_then_it_lifts_the_refusal_and_stands_in_the_trace(chosen, wait_s) -> None:
    conflict = late_frames(420)
    assert refusal(suv_factor(conflict)).code == "SUV-TREF-CONFLICT"
    result = suv_factor(conflict, chosen_reference=chosen)
    assert result.factor_g_per_bq == pytest.approx(factor_by_hand(wait_s), rel=1e-9)
    assert candidate(result, chosen).is_used
    assert codes(result) == {"SUV-CHOICE", "SUV-TREF-CONFLICT"}  # what differs is said all the same
    assert "signed decision" in uses(result, "chosen reference")[0]
    assert "R2" in uses(result, "chosen reference")[0]  # what stood first without it


def test_choice_when_it_is_the_one_that_stands_first_then_the_number_is_the_same() -> None:
    assert suv_factor(header(), chosen_reference="R2").factor_g_per_bq == suv_factor(header()).factor_g_per_bq


def test_choice_when_it_is_the_ratio_of_philips_factors_then_it_is_followed() -> None:
    scale = {"ActivityConcentrationScaleFactor": 1.6, "SUVScaleFactor": 1.6 * factor_by_hand(3600 + 600)}
    result = suv_factor(header(Manufacturer="Philips Medical Systems", **scale), chosen_reference="R7")
    assert result.reference_time == pytest.approx(datetime(2026, 3, 2, 11, 10), abs=timedelta(seconds=0.01))
    assert candidate(result, "R7").is_used


@pytest.mark.parametrize("chosen", ["R1", "R4", "R9", "the first one"])
def test_choice_when_its_preconditions_do_not_hold_then_it_is_refused_with_their_reason(chosen: str) -> None:
    result = suv_factor(header(), chosen_reference=chosen)
    refused = refusal(result)
    assert refused.code == "SUV-CHOICE"
    assert next((one.reason for one in result.candidates if one.id == chosen), "no such candidate") in refused.detail
    assert not any(one.is_used for one in result.candidates)


@pytest.mark.parametrize("correction", ["ADMIN", "NONE"])
def test_choice_when_no_scan_start_is_looked_for_then_it_is_refused(correction: str) -> None:
    assert refusal(suv_factor(header(DecayCorrection=correction), chosen_reference="R2")).code == "SUV-CHOICE"


def test_choice_when_the_maker_is_missing_then_the_physicist_answers_for_the_frames() -> None:
    nameless = beds(SeriesTime="150000", Manufacturer=None)
    assert refusal(suv_factor(nameless)).code == "SUV-NO-REFERENCE"
    assert candidate(suv_factor(nameless, chosen_reference="R4"), "R4").is_used


def test_choice_when_the_pixels_hold_suv_then_it_changes_nothing() -> None:
    assert suv_factor(header(Units="GML"), chosen_reference="R4").factor_g_per_bq == 1.0
    assert suv_factor(philips(SUVScaleFactor=5e-4), chosen_reference="R4").factor_g_per_bq == 5e-4


# --- the coefficient 120 -----------------------------------------------------------------------------------------


def test_lean_mass_when_the_coefficient_is_120_then_it_is_the_other_published_mass() -> None:
    assert lean_mass_james_kg(W, H, "M", 120).value == pytest.approx(62.7776, abs=5e-4)
    assert lean_mass_james_kg(W, H, "F", 120).value == pytest.approx(55.9257, abs=5e-4)
    assert lean_mass_james_kg(W, H, "M").value == pytest.approx(61.4627, abs=5e-4)


def test_lbm_when_nobody_signed_for_120_then_it_is_refused_and_120_appears_nowhere() -> None:
    lbm = header(Units="GML", SUVType="LBM", PatientWeight=W, PatientSize=H / 100)
    assert refusal(suv_factor(lbm)).code == "SUV-UNITS"
    assert "lbm_120" not in suv_factor(header()).body_weight_factors


def test_lbm_when_a_physicist_signed_for_120_then_it_leads_back_to_body_weight_and_is_said() -> None:
    lbm = header(Units="GML", SUVType="LBM", PatientWeight=W, PatientSize=H / 100)
    result = suv_factor(lbm, accepts_lbm120=True)
    assert result.factor_g_per_bq == pytest.approx(W / 62.7776, rel=1e-5)
    assert result.body_weight_factors["lbm_120"] == pytest.approx(1.0, rel=1e-12)
    assert result.body_weight_factors["lbm_james128"] == pytest.approx(61.4627 / 62.7776, rel=1e-5)
    assert "SUV-LBM-120" in codes(result)
    assert any("signed decision" in line.use for line in result.trace)


def test_lbm_when_accepted_outside_the_formulas_range_then_it_is_refused() -> None:
    heavy = header(Units="GML", SUVType="LBM", PatientWeight=140, PatientSize=1.6)
    assert refusal(suv_factor(heavy, accepts_lbm120=True)).code == "SUV-HABITUS"


# --- who decides alone -------------------------------------------------------------------------------------------


def test_r3_when_the_object_names_the_decay_correction_then_series_time_only_warns() -> None:
    result = suv_factor(header(DecayCorrectionDateTime="20260302104000"))
    assert candidate(result, "R2").is_eligible
    assert candidate(result, "R3").is_used
    assert result.factor_g_per_bq == pytest.approx(factor_by_hand(2400), rel=1e-12)
    assert codes(result) == {"SUV-TREF-CONFLICT"}


@pytest.mark.parametrize(("kind", "used"), [("ORIGINAL", "R2"), ("DERIVED", "R5")])
def test_series_time_when_it_is_earlier_then_it_wins_on_the_scanners_own_images_only(kind: str, used: str) -> None:
    ge = {"Manufacturer": "GE MEDICAL SYSTEMS", "ImageType": [kind, "PRIMARY"]}
    result = suv_factor(made("110000", "112000", (1200 - 100) * 1000, **ge))
    assert candidate(result, used).is_used
    assert "SUV-TREF-CONFLICT" in codes(result)
