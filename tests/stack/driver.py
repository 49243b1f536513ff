"""What a test asks of a running stack, from a process of its own that shares nothing with the test but the database.

``python -m tests.stack.driver COMMAND …`` prints one line of JSON.
"""

from __future__ import annotations

import io
import json
import os
import resource
import signal
import sys
import tempfile
import time
import zipfile
from datetime import timedelta
from pathlib import Path

import django

if __name__ == "__main__":
    django.setup()

from django.db import transaction
from django.utils import timezone

from corelab import audit, jobs
from corelab.models import Attempt, Role, User
from corelab.models.work import WorkState
from phantoms import digital
from qc import services
from qc.models import Run, Submission, Upload
from tests import factories


def send(kind: str, fineness: str) -> dict:
    """Send one digital scan by the services; ``fineness`` divides the voxels' edges."""
    fine = int(fineness)
    grid = {
        "shape_zyx": tuple(fine * n for n in (110, 168, 168)),
        "spacing_zyx_mm": tuple(edge / fine for edge in (2.0, 3.2, 3.2)),
    }
    scan = digital.nema_iq(**grid) if kind == "nema_iq" else digital.uniform_cylinder(**grid)
    person = _site_user(serial="1")
    with audit.acting(person, role="Site user"), tempfile.TemporaryDirectory() as folder:
        draft = _draft(person, kind)
        services.sheet_save(submission_id=draft.pk, actor=person, sheet=scan.sheet)
        for path in digital.write_dicom(scan, Path(folder)):
            _upload(draft, path.name, path.read_bytes())
        services.submission_send(submission_id=draft.pk, actor=person)
    return {"number": draft.number}


def send_zips(count: str, entries: str) -> dict:
    """Upload zips of so many files, each of its own; all are packed first, so that one follows the other at once."""
    packed = [_zip_of(int(entries), f"{os.getpid()}-{n}") for n in range(int(count))]
    person = _site_user()
    with audit.acting(person, role="Site user"):
        uploads = [_upload(_draft(person, "cylinder"), "scan.zip", content) for content in packed]
    return {"uploads": [str(upload.pk) for upload in uploads]}


def _zip_of(entries: int, words: str) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for k in range(entries):
            archive.writestr(f"{k}.txt", f"{words} {k}")
    return packed.getvalue()


def send_to_a_lost_worker() -> dict:
    """Send an empty draft whose check is taken, a minute ago, by a process that has ended: this one."""
    person = _site_user()
    with audit.acting(person, role="Site user"), transaction.atomic():
        draft = services.submission_send(submission_id=_draft(person, "cylinder").pk, actor=person)
        assert jobs.claim(draft)
        Submission.objects.filter(pk=draft.pk).update(heartbeat_at=draft.heartbeat_at - timedelta(minutes=1))
    return {"number": draft.number}


def _site_user(*, serial: str = "") -> User:
    """Make a site with the images' scanner and a person; other processes of the driver make others, of own serial."""
    own = os.getpid()
    site = factories.site(code=f"site-{own}")
    scanner = factories.scanner(
        site, manufacturer="SIEMENS", model="Digital PET", software="1", serial=serial or str(own)
    )
    scanner.reconstructions.update(method="PSF+TOF 3i21s", filter_fwhm_mm=4)
    return factories.user(Role.SITE_USER, site=site, email=f"person{own}@example.org")


def _draft(person: User, kind: str) -> Submission:
    site = person.memberships.get().site
    return services.submission_start(actor=person, site=site, kind=kind, scanner=site.scanners.get())


def _upload(draft: Submission, name: str, content: bytes) -> Upload:
    person = draft.created_by
    upload = services.upload_create(submission_id=draft.pk, actor=person, length_bytes=len(content), file_name=name)
    services.upload_append(upload_id=upload.pk, actor=person, offset_bytes=0, stream=io.BytesIO(content))
    return upload


