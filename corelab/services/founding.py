"""The first administrator, made by whoever runs the server; everybody else is invited by an administrator."""

from __future__ import annotations

from django.db import transaction
from django.utils import timezone

from corelab import audit
from corelab.errors import Refused
from corelab.models import Membership, Role, User

audit.catalogue({"person.found": "The first administrator was added by whoever runs the server."})


@transaction.atomic
def administrator_found(*, email: str, name: str) -> User:
    """Add the first administrator, without a password; `invitation_make` gives the link to choose one.

    Raises
    ------
    Refused
        ``ADMINISTRATOR-THERE``: somebody is, or was, administrator already.
    """
    if Membership.objects.filter(role=Role.ADMINISTRATOR).exists():
        raise Refused("There is an administrator already, who invites people.", code="ADMINISTRATOR-THERE")
    person = User.objects.create_user(email, None, name=name)
    Membership.objects.create(user=person, role=Role.ADMINISTRATOR, from_on=timezone.now().date())
    audit.record("person.found", person, after={"email": person.email, "name": name, "role": Role.ADMINISTRATOR})
    return person
