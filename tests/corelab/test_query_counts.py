"""A list costs the same few queries with two rows and with sixty."""

from __future__ import annotations

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from corelab import audit
from corelab.models import Membership, Role
from tests import factories

MANY = 60


def _grow(house) -> None:
    for _ in range(MANY):
        site = factories.site()
        factories.scanner(site)
        factories.scanner(house.north)
        factories.calibrator(house.north)
        factories.trial(site, house.north)
        house.alpha.sites.add(site)
        person = factories.user(Role.SITE_USER, site=house.north)
        Membership.objects.create(user=person, role=Role.SITE_USER, site=site, from_on="2020-01-01")
        Membership.objects.create(user=house.nobody, role=Role.SITE_USER, site=site, from_on="2020-01-01")
    with audit.acting(house.administrator):
        for _ in range(MANY):
            audit.record("site.edit", house.north, before={"city": "Leeds"}, after={"city": "York"})


@pytest.mark.parametrize(
    ("name", "arguments", "who", "most"),
    [
        ("site-list", (), "physicist", 7),
        ("site-list", (), "administrator", 6),
        ("site-detail", ("site-north",), "administrator", 12),
        ("trial-list", (), "trial_manager", 6),
        ("trial-detail", ("ALPHA",), "administrator", 15),
        ("person-list", (), "administrator", 8),
        ("audit-list", (), "auditor", 9),
        ("work-list", (), "physicist", 9),
        ("home-show", (), "site_user", 12),
        ("home-show", (), "trial_manager", 15),
        ("home-show", (), "administrator", 11),
    ],
)
def test_list_when_it_grows_then_it_asks_no_more_queries(house, signed_in, name, arguments, who, most):
    browser = signed_in(who)
    address = reverse(f"corelab:{name}", args=arguments)

    def count() -> int:
        browser.get(address)  # the first press of a minute writes the session
        with CaptureQueriesContext(connection) as queries:
            assert browser.get(address).status_code == 200
        return len(queries)

    few = count()
    _grow(house)
    assert count() == few
    assert few <= most


def test_search_when_there_is_more_to_find_then_it_asks_no_more_queries(house, signed_in):
    browser = signed_in("administrator")
    _grow(house)
    found = []
    for _ in range(2):
        browser.get("/search/", {"q": "site"})
        with CaptureQueriesContext(connection) as queries:
            browser.get("/search/", {"q": "site"})
        found.append(len(queries))
        _grow(house)
    assert found[0] == found[1] <= 16


def test_person_detail_when_roles_are_many_then_it_asks_no_more_queries(house, signed_in):
    browser = signed_in("administrator")
    address = reverse("corelab:person-detail", args=[house.nobody.pk])
    browser.get(address)
    with CaptureQueriesContext(connection) as few:
        browser.get(address)
    _grow(house)
    with CaptureQueriesContext(connection) as many:
        browser.get(address)
    assert len(few) == len(many) <= 6
