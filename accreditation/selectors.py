"""What people may see of cases and certificates, and what is known about a case.

Every query of a page starts at a ``…_visible_to(user)`` or ``…_for(user, …)``; absent and forbidden are the same. The
public check page alone asks for nobody: `certificate_state`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from enum import StrEnum
from typing import Any
from uuid import UUID

from django.db.models import F, FilteredRelation, OuterRef, Q, QuerySet, Subquery
from django.utils import timezone

from accreditation import programmes
from accreditation.models import Case, Certificate, Decision
from accreditation.requirements import (
    Change,
    Facts,
    InHand,
    Piece,
    Requirement,
    lacking,
    longest_validity,
    requirements,
)
from accreditation.workflow import CASE, CLOSED, STANDING, CaseState, Standing, is_another_person
from corelab import access
from corelab.errors import NotFound
from corelab.models import AuditEvent, Clearance, ReconstructionProfile, Scanner, Site, User
from phantoms import standards
from qc import analysis
from qc.models import Drift, Review, Submission
from qc.states import SubmissionState

NOTHING_HERE = "There is nothing here, or it is not yours to see."
#: Phantoms, the submissions that speak for a case.
PHANTOMS = ("cylinder", "nema_iq")
#: Sent, and no physicist has signed it yet.
_IN_HAND = (
    SubmissionState.CHECKING,
    SubmissionState.SENT,
    SubmissionState.ANALYSING,
    SubmissionState.AWAITING_REVIEW,
    SubmissionState.IN_REVIEW,
    SubmissionState.HELD,
)
#: It came through the arrival check.
_ARRIVED = (
    SubmissionState.SENT,
    SubmissionState.ANALYSING,
    SubmissionState.AWAITING_REVIEW,
    SubmissionState.IN_REVIEW,
    SubmissionState.RELEASED,
)
#: A declared change of these is a change of the scanner. Another reconstruction is another scope, with its own case.
_CHANGES = (Drift.Attribute.SOFTWARE, Drift.Attribute.SERIAL, Drift.Attribute.MODEL)


def today_at(site: Site, now: datetime | None = None) -> date:
    """Return the day that a site's own calendar shows."""
    return (now or timezone.now()).astimezone(site.zone).date()


# --- whose rows ------------------------------------------------------------------------------


def _visible(user: User, case: str = "") -> Q:
    """Return whose cases a person sees; ``case`` is the lookup path from the asked table to the case."""
    if access.sees_everything(user):
        return Q()
    of_site = Q(**{f"{case}scanner__site_id__in": access.site_ids_of(user)})
    # What a site never sent stays its own, also after it was withdrawn.
    of_trial = Q(**{f"{case}trial_id__in": access.trial_ids_of(user), f"{case}applied_at__isnull": False})
    return of_site | of_trial


def cases_visible_to(user: User) -> QuerySet[Case]:
    """Return the cases the person may look at: the lab all, a site its own, a trial's people those of the trial."""
    return Case.objects.filter(_visible(user)).select_related(
        "scanner__site", "reconstruction", "trial", "created_by", "approver"
    )


def case_for(user: User, number: int | str) -> Case:
    """Return one case by its number, ``118`` or ``C-118``, or raise NotFound."""
    digits = str(number).upper().removeprefix("C-")
    case = cases_visible_to(user).filter(number=int(digits)).first() if _is_number(digits) else None
    if case is None:
        raise NotFound(NOTHING_HERE)
    return case


def case_with_id(user: User, case_id: UUID) -> Case:
    """Return one case, or raise NotFound."""
    case = cases_visible_to(user).filter(pk=case_id).first()
    if case is None:
        raise NotFound(NOTHING_HERE)
    return case


def certificates_visible_to(user: User) -> QuerySet[Certificate]:
    """Return the certificates of the cases the person may look at, newest first."""
    return Certificate.objects.filter(_visible(user, "case__")).select_related(
        "case__scanner__site", "case__reconstruction", "case__trial", "decision__signature", "stored", "replaced_by"
    )


