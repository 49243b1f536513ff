"""What is asked of people about a case: its scope, what is decided, a reason, the password at a signature."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import date
from typing import Any

from django import forms

from accreditation.programmes import load as load_programme
from corelab.forms import DayField
from phantoms import nuclides
from qc.forms import ReasonForm
from qc.forms.place import GroupedModelChoiceField, GroupedSelect, standard_choices

__all__ = ["DECISIONS", "CaseForm", "DecisionForm", "FindForm", "ReasonForm", "SignForm"]

#: What can be decided: the words of the radio button, what it does, and what the form then asks for.
DECISIONS: Mapping[str, tuple[str, str, tuple[str, ...]]] = {
    "propose": ("Accredit", "Recommend it; an approver, another person, decides.", ("conditions",)),
    "require_action": (
        "Corrective action",
        "The site is told what to do and by when, then sends again.",
        ("reason", "action_text", "deadline_on", "more_attempts_reason"),
    ),
    "fail": ("Fail", "The case ends. The site may start another one.", ("reason",)),
    "approve": (
        "Accredit",
        "The clearance and the certificate are written at once.",
        ("valid_from", "valid_until", "conditions"),
    ),
    "refuse": ("Refuse", "The case ends without a certificate.", ("reason",)),
    "reinstate": ("Reinstate", "Scanning is allowed again from today.", ("reason",)),
}


class CaseForm(forms.Form):
    """The scope of a new case.

    Parameters
    ----------
    scanners, reconstructions, trials : QuerySet
        What the person may choose from; the view takes them from selectors.
    programmes : iterable of (str, str)
        Id with version, and title.
    """

    scanner = GroupedModelChoiceField(
        label="Scanner",
        queryset=None,
        group="site",
        empty_label="Choose a scanner",
        error_messages={"required": "Choose the scanner."},
    )
    reconstruction = GroupedModelChoiceField(
        label="Reconstruction",
        queryset=None,
        group="scanner",
        empty_label="Choose a reconstruction",
        help_text="Accreditation is given for this one. Another filter or matrix needs a case of its own.",
        error_messages={"required": "Choose the reconstruction."},
        widget=GroupedSelect(),
    )
    tracer = forms.ChoiceField(label="Nuclide of the tracer", initial="F-18")
    standard = forms.ChoiceField(label="Standard", initial="earl1_18f")
    trial = forms.ModelChoiceField(
        label="Trial",
        queryset=None,
        required=False,
        empty_label="None: general",
        help_text="A general accreditation holds for every trial that asks for no more.",
    )
    programme = forms.ChoiceField(
        label="Programme", help_text="What must be sent, how often, and for how long it holds."
    )

    def __init__(
        self,
        *args: Any,
        scanners: Any,
        reconstructions: Any,
        trials: Any,
        programmes: Iterable[tuple[str, str]],
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **kwargs)
        for name, queryset in (("scanner", scanners), ("reconstruction", reconstructions), ("trial", trials)):
            self.fields[name].queryset = queryset
        self.fields["tracer"].choices = [(name, name) for name in nuclides.NUCLIDES]
        offered = list(programmes)
        used = {standard for programme, _ in offered for standard in load_programme(programme).standards}
        self.fields["standard"].choices = [(key, title) for key, title in standard_choices() if key in used]
        self.fields["programme"].choices = offered

    def clean(self) -> dict[str, Any]:
        """Check that the reconstruction is one of the scanner's; the service checks the rest."""
        values = super().clean() or self.cleaned_data
        scanner, reconstruction = values.get("scanner"), values.get("reconstruction")
        if scanner and reconstruction and reconstruction.scanner_id != scanner.pk:
            self.add_error("reconstruction", f"This reconstruction is not one of {scanner}. Choose one that is.")
        return values


