"""Where a case stands, in words: every state has them, and the stations are passed in order."""

from __future__ import annotations

import datetime
from types import SimpleNamespace

import pytest

from accreditation.status import case_clearance, certificate_words, status_for_lab, status_for_site, steps_of
from accreditation.workflow import CLOSED, STANDING
from accreditation.workflow import CaseState as C
from corelab.templatetags.ui import STATES

TODAY = datetime.date(2026, 3, 10)


def case(state: C, attempt: int = 1, **fields: object) -> SimpleNamespace:
    return SimpleNamespace(state=state, attempt=attempt, **({"valid_until": datetime.date(2026, 12, 31)} | fields))


@pytest.mark.parametrize("state", C)
def test_status_when_a_case_stands_anywhere_then_site_and_lab_have_words_for_it(state):
    for status in (status_for_site(case(state)), status_for_lab(case(state))):
        assert status.chip in STATES
        assert status.words


@pytest.mark.parametrize("state", sorted(set(C) - CLOSED))
def test_steps_when_a_case_stands_anywhere_then_one_is_here_and_those_before_are_done(state):
    steps = steps_of(case(state))
    (here,) = (at for at, step in enumerate(steps) if step.is_current)
    assert all(step.is_done for step in steps[:here])
    assert not any(step.is_done for step in steps[here + 1 :])


def test_steps_when_a_correction_was_asked_for_then_it_stays_a_station():
    titles = [step.title for step in steps_of(case(C.ANALYSIS_RUNNING))]
    assert "Corrective action" not in titles
    again = steps_of(case(C.ANALYSIS_RUNNING, attempt=2))
    assert next(step for step in again if step.title == "Corrective action").is_done
    assert next(step for step in again if step.is_current).title == "Evidence"


@pytest.mark.parametrize("state", sorted(CLOSED))
def test_steps_when_a_case_has_ended_then_there_are_none(state):
    assert steps_of(case(state)) == []


def test_clearance_when_a_case_is_still_worked_on_then_it_says_nothing():
    assert {state for state in C if case_clearance(case(state), TODAY) is not None} == STANDING
    assert not STANDING & CLOSED


@pytest.mark.parametrize(
    ("ended", "tint", "words"),
    [
        ({}, "pass", "Cleared to 31 Dec 2026"),
        ({"suspended_on": TODAY}, "fail", "Suspended 10 Mar 2026"),
        ({"replaced_by_id": "another"}, "", "Replaced"),
        ({"suspended_on": TODAY, "withdrawn_on": TODAY}, "fail", "Withdrawn 10 Mar 2026"),
        ({"valid_until": datetime.date(2026, 3, 9)}, "fail", "Expired 9 Mar 2026"),
        ({"valid_until": datetime.date(2026, 3, 11)}, "warn", "Ends in 1 day"),
        ({"valid_until": datetime.date(2026, 5, 9)}, "warn", "Ends in 60 days"),
        ({"valid_until": datetime.date(2026, 5, 10)}, "pass", "Cleared to 10 May 2026"),
    ],
)
def test_certificate_when_it_ended_then_the_graver_end_is_said(ended, tint, words):
    fields = {"suspended_on": None, "withdrawn_on": None, "replaced_by_id": None}
    fields |= {"valid_until": datetime.date(2026, 12, 31)} | ended
    found = certificate_words(SimpleNamespace(**fields), TODAY)
    assert (found.tint, found.words) == (tint, words)
