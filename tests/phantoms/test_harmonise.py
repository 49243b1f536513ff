"""The post-filter that brings a phantom into an edition: against the whole image filtered, and what Gaussians do."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from scipy import ndimage

from phantoms import digital, figures, findings, harmonise, rois, standards
from phantoms.diagnosis import diagnose
from phantoms.harmonise import FilterCurves, Help
from phantoms.metrics import isocontour
from phantoms.nema_iq import NemaIqResult, measure, without_filter
from phantoms.results import Measurement, Outcome, Owner, QualityFlag, worst
from phantoms.sheet import Sheet
from phantoms.spheres import SearchBox
from phantoms.volume import PetVolume

GRID: dict[str, Any] = {"shape_zyx": (90, 115, 115), "spacing_zyx_mm": (2.5, 3.2, 3.2)}
DIAMETERS = (37, 28, 22, 17, 13, 10)
EARL_1, EARL_2 = standards.load("earl1_18f"), standards.load("earl2_18f")
FWHM_PER_SIGMA = np.sqrt(8 * np.log(2))
NARROWEST = "harmonisation_filter_earl1_fwhm_mm"


def run(scan: digital.DigitalScan, **more: Any) -> NemaIqResult:
    return measure(scan.volume, reference_time=scan.truth["reference_time"], sheet=Sheet.parse(scan.sheet), **more)


def by_name(result: NemaIqResult) -> dict[str, Measurement]:
    return {one.name: one for one in result.measurements}


def whole_image_filtered(volume: PetVolume, fwhm_mm: float) -> PetVolume:
    """The reference: the field's own filter on every voxel, width in mm along each axis."""
    sigma = [fwhm_mm / FWHM_PER_SIGMA / step for step in volume.spacing_zyx_mm]
    return replace(volume, image=ndimage.gaussian_filter(volume.image, sigma, mode="reflect", truncate=4.0))


@pytest.fixture(scope="module")
def sharp() -> digital.DigitalScan:
    return digital.nema_iq(fwhm_mm=5.0, cov=0.0, **GRID)


@pytest.fixture(scope="module")
def sharp_result(sharp: digital.DigitalScan) -> NemaIqResult:
    return run(sharp)


# --- the filter itself ------------------------------------------------------------------------


@pytest.mark.parametrize("fwhm_mm", [0.0, 0.3, 2.0, 6.2, 12.0])
def test_curves_when_the_grid_is_anisotropic_then_they_equal_the_whole_image_filtered_in_mm(fwhm_mm: float) -> None:
    # Noise on steps of 5, 1.7 and 2.9 mm; one sphere lies at the edge, where the image is reflected.
    rng = np.random.default_rng(3)
    image = rng.gamma(4.0, 50.0, (24, 60, 44)).astype(np.float32)
    volume = PetVolume(image, np.diag([2.9, 1.7, 5.0, 1.0]), "Bq/mL")
    corners = {37: (slice(0, 9), slice(2, 20), slice(0, 12)), 10: (slice(10, 14), slice(30, 41), slice(20, 27))}
    boxes = {}
    for diameter, cut in corners.items():
        shape = image[cut].shape
        boxes[diameter] = SearchBox(cut, rng.random(shape) < 0.8, is_whole=True)
    regions = [rois.circle(volume, at, 9.0) for at in ((60.0, 50.0, 40.0), (90.0, 70.0, 40.0), (60.0, 60.0, 75.0))]
    curves = harmonise.filter_curves(volume, boxes, regions, true_sphere=200.0, ratio=4.0)
    at = int(np.argmin(np.abs(curves.fwhm_mm - fwhm_mm)))
    assert curves.fwhm_mm[at] == pytest.approx(fwhm_mm)
    filtered = whole_image_filtered(volume, fwhm_mm).image
    moments = np.array([region.moments(filtered) for region in regions])
    background = moments[:, 0].mean()
    # float32 sums of some hundred products: 1e-5.
    cov_pct = 100 * np.sqrt(moments[:, 1].mean() + moments[:, 0].var()) / background
    assert curves.cov_pct[at] == pytest.approx(cov_pct, rel=1e-4)
    for diameter, box in boxes.items():
        hottest, a50 = isocontour(filtered[box.slices], box.inside, background)
        assert curves.recovery[f"sphere_{diameter}mm_rc_max"][at] == pytest.approx(hottest / 200, rel=1e-5)
        assert curves.recovery[f"sphere_{diameter}mm_rc_a50"][at] == pytest.approx(a50 / 200, rel=1e-5)
        contrast = (hottest / background - 1) / 3
        assert curves.recovery[f"sphere_{diameter}mm_crc_max"][at] == pytest.approx(contrast, rel=1e-4, abs=1e-5)
        assert curves.recovery[f"sphere_{diameter}mm_relative_rc_max"][at] == pytest.approx(
            hottest / background / 4, rel=1e-5
        )


