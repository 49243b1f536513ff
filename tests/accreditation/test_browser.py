"""Cases and the check in a real browser: silent, accessible, never too wide; a decision without and with script."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from axe_playwright_python.sync_playwright import Axe
from django.test import Client
from django.urls import reverse
from playwright.sync_api import Browser, Page, expect, sync_playwright

from accreditation.workflow import CaseState as C
from corelab.models import AuditHead, Role
from tests import factories
from tests.accreditation.scenes import EARL, Scene, certificate_of, fresh

CHROMIUM = Path("/usr/bin/chromium")
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--no-first-run",
]
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]

pytestmark = [
    pytest.mark.services,
    pytest.mark.slow,
    pytest.mark.timeout(300),
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(not CHROMIUM.exists(), reason="Chromium is not installed"),
]


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
def lab() -> SimpleNamespace:
    """One site whose case asks for a correction, one whose case waits for a decision, one that is accredited."""
    AuditHead.objects.get_or_create(pk=1)
    w = SimpleNamespace(correcting=Scene(EARL), deciding=Scene(EARL), done=Scene(EARL))
    w.correction = w.correcting.reviewing(nema_iq="FAIL")
    w.correcting.require_action(w.correction)
    w.review = w.deciding.reviewing(nema_iq="FAIL")
    w.accredited = w.done.accredited()
    w.certificate = certificate_of(w.accredited)
    w.trial = factories.trial(w.done.site, w.correcting.site)
    w.manager = factories.user(Role.TRIAL_MANAGER, trial=w.trial)
    return w


@pytest.fixture
def open_page(chromium, live_server):
    """Return a function that opens a browser for a person, or for nobody, and collects what the console says."""
    contexts = []

    def opened(who=None, *, width: int = 1280, theme: str = "light", script: bool = True) -> Page:
        context = chromium.new_context(
            base_url=live_server.url,
            viewport={"width": width, "height": 800},
            color_scheme=theme,
            reduced_motion="reduce",
            java_script_enabled=script,
        )
        contexts.append(context)
        if who is not None:
            client = Client()
            client.force_login(who)
            cookie = {"name": "sessionid", "value": client.cookies["sessionid"].value, "url": live_server.url}
            context.add_cookies([cookie])
        page = context.new_page()
        page.said = []
        page.on("console", lambda said: page.said.append(said.text) if said.type in {"error", "warning"} else None)
        page.on("pageerror", lambda error: page.said.append(str(error)))
        return page

    yield opened
    for context in contexts:
        context.close()


def url(name: str, case) -> str:
    return reverse(f"accreditation:{name}", args=[case.number])


def walks(lab: SimpleNamespace) -> list[tuple[object, list[str]]]:
    """Return, by person, the pages to be looked at."""
    return [
        (
            lab.correcting.sender,
            [
                "/",
                reverse("accreditation:case-list"),
                reverse("accreditation:case-start"),
                url("case-detail", lab.correction),
                url("case-withdraw", lab.correction),
                reverse("corelab:scanner-detail", args=[lab.correcting.scanner.pk]),
                "/help/accreditation/",
            ],
        ),
        (
            lab.deciding.proposer,
            [
                "/work/",
                reverse("accreditation:case-list"),
                url("case-detail", lab.review) + "?from=needs-me",
                url("case-decide", lab.review),
                url("case-detail", lab.accredited),
                reverse("accreditation:certificate-detail", args=[lab.certificate.number]),
            ],
        ),
        (lab.manager, [reverse("corelab:trial-detail", args=[lab.trial.code])]),
        (
            None,
            [
                reverse("accreditation:certificate-find"),
                reverse("accreditation:certificate-check", args=[lab.certificate.number]),
            ],
        ),
    ]


@pytest.mark.parametrize(("width", "theme"), [(1280, "light"), (390, "dark"), (320, "light")])
def test_pages_when_opened_then_silent_accessible_and_never_too_wide(open_page, lab, width, theme):
    wrong = []
    for who, paths in walks(lab):
        page = open_page(who, width=width, theme=theme)
        for path in paths:
            answer = page.goto(path)
            assert answer.status == 200, path
            page.evaluate("document.querySelectorAll('main details').forEach((one) => { one.open = true; })")
            if page.evaluate("document.documentElement.scrollWidth > window.innerWidth"):
                wrong.append(f"{path} is wider than {width}")
            if width == 320:  # the rules are the same as at 390; here only the reflow is of interest
                continue
            found = Axe().run(page, options={"runOnly": RULES}).response
            assert len(found["passes"]) > 10
            wrong += [
                f"{path}: {rule['id']} {node['target']} {node['failureSummary']}"
                for rule in found["violations"]
                for node in rule["nodes"]
            ]
        wrong += page.said
    assert not wrong, "\n".join(wrong)


def test_home_when_a_phone_opens_it_then_may_we_scan_comes_first(open_page, lab):
    page = open_page(lab.done.sender, width=390)
    page.goto("/")
    expect(page.locator("main h2").first).to_have_text(re.compile("May we scan"))
    wide = open_page(lab.done.sender)
    wide.goto("/")
    tasks, may = wide.locator("#todo").bounding_box(), wide.locator(".may-scan h2").first.bounding_box()
    assert tasks["x"] < may["x"]
    assert abs(tasks["y"] - may["y"]) < 2


@pytest.mark.parametrize("script", [True, False])
def test_decide_when_a_physicist_signs_then_it_works_with_script_and_without(open_page, lab, script):
    page = open_page(lab.deciding.proposer, script=script)
    page.goto(url("case-detail", lab.review))
    page.get_by_role("link", name="Decide").click()
    expect(page.get_by_text("Accredit is off: 1 requirement is missing")).to_be_visible()
    page.get_by_label("Corrective action").check()
    if script:
        expect(page.get_by_label("By when", exact=True)).to_be_visible()
        page.get_by_label("Fail").check()
        expect(page.get_by_label("By when", exact=True)).to_be_hidden()
        page.get_by_label("Corrective action").check()
    page.get_by_label("Why", exact=True).fill("The spheres read low.")
    page.get_by_label("What the site is to do", exact=True).fill("Reconstruct with the 2 mm filter.")
    page.get_by_role("button", name="Continue to sign").click()
    expect(page.locator(".statement")).to_contain_text("require a corrective action by")
    page.get_by_label("Password").fill(factories.PASSWORD)
    page.get_by_role("button", name="Sign the corrective action").click()
    expect(page.locator("[data-state]")).to_have_attribute("data-state", "CORRECTIVE_ACTION_REQUIRED")
    assert fresh(lab.review).state == C.CORRECTIVE_ACTION_REQUIRED
    assert page.said == []


def test_check_when_a_stranger_types_a_number_then_the_answer_comes_first(open_page, lab):
    page = open_page(width=390, script=False)
    page.goto(reverse("accreditation:certificate-find"))
    page.get_by_label("Number of the certificate").fill(lab.certificate.number.lower())
    page.get_by_role("button", name="Check").click()
    answer = page.locator(".verdict-line")
    expect(answer).to_contain_text("Valid today")
    assert answer.bounding_box()["y"] < 200
