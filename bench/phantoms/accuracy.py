"""How near the phantom methods' numbers come to what is true, beside other programs.

A section of ``bench/run``. ``python -m bench.phantoms.accuracy`` makes everything in full (five minutes) and writes
``accuracy.json``, from which the tables of ``bench/phantoms/README.md`` and of the project's README are made.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from bench.phantoms import peers
from bench.rows import MODES, RECON_1, RECON_1_SHEET, Row
from phantoms import cylinder, dicom_series, digital, nema_iq, resolution
from phantoms.metrics import isocontour, peak
from phantoms.profile_weights import ProfileWeights
from phantoms.sheet import Sheet
from phantoms.spheres import FWHM_PER_SIGMA, sphere_model
from phantoms.volume import PetVolume, along_patient_axes
from tests.phantoms import slow_reference as slow
from tests.phantoms.test_accuracy import (
    DIAMETERS,
    PLACES,
    RECOVERY_A50,
    RECOVERY_MAX,
    RECOVERY_PEAK,
    lone_sphere,
    nested,
    zyx,
)

FILE = Path(__file__).with_name("accuracy.json")
#: Noise-free Q_H in per cent at 4:1 with a wall of 1 mm, by FWHM in mm.
CONTRAST_QH = {
    4.0: (90.8, 87.7, 84.1, 78.9, 71.5, 61.6),
    5.0: (88.7, 84.7, 80.2, 73.6, 64.2, 51.9),
    6.0: (86.5, 81.7, 76.2, 68.1, 56.8, 42.9),
    7.0: (84.3, 78.7, 72.0, 62.5, 49.6, 35.0),
    8.0: (82.0, 75.5, 67.8, 56.9, 42.9, 28.5),
}
LARGE_MM = 17  # from here on a sphere's own filling is fitted, and its width is used
FINE = {"shape_zyx": (110, 250, 310), "spacing_zyx_mm": (1.0, 1.0, 1.0)}
CLINICAL = {"shape_zyx": (89, 110, 110), "spacing_zyx_mm": (2.0, 3.2, 3.2)}
#: The spheres' plane lies this far above the middle of the drawn body.
PLANE_MM = 27.0


def at_most(name: str, value: float, limit: float, unit: str, beside: str) -> Row:
    """Return a row that must keep to a limit; errors are written with enough digits to be told from it."""
    return Row(name, f"{value:.2g} {unit}".strip(), f"≤ {limit:g} {unit}".strip(), value <= limit, beside=beside)


def of(mode: str, *amounts: Any) -> Any:
    return amounts[MODES.index(mode)]


def measured(scan: digital.DigitalScan) -> nema_iq.NemaIqResult:
    return nema_iq.measure(scan.volume, reference_time=scan.truth["reference_time"], sheet=Sheet.parse(scan.sheet))


# --- the same voxels, the slow way ----------------------------------------------------------------


def twin_errors(scan: digital.DigitalScan) -> dict[str, float]:
    """Return how far each number lies from its slow twin's, as fractions (recoveries, Q_H, N, COV)."""
    result, grid, true = measured(scan), nested(scan.volume), scan.truth["sphere_bqml"]
    centers = {sphere.diameter_mm: zyx(sphere.center_lps_mm) for sphere in result.spheres}
    places = [zyx(center) for center, _ in result.background_rois]
    errors: dict[str, list[float]] = {"A50": [], "maximum": [], "peak": [], "Q_H": [], "N": []}
    for sphere in result.spheres:
        diameter, center = sphere.diameter_mm, centers[sphere.diameter_mm]
        others = [place for other, place in centers.items() if other != diameter]
        hottest, a50 = slow.hottest_and_a50(grid, center, diameter, result.background_mean, others)
        means = slow.background_means(grid, places, diameter)
        qh = slow.contrast_recovery(grid, center, diameter, sum(means) / len(means), scan.truth["ratio"])
        errors["A50"].append(sphere.a50 / true - a50 / true)
        errors["maximum"].append(sphere.max / true - hottest / true)
        errors["peak"].append((sphere.peak or 0.0) / true - slow.peak(grid, center, diameter) / true)
        errors["Q_H"].append((sphere.qh_pct or 0.0) / 100 - qh)
        errors["N"].append((sphere.n_pct or 0.0) / 100 - slow.variability(means))
    errors["COV"] = [result.background_cov_pct / 100 - slow.background_cov(grid, places)]
    return {name: max(map(abs, values)) for name, values in errors.items()}


