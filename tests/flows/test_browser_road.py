"""Three roads, once each, in a real browser: to a signed report, to a certificate, and to a trial's report."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, time, timedelta
from functools import partial
from pathlib import Path

import pytest
from playwright.sync_api import expect

from accreditation.management.commands import _demo_drawn as drawn
from accreditation.management.commands import _demo_people as people
from accreditation.management.commands import _demo_reviews as reviews
from accreditation.management.commands import _demo_site
from accreditation.management.commands import _demo_trial as trial
from accreditation.management.commands._browser import Browser
from accreditation.management.commands._demo_scans import standard_scans
from accreditation.management.commands._demo_site import written
from phantoms import digital
from tests.flows import hand, house
from tests.flows.conftest import PATIENCE_MS, House, Walker
from tests.stack.conftest import wait_for

pytestmark = [
    pytest.mark.services,
    pytest.mark.slow,
    pytest.mark.timeout(600),
    pytest.mark.xdist_group("stack"),
]

SITE_USER = "north@example.org"
PHYSICIST = "physicist@example.org"
TECHNICIAN, APPROVER, TRIAL_MANAGER = "technician@example.org", "approver@example.org", "trial-manager@example.org"
COMMENT = "Thank you. Please use the same batch of activity next time."
Walks = Callable[..., Walker]


@pytest.fixture
def cylinder(tmp_path: Path) -> tuple[list[Path], dict]:
    """Return the files and the activity sheet of a cylinder that passes."""
    scan = standard_scans()[0].make()
    return digital.write_dicom(scan, tmp_path / "cylinder"), scan.sheet


def test_road_when_walked_in_a_browser_then_a_scan_becomes_a_signed_report_of_its_site_alone(
    running_house: House, walker: Walks, cylinder: tuple[list[Path], dict], tmp_path: Path
) -> None:
    files, sheet = cylinder
    site = walker(SITE_USER)
    number = _fill_in(site, sheet)
    _send(site, files, number)

    physicist = walker(PHYSICIST)
    _review(physicist, number)
    digest = _sign(physicist, number, running_house.passwords[PHYSICIST])

    text = _read_result(site, number, tmp_path)
    assert running_house.names[PHYSICIST] in text
    assert digest in re.sub(r"\s", "", text)
    assert COMMENT in " ".join(text.split())

    stranger = walker(house.STRANGER)
    assert stranger.wrong == []
    answer = stranger.open(f"/submissions/{number}/")
    assert answer is not None
    assert answer.status == 404
    # The browser reports the answer as an error of the page, which also shows that it is listened to.
    assert len(stranger.wrong) == 1
    assert "404 (Not Found)" in stranger.wrong[0]
    assert not [*site.wrong, *physicist.wrong]


def _fill_in(site: Walker, sheet: dict) -> str:
    """Start a submission and fill in its activity sheet; return its number."""
    page = site.page
    site.press("Send a scan", leads_to="**/send/")
    page.get_by_text("Uniform cylinder").click()
    site.press("Save and continue", leads_to="**/sheet/")
    for name, value in written(sheet).items():
        if name not in {"nuclide", "unit"}:
            page.fill(f'[name="{name}"]', value)
    # What was written is kept and worked out beside the form while the person is still on the page.
    expect(page.get_by_role("table", name="Cylinder")).to_contain_text("kBq/mL")
    site.press("Save and continue", leads_to="**/files/")
    return re.search(r"S-\d+", page.url)[0]


def _send(site: Walker, files: list[Path], number: str) -> None:
    """Upload the slices, check, send, and watch the receipt until it is measured."""
    page = site.page
    page.set_input_files('[data-part="pick-files"]', files)
    expect(page.locator("#file-list")).to_contain_text(f"{len(files)} files", timeout=PATIENCE_MS)
    expect(page.locator('[data-part="counts"]')).to_contain_text(f"{len(files)} of {len(files)} files")
    site.press("Continue", leads_to="**/check/")
    expect(page.locator("main")).to_contain_text(f"{len(files)} of {len(files)}")
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url) if "/progress/" in request.url else None)
    site.press("Send to the core lab", leads_to="**/receipt/")
    expect(page.get_by_role("heading", level=1)).to_contain_text(number)
    expect(page.locator("main")).to_contain_text("It is measured.", timeout=PATIENCE_MS)
    assert asked, "the receipt did not ask by itself"
    site.look()
    # The site sees no number before a physicist has spoken.
    site.open(f"/submissions/{number}/")
    expect(page.locator("main")).to_contain_text("Waits for review")
    assert page.locator(".verdict-bar").count() == 0


def _look_at_images(physicist: Walker, number: str) -> None:
    """Take the submission from the worklist and answer the visual check."""
    page = physicist.page
    physicist.open("/work/")
    physicist.press(number, leads_to=f"**/submissions/{number}/**")
    expect(page.locator("main")).to_contain_text("Proposed")
    physicist.press("Review", leads_to="**/review/")
    rows = page.locator(".check-list > li")
    assert rows.count() >= 5
    for row in rows.all():
        row.get_by_role("button", name="Not seen").click()
        expect(row).to_contain_text("Not seen · ")


def _review(physicist: Walker, number: str) -> None:
    """Look at the submission, and decide."""
    page = physicist.page
    _look_at_images(physicist, number)
    # A verdict of one's own wants a reason; without one there is nothing to sign.
    page.get_by_label("Fail", exact=True).check()
    expect(page.get_by_label("Why your verdict differs")).to_be_visible()
    physicist.press("Continue to sign", leads_to="**/review/")
    expect(page.locator(".error-summary")).to_contain_text("Say why")
    page.get_by_label("Pass", exact=True).check()
    expect(page.get_by_label("Why your verdict differs")).to_be_hidden()
    page.get_by_label("Comment to the site").fill(COMMENT)
    physicist.press("Continue to sign", leads_to="**/sign/")


def _sign(physicist: Walker, number: str, password: str) -> str:
    """Sign what is shown, at the second try; return the digest of it."""
    page = physicist.page
    page.wait_for_selector(".sign-form")
    digest = str(page.locator("#sign-sheet .digest").get_attribute("title")).removeprefix("sha256:")
    assert re.fullmatch("[0-9a-f]{64}", digest)
    page.fill("#id_password", "not the password")
    physicist.press("Sign review", leads_to="**/sign/")
    expect(page.locator("main")).to_contain_text("Nothing was signed.")
    page.fill("#id_password", password)
    physicist.press("Sign review", leads_to=f"**/submissions/{number}/")
    expect(page.locator("#spoken")).to_contain_text("Signed and released to the site.")
    expect(page.locator("main")).to_contain_text("Signed review")
    physicist.open("/work/?view=released")
    expect(page.get_by_role("row").filter(has_text=number)).to_contain_text("Pass")
    return digest


def _read_result(site: Walker, number: str, folder: Path) -> str:
    """See the verdict at home and on the submission's page, and download the report; return its text."""
    page = site.page
    site.open("/")
    expect(page.get_by_role("link", name=number)).to_contain_text("Pass")
    site.open(f"/submissions/{number}/")
    expect(page.locator(".verdict-bar")).to_contain_text("Pass")
    expect(page.locator("main")).to_contain_text(COMMENT)
    download = page.get_by_role("link", name="Download report")
    # A worker makes the signed report; until it is there its address answers 404.
    place = str(download.get_attribute("href"))
    wait_for("the signed report", lambda: page.request.get(place).ok, within_s=60)
    with page.expect_download() as started:
        download.click()
    report = folder / "report.pdf"
    started.value.save_as(report)
    assert started.value.suggested_filename.startswith(number)
    assert report.read_bytes().startswith(b"%PDF")
    return subprocess.run(["pdftotext", report, "-"], check=True, capture_output=True, text=True).stdout


