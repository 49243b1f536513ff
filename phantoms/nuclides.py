"""Positron emitters: half-lives, DICOM codes and the many ways their names are written."""

from __future__ import annotations

import re
from dataclasses import dataclass

from phantoms.errors import AnalysisRefused


@dataclass(frozen=True)
class Nuclide:
    """A radionuclide with its half-life in seconds, positron fraction, and its codes in DICOM CID 4020.

    The positron fraction is here for reading headers only: scanners apply it in their calibration,
    so it is never multiplied into an injected activity.
    """

    name: str
    half_life_s: float
    positron_fraction: float
    srt_code: str
    sct_code: str


# Half-lives are those that PET scanners write; 6586.2 s is 109.77 min, NIST gives 1.8288 h for F-18.
NUCLIDES: dict[str, Nuclide] = {
    nuclide.name: nuclide
    for nuclide in (
        Nuclide("F-18", 6586.2, 0.967, "C-111A1", "77004003"),
        Nuclide("Ga-68", 4062.6, 0.889, "C-131A3", "35337001"),
        Nuclide("C-11", 1221.8, 0.998, "C-105A1", "40565003"),
        Nuclide("N-13", 597.9, 0.998, "C-107A1", "21576001"),
        Nuclide("O-15", 122.24, 0.999, "C-B1038", "129504001"),
        Nuclide("Rb-82", 76.4, 0.954, "C-159A2", "79197006"),
        Nuclide("Cu-64", 45723.6, 0.175, "C-127A2", "3932008"),
        Nuclide("Zr-89", 282276.0, 0.228, "C-168A4", "63360001"),
        Nuclide("I-124", 360806.0, 0.227, "C-114A5", "40937006"),
        Nuclide("Ge-68", 2.341e7, 0.889, "C-128A2", "53315004"),
    )
}

NUCLIDE_BY_CODE = {code: nuclide.name for nuclide in NUCLIDES.values() for code in (nuclide.srt_code, nuclide.sct_code)}
_ELEMENTS = {
    "FLUORINE": "F",
    "GALLIUM": "Ga",
    "CARBON": "C",
    "NITROGEN": "N",
    "OXYGEN": "O",
    "RUBIDIUM": "Rb",
    "COPPER": "Cu",
    "ZIRCONIUM": "Zr",
    "IODINE": "I",
    "GERMANIUM": "Ge",
}
_WRITTEN = re.compile(r"^([A-Z]+)(\d{1,3})$|^(\d{1,3})([A-Z]+)$")


def nuclide_name(written: str | None) -> str | None:
    """Return the house name of a nuclide, ``F-18``, from a DICOM code or from ``18F``, ``^18^Fluorine`` and the like.

    None where the words name no nuclide. A nuclide that is not in `NUCLIDES` keeps its name in the same form.
    """
    if not written:
        return None
    if written in NUCLIDE_BY_CODE:
        return NUCLIDE_BY_CODE[written]
    match = _WRITTEN.match(re.sub(r"[\s^\[\]()_-]", "", written).upper())
    if match is None:
        return None
    element = match[1] or match[4]
    symbol = _ELEMENTS.get(element, element.capitalize())
    return f"{symbol}-{match[2] or match[3]}" if len(symbol) <= 2 else None


def half_life_s(nuclide: str) -> float:
    """Return the half-life of ``F-18`` or any other spelling of a nuclide in `NUCLIDES`, seconds.

    Raises
    ------
    AnalysisRefused
        ``SUV-HALF-LIFE`` where the nuclide is not in the table.
    """
    name = nuclide_name(nuclide)
    if name not in NUCLIDES:
        known = ", ".join(NUCLIDES)
        raise AnalysisRefused(
            "SUV-HALF-LIFE",
            f"The half-life of the nuclide “{nuclide[:20]}” is not known here; known are {known}.",
            "(0054,0300)",
            "Check the nuclide that was written down.",
        )
    return NUCLIDES[name].half_life_s


def by_half_life(seconds: float, tolerance: float = 0.01) -> str | None:
    """Return the one nuclide of the table whose half-life is within `tolerance` (relative) of `seconds`."""
    near = [n.name for n in NUCLIDES.values() if abs(seconds / n.half_life_s - 1) <= tolerance]
    return near[0] if len(near) == 1 else None
