"""Stated uncertainties: the noise is read off the image, and what is read off many noisy spheres scatters as stated."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from scipy import ndimage

from phantoms import digital, rois, sphere_noise
from phantoms.metrics import PeakPlaces, isocontour, peak_kernels
from phantoms.nema_iq import NemaIqResult, measure
from phantoms.resolution import SphereFit
from phantoms.results import Measurement
from phantoms.sheet import Sheet
from phantoms.spheres import blurred_sphere, search_box
from phantoms.volume import PetVolume

GRID: dict[str, Any] = {"shape_zyx": (90, 115, 115), "spacing_zyx_mm": (2.5, 3.2, 3.2)}
FWHM_PER_SIGMA = float(np.sqrt(8 * np.log(2)))


def run(scan: digital.DigitalScan, **more: Any) -> NemaIqResult:
    return measure(scan.volume, reference_time=scan.truth["reference_time"], sheet=Sheet.parse(scan.sheet), **more)


def by_name(result: NemaIqResult) -> dict[str, Measurement]:
    return {one.name: one for one in result.measurements}


@pytest.fixture(scope="module")
def scan() -> digital.DigitalScan:
    return digital.nema_iq(fwhm_mm=8.0, cov=0.07, seed=1, **GRID)


@pytest.fixture(scope="module")
def result(scan: digital.DigitalScan) -> NemaIqResult:
    return run(scan)


# --- the noise --------------------------------------------------------------------------------


@pytest.mark.parametrize("fwhm_mm", [(5.0, 5.0, 5.0), (9.0, 6.0, 6.0)])
def test_noise_when_white_noise_was_filtered_then_the_filter_is_read_off_it(fwhm_mm: tuple[float, ...]) -> None:
    spacing = (2.5, 2.0, 3.0)
    rng = np.random.default_rng(1)
    sigma = [width / FWHM_PER_SIGMA / step for width, step in zip(fwhm_mm, spacing, strict=True)]
    noise = ndimage.gaussian_filter(rng.standard_normal((60, 120, 120)), sigma)
    image = (1000 + 70 * noise / noise.std()).astype(np.float32)
    volume = PetVolume(image, np.diag([3.0, 2.0, 2.5, 1.0]), "Bq/mL")
    centers = np.array([[x, y, 75.0] for x in (60.0, 150.0, 250.0) for y in (40.0, 90.0, 150.0, 200.0)])
    found = sphere_noise.Noise.of(volume, centers, 1000.0, 0.07)
    # Twelve boxes of 26 × 26 × 50 mm hold some 200 blobs: a length is known to about 8 %, and ends where the
    # correlation is 0.05, which leaves 1.4 % of it out.
    for sd_mm, width in zip(found.sd_zyx_mm, fwhm_mm, strict=True):
        assert FWHM_PER_SIGMA * sd_mm == pytest.approx(width, rel=0.2)


def test_copies_when_drawn_then_they_have_sd_1_and_the_correlation_asked_for() -> None:
    noise = sphere_noise.Noise(0.1, (2.0, 3.0, 1.0))
    copies = noise.copies((12, 14, 16), (2.5, 2.0, 3.0), 400, np.random.default_rng(0)).astype(np.float64)
    assert copies.shape == (400, 12, 14, 16)
    # 400 copies of some 40 blobs each: 1/√16000, four times.
    assert copies.mean() == pytest.approx(0.0, abs=0.035)
    assert np.square(copies).mean() == pytest.approx(1.0, abs=0.05)
    for axis, step_mm in enumerate((2.5, 2.0, 3.0)):
        moved = np.moveaxis(copies, axis + 1, 0)
        assert (moved[1:] * moved[:-1]).mean() == pytest.approx(
            np.exp(-(step_mm**2) / (4 * noise.sd_zyx_mm[axis] ** 2)), abs=0.05
        )


@pytest.mark.parametrize("tilt_deg", [0.0, 7.0])
def test_voxel_shares_when_a_column_of_discs_is_drawn_many_times_then_its_variances_scatter_as_stated(
    tilt_deg: float,
) -> None:
    spacing, sd_mm, draws = (3.5, 3.5, 3.5), (4.0, 3.0, 3.4), 4000
    axis = np.array([0.0, np.sin(np.radians(tilt_deg)), np.cos(np.radians(tilt_deg))])
    centers = np.array([30.0, 31.0, 30.0]) + np.array([-10.0, 0.0, 10.0])[:, None] * axis
    shape = (18, 18, 18)
    volume = PetVolume(np.zeros(shape, dtype=np.float32), np.diag([3.5, 3.5, 3.5, 1.0]), "Bq/mL")
    discs = rois.circles(volume, centers, 37.0 / 2, axis if tilt_deg else None)
    stated = sphere_noise.voxel_shares(sphere_noise.Noise(0.1, sd_mm), discs, spacing, 1)
    # The same by other means: white noise through the field's own filter. It wraps, as 26 mm of the grid lie beyond
    # each disc: four standard deviations of the correlation.
    rng = np.random.default_rng(3)
    sigma = [one / step for one, step in zip(sd_mm, spacing, strict=True)]
    white = rng.standard_normal((draws, *shape), dtype=np.float32)
    fields = ndimage.gaussian_filter(white, (0.0, *sigma), mode="wrap")
    about_all, about_own = np.zeros(draws), np.zeros(draws)
    for disc in discs:
        weights, values = disc.weights / disc.weights.sum(), fields[(slice(None), *disc.slices)].astype(np.float64)
        means = np.einsum("kzyx,zyx->k", values, weights)
        squares = np.einsum("kzyx,zyx->k", values**2, weights)
        about_all += squares
        about_own += squares - means**2
    for share, drawn in zip(stated, (about_all, about_own), strict=True):
        # The SD of 4000 draws is known to 1/√8000, and a little less well of a variance, whose tail is longer: by its
        # excess kurtosis (6 times the share), √(1 + 3 share) of it; four times.
        tolerance = 4 * np.sqrt((1 + 3 * share) / (2 * draws))
        assert drawn.std(ddof=1) / drawn.mean() == pytest.approx(np.sqrt(share), rel=tolerance)


# --- one sphere -------------------------------------------------------------------------------


@pytest.mark.parametrize("diameter", [22, 10])
def test_scatter_when_a_sphere_is_drawn_many_times_then_its_readings_scatter_as_stated(diameter: int) -> None:
    spacing, fwhm_mm, copies = 3.0, 7.0, 300
    shape = (31, 31, 31)
    affine = np.diag([spacing, spacing, spacing, 1.0])
    center = np.array([45.8, 44.5, 45.2])
    sigma = fwhm_mm / FWHM_PER_SIGMA
    grid = np.stack(np.meshgrid(*(np.arange(31) * spacing,) * 3, indexing="ij"), axis=-1)[..., ::-1]
    model = 1.0 + 9.0 * blurred_sphere(np.linalg.norm(grid - center, axis=-1), diameter / 2, sigma)
    volume = PetVolume(model.astype(np.float32), affine, "Bq/mL")
    pose: Any = SimpleNamespace(
        spheres={diameter: center}, center_lps_mm=np.array([145.8, 44.5, 45.2]), axis=np.array([0, 0, 1.0])
    )
    box = search_box(volume, pose.spheres, diameter)
    disc = rois.circle(volume, center, diameter / 2)
    places = PeakPlaces.within(volume, center, diameter / 2, peak_kernels(volume))
    assert places is not None
    fit = SphereFit(fwhm_mm, 10.0, 1.0, 0.0)
    noise = sphere_noise.Noise(0.1, (sigma,) * 3)
    regions = sphere_noise.Regions(box, places, disc)
    drawn = noise.copies(regions.shape, (spacing,) * 3, sphere_noise.COPIES, np.random.default_rng(1))
    stated = sphere_noise.SphereNoise(volume, noise, pose, diameter, fit, 1.0).scatter(regions, drawn)
    # The same by other means: white noise through the field's own filter, everything measured on the whole image.
    rng = np.random.default_rng(5)
    read = []
    for _ in range(copies):
        blobs = ndimage.gaussian_filter(rng.standard_normal(shape), sigma / spacing, mode="wrap")
        image = (model + 0.1 * np.sqrt(model) * blobs / unit_sd(sigma / spacing)).astype(np.float32)
        hottest, a50 = isocontour(image[box.slices], box.inside, 1.0)
        read.append((a50, hottest, places.highest(image[places.slices].astype(np.float64)), disc.mean(image)))
    # Two SDs, of 100 and 300 copies: 1/√200 and 1/√600, four times their root of squares.
    for found, expected in zip(
        (stated.a50, stated.max, stated.peak, stated.disc_mean), np.std(read, axis=0, ddof=1), strict=True
    ):
        assert found == pytest.approx(expected, rel=0.33)


def unit_sd(sigma_voxels: float) -> float:
    """The SD that a Gaussian filter leaves of white noise of SD 1."""
    impulse = np.zeros((41, 41, 41))
    impulse[20, 20, 20] = 1.0
    return float(np.sqrt(np.square(ndimage.gaussian_filter(impulse, sigma_voxels)).sum()))


def test_recovery_sds_when_every_part_is_drawn_then_they_scatter_as_stated() -> None:
    rng = np.random.default_rng(2)
    n = 200_000
    value, back = rng.normal(12.0, 0.3, n), rng.normal(2.0, 0.02, n)
    sphere, ratio = 20.0 * (1 + 0.033 * rng.standard_normal(n)), 10.0 * (1 + 0.016 * rng.standard_normal(n))
    stated = sphere_noise.recovery_sds(
        12.0, 0.3, 2.0, 0.02, {"sphere": 20.0, "sphere_rel": 0.033, "ratio": 10.0, "ratio_rel": 0.016}
    )
    contrast = value / back
    drawn = {"rc": value / sphere, "relative_rc": contrast / ratio, "crc": (contrast - 1) / (ratio - 1)}
    for name, found in drawn.items():
        # To first order: what squares of 3 % leave out is 0.1 % of it; the SD itself is known to 0.16 %.
        assert stated[name].total == pytest.approx(found.std(), rel=0.01)


# --- the whole phantom ------------------------------------------------------------------------


def test_measure_when_all_is_known_then_only_an_end_of_a_search_has_none(
    result: NemaIqResult,
) -> None:
    bare = {one.name for one in result.measurements if one.value is not None and one.uncertainty is None}
    assert bare == {
        "harmonisation_filter_earl1_fwhm_mm",  # 0 mm: no filter is needed
    }
    assert all(one.uncertainty is None or one.uncertainty > 0 for one in result.measurements)


def test_measure_when_repeated_then_the_uncertainties_are_the_same(
    scan: digital.DigitalScan, result: NemaIqResult
) -> None:
    again = run(scan, pose=result.pose)
    assert [one.uncertainty for one in again.measurements] == [one.uncertainty for one in result.measurements]


def test_measure_when_the_noise_doubles_then_counting_doubles_and_the_fill_stays(result: NemaIqResult) -> None:
    louder = by_name(run(digital.nema_iq(fwhm_mm=8.0, cov=0.14, seed=1, **GRID)))
    quiet = by_name(result)
    for d in (37, 22):
        before, after = quiet[f"sphere_{d}mm_peak"].uncertainty, louder[f"sphere_{d}mm_peak"].uncertainty
        assert before is not None
        assert after == pytest.approx(2 * before, rel=0.15)
    assert louder["activity_ratio"].uncertainty == quiet["activity_ratio"].uncertainty
    assert quiet["activity_ratio"].uncertainty == pytest.approx(10 * np.sqrt(2 * (0.01**2 + 0.005**2)))


def test_measure_when_there_is_no_noise_then_the_fill_alone_makes_a_recovery_uncertain() -> None:
    found = by_name(run(digital.nema_iq(fwhm_mm=8.0, cov=0.0, **GRID)))
    sheet = Sheet.parse(digital.nema_iq(**GRID).sheet)
    for d in (37, 22, 10):
        one = found[f"sphere_{d}mm_rc_max"]
        assert one.value is not None
        # What the background's own edges leave as noise is under half a per cent.
        assert one.uncertainty == pytest.approx(
            one.value * sheet.uncertainty_budget("spheres").total_pct / 100, rel=0.03
        )


def test_measure_when_the_sheet_is_missing_then_what_needs_none_keeps_its_uncertainty(
    scan: digital.DigitalScan, result: NemaIqResult
) -> None:
    found = by_name(measure(scan.volume, reference_time=None, sheet=None, pose=result.pose))
    assert found["sphere_22mm_a50"].uncertainty == by_name(result)["sphere_22mm_a50"].uncertainty
    assert found["sphere_22mm_fwhm_mm"].uncertainty is not None
    assert found["sphere_22mm_rc_a50"].value is None
    assert found["sphere_22mm_rc_a50"].uncertainty is None


def test_measure_when_the_image_cuts_a_sphere_then_its_uncertainty_is_not_stated(scan: digital.DigitalScan) -> None:
    top = int(scan.volume.to_index_zyx(np.array(scan.truth["center_lps_mm"]))[0]) + 6
    found = by_name(run(replace(scan, volume=replace(scan.volume, image=scan.volume.image[:top]))))
    assert found["sphere_37mm_a50"].uncertainty is None
    assert found["sphere_10mm_a50"].uncertainty is not None
