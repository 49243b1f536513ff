"""The decay reference: published header vectors, and each candidate's preconditions."""

from __future__ import annotations

import math
from datetime import datetime, timedelta
from typing import Any

import pytest

from phantoms.suv import suv_factor
from phantoms.suv.reference import mean_activity_s
from tests.phantoms.test_suv import F18_S, candidate, codes, factor_by_hand, header, refusal

DAY = "20260302"


def made(series: str, acquired: str, frt_ms: float | None, **changes: Any):
    """Return a header of one bed with a whole-day date in front of every time."""
    return header(SeriesTime=series, AcquisitionTime=acquired, FrameReferenceTime=frt_ms, **changes)


# Header vectors of a public SUV test set:
# weight, dose, half-life, injection, series, acquisition, FRT, duration, factor.
VECTORS = {
    "Siemens": (67, 3.74e8, 6586.2, "083045", "104829", "104830.351370", 38513.36, 74324, 4.2748316187e-4),
    "GE": (52, 152022720, 6586.2001953, "084500", "095621", "095621", 0, 120000, 5.3673876818e-4),
    "Philips": (64, 1.26e8, 6586.199707, "100058", "110155", "110156", 1328700, 120700, 7.4637470139e-4),
    "Siemens, acquisition a moment before series": (
        *(65, 2.25e8, 6586.2, "114100", "123515", "123514.999995", 59936.8547, 120000, 4.0691568540e-4),
    ),
    "CPS, series 45 min late": (69, 3.88e8, 6586.2, "120037", "134918", "130348.234", 0, 120000, 2.6503312764e-4),
    "Siemens, no injection date": (
        *(102, 4.12e8, 6586.2, "125000", "135431.843", "141555.687", 1372857.923, 180000, 3.7210892028e-4),
    ),
}
MAKERS = {"GE": "GE MEDICAL SYSTEMS", "Philips": "Philips Medical Systems", "CPS, series 45 min late": "CPS"}


@pytest.mark.parametrize("name", VECTORS)
def test_factor_when_given_a_published_header_then_it_is_the_published_one(name: str) -> None:
    weight, dose, half_life, injected, series, acquired, frt, duration, factor = VECTORS[name]
    given = {
        "RadionuclideTotalDose": dose,
        "RadionuclideHalfLife": half_life,
        "RadiopharmaceuticalStartTime": injected,
        "RadiopharmaceuticalStartDateTime": None,
    }
    result = suv_factor(
        made(
            series,
            acquired,
            frt,
            ActualFrameDuration=duration,
            PatientWeight=weight,
            given=given,
            Manufacturer=MAKERS.get(name, "SIEMENS"),
        )
    )
    assert result.refused is None
    assert result.factor_g_per_bq == pytest.approx(factor, rel=1e-9)


def test_factor_when_given_the_published_value_vector_then_the_pixel_is_one() -> None:
    given = {"RadionuclideTotalDose": 3.7e8, "RadionuclideHalfLife": 6586, "RadiopharmaceuticalStartDateTime": None}
    result = suv_factor(made("140100", "140100", None, given=given | {"RadiopharmaceuticalStartTime": "130100"}))
    assert 7972 * 0.453901487278775 * result.factor_g_per_bq == pytest.approx(0.99994, abs=1e-4)


@pytest.mark.parametrize(("duration_s", "mean_s"), [(74.324, 37.14), (120, 59.94), (180, 89.86), (0, 0), (1e-9, 5e-10)])
def test_mean_activity_when_the_frame_is_in_f18_then_it_is_the_published_time(duration_s, mean_s) -> None:
    assert mean_activity_s(duration_s, F18_S) == pytest.approx(mean_s, abs=0.005)


def test_mean_activity_when_compared_with_the_definition_then_decay_to_it_is_the_frames_mean() -> None:
    decay = math.log(2) / F18_S
    mean = (1 - math.exp(-decay * 300)) / (decay * 300)
    assert math.exp(-decay * mean_activity_s(300, F18_S)) == pytest.approx(mean, rel=1e-12)


BEDS = [  # acquisition time, frame reference time in ms, of a real Siemens scan of six beds of 120 s
    ("121310.062", 59936.8547),
    ("121513.671", 182936.8547),
    ("121717.468", 306936.8547),
    ("121921.296", 430936.8547),
    ("122125.281", 554936.8547),
    ("122328.984", 677936.8547),
]


