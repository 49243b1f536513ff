"""How often the stated standard deviation of a cylinder's number holds the truth.

``python -m bench.phantoms.cylinder_uncertainty --seeds 200`` prints the table that ``bench/phantoms/README.md`` keeps.
A Gaussian number lies within one standard deviation of the truth in 68.3 %; of 200 draws between 62 and 75 % (two
standard errors).
"""

from __future__ import annotations

import argparse
import time
from collections import defaultdict
from collections.abc import Mapping
from copy import deepcopy
from typing import Any

import numpy as np

from phantoms import cylinder, digital
from phantoms.results import Measurement
from phantoms.sheet import Sheet

EXTENT_MM = 270.0
SUV_FACTOR = 1 / 7500
#: Numbers whose truth is that of the same object without noise and with a true fill.
NOISE_FREE = (
    "cylinder_mean_bqml",
    "cylinder_bias_pct",
    "cylinder_cross_calibration",
    "cylinder_suv_mean",
    "cylinder_suv_slice_min",
    "cylinder_suv_slice_max",
    "cylinder_slice_deviation_max_pct",
    "cylinder_axial_slope_pct_per_cm",
    "cylinder_cupping_pct",
)
#: Numbers that are of the noise itself: their truth is the mean of all repeats of one object.
OF_REPEATS = ("cylinder_nu_pct", "cylinder_cov_pct")


def measured(scan: digital.DigitalScan, sheet: Mapping[str, Any]) -> dict[str, Measurement]:
    result = cylinder.measure(
        scan.volume, reference_time=scan.truth["reference_time"], sheet=Sheet.parse(sheet), suv_factor=SUV_FACTOR
    )
    return {one.name: one for one in result.measurements}


def with_fill_errors(sheet: Mapping[str, Any], rng: np.random.Generator) -> tuple[dict[str, Any], float]:
    """Write a sheet whose activity is off by what its budget says, and return by which factor."""
    budget = Sheet.parse(sheet).uncertainty_budget("cylinder")
    assert budget is not None
    factor = float(np.prod([1 + rng.normal(0, row.pct / 100) for row in budget.rows]))
    wrong = deepcopy(dict(sheet))
    for fill in wrong["fills"]:
        fill["activity_mbq"] *= factor
        fill["residual_mbq"] *= factor
    return wrong, factor


def scores_of_poses(seeds: int) -> dict[str, list[float]]:
    """Draw pose, voxels, noise, blur, shading, calibration and fill errors; return each number's error over its SD."""
    scores: dict[str, list[float]] = defaultdict(list)
    for seed in range(seeds):
        rng = np.random.default_rng([seed, 77])
        tilt, way = rng.uniform(1, 8), rng.uniform(0, 2 * np.pi)
        planar, axial = rng.uniform(3, 5, 2)
        drawn: dict[str, Any] = {
            "tilt_x_deg": tilt * np.cos(way),
            "tilt_y_deg": tilt * np.sin(way),
            "shift_mm": tuple(rng.uniform(-12, 12, 3)),
            "spacing_zyx_mm": (axial, planar, planar),
            "shape_zyx": (round(EXTENT_MM / axial), round(EXTENT_MM / planar), round(EXTENT_MM / planar)),
            "fwhm_mm": rng.uniform(5, 9),
            "calibration": rng.uniform(0.9, 1.1),
            "axial_slope_pct_per_cm": rng.choice((-1, 1)) * rng.uniform(1, 2),
            "cupping_pct": rng.uniform(-10, 10),
        }
        cov = rng.uniform(0.02, 0.20)
        clean = digital.uniform_cylinder(**drawn, cov=0.0)
        truth = measured(clean, clean.sheet or {})
        noisy = digital.uniform_cylinder(**drawn, cov=cov, seed=seed)
        sheet, factor = with_fill_errors(noisy.sheet or {}, rng)
        found = measured(noisy, sheet)
        true_values = {name: truth[name].value for name in NOISE_FREE} | {
            "cylinder_expected_bqml": noisy.truth["concentration_bqml"],
            "cylinder_edge_fwhm_mm": drawn["fwhm_mm"],
            "cylinder_diameter_mm": 2 * noisy.truth["radius_mm"],
            "cylinder_tilt_deg": noisy.truth["tilt_deg"],
        }
        for name, true_value in true_values.items():
            one = found[name]
            if one.value is None or one.uncertainty is None or true_value is None:
                continue
            # The header's dose is the sheet's: what is wrong in the fill is wrong in the SUV.
            value = one.value / factor if "_suv_" in name else one.value
            scores[name].append((value - true_value) / one.uncertainty)
    return scores


def scores_of_repeats(seeds: int) -> dict[str, list[float]]:
    """Draw one object again and again; return each number's distance from the mean of all, over its SD."""
    rows = []
    for seed in range(seeds):
        scan = digital.uniform_cylinder(shape_zyx=(66, 68, 68), spacing_zyx_mm=(4.0, 4.0, 4.0), cov=0.1, seed=seed)
        rows.append(measured(scan, scan.sheet or {}))
    scores = {}
    for name in OF_REPEATS:
        pairs = [(row[name].value or 0.0, row[name].uncertainty or np.inf) for row in rows]
        mean = float(np.mean([value for value, _ in pairs]))
        scores[name] = [(value - mean) / sd for value, sd in pairs]
    return scores


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=200)
    asked = parser.parse_args()
    began = time.process_time()
    print("| number | drawn | within 1 SD | within 2 SD | RMS of the error over the SD |")
    print("|---|---|---|---|---|", flush=True)
    for scores in (scores_of_poses(asked.seeds), scores_of_repeats(asked.seeds)):
        for name, drawn in scores.items():
            one = np.array(drawn)
            within = [100 * float((np.abs(one) <= reach).mean()) for reach in (1, 2)]
            rms = float(np.sqrt((one**2).mean()))
            print(f"| `{name}` | {len(one)} | {within[0]:.0f} % | {within[1]:.0f} % | {rms:.2f} |", flush=True)
    print(f"\n{time.process_time() - began:.0f} s of the processor")


if __name__ == "__main__":
    main()
