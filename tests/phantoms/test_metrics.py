"""Lesion numbers against spheres whose image is known in closed form, and against slow code of another kind."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.optimize import brentq

from phantoms import metrics
from phantoms.spheres import FWHM_PER_SIGMA, blurred_sphere
from phantoms.volume import PetVolume

R = metrics.PEAK_RADIUS_MM


def grid(image: np.ndarray, spacing_zyx_mm: tuple[float, float, float]) -> PetVolume:
    affine = np.diag([*spacing_zyx_mm[::-1], 1.0])
    affine[:3, 3] = (-40.0, 12.0, 7.0)
    return PetVolume(image.astype(np.float32), affine, "g/mL")


def sphere(
    radius_mm: float,
    fwhm_mm: float,
    *,
    hot: float = 8.0,
    background: float = 1.0,
    spacing: tuple[float, float, float] = (2.0, 2.0, 2.0),
    off: tuple[float, float, float] = (0.0, 0.0, 0.0),
    reach_mm: float = 40.0,
) -> tuple[PetVolume, np.ndarray]:
    """Return a blurred sphere, point-sampled, and its centre in patient millimetres."""
    count = [2 * math.ceil(reach_mm / step) + 1 for step in spacing]
    volume = grid(np.zeros(count), spacing)
    center = volume.to_lps_mm((np.array(count) - 1) / 2 + np.array(off))
    lps = volume.to_lps_mm(np.stack(np.indices(count), axis=-1))
    profile = blurred_sphere(np.linalg.norm(lps - center, axis=-1), radius_mm, fwhm_mm / FWHM_PER_SIGMA)
    return grid(background + (hot - background) * profile, spacing), center


def mean_over_peak(
    radius_mm: float, fwhm_mm: float, voxel_mm: float, hot: float = 8.0, background: float = 1.0
) -> float:
    """Return the model's mean over a 1 mL sphere at its centre; an even voxel blurs by its own box once more."""
    sigma = math.sqrt((fwhm_mm / FWHM_PER_SIGMA) ** 2 + voxel_mm**2 / 12)
    total, _ = quad(lambda r: r**2 * float(blurred_sphere(np.array([r]), radius_mm, sigma)[0]), 1e-6, R)
    return background + (hot - background) * 3 * total / R**3


def everywhere(volume: PetVolume) -> np.ndarray:
    return np.ones(volume.image.shape, bool)


# --- the peak ----------------------------------------------------------------------------------------------------


def test_peak_sphere_when_measured_then_it_has_one_millilitre() -> None:
    assert pytest.approx(6.204, abs=5e-4) == R
    assert 4 / 3 * math.pi * R**3 == pytest.approx(1000.0)


@pytest.mark.parametrize("off", [(0.0, 0.0, 0.0), (0.5, 0.5, 0.5), (0.31, -0.22, 0.47)])
@pytest.mark.parametrize(("radius_mm", "fwhm_mm"), [(18.5, 7.0), (11.0, 7.0), (8.5, 6.0), (5.0, 7.0)])
def test_peak_when_the_sphere_is_blurred_then_it_is_the_models_mean_at_its_centre(radius_mm, fwhm_mm, off) -> None:
    volume, center = sphere(radius_mm, fwhm_mm, off=off)
    found = metrics.peak(volume, everywhere(volume))
    # The nearest place of the 1 mm grid lies up to 0.87 mm off the centre.
    assert found.mean == pytest.approx(mean_over_peak(radius_mm, fwhm_mm, 2.0), rel=0.012)
    if radius_mm < 10:  # a larger one is flat about its centre
        assert np.linalg.norm(found.center_lps_mm - center) < 1.0


@pytest.mark.parametrize("spacing", [(4.0, 4.0, 4.0), (3.27, 4.69, 4.69), (5.0, 2.0, 2.0)])
def test_peak_when_voxels_are_large_then_the_centre_is_still_found_below_a_voxel(spacing) -> None:
    volume, center = sphere(8.5, 8.0, spacing=spacing, off=(0.4, -0.3, 0.45))
    found = metrics.peak(volume, everywhere(volume))
    assert np.linalg.norm(found.center_lps_mm - center) < 1.2
    assert found.mean == pytest.approx(mean_over_peak(8.5, 8.0, np.mean(np.square(spacing)) ** 0.5), rel=0.01)


