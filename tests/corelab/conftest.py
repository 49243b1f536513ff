"""One small house for the pages' tests: two sites, two trials, one person for each role."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from django.test import Client

import corelab.services  # noqa: F401 (its modules fill the catalogue of audit actions)
from corelab import audit
from corelab.models import Role
from tests import factories


@pytest.fixture
def house(db) -> SimpleNamespace:
    """Return sites ``north`` and ``south``, trial ``alpha`` at north and ``beta`` at south, and people by role."""
    north = factories.site(code="site-north", name="Site North", city="Leeds")
    south = factories.site(code="site-south", name="Site South", city="Ankara", time_zone="Europe/Istanbul")
    alpha, beta = factories.trial(north, code="ALPHA"), factories.trial(south, code="BETA")
    people = {
        "site_user": factories.user(Role.SITE_USER, site=north),
        "other_site_user": factories.user(Role.SITE_USER, site=south),
        "technician": factories.user(Role.TECHNICIAN),
        "physicist": factories.user(Role.PHYSICIST),
        "approver": factories.user(Role.APPROVER),
        "trial_manager": factories.user(Role.TRIAL_MANAGER, trial=alpha),
        "monitor": factories.user(Role.MONITOR, trial=alpha),
        "auditor": factories.user(Role.AUDITOR),
        "administrator": factories.user(Role.ADMINISTRATOR),
        "nobody": factories.user(),
    }
    return SimpleNamespace(
        north=north,
        south=south,
        alpha=alpha,
        beta=beta,
        scanner=factories.scanner(north, serial="60421"),
        other_scanner=factories.scanner(south, serial="71022"),
        calibrator=factories.calibrator(north),
        people=people,
        **people,
    )


@pytest.fixture
def signed_in(house):
    """Return a function that gives a browser signed in as one of the house's people."""

    def sign_in(who: str) -> Client:
        client = Client()
        client.force_login(house.people[who])
        return client

    return sign_in


@pytest.fixture
def acting_administrator(house):
    """Let the house's administrator be the one who acts."""
    with audit.acting(house.administrator, role="Administrator"):
        yield house.administrator
