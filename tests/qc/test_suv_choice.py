"""The physicist's choice about a SUV: what is offered in which words, signed once, measured as a run of its own."""

from __future__ import annotations

import re

import pytest
from django.db import IntegrityError, transaction

from corelab.errors import InvalidMove, NotAllowed, NotFound, Refused, StaleState
from corelab.models import AuditEvent, Membership, Role, Signature
from phantoms.suv import suv_factor
from qc import analysis, selectors, services
from qc.checklists import CHECKLISTS
from qc.models import Report, Review, Run, Submission, SuvChoice
from qc.services import reports
from qc.states import SubmissionState as S
from qc.suv_choice import LBM120, decision_of, effect_pct, offers, request_of, statement
from tests import factories
from tests.factories import PASSWORD
from tests.phantoms.test_suv import header
from tests.phantoms.test_suv_reference import late_frames
from tests.qc.kit import SHEET, call, receive, slices, work

LBM = {"Units": "GML", "SUVType": "LBM", "PatientWeight": 90.0, "PatientSize": 1.8}


def result_of(made, **decided):
    return {"suv": suv_factor(made, **decided).as_json()}


def offered(made, **decided) -> dict[str, str]:
    return {one.decision: one.sentences for one in offers(result_of(made, **decided), decided)}


# --- what is offered, in which words --------------------------------------------------------------


def test_offers_when_two_times_conflict_then_each_that_holds_is_offered_with_its_time_and_its_effect():
    found = offered(late_frames(420))
    assert set(found) == {"R2", "R5"}
    assert "R5, 2 Mar 2026 11:07:00" in found["R5"]
    assert "4.5\u202f% higher than by R2, 2 Mar 2026 11:00:00" in found["R5"]  # 2 ** (420 / 6586.2) = 1.0452
    assert "4.3\u202f% lower than by R5" in found["R2"]  # the other way round: 1 / 1.0452


def test_offers_when_they_only_warn_then_one_may_choose_all_the_same():
    assert set(offered(late_frames(90))) == {"R2", "R5"}


def test_offers_when_all_agree_then_there_is_nothing_to_choose():
    assert offered(header()) == {}
    assert offered(late_frames(0)) == {}


@pytest.mark.parametrize("correction", ["ADMIN", "NONE"])
def test_offers_when_no_scan_start_is_looked_for_then_there_is_nothing_to_choose(correction):
    assert offered(header(DecayCorrection=correction)) == {}


def test_offers_when_the_pixels_are_suv_already_then_a_time_would_change_nothing_and_is_not_offered():
    ge = {"Manufacturer": "GE MEDICAL SYSTEMS", "Units": "GML", "FrameReferenceTime": 780_000}
    conflict = header(AcquisitionTime="112000", **ge)
    assert suv_factor(conflict).factor_g_per_bq == 1.0
    assert offered(conflict) == {}


def test_offers_when_the_half_life_is_not_known_then_the_effect_cannot_be_said_and_nothing_is_offered():
    ge = {"Manufacturer": "GE MEDICAL SYSTEMS", "AcquisitionTime": "112000", "FrameReferenceTime": 780_000}
    assert set(offered(header(**ge))) == {"R2", "R5"}
    assert offered(header(**ge, given={"RadionuclideHalfLife": None})) == {}


def test_offers_when_one_was_chosen_then_the_others_and_the_way_back_are_offered():
    found = offered(late_frames(420), chosen_reference="R5")
    assert set(found) == {"R2", ""}
    assert "4.3\u202f% lower" in found[""]


def test_offers_when_the_choice_does_not_hold_then_those_that_do_and_the_way_back_are_offered():
    assert set(offered(late_frames(420), chosen_reference="R4")) == {"R2", "R5", ""}


def test_offers_when_the_pixels_are_suv_by_lbm_then_the_coefficient_120_is_offered_with_its_effect():
    found = offered(header(**LBM))
    # by hand: 99 − 120/4 = 69 kg, 99 − 128/4 = 67 kg; 90 / 69 = 1.3043, 67 / 69 = 0.971
    assert set(found) == {LBM120}
    assert "1.3043" in found[LBM120]
    assert "2.9\u202f% lower than by the coefficient 128" in found[LBM120]
    assert set(offered(header(**LBM), accepts_lbm120=True)) == {""}


