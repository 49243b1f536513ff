"""A case from application to certificate: who may do what, what is refused in which words, what is recorded."""

from __future__ import annotations

from datetime import date, timedelta

import pytest

from accreditation import selectors, services
from accreditation.models import Case, Certificate, Decision
from corelab import audit
from corelab.errors import InvalidMove, NotAllowed, NotFound, Refused, StaleState
from corelab.models import AuditEvent, Clearance, Role, Signature
from tests import factories
from tests.accreditation.scenes import TODAY, UK, Scene, certificate_of, collect, days, fresh
from tests.qc.kit import call

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("clock")]


# --- beginning --------------------------------------------------------------------------------


def test_start_when_a_site_applies_then_the_case_has_its_number_and_is_a_draft():
    scene = Scene()
    case = scene.start()
    assert (case.state, case.attempt, case.created_by) == ("DRAFT", 1, scene.sender)
    assert case.short_number == "C-1001"
    assert AuditEvent.objects.get(action="case.start").after["programme"] == "earl@1"


@pytest.mark.parametrize("programme", ["earl@1", UK])
def test_start_when_there_is_an_open_case_then_its_number_is_said(programme):
    scene = Scene(programme)
    first = scene.start()
    with pytest.raises(Refused) as refused:
        scene.start()
    assert refused.value.code == "CASE-OPEN"
    assert refused.value.message == f"There is already an open case for exactly this: {first}."
    assert Case.objects.count() == 1


def test_start_when_the_first_was_withdrawn_then_another_may_begin():
    scene = Scene()
    case = scene.start()
    call(services.case_withdraw, actor=scene.sender, case_id=case.pk, reason="Wrong reconstruction.")
    assert scene.start().number == case.number + 1


def test_start_when_only_one_part_of_the_scope_differs_then_it_is_another_scope():
    scene = Scene()
    scene.start()
    scene.start(standard="earl2_18f")
    scene.start(trial=factories.trial(scene.site))
    assert Case.objects.count() == 3


@pytest.mark.parametrize(
    ("given", "code"),
    [
        ({"standard": "acr"}, "SCOPE-STANDARD"),
        ({"tracer": "Ga-68"}, "SCOPE-TRACER"),
        ({"programme": "earl@9"}, "SCOPE-PROGRAMME"),
        ({"programme": UK, "trial": None}, "SCOPE-TRIAL"),
    ],
)
def test_start_when_the_parts_do_not_belong_together_then_it_is_refused(given, code):
    with pytest.raises(Refused) as refused:
        Scene().start(**given)
    assert refused.value.code == code


def test_start_when_reconstruction_or_trial_are_anothers_then_it_is_refused():
    scene, other = Scene(), Scene()
    with pytest.raises(Refused) as refused:
        scene.start(reconstruction=other.reconstruction)
    assert refused.value.code == "SCOPE-RECONSTRUCTION"
    with pytest.raises(Refused) as refused:
        scene.start(trial=factories.trial(other.site))
    assert refused.value.code == "SCOPE-TRIAL-SITE"


@pytest.mark.parametrize("role", [Role.PHYSICIST, Role.APPROVER, Role.AUDITOR, Role.ADMINISTRATOR])
def test_start_when_the_person_is_not_of_the_site_then_it_is_refused(role):
    scene = Scene()
    with pytest.raises(NotAllowed):
        scene.start(actor=factories.user(role))
    with pytest.raises(NotAllowed):
        scene.start(actor=Scene().sender)


# --- receipt ----------------------------------------------------------------------------------


def test_receipt_when_something_is_missing_then_the_site_sends_again():
    scene = Scene()
    case = scene.start()
    call(services.case_submit, actor=scene.sender, case_id=case.pk)
    call(services.case_receipt, actor=scene.technician, case_id=case.pk)
    with pytest.raises(Refused, match="reason"):
        call(services.case_incomplete, actor=scene.technician, case_id=case.pk, reason=" ")
    call(services.case_incomplete, actor=scene.technician, case_id=case.pk, reason="The software is not registered.")
    assert fresh(case).state == "INCOMPLETE"
    call(services.case_submit, actor=scene.sender, case_id=case.pk)
    assert fresh(case).state == "SUBMITTED"


