"""What a test asks of a running stack, from a process of its own that shares nothing with the test but the database.

``python -m tests.stack.driver COMMAND …`` prints one line of JSON.
"""

from __future__ import annotations

import io
import json
import os
import signal
import sys
import tempfile
import time
from pathlib import Path

import django

if __name__ == "__main__":
    django.setup()

from corelab import audit
from corelab.models import Attempt, Role
from corelab.models.work import WorkState
from phantoms import digital
from qc import services
from qc.models import Run, Submission
from tests import factories


def send(kind: str, fineness: str) -> dict:
    """Send one digital scan by the services; ``fineness`` divides the voxels' edges."""
    fine = int(fineness)
    grid = {
        "shape_zyx": tuple(fine * n for n in (110, 168, 168)),
        "spacing_zyx_mm": tuple(edge / fine for edge in (2.0, 3.2, 3.2)),
    }
    scan = digital.nema_iq(**grid) if kind == "nema_iq" else digital.uniform_cylinder(**grid)
    site = factories.site()
    person = factories.user(Role.SITE_USER, site=site)
    with audit.acting(person, role="Site user"), tempfile.TemporaryDirectory() as folder:
        draft = services.submission_start(actor=person, site=site, kind=kind, scanner=factories.scanner(site))
        services.sheet_save(submission_id=draft.pk, actor=person, sheet=scan.sheet)
        for path in digital.write_dicom(scan, Path(folder)):
            content = path.read_bytes()
            upload = services.upload_create(
                submission_id=draft.pk, actor=person, length_bytes=len(content), file_name=path.name
            )
            services.upload_append(upload_id=upload.pk, actor=person, offset_bytes=0, stream=io.BytesIO(content))
        services.submission_send(submission_id=draft.pk, actor=person)
    return {"number": draft.number}


def _running(number: str) -> str:
    """Return which worker process has the run, as soon as one has it."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        run = Run.objects.filter(submission__number=number, work_state=WorkState.RUNNING).first()
        if run is not None:
            return run.worker
        time.sleep(0.01)
    return ""


def kill_worker(number: str) -> dict:
    """Kill the whole process group of the worker that has the run, in the instant in which it is seen."""
    worker = _running(number)
    if worker:
        os.killpg(os.getpgid(int(worker.rpartition("/")[2])), signal.SIGKILL)
    return {"worker": worker, **state(number)}


def kill_process(number: str, pid: str) -> dict:
    """Kill one process in the instant in which a worker is seen to have the run."""
    worker = _running(number)
    os.kill(int(pid), signal.SIGKILL)
    return {"worker": worker}


def state(number: str) -> dict:
    """Return where a submission and its runs stand, with every try at each run."""
    submission = Submission.objects.get(number=number)
    runs = [
        {
            "state": run.work_state,
            "worker": run.worker,
            "verdict": run.verdict,
            "attempts": list(
                Attempt.objects.filter(target_id=str(run.pk)).order_by("number").values_list("outcome", flat=True)
            ),
        }
        for run in submission.runs.order_by("number")
    ]
    return {"state": submission.state, "findings": submission.check_findings, "runs": runs}


def settled(number: str, within_s: str) -> dict:
    """Wait until a submission is measured or held."""
    deadline = time.monotonic() + float(within_s)
    while time.monotonic() < deadline:
        if Submission.objects.get(number=number).state in {"AWAITING_REVIEW", "PREVIEWED", "HELD", "DRAFT"}:
            break
        time.sleep(0.1)
    return state(number)


if __name__ == "__main__":
    command, *words = sys.argv[1:]
    known = {known.__name__: known for known in (send, kill_worker, kill_process, state, settled)}
    answer = known[command](*words)
    sys.stdout.write(f"{json.dumps(answer)}\n")
