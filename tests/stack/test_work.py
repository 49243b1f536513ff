"""Real workers over a real broker: work gets done, and is done again when a worker is killed in the middle."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
import redis

from corelab.embedded import beat_command, valkey_command, worker_command
from tests.stack.conftest import Place, wait_for

pytestmark = pytest.mark.timeout(240)

QUEUES = {"intake", "analysis", "reports"}


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
    assert run["verdict"] == "PASS"
    assert run["attempts"] == ["COMPLETED"]
    assert run["worker"].startswith(f"corelab-{process.pid}@")
    wait_for("report", lambda: list((place.var_dir / "reports").glob(f"S-{number}_R-*.pdf")), within_s=30)


def test_worker_when_its_group_is_killed_in_mid_analysis_then_another_completes_the_run(place: Place) -> None:
    client = start_broker(place)
    migrate = place.run("manage.py", "migrate", "--verbosity=0")
    said, _ = migrate.communicate(timeout=60)
    assert migrate.returncode == 0, said
    for name in ("first", "second"):
        place.serve(*worker_command(f"{name}@here"), log=name)
    place.serve(*beat_command(place.var_dir / "run" / "beat"), log="beat")
    number = str(place.ask("send", "nema_iq", "2")["number"])

    killed = place.ask("kill_worker", number)
    assert killed["worker"], killed
    victim = killed["worker"].partition("@")[0]
    assert place.ask("state", number)["runs"][0]["state"] == "RUNNING", "the kill came too late"

    end = place.ask("settled", number, "60")
    assert end["state"] == "AWAITING_REVIEW", place.story(end)
    (run,) = end["runs"]
    assert run["state"] == "DONE"
    assert run["attempts"] == ["LOST", "COMPLETED"]
    assert run["worker"].partition("@")[0] != victim
    client.close()


def test_parent_when_killed_in_mid_analysis_then_no_process_is_left_within_five_seconds(place: Place) -> None:
    process, _ = place.up("--port", "0")
    number = str(place.ask("send", "nema_iq", "2")["number"])
    assert place.ask("kill_process", number, str(process.pid))["worker"]
    # The kernel ends them at once; with a warm stop they would first finish the analysis.
    wait_for("all gone", lambda: not place.processes(), within_s=2)

    # The next start takes the work up again.
    place.up("--port", "0")
    end = place.ask("settled", number, "60")
    assert end["state"] == "AWAITING_REVIEW", place.story(end)
    assert end["runs"][0]["attempts"] == ["LOST", "COMPLETED"]


def test_message_when_a_job_is_announced_then_it_lies_in_its_own_queue_alone(place: Place) -> None:
    client = start_broker(place)
    ring = "import django; django.setup(); from corelab import jobs; jobs.enqueue('qc.analyse_run', run_id=1)"
    announcing = place.run("-c", ring)
    said, _ = announcing.communicate(timeout=30)
    assert announcing.returncode == 0, said
    assert {name: client.llen(name) for name in QUEUES} == {"intake": 0, "analysis": 1, "reports": 0}
    client.close()


def test_broker_command_when_made_then_it_names_the_program_of_the_wheel(tmp_path: Path) -> None:
    program, *_ = valkey_command(tmp_path / "socket", tmp_path)
    assert Path(program).is_relative_to(Path(sys.prefix).resolve())
    assert os.access(program, os.X_OK)
