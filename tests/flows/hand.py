"""A lab that people build at their browsers: pages, forms and uploads alone, on Django's test client, jobs run at once.

The browser is the demonstration's; only what carries a request is another.
"""

from __future__ import annotations

import html
import io
import re
import zipfile
import zlib
import zoneinfo
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from django.core.management import call_command
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from accreditation.management.commands import _demo_cases as cases
from accreditation.management.commands import _demo_drawn as drawn
from accreditation.management.commands import _demo_site as site
from accreditation.management.commands._browser import Browser, PageError
from accreditation.management.commands._demo_scans import DemoScan
from phantoms import digital

ADDRESS = "http://testserver"
PASSWORD = "correct horse battery staple"
ADMINISTRATOR = "administrator@example.org"
SITE_USER, TECHNICIAN, PHYSICIST = "north@example.org", "technician@example.org", "physicist@example.org"
APPROVER, TRIAL_MANAGER = "approver@example.org", "trial-manager@example.org"
TRIAL, SERIAL, RECONSTRUCTION = "LYMPH-1", "2", "PSF+TOF 4 mm"
_LINK = re.compile(r"/invitation/[^/\"\s]+/[^/\"\s]+/")


class _Answer(io.BytesIO):
    """A response of the test client, read as one from a socket."""

    def __init__(self, response: Any, url: str) -> None:
        super().__init__(response.getvalue())
        self.url, self.status, self.headers = url, response.status_code, response.headers


class HandBrowser(Browser):
    """The browser, with a test client that checks tokens as a real server does."""

    def __init__(self) -> None:
        super().__init__(ADDRESS)
        self.client = Client(enforce_csrf_checks=True, raise_request_exception=True)

    def upload(self, path: str, submission: str, file: Path, name: str) -> None:
        """Send a file; the token is read where the client keeps it."""
        self.cookies = self.client.cookies.values()  # type: ignore[assignment]
        for cookie in self.client.cookies.values():
            cookie.name = cookie.key  # type: ignore[attr-defined]
        super().upload(path, submission, file, name)

    def _ask(self, method: str, path: str, body: bytes | None = None, headers: Mapping[str, str] | None = None) -> Any:
        given = dict(headers or {})
        for _ in range(5):
            place = urlsplit(path)
            where = place.path + (f"?{place.query}" if place.query else "")
            kind = given.get("Content-Type", "application/octet-stream")
            response = self.client.generic(method, where, body or b"", content_type=kind, headers=given)
            if response.status_code not in {301, 302, 303}:
                break
            method, body, path, given = "GET", None, response.headers["Location"], {}
        if response.status_code >= 400 and response.status_code != 422:
            words = " ".join(response.content[:2000].decode(errors="replace").split())
            raise PageError(f"{method} {where} was answered with {response.status_code}: {words}", response.status_code)
        return _Answer(response, f"{ADDRESS}{where}")


