"""NIfTI masks brought onto a volume, against nibabel's own reading of the same files."""

from __future__ import annotations

from pathlib import Path

import nibabel
import numpy as np
import pytest

from phantoms.errors import AnalysisRefused
from phantoms.masks import read_mask
from phantoms.volume import PetVolume

AFFINE_LPS_MM = np.array([[2.5, 0, 0, -10], [0, 2, 0, 20], [0, 0, 3, -60], [0, 0, 0, 1.0]])
RAS = np.diag([-1.0, -1.0, 1.0, 1.0])
SHAPE_ZYX = (6, 5, 4)


def volume(affine: np.ndarray = AFFINE_LPS_MM) -> PetVolume:
    return PetVolume(np.zeros(SHAPE_ZYX, np.float32), affine, "Bq/mL")


def inside_zyx() -> np.ndarray:
    return np.random.default_rng(2).random(SHAPE_ZYX) < 0.3


def saved(path: Path, stored_ijk: np.ndarray, affine_ras: np.ndarray, *, sform: bool = True) -> Path:
    image = nibabel.Nifti1Image(stored_ijk, affine_ras)
    image.set_sform(affine_ras, 1 if sform else 0)
    image.set_qform(affine_ras, 0 if sform else 1)
    nibabel.save(image, path)
    return path


@pytest.mark.parametrize("name", ["mask.nii", "mask.nii.gz"])
@pytest.mark.parametrize("kind", ["u1", "i2", "u2", "i4", "f4", "f8"])
@pytest.mark.parametrize("sform", [True, False])
def test_mask_when_drawn_on_the_same_grid_then_it_comes_back(tmp_path: Path, name: str, kind: str, sform: bool) -> None:
    inside = inside_zyx()
    path = saved(tmp_path / name, inside.T.astype(kind), RAS @ AFFINE_LPS_MM, sform=sform)
    assert np.array_equal(read_mask(path, volume()), inside)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_mask_when_its_array_is_mirrored_then_patient_positions_decide(tmp_path: Path, axis: int) -> None:
    inside = inside_zyx()
    mirror = np.eye(4)
    mirror[axis, axis], mirror[axis, 3] = -1, inside.T.shape[axis] - 1
    stored = np.flip(inside.T, axis).astype("u1")
    for sform in (True, False):
        path = saved(tmp_path / f"{sform}.nii", stored, RAS @ AFFINE_LPS_MM @ mirror, sform=sform)
        assert np.array_equal(read_mask(path, volume()), inside)


def test_mask_when_it_covers_a_part_of_the_volume_then_the_rest_is_outside(tmp_path: Path) -> None:
    shifted = AFFINE_LPS_MM.copy()
    shifted[:3, 3] = (AFFINE_LPS_MM @ [1, 2, 3, 1])[:3]
    path = saved(tmp_path / "mask.nii", np.ones((2, 2, 2), "u1"), RAS @ shifted)
    expected = np.zeros(SHAPE_ZYX, bool)
    expected[3:5, 2:4, 1:3] = True
    assert np.array_equal(read_mask(path, volume()), expected)


def test_mask_when_it_lies_elsewhere_then_it_is_refused(tmp_path: Path) -> None:
    far = AFFINE_LPS_MM.copy()
    far[2, 3] = 5000
    with pytest.raises(AnalysisRefused, match="MASK-OUTSIDE"):
        read_mask(saved(tmp_path / "mask.nii", np.ones((2, 2, 2), "u1"), RAS @ far), volume())


def test_mask_when_the_file_is_no_mask_then_it_is_refused(tmp_path: Path) -> None:
    good = saved(tmp_path / "mask.nii", np.ones((4, 5, 6), "u1"), RAS @ AFFINE_LPS_MM).read_bytes()
    moved = saved(tmp_path / "4d.nii", np.ones((4, 5, 6, 2), "u1"), RAS @ AFFINE_LPS_MM).read_bytes()
    no_place = bytearray(good)
    no_place[252:256] = b"\0" * 4
    flat = bytearray(good)
    flat[280:328] = b"\0" * 48
    for raw in (b"", b"\x1f\x8b broken", b"x" * 400, good[:-1], good[:340], moved, no_place, flat):
        path = tmp_path / "bad.nii"
        path.write_bytes(raw)
        with pytest.raises(AnalysisRefused, match="MASK-UNREADABLE"):
            read_mask(path, volume())
    with pytest.raises(AnalysisRefused, match="MASK-UNREADABLE"):
        read_mask(tmp_path / "nowhere.nii", volume())
