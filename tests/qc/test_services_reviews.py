"""Review and report: claimed by one, answered, signed over a digest, released once, printed once."""

from __future__ import annotations

import hashlib
import re

import pytest
from django.db import IntegrityError, transaction

from corelab import storage
from corelab.errors import NotAllowed, NotFound, Refused, StaleState
from corelab.models import AuditEvent, Membership, Role, Signature
from qc import analysis, services, signals
from qc.checklists import CHECKLISTS
from qc.models import Report, Review, Run
from qc.services import reports
from qc.states import SubmissionState as S
from tests import factories
from tests.factories import PASSWORD
from tests.qc.kit import SHEET, call, receive, slices, work

pytestmark = pytest.mark.django_db


@pytest.fixture
def pdf(monkeypatch):
    """Print quickly: what the PDF would say, as text."""
    monkeypatch.setattr(reports, "render_pdf", lambda context, figures: repr(context).encode())


@pytest.fixture
def waiting(draft, measured, pdf):
    """A measured submission with its unsigned report, which waits for review."""
    draft.sheet = SHEET
    draft.save()
    receive(draft, *slices())
    call(services.submission_send, actor=draft.created_by, submission_id=draft.pk)
    work(services.submission_check, submission_id=draft.pk)
    work(services.run_analyse, run_id=Run.objects.get().pk)
    work(services.report_make, report_id=Report.objects.get().pk)
    draft.refresh_from_db()
    assert draft.state == S.AWAITING_REVIEW
    return draft


@pytest.fixture
def reviewed(waiting, physicist):
    """A submission in review by a physicist who answered every item."""
    call(services.submission_claim, actor=physicist, submission_id=waiting.pk)
    for item in CHECKLISTS["cylinder"]:
        call(services.checklist_answer, actor=physicist, run_id=waiting.current_run_id, item=item.key, is_seen=False)
    waiting.refresh_from_db()
    return waiting


def sign(submission, actor, **fields):
    run = submission.current_run
    given = {
        "verdict": "PASS",
        "difference_reason": "",
        "comment_to_site": "Good.",
        "password": PASSWORD,
        "shown_digest": services.signing_digest(run),
    }
    return call(services.review_sign, actor=actor, submission_id=submission.pk, run_id=run.pk, **(given | fields))


def test_claim_when_two_physicists_try_at_once_then_one_gets_it_and_the_other_is_told(waiting, physicist):
    other = factories.user(Role.PHYSICIST)
    call(services.submission_claim, actor=physicist, submission_id=waiting.pk)
    with pytest.raises(StaleState, match=physicist.name):
        call(services.submission_claim, actor=other, submission_id=waiting.pk)
    waiting.refresh_from_db()
    assert (waiting.state, waiting.reviewer) == (S.IN_REVIEW, physicist)


def test_claim_when_both_have_read_the_same_state_then_the_swap_lets_one_through(waiting, physicist):
    from qc.services.moves import move

    first, second = (type(waiting).objects.get(pk=waiting.pk) for _ in range(2))
    call(lambda actor: move(first, "claim", actor=actor, reviewer=actor), actor=physicist)
    with pytest.raises(StaleState):
        call(lambda actor: move(second, "claim", actor=actor, reviewer=actor), actor=factories.user(Role.PHYSICIST))


def test_claim_when_the_same_physicist_asks_again_then_nothing_changes(waiting, physicist):
    call(services.submission_claim, actor=physicist, submission_id=waiting.pk)
    call(services.submission_claim, actor=physicist, submission_id=waiting.pk)
    assert AuditEvent.objects.filter(action="submission.claim").count() == 1


@pytest.mark.parametrize("role", [Role.TECHNICIAN, Role.APPROVER, Role.AUDITOR, Role.ADMINISTRATOR])
def test_claim_when_the_person_is_no_physicist_then_it_is_refused(waiting, role):
    with pytest.raises(NotAllowed):
        call(services.submission_claim, actor=factories.user(role), submission_id=waiting.pk)


def test_claim_when_the_physicist_is_the_sender_too_then_another_must_review(waiting):
    sender = waiting.created_by
    Membership.objects.create(user=sender, role=Role.PHYSICIST, from_on="2020-01-01")
    with pytest.raises(NotAllowed) as refused:
        call(services.submission_claim, actor=sender, submission_id=waiting.pk)
    assert refused.value.code == "OWN-SUBMISSION"


