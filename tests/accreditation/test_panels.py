"""What this package puts on the core app's pages: who has to act, by when, and whether one may scan."""

from __future__ import annotations

import datetime

import pytest
from django.db import connection
from django.test import RequestFactory
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from accreditation import panels, scanning, services
from accreditation.models import Case
from accreditation.workflow import CaseState as C
from corelab import panels as places
from corelab.models import Role
from tests import factories
from tests.accreditation.scenes import EARL, UK, Scene, certificate_of, days
from tests.qc.kit import call

pytestmark = pytest.mark.django_db


@pytest.fixture
def scene(clock):
    return Scene(EARL)


def ask(user):
    request = RequestFactory().get("/")
    request.user = type(user).objects.get(pk=user.pk)
    return request


def work(user, view="needs-me", **filters):
    return panels.work(ask(user), places.WorkQuery(view=view, **filters))


def queries_of(act) -> int:
    with CaptureQueriesContext(connection) as queries:
        act()
    return len(queries)


# --- the worklist ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("road", "needed", "next_step"),
    [
        ("reviewing", {"proposer", "physicist"}, "Decide"),
        ("proposed", {"approver"}, "Take for the second signature"),
        ("taken", {"approver"}, "2nd signature"),
        ("collecting", set(), ""),
        ("accredited", set(), ""),
    ],
)
def test_work_when_a_case_stands_there_then_those_who_can_act_are_needed(scene, road, needed, next_step):
    case = getattr(scene, road)()
    for who in ("technician", "physicist", "proposer", "approver"):
        page = work(getattr(scene, who))
        found = [(row.number, row.next_step, row.state) for row in page.rows]
        expected = [(str(case), next_step, "needs-you")] if who in needed else []
        assert (who, found) == (who, expected)
        assert page.counts["needs-me"] == len(expected)


def test_work_when_an_approver_proposed_it_then_another_is_needed(scene):
    scene.also(scene.proposer, Role.APPROVER)
    scene.proposed()
    assert work(scene.proposer).rows == []
    assert len(work(scene.approver).rows) == 1


def test_work_when_another_approver_has_it_then_says_who(scene):
    scene.taken()
    other = factories.user(Role.APPROVER)
    assert work(other).rows == []
    (row,) = work(other, "open").rows
    assert row.with_whom == scene.approver.name


def test_work_when_a_site_corrects_then_it_waits_for_the_site_until_the_deadline(scene, clock):
    case = scene.reviewing(nema_iq="FAIL")
    scene.require_action(case)
    (row,) = work(scene.physicist, "waiting-for-sites").rows
    assert (row.number, row.due_on, row.with_whom) == (str(case), datetime.date(2026, 3, 24), "site")
    assert work(scene.physicist, "breaching-today").counts["breaching-today"] == 0
    clock.to(datetime.date(2026, 3, 24))
    page = work(scene.physicist, "breaching-today")
    assert (page.counts["breaching-today"], page.due_today, page.overdue) == (1, 1, 0)
    clock.to(datetime.date(2026, 3, 25))
    assert work(scene.physicist, "breaching-today").overdue == 1


def test_work_when_the_lab_is_to_act_then_five_working_days_are_given(scene, clock):
    scene.reviewing()  # Tuesday 10 March
    (row,) = work(scene.physicist).rows
    assert row.due_on == datetime.date(2026, 3, 17)
    for day, breaching, overdue in ((16, 0, 0), (17, 1, 0), (18, 1, 1)):
        clock.to(datetime.date(2026, 3, day))
        page = work(scene.physicist)
        assert (page.counts["breaching-today"], page.overdue) == (breaching, overdue)


def test_work_when_narrowed_then_only_those_are_counted(scene):
    scene.reviewing()
    trial = factories.trial()
    assert work(scene.physicist, site=scene.site.code).counts["open"] == 1
    assert work(scene.physicist, site="elsewhere").counts["open"] == 0
    assert work(scene.physicist, trial=trial.code).counts["open"] == 0
    assert work(scene.physicist, kind="case").counts["open"] == 1
    assert work(scene.physicist, kind="cylinder").rows == []
    assert work(scene.physicist, verdict="PASS").rows == []


def test_work_when_it_grows_then_it_asks_no_more_queries(scene):
    scene.reviewing()
    request = ask(scene.physicist)
    request.user.memberships.all()
    few = queries_of(lambda: panels.work(request, places.WorkQuery(view="open")))
    for _ in range(6):
        Scene(EARL).reviewing()
    assert queries_of(lambda: panels.work(request, places.WorkQuery(view="open"))) <= few <= 5


# --- the site's home ------------------------------------------------------------------------------


def tasks(scene) -> list[places.Task]:
    return list(panels.tasks(ask(scene.sender)))


def test_tasks_when_a_draft_waits_then_it_is_to_be_sent(scene):
    case = scene.start()
    (task,) = tasks(scene)
    assert (task.text, task.url) == (
        f"Send the application {case}",
        reverse("accreditation:case-detail", args=[case.number]),
    )


