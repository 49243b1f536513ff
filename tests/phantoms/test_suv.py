"""SUV factors against numbers worked out by hand from the definition W / D(t_ref)."""

from __future__ import annotations

import json
import math
from datetime import datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from phantoms.errors import AnalysisRefused
from phantoms.suv import NUCLIDES, SeriesHeader, SuvResult, half_life_s, suv_factor

DOSE_BQ = 3.7e8
WEIGHT_KG = 70.0
F18_S = 6586.2
ALL_CORRECTIONS = ["NORM", "DTIM", "ATTN", "SCAT", "DECY", "RAN"]


def injection(**changes: Any) -> dict[str, Any]:
    return {
        "RadionuclideTotalDose": DOSE_BQ,
        "RadionuclideHalfLife": F18_S,
        "RadiopharmaceuticalStartTime": "100000",
        "RadiopharmaceuticalStartDateTime": "20260302100000",
        "RadionuclideCodeSequence": [{"CodeValue": "C-111A1", "CodeMeaning": "^18^Fluorine"}],
    } | changes


def header(*, given: dict[str, Any] | None = None, slices: list[dict[str, Any]] | None = None, **changes: Any):
    base = {
        "Manufacturer": "SIEMENS",
        "ImageType": ["ORIGINAL", "PRIMARY"],
        "Units": "BQML",
        "DecayCorrection": "START",
        "CorrectedImage": ALL_CORRECTIONS,
        "SeriesDate": "20260302",
        "SeriesTime": "110000",
        "AcquisitionDate": "20260302",
        "AcquisitionTime": "110000",
        "ActualFrameDuration": 120000,
        "PatientWeight": WEIGHT_KG,
        "PatientSize": 1.75,
        "PatientSex": "M",
        "RadiopharmaceuticalInformationSequence": [injection(**(given or {}))],
    } | changes
    return SeriesHeader.from_slices([base | one for one in slices or [{}]])


def factor_by_hand(wait_s: float, *, dose_bq: float = DOSE_BQ, half_life: float = F18_S, weight_kg: float = WEIGHT_KG):
    return weight_kg * 1000 / (dose_bq * math.pow(2, -wait_s / half_life))


def codes(result: SuvResult) -> set[str]:
    return {warning.code for warning in result.warnings}


def refusal(result: SuvResult) -> AnalysisRefused:
    assert result.refused is not None
    assert result.factor_g_per_bq is None
    assert result.factors_by_slice is None
    return result.refused


def candidate(result: SuvResult, key: str):
    return next(one for one in result.candidates if one.id == key)


# --- the plain way -----------------------------------------------------------------------------------------------


def test_factor_when_decay_corrected_to_start_then_activity_is_decayed_to_the_scan() -> None:
    result = suv_factor(header())
    assert result.factor_g_per_bq == pytest.approx(factor_by_hand(3600), rel=1e-12)
    assert result.reference_time == datetime(2026, 3, 2, 11)
    assert result.administration_time == datetime(2026, 3, 2, 10)
    assert result.decayed_activity_bq == pytest.approx(DOSE_BQ * 2 ** (-3600 / F18_S), rel=1e-12)
    assert not result.warnings
    assert not result.refused


def test_factor_when_dose_doubles_then_it_halves() -> None:
    one, two = suv_factor(header()), suv_factor(header(given={"RadionuclideTotalDose": 2 * DOSE_BQ}))
    assert two.factor_g_per_bq == pytest.approx(one.factor_g_per_bq / 2, rel=1e-12)


def test_factor_when_corrected_to_administration_then_activity_is_not_decayed() -> None:
    result = suv_factor(header(DecayCorrection="ADMIN"))
    assert result.factor_g_per_bq == pytest.approx(WEIGHT_KG * 1000 / DOSE_BQ, rel=1e-12)
    assert result.reference_time == result.administration_time == datetime(2026, 3, 2, 10)
    assert not any(one.is_eligible for one in result.candidates)


def test_factor_when_corrected_to_administration_without_its_time_then_it_is_still_given() -> None:
    absent = {"RadiopharmaceuticalStartTime": None, "RadiopharmaceuticalStartDateTime": None}
    result = suv_factor(header(DecayCorrection="ADMIN", given=absent))
    assert result.factor_g_per_bq == pytest.approx(WEIGHT_KG * 1000 / DOSE_BQ, rel=1e-12)
    assert result.reference_time is None


