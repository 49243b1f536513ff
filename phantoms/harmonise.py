"""Which Gaussian post-filter brings an image-quality phantom into the recovery bands of an edition.

The phantom's own image is filtered, in steps of 0.1 mm from 0 to 12 mm, and measured again: background, hottest voxel,
50 % isocontour, and the 1 mL peak where an edition limits it. Only what is measured is filtered, the neighbourhood of
the spheres and the background's regions, by small matrices along each axis; there it is the filter of the whole image.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage

from phantoms.findings import band
from phantoms.metrics import isocontour
from phantoms.results import Finding, Measurement, Outcome, Owner, QualityFlag
from phantoms.spheres import FWHM_PER_SIGMA, SearchBox

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from phantoms.metrics import PeakPlaces
    from phantoms.rois import Roi
    from phantoms.sphere_noise import Parts
    from phantoms.standards import Limit, Standard
    from phantoms.volume import PetVolume

STEP_MM = 0.1
WIDEST_MM = 12.0
COV = "background_cov_pct"
CALIBRATION = "cylinder_bias_pct"
SOURCE = f"Gaussian post-filters of this image, 0 to {WIDEST_MM:g} mm in steps of {STEP_MM:g} mm"
#: What moves recoveries and no filter mends, by the code of the finding that names it from the image alone.
MENDED_FIRST: Mapping[str, str] = {
    "PHA-SLOPE": "the drift along the axis",
    "PHA-WEDGE": "the sector that reads low",
}
#: What makes a recovery none of those that the bands are for, by the code of the finding that names it.
PRECHECKS: Mapping[str, str] = {
    "PHA-BUBBLE": "a sphere holds air",
    "PHA-MISFILL": "one sphere is filled otherwise than the others",
    "PHA-SPHERE": "one sphere reads lower than the others foretell",
    "PHA-CT-BUBBLE": "a sphere holds air",
    "PHA-CT-WATER": "the phantom does not read as plain water on its CT",
}
RATIO = "activity_ratio"
PREFIX = "harmonisation_filter_"

_RECOVERY = re.compile(r"sphere_(?P<diameter>\d+)mm_(?P<kind>rc|relative_rc|crc)_(?P<metric>a50|max|peak)")
_SLOPE_STEPS = 5  # a slope is taken over so many steps to either side
_TRUNCATE = 4.0  # the kernel ends after so many standard deviations


class Help(Enum):
    """What a post-filter can do for one edition."""

    NOT_NEEDED = "not needed"
    FILTER = "filter"
    BELOW_BAND = "below the band"  # filtering cannot raise recovery
    NO_FILTER_FITS = "no filter fits"
    TOO_NOISY = "too noisy"  # the noise exceeds its limit before any filter, which must not be what saves it
    CALIBRATION_FIRST = "calibration first"  # spheres and background are off by one factor, which no filter mends
    PRECHECK_FIRST = "pre-check first"  # a pre-check fails, so these are not the recoveries that the bands are for


@dataclass(frozen=True)
class Precheck:
    """Why an image's recoveries are not those that the bands are for, as half a sentence, and what mends it."""

    reason: str
    next_step: str


@dataclass(frozen=True)
class FilterCurves:
    """One image behind every filter.

    Attributes
    ----------
    fwhm_mm : ndarray, shape (n,)
        The filters, 0 first.
    recovery : mapping of str to ndarray, shape (n,)
        Recoveries by measurement name; what hangs on a truth that is not known, or is cut, is left out.
    cov_pct : ndarray, shape (n,)
        Background noise.
    """

    fwhm_mm: NDArray[np.float64]
    recovery: Mapping[str, NDArray[np.float64]]
    cov_pct: NDArray[np.float64]


@dataclass(frozen=True)
class FilterAdvice:
    """What was found for one edition.

    Attributes
    ----------
    standard_id, title : str
        The edition.
    help : Help
    fwhm_mm, widest_mm : float or None
        The narrowest filter that keeps every recovery inside its band, and the widest of the unbroken run that begins
        with it; None where none is proposed.
    best_mm : float
        The proposed filter, or where there is none that of the smallest violation, the sum of the squared distances
        outside the bands; 0 where recovery lies below a band before any filter.
    limiting : str
        The measurement with the smallest margin at ``best_mm``.
    margin : float
        That margin, in recovery; negative outside the band.
    cov_pct : float
        Background noise behind ``best_mm``.
    fwhm_sd_mm, widest_sd_mm, margin_sd : float or None
        One standard deviation each; None where there is no such number, or it is an end of the search.
    failed : tuple of Precheck
        The pre-checks that fail, so that no filter is proposed.
    """

    standard_id: str
    title: str
    help: Help
    fwhm_mm: float | None
    widest_mm: float | None
    best_mm: float
    limiting: str
    margin: float
    cov_pct: float
    fwhm_sd_mm: float | None = None
    widest_sd_mm: float | None = None
    margin_sd: float | None = None
    failed: tuple[Precheck, ...] = ()


