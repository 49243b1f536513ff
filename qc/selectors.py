"""What people may see. Every query of a view starts here; absent and forbidden are the same answer."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any
from uuid import UUID

from django.db.models import Count, F, Max, Min, Q, QuerySet, Sum
from django.utils import timezone

from corelab import access
from corelab import selectors as registry
from corelab.errors import NotFound
from corelab.models import AuditEvent, DoseCalibrator, Role, Trial, User, Work
from corelab.models.work import WorkState
from phantoms.results import Finding, Outcome, Owner
from phantoms.suv.catalogue import CATALOGUE
from qc import suv_choice
from qc.arrival import missing_numbers
from qc.checklists import Item, checklist_for
from qc.models import (
    CalibratorReading,
    ChecklistAnswer,
    Drift,
    Figure,
    ProtocolVersion,
    Query,
    ReceivedFile,
    ReferenceSource,
    Report,
    Run,
    Submission,
    SuvChoice,
    Upload,
)
from qc.models.submissions import Kind
from qc.states import WITH_SITE, QueryState
from qc.states import SubmissionState as S

#: A site sees measured numbers only in these states; before, a physicist has not spoken yet.
NUMBERS_FOR_SITE = (S.RELEASED, S.PREVIEWED)
#: States in which something is still to be done.
OPEN_STATES = (S.CHECKING, S.SENT, S.ANALYSING, S.AWAITING_REVIEW, S.IN_REVIEW, S.HELD)
#: Why a submission is held where the fault is the lab's.
OUR_ERROR = "OUR-ERROR"
#: Zips that a worker still has to open.
UNPACKING = Q(is_complete=True, is_zip=True, work_state__in=(WorkState.QUEUED, WorkState.RUNNING))
#: Refusals that a site can repair at once are shown to it before the review.
REPAIRABLE_FAMILIES = ("SUV-", "SERIES-", "ING-", "SHEET-", "MODALITY-")


# --- whose rows ------------------------------------------------------------------------------


def _of_sites(user: User) -> Q:
    return Q(site_id__in=access.site_ids_of(user))


def _of_trials(user: User) -> Q:
    """Return the released submissions of the person's trials; a dry run is nobody's result."""
    return Q(trial_id__in=access.trial_ids_of(user), state=S.RELEASED, is_dry_run=False)


def _of_lab(user: User) -> Q:
    """Return all that was sent, for those whom no site or trial bounds."""
    if not access.sees_everything(user):
        return Q(pk__in=[])
    return ~Q(state=S.DRAFT) & ~Q(state=S.WITHDRAWN, sent_by__isnull=True)


def _with_names(queryset: QuerySet[Submission]) -> QuerySet[Submission]:
    return queryset.select_related("site", "scanner", "reconstruction", "trial", "reviewer", "current_run")


def submissions_visible_to(user: User) -> QuerySet[Submission]:
    """Return the submissions the person may look at, newest first, with all that a list row prints."""
    mine = _of_lab(user) | _of_sites(user) | _of_trials(user)
    return _with_names(Submission.objects.filter(mine))


def drafts_visible_to(user: User) -> QuerySet[Submission]:
    """Return the drafts the person may go on with."""
    return _with_names(Submission.objects.filter(_of_sites(user), state=S.DRAFT))


def submission_for(user: User, number: int | str) -> Submission:
    """Return one submission by its number, ``1001`` or ``S-1001``, or raise NotFound."""
    return _one(submissions_visible_to(user), number, "S-")


def draft_for(user: User, number: int | str) -> Submission:
    """Return one draft that the person may change, or raise NotFound."""
    return _one(drafts_visible_to(user), number, "S-")


def draft_id_for(user: User, number: int | str) -> UUID:
    """Return the id of one draft that the person may change, or raise NotFound; nothing else is read."""
    draft: Submission = _one(drafts_visible_to(user).select_related(None).only("pk"), number, "S-")
    return draft.pk


def _one(queryset: QuerySet[Any], number: int | str, prefix: str) -> Any:
    digits = str(number).upper().removeprefix(prefix)
    row = queryset.filter(number=int(digits)).first() if digits.isdecimal() and len(digits) < 19 else None
    if row is None:
        raise NotFound("There is nothing here, or it is not yours to see.")
    return row


def uploads_visible_to(user: User) -> QuerySet[Upload]:
    """Return the uploads of drafts the person may go on with."""
    return Upload.objects.filter(
        submission__site_id__in=access.site_ids_of(user), submission__state=S.DRAFT
    ).select_related("submission__site")


def upload_for(user: User, upload_id: UUID) -> Upload:
    """Return one upload, or raise NotFound."""
    upload = uploads_visible_to(user).filter(pk=upload_id).first()
    if upload is None:
        raise NotFound("There is no such upload.")
    return upload


def _results(user: User, submission: str, run: str) -> Q:
    """Return whose results may be read: the lab all of them, a site and a trial the one that was released.

    ``submission`` and ``run`` are the lookup paths from the asked table to those two.
    """
    if access.sees_everything(user):
        return Q()
    site = Q(**{f"{submission}__site_id__in": access.site_ids_of(user), f"{submission}__state__in": NUMBERS_FOR_SITE})
    trial = Q(
        **{
            f"{submission}__trial_id__in": access.trial_ids_of(user),
            f"{submission}__state": S.RELEASED,
            f"{submission}__is_dry_run": False,
        }
    )
    return Q(**{f"{submission}__current_run": F(run)}) & (site | trial)


def runs_visible_to(user: User) -> QuerySet[Run]:
    """Return the runs whose numbers the person may read."""
    return Run.objects.filter(_results(user, "submission", "pk")).select_related(
        "submission__site", "submission__scanner", "submission__reconstruction", "submission__trial"
    )


def run_for(user: User, number: int | str) -> Run:
    """Return one run by its number, ``1003`` or ``R-1003``, or raise NotFound."""
    run: Run = _one(runs_visible_to(user), number, "R-")
    return run


def figures_visible_to(user: User) -> QuerySet[Figure]:
    """Return the pictures of the runs that the person may read."""
    return Figure.objects.filter(_results(user, "run__submission", "run")).select_related("stored", "run")


def reports_visible_to(user: User) -> QuerySet[Report]:
    """Return the documents of the runs that the person may read; outside the lab only what is final.

    Final is the signed report, or the unofficial one of a dry run.
    """
    reports = Report.objects.filter(_results(user, "run__submission", "run")).select_related(
        "stored", "run__submission__site", "review__signature"
    )
    if access.sees_everything(user):
        return reports
    return reports.filter(Q(review__isnull=False) | Q(run__submission__state=S.PREVIEWED))


def history_of(submission: Submission) -> QuerySet[AuditEvent]:
    """Return what was done to a submission that the person was already allowed to see, newest first."""
    return AuditEvent.objects.filter(object_type="qc.submission", object_id=str(submission.pk))


# --- worklist --------------------------------------------------------------------------------


#: A filter that keeps every row.
ANY = Q()


def _work_filters(user: User) -> dict[str, Q]:
    """Return what stands in each view of the worklist, by the names of `corelab.panels.WORK_VIEWS`."""
    roles = access.lab_roles_of(user)
    needs_me = Q(pk__in=[])
    if Role.PHYSICIST in roles:
        not_mine = ~Q(created_by=user) & ~(Q(sent_by__isnull=False) & Q(sent_by=user))
        needs_me |= Q(state=S.AWAITING_REVIEW) & not_mine | Q(state=S.IN_REVIEW, reviewer=user)
    if roles & {Role.TECHNICIAN, Role.PHYSICIST}:
        needs_me |= Q(state=S.HELD)
    return {
        "needs-me": needs_me,
        "breaching-today": Q(
            due_on__lte=timezone.now().date(), state__in=(S.SENT, S.ANALYSING, S.AWAITING_REVIEW, S.IN_REVIEW)
        ),
        # A site is waited for where it must answer before anything goes on.
        "waiting-for-sites": Q(state=S.HELD) & ~Q(hold_code=OUR_ERROR),
        "running": Q(state__in=(S.CHECKING, S.SENT, S.ANALYSING)),
        "our-errors": Q(state=S.HELD, hold_code=OUR_ERROR),
        "open": Q(state__in=OPEN_STATES),
    }


def worklist_for(user: User, view: str) -> QuerySet[Submission]:
    """Return the rows of one view of the worklist, the next deadline first; dry runs never stand in it."""
    rows = submissions_visible_to(user).filter(is_dry_run=False)
    if not access.sees_everything(user):
        return rows.none()
    rows = rows.filter(state=S.RELEASED) if view == "released" else rows.filter(_work_filters(user)[view])
    # What is open has a day, but for what still arrives; so an index may give the order.
    return rows.order_by(F("due_on").asc(nulls_last=True), "number")


def worklist_counts(user: User, narrow: Q = ANY) -> dict[str, int]:
    """Return how many rows each view of the worklist has; two queries, of which one reads what is open only."""
    filters = _work_filters(user)
    if not access.sees_everything(user):
        return dict.fromkeys([*filters, "released"], 0)
    rows = Submission.objects.filter(narrow, is_dry_run=False)
    counts = rows.filter(filters["open"]).aggregate(
        **{view.replace("-", "_"): Count("pk", filter=one) for view, one in filters.items()}
    )
    return {view: counts[view.replace("-", "_")] for view in filters} | {
        "released": rows.filter(state=S.RELEASED).count()
    }


def worklist_needs_me(user: User) -> int:
    """Return how many rows wait for this very person, for the bar of every page; one query."""
    return worklist_for(user, "needs-me").count()


@dataclass(frozen=True, kw_only=True)
class Clock:
    """How many rows of a view have a day that has passed or is today, and since when the oldest waits."""

    overdue: int = 0
    due_today: int = 0
    oldest_at: datetime | None = None


def worklist_clock(user: User, view: str, narrow: Q = ANY) -> Clock:
    """Return how the time stands for one view; for what was released it stands still."""
    if view == "released" or not access.sees_everything(user):
        return Clock()
    today = timezone.now().date()
    rows = Submission.objects.filter(narrow, _work_filters(user)[view], is_dry_run=False)
    return Clock(
        **rows.aggregate(
            overdue=Count("pk", filter=Q(due_on__lt=today)),
            due_today=Count("pk", filter=Q(due_on=today)),
            oldest_at=Min("sent_at"),
        )
    )


# --- one submission --------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class SeriesRow:
    """One series of a submission as it arrived. ``expected`` is None where the headers name no number of slices."""

    series_uid: str
    series_number: int | None
    modality: str
    is_attenuation_corrected: bool | None
    count: int
    expected: int | None
    missing: tuple[int, ...]
    findings: tuple[dict[str, Any], ...]

    @property
    def is_complete(self) -> bool:
        """Whether as many slices came as the headers name."""
        return self.expected is None or self.count >= self.expected

    @property
    def is_measurable(self) -> bool:
        """Whether it is PET with attenuation correction, so that it may be the one to measure."""
        return self.modality == "PT" and self.is_attenuation_corrected is not False


def received_series(submission: Submission) -> list[SeriesRow]:
    """Return the series of a submission as they arrived, by series number; one query."""
    rows = submission.files.exclude(status=ReceivedFile.Status.IGNORED).values_list(
        "series_instance_uid",
        "series_number",
        "modality",
        "is_attenuation_corrected",
        "number_of_slices",
        "instance_number",
    )
    slices: dict[str, list[Any]] = defaultdict(list)
    for uid, *slice_facts in rows.order_by("pk"):
        slices[uid].append(slice_facts)
    series = []
    for uid, many in slices.items():
        number, modality, is_corrected, expected, _ = many[0]
        series.append(
            SeriesRow(
                series_uid=uid,
                series_number=number,
                modality=modality,
                is_attenuation_corrected=is_corrected,
                count=len(many),
                expected=expected if expected and expected > 0 else None,
                missing=missing_numbers((one[-1] for one in many), expected),
                findings=tuple(one for one in submission.check_findings if uid in one.get("series", ())),
            )
        )
    return sorted(series, key=lambda one: (one.series_number or 0, one.series_uid))


def scan_began_at(submission: Submission) -> datetime | None:
    """Return when the scan began by its images, on the site's wall clock; None before they arrived."""
    moments = submission.files.filter(modality="PT").exclude(status=ReceivedFile.Status.IGNORED)
    times = moments.order_by().values_list("facts__scan_at", flat=True).distinct()
    first = min(filter(None, times), default=None)
    return datetime.fromisoformat(first) if first else None


