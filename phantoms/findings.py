"""Findings that several phantom methods give in the same words."""

from __future__ import annotations

from phantoms.results import Finding, Outcome, Owner

LAB_RULE = "the lab's rule"
STEEP_TILT_DEG = 3.0  # the lab's rule: a phantom that lies steeper is to be aligned better


def signed(value: float, decimals: int = 0) -> str:
    """Return a number with its sign in print (+, −); what rounds to nothing has none."""
    text = f"{value:+.{decimals}f}".replace("-", "−")
    return text if text.strip("+−0.") else text[1:]


def band(low: float | None, high: float | None, unit: str = "", *, is_signed: bool = False) -> str:
    """Return a band in words: ``−10 to +10 %``; of one end ``up to +10 %`` or ``from −10 %``; of none nothing."""
    below, above = (
        "" if end is None else f"{end:{'+g' if is_signed and end else 'g'}}".replace("-", "−") for end in (low, high)
    )
    if not (below or above):
        return ""
    words = f"{below} to {above}" if below and above else f"from {below}" if below else f"up to {above}"
    return f"{words} {unit}".rstrip()


def along_the_axis(height_mm: float) -> str:
    """Say where a height along a phantom's axis lies, from its middle, in whole millimetres."""
    if round(height_mm) == 0:
        return "in the middle"
    return f"{abs(height_mm):.0f} mm from the middle towards the {'head' if height_mm > 0 else 'feet'}"


def direction(angle_deg: float) -> str:
    """Say which way a direction across the patient points, in whole degrees from 0 to 359."""
    return f"{round(angle_deg) % 360}° from the patient's left towards the back"


def warning(code: str, message: str, observed: str, expected: str, next_step: str, **evidence: object) -> Finding:
    """Return a warning that the site answers; ``evidence["figure"]`` names the picture that shows it."""
    return Finding(
        id=code,
        outcome=Outcome.WARN,
        severity="query",
        message=message,
        observed=observed,
        expected=expected,
        next_step=next_step,
        owner=Owner.SITE,
        source=LAB_RULE,
        evidence=evidence,
    )


def pose(tilt_deg: float, along_the_axis: str, **evidence: object) -> Finding:
    """Say how steeply a phantom lies (``PHA-POSE``); ``along_the_axis`` is what the method lays along its own axis."""
    steep = tilt_deg > STEEP_TILT_DEG
    return Finding(
        id="PHA-POSE",
        outcome=Outcome.WARN if steep else Outcome.PASS,
        severity="info",
        message=f"The phantom lies {tilt_deg:.1f}° off the scanner's axis"
        + (f"; up to {STEEP_TILT_DEG:.0f}° is usual." if steep else "."),
        observed=f"{tilt_deg:.1f}°",
        expected=f"up to {STEEP_TILT_DEG:.0f}°",
        next_step=f"Align the phantom with the lasers next time; the {along_the_axis} follow its own axis."
        if steep
        else "",
        owner=Owner.SITE if steep else Owner.NOBODY,
        source=LAB_RULE,
        evidence=evidence,
    )


def no_ct() -> Finding:
    """Say that no CT was sent; it decides nothing."""
    return Finding(
        id="PHA-CT-NONE",
        outcome=Outcome.NOT_EVALUABLE,
        severity="info",
        message="No CT was sent with the phantom, so air in the spheres and the water were not looked at.",
        expected="the CT of the same session",
        next_step="Send the CT of the same session with the phantom next time.",
        owner=Owner.NOBODY,
        source="EARL 18F accreditation: PET and CT of the phantom",
    )
