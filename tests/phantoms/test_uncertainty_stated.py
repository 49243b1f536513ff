"""Every number that a phantom method gives has one standard deviation; a setting among them says that it is one."""

from __future__ import annotations

import math
from typing import Any

import pytest

from phantoms import acr, calibrator, cylinder, digital, digital_acr, nema_iq
from phantoms.results import QualityFlag
from phantoms.sheet import Sheet

METHODS = ("cylinder", "nema_iq", "acr", "calibrator")
#: What scatter correction leaves in the cold cylinders: one that reads nothing has no noise to tell.
LEFT = {"water": 0.15, "air": 0.2, "bone": 0.12}
#: Where the interval of filters ends with the search, that end is a setting; it says so, and has no uncertainty.
SETTING = QualityFlag.SEARCH_END


def readings() -> dict[str, Any]:
    """Return what a site enters for its calibrator, with all its parts."""
    day = "2026-03-0{}T08:00:00".format
    falling = ((0, 900.0), (2, 420.3), (4, 197.1), (6, 92.4), (8, 43.3), (10, 20.35))
    return {
        "source": {"nuclide": "Cs-137", "activity_mbq": 9.2, "calibrated_at": day(1), "uncertainty_pct": 1.5},
        "readings": [{"at": day(k + 2), "activity_mbq": one} for k, one in enumerate((9.25, 9.31, 9.27))],
        "linearity": {
            "nuclide": "F-18",
            "readings": [{"at": f"2026-03-02T{8 + hour:02}:00:00", "activity_mbq": one} for hour, one in falling],
        },
        "clock_offset_s": 20,
    }


def measured(method: str) -> Any:
    if method == "calibrator":
        return calibrator.measure(readings())
    if method == "cylinder":
        scan = digital.uniform_cylinder(cov=0.05, shape_zyx=(66, 68, 68), spacing_zyx_mm=(4.0, 4.0, 4.0), seed=1)
        measure: Any = cylinder.measure
    elif method == "acr":
        scan, measure = digital_acr.acr_pet(seed=1, cold_fractions=LEFT), acr.measure
    else:
        # Over 3° of tilt the numbers of the image's own slices stand beside.
        grid = {"shape_zyx": (70, 100, 100), "spacing_zyx_mm": (3.0, 3.3, 3.3)}
        scan, measure = digital.nema_iq(7.0, 0.05, tilt_x_deg=5.0, seed=1, **grid), nema_iq.measure
    return measure(
        scan.volume, reference_time=scan.truth["reference_time"], sheet=Sheet.parse(scan.sheet), suv_factor=1 / 4000
    )


@pytest.mark.parametrize("method", METHODS)
def test_numbers_when_given_then_state_their_uncertainty_or_are_an_end_of_a_search(method: str) -> None:
    given = [one for one in measured(method).measurements if one.value is not None]
    silent = {one.name for one in given if one.uncertainty is None and SETTING not in one.flags}
    assert silent == set()
    for one in given:
        if one.uncertainty is None:
            assert "UNCERTAINTY_NOT_STATED" in one.as_json()["flags"], one.name
        else:
            assert math.isfinite(one.uncertainty), one.name
            assert one.uncertainty > 0, one.name
