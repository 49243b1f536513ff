"""Who sees which case and certificate, what one may do, and what the public check says."""

from __future__ import annotations

import pytest

from accreditation import selectors, services
from corelab.errors import NotFound
from corelab.models import Role
from tests import factories
from tests.accreditation.scenes import TODAY, UK, Scene, certificate_of, days, fresh
from tests.qc.kit import call

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("clock")]


# --- visibility -------------------------------------------------------------------------------


def test_cases_when_each_role_looks_then_it_sees_its_own():
    of_trial, general = Scene(UK), Scene()
    one, two = of_trial.collecting(), general.collecting()
    draft = Scene(UK, trial=None)
    draft.trial = of_trial.trial
    of_trial.trial.sites.add(draft.site)
    unsent = draft.start()

    def seen(user):
        return set(selectors.cases_visible_to(user))

    for role in (Role.TECHNICIAN, Role.PHYSICIST, Role.APPROVER, Role.AUDITOR, Role.ADMINISTRATOR):
        assert seen(factories.user(role)) == {one, two, unsent}
    assert seen(of_trial.sender) == {one}
    assert seen(general.sender) == {two}
    for role in (Role.TRIAL_MANAGER, Role.MONITOR):
        assert seen(factories.user(role, trial=of_trial.trial)) == {one}
        assert seen(factories.user(role, trial=factories.trial())) == set()
    assert seen(factories.user()) == set()


def test_cases_when_one_is_withdrawn_that_was_never_sent_then_the_trial_does_not_see_it():
    scene = Scene(UK)
    case = scene.start()
    call(services.case_withdraw, actor=scene.sender, case_id=case.pk, reason="Begun by mistake.")
    manager = factories.user(Role.TRIAL_MANAGER, trial=scene.trial)
    assert list(selectors.cases_visible_to(manager)) == []
    assert list(selectors.cases_visible_to(scene.sender)) == [case]


@pytest.mark.parametrize("number", ["C-1001", "c-1001", "1001", 1001])
def test_case_when_it_is_asked_for_by_number_then_any_writing_of_it_will_do(number):
    scene = Scene()
    case = scene.start()
    assert selectors.case_for(scene.sender, number) == case
    with pytest.raises(NotFound):
        selectors.case_for(Scene().sender, number)


@pytest.mark.parametrize("number", ["C-", "x", "", "C-99999999999999999999", "C-1002"])
def test_case_when_there_is_none_then_absent_and_forbidden_are_the_same(number):
    scene = Scene()
    scene.start()
    with pytest.raises(NotFound, match="not yours to see"):
        selectors.case_for(scene.sender, number)


def test_certificate_when_it_is_asked_for_then_only_those_who_see_its_case_have_it():
    scene = Scene(UK)
    scene.accredited()
    manager = factories.user(Role.TRIAL_MANAGER, trial=scene.trial)
    for person in (scene.sender, scene.technician, manager):
        assert selectors.certificate_for(person, "pet-2026-1001").number == "PET-2026-1001"
    with pytest.raises(NotFound):
        selectors.certificate_for(Scene().sender, "PET-2026-1001")


def test_requirements_when_many_cases_are_read_then_the_queries_do_not_grow(django_assert_num_queries):
    cases = [Scene().accredited(), Scene(UK).accredited()]
    with django_assert_num_queries(3):
        few = selectors.requirements_of_cases(cases)
    cases += [Scene().reviewing(), Scene(UK).collecting(), Scene().start()]
    with django_assert_num_queries(3):
        many = selectors.requirements_of_cases(cases)
    assert {pk: many[pk] for pk in few} == few
    for case in cases:
        assert many[case.pk] == selectors.requirements_of(fresh(case), TODAY)


# --- what one may do --------------------------------------------------------------------------


def moves(user, case):
    case = fresh(case)
    return selectors.moves_for(user, case, selectors.requirements_of(case, TODAY), TODAY)


def test_moves_when_each_person_looks_then_they_are_offered_theirs_with_the_reason_why_not():
    scene = Scene()
    case = scene.reviewing(cylinder="FAIL")
    offered = moves(scene.proposer, case)
    assert set(offered) == {"propose", "require_action", "fail", "withdraw"}
    assert offered["propose"] == "1 requirement is missing: Quarterly calibration cylinder."
    assert offered["require_action"] == ""
    assert set(moves(scene.sender, case)) == {"withdraw"}
    assert moves(factories.user(Role.AUDITOR), case) == {}


def test_moves_when_an_approver_looks_then_their_own_part_is_said_before_they_press():
    scene = Scene()
    case = scene.proposed()
    assert moves(scene.approver, case)["take"] == ""
    reviewer = scene.also(scene.physicist, Role.APPROVER)
    assert moves(reviewer, case)["take"].startswith("You reviewed S-")


