"""The uniform cylinder against drawn truths; noise tolerances are four standard deviations of the mean."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import numpy as np
import pytest

from phantoms import cylinder, digital, rois, standards
from phantoms.errors import AnalysisRefused
from phantoms.results import Outcome, Owner, QualityFlag, counted
from phantoms.sheet import Sheet
from phantoms.volume import PetVolume

SMALL = {"shape_zyx": (60, 90, 90), "spacing_zyx_mm": (4.0, 4.0, 4.0)}
TINY = {"shape_zyx": (44, 48, 48), "spacing_zyx_mm": (4.0, 4.0, 4.0), "radius_mm": 75.0, "length_mm": 140.0}
NAMES = {
    "cylinder_mean_bqml",
    "cylinder_expected_bqml",
    "cylinder_bias_pct",
    "cylinder_cross_calibration",
    "cylinder_suv_mean",
    "cylinder_suv_slice_min",
    "cylinder_suv_slice_max",
    "cylinder_slice_deviation_max_pct",
    "cylinder_axial_slope_pct_per_cm",
    "cylinder_cupping_pct",
    "cylinder_nu_pct",
    "cylinder_cov_pct",
    "cylinder_diameter_mm",
    "cylinder_tilt_deg",
    "cylinder_edge_fwhm_mm",
}
SUVS = {"cylinder_suv_mean", "cylinder_suv_slice_min", "cylinder_suv_slice_max"}


def measure(scan, volume=None, **changes):
    arguments = {
        "reference_time": scan.truth["reference_time"],
        "sheet": Sheet.parse(scan.sheet),
        "suv_factor": None,
        **changes,
    }
    return cylinder.measure(volume or scan.volume, **arguments)


def numbers(result) -> dict:
    return {one.name: one.value for one in result.measurements}


def by_id(findings) -> dict:
    return {finding.id: finding for finding in findings}


def flipped(volume: PetVolume, axis: int) -> PetVolume:
    """Store the same image with one index axis running the other way."""
    affine = volume.affine_lps_mm.copy()
    affine[:3, 3] += affine[:3, 2 - axis] * (volume.image.shape[axis] - 1)
    affine[:3, 2 - axis] *= -1
    return PetVolume(np.flip(volume.image, axis), affine, volume.unit)


@pytest.mark.parametrize("spacing", [(2.0, 3.2, 3.2), (3.27, 5.47, 5.47), (6.0, 6.0, 6.0), (5.0, 2.5, 2.5)])
@pytest.mark.parametrize("tilt", [(0.0, 0.0), (2.0, -1.0), (6.0, 7.0)])
def test_bias_when_noise_free_then_is_right_to_a_tenth_of_a_per_cent(spacing, tilt):
    shape = tuple(round(extent / step) for extent, step in zip((270, 260, 260), spacing, strict=True))
    scan = digital.uniform_cylinder(
        cov=0,
        calibration=1.04,
        tilt_x_deg=tilt[0],
        tilt_y_deg=tilt[1],
        shift_mm=(3.3, -5.7, 1.1),
        shape_zyx=shape,
        spacing_zyx_mm=spacing,
    )
    assert numbers(measure(scan))["cylinder_bias_pct"] == pytest.approx(4.0, abs=0.1)


@pytest.mark.parametrize("fwhm_mm", [4.0, 7.0, 9.0])
def test_uniformity_when_noise_free_then_nothing_deviates(fwhm_mm):
    found = numbers(measure(digital.uniform_cylinder(cov=0, fwhm_mm=fwhm_mm, **SMALL)))
    assert found["cylinder_slice_deviation_max_pct"] < 0.01
    assert abs(found["cylinder_axial_slope_pct_per_cm"]) < 0.001
    assert abs(found["cylinder_cupping_pct"]) < 0.01
    assert found["cylinder_cov_pct"] < 0.02
    # Tiles reach to 10 mm from the wall, where a blur of 9 mm still takes a little.
    assert found["cylinder_nu_pct"] < (0.05 if fwhm_mm < 8 else 1.0)


def test_cov_when_the_region_cuts_voxels_then_is_the_scatter_of_its_whole_voxels():
    """The region's mean counts cut voxels by their share, so squares less its square are no variance."""
    scan = digital.uniform_cylinder(cov=0.1, seed=2, tilt_x_deg=3.0, shift_mm=(1.3, -0.7, 0.4), **SMALL)
    result = measure(scan)
    volume, pose = scan.volume, result.pose
    whole = []
    for k in np.flatnonzero(result.slice_used):
        disc = rois.section(volume, int(k), pose.center_lps_mm, pose.axis, result.roi_radius_mm)
        whole.append(disc.values(volume.image)[disc.weights >= 0.5].astype(float))
    expected = 100 * np.concatenate(whole).std(ddof=1) / result.mean_bqml
    assert numbers(result)["cylinder_cov_pct"] == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("seed", range(3))