def test_tasks_when_evidence_is_missing_then_each_is_asked_for_with_its_address(scene):
    scene.collecting()
    cylinder, nema = tasks(scene)
    assert cylinder.text == "Send the quarterly calibration cylinder"
    assert nema.text == "Send the yearly image quality phantom"
    assert cylinder.url.startswith(reverse("qc:submission-start") + "?kind=cylinder&scanner=")


def test_tasks_when_two_cases_need_the_same_phantom_then_it_is_asked_for_once(scene):
    scene.collecting()
    other = Scene(UK, trial=factories.trial(scene.site))
    other.site, other.scanner, other.reconstruction, other.sender = (
        scene.site,
        scene.scanner,
        scene.reconstruction,
        scene.sender,
    )
    other.collecting()
    texts = [task.text for task in tasks(scene)]
    assert len(texts) == len(set(texts)) == 3  # cylinder, image quality, the test transfer
    assert "Send a scan, to test the transfer" in texts


def test_tasks_when_the_next_is_due_then_says_by_which_day(scene, clock):
    scene.accredited()
    assert tasks(scene) == []
    clock.to(datetime.date(2026, 4, 26))
    (task,) = tasks(scene)
    assert (task.text, task.due_on) == ("Send the quarterly calibration cylinder", datetime.date(2026, 5, 16))


def test_tasks_when_a_correction_is_asked_for_then_it_comes_with_its_deadline(scene):
    case = scene.reviewing(nema_iq="FAIL")
    scene.require_action(case)
    (task,) = tasks(scene)
    assert (task.text, task.due_on) == (f"Do what {case} asks", datetime.date(2026, 3, 24))


def test_tasks_when_it_is_suspended_then_the_site_is_told_to_read_why(scene):
    case = scene.accredited()
    call(services.case_suspend, actor=scene.approver, case_id=case.pk, reason="The detector was repaired.")
    assert [task.text for task in tasks(scene)] == [f"Read why {case} is suspended"]
    (row,) = work(scene.physicist, "waiting-for-sites").rows
    assert (row.number, row.next_step) == (str(case), "Suspended")


def test_tasks_when_its_end_is_near_then_the_next_accreditation_is_to_be_begun(scene):
    case = scene.accredited()
    Case.objects.filter(pk=case.pk).update(state=C.DUE_SOON)
    (task,) = tasks(scene)
    assert (task.text, task.due_on) == (f"Accredit again: {case} ends soon", case.valid_until)


def test_tasks_when_the_lab_asks_then_there_is_nothing_of_other_sites(scene):
    scene.collecting()
    assert list(panels.tasks(ask(scene.physicist))) == []


def test_home_when_cases_grow_then_it_asks_no_more_queries(scene):
    scene.accredited()

    def home():
        request = ask(scene.sender)
        list(panels.tasks(request)), list(panels.of_home(request)), panels.counts(request)

    few = queries_of(home)
    for _ in range(4):
        trial = factories.trial(scene.site)
        Case.objects.create(
            number=9000 + trial.pk,
            scanner=scene.scanner,
            reconstruction=scene.reconstruction,
            programme=UK,
            trial=trial,
            created_by=scene.sender,
            state=C.ANALYSIS_RUNNING,
        )
    assert queries_of(home) <= few <= 9


# --- may we scan? ---------------------------------------------------------------------------------


def may_scan(scene) -> list[tuple[str, str, str]]:
    (panel,) = panels.of_home(ask(scene.sender))
    return [
        (str(trial or "general"), row.clearance.words, row.clearance.why)
        for trial, rows in panel.context["groups"]
        for row in rows
    ]


def test_may_scan_when_nothing_was_begun_then_not_cleared_yet_and_a_case_can_be_started(scene, client):
    trial = factories.trial(scene.site)
    assert may_scan(scene) == [(trial.code, "Not cleared yet", "")]
    client.force_login(scene.sender)
    page = client.get("/").content.decode()
    start = f"{reverse('accreditation:case-start')}?scanner={scene.scanner.pk}&amp;trial={trial.code}"
    assert start in page


def test_may_scan_when_cleared_then_until_which_day_and_near_the_end_in_how_many(scene, clock):
    case = scene.accredited()
    last = certificate_of(case).valid_until
    assert may_scan(scene) == [("general", f"Cleared to {last.day} {last:%b %Y}", "")]
    clock.to(last - days(12))
    assert may_scan(scene)[0][1] == "Ends in 12 days"
    clock.to(last)
    assert may_scan(scene)[0][1] == "Ends today"
    clock.to(last + days(1))
    assert may_scan(scene)[0][1] == f"Expired {last.day} {last:%b %Y}"


def test_may_scan_when_the_zone_is_ahead_then_the_day_is_the_sites_own(clock):
    scene = Scene(EARL, time_zone="Pacific/Auckland")
    case = scene.accredited()
    last = certificate_of(case).valid_until
    clock.to(last, hour=18)  # it is the next morning at the site
    assert may_scan(scene)[0][1].startswith("Expired")


