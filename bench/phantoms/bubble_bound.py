"""How often the best possible observer would see the bubbles that `bench.phantoms.faults` draws in small spheres.

``python -m bench.phantoms.bubble_bound --seeds 200 drawn.jsonl`` prints a table by noise: what was named in the runs
given, and what observers could see who know all of the drawn noise's covariance K and look for the one difference s
between the sphere with this bubble and without it (Neyman and Pearson: d' = √(sᵀ K⁻¹ s), power Φ(d' − z)). z is the
threshold at which one of six spheres is named in 2 % of faultless phantoms.

*All known*: the phantom without the bubble is known exactly. *Projected*: place (a stem's 0.7 mm) and background of
every sphere, and the filling and blur that all share, are fitted beside. *A tenth untrusted*: the same, with weights
that take a tenth of the noise for uncorrelated, as the detector does: told by an image, K is not known to its finest
parts, which in a digital phantom lie below what any scanner's arithmetic keeps.
"""

from __future__ import annotations

import argparse
import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import linalg, ndimage, special

from bench.phantoms import faults
from phantoms import digital
from phantoms.digital.blurred import SIGMA_PER_FWHM, blurred_cap
from phantoms.spheres import sphere_model

if TYPE_CHECKING:
    from numpy.typing import NDArray

COVS = ((0.02, 0.05), (0.05, 0.08), (0.08, 0.11), (0.11, 0.15))
FALSE_NAMES = 0.02
FWHM_MM, RATIO = 8.0, 10.0  # what `phantoms.digital.nema_iq` draws unless told otherwise
STEM_MM = 0.7
SKIN_MM = 9.0
UNTRUSTED = 0.1
FLOOR = 1e-9  # of a part's power over a voxel's: what is smaller is rounding

#: Columns of one sphere: the bubble, what all spheres share (filling, blur), and its own (shift, background).
BUBBLE, SHARED, OWN = 0, 2, 4


def detectabilities(seed: int, case: faults.Case) -> dict[str, float]:
    """Return COV and d' of each observer for one draw."""
    pose, fault = faults.scene(case, seed)
    ((odd, pct),) = fault["sphere_faults"].bubble_pct.items()
    places = digital.nema_iq(**{**pose, "shape_zyx": (2, 2, 2), "cov": 0.0}).truth["spheres"]
    sums = {d: _sums(pose, d, np.array(at), pct / 100 if d == odd else 0.0) for d, at in places.items()}
    found = {"cov": pose["cov"], "known": math.sqrt(sums[odd][0][0][BUBBLE, BUBBLE])}
    for name, which in (("projected", 0), ("untrusted", 1)):
        size = 1 + SHARED + OWN * len(sums)
        information, spread = np.zeros((2, size, size))
        for k, one in enumerate(sums.values()):
            own = 1 + SHARED + OWN * k
            at = np.ix_(columns := [*range(1 + SHARED), *range(own, own + OWN)], columns)
            for total, part in zip((information, spread), one[which], strict=True):
                total[at] += part
                total[range(own, own + 3), range(own, own + 3)] += STEM_MM**-2
        scale = 1.0 / np.sqrt(np.diag(information))
        inverse = scale[:, None] * np.linalg.inv(information * scale[:, None] * scale) * scale
        found[name] = 1.0 / math.sqrt((inverse @ spread @ inverse)[BUBBLE, BUBBLE])
    return found