@dataclass
class Lab:
    """Everybody's browser; people are there once the register is built."""

    folder: Path
    browsers: dict[str, HandBrowser] = field(default_factory=dict)
    passwords: dict[str, str] = field(default_factory=dict)
    scanner_page: str = ""

    def browser_of(self, email: str) -> HandBrowser:
        """Return a person's browser, signed in."""
        return self.browsers[email]

    # --- how it comes to be ------------------------------------------------------------------

    def build(self) -> None:
        """Found the lab on the command line, register site, scanner and trial, and invite everybody."""
        said = io.StringIO()
        call_command("add_administrator", ADMINISTRATOR, "Administrator 1", stdout=said)
        self.accept(ADMINISTRATOR, said.getvalue())
        self._add("site-add", [], name="Site North", code="north", time_zone="Europe/London")
        made = self._add(
            "scanner-add", ["north"], manufacturer="SIEMENS", model="Digital PET", serial=SERIAL, software="1"
        )
        self.scanner_page = urlsplit(made.url).path
        key = self.scanner_page.strip("/").rpartition("/")[2]
        self._add(
            "reconstruction-add", [key], name=RECONSTRUCTION, method="PSF+TOF 3i21s", kernel=drawn.people.KERNEL,
            filter_fwhm_mm="4.0", matrix="100", pixel_mm="4.0", slice_mm="4.0",
        )  # fmt: skip
        form = self.browser_of(ADMINISTRATOR).open(reverse("corelab:trial-add")).form_with("code", "title")
        (north,) = form.choices["sites"]
        self._add("trial-add", [], code=TRIAL, title="Lymphoma trial", sites=north)
        self.invite(SITE_USER, "Site user North", "site_user", site="Site North")
        for email, name in ((TECHNICIAN, "Technician 1"), (PHYSICIST, "Physicist 1"), (APPROVER, "Approver 1")):
            self.invite(email, name, name.split()[0].lower())
        self.invite(TRIAL_MANAGER, "Trial manager 1", "trial_manager", trial=TRIAL)

    def _add(self, where: str, args: list[Any], /, **values: str) -> Any:
        browser = self.browser_of(ADMINISTRATOR)
        asked = browser.open(reverse(f"corelab:{where}", args=args))
        page = browser.submit(asked.form_with(*values), values)
        assert page.url != asked.url, site.complaints(page)
        return page

    def invite(self, email: str, name: str, role: str, **where: str) -> None:
        """Invite a person, who follows the link and chooses a password."""
        browser = self.browser_of(ADMINISTRATOR)
        form = browser.open(reverse("corelab:person-invite")).form_with("email", "role")
        places = {key: form.choice(key, words) for key, words in where.items()}
        page = browser.submit(form, {"email": email, "name": name, "role": role, **places})
        self.accept(email, page.text)

    def accept(self, email: str, text: str) -> None:
        """Follow the link in a text, choose a password, and be signed in with it from then on."""
        (link,) = set(_LINK.findall(html.unescape(text)))
        browser = HandBrowser()
        browser.submit(browser.open(link).form_with("password", "again"), {"password": PASSWORD, "again": PASSWORD})
        self.browsers[email], self.passwords[email] = browser, PASSWORD

    # --- what is applied for -----------------------------------------------------------------

    def apply(self) -> cases.Walk:
        """Let the site apply for its scanner, and the technician take the application as complete."""
        case = cases.Case(
            key="north",
            site="north",
            serial=SERIAL,
            reconstruction=RECONSTRUCTION,
            programme="uk_core_lab@1",
            trial=TRIAL,
            ends="ACCREDITED",
        )
        number = cases.start(self.browser_of(SITE_USER), case)
        walk = cases.Walk(case=case, number=number, browser_of=self.browser_of, passwords=self.passwords)
        walk.to("ANALYSIS_RUNNING")
        return walk

    def certificate(self, walk: cases.Walk) -> str:
        """Return the number of a case's certificate, as its site reads it."""
        return cases.certificate_of(self.browser_of(SITE_USER), walk.number)

    @property
    def scanned_at(self) -> datetime:
        """When every patient was scanned: today, on the site's clock."""
        return datetime.combine(today(), time(3))

    # --- what is sent ------------------------------------------------------------------------

    def send_phantom(self, kind: str, **drawing: Any) -> int:
        """Draw a phantom of yesterday and send it as its site does; return the submission's number."""
        at = datetime.combine(today() - timedelta(days=1), time(10))
        scan = drawn.evidence(kind, kind, SERIAL, at, **drawing)
        return self.send(scan, site.Place(kind, f"· {SERIAL}", RECONSTRUCTION))

    def send_subject(self, subject: drawn.Subject) -> int:
        """Draw a patient scan of today and send it for the trial."""
        place = site.Place("patient", f"· {SERIAL}", RECONSTRUCTION, TRIAL, subject.code, "Baseline")
        return self.send(subject.scan(self.scanned_at), place)

    def send(self, scan: DemoScan, place: site.Place) -> int:
        """Walk the four steps of sending."""
        return self.send_draft(site.start(self.browser_of(SITE_USER), place), scan)

    def send_draft(self, number: int, scan: DemoScan, **written: Any) -> int:
        """Fill in the sheet of a draft, upload its files and send it.

        ``written`` replaces what a patient's form says.
        """
        browser, made = self.browser_of(SITE_USER), scan.make()
        sheet = made.sheet
        if written and sheet is not None:
            sheet = {"patient": sheet["patient"] | written}
        packed = self.folder / f"{scan.name}-{number}.zip"
        files = digital.write_dicom(made, self.folder / scan.name, seed=zlib.crc32(scan.name.encode()))
        with zipfile.ZipFile(packed, "w") as archive:
            for file in files:
                archive.write(file, file.name)
        site.fill_in_sheet(browser, number, sheet)
        site.send_files(browser, number, {"scan.zip": packed}, lambda done, of: None)
        site.send(browser, number)
        return number


def today() -> date:
    """Return the day that the site's clock shows."""
    return timezone.now().astimezone(zoneinfo.ZoneInfo("Europe/London")).date()


def words(text: str) -> str:
    """Return what a person reads of a page, in one line."""
    return " ".join(html.unescape(re.sub(r"<(script|style).*?</\1>|<[^>]+>", " ", text, flags=re.DOTALL)).split())