def test_case_when_a_stranger_asks_then_it_is_not_there():
    case = Scene().start()
    with pytest.raises(NotFound):
        call(services.case_submit, actor=Scene().sender, case_id=case.pk)


def test_accept_when_signed_runs_are_there_already_then_they_count_at_once():
    scene = Scene()
    scene.signed("cylinder")
    scene.signed("nema_iq")
    assert scene.collecting().state == "PHYSICIST_REVIEW"


# --- the road ---------------------------------------------------------------------------------


@pytest.mark.parametrize("programme", ["earl@1", UK])
def test_road_when_everybody_does_their_part_then_certificate_and_clearance_are_written(programme):
    scene = Scene(programme)
    case = scene.accredited()
    assert (case.state, case.valid_from, case.valid_until) == ("ACCREDITED", TODAY, date(2027, 3, 9))
    certificate, clearance = Certificate.objects.get(), Clearance.objects.get()
    assert (certificate.number, clearance.certificate_number) == ("PET-2026-1001", "PET-2026-1001")
    assert (clearance.from_on, clearance.until_on, clearance.trial) == (TODAY, date(2027, 3, 9), scene.trial)
    assert (clearance.scanner, clearance.reconstruction) == (scene.scanner, scene.reconstruction)
    assert certificate.scope == selectors.scope_of(case)
    moves = AuditEvent.objects.filter(object_id=str(case.pk), action__startswith="case.").order_by("sequence")
    assert [one.action.removeprefix("case.") for one in moves] == [
        *("start", "submit", "receive", "accept", "collect", "propose", "take", "approve", "issue")
    ]
    assert audit.verify().intact


def test_road_when_it_is_signed_then_the_decision_holds_exactly_what_was_signed():
    from qc import analysis

    scene = Scene()
    case = scene.taken()
    shown = selectors.deciding_digest(case)
    decision = scene.approve(case, conditions=" Only this filter. ")
    assert decision.content["decision"] == "approve"
    assert decision.content["conditions"] == "Only this filter."
    assert analysis.digest(decision.content) == decision.signature.digest
    asked = {name: decision.content[name] for name in ("case", "scope", "attempt", "requirements")}
    assert analysis.digest(asked) == shown
    assert (decision.signature.meaning, decision.signature.role) == ("approval", "Approver")
    proposal = Decision.objects.get(event="propose")
    assert (proposal.signature.meaning, proposal.signature.role) == ("review", "Physicist")


def test_propose_when_a_requirement_is_missing_then_it_is_named():
    scene = Scene()
    case = scene.reviewing(cylinder="FAIL")
    with pytest.raises(Refused, match="1 requirement is missing: Quarterly calibration cylinder"):
        scene.propose(case)
    assert not Signature.objects.filter(object_type="accreditation.case").exists()


def test_propose_when_the_password_is_wrong_then_nothing_was_signed_and_nothing_moved():
    scene = Scene()
    case = scene.reviewing()
    with pytest.raises(NotAllowed, match="Nothing was signed"):
        scene.propose(case, password="guess")
    assert fresh(case).state == "PHYSICIST_REVIEW"
    assert not Decision.objects.exists()


def test_propose_when_evidence_came_after_the_page_was_read_then_it_must_be_read_again():
    scene = Scene()
    case = scene.reviewing()
    shown = selectors.deciding_digest(case)
    scene.signed("cylinder", "WARN")
    collect(case)
    with pytest.raises(StaleState, match="Read it again"):
        scene.propose(case, shown_digest=shown)


def test_approve_when_evidence_failed_in_the_meantime_then_it_is_refused():
    scene = Scene()
    case = scene.taken()
    shown = selectors.deciding_digest(case)
    scene.signed("cylinder", "FAIL")
    collect(case)
    with pytest.raises(StaleState):
        scene.approve(case, shown_digest=shown)
    with pytest.raises(Refused, match="missing"):
        scene.approve(case)
    assert not Certificate.objects.exists()


