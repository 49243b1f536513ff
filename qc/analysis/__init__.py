"""One submission's files in, one JSON object out: the same code for workers and for the offline command.

No Django here. What a method needs is imported when it is needed, so that the offline command starts fast.
"""

from qc.analysis.methods import DEFAULT_STANDARD, FILLS, METHODS, OWN_STANDARD, READ_AS, deciding_for, nominal_ratio
from qc.analysis.outcome import decide
from qc.analysis.provenance import VERSION, canonical, digest, lasting, program
from qc.analysis.request import Analysis, Request
from qc.analysis.roads import analyse_files, analyse_readings, analyse_replicates, conform_files, recognise, unusable

__all__ = [
    "DEFAULT_STANDARD",
    "FILLS",
    "METHODS",
    "OWN_STANDARD",
    "READ_AS",
    "VERSION",
    "Analysis",
    "Request",
    "analyse_files",
    "analyse_readings",
    "analyse_replicates",
    "canonical",
    "conform_files",
    "decide",
    "deciding_for",
    "digest",
    "lasting",
    "nominal_ratio",
    "program",
    "recognise",
    "unusable",
]
