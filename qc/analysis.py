"""One submission's files in, one JSON object out: the same code for workers and for the offline command.

No Django here. What a method needs is imported when it is needed, so that the offline command starts fast.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import lru_cache, partial
from importlib import metadata
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any

from phantoms.errors import AnalysisRefused
from phantoms.results import Finding, Measurement, Outcome, Owner, QualityFlag, counted, worst

if TYPE_CHECKING:
    from phantoms.acr_pose import AcrPose
    from phantoms.dicom_series import Scan, Series, Source
    from phantoms.dicom_series.ct import CtSeries
    from phantoms.localise import NemaPose
    from phantoms.sheet import Sheet
    from phantoms.standards import Standard
    from phantoms.suv import SuvResult, Warned
    from phantoms.volume import PetVolume

#: Methods that are built, with the version that a change of their numbers raises.
METHODS: Mapping[str, int] = {"suv": 2, "patient": 2, "cylinder": 4, "nema_iq": 5, "acr": 1, "calibrator": 1}
#: What decides when nobody names a standard.
DEFAULT_STANDARD = "earl1_18f"
#: Methods whose numbers one standard alone limits: of a phantom it decides, whatever is named.
OWN_STANDARD: Mapping[str, str] = {"acr": "acr_pet", "calibrator": "radionuclide_calibrator"}
#: Methods that acceptance limits are published for, with the fills of the sheet that each of them uses.
FILLS: Mapping[str, frozenset[str]] = {
    "cylinder": frozenset({"cylinder"}),
    "nema_iq": frozenset({"spheres", "background"}),
    "acr": frozenset({"spheres", "background"}),
}
#: A method's measurement of each fill's concentration; that of the spheres is what their profiles are freed to.
READ_AS: Mapping[str, Mapping[str, str]] = {
    "cylinder": {"cylinder": "cylinder_mean_bqml"},
    "nema_iq": {"background": "background_mean"},
    "acr": {"background": "acr_background_bqml"},
}
#: How well the fitted profiles give the spheres' concentration, one standard deviation.
SPHERE_FILLING_SD_PCT = 5.0
#: The ratio of hot to background that a phantom is made for, where it is not that of the NEMA phantom.
NOMINAL_RATIOS: Mapping[str, float] = {"acr": 2.5}
#: What is wrong with the image itself: no phantom passes on such pixels, whatever its sheet says. Weight, dose and
#: uptake are not among them, for a phantom is judged against its sheet.
IMAGE_PROBLEMS = frozenset({"SUV-NOT-CORRECTED", "SUV-DECAY-UNKNOWN", "SUV-TREF-CONFLICT", "SUV-CHOICE"})
#: Attributes that must be one on all slices before their values may be compared with one another.
ONE_FOR_ALL_SLICES = frozenset({"Units", "DecayCorrection", "CorrectedImage", "SeriesDate", "SeriesTime"})
#: Doubts about the reference time, to which the sheet is decayed.
IMAGE_DOUBTS = frozenset({"SUV-TREF-CONFLICT", "SUV-CHOICE", "AD-01", "SUV-PRIVATE-NO-CREATOR", "SUV-OFFSET"})


@dataclass(frozen=True)
class Request:
    """What is asked for: the parameters of a run, in plain JSON types.

    ``conformance`` is what rules are held to, as `qc.conformance.inputs_of` reads it; without it no rule is asked, and
    the parameters, with their digest, are those of a time before there were rules. ``chosen_reference`` and
    ``accepts_lbm120`` are what a physicist decided by signature, as `phantoms.suv.suv_factor` takes them; undecided
    they are no parameters either.
    """

    method: str = "auto"
    sheet: Mapping[str, Any] | None = None
    standards: tuple[str, ...] = (DEFAULT_STANDARD,)
    edition: str = "nu2_2018"
    series_uid: str | None = None
    mask: Path | None = None
    conformance: Mapping[str, Any] | None = None
    chosen_reference: str | None = None
    accepts_lbm120: bool = False

    def as_json(self) -> dict[str, Any]:
        """Return the parameters as they are stored with a run and digested."""
        parameters: dict[str, Any] = {
            "method": self.method,
            "sheet": self.sheet,
            "standards": list(self.standards),
            "edition": self.edition,
            "series_uid": self.series_uid,
        }
        if self.conformance is not None:
            parameters["conformance"] = self.conformance
        if self.chosen_reference is not None:
            parameters["chosen_reference"] = self.chosen_reference
        if self.accepts_lbm120:
            parameters["accepts_lbm120"] = True
        return parameters


@dataclass(frozen=True)
class Analysis:
    """The outcome of one analysis.

    Attributes
    ----------
    json : dict
        The offline contract's object.
    figures : dict of str to FigureSvg
        Pictures by name; empty unless asked for.
    exit_status : int
        0 done, 2 unusable input, 3 refused.
    """

    json: dict[str, Any]
    figures: dict[str, Any] = field(default_factory=dict)
    exit_status: int = 0


@dataclass
class _Work:
    """What one analysis gathers on its way."""

    scan: Scan | None = None
    series: Series | None = None
    suv: SuvResult | None = None
    method: str = ""
    measurements: list[Measurement] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    figures: dict[str, Any] = field(default_factory=dict)
    profiles: dict[str, Any] | None = None
    ct: CtSeries | None = None
    conformance: dict[str, Any] | None = None
    refused: AnalysisRefused | None = None
    is_unusable: bool = False
    seconds: dict[str, float] = field(default_factory=dict)

    def timed(self, name: str, function: Callable[[], Any]) -> Any:
        started = perf_counter()
        try:
            return function()
        finally:
            self.seconds[name] = round(self.seconds.get(name, 0.0) + perf_counter() - started, 4)


def analyse_files(files: Sequence[Source], request: Request, *, with_figures: bool = False) -> Analysis:
    """Analyse one scan.

    Parameters
    ----------
    files : sequence of Source
        As ``dicom_series.list_files`` gives them.
    request : Request
    with_figures : bool
        Whether to draw; nothing of matplotlib is imported otherwise.

    Returns
    -------
    Analysis
        Always; bad input is a refusal in it, never an exception.

    Raises
    ------
    DocumentProblems
        Where the protocol or the register that it is held to is not one; neither is the site's.
    """
    return _compose(_work_on(files, request, with_figures=with_figures), request)


def _work_on(files: Sequence[Source], request: Request, *, with_figures: bool) -> _Work:
    work = _Work(method=request.method)
    try:
        _read(work, files, request)
        _measure(work, request, with_figures)
    except AnalysisRefused as refused:
        work.refused = work.refused or refused
    _hold_to_rules(work, request)
    return work


def analyse_replicates(
    files: Sequence[Source], request: Request, series_uids: Sequence[str], *, with_figures: bool = False
) -> Analysis:
    """Measure several scans of one phantom: the first as `analyse_files` does, and all of them together beside it.

    Parameters
    ----------
    files, request, with_figures
        See `analyse_files`.
    series_uids : sequence of str
        SeriesInstanceUID of each replicate, two or more.

    Returns
    -------
    Analysis
        That of the first, with ``replicates``: mean, standard deviation and values of every number. Where a replicate
        is refused, or they are not several acquisitions, that is its refusal.
    """
    from phantoms import replicates

    requests = [replace(request, series_uid=uid) for uid in series_uids]
    works = [_work_on(files, one, with_figures=with_figures and one is requests[0]) for one in requests]
    for work, asked in zip(works, requests, strict=True):
        if work.refused is not None or work.series is None:
            return _compose(work, asked)
    measured = [
        replicates.Replicate(uid, replicates.acquisition_times(work.series.header), tuple(work.measurements))
        for uid, work in zip(series_uids, works, strict=True)
        if work.series is not None
    ]
    try:
        combined = replicates.combine(measured)
    except AnalysisRefused as refused:
        works[0].refused = refused
        return _compose(works[0], requests[0])
    outcome = _compose(works[0], requests[0])
    outcome.json["replicates"] = {
        "series": list(series_uids),
        "measurements": [one.as_json() for one in combined],
    }
    return outcome


def conform_files(files: Sequence[Source], request: Request) -> Analysis:
    """Hold one patient scan to its rules by the headers alone; see `analyse_files`."""
    work = _Work(method="patient")
    try:
        _read(work, files, request)
    except AnalysisRefused as refused:
        work.refused = refused
    _hold_to_rules(work, request)
    return _compose(work, request)


def analyse_readings(readings: Any, request: Request, *, with_figures: bool = False) -> Analysis:
    """Work out what the readings of a radionuclide calibrator come to; without images there is no series and no SUV.

    Parameters
    ----------
    readings : object
        As `phantoms.calibrator` reads them.
    request : Request
    with_figures : bool
        Whether to draw.

    Returns
    -------
    Analysis
        Always; readings that cannot be read are a refusal in it.
    """
    from phantoms import calibrator, standards

    work = _Work(method="calibrator")
    try:
        result = work.timed("measure", lambda: calibrator.measure(readings))
    except AnalysisRefused as refused:
        work.refused = refused
        return _compose(work, request)
    deciding = [standards.load(one) for one in request.standards]
    work.measurements += result.measurements
    for standard in {one.id: one for one in (standards.load(calibrator.STANDARD), *deciding)}.values():
        work.measurements += standards.judge(result.measurements, standard)
    work.findings += calibrator.diagnose(result, deciding[0])
    if with_figures:
        from phantoms import figures

        work.figures = work.timed("figures", lambda: figures.calibrator_figures(result, deciding[0]))
    composed = _compose(work, request)
    # The readings are the input; without a series nothing else names them.
    return replace(composed, json=composed.json | {"input_digest": f"sha256:{digest(readings)}"})


def unusable(code: str, detail: str, next_step: str, request: Request) -> Analysis:
    """Return the object for input that is no input: wrong usage, or a path that is not there."""
    work = _Work(method=request.method, is_unusable=True)
    work.refused = AnalysisRefused(code, detail, None, next_step)
    return _compose(work, request)


def _read(work: _Work, files: Sequence[Source], request: Request) -> None:
    """Read all headers, choose the series and work out its SUV."""
    from phantoms import dicom_series, suv

    work.scan = work.timed("read", lambda: dicom_series.read_scan(files))
    if not work.scan.series:
        work.is_unusable = not any(ignored.is_dicom for ignored in work.scan.ignored)
    series = work.series = dicom_series.choose(work.scan, request.series_uid)
    work.suv = suv.suv_factor(
        series.header, chosen_reference=request.chosen_reference, accepts_lbm120=request.accepts_lbm120
    )


def _measure(work: _Work, request: Request, with_figures: bool) -> None:
    series, suv_result = work.series, work.suv
    assert series is not None  # noqa: S101 (both were read)
    assert suv_result is not None  # noqa: S101
    if request.method == "suv":
        work.refused = suv_result.refused
        work.findings += _suv_findings(suv_result, request)
    volume: PetVolume = work.timed("read", series.load)
    work.measurements += _image_measurements(volume, suv_result)
    if request.mask is not None:
        work.measurements += _mask_measurements(volume, suv_result, request.mask)
    pose: NemaPose | AcrPose | None = None
    not_found = None
    if request.method == "auto":
        work.method, pose, not_found = work.timed("localise", lambda: recognise(volume))
    if work.method in FILLS:
        _measure_phantom(work, request, volume, pose, with_figures=with_figures)
    elif work.method == "patient":
        work.findings += _suv_findings(suv_result, request)
        if not_found is not None and (request.sheet or {}).get("fills"):
            work.findings.append(_refusal_finding(not_found))
        if with_figures:
            from phantoms import figures

            factor = suv_result.factor_g_per_bq
            work.figures = work.timed("figures", lambda: figures.patient_figures(volume, factor))


def recognise(volume: PetVolume) -> tuple[str, NemaPose | AcrPose | None, AnalysisRefused | None]:
    """Return the method for an unnamed scan: a phantom that its localiser is sure of, a cylinder, else a patient.

    With it the pose, where that was the price of knowing, and why no sphere phantom was seen, where none was.
    """
    from phantoms import localise

    try:
        return "nema_iq", localise.find_nema_iq(volume), None
    except AnalysisRefused as refused:
        not_found = refused
    with suppress(AnalysisRefused):
        return "acr", localise.find_acr(volume), not_found
    with suppress(AnalysisRefused):
        localise.find_cylinder(volume)
        return "cylinder", None, not_found
    return "patient", None, not_found


def _measure_phantom(
    work: _Work, request: Request, volume: PetVolume, pose: NemaPose | AcrPose | None, *, with_figures: bool
) -> None:
    from phantoms import standards

    series, suv = work.series, work.suv
    assert series is not None  # noqa: S101 (both were set before a volume could be read)
    assert suv is not None  # noqa: S101
    work.findings += _image_findings(series, suv)
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
        work.figures = work.timed("figures", lambda: draw(volume, result, deciding[0])) | work.figures


def _with_ct(work: _Work, series: Series, result: Any, deciding: Sequence[str], *, with_figures: bool) -> Any:
    """Return the result of a sphere phantom with what its CT says; a CT that cannot be used takes no number away."""
    from phantoms import phantom_ct, standards
    from phantoms.dicom_series.ct import choose_ct

    assert work.scan is not None  # noqa: S101 (it was read before the series was chosen)
    chosen = choose_ct(work.scan, series)
    if chosen is None:
        is_asked = any("ct_water_hu" in standards.load(one).limits for one in deciding)
        said = (phantom_ct.absent(),) if is_asked else ()
        return replace(result, findings=(*result.findings, *said))
    pose = result.pose
    try:
        volume = chosen.load(pose.center_lps_mm, phantom_ct.REACH_MM)
        middles = [center for center, _ in result.background_rois]
        found = phantom_ct.measure(volume, pose.spheres, middles, pose.axis, is_in_frame=chosen.is_in_frame)
        work.ct = chosen
        if with_figures:
            from phantoms import figures

            work.figures = figures.phantom_ct_figures(volume, found, pose.spheres, pose.axis)
    except AnalysisRefused as refused:
        found = phantom_ct.unread(refused)
    measurements = (*result.measurements, *found.measurements)
    return replace(result, measurements=measurements, findings=(*result.findings, *found.findings))


def _refusal_figures(volume: PetVolume, refused: AnalysisRefused) -> dict[str, Any]:
    """Draw what was seen where no phantom was found; the same words beside them say why."""
    from phantoms import figures
    from phantoms.sight import PhantomNotFound

    return figures.refusal_figures(volume, refused.sight if isinstance(refused, PhantomNotFound) else None)


def _read_sheet(work: _Work, request: Request, series: Series, suv: SuvResult) -> Sheet | None:
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


def _hold_sheet_to_images(work: _Work, sheet: Sheet, suv: SuvResult, result: Any) -> None:
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


def nominal_ratio(method: str) -> float:
    """Return the ratio of hot to background that a phantom is made for."""
    from phantoms.sheet_checks import NOMINAL_RATIO

    return NOMINAL_RATIOS.get(method, NOMINAL_RATIO)


def _without_told_decay(work: _Work, series: Series, volume: PetVolume, sheet: Sheet) -> tuple[PetVolume, Sheet | None]:
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


def _image_findings(series: Series, suv: SuvResult) -> list[Finding]:
    """Return what the headers say against judging these pixels at all, and what makes their time doubtful."""
    problems = [suv.refused, *suv.further_problems] if suv.refused is not None else []
    split = ONE_FOR_ALL_SLICES & set(series.header.differing)
    fatal = {
        problem.code: _refusal_finding(problem)
        for problem in problems
        if problem.code in IMAGE_PROBLEMS or (problem.code == "SUV-INCONSISTENT" and split)
    }
    doubts = {warned.code: _warning_finding(warned) for warned in suv.warnings if warned.code in IMAGE_DOUBTS}
    return list((doubts | fatal).values())


def _refusal_finding(refused: AnalysisRefused) -> Finding:
    from phantoms.suv.catalogue import CATALOGUE

    entry = CATALOGUE.get(refused.code)
    return Finding(
        id=refused.code,
        outcome=Outcome.NOT_EVALUABLE,
        severity="exclude",
        message=refused.detail,
        observed=refused.attribute or "",
        next_step=refused.next_step,
        owner=entry.owner if entry else Owner.SITE,
    )


def _warning_finding(warned: Warned) -> Finding:
    from phantoms.suv.catalogue import CATALOGUE

    entry = CATALOGUE[warned.code]
    return Finding(
        id=warned.code,
        outcome=Outcome.WARN,
        severity="query",
        message=warned.detail,
        # An owner's step is for that owner; a doubt beside a given SUV is the lab's to look at first.
        next_step=entry.next_step if entry.owner is Owner.CORE_LAB else "Look at the images; ask the site to check it.",
        owner=Owner.CORE_LAB,
    )


def _suv_findings(suv: SuvResult, request: Request) -> list[Finding]:
    """Return one finding for the SUV itself and one for each warning of its trace; nothing where rules speak of it."""
    if request.conformance is not None:
        return []
    if suv.refused is not None:
        itself = _refusal_finding(suv.refused)
    else:
        itself = Finding(id="SUV-01", outcome=Outcome.PASS, severity="exclude", message="SUV can be worked out.")
    return [itself, *(_warning_finding(warned) for warned in suv.warnings)]


def _hold_to_rules(work: _Work, request: Request) -> None:
    """Add the findings of the rules, where the request asks for them, and what of the scan they are about."""
    if request.conformance is None or work.scan is None:
        return
    from qc import conformance
    from qc.facts import facts_of

    kind = work.method if work.method in FILLS else "patient"
    started = perf_counter()
    inputs = conformance.inputs_of(facts_of(work.scan, work.series), work.suv, kind, request.conformance)
    findings = conformance.evaluate(inputs)
    work.seconds["rules"] = round(perf_counter() - started, 4)
    if kind == "patient" and work.suv is not None:
        said = conformance.spoken_for(findings)
        findings += [_warning_finding(warned) for warned in work.suv.warnings if warned.code not in said]
    work.findings += findings
    given = request.conformance.get("protocol")
    about = {"version": given.get("version"), "digest": digest(given["document"])} if given else None
    work.conformance = {"protocol": about, **conformance.shown_of(inputs)}


def _plain(name: str, value: float, unit: str) -> Measurement:
    return Measurement(name=name, value=value, unit=unit, flags=QualityFlag.UNCERTAINTY_NOT_STATED)


def _suv_volume_factor(volume: PetVolume, suv: SuvResult) -> Any:
    """Return the SUVbw factor as a number, or as an array over z where it differs by slice; None when refused."""
    if suv.factor_g_per_bq is not None:
        return suv.factor_g_per_bq
    if suv.factors_by_slice:
        import numpy as np

        return np.asarray(suv.factors_by_slice, dtype=np.float64)[:, None, None]
    return None


def _image_measurements(volume: PetVolume, suv: SuvResult) -> list[Measurement]:
    import numpy as np

    image = volume.image
    found = [
        _plain("image_max", float(image.max()), volume.unit),
        _plain("image_mean", float(image.mean(dtype=np.float64)), volume.unit),
    ]
    factor = _suv_volume_factor(volume, suv)
    if factor is None:
        missing = [
            Measurement(name=name, value=None, unit="g/mL", flags=QualityFlag.NO_SUV)
            for name in ("suvbw_max", "suvbw_mean")
        ]
        return found + missing
    # Slice by slice, so that no second volume is made.
    slice_factor = np.broadcast_to(np.asarray(factor).reshape(-1), (image.shape[0],))
    slice_max = image.reshape(image.shape[0], -1).max(axis=1)
    slice_mean = image.mean(axis=(1, 2), dtype=np.float64)
    return [
        *found,
        _plain("suvbw_max", float((slice_max * slice_factor).max()), "g/mL"),
        _plain("suvbw_mean", float((slice_mean * slice_factor).mean()), "g/mL"),
    ]


def _mask_measurements(volume: PetVolume, suv: SuvResult, mask: Path) -> list[Measurement]:
    from phantoms import masks, metrics
    from phantoms.volume import PetVolume

    inside = masks.read_mask(mask, volume)
    factor = _suv_volume_factor(volume, suv)
    units = dict.fromkeys(("min", "median", "max", "mean", "peak"), "g/mL")
    units |= {f"peak_center_{axis}_mm": "mm" for axis in "xyz"}

    def missing(names: Iterable[str], flag: QualityFlag) -> list[Measurement]:
        return [Measurement(name=f"mask_suvbw_{name}", value=None, unit=units[name], flags=flag) for name in names]

    if factor is None or not inside.any():
        return missing(units, QualityFlag.NO_SUV if factor is None else QualityFlag.OUTSIDE_IMAGE)
    region = metrics.measure_region(PetVolume(volume.image * factor, volume.affine_lps_mm, "g/mL"), inside)
    values = {"min": region.minimum, "median": region.median, "max": region.maximum, "mean": region.mean}
    if region.peak is not None:
        values["peak"] = region.peak.mean
        centers_mm = zip("xyz", region.peak.center_lps_mm, strict=True)
        values |= {f"peak_center_{axis}_mm": float(center_mm) for axis, center_mm in centers_mm}
    found = [_plain(f"mask_suvbw_{name}", value, units[name]) for name, value in values.items()]
    return found + missing([name for name in units if name not in values], QualityFlag.SMALL_REGION)


def deciding_for(method: str | None, named: Sequence[str]) -> tuple[str, ...]:
    """Return the standards that decide a method: a phantom's own where it has one, else those that are named."""
    own = OWN_STANDARD.get(method or "") if method in FILLS else None
    return (own,) if own else tuple(named)


