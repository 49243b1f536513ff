"""An ACR PET phantom on its way through the product: sent, measured, shown, printed, looked at."""

from __future__ import annotations

import re
import subprocess
from dataclasses import replace
from typing import Any

import pytest
from django.urls import reverse

from corelab.errors import Refused
from phantoms import dicom_series, digital, digital_acr, figures, standards
from phantoms.figure_svg import FigureSvg
from phantoms.results import Measurement, Outcome
from qc import analysis, checklists, reports, services, wording
from qc.forms import SheetForm
from qc.forms.place import standard_choices
from qc.models.submissions import Kind
from tests import factories
from tests.qc import scenes
from tests.qc.kit import call
from tests.qc.test_reports import META, needs_poppler

TYPED = {
    "date": "2026-03-02",
    "scan_time": "10:30",
    "spheres-activity": "13.5",
    "spheres-activity_time": "09:10",
    "spheres-residual": "0",
    "spheres-residual_time": "09:14",
    "spheres-volume": "1000",
    "background-activity": "30.5",
    "background-activity_time": "09:12",
    "background-residual": "0",
    "background-residual_time": "09:16",
    "background-volume": "5650",
}


@pytest.fixture(scope="module")
def outcome(tmp_path_factory) -> analysis.Analysis:
    """Return a phantom that reads 20 % low, measured and drawn."""
    scan, folder = digital_acr.acr_pet(calibration=0.8, seed=1), tmp_path_factory.mktemp("acr")
    digital.write_dicom(scan, folder)
    request = analysis.Request(method="acr", sheet=scan.sheet, standards=("acr_pet",))
    return analysis.analyse_files(dicom_series.list_files(folder), request, with_figures=True)


def judged(name: str, value: float, unit: str) -> dict[str, Any]:
    (one,) = standards.judge([Measurement(name=name, value=value, unit=unit)], standards.load("acr_pet"))
    return one.as_json()


def run(*measurements: dict[str, Any], verdict: str) -> dict[str, Any]:
    return {"method": "acr", "verdict": verdict, "measurements": list(measurements), "findings": [], "refused": None}


# --- in words -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "value", "unit", "verdict", "words"),
    [
        ("acr_background_suv_mean", 0.80, "g/mL", "FAIL", "the background reads SUV 0.80; 0.85 to 1.15 is accepted"),
        ("acr_background_suv_mean", 0.8499, "g/mL", "FAIL", "the background reads SUV 0.8499"),
        (
            "acr_ratio_16_25",
            0.62,
            "1",
            "FAIL",
            "the 16 mm cylinder reads 0.62 of the 25 mm one; more than 0.7 is needed",
        ),
        ("acr_background_suv_mean", 1.01, "g/mL", "PASS", "the background reads SUV 1.01, and the hot cylinders lie"),
    ],
)
def test_headline_when_an_acr_phantom_was_judged_then_says_which_number_and_its_limit(
    name, value, unit, verdict, words
) -> None:
    said = wording.headline(run(judged(name, value, unit), verdict=verdict), ("acr_pet",))
    assert words in said.replace(wording.NARROW_SPACE, " ")


def test_labels_when_a_number_of_the_acr_phantom_is_shown_then_no_code_is(outcome) -> None:
    for one in outcome.json["measurements"]:
        assert "_" not in wording.label(one["name"]), one["name"]


def test_checklist_when_the_phantom_is_an_acr_one_then_asks_for_rods_and_faceplate() -> None:
    assert {"rods", "faceplate", "rings"} <= {item.key for item in checklists.checklist_for("acr")}


# --- sending --------------------------------------------------------------------------------------------------


def test_start_when_an_acr_phantom_is_sent_then_its_own_standard_decides(client, site, sender) -> None:
    machine = factories.scanner(site)
    client.force_login(sender)
    answer = client.post(
        reverse("qc:submission-start"), {"kind": "acr", "scanner": machine.pk, "standard": "earl1_18f"}, follow=True
    )
    (draft,) = site.submissions.filter(kind=Kind.ACR)
    assert draft.standard == "acr_pet"
    page = answer.content.decode()
    assert "Hot cylinder stock" in page
    assert "ratio 2.25 to 2.75" in page
    assert "9 to 11" not in page


def test_standards_when_a_site_chooses_then_none_that_belongs_to_one_phantom_is_offered() -> None:
    assert {"acr_pet", "radionuclide_calibrator"}.isdisjoint(dict(standard_choices()))