def beds(**changes: Any):
    slices = [{"AcquisitionTime": at, "FrameReferenceTime": frt} for at, frt in BEDS]
    return header(slices=slices, given={"RadiopharmaceuticalStartDateTime": "20260302111310"}, **changes)


@pytest.mark.parametrize("bed", range(6))
def test_r4_when_one_bed_is_read_alone_then_it_lands_on_the_start_of_the_scan(bed: int) -> None:
    at, frt = BEDS[bed]
    found = candidate(suv_factor(made("150000", at, frt, given={"RadiopharmaceuticalStartTime": "121000"})), "R4")
    start = datetime(2026, 3, 2, 12, 13, 10, 62000)
    assert abs((found.time - start).total_seconds()) < 1


def test_r4_when_series_time_was_overwritten_later_then_the_frames_decide() -> None:
    result = suv_factor(beds(SeriesTime="150000"))
    assert candidate(result, "R4").is_used
    assert not candidate(result, "R2").is_eligible
    assert abs((result.reference_time - datetime(2026, 3, 2, 12, 13, 10)).total_seconds()) < 1


def test_r4_when_a_bed_lasts_longer_then_the_frames_still_agree() -> None:
    extra_s = mean_activity_s(240, F18_S) - mean_activity_s(120, F18_S)
    slices = [
        {"AcquisitionTime": "121310.062", "FrameReferenceTime": 59936.8547},
        {
            "AcquisitionTime": "121513.671",
            "FrameReferenceTime": 182936.8547 + extra_s * 1000,
            "ActualFrameDuration": 240000,
        },
    ]
    assert candidate(suv_factor(header(SeriesTime="150000", slices=slices)), "R4").is_eligible


def test_r4_when_the_acquisition_time_repeats_then_it_is_left_out_with_that_reason() -> None:
    slices = [{"AcquisitionTime": "110156", "FrameReferenceTime": frt} for frt in (59936, 182936, 306936)]
    result = suv_factor(header(SeriesTime="150000", slices=slices))
    assert not candidate(result, "R4").is_eligible
    assert "acquisition time repeats" in candidate(result, "R4").reason
    assert refusal(result).code == "SUV-NO-REFERENCE"


def test_reference_when_philips_repeats_one_acquisition_time_then_series_time_is_used_not_the_frame() -> None:
    result = suv_factor(made("110155", "110156", 1328700, Manufacturer="Philips Medical Systems"))
    assert result.reference_time == datetime(2026, 3, 2, 11, 1, 55)
    assert candidate(result, "R2").is_used


def test_r4_when_the_frame_duration_is_missing_then_the_suv_is_refused() -> None:
    result = suv_factor(made("150000", "113000", 150000, ActualFrameDuration=None))
    assert refusal(result).code == "SUV-NO-REFERENCE"
    assert "0018,1242" in candidate(result, "R4").reason


def test_r5_when_ge_leaves_the_duration_out_then_the_frame_start_is_enough() -> None:
    ge = {"Manufacturer": "GE MEDICAL SYSTEMS", "ActualFrameDuration": None}
    result = suv_factor(made("150000", "113000", 1800000, **ge))
    assert result.reference_time == datetime(2026, 3, 2, 11)
    assert candidate(result, "R5").is_used
    assert result.factor_g_per_bq == pytest.approx(factor_by_hand(3600), rel=1e-12)


def test_r5_when_the_scanner_is_of_ge_then_no_mean_activity_time_is_added() -> None:
    slices = [
        {"AcquisitionTime": "110000", "FrameReferenceTime": 0},
        {"AcquisitionTime": "110300", "FrameReferenceTime": 180000},
    ]
    result = suv_factor(header(Manufacturer="GE MEDICAL SYSTEMS", SeriesTime="150000", slices=slices))
    assert result.reference_time == datetime(2026, 3, 2, 11)
    assert not candidate(result, "R4").is_eligible


def test_reference_when_the_frame_time_is_zero_then_the_acquisition_is_used_without_mean_activity_time() -> None:
    result = suv_factor(made("134918", "130348", 0, given={"RadiopharmaceuticalStartDateTime": "20260302120000"}))
    assert result.reference_time == datetime(2026, 3, 2, 13, 3, 48)
    assert candidate(result, "R8").is_used


