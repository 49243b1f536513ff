"""``manage.py demo``: starts the product and plays sites, core lab and a trial, over HTTP as their browsers do."""

from __future__ import annotations

import math
import sys
from argparse import ArgumentParser
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from accreditation.management.commands import _demo_people as people
from accreditation.management.commands import _demo_scans as scans
from accreditation.management.commands import _demo_site as site
from accreditation.management.commands._browser import PageError
from accreditation.management.commands._demo_faults import FAULTS, FaultPart
from accreditation.management.commands._demo_second import STATE_WORDS, SecondPart
from accreditation.management.commands._demo_sendings import SITE_USER, VERDICT_WORDS, Desk, Memory, Sending
from corelab import audit
from corelab.embedded import Stack, set_state_aside
from corelab.errors import DomainError
from corelab.models import Site, User
from phantoms import dicom_series
from phantoms.errors import AnalysisRefused
from qc import analysis, selectors, services


class Command(BaseCommand):
    """Start everything, send five scans (or the folders given), play cases and a trial, show it all, keep serving.

    ``--seed`` draws the five anew; the second part, cases and trial, stays as it is.
    """

    help = "Start the product, send five digital scans, play cases and a trial; or send the folders given."
    requires_system_checks: list[str] = []
    is_serving = False

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare the options."""
        parser.add_argument("folders", nargs="*", type=Path, help="real DICOM to send instead")
        parser.add_argument("--exit", action="store_true", help="start fresh, end after the table; 0 if all is right")
        parser.add_argument("--seed", type=int, help="draw the five scans anew: calibration, resolution, pose, noise")
        parser.add_argument("--faults", action="store_true", help="send one more phantom for each fault that is named")
        names = [fault.name for fault in FAULTS]
        parser.add_argument(
            "--only", action="append", default=[], choices=names, metavar="FAULT", help="of --faults: this one"
        )
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
        if options["only"] and not options["faults"]:
            raise CommandError("--only chooses among --faults.")
        sendings = list(self._planned(options))
        if options["exit"] and (aside := set_state_aside()):
            self.stdout.write(f"An earlier state was moved to {aside}.")
        with Stack(port=options["port"], say=self.stdout.write) as stack:
            self._say(f"Serving at {stack.url} ; sending {len(sendings)} scans as a site does.", ends=True)
            folder = Path(settings.VAR_DIR) / "demo"
            folder.mkdir(exist_ok=True)
            accounts = people.accounts_in(Path(settings.VAR_DIR) / "demo_accounts.json")
            passwords = {account.email: account.password for account in accounts}
            self.administrator = people.find_or_make(accounts)
            self.desk = Desk(stack, passwords, Memory(folder / "sent.json"), self._say)
            for sending in sendings:
                self.desk.send(sending, self._place_of, self._keep_sheet if sending.scan is None else None)
            second = None if options["folders"] else SecondPart(self.desk, folder)
            if second is not None:
                second.send_phantoms()
            faults = FaultPart(self.desk, folder, options["only"]) if options["faults"] else None
            if faults is not None:
                faults.send()
            self.desk.read_all(sendings)
            if second is not None:
                second.play()
            if faults is not None:
                faults.read()
            self._print_table(sendings)
            if second is not None:
                self._print_second(second)
            if faults is not None:
                self._print_faults(faults)
            self._print_accounts(accounts)
            if options["exit"]:
                unexpected = [sending.name for sending in sendings if not sending.is_as_expected]
                unexpected += second.unexpected() if second is not None else []
                unexpected += faults.unexpected() if faults is not None else []
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

    # --- files that were given ------------------------------------------------------------

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

    def _keep_sheet(self, sending: Sending) -> None:
        """Keep a sheet that was written as a file: it may say what the form has no field for."""
        sheet, person = sending.sheet(), User.objects.get(email=SITE_USER)
        if sheet is None:
            return
        with audit.acting(person, role="Site user"):
            draft = selectors.draft_for(person, sending.number)
            services.sheet_save(submission_id=draft.pk, actor=person, sheet=sheet)

    # --- what is shown ------------------------------------------------------------------

    def _say(self, line: str, ends: bool = False) -> None:
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
                self.stdout.write(f"{indent}{sending.report}")
            self.stdout.write(f"{indent}{sending.outcome.url}")
            if sending.scan is not None:
                self.stdout.write(f"{indent}{_truth(sending)}")

    def _print_second(self, second: SecondPart) -> None:
        self.stdout.write(f"\n{'case':<7}{'site':<7}{'state':<19}certificate, and what everybody reads of it")
        for one in second.played:
            state = STATE_WORDS.get(one.state, one.state.replace("_", " ").capitalize())
            self.stdout.write(
                f"{f'C-{one.number}':<7}{one.case.site:<7}{state:<19}"
                f"{f'{one.certificate}: {one.answer}' if one.certificate else '–'}"
            )
            where = [str(one.document) if one.document else "", one.check_url, one.url]
            word = "as expected" if one.is_as_expected else f"expected {STATE_WORDS[one.case.ends]}"
            for line in filter(None, [*where, word]):
                self.stdout.write(f"{'':<14}{line}")
        self.stdout.write(f"\n{'subject':<9}{'scan':<8}{'verdict':<17}reason")
        for sending, rules, drawn in second.subject_lines():
            assert sending.outcome is not None  # noqa: S101 (read_all leaves none without)
            verdict = VERDICT_WORDS.get(sending.outcome.verdict, sending.outcome.verdict)
            self.stdout.write(
                f"{sending.name.upper():<9}{f'S-{sending.number}':<8}{verdict:<17}{sending.outcome.reason}"
                f"{f' [{rules}]' if rules else ''}"
            )
            for line in (sending.outcome.url, drawn):
                self.stdout.write(f"{'':<17}{line}")
        self.stdout.write(f"\nThe conformance report of {people.CONFORMANCE_TRIAL}: {second.report_words()}")
        for path in second.files.values():
            self.stdout.write(f"  {path}")

    def _print_faults(self, faults: FaultPart) -> None:
        width = max(len(fault.name) for fault, _ in faults.rows)
        self.stdout.write(f"\n{'fault':<{width}}  {'scan':<8}{'verdict':<17}named")
        for fault, sending in faults.rows:
            assert sending.outcome is not None  # noqa: S101 (read_all leaves none without)
            verdict = VERDICT_WORDS.get(sending.outcome.verdict, sending.outcome.verdict)
            named = ", ".join(faults.found[fault.name]) or "nothing"
            wanted = ", ".join((VERDICT_WORDS[fault.expected], *fault.codes))
            word = "as expected" if faults.is_as_expected(fault, sending) else f"expected {wanted}"
            self.stdout.write(f"{fault.name:<{width}}  {f'S-{sending.number}':<8}{verdict:<17}{named}")
            report = [str(sending.report)] if sending.outcome.run else []
            for line in (*report, sending.outcome.url, f"drawn: {fault.drawn}; {word}"):
                self.stdout.write(f"{'':<{width + 2}}{line}")

    def _print_accounts(self, accounts: list[people.Account]) -> None:
        self.stdout.write("\nSign-ins:")
        width = max(len(account.role) for account in accounts)
        for account in accounts:
            where = f", {account.where}" if account.where else ""
            self.stdout.write(f"  {account.role:<{width}}  {account.email}  {account.password}{where}")


def _place(kind: str, serial: str, reconstruction: str = "") -> site.Place:
    trial = {"trial": people.TRIAL, "subject_code": "SUBJ-001", "visit": "Baseline"} if kind == "patient" else {}
    return site.Place(kind=kind, scanner=f"· {serial}", reconstruction=reconstruction, **trial)


def _truth(sending: Sending) -> str:
    scan = sending.scan
    assert scan is not None  # noqa: S101 (asked of drawn scans only)
    margin = f", {scan.margin_sd:.1f} SD from the limit" if math.isfinite(scan.margin_sd) else ""
    word = "as expected" if sending.is_as_expected else f"expected {VERDICT_WORDS[scan.expected]}"
    return f"drawn: {scan.truth}{margin}; {word}"
