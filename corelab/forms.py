"""Forms of the core app: what is typed becomes the arguments of a service."""

from __future__ import annotations

import zoneinfo
from datetime import date
from typing import Any, ClassVar

from allauth.account.forms import LoginForm
from django import forms
from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.db.models import QuerySet

from corelab.models import DoseCalibrator, ReconstructionProfile, Role, Scanner, Site, Trial, User
from corelab.services import seen_of
from corelab.services.people import SITE_ROLES, TRIAL_ROLES
from corelab.signatures import password_wrong

#: Words that stand in addresses where a code would.
TAKEN_BY_PAGES = frozenset({"add"})
REASON_HELP = "Kept in the audit log beside what was changed."


FIRST_DAY, LAST_DAY = date(1900, 1, 1), date(2100, 12, 31)


class DayField(forms.DateField):
    """A day of this age: one more or one less is still a day, and has an instant on every clock."""

    def clean(self, value: Any) -> date | None:
        """Return the day, or None where nothing was written."""
        day: date | None = super().clean(value)
        if day is not None and not FIRST_DAY <= day <= LAST_DAY:
            raise ValidationError(f"Enter a day of the years {FIRST_DAY.year} to {LAST_DAY.year}.", code="day")
        return day


def _ask_by_name(form: forms.BaseForm) -> None:
    """Let an empty field say which one it is: in a summary "This field is required." says nothing."""
    usual = str(forms.Field.default_error_messages["required"])
    for name, field in form.fields.items():
        if str(field.error_messages["required"]) == usual:
            label = str(field.label or name.replace("_", " "))
            field.error_messages["required"] = f"Enter the {label[0].lower()}{label[1:]}."


class SignInForm(LoginForm):
    """E-mail and password; password managers and pasting work."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        login, password = self.fields["login"], self.fields["password"]
        login.label, password.label = "Email", "Password"
        login.error_messages["required"] = "Enter your email."
        password.error_messages["required"] = "Enter your password."
        password.help_text = ""
        login.widget.attrs = {"autocomplete": "username", "autofocus": True, "autocapitalize": "none"}
        password.widget.attrs = {"autocomplete": "current-password"}


class RegisterForm(forms.ModelForm):
    """One entry of the register; it carries what its writer saw, and asks for a reason when it changes."""

    reason = forms.CharField(label="Why", required=False, max_length=300, help_text=REASON_HELP)
    seen = forms.CharField(required=False, widget=forms.HiddenInput)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self.instance.pk is None:
            for name in ("is_active", "reason", "seen"):
                self.fields.pop(name, None)
        else:
            self.initial["seen"] = seen_of(self.instance)
        if "is_active" in self.fields:
            self.fields["is_active"].label = "In use"
            self.fields["is_active"].help_text = "Take the tick away to hide it from new submissions; nothing is lost."
        _ask_by_name(self)

    def clean_code(self) -> str:
        """Refuse a code that is a page's own address."""
        code: str = self.cleaned_data["code"]
        if code.lower() in TAKEN_BY_PAGES:
            raise ValidationError("Choose another code: this word is the address of a page.")
        return code

    def values(self) -> dict[str, Any]:
        """Return the arguments of the service."""
        return dict(self.cleaned_data)


class SiteForm(RegisterForm):
    """A site."""

    class Meta:
        model = Site
        fields = ("name", "code", "city", "country", "time_zone", "is_active")
        widgets: ClassVar[dict[str, Any]] = {"time_zone": forms.TextInput(attrs={"list": "time-zones"})}
        help_texts: ClassVar[dict[str, str]] = {
            "code": "Letters, digits and hyphens, for addresses and filters: site-north.",
            "time_zone": "The clock that people there write down, such as Europe/London.",
        }

    @staticmethod
    def zones() -> list[str]:
        """Return the zones to offer."""
        return sorted(name for name in zoneinfo.available_timezones() if "/" in name and not name.startswith("Etc/"))


