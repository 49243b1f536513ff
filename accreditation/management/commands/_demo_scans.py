"""The demonstration's digital scans: what is drawn, what must come out of it, and how sure that is.

The expected verdict follows from the drawn truth alone: from the calibration error, and from the analytic recovery of
a blurred sphere (`phantoms.digital.expected_recovery`). No method that will measure the scan has a part in it.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from phantoms import digital, standards
from phantoms.results import Outcome
from phantoms.volume import PetVolume

STANDARD = "earl1_18f"
#: A truth nearer to a limit than this many SD is not drawn: its verdict would be chance.
MIN_MARGIN_SD = 3.0

#: Shift of the measured recovery from its noise-free value, and SD, for (A50, maximum) of each sphere, at 3.2 mm voxels
#: in 2 mm slices; by `bench/recovery_scatter.py`, for two bands of resolution and a noise COV of 4 % and of 8 %.
#: In between both go in proportion.
SCATTER = {
    "sharp": {
        0.04: {
            37: ((+0.005, 0.005), (+0.020, 0.009)),
            28: ((+0.002, 0.007), (+0.007, 0.012)),
            22: ((-0.001, 0.009), (-0.003, 0.013)),
            17: ((-0.005, 0.009), (-0.015, 0.015)),
            13: ((-0.008, 0.011), (-0.021, 0.017)),
            10: ((-0.008, 0.008), (-0.019, 0.014)),
        },
        0.08: {
            37: ((+0.011, 0.008), (+0.046, 0.016)),
            28: ((+0.006, 0.012), (+0.021, 0.022)),
            22: ((+0.002, 0.016), (+0.003, 0.026)),
            17: ((-0.004, 0.016), (-0.014, 0.024)),
            13: ((-0.007, 0.017), (-0.021, 0.025)),
            10: ((-0.007, 0.013), (-0.019, 0.022)),
        },
    },
    "smooth": {
        0.04: {
            37: ((+0.001, 0.006), (+0.006, 0.012)),
            28: ((-0.001, 0.008), (-0.003, 0.012)),
            22: ((-0.003, 0.009), (-0.008, 0.013)),
            17: ((-0.004, 0.007), (-0.011, 0.012)),
            13: ((-0.003, 0.007), (-0.010, 0.010)),
            10: ((-0.002, 0.005), (-0.006, 0.008)),
        },
        0.08: {
            37: ((+0.006, 0.013), (+0.020, 0.023)),
            28: ((+0.001, 0.016), (+0.000, 0.025)),
            22: ((-0.001, 0.017), (-0.006, 0.025)),
            17: ((-0.003, 0.014), (-0.011, 0.021)),
            13: ((-0.003, 0.012), (-0.010, 0.018)),
            10: ((-0.002, 0.010), (-0.005, 0.014)),
        },
    },
}
#: Where one band ends and the other begins; no truth is drawn between 9 and 11 mm.
SHARP_UP_TO_MM = 9.5
#: What is left of the cylinder where a mean can be measured: 20 mm from every wall.
MEASURED_CYLINDER_MM3 = math.pi * 80.0**2 * 160.0


@dataclass(frozen=True)
class DemoScan:
    """One scan to send: what it is called, what must come out, and how to make it.

    Attributes
    ----------
    name : str
        Also the name of its folder.
    kind : str
        ``cylinder``, ``nema_iq`` or ``patient``.
    truth : str
        What was drawn, in words.
    expected : Outcome
        The verdict that the truth has.
    margin_sd : float
        How far the truth lies from the limit that decides, in SD of the measurement; infinite without noise.
    make : callable
        Draws it.
    make_ct : callable or None
        Draws the CT beside it.
    """

    name: str
    kind: str
    truth: str
    expected: Outcome
    margin_sd: float
    make: Callable[[], digital.DigitalScan]
    make_ct: Callable[[digital.DigitalScan], PetVolume] | None = None


def standard_scans() -> list[DemoScan]:
    """Return the five that every demonstration shows."""
    return [
        _cylinder("cylinder", bias_pct=0.0, cov=0.05),
        _cylinder("cylinder-calibration", bias_pct=14.0, cov=0.05),
        _nema_iq("nema-iq", fwhm_mm=8.0, cov=0.07),
        _nema_iq("nema-iq-smooth", fwhm_mm=11.0, cov=0.07),
        _patient("patient-no-weight"),
    ]


def drawn_scans(seed: int) -> list[DemoScan]:
    """Draw new calibration errors, resolutions, poses and noise; the same seed draws the same."""
    dice = random.Random(seed)  # noqa: S311 (a demonstration, not a secret)

    def blur() -> dict[str, float]:
        return {"fwhm_mm": dice.uniform(6.0, 9.0), "cov": dice.uniform(0.03, 0.07)}

    def pose() -> dict[str, Any]:
        return {
            "shift_mm": (dice.uniform(-12, 12), dice.uniform(-12, 12), dice.uniform(-6, 6)),
            "tilt_x_deg": dice.uniform(-1.5, 1.5),
            "tilt_y_deg": dice.uniform(-1.5, 1.5),
            "seed": dice.randrange(2**31),
        }

    def ring() -> dict[str, Any]:
        return {
            "first_angle_deg": dice.uniform(0, 360),
            "is_clockwise": dice.random() < 0.5,
            "is_lid_at_head": dice.random() < 0.5,
            **pose(),
        }

    def sharp_or_smooth(name: str, low_mm: float, high_mm: float) -> DemoScan:
        return _nema_iq(name, fwhm_mm=dice.uniform(low_mm, high_mm), cov=dice.uniform(0.04, 0.08), **ring())

    def torso() -> dict[str, Any]:
        return {
            "liver_suv": dice.uniform(1.6, 2.8),
            "dose_bq": dice.uniform(1.8e8, 4.0e8),
            "seed": dice.randrange(2**31),
        }

    return [
        _sure(lambda: _cylinder("cylinder", bias_pct=dice.uniform(-20, 20), **blur(), **pose()), Outcome.PASS),
        _sure(
            lambda: _cylinder("cylinder-calibration", bias_pct=dice.uniform(-20, 20), **blur(), **pose()), Outcome.FAIL
        ),
        _sure(lambda: sharp_or_smooth("nema-iq", 8.0, 9.0), Outcome.PASS),
        _sure(lambda: sharp_or_smooth("nema-iq-smooth", 11.0, 12.0), Outcome.FAIL),
        _sure(lambda: _patient("patient-no-weight", **torso()), Outcome.NOT_EVALUABLE),
    ]


def _sure(draw: Callable[[], DemoScan], wanted: Outcome) -> DemoScan:
    """Draw until the truth has the wanted verdict and lies far enough from every limit."""
    for _ in range(1000):
        scan = draw()
        if scan.expected is wanted and scan.margin_sd >= MIN_MARGIN_SD:
            return scan
    msg = f"no truth with {wanted} lies {MIN_MARGIN_SD:g} SD from every limit"
    raise AssertionError(msg)


def _cylinder(name: str, *, bias_pct: float, cov: float = 0.05, fwhm_mm: float = 7.0, **pose: Any) -> DemoScan:
    # The noise has a Gaussian autocorrelation of √2 times its own width: so much volume holds one independent value.
    correlated_mm3 = (math.sqrt(4 * math.pi) * fwhm_mm * digital.SIGMA_PER_FWHM) ** 3
    sd_pct = 100 * cov / math.sqrt(MEASURED_CYLINDER_MM3 / correlated_mm3)
    inside_sd = _inside("cylinder_bias_pct", bias_pct) / sd_pct
    return DemoScan(
        name=name,
        kind="cylinder",
        truth=f"calibration {bias_pct:+.1f} %",
        expected=Outcome.PASS if inside_sd >= 0 else Outcome.FAIL,
        margin_sd=abs(inside_sd),
        make=lambda: digital.uniform_cylinder(calibration=1 + bias_pct / 100, fwhm_mm=fwhm_mm, cov=cov, **pose),
    )


def _nema_iq(name: str, *, fwhm_mm: float, cov: float, **pose: Any) -> DemoScan:
    # One number outside its band is enough to fail, so the scan is as sure as its surest number outside.
    inside_sd = min(_inside(*about) / sd for *about, sd in _recoveries(fwhm_mm, cov))
    return DemoScan(
        name=name,
        kind="nema_iq",
        truth=f"resolution {fwhm_mm:.1f} mm, noise {100 * cov:.0f} %",
        expected=Outcome.PASS if inside_sd >= 0 else Outcome.FAIL,
        margin_sd=abs(inside_sd),
        make=lambda: digital.nema_iq(fwhm_mm, cov, **pose),
    )


def _patient(name: str, **values: Any) -> DemoScan:
    return DemoScan(
        name=name,
        kind="patient",
        truth="no weight in the images",
        expected=Outcome.NOT_EVALUABLE,
        margin_sd=math.inf,
        make=lambda: digital.patient_like(weight_kg=None, **values),
    )


def _recoveries(fwhm_mm: float, cov: float) -> Iterator[tuple[str, float, float]]:
    """Yield (name, value to be expected, SD) of each recovery coefficient."""
    few, many = SCATTER["sharp" if fwhm_mm <= SHARP_UP_TO_MM else "smooth"].values()
    share = (cov - 0.04) / 0.04
    for diameter in digital.SPHERE_DIAMETERS_MM:
        expected = digital.expected_recovery(fwhm_mm, diameter)
        for k, name in enumerate(("a50", "max")):
            shift, sd = (
                low + share * (high - low) for low, high in zip(few[diameter][k], many[diameter][k], strict=True)
            )
            yield f"sphere_{diameter}mm_rc_{name}", expected[k] + shift, sd


def _inside(name: str, value: float) -> float:
    """Return how far inside its limits a number lies; negative outside."""
    margin = standards.load(STANDARD).limits[name].margin(value)
    if margin is None:
        msg = f"{STANDARD} has no limit for {name}"
        raise AssertionError(msg)
    return margin