def twin_rows(mode: str) -> Iterator[Row]:
    rng = np.random.default_rng(11)
    count = of(mode, 1, 3, 20)
    worst: dict[str, float] = {}
    for seed in range(count):
        spacing = tuple(float(step) for step in rng.uniform((2.0, 2.0, 2.0), (4.0, 4.0, 4.0)))
        spacing = (spacing[0], spacing[1], spacing[1])
        scan = digital.nema_iq(
            rng.uniform(5, 9),
            rng.uniform(0.03, 0.12),
            shift_mm=(*rng.uniform(-5, 5, 2), rng.uniform(-3, 3) - PLANE_MM),
            first_angle_deg=rng.uniform(0, 360),
            shape_zyx=tuple(math.ceil(extent / step) for extent, step in zip((110, 280, 330), spacing, strict=True)),
            spacing_zyx_mm=spacing,
            seed=seed,
        )
        for name, error in twin_errors(scan).items():
            worst[name] = max(worst.get(name, 0.0), error)
    beside = f"largest of {count} noisy phantoms, six spheres, voxels of 2 to 4 mm"
    for name, error in worst.items():
        yield at_most(f"{name}, against a slow twin", error, 0.001, "", beside)
    scans = [
        digital.uniform_cylinder(
            cov=0.05,
            tilt_x_deg=rng.uniform(-8, 8),
            tilt_y_deg=rng.uniform(-5, 5),
            shift_mm=tuple(rng.uniform(-2, 2, 3)),
            shape_zyx=(70, 70, 70),
            spacing_zyx_mm=(3.5, 3.5, 3.5),
            seed=seed,
        )
        for seed in range(count)
    ]
    error = max(map(cylinder_twin_error, scans))
    beside = f"largest of {count} tilted, noisy cylinders, relative"
    yield at_most("cylinder mean, against a slow twin", error, 0.001, "", beside)


def cylinder_twin_error(scan: digital.DigitalScan) -> float:
    result = cylinder.measure(scan.volume, reference_time=None, sheet=None, suv_factor=None)
    pose = result.pose
    slowly = slow.cylinder_mean(
        nested(scan.volume), zyx(pose.center_lps_mm), zyx(pose.axis), pose.radius_mm, pose.length_mm
    )
    (mean,) = (one.value for one in result.measurements if one.name == "cylinder_mean_bqml")
    return abs((mean or 0.0) / slowly - 1)


# --- against the recovery model -------------------------------------------------------------------


def table_rows(mode: str) -> Iterator[Row]:
    """Hold every cell of the recovery table to a sphere on a voxel of 1 mm."""
    widths = of(mode, (6.0,), (5.0, 8.0), tuple(RECOVERY_A50))
    worst = dict.fromkeys(("A50", "maximum", "peak"), 0.0)
    for fwhm_mm in widths:
        for k, diameter in enumerate(DIAMETERS):
            volume, distance = lone_sphere(diameter, fwhm_mm, 1.0)
            hottest, a50 = isocontour(volume.image, distance <= diameter / 2 + 6, 0.1)
            best = peak(volume, distance <= min(diameter / 2, 7.0))
            model = slow.model_recovery(fwhm_mm, diameter, 10.0)
            errors = {
                "A50": a50 - RECOVERY_A50[fwhm_mm][k],
                "maximum": hottest - (RECOVERY_MAX[fwhm_mm][k] if fwhm_mm in RECOVERY_MAX else model[1]),
                "peak": (best.mean if best else math.inf)
                - (RECOVERY_PEAK[fwhm_mm][k] if fwhm_mm in RECOVERY_PEAK else model[2]),
            }
            worst = {name: max(value, abs(errors[name])) for name, value in worst.items()}
    beside = f"largest of six spheres, FWHM {widths[0]:g} to {widths[-1]:g} mm, 1 mm point samples, 10:1"
    for name, error in worst.items():
        yield at_most(f"{name}, against the recovery model", error, 0.01, "", beside)


def model_rows(mode: str) -> Iterator[Row]:
    """Measure whole phantoms of 1 mm voxels, the spheres anywhere between them."""
    widths = of(mode, (6.0,), (5.0, 8.0), tuple(RECOVERY_A50))
    rng = np.random.default_rng(12)
    worst = dict.fromkeys(("A50", "peak"), 0.0)
    for fwhm_mm in widths:
        shift = (*rng.uniform(-0.5, 0.5, 2), rng.uniform(-0.5, 0.5) - PLANE_MM)
        for sphere in measured(digital.nema_iq(fwhm_mm, 0.0, shift_mm=shift, **FINE)).spheres:
            a50, _, best = slow.model_recovery(fwhm_mm, sphere.diameter_mm, 10.0)
            worst["A50"] = max(worst["A50"], abs((sphere.rc_a50 or 0.0) - a50))
            worst["peak"] = max(worst["peak"], abs((sphere.rc_peak or 0.0) - best))
    beside = "the same of whole phantoms, found and measured, each sphere anywhere between the voxels"
    for name, error in worst.items():
        yield at_most(f"{name}, against the model, whole phantom", error, 0.01, "", beside)


