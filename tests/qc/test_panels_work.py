"""Queries, drifts of scanners and reports that were not made on the lab's worklist."""

from __future__ import annotations

import datetime

import pytest
from django.db import connection
from django.test import RequestFactory
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from corelab.models import Role
from corelab.panels import WorkQuery
from qc.models import Drift, Query, Report
from qc.panels import drifts, queries, submissions
from tests import factories
from tests.qc import scenes

pytestmark = pytest.mark.django_db


def ask(user):
    request = RequestFactory().get("/")
    request.user = type(user).objects.get(pk=user.pk)
    return request


@pytest.fixture
def question(site, sender):
    """Return a function that makes one question in a state, to be answered in so many days."""

    def make(state: str, days: int | None = None) -> Query:
        scan = factories.submission(of=site, created_by=sender)
        due_on = None if days is None else timezone.now().date() + datetime.timedelta(days=days)
        return Query.objects.create(
            number=900 + Query.objects.count(),
            submission=scan,
            run=scenes.measured(scan),
            state=state,
            title="Uptake time",
            text="When was it injected?",
            asked_at=None if state == "DRAFT" else timezone.now(),
            due_on=due_on,
        )

    return make


@pytest.mark.parametrize(
    ("view", "expected"),
    [
        ("needs-me", ["draft", "answered"]),
        ("breaching-today", ["late", "today"]),
        ("waiting-for-sites", ["late", "today", "asked"]),
        ("running", []),
        ("open", ["late", "today", "asked", "draft", "answered"]),
    ],
)
def test_work_when_questions_stand_in_each_state_then_each_view_has_its_own(question, physicist, view, expected):
    made = {
        "draft": question("DRAFT"),
        "late": question("OPEN", -2),
        "today": question("REOPENED", 0),
        "asked": question("OPEN", 5),
        "answered": question("SITE_RESPONDED"),
        "closed": question("CLOSED", -9),
    }
    names = {str(row): name for name, row in made.items()}
    page = queries.work(ask(physicist), WorkQuery(view=view))
    assert [names[row.number] for row in page.rows] == expected
    assert page.counts.get(view, 0) == len(expected)


def test_work_when_a_question_is_late_then_the_clock_says_so(question, physicist):
    question("OPEN", -2)
    question("OPEN", 0)
    page = queries.work(ask(physicist), WorkQuery(view="open"))
    assert (page.overdue, page.due_today) == (1, 1)
    assert page.oldest_at is not None


def test_work_when_staff_are_to_act_then_the_row_says_what_and_stands_out(question, physicist):
    question("SITE_RESPONDED")
    (row,) = queries.work(ask(physicist), WorkQuery(view="needs-me")).rows
    assert (row.next_step, row.state) == ("Read the answer", "needs-you")
    question("OPEN", 1)
    (row,) = queries.work(ask(physicist), WorkQuery(view="waiting-for-sites")).rows
    assert (row.next_step, row.state, row.with_whom) == ("Site answers", "waiting-site", "site")


def test_work_when_somebody_outside_the_lab_asks_then_nothing_is_there(question, sender, site):
    question("OPEN", 1)
    drift(site)
    for provider in (queries.work, drifts.work):
        page = provider(ask(sender), WorkQuery(view="open"))
        assert (page.rows, sum(page.counts.values())) == ([], 0)


def test_work_when_filtered_then_rows_and_counts_agree(question, physicist, site):
    question("OPEN", 1)
    for wanted, count in (({"site": site.code}, 1), ({"site": "elsewhere"}, 0), ({"kind": "cylinder"}, 0)):
        page = queries.work(ask(physicist), WorkQuery(view="open", **wanted))
        assert len(page.rows) == page.counts.get("open", 0) == count


def drift(site) -> Drift:
    scan = factories.submission(of=site)
    return Drift.objects.create(
        scanner=scan.scanner, attribute="software", registered="VG80B", seen=f"VG85A-{scan.number}", submission=scan
    )


def test_work_when_a_scanner_drifts_then_staff_are_to_declare_or_explain(site, physicist):
    drift(site)
    Drift.objects.update(state="OPEN")
    (row,) = drifts.work(ask(physicist), WorkQuery(view="needs-me")).rows
    assert "VG80B → VG85A" in row.what
    assert (row.next_step, row.state) == ("Declare or explain", "needs-you")
    Drift.objects.update(state="EXPLAINED", closed_at=timezone.now())
    page = drifts.work(ask(physicist), WorkQuery(view="open"))
    assert (page.rows, page.counts["open"]) == ([], 0)


@pytest.mark.parametrize("noun", ["queries", "drifts"])
def test_work_when_it_grows_then_asks_the_database_no_more(question, site, physicist, noun):
    module, make = (queries, lambda: question("OPEN", 1)) if noun == "queries" else (drifts, lambda: drift(site))

    def count() -> int:
        request = ask(physicist)
        with CaptureQueriesContext(connection) as captured:
            module.work(request, WorkQuery(view="open"))
        return len(captured)

    make()
    few = count()
    for _ in range(4):
        make()
    assert count() == few


def test_work_when_an_approver_looks_then_nothing_of_it_is_theirs(question, site):
    approver = factories.user(Role.APPROVER)
    question("SITE_RESPONDED")
    drift(site)
    assert queries.work(ask(approver), WorkQuery(view="needs-me")).rows == []
    assert drifts.work(ask(approver), WorkQuery(view="needs-me")).rows == []


# --- submissions ----------------------------------------------------------------------------------


def test_work_when_a_report_ended_as_our_error_then_its_submission_stands_among_our_errors(site, sender, physicist):
    def scan(**failed):
        one = factories.submission(of=site, created_by=sender)
        scenes.signed(one, physicist, scenes.cylinder_result(14.0))
        assert Report.objects.filter(run__submission=one, **failed).update(stored=None, work_state="FAILED") == 1
        return one

    signed, _ = scan(review__isnull=False), scan(review__isnull=True)  # of the second the signed one was made
    waiting = factories.submission(of=site, created_by=sender)
    scenes.measured(waiting)
    Report.objects.filter(run__submission=waiting).update(stored=None, work_state="FAILED")
    withdrawn = factories.submission(of=site, created_by=sender)
    scenes.measured(withdrawn, state="WITHDRAWN")
    Report.objects.filter(run__submission=withdrawn).update(stored=None, work_state="FAILED")
    page = submissions.work(ask(physicist), WorkQuery(view="our-errors"))
    assert {row.number for row in page.rows} == {str(signed), str(waiting)}
    assert {row.next_step for row in page.rows} == {"Make the report again"}
    assert page.counts["our-errors"] == 2
    assert submissions.work(ask(physicist), WorkQuery(view="open", site="elsewhere")).counts["our-errors"] == 0
    Report.objects.filter(run__submission=signed, review__isnull=False).update(work_state="QUEUED")
    assert submissions.work(ask(physicist), WorkQuery(view="our-errors")).counts["our-errors"] == 1
