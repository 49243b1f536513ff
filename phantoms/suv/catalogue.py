"""Every code of the SUV: its cause in plain words, the attribute it hangs on, the next step and who can take it.

What raises or warns takes attribute and next step from here; the table in ``phantoms/README.md`` is made from here.
A code's meaning never changes once shipped.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from phantoms.errors import AnalysisRefused
from phantoms.results import Owner


@dataclass(frozen=True)
class Entry:
    """One code: ``letters`` has R where it refuses the SUV and W where it warns beside a given one."""

    code: str
    letters: str
    cause: str
    attribute: str | None
    next_step: str
    owner: Owner


_EXPORT = "Export the series again from the scanner or archive."
_EXPORT_TIMES = "Export the original series again from the scanner or archive, with all dates and times."
_WEIGHT = "Enter the weight from the scan day and attach the record; a physicist signs it."
_HEIGHT = "Enter the height and attach the record; a physicist signs it."
_DOSE = "Export with the injection data, or enter activity, time and residual with evidence."
_TRACER = "Check the tracer chosen at the console. Tell us the tracer that was injected."
_LOOK = "Look at the trace and the images; ask the site where it matters."

CATALOGUE: Mapping[str, Entry] = {
    entry.code: entry
    for entry in (
        # What the pixel values are.
        Entry(
            *("SUV-NOT-CORRECTED", "R", "ATTN, or DECY where decay is corrected, is not among the corrections made"),
            *("(0028,0051)", "Send the corrected series too; we measure that one.", Owner.SITE),
        ),
        Entry(
            *("SUV-CORRECTIONS", "W", "another correction is not named; or decay is, on values said to be undecayed"),
            *("(0028,0051)", _LOOK, Owner.CORE_LAB),
        ),
        Entry(
            *("SUV-UNITS", "R", "the pixel values lead to no SUV"),
            *("(0054,1001)", "Export the series in Bq/mL from the scanner or archive.", Owner.SITE),
        ),
        Entry(
            *("SUV-LBM-120", "W", "SUV by the lean mass with the coefficient 120, taken by a signed decision"),
            *("(0054,1006)", _LOOK, Owner.CORE_LAB),
        ),
        Entry(
            *("SUV-INCONSISTENT", "R", "the slices disagree on what a series has once"),
            *(None, "Send one series at a time, as the scanner made it.", Owner.SITE),
        ),
        Entry(
            *("SUV-DERIVED", "W", "a slice is called DERIVED: perhaps resampled or fused"),
            *("(0008,0008)", "Ask for the scanner's own images.", Owner.CORE_LAB),
        ),
        Entry(
            *("SUV-INTERCEPT", "W", "the rescale intercept is not 0; it was applied"),
            *("(0028,1052)", _LOOK, Owner.CORE_LAB),
        ),
        Entry(
            *("SUV-FACTORS-DISAGREE", "W", "Philips' two ways to the SUV differ by more than 3 %"),
            *("(7053,xx00)", _LOOK, Owner.CORE_LAB),
        ),
        Entry(
            *("SUV-FACTOR-UNDECAYED", "W", "Philips' one factor was used on a series without decay correction"),
            *("(0054,1102)", _LOOK, Owner.CORE_LAB),
        ),
        Entry(
            *("SUV-PRIVATE-NO-CREATOR", "W", "a private value without creator was used, as it can be nothing else"),
            *(None, "Ask for an export that keeps private creators.", Owner.CORE_LAB),
        ),
        # The body.
        Entry("SUV-NO-WEIGHT", "R", "the weight is missing or 0", "(0010,1030)", _WEIGHT, Owner.SITE),
        Entry("SUV-WEIGHT", "RW", "the weight cannot be; or is unusual", "(0010,1030)", _WEIGHT, Owner.SITE),
        Entry("SUV-NO-HEIGHT", "R", "the height is needed, and missing or 0", "(0010,1020)", _HEIGHT, Owner.SITE),
        Entry("SUV-HEIGHT", "R", "the height is needed, and cannot be", "(0010,1020)", _HEIGHT, Owner.SITE),
        Entry("SUV-HEIGHT-CM", "W", "the height was read as centimetres", "(0010,1020)", _LOOK, Owner.CORE_LAB),
        Entry(
            *("SUV-NO-SEX", "R", "the sex is needed, and missing or not M, F or O"),
            *("(0010,0040)", "Enter it from the record; a physicist signs it.", Owner.SITE),
        ),
        Entry(
            *("SUV-SEX-OTHER", "W", "the sex is O: the mean of both formulas was taken"),
            *("(0010,0040)", _LOOK, Owner.CORE_LAB),
        ),
        Entry(
            *("SUV-HABITUS", "R", "the formula does not hold for this body"),
            *("(0010,1030)", "Check weight and height (0010,1030) (0010,1020).", Owner.SITE),
        ),
        # The injection.
        Entry(
            *("SUV-TWO-TRACERS", "R", "several injections are listed"),
            *("(0054,0016)", "Tell us which one this scan shows.", Owner.SITE),
        ),
        Entry("SUV-NO-DOSE", "R", "the activity is missing, 0 or negative", "(0018,1074)", _DOSE, Owner.SITE),
        Entry("SUV-DOSE", "RW", "the activity cannot be; or is unusual", "(0018,1074)", _DOSE, Owner.SITE),
        Entry("SUV-DOSE-MBQ", "W", "the activity was read as MBq", "(0018,1074)", _LOOK, Owner.CORE_LAB),
        Entry(
            *("SUV-HALF-LIFE", "R", "the half-life is missing or not the nuclide's"),
            *("(0018,1075)", _TRACER, Owner.SITE),
        ),
        Entry(
            *("SUV-NUCLIDE", "W", "the half-life of an unlisted nuclide was taken unchecked"),
            *("(0018,1075)", _LOOK, Owner.CORE_LAB),
        ),
        Entry(
            *("SUV-NO-TIME", "R", "there is no injection time, or no date where one is needed"),
            *("(0018,1072)", "Enter the time from the injection record, on the clock you used.", Owner.SITE),
        ),
        Entry(
            *("SUV-INJECTION-TIMES", "W", "two injection times are written and differ"),
            *("(0018,1078)", _LOOK, Owner.CORE_LAB),
        ),
        Entry("SUV-MIDNIGHT", "W", "the injection was taken as the day before", "(0018,1072)", _LOOK, Owner.CORE_LAB),
        Entry(
            *("SUV-UPTAKE", "RW", "the time from injection to scan cannot be; or is unusual"),
            *("(0018,1078)", "Check both times against the injection record.", Owner.SITE),
        ),
        Entry(
            *("AD-01", "RW", "a date was moved or replaced"),
            "(0018,1078)",
            "Export again with one setting for all dates, or enter the injection date and time and have it signed.",
            Owner.SITE,
        ),
        # The instant that the pixel values refer to.
        Entry("SUV-DECAY-UNKNOWN", "R", "DecayCorrection is missing or unknown", "(0054,1102)", _EXPORT, Owner.SITE),
        Entry(
            *("SUV-NO-REFERENCE", "R", "no candidate for the reference time holds"),
            *("(0008,0031)", _EXPORT_TIMES, Owner.SITE),
        ),
        Entry(
            *("SUV-TREF-CONFLICT", "RW", "candidates differ by more than 300 s; or by more than 60 s"),
            "(0008,0031)",
            "Nothing yet: a physicist decides and may ask you for the scanner's start time.",
            Owner.CORE_LAB,
        ),
        Entry(
            *("SUV-CHOICE", "RW", "a physicist's choice of the reference time does not hold; or was followed"),
            *(None, "Choose a candidate that holds, or take the choice back.", Owner.CORE_LAB),
        ),
        Entry(
            *("SUV-OFFSET", "W", "times with an offset from UTC in a series that names none: taken as wall clock"),
            *("(0008,0201)", _LOOK, Owner.CORE_LAB),
        ),
    )
}


def refusal(code: str, detail: str, attribute: str | None = None, next_step: str | None = None) -> AnalysisRefused:
    """Return the refusal of a code in the catalogue, with what was seen.

    Parameters
    ----------
    code, detail : str
        The code, and what was seen, in plain words with the DICOM tag in brackets.
    attribute, next_step : str, optional
        In the place of the catalogue's, where this case hangs on another attribute or asks for something else.

    Raises
    ------
    KeyError
        Where the code is not in the catalogue.
    """
    entry = CATALOGUE[code]
    return AnalysisRefused(code, detail, attribute or entry.attribute, next_step or entry.next_step)
