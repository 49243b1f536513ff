"""What a case lacks, on every day: windows over year ends and leap years, changes, runs that could not be judged."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accreditation import programmes
from accreditation.requirements import (
    LACKING,
    Change,
    Facts,
    InHand,
    Piece,
    RequirementState,
    lacking,
    last_day,
    longest_validity,
    requirements,
)

EARL, UK = programmes.load("earl@1"), programmes.load("uk_core_lab@1")
MET, ENDING, WAITING, NOT_MET = (
    RequirementState.MET,
    RequirementState.ENDING,
    RequirementState.WAITING,
    RequirementState.NOT_MET,
)
DAYS = st.dates(date(2024, 1, 1), date(2032, 12, 31))
ONE_DAY = timedelta(days=1)


def piece(kind: str, on: date, verdict: str = "PASS", *, number: int = 1, signed_on: date | None = None) -> Piece:
    signed = signed_on or on
    return Piece(
        kind=kind,
        submission=f"S-{number}",
        run=f"R-{number}",
        verdict=verdict,
        scanned_on=on,
        signed_at=datetime(signed.year, signed.month, signed.day, 12, tzinfo=UTC),
        signed_on=signed,
    )


def stands(programme, facts: Facts, today: date, requirement: str = "calibration"):
    return next(one for one in requirements(programme, facts, today) if one.id == requirement)


# --- the windows of the quarterly programme ---------------------------------------------------

#: A cylinder scanned on a day; the first day of the next that counts, the last day to send it, the last day it holds.
WINDOWS = [
    # in a window, and in the week before one
    (date(2026, 1, 26), date(2026, 4, 19), date(2026, 5, 16), date(2026, 5, 30)),
    (date(2026, 1, 19), date(2026, 4, 19), date(2026, 5, 16), date(2026, 5, 30)),
    # a day earlier it belongs to the window before
    (date(2026, 1, 18), date(2026, 1, 19), date(2026, 2, 16), date(2026, 3, 2)),
    # late, and between two windows
    (date(2026, 2, 17), date(2026, 4, 19), date(2026, 5, 16), date(2026, 5, 30)),
    (date(2026, 3, 10), date(2026, 4, 19), date(2026, 5, 16), date(2026, 5, 30)),
    # over the end of the year, and into a leap year's February
    (date(2026, 11, 16), date(2027, 1, 19), date(2027, 2, 16), date(2027, 3, 2)),
    (date(2026, 12, 31), date(2027, 1, 19), date(2027, 2, 16), date(2027, 3, 2)),
    (date(2027, 12, 31), date(2028, 1, 19), date(2028, 2, 16), date(2028, 3, 1)),
    (date(2028, 2, 29), date(2028, 4, 19), date(2028, 5, 16), date(2028, 5, 30)),
]


@pytest.mark.parametrize(("scanned", "scan_from", "due", "until"), WINDOWS)
def test_cylinder_when_scanned_on_a_day_then_the_next_window_is_the_published_one(scanned, scan_from, due, until):
    one = stands(EARL, Facts(runs=(piece("cylinder", scanned),)), scanned)
    assert (one.scan_from, one.due_on, one.valid_to) == (scan_from, due, until)


@pytest.mark.parametrize(("scanned", "scan_from", "due", "until"), WINDOWS)
def test_cylinder_when_days_pass_then_it_is_met_then_ending_then_not_met(scanned, scan_from, due, until):
    facts = Facts(runs=(piece("cylinder", scanned),))
    for day, state in [
        (scanned, MET),
        (scan_from - ONE_DAY, MET),
        (scan_from, ENDING),
        (due, ENDING),
        (due + ONE_DAY, ENDING),
        (until, ENDING),
        (until + ONE_DAY, NOT_MET),
    ]:
        one = stands(EARL, facts, day)
        assert (one.state, day) == (state, day)
        assert one.with_whom == ("" if state == MET else "site")


def test_image_quality_when_scanned_in_a_quarter_then_it_is_due_in_the_same_quarter_of_the_next_year():
    for scanned, due in [
        (date(2026, 2, 1), date(2027, 2, 16)),
        (date(2026, 3, 10), date(2027, 2, 16)),
        (date(2026, 4, 19), date(2027, 5, 16)),
        (date(2026, 1, 2), date(2026, 11, 16)),
        (date(2028, 2, 1), date(2029, 2, 16)),
    ]:
        assert stands(EARL, Facts(runs=(piece("nema_iq", scanned),)), scanned, "image_quality").due_on == due


@given(DAYS, st.sampled_from(["quarter", "year"]))
def test_window_when_any_day_is_taken_then_the_next_opens_after_it_and_within_its_time(day, every):
    window = EARL.windows.after(day, every=every)
    assert window.scan_from > day
    assert window.scan_from < window.first <= window.last < window.until
    assert window.first - day <= timedelta(days=(100 if every == "quarter" else 373))
    assert (window.last.month, window.last.day) in {(2, 16), (5, 16), (8, 16), (11, 16)}


@given(DAYS)
def test_window_when_a_cylinder_is_scanned_whenever_it_is_due_then_the_chain_never_breaks(day):
    """Whoever scans on the last day of every window stands well for ever."""
    for _ in range(12):
        one = stands(EARL, Facts(runs=(piece("cylinder", day),)), day)
        assert one.state in {MET, ENDING}
        day = one.due_on


def test_windows_when_one_runs_over_the_year_end_then_it_ends_in_the_next_year():
    over = programmes.Windows(quarters=(((6, 1), (6, 20)), ((12, 20), (1, 10))), early_days=7, grace_days=14)
    assert over.after(date(2026, 8, 1)).last == date(2027, 1, 10)
    assert over.after(date(2027, 1, 5)).first == date(2027, 6, 1)


# --- years ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("first", "last"),
    [
        (date(2026, 3, 4), date(2027, 3, 3)),
        (date(2025, 6, 15), date(2026, 6, 14)),
        (date(2028, 2, 29), date(2029, 2, 28)),
        (date(2027, 3, 1), date(2028, 2, 29)),
        (date(2026, 1, 1), date(2026, 12, 31)),
    ],
)
def test_year_when_it_begins_on_a_day_then_it_ends_on_the_day_before_the_same_day(first, last):
    assert last_day(first, 12) == last


@given(DAYS, st.integers(1, 36))
def test_last_day_when_a_later_day_begins_then_it_never_ends_earlier(day, months):
    assert day < last_day(day, months) <= last_day(day + ONE_DAY, months)
    assert abs((last_day(day, months) - day).days + 1 - months * 30.44) < 4


def test_validity_when_counted_from_the_image_quality_test_then_a_late_approval_shortens_it():
    facts = Facts(runs=(piece("nema_iq", date(2026, 2, 1), signed_on=date(2026, 3, 4)),))
    assert longest_validity(EARL, facts, date(2026, 3, 4), date(2026, 3, 4)) == date(2027, 3, 3)
    assert longest_validity(EARL, facts, date(2026, 5, 1), date(2026, 5, 1)) == date(2027, 3, 3)


def test_validity_when_the_trial_ends_then_it_ends_with_it():
    first = date(2026, 3, 4)
    assert longest_validity(UK, Facts(), first, first) == date(2027, 3, 3)
    assert longest_validity(UK, Facts(trial_ends_on=date(2026, 9, 30)), first, first) == date(2026, 9, 30)
    assert longest_validity(UK, Facts(trial_ends_on=date(2029, 1, 1)), first, first) == date(2027, 3, 3)


# --- which run decides ------------------------------------------------------------------------

TODAY = date(2026, 3, 10)


def test_signed_runs_when_there_are_several_then_the_newest_scan_decides_and_not_the_newest_signature():
    old_fail = piece("cylinder", date(2026, 2, 1), "FAIL", number=1, signed_on=date(2026, 3, 9))
    new_pass = piece("cylinder", date(2026, 3, 1), "PASS", number=2, signed_on=date(2026, 3, 2))
    assert stands(EARL, Facts(runs=(old_fail, new_pass)), TODAY).state == MET
    assert stands(EARL, Facts(runs=(new_pass, old_fail)), TODAY).evidence == (new_pass,)


def test_signed_runs_when_two_are_of_one_day_then_the_later_signature_decides():
    first = piece("cylinder", TODAY, "PASS", number=1, signed_on=TODAY)
    second = replace(piece("cylinder", TODAY, "FAIL", number=2), signed_at=first.signed_at + timedelta(hours=1))
    assert stands(EARL, Facts(runs=(first, second)), TODAY).state == NOT_MET


def test_signed_runs_when_one_could_not_be_judged_then_it_says_nothing_against_an_earlier_one():
    good = piece("cylinder", date(2026, 3, 1), number=1)
    unclear = piece("cylinder", date(2026, 3, 5), "NOT_EVALUABLE", number=2)
    assert stands(EARL, Facts(runs=(good, unclear)), TODAY).state == MET
    alone = stands(EARL, Facts(runs=(unclear,)), TODAY)
    assert alone.state == NOT_MET
    assert "Could not check" in alone.reason


def test_signed_runs_when_one_lies_in_the_future_then_it_does_not_count_yet():
    assert stands(EARL, Facts(runs=(piece("cylinder", TODAY + ONE_DAY),)), TODAY).state == NOT_MET


@pytest.mark.parametrize("verdict", ["PASS", "WARN"])
def test_signed_runs_when_a_physicist_passed_it_then_it_is_met(verdict):
    assert stands(EARL, Facts(runs=(piece("cylinder", TODAY, verdict),)), TODAY).state == MET


@given(
    st.permutations(
        [piece("cylinder", date(2026, 1, k), v, number=k) for k, v in ((20, "PASS"), (25, "FAIL"), (28, "WARN"))]
    )
)
def test_signed_runs_when_they_come_in_any_order_then_the_answer_is_the_same(runs):
    assert stands(EARL, Facts(runs=tuple(runs)), TODAY).evidence[0].run == "R-28"


# --- what is in hand, and who is waited for ---------------------------------------------------


def test_in_hand_when_a_phantom_was_sent_then_the_lab_is_waited_for():
    sent = InHand(kind="cylinder", submission="S-7", sent_on=TODAY)
    one = stands(EARL, Facts(in_hand=(sent,)), TODAY)
    assert (one.state, one.with_whom) == (WAITING, "core_lab")
    assert stands(EARL, Facts(), TODAY).with_whom == "site"


def test_in_hand_when_it_came_in_time_and_the_review_takes_long_then_nobody_is_suspended_for_it():
    runs = (piece("cylinder", date(2026, 1, 26)),)
    in_time = InHand(kind="cylinder", submission="S-7", sent_on=date(2026, 5, 30))
    too_late = InHand(kind="cylinder", submission="S-8", sent_on=date(2026, 5, 31))
    day = date(2026, 6, 20)
    assert stands(EARL, Facts(runs=runs, in_hand=(in_time,)), day).state == WAITING
    assert stands(EARL, Facts(runs=runs, in_hand=(too_late,)), day).state == NOT_MET


def test_failed_run_when_another_is_in_hand_then_it_is_still_not_met_and_the_lab_acts():
    facts = Facts(
        runs=(piece("cylinder", TODAY, "FAIL"),), in_hand=(InHand(kind="cylinder", submission="S-9", sent_on=TODAY),)
    )
    one = stands(EARL, facts, TODAY)
    assert (one.state, one.with_whom) == (NOT_MET, "core_lab")
    assert "S-9" in one.reason


# --- changes ----------------------------------------------------------------------------------

CHANGE = Change(what="Software version", before="VG80B", after="VG85A", seen_on=date(2026, 3, 3), submission="S-5")


def test_change_when_the_programme_is_voided_by_it_then_what_was_shown_before_holds_no_more():
    facts = Facts(runs=(piece("cylinder", date(2026, 3, 2)),), changes=(CHANGE,), certificate="PET-2026-1001")
    one = stands(UK, facts, date(2026, 3, 3))
    assert one.state == NOT_MET
    assert "from VG80B to VG85A (S-5)" in one.reason
    again = replace(facts, runs=(*facts.runs, piece("cylinder", date(2026, 3, 3), number=2)))
    assert stands(UK, again, date(2026, 3, 3)).state == MET


def test_change_when_the_programme_gives_days_then_the_certificate_stands_until_they_are_over():
    facts = Facts(runs=(piece("cylinder", date(2026, 3, 2)),), changes=(CHANGE,), certificate="PET-2026-1001")
    one = stands(EARL, facts, date(2026, 4, 2))
    assert (one.state, one.due_on) == (ENDING, date(2026, 4, 2))
    assert stands(EARL, facts, date(2026, 4, 3)).state == NOT_MET


def test_change_when_nothing_is_certified_yet_then_no_days_are_given():
    facts = Facts(runs=(piece("cylinder", date(2026, 3, 2)),), changes=(CHANGE,))
    assert stands(EARL, facts, date(2026, 3, 4)).state == NOT_MET


def test_change_when_the_new_phantom_failed_then_the_days_do_not_help():
    runs = (piece("cylinder", date(2026, 3, 2)), piece("cylinder", date(2026, 3, 5), "FAIL", number=2))
    assert stands(EARL, Facts(runs=runs, changes=(CHANGE,), certificate="PET-2026-1001"), TODAY).state == NOT_MET


def test_change_when_the_window_ends_before_the_days_do_then_the_window_decides():
    late = replace(CHANGE, seen_on=date(2026, 5, 20))
    facts = Facts(runs=(piece("cylinder", date(2026, 3, 2)),), changes=(late,), certificate="PET-2026-1001")
    assert stands(EARL, facts, date(2026, 5, 30)).due_on == date(2026, 5, 30)
    assert stands(EARL, facts, date(2026, 5, 31)).state == NOT_MET


def test_change_when_the_new_phantom_could_not_be_judged_then_the_days_still_count():
    runs = (piece("cylinder", date(2026, 3, 2)), piece("cylinder", date(2026, 3, 5), "NOT_EVALUABLE", number=2))
    facts = Facts(runs=runs, changes=(CHANGE,), certificate="PET-2026-1001")
    assert stands(EARL, facts, TODAY).state == ENDING
    assert stands(UK, facts, TODAY).state == NOT_MET


def test_change_when_the_new_phantom_came_in_time_then_nobody_is_suspended_while_it_is_reviewed():
    sent = InHand(kind="cylinder", submission="S-9", sent_on=date(2026, 4, 2))
    facts = Facts(
        runs=(piece("cylinder", date(2026, 3, 2)),), changes=(CHANGE,), in_hand=(sent,), certificate="PET-2026-1001"
    )
    assert stands(EARL, facts, date(2026, 4, 10)).state == WAITING
    assert stands(UK, facts, date(2026, 4, 10)).state == NOT_MET


# --- the next accreditation -------------------------------------------------------------------


def test_renewal_when_the_last_certificate_was_given_for_it_then_a_newer_one_is_needed():
    issued = datetime(2026, 3, 4, 15, tzinfo=UTC)
    old = piece("nema_iq", date(2026, 3, 1))
    facts = Facts(runs=(old, piece("cylinder", date(2026, 3, 1), number=2)), renew_after=issued)
    assert stands(EARL, facts, TODAY, "image_quality").state == NOT_MET
    assert stands(EARL, facts, TODAY, "calibration").state == MET
    newer = replace(facts, runs=(*facts.runs, piece("nema_iq", TODAY, number=3)))
    assert stands(EARL, newer, TODAY, "image_quality").state == MET


# --- the whole --------------------------------------------------------------------------------


def test_transfer_when_nothing_arrived_then_the_site_is_asked_for_it():
    assert stands(UK, Facts(), TODAY, "transfer").with_whom == "site"
    arrived = Facts(transfer=Piece(kind="transfer", submission="S-3", scanned_on=TODAY))
    assert stands(UK, arrived, TODAY, "transfer").state == MET


def test_approval_when_the_rest_is_open_proposed_or_decided_then_it_says_who_is_next():
    both = (piece("cylinder", TODAY), piece("nema_iq", TODAY, number=2))
    approval = lambda facts: stands(EARL, facts, TODAY, "approval")  # noqa: E731
    assert (approval(Facts()).state, approval(Facts()).with_whom) == (WAITING, "")
    assert approval(Facts(runs=both)).with_whom == "core_lab"
    assert approval(Facts(runs=both, is_proposed=True)).with_whom == "approver"
    given_ = Facts(runs=both, certificate="PET-2026-1001", certificate_until=date(2027, 3, 3))
    assert (approval(given_).state, approval(given_).valid_to) == (MET, date(2027, 3, 3))


def some_facts():
    runs = st.lists(
        st.builds(
            piece,
            st.sampled_from(["cylinder", "nema_iq"]),
            DAYS,
            st.sampled_from(["PASS", "WARN", "FAIL", "NOT_EVALUABLE"]),
            number=st.integers(1, 99),
        ),
        max_size=5,
    )
    hands = st.lists(
        st.builds(InHand, kind=st.sampled_from(["cylinder", "nema_iq"]), submission=st.just("S-8"), sent_on=DAYS),
        max_size=2,
    )
    changes = st.lists(st.builds(replace, st.just(CHANGE), seen_on=DAYS), max_size=2)
    certificate = st.sampled_from([("", None), ("PET-2026-1001", date(2027, 3, 3))])
    return st.builds(
        lambda runs, hands, changes, one: Facts(
            runs=tuple(runs), in_hand=tuple(hands), changes=tuple(changes), certificate=one[0], certificate_until=one[1]
        ),
        runs,
        hands,
        changes,
        certificate,
    )


@given(st.sampled_from([EARL, UK]), some_facts(), DAYS)
def test_requirements_when_anything_is_known_then_each_has_its_reason_and_somebody_who_acts(programme, facts, today):
    found = requirements(programme, facts, today)
    assert [one.id for one in found] == [*(need.id for need in programme.requirements), "approval"]
    for one in found:
        assert one.reason.endswith(".")
        if one.state in LACKING and one.id != "approval":
            assert one.with_whom in {"site", "core_lab"}
        if one.state == MET:
            assert one.with_whom == ""
        if one.valid_to is not None and one.state in {MET, ENDING}:
            assert one.valid_to >= today
    assert set(lacking(found)) == {one.title for one in found if one.state in LACKING and one.id != "approval"}


@given(st.sampled_from([EARL, UK]), some_facts(), DAYS, st.integers(1, 400))
def test_requirements_when_only_time_passes_then_nothing_that_lapsed_comes_back(programme, facts, today, later):
    """Without anything new, not met stays not met: of runs scanned by today, no day makes one better."""
    facts = replace(facts, runs=tuple(one for one in facts.runs if one.scanned_on <= today), in_hand=())
    before = {one.id: one.state for one in requirements(programme, facts, today)}
    after = {one.id: one.state for one in requirements(programme, facts, today + timedelta(days=later))}
    order = [MET, ENDING, NOT_MET]
    for name, state in before.items():
        if name not in {"approval", "transfer"}:
            assert order.index(after[name]) >= order.index(state)


# --- the files --------------------------------------------------------------------------------


def test_programmes_when_read_then_both_profiles_are_there_with_their_numbers():
    assert programmes.available() == ("earl@1", "uk_core_lab@1")
    assert (EARL.scope, EARL.validity_months, EARL.due_soon_days, EARL.max_attempts) == ("any", 12, 60, 3)
    assert (EARL.windows.early_days, EARL.windows.grace_days) == (7, 14)
    assert EARL.windows.quarters == (
        ((1, 26), (2, 16)),
        ((4, 26), (5, 16)),
        ((7, 26), (8, 16)),
        ((10, 26), (11, 16)),
    )
    assert (UK.scope, UK.until_trial_ends, UK.change_does) == ("trial", True, "voids")
    assert [one.kind for one in UK.requirements] == ["transfer", "cylinder", "nema_iq"]


@pytest.mark.parametrize(
    "harm",
    [
        {"id": "other"},
        {"scope": "galaxy"},
        {"windows": None},
        {"change": {"does": "nothing", "within_days": 0, "provenance": "C", "source": "x"}},
        {"validity": {"months": 12, "counted_from": "nowhere", "provenance": "C", "source": "x"}},
        {"validity": {"months": 12, "counted_from": "valid_from", "provenance": "guess", "source": "x"}},
        {"due_soon_days": {"value": 60}},
    ],
)
def test_programme_when_its_file_says_what_is_not_understood_then_it_is_refused(harm):
    import yaml

    document = yaml.safe_load((programmes.FOLDER / "earl@1.yaml").read_text(encoding="utf-8"))
    programmes.parse("earl@1", document)
    with pytest.raises(programmes.ProgrammeFileError):
        programmes.parse("earl@1", document | harm)


def test_programme_when_it_is_not_there_then_the_ones_that_are_are_named():
    with pytest.raises(programmes.ProgrammeFileError, match="uk_core_lab@1"):
        programmes.load("earl@9")
