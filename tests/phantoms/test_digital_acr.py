"""The digital ACR phantom against what follows from its geometry alone."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from phantoms import digital_acr
from phantoms.digital import SIGMA_PER_FWHM

SMALL = {"shape_zyx": (56, 68, 68), "spacing_zyx_mm": (4.0, 4.0, 4.0)}


@pytest.mark.parametrize(
    "pose", [{}, {"tilt_x_deg": 5.0, "tilt_y_deg": -3.0, "roll_deg": 25.0, "is_lid_at_head": False}]
)
def test_acr_pet_when_noise_free_then_holds_its_activity(pose) -> None:
    # The blur moves activity and loses none, so the sum is the sum of the volumes.
    scan = digital_acr.acr_pet(cov=0, **pose, **SMALL)
    hot = sum(np.pi / 4 * d**2 for d in digital_acr.HOT_DIAMETERS_MM)
    rods = sum(np.pi / 4 * d**2 for _, d in digital_acr._rods(100.0))
    whole = np.pi * 100**2 * digital_acr.LENGTH_MM
    inserts = (1.5 * hot - 3 * np.pi / 4 * 25**2) * digital_acr.INSERT_LENGTH_MM
    truth = 4000 * (whole + inserts - rods * digital_acr.ROD_LENGTH_MM)
    assert scan.volume.image.sum(dtype=float) * 64 == pytest.approx(truth, rel=2e-4)


def test_acr_pet_when_turned_then_each_cylinder_reads_its_analytic_value_where_the_truth_says() -> None:
    # On the axis of a long cylinder of radius R a Gaussian leaves 1 - exp(-R^2 / 2 sigma^2) of what is in it.
    scan = digital_acr.acr_pet(
        8.0, 0, wall_mm=1.0, tilt_x_deg=4, tilt_y_deg=-3, roll_deg=20, shift_mm=(12, -9, 15), is_mirrored=True, **SMALL
    )
    sigma = 8.0 * SIGMA_PER_FWHM

    def inside(radius: float) -> float:
        return 1 - float(np.exp(-(radius**2) / (2 * sigma**2)))

    for name, place in scan.truth["inserts"].items():
        if name.isdigit():
            radius = float(name) / 2
            expected = 4000 * (1 - inside(radius + 1) + 2.5 * inside(radius))
        else:
            expected = 4000 * (1 - inside(12.5))
        # Samples 1.2 sigma apart of something that a Gaussian blurred: a quintic spline between them is right to 1 %.
        assert _between(scan.volume, np.array(place)) == pytest.approx(expected, abs=0.01 * 4000), name


def test_acr_pet_when_the_lid_lies_at_the_feet_then_the_axis_turns_with_it() -> None:
    head, feet = (digital_acr.acr_pet(cov=0, is_lid_at_head=at_head, **SMALL) for at_head in (True, False))
    np.testing.assert_allclose(head.volume.image[::-1], feet.volume.image, rtol=1e-5, atol=0.1)
    assert (head.truth["axis"][2], feet.truth["axis"][2]) == (1.0, -1.0)


def test_acr_pet_when_a_part_is_left_out_then_its_section_is_uniform() -> None:
    scan = digital_acr.acr_pet(cov=0, has_faceplate=False, has_rods=False, **SMALL)
    middle = scan.volume.image[12:-12, 20:-20, 20:-20]
    assert np.abs(middle / 4000 - 1).max() < 1e-3


def test_rods_when_placed_then_none_touches_another_or_the_wall() -> None:
    rods = digital_acr._rods(100.0)
    places, diameters = np.array([place for place, _ in rods]), np.array([d for _, d in rods])
    apart = np.hypot(*(places[:, None] - places[None]).transpose(2, 0, 1))
    np.fill_diagonal(apart, np.inf)
    assert (apart - (diameters[:, None] + diameters[None]) / 2).min() > 1.0
    assert (np.hypot(*places.T) + diameters / 2).max() < 100.0
    assert {float(d) for d in diameters} == set(digital_acr.ROD_DIAMETERS_MM)


def _between(volume, lps_mm: NDArray[np.float64]) -> float:
    from scipy import ndimage

    index = volume.to_index_zyx(lps_mm)
    return float(ndimage.map_coordinates(volume.image.astype(float), index[:, None], order=5)[0])