def decide(
    measurements: Iterable[Measurement], findings: Iterable[Finding], standards: Iterable[str]
) -> Outcome | None:
    """Return the verdict of the whole: the worst of what the named standards judge and of what every finding counts.

    See `phantoms.results.counted`: a finding that asks for an answer warns at most.
    """
    named = set(standards)
    judged = [m.verdict for m in measurements if m.standard in named and m.verdict is not Outcome.REPORT_ONLY]
    found = [weight for f in findings if (weight := counted(f.outcome, f.severity)) is not None]
    return worst([*judged, *found])


def _compose(work: _Work, request: Request) -> Analysis:
    verdict = decide(work.measurements, work.findings, deciding_for(work.method, request.standards))
    if work.refused is not None:
        verdict = worst([Outcome.NOT_EVALUABLE, *([verdict] if verdict else [])])
    scan = work.scan
    method = work.method if work.method in METHODS else None
    status = 0 if work.refused is None else (2 if work.is_unusable else 3)
    seconds = {"read": 0.0, "localise": 0.0, "measure": 0.0} | work.seconds
    result = {
        "method": method,
        "method_version": METHODS[method] if method else None,
        "verdict": verdict.value if verdict else None,
        "input_digest": _input_digest(work),
        "program": program(),
        "series": [one.as_json() for one in scan.series] if scan else [],
        "suv": _suv_json(work),
        "measurements": [measurement.as_json() for measurement in work.measurements],
        "findings": [finding.as_json() for finding in work.findings],
        "refused": work.refused.as_json() if work.refused else None,
        "ignored": [_readable(one.as_json()) for one in scan.ignored] if scan else [],
        "seconds": seconds,
    }
    if work.profiles is not None:
        result["profiles"] = work.profiles
    if work.ct is not None:
        ct, slices = work.ct, len(work.ct.instances)
        result["ct"] = {"series_instance_uid": ct.series_instance_uid, "slices": slices, "is_in_frame": ct.is_in_frame}
    if work.conformance is not None:
        result["conformance"] = work.conformance
    return Analysis(json=result, figures=work.figures, exit_status=status)