def test_factor_when_not_decay_corrected_then_each_slice_has_its_own() -> None:
    slices = [{"AcquisitionTime": "110000"}, {"AcquisitionTime": "110200"}]
    corrections = [one for one in ALL_CORRECTIONS if one != "DECY"]
    result = suv_factor(header(DecayCorrection="NONE", CorrectedImage=corrections, slices=slices))
    decay = math.log(2) / F18_S
    in_frame = decay * 120 / (1 - math.exp(-decay * 120))
    by_hand = [WEIGHT_KG * 1000 / DOSE_BQ * in_frame * math.exp(decay * wait) for wait in (3600, 3720)]
    assert result.factors_by_slice == pytest.approx(by_hand, rel=1e-12)
    assert result.factor_g_per_bq is None
    assert result.refused is None
    assert result.reference_time is None
    assert result.body_weight_factors["bw"] is None


def test_factor_when_not_decay_corrected_with_one_bed_then_the_frames_mean_is_the_reference() -> None:
    result = suv_factor(header(DecayCorrection="NONE", slices=[{}, {}]))
    assert result.factor_g_per_bq is not None
    assert result.factors_by_slice is None
    assert (result.reference_time - datetime(2026, 3, 2, 11)).total_seconds() == pytest.approx(59.94, abs=0.01)


def test_factor_when_frames_name_the_moment_they_stand_for_then_acquisition_and_duration_are_not_needed() -> None:
    bare = {"AcquisitionDate": None, "AcquisitionTime": None, "ActualFrameDuration": None}
    slices = [bare | {"FrameReferenceDateTime": f"202603021{at}"} for at in ("10230", "10730")]
    result = suv_factor(header(DecayCorrection="NONE", slices=slices))
    waits_s = (3600 + 150, 3600 + 450)
    assert result.factors_by_slice == pytest.approx(
        [WEIGHT_KG * 1000 / DOSE_BQ * 2 ** (w / F18_S) for w in waits_s], rel=1e-12
    )
    assert not codes(result) - {"SUV-CORRECTIONS"}


def test_factor_when_frames_name_another_moment_than_their_acquisition_then_it_is_used_and_said() -> None:
    result = suv_factor(header(DecayCorrection="NONE", FrameReferenceDateTime="20260302111000"))
    assert result.factor_g_per_bq == pytest.approx(WEIGHT_KG * 1000 / DOSE_BQ * 2 ** (4200 / F18_S), rel=1e-12)
    assert "SUV-TREF-CONFLICT" in codes(result)


def test_result_when_written_as_json_then_it_is_plain_data() -> None:
    for made in (
        header(),
        header(Units=None),
        header(DecayCorrection="NONE", slices=[{}, {"AcquisitionTime": "1105"}]),
    ):
        data = suv_factor(made).as_json()
        assert json.loads(json.dumps(data, allow_nan=False)) == data
        assert [one["id"] for one in data["candidates"]] == [f"R{k}" for k in range(1, 9)]


def test_json_when_given_then_it_has_every_key_of_the_contract() -> None:
    data = suv_factor(header()).as_json()
    assert set(data) >= {
        "factor_g_per_bq",
        "factors_by_slice",
        "body_weight_factors",
        "reference_time",
        "administration_time",
        "decayed_activity_bq",
        "candidates",
        "trace",
        "warnings",
        "refused",
    }
    assert set(data["body_weight_factors"]) == {"bw", "lbm_james128", "lbm_janmahasatian", "bsa", "ibw"}
    assert set(data["trace"][0]) == {"attribute", "value", "use"}
    assert data["reference_time"] == "2026-03-02T11:00:00"


def test_trace_when_read_line_by_line_then_every_value_and_decision_behind_the_factor_is_there() -> None:
    result = suv_factor(header(given={"RadiopharmaceuticalStartTime": "095900"}))
    lines = {line.attribute: line for line in result.trace}
    for attribute, value in {
        "(0054,1001)": "BQML",
        "(0028,0051)": "NORM\\DTIM\\ATTN\\SCAT\\DECY\\RAN",
        "(0010,1030)": "70.0",
        "(0010,1020)": "1.75",
        "(0010,0040)": "M",
        "(0018,1074)": "370000000.0",
        "(0018,1075)": "6586.2",
        "(0054,0300)": "F-18",
        "(0008,0070)": "SIEMENS",
        "(0008,0008)": "ORIGINAL\\PRIMARY",
        "(0008,0021)": "20260302",
        "(0008,0031)": "110000",
        "(0008,0022)": "20260302",
        "(0008,0032)": "110000",
        "(0018,1242)": "120000 ms",
        "(0054,1102)": "START",
        "(0018,1078)": "20260302100000",
        "(0018,1072)": "095900",
        "t_adm": "2026-03-02 10:00:00",
        "R2": "2026-03-02 11:00:00",
        "D(t_ref)": f"{DOSE_BQ * 2 ** (-3600 / F18_S):.9e}",
        "SUVbw": f"{factor_by_hand(3600):.9e}",
        "(0008,0201)": "–",
        "(0018,9701)": "–",
    }.items():
        assert lines[attribute].value == value, attribute
        assert lines[attribute].use
    assert {f"SUV{kind}" for kind in result.body_weight_factors} <= set(lines)


