"""From an invitation to a certificate, through pages alone: nobody and nothing touches a row in between."""

from __future__ import annotations

import subprocess

import pytest
from django.urls import reverse

from accreditation.management.commands import _demo_cases as cases
from accreditation.management.commands import _demo_reviews as reviews
from accreditation.management.commands._browser import PageError
from tests.flows import hand

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.timeout(240)]


def test_road_when_every_role_does_its_part_then_the_site_has_a_certificate_that_everybody_can_check(lab, tmp_path):
    site_user, physicist, approver = (lab.browser_of(one) for one in (hand.SITE_USER, hand.PHYSICIST, hand.APPROVER))
    assert "Not cleared yet" in hand.words(site_user.open("/").text)

    walk = lab.apply()
    asked = hand.words(site_user.open(reverse("accreditation:case-detail", args=[walk.number])).text)
    assert "None has been sent for this scanner and reconstruction yet." in asked

    sent = [lab.send_phantom("cylinder"), lab.send_phantom("nema_iq")]
    for number in sent:
        assert cases.state_of(physicist, walk.number) == "ANALYSIS_RUNNING"
        assert physicist.open(reverse("qc:submission-detail", args=[number])).mark("data-verdict") == "PASS"
        reviews.sign(physicist, number, hand.PASSWORD)
    assert cases.state_of(physicist, walk.number) == "PHYSICIST_REVIEW"

    # Nobody decides alone: until the physicist has signed there is nothing for the approver to take.
    with pytest.raises(PageError):
        approver.open(reverse("accreditation:case-detail", args=[walk.number])).form_to(
            reverse("accreditation:case-take", args=[walk.number])
        )
    walk.to("PASS_RECOMMENDED")
    assert not cases.certificate_of(site_user, walk.number)
    with pytest.raises(PageError):
        physicist.open(reverse("accreditation:case-detail", args=[walk.number])).form_to(
            reverse("accreditation:case-take", args=[walk.number])
        )
    walk.to("ACCREDITED")

    certificate = cases.certificate_of(site_user, walk.number)
    document = tmp_path / "certificate.pdf"
    document.write_bytes(cases.document_of(site_user, certificate))
    said = subprocess.run(["pdftotext", document, "-"], check=True, capture_output=True, text=True).stdout
    for expected in (certificate, "Site North", hand.TRIAL, "Physicist 1", "Approver 1"):
        assert expected in said

    stranger = hand.HandBrowser()
    page = stranger.open(reverse("accreditation:certificate-check", args=[certificate]))
    answer = hand.words(page.text)
    assert "Valid today" in answer
    assert "Physicist 1" not in answer
    assert "Approver 1" not in answer
    assert "Not cleared yet" not in hand.words(site_user.open("/").text)

    cases_page = physicist.open(reverse("accreditation:case-suspend", args=[walk.number]))
    physicist.submit(cases_page.form_with("reason"), {"reason": "The scanner is being repaired."})
    assert "Not valid today" in hand.words(stranger.open(page.url).text)
