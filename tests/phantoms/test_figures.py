"""Report figures: drawn to size, the same bytes, with words, in the patient's own directions."""

from __future__ import annotations

import base64
import hashlib
import io
import re
import subprocess
import sys
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import numpy as np
import pytest
from PIL import Image

from phantoms import cylinder, digital, figures, localise, nema_iq, standards
from phantoms.figure_svg import FigureSvg
from phantoms.sheet import Sheet
from phantoms.sight import PhantomNotFound, Sight
from phantoms.spheres import DIAMETERS_MM
from phantoms.volume import PetVolume

SCANNED_AT = datetime(2026, 3, 2, 10, 30)
FAIL_COLOR, PASS_COLOR, BAND_COLOR = "#972614", "#237f71", "#d6e4f2"
EARL1 = standards.load("earl1_18f")

Drawn = dict[str, FigureSvg]


@dataclass(frozen=True)
class Measured:
    """A digital scan with the results of its method, with and without the activity sheet."""

    volume: PetVolume
    result: Any
    without_sheet: Any


@pytest.fixture(scope="module")
def cylinder_scan() -> Measured:
    scan = digital.uniform_cylinder(shape_zyx=(60, 96, 96), spacing_zyx_mm=(4.0, 4.0, 4.0), seed=1)

    def measure(sheet: Sheet | None) -> cylinder.CylinderResult:
        return cylinder.measure(scan.volume, reference_time=SCANNED_AT, sheet=sheet, suv_factor=None)

    return Measured(scan.volume, measure(Sheet.parse(scan.sheet)), measure(None))


@pytest.fixture(scope="module")
def nema_scan() -> Measured:
    scan = digital.nema_iq(fwhm_mm=8.0, cov=0.07, seed=2)

    def measure(sheet: Sheet | None) -> nema_iq.NemaIqResult:
        return nema_iq.measure(scan.volume, reference_time=SCANNED_AT, sheet=sheet)

    return Measured(scan.volume, measure(Sheet.parse(scan.sheet)), measure(None))


@pytest.fixture(scope="module")
def drawn(cylinder_scan: Measured, nema_scan: Measured) -> dict[str, Drawn]:
    return {
        "cylinder": figures.cylinder_figures(cylinder_scan.volume, cylinder_scan.result, EARL1),
        "nema_iq": figures.nema_iq_figures(nema_scan.volume, nema_scan.result, EARL1),
        "patient": figures.patient_figures(cylinder_scan.volume, 1e-4),
    }


def every(drawn: dict[str, Drawn]) -> dict[str, FigureSvg]:
    return {f"{method} {key}": figure for method, found in drawn.items() for key, figure in found.items()}


def pictures(figure: FigureSvg) -> list[np.ndarray]:
    found = re.findall(rb"data:image/png;base64,([^\"]+)", figure.svg)
    return [np.asarray(Image.open(io.BytesIO(base64.b64decode(one)))) for one in found]


def test_figures_when_a_method_is_drawn_then_all_its_pictures_are_there(drawn: dict[str, Drawn]) -> None:
    assert set(drawn["cylinder"]) == {
        "central_slice", "coronal", "slice_profile", "uniformity_map", "radial_profile", "edge_profile", "bias",
    }  # fmt: skip
    assert set(drawn["nema_iq"]) == {
        "central_slice", "coronal", "recovery_a50", "recovery_max", "contrast", "lung_profile",
        "contrast_recovery", "post_filter",
    }  # fmt: skip
    assert set(drawn["patient"]) == {"mip_coronal", "mip_sagittal"}


@pytest.mark.parametrize(
    ("name", "size_mm"),
    [
        ("nema_iq central_slice", (83, 83)),
        ("nema_iq coronal", (83, 83)),
        ("nema_iq recovery_a50", (83, 66)),
        ("nema_iq recovery_max", (83, 66)),
        ("nema_iq post_filter", (174, 90)),
        ("nema_iq contrast_recovery", (174, 60)),
        ("cylinder central_slice", (83, 83)),
        ("cylinder uniformity_map", (83, 70)),
        ("cylinder slice_profile", (174, 50)),
        ("cylinder radial_profile", (83, 60)),
        ("cylinder edge_profile", (83, 60)),
        ("cylinder bias", (174, 22)),
    ],
)
def test_figure_when_drawn_then_it_has_its_size_in_print(
    drawn: dict[str, Drawn], name: str, size_mm: tuple[float, float]
) -> None:
    assert every(drawn)[name].size_mm == pytest.approx(size_mm, abs=0.01)


