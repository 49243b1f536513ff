"""Every named URL × every role × two sites and two trials: who gets in, and that strangers see nothing.

A URL without a row fails the walk. Absent and forbidden are the same 404, so one expectation serves both; a person
who is not signed in is sent to the sign-in page, whatever the address.
"""

from __future__ import annotations

import datetime
from base64 import b64encode
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest
from django.core.signals import request_finished
from django.db import close_old_connections, transaction
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver, reverse
from django.utils import timezone

from accreditation.models import Case, Certificate, Decision
from accreditation.selectors import scope_of
from corelab import audit, services, storage
from corelab.models import Membership, Role, Signature, User
from phantoms.figure_svg import FigureSvg
from phantoms.nuclides import NUCLIDES
from qc import protocols
from qc.models import Drift, Figure, ProtocolVersion, Query, Report, Review, Run, Submission, TrialReport, Upload
from qc.states import SubmissionState as S
from tests import factories

pytestmark = pytest.mark.django_db

SITE = {"site_a"}
OTHER_SITE = {"site_b"}
TECHNICIAN, PHYSICIST, APPROVER = {"technician"}, {"physicist"}, {"approver"}
LAB = TECHNICIAN | PHYSICIST | APPROVER
AUDITOR, ADMINISTRATOR = {"auditor"}, {"administrator"}
OVERSIGHT = AUDITOR | ADMINISTRATOR
TRIAL = {"manager_1", "monitor_1"}
OTHER_TRIAL = {"manager_2", "monitor_2"}
NO_ROLE = {"nobody", "ended"}
SIGNED_IN = SITE | OTHER_SITE | LAB | OVERSIGHT | TRIAL | OTHER_TRIAL | NO_ROLE
STAFF_VIEW = LAB | OVERSIGHT
ANYBODY = SIGNED_IN | {"anonymous"}
NONE: set[str] = set()

#: Words that stand on pages of site A and trial 1 alone; a stranger's page that shows one has leaked.
SECRETS = ("Site Alpha", "SERIAL-ALPHA", "alpha-trial", "SUBJ-ALPHA")


def no_args(world: SimpleNamespace) -> list[Any]:
    return []


@dataclass(frozen=True)
class Row:
    """One URL: how to call it, and who gets in."""

    allowed: set[str]
    args: Callable[[SimpleNamespace], list[Any]] = no_args
    method: str = "get"
    data: dict[str, Any] = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)
    signed_out: str = "login"  # or "open"
    secrets: tuple[str, ...] = SECRETS


def draft(w: SimpleNamespace) -> list[Any]:
    return [w.draft.number]


def waiting(w: SimpleNamespace) -> list[Any]:
    return [w.waiting.number]


def in_review(w: SimpleNamespace) -> list[Any]:
    return [w.in_review.number]


def released(w: SimpleNamespace) -> list[Any]:
    return [w.released.number]


def run(w: SimpleNamespace) -> list[Any]:
    return [w.run.number]


def person(w: SimpleNamespace) -> list[Any]:
    return [w.people["site_b"].pk]


def case(state: str) -> Callable[[SimpleNamespace], list[Any]]:
    return lambda w: [w.cases[state].number]


def certificate(w: SimpleNamespace) -> list[Any]:
    return [w.certificate.number]


REASON = {"reason": "asked by the site"}

