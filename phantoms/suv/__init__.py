"""From pixel values to SUV: one factor with the trace of every header value and decision behind it, or a refusal.

``SUVbw = C(t_ref) · W / D(t_ref)``: concentration and activity must refer to one instant. Headers name that instant
in several ways (`phantoms.suv.reference`); nothing is guessed: a value that is missing or cannot be true is refused
with a code. Sources: DICOM PS3.3 C.8.9.1; QIBA SUV vendor-neutral pseudo-code (2018); IBSI-SUV v3. Plain Python
without numpy or pydicom, so that a program at a site can use it.
"""

from phantoms.nuclides import NUCLIDES, half_life_s
from phantoms.suv.factor import SuvResult, suv_factor
from phantoms.suv.header import Injection, SeriesHeader, SliceHeader
from phantoms.suv.notes import TraceLine, Warned
from phantoms.suv.reference import Candidate

__all__ = [
    "NUCLIDES",
    "Candidate",
    "Injection",
    "SeriesHeader",
    "SliceHeader",
    "SuvResult",
    "TraceLine",
    "Warned",
    "half_life_s",
    "suv_factor",
]
