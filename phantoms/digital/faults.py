"""What may be wrong with a digital phantom: the scanner's faults, and those of the filling of single spheres."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from phantoms.digital.blurred import SIGMA_PER_FWHM

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray


@dataclass(frozen=True, kw_only=True)
class ScannerFaults:
    """Faults of a scanner, fixed to its own axis (x = y = 0) wherever the phantom lies; per cent of the reading.

    Attributes
    ----------
    wedge_pct, wedge_at_deg, wedge_width_deg : float
        A sector that reads otherwise, as a detector block that dropped out leaves it; its middle from +x (patient left)
        towards +y (posterior).
    ring_pct, ring_radius_mm, ring_width_mm : float
        A ring that reads otherwise, with a Gaussian profile of that full width at half maximum.
    bed_join_pct, bed_length_mm, bed_join_z_mm : float
        Inside each bed the reading rises evenly by so much from its foot end to its head end, so it falls by as much at
        each join; one join lies at ``bed_join_z_mm``.
    """

    wedge_pct: float = 0.0
    wedge_at_deg: float = 0.0
    wedge_width_deg: float = 30.0
    ring_pct: float = 0.0
    ring_radius_mm: float = 50.0
    ring_width_mm: float = 8.0
    bed_join_pct: float = 0.0
    bed_length_mm: float = 100.0
    bed_join_z_mm: float = 0.0

    def gain(self, x: NDArray[np.float64], y: NDArray[np.float64], z: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return what the scanner reads over what it should, at patient millimetres that broadcast."""
        gain = np.ones((1, 1, 1))
        if self.wedge_pct:
            away = (np.degrees(np.arctan2(y, x)) - self.wedge_at_deg + 180) % 360 - 180
            gain = gain * (1 + self.wedge_pct / 100 * (np.abs(away) <= self.wedge_width_deg / 2))
        if self.ring_pct:
            off = (np.hypot(x, y) - self.ring_radius_mm) / (self.ring_width_mm * SIGMA_PER_FWHM)
            gain = gain * (1 + self.ring_pct / 100 * np.exp(-(off**2) / 2))
        if self.bed_join_pct:
            share = (z - self.bed_join_z_mm) / self.bed_length_mm % 1.0
            gain = gain * (1 + self.bed_join_pct / 100 * (share - 0.5))
        return np.asarray(gain)


@dataclass(frozen=True, kw_only=True)
class SphereFaults:
    """What is wrong with the filling of single spheres, by their inner diameter in millimetres.

    Attributes
    ----------
    bubble_pct : mapping of int to float
        Air at the top (patient anterior, -y, wherever the phantom is turned): a cap of the sphere that holds nothing,
        per cent of its volume.
    misfill_pct : mapping of int to float
        How much less, evenly, the sphere holds than the others, per cent; more is negative.
    """

    bubble_pct: Mapping[int, float] = field(default_factory=dict)
    misfill_pct: Mapping[int, float] = field(default_factory=dict)