def test_curves_when_a_gaussian_meets_a_gaussian_then_their_squares_add(sharp_result: NemaIqResult) -> None:
    # The 5 mm image behind 6.2 mm is the image of √(5² + 6.2²) = 7.96 mm, drawn and measured for itself.
    target = by_name(run(digital.nema_iq(fwhm_mm=float(np.hypot(5.0, 6.2)), cov=0.0, **GRID)))
    curves = sharp_result.filter_curves
    assert curves is not None
    for d in DIAMETERS:
        # Point samples of both: the sampled kernel differs by exp(−2π²σ²) with σ of 0.8 voxels, far under 0.002; A50
        # is a mean of whole voxels, and one voxel on the threshold of the 10 mm sphere's thirty moves it by 0.01.
        assert curves.recovery[f"sphere_{d}mm_rc_max"][62] == pytest.approx(
            target[f"sphere_{d}mm_rc_max"].value, abs=0.002
        )
        assert curves.recovery[f"sphere_{d}mm_rc_a50"][62] == pytest.approx(
            target[f"sphere_{d}mm_rc_a50"].value, abs=0.01
        )


# --- the whole search -------------------------------------------------------------------------


def test_measure_when_the_image_is_of_5_mm_then_earl_1_wants_what_the_model_wants(sharp_result: NemaIqResult) -> None:
    # EARL 1 holds from 7.15 to 9.3 mm by the analytic model, and 8 mm is well inside: √(8² − 5²) = 6.24.
    found = by_name(sharp_result)
    narrowest, widest = found[NARROWEST].value, found["harmonisation_filter_earl1_widest_mm"].value
    assert narrowest is not None
    assert widest is not None
    assert narrowest < np.sqrt(8.0**2 - 5.0**2) < widest
    # The ends in blur, by what the sampling of the 10 mm sphere leaves open: its hottest voxel may read 0.04 lower on
    # this grid than in the model, which is 0.4 mm of blur.
    assert np.hypot(5.0, narrowest) == pytest.approx(7.3, abs=0.4)
    assert np.hypot(5.0, widest) == pytest.approx(9.3, abs=0.4)
    margin = found["harmonisation_filter_earl1_margin"].value
    assert margin is not None
    assert 0 <= margin < 0.02  # the first step inside leaves hardly anything


def test_measure_when_the_proposed_filter_is_really_applied_then_every_recovery_is_inside(
    sharp: digital.DigitalScan, sharp_result: NemaIqResult
) -> None:
    narrowest = by_name(sharp_result)[NARROWEST].value
    assert narrowest is not None
    for fwhm_mm, expected in ((narrowest, Outcome.PASS), (narrowest - 0.1, Outcome.FAIL)):
        scan = replace(sharp, volume=whole_image_filtered(sharp.volume, fwhm_mm))
        judged = standards.judge(run(scan, pose=sharp_result.pose).measurements, EARL_1)
        assert worst(one.verdict for one in judged if one.name.startswith("sphere_")) is expected


def test_measure_when_the_phantom_lies_half_a_voxel_away_then_the_model_filter_still_fits(
    sharp_result: NemaIqResult,
) -> None:
    moved = by_name(run(digital.nema_iq(fwhm_mm=5.0, cov=0.0, shift_mm=(1.6, 1.6, 1.25), **GRID)))
    low, high = moved[NARROWEST].value, moved["harmonisation_filter_earl1_widest_mm"].value
    assert low is not None
    assert high is not None
    assert low < np.sqrt(8.0**2 - 5.0**2) < high
    # 0.04 in the hottest voxel of the 10 mm sphere is 0.4 mm of blur, or 0.4 · 7.3 / 5.3 of the filter.
    assert low == pytest.approx(by_name(sharp_result)[NARROWEST].value, abs=0.6)


