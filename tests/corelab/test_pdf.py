"""The document kit: tagged, archivable, the same bytes, the right faces, and names in any script."""

from __future__ import annotations

import shutil
import subprocess
from datetime import UTC, datetime
from pathlib import Path

import pytest

from corelab import pdf
from corelab.errors import Misconfigured

MADE_AT = datetime(2026, 3, 4, 14, 20, tzinfo=UTC)
SVG = (
    b'<svg xmlns="http://www.w3.org/2000/svg" width="20" height="20"><rect width="9" height="9" fill="#1D4E89"/></svg>'
)
TEMPLATE = """
#import "part.typ": shown
#let data = json("data.json")
#set document(title: "Test", date: auto)
#set text(font: data.fonts, lang: "en")
= Heading
#shown(data.name) #text(weight: 600, data.name) #text(font: data.mono_fonts, data.name)
#image("dot.svg", alt: "a dot")
Substituted: #data.substituted
"""

needs_poppler = pytest.mark.skipif(shutil.which("pdffonts") is None, reason="poppler-utils reads the PDF back")


@pytest.fixture
def template(tmp_path: Path) -> Path:
    (tmp_path / "part.typ").write_text("#let shown(name) = [Name: #name]")
    (tmp_path / "test.typ").write_text(TEMPLATE)
    return tmp_path / "test.typ"


def rendered(template: Path, name: str) -> bytes:
    return pdf.render(template, {"name": name}, {"dot.svg": SVG}, MADE_AT)


def poppler(program: str, document: bytes, folder: Path, *arguments: str) -> str:
    path = folder / "test.pdf"
    path.write_bytes(document)
    command = [program, *arguments, str(path), *(["-"] if program == "pdftotext" else [])]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


@needs_poppler
def test_pdf_when_read_back_then_it_is_tagged_and_claims_both_standards(template: Path) -> None:
    document = rendered(template, "Site North")
    info = poppler("pdfinfo", document, template.parent)
    assert "Tagged:          yes" in info
    metadata = poppler("pdfinfo", document, template.parent, "-meta")
    assert "<pdfuaid:part>1</pdfuaid:part>" in metadata
    assert "<pdfaid:part>3</pdfaid:part>" in metadata
    assert "<pdfaid:conformance>A</pdfaid:conformance>" in metadata


@needs_poppler
def test_pdf_when_text_is_latin_then_every_embedded_face_is_plex(template: Path) -> None:
    rows = poppler("pdffonts", rendered(template, "Çankaya Şehir – Łódź, 22 µm ± 0.5 ≥ −1"), template.parent)
    faces = [line.split()[0] for line in rows.splitlines()[2:]]
    assert faces
    assert all("IBMPlex" in face for face in faces), faces
    assert any("Mono" in face for face in faces)
    assert all(line.split()[-5] == "yes" for line in rows.splitlines()[2:]), "embedded"


@needs_poppler
@pytest.mark.parametrize(
    ("name", "face"),
    [
        ("مستشفى الملك فيصل", "NotoSansArabic"),
        ("東京大学病院", "NotoSansCJK"),
        ("서울대학교병원", "NotoSansCJK"),
        ("בית חולים", "DejaVuSans"),
    ],
)
def test_pdf_when_a_name_has_another_script_then_a_face_that_has_it_is_embedded(
    template: Path, name: str, face: str
) -> None:
    document = rendered(template, name)
    assert face in poppler("pdffonts", document, template.parent)
    assert "Substituted: 0" in poppler("pdftotext", document, template.parent)


@needs_poppler
@pytest.mark.parametrize(
    "name",
    [
        "Ł",
        "W" * 80,
        "โรงพยาบาลศิริราช",
        "अस्पताल",
        "😀 clinic",
        "a\u0301\u0323",
        "\x00\x07bell",
        "half \ud800 pair",
        "\u202egnp",
        "",
    ],
)
def test_pdf_when_a_name_is_strange_then_the_document_is_made_all_the_same(template: Path, name: str) -> None:
    text = poppler("pdftotext", rendered(template, name), template.parent)
    assert "Heading" in text


@needs_poppler
def test_pdf_when_no_face_has_a_letter_then_a_square_stands_for_it_and_is_counted(template: Path) -> None:
    text = poppler("pdftotext", rendered(template, "Site ภา"), template.parent)
    assert "Site □□" in text
    assert "Substituted: 2" in text


@needs_poppler
@pytest.mark.parametrize(
    "name", ['#panic("x")', "$x^2$", "*bold* _it_", "<label> @ref", "`raw`", "\\ #{", '"; #read("data.json")', "= H"]
)
def test_pdf_when_data_look_like_markup_then_they_are_printed_not_run(template: Path, name: str) -> None:
    text = poppler("pdftotext", rendered(template, name), template.parent)
    assert f"Name: {name}" in text


def test_pdf_when_made_twice_then_the_bytes_are_the_same(template: Path) -> None:
    assert rendered(template, "Site 東京") == rendered(template, "Site 東京")


def test_pdf_when_data_differ_then_the_bytes_differ(template: Path) -> None:
    assert rendered(template, "Site North") != rendered(template, "Site South")


def test_pdf_when_made_then_neither_the_clock_nor_the_folder_is_in_it(template: Path, tmp_path: Path) -> None:
    other = tmp_path / "elsewhere"
    other.mkdir()
    for path in (template, template.parent / "part.typ"):
        shutil.copy(path, other)
    assert rendered(template, "Site") == rendered(other / "test.typ", "Site")


def test_template_when_it_does_not_compile_then_the_lab_is_told(tmp_path: Path) -> None:
    (tmp_path / "broken.typ").write_text("#unknown-name")
    with pytest.raises(Misconfigured, match=r"broken\.typ") as raised:
        pdf.render(tmp_path / "broken.typ", {}, {}, MADE_AT)
    assert raised.value.code == "PDF-TEMPLATE"


def test_picture_when_it_has_no_alternative_text_then_the_document_is_refused(tmp_path: Path) -> None:
    (tmp_path / "mute.typ").write_text('#set document(title: "x")\n#image("dot.svg")')
    with pytest.raises(Misconfigured, match="alt"):
        pdf.render(tmp_path / "mute.typ", {}, {"dot.svg": SVG}, MADE_AT)


def test_font_when_its_package_is_absent_then_the_lab_is_told() -> None:
    with pytest.raises(Misconfigured) as raised:
        pdf.font_file("fontpkg_that_nobody_made", "files/Font.ttf")
    assert raised.value.code == "PDF-FONT"


def test_pdf_when_its_moment_has_parts_of_a_second_then_the_whole_second_dates_it(template: Path) -> None:
    late = pdf.render(template, {"name": "Site"}, {"dot.svg": SVG}, MADE_AT.replace(microsecond=123456))
    assert late == rendered(template, "Site")
