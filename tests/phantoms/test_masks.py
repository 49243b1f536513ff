"""Masks brought onto a volume: NIfTI against nibabel's own reading, SEG and RTSTRUCT written by pydicom."""

from __future__ import annotations

from pathlib import Path

import nibabel
import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.pixels.utils import pack_bits
from pydicom.uid import ExplicitVRLittleEndian, generate_uid

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


# --- DICOM -------------------------------------------------------------------------------------------------------


def item(**values) -> Dataset:
    made = Dataset()
    for keyword, value in values.items():
        setattr(made, keyword, value)
    return made


def written(path: Path, dataset: Dataset, sop_class: str) -> Path:
    dataset.SOPClassUID, dataset.SOPInstanceUID = sop_class, generate_uid()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.MediaStorageSOPClassUID = sop_class
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    pydicom.dcmwrite(path, dataset, enforce_file_format=True)
    return path


def segmentation(
    path: Path,
    inside: np.ndarray,
    affine: np.ndarray = AFFINE_LPS_MM,
    *,
    kind: str = "BINARY",
    keep: list[int] | None = None,
    segments: list[int] | None = None,
    spacing: bool = True,
    shuffle: bool = False,
) -> Path:
    """Write ``inside[z, y, x]`` as a SEG; `keep` names the planes that have a frame, the others are left out."""
    steps = np.linalg.norm(affine[:3, :3], axis=0)
    planes = list(range(len(inside))) if keep is None else keep
    planes = planes[::-1] if shuffle else planes
    dataset = item(NumberOfFrames=len(planes), Rows=inside.shape[1], Columns=inside.shape[2], Modality="SEG")
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation, dataset.PixelRepresentation = 1, "MONOCHROME2", 0
    dataset.SegmentationType = kind
    bits = 1 if kind == "BINARY" else 8
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = bits, bits, bits - 1
    measures = item(PixelSpacing=[steps[1], steps[0]])
    if spacing:
        measures.SpacingBetweenSlices = steps[2]
    orientation = [*(affine[:3, 0] / steps[0]), *(affine[:3, 1] / steps[1])]
    dataset.SharedFunctionalGroupsSequence = [
        item(PixelMeasuresSequence=[measures], PlaneOrientationSequence=[item(ImageOrientationPatient=orientation)])
    ]
    dataset.PerFrameFunctionalGroupsSequence = [
        item(
            PlanePositionSequence=[item(ImagePositionPatient=list((affine @ [0, 0, k, 1])[:3]))],
            SegmentIdentificationSequence=[item(ReferencedSegmentNumber=number)],
        )
        for k, number in zip(planes, segments or [1] * len(planes), strict=True)
    ]
    frames = inside[planes].astype(np.uint8)
    if kind == "BINARY":
        dataset.PixelData = pack_bits(frames.ravel(), pad=True)
    else:
        dataset.MaximumFractionalValue = 200
        raw = (frames * 100 + (1 - frames) * 99).astype(np.uint8).tobytes()
        dataset.PixelData = raw + b"\0" * (len(raw) % 2)
    return written(path, dataset, "1.2.840.10008.5.1.4.1.1.66.4")


@pytest.mark.parametrize("kind", ["BINARY", "FRACTIONAL"])
@pytest.mark.parametrize("shuffle", [False, True])
def test_seg_when_drawn_on_the_same_grid_then_it_comes_back(tmp_path: Path, kind: str, shuffle: bool) -> None:
    inside = inside_zyx()
    path = segmentation(tmp_path / "seg.dcm", inside, kind=kind, shuffle=shuffle)
    assert np.array_equal(read_mask(path, volume()), inside)


@pytest.mark.parametrize("spacing", [True, False])
def test_seg_when_empty_planes_have_no_frame_then_they_are_empty(tmp_path: Path, spacing: bool) -> None:
    inside = inside_zyx()
    inside[[0, 3]] = False
    path = segmentation(tmp_path / "seg.dcm", inside, keep=[1, 2, 4, 5], spacing=spacing)
    assert np.array_equal(read_mask(path, volume()), inside)


