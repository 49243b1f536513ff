"""Faults of a scanner are named on the cylinder, with where and how large; a cylinder without one gets no name."""

from __future__ import annotations

import math
import re

import numpy as np
import pytest

from phantoms import artefacts, cylinder, digital, figures
from phantoms.results import Finding, Outcome, Owner
from phantoms.sheet import Sheet

GRID = {"shape_zyx": (66, 68, 68), "spacing_zyx_mm": (4.0, 4.0, 4.0)}
NAMES = {"PHA-WEDGE", "PHA-RING", "PHA-BED-JOIN", "PHA-CUPPING", "PHA-SLOPE", "PHA-SLICE"}
SEEDS = range(10)


def named(**drawn: object) -> dict[str, Finding]:
    scan = digital.uniform_cylinder(**{**GRID, **drawn})
    result = cylinder.measure(
        scan.volume, reference_time=scan.truth["reference_time"], sheet=Sheet.parse(scan.sheet), suv_factor=None
    )
    return {finding.id: finding for finding in result.findings}


def pose(seed: int) -> dict[str, object]:
    rng = np.random.default_rng(seed)
    tilt, way = rng.uniform(0, 10), rng.uniform(0, 2 * math.pi)
    return {
        "tilt_x_deg": tilt * math.cos(way),
        "tilt_y_deg": tilt * math.sin(way),
        "shift_mm": tuple(rng.uniform(-12, 12, 3)),
        "seed": seed,
    }


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize(
    ("cov", "spacing"),
    [(0.0, (3.0, 4.0, 4.0)), (0.05, (5.0, 3.0, 3.0)), (0.15, (4.0, 4.0, 4.0)), (0.40, (6.0, 6.0, 6.0))],
)
def test_cylinder_when_it_has_no_fault_gets_no_name(seed: int, cov: float, spacing: tuple[float, float, float]) -> None:
    shape = tuple(round(264 / step) for step in spacing)
    assert not NAMES & set(named(cov=cov, shape_zyx=shape, spacing_zyx_mm=spacing, **pose(seed)))


@pytest.mark.parametrize("seed", SEEDS)
def test_wedge_when_a_block_drops_out_is_named_with_its_place_and_size(seed: int) -> None:
    loss, at = 5 + 15 * seed / 9, 36.0 * seed + 7
    faults = digital.ScannerFaults(wedge_pct=-loss, wedge_at_deg=at, wedge_width_deg=30)
    finding = named(cov=0.06, faults=faults, **pose(seed))["PHA-WEDGE"]
    assert abs((finding.evidence["at_deg"] - at + 180) % 360 - 180) <= 15
    assert finding.evidence["pct"] == pytest.approx(-loss, abs=0.15 * loss + 3 * finding.evidence["sd_pct"])
    assert (finding.outcome, finding.severity, finding.owner) == (Outcome.WARN, "query", Owner.SITE)
    assert finding.evidence["figure"] == "uniformity_map"
    assert finding.next_step


@pytest.mark.parametrize(("loss_pct", "is_named"), [(3.5, True), (2.0, False)])
def test_wedge_when_it_is_plain_to_see_is_named_from_half_of_what_matters(loss_pct: float, is_named: bool) -> None:
    # A fault that matters is 5 %; half of it is named, so what was expected is said as under 2.5 %.
    faults = digital.ScannerFaults(wedge_pct=-loss_pct, wedge_at_deg=40, wedge_width_deg=30)
    found = named(cov=0.005, faults=faults)
    assert ("PHA-WEDGE" in found) is is_named
    if is_named:
        assert found["PHA-WEDGE"].expected == "under 2.5 %, or within noise"


@pytest.mark.parametrize("seed", SEEDS)
def test_ring_is_named_with_its_radius_and_direction(seed: int) -> None:
    size, radius = (-1) ** seed * (10 + seed), 25.0 + 3 * seed
    faults = digital.ScannerFaults(ring_pct=size, ring_radius_mm=radius, ring_width_mm=10)
    finding = named(cov=0.06, faults=faults, **pose(seed))["PHA-RING"]
    assert finding.evidence["radius_mm"] == pytest.approx(radius, abs=6)
    assert finding.evidence["pct"] * size > 0
    assert ("higher" if size > 0 else "lower") in finding.message


