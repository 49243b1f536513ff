"""One submission, one address: staff see everything, its site what it asks for, a trial what was released."""

from __future__ import annotations

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from corelab.models import Role
from qc.models import Submission
from qc.states import SubmissionState as S
from tests import factories
from tests.qc import scenes

pytestmark = pytest.mark.django_db


@pytest.fixture
def site_client(client, sender):
    client.force_login(sender)
    return client


@pytest.fixture
def staff_client(client, physicist):
    client.force_login(physicist)
    return client


def detail(submission: Submission) -> str:
    return reverse("qc:submission-detail", args=[submission.number])


def page_of(client, submission: Submission, **query) -> str:
    answer = client.get(detail(submission), query)
    assert answer.status_code == 200
    return answer.content.decode()


# --- the list -------------------------------------------------------------------------------------


def queries_of_list(client, **query) -> int:
    with CaptureQueriesContext(connection) as captured:
        assert client.get(reverse("qc:submission-list"), query).status_code == 200
    return len(captured)


@pytest.mark.parametrize("role", [Role.SITE_USER, Role.PHYSICIST, Role.TRIAL_MANAGER])
def test_list_when_it_grows_then_asks_the_database_no_more(client, site, sender, role):
    trial = factories.trial(site)
    person = {
        Role.SITE_USER: sender,
        Role.PHYSICIST: factories.user(Role.PHYSICIST),
        Role.TRIAL_MANAGER: factories.user(Role.TRIAL_MANAGER, trial=trial),
    }[role]
    client.force_login(person)

    def add(count: int) -> None:
        for _ in range(count):
            made = factories.submission(of=site, created_by=sender, trial=trial, reviewer=None)
            scenes.signed(made, factories.user(Role.PHYSICIST))

    add(1)
    queries_of_list(client)  # warms what is kept in the process
    few = queries_of_list(client)
    add(6)
    assert queries_of_list(client) == few
    assert few <= 10


def test_list_when_filtered_then_shows_only_what_fits_and_says_when_nothing_does(staff_client, draft, sender):
    scenes.measured(draft)
    other = factories.submission(of=draft.site, created_by=sender, kind="nema_iq")
    scenes.measured(other, scenes.nema_result())
    page = staff_client.get(reverse("qc:submission-list"), {"kind": "nema_iq"}).content.decode()
    assert str(other) in page
    assert f">{draft}<" not in page
    page = staff_client.get(reverse("qc:submission-list"), {"state": "closed"}).content.decode()
    assert "No submission with these filters." in page


def test_list_when_a_site_looks_then_no_proposed_verdict_is_in_it(site_client, draft):
    scenes.measured(draft, scenes.cylinder_result(14.0))
    page = site_client.get(reverse("qc:submission-list")).content.decode()
    assert "chip-fail" not in page
    assert "Waits for review" in page


# --- staff ----------------------------------------------------------------------------------------


def test_detail_when_staff_look_then_pictures_stand_beside_a_proposed_verdict(staff_client, draft):
    run = scenes.measured(draft, scenes.cylinder_result(14.0))
    page = page_of(staff_client, draft)
    assert "Proposed: Fail" in page
    assert "verdict-fail is-proposed" in page
    assert reverse("qc:figure-show", args=[run.number, "central_slice"]) in page
    assert 'alt="Plane central_slice"' in page
    assert "Calibration bias" in page
    assert "−10 to +10" in page


def test_detail_when_numbers_fail_then_the_farthest_stands_first_and_passes_are_folded(staff_client, draft):
    draft.kind = "nema_iq"
    draft.save()
    scenes.measured(draft, scenes.nema_result(0.72))
    page = page_of(staff_client, draft)
    table = page[page.index('id="numbers"') :]
    shown = table[: table.index("<details")]
    margins = [float(text.replace("−", "-")) for text in _cells(shown, "num margin")]
    assert len(margins) > 3
    assert all(margin < 0 for margin in margins)
    assert 'class="fold"' in table


def _cells(html: str, name: str) -> list[str]:
    return [part.split("<")[0] for part in html.split(f'<td class="{name}">')[1:]]


def test_detail_when_another_edition_is_asked_for_then_its_numbers_are_shown(staff_client, draft):
    draft.kind = "nema_iq"
    draft.save()
    scenes.measured(draft, scenes.nema_result())
    first = page_of(staff_client, draft)
    other = page_of(staff_client, draft, against="earl2_18f")
    assert "0.76–0.89" in first
    assert "0.85–1.00" in other
    assert "0.76–0.89" not in other
    assert "Centre" not in page_of(staff_client, draft, against="nonsense")


