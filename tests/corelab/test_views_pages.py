"""Home by role, work, search, help, the bar, and the shared error pages."""

from __future__ import annotations

import dataclasses
import datetime

import pytest
from django.test import RequestFactory
from django.urls import reverse
from django.utils import timezone

from corelab import panels, views
from corelab.errors import Misconfigured, StaleState, Transient
from corelab.middleware import DomainErrorMiddleware
from corelab.models import Membership, Role
from corelab.panels import SearchGroup, SearchHit, Sent, Task, WorkPage, WorkRow
from corelab.views.guide import TOPICS

ROW = WorkRow(
    number="S-1001",
    url="/submissions/S-1001/",
    what="NEMA IQ phantom",
    site="Site North",
    trial="ALPHA",
    due_on=datetime.date(2020, 1, 1),
    verdict="FAIL",
    headline="Five of six spheres are below the band.",
    next_step="Review",
    state="needs-you",
    with_whom="you",
)


@pytest.fixture(autouse=True)
def providers(monkeypatch):
    """Let only what a test registers fill the pages."""
    monkeypatch.setattr(panels, "_providers", {})


# --- home -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("who", "lands_on", "words"),
    [
        ("site_user", "/", "Site North"),
        ("trial_manager", "/", "ALPHA"),
        ("monitor", "/", "ALPHA"),
        ("technician", "/work/", "Work"),
        ("physicist", "/work/", "Work"),
        ("approver", "/work/", "Work"),
        ("auditor", "/audit/", "Audit"),
        ("administrator", "/", "Register and people"),
        ("nobody", "/", "You have no role yet"),
    ],
)
def test_home_when_a_role_opens_it_then_its_own_first_question_is_answered(house, signed_in, who, lands_on, words):
    page = signed_in(who).get("/", follow=True)
    assert page.request["PATH_INFO"] == lands_on
    assert f"<h1>{words}</h1>" in page.text.replace("<bdi>", "").replace("</bdi>", "")


def test_site_home_when_nothing_was_sent_yet_then_the_first_steps_are_shown(house, signed_in):
    page = signed_in("site_user").get("/").text
    assert "First steps" in page
    assert "Confirm the scanners of Site North" in page
    assert "1 in the register" in page


def test_site_home_when_packages_have_tasks_then_each_whole_row_is_a_link(house, signed_in):
    due = timezone.now().date() - datetime.timedelta(days=16)
    panels.register("tasks", lambda r: [Task(text="Finish S-1004", url="/send/S-1004/", due_on=due)])
    panels.register("sent", lambda r: [Sent(number="S-1001", url="/s/", what="NEMA IQ phantom", verdict="FAIL")])
    page = signed_in("site_user").get("/").text
    assert '<a class="task" href="/send/S-1004/">' in page
    assert "Overdue 16 days" in page
    assert "What to do (1)" in page
    assert "1 overdue" in page
    assert "next due" not in page
    assert "First steps" not in page


def test_site_home_when_tasks_have_days_then_it_counts_those_that_passed_and_names_the_next(house, signed_in):
    today = timezone.now().date()
    days = {"none": None, "late": -3, "far": 40, "today": 0, "later": 1, "very late": -30}
    tasks = [
        Task(text=f"Do {word}", due_on=None if day is None else today + datetime.timedelta(days=day))
        for word, day in days.items()
    ]
    panels.register("tasks", lambda r: tasks)
    page = signed_in("site_user").get("/").text
    assert "What to do (6)" in page
    assert f"2 overdue · next due {today.day} {today:%b %Y}" in page
    found = [page.index(f">Do {word}<") for word in ("late", "very late", "none", "far", "today", "later")]
    assert found == sorted(found)


# --- work -------------------------------------------------------------------------------


def _register_work(rows, seen=None):
    def provider(request, query):
        if seen is not None:
            seen.append(query)
        return WorkPage(rows=rows, counts={"needs-me": len(rows)}, kinds={"nema_iq": "NEMA IQ phantom"})

    panels.register("work", provider)


def test_work_when_filters_stand_in_the_address_then_they_reach_the_provider_and_stay_in_the_form(house, signed_in):
    seen = []
    _register_work([ROW], seen)
    page = signed_in("physicist").get("/work/?view=open&site=site-north&trial=ALPHA&kind=nema_iq&verdict=FAIL").text
    query = seen[0]
    assert (query.view, query.site, query.trial, query.kind, query.verdict) == (
        "open",
        "site-north",
        "ALPHA",
        "nema_iq",
        "FAIL",
    )
    for value in ("site-north", "ALPHA", "nema_iq", "FAIL"):
        assert f'value="{value}" selected' in page
    assert "Clear filters" in page


