"""How a cylinder lies and what its uniformity shows, whatever a standard says."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from phantoms import artefacts, findings
from phantoms.results import Finding, Measurement, Outcome

if TYPE_CHECKING:
    from collections.abc import Iterator

    from phantoms.cylinder.noise import Noise
    from phantoms.cylinder.region import Region
    from phantoms.cylinder_pose import CylinderPose
    from phantoms.sheet import Budget, Sheet

# The lab's rules (no confirmed source); they warn and never fail a scan.
SLOPE_WARN_PCT_PER_CM = 1.0
SLICE_WARN_PCT = 5.0
CUPPING_WARN_PCT = 5.0
VOLUME_WARN_PCT = 10.0
# What moves whole slices, in the words of a next step.
_MOVES_SLICES = {"PHA-SLOPE": "the slope along the axis", "PHA-BED-JOIN": "the join of the beds"}
ONE_SIDED_95 = 1.645  # a number that may lie at its rule's limit with this many standard errors is named


def findings_of(
    region: Region, noise: Noise, measured: dict[str, Measurement], sheet: Sheet | None
) -> Iterator[Finding]:
    """Say how the cylinder lies and what its uniformity shows; limits of a standard are `diagnose`'s matter."""
    pose = region.pose
    yield findings.pose(pose.tilt_deg, "regions", residual_mm=pose.residual_mm)
    if region.cut:
        yield findings.warning(
            "PHA-CUT",
            "The edge of the image cuts the cylinder's wall, so where the measured region lies is not sure.",
            "wall at the edge",
            "the whole phantom in the field",
            "Scan again with the whole phantom in the field of view.",
        )
    elif any(pose.is_cut):
        ends = " and ".join(name for name, cut in zip(("foot", "head"), pose.is_cut, strict=True) if cut)
        yield Finding(
            id="PHA-CUT",
            outcome=Outcome.PASS,
            severity="info",
            message=f"The image ends before the cylinder does ({ends} end); {pose.length_mm:.0f} mm of it are seen.",
            observed=f"{pose.length_mm:.0f} mm",
        )
    slope = _number(measured["cylinder_axial_slope_pct_per_cm"])
    section = _section(region, noise)
    if _is_named(*slope, SLOPE_WARN_PCT_PER_CM):
        # Along a tilted axis a slope is also a slant across the slices, which is no wedge.
        section = section.level_along(float(pose.axis[0]), float(pose.axis[1]))
    wedge = section.wedge()
    ring = section.ring(beside=wedge)
    uneven = (*_shading(region, noise, measured, ring), *_artefacts(region, noise, wedge, ring))
    yield from uneven
    causes = [_MOVES_SLICES[one.id] for one in uneven if one.id in _MOVES_SLICES]
    yield from _slice_off(region, measured, causes)
    yield from _volume_finding(pose, sheet)


def _shading(
    region: Region, noise: Noise, measured: dict[str, Measurement], ring: artefacts.Ring | None
) -> Iterator[Finding]:
    """Name slope and cupping where they are more than noise and may reach the lab's rule.

    A ring that meets the middle or the edge moves what cupping compares: then both are compared without it.
    """
    slope, slope_sd = _number(measured["cylinder_axial_slope_pct_per_cm"])
    if _is_named(slope, slope_sd, SLOPE_WARN_PCT_PER_CM):
        yield findings.warning(
            "PHA-SLOPE",
            f"The reading {'rises' if slope > 0 else 'falls'} by {abs(slope):.1f} % per cm towards the head.",
            f"{findings.signed(slope, 2)} ± {slope_sd:.2f} %/cm",
            f"within {SLOPE_WARN_PCT_PER_CM:g} %/cm with 95 % certainty",
            "Check the scanner's normalisation and that the cylinder was mixed, then repeat it.",
            figure="slice_profile",
            pct_per_cm=slope,
            sd_pct_per_cm=slope_sd,
        )
    cupping, cupping_sd = _number(measured["cylinder_cupping_pct"])
    beside_ring = cupping if ring is None else region.cupping_pct(without=ring)
    if _is_named(cupping, cupping_sd, CUPPING_WARN_PCT) and _is_named(beside_ring, cupping_sd, CUPPING_WARN_PCT):
        yield findings.warning(
            "PHA-CUPPING",
            f"The middle reads {abs(cupping):.1f} % {'higher' if cupping > 0 else 'lower'} than the edge.",
            f"{findings.signed(cupping, 1)} ± {cupping_sd:.1f} %",
            f"within {CUPPING_WARN_PCT:g} % with 95 % certainty",
            "Check scatter and attenuation correction, and that the CT shows the whole phantom.",
            figure="radial_profile",
            pct=cupping,
            sd_pct=cupping_sd,
        )


