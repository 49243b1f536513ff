"""The pages in a real browser: no policy message, no rule of accessibility broken, no page wider than a phone."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from django.test import Client
from playwright.sync_api import Browser, Page, sync_playwright

from corelab import panels
from corelab.models import AuditHead
from corelab.panels import Sent, Task, WorkPage, WorkRow
from tests import factories

CHROMIUM = Path("/usr/bin/chromium")
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--no-first-run",
]

pytestmark = [
    pytest.mark.services,
    pytest.mark.slow,
    pytest.mark.timeout(240),
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(not CHROMIUM.exists(), reason="Chromium is not installed"),
]

PAGES = {
    "nobody": ["/accounts/login/", "/help/", "/help/verdicts/"],
    "site_user": [
        "/",
        "/sites/",
        "/sites/site-north/",
        "/account/",
        "/accounts/password/",
        "/search/?q=north",
        "/nothing/",
    ],
    "physicist": ["/work/", "/trials/"],
    "trial_manager": ["/", "/trials/ALPHA/"],
    "auditor": ["/audit/", "/people/"],
    "administrator": ["/", "/sites/add/", "/sites/site-north/edit/", "/trials/ALPHA/edit/", "/people/invite/"],
}

#: Text of what is hidden beyond a panel's edge, where nobody can scroll to it.
CUT_OFF = """[...document.querySelectorAll("main :is(div, ul, ol, section, p, span)")]
  .filter((one) => ["hidden", "clip"].includes(getComputedStyle(one).overflowX))
  .filter((one) => one.clientWidth > 1 && one.scrollWidth > one.clientWidth + 1)
  .map((one) => one.innerText.slice(0, 60))"""


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    # The sync interface runs a loop in this thread, in which Django would refuse its own queries.
    before = os.environ.get("DJANGO_ALLOW_ASYNC_UNSAFE")
    os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "true"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=str(CHROMIUM), args=FLAGS)
        yield browser
        browser.close()
    os.environ.pop("DJANGO_ALLOW_ASYNC_UNSAFE") if before is None else None


@pytest.fixture
def filled_house(house, monkeypatch):
    AuditHead.objects.get_or_create(pk=1)
    monkeypatch.setattr(panels, "_providers", {})
    outcomes = ["FAIL", "PASS", "NOT_EVALUABLE", "WARN", "ERROR", ""]
    rows = [
        WorkRow(
            number=f"S-{1001 + n}",
            url="/help/",
            what="NEMA IQ phantom",
            site="Site North",
            verdict=outcome,
            state="needs-you",
            next_step="Review",
        )
        for n, outcome in enumerate(outcomes)
    ]
    panels.register("work", lambda r, q: WorkPage(rows=rows, counts={"needs-me": 6}))
    panels.register("tasks", lambda r: [Task(text="Finish S-1004", url="/help/", hint="Uniform cylinder")])
    panels.register("sent", lambda r: [Sent(number="S-1001", url="/help/", what="NEMA IQ phantom", verdict="FAIL")])
    return house


@pytest.fixture
def open_page(chromium, live_server, filled_house):
    """Return a function that opens a browser for a person and collects what the console says."""
    contexts = []

    def opened(who: str = "nobody", *, width: int = 1280, theme: str = "light", script: bool = True) -> Page:
        context = chromium.new_context(
            base_url=live_server.url,
            viewport={"width": width, "height": 800},
            color_scheme=theme,
            java_script_enabled=script,
            reduced_motion="reduce",
        )
        contexts.append(context)
        if who != "nobody":
            client = Client()
            client.force_login(filled_house.people[who])
            context.add_cookies(
                [{"name": "sessionid", "value": client.cookies["sessionid"].value, "url": live_server.url}]
            )
        page = context.new_page()
        page.said = []
        page.on(
            "console", lambda message: page.said.append(message.text) if message.type in {"error", "warning"} else None
        )
        page.on("pageerror", lambda error: page.said.append(str(error)))
        return page

    yield opened
    for context in contexts:
        context.close()


@pytest.mark.parametrize(("width", "theme"), [(1280, "light"), (390, "dark"), (320, "light")])
def test_pages_when_opened_then_silent_accessible_and_never_too_wide(open_page, width, theme):
    wrong = []
    for who, paths in PAGES.items():
        page = open_page(who, width=width, theme=theme)
        for path in paths:
            page.goto(path)
            assert page.get_attribute("html", "data-bs-theme") == theme
            if page.evaluate("document.documentElement.scrollWidth > window.innerWidth"):
                wrong.append(f"{path} is wider than {width}")
            wrong += [f"{path} cuts off {text!r} at {width}" for text in page.evaluate(CUT_OFF)]
            if width == 320:  # the rules are the same as at 390; here only the reflow is of interest
                continue
            found = Axe().run(page, options={"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]})
            assert len(found.response["passes"]) > 10
            wrong += [
                f"{path}: {rule['id']} {node['target']} {node['failureSummary']}"
                for rule in found.response["violations"]
                for node in rule["nodes"]
            ]
        wrong += [said for said in page.said if "404" not in said]
    assert not wrong


def test_keys_when_switched_on_then_rows_open_without_a_mouse(open_page, filled_house):
    filled_house.physicist.keys_enabled = True
    filled_house.physicist.save()
    page = open_page("physicist")
    page.goto("/work/")
    page.keyboard.press("j")
    page.keyboard.press("j")
    assert page.evaluate("document.activeElement.textContent") == "S-1002"
    page.keyboard.press("k")
    assert page.evaluate("document.activeElement.textContent") == "S-1001"
    page.keyboard.press("?")
    assert page.is_visible("#keys-dialog")
    page.keyboard.press("Escape")
    page.keyboard.press("/")
    page.keyboard.type("jk")
    assert page.input_value("#bar-search") == "jk"
    page.goto("/sites/")
    page.keyboard.press("g")
    page.keyboard.press("w")
    page.wait_for_url("**/work/")


def test_keys_when_not_switched_on_then_nothing_happens(open_page):
    page = open_page("physicist")
    page.goto("/work/")
    page.keyboard.press("?")
    assert not page.is_visible("#keys-dialog")


def test_search_when_typed_then_groups_come_without_a_press(open_page):
    page = open_page("physicist")
    page.goto("/search/")
    page.locator("#q").press_sequentially("north")
    page.wait_for_selector("#found >> text=Site North")
    assert page.said == []


def test_form_when_it_comes_back_then_focus_is_on_the_summary_and_its_lines_lead_to_the_fields(open_page):
    page = open_page("administrator")
    page.goto("/people/invite/")
    page.click("text=Invite and make the link")
    page.wait_for_selector(".error-summary")
    assert page.evaluate("document.activeElement.className") == "error-summary"
    page.click(".error-summary a >> nth=0")
    assert page.evaluate("document.activeElement.id") == "id_name"


def test_form_when_walked_by_keys_on_a_phone_then_no_bar_lies_on_the_field(open_page):
    page = open_page("administrator", width=390)
    page.set_viewport_size({"width": 390, "height": 600})
    page.goto("/sites/site-north/edit/")
    page.locator("[name=name]").focus()
    for name in ("code", "city", "country", "time_zone", "is_active", "reason"):
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.name") == name
        foot = page.evaluate("document.activeElement.getBoundingClientRect().bottom")
        assert foot <= page.evaluate("document.querySelector('.action-bar').getBoundingClientRect().top"), name


def test_idle_when_the_end_is_near_then_a_dialog_asks_and_one_press_stays(open_page):
    page = open_page("site_user")
    page.clock.install()
    page.goto("/help/")
    page.clock.fast_forward("26:30")
    assert not page.is_visible("#idle-dialog")
    page.clock.fast_forward("01:00")
    assert page.is_visible("#idle-dialog")
    with page.expect_response("**/account/stay/") as stayed:
        page.keyboard.press("Enter")
    assert stayed.value.status == 204
    page.clock.fast_forward("20:00")
    assert not page.is_visible("#idle-dialog")


def test_poll_when_the_tab_is_hidden_then_it_rests_and_a_change_shows_a_bar(open_page):
    page = open_page("physicist")
    page.clock.install()
    asked = []
    page.on("request", lambda request: asked.append(request) if "/work/news/" in request.url else None)
    page.goto("/work/")
    page.evaluate("Object.defineProperty(document, 'hidden', {value: true, configurable: true})")
    page.clock.run_for(61_000)
    assert asked == []
    page.evaluate("Object.defineProperty(document, 'hidden', {value: false, configurable: true})")
    panels.register("work", lambda r, q: WorkPage(rows=[WorkRow(number="C-1", url="/", what="x", site="y")], counts={}))
    page.clock.run_for(31_000)
    page.wait_for_selector("text=The list has changed.")
    assert asked[0].headers["x-poll"] == "1"


def test_pages_when_script_is_off_then_signing_in_filtering_and_forms_work(open_page, filled_house):
    page = open_page(script=False)
    page.goto("/people/")
    page.fill("#id_login", filled_house.administrator.email)
    page.fill("#id_password", factories.PASSWORD)
    page.click("main button[type=submit]")
    assert page.url.endswith("/people/")
    page.fill("#f-q", filled_house.monitor.email)
    page.click("text=Filter >> nth=-1")
    assert page.locator("tbody tr").count() == 1
    page.goto("/sites/add/")
    page.fill("#id_name", "Site East")
    page.fill("#id_code", "site-east")
    page.click("main button[type=submit]")
    assert page.url.endswith("/sites/site-east/")