class ScannerForm(RegisterForm):
    """A scanner."""

    class Meta:
        model = Scanner
        fields = ("manufacturer", "model", "serial", "software", "is_active")
        help_texts: ClassVar[dict[str, str]] = {
            "manufacturer": "As in the images (0008,0070).",
            "model": "As in the images (0008,1090).",
            "serial": "As in the images (0018,1000).",
            "software": "As in the images (0018,1020). Whether a change calls for a new phantom, staff are asked.",
        }


class ReconstructionForm(RegisterForm):
    """A reconstruction."""

    class Meta:
        model = ReconstructionProfile
        fields = ("name", "method", "kernel", "filter_fwhm_mm", "matrix", "pixel_mm", "slice_mm", "is_active")
        labels: ClassVar[dict[str, str]] = {
            "method": "Reconstruction method",
            "kernel": "Convolution kernel",
            "filter_fwhm_mm": "Post-filter FWHM",
            "matrix": "Matrix",
            "pixel_mm": "Pixel",
            "slice_mm": "Distance of slices",
        }
        help_texts: ClassVar[dict[str, str]] = {
            "name": "Words the site knows it by: PSF+TOF 4i5s 2 mm.",
            "method": "As in the images (0054,1103).",
            "kernel": "As in the images (0018,1210).",
            "matrix": "Columns (0028,0011).",
            "pixel_mm": "As in the images (0028,0030).",
        }


class CalibratorForm(RegisterForm):
    """A dose calibrator."""

    class Meta:
        model = DoseCalibrator
        fields = ("manufacturer", "model", "serial", "is_active")


