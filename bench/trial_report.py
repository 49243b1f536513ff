"""A trial's conformance report with few and with many signed scans: its time, its memory, and the size of its files."""

from __future__ import annotations

import json
import os
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from time import perf_counter
from typing import Any

from django.conf import settings
from django.core.management import call_command
from django.db import connections, transaction

from bench.lists import RULES, VERDICTS, Lab
from bench.rows import Row, at_most
from corelab import audit
from corelab.models.work import WorkState
from qc import services
from qc.models import Run, Submission
from qc.reports.trial import MOST_ROWS
from qc.states import SubmissionState as S

#: More than the document lists one by one, so that what grows from here on grows with the trial.
FEW = MOST_ROWS + 100
MANY = {"smoke": 800, "normal": 2_000, "full": 5_000}
MAX_S, MAX_BEYOND_MB = 10.0, 16.0


def _result(raised: dict[str, str], uptake_min: float) -> dict[str, Any]:
    """Return as much as a patient's result holds: every rule, a trace, the scan day."""
    findings = [
        {
            "id": rule,
            "outcome": raised.get(rule, "PASS"),
            "severity": "query",
            "observed": "72 kg in the images, 72 kg by the site",
            "expected": "at most 1 kg or 2 % apart",
            "message": "The weight in the images is that of the site's form (0010,1030).",
            "next_step": "",
            "owner": "site",
            "source": "protocol",
        }
        for rule in (*RULES, *(f"RUL-{k:02}" for k in range(38)))
    ]
    clearance = {"certificate": "PET-2026-1001", "until": "2027-03-02"}
    values = {"uptake_min": uptake_min, "injected_mbq": 281.0, "weight_kg": 72.0, "clearance": clearance}
    trace = [{"attribute": "(0018,1074)", "value": "281000000", "use": "injected activity, Bq"} for _ in range(40)]
    return {
        "findings": findings,
        "conformance": {"protocol": {"version": 1, "digest": "1" * 64}, "values": values},
        "suv": {"trace": trace},
        "measurements": [{"name": f"number_{k}", "value": 0.5, "source": "x" * 80} for k in range(20)],
    }


def grow(lab: Lab, count: int) -> None:
    """Let the lab's first trial have so many signed scans."""
    submissions, runs = [], []
    for number in range(1001 + lab.count, 1001 + count):
        scanner, verdict = lab.dice.choice(lab.scanners), lab.dice.choice(VERDICTS)
        raised = {} if verdict == "PASS" else {lab.dice.choice(RULES): verdict}
        uptake_min = lab.dice.gauss(63, 6)
        at = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(hours=number)
        submission = Submission(
            number=number,
            site_id=scanner.site_id,
            scanner=scanner,
            reconstruction=scanner.reconstructions.all()[0],
            kind="patient",
            trial=lab.trials[0],
            subject_code=f"{number:05}",
            visit="PET1",
            state=S.RELEASED,
            verdict=verdict,
            raised=raised,
            uptake_min=uptake_min,
            created_by=lab.people["site user"],
            scanned_at=at,
            sent_at=at,
            released_at=at,
            work_state=WorkState.DONE,
        )
        submissions.append(submission)
        runs.append(
            Run(
                number=number,
                submission=submission,
                method="patient",
                method_version=1,
                input_digest="sha256:" + "0a" * 32,
                parameters_digest="b" * 64,
                program_digest="c" * 64,
                result=_result(raised, uptake_min),
                result_digest=f"{number:064x}",
                verdict=verdict,
                work_state=WorkState.DONE,
            )
        )
    with transaction.atomic():
        Submission.objects.bulk_create(submissions, batch_size=200)
        Run.objects.bulk_create(runs, batch_size=200)
        for run in runs:
            run.submission.current_run = run
        Submission.objects.bulk_update(submissions, ["current_run"], batch_size=200)
    lab.count = count


def made(lab: Lab) -> dict[str, Any]:
    """Return what the report of the trial costs in a process of its own: seconds, growth of its memory, sizes of files.

    A process of its own, because the typesetter keeps what it made for its last ten documents.
    """
    connections.close_all()
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        status = 1
        with suppress(BaseException), os.fdopen(writing, "w") as answer:
            json.dump(_make(lab), answer)
            status = 0
        os._exit(status)
    os.close(writing)
    with os.fdopen(reading) as answer:
        said = answer.read()
    os.waitpid(child, 0)
    assert said, "the report was not made"
    found: dict[str, Any] = json.loads(said)
    return found


def _make(lab: Lab) -> dict[str, Any]:
    actor = lab.people["physicist"]
    with audit.acting(actor, role="Physicist"):
        report = services.trial_report_request(trial=lab.trials[0], actor=actor)
    before_mb, started = _peak_mb(anew=True), perf_counter()
    with audit.acting(name="system: bench"):
        services.trial_report_make(trial_report_id=report.pk)
    took_s = perf_counter() - started
    report.refresh_from_db()
    assert report.work_state == WorkState.DONE, report.work_error
    sizes = {name: getattr(report, name).size_bytes / 1e3 for name in ("pdf", "csv", "deviations_csv")}
    return {"took_s": took_s, "growth_mb": _peak_mb() - before_mb, "sizes_kb": sizes}


def _peak_mb(*, anew: bool = False) -> float:
    """Return the largest resident set that this process had, MB; ``anew`` forgets what it had before."""
    if anew:
        Path("/proc/self/clear_refs").write_text("5")
    (line,) = (line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM:"))
    return int(line.split()[1]) / 1024


def measure(mode: str, folder: Path) -> list[Row]:
    """Return the time of a large trial's report, and how much memory it takes beyond that of a small one."""
    Path(settings.VAR_DIR).mkdir()
    call_command("migrate", interactive=False, verbosity=0)
    lab = Lab()
    grow(lab, FEW)
    few = made(lab)
    for count in range(FEW, MANY[mode], 300):
        grow(lab, min(count + 300, MANY[mode]))
    many = made(lab)
    sizes = many["sizes_kb"]
    files = f"PDF {sizes['pdf']:.0f} kB, CSV {sizes['csv']:.0f} and {sizes['deviations_csv']:.0f} kB"
    beyond_mb = max(0.0, many["growth_mb"] - few["growth_mb"])
    return [
        at_most(
            f"trial report, {MANY[mode]:,} scans",
            many["took_s"],
            MAX_S,
            "s",
            is_timed=True,
            beside=f"{few['took_s']:.2f} s with {FEW}; {files}",
        ),
        at_most(
            f"trial report, memory beyond that of {FEW} scans",
            beyond_mb,
            MAX_BEYOND_MB,
            "MB",
            is_timed=False,
            beside=f"{few['growth_mb']:.0f} MB, then {many['growth_mb']:.0f} MB",
        ),
    ]