ROWS: dict[str, Row] = {
    # --- corelab ---------------------------------------------------------------------------
    "corelab:home-show": Row(SIGNED_IN),
    "corelab:work-list": Row(STAFF_VIEW - OVERSIGHT),
    "corelab:work-news": Row(STAFF_VIEW - OVERSIGHT),
    "corelab:search-show": Row(SIGNED_IN),
    "corelab:help-show": Row(ANYBODY, signed_out="open"),
    "corelab:help-topic": Row(ANYBODY, lambda w: ["verdicts"], signed_out="open"),
    "corelab:site-list": Row(SIGNED_IN),
    "corelab:site-add": Row(ADMINISTRATOR),
    "corelab:site-detail": Row(SITE | STAFF_VIEW | TRIAL, lambda w: [w.site_a.code]),
    "corelab:site-edit": Row(ADMINISTRATOR, lambda w: [w.site_a.code]),
    "corelab:scanner-add": Row(ADMINISTRATOR, lambda w: [w.site_a.code]),
    "corelab:scanner-detail": Row(SITE | STAFF_VIEW | TRIAL, lambda w: [w.scanner_a.pk]),
    "corelab:scanner-edit": Row(ADMINISTRATOR, lambda w: [w.scanner_a.pk]),
    "corelab:reconstruction-add": Row(ADMINISTRATOR, lambda w: [w.scanner_a.pk]),
    "corelab:reconstruction-edit": Row(ADMINISTRATOR, lambda w: [w.scanner_a.reconstructions.get().pk]),
    "corelab:calibrator-add": Row(ADMINISTRATOR, lambda w: [w.site_a.code]),
    "corelab:calibrator-edit": Row(ADMINISTRATOR, lambda w: [w.calibrator_a.pk]),
    "corelab:trial-list": Row(SIGNED_IN),
    "corelab:trial-add": Row(ADMINISTRATOR),
    "corelab:trial-detail": Row(SITE | STAFF_VIEW | TRIAL, lambda w: [w.trial_1.code]),
    "corelab:trial-edit": Row(ADMINISTRATOR, lambda w: [w.trial_1.code]),
    "corelab:person-list": Row(OVERSIGHT),
    "corelab:person-invite": Row(ADMINISTRATOR),
    "corelab:person-detail": Row(OVERSIGHT, person),
    "corelab:person-link": Row(ADMINISTRATOR, person, method="post"),
    "corelab:person-end": Row(ADMINISTRATOR, person),
    "corelab:person-open": Row(ADMINISTRATOR, person),
    "corelab:membership-grant": Row(ADMINISTRATOR, person),
    "corelab:membership-end": Row(ADMINISTRATOR, lambda w: [w.membership.pk]),
    "corelab:invitation-accept": Row(ANYBODY, lambda w: w.invitation, signed_out="open"),
    "corelab:account-edit": Row(SIGNED_IN),
    "corelab:session-stay": Row(SIGNED_IN, method="post"),
    "corelab:audit-list": Row(OVERSIGHT),
    "corelab:audit-verify": Row(OVERSIGHT, method="post"),
    "corelab:audit-export": Row(OVERSIGHT),
    # --- qc --------------------------------------------------------------------------------
    "qc:calibrator-detail": Row(SITE | STAFF_VIEW, lambda w: [w.calibrator_a.pk]),
    "qc:calibrator-chart": Row(SITE | STAFF_VIEW, lambda w: [w.reading.source_id]),
    "qc:reading-withdraw": Row(SITE | TECHNICIAN | PHYSICIST, lambda w: [w.reading.pk]),
    "qc:submission-start": Row(SITE | OTHER_SITE),
    "qc:submission-place": Row(SITE, draft),
    "qc:submission-sheet": Row(SITE, draft),
    "qc:submission-sheet-print": Row(SITE, draft),
    "qc:submission-files": Row(SITE, draft),
    "qc:submission-file-list": Row(SITE, draft),
    "qc:series-remove": Row(SITE, draft, method="post"),
    "qc:submission-check": Row(SITE, draft),
    "qc:submission-receipt": Row(SITE | STAFF_VIEW | TRIAL, released),
    "qc:upload-create": Row(
        SITE,
        method="post",
        headers={"Tus-Resumable": "1.0.0", "Upload-Length": "4"},
    ),
    "qc:upload-patch": Row(SITE, lambda w: [w.upload.pk], method="head", headers={"Tus-Resumable": "1.0.0"}),
    "qc:submission-list": Row(SIGNED_IN),
    "qc:submission-detail": Row(SITE | STAFF_VIEW | TRIAL, released),
    "qc:submission-progress": Row(SITE | STAFF_VIEW, waiting),
    "qc:submission-withdraw": Row(SITE, waiting, method="post", data=REASON),
    "qc:submission-replace": Row(SITE, waiting, method="post", data=REASON),
    "qc:submission-repeat": Row(TECHNICIAN | PHYSICIST, waiting, method="post", data=REASON),
    "qc:submission-recheck": Row(TECHNICIAN | PHYSICIST, lambda w: [w.held.number], method="post", data=REASON),
    "qc:submission-claim": Row(PHYSICIST, waiting, method="post"),
    "qc:submission-unclaim": Row(PHYSICIST, in_review, method="post"),
    "qc:submission-review": Row(PHYSICIST, in_review),
    "qc:submission-sign": Row(PHYSICIST, in_review),
    "qc:submission-choose": Row(PHYSICIST, in_review),
    "qc:checklist-answer": Row(PHYSICIST, in_review, method="post", data={"item": "rings", "is_seen": "no"}),
    "qc:run-detail": Row(SITE | STAFF_VIEW | TRIAL, run),
    "qc:suv-trace": Row(SITE | STAFF_VIEW | TRIAL, run),
    "qc:standing-show": Row(SIGNED_IN),
    "qc:report-show": Row(SITE | STAFF_VIEW | TRIAL, run),
    "qc:report-download": Row(SITE | STAFF_VIEW | TRIAL, run),
    "qc:report-repeat": Row(TECHNICIAN | PHYSICIST, run),
    "qc:conformance-csv": Row(SITE | STAFF_VIEW | TRIAL, run),
    "qc:figure-show": Row(SITE | STAFF_VIEW | TRIAL, lambda w: [w.run.number, "central_slice"]),
    "qc:query-list": Row(SIGNED_IN),
    "qc:query-detail": Row(SITE | STAFF_VIEW | TRIAL, lambda w: [w.asked.number]),
    "qc:query-ask": Row(TECHNICIAN | PHYSICIST, lambda w: [w.drafted.number], method="post", data={"text": "When?"}),
    "qc:query-drop": Row(TECHNICIAN | PHYSICIST, lambda w: [w.drafted.number], method="post", data=REASON),
    "qc:query-answer": Row(SITE, lambda w: [w.asked.number], method="post", data={"text": "At 09:10."}),
    "qc:query-resubmit": Row(SITE, lambda w: [w.asked.number], method="post"),
    "qc:query-reopen": Row(TECHNICIAN | PHYSICIST, lambda w: [w.answered.number], method="post", data=REASON),
    "qc:query-close": Row(TECHNICIAN | PHYSICIST, lambda w: [w.asked.number], method="post", data=REASON),
    "qc:query-give-up": Row(TECHNICIAN | PHYSICIST, lambda w: [w.asked.number], method="post", data=REASON),
    "qc:protocol-list": Row(SIGNED_IN),
    "qc:protocol-detail": Row(SITE | STAFF_VIEW | TRIAL, lambda w: [w.trial_1.code, 1]),
    "qc:protocol-start": Row(PHYSICIST, lambda w: [w.trial_1.code], method="post", data={"template": "lymphoma"}),
    "qc:protocol-edit": Row(PHYSICIST, lambda w: [w.trial_1.code, 2]),
    "qc:protocol-publish": Row(PHYSICIST, lambda w: [w.trial_1.code, 2]),
    "qc:drift-declare": Row(SITE | TECHNICIAN | PHYSICIST, lambda w: [w.drift.pk]),
    "qc:drift-explain": Row(TECHNICIAN | PHYSICIST, lambda w: [w.drift.pk]),
    "qc:trial-scan-list": Row(STAFF_VIEW | TRIAL, lambda w: [w.trial_1.code]),
    "qc:trial-report-request": Row(LAB | TRIAL, lambda w: [w.trial_1.code], method="post"),
    "qc:trial-download-list": Row(STAFF_VIEW | TRIAL, lambda w: [w.trial_1.code]),
    "qc:trial-report-download": Row(STAFF_VIEW | TRIAL, lambda w: [w.trial_report.pk, "scans.csv"]),
    # --- accreditation ---------------------------------------------------------------------
    "accreditation:case-list": Row(SIGNED_IN),
    "accreditation:case-start": Row(SITE | OTHER_SITE),
    "accreditation:case-detail": Row(SITE | STAFF_VIEW | TRIAL, case("SUBMITTED")),
    "accreditation:case-submit": Row(SITE, case("DRAFT"), method="post"),
    "accreditation:case-receipt": Row(TECHNICIAN | PHYSICIST, case("SUBMITTED"), method="post"),
    "accreditation:case-accept": Row(TECHNICIAN | PHYSICIST, case("RECEIPT_CHECK"), method="post"),
    "accreditation:case-incomplete": Row(TECHNICIAN | PHYSICIST, case("RECEIPT_CHECK"), method="post", data=REASON),
    "accreditation:case-decide": Row(PHYSICIST | APPROVER, case("PHYSICIST_REVIEW")),
    "accreditation:case-sign": Row(PHYSICIST | APPROVER, case("PHYSICIST_REVIEW")),
    "accreditation:case-take": Row(APPROVER, case("PASS_RECOMMENDED"), method="post"),
    "accreditation:case-give-back": Row(APPROVER, case("SECOND_REVIEW"), method="post"),
    "accreditation:case-return": Row(APPROVER, case("SECOND_REVIEW"), method="post", data=REASON),
    "accreditation:case-suspend": Row(PHYSICIST | APPROVER, case("ACCREDITED"), method="post", data=REASON),
    "accreditation:case-reaccredit": Row(SITE | PHYSICIST, case("DUE_SOON"), method="post", data=REASON),
    "accreditation:case-withdraw": Row(SITE | PHYSICIST | APPROVER, case("SUBMITTED"), method="post", data=REASON),
    "accreditation:certificate-detail": Row(SITE | STAFF_VIEW | TRIAL, certificate),
    "accreditation:certificate-download": Row(SITE | STAFF_VIEW | TRIAL, certificate),
    "accreditation:certificate-withdraw": Row(PHYSICIST | APPROVER, certificate, method="post", data=REASON),
    "accreditation:certificate-find": Row(ANYBODY, signed_out="open"),
    # Whoever holds a certificate reads what it was given for; never a whole serial number, a person, a subject.
    "accreditation:certificate-check": Row(
        ANYBODY, certificate, signed_out="open", secrets=("SERIAL-ALPHA", "SUBJ-ALPHA", "Approver ")
    ),
    # --- the doors -------------------------------------------------------------------------
    "account_login": Row(ANYBODY, signed_out="open"),
    "account_logout": Row(SIGNED_IN, signed_out="open"),
    "account_change_password": Row(SIGNED_IN),
    "account_reauthenticate": Row(SIGNED_IN),
}

