"""How often each fault of a phantom is named, and how often one that is not there.

``python -m bench.phantoms.faults run --seeds 200 --to drawn.jsonl`` writes one line a drawn object, and goes on where
it was stopped; ``python -m bench.phantoms.faults tell drawn.jsonl more.jsonl`` prints the table that
``bench/phantoms/README.md`` keeps. Pose, voxels, noise and size of each fault are drawn; nothing is measured here that
the methods do not measure. The search for a post-filter, which no name hangs on that is counted, is left out.
"""

from __future__ import annotations

import argparse
import json
import math
import time
import zlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np

from phantoms import cylinder, digital, nema_iq, standards
from phantoms.errors import AnalysisRefused
from phantoms.sheet import Sheet

#: Names that a faultless phantom must not get.
CYLINDER_NAMES = frozenset(
    {"PHA-CALIBRATION", "PHA-WEDGE", "PHA-RING", "PHA-BED-JOIN", "PHA-CUPPING", "PHA-SLOPE", "PHA-SLICE"}
)
SPHERE_NAMES = frozenset(
    {
        "PHA-CALIBRATION",
        "PHA-FILL",
        "PHA-FILTER",
        "PHA-BUBBLE",
        "PHA-MISFILL",
        "PHA-SPHERE",
        "PHA-SLOPE",
        "PHA-WEDGE",
    }
)
EXTENT_MM = 270.0

Draw = Callable[[np.random.Generator], dict[str, Any]]


@dataclass(frozen=True)
class Case:
    """One row: what is drawn beside pose, voxels and noise, and what must be named."""

    title: str
    draw: Draw
    named: frozenset[str]
    cov: tuple[float, float] = (0.02, 0.10)
    is_nema_iq: bool = False
    voxel_mm: tuple[float, float] = (2.0, 5.0)
    tilt_deg: float = 10.0
    off_mm: float = 15.0


@dataclass
class Count:
    """What came of one case; ``seen`` of ``visible`` draws are those whose fault is over the image's own limit."""

    objects: int = 0
    named: int = 0
    others: int = 0
    refused: int = 0
    visible: int = 0
    seen: int = 0
    other_names: dict[str, int] = field(default_factory=dict)
    missed: list[str] = field(default_factory=list)


def sign(rng: np.random.Generator) -> float:
    return float(rng.choice((-1.0, 1.0)))


def wedge(rng: np.random.Generator) -> dict[str, Any]:
    return {
        "faults": digital.ScannerFaults(
            wedge_pct=-rng.uniform(5, 20), wedge_at_deg=rng.uniform(0, 360), wedge_width_deg=rng.uniform(20, 45)
        )
    }


def ring(rng: np.random.Generator) -> dict[str, Any]:
    return {
        "faults": digital.ScannerFaults(
            ring_pct=sign(rng) * rng.uniform(10, 20),
            ring_radius_mm=rng.uniform(25, 55),
            ring_width_mm=rng.uniform(6, 12),
        )
    }


def bed_join(rng: np.random.Generator) -> dict[str, Any]:
    return {
        "faults": digital.ScannerFaults(
            bed_join_pct=sign(rng) * rng.uniform(6, 20),
            bed_length_mm=rng.uniform(90, 180),
            bed_join_z_mm=rng.uniform(-40, 40),
        )
    }


def cupping(rng: np.random.Generator) -> dict[str, Any]:
    return {"cupping_pct": sign(rng) * rng.uniform(12, 25)}


def slope(rng: np.random.Generator) -> dict[str, Any]:
    return {"axial_slope_pct_per_cm": sign(rng) * rng.uniform(1, 3)}


def calibration(rng: np.random.Generator) -> dict[str, Any]:
    return {"calibration": 1 + sign(rng) * rng.uniform(8, 20) / 100, "fwhm_mm": 8.0}


def blur(rng: np.random.Generator) -> dict[str, Any]:
    return {"fwhm_mm": 8.0 + rng.uniform(2, 4)}