# --- units -------------------------------------------------------------------------------------------------------

W, H = 75.0, 185.0  # masses of this body are known from independent tables
KNOWN_SIZES = {
    "lbm_james128": {"M": 61.4627, "F": 55.9257},
    "lbm_janmahasatian": {"M": 60.9153, "F": 49.2144},
    "ibw": {"M": 82.98, "F": 75.53},
}


@pytest.mark.parametrize("sex", ["M", "F"])
@pytest.mark.parametrize("kind", KNOWN_SIZES)
def test_body_factors_when_height_and_sex_are_known_then_they_match_published_masses(kind: str, sex: str) -> None:
    result = suv_factor(header(PatientWeight=W, PatientSize=H / 100, PatientSex=sex))
    relative = result.body_weight_factors[kind] / result.factor_g_per_bq
    assert relative * W == pytest.approx(KNOWN_SIZES[kind][sex], abs=5e-4)


def test_body_factors_when_surface_is_asked_then_it_is_du_bois() -> None:
    result = suv_factor(header(PatientWeight=W, PatientSize=H / 100, PatientSex=None))
    surface_m2 = result.body_weight_factors["bsa"] / result.factor_g_per_bq * W * 1000 / 1e4
    assert surface_m2 == pytest.approx(1.98138, abs=1e-5)
    assert result.body_weight_factors["ibw"] is None
    assert "0010,0040" in result.body_weight_reasons["ibw"]


def test_body_factors_when_sex_is_other_then_masses_are_the_mean_of_both() -> None:
    result = suv_factor(header(PatientWeight=W, PatientSize=H / 100, PatientSex="O"))
    for kind, known in KNOWN_SIZES.items():
        relative = result.body_weight_factors[kind] / result.factor_g_per_bq
        assert relative * W == pytest.approx((known["M"] + known["F"]) / 2, abs=5e-4)


def test_body_factors_when_height_is_missing_then_only_body_weight_is_left() -> None:
    result = suv_factor(header(PatientSize=None))
    assert result.body_weight_factors["bw"] == result.factor_g_per_bq
    others = {kind: value for kind, value in result.body_weight_factors.items() if kind != "bw"}
    assert set(others.values()) == {None}
    assert all("0010,1020" in result.body_weight_reasons[kind] for kind in others)


@pytest.mark.parametrize(("sex", "limit_kg"), [("M", 110.0), ("F", 92.54)])
def test_body_factors_when_heavier_than_james_holds_then_that_one_is_refused(sex: str, limit_kg: float) -> None:
    below = suv_factor(header(PatientSize=1.60, PatientSex=sex, PatientWeight=limit_kg - 0.1))
    above = suv_factor(header(PatientSize=1.60, PatientSex=sex, PatientWeight=limit_kg + 0.1))
    assert below.body_weight_factors["lbm_james128"]
    assert above.body_weight_factors["lbm_james128"] is None
    assert above.body_weight_factors["lbm_janmahasatian"]
    assert above.factor_g_per_bq


@pytest.mark.parametrize("kind", [None, "BW"])
def test_factor_when_units_are_gml_by_body_weight_then_it_is_one_and_needs_nothing_else(kind: str | None) -> None:
    bare = {"RadionuclideTotalDose": None, "RadionuclideHalfLife": None, "RadiopharmaceuticalStartTime": None}
    result = suv_factor(header(Units="GML", SUVType=kind, PatientWeight=None, given=bare))
    assert result.factor_g_per_bq == 1.0
    assert result.refused is None