def test_r8_when_slices_are_missing_then_the_first_acquisition_is_not_known() -> None:
    result = suv_factor(made("134918", "130348", 0, NumberOfSlices=5))
    assert refusal(result).code == "SUV-NO-REFERENCE"


def test_reference_when_the_maker_is_missing_and_the_frame_would_decide_then_it_is_refused() -> None:
    refused = refusal(suv_factor(beds(SeriesTime="150000", Manufacturer=None)))
    assert (refused.code, refused.attribute) == ("SUV-NO-REFERENCE", "(0008,0070)")


def test_reference_when_acquisition_times_are_missing_on_some_slices_then_the_rest_confirm_series_time() -> None:
    result = suv_factor(header(slices=[{}, {"AcquisitionTime": None}]))
    assert result.reference_time == datetime(2026, 3, 2, 11)


def test_reference_when_only_an_acquisition_datetime_is_there_then_it_is_read() -> None:
    result = suv_factor(
        header(AcquisitionDate=None, AcquisitionTime=None, AcquisitionDateTime="20260302110000.5", SeriesTime="1100")
    )
    assert candidate(result, "R2").is_used


# --- private times -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("maker", "name"),
    [("GE MEDICAL SYSTEMS", "GEScanDateTime"), ("SIEMENS", "SiemensDecayCorrectionDateTime")],
)
@pytest.mark.parametrize("is_orphan", [False, True])
def test_r1_when_the_vendor_names_the_time_then_it_decides(maker: str, name: str, is_orphan: bool) -> None:
    private = {name: "20260302110000.00", "private_without_creator": (name,) if is_orphan else ()}
    result = suv_factor(made("150000", "113000", 150000, Manufacturer=maker, **private))
    assert result.reference_time == datetime(2026, 3, 2, 11)
    assert candidate(result, "R1").is_used
    assert result.factor_g_per_bq == pytest.approx(factor_by_hand(3600), rel=1e-12)
    assert ("SUV-PRIVATE-NO-CREATOR" in codes(result)) == is_orphan
    assert "SUV-TREF-CONFLICT" in codes(result)  # the frames say 27 minutes later: said, not refused


def test_r1_when_series_time_would_do_too_then_the_vendors_time_still_decides() -> None:
    result = suv_factor(header(Manufacturer="GE MEDICAL SYSTEMS", GEScanDateTime="20260302105930"))
    assert candidate(result, "R2").is_eligible
    assert result.reference_time == datetime(2026, 3, 2, 10, 59, 30)
    assert not result.warnings


def test_r1_when_it_has_no_creator_and_another_maker_then_it_is_left_out() -> None:
    private = {"GEScanDateTime": "20260302100500", "private_without_creator": ("GEScanDateTime",)}
    result = suv_factor(header(**private))
    assert not candidate(result, "R1").is_eligible
    assert candidate(result, "R2").is_used


@pytest.mark.parametrize("written", ["20260301110000", "20260402110000", "19000101110000", "nonsense"])
def test_r1_when_its_date_was_moved_apart_from_the_series_then_it_is_left_out(written: str) -> None:
    result = suv_factor(header(Manufacturer="GE MEDICAL SYSTEMS", GEScanDateTime=written))
    assert not candidate(result, "R1").is_eligible
    assert result.reference_time == datetime(2026, 3, 2, 11)


def test_r1_when_it_differs_between_slices_then_it_is_left_out() -> None:
    slices = [{"GEScanDateTime": "20260302110000"}, {"GEScanDateTime": "20260302110300"}]
    result = suv_factor(header(Manufacturer="GE MEDICAL SYSTEMS", slices=slices))
    assert not candidate(result, "R1").is_eligible
    assert result.refused is None


def test_r3_when_an_enhanced_object_names_the_time_then_it_comes_before_series_time() -> None:
    result = suv_factor(made("110030", "110030", None, DecayCorrectionDateTime="20260302110000"))
    assert candidate(result, "R3").is_used
    assert result.reference_time == datetime(2026, 3, 2, 11)


# --- disagreement ------------------------------------------------------------------------------------------------