class DecisionForm(forms.Form):
    """What a physicist or an approver decides about a case; each decision asks for its own fields.

    Parameters
    ----------
    offered : iterable of str
        Keys of `DECISIONS` that the person may choose now.
    today : date
        On the site's calendar: nothing ends before it.
    last_attempt : str
        What to say where the programme gives no further attempt; empty where it does.
    """

    decision = forms.ChoiceField(
        label="Your decision",
        choices=(),
        widget=forms.RadioSelect,
        error_messages={"required": "Choose your decision."},
    )
    valid_from = DayField(
        label="Accredit from", required=False, widget=forms.DateInput(attrs={"type": "date"}, format="%Y-%m-%d")
    )
    valid_until = DayField(
        label="To and with", required=False, widget=forms.DateInput(attrs={"type": "date"}, format="%Y-%m-%d")
    )
    conditions = forms.CharField(
        label="Conditions",
        required=False,
        max_length=600,
        help_text="They stand in the certificate.",
        widget=forms.Textarea(attrs={"rows": 2, "dir": "auto"}),
    )
    reason = forms.CharField(
        label="Why", required=False, max_length=2_000, widget=forms.Textarea(attrs={"rows": 2, "dir": "auto"})
    )
    action_text = forms.CharField(
        label="What the site is to do",
        required=False,
        max_length=4_000,
        help_text="In steps, in words a technologist uses.",
        widget=forms.Textarea(attrs={"rows": 3, "dir": "auto"}),
    )
    deadline_on = DayField(
        label="By when", required=False, widget=forms.DateInput(attrs={"type": "date"}, format="%Y-%m-%d")
    )

    more_attempts_reason = forms.CharField(
        label="Why one more attempt is allowed",
        required=False,
        max_length=300,
        widget=forms.Textarea(attrs={"rows": 2, "dir": "auto"}),
    )

    _MISSING: Mapping[str, str] = {
        "valid_from": "Enter the first day.",
        "valid_until": "Enter the last day.",
        "reason": "Say why: it is kept, and the site reads it.",
        "action_text": "Say what the site is to do.",
        "deadline_on": "Enter the day by which the site acts.",
        "more_attempts_reason": "Say why one more attempt is allowed, or fail the case.",
    }

    def __init__(self, *args: Any, offered: Iterable[str], today: date, last_attempt: str = "", **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if last_attempt:
            self.fields["more_attempts_reason"].help_text = last_attempt
        else:
            del self.fields["more_attempts_reason"]
        self.offered = list(offered)
        self.today = today
        self.fields["decision"].choices = [(key, DECISIONS[key][0]) for key in self.offered]

    def choices(self) -> list[tuple[Any, str]]:
        """Return the decisions as radio buttons, each with what it does."""
        return [(radio, DECISIONS[str(radio.data["value"])][1]) for radio in self["decision"]]

    def asks_for(self) -> list[tuple[Any, str]]:
        """Return the fields of the offered decisions, each with the decisions that ask for it; for the page alone."""
        wanted = {key: DECISIONS[key][2] for key in self.offered}
        names = dict.fromkeys(name for fields in wanted.values() for name in fields if name in self.fields)
        for name in names:
            # Which decision is chosen says whether a field must be filled; where it is asked for it is not optional.
            self.fields[name].required = name in self._MISSING
        return [(self[name], " ".join(key for key, fields in wanted.items() if name in fields)) for name in names]

    def clean(self) -> dict[str, Any]:
        """Ask for what the chosen decision needs, and keep nothing of the others."""
        values = super().clean() or self.cleaned_data
        decision = values.get("decision")
        if decision not in DECISIONS:
            return values
        wanted = [name for name in DECISIONS[decision][2] if name in self.fields]
        for name in wanted:
            if name != "conditions" and not values.get(name) and name not in self.errors:
                self.add_error(name, self._MISSING[name])
        first, last = values.get("valid_from"), values.get("valid_until")
        if decision == "approve" and first and last and last < first:
            self.add_error("valid_until", "The last day lies before the first.")
        elif decision == "approve" and last and last < self.today:
            self.add_error("valid_until", "The last day has passed. Enter a later one.")
        deadline = values.get("deadline_on")
        if decision == "require_action" and deadline and deadline <= self.today:
            self.add_error("deadline_on", "Enter a day after today.")
        return {"decision": decision} | {name: values.get(name) for name in wanted}


class SignForm(forms.Form):
    """The digests of what was shown, carried unchanged to the signature, and the password.

    ``shown_digest`` is of the case, ``shown_words`` of what the person decided and of the sentence they sign.
    """

    shown_digest = forms.CharField(max_length=80, widget=forms.HiddenInput)
    shown_words = forms.CharField(max_length=80, widget=forms.HiddenInput)
    password = forms.CharField(
        label="Password",
        strip=False,
        max_length=256,
        widget=forms.PasswordInput(attrs={"autocomplete": "current-password"}),
        error_messages={"required": "Enter your password. Nothing was signed."},
    )


class FindForm(forms.Form):
    """The number of a certificate, as anybody types it from paper."""

    number = forms.CharField(
        label="Number of the certificate",
        max_length=24,
        error_messages={"required": "Enter the number, such as PET-2026-0412."},
        widget=forms.TextInput(attrs={"autocomplete": "off", "spellcheck": "false", "autocapitalize": "characters"}),
    )

    def clean_number(self) -> str:
        """Return the number as it is printed."""
        return str(self.cleaned_data["number"]).strip().upper()
