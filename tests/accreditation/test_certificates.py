"""The certificate as a document: what it says, that it is one page, tagged, the same bytes each time."""

from __future__ import annotations

import re
import shutil
import subprocess

import pytest

from accreditation import services
from accreditation.certificates import build_context, check_address, qr_svg, render_pdf
from corelab import storage
from corelab.errors import Refused
from tests.accreditation.scenes import UK, Scene, certificate_of, fresh
from tests.qc.kit import call, work

pytestmark = pytest.mark.django_db


@pytest.fixture
def certificate(clock):
    scene = Scene(UK, name="North Hospital", city="Leeds", country="United Kingdom")
    profile = scene.reconstruction
    profile.kernel, profile.filter_fwhm_mm, profile.matrix = "XYZ Gauss 5.00", "5.0", 168
    profile.pixel_mm, profile.slice_mm = "4.0728", "3.0000"
    profile.save()
    case = scene.taken()
    scene.approve(case, conditions="Only with the 5 mm filter.")
    return certificate_of(case)


def text_of(pdf: bytes, tmp_path) -> str:
    if shutil.which("pdftotext") is None:
        pytest.skip("pdftotext is not on this machine; the context is looked at by other tests")
    path = tmp_path / "certificate.pdf"
    path.write_bytes(pdf)
    done = subprocess.run(["pdftotext", "-layout", str(path), "-"], capture_output=True, text=True, check=True)
    assert done.stdout.count("\f") == 1, "one page"
    return " ".join(done.stdout.split())


def test_context_when_it_is_built_then_scope_days_and_both_signatures_stand_in_it(certificate):
    context = build_context(certificate)
    facts = dict(context["facts"])
    assert context["number"] == "PET-2026-1001"
    assert (context["valid_from"], context["valid_until"]) == ("10 Mar 2026", "9 Mar 2027")
    assert facts["Its settings"] == (
        "OSEM3D 3i24s, kernel XYZ Gauss 5.00, filter 5.0 mm FWHM, matrix 168 × 168, pixel 4.0728 mm, slices 3 mm apart"
    )
    assert facts["Serial number"] == certificate.case.scanner.serial
    assert facts["Standard"].startswith("EARL 1 – ")
    review, approval = context["signatures"]
    assert (review["kind"], approval["kind"]) == ("Review", "Approval")
    assert review["name"] != approval["name"]
    assert approval["at"] == "10 Mar 2026 12:00 GMT"
    assert approval["meaning"] == (f"I approve the accreditation of {certificate.case} from 10 Mar 2026 to 9 Mar 2027.")
    assert context["digest"] == certificate.decision.signature.digest


def test_pdf_when_it_is_opened_then_every_word_of_it_is_there_on_one_page(certificate, tmp_path):
    context = build_context(certificate)
    text = text_of(render_pdf(context, certificate), tmp_path)
    for words in (
        "Certificate of accreditation",
        "PET-2026-1001",
        "North Hospital",
        "Leeds, United Kingdom",
        "F-18",
        "Only with the 5 mm filter.",
        "http://127.0.0.1:8000/check/PET-2026-1001/",
        "Validity today is what the check page says.",
        *(one["name"] for one in context["signatures"]),
    ):
        assert words in text
    assert context["digest"] in re.sub(r"\s", "", text)


def test_pdf_when_everything_is_long_then_it_is_still_one_page(clock, tmp_path):
    scene = Scene(name="The hospital with the longest name that a register of eighty letters can take, and")
    case = scene.taken()
    scene.approve(case, conditions="WIDE WORDS\n" * 54)
    certificate = certificate_of(case)
    assert "longest name" in text_of(render_pdf(build_context(certificate), certificate), tmp_path)


def test_conditions_when_they_would_not_fit_the_page_then_they_are_refused_before_anything_is_signed(clock):
    scene = Scene()
    case = scene.reviewing()
    with pytest.raises(Refused) as refused:
        scene.propose(case, conditions="x" * 601)
    assert refused.value.code == "CONDITIONS-LONG"
    scene.propose(case)
    call(services.case_take_second, actor=scene.approver, case_id=case.pk)
    with pytest.raises(Refused):
        scene.approve(fresh(case), conditions="x" * 601)
    assert fresh(case).state == "SECOND_REVIEW"


def test_pdf_when_it_is_made_again_then_the_bytes_are_the_same_and_it_is_tagged(certificate):
    first = render_pdf(build_context(certificate), certificate)
    assert first == render_pdf(build_context(certificate), certificate)
    assert b"/StructTreeRoot" in first
    assert b"/MarkInfo" in first


def test_pdf_when_the_case_is_suspended_later_then_the_document_does_not_change(certificate):
    first = build_context(certificate)
    case = fresh(certificate.case)
    approver = certificate.decision.signature.user
    call(services.case_suspend, actor=approver, case_id=case.pk, reason="The scanner was moved.")
    scanner = case.scanner
    scanner.software = "another"
    scanner.save()
    assert build_context(type(certificate).objects.get(pk=certificate.pk)) == first


def test_job_when_it_is_rung_twice_then_the_document_is_made_once_and_its_digest_is_audited(certificate):
    from corelab.models import AuditEvent

    for _ in range(2):
        work(services.certificate_make, certificate_id=certificate.pk)
    certificate.refresh_from_db()
    assert (certificate.work_state, certificate.attempts) == ("DONE", 1)
    assert storage.path_of(certificate.stored.sha256).read_bytes().startswith(b"%PDF-")
    assert AuditEvent.objects.get(action="certificate.make").after == {"sha256": certificate.stored.sha256}


def test_job_when_typesetting_breaks_then_it_is_tried_again_and_the_clearance_stands(certificate, monkeypatch):
    monkeypatch.setattr(services.certificates, "render_pdf", lambda *_: 1 / 0)
    work(services.certificate_make, certificate_id=certificate.pk)
    certificate.refresh_from_db()
    assert certificate.work_state == "QUEUED"
    assert fresh(certificate.case).state == "ACCREDITED"


def test_address_when_the_lab_is_found_elsewhere_then_the_setting_says_where(settings):
    settings.PUBLIC_URL = "https://petlab.example.org"
    assert check_address("PET-2026-1001") == "https://petlab.example.org/check/PET-2026-1001/"


def test_qr_when_it_is_drawn_then_it_is_svg_without_any_script_and_the_same_each_time():
    drawn = qr_svg("https://petlab.example.org/check/PET-2026-1001/")
    assert drawn.startswith(b"<svg")
    assert b"script" not in drawn
    assert drawn == qr_svg("https://petlab.example.org/check/PET-2026-1001/")


def test_qr_when_it_is_printed_then_its_modules_can_be_told_apart():
    drawn = qr_svg("https://petlab.example.org/check/PET-2026-1001/").decode()
    modules = int(re.search(r'width="(\d+)"', drawn)[1])
    assert (modules - 17) % 4 == 0, "a symbol has 17 modules and four for each version"
    assert 25 / modules > 0.5, "mm, each"
