"""A submission on the site's side: started, filled in, sent, withdrawn; and sent round again by staff."""

from __future__ import annotations

import re
from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models import Q

from corelab import access, audit, jobs
from corelab.errors import NotAllowed, NotFound, Refused, StaleState
from corelab.models import ReconstructionProfile, Role, Scanner, Site, Trial, User
from corelab.numbers import next_number
from phantoms import standards
from qc import intake, selectors
from qc.analysis import OWN_STANDARD
from qc.models import Query, ReceivedFile, Submission
from qc.models.submissions import Kind
from qc.services import queries, runs
from qc.services.moves import move, plain
from qc.states import SUBMISSION
from qc.states import SubmissionState as S

audit.catalogue(
    {
        "submission.start": "A site started a draft.",
        "submission.edit": "A site changed what and where of a draft.",
        "sheet.save": "A site changed the sheet of a draft.",
    }
)

SUBJECT_CODE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/-]{0,31}")
EDITABLE = (
    "kind",
    "scanner",
    "reconstruction",
    "standard",
    "trial",
    "subject_code",
    "visit",
    "is_dry_run",
    "calibrator",
    "comment",
    "chosen_series",
)


@transaction.atomic
def submission_start(
    *,
    actor: User,
    site: Site,
    kind: str,
    scanner: Scanner,
    reconstruction: ReconstructionProfile | None = None,
    standard: str = "earl1_18f",
    trial: Trial | None = None,
    subject_code: str = "",
    visit: str = "",
    is_dry_run: bool = False,
    replaces: Submission | None = None,
    answers: Query | None = None,
) -> Submission:
    """Start a draft. With ``replaces`` the sheet of that one is copied; a draft that replaces it already is found.

    With ``answers`` the scan is sent in answer to that question: it takes the place of the one that was asked about as
    long as that can be replaced, and what was measured is held against the question. Who replaces a scan that a
    question is open about answers it too.

    Raises
    ------
    NotAllowed
        The person is no site user of that site.
    Refused
        ``SITE-CLOSED``, ``KIND-UNKNOWN``, ``SCANNER-SITE``, ``RECONSTRUCTION-SCANNER``, ``CALIBRATOR-SITE``,
        ``TRIAL-MISSING``, ``TRIAL-SITE``, ``SUBJECT-CODE``, ``STANDARD-UNKNOWN``, ``REPLACE-STATE``,
        ``REPLACE-DRY-RUN``, ``QUERY-ENDED``.
    """
    if Role.SITE_USER not in access.roles_of(actor, site):
        raise NotAllowed("You do not send scans for this site. Ask the core lab.")
    if not site.is_active:
        raise Refused("This site sends nothing any more. Ask the core lab.", code="SITE-CLOSED")
    submission = Submission(
        site=site,
        kind=kind,
        scanner=scanner,
        reconstruction=reconstruction,
        standard=standard,
        trial=trial,
        subject_code=subject_code.strip(),
        visit=visit.strip(),
        is_dry_run=is_dry_run,
        created_by=actor,
    )
    if answers is not None:
        submission.answers = queries.query_to_answer(actor, answers, site.pk)
        asked_about = _last_sent(submission.answers)
        found = submission.answers.resubmissions.filter(state=S.DRAFT).first()
        if found is not None:
            return found
        submission.sheet = asked_about.sheet
        replaces = asked_about if SUBMISSION.allows("replace", asked_about.state) else None
    if replaces is not None:
        found = _replacement_of(replaces, site)
        if found is not None:
            return found
        submission.replaces, submission.sheet = replaces, replaces.sheet
        submission.answers = submission.answers or queries.open_question_of(replaces)
    _check_place(submission)
    submission.number = next_number("S")
    submission.save(force_insert=True)
    audit.record(
        "submission.start",
        submission,
        after={
            "kind": kind,
            "scanner": scanner.pk,
            "standard": standard,
            "trial": trial.pk if trial else None,
            "is_dry_run": is_dry_run,
            "replaces": str(replaces) if replaces else None,
            "answers": str(submission.answers) if submission.answers else None,
        },
    )
    return submission