def test_peak_when_the_image_is_noise_then_it_is_the_best_of_all_places_by_slow_code() -> None:
    volume = grid(np.random.default_rng(3).normal(5, 2, (12, 12, 11)), (3.0, 3.0, 3.0))
    inside = np.zeros(volume.image.shape, bool)
    inside[4:8, 5:8, 4:7] = True
    found = metrics.peak(volume, inside)
    # Every point of a fine lattice in a ball is given the value of its voxel.
    line = np.arange(-6.2, 6.21, 0.4)
    ball = np.stack(np.meshgrid(line, line, line, indexing="ij"), axis=-1).reshape(-1, 3)
    ball = ball[np.linalg.norm(ball, axis=1) <= R]

    def slowly(place: np.ndarray) -> tuple[float, float]:
        at = tuple(np.rint(place + ball / 3.0).astype(int).T)
        return float(volume.image[at].mean()), float(inside[at].mean())

    places = np.argwhere(np.ones((18, 15, 15), bool)) / 3.0 + np.array([3.0, 4.0, 3.0])
    best = max(mean for mean, share in map(slowly, places) if share >= 0.5)
    assert found.mean == pytest.approx(best, abs=0.03)
    mean, share = slowly(volume.to_index_zyx(found.center_lps_mm))
    assert (mean, share) == pytest.approx((found.mean, found.share_inside), abs=0.03)


@pytest.mark.parametrize("min_share", [0.5, 0.75, 1.0])
def test_peak_when_it_is_hotter_outside_then_the_required_share_stays_inside(min_share: float) -> None:
    ramp = np.broadcast_to(np.arange(40.0), (20, 20, 40))
    volume = grid(ramp, (2.0, 2.0, 2.0))
    inside = np.zeros(ramp.shape, bool)
    inside[:, :, :20] = True
    found = metrics.peak(volume, inside, min_share=min_share)
    # The cap of a sphere beyond a plane at distance h from its centre.
    edge_mm = -40.0 + 19.5 * 2.0
    h = brentq(lambda h: 1 - (R - h) ** 2 * (2 * R + h) / (4 * R**3) - min_share, -R, R)
    assert found.center_lps_mm[0] == pytest.approx(edge_mm - h, abs=1.0)
    assert found.share_inside >= min_share - 1e-9
    assert found.mean == pytest.approx((found.center_lps_mm[0] + 40.0) / 2.0, abs=0.02)


def test_peak_when_it_is_hotter_next_to_a_large_region_then_the_region_is_still_searched() -> None:
    image = np.ones((60, 60, 60))
    image[:, :, 31:] = 50.0
    image[28:34, 28:34, 8:14] = 9.0
    volume = grid(image, (3.0, 3.0, 3.0))
    inside = np.zeros(image.shape, bool)
    inside[:, :, :28] = True
    assert inside.sum() > metrics._PEAK_VOXELS
    found = metrics.peak(volume, inside, min_share=1.0)
    assert found.mean == pytest.approx(9.0)


def test_peak_when_the_region_holds_less_than_half_a_millilitre_then_there_is_none() -> None:
    volume, _ = sphere(10, 6, spacing=(4.0, 4.0, 4.0))
    small = np.zeros(volume.image.shape, bool)
    small[10, 10, 8:15] = True  # 7 voxels of 0.064 mL
    assert metrics.peak(volume, small) is None
    assert metrics.peak(volume, np.zeros(volume.image.shape, bool)) is None


def test_peak_when_the_image_cuts_every_sphere_then_there_is_none() -> None:
    volume = grid(np.ones((2, 30, 30)), (3.0, 3.0, 3.0))
    assert metrics.peak(volume, everywhere(volume)) is None


def test_peak_when_the_region_is_even_then_it_is_its_value_and_all_inside() -> None:
    volume = grid(np.full((20, 20, 20), 7.5), (2.0, 2.5, 3.0))
    found = metrics.peak(volume, everywhere(volume))
    assert found.mean == pytest.approx(7.5, rel=1e-6)
    assert found.share_inside == pytest.approx(1.0)


# --- the isocontour ----------------------------------------------------------------------------------------------


def test_isocontour_when_the_neighbourhood_is_three_then_one_noisy_voxel_moves_it_less() -> None:
    image = np.full((9, 9, 9), 4.0, np.float32)
    image[4, 4, 4] = 20.0
    inside = np.ones(image.shape, bool)
    assert metrics.isocontour(image, inside, 0.0) == (20.0, 20.0)
    hottest, a50 = metrics.isocontour(image, inside, 0.0, neighbourhood=3)
    assert hottest == 20.0
    assert a50 == pytest.approx((4.0 * 728 + 20.0) / 729)


