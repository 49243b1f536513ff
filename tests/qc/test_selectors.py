"""Who sees what: by role, site, trial and state; and lists whose queries do not grow."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from corelab.errors import NotFound
from corelab.models import Role
from qc import selectors
from qc.models import Figure, Report, Run, Upload
from qc.states import SubmissionState as S
from tests import factories
from tests.qc.kit import CT, receive, slices

pytestmark = pytest.mark.django_db


def run_of(submission, number=None, **fields):
    made = Run.objects.create(
        submission=submission,
        number=number or submission.number,
        method="cylinder",
        method_version=1,
        input_digest=f"sha256:{submission.number}",
        parameters_digest="0",
        program_digest=str(number),
        **fields,
    )
    submission.current_run = made
    submission.save()
    return made


@pytest.fixture
def two_sites():
    """Every state at two sites, in one trial at the first and another at the second; and dry runs."""
    mine, other = factories.site(), factories.site()
    trials = factories.trial(mine), factories.trial(other)
    for where, trial in zip((mine, other), trials, strict=True):
        author = factories.user(Role.SITE_USER, site=where)
        for state in S:
            for is_dry_run in (False, True):
                sent_by = None if state == S.DRAFT else author
                row = factories.submission(
                    of=where, state=state, trial=trial, is_dry_run=is_dry_run, created_by=author, sent_by=sent_by
                )
                run_of(row)
    return mine, other, trials


def seen(user):
    rows = selectors.submissions_visible_to(user)
    return {(row.site_id, row.state, row.is_dry_run) for row in rows}


def test_submissions_when_a_site_user_looks_then_all_of_their_site_and_no_other(two_sites):
    mine, _, _ = two_sites
    rows = seen(factories.user(Role.SITE_USER, site=mine))
    assert rows == {(mine.pk, state, dry) for state in S for dry in (False, True)}


@pytest.mark.parametrize("role", [Role.TECHNICIAN, Role.PHYSICIST, Role.APPROVER, Role.AUDITOR, Role.ADMINISTRATOR])
def test_submissions_when_the_lab_looks_then_everything_but_drafts(two_sites, role):
    states = {state for _, state, _ in seen(factories.user(role))}
    assert states == set(S) - {S.DRAFT}


@pytest.mark.parametrize("role", [Role.TRIAL_MANAGER, Role.MONITOR])
def test_submissions_when_a_trial_looks_then_only_its_released_ones_and_no_dry_run(two_sites, role):
    mine, _, trials = two_sites
    assert seen(factories.user(role, trial=trials[0])) == {(mine.pk, S.RELEASED, False)}


def test_submissions_when_a_draft_was_withdrawn_before_it_was_sent_then_the_lab_never_sees_it(site):
    factories.submission(of=site, state=S.WITHDRAWN)
    assert seen(factories.user(Role.PHYSICIST)) == set()


def test_submissions_when_a_person_has_no_role_or_an_ended_one_then_nothing_is_seen(two_sites):
    mine, _, _ = two_sites
    ended = factories.user(Role.SITE_USER, site=mine)
    ended.memberships.update(until_on="2020-12-31")
    assert seen(factories.user()) == seen(ended) == set()


def test_submissions_when_a_person_has_two_roles_then_the_union_is_seen_once(two_sites):
    mine, other, trials = two_sites
    person = factories.user(Role.SITE_USER, site=mine)
    person.memberships.create(role=Role.TRIAL_MANAGER, trial=trials[1], from_on="2020-01-01")
    rows = list(selectors.submissions_visible_to(person))
    assert {row.site_id for row in rows} == {mine.pk, other.pk}
    assert len(rows) == len(set(rows)) == 2 * len(S) + 1


@pytest.mark.parametrize("role", [Role.SITE_USER, Role.TRIAL_MANAGER, Role.MONITOR])
def test_runs_when_somebody_outside_the_lab_looks_then_only_released_numbers_are_seen(two_sites, role):
    mine, _, trials = two_sites
    where = {"site": mine} if role == Role.SITE_USER else {"trial": trials[0]}
    states = {run.submission.state for run in selectors.runs_visible_to(factories.user(role, **where))}
    assert states == ({S.RELEASED, S.PREVIEWED} if role == Role.SITE_USER else {S.RELEASED})


def test_runs_when_one_is_superseded_then_only_the_lab_sees_it(site, physicist):
    released = factories.submission(of=site, state=S.RELEASED)
    old = run_of(released, 1)
    new = run_of(released, 2)
    user = factories.user(Role.SITE_USER, site=site)
    assert set(selectors.runs_visible_to(user)) == {new}
    assert set(selectors.runs_visible_to(physicist)) == {old, new}


def test_figures_when_a_result_is_not_released_then_the_site_sees_no_picture(site, physicist):
    from corelab import storage

    waiting = factories.submission(of=site, state=S.AWAITING_REVIEW)
    stored = storage.put_once([b"<svg/>"]).stored
    Figure.objects.create(run=run_of(waiting), name="coronal", alt="", caption="", stored=stored)
    user = factories.user(Role.SITE_USER, site=site)
    assert not selectors.figures_visible_to(user).exists()
    assert selectors.figures_visible_to(physicist).exists()


def test_reports_when_a_site_looks_then_it_sees_the_signed_one_only(site, physicist):
    released = factories.submission(of=site, state=S.RELEASED)
    Report.objects.create(run=run_of(released))
    dry = factories.submission(of=site, state=S.PREVIEWED, is_dry_run=True)
    preview = Report.objects.create(run=run_of(dry))
    user = factories.user(Role.SITE_USER, site=site)
    assert set(selectors.reports_visible_to(user)) == {preview}
    assert selectors.reports_visible_to(physicist).count() == 2


@pytest.mark.parametrize("number", ["S-{}", "s-{}", "{}"])
def test_submission_for_when_it_is_asked_by_its_number_then_it_is_found(draft, sender, number):
    assert selectors.submission_for(sender, number.format(draft.number)) == draft


@pytest.mark.parametrize("number", ["S-999999", "R-1", "", "S-", "x", "S-1'; --", "9" * 40, "²", "S-٣"])
def test_submission_for_when_there_is_no_such_number_then_it_is_not_found(draft, sender, number):
    with pytest.raises(NotFound):
        selectors.submission_for(sender, number)


def test_submission_for_when_it_is_anothers_then_the_answer_is_the_same_as_for_none(draft):
    stranger = factories.user(Role.SITE_USER, site=factories.site())
    with pytest.raises(NotFound) as forbidden:
        selectors.submission_for(stranger, draft.number)
    with pytest.raises(NotFound) as absent:
        selectors.submission_for(stranger, 987654)
    assert forbidden.value.message == absent.value.message


# --- worklist --------------------------------------------------------------------------------


@pytest.fixture
def work(site, physicist):
    """One row of each kind that the worklist tells apart."""
    today = timezone.now().date()
    sender = factories.user(Role.SITE_USER, site=site)
    make = lambda state, **fields: factories.submission(  # noqa: E731
        of=site, state=state, created_by=sender, sent_by=sender, **fields
    )
    return {
        "waits": make(S.AWAITING_REVIEW, due_on=today + timedelta(days=5)),
        "late": make(S.AWAITING_REVIEW, due_on=today),
        "mine": make(S.IN_REVIEW, due_on=today + timedelta(days=1), reviewer=physicist),
        "others": make(S.IN_REVIEW, due_on=today + timedelta(days=1), reviewer=factories.user(Role.PHYSICIST)),
        "own": factories.submission(of=site, state=S.AWAITING_REVIEW, created_by=physicist, sent_by=sender),
        "running": make(S.ANALYSING),
        "conflict": make(S.HELD, hold_code="ING-13"),
        "error": make(S.HELD, hold_code="OUR-ERROR"),
        "released": make(S.RELEASED),
        "dry": make(S.ANALYSING, is_dry_run=True),
        "draft": make(S.DRAFT),
    }


@pytest.mark.parametrize(
    ("view", "expected"),
    [
        ("needs-me", ["late", "mine", "waits", "conflict", "error"]),
        ("breaching-today", ["late"]),
        ("waiting-for-sites", ["conflict"]),
        ("running", ["running"]),
        ("our-errors", ["error"]),
        ("open", ["late", "mine", "others", "waits", "own", "running", "conflict", "error"]),
    ],
)
def test_worklist_when_a_physicist_looks_then_each_view_has_its_rows_the_next_deadline_first(
    work, physicist, view, expected
):
    names = {row.pk: name for name, row in work.items()}
    assert [names[row.pk] for row in selectors.worklist_for(physicist, view)] == expected
    assert selectors.worklist_totals(physicist, view).counts[view] == len(expected)


def test_worklist_when_a_site_user_looks_then_it_is_empty(work, site):
    user = factories.user(Role.SITE_USER, site=site)
    assert list(selectors.worklist_for(user, "open")) == []
    assert set(selectors.worklist_totals(user).counts.values()) == {0}


def test_worklist_when_it_grows_then_its_queries_do_not(work, physicist, site, django_assert_num_queries):
    def read():
        rows = list(selectors.worklist_for(physicist, "open"))
        for row in rows:
            str(row.site), str(row.scanner), str(row.trial), str(row.reviewer), str(row.current_run)
        selectors.worklist_totals(physicist)
        return len(rows)

    read()
    for _ in range(20):
        factories.submission(of=site, state=S.AWAITING_REVIEW, trial=factories.trial(site))
    with django_assert_num_queries(2):
        assert read() == 28


# --- one submission --------------------------------------------------------------------------


def test_received_series_when_two_series_arrived_then_each_has_its_row(draft, django_assert_num_queries):
    receive(draft, *slices(4)[:3], *slices(2, seed=2, **CT), b"no image")
    with django_assert_num_queries(1):
        ct, pet = selectors.received_series(draft)
    assert (ct.series_number, ct.modality, ct.count, ct.expected, ct.is_complete) == (2, "CT", 2, None, True)
    assert (pet.series_number, pet.count, pet.expected, pet.missing, pet.is_complete) == (3, 3, 4, (4,), False)
    assert (pet.is_measurable, ct.is_measurable) == (True, False)


def test_arrival_when_files_are_counted_then_those_left_out_stand_apart(draft, django_assert_num_queries):
    receive(draft, *slices(), b"no image")
    with django_assert_num_queries(2):
        arrival = selectors.arrival_of(draft)
    assert (arrival.files, arrival.left_out, arrival.uploads_complete, arrival.uploads_total) == (3, 1, 4, 4)
    assert arrival.size_bytes == sum(map(len, slices()))
    assert arrival.is_unpacking is False


def test_progress_when_a_draft_rests_then_nothing_is_running(draft):
    progress = selectors.progress_of(draft)
    assert (progress.step, progress.is_finished) == ("", True)


def test_progress_when_a_zip_is_being_opened_then_it_counts(draft, sender):
    Upload.objects.create(
        submission=draft,
        name_digest="0",
        length_bytes=1,
        is_zip=True,
        is_complete=True,
        work_state="RUNNING",
        attempts=1,
        queued_at=timezone.now(),
        claimed_at=timezone.now() - timedelta(seconds=5),
        progress_done=12,
        progress_total=545,
        created_by=sender,
    )
    progress = selectors.progress_of(draft)
    assert (progress.step, progress.done, progress.total, progress.is_running) == ("unpack", 12, 545, True)
    assert progress.elapsed_s == 5
    assert progress.is_finished is False


def test_progress_when_others_wait_before_it_then_it_says_how_many(site, django_assert_max_num_queries):
    now = timezone.now()
    rows = [factories.submission(of=site, state=S.SENT) for _ in range(3)]
    for age, row in zip((3, 2, 1), rows, strict=True):
        run_of(row, queued_at=now - timedelta(seconds=age))
    with django_assert_max_num_queries(4):
        progress = selectors.progress_of(rows[2])
    assert (progress.step, progress.ahead, progress.is_running) == ("analyse", 2, False)


def test_progress_when_it_is_our_error_then_the_reference_is_told(draft):
    draft.state, draft.hold_code, draft.hold_reason = S.HELD, "OUR-ERROR", "Our error, reference 7F3K2Q."
    progress = selectors.progress_of(draft)
    assert progress.is_our_error
    assert "7F3K2Q" in progress.words


def test_repairable_findings_when_suv_of_a_patient_was_refused_then_the_site_sees_it_before_the_review(site):
    refused = {"code": "SUV-NO-WEIGHT", "detail": "No weight.", "attribute": "(0010,1030)", "next_step": "Enter it."}
    result = {"refused": None, "suv": {"refused": refused}}
    trial = factories.trial(site)
    patient = factories.submission(of=site, state=S.AWAITING_REVIEW, kind="patient", trial=trial)
    phantom = factories.submission(of=site, state=S.AWAITING_REVIEW)
    for row in (patient, phantom):
        run_of(row, result=result)
    assert [one["id"] for one in selectors.repairable_findings(patient)] == ["SUV-NO-WEIGHT"]
    assert selectors.repairable_findings(phantom) == []


def test_repairable_findings_when_the_phantom_was_not_found_then_that_waits_for_the_physicist(site):
    refused = {"code": "PHA-NOT-FOUND", "detail": "Not found.", "attribute": None, "next_step": ""}
    row = factories.submission(of=site, state=S.AWAITING_REVIEW, kind="nema_iq")
    run_of(row, result={"refused": refused, "suv": {"refused": None}})
    assert selectors.repairable_findings(row) == []