def test_road_when_walked_in_a_browser_then_a_scanner_has_a_certificate_that_everybody_can_check(
    running_house: House, walker: Walks, tmp_path: Path
) -> None:
    administrator, site = _invited(walker)
    site.open("/cases/start/")
    site.page.select_option("#id_scanner", label="Digital PET · 1")
    site.page.select_option("#id_reconstruction", label=people.RECONSTRUCTION)
    site.page.select_option("#id_programme", "earl@1")
    _by_keyboard(site, "Start the case", leads_to="**/cases/C-*/")
    case = re.search(r"/cases/C-\d+/", site.page.url)[0]
    _by_keyboard(site, "Send the application", leads_to=f"**{case}")

    technician = walker(TECHNICIAN)
    technician.open(case)
    _by_keyboard(technician, "Take up", leads_to=f"**{case}")
    technician.press("The application is complete", leads_to=f"**{case}")
    _evidence(running_house, tmp_path)

    physicist, approver = walker(PHYSICIST), walker(APPROVER)
    _decide(physicist, case, "propose", "Sign the proposal", running_house.passwords[PHYSICIST])
    approver.open(case)
    approver.press("Take for the second signature", leads_to=f"**{case}")
    _decide(approver, case, "approve", "Sign the accreditation", running_house.passwords[APPROVER])

    site.open(case)
    place = site.page.get_by_role("link", name=re.compile("PET-")).first
    number = str(place.get_attribute("href")).strip("/").rpartition("/")[2]
    document = f"/certificates/{number}.pdf"
    wait_for("the certificate", lambda: site.page.request.get(document).ok, within_s=60)
    site.open(f"/certificates/{number}/")
    site.open("/")
    expect(site.page.locator(".may-scan")).to_contain_text("Cleared to")
    site.open(f"/check/{number}/")
    expect(site.page.locator("main")).to_contain_text("Valid today")

    manager = walker(TRIAL_MANAGER)
    manager.open(f"/trials/{people.TRIAL}/")
    expect(manager.page.locator("main")).to_contain_text("Cleared to")
    people_at_work = (administrator, site, technician, physicist, approver, manager)
    assert not [wrong for one in people_at_work for wrong in one.wrong]


