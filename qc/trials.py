"""Where a trial stands: whose business that is, its scans counted, and what its report is made from.

Everything a person causes starts at `trials_readable_by`; the rest reads one trial, for a page or for a job.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db.models import Case, Count, F, Max, Min, Q, QuerySet, Value, When

from corelab import access
from corelab.errors import NotFound
from corelab.models import Clearance, Scanner, Trial, User
from corelab.models.work import WorkState
from phantoms.results import Outcome
from qc.models import ProtocolVersion, Query, Submission, TrialReport
from qc.models.submissions import Kind
from qc.reports import trial as report
from qc.states import WITH_SITE, QueryState
from qc.states import SubmissionState as S
from qc.tally import Tally

#: A scan in these was accepted for measuring.
RECEIVED = (S.SENT, S.ANALYSING, S.AWAITING_REVIEW, S.IN_REVIEW, S.HELD, S.RELEASED)
#: A question in these waits for the site or for the lab.
OPEN_QUERY = (QueryState.OPEN, QueryState.SITE_RESPONDED, QueryState.REOPENED)
#: Reports that a page offers; older ones are kept, and found again by the same data.
OFFERED = 5
#: How often a page asks how far a report is, seconds, by how often it asked already.
POLL_EVERY_S = ((15, 2), (50, 5), (10**9, 15))
#: Scans that are read at once.
CHUNK = 100


# --- whose business it is -------------------------------------------------------------------


def trials_readable_by(user: User) -> QuerySet[Trial]:
    """Return the trials whose standing and reports the person may read: the lab all, a manager or monitor their own."""
    if access.sees_everything(user):
        return Trial.objects.all()
    return Trial.objects.filter(pk__in=access.trial_ids_of(user))


def trial_for(user: User, code: str) -> Trial:
    """Return one trial whose standing the person may read, or raise NotFound."""
    trial = trials_readable_by(user).filter(code=code).first()
    if trial is None:
        raise NotFound("There is nothing here, or it is not yours to see.")
    return trial


def may_read(user: User, trial: Trial) -> bool:
    """Say whether the person may read where this trial stands."""
    return access.sees_everything(user) or trial.pk in access.trial_ids_of(user)


def may_request(user: User) -> bool:
    """Say whether the person may have a report made: who only oversees changes nothing."""
    return access.is_lab_staff(user) or bool(access.trial_ids_of(user))


def trial_reports_visible_to(user: User) -> QuerySet[TrialReport]:
    """Return the reports of the trials that the person may read, newest first."""
    return TrialReport.objects.filter(trial__in=trials_readable_by(user)).select_related(
        "trial", "pdf", "csv", "deviations_csv"
    )


def trial_report_for(user: User, pk: UUID) -> TrialReport:
    """Return one report, or raise NotFound."""
    found = trial_reports_visible_to(user).filter(pk=pk).first()
    if found is None:
        raise NotFound("There is nothing here, or it is not yours to see.")
    return found


def is_made(made: TrialReport) -> bool:
    """Say whether a report can be downloaded."""
    return made.work_state == WorkState.DONE


@dataclass(frozen=True, kw_only=True)
class Downloads:
    """The reports of a trial that a page offers, newest first.

    ``asked`` is how often the page has asked with this answer, ``every_s`` how soon it asks again while one is being
    made, ``says`` what is spoken once none is any more.
    """

    trial: Trial
    reports: Sequence[TrialReport]
    may_request: bool
    is_running: bool
    asked: int
    every_s: int
    says: str


def downloads_of(user: User, trial: Trial, *, asked: int = 0) -> Downloads:
    """Return the reports of a trial for a page that has asked so often already; one query."""
    reports = list(trial_reports_visible_to(user).filter(trial=trial)[:OFFERED])
    is_running = any(one.work_state in {WorkState.QUEUED, WorkState.RUNNING} for one in reports)
    newest = max(reports, key=lambda one: one.finished_at or one.created_at, default=None)
    ended = "" if newest is None else "The report is made." if is_made(newest) else "The report was not made."
    return Downloads(
        trial=trial,
        reports=reports,
        may_request=may_request(user),
        is_running=is_running,
        asked=asked + 1,
        every_s=next(every_s for until, every_s in POLL_EVERY_S if asked < until),
        says=ended if asked and not is_running else "",
    )


# --- the scans that count -------------------------------------------------------------------


def scans_of(trials: Iterable[Trial]) -> QuerySet[Submission]:
    """Return the patient scans that count for some trials: each acquisition once.

    Where a scan was sent again in answer to a query, the one that was signed last stands for it; until then the first.
    """
    # Two small sets that are made once: asked of each scan in turn they would cost its square.
    asked = Query.objects.filter(submission__trial__in=trials)
    sent_again = asked.filter(resubmissions__state=S.RELEASED, resubmissions__is_dry_run=False)
    standing = asked.filter(submission__state__in=RECEIVED)
    rows = Submission.objects.filter(trial__in=trials, kind=Kind.PATIENT, is_dry_run=False, state__in=RECEIVED)
    rows = rows.exclude(pk__in=sent_again.order_by().values("submission_id"))
    return rows.exclude(~Q(state=S.RELEASED) & Q(answers__in=standing.order_by().values("pk")))


def repeats_of(trials: Iterable[Trial]) -> QuerySet[Submission, tuple[int, str, str, int]]:
    """Return trial, subject, visit and number of scans wherever more than one scan of a named visit counts.

    Nothing says which of them stands, so all are counted; people are told, and decide.
    """
    named = scans_of(trials).exclude(visit="").exclude(subject_code="")
    rows = named.values_list("trial_id", "subject_code", "visit").annotate(times=Count("pk")).filter(times__gt=1)
    return rows.order_by("subject_code", "visit")


@dataclass(frozen=True, kw_only=True)
class Standing:
    """Where a trial stands now. Scanners are told apart by their key; a late query was to be answered before today."""

    tally: Tally[int]
    repeats: list[report.Repeat]
    open_queries: Counter[int]
    late_queries: Counter[int]
    oldest_asked_at: datetime | None
    protocol: ProtocolVersion | None

    @property
    def band(self) -> tuple[float, float] | None:
        """What the protocol accepts as uptake, minutes."""
        return uptake_band(self.protocol.document) if self.protocol else None


def standings(
    trials: Iterable[Trial], *, today: date, protocols: Iterable[ProtocolVersion] | None = None
) -> dict[int, Standing]:
    """Count some trials' scans, by the key of the trial; three queries however many there are.

    The scans are read once, row by row; of 5,000 that takes as long as asking for each count in groups.

    Parameters
    ----------
    protocols : iterable of ProtocolVersion, optional
        The published versions of these trials with their documents, where the caller has read them already.
    """
    wanted = list(trials)
    tallies: dict[int, Tally[int]] = {trial.pk: Tally() for trial in wanted}
    times_of: Counter[tuple[int, int, str, str]] = Counter()
    visits: Counter[tuple[int, str, str]] = Counter()
    for trial_id, scanner_id, standard, verdict, uptake_min, raised, subject, visit in _counted(wanted):
        times_of[trial_id, scanner_id, standard, verdict] += 1
        if subject and visit:
            visits[trial_id, subject, visit] += 1
        if verdict:
            tallies[trial_id].add_causes(scanner_id, verdict, raised)
            tallies[trial_id].add_uptake(uptake_min)
    for (trial_id, scanner_id, standard, verdict), times in times_of.items():
        tallies[trial_id].add(scanner_id, standard, verdict, times)
    repeats: dict[int, list[report.Repeat]] = {trial.pk: [] for trial in wanted}
    for (trial_id, subject, visit), times in sorted(visits.items()):
        if times > 1:
            repeats[trial_id].append(report.Repeat(subject=subject, visit=visit, times=times))
    asked: dict[int, Counter[int]] = {trial.pk: Counter() for trial in wanted}
    oldest: dict[int, datetime] = {}
    late: dict[int, Counter[int]] = {trial.pk: Counter() for trial in wanted}
    is_late = Q(due_on__lt=today, state__in=WITH_SITE)
    queries = open_queries_of(wanted).values_list("submission__trial_id", "submission__scanner_id").order_by()
    for trial_id, scanner_id, times, first, overdue in queries.annotate(
        times=Count("pk"), first=Min("asked_at"), overdue=Count("pk", filter=is_late)
    ):
        asked[trial_id][scanner_id] += times
        late[trial_id][scanner_id] += overdue
        oldest[trial_id] = min(oldest.get(trial_id, first), first)
    in_force: dict[int, ProtocolVersion] = {}
    published = published_of(wanted) if protocols is None else protocols
    begun = (one for one in published if one.effective_on <= today)
    for protocol in sorted(begun, key=lambda one: (one.effective_on, one.version)):
        in_force[protocol.trial_id] = protocol
    return {
        pk: Standing(
            tally=tally,
            repeats=repeats[pk],
            open_queries=asked[pk],
            late_queries=late[pk],
            oldest_asked_at=oldest.get(pk),
            protocol=in_force.get(pk),
        )
        for pk, tally in tallies.items()
    }


def _counted(trials: list[Trial]) -> QuerySet[Submission, tuple[int, int, str, str, float | None, Any, str, str]]:
    """Return of each scan that counts what it is counted by; verdict, uptake and causes of what is signed only."""
    signed = Q(state=S.RELEASED)
    rows = scans_of(trials).annotate(
        signed_verdict=Case(When(signed, then=F("verdict")), default=Value("")),
        signed_uptake=Case(When(signed, then=F("uptake_min"))),
        causes=Case(When(signed & ~Q(verdict=Outcome.PASS), then=F("raised"))),
    )
    by_what = ("scanner_id", "standard", "signed_verdict", "signed_uptake", "causes", "subject_code", "visit")
    return rows.order_by().values_list("trial_id", *by_what)


def open_queries_of(trials: Iterable[Trial]) -> QuerySet[Query]:
    """Return the questions about scans of some trials that are asked and not closed."""
    return Query.objects.filter(
        submission__trial__in=trials, submission__kind=Kind.PATIENT, submission__is_dry_run=False, state__in=OPEN_QUERY
    )


def published_of(trials: Iterable[Trial]) -> QuerySet[ProtocolVersion]:
    """Return the published versions of some trials' protocols."""
    return ProtocolVersion.objects.filter(trial__in=trials, published_at__isnull=False)


