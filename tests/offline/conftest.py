"""Runs the offline commands as a stranger would: a process of its own, with an empty environment."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from referencing import Registry, Resource

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Outcome:
    status: int
    json: dict[str, Any]
    stderr: str

    def value(self, name: str, standard: str | None = None) -> float | None:
        (found,) = [m for m in self.json["measurements"] if (m["name"], m["standard"]) == (name, standard)]
        return found["value"]

    def finding(self, rule_id: str) -> dict[str, Any]:
        return next(f for f in self.json["findings"] if f["id"] == rule_id)


@pytest.fixture(scope="session")
def schemas() -> Registry:
    """Return the contract's schemas, which name one another by their file names."""
    folder = ROOT / "docs" / "schemas"
    return Registry().with_resources(
        (file.name, Resource.from_contents(json.loads(file.read_text(encoding="utf-8"))))
        for file in folder.glob("*.schema.json")
    )


@pytest.fixture(scope="session")
def call(schemas: Registry, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Outcome]:
    """Call ``manage.py COMMAND … --json`` and hold its output against the contract."""
    # No database, broker, secret or variable: only where the interpreter finds its libraries.
    env = {"PATH": os.environ["PATH"], "CORELAB_VAR_DIR": str(tmp_path_factory.mktemp("no-var"))}
    if "OPENBLAS_CORETYPE" in os.environ:
        env["OPENBLAS_CORETYPE"] = os.environ["OPENBLAS_CORETYPE"]

    def run(command: str, *arguments: object) -> Outcome:
        done = subprocess.run(
            [sys.executable, str(ROOT / "manage.py"), command, *map(str, arguments), "--json"],
            capture_output=True,
            text=True,
            env=env,
            check=False,
            timeout=60,
        )
        assert "Traceback" not in done.stderr, done.stderr
        assert done.stdout.count("\n") == 1, "exactly one line of JSON"
        result = json.loads(done.stdout)
        jsonschema.Draft202012Validator({"$ref": f"{command}.schema.json"}, registry=schemas).validate(result)
        keys = [(m["name"], m["standard"]) for m in result["measurements"]]
        assert len(keys) == len(set(keys)), "a measurement's key is (name, standard)"
        return Outcome(status=done.returncode, json=result, stderr=done.stderr)

    return run


@pytest.fixture(scope="session")
def analyse(call: Callable[..., Outcome]) -> Callable[..., Outcome]:
    """Call ``manage.py analyse``."""
    return partial(call, "analyse")


@pytest.fixture(scope="session")
def conform(call: Callable[..., Outcome]) -> Callable[..., Outcome]:
    """Call ``manage.py conform``."""
    return partial(call, "conform")
