"""The pages of a case: what is missing and who has it first, what a person may press, and why not where not."""

from __future__ import annotations

import re

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from accreditation.models import Case, Decision
from accreditation.workflow import CaseState as C
from corelab.models import Role, Signature
from tests import factories
from tests.accreditation.scenes import EARL, UK, Scene, certificate_of, fresh
from tests.factories import PASSWORD

pytestmark = pytest.mark.django_db


@pytest.fixture
def scene(clock):
    return Scene(EARL)


@pytest.fixture
def as_(client):
    """Return the client, signed in as a person."""

    def signed_in(person):
        client.force_login(person)
        return client

    return signed_in


def url(name: str, case: Case) -> str:
    return reverse(f"accreditation:{name}", args=[case.number])


def page_of(client, case: Case, name: str = "case-detail") -> str:
    answer = client.get(url(name, case))
    assert answer.status_code == 200
    return answer.content.decode()


def buttons(page: str) -> list[str]:
    """Return what can be pressed in the panel of decisions, in its order."""
    panel = page[page.index('aria-labelledby="next"') :]
    found = re.findall(r'class="btn [^"]*"[^>]*>([^<]+)<', panel[: panel.index("</section>")])
    return [one.strip() for one in found]


# --- the start ------------------------------------------------------------------------------------


def scope(scene, **changes) -> dict[str, str]:
    given = {
        "scanner": scene.scanner.pk,
        "reconstruction": scene.reconstruction.pk,
        "tracer": "F-18",
        "standard": "earl1_18f",
        "trial": "",
        "programme": EARL,
    }
    return {name: str(value) for name, value in (given | changes).items()}


def test_start_when_a_site_names_its_scope_then_a_draft_is_there(scene, as_):
    answer = as_(scene.sender).post(reverse("accreditation:case-start"), scope(scene))
    case = Case.objects.get()
    assert answer.url == url("case-detail", case)
    assert (case.state, case.scanner, case.trial) == (C.DRAFT, scene.scanner, None)


def test_start_when_the_scope_is_open_then_says_which_case_and_leads_there(scene, as_):
    open_one = scene.start()
    answer = as_(scene.sender).post(reverse("accreditation:case-start"), scope(scene))
    page = answer.content.decode()
    assert answer.status_code == 422
    assert "There is already an open case for exactly this" in page
    assert url("case-detail", open_one) in page
    assert Case.objects.count() == 1


def test_start_when_a_trial_is_asked_for_and_missing_then_says_so_at_its_field(scene, as_):
    page = as_(scene.sender).post(reverse("accreditation:case-start"), scope(scene, programme=UK)).content.decode()
    assert "choose the trial" in page[page.index('id="id_trial_error"') :][:400]


def test_start_when_asked_with_a_scope_then_it_is_chosen(scene, as_):
    trial = factories.trial(scene.site)
    query = {"scanner": scene.scanner.pk, "trial": trial.code}
    page = as_(scene.sender).get(reverse("accreditation:case-start"), query).content.decode()
    assert f'<option value="{scene.scanner.pk}" selected' in page
    assert f'<option value="{trial.pk}" selected' in page


def test_start_when_asked_then_offers_only_standards_that_a_programme_uses(scene, as_):
    page = as_(scene.sender).get(reverse("accreditation:case-start")).content.decode()
    chosen = page[page.index('name="standard"') :]
    offered = set(re.findall(r'<option value="([^"]+)"', chosen[: chosen.index("</select>")]))
    assert offered == {"earl1_18f", "earl2_18f"}


@pytest.mark.parametrize("role", [Role.PHYSICIST, Role.APPROVER, Role.AUDITOR])
def test_start_when_no_site_asks_then_is_not_there(scene, as_, role):
    assert as_(factories.user(role)).get(reverse("accreditation:case-start")).status_code == 404


# --- one case -------------------------------------------------------------------------------------