@dataclass(frozen=True, kw_only=True)
class Arrival:
    """How much of a submission has arrived; ``files`` are those that were not left out."""

    files: int
    left_out: int
    size_bytes: int
    uploads_complete: int
    uploads_total: int
    is_unpacking: bool


def arrival_of(submission: Submission) -> Arrival:
    """Return how much of a submission has arrived; two queries."""
    ignored = Q(status=ReceivedFile.Status.IGNORED)
    files = submission.files.aggregate(
        kept=Count("pk", filter=~ignored),
        left_out=Count("pk", filter=ignored),
        size=Sum("stored__size_bytes", filter=~ignored),
    )
    uploads = submission.uploads.aggregate(
        total=Count("pk"),
        complete=Count("pk", filter=Q(is_complete=True)),
        unpacking=Count("pk", filter=UNPACKING),
    )
    return Arrival(
        files=files["kept"],
        left_out=files["left_out"],
        size_bytes=files["size"] or 0,
        uploads_complete=uploads["complete"],
        uploads_total=uploads["total"],
        is_unpacking=uploads["unpacking"] > 0,
    )


@dataclass(frozen=True, kw_only=True)
class Progress:
    """What the workers do with a submission now, for the line that a page polls.

    ``step`` is ``unpack``, ``check``, ``analyse``, ``report`` or ``""``; ``done`` of ``total`` counts within it (0 of
    0 where it cannot be counted); ``ahead`` is how many jobs of that step wait before this one; ``usual`` says how long
    such a step takes, ``elapsed_s`` how long this one has been at work.
    """

    step: str = ""
    words: str = "Nothing is running."
    usual: str = ""
    done: int = 0
    total: int = 0
    ahead: int = 0
    attempt: int = 0
    elapsed_s: int | None = None
    is_running: bool = False
    is_finished: bool = True
    is_our_error: bool = False
    error_reference: str = ""


