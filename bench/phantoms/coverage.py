"""Whether stated uncertainties hold: how often one standard deviation holds the truth, for every released number.

``python -m bench.phantoms.coverage run spheres --to scores.jsonl`` draws objects and writes a line for each, going on
where it was stopped; ``… tell scores.jsonl`` prints the tables that ``bench/phantoms/README.md`` keeps. Two kinds of
truth are met. What is drawn (a blur, a diameter, a fill) is its own truth. What is read off noisy voxels (an extreme,
A50, the noise itself) has for its truth the mean over many noises of one object on one grid, and such an object's
noises are measured together. A sheet is off by what its budget says, and that counts as an error too. The margin behind
a proposed post-filter has for its truth the mean of the margins that the noises have behind that very filter.
"""

from __future__ import annotations

import argparse
import copy
import json
import math
import re
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from phantoms import (
    acr,
    background_rois,
    calibrator,
    cylinder,
    digital,
    digital_acr,
    harmonise,
    nema_iq,
    standards,
)
from phantoms.digital import iec_body
from phantoms.errors import AnalysisRefused
from phantoms.results import Measurement
from phantoms.sheet import FillUncertainty, Sheet

if TYPE_CHECKING:
    from numpy.typing import NDArray

NOISES = 20  # of one object
SIGMA = FillUncertainty()
SUV_FACTOR = 1 / 7500
CYLINDER_MM = 270.0

#: What some noises of an object give and some do not.
MAY_LACK = ("harmonisation", "bubble_limit")
#: Scores of one object: for each number, errors over their standard deviations.
Scores = dict[str, list[float]]
Numbers = dict[str, Measurement]


def erring(sheet: Mapping[str, Any], rng: np.random.Generator) -> dict[str, Any]:
    """Return the sheet that a site would have written: off by the budget's parts."""
    written = copy.deepcopy(dict(sheet))
    calibrator_error, clock = 1 + SIGMA.calibrator_pct / 100 * rng.normal(), SIGMA.clock_min * rng.normal()
    for fill in written["fills"]:
        own = 1 + SIGMA.residual_pct / 100 * rng.normal()
        for key in ("activity_mbq", "residual_mbq"):
            fill[key] *= calibrator_error * own
        fill["volume_ml"] *= 1 + SIGMA.volume_pct / 100 * rng.normal()
        for key in ("assayed_at", "residual_at"):
            fill[key] = (datetime.fromisoformat(fill[key]) + timedelta(minutes=clock)).isoformat()
    return written


def by_name(result: Any) -> Numbers:
    return {one.name: one for one in result.measurements}


def scores_of_noises(
    pairs: Sequence[tuple[Numbers, Numbers]], drawn: Mapping[str, float], *, may_lack: Sequence[str] = MAY_LACK
) -> Scores:
    """Return the scores of one object's noises.

    Parameters
    ----------
    pairs : sequence of (Numbers, Numbers)
        What each noise gives with an erring sheet, and with a true one.
    drawn : mapping of str to float
        Truths that are known; that of any other number is its mean over the noises, with a true sheet.
    may_lack : sequence of str
        Numbers whose name holds one of these count only where every noise gives them: those that do are no fair choice.
    """
    scores: Scores = {}
    for name in pairs[0][0]:
        rows = [(found[name], honest[name]) for found, honest in pairs if name in found and name in honest]
        given = [
            (one.value, one.uncertainty, true.value)
            for one, true in rows
            if one.value is not None and one.uncertainty is not None and true.value is not None
        ]
        if len(given) < 2 or (len(given) < len(pairs) and any(one in name for one in may_lack)):
            continue
        if name in drawn:
            scores[name] = [(value - drawn[name]) / sd for value, sd, _ in given]
            continue
        own = np.array([true for *_, true in given])
        scores[name] = [error_of(value, own, k) / sd for k, (value, sd, _) in enumerate(given)]
    return scores


