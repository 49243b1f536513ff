"""A radionuclide calibrator by the offline command: readings in a JSON file, the contract's object out."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import pytest

READINGS = {
    "calibrator": "Well counter 1",
    "source": {
        "nuclide": "Cs-137",
        "activity_mbq": 9.2,
        "calibrated_at": "2020-01-15T12:00:00",
        "uncertainty_pct": 1.5,
    },
    "readings": [
        {"at": "2026-03-02T08:00:00", "activity_mbq": 8.01, "background_mbq": 0.01},
        {"at": "2026-03-03T08:00:00", "activity_mbq": 7.99},
    ],
    "clock_offset_s": 20,
}


@pytest.fixture
def written(tmp_path):
    def write(readings: object) -> Path:
        file = tmp_path / "readings.json"
        file.write_text(json.dumps(readings), encoding="utf-8")
        return file

    return write


def test_calibrator_when_its_readings_are_right_then_passes_by_its_own_limits(analyse, written, schemas, tmp_path):
    jsonschema.Draft202012Validator({"$ref": "readings.schema.json"}, registry=schemas).validate(READINGS)
    outcome = analyse(written(READINGS), "--method", "calibrator", "--figures", tmp_path / "drawn")
    assert outcome.status == 0
    assert (outcome.json["method"], outcome.json["method_version"], outcome.json["verdict"]) == (
        "calibrator",
        2,
        "PASS",
    )
    assert outcome.json["series"] == []
    assert outcome.json["input_digest"].startswith("sha256:")
    # 9.2 MBq of Cs-137 (30.05 a) after 2238 days are 7.987 MBq; the mean of 8.00 and 7.99 is 0.1 % over it.
    assert outcome.value("calibrator_accuracy_pct") == pytest.approx(0.1, abs=0.03)
    assert outcome.value("calibrator_clock_offset_s", "radionuclide_calibrator") == 20
    assert (tmp_path / "drawn" / "constancy.svg").is_file()
    assert outcome.finding("CAL-PARTS")["message"].endswith("linearity.")


def test_calibrator_when_it_moved_then_fails_with_what_to_do(analyse, written):
    moved = READINGS | {"readings": [{"at": "2026-03-02T08:00:00", "activity_mbq": 8.6}]}
    outcome = analyse(written(moved), "--method", "calibrator")
    assert (outcome.status, outcome.json["verdict"]) == (0, "FAIL")
    assert outcome.finding("CAL-CONSTANCY")["next_step"]


def test_calibrator_when_the_readings_cannot_be_read_then_is_refused_with_the_reason(analyse, written):
    outcome = analyse(written({"source": READINGS["source"], "readings": []}), "--method", "calibrator")
    assert (outcome.status, outcome.json["refused"]["code"]) == (3, "CAL-FORM")
    assert outcome.json["verdict"] == "NOT_EVALUABLE"


@pytest.mark.parametrize("content", [None, "not JSON"])
def test_calibrator_when_there_is_no_json_then_status_2_and_the_object_says_so(analyse, tmp_path, content):
    file = tmp_path / "readings.json"
    if content:
        file.write_text(content, encoding="utf-8")
    outcome = analyse(file, "--method", "calibrator")
    assert (outcome.status, outcome.json["refused"]["code"]) == (2, "INPUT-NONE")