@transaction.atomic
def submission_place_edit(*, submission_id: UUID, actor: User, **fields: Any) -> Submission:
    """Change what and where of a draft.

    Fields: ``kind scanner reconstruction standard trial subject_code visit is_dry_run calibrator comment
    chosen_series``. Refused as in `submission_start`; ``SERIES-NONE`` where the chosen series did not arrive.
    """
    submission = _draft(actor, submission_id)
    if unknown := set(fields) - set(EDITABLE):
        msg = f"no such fields of a draft: {', '.join(sorted(unknown))}"
        raise TypeError(msg)
    before = {name: plain(getattr(submission, name)) for name in fields}
    for name, value in fields.items():
        setattr(submission, name, value.strip() if isinstance(value, str) else value)
    _check_place(submission)
    chosen = fields.get("chosen_series")
    if chosen and not submission.files.filter(series_instance_uid=chosen).exists():
        raise Refused("The chosen series is not among those that arrived.", code="SERIES-NONE")
    after = {name: plain(getattr(submission, name)) for name in fields}
    changed = [name for name in fields if before[name] != after[name]]
    if changed:
        submission.save(update_fields=[*changed, "changed_at"])
        audit.record(
            "submission.edit",
            submission,
            before={name: before[name] for name in changed},
            after={name: after[name] for name in changed},
        )
    return submission


@transaction.atomic
def sheet_save(*, submission_id: UUID, actor: User, sheet: dict[str, Any]) -> Submission:
    """Keep the sheet of a draft as it is written so far; half a sheet is never refused here."""
    submission = _draft(actor, submission_id)
    patient = {"patient": submission.sheet["patient"]} if "patient" in submission.sheet else {}
    return _keep_sheet(submission, patient | sheet)


@transaction.atomic
def patient_values_save(*, submission_id: UUID, actor: User, values: dict[str, Any]) -> Submission:
    """Keep the scan-day values of a patient scan, as the sheet's ``patient`` key."""
    submission = _draft(actor, submission_id)
    return _keep_sheet(submission, submission.sheet | {"patient": values})


@transaction.atomic
def submission_send(*, submission_id: UUID, actor: User) -> Submission:
    """Send a draft: it is checked by a job, which sends it on or gives it back with ``check_findings``."""
    submission = _visible(actor, submission_id)
    move(submission, "send", actor=actor, sent_by=actor, check_findings=[])
    jobs.queue(submission, "qc.check_submission", key="submission_id")
    return submission


@transaction.atomic
def submission_withdraw(*, submission_id: UUID, actor: User, reason: str) -> Submission:
    """Take a submission back, until its review begins. A draft that was to replace another lets go of it."""
    submission = _visible(actor, submission_id)
    fields = {"replaces": None} if submission.replaces_id else {}
    move(submission, "withdraw", actor=actor, reason=reason, **fields)
    queries.submission_gone(submission, f"{submission} was withdrawn by the site.")
    return submission


@transaction.atomic
def submission_repeat(*, submission_id: UUID, actor: User, reason: str) -> Submission:
    """Analyse again: with the same inputs, parameters and program the finished run is found, else a new one is made."""
    submission = _visible(actor, submission_id)
    move(submission, "repeat", actor=actor, reason=reason)
    runs.run_request(submission)
    return submission


@transaction.atomic
def submission_recheck(*, submission_id: UUID, actor: User, reason: str) -> Submission:
    """Let a held submission be checked again; files held against an earlier submission are thereby accepted."""
    submission = _visible(actor, submission_id)
    move(submission, "recheck", actor=actor, reason=reason, hold_code="", hold_reason="")
    accepted = submission.files.filter(status=ReceivedFile.Status.CONFLICT)
    accepted.update(status=ReceivedFile.Status.KEPT, reason_code=intake.ACCEPTED, reason=reason[:300])
    jobs.queue(submission, "qc.check_submission", key="submission_id")
    return submission


# --- the steps -------------------------------------------------------------------------------


def _visible(actor: User, submission_id: UUID) -> Submission:
    submission = selectors.submissions_visible_to(actor).filter(pk=submission_id).first()
    if submission is None:
        raise NotFound("There is nothing here, or it is not yours to see.")
    return submission


