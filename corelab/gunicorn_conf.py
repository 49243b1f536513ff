"""Settings of the web server; what is not named here is gunicorn's default."""

from __future__ import annotations

from typing import Any

from corelab.lifeline import die_with

wsgi_app = "corelab.wsgi:application"
# One process keeps SQLite and memory simple. An upload's PATCH holds a thread for as long as the site's line needs,
# so there are more threads than a site has uploads at a time.
worker_class = "gthread"
workers = 1
threads = 24
timeout = 60
graceful_timeout = 5
keepalive = 15
control_socket_disable = True


def post_fork(server: Any, worker: Any) -> None:
    """Let the process that serves end with its master."""
    die_with(server.pid)