@pytest.mark.parametrize(
    ("first", "last", "words"),
    [(-1, 100, "begins today"), (10, 9, "before the first"), (0, 365, "9 Mar 2027 at most")],
)
def test_approve_when_the_days_are_wrong_then_it_says_how(first, last, words):
    scene = Scene()
    case = scene.taken()
    with pytest.raises(Refused, match=words) as refused:
        scene.approve(case, valid_from=TODAY + days(first), valid_until=TODAY + days(last))
    assert refused.value.code == "VALID-DAYS"
    assert fresh(case).state == "SECOND_REVIEW"


def test_approve_when_the_trial_ends_earlier_then_the_certificate_ends_with_it():
    scene = Scene(UK)
    scene.trial.ends_on = date(2026, 9, 30)
    scene.trial.save()
    assert scene.accredited().valid_until == date(2026, 9, 30)


# --- two people -------------------------------------------------------------------------------


def involved(scene, part):
    """Return an approver who had a part in the case."""
    person = {
        "starter": scene.sender,
        "sender": scene.sender,
        "reviewer": scene.physicist,
        "proposer": scene.proposer,
    }[part]
    return scene.also(person, Role.APPROVER)


@pytest.mark.parametrize(
    ("part", "words"),
    [("starter", "You started"), ("reviewer", "You reviewed S-"), ("proposer", "You proposed this")],
)
def test_take_when_the_approver_had_a_part_in_it_then_another_must_decide(part, words):
    scene = Scene()
    case = scene.proposed()
    with pytest.raises(Refused, match=words) as refused:
        call(services.case_take_second, actor=involved(scene, part), case_id=case.pk)
    assert "Another approver must decide." in refused.value.message
    assert fresh(case).state == "PASS_RECOMMENDED"


def test_take_when_the_approver_sent_a_phantom_of_it_then_another_must_decide():
    scene = Scene()
    sender = factories.user(Role.SITE_USER, site=scene.site)
    case = scene.collecting()
    scene.signed("cylinder", created_by=sender, sent_by=sender)
    scene.signed("nema_iq")
    collect(case)
    scene.propose(fresh(case))
    with pytest.raises(Refused, match="You sent S-"):
        call(services.case_take_second, actor=scene.also(sender, Role.APPROVER), case_id=case.pk)


def test_approve_when_the_role_came_after_the_case_was_taken_then_the_guard_asks_again():
    """Between taking and signing a newer phantom arrives that the approver reviewed."""
    scene = Scene()
    case = scene.taken()
    review = scene.signed("cylinder")
    Signature.objects.filter(pk=review.signature_id).update(user=scene.approver)
    collect(case)
    with pytest.raises(Refused, match="You reviewed S-"):
        scene.approve(case)


def test_propose_when_the_physicist_is_of_the_site_then_another_must_propose():
    scene = Scene()
    case = scene.reviewing()
    with pytest.raises(Refused, match="Another physicist must propose it"):
        scene.propose(case, actor=scene.also(scene.sender, Role.PHYSICIST))


def test_propose_when_the_physicist_reviewed_the_evidence_then_they_may():
    scene = Scene()
    case = scene.reviewing()
    scene.propose(case, actor=scene.physicist)
    assert fresh(case).state == "PASS_RECOMMENDED"


def test_second_review_when_another_approver_has_it_then_they_are_named_and_may_let_go():
    scene, other = Scene(), factories.user(Role.APPROVER)
    case = scene.taken()
    with pytest.raises(StaleState, match=f"{scene.approver} has this already"):
        call(services.case_take_second, actor=other, case_id=case.pk)
    for refused in (
        lambda: scene.approve(case, actor=other),
        lambda: scene.sign(services.case_refuse, case, other, reason="No."),
        lambda: call(services.case_return, actor=other, case_id=case.pk, reason="No."),
    ):
        with pytest.raises(StaleState):
            refused()
    call(services.case_give_back, actor=other, case_id=case.pk)
    call(services.case_take_second, actor=other, case_id=case.pk)
    assert fresh(case).approver == other


@pytest.mark.parametrize("role", [Role.TECHNICIAN, Role.APPROVER, Role.AUDITOR, Role.ADMINISTRATOR])
def test_propose_when_the_person_is_no_physicist_then_it_is_refused(role):
    scene = Scene()
    case = scene.reviewing()
    with pytest.raises(NotAllowed):
        scene.propose(case, actor=factories.user(role))


