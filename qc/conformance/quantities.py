"""The numbers that rules judge and pages show, each worked out in one place; None is what cannot be known."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from phantoms.nuclides import NUCLIDES
from phantoms.suv.reference import DAY_S, shifted
from qc.conformance.engine import Inputs
from qc.facts import Syringe
from qc.protocols import ScanDayValues

MINUTE_S = 60.0


@dataclass(frozen=True, kw_only=True)
class Uptake:
    """Minutes from the injection to the first frame's start and to the last frame's end; the end may be unknown."""

    start_min: float
    end_min: float | None


def uptake(inputs: Inputs) -> Uptake | None:
    """Return how long the tracer was in the body while the scan was made."""
    facts, injected_at = inputs.facts, injection_at(inputs)
    if injected_at is None or facts.first_frame_at is None:
        return None
    ended_at = facts.last_frame_end_at
    return Uptake(
        start_min=(facts.first_frame_at - injected_at).total_seconds() / MINUTE_S,
        end_min=(ended_at - injected_at).total_seconds() / MINUTE_S if ended_at else None,
    )


def injection_at(inputs: Inputs) -> datetime | None:
    """Return when the tracer was given: by the headers, else by what the site wrote; on the headers' days."""
    if inputs.facts.injection_clocks:
        return inputs.suv.administration_time if inputs.suv else None
    return site_injection_at(inputs)


def site_injection_at(inputs: Inputs) -> datetime | None:
    """Return the injection that the site wrote down, as the last such time of day before the scan.

    The headers' dates may have been moved, the times of day stay: so only the time of day is taken.
    """
    written = inputs.values.injected_at if inputs.values else None
    scan_at = inputs.facts.first_frame_at
    if written is None or scan_at is None:
        return None
    at = datetime.combine(scan_at.date(), written.time())
    return at if at <= scan_at else shifted(at, -DAY_S)


def half_life_s(inputs: Inputs) -> float | None:
    """Return the half-life of the nuclide that the headers name."""
    nuclide = NUCLIDES.get(inputs.facts.nuclide or "")
    return nuclide.half_life_s if nuclide else None


def site_net_mbq(inputs: Inputs) -> float | None:
    """Return the activity that was injected by the site's own values, the rest in the syringe taken off.

    A residual that nobody wrote is not known, and not 0: what was drawn is not what was injected.
    """
    values, seconds = inputs.values or ScanDayValues(), half_life_s(inputs)
    if values.injected_mbq is None or values.residual_mbq is None:
        return None
    if values.residual_mbq == 0:
        return values.injected_mbq
    if values.injected_at is None or values.residual_at is None or seconds is None:
        return None
    syringe = Syringe(
        assayed_mbq=values.injected_mbq,
        assayed_at=values.injected_at,
        residual_mbq=values.residual_mbq,
        residual_at=values.residual_at,
    )
    return syringe.net_mbq(values.injected_at, seconds)


def scanner_net_mbq(inputs: Inputs) -> float | None:
    """Return the activity that was injected by what the scanner's console was told of the syringe (GE)."""
    syringe, injected_at, seconds = inputs.facts.syringe, injection_at(inputs), half_life_s(inputs)
    if syringe is None or injected_at is None or seconds is None:
        return None
    return syringe.net_mbq(injected_at, seconds)


def mbq_per_kg(inputs: Inputs) -> float | None:
    """Return the injected activity for each kilogram, by the headers."""
    dose_mbq, weight_kg = inputs.facts.dose_mbq, inputs.facts.PatientWeight
    return dose_mbq / weight_kg if dose_mbq and weight_kg else None
