"""``manage.py demo``: starts the product and plays a site that sends scans, over HTTP as a browser does."""

from __future__ import annotations

import json
import math
import sys
import time
import zlib
from argparse import ArgumentParser
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.urls import reverse

from accreditation.management.commands import _demo_people as people
from accreditation.management.commands import _demo_scans as scans
from accreditation.management.commands import _demo_site as site
from accreditation.management.commands._browser import Browser, PageError
from corelab import audit
from corelab.embedded import Stack, set_state_aside
from corelab.errors import DomainError
from corelab.models import Site, User
from phantoms import dicom_series, digital
from phantoms.errors import AnalysisRefused
from qc import analysis, selectors, services

#: How long the next verdict may let wait for itself.
OUTCOME_WITHIN_S = 120.0
SITE_USER = "north@example.org"
PHYSICIST = "physicist@example.org"
VERDICT_WORDS = {
    "PASS": "Pass",
    "WARN": "Warning",
    "FAIL": "Fail",
    "NOT_EVALUABLE": "Could not check",
    "ERROR": "Our error",
    "HELD": "Held",
    "GIVEN_BACK": "Given back",
}


@dataclass
class Sending:
    """One scan to send, from wherever it comes.

    Attributes
    ----------
    key : str
        Tells it again at the next start, so that nothing is sent twice.
    folder : Path
        Its files; a ``sheet.json`` among them is the activity sheet and is not uploaded.
    scan : DemoScan or None
        What was drawn; None for files that were given.
    """

    key: str
    name: str
    folder: Path
    scan: scans.DemoScan | None = None
    number: int = 0
    outcome: site.Outcome | None = None

    @property
    def is_as_expected(self) -> bool:
        """Whether the verdict is the one that the truth has."""
        return self.scan is None or (self.outcome is not None and self.outcome.verdict == self.scan.expected)

    def files(self) -> dict[str, Path]:
        """Return the files to upload by their name within the folder."""
        if self.folder.is_file():
            return {self.folder.name: self.folder}
        found = {path.relative_to(self.folder).as_posix(): path for path in self.folder.rglob("*") if path.is_file()}
        found.pop("sheet.json", None)
        return found

    def sheet(self) -> dict[str, Any] | None:
        """Return the activity sheet that lies with the files."""
        path = self.folder / "sheet.json"
        return json.loads(path.read_text()) if path.is_file() else None


