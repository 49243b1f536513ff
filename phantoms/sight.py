"""What a search for a phantom saw before it refused, so that a person can look at the same things."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from phantoms.errors import AnalysisRefused

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from phantoms.volume import PetVolume


@dataclass(frozen=True)
class Place:
    """A place that the phantom might have been at; positions LPS, millimetres.

    Attributes
    ----------
    center_lps_mm, axis : ndarray, shape (3,)
        Its middle, and the unit vector along the phantom's axis.
    circles : tuple of (ndarray, float)
        Centre and radius of each sphere, or of the wall.
    why_not : str
        Why it was not taken for the phantom, in words.
    """

    center_lps_mm: NDArray[np.float64]
    axis: NDArray[np.float64]
    circles: tuple[tuple[NDArray[np.float64], float], ...]
    why_not: str


@dataclass(frozen=True)
class Sight:
    """The body that the search began with, and the places that it weighed.

    Attributes
    ----------
    outline : PetVolume or None
        1 inside the body, 0 elsewhere; None where nothing stood out.
    places : tuple of Place
        The one that came nearest first.
    """

    outline: PetVolume | None
    places: tuple[Place, ...] = ()


class PhantomNotFound(AnalysisRefused):
    """``PHA-NOT-FOUND`` with what was seen; see `AnalysisRefused`."""

    def __init__(self, detail: str, *, next_step: str, sight: Sight) -> None:
        super().__init__("PHA-NOT-FOUND", detail, next_step=next_step)
        self.sight = sight
