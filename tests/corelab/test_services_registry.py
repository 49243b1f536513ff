"""The register: only administrators write, every write is recorded with before and after."""

from __future__ import annotations

from datetime import date
from decimal import Decimal

import pytest

from corelab import audit, services
from corelab.errors import NotAllowed, Refused, StaleState
from corelab.models import AuditEvent, Site, Trial
from tests import factories

NOT_ADMINISTRATORS = (
    "site_user",
    "technician",
    "physicist",
    "approver",
    "trial_manager",
    "monitor",
    "auditor",
    "nobody",
)


def _adds(house, actor):
    """Return one call of every service of the register."""
    return {
        "site.add": lambda: services.site_add(actor=actor, code="site-new", name="Site New"),
        "site.edit": lambda: services.site_edit(actor=actor, site=house.north, city="York"),
        "scanner.add": lambda: services.scanner_add(
            actor=actor, site=house.north, manufacturer="Digital", model="Phantom 2", serial="N-1"
        ),
        "scanner.edit": lambda: services.scanner_edit(actor=actor, scanner=house.scanner, software="VG85A"),
        "reconstruction.add": lambda: services.reconstruction_add(actor=actor, scanner=house.scanner, name="PSF 2 mm"),
        "reconstruction.edit": lambda: services.reconstruction_edit(
            actor=actor,
            reconstruction=house.scanner.reconstructions.get(name="OSEM 3i24s 4 mm"),
            filter_fwhm_mm=Decimal("2.0"),
        ),
        "calibrator.add": lambda: services.calibrator_add(
            actor=actor, site=house.north, manufacturer="Digital", model="Well", serial="W-2"
        ),
        "calibrator.edit": lambda: services.calibrator_edit(actor=actor, calibrator=house.calibrator, model="Well 2"),
        "trial.add": lambda: services.trial_add(actor=actor, code="GAMMA", title="Trial Gamma", sites=[house.north]),
        "trial.edit": lambda: services.trial_edit(actor=actor, trial=house.alpha, sites=[house.north, house.south]),
    }


@pytest.mark.parametrize("who", NOT_ADMINISTRATORS)
def test_register_when_no_administrator_writes_then_every_service_refuses_and_nothing_is_recorded(house, who):
    actor = house.people[who]
    with audit.acting(actor):
        for write in _adds(house, actor).values():
            with pytest.raises(NotAllowed):
                write()
    assert not AuditEvent.objects.exists()
    assert not Site.objects.filter(code="site-new").exists()


def test_register_when_the_administrator_writes_then_each_write_is_recorded_once(house, acting_administrator):
    for action, write in _adds(house, acting_administrator).items():
        write()
        assert list(AuditEvent.objects.filter(action=action).values_list("actor", flat=True)) == [
            acting_administrator.pk
        ]
    assert AuditEvent.objects.count() == 10
    assert audit.verify().intact


def test_site_edit_when_one_value_changes_then_before_and_after_hold_only_that(house, acting_administrator):
    services.site_edit(actor=acting_administrator, site=house.north, city="York", name="Site North", reason="It moved.")
    event = AuditEvent.objects.get()
    assert (event.before, event.after, event.reason) == ({"city": "Leeds"}, {"city": "York"}, "It moved.")
    assert event.site_id == house.north.pk


def test_site_edit_when_nothing_changes_then_nothing_is_recorded(house, acting_administrator):
    services.site_edit(actor=acting_administrator, site=house.north, city="Leeds")
    assert not AuditEvent.objects.exists()


def test_site_edit_when_someone_was_faster_then_it_is_refused_and_the_first_change_stays(house, acting_administrator):
    seen = services.seen_of(house.north)
    services.site_edit(actor=acting_administrator, site=house.north, seen=seen, city="York")
    with pytest.raises(StaleState):
        services.site_edit(actor=acting_administrator, site=house.north, seen=seen, city="Hull")
    assert Site.objects.get(pk=house.north.pk).city == "York"


