"""Certificates and the clearances behind them: written on approval, ended early with a reason.

What was cleared on a day that is over never changes.
"""

from __future__ import annotations

import logging
from datetime import date
from uuid import UUID

from django.db import transaction
from django.db.models import Q, QuerySet

from accreditation.certificates import build_context, render_pdf
from accreditation.models import Case, Certificate, Decision
from accreditation.selectors import certificates_visible_to, scope_of, today_at
from accreditation.services.moves import case_seen, move, plain
from accreditation.workflow import STANDING
from corelab import access, audit, jobs, storage
from corelab.errors import NotAllowed, NotFound, Refused, StaleState
from corelab.models import Clearance, Role, User
from corelab.models.work import WorkState
from corelab.numbers import next_number

logger = logging.getLogger(__name__)

JOB = "accreditation.make_certificate"

audit.catalogue(
    {
        "certificate.issue": "A certificate was issued for a scope.",
        "certificate.suspend": "A certificate was suspended.",
        "certificate.reinstate": "A suspended certificate holds again.",
        "certificate.withdraw": "A certificate was withdrawn.",
        "certificate.replace": "A later certificate took the place of this one.",
        "certificate.make": "A certificate was typeset and kept.",
        "certificate.repeat": "Staff let a certificate be typeset that had ended as our error.",
        "clearance.begin": "A scanner was cleared for a scope, from a day to a day.",
        "clearance.end": "A clearance ended before its last day.",
    }
)


def certificate_issue(
    case: Case, decision: Decision, *, valid_from: date, valid_until: date, conditions: str
) -> Certificate:
    """Write certificate and clearance of a signed approval, and queue the document, in the caller's transaction."""
    year = today_at(case.scanner.site).year
    certificate = Certificate.objects.create(
        number=f"PET-{year}-{next_number(f'PET-{year}'):04d}",
        case=case,
        decision=decision,
        scope=scope_of(case),
        conditions=conditions,
        valid_from=valid_from,
        valid_until=valid_until,
        issued_at=decision.signature.signed_at,
    )
    audit.record(
        "certificate.issue",
        certificate,
        after={
            "case": case.short_number,
            "valid_from": plain(valid_from),
            "valid_until": plain(valid_until),
            "conditions": conditions,
            "digest": decision.signature.digest,
        },
    )
    _replace_last(case, certificate)
    clearance_begin(case, certificate, valid_from)
    jobs.queue(certificate, JOB, key="certificate_id")
    return certificate


def clearance_begin(case: Case, certificate: Certificate, from_on: date) -> Clearance:
    """Write the clearance of a certificate from a day to its last, in the caller's transaction."""
    clearance = Clearance.objects.create(
        scanner=case.scanner,
        reconstruction=case.reconstruction,
        tracer=case.tracer,
        standard=case.standard,
        trial=case.trial,
        certificate_number=certificate.number,
        from_on=from_on,
        until_on=certificate.valid_until,
    )
    audit.record(
        "clearance.begin",
        clearance,
        after={"certificate": certificate.number, "from_on": plain(from_on), "until_on": plain(clearance.until_on)},
    )
    return clearance


def clearances_end(case: Case, ending: Clearance.Ending, reason: str) -> None:
    """End today whatever clearance of a case still holds or is to come, and say so on its certificates.

    Days that are over keep what they were. In the caller's transaction.
    """
    today = today_at(case.scanner.site)
    standing = case.certificates.filter(withdrawn_on__isnull=True, valid_until__gte=today).exclude(
        replaced_by__valid_from__lte=today
    )
    if ending == Clearance.Ending.SUSPENDED:
        standing = standing.filter(suspended_on__isnull=True, replaced_by__isnull=True)
    column, action = (
        ("suspended_on", "certificate.suspend")
        if ending == Clearance.Ending.SUSPENDED
        else ("withdrawn_on", "certificate.withdraw")
    )
    numbers = list(case.certificates.values_list("number", flat=True))
    for certificate in standing:
        Certificate.objects.filter(pk=certificate.pk).update(**{column: today})
        audit.record(action, certificate, after={column: plain(today)}, reason=reason.strip())
    for clearance in _holding(numbers, today):
        _end(clearance, today, ending, reason)


def certificate_reinstate(case: Case) -> Certificate:
    """Let the suspended certificate of a case hold again from today, in the caller's transaction.

    Raises
    ------
    Refused
        ``CERTIFICATE-NONE``: no suspended certificate has days left.
    """
    today = today_at(case.scanner.site)
    certificate = (
        case.certificates.filter(
            suspended_on__isnull=False, withdrawn_on__isnull=True, replaced_by__isnull=True, valid_until__gte=today
        )
        .order_by("-issued_at")
        .first()
    )
    if certificate is None:
        raise Refused("No suspended certificate of this case has days left.", code="CERTIFICATE-NONE")
    before = certificate.suspended_on
    Certificate.objects.filter(pk=certificate.pk).update(suspended_on=None)
    audit.record(
        "certificate.reinstate", certificate, before={"suspended_on": plain(before)}, after={"from": plain(today)}
    )
    clearance_begin(case, certificate, max(today, certificate.valid_from))
    return certificate


