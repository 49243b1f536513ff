"""A trial's page, its list of scans and its downloads: what stands there, for whom, in how many queries."""

from __future__ import annotations

import datetime
import re

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from corelab.models import Role
from corelab.models.work import WorkState
from qc import services
from qc.models import Query, Submission, TrialReport
from qc.states import SubmissionState as S
from tests import factories
from tests.qc import kit, scenes

pytestmark = pytest.mark.django_db


@pytest.fixture
def trial(site):
    return factories.trial(site, code="ALPHA", title="A lymphoma trial of tests")


@pytest.fixture
def manager(trial):
    return factories.user(Role.TRIAL_MANAGER, trial=trial)


@pytest.fixture
def add(site, sender, physicist, trial):
    """Return a function that adds a scan to the trial: signed, or in a state in which nobody signed it."""

    def make(subject: str, result=None, *, state: str = S.RELEASED, **fields) -> Submission:
        given = {"of": site, "created_by": sender, "kind": "patient", "trial": trial, "visit": "PET1"} | fields
        scan = factories.submission(subject_code=subject, **given)
        result = result or scenes.patient_result()
        if state == S.RELEASED:
            scenes.signed(scan, physicist, result)
        else:
            scenes.measured(scan, result, state=state)
        return scan

    return make


LATE = {"uptake_min": 82.0, "TIM_01": "FAIL"}
PAGE = "corelab:trial-detail"


def read(client, who, name: str, *args, **query) -> str:
    client.force_login(who)
    answer = client.get(reverse(name, args=args), query)
    assert answer.status_code == 200
    return answer.content.decode()


def text_of(html: str) -> str:
    return " ".join(re.sub(r"<[^>]+>", " ", html).split())


# --- the page -------------------------------------------------------------------------------------


def test_trial_page_when_scans_are_there_then_five_counts_lead_to_their_lists(client, trial, manager, add):
    add("0101")
    late = add("0102", scenes.patient_result(**LATE))
    add("0103", state=S.AWAITING_REVIEW)
    asked = {"title": "Late", "text": "Why?", "state": "OPEN", "asked_at": timezone.now()}
    Query.objects.create(number=904, submission=late, run=late.current_run, **asked)
    html = read(client, manager, PAGE, trial.code)
    counts = re.search(r'<ul class="counts">(.*?)</ul>', html, re.DOTALL)[1]
    found = {
        words: (int(number), url) for number, url, words in re.findall(r'<b>(\d+)</b><a href="([^"]+)">([^<]+)', counts)
    }
    assert {words: number for words, (number, _) in found.items()} == {
        "received": 3,
        "conformant": 1,
        "deviating": 1,
        "evaluable": 1,
        "open queries": 1,
    }
    for words, (number, url) in found.items():
        listed = client.get(url.replace("&amp;", "&")).content.decode()
        body = re.search(r"<tbody>(.*?)</tbody>", listed, re.DOTALL)[1]
        assert body.count("<tr") == number, words
    assert "1 waits for a signature" in html
    assert "TIM-01" in html


def test_trial_page_when_a_scan_is_not_signed_then_nothing_of_its_numbers_shows(client, trial, manager, add):
    waiting = add("0103", scenes.patient_result(uptake_min=47.0, TIM_01="FAIL"), state=S.IN_REVIEW)
    page = read(client, manager, PAGE, trial.code)
    listed = read(client, manager, "qc:trial-scan-list", trial.code)
    for html in (page, listed):
        assert "chip-fail" not in html
        assert "TIM-01" not in html
        assert "Uptake time" not in html
    assert "46 to 48" not in page
    assert re.search(r'data-label="Uptake, min"></td>', listed)
    assert "0103" not in read(client, manager, "qc:trial-scan-list", trial.code, cause="TIM-01")
    assert "0103" not in read(client, manager, "qc:trial-scan-list", trial.code, show="deviating")
    assert "0103" in listed
    assert f"/submissions/{waiting}/" not in listed, "its page is not the trial's before it is signed"
    assert "Waits for a signature" in listed


def test_trial_page_when_two_standards_are_mixed_then_it_warns_once(client, trial, manager, add):
    add("0101")
    assert "Do not pool" not in read(client, manager, PAGE, trial.code)
    add("0102", standard="earl2_18f")
    assert read(client, manager, PAGE, trial.code).count("Two standards are mixed") == 1


