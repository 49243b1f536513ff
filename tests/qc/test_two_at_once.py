"""Two real transactions at once, on a database that runs them side by side."""

from __future__ import annotations

import io
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier, Event
from time import sleep

import pytest
from django.db import connection, transaction

from corelab import audit, storage
from corelab.errors import InvalidMove, StaleState
from corelab.models import Role, StoredObject
from qc import services
from qc.models import Query, ReceivedFile, Submission, Upload
from qc.states import SubmissionState as S
from tests import factories
from tests.qc import scenes
from tests.qc.kit import call, receive, slices

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.services]


@pytest.fixture(autouse=True)
def _side_by_side():
    if connection.vendor != "postgresql":
        pytest.skip("SQLite runs one writer after the other")


def at_once(*calls):
    """Run every call in its own thread and connection, all let go at the same moment; return answers or errors."""
    barrier = Barrier(len(calls))

    def run(one):
        try:
            barrier.wait(timeout=10)
            return one()
        except Exception as error:  # noqa: BLE001 (the test looks at it)
            return error
        finally:
            connection.close()

    with ThreadPoolExecutor(len(calls)) as pool:
        return list(pool.map(run, calls))


def post(actor, submission, content, name="IM1"):
    return call(
        services.upload_receive,
        actor=actor,
        submission_id=submission.pk,
        length_bytes=len(content),
        file_name=name,
        stream=io.BytesIO(content),
    )


def test_claim_when_many_physicists_press_at_once_then_one_has_it(draft):
    Submission.objects.update(state=S.AWAITING_REVIEW)
    people = [factories.user(Role.PHYSICIST) for _ in range(4)]
    answers = at_once(*(lambda p=p: call(services.submission_claim, actor=p, submission_id=draft.pk) for p in people))
    losers = [answer for answer in answers if isinstance(answer, StaleState | InvalidMove)]
    assert len(losers) == 3
    winner = next(person for person, answer in zip(people, answers, strict=True) if isinstance(answer, Submission))
    draft.refresh_from_db()
    assert (draft.state, draft.reviewer) == (S.IN_REVIEW, winner)


def test_upload_when_the_same_slice_comes_twice_at_once_then_there_is_one_of_it(draft, sender):
    content = slices()[0]
    for answer in at_once(*[lambda: post(sender, draft, content)] * 4):
        assert isinstance(answer, Upload | StaleState)
    assert Upload.objects.count() == ReceivedFile.objects.count() == StoredObject.objects.count() == 1


def test_upload_when_the_same_bytes_come_under_many_names_at_once_then_one_file_is_kept(draft, sender):
    content = slices()[0]
    answers = at_once(*(lambda name=name: post(sender, draft, content, name) for name in "abcd"))
    assert all(isinstance(answer, Upload) for answer in answers)
    assert (Upload.objects.count(), ReceivedFile.objects.count(), StoredObject.objects.count()) == (4, 1, 1)


def test_upload_when_many_slices_come_at_once_then_all_are_kept_and_the_chain_holds(draft, sender):
    files = slices(12)
    answers = at_once(*(lambda k=k, c=c: post(sender, draft, c, str(k)) for k, c in enumerate(files)))
    assert all(isinstance(answer, Upload) for answer in answers)
    assert ReceivedFile.objects.filter(status="KEPT").count() == 12
    assert audit.verify().intact


def test_send_when_it_is_pressed_while_a_slice_arrives_then_no_file_lands_in_what_was_sent_unseen(draft, sender):
    receive(draft, *slices(2), name="first")
    late = slices(1, seed=5)[0]
    sent, posted = at_once(
        lambda: call(services.submission_send, actor=sender, submission_id=draft.pk),
        lambda: post(sender, draft, late, "late"),
    )
    assert isinstance(sent, Submission)
    landed = ReceivedFile.objects.count()
    assert landed == (3 if isinstance(posted, Upload) else 2)


def test_removal_when_the_same_bytes_arrive_at_once_then_they_are_there_if_a_row_is(draft, sender, site):
    content = slices()[0]
    for round_ in range(8):
        other = factories.submission(of=site, created_by=sender)
        upload = post(sender, draft, content, f"a{round_}")
        at_once(
            lambda upload=upload: call(services.upload_remove, actor=sender, upload_id=upload.pk),
            lambda other=other: post(sender, other, content),
        )
        for row in ReceivedFile.objects.select_related("stored"):
            assert storage.path_of(row.stored.sha256).read_bytes() == content
        Submission.objects.filter(pk=other.pk).update(state=S.WITHDRAWN)


def _asked(draft, sender):
    run = scenes.measured(draft)
    return Query.objects.create(
        number=1, submission=draft, run=run, title="Dates", text="When?", state="OPEN", asked_at=run.created_at
    )


def test_answer_when_two_colleagues_press_at_once_then_one_answer_stands(draft, sender):
    query = _asked(draft, sender)
    people = [sender, factories.user(Role.SITE_USER, site=draft.site)]
    answers = at_once(
        *(lambda p=p: call(services.query_answer, actor=p, query_id=query.pk, text=f"{p}: at 09:10") for p in people)
    )
    assert sum(isinstance(one, Query) for one in answers) == 1
    assert sum(isinstance(one, StaleState | InvalidMove) for one in answers) == 1
    assert query.messages.count() == 1


def test_close_when_the_site_answers_at_once_then_both_are_kept_or_the_slower_is_told(draft, sender):
    query = _asked(draft, sender)
    physicist = factories.user(Role.PHYSICIST)
    closed, answered = at_once(
        lambda: call(services.query_close, actor=physicist, query_id=query.pk, reason="told on the phone"),
        lambda: call(services.query_answer, actor=sender, query_id=query.pk, text="At 09:10."),
    )
    query.refresh_from_db()
    outcomes = (isinstance(closed, Query), isinstance(answered, Query))
    expected = {(True, True): "CLOSED", (True, False): "CLOSED", (False, True): "SITE_RESPONDED"}
    assert query.state == expected[outcomes]
    assert query.messages.count() == outcomes[1]


def test_bytes_when_they_are_set_aside_while_the_same_come_in_then_the_row_has_its_bytes():
    for number in range(8):
        content = f"slice {number}".encode()
        lost = storage.write_part([content])
        storage.secure([lost])
        lost.path.unlink()
        sha256 = lost.sha256
        answers = at_once(
            lambda content=content: storage.put_once([content]),
            lambda sha256=sha256: storage.set_aside(sha256, lambda row: None),
        )
        assert isinstance(answers[0], storage.Put)
        assert isinstance(answers[1], bool)
        assert StoredObject.objects.filter(sha256=sha256).count() == 1
        with storage.open_object(sha256) as file:
            assert file.read() == content


def test_bytes_when_a_row_is_written_and_not_committed_yet_then_setting_them_aside_waits_and_leaves_them():
    part = storage.write_part([b"slice"])
    storage.secure([part])
    is_written, answers = Event(), []

    def land():
        with transaction.atomic():
            storage.adopt([part])
            is_written.set()
            sleep(0.3)

    def sweep():
        is_written.wait(timeout=10)
        answers.append(storage.set_aside(part.sha256, lambda row: None))

    at_once(land, sweep)
    assert answers == [False]
    with storage.open_object(part.sha256) as file:
        assert file.read() == b"slice"
