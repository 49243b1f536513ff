"""A phantom on its way: measured, judged by every standard that holds for it, and held to its sheet."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from phantoms.errors import AnalysisRefused
from phantoms.results import Finding, Outcome, Owner
from qc.analysis.methods import FILLS, READ_AS, SPHERE_FILLING_SD_PCT, deciding_for, nominal_ratio
from qc.analysis.said import image_findings

if TYPE_CHECKING:
    from phantoms.acr_pose import AcrPose
    from phantoms.dicom_series import Series
    from phantoms.localise import NemaPose
    from phantoms.sheet import Sheet
    from phantoms.standards import Standard
    from phantoms.suv import SuvResult
    from phantoms.volume import PetVolume
    from qc.analysis.request import Request, Work


def measure_phantom(
    work: Work, request: Request, volume: PetVolume, pose: NemaPose | AcrPose | None, *, with_figures: bool
) -> None:
    """Measure the phantom, judge its numbers and say what is wrong, into ``work``."""
    from phantoms import standards

    series, suv = work.series, work.suv
    assert series is not None  # noqa: S101 (both were set before a volume could be read)
    assert suv is not None  # noqa: S101
    work.findings += image_findings(series, suv)
    sheet = _read_sheet(work, request, series, suv)
    factor, to_bqml = suv.factor_g_per_bq, series.to_bqml_factor
    if to_bqml is not None:
        # A maker's own factor turns counts into Bq/mL, which phantoms are judged in.
        volume = volume.scaled(to_bqml, "Bq/mL")
        factor = factor / to_bqml if factor is not None else None
    nuclide = suv.nuclide
    if sheet is not None and sheet.is_told_otherwise:
        # What the scanner was told is not what was scanned: neither its decay, nor a SUV, nor a limit follows from it.
        nuclide, factor = sheet.nuclide, None
        volume, sheet = _without_told_decay(work, series, volume, sheet)
    known: dict[str, Any] = {"reference_time": suv.reference_time, "sheet": sheet, "suv_factor": factor}
    method: Any  # one of the three modules: they answer to the same two calls
    if work.method == "cylinder":
        from phantoms import cylinder as method
    elif work.method == "acr":
        from phantoms import acr as method

        known |= {"pose": pose}
    else:
        from phantoms import nema_iq as method

        known |= {"edition": request.edition, "pose": pose}
    try:
        result = work.timed("measure", lambda: method.measure(volume, **known))
    except AnalysisRefused as refused:
        if with_figures:
            work.figures = work.timed("figures", partial(_refusal_figures, volume, refused))
        raise
    if work.method == "nema_iq":
        work.profiles = result.profiles()
        asked = deciding_for(work.method, request.standards)
        result = work.timed("ct", lambda: _with_ct(work, series, result, asked, with_figures=with_figures))
        result = _held_to_prechecks(result, image_findings(series, suv))
    work.measurements += result.measurements
    for standard in map(standards.load, standards.available()):
        if _holds_for(standard, nuclide):
            work.measurements += standards.judge(result.measurements, standard)
    work.findings += result.findings
    if sheet is not None:
        _hold_sheet_to_images(work, sheet, suv, result)
    deciding = [standards.load(standard_id) for standard_id in deciding_for(work.method, request.standards)]
    work.findings += [_other_nuclide(standard, nuclide) for standard in deciding if not _holds_for(standard, nuclide)]
    work.findings += [_other_phantom(one) for one in deciding if one.limits.keys().isdisjoint(_names(result))]
    # Two editions may name the same cause; it is said once, in the words of the first that does.
    fitting = [standard for standard in reversed(deciding) if _holds_for(standard, nuclide)]
    causes = {cause.id: cause for standard in fitting for cause in method.diagnose(result, standard)}
    work.findings += causes.values()
    if with_figures:
        from phantoms import figures

        draw: Any = getattr(figures, f"{work.method}_figures")
        # Of the phantoms the spheres alone have several editions that may decide together.
        shown = deciding if work.method == "nema_iq" else deciding[:1]
        work.figures = work.timed("figures", lambda: draw(volume, result, *shown)) | work.figures


def _with_ct(work: Work, series: Series, result: Any, deciding: Sequence[str], *, with_figures: bool) -> Any:
    """Return the result of a sphere phantom with what its CT says; a CT that cannot be used takes no number away."""
    from phantoms import findings, standards
    from phantoms.dicom_series.ct import choose_ct

    assert work.scan is not None  # noqa: S101 (it was read before the series was chosen)
    pose = result.pose
    try:
        chosen = choose_ct(work.scan, series)
        if chosen is None:
            is_asked = any("ct_water_hu" in standards.load(one).limits for one in deciding)
            said = (findings.no_ct(),) if is_asked else ()
            return replace(result, findings=(*result.findings, *said))
        from phantoms import phantom_ct

        volume = chosen.load(pose.center_lps_mm, phantom_ct.REACH_MM)
        middles = [center for center, _ in result.background_rois]
        found = phantom_ct.measure(
            volume,
            pose.spheres,
            middles,
            pose.axis,
            filled_mm=pose.filled_mm,
            up=chosen.up_lps,
            bands=phantom_ct.Bands.of(deciding),
            is_in_frame=chosen.is_in_frame,
        )
        work.ct = chosen
        if with_figures:
            from phantoms import figures

            work.figures = figures.phantom_ct_figures(volume, found, pose.spheres, pose.axis)
    except AnalysisRefused as refused:
        from phantoms import phantom_ct

        found = phantom_ct.unread(refused)
    measurements = (*result.measurements, *found.measurements)
    return replace(result, measurements=measurements, findings=(*result.findings, *found.findings))


def _held_to_prechecks(result: Any, in_headers: Sequence[Finding]) -> Any:
    """Return the result of a sphere phantom without a post-filter where its CT or its headers say it is not to be used.

    The recoveries stay: a pre-check decides the verdict and withholds no number.
    """
    from phantoms import harmonise, nema_iq

    failed = [
        harmonise.Precheck("by its headers the image is not to be judged", one.next_step)
        for one in in_headers
        if one.outcome is Outcome.NOT_EVALUABLE
    ]
    return nema_iq.without_filter(result, (*failed, *harmonise.prechecks_failed(result.findings)))


def _refusal_figures(volume: PetVolume, refused: AnalysisRefused) -> dict[str, Any]:
    """Draw what was seen where no phantom was found; the same words beside them say why."""
    from phantoms import figures
    from phantoms.sight import PhantomNotFound

    return figures.refusal_figures(volume, refused.sight if isinstance(refused, PhantomNotFound) else None)


def _read_sheet(work: Work, request: Request, series: Series, suv: SuvResult) -> Sheet | None:
    """Return the sheet as far as it may be used, with what looks wrong in it among the findings.

    A sheet of another nuclide than the images' is not used at all: decayed by either half-life it would give a number.
    """
    if request.sheet is None:
        return None
    from phantoms.sheet import Sheet

    sheet = Sheet.parse(
        request.sheet, header_nuclide=suv.nuclide, is_one_instant=series.header.DecayCorrection != "NONE"
    )
    problems = sheet.check(suv.reference_time, fills=FILLS[work.method], nominal_ratio=nominal_ratio(work.method))
    work.findings += problems
    is_other = any(one.id == "SHEET-NUCLIDE" and one.outcome is Outcome.NOT_EVALUABLE for one in problems)
    return None if is_other else sheet


def _hold_sheet_to_images(work: Work, sheet: Sheet, suv: SuvResult, result: Any) -> None:
    """Look at the sheet once more, now that the images say what was in the phantom: a slip may explain both."""
    from phantoms.sheet_slips import Reading

    readings = {}
    plain = {one.name: one for one in result.measurements}
    for what, name in READ_AS[work.method].items():
        one = plain.get(name)
        if one is not None and one.value is not None and one.value > 0 and one.unit == "Bq/mL":
            readings[what] = Reading(one.value, 100 * (one.uncertainty or 0.0) / one.value)
    if work.method == "nema_iq" and readings and result.sphere_filling is not None:
        readings["spheres"] = Reading(result.sphere_filling, SPHERE_FILLING_SD_PCT)
    asked: dict[str, Any] = {"fills": FILLS[work.method], "nominal_ratio": nominal_ratio(work.method)}
    before = sheet.check(suv.reference_time, **asked)
    work.findings = [one for one in work.findings if one not in before]
    work.findings += sheet.check(suv.reference_time, readings=readings, **asked)


def _without_told_decay(work: Work, series: Series, volume: PetVolume, sheet: Sheet) -> tuple[PetVolume, Sheet | None]:
    """Take back the decay that the scanner corrected for a nuclide that is not the sealed source's.

    Within a scan the source's own decay is below the last digit. Without DecayFactor the sheet is not used.
    """
    from phantoms import sheet_checks

    if series.header.DecayCorrection == "NONE":
        return volume, sheet
    factors = [one.DecayFactor for one in series.header.slices]
    known = [one for one in factors if one is not None and one > 0]
    if len(known) != volume.image.shape[0]:
        work.findings.append(sheet_checks.check_told_decay(sheet.header_nuclide or "", ()))
        return volume, None
    import numpy as np

    work.findings.append(sheet_checks.check_told_decay(sheet.header_nuclide or "", known))
    return volume.scaled_by_slice(1 / np.asarray(known, dtype=np.float64)), sheet


def _holds_for(standard: Standard, nuclide: str | None) -> bool:
    """Say whether a standard was made for the nuclide that was scanned; where none is named it gets the doubt."""
    return None in (standard.nuclide, nuclide) or standard.nuclide == nuclide


def _names(result: Any) -> set[str]:
    return {one.name for one in result.measurements}


def _other_phantom(standard: Standard) -> Finding:
    """Say that a standard has no limit for anything that was measured: nothing judged is no pass."""
    return Finding(
        id="STD-METHOD",
        outcome=Outcome.NOT_EVALUABLE,
        severity="exclude",
        message=f"{standard.title} limits nothing that is measured on this phantom.",
        expected="a standard with limits for this phantom",
        next_step="Choose a standard for this phantom.",
        owner=Owner.CORE_LAB,
        source=standard.citation,
    )


def _other_nuclide(standard: Standard, nuclide: str | None) -> Finding:
    return Finding(
        id="STD-NUCLIDE",
        outcome=Outcome.NOT_EVALUABLE,
        severity="exclude",
        message=f"{standard.title} holds for {standard.nuclide}; these images are of {nuclide}.",
        observed=nuclide or "",
        expected=standard.nuclide or "",
        next_step="Choose a standard for this nuclide.",
        owner=Owner.CORE_LAB,
        source=standard.citation,
    )
