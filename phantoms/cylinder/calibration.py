"""Why a cylinder fails a standard, or is nearer to failing than its fill explains."""

from __future__ import annotations

from typing import TYPE_CHECKING

from phantoms import findings
from phantoms.results import Finding, Measurement, Outcome, Owner
from phantoms.standards import judge

if TYPE_CHECKING:
    from phantoms.cylinder.method import CylinderResult
    from phantoms.sheet import Budget
    from phantoms.standards import Standard

REPEAT_BELOW_PCT = 12.0  # a fill is known to 3 or 4 %, so a bias just outside its limit is first repeated


def diagnose(result: CylinderResult, standard: Standard) -> tuple[Finding, ...]:
    """Say why a cylinder fails one standard, or is nearer to failing than its fill explains.

    Parameters
    ----------
    result : CylinderResult
    standard : Standard
        The edition that decides.

    Returns
    -------
    tuple of Finding
        ``PHA-CALIBRATION`` or none. It fails where the standard's limit of bias or SUV does, and warns where the bias
        lies beyond two of its standard deviations, which the fill's own budget is the most of.
    """
    judged = {one.name: one for one in judge(result.measurements, standard)}
    plain = {one.name: one for one in result.measurements}
    limited = [judged[name] for name in ("cylinder_bias_pct", "cylinder_suv_mean") if name in judged]
    failed = next((one for one in limited if one.verdict is Outcome.FAIL), None)
    if failed is not None:
        return (_calibration(failed, result.budget, Outcome.FAIL),)
    bias = judged.get("cylinder_bias_pct", plain["cylinder_bias_pct"])
    is_beyond_fill = bias.value is not None and bias.uncertainty is not None and abs(bias.value) > 2 * bias.uncertainty
    return (_calibration(bias, result.budget, Outcome.WARN),) if is_beyond_fill else ()


def _calibration(off: Measurement, budget: Budget | None, outcome: Outcome) -> Finding:
    """Say how far bias or SUV is off, and whether the fill is to be repeated first."""
    value, is_suv = off.value or 0.0, off.unit == "g/mL"
    off_pct = 100 * (value - 1) if is_suv else value
    step = "Check the calibrator and scanner calibration, then repeat the cylinder."
    if abs(off_pct) < REPEAT_BELOW_PCT and budget is not None:
        step = (
            f"The fill itself is known to {budget.total_pct:.0f} %: fill and scan again "
            "before anything is recalibrated."
        )
    low, high = off.limit_low, off.limit_high
    band = findings.band(low, high) if is_suv else findings.band(low, high, "%", is_signed=True)
    if outcome is Outcome.WARN:
        band = f"within {2 * (off.uncertainty or 0.0):.1f} %, two standard deviations of the fill"
    return Finding(
        id="PHA-CALIBRATION",
        outcome=outcome,
        severity="query" if outcome is Outcome.FAIL else "info",  # within its limit the standard's word stands
        message=f"The cylinder reads {abs(off_pct):.0f} % {'high' if off_pct > 0 else 'low'}"
        + (", more than its fill explains." if outcome is Outcome.WARN else "."),
        observed=f"SUV {value:.3f}" if is_suv else f"{findings.signed(value, 1)} %",
        expected=band,
        next_step=step,
        owner=Owner.SITE,
        source=off.source if outcome is Outcome.FAIL else findings.LAB_RULE,
        evidence={"pct": off_pct} | ({} if is_suv else {"figure": "bias"}),
    )