@dataclass(frozen=True)
class _Step:
    """The words of one step, while it waits and while it runs, and how long it usually takes."""

    waits: str
    runs: str
    usual: str


_STEPS = {
    "unpack": _Step("The zip waits to be opened", "Opening the zip", "10 to 60 s"),
    "check": _Step("Waiting to be checked", "Checking what arrived", "1 to 3 s"),
    "analyse": _Step("Waiting to be measured", "Measuring", "5 to 40 s"),
    "report": _Step("The report waits to be made", "Making the report", "2 to 5 s"),
}


def progress_of(submission: Submission) -> Progress:
    """Return what the workers do with a submission now; at most four queries."""
    if submission.state == S.HELD and submission.hold_code == OUR_ERROR:
        return Progress(words=submission.hold_reason, is_our_error=True)
    if submission.state in (S.DRAFT, S.CHECKING):
        zip_upload = submission.uploads.filter(UNPACKING).order_by("queued_at").first()
        if zip_upload is not None:
            return _progress("unpack", zip_upload)
        return _progress("check", submission) if submission.state == S.CHECKING else Progress()
    if submission.state in (S.SENT, S.ANALYSING):
        run = submission.runs.filter(superseded_by=None).order_by("-number").first()
        return _progress("analyse", run) if run is not None else Progress()
    if submission.state in (S.AWAITING_REVIEW, S.IN_REVIEW, S.RELEASED, S.PREVIEWED):
        report = (
            Report.objects.filter(run__submission=submission, run=submission.current_run_id)
            .exclude(work_state=WorkState.DONE)
            .order_by("-created_at")
            .first()
        )
        return _progress("report", report) if report is not None else Progress()
    return Progress()


