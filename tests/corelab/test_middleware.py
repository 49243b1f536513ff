"""Sign-in, its limits and its end by idleness."""

from __future__ import annotations

import pytest
from django.core.cache import cache
from django.test import Client
from django.urls import reverse

from corelab import middleware
from tests import factories

LOGIN = "/accounts/login/"


@pytest.fixture(autouse=True)
def no_tries_yet():
    cache.clear()


def _sign_in(browser: Client, person, password: str = factories.PASSWORD, **data: str):
    return browser.post(LOGIN, {"login": person.email.upper(), "password": password} | data)


def test_sign_in_when_email_and_password_are_right_then_the_page_asked_for_comes(house, client):
    answer = _sign_in(client, house.physicist, next="/sites/")
    assert (answer.status_code, answer.headers["Location"]) == (302, "/sites/")
    assert client.get("/sites/").status_code == 200


def test_sign_in_when_the_next_page_is_elsewhere_then_home_comes(house, client):
    assert _sign_in(client, house.physicist, next="https://elsewhere.example/").headers["Location"] == "/"


def test_sign_in_when_wrong_then_the_words_do_not_tell_which_part(house, client):
    wrong = _sign_in(client, house.physicist, password="x").text
    client.post(LOGIN, {"login": "never@example.org", "password": "x"})
    unknown = client.post(LOGIN, {"login": "never@example.org", "password": "x"}).text
    words = "Email or password is not right. After 5 tries this account waits 15 minutes."
    assert words in wrong
    assert words in unknown


def test_sign_in_when_wrong_five_times_then_the_account_waits_even_for_the_right_password(house, client):
    for _ in range(5):
        _sign_in(client, house.physicist, password="x")
    answer = _sign_in(client, house.physicist)
    assert "After 5 tries this account waits 15 minutes." in answer.text
    assert client.get("/sites/").status_code == 302
    assert _sign_in(Client(), house.technician).status_code == 302


def test_sign_in_when_access_has_ended_then_it_is_refused(house, client):
    house.physicist.is_active = False
    house.physicist.save()
    _sign_in(client, house.physicist)
    assert client.get("/sites/").status_code == 302


def test_sign_out_when_pressed_then_the_sign_in_is_next(house, signed_in):
    browser = signed_in("physicist")
    assert browser.post(reverse("account_logout")).headers["Location"] == LOGIN
    assert browser.get("/sites/").status_code == 302


def test_sign_in_page_when_asked_for_then_few_queries_and_no_store(house, client, django_assert_max_num_queries):
    with django_assert_max_num_queries(3):
        page = client.get(LOGIN)
    assert "no-store" in page.headers["Cache-Control"]
    assert 'autocomplete="current-password"' in page.text


@pytest.mark.parametrize(("who", "seconds"), [("site_user", 1800), ("trial_manager", 1800), ("physicist", 3600)])
def test_idle_when_a_role_is_signed_in_then_its_sign_in_ends_after_its_time(house, signed_in, who, seconds):
    browser = signed_in(who)
    page = browser.get("/help/")
    assert f'data-idle-s="{seconds}"' in page.text
    assert browser.session.get_expiry_age() == seconds


def test_idle_when_a_page_polls_by_itself_then_the_end_does_not_move(house, signed_in, monkeypatch):
    now = [1_000_000.0]
    monkeypatch.setattr(middleware.time, "time", lambda: now[0])
    browser = signed_in("physicist")
    browser.get("/work/")
    seen = browser.session["seen"]
    now[0] += 600
    browser.get("/work/news/", headers={"X-Poll": "1"})
    assert browser.session["seen"] == seen
    browser.get("/work/")
    assert browser.session["seen"] == seen + 600


def test_idle_when_pages_follow_within_a_minute_then_the_session_is_not_written_again(house, signed_in):
    browser = signed_in("physicist")
    browser.get("/help/")
    assert "sessionid" not in browser.get("/help/").cookies


def test_sign_in_required_when_htmx_asks_then_the_whole_page_is_led_to_the_sign_in_and_back(client, db):
    answer = client.get("/work/news/", headers={"HX-Request": "true", "Referer": "http://testserver/work/?view=open"})
    assert answer.headers["HX-Redirect"] == f"{LOGIN}?next=/work/%3Fview%3Dopen"


def test_sign_in_required_when_a_form_is_posted_then_the_page_it_stood_on_comes_back(client, db):
    answer = client.post("/audit/verify/", headers={"Referer": "http://testserver/audit/"})
    assert answer.headers["Location"] == f"{LOGIN}?next=/audit/"
    elsewhere = client.post("/audit/verify/", headers={"Referer": "https://elsewhere.example/"})
    assert elsewhere.headers["Location"] == f"{LOGIN}?next=/"


def test_sign_in_required_when_a_program_asks_then_it_is_told_401(client, db):
    assert client.post("/account/stay/", headers={"Sec-Fetch-Mode": "cors"}).status_code == 401


def test_form_when_its_token_is_missing_then_the_page_says_it_is_too_old(house):
    browser = Client(enforce_csrf_checks=True)
    browser.force_login(house.administrator)
    answer = browser.post(reverse("corelab:site-add"), {})
    assert answer.status_code == 403
    assert "This form is too old" in answer.text


def test_page_when_answered_then_the_policy_and_a_reference_go_with_it(house, signed_in):
    answer = signed_in("physicist").get("/help/")
    assert answer.headers["Content-Security-Policy"] == middleware.POLICY
    assert "unsafe" not in middleware.POLICY
    assert answer.headers["X-Request-Reference"]
    assert answer.headers["Cache-Control"] == "no-store"