def _input_digest(work: _Work) -> str | None:
    """Return the digest of the files that moved a number: the series, and the CT where one was measured."""
    if work.series is None or work.ct is None:
        return work.series.input_digest() if work.series is not None else None
    from phantoms.dicom_series import digest_of
    from phantoms.dicom_series.scan import sha256_of

    return digest_of([*map(sha256_of, work.series.sources), *work.ct.file_digests])


def _readable(ignored: dict[str, Any]) -> dict[str, Any]:
    """Return a row whose file name is text, whatever bytes the file system holds for it."""
    return ignored | {"path": os.fsencode(ignored["path"]).decode("utf-8", "replace")}


def _suv_json(work: _Work) -> dict[str, Any]:
    """Return the contract's ``suv`` object; it carries whatever kept the SUV from being given."""
    if work.suv is not None:
        return work.suv.as_json()
    return {
        "factor_g_per_bq": None,
        "body_weight_factors": None,
        "reference_time": None,
        "administration_time": None,
        "decayed_activity_bq": None,
        "candidates": [],
        "trace": [],
        "warnings": [],
        "refused": work.refused.as_json() if work.refused else None,
    }


# --- what a run is known by ------------------------------------------------------------------


@lru_cache
def program() -> dict[str, Any]:
    """Return version, commit and the libraries that make numbers."""
    return {
        "version": VERSION,
        "commit": _commit(),
        "libraries": {
            "python": platform.python_version(),
            **{name: metadata.version(name) for name in ("numpy", "scipy", "pydicom")},
        },
    }


VERSION = "0.1.0"


def _commit() -> str:
    """Return the commit that runs: from the environment of an installed copy, or from the checkout."""
    if commit := os.environ.get("CORELAB_COMMIT"):
        return commit
    folder = Path(__file__).resolve().parents[1] / ".git"
    try:
        head = (folder / "HEAD").read_text().strip()
        if not head.startswith("ref: "):
            return head
        ref = head.removeprefix("ref: ")
        loose = folder / ref
        if loose.is_file():
            return loose.read_text().strip()
        packed = (folder / "packed-refs").read_text().splitlines()
    except OSError:
        return "unknown"
    return next((line.split()[0] for line in packed if line.endswith(ref)), "unknown")


def canonical(value: Any) -> bytes:
    """Return a JSON value as the one sequence of bytes that is digested and signed."""
    return json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":")).encode()


def digest(value: Any) -> str:
    """Return the SHA-256 of a JSON value's canonical bytes."""
    return hashlib.sha256(canonical(value)).hexdigest()


def lasting(result: Mapping[str, Any]) -> dict[str, Any]:
    """Return a result without what differs from one run of the same work to the next."""
    return {key: value for key, value in result.items() if key != "seconds"}
