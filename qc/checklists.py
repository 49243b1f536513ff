"""What a physicist looks for in the images, by method: pure data, in the words of the review page."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Item:
    """One artefact to look for; the answer is whether it is seen."""

    key: str
    title: str
    hint: str


RINGS = Item("rings", "Rings", "Circles around the axis in an axial slice: a detector block or the normalisation.")
WEDGE = Item("wedge", "Wedge", "A dark or bright sector in the sinogram's direction: a detector that does not count.")
BED_JOINS = Item("bed_joins", "Bed joins, zig-zag", "Steps from slice to slice where two bed positions meet.")
CUPPING = Item("cupping", "Cupping", "The centre is darker or brighter than the rim: a wrong correction.")
EDGE = Item("edge", "Edge", "A bright rim at the phantom's wall, or end slices that leave the rest.")
BUBBLES = Item("bubbles", "Air bubbles", "A dark spot at the top of the phantom or of a sphere.")
MISPLACEMENT = Item("misplacement", "Misplacement", "The phantom is tilted, turned or cut by the field of view.")
MIXING = Item("mixing", "Mixing", "The background or a sphere is not evenly filled.")
FACEPLATE = Item(
    "faceplate", "Faceplate", "A hot cylinder with air in it, or the one of 12 mm not seen: fill or resolution."
)
RODS = Item(
    "rods",
    "Rods",
    "The 9.5 mm rods do not stand apart in any slice: too smooth for whole-body scans. Name the smallest seen.",
)
STREAKS = Item("streaks", "Streaks", "Lines from or to the cold cylinders: scatter or attenuation correction.")
MOTION = Item("motion", "Motion", "Head, arms or diaphragm moved between CT and PET.")
ATTENUATION = Item(
    "attenuation", "Attenuation artefacts", "Metal, contrast or cut arms that the correction carried in."
)
EXTRAVASATION = Item("extravasation", "Extravasation", "Activity left at the injection site.")
COVERAGE = Item("coverage", "Coverage", "The scan ends before the part of the body that the protocol names.")

CHECKLISTS: dict[str, tuple[Item, ...]] = {
    "cylinder": (RINGS, WEDGE, BED_JOINS, CUPPING, EDGE, BUBBLES),
    "nema_iq": (BUBBLES, MISPLACEMENT, MIXING, RINGS, WEDGE, BED_JOINS, EDGE),
    "acr": (FACEPLATE, RODS, RINGS, WEDGE, BED_JOINS, CUPPING, STREAKS, BUBBLES, MISPLACEMENT),
    "patient": (MOTION, ATTENUATION, EXTRAVASATION, COVERAGE, BED_JOINS, RINGS),
}


def checklist_for(method: str) -> tuple[Item, ...]:
    """Return the items that a review of this method must answer."""
    return CHECKLISTS.get(method, ())


def unanswered(method: str, answered: set[str]) -> tuple[Item, ...]:
    """Return the items that still lack an answer."""
    return tuple(item for item in checklist_for(method) if item.key not in answered)
