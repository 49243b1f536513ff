"""A cap of a ball, blurred: its volume, its two halves, and single voxels summed up from points."""

from __future__ import annotations

import numpy as np
import pytest

from phantoms.blurred_cap import BlurredCaps
from phantoms.spheres import blurred_sphere


def places(reach_mm: float, step_mm: float) -> np.ndarray:
    axis = np.arange(-reach_mm, reach_mm + step_mm / 2, step_mm)
    return np.stack(np.meshgrid(axis, axis, axis, indexing="ij"), axis=-1).reshape(-1, 3)


@pytest.mark.parametrize("share", [0.1, 0.3, 0.6])
def test_image_when_summed_holds_the_share_of_the_ball(share: float) -> None:
    radius_mm, sigma_mm = 8.5, 2.5
    image = BlurredCaps(radius_mm, sigma_mm, 20.0).image(places(20.0, 1.0), share, -1.0)
    # Linear interpolation moves (1/6)² / 24 of a volume at most; what is cut off at 20 mm, 4.6 blurs out, is less.
    assert image.sum() == pytest.approx(share * 4 / 3 * np.pi * radius_mm**3, rel=2e-3)


def test_image_when_a_cap_and_what_it_leaves_are_added_is_the_whole_ball() -> None:
    radius_mm, sigma_mm = 6.5, 3.4
    at = places(15.0, 3.0)
    caps = BlurredCaps(radius_mm, sigma_mm, 15.0)
    whole = caps.image(at, 0.3, -1.0) + caps.image(at, 0.7, 1.0)
    # Either is off by (1/6)² / 8 of its height at most, of which the ball of 6.5 mm reaches some 0.7.
    np.testing.assert_allclose(whole, blurred_sphere(np.linalg.norm(at, axis=1), radius_mm, sigma_mm), atol=0.005)


def test_image_when_the_cap_lies_above_is_the_sum_of_its_points() -> None:
    radius_mm, sigma_mm, share = 6.5, 3.0, 0.25
    fine = places(radius_mm, 0.25)
    level = np.linspace(-radius_mm, radius_mm, 20001)
    held = np.cumsum(radius_mm**2 - level**2)
    top = np.interp(share, held / held[-1], level)  # the share of the ball below this y
    points = fine[(np.linalg.norm(fine, axis=1) <= radius_mm) & (fine[:, 1] <= top)]
    at = np.array([[0.0, -5.0, 0.0], [2.0, -6.0, 1.0], [0.0, 0.0, 0.0], [-3.0, -4.0, 3.0], [0.0, 6.0, 0.0]])
    apart = np.linalg.norm(at[:, None] - points[None], axis=2)
    weight = share * 4 / 3 * np.pi * radius_mm**3 / len(points)
    expected = weight * np.exp(-(apart**2) / (2 * sigma_mm**2)).sum(axis=1) / (2 * np.pi * sigma_mm**2) ** 1.5
    # Points 0.25 mm apart leave the cap's faces uncertain by half of that: 0.125 mm of a gradient of 0.1 per mm.
    np.testing.assert_allclose(BlurredCaps(radius_mm, sigma_mm, 15.0).image(at, share, -1.0), expected, atol=0.012)
