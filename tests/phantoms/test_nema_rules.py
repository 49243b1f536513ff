"""The rules of NEMA NU 2 section 7: regions and their margins, cold spheres, the insert slice by slice, planes."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import product

import numpy as np
import pytest
from numpy.typing import NDArray

from phantoms import background_rois, digital, rois, standards
from phantoms.nema_iq import NemaIqResult, measure
from phantoms.results import Measurement, Outcome, QualityFlag
from phantoms.sheet import Sheet
from phantoms.spheres import blurred_sphere

DIAMETERS = (37, 28, 22, 17, 13, 10)
# The sphere plane lies 27 mm from the middle of the body: on a slice of this grid.
GRID = {"shape_zyx": (75, 110, 110), "spacing_zyx_mm": (3.0, 3.0, 3.0)}
FWHM_MM = 7.0


def measured(scan: digital.DigitalScan, edition: str = "nu2_2018") -> NemaIqResult:
    sheet = Sheet.parse(scan.sheet)
    return measure(scan.volume, reference_time=scan.truth["reference_time"], sheet=sheet, edition=edition)


def by_name(result: NemaIqResult) -> dict[str, Measurement]:
    return {one.name: one for one in result.measurements if one.standard is None}


@pytest.fixture(scope="module")
def noisy() -> tuple[digital.DigitalScan, NemaIqResult]:
    scan = digital.nema_iq(FWHM_MM, 0.10, seed=4, first_angle_deg=30.0, **GRID)
    return scan, measured(scan)


@pytest.fixture(scope="module")
def cold() -> tuple[digital.DigitalScan, NemaIqResult]:
    scan = digital.nema_iq(FWHM_MM, 0.0, 4.0, cold_mm=(28, 37), **GRID)
    return scan, measured(scan, "nu2_2012")


@pytest.fixture(scope="module")
def tilted() -> tuple[digital.DigitalScan, NemaIqResult]:
    scan = digital.nema_iq(FWHM_MM, 0.05, seed=6, tilt_x_deg=6.0, **GRID)
    return scan, measured(scan)


def edge_distance_mm(x: float, y: float) -> float:
    """Return how deep a point lies inside the body as IEC 61675-1 draws it, millimetres from the ring's centre."""
    depth = y - 35.0  # behind the waist, where the half circle of the front meets the rounded back
    if depth < 0:
        return 147.0 - math.hypot(x, depth)
    return 77.0 - math.hypot(max(abs(x) - 70.0, 0.0), depth)


def test_background_regions_when_placed_then_the_margins_that_are_recorded_are_those_of_the_drawing(noisy) -> None:
    scan, result = noisy
    middle = np.array(scan.truth["center_lps_mm"])
    assert len(result.background_rois) == 12
    radius = result.background_rois[0][1]
    assert radius == 18.5
    offsets = [center - middle for center, _ in result.background_rois]
    edge = min(edge_distance_mm(float(o[0]), float(o[1])) for o in offsets) - radius
    spheres = min(
        float(np.linalg.norm(center - np.array(place))) - radius - d / 2
        for (center, _), (d, place) in product(result.background_rois, scan.truth["spheres"].items())
    )
    found = by_name(result)
    margin = found["background_edge_margin_mm"]
    # Read off the voxels at the wall: what noise and an unknown bend leave is stated, and less than half a millimetre.
    assert 0 < margin.uncertainty < 0.5
    assert margin.value == pytest.approx(edge, abs=3 * margin.uncertainty)
    # The regions stand where a grid of 2.5 mm has the outline: half a step.
    assert edge >= 15.0 - 1.25
    assert found["background_sphere_margin_mm"].value == pytest.approx(spheres, abs=1.0)
    # Both margins of 15 mm do not fit: the finding says so and the number is what was reached.
    assert 0 < found["background_sphere_margin_mm"].value < 15.0


@pytest.mark.parametrize("haze", [0.0, 0.1])
def test_edge_margins_when_there_is_no_noise_then_each_is_the_drawn_one_but_for_the_walls_bend(cold, haze) -> None:
    scan, result = cold
    floor = haze * result.pose.background
    volume = replace(scan.volume, image=scan.volume.image + np.float32(floor))
    pose = replace(result.pose, background=result.pose.background + floor)
    layout = background_rois.place(volume, pose)
    offsets = layout.centers_lps_mm - np.array(scan.truth["center_lps_mm"])
    drawn = np.array([edge_distance_mm(float(o[0]), float(o[1])) for o in offsets]) - 18.5
    # Flat, or bent as much as a corner: half of 1/77 mm either way of what is taken, by blur and arc (6 mm a side,
    # 18 mm² in the mean). Voxels of 3 mm leave some hundredths.
    bend = 0.5 / 77 * ((FWHM_MM / 2.3548) ** 2 + 18) / 2
    assert np.abs(layout.edge_margins_mm - drawn).max() < bend + 0.05
    assert layout.edge_margin_mm == layout.edge_margins_mm.min()


