"""The blur, the radius and the axis are given back by the edge of a cylinder, whatever it reads."""

from __future__ import annotations

import numpy as np
import pytest

from phantoms import cylinder, digital
from phantoms.cylinder_edge import _sharing
from phantoms.sheet import Sheet


def edge_of(scan: digital.DigitalScan) -> cylinder.CylinderResult:
    return cylinder.measure(
        scan.volume, reference_time=scan.truth["reference_time"], sheet=Sheet.parse(scan.sheet or {}), suv_factor=None
    )


def grid_of(voxel_mm: float) -> dict[str, object]:
    count = round(264 / voxel_mm)
    return {"shape_zyx": (count, count, count), "spacing_zyx_mm": (voxel_mm, voxel_mm, voxel_mm)}


@pytest.mark.parametrize(("voxel_mm", "tilt_deg"), [(2.0, 5.0), (3.0, 0.0), (3.0, 10.0), (4.0, 0.0), (4.0, 10.0)])
@pytest.mark.parametrize("fwhm_mm", [4.0, 7.0, 10.0])
def test_edge_when_free_of_noise_gives_width_radius_and_tilt_back(
    fwhm_mm: float, tilt_deg: float, voxel_mm: float
) -> None:
    scan = digital.uniform_cylinder(
        fwhm_mm=fwhm_mm, cov=0.0, tilt_y_deg=tilt_deg, shift_mm=(3.3, -4.1, 1.7), **grid_of(voxel_mm)
    )
    edge = edge_of(scan).edge
    # What is left of the axis' 0.05° over the 75 mm to either side of the middle, 0.07 mm at most and 0.04 mm in the
    # mean, adds its square to the variance.
    assert edge.fwhm_mm == pytest.approx(fwhm_mm, abs=(0.04**2) * 8 * np.log(2) / (2 * fwhm_mm) + 1e-3)
    assert edge.radius_mm == pytest.approx(100.0, abs=0.02)
    assert edge.axis @ np.array(scan.truth["axis"]) == pytest.approx(1.0, abs=np.radians(0.05) ** 2)
    assert edge.misfit < 0.002


def test_edge_when_voxels_average_then_the_width_includes_the_voxel() -> None:
    scan = digital.uniform_cylinder(fwhm_mm=6.0, cov=0.0, samples_per_voxel=4, **grid_of(4.0))
    # A voxel's mean adds a twelfth of its side squared to the variance, less what four samples miss of it.
    variance = (6.0**2 / (8 * np.log(2))) + 4.0**2 / 12 * (1 - 1 / 4**2)
    assert edge_of(scan).edge.fwhm_mm == pytest.approx(np.sqrt(8 * np.log(2) * variance), abs=0.03)


def test_edge_when_noisy_then_its_uncertainty_is_the_scatter() -> None:
    scores = []
    for seed in range(16):
        rng = np.random.default_rng(seed)
        scan = digital.uniform_cylinder(
            fwhm_mm=7.0, cov=0.15, seed=seed, tilt_x_deg=rng.uniform(-8, 8), shift_mm=tuple(rng.uniform(-9, 9, 3)),
            **grid_of(4.0),
        )  # fmt: skip
        edge = edge_of(scan).edge
        assert edge.fwhm_mm is not None
        assert edge.sd_mm is not None
        scores.append((edge.fwhm_mm - 7.0) / edge.sd_mm)
    # The RMS of 16 standard normal numbers is 1 ± 1 / √32; a deviation from 24 parts spreads it by half as much again.
    assert np.sqrt(np.mean(np.square(scores))) == pytest.approx(1.0, abs=3 * 1.5 / np.sqrt(32))


def test_edge_when_tilted_and_sloped_keeps_the_tilt() -> None:
    """Over a tilted slice the slope is a slant, 0.07 of the reading across this one, which must not lean the edge."""
    drawn = {"tilt_x_deg": 6.0, "tilt_y_deg": 4.0, "axial_slope_pct_per_cm": 3.0}
    scan = digital.uniform_cylinder(fwhm_mm=7.0, cov=0.0, **drawn, **grid_of(4.0))
    edge = edge_of(scan).edge
    # 0.01 mm over the 53 mm from one layer of the edge to the next.
    assert np.degrees(np.arccos(edge.axis @ np.array(scan.truth["axis"]))) < 0.01
    assert edge.fwhm_mm == pytest.approx(7.0, abs=0.005)


def test_sharing_when_parts_are_independent_is_one_and_with_neighbours_grows_as_the_sum_does() -> None:
    """Of n parts of variance 1 in a ring, c shared with each neighbour: the sum has n (1 + 2c)."""
    n, c = 24, 0.1
    assert _sharing(np.eye(n)) == pytest.approx(1.0)
    ring = np.eye(n) + c * (np.roll(np.eye(n), 1, axis=0) + np.roll(np.eye(n), -1, axis=0))
    seen = n / (n - 1) * (n - (1 + 2 * c))
    assert _sharing(ring) == pytest.approx(np.sqrt(n * (1 + 2 * c) / seen))


def test_edge_when_the_cylinder_is_cupped_or_sloped_keeps_the_width() -> None:
    for fault in ({"cupping_pct": -15.0}, {"axial_slope_pct_per_cm": 2.0}, {"calibration": 0.8}):
        edge = edge_of(digital.uniform_cylinder(fwhm_mm=7.0, cov=0.0, **grid_of(3.0), **fault)).edge
        # The bend of a cupped reading is blurred too, which the fit leaves out: sigma² / R² of it.
        assert edge.fwhm_mm == pytest.approx(7.0, abs=0.05)
