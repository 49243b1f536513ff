"""Questions to a site: one a scan, drafted by rules, asked by staff, answered in words or by a new scan."""

from __future__ import annotations

import datetime

import pytest
from django.utils import timezone

from corelab.errors import InvalidMove, NotAllowed, NotFound, Refused, StaleState
from corelab.models import AuditEvent, Role
from qc import analysis, selectors, services, wording
from qc.conformance import RULES
from qc.deadlines import add_working_days, query_due_on
from qc.models import Query, QueryMessage, Submission
from qc.services import queries, runs
from qc.states import SubmissionState as S
from tests import factories
from tests.qc.kit import call, receive, slices, work

pytestmark = pytest.mark.django_db


def finding(rule: str, outcome: str = "FAIL", *, severity: str = "query", owner: str = "site", message: str = ""):
    return {
        "id": rule,
        "outcome": outcome,
        "severity": severity,
        "observed": "82 min",
        "expected": "55 to 75 min",
        "message": message or f"What {rule} saw.",
        "next_step": f"What to do about {rule}.",
        "owner": owner,
        "source": "",
    }


@pytest.fixture
def trial(site):
    return factories.trial(site)


@pytest.fixture
def patient(site, sender, trial):
    """A patient scan as a draft."""
    return factories.submission(of=site, created_by=sender, kind="patient", trial=trial, subject_code="SUBJ-1")


@pytest.fixture
def technician(db):
    return factories.user(Role.TECHNICIAN)


@pytest.fixture
def seen(measured):
    """Let the analysis answer with these findings from now on."""

    def answer(*findings, refused=None):
        outcomes = {one["outcome"] for one in findings}
        verdict = next((word for word in ("FAIL", "NOT_EVALUABLE", "WARN") if word in outcomes), "PASS")
        measured.result |= {"method": "patient", "verdict": verdict, "findings": list(findings), "refused": refused}

    return answer


def send(submission, *files):
    if not submission.files.exists():
        receive(submission, *(files or slices()))
    call(services.submission_send, actor=submission.created_by, submission_id=submission.pk)
    work(services.submission_check, submission_id=submission.pk)
    submission.refresh_from_db()
    assert submission.state == S.SENT, submission.check_findings
    return submission


def analyse(submission):
    for run in submission.runs.filter(work_state="QUEUED"):
        work(services.run_analyse, run_id=run.pk)
    submission.refresh_from_db()
    return submission.runs.order_by("-number").first()


def repeat(submission, monkeypatch, version):
    monkeypatch.setattr(analysis, "program", lambda: {"version": version, "commit": "1", "libraries": {}})
    physicist = factories.user(Role.PHYSICIST)
    call(services.submission_repeat, actor=physicist, submission_id=submission.pk, reason="again")
    submission.refresh_from_db()
    return analyse(submission)


@pytest.fixture
def drafted(patient, seen):
    """The question that rules drafted about a scan with two findings for its site."""
    seen(finding("TIM-01", severity="exclude"), finding("PREP-01", "NOT_EVALUABLE"), finding("PAT-01", "PASS"))
    analyse(send(patient))
    return Query.objects.get()


@pytest.fixture
def asked(drafted, technician):
    return call(services.query_ask, actor=technician, query_id=drafted.pk, text="When was it injected?")


def answer_by_scan(asked, sender, *, seed=7):
    """Send another series in answer to a question, as far as its analysis."""
    scan = asked.submission
    draft = call(
        services.submission_start,
        actor=sender,
        site=scan.site,
        kind=scan.kind,
        scanner=scan.scanner,
        reconstruction=scan.reconstruction,
        trial=scan.trial,
        subject_code=scan.subject_code,
        answers=asked,
    )
    return send(draft, *slices(3, seed=seed, SeriesNumber=seed))


# --- drafted by rules -----------------------------------------------------------------------------


