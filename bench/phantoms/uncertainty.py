"""Whether the stated uncertainties of a sphere phantom hold: how often one standard deviation holds the truth.

``python -m bench.phantoms.uncertainty --seeds 200`` prints the table that ``bench/phantoms/README.md`` keeps. Each
pose, grid, blur and noise level is measured over many noises and sheets. The truth of what is read off noisy voxels
(hottest voxel, A50, peak) is its mean over those noises on that grid; a sheet is off by what its budget says.
"""

from __future__ import annotations

import argparse
import copy
import re
import time
from collections import defaultdict
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import numpy as np

from phantoms import digital, nema_iq
from phantoms.sheet import FillUncertainty, Sheet

NOISES = 20  # a geometry
VOXEL_MM = (2.0, 4.0)
SIGMA = FillUncertainty()
#: The true value is drawn, not the mean over noises.
DRAWN = re.compile(r"sphere_\d+mm_(fwhm_mm|center_[xyz]_mm)|activity_ratio|resolution_fwhm_mm")


def erring(sheet: dict[str, Any], rng: np.random.Generator) -> dict[str, Any]:
    """Return the sheet that a site would have written: off by the budget's parts."""
    written = copy.deepcopy(sheet)
    calibrator, clock = 1 + SIGMA.calibrator_pct / 100 * rng.normal(), timedelta(minutes=SIGMA.clock_min * rng.normal())
    for fill in written["fills"]:
        own = 1 + SIGMA.residual_pct / 100 * rng.normal()
        for key in ("activity_mbq", "residual_mbq"):
            fill[key] *= calibrator * own
        fill["volume_ml"] *= 1 + SIGMA.volume_pct / 100 * rng.normal()
        for key in ("assayed_at", "residual_at"):
            fill[key] = (datetime.fromisoformat(fill[key]) + clock).isoformat()
    return written


def geometry(seed: int) -> dict[str, Any]:
    """Draw what stays the same over the noises."""
    rng = np.random.default_rng([seed, 1])
    planar, axial = rng.uniform(*VOXEL_MM, 2)
    return {
        "fwhm_mm": rng.uniform(5.0, 10.0),
        "cov": rng.uniform(0.03, 0.12),
        "shift_mm": tuple(rng.uniform(-5, 5, 3)),
        "first_angle_deg": rng.uniform(0, 360),
        "spacing_zyx_mm": (axial, planar, planar),
        "shape_zyx": (round(215 / axial), round(330 / planar), round(330 / planar)),
    }


def tilted(seed: int) -> dict[str, Any]:
    """Tilt a geometry so far that the image's own slices are measured too, and fill every other one as of old."""
    rng = np.random.default_rng([seed, 3])
    return geometry(seed) | {
        "spacing_zyx_mm": (3.5, 3.5, 3.5),
        "shape_zyx": (62, 94, 94),
        "tilt_x_deg": rng.choice((-1, 1)) * rng.uniform(3.5, 8),
        "cold_mm": (28, 37) if seed % 2 else (),
    }


def deviations(
    seed: int, noises: int, draw: Callable[[int], dict[str, Any]] = geometry
) -> dict[str, list[tuple[float, float]]]:
    """Measure one geometry; return for each name (deviation from the truth, stated SD) of every noise."""
    drawn = draw(seed)
    true: dict[str, float] = {"resolution_fwhm_mm": drawn["fwhm_mm"], "activity_ratio": 10.0}
    found: dict[str, list[tuple[float, float]]] = defaultdict(list)
    exact: dict[str, list[float]] = defaultdict(list)
    rng = np.random.default_rng([seed, 2])
    for noise in range(noises):
        scan = digital.nema_iq(**drawn, seed=1000 * seed + noise)
        given: dict[str, Any] = {"reference_time": scan.truth["reference_time"]}
        result = nema_iq.measure(scan.volume, sheet=Sheet.parse(erring(scan.sheet or {}, rng)), **given)
        for d, center in scan.truth["spheres"].items():
            true[f"sphere_{d}mm_fwhm_mm"] = drawn["fwhm_mm"]
            true |= {f"sphere_{d}mm_center_{axis}_mm": float(c) for axis, c in zip("xyz", center, strict=True)}
        # What the same image gives with the true sheet: its mean over the noises is the truth of a recovery.
        honest = nema_iq.measure(scan.volume, sheet=Sheet.parse(scan.sheet or {}), pose=result.pose, **given)
        exact_values = {one.name: one.value for one in honest.measurements}
        for one in result.measurements:
            if one.value is not None and one.uncertainty is not None and exact_values[one.name] is not None:
                found[one.name].append((one.value, one.uncertainty))
                exact[one.name].append(exact_values[one.name])
    told: dict[str, list[tuple[float, float]]] = {}
    for name, pairs in found.items():
        if "harmonisation" in name and len(pairs) < noises:
            continue  # where some noises need no filter, those that do are no fair choice
        if DRAWN.fullmatch(name):
            told[name] = [(value - true[name], sd) for value, sd in pairs]
            continue
        own, n = np.array(exact[name]), len(pairs)
        # The truth without this noise: n/(n−1) of the distance to the mean of all, known to SD/√(n−1) itself.
        shrink = np.sqrt((n - 1) / n)
        told[name] = [(value - x + (x - own.mean()) / shrink, sd) for (value, sd), x in zip(pairs, own, strict=True)]
    return told


def kind(name: str) -> str:
    name = re.sub(r"harmonisation_filter_earl\d", "post-filter", name)
    return re.sub(r"sphere_\d+mm_", "sphere ", re.sub(r"center_[xyz]", "center", name))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=200)
    parser.add_argument("--noises", type=int, default=NOISES)
    parser.add_argument("--tilted", action="store_true", help="tilted phantoms, half of them with cold spheres")
    asked = parser.parse_args()
    began = time.process_time()
    scores: dict[str, list[float]] = defaultdict(list)
    for seed in range(max(asked.seeds // asked.noises, 1)):
        for name, pairs in deviations(seed, asked.noises, tilted if asked.tilted else geometry).items():
            scores[kind(name)] += [abs(off) / sd for off, sd in pairs]
    print("| number | values | inside one SD | inside two |")
    print("|---|---|---|---|")
    for name, found in sorted(scores.items()):
        inside = [100 * float(np.mean(np.array(found) <= k)) for k in (1, 2)]
        print(f"| {name} | {len(found)} | {inside[0]:.0f} % | {inside[1]:.0f} % |")
    print(f"\n{time.process_time() - began:.0f} s of the processor")


if __name__ == "__main__":
    main()