def test_seg_when_its_grid_is_turned_and_oblique_then_patient_positions_decide(tmp_path: Path) -> None:
    a, b = np.deg2rad([20, -35])
    turn = np.array([[np.cos(a), -np.sin(a), 0], [np.sin(a), np.cos(a), 0], [0, 0, 1]])
    turn = turn @ np.array([[1, 0, 0], [0, np.cos(b), -np.sin(b)], [0, np.sin(b), np.cos(b)]])
    affine = np.eye(4)
    affine[:3, :3], affine[:3, 3] = turn @ np.diag([2.5, 2.0, 3.0]), (5, -7, 11)
    inside = inside_zyx()
    path = segmentation(tmp_path / "seg.dcm", inside, affine)
    assert np.array_equal(read_mask(path, volume(affine)), inside)
    flipped = affine.copy()
    flipped[:3, 0], flipped[:3, 3] = -affine[:3, 0], (affine @ [3, 0, 0, 1])[:3]
    assert np.array_equal(read_mask(path, volume(flipped)), inside[:, :, ::-1])


def ring(radius_mm: float, z_mm: float, center=(20.0, 30.0), count: int = 180) -> np.ndarray:
    angle = np.linspace(0, 2 * np.pi, count, endpoint=False)
    xy = np.array(center) + radius_mm * np.stack([np.cos(angle), np.sin(angle)], axis=-1)
    return np.column_stack([xy, np.full(count, z_mm)])


def structures(path: Path, rois: dict[int, list[np.ndarray]], kind: str = "CLOSED_PLANAR") -> Path:
    dataset = item(Modality="RTSTRUCT")
    dataset.ROIContourSequence = [
        item(
            ReferencedROINumber=number,
            ContourSequence=[
                item(
                    ContourGeometricType=kind, NumberOfContourPoints=len(one), ContourData=one.round(4).ravel().tolist()
                )
                for one in polygons
            ],
        )
        for number, polygons in rois.items()
    ]
    return written(path, dataset, "1.2.840.10008.5.1.4.1.1.481.3")


ROOM = PetVolume(np.zeros((10, 40, 36), np.float32), np.diag([1.5, 2.0, 3.0, 1.0]), "Bq/mL")


def disc_zyx(radius_mm: float, planes: list[int]) -> np.ndarray:
    _, y, x = np.indices(ROOM.image.shape)
    found = np.hypot(1.5 * x - 20.0, 2.0 * y - 30.0) < radius_mm
    return found & np.isin(np.arange(10), planes)[:, None, None]


def test_rtstruct_when_a_circle_is_drawn_on_every_slice_then_the_voxels_in_it_are_inside(tmp_path: Path) -> None:
    path = structures(tmp_path / "rs.dcm", {3: [ring(13.0, 3.0 * k, count=720) for k in range(2, 7)], 4: []})
    assert np.array_equal(read_mask(path, ROOM), disc_zyx(13.0, [2, 3, 4, 5, 6]))


def test_rtstruct_when_an_inner_contour_is_drawn_then_it_is_a_hole(tmp_path: Path) -> None:
    path = structures(tmp_path / "rs.dcm", {1: [ring(13.0, 9.0, count=720), ring(6.0, 9.0, count=720)]})
    assert np.array_equal(read_mask(path, ROOM), disc_zyx(13.0, [3]) & ~disc_zyx(6.0, [3]))


def test_rtstruct_when_drawn_on_planes_between_the_slices_then_the_nearest_counts(tmp_path: Path) -> None:
    # Planes of 5 mm from 4 to 14 mm reach half a step beyond the first and the last: 1.5 to 16.5 mm.
    path = structures(tmp_path / "rs.dcm", {1: [ring(r, z, count=720) for r, z in ((5.2, 4), (9, 9), (13, 14))]})
    found = read_mask(path, ROOM)
    for k, radius_mm in {1: 5.2, 2: 5.2, 3: 9.0, 4: 13.0, 5: 13.0}.items():  # 3, 6, 9, 12, 15 mm
        assert np.array_equal(found[k], disc_zyx(radius_mm, [k])[k]), k
    assert not found[[0, 6, 7, 8, 9]].any()


