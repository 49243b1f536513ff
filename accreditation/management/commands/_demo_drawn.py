"""The digital scans of the demonstration's second part: phantoms that speak for cases, subjects of a trial.

What must come out of each follows from what is drawn into it: one subject is in order, each other one has one fault.
No rule has a part in it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, time, timedelta
from typing import Any

from accreditation.management.commands import _demo_people as people
from accreditation.management.commands._demo_scans import DemoScan
from phantoms import digital
from phantoms.results import Outcome

#: The grid on which patients and phantoms are drawn: that of the registered reconstruction.
PHANTOM_GRID = {
    "shape_zyx": (60, people.MATRIX, people.MATRIX),
    "spacing_zyx_mm": (people.SLICE_MM, people.PIXEL_MM, people.PIXEL_MM),
}
#: As long as the trial's protocol asks, skull base to mid-thigh.
PATIENT_GRID = PHANTOM_GRID | {"shape_zyx": (205, people.MATRIX, people.MATRIX)}
COV = 0.03
F18_HALF_LIFE_S = 6586.2
DRAWN_MBQ, RESIDUAL_MBQ, RESIDUAL_AFTER = 270.0, 4.0, timedelta(minutes=5)
LATEST_SCAN = time(16)
EARLIEST_SCAN = time(2)
BETWEEN_SCANS = timedelta(minutes=20)


# --- phantoms --------------------------------------------------------------------------------


def evidence(name: str, kind: str, serial: str, scanned_at: datetime, *, bias_pct: float = 0.0) -> DemoScan:
    """Return a phantom of one scanner: in order, or a cylinder that reads high by this much."""

    def make() -> digital.DigitalScan:
        drawing: dict[str, Any] = {"cov": COV, "scanned_at": scanned_at, "seed": int(serial), **PHANTOM_GRID}
        if kind == "cylinder":
            return _of(serial, digital.uniform_cylinder(calibration=1 + bias_pct / 100, **drawing))
        return _of(serial, digital.nema_iq(8.0, **drawing))

    return DemoScan(
        name=name,
        kind=kind,
        truth=f"calibration {bias_pct:+.0f} %" if kind == "cylinder" else "resolution 8 mm",
        expected=Outcome.PASS if abs(bias_pct) <= 10 else Outcome.FAIL,
        margin_sd=math.inf,
        make=make,
    )


def _of(serial: str, scan: digital.DigitalScan, **attributes: Any) -> digital.DigitalScan:
    return replace(scan, attributes={**scan.attributes, "DeviceSerialNumber": serial, **attributes})


# --- subjects --------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Subject:
    """One patient scan of the trial, what is wrong with it, and what must come out.

    Attributes
    ----------
    rules : tuple of str
        Ids of the rules by which it deviates, and of no others.
    expected : Outcome
    """

    code: str
    site: str
    serial: str
    truth: str
    rules: tuple[str, ...] = ()
    expected: Outcome = Outcome.PASS
    uptake_min: int = 60
    weight_kg: float = 72.0
    written_kg: float = 72.0
    kernel: str = people.KERNEL
    software: str = "1"

    def scan(self, scanned_at: datetime) -> DemoScan:
        """Return what the site sends."""
        return DemoScan(
            name=self.code.lower(),
            kind="patient",
            truth=self.truth,
            expected=self.expected,
            margin_sd=math.inf,
            make=lambda: self._draw(scanned_at),
        )

    def _draw(self, scanned_at: datetime) -> digital.DigitalScan:
        uptake = timedelta(minutes=self.uptake_min)
        left_mbq = RESIDUAL_MBQ * 2 ** (RESIDUAL_AFTER.total_seconds() / F18_HALF_LIFE_S)
        drawn = digital.patient_like(
            weight_kg=self.weight_kg,
            true_weight_kg=self.weight_kg,
            dose_bq=1e6 * (DRAWN_MBQ - left_mbq),
            uptake_s=uptake.total_seconds(),
            cov=0.05,
            scanned_at=scanned_at,
            seed=int(self.code[-3:]),
            **PATIENT_GRID,
        )
        (injection,) = drawn.attributes["RadiopharmaceuticalInformationSequence"]
        injected_at = scanned_at - uptake
        values = {
            "weight_kg": self.written_kg,
            "height_m": 1.75,
            "fasting_h": 6.0,
            "glucose_mmol_l": 5.6,
            "glucose_at": (injected_at - timedelta(minutes=10)).isoformat(),
            "injected_mbq": DRAWN_MBQ,
            "injected_at": injected_at.isoformat(),
            "residual_mbq": RESIDUAL_MBQ,
            "residual_at": (injected_at + RESIDUAL_AFTER).isoformat(),
        }
        made = _of(
            self.serial,
            drawn,
            PatientID=self.code,
            SoftwareVersions=self.software,
            ConvolutionKernel=self.kernel,
            RadiopharmaceuticalInformationSequence=[{**injection, "Radiopharmaceutical": "Fluorodeoxyglucose"}],
        )
        return replace(made, sheet={"patient": values})


SUBJECTS = (
    Subject(code="LYM-001", site="south", serial="2", truth="in order"),
    Subject(
        code="LYM-002",
        site="south",
        serial="2",
        truth="scanned 82 min after the injection",
        rules=("TIM-01",),
        expected=Outcome.FAIL,
        uptake_min=82,
    ),
    Subject(
        code="LYM-003",
        site="south",
        serial="2",
        truth="72 kg in the images, 78 kg on the form",
        rules=("PAT-01",),
        expected=Outcome.WARN,
        written_kg=78.0,
    ),
    Subject(
        code="LYM-004",
        site="west",
        serial="3",
        truth="filtered with 2 mm, accredited with 4 mm",
        rules=("REC-04",),
        expected=Outcome.FAIL,
        kernel="XYZ Gauss2.00",
    ),
    Subject(
        code="LYM-005",
        site="west",
        serial="3",
        truth="the scanner's software has changed",
        rules=("REC-07",),
        expected=Outcome.WARN,
        software="2",
    ),
    Subject(
        code="LYM-006",
        site="west",
        serial="4",
        truth="the clearance is suspended on the scan day",
        rules=("REC-08",),
        expected=Outcome.FAIL,
    ),
)


def scan_times(now: datetime) -> Mapping[str, datetime]:
    """Return when each subject was scanned: today by the site's clock, one after another.

    Parameters
    ----------
    now : datetime
        Naive, the site's wall clock.
    """
    latest = min(now, datetime.combine(now.date(), LATEST_SCAN))
    # The injection lies on the same day, also where the demonstration is played in the small hours.
    first = max(latest - len(SUBJECTS) * BETWEEN_SCANS, datetime.combine(now.date(), EARLIEST_SCAN))
    first = first.replace(second=0, microsecond=0)
    return {subject.code: first + k * BETWEEN_SCANS for k, subject in enumerate(SUBJECTS)}
