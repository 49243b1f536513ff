"""The demonstration's person at a site and its physicist, both with nothing but a browser."""

from __future__ import annotations

import html
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from django.urls import reverse

from accreditation.management.commands._browser import Browser, Form, Page, PageError

NUMBER = re.compile(r"/S-(\d+)/")


@dataclass(frozen=True)
class Place:
    """What a person chooses on the first page: words of the options, and what a patient scan needs."""

    kind: str
    scanner: str
    reconstruction: str = ""
    trial: str = ""
    subject_code: str = ""
    visit: str = ""


@dataclass(frozen=True)
class Outcome:
    """What the physicist reads on a submission's page."""

    verdict: str
    reason: str
    run: str
    url: str


def start(browser: Browser, place: Place) -> int:
    """Answer what is sent and where it was scanned; return the draft's number."""
    asked = browser.open(reverse("qc:submission-start"))
    form = asked.form_with("kind", "scanner")
    answers = {"kind": place.kind, "scanner": form.choice("scanner", place.scanner)}
    if place.reconstruction:
        answers["reconstruction"] = reconstruction_of(asked, form, answers["scanner"], place.reconstruction)
    if place.kind == "patient":
        answers |= {
            "trial": form.choice("trial", place.trial),
            "subject_code": place.subject_code,
            "visit": place.visit,
        }
    page = browser.submit(form, answers)
    found = NUMBER.search(page.url)
    if found is None:
        raise PageError(f"The draft was not made; {page.url} says: {complaints(page)}")
    return int(found[1])


def reconstruction_of(page: Page, form: Form, scanner: str, words: str) -> str:
    """Return the value of the option with these words that belongs to the chosen scanner."""
    own = {about.get("value") for about in page.marks if about.get("data-scanner") == scanner}
    for value, text in form.choices["reconstruction"].items():
        if value in own and text.endswith(words):
            return value
    raise PageError(f"{page.url}: the scanner has no reconstruction {words}.")


def fill_in_sheet(browser: Browser, number: int, sheet: Mapping[str, Any] | None) -> None:
    """Write the activity sheet; without one the page is left as it is."""
    form = browser.open(reverse("qc:submission-sheet", args=[number])).form_with("continue")
    page = browser.submit(form, written(sheet) if sheet else {}, press="continue")
    if reverse("qc:submission-files", args=[number]) not in page.url:
        raise PageError(f"The sheet was not taken: {complaints(page)}")


def written(sheet: Mapping[str, Any]) -> dict[str, str]:
    """Return a sheet as a person writes it into the form: clock times to the minute, figures with a point."""
    if "patient" in sheet:
        return _written_patient(sheet["patient"])
    answers = {"nuclide": sheet["nuclide"], "unit": "MBq"}
    for fill in sheet["fills"]:
        what = fill["what"]
        day, drawn = fill["assayed_at"].split("T")
        answers |= {
            "date": day,
            f"{what}-activity": _figure(fill["activity_mbq"]),
            f"{what}-activity_time": drawn[:5],
            f"{what}-residual": _figure(fill["residual_mbq"]),
            f"{what}-residual_time": fill["residual_at"].split("T")[1][:5],
            f"{what}-volume": _figure(fill["volume_ml"]),
        }
    return answers


def _written_patient(values: Mapping[str, Any]) -> dict[str, str]:
    return {
        "date": values["injected_at"].split("T")[0],
        "unit": "MBq",
        "weight_kg": _figure(values["weight_kg"]),
        "height_cm": _figure(100 * values["height_m"]),
        "fasting_h": _figure(values["fasting_h"]),
        "glucose": _figure(values["glucose_mmol_l"]),
        "glucose_unit": "mmol/L",
        "glucose_time": values["glucose_at"].split("T")[1][:5],
        "injected": _figure(values["injected_mbq"]),
        "injected_time": values["injected_at"].split("T")[1][:5],
        "residual": _figure(values["residual_mbq"]),
        "residual_time": values["residual_at"].split("T")[1][:5],
    }


def _figure(value: float) -> str:
    text = f"{value:.7g}"
    # Never three digits after the point alone: 1.234 could be read as one thousand.
    return f"{text}0" if len(text.partition(".")[2]) == 3 else text


def send_files(browser: Browser, number: int, files: Mapping[str, Path], tell: Callable[[int, int], None]) -> None:
    """Upload every file of a folder, each by itself."""
    for done, (name, path) in enumerate(sorted(files.items())):
        tell(done, len(files))
        browser.upload(reverse("qc:upload-create"), f"S-{number}", path, name)
    tell(len(files), len(files))


def send(browser: Browser, number: int) -> None:
    """Press *Send to the core lab*."""
    page = browser.open(reverse("qc:submission-check", args=[number]))
    page = browser.submit(page.form_with("send"), press="send")
    if reverse("qc:submission-receipt", args=[number]) not in page.url:
        raise PageError(f"S-{number} was not sent: {complaints(page)}")


def is_there(browser: Browser, number: int) -> bool:
    """Say whether the site still has this submission."""
    try:
        browser.open(reverse("qc:submission-detail", args=[number]))
    except PageError as error:
        if error.status == 404:
            return False
        raise
    return True


def outcome(browser: Browser, number: int) -> Outcome | None:
    """Read a submission's page as the lab sees it; None while it is not measured."""
    page = browser.open(reverse("qc:submission-detail", args=[number]))
    verdict, run = page.mark("data-verdict") or "", page.mark("data-run") or ""
    if page.mark("data-state") == "HELD":
        return Outcome(
            verdict=verdict or "HELD", reason="it waits for a person; the page says why", run=run, url=page.url
        )
    if not verdict or not page.mark("data-report"):
        return None
    return Outcome(verdict=verdict, reason=page.mark("data-sentence") or "", run=run, url=page.url)


def named_faults(browser: Browser, number: int) -> tuple[str, ...]:
    """Read, as the lab sees them, the codes of what is named and open on a submission's page."""
    page = browser.open(reverse("qc:submission-detail", args=[number]))
    found = (about["data-finding"] for about in page.marks if "data-finding" in about)
    return tuple(sorted({code for code in found if code.startswith(("PHA-", "SHEET-"))}))


def given_back(browser: Browser, number: int) -> Outcome:
    """Read, as the site does, why the arrival check gave a submission back."""
    page = browser.open(reverse("qc:submission-check", args=[number]))
    section = re.search(r'aria-labelledby="blocking".*?</section>', page.text, re.DOTALL)
    sentences = re.findall(r"<p>(.*?)</p>", section[0], re.DOTALL) if section else []
    return Outcome(verdict="GIVEN_BACK", reason=_plain(sentences[0]) if sentences else "", run="", url=page.url)


def complaints(page: Page) -> str:
    """Return what a page says is wrong, for a message."""
    found = re.findall(r'class="field-error"[^>]*>(.*?)</p>', page.text, re.DOTALL)
    return "; ".join(map(_plain, found)) or "nothing"


def _plain(text: str) -> str:
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", text)).split())
