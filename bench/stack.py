"""The whole product, running: the way to a verdict, the first visit, what a worker and the web process hold."""

from __future__ import annotations

import http.client
import re
import shutil
import time
from base64 import b64encode
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from threading import local
from typing import Any
from urllib.parse import urljoin, urlsplit
from urllib.request import Request, urlopen

import numpy as np
from django.conf import settings
from django.urls import reverse

from accreditation.management.commands import _demo_people as people
from accreditation.management.commands import _demo_site as site
from accreditation.management.commands._browser import Browser
from bench.rows import RECON_1, RECON_1_SHEET, Row, at_most, ms
from corelab import audit
from corelab.embedded import Stack
from corelab.models import User
from phantoms import dicom_series, digital
from phantoms.volume import PetVolume
from qc import selectors, services
from qc.models import Submission

MAX_BEYOND_ANALYSIS_S = 1.5
MAX_FIRST_VISIT_KB = 300.0
MAX_WORKER_MB = 400.0
#: What threads and caches still take while they settle; a leak passes it in a full run, however slow it is.
MAX_WEB_GROWTH_MB = 8.0
#: Submissions, and slices in each.
UPLOADS = {"smoke": (20, 5), "normal": (100, 20), "full": (1_000, 100)}
#: As many as the page's own uploader sends at a time.
AT_ONCE = 3
#: Scans after the first; each of the two worker processes has its own first one.
LATER_SCANS = {"smoke": 2, "normal": 5, "full": 5}
SMALL = {"shape_zyx": (55, 84, 84), "spacing_zyx_mm": (4.0, 6.4, 6.4)}
OUTCOME_WITHIN_S = 120.0
SITE_USER, PHYSICIST = "north@example.org", "physicist@example.org"


@dataclass
class Lab:
    """The running product, and two people at their browsers."""

    stack: Stack
    site_user: Browser
    physicist: Browser


def measure(mode: str, folder: Path) -> list[Row]:
    """Start the product once and return all that is measured on it."""
    with Stack(port=0, say=lambda line: None) as stack:
        accounts = people.accounts_in(Path(settings.VAR_DIR) / "accounts.json")
        people.find_or_make(accounts)
        passwords = {account.email: account.password for account in accounts}

        def browser_of(email: str) -> Browser:
            browser = Browser(stack.url)
            browser.sign_in(reverse("account_login"), email, passwords[email])
            return browser

        visits = first_visit_rows(stack.url, browser_of(SITE_USER))
        lab = Lab(stack, browser_of(SITE_USER), browser_of(PHYSICIST))
        return [*verdict_rows(lab, mode, folder), *visits, worker_row(lab, folder), web_row(lab, mode, folder)]


# --- from the last byte to the verdict ------------------------------------------------------------


@dataclass(frozen=True)
class Sent:
    """What one sending took, seconds: from the last byte to the verdict on the page, and the analysis in it."""

    whole_s: float
    analysis_s: float
    parts: str

    @property
    def beyond_s(self) -> float:
        """What the site waited for beside the analysis."""
        return self.whole_s - self.analysis_s


def verdict_rows(lab: Lab, mode: str, folder: Path) -> list[Row]:
    """Return how long a site waits for a verdict that the analysis does not take: at first, and later."""
    sent = []
    for k in range(1 + LATER_SCANS[mode]):
        drawn = digital.uniform_cylinder(seed=k, **(SMALL if mode == "smoke" else {}))
        files = digital.write_dicom(drawn, folder / f"cylinder-{k}", seed=k)
        sent.append(_send(lab, "cylinder", files, drawn.sheet))
    first, warm = sent[0], min(sent[1:], key=lambda one: one.beyond_s)
    return [
        at_most(
            f"last byte to verdict, beyond the analysis, {name}",
            one.beyond_s,
            MAX_BEYOND_ANALYSIS_S,
            "s",
            is_timed=True,
            beside=f"{one.whole_s:.2f} s with {one.analysis_s:.2f} s of analysis; {one.parts}",
        )
        for name, one in (("first scan", first), ("later", warm))
    ]