@pytest.mark.parametrize(
    ("kind", "size"), [("LBMJAMES128", "lbm_james128"), ("LBMJANMA", "lbm_janmahasatian"), ("IBW", "ibw")]
)
def test_factor_when_units_are_gml_by_a_mass_then_it_leads_back_to_body_weight(kind: str, size: str) -> None:
    result = suv_factor(header(Units="GML", SUVType=kind, PatientWeight=W, PatientSize=H / 100))
    assert result.factor_g_per_bq == pytest.approx(W / KNOWN_SIZES[size]["M"], rel=1e-5)
    assert result.body_weight_factors[size] == pytest.approx(1.0, rel=1e-12)


def test_factor_when_units_are_cm2ml_then_it_leads_back_over_the_body_surface() -> None:
    result = suv_factor(header(Units="CM2ML", PatientWeight=W, PatientSize=H / 100))
    assert result.factor_g_per_bq == pytest.approx(75000 / 19813.8, rel=1e-5)


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"PatientSex": None}, "SUV-NO-SEX"),
        ({"PatientSex": "X"}, "SUV-NO-SEX"),
        ({"PatientSize": None}, "SUV-NO-HEIGHT"),
        ({"PatientSize": 0}, "SUV-NO-HEIGHT"),
        ({"PatientSize": 0.2}, "SUV-HEIGHT"),
        ({"PatientWeight": None}, "SUV-NO-WEIGHT"),
        ({"PatientWeight": 2000}, "SUV-WEIGHT"),
    ],
)
def test_factor_when_a_mass_cannot_be_had_then_gml_by_mass_is_refused(changes: dict[str, Any], code: str) -> None:
    assert refusal(suv_factor(header(Units="GML", SUVType="IBW", **changes))).code == code


def test_factor_when_gml_by_james_lies_outside_the_formula_then_it_is_refused() -> None:
    made = header(Units="GML", SUVType="LBMJAMES128", PatientWeight=140, PatientSize=1.60)
    assert refusal(suv_factor(made)).code == "SUV-HABITUS"


@pytest.mark.parametrize(
    ("units", "kind"),
    [
        (None, None),
        ("PROPCPS", None),
        ("PROPCNTS", None),
        ("CPS", None),
        ("1CM", None),
        ("GML", "LBM"),
        ("GML", "BSA"),
        ("CM2ML", "BW"),
        ("CNTS", None),
    ],
)
def test_factor_when_units_lead_nowhere_then_it_is_refused(units: str | None, kind: str | None) -> None:
    result = suv_factor(header(Units=units, SUVType=kind))
    assert refusal(result).code == "SUV-UNITS"
    assert result.reference_time == datetime(2026, 3, 2, 11)


def philips(**changes: Any) -> SeriesHeader:
    return header(**({"Manufacturer": "Philips Medical Systems", "Units": "CNTS"} | changes))


def test_factor_when_philips_gives_a_suv_factor_then_that_is_it() -> None:
    result = suv_factor(philips(SUVScaleFactor="0.000551", PatientWeight=None))
    assert result.factor_g_per_bq == 0.000551
    assert result.body_weight_factors["lbm_james128"] is None


def test_factor_when_philips_gives_lean_factors_then_they_carry_the_suv_factor() -> None:
    result = suv_factor(philips(SUVScaleFactor=0.000551, PatientWeight=W, PatientSize=H / 100))
    assert result.body_weight_factors["lbm_james128"] == pytest.approx(0.000551 * 61.4627 / W, rel=1e-5)


def test_factor_when_philips_gives_only_the_activity_factor_then_it_leads_over_bqml() -> None:
    result = suv_factor(philips(SUVScaleFactor=0, ActivityConcentrationScaleFactor=1.6))
    assert result.factor_g_per_bq == pytest.approx(1.6 * factor_by_hand(3600), rel=1e-12)


@pytest.mark.parametrize(
    ("ratio", "said"),
    [
        (1.005, set()),
        (1.01, {"SUV-TREF-CONFLICT"}),
        (1.031, {"SUV-TREF-CONFLICT", "SUV-FACTORS-DISAGREE"}),
        (1.05, {"SUV-TREF-CONFLICT"}),  # one warning says it: as times, 8 minutes apart
    ],
)
def test_factor_when_philips_factors_disagree_then_it_is_given_and_said(ratio: float, said: set[str]) -> None:
    suv_scale = 1.6 * factor_by_hand(3600) * ratio
    result = suv_factor(philips(SUVScaleFactor=suv_scale, ActivityConcentrationScaleFactor=1.6))
    assert result.factor_g_per_bq == suv_scale
    assert codes(result) == said


