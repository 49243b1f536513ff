"""The conformance report of a trial: what counts, what it is made from, and whose it is."""

from __future__ import annotations

import csv
import datetime
import io
import shutil
import subprocess
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from corelab import storage
from corelab.errors import NotAllowed, NotFound
from corelab.models import Clearance, Role
from corelab.models.work import WorkState
from qc import services, trials
from qc.models import ProtocolVersion, Query, Submission, TrialReport
from qc.reports import trial as document
from qc.reports.trial import warnings_of
from qc.states import SubmissionState as S
from tests import factories
from tests.qc import kit, scenes

pytestmark = pytest.mark.django_db

TODAY = datetime.date(2026, 3, 10)


@pytest.fixture
def trial(site):
    return factories.trial(site, code="ALPHA", title="A lymphoma trial of tests")


@pytest.fixture
def manager(trial):
    return factories.user(Role.TRIAL_MANAGER, trial=trial)


@pytest.fixture
def scan(site, sender, physicist, trial):
    """Return a function that makes a signed scan of the trial."""

    def make(subject: str, result: dict[str, Any] | None = None, **fields: Any) -> Submission:
        given = {"of": site, "created_by": sender, "kind": "patient", "trial": trial, "visit": "PET1"} | fields
        made = factories.submission(subject_code=subject, **given)
        scenes.signed(made, physicist, result or scenes.patient_result())
        return made

    return make


@pytest.fixture
def waiting(site, sender, trial):
    """Return a function that makes a scan in some state that nobody signed, with a deviation in its run."""

    def make(state: str, **fields: Any) -> Submission:
        given = {"of": site, "created_by": sender, "kind": "patient", "trial": trial, "subject_code": "9999"} | fields
        made = factories.submission(**given)
        scenes.measured(made, scenes.patient_result(uptake_min=41.0, TIM_01="FAIL"), state=state)
        return made

    return make


def made(trial, actor) -> TrialReport:
    """Ask for the report and let the job make it."""
    report = kit.call(services.trial_report_request, actor=actor, trial=trial)
    kit.work(services.trial_report_make, trial_report_id=report.pk)
    report.refresh_from_db()
    return report


def content(stored) -> bytes:
    with storage.open_object(stored.sha256) as file:
        return file.read()


def table(stored) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(content(stored).decode("utf-8"))))


def words(report: TrialReport, folder) -> list[str]:
    """Return the text of each page of the PDF."""
    path = folder / "trial.pdf"
    path.write_bytes(content(report.pdf))
    done = subprocess.run(["pdftotext", "-layout", str(path), "-"], capture_output=True, text=True, check=True)
    return done.stdout.split("\f")[:-1]


needs_poppler = pytest.mark.skipif(shutil.which("pdftotext") is None, reason="poppler-utils reads the PDF back")


def standing(trial) -> trials.Standing:
    return trials.standings([trial], today=TODAY)[trial.pk]


# --- what counts ----------------------------------------------------------------------------------


def test_standing_when_a_visit_was_sent_twice_then_both_count_and_somebody_is_told(trial, scan, waiting):
    scan("0101", visit="Baseline")
    waiting(S.AWAITING_REVIEW, subject_code="0101", visit="Baseline")
    scan("0101", visit="Interim")
    scan("0102", visit="")
    scan("0102", visit="")
    found = standing(trial)
    assert found.tally.whole.received == 5
    assert [(one.subject, one.visit, one.times) for one in found.repeats] == [("0101", "Baseline", 2)]
    assert warnings_of(found.tally, found.repeats) == [
        "Several scans of one visit are counted, each as a scan of its own (0101, Baseline: 2 scans). "
        "Ask which one stands."
    ]