def _send(lab: Lab, kind: str, files: list[Path], sheet: dict[str, Any] | None) -> Sent:
    """Send a scan as a site does, and wait until its page says what came out and the report is made."""
    browser = lab.site_user
    number = _draft(browser, kind)
    person = User.objects.get(email=SITE_USER)
    with audit.acting(person, role="Site user"):
        services.sheet_save(submission_id=selectors.draft_for(person, number).pk, actor=person, sheet=sheet or {})
    site.send_files(browser, number, {path.name: path for path in files}, lambda done, of: None)
    last_byte = time.time()
    site.send(browser, number)
    pressed = time.time()
    progress = f"{reverse('qc:submission-progress', args=[number])}?for=receipt"
    _wait(lab, lambda: not browser.open(progress).text.strip(), every_s=0.02)
    shown = time.time()
    submission = Submission.objects.select_related("current_run").get(number=number)
    run = submission.current_run
    assert run is not None, f"{submission} is {submission.state}: {submission.hold_reason} {submission.check_findings}"
    assert run.claimed_at
    assert run.finished_at
    parts = (
        f"sending {ms(pressed - last_byte)}, to a worker {ms(run.claimed_at.timestamp() - pressed)}, "
        f"at work {ms((run.finished_at - run.claimed_at).total_seconds())}, "
        f"shown {ms(shown - run.finished_at.timestamp())}"
    )
    _wait(lab, lambda: site.outcome(lab.physicist, number) is not None, every_s=0.2)
    return Sent(shown - last_byte, sum(run.result["seconds"].values()), parts)


def _draft(browser: Browser, kind: str) -> int:
    return site.start(browser, site.Place(kind=kind, scanner="· 1"))


def _wait(lab: Lab, is_so: Callable[[], bool], *, every_s: float) -> None:
    deadline = time.monotonic() + OUTCOME_WITHIN_S
    while not is_so():
        lab.stack.check()
        if time.monotonic() > deadline:
            msg = f"nothing came out within {OUTCOME_WITHIN_S:.0f} s"
            raise TimeoutError(msg)
        time.sleep(every_s)


# --- the first visit ------------------------------------------------------------------------------

_LINK = re.compile(r"""<(?:script|link|img)\b[^>]*?\b(?:src|href)="([^"]+)"[^>]*>""")
_FACE = re.compile(r"@font-face\s*{([^}]*)}")
_SOURCE = re.compile(r"""url\(["']?([^"')]+)["']?\)""")
_RANGE = re.compile(r"U\+([0-9A-F]+)(?:-([0-9A-F]+))?", re.IGNORECASE)


def first_visit_rows(address: str, browser: Browser) -> list[Row]:
    """Return what a browser that keeps nothing yet fetches for the sign-in and for the home of a site."""
    cookies = "; ".join(f"{cookie.name}={cookie.value}" for cookie in browser.cookies)
    rows = []
    for name, path, cookie in (("sign-in", reverse("account_login"), ""), ("site home", "/", cookies)):
        page = urljoin(address, path)
        text = _fetch(page, cookie, "identity").decode()
        sizes = dict.fromkeys(("html", "css", "js", "woff2", "svg"), 0)
        sizes["html"] = len(_fetch(page, cookie, "gzip, br"))
        for url in sorted(set(_parts_of(page, text))):
            sizes[urlsplit(url).path.rpartition(".")[2]] += len(_fetch(url, cookie, "gzip, br"))
        beside = ", ".join(f"{kind} {size / 1000:.0f}" for kind, size in sizes.items() if size)
        total_kb = sum(sizes.values()) / 1000
        rows.append(at_most(f"first visit, {name}", total_kb, MAX_FIRST_VISIT_KB, "kB", is_timed=False, beside=beside))
    return rows


def _parts_of(page: str, text: str) -> Iterator[str]:
    """Yield the address of everything that a page loads; of its fonts those that some letter of it needs."""
    letters = {ord(letter) for letter in text}
    for link in _LINK.findall(text):
        url = urljoin(page, link)
        if "." not in urlsplit(url).path:
            continue
        yield url
        if not url.endswith(".css"):
            continue
        for face in _FACE.findall(_fetch(url, "", "identity").decode()):
            ranges = [(int(low, 16), int(high or low, 16)) for low, high in _RANGE.findall(face)]
            if not ranges or any(low <= letter <= high for letter in letters for low, high in ranges):
                yield from (urljoin(url, source) for source in _SOURCE.findall(face))


def _fetch(url: str, cookie: str, encodings: str) -> bytes:
    """Return a body as it travels."""
    request = Request(url, headers={"Accept-Encoding": encodings, **({"Cookie": cookie} if cookie else {})})
    with urlopen(request, timeout=30) as answer:
        body: bytes = answer.read()
    return body


# --- memory ---------------------------------------------------------------------------------------


def _children_of(pid: int) -> list[int]:
    """Return the processes that this one started."""
    found = []
    for task in Path(f"/proc/{pid}/task").iterdir():
        found += [int(child) for child in (task / "children").read_text().split()]
    return found


