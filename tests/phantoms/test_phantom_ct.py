"""A sphere phantom's CT: air, water and the distance to the PET, against what was drawn."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from scipy.spatial.transform import Rotation

from phantoms import digital, digital_ct, figures, fill_line, localise, nema_iq, phantom_ct, sphere_walls
from phantoms.dicom_series import choose, list_files, read_scan
from phantoms.dicom_series.ct import choose_ct
from phantoms.errors import AnalysisRefused
from phantoms.results import Owner
from phantoms.volume import PetVolume
from qc.analysis import Request, analyse_files

SEEDS = range(10)
CENTER = (1.3, -2.1, 27.0)
SPHERES = {
    d: (CENTER[0] + 57.2 * np.cos(k * np.pi / 3), CENTER[1] + 57.2 * np.sin(k * np.pi / 3), CENTER[2])
    for k, d in enumerate(digital.SPHERE_DIAMETERS_MM)
}
WATER = [np.add(CENTER, (95 * np.cos(a), 92 * np.sin(a), 0.0)) for a in np.linspace(0, 2 * np.pi, 12, endpoint=False)]
AXIS = np.array([0.0, 0.0, 1.0])
PLACES = {d: np.array(at) for d, at in SPHERES.items()}
BANDS = phantom_ct.Bands.of()
# The whole body on slices as far apart as they are, so that it is drawn in a tenth of a second.
COARSE: dict[str, Any] = {"spacing_zyx_mm": (4.0, 1.6, 1.6), "shape_zyx": (22, 180, 200)}
WHOLE: dict[str, Any] = {"shape_zyx": (44, 200, 232), "spacing_zyx_mm": (5.0, 1.4, 1.4), "stack_mm": -27.0}


def measure(volume: PetVolume, places: dict[int, Any] = PLACES, **changed: Any) -> phantom_ct.CtResult:
    said: dict[str, Any] = {"filled_mm": digital_ct.ENDS_MM, "up": np.array([0.0, -1.0, 0.0]), "bands": BANDS}
    return phantom_ct.measure(volume, places, WATER, AXIS, **said | changed)


def measured(**drawn: Any) -> phantom_ct.CtResult:
    return measure(digital_ct.nema_iq_ct(SPHERES, **drawn))


def values(result: phantom_ct.CtResult) -> dict[str, Any]:
    return {one.name: one.value for one in result.measurements}


def codes(result: phantom_ct.CtResult) -> set[str]:
    return {one.id for one in result.findings}


def whole_by(seed: int) -> tuple[np.random.Generator, dict[str, Any]]:
    """Return the same of a CT that shows the whole body."""
    rng, drawn = drawn_by(seed)
    return rng, drawn | WHOLE | {"water_hu": rng.uniform(-4, 4)}


def drawn_by(seed: int) -> tuple[np.random.Generator, dict[str, Any]]:
    """Return a faultless CT's own: noise, slices, blur, an offset that is usual; only the spheres' part of the body."""
    rng = np.random.default_rng(seed)
    slice_mm = float(rng.choice([3.0, 4.0, 5.0]))
    return rng, {
        "noise_hu": rng.uniform(10, 30),
        "fwhm_mm": rng.uniform(1.2, 2.2),
        "spacing_zyx_mm": (slice_mm, 1.6, 1.6),
        "shape_zyx": (int(90 / slice_mm), 180, 200),
        "offset_mm": tuple(rng.uniform(-1.2, 1.2, 3)),
        "water_hu": rng.uniform(-4, 4),
        "seed": seed,
    }


@pytest.mark.parametrize(("offset_mm", "blue"), [((0.3, 0.2, 0.1), False), ((4.0, 0.0, 0.0), True)])
def test_picture_when_a_sphere_holds_air_then_it_says_which_and_where_the_pet_has_it(
    offset_mm: tuple[float, float, float], blue: bool
) -> None:
    volume = digital_ct.nema_iq_ct(SPHERES, bubble_pct={28: 20.0}, offset_mm=offset_mm, **COARSE)
    found = measure(volume)
    (name, figure), *more = figures.phantom_ct_figures(volume, found, PLACES, AXIS).items()
    assert name == "ct_spheres"
    assert not more
    assert "−200 to 400 HU" in figure.alt
    assert "air in 28 mm" in figure.alt
    assert ("Dashed blue" in figure.caption) is blue
    named = next(one for one in found.findings if one.id == "PHA-CT-BUBBLE")
    assert named.evidence["figure"] == name


@pytest.mark.parametrize("offset_mm", [(0.0, 0.0, 0.0), (3.3, -7.2, 4.9)])
def test_offset_when_there_is_no_noise_then_it_is_what_was_drawn(offset_mm: tuple[float, float, float]) -> None:
    found = measured(noise_hu=0.0, offset_mm=offset_mm)
    # A wall of 1 mm is fitted by the model that drew it, but for its blur: nothing displaces it.
    assert found.offset_lps_mm == pytest.approx(offset_mm, abs=0.05)
    assert values(found)["ct_offset_mm"] == pytest.approx(np.linalg.norm(offset_mm), abs=0.05)
    assert values(found)["ct_water_hu"] == pytest.approx(0.0, abs=0.1)


@pytest.mark.parametrize("seed", SEEDS)
def test_ct_when_nothing_is_wrong_then_nothing_is_named(seed: int) -> None:
    _, drawn = drawn_by(seed)
    found = measured(**drawn)
    assert codes(found) == set()
    assert found.offset_lps_mm == pytest.approx(drawn["offset_mm"], abs=0.2)
    assert values(found)["ct_water_hu"] == pytest.approx(drawn["water_hu"], abs=2.0)
    assert all(values(found)[f"sphere_{d}mm_ct_air_pct"] == 0.0 for d in SPHERES)


@pytest.mark.parametrize("seed", SEEDS)
def test_ct_when_a_sphere_holds_air_then_that_one_is_named(seed: int) -> None:
    rng, drawn = drawn_by(seed)
    diameter, share = int(rng.choice([37, 28, 22, 17, 13])), rng.uniform(8, 25)
    found = measured(**drawn, bubble_pct={diameter: share})
    assert codes(found) == {"PHA-CT-BUBBLE"}
    (said,) = found.findings
    assert said.evidence["diameter_mm"] == diameter
    # Half a voxel of the cap's edge on either side counts whole or not at all.
    assert values(found)[f"sphere_{diameter}mm_ct_air_pct"] == pytest.approx(share, abs=0.5 * share + 3)
    assert found.offset_lps_mm == pytest.approx(drawn["offset_mm"], abs=0.3)


@pytest.mark.parametrize("seed", SEEDS)
def test_ct_when_water_and_place_are_off_then_both_are_named(seed: int) -> None:
    rng, drawn = drawn_by(seed)
    sign = rng.choice([-1, 1])
    direction = rng.standard_normal(3)
    drawn |= {"water_hu": sign * rng.uniform(13, 35), "offset_mm": tuple(6 * direction / np.linalg.norm(direction))}
    found = measured(**drawn)
    assert codes(found) == {"PHA-CT-WATER", "PHA-CT-OFFSET"}
    assert values(found)["ct_water_hu"] == pytest.approx(drawn["water_hu"], abs=2.0)
    assert values(found)["ct_offset_mm"] == pytest.approx(6.0, abs=0.3)


def test_ct_when_one_sphere_holds_another_fluid_then_it_is_named() -> None:
    found = measured(fill_hu={28: 25.0})
    assert codes(found) == {"PHA-CT-WATER"}
    assert "28 mm sphere" in found.findings[0].observed
    assert values(found)["ct_water_hu"] == pytest.approx(0.0, abs=2.0)


@pytest.mark.parametrize("drawn", [{"offset_mm": (60.0, 0.0, 0.0)}, {"wall_mm": 0.0}], ids=["elsewhere", "no walls"])
def test_ct_when_the_walls_are_not_seen_then_it_is_refused(drawn: dict[str, Any]) -> None:
    with pytest.raises(AnalysisRefused, match="CT-NOT-FOUND"):
        measured(**drawn)


@pytest.mark.parametrize("seed", SEEDS)
def test_offset_when_it_is_beyond_the_search_then_no_offset_is_given_and_the_words_say_why(seed: int) -> None:
    rng = np.random.default_rng(seed)
    direction = rng.standard_normal(3) * (1, 1, 0.3)
    # 21 mm: the search ends at 16 mm along an axis, and the fit of a wall looks 4 mm further.
    far = rng.uniform(21, 45) * direction / np.abs(direction).max()
    with pytest.raises(AnalysisRefused, match="within 16 mm of their places in the PET"):
        sphere_walls.find(
            digital_ct.nema_iq_ct(SPHERES, offset_mm=tuple(far), **COARSE | {"shape_zyx": (36, 200, 220)}), PLACES
        )


def test_offset_when_the_ct_is_turned_too_then_the_turn_is_given() -> None:
    turn_deg, offset_mm = np.array([1.2, -0.8, 2.5]), np.array([1.0, -2.0, 1.5])
    turn = Rotation.from_rotvec(np.radians(turn_deg))
    places = {d: tuple(turn.apply(np.subtract(at, CENTER)) + CENTER + offset_mm) for d, at in SPHERES.items()}
    found = measure(digital_ct.nema_iq_ct(places, noise_hu=0.0), up=None)
    # A wall between pixels of 1.4 mm, of another blur than the one taken, is placed to a tenth of them: 0.14 mm, which
    # is 0.14° at the end of the ring's arms of 57.2 mm.
    assert [values(found)[f"ct_turn_{axis}_deg"] for axis in "xyz"] == pytest.approx(turn_deg, abs=0.14)
    assert found.offset_lps_mm == pytest.approx(offset_mm, abs=0.14)


@pytest.mark.parametrize("seed", SEEDS)
def test_offset_when_the_pet_places_spheres_wrongly_then_its_uncertainty_covers_that(seed: int) -> None:
    rng = np.random.default_rng(seed)
    volume = digital_ct.nema_iq_ct(SPHERES, **COARSE, seed=seed)
    match = sphere_walls.find(volume, {d: at + rng.normal(0, 0.3, 3) for d, at in PLACES.items()})
    assert match.turn_deg is not None
    assert match.turn_sd_deg is not None
    # Ten of ten within four of their own standard errors, which rest on nine and three numbers.
    assert np.all(np.abs(match.offset_lps_mm) < 4 * match.offset_sd_mm + 0.1)
    assert np.all(np.abs(match.turn_deg) < 6 * match.turn_sd_deg)


# --- what is too much ----------------------------------------------------------------------------


def test_finding_when_an_edition_has_other_limits_then_it_goes_by_those_and_no_number_moves() -> None:
    volume = digital_ct.nema_iq_ct(SPHERES, water_hu=15.0, bubble_pct={28: 10.0}, **COARSE)
    water = ("ct_water_hu", *(f"sphere_{d}mm_ct_hu" for d in SPHERES))
    wide = dict.fromkeys(water, (-20.0, 20.0)) | {"sphere_28mm_ct_min_hu": (-1100.0, None)}
    found = measure(volume, bands=phantom_ct.Bands(BANDS.by_name | wide))
    assert codes(found) == set()
    narrow = dict.fromkeys(water, (-12.0, 12.0)) | {"sphere_28mm_ct_min_hu": (-500.0, None)}
    also = measure(volume, bands=phantom_ct.Bands(BANDS.by_name | narrow))
    assert {one.id: one.expected for one in also.findings} == {
        "PHA-CT-BUBBLE": "from −500 HU",
        "PHA-CT-WATER": "−12 to 12 HU",
    }
    assert values(found) == values(also)


def test_bands_when_two_editions_decide_then_the_narrower_holds_and_none_gives_all() -> None:
    assert phantom_ct.Bands.of(["earl1_18f", "earl2_18f"]).by_name == BANDS.by_name
    assert phantom_ct.Bands.of(["acrin_cylinder"]).by_name == BANDS.by_name
    assert (BANDS.low("sphere_10mm_ct_min_hu"), BANDS.high("sphere_10mm_ct_min_hu")) == (-150.0, np.inf)
    assert (BANDS.low("ct_water_hu"), BANDS.high("ct_water_hu")) == (-10.0, 10.0)


# --- the fill of the body ------------------------------------------------------------------------


def filled(air: digital_ct.Air, **drawn: Any) -> fill_line.FillLine:
    volume = digital_ct.nema_iq_ct(SPHERES, air=air, **WHOLE | drawn)
    return fill_of(volume, noise_hu=drawn.get("noise_hu", 15.0))


def fill_of(
    volume: PetVolume, places: dict[int, Any] = PLACES, up: tuple[float, ...] = (0.0, -1.0, 0.0), noise_hu: float = 15.0
) -> fill_line.FillLine:
    said: dict[str, Any] = {"water_hu": 0.0, "noise_hu": noise_hu}
    found = fill_line.measure(volume, places, AXIS, digital_ct.ENDS_MM, np.array(up), **said)
    assert found is not None
    return found


@pytest.mark.parametrize(
    "air",
    [
        digital_ct.Air(height_mm=1.5),
        digital_ct.Air(height_mm=5.0),
        digital_ct.Air(height_mm=9.0, tilt_x_deg=1.5),
        digital_ct.Air(height_mm=12.0, tilt_x_deg=-1.0, tilt_z_deg=2.0),
    ],
    ids=["film", "level", "rolled", "both ways"],
)
def test_fill_when_there_is_no_noise_then_it_is_what_was_drawn(air: digital_ct.Air) -> None:
    found = filled(air, noise_hu=0.0)
    assert found.air_ml is not None
    assert found.height_mm is not None
    # A column is summed between two crossings, each read off a line between pixels 1.4 mm apart to a thirtieth of them.
    column_mm = 2 * 1.4 / 30
    width_mm = 2 * np.sqrt(2 * 147.0 * found.height_mm.value)
    assert found.air_ml.value == pytest.approx(air.volume_ml(), abs=column_mm * width_mm * 190 / 1000)
    # The deepest column that is read lies half a slice and 5 mm from the end of the body.
    low, high = (
        air.depth_mm(np.array([-4.0, 4.0]), w).max() for w in (digital_ct.ENDS_MM[0] + 5, digital_ct.ENDS_MM[1] - 5)
    )
    assert found.height_mm.value == pytest.approx(max(low, high), abs=column_mm + 0.5 * abs(low - high) * 10 / 180)
    drawn_deg = np.degrees(np.arctan(np.hypot(*np.tan(np.radians([air.tilt_x_deg, air.tilt_z_deg])))))
    if air.height_mm < 3:
        assert found.tilt_deg is None
    else:
        assert found.tilt_deg is not None
        # One crossing that is wrong over half the width of a layer turns it by no more.
        assert found.tilt_deg.value == pytest.approx(drawn_deg, abs=np.degrees(column_mm / 2 / (width_mm / 2)))


@pytest.mark.parametrize("seed", SEEDS)
def test_fill_when_the_body_is_full_then_nothing_is_named(seed: int) -> None:
    _, drawn = whole_by(seed)
    found = measured(**drawn)
    assert codes(found) == set()
    assert values(found)["ct_fill_air_ml"] == 0.0
    assert values(found)["ct_bubble_ml"] < 0.1


@pytest.mark.parametrize("seed", SEEDS)
def test_fill_when_the_body_is_not_full_then_it_is_named(seed: int) -> None:
    rng, drawn = whole_by(seed)
    air = digital_ct.Air(
        height_mm=rng.uniform(10, 18), tilt_x_deg=rng.uniform(-1.5, 1.5), tilt_z_deg=rng.uniform(-1.5, 1.5)
    )
    found = measured(**drawn, air=air)
    assert codes(found) == {"PHA-CT-FILL"}
    (said,) = found.findings
    assert said.owner is Owner.SITE
    (ml,) = (one for one in found.measurements if one.name == "ct_fill_air_ml")
    # The PET's word for where the body ends is 1 mm wide at each end of 190; here it is the drawn one.
    assert ml.value == pytest.approx(air.volume_ml(), rel=0.01)
    assert ml.uncertainty == pytest.approx(0.01 * air.volume_ml(), rel=0.6)


def test_fill_when_a_bubble_lies_in_the_water_then_the_largest_is_measured_and_named() -> None:
    bubbles = (((96.3, 8.0, 5.0), 0.9), ((-90.0, -30.0, 60.0), 0.3))
    found = measured(**WHOLE, air=digital_ct.Air(bubbles=bubbles))
    assert codes(found) == {"PHA-CT-FILL"}
    # What lies in its voxels is summed, so only noise is left: 15 HU in about 500 voxels of 9.8 mm³.
    assert values(found)["ct_bubble_ml"] == pytest.approx(0.9, abs=4 * 0.015 * np.sqrt(500) * 0.0098)
    assert found.fill is not None
    assert found.fill.bubble_lps_mm == pytest.approx(bubbles[0][0], abs=1.5)
    assert set(figures.phantom_ct_figures(digital_ct.nema_iq_ct(SPHERES), found, PLACES, AXIS)) == {
        "ct_spheres",
        "ct_fill",
    }


def test_picture_when_a_bubble_is_too_much_and_the_air_above_the_water_is_not_then_it_shows_the_bubble() -> None:
    air = digital_ct.Air(height_mm=4.0, bubbles=(((96.3, 8.0, 5.0), 0.9),))
    volume = digital_ct.nema_iq_ct(SPHERES, air=air, **WHOLE)
    found = measure(volume)
    assert values(found)["ct_fill_air_pct"] > 0.2
    assert codes(found) == {"PHA-CT-FILL"}
    assert "Orange: a bubble of 0.9 mL" in figures.phantom_ct_figures(volume, found, PLACES, AXIS)["ct_fill"].caption


def test_fill_when_a_plate_lies_on_the_phantom_then_the_air_under_it_is_not_in_the_body() -> None:
    volume = digital_ct.nema_iq_ct(SPHERES, **WHOLE)
    _, y, x = volume.to_index_zyx(np.add(CENTER, (0.0, -115.0 - 12.0, 0.0)))
    image = volume.image.copy()
    image[:, int(y) - 5 : int(y) + 1, int(x) - 40 : int(x) + 40] = 100.0
    found = fill_of(PetVolume(image, volume.affine_lps_mm, "HU"))
    assert found.air_ml is not None
    assert found.air_ml.value == 0.0


def test_fill_when_air_reaches_down_to_the_spheres_then_no_number_is_given_and_it_is_named() -> None:
    found = measured(**WHOLE, air=digital_ct.Air(height_mm=34.0))
    assert "PHA-CT-FILL" in codes(found)
    (ml,) = (one for one in found.measurements if one.name == "ct_fill_air_ml")
    assert (ml.value, ml.flags.names()) == (None, ["NO_FIT"])


@pytest.mark.parametrize(
    ("position", "up", "turned_deg"),
    [("FFS", (0, -1, 0), 0), ("HFP", (0, 1, 0), 180), ("HFDR", (1, 0, 0), 90), ("FFDL", (-1, 0, 0), -90)],
)
def test_fill_when_the_phantom_lies_another_way_then_up_is_against_gravity(
    position: str, up: tuple[float, float, float], turned_deg: float, tmp_path: Path
) -> None:
    air = digital_ct.Air(height_mm=10.0)
    volume = digital_ct.nema_iq_ct(SPHERES, air=air, **WHOLE)
    # The patient's axes are turned about the body, which lies as it did.
    turn = Rotation.from_euler("z", turned_deg, degrees=True)
    affine = volume.affine_lps_mm.copy()
    affine[:3] = turn.as_matrix() @ affine[:3]
    turned = PetVolume(volume.image, affine, "HU")
    found = fill_of(turned, {d: turn.apply(at) for d, at in PLACES.items()}, up)
    assert found.air_ml is not None
    assert found.air_ml.value == pytest.approx(air.volume_ml(), rel=0.01)
    small = PetVolume(turned.image[:5, :8, :8], affine, "HU")
    digital_ct.write_ct(small, tmp_path, PatientPosition=position)
    pet = digital.nema_iq(shape_zyx=(4, 4, 4), spacing_zyx_mm=(4.0, 4.0, 4.0))
    digital.write_dicom(pet, tmp_path / "pet")
    scan = read_scan(list_files(tmp_path))
    chosen = choose_ct(scan, choose(scan))
    assert chosen is not None
    assert chosen.up_lps == pytest.approx(up)


def test_fill_when_the_ct_does_not_say_how_the_phantom_lay_then_its_numbers_are_missing_with_that_reason() -> None:
    found = measure(digital_ct.nema_iq_ct(SPHERES), up=None)
    fills = [one for one in found.measurements if one.name.startswith(("ct_fill", "ct_bubble"))]
    assert {one.name for one in fills if one.value is None} == {one.name for one in fills}
    assert {tuple(one.flags.names()) for one in fills} == {("NO_POSITION",)}
    assert codes(found) == set()


# --- from files --------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def pet(tmp_path_factory: pytest.TempPathFactory) -> tuple[digital.DigitalScan, Path]:
    """Return a sphere phantom's PET that EARL 1 passes, and its folder."""
    scan = digital.nema_iq(fwhm_mm=8.0, cov=0.04, seed=11, shape_zyx=(60, 100, 100), spacing_zyx_mm=(4.0, 4.0, 4.0))
    folder = tmp_path_factory.mktemp("pet")
    digital.write_dicom(scan, folder, seed=1)
    return scan, folder


