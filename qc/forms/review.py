"""What a physicist answers, says and signs; and the reason that some moves need."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from django import forms

from qc.suv_choice import Offer

#: What a physicist can decide. "Our error" is the program's word, never a person's.
VERDICTS = [("PASS", "Pass"), ("WARN", "Warning"), ("FAIL", "Fail"), ("NOT_EVALUABLE", "Could not check")]
#: What signing says, by verdict.
RECOMMENDATIONS: Mapping[str, str] = {
    "PASS": "Pass",
    "WARN": "Warning",
    "FAIL": "Fail: corrective action",
    "NOT_EVALUABLE": "Could not check",
}


class ReviewForm(forms.Form):
    """The verdict of the person, with a reason where it differs from the proposed one.

    Parameters
    ----------
    proposed : str
        The software's verdict; nothing is chosen beforehand.
    """

    verdict = forms.ChoiceField(
        label="Your verdict",
        choices=VERDICTS,
        widget=forms.RadioSelect,
        error_messages={"required": "Choose your verdict."},
    )
    difference_reason = forms.CharField(
        label="Why your verdict differs",
        required=False,
        max_length=2_000,
        strip=True,
        widget=forms.Textarea(attrs={"class": "form-control", "rows": 2}),
    )
    comment_to_site = forms.CharField(
        label="Comment to the site",
        required=False,
        max_length=4_000,
        help_text="It stands in the report.",
        widget=forms.Textarea(attrs={"class": "form-control", "rows": 4, "dir": "auto"}),
    )

    def __init__(self, *args: Any, proposed: str, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.proposed = proposed

    def clean(self) -> dict[str, Any]:
        """Ask why where the person and the software differ; without a difference there is no reason to keep."""
        values = super().clean() or self.cleaned_data
        differs = bool(values.get("verdict")) and values["verdict"] != self.proposed
        if differs and not values.get("difference_reason"):
            self.add_error("difference_reason", "Your verdict differs from the proposed one. Say why.")
        if not differs:
            values["difference_reason"] = ""
        return values


class SignForm(forms.Form):
    """What was shown, carried unchanged to the signature, and the password."""

    run = forms.CharField(widget=forms.HiddenInput)
    shown_digest = forms.CharField(max_length=80, widget=forms.HiddenInput)
    verdict = forms.ChoiceField(choices=VERDICTS, widget=forms.HiddenInput)
    difference_reason = forms.CharField(required=False, max_length=2_000, widget=forms.HiddenInput)
    comment_to_site = forms.CharField(required=False, max_length=4_000, widget=forms.HiddenInput)
    password = forms.CharField(
        label="Password",
        strip=False,
        max_length=256,
        widget=forms.PasswordInput(attrs={"class": "form-control w-m", "autocomplete": "current-password"}),
        error_messages={"required": "Enter your password. Nothing was signed."},
    )


class SuvChoiceForm(forms.Form):
    """A decision about the SUV in the sentences that are signed, the reason, and the password.

    Parameters
    ----------
    offers : sequence of Offer
        What may be decided; nothing is chosen beforehand.
    """

    #: How the form names the decision that takes an earlier one back, as an empty choice is none.
    BACK = "back"

    run = forms.IntegerField(widget=forms.HiddenInput)
    choice = forms.ChoiceField(
        label="Your decision",
        widget=forms.RadioSelect,
        error_messages={"required": "Choose what you decide. Nothing was signed."},
    )
    reason = forms.CharField(
        label="Why?",
        max_length=2_000,
        help_text="It stands in the report.",
        widget=forms.Textarea(attrs={"class": "form-control", "rows": 3, "dir": "auto"}),
        error_messages={"required": "Say why: this needs a reason."},
    )
    password = forms.CharField(
        label="Password",
        strip=False,
        max_length=256,
        widget=forms.PasswordInput(attrs={"class": "form-control w-m", "autocomplete": "current-password"}),
        error_messages={"required": "Enter your password. Nothing was signed."},
    )

    def __init__(self, *args: Any, offers: Sequence[Offer], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["choice"].choices = [(one.decision or self.BACK, one.sentences) for one in offers]

    @property
    def decision(self) -> str:
        """What was decided, as `qc.suv_choice` names it."""
        chosen = str(self.cleaned_data["choice"])
        return "" if chosen == self.BACK else chosen


class ChecklistForm(forms.Form):
    """One answer of the visual checklist."""

    item = forms.CharField(max_length=40, widget=forms.HiddenInput)
    is_seen = forms.TypedChoiceField(
        choices=[("no", "Not seen"), ("yes", "Seen")],
        coerce=lambda value: value == "yes",
        error_messages={"required": "Say whether it is seen."},
    )
    note = forms.CharField(required=False, max_length=300)


class ReasonForm(forms.Form):
    """A reason, for moves that need one."""

    reason = forms.CharField(
        label="Why?",
        max_length=300,
        widget=forms.Textarea(attrs={"class": "form-control", "rows": 3, "dir": "auto"}),
        error_messages={"required": "Say why: this needs a reason."},
    )
