"""Cases at any point of their life, and the signed phantoms that speak for them, without waiting for workers."""

from __future__ import annotations

import datetime
from itertools import count
from typing import Any

from django.utils import timezone

from accreditation import selectors, services
from accreditation.models import Case, Certificate
from corelab.models import Membership, Role, Signature, Trial, User
from corelab.models.work import WorkState
from qc.models import Review, Run, Submission
from qc.states import SubmissionState
from tests import factories
from tests.factories import PASSWORD
from tests.qc.kit import call

EARL, UK = "earl@1", "uk_core_lab@1"
#: 10 March 2026, noon in London: between two windows of the quarterly programme.
NOW = datetime.datetime(2026, 3, 10, 12, 0, tzinfo=datetime.UTC)
TODAY = NOW.date()
_numbers = count(7001)


def days(number: int) -> datetime.timedelta:
    return datetime.timedelta(days=number)


class Scene:
    """One scanner of one site, the people around it, and its case."""

    def __init__(self, programme: str = EARL, *, trial: Trial | None = None, **of_site: Any) -> None:
        self.site = factories.site(**of_site)
        self.scanner = factories.scanner(self.site)
        self.reconstruction = self.scanner.reconstructions.get()
        if programme == UK and trial is None:
            trial = factories.trial(self.site)
        self.trial, self.programme = trial, programme
        self.sender = factories.user(Role.SITE_USER, site=self.site)
        self.technician, self.physicist, self.proposer, self.approver = (
            factories.user(role) for role in (Role.TECHNICIAN, Role.PHYSICIST, Role.PHYSICIST, Role.APPROVER)
        )

    def start(self, **other: Any) -> Case:
        given = {
            "scanner": self.scanner,
            "reconstruction": self.reconstruction,
            "tracer": "F-18",
            "standard": "earl1_18f",
            "trial": self.trial,
            "programme": self.programme,
        }
        return call(services.case_start, actor=other.pop("actor", self.sender), **(given | other))

    def signed(
        self,
        kind: str = "cylinder",
        verdict: str = "PASS",
        scanned_on: datetime.date | None = None,
        *,
        signed_at: datetime.datetime | None = None,
        **other: Any,
    ) -> Review:
        """Make a phantom of this scope that a physicist has signed; nobody is told."""
        submission = self.sent(kind, scanned_on, **other)
        signed_at = signed_at or timezone.now()
        number = next(_numbers)
        run = Run.objects.create(
            number=number,
            submission=submission,
            method=kind,
            method_version=1,
            input_digest="sha256:" + "0a" * 32,
            parameters_digest=f"{number:064x}",
            program_digest="b" * 64,
            result={"method": kind},
            result_digest=f"{number:064x}",
            verdict=verdict,
            work_state=WorkState.DONE,
        )
        signature = Signature.objects.create(
            user=self.physicist,
            printed_name=self.physicist.name,
            role="Physicist",
            meaning="review",
            statement=f"I have reviewed run {run}.",
            method="password",
            signed_at=signed_at,
            digest="e" * 64,
            object_type="qc.run",
            object_id=str(run.pk),
        )
        review = Review.objects.create(run=run, proposed_verdict=verdict, verdict=verdict, signature=signature)
        Submission.objects.filter(pk=submission.pk).update(
            state=SubmissionState.RELEASED, current_run=run, verdict=verdict, released_at=signed_at
        )
        return review

    def sent(self, kind: str = "cylinder", scanned_on: datetime.date | None = None, **other: Any) -> Submission:
        """Make a phantom of this scope that was sent and waits for its review."""
        day = scanned_on or timezone.now().astimezone(self.site.zone).date()
        noon = datetime.datetime.combine(day, datetime.time(12), tzinfo=self.site.zone)
        return factories.submission(
            **{
                "of": self.site,
                "scanner": self.scanner,
                "reconstruction": self.reconstruction,
                "kind": kind,
                "state": SubmissionState.AWAITING_REVIEW,
                "created_by": self.sender,
                "sent_by": self.sender,
                "sheet": {"nuclide": "F-18"},
                "scanned_at": noon,
                "sent_at": noon,
            }
            | other
        )

    # --- the road ----------------------------------------------------------------------------

    def collecting(self) -> Case:
        """Take a case to where its evidence is collected."""
        case = self.start()
        call(services.case_submit, actor=self.sender, case_id=case.pk)
        call(services.case_receipt, actor=self.technician, case_id=case.pk)
        call(services.case_accept_receipt, actor=self.technician, case_id=case.pk)
        return fresh(case)

    def reviewing(self, **verdicts: str) -> Case:
        """Take a case to the physicist, by default with everything met."""
        case = self.collecting()
        for kind in ("cylinder", "nema_iq"):
            self.signed(kind, verdicts.get(kind, "PASS"))
        collect(case)
        return fresh(case)

    def proposed(self) -> Case:
        case = self.reviewing()
        self.propose(case)
        return fresh(case)

    def taken(self) -> Case:
        case = self.proposed()
        call(services.case_take_second, actor=self.approver, case_id=case.pk)
        return fresh(case)

    def accredited(self, **days_: Any) -> Case:
        case = self.taken()
        self.approve(case, **days_)
        return fresh(case)

    def propose(self, case: Case, actor: User | None = None, **other: Any) -> Any:
        return self.sign(services.case_propose, case, actor or self.proposer, **other)

    def approve(self, case: Case, actor: User | None = None, **other: Any) -> Any:
        first, last = selectors.validity_offered(case, selectors.today_at(self.site))
        given = {"valid_from": first, "valid_until": last, "conditions": ""}
        return self.sign(services.case_approve, case, actor or self.approver, **(given | other))

    def require_action(self, case: Case, actor: User | None = None, **other: Any) -> Any:
        given = {
            "reason": "The spheres read low.",
            "action_text": "Reconstruct with the 2 mm filter and send again.",
            "deadline_on": selectors.today_at(self.site) + days(14),
        }
        return self.sign(services.case_require_action, case, actor or self.proposer, **(given | other))

    def sign(self, service: Any, case: Case, actor: User, **other: Any) -> Any:
        given = {"password": PASSWORD, "shown_digest": selectors.deciding_digest(fresh(case))}
        return call(service, actor=actor, case_id=case.pk, **(given | other))

    def also(self, person: User, role: str, **where: Any) -> User:
        """Give a person one more role."""
        Membership.objects.create(user=person, role=role, from_on=datetime.date(2020, 1, 1), **where)
        return type(person).objects.get(pk=person.pk)


def collect(case: Case) -> None:
    """Do what the signal of a signed run does."""
    from tests.qc.kit import work

    work(services.evidence_collect, case_id=case.pk)


def fresh(case: Case) -> Case:
    """Read a case again."""
    return Case.objects.select_related("scanner__site", "reconstruction", "trial", "approver").get(pk=case.pk)


def certificate_of(case: Case) -> Certificate:
    return case.certificates.order_by("-issued_at").first()
