"""What was injected: activity, nuclide, half-life, each checked against what can be."""

from __future__ import annotations

from dataclasses import dataclass

from phantoms.nuclides import NUCLIDE_BY_CODE, NUCLIDES, by_half_life, nuclide_name
from phantoms.suv.header import Injection, SeriesHeader
from phantoms.suv.notes import Notes


@dataclass(frozen=True)
class Tracer:
    """The one injection of a series; activity and half-life are None where they cannot be used."""

    injection: Injection
    dose_bq: float | None
    half_life_s: float | None
    nuclide: str | None


def read_tracer(header: SeriesHeader, notes: Notes) -> Tracer:
    """Read the injection; what is missing or cannot be true is noted as a problem."""
    if len(header.injections) > 1:
        notes.refuse("SUV-TWO-TRACERS", f"{len(header.injections)} injections are listed (0054,0016).")
    notes.note("(0054,0016)", len(header.injections), "injections listed; one is needed")
    injection = header.injections[0] if header.injections else Injection()
    notes.note("(0018,0031)", injection.Radiopharmaceutical, "tracer, as written; nothing is worked out from it")
    nuclide, half_life = _half_life(injection, notes)
    dose_bq = _dose_bq(injection.RadionuclideTotalDose, nuclide, notes)
    return Tracer(injection, dose_bq, half_life, nuclide)


def _dose_bq(dose: float | None, nuclide: str | None, notes: Notes) -> float | None:
    if dose is None or dose <= 0:
        notes.note("(0018,1074)", dose, "injected activity")
        what = "missing" if dose is None else "0 or negative"
        notes.refuse("SUV-NO-DOSE", f"The injected activity is {what} (0018,1074).")
        return None
    dose_bq = dose
    if dose < 1e4:
        dose_bq = dose * 1e6
        notes.warn("SUV-DOSE-MBQ", f"The injected activity of {dose:g} was read as MBq, not Bq (0018,1074).")
    notes.note("(0018,1074)", dose, f"injected activity, {dose_bq:.6g} Bq")
    if not 1e6 <= dose_bq <= 1e11:
        notes.refuse("SUV-DOSE", f"An injected activity of {dose_bq / 1e6:.4g} MBq cannot be (0018,1074).")
        return None
    if nuclide == "F-18" and not 5e7 <= dose_bq <= 7e8:
        notes.warn("SUV-DOSE", f"An injected activity of {dose_bq / 1e6:.4g} MBq is unusual (0018,1074).")
    return dose_bq


def _half_life(injection: Injection, notes: Notes) -> tuple[str | None, float | None]:
    seconds = injection.RadionuclideHalfLife
    nuclide = NUCLIDE_BY_CODE.get(injection.nuclide_code or "") or nuclide_name(injection.nuclide_meaning)
    if seconds is None or seconds <= 0:
        notes.note("(0018,1075)", seconds, "half-life, s")
        notes.refuse("SUV-HALF-LIFE", "The half-life is missing (0018,1075).")
        return nuclide, None
    if nuclide is None:
        nuclide = by_half_life(seconds)
        notes.note("(0054,0300)", None, f"no nuclide is named; the half-life is that of {nuclide or 'none known here'}")
        if nuclide is None:
            notes.refuse(
                "SUV-HALF-LIFE",
                f"No nuclide is named (0054,0300), and no nuclide is known with {seconds:,.5g} s (0018,1075).",
            )
            return None, None
    elif nuclide not in NUCLIDES:
        notes.note("(0054,0300)", nuclide, "nuclide without a half-life here to compare with")
        if not 1 <= seconds <= 1e9:
            notes.refuse("SUV-HALF-LIFE", f"A half-life of {seconds:,.5g} s cannot be (0018,1075).")
            return nuclide, None
        notes.warn("SUV-NUCLIDE", f"The half-life of {nuclide} was taken from the header unchecked (0018,1075).")
    else:
        expected_s = NUCLIDES[nuclide].half_life_s
        notes.note("(0054,0300)", nuclide, f"nuclide, half-life {expected_s:g} s")
        if abs(seconds / expected_s - 1) > 0.01:
            notes.refuse(
                "SUV-HALF-LIFE",
                f"The half-life (0018,1075) is {seconds:,.5g} s; {nuclide} has {expected_s:,.5g} s.",
            )
            return nuclide, None
    notes.note("(0018,1075)", f"{seconds:g}", "half-life, s")
    return nuclide, seconds