def test_detail_when_contrast_recovery_is_measured_then_a_tab_shows_it_and_says_that_nothing_limits_it(
    staff_client, draft
):
    draft.kind = "nema_iq"
    draft.save()
    scenes.measured(draft, scenes.nema_result())
    page = page_of(staff_client, draft, against="crc")
    assert "Contrast recovery A50 37" in page.replace("\u202f", " ")
    assert "Report only: no edition publishes limits yet." in page


def test_detail_when_a_number_is_just_outside_then_it_is_not_rounded_across_the_limit(staff_client, draft):
    scenes.measured(draft, scenes.cylinder_result(10.004))
    page = page_of(staff_client, draft)
    assert "10.004" in page


@pytest.mark.parametrize("make", [scenes.cylinder_result, scenes.nema_result])
def test_detail_when_opened_then_asks_the_database_little(staff_client, draft, make):
    scenes.signed(draft, factories.user(Role.PHYSICIST), make())
    staff_client.get(detail(draft))
    with CaptureQueriesContext(connection) as captured:
        staff_client.get(detail(draft))
    assert len(captured) <= 18, "\n".join(query["sql"][:120] for query in captured)


def test_detail_when_the_person_sent_it_then_another_must_review(client, site):
    both = factories.user(Role.PHYSICIST)
    factories.Membership.objects.create(user=both, role=Role.SITE_USER, site=site, from_on="2020-01-01")
    own = factories.submission(of=site, created_by=both)
    scenes.measured(own)
    client.force_login(both)
    page = page_of(client, own)
    assert "Another physicist must review it." in page
    assert reverse("qc:submission-claim", args=[own.number]) not in page


def test_detail_when_it_is_our_error_then_says_so_and_blames_nobody(staff_client, draft):
    Submission.objects.filter(pk=draft.pk).update(
        state=S.HELD, hold_code="OUR-ERROR", hold_reason="Our error.", proposed_verdict="ERROR", sent_at=timezone.now()
    )
    page = page_of(staff_client, draft)
    assert "Our error" in page
    assert "The files are safe." in page
    assert reverse("qc:submission-recheck", args=[draft.number]) in page


def test_detail_when_opened_from_the_worklist_then_leads_to_its_neighbours(staff_client, draft, sender):
    scenes.measured(draft)
    after = factories.submission(of=draft.site, created_by=sender)
    scenes.measured(after)
    page = page_of(staff_client, draft, **{"from": "needs-me"})
    assert "(1 of 2)" in page
    assert f'rel="next" href="{detail(after)}?from=needs-me"' in page


def test_detail_when_a_header_or_a_file_name_names_somebody_then_no_page_shows_it(client, draft, sender, physicist):
    scenes.signed(draft, physicist)
    for person in (sender, physicist):
        client.force_login(person)
        for name in ("submission-detail", "submission-receipt"):
            page = client.get(reverse(f"qc:{name}", args=[draft.number])).content.decode()
            assert "HIDDEN" not in page
            assert "NOBODY" not in page
        for name in ("run-detail", "report-show"):
            page = client.get(reverse(f"qc:{name}", args=[draft.current_run.number])).content.decode()
            assert "HIDDEN" not in page


# --- the site -------------------------------------------------------------------------------------


def test_detail_when_a_site_looks_before_release_then_sees_a_date_and_no_number(site_client, draft):
    scenes.measured(draft, scenes.cylinder_result(14.0))
    page = page_of(site_client, draft)
    assert "A physicist reviews it by" in page
    assert "14.0" not in page
    assert "chip-fail" not in page
    assert "verdict-fail" not in page
    assert "/figures/" not in page
    assert reverse("qc:submission-withdraw", args=[draft.number]) in page


def test_detail_when_a_site_looks_after_release_then_sees_verdict_reason_and_what_to_do(site_client, draft, physicist):
    scenes.signed(
        draft, physicist, scenes.cylinder_result(14.0), comment_to_site="Check the calibrator, then scan again."
    )
    page = page_of(site_client, draft)
    assert "verdict-fail" in page
    assert "is-proposed" not in page
    assert physicist.name in page
    assert "Check the calibrator, then scan again." in page
    assert reverse("qc:report-download", args=[draft.current_run.number]) in page
    assert page.index("What to do") < page.index("All numbers")
    assert reverse("qc:submission-withdraw", args=[draft.number]) not in page


def test_detail_when_the_physicist_differs_then_the_persons_words_stand_beside_the_verdict(
    site_client, draft, physicist
):
    scenes.signed(
        draft, physicist, scenes.cylinder_result(10.4), verdict="PASS", difference_reason="The sheet was mended."
    )
    page = page_of(site_client, draft)
    assert "Pass – The sheet was mended." in page


def test_detail_when_what_arrived_can_be_repaired_then_the_site_sees_it_at_once(site_client, draft):
    scenes.measured(draft)
    finding = {"id": "ING-05", "outcome": "FAIL", "severity": "query", "message": "Series 3 has 83 of 89 slices."}
    draft.check_findings = [finding | {"next_step": "Send series 3 again.", "owner": "site"}]
    draft.save()
    page = page_of(site_client, draft)
    assert "What you can put right now" in page
    assert "Send series 3 again." in page


