"""Every case of the IBSI-SUV requirement list, read from DICOM files; the published objects where they are at hand."""

from __future__ import annotations

import ast
import csv
import re
from pathlib import Path

import numpy as np
import pytest

from phantoms.dicom_series import choose, list_files, read_scan
from phantoms.suv import SuvResult, suv_factor
from tests.phantoms import ibsi_objects
from tests.phantoms.ibsi_objects import CASES, V1_OF_V2

#: What each object that must be refused is refused for.
REFUSED_AS = {
    "DRO_error_2_0": "SUV-NO-WEIGHT",
    "DRO_error_2_1": "SUV-NO-WEIGHT",
    "DRO_error_2_2": "SUV-NO-SEX",
    "DRO_error_2_3": "SUV-NO-SEX",
    "DRO_error_2_4": "SUV-NO-HEIGHT",
    "DRO_error_2_5": "SUV-NO-HEIGHT",
    "DRO_error_2_6": "SUV-UNITS",
    "DRO_error_2_7": "SUV-UNITS",
    "DRO_error_3_0": "SUV-NO-DOSE",
    "DRO_error_3_1": "SUV-NO-DOSE",
    "DRO_error_3_2": "SUV-NO-REFERENCE",
    "DRO_error_4_0": "SUV-NO-TIME",
    "DRO_error_4_1": "SUV-NO-TIME",
    "DRO_error_4_2": "AD-01",
    "DRO_error_5_0": "SUV-HALF-LIFE",
}
#: What is warned where the answer stands on a repair.
WARNED = {
    "DRO_3_0": "SUV-DOSE-MBQ",
    "DRO_3_3_0": "SUV-TREF-CONFLICT",
    "DRO_3_3_1": "SUV-TREF-CONFLICT",
    "DRO_4_2": "SUV-MIDNIGHT",
    "DRO_4_4": "AD-01",
    "DRO_7_3_0": "SUV-TREF-CONFLICT",
}
USED = {
    **{f"DRO_3_2_{k}": "R5" if k == 1 else "R4" for k in range(4)},
    **{f"DRO_3_3_{k}": "R1" for k in range(2)},
    **{f"DRO_3_5_{k}": "R2" for k in range(4)},
    "DRO_7_3_0": "R3",
}
ENHANCED = [case_id for case_id, case in CASES.items() if case.is_enhanced]
ANSWERED = [case_id for case_id in CASES if case_id not in REFUSED_AS]


def read(folder: Path) -> tuple[np.ndarray, SuvResult]:
    """Return the rescaled pixels and the SUV factor, as every other caller has them."""
    series = choose(read_scan(list_files(folder)))
    return series.load().image, suv_factor(series.header)


def suv_of(image: np.ndarray, result: SuvResult) -> np.ndarray:
    factors = result.factors_by_slice or (result.factor_g_per_bq,) * len(image)
    return image * np.asarray(factors)[:, None, None]


@pytest.mark.parametrize("case_id", ANSWERED)
def test_object_when_its_suv_can_be_given_then_minimum_median_and_maximum_are_the_lists(case_id, tmp_path) -> None:
    ibsi_objects.write(case_id, tmp_path)
    image, result = read(tmp_path)
    assert result.refused is None
    inside = suv_of(image, result)[ibsi_objects.mask_zyx()]
    assert (inside.min(), np.median(inside), inside.max()) == pytest.approx((0.20, 1.00, 4.00), abs=0.005)
    if case_id in WARNED:
        assert WARNED[case_id] in {one.code for one in result.warnings}
    if case_id in USED:
        assert [one.id for one in result.candidates if one.is_used] == [USED[case_id]]


@pytest.mark.parametrize("case_id", REFUSED_AS)
def test_object_when_it_must_be_refused_then_it_is_for_its_own_reason(case_id: str, tmp_path: Path) -> None:
    ibsi_objects.write(case_id, tmp_path)
    _, result = read(tmp_path)
    assert result.refused is not None
    assert result.refused.code == REFUSED_AS[case_id]
    assert result.factor_g_per_bq is None
    assert result.factors_by_slice is None


def test_cases_when_counted_then_43_have_an_answer_and_15_are_refused() -> None:
    assert len(ANSWERED) == 43
    assert len(REFUSED_AS) == 15
    assert set(REFUSED_AS) == {case_id for case_id in CASES if "error" in case_id}
    assert len(ENHANCED) == 5
    assert set(V1_OF_V2) <= set(CASES)
    assert len(set(V1_OF_V2.values())) == len(V1_OF_V2) == 17


def test_cases_when_compared_with_the_list_then_none_is_missing_and_each_has_its_words(shared_data: Path) -> None:
    listed: dict[str, str] = {}
    with (shared_data / "ibsi_suv_dro" / "requirements_v2.csv").open(newline="") as table:
        for row in csv.DictReader(table):
            several = re.fullmatch(r"(.*_)(\d)\.\.(\d)", row["ID"])
            ids = [several[1] + str(k) for k in range(int(several[2]), int(several[3]) + 1)] if several else [row["ID"]]
            listed |= dict.fromkeys(ids, row["Description"].partition(" (")[0])
    assert len(listed) == 58
    assert {case_id: case.words.partition(" (")[0] for case_id, case in CASES.items()} == listed


def test_generator_when_its_imports_are_read_then_nothing_of_the_program_is_among_them() -> None:
    tree = ast.parse(Path(ibsi_objects.__file__).read_text(encoding="utf-8"))
    modules = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    modules |= {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert not {
        name for name in modules if name.split(".")[0] in {"phantoms", "qc", "corelab", "accreditation", "tests"}
    }