def test_factor_when_philips_factors_have_no_creator_then_they_are_used_and_it_is_said() -> None:
    orphan = {"private_without_creator": ("SUVScaleFactor",), "SUVScaleFactor": 0.0005}
    assert "SUV-PRIVATE-NO-CREATOR" in codes(suv_factor(philips(**orphan)))
    assert suv_factor(philips(**orphan)).factor_g_per_bq == 0.0005
    assert refusal(suv_factor(header(Units="CNTS", **orphan))).code == "SUV-UNITS"


# --- what must be true -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "given", "code"),
    [
        ({"PatientWeight": None}, {}, "SUV-NO-WEIGHT"),
        ({"PatientWeight": 0}, {}, "SUV-NO-WEIGHT"),
        ({"PatientWeight": "seventy"}, {}, "SUV-NO-WEIGHT"),
        ({"PatientWeight": 70000}, {}, "SUV-WEIGHT"),
        ({"PatientWeight": 0.5}, {}, "SUV-WEIGHT"),
        ({"PatientWeight": 1.75, "PatientSize": 70}, {}, "SUV-WEIGHT"),  # exchanged
        ({}, {"RadionuclideTotalDose": None}, "SUV-NO-DOSE"),
        ({}, {"RadionuclideTotalDose": 0}, "SUV-NO-DOSE"),
        ({}, {"RadionuclideTotalDose": -3.7e8}, "SUV-NO-DOSE"),
        ({}, {"RadionuclideTotalDose": 3.7e5}, "SUV-DOSE"),
        ({}, {"RadionuclideTotalDose": 3.7e11}, "SUV-DOSE"),
        ({}, {"RadionuclideHalfLife": None}, "SUV-HALF-LIFE"),
        ({}, {"RadionuclideHalfLife": 6000}, "SUV-HALF-LIFE"),
        ({}, {"RadionuclideHalfLife": 6000, "RadionuclideCodeSequence": []}, "SUV-HALF-LIFE"),
        ({}, {"RadiopharmaceuticalStartTime": None, "RadiopharmaceuticalStartDateTime": None}, "SUV-NO-TIME"),
        ({"DecayCorrection": None}, {}, "SUV-DECAY-UNKNOWN"),
        ({"DecayCorrection": "SCANSTART"}, {}, "SUV-DECAY-UNKNOWN"),
        ({"CorrectedImage": ["DECY", "SCAT"]}, {}, "SUV-NOT-CORRECTED"),
        ({"CorrectedImage": None}, {}, "SUV-NOT-CORRECTED"),
        ({"CorrectedImage": ["ATTN", "SCAT"]}, {}, "SUV-NOT-CORRECTED"),
        ({"SeriesTime": None, "AcquisitionTime": None}, {}, "SUV-NO-REFERENCE"),
        ({"DecayCorrection": "NONE", "ActualFrameDuration": None}, {}, "SUV-NO-REFERENCE"),
        ({}, {"RadiopharmaceuticalStartDateTime": "20260302043000"}, "SUV-UPTAKE"),
    ],
)
def test_factor_when_something_cannot_be_then_it_is_refused_with_its_code(changes, given, code) -> None:
    refused = refusal(suv_factor(header(given=given, **changes)))
    assert refused.code == code
    assert refused.detail
    assert refused.next_step


@pytest.mark.parametrize("missing", ["PatientWeight", "Units", "CorrectedImage"])
def test_reference_time_when_the_suv_is_refused_for_another_reason_then_it_is_still_known(missing: str) -> None:
    result = suv_factor(header(**{missing: None}))
    assert result.refused
    assert result.reference_time == datetime(2026, 3, 2, 11)


def test_refusal_when_headers_are_stripped_then_it_names_everything_that_is_missing() -> None:
    result = suv_factor(SeriesHeader.from_slices([{"CorrectedImage": ["DECY", "ATTN"]}] * 3))
    detail = refusal(result).detail
    assert refusal(result).code == "SUV-UNITS"
    for tag in ("0054,1001", "0010,1030", "0018,1074", "0018,1075", "0018,1072", "0054,1102"):
        assert tag in detail
    assert {problem.code for problem in result.further_problems} >= {"SUV-NO-WEIGHT", "SUV-NO-DOSE", "SUV-NO-TIME"}


def test_factor_when_two_injections_are_listed_then_it_is_refused() -> None:
    made = header(RadiopharmaceuticalInformationSequence=[injection(), injection(RadionuclideTotalDose=1e8)])
    assert refusal(suv_factor(made)).code == "SUV-TWO-TRACERS"


