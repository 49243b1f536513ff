"""The bench runs to its end and measures all that it names; no figure that a busy machine can change is judged here."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
#: How the rows begin; what follows says which input was at hand.
ROWS = (
    "folder to SUV volume",
    "cylinder analysis",
    "NEMA IQ analysis, digital",
    "all rules, 267 slices digital",
    "figures and PDF of a report",
    "offline command, NEMA IQ",
    "list home-show, site user",
    "list work-list, physicist",
    "list submission-list, trial manager",
    "list audit-list, auditor",
    "trial report, 800 scans",
    "trial report, memory beyond that of",
    "last byte to verdict, beyond the analysis, first scan",
    "last byte to verdict, beyond the analysis, later",
    "first visit, sign-in",
    "first visit, site home",
    "worker, peak memory",
    "web process, growth over",
)


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.xdist_group("stack")
def test_bench_when_run_as_a_smoke_then_it_prints_every_row_and_keeps_what_no_busy_machine_can_break():
    ran = subprocess.run([ROOT / "bench" / "run", "--smoke"], capture_output=True, text=True, check=False)
    said = f"{ran.stdout}\n{ran.stderr}"
    printed = ran.stdout.splitlines()
    assert [row for row in ROWS if not any(line.startswith(row) for line in printed)] == [], said
    assert ran.returncode == 0, said


@pytest.mark.parametrize(("mode", "status"), [("smoke", 0), ("normal", 1)])
def test_bench_when_a_time_is_not_kept_then_only_a_smoke_run_forgives_it(monkeypatch, capsys, mode, status):
    from bench import __main__ as bench
    from bench.rows import at_most

    late = at_most("report", 3.0, 2.0, "s", is_timed=True)
    monkeypatch.setattr(bench, "run_section", lambda name, mode, folder: [late])
    monkeypatch.setattr("sys.argv", ["bench/run", "--only", "reading", *(["--smoke"] if mode == "smoke" else [])])
    assert bench.main() == status
    assert "report  3 s     ≤ 2 s  " in capsys.readouterr().out


def test_bench_when_memory_is_not_kept_then_a_smoke_run_ends_with_one(monkeypatch, capsys):
    from bench import __main__ as bench
    from bench.rows import at_most

    large = at_most("worker", 500.0, 400.0, "MB", is_timed=False)
    monkeypatch.setattr(bench, "run_section", lambda name, mode, folder: [large])
    monkeypatch.setattr("sys.argv", ["bench/run", "--smoke", "--only", "stack"])
    assert bench.main() == 1
    assert "not kept: worker" in capsys.readouterr().out


def test_bench_when_a_section_breaks_then_its_row_says_so(tmp_path):
    from bench.__main__ import run_section

    (row,) = run_section("nothing_of_this_name", "smoke", tmp_path)
    assert row.holds is False
    assert "nothing_of_this_name" in row.beside