def _sums(
    pose: dict[str, Any], diameter: int, place: NDArray[np.float64], share: float
) -> list[tuple[NDArray[np.float64], NDArray[np.float64]]]:
    """Return for both weights the weighted products of a sphere's columns, and their covariance by the true noise."""
    sigma_mm, reach_mm = FWHM_MM * SIGMA_PER_FWHM, diameter / 2 + SKIN_MM
    axes, vectors, powers = [], [], []
    for size, step, middle in zip(pose["shape_zyx"], pose["spacing_zyx_mm"], place[::-1], strict=True):
        axis = (np.arange(size) - (size - 1) / 2) * step - middle
        axes.append(axis[np.abs(axis) <= reach_mm])
        power, vector = np.linalg.eigh(linalg.toeplitz(_correlation(sigma_mm / step, len(axes[-1]))))
        powers.append(np.maximum(power, 0.0))
        vectors.append(vector)
    z, y, x = axes
    offset_mm = np.stack(np.meshgrid(z, y, x, indexing="ij")[::-1], axis=-1).reshape(-1, 3)
    model = sphere_model(
        offset_mm,
        center_lps_mm=np.zeros(3),
        radius_mm=diameter / 2,
        sigma_mm=sigma_mm,
        amplitude=RATIO - 1,
        background=1.0,
    )
    bubble = np.zeros(len(offset_mm))
    if share:
        cap = blurred_cap(diameter / 2, share, sigma_mm)
        bubble = RATIO * cap(x[None, None, :], y[None, :, None], z[:, None, None]).ravel()
    columns = np.stack([bubble, model.profile, model.by_sigma, *model.by_center.T, 1.0 - model.profile])
    # Its SD goes with the root of the signal.
    parts = (columns / (pose["cov"] * np.sqrt(model.values))).reshape(-1, len(z), len(y), len(x))
    parts = np.einsum("kzyx,za,yb,xc->kabc", parts, *vectors, optimize=True).reshape(len(columns), -1)
    power = np.einsum("a,b,c->abc", *powers).ravel()
    weights = (1.0 / np.maximum(power, FLOOR), 1.0 / ((1 - UNTRUSTED) * power + UNTRUSTED))
    return [((parts * w) @ parts.T, (parts * w**2 * np.maximum(power, FLOOR)) @ parts.T) for w in weights]


def _correlation(sigma_voxels: float, count: int) -> NDArray[np.float64]:
    """Return the autocorrelation of white noise filtered as the digital phantoms' is, from lag 0."""
    impulse = np.zeros(2 * count + 16 * math.ceil(sigma_voxels) + 1)
    impulse[len(impulse) // 2] = 1.0
    kernel = ndimage.gaussian_filter1d(impulse, sigma_voxels)
    by_lag = np.correlate(kernel, kernel, "full")[len(kernel) - 1 :]
    return np.asarray(by_lag[:count] / by_lag[0])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=200)
    parser.add_argument("--first-seed", type=int, default=8000)
    parser.add_argument("files", type=Path, nargs="*", help="runs of bench.phantoms.faults with the same seeds")
    asked = parser.parse_args()
    case = next(one for one in faults.CASES if one.draw is faults.small_bubble)
    seeds = range(asked.first_seed, asked.first_seed + asked.seeds)
    drawn = {seed: detectabilities(seed, case) for seed in seeds}
    lines = [json.loads(line) for file in asked.files for line in file.read_text(encoding="utf-8").splitlines()]
    named = {
        line["seed"]: bool({"PHA-BUBBLE", "PHA-SPHERE"} & set(line["found"] or ()))
        for line in lines
        if line["case"] == case.title and line["seed"] in drawn
    }
    threshold = -special.ndtri(-math.expm1(math.log1p(-FALSE_NAMES) / 6))
    print(f"threshold of one sphere: {threshold:.2f} SD")
    print("| COV | drawn | named | all known | projected | a tenth untrusted |")
    print("|---|---|---|---|---|---|")
    for low, high in (*COVS, (COVS[0][0], COVS[-1][1])):
        inside = {seed: one for seed, one in drawn.items() if low <= one["cov"] < high}
        if not inside:
            continue
        powers = [
            f"{100 * np.mean([special.ndtr(one[name] - threshold) for one in inside.values()]):.1f} %"
            for name in ("known", "projected", "untrusted")
        ]
        seen = [named[seed] for seed in inside if seed in named]
        share = f"{100 * np.mean(seen):.1f} % of {len(seen)}" if seen else "–"
        print(f"| {100 * low:g} to {100 * high:g} % | {len(inside)} | {share} | {' | '.join(powers)} |")


if __name__ == "__main__":
    main()
