"""The SUV trace as a page, the decision about it, and the standing on reference objects."""

from __future__ import annotations

import ast
import html
import re
from pathlib import Path

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from corelab.models import Role, Signature
from phantoms.suv import suv_factor
from phantoms.suv.body import KINDS
from phantoms.suv.reference import PRECEDENCE
from phantoms.suv.standing import standing
from qc.models import Run, Submission, SuvChoice
from qc.states import SubmissionState as S
from qc.suv_trace import ATTRIBUTES, CANDIDATES, LEFT_PX, time_line_svg
from tests import factories
from tests.phantoms.test_suv import ALL_CORRECTIONS, header
from tests.phantoms.test_suv_reference import late_frames
from tests.qc import scenes

pytestmark = pytest.mark.django_db

ROOT = Path(__file__).resolve().parents[2]


def result_by(made, **decided):
    """Return a cylinder's result whose SUV is worked out from these headers."""
    return scenes.cylinder_result() | {"suv": suv_factor(made, **decided).as_json()}


@pytest.fixture
def conflict(draft, physicist):
    """A run in the physicist's review whose reference times are 420 s apart."""
    run = scenes.measured(draft, result_by(late_frames(420)), state=S.IN_REVIEW)
    Submission.objects.filter(pk=draft.pk).update(reviewer=physicist)
    return run


def trace_url(run: Run) -> str:
    return reverse("qc:suv-trace", args=[run.number])


def choose_url(run: Run) -> str:
    return reverse("qc:submission-choose", args=[run.submission.number])


def page_of(client, address: str) -> str:
    answer = client.get(address)
    assert answer.status_code == 200
    return answer.content.decode()


def row(page: str, of: str) -> str:
    """Return the table row that names something."""
    return next(one for one in re.findall(r"<tr.*?</tr>", page, re.DOTALL) if of in one)


# --- the trace ------------------------------------------------------------------------------------


def test_trace_when_suv_is_given_then_each_line_has_attribute_value_use_and_alternatives(client, draft, physicist):
    run = scenes.measured(draft, result_by(late_frames(90)))
    client.force_login(physicist)
    page = page_of(client, trace_url(run))
    dose = row(page, "(0018,1074)")
    assert "Radionuclide Total Dose" in dose
    assert "370000000.0" in dose
    assert "injected activity" in dose
    reference = row(page[page.index('id="steps"') :], ">R2<")
    assert "R5 11:01:30, +90\u202fs" in reference
    assert "2.763367 × 10⁻⁴" in row(page, "SUVbw, body weight")  # 70 000 g / (3.7e8 Bq · 2 ** (−3600 / 6586.2))


def test_trace_when_the_program_notes_an_attribute_then_it_has_a_name_and_a_step():
    sources = (ROOT / "phantoms" / "suv").glob("*.py")
    calls = [
        node
        for file in sources
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call)
    ]
    noted = {
        one.args[0].value
        for one in calls
        if isinstance(one.func, ast.Attribute) and one.func.attr == "note" and isinstance(one.args[0], ast.Constant)
    }
    noted |= set(KINDS) | {f"SUV{kind}" for kind in ("bw", *KINDS)}
    assert len(noted) > 40
    assert noted - set(ATTRIBUTES) == set()
    assert set(PRECEDENCE) | {"R6", "R7"} == set(CANDIDATES)


def test_time_line_when_a_date_is_wrong_then_its_mark_stands_at_the_end_and_the_others_keep_their_scale():
    suv = suv_factor(late_frames(90)).as_json()
    far = {"id": "R1", "time": "1960-01-01T00:00:00", "eligible": False, "used": False, "reason": "its date"}
    alone, beside = (
        time_line_svg(suv | {"candidates": given}) for given in (suv["candidates"], [far, *suv["candidates"][1:]])
    )
    places = [re.findall(r'c[x]="([\d.]+)"', svg) for svg in (alone, beside)]
    assert places[0] == places[1]
    assert f"M{LEFT_PX - 4:.1f} " in beside