def test_work_when_the_view_or_verdict_is_made_up_then_the_usual_list_is_shown(house, signed_in):
    seen = []
    _register_work([], seen)
    assert signed_in("physicist").get("/work/?view=nonsense&verdict=GREAT&page=-4").status_code == 200
    assert (seen[0].view, seen[0].verdict) == ("needs-me", "")


def test_work_when_a_row_is_shown_then_number_links_and_a_proposal_says_so(house, signed_in):
    _register_work([ROW])
    page = signed_in("physicist").get("/work/").text
    assert '<a href="/submissions/S-1001/">S-1001</a>' in page
    assert "chip-proposed" in page
    assert "is-late" in page
    assert "Five of six spheres" in page


def test_work_when_there_are_more_rows_than_a_page_then_the_rest_is_behind_next(house, signed_in):
    rows = [WorkRow(number=f"S-{1000 + n}", url="/", what="x", site="Site North") for n in range(120)]
    _register_work(rows)
    browser = signed_in("physicist")
    assert browser.get("/work/").text.count('<th scope="row"') == 50
    last = browser.get("/work/?view=needs-me&page=2").text
    assert last.count('<th scope="row"') == 50
    assert "51 to 100 of 100" in last
    assert "The first 100 of 120. A filter shows the others." in last


def test_work_when_things_wait_then_the_head_says_how_many_are_late_and_how_long_the_oldest_waits(house, signed_in):
    now = timezone.now()
    row = dataclasses.replace(ROW, waits_since=now - datetime.timedelta(hours=30))
    page = WorkPage(
        rows=[row], counts={"needs-me": 1}, overdue=2, due_today=3, oldest_at=now - datetime.timedelta(days=6, hours=1)
    )
    panels.register("work", lambda r, q: page)
    shown = signed_in("physicist").get("/work/").text
    assert "1 needs you · 2 overdue · 3 due today · the oldest waits 6 days" in shown
    assert "waits 1 day</span>" in shown


def test_work_when_a_deep_page_is_asked_for_then_only_rows_up_to_its_end_are_read(house, signed_in):
    seen = []
    _register_work([ROW], seen)
    signed_in("physicist").get("/work/?page=2")
    signed_in("physicist").get("/work/?page=99999999")
    assert [query.limit for query in seen] == [100, 100]


def test_work_when_empty_then_it_says_what_waits_elsewhere(house, signed_in):
    panels.register("work", lambda r, q: WorkPage(rows=[], counts={"waiting-for-sites": 22}))
    assert "Nothing needs you. 22 wait for sites." in signed_in("physicist").get("/work/").text


def test_work_news_when_the_list_has_changed_then_a_bar_says_so_and_polling_ends(house, signed_in):
    rows = [ROW]
    _register_work(rows)
    browser = signed_in("physicist")
    marks = browser.get("/work/").context["marks"]
    same = browser.get(f"/work/news/?view=needs-me&marks={marks}", headers={"HX-Request": "true", "X-Poll": "1"}).text
    assert "hx-trigger" in same
    assert "changed" not in same
    rows.append(WorkRow(number="S-1002", url="/", what="x", site="Site North"))
    changed = browser.get(f"/work/news/?view=needs-me&marks={marks}", headers={"HX-Request": "true"}).text
    assert "The list has changed." in changed
    assert "hx-trigger" not in changed
    assert 'href="/work/?view=needs-me"' in changed


# --- search -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "leads_to"),
    [("60421", "scanner"), ("ALPHA", "/trials/ALPHA/"), ("site-north", "/sites/site-north/"), ("S-1001", "/there/")],
)
def test_search_when_a_number_or_code_is_exact_then_it_goes_straight_there(house, signed_in, text, leads_to):
    panels.register("jump", lambda request, wanted: "/there/" if wanted == "S-1001" else "")
    answer = signed_in("physicist").get("/search/", {"q": text})
    expected = f"/scanners/{house.scanner.pk}/" if leads_to == "scanner" else leads_to
    assert (answer.status_code, answer.headers["Location"]) == (302, expected)


def test_search_when_a_serial_belongs_to_another_site_then_nothing_tells(house, signed_in):
    page = signed_in("other_site_user").get("/search/", {"q": "60421"})
    assert page.status_code == 200
    assert "Nothing you may see matches “60421”" in page.text.replace("<bdi>", "").replace("</bdi>", "")


def test_search_when_several_match_then_groups_come_with_their_totals(house, signed_in):
    hits = [SearchHit(text="S-1001", url="/", verdict="FAIL")]
    panels.register(
        "search", lambda r, text, limit: [SearchGroup(title="Submissions", hits=hits, total=37, all_url="/all/")]
    )
    page = signed_in("physicist").get("/search/", {"q": "site"}).text
    assert 'href="/all/">all 37</a>' in page
    assert "Site North" in page
    assert "Site South" in page
    assert "People" not in page.partition("<main")[2]


