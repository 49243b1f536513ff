"""What this package puts on the core app's pages."""

from __future__ import annotations

import pytest
from django.db import connection
from django.test import RequestFactory
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from corelab import panels as places
from corelab.models import Role
from qc.models import Submission
from qc.panels import submissions as panels
from qc.states import SubmissionState as S
from tests import factories
from tests.qc import scenes

pytestmark = pytest.mark.django_db


def ask(user):
    request = RequestFactory().get("/")
    request.user = type(user).objects.get(pk=user.pk)
    return request


def test_work_when_something_waits_for_review_then_the_physicist_is_needed(draft, physicist):
    scenes.measured(draft, scenes.cylinder_result(14.0))
    page = panels.work(ask(physicist), places.WorkQuery(view="needs-me"))
    (row,) = page.rows
    assert (row.number, row.verdict, row.is_proposed) == (str(draft), "FAIL", True)
    assert (row.next_step, row.state) == ("Review", "needs-you")
    assert row.url.endswith("?from=needs-me")
    assert page.counts["needs-me"] == page.counts["open"] == 1
    assert set(page.counts) == set(places.WORK_VIEWS)


def test_work_when_filtered_then_rows_and_counts_agree(draft, physicist, sender):
    scenes.measured(draft)
    scenes.measured(factories.submission(of=draft.site, created_by=sender, kind="nema_iq"), scenes.nema_result())
    page = panels.work(ask(physicist), places.WorkQuery(view="open", kind="nema_iq"))
    assert len(page.rows) == page.counts["open"] == 1
    page = panels.work(ask(physicist), places.WorkQuery(view="open", site="elsewhere"))
    assert page.counts["open"] == 0


def test_work_when_released_then_stands_in_its_own_view_with_the_signed_verdict(draft, physicist):
    scenes.signed(draft, physicist)
    page = panels.work(ask(physicist), places.WorkQuery(view="released"))
    (row,) = page.rows
    assert (row.verdict, row.is_proposed, row.next_step) == ("PASS", False, "")
    assert page.counts["released"] == 1
    assert page.counts["open"] == 0


def test_work_when_it_grows_then_asks_the_database_no_more(draft, physicist, sender):
    def count() -> int:
        request = ask(physicist)
        with CaptureQueriesContext(connection) as captured:
            panels.work(request, places.WorkQuery(view="open"))
        return len(captured)

    scenes.measured(draft)
    few = count()
    for _ in range(5):
        scenes.measured(factories.submission(of=draft.site, created_by=sender))
    assert count() == few


def test_counts_when_a_site_asks_then_there_is_no_worklist(draft, physicist, sender):
    scenes.measured(draft)
    assert panels.counts(ask(physicist)) == {"corelab:work-list": 1}
    assert panels.counts(ask(sender)) == {}


def test_tasks_when_a_draft_came_back_then_it_stands_first_with_what_is_wrong(site, sender):
    factories.submission(of=site, created_by=sender)
    back = factories.submission(of=site, created_by=sender)
    back.check_findings = [
        {"id": "SERIES-NONE", "message": "No PET series arrived.", "next_step": "", "outcome": "FAIL"}
    ]
    back.save()
    first, second = panels.tasks(ask(sender))
    assert (first.text.startswith("Put right"), first.state, first.hint) == (
        True,
        "needs-you",
        "No PET series arrived.",
    )
    assert second.text.startswith("Finish")


def test_tasks_when_a_patient_scan_failed_then_nobody_asks_for_it_again(draft, sender, physicist, site):
    trial = factories.trial(site)
    scan = factories.submission(of=site, created_by=sender, kind="patient", trial=trial, subject_code="0101")
    scenes.signed(scan, physicist, scenes.patient_result(TIM_01="FAIL"))
    scan.refresh_from_db()
    assert scan.verdict == "FAIL"
    assert [task.text for task in panels.tasks(ask(sender)) if str(scan) in task.text] == []


def test_tasks_when_a_scan_failed_then_it_is_asked_for_until_it_was_sent_again(draft, sender, physicist):
    scenes.signed(draft, physicist, scenes.cylinder_result(14.0))
    assert [task.text for task in panels.tasks(ask(sender))] == [f"Send {draft} again"]
    again = factories.submission(of=draft.site, created_by=sender, scanner=draft.scanner)
    scenes.measured(again)
    assert list(panels.tasks(ask(sender))) == []


def test_sent_when_not_released_then_shows_a_state_and_no_verdict(draft, sender, physicist):
    scenes.measured(draft, scenes.cylinder_result(14.0))
    (line,) = panels.sent(ask(sender))
    assert (line.verdict, line.state_text) == ("", "Waits for review")
    Submission.objects.filter(pk=draft.pk).update(state=S.RELEASED, verdict="FAIL")
    (line,) = panels.sent(ask(sender))
    assert (line.verdict, line.is_proposed) == ("FAIL", False)


def test_search_when_others_have_it_then_nothing_is_found(draft, sender, physicist):
    scenes.measured(draft)
    stranger = factories.user(Role.SITE_USER, site=factories.site())
    assert [group.total for group in panels.search(ask(sender), str(draft), 5)] == [1]
    assert list(panels.search(ask(stranger), str(draft), 5)) == []


def test_jump_when_the_number_is_exact_then_leads_there_if_one_may_see_it(draft, sender, physicist):
    run = scenes.measured(draft)
    assert panels.jump(ask(sender), str(draft).lower()).endswith(f"/submissions/{draft}/")
    assert panels.jump(ask(physicist), str(run)).endswith(f"/runs/{run}/")
    assert panels.jump(ask(sender), str(run)) == ""
    assert panels.jump(ask(sender), "S-") == ""


def test_panels_when_a_trial_manager_looks_then_only_released_scans_are_in_them(site, sender, physicist):
    trial = factories.trial(site)
    manager = factories.user(Role.TRIAL_MANAGER, trial=trial)
    waiting = factories.submission(of=site, created_by=sender, trial=trial)
    scenes.measured(waiting)
    done = factories.submission(of=site, created_by=sender, trial=trial)
    scenes.signed(done, physicist)
    for provider in (lambda request: panels.of_trial(request, trial), panels.of_trials):
        (panel,) = provider(ask(manager))
        assert [row["submission"] for row in panel.context["rows"]] == [done]


def test_home_when_many_results_failed_then_the_queries_are_as_many_as_for_one(client):
    place = factories.site()
    person = factories.user(Role.SITE_USER, site=place)
    client.force_login(person)

    def failed(count: int) -> None:
        for _ in range(count):
            factories.submission(
                of=place, state=S.RELEASED, verdict="FAIL", sent_at=timezone.now(), released_at=timezone.now()
            )

    def queries() -> int:
        with CaptureQueriesContext(connection) as captured:
            assert client.get(reverse("corelab:home-show")).status_code == 200
        return len(captured)

    queries()  # the first page of a session also reads what is kept afterwards
    failed(2)
    few = queries()
    failed(12)
    assert queries() == few
