"""The patient on the scan day: weight, blood glucose, fasting."""

from __future__ import annotations

from phantoms.results import Outcome, Owner
from qc.conformance.engine import PATIENT, Answer, Inputs, failed, judged, no_protocol, passed, rule, unknown
from qc.conformance.ingest import ONE_SERIES
from qc.protocols import ScanDayValues

_RECORD = "Enter the weight from the scan day and attach the record; a physicist signs it."


@rule(
    "PAT-01",
    title="Weight is there, plausible and the site's",
    severity="exclude",
    source="SUV is proportional to the weight: 1 kg in 70 kg is 1.4 %",
    attributes="(0010,1030)",
    needs=(ONE_SERIES,),
    applies_to=PATIENT,
    speaks_for=("SUV-WEIGHT",),
)
def weight_is_right(inputs: Inputs) -> Answer:
    """The headers' weight can be a patient's, and is what the site wrote down on the scan day."""
    weight_kg, plausible = inputs.facts.PatientWeight, inputs.limit("weight_kg")
    if weight_kg is None:
        return unknown(
            "The weight is missing (0010,1030).",
            observed="missing",
            expected="the weight of the scan day",
            next_step=_RECORD,
            owner=Owner.SITE,
        )
    if weight_kg <= 0:
        return failed(
            f"The weight is {weight_kg:g} kg, which is no weight but a placeholder (0010,1030).",
            observed=f"{weight_kg:g} kg",
            expected="the weight of the scan day",
            next_step=_RECORD,
        )
    if plausible and plausible.judge(weight_kg) is Outcome.FAIL:
        return judged(weight_kg, plausible, "The weight is {} (0010,1030)", decimals=1, next_step=_RECORD)
    written_kg = inputs.values.weight_kg if inputs.values else None
    if not written_kg:
        return unknown(
            f"The images say {weight_kg:g} kg (0010,1030); the site's own value is not there to compare.",
            observed=f"{weight_kg:g} kg",
            expected="the site's value",
            severity="query",
            next_step="Enter the weight from the scan day.",
            owner=Owner.SITE,
        )
    return _compared(inputs, weight_kg, written_kg)


def _compared(inputs: Inputs, weight_kg: float, written_kg: float) -> Answer:
    # Weights have few decimals, their differences as floats do not: 32.7 − 31.7 is 1 kg.
    apart_kg = round(abs(weight_kg - written_kg), 6)
    apart_pct = round(100.0 * apart_kg / written_kg, 6)
    limits = [
        (limit, apart)
        for limit, apart in (
            (inputs.limit("weight_difference_kg"), apart_kg),
            (inputs.limit("weight_difference_pct"), apart_pct),
        )
        if limit is not None
    ]
    if not limits:
        return no_protocol()
    observed = f"{weight_kg:g} kg in the images, {written_kg:g} kg by the site"
    expected = " or ".join(limit.words for limit, _ in limits) + " apart"
    # One of the two is enough: 2 % of a heavy patient, 1 kg of a light one.
    if any(limit.judge(apart) is not Outcome.FAIL for limit, apart in limits):
        return passed(
            f"The weight is {weight_kg:g} kg, as the site wrote it down.", observed=observed, expected=expected
        )
    return failed(
        f"The images say {weight_kg:g} kg (0010,1030), the site wrote {written_kg:g} kg: {apart_pct:.1f} % in SUV.",
        observed=observed,
        expected=expected,
        severity="query",
        next_step="Tell us which weight is right, with the record of the scan day.",
    )


@rule(
    "PREP-01",
    title="Blood glucose within the protocol",
    severity="exclude",
    source="EANM FDG guideline 2.0; PERCIST 1.0",
    applies_to=PATIENT,
)
def glucose_is_right(inputs: Inputs) -> Answer | None:
    """The glucose that the site measured before the injection is within the protocol; a missing one is asked for."""
    limit = inputs.limit("glucose_mmol_l")
    if limit is None:
        return None if inputs.protocol else no_protocol()
    glucose = (inputs.values or ScanDayValues()).glucose_mmol_l
    if glucose is None:
        return unknown(
            "The blood glucose is missing.",
            observed="missing",
            expected=limit.expected,
            severity="query",
            next_step="Enter value, unit and time from the scan day.",
            owner=Owner.SITE,
        )
    return judged(
        glucose,
        limit,
        "The blood glucose was {}",
        decimals=1,
        next_step="Check the value and its unit. If it is right, give the reason for scanning all the same.",
    )


@rule(
    "PREP-02",
    title="Fasted as the protocol asks",
    severity="query",
    source="EANM FDG guideline 2.0",
    applies_to=PATIENT,
)
def fasting_is_right(inputs: Inputs) -> Answer | None:
    """The patient fasted long enough before the injection."""
    limit = inputs.limit("fasting_h")
    if limit is None:
        return None if inputs.protocol else no_protocol()
    fasting_h = (inputs.values or ScanDayValues()).fasting_h
    if fasting_h is None:
        return unknown(
            "How long the patient fasted is missing.",
            observed="missing",
            expected=limit.expected,
            next_step="Enter the hours from the scan day.",
            owner=Owner.SITE,
        )
    return judged(
        fasting_h,
        limit,
        "The patient fasted {}",
        decimals=1,
        next_step="Check the value. If it is right, give the reason for scanning all the same.",
    )