def error_of(value: float, own: NDArray[np.float64], k: int) -> float:
    """Return the error of what the k-th noise gives, where ``own`` is what each gives with a true sheet.

    The truth without this noise: n/(n−1) of the distance to the mean of all, known to SD/√(n−1) itself.
    """
    return float(value - own[k] + (own[k] - own.mean()) * math.sqrt(len(own) / (len(own) - 1)))


# --- the sphere phantom -----------------------------------------------------------------------


def upright_spheres(seed: int) -> dict[str, Any]:
    """Draw what stays the same over the noises."""
    rng = np.random.default_rng([seed, 1])
    planar, axial = rng.uniform(2.0, 4.0, 2)
    return {
        "fwhm_mm": rng.uniform(5.0, 10.0),
        "cov": rng.uniform(0.03, 0.12),
        "shift_mm": tuple(rng.uniform(-5, 5, 3)),
        "first_angle_deg": rng.uniform(0, 360),
        "spacing_zyx_mm": (axial, planar, planar),
        "shape_zyx": (round(215 / axial), round(330 / planar), round(330 / planar)),
    }


def tilted_spheres(seed: int) -> dict[str, Any]:
    """Tilt a phantom so far that the image's own slices are measured too, and fill two spheres cold as of old."""
    rng = np.random.default_rng([seed, 3])
    return upright_spheres(seed) | {
        "spacing_zyx_mm": (3.5, 3.5, 3.5),
        "shape_zyx": (62, 94, 94),
        "tilt_x_deg": rng.choice((-1, 1)) * rng.uniform(3.5, 8),
        "cold_mm": (28, 37),
    }


def scores_of_spheres(seed: int, noises: int, draw: Callable[[int], dict[str, Any]]) -> Scores:
    drawn = draw(seed)
    true: dict[str, float] = {"resolution_fwhm_mm": drawn["fwhm_mm"], "activity_ratio": 10.0}
    true["phantom_tilt_deg"] = abs(drawn.get("tilt_x_deg", 0.0))
    rng, pairs = np.random.default_rng([seed, 2]), []
    margins: Scores = {}
    found_advice, honest_curves = [], []
    for noise in range(noises):
        scan = digital.nema_iq(**drawn, seed=1000 * seed + noise)
        for diameter, center in scan.truth["spheres"].items():
            true[f"sphere_{diameter}mm_fwhm_mm"] = drawn["fwhm_mm"]
            true |= {f"sphere_{diameter}mm_center_{axis}_mm": c for axis, c in zip("xyz", center, strict=True)}
        given: dict[str, Any] = {"reference_time": scan.truth["reference_time"]}
        found = nema_iq.measure_numbers(scan.volume, sheet=Sheet.parse(erring(scan.sheet or {}, rng)), **given)
        honest = nema_iq.measure_numbers(scan.volume, sheet=Sheet.parse(scan.sheet or {}), pose=found.pose, **given)
        found_advice.append({one.standard_id: one for one in found.filter_advice})
        honest_curves.append(honest.filter_curves)
        # No sheet is in the smallest bubble.
        bubbles = {
            name: one
            for name, one in by_name(nema_iq.look_for_faults(scan.volume, found)).items()
            if name.endswith("_bubble_limit_pct")
        }
        pairs.append((by_name(found) | bubbles, by_name(honest) | bubbles))
        for name, margin in true_margins(found, scan.truth["spheres"], drawn.get("tilt_x_deg", 0.0)).items():
            one = pairs[-1][0][name]
            margins.setdefault(name, []).append(((one.value or 0.0) - margin) / (one.uncertainty or math.nan))
    behind = scores_behind_filters(found_advice, honest_curves)
    return scores_of_noises(pairs, true) | margins | behind