def test_measure_when_the_image_is_inside_already_then_no_filter_is_needed() -> None:
    result = run(digital.nema_iq(fwhm_mm=8.0, cov=0.0, **GRID))
    found = by_name(result)
    assert found[NARROWEST].value == 0.0
    assert (
        found[NARROWEST].flags
        is Sheet.parse(digital.nema_iq(**GRID).sheet).concentration_bqml("spheres", digital.SCANNED_AT)[1]
        | QualityFlag.SEARCH_END
    )
    second = found["harmonisation_filter_earl2_fwhm_mm"]
    assert second.value is None
    assert QualityFlag.FILTER_CANNOT_HELP in second.flags
    (said,) = (one for one in result.findings if one.id == "PHA-HARMONISE")
    assert said.outcome is Outcome.PASS
    assert said.severity == "info"
    assert "EARL 1 needs no post-filter" in said.message
    assert "EARL 2: filtering cannot help: recovery is below the band before any filter" in said.message


def test_measure_when_the_calibration_is_off_then_no_filter_is_proposed(sharp: digital.DigitalScan) -> None:
    result = run(replace(sharp, volume=replace(sharp.volume, image=sharp.volume.image * np.float32(0.8))))
    assert {one.help for one in result.filter_advice} == {Help.CALIBRATION_FIRST}
    assert QualityFlag.FILTER_CANNOT_HELP in by_name(result)[NARROWEST].flags


def test_measure_when_the_phantom_is_filled_4_to_1_then_recoveries_stand_and_no_filter_does() -> None:
    # EARL's bands are for 10 to 1: a 4 to 1 fill lifts every A50 by (1 − c)(1/4 − 1/10), c being what contrast is left.
    result = run(digital.nema_iq(fwhm_mm=5.0, cov=0.0, ratio=4.0, **GRID))
    found = by_name(result)
    assert found["activity_ratio"].value == pytest.approx(4.0)
    assert found["sphere_10mm_rc_a50"].value is not None
    for name in (NARROWEST, "harmonisation_filter_earl2_widest_mm", "harmonisation_filter_earl1_margin"):
        assert found[name].value is None
        assert QualityFlag.FILTER_CANNOT_HELP in found[name].flags
    assert {one.help for one in result.filter_advice} == {Help.PRECHECK_FIRST}
    (said,) = (one for one in result.findings if one.id == "PHA-HARMONISE")
    assert "EARL 1: no post-filter is proposed: the phantom is filled 4.0 to 1 and the bands are" in said.message
    assert "Fill the phantom again" in said.next_step
    assert said.owner is Owner.SITE
    assert "brings every recovery" not in said.message
    assert "post_filter" not in figures.nema_iq_figures(
        digital.nema_iq(fwhm_mm=5.0, cov=0.0, ratio=4.0, **GRID).volume, result, EARL_1
    )
    # What the site is told about the blur sends it to fill again, and to no filter.
    steps = " ".join(one.next_step for one in diagnose(result, EARL_1) if one.id == "PHA-FILTER")
    assert "post-filter" not in steps


@pytest.mark.parametrize(
    ("ratio", "is_held"), [(7.99, True), (8.0, False), (12.0, False), (12.01, True), (None, False)]
)
def test_advise_when_the_ratio_leaves_what_the_edition_accepts_then_no_filter_is_proposed(
    ratio: float | None, is_held: bool
) -> None:
    curves = FilterCurves(STEPS, {name: np.full(121, 0.5) for name in EARL_1.limits if "_rc_" in name}, np.full(121, 9))
    one = harmonise.advise(curves, EARL_1, ratio=ratio)
    assert one is not None
    assert (one.help is Help.PRECHECK_FIRST) is is_held
    assert bool(one.failed) is is_held


@pytest.mark.parametrize("code", ["PHA-CT-BUBBLE", "PHA-CT-WATER"])
def test_hold_back_when_the_ct_names_air_or_water_then_only_the_filter_goes(
    sharp_result: NemaIqResult, code: str
) -> None:
    seen = findings.warning(code, "", "", "", "Fill the 22 mm sphere again.")
    held = without_filter(sharp_result, harmonise.prechecks_failed([seen]))
    changed = {new.name for old, new in zip(sharp_result.measurements, held.measurements, strict=True) if old != new}
    assert NARROWEST in changed
    assert all(name.startswith("harmonisation_filter_") for name in changed)
    (said,) = (one for one in held.findings if one.id == "PHA-HARMONISE")
    assert said.next_step == "Fill the 22 mm sphere again."
    assert without_filter(sharp_result, harmonise.prechecks_failed([findings.no_ct()])) is sharp_result


