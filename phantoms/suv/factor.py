"""The factor from rescaled pixel value to SUVbw."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from phantoms.errors import AnalysisRefused
from phantoms.suv.body import LBM_120, Body, read_body, relative_to_bw
from phantoms.suv.header import SeriesHeader
from phantoms.suv.notes import Notes, TraceLine, Warned
from phantoms.suv.reference import Candidate
from phantoms.suv.timing import Timing, read_timing
from phantoms.suv.tracer import Tracer, read_tracer

# Attributes whose difference between slices does not by itself make the SUV ambiguous.
_MAY_DIFFER = {
    "ImageType",
    "private_without_creator",
    "GEScanDateTime",
    "SiemensDecayCorrectionDateTime",
    "DecayCorrectionDateTime",
}
# What is merely missing, and not needed where the pixels hold SUV already.
_MISSING = {"SUV-NO-DOSE", "SUV-NO-TIME", "SUV-NO-REFERENCE", "SUV-NO-WEIGHT", "SUV-DECAY-UNKNOWN"}
_LEAN_TYPES = {
    "LBMJAMES128": ("lbm_james128", "lean mass (James 128)"),
    "LBMJANMA": ("lbm_janmahasatian", "lean mass (Janmahasatian)"),
    "IBW": ("ibw", "ideal weight"),
}


@dataclass(frozen=True, kw_only=True)
class SuvResult:
    """The factor from rescaled pixel value to SUVbw, or the reason why there is none.

    Attributes
    ----------
    factor_g_per_bq : float or None
        Multiplies the rescaled pixel value, for every Units. None where refused or where it differs by slice.
    factors_by_slice : tuple of float or None
        One factor a plane, in the order of the header's slices, where they differ (DecayCorrection NONE).
    body_weight_factors : mapping
        Factors to ``bw``, ``lbm_james128``, ``lbm_janmahasatian``, ``bsa`` and ``ibw``; None with its reason in
        `body_weight_reasons`.
    reference_time : datetime or None
        The instant that the pixel values refer to, also where the SUV itself is refused. Wall clock of the scanner.
    administration_time : datetime or None
    decayed_activity_bq : float or None
        The administered activity at the reference time.
    refused : AnalysisRefused or None
        Why no factor is given; what else is missing stands in `further_problems`.
    nuclide : str or None
        The nuclide that the headers name, by code, words or half-life.
    half_life_s : float or None
        The half-life that decay is worked out with.
    """

    factor_g_per_bq: float | None = None
    factors_by_slice: tuple[float, ...] | None = None
    body_weight_factors: Mapping[str, float | None] = field(default_factory=dict)
    body_weight_reasons: Mapping[str, str] = field(default_factory=dict)
    reference_time: datetime | None = None
    administration_time: datetime | None = None
    decayed_activity_bq: float | None = None
    candidates: tuple[Candidate, ...] = ()
    trace: tuple[TraceLine, ...] = ()
    warnings: tuple[Warned, ...] = ()
    refused: AnalysisRefused | None = None
    further_problems: tuple[AnalysisRefused, ...] = ()
    nuclide: str | None = None
    half_life_s: float | None = None

    def as_json(self) -> dict[str, Any]:
        """Return the ``suv`` object of the offline contract."""
        return {
            "factor_g_per_bq": self.factor_g_per_bq,
            "factors_by_slice": list(self.factors_by_slice) if self.factors_by_slice else None,
            "body_weight_factors": dict(self.body_weight_factors),
            "body_weight_reasons": dict(self.body_weight_reasons),
            "reference_time": self.reference_time.isoformat() if self.reference_time else None,
            "administration_time": self.administration_time.isoformat() if self.administration_time else None,
            "decayed_activity_bq": self.decayed_activity_bq,
            "candidates": [candidate.as_json() for candidate in self.candidates],
            "trace": [line.as_json() for line in self.trace],
            "warnings": [warning.as_json() for warning in self.warnings],
            "refused": self.refused.as_json() if self.refused else None,
            "further_problems": [problem.as_json() for problem in self.further_problems],
            "nuclide": self.nuclide,
            "half_life_s": self.half_life_s,
        }


def suv_factor(header: SeriesHeader, *, chosen_reference: str | None = None, accepts_lbm120: bool = False) -> SuvResult:
    """Work out the factor from rescaled pixel value to SUVbw for one series.

    Parameters
    ----------
    header : SeriesHeader
    chosen_reference : str, optional
        The id of the candidate (``R4``) that a physicist chose by a signed decision. Its preconditions must hold; what
        differs from it then only warns.
    accepts_lbm120 : bool
        Whether a physicist accepted, by a signed decision, the lean mass with the coefficient 120 (SUV type LBM): GML
        values by it are then turned into SUVbw, and ``lbm_120`` is among the factors.

    Returns
    -------
    SuvResult
        Always; `SuvResult.refused` says why where there is no factor.
    """
    notes = Notes()
    _check_consistency(header, notes)
    _check_corrections(header, notes)
    scaling = _scaling(header, notes, accepts_lbm120=accepts_lbm120)
    _check_offsets(header, scaling, notes)
    body = read_body(header, notes, accepts_lbm120=accepts_lbm120)
    tracer = read_tracer(header, notes)
    timing = read_timing(header, tracer, notes, chosen_reference)
    needed, bystanding = _split_problems(notes, scaling, body)
    notes.warnings += [Warned(problem.code, problem.detail) for problem in bystanding]
    factors: tuple[float, ...] = ()
    if not needed:
        factors = _factors(scaling, body, tracer, timing, header, notes, bystanding)
    factor = factors[0] if len(set(factors)) == 1 else None
    by_kind, reasons = body.factors(factor, differs_by_slice=len(set(factors)) > 1)
    _note_factors(factors, by_kind, reasons, notes)
    return SuvResult(
        factor_g_per_bq=factor,
        factors_by_slice=factors if len(set(factors)) > 1 else None,
        body_weight_factors=by_kind,
        body_weight_reasons=reasons,
        reference_time=timing.reference,
        administration_time=timing.administered,
        decayed_activity_bq=timing.decayed_bq(tracer),
        candidates=timing.candidates,
        trace=tuple(notes.trace),
        warnings=tuple(notes.warnings),
        refused=_with_the_rest(needed) if needed else None,
        further_problems=tuple(needed[1:]),
        nuclide=tracer.nuclide,
        half_life_s=tracer.half_life_s,
    )


def _note_factors(
    factors: tuple[float, ...], by_kind: Mapping[str, float | None], reasons: Mapping[str, str], notes: Notes
) -> None:
    """Close the trace with what came out, by kind."""
    if len(set(factors)) > 1:
        ends = f"{min(factors):.9e} to {max(factors):.9e}"
        notes.note("SUVbw", ends, f"factors from rescaled pixel value to SUVbw, {len(factors)} slices, g/mL")
    for kind, value in by_kind.items():
        unit = "cm²/mL" if kind == "bsa" else "g/mL"
        made = f"factor from rescaled pixel value to SUV{kind}, {unit}"
        if value is not None:
            notes.note(f"SUV{kind}", f"{value:.9e}", made)
        elif len(set(factors)) < 2 or kind != "bw":
            notes.note(f"SUV{kind}", None, f"not given: {reasons.get(kind, '')}")


def _with_the_rest(problems: list[AnalysisRefused]) -> AnalysisRefused:
    """Return the first problem, its text followed by what else stands in the way: a site is asked once."""
    first = problems[0]
    rest = " ".join(problem.detail for problem in problems[1:])
    detail = f"{first.detail} Also: {rest}" if rest else first.detail
    return AnalysisRefused(first.code, detail, first.attribute, first.next_step)


# --- what the headers say of themselves --------------------------------------------------------------------------


def _check_consistency(header: SeriesHeader, notes: Notes) -> None:
    names = [name for name in header.differing if name not in _MAY_DIFFER]
    if names:
        notes.refuse(
            "SUV-INCONSISTENT",
            f"The slices of this series do not agree on {', '.join(names)}.",
        )
    found = {one.RescaleIntercept for one in header.slices} - {None}
    intercepts = sorted(value for value in found if value is not None)
    ends = f"{intercepts[0]:g} to {intercepts[-1]:g}" if intercepts else None
    notes.note("(0028,1052)", ends, "rescale intercept; applied with each slice's own slope (0028,1053)")
    if any(intercepts):
        notes.warn("SUV-INTERCEPT", "The rescale intercept is not 0, as PET must have it; it was applied (0028,1052).")

    if header.is_derived:
        notes.warn(
            "SUV-DERIVED",
            "The images are derived, not the scanner's own: they may have been resampled or changed (0008,0008).",
        )


def _check_offsets(header: SeriesHeader, scaling: _Scaling | None, notes: Notes) -> None:
    """Say which times carry an offset that nothing can be compared with; SUV that need no times are left alone."""
    tags = header.offsets_without_zone
    if tags and (scaling is None or scaling.to_bqml is not None):
        notes.warn(
            "SUV-OFFSET",
            f"Times have an offset from UTC {' '.join(tags)}, and the series has none (0008,0201): they were taken as "
            "the scanner's wall clock. A wrong hour would change the SUV by up to 46 % (F-18).",
        )


def _check_corrections(header: SeriesHeader, notes: Notes) -> None:
    done = set(header.CorrectedImage)
    notes.note("(0028,0051)", "\\".join(header.CorrectedImage) or None, "corrections that the scanner made")
    if "ATTN" not in done:
        detail = (
            "This series is not attenuation corrected (0028,0051)."
            if done
            else "The headers do not say whether this series is attenuation corrected (0028,0051)."
        )
        notes.refuse("SUV-NOT-CORRECTED", detail)
    elif header.DecayCorrection in {"START", "ADMIN"} and not done & {"DECY", "DECAY"}:
        notes.refuse(
            "SUV-NOT-CORRECTED",
            f"DecayCorrection is {header.DecayCorrection} (0054,1102), but decay is not among the corrections made "
            "(0028,0051).",
            next_step="Export the series again from the scanner or archive.",
        )
    if header.DecayCorrection == "NONE" and done & {"DECY", "DECAY"}:
        notes.warn(
            "SUV-CORRECTIONS",
            "DecayCorrection is NONE (0054,1102), and decay is named among the corrections made (0028,0051): the "
            "values were taken as not decay corrected.",
        )
    missing = [name for name in ("SCAT", "DTIM", "NORM") if name not in done]
    missing += [] if any(name.startswith("RAN") for name in done) else ["RAN"]
    if done and missing:
        notes.warn("SUV-CORRECTIONS", f"These corrections are not named: {', '.join(sorted(missing))} (0028,0051).")


@dataclass(frozen=True)
class _Scaling:
    """How a rescaled pixel value becomes SUVbw.

    `to_bqml` leads to Bq/mL, from where weight, activity and times lead on; `to_suvbw` leads to SUVbw at once, or
    over the body size named `through`. Philips' factors may give both; then the second is a check of the first.
    """

    to_bqml: float | None = None
    to_suvbw: float | None = None
    through: str | None = None


def _scaling(header: SeriesHeader, notes: Notes, *, accepts_lbm120: bool) -> _Scaling | None:
    units, kind = header.Units, header.SUVType
    if accepts_lbm120:
        notes.note("accepts the coefficient 120", True, "signed decision: lean mass 120 may be used")
    if units == "BQML":
        said = f"; the SUV type {kind} (0054,1006) says nothing of them" if kind else ""
        notes.note("(0054,1001)", units, f"pixel values are Bq/mL{said}")
        return _Scaling(to_bqml=1.0)
    if units == "CNTS":
        return _scaling_of_counts(header, notes)
    if units == "GML" and kind in {None, "BW"}:
        notes.note("(0054,1001) (0054,1006)", f"{units} {kind or 'no type, so BW'}", "pixel values are SUVbw already")
        return _Scaling(to_suvbw=1.0)
    if units == "GML" and kind in _LEAN_TYPES:
        through, words = _LEAN_TYPES[kind]
        notes.note("(0054,1001) (0054,1006)", f"{units} {kind}", f"pixel values are SUV by {words}: × weight / {words}")
        if header.PatientSex == "O":
            notes.warn("SUV-SEX-OTHER", f"The sex is O: {words} is the mean of both formulas (0010,0040).")
        return _Scaling(to_suvbw=1.0, through=through)
    if units == "GML" and kind == "LBM" and accepts_lbm120:
        words = "lean mass (coefficient 120)"
        notes.note("(0054,1001) (0054,1006)", f"{units} {kind}", f"pixel values are SUV by {words}: × weight / {words}")
        notes.warn("SUV-LBM-120", f"The pixel values were taken as SUV by {words}, by a signed decision (0054,1006).")
        return _Scaling(to_suvbw=1.0, through=LBM_120)
    if units == "CM2ML" and kind in {None, "BSA"}:
        notes.note("(0054,1001) (0054,1006)", f"{units} {kind or 'no type'}", "SUV by body surface: × weight / surface")
        return _Scaling(to_suvbw=1.0, through="bsa")
    if units is None:
        detail = "The headers do not say what the pixel values are: Units is missing (0054,1001)."
    elif units == "GML" and kind == "LBM":
        detail = "The pixel values are SUV by a lean mass whose formula is not in use any more (LBM) (0054,1006)."
    elif units in {"GML", "CM2ML"}:
        detail = f"Units {units} (0054,1001) does not go with SUV type {kind} (0054,1006)."
    else:
        detail = f"Pixel values in {units} cannot be turned into SUV (0054,1001)."
    notes.note("(0054,1001) (0054,1006)", f"{units or '–'} {kind or ''}".strip(), "refused")
    notes.refuse("SUV-UNITS", detail)
    return None


def _scaling_of_counts(header: SeriesHeader, notes: Notes) -> _Scaling | None:
    names = {"SUVScaleFactor": "(7053,xx00)", "ActivityConcentrationScaleFactor": "(7053,xx09)"}
    values: dict[str, float | None] = {}
    for name, tag in names.items():
        values[name] = header.philips_factor(name)
        if values[name] is not None and name in header.private_without_creator:
            notes.warn(
                "SUV-PRIVATE-NO-CREATOR",
                f"{tag} has no private creator; with counts from Philips it cannot be anything else, so it was used.",
            )
    suv_scale, activity_scale = values["SUVScaleFactor"], values["ActivityConcentrationScaleFactor"]
    notes.note("(0054,1001)", header.Units, "pixel values are counts, scaled by Philips' factors")
    if suv_scale is None and activity_scale is None:
        notes.refuse(
            "SUV-UNITS",
            "The pixel values are counts (CNTS) and the factors that turn them into SUV are not in the files "
            "(7053,1000 and 1009).",
            next_step="Export again from the scanner or archive. If your anonymiser drops private tags, keep group "
            "7053.",
        )
        return None
    if suv_scale is not None:
        notes.note("(7053,xx00)", suv_scale, "used: SUVbw for each count")
        if header.DecayCorrection == "NONE":
            notes.warn(
                "SUV-FACTOR-UNDECAYED",
                "The series is not decay corrected (0054,1102), but Philips' one factor for all slices was used "
                "(7053,xx00).",
            )
    if activity_scale is not None:
        use = "check of (7053,xx00)" if suv_scale is not None else "used: Bq/mL for each count"
        notes.note("(7053,xx09)", activity_scale, use)
    return _Scaling(to_bqml=activity_scale, to_suvbw=suv_scale)


# --- the factor --------------------------------------------------------------------------------------------------


def _split_problems(
    notes: Notes, scaling: _Scaling | None, body: Body
) -> tuple[list[AnalysisRefused], list[AnalysisRefused]]:
    """Return the problems that refuse the SUV, and those that matter only for what is not needed here."""
    order = [
        "SUV-NOT-CORRECTED",
        "SUV-UNITS",
        "SUV-INCONSISTENT",
        "SUV-TWO-TRACERS",
        "SUV-NO-WEIGHT",
        "SUV-WEIGHT",
        "SUV-NO-DOSE",
        "SUV-DOSE",
        "SUV-HALF-LIFE",
        "SUV-NO-TIME",
        "SUV-CHOICE",
    ]
    always = set(order[:4])
    problems = sorted(notes.problems, key=lambda one: order.index(one.code) if one.code in order else len(order))
    if scaling is None or scaling.to_suvbw is None:
        return problems, []
    if scaling.through:
        always |= {"SUV-NO-WEIGHT", "SUV-WEIGHT"}
    needed = [problem for problem in problems if problem.code in always]
    if scaling.through and scaling.through in body.problems:
        needed.append(body.problems[scaling.through])
    bystanding = [p for p in problems if p.code not in always and p.code not in _MISSING]
    return needed, bystanding


def _factors(
    scaling: _Scaling | None,
    body: Body,
    tracer: Tracer,
    timing: Timing,
    header: SeriesHeader,
    notes: Notes,
    bystanding: list[AnalysisRefused],
) -> tuple[float, ...]:
    """Return the factor of every slice; one, if the series lists no slices."""
    if scaling is None:
        return ()
    count = max(len(header.slices), 1)
    if scaling.to_suvbw is not None:
        factor = scaling.to_suvbw
        if scaling.through and body.weight_kg:
            size = body.sizes[scaling.through].value or math.nan
            factor /= relative_to_bw(scaling.through, size, body.weight_kg)
        if scaling.to_bqml is not None and not bystanding:
            _check_philips(factor, _factors_from_bqml(scaling.to_bqml, body, tracer, timing, header, None), notes)
        return (factor,) * count
    return _factors_from_bqml(scaling.to_bqml or math.nan, body, tracer, timing, header, notes)


def _check_philips(factor: float, checks: tuple[float, ...], notes: Notes) -> None:
    apart = max((abs(check / factor - 1) for check in checks), default=0.0)
    if apart > 0.03:
        notes.warn(
            "SUV-FACTORS-DISAGREE",
            f"Philips' SUV factor differs by {100 * apart:.1f} % from the way over Bq/mL (7053,xx00) (7053,xx09).",
        )


def _factors_from_bqml(
    to_bqml: float, body: Body, tracer: Tracer, timing: Timing, header: SeriesHeader, notes: Notes | None
) -> tuple[float, ...]:
    """Return the factor of every slice on the way over Bq/mL; none where something for it is missing."""
    if body.weight_kg is None or tracer.dose_bq is None:
        return ()
    grams = body.weight_kg * 1000
    if timing.correction == "NONE":
        return _factors_of_frames(to_bqml * grams, tracer, timing, notes)
    activity_bq = timing.decayed_bq(tracer)
    if activity_bq is None:
        return ()
    if notes:
        decay = "not decayed (ADMIN)" if timing.correction == "ADMIN" else "D · 2^(−(t_ref − t_adm) / T½)"
        notes.note("D(t_ref)", f"{activity_bq:.9e}", f"activity that the pixel values refer to, Bq: {decay}")
        notes.note("factor", "1000 · W / D(t_ref)", "times what turns the pixel values into Bq/mL")
    return (to_bqml * grams / activity_bq,) * max(len(header.slices), 1)


def _factors_of_frames(grams: float, tracer: Tracer, timing: Timing, notes: Notes | None) -> tuple[float, ...]:
    """Return per-slice factors of a series without decay correction.

    ``W/D · e^(λ(t_frame − t_adm))``; with t_frame at the frame's mean activity that is
    ``W/D · λT/(1 − e^(−λT)) · e^(λ(t_acq − t_adm))``.
    """
    if timing.administered is None or tracer.half_life_s is None or tracer.dose_bq is None:
        return ()
    waits_s = [(moment - timing.administered).total_seconds() for moment in timing.moments]
    factors = tuple(grams / tracer.dose_bq * 2.0 ** (wait_s / tracer.half_life_s) for wait_s in waits_s)
    if notes and factors:
        notes.note("factor", "1000 · W / D · 2^((t_frame − t_adm) / T½)", "decay corrected here, slice by slice")
    return factors