def contrast_rows(mode: str) -> Iterator[Row]:
    widths = of(mode, (6.0,), (4.0, 8.0), tuple(CONTRAST_QH))
    worst = 0.0
    for fwhm_mm in widths:
        scan = digital.nema_iq(
            fwhm_mm,
            0.0,
            4.0,
            wall_mm=1.0,
            shift_mm=(1.0, 1.0, -26.0),
            shape_zyx=(60, 160, 160),
            spacing_zyx_mm=(2.0, 2.0, 2.0),
        )
        for sphere, expected in zip(measured(scan).spheres, CONTRAST_QH[fwhm_mm], strict=True):
            worst = max(worst, abs((sphere.qh_pct or 0.0) - expected))
    beside = f"largest of six spheres, FWHM {widths[0]:g} to {widths[-1]:g} mm, 4:1, 1 mm wall, on a slice of 2 mm"
    yield at_most("Q_H, against the analytic contrast", worst, 1.5, "points", beside)


def cylinder_rows(mode: str) -> Iterator[Row]:
    voxels = of(mode, (4.0,), (2.0, 6.0), (1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 6.0))
    tilts = of(mode, (10.0,), (0.0, 10.0), (0.0, 2.5, 5.0, 7.5, 10.0))
    rng = np.random.default_rng(13)
    worst = 0.0
    for voxel_mm, tilt_deg in product(voxels, tilts):
        scan = digital.uniform_cylinder(
            fwhm_mm=7.0,
            cov=0.0,
            tilt_x_deg=tilt_deg,
            shift_mm=tuple(rng.uniform(-2, 2, 3)),
            shape_zyx=(math.ceil(250 / voxel_mm),) * 3,
            spacing_zyx_mm=(voxel_mm,) * 3,
        )
        result = cylinder.measure(
            scan.volume,
            reference_time=scan.truth["reference_time"],
            sheet=Sheet.parse(scan.sheet),
            suv_factor=None,
        )
        (bias,) = (one.value for one in result.measurements if one.name == "cylinder_bias_pct")
        worst = max(worst, abs(bias if bias is not None else math.inf))
    beside = f"largest of {len(voxels) * len(tilts)}: voxels {voxels[0]:g} to {voxels[-1]:g} mm, tilt to {tilts[-1]:g}°"
    yield at_most("cylinder bias, noise-free", worst, 0.1, "%", beside)


def width_rows(mode: str) -> Iterator[Row]:
    """Fit the blur over many seeds, at the most noise that is asked for."""
    seeds = of(mode, 4, 12, 48)
    # A mean of few fits of SD 0.15 mm is itself known to 0.15/√n, their SD to 0.15/√2n: added where seeds are few.
    spare = 0.0 if seeds >= 40 else 3 * 0.15 / math.sqrt(seeds)
    for fwhm_mm in of(mode, (6.5,), (5.0, 8.0), (4.0, 5.0, 6.5, 8.0)):
        rng = np.random.default_rng(14)
        found = []
        for seed in range(seeds):
            shift = (*rng.uniform(-1.6, 1.6, 2), rng.uniform(-1, 1) - PLANE_MM)
            angle = rng.uniform(0, 360)
            scan = digital.nema_iq(fwhm_mm, 0.10, shift_mm=shift, first_angle_deg=angle, seed=seed, **CLINICAL)
            result = nema_iq.measure_numbers(scan.volume, reference_time=None, sheet=None)
            spheres = [sphere.fwhm_mm for sphere in result.spheres if sphere.diameter_mm >= LARGE_MM]
            found.append([*spheres, result.fwhm_mm])
        errors = np.array(found, float) - fwhm_mm
        bias, sd = np.abs(errors.mean(axis=0)), errors.std(axis=0, ddof=1)
        large = [diameter for diameter in DIAMETERS if diameter >= LARGE_MM]
        told = {name: ", ".join(f"{one:.2g}" for one in values) for name, values in (("bias", bias), ("SD", sd))}
        of_what = " and ".join((", ".join(f"{one}" for one in large), "scan"))
        for name, largest, limit in (("bias", bias.max(), 0.06), ("SD of a sphere", sd[:-1].max(), 0.15)):
            beside = f"{seeds} seeds, COV 10 %, noise as broad as the blur; {of_what}: {told[name.split()[0]]} mm"
            what = f"FWHM fit at {fwhm_mm:g} mm, {name}"
            yield at_most(what, float(largest), round(limit + spare, 2), "mm", beside)
        beside = f"{seeds} seeds, the median of the spheres of 17 mm and more"
        yield at_most(
            f"FWHM fit at {fwhm_mm:g} mm, SD of the scan's number", float(sd[-1]), round(0.15 + spare, 2), "mm", beside
        )


