"""Writes about people: invitations, roles from a day to a day, the end of access. Administrators only."""

from __future__ import annotations

from datetime import date, timedelta

from django.contrib.auth.password_validation import validate_password
from django.contrib.auth.tokens import PasswordResetTokenGenerator
from django.core.exceptions import ValidationError
from django.db import transaction
from django.utils import timezone
from django.utils.encoding import force_bytes
from django.utils.http import urlsafe_base64_decode, urlsafe_base64_encode

from corelab import access, audit
from corelab.errors import NotAllowed, NotFound, Refused
from corelab.models import Membership, Role, Site, Trial, User
from corelab.request_ids import request_id

audit.catalogue(
    {
        "person.invite": "An administrator added a person, who chooses a password by a link that is good for 7 days.",
        "person.link": "An administrator made a new link by which a person chooses a password.",
        "person.join": "A person chose a password by the link that an administrator handed over.",
        "person.end": "An administrator ended a person's access: all roles and the sign-in.",
        "person.open": "An administrator opened a person's sign-in again; roles are given anew.",
        "membership.grant": "An administrator gave a person a role.",
        "membership.end": "An administrator ended a role of a person.",
    }
)

#: Roles by where they are given.
SITE_ROLES = frozenset({Role.SITE_USER})
TRIAL_ROLES = frozenset({Role.TRIAL_MANAGER, Role.MONITOR})


class InvitationTokens(PasswordResetTokenGenerator):
    """Tokens of invitation links: good once, since they cover the password, and for PASSWORD_RESET_TIMEOUT."""

    key_salt = "corelab.services.people.InvitationTokens"


_tokens = InvitationTokens()


def _require_administrator(actor: User) -> None:
    if not access.is_administrator(actor):
        raise NotAllowed("Only an administrator changes people and their roles.")


def _plain(membership: Membership) -> dict[str, str | None]:
    return {
        "person": str(membership.user_id),
        "role": membership.role,
        "site": membership.site.code if membership.site else None,
        "trial": membership.trial.code if membership.trial else None,
        "from": membership.from_on.isoformat(),
        "until": membership.until_on.isoformat() if membership.until_on else None,
    }


@transaction.atomic
def person_invite(
    *,
    actor: User,
    email: str,
    name: str,
    role: str,
    site: Site | None = None,
    trial: Trial | None = None,
    until_on: date | None = None,
) -> User:
    """Add a person without a password and give the first role; `invitation_make` gives the link to hand over.

    Raises
    ------
    NotAllowed
        The actor is no administrator.
    Refused
        The e-mail is registered already, or the role does not fit the place.
    """
    _require_administrator(actor)
    if User.objects.filter(email__iexact=email).exists():
        raise Refused("This e-mail is registered already. Give the role on that person's page.", code="PERSON-KNOWN")
    person = User.objects.create_user(email, None, name=name)
    audit.record("person.invite", person, after={"email": person.email, "name": name})
    membership_grant(actor=actor, person=person, role=role, site=site, trial=trial, until_on=until_on)
    return person


@transaction.atomic
def membership_grant(
    *,
    actor: User,
    person: User,
    role: str,
    site: Site | None = None,
    trial: Trial | None = None,
    from_on: date | None = None,
    until_on: date | None = None,
    reason: str = "",
) -> Membership:
    """Give a person a role for a site, a trial or the whole lab, from a day to a day."""
    _require_administrator(actor)
    if not person.is_active:
        raise Refused("This person's access has ended. Open it again first.", code="PERSON-ENDED")
    if role not in Role.values:
        raise Refused("Choose a role.", code="ROLE-UNKNOWN")
    if (role in SITE_ROLES) != (site is not None) or (role in TRIAL_ROLES) != (trial is not None):
        where = "a site" if role in SITE_ROLES else "a trial" if role in TRIAL_ROLES else "the whole lab"
        raise Refused(f"{Role(role).label} is given for {where}.", code="ROLE-PLACE")
    today = timezone.now().date()
    from_on = from_on or today
    if until_on is not None and until_on < from_on:
        raise Refused("The last day lies before the first.", code="ROLE-DAYS")
    same = Membership.objects.filter(user=person, role=role, site=site, trial=trial).exclude(until_on__lt=from_on)
    if until_on is not None:
        same = same.filter(from_on__lte=until_on)
    if same.exists():
        raise Refused("The person has this role there already.", code="ROLE-TWICE")
    membership = Membership.objects.create(
        user=person, role=role, site=site, trial=trial, from_on=from_on, until_on=until_on, granted_by=actor
    )
    audit.record("membership.grant", person, after=_plain(membership), reason=reason, site_id=membership.site_id)
    return membership