def _slice_off(region: Region, measured: dict[str, Measurement], causes: list[str]) -> Iterator[Finding]:
    """Name the slice that is farthest off the mean of all, where it is more than noise and the lab's rule.

    ``causes`` are what was named already and moves slices: where there is one, no other is to be looked for first.
    """
    deviation, deviation_sd = _number(measured["cylinder_slice_deviation_max_pct"])
    if deviation > max(SLICE_WARN_PCT, artefacts.quantile(int(region.used.sum())) * deviation_sd):
        worst_mm = float(region.height_mm[np.nanargmax(np.where(region.used, np.abs(region.deviation), np.nan))])
        yield findings.warning(
            "PHA-SLICE",
            f"The slice {findings.along_the_axis(worst_mm)} is {deviation:.1f} % off the mean of all.",
            f"{deviation:.1f} ± {deviation_sd:.1f} %",
            f"up to {SLICE_WARN_PCT:g} %",
            f"Mend {' and '.join(causes)} first: this follows from it."
            if causes
            else "Look at the slice profile for a saw-tooth at bed joins or one bad slice.",
            figure="slice_profile",
            height_mm=worst_mm,
            pct=deviation,
            sd_pct=deviation_sd,
        )


def _number(measurement: Measurement) -> tuple[float, float]:
    return measurement.value or 0.0, measurement.uncertainty or 0.0


def _is_named(value: float, sd: float, limit: float) -> bool:
    """Whether a number is more than noise, and its upper 95 % bound reaches the limit."""
    return abs(value) > artefacts.quantile(1) * sd and abs(value) + ONE_SIDED_95 * sd > limit


def _artefacts(
    region: Region, noise: Noise, wedge: artefacts.Wedge | None, ring: artefacts.Ring | None
) -> Iterator[Finding]:
    """Name wedges, rings and steps at bed joins."""
    expected = f"under {artefacts.MATTERS_PCT / 2:g} %, or within noise"
    if wedge is not None:
        yield findings.warning(
            "PHA-WEDGE",
            f"A sector of about {wedge.width_deg:.0f}° reads {-wedge.pct:.1f} % lower than the rest; its middle lies "
            f"{findings.direction(wedge.at_deg)}, as a failed detector block leaves it.",
            f"{findings.signed(wedge.pct, 1)} ± {wedge.sd_pct:.1f} %",
            expected,
            "Look at the daily check of the detectors, have the block seen to, then repeat the cylinder.",
            figure="uniformity_map",
            at_deg=wedge.at_deg,
            width_deg=wedge.width_deg,
            pct=wedge.pct,
            sd_pct=wedge.sd_pct,
        )
    if ring is not None:
        yield findings.warning(
            "PHA-RING",
            f"A ring {ring.radius_mm:.0f} mm round the scanner's axis, {ring.width_mm:.0f} mm wide, reads "
            f"{abs(ring.pct):.1f} % {'higher' if ring.pct > 0 else 'lower'} than what lies beside it.",
            f"{findings.signed(ring.pct, 1)} ± {ring.sd_pct:.1f} %",
            expected,
            "Make a new normalisation, then repeat the cylinder.",
            figure="uniformity_map",
            radius_mm=ring.radius_mm,
            width_mm=ring.width_mm,
            pct=ring.pct,
            sd_pct=ring.sd_pct,
        )
    joins = artefacts.steps(
        region.height_mm[region.used], region.slice_mean[region.used], noise.slice_mean_sd(), noise.length_mm[0]
    )
    if joins:
        largest = max(joins, key=lambda step: abs(step.pct))
        yield findings.warning(
            "PHA-BED-JOIN",
            f"The slice means jump like a saw-tooth, by {abs(largest.pct):.1f} % "
            f"{findings.along_the_axis(largest.height_mm)}, as at the join of two beds.",
            f"{artefacts.listed_steps(joins)} (± {largest.sd_pct:.1f} %)",
            expected,
            "Check normalisation and bed overlap, and that decay is corrected from bed to bed.",
            figure="slice_profile",
            heights_mm=[step.height_mm for step in joins],
            pct=[step.pct for step in joins],
            sd_pct=[step.sd_pct for step in joins],
        )


