"""The activity sheet as a form: drafts keep every keystroke, ``sheet.json`` gets what is right.

What was typed is kept beside the sheet under ``entry``, so that a half or wrong answer comes back as it was written;
the rest of the sheet is exactly the structure of the offline contract.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime, time, timedelta
from typing import Any

from django import forms
from django.forms.utils import ErrorDict

from corelab.forms import DayField
from phantoms.nuclides import NUCLIDES, half_life_s
from phantoms.results import Finding
from phantoms.sheet import SEALED_HALF_LIFE_S
from phantoms.sheet_checks import MBQ_PER_MCI
from qc.analysis import nominal_ratio
from qc.forms.fields import ClockField, WrittenNumberField
from qc.forms.slips import Slip, findings_of, slips_in

#: The fills that each kind of phantom needs, in the order in which they are made.
FILLS_OF_KIND: Mapping[str, tuple[str, ...]] = {
    "cylinder": ("cylinder",),
    "nema_iq": ("spheres", "background"),
    "acr": ("spheres", "background"),
}
FILL_TITLES = {"cylinder": "Cylinder", "spheres": "Sphere stock", "background": "Background"}
#: Where a kind of phantom calls a fill by another name.
_OWN_TITLES: Mapping[str, Mapping[str, str]] = {"acr": {"spheres": "Hot cylinder stock"}}
VOLUME_LABELS = {"cylinder": "Cylinder volume", "spheres": "Stock volume", "background": "Background volume"}
UNITS = [("MBq", "MBq"), ("mCi", "mCi")]
#: Where the form keeps what the sheet itself has no place for.
ENTRY = "entry"
PATIENT = "patient"


def fill_title(kind: str, what: str) -> str:
    """Return what a fill is called on the sheet of one kind of phantom."""
    return _OWN_TITLES.get(kind, {}).get(what) or FILL_TITLES[what]


class EntryForm(forms.Form):
    """What every step-2 form shares: always bound to what was typed, errors shown only when asked for.

    Parameters
    ----------
    data : mapping
        The request's fields, or the ``entry`` of a saved sheet.
    shows_errors : bool
        Whether the page tells what is wrong; a draft that is merely opened or saved does not.
    """

    unit = forms.ChoiceField(label="Activities are in", choices=UNITS, required=False, widget=forms.RadioSelect)
    date = DayField(
        label="Day of the scan",
        required=False,
        widget=forms.DateInput(attrs={"type": "date", "class": "form-control"}, format="%Y-%m-%d"),
    )

    def __init__(self, data: Mapping[str, Any], *, shows_errors: bool = False, **kwargs: Any) -> None:
        kept = {name: str(value) for name, value in data.items() if name != "csrfmiddlewaretoken"}
        kept.setdefault("unit", "MBq")
        super().__init__(kept, auto_id="id_%s", **kwargs)
        self.shows_errors = shows_errors

    @property
    def errors(self) -> ErrorDict:
        """What is wrong; nothing while the form is only opened or saved."""
        found = super().errors
        return found if self.shows_errors else ErrorDict()

    def entry(self) -> dict[str, str]:
        """Return everything typed, as it was typed; never more than the form's own fields."""
        return {name: self.data[name][:200] for name in self.fields if self.data.get(name, "").strip()}

    @property
    def unit_now(self) -> str:
        """The unit that activities are written in."""
        return "mCi" if self.data.get("unit") == "mCi" else "MBq"

    def value(self, name: str) -> Any:
        """Return the cleaned value of a field, or None where it is missing or cannot be read."""
        self.errors  # noqa: B018 (cleans the form once)
        return self.cleaned_data.get(name)

    def mbq(self, name: str) -> float | None:
        """Return an activity field in MBq."""
        number = self.value(name)
        if number is None:
            return None
        # Ten digits: 0.6 mCi is 22.2 MBq and not 22.199999999999996.
        return float(f"{number * MBQ_PER_MCI:.10g}") if self.unit_now == "mCi" else number

    def at(self, name: str, *, next_day: bool = False) -> datetime | None:
        """Return a clock field on the day of the scan, as naive local time."""
        day, clock = self.value("date"), self.value(name)
        if not isinstance(day, date) or not isinstance(clock, time):
            return None
        return datetime.combine(day, clock) + timedelta(days=1 if next_day else 0)

    def with_changes(self, use: Mapping[str, str]) -> dict[str, str]:
        """Return what was typed, with a proposal taken; an empty text clears its field."""
        changed = {**self.entry(), **use}
        return {name: text for name, text in changed.items() if text}

    def _require(self, name: str, message: str) -> None:
        if name not in self.errors and self.value(name) in (None, ""):
            self.add_error(name, message)


