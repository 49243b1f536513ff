"""Which protocols a person may see, and which is in force."""

from __future__ import annotations

from datetime import date

from django.db.models import QuerySet

from corelab import access
from corelab import selectors as registry
from corelab.models import Role, Trial, User
from qc.models import ProtocolVersion
from qc.selectors.lookup import only


def protocols_visible_to(user: User) -> QuerySet[ProtocolVersion]:
    """Return the protocols of the person's trials: the lab sees drafts too, others what was published."""
    protocols = ProtocolVersion.objects.select_related("trial", "made_by").order_by("trial__code", "-version")
    if access.sees_everything(user):
        return protocols
    return protocols.filter(published_at__isnull=False, trial__in=registry.trials_visible_to(user))


def writes_protocols(user: User) -> bool:
    """Say whether the person writes protocols."""
    return Role.PHYSICIST in access.lab_roles_of(user)


def protocol_for(user: User, code: str, version: int) -> ProtocolVersion:
    """Return one version of a trial's protocol, or raise NotFound."""
    protocol: ProtocolVersion = only(protocols_visible_to(user).filter(trial__code=code, version=version))
    return protocol


def protocol_in_force(trial: Trial, day: date) -> ProtocolVersion | None:
    """Return the published version with the latest first day that is not after this one, or None."""
    published = ProtocolVersion.objects.filter(trial=trial, published_at__isnull=False, effective_on__lte=day)
    return published.order_by("-effective_on", "-version").first()
