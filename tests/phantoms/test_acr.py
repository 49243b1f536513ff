"""The ACR PET phantom against what its geometry and its fill say; the scans are digital ones."""

from __future__ import annotations

import math
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pytest

from phantoms import acr, digital, digital_acr, standards
from phantoms.acr import AcrResult
from phantoms.acr_pose import find_acr
from phantoms.cylinder_pose import find_cylinder
from phantoms.errors import AnalysisRefused
from phantoms.localise import find_nema_iq
from phantoms.reformat import thick_slices
from phantoms.results import Measurement, Outcome, QualityFlag
from phantoms.sheet import Sheet
from phantoms.volume import PetVolume

ACR = standards.load("acr_pet")
TILTED: dict[str, Any] = {"tilt_x_deg": 5.0, "roll_deg": 40.0, "shift_mm": (7.0, -11.0, 4.0)}
POSES: tuple[dict[str, Any], ...] = (
    {},
    TILTED,
    {**TILTED, "is_mirrored": True, "is_lid_at_head": False},
    {"spacing_zyx_mm": (3.27, 5.47, 5.47), "shape_zyx": (70, 60, 60), "roll_deg": -100.0},
)


def header_factor(scan: digital.DigitalScan) -> float:
    """Return SUV over Bq/mL: the phantom's own activity over its own mass of water is SUV 1."""
    return 1 / float(scan.truth["background_bqml"])


def measure(scan: digital.DigitalScan, volume: PetVolume | None = None, **changes: Any) -> AcrResult:
    arguments: dict[str, Any] = {
        "reference_time": scan.truth["reference_time"],
        "sheet": Sheet.parse(scan.sheet),
        "suv_factor": header_factor(scan),
        **changes,
    }
    return acr.measure(volume or scan.volume, **arguments)


def found(result: AcrResult) -> dict[str, Measurement]:
    return {one.name: one for one in result.measurements}


def verdicts(result: AcrResult) -> dict[str, Outcome]:
    return {one.name: one.verdict for one in standards.judge(result.measurements, ACR)}


def flipped(volume: PetVolume, axis: int) -> PetVolume:
    """Store the same image with one index axis running the other way."""
    affine = volume.affine_lps_mm.copy()
    affine[:3, 3] += affine[:3, 2 - axis] * (volume.image.shape[axis] - 1)
    affine[:3, 2 - axis] *= -1
    return PetVolume(np.flip(volume.image, axis), affine, volume.unit)


@cache
def noisy(number: int) -> digital.DigitalScan:
    """Return the phantom in one of the poses, with noise of 10 %."""
    return digital_acr.acr_pet(7.0, 0.1, seed=2, **POSES[number])


@pytest.fixture(scope="module")
def plain() -> digital.DigitalScan:
    return digital_acr.acr_pet(7.0, 0.0)


# --- the standard ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("acr_background_suv_mean", 0.84, Outcome.FAIL),
        ("acr_background_suv_mean", 0.86, Outcome.WARN),
        ("acr_background_suv_mean", 1.0, Outcome.PASS),
        ("acr_background_suv_mean", 1.16, Outcome.FAIL),
        ("acr_cylinder_25mm_suv_max", 1.79, Outcome.FAIL),
        ("acr_cylinder_25mm_suv_max", 2.79, Outcome.PASS),
        ("acr_cylinder_25mm_suv_max", 2.81, Outcome.FAIL),
        ("acr_ratio_16_25", 0.69, Outcome.FAIL),
        ("acr_ratio_16_25", 0.71, Outcome.PASS),
        ("acr_ratio_8_25", 0.1, Outcome.REPORT_ONLY),
        ("acr_air_suv_min", 0.9, Outcome.REPORT_ONLY),
    ],
)
def test_acr_pet_when_a_number_is_judged_then_the_published_limit_decides(name, value, expected) -> None:
    (judged,) = standards.judge([Measurement(name=name, value=value, unit="1")], ACR)
    assert judged.verdict is expected


