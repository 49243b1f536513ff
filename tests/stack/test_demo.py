"""The demonstration as a person starts it: verdicts, cases and a trial's report, nothing sent twice, real folders."""

from __future__ import annotations

import json
import re
import signal
import sqlite3
from pathlib import Path

import pytest

from phantoms import digital
from tests.stack.conftest import Place

pytestmark = pytest.mark.timeout(600)

WORDS = ["Pass", "Fail", "Pass", "Fail", "Could not check"]
#: Where the four cases are left, and what the trial's six scans come to: verdict and the one rule that says why.
CASES = ["Accredited", "Ends soon", "Suspended", "Corrective action"]
SUBJECTS = {
    "LYM-001": ("Pass", ""),
    "LYM-002": ("Fail", "TIM-01"),
    "LYM-003": ("Warning", "PAT-01"),
    "LYM-004": ("Fail", "REC-04"),
    "LYM-005": ("Warning", "REC-07"),
    "LYM-006": ("Fail", "REC-08"),
}


#: One cylinder and one sphere phantom with a fault, and what must be named.
FAULTS = {"cylinder-ring": ("Warning", "PHA-RING"), "spheres-bubble": ("Warning", "PHA-BUBBLE")}
WITH_FAULTS = ("--faults", *(word for name in FAULTS for word in ("--only", name)))


def faults(said: str) -> dict[str, tuple[str, str]]:
    lines = re.findall(r"^([a-z-]+) +S-\d+ +(Pass|Warning|Fail) +(.*)$", said, re.MULTILINE)
    return {name: (verdict, named) for name, verdict, named in lines}


def verdicts(said: str) -> list[str]:
    return re.findall(rf"^\S+ +({'|'.join(sorted(set(WORDS)))})  ", said, re.MULTILINE)


def cases(said: str) -> list[str]:
    return re.findall(rf"^C-\d+ +[a-z]+ +({'|'.join(CASES)})  ", said, re.MULTILINE)


def subjects(said: str) -> dict[str, tuple[str, str]]:
    lines = re.findall(r"^(LYM-\d+) +S-\d+ +(Pass|Warning|Fail)  .*?(?:\[([A-Z0-9-]+)\])?$", said, re.MULTILINE)
    return {code: (verdict, rule) for code, verdict, rule in lines}


def plain_reports(place: Place) -> list[Path]:
    """Return the PDFs that the demonstration names; the signed ones are made by and by."""
    found = (place.var_dir / "reports").glob("*.pdf")
    return sorted(path for path in found if not path.stem.endswith("_signed"))


def until_served(place: Place, *options: str) -> str:
    """Start the demonstration, end it when it only serves on, and return what it said."""
    process = place.run("-u", "manage.py", "demo", "--port", "0", *options)
    assert process.stdout is not None
    said = ""
    for line in process.stdout:
        said += line
        if "Ctrl-C ends it" in line:
            process.send_signal(signal.SIGINT)
    assert process.wait(timeout=30) == 0, said
    assert place.processes() == {}
    return said


def test_demo_when_drawn_anew_then_every_verdict_is_right_and_a_second_start_sends_nothing(place: Place) -> None:
    if "DATABASE_URL" in place.env:
        first = until_served(place, "--seed", "3", *WITH_FAULTS)
    else:
        process = place.run("manage.py", "demo", "--exit", "--seed", "3", "--port", "0", *WITH_FAULTS)
        first, _ = process.communicate(timeout=500)
        assert process.returncode == 0, first
        assert place.processes() == {}
    assert verdicts(first) == WORDS
    assert cases(first) == CASES
    assert subjects(first) == SUBJECTS
    assert faults(first) == FAULTS
    assert first.count("as expected") == 5 + len(CASES) + len(SUBJECTS) + len(FAULTS)
    assert "6 signed, 1 conformant, 5 deviating" in first
    reports = plain_reports(place)
    names = {path.name for path in reports}
    # Twenty scans, three certificates, one report of the trial.
    assert len([name for name in names if name.startswith("S-")]) == 20
    assert len([name for name in names if name.startswith("PET-")]) == 3
    assert "DEMO-2_conformance.pdf" in names
    assert all(path.read_bytes().startswith(b"%PDF-") for path in reports)
    accounts = place.var_dir / "demo_accounts.json"
    assert accounts.stat().st_mode & 0o777 == 0o600
    assert {account["role"] for account in json.loads(accounts.read_text())} == {
        "Administrator",
        "Approver",
        "Auditor",
        "Monitor",
        "Physicist",
        "Site user",
        "Technician",
        "Trial manager",
    }

    second = until_served(place, "--seed", "3")
    assert verdicts(second) == WORDS
    assert cases(second) == CASES
    assert subjects(second) == SUBJECTS
    assert "sent as" not in second
    assert plain_reports(place) == reports


def test_demo_when_given_a_folder_then_its_scan_is_recognised_and_judged_by_its_sheet(
    place: Place, tmp_path: Path
) -> None:
    folder = tmp_path / "from the scanner"
    scan = digital.nema_iq(11.0, 0.05)
    digital.write_dicom(scan, folder / "series")
    (folder / "sheet.json").write_text(json.dumps(scan.sheet))
    (folder / "notes.txt").write_text("not an image")
    said = until_served(place, str(folder))
    assert re.search(r"^from the scanner +Fail  ", said, re.MULTILINE), said


def test_demo_when_started_fresh_then_what_was_there_is_kept_aside(place: Place) -> None:
    if "DATABASE_URL" in place.env:
        pytest.skip("a fresh state is made on the embedded database only")
    process, _ = place.up("--port", "0")
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=30) == 0
    with sqlite3.connect(place.var_dir / "db.sqlite3") as database:
        database.execute("CREATE TABLE seen (x)")
    database.close()
    aside = place.run("-c", "import django; django.setup(); from corelab.embedded import *; print(set_state_aside())")
    said, _ = aside.communicate(timeout=30)
    assert aside.returncode == 0, said
    kept = Path(said.strip())
    assert kept.parent == place.var_dir / "earlier"
    with sqlite3.connect(kept / "db.sqlite3") as database:
        assert database.execute("SELECT count(*) FROM seen").fetchone() == (0,)
    database.close()
    assert not (place.var_dir / "db.sqlite3").exists()
