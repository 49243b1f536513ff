"""How far noise and the place of the voxels move the recovery of a digital sphere from its noise-free value.

Prints the table that the demonstration keeps (``accreditation/management/commands/_demo_scans.py``): for each band of
resolutions, noise and sphere the mean shift of A50 and of the maximum from `phantoms.digital.expected_recovery`, and
their SD (the largest of the band), over many poses and noise seeds. A50 and maximum are worked out here from their
definition, by none of the methods of `phantoms`. Run it as ``python bench/recovery_scatter.py``; ten minutes on one
core.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from scipy import ndimage

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from phantoms import digital

REPEATS = 200
BANDS_FWHM_MM = ((8.0, 8.5, 9.0), (11.0, 11.5, 12.0))
COVS = (0.04, 0.08)
SPACING_ZYX_MM = (2.0, 3.2, 3.2)
#: Only the slices round the sphere plane are drawn: the rest of the phantom changes no sphere.
SHAPE_ZYX = (44, 72, 72)
PLANE_OFFSET_MM = 27.0


def recovery(image: np.ndarray, center_zyx: np.ndarray, diameter_mm: float, sphere_bqml: float, background: float):
    """Return (A50, maximum) over the true concentration: A50 is the mean of the voxels that hang together with the
    hottest one, corners included, above half-way between it and the background.
    """
    offsets = [(np.arange(n) - c) * s for n, c, s in zip(image.shape, center_zyx, SPACING_ZYX_MM, strict=True)]
    distance = np.sqrt(offsets[0][:, None, None] ** 2 + offsets[1][:, None] ** 2 + offsets[2] ** 2)
    reach = np.where(distance <= diameter_mm / 2 + 6, image, -np.inf)
    hottest = np.unravel_index(np.argmax(reach), reach.shape)
    parts, _ = ndimage.label(reach > (image[hottest] + background) / 2, structure=np.ones((3, 3, 3)))
    return image[parts == parts[hottest]].mean() / sphere_bqml, image[hottest] / sphere_bqml


def scatter(fwhm_mm: float, cov: float, seed: int) -> dict[int, np.ndarray]:
    rng = np.random.default_rng(seed)
    found: dict[int, list[tuple[float, float]]] = {d: [] for d in digital.SPHERE_DIAMETERS_MM}
    for _ in range(REPEATS):
        scan = digital.nema_iq(
            fwhm_mm,
            cov,
            shift_mm=(*rng.uniform(-3, 3, 2), rng.uniform(-2, 2) - PLANE_OFFSET_MM),
            first_angle_deg=rng.uniform(0, 360),
            shape_zyx=SHAPE_ZYX,
            spacing_zyx_mm=SPACING_ZYX_MM,
            seed=int(rng.integers(2**31)),
        )
        inverse = np.linalg.inv(scan.volume.affine_lps_mm)
        for diameter, center in scan.truth["spheres"].items():
            x, y, z = (inverse @ [*center, 1.0])[:3]
            found[diameter].append(
                recovery(
                    scan.volume.image,
                    np.array([z, y, x]),
                    diameter,
                    scan.truth["sphere_bqml"],
                    scan.truth["background_bqml"],
                )
            )
    return {d: np.array(values) for d, values in found.items()}


def main() -> None:
    print(f"{REPEATS} poses and noise seeds each, voxels {SPACING_ZYX_MM} mm, ratio 10")
    for band in BANDS_FWHM_MM:
        for cov in COVS:
            print(f"    # {band[0]:g} to {band[-1]:g} mm, COV {cov:g}")
            shifts, sds = [], []
            for fwhm_mm in band:
                found = scatter(fwhm_mm, cov, seed=round(1000 * fwhm_mm + 100 * cov))
                expected = np.array([digital.expected_recovery(fwhm_mm, diameter) for diameter in found])
                shifts.append(np.array([values.mean(axis=0) for values in found.values()]) - expected)
                sds.append([values.std(axis=0, ddof=1) for values in found.values()])
            for diameter, shift, sd in zip(found, np.mean(shifts, axis=0), np.max(sds, axis=0), strict=True):
                print(f"    {diameter}: (({shift[0]:+.3f}, {sd[0]:.3f}), ({shift[1]:+.3f}, {sd[1]:.3f})),", flush=True)


if __name__ == "__main__":
    main()
