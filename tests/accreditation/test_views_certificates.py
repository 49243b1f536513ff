"""A certificate for those who see its case, and its check for everybody: the answer first, and no person in it."""

from __future__ import annotations

import datetime
import gzip

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from accreditation import services
from accreditation.models import Certificate
from accreditation.views import check
from accreditation.workflow import CaseState as C
from corelab import storage
from corelab.models import Role
from tests import factories
from tests.accreditation.scenes import EARL, Scene, certificate_of, days, fresh
from tests.qc.kit import call, work

pytestmark = pytest.mark.django_db


@pytest.fixture
def scene(clock):
    return Scene(EARL, name="Site Alpha", city="Leeds")


@pytest.fixture
def certificate(scene):
    return certificate_of(scene.accredited())


def checked(number: str, status: int = 200) -> str:
    answer = Client().get(reverse("accreditation:certificate-check", args=[number]))
    assert answer.status_code == status
    return answer.content.decode()


def first_words(page: str) -> str:
    return page.partition('class="verdict-line">')[2].partition("</p>")[0]


# --- the check ------------------------------------------------------------------------------------


def test_check_when_it_is_valid_then_says_so_first_with_the_day(certificate):
    page = checked(certificate.number)
    assert first_words(page) == "Valid today, 10 Mar 2026"
    assert page.index("verdict-line") < page.index("Site Alpha, Leeds")


def test_check_when_the_site_is_ahead_then_the_day_is_its_own(clock):
    scene = Scene(EARL, time_zone="Pacific/Auckland")
    certificate = certificate_of(scene.accredited())
    clock.to(datetime.date(2026, 3, 11), hour=18)
    assert first_words(checked(certificate.number)) == "Valid today, 12 Mar 2026"


def test_check_when_suspended_then_says_since_when(scene, certificate):
    call(services.case_suspend, actor=scene.approver, case_id=certificate.case_id, reason="A repair.")
    page = checked(certificate.number)
    assert first_words(page) == "Not valid today, 10 Mar 2026: suspended since 10 Mar 2026"
    assert "A repair." not in page


def test_check_when_withdrawn_then_says_on_which_day(scene, certificate, clock):
    call(services.certificate_withdraw, actor=scene.approver, certificate_id=certificate.pk, reason="It was wrong.")
    clock.to(datetime.date(2026, 4, 1))
    assert first_words(checked(certificate.number)) == "Not valid today, 1 Apr 2026: withdrawn on 10 Mar 2026"


def test_check_when_the_last_day_has_passed_then_says_so(certificate, clock):
    clock.to(certificate.valid_until + days(1))
    assert ": expired on " in first_words(checked(certificate.number))


def test_check_when_replaced_then_leads_to_the_one_that_holds(scene, certificate, clock):
    case = fresh(certificate.case)
    type(case).objects.filter(pk=case.pk).update(state=C.DUE_SOON)
    call(services.case_reaccredit, actor=scene.sender, case_id=case.pk, reason="The year ends.")
    for kind in ("cylinder", "nema_iq"):
        scene.signed(kind)
    work(services.evidence_collect, case_id=case.pk)
    scene.propose(fresh(case))
    call(services.case_take_second, actor=scene.approver, case_id=case.pk)
    scene.approve(fresh(case))
    newer = certificate_of(fresh(case))
    page = checked(certificate.number)
    assert first_words(page).endswith(f"replaced by {newer.number}")
    assert reverse("accreditation:certificate-check", args=[newer.number]) in page
    assert first_words(checked(newer.number)).startswith("Valid today")


def test_check_when_read_then_no_person_and_of_the_serial_only_the_end(scene, certificate):
    scene.scanner.refresh_from_db()
    Certificate.objects.filter(pk=certificate.pk).update(scope=certificate.scope | {"serial": "60421987"})
    page = checked(certificate.number)
    assert "serial ending 987" in page
    assert "60421987" not in page
    for person in (scene.sender, scene.technician, scene.physicist, scene.proposer, scene.approver):
        assert person.name not in page
        assert person.email not in page