def _invited(walker: Walks) -> tuple[Walker, Walker]:
    """Let the administrator invite a person of the site, who follows the link; return both."""
    administrator = walker("administrator@example.org")
    administrator.open("/people/invite/")
    page = administrator.page
    page.fill("#id_name", "Site user North 2")
    page.fill("#id_email", "north-2@example.org")
    page.select_option("#id_role", "site_user")
    page.select_option("#id_site", label="Site North")
    administrator.press("Invite and make the link", leads_to="**/people/*/")
    link = page.input_value("#invitation-link")
    return administrator, walker("north-2@example.org", link=link)


def _by_keyboard(person: Walker, words: str, *, leads_to: str) -> None:
    """Reach a button or link by the tabulator alone, press it, and look at the page that follows."""
    page = person.page
    page.locator("body").focus()
    for _ in range(120):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.textContent.trim()") == words:
            break
    else:
        pytest.fail(f"{page.url}: the keyboard does not reach {words!r}")
    with page.expect_navigation(url=leads_to):
        page.keyboard.press("Enter")
    person.look()


def _decide(person: Walker, case: str, decision: str, words: str, password: str) -> None:
    """Choose a decision and sign what is then shown."""
    person.open(case)
    person.press("Decide", leads_to="**/decide/")
    person.page.check(f'[name="decision"][value="{decision}"]')
    person.press("Continue to sign", leads_to="**/sign/")
    person.page.fill("#id_password", password)
    person.press(words, leads_to=f"**{case}")


def _browser_of(house_: House, email: str) -> Browser:
    browser = Browser(house_.address)
    browser.sign_in("/accounts/login/", email, house_.passwords[email])
    return browser


def _evidence(house_: House, folder: Path) -> None:
    """Send both phantoms and sign them; how that looks in a browser the first road shows."""
    site, physicist = _browser_of(house_, SITE_USER), _browser_of(house_, PHYSICIST)
    yesterday = datetime.combine(hand.today() - timedelta(days=1), time(10))
    for kind in ("cylinder", "nema_iq"):
        scan = drawn.evidence(kind, kind, "1", yesterday).make()
        number = _demo_site.start(site, _demo_site.Place(kind, "· 1", people.RECONSTRUCTION))
        _demo_site.fill_in_sheet(site, number, scan.sheet)
        files = digital.write_dicom(scan, folder / kind, seed=len(kind))
        _demo_site.send_files(site, number, {file.name: file for file in files}, lambda done, of: None)
        _demo_site.send(site, number)
        wait_for(f"{kind} to be measured", partial(_demo_site.outcome, physicist, number), within_s=90)
        reviews.sign(physicist, number, house_.passwords[PHYSICIST])


