"""When: the time from injection to scan, and dates that were moved apart."""

from __future__ import annotations

from phantoms.results import Owner
from qc.conformance import quantities
from qc.conformance.engine import (
    PATIENT,
    Answer,
    Inputs,
    failed,
    judged,
    no_protocol,
    passed,
    rule,
    unknown,
)
from qc.conformance.ingest import ONE_SERIES
from qc.conformance.injection import INJECTION_TIME

_DATES_STEP = "Export again with one setting for all dates, or enter the injection date and time and have it signed."


@rule(
    "TIM-01",
    title="Time from injection to scan within the protocol",
    severity="exclude",
    source="QIBA FDG-PET/CT profile 1.14; EANM FDG guideline 2.0: 60 min, 55 to 75",
    attributes="(0008,0032) (0018,1072) (0018,1078)",
    needs=(INJECTION_TIME,),
    applies_to=PATIENT,
    speaks_for=("SUV-UPTAKE",),
)
def uptake_is_right(inputs: Inputs) -> Answer | None:
    """The first frame of the series began within the protocol's window; when the last one ended is said too."""
    limit = inputs.limit("uptake_min")
    if limit is None:
        return None if inputs.protocol else no_protocol()
    waited = quantities.uptake(inputs)
    if waited is None:
        return unknown(
            "The time of the scan is missing, or cannot be held against the injection's (0008,0032) (0018,1078).",
            observed="missing",
            expected=limit.expected,
            next_step="Export the original series again, with all dates and times.",
            owner=Owner.SITE,
        )
    ended = f" and ended at {waited.end_min:.0f} min" if waited.end_min is not None else ""
    return judged(
        waited.start_min,
        limit,
        f"The scan began {{}} after the injection{ended} (0008,0032) (0018,1072)",
        next_step="Check both times. If they are right nothing can be changed: tell us why.",
    )


@rule(
    "AD-01",
    title="Injection and scan are of one day",
    severity="exclude",
    source="a date that de-identification moved alone makes SUV wrong or impossible",
    attributes="(0018,1078) (0008,0021) (0008,0022)",
    needs=(ONE_SERIES,),
    applies_to=PATIENT,
    speaks_for=("AD-01",),
)
def dates_belong_together(inputs: Inputs) -> Answer:
    """No date of the series was moved apart from the others, or replaced."""
    facts, suv = inputs.facts, inputs.suv
    written = facts.injection.RadiopharmaceuticalStartDateTime or ""
    scanned = f"{facts.first_frame_at:%Y-%m-%d}" if facts.first_frame_at else "missing"
    observed = f"injection {_day(written)}, scan {scanned}"
    expected = "one day, or the day before"
    refusals = [suv.refused, *suv.further_problems] if suv else []
    refused = next((one for one in refusals if one is not None and one.code == "AD-01"), None)
    if refused is not None:
        return failed(refused.detail, observed=observed, expected=expected, next_step=_DATES_STEP, reason="AD-01")
    moved = next((one for one in (suv.warnings if suv else ()) if one.code == "AD-01"), None)
    if moved is not None:
        # The time of day still gives a SUV, so the scan stays and the site is asked.
        return failed(
            moved.detail, observed=observed, expected=expected, severity="query", next_step=_DATES_STEP, reason="AD-01"
        )
    if not written or facts.first_frame_at is None:
        return unknown(
            "The injection has no date in the headers (0018,1078): its time of day was taken on the day of the scan.",
            observed=observed,
            expected=expected,
            severity="info",
        )
    injected_at = suv.administration_time if suv else None
    if injected_at is not None and injected_at.date() != facts.first_frame_at.date():
        return passed("Midnight lies between injection and scan.", observed=observed, expected=expected)
    return passed("Injection and scan are of one day.", observed=observed, expected=expected)


def _day(text: str) -> str:
    return f"{text[:4]}-{text[4:6]}-{text[6:8]}" if len(text) >= 8 else "without date"
