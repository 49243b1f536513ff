"""A trial's protocol: started from a template, written by physicists, published with its day, then frozen."""

from __future__ import annotations

import datetime

import pytest
from django.utils import timezone

from corelab.errors import NotAllowed, NotFound, Refused, StaleState
from corelab.models import AuditEvent, Role
from qc import protocols, selectors, services
from qc.models import ProtocolVersion
from qc.services import protocols as protocol_services
from tests import factories
from tests.qc.kit import call, receive, slices, work

pytestmark = pytest.mark.django_db
DAY = datetime.date(2026, 1, 1)


@pytest.fixture
def trial(site):
    return factories.trial(site)


@pytest.fixture
def first(trial, physicist):
    return call(services.protocol_start, actor=physicist, trial=trial, template="lymphoma")


def changed(protocol, name="uptake_min", **ends):
    document = {**protocol.document, "limits": dict(protocol.document["limits"])}
    document["limits"][name] = document["limits"][name] | ends
    return document


def save(protocol, physicist, document, **more):
    return call(services.protocol_save, actor=physicist, protocol_id=protocol.pk, document=document, **more)


def publish(protocol, physicist, effective_on=DAY, **more):
    return call(services.protocol_publish, actor=physicist, protocol_id=protocol.pk, effective_on=effective_on, **more)


def test_start_when_from_the_template_then_it_is_a_draft_of_this_trial_that_is_right_as_it_stands(first, trial):
    assert (first.version, first.published_at, first.document["trial"]) == (1, None, trial.code)
    assert protocols.problems(first.document) == []
    assert protocols.TEMPLATES["lymphoma"]["trial"] is None, "the template itself is not changed"


def test_start_when_a_draft_is_there_then_it_is_found(first, trial, physicist):
    again = call(services.protocol_start, actor=physicist, trial=trial, template="lymphoma")
    assert again == first


def test_start_when_the_last_version_is_published_then_the_next_one_copies_it(first, trial, physicist):
    save(first, physicist, changed(first, warn_low=56))
    publish(first, physicist)
    second = call(services.protocol_start, actor=physicist, trial=trial)
    assert (second.version, second.document["limits"]["uptake_min"]["warn_low"]) == (2, 56)


@pytest.mark.parametrize("template", ["", "melanoma"])
def test_start_when_there_is_nothing_to_start_from_then_it_is_refused(trial, physicist, template):
    with pytest.raises(Refused) as refused:
        call(services.protocol_start, actor=physicist, trial=trial, template=template)
    assert refused.value.code == "PROTOCOL-TEMPLATE"


def test_save_when_the_document_is_wrong_then_everything_is_said_at_once_and_nothing_is_kept(first, physicist):
    document = changed(first, low=80) | {"colour": "blue"}
    with pytest.raises(Refused) as refused:
        save(first, physicist, document)
    assert refused.value.code == "PROTOCOL-DOCUMENT"
    assert "colour" in refused.value.message
    first.refresh_from_db()
    assert "colour" not in first.document


def test_save_when_it_is_changed_then_the_log_holds_both_documents(first, physicist):
    before = first.document
    save(first, physicist, changed(first, warn_low=56))
    event = AuditEvent.objects.get(action="protocol.save")
    assert event.before["document"] == before
    assert event.after["document"]["limits"]["uptake_min"]["warn_low"] == 56


def test_save_when_two_write_at_once_then_the_second_is_told(first, physicist):
    shown = first.digest
    save(first, physicist, changed(first, warn_low=56), shown_digest=shown)
    with pytest.raises(StaleState):
        save(first, physicist, changed(first, warn_low=57), shown_digest=shown)
    first.refresh_from_db()
    assert first.document["limits"]["uptake_min"]["warn_low"] == 56


def test_save_when_it_is_published_then_it_is_frozen(first, physicist):
    publish(first, physicist)
    with pytest.raises(Refused, match="does not change any more") as refused:
        save(first, physicist, changed(first, warn_low=56))
    assert refused.value.code == "PROTOCOL-FROZEN"


