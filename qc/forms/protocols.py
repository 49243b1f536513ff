"""A protocol's document as text, and the day on which it begins."""

from __future__ import annotations

import json
from typing import Any

from django import forms
from django.core.exceptions import ValidationError

from corelab.forms import DayField

MOST_DOCUMENT = 100_000


class ProtocolForm(forms.Form):
    """The document of a draft as JSON."""

    document = forms.CharField(
        label="Document",
        max_length=MOST_DOCUMENT,
        help_text="JSON. low to high is accepted; between them, outside warn_low to warn_high, a value warns.",
        widget=forms.Textarea(attrs={"class": "form-control mono", "rows": 28, "spellcheck": "false"}),
        error_messages={"required": "Write the document."},
    )
    shown_digest = forms.CharField(max_length=64, widget=forms.HiddenInput)

    def clean_document(self) -> dict[str, Any]:
        """Return the document, or say where the text is not JSON."""
        text: str = self.cleaned_data["document"]
        try:
            document = json.loads(text, parse_constant=_refuse_constant)
            _check_can_be_kept(document)
        except json.JSONDecodeError as error:
            raise ValidationError(f"This is not JSON: line {error.lineno}, column {error.colno}.") from error
        except (ValueError, RecursionError) as error:
            raise ValidationError(
                "This is not JSON that can be kept: a number, a character or its depth is beyond it."
            ) from error
        if not isinstance(document, dict):
            raise ValidationError("The document is one object: it begins with { and ends with }.")
        return document


def _refuse_constant(name: str) -> None:
    msg = f"{name} is no number"
    raise ValueError(msg)


def _check_can_be_kept(document: Any) -> None:
    """Raise ValueError for what JSON can spell and no database keeps: infinite numbers, half characters, NUL."""
    text = json.dumps(document, ensure_ascii=False, allow_nan=False)
    text.encode()
    if "\\u0000" in json.dumps(document):
        msg = "NUL is no character of a text"
        raise ValueError(msg)


class PublishForm(forms.Form):
    """The day from which scans are judged by a version."""

    effective_on = DayField(
        label="In force from",
        help_text="Scans of this day and later are judged by it, on their own day.",
        widget=forms.DateInput(attrs={"type": "date"}, format="%Y-%m-%d"),
        error_messages={"required": "Choose the first day."},
    )
    shown_digest = forms.CharField(max_length=64, widget=forms.HiddenInput)