class Memory:
    """What was sent at an earlier start, kept in a file."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.rows: dict[str, dict[str, Any]] = json.loads(path.read_text()) if path.is_file() else {}

    def note(self, key: str, **about: Any) -> None:
        """Keep something about one scan."""
        self.rows.setdefault(key, {}).update(about)
        self.path.write_text(json.dumps(self.rows, indent=1))


class Command(BaseCommand):
    """Start everything, send five scans (or the folders given), show what came out, keep serving."""

    help = "Start the product and send five digital scans, or the folders given, as a site does in its browser."
    requires_system_checks: list[str] = []
    is_serving = False

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare the options."""
        parser.add_argument("folders", nargs="*", type=Path, help="real DICOM to send instead")
        parser.add_argument("--exit", action="store_true", help="start fresh, end after the table; 0 if all is right")
        parser.add_argument("--seed", type=int, help="draw new calibration errors, resolutions, poses and noise")
        parser.add_argument("--port", type=int, default=8000, help="a free one is chosen when it is taken")

    def handle(self, *args: Any, **options: Any) -> None:
        """Play the demonstration."""
        try:
            self._play(options)
        except (DomainError, PageError) as error:
            raise CommandError(str(error)) from None
        except KeyboardInterrupt:
            self.stdout.write("\nEnded. What was made stays under var; the next start finds it.")
            if not self.is_serving:
                sys.exit(130)

    def _play(self, options: dict[str, Any]) -> None:
        sendings = list(self._planned(options))
        if options["exit"] and (aside := set_state_aside()):
            self.stdout.write(f"An earlier state was moved to {aside}.")
        with Stack(port=options["port"], say=self.stdout.write) as stack:
            self.stack = stack
            self._say(f"Serving at {stack.url} ; sending {len(sendings)} scans as a site does.", ends=True)
            self.folder = Path(settings.VAR_DIR) / "demo"
            self.folder.mkdir(exist_ok=True)
            accounts = people.accounts_in(Path(settings.VAR_DIR) / "demo_accounts.json")
            self.passwords = {account.email: account.password for account in accounts}
            self.administrator = people.find_or_make(accounts)
            self._send_all(sendings)
            self._read_all(sendings)
            self._print_table(sendings)
            self._print_accounts(accounts)
            unexpected = [sending.name for sending in sendings if not sending.is_as_expected]
            if options["exit"]:
                if unexpected:
                    raise CommandError(f"Not as expected: {', '.join(unexpected)}.")
                return
            self.is_serving = True
            self.stdout.write(f"\nServing at {stack.url} . Ctrl-C ends it.")
            self.stdout.flush()
            stack.watch()

    def _planned(self, options: dict[str, Any]) -> Iterator[Sending]:
        """Yield what is to be sent, before anything is started."""
        for path in options["folders"]:
            if not path.exists():
                raise CommandError(f"{path} is not there.")
            yield Sending(key=str(path.resolve()), name=path.name, folder=path.resolve())
        if options["folders"]:
            return
        seed = options["seed"]
        drawn = scans.standard_scans() if seed is None else scans.drawn_scans(seed)
        series = "standard" if seed is None else f"seed-{seed}"
        for scan in drawn:
            folder = Path(settings.VAR_DIR) / "demo" / series / scan.name
            yield Sending(key=f"{series}/{scan.name}", name=scan.name, folder=folder, scan=scan)

    # --- the site -----------------------------------------------------------------------

    def _send_all(self, sendings: list[Sending]) -> None:
        memory = Memory(self.folder / "sent.json")
        browser = self._browser_of(SITE_USER)
        for sending in sendings:
            known = memory.rows.get(sending.key, {})
            if known and site.is_there(browser, known["number"]):
                sending.number = known["number"]
                if known.get("is_sent"):
                    continue
            self._send_one(browser, sending, memory)

    def _send_one(self, browser: Browser, sending: Sending, memory: Memory) -> None:
        if sending.scan is not None and not sending.folder.is_dir():
            self._say(f"{sending.name}: drawing")
            _write(sending.scan, sending.folder, sending.key)
        if not sending.number:
            sending.number = site.start(browser, self._place_of(sending))
            memory.note(sending.key, number=sending.number, is_sent=False)
        if sending.scan is not None:
            site.fill_in_sheet(browser, sending.number, sending.sheet())
        elif sheet := sending.sheet():
            self._keep_sheet(sending.number, sheet)

        def tell(done: int, of: int) -> None:
            self.stack.check()
            self._say(f"{sending.name}: {done} of {of} files sent")

        site.send_files(browser, sending.number, sending.files(), tell)
        site.send(browser, sending.number)
        memory.note(sending.key, is_sent=True)
        self._say(f"{sending.name}: sent as S-{sending.number}", ends=True)

    def _place_of(self, sending: Sending) -> site.Place:
        if sending.scan is not None:
            return _place(sending.scan.kind, "1", people.RECONSTRUCTION)
        sources = dicom_series.list_files(sending.folder)
        self._say(f"{sending.name}: looking at {len(sources)} files")
        found = analysis.analyse_files(sources, analysis.Request(method="auto")).json
        kind = found["method"] if found["method"] in {"cylinder", "nema_iq"} else "patient"
        return _place(kind, self._scanner_of(sources, found))

    def _scanner_of(self, sources: list[dicom_series.Source], found: dict[str, Any]) -> str:
        """Return the serial number of the scanner in the first PET header, which is added where it is new."""
        for source in sources:
            try:
                with source.open() as file:
                    facts = dicom_series.read_header(file)
            except (AnalysisRefused, OSError):
                continue
            if facts.modality == "PT":
                serial = facts.device_serial_number or "not stated"
                people.scanner_find_or_make(
                    self.administrator,
                    Site.objects.get(code="north"),
                    facts.manufacturer or "Not stated",
                    facts.model or "Not stated",
                    serial,
                    facts.software_versions,
                    facts.reconstruction_method or "Not stated",
                )
                return serial
        return "1"

    def _keep_sheet(self, number: int, sheet: dict[str, Any]) -> None:
        """Keep a sheet that was written as a file: it may say what the form has no field for."""
        person = User.objects.get(email=SITE_USER)
        with audit.acting(person, role="Site user"):
            draft = selectors.draft_for(person, number)
            services.sheet_save(submission_id=draft.pk, actor=person, sheet=sheet)

    # --- the physicist ------------------------------------------------------------------

    def _read_all(self, sendings: list[Sending]) -> None:
        browser = self._browser_of(PHYSICIST)
        deadline = time.monotonic() + OUTCOME_WITHIN_S
        waiting = list(sendings)
        while waiting:
            self.stack.check()
            for sending in list(waiting):
                sending.outcome = self._outcome(browser, sending)
                if sending.outcome is not None:
                    waiting.remove(sending)
                    deadline = time.monotonic() + OUTCOME_WITHIN_S
            self._say(f"measured and reported: {len(sendings) - len(waiting)} of {len(sendings)}", ends=not waiting)
            if waiting and time.monotonic() > deadline:
                numbers = ", ".join(f"S-{sending.number}" for sending in waiting)
                raise PageError(f"No outcome or no report of {numbers}; see {settings.VAR_DIR}/log/worker.log.")
            if waiting:
                time.sleep(0.3)

    def _outcome(self, browser: Browser, sending: Sending) -> site.Outcome | None:
        """Read what became of a scan; what the arrival check gave back is only the site's to see."""
        try:
            found = site.outcome(browser, sending.number)
        except PageError as error:
            if error.status != 404:
                raise
            return site.given_back(self._browser_of(SITE_USER), sending.number)
        return found if found is None or _report(found, sending.number).is_file() or found.verdict == "HELD" else None

    # --- what is shown ------------------------------------------------------------------

    def _browser_of(self, email: str) -> Browser:
        browser = Browser(self.stack.url)
        browser.sign_in(reverse("account_login"), email, self.passwords[email])
        return browser

    def _say(self, line: str, *, ends: bool = False) -> None:
        """Show progress in one line on a terminal; elsewhere only what ends a step."""
        if self.stdout.isatty():
            self.stdout.write(f"\r\033[K{line}", ending="\n" if ends else "")
        elif ends:
            self.stdout.write(line)
        self.stdout.flush()

    def _print_table(self, sendings: list[Sending]) -> None:
        rows = [("scan", "verdict", "reason")]
        for sending in sendings:
            read = sending.outcome
            assert read is not None  # noqa: S101 (_read_all leaves none without)
            rows.append((sending.name, VERDICT_WORDS.get(read.verdict, read.verdict), read.reason))
        widths = [max(len(row[k]) for row in rows) for k in range(2)]
        self.stdout.write("")
        for row, sending in zip(rows, [None, *sendings], strict=True):
            self.stdout.write(f"{row[0]:<{widths[0]}}  {row[1]:<{widths[1]}}  {row[2]}")
            if sending is None or sending.outcome is None:
                continue
            indent = " " * (widths[0] + 2)
            if sending.outcome.run:
                self.stdout.write(f"{indent}{_report(sending.outcome, sending.number)}")
            self.stdout.write(f"{indent}{sending.outcome.url}")
            if sending.scan is not None:
                self.stdout.write(f"{indent}{_truth(sending)}")

    def _print_accounts(self, accounts: list[people.Account]) -> None:
        self.stdout.write("\nSign-ins:")
        width = max(len(account.role) for account in accounts)
        for account in accounts:
            where = f", {account.where}" if account.where else ""
            self.stdout.write(f"  {account.role:<{width}}  {account.email}  {account.password}{where}")