def _running(number: int, **which: int) -> str:
    """Return which worker process has the run, as soon as one has it; ``which`` narrows to a try."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        run = Run.objects.filter(submission__number=number, work_state=WorkState.RUNNING, **which).first()
        if run is not None:
            return run.worker
        time.sleep(0.01)
    return ""


def send_and_kill_worker(kind: str, fineness: str) -> dict:
    """Send, and kill the whole process group of the worker that has the run, in the instant in which it is seen.

    One command: a process that started after the sending could come when the run is done.
    """
    number = send(kind, fineness)["number"]
    worker = _running(number)
    if worker:
        os.killpg(os.getpgid(int(worker.rpartition("/")[2])), signal.SIGKILL)
    return {"number": number, "worker": worker, **state(number)}


def send_and_kill_process(kind: str, fineness: str, pid: str) -> dict:
    """Send, and kill one process in the instant in which a worker is seen to have the run."""
    number = send(kind, fineness)["number"]
    worker = _running(number)
    os.kill(int(pid), signal.SIGKILL)
    return {"number": number, "worker": worker}


def send_and_crash_workers(kind: str, fineness: str, times: str) -> dict:
    """Send, let the process that has the run crash at so many tries as a decoder does, then run it again by hand.

    Each crash is made a minute old at once, so that the sweep sees the silence without anybody waiting for it.
    One command: a process of its own for each step would take longer than the steps.
    """
    number = send(kind, fineness)["number"]
    crashed = []
    for attempt in range(1, int(times) + 1):
        worker = _running(number, attempts=attempt)
        if not worker:
            break
        pid = int(worker.rpartition("/")[2])
        resource.prlimit(pid, resource.RLIMIT_CORE, (0, 0))  # no file of its memory
        os.kill(pid, signal.SIGSEGV)
        crashed.append(worker)
        while Path(f"/proc/{pid}").exists():
            time.sleep(0.01)
        silent_since = timezone.now() - timedelta(minutes=1)
        Run.objects.filter(submission__number=number, attempts=attempt).update(heartbeat_at=silent_since)
    after_crashes = settled(number, "30")
    if after_crashes["state"] == "HELD":
        physicist = factories.user(Role.PHYSICIST)
        held = Submission.objects.get(number=number)
        with audit.acting(physicist, role="Physicist"):
            services.submission_recheck(submission_id=held.pk, actor=physicist, reason="The worker crashed.")
    return {"crashed": crashed, "after_crashes": after_crashes, "again": settled(number, "30")}


def state(number: str | int) -> dict:
    """Return where a submission and its runs stand, with every try at each run."""
    submission = Submission.objects.get(number=number)
    runs = [
        {
            "state": run.work_state,
            "worker": run.worker,
            "verdict": run.verdict,
            "findings": [one["id"] for one in (run.result or {}).get("findings", []) if one["outcome"] != "PASS"],
            "attempts": list(
                Attempt.objects.filter(target_id=str(run.pk)).order_by("number").values_list("outcome", flat=True)
            ),
        }
        for run in submission.runs.order_by("number")
    ]
    said = {"hold_code": submission.hold_code, "hold_reason": submission.hold_reason}
    return {"state": submission.state, "findings": submission.check_findings, "runs": runs} | said


def uploads(*ids: str) -> dict:
    """Return how far the work at these uploads is."""
    return {"states": [Upload.objects.get(pk=pk).work_state for pk in ids]}


def checked(number: str, within_s: str) -> dict:
    """Wait until the arrival check of a submission ended, and return its state and every try."""
    deadline = time.monotonic() + float(within_s)
    while Submission.objects.get(number=number).state == "CHECKING" and time.monotonic() < deadline:
        time.sleep(0.1)
    submission = Submission.objects.get(number=number)
    attempts = Attempt.objects.filter(target_id=str(submission.pk)).order_by("number")
    return {"state": submission.state, "attempts": list(attempts.values_list("outcome", flat=True))}


def settled(number: str | int, within_s: str) -> dict:
    """Wait until a submission is measured or held."""
    deadline = time.monotonic() + float(within_s)
    while time.monotonic() < deadline:
        if Submission.objects.get(number=number).state in {"AWAITING_REVIEW", "PREVIEWED", "HELD", "DRAFT"}:
            break
        time.sleep(0.1)
    return state(number)


if __name__ == "__main__":
    command, *words = sys.argv[1:]
    sending = (
        send,
        send_zips,
        send_to_a_lost_worker,
        send_and_kill_worker,
        send_and_kill_process,
        send_and_crash_workers,
    )
    known = {known.__name__: known for known in (*sending, state, uploads, checked, settled)}
    answer = known[command](*words)
    sys.stdout.write(f"{json.dumps(answer)}\n")