def _section(region: Region, noise: Noise) -> artefacts.Section:
    """See the region along the axis; the scanner's axis is the middle of the image."""
    inside = region.squared_mm2 < region.radius_mm**2
    # Over its own slice mean: a tilted cylinder reaches the outer rings in some slices only, and a slope is no ring.
    level = np.where(np.isfinite(region.slice_mean), region.slice_mean, region.mean)[region.used]
    image = region.volume.image[region.used] * (region.mean / level)[:, None, None]
    x_mm, y_mm = region.scanner_axes_mm()
    along_z, along_y, along_x = noise.correlation
    return artefacts.Section(
        total=np.where(inside, image, 0.0).sum(axis=0, dtype=np.float64),
        number=inside.sum(axis=0).astype(np.float64),
        x_mm=x_mm,
        y_mm=y_mm,
        mean=region.mean,
        noise=artefacts.Noise(noise.variance, (along_z, along_y, along_x)),
    )


def budget_finding(budget: Budget | None, counting_pct: float) -> Iterator[Finding]:
    """Print what the bias may be off by, part by part."""
    if budget is None:
        return
    parts = [f"{row.what} {row.pct:.2f} % ({row.source})" for row in budget.rows]
    parts.append(f"Counting {counting_pct:.2f} % (the image's own noise)")
    total_pct = math.hypot(budget.total_pct, counting_pct)
    yield Finding(
        id="PHA-BUDGET",
        outcome=Outcome.PASS,
        severity="info",
        message=f"The bias is known to {total_pct:.1f} %, one standard deviation: {'; '.join(parts)}.",
        observed=f"{total_pct:.2f} %",
        source="root of the sum of squares of independent parts",
        evidence={row.what: row.pct for row in budget.rows} | {"Counting": counting_pct, "figure": "bias"},
    )


def _volume_finding(pose: CylinderPose, sheet: Sheet | None) -> Iterator[Finding]:
    """Compare the sheet's volume with the cylinder's in the image, where both of its ends are seen."""
    fill = sheet.fill("cylinder") if sheet else None
    if fill is None or fill.volume_ml is None or any(pose.is_cut):
        return
    seen_ml = math.pi * pose.radius_mm**2 * pose.length_mm / 1000
    off_pct = 100 * (fill.volume_ml / seen_ml - 1)
    if abs(off_pct) > VOLUME_WARN_PCT:
        yield findings.warning(
            "PHA-VOLUME",
            f"The sheet says {fill.volume_ml:.0f} mL; the cylinder in the image holds about {seen_ml:.0f} mL.",
            f"{fill.volume_ml:.0f} mL",
            f"{seen_ml:.0f} mL within {VOLUME_WARN_PCT:g} %",
            "Check the volume on the sheet.",
        )
