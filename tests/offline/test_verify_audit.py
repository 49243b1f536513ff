"""The audit chain is verified by a stranger's process: it needs the database's address and nothing else."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]


def manage(command: str, url: str, folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    env = {"PATH": os.environ["PATH"], "DATABASE_URL": url, "CORELAB_VAR_DIR": str(folder / "no-var")}
    return subprocess.run(
        [sys.executable, str(ROOT / "manage.py"), command, *arguments],
        capture_output=True,
        text=True,
        env=env,
        check=False,
        timeout=60,
    )


def verify(url: str, folder: Path) -> tuple[int, dict[str, Any]]:
    done = manage("verify_audit", url, folder, "--json")
    assert "Traceback" not in done.stderr, done.stderr
    assert done.stdout.count("\n") == 1, "exactly one line of JSON"
    return done.returncode, json.loads(done.stdout)


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a database with one person in it, whose audit log has a few rows."""
    folder = tmp_path_factory.mktemp("lab")
    path = folder / "lab.sqlite3"
    url = f"sqlite:///{path}"
    for command, arguments in (("migrate", ()), ("add_administrator", ("one@example.org", "Administrator 1"))):
        done = manage(command, url, folder, *arguments)
        assert done.returncode == 0, done.stderr
    return path


def test_verify_when_the_chain_is_intact_then_status_0_and_exactly_the_contracts_object(database, tmp_path):
    status, result = verify(f"sqlite:///{database}", tmp_path)
    assert (status, set(result)) == (0, {"rows", "intact", "first_break"})
    assert result["rows"] > 0
    assert (result["intact"], result["first_break"]) == (True, None)


def test_verify_when_a_row_was_changed_past_the_triggers_then_status_3_and_the_row(database, tmp_path):
    changed = tmp_path / "changed.sqlite3"
    with sqlite3.connect(database) as source, sqlite3.connect(changed) as copy:
        source.backup(copy)
        for trigger in ("audit_no_update", "audit_no_delete"):
            copy.execute(f"DROP TRIGGER {trigger}")
        copy.execute("UPDATE corelab_auditevent SET actor_name = 'somebody else' WHERE sequence = 1")
    status, result = verify(f"sqlite:///{changed}", tmp_path)
    assert (status, result["intact"], result["first_break"]) == (3, False, 1)


@pytest.mark.parametrize(
    "url",
    [
        "sqlite:///{tmp}/absent.sqlite3",
        "sqlite:///{tmp}/text.txt",
        "sqlite:///{tmp}/empty.sqlite3",
        "postgresql://nobody@127.0.0.1:9/absent",
        "postgresql://nobody:word@127.0.0.1:port/absent",
    ],
    ids=["absent", "no database", "empty", "no server", "malformed port"],
)
def test_verify_when_the_database_cannot_be_read_then_status_2_and_the_object_says_so(url, tmp_path):
    (tmp_path / "text.txt").write_text("this is no database, it is a text of some length\n" * 50)
    (tmp_path / "empty.sqlite3").touch()
    status, result = verify(url.format(tmp=tmp_path), tmp_path)
    assert status == 2
    assert result["refused"]["detail"]
    assert result["intact"] is None
    assert not (tmp_path / "absent.sqlite3").exists()


def test_verify_when_the_address_has_a_malformed_port_then_the_variable_is_named_and_no_word_of_it_is_shown(tmp_path):
    done = manage("verify_audit", "postgresql://nobody:word@127.0.0.1:secret/absent", tmp_path)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert "DATABASE_URL" in done.stderr
    assert "secret" not in done.stdout + done.stderr