#: Doors that allauth looks up by name and that are closed to everybody.
CLOSED = {"account_signup", "account_reset_password", "account_inactive", "account_email", "account_set_password"}


def named_urls() -> Iterator[str]:
    """Yield every named URL with its namespace."""

    def walk(patterns: list[Any], namespace: str) -> Iterator[str]:
        for entry in patterns:
            if isinstance(entry, URLResolver):
                inner = f"{namespace}{entry.namespace}:" if entry.namespace else namespace
                yield from walk(entry.url_patterns, inner)
            elif isinstance(entry, URLPattern) and entry.name:
                yield f"{namespace}{entry.name}"

    yield from walk(get_resolver().url_patterns, "")


def test_walk_when_a_url_has_no_row_then_it_fails():
    names = set(named_urls())
    assert names - CLOSED == set(ROWS), "every URL needs a row that says who gets in"
    assert {name.split(":")[0] for name in names if ":" in name} >= {"corelab", "qc", "accreditation"}


@pytest.fixture
def world(settings, tmp_path) -> SimpleNamespace:
    """Return two sites, two trials, a person for each role, and site A's submissions in several states."""
    settings.OBJECT_STORE_DIR = tmp_path / "objects"
    settings.UPLOAD_DIR = tmp_path / "uploads"
    w = SimpleNamespace()
    w.site_a, w.site_b = factories.site(code="alpha", name="Site Alpha"), factories.site(code="beta", name="Site Beta")
    w.scanner_a = factories.scanner(w.site_a, serial="SERIAL-ALPHA")
    w.scanner_b = factories.scanner(w.site_b)
    w.calibrator_a = factories.calibrator(w.site_a)
    w.reading = factories.reading(w.calibrator_a)
    w.trial_1 = factories.trial(w.site_a, code="alpha-trial", title="alpha-trial of tests")
    w.trial_2 = factories.trial(w.site_b, code="beta-trial")
    w.people = {
        "site_a": factories.user(Role.SITE_USER, site=w.site_a),
        "site_b": factories.user(Role.SITE_USER, site=w.site_b),
        "technician": factories.user(Role.TECHNICIAN),
        "physicist": factories.user(Role.PHYSICIST),
        "approver": factories.user(Role.APPROVER),
        "manager_1": factories.user(Role.TRIAL_MANAGER, trial=w.trial_1),
        "monitor_1": factories.user(Role.MONITOR, trial=w.trial_1),
        "manager_2": factories.user(Role.TRIAL_MANAGER, trial=w.trial_2),
        "monitor_2": factories.user(Role.MONITOR, trial=w.trial_2),
        "auditor": factories.user(Role.AUDITOR),
        "administrator": factories.user(Role.ADMINISTRATOR),
        "nobody": factories.user(),
        "ended": factories.user(),
    }
    Membership.objects.create(
        user=w.people["ended"],
        role=Role.PHYSICIST,
        from_on=datetime.date(2020, 1, 1),
        until_on=timezone.now().date() - datetime.timedelta(days=2),
    )
    w.membership = w.people["site_b"].memberships.get()
    sender = w.people["site_a"]
    common = {
        "of": w.site_a,
        "kind": "patient",
        "trial": w.trial_1,
        "subject_code": "SUBJ-ALPHA",
        "created_by": sender,
    }
    w.draft = factories.submission(**common)
    w.held = factories.submission(state=S.HELD, sent_at=timezone.now(), sent_by=sender, **common)
    w.waiting = factories.submission(state=S.AWAITING_REVIEW, sent_at=timezone.now(), sent_by=sender, **common)
    w.in_review = factories.submission(
        state=S.IN_REVIEW, sent_at=timezone.now(), sent_by=sender, reviewer=w.people["physicist"], **common
    )
    w.released = factories.submission(
        state=S.RELEASED, sent_at=timezone.now(), sent_by=sender, verdict="PASS", proposed_verdict="PASS", **common
    )
    for submission in (w.waiting, w.in_review, w.released):
        w.run = _run_of(submission)
    _sign(w.run, w.people["physicist"])
    w.drafted = _query_of(w.waiting, "DRAFT")
    w.answered = _query_of(w.in_review, "SITE_RESPONDED")
    w.asked = _query_of(w.released, "OPEN")
    for version, day in ((1, datetime.date(2026, 1, 1)), (2, None)):
        ProtocolVersion.objects.create(
            trial=w.trial_1,
            version=version,
            document=protocols.template("lymphoma") | {"title": "alpha-trial asks"},
            digest=f"{version:064}",
            effective_on=day,
            published_at=timezone.now() if day else None,
            made_by=w.people["physicist"],
        )
    w.drift = Drift.objects.create(
        scanner=w.scanner_a, attribute="software", registered="1", seen="2", submission=w.released
    )
    w.trial_report = TrialReport.objects.create(
        trial=w.trial_1,
        requested_by=w.people["manager_1"],
        work_state="DONE",
        data_digest="0" * 64,
        data_as_of=timezone.now(),
        **{name: storage.put_once([name.encode()]).stored for name in ("pdf", "csv", "deviations_csv")},
    )
    w.cases = {state: _case_of(w, state, tracer) for state, tracer in zip(CASE_STATES, NUCLIDES, strict=False)}
    w.certificate = _certificate_of(w.cases["ACCREDITED"], w.people["approver"])
    w.upload = Upload.objects.create(submission=w.draft, created_by=sender, name_digest="1" * 64, length_bytes=4)
    invited = factories.user()
    with audit.acting(w.people["administrator"]):
        w.invitation = list(services.invitation_make(actor=w.people["administrator"], person=invited))
    return w


