"""A place of its own for each test that starts real processes: folder, database and broker."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psycopg
import pytest
import redis
from django.conf import settings

ROOT = Path(__file__).resolve().parents[2]


@pytest.hookimpl(tryfirst=True)  # before the groups are read
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Keep these tests in one process: each starts half a dozen of its own."""
    for item in items:
        if item.path.is_relative_to(Path(__file__).parent):
            item.add_marker(pytest.mark.xdist_group("stack"))
            item.add_marker(pytest.mark.slow)


def wait_for(what: str, is_so: Callable[[], Any], *, within_s: float) -> Any:
    """Return the first true answer, or fail the test."""
    deadline = time.monotonic() + within_s
    while not (answer := is_so()):
        if time.monotonic() > deadline:
            pytest.fail(f"{what}: not within {within_s:g} s")
        time.sleep(0.05)
    return answer


@dataclass
class Place:
    """Where one stack lives, told to its processes by their environment."""

    var_dir: Path
    env: dict[str, str]
    started: list[subprocess.Popen[str]] = field(default_factory=list)

    def processes(self) -> dict[int, str]:
        """Return every process that was started for this place, whoever its parent is now."""
        # A server that sets its title writes over its environment; its title names the socket.
        mark, place = f"CORELAB_VAR_DIR={self.var_dir}".encode(), f"{self.var_dir}/"
        found = {}
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                words = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode()
                if words and (place in words or mark in (folder / "environ").read_bytes().split(b"\0")):
                    found[int(folder.name)] = words
            except (FileNotFoundError, ProcessLookupError, PermissionError):
                continue
        return found

    def run(self, *command: str) -> subprocess.Popen[str]:
        """Start a command of Python in a session of its own, to read what it says; it is killed with the test."""
        return self._start([sys.executable, *command], subprocess.PIPE)

    def serve(self, *command: str, log: str) -> subprocess.Popen[str]:
        """Start what runs on, in a session of its own; nobody reads along, so its words go to a file."""
        folder = self.var_dir / "log"
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / f"{log}.log").open("ab") as file:
            return self._start(list(command), file)

    def _start(self, command: list[str], output: Any) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            command,
            cwd=ROOT,
            env=self.env,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        self.started.append(process)
        return process

    def ask(self, *words: str) -> Any:
        """Run a command of `tests.stack.driver` to its end and return what it answers."""
        process = self.run("-m", "tests.stack.driver", *words)
        said, _ = process.communicate(timeout=120)
        assert process.returncode == 0, said
        return json.loads(said.strip().splitlines()[-1])

    def setting(self, name: str) -> str:
        """Return a setting as a process of this place has it."""
        asking = self.run("-c", f"from corelab.settings import local; print(local.{name})")
        said, _ = asking.communicate(timeout=90)
        return said.strip()

    def up(self, *options: str) -> tuple[subprocess.Popen[str], str]:
        """Start the product and wait until it serves; return its process and address."""
        process = self.run("manage.py", "up", *options)
        assert process.stdout is not None
        said = ""
        for line in process.stdout:
            said += line
            if line.startswith("Serving at "):
                return process, line.split()[2]
        pytest.fail(f"it did not start:\n{said}")

    def story(self, answer: Any) -> str:
        """Return an answer with the end of every log, for the message of a failed test."""
        ends = [
            f"--- {path.name}\n{path.read_text(errors='replace')[-3000:]}"
            for path in sorted((self.var_dir / "log").glob("*.log"))
        ]
        return "\n".join([str(answer), *ends])

    def end(self) -> None:
        """Kill what still runs here and close what was read from it."""
        for pid in self.processes():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        for process in self.started:
            process.wait()
            if process.stdout is not None:
                process.stdout.close()


@pytest.fixture
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """A fresh place; whatever is left running there at the end of the test is killed.

    It is on PostgreSQL and Redis where the tests were started with them.
    """
    var_dir = tmp_path_factory.mktemp("place") / "var"  # short: a socket lies below it
    env = {name: value for name, value in os.environ.items() if name != "SECRET_KEY"}
    env |= {"CORELAB_VAR_DIR": str(var_dir), "DJANGO_SETTINGS_MODULE": "corelab.settings.local"}
    undo: list[Callable[[], Any]] = []
    if os.environ.get("DATABASE_URL"):
        parts = urlsplit(os.environ["DATABASE_URL"])
        name = f"stack_{secrets.token_hex(4)}"
        _on_server(f"CREATE DATABASE {name}")
        undo.append(lambda: _on_server(f"DROP DATABASE {name} WITH (FORCE)"))
        env["DATABASE_URL"] = parts._replace(path=f"/{name}").geturl()
    if os.environ.get("REDIS_URL"):
        url = urlsplit(os.environ["REDIS_URL"])._replace(path=f"/{1 + secrets.randbelow(60)}").geturl()
        redis.Redis.from_url(url).flushdb()
        env["REDIS_URL"] = url
    here = Place(var_dir=var_dir, env=env)
    try:
        yield here
    finally:
        here.end()
        for step in undo:
            step()


def _on_server(statement: str) -> None:
    about = settings.DATABASES["default"]
    with psycopg.connect(
        host=about["HOST"],
        port=about["PORT"] or None,
        user=about["USER"],
        password=about["PASSWORD"] or None,
        dbname="postgres",
        autocommit=True,
    ) as connection:
        connection.execute(statement)
