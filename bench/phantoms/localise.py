"""How often the localiser finds a drawn NEMA phantom or cylinder, refuses it, or puts it in the wrong place.

``python -m bench.phantoms.localise --seeds 200`` draws that many phantoms over the whole range of poses, noise, voxels,
hot end slices, cut ends and beds, and prints a table by condition. It ends with 1 where a wrong place was taken for
right; ``--show`` prints every seed that was refused or wrong.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from phantoms import digital
from phantoms.errors import AnalysisRefused
from phantoms.localise import NemaPose, find_cylinder, find_nema_iq
from phantoms.spheres import blurred_sphere
from phantoms.volume import PetVolume

MOST_VOXELS = 9e6  # a draw above it takes larger voxels: memory
TOLERANCE_MM = 1.5
STEM_SD_MM = 0.35  # half the 0.7 mm that a sphere is allowed off its ring: the most that noise makes of that freedom
WRONG_PLACE_MM = 5.0  # outside the smallest sphere: the least that a wrong ring or order can be off
BODY_REACH_MM = 165.0
COLD_MM = (28, 37)


@dataclass(frozen=True)
class Draw:
    """One drawn image, what is true of it, and the conditions that it is counted under."""

    volume: PetVolume
    truth: dict[str, Any]
    conditions: dict[str, str]
    tolerance_mm: float


def draw_nema(seed: int) -> Draw:
    """Draw one image-quality phantom over the whole range that the localiser is made for."""
    rng = np.random.default_rng(seed)
    reach = rng.uniform(0.0, 60.0)
    turn = rng.uniform(0.0, 2.0 * math.pi)
    shift = (reach * math.cos(turn), reach * math.sin(turn), rng.uniform(-20.0, 20.0))
    spacing, shape = _grid(rng, (125.0 + abs(shift[2]), BODY_REACH_MM + abs(shift[1]), BODY_REACH_MM + abs(shift[0])))
    cov, ratio, fwhm_mm = rng.uniform(0.0, 0.4), rng.uniform(4.0, 10.0), rng.uniform(4.0, 10.0)
    tilt, way = rng.uniform(0.0, 10.0), rng.uniform(0.0, 2.0 * math.pi)
    bed = rng.uniform(0.05, 0.3) if rng.random() < 0.4 else 0.0
    cold = COLD_MM if rng.random() < 0.35 else ()
    scan = digital.nema_iq(
        fwhm_mm,
        cov,
        ratio,
        cold_mm=cold,
        wall_mm=1.0,
        shift_mm=shift,
        tilt_x_deg=tilt * math.cos(way),
        tilt_y_deg=tilt * math.sin(way),
        # On its bed the phantom lies on its flat back; without one it may lie anyhow.
        roll_deg=rng.uniform(-15.0, 15.0) if bed else rng.uniform(-180.0, 180.0),
        first_angle_deg=rng.uniform(0.0, 360.0),
        is_clockwise=bool(rng.random() < 0.5),
        is_lid_at_head=bool(rng.random() < 0.5),
        bed_fraction=bed,
        shape_zyx=shape,
        spacing_zyx_mm=spacing,
        seed=int(rng.integers(2**31)),
    )
    volume, truth = scan.volume, scan.truth
    has_hot_ends, is_cut = bool(rng.random() < 0.3), bool(rng.random() < 0.4)
    plane_mm = truth["center_lps_mm"][2]
    if is_cut:
        volume = _cut(volume, plane_mm - rng.uniform(40.0, 110.0), plane_mm + rng.uniform(40.0, 110.0))
    if has_hot_ends:
        volume = _with_hot_ends(volume, rng, 2.0 * ratio * truth["background_bqml"], plane_mm)
    volume, truth = _lying(volume, truth, rng)
    largest = max(spacing)
    return Draw(
        volume,
        truth,
        {
            "noise": _bin(cov, (0.1, 0.2, 0.3, 0.4), "COV up to {:.0%}"),
            "voxels": _bin(largest, (2.0, 3.0, 4.5, 6.0), "largest voxel up to {:g} mm"),
            "tilt": _bin(tilt, (3.0, 6.0, 10.0), "tilt up to {:g}°"),
            "off centre": _bin(reach, (20.0, 40.0, 60.0), "up to {:g} mm off centre"),
            "ratio": _bin(ratio, (6.0, 8.0, 10.0), "ratio up to {:g}"),
            "blur": _bin(fwhm_mm, (6.0, 8.0, 10.0), "FWHM up to {:g} mm"),
            "spheres": "28 and 37 mm spheres cold" if cold else "all spheres hot",
            "bed": "bed in the image" if bed else "no bed",
            "ends": "ends cut" if is_cut else "whole",
            "end slices": "hot end slices" if has_hot_ends else "quiet end slices",
        },
        max(TOLERANCE_MM, 4.0 * _place_sd_mm(truth, math.prod(spacing))),
    )


def _place_sd_mm(truth: dict[str, Any], voxel_mm3: float) -> float:
    """Return the SD along one axis that noise leaves a sphere's place on a ring fitted by least squares, millimetres.

    The information of a sphere is its squared slope over the noise's power at low frequency, which no other frequency
    exceeds; at the wall the noise is that of the mean of both sides. Shift and turn of the ring add, and the freedom
    that every sphere has on its stem.
    """
    sigma = truth["fwhm_mm"] * digital.SIGMA_PER_FWHM
    blob_mm3 = max((4.0 * math.pi * sigma**2) ** 1.5, voxel_mm3)
    information = 0.0
    for diameter in truth["spheres"]:
        inside = 0.0 if diameter in truth["cold_mm"] else truth["ratio"]
        r = np.linspace(0.0, diameter / 2 + 5 * sigma, 400)
        slope = np.gradient((inside - 1.0) * blurred_sphere(r, diameter / 2, sigma), r)
        squared = float(np.trapezoid(slope**2 * 4.0 * math.pi * r**2, r)) / 3.0
        information += squared / (max(truth["cov"], 1e-3) ** 2 * (1.0 + inside) / 2.0 * blob_mm3)
    return math.sqrt(3.0 / information + STEM_SD_MM**2)


def draw_cylinder(seed: int) -> Draw:
    """Draw one uniform cylinder over the whole range that the localiser is made for."""
    rng = np.random.default_rng([seed, 2])
    radius_mm, length_mm = rng.uniform(75.0, 110.0), rng.uniform(150.0, 250.0)
    reach = rng.uniform(0.0, 60.0)
    turn = rng.uniform(0.0, 2.0 * math.pi)
    shift = (reach * math.cos(turn), reach * math.sin(turn), rng.uniform(-20.0, 20.0))
    half_mm = (
        length_mm / 2 + 20.0 + 15.0 + abs(shift[2]),
        radius_mm + 40.0 + abs(shift[1]),
        radius_mm + 40.0 + abs(shift[0]),
    )
    spacing, shape = _grid(rng, half_mm)
    cov, fwhm_mm = rng.uniform(0.0, 0.4), rng.uniform(4.0, 10.0)
    tilt, way = rng.uniform(0.0, 10.0), rng.uniform(0.0, 2.0 * math.pi)
    bed = rng.uniform(0.05, 0.3) if rng.random() < 0.4 else 0.0
    scan = digital.uniform_cylinder(
        fwhm_mm=fwhm_mm,
        cov=cov,
        radius_mm=radius_mm,
        length_mm=length_mm,
        shift_mm=shift,
        tilt_x_deg=tilt * math.cos(way),
        tilt_y_deg=tilt * math.sin(way),
        bed_fraction=bed,
        shape_zyx=shape,
        spacing_zyx_mm=spacing,
        seed=int(rng.integers(2**31)),
    )
    volume, truth = scan.volume, scan.truth
    has_hot_ends, is_cut = bool(rng.random() < 0.3), bool(rng.random() < 0.4)
    if is_cut:
        volume = _cut(volume, shift[2] - rng.uniform(50.0, length_mm / 2), shift[2] + rng.uniform(50.0, length_mm / 2))
    if has_hot_ends:
        volume = _with_hot_ends(volume, rng, 20.0 * truth["concentration_bqml"], shift[2])
    volume, truth = _lying(volume, truth, rng)
    return Draw(
        volume,
        truth,
        {
            "noise": _bin(cov, (0.1, 0.2, 0.3, 0.4), "COV up to {:.0%}"),
            "voxels": _bin(max(spacing), (2.0, 3.0, 4.5, 6.0), "largest voxel up to {:g} mm"),
            "tilt": _bin(tilt, (3.0, 6.0, 10.0), "tilt up to {:g}°"),
            "off centre": _bin(reach, (20.0, 40.0, 60.0), "up to {:g} mm off centre"),
            "blur": _bin(fwhm_mm, (6.0, 8.0, 10.0), "FWHM up to {:g} mm"),
            "bed": "bed in the image" if bed else "no bed",
            "ends": "ends cut" if is_cut else "whole",
            "end slices": "hot end slices" if has_hot_ends else "quiet end slices",
        },
        max(TOLERANCE_MM, 4.0 * _axis_rms_mm(volume, truth)),
    )


def _axis_rms_mm(volume: PetVolume, truth: dict[str, Any]) -> float:
    """Return how far noise leaves the axis off at an end that is seen, root mean square over both directions, mm.

    The outline's noise is that of the wall's voxels over the slope there, both smoothed by 3.4 mm; it is one over a
    correlation length, and the axis is a straight line through as many centroids as the length has of these.
    """
    sigma = truth["fwhm_mm"] * digital.SIGMA_PER_FWHM
    smoothed = math.hypot(sigma, 3.4)
    noise = truth["cov"] * math.sqrt(0.5) * (sigma / smoothed) ** 1.5
    edge_mm = noise * math.sqrt(2.0 * math.pi) * smoothed
    correlated_mm = math.sqrt(4.0 * math.pi) * smoothed
    seen_mm = min(truth["length_mm"], volume.image.shape[0] * volume.spacing_zyx_mm[0])
    centroid_mm = edge_mm * math.sqrt(2.0 * correlated_mm / (2.0 * math.pi * truth["radius_mm"]))
    # A line through n centroids is known to sd/sqrt(n) in its middle and to twice that at its ends.
    at_end_mm = 2.0 * centroid_mm / math.sqrt(max(seen_mm / correlated_mm, 1.0))
    return math.sqrt(2.0) * at_end_mm


def error_of_cylinder(drawn: Draw) -> float:
    """Return the largest of what axis (at the ends that are seen), radius and uncut ends are off, millimetres."""
    found = find_cylinder(drawn.volume)
    middle, axis = np.array(drawn.truth["center_lps_mm"]), np.array(drawn.truth["axis"])
    axis = axis if axis @ found.axis > 0 else -axis
    errors = [abs(found.radius_mm - drawn.truth["radius_mm"])]
    for end, is_cut in zip((-0.5, 0.5), found.is_cut, strict=True):
        off = found.center_lps_mm + end * found.length_mm * found.axis - middle
        along = float(off @ axis)
        errors.append(float(np.linalg.norm(off - along * axis)))
        if not is_cut:
            errors.append(abs(along - end * drawn.truth["length_mm"]))
    return max(errors)


def draw_other(seed: int) -> Draw:
    """Draw what must not be taken for the phantom: another object, or a phantom whose spheres are filled otherwise."""
    rng = np.random.default_rng([seed, 1])
    what = ("patient", "cylinder", "no contrast", "filled otherwise")[int(rng.integers(4))]
    noise = {"cov": rng.uniform(0.0, 0.4), "seed": int(rng.integers(2**31))}
    grid = {"shape_zyx": (66, 100, 100), "spacing_zyx_mm": (4.0, 4.0, 4.0)}
    pose = {"shift_mm": tuple(rng.uniform(-20.0, 20.0, 3)), "tilt_x_deg": rng.uniform(-7.0, 7.0)}
    if what == "patient":
        scan = digital.patient_like(**noise)
    elif what == "cylinder":
        scan = digital.uniform_cylinder(fwhm_mm=rng.uniform(4.0, 10.0), **noise, **pose, **grid)
    else:
        ratio = rng.uniform(0.5, 1.5) if what == "no contrast" else rng.uniform(4.0, 10.0)
        cold = tuple(rng.permutation(digital.SPHERE_DIAMETERS_MM)[: int(rng.integers(1, 7))].tolist())
        scan = digital.nema_iq(
            rng.uniform(4.0, 10.0),
            ratio=ratio,
            cold_mm=cold if what == "filled otherwise" else (),
            first_angle_deg=rng.uniform(0.0, 360.0),
            **noise,
            **pose,
            **grid,
        )
    conditions = {"object": what, "noise": _bin(noise["cov"], (0.1, 0.2, 0.3, 0.4), "COV up to {:.0%}")}
    return Draw(scan.volume, scan.truth, conditions, WRONG_PLACE_MM)


def place_error_mm(found: NemaPose, drawn: Draw) -> float:
    """Return how far the worst sphere is put from its place, millimetres; infinite where there are no spheres."""
    places = drawn.truth["spheres"] if drawn.truth.get("ratio", 0.0) > 1.5 else {}
    return max((float(np.linalg.norm(found.spheres[d] - place)) for d, place in places.items()), default=math.inf)


def error_of_nema(drawn: Draw) -> float:
    """Look for the phantom and return `place_error_mm`."""
    return place_error_mm(find_nema_iq(drawn.volume), drawn)


def _grid(
    rng: np.random.Generator, half_zyx_mm: tuple[float, float, float]
) -> tuple[tuple[float, float, float], tuple[int, int, int]]:
    """Draw voxels of 1 to 6 mm, cubes half of the time, that hold the object in not too many of them."""
    while True:
        across, along = rng.uniform(1.0, 6.0, 2)
        if rng.random() < 0.5:
            along = across
        spacing = (float(along), float(across), float(across))
        shape = tuple(math.ceil(2.0 * half / step) for half, step in zip(half_zyx_mm, spacing, strict=True))
        if math.prod(shape) < MOST_VOXELS:
            return spacing, shape  # type: ignore[return-value]


def _cut(volume: PetVolume, low_mm: float, high_mm: float) -> PetVolume:
    """Leave out the slices whose z lies outside."""
    z = volume.affine_lps_mm[2, 3] + volume.affine_lps_mm[2, 2] * np.arange(volume.image.shape[0])
    kept = np.flatnonzero((z >= low_mm) & (z <= high_mm))
    affine = volume.affine_lps_mm.copy()
    affine[:3, 3] += kept[0] * affine[:3, 2]
    return PetVolume(volume.image[kept[0] : kept[-1] + 1], affine, volume.unit)


def _with_hot_ends(volume: PetVolume, rng: np.random.Generator, level: float, plane_mm: float) -> PetVolume:
    """Fill the last slices of one end or both with sparse noise of twice the spheres' height."""
    image = volume.image.copy()
    step = volume.spacing_zyx_mm[0]
    ends = (slice(0, 1), slice(-1, None), None)[int(rng.integers(3))]
    z = volume.affine_lps_mm[2, 3] + volume.affine_lps_mm[2, 2] * np.arange(len(image))
    for end in (slice(0, 1), slice(-1, None)):
        if ends is not None and ends != end:
            continue
        thick = max(1, round(rng.uniform(2.0, 16.0) / step))
        rows = slice(0, thick) if end.start == 0 else slice(len(image) - thick, len(image))
        if np.abs(z[rows] - plane_mm).min() < 38.0:
            continue  # it would lie on the spheres
        noise = rng.gamma(0.5, level, size=image[rows].shape)
        image[rows] += noise.astype(np.float32)
    return replace(volume, image=image)