def uptake_band(document: Mapping[str, Any]) -> tuple[float, float] | None:
    """Return what a protocol accepts as uptake, minutes; None where it leaves an end open."""
    limit = document.get("limits", {}).get("uptake_min") or {}
    low, high = limit.get("low"), limit.get("high")
    return (low, high) if low is not None and high is not None else None


# --- what a report is made from -------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Made:
    """What a report would be made from now: its digest, the newest change in it, how many scans are signed."""

    digest: str
    as_of: datetime
    signed: int


#: Columns of a scan that stand in the report or say what does; the run's digest stands for its whole result.
_SCAN_DIGESTED = (
    "number", "site__name", "site__time_zone", "scanner_id", "scanner__model", "scanner__serial",
    "reconstruction__name", "standard", "subject_code", "visit", "scanned_at", "released_at", "verdict", "raised",
    "current_run__number", "current_run__result_digest", "current_run__review__difference_reason",
)  # fmt: skip


def made_from(trial: Trial) -> Made:
    """Return what the trial's report would be made from now; reads no result, in flat memory.

    The digest covers every word of the report, so the same digest gives the same bytes.
    """
    digest, signed = hashlib.sha256(), 0
    sent_at, gone_at = _newest(trial)
    moments = [trial.created_at, sent_at, gone_at]

    def feed(kind: str, row: Iterable[Any]) -> None:
        text = json.dumps([kind, *row], ensure_ascii=False, default=str, sort_keys=True)
        digest.update(text.encode() + b"\n")

    feed("report", (report.VERSION, settings.SITE_NAME, trial.code, trial.title))
    for row in scanners_of(trial).values_list("pk", "site__name", "model", "serial"):
        feed("scanner", row)
    scans = scans_of([trial])
    for row in scans.filter(state=S.RELEASED).order_by("number").values_list(*_SCAN_DIGESTED).iterator(CHUNK):
        feed("scan", row)
        moments.append(row[_SCAN_DIGESTED.index("released_at")])
        signed += 1
    for row in _waiting(scans):
        feed("waiting", row)
    for row in repeats_of([trial]):
        feed("repeat", row)
    for query in _open_queries(trial):
        moments += [query.asked_at, query.answered_at]
        feed("query", (query.number, query.submission.number, query.title, query.state, query.asked_at, query.due_on))
    moments.append(_queries(trial).aggregate(last=Max("closed_at"))["last"])
    for one in _clearances(trial):
        moments += [one.created_at, datetime.combine(one.ended_on, time.min, UTC) if one.ended_on else None]
        feed("clearance", (one.pk, one.certificate_number, one.standard, one.from_on, one.last_day, one.ending))
    for protocol in published_of([trial]):
        moments.append(protocol.published_at)
        feed("protocol", (protocol.version, protocol.digest, protocol.effective_on))
    as_of = max(moment for moment in moments if moment is not None)
    feed("as of", (as_of,))
    return Made(digest=digest.hexdigest(), as_of=as_of, signed=signed)


