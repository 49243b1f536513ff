"""The document kit: typst templates and JSON data become tagged PDF/UA-1 and PDF/A-3a files, the same bytes each time.

A template reads its data with ``json("data.json")`` and its pictures with ``image("<name>")``; both exist only in
memory. Data are strings and numbers for the template to place: nothing in them is ever evaluated.
"""

from __future__ import annotations

import functools
import importlib.util
import json
import unicodedata
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import typst

from corelab.errors import Misconfigured

# Order is preference: a glyph comes from the first face that has it. DejaVu Sans lies in matplotlib's own data.
FACES = (
    ("IBM Plex Sans", "fontpkg_ibm_plex_sans", "files/IBMPlexSans[wdth,wght].ttf"),
    ("Noto Sans Arabic", "fontpkg_noto_sans_arabic", "files/NotoSansArabic[wdth,wght].ttf"),
    ("DejaVu Sans", "matplotlib", "mpl-data/fonts/ttf/DejaVuSans.ttf"),
    ("Noto Sans CJK TC", "cvttf_NotoSansCJK_Regular", "NotoSansCJKtc-Regular.otf"),
)
MONO_FACE = ("IBM Plex Mono", "fontpkg_ibm_plex_mono", "files/IBMPlexMono-Regular.ttf")
STANDARDS: list[typst.PDFStandard] = ["ua-1", "a-3a"]
SUBSTITUTE = "□"  # stands for a character that none of the faces can draw
NEVER_DRAWN = frozenset({"Cc", "Cs", "Co", "Cn"})  # PDF/A and XML forbid them, whether a face has a glyph or not
SILENT = frozenset({"Cc", "Cs", "Cf"})  # nothing is seen of them, so nothing is missed
ALWAYS_DRAWABLE = frozenset(map(chr, range(0x20, 0x7F))) | frozenset("\n\u00a0\u202f±²³·×–—−‘’“”…µ≤≥→")


def render(template: Path, data: dict[str, Any], files: Mapping[str, bytes], timestamp: datetime) -> bytes:
    """Typeset one document.

    Parameters
    ----------
    template : Path
        The main ``.typ`` file; every ``.typ`` file beside it can be imported by its name.
    data : dict
        Whatever JSON can hold; the template reads it as ``json("data.json")``. The kit adds ``fonts`` (the text faces
        in order of preference), ``mono_fonts`` and ``substituted``, the number of characters no face can draw.
    files : mapping of str to bytes
        Pictures by the name the template calls them.
    timestamp : datetime
        Aware; written as the document's date. Nothing else in the file depends on when it is made.

    Returns
    -------
    bytes
        A tagged PDF that claims PDF/UA-1 and PDF/A-3a. The same arguments give the same bytes.

    Raises
    ------
    Misconfigured
        A font package is not installed, or the template itself is wrong.
    """
    faces = [name for name, _, _ in FACES]
    drawable, substituted = _drawable(data)
    try:
        return _compile(template, {**drawable, "substituted": substituted}, files, timestamp, faces)
    except typst.TypstError as error:
        if "could not be displayed" not in error.message:
            msg = f"The document template {template.name} does not compile: {error.message}"
            raise Misconfigured(msg, code="PDF-TEMPLATE") from error
    # A script whose letters exist but cannot be joined in any face: a report with squares beats no report.
    drawable, substituted = _drawable(data, allowed=frozenset(_glyphs(*FACES[0][1:])))
    try:
        return _compile(template, {**drawable, "substituted": substituted}, files, timestamp, faces)
    except typst.TypstError as error:
        msg = f"The document template {template.name} does not compile: {error.message}"
        raise Misconfigured(msg, code="PDF-TEMPLATE") from error


def font_file(package: str, inside: str) -> Path:
    """Return the path of a font file in an installed package, which is not imported for it."""
    spec = importlib.util.find_spec(package)
    places = list(spec.submodule_search_locations or []) if spec else []
    found = next((Path(place) / inside for place in places if (Path(place) / inside).exists()), None)
    if found is None:
        msg = f"The font package {package} is not installed, or holds no {inside}."
        raise Misconfigured(msg, code="PDF-FONT")
    return found


def _compile(
    template: Path, data: dict[str, Any], files: Mapping[str, bytes], timestamp: datetime, faces: list[str]
) -> bytes:
    given = {**data, "fonts": faces, "mono_fonts": [MONO_FACE[0], *faces]}
    sources = {path.name: path.read_bytes() for path in sorted(template.parent.glob("*.typ"))}
    world = {
        # typst takes the entry named "main" as the document itself
        "main": sources.pop(template.name),
        **sources,
        **files,
        "data.json": json.dumps(given, ensure_ascii=False, allow_nan=False, sort_keys=True).encode(),
    }
    pdf: bytes = typst.compile(  # type: ignore[call-overload]  # its stubs know no dict of files
        world, font_paths=_fonts(), pdf_standards=STANDARDS, timestamp=timestamp.replace(microsecond=0)
    )
    return pdf


@functools.cache
def _fonts() -> typst.Fonts:
    """Return the faces of the installed packages and no others, so that every machine sets the same document."""
    # typst takes folders; a file's path it passes over in silence
    places = [str(font_file(package, inside).parent) for _, package, inside in (*FACES, MONO_FACE)]
    return typst.Fonts(include_system_fonts=False, include_embedded_fonts=False, font_paths=places)


@functools.cache
def _glyphs(package: str, inside: str) -> frozenset[str]:
    """Return the characters that a face has a glyph for."""
    from matplotlib.ft2font import FT2Font  # only when text leaves the always drawable set: half a second to import

    return frozenset(map(chr, FT2Font(str(font_file(package, inside))).get_charmap()))


def _drawable(data: dict[str, Any], allowed: frozenset[str] | None = None) -> tuple[dict[str, Any], int]:
    """Return the data with every character that no face can draw replaced, and how many there were.

    PDF/UA forbids a missing glyph, and the typesetter refuses the whole document for one. Control characters and lone
    surrogates go without a mark: they draw nothing, and XML cannot hold them.
    """
    substituted = 0

    def clean(text: str) -> str:
        nonlocal substituted
        if ALWAYS_DRAWABLE.issuperset(text):
            return text
        kept = []
        for character in text:
            kind = unicodedata.category(character)
            if character in ALWAYS_DRAWABLE or (kind not in NEVER_DRAWN and _has_glyph(character, allowed)):
                kept.append(character)
            elif kind not in SILENT:
                kept.append(SUBSTITUTE)
                substituted += 1
        return "".join(kept)

    def walk(value: Any) -> Any:
        if isinstance(value, str):
            return clean(value)
        if isinstance(value, Mapping):
            return {key: walk(inner) for key, inner in value.items()}
        if isinstance(value, list | tuple):
            return [walk(inner) for inner in value]
        return value

    return {key: walk(value) for key, value in data.items()}, substituted


def _has_glyph(character: str, allowed: frozenset[str] | None) -> bool:
    if allowed is not None:
        return character in allowed or character == SUBSTITUTE
    return any(character in _glyphs(package, inside) for _, package, inside in FACES)