def test_trial_page_when_nothing_arrived_then_it_says_so_in_words(client, trial, manager):
    text = text_of(read(client, manager, PAGE, trial.code))
    for said in ("No scan is signed yet.", "No uptake time is known yet.", "No report was made yet."):
        assert said in text
    assert "No scan has arrived yet." in read(client, manager, "qc:trial-scan-list", trial.code)


def test_trial_page_when_it_is_drawn_then_charts_have_words_a_table_and_no_style(client, trial, manager, add):
    add("0101", scenes.patient_result(**LATE))
    html = read(client, manager, PAGE, trial.code)
    main = html[html.index("<main") : html.index("</main>")]
    assert not re.search(r"\sstyle=", main)
    assert '<svg xmlns="http://www.w3.org/2000/svg" role="img" class="histogram"' in main
    assert "1 scan, most at 82 to 84 min; no protocol limits it." in main
    assert re.search(r"82 to 84</th><td class=\"num\">1<", main)


def test_home_when_a_manager_has_one_trial_then_it_is_that_trials_page(client, trial, manager, add):
    add("0101")
    html = read(client, manager, "corelab:home-show")
    assert "Where the trial stands" in html
    assert html.count("<h1") == 1


def test_home_when_a_manager_has_two_trials_then_each_has_a_line(client, site, trial, add):
    add("0101")
    other = factories.trial(site, code="BETA")
    both = factories.user(Role.MONITOR, trial=trial)
    both.memberships.create(role=Role.MONITOR, trial=other, from_on="2020-01-01")
    html = read(client, both, "corelab:home-show")
    assert "Where your trials stand" in html
    for code in ("ALPHA", "BETA"):
        assert f'<a href="{reverse(PAGE, args=[code])}"><bdi>{code}' in html


def test_trial_page_when_a_site_of_the_trial_looks_then_other_sites_counts_are_not_there(client, trial, sender, add):
    add("0101")
    html = read(client, sender, PAGE, trial.code)
    assert "Where the trial stands" not in html
    assert "Downloads" not in html


def test_trial_page_when_answers_are_overdue_then_the_late_queries_are_counted(client, trial, manager, add):
    today = timezone.now().date()
    rows = [
        ("OPEN", -1, True),
        ("REOPENED", -9, True),
        ("OPEN", 0, False),
        ("OPEN", None, False),
        ("SITE_RESPONDED", -1, False),  # the lab's turn
        ("CLOSED", -1, False),
    ]
    for number, (state, days, _) in enumerate(rows, 904):
        scan = add(f"{number}", scenes.patient_result(**LATE))
        due_on = None if days is None else today + datetime.timedelta(days=days)
        Query.objects.create(
            number=number, submission=scan, run=scan.current_run, title="Late", text="Why?", state=state,
            asked_at=timezone.now() - datetime.timedelta(days=12), due_on=due_on,
        )  # fmt: skip
    text = text_of(read(client, manager, PAGE, trial.code))
    late = sum(is_late for *_, is_late in rows)
    assert f"5 open queries the oldest 12 days, {late} late" in text
    assert f"5 {late} late" in text  # beside its scanner


def test_trial_page_when_scans_and_scanners_grow_then_it_asks_no_more_queries(client, site, trial, manager, add):
    def count() -> int:
        client.get(reverse(PAGE, args=[trial.code]))
        with CaptureQueriesContext(connection) as captured:
            assert client.get(reverse(PAGE, args=[trial.code])).status_code == 200
        return len(captured)

    client.force_login(manager)
    add("0101", scenes.patient_result(**LATE))
    few = count()
    for number in range(6):
        add(f"02{number:02}", scenes.patient_result(**LATE), scanner=factories.scanner(site))
        trial.sites.add(factories.site())
    assert count() == few <= 15


def test_scan_list_when_it_grows_then_it_asks_no_more_queries(client, site, trial, manager, add):
    def count() -> int:
        with CaptureQueriesContext(connection) as captured:
            read(client, manager, "qc:trial-scan-list", trial.code)
        return len(captured)

    add("0101", scenes.patient_result(**LATE))
    count()
    few = count()
    for number in range(6):
        add(f"02{number:02}", scenes.patient_result(**LATE), scanner=factories.scanner(site))
    assert count() == few <= 12


