"""Real workers over a real broker: work gets done, and is done again when a worker is killed in the middle."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
import redis

from corelab.celery import QUEUES
from corelab.embedded import beat_command, valkey_command, worker_command
from tests.stack.conftest import Place, wait_for

pytestmark = pytest.mark.timeout(240)


def start_broker(place: Place) -> redis.Redis:
    """Start the embedded broker unless the place has one, and return a client of it."""
    folder = place.var_dir / "run"
    folder.mkdir(parents=True, mode=0o700)
    if "REDIS_URL" in place.env:
        return redis.Redis.from_url(place.env["REDIS_URL"])
    socket = Path(place.setting("EMBEDDED_SOCKET"))
    socket.parent.mkdir(parents=True, exist_ok=True)
    place.serve(*valkey_command(socket, folder), log="queue")
    client = redis.Redis(unix_socket_path=str(socket))

    def answers() -> bool:
        try:
            return bool(client.ping())
        except redis.ConnectionError:
            return False

    wait_for("broker", answers, within_s=10)
    return client


def test_worker_when_a_scan_is_sent_then_it_is_measured_and_reported(place: Place) -> None:
    process, _ = place.up("--port", "0")
    number = place.ask("send", "cylinder", "1")["number"]
    end = place.ask("settled", str(number), "60")
    assert end["state"] == "AWAITING_REVIEW", place.story(end)
    (run,) = end["runs"]
    assert run["verdict"] == "PASS", run
    assert run["attempts"] == ["COMPLETED"]
    assert run["worker"].startswith(f"corelab-{process.pid}-worker@")
    wait_for("report", lambda: list((place.var_dir / "reports").glob(f"S-{number}_R-*.pdf")), within_s=120)


def test_worker_when_its_group_is_killed_in_mid_analysis_then_another_completes_the_run(place: Place) -> None:
    client = start_broker(place)
    migrate = place.run("manage.py", "migrate", "--verbosity=0")
    said, _ = migrate.communicate(timeout=60)
    assert migrate.returncode == 0, said
    for name in ("first", "second"):
        place.serve(*worker_command("worker", f"{name}@here"), log=name)
    place.serve(*worker_command("short-worker", "short@here"), log="short")
    place.serve(*beat_command(place.var_dir / "run" / "beat"), log="beat")
    killed = place.ask("send_and_kill_worker", "nema_iq", "2")
    assert killed["worker"], killed
    number, victim = str(killed["number"]), killed["worker"].partition("@")[0]
    assert place.ask("state", number)["runs"][0]["state"] == "RUNNING", "the kill came too late"

    end = place.ask("settled", number, "60")
    assert end["state"] == "AWAITING_REVIEW", place.story(end)
    (run,) = end["runs"]
    assert run["state"] == "DONE"
    assert run["attempts"] == ["LOST", "COMPLETED"]
    assert run["worker"].partition("@")[0] != victim
    client.close()


def test_worker_when_its_process_crashes_at_every_try_then_it_ends_as_our_error_that_a_person_runs_again(
    place: Place,
) -> None:
    place.up("--port", "0")
    told = place.ask("send_and_crash_workers", "cylinder", "1", "3")
    assert len(set(told["crashed"])) == 3, place.story(told)

    end = told["after_crashes"]
    (run,) = end["runs"]
    assert (end["state"], end["hold_code"]) == ("HELD", "OUR-ERROR"), place.story(end)
    assert (run["state"], run["verdict"]) == ("FAILED", "ERROR")
    assert run["attempts"] == ["LOST", "LOST", "LOST"]
    assert end["hold_reason"].startswith("Our error in cylinder@")
    assert end["hold_reason"].endswith("The files are safe.")

    # The pool has new processes, and the files are there: the next step that the page offers ends well.
    end = told["again"]
    assert end["state"] == "AWAITING_REVIEW", place.story(end)
    assert end["runs"][0]["attempts"] == ["LOST", "LOST", "LOST", "COMPLETED"]


def test_parent_when_killed_in_mid_analysis_then_no_process_is_left_within_five_seconds(place: Place) -> None:
    process, _ = place.up("--port", "0")
    killed = place.ask("send_and_kill_process", "nema_iq", "2", str(process.pid))
    assert killed["worker"], killed
    # The kernel ends them at once; with a warm stop they would first finish the analysis.
    wait_for("all gone", lambda: not place.processes(), within_s=2)

    # The next start takes the work up again.
    place.up("--port", "0")
    end = place.ask("settled", str(killed["number"]), "60")
    assert end["state"] == "AWAITING_REVIEW", place.story(end)
    assert end["runs"][0]["attempts"] == ["LOST", "COMPLETED"]


def test_message_when_a_job_is_announced_then_it_lies_in_its_own_queue_alone(place: Place) -> None:
    client = start_broker(place)
    ring = "import django; django.setup(); from corelab import jobs; jobs.enqueue('qc.analyse_run', run_id=1)"
    announcing = place.run("-c", ring)
    said, _ = announcing.communicate(timeout=30)
    assert announcing.returncode == 0, said
    assert {name: client.llen(name) for name in QUEUES} == {"short": 0, "intake": 0, "analysis": 1, "reports": 0}
    client.close()


def test_workers_when_two_long_zips_unpack_then_sweep_and_arrival_check_still_run(place: Place) -> None:
    place.up("--port", "0")
    zips = place.ask("send_zips", "2", "20000")["uploads"]

    def unpacking() -> list[str]:
        return place.ask("uploads", *zips)["states"]

    wait_for("both zips at work", lambda: unpacking() == ["RUNNING", "RUNNING"], within_s=120)
    number = str(place.ask("send_to_a_lost_worker")["number"])
    # The sweep gives it to the queue again, and the check finds what is missing.
    assert place.ask("checked", number, "30") == {
        "state": "DRAFT",
        "attempts": ["LOST", "COMPLETED"],
    }, place.story(place.ask("state", number))
    assert unpacking() == ["RUNNING", "RUNNING"], "the zips were too short to tell"


def test_worker_when_it_starts_then_its_children_have_what_they_measure_and_draw_with(place: Place) -> None:
    start_broker(place)
    parent = place.serve(*worker_command("worker", "worker@here"), log="worker")

    def children() -> list[int]:
        tasks = Path(f"/proc/{parent.pid}/task").glob("*/children")
        return [int(pid) for task in tasks for pid in task.read_text().split()]

    wait_for("children", lambda: len(children()) == 2, within_s=120)
    for pid in children():
        loaded = Path(f"/proc/{pid}/maps").read_text()
        assert "ft2font" in loaded
        assert "scipy/ndimage" in loaded


def test_worker_when_it_multiplies_matrices_then_it_starts_no_thread(place: Place) -> None:
    place.env |= {"OMP_NUM_THREADS": "4", "OPENBLAS_NUM_THREADS": "4"}
    product = "import corelab.celery, os, numpy as n; n.ones((400, 400)) @ n.ones((400, 400)); "
    asking = place.run("-c", f"{product}print(len(os.listdir('/proc/self/task')))")
    said, _ = asking.communicate(timeout=30)
    assert said.strip() == "1"


def test_broker_command_when_made_then_it_names_the_program_of_the_wheel(tmp_path: Path) -> None:
    program, *_ = valkey_command(tmp_path / "socket", tmp_path)
    assert Path(program).is_relative_to(Path(sys.prefix).resolve())
    assert os.access(program, os.X_OK)
