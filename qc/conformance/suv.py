"""Whether SUV can be worked out."""

from __future__ import annotations

from phantoms.results import Owner
from phantoms.suv.catalogue import CATALOGUE
from qc.conformance.engine import PATIENT, Answer, Inputs, passed, rule, unknown, warned
from qc.conformance.ingest import ONE_SERIES


@rule(
    "SUV-01",
    title="SUV can be worked out",
    severity="exclude",
    source="DICOM PS3.3 C.8.9.1; QIBA SUV vendor-neutral pseudo-code; IBSI SUV v3",
    attributes="(0054,1001) (0054,1102) (0010,1030) (0018,1074) (0018,1075)",
    needs=(ONE_SERIES,),
    applies_to=PATIENT,
    speaks_for=("SUV-TREF-CONFLICT",),
)
def suv_can_be_worked_out(inputs: Inputs) -> Answer:
    """The headers lead to one SUV factor, and the ways to the reference time agree."""
    suv = inputs.suv
    if suv is None:
        return unknown("SUV was not worked out: no series was chosen.", expected="a SUV factor")
    if suv.refused is not None:
        entry = CATALOGUE.get(suv.refused.code)
        return unknown(
            f"SUV was not worked out. {suv.refused.detail}",
            observed=suv.refused.attribute or "",
            expected="a SUV factor",
            next_step=suv.refused.next_step,
            owner=entry.owner if entry else Owner.SITE,
            reason=suv.refused.code,
        )
    conflict = next((one for one in suv.warnings if one.code == "SUV-TREF-CONFLICT"), None)
    observed = f"{suv.factor_g_per_bq:.6e}" if suv.factor_g_per_bq is not None else "one factor a slice"
    if conflict is not None:
        return warned(
            conflict.detail,
            observed=observed,
            expected="one reference time",
            next_step="Nothing yet: a physicist decides and may ask you for the scanner's start time.",
            owner=Owner.CORE_LAB,
            reason=conflict.code,
        )
    return passed("SUV can be worked out.", observed=observed, expected="a SUV factor")
