"""The ways through an analysis: of one scan, of replicates, of headers alone, of a calibrator's readings."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from time import perf_counter
from typing import TYPE_CHECKING, Any

from phantoms.errors import AnalysisRefused
from qc.analysis.methods import FILLS
from qc.analysis.outcome import compose
from qc.analysis.phantom import measure_phantom
from qc.analysis.pixels import image_measurements, mask_measurements
from qc.analysis.provenance import digest
from qc.analysis.request import Analysis, Request, Work
from qc.analysis.said import refusal_finding, suv_findings, warning_finding

if TYPE_CHECKING:
    from phantoms.acr_pose import AcrPose
    from phantoms.dicom_series import Source
    from phantoms.localise import NemaPose
    from phantoms.volume import PetVolume


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
    return compose(_work_on(files, request, with_figures=with_figures), request)


def _work_on(files: Sequence[Source], request: Request, *, with_figures: bool) -> Work:
    work = Work(method=request.method)
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
            return compose(work, asked)
    measured = [
        replicates.Replicate(uid, replicates.acquisition_span(work.series.header), tuple(work.measurements))
        for uid, work in zip(series_uids, works, strict=True)
        if work.series is not None
    ]
    try:
        combined = replicates.combine(measured)
    except AnalysisRefused as refused:
        works[0].refused = refused
        return compose(works[0], requests[0])
    outcome = compose(works[0], requests[0])
    outcome.json["replicates"] = {
        "series": list(series_uids),
        "measurements": [one.as_json() for one in combined],
    }
    return outcome


def conform_files(files: Sequence[Source], request: Request) -> Analysis:
    """Hold one patient scan to its rules by the headers alone; see `analyse_files`."""
    work = Work(method="patient")
    try:
        _read(work, files, request)
    except AnalysisRefused as refused:
        work.refused = refused
    _hold_to_rules(work, request)
    return compose(work, request)


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

    work = Work(method="calibrator")
    try:
        result = work.timed("measure", lambda: calibrator.measure(readings))
    except AnalysisRefused as refused:
        work.refused = refused
        return compose(work, request)
    deciding = [standards.load(one) for one in request.standards]
    work.measurements += result.measurements
    for standard in {one.id: one for one in (standards.load(calibrator.STANDARD), *deciding)}.values():
        work.measurements += standards.judge(result.measurements, standard)
    work.findings += calibrator.diagnose(result, deciding[0])
    if with_figures:
        from phantoms import figures

        work.figures = work.timed("figures", lambda: figures.calibrator_figures(result, deciding[0]))
    composed = compose(work, request)
    # The readings are the input; without a series nothing else names them.
    return replace(composed, json=composed.json | {"input_digest": f"sha256:{digest(readings)}"})


def unusable(code: str, detail: str, next_step: str, request: Request) -> Analysis:
    """Return the object for input that is no input: wrong usage, or a path that is not there."""
    work = Work(method=request.method, is_unusable=True)
    work.refused = AnalysisRefused(code, detail, None, next_step)
    return compose(work, request)


def _read(work: Work, files: Sequence[Source], request: Request) -> None:
    """Read all headers, choose the series and work out its SUV."""
    from phantoms import dicom_series, suv

    work.scan = work.timed("read", lambda: dicom_series.read_scan(files))
    if not work.scan.series:
        work.is_unusable = not any(ignored.is_dicom for ignored in work.scan.ignored)
    series = work.series = dicom_series.choose(work.scan, request.series_uid)
    work.suv = suv.suv_factor(
        series.header, chosen_reference=request.chosen_reference, accepts_lbm120=request.accepts_lbm120
    )


def _measure(work: Work, request: Request, with_figures: bool) -> None:
    series, suv_result = work.series, work.suv
    assert series is not None  # noqa: S101 (both were read)
    assert suv_result is not None  # noqa: S101
    if request.method == "suv":
        work.refused = suv_result.refused
        work.findings += suv_findings(suv_result, request)
    volume: PetVolume = work.timed("read", series.load)
    work.measurements += image_measurements(volume, suv_result)
    if request.mask is not None:
        work.measurements += mask_measurements(volume, suv_result, request.mask)
    pose: NemaPose | AcrPose | None = None
    not_found = None
    if request.method == "auto":
        work.method, pose, not_found = work.timed("localise", lambda: recognise(volume))
    if work.method in FILLS:
        measure_phantom(work, request, volume, pose, with_figures=with_figures)
    elif work.method == "patient":
        work.findings += suv_findings(suv_result, request)
        if not_found is not None and (request.sheet or {}).get("fills"):
            work.findings.append(refusal_finding(not_found))
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


def _hold_to_rules(work: Work, request: Request) -> None:
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
        findings += [warning_finding(warned) for warned in work.suv.warnings if warned.code not in said]
    work.findings += findings
    given = request.conformance.get("protocol")
    about = {"version": given.get("version"), "digest": digest(given["document"])} if given else None
    work.conformance = {"protocol": about, **conformance.shown_of(inputs)}