def test_detail_when_evidence_is_missing_then_it_stands_first_and_the_site_can_send_it(scene, as_):
    case = scene.collecting()
    scene.signed("cylinder")
    page = page_of(as_(scene.sender), case)
    missing, met = page.index("Yearly image quality phantom"), page.index("Quarterly calibration cylinder")
    assert missing < page.index("<summary>Met: 1") < met
    send = re.search(r'href="(/send/[^"]+)"[^>]*>Send the NEMA IQ phantom', page)[1].replace("&amp;", "&")
    assert f"kind=nema_iq&scanner={scene.scanner.pk}&reconstruction={scene.reconstruction.pk}" in send
    assert "Requirements: 1 missing" in page


def test_detail_when_the_lab_reads_it_then_there_is_no_send_but_who_has_it(scene, as_):
    case = scene.collecting()
    page = page_of(as_(scene.physicist), case)
    assert "/send/" not in page
    assert re.search(r'data-label="With">Site</td>', page)


def test_detail_when_a_run_speaks_for_it_then_it_is_linked(scene, as_):
    case = scene.collecting()
    review = scene.signed("cylinder")
    page = page_of(as_(scene.sender), case)
    submission = review.run.submission
    address = reverse("qc:submission-detail", args=[submission.number])
    assert f'href="{address}">{submission}</a> <span class="muted">{review.run}</span>' in page


STATES = [
    ("start", "sender", ["Send the application", "Withdraw the case"]),
    ("collecting", "sender", ["Withdraw the case"]),
    ("collecting", "technician", []),
    ("reviewing", "proposer", ["Decide", "Withdraw the case"]),
    ("reviewing", "sender", ["Withdraw the case"]),
    ("proposed", "approver", ["Take for the second signature", "Withdraw the case"]),
    ("proposed", "technician", []),
    ("taken", "approver", ["Decide", "Give back", "Return to the physicist", "Withdraw the case"]),
    ("accredited", "approver", ["Suspend", "Withdraw the case"]),
    ("accredited", "sender", ["Withdraw the case"]),
]


@pytest.mark.parametrize(("road", "who", "expected"), STATES)
def test_detail_when_a_role_reads_it_then_it_can_press_what_is_its_to_press(scene, as_, road, who, expected):
    case = getattr(scene, road)()
    assert buttons(page_of(as_(getattr(scene, who)), case)) == expected


def test_detail_when_something_is_missing_then_accredit_is_off_and_says_why(scene, as_):
    case = scene.reviewing(nema_iq="FAIL")
    page = page_of(as_(scene.proposer), case)
    assert "<b>Accredit</b> is off: 1 requirement is missing: Yearly image quality phantom." in page
    assert buttons(page)[0] == "Decide"  # a corrective action, or the end


def test_detail_when_the_approver_reviewed_its_evidence_then_says_why_another_decides(scene, as_):
    case = scene.proposed()
    both = scene.also(scene.physicist, Role.APPROVER)
    page = page_of(as_(both), case)
    assert "<b>Take for the second signature</b> is off: You reviewed" in page
    assert "Take for the second signature" not in buttons(page)


def test_detail_when_a_correction_is_asked_for_then_it_stands_at_the_top_with_attempt_and_day(scene, as_):
    case = scene.reviewing(nema_iq="FAIL")
    scene.require_action(case)
    page = page_of(as_(scene.sender), case)
    assert page.index("What the core lab asks you to do") < page.index("Requirements")
    assert "Reconstruct with the 2 mm filter and send again." in page
    assert "Attempt 1 of 3" in page
    assert "24 Mar 2026" in page


def test_detail_when_signed_then_shows_name_role_meaning_time_and_digest(scene, as_):
    case = scene.accredited()
    page = page_of(as_(scene.sender), case)
    for person, meaning in ((scene.proposer, "Review"), (scene.approver, "Approval")):
        block = page[page.index(f"<bdi>{person.name}</bdi>, ") :][:1500]
        assert f"<dd>{meaning}: I " in block
        assert re.search(r'class="digest" title="[0-9a-f]{64}"', block)
        assert "10 Mar 2026 12:00 GMT" in block
    assert "Cleared to " in page
    assert certificate_of(case).number in page


def test_detail_when_somebody_elses_then_is_as_if_absent(scene, as_):
    case = scene.start()
    stranger = factories.user(Role.SITE_USER, site=factories.site())
    assert as_(stranger).get(url("case-detail", case)).status_code == 404
    assert as_(stranger).get(reverse("accreditation:case-detail", args=[99])).status_code == 404


