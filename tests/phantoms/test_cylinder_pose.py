"""Finding the uniform cylinder, against where it was drawn; and refusing what is none."""

from __future__ import annotations

import numpy as np
import pytest

from bench.phantoms import localise as drawn
from phantoms import digital, localise
from phantoms.errors import AnalysisRefused
from phantoms.magnitudes import tilt_sd_deg
from phantoms.volume import PetVolume

GRIDS = {
    "clinical": {},
    "coarse": {"shape_zyx": (50, 90, 90), "spacing_zyx_mm": (6.0, 6.0, 6.0)},
    "anisotropic": {"shape_zyx": (70, 128, 128), "spacing_zyx_mm": (3.27, 5.47, 5.47)},
    "fine": {"shape_zyx": (110, 130, 130), "spacing_zyx_mm": (1.1, 1.1, 1.1), "radius_mm": 50.0, "length_mm": 80.0},
}
SMALL = {"shape_zyx": (60, 90, 90), "spacing_zyx_mm": (4.0, 4.0, 4.0)}


def angle_deg(a, b) -> float:
    return float(np.degrees(np.arccos(min(1.0, float(np.dot(a, b))))))


@pytest.mark.parametrize("grid", GRIDS)
@pytest.mark.parametrize("pose", [(0.0, 0.0), (3.0, 0.0), (-4.0, 8.0)])
def test_find_cylinder_when_it_is_there_then_its_place_size_and_axis_are_right(grid, pose):
    scan = digital.uniform_cylinder(
        cov=0.05, seed=3, tilt_x_deg=pose[0], tilt_y_deg=pose[1], shift_mm=(7.3, -11.1, 1.7), **GRIDS[grid]
    )
    found = localise.find_cylinder(scan.volume)
    assert np.abs(found.center_lps_mm - scan.truth["center_lps_mm"]).max() < 0.5
    assert found.radius_mm == pytest.approx(scan.truth["radius_mm"], abs=0.5)
    assert found.length_mm == pytest.approx(scan.truth["length_mm"], abs=0.5)
    # The axis is nowhere half a millimetre off inside the cylinder.
    assert np.radians(angle_deg(found.axis, scan.truth["axis"])) * scan.truth["length_mm"] / 2 < 0.5
    assert found.tilt_deg == pytest.approx(scan.truth["tilt_deg"], abs=0.4)
    assert found.residual_mm < 1.0


@pytest.mark.parametrize("cov", [0.15, 0.40])
def test_find_cylinder_when_very_noisy_then_is_still_found(cov):
    scan = digital.uniform_cylinder(cov=cov, seed=1, tilt_x_deg=4, shift_mm=(40.0, -30.0, 0.0))
    found = localise.find_cylinder(scan.volume)
    assert np.abs(found.center_lps_mm - scan.truth["center_lps_mm"]).max() < 1.0
    assert found.radius_mm == pytest.approx(100.0, abs=1.0)
    assert angle_deg(found.axis, scan.truth["axis"]) < 0.5


@pytest.mark.parametrize("flips", [(-1, 1, 1), (1, -1, 1), (1, 1, -1), (-1, -1, -1)])
def test_find_cylinder_when_the_index_axes_are_flipped_then_is_the_same(flips):
    scan = digital.uniform_cylinder(cov=0.05, tilt_y_deg=3, shift_mm=(12.0, 5.0, -3.0), **SMALL)
    affine = scan.volume.affine_lps_mm.copy()
    for axis, (flip, count) in enumerate(zip(flips, scan.volume.image.shape, strict=True)):
        if flip < 0:
            affine[:3, 3] += affine[:3, 2 - axis] * (count - 1)
            affine[:3, 2 - axis] *= -1
    turned = PetVolume(scan.volume.image[:: flips[0], :: flips[1], :: flips[2]], affine, "Bq/mL")
    plain, found = localise.find_cylinder(scan.volume), localise.find_cylinder(turned)
    np.testing.assert_allclose(found.center_lps_mm, plain.center_lps_mm, atol=0.02)
    np.testing.assert_allclose(found.axis, plain.axis, atol=1e-4)