@transaction.atomic
def membership_end(*, actor: User, membership: Membership, reason: str) -> Membership:
    """End a role now; the row stays. The last administrator's role cannot be ended."""
    _require_administrator(actor)
    _require_reason(reason)
    _keep_an_administrator(without=[membership])
    today = timezone.now().date()
    if membership.until_on is not None and membership.until_on < today:
        raise Refused("This role has ended already.", code="ROLE-ENDED")
    before = _plain(membership)
    # A role is in force up to and with its last day: ending it now makes yesterday the last.
    membership.until_on = today - timedelta(days=1)
    membership.ended_reason = reason.strip()
    membership.save(update_fields=["until_on", "ended_reason"])
    audit.record(
        "membership.end",
        membership.user,
        before=before,
        after=_plain(membership),
        reason=reason,
        site_id=membership.site_id,
    )
    return membership


@transaction.atomic
def person_end(*, actor: User, person: User, reason: str) -> User:
    """End all of a person's access at once: every role, and the sign-in. The last administrator stays."""
    _require_administrator(actor)
    _require_reason(reason)
    if not person.is_active:
        raise Refused("This person's access has ended already.", code="PERSON-ENDED")
    today = timezone.now().date()
    running = list(person.memberships.exclude(until_on__lt=today).select_related("site", "trial", "user"))
    _keep_an_administrator(without=running)
    for membership in running:
        membership_end(actor=actor, membership=membership, reason=reason)
    person.is_active = False
    person.save(update_fields=["is_active"])
    audit.record("person.end", person, before={"is_active": True}, after={"is_active": False}, reason=reason)
    return person


@transaction.atomic
def person_open(*, actor: User, person: User, reason: str) -> User:
    """Open a person's sign-in again; the old password no longer counts, and roles are given anew."""
    _require_administrator(actor)
    _require_reason(reason)
    if person.is_active:
        raise Refused("This person's access has not ended.", code="PERSON-OPEN")
    person.is_active = True
    person.set_unusable_password()
    person.save(update_fields=["is_active", "password"])
    audit.record("person.open", person, before={"is_active": False}, after={"is_active": True}, reason=reason)
    return person


def _require_reason(reason: str) -> None:
    if not reason.strip():
        raise Refused("Say why: this needs a reason.", code="REASON-MISSING")


def _keep_an_administrator(without: list[Membership]) -> None:
    """Refuse what would leave nobody to keep people; the rows are locked, so two at once cannot end each other."""
    today = timezone.now().date()
    ending = {membership.pk for membership in without}
    held = Membership.objects.select_for_update().filter(role=Role.ADMINISTRATOR, user__is_active=True).order_by("pk")
    in_force = {m.pk for m in held if m.from_on <= today and (m.until_on is None or m.until_on >= today)}
    if in_force & ending and not in_force - ending:
        raise Refused(
            "This is the last administrator. Give the role to another person first.", code="ADMINISTRATOR-LAST"
        )


# --- the link by which a person chooses a password --------------------------------------


@transaction.atomic
def invitation_make(*, actor: User, person: User) -> tuple[str, str]:
    """Return the two parts of a link that is good once and for seven days; the link itself is never stored."""
    _require_administrator(actor)
    if not person.is_active:
        raise Refused("This person's access has ended. Open it again first.", code="PERSON-ENDED")
    audit.record("person.link", person, after={"good_for_days": 7})
    return urlsafe_base64_encode(force_bytes(person.pk)), _tokens.make_token(person)


def invitation_for(uid: str, token: str) -> User:
    """Return the person whom a link is for, or raise NotFound: used, too old, or never made."""
    try:
        person = User.objects.filter(pk=urlsafe_base64_decode(uid).decode(), is_active=True).first()
    except (ValueError, ValidationError):
        person = None
    if person is None or not _tokens.check_token(person, token):
        raise NotFound("This link has been used or is older than 7 days. Ask the core lab for a new one.")
    return person


@transaction.atomic
def invitation_accept(*, uid: str, token: str, password: str) -> User:
    """Set the password that an invited person chose; the link is spent by it."""
    person = invitation_for(uid, token)
    _set_password(person, password)
    with audit.acting(person, role=access.role_text(person), request_id=request_id.get()):
        audit.record("person.join", person)
    return person


def _set_password(person: User, password: str) -> None:
    try:
        validate_password(password, person)
    except ValidationError as error:
        raise Refused(" ".join(error.messages), code="PASSWORD-WEAK") from error
    person.set_password(password)
    person.save(update_fields=["password"])
