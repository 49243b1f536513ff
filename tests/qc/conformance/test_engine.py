"""How rules are entered, what one needs of another, and how their answers make one verdict."""

from __future__ import annotations

from dataclasses import replace

import pytest

from phantoms.results import Outcome, counted
from qc import conformance
from qc.conformance import ALL_KINDS, PATIENT, RULES, engine
from qc.conformance.engine import passed
from tests.qc.conformance import scans
from tests.qc.conformance.scans import GOOD, NO_SERIES, NOTHING, WITHOUT_REGISTER

FAIL, WARN, PASS, NOT_EVALUABLE = Outcome.FAIL, Outcome.WARN, Outcome.PASS, Outcome.NOT_EVALUABLE


@pytest.fixture
def entered(monkeypatch):
    """Return how a rule is entered, and forget it after the test."""
    monkeypatch.setattr(engine, "RULES", dict(RULES))

    def enter(rule_id, check=lambda inputs: passed("It holds."), **given):
        about = {"title": "It holds", "severity": "query", "source": "a test"} | given
        return engine.rule(rule_id, **about)(check)

    return enter


def test_rule_when_its_id_is_taken_then_it_is_not_entered(entered) -> None:
    with pytest.raises(ValueError, match="TIM-01 is the id of another rule"):
        entered("TIM-01")


def test_rule_when_it_needs_what_is_no_rule_then_it_is_not_entered(entered) -> None:
    with pytest.raises(ValueError, match="needs OLD-01, which is no rule"):
        entered("NEW-01", needs=("OLD-01",))


def test_rule_when_it_applies_where_its_need_does_not_then_it_is_not_entered(entered) -> None:
    with pytest.raises(ValueError, match="does not apply to every kind"):
        entered("NEW-01", needs=("INJ-05",), applies_to=ALL_KINDS)


def test_rule_when_its_severity_is_none_then_it_is_not_entered(entered) -> None:
    with pytest.raises(ValueError, match="no severity"):
        entered("NEW-01", severity="grave")


def test_rule_when_entered_then_it_is_answered(entered) -> None:
    entered("NEW-01", applies_to=PATIENT)
    (found,) = [one for one in engine.evaluate(GOOD) if one.id == "NEW-01"]
    assert (found.outcome, found.source) == (PASS, "a test")


@pytest.mark.parametrize("rule_id", sorted(rule_id for rule_id, rule in RULES.items() if rule.needs))
def test_rule_when_what_it_needs_did_not_pass_then_it_cannot_tell_and_says_why(rule_id) -> None:
    (found,) = [one for one in conformance.evaluate(NOTHING) if one.id == rule_id]
    assert found.outcome is NOT_EVALUABLE
    assert found.reason in RULES[rule_id].needs
    assert RULES[found.reason].title in found.message


def test_rule_when_what_it_needs_only_warned_then_it_is_asked() -> None:
    twice = scans.injected(RadiopharmaceuticalStartTime="093100")
    by_id = {one.id: one.outcome for one in conformance.evaluate(twice)}
    assert (by_id["INJ-05"], by_id["TIM-01"]) == (WARN, PASS)


def test_findings_when_returned_then_they_are_in_the_order_of_their_ids() -> None:
    ids = [one.id for one in conformance.evaluate(GOOD)]
    assert ids == sorted(ids)


def test_warnings_of_the_suv_when_a_rule_says_them_then_they_are_named() -> None:
    said = conformance.spoken_for(conformance.evaluate(GOOD))
    assert {"AD-01", "SUV-DERIVED", "SUV-UPTAKE", "SUV-TREF-CONFLICT"} <= said
    assert "SUV-INTERCEPT" not in said


# --- one verdict ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("severity", "outcome", "expected"),
    [
        ("exclude", FAIL, FAIL),
        ("exclude", NOT_EVALUABLE, NOT_EVALUABLE),
        ("exclude", WARN, WARN),
        ("exclude", PASS, PASS),
        ("query", FAIL, WARN),
        ("query", NOT_EVALUABLE, WARN),
        ("query", WARN, WARN),
        ("query", PASS, PASS),
        ("query", Outcome.ERROR, Outcome.ERROR),
        ("info", FAIL, None),
        ("info", NOT_EVALUABLE, None),
        ("info", PASS, None),
    ],
)
def test_outcome_when_it_counts_for_the_whole_then_the_severity_says_how_much(severity, outcome, expected) -> None:
    assert counted(outcome, severity) is expected


@pytest.mark.parametrize(
    ("inputs", "expected"),
    [
        (GOOD, PASS),
        (scans.injected(RadiopharmaceuticalStartDateTime=None), PASS),  # for information only
        (scans.values(glucose_mmol_l=None), WARN),  # a query that cannot be told
        (scans.facts(is_axial=False), WARN),  # a query that fails
        (scans.waited(70), WARN),
        (replace(GOOD, scanned_on=None), NOT_EVALUABLE),  # a rule that decides cannot tell
        (WITHOUT_REGISTER, NOT_EVALUABLE),
        (scans.waited(82), FAIL),
        (scans.facts(WITHOUT_REGISTER, PatientWeight=0.0), FAIL),  # a fail is not hidden by what cannot be told
        (NO_SERIES, NOT_EVALUABLE),
        (NOTHING, NOT_EVALUABLE),
    ],
)
def test_verdict_when_rules_answer_then_the_worst_that_counts_is_it(inputs, expected) -> None:
    assert conformance.verdict(conformance.evaluate(inputs)) is expected


# --- phantoms ---------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", sorted(ALL_KINDS - PATIENT))
def test_phantom_when_judged_then_only_rules_for_it_are_asked(kind) -> None:
    asked = {one.id for one in conformance.evaluate(replace(GOOD, kind=kind))}
    assert {"REC-03", "REC-04", "REC-07", "ING-06"} <= asked
    assert not {"TIM-01", "PAT-01", "REC-08", "INJ-03", "PREP-01"} & asked


@pytest.mark.parametrize(
    "inputs",
    [
        scans.facts(patients=2),
        scans.facts(is_lossy=True),
        scans.facts(DeviceSerialNumber="99999"),
        scans.made_by("OSEM3D 3i24s"),
        WITHOUT_REGISTER,
        NO_SERIES,
    ],
    ids=["two people", "lossy", "serial", "reconstruction", "no register", "no series"],
)
def test_phantom_when_a_rule_finds_fault_then_it_never_fails_by_it(inputs) -> None:
    found = conformance.evaluate(replace(inputs, kind="cylinder"))
    assert conformance.verdict(found) in {PASS, WARN}
    assert {one.severity for one in found} <= {"query", "info"}


def test_phantom_when_there_is_nothing_to_compare_with_then_it_passes() -> None:
    assert conformance.verdict(conformance.evaluate(replace(WITHOUT_REGISTER, kind="nema_iq"))) is PASS
