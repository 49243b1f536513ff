"""What is kept of a result beside its verdict."""

from __future__ import annotations

from typing import Any

import pytest

from phantoms.suv.catalogue import CATALOGUE
from qc.conformance import RULES
from qc.deviations import BY_EYE, CAUSES, summary_of, values_of


def finding(rule: str, outcome: str, severity: str = "query") -> dict[str, Any]:
    return {"id": rule, "outcome": outcome, "severity": severity}


def test_summary_when_rules_raise_then_the_worst_outcome_of_each_is_kept_and_information_never():
    findings = [
        finding("TIM-01", "WARN"),
        finding("TIM-01", "FAIL"),
        finding("PREP-01", "NOT_EVALUABLE"),
        finding("REC-08", "PASS", "exclude"),
        finding("ACQ-05", "WARN", "info"),
    ]
    result = {"findings": findings, "conformance": {"values": {"uptake_min": 82.0}}}
    assert summary_of(result) == {"uptake_min": 82.0, "raised": {"TIM-01": "FAIL", "PREP-01": "NOT_EVALUABLE"}}


@pytest.mark.parametrize("result", [{}, {"findings": []}, {"conformance": None}, {"conformance": {"values": None}}])
def test_summary_when_nothing_was_judged_then_nothing_is_raised_and_no_uptake_is_made_up(result):
    assert summary_of(result) == {"uptake_min": None, "raised": {}}
    assert values_of(result) == {}


def test_causes_when_rules_are_added_then_each_says_in_a_word_what_deviates():
    # Any code of the SUV: what would refuse it only warns where the SUV does not hang on it.
    assert set(CAUSES) == {*RULES, BY_EYE, *CATALOGUE}
