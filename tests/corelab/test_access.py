"""Who reaches which page of the core app: one row a URL, and a 404 for everybody else."""

from __future__ import annotations

import re

import pytest
from django.urls import get_resolver, reverse

from corelab import services, site_urls

SITE = {"site_user"}
STAFF = {"technician", "physicist", "approver"}
TRIAL = {"trial_manager", "monitor"}
ADMINISTRATOR = {"administrator"}
OVERSIGHT = ADMINISTRATOR | {"auditor"}
LAB = STAFF | OVERSIGHT
NORTH = LAB | SITE | TRIAL
EVERYBODY = NORTH | {"other_site_user", "nobody"}

#: URL name, the object it is about, and who gets an answer other than 404.
PAGES = {
    "home-show": (None, EVERYBODY),
    "work-list": (None, STAFF),
    "work-news": (None, STAFF),
    "search-show": (None, EVERYBODY),
    "help-show": (None, EVERYBODY),
    "help-topic": ("topic", EVERYBODY),
    "site-list": (None, EVERYBODY),
    "site-add": (None, ADMINISTRATOR),
    "site-detail": ("site", NORTH),
    "site-edit": ("site", ADMINISTRATOR),
    "scanner-add": ("site", ADMINISTRATOR),
    "calibrator-add": ("site", ADMINISTRATOR),
    "calibrator-edit": ("calibrator", ADMINISTRATOR),
    "scanner-detail": ("scanner", NORTH),
    "scanner-edit": ("scanner", ADMINISTRATOR),
    "reconstruction-add": ("scanner", ADMINISTRATOR),
    "reconstruction-edit": ("reconstruction", ADMINISTRATOR),
    "trial-list": (None, EVERYBODY),
    "trial-add": (None, ADMINISTRATOR),
    "trial-detail": ("trial", NORTH),
    "trial-edit": ("trial", ADMINISTRATOR),
    "person-list": (None, OVERSIGHT),
    "person-invite": (None, ADMINISTRATOR),
    "person-detail": ("person", OVERSIGHT),
    "membership-grant": ("person", ADMINISTRATOR),
    "membership-end": ("membership", ADMINISTRATOR),
    "person-end": ("person", ADMINISTRATOR),
    "person-open": ("person", ADMINISTRATOR),
    "account-edit": (None, EVERYBODY),
    "audit-list": (None, OVERSIGHT),
    "audit-export": (None, OVERSIGHT),
}
#: These answer POST alone.
PRESSED = {
    "person-link": ("person", ADMINISTRATOR),
    "session-stay": (None, EVERYBODY),
    "audit-verify": (None, OVERSIGHT),
}
#: Its own secret opens it, whoever asks.
BY_TOKEN = {"invitation-accept"}


@pytest.fixture
def url(house):
    arguments = {
        None: [],
        "topic": ["sending"],
        "site": [house.north.code],
        "scanner": [house.scanner.pk],
        "reconstruction": [house.scanner.reconstructions.first().pk],
        "calibrator": [house.calibrator.pk],
        "trial": [house.alpha.code],
        "person": [house.monitor.pk],
        "membership": [house.monitor.memberships.get().pk],
    }
    return lambda name, about: reverse(f"corelab:{name}", args=arguments[about])


def test_matrix_when_a_url_has_no_row_then_it_fails():
    assert {pattern.name for pattern in site_urls.urlpatterns} == {*PAGES, *PRESSED, *BY_TOKEN}


@pytest.mark.parametrize("who", sorted(EVERYBODY))
def test_page_when_a_role_asks_then_it_is_there_or_there_is_nothing(house, signed_in, url, who):
    browser = signed_in(who)
    reached = {name for name, (about, _) in PAGES.items() if browser.get(url(name, about)).status_code != 404}
    assert reached == {name for name, (_, roles) in PAGES.items() if who in roles}


@pytest.mark.parametrize("who", sorted(EVERYBODY))
def test_press_when_a_role_presses_then_it_is_done_or_there_is_nothing(house, signed_in, url, who):
    browser = signed_in(who)
    reached = {name for name, (about, _) in PRESSED.items() if browser.post(url(name, about)).status_code != 404}
    assert reached == {name for name, (_, roles) in PRESSED.items() if who in roles}
    assert {browser.get(url(name, about)).status_code for name, (about, roles) in PRESSED.items()} == {405}


@pytest.mark.parametrize("who", sorted(EVERYBODY - ADMINISTRATOR))
def test_forms_when_no_administrator_posts_then_there_is_nothing_and_nothing_changes(house, signed_in, url, who):
    browser = signed_in(who)
    for name, (about, roles) in PAGES.items():
        if roles == ADMINISTRATOR:
            assert browser.post(url(name, about), {"name": "X", "code": "x", "reason": "x"}).status_code == 404
    house.north.refresh_from_db()
    assert house.north.name == "Site North"
    assert house.monitor.memberships.get().until_on is None


def test_page_when_nobody_is_signed_in_then_every_one_leads_to_the_sign_in_and_back(house, client, url):
    for name, (about, _) in (PAGES | PRESSED).items():
        address = url(name, about)
        answer = client.get(address)
        assert answer.status_code == 302
        assert answer.headers["Location"] == f"{reverse('account_login')}?next={address}"


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