def recoveries_limited(standard: Standard) -> dict[str, Limit]:
    """Return the limits of one edition that a filter has to meet: those of the spheres that decide.

    Empty where one of them is no recovery, for a filter that was not held to every limit must not be proposed.
    """
    limits = {
        name: limit
        for name, limit in standard.limits.items()
        if limit.decides and name.startswith("sphere_") and "mm_ct_" not in name  # no filter of the PET moves the CT
    }
    return limits if all(_RECOVERY.fullmatch(name) for name in limits) else {}


def kinds_limited(standard: Standard) -> set[str]:
    """Return which of ``rc``, ``relative_rc`` and ``crc`` one edition limits, for they hang on different truths."""
    return {found["kind"] for name in recoveries_limited(standard) if (found := _RECOVERY.fullmatch(name))}


def limits_peak(standards: Iterable[Standard]) -> bool:
    """Say whether an edition limits the 1 mL peak, which is then measured behind every filter."""
    return any(name.endswith("_peak") for standard in standards for name in recoveries_limited(standard))


# --- the search ---------------------------------------------------------------------------------------------------


def filter_curves(
    volume: PetVolume,
    boxes: Mapping[int, SearchBox],
    regions: Sequence[Roi],
    *,
    true_sphere: float | None,
    ratio: float | None,
    peaks: Mapping[int, PeakPlaces] | None = None,
) -> FilterCurves:
    """Measure an image behind Gaussian filters of 0 to 12 mm.

    Parameters
    ----------
    volume : PetVolume
    boxes : mapping of int to SearchBox
        The neighbourhood of every sphere, by diameter.
    regions : sequence of Roi
        The background's regions.
    true_sphere : float or None
        True sphere concentration in the image's unit, for recoveries.
    ratio : float or None
        True sphere to background ratio, for contrast and relative recoveries.
    peaks : mapping of int to PeakPlaces, optional
        Where the 1 mL peak of each sphere is looked for; without it no peak is measured.

    Notes
    -----
    Widths are millimetres along every axis, sampled at the voxels, cut after four standard deviations and reflected at
    the edges of the image: ``scipy.ndimage.gaussian_filter`` of the whole image, at the voxels that are measured.
    """
    steps = np.round(np.arange(round(WIDEST_MM / STEP_MM) + 1) * STEP_MM, 6)
    around = {d: _Window.around(volume, box.slices) for d, box in boxes.items()}
    peak_windows = {d: _Window.around(volume, places.slices) for d, places in (peaks or {}).items()}
    background = [(region, _Window.around(volume, region.slices)) for region in regions]
    recovery: dict[str, list[float]] = {}
    noise = []
    for fwhm_mm in steps:
        moments = np.array([region.moments_of(window.filtered(fwhm_mm)) for region, window in background])
        mean = float(moments[:, 0].mean())
        noise.append(100.0 * math.sqrt(float(moments[:, 1].mean() + moments[:, 0].var())) / mean)
        for diameter, window in around.items():
            hottest, a50 = isocontour(window.filtered(fwhm_mm), boxes[diameter].inside, mean)
            values = {"a50": a50, "max": hottest}
            if peaks is not None and diameter in peaks:
                values["peak"] = peaks[diameter].highest(peak_windows[diameter].filtered(fwhm_mm).astype(np.float64))
            for metric, value in values.items():
                for kind, number in _recoveries(value, mean, true_sphere, ratio):
                    recovery.setdefault(f"sphere_{diameter}mm_{kind}_{metric}", []).append(number)
    return FilterCurves(steps, {name: np.array(values) for name, values in recovery.items()}, np.array(noise))


