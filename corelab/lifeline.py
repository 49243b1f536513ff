"""Children that do not outlive their parent, even when it is killed with SIGKILL (Linux)."""

from __future__ import annotations

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1
# Loaded here and not in the child: between fork and exec nothing may be imported.
_libc = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None


def die_with(parent_pid: int) -> None:
    """Ask the kernel to kill this process when its parent ends; called in the child, right after the fork.

    The signal is SIGKILL: SIGTERM is Celery's warm stop, which waits for the task that runs. The kernel watches the
    *thread* that forked, so the parent forks from its main thread. The setting outlives exec and not fork, so a
    child that forks again hands it on itself; Celery's prefork pool does.

    Parameters
    ----------
    parent_pid : int
        The parent as it was before the fork; when it is gone already, this process ends at once.
    """
    if _libc is None:
        return
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent_pid:
        os.kill(os.getpid(), signal.SIGKILL)