def _lying(volume: PetVolume, truth: dict[str, Any], rng: np.random.Generator) -> tuple[PetVolume, dict[str, Any]]:
    """Lay the patient's axes anew (feet first, prone, mirrored) and store the stack in any direction."""
    signs = rng.choice([-1.0, 1.0], 3)
    affine = np.diag([*signs, 1.0]) @ volume.affine_lps_mm
    image = volume.image
    for axis in np.flatnonzero(rng.random(3) < 0.5):
        column = 2 - axis
        affine[:3, 3] += affine[:3, column] * (image.shape[axis] - 1)
        affine[:3, column] *= -1
        image = np.flip(image, axis)
    turned = {"center_lps_mm": tuple(signs * truth["center_lps_mm"]), "axis": tuple(signs * truth["axis"])}
    if "spheres" in truth:
        turned["spheres"] = {d: tuple(signs * place) for d, place in truth["spheres"].items()}
    return PetVolume(image, affine, volume.unit), {**truth, **turned}


def _bin(value: float, edges: tuple[float, ...], words: str) -> str:
    return words.format(next(edge for edge in edges if value <= edge))


@dataclass(frozen=True)
class Row:
    """What became of one draw: its error where it was found, the refusal where not."""

    seed: int
    conditions: dict[str, str]
    tolerance_mm: float
    error_mm: float | None
    refused: str

    @property
    def is_right(self) -> bool:
        return self.error_mm is not None and self.error_mm <= self.tolerance_mm


