"""The demonstration's cases: each is walked by the roles in turn, every one of them with nothing but a browser."""

from __future__ import annotations

import html
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from functools import partial

from django.urls import reverse
from django.utils import timezone

from accreditation.management.commands._browser import Browser, Page, PageError
from accreditation.management.commands._demo_site import complaints, reconstruction_of

NUMBER = re.compile(r"/C-(\d+)/")
CERTIFICATE = re.compile(r"/certificates/([A-Z0-9-]+)/")
STEP_WITHIN_S = 60.0
TECHNICIAN, PHYSICIST, APPROVER = "technician@example.org", "physicist@example.org", "approver@example.org"


@dataclass(frozen=True, kw_only=True)
class Case:
    """One application to play, and where it is to end.

    Attributes
    ----------
    key : str
        Tells it again at the next start.
    serial : str
        Of the scanner.
    trial : str
        Empty for the general scope.
    ends : str
        The state in which the demonstration leaves it.
    holds_days : int
        How long the certificate is given; 0 as long as the programme lets it.
    """

    key: str
    site: str
    serial: str
    reconstruction: str
    programme: str
    trial: str = ""
    ends: str
    holds_days: int = 0

    @property
    def applicant(self) -> str:
        """Who applies."""
        return f"{self.site}@example.org"


#: What each state is followed by: whose page, and what is pressed there. States without a row are waited for.
CORRECTION = {
    "decision": "require_action",
    "reason": "The cylinder reads 14 % high; 10 % is allowed.",
    "action_text": "Have the cross-calibration made anew.\nThen fill, scan and send another cylinder.",
}
SUSPENSION = "The daily quality control failed twice; the scanner is being repaired."


def start(browser: Browser, case: Case) -> int:
    """Fill in the scope; return the case's number."""
    asked = browser.open(reverse("accreditation:case-start"))
    form = asked.form_with("scanner", "programme")
    scanner = form.choice("scanner", f"· {case.serial}")
    answers = {
        "scanner": scanner,
        "reconstruction": reconstruction_of(asked, form, scanner, case.reconstruction),
        "trial": form.choice("trial", case.trial) if case.trial else "",
        "programme": case.programme,
    }
    page = browser.submit(form, answers)
    found = NUMBER.search(page.url)
    if found is None:
        raise PageError(f"No case was started; {page.url} says: {complaints(page)}")
    return int(found[1])


@dataclass(frozen=True, kw_only=True)
class Walk:
    """A case on its way: each state is followed by what one role does there, until the case stands where it should.

    Attributes
    ----------
    browser_of : callable
        Returns a person's browser.
    passwords : mapping
        What people sign with.
    """

    case: Case
    number: int
    browser_of: Callable[[str], Browser]
    passwords: Mapping[str, str]

    def to(self, state: str) -> None:
        """Go on until a state; where nobody acts the program does, and that is waited for."""
        deadline = time.monotonic() + STEP_WITHIN_S
        while (found := state_of(self.browser_of(PHYSICIST), self.number)) != state:
            step = self._steps().get(found)
            if step is not None:
                step()
                deadline = time.monotonic() + STEP_WITHIN_S
            elif time.monotonic() > deadline:
                raise PageError(f"C-{self.number} is {found} and not {state}.")
            else:
                time.sleep(0.2)

    def _steps(self) -> Mapping[str, Callable[[], None]]:
        steps = {
            "DRAFT": partial(self._press, self.case.applicant, "case-submit"),
            "SUBMITTED": partial(self._press, TECHNICIAN, "case-receipt"),
            "RECEIPT_CHECK": partial(self._press, TECHNICIAN, "case-accept"),
            "PHYSICIST_REVIEW": partial(self._sign, PHYSICIST, self._judgement()),
            "PASS_RECOMMENDED": partial(self._press, APPROVER, "case-take"),
            "SECOND_REVIEW": partial(self._sign, APPROVER, {"decision": "approve", **self._days()}),
        }
        return steps | ({"ACCREDITED": self._suspend} if self.case.ends == "SUSPENDED" else {})

    def _judgement(self) -> Mapping[str, str]:
        return CORRECTION if self.case.ends == "CORRECTIVE_ACTION_REQUIRED" else {"decision": "propose"}

    def _days(self) -> Mapping[str, str]:
        """Return the last day; without one the form's own stays, the latest that the programme gives."""
        last = timezone.now().date() + timedelta(days=self.case.holds_days)
        return {"valid_until": last.isoformat()} if self.case.holds_days else {}

    def _press(self, who: str, name: str) -> None:
        browser = self.browser_of(who)
        browser.submit(_page(browser, self.number).form_to(reverse(f"accreditation:{name}", args=[self.number])))

    def _sign(self, who: str, values: Mapping[str, str]) -> None:
        browser = self.browser_of(who)
        before = state_of(browser, self.number)
        asked = browser.open(reverse("accreditation:case-decide", args=[self.number]))
        page = browser.submit(asked.form_with("decision"), values)
        page = browser.submit(page.form_with("password", "shown_digest"), {"password": self.passwords[who]})
        if state_of(browser, self.number) == before:
            raise PageError(f"Nothing was decided about C-{self.number}: {complaints(page)}")

    def _suspend(self) -> None:
        browser = self.browser_of(PHYSICIST)
        page = browser.open(reverse("accreditation:case-suspend", args=[self.number]))
        browser.submit(page.form_with("reason"), {"reason": SUSPENSION})


def state_of(browser: Browser, number: int) -> str:
    """Read where a case stands."""
    return _page(browser, number).mark("data-state") or ""


def url_of(address: str, number: int) -> str:
    """Return where a case is looked at."""
    return f"{address}{reverse('accreditation:case-detail', args=[number])}"


def certificate_of(browser: Browser, number: int) -> str:
    """Read the number of a case's certificate; empty where it has none."""
    found = [match[1] for link in _page(browser, number).links if (match := CERTIFICATE.search(link))]
    return next(iter(found), "")


def document_of(browser: Browser, certificate: str) -> bytes:
    """Download a certificate, which a worker makes."""
    deadline = time.monotonic() + STEP_WITHIN_S
    while True:
        try:
            return browser.fetch(reverse("accreditation:certificate-download", args=[certificate]))
        except PageError as error:
            if error.status != 404 or time.monotonic() > deadline:
                raise
        time.sleep(0.2)


def answer_to_everybody(address: str, certificate: str) -> tuple[str, str]:
    """Return what the check that is open to everybody says of a certificate, and its address; nobody is signed in."""
    page = Browser(address).open(reverse("accreditation:certificate-check", args=[certificate]))
    said = re.search(r'class="verdict-line">(.*?)<', page.text)
    return (html.unescape(said[1]) if said else "", page.url)


def _page(browser: Browser, number: int) -> Page:
    return browser.open(reverse("accreditation:case-detail", args=[number]))
