"""The blurred sphere: its derivatives, its voxels, and the fit that uses them."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from phantoms.spheres import blurred_sphere, least_squares, region_within, sphere_model
from phantoms.volume import PetVolume

RNG = np.random.default_rng(0)


@pytest.mark.parametrize("radius_mm", [5.0, 18.5])
@pytest.mark.parametrize("sigma_mm", [1.5, 4.0])
def test_blurred_sphere_agrees_with_a_numerical_convolution(radius_mm: float, sigma_mm: float) -> None:
    # The mean of a Gaussian cloud inside the sphere, by its radial law: (r'/r) (N(r - r') - N(r + r')) over r' < R.
    inner = np.linspace(0.0, radius_mm, 20001)
    for r in (0.5, 3.0, radius_mm, radius_mm + 2 * sigma_mm):
        bells = [np.exp(-((r + way * inner) ** 2) / (2 * sigma_mm**2)) for way in (-1, 1)]
        integrand = inner / r * (bells[0] - bells[1]) / (sigma_mm * np.sqrt(2 * np.pi))
        expected = np.trapezoid(integrand, inner)
        assert blurred_sphere(np.array([r]), radius_mm, sigma_mm)[0] == pytest.approx(expected, abs=1e-7)


def test_blurred_sphere_at_its_centre_is_the_limit() -> None:
    near = blurred_sphere(np.array([0.0, 1e-6, 0.02]), 5.0, 3.4)
    assert near == pytest.approx(near[2], abs=1e-5)


@pytest.mark.parametrize("radius_mm", [5.0, 18.5])
def test_sphere_model_has_the_derivatives_that_differences_give(radius_mm: float) -> None:
    points = RNG.uniform(-25, 25, (200, 3))
    given = {"center_lps_mm": np.array([0.3, -0.4, 0.7]), "sigma_mm": 3.1, "amplitude": 4.0, "background": 1.0}

    def values(**change: object) -> NDArray[np.float64]:
        return sphere_model(points, radius_mm=radius_mm, **{**given, **change}).values  # type: ignore[arg-type]

    model, step = sphere_model(points, radius_mm=radius_mm, **given), 1e-5  # type: ignore[arg-type]
    for axis in range(3):
        shift = step * np.eye(3)[axis]
        center = np.array([0.3, -0.4, 0.7])
        slope = (values(center_lps_mm=center + shift) - values(center_lps_mm=center - shift)) / (2 * step)
        assert model.by_center[:, axis] == pytest.approx(slope, abs=1e-7)
    slope = (values(sigma_mm=3.1 + step) - values(sigma_mm=3.1 - step)) / (2 * step)
    assert model.by_sigma == pytest.approx(slope, abs=1e-7)
    assert values(amplitude=5.0) - values() == pytest.approx(model.profile)


def test_region_within_gives_the_voxels_of_a_ball_in_any_orientation() -> None:
    turn = np.linalg.qr(RNG.normal(size=(3, 3)))[0]
    affine = np.eye(4)
    affine[:3, :3] = turn @ np.diag([2.0, 3.0, 4.0])
    affine[:3, 3] = [-20.0, 5.0, 11.0]
    volume = PetVolume(RNG.normal(size=(12, 14, 16)).astype(np.float32), affine, "1")
    center = volume.to_lps_mm(np.array([6.2, 7.1, 7.9]))
    positions = volume.to_lps_mm(np.stack(np.indices(volume.image.shape), axis=-1).astype(float))
    inside = np.linalg.norm(positions - center, axis=-1) <= 9.0
    region = region_within(volume, center, 9.0)
    assert region.values == pytest.approx(volume.image[inside])
    assert region.lps_mm == pytest.approx(positions[inside])


def test_region_within_outside_the_image_is_empty() -> None:
    volume = PetVolume(np.ones((4, 4, 4), np.float32), np.eye(4), "1")
    assert len(region_within(volume, np.array([50.0, 0.0, 0.0]), 5.0).values) == 0


def test_least_squares_finds_the_minimum_and_stays_in_the_box() -> None:
    x = np.linspace(0, 4, 50)
    data = 3.0 * np.exp(-x / 1.3)

    def residuals(p: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        shape = np.exp(-x / p[1])
        return p[0] * shape - data, np.column_stack([shape, p[0] * shape * x / p[1] ** 2])

    box = {"low": np.array([0.0, 0.1]), "high": np.array([10.0, 5.0]), "tolerance": np.array([1e-8, 1e-8])}
    free = least_squares(residuals, np.array([1.0, 3.0]), **box)
    assert free.converged
    assert free.parameters == pytest.approx([3.0, 1.3], abs=1e-6)
    box["high"] = np.array([10.0, 1.0])
    bound = least_squares(residuals, np.array([1.0, 0.5]), **box)
    assert bound.parameters[1] == 1.0
