"""Every list page with few and with many submissions: its queries, and the server's time."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from itertools import product
from pathlib import Path
from random import Random
from time import perf_counter
from typing import Any

from django.conf import settings
from django.core.management import call_command
from django.db import connection, transaction
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from accreditation.models import Case
from accreditation.workflow import CaseState as C
from bench.rows import Row, at_most, ms
from corelab import audit, services
from corelab.embedded import collect_static_files
from corelab.models import (
    AuditHead,
    DoseCalibrator,
    Membership,
    ReconstructionProfile,
    Role,
    Scanner,
    Site,
    Trial,
    User,
)
from corelab.models.work import WorkState
from qc.models import Query, Run, Submission
from qc.states import QueryState as Q
from qc.states import SubmissionState as S

FEW = 200
MANY = {"smoke": 1_000, "normal": 20_000, "full": 20_000}
SITES, SCANNERS_PER_SITE, TRIALS = 10, 2, 4
#: What a lab's submissions stand at after a while: most are signed, some wait, few are at work.
STATES = {
    S.RELEASED: 84,
    S.AWAITING_REVIEW: 4,
    S.IN_REVIEW: 1,
    S.HELD: 2,
    S.ANALYSING: 1,
    S.DRAFT: 2,
    S.WITHDRAWN: 2,
    S.REPLACED: 2,
    S.PREVIEWED: 2,
}
QUERY_STATES = {Q.DRAFT: 5, Q.OPEN: 10, Q.SITE_RESPONDED: 5, Q.CLOSED: 80}
CASE_STATES = (C.ANALYSIS_RUNNING, C.PHYSICIST_REVIEW, C.PASS_RECOMMENDED, C.ACCREDITED, C.SUSPENDED)
MEASURED = {S.RELEASED, S.AWAITING_REVIEW, S.IN_REVIEW, S.PREVIEWED}
RULES = ("TIM-01", "INJ-03", "PAT-01", "PREP-01", "REC-04", "REC-08", "ACQ-03")
VERDICTS = ("PASS", "PASS", "PASS", "WARN", "FAIL", "NOT_EVALUABLE")
#: As large as a phantom's result is, so that a list which reads it shows.
RESULT = {"measurements": [{"name": f"number_{k}", "value": 0.5, "source": "x" * 80} for k in range(60)]}

#: (who, address, query): lists, and the homes and panels that show some of a list.
PAGES: Sequence[tuple[str, str, Sequence[Any], str]] = (
    ("site user", "corelab:home-show", (), ""),
    ("site user", "qc:submission-list", (), ""),
    ("site user", "qc:submission-start", (), ""),
    ("site user", "corelab:site-detail", ("site-0",), ""),
    ("site user", "accreditation:case-list", (), ""),
    ("site user", "qc:query-list", (), ""),
    ("physicist", "corelab:work-list", (), ""),
    ("physicist", "corelab:work-list", (), "view=open"),
    ("physicist", "corelab:work-list", (), "view=released"),
    ("physicist", "corelab:work-list", (), "view=open&page=2"),
    ("physicist", "corelab:work-news", (), ""),
    ("physicist", "qc:submission-list", (), ""),
    ("physicist", "qc:submission-list", (), "state=open&kind=nema_iq"),
    ("physicist", "qc:submission-list", (), "page=4"),
    ("physicist", "accreditation:case-list", (), ""),
    ("physicist", "qc:query-list", (), ""),
    ("physicist", "qc:protocol-list", (), ""),
    ("physicist", "corelab:search-show", (), "q=site"),
    ("physicist", "corelab:scanner-detail", (1,), ""),
    ("physicist", "corelab:site-list", (), ""),
    ("trial manager", "corelab:home-show", (), ""),
    ("trial manager", "corelab:trial-detail", ("TRIAL-0",), ""),
    ("trial manager", "qc:trial-scan-list", ("TRIAL-0",), "show=deviating"),
    ("trial manager", "qc:submission-list", (), ""),
    ("administrator", "corelab:home-show", (), ""),
    ("administrator", "corelab:trial-list", (), ""),
    ("administrator", "corelab:person-list", (), ""),
    ("auditor", "corelab:audit-list", (), ""),
)


class Lab:
    """A lab of some size: people by role, a register, and as many submissions as are asked for."""

    def __init__(self) -> None:
        self.dice = Random(1)
        AuditHead.objects.get_or_create(pk=1)
        self.sites = [Site.objects.create(code=f"site-{k}", name=f"Site {k}") for k in range(SITES)]
        for site in self.sites:
            DoseCalibrator.objects.create(site=site, manufacturer="Digital", model="Well", serial=site.code)
        self.scanners = [
            Scanner.objects.create(site=site, manufacturer="Digital", model="PET", serial=f"{site.pk}-{k}")
            for site in self.sites
            for k in range(SCANNERS_PER_SITE)
        ]
        for scanner in self.scanners:
            ReconstructionProfile.objects.create(scanner=scanner, name="OSEM 3i24s", method="OSEM3D 3i24s")
        self.trials = [Trial.objects.create(code=f"TRIAL-{k}", title=f"Trial {k}") for k in range(TRIALS)]
        for trial in self.trials:
            trial.sites.set(self.sites)
        self.people = {
            str(Role(role).label).lower(): self._person(role, **where)
            for role, where in (
                (Role.SITE_USER, {"site": self.sites[0]}),
                (Role.PHYSICIST, {}),
                (Role.TRIAL_MANAGER, {"trial": self.trials[0]}),
                (Role.ADMINISTRATOR, {}),
                (Role.AUDITOR, {}),
            )
        }
        self.count = 0

    def _person(self, role: str, **where: Any) -> User:
        label = str(Role(role).label)
        person = User(email=f"{label.lower().replace(' ', '-')}@example.org", name=f"{label} 1")
        person.set_unusable_password()
        person.save()
        Membership.objects.create(user=person, role=role, from_on=date(2020, 1, 1), **where)
        return person

    def grow(self, count: int) -> None:
        """Let the lab have this many submissions, and one audited act for every ten of them."""
        submissions, runs = [], []
        for number in range(1001 + self.count, 1001 + count):
            submission = self._submission(number)
            submissions.append(submission)
            if submission.state in MEASURED:
                runs.append(self._run(submission))
        with transaction.atomic():
            Submission.objects.bulk_create(submissions, batch_size=500)
            Run.objects.bulk_create(runs, batch_size=500)
            for run in runs:
                run.submission.current_run = run
            Submission.objects.bulk_update([run.submission for run in runs], ["current_run"], batch_size=500)
            Query.objects.bulk_create(map(self._query, runs[::20]), batch_size=500)
            Case.objects.bulk_create(self._cases(count), ignore_conflicts=True)
        administrator = self.people["administrator"]
        with audit.acting(administrator, role="Administrator"), transaction.atomic():
            for one in submissions[::10]:
                services.site_edit(actor=administrator, site=one.scanner.site, city=f"Town {one.number}")
        self.count = count

    def _submission(self, number: int) -> Submission:
        scanner = self.dice.choice(self.scanners)
        (state,) = self.dice.choices(list(STATES), list(STATES.values()))
        kind = self.dice.choice(("cylinder", "nema_iq", "patient"))
        is_patient, is_measured = kind == "patient", state in MEASURED
        sent_at = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(minutes=number)
        verdict = self.dice.choice(VERDICTS)
        return Submission(
            number=number,
            site_id=scanner.site_id,
            scanner=scanner,
            kind=kind,
            trial=self.dice.choice(self.trials) if is_patient else None,
            subject_code=f"SUBJ-{number}" if is_patient else "",
            state=state,
            is_dry_run=state == S.PREVIEWED,
            sheet={"entry": {"typed": {"cylinder-volume": "6283.2"}}},
            created_by=self.people["site user"],
            sent_by=None if state == S.DRAFT else self.people["site user"],
            sent_at=None if state == S.DRAFT else sent_at,
            due_on=None if state == S.DRAFT else sent_at.date() + timedelta(days=14),
            released_at=sent_at if state == S.RELEASED else None,
            proposed_verdict=verdict if is_measured else "",
            headline=f"{verdict.title()} – as measured" if is_measured else "",
            verdict=verdict if state == S.RELEASED else "",
            raised={} if verdict == "PASS" else {self.dice.choice(RULES): verdict},
            uptake_min=self.dice.gauss(63, 6) if is_patient and is_measured else None,
            reviewer=self.people["physicist"] if state in {S.IN_REVIEW, S.RELEASED} else None,
            work_state=WorkState.DONE,
        )

    def _query(self, run: Run) -> Query:
        """Return a question about a scan, as every twentieth has one; most are settled."""
        (state,) = self.dice.choices(list(QUERY_STATES), list(QUERY_STATES.values()))
        asked_at = None if state == Q.DRAFT else run.submission.sent_at
        return Query(
            number=run.number,
            submission=run.submission,
            run=run,
            state=state,
            title="Injection time",
            text="When was it injected?",
            asked_at=asked_at,
            due_on=run.submission.due_on if asked_at else None,
        )

    def _cases(self, count: int) -> list[Case]:
        """Return a case for each scanner and standard, and one for the first trial; with many submissions for each."""
        # Something of every kind is there from the start: a question about nothing is not asked.
        trials = [None, *self.trials] if count > FEW else [None, self.trials[0]]
        scopes = product(self.scanners, ("earl1_18f", "earl2_18f"), trials)
        return [
            Case(
                number=1001 + k,
                scanner=scanner,
                reconstruction=scanner.reconstructions.all()[0],
                standard=standard,
                trial=trial,
                programme="earl@1",
                state=self.dice.choice(CASE_STATES),
                applied_at=datetime(2026, 1, 1, tzinfo=UTC),
                valid_from=date(2026, 1, 1),
                valid_until=date(2099, 12, 31),
                created_by=self.people["site user"],
            )
            for k, (scanner, standard, trial) in enumerate(scopes)
        ]

    def _run(self, submission: Submission) -> Run:
        return Run(
            number=submission.number,
            submission=submission,
            method=submission.kind,
            method_version=1,
            input_digest="sha256:" + "0a" * 32,
            parameters_digest="b" * 64,
            program_digest="c" * 64,
            result=RESULT,
            verdict=submission.proposed_verdict,
            headline=submission.headline,
            work_state=WorkState.DONE,
        )


#: What the slowest list page may take, 95 of 100 times, with the most submissions.
LIMIT_MS = 150


def seen(browser: Client, address: str, repeats: int) -> tuple[int, float]:
    """Return the queries of a page and the 95th percentile of the server's times, seconds."""
    browser.get(address)  # the first press of a minute writes the session
    times = []
    for _ in range(repeats):
        with CaptureQueriesContext(connection) as queries:
            started = perf_counter()
            answer = browser.get(address)
            times.append(perf_counter() - started)
        assert answer.status_code == 200, f"{address} answers {answer.status_code}"
    return len(queries), sorted(times)[int(0.95 * (repeats - 1) + 0.5)]