def _recoveries(
    value: float, background: float, true_sphere: float | None, ratio: float | None
) -> Iterator[tuple[str, float]]:
    if true_sphere is not None:
        yield "rc", value / true_sphere
    if ratio is not None:
        yield "relative_rc", value / background / ratio
    if ratio is not None and ratio > 1.0:
        yield "crc", (value / background - 1.0) / (ratio - 1.0)


def advise(
    curves: FilterCurves,
    standard: Standard,
    *,
    biases_pct: tuple[float, float] | None = None,
    sds: Mapping[str, Parts] | None = None,
    ratio: float | None = None,
) -> FilterAdvice | None:
    """Find the filter for one edition; None where it limits no recovery, or one that is not in the curves.

    Parameters
    ----------
    curves : FilterCurves
    standard : Standard
        The edition; its limits of the spheres, of the background's noise and of the calibration are used.
    biases_pct : tuple of (float, float), optional
        What the spheres' filling and the background read over what is true, less 1, per cent. Where both are
        outside the edition's limits for the calibration to the same side, no filter is proposed.
    sds : mapping of str to Parts, optional
        What the recoveries before any filter are uncertain by; without it the filter's own is not stated.
    ratio : float, optional
        The true sphere to background ratio. Where the edition fails it, no filter is proposed: recovery changes with
        the ratio, and the bands are for the edition's.

    Notes
    -----
    The narrowest filter without a violation, not the one of the greatest margins: a filter costs resolution.
    """
    limits = recoveries_limited(standard)
    if not limits or not limits.keys() <= curves.recovery.keys():
        return None
    names = list(limits)
    margins = _margins_behind(curves, limits)
    smallest = smallest_margins(curves, limits)
    run = _first_run(smallest >= 0.0)
    below = [k for k, name in enumerate(names) if curves.recovery[name][0] < (limits[name].low or -math.inf)]
    best = int(np.argmin((np.minimum(margins, 0.0) ** 2).sum(axis=0)))
    considered = list(range(len(names)))
    failed = failed_fill(standard, ratio)
    if failed:
        help_, run = Help.PRECHECK_FIRST, None
    elif _is_off(standard, biases_pct):
        help_, run = Help.CALIBRATION_FIRST, None
    elif _is_noisy(standard, float(curves.cov_pct[0])):
        help_, run = Help.TOO_NOISY, None
    elif below:
        help_, run, best, considered = Help.BELOW_BAND, None, 0, below
    elif run is None:
        help_ = Help.NO_FILTER_FITS
    else:
        help_, best = (Help.FILTER if run[0] else Help.NOT_NEEDED), run[0]
    limiting = min(considered, key=lambda k: margins[k, best])
    edges: list[float | None] = [None, None]
    for k, (step, before) in enumerate(((run[0], run[0] - 1), (run[1], run[1] + 1)) if run else ()):
        if 0 <= before < len(smallest):
            # What stops the run is the recovery that is outside one step further.
            edges[k] = _edge_sd_mm(curves, names[int(np.argmin(margins[:, before]))], step, sds or {})
    return FilterAdvice(
        standard_id=standard.id,
        title=standard.title,
        help=help_,
        fwhm_mm=float(curves.fwhm_mm[run[0]]) if run else None,
        widest_mm=float(curves.fwhm_mm[run[1]]) if run else None,
        best_mm=float(curves.fwhm_mm[best]),
        limiting=names[limiting],
        margin=float(margins[limiting, best]),
        cov_pct=float(curves.cov_pct[best]),
        fwhm_sd_mm=edges[0],
        widest_sd_mm=edges[1],
        # Behind the narrowest of several filters the margin is next to nothing as it was found; how far the recovery
        # may truly lie from its limit there is what this says.
        margin_sd=_sd_behind(curves, names[limiting], best, sds or {}) if run else None,
        failed=failed,
    )


def smallest_margins(curves: FilterCurves, limits: Mapping[str, Limit]) -> NDArray[np.float64]:
    """Return the smallest margin of an image behind every filter, shape (n,); negative outside a band."""
    return np.asarray(_margins_behind(curves, limits).min(axis=0))


def prechecks_failed(named: Iterable[Finding]) -> tuple[Precheck, ...]:
    """Return the pre-checks that findings say are failed (`PRECHECKS`), each once."""
    failed = {one.id: Precheck(PRECHECKS[one.id], one.next_step) for one in named if one.id in PRECHECKS}
    return tuple(dict.fromkeys(failed.values()))


