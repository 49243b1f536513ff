"""Signed runs become evidence by themselves: of the right scope, once, and also where the signal was lost."""

from __future__ import annotations

import pytest
from django.db import IntegrityError, transaction

from accreditation import services
from accreditation.models import Case, Evidence
from corelab.models import AuditEvent, Clearance
from qc import signals
from qc.models import Run, Submission
from tests import factories
from tests.accreditation.scenes import TODAY, UK, Scene, certificate_of, collect, days, fresh
from tests.qc.kit import work

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("clock")]


def told(review) -> None:
    """Send what qc sends after a review was signed and committed."""
    for receiver, answer in signals.run_signed.send_robust(sender=Run, run_id=review.run_id):
        assert not isinstance(answer, Exception), (receiver, answer)


def test_signal_when_the_last_missing_run_is_signed_then_the_case_goes_to_the_physicist():
    scene = Scene()
    case = scene.collecting()
    told(scene.signed("cylinder"))
    assert fresh(case).state == "ANALYSIS_RUNNING"
    told(scene.signed("nema_iq"))
    assert fresh(case).state == "PHYSICIST_REVIEW"
    assert list(case.evidence.order_by("requirement").values_list("requirement", "attempt")) == [
        ("calibration", 1),
        ("image_quality", 1),
    ]


def test_signal_when_a_run_failed_then_the_physicist_need_not_wait_for_the_rest():
    scene = Scene()
    case = scene.collecting()
    told(scene.signed("nema_iq", "FAIL"))
    assert fresh(case).state == "PHYSICIST_REVIEW"
    assert "did not pass" in AuditEvent.objects.get(action="case.collect").after["because"]


def test_signal_when_it_is_heard_then_the_system_acts_and_not_who_signed():
    scene = Scene()
    scene.collecting()
    told(scene.signed("cylinder"))
    event = AuditEvent.objects.get(action="evidence.add")
    assert (event.actor, event.actor_name) == (None, "system: evidence of a signed run")


def test_evidence_when_the_same_comes_twice_then_it_is_counted_once():
    scene = Scene()
    case = scene.collecting()
    review = scene.signed("cylinder")
    for _ in range(3):
        told(review)
        collect(case)
    assert Evidence.objects.count() == AuditEvent.objects.filter(action="evidence.add").count() == 1


def test_evidence_when_somebody_writes_it_twice_then_the_database_refuses():
    scene = Scene()
    case = scene.collecting()
    review = scene.signed("cylinder")
    collect(case)
    with pytest.raises(IntegrityError), transaction.atomic():
        Evidence.objects.create(case=case, requirement="calibration", run=review.run, verdict="PASS", scanned_on=TODAY)


def test_reconcile_when_the_signal_was_lost_then_the_job_repairs_it_and_then_has_nothing_to_do(
    django_assert_num_queries,
):
    scene = Scene()
    case = scene.collecting()
    scene.signed("cylinder")
    scene.signed("nema_iq")
    assert work(services.cases_reconcile) == 1
    assert fresh(case).state == "PHYSICIST_REVIEW"
    with django_assert_num_queries(1):
        assert work(services.cases_reconcile) == 0


def test_reconcile_when_one_case_breaks_then_the_others_are_still_repaired(monkeypatch, caplog):
    first, second = Scene(), Scene()
    broken, sound = first.collecting(), second.collecting()
    first.signed("cylinder")
    second.signed("cylinder")
    collect_one = services.evidence.case_collect

    def breaks(case):
        if case.pk == broken.pk:
            raise RuntimeError("nothing is right")
        return collect_one(case)

    monkeypatch.setattr(services.evidence, "case_collect", breaks)
    work(services.cases_reconcile)
    assert (broken.evidence.count(), sound.evidence.count()) == (0, 1)
    assert "could not be collected" in caplog.text


SCOPES = [
    {"standard": "earl2_18f"},
    {"sheet": {"nuclide": "Ga-68"}},
    {"sheet": {}},
    {"is_dry_run": True},
    {"scanned_at": None},
]


@pytest.mark.parametrize("other", SCOPES)
def test_evidence_when_the_run_is_of_another_scope_then_it_does_not_count(other):
    scene = Scene()
    case = scene.collecting()
    told(scene.signed("cylinder", **other))
    assert not case.evidence.exists()
    assert fresh(case).state == "ANALYSIS_RUNNING"


