"""Which post-filter brings a NEMA image-quality phantom into the editions: what the search is given."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from phantoms import harmonise, standards
from phantoms.results import QualityFlag

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from phantoms.nema_iq.background import Background
    from phantoms.nema_iq.method import NemaIqResult
    from phantoms.nema_iq.sphere import SphereResult
    from phantoms.nema_iq.truth import Truth
    from phantoms.sheet import Sheet
    from phantoms.sphere_noise import Regions
    from phantoms.volume import PetVolume


def editions_for(sheet: Sheet | None) -> tuple[standards.Standard, ...]:
    """Return the editions made for the nuclide of the sheet; all where there is no sheet."""
    every = map(standards.load, standards.available())
    return tuple(one for one in every if sheet is None or one.nuclide in (None, sheet.nuclide))


def filter_curves(
    volume: PetVolume,
    regions: Mapping[int, Regions],
    background: Background,
    spheres: tuple[SphereResult, ...],
    truth: Truth,
    editions: tuple[standards.Standard, ...],
) -> harmonise.FilterCurves | None:
    """Measure the image behind every post-filter; None where no edition asks, no truth is known or a sphere is cut."""
    sphere_bqml = truth.sphere_bqml if truth.unit_flags is QualityFlag.NONE else None
    known = {"rc"} if sphere_bqml is not None else set()
    known |= {"relative_rc", "crc"} if truth.ratio is not None and truth.ratio > 1.0 else set()
    asked = [one for one in editions if (kinds := harmonise.kinds_limited(one)) and kinds <= known]
    if not asked or not all(sphere.is_whole and not sphere.is_cold for sphere in spheres):
        return None
    limited = regions.items() if harmonise.limits_peak(asked) else ()
    return harmonise.filter_curves(
        volume,
        {diameter: one.box for diameter, one in regions.items()},
        background.regions,
        true_sphere=sphere_bqml,
        ratio=truth.ratio,
        peaks={diameter: one.places for diameter, one in limited if one.places is not None},
    )


def biases_pct_of(truth: Truth, filling: float | None, background: float) -> tuple[float, float] | None:
    """Return what the spheres' filling and the background read over what is true, less 1, per cent."""
    if filling is None or truth.sphere_bqml is None or truth.background_bqml is None:
        return None
    return 100.0 * (filling / truth.sphere_bqml - 1.0), 100.0 * (background / truth.background_bqml - 1.0)


def without_filter(result: NemaIqResult, failed: Iterable[harmonise.Precheck]) -> NemaIqResult:
    """Return the result with its filters held back, as pre-checks fail; recoveries stay as they are.

    A filter is worked out from the recoveries. Where they are not those that the bands are for, it would make up for
    what is not the blur; the recovery itself is what was measured, and is never withheld.
    """
    advice = tuple(harmonise.held_back(one, failed) for one in result.filter_advice)
    told = harmonise.finding(advice)
    if advice == result.filter_advice or told is None:
        return result
    return replace(
        result,
        filter_advice=advice,
        measurements=tuple(
            replace(one, value=None, uncertainty=None, flags=one.flags | QualityFlag.FILTER_CANNOT_HELP)
            if one.name.startswith(harmonise.PREFIX)
            else one
            for one in result.measurements
        ),
        findings=tuple(told if one.id == told.id else one for one in result.findings),
    )
