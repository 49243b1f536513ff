"""Review and signature: what is shown is what is signed, by the person who has it, once."""

from __future__ import annotations

import re

import pytest
from django.urls import reverse

from corelab.models import Role, Signature
from qc.checklists import checklist_for
from qc.models import ChecklistAnswer, Review, Submission
from qc.states import SubmissionState as S
from tests import factories
from tests.qc import scenes

pytestmark = pytest.mark.django_db


@pytest.fixture
def physicist_client(client, physicist):
    client.force_login(physicist)
    return client


@pytest.fixture
def mine(draft, physicist):
    """A failing cylinder that the physicist has in review."""
    scenes.measured(draft, scenes.cylinder_result(14.0), state=S.IN_REVIEW)
    Submission.objects.filter(pk=draft.pk).update(reviewer=physicist)
    draft.refresh_from_db()
    return draft


def url(name: str, submission: Submission) -> str:
    return reverse(f"qc:{name}", args=[submission.number])


def answer_all(client, submission: Submission) -> None:
    for item in checklist_for("cylinder"):
        client.post(url("checklist-answer", submission), {"item": item.key, "is_seen": "no"})


def judged(submission: Submission, **changes: str) -> dict[str, str]:
    return {"run": str(submission.current_run.number), "verdict": "FAIL", "comment_to_site": "Scan again."} | changes


def sign_form(client, submission: Submission) -> dict[str, str]:
    """Return the hidden fields of the sign page, as a browser would send them."""
    page = client.get(url("submission-sign", submission)).content.decode()
    form = page[page.index('class="sign-form"') :]
    inputs = re.findall(r"<input[^>]*>", form[: form.index("</form>")])
    values = {}
    for one in inputs:
        name, value = re.search(r'name="([^"]+)"', one), re.search(r'value="([^"]*)"', one)
        if name and "hidden" in one:
            values[name[1]] = value[1] if value else ""
    return values


# --- claim ----------------------------------------------------------------------------------------


def test_claim_when_pressed_then_the_review_page_opens(physicist_client, draft, physicist):
    scenes.measured(draft)
    assert physicist_client.post(url("submission-claim", draft)).url == url("submission-review", draft)
    draft.refresh_from_db()
    assert (draft.state, draft.reviewer) == (S.IN_REVIEW, physicist)


def test_claim_when_only_asked_for_then_nothing_changes(physicist_client, draft):
    scenes.measured(draft)
    assert physicist_client.get(url("submission-claim", draft)).status_code == 405


def test_claim_when_another_has_it_then_says_who(client, mine, physicist):
    client.force_login(factories.user(Role.PHYSICIST))
    answer = client.post(url("submission-claim", mine))
    assert answer.status_code == 409
    assert physicist.name in answer.content.decode()


def test_unclaim_when_pressed_then_it_waits_again(physicist_client, mine):
    physicist_client.post(url("submission-unclaim", mine))
    mine.refresh_from_db()
    assert (mine.state, mine.reviewer) == (S.AWAITING_REVIEW, None)


@pytest.mark.parametrize("role", [Role.TECHNICIAN, Role.APPROVER, Role.AUDITOR])
@pytest.mark.parametrize("name", ["submission-review", "submission-sign"])
def test_review_when_no_physicist_asks_then_is_not_there(client, mine, role, name):
    client.force_login(factories.user(role))
    assert client.get(url(name, mine)).status_code == 404


# --- review ---------------------------------------------------------------------------------------


def test_review_when_opened_then_proposes_and_chooses_nothing(physicist_client, mine):
    page = physicist_client.get(url("submission-review", mine)).content.decode()
    assert "Proposed: Fail" in page
    radios = re.findall(r'<input type="radio" name="verdict"[^>]*>', page)
    assert len(radios) == 4
    assert not any("checked" in radio for radio in radios)
    for item in checklist_for("cylinder"):
        assert item.title in page


def test_checklist_when_answered_then_shows_person_and_time(physicist_client, mine, physicist):
    data = {"item": "rings", "is_seen": "yes", "note": "slice 40"}
    answer = physicist_client.post(url("checklist-answer", mine), data, headers={"HX-Request": "true"})
    row = answer.content.decode()
    assert "<html" not in row
    assert "Seen: " in row
    assert "slice 40" in row
    assert physicist.name in row
    kept = ChecklistAnswer.objects.get()
    assert (kept.item, kept.is_seen, kept.answered_by) == ("rings", True, physicist)


def test_checklist_when_answered_without_script_then_the_page_comes_back_to_the_question(physicist_client, mine):
    answer = physicist_client.post(url("checklist-answer", mine), {"item": "wedge", "is_seen": "no"})
    assert answer.url == url("submission-review", mine) + "#check-wedge"


def test_checklist_when_another_physicist_answers_then_is_refused(client, mine):
    client.force_login(factories.user(Role.PHYSICIST))
    answer = client.post(url("checklist-answer", mine), {"item": "rings", "is_seen": "no"})
    assert answer.status_code == 409
    assert not ChecklistAnswer.objects.exists()


def test_review_when_a_question_is_open_then_names_it_and_keeps_the_comment(physicist_client, mine):
    physicist_client.post(url("checklist-answer", mine), {"item": "rings", "is_seen": "no"})
    page = physicist_client.post(url("submission-review", mine), judged(mine)).content.decode()
    assert "Answer the visual check first: wedge" in page
    assert "Scan again." in page