def test_figures_when_drawn_then_each_fits_a_page_that_forbids_styles_scripts_and_foreign_files(
    drawn: dict[str, Drawn],
) -> None:
    for name, figure in every(drawn).items():
        svg = figure.svg.decode()
        assert "style" not in svg, name
        assert "<script" not in svg, name
        assert all(link.startswith(("#", "data:image/png")) for link in re.findall(r'href="([^"]*)"', svg)), name
        assert len(figure.svg) <= 60_000, (name, len(figure.svg))


def test_figures_when_drawn_then_words_say_what_is_seen_and_stand_in_the_file(drawn: dict[str, Drawn]) -> None:
    for name, figure in every(drawn).items():
        assert len(figure.alt) > 40, name
        assert len(figure.caption) > 20, name
        assert FigureSvg.read(figure.svg) == figure, name
        assert 'role="img"' in figure.svg.decode(), name
    for key, plane in (("central_slice", "Axial"), ("coronal", "Coronal")):
        for method in ("cylinder", "nema_iq"):
            alt = drawn[method][key].alt
            assert alt.startswith(plane)
            assert "kBq/mL (1.2 × the true" in alt


def test_window_when_the_image_reads_far_above_the_sheet_then_it_ends_above_what_is_read(
    cylinder_scan: Measured,
) -> None:
    # A window of the sheet's own concentration would be black from wall to wall, and a fault in it unseen.
    high = replace(cylinder_scan.result, expected_bqml=cylinder_scan.result.mean_bqml / 1.46)
    figure = figures.cylinder_figures(cylinder_scan.volume, high, EARL1)["central_slice"]
    assert "1.2 × what the cylinder reads" in figure.alt
    assert f"0 to {1.2e-3 * high.mean_bqml:.3g} kBq/mL" in figure.alt


def test_words_when_they_hold_markup_then_they_are_read_back_as_written() -> None:
    figure = FigureSvg.with_words('<svg width="72pt" height="36pt" xmlns="x"></svg>', "a < b & c", "“>”")
    assert FigureSvg.read(figure.svg) == figure
    assert figure.size_mm == pytest.approx((25.4, 12.7))


def test_svg_when_it_is_not_one_of_ours_then_reading_is_refused() -> None:
    with pytest.raises(ValueError, match="title"):
        FigureSvg.read(b"<svg></svg>")


def test_figures_when_drawn_twice_then_the_bytes_are_the_same(
    drawn: dict[str, Drawn], cylinder_scan: Measured, nema_scan: Measured
) -> None:
    assert figures.cylinder_figures(cylinder_scan.volume, cylinder_scan.result, EARL1) == drawn["cylinder"]
    assert figures.nema_iq_figures(nema_scan.volume, nema_scan.result, EARL1) == drawn["nema_iq"]


PROCESS = """
import sys, hashlib, numpy as np
from phantoms import figures
from phantoms.volume import PetVolume
image = np.arange(6 * 8 * 10, dtype=np.float32).reshape(6, 8, 10)
drawn = figures.patient_figures(PetVolume(image, np.diag([4.0, 4.0, 4.0, 1.0]), "Bq/mL"), 1e-2)
assert "matplotlib.pyplot" not in sys.modules
print(hashlib.sha256(b"".join(one.svg for one in drawn.values())).hexdigest())
"""


def test_figures_when_drawn_in_other_processes_then_the_bytes_are_the_same_without_pyplot() -> None:
    digests = {
        subprocess.run(
            [sys.executable, "-c", PROCESS], env={"PYTHONHASHSEED": seed, "PATH": ""}, capture_output=True, check=True
        ).stdout
        for seed in ("1", "2")
    }
    assert len(digests) == 1
    assert len(digests.pop().strip()) == len(hashlib.sha256().hexdigest())


