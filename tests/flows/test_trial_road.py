"""From a patient scan that deviates to the trial's report, through pages alone, and a drift declared on the way."""

from __future__ import annotations

import re
import subprocess
from dataclasses import replace

import pytest
from django.urls import reverse

from accreditation import tasks
from accreditation.management.commands import _demo_drawn as drawn
from accreditation.management.commands import _demo_reviews as reviews
from accreditation.management.commands import _demo_trial as trial
from accreditation.management.commands._browser import PageError
from tests.flows import hand

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.timeout(300)]

WEIGHT = replace(next(one for one in drawn.SUBJECTS if one.rules == ("PAT-01",)), serial=hand.SERIAL)
SOFTWARE = replace(next(one for one in drawn.SUBJECTS if one.rules == ("REC-07",)), serial=hand.SERIAL)


def verdict_of(lab, number: int) -> str | None:
    return lab.browser_of(hand.PHYSICIST).open(reverse("qc:submission-detail", args=[number])).mark("data-verdict")


def test_road_when_a_scan_deviates_then_it_is_asked_about_sent_again_closed_released_and_reported(lab, tmp_path):
    site_user, technician, physicist, manager = (
        lab.browser_of(one) for one in (hand.SITE_USER, hand.TECHNICIAN, hand.PHYSICIST, hand.TRIAL_MANAGER)
    )
    walk = lab.apply()
    for kind in ("cylinder", "nema_iq"):
        reviews.sign(physicist, lab.send_phantom(kind), hand.PASSWORD)
    walk.to("ACCREDITED")
    trial.publish_protocol(physicist, hand.TRIAL)

    first = lab.send_subject(WEIGHT)
    assert verdict_of(lab, first) == "WARN"
    # Before staff have asked the site reads nothing of it.
    assert "Q-" not in hand.words(site_user.open(reverse("qc:query-list")).text)
    query = trial.ask(technician, first)
    place = reverse("qc:query-detail", args=[query])
    asked = hand.words(site_user.open(place).text)
    assert "72 kg" in asked
    assert "78 kg" in asked
    # The trial sees that a question is open, and no number of a scan that nobody released.
    assert "72 kg" not in hand.words(manager.open(place).text)

    page = site_user.open(place)
    site_user.submit(page.form_to(reverse("qc:query-answer", args=[query])), {"text": "72 kg is right; 78 was a slip."})
    assert "72 kg is right; 78 was a slip." in hand.words(technician.open(place).text)

    page = site_user.submit(site_user.open(place).form_to(reverse("qc:query-resubmit", args=[query])))
    second = int(re.search(r"/S-(\d+)/", page.url)[1])
    lab.send_draft(second, WEIGHT.scan(lab.scanned_at), weight_kg=72.0)
    assert verdict_of(lab, second) == "PASS"
    told = hand.words(technician.open(place).text)
    assert f"S-{second} came in answer" in told
    assert "Gone:" in told
    assert "(PAT-01)" in told

    page = technician.open(place)
    technician.submit(
        replace(page.form_with("reason"), action=reverse("qc:query-close", args=[query])), {"reason": "Settled."}
    )
    assert "Closed" in hand.words(site_user.open(place).text)

    with pytest.raises(PageError):  # not its trial's to read before a physicist has signed
        manager.open(reverse("qc:submission-detail", args=[second]))
    reviews.sign(physicist, second, hand.PASSWORD)
    assert "Pass" in hand.words(manager.open(reverse("qc:submission-detail", args=[second])).text)

    saved = trial.download_report(manager, hand.TRIAL, tmp_path)
    scans = trial.read_scans(saved["scans.csv"])
    # Both are one acquisition: the one that was sent in answer stands for it.
    assert {subject: (line.verdict, line.rules) for subject, line in scans.items()} == {WEIGHT.code: ("PASS", ())}
    said = subprocess.run(
        ["pdftotext", "-layout", saved["conformance.pdf"], "-"], check=True, capture_output=True, text=True
    ).stdout
    assert hand.TRIAL in said
    assert "Site North" in said

    # The next scan shows the scanner changed: the site declares it, and the accreditation of this kind is void.
    third = lab.send_subject(SOFTWARE)
    assert verdict_of(lab, third) == "WARN"
    page = site_user.open(lab.scanner_page)
    declare = next(link for link in page.links if re.fullmatch(r"/drifts/\d+/declare/", link))
    site_user.submit(site_user.open(declare).form_with("reason"), {"reason": "Upgraded by the maker this week."})
    page = site_user.open(lab.scanner_page)
    assert declare not in page.links
    certificate = lab.certificate(walk)
    tasks.advance_calendar()
    answer = hand.HandBrowser().open(reverse("accreditation:certificate-check", args=[certificate]))
    assert "Not valid today" in hand.words(answer.text)
