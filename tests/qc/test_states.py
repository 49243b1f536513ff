"""The moves of a submission, held against a second table that was written from the requirement."""

from __future__ import annotations

import pytest

from corelab.errors import InvalidMove, NotAllowed, Refused
from qc.states import FINAL, QUERY, SUBMISSION, QueryState, SubmissionState
from tests import factories

SITE, STAFF, PHYSICIST, SYSTEM = "site_user", ("technician", "physicist"), "physicist", None
#: event, from, to, who.
REQUIRED = [
    ("send", "DRAFT", "CHECKING", SITE),
    ("return", "CHECKING", "DRAFT", SYSTEM),
    ("receive", "CHECKING", "SENT", SYSTEM),
    ("analyse", "SENT", "ANALYSING", SYSTEM),
    ("analyse", "ANALYSING", "ANALYSING", SYSTEM),
    ("measured", "ANALYSING", "AWAITING_REVIEW", SYSTEM),
    ("preview", "ANALYSING", "PREVIEWED", SYSTEM),
    ("repeat", "AWAITING_REVIEW", "SENT", STAFF),
    ("claim", "AWAITING_REVIEW", "IN_REVIEW", PHYSICIST),
    ("unclaim", "IN_REVIEW", "AWAITING_REVIEW", PHYSICIST),
    ("choose", "IN_REVIEW", "SENT", PHYSICIST),
    ("release", "IN_REVIEW", "RELEASED", PHYSICIST),
    ("hold", "CHECKING", "HELD", SYSTEM),
    ("hold", "SENT", "HELD", SYSTEM),
    ("hold", "ANALYSING", "HELD", SYSTEM),
    ("recheck", "HELD", "CHECKING", STAFF),
    ("withdraw", "DRAFT", "WITHDRAWN", SITE),
    ("withdraw", "SENT", "WITHDRAWN", SITE),
    ("withdraw", "ANALYSING", "WITHDRAWN", SITE),
    ("withdraw", "AWAITING_REVIEW", "WITHDRAWN", SITE),
    ("withdraw", "HELD", "WITHDRAWN", SITE),
    ("replace", "SENT", "REPLACED", SITE),
    ("replace", "ANALYSING", "REPLACED", SITE),
    ("replace", "AWAITING_REVIEW", "REPLACED", SITE),
    ("replace", "HELD", "REPLACED", SITE),
]
WITH_REASON = {"repeat", "choose", "recheck", "withdraw", "hold"}
SIGNED = {"choose", "release"}
ROLES = ["site_user", "technician", "physicist", "approver", "trial_manager", "monitor", "auditor", "administrator"]


def test_table_when_compared_with_the_requirement_then_every_row_is_there_and_no_other():
    rows = {(move.event, str(move.source), str(move.target)) for move in SUBMISSION}
    assert rows == {(event, source, target) for event, source, target, _ in REQUIRED}


def test_find_when_the_requirement_has_no_such_row_then_it_is_refused():
    allowed = {(event, source) for event, source, _, _ in REQUIRED}
    for event in {event for event, *_ in REQUIRED}:
        for state in SubmissionState:
            if (event, str(state)) not in allowed:
                with pytest.raises(InvalidMove):
                    SUBMISSION.find(event, state)


@pytest.mark.parametrize(("event", "source", "target", "who"), REQUIRED)
def test_check_when_each_role_tries_then_only_the_required_ones_may(event, source, target, who):
    move = SUBMISSION.find(event, source)
    row = type("Row", (), {"is_dry_run": event == "preview"})()
    allowed = () if who is None else (who,) if isinstance(who, str) else who
    for role in ROLES:
        if role in allowed:
            move.check(row, roles={role}, reason="because")
        else:
            with pytest.raises(NotAllowed):
                move.check(row, roles={role}, reason="because")


@pytest.mark.parametrize("event", sorted({event for event, *_ in REQUIRED}))
def test_check_when_no_reason_is_given_then_only_moves_that_need_one_refuse(event):
    source = next(source for name, source, *_ in REQUIRED if name == event)
    row = type("Row", (), {"is_dry_run": event == "preview"})()
    move = SUBMISSION.find(event, source)
    if event in WITH_REASON:
        with pytest.raises(Refused, match="reason"):
            move.check(row, roles=None, reason=" ")
    else:
        move.check(row, roles=None)


def test_table_when_a_move_decides_about_a_result_then_it_is_signed():
    assert {move.event for move in SUBMISSION if move.signature} == SIGNED


def test_measured_when_it_is_a_dry_run_then_it_is_refused_and_a_preview_is_not():
    dry, real = (type("Row", (), {"is_dry_run": flag})() for flag in (True, False))
    with pytest.raises(Refused):
        SUBMISSION.find("measured", "ANALYSING").check(dry, roles=None)
    with pytest.raises(Refused):
        SUBMISSION.find("preview", "ANALYSING").check(real, roles=None)


def test_final_states_when_the_table_is_read_then_nothing_leads_out_of_them():
    assert {move.source for move in SUBMISSION}.isdisjoint(FINAL)


@pytest.mark.django_db
def test_state_column_when_a_state_is_unknown_then_the_database_refuses_it():
    from django.db import IntegrityError

    with pytest.raises(IntegrityError):
        factories.submission(state="ELSEWHERE")


#: A query: event, from, to, who, whether it needs a reason.
REQUIRED_QUERY = [
    ("ask", "DRAFT", "OPEN", STAFF, False),
    ("drop", "DRAFT", "CLOSED", STAFF, True),
    ("answer", "OPEN", "SITE_RESPONDED", SITE, False),
    ("answer", "REOPENED", "SITE_RESPONDED", SITE, False),
    ("resubmit", "OPEN", "SITE_RESPONDED", SYSTEM, False),
    ("resubmit", "REOPENED", "SITE_RESPONDED", SYSTEM, False),
    ("reopen", "SITE_RESPONDED", "REOPENED", STAFF, True),
    ("close", "OPEN", "CLOSED", STAFF, True),
    ("close", "SITE_RESPONDED", "CLOSED", STAFF, True),
    ("close", "REOPENED", "CLOSED", STAFF, True),
    ("give_up", "OPEN", "UNRESOLVABLE", STAFF, True),
    ("give_up", "SITE_RESPONDED", "UNRESOLVABLE", STAFF, True),
    ("give_up", "REOPENED", "UNRESOLVABLE", STAFF, True),
]


def test_query_table_when_compared_with_the_requirement_then_every_row_is_there_and_no_other():
    rows = {(move.event, str(move.source), str(move.target), move.reason) for move in QUERY}
    assert rows == {(event, source, target, reason) for event, source, target, _, reason in REQUIRED_QUERY}
    allowed = {(event, source) for event, source, *_ in REQUIRED_QUERY}
    for event in {event for event, *_ in REQUIRED_QUERY}:
        for state in QueryState:
            if (event, str(state)) not in allowed:
                with pytest.raises(InvalidMove):
                    QUERY.find(event, state)


@pytest.mark.parametrize(("event", "source", "target", "who", "reason"), REQUIRED_QUERY)
def test_query_check_when_each_role_tries_then_only_the_required_ones_may(event, source, target, who, reason):
    move = QUERY.find(event, source)
    allowed = () if who is None else (who,) if isinstance(who, str) else who
    for role in ROLES:
        if role in allowed:
            move.check(None, roles={role}, reason="because")
        else:
            with pytest.raises(NotAllowed):
                move.check(None, roles={role}, reason="because")