def bubble(rng: np.random.Generator) -> dict[str, Any]:
    return {"sphere_faults": digital.SphereFaults(bubble_pct={_sphere(rng): rng.uniform(10, 40)})}


def misfill(rng: np.random.Generator) -> dict[str, Any]:
    return {"sphere_faults": digital.SphereFaults(misfill_pct={_sphere(rng): rng.uniform(10, 40)})}


def small_bubble(rng: np.random.Generator) -> dict[str, Any]:
    return {"sphere_faults": digital.SphereFaults(bubble_pct={int(rng.choice((13, 10))): rng.uniform(10, 40)})}


def _sphere(rng: np.random.Generator) -> int:
    return int(rng.choice((37, 28, 22, 17)))


def stock(rng: np.random.Generator) -> dict[str, Any]:
    factor = 1 + sign(rng) * rng.uniform(8, 20) / 100
    return {
        "sphere_faults": digital.SphereFaults(
            misfill_pct=dict.fromkeys(digital.SPHERE_DIAMETERS_MM, 100 - 100 * factor)
        )
    }


def bubble_and_calibration(rng: np.random.Generator) -> dict[str, Any]:
    return bubble(rng) | calibration(rng)


def both(rng: np.random.Generator) -> dict[str, Any]:
    return calibration(rng) | blur(rng)


def wedge_and_slope(rng: np.random.Generator) -> dict[str, Any]:
    return wedge(rng) | slope(rng)


def nothing(rng: np.random.Generator) -> dict[str, Any]:
    return {}


def names(*found: str) -> frozenset[str]:
    return frozenset(found)


def nema(title: str, draw: Draw, *named: str) -> Case:
    """Return a case of the sphere phantom with a fault: COV 2 to 15 %, voxels 2 to 4 mm."""
    return Case(title, draw, names(*named), (0.02, 0.15), is_nema_iq=True, voxel_mm=(2.0, 4.0))


CASES = (
    Case(
        "cylinder, no fault, COV 1 to 40 %, voxels 1 to 6 mm, 60 mm off the middle",
        nothing,
        names(),
        (0.01, 0.40),
        voxel_mm=(1.0, 6.0),
        off_mm=60.0,
    ),
    Case("cylinder, wedge −5 to −20 %, 20 to 45°", wedge, names("PHA-WEDGE")),
    Case("cylinder, ring ±10 to 20 %", ring, names("PHA-RING")),
    Case("cylinder, saw-tooth ±6 to 20 %", bed_join, names("PHA-BED-JOIN")),
    Case("cylinder, cupping ±12 to 25 % from centre to wall", cupping, names("PHA-CUPPING")),
    Case("cylinder, axial slope ±1 to 3 %/cm", slope, names("PHA-SLOPE")),
    Case("cylinder, wedge and axial slope", wedge_and_slope, names("PHA-WEDGE", "PHA-SLOPE")),
    Case(
        "spheres, no fault, COV 2 to 40 %, voxels 1 to 6 mm, 60 mm off",
        lambda _: {"fwhm_mm": 8.0},
        names(),
        (0.02, 0.40),
        is_nema_iq=True,
        voxel_mm=(1.0, 6.0),
        off_mm=60.0,
    ),
    nema("spheres, bubble of 10 to 40 % in 17 to 37 mm", bubble, "PHA-BUBBLE"),
    nema("spheres, misfill of 10 to 40 % in 17 to 37 mm", misfill, "PHA-MISFILL"),
    nema("spheres, bubble of 10 to 40 % in 10 or 13 mm", small_bubble, "PHA-BUBBLE"),
    nema("spheres, axial slope ±1 to 3 %/cm", slope, "PHA-SLOPE"),
    nema("spheres, stock ±8 to 20 %", stock, "PHA-FILL"),
    nema("spheres, calibration ±8 to 20 %", calibration, "PHA-CALIBRATION"),
    nema("spheres, FWHM +2 to 4 mm", blur, "PHA-FILTER"),
    nema("spheres, calibration and FWHM", both, "PHA-CALIBRATION", "PHA-FILTER"),
    nema("spheres, bubble and calibration", bubble_and_calibration, "PHA-BUBBLE", "PHA-CALIBRATION"),
    nema("spheres, wedge −5 to −20 %, 20 to 45°", wedge, "PHA-WEDGE"),
    Case("cylinder, calibration ±8 to 20 %", calibration, names("PHA-CALIBRATION")),
)