def wall_rows(mode: str) -> Iterator[Row]:
    """Say how far a cold wall of 1 mm moves the scan's width."""
    widths = of(mode, (6.0,), (4.0, 8.0), (4.0, 6.0, 8.0))
    for ratio in (10.0, 4.0):
        moved = []
        for fwhm_mm in widths:
            shift = (0.4, -0.7, -PLANE_MM)
            scan = digital.nema_iq(fwhm_mm, 0.0, ratio, wall_mm=1.0, shift_mm=shift, **CLINICAL)
            result = nema_iq.measure_numbers(scan.volume, reference_time=None, sheet=None)
            moved.append((result.fwhm_mm or math.inf) - fwhm_mm)
        told = ", ".join(f"{one:.2g}" for one in moved)
        beside = f"FWHM {', '.join(f'{one:g}' for one in widths)} mm: {told} mm; noise-free, the median of the spheres"
        # What a sphere may be off in noise: the wall is not to use that up.
        yield at_most(f"FWHM fit, cold wall of 1 mm at {ratio:g}:1", max(map(abs, moved)), 0.06, "mm", beside)


def bound_rows(mode: str) -> Iterator[Row]:
    """Say how little the width of one sphere of 17 mm could scatter, whoever fits it, and what its weights are worth.

    The noise of voxel i has the SD D_i, the COV times the root of the signal, and two voxels at the distance d the
    correlation exp(-d²/4σ²). With J the model's derivatives and Σ = D R D, no estimate without bias scatters less than
    (Jᵀ Σ⁻¹ J)⁻¹ says (Cramér-Rao); one whose equations are Aᵀ(model - voxels) = 0 scatters by (AᵀJ)⁻¹ AᵀΣA (JᵀA)⁻¹.
    """
    radius_mm = LARGE_MM / 2
    # Of all voxel centres that the fit counts; where the sphere lies between them moves the figures by a few per cent.
    axes = [(np.arange(-20, 21) + 0.25) * step for step in CLINICAL["spacing_zyx_mm"]]
    z, y, x = np.meshgrid(*axes, indexing="ij")
    places = np.stack([x, y, z], axis=-1).reshape(-1, 3)
    places = places[np.linalg.norm(places, axis=1) <= radius_mm + resolution.SKIN_MM]
    apart2 = ((places[:, None] - places[None, :]) ** 2).sum(axis=2)
    for fwhm_mm in of(mode, (8.0,), (5.0, 8.0), (5.0, 6.5, 8.0)):
        sigma_mm = fwhm_mm / FWHM_PER_SIGMA
        model = sphere_model(
            places, center_lps_mm=np.zeros(3), radius_mm=radius_mm, sigma_mm=sigma_mm, amplitude=9.0, background=1.0
        )
        jacobian = np.column_stack([model.by_center, model.by_sigma, np.ones(len(places)), model.profile])
        sd, correlation = 0.10 * np.sqrt(model.values), np.exp(-apart2 / (4 * sigma_mm**2))
        covariance = sd[:, None] * correlation * sd

        def scatter_mm(equations: Any, jacobian: Any = jacobian, covariance: Any = covariance) -> float:
            solve = np.linalg.inv(equations.T @ jacobian) @ equations.T
            return float(FWHM_PER_SIGMA * np.sqrt((solve @ covariance @ solve.T)[3, 3]))

        # Eigenvalues under 1e-10 of the largest are the arithmetic's; leaving them out raises the bound.
        exact = np.linalg.pinv(correlation, rcond=1e-10, hermitian=True) / sd[:, None] / sd
        weights = ProfileWeights.of(
            radius_mm=radius_mm,
            reach_mm=radius_mm + resolution.SKIN_MM,
            sigma_mm=sigma_mm,
            contrast=9.0,
            noise_sd_mm=sigma_mm,
            is_free=True,
        )
        done = np.column_stack([model.by_center, weights.at(np.linalg.norm(places, axis=1))])
        what = f"FWHM fit of a 17 mm sphere at {fwhm_mm:g} mm"
        noise = "COV 10 %, 10:1, noise as broad as the blur"
        for name, equations, beside in (
            ("least possible SD", exact @ jacobian, f"Cramér-Rao bound, {noise}, whose covariance is known exactly"),
            ("SD with the weights that are used", done, f"{noise}; a cold wall counts as noise too"),
            ("SD with equal weights", jacobian, f"{noise}; not what is done"),
        ):
            yield Row(f"{what}, {name}", f"{scatter_mm(equations):.2g} mm", beside=beside)


# --- what physics says ----------------------------------------------------------------------------