# --- where it lies --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", range(len(POSES)))
def test_find_acr_in_any_pose_then_every_cylinder_is_where_it_was_drawn(number) -> None:
    scan = noisy(number)
    place = find_acr(scan.volume)
    truth = {name: np.array(at) for name, at in scan.truth["inserts"].items()}
    axis = np.array(scan.truth["axis"])
    across_mm = {
        str(name): float(np.linalg.norm(np.cross(at - truth[str(name)], axis)))
        for name, at in (*place.hot.items(), *place.cold.items())
    }
    assert set(across_mm) == set(truth)
    # About half a pixel for the large ones; noise moves the faint 8 mm one by a pixel at most.
    assert max(value for name, value in across_mm.items() if name != "8") < max(scan.volume.spacing_zyx_mm) / 2 + 0.2
    assert across_mm["8"] < max(scan.volume.spacing_zyx_mm)
    assert math.degrees(math.acos(min(1.0, float(place.axis @ axis)))) < 0.3
    assert np.ptp(place.inserts_mm) == pytest.approx(digital_acr.INSERT_LENGTH_MM, abs=6.0)
    assert place.residual_mm < 1.6
    assert place.rods_mm is not None
    # The uniform section was drawn between these; nothing of the other sections may be taken for it.
    low, high = (end + digital_acr.LENGTH_MM / 2 for end in place.uniform_mm)
    assert digital_acr.ROD_LENGTH_MM + 4 < low < high < digital_acr.ROD_LENGTH_MM + digital_acr.UNIFORM_LENGTH_MM - 4


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_measure_when_the_stack_is_stored_the_other_way_then_gives_the_same(axis) -> None:
    scan = noisy(0)
    before, after = found(measure(scan)), found(measure(scan, flipped(scan.volume, axis)))
    for name, one in before.items():
        assert after[name].value == pytest.approx(one.value, rel=1e-3, abs=1e-3), name


@pytest.mark.parametrize(
    "scan",
    [
        lambda: digital_acr.acr_pet(7.0, 0.05, has_faceplate=False),
        lambda: digital_acr.acr_pet(7.0, 0.05, ratio=1.0),
        lambda: digital.uniform_cylinder(),
        lambda: digital.nema_iq(shape_zyx=(60, 90, 90), spacing_zyx_mm=(3.5, 4.0, 4.0)),
        lambda: digital.patient_like(weight_kg=75.0),
    ],
    ids=["no faceplate", "no contrast", "cylinder", "nema", "patient"],
)
def test_find_acr_on_another_object_refuses(scan) -> None:
    with pytest.raises(AnalysisRefused, match="PHA-NOT-FOUND") as refused:
        find_acr(scan().volume)
    assert refused.value.next_step


def test_find_acr_when_the_hot_cylinders_are_equal_then_does_not_order_them(plain, monkeypatch) -> None:
    monkeypatch.setattr(
        digital_acr, "_table", lambda discs, *rest, real=digital_acr._table: real(_all_16_mm(discs), *rest)
    )
    scan = digital_acr.acr_pet(7.0, 0.0)
    with pytest.raises(AnalysisRefused, match="not cylinders of 25, 16 and 12"):
        find_acr(scan.volume)


def _all_16_mm(discs):
    return [(place, 8.0 if abs(height) > 1.5 else radius, height) for place, radius, height in discs]


@pytest.mark.parametrize("finder", [find_cylinder, find_nema_iq])
def test_other_localisers_when_given_the_acr_phantom_then_refuse(finder) -> None:
    with pytest.raises(AnalysisRefused, match="PHA-NOT-FOUND"):
        finder(noisy(0).volume)


# --- slices of 1 cm -------------------------------------------------------------------------------------------


def test_thick_slices_when_the_axis_is_z_then_are_the_overlap_of_the_original_ones() -> None:
    rng = np.random.default_rng(1)
    affine = np.diag([4.0, 4.0, 3.0, 1.0])
    volume = PetVolume(rng.normal(size=(20, 9, 9)).astype(np.float32), affine, "1")
    center = np.array([16.0, 16.0, 28.5])
    thick = thick_slices(volume, center, np.array([0.0, 0.0, 1.0]), [0.0], thickness_mm=10.0, reach_mm=12.0)
    # 23.5 to 33.5 mm covers of slices 8 to 11 (each 3 mm about 24, 27, 30, 33) 2, 3, 3 and 2 mm.
    shares = np.array([2.0, 3.0, 3.0, 2.0]) / 10
    expected = np.einsum("k,kyx->yx", shares, volume.image[8:12, 1:8, 1:8].astype(float))
    np.testing.assert_allclose(thick.image[0], expected, atol=1e-6)
    np.testing.assert_allclose(thick.u_mm, np.arange(-12.0, 12.1, 4.0))


