"""The audit chain: complete, in the same transaction, and refused any change by the database."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest
from django.core.management import call_command
from django.db import Error, connection, transaction

from corelab import audit
from corelab.models import AuditEvent, Site

pytestmark = pytest.mark.django_db

audit.catalogue({"test.happen": "Something happened in a test."})


@pytest.fixture
def site() -> Site:
    return Site.objects.create(code="north", name="Site North")


@pytest.fixture
def three_rows(site):
    with audit.acting(name="system: test"):
        return [audit.record("test.happen", site, after={"number": number}) for number in range(3)]


def test_record_when_rows_follow_then_each_hash_covers_the_one_before(three_rows):
    first, second, third = three_rows
    assert first.previous_hash == audit.FIRST_HASH
    assert (second.previous_hash, third.previous_hash) == (first.hash, second.hash)
    assert audit.verify() == audit.Verification(rows=3, intact=True, first_break=None)


@pytest.mark.parametrize(
    "statement", ["UPDATE corelab_auditevent SET reason = 'other'", "DELETE FROM corelab_auditevent"]
)
def test_database_when_a_row_is_to_change_then_it_refuses(three_rows, statement):
    with pytest.raises(Error, match="for ever"), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(statement)
    assert AuditEvent.objects.count() == 3


def _without_triggers(statement: str) -> None:
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute("ALTER TABLE corelab_auditevent DISABLE TRIGGER USER")
            cursor.execute(statement)
            cursor.execute("ALTER TABLE corelab_auditevent ENABLE TRIGGER USER")
        else:
            cursor.execute("DROP TRIGGER audit_no_update")
            cursor.execute("DROP TRIGGER audit_no_delete")
            cursor.execute(statement)


@pytest.mark.parametrize(
    ("statement", "first_break"),
    [
        ("UPDATE corelab_auditevent SET reason = 'other' WHERE sequence = 2", 2),
        ("UPDATE corelab_auditevent SET actor_name = 'nobody' WHERE sequence = 1", 1),
        ("DELETE FROM corelab_auditevent WHERE sequence = 2", 3),
        ("DELETE FROM corelab_auditevent WHERE sequence = 3", 3),
    ],
    ids=["changed", "other actor", "one gone", "last gone"],
)
def test_verify_when_somebody_went_past_the_triggers_then_the_break_is_found(three_rows, statement, first_break):
    _without_triggers(statement)
    found = audit.verify()
    assert (found.intact, found.first_break) == (False, first_break)


def test_verify_when_a_row_came_from_before_the_first_then_the_break_is_found(three_rows):
    _without_triggers("UPDATE corelab_auditevent SET sequence = 0 WHERE sequence = 1")
    assert not audit.verify().intact


def test_verify_when_rows_are_appended_during_the_walk_then_they_are_walked_and_nothing_is_called_broken(
    three_rows, site, monkeypatch
):
    """The product goes on working while somebody walks along the chain."""
    content, appended = audit._content, []

    def appended_meanwhile(event):
        found = content(event)
        if event.sequence == 3 and not appended:
            appended.append(True)
            with audit.acting(name="system: test"):
                audit.record("test.happen", site, after={"number": 4})
        return found

    rows_as_read = list(AuditEvent.objects.order_by("sequence"))
    assert len(rows_as_read) == 3
    monkeypatch.setattr(audit, "_content", appended_meanwhile)
    assert audit.verify() == audit.Verification(rows=4, intact=True, first_break=None)


def _verify_audit(capsys, *arguments: str) -> tuple[int, str]:
    try:
        call_command("verify_audit", *arguments)
    except SystemExit as ended:
        return int(ended.code or 0), capsys.readouterr().out
    return 0, capsys.readouterr().out


def test_command_when_the_chain_is_intact_then_exactly_the_contracts_object_and_status_0(three_rows, capsys):
    status, out = _verify_audit(capsys, "--json")
    assert (status, json.loads(out)) == (0, {"rows": 3, "intact": True, "first_break": None})
    assert out.count("\n") == 1
    assert _verify_audit(capsys) == (0, "3 rows, the chain is intact.\n")
    assert AuditEvent.objects.count() == 3


def test_command_when_somebody_went_past_the_triggers_then_the_first_break_and_status_3(three_rows, capsys):
    _without_triggers("UPDATE corelab_auditevent SET reason = 'other' WHERE sequence = 2")
    status, out = _verify_audit(capsys, "--json")
    assert (status, json.loads(out)) == (3, {"rows": 2, "intact": False, "first_break": 2})


def test_record_when_nobody_acts_then_it_is_a_mistake(site):
    with pytest.raises(RuntimeError, match="nobody acts"):
        audit.record("test.happen", site)


def test_record_when_the_action_is_unknown_then_it_is_a_mistake(site):
    with audit.acting(name="system: test"), pytest.raises(ValueError, match="catalogue"):
        audit.record("test.unheard_of", site)


@pytest.mark.django_db(transaction=True)
def test_record_when_outside_a_transaction_then_it_is_a_mistake():
    site = Site.objects.create(code="south", name="Site South")
    with audit.acting(name="system: test"), pytest.raises(RuntimeError, match="transaction"):
        audit.record("test.happen", site)


@pytest.mark.django_db(transaction=True)
def test_record_when_the_transaction_is_rolled_back_then_the_row_goes_with_it():
    site = Site.objects.create(code="south", name="Site South")
    with audit.acting(name="system: test"):
        with pytest.raises(ZeroDivisionError), transaction.atomic():
            audit.record("test.happen", site)
            raise ZeroDivisionError
        with transaction.atomic():
            audit.record("test.happen", site)
    assert audit.verify() == audit.Verification(rows=1, intact=True, first_break=None)


AWKWARD = {
    "zero": -0.0,
    "many": [1e22, {"more": -1e23, "most": 1e16}],
    "exact": 2.0**53,
    "tiny": 1.5e-7,
    "plain": 3.0,
    "count": 3,
    "yes": True,
    "nothing": None,
}


def through_decimals(value: Any) -> Any:
    """Return a JSON value as a database gives it back that keeps numbers as decimals."""

    def number(text: str) -> float | int:
        kept = Decimal(text)
        printed = format(abs(kept) if kept.is_zero() else kept, "f")
        return float(printed) if "." in printed else int(printed)

    return json.loads(json.dumps(value), parse_float=number)


def test_storable_when_numbers_are_kept_as_decimals_then_the_same_text_comes_back():
    stored = audit.storable(AWKWARD)
    assert json.dumps(through_decimals(AWKWARD)) != json.dumps(AWKWARD)
    assert json.dumps(through_decimals(stored)) == json.dumps(stored)
    assert (stored["plain"], stored["yes"], stored["tiny"]) == (3.0, True, 1.5e-7)


def test_record_when_numbers_are_awkward_then_what_is_hashed_is_what_is_stored(site):
    with audit.acting(name="system: test"):
        event = audit.record("test.happen", site, before=AWKWARD, after={"list": (-0.0, 1e22)})
    for column in (event.before, event.after):
        assert json.dumps(through_decimals(column)) == json.dumps(column)
    assert audit.verify().intact
