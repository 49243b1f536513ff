"""Other programs that measure the same phantom, each in an environment of its own inside ``.venv``.

``python -m bench.phantoms.peers`` makes the environments (2 GB). They are no requirement of anything: without them the
rows that compare are left out, and say so.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import venv
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / ".venv" / "peers"
#: Name at the package index, and the version whose numbers are shown.
VERSIONS = {"pynemaiqpet": "0.5.4", "chameleoniq": "3.0.1"}
ABSENT = "not installed: python -m bench.phantoms.peers"


def program(name: str, command: str = "python") -> Path:
    """Return where a command of a peer lies, whether it is there or not."""
    return FOLDER / name / "bin" / command


def is_there(name: str) -> bool:
    return program(name).exists()


def ask(name: str, job: dict[str, Any]) -> Any:
    """Run the peer's own script (``of_<name>.py``) in its environment and return its answer."""
    with tempfile.TemporaryDirectory() as folder:
        question, answer = Path(folder) / "question.json", Path(folder) / "answer.json"
        question.write_text(json.dumps(job))
        script = Path(__file__).with_name(f"of_{name}.py")
        done = subprocess.run(
            [program(name), "-W", "ignore", script, question, answer],
            cwd=folder,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise RuntimeError(f"{name}: {done.stderr.strip().splitlines()[-1:]}")
        return json.loads(answer.read_text())


def main() -> None:
    for name, version in VERSIONS.items():
        if not is_there(name):
            venv.create(FOLDER / name, with_pip=True)
        subprocess.run([program(name), "-m", "pip", "install", "-q", f"{name}=={version}"], check=True)
        print(f"{name} {version}: {program(name)}", file=sys.stderr)


if __name__ == "__main__":
    main()
