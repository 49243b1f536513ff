"""A PET volume on its patient grid."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True)
class PetVolume:
    """Voxel values ``image[z, y, x]`` with the map from index to patient millimetres.

    Attributes
    ----------
    image : ndarray of float32, shape (z, y, x)
        Rescaled pixel values in ``unit`` (after RescaleSlope and RescaleIntercept, slice by slice).
    affine_lps_mm : ndarray of float64, shape (4, 4)
        Maps the index ``(x, y, z, 1)`` of a voxel centre to DICOM patient coordinates (LPS), millimetres.
    unit : str
        ``Bq/mL``, ``g/mL``, any other as the headers name it (``CNTS``), or ``1`` where they name none.
    """

    image: NDArray[np.float32]
    affine_lps_mm: NDArray[np.float64]
    unit: str

    def scaled(self, factor: float, unit: str) -> PetVolume:
        """Return the same voxels times ``factor``, in ``unit``; itself where nothing changes."""
        if factor == 1.0 and unit == self.unit:
            return self
        return PetVolume(self.image * np.float32(factor), self.affine_lps_mm, unit)

    def scaled_by_slice(self, factors: NDArray[np.float64]) -> PetVolume:
        """Return the voxels of each slice times its own factor, shape (z,)."""
        image = self.image * factors.astype(np.float32)[:, None, None]
        return PetVolume(image, self.affine_lps_mm, self.unit)

    @property
    def spacing_zyx_mm(self) -> tuple[float, float, float]:
        """Distance of neighbouring voxel centres along z, y and x, millimetres."""
        lengths = np.linalg.norm(self.affine_lps_mm[:3, :3], axis=0)
        return float(lengths[2]), float(lengths[1]), float(lengths[0])

    def to_lps_mm(self, index_zyx: NDArray[np.float64]) -> NDArray[np.float64]:
        """Map voxel indices ``[..., (z, y, x)]`` to patient positions ``[..., (x, y, z)]``, millimetres."""
        return np.asarray(index_zyx)[..., ::-1] @ self.affine_lps_mm[:3, :3].T + self.affine_lps_mm[:3, 3]

    def to_index_zyx(self, lps_mm: NDArray[np.float64]) -> NDArray[np.float64]:
        """Map patient positions ``[..., (x, y, z)]``, millimetres, to voxel indices ``[..., (z, y, x)]``."""
        inverse = np.linalg.inv(self.affine_lps_mm[:3, :3])
        return ((np.asarray(lps_mm) - self.affine_lps_mm[:3, 3]) @ inverse.T)[..., ::-1]