def scene(case: Case, seed: int) -> tuple[dict[str, Any], dict[str, Any]]:
    """Draw one object: its pose, voxels and noise, and its fault, as `phantoms.digital` takes them."""
    rng = np.random.default_rng([seed, zlib.crc32(case.title.encode())])
    planar, axial = rng.uniform(*case.voxel_mm, 2)
    tilt, way = rng.uniform(0, case.tilt_deg), rng.uniform(0, 2 * np.pi)
    pose: dict[str, Any] = {
        "tilt_x_deg": tilt * np.cos(way),
        "tilt_y_deg": tilt * np.sin(way),
        "shift_mm": tuple(rng.uniform(-case.off_mm, case.off_mm, 3)),
        "spacing_zyx_mm": (axial, planar, planar),
        "cov": rng.uniform(*case.cov),
        "seed": seed,
    }
    extent_mm = np.array([EXTENT_MM] * 3)
    if case.is_nema_iq:  # the phantom, turned and moved, in as small an image as holds it
        pose["roll_deg"] = rng.uniform(-180, 180)
        extent_mm = np.array([240.0, 330.0, 330.0]) + 2 * np.abs(pose["shift_mm"])[::-1]
    else:
        extent_mm = extent_mm + 2 * np.maximum(np.abs(pose["shift_mm"])[::-1] - 15, 0)
    pose["shape_zyx"] = tuple(int(size) for size in np.round(extent_mm / pose["spacing_zyx_mm"]))
    return pose, case.draw(rng)


def drawn(case: Case, seed: int) -> dict[str, Any]:
    """Draw one object and return the names that it gets (``found``, None where it is not found), and what was drawn."""
    pose, fault = scene(case, seed)
    told: dict[str, Any] = {
        "case": case.title,
        "seed": seed,
        "cov": round(pose["cov"], 4),
        "voxel_mm": [round(step, 2) for step in pose["spacing_zyx_mm"][:2]],
        "tilt_deg": round(math.hypot(pose["tilt_x_deg"], pose["tilt_y_deg"]), 1),
        "fault": {name: str(value) for name, value in fault.items()},
    }
    wrong = fault.get("sphere_faults", digital.SphereFaults())
    odd = {**wrong.bubble_pct, **wrong.misfill_pct}
    try:
        found, limits = _measured(case, pose | fault)
    except AnalysisRefused as refused:
        return told | {"found": None, "refused": refused.code}
    told["found"] = sorted(found)
    if len(odd) == 1:
        ((diameter, size_pct),) = odd.items()
        told |= {"diameter_mm": diameter, "size_pct": round(size_pct, 2)}
        if diameter in limits:
            told["limit_pct"] = round(limits[diameter], 2)
    return told


def _measured(case: Case, pose: dict[str, Any]) -> tuple[set[str], dict[int, float]]:
    """Return the names, and the smallest bubble that each sphere shows in this image."""
    standard = standards.load("earl1_18f")
    if not case.is_nema_iq:
        scan = digital.uniform_cylinder(**pose)
        uniform = cylinder.measure(
            scan.volume,
            reference_time=scan.truth["reference_time"],
            sheet=Sheet.parse(scan.sheet or {}),
            suv_factor=None,
        )
        return {one.id for one in (*uniform.findings, *cylinder.diagnose(uniform, standard))}, {}
    scan = digital.nema_iq(**pose)
    with mock.patch("phantoms.nema_iq.method.filter_curves", return_value=None):
        result = nema_iq.measure(
            scan.volume, reference_time=scan.truth["reference_time"], sheet=Sheet.parse(scan.sheet or {})
        )
    limits = dict(result.contents.limit_pct) if result.contents is not None else {}
    return {one.id for one in (*result.findings, *nema_iq.diagnose(result, standard))}, limits