def late_frames(late_s: float, maker: str = "GE MEDICAL SYSTEMS"):
    """Return a header whose frames say that the scan began `late_s` after SeriesTime."""
    acquired = datetime(2026, 3, 2, 11, 20)
    frt_s = 1200 - late_s + (0 if maker.startswith("GE") else mean_activity_s(120, F18_S))
    return made("110000", f"{acquired:%H%M%S}", frt_s * 1000, Manufacturer=maker)


@pytest.mark.parametrize("maker", ["GE MEDICAL SYSTEMS", "SIEMENS"])
@pytest.mark.parametrize("late_s", [-59, 0, 59])
def test_comparison_when_candidates_agree_within_a_minute_then_nothing_is_said(maker: str, late_s: float) -> None:
    result = suv_factor(late_frames(late_s, maker))
    assert candidate(result, "R2").is_used
    assert not codes(result)


@pytest.mark.parametrize("late_s", [-299, -61, 61, 299])
def test_comparison_when_candidates_differ_by_minutes_then_it_is_said_and_series_time_used(late_s: float) -> None:
    result = suv_factor(late_frames(late_s))
    assert candidate(result, "R2").is_used
    assert codes(result) == {"SUV-TREF-CONFLICT"}
    assert result.reference_time == datetime(2026, 3, 2, 11)


@pytest.mark.parametrize("late_s", [-301, 301, 420])
def test_comparison_when_candidates_differ_by_more_than_five_minutes_then_it_is_refused(late_s: float) -> None:
    result = suv_factor(late_frames(late_s))
    assert refusal(result).code == "SUV-TREF-CONFLICT"
    assert result.reference_time is None
    assert not any(one.is_used for one in result.candidates)


def test_refusal_when_candidates_differ_by_seven_minutes_then_it_gives_the_error_in_suv() -> None:
    assert "7 minutes, which is 4.5 % in SUV" in refusal(suv_factor(late_frames(420))).detail


def test_series_time_when_it_is_earlier_and_nothing_confirms_it_then_it_is_refused() -> None:
    result = suv_factor(made("110000", "112000", 150000, ActualFrameDuration=None))
    assert "nothing confirms it" in candidate(result, "R2").reason
    assert refusal(result).code == "SUV-NO-REFERENCE"


def with_decay_factor(seconds: float):
    """Return a bed at 11:20 whose DecayFactor corrects it to `seconds` before."""
    decay = math.log(2) / F18_S
    centre_s = mean_activity_s(120, F18_S)
    return made("110000", "112000", (1200 + centre_s) * 1000, DecayFactor=math.exp(decay * (seconds + centre_s)))


def test_r6_when_the_decay_factor_agrees_then_it_confirms() -> None:
    found = candidate(suv_factor(with_decay_factor(1200)), "R6")
    assert found.is_eligible
    assert abs(found.time - datetime(2026, 3, 2, 11)) < timedelta(seconds=0.01)


def test_r6_when_the_decay_factor_differs_then_it_only_warns() -> None:
    result = suv_factor(with_decay_factor(1200 - 600))
    assert codes(result) == {"SUV-TREF-CONFLICT"}
    assert result.refused is None


def test_r7_when_philips_factors_name_another_time_then_bqml_is_refused() -> None:
    scale = {"ActivityConcentrationScaleFactor": 1.6, "SUVScaleFactor": 1.6 * factor_by_hand(3600 + 600)}
    result = suv_factor(header(Manufacturer="Philips Medical Systems", **scale))
    assert candidate(result, "R7").time == pytest.approx(datetime(2026, 3, 2, 11, 10), abs=timedelta(seconds=0.01))
    assert refusal(result).code == "SUV-TREF-CONFLICT"


def test_r7_when_philips_factors_are_beyond_all_that_are_written_then_it_is_left_out() -> None:
    for suv_scale, activity_scale in ((1.0, 1e300), (1e300, 1e-300)):  # the ratio falls to 0, or rises beyond numbers
        scale = {"SUVScaleFactor": suv_scale, "ActivityConcentrationScaleFactor": activity_scale, "PatientWeight": 1e20}
        found = candidate(suv_factor(header(Manufacturer="Philips Medical Systems", **scale)), "R7")
        assert (found.time, found.is_eligible) == (None, False)


def test_candidates_when_any_are_left_out_then_each_says_why() -> None:
    for one in suv_factor(header()).candidates:
        assert one.reason
        assert one.is_eligible or not one.is_used
