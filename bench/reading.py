"""From a folder of DICOM files to the SUV volume, beside the floor and beside what everybody has.

Times are those of the processor, so that what else it does counts little: all read from the page cache, in one thread.
Run as a program it reads one folder and prints how far its memory rose above what its imports took.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from time import process_time
from typing import TYPE_CHECKING, Any

import numpy as np
import pydicom
import SimpleITK

from bench.rows import SHARED_DATA, Row, at_least, at_most, best_s, ms
from phantoms import dicom_series, digital, suv
from phantoms.volume import PetVolume

if TYPE_CHECKING:
    from numpy.typing import NDArray

MAX_FLOORS = 4.0
MIN_TIMES_PEERS = 3.0
MAX_HEADERS_S = 0.15
#: Of the float32 volume, above what the imports take.
MAX_MEMORY = 2.0
PATIENT = SHARED_DATA / "patient_ge" / "STS_001_bqml"
#: Slices, rows and columns of the series that are written for the occasion.
DRAWN = ((109, 168), (300, 400))
#: Slices of the longest whole-body scans, whose headers alone are read.
LONG = 545
#: Bytes of makers' private blocks in a header; some write another block in every slice.
PRIVATE_BYTES = 10_000


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


def by_simpleitk(folder: Path) -> NDArray[np.float32]:
    """Read the same with SimpleITK, which sorts by position and rescales; in one thread, as all here."""
    SimpleITK.ProcessObject.SetGlobalDefaultNumberOfThreads(1)
    reader = SimpleITK.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(folder)))
    reader.SetOutputPixelType(SimpleITK.sitkFloat32)
    return SimpleITK.GetArrayFromImage(reader.Execute())


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
    noise = np.random.default_rng(2)

    def per_slice(k: int) -> dict[Any, Any]:
        block = {(0x0029, "SIEMENS CSA HEADER", 0x10): ("OB", noise.bytes(PRIVATE_BYTES))}
        return dict(header.slice_attributes[k]) | block

    dicom_series.write_series(folder, volume, header.attributes, per_slice)


def volume_rows(name: str, path: Path, repeats: int) -> list[Row]:
    """Return how one folder is read, beside the floor and the peers, which take turns with it."""
    shape = ours(path).shape
    ours_s, floor_s, pydicom_s, simpleitk_s = best_s(
        repeats,
        lambda: ours(path),
        lambda: floor(path, shape),
        lambda: by_pydicom(path, shape),
        lambda: by_simpleitk(path),
        clock=process_time,
    )
    what = f"folder to SUV volume, {name}"
    floors = ours_s / floor_s
    beside = f"{ms(ours_s)}; floor {ms(floor_s)}"
    return [
        at_most(what, floors, MAX_FLOORS, "floors", is_timed=True, beside=beside)
        if "digital" in name
        else Row(what, f"{floors:.2f} floors", is_timed=True, beside=beside),
        *(
            at_least(
                f"{what}, than {peer}",
                peer_s / ours_s,
                MIN_TIMES_PEERS,
                "× faster",
                is_timed=True,
                beside=f"{ms(peer_s)}, {peer_s / floor_s:.1f} floors",
            )
            for peer, peer_s in (("pydicom", pydicom_s), ("SimpleITK", simpleitk_s))
        ),
    ]


def headers_row(folder: Path, repeats: int) -> Row:
    """Return the header pass over the longest scans."""
    draw(folder, LONG, 16)
    files = dicom_series.list_files(folder)
    (took,) = best_s(repeats, lambda: dicom_series.read_scan(files), clock=process_time)
    beside = f"{1000 * took / LONG:.3f} ms a file"
    return at_most(f"headers of {LONG} slices", took, MAX_HEADERS_S, "s", is_timed=True, beside=beside)


def memory_row(name: str, folder: Path) -> Row:
    """Return how far memory rose while a folder was read, in a process of its own."""
    command = [sys.executable, "-m", "bench.reading", folder]
    rise_bytes, volume_bytes = map(int, subprocess.run(command, check=True, capture_output=True).stdout.split())
    beside = f"{rise_bytes / 1e6:.0f} MB for a volume of {volume_bytes / 1e6:.0f} MB"
    return at_most(
        f"memory of reading, {name}", rise_bytes / volume_bytes, MAX_MEMORY, "volumes", is_timed=False, beside=beside
    )


def resident_bytes(which: str) -> int:
    """Return ``VmRSS``, what a process has in memory, or ``VmHWM``, the most that it had."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * int(next(line for line in lines if line.startswith(which)).split()[1])


def measure(mode: str, folder: Path) -> list[Row]:
    """Return the rows of each series, of the header pass and of the memory."""
    repeats = 3 if mode == "smoke" else 9
    inputs = {"267×128² patient": PATIENT} if PATIENT.is_dir() else {}
    for slices, edge in DRAWN[: 1 if mode == "smoke" else None]:
        path = folder / f"{slices}x{edge}"
        draw(path, slices, edge)
        inputs[f"{slices}×{edge}² digital"] = path
    rows = [row for name, path in inputs.items() for row in volume_rows(name, path, repeats)]
    name, path = list(inputs.items())[-1]
    return [*rows, headers_row(folder / "long", repeats), memory_row(name, path)]


if __name__ == "__main__":
    before = resident_bytes("VmRSS")
    read = ours(Path(sys.argv[1]))
    print(resident_bytes("VmHWM") - before, read.nbytes)
