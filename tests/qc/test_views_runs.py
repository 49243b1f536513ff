"""Runs, reports and pictures: what may be read, and how it is served."""

from __future__ import annotations

import csv
import io

import pytest
from django.urls import reverse
from django.utils import timezone

from corelab.models import Role
from qc.models import Query, Report
from tests import factories
from tests.qc import scenes

pytestmark = pytest.mark.django_db


@pytest.fixture
def released(draft, physicist):
    return scenes.signed(draft, physicist, scenes.cylinder_result(14.0), comment_to_site="Scan again.")


@pytest.fixture
def waiting(draft):
    return scenes.measured(draft)


def at(name: str, run, *more: str) -> str:
    return reverse(f"qc:{name}", args=[run.number, *more])


def test_figure_when_served_then_nothing_of_it_can_act(client, physicist, waiting):
    client.force_login(physicist)
    answer = client.get(at("figure-show", waiting, "central_slice"))
    assert answer["Content-Type"] == "image/svg+xml"
    assert answer["Content-Security-Policy"] == "default-src 'none'; style-src 'unsafe-inline'; sandbox"
    assert answer["Cache-Control"] == "private, no-cache"
    assert answer.content == scenes.picture("central_slice")


def test_figure_when_the_browser_has_it_already_then_it_is_not_sent_again(client, physicist, waiting):
    client.force_login(physicist)
    etag = client.get(at("figure-show", waiting, "central_slice"))["ETag"]
    again = client.get(at("figure-show", waiting, "central_slice"), headers={"If-None-Match": etag})
    assert (again.status_code, again.content, again["ETag"]) == (304, b"", etag)
    assert again["Cache-Control"] == "private, no-cache"
    other = client.get(at("figure-show", waiting, "central_slice"), headers={"If-None-Match": '"another"'})
    assert other.status_code == 200


def test_figure_when_there_is_none_of_that_name_then_is_not_there(client, physicist, waiting):
    client.force_login(physicist)
    assert client.get(at("figure-show", waiting, "mip_coronal")).status_code == 404


@pytest.mark.parametrize("name", ["run-detail", "report-show", "report-download"])
def test_run_when_a_site_asks_before_release_then_is_not_there(client, sender, waiting, name):
    client.force_login(sender)
    assert client.get(at(name, waiting)).status_code == 404
    assert client.get(at("figure-show", waiting, "central_slice")).status_code == 404


def test_report_when_downloaded_then_has_a_neutral_name_and_is_the_signed_one(client, sender, released):
    client.force_login(sender)
    answer = client.get(at("report-download", released.run))
    assert answer["Content-Type"] == "application/pdf"
    number = released.run.submission.short_number
    assert answer["Content-Disposition"] == f'attachment; filename="{number}_{released.run}_signed.pdf"'
    assert b"".join(answer.streaming_content) == scenes.PDF + b", signed"


def test_report_when_the_unsigned_one_is_asked_for_then_staff_get_what_is_signed(client, physicist, released, sender):
    client.force_login(physicist)
    answer = client.get(at("report-download", released.run), {"unsigned": "1"})
    assert b"".join(answer.streaming_content) == scenes.PDF
    client.force_login(sender)
    assert client.get(at("report-download", released.run), {"unsigned": "1"}).status_code == 404


def test_report_when_read_as_a_page_then_says_what_the_document_says(client, sender, released):
    client.force_login(sender)
    page = client.get(at("report-show", released.run)).content.decode()
    assert "Scan again." in page
    assert "for trial quality control, not for diagnosis" in page.lower()
    assert at("figure-show", released.run, "central_slice") in page
    assert at("report-download", released.run) in page


def test_run_when_opened_then_names_inputs_parameters_and_program(client, physicist, waiting):
    client.force_login(physicist)
    page = client.get(at("run-detail", waiting)).content.decode()
    assert waiting.input_digest in page
    assert waiting.parameters_digest in page
    assert "cylinder@1" in page
    assert "numpy" in page
    assert "SUV trace" in page


def test_run_when_another_took_its_place_then_says_which(client, physicist, draft, waiting):
    later = scenes.measured(draft)
    waiting.superseded_by = later
    waiting.save()
    client.force_login(physicist)
    page = client.get(at("run-detail", waiting)).content.decode()
    assert at("run-detail", later) in page


def test_report_when_a_monitor_of_another_trial_asks_then_is_not_there(client, released):
    client.force_login(factories.user(Role.MONITOR, trial=factories.trial()))
    assert client.get(at("report-download", released.run)).status_code == 404


def test_run_when_its_report_is_not_made_yet_then_none_is_offered(client, physicist, waiting):
    client.force_login(physicist)
    download = at("report-download", waiting)
    assert download in client.get(at("run-detail", waiting)).content.decode()
    waiting.reports.update(stored=None)
    assert download not in client.get(at("run-detail", waiting)).content.decode()


# --- rules as a table -----------------------------------------------------------------------------


def _patient(site, sender, physicist, **fields):
    trial = factories.trial(site, code="ALPHA")
    scan = {"of": site, "created_by": sender, "kind": "patient", "trial": trial, "visit": "PET2"} | fields
    submission = factories.submission(**scan)
    return scenes.signed(submission, physicist, scenes.patient_result(uptake_min=82.0, TIM_01="FAIL", PREP_01="WARN"))


