"""``manage.py up`` as a person starts and ends it."""

from __future__ import annotations

import os
import signal
import socket
import stat
import urllib.request

import pytest

from tests.stack.conftest import Place, wait_for

pytestmark = pytest.mark.timeout(120)


#: What tells a process by its command line.
MARKS = {
    "queue": "unixsocket:",
    "worker": "--queues=intake",
    "short-worker": "--queues=short",
    "beat": " beat ",
    "web": "gunicorn",
    "parent": "manage.py",
}


def names(place: Place) -> set[str]:
    return {name for words in place.processes().values() for name, text in MARKS.items() if text in words}


def test_up_when_ctrl_c_comes_then_every_process_ends(place: Place) -> None:
    process, url = place.up("--port", "0")
    with urllib.request.urlopen(f"{url}/accounts/login/", timeout=10) as page:
        assert page.status == 200
    assert {"worker", "short-worker", "beat", "web", "parent"} <= names(place)
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=20) == 0
    assert place.processes() == {}


def test_up_when_its_parent_is_killed_then_no_process_is_left_within_five_seconds(place: Place) -> None:
    process, _ = place.up("--port", "0")
    process.kill()
    wait_for("all gone", lambda: not place.processes(), within_s=5)


@pytest.mark.parametrize("victim", ["queue", "worker", "short-worker", "beat", "web"])
def test_up_when_one_process_dies_then_all_end_and_the_reason_is_said(place: Place, victim: str) -> None:
    if victim == "queue" and "REDIS_URL" in place.env:
        pytest.skip("the broker is another's: REDIS_URL is set")
    process, _ = place.up("--port", "0")
    pid = min(pid for pid, words in place.processes().items() if MARKS[victim] in words)
    os.kill(pid, signal.SIGKILL)
    said, _ = process.communicate(timeout=20)
    assert process.returncode == 1
    assert f"{victim} was killed by SIGKILL" in said
    assert f"{victim}.log" in said
    assert place.processes() == {}


def test_up_when_the_port_is_taken_then_a_free_one_is_said(place: Place) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        wished = taken.getsockname()[1]
        process, url = place.up("--port", str(wished))
        assert not url.endswith(f":{wished}")
        with urllib.request.urlopen(f"{url}/accounts/login/", timeout=10) as page:
            assert page.status == 200
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=20) == 0


def test_up_when_it_runs_already_then_the_second_says_where(place: Place) -> None:
    first, url = place.up("--port", "0")
    second = place.run("manage.py", "up", "--port", "0")
    said, _ = second.communicate(timeout=30)
    assert second.returncode == 1
    assert url in said
    first.send_signal(signal.SIGTERM)
    assert first.wait(timeout=20) == 0


def test_up_when_started_again_then_the_secret_key_is_the_same_and_private(place: Place) -> None:
    keys = []
    for _ in range(2):
        process, _ = place.up("--port", "0")
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=20) == 0
        kept = place.var_dir / "secret_key"
        assert stat.S_IMODE(kept.stat().st_mode) == 0o600
        assert stat.S_IMODE(place.var_dir.stat().st_mode) == 0o700
        keys.append(kept.read_text())
    assert keys[0] == keys[1]
    assert len(keys[0]) > 50
