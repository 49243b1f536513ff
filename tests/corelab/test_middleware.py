"""Sign-in, its limits and its end by idleness."""

from __future__ import annotations

from urllib.parse import urlencode

import pytest
from django.test import Client
from django.urls import reverse

from corelab import middleware
from tests import factories

LOGIN = "/accounts/login/"


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


FORM = "application/x-www-form-urlencoded"


@pytest.mark.parametrize("path", ["/sites/?q=a%00b", "/sites/?a%00=1", "/sites/%00/", "/submissions/S-1%00/"])
def test_nul_when_it_is_in_the_path_or_the_query_then_400(house, path):
    assert _browser_of(house.physicist).get(path).status_code == 400


def test_nul_when_it_is_in_a_cookie_then_400():
    assert Client(headers={"Cookie": 'sessionid="abcdefgh\\000i"'}).get("/").status_code == 400


@pytest.mark.parametrize("data", [{"login": "a\0b", "password": "x"}, {"login": "a", "password": "x", "k\0": "1"}])
@pytest.mark.parametrize("is_multipart", [False, True])
def test_nul_when_it_is_in_a_form_then_400(house, client, data, is_multipart):
    body = {"data": data} if is_multipart else {"data": urlencode(data), "content_type": FORM}
    assert client.post(LOGIN, **body).status_code == 400


def test_nul_when_there_is_none_then_the_page_comes(house):
    assert _browser_of(house.physicist).get("/sites/?q=a%20b").status_code == 200


def test_form_when_it_breaks_off_then_400_and_no_error_of_ours(house, client):
    body = {"wsgi.input": _Breaks(), "CONTENT_LENGTH": "100", "CONTENT_TYPE": FORM}
    assert client.generic("POST", LOGIN, b"", **body).status_code == 400


class _Breaks:
    """A body whose connection breaks."""

    def read(self, *args):
        raise OSError("connection lost")

    readline = read


class _Unread:
    """A body that must not be read."""

    def read(self, *args):
        raise AssertionError("the body was read")

    readline = read


def _declare(browser: Client, path: str, length: int, kind: str = "multipart/form-data; boundary=x"):
    body = {"wsgi.input": _Unread(), "CONTENT_LENGTH": str(length), "CONTENT_TYPE": kind}
    return browser.generic("POST", path, b"", **body)


def _browser_of(person) -> Client:
    browser = Client()
    browser.force_login(person)
    return browser


@pytest.mark.parametrize("path", [LOGIN, "/sites/", "/send/S-1001/files/remove/"])
@pytest.mark.parametrize("kind", ["multipart/form-data; boundary=x", FORM, "application/octet-stream"])
def test_body_when_it_is_larger_than_a_form_then_413_before_it_is_read(house, settings, path, kind):
    for browser in (Client(), _browser_of(house.site_user)):
        answer = _declare(browser, path, settings.DATA_UPLOAD_MAX_MEMORY_SIZE + 1, kind)
        assert answer.status_code == 413


def test_body_when_it_is_the_form_with_a_file_then_only_a_person_who_signed_in_may_send_more(house, settings):
    path = "/send/S-1001/files/"
    larger = settings.DATA_UPLOAD_MAX_MEMORY_SIZE + 1
    assert _declare(Client(), path, larger).status_code == 413
    forged = Client(headers={"Cookie": "sessionid=abcdefghijklmnop"})
    assert _declare(forged, path, larger).status_code == 413
    signed_in = _browser_of(house.site_user)
    assert _declare(signed_in, path, larger, FORM).status_code == 413
    assert _declare(signed_in, path, 2 * settings.UPLOAD_FILE_MAX_BYTES).status_code == 413
    with pytest.raises(AssertionError, match="body was read"):
        _declare(signed_in, path, larger)


def test_body_when_it_is_a_resumable_upload_then_its_own_limit_answers(house, settings):
    browser = _browser_of(house.site_user)
    kind = "application/offset+octet-stream"
    for length in (settings.UPLOAD_CHUNK_BYTES + 1, settings.DATA_UPLOAD_MAX_MEMORY_SIZE + 1):
        body = {"wsgi.input": _Unread(), "CONTENT_LENGTH": str(length), "CONTENT_TYPE": kind}
        names = {"HTTP_TUS_RESUMABLE": "1.0.0", "HTTP_UPLOAD_OFFSET": "0"}
        url = "/upload/4f2cbb54-7a64-4a4e-8b0f-5b1fd9a7f000/"
        answer = browser.generic("PATCH", url, b"", **body, **names)
        assert (answer.status_code, answer.headers["Tus-Resumable"]) == (413, "1.0.0")
    assert _declare(browser, "/upload/", settings.DATA_UPLOAD_MAX_MEMORY_SIZE + 1).status_code == 413
