"""A digital CT of the digital NEMA phantom, with known air, water and offset; no measurement uses it.

Every structure is blurred as in `phantoms.digital`, read at the middles of the pixels and averaged over the thickness
of the slice; noise is white unless asked. The body lies on a bed of foam, upright in the image: no tilt. Its wall is
3 mm of plastic, its ends lie where the PET's do.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import ndimage

from phantoms.dicom_series import write_series
from phantoms.digital import blurred, iec_body
from phantoms.volume import PetVolume

if TYPE_CHECKING:
    from numpy.typing import NDArray

AIR_HU, WALL_HU, LUNG_HU, BED_HU = -1000.0, 120.0, -700.0, -850.0
BODY_WALL_MM, END_PLATE_MM = 3.0, 10.0
#: Where the filled body ends along z, from the plane of the spheres, with the lid towards the head.
ENDS_MM = (
    iec_body.SPHERES_FROM_LID_MM - iec_body.BODY_LENGTH_MM,
    iec_body.SPHERES_FROM_LID_MM,
)
_TABLE_MM = 0.25


@dataclass(frozen=True, kw_only=True)
class Air:
    """Air above the water, and bubbles that lie free in it.

    Attributes
    ----------
    height_mm : float
        Of the layer under the highest line of the body, in the plane of the spheres; 0 where the body is full.
    tilt_x_deg, tilt_z_deg : float
        Slope of its surface: the layer grows towards +x, and towards +z.
    bubbles : tuple of (position, float)
        LPS millimetres in the PET, and millilitres.
    """

    height_mm: float = 0.0
    tilt_x_deg: float = 0.0
    tilt_z_deg: float = 0.0
    bubbles: tuple[tuple[tuple[float, float, float], float], ...] = ()

    def depth_mm(self, u: NDArray[np.float64], w: float | NDArray[np.float64]) -> NDArray[np.float64]:
        """Return how far the surface lies under the body's highest line, at x and z from the spheres' middle."""
        slopes = np.tan(np.radians([self.tilt_x_deg, self.tilt_z_deg]))
        return np.asarray(self.height_mm + slopes[0] * u + slopes[1] * w)

    def volume_ml(self, low_mm: float = ENDS_MM[0], high_mm: float = ENDS_MM[1]) -> float:
        """Return the air above the water between two heights along z, summed over strips of the body's arch."""
        u = np.linspace(-iec_body.BODY_ARCH_RADIUS_MM, iec_body.BODY_ARCH_RADIUS_MM, 20001)
        top = iec_body.BODY_ARCH_RADIUS_MM - np.sqrt(iec_body.BODY_ARCH_RADIUS_MM**2 - u**2)
        heights = np.linspace(low_mm, high_mm, 201)
        areas = [np.trapezoid(np.clip(self.depth_mm(u, w) - top, 0.0, None), u) for w in heights]
        return float(np.trapezoid(areas, heights)) / 1000 if self.height_mm else 0.0