def test_trace_when_candidates_are_drawn_then_words_say_the_same_and_the_used_one_is_bold(client, draft, physicist):
    run = scenes.measured(draft, result_by(late_frames(90)))
    client.force_login(physicist)
    page = page_of(client, trace_url(run))
    svg = re.search(r"<svg[^>]*time-line.*?</svg>", page, re.DOTALL)[0]
    assert "style=" not in svg
    assert "<title>Candidates for the reference time</title>" in svg
    assert "<desc>R2 11:00:00 used; R5 11:01:30 holds, +90\u202fs; R8 11:20:00 left out, +1200\u202fs</desc>" in svg
    assert re.search(r'time-line-bold"[^>]*>R2<', svg)
    after = page[page.index("</svg>", page.index("time-line")) :]
    assert after.index("<table") < after.index("<h2")  # the table stands right after the drawing
    assert "<b>" in row(page, "SeriesTime is 1200 s before")
    assert "is filled in: the first acquisition is not the reference" in row(page, "</span> First acquisition")


def test_trace_when_it_is_refused_then_says_what_can_be_done_by_whom(client, conflict, physicist):
    client.force_login(physicist)
    page = page_of(client, trace_url(conflict))
    assert "No SUV is given" in page
    assert "differ by 7 minutes, which is 4.5 % in SUV" in page
    assert "Core lab: Nothing yet: a physicist decides" in page
    assert "seconds are counted from R2" in page
    assert choose_url(conflict) in page


def test_trace_when_several_things_are_missing_then_each_stands_once_with_its_owner(client, draft, physicist):
    nothing = header(PatientWeight=None, given={"RadionuclideTotalDose": None})
    run = scenes.measured(draft, result_by(nothing))
    client.force_login(physicist)
    page = page_of(client, trace_url(run))
    for detail in ("The weight is missing or 0 (0010,1030).", "The injected activity is missing (0018,1074)."):
        assert page[: page.index('id="instants"')].count(detail) == 1
    assert page.count("Site: ") == 2
    assert choose_url(run) not in page


def test_trace_when_it_is_not_decay_corrected_then_each_bed_has_its_factor(client, draft, physicist):
    corrections = [one for one in ALL_CORRECTIONS if one != "DECY"]
    beds = [{"AcquisitionTime": at} for at in ("110000", "110000", "110200")]
    undecayed = header(DecayCorrection="NONE", CorrectedImage=corrections, slices=beds)
    run = scenes.measured(draft, result_by(undecayed))
    client.force_login(physicist)
    page = page_of(client, trace_url(run))
    part = page[page.index('id="slices"') :]
    assert "1 to 2" in part
    assert '<th scope="row">3</th>' in part
    assert "The factor differs by slice." in page


def test_trace_when_read_then_every_body_size_has_its_factor_or_its_reason(client, draft, physicist):
    run = scenes.measured(draft, result_by(header(PatientSize=None)))
    client.force_login(physicist)
    sizes = page_of(client, trace_url(run))
    sizes = sizes[sizes.index('id="sizes"') :]
    assert "× 10⁻⁴" in row(sizes, "SUVbw, body weight")
    for what in ("James 128", "Janmahasatian", "Du Bois", "Sugawara"):
        assert "not given: The height is missing" in row(sizes, what)


def test_trace_when_a_line_is_about_a_person_then_it_is_left_out(client, draft, physicist):
    run = scenes.measured(draft)  # its trace names a patient
    client.force_login(physicist)
    page = page_of(client, trace_url(run))
    assert "NOBODY" not in page
    assert "(0010,0010)" not in page


def test_trace_when_the_site_asks_then_it_sees_it_with_the_result_and_not_before(client, draft, sender, physicist):
    run = scenes.measured(draft, result_by(late_frames(90)))
    client.force_login(sender)
    assert client.get(trace_url(run)).status_code == 404
    review = scenes.signed(draft, physicist, result_by(late_frames(90)))
    page = page_of(client, trace_url(review.run))
    assert "Step by step" in page
    assert "A physicist may decide" not in page
    assert choose_url(review.run) not in page


