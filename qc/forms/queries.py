"""What people write in a question to a site."""

from __future__ import annotations

from typing import Any

from django import forms

from corelab.forms import DayField

MOST_TEXT = 4_000


def _text_area(rows: int) -> forms.Textarea:
    return forms.Textarea(attrs={"class": "form-control", "rows": rows, "dir": "auto"})


class AskForm(forms.Form):
    """The question as staff make it of the draft, with the run that it was read from."""

    run = forms.UUIDField(required=False, widget=forms.HiddenInput)
    text = forms.CharField(
        label="The question, as the site reads it",
        max_length=MOST_TEXT,
        widget=_text_area(8),
        error_messages={"required": "Write what the site is asked."},
    )
    due_on = DayField(
        label="Answer by",
        required=False,
        help_text="Seven working days without it.",
        widget=forms.DateInput(attrs={"type": "date"}, format="%Y-%m-%d"),
    )


class AnswerForm(forms.Form):
    """What a site answers in words."""

    text = forms.CharField(
        label="Your answer",
        max_length=MOST_TEXT,
        help_text="Say what is right and how you know. Never a patient’s name or number.",
        widget=_text_area(4),
        error_messages={"required": "Write your answer."},
    )


class WordsForm(forms.Form):
    """What staff write when they ask again, close a question, give it up or drop its draft."""

    reason = forms.CharField(
        label="Your words",
        max_length=MOST_TEXT,
        widget=_text_area(3),
        error_messages={"required": "Say why: this needs a reason."},
    )

    def __init__(self, *args: Any, help_text: str = "", **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["reason"].help_text = help_text