@pytest.mark.parametrize(
    "change",
    [
        {"PatientWeight": 71.0},
        {"Units": "GML"},
        {"DecayCorrection": "ADMIN"},
        {"SeriesTime": "110500"},
        {"RadiopharmaceuticalInformationSequence": [injection(RadionuclideTotalDose=1e8)]},
    ],
)
def test_factor_when_slices_disagree_then_it_is_refused_and_named(change: dict[str, Any]) -> None:
    refused = refusal(suv_factor(header(slices=[{}, change])))
    assert refused.code == "SUV-INCONSISTENT"
    assert next(iter(change)) in refused.detail


@pytest.mark.parametrize(
    ("changes", "given", "code", "factor"),
    [
        ({}, {"RadionuclideTotalDose": DOSE_BQ / 1e6}, "SUV-DOSE-MBQ", factor_by_hand(3600)),
        ({"PatientSize": 175}, {}, "SUV-HEIGHT-CM", factor_by_hand(3600)),
        ({"PatientWeight": 12}, {}, "SUV-WEIGHT", factor_by_hand(3600, weight_kg=12)),
        ({"RescaleIntercept": 5}, {}, "SUV-INTERCEPT", factor_by_hand(3600)),
        ({"CorrectedImage": ["ATTN", "DECY"]}, {}, "SUV-CORRECTIONS", factor_by_hand(3600)),
        ({}, {"RadiopharmaceuticalStartDateTime": "20260302105000"}, "SUV-UPTAKE", factor_by_hand(600)),
        ({}, {"RadiopharmaceuticalStartTime": "095900"}, "SUV-INJECTION-TIMES", factor_by_hand(3600)),
        (
            {},
            {"RadionuclideHalfLife": 53136.0, "RadionuclideCodeSequence": [{"CodeMeaning": "Y-86"}]},
            "SUV-NUCLIDE",
            factor_by_hand(3600, half_life=53136.0),
        ),
    ],
)
def test_factor_when_something_is_odd_then_it_is_given_and_said(changes, given, code, factor) -> None:
    result = suv_factor(header(given=given, **changes))
    assert code in codes(result)
    assert result.factor_g_per_bq == pytest.approx(factor, rel=1e-12)


def test_height_when_in_centimetres_then_masses_are_the_same() -> None:
    assert suv_factor(header(PatientSize=175)).body_weight_factors == pytest.approx(
        suv_factor(header(PatientSize=1.75)).body_weight_factors
    )


def test_correction_when_written_decay_then_it_counts_as_decay() -> None:
    assert suv_factor(header(CorrectedImage=["ATTN", "DECAY"])).refused is None


@pytest.mark.parametrize("name", [n for n in NUCLIDES if n != "Ge-68"])
def test_factor_when_the_nuclide_is_in_the_table_then_its_half_life_is_used(name: str) -> None:
    nuclide = NUCLIDES[name]
    minutes = min(30.0, nuclide.half_life_s / 60)
    scan = datetime(2026, 3, 2, 10) + (datetime(2026, 3, 2, 11) - datetime(2026, 3, 2, 10)) * minutes / 60
    moment = f"{scan:%H%M%S.%f}"
    coded = {
        "RadionuclideHalfLife": nuclide.half_life_s,
        "RadionuclideCodeSequence": [{"CodeValue": nuclide.sct_code}],
    }
    result = suv_factor(header(given=coded, SeriesTime=moment, AcquisitionTime=moment))
    wait_s = (scan - datetime(2026, 3, 2, 10)).total_seconds()
    assert result.factor_g_per_bq == pytest.approx(factor_by_hand(wait_s, half_life=nuclide.half_life_s), rel=1e-9)


@pytest.mark.parametrize("written", ["F-18", "18F", "F18", "^18^Fluorine", "[18F]", "C-111A1", "77004003"])
def test_half_life_when_the_nuclide_is_spelled_in_any_way_then_it_is_found(written: str) -> None:
    assert half_life_s(written) == 6586.2


def test_half_life_when_the_nuclide_is_unknown_then_it_is_refused() -> None:
    with pytest.raises(AnalysisRefused, match="SUV-HALF-LIFE"):
        half_life_s("Unobtainium")


# --- injection dates ---------------------------------------------------------------------------------------------


