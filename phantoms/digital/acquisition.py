"""How a digital phantom lies in the scanner, is read into voxels and is written: what all of them are asked for."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypedDict

import numpy as np

from phantoms.digital.blurred import SIGMA_PER_FWHM, Grid, rotation, with_noise
from phantoms.digital.scan import DigitalScan
from phantoms.digital.written import HALF_LIFE_S, SCANNED_AT, Times, header_of, net_dose_bq, sheet_of
from phantoms.volume import PetVolume

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from numpy.typing import NDArray

    from phantoms.digital.blurred import Vector

_FRAME_S = 600.0


class AcquisitionOptions(TypedDict, total=False):
    """What an `Acquisition` has a default for, as keywords of the functions that draw a phantom."""

    calibration: float
    shift_mm: Vector
    tilt_x_deg: float
    tilt_y_deg: float
    roll_deg: float
    shape_zyx: tuple[int, int, int]
    spacing_zyx_mm: Vector
    samples_per_voxel: int
    scanned_at: datetime
    seed: int


@dataclass(frozen=True, kw_only=True)
class Acquisition:
    """Pose, voxels, noise and clock of one digital scan.

    Attributes
    ----------
    fwhm_mm, cov : float
        Resolution, and noise SD as a fraction of the background.
    calibration : float
        What the scanner reads over what is true.
    shift_mm, tilt_x_deg, tilt_y_deg, roll_deg
        Pose of the middle of the object: rolled about its axis, turned about x, then y, then shifted from the middle
        of the image (LPS).
    shape_zyx, spacing_zyx_mm
        Number of voxels, and their size.
    samples_per_voxel : int
        Points along each side of a voxel whose mean it holds; one is its middle.
    scanned_at : datetime
        The decay reference time.
    seed : int
        Of the noise.
    """

    fwhm_mm: float
    cov: float
    calibration: float = 1.0
    shift_mm: Vector = (0.0, 0.0, 0.0)
    tilt_x_deg: float = 0.0
    tilt_y_deg: float = 0.0
    roll_deg: float = 0.0
    shape_zyx: tuple[int, int, int] = (110, 168, 168)
    spacing_zyx_mm: Vector = (2.0, 3.2, 3.2)
    samples_per_voxel: int = 1
    scanned_at: datetime = SCANNED_AT
    seed: int = 0

    @cached_property
    def grid(self) -> Grid:
        """The voxels."""
        return Grid(self.shape_zyx, self.spacing_zyx_mm, self.samples_per_voxel)

    @cached_property
    def turn(self) -> NDArray[np.float64]:
        """The object's own axes in patient coordinates, as columns, shape (3, 3)."""
        return rotation(self.tilt_x_deg, self.tilt_y_deg, self.roll_deg)

    @cached_property
    def center_lps_mm(self) -> NDArray[np.float64]:
        """Middle of the object, shape (3,)."""
        return np.array(self.shift_mm)

    @property
    def sigma_mm(self) -> float:
        """SD of the Gaussian that everything is blurred with."""
        return float(self.fwhm_mm * SIGMA_PER_FWHM)

    def times(self, nuclide: str = "F-18", lead_s: float = Times.lead_s) -> Times:
        """Return the clock of a scan whose activity was assayed ``lead_s`` before it."""
        return Times(self.scanned_at, _FRAME_S, HALF_LIFE_S[nuclide], lead_s)

    def scan(
        self,
        true_bqml: NDArray[np.float64],
        background_bqml: float,
        times: Times,
        *fills: dict[str, Any],
        nuclide: str = "F-18",
        description: str,
        truth: Mapping[str, Any],
    ) -> DigitalScan:
        """Return what the scanner reads and writes of an object.

        Parameters
        ----------
        true_bqml : ndarray, shape (z, y, x)
            The blurred object without noise.
        background_bqml : float
            Level at which the noise has its ``cov``.
        times : Times
            The clock of the scan, of ``nuclide``.
        *fills : dict
            Rows of the activity sheet; dose and weight in the headers are those of the last, which fills the body.
        nuclide, description : str
            Of the headers.
        truth : mapping
            What is true of this object beside calibration, resolution, noise, tilt and reference time.
        """
        noisy = with_noise(true_bqml, self.grid, self.fwhm_mm, self.cov, background_bqml, self.seed) * self.calibration
        attributes, by_slice = header_of(
            times,
            nuclide,
            self.shape_zyx[0],
            beds=1,
            dose_bq=net_dose_bq(fills[-1], times),
            weight_kg=fills[-1]["volume_ml"] / 1000,
        )
        return DigitalScan(
            volume=PetVolume(noisy.astype(np.float32), self.grid.affine_lps_mm, "Bq/mL"),
            attributes={**attributes, "SeriesDescription": description},
            slice_attributes=by_slice,
            sheet=sheet_of(nuclide, *fills),
            truth={
                **truth,
                "calibration": self.calibration,
                "fwhm_mm": self.fwhm_mm,
                "cov": self.cov,
                "tilt_deg": float(np.degrees(np.arccos(self.turn[2, 2]))),
                "reference_time": self.scanned_at,
            },
        )