def certificate_for(user: User, number: str) -> Certificate:
    """Return one certificate by its number, or raise NotFound."""
    certificate = certificates_visible_to(user).filter(number=number.strip().upper()).first()
    if certificate is None:
        raise NotFound(NOTHING_HERE)
    return certificate


def decisions_of(case: Case) -> QuerySet[Decision]:
    """Return what was signed about a case that the person was already allowed to see, oldest first."""
    return case.decisions.select_related("signature")


def history_of(case: Case) -> QuerySet[AuditEvent]:
    """Return what was done to a case that the person was already allowed to see, newest first."""
    return AuditEvent.objects.filter(object_type="accreditation.case", object_id=str(case.pk))


def _is_number(digits: str) -> bool:
    return digits.isdecimal() and len(digits) < 19


# --- the scope in words ----------------------------------------------------------------------


def fingerprint_words(reconstruction: ReconstructionProfile) -> str:
    """Return what tells a reconstruction from others in the headers of its images, as one line."""
    parts = (
        (reconstruction.method, "{}"),
        (reconstruction.kernel, "kernel {}"),
        (reconstruction.filter_fwhm_mm, "filter {} mm FWHM"),
        (reconstruction.matrix, "matrix {0} × {0}"),
        (_short(reconstruction.pixel_mm), "pixel {} mm"),
        (_short(reconstruction.slice_mm), "slices {} mm apart"),
    )
    return ", ".join(words.format(value) for value, words in parts if value not in (None, ""))


def _short(value: Any) -> str | None:
    return None if value is None else f"{value:f}".rstrip("0").rstrip(".")


def scope_of(case: Case) -> dict[str, str]:
    """Return the scope of a case in words, as it stands now."""
    scanner, site, trial = case.scanner, case.scanner.site, case.trial
    standard = standards.load(case.standard)
    return {
        "site": site.name,
        "city": site.city,
        "country": site.country,
        "manufacturer": scanner.manufacturer,
        "model": scanner.model,
        "serial": scanner.serial,
        "software": scanner.software,
        "tracer": case.tracer,
        "reconstruction": case.reconstruction.name,
        "fingerprint": fingerprint_words(case.reconstruction),
        "standard": case.standard,
        "standard_title": standard.title,
        "edition": standard.edition,
        "trial": trial.code if trial else "",
        "trial_title": trial.title if trial else "",
        "programme": case.programme,
        "programme_title": programmes.load(case.programme).title,
    }


# --- what is known about a case --------------------------------------------------------------


def requirements_of(case: Case, today: date) -> list[Requirement]:
    """Say how each requirement of a case stands on a day of its site's calendar."""
    return requirements(programmes.load(case.programme), facts_of([case])[case.pk].on(today), today)


def requirements_of_cases(cases: Sequence[Case], now: datetime | None = None) -> dict[UUID, list[Requirement]]:
    """Do the same for many cases, each on its own site's calendar, with a number of queries that does not grow."""
    known = facts_of(cases)
    found = {}
    for case in cases:
        today = today_at(case.scanner.site, now)
        found[case.pk] = requirements(programmes.load(case.programme), known[case.pk].on(today), today)
    return found


def validity_offered(case: Case, today: date) -> tuple[date, date]:
    """Return the first and the last day that a certificate signed today may have."""
    facts = facts_of([case])[case.pk].on(today)
    return today, longest_validity(programmes.load(case.programme), facts, today, today)