def test_find_cylinder_when_its_ends_are_outside_then_says_so_and_measures_what_is_seen():
    found = localise.find_cylinder(digital.uniform_cylinder(length_mm=300, cov=0.05, **SMALL).volume)
    assert found.is_cut == (True, True)
    assert found.length_mm == pytest.approx(240.0, abs=2.0)
    moved = digital.uniform_cylinder(shift_mm=(0, 0, 60), cov=0.05, **SMALL)
    assert localise.find_cylinder(moved.volume).is_cut == (False, True)


def moved_to_edge(axis, sign, gap_mm, **more):
    """Place a cylinder with its wall so far inside one transaxial edge of the image; a negative gap lies outside."""
    radius_mm, half_field_mm = 100.0, SMALL["shape_zyx"][1] * SMALL["spacing_zyx_mm"][1] / 2
    shift = [0.0, 0.0, 0.0]
    shift[axis] = sign * (half_field_mm - radius_mm - gap_mm)
    return digital.uniform_cylinder(shift_mm=tuple(shift), cov=0.05, radius_mm=radius_mm, **(SMALL | more))


@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize("sign", [-1, 1])
def test_find_cylinder_when_an_edge_of_the_image_cuts_its_wall_then_says_so(axis, sign):
    assert localise.find_cylinder(moved_to_edge(axis, sign, -6.0).volume).is_cut_across
    assert not localise.find_cylinder(moved_to_edge(axis, sign, 12.0).volume).is_cut_across


def test_find_cylinder_when_only_its_ends_are_outside_then_it_is_not_cut_across():
    assert not localise.find_cylinder(digital.uniform_cylinder(length_mm=300, cov=0.05, **SMALL).volume).is_cut_across


def test_find_cylinder_when_the_bed_is_in_the_image_then_does_not_mind():
    scan = digital.uniform_cylinder(bed_fraction=0.2, **SMALL)
    found = localise.find_cylinder(scan.volume)
    assert np.abs(found.center_lps_mm).max() < 0.5
    assert found.residual_mm < 1.0


@pytest.mark.parametrize("is_everywhere", [True, False])
@pytest.mark.parametrize("slices", [slice(-7, None), slice(0, 7)])
def test_find_cylinder_when_end_slices_are_hotter_than_it_then_does_not_mind(slices, is_everywhere):
    scan = digital.uniform_cylinder(cov=0.1, length_mm=160, **SMALL)
    image = scan.volume.image.copy()
    noise = np.abs(np.random.default_rng(1).normal(0, 40000, image[slices].shape)).astype(np.float32)
    if not is_everywhere:
        noise[:, :20] = noise[:, -20:] = 0
        noise[np.random.default_rng(2).random(noise.shape) < 0.6] = 0
    image[slices] += noise
    found = localise.find_cylinder(PetVolume(image, scan.volume.affine_lps_mm, "Bq/mL"))
    assert np.abs(found.center_lps_mm).max() < 1.0
    assert found.radius_mm == pytest.approx(100.0, abs=0.5)


def test_find_cylinder_when_it_is_not_uniform_along_or_across_then_is_still_one():
    scan = digital.uniform_cylinder(axial_slope_pct_per_cm=3, cupping_pct=-12, **SMALL)
    found = localise.find_cylinder(scan.volume)
    assert found.radius_mm == pytest.approx(100.0, abs=1.0)
    assert found.tilt_deg < 0.3


def with_ball(factor):
    """Return a cylinder of which a ball, 24 mm across and off the axis, reads ``factor`` times the rest."""
    volume = digital.uniform_cylinder(cov=0, **SMALL).volume
    image = np.where(distance_mm(volume, 44.0) < 12, volume.image * factor, volume.image)
    return PetVolume(image.astype(np.float32), volume.affine_lps_mm, volume.unit)


def distance_mm(volume, y_mm=0.0):
    z, y, x = ((np.arange(n) - (n - 1) / 2) * 4.0 for n in volume.image.shape)
    return np.sqrt(z[:, None, None] ** 2 + (y - y_mm)[None, :, None] ** 2 + x[None, None, :] ** 2)


def filled_with(image):
    return PetVolume(image.astype(np.float32), np.diag([4.0, 4.0, 4.0, 1.0]), "Bq/mL")