@pytest.fixture
def result_of(pet: tuple[digital.DigitalScan, Path], tmp_path: Path) -> Any:
    scan, folder = pet

    def analyse(attributes: dict[str, Any] | None = None, **drawn: Any) -> dict[str, Any]:
        volume = digital_ct.nema_iq_ct(scan.truth["spheres"], **COARSE | drawn)
        digital_ct.write_ct(volume, tmp_path, seed=1, **(attributes or {}))
        files = [*list_files(folder), *list_files(tmp_path)]
        return analyse_files(files, Request(method="nema_iq", sheet=scan.sheet)).json

    return analyse


def plain(result: dict[str, Any]) -> dict[str, Any]:
    return {one["name"]: one["value"] for one in result["measurements"] if one["standard"] is None}


def pet_numbers(result: dict[str, Any]) -> dict[str, Any]:
    """Return what was measured in the PET; a post-filter is advice, which no phantom gets whose pre-check fails."""
    numbers = {name: value for name, value in plain(result).items() if "ct_" not in name}
    return {name: value for name, value in numbers.items() if not name.startswith("harmonisation_filter_")}


def found_of(result: dict[str, Any]) -> Iterator[str]:
    return (one["id"] for one in result["findings"] if one["id"].startswith("PHA-CT"))


@pytest.fixture(scope="module")
def pet_once() -> Any:
    """Return what makes of a function of the PET one that is called once."""
    kept: dict[str, Any] = {}
    calls = {"find_nema_iq": localise.find_nema_iq, "measure": nema_iq.measure}

    def once(name: str) -> Any:
        def call(*asked: Any, **known: Any) -> Any:
            if name not in kept:
                kept[name] = calls[name](*asked, **known)
            return kept[name]

        return call

    return once


