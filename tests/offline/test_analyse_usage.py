"""Wrong usage and unusable input answer with the same object and status 2."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from phantoms import digital

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("{tmp}/absent",),
        ("{tmp}", "--method", "spect"),
        ("{tmp}", "--standard", "earl9"),
        ("{tmp}", "--edition", "nu2_1994"),
        ("{tmp}", "--unknown-option"),
        ("{tmp}", "--replicates", "1.2", "1.3"),
        ("{tmp}", "--method", "nema_iq", "--replicates", "1.2"),
        ("{tmp}", "--sheet", "{tmp}/no-sheet.json"),
        ("{tmp}",),
        ("{tmp}", "--figures", "{file}/below"),
    ],
    ids=[
        "no path",
        "absent path",
        "method unknown",
        "standard",
        "edition",
        "option",
        "replicates of another method",
        "one replicate",
        "sheet",
        "empty folder",
        "figures",
    ],
)
def test_analyse_when_the_input_is_unusable_then_status_2_and_the_object_says_why(analyse, tmp_path, arguments):
    folder, file = tmp_path / "folder", tmp_path / "file"
    folder.mkdir()
    file.touch()
    outcome = analyse(*[argument.format(tmp=folder, file=file) for argument in arguments])
    assert outcome.status == 2
    assert outcome.json["refused"]["detail"]
    assert outcome.json["suv"]["refused"] is not None


@pytest.mark.parametrize("arguments", [("analyse",), ("analyse", "--json"), ("conform", "--protocol", "absent.json")])
def test_command_when_its_reader_has_left_then_ends_quietly_as_shells_expect(tmp_path, arguments):
    command, *options = arguments
    process = subprocess.Popen(
        [sys.executable, str(ROOT / "manage.py"), command, str(tmp_path), *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.close()
    said = process.stderr.read()
    process.stderr.close()
    assert (process.wait(timeout=60), said) == (141, "")


def test_analyse_when_no_file_is_dicom_then_every_file_has_its_row(analyse, tmp_path):
    (tmp_path / "notes.txt").write_text("not an image")
    (tmp_path / "empty.dcm").write_bytes(b"")
    outcome = analyse(tmp_path)
    assert outcome.status == 2
    assert len(outcome.json["ignored"]) == 2
    assert all(row["reason"] for row in outcome.json["ignored"])


def test_analyse_when_a_file_name_is_no_text_then_the_object_is_json_all_the_same(analyse, tmp_path):
    (tmp_path / "M\udcfcller.txt").write_text("a name in another encoding")
    (row,) = analyse(tmp_path).json["ignored"]
    assert row["path"].endswith("M\ufffdller.txt")


def test_analyse_when_the_files_are_plain_then_neither_rows_nor_pages_nor_pydicom_are_loaded(tmp_path):
    """They would take longer to import than the phantom takes to be measured."""
    scan = digital.uniform_cylinder(cov=0.0, shape_zyx=(60, 64, 64), spacing_zyx_mm=(4.0, 4.0, 4.0))
    digital.write_dicom(scan, tmp_path)
    done = subprocess.run(
        [sys.executable, "-X", "importtime", ROOT / "manage.py", "analyse", tmp_path, "--method", "cylinder", "--json"],
        capture_output=True,
        text=True,
        env={"PATH": os.environ["PATH"]},
        check=False,
    )
    loaded = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines() if line.startswith("import time:")}
    assert "phantoms.cylinder" in loaded
    assert loaded.isdisjoint({"pydicom", "qc.models", "corelab.models", "celery", "allauth"})