def scores_behind_filters(
    found: Sequence[Mapping[str, harmonise.FilterAdvice]], honest: Sequence[harmonise.FilterCurves | None]
) -> Scores:
    """Return the scores of the margins behind the filters that one object's noises propose, each at its own width.

    Each image chooses the width at which its own margin is next to nothing, so the margins stated have no scatter to
    speak of; what errs is how far the recoveries of the object lie from their limits behind that width. The smallest of
    several margins is lower in noise than without any, which is no error of one image: the truth is the mean, over the
    noises and with a true sheet, of the smallest margin behind the width that this image proposes.
    """
    scores: Scores = {}
    curves = [one for one in honest if one is not None]
    for standard_id in sorted(set().union(*found)):
        advice = [one[standard_id] for one in found if standard_id in one]
        stated = [(one.best_mm, one.margin, one.margin_sd) for one in advice if one.fwhm_mm is not None]
        if not len(stated) == len(curves) == len(found):
            continue
        limits = harmonise.recoveries_limited(standards.load(standard_id))
        by_noise = np.array([harmonise.smallest_margins(one, limits) for one in curves])
        scores[f"{harmonise.PREFIX}{standard_id.removesuffix('_18f')}_margin"] = [
            error_of(margin, by_noise[:, int(np.argmin(np.abs(curves[k].fwhm_mm - width_mm)))], k) / sd
            for k, (width_mm, margin, sd) in enumerate(stated)
            if sd is not None
        ]
    return scores


def true_margins(found: nema_iq.NemaIqResult, spheres: Mapping[int, Any], tilt_x_deg: float) -> dict[str, float]:
    """Return how far the regions, where they were put, lie from the drawn body and spheres."""
    tilt = math.radians(tilt_x_deg)
    turn = np.array([[1, 0, 0], [0, math.cos(tilt), -math.sin(tilt)], [0, math.sin(tilt), math.cos(tilt)]])
    middle = np.mean(list(spheres.values()), axis=0)
    places = (found.layout.centers_lps_mm - middle) @ turn
    u, v = places[:, 0], places[:, 1] - iec_body.BODY_WAIST_Y_MM
    arch = iec_body.BODY_ARCH_RADIUS_MM - np.hypot(u, v)
    beside = np.maximum(np.abs(u) - iec_body.BODY_CORNER_X_MM, 0.0)
    corner = iec_body.BODY_CORNER_RADIUS_MM - np.hypot(beside, v)
    radius_mm = background_rois.DIAMETER_MM / 2
    apart = [
        np.linalg.norm(((found.layout.centers_lps_mm - center) @ turn)[:, :2], axis=1).min() - diameter / 2
        for diameter, center in spheres.items()
    ]
    return {
        "background_edge_margin_mm": float(np.where(v < 0, arch, corner).min()) - radius_mm,
        "background_sphere_margin_mm": float(min(apart)) - radius_mm,
    }


# --- the cylinder -----------------------------------------------------------------------------

#: Numbers whose truth is that of the same cylinder without noise and with a true fill.
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


def measured_cylinder(scan: digital.DigitalScan, sheet: Mapping[str, Any]) -> Numbers:
    at = scan.truth["reference_time"]
    return by_name(cylinder.measure(scan.volume, reference_time=at, sheet=Sheet.parse(sheet), suv_factor=SUV_FACTOR))