def test_measure_when_noisy_then_lies_within_four_sd_of_the_truth(seed):
    scan = digital.uniform_cylinder(cov=0.08, fwhm_mm=7.0, calibration=0.97, seed=seed)
    result = measure(scan)
    found = {one.name: one for one in result.measurements}
    # Independent voxels: the region over the noise's correlation volume (2 sqrt(pi) sigma)^3.
    sigma = 7.0 * digital.SIGMA_PER_FWHM
    independent = np.pi * 80**2 * 160 / (2 * np.sqrt(np.pi) * sigma) ** 3
    sd_pct = 8.0 / np.sqrt(independent)
    assert found["cylinder_bias_pct"].value == pytest.approx(-3.0, abs=4 * sd_pct)
    assert found["cylinder_mean_bqml"].uncertainty == pytest.approx(7500 * 0.97 * sd_pct / 100, rel=0.25)
    for name, truth in (
        ("cylinder_axial_slope_pct_per_cm", 0.0),
        ("cylinder_cupping_pct", 0.0),
        ("cylinder_cov_pct", 8.0),
    ):
        assert found[name].value == pytest.approx(truth, abs=4 * found[name].uncertainty), name


def test_uncertainty_when_many_seeds_are_drawn_then_is_the_scatter():
    results = [measure(digital.uniform_cylinder(cov=0.1, fwhm_mm=9.0, seed=seed, **TINY)) for seed in range(16)]
    for name, truth in (("cylinder_mean_bqml", 7500.0), ("cylinder_axial_slope_pct_per_cm", 0.0)):
        rows = [next(one for one in result.measurements if one.name == name) for result in results]
        scores = np.array([(row.value - truth) / row.uncertainty for row in rows])
        # The RMS of 16 standard normal numbers is 1 +- 1 / sqrt(32).
        assert np.sqrt((scores**2).mean()) == pytest.approx(1.0, abs=4 / np.sqrt(32)), name


def test_bias_uncertainty_when_the_sheet_has_volumes_then_is_the_fill_and_the_noise():
    scan = digital.uniform_cylinder(cov=0, calibration=1.1, **SMALL)
    result = measure(scan)
    bias = next(one for one in result.measurements if one.name == "cylinder_bias_pct")
    assert result.budget.total_pct == pytest.approx(np.sqrt(3.0**2 + 1.0**2 + 0.5**2 + 0.6315**2), abs=1e-3)
    assert bias.uncertainty == pytest.approx(1.1 * result.budget.total_pct, rel=1e-3)


def test_bias_uncertainty_when_the_image_is_noisy_then_adds_in_quadrature():
    scan = digital.uniform_cylinder(cov=0.4, fwhm_mm=12.0, **TINY)
    found = {one.name: one for one in measure(scan).measurements}
    mean = found["cylinder_mean_bqml"]
    noise_pct = 100 * mean.uncertainty / mean.value
    assert noise_pct > 1.0
    fill_pct = measure(scan).budget.total_pct
    ratio = 1 + found["cylinder_bias_pct"].value / 100
    expected = ratio * np.hypot(fill_pct, noise_pct)
    assert found["cylinder_bias_pct"].uncertainty == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("slope", [1.5, -2.0])