def _draft(actor: User, submission_id: UUID) -> Submission:
    """Return a draft with its row locked, so that two saves do not undo each other."""
    submission = _visible(actor, submission_id)
    if Role.SITE_USER not in access.roles_of(actor, submission.site):
        raise NotFound("There is no such draft.")
    if not Submission.objects.select_for_update().filter(pk=submission_id, state=S.DRAFT).exists():
        raise StaleState("This is no longer a draft. What was sent is not changed; withdraw or replace it instead.")
    submission.refresh_from_db(fields=[*EDITABLE, "sheet"])
    return submission


def _last_sent(query: Query) -> Submission:
    """Return the scan that a question is about now: the last one that came in answer, else the one it was asked of."""
    gone = Q(state__in=(S.DRAFT, S.WITHDRAWN))
    return query.resubmissions.exclude(gone).order_by("-number").first() or query.submission


def _replacement_of(replaces: Submission, site: Site) -> Submission | None:
    """Return the draft that replaces this one already; refuse where it cannot be replaced."""
    if replaces.site_id != site.pk or not SUBMISSION.allows("replace", replaces.state):
        raise Refused(
            f"{replaces} can be replaced only until its review begins. Send this as a new scan.", code="REPLACE-STATE"
        )
    return Submission.objects.filter(replaces=replaces).first()


def _check_place(submission: Submission) -> None:
    if submission.kind not in Kind.values:
        raise Refused("Choose what you are sending.", code="KIND-UNKNOWN")
    if submission.scanner.site_id != submission.site_id:
        raise Refused("This scanner is not registered for your site.", code="SCANNER-SITE")
    if submission.reconstruction and submission.reconstruction.scanner_id != submission.scanner_id:
        raise Refused("This reconstruction belongs to another scanner.", code="RECONSTRUCTION-SCANNER")
    if submission.calibrator and submission.calibrator.site_id != submission.site_id:
        raise Refused("This calibrator is not registered for your site.", code="CALIBRATOR-SITE")
    if submission.standard not in _standards_for(submission.kind):
        raise Refused("Choose a standard that judges what was scanned.", code="STANDARD-UNKNOWN")
    if submission.trial is None:
        if submission.kind == Kind.PATIENT:
            raise Refused("Choose the trial that this patient scan is for.", code="TRIAL-MISSING")
    elif not submission.trial.sites.filter(pk=submission.site_id).exists():
        raise Refused("Your site does not take part in this trial.", code="TRIAL-SITE")
    if submission.subject_code and not SUBJECT_CODE.fullmatch(submission.subject_code):
        raise Refused(
            "A subject code has letters, digits, dots and hyphens only. Never enter a name.", code="SUBJECT-CODE"
        )
    replaced = submission.replaces
    if replaced is not None and submission.is_dry_run != replaced.is_dry_run:
        what = (
            f"A dry run cannot take the place of {replaced}, which counts. Take the tick for a dry run away,"
            if submission.is_dry_run
            else f"{replaced} is a dry run, so only a dry run can take its place. Tick that this is one,"
        )
        raise Refused(f"{what} or send this as a new scan.", code="REPLACE-DRY-RUN")


def _standards_for(kind: str) -> set[str]:
    """Return what may decide about one kind of scan: its own standard, or any that limits a number of that kind."""
    if own := OWN_STANDARD.get(kind):
        return {own}
    shared = set(standards.available()) - set(OWN_STANDARD.values())
    if kind != Kind.NEMA_IQ:
        return shared
    return {name for name in shared if not standards.load(name).is_of_cylinders}


def _keep_sheet(submission: Submission, sheet: dict[str, Any]) -> Submission:
    keys = sorted(key for key in {*submission.sheet, *sheet} if submission.sheet.get(key) != sheet.get(key))
    if not keys:
        return submission
    before = {key: submission.sheet.get(key) for key in keys}
    submission.sheet = sheet
    submission.save(update_fields=["sheet", "changed_at"])
    audit.record("sheet.save", submission, before=before, after={key: sheet.get(key) for key in keys})
    return submission