def facts_of(trial: Trial, made: Made) -> report.TrialFacts:
    """Return what the report says of a trial beside its signed scans."""
    scanners = {scanner.pk: scanner for scanner in scanners_of(trial)}
    places = {pk: report.Place(site=one.site.name, scanner=str(one)) for pk, one in scanners.items()}
    waiting = {places[scanner_id]: times for scanner_id, times in _waiting(scans_of([trial]))}
    return report.TrialFacts(
        lab_name=settings.SITE_NAME,
        code=trial.code,
        title=trial.title,
        places=list(places.values()),
        waiting=waiting,
        repeats=[report.Repeat(subject=row[1], visit=row[2], times=row[3]) for row in repeats_of([trial])],
        queries=[
            report.QueryRow(
                number=query.short_number,
                submission=query.submission.short_number,
                place=places[query.submission.scanner_id],
                title=query.title,
                state=query.state,
                asked_on=query.asked_at.date(),
                due_on=query.due_on,
            )
            for query in _open_queries(trial)
        ],
        clearances=[
            report.ClearanceRow(
                place=places[one.scanner_id],
                reconstruction=one.reconstruction.name,
                certificate=one.certificate_number,
                standard=one.standard,
                is_general=one.trial_id is None,
                from_on=one.from_on,
                last_day=one.last_day,
                ending=one.ending,
            )
            for one in _clearances(trial)
        ],
        protocols=[
            report.ProtocolRow(
                version=one.version,
                effective_on=one.effective_on,
                digest=one.digest,
                uptake_band_min=uptake_band(one.document),
            )
            for one in published_of([trial])
        ],
        as_of=made.as_of,
        digest=made.digest,
    )