#: One case in each, told apart by their nuclides: of one scope only one may be open.
CASE_STATES = (
    "DRAFT",
    "SUBMITTED",
    "RECEIPT_CHECK",
    "PHYSICIST_REVIEW",
    "PASS_RECOMMENDED",
    "SECOND_REVIEW",
    "ACCREDITED",
    "DUE_SOON",
)


def _case_of(w: SimpleNamespace, state: str, tracer: str) -> Case:
    return Case.objects.create(
        number=2000 + CASE_STATES.index(state),
        scanner=w.scanner_a,
        reconstruction=w.scanner_a.reconstructions.get(),
        tracer=tracer,
        trial=w.trial_1,
        programme="uk_core_lab@1",
        state=state,
        applied_at=None if state == "DRAFT" else timezone.now(),
        created_by=w.people["site_a"],
        approver=w.people["approver"] if state == "SECOND_REVIEW" else None,
        valid_from=datetime.date(2026, 1, 1),
        valid_until=datetime.date(2099, 12, 31),
    )


def _certificate_of(of: Case, approver: User) -> Certificate:
    signature = _signature(approver, "approval", of)
    decision = Decision.objects.create(case=of, event="approve", signature=signature)
    return Certificate.objects.create(
        number="PET-2026-0412",
        case=of,
        decision=decision,
        scope=scope_of(of),
        valid_from=of.valid_from,
        valid_until=of.valid_until,
        stored=storage.put_once([b"%PDF-1.7 certificate"]).stored,
        work_state="DONE",
    )