@dataclass(frozen=True, kw_only=True)
class Known:
    """What the tables hold about a case; `on` makes of it the facts of one day."""

    case: Case
    runs: tuple[Piece, ...]
    in_hand: tuple[InHand, ...]
    changes: tuple[Change, ...]
    transfer: Piece | None
    certificates: tuple[Certificate, ...]

    def on(self, today: date, *, as_it_stands: bool = False) -> Facts:
        """Return the facts of a day.

        Parameters
        ----------
        as_it_stands : bool
            Ask whether the certificate that was given still holds, not what the next one needs.
        """
        case = self.case
        last = max(self.certificates, key=lambda one: one.issued_at, default=None)
        valid = next((one for one in self.certificates if is_standing(one) and one.valid_until >= today), None)
        is_renewal = last is not None and case.state not in STANDING | CLOSED and not as_it_stands
        return Facts(
            runs=self.runs,
            in_hand=self.in_hand,
            changes=self.changes,
            transfer=self.transfer,
            trial_ends_on=case.trial.ends_on if case.trial else None,
            certificate=valid.number if valid else "",
            certificate_until=valid.valid_until if valid else None,
            renew_after=last.issued_at if last and is_renewal else None,
            is_proposed=case.state in (CaseState.PASS_RECOMMENDED, CaseState.SECOND_REVIEW),
        )


def is_standing(certificate: Certificate) -> bool:
    """Say whether nothing but its days can end a certificate: neither suspended, withdrawn nor replaced."""
    ended = (certificate.suspended_on, certificate.withdrawn_on, certificate.replaced_by_id)
    return all(one is None for one in ended)


def facts_of(cases: Sequence[Case]) -> dict[UUID, Known]:
    """Read what is known about cases, in a number of queries that does not grow with them."""
    scanners = {case.scanner_id for case in cases}
    phantoms, attempts = _phantoms(scanners)
    changes, arrivals = _of_scanners(scanners)
    certificates: dict[UUID, list[Certificate]] = defaultdict(list)
    for certificate in Certificate.objects.filter(case__in=cases).order_by("issued_at"):
        certificates[certificate.case_id].append(certificate)
    known = {}
    for case in cases:
        zone = case.scanner.site.zone
        counted = attempts[case.pk]
        first = arrivals.get(case.scanner_id)
        own = [row for row in phantoms[case.scanner_id] if _speaks_for(case, row)]
        signed = [row for row in own if row["state"] == SubmissionState.RELEASED]
        known[case.pk] = Known(
            case=case,
            runs=tuple(
                Piece(
                    kind=row["kind"],
                    submission=f"S-{row['number']}",
                    run=f"R-{row['run']}",
                    verdict=row["verdict"],
                    scanned_on=row["scanned_at"].astimezone(zone).date(),
                    signed_at=row["signed_at"],
                    signed_on=row["signed_at"].astimezone(zone).date(),
                    attempt=counted.get(row["run"], 0),
                    digest=row["digest"],
                )
                for row in sorted(signed, key=lambda row: row["run"])
            ),
            in_hand=tuple(
                InHand(
                    kind=row["kind"], submission=f"S-{row['number']}", sent_on=row["sent_at"].astimezone(zone).date()
                )
                for row in own
                if row["state"] != SubmissionState.RELEASED
            ),
            changes=tuple(
                Change(
                    what=str(Drift.Attribute(row["attribute"]).label),
                    before=row["registered"],
                    after=row["seen"],
                    seen_on=(row["scanned_at"] or row["opened_at"]).astimezone(zone).date(),
                    submission=f"S-{row['submission']}" if row["submission"] else "",
                )
                for row in changes[case.scanner_id]
            ),
            transfer=Piece(kind="transfer", submission=f"S-{first[0]}", scanned_on=first[1].astimezone(zone).date())
            if first
            else None,
            certificates=tuple(certificates[case.pk]),
        )
    return known


#: Where a submission's scope stands, beside its scanner.
_SCOPE = ("reconstruction_id", "standard", "trial_id", "sheet__nuclide")


def _speaks_for(case: Case, row: Mapping[str, Any]) -> bool:
    """Say whether a phantom of the case's scanner is of its scope; to a trial's case, none of another trial."""
    reconstruction, standard, trial, nuclide = (row[name] for name in _SCOPE)
    if (reconstruction, standard, nuclide) != (case.reconstruction_id, case.standard, case.tracer):
        return False
    return case.trial_id is None or trial in (None, case.trial_id)