@pytest.mark.parametrize(
    ("drawn", "sheet_ratio", "is_held"),
    [
        # The images hold 4 to 1, for a strong background, and the sheet says 10.
        ({"ratio": 4.0}, 10.0, True),
        # The images hold 10 to 1, and by the sheet the background is 9 % off: recoveries are those of the spheres.
        ({"ratio": 10.0}, 9.1, False),
    ],
)
def test_measure_when_a_fill_is_not_what_the_sheet_says_then_no_filter_makes_up_for_it(
    drawn: dict[str, float], sheet_ratio: float, *, is_held: bool
) -> None:
    scan = digital.nema_iq(fwhm_mm=5.0, cov=0.03, seed=2, **drawn, **GRID)
    sheet = copy.deepcopy(scan.sheet)
    (background,) = (fill for fill in sheet["fills"] if fill["what"] == "background")
    background["volume_ml"] *= sheet_ratio / drawn["ratio"]
    result = run(replace(scan, sheet=sheet))
    assert "PHA-FILL" in {one.id for one in diagnose(result, EARL_1)}
    found = by_name(result)
    assert found["activity_ratio"].value == pytest.approx(sheet_ratio, rel=2e-3)
    assert found["sphere_10mm_rc_a50"].value is not None
    assert (found[NARROWEST].value is None) is is_held
    (said,) = (one for one in result.findings if one.id == "PHA-HARMONISE")
    assert ("one fill is not what the sheet says" in said.message) is is_held


def test_measure_when_a_sphere_holds_air_then_its_recovery_stands_and_no_filter_does() -> None:
    air = digital.SphereFaults(bubble_pct={22: 30.0})
    result = run(digital.nema_iq(fwhm_mm=5.0, cov=0.03, seed=2, sphere_faults=air, **GRID))
    assert "PHA-BUBBLE" in {one.id for one in result.findings}
    found = by_name(result)
    assert found["sphere_22mm_rc_a50"].value is not None
    assert found[NARROWEST].value is None
    (said,) = (one for one in result.findings if one.id == "PHA-HARMONISE")
    assert "no post-filter is proposed: a sphere holds air" in said.message
    assert "Fill the 22 mm sphere again" in said.next_step


@pytest.mark.parametrize("why", ["cut", "no sheet", "no unit", "SUV"])
def test_measure_when_recovery_is_not_known_then_the_filter_says_why(sharp: digital.DigitalScan, why: str) -> None:
    scan, sheet = sharp, Sheet.parse(sharp.sheet)
    flag = {"cut": "OUTSIDE_IMAGE", "no sheet": "NO_SHEET", "no unit": "NO_UNITS", "SUV": "OTHER_UNITS"}[why]
    if why == "cut":
        top = int(sharp.volume.to_index_zyx(np.array(sharp.truth["center_lps_mm"]))[0]) + 6
        scan = replace(sharp, volume=replace(sharp.volume, image=sharp.volume.image[:top]))
    if why in {"no unit", "SUV"}:
        scan = replace(sharp, volume=replace(sharp.volume, unit="1" if why == "no unit" else "g/mL"))
    result = measure(
        scan.volume, reference_time=scan.truth["reference_time"], sheet=None if why == "no sheet" else sheet
    )
    for name in (NARROWEST, "harmonisation_filter_earl2_widest_mm", "harmonisation_filter_earl1_margin"):
        assert by_name(result)[name].value is None
        assert QualityFlag[flag] in by_name(result)[name].flags
        assert QualityFlag.FILTER_CANNOT_HELP not in by_name(result)[name].flags
    assert result.filter_advice == ()
    said = [one.message for one in result.findings if one.id == "PHA-HARMONISE"]
    assert [words.partition(":")[0] for words in said] == (
        ["No post-filter is proposed"] if why in {"no unit", "SUV"} else []
    )


# --- the choice, on drawn curves --------------------------------------------------------------

STEPS = np.round(np.arange(121) * 0.1, 6)


