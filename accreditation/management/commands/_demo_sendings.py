"""What the demonstration sends and reads: scans and their files, everybody's browser, and what is done already."""

from __future__ import annotations

import json
import time
import zipfile
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from django.conf import settings
from django.urls import reverse

from accreditation.management.commands import _demo_scans as scans
from accreditation.management.commands import _demo_site as site
from accreditation.management.commands._browser import Browser, PageError
from corelab.embedded import Stack
from phantoms import digital, digital_ct

#: How long the next verdict may let wait for itself.
OUTCOME_WITHIN_S = 120.0
PHYSICIST = "physicist@example.org"
SITE_USER = "north@example.org"
VERDICT_WORDS = {
    "PASS": "Pass",
    "WARN": "Warning",
    "FAIL": "Fail",
    "NOT_EVALUABLE": "Could not check",
    "ERROR": "Our error",
    "HELD": "Held",
    "GIVEN_BACK": "Given back",
}
ZIP_NAME = "scan.zip"


@dataclass
class Sending:
    """One scan to send, from wherever it comes.

    Attributes
    ----------
    key : str
        Tells it again at the next start, so that nothing is sent twice.
    folder : Path
        Its files; a ``sheet.json`` among them is what the site writes down and is not uploaded.
    scan : DemoScan or None
        What was drawn; None for files that were given.
    sender : str
        Whose browser sends it.
    is_zipped : bool
        Whether a drawn scan is sent as one zip.
    """

    key: str
    name: str
    folder: Path
    scan: scans.DemoScan | None = None
    sender: str = SITE_USER
    is_zipped: bool = False
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
        """Return the sheet that lies with the files."""
        path = self.folder / "sheet.json"
        return json.loads(path.read_text()) if path.is_file() else None

    def draw(self) -> None:
        """Write a digital scan as DICOM with its sheet; half a folder of an earlier start is written over."""
        assert self.scan is not None  # noqa: S101 (asked of drawn scans only)
        drawn = self.scan.make()
        part = self.folder.with_name(f"{self.folder.name}.part")
        seed = zlib.crc32(self.key.encode())
        files = digital.write_dicom(drawn, part, seed=seed)
        if self.scan.make_ct is not None:
            files += digital_ct.write_ct(self.scan.make_ct(drawn), part / "ct", seed=seed)
        if self.is_zipped:
            with zipfile.ZipFile(part / ZIP_NAME, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
                for file in files:
                    archive.write(file, file.relative_to(part))
                    file.unlink()
        if drawn.sheet is not None:
            (part / "sheet.json").write_text(json.dumps(drawn.sheet, indent=1))
        part.rename(self.folder)

    @property
    def report(self) -> Path:
        """Where the worker puts the plain PDF of a measured scan."""
        run = self.outcome.run if self.outcome else ""
        return Path(settings.REPORT_DIR) / f"S-{self.number}_{run}.pdf"


class Memory:
    """What was done at an earlier start, kept in a file."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.rows: dict[str, dict[str, Any]] = json.loads(path.read_text()) if path.is_file() else {}

    def about(self, key: str) -> Mapping[str, Any]:
        """Return what is kept about one thing; empty where it is new."""
        return self.rows.get(key, {})

    def note(self, key: str, **about: Any) -> None:
        """Keep something about one thing."""
        self.rows.setdefault(key, {}).update(about)
        self.path.write_text(json.dumps(self.rows, indent=1))


class Desk:
    """Everybody's browser at the running product, and what people do with scans there.

    Parameters
    ----------
    stack : Stack
        The running product; when a process of it dies, the next step says so.
    passwords : mapping
        By e-mail.
    memory : Memory
    say : callable
        Takes a line of progress, and whether it ends a step.
    """

    def __init__(
        self, stack: Stack, passwords: Mapping[str, str], memory: Memory, say: Callable[[str, bool], None]
    ) -> None:
        self.stack = stack
        self.passwords = passwords
        self.memory = memory
        self.say = say
        self._browsers: dict[str, Browser] = {}

    def browser_of(self, email: str) -> Browser:
        """Return a person's browser, signed in."""
        self.stack.check()
        if email not in self._browsers:
            browser = Browser(self.stack.url)
            browser.sign_in(reverse("account_login"), email, self.passwords[email])
            self._browsers[email] = browser
        return self._browsers[email]

    def send(
        self,
        sending: Sending,
        place: Callable[[Sending], site.Place],
        fill_in: Callable[[Sending], None] | None = None,
    ) -> None:
        """Send one scan as its site does, unless an earlier start did; go on with a draft that it left.

        Parameters
        ----------
        place : callable
            Answers the first page.
        fill_in : callable, optional
            Keeps the sheet otherwise than through its form.
        """
        browser, known = self.browser_of(sending.sender), self.memory.about(sending.key)
        if known and site.is_there(browser, known["number"]):
            sending.number = known["number"]
            if known.get("is_sent"):
                return
        if sending.scan is not None and not sending.folder.is_dir():
            self.say(f"{sending.name}: drawing", False)
            sending.draw()
        if not sending.number:
            sending.number = site.start(browser, place(sending))
            self.memory.note(sending.key, number=sending.number, is_sent=False)
        if fill_in is not None:
            fill_in(sending)
        else:
            site.fill_in_sheet(browser, sending.number, sending.sheet())

        def tell(done: int, of: int) -> None:
            self.stack.check()
            self.say(f"{sending.name}: {done} of {of} files sent", False)

        site.send_files(browser, sending.number, sending.files(), tell)
        site.send(browser, sending.number)
        self.memory.note(sending.key, is_sent=True)
        self.say(f"{sending.name}: sent as S-{sending.number}", True)

    def read_all(self, sendings: Sequence[Sending]) -> None:
        """Wait until every scan is measured and reported, and read as the physicist what came out."""
        deadline = time.monotonic() + OUTCOME_WITHIN_S
        waiting = list(sendings)
        while waiting:
            self.stack.check()
            for sending in list(waiting):
                sending.outcome = self._outcome(sending)
                if sending.outcome is not None:
                    waiting.remove(sending)
                    deadline = time.monotonic() + OUTCOME_WITHIN_S
            self.say(f"measured and reported: {len(sendings) - len(waiting)} of {len(sendings)}", not waiting)
            if waiting and time.monotonic() > deadline:
                numbers = ", ".join(f"S-{sending.number}" for sending in waiting)
                raise PageError(f"No outcome or no report of {numbers}; see {settings.VAR_DIR}/log/worker.log.")
            if waiting:
                time.sleep(0.3)

    def _outcome(self, sending: Sending) -> site.Outcome | None:
        """Read what became of a scan; what the arrival check gave back is only the site's to see."""
        try:
            found = site.outcome(self.browser_of(PHYSICIST), sending.number)
        except PageError as error:
            if error.status != 404:
                raise
            return site.given_back(self.browser_of(sending.sender), sending.number)
        if found is None or found.verdict == "HELD":
            return found
        return found if (Path(settings.REPORT_DIR) / f"S-{sending.number}_{found.run}.pdf").is_file() else None
