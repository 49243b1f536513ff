"""The verdict of the whole, and the one JSON object that an analysis gives."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Any

from phantoms.results import Finding, Measurement, Outcome, counted, worst
from qc.analysis.methods import METHODS, deciding_for
from qc.analysis.provenance import program
from qc.analysis.request import Analysis, Request, Work


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


def compose(work: Work, request: Request) -> Analysis:
    """Return what the work came to, with the verdict of what decides."""
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
        "ignored": _ignored(work),
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


def _input_digest(work: Work) -> str | None:
    """Return the digest of the files that moved a number: the series, and the CT where one was measured."""
    if work.series is None or work.ct is None:
        return work.series.input_digest() if work.series is not None else None
    from phantoms.dicom_series import digest_of
    from phantoms.dicom_series.scan import sha256_of

    return digest_of([*map(sha256_of, work.series.sources), *work.ct.file_digests])


def _ignored(work: Work) -> list[dict[str, Any]]:
    """Return the files that are in no PET series, with the reason; those of the CT that was measured say so.

    A file name is text, whatever bytes the file system holds for it.
    """
    measured = {one.source.name for one in work.ct.instances} if work.ct is not None else set()
    rows: list[dict[str, Any]] = []
    for one in work.scan.ignored if work.scan else ():
        row = one.as_json() | {"path": os.fsencode(one.path).decode("utf-8", "replace")}
        is_measured = one.path in measured
        rows.append(row | {"reason": "Measured as the CT of the phantom.", "used_as": "ct"} if is_measured else row)
    return rows


def _suv_json(work: Work) -> dict[str, Any]:
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
