"""The demonstration's second part: sites in several states, one case from application to certificate, one trial.

Everything is done by people at browsers. What must come out is written down here and in `_demo_drawn`, and is held
against what the pages, the certificate's check and the trial's report then say.
"""

from __future__ import annotations

import zoneinfo
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, time, timedelta
from pathlib import Path

from django.conf import settings
from django.utils import timezone

from accreditation.management.commands import _demo_cases as cases
from accreditation.management.commands import _demo_drawn as drawn
from accreditation.management.commands import _demo_people as people
from accreditation.management.commands import _demo_reviews as reviews
from accreditation.management.commands import _demo_site as site
from accreditation.management.commands import _demo_trial as trial
from accreditation.management.commands._demo_sendings import PHYSICIST, VERDICT_WORDS, Desk, Sending
from corelab import jobs
from phantoms.results import Outcome

TRIAL_MANAGER = "trial-manager@example.org"
VISIT = "Baseline"
#: What a technician asks of the drafted questions; the others stay for the person who tries it.
ASKED_ABOUT = "LYM-003"
CASES = (
    cases.Case(
        key="south",
        site="south",
        serial="2",
        reconstruction=people.RECONSTRUCTION,
        programme="uk_core_lab@1",
        trial=people.CONFORMANCE_TRIAL,
        ends="ACCREDITED",
    ),
    cases.Case(
        key="west-3",
        site="west",
        serial="3",
        reconstruction=people.RECONSTRUCTION,
        programme="earl@1",
        ends="DUE_SOON",
        holds_days=40,
    ),
    cases.Case(
        key="west-4",
        site="west",
        serial="4",
        reconstruction=people.RECONSTRUCTION,
        programme="earl@1",
        ends="SUSPENDED",
    ),
    cases.Case(
        key="east",
        site="east",
        serial="5",
        reconstruction=people.RECONSTRUCTION,
        programme="earl@1",
        ends="CORRECTIVE_ACTION_REQUIRED",
    ),
)
#: What the check that is open to everybody must begin with.
ANSWERS = {"ACCREDITED": "Valid today", "DUE_SOON": "Valid today", "SUSPENDED": "Not valid today"}
STATE_WORDS = {
    "ACCREDITED": "Accredited",
    "DUE_SOON": "Ends soon",
    "SUSPENDED": "Suspended",
    "CORRECTIVE_ACTION_REQUIRED": "Corrective action",
}


@dataclass
class Played:
    """One case as it was played: where it stands, its certificate and what everybody reads of it."""

    case: cases.Case
    number: int = 0
    state: str = ""
    url: str = ""
    certificate: str = ""
    answer: str = ""
    check_url: str = ""
    document: Path | None = None

    @property
    def is_as_expected(self) -> bool:
        """Whether it stands where the demonstration leaves it, and everybody reads the same of it."""
        answer = ANSWERS.get(self.case.ends, "")
        return self.state == self.case.ends and self.answer.startswith(answer) and bool(answer) == bool(self.answer)