def test_detail_when_it_holds_more_then_it_asks_no_more_queries(scene, as_):
    case = scene.accredited()
    client = as_(scene.physicist)

    def count() -> int:
        client.get(url("case-detail", case))
        with CaptureQueriesContext(connection) as queries:
            page_of(client, case)
        return len(queries)

    few = count()
    for _ in range(8):
        scene.signed("cylinder")
        scene.sent("nema_iq")
    assert count() == few <= 22


# --- moves ----------------------------------------------------------------------------------------


def test_moves_when_each_role_does_its_part_then_the_case_is_collected(scene, as_):
    case = scene.start()
    for person, name, state in (
        (scene.sender, "case-submit", C.SUBMITTED),
        (scene.technician, "case-receipt", C.RECEIPT_CHECK),
        (scene.technician, "case-accept", C.ANALYSIS_RUNNING),
    ):
        assert as_(person).post(url(name, case)).url == url("case-detail", case)
        assert fresh(case).state == state


def test_incomplete_when_no_reason_is_given_then_it_is_asked_for(scene, as_):
    case = scene.start()
    as_(scene.sender).post(url("case-submit", case))
    client = as_(scene.technician)
    client.post(url("case-receipt", case))
    assert (
        "Say why: this needs a reason." in client.post(url("case-incomplete", case), {"reason": " "}).content.decode()
    )
    client.post(url("case-incomplete", case), {"reason": "The scanner is another one."})
    assert fresh(case).state == C.INCOMPLETE
    page = page_of(as_(scene.sender), case)
    assert page.index("What is missing") < page.index("The scanner is another one.") < page.index("Requirements")
    assert "Complete it as asked" in page


def test_move_when_the_state_has_none_then_says_to_look_again(scene, as_):
    case = scene.start()
    assert as_(scene.technician).post(url("case-accept", case)).status_code == 409


def test_move_when_only_asked_for_then_nothing_changes(scene, as_):
    case = scene.start()
    assert as_(scene.sender).get(url("case-submit", case)).status_code == 405
    assert fresh(case).state == C.DRAFT


def test_suspend_when_an_approver_says_why_then_the_site_reads_it(scene, as_):
    case = scene.accredited()
    as_(scene.approver).post(url("case-suspend", case), {"reason": "The detector was repaired."})
    page = page_of(as_(scene.sender), case)
    assert fresh(case).state == C.SUSPENDED
    assert "The detector was repaired." in page
    assert "Do not scan for this scope" in page


@pytest.mark.parametrize(
    ("road", "name", "who"),
    [
        ("accredited", "case-suspend", "technician"),
        ("accredited", "case-withdraw", "technician"),
        ("taken", "case-return", "proposer"),
        ("start", "case-incomplete", "sender"),
    ],
)
def test_reason_when_the_role_never_makes_the_move_then_its_page_is_not_there(scene, as_, road, name, who):
    case = getattr(scene, road)()
    assert as_(getattr(scene, who)).get(url(name, case)).status_code == 404


# --- decisions ------------------------------------------------------------------------------------


def decide(client, case: Case, **typed: str) -> str:
    """Decide, and return what the page for signing shows."""
    answer = client.post(url("case-decide", case), typed)
    assert answer.status_code == 302, answer.content.decode()
    assert answer.url == url("case-sign", case)
    return page_of(client, case, "case-sign")


def sign(client, case: Case, page: str, password: str = PASSWORD):
    shown = dict(re.findall(r'name="(shown_\w+)" value="([0-9a-f]+)"', page))
    return client.post(url("case-sign", case), shown | {"password": password})


def test_sign_when_a_physicist_proposes_then_shows_and_keeps_the_same_sentence(scene, as_):
    case = scene.reviewing()
    client = as_(scene.proposer)
    page = decide(client, case, decision="propose", conditions="The 2 mm filter only.")
    statement = re.search(r'class="statement">([^<]+)<', page)[1]
    assert scene.proposer.name in page
    assert "<dt>Meaning</dt><dd>Review</dd>" in page
    assert "The 2 mm filter only." in page
    assert "10 Mar 2026 12:00 GMT" in page
    assert sign(client, case, page).url == url("case-detail", case)
    assert fresh(case).state == C.PASS_RECOMMENDED
    assert Decision.objects.get().signature.statement == statement


