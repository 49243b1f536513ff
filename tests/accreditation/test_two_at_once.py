"""Two real transactions at once: on PostgreSQL, and on SQLite in a file, as the product runs on one machine."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier, Event

import pytest
from django.db import connection, connections
from django.db.backends.sqlite3.base import DatabaseWrapper

from accreditation import selectors, services
from accreditation.models import Case, Certificate, Evidence
from corelab import audit
from corelab.errors import InvalidMove, Refused, StaleState
from corelab.models import AuditEvent, Clearance, Role, Signature
from tests import factories
from tests.accreditation.scenes import UK, Scene, collect, fresh
from tests.qc.kit import call, work

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def database(tmp_path):
    """Give each thread a connection of its own; a database in memory has only one, so it is copied into a file."""
    if connection.vendor == "postgresql":
        yield lambda: None
        return
    kept, path = connections["default"], tmp_path / "two.sqlite3"
    with kept.cursor() as cursor:
        cursor.execute("VACUUM INTO %s", [str(path)])
    options = {
        "timeout": 30,
        "transaction_mode": "IMMEDIATE",
        "init_command": "PRAGMA journal_mode=WAL;",
    }

    def connect() -> None:
        given = kept.settings_dict | {"NAME": str(path), "OPTIONS": options}
        connections["default"] = DatabaseWrapper(given, "default")

    connect()
    yield connect
    connections["default"].close()
    connections["default"] = kept


@pytest.fixture
def at_once(database):
    """Run every call in its own thread and connection, all let go at the same moment; return answers or errors."""

    def run_all(*calls):
        barrier = Barrier(len(calls))

        def run(one):
            try:
                database()
                barrier.wait(timeout=20)
                return one()
            except Exception as error:  # noqa: BLE001 (the test looks at it)
                return error
            finally:
                connection.close()

        with ThreadPoolExecutor(len(calls)) as pool:
            return list(pool.map(run, calls))

    return run_all


def test_take_when_several_approvers_press_at_once_then_one_has_it(at_once):
    scene = Scene()
    case = scene.proposed()
    people = [factories.user(Role.APPROVER) for _ in range(4)]
    answers = at_once(*(lambda p=p: call(services.case_take_second, actor=p, case_id=case.pk) for p in people))
    assert sum(isinstance(one, Case) for one in answers) == 1
    assert sum(isinstance(one, StaleState | InvalidMove) for one in answers) == 3
    winner = next(person for person, one in zip(people, answers, strict=True) if isinstance(one, Case))
    assert (fresh(case).state, fresh(case).approver) == ("SECOND_REVIEW", winner)


def test_approve_when_it_is_pressed_twice_at_once_then_there_is_one_certificate_and_one_signature(at_once):
    scene = Scene()
    case = scene.taken()
    answers = at_once(*[lambda: scene.approve(case)] * 3)
    assert sum(isinstance(one, StaleState | InvalidMove) for one in answers) == 2
    assert (Certificate.objects.count(), Clearance.objects.count()) == (1, 1)
    assert Signature.objects.filter(user=scene.approver).count() == 1
    assert audit.verify().intact


def test_propose_when_two_physicists_press_at_once_then_one_signature_stands(at_once):
    scene = Scene()
    case = scene.reviewing()
    answers = at_once(*(lambda p=p: scene.propose(case, actor=p) for p in (scene.proposer, scene.physicist)))
    assert sum(isinstance(one, StaleState | InvalidMove) for one in answers) == 1
    assert case.decisions.count() == 1


def test_evidence_when_signal_and_job_come_at_once_then_each_run_is_counted_once(at_once):
    scene = Scene()
    case = scene.collecting()
    reviews = [scene.signed("cylinder"), scene.signed("nema_iq")]
    answers = at_once(
        *[lambda: collect(case)] * 2,
        lambda: work(services.cases_reconcile),
        *(lambda r=r: work(services.run_evidence_collect, run_id=r.run_id) for r in reviews),
    )
    assert [one for one in answers if isinstance(one, Exception)] == []
    assert Evidence.objects.count() == AuditEvent.objects.filter(action="evidence.add").count() == 2
    assert AuditEvent.objects.filter(action="case.collect").count() == 1
    assert fresh(case).state == "PHYSICIST_REVIEW"


@pytest.mark.parametrize("programme", ["earl@1", UK])
def test_start_when_the_same_scope_is_opened_at_once_then_one_is_and_the_others_are_told_its_number(at_once, programme):
    scene = Scene(programme)
    answers = at_once(*[lambda: scene.start()] * 4)
    case = Case.objects.get()
    refused = [one for one in answers if isinstance(one, Refused)]
    assert len(refused) == 3
    assert {one.message for one in refused} == {f"There is already an open case for exactly this: {case}."}


def test_approve_when_a_failed_run_is_counted_at_once_then_nothing_it_speaks_against_is_cleared(at_once):
    scene = Scene()
    case = scene.taken()
    review = scene.signed("cylinder", "FAIL")
    at_once(lambda: scene.approve(case), lambda: work(services.run_evidence_collect, run_id=review.run_id))
    work(services.cases_reconcile)
    today = selectors.today_at(scene.site)
    assert not any(one.holds_on(today) for one in Clearance.objects.all())
    assert fresh(case).state in {"SECOND_REVIEW", "SUSPENDED"}


def test_calendar_when_two_beats_come_at_once_then_a_case_is_moved_once(at_once):
    scene = Scene()
    case = scene.accredited()
    Case.objects.filter(pk=case.pk).update(valid_until="2020-01-01")
    answers = at_once(*[lambda: work(services.calendar_advance)] * 3)
    assert sorted(answers) == [0, 0, 1]
    assert AuditEvent.objects.filter(action="case.expire").count() == 1


# --- a certificate is checked while it is revoked ---------------------------------------------


def test_check_when_the_revocation_stands_half_way_then_what_was_before_is_said(at_once, monkeypatch):
    scene = Scene()
    certificate = scene.accredited().certificates.get()
    half_way, go_on = Event(), Event()
    end = services.certificates._end

    def waits(*given):
        half_way.set()
        assert go_on.wait(20)
        end(*given)

    monkeypatch.setattr(services.certificates, "_end", waits)

    def revoke():
        call(services.certificate_withdraw, actor=scene.approver, certificate_id=certificate.pk, reason="In error.")

    def check():
        assert half_way.wait(20)
        during = selectors.certificate_state(certificate.number)
        go_on.set()
        return during

    _, during = at_once(revoke, check)
    assert (during.word, during.since) == ("VALID", None)
    after = selectors.certificate_state(certificate.number)
    assert (after.word, after.since) == ("WITHDRAWN", selectors.today_at(scene.site))


def test_check_when_it_is_read_again_and_again_while_it_is_revoked_then_nothing_is_mixed(at_once):
    scene = Scene()
    certificate = scene.accredited().certificates.get()
    done = Event()

    def revoke():
        try:
            call(services.certificate_withdraw, actor=scene.approver, certificate_id=certificate.pk, reason="In error.")
        finally:
            done.set()

    def check():
        seen = []
        while True:
            is_over = done.is_set()
            state = selectors.certificate_state(certificate.number)
            seen.append((str(state.word), state.since))
            if is_over:
                return seen

    today = selectors.today_at(scene.site)
    _, *readers = at_once(revoke, check, check)
    for seen in readers:
        assert set(seen) <= {("VALID", None), ("WITHDRAWN", today)}
        assert [word for word, _ in seen] == sorted(word for word, _ in seen), "once withdrawn it stays so"
        assert seen[-1] == ("WITHDRAWN", today)