def symmetry_rows(mode: str) -> Iterator[Row]:
    seeds = of(mode, 1, 2, 10)
    changes: dict[str, float] = dict.fromkeys(("doubled", "flipped", "turned", "moved"), 0.0)
    centers_mm, widths_mm = 0.0, 0.0
    for seed in range(seeds):
        drawn = {"shape_zyx": (60, 110, 110), "spacing_zyx_mm": (2.5, 3.2, 3.2)}
        shift = np.array([0.3 * seed, -0.4 * seed, -PLANE_MM])
        scan = digital.nema_iq(7.0, 0.08, seed=seed, shift_mm=tuple(shift), **drawn)
        before, image = measured(scan), scan.volume.image
        affine = scan.volume.affine_lps_mm.copy()
        affine[:3, 3] += affine[:3, 2] * (len(image) - 1)
        affine[:3, 2] *= -1
        others = {
            "doubled": PetVolume(2 * image, scan.volume.affine_lps_mm, "Bq/mL"),
            "flipped": PetVolume(image[::-1], affine, "Bq/mL"),
            "turned": replace(scan.volume, image=np.rot90(image, axes=(1, 2)).copy()),
            "moved": replace(scan.volume, image=np.roll(image, (2, 1), axis=(1, 2))),
        }
        for name, volume in others.items():
            after = measured(replace(scan, volume=volume))
            factor = 2.0 if name == "doubled" else 1.0
            changes[name] = max(changes[name], largest_change(before, after, factor))
        still = measured(digital.nema_iq(7.0, 0.0, shift_mm=tuple(shift), **drawn))
        step = np.array([1.6, 1.6, 1.25])
        half = measured(digital.nema_iq(7.0, 0.0, shift_mm=tuple(shift + step), **drawn))
        for a, b in zip(still.spheres, half.spheres, strict=True):
            centers_mm = max(centers_mm, float(np.abs(b.center_lps_mm - a.center_lps_mm - step).max()))
            widths_mm = max(widths_mm, abs((b.fwhm_mm or 0.0) - (a.fwhm_mm or 0.0)))
    beside = f"largest relative change of A50, maximum and peak, {seeds} phantoms"
    said = {
        "doubled": "doubled activity: twice each number",
        "flipped": "flipped stack: no change",
        "turned": "quarter turn: no change",
        "moved": "whole voxels: no change",
    }
    for name, change in changes.items():
        # The threshold of A50 hangs on the background, whose regions are placed again: 0.1 % of it.
        yield at_most(said[name], change, 0.002, "", beside)
    beside = f"{seeds} noise-free phantoms, drawn anew"
    yield at_most("half a voxel: centres move with it", centers_mm, 0.02, "mm", beside)
    yield at_most("half a voxel: FWHM stays", widths_mm, 0.02, "mm", beside)


def largest_change(before: nema_iq.NemaIqResult, after: nema_iq.NemaIqResult, factor: float) -> float:
    changes = []
    for a, b in zip(before.spheres, after.spheres, strict=True):
        for one, other in ((a.a50, b.a50), (a.max, b.max), (a.peak, b.peak)):
            changes.append(abs((other or 0.0) / (factor * (one or 1.0)) - 1))
    return max(changes)


# --- where the voxels lie -------------------------------------------------------------------------


def places(mode: str) -> list[dict[str, Any]]:
    """Return, for 32 places of a noise-free sphere between the voxels, mean, lowest and highest minus the model."""
    voxels, widths = of(mode, (3.0,), (3.0,), (2.0, 3.0, 4.0)), of(mode, (5.0,), (5.0,), (5.0, 6.5, 8.0))
    found = []
    for voxel_mm, fwhm_mm, diameter in product(voxels, widths, DIAMETERS):
        model = np.array(slow.model_recovery(fwhm_mm, diameter, 10.0))
        rows = []
        for place in PLACES:
            volume, distance = lone_sphere(diameter, fwhm_mm, voxel_mm, place * voxel_mm)
            hottest, a50 = isocontour(volume.image, distance <= diameter / 2 + 6, 0.1)
            # The place of the highest mean is near the middle: no more of the sphere has to be searched.
            best = peak(volume, distance <= 7.0)
            rows.append((a50, hottest, best.mean if best else math.nan))
        errors = np.array(rows) - model
        for k, what in enumerate(("A50", "maximum", "peak")):
            span = [round(float(one), 3) for one in (errors[:, k].mean(), errors[:, k].min(), errors[:, k].max())]
            found.append({"what": what, "voxel_mm": voxel_mm, "fwhm_mm": fwhm_mm, "diameter_mm": diameter, "off": span})
    return found