@pytest.mark.parametrize(
    "changes", [{"PatientSize": None}, {"PatientSex": None}, {"PatientWeight": 140.0, "PatientSize": 1.6}]
)
def test_offers_when_the_lean_mass_cannot_be_had_then_120_is_not_offered(changes):
    assert offered(header(**(LBM | changes))) == {}


def test_effect_when_one_half_life_later_then_suv_doubles():
    from datetime import datetime, timedelta

    at = datetime(2026, 3, 2, 11)
    assert effect_pct(at + timedelta(seconds=6586.2), at, 6586.2) == pytest.approx(100)
    assert effect_pct(at - timedelta(seconds=6586.2), at, 6586.2) == pytest.approx(-50)


def test_statement_when_read_then_it_is_whole_sentences_that_name_run_and_submission():
    offer = next(one for one in offers(result_of(late_frames(420)), {}) if one.decision == "R5")
    said = statement(offer, "R-3310", "S-2481")
    assert said.startswith("I have read the SUV trace of run R-3310 of S-2481. I choose R5")
    assert said.endswith(".")


@pytest.mark.parametrize("decision", ["R4", LBM120, ""])
def test_parameters_when_a_decision_goes_there_and_back_then_it_is_the_same(decision):
    assert decision_of(analysis.Request(**request_of(decision)).as_json()) == decision


def test_parameters_when_nothing_was_decided_then_they_are_those_of_before():
    assert set(analysis.Request().as_json()) == {"method", "sheet", "standards", "edition", "series_uid"}


# --- the service ----------------------------------------------------------------------------------

pytestmark = pytest.mark.django_db


@pytest.fixture
def conflicting(monkeypatch, measured):
    """Let the analysis measure a scan whose reference times are 420 s apart, as the run's parameters ask."""
    scan = {"header": late_frames(420)}

    def analyse_files(files, request, *, with_figures=False):
        decided = {"chosen_reference": request.chosen_reference, "accepts_lbm120": request.accepts_lbm120}
        suv = suv_factor(scan["header"], **decided)
        measured.result["suv"] = suv.as_json()
        measured.result["verdict"] = "NOT_EVALUABLE" if suv.refused else "WARN"
        return measured(files, request)

    monkeypatch.setattr(analysis, "analyse_files", analyse_files)
    monkeypatch.setattr(reports, "render_pdf", lambda context, figures: repr(context).encode())
    return scan


@pytest.fixture
def mine(draft, conflicting, physicist):
    """A submission in the physicist's review whose SUV was refused."""
    draft.sheet = SHEET
    draft.save()
    receive(draft, *slices())
    call(services.submission_send, actor=draft.created_by, submission_id=draft.pk)
    work(services.submission_check, submission_id=draft.pk)
    return measure_and_claim(draft, physicist)


def measure_and_claim(submission: Submission, physicist) -> Submission:
    for run in Run.objects.filter(work_state="QUEUED"):
        work(services.run_analyse, run_id=run.pk)
    for report in Report.objects.filter(work_state="QUEUED"):
        work(services.report_make, report_id=report.pk)
    call(services.submission_claim, actor=physicist, submission_id=submission.pk)
    submission.refresh_from_db()
    assert submission.state == S.IN_REVIEW
    return submission


def choose(submission, actor, decision="R5", **fields):
    given = {"run_id": submission.current_run_id, "reason": "The console shows 11:07.", "password": PASSWORD}
    asked = given | fields
    return call(services.suv_choice_sign, actor=actor, submission_id=submission.pk, decision=decision, **asked)


def test_choose_when_signed_then_a_new_run_has_it_in_its_identity_and_takes_the_old_ones_place(mine, physicist):
    old = mine.current_run
    assert old.result["suv"]["refused"]["code"] == "SUV-TREF-CONFLICT"
    choice = choose(mine, physicist)
    mine.refresh_from_db()
    assert (mine.state, mine.reviewer) == (S.SENT, None)
    new = mine.runs.exclude(pk=old.pk).get()
    assert new.parameters["chosen_reference"] == "R5"
    assert {key: value for key, value in new.parameters.items() if key != "chosen_reference"} == old.parameters
    measure_and_claim(mine, physicist)
    old.refresh_from_db()
    assert (mine.current_run, old.superseded_by) == (new, new)
    suv = mine.current_run.result["suv"]
    assert suv["refused"] is None
    assert [one["id"] for one in suv["candidates"] if one["used"]] == ["R5"]
    assert selectors.choices_behind(mine.current_run) == [choice]
    assert selectors.choices_behind(old) == []


