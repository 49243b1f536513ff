"""What each role sees of the register, of people and of the log."""

from __future__ import annotations

import datetime

import pytest
from django.utils import timezone

from corelab import audit, selectors
from corelab.errors import NotFound
from corelab.models import AuditEvent, Membership, Role
from corelab.selectors import AuditFilter
from tests import factories

EVERYTHING = ("technician", "physicist", "approver", "auditor", "administrator")

SITES_SEEN = {
    "site_user": {"site-north"},
    "other_site_user": {"site-south"},
    "trial_manager": {"site-north"},
    "monitor": {"site-north"},
    "nobody": set(),
} | {who: {"site-north", "site-south"} for who in EVERYTHING}

TRIALS_SEEN = {
    "site_user": {"ALPHA"},
    "other_site_user": {"BETA"},
    "trial_manager": {"ALPHA"},
    "monitor": {"ALPHA"},
    "nobody": set(),
} | {who: {"ALPHA", "BETA"} for who in EVERYTHING}


@pytest.mark.parametrize("who", SITES_SEEN)
def test_register_when_a_role_looks_then_it_sees_its_part_of_it(house, who):
    person = house.people[who]
    sites = SITES_SEEN[who]
    assert set(selectors.sites_visible_to(person).values_list("code", flat=True)) == sites
    assert set(selectors.trials_visible_to(person).values_list("code", flat=True)) == TRIALS_SEEN[who]
    assert {scanner.site.code for scanner in selectors.scanners_visible_to(person)} == sites
    assert {row.scanner.site.code for row in selectors.reconstructions_visible_to(person)} == sites
    assert {row.site.code for row in selectors.calibrators_visible_to(person)} == sites & {"site-north"}


@pytest.mark.parametrize("who", SITES_SEEN)
def test_site_for_when_absent_or_forbidden_then_it_is_the_same_error(house, who):
    person = house.people[who]
    messages = set()
    for code in {"site-north", "site-south", "site-nowhere"} - SITES_SEEN[who]:
        with pytest.raises(NotFound) as caught:
            selectors.site_for(person, code)
        messages.add(caught.value.message)
    assert len(messages) == 1


def test_sites_when_a_membership_has_ended_then_nothing_is_seen(house):
    today = timezone.now().date()
    Membership.objects.filter(user=house.site_user).update(until_on=today - datetime.timedelta(days=1))
    assert not selectors.sites_visible_to(house.site_user).exists()


def test_sites_when_a_membership_begins_tomorrow_then_nothing_is_seen_today(house):
    today = timezone.now().date()
    later = today + datetime.timedelta(days=1)
    Membership.objects.create(user=house.nobody, role=Role.SITE_USER, site=house.north, from_on=later)
    assert not selectors.sites_visible_to(house.nobody).exists()


def test_sites_when_a_site_is_in_several_of_ones_trials_then_it_is_listed_once(house):
    other = factories.trial(house.north, house.south)
    Membership.objects.create(
        user=house.trial_manager, role=Role.MONITOR, trial=other, from_on=datetime.date(2020, 1, 1)
    )
    assert selectors.sites_visible_to(house.trial_manager).count() == 2


@pytest.mark.parametrize("who", SITES_SEEN)
def test_people_and_audit_when_a_role_looks_then_only_oversight_sees_them(house, who):
    with audit.acting(name="system: test"):
        audit.record("site.add", house.north)
    sees = who in {"auditor", "administrator"}
    assert selectors.people_visible_to(house.people[who]).exists() is sees
    assert selectors.audit_visible_to(house.people[who]).exists() is sees


def test_people_listed_when_filtered_then_only_these_come(house):
    def names(**wanted):
        return {person.pk for person in selectors.people_listed_for(house.auditor, **wanted)}

    assert names(role=Role.PHYSICIST) == {house.physicist.pk}
    assert names(text=house.monitor.email.upper()) == {house.monitor.pk}
    house.monitor.is_active = False
    house.monitor.save()
    assert names(state="ended") == {house.monitor.pk}
    assert house.monitor.pk not in names()
    assert house.monitor.pk in names(state="all")


def test_audit_filter_when_each_part_is_given_then_only_matching_rows_come(house):
    with audit.acting(house.administrator):
        first = audit.record("site.add", house.north, reason="New in the trial.")
    with audit.acting(name="system: job x"):
        second = audit.record("scanner.add", house.scanner)
    day = first.at.date()

    def found(**wanted):
        return list(AuditFilter(**wanted).apply(selectors.audit_visible_to(house.auditor)))

    assert found() == [second, first]
    assert found(who="SYSTEM") == [second]
    assert found(action="site.add") == [first]
    assert found(label="60421") == [second]
    assert found(object_type="corelab.site", object_id=str(house.north.pk)) == [first]
    assert found(reason="new in") == [first]
    assert found(from_on=day, to_on=day) == [second, first]
    assert found(from_on=day + datetime.timedelta(days=1)) == []
    assert found(to_on=day - datetime.timedelta(days=1)) == []
    assert AuditEvent.objects.count() == 2


def test_spelling_when_a_letter_is_wrong_then_a_name_one_may_see_is_offered(house):
    assert selectors.spelling_for(house.physicist, "noth") == "North"
    assert selectors.spelling_for(house.site_user, "souht") == ""
    assert selectors.spelling_for(house.physicist, "zzzz") == ""