def edition(**bands: Any) -> standards.Standard:
    limits = {f"sphere_22mm_{name}": band for name, band in bands.items() if name != "cov"}
    group = {"unit": "1", "provenance": "C", "source": "drawn", "what": "drawn"}
    groups = [{**group, "limits": limits}]
    if "cov" in bands:
        groups.append({**group, "unit": "%", "limits": {"background_cov_pct": [None, bands["cov"]]}})
    content = {
        "id": "drawn",
        "title": "Drawn",
        "edition": "1",
        "effective_from": None,
        "effective_to": None,
        "citation": "drawn",
    }
    return standards.parse("drawn", content | {"groups": groups})


def falling(a50: float = 1.0, highest: float = 1.2, peak: float = 1.1, cov_pct: float = 10.0) -> FilterCurves:
    """Recoveries that fall by 0.05 a millimetre, noise by 1 % a millimetre."""
    found = {"a50": a50, "max": highest, "peak": peak}
    recovery = {f"sphere_22mm_{kind}_{m}": v - 0.05 * STEPS for m, v in found.items() for kind in ("rc", "crc")}
    return FilterCurves(STEPS, recovery, cov_pct - STEPS)


def test_advise_when_a_run_is_inside_then_it_gives_its_ends_and_the_margin_at_the_first() -> None:
    one = harmonise.advise(falling(), edition(rc_a50=[0.6, 0.9], rc_max=[0.85, 1.5]))
    assert one is not None
    assert one.help is Help.FILTER
    # A50 enters 0.9 at 2 mm; the hottest voxel leaves 0.85 at 7 mm, before A50 leaves 0.6 at 8.
    assert one.fwhm_mm == pytest.approx(2.0, abs=0.1001)
    assert one.widest_mm == pytest.approx(7.0, abs=0.1001)
    assert one.margin == pytest.approx(0.0, abs=0.0051)
    assert one.limiting == "sphere_22mm_rc_a50"
    assert one.cov_pct == pytest.approx(10 - one.fwhm_mm)
    assert "a post-filter of 2." in harmonise.sentence(one)
    assert "√(g² + 2." in harmonise.next_step(one)
    assert "send that series" in harmonise.next_step(one)


def test_advise_when_recovery_is_below_a_band_then_filtering_cannot_help() -> None:
    one = harmonise.advise(falling(a50=0.5), edition(rc_a50=[0.6, 0.9], rc_max=[0.5, 1.0]))
    assert one is not None
    assert (one.help, one.fwhm_mm, one.widest_mm, one.best_mm) == (Help.BELOW_BAND, None, None, 0.0)
    assert one.margin == pytest.approx(-0.1)
    assert "filtering cannot help" in harmonise.sentence(one)
    assert "narrower post-filter" in harmonise.next_step(one)


def test_advise_when_no_filter_fits_then_it_names_the_nearest_and_what_limits_it() -> None:
    # A50 is inside from 4 mm on, the hottest voxel until 2 mm: the squares are least half way.
    one = harmonise.advise(falling(), edition(rc_a50=[0.3, 0.8], rc_max=[1.1, 1.5]))
    assert one is not None
    assert (one.help, one.fwhm_mm) == (Help.NO_FILTER_FITS, None)
    assert one.best_mm == pytest.approx(3.0, abs=0.1001)
    assert one.margin == pytest.approx(-0.05, abs=0.0051)


@pytest.mark.parametrize(("native_pct", "expected"), [(15.0, Help.FILTER), (15.1, Help.TOO_NOISY)])
def test_advise_when_the_noise_is_over_its_limit_before_any_filter_then_none_is_proposed(
    native_pct: float, expected: Help
) -> None:
    one = harmonise.advise(falling(cov_pct=native_pct), edition(rc_a50=[0.6, 0.9], cov=15.0))
    assert one is not None
    assert one.help is expected
    assert (one.fwhm_mm is None) is (expected is Help.TOO_NOISY)


@pytest.mark.parametrize(("biases", "is_off"), [((12.0, 11.0), True), ((12.0, -11.0), False), ((12.0, 9.0), False)])
def test_advise_when_spheres_and_background_are_off_alike_then_the_calibration_comes_first(
    biases: tuple[float, float], is_off: bool
) -> None:
    curves = FilterCurves(STEPS, {name: np.full(121, 0.5) for name in EARL_1.limits if "_rc_" in name}, np.full(121, 9))
    one = harmonise.advise(curves, EARL_1, biases_pct=biases)
    assert one is not None
    assert (one.help is Help.CALIBRATION_FIRST) is is_off