def _progress(step: str, row: Work) -> Progress:
    if row.work_state == WorkState.FAILED:
        return Progress(
            step=step, words="Our error. The files are safe.", is_our_error=True, error_reference=row.work_error
        )
    is_running = row.work_state == WorkState.RUNNING
    ahead = 0
    if not is_running and row.queued_at is not None:
        waiting = type(row)._default_manager.filter(work_state=WorkState.QUEUED, queued_at__lt=row.queued_at)
        ahead = waiting.count()
    words = _STEPS[step]
    return Progress(
        step=step,
        words=words.runs if is_running else words.waits,
        usual=words.usual,
        done=row.progress_done,
        total=row.progress_total,
        ahead=ahead,
        attempt=max(row.attempts - row.attempts_before, 1) if is_running else row.attempts - row.attempts_before + 1,
        elapsed_s=int((timezone.now() - row.claimed_at).total_seconds()) if is_running and row.claimed_at else None,
        is_running=is_running,
        is_finished=row.work_state == WorkState.DONE,
        error_reference=row.work_error,
    )


def repairable_findings(submission: Submission) -> list[dict[str, Any]]:
    """Return what the site can repair at once: how it arrived, what rules ask of it, and a refusal of its families.

    Shown to the site before the review; measured verdicts are not.
    """
    findings = list(submission.check_findings)
    run = submission.current_run
    if run is None or not run.result:
        return findings
    asked = _asked_of_site(run) if submission.kind == Kind.PATIENT else []
    # What a rule says in the run is the last word on what the arrival said.
    said = {one["id"] for one in asked}
    findings = [one for one in findings if one["id"] not in said] + asked
    refusals = [] if said & _SAYS_REFUSAL else [run.result.get("refused")]
    if submission.kind == Kind.PATIENT and "SUV-01" not in said:
        # Of a phantom the sheet tells the dose, so a missing SUV is nothing that the site must repair.
        refusals.append(run.result.get("suv", {}).get("refused"))
    known = {finding["id"] for finding in findings}
    for refused in refusals:
        if refused and refused["code"].startswith(REPAIRABLE_FAMILIES) and refused["code"] not in known:
            known.add(refused["code"])
            finding = Finding(
                id=refused["code"],
                outcome=Outcome.NOT_EVALUABLE,
                severity="query",
                message=refused["detail"],
                observed=refused["attribute"] or "",
                next_step=refused["next_step"],
                owner=CATALOGUE[refused["code"]].owner if refused["code"] in CATALOGUE else Owner.SITE,
            )
            findings.append(finding.as_json())
    return findings