def test_claim_when_the_physicist_sent_it_once_and_another_sent_it_last_then_another_must_review(
    draft, site, measured, pdf, physicist
):
    Membership.objects.create(user=physicist, role=Role.SITE_USER, site=site, from_on="2020-01-01")
    receive(draft, b"no image")
    call(services.submission_send, actor=physicist, submission_id=draft.pk)
    work(services.submission_check, submission_id=draft.pk)
    receive(draft, *slices())
    call(services.submission_send, actor=draft.created_by, submission_id=draft.pk)
    work(services.submission_check, submission_id=draft.pk)
    work(services.run_analyse, run_id=Run.objects.get().pk)
    draft.refresh_from_db()
    assert (draft.state, draft.sent_by) == (S.AWAITING_REVIEW, draft.created_by)
    with pytest.raises(NotAllowed) as refused:
        call(services.submission_claim, actor=physicist, submission_id=draft.pk)
    assert refused.value.code == "OWN-SUBMISSION"


@pytest.mark.parametrize("changed", ["reviewer", "current_run"])
def test_sign_when_it_changed_hands_between_look_and_swap_then_nothing_is_signed(
    reviewed, physicist, monkeypatch, changed
):
    another = factories.user(Role.PHYSICIST) if changed == "reviewer" else None
    check = services.reviews._check_judgement

    def meanwhile(*arguments):
        type(reviewed).objects.filter(pk=reviewed.pk).update(**{changed: another})
        return check(*arguments)

    monkeypatch.setattr(services.reviews, "_check_judgement", meanwhile)
    with pytest.raises(StaleState):
        sign(reviewed, physicist)
    assert not Signature.objects.exists()


def test_unclaim_when_it_is_given_back_then_another_may_take_it(waiting, physicist):
    other = factories.user(Role.PHYSICIST)
    call(services.submission_claim, actor=physicist, submission_id=waiting.pk)
    call(services.submission_unclaim, actor=physicist, submission_id=waiting.pk)
    call(services.submission_claim, actor=other, submission_id=waiting.pk)
    waiting.refresh_from_db()
    assert waiting.reviewer == other


def test_checklist_when_a_mind_is_changed_then_both_answers_stay_and_the_last_counts(reviewed, physicist):
    run = reviewed.current_run
    call(services.checklist_answer, actor=physicist, run_id=run.pk, item="rings", is_seen=True, note="block 7")
    assert run.checklist_answers.filter(item="rings").count() == 2
    from qc.selectors import checklist_of

    assert next(row for row in checklist_of(run) if row.item.key == "rings").answer.is_seen is True


def test_checklist_when_another_physicist_answers_then_it_is_refused(reviewed):
    with pytest.raises(StaleState):
        call(
            services.checklist_answer,
            actor=factories.user(Role.PHYSICIST),
            run_id=reviewed.current_run_id,
            item="rings",
            is_seen=True,
        )


def test_checklist_when_the_method_has_no_such_item_then_it_is_refused(reviewed, physicist):
    with pytest.raises(Refused) as refused:
        call(
            services.checklist_answer,
            actor=physicist,
            run_id=reviewed.current_run_id,
            item="extravasation",
            is_seen=False,
        )
    assert refused.value.code == "CHECKLIST-ITEM"


def test_sign_when_all_is_given_then_it_is_signed_released_and_printed(reviewed, physicist):
    review = sign(reviewed, physicist)
    reviewed.refresh_from_db()
    assert (reviewed.state, reviewed.verdict, reviewed.proposed_verdict) == (S.RELEASED, "PASS", "PASS")
    assert reviewed.released_at is not None
    signature = review.signature
    assert (signature.user, signature.printed_name, signature.role) == (physicist, physicist.name, "Physicist")
    assert signature.meaning == "review"
    assert signature.statement == (f"I have reviewed run {review.run} of {reviewed}. My verdict is Pass.")
    report = Report.objects.get(review=review)
    work(services.report_make, report_id=report.pk)
    report.refresh_from_db()
    text = storage.path_of(report.stored.sha256).read_text()
    assert physicist.name in text
    assert re.sub(r"\s", "", signature.digest[:8]) in re.sub(r"\s", "", text)
    made = AuditEvent.objects.filter(action="report.make").first()
    assert made.after == {"sha256": report.stored.sha256, "is_signed": True}