def test_scan_list_when_a_cause_is_chosen_then_only_scans_that_deviate_by_it_are_listed(client, trial, manager, add):
    add("0101", scenes.patient_result(**LATE))
    add("0102", scenes.patient_result(PREP_01="WARN"))
    seen = add("0103")
    Submission.objects.filter(pk=seen.pk).update(verdict="FAIL")
    text = text_of(read(client, manager, "qc:trial-scan-list", trial.code, cause="TIM-01"))
    assert ("0101" in text, "0102" in text, "0103" in text) == (True, False, False)
    text = text_of(read(client, manager, "qc:trial-scan-list", trial.code, cause="REVIEW"))
    assert ("0101" in text, "0102" in text, "0103" in text) == (False, False, True)


@pytest.mark.parametrize(
    "query", [{"show": "x"}, {"scanner": "²"}, {"scanner": "9" * 30}, {"page": "x"}, {"cause": "'"}]
)
def test_scan_list_when_the_address_is_mistyped_then_it_answers_all_the_same(client, trial, manager, query):
    read(client, manager, "qc:trial-scan-list", trial.code, **query)


# --- the report -----------------------------------------------------------------------------------


def test_report_when_asked_for_by_a_press_then_it_is_watched_and_can_be_downloaded(client, trial, manager, add):
    add("0101")
    client.force_login(manager)
    answer = client.post(reverse("qc:trial-report-request", args=[trial.code]))
    assert (answer.status_code, answer["Location"]) == (302, f"{reverse(PAGE, args=[trial.code])}#downloads")
    report = TrialReport.objects.get()
    address = reverse("qc:trial-download-list", args=[trial.code])
    waiting = client.get(address, headers={"HX-Request": "true"}).content.decode()
    assert 'hx-trigger="every 2s"' in waiting
    TrialReport.objects.update(work_state=WorkState.RUNNING, progress_done=40, progress_total=60)
    assert "Making the report, 40 of 60 scans" in client.get(address, headers={"HX-Request": "true"}).content.decode()
    TrialReport.objects.update(work_state=WorkState.QUEUED)
    kit.work(services.trial_report_make, trial_report_id=report.pk)
    done = client.get(f"{address}?asked=2", headers={"HX-Request": "true"}).content.decode()
    assert "hx-trigger" not in done
    assert 'data-says="The report is made."' in done
    report.refresh_from_db()
    for name, start in (
        ("conformance.pdf", b"%PDF-1.7"),
        ("scans.csv", b"submission,"),
        ("deviations.csv", b"submission,"),
    ):
        assert reverse("qc:trial-report-download", args=[report.pk, name]) in done
        file = client.get(reverse("qc:trial-report-download", args=[report.pk, name]))
        assert b"".join(file.streaming_content).startswith(start)
        assert file["Content-Disposition"].endswith(f'_{report.data_digest[:8]}_{name}"')
    assert client.get(reverse("qc:trial-report-download", args=[report.pk, "other.csv"])).status_code == 404


def test_report_when_nothing_changed_since_then_the_press_says_so_and_makes_none(client, trial, manager, add):
    add("0101")
    client.force_login(manager)
    address = reverse("qc:trial-report-request", args=[trial.code])
    client.post(address)
    kit.work(services.trial_report_make, trial_report_id=TrialReport.objects.get().pk)
    assert "Nothing has changed since this report was made." in client.post(address, follow=True).content.decode()
    assert TrialReport.objects.count() == 1


def test_report_when_it_was_not_made_then_the_page_says_so_and_offers_it_again(client, trial, manager, add):
    add("0101")
    client.force_login(manager)
    client.post(reverse("qc:trial-report-request", args=[trial.code]))
    TrialReport.objects.update(work_state=WorkState.FAILED, work_error="7F3K2Q")
    page = read(client, manager, PAGE, trial.code)
    assert "The report was not made, reference 7F3K2Q." in page
    client.post(reverse("qc:trial-report-request", args=[trial.code]))
    assert TrialReport.objects.get().work_state == WorkState.QUEUED


def test_report_when_it_is_not_made_yet_then_there_is_no_file(client, trial, manager, add):
    add("0101")
    client.force_login(manager)
    client.post(reverse("qc:trial-report-request", args=[trial.code]))
    address = reverse("qc:trial-report-download", args=[TrialReport.objects.get().pk, "conformance.pdf"])
    assert client.get(address).status_code == 404