def place_rows(spread: list[dict[str, Any]]) -> Iterator[Row]:
    """Say whether the known reach of a correct isocontour on point samples is enclosed."""

    def reach(what: str, voxel_mm: float, diameter_mm: int) -> tuple[float, float]:
        spans = [
            one["off"]
            for one in spread
            if (one["what"], one["voxel_mm"], one["diameter_mm"]) == (what, voxel_mm, diameter_mm)
        ]
        return (min((span[1] for span in spans), default=0.0), max((span[2] for span in spans), default=0.0))

    # The known numbers have two digits.
    known = (("A50", 3.0, 10, -0.045, 0.085), ("maximum", 3.0, 10, -0.145, 0.0), ("A50", 4.0, 13, -0.105, 0.0))
    for what, voxel_mm, diameter, low, high in known:
        if not any(one["voxel_mm"] == voxel_mm for one in spread):
            continue
        found = reach(what, voxel_mm, diameter)
        yield Row(
            f"{what} of the {diameter} mm sphere over 32 places, {voxel_mm:g} mm",
            f"{found[0]:+.3f} to {found[1]:+.3f}",
            f"encloses {low:g} to {high:g}",
            found[0] <= low and found[1] >= high,
            beside="minus the model; point samples",
        )


# --- beside other programs ------------------------------------------------------------------------


def drawn_for_peers(seed: int, *, is_noisy: bool = True) -> digital.DigitalScan:
    """Draw a phantom on cubic voxels, which are all that one of the programs takes."""
    rng = np.random.default_rng((15, seed))
    return digital.nema_iq(
        rng.uniform(5, 9),
        rng.uniform(0.04, 0.10) * is_noisy,
        shift_mm=(*rng.uniform(-4, 4, 2), rng.uniform(-3, 3) - PLANE_MM),
        first_angle_deg=rng.uniform(0, 360),
        shape_zyx=(89, 192, 192),
        spacing_zyx_mm=(2.0, 2.0, 2.0),
        seed=seed,
    )


def rms(errors: list[float]) -> float:
    return float(np.sqrt(np.mean(np.square(errors))))


def compared(name: str, ours: list[float], theirs: list[float], unit: str, beside: str, why_not: str = "") -> Row:
    """Return a row of two RMS errors; where ours may be as large, the row says why."""
    figure, limit = f"{rms(ours):.3g} {unit}".strip(), f"≤ {rms(theirs):.3g} {unit}".strip()
    holds = rms(ours) <= 1.001 * rms(theirs)  # the same voxel, read with another rounding, is the same number
    return Row(name, figure, limit, None if why_not and not holds else holds, beside=f"{beside}; {why_not}".strip("; "))


def pynemaiqpet_rows(mode: str) -> Iterator[Row]:
    name = f"pynemaiqpet {peers.VERSIONS['pynemaiqpet']}"
    if not peers.is_there("pynemaiqpet"):
        yield Row(name, "–", beside=peers.ABSENT)
        return
    seeds = of(mode, 2, 4, 20)
    scans = [drawn_for_peers(seed) for seed in range(seeds)]
    with tempfile.TemporaryDirectory() as folder:
        folders = [Path(folder) / str(seed) for seed in range(seeds)]
        for scan, place in zip(scans, folders, strict=True):
            digital.write_dicom(scan, place)
        answers = peers.ask("pynemaiqpet", {"folders": [str(one) for one in folders], "wall_mm": 0.0})
        read = [dicom_series.choose(dicom_series.read_scan(dicom_series.list_files(one))).load() for one in folders]
    ours: dict[str, list[float]] = {}
    theirs: dict[str, list[float]] = {}
    lost = 0

    def add(what: str, our: float | None, their: float, true: float) -> None:
        ours.setdefault(what, []).append((our or 0.0) - true)
        theirs.setdefault(what, []).append(their - true)

    for seed, (scan, volume, answer) in enumerate(zip(scans, read, answers, strict=True)):
        if len(answer["spheres"]) != len(DIAMETERS):
            lost += 1
            continue
        result, truth = measured(replace(scan, volume=volume)), scan.truth
        still = nested(drawn_for_peers(seed, is_noisy=False).volume)
        places_zyx = {diameter: zyx(center) for diameter, center in truth["spheres"].items()}
        for sphere, their in zip(result.spheres, answer["spheres"], strict=True):
            others = [place for other, place in places_zyx.items() if other != sphere.diameter_mm]
            hottest, a50 = slow.hottest_and_a50(
                still, places_zyx[sphere.diameter_mm], sphere.diameter_mm, truth["background_bqml"], others
            )
            high = truth["sphere_bqml"]
            add("A50", sphere.a50 / high, their["mean_a50"] / high, a50 / high)
            add("maximum", sphere.max / high, their["max"] / high, hottest / high)
            add("FWHM", sphere.fwhm_mm, their["FWHM"], truth["fwhm_mm"])
        add("filling", (result.sphere_filling or 0.0) / high, answer["spheres"][0]["signal"] / high, 1.0)
        low = truth["background_bqml"]
        add("background", result.background_mean / low, answer["spheres"][0]["background_mean"] / low, 1.0)
        add("COV", result.background_cov_pct / 100, answer["spheres"][0]["background_cov"], truth["cov"])
    beside = f"RMS over {seeds - lost} phantoms; limit: {name}" + (f", which lost a sphere in {lost}" if lost else "")
    yield compared("A50, error", ours["A50"], theirs["A50"], "", beside, "truth: the noise-free voxels")
    yield compared("maximum, error", ours["maximum"], theirs["maximum"], "", beside, "the same voxel; noise lifts both")
    yield compared("FWHM of a sphere, error", ours["FWHM"], theirs["FWHM"], "mm", beside)
    yield compared("filling from the profiles, error", ours["filling"], theirs["filling"], "", beside)
    yield compared("background mean, error", ours["background"], theirs["background"], "", beside)
    yield compared("background COV, error", ours["COV"], theirs["COV"], "", beside)
    if RECON_1.is_dir():
        yield from real_pynemaiqpet_rows(name)