def test_draft_when_rules_find_something_for_the_site_then_one_question_holds_all_of_it_the_gravest_first(
    patient, seen, site, sender
):
    seen(
        finding("PREP-01", "NOT_EVALUABLE"),
        finding("TIM-01", severity="exclude", message="The scan began 82 minutes after injection."),
        finding("REC-07", "WARN", owner="core_lab"),
        finding("IMG-01", "WARN", severity="info"),
        finding("PAT-01", "PASS"),
    )
    run = analyse(send(patient))
    query = Query.objects.get()
    assert [one["id"] for one in query.findings] == ["TIM-01", "PREP-01"]
    assert query.text.startswith("1. The scan began 82 minutes after injection. What to do about TIM-01.\n\n2. ")
    assert query.title == "Uptake time, and 1 more"
    assert (query.state, query.run, query.submission, query.asked_at) == ("DRAFT", run, patient, None)
    assert "query.draft" in AuditEvent.objects.values_list("action", flat=True)
    for person in (sender, factories.user(Role.TRIAL_MANAGER, trial=patient.trial)):
        assert not selectors.queries_visible_to(person).exists()


def test_subjects_when_the_rules_are_counted_then_each_has_its_few_words():
    assert set(wording.RULE_SUBJECTS) == set(RULES)


def test_draft_when_nothing_is_for_the_site_then_nothing_is_asked(patient, seen):
    seen(finding("PAT-01", "PASS"), finding("REC-07", "WARN", owner="core_lab"), finding("ING-07", severity="info"))
    analyse(send(patient))
    assert not Query.objects.exists()


def test_draft_when_it_is_a_dry_run_then_nothing_is_asked(patient, seen):
    Submission.objects.update(is_dry_run=True)
    patient.refresh_from_db()
    seen(finding("TIM-01"))
    analyse(send(patient))
    assert not Query.objects.exists()


def test_draft_when_a_phantom_was_measured_badly_then_the_review_says_so_and_not_a_question(draft, seen, measured):
    seen(finding("PHA-RATIO"))
    measured.result["method"] = "cylinder"
    analyse(send(draft))
    assert not [one for query in Query.objects.all() for one in query.findings if one["id"] == "PHA-RATIO"]


def test_draft_when_the_scan_is_measured_again_then_its_words_are_those_of_the_new_run(drafted, seen, monkeypatch):
    seen(finding("INJ-03", "WARN"))
    run = repeat(drafted.submission, monkeypatch, "2")
    query = Query.objects.get()
    assert (query.pk, query.run, [one["id"] for one in query.findings]) == (drafted.pk, run, ["INJ-03"])
    assert "TIM-01" not in query.text


def test_draft_when_the_next_run_finds_nothing_then_it_is_dropped_with_the_reason(drafted, seen, monkeypatch):
    seen(finding("TIM-01", "PASS"))
    run = repeat(drafted.submission, monkeypatch, "2")
    drafted.refresh_from_db()
    assert drafted.state == "CLOSED"
    assert str(run) in drafted.closed_reason


def test_draft_when_staff_dropped_it_then_the_same_findings_are_not_drafted_again(
    drafted, technician, seen, monkeypatch
):
    call(services.query_drop, actor=technician, query_id=drafted.pk, reason="told on the phone")
    repeat(drafted.submission, monkeypatch, "2")
    assert Query.objects.count() == 1
    seen(finding("TIM-01"), finding("INJ-03"))
    repeat(drafted.submission, monkeypatch, "3")
    assert [one["id"] for one in Query.objects.get(state="DRAFT").findings] == ["INJ-03"]


def test_draft_when_the_site_withdraws_the_scan_then_it_is_dropped_by_the_system(drafted, sender):
    call(services.submission_withdraw, actor=sender, submission_id=drafted.submission_id, reason="wrong person")
    drafted.refresh_from_db()
    assert (drafted.state, drafted.closed_by) == ("CLOSED", None)
    assert "withdrawn" in drafted.closed_reason


def test_draft_when_the_scan_was_withdrawn_while_it_was_measured_then_nothing_is_drafted(patient, seen, monkeypatch):
    seen(finding("TIM-01"))
    send(patient)
    measure = runs._measure

    def withdrawn_meanwhile(run):
        call(services.submission_withdraw, actor=patient.created_by, submission_id=patient.pk, reason="wrong person")
        return measure(run)

    monkeypatch.setattr(runs, "_measure", withdrawn_meanwhile)
    run = analyse(patient)
    assert (run.work_state, patient.state) == ("DONE", S.WITHDRAWN)
    assert not Query.objects.exists()


# --- asked, answered, closed ----------------------------------------------------------------------


