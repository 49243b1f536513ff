"""A physicist's work on a measured submission: claim, look, judge, sign."""

from __future__ import annotations

import hashlib
from uuid import UUID

from django.db import transaction
from django.utils import timezone

from corelab import access, audit, jobs, signatures
from corelab.errors import NotAllowed, NotFound, Refused, StaleState
from corelab.models import AuditEvent, Role, User
from corelab.models.signatures import Meaning
from corelab.models.work import WorkState
from phantoms.results import Outcome
from qc import analysis, selectors, signals, suv_choice
from qc.checklists import checklist_for, unanswered
from qc.models import ChecklistAnswer, Report, Review, Run, Submission, SuvChoice
from qc.services import runs
from qc.services.moves import move
from qc.states import SubmissionState as S

audit.catalogue(
    {
        "checklist.answer": "A physicist answered an item of the visual checklist.",
        "review.sign": "A physicist signed the review of a run.",
        "suv.choose": "A physicist signed a decision about how a SUV is worked out.",
    }
)

#: The words a physicist signs for each verdict; the software's own error is no verdict about a scan.
VERDICTS = {
    Outcome.PASS.value: "Pass",
    Outcome.WARN.value: "Warning",
    Outcome.FAIL.value: "Fail",
    Outcome.NOT_EVALUABLE.value: "Could not check",
}


@transaction.atomic
def submission_claim(*, submission_id: UUID, actor: User) -> Submission:
    """Take a submission for review; of two physicists at once one gets StaleState.

    Raises
    ------
    NotAllowed
        ``OWN-SUBMISSION``: the person filled it in, or sent it once.
    StaleState
        Another physicist has it.
    """
    submission = _visible(actor, submission_id)
    if submission.state == S.IN_REVIEW and submission.reviewer_id == actor.pk:
        return submission
    _check_not_own(submission, actor)
    if submission.state == S.IN_REVIEW:
        raise StaleState(f"{submission.reviewer} has this already.")
    return move(submission, "claim", actor=actor, reviewer=actor)


@transaction.atomic
def submission_unclaim(*, submission_id: UUID, actor: User) -> Submission:
    """Give a submission back to the worklist; another physicist may do it for one who is away."""
    submission = _visible(actor, submission_id)
    return move(submission, "unclaim", actor=actor, reviewer=None)


@transaction.atomic
def checklist_answer(*, run_id: UUID, actor: User, item: str, is_seen: bool, note: str = "") -> ChecklistAnswer:
    """Record one answer of the visual checklist; a changed mind is a later row.

    Raises
    ------
    Refused
        ``CHECKLIST-ITEM``: no such item for this method.
    StaleState
        The person does not have this run in review.
    """
    run = selectors.runs_visible_to(actor).filter(pk=run_id).first()
    if run is None:
        raise NotFound("There is nothing here, or it is not yours to see.")
    _check_has_it(run.submission, actor)
    if item not in {one.key for one in checklist_for(run.method)}:
        raise Refused("The checklist of this method has no such item.", code="CHECKLIST-ITEM")
    before = run.checklist_answers.filter(item=item).order_by("answered_at", "pk").last()
    answer = ChecklistAnswer.objects.create(
        run=run, item=item, is_seen=is_seen, note=note.strip()[:300], answered_by=actor
    )
    audit.record(
        "checklist.answer",
        run,
        before={"item": item, "is_seen": before.is_seen if before else None},
        after={"item": item, "is_seen": is_seen, "note": answer.note},
    )
    return answer


def signing_digest(run: Run) -> str | None:
    """Return the digest of exactly what a review signs; None while the unsigned report is not made.

    It is the SHA-256 of the unsigned PDF's SHA-256, a line feed, and the run's canonical JSON.
    """
    report = selectors.unsigned_report_of(run)
    if report is None or report.stored is None or report.work_state != WorkState.DONE:
        return None
    content = report.stored.sha256.encode() + b"\n" + analysis.canonical(run.result)
    return hashlib.sha256(content).hexdigest()


def signing_statement(run: Run, verdict: str) -> str:
    """Return the sentence that a review of this run with this verdict signs."""
    return (
        f"I have reviewed run {run.short_number} of {run.submission.short_number}. My verdict is {VERDICTS[verdict]}."
    )


@transaction.atomic
def review_sign(
    *,
    submission_id: UUID,
    run_id: UUID,
    actor: User,
    verdict: str,
    difference_reason: str,
    comment_to_site: str,
    password: str,
    shown_digest: str,
) -> Review:
    """Sign the review of a run and release the result to the site.

    Raises
    ------
    StaleState
        The run or its report changed, or another physicist has the submission.
    Refused
        ``CHECKLIST-OPEN``, ``DIFFERENCE-REASON``, ``VERDICT-UNKNOWN``, ``REPORT-NOT-READY``.
    NotAllowed
        ``SIGN-PASSWORD``: the password is not right; nothing was signed. ``OWN-SUBMISSION``: the person sent it.
    """
    submission = _visible(actor, submission_id)
    _check_has_it(submission, actor)
    _check_not_own(submission, actor)
    run = submission.current_run
    if run is None or run.pk != run_id:
        raise StaleState(f"The run changed while you were reading ({run}). Read the difference before you sign.")
    digest = signing_digest(run)
    if digest is None:
        raise Refused("The report is still being made. Sign when you have read it.", code="REPORT-NOT-READY")
    if digest != shown_digest:
        raise StaleState("The report changed while you were reading. Read it again before you sign.")
    reason = _check_judgement(run, verdict, difference_reason)
    # First the state: of two signers the slower one stops here, before anything is signed. It is not enough
    # alone: given back and claimed by another in the meantime, the state is the same again.
    move(
        submission,
        "release",
        actor=actor,
        reason=reason,
        only_if={"reviewer": actor, "current_run": run},
        verdict=verdict,
        released_at=timezone.now(),
    )
    signature = signatures.sign(
        user=actor,
        password=password,
        role=str(Role.PHYSICIST.label),
        meaning=Meaning.REVIEW,
        statement=signing_statement(run, verdict),
        digest=digest,
        target=run,
    )
    review = Review.objects.create(
        run=run,
        proposed_verdict=run.verdict,
        verdict=verdict,
        difference_reason=reason,
        comment_to_site=comment_to_site.strip(),
        signature=signature,
    )
    audit.record(
        "review.sign",
        review,
        before={"proposed_verdict": run.verdict},
        after={"verdict": verdict, "comment_to_site": review.comment_to_site, "digest": digest},
        reason=reason,
    )
    report = Report.objects.create(run=run, review=review)
    jobs.queue(report, "qc.make_report", key="report_id")
    transaction.on_commit(lambda: signals.run_signed.send_robust(sender=Run, run_id=run.pk))
    return review


