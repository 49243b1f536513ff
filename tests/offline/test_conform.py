"""``manage.py conform`` as a stranger calls it: real series whose headers must be questioned, days, and wrong calls."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pydicom
import pytest

from phantoms import dicom_series, digital
from qc import analysis, protocols
from tests.offline.conftest import ROOT
from tests.test_docs import RULES_PAGE, codes_in, rows_of

DOCUMENT = protocols.template("lymphoma")
#: The crops of a public GE collection that have an injection date on the day after the scan.
INJECTED_AFTER_THE_SCAN = {"STS_002", "STS_009", "STS_012", "STS_016", "STS_028"}
CROPS = sorted({"STS_005", "STS_021", "STS_035", "STS_042"} | INJECTED_AFTER_THE_SCAN)


@pytest.fixture(scope="module")
def protocol(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("protocol") / "protocol.json"
    file.write_text(json.dumps(DOCUMENT))
    return file


@pytest.fixture(scope="module")
def torso(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("torso")
    scan = digital.patient_like(weight_kg=75.0, shape_zyx=(20, 16, 16), spacing_zyx_mm=(25.0, 30.0, 30.0))
    digital.write_dicom(scan, folder)
    return folder


def registry(**clearance: Any) -> dict[str, Any]:
    """Return a register with the digital scanner, cleared in March 2026 for every trial."""
    days = {"from_on": "2026-03-01", "until_on": "2026-03-31"}
    scope = {"reconstruction": "PSF", "tracer": "F-18", "standard": "earl1_18f", "trial": None, "certificate": "PET-1"}
    return {
        "scanners": [
            {
                "manufacturer": "SIEMENS",
                "model": "Digital PET",
                "serial": "1",
                "software": "1",
                "reconstructions": [
                    {"name": "PSF", "method": "PSF+TOF 3i21s", "filter_fwhm_mm": 4.0, "matrix": 16, "slice_mm": 25.0}
                ],
                "clearances": [scope | days | clearance],
            }
        ]
    }


def judged(folder: Path, **asked: Any) -> dict[str, dict[str, Any]]:
    """Return the findings of a scan by their ids, without a process of its own."""
    given = {"protocol": {"version": None, "document": DOCUMENT}} | asked
    request = analysis.Request(method="patient", conformance=given)
    done = analysis.conform_files(dicom_series.list_files(folder), request)
    assert done.exit_status == 0
    return {one["id"]: one for one in done.json["findings"]}


def written(tmp_path: Path, document: Any) -> Path:
    file = tmp_path / "registry.json"
    file.write_text(json.dumps(document))
    return file


# --- real series ------------------------------------------------------------------------------


def test_conform_when_given_the_ge_whole_body_then_every_verdict_is_the_documented_one(conform, shared_data, protocol):
    outcome = conform(shared_data / "patient_ge" / "STS_001_bqml", "--protocol", protocol)
    assert outcome.status == 0
    assert outcome.json["verdict"] == "FAIL"
    found = {one["id"]: one["outcome"] for one in outcome.json["findings"]}
    assert found["ING-06"] == "PASS"  # steps of 3.19, 3.27 and 3.29 mm are no gap
    assert found["TIM-01"] == "FAIL"  # 45 min
    assert found["INJ-03"] == "FAIL"  # 5.5 MBq/kg
    assert {id_ for id_, word in found.items() if word == "FAIL"} == {"TIM-01", "INJ-03"}
    unknown = {"AD-01", "INJ-04", "PAT-01", "PREP-01", "PREP-02", "REC-03", "REC-04", "REC-05", "REC-06", "REC-07"}
    assert {id_ for id_, word in found.items() if word == "NOT_EVALUABLE"} == unknown | {"REC-08"}
    assert outcome.finding("REC-08")["reason"] == "DATES-SHIFTED"
    assert outcome.json["conformance"]["values"]["uptake_min"] == pytest.approx(45.18)
    assert outcome.json["conformance"]["values"]["coverage_mm"] == pytest.approx(873.1, abs=0.05)


@pytest.mark.parametrize("name", CROPS)
def test_conform_when_the_injection_is_dated_after_the_scan_then_it_is_questioned(shared_data, name):
    findings = judged(shared_data / "patient_gml" / name)
    dates = findings["AD-01"]
    if name in INJECTED_AFTER_THE_SCAN:
        assert (dates["outcome"], dates["severity"], dates["owner"]) == ("FAIL", "query", "site")
        assert "1 day apart" in dates["message"]
    else:
        assert dates["outcome"] == "PASS"
    assert findings["ING-11"]["outcome"] == "WARN"  # cropped, so not the scanner's own
    assert findings["ACQ-03"]["outcome"] == "FAIL"


def test_page_when_it_explains_the_whole_body_then_its_outcomes_are_the_commands(shared_data):
    found = judged(shared_data / "patient_ge" / "STS_001_bqml")
    written = {codes_in(rule)[0]: outcome for rule, outcome, _ in rows_of(RULES_PAGE, "whole-body")}
    assert written == {id_: one["outcome"] for id_, one in found.items() if one["outcome"] != "PASS"}


def test_page_when_it_lists_the_crops_then_dates_and_outcomes_are_the_commands(shared_data):
    rows = []
    for name in ("STS_001", *CROPS):
        folder = "patient_ge/STS_001_gml" if name == "STS_001" else f"patient_gml/{name}"
        found = judged(shared_data / folder)
        injection, scan = found["AD-01"]["observed"].removeprefix("injection ").split(", scan ")
        minutes = float(found["TIM-01"]["observed"].removesuffix(" min"))
        rows.append([name, scan, injection, found["AD-01"]["outcome"], f"{minutes:g}", found["TIM-01"]["outcome"]])
    assert rows_of(RULES_PAGE, "crops") == rows


def test_conform_when_there_is_no_injection_date_then_it_is_not_silently_used(shared_data):
    dates = judged(shared_data / "patient_ge" / "STS_001_gml")["AD-01"]
    assert dates["outcome"] == "NOT_EVALUABLE"
    assert "no date" in dates["message"]


def test_conform_when_given_no_pet_then_it_is_refused_and_the_rules_cannot_tell(conform, shared_data, protocol):
    outcome = conform(shared_data / "wrong_modality", "--protocol", protocol)
    assert outcome.status == 3
    assert outcome.json["refused"]["code"] == "MODALITY-NOT-PET"
    assert outcome.finding("ING-01")["outcome"] == "FAIL"
    assert outcome.finding("TIM-01")["outcome"] == "NOT_EVALUABLE"


def test_conform_when_files_are_broken_then_it_answers_all_the_same(conform, shared_data, protocol):
    outcome = conform(shared_data / "bad_input", "--protocol", protocol)
    assert outcome.status == 3
    assert outcome.finding("ING-01")["outcome"] == "WARN"


# --- a register, and days ---------------------------------------------------------------------


def test_conform_when_there_is_no_register_then_what_compares_with_it_cannot_be_told(torso):
    findings = judged(torso)
    assert {findings[rule]["outcome"] for rule in ("REC-03", "REC-04", "REC-07", "REC-08")} == {"NOT_EVALUABLE"}


@pytest.mark.parametrize(
    ("clearance", "expected"),
    [({}, "PASS"), ({"until_on": "2026-03-01"}, "FAIL"), ({"trial": "OTHER-1"}, "FAIL"), ({"tracer": "Ga-68"}, "FAIL")],
)
def test_conform_when_given_a_register_then_the_scans_own_day_decides(torso, clearance, expected):
    findings = judged(torso, registry=registry(**clearance))
    assert findings["REC-08"]["outcome"] == expected
    assert findings["REC-07"]["outcome"] == "PASS"


@pytest.mark.parametrize(
    ("offset", "expected", "reason"),
    [((), "NOT_EVALUABLE", "DATES-SHIFTED"), (("--date-offset", "-317"), "PASS", None)],
)
def test_conform_when_the_dates_were_moved_then_only_the_offset_gives_the_day(
    conform, torso, protocol, tmp_path, offset, expected, reason
):
    moved = Path(shutil.copytree(torso, tmp_path / "moved"))
    for file in moved.iterdir():
        dataset = pydicom.dcmread(file)
        dataset.LongitudinalTemporalInformationModified = "MODIFIED"
        for keyword in ("StudyDate", "SeriesDate", "AcquisitionDate"):
            setattr(dataset, keyword, "20270113")  # 317 days after 2 March 2026
        injection = dataset.RadiopharmaceuticalInformationSequence[0]
        injection.RadiopharmaceuticalStartDateTime = "20270113" + injection.RadiopharmaceuticalStartDateTime[8:]
        dataset.save_as(file)
    outcome = conform(moved, "--protocol", protocol, "--registry", written(tmp_path, registry()), *offset)
    clearance = outcome.finding("REC-08")
    assert outcome.json["conformance"]["values"]["scanned_on"] == ("2026-03-02" if offset else None)
    assert clearance["outcome"] == expected
    assert clearance.get("reason") == reason


def test_conform_when_a_series_is_named_then_that_one_is_judged(conform, torso, protocol):
    assert conform(torso, "--protocol", protocol, "--series", "1.2.3").status == 3
    uid = pydicom.dcmread(next(torso.iterdir())).SeriesInstanceUID
    assert conform(torso, "--protocol", protocol, "--series", uid).status == 0


# --- wrong calls ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((), "required"),
        (("{torso}",), "--protocol"),
        (("{torso}", "--protocol", "{tmp}/absent.json"), "the protocol cannot be read"),
        (("{torso}", "--protocol", "{tmp}/no.json"), "the protocol cannot be read"),
        (("{torso}", "--protocol", "{tmp}/empty.json"), "title, tracer, corrections, limits are missing"),
        (("{torso}", "--protocol", "{protocol}", "--registry", "{tmp}/absent.json"), "the registry cannot be read"),
        (("{torso}", "--protocol", "{protocol}", "--registry", "{tmp}/empty.json"), "scanners is missing"),
        (("{torso}", "--protocol", "{protocol}", "--date-offset", "soon"), "--date-offset"),
        (("{torso}", "--protocol", "{protocol}", "--baseline", "{torso}"), "--baseline"),
        (("{torso}", "--protocol", "{protocol}", "--clinical", "{tmp}/no.csv"), "--clinical"),
        (("{tmp}/absent", "--protocol", "{protocol}"), "There is nothing at this path"),
        (("{tmp}/empty", "--protocol", "{protocol}"), ""),
    ],
)
def test_conform_when_the_call_is_wrong_then_status_2_and_the_object_says_why(
    conform, torso, protocol, tmp_path, arguments, words
):
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty.json").write_text("{}")
    (tmp_path / "no.json").write_text("not json")
    filled = [one.format(torso=torso, protocol=protocol, tmp=tmp_path) for one in arguments]
    outcome = conform(*filled)
    assert outcome.status == 2
    assert words in outcome.json["refused"]["detail"]


def test_conform_when_run_then_nothing_of_drawing_and_no_pixel_is_needed(torso, protocol, tmp_path):
    blank = Path(shutil.copytree(torso, tmp_path / "blank"))
    for file in blank.iterdir():
        dataset = pydicom.dcmread(file)
        del dataset.PixelData
        dataset.save_as(file)
    code = (
        "import sys; from django.core.management import execute_from_command_line as run; "
        f"run(['manage.py', 'conform', {str(blank)!r}, '--protocol', {str(protocol)!r}]); "
        "print(*{name.split('.')[0] for name in sys.modules})"
    )
    env = {"PATH": os.environ["PATH"], "DJANGO_SETTINGS_MODULE": "corelab.settings.local"}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT, env=env, timeout=60
    )
    assert "TIM-01" in done.stdout
    assert "matplotlib" not in done.stdout.splitlines()[-1].split()