def test_figures_when_drawn_then_letters_are_those_of_plex(drawn: dict[str, Drawn]) -> None:
    for name, figure in every(drawn).items():
        faces = set(re.findall(r'id="([A-Za-z]+)-Regular-', figure.svg.decode()))
        assert faces == {"IBMPlexSans"}, name


# --- directions -----------------------------------------------------------------------------------------------


def volume_with_hot_spot() -> PetVolume:
    """One hot voxel at the patient's right (−x), front (−y), near the head (+z), on a grid of 4 mm."""
    image = np.full((40, 30, 30), 100.0, dtype=np.float32)
    image[35, 4, 3] = 1e4
    return PetVolume(image, np.diag([4.0, 4.0, 4.0, 1.0]), "Bq/mL")


def turned(volume: PetVolume, order: tuple[int, int, int], flips: tuple[int, ...]) -> PetVolume:
    """Store the same patient with other index axes: ``order`` of (z, y, x), then ``flips`` of the new axes."""
    image = np.transpose(volume.image, order)
    affine = volume.affine_lps_mm.copy()
    affine[:, :3] = affine[:, [2 - order[2 - column] for column in range(3)]]
    for axis in flips:
        column = 2 - axis
        affine[:3, 3] += affine[:3, column] * (image.shape[axis] - 1)
        affine[:3, column] *= -1
        image = np.flip(image, axis)
    return PetVolume(np.ascontiguousarray(image), affine, volume.unit)


@pytest.mark.parametrize(
    ("order", "flips"),
    [((0, 1, 2), (0,)), ((0, 1, 2), (1, 2)), ((1, 0, 2), ()), ((2, 1, 0), (0, 2)), ((1, 2, 0), (1,))],
)
def test_projections_when_the_grid_is_stored_otherwise_then_the_picture_is_the_same(
    order: tuple[int, int, int], flips: tuple[int, ...]
) -> None:
    volume = volume_with_hot_spot()
    other = turned(volume, order, flips)
    spot = np.argwhere(other.image == other.image.max())[0].astype(float)
    assert other.to_lps_mm(spot) == pytest.approx([12.0, 16.0, 140.0]), "the test turns the grid, not the patient"
    assert figures.patient_figures(other, 1e-3) == figures.patient_figures(volume, 1e-3)


def test_projections_when_drawn_then_right_is_left_front_is_left_and_head_is_up() -> None:
    drawn = figures.patient_figures(volume_with_hot_spot(), 1e-3)
    coronal, sagittal = pictures(drawn["mip_coronal"])[0], pictures(drawn["mip_sagittal"])[0]
    assert np.unravel_index(coronal.argmin(), coronal.shape) == (4, 3)
    assert np.unravel_index(sagittal.argmin(), sagittal.shape) == (4, 4)


def test_sphere_plane_when_drawn_then_each_sphere_is_dark_where_its_circle_is(nema_scan: Measured) -> None:
    result = nema_scan.result
    picture = pictures(figures.nema_iq_figures(nema_scan.volume, result, EARL1)["central_slice"])[0].astype(float)
    rows, columns = picture.shape
    spacing = nema_scan.volume.spacing_zyx_mm
    for sphere in result.spheres[:4]:
        x, y = (sphere.center_lps_mm - result.pose.center_lps_mm)[:2]
        column, row = round(columns / 2 + x / spacing[2]), round(rows / 2 + y / spacing[1])
        assert picture[row - 1 : row + 2, column - 1 : column + 2].mean() < 100, sphere.diameter_mm
        mirrored = picture[row - 1 : row + 2, columns - column - 1 : columns - column + 2].mean()
        assert picture[row - 1 : row + 2, column - 1 : column + 2].mean() != pytest.approx(mirrored, abs=3)