def count(case: Case, lines: Iterable[dict[str, Any]]) -> Count:
    """Count what came of the draws of one case."""
    told = Count()
    watched = SPHERE_NAMES if case.is_nema_iq else CYLINDER_NAMES
    # A slope moves the slices at its ends, and so does a saw-tooth: no false name.
    allowed = case.named | ({"PHA-SLICE"} if case.named else frozenset())
    for line in lines:
        told.objects += 1
        if line["found"] is None:
            told.refused += 1
            continue
        found = set(line["found"])
        # A name for both causes counts as either.
        either = {"PHA-BUBBLE", "PHA-MISFILL"} if "PHA-SPHERE" in found else set()
        is_named = case.named <= found | either
        told.named += is_named
        if line.get("size_pct", 0.0) >= line.get("limit_pct", math.inf):
            told.visible += 1
            told.seen += is_named
        if not is_named:
            told.missed.append(json.dumps(line, ensure_ascii=False))
        others = (found & watched) - allowed - ({"PHA-SPHERE"} if either & case.named else set())
        told.others += bool(others)
        for name in others:
            told.other_names[name] = told.other_names.get(name, 0) + 1
    return told


def run(seeds: range, only: str, to: Path) -> None:
    """Draw every case with every seed that ``to`` does not hold yet, and add a line for each."""
    done = {(line["case"], line["seed"]) for line in _lines([to])} if to.exists() else set()
    with to.open("a", encoding="utf-8") as out:
        for seed in seeds:
            for case in CASES:
                if only in case.title and (case.title, seed) not in done:
                    began = time.process_time()
                    line = drawn(case, seed) | {"seconds": round(time.process_time() - began, 2)}
                    print(json.dumps(line, ensure_ascii=False), file=out, flush=True)


def tell(files: list[Path], only: str, *, is_showing: bool) -> None:
    """Print the table of what several runs drew."""
    by_case: dict[str, dict[int, dict[str, Any]]] = {}
    for line in _lines(files):
        by_case.setdefault(line["case"], {})[line["seed"]] = line
    print("| object | drawn | all its faults named | of those over the limit | another name | phantom not found |")
    print("|---|---|---|---|---|---|")
    for case in CASES:
        lines = by_case.get(case.title, {})
        if only not in case.title or not lines:
            continue
        told = count(case, lines.values())
        right = f"{100 * told.named / told.objects:.1f} %" if case.named else "–"
        over = f"{100 * told.seen / told.visible:.1f} % of {told.visible}" if told.visible else "–"
        others = ", ".join(f"{name} {number}" for name, number in sorted(told.other_names.items()))
        wrong = f"{100 * told.others / told.objects:.1f} %" + (f" ({others})" if others else "")
        print(f"| {case.title} | {told.objects} | {right} | {over} | {wrong} | {told.refused} |")
        if is_showing:
            print("\n".join(told.missed))


def _lines(files: Iterable[Path]) -> Iterable[dict[str, Any]]:
    for file in files:
        yield from map(json.loads, file.read_text(encoding="utf-8").splitlines())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default="", help="only the cases whose title contains this")
    what = parser.add_subparsers(dest="what", required=True)
    draws = what.add_parser("run", help="draw objects and write a line for each")
    draws.add_argument("--seeds", type=int, default=200)
    draws.add_argument("--first-seed", type=int, default=0)
    draws.add_argument("--to", type=Path, required=True)
    tells = what.add_parser("tell", help="print the table")
    tells.add_argument("--show", action="store_true", help="also every object whose fault was missed")
    tells.add_argument("files", type=Path, nargs="+")
    asked = parser.parse_args()
    if asked.what == "run":
        run(range(asked.first_seed, asked.first_seed + asked.seeds), asked.only, asked.to)
    else:
        tell(asked.files, asked.only, is_showing=asked.show)


if __name__ == "__main__":
    main()
