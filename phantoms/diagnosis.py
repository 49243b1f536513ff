"""Why a phantom fails a standard, in the words of the one who can mend it."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from phantoms import harmonise
from phantoms.results import Finding, Measurement, Outcome, Owner
from phantoms.sheet import FillUncertainty
from phantoms.standards import Standard, judge

if TYPE_CHECKING:
    from phantoms.nema_iq import NemaIqResult

_SAME_FACTOR_PCT = 5.0  # spheres and background off by one factor: their biases differ by less than a fill error
# A common factor that a fill alone hardly makes: two standard deviations of what calibrator, two volumes and residual
# may be off by together.
_FILL = FillUncertainty()
_MORE_THAN_A_FILL_PCT = 2 * math.sqrt(_FILL.calibrator_pct**2 + _FILL.volume_pct**2 / 2 + _FILL.residual_pct**2)
_SAME_BLUR = 0.15  # spheres fit one blur where each width lies this near, as a fraction, to the median
_COUNT_WORDS = ("None", "One", "Two", "Three", "Four", "Five", "Six")


def diagnose(result: NemaIqResult, standard: Standard) -> tuple[Finding, ...]:
    """Say why a phantom fails one standard, where one cause explains it.

    A calibration error lifts or lowers the spheres' filling and the background alike, by more than a fill explains. It
    fails where it lies outside the standard's limits and a recovery fails, and warns else. A blur outside the range in
    which the bands hold is named where a recovery fails: a matter of the reconstruction, whatever the calibration.

    Parameters
    ----------
    result : NemaIqResult
    standard : Standard
        The edition that decides.

    Returns
    -------
    tuple of Finding
        ``PHA-CALIBRATION``, ``PHA-FILTER``, both or none; ``PHA-HARMONISE`` where neither explains it and a
        post-filter mends it.
    """
    judged = judge(result.measurements, standard)
    failed = [one for one in judged if "mm_rc_" in one.name and one.verdict is Outcome.FAIL]
    calibration = _calibration(result, standard, is_failed=bool(failed))
    advice = next((one for one in result.filter_advice if one.standard_id == standard.id), None)
    found = (calibration, _filter(result, standard, failed, advice) if failed else None)
    causes = tuple(finding for finding in found if finding is not None)
    if failed and not causes and advice is not None and advice.help is harmonise.Help.FILTER:
        return (_mended_by(advice),)
    return causes


def _mended_by(advice: harmonise.FilterAdvice) -> Finding:
    """Name the filter that brings all inside where no other cause is seen: noise alone lifts the hottest voxel."""
    return Finding(
        id="PHA-HARMONISE",
        outcome=Outcome.WARN,
        severity="info",
        message=harmonise.sentence(advice),
        observed="0.0 mm",
        expected=f"{advice.fwhm_mm:.1f} to {advice.widest_mm:.1f} mm",
        next_step=harmonise.next_step(advice),
        owner=Owner.SITE,
        source=harmonise.SOURCE,
    )


def _calibration(result: NemaIqResult, standard: Standard, *, is_failed: bool) -> Finding | None:
    limit = standard.limits.get("cylinder_bias_pct")
    filling = result.sphere_filling
    if limit is None or filling is None or result.true_sphere_bqml is None or result.true_background_bqml is None:
        return None
    background_pct = 100.0 * (result.background_mean / result.true_background_bqml - 1.0)
    spheres_pct = 100.0 * (filling / result.true_sphere_bqml - 1.0)
    bias_pct = (background_pct + spheres_pct) / 2.0
    margin = limit.margin(bias_pct)
    if abs(background_pct - spheres_pct) > _SAME_FACTOR_PCT or margin is None:
        return None
    if margin >= 0 and abs(bias_pct) < _MORE_THAN_A_FILL_PCT:
        return None
    return Finding(
        id="PHA-CALIBRATION",
        outcome=Outcome.FAIL if is_failed and margin < 0 else Outcome.WARN,
        severity="query",
        message=f"All spheres and the background read {abs(bias_pct):.0f} % {'high' if bias_pct > 0 else 'low'}.",
        observed=f"spheres {spheres_pct:+.1f} %, background {background_pct:+.1f} %",
        expected=f"{limit.low:+g} to {limit.high:+g} %",
        next_step="Check the calibrator and scanner calibration, then repeat the cylinder. Do not change the filter.",
        owner=Owner.SITE,
        source=limit.source,
        evidence={"spheres_pct": spheres_pct, "background_pct": background_pct},
    )


def _filter(
    result: NemaIqResult, standard: Standard, failed: list[Measurement], advice: harmonise.FilterAdvice | None
) -> Finding | None:
    limit = standard.limits.get("resolution_fwhm_mm")
    if limit is None or limit.low is None or limit.high is None or result.fwhm_mm is None:
        return None
    fwhm_mm = result.fwhm_mm
    if limit.low <= fwhm_mm <= limit.high:
        return None
    too_smooth = fwhm_mm > limit.high
    widths = [sphere.fwhm_mm for sphere in result.spheres if sphere.fwhm_mm is not None]
    agree = sum(abs(width / fwhm_mm - 1.0) <= _SAME_BLUR for width in widths)
    how_many = "All six fit" if agree == len(result.spheres) else f"{_COUNT_WORDS[agree]} of six fit"
    reads, image, bound = ("low", "smoother", limit.high) if too_smooth else ("high", "sharper", limit.low)
    narrower = "narrower" if too_smooth else "wider"
    as_expected = any(
        one.value is not None
        and (one.value < (one.limit_low or 0.0) if too_smooth else one.value > (one.limit_high or math.inf))
        for one in failed
    )
    opening = f"Small spheres read {reads}: the" if as_expected else "The"
    return Finding(
        id="PHA-FILTER",
        outcome=Outcome.FAIL,
        severity="query",
        message=f"{opening} image is {image} than {standard.title} allows "
        f"({fwhm_mm:.1f} mm, limit {bound:g}). {how_many} one blur of {fwhm_mm:.1f} mm; "
        f"the band allows {limit.low:g} to {limit.high:g}.",
        observed=f"{fwhm_mm:.2f} mm",
        expected=f"{limit.low:g} to {limit.high:g} mm",
        next_step=(harmonise.next_step(advice) if advice is not None else "")
        or f"Reconstruct the same data with a {narrower} post-filter and send that series.",
        owner=Owner.SITE,
        source=limit.source,
        evidence={"fwhm_mm": {str(sphere.diameter_mm): sphere.fwhm_mm for sphere in result.spheres}},
    )