def signed_runs() -> QuerySet[Review]:
    """Return the signed reviews of phantoms: of each submission the one of the run that counts."""
    return Review.objects.filter(
        run__submission__kind__in=PHANTOMS,
        run__submission__is_dry_run=False,
        run__submission__state=SubmissionState.RELEASED,
        run__submission__scanned_at__isnull=False,
        run__submission__current_run=F("run"),
    )


def _phantoms(
    scanners: Iterable[int],
) -> tuple[dict[int, list[dict[str, Any]]], dict[UUID, dict[int, int]]]:
    """Return by scanner its phantoms that are signed or in hand, and by case in which attempt it counted which run.

    One query: a run that counts in several cases comes once for each.
    """
    run = "current_run__"
    # The same as `signed_runs`, asked from the other end: of each submission the run that counts.
    is_signed = Q(state=SubmissionState.RELEASED, scanned_at__isnull=False, current_run__review__isnull=False)
    rows = (
        Submission.objects.filter(
            is_signed | Q(state__in=_IN_HAND, sent_at__isnull=False),
            scanner__in=scanners,
            kind__in=PHANTOMS,
            is_dry_run=False,
        )
        .annotate(
            run=F(run + "number"),
            digest=F(run + "result_digest"),
            signed_verdict=F(run + "review__verdict"),
            signed_at=F(run + "review__signature__signed_at"),
            case=F(run + "evidence__case_id"),
            attempt=F(run + "evidence__attempt"),
        )
        .values(
            "scanner_id", "number", "kind", "state", "scanned_at", "sent_at", *_SCOPE,
            "run", "digest", "signed_verdict", "signed_at", "case", "attempt",
        )
    )  # fmt: skip
    found: dict[int, dict[int, dict[str, Any]]] = defaultdict(dict)
    attempts: dict[UUID, dict[int, int]] = defaultdict(dict)
    for row in rows.order_by("number"):
        found[row["scanner_id"]][row["number"]] = row | {"verdict": row["signed_verdict"]}
        if row["case"] is not None:
            attempts[row["case"]][row["run"]] = row["attempt"]
    by_scanner = {scanner: list(rows_of.values()) for scanner, rows_of in found.items()}
    return defaultdict(list, by_scanner), attempts


def _of_scanners(
    scanners: Iterable[int],
) -> tuple[dict[int, list[dict[str, Any]]], dict[int, tuple[int, datetime]]]:
    """Return by scanner its declared changes, and the first submission that arrived whole with when it was sent."""
    arrived = Submission.objects.filter(
        scanner=OuterRef("pk"), is_dry_run=False, state__in=_ARRIVED, sent_at__isnull=False
    ).order_by("sent_at", "number")
    declared = Q(drifts__state=Drift.State.DECLARED, drifts__attribute__in=_CHANGES)
    rows = Scanner.objects.filter(pk__in=scanners).annotate(
        change=FilteredRelation("drifts", condition=declared),
        change_id=F("change__pk"),
        attribute=F("change__attribute"),
        registered=F("change__registered"),
        seen=F("change__seen"),
        opened_at=F("change__opened_at"),
        submission=F("change__submission__number"),
        scanned_at=F("change__submission__scanned_at"),
        first=Subquery(arrived.values("number")[:1]),
        first_sent=Subquery(arrived.values("sent_at")[:1]),
    )
    changes: dict[int, list[dict[str, Any]]] = defaultdict(list)
    arrivals: dict[int, tuple[int, datetime]] = {}
    for row in rows.order_by("opened_at", "change_id").values(
        "pk", "change_id", "attribute", "registered", "seen", "opened_at", "submission", "scanned_at",
        "first", "first_sent",
    ):  # fmt: skip
        if row["change_id"] is not None:
            changes[row["pk"]].append(row)
        if row["first"] is not None:
            arrivals[row["pk"]] = (row["first"], row["first_sent"])
    return changes, arrivals


# --- deciding --------------------------------------------------------------------------------


