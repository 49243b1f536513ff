"""Uniform cylinder, ``cylinder@5``: calibration against the activity sheet, and uniformity.

Steps: find the cylinder (`phantoms.cylinder_pose`); measured region = radius less 20 mm, ends less 20 mm, in slices
that lie wholly within; bias = mean of the region over the sheet's concentration at the image's decay reference time;
slice means, their slope and largest deviation; 10 mm tiles for integral uniformity; 10 mm rings for cupping; standard
deviation of the voxels; wedges, rings and steps at bed joins (`phantoms.artefacts`). Sources: EARL calibration QC
(bias), NEMA NU 2-1994 and IAEA Human Health Series 1 (tiles).
"""

from phantoms.cylinder.calibration import REPEAT_BELOW_PCT, diagnose
from phantoms.cylinder.faults import CUPPING_WARN_PCT, SLICE_WARN_PCT, SLOPE_WARN_PCT_PER_CM, VOLUME_WARN_PCT
from phantoms.cylinder.method import CylinderResult, measure
from phantoms.cylinder.region import CENTRE_RADIUS_MM, EDGE_MARGIN_MM, RING_WIDTH_MM
from phantoms.cylinder.tiles import TILE_CIRCLE, TILE_SIZE_MM

__all__ = [
    "CENTRE_RADIUS_MM",
    "CUPPING_WARN_PCT",
    "EDGE_MARGIN_MM",
    "REPEAT_BELOW_PCT",
    "RING_WIDTH_MM",
    "SLICE_WARN_PCT",
    "SLOPE_WARN_PCT_PER_CM",
    "TILE_CIRCLE",
    "TILE_SIZE_MM",
    "VOLUME_WARN_PCT",
    "CylinderResult",
    "diagnose",
    "measure",
]
