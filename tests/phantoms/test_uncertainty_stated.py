"""Every number that a phantom method gives has one standard deviation, or stands here as one that cannot tell it."""

from __future__ import annotations

import math
import re
from typing import Any

import pytest

from phantoms import acr, cylinder, digital, digital_acr, nema_iq
from phantoms.sheet import Sheet

#: Numbers without an uncertainty: how a phantom lies and was found, extremes of a few pixels, and what follows of them.
NOT_STATED = {
    "cylinder": set(),
    "nema_iq": {
        "background_edge_margin_mm",
        "background_sphere_margin_mm",
        "localisation_residual_mm",
        "phantom_tilt_deg",
    },
    "acr": {
        "acr_cov_pct",
        "acr_diameter_mm",
        "acr_nu_pct",
        "acr_ring_residual_mm",
        "acr_tilt_deg",
        *(f"acr_cylinder_{diameter}mm_suv_max" for diameter in (8, 12, 16, 25)),
        *(f"acr_ratio_{diameter}_25" for diameter in (8, 12, 16)),
        *(f"acr_{name}_suv_min" for name in ("air", "bone", "water")),
    },
}
#: The margin behind a proposed filter is next to nothing by construction, and its ends may be those of the search.
OF_A_SEARCH = re.compile(r"harmonisation_filter_\w+")


def measured(method: str) -> Any:
    if method == "cylinder":
        scan = digital.uniform_cylinder(cov=0.05, shape_zyx=(66, 68, 68), spacing_zyx_mm=(4.0, 4.0, 4.0), seed=1)
        measure: Any = cylinder.measure
    elif method == "acr":
        scan, measure = digital_acr.acr_pet(seed=1), acr.measure
    else:
        # Over 3° of tilt the numbers of the image's own slices stand beside.
        grid = {"shape_zyx": (70, 100, 100), "spacing_zyx_mm": (3.0, 3.3, 3.3)}
        scan, measure = digital.nema_iq(7.0, 0.05, tilt_x_deg=5.0, seed=1, **grid), nema_iq.measure
    return measure(
        scan.volume, reference_time=scan.truth["reference_time"], sheet=Sheet.parse(scan.sheet), suv_factor=1 / 4000
    )


@pytest.mark.parametrize("method", list(NOT_STATED))
def test_numbers_when_given_then_state_their_uncertainty_or_are_known_not_to(method: str) -> None:
    given = [one for one in measured(method).measurements if one.value is not None]
    silent = {one.name for one in given if one.uncertainty is None and not OF_A_SEARCH.fullmatch(one.name)}
    assert silent == NOT_STATED[method] & {one.name for one in given}
    for one in given:
        if one.uncertainty is None:
            assert "UNCERTAINTY_NOT_STATED" in one.as_json()["flags"], one.name
        else:
            assert math.isfinite(one.uncertainty), one.name
            assert one.uncertainty > 0, one.name