def discs(
    scan: digital.DigitalScan, result: NemaIqResult, diameter: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the sixty region means, and all voxels that lie in any region by half or more."""
    means, voxels = [], []
    for (center, _), offset in product(result.background_rois, (-20.0, -10.0, 0.0, 10.0, 20.0)):
        roi = rois.circle(scan.volume, center + offset * result.pose.axis, diameter / 2)
        means.append(roi.mean(scan.volume.image))
        voxels.append(roi.values(scan.volume.image)[roi.weights > 0.5])
    return np.array(means), np.concatenate(voxels)


@pytest.mark.parametrize("diameter", [37, 10])
def test_variability_is_the_scatter_of_sixty_region_means_and_not_of_their_voxels(noisy, diameter: int) -> None:
    scan, result = noisy
    means, voxels = discs(scan, result, diameter)
    assert len(means) == 60
    found = by_name(result)[f"sphere_{diameter}mm_n_pct"].value
    assert found == pytest.approx(100 * means.std(ddof=1) / means.mean(), rel=1e-9)
    # Pooled voxels tell the image's noise, 10 %, and hardly know the size of the region; the means average it away.
    pooled = 100 * voxels.std(ddof=1) / voxels.mean()
    assert pooled == pytest.approx(10.0, rel=0.1)
    assert found < 0.8 * pooled


def test_lung_insert_when_measured_then_every_slice_is_in_the_result_and_mean_and_worst_are_of_them(noisy) -> None:
    scan, result = noisy
    rows = result.profiles()["lung_residual_pct"]
    values = [row["value"] for row in rows]
    found = by_name(result)
    assert found["lung_residual_pct"].value == pytest.approx(np.mean(values))
    assert found["lung_residual_max_pct"].value == max(values)
    for row in (rows[0], rows[-1]):
        center = result.pose.lung_center_lps_mm + row["position_mm"] * result.pose.axis
        by_hand = 100 * rois.circle(scan.volume, center, 15.0).mean(scan.volume.image) / result.background_mean
        assert row["value"] == pytest.approx(by_hand)


@pytest.mark.parametrize(("edition", "kept_off_mm"), [("nu2_2018", 30.0), ("nu2_2012", 10.0)])
def test_lung_insert_when_an_edition_is_named_then_its_ends_are_left_out_as_it_says(
    cold, edition: str, kept_off_mm: float
) -> None:
    scan, _ = cold
    position = measured(scan, edition).lung_profile_z_mm
    # The body reaches from 122 mm below the spheres to 68 mm above; slices are 3 mm apart, its ends found to 0.5 mm.
    for end, seen in ((-122.0, position.min()), (68.0, position.max())):
        assert kept_off_mm - 0.5 <= abs(end - seen) < kept_off_mm + 3.5
    assert np.diff(np.sort(position)) == pytest.approx(3.0, abs=0.01)


def disc_share(diameter: int, sigma_mm: float) -> float:
    """Return the mean of the blurred unit ball over NEMA's disc through its middle, per cent."""
    r = np.linspace(0.0, diameter / 2, 2001)
    profile = blurred_sphere(r, diameter / 2, sigma_mm)
    return 100 * float(np.trapezoid(profile * 2 * r, r)) / (diameter / 2) ** 2


def test_cold_spheres_when_measured_then_their_contrast_is_what_the_blur_leaves(cold) -> None:
    _, result = cold
    found = by_name(result)
    sigma = FWHM_MM * digital.SIGMA_PER_FWHM
    for diameter, kind in ((37, "qc"), (28, "qc"), (22, "qh"), (17, "qh"), (13, "qh"), (10, "qh")):
        value = found[f"sphere_{diameter}mm_{kind}_pct"].value
        # A region takes a voxel as a box of one value, which blurs by 3 mm / sqrt(12) at the most; 1.5 points are for
        # the pixels that the disc's edge cuts.
        broadened = math.hypot(sigma, 3.0 / math.sqrt(12.0))
        assert disc_share(diameter, broadened) - 1.5 < value < disc_share(diameter, sigma) + 1.5
        assert (f"sphere_{diameter}mm_qc_pct" in found) is (kind == "qc")
    assert found["resolution_fwhm_mm"].value == pytest.approx(FWHM_MM, abs=0.3)
    assert result.sphere_filling == pytest.approx(8000.0, rel=0.03)


def test_cold_spheres_when_recovery_is_asked_then_there_is_none_and_no_edition_passes(cold) -> None:
    _, result = cold
    found = by_name(result)
    for diameter, what in product((37, 28), ("a50", "max", "peak", "rc_a50", "rc_max", "crc_a50", "qh_pct")):
        one = found[f"sphere_{diameter}mm_{what}"]
        assert one.value is None
        assert QualityFlag.COLD_SPHERE in one.flags
    judged = standards.judge(result.measurements, standards.load("earl1_18f"))
    verdicts = {one.name: one.verdict for one in judged}
    assert verdicts["sphere_37mm_rc_a50"] is Outcome.NOT_EVALUABLE
    assert result.filter_curves is None


@pytest.mark.parametrize(("edition", "outcome"), [("nu2_2018", Outcome.WARN), ("nu2_2012", Outcome.PASS)])
def test_cold_spheres_when_the_edition_has_them_hot_then_it_is_said(cold, edition: str, outcome: Outcome) -> None:
    scan, _ = cold
    (said,) = [one for one in measured(scan, edition).findings if one.id == "PHA-COLD"]
    assert said.outcome is outcome
    assert "28 and 37 mm" in said.message


def test_planes_when_the_phantom_is_tilted_then_slices_of_the_image_are_measured_beside_its_own(tilted) -> None:
    scan, result = tilted
    found = by_name(result)
    for diameter in DIAMETERS:
        center = result.pose.spheres[diameter]
        background = discs(scan, result, diameter)[0]
        q = rois.circle(scan.volume, center, diameter / 2).mean(scan.volume.image) / background.mean() - 1
        assert found[f"sphere_{diameter}mm_qh_pct_axial"].value == pytest.approx(100 * q / 9.0, rel=1e-6)
        n = 100 * background.std(ddof=1) / background.mean()
        assert found[f"sphere_{diameter}mm_n_pct_axial"].value == pytest.approx(n, rel=1e-9)
    assert found["sphere_37mm_qh_pct_axial"].value != found["sphere_37mm_qh_pct"].value


def test_planes_when_the_phantom_lies_straight_then_there_is_one_kind_of_them(noisy) -> None:
    assert not [name for name in by_name(noisy[1]) if name.endswith("_axial")]