#: Rules that say in their own words why a series was refused.
_SAYS_REFUSAL = frozenset({"ING-01", "ING-09"})


def _asked_of_site(run: Run) -> list[dict[str, Any]]:
    """Return what the rules ask of the site about a scan."""
    return [
        one
        for one in run.result.get("findings", [])
        if one["owner"] == Owner.SITE.value
        and one["severity"] != "info"
        and one["outcome"] in (Outcome.FAIL, Outcome.WARN, Outcome.NOT_EVALUABLE)
    ]


@dataclass(frozen=True)
class ChecklistRow:
    """One item of the visual checklist with its last answer, None while there is none."""

    item: Item
    answer: ChecklistAnswer | None


def checklist_of(run: Run) -> list[ChecklistRow]:
    """Return the checklist of a run's method with the last answer to each item; one query."""
    last: dict[str, ChecklistAnswer] = {}
    for answer in run.checklist_answers.select_related("answered_by").order_by("answered_at", "pk"):
        last[answer.item] = answer
    return [ChecklistRow(item, last.get(item.key)) for item in checklist_for(run.method)]


def choices_behind(run: Run) -> list[SuvChoice]:
    """Return the signed decisions about the SUV that a run was made by, the first one first; mostly none, unasked."""
    decision = suv_choice.decision_of(run.parameters)
    if not decision:
        return []
    behind = SuvChoice.objects.filter(
        submission=run.submission_id, decision=decision, run__input_digest=run.input_digest
    )
    return list(behind.select_related("signature"))


