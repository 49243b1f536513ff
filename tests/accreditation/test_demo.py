"""The demonstration's answer key and its browser, without a server."""

from __future__ import annotations

import math
from datetime import datetime

import pytest

from accreditation.management.commands import _demo_scans as scans
from accreditation.management.commands._browser import Page, _Reader
from accreditation.management.commands._demo_sendings import Sending
from accreditation.management.commands._demo_site import Outcome as Read
from accreditation.management.commands._demo_site import written
from phantoms import digital
from phantoms.results import Outcome
from qc.forms import SheetForm

WANTED = [Outcome.PASS, Outcome.FAIL, Outcome.PASS, Outcome.FAIL, Outcome.NOT_EVALUABLE]


def test_standard_scans_when_drawn_then_they_are_the_five_with_their_verdicts() -> None:
    drawn = scans.standard_scans()
    assert [scan.expected for scan in drawn] == WANTED
    assert [scan.kind for scan in drawn] == ["cylinder", "cylinder", "nema_iq", "nema_iq", "patient"]


@pytest.mark.parametrize("seed", range(12))
def test_drawn_scans_when_seeded_then_no_truth_is_near_a_limit(seed: int) -> None:
    drawn = scans.drawn_scans(seed)
    assert [scan.expected for scan in drawn] == WANTED
    assert all(scan.margin_sd >= 3 for scan in drawn)


def test_drawn_scans_when_seeded_alike_then_they_are_alike_and_else_not() -> None:
    def truths(seed: int) -> list[str]:
        return [f"{scan.truth} {scan.margin_sd}" for scan in scans.drawn_scans(seed)]

    assert truths(7) == truths(7)
    assert truths(7)[:4] != truths(8)[:4]


@pytest.mark.parametrize(
    ("bias_pct", "expected"),
    [(9.9, Outcome.PASS), (-9.9, Outcome.PASS), (10.1, Outcome.FAIL), (-10.1, Outcome.FAIL)],
)
def test_cylinder_when_its_calibration_is_off_then_ten_per_cent_is_the_limit(
    bias_pct: float, expected: Outcome
) -> None:
    assert scans._cylinder("", bias_pct=bias_pct).expected is expected


@pytest.mark.parametrize(
    # The range of effective resolution in which the EARL 1 bands hold, and values well outside it.
    ("fwhm_mm", "expected"),
    [(6.0, Outcome.FAIL), (8.0, Outcome.PASS), (8.8, Outcome.PASS), (11.0, Outcome.FAIL), (12.0, Outcome.FAIL)],
)
def test_nema_iq_when_its_resolution_changes_then_the_bands_decide(fwhm_mm: float, expected: Outcome) -> None:
    assert scans._nema_iq("", fwhm_mm=fwhm_mm, cov=0.05).expected is expected


def test_patient_when_drawn_then_no_weight_is_in_the_headers_and_no_chance_in_the_verdict() -> None:
    scan = scans.standard_scans()[-1]
    assert math.isinf(scan.margin_sd)
    assert "PatientWeight" not in scan.make().attributes


def test_written_when_the_form_reads_it_then_the_sheet_is_the_drawn_one() -> None:
    sheet = digital.nema_iq(shape_zyx=(8, 8, 8)).sheet
    assert sheet is not None
    form = SheetForm(written(sheet), kind="nema_iq", shows_errors=True)
    form.require_whole()
    assert not form.errors
    read = form.sheet(time_zone="Europe/London", calibrator="")
    for fill, drawn in zip(read["fills"], sheet["fills"], strict=True):
        assert {key: value for key, value in fill.items() if isinstance(value, str)} == {
            key: value for key, value in drawn.items() if isinstance(value, str)
        }
        for key in ("activity_mbq", "residual_mbq", "volume_ml"):
            assert fill[key] == pytest.approx(drawn[key], rel=1e-4)
        assert datetime.fromisoformat(fill["assayed_at"]) < datetime.fromisoformat(fill["residual_at"])


def test_sending_when_the_verdict_is_another_then_it_is_not_as_expected(tmp_path) -> None:
    scan = scans.standard_scans()[0]
    sending = Sending(key="", name="", folder=tmp_path, scan=scan)
    assert not sending.is_as_expected
    for verdict in Outcome:
        sending.outcome = Read(verdict=verdict, reason="", run="R-1", url="")
        assert sending.is_as_expected is (verdict is Outcome.PASS)


def test_sending_when_its_folder_holds_a_sheet_then_the_sheet_is_not_uploaded(tmp_path) -> None:
    for name in ("sheet.json", "deep/sheet.json", "deep/1.dcm"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text('{"fills": []}')
    sending = Sending(key="", name="", folder=tmp_path)
    assert set(sending.files()) == {"deep/sheet.json", "deep/1.dcm"}
    assert sending.sheet() == {"fills": []}


def test_page_when_read_then_its_forms_are_what_a_person_could_fill_in() -> None:
    page = Page(
        url="http://127.0.0.1/send/",
        text="""
        <div data-verdict="PASS" data-sentence="all six &amp; more">
        <form method="post"><input type="hidden" name="csrfmiddlewaretoken" value="t0ken">
          <input type="radio" name="kind" value="cylinder"><input type="radio" name="kind" value="patient" checked>
          <select name="scanner"><option value="">Choose</option><option value="4" selected>Model · 9</option>
            <option value="5">Model · 10</option></select>
          <input type="checkbox" name="is_dry_run"><textarea name="comment">two
        words</textarea><input type="file" name="file"><button name="send" value="1">Send</button></form>
        <form action="/elsewhere/"><input name="q"></form>""",
    )
    _Reader(page).feed(page.text)
    form = page.form_with("scanner", "send")
    assert form.action == "http://127.0.0.1/send/"
    assert form.values == {
        "csrfmiddlewaretoken": "t0ken",
        "kind": "patient",
        "scanner": "4",
        "comment": "two\n        words",
    }
    assert form.choice("scanner", "· 10") == "5"
    assert form.buttons == {"send": "1"}
    assert page.form_with("q").action == "http://127.0.0.1/elsewhere/"
    assert (page.mark("data-verdict"), page.mark("data-sentence")) == ("PASS", "all six & more")
    assert page.mark("data-other") is None