@transaction.atomic
def suv_choice_sign(
    *, submission_id: UUID, run_id: UUID, actor: User, decision: str, reason: str, password: str
) -> SuvChoice:
    """Decide by signature how the SUV of a submission in review is worked out, and have it measured anew.

    The decision is a parameter of the run that follows, which takes the place of the one that was looked at and waits
    for review itself; decided the same way once before, that run is found again.

    Parameters
    ----------
    decision : str
        One of `qc.suv_choice.offers`: a candidate's id, ``LBM120``, or empty to take back what was decided.

    Raises
    ------
    StaleState
        The run changed, or another physicist has the submission.
    Refused
        ``CHOICE-NONE``: nothing of the kind is open about this run. ``REASON-MISSING``.
    NotAllowed
        ``SIGN-PASSWORD``: the password is not right; nothing was signed. ``OWN-SUBMISSION``: the person sent it.
    """
    submission = _visible(actor, submission_id)
    _check_has_it(submission, actor)
    _check_not_own(submission, actor)
    run = submission.current_run
    if run is None or run.pk != run_id:
        raise StaleState(f"The run changed while you were reading ({run}). Read the difference before you sign.")
    offers = suv_choice.offers(run.result, run.parameters)
    offer = next((one for one in offers if one.decision == decision), None)
    if offer is None:
        raise Refused("This cannot be decided about this run. Choose one of what is offered.", code="CHOICE-NONE")
    # First the state, as in `review_sign`.
    move(
        submission,
        "choose",
        actor=actor,
        reason=reason.strip(),
        evidence={"decision": decision},
        only_if={"reviewer": actor, "current_run": run},
        reviewer=None,
    )
    said = suv_choice.statement(offer, run.short_number, submission.short_number)
    shown = {"run": run.short_number, "input_digest": run.input_digest, "suv": run.result["suv"]}
    signature = signatures.sign(
        user=actor,
        password=password,
        role=str(Role.PHYSICIST.label),
        meaning=Meaning.OVERRIDE,
        statement=said,
        digest=analysis.digest(shown | {"statement": said, "reason": reason.strip()}),
        target=run,
    )
    choice = SuvChoice.objects.create(
        submission=submission, run=run, decision=decision, reason=reason.strip(), signature=signature
    )
    audit.record(
        "suv.choose",
        choice,
        before={"decision": suv_choice.decision_of(run.parameters)},
        after={"decision": decision, "run": run.short_number, "statement": said, "digest": signature.digest},
        reason=choice.reason,
    )
    runs.run_request(submission)
    return choice


# --- the steps -------------------------------------------------------------------------------


def _visible(actor: User, submission_id: UUID) -> Submission:
    submission = selectors.submissions_visible_to(actor).filter(pk=submission_id).first()
    if submission is None:
        raise NotFound("There is nothing here, or it is not yours to see.")
    return submission


def _check_not_own(submission: Submission, actor: User) -> None:
    # The row names who sent it last; the log knows everybody who ever did.
    sends = AuditEvent.objects.filter(
        action="submission.send", object_type=submission._meta.label_lower, object_id=str(submission.pk), actor=actor
    )
    if actor.pk in (submission.created_by_id, submission.sent_by_id) or sends.exists():
        raise NotAllowed("You sent this. Another physicist must review it.", code="OWN-SUBMISSION")


def _check_has_it(submission: Submission, actor: User) -> None:
    if Role.PHYSICIST not in access.lab_roles_of(actor):
        raise NotAllowed("A physicist reviews this.")
    if submission.state != S.IN_REVIEW:
        raise StaleState(f"{submission} is not in review now. Look at the new state first.")
    if submission.reviewer_id != actor.pk:
        raise StaleState(f"{submission.reviewer} has this in review.")


def _check_judgement(run: Run, verdict: str, difference_reason: str) -> str:
    """Return the reason for a difference, empty where there is none, or say what the judgement lacks."""
    if verdict not in VERDICTS:
        raise Refused("Choose your verdict.", code="VERDICT-UNKNOWN")
    answered = set(run.checklist_answers.values_list("item", flat=True))
    if open_items := unanswered(run.method, answered):
        titles = ", ".join(item.title.lower() for item in open_items)
        raise Refused(f"The visual checklist is not finished: {titles}.", code="CHECKLIST-OPEN")
    if verdict == run.verdict:
        return ""
    if not difference_reason.strip():
        raise Refused("Your verdict differs from the proposed one. Say why.", code="DIFFERENCE-REASON")
    return difference_reason.strip()