def test_trial_edit_when_sites_change_then_the_codes_are_recorded(house, acting_administrator):
    services.trial_edit(actor=acting_administrator, trial=house.alpha, sites=[house.south])
    event = AuditEvent.objects.get()
    assert (event.before, event.after) == ({"sites": ["site-north"]}, {"sites": ["site-south"]})
    assert list(Trial.objects.get(code="ALPHA").sites.all()) == [house.south]


def test_trial_edit_when_its_last_day_becomes_known_then_the_day_is_recorded(house, acting_administrator):
    services.trial_edit(actor=acting_administrator, trial=house.alpha, ends_on=date(2027, 6, 30))
    event = AuditEvent.objects.get()
    assert (event.before, event.after) == ({"ends_on": None}, {"ends_on": "2027-06-30"})
    assert Trial.objects.get(code="ALPHA").ends_on == date(2027, 6, 30)


@pytest.mark.parametrize(
    "values", [{"code": "site-north", "name": "Twice"}, {"code": "x", "name": "X", "time_zone": "Europe/Nowhere"}]
)
def test_site_add_when_a_value_is_not_fit_then_it_is_refused(house, acting_administrator, values):
    with pytest.raises(Refused):
        services.site_add(actor=acting_administrator, **values)


def test_scanner_add_when_the_maker_has_this_serial_already_then_it_is_refused(house, acting_administrator):
    with pytest.raises(Refused):
        services.scanner_add(
            actor=acting_administrator, site=house.south, manufacturer="Digital", model="Other", serial="60421"
        )


def test_site_edit_when_a_field_is_unknown_then_it_is_a_mistake_of_the_program(house, acting_administrator):
    with pytest.raises(TypeError, match="colour"):
        services.site_edit(actor=acting_administrator, site=house.north, colour="blue")


def test_reconstruction_when_it_is_registered_then_all_that_images_name_is_kept(house, acting_administrator):
    named = {
        "method": "PSF+TOF 4i5s",
        "kernel": "XYZGAUSS2.00",
        "filter_fwhm_mm": Decimal("2.0"),
        "matrix": 440,
        "pixel_mm": Decimal("1.6500"),
        "slice_mm": Decimal("1.6456"),
    }
    row = services.reconstruction_add(actor=acting_administrator, scanner=house.scanner, name="2 mm", **named)
    row.refresh_from_db()
    assert {name: getattr(row, name) for name in named} == named


DECLARERS = {"site_user", "technician", "physicist", "administrator"}


@pytest.mark.parametrize("who", sorted(DECLARERS))
def test_declare_when_site_or_staff_say_it_then_the_entry_follows_and_the_log_says_why(house, who):
    actor = house.people[who]
    before = house.scanner.software
    with audit.acting(actor):
        services.scanner_declare(actor=actor, scanner=house.scanner, reason="upgraded on 1 March", software="VG85A")
    house.scanner.refresh_from_db()
    event = AuditEvent.objects.get(action="scanner.declare")
    assert (house.scanner.software, event.reason) == ("VG85A", "upgraded on 1 March")
    assert (event.before, event.after) == ({"software": before}, {"software": "VG85A"})


@pytest.mark.parametrize("who", sorted({*NOT_ADMINISTRATORS, "other_site_user"} - DECLARERS))
def test_declare_when_somebody_else_says_it_then_nothing_changes(house, who):
    actor = factories.user("site_user", site=factories.site()) if who == "other_site_user" else house.people[who]
    with audit.acting(actor):
        with pytest.raises(NotAllowed):
            services.scanner_declare(actor=actor, scanner=house.scanner, reason="upgraded", software="VG85A")
        with pytest.raises(NotAllowed):
            services.reconstruction_declare(actor=actor, scanner=house.scanner, reason="new", name="other")
    assert not AuditEvent.objects.exists()


def test_declare_when_the_serial_is_another_scanners_then_it_is_refused(house):
    other = factories.scanner(serial="222", manufacturer=house.scanner.manufacturer)
    actor = house.people["technician"]
    with audit.acting(actor), pytest.raises(Refused):
        services.scanner_declare(actor=actor, scanner=other, reason="seen", serial=house.scanner.serial)
