"""What people change about themselves."""

from __future__ import annotations

from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.db import transaction

from corelab import audit
from corelab.errors import Refused
from corelab.models import User
from corelab.signatures import password_wrong

audit.catalogue(
    {
        "account.edit": "A person changed the own account.",
        "account.password": "A person changed the own password.",
    }
)

FIELDS = ("name", "theme", "keys_enabled")


def fresh(person: User) -> User:
    """Return the person as the database has it now, with roles to be read again."""
    return User.objects.get(pk=person.pk)


@transaction.atomic
def account_edit(*, actor: User, name: str, theme: str, keys_enabled: bool) -> User:
    """Change the own printed name, theme and keys; signatures made before keep the old name."""
    person = User.objects.select_for_update().get(pk=actor.pk)
    wanted = {"name": name, "theme": theme, "keys_enabled": keys_enabled}
    before = {field: getattr(person, field) for field in FIELDS if getattr(person, field) != wanted[field]}
    for field in before:
        setattr(person, field, wanted[field])
    try:
        person.full_clean(exclude=["password"])
    except ValidationError as error:
        raise Refused("; ".join(error.messages), code="ACCOUNT-VALUES") from error
    if before:
        person.save(update_fields=list(before))
        audit.record("account.edit", person, before=before, after={field: wanted[field] for field in before})
    return person


@transaction.atomic
def account_password_change(*, actor: User, old_password: str, password: str) -> User:
    """Change the own password; the old one must be given."""
    if wrong := password_wrong(actor, old_password):
        raise Refused(f"{wrong} Nothing was changed.", code="PASSWORD-OLD")
    try:
        validate_password(password, actor)
    except ValidationError as error:
        raise Refused(" ".join(error.messages), code="PASSWORD-WEAK") from error
    actor.set_password(password)
    actor.save(update_fields=["password"])
    audit.record("account.password", actor)
    return actor