def _table(answer) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(answer.content.decode("utf-8"))))


def test_conformance_csv_when_downloaded_then_it_has_a_row_for_each_rule_the_worst_first(
    client, site, sender, physicist
):
    review = _patient(site, sender, physicist, subject_code="0113")
    client.force_login(sender)
    answer = client.get(at("conformance-csv", review.run))
    assert answer["Content-Type"] == "text/csv; charset=utf-8"
    rows = _table(answer)
    assert [(row["rule"], row["outcome"]) for row in rows[:3]] == [
        ("TIM-01", "FAIL"),
        ("PREP-01", "WARN"),
        ("INJ-03", "PASS"),
    ]
    assert len(rows) == len(scenes.RULES)
    first = rows[0]
    assert (first["seen"], first["expected"], first["who_acts"]) == ("82 min", "55 to 75 min", "site")
    assert (first["scanned_on"], first["protocol_version"]) == ("2026-03-02", "4")
    assert (first["trial"], first["subject"], first["visit"]) == ("ALPHA", "0113", "PET2")


@pytest.mark.parametrize("code", ["=1+1", "+44", "-2", "@x", "\t=1"])
def test_conformance_csv_when_a_code_looks_like_a_formula_then_a_spreadsheet_reads_text(
    client, site, sender, physicist, code
):
    review = _patient(site, sender, physicist, subject_code=code)
    client.force_login(sender)
    assert _table(client.get(at("conformance-csv", review.run)))[0]["subject"] == f"'{code}"


def test_conformance_csv_when_a_query_asks_about_a_rule_then_its_number_stands_in_the_row_and_a_drafts_does_not(
    client, site, sender, physicist
):
    review = _patient(site, sender, physicist, subject_code="0113")
    asked = {"submission": review.run.submission, "run": review.run, "title": "Late", "text": "Why late?"}
    asked["findings"] = [{"id": "TIM-01", "message": "82 minutes"}]
    query = Query.objects.create(number=904, **asked)
    client.force_login(sender)
    assert _table(client.get(at("conformance-csv", review.run)))[0]["query"] == ""
    Query.objects.filter(pk=query.pk).update(state="OPEN", asked_at=timezone.now())
    rows = _table(client.get(at("conformance-csv", review.run)))
    assert [row["query"] for row in rows[:2]] == ["Q-904", ""]
    assert "Q-904" in client.get(at("report-show", review.run)).content.decode()


def test_conformance_csv_when_it_is_not_released_then_the_site_has_none(client, site, sender):
    submission = factories.submission(of=site, created_by=sender, kind="patient", trial=factories.trial(site))
    run = scenes.measured(submission, scenes.patient_result())
    client.force_login(sender)
    assert client.get(at("conformance-csv", run)).status_code == 404


# --- a report that was not made -------------------------------------------------------------------


@pytest.fixture
def broken(released):
    Report.objects.filter(run=released.run).update(stored=None, work_state="FAILED", work_error="7F3K-2Q", attempts=3)
    return released.run


def test_report_when_it_was_not_made_then_staff_may_let_it_be_made_again_and_must_confirm(client, physicist, broken):
    client.force_login(physicist)
    address = at("report-repeat", broken)
    for page in (at("run-detail", broken), at("submission-detail", broken.submission)):
        html = client.get(page).content.decode()
        assert "Our error" in html
        assert "7F3K-2Q" in html
        assert address in html
    assert "Make it again" in client.get(address).content.decode()
    assert set(Report.objects.values_list("work_state", flat=True)) == {"FAILED"}  # asking for the page does nothing
    assert client.post(address).status_code == 302
    assert Report.objects.filter(work_state="QUEUED", review__isnull=False).count() == 1
    assert client.post(address).status_code == 409
    assert client.get(address).status_code == 302
    assert address not in client.get(at("submission-detail", broken.submission)).content.decode()


def test_report_when_it_was_not_made_then_its_site_reads_that_it_need_not_act(client, sender, broken):
    client.force_login(sender)
    html = client.get(at("submission-detail", broken.submission)).content.decode()
    assert "the report could not be made, reference 7F3K-2Q" in html
    assert "you need not do anything" in html
    assert "Load this page again" not in html
    assert at("report-repeat", broken) not in html


@pytest.mark.parametrize("role", [Role.SITE_USER, Role.APPROVER, Role.AUDITOR, Role.ADMINISTRATOR, None])
def test_report_when_somebody_else_asks_for_it_again_then_there_is_nothing(client, broken, role):
    person = factories.user(role, site=broken.submission.site if role == Role.SITE_USER else None)
    client.force_login(person)
    for answer in (client.get(at("report-repeat", broken)), client.post(at("report-repeat", broken))):
        assert answer.status_code == 404
    assert not Report.objects.filter(work_state="QUEUED").exists()
    if role in (Role.APPROVER, Role.AUDITOR):
        html = client.get(at("submission-detail", broken.submission)).content.decode()
        assert "A physicist or technician lets it be made again." in html
