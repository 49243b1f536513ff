"""Findings from what the headers and their SUV say, before any pixel is measured."""

from __future__ import annotations

from typing import TYPE_CHECKING

from phantoms.results import Finding, Outcome, Owner

if TYPE_CHECKING:
    from phantoms.dicom_series import Series
    from phantoms.errors import AnalysisRefused
    from phantoms.suv import SuvResult, Warned
    from qc.analysis.request import Request

#: What is wrong with the image itself: no phantom passes on such pixels, whatever its sheet says. Weight, dose and
#: uptake are not among them, for a phantom is judged against its sheet.
IMAGE_PROBLEMS = frozenset({"SUV-NOT-CORRECTED", "SUV-DECAY-UNKNOWN", "SUV-TREF-CONFLICT", "SUV-CHOICE"})
#: Attributes that must be one on all slices before their values may be compared with one another.
ONE_FOR_ALL_SLICES = frozenset({"Units", "DecayCorrection", "CorrectedImage", "SeriesDate", "SeriesTime"})
#: Doubts about the reference time, to which the sheet is decayed.
IMAGE_DOUBTS = frozenset({"SUV-TREF-CONFLICT", "SUV-CHOICE", "AD-01", "SUV-PRIVATE-NO-CREATOR", "SUV-OFFSET"})


def image_findings(series: Series, suv: SuvResult) -> list[Finding]:
    """Return what the headers say against judging these pixels at all, and what makes their time doubtful."""
    problems = [suv.refused, *suv.further_problems] if suv.refused is not None else []
    split = ONE_FOR_ALL_SLICES & set(series.header.differing)
    fatal = {
        problem.code: refusal_finding(problem)
        for problem in problems
        if problem.code in IMAGE_PROBLEMS or (problem.code == "SUV-INCONSISTENT" and split)
    }
    doubts = {warned.code: warning_finding(warned) for warned in suv.warnings if warned.code in IMAGE_DOUBTS}
    return list((doubts | fatal).values())


def refusal_finding(refused: AnalysisRefused) -> Finding:
    """Return a refusal as a finding, whose owner the catalogue names."""
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


def warning_finding(warned: Warned) -> Finding:
    """Return a warning of the SUV as a finding for the core lab."""
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


def suv_findings(suv: SuvResult, request: Request) -> list[Finding]:
    """Return one finding for the SUV itself and one for each warning of its trace; nothing where rules speak of it."""
    if request.conformance is not None:
        return []
    if suv.refused is not None:
        itself = refusal_finding(suv.refused)
    else:
        itself = Finding(id="SUV-01", outcome=Outcome.PASS, severity="exclude", message="SUV can be worked out.")
    return [itself, *(warning_finding(warned) for warned in suv.warnings)]
