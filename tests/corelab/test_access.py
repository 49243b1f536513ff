"""Who reaches which page of the core app: one row a URL, and a 404 for everybody else."""

from __future__ import annotations

import re

import pytest
from django.urls import get_resolver, reverse

from corelab import services

#: The pages on which something is written, and the object each is about.
WRITTEN_ON = {
    "site-add": None,
    "site-edit": "site",
    "scanner-add": "site",
    "calibrator-add": "site",
    "calibrator-edit": "calibrator",
    "scanner-edit": "scanner",
    "reconstruction-add": "scanner",
    "reconstruction-edit": "reconstruction",
    "trial-add": None,
    "trial-edit": "trial",
    "person-invite": None,
    "person-link": "person",
    "membership-grant": "person",
    "membership-end": "membership",
    "person-end": "person",
    "person-open": "person",
}
OTHERS = ("site_user", "technician", "physicist", "approver", "trial_manager", "monitor", "auditor", "nobody")


@pytest.fixture
def url(house):
    arguments = {
        None: [],
        "site": [house.north.code],
        "scanner": [house.scanner.pk],
        "reconstruction": [house.scanner.reconstructions.first().pk],
        "calibrator": [house.calibrator.pk],
        "trial": [house.alpha.code],
        "person": [house.monitor.pk],
        "membership": [house.monitor.memberships.get().pk],
    }
    return lambda name, about: reverse(f"corelab:{name}", args=arguments[about])


@pytest.mark.parametrize("who", OTHERS)
def test_forms_when_no_administrator_posts_then_there_is_nothing_and_nothing_changes(house, signed_in, url, who):
    browser = signed_in(who)
    for name, about in WRITTEN_ON.items():
        assert browser.post(url(name, about), {"name": "X", "code": "x", "reason": "x"}).status_code == 404
    house.north.refresh_from_db()
    assert house.north.name == "Site North"
    assert house.monitor.memberships.get().until_on is None


@pytest.mark.parametrize(
    ("forbidden", "absent"),
    [
        ("/sites/site-north/", "/sites/never-was/"),
        ("/trials/ALPHA/", "/trials/NEVER/"),
        ("/people/", "/people/00000000-0000-0000-0000-000000000000/"),
        ("/audit/", "/audit/nothing/"),
    ],
)
def test_page_when_absent_or_forbidden_then_the_answers_are_the_same(house, signed_in, forbidden, absent):
    browser = signed_in("other_site_user")
    first, second = (browser.get(path) for path in (forbidden, absent))
    assert first.status_code == second.status_code == 404
    # The form that signs out carries a token that is masked anew on every page.
    masked = re.compile(rb'name="csrfmiddlewaretoken" value="\w+"')
    assert masked.sub(b"", first.content) == masked.sub(b"", second.content)


def test_doors_when_asked_for_then_only_those_of_a_closed_house_open(house, client):
    names = {pattern.name for pattern in get_resolver().url_patterns[-1].url_patterns}
    assert names == {
        "account_login",
        "account_logout",
        "account_inactive",
        "account_signup",
        "account_change_password",
        "account_reauthenticate",
    }
    assert client.get(reverse("account_signup")).status_code == 404
    assert client.post(reverse("account_signup"), {"email": "x@example.org"}).status_code == 404
    for path in ("password/reset/", "email/", "confirm-email/", "login/code/"):
        assert client.get(f"/accounts/{path}").status_code == 404


def test_invitation_when_nobody_is_signed_in_then_its_page_opens(house, client, acting_administrator):
    uid, token = services.invitation_make(actor=house.administrator, person=house.nobody)
    assert client.get(reverse("corelab:invitation-accept", args=[uid, token])).status_code == 200
    assert client.get(reverse("corelab:invitation-accept", args=[uid, "x"])).status_code == 404