def _run_of(submission) -> Run:
    result = {
        "method": "patient",
        "method_version": 1,
        "verdict": "PASS",
        "input_digest": "sha256:" + "0" * 64,
        "program": {"version": "0", "commit": "0", "libraries": {}},
        "series": [],
        "suv": {
            "factor_g_per_bq": None,
            "body_weight_factors": None,
            "reference_time": None,
            "administration_time": None,
            "decayed_activity_bq": None,
            "candidates": [],
            "trace": [],
            "warnings": [],
            "refused": None,
        },
        "measurements": [],
        "findings": [],
        "refused": None,
        "ignored": [],
    }
    run = Run.objects.create(
        number=submission.number + 5000,
        submission=submission,
        method="patient",
        method_version=1,
        input_digest="sha256:" + "0" * 64,
        parameters={
            "method": "patient",
            "sheet": None,
            "standards": ["earl1_18f"],
            "edition": "nu2_2018",
            "series_uid": None,
        },
        parameters_digest="0" * 64,
        program_digest="0" * 64,
        work_state="DONE",
        result=result,
        result_digest="0" * 64,
        verdict="PASS",
        headline="Pass – SUV can be worked out",
    )
    svg = '<svg xmlns="http://www.w3.org/2000/svg" width="9pt" height="9pt"></svg>'
    picture = storage.put_once([FigureSvg.with_words(svg, "a slice", "a slice").svg]).stored
    Figure.objects.create(run=run, name="central_slice", alt="a slice", caption="a slice", stored=picture)
    Report.objects.create(run=run, stored=storage.put_once([b"%PDF-1.7"]).stored, work_state="DONE")
    submission.current_run = run
    submission.save(update_fields=["current_run"])
    return run