def test_evidence_when_scanner_reconstruction_or_trial_are_others_then_it_does_not_count():
    scene, other = Scene(UK), Scene()
    case = scene.collecting()
    told(other.signed("cylinder"))
    second = scene.reconstruction
    second.pk, second.name = None, "Another"
    second.save()
    told(scene.signed("cylinder", reconstruction=second))
    scene.reconstruction = scene.scanner.reconstructions.get(name="OSEM 3i24s 4 mm")
    told(scene.signed("cylinder", trial=factories.trial(scene.site)))
    assert not case.evidence.exists()
    told(scene.signed("cylinder"))
    told(scene.signed("nema_iq", trial=scene.trial))
    assert case.evidence.count() == 2
    assert work(services.cases_reconcile) == 0


def test_evidence_when_the_review_is_not_of_the_run_that_counts_then_it_does_not_count():
    scene = Scene()
    case = scene.collecting()
    review = scene.signed("cylinder")
    Submission.objects.update(current_run=None)
    told(review)
    assert not case.evidence.exists()


def test_evidence_when_a_run_failed_before_the_site_applied_then_the_next_is_awaited():
    scene = Scene()
    scene.signed("nema_iq", "FAIL", scanned_on=TODAY - days(20))
    case = scene.collecting()
    assert case.state == "ANALYSIS_RUNNING"
    assert case.evidence.count() == 1


def test_evidence_when_the_case_is_closed_then_nothing_is_counted():
    from tests.qc.kit import call

    scene = Scene()
    case = scene.collecting()
    call(services.case_withdraw, actor=scene.sender, case_id=case.pk, reason="x")
    told(scene.signed("cylinder"))
    assert not case.evidence.exists()


# --- an accredited scope ----------------------------------------------------------------------


def test_failed_run_when_the_scope_is_accredited_then_it_is_suspended_with_the_reason(clock):
    scene = Scene()
    case = scene.accredited()
    clock.to(TODAY + days(50))
    review = scene.signed("cylinder", "FAIL")
    told(review)
    assert fresh(case).state == "SUSPENDED"
    clearance = Clearance.objects.get()
    assert (clearance.ended_on, clearance.ending) == (TODAY + days(50), "SUSPENDED")
    assert f"{review.run} of {review.run.submission}" in clearance.ended_reason
    assert certificate_of(case).suspended_on == TODAY + days(50)
    assert AuditEvent.objects.get(action="case.suspend").actor is None


@pytest.mark.parametrize("verdict", ["PASS", "WARN", "NOT_EVALUABLE"])
def test_run_when_it_did_not_fail_then_the_accredited_scope_stays(clock, verdict):
    scene = Scene()
    case = scene.accredited()
    clock.to(TODAY + days(50))
    told(scene.signed("cylinder", verdict))
    assert fresh(case).state == "ACCREDITED"


def test_failed_run_when_its_scan_is_older_than_one_that_passed_then_the_scope_stays(clock):
    scene = Scene()
    case = scene.accredited()
    clock.to(TODAY + days(50))
    told(scene.signed("cylinder", "FAIL", scanned_on=TODAY - days(30)))
    assert fresh(case).state == "ACCREDITED"


def test_failed_run_when_the_next_accreditation_is_under_way_then_certificate_ends_and_the_case_goes_on(clock):
    from tests.qc.kit import call

    scene = Scene()
    case = scene.accredited()
    Case.objects.filter(pk=case.pk).update(state="DUE_SOON")
    call(services.case_reaccredit, actor=scene.sender, case_id=case.pk, reason="It ends.")
    clock.to(TODAY + days(50))
    told(scene.signed("cylinder", "FAIL"))
    assert fresh(case).state == "PHYSICIST_REVIEW"
    assert certificate_of(case).suspended_on == TODAY + days(50)
    assert not Clearance.objects.get().holds_on(TODAY + days(50))


def test_passed_run_when_the_scope_is_suspended_then_only_an_approver_lets_it_hold_again(clock):
    scene = Scene()
    case = scene.accredited()
    clock.to(TODAY + days(50))
    told(scene.signed("cylinder", "FAIL"))
    told(scene.signed("cylinder"))
    assert fresh(case).state == "SUSPENDED"
    scene.sign(services.case_reinstate, case, scene.approver, reason="Repeated after calibration.")
    assert fresh(case).state == "ACCREDITED"
