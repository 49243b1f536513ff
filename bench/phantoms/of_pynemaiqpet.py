"""Runs pynemaiqpet over folders of DICOM files; started by `bench.phantoms.peers` in that program's environment."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import matplotlib as mpl

mpl.use("Agg")

import pymirc.fileio as pmf
from pynemaiqpet.nema_wb import fit_WB_NEMA_sphere_profiles

RADII_MM = [18.5, 14.0, 11.0, 8.5, 6.5, 5.0]


def rise_bytes(before: int) -> int:
    return peak_bytes() - before


def peak_bytes() -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * int(next(line for line in lines if line.startswith("VmHWM")).split()[1])


def main() -> None:
    job = json.loads(Path(sys.argv[1]).read_text())
    answers = []
    before = peak_bytes()
    for folder in job["folders"]:
        best = (float("inf"), 0.0, 0.0)
        for _ in range(job.get("repeats", 1)):
            began = time.process_time()
            dicom = pmf.DicomVolume(str(Path(folder) / "*"))
            image = dicom.get_data()
            read = time.process_time()
            _, found = fit_WB_NEMA_sphere_profiles(
                image, dicom.voxsize, sameSignal=True, Rfix=RADII_MM, dfix=job["wall_mm"], showBGROI=False
            )
            ended = time.process_time()
            best = min(best, (ended - began, read - began, ended - read))
        answers.append(
            {
                "spheres": found.to_dict(orient="records"),
                "read_s": best[1],
                "fit_s": best[2],
                "rise_bytes": rise_bytes(before),
            }
        )
    Path(sys.argv[2]).write_text(json.dumps(answers))


if __name__ == "__main__":
    main()
