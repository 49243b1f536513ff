"""People and what they may do where."""

from __future__ import annotations

import uuid
from typing import Any, ClassVar

from django.contrib.auth.base_user import AbstractBaseUser, BaseUserManager
from django.db import models
from django.db.models.functions import Lower


class Role(models.TextChoices):
    """What a person may do; each is given per site, per trial or for the whole lab."""

    SITE_USER = "site_user", "Site user"
    TECHNICIAN = "technician", "Technician"
    PHYSICIST = "physicist", "Physicist"
    APPROVER = "approver", "Approver"
    TRIAL_MANAGER = "trial_manager", "Trial manager"
    MONITOR = "monitor", "Monitor"
    AUDITOR = "auditor", "Auditor"
    ADMINISTRATOR = "administrator", "Administrator"


class UserManager(BaseUserManager["User"]):
    """Finds people by e-mail, whatever its case."""

    def get_by_natural_key(self, email: str | None) -> User:
        """Return the person with this e-mail."""
        return self.get(email__iexact=email)

    def create_user(self, email: str, password: str | None = None, **fields: Any) -> User:
        """Make a person; without a password the account waits for its first sign-in link."""
        user = self.model(email=self.normalize_email(email), **fields)
        user.set_password(password)
        user.save(using=self._db)
        return user


class User(AbstractBaseUser):
    """A person, known by e-mail; the name is printed in signatures."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    email = models.EmailField("e-mail", unique=True)
    name = models.CharField("name as printed in signatures", max_length=120)
    is_active = models.BooleanField(default=True)
    keys_enabled = models.BooleanField("keyboard shortcuts", default=False)
    theme = models.CharField(
        max_length=8, default="auto", choices=[("auto", "Auto"), ("light", "Light"), ("dark", "Dark")]
    )
    created_at = models.DateTimeField(auto_now_add=True)

    objects: ClassVar[UserManager] = UserManager()

    USERNAME_FIELD = "email"
    EMAIL_FIELD = "email"
    REQUIRED_FIELDS: ClassVar[list[str]] = ["name"]

    class Meta:
        constraints = [models.UniqueConstraint(Lower("email"), name="user_email_once_in_any_case")]

    def __str__(self) -> str:
        return self.name

    def get_full_name(self) -> str:
        """Return the printed name."""
        return self.name


class Membership(models.Model):
    """One role of one person, for a site, for a trial or for the whole lab, from one day to another.

    Neither site nor trial: the whole lab. Rows are ended, never deleted.
    """

    user = models.ForeignKey(User, on_delete=models.PROTECT, related_name="memberships")
    role = models.CharField(max_length=16, choices=Role)
    site = models.ForeignKey(
        "corelab.Site", on_delete=models.PROTECT, null=True, blank=True, related_name="memberships"
    )
    trial = models.ForeignKey(
        "corelab.Trial", on_delete=models.PROTECT, null=True, blank=True, related_name="memberships"
    )
    from_on = models.DateField("from")
    until_on = models.DateField("until", null=True, blank=True)
    granted_by = models.ForeignKey(User, on_delete=models.PROTECT, null=True, related_name="+")
    granted_at = models.DateTimeField(auto_now_add=True)
    ended_reason = models.CharField(max_length=300, blank=True)

    class Meta:
        constraints = [
            models.CheckConstraint(condition=models.Q(role__in=Role.values), name="membership_role_known"),
            models.CheckConstraint(
                condition=models.Q(site__isnull=True) | models.Q(trial__isnull=True), name="membership_site_or_trial"
            ),
            models.CheckConstraint(
                condition=~models.Q(role=Role.SITE_USER) | models.Q(site__isnull=False),
                name="membership_site_user_has_site",
            ),
            models.CheckConstraint(
                condition=~models.Q(role__in=[Role.TRIAL_MANAGER, Role.MONITOR]) | models.Q(trial__isnull=False),
                name="membership_trial_role_has_trial",
            ),
        ]

    def __str__(self) -> str:
        where = self.site or self.trial or "the whole lab"
        return f"{self.get_role_display()} for {where}"