def test_thick_slices_when_the_phantom_is_tilted_then_a_linear_image_keeps_its_value() -> None:
    # A linear image's mean over a thickness is its value in the middle, and interpolation adds nothing to it.
    z, y, x = np.meshgrid(np.arange(40) * 2.5, np.arange(30) * 4.0, np.arange(30) * 4.0, indexing="ij")
    slope = np.array([0.3, -0.2, 0.7])
    volume = PetVolume((slope[0] * x + slope[1] * y + slope[2] * z).astype(np.float32), np.diag([4, 4, 2.5, 1.0]), "1")
    axis = np.array([0.1, -0.05, 1.0]) / np.linalg.norm([0.1, -0.05, 1.0])
    center = np.array([58.0, 57.0, 50.0])
    thick = thick_slices(volume, center, axis, [-7.5, 12.5], thickness_mm=10.0, reach_mm=20.0)
    for k, height in enumerate(thick.position_mm):
        at = np.array([[thick.to_lps_mm(u, v, height) @ slope for u in thick.u_mm] for v in thick.v_mm])
        # The steps of 2.5 mm make a thick slice's mean coarse by up to half a step at either end: 0.7 · 2.5² / 8 / 10.
        np.testing.assert_allclose(thick.image[k], at, atol=0.06)


def test_thick_slices_when_the_image_ends_then_the_pixels_it_does_not_hold_are_missing() -> None:
    volume = PetVolume(np.ones((10, 9, 9), np.float32), np.diag([4.0, 4.0, 3.0, 1.0]), "1")
    center = np.array([16.0, 16.0, 13.5])
    thick = thick_slices(volume, center, np.array([0.0, 0.0, 1.0]), [0.0, 11.0], thickness_mm=10.0, reach_mm=24.0)
    assert np.isnan(thick.image[1]).all()
    assert np.isnan(thick.image[0]).sum() == 13**2 - 9**2
    assert np.nanmax(np.abs(thick.image[0] - 1)) < 1e-6


# --- what is read ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("pose", POSES)
def test_measure_when_noise_free_then_reads_what_geometry_and_blur_leave(pose) -> None:
    # On the axis of a long cylinder of radius R a Gaussian leaves 1 - exp(-R² / 2σ²) of what is in it.
    scan = digital_acr.acr_pet(6.0, 0.0, cold_fractions={"water": 0.10, "air": 0.05, "bone": 0.12}, **pose)
    sigma = 6.0 * digital.SIGMA_PER_FWHM
    numbers = found(measure(scan))
    pixel = max(scan.volume.spacing_zyx_mm[1:])
    top = {d: 1 + 1.5 * (1 - math.exp(-((d / 2) ** 2) / (2 * sigma**2))) for d in (25, 16, 12, 8)}
    # 20 mm from the wall a blur of 6 mm takes 1e-8; slices of the uniform section keep 8 mm, 3 sigma: 1e-3.
    assert numbers["acr_background_suv_mean"].value == pytest.approx(1.0, abs=2e-3)
    assert numbers["acr_cylinder_25mm_suv_max"].value == pytest.approx(top[25], abs=0.01)
    # The hottest pixel's centre lies up to 0.71 pixels off the axis; tilted, two pixels are averaged over that.
    for diameter in (16, 12, 8):
        off = 1 + 1.5 * _beside(diameter / 2, sigma, 0.71 * pixel * (1 if not pose.get("tilt_x_deg") else 1.5))
        for name, low, high in (
            (f"acr_cylinder_{diameter}mm_suv_max", off, top[diameter]),
            (f"acr_ratio_{diameter}_25", off / top[25], top[diameter] / top[25]),
        ):
            assert low - 0.02 <= numbers[name].value <= high + 0.02, name
    for name, fraction in (("water", 0.10), ("air", 0.05), ("bone", 0.12)):
        assert numbers[f"acr_{name}_suv_min"].value == pytest.approx(fraction, abs=0.01), name
        assert QualityFlag.PLACE_ASSUMED in numbers[f"acr_{name}_suv_min"].flags
    assert numbers["acr_activity_ratio"].value == pytest.approx(2.5, rel=1e-6)
    assert numbers["acr_background_bias_pct"].value == pytest.approx(0.0, abs=0.2)
    assert numbers["acr_slice_deviation_max_pct"].value < 0.2
    assert numbers["acr_nu_pct"].value < 0.5
    assert numbers["acr_tilt_deg"].value == pytest.approx(scan.truth["tilt_deg"], abs=0.2)