@pytest.mark.parametrize(("kind", "standard"), [("acr", "earl1_18f"), ("cylinder", "acr_pet")])
def test_place_when_the_standard_is_another_phantoms_then_is_refused(draft, sender, kind, standard) -> None:
    with pytest.raises(Refused) as refused:
        call(services.submission_place_edit, actor=sender, submission_id=draft.pk, kind=kind, standard=standard)
    assert refused.value.code == "STANDARD-UNKNOWN"


def test_sheet_when_the_ratio_is_the_acr_phantoms_then_nothing_is_asked() -> None:
    def ids(kind: str) -> set[str]:
        return {one.id for one in SheetForm(TYPED, kind=kind).findings()}

    assert "PHA-RATIO" not in ids("acr")
    assert "PHA-RATIO" in ids("nema_iq")


# --- shown ----------------------------------------------------------------------------------------------------


def test_figures_when_drawn_then_each_has_its_size_and_words_and_no_style(outcome) -> None:
    sizes = {
        "faceplate": (83, 83),
        "coronal": (83, 83),
        "rods": (174, 96),
        "uniform_slices": (174, 52.5),
        "slice_profile": (174, 50),
    }
    assert set(outcome.figures) == set(sizes)
    for name, figure in outcome.figures.items():
        svg = figure.svg.decode()
        assert figure.size_mm == pytest.approx(sizes[name], abs=0.01), name
        assert "style" not in svg, name
        assert len(figure.svg) <= 60_000, name
        assert FigureSvg.read(figure.svg) == figure, name
        assert len(figure.alt) > 40, name
        assert len(figure.caption) > 20, name
    assert "25, 16, 12, 8 mm" in outcome.figures["faceplate"].alt


def test_figures_when_there_is_no_suv_then_the_window_is_the_background(tmp_path) -> None:
    from phantoms import acr

    scan = digital_acr.acr_pet(cov=0.0)
    result = acr.measure(scan.volume, reference_time=None, sheet=None, suv_factor=None)
    drawn = figures.acr_figures(scan.volume, result, None)
    assert "3 × the background" in drawn["faceplate"].caption
    assert "1.5 × the background" in drawn["rods"].caption


@pytest.mark.django_db
def test_page_when_an_acr_run_is_shown_then_verdict_pictures_and_numbers_stand_there(
    outcome, draft, physicist, client
) -> None:
    draft.kind, draft.standard = "acr", "acr_pet"
    draft.save()
    scenes.measured(draft, outcome.json)
    client.force_login(physicist)
    page = client.get(reverse("qc:submission-detail", args=[draft.number])).content.decode()
    assert "ACR PET phantom" in page
    assert "Background, mean SUV" in page


@pytest.mark.parametrize("fails", [True, False])
def test_report_when_an_acr_phantom_was_measured_then_first_page_and_slices_are_there(outcome, fails) -> None:
    meta = replace(META, kind_label="ACR PET phantom", standards=("acr_pet",))
    context = reports.build_context(outcome.json, meta, outcome.figures if fails else None)
    first = context["result"]
    assert [one["key"] for one in first["figures"]] == (["faceplate", "coronal"] if fails else [])
    shown = str(first["numbers"])
    assert "Background, mean SUV" in shown
    keys = [section["key"] for section in context["sections"]]
    assert keys == [*(["slices"] if fails else []), "suv_numbers", "findings", "suv", "proof"]
    assert "ACR PET" in str(context["document"])
    assert Outcome(outcome.json["verdict"]) is Outcome.FAIL


@needs_poppler
def test_pdf_when_typeset_then_the_slices_have_their_captions(outcome, tmp_path) -> None:
    meta = replace(META, kind_label="ACR PET phantom", standards=("acr_pet",))
    context = reports.build_context(outcome.json, meta, outcome.figures)
    path = tmp_path / "report.pdf"
    path.write_bytes(reports.render_pdf(context, outcome.figures))
    done = subprocess.run(["pdftotext", "-layout", str(path), "-"], capture_output=True, text=True, check=True)
    text = re.sub(r"\s+", " ", done.stdout)
    for words in ("Rods in slices of 1 cm", "Uniform section in slices of 1 cm", "Background, mean SUV", "ACR PET"):
        assert words in text
