"""The audit log through its page."""

from __future__ import annotations

import csv
import io

import pytest
from django.db import connection
from django.urls import reverse

from corelab import audit
from corelab.models import AuditEvent

URL = "/audit/"


@pytest.fixture
def rows(house):
    with audit.acting(house.administrator, role="Administrator", request_id="7F3K-2Q"):
        for number in range(105):
            change = {"before": {"city": str(number)}, "after": {"city": str(number + 1)}}
            audit.record("site.edit", house.south, site_id=house.south.pk, **change)
    with audit.acting(name="system: job x"):
        audit.record("scanner.add", house.scanner, after={"serial": "60421"}, reason='=HYPERLINK("x")')


def test_audit_when_there_are_more_rows_than_a_page_then_a_cursor_leads_on(rows, signed_in):
    browser = signed_in("auditor")
    first = browser.get(URL)
    shown = [row.sequence for row in first.context["rows"]]
    assert shown == list(range(106, 6, -1))
    assert 'href="?before=7"' in first.text
    older = browser.get(URL, {"before": "7"})
    assert [row.sequence for row in older.context["rows"]] == [6, 5, 4, 3, 2, 1]
    assert older.context["next_before"] is None


def test_audit_when_a_row_is_shown_then_who_what_before_after_and_both_clocks_are_there(rows, signed_in):
    page = signed_in("auditor").get(URL, {"action": "site.edit"}).text
    assert "UTC (" in page  # the site's clock beside UTC
    assert "<del><bdi>104</bdi></del> → <bdi>105</bdi>" in page
    assert "7F3K-2Q" in page
    assert "Administrator" in page


@pytest.mark.parametrize(
    ("wanted", "count"),
    [
        ({"who": "system"}, 1),
        ({"action": "site.edit"}, 100),
        ({"label": "60421"}, 1),
        ({"reason": "hyper"}, 1),
        ({"to_on": "2020-01-01"}, 0),
        ({"action": "made.up"}, 100),
        ({"before": "nonsense"}, 100),
    ],
)
def test_audit_when_filtered_then_only_these_rows_come(rows, signed_in, wanted, count):
    page = signed_in("auditor").get(URL, wanted)
    assert len(page.context["rows"]) == count
    if count == 0:
        assert "No row matches." in page.text


def test_audit_when_verified_then_the_walk_is_recorded_and_the_state_shown(rows, signed_in):
    browser = signed_in("auditor")
    assert "has not been walked yet" in browser.get(URL).text
    page = browser.post(reverse("corelab:audit-verify"), follow=True).text
    assert "chain intact to row 106" in page
    assert AuditEvent.objects.first().after == {"rows": 106, "intact": True, "first_break": None}


def test_audit_when_a_row_was_changed_in_the_database_then_the_break_is_named(rows, signed_in):
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute("ALTER TABLE corelab_auditevent DISABLE TRIGGER USER")
        else:
            cursor.execute("DROP TRIGGER audit_no_update")
        cursor.execute("UPDATE corelab_auditevent SET reason = 'other' WHERE sequence = 88")
    page = signed_in("auditor").post(reverse("corelab:audit-verify"), follow=True).text
    assert "The chain breaks at row 88 (" in page
    assert "Rows before it are intact." in page


def test_export_when_filtered_then_the_file_holds_these_rows_and_no_formula(rows, signed_in):
    answer = signed_in("auditor").get(reverse("corelab:audit-export"), {"who": "system"})
    lines = list(csv.DictReader(io.StringIO(answer.getvalue().decode())))
    assert answer.headers["Content-Type"].startswith("text/csv")
    assert len(lines) == 1
    assert lines[0]["reason"] == '\'=HYPERLINK("x")'
    assert lines[0]["hash"] == AuditEvent.objects.first().hash


@pytest.mark.parametrize("day", ["9999-12-31", "0001-01-01"])
@pytest.mark.parametrize("name", ["from_on", "to_on"])
def test_audit_log_when_a_day_is_of_another_age_then_it_says_so(house, signed_in, name, day):
    page = signed_in("auditor").get(reverse("corelab:audit-list"), {name: day})
    assert page.status_code == 200
    assert "Enter a day of the years 1900 to 2100." in page.text
