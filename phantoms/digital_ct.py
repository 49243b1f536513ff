"""A digital CT of the digital NEMA phantom, with known air, water and offset; no measurement uses it.

Every structure is blurred in closed form as in `phantoms.digital`, read at the middles of the pixels and averaged over
the thickness of the slice; noise is white. The body stands upright in the image: no tilt.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from phantoms.dicom_series import write_series
from phantoms.digital import blurred, iec_body
from phantoms.volume import PetVolume

if TYPE_CHECKING:
    from numpy.typing import NDArray

AIR_HU, WALL_HU, LUNG_HU = -1000.0, 120.0, -700.0


def nema_iq_ct(
    spheres: Mapping[int, tuple[float, float, float]],
    *,
    offset_mm: tuple[float, float, float] = (0.0, 0.0, 0.0),
    water_hu: float = 0.0,
    fill_hu: Mapping[int, float] | None = None,
    bubble_pct: Mapping[int, float] | None = None,
    wall_mm: float = 1.0,
    noise_hu: float = 15.0,
    fwhm_mm: float = 1.6,
    spacing_zyx_mm: tuple[float, float, float] = (3.0, 1.4, 1.4),
    shape_zyx: tuple[int, int, int] = (34, 200, 232),
    seed: int = 0,
) -> PetVolume:
    """Return the CT, in HU, of the phantom whose spheres lie at ``spheres`` (LPS millimetres) in the PET.

    Parameters
    ----------
    spheres : mapping of int to position
        As ``DigitalScan.truth["spheres"]`` has them.
    offset_mm : tuple of float
        How far everything lies from its place in the PET.
    water_hu, fill_hu
        Of the background, and of single spheres by diameter.
    bubble_pct : mapping of int to float
        Air at the top (-y) of a sphere, per cent of its volume.
    wall_mm, noise_hu, fwhm_mm : float
        Wall of the spheres, SD of a voxel, resolution.
    """
    sigma = fwhm_mm * blurred.SIGMA_PER_FWHM
    middle = np.mean([spheres[d] for d in spheres], axis=0) + offset_mm
    z, y, x = (
        (np.arange(count) - (count - 1) / 2) * step for count, step in zip(shape_zyx, spacing_zyx_mm, strict=True)
    )
    # The stack keeps its own place, so that the phantom moves between voxels.
    z = z + round(float(np.mean([one[2] for one in spheres.values()])))
    affine = np.diag([*spacing_zyx_mm[::-1], 1.0])
    affine[:3, 3] = x[0], y[0], z[0]
    u, v = x[None, :] - middle[0], y[:, None] - middle[1]
    section = iec_body.blurred_body(sigma)(u, v)
    lung = blurred.blurred_disc(iec_body.LUNG_INSERT_DIAMETER_MM / 2, sigma)(np.hypot(u, v))
    plane = AIR_HU + (water_hu - AIR_HU) * section + (LUNG_HU - water_hu) * lung
    image = np.repeat(plane[None], len(z), axis=0)
    count = max(int(np.ceil(spacing_zyx_mm[0])), 1)
    for dz in ((np.arange(count) + 0.5) / count - 0.5) * spacing_zyx_mm[0]:
        for diameter, at in spheres.items():
            radius, place = diameter / 2, np.add(at, offset_mm)
            fill = (fill_hu or {}).get(diameter, water_hu)
            box, (near_x, near_y, near_z) = _near(place, radius + wall_mm + 6 * sigma, (x, y, z + dz))
            distance = np.sqrt(near_x**2 + near_y**2 + near_z**2)
            inner = blurred.blurred_ball(distance, radius, sigma)
            outer = blurred.blurred_ball(distance, radius + wall_mm, sigma)
            image[box] += ((fill - water_hu) * inner + (WALL_HU - water_hu) * (outer - inner)) / count
            if bubble_pct and diameter in bubble_pct:
                cap = blurred.blurred_cap(radius, bubble_pct[diameter] / 100, sigma)
                image[box] += (AIR_HU - fill) * cap(near_x, near_y, near_z) / count
    image += noise_hu * np.random.default_rng(seed).standard_normal(image.shape)
    return PetVolume(np.rint(image).astype(np.float32), affine, "HU")


def write_ct(volume: PetVolume, folder: Path, *, seed: int = 0, **attributes: Any) -> list[Path]:
    """Write the volume as CT images of the study and the frame of reference that `digital.write_dicom` makes."""
    own: dict[str, Any] = {
        "SOPClassUID": "1.2.840.10008.5.1.4.1.1.2",
        "Modality": "CT",
        "ImageType": ["ORIGINAL", "PRIMARY", "AXIAL"],
        "SeriesNumber": 2,
        "SeriesInstanceUID": f"2.25.77{seed}",
        "Units": None,
        "SeriesType": None,
        "NumberOfSlices": None,
        "KVP": 120.0,
        "RescaleSlope": 1.0,
        "RescaleIntercept": 0.0,
        "RescaleType": "HU",
    }
    instances = lambda k: {"SOPInstanceUID": f"2.25.78{seed}{k:04d}", "ImageIndex": None}  # noqa: E731
    return write_series(folder, volume, own | attributes, instances, seed)


def _near(
    place: NDArray[np.float64], reach: float, axes: tuple[NDArray[Any], ...]
) -> tuple[tuple[slice, ...], tuple[NDArray[np.float64], ...]]:
    """Cut out the part of the grid within ``reach`` of a place; distances from it along x, y and z that broadcast."""
    cuts = [slice(*np.searchsorted(axis, [at - reach, at + reach])) for axis, at in zip(axes, place, strict=True)]
    x, y, z = (axis[cut] - at for axis, cut, at in zip(axes, cuts, place, strict=True))
    return tuple(cuts[::-1]), (x[None, None, :], y[None, :, None], z[:, None, None])