def scores_of_cylinder(seed: int, _noises: int) -> Scores:
    """Draw pose, voxels, noise, blur, shading, calibration and fill errors."""
    rng = np.random.default_rng([seed, 77])
    tilt, way = rng.uniform(1, 8), rng.uniform(0, 2 * np.pi)
    planar, axial = rng.uniform(3, 5, 2)
    drawn: dict[str, Any] = {
        "tilt_x_deg": tilt * np.cos(way),
        "tilt_y_deg": tilt * np.sin(way),
        "shift_mm": tuple(rng.uniform(-12, 12, 3)),
        "spacing_zyx_mm": (axial, planar, planar),
        "shape_zyx": (round(CYLINDER_MM / axial), round(CYLINDER_MM / planar), round(CYLINDER_MM / planar)),
        "fwhm_mm": rng.uniform(5, 9),
        "calibration": rng.uniform(0.9, 1.1),
        "axial_slope_pct_per_cm": rng.choice((-1, 1)) * rng.uniform(1, 2),
        "cupping_pct": rng.uniform(-10, 10),
    }
    cov = rng.uniform(0.02, 0.20)
    clean = digital.uniform_cylinder(**drawn, cov=0.0)
    truth = measured_cylinder(clean, clean.sheet or {})
    noisy = digital.uniform_cylinder(**drawn, cov=cov, seed=seed)
    sheet, factor = with_fill_errors(noisy.sheet or {}, "cylinder", rng)
    found = measured_cylinder(noisy, sheet)
    true_values = {name: truth[name].value for name in NOISE_FREE} | {
        "cylinder_expected_bqml": noisy.truth["concentration_bqml"],
        "cylinder_edge_fwhm_mm": drawn["fwhm_mm"],
        "cylinder_diameter_mm": 2 * noisy.truth["radius_mm"],
        "cylinder_tilt_deg": noisy.truth["tilt_deg"],
    }
    scores: Scores = {}
    for name, true_value in true_values.items():
        one = found[name]
        if one.value is not None and one.uncertainty is not None and true_value is not None:
            # The header's dose is the sheet's: what is wrong in the fill is wrong in the SUV.
            value = one.value / factor if "_suv_" in name else one.value
            scores[name] = [(value - true_value) / one.uncertainty]
    return scores


def scores_of_cylinder_noise(seed: int, noises: int) -> Scores:
    """Draw one cylinder's noise again and again: the truth of NU and COV is their mean."""
    pairs = []
    for noise in range(noises):
        grid = {"shape_zyx": (66, 68, 68), "spacing_zyx_mm": (4.0, 4.0, 4.0)}
        scan = digital.uniform_cylinder(**grid, cov=0.1, seed=1000 * seed + noise)
        numbers = measured_cylinder(scan, scan.sheet or {})
        kept = {name: numbers[name] for name in ("cylinder_nu_pct", "cylinder_cov_pct")}
        pairs.append((kept, kept))
    return scores_of_noises(pairs, {})


def with_fill_errors(sheet: Mapping[str, Any], what: str, rng: np.random.Generator) -> tuple[dict[str, Any], float]:
    """Write a sheet whose activities are off by what its budget says, and return by which factor."""
    factor = math.prod(1 + rng.normal(0, row.pct / 100) for row in Sheet.parse(sheet).uncertainty_budget(what).rows)
    wrong = copy.deepcopy(dict(sheet))
    for fill in wrong["fills"]:
        fill["activity_mbq"] *= factor
        fill["residual_mbq"] *= factor
    return wrong, factor


# --- the ACR phantom --------------------------------------------------------------------------


def scores_of_acr(seed: int, noises: int) -> Scores:
    """Draw a phantom whose SUV is the sheet's, with what scatter correction leaves in the cold cylinders."""
    rng = np.random.default_rng([seed, 5])
    planar, axial = rng.uniform(2.0, 4.5), rng.uniform(2.0, 5.0)
    tilt, way = rng.uniform(0, 4), rng.uniform(0, 2 * np.pi)
    drawn: dict[str, Any] = {
        "fwhm_mm": rng.uniform(5.0, 8.0),
        "cov": rng.uniform(0.03, 0.12),
        "shift_mm": tuple(rng.uniform(-8, 8, 3)),
        "tilt_x_deg": tilt * np.cos(way),
        "tilt_y_deg": tilt * np.sin(way),
        "roll_deg": rng.uniform(0, 360),
        "is_mirrored": bool(seed % 2),
        "cold_fractions": dict(zip(("water", "air", "bone"), rng.uniform(0.05, 0.25, 3), strict=True)),
        "spacing_zyx_mm": (axial, planar, planar),
        "shape_zyx": (round(225 / axial), round(265 / planar), round(265 / planar)),
    }
    rng, pairs = np.random.default_rng([seed, 6]), []
    for noise in range(noises):
        scan = digital_acr.acr_pet(**drawn, seed=1000 * seed + noise)
        given: dict[str, Any] = {"reference_time": scan.truth["reference_time"], "suv_factor": None}
        written = Sheet.parse(erring(scan.sheet or {}, rng))
        try:
            found = acr.measure(scan.volume, sheet=written, **given)
        except AnalysisRefused:
            continue  # in the strongest noise its cylinders are not told apart: no number is given
        honest = acr.measure(scan.volume, sheet=Sheet.parse(scan.sheet or {}), pose=found.pose, **given)
        pairs.append((by_name(found), by_name(honest)))
    true = {"acr_diameter_mm": 200.0, "acr_activity_ratio": 2.5, "acr_tilt_deg": scan.truth["tilt_deg"]}
    return scores_of_noises(pairs, true)