class SheetForm(EntryForm):
    """The activity sheet of a phantom: one group of answers for each fill."""

    nuclide = forms.ChoiceField(
        label="Nuclide",
        required=False,
        choices=[(name, name) for name in NUCLIDES],
        initial="F-18",
        widget=forms.Select(attrs={"class": "form-select"}),
    )
    scan_time = ClockField(label="Scan began", help_text="For the decay table; the images bring the exact time.")
    scan_next_day = forms.BooleanField(label="on the next day", required=False, widget=forms.CheckboxInput)
    sealed = forms.BooleanField(label="It is a sealed source", required=False, widget=forms.CheckboxInput)
    certified_on = DayField(
        label="Date of the certificate",
        required=False,
        widget=forms.DateInput(attrs={"type": "date", "class": "form-control w-m"}, format="%Y-%m-%d"),
    )
    certificate_sd_pct = WrittenNumberField(
        label="Uncertainty of the certificate", unit="%", up_to=50, or_equal=True, help_text="One standard deviation."
    )
    phantom_serial = forms.CharField(
        label="Phantom serial number",
        max_length=64,
        required=False,
        widget=forms.TextInput(attrs={"class": "form-control", "autocomplete": "off"}),
    )
    volume_uncertainty_ml = WrittenNumberField(
        label="Uncertainty of the volume", unit="mL", up_to=1_000, or_equal=True, help_text="One standard deviation."
    )
    clock_offset_s = WrittenNumberField(
        label="Scanner clock minus calibrator clock", unit="s", above=-86_400, up_to=86_400, help_text="If you know it."
    )

    def __init__(self, data: Mapping[str, Any], *, kind: str, shows_errors: bool = False, **kwargs: Any) -> None:
        super().__init__({"nuclide": "F-18", **data}, shows_errors=shows_errors, **kwargs)
        self.kind = kind
        self.fills = FILLS_OF_KIND[kind]
        for what in self.fills:
            title = fill_title(self.kind, what)
            self.fields[f"{what}-activity"] = WrittenNumberField(
                label=f"{title}: drawn activity", unit="activity", up_to=10_000
            )
            self.fields[f"{what}-activity_time"] = ClockField(label=f"{title}: drawn at")
            self.fields[f"{what}-residual"] = WrittenNumberField(
                label=f"{title}: left in the syringe", unit="activity", up_to=10_000, or_equal=True
            )
            self.fields[f"{what}-residual_time"] = ClockField(label=f"{title}: left measured at")
            self.fields[f"{what}-residual_next_day"] = forms.BooleanField(
                label="on the next day", required=False, widget=forms.CheckboxInput
            )
            self.fields[f"{what}-volume"] = WrittenNumberField(label=VOLUME_LABELS[what], unit="mL", up_to=50_000)

    def entry(self) -> dict[str, str]:
        """Return everything typed; an empty tick box is left out."""
        return {name: text for name, text in super().entry().items() if text not in {"False", "off"}}

    @property
    def is_blank(self) -> bool:
        """Whether nothing of any fill was written yet."""
        return not any(name.split("-")[0] in self.fills for name in self.entry())

    @property
    def scan_at(self) -> datetime | None:
        """When the scan began, as far as it was written."""
        return self.at("scan_time", next_day=bool(self.value("scan_next_day")))

    @property
    def is_sealed(self) -> bool:
        """Whether the cylinder is a sealed source, known by its certificate and not by a draw."""
        return "cylinder" in self.fills and bool(self.value("sealed"))

    def fill_fields(self) -> list[dict[str, Any]]:
        """Return the fills with their bound fields, for the template."""
        names = ("activity", "activity_time", "residual", "residual_time", "residual_next_day", "volume")
        return [
            {"what": what, "title": fill_title(self.kind, what), **{name: self[f"{what}-{name}"] for name in names}}
            for what in self.fills
        ]

    def findings(self) -> list[Finding]:
        """Return what looks wrong in what was typed so far."""
        return findings_of(self._core(""), self.scan_at, nominal_ratio(self.kind))

    def slips(self, kept: Mapping[str, str] | None = None) -> list[Slip]:
        """Return the likely slips that nobody has answered yet."""
        found = slips_in(self.findings(), self._core(""), unit=self.unit_now, day=self.value("date"))
        return [slip for slip in found if slip.key not in (kept or {})]

    def revised(self, use: Mapping[str, str]) -> SheetForm:
        """Return the form with a proposal taken."""
        return SheetForm(self.with_changes(use), kind=self.kind)

    def require_whole(self) -> None:
        """Add an error for every answer that a fill still lacks: a fill is given whole or not at all."""
        if self.is_sealed:
            self._require_certificate()
            return
        for what in self.fills:
            title = fill_title(self.kind, what)
            if not any(name.startswith(f"{what}-") for name in self.entry()):
                continue
            self._require("date", "Enter the day of the scan.")
            self._require(f"{what}-activity", f"{title}: enter the drawn activity.")
            self._require(f"{what}-activity_time", f"{title}: enter when the syringe was measured.")
            self._require(f"{what}-volume", f"{title}: enter the volume.")
            if self.value(f"{what}-residual"):
                self._require(f"{what}-residual_time", f"{title}: enter when the residual was measured.")
            elif self.data.get(f"{what}-residual_time", "").strip():
                self._require(f"{what}-residual", f"{title}: enter what was left in the syringe, 0 if nothing.")

    def _require_certificate(self) -> None:
        self._require("date", "Enter the day of the scan.")
        self._require("cylinder-activity", "Cylinder: enter the activity of the certificate.")
        self._require("certified_on", "Cylinder: enter the date of the certificate.")
        self._require("cylinder-volume", "Cylinder: enter the volume of the certificate.")
        if half_life_s(self.value("nuclide") or "F-18") < SEALED_HALF_LIFE_S:
            self.add_error("nuclide", "A sealed source is of a nuclide that lives for months: choose Ge-68.")
        for name in ("activity_time", "residual", "residual_time"):
            if self.data.get(f"cylinder-{name}", "").strip():
                self.add_error(
                    f"cylinder-{name}", "A sealed source has no clock time and nothing left: empty this field."
                )

    def sheet(self, *, time_zone: str, calibrator: str, kept: Mapping[str, str] | None = None) -> dict[str, Any]:
        """Return the sheet of the offline contract, with what was typed beside it.

        Parameters
        ----------
        time_zone : str
            The site's; all clock times are the site's wall clock.
        calibrator : str
            The dose calibrator in words, or nothing.
        kept : mapping of str to str
            Answers to recognised slips: the slip's key and why the value stays.
        """
        sheet = self._core(time_zone)
        if calibrator:
            sheet["calibrator"] = calibrator
        sheet[ENTRY] = {"typed": self.entry(), "kept": dict(kept or {})}
        return sheet

    def _core(self, time_zone: str) -> dict[str, Any]:
        sheet: dict[str, Any] = {
            "nuclide": self.value("nuclide") or "F-18",
            "time_zone": time_zone,
            "fills": [fill for what in self.fills if len(fill := self._fill(what)) > 1],
        }
        optional = {
            "phantom_serial": self.value("phantom_serial"),
            "volume_uncertainty_ml": self.value("volume_uncertainty_ml"),
            "clock_offset_s": self.value("clock_offset_s"),
        }
        return sheet | {name: value for name, value in optional.items() if value not in (None, "")}

    def _fill(self, what: str) -> dict[str, Any]:
        if self.is_sealed:
            return self._certificate()
        assayed_at = self.at(f"{what}-activity_time")
        is_next_day = bool(self.value(f"{what}-residual_next_day"))
        residual_at = self.at(f"{what}-residual_time", next_day=is_next_day)
        values = {
            "what": what,
            "activity_mbq": self.mbq(f"{what}-activity"),
            "assayed_at": assayed_at.isoformat() if assayed_at else None,
            "residual_mbq": self.mbq(f"{what}-residual"),
            "residual_at": residual_at.isoformat() if residual_at else None,
            "volume_ml": self.value(f"{what}-volume"),
        }
        return {name: value for name, value in values.items() if value is not None}

    def _certificate(self) -> dict[str, Any]:
        """Return the cylinder as its certificate has it; what is none of a certificate is left for `require_whole`."""
        certified_on = self.value("certified_on")
        values = {
            "what": "cylinder",
            "sealed": True,
            "activity_mbq": self.mbq("cylinder-activity"),
            "assayed_at": certified_on.isoformat() if certified_on else None,
            "volume_ml": self.value("cylinder-volume"),
            "uncertainty_pct": self.value("certificate_sd_pct"),
        }
        return {name: value for name, value in values.items() if value is not None}