def test_sign_when_an_approver_approves_then_names_the_proposer_and_the_certificate_is_there(scene, as_):
    case = scene.taken()
    client = as_(scene.approver)
    assert scene.proposer.name in page_of(client, case, "case-decide")
    page = decide(client, case, decision="approve", valid_from="2026-03-10", valid_until="2027-03-01", conditions="")
    assert f"proposed by <bdi>{scene.proposer.name}</bdi>; you are a different person" in page
    assert "from 10 Mar 2026 to 1 Mar 2027" in page
    statement = re.search(r'class="statement">([^<]+)<', page)[1]
    sign(client, case, page)
    assert fresh(case).state == C.ACCREDITED
    assert Decision.objects.get(event="approve").signature.statement == statement
    assert certificate_of(case).valid_until.isoformat() == "2027-03-01"


@pytest.mark.parametrize(
    ("typed", "state"),
    [
        (
            {"decision": "require_action", "reason": "Low.", "action_text": "Again.", "deadline_on": "2026-03-20"},
            C.CORRECTIVE_ACTION_REQUIRED,
        ),
        ({"decision": "fail", "reason": "Cannot be mended."}, C.FAIL),
    ],
)
def test_sign_when_a_physicist_decides_otherwise_then_statement_and_state_follow(scene, as_, typed, state):
    case = scene.reviewing(nema_iq="FAIL")
    client = as_(scene.proposer)
    page = decide(client, case, **typed)
    statement = re.search(r'class="statement">([^<]+)<', page)[1]
    sign(client, case, page)
    assert fresh(case).state == state
    assert Decision.objects.get().signature.statement == statement


def test_sign_when_refused_or_reinstated_then_the_statement_is_the_one_shown(scene, as_):
    case = scene.taken()
    client = as_(scene.approver)
    page = decide(client, case, decision="refuse", reason="The sheet is not credible.")
    sign(client, case, page)
    assert fresh(case).state == C.FAIL
    assert re.search(r'class="statement">([^<]+)<', page)[1] == Decision.objects.get(event="refuse").signature.statement
    other = Scene(EARL)
    again = other.accredited()
    client = as_(other.approver)
    client.post(url("case-suspend", again), {"reason": "A repair."})
    another = factories.user(Role.APPROVER)
    client = as_(another)
    page = decide(client, again, decision="reinstate", reason="The repair was checked.")
    sign(client, again, page)
    assert fresh(again).state == C.ACCREDITED
    shown = re.search(r'class="statement">([^<]+)<', page)[1]
    assert Decision.objects.get(event="reinstate").signature.statement == shown


def test_sign_when_the_password_is_wrong_then_nothing_is_signed_and_nothing_lost(scene, as_):
    case = scene.reviewing()
    client = as_(scene.proposer)
    page = decide(client, case, decision="propose", conditions="The 2 mm filter only.")
    signed = Signature.objects.count()
    again = sign(client, case, page, password="not this").content.decode()
    assert "Password is not right. Nothing was signed." in again
    assert "The 2 mm filter only." in again
    assert "not this" not in again
    assert Signature.objects.count() == signed


@pytest.mark.parametrize(
    "other",
    [
        {"decision": "refuse", "reason": "The spheres read low."},
        {"decision": "approve", "valid_from": "2026-03-10", "valid_until": "2027-03-01", "conditions": "Another."},
        {"decision": "approve", "valid_from": "2026-03-10", "valid_until": "2026-12-31", "conditions": "This one."},
    ],
)
def test_sign_when_decided_otherwise_in_another_window_then_nothing_is_signed_and_shows_what_would_be(
    scene, as_, other
):
    case = scene.taken()
    client = as_(scene.approver)
    shown = {"decision": "approve", "valid_from": "2026-03-10", "valid_until": "2027-03-01", "conditions": "This one."}
    page = decide(client, case, **shown)
    decide(client, case, **other)
    signed = Signature.objects.count()
    answer = sign(client, case, page)
    assert answer.status_code == 409
    again = answer.content.decode()
    assert "Nothing was signed" in again
    assert next(filter(None, (other.get("reason"), other.get("conditions")))) in again
    assert Signature.objects.count() == signed
    assert fresh(case).state == C.SECOND_REVIEW
    assert sign(client, case, decide(client, case, **other)).status_code == 302
    assert fresh(case).state == (C.FAIL if other["decision"] == "refuse" else C.ACCREDITED)