# --- the radionuclide calibrator --------------------------------------------------------------


def scores_of_calibrator(seed: int, noises: int) -> Scores:
    """Draw a calibrator that moved and has a dead time, and take its readings again and again.

    Each time the certificate is off by what it says, and the cylinder by its noise and its fill's budget. The truth of
    a farthest reading is the mean of its size.
    """
    rng = np.random.default_rng([seed, 8])
    moved, drifted, repeats = rng.normal(0, 0.02), rng.normal(0, 0.01), rng.uniform(0.002, 0.008)
    dead, count, steps = rng.uniform(0, 4e-5), int(rng.integers(3, 12)), int(rng.integers(5, 12))
    has_baseline, certified_pct, factor = bool(seed % 2), rng.uniform(0.5, 2.5), rng.uniform(0.9, 1.1)
    start, ahead = datetime.fromisoformat("2026-03-02T08:00:00"), rng.uniform(-30, 30)
    decay_d = calibrator.REFERENCE_HALF_LIVES_S["Cs-137"] / 86400

    def readings(is_honest: bool, errors: Mapping[str, Any]) -> Numbers:
        certified = 9.2 if is_honest else 9.2 * (1 + certified_pct / 100 * errors["certificate"])
        row = [
            {
                "at": (start + timedelta(days=7 * k)).isoformat(),
                "activity_mbq": 9.2 * 2 ** (-7 * k / decay_d) * (1 + moved) * (1 + repeats * error),
            }
            for k, error in enumerate(errors["constancy"])
        ]
        falling = [
            {
                "at": (start + timedelta(hours=k)).isoformat(),
                "activity_mbq": (true := 900 * 2 ** (-k * 3600 / 6586.2)) * (1 - dead * true) * (1 + repeats * error),
            }
            for k, error in enumerate(errors["linearity"])
        ]
        written: dict[str, Any] = {
            "source": {
                "nuclide": "Cs-137",
                "activity_mbq": certified,
                "calibrated_at": start.isoformat(),
                "uncertainty_pct": certified_pct,
            },
            "readings": row,
            "linearity": {"nuclide": "F-18", "readings": falling},
            "clock_offset_s": ahead if is_honest else round(errors["clocks"][0]) - round(errors["clocks"][1]),
        }
        if has_baseline:
            read = 9.2 * (1 + moved - drifted) * (1 if is_honest else 1 + repeats * errors["baseline"])
            written["baseline"] = {"at": start.isoformat(), "activity_mbq": read}
        numbers = by_name(calibrator.measure(written))
        for name in ("calibrator_constancy_max_pct", "calibrator_linearity_max_pct"):
            numbers[name] = replace(numbers[name], value=abs(numbers[name].value or 0.0))
        reading = 7500 * factor * (1 if is_honest else 1 + 0.004 * errors["counting"])
        expected = 7500 * (1 if is_honest else 1 + 0.033 * errors["fill"])
        crossed = calibrator.cross_calibration(reading, expected, measured_sd=0.004 * reading, expected_sd_pct=3.3)
        return numbers | {crossed.name: crossed}

    pairs = []
    for _ in range(noises):
        errors = {key: rng.normal() for key in ("certificate", "baseline", "counting", "fill")} | {
            "constancy": rng.normal(size=count),
            "linearity": rng.normal(size=steps),
            "clocks": rng.uniform(0, 1e4) + np.array([ahead, 0.0]),
        }
        pairs.append((readings(False, errors), readings(True, errors)))
    true = {
        "calibrator_clock_offset_s": ahead,
        "calibrator_accuracy_pct": 100 * moved,
        "cylinder_cross_calibration": factor,
    }
    return scores_of_noises(pairs, true)