def _beside(radius: float, sigma: float, off_mm: float) -> float:
    """Return what a Gaussian leaves of a long cylinder beside its axis, by brute force."""
    x, y = np.meshgrid(np.arange(-30, 30, 0.25), np.arange(-30, 30, 0.25))
    weight = np.exp(-((x - off_mm) ** 2 + y**2) / (2 * sigma**2))
    return float(weight[np.hypot(x, y) <= radius].sum() / weight.sum())


@pytest.mark.parametrize("number", range(len(POSES)))
def test_verdict_when_free_of_fault_then_passes(number) -> None:
    result = measure(noisy(number))
    judged = {v for v in verdicts(result).values() if v is not Outcome.REPORT_ONLY}
    assert judged == {Outcome.PASS}
    assert {one.id: one.outcome for one in result.findings if one.severity != "info"} == {}
    assert acr.diagnose(result, ACR) == ()


def test_verdict_when_the_scanner_reads_20_per_cent_low_then_the_background_fails_and_says_so() -> None:
    result = measure(digital_acr.acr_pet(7.0, 0.05, calibration=0.8))
    assert verdicts(result)["acr_background_suv_mean"] is Outcome.FAIL
    assert verdicts(result)["acr_ratio_16_25"] is Outcome.PASS
    assert [one.id for one in acr.diagnose(result, ACR)] == ["PHA-CALIBRATION"]
    assert found(result)["acr_background_bias_pct"].value == pytest.approx(-20.0, abs=0.5)


def less_in(scan: digital.DigitalScan, diameters: tuple[int, ...], share: float) -> PetVolume:
    """Return the image with only a share of what some hot cylinders add to the background."""
    z, y, x = np.meshgrid(*(np.arange(n) for n in scan.volume.image.shape), indexing="ij")
    at = scan.volume.to_lps_mm(np.stack([z, y, x], axis=-1).astype(float))
    image = scan.volume.image.astype(float)
    for diameter in diameters:
        place = np.array(scan.truth["inserts"][f"{diameter}"])
        near = np.hypot(*(at[..., :2] - place[:2]).transpose(3, 0, 1, 2)) < 18
        image = np.where(near & (image > 4000), 4000 + (image - 4000) * share, image)
    return PetVolume(image.astype(np.float32), scan.volume.affine_lps_mm, "Bq/mL")


def test_verdict_when_the_smaller_cylinders_recover_half_then_the_ratio_fails(plain) -> None:
    result = measure(plain, less_in(plain, (16, 12, 8), 0.45))
    # (1 + 0.45 · 1.5 · 0.97) / 2.5 = 0.66
    assert found(result)["acr_ratio_16_25"].value == pytest.approx(0.66, abs=0.01)
    assert verdicts(result)["acr_ratio_16_25"] is Outcome.FAIL
    assert [one.id for one in acr.diagnose(result, ACR)] == ["PHA-FILTER"]


def test_find_acr_when_the_16_mm_cylinder_holds_less_than_the_12_mm_one_then_does_not_swap_them(plain) -> None:
    with pytest.raises(AnalysisRefused, match="do not get smaller one after another"):
        find_acr(less_in(plain, (16,), 0.45))


def test_suv_when_the_headers_give_none_then_comes_from_the_sheet_and_is_said(plain) -> None:
    result = measure(plain, suv_factor=None)
    assert found(result)["acr_background_suv_mean"].value == pytest.approx(1.0, abs=2e-3)
    assert "PHA-SUV" in {one.id for one in result.findings if one.outcome is Outcome.WARN}


def test_suv_when_the_headers_dose_is_a_placeholder_then_is_not_used(plain) -> None:
    sheet = Sheet.parse({**(plain.sheet or {}), "header_dose": "placeholder"})
    result = measure(plain, sheet=sheet, suv_factor=3 * header_factor(plain))
    assert found(result)["acr_background_suv_mean"].value == pytest.approx(1.0, abs=2e-3)


def test_suv_when_neither_headers_nor_sheet_give_it_then_is_missing_and_the_ratio_stays(plain) -> None:
    result = measure(plain, sheet=None, suv_factor=None)
    numbers = found(result)
    assert numbers["acr_background_suv_mean"].value is None
    assert QualityFlag.NO_SUV in numbers["acr_background_suv_mean"].flags
    assert verdicts(result)["acr_background_suv_mean"] is Outcome.NOT_EVALUABLE
    assert numbers["acr_ratio_16_25"].value == pytest.approx(0.99, abs=0.02)


