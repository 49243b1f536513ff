"""Every rule three times: on a scan that it finds fault with, on one that it passes, on one where it cannot tell.

`CASES` has a line for every rule of the program; one without a line fails here until its three scans are written.
Each changes one thing of a scan that passes every rule.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import date, timedelta

import pytest

from phantoms.errors import AnalysisRefused
from phantoms.results import Finding, Outcome, Owner
from phantoms.suv import Injection, Warned
from qc import conformance, protocols
from qc.conformance import RULES, Inputs
from qc.conformance.register import clearance_on
from qc.facts import SubmissionFacts, Syringe, read_reconstruction
from tests.qc.conformance import scans
from tests.qc.conformance.scans import GOOD, NO_SERIES, NOTHING, WITHOUT_PROTOCOL, WITHOUT_REGISTER

FAIL, WARN, PASS, NOT_EVALUABLE = Outcome.FAIL, Outcome.WARN, Outcome.PASS, Outcome.NOT_EVALUABLE


@dataclass(frozen=True)
class Case:
    """Three scans of one rule: the first with the outcome that it must have, and what else may be said of it."""

    outcome: Outcome
    planted: Inputs
    unknown: Inputs
    passing: Inputs = GOOD


def _positions(*heights_mm: float) -> Inputs:
    return scans.facts(positions_mm=heights_mm)


_GAP = tuple(3.0 * k for k in range(300) if k not in {140, 141})
_DOUBLED = tuple(sorted((*(3.0 * k for k in range(299)), 300.0, 300.0)))
_GA68 = {"nuclide_code": "C-131A3", "RadionuclideHalfLife": 4062.6}

CASES: Mapping[str, Case] = {
    "ING-01": Case(FAIL, replace(GOOD, facts=SubmissionFacts(files=12, unreadable_files=12), suv=None), NOTHING),
    "ING-02": Case(FAIL, scans.facts(patients=2), NOTHING),
    "ING-04": Case(FAIL, _positions(*_DOUBLED), _positions()),
    "ING-05": Case(FAIL, scans.facts(NumberOfSlices=306), scans.facts(NumberOfSlices=None)),
    "ING-06": Case(FAIL, _positions(*_GAP), _positions(0.0)),
    "ING-08": Case(FAIL, scans.facts(is_axial=False), scans.facts(is_axial=None)),
    "ING-09": Case(
        FAIL, replace(GOOD, facts=SubmissionFacts(files=90, series=1, studies=1, patients=1), suv=None), NO_SERIES
    ),
    "ING-10": Case(FAIL, scans.facts(is_lossy=True), NO_SERIES),
    "ING-11": Case(WARN, scans.facts(is_derived=True, ImageType=("DERIVED", "SECONDARY")), scans.facts(ImageType=())),
    "ING-12": Case(FAIL, scans.facts(is_volume=False), scans.facts(is_volume=None)),
    "PAT-01": Case(FAIL, scans.facts(PatientWeight=0.0), scans.values(weight_kg=None)),
    "PREP-01": Case(FAIL, scans.values(glucose_mmol_l=11.2), scans.values(glucose_mmol_l=None)),
    "PREP-02": Case(FAIL, scans.values(fasting_h=3.5), scans.values(fasting_h=None)),
    "INJ-01": Case(FAIL, scans.injected(**_GA68), scans.injected(nuclide_code=None, RadionuclideHalfLife=9999.0)),
    "INJ-02": Case(FAIL, scans.injected(RadionuclideHalfLife=6000.0), scans.injected(RadionuclideHalfLife=None)),
    "INJ-03": Case(FAIL, scans.injected(RadionuclideTotalDose=402e6), scans.injected(RadionuclideTotalDose=None)),
    "INJ-04": Case(FAIL, scans.values(injected_mbq=320.0), scans.values(injected_mbq=None)),
    "INJ-05": Case(
        FAIL,
        scans.injected(RadiopharmaceuticalStartTime="000000", RadiopharmaceuticalStartDateTime=None),
        replace(scans.injected(RadiopharmaceuticalStartTime=None, RadiopharmaceuticalStartDateTime=None), values=None),
    ),
    "TIM-01": Case(FAIL, scans.waited(82), scans.facts(first_frame_at=None)),
    "AD-01": Case(FAIL, scans.MOVED_DATE, scans.injected(RadiopharmaceuticalStartDateTime=None)),
    "ACQ-01": Case(FAIL, scans.facts(frame_min=(1.5, 2.0)), scans.facts(frame_min=())),
    "ACQ-03": Case(FAIL, _positions(*(3.0 * k for k in range(200))), _positions(*_DOUBLED)),
    "REC-01": Case(FAIL, scans.facts(CorrectedImage=("ATTN", "DECY", "NORM")), scans.facts(CorrectedImage=())),
    "REC-03": Case(FAIL, scans.made_by("PSF 4i5s"), WITHOUT_REGISTER),
    "REC-04": Case(FAIL, scans.made_by("PSF+TOF 4i5s", "XYZ Gauss5.00"), scans.made_by("PSF+TOF 4i5s", "")),
    "REC-05": Case(FAIL, scans.facts(PixelSpacing=(3.4, 3.4)), scans.facts(PixelSpacing=())),
    "REC-06": Case(FAIL, _positions(*(3.5 * k for k in range(300))), scans.profile(slice_mm=None)),
    "REC-07": Case(FAIL, scans.facts(DeviceSerialNumber="99999"), scans.facts(DeviceSerialNumber="")),
    "REC-08": Case(FAIL, replace(GOOD, scanned_on=date(2025, 12, 31)), replace(GOOD, scanned_on=None)),
    "SUV-01": Case(
        WARN,
        scans.with_suv(warnings=(Warned("SUV-TREF-CONFLICT", "Two ways differ by 2 minutes."),)),
        scans.REFUSED,
    ),
}


def without_cases(rules: Iterable[str], cases: Mapping[str, Case]) -> set[str]:
    """Return the rules that have no three scans, and the scans of no rule."""
    return set(rules) ^ set(cases)


def finding(inputs: Inputs, rule_id: str) -> Finding:
    (found,) = [one for one in conformance.evaluate(inputs) if one.id == rule_id]
    return found


def outcome(inputs: Inputs, rule_id: str) -> Outcome:
    return finding(inputs, rule_id).outcome


def test_cases_when_counted_then_every_rule_has_three() -> None:
    assert without_cases(RULES, CASES) == set()


def test_cases_when_a_rule_has_none_then_it_is_named() -> None:
    assert without_cases([*RULES, "NEW-01"], CASES) == {"NEW-01"}


def test_good_scan_when_judged_then_every_rule_passes() -> None:
    assert {one.id: one.message for one in conformance.evaluate(GOOD) if one.outcome is not PASS} == {}
    assert {one.id for one in conformance.evaluate(GOOD)} == set(RULES)


@pytest.mark.parametrize("rule_id", sorted(RULES))
def test_rule_when_a_fault_is_planted_then_it_is_found(rule_id: str) -> None:
    case = CASES[rule_id]
    assert outcome(case.planted, rule_id) is case.outcome


@pytest.mark.parametrize("rule_id", sorted(RULES))
def test_rule_when_nothing_is_wrong_then_it_passes(rule_id: str) -> None:
    assert outcome(CASES[rule_id].passing, rule_id) is PASS


@pytest.mark.parametrize("rule_id", sorted(RULES))
def test_rule_when_it_cannot_tell_then_it_says_so(rule_id: str) -> None:
    found = finding(CASES[rule_id].unknown, rule_id)
    assert found.outcome is NOT_EVALUABLE
    assert found.message


@pytest.mark.parametrize("rule_id", sorted(RULES))
def test_finding_when_a_fault_is_planted_then_it_says_what_was_seen_what_is_right_and_who_acts(rule_id: str) -> None:
    found = finding(CASES[rule_id].planted, rule_id)
    assert found.observed
    assert found.expected
    assert found.next_step
    assert found.owner is not Owner.NOBODY
    assert found.source
    if RULES[rule_id].attributes:  # what hangs on a header names its attribute in brackets, after the words
        assert re.search(r"\([0-9A-F]{4},[0-9A-Fx]{4}\)", found.message + found.next_step) or rule_id in {
            "REC-08",  # the register's days, not a header
            "SUV-01",  # in the words of the SUV itself
        }
    for word in ("invalid", "illegal", "please", "sorry", "failed to", "error occurred", "user"):
        assert word not in found.message.casefold() + found.next_step.casefold()


# --- more than one way to be wrong ------------------------------------------------------------


@pytest.mark.parametrize(
    ("minutes", "expected"),
    [
        (49.9, FAIL),
        (50, WARN),
        (54.9, WARN),
        (55, PASS),
        (65, PASS),
        (65.1, WARN),
        (75, WARN),
        (75.1, FAIL),
        (82, FAIL),
    ],
)
def test_uptake_when_at_an_edge_of_the_house_default_then_both_ends_belong_to_it(minutes, expected) -> None:
    assert outcome(scans.waited(minutes), "TIM-01") is expected


def test_uptake_when_just_outside_then_it_is_not_rounded_into_the_window() -> None:
    assert "75.1 min" in finding(scans.waited(75.1), "TIM-01").message


def test_uptake_when_judged_then_start_and_end_of_the_scan_are_said() -> None:
    message = finding(scans.waited(62), "TIM-01").message
    assert "began 62 min" in message
    assert "ended at 78 min" in message


def test_uptake_when_only_the_site_wrote_the_time_then_it_is_taken_and_said() -> None:
    silent = scans.injected(RadiopharmaceuticalStartTime=None, RadiopharmaceuticalStartDateTime=None)
    assert outcome(silent, "INJ-05") is WARN
    assert "09:30" in finding(silent, "INJ-05").message
    assert "began 60 min" in finding(silent, "TIM-01").message


@pytest.mark.parametrize(
    ("clocks", "expected"),
    [
        ({"RadiopharmaceuticalStartTime": "103000", "RadiopharmaceuticalStartDateTime": None}, FAIL),  # the scan's time
        ({"RadiopharmaceuticalStartTime": "000000"}, FAIL),
        ({"RadiopharmaceuticalStartDateTime": "20260302000000"}, FAIL),
        ({"RadiopharmaceuticalStartTime": "093100"}, WARN),  # TM and DT disagree
        ({"RadiopharmaceuticalStartTime": "093001"}, PASS),
        ({"RadiopharmaceuticalStartTime": "093300", "RadiopharmaceuticalStartDateTime": None}, WARN),  # not the site's
        ({"RadiopharmaceuticalStartTime": "093059", "RadiopharmaceuticalStartDateTime": None}, PASS),
    ],
)
def test_injection_time_when_written_oddly_then_it_is_questioned(clocks, expected) -> None:
    assert outcome(scans.injected(**clocks), "INJ-05") is expected


def test_injection_time_when_it_is_the_assay_then_it_is_questioned() -> None:
    same = scans.facts(syringe=Syringe(assayed_mbq=300.0, assayed_at=scans.INJECTED_AT))
    assert outcome(same, "INJ-05") is WARN


@pytest.mark.parametrize(
    ("site_kg", "expected"),
    [(75.0, PASS), (76.0, PASS), (76.4, PASS), (76.6, FAIL), (40.0, FAIL)],
)
def test_weight_when_the_site_wrote_another_then_one_kilogram_or_two_percent_is_enough(site_kg, expected) -> None:
    found = finding(scans.values(weight_kg=site_kg), "PAT-01")
    assert found.outcome is expected
    assert found.severity == ("query" if expected is FAIL else "exclude")


@pytest.mark.parametrize(("weight_kg", "expected"), [(None, NOT_EVALUABLE), (0.0, FAIL), (19.9, FAIL), (301.0, FAIL)])
def test_weight_when_it_is_missing_or_cannot_be_then_the_scan_is_excluded(weight_kg, expected) -> None:
    found = finding(scans.facts(PatientWeight=weight_kg), "PAT-01")
    assert (found.outcome, found.severity) == (expected, "exclude")


@pytest.mark.parametrize(
    ("dose_mbq", "expected"),
    [(290.0, PASS), (295.0, PASS), (296.5, WARN), (304.0, WARN), (305.0, FAIL), (276.0, WARN), (275.0, FAIL)],
)
def test_net_activity_when_it_differs_then_two_percent_pass_and_five_warn(dose_mbq, expected) -> None:
    # 295 MBq drawn less 5 MBq left, at one instant: 290 MBq net.
    found = finding(scans.injected(RadionuclideTotalDose=dose_mbq * 1e6), "INJ-04")
    assert found.outcome is expected


def test_net_activity_when_times_differ_then_both_parts_are_decayed_to_the_injection() -> None:
    half_life = timedelta(seconds=6586.2)
    # One half-life before the injection twice as much; one after it half as much.
    syringe = Syringe(
        assayed_mbq=600.0,
        assayed_at=scans.INJECTED_AT - half_life,
        residual_mbq=5.0,
        residual_at=scans.INJECTED_AT + half_life,
    )
    assert syringe.net_mbq(scans.INJECTED_AT, 6586.2) == pytest.approx(300.0 - 10.0)
    scanner = replace(scans.facts(syringe=syringe), values=None)
    assert outcome(scanner, "INJ-04") is PASS
    assert "scanner's own parts" in finding(scanner, "INJ-04").message


@pytest.mark.parametrize(("residual_mbq", "expected"), [(None, NOT_EVALUABLE), (0.0, PASS)])
def test_net_activity_when_nobody_wrote_what_was_left_then_it_is_not_known_and_not_nought(residual_mbq, expected):
    inputs = scans.values(injected_mbq=290.0, residual_mbq=residual_mbq, residual_at=None)
    assert outcome(inputs, "INJ-04") is expected


@pytest.mark.parametrize(
    ("dose_mbq", "weight_kg", "expected"),
    [
        (290.0, 75.0, PASS),
        (236.3, 75.0, PASS),
        (236.0, 75.0, WARN),  # 3.15 MBq/kg is 236.25
        (360.0, 75.0, WARN),
        (361.0, 75.0, FAIL),
        (402.0, 72.0, FAIL),
        (45.0, 12.0, FAIL),  # right for each kilogram, too little in all
    ],
)
def test_activity_when_judged_then_both_for_each_kilogram_and_in_all(dose_mbq, weight_kg, expected) -> None:
    one = scans.injected(RadionuclideTotalDose=dose_mbq * 1e6)
    found = finding(scans.facts(one, PatientWeight=weight_kg), "INJ-03")
    assert found.outcome is expected


def test_activity_when_written_in_mbq_then_it_is_read_as_such() -> None:
    assert scans.injected(RadionuclideTotalDose=290.0).facts.dose_mbq == 290.0


@pytest.mark.parametrize(
    ("given", "expected", "severity"),
    [
        ({"Radiopharmaceutical": "Solution"}, FAIL, "exclude"),
        ({"Radiopharmaceutical": None}, NOT_EVALUABLE, "query"),
        ({"Radiopharmaceutical": "18F-Fluorodeoxyglucose"}, PASS, "exclude"),
        ({"nuclide_code": None, "nuclide_meaning": "^18^Fluorine"}, PASS, "exclude"),
        ({"nuclide_code": None}, PASS, "exclude"),  # by its half-life
    ],
)
def test_tracer_when_named_otherwise_then_nuclide_and_name_both_count(given, expected, severity) -> None:
    found = finding(scans.injected(**given), "INJ-01")
    assert (found.outcome, found.severity) == (expected, severity)


def test_tracer_when_only_coded_then_the_code_counts() -> None:
    unnamed = scans.injected(Radiopharmaceutical=None)
    assert outcome(scans.facts(unnamed, pharmaceutical_codes=("C-B1031",)), "INJ-01") is PASS
    assert outcome(scans.facts(unnamed, pharmaceutical_codes=("C-B1036",)), "INJ-01") is FAIL


def test_tracer_when_two_injections_are_listed_then_it_cannot_be_told() -> None:
    two = scans.facts(injections=(scans.FACTS.injections[0], Injection()))
    assert outcome(two, "INJ-01") is NOT_EVALUABLE


@pytest.mark.parametrize(
    ("made", "expected", "severity"),
    [
        (("ATTN", "SCAT", "DECY", "RAN", "DTIM", "NORM"), PASS, "exclude"),
        (("ATTN", "SCAT", "DECAY", "RANSNG", "DTIM", "NORM"), PASS, "exclude"),
        (("SCAT", "DECY", "RAN", "DTIM", "NORM"), FAIL, "exclude"),
        (("ATTN", "SCAT", "RAN", "DTIM", "NORM"), FAIL, "exclude"),
        (("ATTN", "SCAT", "DECY", "DTIM", "NORM"), FAIL, "query"),
    ],
)
def test_corrections_when_one_is_missing_then_what_it_is_decides(made, expected, severity) -> None:
    found = finding(scans.facts(CorrectedImage=made), "REC-01")
    assert (found.outcome, found.severity) == (expected, severity)


def test_corrections_when_decay_is_left_to_the_reader_then_it_is_not_asked_for() -> None:
    undecayed = scans.facts(CorrectedImage=("ATTN", "SCAT", "RAN", "DTIM", "NORM"), DecayCorrection="NONE")
    assert outcome(undecayed, "REC-01") is PASS


@pytest.mark.parametrize(
    ("slices", "times", "expected"),
    [(300, None, PASS), (300, 4, PASS), (299, None, FAIL), (301, 4, FAIL), (1200, 4, PASS), (600, 4, FAIL)],
)
def test_slices_when_there_are_time_slices_then_their_multiple_is_whole_too(slices, times, expected) -> None:
    counted = scans.facts(slices=slices, NumberOfSlices=300, NumberOfTimeSlices=times)
    assert outcome(counted, "ING-05") is expected


def test_steps_when_ge_writes_them_unevenly_then_no_slice_is_missing() -> None:
    heights, at = [], 0.0
    for step in (3.27, 3.19, 3.29) * 89:
        heights.append(at)
        at += step
    uneven = scans.facts(positions_mm=tuple(heights))
    found = finding(uneven, "ING-06")
    assert found.outcome is PASS
    assert "3.19 to 3.29 mm" in found.message


@pytest.mark.parametrize(("factor", "expected"), [(1.5, PASS), (1.51, FAIL), (2.0, FAIL)])
def test_steps_when_one_is_wider_then_one_and_a_half_usual_steps_are_the_limit(factor, expected) -> None:
    heights = [3.0 * k for k in range(150)]
    heights += [heights[-1] + 3.0 * factor + 3.0 * k for k in range(150)]
    assert outcome(_positions(*heights), "ING-06") is expected


@pytest.mark.parametrize(
    ("method", "expected"),
    [
        ("PSF+TOF 4i5s", PASS),
        ("TrueX+TOF 4i5s", PASS),  # another name of the same
        ("PSF+TOF 3i21s", FAIL),
        ("OSEM3D 4i5s", FAIL),
        ("PSF+TOF", PASS),  # iterations are not said: no difference is seen
        ("PSF+TOF DeepLearning 4i5s", FAIL),
        ("", NOT_EVALUABLE),
    ],
)
def test_reconstruction_when_its_name_differs_then_what_it_says_is_compared(method, expected) -> None:
    assert outcome(scans.made_by(method), "REC-03") is expected


@pytest.mark.parametrize(("method", "unsaid"), [("PSF+TOF", "iterations and subsets"), ("PSF+TOF 4i5s", "")])
def test_reconstruction_when_the_register_leaves_out_what_the_images_say_then_nobody_calls_it_accredited(
    method, unsaid
) -> None:
    found = finding(scans.profile(method=method), "REC-03")
    assert (found.outcome, found.severity) == ((NOT_EVALUABLE, "query") if unsaid else (PASS, "exclude"))
    assert unsaid in found.message


def test_reconstruction_when_the_penalty_of_a_maker_differs_then_it_is_another_one() -> None:
    ge = {"Regularize": 1.0, "Beta": 350.0, "Iterations": None}
    images = read_reconstruction("GE MEDICAL SYSTEMS", "QCFX", ge=ge)
    scan = scans.facts(Manufacturer="GE MEDICAL SYSTEMS", ReconstructionMethod="QCFX", reconstruction=images)
    for method, expected in (("QCFX β 350", PASS), ("QCFX beta=500", FAIL), ("QCFX", NOT_EVALUABLE)):
        assert outcome(replace(scan, profile=replace(scans.PROFILE, method=method)), "REC-03") is expected


@pytest.mark.parametrize(
    ("kernel", "expected", "words"),
    [
        ("XYZ Gauss2.00", PASS, "2 mm filter"),
        ("Gauss2.00", PASS, "2 mm filter"),  # its axes are not said
        ("XY Gauss2.00", FAIL, "2 mm XY filter"),
        ("XY Gauss5.00", FAIL, "5 mm filter"),
    ],
)
def test_filter_when_it_smooths_the_plane_alone_then_it_is_another_filter(kernel, expected, words) -> None:
    found = finding(scans.made_by("PSF+TOF 4i5s", kernel), "REC-04")
    assert (found.outcome, words in found.message) == (expected, True)


@pytest.mark.parametrize(
    ("columns", "pixel_mm", "expected"),
    [(220, 3.34, PASS), (220, 3.36, FAIL), (200, 3.3, FAIL), (220, 5.01, FAIL)],
)
def test_pixel_when_it_differs_from_the_accredited_then_five_hundredths_are_allowed(
    columns, pixel_mm, expected
) -> None:
    assert outcome(scans.facts(Columns=columns, PixelSpacing=(pixel_mm, pixel_mm)), "REC-05") is expected


def test_pixel_when_the_protocol_refuses_it_then_no_register_is_needed_to_say_so() -> None:
    large = scans.facts(WITHOUT_REGISTER, PixelSpacing=(5.5, 5.5))
    assert outcome(large, "REC-05") is FAIL
    assert outcome(WITHOUT_REGISTER, "REC-05") is NOT_EVALUABLE


@pytest.mark.parametrize(
    ("inputs", "expected", "severity"),
    [
        (scans.facts(SoftwareVersions="VG85A"), WARN, "exclude"),
        (scans.facts(ManufacturerModelName="Vision 450"), FAIL, "exclude"),
        # Makers change their names; without the model nothing else tells two scanners of one number apart.
        (scans.facts(Manufacturer="CPS"), WARN, "query"),
        (scans.facts(Manufacturer="CPS", ManufacturerModelName=""), FAIL, "exclude"),
        (scans.facts(SoftwareVersions=""), NOT_EVALUABLE, "query"),
        (scans.registered(software=""), NOT_EVALUABLE, "query"),
        (scans.registered(serial=" 60421 "), PASS, "exclude"),
        (replace(GOOD, registered=None, clearances=None, profile=None), FAIL, "exclude"),
        (WITHOUT_REGISTER, NOT_EVALUABLE, "exclude"),
    ],
)
def test_scanner_when_it_differs_from_the_register_then_it_is_said(inputs, expected, severity) -> None:
    found = finding(inputs, "REC-07")
    assert (found.outcome, found.severity) == (expected, severity)


def _clearance(**changed: object) -> Inputs:
    return replace(GOOD, clearances=(replace(scans.CLEARANCE, **changed),))


@pytest.mark.parametrize(
    ("inputs", "expected", "words"),
    [
        (_clearance(trial=None), PASS, "PET-2026-0001"),
        (_clearance(until_on=scans.SCANNED_ON), PASS, "2 March 2026"),
        (_clearance(from_on=scans.SCANNED_ON), PASS, "cleared"),
        (_clearance(until_on=date(2026, 3, 1)), FAIL, "expired on 1 March 2026"),
        (_clearance(from_on=date(2026, 3, 3)), FAIL, "only from 3 March 2026"),
        (
            _clearance(ended_on=scans.SCANNED_ON, ending="SUSPENDED", reason="failed QC"),
            FAIL,
            "suspended since 2 March 2026",
        ),
        (_clearance(ended_on=date(2026, 3, 3), ending="SUSPENDED"), PASS, "cleared"),
        (_clearance(trial="TRIAL-2"), FAIL, "TRIAL-1 (cleared for another trial only)"),
        (_clearance(tracer="Ga-68"), FAIL, "no clearance"),
        (_clearance(reconstruction="OSEM 5 mm"), FAIL, "no clearance"),
        (_clearance(standard="earl1_18f"), FAIL, "cleared under EARL 1 only, not under EARL 2"),
        (replace(_clearance(standard="earl1_18f"), standard=None), PASS, "cleared"),
        (replace(GOOD, clearances=()), FAIL, "no clearance"),
        (scans.facts(DeviceSerialNumber="99999"), NOT_EVALUABLE, "which scanner"),
        (replace(GOOD, profile=None), NOT_EVALUABLE, "which reconstruction"),
        (WITHOUT_REGISTER, NOT_EVALUABLE, "no register"),
        (replace(GOOD, protocol=None), PASS, "cleared"),
        (replace(GOOD, protocol=None, clearances=()), NOT_EVALUABLE, "no protocol"),
    ],
)
def test_clearance_when_held_against_the_scans_own_day_then_it_decides(inputs, expected, words) -> None:
    found = finding(inputs, "REC-08")
    assert found.outcome is expected
    assert words in found.message


def test_clearance_when_the_dates_were_moved_then_it_cannot_be_told() -> None:
    moved = replace(scans.facts(LongitudinalTemporalInformationModified="MODIFIED"), scanned_on=None)
    found = finding(moved, "REC-08")
    assert (found.outcome, found.reason) == (NOT_EVALUABLE, "DATES-SHIFTED")


def test_clearance_when_it_is_asked_for_then_the_standard_is_named_and_no_other_trial() -> None:
    found = finding(_clearance(trial="TRIAL-2"), "REC-08")
    assert found.expected == "a clearance for F-18, PSF+TOF 2 mm, EARL 2, TRIAL-1"
    assert "TRIAL-2" not in found.message


def test_clearance_when_the_headers_do_not_name_the_scanner_then_the_registers_only_one_clears_nobody() -> None:
    inputs = scans.facts(DeviceSerialNumber="")
    found = finding(inputs, "REC-08")
    assert (found.outcome, "which scanner" in found.message) == (NOT_EVALUABLE, True)
    assert clearance_on(inputs) is None


def test_clearance_when_no_series_was_chosen_then_the_site_is_not_asked_for_dates() -> None:
    found = finding(NO_SERIES, "REC-08")
    assert (found.outcome, found.reason) == (NOT_EVALUABLE, "ING-09")


def test_weight_when_it_is_one_kilogram_apart_then_it_passes_in_whatever_figures_it_is_written() -> None:
    assert (
        outcome(replace(scans.values(weight_kg=32.7), facts=replace(GOOD.facts, PatientWeight=31.7)), "PAT-01") is PASS
    )
    assert (
        outcome(replace(scans.values(weight_kg=32.8), facts=replace(GOOD.facts, PatientWeight=31.7)), "PAT-01") is FAIL
    )


def test_dates_when_midnight_lies_between_injection_and_scan_then_that_is_said() -> None:
    the_day_before = GOOD.facts.first_frame_at - timedelta(days=1)
    late = replace(
        GOOD,
        facts=replace(
            GOOD.facts, injections=(replace(GOOD.facts.injection, RadiopharmaceuticalStartDateTime="20260301"),)
        ),
        suv=replace(scans.SUV, administration_time=the_day_before),
    )
    found = finding(late, "AD-01")
    assert (found.outcome, found.message) == (PASS, "Midnight lies between injection and scan.")


@pytest.mark.parametrize(("limit", "rule_id"), [("pixel_mm", "REC-05"), ("slice_mm", "REC-06")])
def test_size_when_it_is_accredited_but_outside_the_protocol_then_the_site_is_not_sent_to_what_it_did(
    limit, rule_id
) -> None:
    document = protocols.template("lymphoma")
    document["limits"][limit]["warn_high"] = 2.0
    found = finding(replace(GOOD, protocol=protocols.parse(document)), rule_id)
    assert found.outcome is WARN
    assert "as the protocol asks" in found.next_step
    assert "accredited" not in found.next_step


def test_arrival_when_it_cannot_be_told_then_whoever_can_take_the_step_is_named() -> None:
    silent = replace(
        GOOD,
        facts=replace(
            GOOD.facts, series=2, NumberOfSlices=None, positions_mm=(), is_axial=None, ImageType=(), is_volume=None
        ),
    )
    both = [
        *conformance.evaluate(silent),
        *conformance.evaluate(replace(NO_SERIES, facts=replace(NO_SERIES.facts, series=2))),
    ]
    asked = [one for one in both if one.id.startswith("ING") and one.outcome is NOT_EVALUABLE and not one.reason]
    assert {one.id for one in asked} == {"ING-04", "ING-05", "ING-08", "ING-09", "ING-11", "ING-12"}
    assert {one.owner for one in asked} == {Owner.SITE}


def test_dates_when_the_suv_is_refused_for_them_then_the_scan_is_excluded() -> None:
    refused = scans.with_suv(
        factor_g_per_bq=None, refused=AnalysisRefused("AD-01", "Injection and scan are 9 days apart.")
    )
    found = finding(refused, "AD-01")
    assert (found.outcome, found.severity) == (FAIL, "exclude")


def test_dates_when_only_the_time_of_day_is_written_then_that_is_for_information() -> None:
    found = finding(scans.injected(RadiopharmaceuticalStartDateTime=None), "AD-01")
    assert (found.outcome, found.severity) == (NOT_EVALUABLE, "info")


def test_suv_when_refused_then_the_code_is_there_for_programs() -> None:
    assert finding(scans.REFUSED, "SUV-01").reason == "SUV-UNITS"


@pytest.mark.parametrize("rule_id", ["TIM-01", "INJ-01", "INJ-03", "INJ-04", "PREP-01", "PREP-02", "ACQ-01", "ACQ-03"])
def test_rule_when_there_is_no_protocol_then_it_cannot_tell(rule_id) -> None:
    found = finding(WITHOUT_PROTOCOL, rule_id)
    assert found.outcome is NOT_EVALUABLE
    assert "protocol" in found.message


def test_rule_when_the_protocol_does_not_ask_then_it_is_silent() -> None:
    protocol = replace(GOOD.protocol, limits={})
    asked = {one.id for one in conformance.evaluate(replace(GOOD, protocol=protocol))}
    assert set(RULES) - asked == {"TIM-01", "INJ-03", "INJ-04", "PREP-01", "PREP-02", "ACQ-01", "ACQ-03"}
