"""How the scan was acquired: how long each bed took, how much of the body is shown."""

from __future__ import annotations

from phantoms.results import Owner
from qc.conformance.engine import PATIENT, Answer, Inputs, judged, no_protocol, rule, unknown
from qc.conformance.ingest import ONE_SERIES, PLACED


@rule(
    "ACQ-01",
    title="Each bed was scanned long enough",
    severity="query",
    source="the trial's protocol, in the light of the injected activity (EANM FDG guideline 2.0)",
    attributes="(0018,1242)",
    needs=(ONE_SERIES,),
    applies_to=PATIENT,
)
def frames_are_long_enough(inputs: Inputs) -> Answer | None:
    """The shortest frame lasted as long as the protocol asks."""
    limit, frames = inputs.limit("frame_min"), inputs.facts.frame_min
    if limit is None:
        return None if inputs.protocol else no_protocol()
    if not frames:
        return unknown(
            "The duration of the frames is missing (0018,1242).",
            observed="missing",
            expected=limit.expected,
            next_step="Tell us how long each bed was scanned.",
            owner=Owner.SITE,
        )
    return judged(
        frames[0],
        limit,
        "The shortest bed was scanned for {} (0018,1242)",
        decimals=1,
        next_step="Check the scan protocol at the console. If it is right, give the reason.",
    )


@rule(
    "ACQ-03",
    title="Enough of the body is shown",
    severity="query",
    source="the trial's protocol; the extent is confirmed by eye",
    attributes="(0020,0032)",
    needs=(PLACED,),
    applies_to=PATIENT,
)
def coverage_is_right(inputs: Inputs) -> Answer | None:
    """The slices reach as far along the body as the protocol asks."""
    limit, coverage_mm = inputs.limit("coverage_mm"), inputs.facts.coverage_mm
    if limit is None:
        return None if inputs.protocol else no_protocol()
    if coverage_mm is None:
        return unknown(
            "How far the slices reach cannot be told: their thickness is missing (0018,0050).",
            observed="missing",
            expected=limit.expected,
            next_step="Send the whole original series.",
            owner=Owner.SITE,
        )
    return judged(
        coverage_mm,
        limit,
        "The images show {} of the body (0020,0032)",
        next_step="Send the whole series. If no more was scanned, give the reason.",
    )