def test_report_when_a_protocol_begins_later_then_the_one_in_force_gives_the_band(trial, scan, sender):
    def publish(version: int, days: int, low: int) -> None:
        limits = {"limits": {"uptake_min": {"low": low, "high": 75}}}
        day = timezone.now().date() + datetime.timedelta(days=days)
        ProtocolVersion.objects.create(
            trial=trial, version=version, document=limits, digest=str(version), made_by=sender,
            effective_on=day, published_at=timezone.now(),
        )  # fmt: skip

    scan("0101")
    publish(2, 30, 55)
    made_of = trials.made_from(trial)
    assert document.TrialReport(trials.facts_of(trial, made_of)).band is None
    publish(1, -400, 50)
    made_of = trials.made_from(trial)
    whole = document.TrialReport(trials.facts_of(trial, made_of))
    assert (whole.band, whole.protocol.version) == ((50, 75), 1) == (standing(trial).band, 1)


def test_digest_when_a_waiting_scan_repeats_a_visit_then_it_is_another_report(trial, scan, waiting):
    scan("0101", visit="Baseline")
    other = waiting(S.AWAITING_REVIEW, subject_code="0102", visit="Baseline")
    before = trials.made_from(trial).digest
    other.subject_code = "0101"
    other.save()
    assert trials.made_from(trial).digest != before


def test_standing_when_scans_are_signed_then_they_are_conformant_deviating_evaluable_or_not_checked(trial, scan):
    scan("0101")
    scan("0102", scenes.patient_result(uptake_min=82.0, TIM_01="FAIL", PREP_01="WARN"))
    scan("0103", scenes.patient_result(PREP_01="WARN"))
    scan("0104", scenes.patient_result(uptake_min=None, TIM_01="NOT_EVALUABLE"))
    whole = standing(trial).tally.whole
    assert (whole.received, whole.signed, whole.waiting) == (4, 4, 0)
    assert (whole.conformant, whole.deviating, whole.evaluable, whole.unchecked) == (1, 2, 2, 1)


@pytest.mark.parametrize(
    ("state", "received"),
    [
        (S.SENT, 1),
        (S.ANALYSING, 1),
        (S.AWAITING_REVIEW, 1),
        (S.IN_REVIEW, 1),
        (S.HELD, 1),
        (S.DRAFT, 0),
        (S.CHECKING, 0),
        (S.WITHDRAWN, 0),
        (S.REPLACED, 0),
        (S.PREVIEWED, 0),
    ],
)
def test_standing_when_nobody_signed_then_a_scan_is_at_most_counted_as_received(trial, waiting, state, received):
    waiting(state)
    tally = standing(trial).tally
    assert (tally.whole.received, tally.whole.signed) == (received, 0)
    assert tally.causes == []
    assert not tally.uptake_bins
    assert not tally.standards


def test_standing_when_it_is_a_dry_run_a_phantom_or_another_trials_then_it_counts_nowhere(
    site, trial, scan, waiting, sender, physicist
):
    waiting(S.AWAITING_REVIEW, is_dry_run=True)
    scan("0101", is_dry_run=True)
    scan("0102", trial=factories.trial(site, code="BETA"))
    phantom = factories.submission(of=site, created_by=sender, trial=trial)
    scenes.signed(phantom, physicist)
    assert standing(trial).tally.whole.received == 0


def test_standing_when_causes_are_counted_then_a_scan_that_was_signed_pass_has_none(trial, scan, site):
    scan("0101", scenes.patient_result(uptake_min=82.0, TIM_01="FAIL", PREP_01="WARN"))
    scan("0102", scenes.patient_result(uptake_min=51.0, TIM_01="FAIL"))
    let_pass = scan("0103", scenes.patient_result(PREP_01="WARN"))
    Submission.objects.filter(pk=let_pass.pk).update(verdict="PASS")
    seen = scan("0104")
    Submission.objects.filter(pk=seen.pk).update(verdict="FAIL")
    causes = [(one.rule, one.scans, dict(one.outcomes)) for one in standing(trial).tally.causes]
    assert causes == [("TIM-01", 2, {"FAIL": 2}), ("PREP-01", 1, {"WARN": 1}), ("REVIEW", 1, {"FAIL": 1})]


