"""Findings that several phantom methods give in the same words."""

from __future__ import annotations

from phantoms.results import Finding, Outcome, Owner

LAB_RULE = "the lab's rule"
STEEP_TILT_DEG = 3.0  # the lab's rule: a phantom that lies steeper is to be aligned better


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
