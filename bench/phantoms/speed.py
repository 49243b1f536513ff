"""How long one sphere phantom takes, and how much memory, beside the programs that measure the same one.

A section of ``bench/run``. Run as a program it measures one folder several times and writes seconds and memory.
"""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from pathlib import Path
from time import process_time
from typing import Any

import numpy as np

from bench.phantoms import peers
from bench.phantoms.accuracy import task_for_chameleoniq
from bench.reading import resident_bytes
from bench.rows import RECON_1, RECON_1_SHEET, Row, at_most, best_s, ms
from phantoms import dicom_series, digital, nema_iq, standards
from phantoms.sheet import Sheet
from phantoms.volume import along_patient_axes

ROOT = Path(__file__).resolve().parents[2]
#: Of what pynemaiqpet takes to read and fit.
MAX_ANALYSIS = 1.0
#: Of the peers' commands, imports, figures and all; the second is what is aimed at.
MAX_COMMAND, AIM_COMMAND = 1 / 2, 1 / 4
MAX_COMMAND_CHAMELEONIQ = 1 / 8
MAX_VOLUMES = 5.0
#: What the search for the filter that brings an image into EARL's limits may add.
MAX_FILTER_S = 2.0
EDITIONS = ("earl1_18f", "earl2_18f")
#: What a process that measures says: the analysis, the same with the search for the filter, with the look for faults.
LEAST: dict[str, dict[str, Any]] = {
    "seconds": {},
    "with_filter_s": {"sheet": Sheet.parse(RECON_1_SHEET)},
    "with_faults_s": {"with_faults": True},
}


def analyse(folder: Path, sheet: Sheet | None = None, *, with_faults: bool = False) -> None:
    """Read, find the phantom, measure NEMA's and EARL's numbers and the blur, judge by both editions.

    Every number has its uncertainty, which the program beside it does not give. Without a sheet no filter is searched
    for, and without ``with_faults`` no bubble, sector or slope, which that program does not do either.
    """
    volume = dicom_series.choose(dicom_series.read_scan(dicom_series.list_files(folder))).load()
    result = nema_iq.measure_numbers(volume, reference_time=None, sheet=sheet)
    if with_faults:
        result = nema_iq.look_for_faults(volume, result)
    for edition in EDITIONS:
        standards.judge(result.measurements, standards.load(edition))


def ours(folder: Path, repeats: int) -> dict[str, float]:
    """Measure in a process of its own, after its imports."""
    command = [sys.executable, "-m", "bench.phantoms.speed", folder, str(repeats)]
    answer: dict[str, float] = json.loads(subprocess.run(command, check=True, capture_output=True, cwd=ROOT).stdout)
    return answer


def in_turn(folder: Path, repeats: int, rounds: int) -> tuple[dict[str, float], dict[str, Any] | None]:
    """Return our least and pynemaiqpet's least time over several rounds in which both take turns."""
    found: list[dict[str, float]] = []
    theirs: list[dict[str, Any]] = []
    for _ in range(rounds):
        found.append(ours(folder, repeats))
        if peers.is_there("pynemaiqpet"):
            job = {"folders": [str(folder)], "wall_mm": 0.0, "repeats": repeats}
            theirs += peers.ask("pynemaiqpet", job)
    best = {name: min(one[name] for one in found) for name in LEAST}
    best["rise_bytes"] = max(one["rise_bytes"] for one in found)
    return best, min(theirs, key=lambda one: one["read_s"] + one["fit_s"], default=None)


def analysis_rows(name: str, folder: Path, repeats: int, rounds: int) -> list[Row]:
    our, their = in_turn(folder, repeats, rounds)
    volume_bytes = 4 * 89 * 192**2
    memory = at_most(
        f"memory of an analysis, {name}",
        our["rise_bytes"] / volume_bytes,
        MAX_VOLUMES,
        "volumes",
        is_timed=False,
        beside=f"{our['rise_bytes'] / 1e6:.0f} MB above the imports for a volume of {volume_bytes / 1e6:.0f} MB",
    )
    faults_s = our["with_faults_s"] - our["seconds"]
    faults = Row(f"look for faults, {name}", ms(faults_s), is_timed=True, beside="beyond the numbers; no peer does it")
    what = f"read, find, NEMA, EARL 1 and 2, FWHM, {name}"
    added_s = max(our["with_filter_s"] - our["seconds"], 0.0)
    search = at_most(f"recoveries and filter search, {name}", added_s, MAX_FILTER_S, "s", is_timed=True)
    if their is None:
        return [Row(what, ms(our["seconds"]), is_timed=True, beside=peers.ABSENT), search, faults, memory]
    their_s = their["read_s"] + their["fit_s"]
    beside = f"{ms(our['seconds'])}; pynemaiqpet reads in {ms(their['read_s'])} and fits in {ms(their['fit_s'])}"
    return [
        at_most(what, our["seconds"] / their_s, MAX_ANALYSIS, "of pynemaiqpet", is_timed=True, beside=beside),
        search,
        faults,
        memory,
    ]