def test_search_when_typed_with_script_then_only_the_groups_come_back(house, signed_in):
    fragment = signed_in("physicist").get("/search/", {"q": "site-north"}, headers={"HX-Request": "true"})
    assert fragment.status_code == 200
    assert "<html" not in fragment.text
    assert "Site North" in fragment.text


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "Type a number, a serial, a site or a trial."),
        ("x", "Type at least 2 letters."),
        ("Noth", "Did you mean <a href"),
        ("100%_", "Nothing you may see"),
    ],
)
def test_search_when_there_is_nothing_to_show_then_it_says_what_to_do(house, signed_in, text, words):
    assert words in signed_in("physicist").get("/search/", {"q": text}).text


# --- help and bar -----------------------------------------------------------------------


def test_help_when_each_topic_is_opened_then_its_text_is_there(house, signed_in):
    browser = signed_in("site_user")
    for topic, (title, _) in TOPICS.items():
        page = browser.get(reverse("corelab:help-topic", args=[topic])).text
        assert f"<h1>{title}</h1>" in page
        assert len(page.partition('class="panel prose"')[2]) > 600
    assert browser.get("/help/nothing/").status_code == 404


@pytest.mark.parametrize(
    ("who", "places"),
    [
        ("site_user", ["Home", "Send", "Submissions", "Accreditation", "Queries", "Sites", "Trials"]),
        ("physicist", ["Work", "Submissions", "Cases", "Queries", "Sites", "Trials", "Protocols"]),
        ("trial_manager", ["Home", "Submissions", "Queries", "Sites", "Trials"]),
        ("auditor", ["Audit", "Submissions", "Cases", "Queries", "Sites", "Trials", "Protocols", "People"]),
        ("administrator", ["Home", "Submissions", "Cases", "Sites", "Trials", "People", "Audit"]),
        ("nobody", []),
    ],
)
def test_bar_when_a_role_looks_then_its_places_stand_there_in_order(house, signed_in, who, places):
    bar = signed_in(who).get("/help/").context["nav"]
    assert [place.word for place in bar.all] == places
    assert len(bar.places) <= 6


def test_bar_when_a_person_has_several_roles_then_it_is_their_union_and_the_rest_is_under_more(house, signed_in):
    for role in (Role.ADMINISTRATOR, Role.PHYSICIST):
        Membership.objects.create(user=house.site_user, role=role, from_on=datetime.date(2020, 1, 1))
    bar = signed_in("site_user").get("/help/").context["nav"]
    assert [place.word for place in bar.places] == ["Home", "Work", "Send", "Submissions", "Accreditation", "Queries"]
    assert [place.word for place in bar.more] == ["Sites", "Trials", "Protocols", "People", "Audit"]


def test_bar_when_work_waits_then_its_count_stands_beside_the_place(house, signed_in):
    panels.register("nav", lambda request: {"corelab:work-list": 14})
    page = signed_in("physicist").get("/sites/").text
    assert '<span class="count">14</span>' in page
    assert '<a href="/sites/" aria-current="page">' in page


def test_page_when_shown_then_it_has_one_h1_a_skip_link_and_landmarks(house, signed_in):
    browser = signed_in("administrator")
    for address in ("/", "/sites/", "/sites/site-north/", "/people/", "/audit/", "/search/", "/help/", "/account/"):
        page = browser.get(address).text
        assert page.count("<h1") == 1
        assert 'href="#main"' in page
        assert '<main id="main"' in page
        assert "– PET core lab</title>" in page


# --- errors -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "status", "words"),
    [
        (StaleState("Someone signed this at 14:03."), 409, "Someone signed this at 14:03."),
        (Transient("The disk was busy."), 503, "The disk was busy."),
        (Misconfigured("No broker is named.", code="NO-BROKER"), 400, "NO-BROKER"),
    ],
)
def test_error_when_a_page_raises_it_then_the_person_reads_what_to_do(house, error, status, words):
    request = RequestFactory().get("/x/")
    request.user = house.physicist
    answer = DomainErrorMiddleware(lambda r: None).process_exception(request, error)
    assert answer.status_code == status
    assert words in answer.content.decode()


def test_our_error_when_shown_then_it_needs_no_database_and_tells_the_reference():
    request = RequestFactory().get("/x/")
    request.reference = "7F3K-2Q"
    answer = views.our_error(request)
    assert answer.status_code == 500
    assert "7F3K-2Q" in answer.content.decode()