@pytest.mark.parametrize(("lacks", "mends"), [({}, False), ({"PatientWeight": None}, True)])
def test_site_page_when_only_a_physicist_can_settle_it_then_no_replacement_is_asked_for(
    client, site, sender, lacks, mends
):
    ge = {"Manufacturer": "GE MEDICAL SYSTEMS", "AcquisitionTime": "112000", "FrameReferenceTime": 780_000}
    suv = suv_factor(header(**ge, **lacks)).as_json()
    patient = factories.submission(of=site, created_by=sender, kind="patient", trial=factories.trial(site))
    scenes.measured(patient, scenes.patient_result() | {"suv": suv})
    client.force_login(sender)
    page = page_of(client, _detail(patient))
    assert suv["refused"]["next_step"] in html.unescape(page)
    assert ("What you can put right now" in page) is mends
    assert ("Send a replacement" in page) is mends


def test_trace_when_there_is_no_result_yet_then_it_is_not_there(client, conflict, physicist):
    Run.objects.update(result={})
    client.force_login(physicist)
    assert client.get(trace_url(conflict)).status_code == 404


def test_trace_when_nothing_was_read_then_the_page_stands_all_the_same(client, draft, physicist):
    from qc import analysis

    nothing = analysis.unusable("SERIES-NONE", "There is no PET series.", "Send one.", analysis.Request()).json
    run = scenes.measured(draft, nothing | {"method": "cylinder", "input_digest": "sha256:0"})
    client.force_login(physicist)
    page = page_of(client, trace_url(run))
    assert "There is no PET series." in page
    assert "No header was read." in page


def test_trace_when_a_decision_stands_behind_it_then_person_sentence_and_reason_are_shown(client, draft, physicist):
    run = _decided(draft, physicist)
    client.force_login(physicist)
    for address in (trace_url(run), reverse("qc:run-detail", args=[run.number]), _detail(draft)):
        page = page_of(client, address)
        assert "SUV by a signed decision" in page
        assert "I choose R5, 2 Mar 2026 11:07:00" in page
        assert "The console shows 11:07." in page
    assert "The console shows 11:07." in page_of(client, reverse("qc:report-show", args=[run.number]))
    assert "used" in row(page_of(client, trace_url(run)), ">R5<")


def _decided(submission: Submission, physicist) -> Run:
    looked_at = scenes.measured(submission, result_by(late_frames(420)))
    run = scenes.measured(submission, result_by(late_frames(420), chosen_reference="R5"))
    run.parameters |= {"chosen_reference": "R5"}
    run.save()
    signature = Signature.objects.create(
        user=physicist,
        printed_name=physicist.name,
        role="Physicist",
        meaning="override",
        statement="I have read it. I choose R5, 2 Mar 2026 11:07:00.",
        method="password",
        signed_at=looked_at.finished_at,
        digest="a" * 64,
        object_type="qc.run",
        object_id=str(looked_at.pk),
    )
    SuvChoice.objects.create(
        submission=submission, run=looked_at, decision="R5", reason="The console shows 11:07.", signature=signature
    )
    return run


def _detail(submission: Submission) -> str:
    return reverse("qc:submission-detail", args=[submission.number])


def test_trace_when_it_is_long_then_the_queries_do_not_grow(client, draft, physicist):
    client.force_login(physicist)
    short = scenes.measured(draft, result_by(header()))
    beds = [{"AcquisitionTime": f"11{minute:02}00"} for minute in range(50)]
    long = scenes.measured(draft, result_by(header(slices=beds)))
    page_of(client, trace_url(long))  # what a first page of a session asks for once
    asked = []
    for run in (short, long):
        with CaptureQueriesContext(connection) as captured:
            page_of(client, trace_url(run))
        asked.append(len(captured))
    assert asked[0] == asked[1] <= 10


@pytest.mark.parametrize("name", ["run-detail", "report-show", "submission-detail"])
def test_links_when_a_run_is_looked_at_then_its_trace_is_one_click_away(client, draft, physicist, sender, name):
    run = scenes.signed(draft, physicist).run
    number = draft.number if name == "submission-detail" else run.number
    for person in (physicist, sender):
        client.force_login(person)
        assert trace_url(run) in page_of(client, reverse(f"qc:{name}", args=[number]))