def deciding_content(case: Case, found: Sequence[Requirement]) -> dict[str, Any]:
    """Return what a person decides on: scope, attempt, how each requirement stands and the results behind it."""
    return {
        "case": case.short_number,
        "scope": scope_of(case),
        "attempt": case.attempt,
        "requirements": [
            {
                "id": one.id,
                "state": str(one.state),
                "evidence": [
                    {"run": piece.run, "verdict": piece.verdict, "digest": piece.digest} for piece in one.evidence
                ],
            }
            for one in found
        ],
    }


def deciding_digest(case: Case) -> str:
    """Return the digest of what a person decides on today; it is shown, and checked again when it is signed."""
    found = requirements_of(case, today_at(case.scanner.site))
    return analysis.digest(deciding_content(case, found))


def own_part_of(user: User, case: Case, found: Iterable[Requirement], *, as_approver: bool) -> str:
    """Say what a person had to do with a case so far, as a sentence; empty where they may judge it.

    Nobody judges what they started or sent; who approves has neither proposed it nor reviewed its evidence.
    """
    other = "Another approver must decide." if as_approver else "Another physicist must propose it."
    if case.created_by_id == user.pk or _did(user, ("case.start", "case.submit", "case.resubmit"), [case.pk]):
        return f"You started or sent this case. {other}"
    numbers = [piece.submission.removeprefix("S-") for one in found for piece in one.evidence]
    submissions = list(Submission.objects.filter(number__in=numbers).select_related("current_run__review__signature"))
    sent = _did(user, ("submission.send",), [one.pk for one in submissions])
    for one in submissions:
        if user.pk in (one.created_by_id, one.sent_by_id) or str(one.pk) in sent:
            return f"You sent {one.short_number}, which speaks for this case. {other}"
    if not as_approver:
        return ""
    for one in submissions:
        review = getattr(one.current_run, "review", None)
        if review is not None and review.signature.user_id == user.pk:
            return f"You reviewed {one.short_number}, which speaks for this case. {other}"
    # What was proposed for an earlier certificate is over; a suspended one still stands on its own proposal.
    over = 1 if case.state == CaseState.SUSPENDED else 0
    certificates = case.certificates.order_by("-issued_at").values_list("issued_at", flat=True)
    issued = next(iter(certificates[over : over + 1]), None)
    proposals = case.decisions.filter(event="propose", signature__user=user)
    if (proposals.filter(decided_at__gt=issued) if issued else proposals).exists():
        return f"You proposed this. {other}"
    return ""


def _did(user: User, actions: Sequence[str], ids: Sequence[UUID]) -> set[str]:
    events = AuditEvent.objects.filter(action__in=actions, object_id__in=[str(pk) for pk in ids], actor=user)
    return set(events.values_list("object_id", flat=True))


def standing_of(
    case: Case,
    found: Sequence[Requirement],
    today: date,
    *,
    actor: User | None = None,
    event: str = "",
    more_attempts_reason: str = "",
) -> Standing:
    """Return what the guards of a move look at."""
    judged = next((move for move in CASE if move.event == event and is_another_person in move.guards), None)
    part = own_part_of(actor, case, found, as_approver="approver" in judged.roles) if actor and judged else ""
    return Standing(
        attempt=case.attempt,
        attempts_allowed=programmes.load(case.programme).max_attempts,
        more_attempts_reason=more_attempts_reason,
        lacks=lacking(found),
        own_part=part,
        is_in_force=bool(case.valid_from and case.valid_until and case.valid_from <= today <= case.valid_until),
    )


def moves_for(user: User, case: Case, found: Sequence[Requirement], today: date) -> dict[str, str]:
    """Return the moves that a person's roles permit now, each with why it cannot be made; an empty text is yes."""
    roles = access.roles_of(user, case.scanner.site, case.trial)
    offered = [move for move in CASE if move.source == case.state and move.roles & roles]
    answers = {}
    for move in offered:
        if case.state == CaseState.SECOND_REVIEW and case.approver_id != user.pk and move.event != "withdraw":
            answers[move.event] = "" if move.event == "give_back" else f"{case.approver} has this."
            continue
        standing = standing_of(case, found, today, actor=user, event=move.event)
        answers[move.event] = next(filter(None, (guard(standing) for guard in move.guards)), "")
    return answers


