"""The people and places of a walk through a running stack, made in a process that shares its database alone.

``python -m tests.flows.house FILE`` makes them, with everybody's sign-in in the file.
"""

from __future__ import annotations

import sys
from pathlib import Path

import django

if __name__ == "__main__":
    django.setup()

from accreditation.management.commands import _demo_people as people
from corelab import audit, services
from corelab.models import Role, User
from tests import factories

#: Somebody who manages a trial in which the walk's scan has no part.
STRANGER = "other-trial-manager@example.org"


def make(accounts: Path) -> None:
    """Make the demonstration's people, and a trial manager of a trial of the other site."""
    administrator = people.find_or_make(people.accounts_in(accounts))
    with audit.acting(administrator, role=str(Role.ADMINISTRATOR.label)):
        trial = services.trial_add(actor=administrator, code="OTHER", title="Another trial", sites=[])
        services.person_invite(
            actor=administrator, email=STRANGER, name="Trial manager 2", role=Role.TRIAL_MANAGER, site=None, trial=trial
        )
    stranger = User.objects.get(email=STRANGER)
    stranger.set_password(factories.PASSWORD)
    stranger.save()


if __name__ == "__main__":
    make(Path(sys.argv[1]))
