"""What a site can repair at once, before a physicist has spoken."""

from __future__ import annotations

from typing import Any

from phantoms.results import Finding, Outcome, Owner
from phantoms.suv.catalogue import CATALOGUE
from qc.models import Run, Submission
from qc.models.submissions import Kind

#: Refusals that a site can repair at once are shown to it before the review.
REPAIRABLE_FAMILIES = ("SUV-", "SERIES-", "ING-", "SHEET-", "MODALITY-")


def repairable_findings(submission: Submission) -> list[dict[str, Any]]:
    """Return what the site can repair at once: how it arrived, what rules ask of it, and a refusal of its families.

    Shown to the site before the review; measured verdicts are not.
    """
    findings = list(submission.check_findings)
    run = submission.current_run
    if run is None or not run.result:
        return findings
    asked = _asked_of_site(run) if submission.kind == Kind.PATIENT else []
    # What a rule says in the run is the last word on what the arrival said.
    said = {one["id"] for one in asked}
    findings = [one for one in findings if one["id"] not in said] + asked
    refusals = [] if said & _SAYS_REFUSAL else [run.result.get("refused")]
    if submission.kind == Kind.PATIENT and "SUV-01" not in said:
        # Of a phantom the sheet tells the dose, so a missing SUV is nothing that the site must repair.
        refusals.append(run.result.get("suv", {}).get("refused"))
    known = {finding["id"] for finding in findings}
    for refused in refusals:
        if refused and refused["code"].startswith(REPAIRABLE_FAMILIES) and refused["code"] not in known:
            known.add(refused["code"])
            finding = Finding(
                id=refused["code"],
                outcome=Outcome.NOT_EVALUABLE,
                severity="query",
                message=refused["detail"],
                observed=refused["attribute"] or "",
                next_step=refused["next_step"],
                owner=CATALOGUE[refused["code"]].owner if refused["code"] in CATALOGUE else Owner.SITE,
            )
            findings.append(finding.as_json())
    return findings


#: Rules that say in their own words why a series was refused.
_SAYS_REFUSAL = frozenset({"ING-01", "ING-09"})


def _asked_of_site(run: Run) -> list[dict[str, Any]]:
    """Return what the rules ask of the site about a scan."""
    return [
        one
        for one in run.result.get("findings", [])
        if one["owner"] == Owner.SITE.value
        and one["severity"] != "info"
        and one["outcome"] in (Outcome.FAIL, Outcome.WARN, Outcome.NOT_EVALUABLE)
    ]
