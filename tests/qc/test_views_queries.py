"""The pages of a question: what each side reads, what it can do, and that nothing written is lost."""

from __future__ import annotations

import datetime

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from corelab.models import Role
from qc.models import Query, Submission
from qc.states import SubmissionState as S
from tests import factories
from tests.qc import scenes

pytestmark = pytest.mark.django_db
FINDING = {
    "id": "TIM-01",
    "title": "Uptake time",
    "outcome": "FAIL",
    "severity": "exclude",
    "message": "The scan began 82 minutes after injection; the protocol accepts 55 to 75.",
    "observed": "82 min",
    "expected": "55 to 75 min",
    "next_step": "Check both times.",
}


@pytest.fixture
def trial(site):
    return factories.trial(site)


@pytest.fixture
def technician(db):
    return factories.user(Role.TECHNICIAN)


@pytest.fixture
def question(site, sender, trial, technician):
    """Return a function that makes one question about a measured patient scan, in a state."""

    def make(state: str = "OPEN", **fields) -> Query:
        scan = factories.submission(
            of=site, created_by=sender, kind="patient", trial=trial, subject_code=f"SUBJ-{Query.objects.count()}"
        )
        run = scenes.measured(scan)
        asked = {} if state == "DRAFT" else {"asked_by": technician, "asked_at": timezone.now(), "due_on": later(3)}
        return Query.objects.create(
            number=900 + Query.objects.count(),
            submission=scan,
            run=run,
            state=state,
            title="Uptake time",
            text="When was it injected?",
            findings=[FINDING],
            **asked | fields,
        )

    return make


def later(days: int) -> datetime.date:
    return timezone.now().date() + datetime.timedelta(days=days)


def page(client, person, query, status: int = 200) -> str:
    client.force_login(person)
    answer = client.get(reverse("qc:query-detail", args=[query.number]))
    assert answer.status_code == status
    return answer.content.decode()


def press(client, person, name, query, data=None, status: int = 302) -> str:
    client.force_login(person)
    answer = client.post(reverse(f"qc:query-{name}", args=[query.number]), data or {})
    assert answer.status_code == status, answer.content.decode()
    return answer.content.decode()


# --- what each reads ------------------------------------------------------------------------------


def test_detail_when_the_site_opens_it_then_question_and_day_come_first_and_it_can_answer(client, sender, question):
    query = question()
    html = page(client, sender, query)
    assert "Needs you" in html
    for earlier, later_ in [("When was it injected?", "Send answer"), ("Send answer", "What we saw")]:
        assert html.index(earlier) < html.index(later_)
    assert "82 min" in html
    assert "expected 55 to 75 min" in html
    assert reverse("qc:query-answer", args=[query.number]) in html
    assert reverse("qc:query-resubmit", args=[query.number]) in html
    assert "Cannot be solved" not in html


def test_detail_when_its_day_has_passed_then_it_says_how_late(client, sender, question):
    assert "Overdue 2 days" in page(client, sender, question(due_on=later(-2)))


def test_detail_when_it_is_a_draft_then_staff_edit_and_ask_and_the_site_sees_nothing(
    client, sender, technician, question
):
    query = question("DRAFT")
    page(client, sender, query, 404)
    html = page(client, technician, query)
    assert "When was it injected?</textarea>" in html
    press(client, technician, "ask", query, {"text": "At what time?", "run": str(query.run_id), "due_on": ""})
    query.refresh_from_db()
    assert (query.state, query.text) == ("OPEN", "At what time?")
    assert "At what time?" in page(client, sender, query)


def test_detail_when_a_trial_looks_before_the_release_then_it_reads_no_word_of_it(client, trial, question):
    query = question()
    manager = factories.user(Role.TRIAL_MANAGER, trial=trial)
    html = page(client, manager, query)
    assert "Uptake time" in html
    for hidden in ("When was it injected?", "82 min", "The scan began"):
        assert hidden not in html
    press(client, manager, "answer", query, {"text": "Me"}, 404)
    press(client, manager, "answer", query, {"text": ""}, 404)
    Submission.objects.filter(pk=query.submission_id).update(state=S.RELEASED)
    assert "When was it injected?" in page(client, manager, query)
    press(client, manager, "answer", query, {"text": "Me"}, 404)
    press(client, manager, "answer", query, {"text": ""}, 404)


# --- what each does -------------------------------------------------------------------------------


def test_flow_when_answered_asked_again_answered_and_closed_then_the_thread_tells_it(
    client, sender, technician, question
):
    query = question()
    press(client, sender, "answer", query, {"text": "At <b>09:10</b>."})
    assert "Answered" in page(client, sender, query)
    press(client, technician, "reopen", query, {"reason": "By which clock?"})
    html = page(client, sender, query)
    assert "By which clock?" in html
    assert "At &lt;b&gt;09:10&lt;/b&gt;." in html
    press(client, sender, "answer", query, {"text": "The injector's."})
    press(client, technician, "close", query, {"reason": "The clocks agree."})
    html = page(client, sender, query)
    assert html.index("By which clock?") < html.index("The injector") < html.index("The clocks agree.")
    assert '<form method="post" action="/queries/' not in html