def test_sign_when_it_is_done_then_those_above_are_told_after_commit(
    reviewed, physicist, django_capture_on_commit_callbacks
):
    told = []

    def listen(sender, run_id, **kwargs):
        told.append(run_id)

    signals.run_signed.connect(listen)
    try:
        with django_capture_on_commit_callbacks() as callbacks:
            review = sign(reviewed, physicist)
        assert told == []
        for callback in callbacks:
            if "enqueue" not in callback.__qualname__:
                callback()
        assert told == [review.run_id]
    finally:
        signals.run_signed.disconnect(listen)


def test_digest_when_it_is_worked_out_by_hand_then_it_is_pdf_and_canonical_run(reviewed):
    run = reviewed.current_run
    unsigned = Report.objects.get(review=None)
    by_hand = hashlib.sha256(f"{unsigned.stored.sha256}\n".encode() + analysis.canonical(run.result)).hexdigest()
    assert services.signing_digest(run) == by_hand


def test_sign_when_it_is_signed_then_the_log_holds_move_signature_and_review(reviewed, physicist):
    sign(reviewed, physicist)
    actions = list(AuditEvent.objects.order_by("sequence").values_list("action", flat=True))[-3:]
    assert actions == ["submission.release", "signature.sign", "review.sign"]


def test_sign_when_the_password_is_wrong_then_nothing_was_signed(reviewed, physicist):
    before = AuditEvent.objects.count()
    with pytest.raises(NotAllowed, match="Nothing was signed"):
        sign(reviewed, physicist, password="guess")
    reviewed.refresh_from_db()
    assert reviewed.state == S.IN_REVIEW
    assert Signature.objects.count() == Review.objects.count() == 0
    assert AuditEvent.objects.count() == before


def test_sign_when_it_is_pressed_twice_then_the_second_is_told_and_there_is_one_signature(reviewed, physicist):
    sign(reviewed, physicist)
    with pytest.raises(StaleState):
        sign(reviewed, physicist)
    assert Signature.objects.count() == 1


def test_sign_when_another_physicist_holds_it_then_it_is_refused(reviewed):
    with pytest.raises(StaleState):
        sign(reviewed, factories.user(Role.PHYSICIST))


def test_sign_when_the_shown_report_is_an_older_one_then_the_form_is_stale(reviewed, physicist):
    with pytest.raises(StaleState, match="Read it again"):
        sign(reviewed, physicist, shown_digest="0" * 64)


def test_sign_when_the_run_changed_while_reading_then_it_must_be_read_again(reviewed, physicist):
    with pytest.raises(StaleState, match="R-"):
        call(
            services.review_sign,
            actor=physicist,
            submission_id=reviewed.pk,
            run_id=reviewed.pk,
            verdict="PASS",
            difference_reason="",
            comment_to_site="",
            password=PASSWORD,
            shown_digest=services.signing_digest(reviewed.current_run),
        )


def test_sign_when_the_report_is_not_made_yet_then_it_waits(reviewed, physicist):
    shown = services.signing_digest(reviewed.current_run)
    Report.objects.update(stored=None)
    with pytest.raises(Refused) as refused:
        sign(reviewed, physicist, shown_digest=shown)
    assert refused.value.code == "REPORT-NOT-READY"


def test_sign_when_an_item_is_open_then_it_is_named(waiting, physicist):
    call(services.submission_claim, actor=physicist, submission_id=waiting.pk)
    waiting.refresh_from_db()
    with pytest.raises(Refused, match="rings"):
        sign(waiting, physicist)


def test_sign_when_the_verdict_differs_then_a_reason_is_needed_and_both_are_kept(reviewed, physicist):
    with pytest.raises(Refused) as refused:
        sign(reviewed, physicist, verdict="FAIL", difference_reason=" ")
    assert refused.value.code == "DIFFERENCE-REASON"
    review = sign(reviewed, physicist, verdict="FAIL", difference_reason="Rings in every slice.")
    reviewed.refresh_from_db()
    assert (review.proposed_verdict, review.verdict) == ("PASS", "FAIL")
    assert (reviewed.proposed_verdict, reviewed.verdict) == ("PASS", "FAIL")
    assert AuditEvent.objects.get(action="review.sign").reason == "Rings in every slice."


