"""What a run gives back beside its findings: the numbers that pages show, and where scan and register differ."""

from __future__ import annotations

import math
from typing import Any

from qc.conformance import quantities
from qc.conformance.engine import Inputs
from qc.conformance.reconstruction import is_as_accredited
from qc.conformance.register import clearance_on, differs
from qc.facts import fingerprint_of
from qc.protocols import ScanDayValues


def shown_of(inputs: Inputs) -> dict[str, Any]:
    """Return ``values``, ``reconstruction``, ``fingerprint`` and ``drifts`` of a scan, as JSON."""
    return {
        "values": _values(inputs),
        "reconstruction": _reconstruction(inputs),
        "fingerprint": fingerprint_of(inputs.facts) if inputs.facts.slices else None,
        "drifts": _drifts(inputs),
    }


def _values(inputs: Inputs) -> dict[str, Any]:
    facts, values = inputs.facts, inputs.values or ScanDayValues()
    waited, clearance = quantities.uptake(inputs), clearance_on(inputs)
    until = clearance.last_day.isoformat() if clearance else None
    return {
        "uptake_min": _rounded(waited.start_min if waited else None, 2),
        "uptake_end_min": _rounded(waited.end_min if waited else None, 2),
        "injected_mbq": _rounded(facts.dose_mbq, 3),
        "net_injected_mbq": _rounded(quantities.site_net_mbq(inputs), 3),
        "weight_kg": facts.PatientWeight,
        "glucose_mmol_l": values.glucose_mmol_l,
        "fasting_h": values.fasting_h,
        "mbq_per_kg": _rounded(quantities.mbq_per_kg(inputs), 3),
        "coverage_mm": _rounded(facts.coverage_mm, 2),
        "scanned_on": inputs.scanned_on.isoformat() if inputs.scanned_on else None,
        "clearance": {"certificate": clearance.certificate, "until": until} if clearance else None,
    }


def _reconstruction(inputs: Inputs) -> dict[str, Any]:
    """Return how the images were made, under the names of the register."""
    facts = inputs.facts
    return {
        "method": facts.ReconstructionMethod,
        "kernel": facts.ConvolutionKernel,
        "filter_fwhm_mm": facts.reconstruction.filter_fwhm_mm,
        "matrix": facts.Columns or None,
        "pixel_mm": _rounded(max(facts.PixelSpacing, default=None), 4),
        "slice_mm": _rounded(facts.step_mm, 4),
    }


def _drifts(inputs: Inputs) -> list[dict[str, str]]:
    """Return what of the scanner the scan shows otherwise than the register, each with both values."""
    facts, registered, profile = inputs.facts, inputs.registered, inputs.profile
    if registered is None:
        return []
    pairs = (
        ("serial", facts.DeviceSerialNumber, registered.serial),
        ("model", facts.ManufacturerModelName, registered.model),
        ("software", facts.SoftwareVersions, registered.software),
    )
    drifts = [
        {"attribute": name, "registered": known, "seen": seen} for name, seen, known in pairs if differs(seen, known)
    ]
    if profile is not None and facts.slices and not is_as_accredited(facts, profile):
        size = f"{facts.Columns} × {max(facts.PixelSpacing, default=0.0):.2f} mm"
        seen = ", ".join(filter(None, (facts.ReconstructionMethod, facts.ConvolutionKernel, size)))
        drifts.append({"attribute": "reconstruction", "registered": profile.name, "seen": seen})
    return drifts


def _rounded(value: float | None, places: int) -> float | None:
    return None if value is None or not math.isfinite(value) else round(value, places)