@pytest.mark.parametrize("seed", SEEDS)
def test_bed_join_when_the_reading_is_a_saw_tooth_is_named_with_its_place(seed: int) -> None:
    size, at = (-1) ** seed * (6 + 1.5 * seed), -30.0 + 6 * seed
    faults = digital.ScannerFaults(bed_join_pct=size, bed_length_mm=150, bed_join_z_mm=at)
    finding = named(cov=0.06, faults=faults, **{**pose(seed), "shift_mm": (5.0, -5.0, 0.0)})["PHA-BED-JOIN"]
    nearest = min(finding.evidence["heights_mm"], key=lambda height: abs(height - at))
    assert nearest == pytest.approx(at, abs=12)
    assert finding.evidence["pct"][finding.evidence["heights_mm"].index(nearest)] * size < 0
    assert finding.evidence["figure"] == "slice_profile"


@pytest.mark.parametrize("step_mm", [3.0, 4.0])
@pytest.mark.parametrize("at", [-66.0, -62.0, 62.0, 66.0])
def test_bed_join_when_it_lies_near_an_end_is_marked_where_it_was_drawn(at: float, step_mm: float) -> None:
    # The region ends near ±79 mm; a join is looked for to ±59 mm only, and was marked there with part of its size.
    faults = digital.ScannerFaults(bed_join_pct=12, bed_length_mm=200, bed_join_z_mm=at)
    grid = {"shape_zyx": (round(264 / step_mm), 68, 68), "spacing_zyx_mm": (step_mm, 4.0, 4.0)}
    evidence = named(cov=0.03, seed=3, faults=faults, **grid)["PHA-BED-JOIN"].evidence
    # A slice is a sample at its middle: the join lies within half a step of the middle between two, and the middle of
    # the cylinder found within a tenth of a millimetre of the one drawn.
    assert evidence["heights_mm"] == [pytest.approx(at, abs=step_mm / 2 + 0.1)]
    assert evidence["pct"] == [pytest.approx(-12.0, abs=3 * evidence["sd_pct"][0] + 0.2)]


def test_bed_join_when_it_is_drawn_then_the_figure_marks_it_there() -> None:
    faults = digital.ScannerFaults(bed_join_pct=12, bed_length_mm=200, bed_join_z_mm=62.0)
    scan = digital.uniform_cylinder(
        cov=0.03, seed=3, faults=faults, shape_zyx=(88, 68, 68), spacing_zyx_mm=(3.0, 4.0, 4.0)
    )
    result = cylinder.measure(
        scan.volume, reference_time=scan.truth["reference_time"], sheet=Sheet.parse(scan.sheet), suv_factor=None
    )
    alt = figures.cylinder_figures(scan.volume, result)["slice_profile"].alt
    marked = re.search(r"Steps are marked at \+(\d+) mm", alt)
    assert marked is not None
    assert abs(int(marked[1]) - 62) <= 2


@pytest.mark.parametrize("seed", SEEDS)
def test_slope_from_one_per_cent_a_centimetre_is_named(seed: int) -> None:
    slope = (-1) ** seed * (1 + 2 * seed / 9)
    found = named(cov=0.08, axial_slope_pct_per_cm=slope, **pose(seed))
    assert found["PHA-SLOPE"].evidence["pct_per_cm"] == pytest.approx(slope, abs=0.2)
    assert not {"PHA-WEDGE", "PHA-RING", "PHA-BED-JOIN"} & set(found)


@pytest.mark.parametrize("seed", SEEDS)
def test_cupping_is_named_and_is_no_ring(seed: int) -> None:
    found = named(cov=0.06, cupping_pct=(-1) ** seed * (13 + seed), **pose(seed))
    assert "PHA-CUPPING" in found
    assert "PHA-RING" not in found


