"""How the SUV engine stands against reference objects, as data that pages can show.

``python -m tests.phantoms.standing`` writes ``phantoms/suv/standing.json``; a test makes the same again and compares.
Sets whose files lie in the shared reference data are taken over from the file where that is absent.
"""

from __future__ import annotations

import csv
import json
import re
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from phantoms.dicom_series import choose, list_files, read_scan
from phantoms.errors import AnalysisRefused
from phantoms.masks import read_mask
from phantoms.suv import SuvResult, suv_factor
from qc.analysis import METHODS
from tests.phantoms import ibsi_objects

STANDING = Path(__file__).resolve().parents[2] / "phantoms" / "suv" / "standing.json"
SHARED = ("ibsi_suv_v1", "vendor_headers")
TRUTH = (0.20, 1.00, 4.00)
TOLERANCE = 0.005


def made_here() -> dict[str, Any]:
    """Return the standing on the 58 cases of the requirement list, on objects of our own."""
    objects = []
    for case_id in ibsi_objects.CASES:
        is_refusal = "error" in case_id
        expected: Any = "refused" if is_refusal else list(TRUTH)
        with tempfile.TemporaryDirectory() as folder:
            ibsi_objects.write(case_id, Path(folder))
            objects.append({"id": case_id, "expected": expected} | _outcome(Path(folder), None, expected))
    return _set(
        "ibsi_suv_v2",
        "IBSI-SUV requirement list, objects made here",
        "version 2, 58 cases",
        "oncoray/suv_computation, CC BY 4.0; the objects are digital ones after its words",
        objects,
    )


def published(folder: Path) -> dict[str, Any]:
    """Return the standing on the published IBSI-SUV objects that are at hand."""
    v2_of_v1 = {v1: v2 for v2, v1 in ibsi_objects.V1_OF_V2.items()}
    objects = []
    for path in sorted(folder.glob("DRO_*")):
        # The slope of DRO_2_3 cuts its stored values off.
        expected = [0.19, 0.98, 3.98] if path.name == "DRO_2_3" else list(TRUTH)
        outcome = _outcome(path / "PT", path / "mask" / "DRO_mask.nii.gz", expected)
        objects.append({"id": path.name, "id_v2": v2_of_v1[path.name], "expected": expected} | outcome)
    return _set(
        "ibsi_suv_v1",
        "IBSI-SUV digital reference objects",
        "version 1, 12 of its 17",
        "oncoray/suv_computation, CC BY 4.0, (c) 2026 Michael Vácha, OncoRay/HZDR",
        objects,
    )


def vendors(folder: Path) -> dict[str, Any]:
    """Return the standing on the headers of four real series."""
    from tests.phantoms.test_real_series import vendor_headers

    with (folder / "expected.csv").open(newline="") as table:
        notes = {row["file"]: row["note"] for row in csv.DictReader(table)}
    objects = []
    for name, header, factor in vendor_headers(folder):
        result = suv_factor(header)
        found = result.factor_g_per_bq
        is_same = found is not None and abs(found / factor - 1) < 1e-9
        objects.append(
            {"id": notes[name], "expected": factor, "result": "PASS" if is_same else "FAIL"}
            | {
                "found": None if found is None else float(f"{found:.9g}"),
                "refused": _code(result),
                "used": _used(result),
            }
        )
    return _set(
        "vendor_headers", "Headers of four real series", "as published", "cornerstonejs/calculate-suv, MIT", objects
    )


def _outcome(folder: Path, mask: Path | None, expected: Any) -> dict[str, Any]:
    """Return what reading and measuring a folder gives, and whether that is what was expected."""
    try:
        series = choose(read_scan(list_files(folder)))
    except AnalysisRefused as refused:  # it was not read, so the SUV was not tried
        return {"result": "NOT_READ", "found": None, "refused": refused.code, "used": None}
    result = suv_factor(series.header)
    if result.refused is not None:
        is_same = expected == "refused"
        return {"result": "PASS" if is_same else "FAIL", "found": None, "refused": _code(result), "used": _used(result)}
    volume = series.load()
    factors = np.asarray(result.factors_by_slice or (result.factor_g_per_bq,) * len(volume.image))
    inside = read_mask(mask, volume) if mask else ibsi_objects.mask_zyx()
    suv = (volume.image * factors[:, None, None])[inside]
    found = [float(suv.min()), float(np.median(suv)), float(suv.max())]
    is_same = expected != "refused" and bool(np.allclose(found, expected, rtol=0, atol=TOLERANCE))
    rounded = [round(one, 3) for one in found]
    return {"result": "PASS" if is_same else "FAIL", "found": rounded, "refused": None, "used": _used(result)}


def _code(result: SuvResult) -> str | None:
    return result.refused.code if result.refused else None


def _used(result: SuvResult) -> str | None:
    return next((one.id for one in result.candidates if one.is_used), None)


def _set(set_id: str, title: str, version: str, source: str, objects: list[dict[str, Any]]) -> dict[str, Any]:
    passed = sum(one["result"] == "PASS" for one in objects)
    return {
        "id": set_id,
        "title": title,
        "version": version,
        "source": source,
        "passed": passed,
        "of": len(objects),
        "objects": objects,
    }


def standing(shared_data: Path) -> dict[str, Any]:
    """Return the whole standing; what needs absent files is as the file has it."""
    sets = [made_here()]
    if shared_data.is_dir():
        sets += [published(shared_data / "ibsi_suv_dro"), vendors(shared_data / "vendor_headers")]
    else:
        sets += [one for one in json.loads(STANDING.read_text(encoding="utf-8"))["sets"] if one["id"] in SHARED]
    return {"method": "suv", "method_version": METHODS["suv"], "tolerance": TOLERANCE, "sets": sets}


def as_text(found: dict[str, Any]) -> str:
    """Return the standing as the file holds it, one line an object."""
    text = json.dumps(found, ensure_ascii=False, indent=1)
    return (
        re.sub(r"\{[^{}]*\}", lambda innermost: json.dumps(json.loads(innermost[0]), ensure_ascii=False), text) + "\n"
    )


if __name__ == "__main__":
    import os

    import django

    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "corelab.settings.test")
    django.setup()
    from tests.conftest import SHARED_DATA

    STANDING.write_text(as_text(standing(SHARED_DATA)), encoding="utf-8")
