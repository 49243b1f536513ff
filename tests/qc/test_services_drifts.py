"""Where scans and the register differ: raised once a value, declared or explained by people, the register audited."""

from __future__ import annotations

from decimal import Decimal

import pytest
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from corelab import services as registry
from corelab.errors import NotAllowed, NotFound, Refused, StaleState
from corelab.models import AuditEvent, ReconstructionProfile, Role
from qc import selectors, services
from qc.models import Drift
from qc.services import drifts
from qc.states import SubmissionState as S
from tests import factories
from tests.qc import scenes
from tests.qc.kit import call, work

pytestmark = pytest.mark.django_db
SHOWN = {
    "method": "PSF+TOF 4i5s",
    "kernel": "XYZGAUSS5.00",
    "filter_fwhm_mm": 5.0,
    "matrix": 440,
    "pixel_mm": 1.65004,
    "slice_mm": 1.6456,
}


@pytest.fixture
def scanner(site):
    return factories.scanner(site, software="VG80B", serial="60421")


@pytest.fixture
def technician(db):
    return factories.user(Role.TECHNICIAN)


@pytest.fixture
def note(site, sender, scanner):
    """Return a function that lets a finished run say what differs."""

    def of(*rows, **fields):
        submission = factories.submission(of=site, created_by=sender, scanner=scanner, **fields)
        result = scenes.cylinder_result() | {"conformance": {"drifts": list(rows), "reconstruction": SHOWN}}
        run = scenes.measured(submission, result)
        submission.scanner.refresh_from_db()
        with transaction.atomic():
            work(drifts.drift_note, run=run, submission=submission)
        return submission

    return of


def row(attribute="software", registered="VG80B", seen="VG85A", rule="REC-07"):
    return {"rule": rule, "attribute": attribute, "registered": registered, "seen": seen}


def declare(drift, person, reason="upgraded on 1 March"):
    return call(services.drift_declare, actor=person, drift_id=drift.pk, reason=reason)


# --- raised ---------------------------------------------------------------------------------------


def test_note_when_a_value_differs_then_it_is_open_once_however_many_scans_show_it(note, scanner):
    first = note(row())
    note(row())
    drift = Drift.objects.get()
    assert (drift.scanner, drift.registered, drift.seen, drift.submission) == (scanner, "VG80B", "VG85A", first)
    assert AuditEvent.objects.filter(action="drift.open").count() == 1
    note(row(seen="VG86A"), row("serial", "60421", "60422"))
    assert Drift.objects.filter(state="OPEN").count() == 3


def test_note_when_nothing_differs_or_it_is_a_dry_run_then_nothing_is_open(note):
    note()
    note(row(), is_dry_run=True)
    assert not Drift.objects.exists()


def test_note_when_the_register_follows_by_itself_then_the_task_is_settled_by_the_program(note, scanner):
    note(row())
    scanner.software = "VG85A"
    scanner.save()
    note()
    drift = Drift.objects.get()
    assert (drift.state, drift.closed_by) == ("DECLARED", None)
    assert AuditEvent.objects.filter(action="drift.settle").exists()


# --- declared, explained --------------------------------------------------------------------------


@pytest.mark.parametrize("who", ["sender", "technician", "physicist"])
def test_declare_when_site_or_staff_do_it_then_the_register_follows_audited_and_the_task_is_closed(
    note, request, scanner, who
):
    note(row())
    person = request.getfixturevalue(who)
    drift = declare(Drift.objects.get(), person)
    scanner.refresh_from_db()
    assert (scanner.software, drift.state, drift.closed_by) == ("VG85A", "DECLARED", person)
    event = AuditEvent.objects.get(action="scanner.declare")
    assert (event.before, event.after) == ({"software": "VG80B"}, {"software": "VG85A"})
    assert event.reason == "upgraded on 1 March"
    assert AuditEvent.objects.filter(action="drift.declare").count() == 1


def test_declare_when_it_is_a_reconstruction_then_a_new_one_is_registered_and_the_accredited_one_stays(
    note, scanner, technician
):
    accredited = scanner.reconstructions.get()
    before = ReconstructionProfile.objects.filter(pk=accredited.pk).values().get()
    note(row("reconstruction", "XYZGAUSS2.00", "XYZGAUSS5.00", "REC-04"))
    declare(Drift.objects.get(), technician)
    assert ReconstructionProfile.objects.filter(pk=accredited.pk).values().get() == before
    added = scanner.reconstructions.exclude(pk=accredited.pk).get()
    assert (added.method, added.kernel, added.matrix) == ("PSF+TOF 4i5s", "XYZGAUSS5.00", 440)
    assert (added.filter_fwhm_mm, added.pixel_mm) == (Decimal("5.0"), Decimal("1.6500"))
    assert not added.clearances.exists()


