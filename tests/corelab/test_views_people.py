"""People and one's own account, through the pages."""

from __future__ import annotations

import re

import pytest
from django.test import Client
from django.urls import reverse

from corelab import access
from corelab.models import AuditEvent, Role, User
from tests import factories

GOOD = "seven quiet wooden boats"


def test_invite_when_an_administrator_invites_then_the_link_is_shown_once_and_signs_the_person_in(house, signed_in):
    browser = signed_in("administrator")
    form = {"name": "Technologist 9", "email": "new@example.org", "role": "site_user", "site": "site-north"}
    page = browser.post(reverse("corelab:person-invite"), form, follow=True)
    link = re.search(r'value="(http://testserver/invitation/[^"]+)"', page.text)[1]
    person = User.objects.get(email="new@example.org")
    assert link not in browser.get(reverse("corelab:person-detail", args=[person.pk])).text

    stranger = Client()
    assert "new@example.org" in stranger.get(link).text
    answer = stranger.post(link, {"password": GOOD, "again": GOOD}, follow=True)
    assert answer.status_code == 200
    assert answer.wsgi_request.user == person
    assert "Site North" in answer.text
    assert Client().get(link).status_code == 404
    assert AuditEvent.objects.get(action="person.join").request_id


def test_invite_when_the_two_passwords_differ_then_it_is_said_at_the_field_and_in_the_summary(house, signed_in):
    browser = signed_in("administrator")
    page = browser.post(reverse("corelab:person-link", args=[house.nobody.pk]), follow=True)
    link = re.search(r'value="(http://testserver/invitation/[^"]+)"', page.text)[1]
    answer = Client().post(link, {"password": GOOD, "again": GOOD + "x"})
    assert answer.text.count("The two are not the same.") == 2
    assert not User.objects.get(pk=house.nobody.pk).check_password(GOOD)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"site": ""}, "Choose the site."),
        ({"role": "monitor", "site": ""}, "Choose the trial."),
        ({"role": "physicist"}, "Physicist is not given for one site: leave this empty."),
        ({"role": ""}, "Choose a role."),
        ({"email": "not-an-address"}, "Enter a valid email address."),
    ],
)
def test_invite_when_something_is_missing_then_the_form_comes_back_with_every_value(house, signed_in, values, words):
    form = {"name": "Technologist 9", "email": "new@example.org", "role": "site_user", "site": "site-north"} | values
    page = signed_in("administrator").post(reverse("corelab:person-invite"), form)
    assert page.status_code == 200
    assert "<title>Error: " in page.text
    assert page.text.count(words) >= 2
    assert 'value="Technologist 9"' in page.text
    assert not User.objects.filter(email="new@example.org").exists()


def test_role_end_when_it_is_the_last_administrator_then_the_page_says_so(house, signed_in):
    own = house.administrator.memberships.get()
    page = signed_in("administrator").post(reverse("corelab:membership-end", args=[own.pk]), {"reason": "Leaving."})
    assert "This is the last administrator." in page.text
    assert access.is_administrator(User.objects.get(pk=house.administrator.pk))


def test_role_end_when_an_administrator_ends_the_own_role_then_home_is_next(house, signed_in):
    factories.user(Role.ADMINISTRATOR)
    own = house.administrator.memberships.get()
    answer = signed_in("administrator").post(
        reverse("corelab:membership-end", args=[own.pk]), {"reason": "Leaving."}, follow=True
    )
    assert "You have no role yet" in answer.text


def test_role_end_when_no_reason_is_given_then_it_is_asked_for(house, signed_in):
    membership = house.monitor.memberships.get()
    page = signed_in("administrator").post(reverse("corelab:membership-end", args=[membership.pk]), {"reason": ""})
    assert "Say why: this needs a reason." in page.text
    membership.refresh_from_db()
    assert membership.until_on is None


def test_account_when_saved_then_the_theme_is_remembered_by_the_device_too(house, signed_in):
    browser = signed_in("physicist")
    form = {"name": "Physicist One", "theme": "dark", "keys_enabled": "on"}
    page = browser.post(reverse("corelab:account-edit"), form, follow=True)
    assert 'data-bs-theme="dark"' in page.text
    assert "data-keys" in page.text
    browser.post(reverse("account_logout"))
    assert 'data-bs-theme="dark"' in browser.get(reverse("account_login")).text


def test_password_when_changed_then_this_device_stays_signed_in_and_others_do_not(house, signed_in):
    here, there = signed_in("physicist"), signed_in("physicist")
    form = {"old": factories.PASSWORD, "password": GOOD, "again": GOOD}
    assert here.post(reverse("account_change_password"), form).status_code == 302
    assert here.get(reverse("corelab:account-edit")).status_code == 200
    assert there.get(reverse("corelab:account-edit")).status_code == 302


def test_password_when_the_form_comes_back_then_no_password_is_in_the_page(house, signed_in):
    form = {"old": "wrong", "password": GOOD, "again": GOOD}
    page = signed_in("physicist").post(reverse("account_change_password"), form)
    assert "Password is not right. Nothing was changed." in page.text
    assert GOOD not in page.text


def test_people_when_the_auditor_looks_then_nothing_can_be_changed_there(house, signed_in):
    browser = signed_in("auditor")
    page = browser.get(reverse("corelab:person-detail", args=[house.physicist.pk]))
    assert "End access" not in page.text
    assert "Invite a person" not in browser.get(reverse("corelab:person-list")).text
