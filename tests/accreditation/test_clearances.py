"""What was cleared on a day that is over never changes, whatever is done later; who sees which clearance."""

from __future__ import annotations

import contextlib
from datetime import timedelta

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from accreditation import selectors as accreditation
from accreditation import services
from accreditation.models import Case
from corelab import selectors
from corelab.errors import DomainError
from corelab.models import Clearance, Role
from tests import factories
from tests.accreditation.scenes import NOW, TODAY, UK, Scene, certificate_of, collect, days, fresh
from tests.qc.kit import call, work

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("clock")]


def for_scan(scene, day, **other):
    given_ = {
        "scanner": scene.scanner,
        "reconstruction": scene.reconstruction,
        "tracer": "F-18",
        "standard": "earl1_18f",
        "trial": scene.trial,
        "day": day,
    }
    return selectors.clearances_for_scan(**(given_ | other))


def suspend(scene, case):
    call(services.case_suspend, actor=scene.physicist, case_id=case.pk, reason="Moved.")


def reinstate(scene, case):
    scene.sign(services.case_reinstate, case, scene.approver, reason="In order.")


def phantoms(scene, case):
    for kind in ("cylinder", "nema_iq"):
        scene.signed(kind)
    collect(case)


def fail_run(scene, case):
    scene.signed("cylinder", "FAIL")
    collect(case)


def reaccredit(scene, case):
    call(services.case_reaccredit, actor=scene.sender, case_id=case.pk, reason="It ends.")


def approve(scene, case):
    scene.propose(fresh(case), actor=scene.proposer)
    call(services.case_take_second, actor=scene.approver, case_id=case.pk)
    first, last = accreditation.validity_offered(fresh(case), accreditation.today_at(scene.site))
    scene.approve(fresh(case), valid_from=first + days(3), valid_until=last)


def refuse(scene, case):
    scene.sign(services.case_fail, case, scene.proposer, reason="Low.")


def withdraw_certificate(scene, case):
    certificate = certificate_of(case)
    call(services.certificate_withdraw, actor=scene.approver, certificate_id=certificate.pk, reason="In error.")


def withdraw(scene, case):
    call(services.case_withdraw, actor=scene.sender, case_id=case.pk, reason="Sold.")


def advance(scene, case):
    work(services.calendar_advance)


def due_soon(scene, case):
    Case.objects.filter(pk=case.pk, state="ACCREDITED").update(state="DUE_SOON")


DEEDS = [suspend, reinstate, phantoms, fail_run, reaccredit, approve, refuse, advance, due_soon]
ENDS = [withdraw, withdraw_certificate]


@settings(max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from(DEEDS), st.integers(0, 120)), min_size=1, max_size=9),
    st.sampled_from([None, *ENDS]),
)
@example([(suspend, 9), (reinstate, 9), (due_soon, 9), (phantoms, 1), (reaccredit, 1), (phantoms, 1)], withdraw)
@example(
    [(due_soon, 9), (reaccredit, 1), (phantoms, 1), (approve, 1), (advance, 1), (fail_run, 9)], withdraw_certificate
)
@example([(due_soon, 9), (reaccredit, 1), (fail_run, 1), (refuse, 1)], None)
def test_past_when_anything_is_done_later_then_no_day_that_is_over_changes(clock, deeds, end):
    """Walk any road of moves over days; after each step all days before today read as they did."""
    clock.now = NOW
    scene = Scene()
    case = scene.accredited()
    number = certificate_of(case).number
    seen: dict = {}
    walk = [*deeds, (end, 1)] if end else deeds
    for deed, wait in walk:
        clock.now += timedelta(days=wait)
        with contextlib.suppress(DomainError):  # a road that is closed is no road
            deed(scene, fresh(case))
        today = accreditation.today_at(scene.site)
        for back in range(1, (today - TODAY).days + 1, 7):
            day = today - days(back)
            holds = [one.certificate_number for one in for_scan(scene, day)]
            assert seen.setdefault(day, holds) == holds
        state = accreditation.certificate_state(number)
        assert state.is_valid == any(one.certificate_number == number for one in for_scan(scene, today))


def test_scan_when_it_lies_on_the_first_or_last_day_then_it_is_cleared_and_a_day_outside_it_is_not():
    scene = Scene()
    case = scene.accredited()
    for day, holds in [
        (case.valid_from - days(1), False),
        (case.valid_from, True),
        (case.valid_until, True),
        (case.valid_until + days(1), False),
    ]:
        assert bool(for_scan(scene, day)) is holds


def test_scan_when_it_differs_in_one_part_of_the_scope_then_it_is_not_cleared():
    scene, other = Scene(), Scene()
    scene.accredited()
    assert for_scan(scene, TODAY)
    for part in (
        {"scanner": other.scanner},
        {"reconstruction": other.reconstruction},
        {"tracer": "Ga-68"},
        {"standard": "earl2_18f"},
    ):
        assert for_scan(scene, TODAY, **part) == []


def test_scan_when_a_trial_has_its_own_clearance_then_it_comes_before_the_general_one():
    own = Scene(UK)
    own.accredited()
    assert [one.trial for one in for_scan(own, TODAY)] == [own.trial]
    assert for_scan(own, TODAY, trial=None) == []
    assert for_scan(own, TODAY, trial=factories.trial(own.site)) == []
    general = Clearance.objects.get()
    general.pk, general.trial, general.certificate_number = None, None, "PET-2026-0001"
    general.save()
    assert [one.trial for one in for_scan(own, TODAY)] == [own.trial, None]
    assert [one.trial for one in for_scan(own, TODAY, trial=factories.trial(own.site))] == [None]


def test_clearances_when_each_role_looks_then_it_sees_its_own():
    trials, general, elsewhere = Scene(UK), Scene(), Scene()
    for scene in (trials, general, elsewhere):
        scene.accredited()
    trials.trial.sites.add(general.site)
    of_trial, of_general, of_other = (scene.scanner for scene in (trials, general, elsewhere))

    def seen(user):
        return {one.scanner for one in selectors.clearances_visible_to(user)}

    assert seen(factories.user(Role.TECHNICIAN)) == {of_trial, of_general, of_other}
    assert seen(factories.user(Role.AUDITOR)) == {of_trial, of_general, of_other}
    assert seen(trials.sender) == {of_trial}
    assert seen(factories.user(Role.TRIAL_MANAGER, trial=trials.trial)) == {of_trial, of_general}
    assert seen(factories.user(Role.MONITOR, trial=factories.trial(elsewhere.site))) == {of_other}
    assert seen(factories.user()) == set()