def test_sign_when_the_evidence_changed_meanwhile_then_nothing_is_signed_and_the_words_are_kept(scene, as_):
    case = scene.reviewing(nema_iq="FAIL")
    client = as_(scene.proposer)
    page = decide(client, case, decision="fail", reason="Cannot be mended.")
    signed = Signature.objects.count()
    scene.signed("nema_iq", "PASS")
    answer = sign(client, case, page)
    assert answer.status_code == 409
    assert "changed while you were reading" in answer.content.decode()
    assert "Cannot be mended." in answer.content.decode()
    assert Decision.objects.count() == 0
    assert Signature.objects.count() == signed + 1  # the review of the phantom


def test_decide_when_fields_are_missing_then_each_is_asked_for_and_what_was_typed_stays(scene, as_):
    case = scene.reviewing(nema_iq="FAIL")
    client = as_(scene.proposer)
    typed = {
        "decision": "require_action",
        "reason": "The spheres read low.",
        "action_text": "",
        "deadline_on": "2026-03-09",
    }
    page = client.post(url("case-decide", case), typed).content.decode()
    assert "Say what the site is to do." in page
    assert "Enter a day after today." in page
    assert "The spheres read low." in page


def test_decide_when_it_was_the_last_attempt_then_one_more_needs_a_reason(scene, as_):
    case = scene.reviewing(nema_iq="FAIL")
    Case.objects.filter(pk=case.pk).update(attempt=3)
    client = as_(scene.proposer)
    typed = {"decision": "require_action", "reason": "Low.", "action_text": "Again.", "deadline_on": "2026-03-20"}
    page = client.post(url("case-decide", case), typed).content.decode()
    assert "This was attempt 3 of 3." in page
    assert "Say why one more attempt is allowed, or fail the case." in page
    page = decide(client, case, **typed, more_attempts_reason="The filter was found.")
    assert "The filter was found." in page
    sign(client, case, page)
    assert fresh(case).state == C.CORRECTIVE_ACTION_REQUIRED


def test_decide_when_another_approver_has_it_then_leads_back(scene, as_):
    case = scene.taken()
    client = as_(factories.user(Role.APPROVER))
    assert client.get(url("case-decide", case)).url == url("case-detail", case)
    assert f"{scene.approver.name} has this." in page_of(client, case)


@pytest.mark.parametrize("who", ["sender", "technician"])
@pytest.mark.parametrize("name", ["case-decide", "case-sign"])
def test_decide_when_the_role_never_decides_then_is_not_there(scene, as_, who, name):
    case = scene.reviewing()
    assert as_(getattr(scene, who)).get(url(name, case)).status_code == 404


# --- list -----------------------------------------------------------------------------------------


def test_list_when_narrowed_then_only_those_are_shown(scene, as_):
    open_one, done = scene.start(), Scene(EARL)
    accredited = done.accredited()
    client = as_(scene.physicist)

    def numbers(**query):
        page = client.get(reverse("accreditation:case-list"), query).content.decode()
        return re.findall(r">(C-\d+)<", page)

    assert set(numbers()) == {str(open_one), str(accredited)}
    assert numbers(state="in-force") == [str(accredited)]
    assert numbers(site=scene.site.code) == [str(open_one)]


def test_list_when_it_grows_then_it_asks_no_more_queries(scene, as_):
    scene.start()
    client = as_(scene.physicist)

    def count() -> int:
        client.get(reverse("accreditation:case-list"))
        with CaptureQueriesContext(connection) as queries:
            assert client.get(reverse("accreditation:case-list")).status_code == 200
        return len(queries)

    few = count()
    for _ in range(10):
        Scene(EARL).start()
    assert count() == few <= 10