@pytest.mark.parametrize(("serial", "shown"), [("60421987", "987"), ("4711", "11"), ("12", "2"), ("1", "")])
def test_check_when_a_serial_is_short_then_at_most_half_of_it_is_shown(certificate, serial, shown):
    Certificate.objects.filter(pk=certificate.pk).update(scope=certificate.scope | {"serial": serial})
    page = checked(certificate.number)
    assert (f"serial ending {shown}<" if shown else "Phantom 1<") in page
    assert ("serial ending" in page) == bool(shown)


def test_check_when_no_certificate_has_the_number_then_says_what_to_look_at(scene):
    page = checked("PET-2O26-0001", 404)
    assert "No certificate has this number" in page
    assert "Check the figure 0 and the letter O." in page


def test_check_when_the_number_is_hostile_then_it_is_only_text():
    assert "<script>" not in checked("<script>alert(1)<", 404)
    assert checked("A" * 500, 404)


def test_find_when_a_number_is_typed_then_leads_to_its_answer(certificate):
    find = reverse("accreditation:certificate-find")
    answer = Client().get(find, {"number": f"  {certificate.number.lower()} "})
    assert answer.url == reverse("accreditation:certificate-check", args=[certificate.number])
    assert "Enter the number" in Client().get(find, {"number": ""}).content.decode()
    assert Client().get(find).status_code == 200


def test_check_when_measured_then_it_is_small_and_asks_little(certificate):
    address = reverse("accreditation:certificate-check", args=[certificate.number])
    with CaptureQueriesContext(connection) as queries:
        page = Client().get(address).content
    assert len(gzip.compress(page)) <= 5_000
    assert len(queries) <= 3


def test_check_when_one_address_asks_too_often_then_it_waits_and_others_do_not(certificate):
    address = reverse("accreditation:certificate-check", args=[certificate.number])
    for _ in range(check.QUESTIONS):
        assert Client().get(address).status_code == 200
    late = Client().get(address)
    assert late.status_code == 429
    assert "Ask again in 10 minutes" in late.content.decode()
    assert Client(REMOTE_ADDR="192.0.2.7").get(address).status_code == 200


# --- for those who see the case -------------------------------------------------------------------


def url(name: str, certificate: Certificate) -> str:
    return reverse(f"accreditation:{name}", args=[certificate.number])


def test_certificate_when_its_site_reads_it_then_scope_days_and_both_signatures_are_there(scene, certificate, client):
    client.force_login(scene.sender)
    page = client.get(url("certificate-detail", certificate)).content.decode()
    assert first_words(page) == "Valid today, 10 Mar 2026"
    assert scene.scanner.serial in page
    assert page.index(f"<bdi>{scene.proposer.name}</bdi>") < page.index(f"<bdi>{scene.approver.name}</bdi>")
    assert f"http://testserver/check/{certificate.number}/" in page
    assert "The PDF is being made" in page


def test_download_when_it_is_made_then_the_stored_bytes_are_served(scene, certificate, client):
    client.force_login(scene.sender)
    assert client.get(url("certificate-download", certificate)).status_code == 404
    stored = storage.put_once([b"%PDF-1.7 a certificate"]).stored
    Certificate.objects.filter(pk=certificate.pk).update(stored=stored)
    answer = client.get(url("certificate-download", certificate))
    assert answer.getvalue() == b"%PDF-1.7 a certificate"
    assert f'filename="{certificate.number}.pdf"' in answer["Content-Disposition"]


def test_withdraw_when_an_approver_says_why_then_the_check_says_so_at_once(scene, certificate, client):
    client.force_login(scene.approver)
    assert "Say why" in client.post(url("certificate-withdraw", certificate), {"reason": ""}).content.decode()
    answer = client.post(url("certificate-withdraw", certificate), {"reason": "It was given for another scanner."})
    assert answer.url == url("certificate-detail", certificate)
    assert "withdrawn on 10 Mar 2026" in first_words(checked(certificate.number))
    assert "Withdraw</a>" not in client.get(url("certificate-detail", certificate)).content.decode()


def test_certificate_when_a_stranger_asks_then_is_as_if_absent(certificate, client):
    client.force_login(factories.user(Role.SITE_USER, site=factories.site()))
    for name in ("certificate-detail", "certificate-download"):
        assert client.get(url(name, certificate)).status_code == 404
