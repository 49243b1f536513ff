"""What a voxel counts for in the fit of a sphere: the noise that shells share, and what a cold wall looks like."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from phantoms.profile_weights import ProfileWeights, shell_correlation
from phantoms.spheres import FWHM_PER_SIGMA, blurred_sphere, sphere_model

SPHERE: dict[str, Any] = {"radius_mm": 11.0, "reach_mm": 20.0, "sigma_mm": 3.0, "contrast": 9.0, "is_free": True}


def test_shell_correlation_when_pairs_are_drawn_then_it_is_their_mean() -> None:
    rng = np.random.default_rng(1)
    own, other = rng.standard_normal((2, 100_000, 3))
    own /= np.linalg.norm(own, axis=1)[:, None]
    other /= np.linalg.norm(other, axis=1)[:, None]
    radii, sd_mm = np.array([0.25, 4.0, 9.0]), 3.0
    found = shell_correlation(radii, sd_mm)
    for i, one in enumerate(radii):
        for j, two in enumerate(radii):
            drawn = np.exp(-np.square(one * own - two * other).sum(axis=1) / (4 * sd_mm**2))
            # The mean of 100 000 numbers between 0 and 1 of SD under a half, four times.
            assert found[i, j] == pytest.approx(drawn.mean(), abs=4 * 0.5 / np.sqrt(100_000))


@pytest.mark.parametrize("noise_sd_mm", [1.5, 3.4])
def test_weights_when_the_profile_moves_then_width_background_and_filling_are_told_apart(noise_sd_mm: float) -> None:
    weights = ProfileWeights.of(noise_sd_mm=noise_sd_mm, **SPHERE)
    distance = np.linalg.norm(np.indices((24, 24, 24)).reshape(3, -1).T * 1.7 - 19.9, axis=1)
    distance = distance[distance <= 20.0]
    model = sphere_model(
        distance[:, None] * np.array([0.0, 1.0, 0.0]),
        center_lps_mm=np.zeros(3),
        radius_mm=11.0,
        sigma_mm=3.0,
        amplitude=9.0,
        background=1.0,
    )
    counted = weights.at(distance)
    jacobian = np.stack([model.by_sigma, np.ones_like(distance), model.profile], axis=1)
    solved = np.linalg.solve(counted.T @ jacobian, counted.T @ (jacobian @ np.array([0.2, -0.1, 0.5])))
    assert solved == pytest.approx([0.2, -0.1, 0.5])
    # A wall of 1 mm is nearly nothing to them, which to equal weights is a narrower blur.
    wall = model.profile - blurred_sphere(distance, 12.0, 3.0)
    narrower = np.linalg.solve(counted.T @ jacobian, counted.T @ wall)[0]
    alike = np.linalg.solve(jacobian.T @ jacobian, jacobian.T @ wall)[0]
    assert FWHM_PER_SIGMA * alike < -0.06
    assert abs(narrower) < abs(alike) / 2


def test_weights_when_the_filling_is_given_then_two_equations_are_left() -> None:
    weights = ProfileWeights.of(noise_sd_mm=3.0, **(SPHERE | {"is_free": False}))
    assert weights.at(np.array([0.0, 5.0, 30.0])).shape == (3, 2)


def test_weights_when_the_sphere_is_cold_then_they_are_finite() -> None:
    weights = ProfileWeights.of(noise_sd_mm=3.0, **(SPHERE | {"contrast": -1.0}))
    assert np.isfinite(weights.columns).all()