# --- the public check ------------------------------------------------------------------------


class CertificateWord(StrEnum):
    """What the check page says first."""

    VALID = "VALID"
    NOT_YET = "NOT_YET"
    SUSPENDED = "SUSPENDED"
    WITHDRAWN = "WITHDRAWN"
    REPLACED = "REPLACED"
    EXPIRED = "EXPIRED"


@dataclass(frozen=True, kw_only=True)
class CertificateState:
    """A certificate as anybody may see it on one day: no person, no full serial number.

    Attributes
    ----------
    word : CertificateWord
    since : date or None
        The day from which the word holds, where it is not simply valid.
    valid_from, valid_until : date
        As signed.
    scope : dict
        Site, city, country, maker, model, ending of the serial number, tracer, standard, trial.
    replaced_by : str
        Number of the certificate that took its place.
    digest : str
        Of what was signed, as the document prints it.
    pdf_sha256 : str
        Of the document's own bytes; empty until it is made.
    """

    number: str
    word: CertificateWord
    since: date | None
    day: date
    valid_from: date
    valid_until: date
    replaced_by: str
    digest: str
    pdf_sha256: str
    scope: dict[str, str] = field(default_factory=dict)

    @property
    def is_valid(self) -> bool:
        """The scope may be scanned on this day."""
        return self.word == CertificateWord.VALID


_PUBLIC = ("site", "city", "country", "manufacturer", "model", "tracer", "standard_title", "edition", "trial")


def certificate_state(number: str, day: date | None = None) -> CertificateState | None:
    """Return what the check page says about a certificate on a day; None where no certificate has this number.

    The certificate, its clearances and what replaced it are read by one statement, so that a check while it is being
    revoked sees what was before or what is after, and never some of each.

    Parameters
    ----------
    day : date, optional
        Today on the site's own calendar, where it is not given.
    """
    number = number.strip().upper()
    if day is None:
        site = Site.objects.filter(scanners__cases__certificates__number=number).first()
        if site is None:
            return None
        day = today_at(site)
    begun = Clearance.objects.filter(certificate_number=OuterRef("number"), from_on__lte=day).order_by(
        "-from_on", "-pk"
    )
    row = (
        Certificate.objects.filter(number=number)
        .select_related("decision__signature", "stored", "replaced_by")
        .annotate(ended_on=Subquery(begun.values("ended_on")[:1]))
        .first()
    )
    if row is None:
        return None
    word, since = _word(row, day)
    return CertificateState(
        number=row.number,
        word=word,
        since=since,
        day=day,
        valid_from=row.valid_from,
        valid_until=row.valid_until,
        replaced_by=row.replaced_by.number if row.replaced_by else "",
        digest=row.decision.signature.digest,
        pdf_sha256=row.stored.sha256 if row.stored else "",
        scope={name: row.scope.get(name, "") for name in _PUBLIC}
        | {"serial_ending": _ending(row.scope.get("serial", ""))},
    )


def _ending(serial: str) -> str:
    """Return the end of a serial number: three characters at most, and never more than half of it."""
    return serial[len(serial) - min(3, len(serial) // 2) :]


def _word(row: Any, day: date) -> tuple[CertificateWord, date | None]:
    """Say how a certificate stands on a day; ``row.ended_on`` is the end of the clearance that began last by then."""
    if row.withdrawn_on is not None and row.withdrawn_on <= day:
        return CertificateWord.WITHDRAWN, row.withdrawn_on
    if row.replaced_by is not None and row.replaced_by.valid_from <= day:
        return CertificateWord.REPLACED, row.replaced_by.valid_from
    if day > row.valid_until:
        return CertificateWord.EXPIRED, row.valid_until + timedelta(days=1)
    for suspended_on in (row.suspended_on, row.ended_on):
        if suspended_on is not None and suspended_on <= day:
            return CertificateWord.SUSPENDED, suspended_on
    if day < row.valid_from:
        return CertificateWord.NOT_YET, row.valid_from
    return CertificateWord.VALID, None