# --- all of it --------------------------------------------------------------------------------

OBJECTS: Mapping[str, Callable[[int, int], Scores]] = {
    "spheres": lambda seed, noises: scores_of_spheres(seed, noises, upright_spheres),
    "cold": lambda seed, noises: scores_of_spheres(seed, noises, tilted_spheres),
    "cylinder": scores_of_cylinder,
    "cylinder-noise": scores_of_cylinder_noise,
    "acr": scores_of_acr,
    "calibrator": scores_of_calibrator,
}
#: Objects of which each seed draws one alone, not as many noises.
SINGLE = frozenset({"cylinder"})


def kind(name: str) -> str:
    """Return the row that a number counts in: all spheres and axes together."""
    name = re.sub(r"harmonisation_filter_earl\d", "post-filter", name)
    return re.sub(r"sphere_\d+mm_", "sphere ", re.sub(r"center_[xyz]", "center", name))


def run(what: str, seeds: range, noises: int, to: Path) -> None:
    """Draw every object that ``to`` does not hold yet, and add a line for each."""
    done = {(line["what"], line["seed"]) for line in _lines([to])} if to.exists() else set()
    with to.open("a", encoding="utf-8") as out:
        for seed in seeds:
            if (what, seed) in done:
                continue
            began = time.process_time()
            scores = {name: [round(one, 4) for one in row] for name, row in OBJECTS[what](seed, noises).items()}
            line = {"what": what, "seed": seed, "scores": scores, "seconds": round(time.process_time() - began, 1)}
            print(json.dumps(line), file=out, flush=True)


def tell(files: Sequence[Path]) -> None:
    """Print a table for each kind of object."""
    by_object: dict[str, dict[int, dict[str, Any]]] = defaultdict(dict)
    for line in _lines(files):
        by_object[line["what"]][line["seed"]] = line
    for what, lines in by_object.items():
        rows: dict[str, list[float]] = defaultdict(list)
        for line in lines.values():
            for name, scores in line["scores"].items():
                rows[kind(name)] += scores
        print(f"\n{what}: {len(lines)} seeds, {sum(line['seconds'] for line in lines.values()):.0f} s of a processor\n")
        print("| number | values | within 1 SD | within 2 SD | RMS of the error over the SD |")
        print("|---|---|---|---|---|")
        for name, found in sorted(rows.items()):
            one = np.array(found)
            within = [100 * float((np.abs(one) <= reach).mean()) for reach in (1, 2)]
            rms = float(np.sqrt((one**2).mean()))
            print(f"| `{name}` | {len(one)} | {within[0]:.0f} % | {within[1]:.0f} % | {rms:.2f} |")


def _lines(files: Sequence[Path]) -> Iterator[dict[str, Any]]:
    for file in files:
        yield from map(json.loads, file.read_text(encoding="utf-8").splitlines())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    runs = commands.add_parser("run", help="draw objects and write a line for each")
    runs.add_argument("what", choices=OBJECTS)
    runs.add_argument("--images", type=int, default=200)
    runs.add_argument("--noises", type=int, default=NOISES, help="of one object")
    runs.add_argument("--first-seed", type=int, default=0)
    runs.add_argument("--to", type=Path, required=True)
    tells = commands.add_parser("tell", help="print the tables")
    tells.add_argument("files", type=Path, nargs="+")
    asked = parser.parse_args()
    if asked.command == "tell":
        tell(asked.files)
        return
    count = asked.images if asked.what in SINGLE else max(asked.images // asked.noises, 1)
    run(asked.what, range(asked.first_seed, asked.first_seed + count), asked.noises, asked.to)


if __name__ == "__main__":
    main()