def test_ask_when_staff_ask_then_the_site_sees_it_with_seven_working_days(drafted, technician, sender, site):
    query = call(services.query_ask, actor=technician, query_id=drafted.pk, text=" When was it injected? ")
    today = timezone.now().astimezone(site.zone).date()
    assert (query.state, query.text, query.asked_by) == ("OPEN", "When was it injected?", technician)
    assert query.due_on == add_working_days(today, 7)
    assert selectors.query_for(sender, query.number) == query
    assert list(selectors.queries_needing(sender)) == [query]
    assert not selectors.queries_needing(technician).exists()


def test_due_on_when_a_weekend_lies_between_then_it_does_not_count():
    assert query_due_on(datetime.date(2026, 2, 18)) == datetime.date(2026, 2, 27)


def test_ask_when_the_scan_was_measured_again_meanwhile_then_it_must_be_read_again(
    drafted, technician, seen, monkeypatch
):
    shown = drafted.run_id
    seen(finding("INJ-03"))
    repeat(drafted.submission, monkeypatch, "2")
    with pytest.raises(StaleState):
        call(services.query_ask, actor=technician, query_id=drafted.pk, text="When?", shown_run=shown)
    drafted.refresh_from_db()
    assert drafted.state == "DRAFT"


@pytest.mark.parametrize(
    ("given", "code"), [({"text": "  "}, "QUERY-TEXT"), ({"due_on": datetime.date(2020, 1, 1)}, "QUERY-DUE")]
)
def test_ask_when_words_or_day_are_missing_then_it_is_refused(drafted, technician, given, code):
    with pytest.raises(Refused) as refused:
        call(services.query_ask, actor=technician, query_id=drafted.pk, **{"text": "When?"} | given)
    assert refused.value.code == code


def test_answer_when_the_site_writes_then_staff_read_it_and_it_is_with_them(asked, sender, technician):
    call(services.query_answer, actor=sender, query_id=asked.pk, text="At 09:10, see the record.")
    asked.refresh_from_db()
    message = QueryMessage.objects.get()
    assert (asked.state, message.is_from_site, message.author) == ("SITE_RESPONDED", True, sender)
    assert list(selectors.queries_needing(technician)) == [asked]
    event = AuditEvent.objects.get(action="query.answer")
    assert event.after["text"] == "At 09:10, see the record."


def test_answer_when_a_colleague_answered_a_moment_before_then_the_second_is_told_and_nothing_is_doubled(
    asked, sender, monkeypatch
):
    colleague = factories.user(Role.SITE_USER, site=asked.site)
    read_before = selectors.query_for(sender, asked.number)
    call(services.query_answer, actor=colleague, query_id=asked.pk, text="At 09:10.")
    monkeypatch.setattr(queries, "_visible", lambda actor, query_id: read_before)
    with pytest.raises(StaleState, match="no longer open"):
        call(services.query_answer, actor=sender, query_id=asked.pk, text="At 09:12.")
    assert [message.text for message in asked.messages.all()] == ["At 09:10."]


def test_close_when_two_staff_end_it_then_the_second_meets_the_new_state(asked, sender, technician, physicist):
    call(services.query_answer, actor=sender, query_id=asked.pk, text="At 09:10.")
    call(services.query_close, actor=technician, query_id=asked.pk, reason="the record agrees")
    with pytest.raises(InvalidMove):
        call(services.query_give_up, actor=physicist, query_id=asked.pk, reason="nobody knows")
    asked.refresh_from_db()
    assert (asked.state, asked.closed_by, asked.closed_reason) == ("CLOSED", technician, "the record agrees")


@pytest.mark.parametrize("service", ["query_close", "query_give_up", "query_drop"])
def test_end_when_no_reason_is_given_then_it_is_refused(drafted, asked, technician, service, patient, seen):
    query = asked
    if service == "query_drop":
        Query.objects.update(state="DRAFT")
    with pytest.raises(Refused, match="reason"):
        call(getattr(services, service), actor=technician, query_id=query.pk, reason=" ")


def test_reopen_when_the_answer_does_not_settle_it_then_the_site_is_asked_again_with_new_days(
    asked, sender, technician
):
    call(services.query_answer, actor=sender, query_id=asked.pk, text="Yes.")
    Query.objects.update(due_on=datetime.date(2026, 1, 1))
    query = call(services.query_reopen, actor=technician, query_id=asked.pk, reason="Which of the two times?")
    assert query.state == "REOPENED"
    assert query.due_on > datetime.date(2026, 1, 1)
    assert list(selectors.queries_needing(sender)) == [query]
    assert query.messages.last().text == "Which of the two times?"