def typed_of(sheet: Mapping[str, Any]) -> dict[str, str]:
    """Return what was typed for a saved sheet; for one that came from elsewhere, what would have been typed."""
    if ENTRY in sheet:
        return dict(sheet[ENTRY].get("typed", {}))
    typed = {"unit": "MBq"} | _typed_of_patient(sheet.get(PATIENT, {}))
    for name in ("nuclide", "phantom_serial", "volume_uncertainty_ml", "clock_offset_s"):
        if sheet.get(name) is not None:
            typed[name] = _written(sheet[name])
    for fill in sheet.get("fills", []):
        what = fill.get("what")
        pairs = (("activity", "activity_mbq"), ("residual", "residual_mbq"), ("volume", "volume_ml"))
        typed |= {f"{what}-{name}": _written(fill[key]) for name, key in pairs if fill.get(key) is not None}
        if fill.get("sealed"):
            typed |= {"sealed": "on", "certified_on": str(fill.get("assayed_at", ""))[:10]}
            if fill.get("uncertainty_pct") is not None:
                typed["certificate_sd_pct"] = _written(fill["uncertainty_pct"])
            continue
        for name, key in (("activity_time", "assayed_at"), ("residual_time", "residual_at")):
            if fill.get(key):
                day, _, clock = str(fill[key]).partition("T")
                typed.setdefault("date", day)
                typed[f"{what}-{name}"] = clock[:5]
                if name == "residual_time" and day > typed["date"]:
                    typed[f"{what}-residual_next_day"] = "on"
    return typed


def _typed_of_patient(values: Mapping[str, Any]) -> dict[str, str]:
    typed = {}
    for name, key in (
        ("weight_kg", "weight_kg"),
        ("injected", "injected_mbq"),
        ("residual", "residual_mbq"),
        ("glucose", "glucose_mmol_l"),
        ("fasting_h", "fasting_h"),
    ):
        if values.get(key) is not None:
            typed[name] = _written(values[key])
    if values.get("height_m") is not None:
        typed["height_cm"] = _written(values["height_m"] * 100)
    for name, key in (
        ("injected_time", "injected_at"),
        ("residual_time", "residual_at"),
        ("glucose_time", "glucose_at"),
    ):
        if values.get(key):
            day, _, clock = str(values[key]).partition("T")
            typed |= {"date": day, name: clock[:5]}
    return typed


def kept_of(sheet: Mapping[str, Any]) -> dict[str, str]:
    """Return the slips that the site looked at and kept, with its reasons."""
    return dict(sheet.get(ENTRY, {}).get("kept", {}))


def _written(value: Any) -> str:
    return f"{value:.10g}" if isinstance(value, float | int) else str(value)