def test_choose_when_signed_then_name_meaning_sentence_and_digest_are_kept_and_logged(mine, physicist):
    run = mine.current_run
    choice = choose(mine, physicist)
    signature = choice.signature
    assert (signature.printed_name, signature.role, signature.meaning) == (physicist.name, "Physicist", "override")
    assert re.search(r"R5, 2 Mar 2026 11:07:00 .* 4\.5.% higher", signature.statement)
    shown = {"run": str(run), "input_digest": run.input_digest, "suv": run.result["suv"]}
    written = {"statement": signature.statement, "reason": "The console shows 11:07."}
    assert signature.digest == analysis.digest(shown | written)
    assert (signature.object_type, signature.object_id) == ("qc.run", str(run.pk))
    actions = list(AuditEvent.objects.order_by("sequence").values_list("action", flat=True))
    assert actions[-4:] == ["submission.choose", "signature.sign", "suv.choose", "run.request"]
    assert AuditEvent.objects.get(action="submission.choose").reason == "The console shows 11:07."


def test_choose_when_it_is_chosen_the_same_way_again_then_its_run_is_found_again(mine, physicist):
    first = mine.current_run
    choose(mine, physicist)
    chosen = measure_and_claim(mine, physicist).current_run
    choose(mine, physicist, "", reason="Asked the site first.")
    assert measure_and_claim(mine, physicist).current_run == first
    choose(mine, physicist, reason="The site agrees.")
    assert measure_and_claim(mine, physicist).current_run == chosen
    assert mine.runs.count() == 2
    assert [one.reason for one in selectors.choices_behind(chosen)] == ["The console shows 11:07.", "The site agrees."]


def test_choose_when_it_is_measured_again_later_then_the_decision_still_stands(mine, physicist, monkeypatch):
    choose(mine, physicist)
    measure_and_claim(mine, physicist)
    call(services.submission_unclaim, actor=physicist, submission_id=mine.pk)
    monkeypatch.setattr(analysis, "program", lambda: {"version": "2", "commit": "1", "libraries": {}})
    call(services.submission_repeat, actor=physicist, submission_id=mine.pk, reason="new program")
    assert measure_and_claim(mine, physicist).current_run.parameters["chosen_reference"] == "R5"
    assert mine.runs.count() == 3


def test_choose_when_other_images_come_then_the_decision_says_nothing_of_them(mine, physicist):
    choose(mine, physicist)
    Run.objects.filter(suv_choices__isnull=False).update(input_digest="sha256:" + "9" * 64)
    measure_and_claim(mine, physicist)
    call(services.submission_unclaim, actor=physicist, submission_id=mine.pk)
    call(services.submission_repeat, actor=physicist, submission_id=mine.pk, reason="look again")
    assert "chosen_reference" not in measure_and_claim(mine, physicist).current_run.parameters


def test_choose_when_it_is_reviewed_afterwards_then_the_report_names_person_time_and_reason(mine, physicist):
    choose(mine, physicist)
    measure_and_claim(mine, physicist)
    report = Report.objects.get(run=mine.current_run)
    context = repr(reports.build_context(report.run.result, reports.report_meta(report)))
    for words in ("R5, 2 Mar 2026 11:07:00", "The console shows 11:07.", physicist.name, "Override"):
        assert words in context


def test_choose_when_lbm_is_refused_then_120_can_be_accepted(mine, physicist, conflicting):
    conflicting["header"] = header(**LBM)
    suv = suv_factor(header(**LBM)).as_json()
    Run.objects.filter(pk=mine.current_run_id).update(result=mine.current_run.result | {"suv": suv})
    choose(mine, physicist, LBM120, reason="The console's manual says so.")
    run = measure_and_claim(mine, physicist).current_run
    assert run.parameters["accepts_lbm120"] is True
    assert run.result["suv"]["factor_g_per_bq"] == pytest.approx(90 / 69, rel=1e-6)


# --- who may not, and when ------------------------------------------------------------------------


def nothing_happened(submission) -> bool:
    submission.refresh_from_db()
    rows = (submission.runs.count(), Signature.objects.count(), SuvChoice.objects.count())
    return submission.state == S.IN_REVIEW and rows == (1, 0, 0)