def test_return_when_the_approver_has_a_question_then_a_physicist_has_it_again():
    scene = Scene()
    case = scene.taken()
    call(services.case_return, actor=scene.approver, case_id=case.pk, reason="Look at the residual activity.")
    assert (fresh(case).state, fresh(case).approver) == ("PHYSICIST_REVIEW", None)
    scene.propose(case)


def test_refuse_when_it_is_signed_then_the_case_is_closed_and_another_may_begin():
    scene = Scene()
    case = scene.taken()
    scene.sign(services.case_refuse, case, scene.approver, reason="The calibrator has no certificate.")
    assert fresh(case).state == "FAIL"
    assert not Certificate.objects.exists()
    scene.start()


# --- corrective action ------------------------------------------------------------------------


def test_action_when_the_site_does_it_then_the_next_attempt_is_counted_and_the_new_run_decides():
    scene = Scene()
    case = scene.reviewing(nema_iq="FAIL")
    scene.require_action(case)
    case = fresh(case)
    assert (case.state, case.attempt, case.deadline_on) == ("CORRECTIVE_ACTION_REQUIRED", 1, TODAY + days(14))
    assert case.action_text.startswith("Reconstruct")
    call(services.case_submit, actor=scene.sender, case_id=case.pk)
    assert (fresh(case).state, fresh(case).attempt) == ("ANALYSIS_RUNNING", 2)
    scene.signed("nema_iq")
    collect(case)
    assert fresh(case).state == "PHYSICIST_REVIEW"
    scene.propose(fresh(case))


def test_action_when_the_new_phantom_is_signed_and_the_site_said_nothing_then_it_counts_as_done():
    scene = Scene()
    case = scene.reviewing(nema_iq="FAIL")
    scene.require_action(case)
    scene.signed("nema_iq")
    collect(case)
    case = fresh(case)
    assert (case.state, case.attempt) == ("PHYSICIST_REVIEW", 2)
    assert case.evidence.get(attempt=2).verdict == "PASS"


def test_action_when_a_run_signed_before_it_is_counted_late_then_the_site_has_still_to_act():
    scene = Scene()
    case = scene.reviewing(nema_iq="FAIL")
    shown = selectors.deciding_digest(case)
    late = scene.signed("cylinder", scanned_on=TODAY - days(3))
    scene.require_action(case)
    assert shown
    collect(case)
    assert fresh(case).state == "CORRECTIVE_ACTION_REQUIRED"
    assert case.evidence.filter(run=late.run).exists()


def test_action_when_three_attempts_failed_then_it_ends_or_somebody_says_why_not():
    scene = Scene()
    case = scene.reviewing(nema_iq="FAIL")
    for _ in range(2):
        scene.require_action(case)
        scene.signed("nema_iq", "FAIL")
        collect(case)
        case = fresh(case)
    assert (case.state, case.attempt) == ("PHYSICIST_REVIEW", 3)
    with pytest.raises(Refused, match="attempt 3 of 3"):
        scene.require_action(case)
    scene.require_action(case, more_attempts_reason="The detector block was replaced this week.")
    recorded = AuditEvent.objects.filter(action="case.require_action").first()
    assert recorded.after["more_attempts_reason"] == "The detector block was replaced this week."
    assert Decision.objects.order_by("-decided_at").first().content["more_attempts_reason"]


def test_action_when_three_attempts_failed_then_it_may_be_failed():
    scene = Scene()
    case = scene.reviewing(nema_iq="FAIL")
    scene.sign(services.case_fail, case, scene.proposer, reason="The scanner cannot reach the band.")
    assert fresh(case).state == "FAIL"
    with pytest.raises(InvalidMove):
        call(services.case_withdraw, actor=scene.sender, case_id=case.pk, reason="x")


@pytest.mark.parametrize(
    ("given", "code"),
    [({"action_text": " "}, "ACTION-MISSING"), ({"deadline_on": TODAY - days(1)}, "DEADLINE-PAST")],
)
def test_action_when_it_says_too_little_then_it_is_refused(given, code):
    scene = Scene()
    case = scene.reviewing(nema_iq="FAIL")
    with pytest.raises(Refused) as refused:
        scene.require_action(case, **given)
    assert refused.value.code == code