def test_may_scan_when_suspended_then_since_when_and_why(scene, client):
    case = scene.accredited()
    client.force_login(scene.approver)
    client.post(reverse("accreditation:case-suspend", args=[case.number]), {"reason": "The detector was repaired."})
    assert may_scan(scene) == [("general", "Suspended 10 Mar 2026", "The detector was repaired.")]


def test_may_scan_when_a_general_clearance_holds_then_it_holds_for_each_trial(scene):
    scene.accredited()
    trial, elsewhere = factories.trial(scene.site), factories.trial()
    (row,) = may_scan(scene)
    assert (row[0], row[1][:10]) == (trial.code, "Cleared to")
    assert elsewhere.code not in str(may_scan(scene))


def test_may_scan_when_one_trial_cleared_it_then_the_other_did_not(clock):
    scene = Scene(UK)
    call_first = scene.sent("cylinder")  # the transfer
    assert call_first
    scene.accredited()
    other = factories.trial(scene.site)
    found = {trial: words for trial, words, _ in may_scan(scene)}
    assert found[scene.trial.code].startswith("Cleared to")
    assert found[other.code] == "Not cleared yet"


# --- the trial ------------------------------------------------------------------------------------


def test_matrix_when_a_trial_manager_asks_then_each_scanner_has_clearance_and_phantom(clock):
    scene = Scene(UK)
    scene.accredited()
    second = factories.scanner(scene.site)
    manager = factories.user(Role.TRIAL_MANAGER, trial=scene.trial)
    rows = scanning.matrix_for(manager, scene.trial)
    cleared = next(row for row in rows if row.scanner == scene.scanner)
    assert cleared.clearance.may_scan
    assert cleared.phantom.verdict == "PASS"
    assert next(row for row in rows if row.scanner == second).clearance.words == "Not cleared yet"


def test_matrix_when_phantoms_were_sent_for_several_trials_then_each_shows_its_own_or_that_of_none(scene):
    scene.accredited()
    one, other = factories.trial(scene.site), factories.trial(scene.site)
    general = scene.signed("nema_iq", signed_at=timezone.now() + days(1))
    of_one = scene.signed("nema_iq", "FAIL", signed_at=timezone.now() + days(2), trial=one)
    manager = factories.user(Role.TRIAL_MANAGER, trial=one)
    of_other = factories.user(Role.TRIAL_MANAGER, trial=other)
    assert [row.phantom for row in scanning.matrix_for(manager, one)] == [of_one.run.submission]
    # How a phantom ended that was sent for one trial is not the business of another.
    assert [row.phantom for row in scanning.matrix_for(of_other, other)] == [general.run.submission]
    newest = scene.signed("cylinder", signed_at=timezone.now() + days(3))
    for person, trial in ((manager, one), (of_other, other), (scene.physicist, one)):
        assert [row.phantom for row in scanning.matrix_for(person, trial)] == [newest.run.submission]


def test_matrix_when_the_trial_is_not_theirs_then_nothing_of_it_is_there(clock):
    scene = Scene(UK)
    scene.accredited()
    stranger = factories.user(Role.TRIAL_MANAGER, trial=factories.trial(factories.site()))
    assert scanning.matrix_for(stranger, scene.trial) == []


def test_matrix_when_scanners_grow_then_it_asks_no_more_queries(clock):
    scene = Scene(UK)
    scene.accredited()
    manager = factories.user(Role.TRIAL_MANAGER, trial=scene.trial)
    request = ask(manager)
    few = queries_of(lambda: list(panels.of_trial(request, scene.trial)))
    for _ in range(5):
        site = factories.site()
        factories.scanner(site)
        scene.trial.sites.add(site)
    assert queries_of(lambda: list(panels.of_trial(request, scene.trial))) <= few <= 7


# --- search ---------------------------------------------------------------------------------------


def test_search_when_a_number_is_typed_then_it_leads_straight_there(scene, client):
    case = scene.accredited()
    certificate = certificate_of(case)
    client.force_login(scene.sender)
    for text, name, argument in (
        (str(case), "case-detail", case.number),
        (str(case).lower().replace("-", ""), "case-detail", case.number),
        (certificate.number.lower(), "certificate-detail", certificate.number),
    ):
        assert client.get("/search/", {"q": text}).url == reverse(f"accreditation:{name}", args=[argument])
    client.force_login(factories.user(Role.SITE_USER, site=factories.site()))
    assert client.get("/search/", {"q": str(case)}).status_code == 200


def test_search_when_a_serial_is_typed_then_cases_are_a_group(scene):
    case = scene.start()
    groups = list(panels.search(ask(scene.physicist), scene.scanner.serial, 5))
    assert [(group.title, group.total) for group in groups] == [("Cases", 1)]
    assert str(case) in groups[0].hits[0].text


def test_bar_when_a_case_needs_the_person_then_the_place_counts_it(scene):
    scene.start()
    assert panels.counts(ask(scene.sender)) == {"accreditation:case-list": 1}
    other = Scene(EARL)
    other.reviewing()
    assert panels.counts(ask(other.physicist)) == {"corelab:work-list": 1, "accreditation:case-list": 1}
