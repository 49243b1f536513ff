"""What the activity sheet says is true of a NEMA image-quality phantom, and how surely."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from phantoms.results import QualityFlag, other_than_bqml

if TYPE_CHECKING:
    from datetime import datetime

    from phantoms.sheet import Sheet


@dataclass(frozen=True)
class Truth:
    """True concentrations, Bq/mL, with the flags that say where they come from or why they are missing."""

    sphere_bqml: float | None
    sphere_flags: QualityFlag
    background_bqml: float | None
    background_flags: QualityFlag
    ratio: float | None
    ratio_flags: QualityFlag
    unit_flags: QualityFlag  # what a number carries that needs Bq/mL
    has_concentrations: bool  # whether the image's values can be compared with Bq/mL
    sphere_rel: float  # relative uncertainty of the sphere concentration
    ratio_rel: float  # and of the ratio

    @property
    def known(self) -> dict[str, float | None]:
        """What `phantoms.sphere_noise.recovery_sds` asks for."""
        return {
            "sphere": self.sphere_bqml if self.has_concentrations else None,
            "sphere_rel": self.sphere_rel,
            "ratio": self.ratio,
            "ratio_rel": self.ratio_rel,
        }


def true_values(sheet: Sheet | None, reference_time: datetime | None, unit: str) -> Truth:
    """Return what the sheet says at the image's decay reference time; ``unit`` is the image's."""
    unit_flags = other_than_bqml(unit)
    has_concentrations = QualityFlag.OTHER_UNITS not in unit_flags
    if sheet is None:
        missing = QualityFlag.NO_SHEET
        return Truth(None, missing, None, missing, None, missing, unit_flags, has_concentrations, 0.0, 0.0)
    sphere_rel = sheet.uncertainty_budget("spheres").total_pct / 100.0
    sphere, sphere_flags = sheet.concentration_bqml("spheres", reference_time)
    background, background_flags = sheet.concentration_bqml("background", reference_time)
    ratio, ratio_flags = sheet.activity_ratio(reference_time)
    return Truth(
        sphere,
        sphere_flags,
        background,
        background_flags,
        ratio,
        ratio_flags,
        unit_flags,
        has_concentrations,
        sphere_rel,
        sheet.ratio_uncertainty_pct() / 100.0,
    )