def _write(scan: scans.DemoScan, folder: Path, key: str) -> None:
    """Write a digital scan as DICOM with its sheet; half a folder of an earlier start is written over."""
    drawn = scan.make()
    part = folder.with_name(f"{folder.name}.part")
    digital.write_dicom(drawn, part, seed=zlib.crc32(key.encode()))
    if drawn.sheet is not None:
        (part / "sheet.json").write_text(json.dumps(drawn.sheet, indent=1))
    part.rename(folder)


def _report(outcome: site.Outcome, number: int) -> Path:
    """Return where the worker puts the plain PDF of a measured scan."""
    return Path(settings.REPORT_DIR) / f"S-{number}_{outcome.run}.pdf"


def _place(kind: str, serial: str, reconstruction: str = "") -> site.Place:
    trial = {"trial": people.TRIAL, "subject_code": "SUBJ-001", "visit": "Baseline"} if kind == "patient" else {}
    return site.Place(kind=kind, scanner=f"· {serial}", reconstruction=reconstruction, **trial)


def _truth(sending: Sending) -> str:
    scan = sending.scan
    assert scan is not None  # noqa: S101 (asked of drawn scans only)
    margin = f", {scan.margin_sd:.1f} SD from the limit" if math.isfinite(scan.margin_sd) else ""
    word = "as expected" if sending.is_as_expected else f"expected {VERDICT_WORDS[scan.expected]}"
    return f"drawn: {scan.truth}{margin}; {word}"
