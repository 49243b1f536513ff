"""Runs every section in a process of its own, prints one table, and ends with 0 if every limit that counts is kept."""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from bench.rows import MODES, Row
from corelab.threads import ONE_THREAD

ROOT = Path(__file__).resolve().parents[1]
SECTIONS = ("reading", "measuring", "lists", "trial_report", "phantoms.speed", "phantoms.accuracy", "stack")
#: What a section must not take from the person who calls: a bench never touches a database that is in use.
OURS_ALONE = {"DATABASE_URL", "REDIS_URL", "SECRET_KEY", "CORELAB_VAR_DIR", "CORELAB_NAME"}


def run_section(name: str, mode: str, folder: Path) -> list[Row]:
    """Run one section; one that breaks becomes a row that holds nothing."""
    place, answer = folder / name, folder / f"{name}.json"
    place.mkdir()
    env = {key: value for key, value in os.environ.items() if key not in OURS_ALONE}
    env |= ONE_THREAD | {
        "CORELAB_VAR_DIR": str(place / "var"),
        "DJANGO_SETTINGS_MODULE": "corelab.settings.local",
        "LOG_LEVEL": "ERROR",
    }
    command = [sys.executable, "-m", "bench.section", name, mode, str(place), str(answer)]
    ended = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, check=False)
    shutil.rmtree(place, ignore_errors=True)
    if ended.returncode:
        said = ended.stderr.strip().splitlines()
        print("\n".join(said[-30:]), file=sys.stderr)
        return [Row(name, "broke", "runs", holds=False, beside=said[-1] if said else f"status {ended.returncode}")]
    return [Row(**row) for row in json.loads(answer.read_text())]


def decides(row: Row, mode: str) -> bool:
    """Say whether a row has a part in how the bench ends: in a smoke run not what a busy machine can break."""
    return row.holds is not None and not (row.is_timed and mode == "smoke")


def word(row: Row, mode: str) -> str:
    """Return what stands behind a limit."""
    if row.holds is None:
        return ""
    if row.holds:
        return "ok"
    return "NOT KEPT" if decides(row, mode) else "not kept"


def print_table(rows: list[Row], mode: str) -> None:
    """Print the one table."""
    lines = [("what", "figure", "limit", "", "beside")]
    lines += [(row.name, row.figure, row.limit, word(row, mode), row.beside) for row in rows]
    widths = [max(len(line[k]) for line in lines) for k in range(4)]
    for line in lines:
        print("  ".join(f"{text:<{width}}" for text, width in zip(line, [*widths, 0], strict=True)).rstrip())


def main() -> int:
    """Parse the call, run, print, judge."""
    parser = argparse.ArgumentParser(prog="bench/run", description=__doc__)
    how_much = parser.add_mutually_exclusive_group()
    how_much.add_argument("--smoke", action="store_true", help="a minute: small inputs, times decide nothing")
    how_much.add_argument("--full", action="store_true", help="also 1,000 submissions of 100 slices: half an hour")
    parser.add_argument("--only", choices=SECTIONS, action="append", help="one section; may be given again")
    options = parser.parse_args()
    mode = MODES[0] if options.smoke else MODES[2] if options.full else MODES[1]
    rows: list[Row] = []
    took: list[str] = []
    with tempfile.TemporaryDirectory(prefix="corelab-bench-") as folder:
        for name in options.only or SECTIONS:
            print(f"{name} …", file=sys.stderr, flush=True)
            began = time.monotonic()
            rows += run_section(name, mode, Path(folder))
            took.append(f"{name} {time.monotonic() - began:.0f} s")
    print_table(rows, mode)
    load = " ".join(f"{value:.1f}" for value in os.getloadavg())
    print(f"\n{mode}: {', '.join(took)}; {os.cpu_count()} cores, load {load}")
    broken = [row.name for row in rows if decides(row, mode) and not row.holds]
    if broken:
        print(f"not kept: {'; '.join(broken)}")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
