"""Runs one section as a process of its own: ``python -m bench.section NAME MODE FOLDER FILE`` writes its rows there."""

from __future__ import annotations

import importlib
import json
import sys
from dataclasses import asdict
from pathlib import Path

import django

if __name__ == "__main__":
    django.setup()
    name, mode, folder, file = sys.argv[1:]
    rows = importlib.import_module(f"bench.{name}").measure(mode, Path(folder))
    Path(file).write_text(json.dumps([asdict(row) for row in rows]))