def test_moves_when_another_approver_has_it_then_one_may_only_let_it_go():
    scene = Scene()
    case = scene.taken()
    offered = moves(factories.user(Role.APPROVER), case)
    assert offered.pop("give_back") == ""
    assert offered.pop("withdraw") == ""
    assert set(offered.values()) == {f"{scene.approver} has this."}


def test_digest_when_anything_that_decides_changes_then_it_is_another():
    scene = Scene()
    case = scene.reviewing()
    first = selectors.deciding_digest(case)
    assert first == selectors.deciding_digest(fresh(case))
    scene.signed("cylinder", "WARN")
    second = selectors.deciding_digest(fresh(case))
    scene.scanner.software = "VG85A"
    scene.scanner.save()
    third = selectors.deciding_digest(fresh(case))
    type(case).objects.filter(pk=case.pk).update(attempt=2)
    assert len({first, second, third, selectors.deciding_digest(fresh(case))}) == 4


# --- the public check -------------------------------------------------------------------------


def test_check_when_the_certificate_is_valid_then_the_scope_is_said_without_person_or_serial():
    scene = Scene(UK, name="North Hospital", city="Leeds")
    scene.scanner.serial = "60421-113"
    scene.scanner.save()
    scene.accredited()
    state = selectors.certificate_state(" pet-2026-1001 ")
    assert (state.word, state.since, state.day, state.is_valid) == ("VALID", None, TODAY, True)
    assert state.scope["site"] == "North Hospital"
    assert state.scope["serial_ending"] == "113"
    assert scene.scanner.serial not in repr(state)
    for person in (scene.sender, scene.proposer, scene.approver):
        assert person.name not in repr(state)


def test_check_when_no_certificate_has_the_number_then_there_is_none():
    assert selectors.certificate_state("PET-2026-1001") is None
    assert selectors.certificate_state("PET-2026-1001", TODAY) is None


def test_check_when_days_pass_then_the_word_follows(clock):
    scene = Scene()
    case = scene.taken()
    scene.approve(case, valid_from=TODAY + days(2), valid_until=TODAY + days(20))

    def word(after: int):
        return selectors.certificate_state("PET-2026-1001", TODAY + days(after)).word

    assert [word(k) for k in (0, 1, 2, 20, 21)] == ["NOT_YET", "NOT_YET", "VALID", "VALID", "EXPIRED"]
    clock.to(TODAY + days(5))
    call(services.case_suspend, actor=scene.physicist, case_id=case.pk, reason="Moved.")
    assert [word(k) for k in (4, 5, 20, 21)] == ["VALID", "SUSPENDED", "SUSPENDED", "EXPIRED"]
    clock.to(TODAY + days(8))
    scene.sign(services.case_reinstate, case, scene.approver, reason="Back.")
    assert [word(k) for k in (4, 5, 7, 8)] == ["VALID", "SUSPENDED", "SUSPENDED", "VALID"]
    clock.to(TODAY + days(10))
    call(services.case_withdraw, actor=scene.sender, case_id=case.pk, reason="Sold.")
    assert [word(k) for k in (4, 7, 9, 10, 30)] == ["VALID", "SUSPENDED", "VALID", "WITHDRAWN", "WITHDRAWN"]


def test_check_when_it_is_suspended_before_it_begins_then_it_says_so(clock):
    scene = Scene()
    case = scene.taken()
    scene.approve(case, valid_from=TODAY + days(5), valid_until=TODAY + days(20))
    clock.to(TODAY + days(1))
    call(services.case_suspend, actor=scene.physicist, case_id=case.pk, reason="Moved.")
    assert selectors.certificate_state("PET-2026-1001").word == "SUSPENDED"
    assert selectors.certificate_state("PET-2026-1001", TODAY + days(6)).word == "SUSPENDED"


def test_check_when_it_is_asked_on_a_day_then_one_statement_reads_everything(django_assert_num_queries):
    scene = Scene()
    scene.accredited()
    with django_assert_num_queries(1):
        state = selectors.certificate_state("PET-2026-1001", TODAY)
        assert (state.scope["site"], len(state.digest)) == (scene.site.name, 64)
    with django_assert_num_queries(2):
        selectors.certificate_state("PET-2026-1001")


def test_check_when_the_document_is_made_then_its_own_digest_is_there_to_compare(clock):
    from tests.qc.kit import work

    scene = Scene()
    certificate = certificate_of(scene.accredited())
    assert selectors.certificate_state(certificate.number).pdf_sha256 == ""
    work(services.certificate_make, certificate_id=certificate.pk)
    certificate.refresh_from_db()
    assert selectors.certificate_state(certificate.number).pdf_sha256 == certificate.stored.sha256
