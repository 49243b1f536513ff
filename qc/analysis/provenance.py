"""What a run is known by: the program that made it, and the digests of what it took and gave."""

from __future__ import annotations

import hashlib
import json
import os
import platform
from collections.abc import Mapping
from functools import lru_cache
from importlib import metadata
from pathlib import Path
from typing import Any

VERSION = "0.1.0"


@lru_cache
def program() -> dict[str, Any]:
    """Return version, commit and the libraries that make numbers."""
    return {
        "version": VERSION,
        "commit": _commit(),
        "libraries": {
            "python": platform.python_version(),
            **{name: metadata.version(name) for name in ("numpy", "scipy", "pydicom")},
        },
    }


def _commit() -> str:
    """Return the commit that runs: from the environment of an installed copy, or from the checkout."""
    if commit := os.environ.get("CORELAB_COMMIT"):
        return commit
    folder = Path(__file__).resolve().parents[2] / ".git"
    try:
        head = (folder / "HEAD").read_text().strip()
        if not head.startswith("ref: "):
            return head
        ref = head.removeprefix("ref: ")
        loose = folder / ref
        if loose.is_file():
            return loose.read_text().strip()
        packed = (folder / "packed-refs").read_text().splitlines()
    except OSError:
        return "unknown"
    return next((line.split()[0] for line in packed if line.endswith(ref)), "unknown")


def canonical(value: Any) -> bytes:
    """Return a JSON value as the one sequence of bytes that is digested and signed."""
    return json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":")).encode()


def digest(value: Any) -> str:
    """Return the SHA-256 of a JSON value's canonical bytes."""
    return hashlib.sha256(canonical(value)).hexdigest()


def lasting(result: Mapping[str, Any]) -> dict[str, Any]:
    """Return a result without what differs from one run of the same work to the next."""
    return {key: value for key, value in result.items() if key != "seconds"}