def test_declare_when_the_reconstruction_is_registered_already_then_none_is_added_and_it_is_not_raised_again(
    note, scanner, technician
):
    note(row("reconstruction", "a", "b", "REC-03"))
    declare(Drift.objects.get(), technician)
    assert scanner.reconstructions.count() == 2
    note(row("reconstruction", "a", "b", "REC-03"))
    assert not Drift.objects.filter(state="OPEN").exists()
    note(row("reconstruction", "c", "b", "REC-03"))
    declare(Drift.objects.get(state="OPEN"), technician)
    assert scanner.reconstructions.count() == 2


def test_declare_when_the_register_does_not_take_the_value_then_the_task_stays_open(note, scanner, technician):
    factories.scanner(scanner.site, serial="60422")
    note(row("serial", "60421", "60422"))
    with pytest.raises(Refused):
        declare(Drift.objects.get(), technician)
    assert Drift.objects.get().state == "OPEN"


def test_explain_when_staff_say_why_then_the_register_stays_and_the_same_value_is_not_asked_again(
    note, scanner, physicist
):
    note(row())
    reason = "the console writes the patch level here"
    call(services.drift_explain, actor=physicist, drift_id=Drift.objects.get().pk, reason=reason)
    note(row())
    scanner.refresh_from_db()
    assert (scanner.software, Drift.objects.get().state) == ("VG80B", "EXPLAINED")
    note(row(registered="VG81A"))
    assert Drift.objects.filter(state="OPEN").count() == 1


def test_explain_when_the_site_tries_then_only_staff_may(note, sender):
    note(row())
    with pytest.raises(NotAllowed):
        call(services.drift_explain, actor=sender, drift_id=Drift.objects.get().pk, reason="it is the same")


@pytest.mark.parametrize("service", ["drift_declare", "drift_explain"])
def test_decide_when_no_reason_is_given_then_it_is_refused(note, technician, service):
    note(row())
    with pytest.raises(Refused, match="reason"):
        call(getattr(services, service), actor=technician, drift_id=Drift.objects.get().pk, reason=" ")


def test_decide_when_somebody_was_faster_then_the_second_is_told_and_the_register_is_written_once(
    note, scanner, technician, physicist, monkeypatch
):
    note(row())
    read_before = selectors.drift_for(physicist, Drift.objects.get().pk)
    declare(read_before, technician)
    with pytest.raises(StaleState, match="upgraded on 1 March"):
        declare(read_before, physicist)
    monkeypatch.setattr(selectors, "drift_for", lambda actor, pk: read_before)
    read_before.state = "OPEN"
    with pytest.raises(StaleState, match="upgraded on 1 March"):
        call(services.drift_explain, actor=physicist, drift_id=read_before.pk, reason="the same")
    assert AuditEvent.objects.filter(action="scanner.declare").count() == 1


def test_visible_when_a_stranger_or_a_trial_looks_then_there_is_nothing(note, site):
    note(row())
    drift = Drift.objects.get()
    for person in (
        factories.user(Role.SITE_USER, site=factories.site()),
        factories.user(Role.TRIAL_MANAGER, trial=factories.trial(site)),
    ):
        assert not selectors.drifts_visible_to(person).exists()
        with pytest.raises(NotFound):
            declare(drift, person)


# --- what an administrator enters -------------------------------------------------------------


@pytest.fixture
def edit(scanner):
    administrator = factories.user(Role.ADMINISTRATOR)

    def of(**fields):
        return call(registry.scanner_edit, actor=administrator, scanner=scanner, reason="upgraded", **fields)

    return of


def test_edit_when_an_administrator_changes_a_scanner_then_each_change_is_to_be_declared_or_explained(
    edit, scanner, sender
):
    edit(software="VG85A", serial="60422", is_active=False)
    found = Drift.objects.order_by("attribute").values_list("attribute", "registered", "seen", "state", "submission")
    assert list(found) == [
        ("serial", "60421", "60422", "OPEN", None),
        ("software", "VG80B", "VG85A", "OPEN", None),
    ]
    assert AuditEvent.objects.filter(action="drift.open").count() == 2
    software = Drift.objects.get(attribute="software")
    declare(software, sender)
    software.refresh_from_db()
    scanner.refresh_from_db()
    assert (software.state, scanner.software) == ("DECLARED", "VG85A")
    assert AuditEvent.objects.filter(action="scanner.declare").count() == 0


