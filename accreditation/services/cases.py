"""What a site and the core lab do with a case before and after it is decided."""

from __future__ import annotations

from uuid import UUID

from django.db import IntegrityError, transaction
from django.utils import timezone

from accreditation import programmes
from accreditation.models import Case
from accreditation.services.certificates import clearances_end
from accreditation.services.evidence import case_collect
from accreditation.services.moves import case_seen, move
from accreditation.workflow import CLOSED, SITE, STANDING, CaseState
from corelab import access, audit
from corelab.errors import NotAllowed, Refused
from corelab.models import Clearance, ReconstructionProfile, Scanner, Trial, User
from corelab.numbers import next_number
from phantoms import standards

audit.catalogue({"case.start": "A site began an application for one scope."})


@transaction.atomic
def case_start(
    *,
    scanner: Scanner,
    reconstruction: ReconstructionProfile,
    tracer: str,
    standard: str,
    trial: Trial | None,
    programme: str,
    actor: User,
) -> Case:
    """Begin an application for one scope, as a draft of its site.

    Raises
    ------
    NotAllowed
        The person is not of the scanner's site.
    Refused
        ``CASE-OPEN``: there is an open case for exactly this. ``SCOPE-…``: the parts do not belong together.
    """
    if not access.roles_of(actor, scanner.site, None) & SITE:
        raise NotAllowed("The site of a scanner applies for it.")
    _check_scope(scanner, reconstruction, tracer, standard, trial, programme)
    scope = {
        "scanner": scanner,
        "reconstruction": reconstruction,
        "tracer": tracer,
        "standard": standard,
        "trial": trial,
    }
    try:
        with transaction.atomic():
            case = Case.objects.create(number=next_number("C"), programme=programme, created_by=actor, **scope)
    except IntegrityError:
        open_one = Case.objects.filter(**scope).exclude(state__in=CLOSED).first()
        if open_one is None:
            raise
        raise Refused(f"There is already an open case for exactly this: {open_one}.", code="CASE-OPEN") from None
    audit.record(
        "case.start",
        case,
        after={
            "state": case.state,
            "scanner": str(scanner),
            "reconstruction": str(reconstruction),
            "tracer": tracer,
            "standard": standard,
            "trial": trial.code if trial else None,
            "programme": programme,
        },
    )
    return case


@transaction.atomic
def case_submit(*, case_id: UUID, actor: User) -> Case:
    """Send an application to the core lab; after a corrective action, say that it is done."""
    case = case_seen(actor, case_id)
    if case.state == CaseState.CORRECTIVE_ACTION_REQUIRED:
        move(case, "resubmit", actor=actor)
        move(case, "analyse", actor=None, attempt=case.attempt + 1, deadline_on=None)
        return case_collect(case)
    return move(case, "submit", actor=actor, applied_at=case.applied_at or timezone.now())


@transaction.atomic
def case_receipt(*, case_id: UUID, actor: User) -> Case:
    """Take an application up, to see whether it is complete."""
    return move(case_seen(actor, case_id), "receive", actor=actor)


@transaction.atomic
def case_incomplete(*, case_id: UUID, actor: User, reason: str) -> Case:
    """Give an application back to its site with what is missing."""
    return move(case_seen(actor, case_id), "incomplete", actor=actor, reason=reason.strip())


@transaction.atomic
def case_accept_receipt(*, case_id: UUID, actor: User) -> Case:
    """Accept an application; what is signed already counts at once."""
    case = case_seen(actor, case_id)
    move(case, "accept", actor=actor)
    return case_collect(case)


@transaction.atomic
def case_suspend(*, case_id: UUID, actor: User, reason: str) -> Case:
    """Suspend an accreditation: from today its scope may not be scanned."""
    case = case_seen(actor, case_id)
    move(case, "suspend", actor=actor, reason=reason.strip())
    clearances_end(case, Clearance.Ending.SUSPENDED, reason)
    return case


@transaction.atomic
def case_reaccredit(*, case_id: UUID, actor: User, reason: str) -> Case:
    """Begin the next accreditation of a scope; a clearance that holds goes on to its own last day."""
    case = case_seen(actor, case_id)
    move(case, "reaccredit", actor=actor, reason=reason.strip())
    move(case, "analyse", actor=None, attempt=1, deadline_on=None, action_text="", applied_at=timezone.now())
    return case_collect(case)


@transaction.atomic
def case_withdraw(*, case_id: UUID, actor: User, reason: str) -> Case:
    """Withdraw a case, with the certificate that it may have."""
    case = case_seen(actor, case_id)
    had_certificate = case.state in STANDING or case.certificates.exists()
    move(case, "withdraw", actor=actor, reason=reason.strip(), approver=None, deadline_on=None)
    if had_certificate:
        clearances_end(case, Clearance.Ending.WITHDRAWN, reason)
    return case


def _check_scope(
    scanner: Scanner,
    reconstruction: ReconstructionProfile,
    tracer: str,
    standard: str,
    trial: Trial | None,
    programme: str,
) -> None:
    """Refuse parts that do not belong together."""
    if reconstruction.scanner_id != scanner.pk:
        raise Refused(f"{reconstruction} is not a reconstruction of {scanner}.", code="SCOPE-RECONSTRUCTION")
    if programme not in programmes.available():
        raise Refused("Choose the programme.", code="SCOPE-PROGRAMME")
    rules = programmes.load(programme)
    if standard not in rules.standards:
        raise Refused(f"{rules.title} does not use this standard.", code="SCOPE-STANDARD")
    if standards.load(standard).nuclide not in (None, tracer):
        raise Refused(f"{standards.load(standard).title} is made for another nuclide.", code="SCOPE-TRACER")
    if trial is None and rules.scope == "trial":
        raise Refused(f"{rules.title}: choose the trial.", code="SCOPE-TRIAL")
    if trial is not None and not trial.sites.filter(pk=scanner.site_id).exists():
        raise Refused(f"{scanner.site} does not take part in {trial}.", code="SCOPE-TRIAL-SITE")
