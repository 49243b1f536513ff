"""The demonstration's physicist at a browser: takes a submission, answers the visual check, signs what is proposed."""

from __future__ import annotations

import time

from django.urls import reverse

from accreditation.management.commands._browser import Browser, Page, PageError
from accreditation.management.commands._demo_site import complaints

REPORT_WITHIN_S = 60.0


def sign(browser: Browser, number: int, password: str) -> None:
    """Review one submission and sign the verdict that the software proposes; one that is signed stays as it is."""
    page = browser.open(reverse("qc:submission-detail", args=[number]))
    if page.mark("data-state") == "RELEASED":
        return
    verdict = page.mark("data-verdict") or ""
    if page.mark("data-state") == "AWAITING_REVIEW":
        page = browser.submit(page.form_to(reverse("qc:submission-claim", args=[number])))
    else:
        page = browser.open(reverse("qc:submission-review", args=[number]))
    for form in page.forms:
        if {"item", "is_seen"} <= form.names():
            browser.submit(form, {"is_seen": "no"}, in_place=True)
    page = browser.submit(page.form_with("verdict", "run"), {"verdict": verdict})
    browser.submit(_sheet_to_sign(browser, number, page).form_with("password", "shown_digest"), {"password": password})
    page = browser.open(reverse("qc:submission-detail", args=[number]))
    if page.mark("data-state") != "RELEASED":
        raise PageError(f"S-{number} was not signed: {complaints(page)}")


def _sheet_to_sign(browser: Browser, number: int, page: Page) -> Page:
    """Wait until the report that is signed is made."""
    deadline = time.monotonic() + REPORT_WITHIN_S
    while not any("shown_digest" in form.names() for form in page.forms):
        if time.monotonic() > deadline:
            raise PageError(f"There is nothing to sign of S-{number}: {complaints(page)}")
        time.sleep(0.2)
        page = browser.open(reverse("qc:submission-sign", args=[number]))
    return page
