"""How surely the ring of spheres is placed, against drawn errors of the spheres' own centres."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from phantoms import digital
from phantoms.localise import NemaPose, find_nema_iq
from phantoms.ring_scatter import ring_scatter
from phantoms.sphere_noise import PlaceScatter
from phantoms.spheres import DIAMETERS_MM

GRID = {"shape_zyx": (60, 90, 90), "spacing_zyx_mm": (4.0, 4.0, 4.0)}
DRAWN = 4000


@pytest.fixture(scope="module")
def pose() -> NemaPose:
    return find_nema_iq(digital.nema_iq(7.0, 0.001, tilt_x_deg=5.0, seed=1, **GRID).volume)


def test_ring_scatter_when_all_spheres_are_as_sure_then_tilt_and_misfit_are_those_of_planes_through_drawn_centres(
    pose: NemaPose,
) -> None:
    sd_mm = 0.2
    # So steep that nothing known beforehand weighs.
    places = {d: PlaceScatter(sd_mm**2 * np.eye(3), 1e6) for d in DIAMETERS_MM}
    found = ring_scatter(replace(pose, residual_mm=0.0), places, 1e-6)
    rng = np.random.default_rng(2)
    turn = np.arange(6) * np.pi / 3
    ring = pose.ring_radius_mm * (np.outer(np.cos(turn), pose.frame[:, 0]) + np.outer(np.sin(turn), pose.frame[:, 1]))
    tilts, misfits = [], []
    for _ in range(DRAWN):
        drawn = ring + sd_mm * rng.standard_normal((6, 3))
        # Out of its plane a ring has three freedoms, in it four; what is left of six centres are eleven.
        normal = np.linalg.svd(drawn - drawn.mean(axis=0))[2][2]
        tilts.append(np.degrees(np.arccos(abs(normal[2]))))
        misfits.append(np.sqrt(sd_mm**2 * rng.chisquare(18 - 7) / 6))
    assert found is not None
    # The SD of so many is known to 1.1 %, four of which are allowed; the ring's own radius is held to 0.
    assert found.tilt_deg == pytest.approx(np.std(tilts), rel=0.05)
    assert found.residual_mm == pytest.approx(np.std(misfits), rel=0.05)


def test_ring_scatter_when_the_outline_alone_tells_the_axis_then_the_tilt_is_as_sure_as_that(pose: NemaPose) -> None:
    places = {d: PlaceScatter(np.eye(3), 1e-6) for d in DIAMETERS_MM}
    found = ring_scatter(pose, places, 1e3)
    assert found is not None
    assert found.tilt_deg == pytest.approx(0.5, rel=0.01)


def test_ring_scatter_when_fewer_than_three_spheres_have_a_say_then_none(pose: NemaPose) -> None:
    assert ring_scatter(pose, {d: PlaceScatter(np.eye(3), 1.0) for d in DIAMETERS_MM[:2]}, 1.0) is None