def test_suv_when_headers_and_sheet_disagree_then_warns(plain) -> None:
    result = measure(plain, suv_factor=1.12 * header_factor(plain))
    (finding,) = (one for one in result.findings if one.id == "PHA-SUV")
    assert (finding.outcome, finding.severity) == (Outcome.WARN, "query")


def test_background_uncertainty_when_noisy_then_is_the_fill_and_the_noise() -> None:
    scan = noisy(0)
    numbers = found(measure(scan))
    # Independent voxels: three slices of 80 mm radius over the noise's correlation volume (2 sqrt(pi) sigma)^3.
    sigma = 7.0 * digital.SIGMA_PER_FWHM
    noise = 0.1 / math.sqrt(math.pi * 80**2 * 30 / (2 * math.sqrt(math.pi) * sigma) ** 3)
    fill = math.sqrt(3.0**2 + 1.0**2 + 0.5**2 + 0.6315**2) / 100
    assert numbers["acr_background_suv_mean"].value == pytest.approx(1.0, abs=4 * noise)
    assert numbers["acr_background_suv_mean"].uncertainty == pytest.approx(math.hypot(fill, noise), rel=0.02)
    assert numbers["acr_background_bqml"].uncertainty == pytest.approx(4000 * noise, rel=0.3)


def test_background_uncertainty_when_there_is_no_sheet_then_is_not_stated(plain) -> None:
    assert found(measure(plain, sheet=None))["acr_background_suv_mean"].uncertainty is None


def test_cold_when_air_reads_more_than_water_then_warns() -> None:
    scan = digital_acr.acr_pet(7.0, 0.05, cold_fractions={"water": 0.1, "air": 0.25, "bone": 0.1})
    (finding,) = (one for one in measure(scan).findings if one.id == "PHA-SCATTER")
    assert finding.outcome is Outcome.WARN
    assert "PHA-SCATTER" not in {one.id for one in measure(noisy(0)).findings}


def test_cold_when_the_ring_has_another_order_then_no_name_is_guessed(plain) -> None:
    place = find_acr(plain.volume)
    result = measure(plain, pose=replace(place, cold={}))
    assert found(result)["acr_air_suv_min"].value is None
    assert QualityFlag.NOT_LOCALISED in found(result)["acr_air_suv_min"].flags


def test_uniformity_when_one_slice_is_low_then_is_found(plain) -> None:
    scan = plain
    result = measure(scan)
    # The slice of 1 cm five centimetres below the middle of the cylinders reads 6 % less.
    height = scan.truth["inserts"]["25"][2] - 50.0
    z = scan.volume.affine_lps_mm[2, 3] + 2.0 * np.arange(scan.volume.image.shape[0])
    image = scan.volume.image * np.where(np.abs(z - height) < 4.1, 0.94, 1.0)[:, None, None].astype(np.float32)
    low = measure(scan, replace(scan.volume, image=image))
    assert found(result)["acr_slice_deviation_max_pct"].value < 0.2
    # Of three slices the middle one keeps 6 % of 8 to 10 mm; their mean falls by a third of it.
    assert 2.5 < found(low)["acr_slice_deviation_max_pct"].value < 4.1


def test_finding_when_the_rods_are_missing_then_warns(plain) -> None:
    result = measure(digital_acr.acr_pet(7.0, 0.05, has_rods=False))
    assert "PHA-RODS" in {one.id for one in result.findings}
    assert not result.is_rods.any()
    assert measure(plain).is_rods.sum() == 7


def test_finding_when_the_smallest_cylinder_drowns_then_its_number_is_missing_not_guessed(plain) -> None:
    place = find_acr(plain.volume)
    hot = {diameter: at for diameter, at in place.hot.items() if diameter != 8}
    result = measure(plain, pose=replace(place, hot=hot))
    assert found(result)["acr_cylinder_8mm_suv_max"].value is None
    assert "PHA-UNSEEN" in {one.id for one in result.findings}


def test_suv_when_the_image_is_in_counts_and_the_headers_give_none_then_the_sheet_gives_none_either(plain) -> None:
    counts = PetVolume(plain.volume.image, plain.volume.affine_lps_mm, "CNTS")
    numbers = found(measure(plain, counts, suv_factor=None))
    for name in ("acr_background_suv_mean", "acr_cylinder_25mm_suv_max", "acr_background_bqml"):
        assert numbers[name].value is None, name
    assert QualityFlag.NO_SUV in numbers["acr_background_suv_mean"].flags
    assert QualityFlag.OTHER_UNITS in numbers["acr_background_bqml"].flags
    assert numbers["acr_ratio_16_25"].value is not None