def ball():
    volume = digital.uniform_cylinder(cov=0, **SMALL).volume
    return PetVolume((distance_mm(volume) < 90).astype(np.float32), volume.affine_lps_mm, volume.unit)


def lying_across():
    volume = digital.uniform_cylinder(cov=0, **SMALL).volume
    return PetVolume(np.ascontiguousarray(volume.image.transpose(1, 0, 2)), volume.affine_lps_mm, volume.unit)


def oval():
    """Return a tube of 200 by 160 mm, as uniform as the cylinder."""
    z, y, x = ((np.arange(n) - (n - 1) / 2) * 4.0 for n in SMALL["shape_zyx"])
    inside = (x / 100) ** 2 + ((y / 80) ** 2)[:, None] < 1
    return filled_with(inside[None] * (np.abs(z) < 90)[:, None, None] * 5000.0)


NOT_CYLINDERS = {
    "NEMA phantom": lambda: digital.nema_iq(**SMALL).volume,
    "NEMA phantom without contrast": lambda: digital.nema_iq(ratio=1.0, **SMALL).volume,
    "patient": lambda: digital.patient_like().volume,
    "nothing": lambda: filled_with(np.zeros((20, 30, 30))),
    "one value": lambda: filled_with(np.full((20, 30, 30), 5.0)),
    "no numbers": lambda: filled_with(np.full((20, 30, 30), np.nan)),
    "noise": lambda: filled_with(np.random.default_rng(0).normal(0, 1, (40, 60, 60))),
    "thin tube": lambda: digital.uniform_cylinder(radius_mm=20, **SMALL).volume,
    "disc": lambda: digital.uniform_cylinder(length_mm=30, **SMALL).volume,
    "hot sphere": lambda: with_ball(4.0),
    "cold sphere": lambda: with_ball(0.0),
    "ball": ball,
    "oval tube": oval,
    "cylinder across the scanner": lying_across,
}


@pytest.mark.parametrize("name", NOT_CYLINDERS)
def test_find_cylinder_when_it_is_none_then_refuses_and_says_what_was_seen(name):
    with pytest.raises(AnalysisRefused) as refusal:
        localise.find_cylinder(NOT_CYLINDERS[name]())
    assert refusal.value.code == "PHA-NOT-FOUND"
    assert refusal.value.next_step
    assert "brightest body: " in refusal.value.detail


@pytest.mark.parametrize(
    "seed",
    [
        pytest.param(0, id="drawn 0"),
        pytest.param(11, id="hot end slices touch it, bed"),
        pytest.param(17, id="hot end slices fill the field"),
        pytest.param(18, id="6 mm voxels, 60 mm off centre, hot end slices"),
        pytest.param(27, id="one hot end slice, bed"),
        pytest.param(71, id="hot end slices thinner than a coarse one"),
        pytest.param(108, id="COV 40 %, 10 degrees of tilt, cut, hot end slices, bed"),
    ],
)
def test_find_cylinder_on_a_hard_draw_then_axis_radius_and_ends_are_right(seed):
    draw = drawn.draw_cylinder(seed)
    assert drawn.error_of_cylinder(draw) <= draw.tolerance_mm


def test_axis_covariance_when_cylinders_lean_by_less_and_more_than_a_pixel_then_it_is_how_far_the_axis_is_off() -> None:
    grid = {"shape_zyx": (60, 66, 66), "spacing_zyx_mm": (4.0, 4.0, 4.0)}
    scores = []
    for seed in range(16):
        lean = {"tilt_x_deg": (0.3, 1.0, 2.5, 5.0)[seed % 4], "tilt_y_deg": 0.2 * seed}
        scan = digital.uniform_cylinder(**lean, **grid, shift_mm=(0.23 * seed, 0.0, 0.0), cov=0.06, seed=seed)
        pose = localise.find_cylinder(scan.volume)
        sd_deg = tilt_sd_deg(pose.axis, pose.axis_covariance)
        scores.append((pose.tilt_deg - scan.truth["tilt_deg"]) / sd_deg)
    # The RMS of 16 is known to 18 %; half as much again is for pixels that noise rounds off.
    assert 0.5 < np.sqrt(np.square(scores).mean()) < 1.5