def test_standing_when_a_scan_was_sent_again_for_a_query_then_it_counts_once_by_the_last_signed(
    trial, scan, waiting, physicist
):
    first = scan("0101", scenes.patient_result(PREP_01="WARN"))
    query = Query.objects.create(number=904, submission=first, run=first.current_run, title="Late", text="Why?")
    again = waiting(S.AWAITING_REVIEW, answers=query)
    whole = standing(trial).tally.whole
    assert (whole.received, whole.waiting, whole.deviating) == (1, 0, 1), "until it is signed the first one stands"
    scenes.signed(again, physicist, scenes.patient_result())
    whole = standing(trial).tally.whole
    assert (whole.received, whole.conformant, whole.deviating) == (1, 1, 0)


def test_standing_when_standards_are_mixed_then_it_says_so(trial, scan):
    scan("0101")
    assert not standing(trial).tally.are_standards_mixed
    scan("0102", standard="earl2_18f")
    assert standing(trial).tally.are_standards_mixed


def test_standings_when_trials_and_scans_grow_then_the_queries_are_as_many(site, trial, scan):
    def count(wanted) -> int:
        with CaptureQueriesContext(connection) as captured:
            trials.standings(wanted, today=TODAY)
        return len(captured)

    scan("0101", scenes.patient_result(TIM_01="FAIL"))
    few = count([trial])
    for number in range(5):
        scan(f"02{number:02}", scenes.patient_result(PREP_01="WARN"))
    assert count([trial, factories.trial(site), factories.trial(site)]) == few <= 6


# --- the same data, the same bytes ----------------------------------------------------------------


def test_report_when_made_twice_of_the_same_data_then_the_bytes_are_the_same_and_it_is_one_report(
    trial, scan, waiting, manager
):
    scan("0101", scenes.patient_result(uptake_min=82.0, TIM_01="FAIL"))
    waiting(S.AWAITING_REVIEW)
    first = made(trial, manager)
    files = [content(one) for one in (first.pdf, first.csv, first.deviations_csv)]
    assert kit.call(services.trial_report_request, actor=manager, trial=trial) == first
    TrialReport.objects.all().delete()
    again = made(trial, manager)
    assert again.pk != first.pk
    assert [content(one) for one in (again.pdf, again.csv, again.deviations_csv)] == files
    assert again.data_digest == first.data_digest


def test_report_when_one_more_scan_is_signed_then_its_digest_and_date_are_others(trial, scan, manager):
    scan("0101")
    first = made(trial, manager)
    newer = scan("0102")
    second = made(trial, manager)
    assert second.data_digest != first.data_digest
    assert second.pdf != first.pdf
    assert second.data_as_of == newer.released_at > first.data_as_of


def _corrected(trial, one) -> None:
    type(one.current_run).objects.filter(pk=one.current_run_id).update(result_digest="f" * 64)


def _asked(trial, one) -> None:
    kept = {"run": one.current_run, "title": "Late", "text": "Why?", "state": "OPEN", "asked_at": timezone.now()}
    Query.objects.create(number=904, submission=one, **kept)


def _cleared(trial, one) -> None:
    days = {"from_on": datetime.date(2026, 1, 1), "until_on": datetime.date(2026, 4, 1)}
    kept = {"tracer": "F-18", "standard": "earl1_18f", "certificate_number": "PET-2026-0412"}
    Clearance.objects.create(scanner=one.scanner, reconstruction=one.reconstruction, trial=trial, **kept, **days)


def _published(trial, one) -> None:
    days = {"effective_on": datetime.date(2026, 2, 1), "published_at": timezone.now()}
    ProtocolVersion.objects.create(trial=trial, version=1, document={}, digest="1", made_by=one.created_by, **days)


def _renamed(trial, one) -> None:
    type(one.site).objects.filter(pk=one.site_id).update(name="Site of another name")


def _withdrawn(trial, one) -> None:
    Submission.objects.filter(pk=one.pk).update(state=S.WITHDRAWN, changed_at=timezone.now())