# --- afterwards -------------------------------------------------------------------------------


def test_suspend_when_a_physicist_does_it_then_the_scope_may_not_be_scanned_from_today(clock):
    scene = Scene()
    case = scene.accredited()
    clock.to(TODAY + days(30))
    with pytest.raises(Refused, match="reason"):
        call(services.case_suspend, actor=scene.physicist, case_id=case.pk, reason="")
    call(services.case_suspend, actor=scene.physicist, case_id=case.pk, reason="The scanner was moved.")
    clearance = Clearance.objects.get()
    assert (clearance.ended_on, clearance.ending) == (TODAY + days(30), "SUSPENDED")
    assert clearance.ended_reason == "The scanner was moved."
    assert clearance.holds_on(TODAY + days(29))
    assert not clearance.holds_on(TODAY + days(30))


def test_reinstate_when_an_approver_signs_then_a_new_clearance_begins_and_the_gap_stays(clock):
    scene = Scene()
    case = scene.accredited()
    clock.to(TODAY + days(30))
    call(services.case_suspend, actor=scene.physicist, case_id=case.pk, reason="The scanner was moved.")
    clock.to(TODAY + days(40))
    scene.sign(services.case_reinstate, case, scene.approver, reason="Moved back, cylinder in order.")
    assert fresh(case).state == "ACCREDITED"
    assert certificate_of(case).suspended_on is None
    held = [
        day
        for day in (TODAY + timedelta(days=k) for k in range(60))
        if any(one.holds_on(day) for one in Clearance.objects.all())
    ]
    assert held == [TODAY + days(k) for k in (*range(30), *range(40, 60))]


def test_reinstate_when_the_approver_proposed_it_then_another_decides():
    scene = Scene()
    case = scene.accredited()
    call(services.case_suspend, actor=scene.physicist, case_id=case.pk, reason="Scanner moved.")
    both = scene.also(scene.proposer, Role.APPROVER)
    with pytest.raises(Refused, match="You proposed this"):
        scene.sign(services.case_reinstate, case, both, reason="Moved back.")
    assert fresh(case).state == "SUSPENDED"


def test_reinstate_when_the_days_are_over_then_the_next_accreditation_is_advised(clock):
    scene = Scene()
    case = scene.accredited()
    call(services.case_suspend, actor=scene.physicist, case_id=case.pk, reason="The scanner was moved.")
    clock.to(date(2027, 3, 10))
    with pytest.raises(Refused, match="certified days are over"):
        scene.sign(services.case_reinstate, case, scene.approver, reason="x")


def test_withdraw_when_the_site_does_it_then_certificate_and_clearance_end(clock):
    scene = Scene()
    case = scene.accredited()
    clock.to(TODAY + days(5))
    call(services.case_withdraw, actor=scene.sender, case_id=case.pk, reason="The scanner is sold.")
    assert fresh(case).state == "WITHDRAWN"
    assert certificate_of(case).withdrawn_on == TODAY + days(5)
    assert Clearance.objects.get().ending == "WITHDRAWN"


def test_withdraw_when_the_certificate_is_suspended_then_it_is_withdrawn_too(clock):
    scene = Scene()
    case = scene.accredited()
    call(services.case_suspend, actor=scene.physicist, case_id=case.pk, reason="The scanner was moved.")
    clock.to(TODAY + days(5))
    call(services.case_withdraw, actor=scene.approver, case_id=case.pk, reason="The scanner is sold.")
    assert selectors.certificate_state("PET-2026-1001").word == "WITHDRAWN"
    assert Clearance.objects.get().ended_on == TODAY


def test_certificate_withdraw_when_the_lab_does_it_then_the_case_goes_with_it():
    scene = Scene()
    case = scene.accredited()
    certificate = certificate_of(case)
    with pytest.raises(NotAllowed):
        call(services.certificate_withdraw, actor=scene.sender, certificate_id=certificate.pk, reason="x")
    with pytest.raises(NotFound):
        call(services.certificate_withdraw, actor=Scene().sender, certificate_id=certificate.pk, reason="x")
    with pytest.raises(Refused, match="reason"):
        call(services.certificate_withdraw, actor=scene.approver, certificate_id=certificate.pk, reason=" ")
    call(services.certificate_withdraw, actor=scene.approver, certificate_id=certificate.pk, reason="Given in error.")
    assert fresh(case).state == "WITHDRAWN"
    with pytest.raises(StaleState):
        call(services.certificate_withdraw, actor=scene.approver, certificate_id=certificate.pk, reason="Again.")