def unsigned_report_of(run: Run) -> Report | None:
    """Return the unsigned report of a run, with its stored bytes once it is made."""
    return run.reports.filter(review__isnull=True).select_related("stored").first()


def signed_report_of(run: Run) -> Report | None:
    """Return the signed report of a run, with its stored bytes once it is made."""
    return run.reports.filter(review__isnull=False).select_related("stored", "review__signature").first()


# --- queries ---------------------------------------------------------------------------------


def queries_visible_to(user: User) -> QuerySet[Query]:
    """Return the questions the person may see, newest first, with all that a list row prints.

    The lab sees its drafts too. A site and a trial see what was asked; of a scan that is not released yet a trial sees
    no more than number, title and days (`reads_query`).
    """
    queries = Query.objects.select_related(
        "submission__site", "submission__scanner", "submission__trial", "asked_by", "closed_by"
    )
    if access.sees_everything(user):
        return queries
    asked = Q(asked_at__isnull=False, submission__is_dry_run=False)
    mine = Q(submission__site_id__in=access.site_ids_of(user)) | Q(submission__trial_id__in=access.trial_ids_of(user))
    return queries.filter(asked & mine)


def query_for(user: User, number: int | str) -> Query:
    """Return one question by its number, ``904`` or ``Q-904``, or raise NotFound."""
    query: Query = _one(queries_visible_to(user), number, "Q-")
    return query


def queries_about(user: User, submission: Submission) -> QuerySet[Query]:
    """Return the questions about a submission, and the one that it was sent in answer to."""
    about = Q(submission=submission) | Q(pk=submission.answers_id)
    return queries_visible_to(user).filter(about).defer("text", "findings")


def reads_query(user: User, query: Query) -> bool:
    """Say whether the person may read what was asked and answered, and not only that it was."""
    if access.sees_everything(user) or query.submission.site_id in access.site_ids_of(user):
        return True
    return query.submission.state == S.RELEASED


def queries_needing(user: User) -> QuerySet[Query]:
    """Return the questions that this person is to act on: a site answers, staff ask and close."""
    needs = Q(pk__in=[])
    if access.lab_roles_of(user) & {Role.TECHNICIAN, Role.PHYSICIST}:
        needs |= Q(state__in=(QueryState.DRAFT, QueryState.SITE_RESPONDED))
    needs |= Q(state__in=WITH_SITE, submission__site_id__in=access.site_ids_of(user))
    return queries_visible_to(user).filter(needs)


# --- drifts ----------------------------------------------------------------------------------


def drifts_visible_to(user: User) -> QuerySet[Drift]:
    """Return where scans and the register differ: all for the lab, those of its own scanners for a site."""
    drifts = Drift.objects.select_related("scanner__site", "reconstruction", "submission", "closed_by")
    if access.sees_everything(user):
        return drifts
    return drifts.filter(scanner__site_id__in=access.site_ids_of(user))


