"""People: invitations that work once, roles that begin and end, and an administrator who always remains."""

from __future__ import annotations

import datetime

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from corelab import access, audit, services
from corelab.errors import NotAllowed, NotFound, Refused
from corelab.models import AuditEvent, Membership, Role, User
from corelab.services.people import InvitationTokens
from tests import factories

GOOD = "seven quiet wooden boats"


def _invite(house, **fields):
    values = {"email": "new@example.org", "name": "Technologist 9", "role": Role.SITE_USER, "site": house.north}
    return services.person_invite(actor=house.administrator, **(values | fields))


# --- invitations ------------------------------------------------------------------------


def test_invite_when_done_then_the_person_has_no_password_and_one_role(house, acting_administrator):
    person = _invite(house)
    assert not person.has_usable_password()
    assert access.all_roles_of(person) == {Role.SITE_USER}
    assert [event.action for event in AuditEvent.objects.order_by("sequence")] == ["person.invite", "membership.grant"]


def test_invite_when_the_email_is_known_in_other_case_then_it_is_refused(house, acting_administrator):
    with pytest.raises(Refused, match="registered already"):
        _invite(house, email=house.physicist.email.upper())


def test_invitation_when_used_then_the_password_counts_and_the_link_is_spent(house, acting_administrator):
    person = _invite(house)
    uid, token = services.invitation_make(actor=house.administrator, person=person)
    services.invitation_accept(uid=uid, token=token, password=GOOD)
    assert User.objects.get(pk=person.pk).check_password(GOOD)
    with pytest.raises(NotFound):
        services.invitation_accept(uid=uid, token=token, password="another good long one")
    joined = AuditEvent.objects.get(action="person.join")
    assert joined.actor_id == person.pk


@pytest.mark.parametrize(("days", "is_good"), [(6.9, True), (7.1, False)])
def test_invitation_when_seven_days_have_passed_then_it_is_over(
    house, acting_administrator, monkeypatch, days, is_good
):
    person = _invite(house)
    uid, token = services.invitation_make(actor=house.administrator, person=person)
    now, delay = InvitationTokens._now, datetime.timedelta(days=days)
    monkeypatch.setattr(InvitationTokens, "_now", lambda self: now(self) + delay)
    if is_good:
        assert services.invitation_for(uid, token) == person
    else:
        with pytest.raises(NotFound):
            services.invitation_for(uid, token)


def test_invitation_when_the_link_is_another_persons_or_made_up_then_it_is_not_found(house, acting_administrator):
    uid, token = services.invitation_make(actor=house.administrator, person=_invite(house))
    other, _ = services.invitation_make(actor=house.administrator, person=house.physicist)
    for pair in ((other, token), (uid, "cabc12-" + "0" * 32), ("nonsense", token), ("MQ", token)):
        with pytest.raises(NotFound):
            services.invitation_for(*pair)


def test_invitation_when_made_then_the_audit_log_does_not_hold_the_token(house, acting_administrator):
    _, token = services.invitation_make(actor=house.administrator, person=_invite(house))
    assert token not in "".join(f"{event.before}{event.after}{event.reason}" for event in AuditEvent.objects.all())


def test_invitation_when_the_password_is_weak_then_everything_wrong_is_said_and_nothing_changes(
    house, acting_administrator
):
    uid, token = services.invitation_make(actor=house.administrator, person=_invite(house))
    with pytest.raises(Refused, match="12"):
        services.invitation_accept(uid=uid, token=token, password="short")
    assert services.invitation_for(uid, token)


# --- roles ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("role", "place"),
    [
        (Role.SITE_USER, {}),
        (Role.SITE_USER, {"trial": "alpha"}),
        (Role.PHYSICIST, {"site": "north"}),
        (Role.MONITOR, {}),
        (Role.TRIAL_MANAGER, {"site": "north"}),
        (Role.ADMINISTRATOR, {"trial": "alpha"}),
        ("king", {}),
    ],
)
def test_grant_when_the_role_does_not_fit_the_place_then_it_is_refused(house, acting_administrator, role, place):
    places = {name: getattr(house, value) for name, value in place.items()}
    with pytest.raises(Refused):
        services.membership_grant(actor=house.administrator, person=house.nobody, role=role, **places)
    assert not house.nobody.memberships.exists()


def test_grant_when_the_person_has_the_role_there_already_then_it_is_refused(house, acting_administrator):
    with pytest.raises(Refused, match="already"):
        services.membership_grant(
            actor=house.administrator, person=house.site_user, role=Role.SITE_USER, site=house.north
        )


def test_grant_when_done_then_who_gave_it_and_from_when_are_kept(house, acting_administrator):
    given = services.membership_grant(actor=house.administrator, person=house.nobody, role=Role.PHYSICIST)
    assert (given.granted_by, given.from_on) == (house.administrator, timezone.now().date())


