"""What is read off a sphere phantom's CT, against what was drawn: bias, scatter, coverage, and what is named.

``python -m bench.phantoms.phantom_ct run --seeds 200 --to drawn.jsonl`` writes one line a drawn CT and goes on where it
was stopped; ``python -m bench.phantoms.phantom_ct tell drawn.jsonl`` prints the tables that
``bench/phantoms/README.md`` keeps. Noise, voxels, blur and the spheres' wall are drawn, the last two about what the fit
takes them for; so are the PET's errors in the places of the spheres and the ends of the body. Each fault lies in every
other CT.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
from scipy.spatial.transform import Rotation

from phantoms import digital, digital_ct, fill_line, phantom_ct
from phantoms.errors import AnalysisRefused

AXIS = np.array([0.0, 0.0, 1.0])
UP = np.array([0.0, -1.0, 0.0])
BANDS = phantom_ct.Bands.of()
END_SD_MM = fill_line.END_SD_MM
MINUS = "\N{MINUS SIGN}"
NAMES = {
    "PHA-CT-BUBBLE": "air in a sphere, 8 to 30 % of 13 to 37 mm, 20 to 40 % of 10 mm",
    "PHA-CT-WATER": "water off by 13 to 35 HU",
    "PHA-CT-OFFSET": "PET and CT 5 to 10 mm apart",
    "PHA-CT-FILL": "air above the water over 1.1 % of the body, or a bubble of 0.6 to 2 mL in it",
}
SHOWN = (
    *(f"ct_offset_{axis}_mm" for axis in "xyz"),
    *(f"ct_turn_{axis}_deg" for axis in "xyz"),
    "ct_water_hu",
    "sphere_37mm_ct_hu",
    "sphere_22mm_ct_hu",
    "air_pct",
    "ct_fill_air_ml",
    "ct_fill_air_pct",
    "ct_fill_height_mm",
    "ct_fill_tilt_deg",
    "ct_bubble_ml",
)


def drawn(seed: int) -> dict[str, Any]:
    """Draw one CT and measure it; return every number with its truth, and the names it got and should have."""
    rng, body = np.random.default_rng([seed, 26]), np.random.default_rng([seed, 27])
    center = np.add(rng.uniform(-8, 8, 3), (0, 0, 27))
    first, way = rng.uniform(0, 2 * np.pi), rng.choice((-1, 1))
    angles = {d: first + way * k * np.pi / 3 for k, d in enumerate(digital.SPHERE_DIAMETERS_MM)}
    pet = {d: center + 57.2 * np.array([np.cos(a), np.sin(a), 0.0]) for d, a in angles.items()}
    true: dict[str, float] = {}
    has = {name: bool(rng.random() < 0.5) for name in NAMES}
    # The spheres, turned and moved; the body stays upright about their middle.
    turn = rng.normal(0, 0.8, 3)
    direction = rng.standard_normal(3)
    length = rng.uniform(5, 10) if has["PHA-CT-OFFSET"] else rng.uniform(0, 2)
    offset = length * direction / np.linalg.norm(direction)
    motion = Rotation.from_rotvec(np.radians(turn))
    ct = {d: tuple(motion.apply(at - center) + center + offset) for d, at in pet.items()}
    true |= {f"ct_offset_{axis}_mm": float(offset[k]) for k, axis in enumerate("xyz")}
    true |= {f"ct_turn_{axis}_deg": float(turn[k]) for k, axis in enumerate("xyz")}
    water = rng.choice((-1, 1)) * rng.uniform(13, 35) if has["PHA-CT-WATER"] else rng.uniform(-7, 7)
    true |= {"ct_water_hu": water, "sphere_37mm_ct_hu": water, "sphere_22mm_ct_hu": water}
    holder = int(rng.choice(digital.SPHERE_DIAMETERS_MM))
    share = rng.uniform(20, 40) if holder == 10 else rng.uniform(8, 30)
    air, is_named = _air(rng, center, has_fault=has["PHA-CT-FILL"])
    slice_mm, pixel_mm = rng.uniform(2.0, 5.0), rng.choice((0.98, 1.37))
    fwhm_mm = rng.uniform(0.5, 1.2) / digital.SIGMA_PER_FWHM
    volume = digital_ct.nema_iq_ct(
        ct,
        water_hu=water,
        bubble_pct={holder: share} if has["PHA-CT-BUBBLE"] else None,
        air=air,
        wall_mm=rng.uniform(0.5, 1.5),
        body_wall_mm=body.uniform(2.5, 3.5),
        body_wall_hu=body.uniform(100, 140),
        noise_hu=rng.uniform(8, 35),
        noise_fwhm_mm=fwhm_mm,
        fwhm_mm=fwhm_mm,
        spacing_zyx_mm=(slice_mm, pixel_mm, pixel_mm),
        shape_zyx=(int(225 / slice_mm), int(285 / pixel_mm), int(335 / pixel_mm)),
        stack_mm=-27.0,
        seed=seed,
    )
    true |= {"ct_fill_air_ml": air.volume_ml(), "ct_bubble_ml": max((ml for _, ml in air.bubbles), default=0.0)}
    true["ct_fill_air_pct"] = 100 * true["ct_fill_air_ml"] / _held_ml()
    ends = digital_ct.ENDS_MM
    slopes = np.tan(np.radians([air.tilt_x_deg, air.tilt_z_deg]))
    true["ct_fill_tilt_deg"] = float(np.degrees(np.arctan(np.hypot(*slopes))))
    error = rng.uniform(0.1, 0.6)
    told: dict[str, Any] = {
        "seed": seed,
        "holder": holder,
        "slice_mm": slice_mm,
        "pixel_mm": pixel_mm,
        "has": has | {"PHA-CT-FILL": is_named},
    }
    turns = np.arange(12) * np.pi / 6
    water_places = [np.add(center, (95 * np.cos(a), 88 * np.sin(a), 0)) for a in turns]
    try:
        found = phantom_ct.measure(
            volume,
            {d: at + rng.normal(0, error, 3) for d, at in pet.items()},
            water_places,
            AXIS,
            filled_mm=(ends[0] + rng.normal(0, END_SD_MM), ends[1] + rng.normal(0, END_SD_MM)),
            up=UP,
            bands=BANDS,
        )
    except AnalysisRefused as refused:
        return told | {"refused": refused.detail}
    numbers = {one.name: one for one in found.measurements}
    if found.fill is not None and found.fill.deepest_lps_mm is not None:
        across = np.linspace(-100, 100, 2001)
        height = float(found.fill.deepest_lps_mm[2] - center[2] - offset[2])
        layer = air.depth_mm(across, height) - (147 - np.sqrt(147**2 - across**2))
        true["ct_fill_height_mm"] = float(layer.max())
    if has["PHA-CT-BUBBLE"]:
        true["air_pct"] = share
        numbers["air_pct"] = numbers[f"sphere_{holder}mm_ct_air_pct"]
        true.pop(f"sphere_{holder}mm_ct_hu", None)
    told["numbers"] = {
        name: (numbers[name].value, value, numbers[name].uncertainty)
        for name, value in true.items()
        if numbers[name].value is not None
    }
    return told | {"found": sorted({one.id for one in found.findings})}


def _air(
    rng: np.random.Generator, center: np.ndarray[Any, Any], *, has_fault: bool
) -> tuple[digital_ct.Air, bool | None]:
    """Draw what air lies in the body, and whether it should be named; None where it lies about the limit."""
    if not has_fault:
        return digital_ct.Air(), False
    if rng.random() < 0.3:
        side, height = rng.choice((-1, 1)), rng.uniform(-100, 50)
        place = np.add(center, (side * rng.uniform(85, 110), rng.uniform(-20, 60), height))
        return digital_ct.Air(bubbles=((tuple(place), rng.uniform(0.6, 2.0)),)), True
    air = digital_ct.Air(height_mm=rng.uniform(4, 18), tilt_x_deg=rng.uniform(-2, 2), tilt_z_deg=rng.uniform(-2, 2))
    share = 100 * air.volume_ml() / _held_ml()
    return air, None if 0.9 < share < 1.1 else share > 1.0


def _held_ml() -> float:
    """Return what the body holds: its section, less the insert and the spheres."""
    x, y = np.meshgrid(np.arange(-150, 150, 0.25), np.arange(-120, 120, 0.25))
    arch = np.hypot(x, y - 35) < 147
    corner = np.hypot(np.maximum(np.abs(x) - 70, 0), y - 35) < 77
    section_mm2 = float(np.where(y < 35, arch, corner).sum()) / 16 - np.pi * 25.5**2
    spheres_mm3 = sum(np.pi / 6 * (d + 2) ** 3 for d in digital.SPHERE_DIAMETERS_MM)
    return (section_mm2 * 190 - spheres_mm3) / 1000


def run(seeds: range, to: Path) -> None:
    """Draw every seed that ``to`` does not hold yet, and add a line for each."""
    done = {line["seed"] for line in _lines([to])} if to.exists() else set()
    with to.open("a", encoding="utf-8") as out:
        for seed in seeds:
            if seed not in done:
                began = time.process_time()
                line = drawn(seed) | {"seconds": round(time.process_time() - began, 2)}
                print(json.dumps(line, ensure_ascii=False), file=out, flush=True)


def tell(files: list[Path]) -> None:
    """Print the tables of what several runs drew."""
    lines = _lines(files)
    read = [line for line in lines if "numbers" in line]
    print(f"{len(lines)} drawn, {len(lines) - len(read)} refused\n")
    print("| number | drawn | bias | SD | within 1 SD | within 2 SD | RMS of the error over the SD |")
    print("|---|---|---|---|---|---|---|")
    for name in SHOWN:
        rows = np.array([line["numbers"][name] for line in read if name in line["numbers"]], dtype=float)
        if name.startswith(("ct_fill", "ct_bubble")):
            rows = rows[rows[:, 1] > 0]  # where there is none it is 0, and told so
        error = rows[:, 0] - rows[:, 1]
        ratio = np.abs(error) / rows[:, 2]
        print(
            f"| `{name}` | {len(rows)} | {error.mean():+.3f} | {error.std(ddof=1):.3f} "
            f"| {100 * (ratio <= 1).mean():.0f} % | {100 * (ratio <= 2).mean():.0f} % "
            f"| {np.sqrt((ratio**2).mean()):.2f} |".replace("-", MINUS)
        )
    print("\n| fault | with it | named | without it | named all the same |")
    print("|---|---|---|---|---|")
    for code, words in NAMES.items():
        there = [code in line["found"] for line in read if line["has"][code] is True]
        absent = [code in line["found"] for line in read if line["has"][code] is False]
        print(f"| {words} (`{code}`) | {len(there)} | {sum(there)} | {len(absent)} | {sum(absent)} |")


def _lines(files: list[Path]) -> list[dict[str, Any]]:
    return [json.loads(line) for file in files for line in file.read_text(encoding="utf-8").splitlines()]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    what = parser.add_subparsers(dest="what", required=True)
    draws = what.add_parser("run", help="draw CTs and write a line for each")
    draws.add_argument("--seeds", type=int, default=200)
    draws.add_argument("--first-seed", type=int, default=0)
    draws.add_argument("--to", type=Path, required=True)
    tells = what.add_parser("tell", help="print the tables")
    tells.add_argument("files", type=Path, nargs="+")
    asked = parser.parse_args()
    if asked.what == "run":
        run(range(asked.first_seed, asked.first_seed + asked.seeds), asked.to)
    else:
        tell(asked.files)


if __name__ == "__main__":
    main()
