"""From a folder of DICOM files to the SUV volume, beside the floor and beside pydicom."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pydicom

from bench.rows import SHARED_DATA, Row, at_least, best_s, ms
from phantoms import dicom_series, digital, suv
from phantoms.volume import PetVolume

if TYPE_CHECKING:
    from numpy.typing import NDArray

#: Whoever reads with pydicom alone must not be faster.
MIN_TIMES_PYDICOM = 1.0
PATIENT = SHARED_DATA / "patient_ge" / "STS_001_bqml"
#: Slices, rows and columns of the series that are written for the occasion.
DRAWN = ((110, 168), (300, 400))


def ours(folder: Path) -> NDArray[np.float32]:
    """Read a folder as the workers do, and make the SUV volume that they do without."""
    series = dicom_series.choose(dicom_series.read_scan(dicom_series.list_files(folder)))
    return series.load_suvbw(suv.suv_factor(series.header)).image


def by_pydicom(folder: Path, shape: tuple[int, ...]) -> NDArray[np.float32]:
    """Read the same with what everybody has: dcmread, then pixel_array into one array; headers are not looked at."""
    image = np.empty(shape, np.float32)
    for plane, path in zip(image, sorted(folder.iterdir()), strict=True):
        slice_ = pydicom.dcmread(path)
        np.multiply(slice_.pixel_array, np.float32(slice_.RescaleSlope), out=plane)
    return image


def floor(folder: Path, shape: tuple[int, ...]) -> NDArray[np.float32]:
    """Read the same bytes and scale once: nothing that ends in such a volume does less."""
    image = np.empty(shape, np.float32)
    wanted = 2 * shape[1] * shape[2]
    for plane, path in zip(image, sorted(folder.iterdir()), strict=True):
        stored = np.frombuffer(path.read_bytes()[-wanted:], "<i2").reshape(plane.shape)
        np.multiply(stored, np.float32(0.5), out=plane)
    return image


def draw(folder: Path, slices: int, edge: int) -> None:
    """Write a series of this size: the header of a digital cylinder, the pixels noise."""
    header = digital.uniform_cylinder(shape_zyx=(slices, 8, 8), spacing_zyx_mm=(2.0, 50.0, 50.0), cov=0.0)
    pixels = np.random.default_rng(1).uniform(0, 10000, (slices, edge, edge)).astype(np.float32)
    volume = PetVolume(pixels, np.diag([600 / edge, 600 / edge, 2.0, 1.0]), "Bq/mL")
    dicom_series.write_series(folder, volume, header.attributes, lambda k: header.slice_attributes[k])


def measure(mode: str, folder: Path) -> list[Row]:
    """Return two rows for each series."""
    inputs = {"267×128² patient": PATIENT} if PATIENT.is_dir() else {}
    for slices, edge in DRAWN[: 1 if mode == "smoke" else None]:
        path = folder / f"{slices}x{edge}"
        draw(path, slices, edge)
        inputs[f"{slices}×{edge}² digital"] = path
    rows = []
    for name, path in inputs.items():
        shape = ours(path).shape
        ours_s, pydicom_s, floor_s = best_s(
            3 if mode == "smoke" else 7,
            lambda path=path: ours(path),
            lambda path=path, shape=shape: by_pydicom(path, shape),
            lambda path=path, shape=shape: floor(path, shape),
        )
        beside = f"{ms(ours_s)}; floor {ms(floor_s)}; pydicom {ms(pydicom_s)}, {pydicom_s / floor_s:.1f} floors"
        what = f"folder to SUV volume, {name}"
        faster = pydicom_s / ours_s
        rows += [
            Row(what, f"{ours_s / floor_s:.1f} floors", is_timed=True, beside=beside),
            at_least(f"{what}, than pydicom", faster, MIN_TIMES_PYDICOM, "× faster", is_timed=True),
        ]
    return rows
