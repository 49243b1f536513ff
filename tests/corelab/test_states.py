"""Move tables refuse what they do not name."""

from __future__ import annotations

import pytest

from corelab.errors import InvalidMove, NotAllowed, Refused
from corelab.states import Move, MoveTable

TABLE = MoveTable(
    "thing",
    [
        Move(event="send", source="DRAFT", target="SENT", roles=frozenset({"site_user"})),
        Move(event="drop", source="SENT", target="GONE", roles=frozenset({"site_user"}), reason=True),
        Move(event="seal", source="SENT", target="SEALED", guards=(lambda row: "" if row else "It is empty.",)),
    ],
)


def test_find_when_the_table_has_no_row_then_the_state_is_said_in_words():
    with pytest.raises(InvalidMove, match="it is draft"):
        TABLE.find("drop", "DRAFT")


def test_check_when_the_role_is_another_then_not_allowed():
    with pytest.raises(NotAllowed):
        TABLE.find("send", "DRAFT").check(None, roles={"monitor"})


def test_check_when_only_the_system_may_then_no_person_may():
    with pytest.raises(NotAllowed):
        TABLE.find("seal", "SENT").check(True, roles={"administrator"})
    TABLE.find("seal", "SENT").check(True, roles=None)


def test_check_when_a_reason_is_needed_then_blanks_are_none():
    with pytest.raises(Refused, match="Say why"):
        TABLE.find("drop", "SENT").check(None, roles={"site_user"}, reason="  ")


def test_check_when_a_guard_says_no_then_its_sentence_is_shown():
    with pytest.raises(Refused, match="It is empty"):
        TABLE.find("seal", "SENT").check(False, roles=None)


def test_table_when_two_rows_say_the_same_then_it_is_a_mistake():
    row = Move(event="send", source="DRAFT", target="SENT")
    with pytest.raises(ValueError, match="two rows"):
        MoveTable("thing", [row, row])