def _query_of(submission: Submission, state: str) -> Query:
    return Query.objects.create(
        number=submission.number + 9000,
        submission=submission,
        run=submission.current_run,
        state=state,
        title="SUBJ-ALPHA has no time of injection",
        text="When was it?",
        asked_at=None if state == "DRAFT" else timezone.now(),
        due_on=timezone.now().date(),
    )


def _signature(person: User, meaning: str, about: Any) -> Signature:
    return Signature.objects.create(
        user=person,
        printed_name=person.name,
        role="Physicist" if meaning == "review" else "Approver",
        meaning=meaning,
        statement="I have read this.",
        method="password",
        signed_at=timezone.now(),
        digest="0" * 64,
        object_type=about._meta.label_lower,
        object_id=str(about.pk),
    )


def _sign(run: Run, physicist: User) -> None:
    signature = _signature(physicist, "review", run)
    review = Review.objects.create(run=run, proposed_verdict="PASS", verdict="PASS", signature=signature)
    signed = storage.put_once([b"%PDF-1.7 signed"]).stored
    Report.objects.create(run=run, review=review, stored=signed, work_state="DONE")


def _ask(client: Client, name: str, row: Row, world: SimpleNamespace) -> Any:
    url = reverse(name, args=row.args(world))
    if name == "qc:upload-create":
        name, number = (b64encode(text).decode() for text in (b"a", str(world.draft.number).encode()))
        metadata = {"Upload-Metadata": f"filename {name},submission {number}"}
        return client.generic("POST", url, headers=row.headers | metadata)
    call = getattr(client, row.method)
    return call(url, row.data, headers=row.headers)