class TrialForm(RegisterForm):
    """A trial and its sites."""

    class Meta:
        model = Trial
        fields = ("code", "title", "ends_on", "sites", "is_active")
        field_classes: ClassVar[dict[str, Any]] = {"ends_on": DayField}
        widgets: ClassVar[dict[str, Any]] = {
            "ends_on": forms.DateInput(attrs={"type": "date"}, format="%Y-%m-%d"),
            "sites": forms.CheckboxSelectMultiple,
        }
        labels: ClassVar[dict[str, str]] = {"ends_on": "Last day of scanning", "sites": "Sites that take part"}
        help_texts: ClassVar[dict[str, str]] = {
            "code": "Letters, digits and hyphens; it stands in addresses and lists.",
            "ends_on": "Where it is known: no certificate for this trial lasts longer.",
        }

    def __init__(self, *args: Any, sites: QuerySet[Site], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["sites"].queryset = sites


class RoleForm(forms.Form):
    """A role and where it is given."""

    role = forms.ChoiceField(label="Role", choices=[("", "Choose a role"), *Role.choices])
    site = forms.ModelChoiceField(
        label="Site",
        queryset=None,
        required=False,
        empty_label="–",
        to_field_name="code",
        help_text="Needed for a site user.",
    )
    trial = forms.ModelChoiceField(
        label="Trial",
        queryset=None,
        required=False,
        empty_label="–",
        to_field_name="code",
        help_text="Needed for a trial manager or a monitor.",
    )
    until_on = DayField(
        label="Last day", required=False, widget=forms.DateInput(attrs={"type": "date"}, format="%Y-%m-%d")
    )

    def __init__(self, *args: Any, sites: QuerySet[Site], trials: QuerySet[Trial], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["site"].queryset = sites
        self.fields["trial"].queryset = trials
        self.fields["role"].error_messages["required"] = "Choose a role."
        _ask_by_name(self)

    def clean(self) -> dict[str, Any]:
        """Ask for the site or the trial that the role needs, and refuse one that it does not have."""
        cleaned = super().clean() or {}
        role = cleaned.get("role")
        if role:
            for name, roles, ask in (
                ("site", SITE_ROLES, "Choose the site."),
                ("trial", TRIAL_ROLES, "Choose the trial."),
            ):
                if role in roles and not cleaned.get(name) and name not in self.errors:
                    self.add_error(name, ask)
                elif role not in roles and cleaned.get(name):
                    self.add_error(name, f"{Role(role).label} is not given for one {name}: leave this empty.")
        return cleaned


class InviteForm(RoleForm):
    """A new person with the first role."""

    name = forms.CharField(label="Name", max_length=120, help_text="As printed in signatures.")
    email = forms.EmailField(label="Email", help_text="The person signs in with it. No mail is sent.")
    field_order = ("name", "email", "role", "site", "trial", "until_on")

    def clean_email(self) -> str:
        """Refuse an e-mail that is registered already."""
        email: str = self.cleaned_data["email"]
        if User.objects.filter(email__iexact=email).exists():
            raise ValidationError("This e-mail is registered already. Give the role on that person's page.")
        return email


class GrantForm(RoleForm):
    """One more role of a person."""

    reason = forms.CharField(label="Why", required=False, max_length=300, help_text=REASON_HELP)


class ReasonForm(forms.Form):
    """The reason for something that cannot be undone by itself."""

    reason = forms.CharField(
        label="Why", max_length=300, help_text=REASON_HELP, error_messages={"required": "Say why: this needs a reason."}
    )


class AccountForm(forms.ModelForm):
    """What a person changes about the own account."""

    class Meta:
        model = User
        fields = ("name", "theme", "keys_enabled")
        labels: ClassVar[dict[str, str]] = {"name": "Name", "keys_enabled": "Use keys to move around"}
        widgets: ClassVar[dict[str, Any]] = {"theme": forms.RadioSelect}
        help_texts: ClassVar[dict[str, str]] = {
            "name": "As printed in signatures. Signatures made before keep the old one.",
            "theme": "Auto follows your device.",
            "keys_enabled": "? lists them. They never work inside a field.",
        }

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        _ask_by_name(self)


class NewPasswordForm(forms.Form):
    """A password chosen for the first time, or again by a new link; checked against the person it is for."""

    password = forms.CharField(
        label="New password",
        strip=False,
        widget=forms.PasswordInput(attrs={"autocomplete": "new-password"}),
        help_text="At least 12 characters; not a common one, not your name or email.",
        error_messages={"required": "Choose a password."},
    )
    again = forms.CharField(
        label="The same again",
        strip=False,
        widget=forms.PasswordInput(attrs={"autocomplete": "new-password"}),
        error_messages={"required": "Type the password again."},
    )

    def __init__(self, *args: Any, person: User, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.person = person

    def clean_password(self) -> str:
        """Say everything that is wrong with it."""
        password: str = self.cleaned_data["password"]
        validate_password(password, self.person)
        return password

    def clean(self) -> dict[str, Any]:
        """Compare the two."""
        cleaned = super().clean() or {}
        if cleaned.get("password") and cleaned.get("again") and cleaned["password"] != cleaned["again"]:
            self.add_error("again", "The two are not the same.")
        return cleaned


class PasswordChangeForm(NewPasswordForm):
    """A new password in place of the old one."""

    old = forms.CharField(
        label="Old password",
        strip=False,
        widget=forms.PasswordInput(attrs={"autocomplete": "current-password"}),
        error_messages={"required": "Enter the old password."},
    )
    field_order = ("old", "password", "again")

    def clean_old(self) -> str:
        """Prove who is there."""
        old: str = self.cleaned_data["old"]
        if wrong := password_wrong(self.person, old):
            raise ValidationError(f"{wrong} Nothing was changed.")
        return old


class AuditFilterForm(forms.Form):
    """What an auditor asks for."""

    who = forms.CharField(label="Who", required=False, max_length=120)
    action = forms.ChoiceField(label="What", required=False)
    label = forms.CharField(label="Object", required=False, max_length=120)
    from_on = DayField(label="From", required=False, widget=forms.DateInput(attrs={"type": "date"}))
    to_on = DayField(label="To", required=False, widget=forms.DateInput(attrs={"type": "date"}))
    reason = forms.CharField(label="Reason", required=False, max_length=120)
    object_type = forms.CharField(required=False, max_length=64, widget=forms.HiddenInput)
    object_id = forms.CharField(required=False, max_length=64, widget=forms.HiddenInput)

    def __init__(self, *args: Any, actions: list[str], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["action"].choices = [("", "Any"), *((name, name) for name in actions)]
