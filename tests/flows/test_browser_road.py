"""The whole road once, in a real browser against the real product: from a site's first press to its signed report."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import expect

from accreditation.management.commands._demo_scans import standard_scans
from accreditation.management.commands._demo_site import written
from phantoms import digital
from tests.flows import house
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
COMMENT = "Thank you. Please use the same batch of activity next time."
Walks = Callable[[str], Walker]


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


def _review(physicist: Walker, number: str) -> None:
    """Take the submission from the worklist, answer the visual check, decide."""
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
