"""Six spheres on a ring: where each stands and how high it is over the background."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from phantoms import sphere_order
from phantoms.spheres import DIAMETERS_MM

if TYPE_CHECKING:
    from numpy.typing import NDArray

RING_RADIUS_MM = 57.2  # NEMA NU 2: centres of the spheres from the phantom's axis
RADII_MM = np.array(DIAMETERS_MM) / 2.0
TYPICAL_SIGMA_MM = 3.0  # blur of a PET image, for the sizes expected in the coarse search


@dataclass(frozen=True)
class Ring:
    """A rigid ring: sphere j stands at ``center + radius · (cos φ · e1 + sin φ · e2)`` with φ = j · 60°.

    ``frame[3, 3]`` has the columns e1 (towards the largest sphere), e2 (the way the sizes fall), and the axis; it is
    left-handed where the sizes fall the other way round. With ``has_cold`` the two largest spheres hold nothing, and
    ``amplitude`` is the height of the others over the background.
    """

    center_lps_mm: NDArray[np.float64]
    frame: NDArray[np.float64]
    radius_mm: float = RING_RADIUS_MM
    sigma_mm: float = TYPICAL_SIGMA_MM
    amplitude: float = 0.0
    background: float = 0.0
    has_cold: bool = False

    @property
    def heights(self) -> NDArray[np.float64]:
        """Concentration of each sphere over the background, shape (6,), the largest first; negative where cold."""
        return np.where(sphere_order.is_cold(has_cold=self.has_cold), -self.background, self.amplitude)

    @property
    def directions(self) -> NDArray[np.float64]:
        """Unit vectors from the ring's centre to the spheres, shape (6, 3), the largest sphere first."""
        turn = np.arange(6) * (math.pi / 3.0)
        return np.outer(np.cos(turn), self.frame[:, 0]) + np.outer(np.sin(turn), self.frame[:, 1])

    @property
    def places_lps_mm(self) -> NDArray[np.float64]:
        """Centres of the spheres, shape (6, 3), the largest first."""
        return np.asarray(self.center_lps_mm + self.radius_mm * self.directions)

    def reordered(self, start: int, way: int, *, has_cold: bool) -> Ring:
        """Return the same six places with the largest sphere at place ``start`` and the sizes falling ``way`` (±1)."""
        angle = start * math.pi / 3.0
        e1, e2 = self.frame[:, 0], self.frame[:, 1]
        largest = math.cos(angle) * e1 + math.sin(angle) * e2
        next_to_it = way * (-math.sin(angle) * e1 + math.cos(angle) * e2)
        return replace(self, frame=np.column_stack([largest, next_to_it, self.frame[:, 2]]), has_cold=has_cold)