@pytest.mark.parametrize("axis", [None, 0, 1, 2])
def test_axial_slope_when_the_reading_rises_towards_the_head_then_is_positive(slope, axis):
    scan = digital.uniform_cylinder(cov=0, axial_slope_pct_per_cm=slope, **SMALL)
    volume = scan.volume if axis is None else flipped(scan.volume, axis)
    result = measure(scan, volume)
    assert numbers(result)["cylinder_axial_slope_pct_per_cm"] == pytest.approx(slope, abs=0.01)
    reach_cm = np.abs(result.axis_position_mm[result.slice_used]).max() / 10
    assert numbers(result)["cylinder_slice_deviation_max_pct"] == pytest.approx(abs(slope) * reach_cm, rel=0.02)
    assert np.all(np.diff(result.axis_position_mm) > 0)


@pytest.mark.parametrize("cupping", [-8.0, 6.0])
def test_cupping_when_the_centre_is_low_then_is_negative(cupping):
    scan = digital.uniform_cylinder(cov=0, cupping_pct=cupping, **SMALL)

    def reading(squared_over_wall):  # the drawn profile, quadratic in the radius
        return 1 - cupping / 200 * (2 * squared_over_wall - 1)

    # Mean squares of the radius: centre 0-20, edge 70-80, region 0-80 of 100 mm.
    centre, edge, region = reading(0.02), reading((0.49 + 0.64) / 2), reading(0.32)
    truth = 100 * (centre - edge) / region
    result = measure(scan)
    assert numbers(result)["cylinder_cupping_pct"] == pytest.approx(truth, abs=0.15)
    assert result.radial_ratio[0] == pytest.approx(reading(0.005) / region, abs=0.005)
    assert (result.radial_ratio[0] < result.radial_ratio[6]) == (cupping < 0)