def test_end_when_done_then_the_role_is_gone_at_once_and_the_row_stays(house, acting_administrator):
    membership = house.physicist.memberships.get()
    services.membership_end(actor=house.administrator, membership=membership, reason="Left the lab.")
    assert access.all_roles_of(User.objects.get(pk=house.physicist.pk)) == frozenset()
    assert Membership.objects.get(pk=membership.pk).ended_reason == "Left the lab."
    assert AuditEvent.objects.get(action="membership.end").reason == "Left the lab."


def test_end_when_a_role_was_given_today_then_it_ends_today_too(house, acting_administrator):
    given = services.membership_grant(actor=house.administrator, person=house.nobody, role=Role.PHYSICIST)
    services.membership_end(actor=house.administrator, membership=given, reason="A mistake.")
    assert access.all_roles_of(User.objects.get(pk=house.nobody.pk)) == frozenset()


def test_end_when_no_reason_is_given_then_it_is_refused(house, acting_administrator):
    with pytest.raises(Refused, match="reason"):
        services.membership_end(actor=house.administrator, membership=house.physicist.memberships.get(), reason="  ")


def test_end_when_it_is_the_last_administrator_then_it_is_refused_in_both_ways(house, acting_administrator):
    own = house.administrator.memberships.get()
    with pytest.raises(Refused, match="last administrator"):
        services.membership_end(actor=house.administrator, membership=own, reason="Leaving.")
    with pytest.raises(Refused, match="last administrator"):
        services.person_end(actor=house.administrator, person=house.administrator, reason="Leaving.")
    assert access.is_administrator(User.objects.get(pk=house.administrator.pk))


@pytest.mark.parametrize("days", [(-9, -1), (1, None)])
def test_end_when_the_other_administrator_is_not_in_force_today_then_it_is_still_the_last(
    house, acting_administrator, days
):
    today = timezone.now().date()
    begins, ends = (None if day is None else today + datetime.timedelta(days=day) for day in days)
    Membership.objects.create(user=house.nobody, role=Role.ADMINISTRATOR, from_on=begins, until_on=ends)
    with pytest.raises(Refused, match="last administrator"):
        services.membership_end(
            actor=house.administrator, membership=house.administrator.memberships.get(), reason="Leaving."
        )


def test_end_when_another_administrator_remains_then_it_is_done(house, acting_administrator):
    factories.user(Role.ADMINISTRATOR)
    services.person_end(actor=house.administrator, person=house.administrator, reason="Leaving.")
    assert not User.objects.get(pk=house.administrator.pk).is_active


def test_person_end_when_signed_in_then_the_sign_in_is_over_too(house, acting_administrator):
    browser = Client()
    browser.force_login(house.physicist)
    assert browser.get(reverse("corelab:work-list")).status_code == 200
    services.person_end(actor=house.administrator, person=house.physicist, reason="Left the lab.")
    assert browser.get(reverse("corelab:work-list")).status_code == 302


def test_person_open_when_done_then_neither_roles_nor_the_old_password_come_back(house, acting_administrator):
    services.person_end(actor=house.administrator, person=house.physicist, reason="Left the lab.")
    services.person_open(actor=house.administrator, person=house.physicist, reason="Came back.")
    person = User.objects.get(pk=house.physicist.pk)
    assert person.is_active
    assert not person.has_usable_password()
    assert access.all_roles_of(person) == frozenset()


@pytest.mark.parametrize("who", ["site_user", "technician", "physicist", "approver", "trial_manager", "auditor"])
def test_people_when_no_administrator_writes_then_every_service_refuses(house, who):
    actor = house.people[who]
    membership = house.monitor.memberships.get()
    with audit.acting(actor):
        for write in (
            lambda: services.person_invite(actor=actor, email="x@example.org", name="X", role=Role.PHYSICIST),
            lambda: services.membership_grant(actor=actor, person=actor, role=Role.ADMINISTRATOR),
            lambda: services.membership_end(actor=actor, membership=membership, reason="No."),
            lambda: services.person_end(actor=actor, person=house.monitor, reason="No."),
            lambda: services.person_open(actor=actor, person=house.monitor, reason="No."),
            lambda: services.invitation_make(actor=actor, person=house.monitor),
        ):
            with pytest.raises(NotAllowed):
                write()
    assert not AuditEvent.objects.exists()


# --- oneself ----------------------------------------------------------------------------


def test_account_edit_when_values_change_then_only_these_are_recorded(house):
    with audit.acting(house.physicist):
        services.account_edit(actor=house.physicist, name="Physicist One", theme="auto", keys_enabled=True)
    event = AuditEvent.objects.get()
    assert event.before == {"name": house.physicist.name, "keys_enabled": False}
    assert event.after == {"name": "Physicist One", "keys_enabled": True}


def test_password_change_when_the_old_one_is_wrong_then_nothing_changes(house):
    with audit.acting(house.physicist), pytest.raises(Refused, match="Password is not right"):
        services.account_password_change(actor=house.physicist, old_password="wrong", password=GOOD)
    assert User.objects.get(pk=house.physicist.pk).check_password(factories.PASSWORD)
    assert not AuditEvent.objects.exists()