def test_injection_when_only_the_time_of_day_is_there_then_the_day_of_the_scan_is_taken() -> None:
    result = suv_factor(header(given={"RadiopharmaceuticalStartDateTime": None}))
    assert result.administration_time == datetime(2026, 3, 2, 10)
    assert not result.warnings


def test_injection_when_uptake_spans_midnight_without_a_date_then_the_day_before_is_taken_and_said() -> None:
    result = suv_factor(
        header(
            SeriesTime="003000",
            AcquisitionTime="003000",
            given={"RadiopharmaceuticalStartDateTime": None, "RadiopharmaceuticalStartTime": "233000"},
        )
    )
    assert result.administration_time == datetime(2026, 3, 1, 23, 30)
    assert result.factor_g_per_bq == pytest.approx(factor_by_hand(3600), rel=1e-12)
    assert "SUV-MIDNIGHT" in codes(result)


def test_injection_when_uptake_spans_midnight_with_a_date_then_nothing_is_assumed() -> None:
    result = suv_factor(
        header(
            SeriesTime="003000",
            AcquisitionTime="003000",
            given={"RadiopharmaceuticalStartDateTime": "20260301233000", "RadiopharmaceuticalStartTime": "233000"},
        )
    )
    assert result.factor_g_per_bq == pytest.approx(factor_by_hand(3600), rel=1e-12)
    assert not result.warnings


@pytest.mark.parametrize("written", ["19000101100000", "19600101000000", "00010101000000", "20260303100000"])
def test_injection_when_its_date_cannot_belong_to_the_scan_then_the_time_of_day_is_used_and_said(written: str) -> None:
    result = suv_factor(header(given={"RadiopharmaceuticalStartDateTime": written}))
    assert result.administration_time == datetime(2026, 3, 2, 10)
    assert result.factor_g_per_bq == pytest.approx(factor_by_hand(3600), rel=1e-12)
    assert "AD-01" in codes(result)


@pytest.mark.parametrize(
    ("given", "changes", "attribute"),
    [
        ({"RadiopharmaceuticalStartDateTime": "20260302100000+0100"}, {}, "(0018,1078)"),
        ({}, {"AcquisitionDateTime": "20260302110000.000000+0100"}, "(0008,002A)"),
        ({}, {"DecayCorrectionDateTime": "20260302110000-0500"}, "(0018,9701)"),
        ({}, {"Manufacturer": "GE MEDICAL SYSTEMS", "GEScanDateTime": "20260302110000+0000"}, "(0009,xx0D)"),
        ({}, {"SiemensDecayCorrectionDateTime": "20260302110000+0000"}, "(0071,xx22)"),
    ],
)
def test_time_when_it_has_an_offset_and_the_series_has_none_then_the_number_stays_and_it_is_said(
    given, changes, attribute
) -> None:
    result = suv_factor(header(given=given, **changes))
    assert result.factor_g_per_bq == pytest.approx(factor_by_hand(3600), rel=1e-12)
    detail = next(one.detail for one in result.warnings if one.code == "SUV-OFFSET")
    assert attribute in detail
    assert "(0008,0201)" in detail
    assert "46 %" in detail
    named = suv_factor(header(given=given, **changes, TimezoneOffsetFromUTC="+0100"))
    assert "SUV-OFFSET" not in codes(named)


def test_time_when_the_values_are_suv_already_then_an_offset_does_not_matter() -> None:
    given = {"RadiopharmaceuticalStartDateTime": "20260302100000+0100"}
    assert "SUV-OFFSET" not in codes(suv_factor(header(Units="GML", given=given)))


def test_factor_when_the_image_is_derived_then_it_stays_and_it_is_said() -> None:
    plain, derived = suv_factor(header()), suv_factor(header(ImageType=["DERIVED", "SECONDARY"]))
    assert derived.factor_g_per_bq == plain.factor_g_per_bq
    assert codes(derived) - codes(plain) == {"SUV-DERIVED"}
    assert "(0008,0008)" in next(one.detail for one in derived.warnings if one.code == "SUV-DERIVED")


def test_factor_when_one_slice_is_derived_then_it_is_said() -> None:
    result = suv_factor(header(slices=[{}, {"ImageType": ["DERIVED", "PRIMARY"]}]))
    assert "SUV-DERIVED" in codes(result)


def test_scan_when_its_acquisition_date_is_a_placeholder_then_the_series_date_is_used_and_said() -> None:
    result = suv_factor(header(AcquisitionDate="19000101"))
    assert result.factor_g_per_bq == pytest.approx(factor_by_hand(3600), rel=1e-12)
    assert "AD-01" in codes(result)


