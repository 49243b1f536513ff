"""The demonstration's trial: its protocol published, one question asked, its conformance report downloaded."""

from __future__ import annotations

import csv
import io
import re
import time
from dataclasses import dataclass
from pathlib import Path

from django.urls import reverse

from accreditation.management.commands._browser import Browser, PageError
from accreditation.management.commands._demo_site import complaints

REPORT_WITHIN_S = 60.0
QUERY = re.compile(r"/queries/(Q-\d+)/")
#: The files of a report, with what they are called here.
FILES = ("conformance.pdf", "scans.csv", "deviations.csv")


@dataclass(frozen=True)
class ScanLine:
    """One scan as the trial's report has it."""

    verdict: str
    is_conformant: bool
    rules: tuple[str, ...]


def publish_protocol(browser: Browser, trial: str) -> None:
    """Let the physicist publish the trial's protocol from the lymphoma template, in force from today."""
    page = browser.open(reverse("qc:protocol-list"))
    place = reverse("qc:protocol-start", args=[trial])
    if not any(form.action.endswith(place) for form in page.forms):
        return
    page = browser.submit(page.form_to(place), {"template": "lymphoma"})
    publish = browser.open(reverse("qc:protocol-publish", args=[trial, 1]))
    page = browser.submit(publish.form_with("effective_on", "shown_digest"))
    if reverse("qc:protocol-detail", args=[trial, 1]) not in page.url:
        raise PageError(f"The protocol of {trial} was not published: {complaints(page)}")


def ask(browser: Browser, submission: int) -> str:
    """Let the technician ask the site what the rules drafted about a scan; return the question's number."""
    page = browser.open(reverse("qc:submission-detail", args=[submission]))
    number = next((match[1] for link in page.links if (match := QUERY.search(link))), "")
    if not number:
        raise PageError(f"No question was drafted about S-{submission}.")
    page = browser.open(reverse("qc:query-detail", args=[number]))
    place = reverse("qc:query-ask", args=[number])
    if any(form.action.endswith(place) for form in page.forms):
        browser.submit(page.form_to(place))
    return number


def download_report(browser: Browser, trial: str, folder: Path) -> dict[str, Path]:
    """Let the trial manager ask for the report of what the data are now, and download its files into a folder."""
    page = browser.open(reverse("corelab:trial-detail", args=[trial]))
    browser.submit(page.form_to(reverse("qc:trial-report-request", args=[trial])))
    deadline = time.monotonic() + REPORT_WITHIN_S
    while True:
        page = browser.open(reverse("qc:trial-download-list", args=[trial]))
        # The newest stands first: one that is still being made has no files.
        newest = page.text.partition('class="download"')[2].partition("</li>")[0]
        links = [link for link in page.links if link.endswith(FILES) and link in newest]
        if len(links) == len(FILES):
            break
        if time.monotonic() > deadline:
            raise PageError(f"The report of {trial} was not made.")
        time.sleep(0.2)
    saved = {}
    for link in links:
        name = link.rpartition("/")[2]
        saved[name] = folder / f"{trial}_{name}"
        saved[name].write_bytes(browser.fetch(link))
    return saved


def read_scans(path: Path) -> dict[str, ScanLine]:
    """Read a report's table of scans, by subject."""
    rows = csv.DictReader(io.StringIO(path.read_text(encoding="utf-8-sig")))
    return {
        row["subject"]: ScanLine(
            verdict=row["verdict"],
            is_conformant=row["is_conformant"] == "yes",
            rules=tuple(re.findall(r"\b[A-Z]+-\d{2}\b", row["reasons"])),
        )
        for row in rows
    }