def real_phantom() -> nema_iq.NemaIqResult:
    volume = dicom_series.choose(dicom_series.read_scan(dicom_series.list_files(RECON_1))).load()
    return nema_iq.measure(volume, reference_time=None, sheet=Sheet.parse(RECON_1_SHEET))


def real_pynemaiqpet_rows(name: str) -> Iterator[Row]:
    """Return how far both lie from each other on the real phantom, whose truth nobody knows."""
    (answer,) = peers.ask("pynemaiqpet", {"folders": [str(RECON_1)], "wall_mm": 0.0})
    result = real_phantom()
    a50 = max(abs(a.a50 / b["mean_a50"] - 1) for a, b in zip(result.spheres, answer["spheres"], strict=True))
    hottest = max(abs(a.max / b["max"] - 1) for a, b in zip(result.spheres, answer["spheres"], strict=True))
    width = max(abs((a.fwhm_mm or 0.0) - b["FWHM"]) for a, b in zip(result.spheres, answer["spheres"], strict=True))
    beside = f"largest of six spheres, {name} on recon_1; no truth is known"
    yield Row("A50, between both", f"{100 * a50:.2g} %", beside=beside)
    yield Row("maximum, between both", f"{100 * hottest:.2g} %", beside=beside)
    yield Row("FWHM of a sphere, between both", f"{width:.2g} mm", beside=f"{beside}; COV 35 %")


def true_contrast(fwhm_mm: float, diameter_mm: float) -> float:
    """Return Q_H of a thin-walled sphere as a continuous disc through its middle has it, whatever the ratio."""
    sigma, radius = fwhm_mm / math.sqrt(8 * math.log(2)), diameter_mm / 2
    rings = (np.arange(2000) + 0.5) * radius / 2000
    profile = np.array([slow.blurred_sphere(float(r), radius, sigma) for r in rings])
    return float((profile * rings).sum() / rings.sum())


def true_variability(fwhm_mm: float, cov: float, diameter_mm: float) -> float:
    """Return the SD of the mean over a disc, of noise as broad as the blur, over the background.

    The noise of two points at a distance s goes together as exp(-s²/4σ²); s has the density of two points in a disc.
    """
    sigma, radius = fwhm_mm / math.sqrt(8 * math.log(2)), diameter_mm / 2
    share = (np.arange(4000) + 0.5) / 4000  # s over the diameter
    density = 16 / math.pi * share * (np.arccos(share) - share * np.sqrt(1 - share**2))
    together = np.exp(-((2 * radius * share) ** 2) / (4 * sigma**2))
    return cov * math.sqrt(float((density * together).mean()))


def task_for_chameleoniq(
    volume: PetVolume, centers: dict[int, Any], result: nema_iq.NemaIqResult, ratio: float
) -> dict[str, Any]:
    """Return a volume with the places of its spheres and of our background regions, in voxels."""
    indices = {diameter: volume.to_index_zyx(np.array(center)) for diameter, center in centers.items()}
    largest = indices[37]
    background = [volume.to_index_zyx(center) - largest for center, _ in result.background_rois]
    return {
        "spacing_zyx_mm": [float(step) for step in volume.spacing_zyx_mm],
        "ratio": ratio,
        "centers_yx": {diameter: [float(one) for one in at[1:]] for diameter, at in indices.items()},
        "central_slice": round(float(np.mean([at[0] for at in indices.values()]))),
        "background_offsets_yx": [[float(one) for one in at[1:]] for at in background],
    }