@dataclass
class SecondPart:
    """Plays the second part and remembers what came out of it.

    Parameters
    ----------
    desk : Desk
    folder : Path
        Where digital scans are kept.
    """

    desk: Desk
    folder: Path
    played: list[Played] = field(default_factory=list)
    subjects: dict[str, Sending] = field(default_factory=dict)
    files: dict[str, Path] = field(default_factory=dict)
    scans: dict[str, trial.ScanLine] = field(default_factory=dict)

    def __post_init__(self) -> None:
        now = timezone.now().astimezone(zoneinfo.ZoneInfo(people.TIME_ZONE)).replace(tzinfo=None)
        self.places: dict[str, site.Place] = {}
        self.phantoms = [
            self._sending(scan, code, site.Place(scan.kind, f"· {serial}", people.RECONSTRUCTION))
            for code, serial, scan in _phantoms(now)
        ]
        times = drawn.scan_times(now)
        for one in drawn.SUBJECTS:
            place = site.Place(
                "patient", f"· {one.serial}", people.RECONSTRUCTION, people.CONFORMANCE_TRIAL, one.code, VISIT
            )
            self.subjects[one.code] = self._sending(one.scan(times[one.code]), one.site, place)

    def _sending(self, scan: drawn.DemoScan, site_code: str, place: site.Place) -> Sending:
        self.places[scan.name] = place
        return Sending(
            key=f"second/{scan.name}",
            name=scan.name,
            # What was drawn for another day must not be sent today.
            folder=self.folder / "second" / f"{timezone.now().date()}" / scan.name,
            scan=scan,
            sender=f"{site_code}@example.org",
            is_zipped=True,
        )

    def _send(self, sendings: Iterable[Sending]) -> None:
        for sending in sendings:
            self.desk.send(sending, lambda one: self.places[one.name])

    # --- what is done ------------------------------------------------------------------------

    def send_phantoms(self) -> None:
        """Let the sites apply and send the phantoms that speak for them, before anything is waited for."""
        for case in CASES:
            known = self.desk.memory.about(f"case/{case.key}")
            number = known.get("number") or cases.start(self.desk.browser_of(case.applicant), case)
            self.desk.memory.note(f"case/{case.key}", number=number)
            if not known.get("is_applied"):
                self._walk(case, number).to("ANALYSIS_RUNNING")
                self.desk.memory.note(f"case/{case.key}", is_applied=True)
                self.desk.say(f"C-{number}, {case.site}: applied for, and complete", True)
            self.played.append(Played(case=case, number=number))
        self._send(self.phantoms)

    def _walk(self, case: cases.Case, number: int) -> cases.Walk:
        return cases.Walk(case=case, number=number, browser_of=self.desk.browser_of, passwords=self.desk.passwords)

    def play(self) -> None:
        """Take every case to its end, then the trial's scans to its report."""
        self._sign(self.phantoms)
        for one in self.played:
            self._decide(one)
        self._play_trial()
        self._read_cases()

    def _sign(self, sendings: list[Sending]) -> None:
        """Let the physicist review and sign what is measured."""
        self.desk.read_all(sendings)
        for sending in sendings:
            if not self.desk.memory.about(sending.key).get("is_signed"):
                reviews.sign(self.desk.browser_of(PHYSICIST), sending.number, self.desk.passwords[PHYSICIST])
                self.desk.memory.note(sending.key, is_signed=True)
                self.desk.say(f"{sending.name}: S-{sending.number} reviewed and signed", False)
        self.desk.say(f"reviewed and signed: {len(sendings)} of {len(sendings)}", True)

    def _decide(self, one: Played) -> None:
        if self.desk.memory.about(f"case/{one.case.key}").get("is_done"):
            return
        if one.case.ends == "DUE_SOON":
            self._walk(one.case, one.number).to("ACCREDITED")
            # The calendar looks every hour; here it looks now.
            jobs.enqueue("accreditation.advance_calendar")
        self._walk(one.case, one.number).to(one.case.ends)
        self.desk.memory.note(f"case/{one.case.key}", is_done=True)
        self.desk.say(f"C-{one.number}, {one.case.site}: {STATE_WORDS[one.case.ends].lower()}", True)

    def _play_trial(self) -> None:
        code = people.CONFORMANCE_TRIAL
        trial.publish_protocol(self.desk.browser_of(PHYSICIST), code)
        sendings = list(self.subjects.values())
        self._send(sendings)
        self._sign(sendings)
        if not self.desk.memory.about(code).get("is_reported"):
            trial.ask(self.desk.browser_of(cases.TECHNICIAN), self.subjects[ASKED_ABOUT].number)
            saved = trial.download_report(self.desk.browser_of(TRIAL_MANAGER), code, Path(settings.REPORT_DIR))
            self.desk.memory.note(code, is_reported=True, files={name: str(path) for name, path in saved.items()})
        self.files = {name: Path(path) for name, path in self.desk.memory.about(code)["files"].items()}
        self.scans = trial.read_scans(self.files["scans.csv"])

    def _read_cases(self) -> None:
        browser = self.desk.browser_of(PHYSICIST)
        for one in self.played:
            one.state = cases.state_of(browser, one.number)
            one.url = cases.url_of(self.desk.stack.url, one.number)
            one.certificate = cases.certificate_of(browser, one.number)
            if one.certificate:
                one.answer, one.check_url = cases.answer_to_everybody(self.desk.stack.url, one.certificate)
                one.document = Path(settings.REPORT_DIR) / f"{one.certificate}.pdf"
                if not one.document.is_file():
                    one.document.write_bytes(cases.document_of(browser, one.certificate))

    # --- what came out -----------------------------------------------------------------------

    def unexpected(self) -> Iterator[str]:
        """Yield what did not come out as it was drawn."""
        for sending in self.phantoms:
            if not sending.is_as_expected:
                yield sending.name
        for one in self.played:
            if not one.is_as_expected:
                yield f"C-{one.number}"
        for subject in drawn.SUBJECTS:
            if not self._is_subject_as_expected(subject):
                yield subject.code
        if self._counts() != Counter(str(subject.expected) for subject in drawn.SUBJECTS):
            yield f"the report of {people.CONFORMANCE_TRIAL}"

    def _is_subject_as_expected(self, subject: drawn.Subject) -> bool:
        line = self.scans.get(subject.code)
        expected = (str(subject.expected), subject.expected is Outcome.PASS, subject.rules)
        found = line and (line.verdict, line.is_conformant, line.rules)
        return self.subjects[subject.code].is_as_expected and found == expected

    def _counts(self) -> Counter[str]:
        return Counter(line.verdict for line in self.scans.values())

    def subject_lines(self) -> Iterator[tuple[Sending, str, str]]:
        """Yield for each subject what was sent, by which rules it deviates, and what was drawn."""
        for subject in drawn.SUBJECTS:
            line = self.scans.get(subject.code)
            word = "as expected" if self._is_subject_as_expected(subject) else f"expected {_words(subject)}"
            yield self.subjects[subject.code], " ".join(line.rules) if line else "", f"drawn: {subject.truth}; {word}"

    def report_words(self) -> str:
        """Return the counts of the trial's report in words."""
        conformant = sum(line.is_conformant for line in self.scans.values())
        return f"{len(self.scans)} signed, {conformant} conformant, {len(self.scans) - conformant} deviating"


def _words(subject: drawn.Subject) -> str:
    return " ".join((VERDICT_WORDS[subject.expected], *subject.rules))


def _phantoms(now: datetime) -> Iterator[tuple[str, str, drawn.DemoScan]]:
    """Yield site, scanner and what is drawn for it: two phantoms made yesterday, or one cylinder that reads high."""
    yesterday = datetime.combine(now.date() - timedelta(days=1), time(10, 30))
    for code, serial in people.SCANNERS:
        name = f"{code}-{serial}"
        if code == "east":
            yield code, serial, drawn.evidence(f"{name}-cylinder", "cylinder", serial, yesterday, bias_pct=14.0)
        elif code != "north":  # it has not started
            yield code, serial, drawn.evidence(f"{name}-cylinder", "cylinder", serial, yesterday)
            later = yesterday + timedelta(hours=1)
            yield code, serial, drawn.evidence(f"{name}-nema-iq", "nema_iq", serial, later)
