"""The pages that people open first ask few queries, also with every kind of row on them: a target of the need."""

from __future__ import annotations

import datetime

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from accreditation.models import Case
from accreditation.workflow import CaseState
from corelab.models import Role
from qc.models import Drift, Query
from qc.states import QueryState
from qc.states import SubmissionState as S
from tests import factories
from tests.accreditation.scenes import UK, Scene, days

pytestmark = pytest.mark.django_db
ROUNDS = 2


@pytest.fixture
def scene():
    """Return a scanner with a certificate, and everything that may stand on a home or in the worklist."""
    made = Scene()
    made.accredited()
    made.trial = factories.trial(made.site)
    add(made)
    return made


def add(scene: Scene) -> None:
    """Add one of each: drafts, failed and released scans, questions, drifts, cases in every hand."""
    now = timezone.now()
    for _ in range(ROUNDS):
        draft = factories.submission(of=scene.site, scanner=scene.scanner, created_by=scene.sender)
        scene.signed("cylinder", "FAIL", scanned_on=(now - days(400)).date())
        patient = {"trial": scene.trial, "subject_code": "0113", "visit": "baseline", "uptake_min": 61.0}
        for state in (S.SENT, S.AWAITING_REVIEW, S.HELD):
            scene.sent("patient", state=state, due_on=now.date(), **patient)
        for state in (QueryState.OPEN, QueryState.SITE_RESPONDED, QueryState.DRAFT):
            run = scene.signed("patient", "WARN", **patient).run
            Query.objects.create(
                number=Query.objects.count() + 900,
                submission=run.submission,
                run=run,
                state=state,
                title="The weight",
                text="Which weight is right?",
                asked_by=scene.physicist,
                asked_at=None if state == QueryState.DRAFT else now,
                due_on=now.date() + datetime.timedelta(days=3),
            )
        Drift.objects.create(
            scanner=scene.scanner, attribute="software", registered="A", seen=f"B{draft.number}", submission=draft
        )
        for state in (
            CaseState.PHYSICIST_REVIEW,
            CaseState.PASS_RECOMMENDED,
            CaseState.CORRECTIVE_ACTION_REQUIRED,
            CaseState.ANALYSIS_RUNNING,
            CaseState.SIGNED,
        ):
            trial = factories.trial(scene.site)
            Case.objects.create(
                number=9000 + trial.pk,
                scanner=scene.scanner,
                reconstruction=scene.reconstruction,
                programme=UK,
                trial=trial,
                created_by=scene.sender,
                applied_at=now,
                state=state,
            )


def count(person, address: str) -> int:
    browser = Client()
    browser.force_login(person)
    browser.get(address)  # the first press of a minute writes the session
    with CaptureQueriesContext(connection) as queries:
        assert browser.get(address).status_code == 200
    return len(queries)


def held(scene: Scene, person, *addresses: str, most: int) -> None:
    """Assert that these pages ask as many queries with more rows, and no more than so many."""
    few = {address: count(person, address) for address in addresses}
    add(scene)
    factories.scanner(scene.site)
    assert {address: count(person, address) for address in addresses} == few
    assert max(few.values()) <= most, few


def test_site_home_when_everything_stands_on_it_then_12_queries_are_enough(scene):
    held(scene, scene.sender, "/", most=12)


def test_site_home_when_the_site_is_new_then_12_queries_are_enough():
    site = factories.site()
    factories.scanner(site)
    assert count(factories.user(Role.SITE_USER, site=site), "/") <= 12


def test_trial_home_when_everything_stands_on_it_then_15_queries_are_enough(scene):
    held(scene, factories.user(Role.TRIAL_MANAGER, trial=scene.trial), "/", most=15)


def test_trial_home_when_there_are_several_trials_then_15_queries_are_enough(scene):
    manager = factories.user(Role.TRIAL_MANAGER, trial=scene.trial)
    scene.also(manager, Role.TRIAL_MANAGER, trial=factories.trial(scene.site))
    held(scene, manager, "/", most=15)


@pytest.mark.parametrize("who", ["physicist", "technician", "approver"])
def test_worklist_when_every_kind_of_row_stands_in_it_then_10_queries_are_enough(scene, who):
    views = ("", "?view=open", "?view=open&kind=patient", "?view=waiting-for-sites", "?view=released")
    held(scene, getattr(scene, who), *(f"/work/{view}" for view in views), most=10)


def test_bar_when_a_page_has_counted_already_then_it_counts_as_on_every_other_page(scene):
    def bar(browser: Client, address: str) -> dict[str, int]:
        return {place.word: place.count for place in browser.get(address).context["nav"].all}

    for person in (scene.physicist, scene.technician, scene.approver, scene.sender):
        browser = Client()
        browser.force_login(person)
        expected = bar(browser, "/help/")
        pages = (
            ["/"] if person == scene.sender else ["/work/", "/work/?site=elsewhere", "/work/?view=running&kind=case"]
        )
        assert sum(expected.values()) > 0
        for page in pages:
            assert bar(browser, page) == expected, page
