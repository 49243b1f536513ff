"""Region weights against geometry: known volumes, and a slow sub-sampling of single voxels."""

from __future__ import annotations

import numpy as np
import pytest

from phantoms import rois
from phantoms.volume import PetVolume

CENTER = np.array([1.3, -2.2, 0.7])


def grid(spacing_zyx_mm=(2.0, 3.2, 3.2), shape=(40, 40, 40), signs=(1, 1, 1)) -> PetVolume:
    z, y, x = spacing_zyx_mm
    affine = np.diag([signs[0] * x, signs[1] * y, signs[2] * z, 1.0])
    for axis, count in enumerate(shape[::-1]):
        affine[axis, 3] = -affine[axis, axis] * (count - 1) / 2
    return PetVolume(np.ones(shape, np.float32), affine, "Bq/mL")


def fraction_inside(volume, roi, inside, voxel, steps) -> float:
    """Sub-sample one voxel of the bounding box on steps**3 points."""
    offsets = (np.arange(steps) + 0.5) / steps - 0.5
    axes = [piece.start + index + offsets for piece, index in zip(roi.slices, voxel, strict=True)]
    points = volume.to_lps_mm(np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1))
    return float(inside(points).mean())


def cut_voxels(roi, count):
    cut = np.argwhere((roi.weights > 1e-6) & (roi.weights < 1 - 1e-6))
    return cut[np.random.default_rng(4).choice(len(cut), count, replace=False)]


@pytest.mark.parametrize("radius_mm", [5.0, 6.5, 8.5, 11.0, 14.0, 18.5])
@pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.0), (2.0, 3.2, 3.2), (5.0, 4.0, 4.1)])
def test_sphere_sum_when_placed_between_voxels_then_equals_its_volume(radius_mm, spacing):
    roi = rois.sphere(grid(spacing, (48, 48, 48)), CENTER, radius_mm)
    volume_mm3 = roi.weights.sum() * np.prod(spacing)
    assert volume_mm3 == pytest.approx(4 / 3 * np.pi * radius_mm**3, rel=1e-10)


def test_sphere_weight_when_a_voxel_is_cut_then_equals_its_fraction_inside():
    volume = grid()
    roi = rois.sphere(volume, CENTER, 6.5)
    for voxel in cut_voxels(roi, 12):
        slow = fraction_inside(volume, roi, lambda p: ((p - CENTER) ** 2).sum(-1) <= 6.5**2, voxel, 100)
        assert roi.weights[tuple(voxel)] == pytest.approx(slow, abs=1e-3)  # the slow way is right to its own 1/100**1.5


def test_sphere_weight_when_smaller_than_a_voxel_then_all_of_it_is_in_that_voxel():
    volume = grid((5.0, 5.0, 5.0), (9, 9, 9))
    roi = rois.sphere(volume, [0.1, 0.2, -0.3], 1.0)
    assert roi.weights.max() == pytest.approx(4 / 3 * np.pi / 125, rel=1e-12)


@pytest.mark.parametrize("signs", [(-1, 1, 1), (1, -1, 1), (1, 1, -1)])
def test_sphere_mean_when_the_index_axes_are_flipped_then_stays(signs):
    rng = np.random.default_rng(1)
    image = rng.normal(size=(40, 40, 40)).astype(np.float32)
    plain, flipped = grid(), grid(signs=signs)
    turned = image[:: signs[2], :: signs[1], :: signs[0]]
    before = rois.sphere(plain, CENTER, 11.0).mean(image)
    assert rois.sphere(flipped, CENTER, 11.0).mean(turned) == pytest.approx(before, rel=1e-6)


def test_circle_when_no_normal_is_given_then_lies_in_the_nearest_slice_with_exact_area():
    volume = grid()
    roi = rois.circle(volume, CENTER, 18.5)
    assert roi.weights.shape[0] == 1
    assert volume.to_lps_mm(np.array([roi.slices[0].start, 0.0, 0.0]))[2] == pytest.approx(1.0)
    assert roi.weights.sum() * 3.2 * 3.2 == pytest.approx(np.pi * 18.5**2, rel=1e-12)


def test_circle_weight_when_a_pixel_is_cut_then_equals_its_fraction_inside():
    volume = grid()
    roi = rois.circle(volume, CENTER, 9.0)
    for voxel in cut_voxels(roi, 10):
        inside = lambda p: ((p[..., :2] - CENTER[:2]) ** 2).sum(-1) <= 81.0  # noqa: E731
        assert roi.weights[tuple(voxel)] == pytest.approx(fraction_inside(volume, roi, inside, voxel, 100), abs=5e-3)


@pytest.mark.parametrize("radius_mm", [5.0, 14.0, 18.5])
def test_circle_area_when_seen_as_a_rectangles_corner_or_by_greens_theorem_then_is_the_same(radius_mm):
    y, x = (np.arange(-22.0, 23.0, step) + off for step, off in ((1.7, 0.3), (2.1, -0.4)))
    almost = np.eye(2) * (1.0 + 1e-12)  # not the identity, so the general form is taken
    square = rois._ellipse_in_pixels(y, x, np.eye(2), radius_mm)
    # Both are exact; the map stretches areas by 2e-12 and both lose digits in differences of the disc's 1,000 mm².
    np.testing.assert_allclose(square, rois._ellipse_in_pixels(y, x, almost, radius_mm), rtol=0, atol=1e-8)
    assert square.sum() == pytest.approx(np.pi * radius_mm**2, rel=1e-12)