def quiet(*command: Any, cwd: Path | None = None) -> None:
    env = os.environ | {"MPLBACKEND": "Agg", "QT_QPA_PLATFORM": "offscreen"}
    subprocess.run(list(map(str, command)), check=True, capture_output=True, cwd=cwd, env=env)


def command_rows(folder: Path, work: Path, repeats: int) -> list[Row]:
    """Return the wall time of the commands, which take turns."""
    sheet = work / "sheet.json"
    sheet.write_text(json.dumps(RECON_1_SHEET))
    own = [sys.executable, ROOT / "manage.py", "analyse", folder, "--method", "nema_iq", "--sheet", sheet, "--json"]
    seconds = {}
    theirs = {}
    if peers.is_there("pynemaiqpet"):
        command = peers.program("pynemaiqpet", "pynemaiqpet_wb_nema_iq")
        theirs["pynemaiqpet"] = lambda: quiet(command, folder, "--output_dir", work / "pynemaiqpet", cwd=work)
    if peers.is_there("chameleoniq"):
        nifti, settings = chameleoniq_inputs(folder, work)
        program = peers.program("chameleoniq", "chameleoniq_quant")
        output = work / "chameleoniq" / "results.txt"
        theirs["chameleoniq"] = lambda: quiet(program, nifti, "--config", settings, "--output", output, cwd=work)
    our_s, *their_s = best_s(repeats, lambda: quiet(*own), *theirs.values())
    seconds = dict(zip(theirs, their_s, strict=True))
    if not seconds:
        return [Row("offline command, NEMA IQ", f"{our_s:.2f} s", is_timed=True, beside=peers.ABSENT)]
    limits = {"pynemaiqpet": MAX_COMMAND, "chameleoniq": MAX_COMMAND_CHAMELEONIQ}
    rows = []
    for name, took in seconds.items():
        aim = f"; aim {AIM_COMMAND:g}" if name == "pynemaiqpet" else ""
        beside = f"{our_s:.2f} s against {took:.2f} s{aim}"
        what = f"offline command, NEMA IQ, beside {name}'s"
        rows.append(at_most(what, our_s / took, limits[name], f"of {name}", is_timed=True, beside=beside))
    return rows


def chameleoniq_inputs(folder: Path, work: Path) -> tuple[Path, Path]:
    """Write what that command takes: NIfTI, and a file with the places of spheres and background."""
    volume = dicom_series.choose(dicom_series.read_scan(dicom_series.list_files(folder))).load()
    result = nema_iq.measure(volume, reference_time=None, sheet=Sheet.parse(RECON_1_SHEET))
    volume = along_patient_axes(volume)
    np.save(work / "image.npy", volume.image)
    task = task_for_chameleoniq(volume, result.pose.spheres, result, 10.0)
    # Its plots take whole voxels only.
    task["centers_yx"] = {diameter: [round(one) for one in at] for diameter, at in task["centers_yx"].items()}
    task["background_offsets_yx"] = [[round(one) for one in at] for at in task["background_offsets_yx"]]
    task |= {"image": str(work / "image.npy"), "folder": str(work / "chameleoniq")}
    peers.ask("chameleoniq", {"tasks": [task], "only_write": True})
    return work / "chameleoniq" / "image.nii", work / "chameleoniq" / "settings.yaml"


def measure(mode: str, folder: Path) -> list[Row]:
    """Return the rows on a digital phantom and, where it is at hand, on the real one."""
    repeats, rounds = {"smoke": (1, 1)}.get(mode, (5, 3))
    drawn = folder / "drawn"
    scan = digital.nema_iq(
        7.0, 0.07, shift_mm=(0.0, 0.0, -20.0), shape_zyx=(89, 192, 192), spacing_zyx_mm=(2.0, 2.0, 2.0), seed=3
    )
    digital.write_dicom(scan, drawn)
    rows = analysis_rows("89×192² digital", drawn, repeats, rounds)
    if RECON_1.is_dir():
        rows += analysis_rows("recon_1", RECON_1, repeats, rounds)
    work = folder / "work"
    work.mkdir()
    return rows + command_rows(RECON_1 if RECON_1.is_dir() else drawn, work, 1 if mode == "smoke" else 3)


if __name__ == "__main__":
    before = resident_bytes("VmRSS")
    least = dict.fromkeys(LEAST, math.inf)
    for _ in range(int(sys.argv[2])):
        for name, asked in LEAST.items():
            began = process_time()
            analyse(Path(sys.argv[1]), **asked)
            least[name] = min(least[name], process_time() - began)
    print(json.dumps({**least, "rise_bytes": resident_bytes("VmHWM") - before}))