@pytest.mark.parametrize("verdict", ["ERROR", "REPORT_ONLY", "", "pass"])
def test_sign_when_the_verdict_is_no_verdict_then_it_is_refused(reviewed, physicist, verdict):
    with pytest.raises(Refused):
        sign(reviewed, physicist, verdict=verdict, difference_reason="x")


def test_review_table_when_a_difference_has_no_reason_then_the_database_refuses_it(reviewed, physicist):
    review = sign(reviewed, physicist)
    with pytest.raises(IntegrityError), transaction.atomic():
        Review.objects.filter(pk=review.pk).update(verdict="FAIL")


def test_sign_when_the_person_may_not_see_it_then_it_is_not_found(reviewed):
    with pytest.raises(NotFound):
        sign(reviewed, factories.user(Role.SITE_USER, site=factories.site()))


def test_withdraw_when_the_review_has_begun_then_it_is_too_late(reviewed):
    from corelab.errors import InvalidMove

    with pytest.raises(InvalidMove):
        call(services.submission_withdraw, actor=reviewed.created_by, submission_id=reviewed.pk, reason="wrong phantom")


# --- reports ---------------------------------------------------------------------------------


def test_report_when_it_is_made_then_object_and_plain_file_hold_the_same_bytes(waiting, settings):
    report = Report.objects.get()
    path = settings.REPORT_DIR / f"{waiting.short_number}_{waiting.current_run.short_number}.pdf"
    assert hashlib.sha256(path.read_bytes()).hexdigest() == report.stored.sha256
    assert [one.name for one in settings.REPORT_DIR.iterdir()] == [path.name]


def test_report_when_it_is_rung_twice_then_it_is_made_once(waiting):
    report = Report.objects.get()
    work(services.report_make, report_id=report.pk)
    report.refresh_from_db()
    assert report.attempts == 1


def test_report_when_it_is_made_again_then_the_bytes_are_the_same(waiting):
    report = Report.objects.get()
    first = report.stored.sha256
    Report.objects.update(work_state="QUEUED", stored=None)
    work(services.report_make, report_id=report.pk)
    report.refresh_from_db()
    assert report.stored.sha256 == first


def test_report_when_typesetting_breaks_then_it_is_tried_again_and_the_result_stands(waiting, monkeypatch):
    monkeypatch.setattr(reports, "render_pdf", lambda context, figures: 1 / 0)
    Report.objects.update(work_state="QUEUED", stored=None)
    work(services.report_make, report_id=Report.objects.get().pk)
    waiting.refresh_from_db()
    assert Report.objects.get().work_state == "QUEUED"
    assert waiting.state == S.AWAITING_REVIEW


def test_report_when_it_is_really_typeset_then_it_is_a_pdf_without_what_must_not_be_in_it(waiting, monkeypatch):
    monkeypatch.undo()
    report = Report.objects.get()
    context = reports.build_context(report.run.result, reports.report_meta(report), reports.report_figures(report.run))
    assert reports.render_pdf(context, reports.report_figures(report.run)).startswith(b"%PDF-")
    assert "Nobody" not in repr(context)


def test_report_when_it_ended_as_our_error_then_staff_lets_it_be_made_again(waiting, physicist):
    report = Report.objects.get()
    with pytest.raises(StaleState):
        call(services.report_repeat, actor=physicist, report_id=report.pk)
    Report.objects.update(work_state="FAILED", stored=None, attempts=3)
    with pytest.raises(NotAllowed):
        call(services.report_repeat, actor=factories.user(Role.AUDITOR), report_id=report.pk)
    with pytest.raises(NotFound):
        call(services.report_repeat, actor=waiting.created_by, report_id=report.pk)
    call(services.report_repeat, actor=physicist, report_id=report.pk)
    work(services.report_make, report_id=report.pk)
    report.refresh_from_db()
    assert (report.work_state, report.attempts) == ("DONE", 4)
    assert report.stored is not None