def test_answer_when_nothing_is_written_then_the_form_comes_back_with_the_reason(client, sender, question):
    query = question()
    assert "Write your answer." in press(client, sender, "answer", query, {"text": " "}, 422)
    query.refresh_from_db()
    assert query.state == "OPEN"


def test_answer_when_staff_closed_it_a_moment_before_then_what_was_written_is_not_lost(
    client, sender, technician, question
):
    query = question()
    press(client, technician, "close", query, {"reason": "Told on the phone."})
    html = press(client, sender, "answer", query, {"text": "It was 09:10."}, 409)
    assert "Nothing you wrote is lost" in html
    assert "It was 09:10." in html
    assert "Told on the phone." in html


def test_close_when_the_site_answered_meanwhile_then_it_still_closes_with_both_kept(
    client, sender, technician, question
):
    query = question()
    press(client, sender, "answer", query, {"text": "It was 09:10."})
    press(client, technician, "close", query, {"reason": "Settled."})
    html = page(client, technician, query)
    assert "It was 09:10." in html
    assert "Settled." in html


def test_ask_when_the_day_has_passed_then_it_is_said_at_the_field(client, technician, question):
    query = question("DRAFT")
    data = {"text": "When?", "run": str(query.run_id), "due_on": "2020-01-01"}
    assert "This day has passed." in press(client, technician, "ask", query, data, 422)


def test_give_up_when_nobody_knows_then_it_says_so_to_the_site(client, sender, technician, question):
    query = question()
    press(client, technician, "give-up", query, {"reason": "The record is lost."})
    html = page(client, sender, query)
    assert "Could not be solved" in html
    assert "The record is lost." in html


def test_resubmit_when_pressed_then_a_draft_with_the_same_place_answers_it(client, sender, question):
    query = question()
    press(client, sender, "resubmit", query)
    draft = Submission.objects.get(answers=query)
    scan = query.submission
    assert (draft.state, draft.replaces, draft.subject_code, draft.trial) == (
        S.DRAFT,
        scan,
        scan.subject_code,
        scan.trial,
    )
    html = client.get(reverse("qc:submission-place", args=[draft.number])).content.decode()
    assert f"answers {query}" in html


# --- where it stands ------------------------------------------------------------------------------


def test_home_when_a_question_is_open_then_it_is_a_task_with_its_day_and_counted_in_the_bar(client, sender, question):
    query = question()
    client.force_login(sender)
    html = client.get(reverse("corelab:home-show")).content.decode()
    assert f"Answer the core lab about {query.submission}" in html
    assert reverse("qc:query-detail", args=[query.number]) in html


@pytest.mark.parametrize("who", ["sender", "technician"])
def test_submission_when_a_question_hangs_on_it_then_its_page_leads_there(client, request, who, question):
    query = question()
    client.force_login(request.getfixturevalue(who))
    html = client.get(reverse("qc:submission-detail", args=[query.submission.number])).content.decode()
    assert reverse("qc:query-detail", args=[query.number]) in html


def test_search_when_the_number_is_typed_then_it_leads_there_and_strangers_nowhere(client, sender, question):
    query = question()
    client.force_login(sender)
    answer = client.get(reverse("corelab:search-show"), {"q": str(query)})
    assert answer.headers.get("Location") == reverse("qc:query-detail", args=[query.number])
    client.force_login(factories.user(Role.SITE_USER, site=factories.site()))
    assert client.get(reverse("corelab:search-show"), {"q": str(query)}).headers.get("Location") is None


def test_list_when_nothing_is_open_then_it_says_so(client, sender, question):
    query = question("CLOSED")
    client.force_login(sender)
    html = client.get(reverse("qc:query-list")).content.decode()
    assert "No open questions." in html
    assert str(query) in client.get(reverse("qc:query-list"), {"state": "all"}).content.decode()


@pytest.mark.parametrize("role", [Role.SITE_USER, Role.PHYSICIST, Role.TRIAL_MANAGER])
def test_list_when_it_grows_then_asks_the_database_no_more(client, sender, trial, question, role):
    person = {
        Role.SITE_USER: sender,
        Role.PHYSICIST: factories.user(Role.PHYSICIST),
        Role.TRIAL_MANAGER: factories.user(Role.TRIAL_MANAGER, trial=trial),
    }[role]
    client.force_login(person)

    def asked() -> int:
        with CaptureQueriesContext(connection) as captured:
            assert client.get(reverse("qc:query-list")).status_code == 200
        return len(captured)

    question()
    asked()
    few = asked()
    for _ in range(6):
        question()
    assert asked() == few
    assert few <= 10


def test_detail_when_much_was_said_then_asks_the_database_no_more(client, sender, technician, question):
    query = question()

    def asked() -> int:
        with CaptureQueriesContext(connection) as captured:
            client.get(reverse("qc:query-detail", args=[query.number]))
        return len(captured)

    client.force_login(sender)
    press(client, sender, "answer", query, {"text": "First."})
    few = (client.force_login(sender), asked(), asked())[-1]
    for number in range(4):
        press(client, technician, "reopen", query, {"reason": f"And {number}?"})
        press(client, sender, "answer", query, {"text": f"Answer {number}."})
    client.force_login(sender)
    asked()
    assert asked() == few
    assert few <= 15