@pytest.mark.parametrize("role", [Role.APPROVER, Role.AUDITOR, Role.ADMINISTRATOR, Role.SITE_USER])
def test_ask_when_the_role_does_not_permit_it_then_nothing_changes(drafted, role, site):
    person = factories.user(role, site=site if role == Role.SITE_USER else None)
    with pytest.raises((NotAllowed, NotFound)):
        call(services.query_ask, actor=person, query_id=drafted.pk, text="When?")
    drafted.refresh_from_db()
    assert drafted.state == "DRAFT"


def test_answer_when_another_site_or_staff_try_then_only_the_site_may(asked, technician):
    stranger = factories.user(Role.SITE_USER, site=factories.site())
    with pytest.raises(NotFound):
        call(services.query_answer, actor=stranger, query_id=asked.pk, text="At 09:10.")
    with pytest.raises(NotAllowed):
        call(services.query_answer, actor=technician, query_id=asked.pk, text="At 09:10.")


def test_reads_when_a_trial_looks_before_the_release_then_it_sees_that_it_was_asked_and_no_more(asked, trial):
    manager = factories.user(Role.TRIAL_MANAGER, trial=trial)
    assert selectors.query_for(manager, asked.number) == asked
    assert not selectors.reads_query(manager, asked)
    asked.submission.state = S.RELEASED
    assert selectors.reads_query(manager, asked)
    other = factories.user(Role.TRIAL_MANAGER, trial=factories.trial(asked.site))
    assert not selectors.queries_visible_to(other).exists()


# --- a scan in answer -----------------------------------------------------------------------------


def test_resubmission_when_it_is_measured_then_the_question_says_what_is_gone_and_what_stays(asked, sender, seen):
    first = asked.submission
    seen(finding("TIM-01", "PASS"), finding("PREP-01", "NOT_EVALUABLE"), finding("INJ-03", "WARN"))
    second = answer_by_scan(asked, sender)
    first.refresh_from_db()
    assert (second.answers, second.replaces, first.state) == (asked, first, S.REPLACED)
    run = analyse(second)
    asked.refresh_from_db()
    assert asked.state == "SITE_RESPONDED"
    words = asked.messages.last()
    assert words.author is None
    assert f"{second} came in answer and was measured ({run})." in words.text
    assert "Gone: Uptake time (TIM-01)." in words.text
    assert "Still there: Blood glucose (PREP-01)." in words.text
    # What is new is a question of its own; what was asked already is not asked twice.
    assert [one["id"] for one in Query.objects.get(submission=second).findings] == ["INJ-03"]


def test_resubmission_when_it_could_not_be_measured_then_nothing_is_called_gone(asked, sender, seen):
    seen(refused={"code": "SERIES-NONE", "detail": "There is no PET.", "attribute": None, "next_step": "Send it."})
    analyse(answer_by_scan(asked, sender))
    words = asked.messages.last().text
    assert "Could not be checked again" in words
    assert "Gone" not in words


def test_resubmission_when_the_first_is_being_analysed_then_the_first_result_moves_and_asks_nothing(
    asked, sender, seen, monkeypatch
):
    """The first scan is measured again on staff's word; before that ends, the site's new scan takes its place."""
    first = asked.submission
    monkeypatch.setattr(analysis, "program", lambda: {"version": "2", "commit": "1", "libraries": {}})
    call(services.submission_repeat, actor=factories.user("physicist"), submission_id=first.pk, reason="again")
    late = first.runs.get(work_state="QUEUED")
    measure = runs._measure
    made = {}

    def replaced_meanwhile(run):
        if run == late:
            made["second"] = answer_by_scan(asked, sender)
        return measure(run)

    monkeypatch.setattr(runs, "_measure", replaced_meanwhile)
    seen(finding("TIM-01"), finding("INJ-03"))
    analyse(first)
    late.refresh_from_db()
    assert (first.state, late.work_state) == (S.REPLACED, "DONE")
    assert not Query.objects.filter(state="DRAFT").exists()
    seen(finding("TIM-01", "PASS"), finding("PREP-01", "PASS"))
    analyse(made["second"])
    asked.refresh_from_db()
    assert asked.state == "SITE_RESPONDED"
    assert "Gone: Uptake time (TIM-01), Blood glucose (PREP-01)." in asked.messages.last().text