# --- the decision ---------------------------------------------------------------------------------


def filled(run: Run, /, **changes: str) -> dict[str, str]:
    given = {"run": str(run.number), "choice": "R5", "reason": "The console shows 11:07."}
    return given | {"password": factories.PASSWORD} | changes


def test_choose_when_opened_then_offers_whole_sentences_and_chooses_nothing(client, conflict, physicist):
    client.force_login(physicist)
    page = page_of(client, choose_url(conflict))
    radios = re.findall(r'<input type="radio" name="choice"[^>]*>', page)
    assert [re.search(r'value="(\w+)"', one)[1] for one in radios] == ["R2", "R5"]
    assert not any("checked" in one for one in radios)
    assert f"I have read the SUV trace of run {conflict} of {conflict.submission}." in page
    assert "SUV reads 4.5\u202f% higher than by R2" in page
    assert 'type="password"' in page


def test_choose_when_signed_then_it_is_measured_anew(client, conflict, physicist):
    client.force_login(physicist)
    answer = client.post(choose_url(conflict), filled(conflict))
    assert answer.url == _detail(conflict.submission)
    conflict.submission.refresh_from_db()
    assert conflict.submission.state == S.SENT
    assert SuvChoice.objects.get().decision == "R5"


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"password": "not this"}, "Password is not right. Nothing was signed."),
        ({"password": ""}, "Enter your password. Nothing was signed."),
        ({"choice": ""}, "Choose what you decide. Nothing was signed."),
        ({"reason": " "}, "Say why: this needs a reason."),
        ({"run": "1"}, "The run changed while you were reading"),
    ],
)
def test_choose_when_something_lacks_then_nothing_is_signed_and_nothing_lost(
    client, conflict, physicist, changes, words
):
    client.force_login(physicist)
    page = client.post(choose_url(conflict), filled(conflict, **changes)).content.decode()
    assert words in page
    assert "not this" not in page
    assert "reason" in changes or "The console shows 11:07." in page
    assert not Signature.objects.exists()


def test_choose_when_it_is_not_offered_then_nothing_is_signed(client, conflict, physicist):
    client.force_login(physicist)
    assert client.post(choose_url(conflict), filled(conflict, choice="R4")).status_code == 200
    assert not Signature.objects.exists()


def test_choose_when_another_physicist_asks_then_leads_to_the_trace_that_names_who_has_it(client, conflict, physicist):
    client.force_login(factories.user(Role.PHYSICIST))
    answer = client.get(choose_url(conflict))
    assert answer.url == trace_url(conflict)
    page = page_of(client, answer.url)
    assert f"<bdi>{physicist.name}</bdi>, who has" in page
    assert choose_url(conflict) not in page


@pytest.mark.parametrize("role", [Role.TECHNICIAN, Role.APPROVER, Role.AUDITOR])
def test_choose_when_no_physicist_asks_then_is_not_there(client, conflict, role):
    client.force_login(factories.user(role))
    assert client.get(choose_url(conflict)).status_code == 404


def test_choose_when_nothing_is_open_then_leads_to_the_trace(client, draft, physicist):
    run = scenes.measured(draft, result_by(header()), state=S.IN_REVIEW)
    Submission.objects.filter(pk=draft.pk).update(reviewer=physicist)
    client.force_login(physicist)
    assert client.get(choose_url(run)).url == trace_url(run)


def test_review_when_the_suv_is_open_then_says_so_before_the_verdict(client, conflict, physicist):
    client.force_login(physicist)
    assert choose_url(conflict) in page_of(client, reverse("qc:submission-review", args=[conflict.submission.number]))


# --- the standing ---------------------------------------------------------------------------------


def test_standing_when_opened_then_has_every_object_and_says_what_was_not_at_hand(client, sender):
    client.force_login(sender)
    page = page_of(client, reverse("qc:standing-show"))
    for one in standing()["sets"]:
        assert f"{one['passed']} of {one['of']}" in page
        for each in one["objects"]:
            assert each["id"].split(";")[0] in page
    assert "No pixels of a Siemens or Philips scanner, no Enhanced PET and no counts (CNTS) images" in page
