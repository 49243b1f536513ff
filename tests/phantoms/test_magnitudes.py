"""Uncertainties of what has no sign: held against drawn errors."""

from __future__ import annotations

import math

import numpy as np
import pytest

from phantoms.magnitudes import rms_sd, tilt_sd_deg

DRAWN = 4000
#: What the share of so many draws may be off by: four standard errors.
SHARE = 4 * math.sqrt(0.68 * 0.32 / DRAWN)


def axes_about(true: float, along: float, across: float, rng: np.random.Generator) -> np.ndarray:
    """Return ``[n, 3]`` axes that err about one tilted by ``true`` radians in a direction of its own."""
    off = np.column_stack([true + along * rng.standard_normal(DRAWN), across * rng.standard_normal(DRAWN)])
    turn = np.array([[0.6, -0.8], [0.8, 0.6]])
    sideways = off @ turn.T
    return np.column_stack([sideways, np.sqrt(1 - np.square(sideways).sum(axis=1))])


@pytest.mark.parametrize("sizes", [0.0, 0.5, 1.0, 2.0, 5.0, 50.0])
def test_tilt_sd_when_axes_are_drawn_then_it_holds_the_true_tilt_from_upright_on(sizes: float) -> None:
    sd = 1e-3
    true = sizes * sd
    axes = axes_about(true, sd, sd, np.random.default_rng(3))
    covariance = sd**2 * np.eye(3)
    stated = np.array([tilt_sd_deg(axis, covariance) for axis in axes])
    off = np.degrees(np.arccos(np.clip(axes[:, 2], -1, 1)) - true)
    held = float((np.abs(off) <= stated).mean())
    # At 0 it is 1 − 1/e by construction; in between the found tilt says less of the true one, to the safe side.
    assert 0.60 - SHARE < held < 0.80 + SHARE
    over = float(np.sqrt(np.square(stated).mean() / np.square(off).mean()))
    assert 0.85 < over < 1.35


def test_tilt_sd_when_the_tilt_is_large_then_it_is_that_of_the_error_along_it() -> None:
    tilt = math.radians(5.0)
    axis = np.array([math.sin(tilt), 0.0, math.cos(tilt)])
    assert tilt_sd_deg(axis, np.diag([4e-6, 9e-6, 0.0])) == pytest.approx(math.degrees(2e-3) * math.cos(tilt), rel=2e-3)


@pytest.mark.parametrize("terms", [1, 2, 5, 17])
def test_rms_sd_when_terms_are_drawn_about_nothing_then_it_is_that_of_a_chi(terms: int) -> None:
    covariance = 0.04 * np.eye(terms)
    drawn = np.sqrt(np.square(0.2 * np.random.default_rng(5).standard_normal((DRAWN, terms))).mean(axis=1))
    mean = 0.2 * math.sqrt(2 / terms) * math.exp(math.lgamma((terms + 1) / 2) - math.lgamma(terms / 2))
    exact = math.sqrt(0.04 - mean**2)
    assert rms_sd(0.0, covariance, terms) == pytest.approx(exact, rel=1e-6)
    held = np.mean([abs(one - mean) <= rms_sd(float(one), covariance, terms) for one in drawn])
    assert 0.60 - SHARE < held < 0.76 + SHARE


def test_rms_sd_when_the_terms_lie_far_off_then_it_is_that_of_one_direction() -> None:
    means = np.array([3.0, 4.0])
    covariance = 0.01 * np.eye(2)
    # The root of the sum is 5 ± 0.1 along the means.
    assert rms_sd(float(np.sqrt(np.square(means).mean())), covariance, 2) == pytest.approx(0.1 / math.sqrt(2), rel=1e-2)