KINDS: dict[str, tuple[Callable[[int], Draw], Callable[[Draw], float]]] = {
    "nema_iq": (draw_nema, error_of_nema),
    "other": (draw_other, error_of_nema),
    "cylinder": (draw_cylinder, error_of_cylinder),
}


def judge(kind: str, seed: int) -> Row:
    """Draw one phantom and look for it."""
    draw, error_of = KINDS[kind]
    drawn = draw(seed)
    try:
        error, refused = error_of(drawn), ""
    except AnalysisRefused as refusal:
        error, refused = None, refusal.detail
    return Row(seed, drawn.conditions, drawn.tolerance_mm, error, refused)


def table(rows: list[Row]) -> Iterator[str]:
    """Yield the lines of the table by condition."""
    yield "| condition | drawn | right | within 1.5 mm | refused | wrong | median error, mm | worst of the right, mm |"
    yield "|---|---|---|---|---|---|---|---|"
    groups: dict[str, list[Row]] = {"all": rows}
    for name in rows[0].conditions:
        for words in sorted({row.conditions[name] for row in rows}, key=_by_number):
            groups[words] = [row for row in rows if row.conditions[name] == words]
    for words, group in groups.items():
        right = [row.error_mm for row in group if row.is_right and row.error_mm is not None]
        wrong = sum(row.error_mm is not None and not row.is_right for row in group)
        near = sum(error <= TOLERANCE_MM for error in right)
        median, worst = (f"{np.median(right):.2f}", f"{max(right):.2f}") if right else ("–", "–")
        refused = sum(bool(row.refused) for row in group)
        yield f"| {words} | {len(group)} | {len(right)} | {near} | {refused} | {wrong} | {median} | {worst} |"


def _by_number(words: str) -> tuple[float, str]:
    digits = "".join(c for c in words if c.isdigit() or c == ".")
    return float(digits or 0), words


def main() -> int:
    """Print the table of one kind of phantom; 1 where one was put in the wrong place."""
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("--kind", choices=KINDS, default="nema_iq")
    asked.add_argument("--seeds", type=int, default=200)
    asked.add_argument("--first", type=int, default=0)
    asked.add_argument("--processes", type=int, default=1)
    asked.add_argument("--show", action="store_true")
    given = asked.parse_args()
    seeds = range(given.first, given.first + given.seeds)
    with ProcessPoolExecutor(given.processes) as pool:
        rows = []
        for row in pool.map(judge, [given.kind] * len(seeds), seeds):
            rows.append(row)
            if given.show and not row.is_right:
                what = row.refused or f"{row.error_mm:.1f} mm off, {row.tolerance_mm:.1f} allowed"
                print(f"seed {row.seed}: {what}; {', '.join(row.conditions.values())}", flush=True)
    print(*table(rows), sep="\n")
    return int(any(row.error_mm is not None and not row.is_right for row in rows))


if __name__ == "__main__":
    sys.exit(main())