def test_picture_when_drawn_then_no_value_is_made_up_between_voxels() -> None:
    stripes = np.zeros((12, 5, 60), dtype=np.float32)
    stripes[:, :, ::2] = 1000.0
    drawn = figures.patient_figures(PetVolume(stripes, np.diag([4.0, 4.0, 4.0, 1.0]), "Bq/mL"), 1e-3)
    coronal = pictures(drawn["mip_coronal"])[0]
    assert coronal.shape == (12, 60)
    assert len(np.unique(coronal[:, ::2])) == 1
    assert np.unique(coronal[:, 1::2]).tolist() == [255]


# --- verdicts, limits, what is missing ------------------------------------------------------------------------


def test_recovery_when_a_sphere_fails_then_its_mark_is_a_failing_one(
    drawn: dict[str, Drawn], nema_scan: Measured
) -> None:
    assert PASS_COLOR in drawn["nema_iq"]["recovery_a50"].svg.decode()
    assert FAIL_COLOR not in drawn["nema_iq"]["recovery_a50"].svg.decode()
    assert "0 of 6 fail" in drawn["nema_iq"]["recovery_a50"].alt
    earl2 = standards.load("earl2_18f")
    strict = figures.nema_iq_figures(nema_scan.volume, nema_scan.result, earl2)["recovery_a50"]
    failing = [
        d for d in DIAMETERS_MM
        for one in nema_scan.result.measurements
        if one.name == f"sphere_{d}mm_rc_a50" and not (limit := earl2.limits[one.name]).low <= one.value <= limit.high
    ]  # fmt: skip
    assert failing, "an image of 8 mm is smoother than EARL 2 allows"
    assert FAIL_COLOR in strict.svg.decode()
    assert f"{len(failing)} of 6 fail" in strict.alt


def test_recovery_when_two_editions_decide_then_each_has_its_band_and_its_marks_in_words(nema_scan: Measured) -> None:
    earl2 = standards.load("earl2_18f")
    for key in ("recovery_a50", "recovery_max"):
        alone = {
            one.id: figures.nema_iq_figures(nema_scan.volume, nema_scan.result, one)[key] for one in (EARL1, earl2)
        }
        both = figures.nema_iq_figures(nema_scan.volume, nema_scan.result, EARL1, earl2)[key]
        bands = [figure.svg.decode().count(BAND_COLOR) for figure in (*alone.values(), both)]
        assert bands[2] == bands[0] + bands[1] > 0
        for one in (EARL1, earl2):
            fails = re.search(r"\d of 6 fail", alone[one.id].alt)
            assert fails is not None
            assert f"{one.title}: {fails[0]}" in both.alt
        assert "Bands: what each edition accepts" in both.caption
        assert both.size_mm == pytest.approx((174, 66), abs=0.01)
        assert len(both.svg) <= 60_000


def test_recovery_when_the_other_edition_limits_no_sphere_then_one_band_is_drawn(nema_scan: Measured) -> None:
    cylinder_only = standards.load("acrin_cylinder")
    drawn_with = figures.nema_iq_figures(nema_scan.volume, nema_scan.result, cylinder_only, EARL1)["recovery_a50"]
    assert drawn_with.size_mm == pytest.approx((83, 66), abs=0.01)
    assert "0 of 6 fail" in drawn_with.alt


def test_contrast_figures_when_uncertainties_are_known_then_bars_stand_on_every_value(nema_scan: Measured) -> None:
    result = nema_scan.result
    bare = replace(result, measurements=tuple(replace(one, uncertainty=None) for one in result.measurements))
    for key in ("contrast_recovery", "contrast"):
        found = {
            name: figures.nema_iq_figures(nema_scan.volume, one, EARL1)[key]
            for name, one in {"with": result, "bare": bare}.items()
        }
        assert len(found["with"].svg) > len(found["bare"].svg)
    assert "± 2 SD" in figures.nema_iq_figures(nema_scan.volume, result, EARL1)["contrast"].caption
    assert "± 2 SD" not in figures.nema_iq_figures(nema_scan.volume, bare, EARL1)["contrast"].caption
    assert (
        "No edition sets a limit"
        in figures.nema_iq_figures(nema_scan.volume, result, EARL1)["contrast_recovery"].caption
    )


