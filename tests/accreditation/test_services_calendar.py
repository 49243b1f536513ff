"""What the calendar does, on each site's own day, also after a standstill, and never twice."""

from __future__ import annotations

from datetime import UTC, date, datetime

import pytest

from accreditation import services
from accreditation.models import Case
from corelab import services as registry
from corelab.errors import Refused
from corelab.models import AuditEvent, Clearance, Role
from qc import services as qc_services
from qc.models import Drift, Submission
from tests import factories
from tests.accreditation.scenes import TODAY, UK, Scene, certificate_of, days, fresh
from tests.qc.kit import call, work

pytestmark = pytest.mark.django_db


def advance() -> int:
    return work(services.calendar_advance)


def in_every_window(scene, until: date) -> None:
    """Let the site send its cylinder in each window, and its phantom each year."""
    for day in (date(2026, 4, 26), date(2026, 7, 26), date(2026, 10, 26), date(2027, 1, 26)):
        if day <= until:
            scene.signed("cylinder", scanned_on=day)
    if until >= date(2027, 1, 26):
        scene.signed("nema_iq", scanned_on=date(2027, 1, 26))


def test_due_soon_when_sixty_days_are_left_then_it_is_said_and_not_a_day_earlier(clock):
    scene = Scene()
    case = scene.accredited()
    last_quiet = date(2027, 1, 7)
    clock.to(last_quiet)
    in_every_window(scene, last_quiet)
    assert advance() == 0
    clock.to(date(2027, 1, 8))  # 60 days before 9 March 2027
    assert advance() == 1
    assert fresh(case).state == "DUE_SOON"
    assert Clearance.objects.get().holds_on(date(2027, 1, 8))


def test_expiry_when_the_last_day_is_over_then_it_is_expired_and_not_a_day_earlier(clock):
    scene = Scene()
    case = scene.accredited()
    clock.to(date(2027, 3, 9))
    in_every_window(scene, date(2027, 3, 9))
    advance()
    assert fresh(case).state == "DUE_SOON"
    clock.to(date(2027, 3, 10))
    advance()
    assert fresh(case).state == "EXPIRED"
    assert Clearance.objects.get().ended_on is None  # it held to its own last day


def test_cylinder_when_window_and_grace_are_over_then_the_scope_is_suspended_with_the_reason(clock):
    scene = Scene()
    case = scene.accredited()
    clock.to(date(2026, 5, 30))
    assert advance() == 0
    clock.to(date(2026, 5, 31))
    assert advance() == 1
    assert fresh(case).state == "SUSPENDED"
    clearance = Clearance.objects.get()
    assert clearance.ended_on == date(2026, 5, 31)
    assert "Quarterly calibration cylinder" in clearance.ended_reason
    assert "due by 16 May 2026" in clearance.ended_reason
    assert certificate_of(case).withdrawn_on is None


def test_cylinder_when_it_came_in_time_and_is_not_reviewed_yet_then_nobody_is_suspended(clock):
    scene = Scene()
    case = scene.accredited()
    clock.to(date(2026, 5, 28))
    scene.sent("cylinder")
    clock.to(date(2026, 6, 20))
    assert advance() == 0
    assert fresh(case).state == "ACCREDITED"


def test_calendar_when_it_is_run_again_then_nothing_more_happens(clock):
    scene = Scene()
    scene.accredited()
    clock.to(date(2026, 5, 31))
    advance()
    events, rows = AuditEvent.objects.count(), list(Clearance.objects.values())
    for _ in range(3):
        assert advance() == 0
    assert (AuditEvent.objects.count(), list(Clearance.objects.values())) == (events, rows)


def test_calendar_when_it_stood_still_for_weeks_then_it_ends_today_and_the_past_stays(clock):
    scene = Scene()
    case = scene.accredited()
    clock.to(date(2026, 7, 15))
    advance()
    assert fresh(case).state == "SUSPENDED"
    assert Clearance.objects.get().ended_on == date(2026, 7, 15)


def test_calendar_when_it_stood_still_beyond_the_end_then_it_is_expired_at_once(clock):
    scene = Scene()
    case = scene.accredited()
    clock.to(date(2027, 6, 1))
    assert advance() == 1
    assert fresh(case).state == "EXPIRED"
    assert advance() == 0


def test_suspended_when_its_last_day_is_over_then_it_is_expired(clock):
    scene = Scene()
    case = scene.accredited()
    call(services.case_suspend, actor=scene.physicist, case_id=case.pk, reason="Moved.")
    clock.to(date(2027, 3, 10))
    advance()
    assert fresh(case).state == "EXPIRED"


@pytest.mark.parametrize(
    ("zone", "now", "is_over"),
    [
        # 10 March 2027 has begun in Auckland while it is still the 9th in London, and the other way round in Honolulu
        ("Pacific/Auckland", datetime(2027, 3, 9, 12, 0, tzinfo=UTC), True),
        ("Europe/London", datetime(2027, 3, 9, 12, 0, tzinfo=UTC), False),
        ("Pacific/Honolulu", datetime(2027, 3, 10, 8, 0, tzinfo=UTC), False),
        ("Pacific/Honolulu", datetime(2027, 3, 10, 11, 0, tzinfo=UTC), True),
        ("Europe/London", datetime(2027, 3, 10, 0, 5, tzinfo=UTC), True),
    ],
)
def test_day_when_sites_lie_around_the_world_then_each_has_its_own(clock, zone, now, is_over):
    scene = Scene(time_zone=zone)
    clock.to(TODAY, hour=10)  # the one hour in which it is 10 March in all three
    case = scene.accredited(valid_from=date(2026, 3, 10), valid_until=date(2027, 3, 9))
    clock.now = now
    in_every_window(scene, date(2027, 1, 26))
    advance()
    assert (fresh(case).state == "EXPIRED") is is_over


