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


def along_patient_axes(volume: PetVolume) -> PetVolume:
    """Return a view whose index axes run as nearly as they can along +z, +y and +x of the patient."""
    columns = volume.affine_lps_mm[:3, :3] / np.linalg.norm(volume.affine_lps_mm[:3, :3], axis=0)
    image, affine = volume.image, volume.affine_lps_mm.copy()
    order_xyz = [int(np.argmax(np.abs(columns[k]))) for k in range(3)]
    if sorted(order_xyz) != [0, 1, 2]:
        return volume
    image = image.transpose([2 - order_xyz[2], 2 - order_xyz[1], 2 - order_xyz[0]])
    affine[:3, :3] = affine[:3, order_xyz]
    for k in range(3):
        if affine[k, k] < 0:
            image = np.flip(image, axis=2 - k)
            affine[:3, 3] += affine[:3, k] * (image.shape[2 - k] - 1)
            affine[:3, k] *= -1
    return PetVolume(image, affine, volume.unit)


def binned(volume: PetVolume, voxel_mm: float) -> PetVolume:
    """Average whole blocks of voxels so that none is much larger than ``voxel_mm``; large voxels stay as they are."""
    factors = [max(1, round(voxel_mm / step)) for step in volume.spacing_zyx_mm]
    if factors == [1, 1, 1]:
        return volume
    image = volume.image
    for axis, factor in enumerate(factors):
        if factor > 1:
            count = image.shape[axis] // factor * factor
            first, second, *others = (image[(slice(None),) * axis + (slice(k, count, factor),)] for k in range(factor))
            image = first + second
            for other in others:
                image += other
            image /= np.float32(factor)
    affine = volume.affine_lps_mm.copy()
    affine[:3, :3] = volume.affine_lps_mm[:3, :3] * factors[::-1]
    affine[:3, 3] += volume.affine_lps_mm[:3, :3] @ ((np.array(factors[::-1]) - 1) / 2.0)
    return PetVolume(image, affine, volume.unit)
