"""What a scan is judged by: the protocol of its own day, its scanner's entry, the clearances that can hold for it."""

from __future__ import annotations

import datetime

import pytest
from django.utils import timezone

from corelab.models import Clearance, Role
from qc import protocols, selectors, services
from qc.models import Drift, ProtocolVersion
from qc.services.yardsticks import yardstick_of
from qc.states import SubmissionState as S
from tests import factories
from tests.qc.kit import call, receive, slices, work

pytestmark = pytest.mark.django_db
SCAN_DAY = datetime.date(2026, 3, 2)


@pytest.fixture
def trial(site):
    return factories.trial(site)


@pytest.fixture
def patient(site, sender, trial):
    """A patient scan of 2 March, 00:30 by its site's clock: the day before by UTC."""
    site.time_zone = "Europe/Berlin"
    site.save()
    return factories.submission(
        of=site,
        created_by=sender,
        kind="patient",
        trial=trial,
        scanned_at=datetime.datetime(2026, 3, 1, 23, 30, tzinfo=datetime.UTC),
        sheet={"patient": {"weight_kg": 72.0, "injected_at": "2026-03-01T23:00:00"}, "entry": {}},
    )


def publish(trial, version, effective_on, *, is_published=True):
    return ProtocolVersion.objects.create(
        trial=trial,
        version=version,
        document=protocols.template("lymphoma"),
        digest=f"{version:064}",
        effective_on=effective_on,
        published_at=timezone.now() if is_published else None,
        made_by=factories.user(Role.PHYSICIST),
    )


def clear(scanner, trial=None, **fields):
    given = {
        "scanner": scanner,
        "reconstruction": scanner.reconstructions.first(),
        "tracer": "F-18",
        "standard": "earl1_18f",
        "trial": trial,
        "certificate_number": f"PET-2026-{Clearance.objects.count():04}",
        "from_on": datetime.date(2026, 1, 1),
        "until_on": datetime.date(2026, 12, 31),
    }
    return Clearance.objects.create(**given | fields)


# --- the protocol ---------------------------------------------------------------------------------


def test_protocol_when_versions_follow_each_other_then_the_one_of_the_scans_own_day_is_taken(patient, trial):
    publish(trial, 1, datetime.date(2026, 1, 1))
    publish(trial, 2, SCAN_DAY)
    publish(trial, 3, SCAN_DAY + datetime.timedelta(days=1))
    publish(trial, 4, None, is_published=False)
    publish(factories.trial(patient.site), 5, SCAN_DAY)
    assert yardstick_of(patient)["protocol"]["version"] == 2
    assert selectors.protocol_in_force(trial, datetime.date(2026, 3, 1)).version == 1
    assert selectors.protocol_in_force(trial, datetime.date(2025, 12, 31)) is None


def test_protocol_when_the_images_name_no_day_then_it_is_the_day_that_the_site_wrote_down(patient, trial):
    publish(trial, 1, datetime.date(2026, 3, 1))
    publish(trial, 2, SCAN_DAY)
    patient.scanned_at = None
    assert yardstick_of(patient)["protocol"]["version"] == 1
    patient.sheet = {}
    assert yardstick_of(patient)["protocol"] is None


def test_protocol_when_a_phantom_is_sent_for_the_trial_then_it_has_none_and_no_values(patient, trial):
    publish(trial, 1, datetime.date(2026, 1, 1))
    patient.kind = "cylinder"
    yardstick = yardstick_of(patient)
    assert (yardstick["protocol"], yardstick["values"]) == (None, None)


# --- the register ---------------------------------------------------------------------------------


