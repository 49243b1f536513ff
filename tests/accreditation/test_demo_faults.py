"""The demonstration's list of faults: complete, and each row drawn so that its fault is what is named."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from accreditation.management.commands._demo_faults import FAULTS, NOT_DRAWN, NOT_DRAWN_OF_KIND, Fault
from accreditation.management.commands._demo_sendings import Sending
from phantoms import acr, cylinder, dicom_series, nema_iq, standards
from phantoms.results import Outcome
from phantoms.sheet import Sheet
from qc import analysis
from tests.test_architecture import ROOT

#: The modules that name what is wrong with a phantom, with the kind of phantom each is about.
NAMING = {"cylinder": "cylinder", "diagnosis": "nema_iq", "acr": "acr", "phantom_ct": "nema_iq"}
METHODS: dict[str, Any] = {
    "cylinder": (cylinder, "earl1_18f"),
    "nema_iq": (nema_iq, "earl1_18f"),
    "acr": (acr, "acr_pet"),
}
CODE = re.compile(r'(?:warning\(|id=)\s*"((?:PHA|SHEET)-[A-Z-]+)"')


@pytest.mark.parametrize(("module", "kind"), NAMING.items())
def test_faults_when_a_method_names_a_code_then_a_phantom_is_drawn_for_it(module: str, kind: str) -> None:
    home = ROOT / "phantoms" / module
    files = home.glob("*.py") if home.is_dir() else [home.with_suffix(".py")]
    named = {code for file in files for code in CODE.findall(file.read_text())}
    assert named, "the pattern finds no code any more"
    drawn = {code for fault in FAULTS if fault.kind == kind for code in (*fault.codes, *fault.beside)}
    excused = {code for of_kind, code in NOT_DRAWN_OF_KIND if of_kind == kind}
    assert named - drawn - excused - set(NOT_DRAWN) == set()


def test_faults_when_listed_then_their_names_differ() -> None:
    assert len({fault.name for fault in FAULTS}) == len(FAULTS)


FROM_IMAGES = [one for one in FAULTS if one.codes[0].startswith("PHA-") and one.draw_ct is None]


@pytest.mark.parametrize("fault", FROM_IMAGES, ids=lambda one: one.name)
def test_fault_when_drawn_and_measured_then_it_is_named_and_no_other(fault: Fault) -> None:
    scan = fault.draw()
    method, deciding = METHODS[fault.kind]
    # In SUV the background of a phantom that was filled by its sheet is 1.
    factor = 1 / scan.truth["background_bqml"] if fault.kind == "acr" else None
    result = method.measure(
        scan.volume, reference_time=scan.truth["reference_time"], sheet=Sheet.parse(scan.sheet), suv_factor=factor
    )
    found = [*result.findings, *method.diagnose(result, standards.load(deciding))]
    named = [one.id for one in found if one.outcome is not Outcome.PASS]
    assert fault.is_named_by(named), named


@pytest.mark.parametrize("fault", [one for one in FAULTS if one not in FROM_IMAGES], ids=lambda one: one.name)
def test_fault_when_sheet_or_ct_is_off_then_it_is_named_from_the_files(fault: Fault, tmp_path: Path) -> None:
    sending = Sending(key=fault.name, name=fault.name, folder=tmp_path / "scan", scan=fault.scan())
    sending.draw()
    request = analysis.Request(method=fault.kind, sheet=sending.sheet(), standards=("earl1_18f",))
    found = analysis.analyse_files(dicom_series.list_files(sending.folder), request).json
    named = [one["id"] for one in found["findings"] if one["outcome"] != "PASS"]
    assert fault.is_named_by(named), named
    assert found["verdict"] == fault.expected


def test_fault_when_another_is_named_too_then_it_is_not_as_drawn() -> None:
    fault = FAULTS[0]
    assert fault.is_named_by(fault.codes)
    assert not fault.is_named_by(())
    assert not fault.is_named_by((*fault.codes, "PHA-SLOPE"))