def measure(mode: str, folder: Path) -> list[Row]:
    """Return one row a page."""
    Path(settings.VAR_DIR).mkdir()
    call_command("migrate", interactive=False, verbosity=0)
    collect_static_files()  # so that pages are rendered with the names that are served
    lab = Lab()
    browsers = {who: Client(SERVER_NAME="localhost") for who in lab.people}
    for who, browser in browsers.items():
        browser.force_login(lab.people[who])
    repeats = 1 if mode == "smoke" else 20
    found: list[list[tuple[int, float]]] = []
    for count in (FEW, MANY[mode]):
        lab.grow(count)
        found.append(
            [
                seen(browsers[who], f"{reverse(name, args=arguments)}?{query}", repeats)
                for who, name, arguments, query in PAGES
            ]
        )
    slowest = max(range(len(PAGES)), key=lambda k: found[1][k][1])
    who, name, _, query = PAGES[slowest]
    rows = [
        at_most(
            f"slowest list page with {MANY[mode]:,} submissions, p95",
            1000 * found[1][slowest][1],
            LIMIT_MS,
            "ms",
            is_timed=True,
            beside=f"{name.partition(':')[2]}{'?' if query else ''}{query}, {who}",
        )
    ]
    for (who, name, _, query), (few, few_s), (many, many_s) in zip(PAGES, *found, strict=True):
        page = f"{name.partition(':')[2]}{'?' if query else ''}{query}"
        figure = f"{few} queries" if few == many else f"{few}, then {many} queries"
        beside = f"{ms(few_s)} with {FEW}, {ms(many_s)} with {MANY[mode]:,} submissions"
        rows.append(Row(f"list {page}, {who}", figure, "constant", few == many, beside=beside))
    return rows