def test_edit_when_nothing_of_it_changes_or_nothing_was_registered_then_nobody_is_asked(edit, scanner):
    scanner.software = ""
    scanner.save()
    edit(software="VG80B", manufacturer="Digital 2")
    edit(software="VG80B", is_active=False)
    assert not Drift.objects.exists()


def test_edit_when_it_is_changed_again_then_one_difference_from_first_to_last_stays(edit):
    edit(software="VG85A")
    edit(software="VG86A")
    assert list(Drift.objects.filter(state="OPEN").values_list("registered", "seen")) == [("VG80B", "VG86A")]
    edit(software="VG80B")
    assert not Drift.objects.filter(state="OPEN").exists()


def test_edit_when_a_scan_showed_it_already_then_it_is_asked_once(edit, note):
    submission = note(row())
    edit(software="VG85A")
    assert list(Drift.objects.values_list("submission", "state")) == [(submission.pk, "OPEN")]


def test_edit_when_a_scan_follows_then_a_person_still_says_whether_the_scanner_changed(edit, note):
    edit(software="VG85A")
    note()
    assert Drift.objects.get().state == "OPEN"


def test_edit_when_it_is_refused_then_nothing_is_opened(edit, scanner):
    factories.scanner(scanner.site, serial="60422")
    with pytest.raises(Refused):
        edit(software="VG85A", serial="60422")
    assert not Drift.objects.exists()


def test_page_when_an_entry_was_changed_then_staff_can_say_that_only_the_entry_was_wrong(
    client, edit, scanner, technician
):
    edit(software="VG85A")
    drift = Drift.objects.get()
    client.force_login(technician)
    html = client.get(reverse("corelab:scanner-detail", args=[scanner.pk])).content.decode()
    assert "which said VG80B before" in html
    for name, words in (("drift-declare", "The scanner itself has changed"), ("drift-explain", "its entry was wrong")):
        assert words in client.get(reverse(f"qc:{name}", args=[drift.pk])).content.decode()
    client.force_login(factories.user(Role.SITE_USER, site=factories.site()))
    assert client.get(reverse("qc:drift-declare", args=[drift.pk])).status_code == 404
    client.force_login(technician)
    assert client.post(reverse("qc:drift-explain", args=[drift.pk]), {"reason": "typing"}).status_code == 302
    drift.refresh_from_db()
    scanner.refresh_from_db()
    assert (drift.state, scanner.software) == ("EXPLAINED", "VG85A")


# --- the pages ------------------------------------------------------------------------------------


def test_page_when_the_site_opens_its_scanner_then_it_can_declare_and_not_explain(client, note, scanner, sender):
    submission = note(row(), state=S.AWAITING_REVIEW)
    drift = Drift.objects.get()
    client.force_login(sender)
    html = client.get(reverse("corelab:scanner-detail", args=[scanner.pk])).content.decode()
    assert "Software version VG85A" in html
    assert f"{submission}</a> shows it" in html
    assert "The register says VG80B." in html
    assert reverse("qc:drift-declare", args=[drift.pk]) in html
    assert reverse("qc:drift-explain", args=[drift.pk]) not in html
    address = reverse("qc:drift-declare", args=[drift.pk])
    assert "VG85A" in client.get(address).content.decode()
    assert client.post(address, {"reason": ""}).status_code == 422
    assert client.post(address, {"reason": "upgraded"}).status_code == 302
    scanner.refresh_from_db()
    assert scanner.software == "VG85A"
    html = client.get(reverse("corelab:scanner-detail", args=[scanner.pk])).content.decode()
    assert "Declare or explain" not in html


def test_page_when_many_values_differ_then_the_scanners_page_asks_the_database_no_more(
    client, note, scanner, technician
):
    def asked() -> int:
        with CaptureQueriesContext(connection) as captured:
            client.get(reverse("corelab:scanner-detail", args=[scanner.pk]))
        return len(captured)

    client.force_login(technician)
    note(row())
    asked()
    few = asked()
    note(*(row(seen=f"VG9{number}A") for number in range(5)))
    assert asked() == few
