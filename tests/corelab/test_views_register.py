"""The register through its pages."""

from __future__ import annotations

import pytest
from django.urls import reverse

from corelab import services
from corelab.models import AuditEvent, DoseCalibrator, ReconstructionProfile, Scanner, Site, Trial

SITE = {"name": "Site New", "code": "site-new", "city": "", "country": "", "time_zone": "Europe/London"}


def test_register_when_filled_from_nothing_then_each_page_leads_to_the_next(house, signed_in):
    browser = signed_in("administrator")
    page = browser.post(reverse("corelab:site-add"), SITE, follow=True)
    assert page.request["PATH_INFO"] == "/sites/site-new/"
    machine = {"manufacturer": "Digital", "model": "Phantom 3", "serial": "N-3", "software": "1"}
    page = browser.post(reverse("corelab:scanner-add", args=["site-new"]), machine, follow=True)
    scanner = Scanner.objects.get(serial="N-3")
    assert page.request["PATH_INFO"] == f"/scanners/{scanner.pk}/"
    reconstruction = {"name": "PSF 2 mm", "method": "PSF", "filter_fwhm_mm": "2.0"}
    assert (
        "PSF 2 mm"
        in browser.post(reverse("corelab:reconstruction-add", args=[scanner.pk]), reconstruction, follow=True).text
    )
    well = {"manufacturer": "Digital", "model": "Well", "serial": "W-9"}
    assert "W-9" in browser.post(reverse("corelab:calibrator-add", args=["site-new"]), well, follow=True).text
    trial = {"code": "GAMMA", "title": "Trial Gamma", "sites": [Site.objects.get(code="site-new").pk]}
    assert "Site New" in browser.post(reverse("corelab:trial-add"), trial, follow=True).text
    assert Trial.objects.get(code="GAMMA").sites.get().code == "site-new"
    assert AuditEvent.objects.filter(actor=house.administrator).count() == 5


def test_edit_when_saved_then_the_reason_is_in_the_log(house, signed_in):
    form = SITE | {"name": "Site North", "code": "site-north", "city": "York", "is_active": "on", "reason": "It moved."}
    form["seen"] = services.seen_of(house.north)
    signed_in("administrator").post(reverse("corelab:site-edit", args=["site-north"]), form)
    event = AuditEvent.objects.get()
    assert (event.after, event.reason) == ({"city": "York"}, "It moved.")


def test_edit_when_someone_was_faster_then_what_was_typed_is_kept_and_a_second_save_is_a_decision(house, signed_in):
    browser = signed_in("administrator")
    address = reverse("corelab:site-edit", args=["site-north"])
    form = SITE | {"name": "Site North", "code": "site-north", "city": "Hull", "is_active": "on", "reason": ""}
    form["seen"] = services.seen_of(house.north)
    Site.objects.filter(code="site-north").update(city="York")
    page = browser.post(address, form)
    assert page.status_code == 409
    assert "Nothing you wrote is lost" in page.text
    assert 'value="Hull"' in page.text
    assert Site.objects.get(code="site-north").city == "York"
    form["seen"] = page.context["form"]["seen"].value()
    assert browser.post(address, form).status_code == 302
    assert Site.objects.get(code="site-north").city == "Hull"


def test_edit_when_each_kind_is_opened_then_its_values_stand_in_the_form(house, signed_in):
    browser = signed_in("administrator")
    row = ReconstructionProfile.objects.filter(scanner=house.scanner).first()
    for name, pk, words in (
        ("scanner-edit", house.scanner.pk, "60421"),
        ("reconstruction-edit", row.pk, row.name),
        ("calibrator-edit", house.calibrator.pk, house.calibrator.serial),
        ("trial-edit", "ALPHA", "Trial"),
    ):
        assert words in browser.get(reverse(f"corelab:{name}", args=[pk])).text


def test_edit_when_a_thing_goes_out_of_use_then_it_stays_in_the_register(house, signed_in):
    form = {"manufacturer": "Digital", "model": "Well", "serial": house.calibrator.serial, "reason": "Broken."}
    signed_in("administrator").post(reverse("corelab:calibrator-edit", args=[house.calibrator.pk]), form)
    assert DoseCalibrator.objects.get(pk=house.calibrator.pk).is_active is False


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"code": "site-north"}, "already exists"),
        ({"code": "add"}, "Choose another code"),
        ({"name": ""}, "Enter the name."),
        ({"time_zone": "Mars/Base"}, "Choose a time zone such as Europe/London."),
    ],
)
def test_add_when_a_value_is_not_fit_then_the_form_comes_back_with_every_value(house, signed_in, values, words):
    page = signed_in("administrator").post(reverse("corelab:site-add"), SITE | {"city": "Bradford"} | values)
    assert "<title>Error: " in page.text
    assert page.text.count(words) >= 2
    assert 'value="Bradford"' in page.text
    assert not AuditEvent.objects.exists()


def test_pages_when_a_name_holds_markup_then_it_is_escaped(house, signed_in):
    Site.objects.filter(code="site-north").update(name="<script>alert(1)</script>")
    browser = signed_in("administrator")
    for address in ("/sites/", "/sites/site-north/", "/", "/search/?q=script", "/people/", "/trials/ALPHA/"):
        assert "<script>alert" not in browser.get(address).text


def test_site_when_its_own_people_look_then_they_see_scanners_and_no_form(house, signed_in):
    page = signed_in("site_user").get(reverse("corelab:site-detail", args=["site-north"]))
    assert "60421" in page.text
    assert "Add a scanner" not in page.text
    assert "What was changed here" not in page.text
    assert house.site_user.email not in page.text.partition("<main")[2]