# --- the next accreditation -------------------------------------------------------------------


def renewing(scene, clock):
    """Take an accredited case to the reviews of its next accreditation, 20 days before its end."""
    case = scene.accredited()
    clock.to(date(2027, 2, 17))
    scene.signed("cylinder", scanned_on=date(2027, 2, 10))
    Case.objects.filter(pk=case.pk).update(state="DUE_SOON")
    call(services.case_reaccredit, actor=scene.sender, case_id=case.pk, reason="It ends in March.")
    return fresh(case)


def test_reaccredit_when_it_begins_then_the_old_clearance_goes_on_and_a_newer_phantom_is_needed(clock):
    scene = Scene()
    case = renewing(scene, clock)
    assert (case.state, case.attempt) == ("ANALYSIS_RUNNING", 1)
    assert Clearance.objects.get().holds_on(date(2027, 3, 9))
    assert selectors.certificate_state("PET-2026-1001").is_valid
    scene.signed("nema_iq")
    collect(case)
    assert fresh(case).state == "PHYSICIST_REVIEW"


def test_reaccredit_when_it_is_approved_then_the_new_certificate_takes_the_place_of_the_old(clock):
    scene = Scene()
    case = renewing(scene, clock)
    scene.signed("nema_iq")
    collect(case)
    scene.propose(fresh(case))
    call(services.case_take_second, actor=scene.approver, case_id=case.pk)
    scene.approve(fresh(case), valid_from=date(2027, 3, 1), valid_until=date(2028, 2, 16))
    old, new = selectors.certificate_state("PET-2026-1001"), selectors.certificate_state("PET-2027-1001")
    assert (old.word, old.replaced_by, new.word) == ("VALID", "PET-2027-1001", "NOT_YET")
    clock.to(date(2027, 3, 1))
    old, new = selectors.certificate_state("PET-2026-1001"), selectors.certificate_state("PET-2027-1001")
    assert (old.word, new.word) == ("REPLACED", "VALID")
    both = Clearance.objects.order_by("from_on")
    assert [(one.last_day, one.ending) for one in both] == [
        (date(2027, 2, 28), "REPLACED"),
        (date(2028, 2, 16), ""),
    ]


def test_reaccredit_when_the_new_certificate_is_withdrawn_then_the_old_one_stays_replaced(clock):
    scene = Scene()
    case = renewing(scene, clock)
    scene.signed("nema_iq")
    collect(case)
    scene.propose(fresh(case))
    call(services.case_take_second, actor=scene.approver, case_id=case.pk)
    scene.approve(fresh(case))
    call(services.case_withdraw, actor=scene.sender, case_id=case.pk, reason="The scanner is sold.")
    assert selectors.certificate_state("PET-2026-1001").word == "REPLACED"
    assert selectors.certificate_state("PET-2027-1001").word == "WITHDRAWN"


def test_reaccredit_when_it_is_refused_then_what_was_still_certified_is_withdrawn(clock):
    scene = Scene()
    case = renewing(scene, clock)
    scene.signed("nema_iq", "FAIL")
    collect(case)
    scene.sign(services.case_fail, fresh(case), scene.proposer, reason="The spheres read low.")
    assert fresh(case).state == "FAIL"
    assert selectors.certificate_state("PET-2026-1001").word == "WITHDRAWN"


def test_reaccredit_when_a_new_proposal_is_made_then_only_its_proposer_may_not_approve(clock):
    """Years alternate: who proposed the last one may approve this one."""
    scene = Scene()
    case = renewing(scene, clock)
    old_proposer = scene.also(scene.proposer, Role.APPROVER)
    scene.signed("nema_iq")
    collect(case)
    scene.propose(fresh(case), actor=scene.physicist)
    call(services.case_take_second, actor=old_proposer, case_id=case.pk)
    assert fresh(case).approver == old_proposer
