"""Why a phantom fails a standard, in the words of the one who can mend it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from phantoms import findings, harmonise
from phantoms.artefacts import MATTERS_PCT, quantile
from phantoms.results import Finding, Measurement, Outcome, Owner
from phantoms.sheet import FillUncertainty
from phantoms.sphere_contents import MATTERS_PCT as SMALLEST_BUBBLE_PCT
from phantoms.standards import Standard, judge, load

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from phantoms.artefacts import Wedge
    from phantoms.background_columns import Columns
    from phantoms.localise import NemaPose
    from phantoms.nema_iq import NemaIqResult
    from phantoms.sphere_contents import Contents

_SAME_FACTOR_PCT = 5.0  # spheres and background off by one factor: their biases differ by less than a fill error
# A common factor that a fill alone hardly makes: two standard deviations of what calibrator, two volumes and residual
# may be off by together.
_FILL = FillUncertainty()
_MORE_THAN_A_FILL_PCT = 2 * math.sqrt(_FILL.calibrator_pct**2 + _FILL.volume_pct**2 / 2 + _FILL.residual_pct**2)
_SAME_BLUR = 0.15  # spheres fit one blur where each width lies this near, as a fraction, to the median
_LARGE_MM = (37, 28, 22)  # whose median is the filling
_SLOPE_WARN_PCT_PER_CM = 1.0
_ONE_SIDED_95 = 1.645  # a slope that may reach its rule with this many standard errors is named
_WEDGE_MARGIN_DEG = 10.0  # a sector's ends are known to this, and a sphere is no point
_COUNT_WORDS = ("None", "One", "Two", "Three", "Four", "Five", "Six")


def diagnose(result: NemaIqResult, standard: Standard) -> tuple[Finding, ...]:
    """Say why a phantom fails one standard, where one cause explains it.

    A calibration error lifts or lowers the spheres' filling and the background alike, by more than a fill explains. It
    fails where it lies outside the standard's limits and a recovery fails, and warns else. Where all spheres are off
    beside the background, by more than two fills differ, one of the two fills is not what the sheet says. A blur
    outside the range in which the bands hold is named where a recovery fails: a matter of the reconstruction, whatever
    the calibration. Where the background drifts along the axis, it is named only where a recovery would fail
    without the drift too.

    Parameters
    ----------
    result : NemaIqResult
    standard : Standard
        The edition that decides.

    Returns
    -------
    tuple of Finding
        ``PHA-CALIBRATION`` or ``PHA-FILL``, and ``PHA-FILTER``, as far as they hold; ``PHA-HARMONISE`` where neither
        they nor what the image alone shows (`unevenness`, `sphere_findings`) explain it and a post-filter mends it.
    """
    judged = judge(result.measurements, standard)
    failed = [one for one in judged if "mm_rc_" in one.name and one.verdict is Outcome.FAIL]
    biases = _Biases.of(result)
    factor = None
    if biases is not None:
        factor = _calibration(biases, standard, is_failed=bool(failed)) or _fill(biases)
    advice = next((one for one in result.filter_advice if one.standard_id == standard.id), None)
    # What the drift alone moves out of the bands says nothing of the blur.
    blurred = failed if failed and not _is_of_drift(result, judged) else []
    found = (factor, _filter(result, standard, blurred, advice) if blurred else None)
    causes = tuple(finding for finding in found if finding is not None)
    # What the image alone shows explains the fail as well, and no filter mends it.
    is_explained = bool(causes) or any(one.id in harmonise.MENDED_FIRST for one in result.findings)
    if failed and not is_explained and advice is not None and advice.help is harmonise.Help.FILTER:
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


@dataclass(frozen=True)
class _Biases:
    """What the spheres' filling and the background read over what the sheet says, less 1, per cent.

    ``sd_pct`` is the standard error of their difference from the image's noise.
    """

    spheres_pct: float
    background_pct: float
    sd_pct: float

    @classmethod
    def of(cls, result: NemaIqResult) -> _Biases | None:
        filling = result.sphere_filling
        if filling is None or result.true_sphere_bqml is None or result.true_background_bqml is None:
            return None
        # Where the reading drifts along the axis, the middle of the phantom counts, not the plane of the spheres.
        level = _drift_level(result)
        large = [] if result.contents is None else [result.contents.filling_sd_pct[d] for d in _LARGE_MM]
        return cls(
            100.0 * (filling / level / result.true_sphere_bqml - 1.0),
            100.0 * (result.background_mean / level / result.true_background_bqml - 1.0),
            sorted(large)[1] if large else 0.0,
        )


def _calibration(biases: _Biases, standard: Standard, *, is_failed: bool) -> Finding | None:
    limit = standard.limits.get("cylinder_bias_pct")
    if limit is None:
        return None
    background_pct, spheres_pct = biases.background_pct, biases.spheres_pct
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
        observed=f"spheres {findings.signed(spheres_pct, 1)} %, background {findings.signed(background_pct, 1)} %",
        expected=findings.band(limit.low, limit.high, "%", is_signed=True),
        next_step="Check the calibrator and scanner calibration, then repeat the cylinder. Do not change the filter.",
        owner=Owner.SITE,
        source=limit.source,
        evidence={"spheres_pct": spheres_pct, "background_pct": background_pct},
    )


def _fill(biases: _Biases) -> Finding | None:
    """Name a fill that is not what the sheet says: the one that is farther off, as the scanner is the same for both."""
    ratio_pct = 100.0 * ((1.0 + biases.spheres_pct / 100.0) / (1.0 + biases.background_pct / 100.0) - 1.0)
    if abs(ratio_pct) <= max(_SAME_FACTOR_PCT, 3.0 * biases.sd_pct):
        return None
    is_stock = abs(biases.spheres_pct) >= abs(biases.background_pct)
    off_pct = biases.spheres_pct if is_stock else biases.background_pct
    what, rest = ("All spheres read", "the background") if is_stock else ("The background reads", "the spheres")
    which, volume = ("spheres' stock", "stock") if is_stock else ("background", "phantom")
    return Finding(
        id="PHA-FILL",
        outcome=Outcome.WARN,
        severity="query",
        message=f"{what} {abs(off_pct):.0f} % {'high' if off_pct > 0 else 'low'} against the sheet, {rest} "
        f"{_off(biases.background_pct if is_stock else biases.spheres_pct)}: one fill is not what the sheet says.",
        observed=f"spheres {findings.signed(biases.spheres_pct, 1)} %, "
        f"background {findings.signed(biases.background_pct, 1)} %, "
        f"apart {findings.signed(ratio_pct, 1)} ± {biases.sd_pct:.1f} %",
        expected=f"the same factor within {_SAME_FACTOR_PCT:g} %",
        next_step=f"Check activity, times, residual and volume of the {which}; if they are right, weigh the {volume}, "
        "fill again and repeat the scan.",
        owner=Owner.SITE,
        source=findings.LAB_RULE,
        evidence={"spheres_pct": biases.spheres_pct, "background_pct": biases.background_pct, "ratio_pct": ratio_pct},
    )


def fill_prechecks(result: NemaIqResult) -> tuple[harmonise.Precheck, ...]:
    """Return what a fill that is not the sheet's does to recoveries: none of the bands' where it is the spheres' own.

    A wrong background leaves recoveries as they are; it counts where the ratio that the image shows is no edition's.
    """
    biases = _Biases.of(result)
    found = _fill(biases) if biases is not None else None
    if biases is None or found is None or result.activity_ratio is None:
        return ()
    ratio = result.activity_ratio * (1.0 + biases.spheres_pct / 100.0) / (1.0 + biases.background_pct / 100.0)
    editions = [load(one.standard_id) for one in result.filter_advice]
    is_of_spheres = abs(biases.spheres_pct) >= abs(biases.background_pct)
    if not is_of_spheres and not any(harmonise.failed_fill(one, ratio) for one in editions):
        return ()
    return (harmonise.Precheck("one fill is not what the sheet says", found.next_step),)


def _off(pct: float) -> str:
    return "as it says" if abs(pct) < 1.0 else f"{abs(pct):.0f} % {'high' if pct > 0 else 'low'}"


def _drift_level(result: NemaIqResult) -> float:
    """Return what the plane of the spheres reads over the middle of the phantom by a drift that is named; else 1."""
    if result.columns is None or _slope(result.columns) is None:
        return 1.0
    profile = result.columns.profile
    return 1.0 - profile.slope_pct_per_cm / 1000.0 * float(profile.height_mm.mean())


def _is_of_drift(result: NemaIqResult, judged: Iterable[Measurement]) -> bool:
    """Say whether every recovery would lie inside its band without the drift along the axis that is named."""
    level = _drift_level(result)
    inside = (
        (one.limit_low or 0.0) <= one.value / level <= (one.limit_high or math.inf)
        for one in judged
        if "mm_rc_" in one.name and one.value is not None
    )
    return level != 1.0 and all(inside)


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
        next_step=_filter_step(result, advice, narrower),
        owner=Owner.SITE,
        source=limit.source,
        evidence={"fwhm_mm": {str(sphere.diameter_mm): sphere.fwhm_mm for sphere in result.spheres}},
    )


def _filter_step(result: NemaIqResult, advice: harmonise.FilterAdvice | None, narrower: str) -> str:
    first = [harmonise.MENDED_FIRST[one.id] for one in result.findings if one.id in harmonise.MENDED_FIRST]
    if first:
        return (
            f"First mend {' and '.join(dict.fromkeys(first))}, for recoveries hang on that too. Then reconstruct "
            f"with a {narrower} post-filter if the image is still outside."
        )
    given = harmonise.next_step(advice) if advice is not None else ""
    return given or f"Reconstruct the same data with a {narrower} post-filter and send that series."


# --- what the image alone shows, whatever the standard ------------------------------------------------


def unevenness(columns: Columns | None) -> Iterator[Finding]:
    """Name a slope of the background along the axis and a sector that reads low.

    Yields
    ------
    Finding
        ``PHA-SLOPE`` where the slope is more than noise and may reach 1 %/cm; ``PHA-WEDGE``.
    """
    if columns is None:
        return
    slope, sd = _slope(columns), columns.profile.slope_sd_pct_per_cm
    if slope is not None:
        yield findings.warning(
            "PHA-SLOPE",
            f"The background {'rises' if slope > 0 else 'falls'} by {abs(slope):.1f} % per cm towards the head, so "
            "what a sphere reads depends on where it lies.",
            f"{findings.signed(slope, 2)} ± {sd:.2f} %/cm",
            f"within {_SLOPE_WARN_PCT_PER_CM:g} %/cm with 95 % certainty",
            "Check the scanner's normalisation and that the phantom was mixed, then repeat it.",
            figure="background_profile",
            pct_per_cm=slope,
            sd_pct_per_cm=sd,
        )
    wedge = columns.wedge
    if wedge is not None:
        yield findings.warning(
            "PHA-WEDGE",
            f"A sector of about {wedge.width_deg:.0f}° of the background reads {-wedge.pct:.1f} % lower than the rest; "
            f"its middle lies {findings.direction(wedge.at_deg)}, as a failed detector block leaves it.",
            f"{findings.signed(wedge.pct, 1)} ± {wedge.sd_pct:.1f} %",
            f"under {MATTERS_PCT / 2:g} %, or within noise",
            "Look at the daily check of the detectors, have the block seen to, then repeat the phantom.",
            figure="central_slice",
            at_deg=wedge.at_deg,
            width_deg=wedge.width_deg,
            pct=wedge.pct,
            sd_pct=wedge.sd_pct,
        )


def sphere_findings(pose: NemaPose, contents: Contents | None, columns: Columns | None) -> Iterator[Finding]:
    """Name the sphere that holds less than its siblings, and why.

    A sphere in a sector that reads low (`unevenness`) is low with it: then only a bubble is named.

    Yields
    ------
    Finding
        ``PHA-BUBBLE`` or ``PHA-MISFILL``; ``PHA-SPHERE`` where the image does not tell them apart.
    """
    odd = contents.odd if contents is not None else None
    if odd is None:
        return
    wedge = columns.wedge if columns is not None else None
    if odd.cause != "bubble" and wedge is not None and _lies_in(pose, odd.diameter_mm, wedge):
        return
    name = f"The {odd.diameter_mm} mm sphere"
    observed = f"{findings.signed(-odd.loss_pct, 1)} ± {odd.loss_sd_pct:.1f} %"
    expected = "as the other five spheres foretell, beyond noise"
    evidence = {
        "figure": "odd_sphere",
        "diameter_mm": odd.diameter_mm,
        "loss_pct": odd.loss_pct,
        "loss_sd_pct": odd.loss_sd_pct,
        "bubble_pct": odd.bubble_pct,
        "apart_sd": odd.apart_sd,
    }
    if odd.cause == "bubble":
        yield findings.warning(
            "PHA-BUBBLE",
            f"{name} holds air: a cold cap on its {'upper' if odd.upwards == 'anterior' else 'posterior'} side takes "
            f"up about {odd.bubble_pct:.0f} % of it. The other spheres agree with each other.",
            observed,
            expected,
            f"Fill the {odd.diameter_mm} mm sphere again without air, look at it on the CT, and repeat the scan.",
            **evidence,
        )
    elif odd.cause == "misfill":
        yield findings.warning(
            "PHA-MISFILL",
            f"{name} holds {odd.loss_pct:.0f} % less than the others, evenly: its filling differs, no bubble.",
            observed,
            expected,
            f"Empty and rinse the {odd.diameter_mm} mm sphere, fill it from the stock of the others and repeat "
            "the scan.",
            **evidence,
        )
    else:
        yield findings.warning(
            "PHA-SPHERE",
            f"{name} reads {odd.loss_pct:.0f} % less than the others foretell: air in it, or a thinner filling; the "
            "image does not tell which.",
            observed,
            expected,
            f"Look for air in the {odd.diameter_mm} mm sphere on the CT, fill it again from the stock of the others "
            "and repeat the scan.",
            **evidence,
        )


def sight(contents: Contents | None) -> Iterator[Finding]:
    """Say which bubbles this image cannot show, where no sphere is odd: that would widen the others' limits.

    Yields
    ------
    Finding
        ``PHA-SIGHT``.
    """
    if contents is None or contents.odd is not None:
        return
    hidden = [(diameter, pct) for diameter, pct in contents.limit_pct.items() if pct > SMALLEST_BUBBLE_PCT]
    small = [f"{_size(pct)} of the {diameter} mm sphere" for diameter, pct in hidden]
    listed = " or ".join(filter(None, (", ".join(small[:-1]), *small[-1:])))
    yield Finding(
        id="PHA-SIGHT",
        outcome=Outcome.PASS,
        severity="info",
        message=f"A bubble under {listed} cannot be seen in this image."
        if hidden
        else f"A bubble of {SMALLEST_BUBBLE_PCT:g} % of any sphere would be seen in this image.",
        observed="; ".join(f"{diameter} mm: {pct:.0f} %" for diameter, pct in contents.limit_pct.items()),
        expected=f"{SMALLEST_BUBBLE_PCT:g} % of a sphere",
        source=findings.LAB_RULE,
    )


def _size(pct: float) -> str:
    return f"{pct:.0f} %" if pct < 100.0 else "all"


def _slope(columns: Columns) -> float | None:
    """Return the slope where it is more than noise and may reach the lab's rule, %/cm."""
    slope, sd = columns.profile.slope_pct_per_cm, columns.profile.slope_sd_pct_per_cm
    is_named = abs(slope) > quantile(1) * sd and abs(slope) + _ONE_SIDED_95 * sd > _SLOPE_WARN_PCT_PER_CM
    return slope if is_named else None


def _lies_in(pose: NemaPose, diameter_mm: int, wedge: Wedge) -> bool:
    x, y, _ = pose.spheres[diameter_mm]
    away = (math.degrees(math.atan2(y, x)) - wedge.at_deg + 180.0) % 360.0 - 180.0
    return abs(away) <= wedge.width_deg / 2.0 + _WEDGE_MARGIN_DEG