def test_detail_when_a_draft_then_leads_to_the_step_that_is_next(site_client, draft):
    assert site_client.get(detail(draft)).url == reverse("qc:submission-sheet", args=[draft.number])


def test_detail_when_a_dry_run_then_is_shown_as_unofficial(site_client, site, sender):
    dry = factories.submission(of=site, created_by=sender, is_dry_run=True)
    scenes.measured(dry, state=S.PREVIEWED)
    page = page_of(site_client, dry)
    assert "is-proposed" in page
    assert "unofficial" in page


# --- the trial ------------------------------------------------------------------------------------


def test_detail_when_a_trial_manager_looks_then_sees_what_was_released_and_can_do_nothing(client, site, sender):
    trial = factories.trial(site)
    made = factories.submission(of=site, created_by=sender, trial=trial)
    client.force_login(factories.user(Role.TRIAL_MANAGER, trial=trial))
    scenes.measured(made)
    assert client.get(detail(made)).status_code == 404
    scenes.signed(made, factories.user(Role.PHYSICIST))
    page = page_of(client, made)
    assert "Calibration bias" in page
    main = page[page.index("<main") : page.index("</main>")]
    assert "<form" not in main
    assert "History (" not in main


# --- progress -------------------------------------------------------------------------------------


def test_progress_when_at_work_then_the_part_asks_again_ever_less_often(site_client, checking):
    address = reverse("qc:submission-progress", args=[checking.number])
    early = site_client.get(address, {"asked": "0"}).content.decode()
    late = site_client.get(address, {"asked": "200"}).content.decode()
    assert "<html" not in early
    assert 'hx-trigger="every 2s"' in early
    assert "asked=1" in early
    assert 'hx-trigger="every 15s"' in late


def test_progress_when_done_then_the_page_is_read_anew(site_client, draft):
    scenes.measured(draft)
    answer = site_client.get(reverse("qc:submission-progress", args=[draft.number]))
    assert answer["HX-Refresh"] == "true"


def test_progress_when_given_back_then_leads_to_what_is_wrong(site_client, draft):
    answer = site_client.get(reverse("qc:submission-progress", args=[draft.number]))
    assert answer["HX-Redirect"] == reverse("qc:submission-check", args=[draft.number])


# --- moves ----------------------------------------------------------------------------------------


def test_withdraw_when_no_reason_is_given_then_nothing_happens(site_client, draft):
    scenes.measured(draft)
    address = reverse("qc:submission-withdraw", args=[draft.number])
    assert "Say why" in site_client.post(address, {"reason": " "}).content.decode()
    draft.refresh_from_db()
    assert draft.state == S.AWAITING_REVIEW
    assert site_client.post(address, {"reason": "Wrong phantom."}).url == detail(draft)
    draft.refresh_from_db()
    assert draft.state == S.WITHDRAWN


def test_withdraw_when_review_has_begun_then_says_that_somebody_was_faster(site_client, draft, physicist):
    scenes.measured(draft, state=S.IN_REVIEW)
    address = reverse("qc:submission-withdraw", args=[draft.number])
    assert site_client.get(address).status_code == 409
    assert site_client.post(address, {"reason": "Wrong phantom."}).status_code == 409


def test_replace_when_confirmed_then_a_draft_with_the_same_answers_begins(site_client, draft):
    draft.sheet = {"fills": []}
    draft.save()
    scenes.measured(draft)
    address = reverse("qc:submission-replace", args=[draft.number])
    assert "takes the place of" in site_client.get(address).content.decode()
    answer = site_client.post(address)
    made = Submission.objects.get(replaces=draft)
    assert answer.url == reverse("qc:submission-place", args=[made.number])
    assert (made.scanner, made.kind, made.state) == (draft.scanner, draft.kind, S.DRAFT)


@pytest.mark.parametrize("move", ["repeat", "recheck"])
def test_move_of_staff_when_a_site_asks_then_is_not_there(site_client, draft, move):
    scenes.measured(draft, state=S.AWAITING_REVIEW if move == "repeat" else S.HELD)
    address = reverse(f"qc:submission-{move}", args=[draft.number])
    assert site_client.get(address).status_code == 404
    assert site_client.post(address, {"reason": "Now."}).status_code == 404


def test_repeat_when_a_reason_is_given_then_it_is_measured_again(staff_client, draft):
    scenes.measured(draft)
    address = reverse("qc:submission-repeat", args=[draft.number])
    assert "The earlier run stays" in staff_client.get(address).content.decode()
    assert staff_client.post(address, {"reason": "Sheet mended."}).url == detail(draft)
    draft.refresh_from_db()
    assert draft.state == S.SENT