def test_shell_when_a_lesion_lies_in_even_background_then_it_is_the_background() -> None:
    volume, center = sphere(10, 6, background=1.7)
    lps = volume.to_lps_mm(np.stack(np.indices(volume.image.shape), axis=-1))
    inside = np.linalg.norm(lps - center, axis=-1) < 10
    assert metrics.shell_mean(volume, inside) == pytest.approx(1.7, abs=0.01)
    assert metrics.shell_mean(volume, everywhere(volume)) is None


# --- metabolic volume --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("rule_id", "threshold"), [("max_41pct", None), ("suv_4_0", 4.0), ("suv_2_5", 2.5)])
def test_metabolic_volume_when_the_sphere_is_blurred_then_it_is_the_models_to_two_per_cent(rule_id, threshold) -> None:
    radius_mm, fwhm_mm, hot, background = 15.0, 7.0, 8.0, 1.0
    volume, _ = sphere(radius_mm, fwhm_mm, spacing=(1.0, 1.0, 1.0), reach_mm=32.0)
    found = metrics.metabolic_volume(volume, everywhere(volume), metrics.THRESHOLD_RULES[rule_id])

    def suv(r: float) -> float:
        profile = blurred_sphere(np.array([r]), radius_mm, fwhm_mm / FWHM_PER_SIGMA)[0]
        return background + (hot - background) * float(profile)

    level = threshold if threshold is not None else 0.41 * suv(1e-6)
    edge_mm = brentq(lambda r: suv(r) - level, 1e-3, 30.0)
    total, _ = quad(lambda r: 4 * math.pi * r**2 * suv(r), 0, edge_mm)
    assert found.rule_id == rule_id
    assert found.threshold == pytest.approx(level, rel=1e-4)
    assert found.mtv_ml == pytest.approx(4 / 3 * math.pi * edge_mm**3 / 1000, rel=0.02)
    assert found.tlg == pytest.approx(total / 1000, rel=0.02)
    assert found.tlg == pytest.approx(found.mean * found.mtv_ml)


def test_metabolic_volume_when_the_rule_is_the_livers_then_its_mean_and_sd_set_the_threshold() -> None:
    rng = np.random.default_rng(4)
    volume = grid(np.where(np.indices((40, 40, 40))[2] < 25, rng.normal(2.0, 0.2, (40, 40, 40)), 9.0), (2.0, 2.0, 2.0))
    liver = metrics.liver_reference(volume, volume.to_lps_mm(np.array([20.0, 20.0, 12.0])))
    assert (liver.mean, liver.sd) == pytest.approx((2.0, 0.2), abs=0.02)
    found = metrics.metabolic_volume(volume, everywhere(volume), metrics.THRESHOLD_RULES["liver_1_5_mean_2_sd"], liver)
    assert found.threshold == pytest.approx(1.5 * liver.mean + 2 * liver.sd)
    assert found.mtv_ml == pytest.approx(15 * 40 * 40 * 8 / 1000)


def test_liver_when_the_image_cuts_it_then_there_is_none_and_its_rule_asks_for_it() -> None:
    volume = grid(np.ones((20, 20, 20)), (2.0, 2.0, 2.0))
    assert metrics.liver_reference(volume, volume.to_lps_mm(np.zeros(3))) is None
    with pytest.raises(ValueError, match="liver"):
        metrics.metabolic_volume(volume, everywhere(volume), metrics.THRESHOLD_RULES["liver_1_5_mean_2_sd"])


def test_metabolic_volume_when_nothing_reaches_the_threshold_then_it_is_empty_without_a_mean() -> None:
    volume = grid(np.ones((5, 5, 5)), (2.0, 2.0, 2.0))
    found = metrics.metabolic_volume(volume, everywhere(volume), metrics.THRESHOLD_RULES["suv_4_0"])
    assert (found.mtv_ml, found.mean, found.tlg) == (0.0, None, 0.0)


# --- the region --------------------------------------------------------------------------------------------------


def test_region_when_measured_then_its_extremes_mean_and_volume_are_numpys() -> None:
    volume = grid(np.random.default_rng(5).random((12, 14, 16)), (2.0, 2.5, 3.0))
    inside = np.zeros(volume.image.shape, bool)
    inside[2:10, 3:11, 4:12] = True
    found, values = metrics.measure_region(volume, inside), volume.image[inside]
    assert (found.minimum, found.maximum) == (values.min(), values.max())
    assert found.median == pytest.approx(np.median(values))
    assert found.mean == pytest.approx(values.mean(), rel=1e-6)
    assert found.volume_ml == pytest.approx(512 * 15 / 1000)
    assert found.minimum < found.peak.mean < found.maximum