def test_recovery_when_no_standard_is_named_then_no_band_is_claimed(nema_scan: Measured) -> None:
    figure = figures.nema_iq_figures(nema_scan.volume, nema_scan.result, None)["recovery_a50"]
    assert "no band" in figure.alt
    assert "Band" not in figure.caption


def test_recovery_when_a_value_leaves_the_axis_then_it_is_still_drawn(nema_scan: Measured) -> None:
    result = nema_scan.result
    far = tuple(replace(one, value=3.21) if one.name == "sphere_37mm_rc_a50" else one for one in result.measurements)
    inside = figures.nema_iq_figures(nema_scan.volume, result, EARL1)["recovery_a50"].svg
    outside = figures.nema_iq_figures(nema_scan.volume, replace(result, measurements=far), EARL1)["recovery_a50"].svg
    assert FAIL_COLOR in outside.decode()
    assert outside != inside


def test_figures_when_the_true_value_is_unknown_then_the_scale_says_so_and_ratios_are_not_drawn(
    cylinder_scan: Measured, nema_scan: Measured
) -> None:
    without = figures.cylinder_figures(cylinder_scan.volume, cylinder_scan.without_sheet, EARL1)
    assert "bias" not in without
    assert "1.1 × the maximum" in without["central_slice"].alt
    spheres = figures.nema_iq_figures(nema_scan.volume, nema_scan.without_sheet, EARL1)
    assert not {"recovery_a50", "recovery_max", "contrast_recovery"} & set(spheres)
    assert "1.1 × the maximum" in spheres["central_slice"].alt


def test_projections_when_the_suv_is_refused_then_the_scale_is_in_the_images_own_unit() -> None:
    alt = figures.patient_figures(volume_with_hot_spot(), None)["mip_coronal"].alt
    assert "kBq/mL" in alt
    assert "SUV" not in alt


def test_projections_when_the_image_is_empty_then_they_are_drawn() -> None:
    empty = PetVolume(np.zeros((4, 5, 6), dtype=np.float32), np.diag([4.0, 4.0, 4.0, 1.0]), "1")
    assert set(figures.patient_figures(empty, None)) == {"mip_coronal", "mip_sagittal"}


def test_slice_profile_when_the_standard_limits_it_then_the_limit_is_drawn(
    drawn: dict[str, Drawn], cylinder_scan: Measured
) -> None:
    without = figures.cylinder_figures(cylinder_scan.volume, cylinder_scan.result)
    assert without["slice_profile"].svg != drawn["cylinder"]["slice_profile"].svg
    assert "accepted band" in drawn["cylinder"]["bias"].alt
    assert "accepted band" not in without["bias"].alt


# --- what a search saw that refused -----------------------------------------------------------


def seen_in(volume: PetVolume) -> Sight:
    with pytest.raises(PhantomNotFound) as refused:
        localise.find_nema_iq(volume)
    return refused.value.sight


def test_refusal_figures_when_places_were_weighed_then_each_is_drawn_round_its_spheres_over_the_outline() -> None:
    volume = digital.patient_like(seed=1).volume
    sight = seen_in(volume)
    assert sight.outline is not None
    assert len(sight.places) >= 2
    drawn = figures.refusal_figures(volume, sight)
    assert set(drawn) == {"central_slice", "coronal"}
    svg = drawn["central_slice"].svg.lower()
    # Six spheres of the nearest place in orange; the outline dashed in blue.
    assert svg.count(b'stroke="#d55e00"') == 6
    assert b'stroke="#1d4e89"' in svg
    assert b"stroke-dasharray" in svg
    for figure in drawn.values():
        assert b"style=" not in figure.svg
        assert figure.caption.startswith("Not found.")
        assert "orange: the place that came nearest" in figure.caption
    again = figures.refusal_figures(volume, sight)
    assert all(again[key].svg == drawn[key].svg for key in drawn)