@transaction.atomic
def certificate_withdraw(*, certificate_id: UUID, actor: User, reason: str) -> Certificate:
    """Withdraw a certificate: from today its scope may not be scanned under it.

    A case that rests on it is withdrawn with it; one that works on the next certificate goes on.

    Raises
    ------
    NotAllowed
        The person is neither physicist nor approver.
    StaleState
        It is withdrawn, replaced or over already.
    """
    certificate = certificates_visible_to(actor).filter(pk=certificate_id).first()
    if certificate is None:
        raise NotFound("There is nothing here, or it is not yours to see.")
    if not access.lab_roles_of(actor) & {Role.PHYSICIST, Role.APPROVER}:
        raise NotAllowed("Your role does not permit this. Ask the core lab.")
    if not reason.strip():
        raise Refused("Say why: this needs a reason.", code="REASON-MISSING")
    case = case_seen(actor, certificate.case_id)
    certificate.refresh_from_db()
    today = today_at(case.scanner.site)
    if certificate.withdrawn_on or certificate.replaced_by_id or certificate.valid_until < today:
        raise StaleState(f"{certificate} does not hold any more. Look at the new state first.")
    if case.state in STANDING:
        move(case, "withdraw", actor=actor, reason=reason.strip())
    clearances_end(case, Clearance.Ending.WITHDRAWN, reason)
    certificate.refresh_from_db()
    return certificate


def certificate_make(*, certificate_id: UUID) -> None:
    """Job: typeset one certificate and keep it."""
    certificate = _with_all().filter(pk=certificate_id).first()
    if certificate is None:
        return
    attempt = jobs.claim(certificate)
    if attempt is None:
        return
    try:
        certificate = _with_all().get(pk=certificate_id)
        with jobs.at_work(certificate):
            stored = storage.put_once([render_pdf(build_context(certificate), certificate)]).stored
        with transaction.atomic():
            jobs.finish(certificate, attempt, stored=stored)
            audit.record("certificate.make", certificate, after={"sha256": stored.sha256})
    except StaleState:
        logger.warning("certificate %s: another worker has it, this outcome is dropped", certificate.pk)
    except Exception as error:  # noqa: BLE001 (the try is recorded and repeated, whatever it was)
        jobs.give_up(certificate, attempt, error)


@transaction.atomic
def certificate_repeat(*, certificate_id: UUID, actor: User) -> Certificate:
    """Let a document that ended as our error be made again.

    Raises
    ------
    NotAllowed
        The person does not work in the lab.
    StaleState
        It is made, or being made.
    """
    certificate = certificates_visible_to(actor).filter(pk=certificate_id).first()
    if certificate is None:
        raise NotFound("There is nothing here, or it is not yours to see.")
    if not access.is_lab_staff(actor):
        raise NotAllowed("Your role does not permit this. Ask the core lab.")
    if certificate.work_state != WorkState.FAILED:
        raise StaleState("This certificate is made, or is being made now.")
    audit.record("certificate.repeat", certificate, before={"reference": certificate.work_error})
    jobs.queue(certificate, JOB, key="certificate_id")
    return certificate


def nothing_more(certificate: Certificate) -> None:
    """Do nothing more for a document that was lost for the last time: its page says so, and it can be made again."""


# --- the steps -------------------------------------------------------------------------------


def _with_all() -> QuerySet[Certificate]:
    return Certificate.objects.select_related("case__scanner__site", "case__trial", "decision__signature")


def _holding(numbers: list[str], today: date) -> list[Clearance]:
    """Return the clearances of some certificates that hold today or later."""
    rows = Clearance.objects.filter(certificate_number__in=numbers, until_on__gte=today)
    return list(rows.filter(Q(ended_on__isnull=True) | Q(ended_on__gt=today)).select_related("scanner"))


def _end(clearance: Clearance, on: date, ending: Clearance.Ending, reason: str) -> None:
    before = {"ended_on": plain(clearance.ended_on), "ending": clearance.ending}
    Clearance.objects.filter(pk=clearance.pk).update(ended_on=on, ending=ending, ended_reason=reason.strip()[:300])
    audit.record(
        "clearance.end",
        clearance,
        before=before,
        after={"ended_on": plain(on), "ending": ending},
        reason=reason.strip(),
    )


def _replace_last(case: Case, certificate: Certificate) -> None:
    """Say on the certificate before that this one takes its place, and let its clearance end where this one begins."""
    last = (
        case.certificates.filter(withdrawn_on__isnull=True, replaced_by__isnull=True)
        .exclude(pk=certificate.pk)
        .order_by("-issued_at")
        .first()
    )
    if last is None:
        return
    Certificate.objects.filter(pk=last.pk).update(replaced_by=certificate)
    audit.record("certificate.replace", last, after={"replaced_by": certificate.number})
    for clearance in _holding([last.number], certificate.valid_from):
        _end(clearance, certificate.valid_from, Clearance.Ending.REPLACED, f"Replaced by {certificate.number}.")