def test_rtstruct_when_a_polygon_has_corners_on_voxel_centres_then_no_voxel_is_lost_or_doubled(tmp_path: Path) -> None:
    left = np.array([[3.0, 4.0, 6.0], [9.0, 4.0, 6.0], [9.0, 20.0, 6.0], [3.0, 20.0, 6.0]])
    right = left + np.array([6.0, 0, 0])
    whole = np.array([[3.0, 4.0, 6.0], [15.0, 4.0, 6.0], [15.0, 20.0, 6.0], [3.0, 20.0, 6.0]])
    parts = [read_mask(structures(tmp_path / f"{k}.dcm", {1: [one]}), ROOM) for k, one in enumerate((left, right))]
    assert not (parts[0] & parts[1]).any()
    assert np.array_equal(parts[0] | parts[1], read_mask(structures(tmp_path / "w.dcm", {1: [whole]}), ROOM))
    assert parts[0].sum() == 4 * 8


def test_mask_when_it_holds_several_regions_then_it_is_refused_with_their_numbers(tmp_path: Path) -> None:
    several = (
        structures(tmp_path / "rs.dcm", {3: [ring(13.0, 9.0)], 8: [ring(5.0, 9.0)]}),
        segmentation(tmp_path / "seg.dcm", inside_zyx(), segments=[3, 3, 3, 8, 8, 8]),
    )
    for path in several:
        with pytest.raises(AnalysisRefused, match=r"MASK-AMBIGUOUS.* 3, 8"):
            read_mask(path, ROOM)


def test_mask_when_a_dicom_object_cannot_be_used_then_it_is_refused_with_the_reason(tmp_path: Path) -> None:
    tilted = ring(10.0, 9.0)
    tilted[:, 2] += 0.3 * (tilted[:, 0] - 20.0)
    flat = segmentation(tmp_path / "flat.dcm", inside_zyx())
    broken = pydicom.dcmread(flat)
    broken.PixelData = broken.PixelData[:4]
    nowhere = pydicom.dcmread(flat)
    del nowhere.SharedFunctionalGroupsSequence[0].PlaneOrientationSequence
    fewer = pydicom.dcmread(flat)
    fewer.NumberOfFrames = 5
    huge = pydicom.dcmread(flat)
    huge.Rows = huge.Columns = 65535
    for name, dataset in {"broken": broken, "nowhere": nowhere, "fewer": fewer, "huge": huge}.items():
        dataset.save_as(tmp_path / f"{name}.dcm")
    unusable = {
        "tilted": structures(tmp_path / "tilted.dcm", {1: [tilted]}),
        "no region": structures(tmp_path / "none.dcm", {1: []}),
        "points": structures(tmp_path / "points.dcm", {1: [ring(5.0, 9.0)]}, kind="POINT"),
        "two": structures(tmp_path / "two.dcm", {1: [ring(5.0, 9.0, count=2)]}),
        "no segmentation": written(tmp_path / "pet.dcm", item(Modality="PT"), "1.2.840.10008.5.1.4.1.1.128"),
        **{name: tmp_path / f"{name}.dcm" for name in ("broken", "nowhere", "fewer", "huge")},
    }
    (tmp_path / "cut.dcm").write_bytes(flat.read_bytes()[:700])
    unusable["cut"] = tmp_path / "cut.dcm"
    for name, path in unusable.items():
        with pytest.raises(AnalysisRefused) as caught:
            read_mask(path, ROOM)
        assert caught.value.code == "MASK-UNREADABLE", name


def test_mask_when_a_dicom_object_lies_elsewhere_then_it_is_refused(tmp_path: Path) -> None:
    far = AFFINE_LPS_MM.copy()
    far[2, 3] = 5000
    for path in (
        segmentation(tmp_path / "seg.dcm", np.ones(SHAPE_ZYX, bool), far),
        structures(tmp_path / "rs.dcm", {1: [ring(13.0, 900.0)]}),
    ):
        with pytest.raises(AnalysisRefused, match="MASK-OUTSIDE"):
            read_mask(path, ROOM)