def test_resubmission_when_it_is_started_twice_then_the_same_draft_is_found(asked, sender):
    scan = asked.submission
    place = {"site": scan.site, "kind": scan.kind, "scanner": scan.scanner, "trial": scan.trial, "answers": asked}
    one = call(services.submission_start, actor=sender, **place)
    two = call(services.submission_start, actor=sender, **place)
    assert one == two
    assert one.sheet == scan.sheet


def test_resubmission_when_the_first_is_in_review_then_both_stand(asked, sender):
    Submission.objects.filter(pk=asked.submission_id).update(state=S.RELEASED)
    second = answer_by_scan(asked, sender)
    asked.submission.refresh_from_db()
    assert (second.replaces, second.answers, asked.submission.state) == (None, asked, S.RELEASED)


def test_resubmission_when_it_comes_a_second_time_then_it_takes_the_place_of_the_last_one(asked, sender, seen):
    second = answer_by_scan(asked, sender)
    analyse(second)
    third = answer_by_scan(asked, sender, seed=8)
    second.refresh_from_db()
    assert (third.replaces, second.state) == (second, S.REPLACED)


def test_replacement_when_a_question_is_open_about_the_scan_then_it_answers_it(asked, sender):
    scan = asked.submission
    place = {"site": scan.site, "kind": scan.kind, "scanner": scan.scanner, "trial": scan.trial}
    draft = call(services.submission_start, actor=sender, replaces=scan, **place)
    assert draft.answers == asked


def test_resubmission_when_the_question_is_closed_then_it_is_refused(asked, sender, technician):
    call(services.query_close, actor=technician, query_id=asked.pk, reason="settled")
    with pytest.raises(Refused) as refused:
        answer_by_scan(asked, sender)
    assert refused.value.code == "QUERY-ENDED"


def test_resubmission_when_another_site_tries_then_there_is_no_such_question(asked):
    elsewhere = factories.site()
    stranger = factories.user(Role.SITE_USER, site=elsewhere)
    machine = factories.scanner(elsewhere)
    with pytest.raises(NotFound):
        call(
            services.submission_start,
            actor=stranger,
            site=elsewhere,
            kind="cylinder",
            scanner=machine,
            answers=asked,
        )


def test_question_when_its_scan_is_withdrawn_then_it_stays_readable_and_says_so(asked, sender):
    call(services.submission_withdraw, actor=sender, submission_id=asked.submission_id, reason="wrong person")
    asked.refresh_from_db()
    assert asked.state == "OPEN"
    assert asked.messages.get().text == f"{asked.submission} was withdrawn by the site."
    assert selectors.query_for(sender, asked.number) == asked


# --- what rules ask, and what the arrival and the SUV say of the same ------------------------------


def test_draft_when_a_rule_says_what_the_suv_says_then_it_is_asked_once_with_one_step(patient, seen, measured):
    step = "Enter the weight from the scan day."
    without = finding("SUV-01", "NOT_EVALUABLE", severity="exclude", message="SUV was not worked out.")
    weight = finding("PAT-01", "NOT_EVALUABLE", severity="exclude", message="The weight is missing.")
    seen(weight | {"next_step": step}, without | {"next_step": step})
    refused = {"code": "SUV-NO-WEIGHT", "detail": "The weight is missing.", "attribute": None, "next_step": step}
    measured.result |= {"suv": measured.result["suv"] | {"refused": refused}}
    analyse(send(patient))
    query = Query.objects.get()
    assert [one["id"] for one in query.findings] == ["PAT-01", "SUV-01"]
    assert query.text.count(step) == 1


def test_repairable_when_rules_ask_something_of_the_site_then_it_is_seen_before_the_review(patient, seen, measured):
    seen(finding("TIM-01", severity="exclude"), finding("REC-07", owner="core_lab"), finding("ING-07", severity="info"))
    analyse(send(patient))
    assert [one["id"] for one in selectors.repairable_findings(patient)] == ["TIM-01"]