def drift_for(user: User, pk: int) -> Drift:
    """Return one difference, or raise NotFound."""
    drift = drifts_visible_to(user).filter(pk=pk).first()
    if drift is None:
        raise NotFound("There is nothing here, or it is not yours to see.")
    return drift


# --- dose calibrators ------------------------------------------------------------------------


def checked_calibrators_visible_to(user: User) -> QuerySet[DoseCalibrator]:
    """Return the dose calibrators whose checks a person sees: those of one's sites, all for the lab; none for a trial.

    Each carries ``last_read_at``, the time of its last reading that stands.
    """
    seen = registry.calibrators_visible_to(user)
    if not access.sees_everything(user):
        seen = seen.filter(site_id__in=access.site_ids_of(user))
    stands = Q(sources__readings__withdrawn_at__isnull=True)
    return seen.annotate(last_read_at=Max("sources__readings__read_at", filter=stands))


def checked_calibrator_for(user: User, pk: int) -> DoseCalibrator:
    """Return one dose calibrator whose checks a person sees, or raise NotFound."""
    calibrator = checked_calibrators_visible_to(user).filter(pk=pk).first()
    if calibrator is None:
        raise NotFound("There is nothing here, or it is not yours to see.")
    return calibrator


def reference_sources_visible_to(user: User) -> QuerySet[ReferenceSource]:
    """Return the reference sources of the dose calibrators whose checks a person sees, the latest first."""
    mine = checked_calibrators_visible_to(user).values("pk")
    return ReferenceSource.objects.filter(calibrator__in=mine).select_related("calibrator__site", "added_by")


def reference_source_for(user: User, pk: int) -> ReferenceSource:
    """Return one reference source, or raise NotFound."""
    source = reference_sources_visible_to(user).filter(pk=pk).first()
    if source is None:
        raise NotFound("There is nothing here, or it is not yours to see.")
    return source


def readings_visible_to(user: User) -> QuerySet[CalibratorReading]:
    """Return the readings of the dose calibrators a person sees, withdrawn ones too, the latest first."""
    mine = checked_calibrators_visible_to(user).values("pk")
    found = CalibratorReading.objects.filter(source__calibrator__in=mine)
    return found.select_related("source__calibrator__site", "entered_by")


def reading_for(user: User, pk: int) -> CalibratorReading:
    """Return one reading, or raise NotFound."""
    reading = readings_visible_to(user).filter(pk=pk).first()
    if reading is None:
        raise NotFound("There is nothing here, or it is not yours to see.")
    return reading


# --- protocols -------------------------------------------------------------------------------


def protocols_visible_to(user: User) -> QuerySet[ProtocolVersion]:
    """Return the protocols of the person's trials: the lab sees drafts too, others what was published."""
    protocols = ProtocolVersion.objects.select_related("trial", "made_by").order_by("trial__code", "-version")
    if access.sees_everything(user):
        return protocols
    return protocols.filter(published_at__isnull=False, trial__in=registry.trials_visible_to(user))


def writes_protocols(user: User) -> bool:
    """Say whether the person writes protocols."""
    return Role.PHYSICIST in access.lab_roles_of(user)


def protocol_for(user: User, code: str, version: int) -> ProtocolVersion:
    """Return one version of a trial's protocol, or raise NotFound."""
    protocol = protocols_visible_to(user).filter(trial__code=code, version=version).first()
    if protocol is None:
        raise NotFound("There is nothing here, or it is not yours to see.")
    return protocol


def protocol_in_force(trial: Trial, day: date) -> ProtocolVersion | None:
    """Return the published version with the latest first day that is not after this one, or None."""
    published = ProtocolVersion.objects.filter(trial=trial, published_at__isnull=False, effective_on__lte=day)
    return published.order_by("-effective_on", "-version").first()
