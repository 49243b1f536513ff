"""What a site wrote down on the scan day of a patient: the form, its likely slips, and what the values give.

Slips are questions with answers: proposed with their effect in numbers, never applied.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django import forms

from phantoms.nuclides import NUCLIDES
from phantoms.sheet_checks import MBQ_PER_MCI
from qc.facts import Syringe
from qc.forms.fields import ClockField, WrittenNumberField
from qc.forms.sheet import ENTRY, PATIENT, EntryForm
from qc.forms.slips import Proposal, Slip
from qc.protocols import Protocol

#: 1 mmol of glucose is 180.16 mg, so 1 mmol/L is 18.016 mg/dL. Source: molar mass of C6H12O6 from the standard atomic
#: weights of IUPAC.
MG_DL_PER_MMOL_L = 18.016
GLUCOSE_UNITS = [("mmol/L", "mmol/L"), ("mg/dL", "mg/dL")]
#: What no living person's blood has, mmol/L and mg/dL: a figure beyond it was read in the other unit.
GLUCOSE_MOST_MMOL_L, GLUCOSE_LEAST_MG_DL = 35.0, 35.0
#: Activities of FDG scans of adults, MBq: a figure outside that lies inside in the other unit was written in that.
USUAL_MBQ = (80.0, 800.0)
#: Waits that are believed after a slip of an hour or of half a day is undone, min.
USUAL_UPTAKE_MIN = (40.0, 100.0)
TOO_SOON_MIN = 20.0


@dataclass(frozen=True, kw_only=True)
class Given:
    """One number that the values give, with the outcome by the protocol in force; without one nothing is judged."""

    words: str
    value: str
    outcome: str = ""
    accepted: str = ""


class PatientForm(EntryForm):
    """The scan-day values of a patient.

    Parameters
    ----------
    data, shows_errors
        As in `EntryForm`.
    images_began_at : datetime, optional
        When the scan began by its images, naive local time; it counts more than what was typed.
    """

    weight_kg = WrittenNumberField(label="Weight", unit="kg", above=0, up_to=400)
    height_cm = WrittenNumberField(label="Height", unit="cm", above=0, up_to=260)
    fasting_h = WrittenNumberField(label="Fasted for", unit="h", above=0, up_to=72, or_equal=True)
    glucose = WrittenNumberField(label="Blood glucose", unit="glucose", above=0, up_to=1_000)
    glucose_unit = forms.ChoiceField(
        label="Blood glucose is in",
        choices=GLUCOSE_UNITS,
        required=False,
        widget=forms.Select(attrs={"class": "form-select"}),
    )
    glucose_time = ClockField(label="Blood glucose measured at")
    injected = WrittenNumberField(label="Injected activity", unit="activity", up_to=10_000)
    injected_time = ClockField(label="Injected at")
    residual = WrittenNumberField(label="Left in the syringe", unit="activity", up_to=10_000, or_equal=True)
    residual_time = ClockField(label="Left measured at")
    scan_time = ClockField(label="Scan began", help_text="For the numbers beside; the images bring the exact time.")

    def __init__(
        self,
        data: Mapping[str, Any],
        *,
        shows_errors: bool = False,
        images_began_at: datetime | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__({"glucose_unit": "mmol/L", **data}, shows_errors=shows_errors, **kwargs)
        self.images_began_at = images_began_at

    @property
    def is_blank(self) -> bool:
        """Whether nothing was written yet."""
        return not (self.entry().keys() - {"unit", "date", "glucose_unit"})

    @property
    def glucose_unit_now(self) -> str:
        """The unit that the blood glucose is written in."""
        return "mg/dL" if self.data.get("glucose_unit") == "mg/dL" else "mmol/L"

    @property
    def glucose_mmol_l(self) -> float | None:
        """The blood glucose, mmol/L."""
        number: float | None = self.value("glucose")
        if number is None or self.glucose_unit_now == "mmol/L":
            return number
        # To a hundredth, a fifth of the meter's own step of 1 mg/dL: 200 mg/dL is the 11.1 mmol/L of the guidelines.
        return round(number / MG_DL_PER_MMOL_L, 2)

    @property
    def scan_at(self) -> datetime | None:
        """When the scan began: by the images' time of day where they are here, else as far as it was written."""
        if self.images_began_at is None:
            return self.at("scan_time")
        # The images' date may have been moved when names were removed; the time of day stays.
        day = self.value("date")
        return datetime.combine(day, self.images_began_at.time()) if day else self.images_began_at

    def revised(self, use: Mapping[str, str]) -> PatientForm:
        """Return the form with a proposal taken."""
        return PatientForm(self.with_changes(use), images_began_at=self.images_began_at)

    def require_whole(self) -> None:
        """Add an error for every time without its value, and every value without its time."""
        for amount, clock, words in (
            ("injected", "injected_time", "the injection"),
            ("residual", "residual_time", "the residual"),
        ):
            if self.data.get(amount, "").strip() and self.value(amount) != 0:
                self._require(clock, f"Enter the time of {words}.")
                self._require("date", "Enter the day of the scan.")
            elif self.data.get(clock, "").strip():
                self._require(amount, f"Enter the activity of {words}.")
        if self.data.get("glucose", "").strip():
            self._require("glucose_time", "Enter the time of the blood glucose.")
            self._require("date", "Enter the day of the scan.")
        elif self.data.get("glucose_time", "").strip():
            self._require("glucose", "Enter the blood glucose.")

    def sheet(self, *, time_zone: str, calibrator: str, kept: Mapping[str, str] | None = None) -> dict[str, Any]:
        """Return the patient's values, with what was typed beside them; same arguments as the phantom's sheet."""
        sheet: dict[str, Any] = {
            "time_zone": time_zone,
            PATIENT: self.values_now(),
            ENTRY: {"typed": self.entry(), "kept": dict(kept or {})},
        }
        if calibrator:
            sheet["calibrator"] = calibrator
        return sheet

    def values_now(self) -> dict[str, Any]:
        """Return what can be read so far, as the rules take it; what is missing is left out."""
        height_cm = self.value("height_cm")
        moments = {name: self.at(name) for name in ("injected_time", "residual_time", "glucose_time")}
        values = {
            "weight_kg": self.value("weight_kg"),
            "height_m": round(height_cm / 100, 4) if height_cm is not None else None,
            "injected_mbq": self.mbq("injected"),
            "injected_at": moments["injected_time"],
            "residual_mbq": self.mbq("residual"),
            "residual_at": moments["residual_time"],
            "glucose_mmol_l": self.glucose_mmol_l,
            "glucose_at": moments["glucose_time"],
            "fasting_h": self.value("fasting_h"),
        }
        return {
            name: value.isoformat() if isinstance(value, datetime) else value
            for name, value in values.items()
            if value is not None
        }

    # --- what the values give ---------------------------------------------------------------

    def net_mbq(self, nuclide: str = "F-18") -> float | None:
        """Return what was injected less what stayed in the syringe, MBq at the injection; None while one is unknown."""
        injected_mbq, residual_mbq = self.mbq("injected"), self.mbq("residual")
        if injected_mbq is None or residual_mbq is None:
            return None
        if residual_mbq == 0:
            return injected_mbq
        injected_at, residual_at = self.at("injected_time"), self.at("residual_time")
        if injected_at is None or residual_at is None or nuclide not in NUCLIDES:
            return None
        syringe = Syringe(
            assayed_mbq=injected_mbq, assayed_at=injected_at, residual_mbq=residual_mbq, residual_at=residual_at
        )
        return syringe.net_mbq(injected_at, NUCLIDES[nuclide].half_life_s)

    def uptake_min(self) -> float | None:
        """Return the minutes from the injection to the scan."""
        began_at, injected_at = self.scan_at, self.at("injected_time")
        if began_at is None or injected_at is None:
            return None
        return (began_at - injected_at).total_seconds() / 60

    def given(self, protocol: Protocol | None) -> list[Given]:
        """Return the numbers that the values give, judged by the protocol in force where there is one."""
        nuclide = protocol.nuclide if protocol else "F-18"
        net_mbq, weight_kg = self.net_mbq(nuclide), self.value("weight_kg")
        per_kg = net_mbq / weight_kg if net_mbq is not None and weight_kg else None
        rows = (
            ("Uptake", "uptake_min", self.uptake_min(), "{:.0f} min"),
            ("Injected, less what was left", "injected_mbq", net_mbq, "{:.1f} MBq"),
            ("Per kilogram", "mbq_per_kg", per_kg, "{:.2f} MBq/kg"),
            ("Blood glucose", "glucose_mmol_l", self.glucose_mmol_l, "{:.1f} mmol/L"),
            ("Fasted", "fasting_h", self.value("fasting_h"), "{:g} h"),
        )
        return [
            _given(words, value, written, protocol.limits.get(name) if protocol else None)
            for words, name, value, written in rows
            if value is not None
        ]

    # --- slips ------------------------------------------------------------------------------

    def slips(self, kept: Mapping[str, str] | None = None) -> list[Slip]:
        """Return the likely slips that nobody has answered yet."""
        return [slip for slip in self._slips() if slip.key not in (kept or {})]

    def _slips(self) -> Iterator[Slip]:
        yield from self._glucose_unit()
        yield from self._activity_unit()
        yield from self._exchanged_residual()
        yield from self._height_in_metres()
        yield from self._hour_of_injection()

    def _glucose_unit(self) -> Iterator[Slip]:
        number, unit = self.value("glucose"), self.glucose_unit_now
        if number is None:
            return
        if unit == "mmol/L" and number > GLUCOSE_MOST_MMOL_L:
            other, then = "mg/dL", f"{number / MG_DL_PER_MMOL_L:.1f} mmol/L"
        elif unit == "mg/dL" and number < GLUCOSE_LEAST_MG_DL:
            other, then = "mmol/L", f"{number * MG_DL_PER_MMOL_L:.0f} mg/dL"
        else:
            return
        yield Slip(
            key=f"GLUCOSE-UNIT/{number:g} {unit}",
            message=f"Check the unit of the blood glucose. {number:g} {unit} cannot be.",
            effect=f"Read as {number:g} {other} it is {then}.",
            proposals=(Proposal(label=f"Use {other}", use={"glucose_unit": other}),),
        )

    def _activity_unit(self) -> Iterator[Slip]:
        number = self.value("injected")
        if not number:
            return
        unit = self.unit_now
        other = "MBq" if unit == "mCi" else "mCi"
        in_mbq = {"MBq": number, "mCi": number * MBQ_PER_MCI}
        low, high = USUAL_MBQ
        if low <= in_mbq[unit] <= high or not low <= in_mbq[other] <= high:
            return
        weight_kg = self.value("weight_kg")
        shown = (
            {one: f"{mbq / weight_kg:.2g} MBq/kg" for one, mbq in in_mbq.items()}
            if weight_kg
            else {one: f"{mbq:.4g} MBq" for one, mbq in in_mbq.items()}
        )
        yield Slip(
            key=f"ACTIVITY-UNIT/{number:g} {unit}",
            message=f"Check the unit of the activity. {number:g} {unit} is not what is injected for a scan.",
            effect=f"With {other} it is {shown[other]} instead of {shown[unit]}.",
            proposals=(Proposal(label=f"Use {other} for all activities", use={"unit": other}),),
        )

    def _exchanged_residual(self) -> Iterator[Slip]:
        injected, residual = self.value("injected"), self.value("residual")
        if injected is None or residual is None or residual <= injected:
            return
        unit = self.unit_now
        yield Slip(
            key=f"RESIDUAL-EXCHANGED/{injected:g}/{residual:g}",
            message=f"More was left in the syringe ({residual:g} {unit}) than injected ({injected:g} {unit}).",
            effect=f"Exchanged, {residual:g} {unit} were injected and {injected:g} {unit} were left.",
            proposals=(
                Proposal(
                    label="Exchange the two", use={"injected": self.data["residual"], "residual": self.data["injected"]}
                ),
            ),
        )

    def _height_in_metres(self) -> Iterator[Slip]:
        height = self.value("height_cm")
        if height is None or not 0.5 <= height <= 2.5:
            return
        yield Slip(
            key=f"HEIGHT-UNIT/{height:g}",
            message=f"Check the height. {height:g} cm cannot be.",
            effect=f"In metres it is {height * 100:.0f} cm.",
            proposals=(Proposal(label=f"Use {height * 100:.0f} cm", use={"height_cm": f"{height * 100:.0f}"}),),
        )

    def _hour_of_injection(self) -> Iterator[Slip]:
        uptake_min, injected_at = self.uptake_min(), self.at("injected_time")
        low, high = USUAL_UPTAKE_MIN
        if uptake_min is None or injected_at is None or uptake_min >= TOO_SOON_MIN:
            return
        proposals = []
        then = []
        for hours, why in ((1, "one hour earlier"), (12, "half a day earlier")):
            earlier = injected_at - timedelta(hours=hours)
            after_min = uptake_min + 60 * hours
            if low <= after_min <= high and earlier.date() == injected_at.date():
                proposals.append(Proposal(label=f"Use {earlier:%H:%M}", use={"injected_time": f"{earlier:%H:%M}"}))
                then.append(f"With {earlier:%H:%M}, {why}, the uptake is {after_min:.0f} min.")
        if proposals:
            seen = (
                f"The scan began {uptake_min:.0f} min after the injection at {injected_at:%H:%M}."
                if uptake_min >= 0
                else f"The scan began {-uptake_min:.0f} min before the injection at {injected_at:%H:%M}."
            )
            yield Slip(
                key=f"INJECTION-HOUR/{injected_at:%H:%M}/{uptake_min:.0f}",
                message=f"Check the time of the injection. {seen}",
                effect=" ".join(then),
                proposals=tuple(proposals),
            )


def _given(words: str, value: float, written: str, limit: Any) -> Given:
    if limit is None:
        return Given(words=words, value=written.format(value))
    return Given(words=words, value=written.format(value), outcome=limit.judge(value).value, accepted=limit.expected)