ZR89 = {
    "RadionuclideHalfLife": 282276.0,
    "RadionuclideCodeSequence": [{"CodeMeaning": "^89^Zirconium"}],
    "RadionuclideTotalDose": 7e7,
}


def test_injection_when_zirconium_is_scanned_days_later_then_its_date_is_used() -> None:
    result = suv_factor(header(given=ZR89 | {"RadiopharmaceuticalStartDateTime": "20260226110000"}))
    by_hand = factor_by_hand(4 * 86400, dose_bq=7e7, half_life=282276.0)
    assert result.factor_g_per_bq == pytest.approx(by_hand, rel=1e-12)


@pytest.mark.parametrize(
    ("written", "code"),
    [(None, "SUV-NO-TIME"), ("19000101100000", "AD-01"), ("20260305100000", "AD-01"), ("20250305100000", "AD-01")],
)
def test_injection_when_zirconium_has_no_date_to_trust_then_it_is_refused(written: str | None, code: str) -> None:
    assert refusal(suv_factor(header(given=ZR89 | {"RadiopharmaceuticalStartDateTime": written}))).code == code


def test_injection_when_gml_has_an_injection_date_after_the_scan_then_it_is_questioned() -> None:
    made = header(
        Units="GML", SUVType="BW", DecayCorrection="ADMIN", given={"RadiopharmaceuticalStartDateTime": "20260303100000"}
    )
    result = suv_factor(made)
    assert result.factor_g_per_bq == 1.0
    assert "AD-01" in codes(result)


def test_injection_when_it_carries_an_offset_then_it_is_moved_only_into_a_given_zone() -> None:
    utc = {"RadiopharmaceuticalStartDateTime": "20260302090000+0000", "RadiopharmaceuticalStartTime": None}
    moved = suv_factor(header(given=utc, TimezoneOffsetFromUTC="+0100"))
    assert moved.administration_time == datetime(2026, 3, 2, 10)
    as_written = suv_factor(header(given=utc))
    assert as_written.administration_time == datetime(2026, 3, 2, 9)


# --- never a traceback -------------------------------------------------------------------------------------------

_texts = st.one_of(
    st.none(),
    st.text(max_size=12),
    st.sampled_from(["BQML", "GML", "CNTS", "START", "ADMIN", "NONE", "00010101", "99991231", "235959", "000000", "M"]),
)
_numbers = st.one_of(st.none(), st.floats(), st.sampled_from([0, -1, 1e-300, 1e300, "x", "1e400"]))
_mutations = st.fixed_dictionaries(
    {},
    optional={
        **dict.fromkeys(("Units", "SUVType", "DecayCorrection", "SeriesDate", "SeriesTime", "Manufacturer"), _texts),
        **dict.fromkeys(("AcquisitionDate", "AcquisitionTime", "AcquisitionDateTime", "GEScanDateTime"), _texts),
        **dict.fromkeys(
            ("PatientWeight", "PatientSize", "SUVScaleFactor", "ActivityConcentrationScaleFactor"), _numbers
        ),
        **dict.fromkeys(("FrameReferenceTime", "ActualFrameDuration", "DecayFactor", "NumberOfSlices"), _numbers),
        "CorrectedImage": st.lists(_texts, max_size=3),
    },
)
_injections = st.fixed_dictionaries(
    {},
    optional={
        "RadionuclideTotalDose": _numbers,
        "RadionuclideHalfLife": _numbers,
        "RadiopharmaceuticalStartTime": _texts,
        "RadiopharmaceuticalStartDateTime": _texts,
        "RadionuclideCodeSequence": st.sampled_from([[], [{}], [{"CodeMeaning": "Y-86"}], [{"CodeValue": "C-168A4"}]]),
    },
)


@settings(max_examples=300, deadline=None)
@given(changes=_mutations, injected=_injections, other=_mutations)
def test_factor_when_headers_are_mutated_then_it_is_a_positive_number_or_a_refusal(changes, injected, other) -> None:
    result = suv_factor(header(given=injected, slices=[{}, other], **changes))
    factors = result.factors_by_slice or ((result.factor_g_per_bq,) if result.factor_g_per_bq is not None else ())
    assert bool(factors) != bool(result.refused)
    assert all(math.isfinite(factor) and factor > 0 for factor in factors)
    json.dumps(result.as_json(), allow_nan=False)
