"""Find an ACR PET phantom: its axis, the cylinders of the faceplate, and which sections lie where.

The hot cylinders are told apart by how much activity each adds to the section: that goes with the square of the
diameter, whatever the blur. Round the ring they must then get smaller one after another, or it is not sure which is
which. Which of the three cold ones holds water, air and bone cannot be seen in PET; their names follow from their order
on the rest of the ring (`COLD_ORDER`).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage

from phantoms.cylinder_pose import CylinderPose, find_round_body
from phantoms.errors import AnalysisRefused
from phantoms.reformat import ThickSlices, thick_slices
from phantoms.volume import along_patient_axes, binned

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from phantoms.volume import PetVolume

HOT_DIAMETERS_MM = (25, 16, 12, 8)
COLD_DIAMETER_MM = 25
#: Round the ring from the 25 mm hot cylinder on, past the smaller ones. Not published in what was at hand; the order
#: in which the library niftypet.nimpa numbers them.
COLD_ORDER = ("water", "air", "bone")

_VOXEL_MM = 2.0
_THIN_MM = 4.0  # slices in which the sections are told apart
_CORE = 0.85  # of the radius: what lies nearer to the wall is not looked at
_HOT_LEVEL = 1.5  # times the background: above noise, below the middle of the 25 mm cylinder at 2.5 : 1
_MIN_HOT_MM2 = 100.0
_LENGTHS_MM = (24.0, 60.0)  # of the cylinders, made 38 mm long
PLANE_MM = 20.0  # the middle of their length, in which the section is looked at
_SMOOTHING_MM = 2.5
_PEAK_APART_MM = 7.0
_PEAK_LEVEL = 0.2
_PEAK_NOISE = 4.5  # robust SD of the smoothed section
CENTROID_MM = 6.0  # sigma of the window of a centre, before its diameter is known: then half of that
_REACH_MM = 16.0  # of the circle in which one cylinder's activity is added up
#: What a cylinder may add over what its diameter says, beside the 25 mm one: cold walls, blur and noise.
_AMOUNT_RANGE = {25: (1.0, 1.0), 16: (0.35, 1.6), 12: (0.3, 1.7), 8: (0.25, 2.0)}
SURE_MM = (25, 16, 12)  # without these it is no faceplate
_SURE_8_MM = 0.7  # of what the 8 mm cylinder would add: more than a blob of noise does
_MAX_OTHER = 0.7  # of what the 12 mm cylinder adds
_MIN_STEP = 1.25  # from one amount to the next smaller one
_MIN_COLD = 0.4  # of what a 25 mm cylinder displaces
_MAX_RESIDUAL_MM = 8.0
_ROD_LEVEL = 0.9  # rods displace a fifth of the liquid
_SECTION_MARGIN_MM = 8.0
_END_MARGIN_MM = 20.0
_MIN_UNIFORM_MM = 20.0


@dataclass(frozen=True)
class AcrPose:
    """Where an ACR PET phantom lies. Positions are DICOM patient coordinates (LPS), millimetres.

    Heights are counted along ``axis`` from the middle of the body.

    Attributes
    ----------
    body : CylinderPose
        The round body; its own axis points to the head.
    axis : ndarray, shape (3,)
        Unit vector along the phantom towards its faceplate.
    hot : dict of int to ndarray
        Middle of the hot cylinder of each diameter; without 8 where that one is not seen.
    cold : dict of str to ndarray
        Middle of the cold ones by what they hold; empty where three were not seen, or the order round the ring is
        another than that of `COLD_ORDER`.
    inserts_mm, uniform_mm : tuple of float
        From where to where the cylinders and the uniform section reach along ``axis``; the uniform section less a
        margin.
    rods_mm : tuple of float or None
        The same of the rods; None where the section does not change.
    background : float
        Level among the cylinders, in the image's unit.
    residual_mm : float
        Root mean square distance of the hot cylinders from one circle about the axis.
    """

    body: CylinderPose
    axis: NDArray[np.float64]
    hot: dict[int, NDArray[np.float64]]
    cold: dict[str, NDArray[np.float64]]
    inserts_mm: tuple[float, float]
    uniform_mm: tuple[float, float]
    rods_mm: tuple[float, float] | None
    background: float
    residual_mm: float


@dataclass(frozen=True)
class _Spot:
    """A blob of the section: its centre, and what it adds (negative: takes away) in backgrounds times mm²."""

    u_mm: float
    v_mm: float
    amount_mm2: float

    @property
    def angle(self) -> float:
        return math.atan2(self.v_mm, self.u_mm)

    @property
    def radius_mm(self) -> float:
        return math.hypot(self.u_mm, self.v_mm)


def find_acr(volume: PetVolume) -> AcrPose:
    """Find an ACR PET phantom.

    The axis within 20 degrees of z; any flip, any turn about the axis, the faceplate at either end.

    Parameters
    ----------
    volume : PetVolume
        The image, in any unit.

    Raises
    ------
    AnalysisRefused
        ``PHA-NOT-FOUND`` where the brightest body is not round, no faceplate with hot cylinders of 25, 16 and 12 mm
        is seen in it, or no uniform section lies beside it. ``detail`` says what was seen.
    """
    oriented = along_patient_axes(volume)
    body = find_round_body(oriented)
    fine = binned(oriented, _VOXEL_MM)
    heights = np.arange(-body.length_mm / 2 + _THIN_MM / 2, body.length_mm / 2, _THIN_MM)
    thin = thick_slices(
        fine, body.center_lps_mm, body.axis, heights, thickness_mm=_THIN_MM, reach_mm=_CORE * body.radius_mm
    )
    core = thin.distance_mm() < _CORE * body.radius_mm
    background = float(np.nanmedian(thin.image[:, core]))
    low, high = _hot_extent(thin, core, background)
    sign = 1.0 if low + high >= 0 else -1.0
    middle = (low + high) / 2
    section = thick_slices(
        fine, body.center_lps_mm, body.axis, [middle], thickness_mm=PLANE_MM, reach_mm=body.radius_mm
    )
    level = float(np.nanmedian(section.image[0][section.distance_mm() < _CORE * body.radius_mm]))
    hot, cold, residual_mm = _cylinders(section, level, body.radius_mm)
    inserts = (sign * low, sign * high) if sign > 0 else (-high, -low)
    uniform, rods = _sections(thin, core, sign, inserts, body.length_mm)
    return AcrPose(
        body=body,
        axis=sign * body.axis,
        hot={diameter: section.to_lps_mm(spot.u_mm, spot.v_mm, middle) for diameter, spot in hot.items()},
        cold={name: section.to_lps_mm(spot.u_mm, spot.v_mm, middle) for name, spot in cold.items()},
        inserts_mm=inserts,
        uniform_mm=uniform,
        rods_mm=rods,
        background=level,
        residual_mm=residual_mm,
    )


def _hot_extent(thin: ThickSlices, core: NDArray[np.bool_], background: float) -> tuple[float, float]:
    """Return from where to where along the axis something hot stands: half of its area in the middle."""
    if background <= 0:
        raise _not_found("nothing stands out from the image")
    above = np.where(np.isnan(thin.image), 0.0, thin.image / background - _HOT_LEVEL)
    area = np.clip(above[:, core], 0.0, None).sum(axis=1) * thin.pixel_mm2
    top = int(np.argmax(area))
    if area[top] < _MIN_HOT_MM2:
        raise _not_found(f"nothing in it is hotter than {_HOT_LEVEL:g} times the rest over a cylinder's area")
    half = float(np.median(area[area > area[top] / 2])) / 2
    heights = thin.position_mm
    first = last = top
    while first > 0 and area[first - 1] > half:
        first -= 1
    while last < len(area) - 1 and area[last + 1] > half:
        last += 1
    step = thin.thickness_mm
    low, high = float(heights[first]) - step / 2, float(heights[last]) + step / 2
    if first > 0:
        low = float(np.interp(half, area[first - 1 : first + 1], heights[first - 1 : first + 1]))
    if last < len(area) - 1:
        high = float(np.interp(-half, -area[last : last + 2], heights[last : last + 2]))
    if not _LENGTHS_MM[0] <= high - low <= _LENGTHS_MM[1]:
        raise _not_found(f"what is hot in it is {high - low:.0f} mm long, the cylinders are 38")
    return low, high


def _cylinders(
    section: ThickSlices, level: float, radius_mm: float
) -> tuple[dict[int, _Spot], dict[str, _Spot], float]:
    """Tell the hot cylinders apart by what they add, the cold ones by their order round the ring."""
    excess = np.where(np.isnan(section.image[0]), 0.0, section.image[0] / level - 1.0)
    spots = _spots(section, excess, radius_mm)
    if len(spots) < len(SURE_MM):
        raise _not_found(f"{len(spots)} of four hot cylinders are seen")
    hot = dict(zip(SURE_MM, spots, strict=False))
    steps = [one.amount_mm2 / next_one.amount_mm2 for one, next_one in pairwise(hot.values())]
    if not all(_fits(diameter, spot, hot) for diameter, spot in hot.items()) or min(steps) < _MIN_STEP:
        raise _not_found("its hot spots are not cylinders of 25, 16 and 12 mm")
    ring_mm = float(np.mean([spot.radius_mm for spot in hot.values()]))
    residual_mm = float(np.sqrt(np.mean([(spot.radius_mm - ring_mm) ** 2 for spot in hot.values()])))
    if residual_mm > _MAX_RESIDUAL_MM:
        raise _not_found(f"the hot cylinders stand {residual_mm:.0f} mm off a ring about the axis")
    rest = spots[len(SURE_MM) :]
    # The smallest may drown in blur and noise: what is taken for it stands on the ring, next after the 12 mm one.
    small = [spot for spot in rest if abs(spot.radius_mm - ring_mm) <= _MAX_RESIDUAL_MM and _fits(8, spot, hot)]
    after = [spot for spot in small if _in_order([*hot.values(), spot]) is not None]
    if after:
        hot[8] = after[0]
    elif small and small[0].amount_mm2 / hot[25].amount_mm2 > _SURE_8_MM * (8 / 25) ** 2:
        raise _not_found("by what its hot cylinders hold they do not get smaller one after another round the ring")
    if any(spot.amount_mm2 > _MAX_OTHER * hot[12].amount_mm2 for spot in rest if spot not in hot.values()):
        raise _not_found(f"more than four spots of it are hot ({len(spots)})")
    displaced = math.pi / 4 * COLD_DIAMETER_MM**2
    holes = [spot for spot in _spots(section, -excess, radius_mm) if spot.amount_mm2 > _MIN_COLD * displaced]
    cold = _named(list(hot.values()), holes)
    return (
        {diameter: _centred(section, excess, spot, diameter / 2) for diameter, spot in hot.items()},
        {name: _centred(section, -excess, spot, COLD_DIAMETER_MM / 2) for name, spot in cold.items()},
        residual_mm,
    )


def _fits(diameter_mm: int, spot: _Spot, hot: dict[int, _Spot]) -> bool:
    """Whether a spot adds what a cylinder of this diameter would, beside the 25 mm one."""
    low, high = _AMOUNT_RANGE[diameter_mm]
    return low <= spot.amount_mm2 / hot[25].amount_mm2 * (25 / diameter_mm) ** 2 <= high


def _spots(section: ThickSlices, excess: NDArray[np.float64], radius_mm: float) -> list[_Spot]:
    """Return what rises out of the section and its noise inside the wall, the largest amount first."""
    steps = (section.v_mm[1] - section.v_mm[0], section.u_mm[1] - section.u_mm[0])
    smooth = ndimage.gaussian_filter(excess, [_SMOOTHING_MM / step for step in steps])
    core = section.distance_mm() < _CORE * radius_mm
    noise = 1.4826 * float(np.median(np.abs(smooth[core] - np.median(smooth[core]))))
    v, u = (np.arange(2 * round(_PEAK_APART_MM / step) + 1) - round(_PEAK_APART_MM / step) for step in steps)
    around = np.hypot(v[:, None] * steps[0], u[None, :] * steps[1]) <= 2 * _PEAK_APART_MM
    peaks = core & (smooth == ndimage.maximum_filter(smooth, footprint=around))
    peaks &= smooth > max(_PEAK_LEVEL, _PEAK_NOISE * noise)
    found = []
    for row, column in np.argwhere(peaks):
        spot = _Spot(float(section.u_mm[column]), float(section.v_mm[row]), 0.0)
        found.append(_centred(section, excess, spot, CENTROID_MM))
    return sorted((spot for spot in found if spot.amount_mm2 > 0), key=lambda spot: -spot.amount_mm2)


def _centred(section: ThickSlices, excess: NDArray[np.float64], spot: _Spot, sigma_mm: float) -> _Spot:
    """Return a spot in the middle of what rises there, seen through a window that leaves noise further off no say."""
    u_mm, v_mm = spot.u_mm, spot.v_mm
    rising = np.clip(excess, 0.0, None)
    for _ in range(6):
        weight = rising * np.exp(-(section.distance_mm(u_mm, v_mm) ** 2) / (2 * sigma_mm**2))
        total = float(weight.sum())
        u_mm = float((weight * section.u_mm[None, :]).sum()) / total
        v_mm = float((weight * section.v_mm[:, None]).sum()) / total
    near = section.distance_mm(u_mm, v_mm) < _REACH_MM
    return _Spot(u_mm, v_mm, float(excess[near].sum()) * section.pixel_mm2)


def _in_order(ring: list[_Spot]) -> int | None:
    """Return which way round (1 or -1) spots follow each other on the ring; None where neither way."""
    for way in (1, -1):
        turns = [(way * (spot.angle - ring[0].angle)) % (2 * math.pi) for spot in ring]
        if turns == sorted(turns):
            return way
    return None


def _named(hot: list[_Spot], holes: list[_Spot]) -> dict[str, _Spot]:
    """Name the cold cylinders by their order round the ring; nothing where it is not the one that is known."""
    way = _in_order(hot)
    if len(holes) != len(COLD_ORDER) or way is None:
        return {}
    holes = sorted(holes, key=lambda spot: (way * (spot.angle - hot[0].angle)) % (2 * math.pi))
    return dict(zip(COLD_ORDER, holes, strict=True)) if _in_order([*hot, *holes]) == way else {}


def _sections(
    thin: ThickSlices, core: NDArray[np.bool_], sign: float, inserts_mm: tuple[float, float], length_mm: float
) -> tuple[tuple[float, float], tuple[float, float] | None]:
    """Return the uniform section, less its margins, and the rods, along the axis towards the faceplate."""
    heights = sign * thin.position_mm
    order = np.argsort(-heights)  # from the lid down
    heights = heights[order]
    means = np.array([np.nan if np.isnan(one).all() else np.nanmean(one) for one in thin.image[order][:, core]])
    top = inserts_mm[0] - _SECTION_MARGIN_MM
    beside = means[(heights < top) & (heights > top - _MIN_UNIFORM_MM)]
    bottom, rods = -length_mm / 2 + _END_MARGIN_MM, None
    if beside.size:
        share = means / np.nanmedian(beside)
        below = np.flatnonzero((heights < top) & (share < _ROD_LEVEL))
        # The last slices of a plain phantom fall off too, at its end; rods are as long as they are made.
        if below.size and heights[below[0]] > bottom:
            k = int(below[0])
            edge = float(np.interp(_ROD_LEVEL, share[k : k - 2 : -1], heights[k : k - 2 : -1])) if k else heights[0]
            rods = (-length_mm / 2, edge)
            bottom = edge + _SECTION_MARGIN_MM
    if top - bottom < _MIN_UNIFORM_MM:
        raise _not_found(f"only {max(top - bottom, 0.0):.0f} mm of it are uniform, beside the faceplate")
    return (bottom, top), rods


def _not_found(what: str) -> AnalysisRefused:
    return AnalysisRefused(
        "PHA-NOT-FOUND",
        f"We could not find the faceplate of the ACR phantom. Looking at the brightest body: {what}.",
        next_step="Check that the whole phantom is in the field and that this is the ACR PET phantom.",
    )
