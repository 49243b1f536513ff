"""The NEMA image-quality phantom: recovery, contrast, background variability, lung residual (method ``nema_iq``).

Every phantom method answers to the same two calls: ``measure`` a volume, and ``diagnose`` why a standard is failed.
Here the first is made of two: ``measure_numbers`` gives what a standard judges, ``look_for_faults`` what is wrong with
this phantom whatever any standard says. Sources: NEMA NU 2-2018 and 2012 section 7; EARL.
"""

from phantoms.diagnosis import diagnose
from phantoms.nema_iq.background import PLANE_OFFSETS_MM
from phantoms.nema_iq.lung import LUNG_EXCLUSION_MM, LUNG_ROI_DIAMETER_MM
from phantoms.nema_iq.method import NemaIqResult, look_for_faults, measure, measure_numbers
from phantoms.nema_iq.post_filter import without_filter
from phantoms.nema_iq.sphere import SphereResult

__all__ = [
    "LUNG_EXCLUSION_MM",
    "LUNG_ROI_DIAMETER_MM",
    "PLANE_OFFSETS_MM",
    "NemaIqResult",
    "SphereResult",
    "diagnose",
    "look_for_faults",
    "measure",
    "measure_numbers",
    "without_filter",
]
