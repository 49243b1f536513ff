"""What a run raised, in the few facts that lists, a trial's page and its report need beside the verdict.

Plain Python on the offline contract's JSON, like `qc.wording`. The facts are kept with the submission when a run is
handed on, so that counting a trial's scans never reads a whole result.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from phantoms.results import Outcome

#: What keeps a scan from being conformant, the worst first.
DEVIATING = (Outcome.FAIL, Outcome.NOT_EVALUABLE, Outcome.WARN)
#: The cause of a verdict that a physicist gave for what no rule can see.
BY_EYE = "REVIEW"

#: The causes in one or two words, for counting; a rule's own title says what is right, not what deviates.
CAUSES: Mapping[str, str] = {
    "ING-01": "Readable images",
    "ING-02": "Persons and studies",
    "ING-04": "Doubled slices",
    "ING-05": "Number of slices",
    "ING-06": "Missing slices",
    "ING-08": "Orientation",
    "ING-09": "Series to judge",
    "ING-10": "Compression",
    "ING-11": "Images made from others",
    "ING-12": "Projections",
    "ACQ-01": "Bed duration",
    "ACQ-03": "Coverage",
    "INJ-01": "Tracer",
    "INJ-02": "Half-life",
    "INJ-03": "Injected activity",
    "INJ-04": "Net activity",
    "INJ-05": "Injection time",
    "PAT-01": "Weight",
    "PREP-01": "Blood glucose",
    "PREP-02": "Fasting",
    "REC-01": "Corrections",
    "REC-03": "Reconstruction",
    "REC-04": "Filter",
    "REC-05": "Matrix and pixel",
    "REC-06": "Slices",
    "REC-07": "Scanner or software",
    "REC-08": "Clearance",
    "SUV-01": "SUV",
    "TIM-01": "Uptake time",
    "AD-01": "Moved dates",
    BY_EYE: "Seen by the physicist",
    # What only the SUV's own warnings say; what refuses one SUV may warn beside another (`phantoms.suv.catalogue`).
    "SUV-NOT-CORRECTED": "Corrections",
    "SUV-UNITS": "Units",
    "SUV-INCONSISTENT": "Slices that disagree",
    "SUV-NO-WEIGHT": "Weight",
    "SUV-NO-HEIGHT": "Height",
    "SUV-HEIGHT": "Height",
    "SUV-NO-SEX": "Sex",
    "SUV-HABITUS": "Weight and height",
    "SUV-TWO-TRACERS": "Several injections",
    "SUV-NO-DOSE": "Injected activity",
    "SUV-HALF-LIFE": "Half-life",
    "SUV-DECAY-UNKNOWN": "Decay correction",
    "SUV-NO-REFERENCE": "Reference time",
    "SUV-CORRECTIONS": "Corrections",
    "SUV-LBM-120": "Lean mass formula",
    "SUV-DERIVED": "Images made from others",
    "SUV-INTERCEPT": "Rescale intercept",
    "SUV-FACTORS-DISAGREE": "Philips' two factors",
    "SUV-FACTOR-UNDECAYED": "Philips' one factor",
    "SUV-PRIVATE-NO-CREATOR": "Private values",
    "SUV-WEIGHT": "Weight",
    "SUV-HEIGHT-CM": "Unit of the height",
    "SUV-SEX-OTHER": "Sex",
    "SUV-DOSE": "Injected activity",
    "SUV-DOSE-MBQ": "Unit of the activity",
    "SUV-NUCLIDE": "Half-life",
    "SUV-NO-TIME": "Injection time",
    "SUV-INJECTION-TIMES": "Injection time",
    "SUV-MIDNIGHT": "Injection on the day before",
    "SUV-UPTAKE": "Uptake time",
    "SUV-TREF-CONFLICT": "Reference time",
    "SUV-CHOICE": "Chosen reference time",
    "SUV-OFFSET": "Offset from UTC",
}


def cause_words(rule: str) -> str:
    """Return what deviates where a rule raises something: ``Uptake time``; the id of what is no rule."""
    return CAUSES.get(rule, rule)


def raised_findings(result: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """Yield the findings of a result that deviate; what is only for information never does."""
    for finding in result.get("findings", []):
        if finding["outcome"] in DEVIATING and finding["severity"] != "info":
            yield finding


def summary_of(result: Mapping[str, Any]) -> dict[str, Any]:
    """Return the columns of a submission that are taken from its run's result.

    Returns
    -------
    dict
        ``uptake_min``, minutes from injection to scan or None; ``raised``, the worst outcome by rule.
    """
    raised: dict[str, str] = {}
    for finding in raised_findings(result):
        known = raised.get(finding["id"])
        if known is None or DEVIATING.index(Outcome(finding["outcome"])) < DEVIATING.index(Outcome(known)):
            raised[finding["id"]] = str(finding["outcome"])
    return {"uptake_min": values_of(result).get("uptake_min"), "raised": raised}


def values_of(result: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the scan-day values that a patient's run settled on; empty where there are none."""
    return (result.get("conformance") or {}).get("values") or {}