def test_review_when_it_differs_then_wants_a_reason(physicist_client, mine):
    answer_all(physicist_client, mine)
    page = physicist_client.post(url("submission-review", mine), judged(mine, verdict="PASS")).content.decode()
    assert "Your verdict differs from the proposed one. Say why." in page
    whole = judged(mine, verdict="PASS", difference_reason="The sheet is wrong.")
    assert physicist_client.post(url("submission-review", mine), whole).url == url("submission-sign", mine)


def test_review_when_a_field_is_left_then_it_is_saved_and_there_again(physicist_client, mine):
    saved = physicist_client.post(url("submission-review", mine), judged(mine), headers={"HX-Request": "true"})
    assert "Saved" in saved.content.decode()
    page = physicist_client.get(url("submission-review", mine)).content.decode()
    assert "Scan again." in page
    assert re.search(r'<input type="radio" name="verdict" value="FAIL"[^>]*checked', page)


def test_review_when_the_run_changed_meanwhile_then_says_so(physicist_client, mine):
    answer_all(physicist_client, mine)
    page = physicist_client.post(url("submission-review", mine), judged(mine, run="1")).content.decode()
    assert "The run changed while you were reading" in page


# --- signature ------------------------------------------------------------------------------------


@pytest.fixture
def ready(physicist_client, mine):
    """A review that is complete but for the signature."""
    answer_all(physicist_client, mine)
    physicist_client.post(url("submission-review", mine), judged(mine))
    return mine


def test_sign_when_opened_then_shows_statement_meaning_name_time_and_digest(physicist_client, ready, physicist):
    page = physicist_client.get(url("submission-sign", ready)).content.decode()
    assert f"run {ready.current_run}" in page
    assert "My verdict is Fail" in page
    assert "<dt>Meaning</dt><dd>Review</dd>" in page
    assert physicist.name in page
    assert physicist.email in page
    assert re.search(r"\d\d:\d\d (GMT|BST|UTC)", page)
    assert re.search(r'class="digest" title="[0-9a-f]{64}"', page)
    assert reverse("qc:report-download", args=[ready.current_run.number]) + "?unsigned=1" in page
    assert 'type="password"' in page


def test_sign_when_nothing_was_judged_then_leads_back(physicist_client, mine):
    assert physicist_client.get(url("submission-sign", mine)).url == url("submission-review", mine)


def test_sign_when_the_report_is_not_made_then_waits_and_asks_again(physicist_client, ready):
    ready.current_run.reports.update(stored=None, work_state="QUEUED")
    page = physicist_client.get(url("submission-sign", ready)).content.decode()
    assert "The report is being made" in page
    assert 'hx-trigger="every 2s"' in page
    assert 'type="password"' not in page


def test_sign_when_the_password_is_wrong_then_nothing_is_signed_and_nothing_lost(physicist_client, ready):
    form = sign_form(physicist_client, ready)
    page = physicist_client.post(url("submission-sign", ready), form | {"password": "not this"}).content.decode()
    assert "Password is not right. Nothing was signed." in page
    assert "Scan again." in page
    assert "not this" not in page
    ready.refresh_from_db()
    assert ready.state == S.IN_REVIEW
    assert not Signature.objects.exists()


def test_sign_when_the_password_is_right_then_it_is_released_with_exactly_what_was_shown(
    physicist_client, ready, physicist
):
    form = sign_form(physicist_client, ready)
    answer = physicist_client.post(url("submission-sign", ready), form | {"password": factories.PASSWORD})
    assert answer.url == url("submission-detail", ready)
    ready.refresh_from_db()
    review = Review.objects.get()
    assert (ready.state, ready.verdict) == (S.RELEASED, "FAIL")
    assert review.comment_to_site == "Scan again."
    assert review.signature.digest == form["shown_digest"]
    assert review.signature.printed_name == physicist.name
    page = physicist_client.get(answer.url).content.decode()
    assert "verdict-fail" in page
    assert "is-proposed" not in page
    assert physicist_client.get(url("submission-sign", ready)).url == url("submission-detail", ready)


def test_sign_when_sent_twice_then_is_signed_once(physicist_client, ready):
    form = sign_form(physicist_client, ready) | {"password": factories.PASSWORD}
    physicist_client.post(url("submission-sign", ready), form)
    assert physicist_client.post(url("submission-sign", ready), form).url == url("submission-detail", ready)
    assert Signature.objects.count() == 1


@pytest.mark.parametrize("changed", [{"shown_digest": "0" * 64}, {"run": "1"}])
def test_sign_when_what_was_shown_is_no_longer_so_then_nothing_is_signed_and_the_words_are_kept(
    physicist_client, ready, changed
):
    form = sign_form(physicist_client, ready) | {"password": factories.PASSWORD} | changed
    answer = physicist_client.post(url("submission-sign", ready), form)
    page = answer.content.decode()
    assert answer.status_code == 409
    assert "changed while you were reading" in page
    assert "Nothing was signed" in page
    assert "Scan again." in page
    assert not Signature.objects.exists()


def test_sign_when_the_verdict_is_none_that_a_person_can_give_then_leads_back(physicist_client, ready):
    form = sign_form(physicist_client, ready) | {"password": factories.PASSWORD, "verdict": "ERROR"}
    assert physicist_client.post(url("submission-sign", ready), form).url == url("submission-review", ready)
    assert not Signature.objects.exists()