def test_road_when_walked_in_a_browser_then_a_late_scan_is_asked_about_and_stands_in_the_trials_report(
    running_house: House, walker: Walks, tmp_path: Path
) -> None:
    trial.publish_protocol(_browser_of(running_house, PHYSICIST), people.TRIAL)
    late = replace(next(one for one in drawn.SUBJECTS if one.rules == ("TIM-01",)), serial="1")
    scanned_at = drawn.scan_times(datetime.combine(hand.today(), time(15)))[late.code]
    scan = late.scan(scanned_at).make()

    site = walker(SITE_USER)
    site.press("Send a scan", leads_to="**/send/")
    page = site.page
    page.get_by_text("Patient scan for a trial").click()
    page.select_option("#id_scanner", label="Digital PET · 1")
    page.select_option("#id_reconstruction", label=people.RECONSTRUCTION)
    page.select_option("#id_trial", label=people.TRIAL)
    page.fill("#id_subject_code", late.code)
    page.fill("#id_visit", "Baseline")
    site.press("Save and continue", leads_to="**/sheet/")
    for name, value in written(scan.sheet).items():
        if name not in {"unit", "glucose_unit"}:
            page.fill(f'[name="{name}"]', value)
    site.press("Save and continue", leads_to="**/files/")
    number = re.search(r"S-\d+", page.url)[0]
    _send(site, digital.write_dicom(scan, tmp_path / "late"), number)

    technician = walker(TECHNICIAN)
    technician.open(f"/submissions/{number}/")
    expect(technician.page.locator("main")).to_contain_text("82 min after the injection")
    place = str(technician.page.locator('main a[href^="/queries/Q-"]').first.get_attribute("href"))
    technician.open(place)
    technician.press("Ask the site", leads_to=f"**{place}")

    site.open("/")
    site.page.locator(f'main a[href="{place}"]').first.click()
    site.look()
    expect(site.page.locator("main")).to_contain_text("82 min after the injection")
    site.page.fill("#id_text", "The scanner was down for half an hour.")
    site.press("Send answer", leads_to=f"**{place}")

    technician.open(place)
    expect(technician.page.locator("main")).to_contain_text("The scanner was down for half an hour.")
    technician.page.fill("#id_reason", "The time is right; the scan stays late.")
    technician.press("Close", leads_to=f"**{place}")

    physicist = walker(PHYSICIST)
    _look_at_images(physicist, number)
    physicist.page.get_by_label("Fail", exact=True).check()
    physicist.press("Continue to sign", leads_to="**/sign/")
    physicist.page.wait_for_selector(".sign-form")
    physicist.page.fill("#id_password", running_house.passwords[PHYSICIST])
    physicist.press("Sign review", leads_to=f"**/submissions/{number}/")

    manager = walker(TRIAL_MANAGER)
    text = _trial_report(manager, tmp_path)
    assert late.code in text
    assert "TIM-01" in text
    assert running_house.names[PHYSICIST] not in text

    assert not [*site.wrong, *technician.wrong, *physicist.wrong, *manager.wrong]
    answer = walker(house.STRANGER).open(f"/trials/{people.TRIAL}/")
    assert answer is not None
    assert answer.status == 404


def _trial_report(manager: Walker, folder: Path) -> str:
    """Ask for the trial's report, watch it appear without loading the page again, and download it; return its text."""
    page = manager.page
    manager.open(f"/trials/{people.TRIAL}/")
    manager.press("Make the report", leads_to=f"**/trials/{people.TRIAL}/**")
    download = page.locator(".download-files a").first
    expect(download).to_contain_text("PDF", timeout=PATIENCE_MS)
    manager.look()
    with page.expect_download() as started:
        download.click()
    report = folder / "conformance.pdf"
    started.value.save_as(report)
    return subprocess.run(["pdftotext", "-layout", report, "-"], check=True, capture_output=True, text=True).stdout
