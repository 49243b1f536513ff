"""The pages in a real browser: silent, accessible, never too wide; and an upload that is interrupted."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from axe_playwright_python.sync_playwright import Axe
from django.db import connection
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from playwright.sync_api import Browser, Page, expect, sync_playwright

from corelab import storage
from corelab.models import AuditHead, Role
from qc.models import Submission, TrialReport
from qc.states import SubmissionState as S
from tests import factories
from tests.qc import kit, scenes

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
def lab(site, sender, physicist, draft) -> SimpleNamespace:
    """A site with a draft and submissions in the states that have a page of their own look."""
    AuditHead.objects.get_or_create(pk=1)
    trial = factories.trial(site)

    def made(**fields) -> Submission:
        return factories.submission(of=site, created_by=sender, scanner=draft.scanner, **fields)

    w = SimpleNamespace(site=site, sender=sender, physicist=physicist, draft=draft, manager=None)
    w.manager = factories.user(Role.TRIAL_MANAGER, trial=trial)
    w.checking = made(state=S.CHECKING, sent_by=sender)
    w.waiting = made(kind="nema_iq")
    scenes.measured(w.waiting, scenes.nema_result(0.72))
    w.held = made()
    scenes.measured(w.held, state=S.HELD)
    w.mine = made(trial=trial)
    scenes.measured(w.mine, scenes.cylinder_result(14.0), state=S.IN_REVIEW)
    Submission.objects.filter(pk=w.mine.pk).update(reviewer=physicist)
    w.signed = made(trial=trial)
    scenes.signed(w.signed, physicist, scenes.cylinder_result(14.0), comment_to_site="Check the calibrator.")
    w.trial = trial
    for number, late in enumerate(({}, {}, {"uptake_min": 82.0, "TIM_01": "FAIL"}, {"PREP_01": "WARN"})):
        w.patient = made(trial=trial, kind="patient", subject_code=f"010{number}", visit="PET2")
        scenes.signed(w.patient, physicist, scenes.patient_result(**{"uptake_min": 58.0 + 3 * number} | late))
    scenes.measured(made(trial=trial, kind="patient", subject_code="0109"), scenes.patient_result())
    TrialReport.objects.create(
        trial=trial,
        requested_by=w.manager,
        work_state="DONE",
        data_digest="7c" * 32,
        data_as_of=timezone.now(),
        **{name: storage.put_once([name.encode()]).stored for name in ("pdf", "csv", "deviations_csv")},
    )
    w.dry = made(is_dry_run=True)
    scenes.measured(w.dry, state=S.PREVIEWED)
    return w


@pytest.fixture
def open_page(chromium, live_server):
    """Return a function that opens a browser for a person and collects what the console says."""
    contexts = []

    def opened(who, *, width: int = 1280, theme: str = "light") -> Page:
        context = chromium.new_context(
            base_url=live_server.url,
            viewport={"width": width, "height": 800},
            color_scheme=theme,
            reduced_motion="reduce",
        )
        contexts.append(context)
        client = Client()
        client.force_login(who)
        context.add_cookies([{"name": "sessionid", "value": client.cookies["sessionid"].value, "url": live_server.url}])
        page = context.new_page()
        page.said = []
        page.on("console", lambda said: page.said.append(said.text) if said.type in {"error", "warning"} else None)
        page.on("pageerror", lambda error: page.said.append(str(error)))
        return page

    yield opened
    for context in contexts:
        context.close()


def url(name: str, row, query: str = "") -> str:
    return reverse(f"qc:{name}", args=[row.number]) + query


def walks(lab: SimpleNamespace) -> dict[str, list[str]]:
    """Return, by person, the pages to be looked at."""
    steps = ("place", "sheet", "files", "check", "sheet-print")
    return {
        "sender": [
            reverse("qc:submission-start"),
            *(url(f"submission-{step}", lab.draft) for step in steps),
            url("submission-receipt", lab.checking),
            url("submission-receipt", lab.signed),
            reverse("qc:submission-list"),
            *(url("submission-detail", one) for one in (lab.waiting, lab.held, lab.signed, lab.dry)),
            url("submission-withdraw", lab.waiting),
            url("submission-replace", lab.waiting),
        ],
        "physicist": [
            reverse("qc:submission-list"),
            url("submission-detail", lab.waiting, "?from=needs-me"),
            url("submission-detail", lab.waiting, "?against=plain"),
            url("submission-detail", lab.held),
            url("submission-detail", lab.signed),
            url("submission-review", lab.mine),
            url("submission-repeat", lab.waiting),
            url("run-detail", lab.signed.current_run),
            url("report-show", lab.signed.current_run),
        ],
        "manager": [
            reverse("qc:submission-list"),
            url("submission-detail", lab.signed),
            url("report-show", lab.patient.current_run),
            reverse("corelab:home-show"),
            reverse("qc:trial-scan-list", args=[lab.trial.code]),
            reverse("qc:trial-download-list", args=[lab.trial.code]),
        ],
    }


@pytest.mark.parametrize(("width", "theme"), [(1280, "light"), (390, "dark"), (320, "light")])
def test_pages_when_opened_then_silent_accessible_and_never_too_wide(open_page, lab, width, theme):
    wrong = []
    for who, paths in walks(lab).items():
        page = open_page(getattr(lab, who), width=width, theme=theme)
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


def test_sheet_when_a_field_is_left_then_the_decay_appears_and_nothing_is_lost_on_the_way(open_page, lab):
    page = open_page(lab.sender)
    page.goto(url("submission-sheet", lab.draft))
    typed = {"date": "2026-03-02", "activity": "70,0", "activity_time": "0910", "residual": "0.4"}
    typed |= {"residual_time": "0414", "volume": "9293"}
    for name, text in typed.items():
        page.fill(f"[name={name if name == 'date' else f'cylinder-{name}'}]", text)
    page.keyboard.press("Tab")
    expect(page.locator("#sheet-side")).to_contain_text("Use 09:14")
    expect(page.locator("#saved")).to_contain_text("Saved")
    page.get_by_role("button", name="Use 09:14").click()
    expect(page.locator("[name=cylinder-residual_time]")).to_have_value("09:14")
    expect(page.locator("[name=cylinder-activity]")).to_have_value("70,0")
    expect(page.locator("#sheet-side")).not_to_contain_text("Use 09:14")
    assert page.said == []


def test_sheet_when_the_unit_is_switched_then_every_sign_follows(open_page, lab):
    page = open_page(lab.sender)
    page.goto(url("submission-sheet", lab.draft))
    page.get_by_label("mCi").check()
    assert set(page.locator("[data-unit-sign]").all_inner_texts()) == {"mCi"}


def test_place_when_a_patient_scan_is_chosen_then_only_its_questions_are_asked(open_page, lab):
    page = open_page(lab.sender)
    page.goto(reverse("qc:submission-start"))
    page.get_by_label("Uniform cylinder").check()
    expect(page.get_by_label("Subject code")).to_be_hidden()
    page.get_by_label("Patient scan for a trial").check()
    expect(page.get_by_label("Subject code")).to_be_visible()
    expect(page.get_by_label("Judge it against")).to_be_hidden()


@pytest.fixture
def folder(tmp_path) -> Path:
    """A folder as a scanner exports it: slices, and something that is no image."""
    exported = tmp_path / "export"
    exported.mkdir()
    for number, content in enumerate(kit.slices(24, NumberOfSlices=24)):
        (exported / f"slice{number:03}.dcm").write_bytes(content)
    (exported / "notes.txt").write_text("not an image")
    return exported


def choose(page: Page, folder: Path) -> None:
    with page.expect_file_chooser() as chooser:
        page.get_by_role("button", name="Choose folder").click()
    chooser.value.set_files(folder)


def test_upload_when_the_line_drops_and_the_folder_is_chosen_again_then_nothing_comes_twice(open_page, lab, folder):
    if connection.vendor == "sqlite":
        pytest.skip("a database in memory is one connection, and three uploads at once need three")
    page = open_page(lab.sender)
    page.goto(url("submission-files", lab.draft))
    drops = {"left": 2}

    def unreliable(route):
        # Two requests fail in the middle; the rest goes through.
        if drops["left"] and len(arrived) > 4:
            drops["left"] -= 1
            route.abort("connectionreset")
        else:
            arrived.append(route.request.url)
            route.continue_()

    arrived: list[str] = []
    page.route("**/upload/**", unreliable)
    choose(page, folder)
    expect(page.locator("[data-part=status]")).to_have_text("All 25 files arrived.", timeout=60_000)
    assert drops["left"] == 0
    expect(page.locator("#file-list")).to_contain_text("24 of 24", timeout=30_000)
    expect(page.locator("#file-list")).to_contain_text("1 file left out")
    page.reload()
    choose(page, folder)
    expect(page.locator("[data-part=status]")).to_have_text("All 25 files arrived.", timeout=60_000)
    assert lab.draft.uploads.count() == lab.draft.files.count() == 25


def test_upload_when_paused_then_nothing_is_sent_until_one_goes_on(open_page, lab, folder):
    if connection.vendor == "sqlite":
        pytest.skip("a database in memory is one connection, and three uploads at once need three")
    page = open_page(lab.sender)
    page.goto(url("submission-files", lab.draft))
    page.route("**/upload/**", lambda route: (page.wait_for_timeout(60), route.continue_()))
    choose(page, folder)
    page.get_by_role("button", name="Pause").click()
    expect(page.locator("[data-part=status]")).to_have_text("Paused. What arrived is kept.")
    page.wait_for_timeout(500)
    before = page.inner_text("[data-part=counts]")
    page.wait_for_timeout(1_000)
    assert page.inner_text("[data-part=counts]") == before
    page.get_by_role("button", name="Go on").click()
    expect(page.locator("[data-part=status]")).to_have_text("All 25 files arrived.", timeout=60_000)
    assert lab.draft.files.count() == 25
