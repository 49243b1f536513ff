"""Six spheres on a ring: where they are, found coarsely by template and finely by a fit of the blurred-sphere model.

All six are hot, or the two largest are cold (NEMA NU 2 before 2018); the image says which. `guesses` searches about
the axis of the outline (`phantoms.body`), `fit_ring` and `free_spheres` fit, and `background_noise`,
`filled_extent` and `cold_insert` measure what lies around.
"""

from phantoms.sphere_ring.fit import FINE_VOXEL_MM, FreeFit, RingFit, fit_ring, free_spheres
from phantoms.sphere_ring.ring import RADII_MM, RING_RADIUS_MM, Ring
from phantoms.sphere_ring.search import guesses
from phantoms.sphere_ring.surroundings import background_noise, cold_insert, filled_extent

__all__ = [
    "FINE_VOXEL_MM",
    "RADII_MM",
    "RING_RADIUS_MM",
    "FreeFit",
    "Ring",
    "RingFit",
    "background_noise",
    "cold_insert",
    "filled_extent",
    "fit_ring",
    "free_spheres",
    "guesses",
]