# --- editions are files -----------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder of standards with EARL 1 in it, and room for more."""
    (tmp_path / "earl1_18f.yaml").write_bytes((standards.FOLDER / "earl1_18f.yaml").read_bytes())
    monkeypatch.setattr(standards, "FOLDER", tmp_path)
    standards.load.cache_clear()
    yield tmp_path
    standards.load.cache_clear()


def write(folder: Path, name: str, metric: str, limits: dict[int, tuple[float, float]], **more: Any) -> None:
    content = {
        "id": name,
        "title": name.replace("_", " ").capitalize(),
        "edition": "drawn for a test",
        "effective_from": None,
        "effective_to": None,
        "citation": "none",
        "groups": [
            {
                "what": metric,
                "unit": "1",
                "provenance": "C",
                "source": "drawn",
                "limits": {f"sphere_{d}mm_{metric}": list(band) for d, band in limits.items()},
                **more,
            }
        ],
    }
    (folder / f"{name}.yaml").write_text(yaml.safe_dump(content))


def test_measure_when_an_edition_limits_the_peak_then_the_filter_is_held_to_the_peak_too(
    folder: Path, sharp: digital.DigitalScan, sharp_result: NemaIqResult
) -> None:
    # The 13 mm peak is 0.505 at 8 mm of blur and 0.67 at 5.2 mm: this band is met from about 8 mm on.
    write(folder, "lab_peak", "rc_peak", {13: (0.2, 0.505)})
    result = run(sharp, pose=sharp_result.pose)
    found = by_name(result)
    narrowest = found["harmonisation_filter_lab_peak_fwhm_mm"].value
    assert narrowest is not None
    assert np.hypot(5.0, narrowest) == pytest.approx(8.0, abs=0.3)
    filtered = replace(sharp, volume=whole_image_filtered(sharp.volume, narrowest))
    assert result.filter_curves is not None
    behind = result.filter_curves.recovery["sphere_13mm_rc_peak"][round(narrowest / 0.1)]
    assert behind == pytest.approx(
        by_name(run(filtered, pose=sharp_result.pose))["sphere_13mm_rc_peak"].value, rel=1e-4
    )


def test_measure_when_an_edition_limits_contrast_recovery_then_it_judges_and_gets_its_filter_without_code(
    folder: Path, sharp: digital.DigitalScan, sharp_result: NemaIqResult
) -> None:
    bands = {13: (0.2, 0.6), 22: (0.5, 1.0)}
    for metric in ("a50", "max", "peak"):
        write(folder, f"contrast_{metric}", f"crc_{metric}", bands)
    # No times: contrast hangs on the ratio alone, and so does its filter.
    result = measure(sharp.volume, reference_time=None, sheet=Sheet.parse(sharp.sheet), pose=sharp_result.pose)
    found = by_name(result)
    for metric in ("a50", "max", "peak"):
        judged = {one.name: one for one in standards.judge(result.measurements, standards.load(f"contrast_{metric}"))}
        assert set(judged) == {f"sphere_{d}mm_crc_{metric}" for d in bands}
        for d, (low, high) in bands.items():
            one = judged[f"sphere_{d}mm_crc_{metric}"]
            assert one.value is not None
            assert one.verdict is (Outcome.PASS if low <= one.value <= high else Outcome.FAIL)
        assert found[f"harmonisation_filter_contrast_{metric}_fwhm_mm"].value is not None
    assert QualityFlag.NO_REFERENCE_TIME in found[NARROWEST].flags


def test_measure_when_an_edition_limits_another_number_of_a_sphere_then_it_gets_no_advice(
    folder: Path, sharp: digital.DigitalScan, sharp_result: NemaIqResult
) -> None:
    write(folder, "maker", "qh_pct", {13: (20.0, 100.0)}, unit="%")
    names = by_name(run(sharp, pose=sharp_result.pose))
    assert not [name for name in names if name.startswith("harmonisation_filter_maker")]
    assert NARROWEST in names


def test_measure_when_two_editions_share_their_first_word_then_their_filters_keep_two_names(
    folder: Path, sharp: digital.DigitalScan, sharp_result: NemaIqResult
) -> None:
    write(folder, "earl1_18f_next", "rc_a50", {22: (0.63, 0.78)})
    names = [one.name for one in run(sharp, pose=sharp_result.pose).measurements]
    assert len(names) == len(set(names))
    assert {NARROWEST, "harmonisation_filter_earl1_18f_next_fwhm_mm"} <= set(names)