def _close(response: Any) -> None:
    """Close the file behind a response; the signal that goes with it would close the test's own connection."""
    request_finished.disconnect(close_old_connections)
    try:
        response.close()
    finally:
        request_finished.connect(close_old_connections)


def _is_login(response: Any) -> bool:
    return response.status_code == 302 and response["Location"].startswith("/accounts/login/")


@pytest.mark.parametrize("name", sorted(ROWS))
def test_walk_when_each_person_asks_then_only_those_of_the_row_get_in(name, world):
    row = ROWS[name]
    wrong = []
    for who in sorted(ANYBODY):
        client = Client(raise_request_exception=True)
        if who != "anonymous":
            client.force_login(world.people[who])
        with transaction.atomic():
            response = _ask(client, name, row, world)
            status = response.status_code
            if who == "anonymous":
                good = status in (200, 302) if row.signed_out == "open" else _is_login(response) or status == 401
            elif who in row.allowed:
                good = status < 400 or status == 422
                good = good and not _is_login(response)
            else:
                good = status == 404
            if not good:
                wrong.append(f"{who}: {status} {response.headers.get('Location', '')}")
            if who in OTHER_SITE | OTHER_TRIAL | NO_ROLE and status == 200 and not response.streaming:
                wrong += [f"{who} reads {secret!r}" for secret in row.secrets if secret in response.content.decode()]
            _close(response)
            transaction.set_rollback(True)
    assert not wrong, f"{name}: " + "; ".join(wrong)


#: Beginnings of the addresses of one thing, and a number that nothing has.
NOT_THERE = {
    "qc:submission-": 999_999,
    "accreditation:case-": 999_999,
    "accreditation:certificate-": "PET-2026-9999",
}
ONE_THING = sorted(
    name
    for name, row in ROWS.items()
    if name.startswith(tuple(NOT_THERE)) and row.args is not no_args and row.signed_out == "login"
)


@pytest.mark.parametrize("name", ONE_THING)
def test_walk_when_the_object_is_absent_then_the_answer_is_that_of_a_forbidden_one(name, world):
    row = ROWS[name]
    absent = reverse(name, args=[next(number for start, number in NOT_THERE.items() if name.startswith(start))])
    client = Client()
    client.force_login(world.people["site_b"])
    forbidden = _ask(client, name, row, world)
    missing = getattr(client, row.method)(absent, row.data)
    assert (missing.status_code, forbidden.status_code) == (404, 404)
