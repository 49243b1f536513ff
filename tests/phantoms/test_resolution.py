"""The blur is given back by the sphere profiles, whatever the calibration."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from phantoms import digital
from phantoms.localise import find_nema_iq
from phantoms.resolution import common_filling, common_fwhm_mm, fit_spheres

GRID = {"shape_zyx": (60, 110, 110), "spacing_zyx_mm": (3.0, 3.2, 3.2), "shift_mm": (0.4, -0.7, -26.0)}


@pytest.mark.parametrize("fwhm_mm", [5.0, 8.0, 11.0])
def test_fit_spheres_when_free_of_noise_gives_every_width_back(fwhm_mm: float) -> None:
    scan = digital.nema_iq(fwhm_mm=fwhm_mm, cov=0.0, **GRID)
    fits = fit_spheres(scan.volume, find_nema_iq(scan.volume))
    for fit in fits.values():
        assert fit.fwhm_mm == pytest.approx(fwhm_mm, abs=0.05)
        assert fit.misfit < 0.01
    assert common_filling(fits) == pytest.approx(20000.0, rel=5e-3)


def test_fit_spheres_in_noise_of_10_percent_is_free_of_bias() -> None:
    widths = []
    for seed in range(8):
        scan = digital.nema_iq(fwhm_mm=8.0, cov=0.10, seed=seed, **GRID)
        widths.append(common_fwhm_mm(fit_spheres(scan.volume, find_nema_iq(scan.volume))))
    # The median of four spheres scatters by 0.07 mm: 4 SD of the mean of eight.
    assert np.mean(widths) == pytest.approx(8.0, abs=4 * 0.07 / np.sqrt(8))
    assert np.std(widths) < 0.15


def test_fit_spheres_of_half_the_calibration_keeps_the_width() -> None:
    scan = digital.nema_iq(fwhm_mm=7.0, cov=0.05, seed=1, **GRID)
    halved = replace(scan.volume, image=scan.volume.image / 2)
    before = fit_spheres(scan.volume, find_nema_iq(scan.volume))
    after = fit_spheres(halved, find_nema_iq(halved))
    assert common_fwhm_mm(after) == pytest.approx(common_fwhm_mm(before), abs=0.01)
    assert common_filling(after) == pytest.approx(common_filling(before) / 2, rel=1e-3)