def test_choose_when_a_stranger_tries_then_it_is_not_found(mine):
    with pytest.raises(NotFound):
        choose(mine, factories.user(Role.SITE_USER, site=factories.site()))
    assert nothing_happened(mine)


@pytest.mark.parametrize("role", [Role.TECHNICIAN, Role.APPROVER, Role.AUDITOR, Role.ADMINISTRATOR])
def test_choose_when_no_physicist_tries_then_it_is_refused(mine, role):
    with pytest.raises(NotAllowed):
        choose(mine, factories.user(role))
    assert nothing_happened(mine)


def test_choose_when_another_physicist_has_it_then_it_is_refused_by_name(mine, physicist):
    with pytest.raises(StaleState, match=physicist.name):
        choose(mine, factories.user(Role.PHYSICIST))
    assert nothing_happened(mine)


def test_choose_when_the_site_itself_tries_then_it_is_refused(mine):
    with pytest.raises(NotAllowed):
        choose(mine, mine.created_by)


def test_choose_when_the_physicist_sent_it_then_another_must(mine, physicist):
    Membership.objects.create(user=physicist, role=Role.SITE_USER, site=mine.site, from_on="2020-01-01")
    Submission.objects.filter(pk=mine.pk).update(sent_by=physicist)
    with pytest.raises(NotAllowed) as refused:
        choose(mine, physicist)
    assert refused.value.code == "OWN-SUBMISSION"


def test_choose_when_the_run_is_no_longer_the_current_one_then_it_must_be_read_again(mine, physicist):
    with pytest.raises(StaleState, match="changed while you were reading"):
        choose(mine, physicist, run_id=mine.pk)
    assert nothing_happened(mine)


def test_choose_when_it_changed_hands_between_look_and_swap_then_nothing_is_signed(mine, physicist, monkeypatch):
    other = factories.user(Role.PHYSICIST)

    def meanwhile(result, parameters):
        Submission.objects.filter(pk=mine.pk).update(reviewer=other)
        return offers(result, parameters)

    monkeypatch.setattr(services.reviews.suv_choice, "offers", meanwhile)
    with pytest.raises(StaleState):
        choose(mine, physicist)
    assert nothing_happened(mine)


def test_choose_when_the_password_is_wrong_then_nothing_was_signed_or_moved(mine, physicist):
    with pytest.raises(NotAllowed, match="Nothing was signed"):
        choose(mine, physicist, password="guess")
    assert nothing_happened(mine)


def test_choose_when_no_reason_is_given_then_it_is_asked_for(mine, physicist):
    with pytest.raises(Refused) as refused:
        choose(mine, physicist, reason="  ")
    assert refused.value.code == "REASON-MISSING"
    assert nothing_happened(mine)


@pytest.mark.parametrize("decision", ["R4", "R9", LBM120, ""])
def test_choose_when_it_is_not_offered_then_it_is_refused(mine, physicist, decision):
    with pytest.raises(Refused) as refused:
        choose(mine, physicist, decision)
    assert refused.value.code == "CHOICE-NONE"
    assert nothing_happened(mine)


def test_choose_when_it_is_pressed_twice_then_the_second_is_told(mine, physicist):
    run_id = mine.current_run_id
    choose(mine, physicist)
    with pytest.raises(StaleState):
        choose(mine, physicist, run_id=run_id)
    assert Signature.objects.count() == 1


def test_choose_when_the_review_is_signed_then_it_is_too_late(mine, physicist):
    for item in CHECKLISTS["cylinder"]:
        call(services.checklist_answer, actor=physicist, run_id=mine.current_run_id, item=item.key, is_seen=False)
    call(
        services.review_sign,
        actor=physicist,
        submission_id=mine.pk,
        run_id=mine.current_run_id,
        verdict="NOT_EVALUABLE",
        difference_reason="",
        comment_to_site="",
        password=PASSWORD,
        shown_digest=services.signing_digest(mine.current_run),
    )
    with pytest.raises((StaleState, InvalidMove)):
        choose(mine, physicist)
    assert Review.objects.count() == Signature.objects.count() == 1


def test_table_when_a_choice_has_no_reason_then_the_database_refuses_it(mine, physicist):
    choose(mine, physicist)
    with pytest.raises(IntegrityError), transaction.atomic():
        SuvChoice.objects.update(reason="")