def ask_chameleoniq(tasks: list[dict[str, Any]], volumes: list[PetVolume]) -> list[dict[str, Any]]:
    with tempfile.TemporaryDirectory() as folder:
        for k, (task, volume) in enumerate(zip(tasks, volumes, strict=True)):
            task["image"] = str(Path(folder) / f"{k}.npy")
            np.save(task["image"], volume.image)
        answers: list[dict[str, Any]] = peers.ask("chameleoniq", {"tasks": tasks})
        return answers


def chameleoniq_rows(mode: str) -> Iterator[Row]:
    name = f"chameleoniq {peers.VERSIONS['chameleoniq']}"
    if not peers.is_there("chameleoniq"):
        yield Row(name, "–", beside=peers.ABSENT)
        return
    seeds = of(mode, 1, 3, 20)
    scans = [drawn_for_peers(seed) for seed in range(seeds)]
    results = [measured(scan) for scan in scans]
    tasks = [
        task_for_chameleoniq(scan.volume, scan.truth["spheres"], result, scan.truth["ratio"])
        for scan, result in zip(scans, results, strict=True)
    ]
    answers = ask_chameleoniq(tasks, [scan.volume for scan in scans])
    ours: dict[str, list[float]] = {"Q_H": [], "N": []}
    theirs: dict[str, list[float]] = {"Q_H": [], "N": []}
    lost = 0
    for scan, result, answer in zip(scans, results, answers, strict=True):
        if "failed" in answer:
            lost += 1
            continue
        for sphere, their in zip(result.spheres, answer["spheres"], strict=True):
            contrast = 100 * true_contrast(scan.truth["fwhm_mm"], sphere.diameter_mm)
            variability = 100 * true_variability(scan.truth["fwhm_mm"], scan.truth["cov"], sphere.diameter_mm)
            ours["Q_H"].append((sphere.qh_pct or 0.0) - contrast)
            theirs["Q_H"].append(their["percentaje_constrast_QH"] - contrast)
            ours["N"].append((sphere.n_pct or 0.0) - variability)
            theirs["N"].append(their["background_variability_N"] - variability)
    beside = f"RMS over {seeds - lost} phantoms; limit: {name}, told the centres"
    yield compared("Q_H, error", ours["Q_H"], theirs["Q_H"], "points", beside)
    why = "sixty regions of one image: the scatter of their SD is nearly all of it, for both"
    yield compared("N, error", ours["N"], theirs["N"], "points", beside, why)
    if RECON_1.is_dir():
        result = real_phantom()
        volume = dicom_series.choose(dicom_series.read_scan(dicom_series.list_files(RECON_1))).load()
        volume = along_patient_axes(volume)
        task = task_for_chameleoniq(volume, result.pose.spheres, result, 10.0)
        (answer,) = ask_chameleoniq([task], [volume])
        largest = max(
            abs((sphere.qh_pct or 0.0) - their["percentaje_constrast_QH"])
            for sphere, their in zip(result.spheres, answer["spheres"], strict=True)
        )
        beside = f"largest of six spheres, {name} on recon_1; it takes the highest of many places, in noise of COV 35 %"
        yield Row("Q_H, between both", f"{largest:.2g} points", beside=beside)


# --- the section, and what it writes ----------------------------------------------------------------


PARTS: dict[str, Callable[[str], Iterable[Row]]] = {
    "twins": twin_rows,
    "table": table_rows,
    "model": model_rows,
    "contrast": contrast_rows,
    "cylinder": cylinder_rows,
    "widths": width_rows,
    "walls": wall_rows,
    "bounds": bound_rows,
    "places": lambda mode: place_rows(places(mode)),
    "symmetry": symmetry_rows,
    "pynemaiqpet": pynemaiqpet_rows,
    "chameleoniq": chameleoniq_rows,
}


def measure(mode: str, folder: Path) -> list[Row]:
    """Return the rows of a section; the folder is not needed."""
    del folder
    return [row for part in PARTS.values() for row in part(mode)]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"what to make anew, of {', '.join(PARTS)}; else all")
    asked = parser.parse_args().parts or list(PARTS)
    kept = json.loads(FILE.read_text()) if FILE.exists() else {}
    for name in asked:
        rows = list(PARTS[name]("full"))
        kept[name] = [{key: value for key, value in asdict(row).items() if key != "is_timed"} for row in rows]
        for row in rows:
            word = "" if row.holds is None else "ok" if row.holds else "NOT KEPT"
            print(f"{word:9} {row.name}: {row.figure} {row.limit}", flush=True)
    if "places" in asked:
        kept["spread"] = places("full")
    order = [*PARTS, "spread"]
    FILE.write_text(json.dumps({name: kept[name] for name in order if name in kept}, indent=1) + "\n")
    return int(any(row["holds"] is False for name in PARTS for row in kept.get(name, ())))


if __name__ == "__main__":
    sys.exit(main())