def test_corrective_action_when_its_day_is_over_then_a_physicist_decides(clock):
    scene = Scene()
    case = scene.reviewing(nema_iq="FAIL")
    scene.require_action(case)
    clock.to(TODAY + days(14))
    assert advance() == 0
    clock.to(TODAY + days(15))
    assert advance() == 1
    case = fresh(case)
    assert (case.state, case.attempt) == ("PHYSICIST_REVIEW", 1)
    assert AuditEvent.objects.get(action="case.lapse").reason == "The corrective action was due by 24 Mar 2026."


def declare(scene, seen_on) -> None:
    shown = scene.sent("cylinder", seen_on, state="RELEASED")
    Drift.objects.create(
        scanner=scene.scanner,
        attribute="software",
        registered="VG80B",
        seen="VG85A",
        submission=shown,
        state="DECLARED",
        closed_by=factories.user(Role.PHYSICIST),
    )


def test_change_when_the_programme_is_voided_by_it_then_the_scope_is_suspended(clock):
    scene = Scene(UK)
    case = scene.accredited()
    clock.to(TODAY + days(30))
    declare(scene, TODAY + days(30))
    assert advance() == 1
    assert fresh(case).state == "SUSPENDED"
    assert "Software version changed from VG80B to VG85A" in Clearance.objects.get().ended_reason


def test_change_when_the_programme_gives_thirty_days_then_it_holds_so_long(clock):
    scene = Scene()
    case = scene.accredited()
    clock.to(TODAY + days(30))
    declare(scene, TODAY + days(5))
    assert advance() == 0
    clock.to(TODAY + days(36))
    assert advance() == 1
    assert fresh(case).state == "SUSPENDED"


def test_change_when_it_is_only_seen_and_not_declared_then_nothing_ends(clock):
    scene = Scene(UK)
    case = scene.accredited()
    declare(scene, TODAY)
    Drift.objects.update(state="OPEN")
    assert advance() == 0
    assert fresh(case).state == "ACCREDITED"


@pytest.mark.parametrize(("answer", "state"), [("declare", "SUSPENDED"), ("explain", "ACCREDITED")])
def test_change_when_an_administrator_entered_it_then_staff_say_whether_the_scanner_changed(clock, answer, state):
    scene = Scene(UK)
    scene.scanner.software = "VG80B"
    scene.scanner.save()
    case = scene.accredited()
    clock.to(TODAY + days(30))
    administrator = factories.user(Role.ADMINISTRATOR)
    call(registry.scanner_edit, actor=administrator, scanner=scene.scanner, software="VG85A", reason="by telephone")
    assert advance() == 0
    act = getattr(qc_services, f"drift_{answer}")
    call(act, drift_id=Drift.objects.get().pk, actor=scene.technician, reason="asked the site")
    advance()
    assert fresh(case).state == state
    if state == "SUSPENDED":
        reason = Clearance.objects.get().ended_reason
        assert "Software version changed from VG80B to VG85A (entered in the register)" in reason


def test_reconstruction_when_it_has_a_clearance_then_its_fingerprint_is_not_changed_under_it(clock):
    scene = Scene()
    scene.accredited()
    administrator = factories.user(Role.ADMINISTRATOR)

    def edit(**fields):
        call(registry.reconstruction_edit, actor=administrator, reconstruction=scene.reconstruction, **fields)

    with pytest.raises(Refused, match="Add the changed one as a new entry"):
        edit(filter_fwhm_mm=5)
    scene.reconstruction.refresh_from_db()
    assert scene.reconstruction.filter_fwhm_mm is None
    edit(name="OSEM, the usual", is_active=False)
    other = scene.scanner.reconstructions.create(name="PSF")
    call(registry.reconstruction_edit, actor=administrator, reconstruction=other, filter_fwhm_mm=5)


def test_calendar_when_there_are_more_cases_then_reading_them_takes_no_more_queries(
    clock, django_assert_max_num_queries
):
    for _ in range(3):
        Scene().accredited()
    with django_assert_max_num_queries(8):
        advance()
    for _ in range(3):
        Scene(UK).accredited()
    with django_assert_max_num_queries(8):
        advance()
    assert Case.objects.count() == 6


def test_calendar_when_one_case_breaks_then_the_others_are_still_moved(clock, monkeypatch, caplog):
    broken, sound = Scene().accredited(), Scene().accredited()
    clock.to(date(2027, 6, 1))
    lock = services.calendar.case_locked

    def breaks(pk):
        if pk == broken.pk:
            raise RuntimeError("nothing is right")
        return lock(pk)

    monkeypatch.setattr(services.calendar, "case_locked", breaks)
    assert advance() == 1
    assert (fresh(broken).state, fresh(sound).state) == ("ACCREDITED", "EXPIRED")
    assert "the next turn tries again" in caplog.text
    assert Submission.objects.count() == 4