@pytest.mark.parametrize("change", [_corrected, _asked, _cleared, _published, _renamed, _withdrawn])
def test_digest_when_anything_that_the_report_says_changes_then_it_is_another(trial, scan, change):
    one = scan("0101")
    before = trials.made_from(trial)
    assert trials.made_from(trial) == before
    change(trial, one)
    after = trials.made_from(trial)
    assert after.digest != before.digest
    assert after.as_of >= before.as_of


def test_report_when_a_scan_is_corrected_while_it_is_written_then_it_is_made_again_of_what_is_true_then(
    trial, scan, manager, monkeypatch
):
    one, render = scan("0101"), services.trial_reports.document.render_pdf
    asked = kit.call(services.trial_report_request, actor=manager, trial=trial)
    written = []

    def corrected_meanwhile(report, context):
        written.append(context["document"]["footer"])
        if len(written) == 1:
            scan("0102")
        return render(report, context)

    monkeypatch.setattr(services.trial_reports.document, "render_pdf", corrected_meanwhile)
    kit.work(services.trial_report_make, trial_report_id=asked.pk)
    before = asked.data_digest
    asked.refresh_from_db()
    assert len(written) == 2
    assert asked.work_state == WorkState.DONE
    assert asked.data_digest == trials.made_from(trial).digest != before
    assert [row["subject"] for row in table(asked.csv)] == [one.subject_code, "0102"]


def test_report_when_scans_never_stand_still_then_the_try_is_given_up_and_can_be_asked_for_again(
    trial, scan, manager, monkeypatch
):
    scan("0101")
    asked = kit.call(services.trial_report_request, actor=manager, trial=trial)
    numbers = iter(range(200, 400))
    render = services.trial_reports.document.render_pdf

    def always_corrected(report, context):
        scan(f"0{next(numbers)}")
        return render(report, context)

    monkeypatch.setattr(services.trial_reports.document, "render_pdf", always_corrected)
    for _ in range(3):
        kit.work(services.trial_report_make, trial_report_id=asked.pk)
    asked.refresh_from_db()
    assert (asked.work_state, asked.pdf) == (WorkState.FAILED, None)
    assert asked.work_error
    monkeypatch.undo()
    assert made(trial, manager).work_state == WorkState.DONE


def test_sweep_when_a_workers_message_was_lost_then_the_report_is_announced_again(trial, scan, manager):
    scan("0101")
    asked = kit.call(services.trial_report_request, actor=manager, trial=trial)
    long_ago = timezone.now() - datetime.timedelta(minutes=5)
    TrialReport.objects.filter(pk=asked.pk).update(queued_at=long_ago)
    kit.work(services.work_sweep)
    asked.refresh_from_db()
    assert asked.queued_at > long_ago


# --- what it says ---------------------------------------------------------------------------------


def test_tables_when_made_then_one_has_a_row_a_signed_scan_and_one_a_row_a_deviation(trial, scan, waiting, manager):
    scan("0101")
    scan("0102", scenes.patient_result(uptake_min=82.0, TIM_01="FAIL", PREP_01="WARN", REC_08="FAIL"))
    waiting(S.AWAITING_REVIEW)
    report = made(trial, manager)
    rows = {row["subject"]: row for row in table(report.csv)}
    assert set(rows) == {"0101", "0102"}, "what nobody signed has no row"
    late = rows["0102"]
    assert (late["verdict"], late["is_conformant"], late["is_evaluable"]) == ("FAIL", "no", "no")
    assert late["reasons"] == "REC-08 Fail; TIM-01 Fail; PREP-01 Warning"
    assert (late["uptake_min"], late["injected_mbq"], late["weight_kg"]) == ("82.0", "281.0", "72.0")
    assert (late["scanned_on"], late["is_cleared"], late["certificate"]) == ("2026-03-02", "no", "")
    assert (rows["0101"]["is_cleared"], rows["0101"]["cleared_until"]) == ("yes", "2027-06-14")
    deviations = table(report.deviations_csv)
    assert [(row["subject"], row["rule"], row["outcome"]) for row in deviations] == [
        ("0102", "TIM-01", "FAIL"),
        ("0102", "REC-08", "FAIL"),
        ("0102", "PREP-01", "WARN"),
    ]
    assert (deviations[0]["seen"], deviations[0]["expected"]) == ("82 min", "55 to 75 min")


