"""What the headers of one scan say, as one frozen view that the rules read: no arrays, no files, no framework.

Made from the headers that `phantoms.dicom_series.read_scan` read already, those of the PET images and of what came
with them. Names are DICOM keywords; what was worked out of several attributes has a name of its own. None, or an empty
tuple, is what the headers do not say. Each attribute names its tag and the rules that it serves or is kept for.
"""

from __future__ import annotations

from qc.facts.console import GEConsole, Syringe
from qc.facts.ct import CtSeries
from qc.facts.identity import Identity
from qc.facts.reconstruction import Reconstruction, filter_words, read_reconstruction
from qc.facts.slices import Bed, Numbering
from qc.facts.submission import CorrectionMethods, SubmissionFacts, facts_of, fingerprint_of

__all__ = [
    "Bed",
    "CorrectionMethods",
    "CtSeries",
    "GEConsole",
    "Identity",
    "Numbering",
    "Reconstruction",
    "SubmissionFacts",
    "Syringe",
    "facts_of",
    "filter_words",
    "fingerprint_of",
    "read_reconstruction",
]
