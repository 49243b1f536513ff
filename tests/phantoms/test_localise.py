"""The NEMA phantom is found by itself in any pose, and nothing else is taken for it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import ndimage

from phantoms import body, dicom_series, digital
from phantoms.errors import AnalysisRefused
from phantoms.localise import NemaPose, find_nema_iq
from phantoms.volume import PetVolume

DIAMETERS = (37, 28, 22, 17, 13, 10)
COARSE = {"shape_zyx": (70, 110, 110), "spacing_zyx_mm": (4.0, 4.0, 4.0)}
# Centres by index (z, y, x) with the slices sorted by position, from the data's own description.
RECON_1_CENTERS_ZYX = (
    (42.1, 97.3, 121.9),
    (43.2, 120.3, 107.6),
    (42.2, 119.4, 80.1),
    (42.5, 95.3, 67.0),
    (42.6, 72.1, 81.6),
    (42.3, 73.0, 109.3),
)


def errors_mm(pose: NemaPose, truth: dict[int, tuple[float, ...]]) -> NDArray[np.float64]:
    return np.array([np.linalg.norm(pose.spheres[d] - np.array(truth[d])) for d in DIAMETERS])


@pytest.fixture(scope="module")
def real_phantom(shared_data: Path) -> PetVolume:
    scan = dicom_series.read_scan(dicom_series.list_files(shared_data / "nema_iq" / "recon_1"))
    return dicom_series.choose(scan).load()


@pytest.fixture(scope="module")
def plain() -> digital.DigitalScan:
    return digital.nema_iq(fwhm_mm=8.0, cov=0.07, seed=1, shape_zyx=(88, 115, 115), spacing_zyx_mm=(2.5, 3.2, 3.2))


@pytest.mark.parametrize(
    "pose",
    [
        {},
        {"shift_mm": (40.0, -35.0, 20.0), "roll_deg": 25.0},
        {"tilt_x_deg": 7.0, "tilt_y_deg": -7.0, "first_angle_deg": 200.0},
        {"is_clockwise": False, "roll_deg": -170.0},
        {"is_lid_at_head": False, "is_clockwise": False, "first_angle_deg": 95.0},
        {"shift_mm": (0.0, 0.0, -30.0), "is_lid_at_head": False, "bed_fraction": 0.3},
    ],
)
def test_find_nema_iq_in_any_pose_places_every_sphere(pose: dict[str, Any]) -> None:
    scan = digital.nema_iq(cov=0.10, seed=3, shape_zyx=(80, 130, 130), spacing_zyx_mm=(3.0, 3.2, 3.2), **pose)
    found = find_nema_iq(scan.volume)
    assert errors_mm(found, scan.truth["spheres"]).max() < 0.6
    assert np.median(errors_mm(found, scan.truth["spheres"])) < 0.3
    assert abs(found.axis @ np.array(scan.truth["axis"])) > np.cos(np.radians(0.3))
    assert found.tilt_deg == pytest.approx(scan.truth["tilt_deg"], abs=0.3)
    assert found.order_confidence > 0.999


def test_find_nema_iq_when_free_of_noise_is_exact() -> None:
    scan = digital.nema_iq(cov=0.0, tilt_x_deg=3.0, shift_mm=(1.1, 0.7, 0.4), shape_zyx=(100, 130, 130))
    found = find_nema_iq(scan.volume)
    assert errors_mm(found, scan.truth["spheres"]).max() < 0.02
    assert found.fwhm_mm == pytest.approx(8.0, abs=0.02)
    assert found.ring_radius_mm == pytest.approx(57.2, abs=0.01)
    assert found.contrast == pytest.approx(10.0, abs=0.02)
    assert found.explained > 0.999
    assert found.residual_mm < 0.02


@pytest.mark.parametrize("spacing_mm", [1.5, 2.0, 4.0, 6.0])
def test_find_nema_iq_at_any_voxel_size(spacing_mm: float) -> None:
    shape = tuple(round(extent / spacing_mm) for extent in (220, 330, 330))
    scan = digital.nema_iq(cov=0.10, seed=5, shape_zyx=shape, spacing_zyx_mm=(spacing_mm,) * 3, roll_deg=40.0)
    assert errors_mm(find_nema_iq(scan.volume), scan.truth["spheres"]).max() < 0.7


@pytest.mark.parametrize("seed", range(3))
def test_find_nema_iq_in_noise_of_40_percent_keeps_order_and_place(seed: int) -> None:
    scan = digital.nema_iq(fwhm_mm=6.0, cov=0.40, seed=seed, first_angle_deg=70.0 * seed, **COARSE)
    assert errors_mm(find_nema_iq(scan.volume), scan.truth["spheres"]).max() < 2.0


def test_find_nema_iq_when_the_fill_is_4_to_1_finds_it() -> None:
    scan = digital.nema_iq(ratio=4.0, cov=0.20, seed=2, **COARSE)
    assert errors_mm(find_nema_iq(scan.volume), scan.truth["spheres"]).max() < 1.5


def test_find_nema_iq_when_end_slices_are_hotter_than_the_spheres_is_not_misled(plain: digital.DigitalScan) -> None:
    image = plain.volume.image.copy()
    noise = np.random.default_rng(0).gamma(0.5, 15000.0, size=(8, *image.shape[1:]))
    image[-8:] = noise
    assert image[-8:].max() > 2 * image[:-8].max()
    found = find_nema_iq(replace(plain.volume, image=image))
    assert errors_mm(found, plain.truth["spheres"]).max() < 0.6


def test_find_nema_iq_when_the_image_cuts_the_far_end_says_so(plain: digital.DigitalScan) -> None:
    whole = find_nema_iq(plain.volume)
    assert whole.is_cut == (False, False)
    assert whole.filled_mm == pytest.approx((-122.0, 68.0), abs=0.5)
    first = 32
    affine = plain.volume.affine_lps_mm.copy()
    affine[:3, 3] += first * affine[:3, 2]
    cut = find_nema_iq(PetVolume(plain.volume.image[first:], affine, "Bq/mL"))
    assert cut.is_cut == (True, False)
    assert errors_mm(cut, plain.truth["spheres"]).max() < 0.6


def test_find_nema_iq_finds_the_cold_insert(plain: digital.DigitalScan) -> None:
    found = find_nema_iq(plain.volume)
    assert found.lung_center_lps_mm is not None
    assert np.linalg.norm(found.lung_center_lps_mm - np.array(plain.truth["center_lps_mm"])) < 0.5
    assert found.lung_radius_mm == pytest.approx(25.5, abs=0.5)


@pytest.mark.parametrize("axes", [(0,), (1,), (2,), (0, 1), (0, 1, 2)])
def test_find_nema_iq_when_the_stack_is_stored_the_other_way_gives_the_same(
    plain: digital.DigitalScan, axes: tuple[int, ...]
) -> None:
    affine = plain.volume.affine_lps_mm.copy()
    for axis in axes:
        column = 2 - axis
        affine[:3, 3] += affine[:3, column] * (plain.volume.image.shape[axis] - 1)
        affine[:3, column] *= -1
    stored = PetVolume(np.flip(plain.volume.image, axes), affine, "Bq/mL")
    before, after = find_nema_iq(plain.volume), find_nema_iq(stored)
    for diameter in DIAMETERS:
        assert after.spheres[diameter] == pytest.approx(before.spheres[diameter], abs=1e-4)


def test_find_nema_iq_when_the_patient_directions_are_mirrored_mirrors_the_order(plain: digital.DigitalScan) -> None:
    mirrored = replace(plain.volume, image=plain.volume.image[:, :, ::-1].copy())
    before, after = find_nema_iq(plain.volume), find_nema_iq(mirrored)
    x_sum = 2 * plain.volume.affine_lps_mm[0, 3] + (plain.volume.image.shape[2] - 1) * plain.volume.affine_lps_mm[0, 0]
    for diameter in DIAMETERS:
        expected = before.spheres[diameter] * [-1, 1, 1] + [x_sum, 0, 0]
        assert after.spheres[diameter] == pytest.approx(expected, abs=0.05)


def test_find_nema_iq_on_the_real_noisy_phantom_is_within_3_mm(real_phantom: PetVolume) -> None:
    found = find_nema_iq(real_phantom)
    truth = real_phantom.to_lps_mm(np.array(RECON_1_CENTERS_ZYX))
    assert errors_mm(found, dict(zip(DIAMETERS, truth, strict=True))).max() < 1.0
    assert found.order_confidence > 0.999
    assert 0.3 < found.residual_mm < 1.5  # its spheres stand up to 2 mm off a perfect ring


def without_sphere(scan: digital.DigitalScan, diameter: int) -> PetVolume:
    """Fill one sphere with background."""
    image = scan.volume.image.copy()
    middle = np.rint(scan.volume.to_index_zyx(np.array(scan.truth["spheres"][diameter]))).astype(int)
    half = np.ceil((diameter / 2 + 8.0) / np.array(scan.volume.spacing_zyx_mm)).astype(int)
    box = tuple(slice(m - h, m + h + 1) for m, h in zip(middle, half, strict=True))
    grid = np.stack(np.meshgrid(*(np.arange(s.start, s.stop) for s in box), indexing="ij"), axis=-1)
    distance = np.linalg.norm(
        scan.volume.to_lps_mm(grid.astype(float)) - np.array(scan.truth["spheres"][diameter]), axis=-1
    )
    image[box][distance < diameter / 2 + 8.0] = scan.truth["background_bqml"]
    return replace(scan.volume, image=image)


@pytest.mark.parametrize("empty", [22, 17, 10])
def test_find_nema_iq_on_one_empty_sphere_still_finds_the_ring(plain: digital.DigitalScan, empty: int) -> None:
    found = find_nema_iq(without_sphere(plain, empty))
    kept = errors_mm(found, plain.truth["spheres"])[[d != empty for d in DIAMETERS]]
    assert kept.max() < 0.6
    # The smaller ones weigh so little that the ring need not do without them.
    assert found.odd_spheres == ((22,) if empty == 22 else ())


def test_find_nema_iq_when_the_largest_sphere_is_empty_does_not_take_the_next_for_it(
    plain: digital.DigitalScan,
) -> None:
    with pytest.raises(AnalysisRefused, match="PHA-NOT-FOUND"):
        find_nema_iq(without_sphere(plain, 37))


def test_find_nema_iq_on_six_equal_spheres_refuses_to_order_them() -> None:
    scan = digital.nema_iq(ratio=1.0, cov=0.0, shape_zyx=(80, 110, 110), spacing_zyx_mm=(3.0, 3.2, 3.2))
    image = scan.volume.image.copy()
    grid = scan.volume.to_lps_mm(np.stack(np.indices(image.shape), axis=-1).astype(float))
    for center in scan.truth["spheres"].values():
        image += 9 * scan.truth["background_bqml"] * (np.linalg.norm(grid - np.array(center), axis=-1) < 11.0)
    with pytest.raises(AnalysisRefused, match="PHA-NOT-FOUND"):
        find_nema_iq(replace(scan.volume, image=image.astype(np.float32)))


@pytest.mark.parametrize(
    "scan",
    [
        pytest.param(lambda: digital.uniform_cylinder(cov=0.02), id="cylinder"),
        pytest.param(lambda: digital.uniform_cylinder(cov=0.4, seed=1), id="noisy cylinder"),
        pytest.param(lambda: digital.patient_like(seed=1), id="patient"),
    ],
)
def test_find_nema_iq_on_another_object_refuses(scan: Any) -> None:
    with pytest.raises(AnalysisRefused) as refused:
        find_nema_iq(scan().volume)
    assert refused.value.code == "PHA-NOT-FOUND"
    assert refused.value.next_step


@pytest.mark.parametrize("folder", ["patient_ge/STS_001_bqml", "patient_ge/STS_001_gml", "patient_gml/STS_009"])
def test_find_nema_iq_on_a_real_patient_refuses(shared_data: Path, folder: str) -> None:
    volume = dicom_series.choose(dicom_series.read_scan(dicom_series.list_files(shared_data / folder))).load()
    with pytest.raises(AnalysisRefused, match="PHA-NOT-FOUND"):
        find_nema_iq(volume)


@pytest.mark.parametrize(
    "image",
    [
        np.zeros((20, 30, 30), np.float32),
        np.ones((20, 30, 30), np.float32),
        np.full((3, 4, 5), -1.0, np.float32),
        np.random.default_rng(0).normal(size=(40, 60, 60)).astype(np.float32),
    ],
    ids=["zero", "flat", "negative", "noise"],
)
def test_find_nema_iq_on_an_empty_image_refuses(image: NDArray[np.float32]) -> None:
    with pytest.raises(AnalysisRefused, match="PHA-NOT-FOUND"):
        find_nema_iq(PetVolume(image, np.diag([4.0, 4.0, 4.0, 1.0]), "1"))


@pytest.mark.parametrize("share", [0.3, 0.6, 0.8])
def test_filled_by_slice_when_a_mask_has_holes_then_equals_the_same_slice_after_slice(share: float) -> None:
    mask = np.random.default_rng(3).random((6, 31, 23)) < share
    slowly = np.stack([ndimage.binary_fill_holes(section) for section in mask])
    np.testing.assert_array_equal(body._filled_by_slice(mask), slowly)