def held_back(one: FilterAdvice, failed: Iterable[Precheck]) -> FilterAdvice:
    """Return the advice without a filter, as pre-checks fail; as it was where none does."""
    every = tuple(dict.fromkeys((*one.failed, *failed)))
    if not every:
        return one
    return replace(
        one,
        help=Help.PRECHECK_FIRST,
        fwhm_mm=None,
        widest_mm=None,
        fwhm_sd_mm=None,
        widest_sd_mm=None,
        margin_sd=None,
        failed=every,
    )


def failed_fill(standard: Standard, ratio: float | None) -> tuple[Precheck, ...]:
    """Return the pre-check that a ratio of spheres to background fails; empty where the edition accepts it."""
    limit = standard.limits.get(RATIO)
    if limit is None or ratio is None or not limit.decides or (limit.margin(ratio) or 0.0) >= 0:
        return ()
    asked = band(limit.low, limit.high)
    return (
        Precheck(
            f"the phantom is filled {ratio:.1f} to 1 and the bands are for a ratio of {asked}",
            f"Fill the phantom again at a ratio of {asked}, as {standard.title} asks, and repeat the scan: a filter "
            "can only be proposed for a phantom filled so.",
        ),
    )


def _sd_behind(curves: FilterCurves, name: str, step: int, sds: Mapping[str, Parts]) -> float | None:
    """Return the SD of a recovery behind a filter: the fill's share stays, the noise falls as the background's does."""
    if name not in sds:
        return None
    values, quieter = curves.recovery[name], float(curves.cov_pct[step] / curves.cov_pct[0])
    share = abs(float(values[step] / values[0]))
    return share * math.hypot(sds[name].counting * quieter, sds[name].fill)


def _edge_sd_mm(curves: FilterCurves, name: str, step: int, sds: Mapping[str, Parts]) -> float | None:
    """Return the SD of the filter at which a recovery crosses its limit; a step's own width is in it."""
    sd = _sd_behind(curves, name, step, sds)
    low, high = max(step - _SLOPE_STEPS, 0), min(step + _SLOPE_STEPS, len(curves.fwhm_mm) - 1)
    slope = abs(float(curves.recovery[name][high] - curves.recovery[name][low]))
    if sd is None or slope == 0:
        return None
    return math.hypot(sd * float(curves.fwhm_mm[high] - curves.fwhm_mm[low]) / slope, STEP_MM / math.sqrt(12.0))


def _margins_behind(curves: FilterCurves, limits: Mapping[str, Limit]) -> NDArray[np.float64]:
    """Return the margin of every limited recovery behind every filter, shape (recoveries, n)."""
    return np.array([_margins(limit, curves.recovery[name]) for name, limit in limits.items()])