def test_refusal_figures_when_no_cylinder_is_there_then_the_outline_of_what_is_there_is_drawn() -> None:
    volume = digital.nema_iq(shape_zyx=(60, 90, 90), spacing_zyx_mm=(4.0, 4.0, 4.0)).volume
    with pytest.raises(PhantomNotFound) as refused:
        localise.find_cylinder(volume)
    sight = refused.value.sight
    assert sight.outline is not None
    # The body with what it encloses: a half circle of 147 mm, two quarters of 77 mm and 140 mm between them, 190 mm
    # long. Half a voxel of outline all round is 4 %.
    litres = float(sight.outline.image.sum()) * np.prod(sight.outline.spacing_zyx_mm) / 1e6
    drawn_litres = (np.pi / 2 * (147**2 + 77**2) + 140 * 77) * 190 / 1e6
    assert litres == pytest.approx(drawn_litres, rel=0.04)
    assert b"stroke-dasharray" in figures.refusal_figures(volume, sight)["coronal"].svg


@pytest.mark.parametrize("image", [np.zeros((20, 30, 30), np.float32), np.full((20, 30, 30), -1.0, np.float32)])
def test_refusal_figures_when_nothing_stands_out_then_the_middle_of_the_image_is_shown(image: Any) -> None:
    volume = PetVolume(image, np.diag([4.0, 4.0, 4.0, 1.0]), "Bq/mL")
    for sight in (seen_in(volume), None):
        drawn = figures.refusal_figures(volume, sight)
        assert "the middle of the image" in drawn["central_slice"].alt


def test_figures_when_a_sphere_holds_air_and_the_background_drifts_then_each_has_its_picture() -> None:
    scan = digital.nema_iq(
        cov=0.05,
        sphere_faults=digital.SphereFaults(bubble_pct={28: 25.0}),
        axial_slope_pct_per_cm=-1.8,
        shape_zyx=(66, 92, 92),
        spacing_zyx_mm=(3.2, 3.4, 3.4),
    )
    result = nema_iq.measure(scan.volume, reference_time=None, sheet=None)
    found = figures.nema_iq_figures(scan.volume, result, EARL1)
    named = {one.id: one.evidence["figure"] for one in result.findings if "figure" in one.evidence}
    assert named == {"PHA-SLOPE": "background_profile", "PHA-BUBBLE": "odd_sphere"}
    assert found["odd_sphere"].size_mm == pytest.approx((174, 66), abs=0.01)
    assert re.search(r"28 mm sphere.* a cold cap of 2\d % .* anterior side", found["odd_sphere"].alt)
    assert "−1.8" in found["background_profile"].alt or "−1.7" in found["background_profile"].alt
    for figure in (found["odd_sphere"], found["background_profile"]):
        assert len(figure.svg) <= 60_000
        assert "style" not in figure.svg.decode()


def test_contrast_when_two_spheres_are_cold_then_their_contrast_is_drawn_apart_and_named() -> None:
    scan = digital.nema_iq(cov=0.02, cold_mm=(28, 37), shape_zyx=(60, 90, 90), spacing_zyx_mm=(3.5, 4.0, 4.0))
    result = nema_iq.measure(scan.volume, reference_time=SCANNED_AT, sheet=Sheet.parse(scan.sheet))
    drawn = figures.nema_iq_figures(scan.volume, result, EARL1)
    assert "cold contrast (dotted)" in drawn["contrast"].caption
    edge, spheres = (
        next(one.value for one in result.measurements if one.name == f"background_{what}_margin_mm")
        for what in ("edge", "sphere")
    )
    assert f"{edge:.0f} mm from the edge and {spheres:.0f} mm from the spheres" in drawn["central_slice"].caption


def test_radial_profile_when_rings_reach_the_wall_then_those_outside_the_region_are_told_apart(
    cylinder_scan: Measured, drawn: dict[str, Drawn]
) -> None:
    result = cylinder_scan.result
    rings = len(result.radial_r_mm)
    # The region ends 20 mm inside the wall, so the two rings of 10 mm next to it are beyond.
    assert f"Mean value in {rings} rings" in drawn["cylinder"]["radial_profile"].alt
    assert "The 2 outermost lie beyond the measured region" in drawn["cylinder"]["radial_profile"].alt
    assert "hollow: outside the measured region" in drawn["cylinder"]["radial_profile"].caption
