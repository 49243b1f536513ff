"""Every rule that a scan is held to: each a named claim with evidence, and "cannot tell" is an answer.

`RULES` has them by id; `evaluate` answers all that apply to a kind of scan. A rule lives in the module named for what
it is about. How rules make one verdict is said in `verdict`.
"""

from qc.conformance import (  # noqa: F401 (importing a module enters its rules)
    acquisition,
    ingest,
    injection,
    patient,
    reconstruction,
    register,
    suv,
    timing,
)
from qc.conformance.engine import (
    ALL_KINDS,
    PATIENT,
    RULES,
    Answer,
    Inputs,
    Rule,
    evaluate,
    rule,
    spoken_for,
    verdict,
)
from qc.conformance.inputs import inputs_of
from qc.conformance.shown import shown_of

__all__ = [
    "ALL_KINDS",
    "PATIENT",
    "RULES",
    "Answer",
    "Inputs",
    "Rule",
    "evaluate",
    "inputs_of",
    "rule",
    "shown_of",
    "spoken_for",
    "verdict",
]