def test_tiles_when_a_wedge_drops_out_then_show_it_and_nu_is_its_depth():
    scan = digital.uniform_cylinder(cov=0, **SMALL)
    y, x = np.meshgrid(*((np.arange(90) - 44.5,) * 2), indexing="ij")
    wedge = np.abs(np.degrees(np.arctan2(y, x))) < 20  # towards +x, patient left
    image = scan.volume.image * np.where(wedge, 0.85, 1.0).astype(np.float32)
    result = measure(scan, PetVolume(image, scan.volume.affine_lps_mm, "Bq/mL"))
    tiles = result.tile_deviation_pct
    rows, columns = tiles.shape
    assert rows == columns == 18
    assert np.isnan(tiles[0, 0])
    assert tiles[rows // 2, -2] == pytest.approx(tiles[rows // 2, 1] - 15, abs=1.0)
    mean = 100 * (1 - 0.15 * 40 / 360)
    assert numbers(result)["cylinder_nu_pct"] == pytest.approx(100 * (mean - 85) / mean, abs=0.5)


def test_slices_when_one_reads_low_then_it_is_the_largest_deviation_and_named():
    scan = digital.uniform_cylinder(cov=0, **SMALL)
    image = scan.volume.image.copy()
    image[40] *= 0.88
    result = measure(scan, PetVolume(image, scan.volume.affine_lps_mm, "Bq/mL"))
    assert numbers(result)["cylinder_slice_deviation_max_pct"] == pytest.approx(11.7, abs=0.1)
    finding = by_id(result.findings)["PHA-SLICE"]
    assert finding.outcome is Outcome.WARN
    assert "42 mm from the middle towards the head" in finding.message


def test_measure_when_shifted_by_half_a_voxel_then_stays():
    plain = numbers(measure(digital.uniform_cylinder(cov=0, calibration=1.05, **SMALL)))
    moved = numbers(measure(digital.uniform_cylinder(cov=0, calibration=1.05, shift_mm=(2.0, 2.0, 2.0), **SMALL)))
    for name in NAMES - {*SUVS, "cylinder_diameter_mm"}:
        assert moved[name] == pytest.approx(plain[name], abs=0.02), name
    assert moved["cylinder_diameter_mm"] == pytest.approx(plain["cylinder_diameter_mm"], abs=0.4)  # a tenth of a voxel


def test_measure_when_the_image_is_turned_by_90_degrees_then_stays():
    scan = digital.uniform_cylinder(cov=0.06, seed=2, cupping_pct=-3, **SMALL)
    turned = PetVolume(np.ascontiguousarray(np.rot90(scan.volume.image, axes=(1, 2))), *where(scan.volume))
    plain, again = numbers(measure(scan)), numbers(measure(scan, turned))
    for name in NAMES - {*SUVS, "cylinder_tilt_deg"}:
        assert again[name] == pytest.approx(plain[name], rel=2e-4, abs=2e-3), name
    # The parts of the edge begin at other voxels: a turn moves the tilt by less than noise of 6 % does, 0.03°.
    assert again["cylinder_tilt_deg"] == pytest.approx(plain["cylinder_tilt_deg"], abs=0.03)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_measure_when_the_index_order_is_flipped_then_stays(axis):
    scan = digital.uniform_cylinder(cov=0.06, seed=2, axial_slope_pct_per_cm=0.8, tilt_x_deg=2, **SMALL)
    plain, again = numbers(measure(scan)), numbers(measure(scan, flipped(scan.volume, axis)))
    for name in NAMES - {*SUVS, "cylinder_tilt_deg"}:
        assert again[name] == pytest.approx(plain[name], rel=2e-4, abs=2e-3), name
    # The parts of the edge begin at other voxels: a turn moves the tilt by less than noise of 6 % does, 0.03°.
    assert again["cylinder_tilt_deg"] == pytest.approx(plain["cylinder_tilt_deg"], abs=0.03)


def test_measure_when_the_dose_is_doubled_then_only_the_concentrations_double():
    scan = digital.uniform_cylinder(cov=0.06, calibration=1.03, **SMALL)
    doubled = replace(scan.volume, image=scan.volume.image * 2)
    sheet = {**scan.sheet, "fills": [dict(scan.sheet["fills"][0])]}
    sheet["fills"][0]["activity_mbq"] *= 2
    sheet["fills"][0]["residual_mbq"] *= 2
    plain, again = numbers(measure(scan)), numbers(measure(scan, doubled, sheet=Sheet.parse(sheet)))
    for name in NAMES - SUVS:
        factor = 2 if name.endswith("_bqml") else 1
        assert again[name] == pytest.approx(factor * plain[name], rel=1e-5, abs=1e-4), name


def test_bias_when_the_reference_time_is_an_hour_later_then_an_hour_more_has_decayed():
    scan = digital.uniform_cylinder(cov=0, **SMALL)
    later = measure(scan, reference_time=scan.truth["reference_time"] + timedelta(hours=1))
    assert numbers(later)["cylinder_bias_pct"] == pytest.approx(100 * (2 ** (3600 / 6586.2) - 1), abs=0.01)


@pytest.mark.parametrize("nuclide", ["F-18", "Ga-68", "Zr-89"])
def test_bias_when_another_nuclide_was_filled_then_its_half_life_counts(nuclide):
    scan = digital.uniform_cylinder(cov=0, nuclide=nuclide, calibration=0.95, **SMALL)
    assert numbers(measure(scan))["cylinder_bias_pct"] == pytest.approx(-5.0, abs=0.01)


def test_measure_when_complete_then_gives_every_name_with_its_unit():
    result = measure(digital.uniform_cylinder(**SMALL), suv_factor=1 / 7500)
    assert {one.name for one in result.measurements} == NAMES
    units = {one.name: one.unit for one in result.measurements}
    assert units["cylinder_axial_slope_pct_per_cm"] == "%/cm"
    assert numbers(result)["cylinder_suv_mean"] == pytest.approx(1.0, abs=0.01)
    assert all(one.standard is None for one in result.measurements)
    assert result.findings[0].outcome is Outcome.PASS


EXPECTED_NEEDED = ("cylinder_expected_bqml", "cylinder_bias_pct", "cylinder_cross_calibration")


@pytest.mark.parametrize(
    ("changes", "missing", "flag"),
    [
        ({"sheet": None}, {*EXPECTED_NEEDED}, QualityFlag.NO_SHEET),
        ({"reference_time": None}, {*EXPECTED_NEEDED}, QualityFlag.NO_REFERENCE_TIME),
        ({}, SUVS, QualityFlag.NO_SUV),
    ],
)
def test_measure_when_something_is_not_known_then_what_hangs_on_it_is_missing_and_flagged(changes, missing, flag):
    result = measure(digital.uniform_cylinder(**SMALL), **{"suv_factor": None if not changes else 1.0, **changes})
    assert {one.name for one in result.measurements if one.value is None} == missing
    for one in result.measurements:
        assert (flag in one.flags) == (one.name in missing)


def test_measure_when_the_time_is_null_then_the_bias_is_given_and_flagged():
    scan = digital.uniform_cylinder(cov=0, calibration=1.02, **SMALL)
    sheet = Sheet.parse({"fills": [{"what": "cylinder", "concentration_bqml": 7500.0, "at": None}]})
    result = measure(scan, sheet=sheet, reference_time=None)
    bias = next(one for one in result.measurements if one.name == "cylinder_bias_pct")
    assert bias.value == pytest.approx(2.0, abs=0.01)
    assert QualityFlag.SHEET_TIME_ASSUMED in bias.flags


@pytest.mark.parametrize(("unit", "mean"), [("1", 7500.0), ("g/mL", None), ("CNTS", None), ("PROPCPS", None)])
def test_measure_when_the_unit_is_not_bqml_then_there_is_no_bias(unit, mean):
    scan = digital.uniform_cylinder(cov=0, **SMALL)
    result = measure(scan, replace(scan.volume, unit=unit), suv_factor=1.0)
    found = {one.name: one for one in result.measurements}
    assert found["cylinder_bias_pct"].value is None
    flag = QualityFlag.NO_UNITS if unit == "1" else QualityFlag.OTHER_UNITS
    for name in ("cylinder_bias_pct", "cylinder_mean_bqml"):
        assert found[name].flags & (QualityFlag.NO_UNITS | QualityFlag.OTHER_UNITS) is flag
    assert found["cylinder_mean_bqml"].value == (None if mean is None else pytest.approx(mean, rel=1e-4))
    assert found["cylinder_cov_pct"].value is not None
    assert found["cylinder_suv_mean"].value == pytest.approx(7500.0, rel=1e-4)


def test_findings_when_tilted_sloped_or_cupped_then_say_so_to_the_site():
    scan = digital.uniform_cylinder(cov=0, tilt_x_deg=5, axial_slope_pct_per_cm=1.4, cupping_pct=-9, **SMALL)
    findings = by_id(measure(scan).findings)
    for name in ("PHA-POSE", "PHA-SLOPE", "PHA-SLICE", "PHA-CUPPING"):
        assert findings[name].outcome is Outcome.WARN
        assert findings[name].owner is Owner.SITE
        assert findings[name].next_step
    assert "rises by 1.4 % per cm towards the head" in findings["PHA-SLOPE"].message
    assert "lower than the edge" in findings["PHA-CUPPING"].message


def test_findings_when_the_image_ends_first_then_the_ends_are_named():
    scan = digital.uniform_cylinder(cov=0, shift_mm=(0, 0, 60), **SMALL)
    result = measure(scan)
    assert "head end" in by_id(result.findings)["PHA-CUT"].message
    assert numbers(result)["cylinder_bias_pct"] == pytest.approx(0.0, abs=0.1)


def test_findings_when_the_edge_of_the_image_cuts_the_cylinder_then_the_site_is_warned_and_numbers_are_flagged():
    scan = digital.uniform_cylinder(cov=0.05, shift_mm=(86.0, 0, 0), **SMALL)
    result = measure(scan)
    finding = by_id(result.findings)["PHA-CUT"]
    assert (finding.outcome, finding.severity, finding.owner) == (Outcome.WARN, "query", Owner.SITE)
    assert finding.next_step
    found = {one.name: one for one in result.measurements}
    for name in ("cylinder_mean_bqml", "cylinder_bias_pct", "cylinder_diameter_mm", "cylinder_cov_pct"):
        assert QualityFlag.OUTSIDE_IMAGE in found[name].flags


def test_suv_mean_when_the_headers_dose_is_a_placeholder_then_it_is_missing():
    scan = digital.uniform_cylinder(cov=0, **SMALL)
    made_up, real = Sheet.parse({**scan.sheet, "header_dose": "placeholder"}), Sheet.parse(scan.sheet)
    found = {one.name: one for one in measure(scan, sheet=made_up, suv_factor=1 / 7500).measurements}
    assert found["cylinder_suv_mean"].value is None
    assert QualityFlag.NO_SUV in found["cylinder_suv_mean"].flags
    assert found["cylinder_bias_pct"].value == pytest.approx(0.0, abs=0.1)
    assert numbers(measure(scan, sheet=real, suv_factor=1 / 7500))["cylinder_suv_mean"] == pytest.approx(1.0, abs=0.01)


def test_findings_when_the_sheets_volume_does_not_fit_the_image_then_says_so():
    scan = digital.uniform_cylinder(cov=0, **SMALL)
    sheet = {**scan.sheet, "fills": [{**scan.sheet["fills"][0], "volume_ml": 9293.0}]}
    finding = by_id(measure(scan, sheet=Sheet.parse(sheet)).findings)["PHA-VOLUME"]
    assert "9293 mL" in finding.message
    assert "PHA-VOLUME" not in by_id(measure(scan).findings)


@pytest.mark.parametrize(
    ("calibration", "words", "step"),
    [
        (1.14, "reads 14 % high", "Check the calibrator"),
        (0.86, "reads 14 % low", "Check the calibrator"),
        (1.11, "reads 11 % high", "fill and scan again"),
    ],
)
def test_diagnose_when_the_bias_fails_its_standard_then_says_how_far_and_what_next(calibration, words, step):
    result = measure(digital.uniform_cylinder(cov=0.05, calibration=calibration, **SMALL))
    finding = by_id(cylinder.diagnose(result, standards.load("earl1_18f")))["PHA-CALIBRATION"]
    assert finding.outcome is Outcome.FAIL
    assert words in finding.message
    assert step in finding.next_step
    assert finding.source


def test_diagnose_when_the_bias_is_inside_then_is_silent():
    result = measure(digital.uniform_cylinder(cov=0.05, calibration=1.05, **SMALL))
    assert cylinder.diagnose(result, standards.load("earl1_18f")) == ()


@pytest.mark.parametrize("calibration", [1.08, 0.92])
def test_diagnose_when_the_bias_is_inside_but_beyond_its_fill_then_is_named_and_the_standards_pass_stands(calibration):
    result = measure(digital.uniform_cylinder(cov=0.05, calibration=calibration, **SMALL))
    finding = by_id(cylinder.diagnose(result, standards.load("earl1_18f")))["PHA-CALIBRATION"]
    assert finding.outcome is Outcome.WARN
    assert counted(finding.outcome, finding.severity) is None
    assert "more than its fill explains" in finding.message
    assert "fill and scan again" in finding.next_step


def test_suv_when_the_sheet_is_known_then_its_uncertainty_is_that_of_the_fill_and_the_noise():
    scan = digital.uniform_cylinder(cov=0.05, **SMALL)
    result = measure(scan, suv_factor=1 / 7500)
    found = {one.name: one for one in result.measurements}
    expected = np.hypot(found["cylinder_mean_bqml"].uncertainty / 7500, result.budget.total_pct / 100)
    assert found["cylinder_suv_mean"].uncertainty == pytest.approx(expected, rel=1e-2)  # the mean is 7500 to 0.2 %
    alone = {one.name: one for one in measure(scan, sheet=None, suv_factor=1 / 7500).measurements}
    assert alone["cylinder_suv_mean"].uncertainty is None


def test_every_number_when_the_sheet_is_known_then_states_its_uncertainty():
    found = measure(digital.uniform_cylinder(cov=0.05, **SMALL), suv_factor=1 / 7500).measurements
    assert [one.name for one in found if one.uncertainty is None] == []


def test_nu_uncertainty_when_many_seeds_are_drawn_then_is_the_scatter():
    rows = []
    for seed in range(16):
        result = measure(digital.uniform_cylinder(cov=0.1, fwhm_mm=9.0, seed=seed, **TINY))
        rows.append(next(one for one in result.measurements if one.name == "cylinder_nu_pct"))
    scatter = np.std([row.value for row in rows], ddof=1)
    # An SD of 16 extremes, whose distribution is skewed, scatters by about a fifth: 3 of these.
    assert scatter == pytest.approx(np.mean([row.uncertainty for row in rows]), rel=0.6)


@pytest.mark.parametrize(("calibration", "verdict"), [(1.0, Outcome.PASS), (1.14, Outcome.FAIL), (0.88, Outcome.FAIL)])
def test_judged_when_under_earl_1_then_the_bias_decides(calibration, verdict):
    result = measure(digital.uniform_cylinder(cov=0.05, calibration=calibration, **SMALL))
    judged = {one.name: one for one in standards.judge(result.measurements, standards.load("earl1_18f"))}
    assert judged["cylinder_bias_pct"].verdict is verdict
    assert judged["cylinder_slice_deviation_max_pct"].verdict is Outcome.PASS


def test_measure_when_there_is_no_cylinder_then_refuses():
    with pytest.raises(AnalysisRefused, match="PHA-NOT-FOUND"):
        measure(digital.uniform_cylinder(**SMALL), digital.nema_iq(**SMALL).volume)


def test_measure_when_the_cylinder_is_too_short_then_refuses_and_says_so():
    scan = digital.uniform_cylinder(cov=0, length_mm=72, tilt_x_deg=9, **SMALL)
    with pytest.raises(AnalysisRefused, match="too short"):
        measure(scan)


def where(volume):
    return volume.affine_lps_mm, volume.unit


@pytest.mark.parametrize("calibration", [0.93, 1.0, 1.08])
def test_cross_calibration_when_the_scanner_reads_a_factor_then_gives_it_with_the_fills_uncertainty(calibration):
    scan = digital.uniform_cylinder(calibration=calibration, cov=0.02, **SMALL)
    found = {one.name: one for one in measure(scan).measurements}
    factor, bias = found["cylinder_cross_calibration"], found["cylinder_bias_pct"]
    assert factor.value == pytest.approx(calibration, abs=0.003)
    # Calibrator 3 %, volume 1 %, residual 0.5 %, one minute of F-18 0.63 %: 3.26 %; the image's noise adds less.
    assert factor.uncertainty == pytest.approx(0.0326 * factor.value, rel=0.02)
    assert bias.value == pytest.approx(100 * (factor.value - 1))