@pytest.fixture
def pet_measured_once(pet_once: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the PET, the same each time, be found and measured once: what a CT does to the result comes after that."""
    for home, name in ((localise, "find_nema_iq"), (nema_iq, "measure")):
        monkeypatch.setattr(home, name, pet_once(name))


@pytest.fixture(scope="module")
def without(pet: tuple[digital.DigitalScan, Path]) -> dict[str, Any]:
    return analyse_files(list_files(pet[1]), Request(method="nema_iq", sheet=pet[0].sheet)).json


def test_phantom_when_no_ct_was_sent_then_it_is_said_and_nothing_else_changes(without: dict[str, Any]) -> None:
    assert without["verdict"] == "PASS"
    assert set(found_of(without)) == {"PHA-CT-NONE"}
    assert not any("ct_" in name for name in plain(without))


def test_phantom_when_its_ct_is_as_it_should_be_then_it_passes_and_the_digest_covers_the_ct(
    result_of: Any, without: dict[str, Any]
) -> None:
    result = result_of()
    assert result["verdict"] == "PASS"
    assert set(found_of(result)) == set()
    # The PET places its spheres to 0.6 mm each.
    assert plain(result)["ct_offset_mm"] < 0.6
    assert pet_numbers(result) == pet_numbers(without)
    assert result["input_digest"] != without["input_digest"]
    assert result["ct"]["is_in_frame"] is True
    # Each file of the CT has its row, for it is in no PET series, and the row does not say that it was not used.
    assert [one["used_as"] for one in result["ignored"]] == ["ct"] * result["ct"]["slices"]
    assert not any("not PET" in one["reason"] for one in result["ignored"])


@pytest.mark.usefixtures("pet_measured_once")
@pytest.mark.parametrize(
    ("drawn", "code"),
    [({"bubble_pct": {22: 12.0}}, "PHA-CT-BUBBLE"), ({"water_hu": 25.0}, "PHA-CT-WATER")],
    ids=["air", "water"],
)
def test_phantom_when_its_ct_shows_a_fault_then_the_standard_fails_and_every_number_but_the_proposed_filter_stays(
    result_of: Any, without: dict[str, Any], drawn: dict[str, Any], code: str
) -> None:
    result = result_of(**drawn)
    assert result["verdict"] == "FAIL"
    assert set(found_of(result)) == {code}
    numbers, before = pet_numbers(result), pet_numbers(without)
    changed = {name for name in before if numbers[name] != before[name]}
    # No filter is proposed for a phantom that is to be filled anew.
    assert all(name.startswith("harmonisation_filter_") and numbers[name] is None for name in changed)
    assert numbers.keys() == before.keys()


@pytest.mark.usefixtures("pet_measured_once")
def test_phantom_when_its_ct_lies_in_another_frame_then_no_offset_is_given_and_the_rest_is(result_of: Any) -> None:
    result = result_of({"FrameOfReferenceUID": "2.25.99"})
    assert set(found_of(result)) == {"PHA-CT-FRAME"}
    (offset,) = (one for one in result["measurements"] if (one["name"], one["standard"]) == ("ct_offset_mm", None))
    assert (offset["value"], offset["flags"]) == (None, ["OTHER_FRAME"])
    assert plain(result)["ct_water_hu"] == pytest.approx(0.0, abs=2.0)
    assert result["verdict"] == "WARN"


@pytest.mark.usefixtures("pet_measured_once")
@pytest.mark.parametrize(
    "attributes",
    [{"RescaleType": "US"}, {"LossyImageCompression": "01"}, {"Rows": None}, {"PixelSpacing": None}],
    ids=["not HU", "lossy", "no rows", "no pixel size"],
)
def test_phantom_when_its_ct_cannot_be_used_then_it_is_said_and_no_number_is_lost(
    result_of: Any, without: dict[str, Any], attributes: dict[str, Any]
) -> None:
    result = result_of(attributes)
    assert set(found_of(result)) == {"PHA-CT-UNREAD"}
    assert plain(result) == plain(without)
    assert result["verdict"] == "WARN"


def test_ct_when_it_is_a_scout_then_it_is_none(pet: tuple[digital.DigitalScan, Path], tmp_path: Path) -> None:
    volume = digital_ct.nema_iq_ct(pet[0].truth["spheres"])
    digital_ct.write_ct(volume, tmp_path, seed=1, ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"])
    scan = read_scan([*list_files(pet[1]), *list_files(tmp_path)])
    assert choose_ct(scan, choose(scan)) is None


# --- in one file of many frames ------------------------------------------------------------------


def write_enhanced(volume: PetVolume, path: Path, described: int | None = None) -> None:
    """Write the CT as one Enhanced CT object, in 12 bits as scanners do."""
    one = digital_ct.write_ct(PetVolume(volume.image[:1], volume.affine_lps_mm, "HU"), path.with_suffix(".one"), seed=1)
    dataset = dcmread(one[0])
    one[0].unlink()
    lps, (dz, dy, dx) = volume.affine_lps_mm, volume.spacing_zyx_mm
    dataset.SOPClassUID = dataset.file_meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.2.1"
    for keyword in ("RescaleSlope", "RescaleIntercept", "RescaleType", "PixelSpacing", "ImagePositionPatient"):
        delattr(dataset, keyword)
    shared = Dataset()
    shared.PixelMeasuresSequence = items(PixelSpacing=[dy, dx], SliceThickness=dz)
    shared.PlaneOrientationSequence = items(ImageOrientationPatient=list(dataset.ImageOrientationPatient))
    shared.PixelValueTransformationSequence = items(RescaleSlope=1, RescaleIntercept=-1024, RescaleType="HU")
    shared.CTImageFrameTypeSequence = items(FrameType=["ORIGINAL", "PRIMARY", "VOLUME", "NONE"])
    del dataset.ImageOrientationPatient
    frames = []
    for k in range(len(volume.image) if described is None else described):
        frame = Dataset()
        frame.PlanePositionSequence = items(ImagePositionPatient=[*np.round(lps[:3, 3] + k * lps[:3, 2], 6)])
        frames.append(frame)
    dataset.NumberOfFrames = len(volume.image)
    dataset.PixelRepresentation = 0
    dataset.SharedFunctionalGroupsSequence = Sequence([shared])
    dataset.PerFrameFunctionalGroupsSequence = Sequence(frames)
    dataset.PixelData = np.rint(np.clip(volume.image + 1024, 0, 4095)).astype("<u2").tobytes()
    dataset.save_as(path)


def items(**values: Any) -> Sequence:
    dataset = Dataset()
    for keyword, value in values.items():
        setattr(dataset, keyword, value)
    return Sequence([dataset])


def test_ct_when_it_is_one_file_of_many_frames_then_it_is_read_as_its_slices_are(
    pet: tuple[digital.DigitalScan, Path], tmp_path: Path
) -> None:
    volume = digital_ct.nema_iq_ct(pet[0].truth["spheres"], **COARSE)
    write_enhanced(volume, tmp_path / "enhanced.dcm")
    scan = read_scan([*list_files(pet[1]), *list_files(tmp_path)])
    chosen = choose_ct(scan, choose(scan))
    assert chosen is not None
    assert chosen.is_in_frame
    assert len(chosen.file_digests) == 1
    assert chosen.up_lps == pytest.approx((0, -1, 0))
    loaded = chosen.load(np.mean(list(pet[0].truth["spheres"].values()), axis=0), 500.0)
    # Whole HU, from −1024 to 3071.
    assert np.array_equal(loaded.image, np.clip(volume.image, -1024, 3071))
    assert loaded.affine_lps_mm == pytest.approx(volume.affine_lps_mm, abs=1e-5)


@pytest.mark.usefixtures("pet_measured_once")
def test_phantom_when_its_multi_frame_ct_does_not_describe_its_frames_then_it_is_said_and_not_that_none_came(
    pet: tuple[digital.DigitalScan, Path], without: dict[str, Any], tmp_path: Path
) -> None:
    volume = digital_ct.nema_iq_ct(pet[0].truth["spheres"], **COARSE)
    write_enhanced(volume, tmp_path / "enhanced.dcm", described=3)
    files = [*list_files(pet[1]), *list_files(tmp_path)]
    result = analyse_files(files, Request(method="nema_iq", sheet=pet[0].sheet)).json
    assert set(found_of(result)) == {"PHA-CT-UNREAD"}
    (said,) = (one for one in result["findings"] if one["id"] == "PHA-CT-UNREAD")
    assert "multi-frame CT object that declares 22 frames and describes 3" in said["message"]
    assert plain(result) == plain(without)


def test_fill_of_a_sphere_when_noise_goes_together_then_its_uncertainty_grows_as_much() -> None:
    # Noise as broad as 4 mm FWHM has the correlation exp(-d²/4s²), s = 4 · 0.4247 / √2 mm: √(4π) s of each axis in the
    # slice vary as one. What is lost below a correlation of 0.05 and with each slice's mean is some per cent.
    sds = {}
    for fwhm_mm in (0.0, 4.0):
        found = measured(noise_hu=20.0, noise_fwhm_mm=fwhm_mm, seed=3)
        (sds[fwhm_mm],) = (one.uncertainty for one in found.measurements if one.name == "sphere_37mm_ct_hu")
    together_mm = np.sqrt(4 * np.pi) * 4.0 * 0.4247 / np.sqrt(2)
    assert sds[4.0] / sds[0.0] == pytest.approx(together_mm / 1.4, rel=0.15)


def test_air_of_a_small_sphere_when_little_fluid_tells_its_number_then_that_is_in_the_uncertainty() -> None:
    diameter, noise_hu, repeats = 13, 30.0, 100
    clean = digital_ct.nema_iq_ct(SPHERES, bubble_pct={diameter: 60.0}, **COARSE | {"noise_hu": 0.0})
    low = np.rint(clean.to_index_zyx(PLACES[diameter])).astype(int) - (5, 12, 12)
    affine = clean.affine_lps_mm.copy()
    affine[:3, 3] = clean.to_lps_mm(low.astype(np.float64))
    part = clean.image[low[0] : low[0] + 11, low[1] : low[1] + 25, low[2] : low[2] + 25]
    rng = np.random.default_rng(5)

    def read(image: Any, noise_hu: float) -> tuple[float, float]:
        volume = PetVolume(image.astype(np.float32), affine, "HU")
        smooth, _ = phantom_ct._smoothed(volume)
        return phantom_ct._air(volume, smooth, PLACES[diameter], diameter / 2, noise_hu)

    found = np.array([read(part + rng.normal(0, noise_hu, part.shape), noise_hu) for _ in range(repeats)])
    _, wall_sd = read(part, 0.0)  # what the noise does not move
    said = np.sqrt(np.mean(found[:, 1] ** 2) - wall_sd**2)
    # An SD of n values is known to 1 part in √2(n − 1); which voxels are dark hangs on the noise too, a tenth at most.
    assert found[:, 0].std(ddof=1) == pytest.approx(said, rel=3 / np.sqrt(2 * (repeats - 1)) + 0.1)


def held_ml() -> float:
    """Return what the body holds: its section, less insert and spheres with their walls of 1 mm."""
    x, y = np.meshgrid(np.arange(-150, 150, 0.25), np.arange(-120, 120, 0.25))
    arch = np.hypot(x, y - 35) < 147
    corner = np.hypot(np.maximum(np.abs(x) - 70, 0), y - 35) < 77
    section_mm2 = float(np.where(y < 35, arch, corner).sum()) / 16 - np.pi * 25.5**2
    low, high = digital_ct.ENDS_MM
    return (section_mm2 * (high - low) - sum(np.pi / 6 * (d + 2) ** 3 for d in SPHERES)) / 1000


@pytest.mark.parametrize(
    ("fwhm_mm", "water_hu", "wall_mm"),
    [(1.2, 0.0, 3.0), (1.6, 30.0, 2.0), (2.3, 30.0, 3.0), (2.8, 0.0, 4.0), (2.8, 0.0, 2.5)],
    ids=["seen", "seen, other fluid", "hidden by the fluid", "thick", "hidden by blur"],
)
def test_fill_when_blur_hides_the_wall_of_the_body_then_per_cent_are_still_of_what_it_holds(
    fwhm_mm: float, water_hu: float, wall_mm: float
) -> None:
    air = digital_ct.Air(height_mm=14.0)
    drawn = WHOLE | {"fwhm_mm": fwhm_mm, "water_hu": water_hu, "body_wall_mm": wall_mm, "noise_hu": 0.0}
    found = measure(digital_ct.nema_iq_ct(SPHERES, air=air, **drawn))
    (pct,) = (one for one in found.measurements if one.name == "ct_fill_air_pct")
    # Wall taken for water is up to 3 % of the section; the layer itself is known to 0.05 mm of 14 at its highest, which
    # is 0.5 % of it, and what the body holds to the half per cent that the wall's unknown plastic leaves.
    assert pct.value == pytest.approx(100 * air.volume_ml() / held_ml(), rel=0.007)
    assert pct.uncertainty is not None
    assert 0.002 < pct.uncertainty / pct.value < 0.02


@pytest.mark.parametrize("tilt_deg", [0.3, 1.8], ids=["less than a pixel", "several"])
def test_fill_when_its_surface_rises_between_pixels_then_its_tilt_scatters_as_it_says(tilt_deg: float) -> None:
    errors, said = [], []
    for height_mm in np.arange(9.0, 10.4, 0.2):  # over one pixel
        air = digital_ct.Air(height_mm=height_mm, tilt_x_deg=tilt_deg)
        found = filled(air, noise_hu=0.0, shape_zyx=(20, 200, 232), fwhm_mm=2.0)
        assert found.tilt_deg is not None
        errors.append(found.tilt_deg.value - tilt_deg)
        said.append(found.tilt_deg.sd)
    # How high the wave of a crossing is hangs on the blur; what is said allows for the half of the highest, so what is
    # found is at most twice as much, and with this blur not less than half.
    ratio = np.sqrt(np.mean(np.square(errors)) / np.mean(np.square(said)))
    assert 0.5 < ratio < 2.0
