"""The moves of a case, held against a second table that was written from the requirement."""

from __future__ import annotations

import pytest

from accreditation.workflow import CASE, CLOSED, IN_FORCE, CaseState, Standing
from corelab.errors import InvalidMove, NotAllowed, Refused

SITE, SYSTEM = ("site_user",), ()
STAFF, PHYSICIST, APPROVER = ("technician", "physicist"), ("physicist",), ("approver",)
JUDGES = ("physicist", "approver")
#: event, from, to, who beside the system, needs a reason, is signed.
REQUIRED = [
    ("submit", "DRAFT", "SUBMITTED", SITE, False, False),
    ("submit", "INCOMPLETE", "SUBMITTED", SITE, False, False),
    ("receive", "SUBMITTED", "RECEIPT_CHECK", STAFF, False, False),
    ("incomplete", "RECEIPT_CHECK", "INCOMPLETE", STAFF, True, False),
    ("accept", "RECEIPT_CHECK", "ANALYSIS_RUNNING", STAFF, False, False),
    ("collect", "ANALYSIS_RUNNING", "PHYSICIST_REVIEW", SYSTEM, False, False),
    ("propose", "PHYSICIST_REVIEW", "PASS_RECOMMENDED", PHYSICIST, False, True),
    ("require_action", "PHYSICIST_REVIEW", "CORRECTIVE_ACTION_REQUIRED", PHYSICIST, True, True),
    ("fail", "PHYSICIST_REVIEW", "FAIL", PHYSICIST, True, True),
    ("resubmit", "CORRECTIVE_ACTION_REQUIRED", "RESUBMITTED", SITE, False, False),
    ("lapse", "CORRECTIVE_ACTION_REQUIRED", "PHYSICIST_REVIEW", SYSTEM, True, False),
    ("analyse", "RESUBMITTED", "ANALYSIS_RUNNING", SYSTEM, False, False),
    ("analyse", "REACCREDITATION", "ANALYSIS_RUNNING", SYSTEM, False, False),
    ("take", "PASS_RECOMMENDED", "SECOND_REVIEW", APPROVER, False, False),
    ("give_back", "SECOND_REVIEW", "PASS_RECOMMENDED", APPROVER, False, False),
    ("return", "SECOND_REVIEW", "PHYSICIST_REVIEW", APPROVER, True, False),
    ("approve", "SECOND_REVIEW", "SIGNED", APPROVER, False, True),
    ("refuse", "SECOND_REVIEW", "FAIL", APPROVER, True, True),
    ("issue", "SIGNED", "ACCREDITED", SYSTEM, False, False),
    ("remind", "ACCREDITED", "DUE_SOON", SYSTEM, False, False),
    ("expire", "ACCREDITED", "EXPIRED", SYSTEM, False, False),
    ("expire", "DUE_SOON", "EXPIRED", SYSTEM, False, False),
    ("expire", "SUSPENDED", "EXPIRED", SYSTEM, False, False),
    ("suspend", "ACCREDITED", "SUSPENDED", JUDGES, True, False),
    ("suspend", "DUE_SOON", "SUSPENDED", JUDGES, True, False),
    ("reinstate", "SUSPENDED", "ACCREDITED", APPROVER, True, True),
    ("reaccredit", "DUE_SOON", "REACCREDITATION", ("site_user", "physicist"), True, False),
    ("reaccredit", "EXPIRED", "REACCREDITATION", ("site_user", "physicist"), True, False),
    ("reaccredit", "SUSPENDED", "REACCREDITATION", ("site_user", "physicist"), True, False),
    *(
        ("withdraw", state, "WITHDRAWN", ("site_user", *JUDGES), True, False)
        for state in (
            "DRAFT",
            "SUBMITTED",
            "RECEIPT_CHECK",
            "INCOMPLETE",
            "ANALYSIS_RUNNING",
            "PHYSICIST_REVIEW",
            "CORRECTIVE_ACTION_REQUIRED",
            "PASS_RECOMMENDED",
            "SECOND_REVIEW",
            "ACCREDITED",
            "DUE_SOON",
            "EXPIRED",
            "SUSPENDED",
        )
    ),
]
#: What each guarded move is refused for, and a standing that it is refused in.
GUARDED = {
    "propose": [{"lacks": ("Calibration",)}, {"own_part": "You sent this."}],
    "require_action": [{"attempt": 3, "attempts_allowed": 3}, {"attempt": 5, "attempts_allowed": 3}],
    "take": [{"own_part": "You proposed this."}],
    "approve": [{"lacks": ("Calibration",)}, {"own_part": "You proposed this."}],
    "refuse": [{"own_part": "You proposed this."}],
    "reinstate": [{"lacks": ("Calibration",)}, {"own_part": "You reviewed this."}, {"is_in_force": False}],
}
ROLES = ["site_user", "technician", "physicist", "approver", "trial_manager", "monitor", "auditor", "administrator"]
EVENTS = sorted({event for event, *_ in REQUIRED})