@pytest.mark.parametrize("normal", [None, [0.1, -0.05, 1.0]])
def test_circles_when_worked_out_together_then_each_equals_the_one_alone(normal):
    volume = grid()
    # The last hangs out of the image.
    centers = np.array([CENTER, CENTER + np.array([7.1, -3.3, 11.9]), [60.0, 55.0, 2.0]])
    for center, together in zip(centers, rois.circles(volume, centers, 11.0, normal), strict=True):
        alone = rois.circle(volume, center, 11.0, normal)
        assert together.slices == alone.slices
        np.testing.assert_allclose(together.weights, alone.weights, rtol=0, atol=1e-12)


def test_circle_when_its_normal_is_the_slice_normal_then_equals_the_one_without():
    volume = grid()
    on_slice = volume.to_lps_mm(np.array([20.0, 19.3, 18.6]))
    plain, given = rois.circle(volume, on_slice, 14.0), rois.circle(volume, on_slice, 14.0, [0, 0, 1])
    full = np.zeros(volume.image.shape)
    full[plain.slices] = plain.weights
    full[given.slices] -= given.weights
    assert np.abs(full).max() < 1e-9


@pytest.mark.parametrize("normal", [(0.17, 0.05, 1.0), (0.0, -0.2, 1.0), (0.1, 0.1, -1.0)])
def test_circle_mean_when_the_plane_is_tilted_then_a_linear_image_reads_its_value_at_the_centre(normal):
    volume = grid()
    index = np.stack(np.meshgrid(*(np.arange(n) for n in volume.image.shape), indexing="ij"), axis=-1)
    image = (volume.to_lps_mm(index.astype(float)) @ np.array([0.3, -0.2, 0.5]) + 100).astype(np.float32)
    value = rois.circle(volume, CENTER, 18.5, normal).mean(image)
    # Cut pixels count at their own centre, which moves the centroid by far less than a hundredth of a voxel.
    assert value == pytest.approx(100 + CENTER @ np.array([0.3, -0.2, 0.5]), abs=0.01)


@pytest.mark.parametrize("axis", [(0.0, 0.0, 1.0), (0.17, 0.05, 1.0), (0.0, -0.25, -1.0)])
def test_section_when_the_cylinder_is_tilted_then_has_the_ellipse_area_about_the_axis(axis):
    volume = grid()
    direction = np.array(axis) / np.linalg.norm(axis)
    roi = rois.section(volume, 27, CENTER, axis, 20.0)
    assert roi.weights.sum() * 3.2 * 3.2 == pytest.approx(np.pi * 400 / abs(direction[2]), rel=1e-10)
    z, y, x = np.meshgrid(*(np.arange(piece.start, piece.stop) for piece in roi.slices), indexing="ij")
    places = volume.to_lps_mm(np.stack([z, y, x], axis=-1).astype(float))
    middle = (places * roi.weights[..., None]).sum(axis=(0, 1, 2)) / roi.weights.sum()
    on_axis = CENTER + direction * (places[0, 0, 0, 2] - CENTER[2]) / direction[2]
    np.testing.assert_allclose(middle, on_axis, atol=1e-2)  # cut pixels count at their own centre


def test_cylinder_sum_when_square_to_the_slices_then_equals_its_volume():
    roi = rois.cylinder(grid(), CENTER, [0, 0, 1], 20.0, 33.3)
    assert roi.weights.sum() * 2 * 3.2 * 3.2 == pytest.approx(np.pi * 400 * 33.3, rel=1e-12)


@pytest.mark.parametrize("axis", [(0.17, 0.05, 1.0), (0.0, -0.25, 1.0), (0.05, 0.0, -1.0)])
def test_cylinder_sum_when_tilted_then_equals_its_volume(axis):
    roi = rois.cylinder(grid(), CENTER, axis, 20.0, 40.0)
    assert roi.weights.sum() == pytest.approx(roi.nominal_sum, rel=1e-4)


def test_cylinder_weight_when_tilted_then_a_wall_voxel_equals_its_fraction_inside():
    volume = grid()
    axis = np.array([0.17, 0.05, 1.0]) / np.linalg.norm([0.17, 0.05, 1.0])
    roi = rois.cylinder(volume, CENTER, axis, 20.0, 60.0)

    def inside(points):
        offset = points - CENTER
        return (offset**2).sum(-1) - (offset @ axis) ** 2 <= 400.0

    for voxel in cut_voxels(roi, 40):
        if abs(voxel[0] - roi.weights.shape[0] / 2) < 8:  # away from the ends
            assert roi.weights[tuple(voxel)] == pytest.approx(fraction_inside(volume, roi, inside, voxel, 60), abs=3e-3)


def test_roi_when_cut_by_the_image_edge_then_says_it_is_not_complete():
    volume = grid()
    assert rois.sphere(volume, CENTER, 18.5).is_complete
    edge = volume.to_lps_mm(np.array([1.0, 20.0, 20.0]))
    assert not rois.sphere(volume, edge, 18.5).is_complete
    assert not rois.circle(volume, volume.to_lps_mm(np.array([20.0, 1.0, 20.0])), 18.5).is_complete
    assert not rois.circle(volume, volume.to_lps_mm(np.array([60.0, 20.0, 20.0])), 18.5, [0.1, 0, 1]).is_complete


def test_roi_mean_when_outside_the_image_then_raises():
    volume = grid()
    with pytest.raises(ValueError, match="outside"):
        rois.sphere(volume, volume.to_lps_mm(np.array([200.0, 20.0, 20.0])), 5.0).mean(volume.image)


def test_roi_mean_when_the_image_is_constant_then_is_that_constant():
    volume = grid()
    image = np.full(volume.image.shape, 7.25, np.float32)
    for roi in (
        rois.sphere(volume, CENTER, 8.5),
        rois.circle(volume, CENTER, 8.5, [0.1, 0, 1]),
        rois.cylinder(volume, CENTER, [0.1, 0, 1], 8.5, 12.0),
    ):
        assert roi.mean(image) == pytest.approx(7.25, rel=1e-9)