@pytest.mark.parametrize("seed", SEEDS)
def test_two_faults_at_once_are_both_named(seed: int) -> None:
    faults = digital.ScannerFaults(wedge_pct=-8 - seed, wedge_at_deg=40.0 * seed, wedge_width_deg=30)
    found = named(cov=0.06, faults=faults, axial_slope_pct_per_cm=1.5 + 0.1 * seed, **pose(seed))
    assert {"PHA-WEDGE", "PHA-SLOPE"} <= set(found)


@pytest.mark.parametrize("radius_mm", [25.0, 40.0, 55.0])
def test_ring_when_it_meets_what_cupping_compares_is_no_cupping(radius_mm: float) -> None:
    faults = digital.ScannerFaults(ring_pct=18, ring_radius_mm=radius_mm, ring_width_mm=11)
    found = named(cov=0.04, faults=faults)
    assert "PHA-RING" in found
    assert "PHA-CUPPING" not in found


def test_quantile_shares_the_chance_of_a_false_name_between_the_places() -> None:
    tail = [math.erfc(artefacts.quantile(tests) / math.sqrt(2)) for tests in (1, 50)]
    assert tail[0] == pytest.approx(artefacts.FALSE_NAMES)
    assert 1 - (1 - tail[1]) ** 50 == pytest.approx(artefacts.FALSE_NAMES)


def test_noise_covariance_when_voxels_are_independent_is_their_variance_over_their_number() -> None:
    weights = np.zeros((2, 6, 7))
    weights[0, :3] = math.sqrt(10) / 210  # 21 columns of ten voxels
    weights[1, 3:] = math.sqrt(10) / 210
    alone = np.array([1.0])
    covariance = artefacts.Noise(4.0, (alone, alone, alone)).covariance(weights)
    assert covariance == pytest.approx(np.diag([4 / 210, 4 / 210]), abs=1e-12)


def test_noise_covariance_when_neighbours_vary_as_one_is_the_sum_over_all_pairs() -> None:
    rng = np.random.default_rng(1)
    weights = rng.random((2, 5, 6))
    lags = (np.array([1.0, 0.5]), np.array([1.0, 0.6, 0.2]), np.array([1.0, 0.4]))
    found = artefacts.Noise(2.0, lags).covariance(weights)

    def by_lag(series: np.ndarray, lag: int) -> float:
        return float(series[lag]) if lag < len(series) else 0.0

    for i in range(2):
        for j in range(2):
            total = sum(
                weights[i, y, x] * weights[j, v, u] * by_lag(lags[1], abs(y - v)) * by_lag(lags[2], abs(x - u))
                for y in range(5) for x in range(6) for v in range(5) for u in range(6)
            )  # fmt: skip
            assert found[i, j] == pytest.approx(2.0 * 2.0 * total)


def test_budget_is_printed_part_by_part_and_adds_up() -> None:
    finding = named(cov=0.05)["PHA-BUDGET"]
    parts = {name: value for name, value in finding.evidence.items() if name != "figure"}
    assert set(parts) == {"Dose calibrator", "Volume", "Residual", "Clock", "Counting"}
    assert finding.observed == f"{math.hypot(*parts.values()):.2f} %"
    for name, value in parts.items():
        assert f"{name} {value:.2f} %" in finding.message


def test_slice_off_when_a_bed_join_is_its_cause_then_the_cause_stands_first():
    faults = digital.ScannerFaults(bed_join_pct=12)
    scan = digital.uniform_cylinder(cov=0.03, faults=faults, shape_zyx=(64, 90, 90), spacing_zyx_mm=(4.0, 4.0, 4.0))
    result = cylinder.measure(scan.volume, reference_time=None, sheet=None, suv_factor=None)
    named = [one.id for one in result.findings if one.outcome is not Outcome.PASS]
    assert named == ["PHA-BED-JOIN", "PHA-SLICE"]
    assert "Mend the join of the beds first" in result.findings[-1].next_step