def test_registry_when_it_is_read_then_it_fits_its_schema_and_holds_this_scanner_alone(patient):
    scanner = patient.scanner
    scanner.software = "VG80B"
    scanner.reconstructions.update(kernel="XYZGAUSS4.00", filter_fwhm_mm="4.0", matrix=168, pixel_mm="4.0728")
    clear(scanner, ended_on=datetime.date(2026, 3, 2), ending="SUSPENDED", ended_reason="failed its yearly phantom")
    factories.scanner(patient.site)
    yardstick = yardstick_of(patient)
    (registered,) = protocols.parse_registry(yardstick["registry"])
    assert (registered.serial, registered.software) == (scanner.serial, "VG80B")
    (profile,) = registered.reconstructions
    assert (profile.kernel, profile.filter_fwhm_mm, profile.matrix, profile.pixel_mm) == (
        "XYZGAUSS4.00",
        4.0,
        168,
        4.0728,
    )
    (span,) = registered.clearances
    assert not span.holds_on(SCAN_DAY)
    assert span.reason == "failed its yearly phantom"
    assert yardstick["scope"] == {
        "trial": patient.trial.code,
        "standard": "earl1_18f",
        "reconstruction": patient.reconstruction.name,
    }


def test_clearances_when_others_trials_have_theirs_then_only_the_trials_own_and_general_ones_are_there(patient, trial):
    clear(patient.scanner)
    clear(patient.scanner, trial)
    clear(patient.scanner, factories.trial(patient.site))
    clear(factories.scanner(patient.site))
    rows = yardstick_of(patient)["registry"]["scanners"][0]["clearances"]
    assert [row["trial"] for row in rows] == [None, trial.code]


# --- a whole run ----------------------------------------------------------------------------------


def sent(submission, **attributes):
    receive(submission, *slices(**attributes))
    call(services.submission_send, actor=submission.created_by, submission_id=submission.pk)
    work(services.submission_check, submission_id=submission.pk)
    run = submission.runs.get()
    work(services.run_analyse, run_id=run.pk)
    run.refresh_from_db()
    submission.refresh_from_db()
    assert submission.state == S.AWAITING_REVIEW, submission.check_findings or submission.hold_reason
    return run


@pytest.mark.parametrize("kind", ["patient", "cylinder"])
def test_run_when_a_scan_is_measured_then_it_is_held_to_the_rules_and_keeps_what_it_was_held_to(patient, trial, kind):
    protocol = publish(trial, 1, datetime.date(2026, 1, 1))
    patient.kind = kind
    patient.save()
    run = sent(patient)
    kept = run.parameters["conformance"]
    assert kept["scope"]["trial"] == trial.code
    rules = {one["id"] for one in run.result["findings"]}
    assert "REC-07" in rules
    assert ("TIM-01" in rules) == (kind == "patient")
    expected = protocol.document if kind == "patient" else None
    assert (kept["protocol"] or {}).get("document") == expected


@pytest.mark.parametrize("kind", ["patient", "cylinder"])
def test_run_when_the_software_differs_from_the_register_then_it_is_a_drift_once(patient, site, sender, trial, kind):
    patient.scanner.software = "VG80B"
    patient.scanner.save()
    patient.kind = kind
    patient.save()
    sent(patient, SoftwareVersions="VG85A", DeviceSerialNumber=patient.scanner.serial)
    drift = Drift.objects.get(attribute="software")
    assert (drift.registered, drift.seen, drift.submission, drift.state) == ("VG80B", "VG85A", patient, "OPEN")
    again = factories.submission(of=site, created_by=sender, kind=kind, trial=trial)
    sent(again, seed=5, SoftwareVersions="VG85A", DeviceSerialNumber=patient.scanner.serial)
    assert Drift.objects.filter(attribute="software").count() == 1


def test_repeat_when_the_register_changed_then_it_is_another_run_and_the_first_keeps_what_it_was_held_to(patient):
    run = sent(patient)
    patient.scanner.software = "VG85A"
    patient.scanner.save()
    physicist = factories.user(Role.PHYSICIST)
    call(services.submission_repeat, actor=physicist, submission_id=patient.pk, reason="register corrected")
    other = patient.runs.exclude(pk=run.pk).get()
    run.refresh_from_db()
    software = [one.parameters["conformance"]["registry"]["scanners"][0]["software"] for one in (run, other)]
    assert software == ["", "VG85A"]
