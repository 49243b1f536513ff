"""What is entered about a dose calibrator: the certificate of a source, and a reading of it."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from django import forms

from corelab.forms import DayField
from phantoms.calibrator import LONG_LIVED_S, REFERENCE_HALF_LIVES_S
from phantoms.nuclides import NUCLIDES
from qc.forms.fields import ClockField, WrittenNumberField

NUCLIDE_CHOICES = [
    *((name, name) for name in REFERENCE_HALF_LIVES_S),
    *((name, name) for name, one in NUCLIDES.items() if one.half_life_s >= LONG_LIVED_S),
]


def _day(label: str) -> DayField:
    widget = forms.DateInput(attrs={"type": "date", "class": "form-control"}, format="%Y-%m-%d")
    return DayField(label=label, widget=widget)


class SourceForm(forms.Form):
    """A long-lived source by its certificate."""

    nuclide = forms.ChoiceField(
        label="Nuclide", choices=NUCLIDE_CHOICES, initial="Cs-137", widget=forms.Select(attrs={"class": "form-select"})
    )
    source_activity_mbq = WrittenNumberField(
        label="Activity of the certificate", unit="MBq", up_to=1_000, required=True
    )
    certified_on = _day("Date of the certificate")
    uncertainty_pct = WrittenNumberField(
        label="Uncertainty of the certificate", unit="%", up_to=50, or_equal=True, help_text="One standard deviation."
    )

    def values(self) -> dict[str, Any]:
        """Return what the service takes."""
        cleaned = dict(self.cleaned_data)
        return {"activity_mbq": cleaned.pop("source_activity_mbq"), **cleaned}


class ReadingForm(forms.Form):
    """One reading of the source."""

    read_on = _day("Day")
    read_time = ClockField(label="Time", required=True)
    activity_mbq = WrittenNumberField(label="Reading", unit="MBq", up_to=1_000, required=True)
    background_mbq = WrittenNumberField(label="Background", unit="MBq", up_to=100, or_equal=True)
    clock_offset_s = WrittenNumberField(
        label="Calibrator clock minus reference clock",
        unit="s",
        above=-86_400,
        up_to=86_400,
        help_text="If you checked it.",
    )
    is_baseline = forms.BooleanField(
        label="This is the baseline: the reading at acceptance or after calibration", required=False
    )

    def values(self, time_zone: str) -> dict[str, Any]:
        """Return what the service takes; the clock is the site's."""
        cleaned = dict(self.cleaned_data)
        day, clock = cleaned.pop("read_on"), cleaned.pop("read_time")
        cleaned["background_mbq"] = cleaned["background_mbq"] or 0.0
        return {"read_at": datetime.combine(day, clock, tzinfo=ZoneInfo(time_zone)), **cleaned}
