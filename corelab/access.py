"""Who may do what where. Roles come from memberships in force today; nothing else grants anything."""

from __future__ import annotations

from collections.abc import Iterable

from django.db.models import Q
from django.utils import timezone

from corelab.models import Membership, Role, Site, Trial, User

#: Roles that work in the core lab and see every site's scans.
LAB_ROLES = frozenset({Role.TECHNICIAN, Role.PHYSICIST, Role.APPROVER})
#: Roles that see everything, and of these only the administrator changes people and the register.
OVERSIGHT_ROLES = frozenset({Role.AUDITOR, Role.ADMINISTRATOR})


def memberships_of(user: User) -> list[Membership]:
    """Return the memberships in force today, read once for each user object."""
    if not user.is_authenticated:
        return []
    kept: list[Membership] | None = getattr(user, "_memberships_today", None)
    if kept is None:
        today = timezone.now().date()
        kept = list(
            user.memberships.filter(from_on__lte=today)
            .filter(Q(until_on__isnull=True) | Q(until_on__gte=today))
            .select_related("site", "trial")
        )
        user._memberships_today = kept
    return kept


def roles_of(user: User, site: Site | None = None, trial: Trial | None = None) -> frozenset[str]:
    """Return the roles a person has there: those for the whole lab, for this site, for this trial."""
    return frozenset(
        m.role
        for m in memberships_of(user)
        if (m.site_id is None and m.trial_id is None)
        or (site is not None and m.site_id == site.pk)
        or (trial is not None and m.trial_id == trial.pk)
    )


def lab_roles_of(user: User) -> frozenset[str]:
    """Return the roles a person has for the whole lab."""
    return roles_of(user)


def all_roles_of(user: User) -> frozenset[str]:
    """Return every role a person has anywhere."""
    return frozenset(m.role for m in memberships_of(user))


def is_lab_staff(user: User) -> bool:
    """Say whether the person works in the core lab."""
    return bool(lab_roles_of(user) & LAB_ROLES)


def sees_everything(user: User) -> bool:
    """Say whether no site or trial bounds what the person may look at."""
    return bool(lab_roles_of(user) & (LAB_ROLES | OVERSIGHT_ROLES))


def is_administrator(user: User) -> bool:
    """Say whether the person keeps the register and the people."""
    return Role.ADMINISTRATOR in lab_roles_of(user)


def site_ids_of(user: User, roles: Iterable[str] = (Role.SITE_USER,)) -> list[int]:
    """Return the sites at which the person has one of these roles."""
    wanted = set(roles)
    return [m.site_id for m in memberships_of(user) if m.site_id is not None and m.role in wanted]


def trial_ids_of(user: User, roles: Iterable[str] = (Role.TRIAL_MANAGER, Role.MONITOR)) -> list[int]:
    """Return the trials in which the person has one of these roles."""
    wanted = set(roles)
    return [m.trial_id for m in memberships_of(user) if m.trial_id is not None and m.role in wanted]


def role_text(user: User) -> str:
    """Return the roles as the audit log and signatures print them."""
    return ", ".join(sorted(str(Role(role).label) for role in all_roles_of(user)))