def nema_iq_ct(
    spheres: Mapping[int, tuple[float, float, float]],
    *,
    offset_mm: tuple[float, float, float] = (0.0, 0.0, 0.0),
    water_hu: float = 0.0,
    fill_hu: Mapping[int, float] | None = None,
    bubble_pct: Mapping[int, float] | None = None,
    air: Air = Air(),
    wall_mm: float = 1.0,
    body_wall_mm: float = BODY_WALL_MM,
    body_wall_hu: float = WALL_HU,
    noise_hu: float = 15.0,
    noise_fwhm_mm: float = 0.0,
    fwhm_mm: float = 1.6,
    spacing_zyx_mm: tuple[float, float, float] = (3.0, 1.4, 1.4),
    shape_zyx: tuple[int, int, int] = (34, 200, 232),
    stack_mm: float = 0.0,
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
    air : Air
        Air that lies in the background.
    wall_mm, noise_hu, fwhm_mm : float
        Wall of the spheres, SD of a voxel, resolution.
    body_wall_mm, body_wall_hu : float
        Wall of the body.
    noise_fwhm_mm : float
        How broad the noise is within a slice; 0 where it is white.
    stack_mm : float
        How far the middle of the stack lies above the spheres' plane.
    """
    sigma = fwhm_mm * blurred.SIGMA_PER_FWHM
    middle = np.mean([spheres[d] for d in spheres], axis=0) + offset_mm
    z, y, x = (
        (np.arange(count) - (count - 1) / 2) * step for count, step in zip(shape_zyx, spacing_zyx_mm, strict=True)
    )
    # The stack keeps its own place, so that the phantom moves between voxels.
    z = z + round(float(np.mean([one[2] for one in spheres.values()]))) + stack_mm
    affine = np.diag([*spacing_zyx_mm[::-1], 1.0])
    affine[:3, 3] = x[0], y[0], z[0]
    u, v, w = x[None, :] - middle[0], y[:, None] - middle[1], z - middle[2]
    count = max(int(np.ceil(spacing_zyx_mm[0])), 1)
    within = ((np.arange(count) + 0.5) / count - 0.5) * spacing_zyx_mm[0]

    def along(low: float, high: float) -> NDArray[np.float64]:
        return np.asarray(blurred.blurred_slab(w[:, None] + within, low, high, sigma).mean(axis=1)[:, None, None])

    inner, outer = iec_body.blurred_body(sigma)(u, v), iec_body.blurred_body(sigma, body_wall_mm)(u, v)
    lung = blurred.blurred_disc(iec_body.LUNG_INSERT_DIAMETER_MM / 2, sigma)(np.hypot(u, v))
    filled = along(*ENDS_MM)
    image = AIR_HU + (body_wall_hu - AIR_HU) * outer * along(ENDS_MM[0] - END_PLATE_MM, ENDS_MM[1] + END_PLATE_MM)
    image += ((water_hu - body_wall_hu) * inner + (LUNG_HU - water_hu) * lung) * filled
    back_mm = float(middle[1]) + iec_body.BODY_WAIST_Y_MM + iec_body.BODY_CORNER_RADIUS_MM + body_wall_mm
    image += (BED_HU - AIR_HU) * blurred.blurred_bed(np.asarray(x[None, :]), np.asarray(y[:, None]), back_mm, sigma)
    if air.height_mm:
        layer = _blurred_layer(air, sigma)
        image += (AIR_HU - water_hu) * filled * np.stack([layer(u, v, within + height) for height in w])
    for bubble_lps_mm, volume_ml in air.bubbles:
        radius, bubble_at = (3000 * volume_ml / (4 * np.pi)) ** (1 / 3), np.add(bubble_lps_mm, offset_mm)
        for dz in within:
            box, near = _near(bubble_at, radius + 6 * sigma, (x, y, z + dz))
            ball = blurred.blurred_ball(np.sqrt(near[0] ** 2 + near[1] ** 2 + near[2] ** 2), radius, sigma)
            image[box] += (AIR_HU - water_hu) * ball / count
    for dz in within:
        for diameter, at in spheres.items():
            radius, place = diameter / 2, np.add(at, offset_mm)
            fill = (fill_hu or {}).get(diameter, water_hu)
            box, (near_x, near_y, near_z) = _near(place, radius + wall_mm + 6 * sigma, (x, y, z + dz))
            distance = np.sqrt(near_x**2 + near_y**2 + near_z**2)
            held = blurred.blurred_ball(distance, radius, sigma)
            shell = blurred.blurred_ball(distance, radius + wall_mm, sigma) - held
            image[box] += ((fill - water_hu) * held + (WALL_HU - water_hu) * shell) / count
            if bubble_pct and diameter in bubble_pct:
                cap = blurred.blurred_cap(radius, bubble_pct[diameter] / 100, sigma)
                image[box] += (AIR_HU - fill) * cap(near_x, near_y, near_z) / count
    noise = np.random.default_rng(seed).standard_normal(image.shape)
    if noise_fwhm_mm:
        # White noise over a Gaussian of sigma is as broad as one of twice its square, which is what is asked for.
        broad = noise_fwhm_mm * blurred.SIGMA_PER_FWHM / np.sqrt(2)
        noise = ndimage.gaussian_filter(noise, [0.0, broad / spacing_zyx_mm[1], broad / spacing_zyx_mm[2]], mode="wrap")
        noise /= noise.std()
    image += noise_hu * noise
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
        "PatientPosition": "HFS",
        "RescaleSlope": 1.0,
        "RescaleIntercept": 0.0,
        "RescaleType": "HU",
    }
    instances = lambda k: {"SOPInstanceUID": f"2.25.78{seed}{k:04d}", "ImageIndex": None}  # noqa: E731
    return write_series(folder, volume, own | attributes, instances, seed)


def _blurred_layer(air: Air, sigma: float) -> Callable[..., NDArray[np.float64]]:
    """Return the section of the air above the water, convolved with a two-dimensional Gaussian, from a fine table.

    Its surface is drawn across, slice by slice; along z the table is averaged over the parts of the slice.
    """
    arch = iec_body.BODY_ARCH_RADIUS_MM
    top = iec_body.BODY_WAIST_Y_MM - arch
    deepest = float(np.max(air.depth_mm(np.array([[-arch], [arch]]), np.array(ENDS_MM))))
    reach = 6 * sigma + 1.0
    across = np.arange(-arch - reach, arch + reach, _TABLE_MM)
    down = np.arange(top - reach, min(top + deepest, iec_body.BODY_WAIST_Y_MM) + reach, _TABLE_MM)
    ceiling = arch - np.hypot(across[None, :], down[:, None] - iec_body.BODY_WAIST_Y_MM)

    def layer(u: NDArray[np.float64], v: NDArray[np.float64], heights: NDArray[np.float64]) -> NDArray[np.float64]:
        table = np.zeros_like(ceiling)
        for w in heights:
            above = top + air.depth_mm(across, float(w))[None, :] - down[:, None]
            table += np.clip(0.5 + np.minimum(ceiling, above) / _TABLE_MM, 0.0, 1.0) / len(heights)
        table = ndimage.gaussian_filter(table, sigma / _TABLE_MM, truncate=6.0)
        places = np.stack(np.broadcast_arrays((v - down[0]) / _TABLE_MM, (u - across[0]) / _TABLE_MM))
        return np.asarray(ndimage.map_coordinates(table, places, order=1, mode="constant"))

    return layer


def _near(
    place: NDArray[np.float64], reach: float, axes: tuple[NDArray[Any], ...]
) -> tuple[tuple[slice, ...], tuple[NDArray[np.float64], ...]]:
    """Cut out the part of the grid within ``reach`` of a place; distances from it along x, y and z that broadcast."""
    cuts = [slice(*np.searchsorted(axis, [at - reach, at + reach])) for axis, at in zip(axes, place, strict=True)]
    x, y, z = (axis[cut] - at for axis, cut, at in zip(axes, cuts, place, strict=True))
    return tuple(cuts[::-1]), (x[None, None, :], y[None, :, None], z[:, None, None])