def test_table_when_compared_with_the_requirement_then_every_row_is_there_and_no_other():
    rows = {(m.event, str(m.source), str(m.target), tuple(sorted(m.roles)), m.reason, m.signature) for m in CASE}
    assert rows == {(*row[:3], tuple(sorted(row[3])), *row[4:]) for row in REQUIRED}


def test_find_when_the_requirement_has_no_such_row_then_it_is_refused():
    allowed = {(event, source) for event, source, *_ in REQUIRED}
    refusals = 0
    for event in EVENTS:
        for state in CaseState:
            if (event, str(state)) not in allowed:
                refusals += 1
                with pytest.raises(InvalidMove):
                    CASE.find(event, state)
    assert refusals == len(EVENTS) * len(CaseState) - len(REQUIRED)


@pytest.mark.parametrize(("event", "source", "target", "who", "reason", "signed"), REQUIRED)
def test_check_when_each_role_tries_then_only_the_required_ones_may(event, source, target, who, reason, signed):
    move = CASE.find(event, source)
    for role in ROLES:
        if role in who:
            move.check(Standing(), roles={role}, reason="because")
        else:
            with pytest.raises(NotAllowed):
                move.check(Standing(), roles={role}, reason="because")
    move.check(Standing(), roles=None, reason="because")


@pytest.mark.parametrize(("event", "source", "target", "who", "reason", "signed"), REQUIRED)
def test_check_when_no_reason_is_given_then_only_moves_that_need_one_refuse(event, source, target, who, reason, signed):
    move = CASE.find(event, source)
    if reason:
        with pytest.raises(Refused, match="reason"):
            move.check(Standing(), roles=None, reason=" ")
    else:
        move.check(Standing(), roles=None)


@pytest.mark.parametrize("event", EVENTS)
def test_guards_when_one_thing_stands_in_the_way_then_it_is_said_and_nothing_else_is_guarded(event):
    moves = [move for move in CASE if move.event == event]
    for move in moves:
        move.check(Standing(), roles=None, reason="because")
        for against in GUARDED.get(event, ()):
            with pytest.raises(Refused) as refused:
                move.check(Standing(**against), roles=None, reason="because")
            assert refused.value.message.endswith(".")
    if event not in GUARDED:
        assert all(move.guards == () for move in moves)


def test_attempts_when_the_last_one_failed_then_another_needs_its_own_reason():
    move = CASE.find("require_action", "PHYSICIST_REVIEW")
    move.check(Standing(attempt=2, attempts_allowed=3), roles=None, reason="x")
    with pytest.raises(Refused, match="attempt 3 of 3"):
        move.check(Standing(attempt=3, attempts_allowed=3, more_attempts_reason=" "), roles=None, reason="x")
    move.check(Standing(attempt=3, attempts_allowed=3, more_attempts_reason="New detector."), roles=None, reason="x")


def test_closed_when_the_table_is_read_then_nothing_leads_out_of_these_states():
    assert {move.source for move in CASE}.isdisjoint(CLOSED)
    assert {state for state in CaseState if not any(move.source == state for move in CASE)} == CLOSED


def test_in_force_when_the_table_is_read_then_only_an_issue_or_a_reinstatement_leads_there_from_outside():
    entrances = {move.event for move in CASE if move.target in IN_FORCE and move.source not in IN_FORCE}
    assert entrances == {"issue", "reinstate"}


@pytest.mark.django_db
def test_state_column_when_a_state_is_unknown_then_the_database_refuses_it():
    from django.db import IntegrityError

    from tests.accreditation.scenes import Scene

    case = Scene().start()
    with pytest.raises(IntegrityError):
        type(case).objects.filter(pk=case.pk).update(state="ELSEWHERE")