def _margins(limit: Limit, values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the distance to the nearer end of the band, negative outside."""
    low = -math.inf if limit.low is None else limit.low
    high = math.inf if limit.high is None else limit.high
    return np.minimum(values - low, high - values)


def _first_run(is_inside: NDArray[np.bool_]) -> tuple[int, int] | None:
    """Return the first and last step of the first unbroken run inside the bands."""
    if not is_inside.any():
        return None
    first = int(np.argmax(is_inside))
    outside = np.flatnonzero(~is_inside[first:])
    return first, (first + int(outside[0]) if len(outside) else len(is_inside)) - 1


def _is_noisy(standard: Standard, native_pct: float) -> bool:
    limit = standard.limits.get(COV)
    return limit is not None and limit.decides and limit.high is not None and native_pct > limit.high


def _is_off(standard: Standard, biases_pct: tuple[float, float] | None) -> bool:
    limit = standard.limits.get(CALIBRATION)
    if limit is None or biases_pct is None:
        return False
    outside = [(margin := limit.margin(one)) is not None and margin < 0 for one in biases_pct]
    return all(outside) and biases_pct[0] * biases_pct[1] > 0


# --- what is reported ---------------------------------------------------------------------------------------------


def measurements(
    editions: Iterable[Standard],
    advice: Iterable[FilterAdvice],
    *,
    recovery_flags: QualityFlag,
    contrast_flags: QualityFlag,
) -> Iterator[Measurement]:
    """Yield the filter of every edition: the narrowest, the widest, and the smallest margin behind the narrowest.

    Parameters
    ----------
    editions : iterable of Standard
    advice : iterable of FilterAdvice
    recovery_flags, contrast_flags : QualityFlag
        What a number that hangs on the true concentration carries, and one that hangs on the ratio alone.
    """
    by_id = {one.standard_id: one for one in advice}
    for edition in editions:
        limits = recoveries_limited(edition)
        if not limits:
            continue
        kinds = kinds_limited(edition)
        flags = recovery_flags if "rc" in kinds else QualityFlag.NONE
        flags |= contrast_flags if kinds - {"rc"} else QualityFlag.NONE
        one = by_id.get(edition.id)
        if one is None and flags is QualityFlag.NONE:
            flags = QualityFlag.OUTSIDE_IMAGE  # all else is known: the image cuts what the edition limits
        if one is not None and one.fwhm_mm is None:
            flags |= QualityFlag.FILTER_CANNOT_HELP
        given = one if one is not None and one.fwhm_mm is not None else None
        prefix = f"{PREFIX}{edition.id.removesuffix('_18f')}"
        found: dict[str, tuple[float | None, float | None]] = dict.fromkeys(
            ("fwhm_mm", "widest_mm", "margin"), (None, None)
        )
        if given is not None:
            found["fwhm_mm"] = given.fwhm_mm, given.fwhm_sd_mm
            found["widest_mm"] = given.widest_mm, given.widest_sd_mm
            found["margin"] = given.margin, given.margin_sd
        for what, (value, sd) in found.items():
            unit = "mm" if what.endswith("_mm") else "1"
            is_end = unit == "mm" and value in {0.0, WIDEST_MM} and sd is None
            own = flags | (QualityFlag.SEARCH_END if is_end else QualityFlag.NONE)
            yield Measurement(name=f"{prefix}_{what}", value=value, unit=unit, uncertainty=sd, flags=own)


def finding(advice: Sequence[FilterAdvice]) -> Finding | None:
    """Say in words what a post-filter can do, for all editions at once; it decides nothing."""
    if not advice:
        return None
    steps = dict.fromkeys(each.next_step for one in advice for each in one.failed)
    said, *more = dict.fromkeys(map(sentence, advice))
    return Finding(
        id="PHA-HARMONISE",
        outcome=Outcome.PASS,
        severity="info",
        message=" ".join([said, *more]),
        observed="; ".join(f"{one.title}: {_interval(one)}" for one in advice),
        expected="every recovery inside its band",
        next_step=" ".join(steps),
        owner=Owner.SITE if steps else Owner.NOBODY,
        source=SOURCE,
    )


def without_unit() -> Finding:
    """Say that no filter can be looked for in an image that is not in Bq/mL: it has no recovery."""
    return Finding(
        id="PHA-HARMONISE",
        outcome=Outcome.PASS,
        severity="info",
        message="No post-filter is proposed: the image is not in Bq/mL (0054,1001), so nothing in it compares with "
        "what was filled.",
        observed="none",
        expected="every recovery inside its band",
        next_step="Send the series again in Bq/mL, with Units (0054,1001).",
        owner=Owner.SITE,
        source=SOURCE,
    )


def beside(said: Finding, named: Iterable[Finding]) -> Finding:
    """Qualify `finding` where something that no filter mends is named as well (`MENDED_FIRST`)."""
    first = [MENDED_FIRST[one.id] for one in named if one.id in MENDED_FIRST]
    if not first:
        return said
    what = " and ".join(dict.fromkeys(first))
    return replace(
        said,
        message=f"{said.message} First mend {what}: recoveries hang on that too, and a filter chosen on this image "
        "would make up for what is not the blur.",
    )


def _interval(one: FilterAdvice) -> str:
    return "none" if one.fwhm_mm is None else f"{one.fwhm_mm:.1f} to {one.widest_mm:.1f} mm"


def sentence(one: FilterAdvice) -> str:
    """Return what was found for one edition."""
    which = _in_words(one.limiting)
    if one.help is Help.NOT_NEEDED:
        return f"{one.title} needs no post-filter; up to {one.widest_mm:.1f} mm more keeps every recovery inside."
    if one.help is Help.FILTER:
        return (
            f"{one.title}: a post-filter of {one.fwhm_mm:.1f} mm (up to {one.widest_mm:.1f} mm) brings every recovery "
            f"inside its band; the smallest margin is {one.margin:.3f}, {which}, background noise {one.cov_pct:.1f} %."
        )
    if one.help is Help.BELOW_BAND:
        return (
            f"{one.title}: filtering cannot help: recovery is below the band before any filter, {which} the most "
            f"({-one.margin:.3f})."
        )
    if one.help is Help.TOO_NOISY:
        return f"{one.title}: no post-filter is proposed: the noise exceeds its limit before any."
    if one.help is Help.CALIBRATION_FIRST:
        return f"{one.title}: no post-filter is proposed: spheres and background are off alike, so calibration first."
    if one.help is Help.PRECHECK_FIRST:
        reasons = " and ".join(dict.fromkeys(each.reason for each in one.failed))
        return f"{one.title}: no post-filter is proposed: {reasons}."
    return (
        f"{one.title}: no post-filter fits; {one.best_mm:.1f} mm comes nearest, and {which} is {-one.margin:.3f} off."
    )


def next_step(one: FilterAdvice) -> str:
    """Return what the site can do about its filter; empty where the filter is not what to change."""
    if one.help is Help.FILTER:
        return (
            f"Reconstruct the same data with a wider post-filter, a Gaussian of {one.fwhm_mm:.1f} mm "
            f"({one.widest_mm:.1f} mm at most), and send that series; a filter of g mm that is there already makes it "
            f"√(g² + {one.fwhm_mm:.1f}²). Scanner filters differ, some act in the plane alone: only the new series "
            "shows whether it fits."
        )
    if one.help is Help.PRECHECK_FIRST:
        steps = dict.fromkeys(each.next_step for each in one.failed)
        return f"{' '.join(steps)} Change the reconstruction only if the blur is still outside then."
    if one.help in {Help.BELOW_BAND, Help.NO_FILTER_FITS}:
        return (
            "Reconstruct the same data with a narrower post-filter, more iterations, PSF, TOF or smaller voxels, "
            "and send that series: a wider filter only lowers recovery."
        )
    return ""


def _in_words(name: str) -> str:
    found = _RECOVERY.fullmatch(name)
    if found is None:
        return name
    kind = {"rc": "", "relative_rc": " relative", "crc": " contrast"}[found["kind"]]
    return f"{found['diameter']} mm {found['metric'].replace('a50', 'A50')}{kind}"


# --- filtering a part ---------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Window:
    """Voxels wanted behind a filter, and the image as far round them as the widest filter reaches."""

    around_them: NDArray[np.float32]
    wanted: tuple[tuple[int, int], ...]  # first and last row by axis, counted in `around_them`
    spacing_zyx_mm: tuple[float, float, float]

    @classmethod
    def around(cls, volume: PetVolume, slices: tuple[slice, slice, slice]) -> _Window:
        box, moved = [], []
        for count, wanted, step_mm in zip(volume.image.shape, slices, volume.spacing_zyx_mm, strict=True):
            reach = math.ceil(_TRUNCATE * WIDEST_MM / FWHM_PER_SIGMA / step_mm + 1.0)
            low, high = max(wanted.start - reach, 0), min(wanted.stop + reach, count)
            box.append(slice(low, high))
            moved.append((wanted.start - low, wanted.stop - low))
        return cls(np.ascontiguousarray(volume.image[tuple(box)]), tuple(moved), volume.spacing_zyx_mm)

    def filtered(self, fwhm_mm: float) -> NDArray[np.float32]:
        """Return the wanted voxels behind a Gaussian of ``fwhm_mm``, sampled at the voxels, reflected at the edges."""
        along_z, along_y, along_x = (
            _kernel(count, *rows, fwhm_mm / FWHM_PER_SIGMA / step_mm)
            for count, rows, step_mm in zip(self.around_them.shape, self.wanted, self.spacing_zyx_mm, strict=True)
        )
        # Products so small that no library splits them between threads: workers share their processors.
        by_row = np.matmul(along_z, self.around_them.transpose(1, 0, 2))
        by_slice = np.matmul(by_row, along_x.T).transpose(1, 0, 2)
        return np.asarray(np.matmul(along_y, by_slice))


@lru_cache(maxsize=64)
def _kernel(count: int, first: int, end: int, sigma: float) -> NDArray[np.float32]:
    """Return the filter along one axis as the rows from ``first`` of a matrix ``[row, voxel]``; sigma in voxels."""
    unit = np.eye(count, dtype=np.float32)
    if sigma == 0.0:
        return unit[first:end]
    return np.asarray(ndimage.gaussian_filter1d(unit, sigma, axis=0, mode="reflect", truncate=_TRUNCATE)[first:end])