def test_save_when_a_scan_was_judged_by_it_then_it_is_frozen_and_the_run_still_says_what_it_was(
    first, physicist, site, sender, trial
):
    publish(first, physicist)
    document = first.document
    scan = factories.submission(of=site, created_by=sender, kind="patient", trial=trial, subject_code="SUBJ-1")
    receive(scan, *slices())
    call(services.submission_send, actor=sender, submission_id=scan.pk)
    work(services.submission_check, submission_id=scan.pk)
    run = scan.runs.get()
    work(services.run_analyse, run_id=run.pk)
    for service, more in (
        (services.protocol_save, {"document": changed(first, high=90)}),
        (services.protocol_publish, {"effective_on": DAY}),
    ):
        with pytest.raises(Refused) as refused:
            call(service, actor=physicist, protocol_id=first.pk, **more)
        assert refused.value.code == "PROTOCOL-FROZEN"
    first.refresh_from_db()
    run.refresh_from_db()
    assert first.document == document == run.parameters["conformance"]["protocol"]["document"]


def test_save_when_it_is_published_in_the_same_moment_then_nothing_changes(first, physicist, monkeypatch):
    read_before = ProtocolVersion.objects.select_related("trial").get(pk=first.pk)
    publish(first, physicist)
    monkeypatch.setattr(protocol_services, "_draft", lambda protocol_id, actor: read_before)
    with pytest.raises(StaleState):
        save(first, physicist, changed(first, warn_low=56))
    first.refresh_from_db()
    assert first.document["limits"]["uptake_min"]["warn_low"] == 55


def test_publish_when_the_draft_changed_while_it_was_read_then_it_must_be_read_again(first, physicist):
    shown = first.digest
    save(first, physicist, changed(first, warn_low=56))
    with pytest.raises(StaleState):
        publish(first, physicist, shown_digest=shown)
    assert selectors.protocol_in_force(first.trial, DAY) is None


def test_publish_when_an_earlier_version_begins_later_then_it_is_refused(first, trial, physicist):
    in_a_month = timezone.now().date() + datetime.timedelta(days=30)
    publish(first, physicist, in_a_month)
    second = call(services.protocol_start, actor=physicist, trial=trial)
    with pytest.raises(Refused) as refused:
        publish(second, physicist, in_a_month - datetime.timedelta(days=1))
    assert refused.value.code == "PROTOCOL-DAY"
    publish(second, physicist, in_a_month)
    assert selectors.protocol_in_force(trial, in_a_month).version == 2


def test_publish_when_the_day_has_passed_then_only_a_first_version_may_begin_there(first, trial, physicist):
    today = timezone.now().date()
    publish(first, physicist, today - datetime.timedelta(days=90))
    second = call(services.protocol_start, actor=physicist, trial=trial)
    with pytest.raises(Refused, match="That day has passed"):
        publish(second, physicist, today - datetime.timedelta(days=1))
    publish(second, physicist, today)
    assert selectors.protocol_in_force(trial, today - datetime.timedelta(days=1)).version == 1


@pytest.mark.parametrize("role", [Role.TECHNICIAN, Role.APPROVER, Role.ADMINISTRATOR, Role.AUDITOR])
def test_write_when_no_physicist_tries_then_it_is_refused(first, trial, role):
    person = factories.user(role)
    with pytest.raises(NotAllowed):
        call(services.protocol_start, actor=person, trial=trial, template="lymphoma")
    with pytest.raises(NotAllowed):
        save(first, person, changed(first, warn_low=56))
    with pytest.raises(NotAllowed):
        publish(first, person)


def test_visible_when_it_is_a_draft_then_only_the_lab_sees_it_and_published_the_trials_people_too(
    first, trial, physicist, sender
):
    manager = factories.user(Role.TRIAL_MANAGER, trial=trial)
    stranger = factories.user(Role.SITE_USER, site=factories.site())
    for person in (sender, manager, stranger):
        with pytest.raises(NotFound):
            selectors.protocol_for(person, trial.code, 1)
    publish(first, physicist)
    for person in (sender, manager, physicist):
        assert selectors.protocol_for(person, trial.code, 1) == first
    with pytest.raises(NotFound):
        selectors.protocol_for(stranger, trial.code, 1)