def signed_scans(trial: Trial) -> Iterator[report.ScanRow]:
    """Yield the signed scans of a trial in their order, in flat memory: of each result only what the report needs.

    No cursor stays open between them: SQLite refuses a write of a connection that reads from an older state.
    """
    # The keys are read first: sorting whole rows would carry every result through the sort.
    keys = list(scans_of([trial]).filter(state=S.RELEASED).order_by("number").values_list("pk", flat=True))
    rows = (
        Submission.objects.select_related("site", "scanner", "reconstruction")
        .defer("sheet", "check_findings", "comment")
        .annotate(
            run_number=F("current_run__number"),
            run_digest=F("current_run__result_digest"),
            run_conformance=F("current_run__result__conformance"),
            run_findings=F("current_run__result__findings"),
            reason=F("current_run__review__difference_reason"),
        )
    )
    for at in range(0, len(keys), CHUNK):
        chunk = rows.filter(pk__in=keys[at : at + CHUNK]).order_by("number")
        yield from map(_scan_row, list(chunk))


def _scan_row(row: Any) -> report.ScanRow:
    conformance = row.run_conformance or {}
    zone = row.site.zone
    return report.ScanRow(
        number=row.short_number,
        place=report.Place(site=row.site.name, scanner=str(row.scanner)),
        reconstruction=str(row.reconstruction or ""),
        standard=row.standard,
        subject=row.subject_code,
        visit=row.visit,
        scanned_on=row.scanned_at.astimezone(zone).date() if row.scanned_at else None,
        released_on=row.released_at.astimezone(zone).date() if row.released_at else None,
        verdict=row.verdict,
        reason=row.reason or "",
        raised=row.raised,
        run=f"R-{row.run_number}",
        result_digest=row.run_digest,
        protocol_version=(conformance.get("protocol") or {}).get("version"),
        values=conformance.get("values") or {},
        findings=row.run_findings or [],
    )


def scanners_of(trial: Trial) -> QuerySet[Scanner]:
    """Return the scanners of the sites that take part, and those that sent a scan of the trial, in one order."""
    sent = Submission.objects.filter(trial=trial, kind=Kind.PATIENT, is_dry_run=False, state__in=RECEIVED)
    asked = _open_queries(trial).order_by().values("submission__scanner_id")
    in_use = Q(site__in=trial.sites.all(), is_active=True)
    rows = Scanner.objects.filter(in_use | Q(pk__in=sent.order_by().values("scanner_id")) | Q(pk__in=asked))
    return rows.select_related("site").order_by("site__name", "model", "serial")


def _waiting(scans: QuerySet[Submission]) -> QuerySet[Submission, tuple[int, int]]:
    rows = scans.exclude(state=S.RELEASED).values_list("scanner_id").annotate(times=Count("pk"))
    return rows.order_by("scanner_id")


def _queries(trial: Trial) -> QuerySet[Query]:
    return Query.objects.filter(submission__trial=trial, submission__is_dry_run=False)


def _open_queries(trial: Trial) -> QuerySet[Query]:
    return open_queries_of([trial]).select_related("submission").order_by("number")


def _clearances(trial: Trial) -> QuerySet[Clearance]:
    rows = Clearance.objects.filter(Q(trial=trial) | Q(trial=None), scanner__in=scanners_of(trial).order_by())
    order = ("scanner__site__name", "scanner__model", "scanner__serial", "reconstruction__name", "from_on", "pk")
    return rows.select_related("reconstruction").order_by(*order)


def _newest(trial: Trial) -> tuple[datetime | None, datetime | None]:
    """Return when a scan was last sent, and when one that was sent was last withdrawn or replaced."""
    gone = Q(state__in=(S.WITHDRAWN, S.REPLACED))
    found = Submission.objects.filter(
        trial=trial, kind=Kind.PATIENT, is_dry_run=False, sent_at__isnull=False
    ).aggregate(sent=Max("sent_at", filter=~Q(state=S.CHECKING)), gone=Max("changed_at", filter=gone))
    return found["sent"], found["gone"]