@needs_poppler
def test_report_when_a_physicist_let_a_scan_pass_then_what_its_rules_raised_is_no_deviation(
    trial, scan, manager, tmp_path
):
    let_pass = scan("0103", scenes.patient_result(PREP_01="WARN"))
    Submission.objects.filter(pk=let_pass.pk).update(verdict="PASS")
    report = made(trial, manager)
    assert table(report.deviations_csv) == []
    assert table(report.csv)[0]["reasons"] == ""
    assert "No signed scan deviates." in " ".join("".join(words(report, tmp_path)).split())


def test_tables_when_a_code_looks_like_a_formula_then_a_spreadsheet_reads_text(trial, scan, manager):
    scan("=HYPERLINK(1)", scenes.patient_result(TIM_01="FAIL"))
    report = made(trial, manager)
    assert table(report.csv)[0]["subject"] == table(report.deviations_csv)[0]["subject"] == "'=HYPERLINK(1)"


@needs_poppler
def test_document_when_opened_then_every_page_names_date_and_digest_and_it_says_the_five_counts(
    trial, scan, waiting, manager, tmp_path
):
    scan("0101")
    scan("0102", scenes.patient_result(uptake_min=82.0, TIM_01="FAIL"), standard="earl2_18f")
    _cleared(trial, scan("0103"))
    _asked(trial, scan("0104"))
    waiting(S.AWAITING_REVIEW)
    report = made(trial, manager)
    pages = words(report, tmp_path)
    whole = " ".join("".join(pages).split())
    for page in pages:
        assert report.data_digest[:16] in page
        assert f"{report.data_as_of:%H:%M} UTC" in page
    assert "5 3 1 3 1" in whole, "received, conformant, deviating, evaluable, open queries"
    for said in (
        "1 waits for a signature",
        "Two standards are mixed: 3 scans EARL 1, 1 scan EARL 2. Do not pool their SUVs.",
        "PET-2026-0412",
        "Q-904",
        "0102, PET1",
        report.csv.sha256,
        report.deviations_csv.sha256,
    ):
        assert said in whole, said
    assert "9999" not in whole, "a scan that nobody signed is only counted"
    assert "41" not in whole.partition("Uptake")[2].partition("Clearances")[0].split(), "nor is its uptake drawn"


@needs_poppler
def test_document_when_nothing_was_signed_then_it_says_so(trial, manager, tmp_path):
    whole = " ".join("".join(words(made(trial, manager), tmp_path)).split())
    for said in ("No signed scan deviates.", "No scan is signed yet.", "No query is open.", "none published"):
        assert said in whole


# --- whose it is ----------------------------------------------------------------------------------


def test_request_when_the_trial_is_anothers_then_it_is_not_there(trial, site):
    stranger = factories.user(Role.TRIAL_MANAGER, trial=factories.trial(site))
    with pytest.raises(NotFound):
        kit.call(services.trial_report_request, actor=stranger, trial=trial)
    with pytest.raises(NotFound):
        kit.call(services.trial_report_request, actor=factories.user(Role.SITE_USER, site=site), trial=trial)


def test_request_when_one_only_oversees_then_it_is_refused_and_what_is_there_may_be_read(trial, scan, manager):
    scan("0101")
    report = made(trial, manager)
    auditor = factories.user(Role.AUDITOR)
    with pytest.raises(NotAllowed):
        kit.call(services.trial_report_request, actor=auditor, trial=trial)
    assert trials.trial_report_for(auditor, report.pk) == report


def test_reports_when_a_manager_of_another_trial_looks_then_there_are_none(trial, scan, manager, site):
    scan("0101")
    report = made(trial, manager)
    stranger = factories.user(Role.MONITOR, trial=factories.trial(site))
    assert list(trials.trial_reports_visible_to(stranger)) == []
    with pytest.raises(NotFound):
        trials.trial_report_for(stranger, report.pk)
    assert list(trials.trial_reports_visible_to(manager)) == [report]
