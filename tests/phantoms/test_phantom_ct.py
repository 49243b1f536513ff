"""A sphere phantom's CT: air, water and the distance to the PET, against what was drawn."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from phantoms import digital, digital_ct, figures, phantom_ct
from phantoms.dicom_series import choose, list_files, read_scan
from phantoms.dicom_series.ct import choose_ct
from phantoms.errors import AnalysisRefused
from qc.analysis import Request, analyse_files

SEEDS = range(10)
CENTER = (1.3, -2.1, 27.0)
SPHERES = {
    d: (CENTER[0] + 57.2 * np.cos(k * np.pi / 3), CENTER[1] + 57.2 * np.sin(k * np.pi / 3), CENTER[2])
    for k, d in enumerate(digital.SPHERE_DIAMETERS_MM)
}
WATER = [np.add(CENTER, (95 * np.cos(a), 92 * np.sin(a), 0.0)) for a in np.linspace(0, 2 * np.pi, 12, endpoint=False)]


def measured(**drawn: Any) -> phantom_ct.CtResult:
    volume = digital_ct.nema_iq_ct(SPHERES, **drawn)
    places = {d: np.array(at) for d, at in SPHERES.items()}
    return phantom_ct.measure(volume, places, WATER, np.array([0.0, 0.0, 1.0]))


def values(result: phantom_ct.CtResult) -> dict[str, Any]:
    return {one.name: one.value for one in result.measurements}


def codes(result: phantom_ct.CtResult) -> set[str]:
    return {one.id for one in result.findings}


def drawn_by(seed: int) -> tuple[np.random.Generator, dict[str, Any]]:
    """Return a faultless CT's own: noise, slices, blur and an offset that is usual."""
    rng = np.random.default_rng(seed)
    slice_mm = float(rng.choice([2.0, 3.0, 4.0]))
    return rng, {
        "noise_hu": rng.uniform(10, 30),
        "fwhm_mm": rng.uniform(1.2, 2.2),
        "spacing_zyx_mm": (slice_mm, 1.4, 1.4),
        "shape_zyx": (int(90 / slice_mm), 200, 232),
        "offset_mm": tuple(rng.uniform(-1.2, 1.2, 3)),
        "water_hu": rng.uniform(-4, 4),
        "seed": seed,
    }


@pytest.mark.parametrize(("offset_mm", "blue"), [((0.3, 0.2, 0.1), False), ((4.0, 0.0, 0.0), True)])
def test_picture_when_a_sphere_holds_air_then_it_says_which_and_where_the_pet_has_it(
    offset_mm: tuple[float, float, float], blue: bool
) -> None:
    volume = digital_ct.nema_iq_ct(SPHERES, bubble_pct={28: 20.0}, offset_mm=offset_mm)
    places = {d: np.array(at) for d, at in SPHERES.items()}
    axis = np.array([0.0, 0.0, 1.0])
    found = phantom_ct.measure(volume, places, WATER, axis)
    (name, figure), *more = figures.phantom_ct_figures(volume, found, places, axis).items()
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


# --- from files --------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def pet(tmp_path_factory: pytest.TempPathFactory) -> tuple[digital.DigitalScan, Path]:
    """Return a sphere phantom's PET that EARL 1 passes, and its folder."""
    scan = digital.nema_iq(fwhm_mm=8.0, cov=0.05, seed=1, shape_zyx=(80, 110, 110), spacing_zyx_mm=(2.8, 3.2, 3.2))
    folder = tmp_path_factory.mktemp("pet")
    digital.write_dicom(scan, folder, seed=1)
    return scan, folder


@pytest.fixture
def result_of(pet: tuple[digital.DigitalScan, Path], tmp_path: Path) -> Any:
    scan, folder = pet

    def analyse(attributes: dict[str, Any] | None = None, **drawn: Any) -> dict[str, Any]:
        volume = digital_ct.nema_iq_ct(scan.truth["spheres"], **drawn)
        digital_ct.write_ct(volume, tmp_path, seed=1, **(attributes or {}))
        files = [*list_files(folder), *list_files(tmp_path)]
        return analyse_files(files, Request(method="nema_iq", sheet=scan.sheet)).json

    return analyse


def plain(result: dict[str, Any]) -> dict[str, Any]:
    return {one["name"]: one["value"] for one in result["measurements"] if one["standard"] is None}


def pet_numbers(result: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in plain(result).items() if "ct_" not in name}


def found_of(result: dict[str, Any]) -> Iterator[str]:
    return (one["id"] for one in result["findings"] if one["id"].startswith("PHA-CT"))


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


@pytest.mark.parametrize(
    ("drawn", "code"),
    [({"bubble_pct": {22: 12.0}}, "PHA-CT-BUBBLE"), ({"water_hu": 25.0}, "PHA-CT-WATER")],
    ids=["air", "water"],
)
def test_phantom_when_its_ct_shows_a_fault_then_the_standard_fails_and_every_number_stays(
    result_of: Any, without: dict[str, Any], drawn: dict[str, Any], code: str
) -> None:
    result = result_of(**drawn)
    assert result["verdict"] == "FAIL"
    assert set(found_of(result)) == {code}
    assert pet_numbers(result) == pet_numbers(without)


def test_phantom_when_its_ct_lies_in_another_frame_then_no_offset_is_given_and_the_rest_is(result_of: Any) -> None:
    result = result_of({"FrameOfReferenceUID": "2.25.99"})
    assert set(found_of(result)) == {"PHA-CT-FRAME"}
    (offset,) = (one for one in result["measurements"] if (one["name"], one["standard"]) == ("ct_offset_mm", None))
    assert (offset["value"], offset["flags"]) == (None, ["OTHER_FRAME"])
    assert plain(result)["ct_water_hu"] == pytest.approx(0.0, abs=2.0)
    assert result["verdict"] == "WARN"


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