def _megabytes(pid: int, what: str) -> float:
    """Return a line of a process's memory: VmRSS now, VmHWM the most it ever was."""
    found = re.search(rf"{what}:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    assert found
    return int(found[1]) / 1000


def worker_row(lab: Lab, folder: Path) -> Row:
    """Return the peak of the workers' processes after the real phantom, its figures and its report."""
    worker = next(child.process.pid for child in lab.stack.children if child.name == "worker")
    before = max(_megabytes(pid, "VmHWM") for pid in _children_of(worker))
    if RECON_1.is_dir():
        name, files, sheet = "recon_1", sorted(RECON_1.iterdir()), RECON_1_SHEET
    else:
        drawn = digital.nema_iq(shape_zyx=(89, 192, 192), spacing_zyx_mm=(2.78, 2.0833, 2.0833))
        # A seed of its own: the same identities as a cylinder above would be held as a conflict.
        name, files = "89×192² digital", digital.write_dicom(drawn, folder / "like-recon-1", seed=1000)
        sheet = drawn.sheet
    _send(lab, "nema_iq", files, sheet)
    peak = max(_megabytes(pid, "VmHWM") for pid in _children_of(worker))
    beside = f"{name} with figures and report; {before:.0f} MB after the cylinders"
    return at_most("worker, peak memory", peak, MAX_WORKER_MB, "MB", is_timed=False, beside=beside)


def web_row(lab: Lab, mode: str, folder: Path) -> Row:
    """Return how the web process grows while sites upload."""
    drafts, slices = UPLOADS[mode]
    web = next(child.process.pid for child in lab.stack.children if child.name == "web")
    (server,) = _children_of(web)
    uploader = _Uploader(lab)
    sizes = []
    started = time.monotonic()
    for k in range(drafts):
        files = _series(folder / "uploads", slices, seed=k)
        number = _draft(lab.site_user, "cylinder")
        uploader.send(number, files)
        sizes.append(_megabytes(server, "VmRSS"))
    per_s = drafts * slices / (time.monotonic() - started)
    # The first quarter fills threads, connections and caches; what comes after should be level.
    settled = sizes[drafts // 4 :]
    rise_mb = float(np.polyfit(np.arange(len(settled)), settled, 1)[0])
    growth = max(rise_mb * len(settled), 0.0)
    beside = (
        f"{sizes[0]:.0f} MB, later {settled[0]:.0f}, at the end {settled[-1]:.0f}; "
        f"{1000 * rise_mb / slices:+.2f} MB per 1,000 slices; {per_s:.0f} slices/s"
    )
    name = f"web process, growth over {drafts:,} × {slices} slices"
    return at_most(name, growth, MAX_WEB_GROWTH_MB, "MB", is_timed=False, beside=beside)


def _series(folder: Path, slices: int, seed: int) -> list[bytes]:
    """Return the files of a series that never was before."""
    pixels = np.random.default_rng(seed).uniform(0, 10000, (slices, 128, 128)).astype(np.float32)
    volume = PetVolume(pixels, np.diag([4.0, 4.0, 3.0, 1.0]), "Bq/mL")
    written = dicom_series.write_series(folder, volume, {"CorrectedImage": ["ATTN", "DECY"]}, seed=seed)
    files = [path.read_bytes() for path in written]
    shutil.rmtree(folder)
    return files


class _Uploader:
    """Sends small files as the page's uploader does: each in one request, a few at a time, lines kept open."""

    def __init__(self, lab: Lab) -> None:
        cookies = {cookie.name: cookie.value or "" for cookie in lab.site_user.cookies}
        self._headers = {
            "Cookie": "; ".join(f"{name}={value}" for name, value in cookies.items()),
            "X-CSRFToken": cookies["csrftoken"],
            "Tus-Resumable": "1.0.0",
            "Content-Type": "application/offset+octet-stream",
        }
        self._path = reverse("qc:upload-create")
        self._where = urlsplit(lab.stack.url).netloc
        self._lines = local()
        self._pool = ThreadPoolExecutor(AT_ONCE)

    def send(self, number: int, files: list[bytes]) -> None:
        """Send all files of a draft, and see every one of them received."""
        list(self._pool.map(lambda named: self._one(number, *named), enumerate(files)))

    def _one(self, number: int, index: int, content: bytes) -> None:
        if not hasattr(self._lines, "line"):
            self._lines.line = http.client.HTTPConnection(self._where, timeout=60)
        about = (("submission", f"S-{number}"), ("filename", f"{index}.dcm"))
        metadata = ",".join(f"{key} {b64encode(value.encode()).decode()}" for key, value in about)
        headers = {**self._headers, "Upload-Length": str(len(content)), "Upload-Metadata": metadata}
        self._lines.line.request("POST", self._path, content, headers)
        answer = self._lines.line.getresponse()
        said = answer.read()
        if answer.status != 201 or int(answer.headers["Upload-Offset"]) != len(content):
            msg = f"an upload was answered with {answer.status}: {said[:200]!r}"
            raise RuntimeError(msg)
