"""Report figures: matplotlib figures drawn to size, written as SVG with the same bytes each time.

Sizes are millimetres in print. Every axis is fixed, so that two reports can be laid over each other; a value beyond
its axis becomes an arrow with the number beside it. Nothing here reads a clock, a setting or a file but the face.

The SVG has no style attribute and no style sheet: it may stand inside a page that forbids both.
"""

from __future__ import annotations

import base64
import importlib.util
import io
import math
import re
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import matplotlib as mpl
import numpy as np
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.font_manager import fontManager
from matplotlib.patches import Circle, Polygon
from PIL import Image

from phantoms import harmonise, standards
from phantoms.figure_svg import FigureSvg
from phantoms.results import Measurement, Outcome
from phantoms.sight import Sight
from phantoms.spheres import blurred_sphere

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from numpy.typing import NDArray

    from phantoms.acr import AcrResult
    from phantoms.background_columns import Profile
    from phantoms.calibrator import CalibratorResult, Reading
    from phantoms.cylinder import CylinderResult
    from phantoms.nema_iq import NemaIqResult
    from phantoms.reformat import ThickSlices
    from phantoms.sphere_contents import OddSphere
    from phantoms.volume import PetVolume

__all__ = [
    "FigureSvg",
    "acr_figures",
    "calibrator_figures",
    "cylinder_figures",
    "nema_iq_figures",
    "patient_figures",
    "refusal_figures",
]

INK, INK_2, INK_3, GRID = "#16202B", "#465361", "#5F6C79", "#E3E8ED"
SERIES_1, SERIES_2 = "#1D4E89", "#D55E00"
BAND, BAND_EDGE = "#D6E4F2", "#6E93BC"
# Word first, shape second, colour third: print in grey reads the same.
MARKS = {
    Outcome.PASS: ("o", "#237F71"),
    Outcome.WARN: ("^", "#B97817"),
    Outcome.FAIL: ("s", "#972614"),
    Outcome.NOT_EVALUABLE: ("D", "#5D5091"),
    Outcome.REPORT_ONLY: ("o", SERIES_1),
    Outcome.ERROR: ("X", "#192A35"),
}
GREY = "gray_r"
DEVIATION = LinearSegmentedColormap.from_list("deviation", [SERIES_1, "#FFFFFF", SERIES_2])
TEXT_PT = 7.5
LINE_PT = 0.6
ROI_PT = 0.5
MM_PER_INCH = 25.4

DIAMETERS_MM = (10, 13, 17, 22, 28, 37)
SLICE_WIDTH_MM, SLICE_PRINT_MM = 340.0, 83.0  # every phantom picture shows the same width at the same scale
SLICE_PRINT_HEIGHT_MM, BAR_MM = 74.0, 9.0
MIP_WIDTH_MM, MIP_PRINT_MM = 500.0, 60.0
MIP_HEIGHTS_MM = (500.0, 750.0, 1000.0, 1175.0)  # one scale always; the lowest frame that holds the scan
MIP_SUV = 5.0
MONTAGE_COLUMNS, MONTAGE_PRINT_MM, MONTAGE_WIDTH_MM = 4, 174.0, 230.0
FACEPLATE_SUV, MONTAGE_SUV = 3.0, 1.5  # SUV, or times the background where there is none
ODD_WIDTH_MM = 72.0  # one sphere with its surroundings
UNIFORMITY_AXIS_PCT = 10.0
PROFILE_AXIS_PCT = 15.0
READING_AXIS_PCT = 10.0
_ONE_AT_A_TIME = threading.Lock()  # matplotlib's settings are global to the process


@cache
def _face() -> str:
    """Register the report's face with matplotlib, once a process, and return its name."""
    spec = importlib.util.find_spec("fontpkg_ibm_plex_sans")
    places = list(spec.submodule_search_locations or []) if spec else []
    for place in places:
        fontManager.addfont(str(Path(place) / "files" / "IBMPlexSans[wdth,wght].ttf"))
        return "IBM Plex Sans"
    return "DejaVu Sans"


@contextmanager
def _drawing() -> Iterator[None]:
    """Hold matplotlib's global settings still while figures are made and written."""
    settings: Any = {
        "font.family": [_face()],
        "font.size": TEXT_PT,
        "text.color": INK,
        "axes.unicode_minus": True,
        "svg.fonttype": "path",  # the same letters in every viewer, whatever faces it has
        "svg.hashsalt": "pet-corelab",
    }
    with _ONE_AT_A_TIME, mpl.rc_context(settings):
        yield


@_drawing()
def cylinder_figures(
    volume: PetVolume, result: CylinderResult, standard: standards.Standard | None = None
) -> dict[str, FigureSvg]:
    """Draw a uniform cylinder.

    Parameters
    ----------
    volume : PetVolume
        The image the result was measured on.
    result : CylinderResult
        Pose, profiles and tiles.
    standard : Standard or None
        Its limits for slice deviation and bias are drawn; without it no limit is.

    Returns
    -------
    dict
        ``central_slice``, ``coronal``, ``slice_profile``, ``uniformity_map``, ``radial_profile``, ``edge_profile`` and,
        where the true concentration is known, ``bias``.
    """
    measured = _judged(result.measurements, standard)
    window = _Window.for_phantom(volume, result.expected_bqml, "cylinder")
    figures = {
        "central_slice": _cylinder_slice(volume, result, window),
        "coronal": _cylinder_coronal(volume, result, window),
        "slice_profile": _slice_profile(result, standard),
        "uniformity_map": _uniformity_map(result),
        "radial_profile": _radial_profile(result),
        "edge_profile": _edge_profile(result),
    }
    bias = measured.get("cylinder_bias_pct")
    if bias is not None and bias.value is not None:
        figures["bias"] = _bias(bias)
    return figures


@_drawing()
def nema_iq_figures(
    volume: PetVolume, result: NemaIqResult, standard: standards.Standard | None
) -> dict[str, FigureSvg]:
    """Draw a NEMA image quality phantom.

    Parameters
    ----------
    volume : PetVolume
        The image the result was measured on.
    result : NemaIqResult
        Pose, spheres and background regions.
    standard : Standard or None
        Its recovery bands are drawn and decide the shape of the marks.

    Returns
    -------
    dict
        ``central_slice``, ``coronal``, ``contrast``, ``lung_profile`` and, where the true sphere concentration is
        known, ``recovery_a50`` and ``recovery_max``; ``post_filter`` where one could be looked for; ``odd_sphere``
        where one sphere is not like its siblings, and ``background_profile`` where the background drifts.
    """
    measured = _judged(result.measurements, standard)
    window = _Window.for_phantom(volume, result.true_sphere_bqml, "sphere")
    figures = {
        "central_slice": _nema_slice(volume, result, window),
        "coronal": _nema_coronal(volume, result, window),
        "contrast": _contrast(measured),
        "lung_profile": _lung_profile(result),
    }
    for key, metric, words, top in (
        ("recovery_a50", "a50", "mean inside the half-maximum contour (A50)", 1.4),
        ("recovery_max", "max", "hottest voxel", 1.8),
    ):
        if any((found := measured.get(f"sphere_{d}mm_rc_{metric}")) and found.value is not None for d in DIAMETERS_MM):
            figures[key] = _recovery(measured, metric, words, top, standard)
    if result.filter_curves is not None:
        advice = next((one for one in result.filter_advice if standard and one.standard_id == standard.id), None)
        figures["post_filter"] = _post_filter(result.filter_curves, advice, standard)
    if result.contents is not None and result.contents.odd is not None:
        figures["odd_sphere"] = _odd_sphere(volume, result.contents.odd, window)
    if result.columns is not None and any(one.id == "PHA-SLOPE" for one in result.findings):
        figures["background_profile"] = _background_profile(result.columns.profile)
    return figures


@_drawing()
def acr_figures(volume: PetVolume, result: AcrResult, standard: standards.Standard | None) -> dict[str, FigureSvg]:
    """Draw an ACR PET phantom; its slices are those of 1 cm that were measured.

    Parameters
    ----------
    volume : PetVolume
        The image the result was measured on.
    result : AcrResult
        Pose and slices.
    standard : Standard or None
        Not drawn: its limits are on single numbers.

    Returns
    -------
    dict
        ``faceplate``, ``coronal``, ``uniform_slices``, ``slice_profile`` and, where there are rods, ``rods``.
    """
    figures = {
        "faceplate": _acr_faceplate(result, volume.unit),
        "coronal": _acr_coronal(volume, result),
        "uniform_slices": _acr_montage(
            result,
            volume.unit,
            np.flatnonzero(result.is_uniform),
            "Uniform section",
            "Look for rings, wedges, streaks and bed joins.",
        ),
        "slice_profile": _acr_profile(result),
    }
    if result.is_rods.any():
        figures["rods"] = _acr_montage(
            result,
            volume.unit,
            np.flatnonzero(result.is_rods),
            "Rods",
            "Name the smallest sector whose rods stand apart: 12.7, 11.1, 9.5, 7.9, 6.4, 4.8 mm.",
        )
    return figures


@_drawing()
def refusal_figures(volume: PetVolume, sight: Sight | None) -> dict[str, FigureSvg]:
    """Draw what a search for a phantom saw before it refused.

    Parameters
    ----------
    volume : PetVolume
        The image that was searched.
    sight : Sight or None
        Outline and places; None where the refusal brings none, then the middle of the image is shown.

    Returns
    -------
    dict
        ``central_slice`` and ``coronal``, under the names that the phantom's own pictures have.
    """
    # Noisy end slices may outshine the phantom: the window ends where one voxel in a thousand is brighter.
    window = _Window.without_the_brightest(volume)
    sight = sight or Sight(None)
    up = np.array([0.0, 0.0, 1.0])
    if sight.places:
        center, axis, where = sight.places[0].center_lps_mm, sight.places[0].axis, "the place that came nearest"
    elif sight.outline is not None:
        inside = np.argwhere(sight.outline.image > 0.5).mean(axis=0)
        center, axis, where = sight.outline.to_lps_mm(inside), up, "the middle of the brightest body"
    else:
        middle = (np.array(volume.image.shape) - 1) / 2.0
        center, axis, where = volume.to_lps_mm(middle), up, "the middle of the image"
    marks = _sight_words(sight)
    figures = {}
    for name, plane, letters, view in (
        ("central_slice", _axial_plane(center, axis), ("R", "L", "A"), "Slice"),
        ("coronal", _coronal_plane(center, axis), ("R", "L", "H"), "Coronal"),
    ):
        figure, axes = _picture(volume, plane, window, letters)
        _draw_sight(axes, sight, plane)
        figures[name] = _written(
            figure,
            f"{view} through {where}, black on white, {window.words}. {marks}",
            f"Not found. {view} through {where}, {window.words}. {marks}",
        )
    return figures


def _sight_words(sight: Sight) -> str:
    if sight.outline is None:
        return "Nothing stood out to be marked."
    if not sight.places:
        return "Dashed: outline of the brightest body."
    others = {1: "", 2: "; grey: another place that was looked at"}.get(
        len(sight.places), f"; grey: {len(sight.places) - 1} other places that were looked at"
    )
    return f"Dashed: outline of the brightest body; orange: the place that came nearest{others}."


def _draw_sight(axes: Axes, sight: Sight, plane: _Plane) -> None:
    """Draw the outline where the plane cuts it, and the circles as the balls that the plane passes through or near."""
    if sight.outline is not None:
        width, height = (float(np.ptp(limits)) for limits in (axes.get_xlim(), axes.get_ylim()))
        inside, (left, right, bottom, top) = _sample(sight.outline, plane, width, height)
        rows, columns = inside.shape
        u = left + (np.arange(columns) + 0.5) * (right - left) / columns
        v = top - (np.arange(rows) + 0.5) * (top - bottom) / rows
        if 0.0 < float(inside.mean()) < 1.0:
            axes.contour(u, v, inside, levels=[0.5], colors=[SERIES_1], linewidths=LINE_PT, linestyles=[(0, (4, 2))])
    normal = np.cross(plane.u, plane.v)
    for rank, place in reversed(list(enumerate(sight.places))):
        for center, radius_mm in place.circles:
            off_mm = abs(float((np.asarray(center) - plane.center_lps_mm) @ normal))
            if off_mm < radius_mm:
                cut_mm = float(np.sqrt(radius_mm**2 - off_mm**2))
                axes.add_patch(_circle(plane.project_mm(center), cut_mm, INK_3 if rank else SERIES_2))


@_drawing()
def patient_figures(volume: PetVolume, suv_factor: float | None) -> dict[str, FigureSvg]:
    """Draw a patient scan as two maximum intensity projections.

    Parameters
    ----------
    volume : PetVolume
        Rescaled pixel values.
    suv_factor : float or None
        Turns them into SUVbw, g/mL; None where the SUV is refused, then the scale is the image's own unit.

    Returns
    -------
    dict
        ``mip_coronal`` and ``mip_sagittal``.
    """
    canonical = _Canonical.of(volume)
    if suv_factor is None:
        # A bladder outshines the body a hundredfold: the window ends where one voxel in a thousand is brighter.
        window = _Window.without_the_brightest(volume)
    else:
        window = _Window(label="SUV, g/mL", per_unit=suv_factor, upper=MIP_SUV, words=f"SUV 0 to {MIP_SUV:g}")
    return {
        "mip_coronal": _mip(canonical, 1, window, "Coronal", "R", "L"),
        "mip_sagittal": _mip(canonical, 2, window, "Sagittal", "A", "P"),
    }


@_drawing()
def calibrator_figures(result: CalibratorResult, standard: standards.Standard | None = None) -> dict[str, FigureSvg]:
    """Draw a radionuclide calibrator's readings.

    Parameters
    ----------
    result : CalibratorResult
        Readings with what they should have been.
    standard : Standard or None
        Its limits are drawn; without it no limit is.

    Returns
    -------
    dict
        ``constancy`` and, where a short-lived source was read down, ``linearity``.
    """
    against = "the baseline" if result.has_baseline else "the certificate"
    first, last = result.constancy[0].at, result.constancy[-1].at
    span_days = max((last - first).total_seconds() / 86_400.0, 1.0)
    days = [(one.at - first).total_seconds() / 86_400.0 for one in result.constancy]
    axes, figure = _reading_axes(f"{first:%d %b %Y} to {last:%d %b %Y}, days", (-0.02 * span_days, 1.02 * span_days))
    worst = _draw_readings(axes, days, result.constancy, standard, "calibrator_constancy_max_pct")
    found = {
        "constancy": _written(
            figure,
            f"Deviation of {len(days)} readings of {result.nuclide} from {against}, decayed, against the day, axis "
            f"−10 to +10 %; the farthest is {_signed(worst, 1)} %.",
            f"Readings of the reference source over {against}. Look for a step after a repair, and for a slow drift.",
        )
    }
    if result.linearity:
        read = [one.activity_mbq for one in result.linearity]
        axes, figure = _reading_axes("reading, MBq", (min(read) / 1.5, max(read) * 1.5))
        axes.set_xscale("log")
        axes.xaxis.set_major_formatter("{x:g}")
        worst = _draw_readings(axes, read, result.linearity, standard, "calibrator_linearity_max_pct")
        found["linearity"] = _written(
            figure,
            f"Deviation of {len(read)} readings from the decay law through all of them, against the reading from "
            f"{_short(min(read))} to {_short(max(read))} MBq, axis −10 to +10 %; farthest {_signed(worst, 1)} %.",
            "Readings of a decaying source. A fall at the right end is dead time, a rise at the left end background.",
        )
    return found


# --- windows and planes ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Window:
    """The grey scale of a picture: ``upper`` in display units, ``per_unit`` turns voxel values into them."""

    label: str
    per_unit: float
    upper: float
    words: str

    @classmethod
    def of(cls, unit: str, upper: float, why: str) -> _Window:
        """Make a window from 0 to ``upper`` voxel units; ``why`` says where the upper end comes from."""
        label, per_unit = {"Bq/mL": ("kBq/mL", 1e-3), "g/mL": ("SUV, g/mL", 1.0)}.get(unit, ("raw value", 1.0))
        scaled = upper * per_unit
        return cls(label=label, per_unit=per_unit, upper=scaled, words=f"0 to {_short(scaled)} {label} ({why})")

    @classmethod
    def without_the_brightest(cls, volume: PetVolume) -> _Window:
        """Return 0 to the value that one voxel in a thousand exceeds; to the maximum where that is nothing."""
        ends = (float(np.quantile(volume.image, 0.999)), float(volume.image.max()), 1.0)
        upper = next(end for end in ends if end > 0)
        return cls.of(volume.unit, upper, "up to the value that one voxel in a thousand exceeds")

    @classmethod
    def for_phantom(cls, volume: PetVolume, true_bqml: float | None, what: str) -> _Window:
        """Return 0 to 1.2 times the true concentration, else 0 to 1.1 times the maximum, and say which."""
        if true_bqml is not None and volume.unit == "Bq/mL":
            return cls.of(volume.unit, 1.2 * true_bqml, f"1.2 × the true {what} concentration")
        top = float(volume.image.max())
        return cls.of(volume.unit, 1.1 * top if top > 0 else 1.0, "1.1 × the maximum; the true value is not known")


@dataclass(frozen=True)
class _Plane:
    """A flat cut: ``u`` runs right and ``v`` up in the picture, unit vectors in patient space (LPS)."""

    center_lps_mm: NDArray[np.float64]
    u: NDArray[np.float64]
    v: NDArray[np.float64]

    def project_mm(self, lps_mm: NDArray[np.float64]) -> tuple[float, float]:
        """Return where a point falls in the picture, millimetres from the plane's centre."""
        offset = np.asarray(lps_mm, dtype=np.float64) - self.center_lps_mm
        return float(offset @ self.u), float(offset @ self.v)


def _axial_plane(center_lps_mm: NDArray[np.float64], axis: NDArray[np.float64]) -> _Plane:
    """Return the plane across the phantom's axis, seen from the feet: patient's right at the left, front up."""
    axis = _towards(np.asarray(axis, dtype=np.float64), np.array([0.0, 0.0, 1.0]))
    u = np.array([1.0, 0.0, 0.0])
    u = u - (u @ axis) * axis
    u /= np.linalg.norm(u)
    return _Plane(np.asarray(center_lps_mm, dtype=np.float64), u, np.cross(u, axis))


def _coronal_plane(center_lps_mm: NDArray[np.float64], axis: NDArray[np.float64]) -> _Plane:
    """Return the plane along the phantom's axis, seen from the front: patient's right at the left, head up."""
    axial = _axial_plane(center_lps_mm, axis)
    up = _towards(np.asarray(axis, dtype=np.float64), np.array([0.0, 0.0, 1.0]))
    return _Plane(axial.center_lps_mm, axial.u, up)


def _towards(axis: NDArray[np.float64], direction: NDArray[np.float64]) -> NDArray[np.float64]:
    unit = axis / np.linalg.norm(axis)
    return unit if unit @ direction >= 0 else -unit


def _sample(
    volume: PetVolume, plane: _Plane, width_mm: float, height_mm: float
) -> tuple[NDArray[np.float32], tuple[float, float, float, float]]:
    """Return the voxels that a plane passes, no value made up, and the picture's extent.

    Returns
    -------
    picture : ndarray of float32, shape (rows, columns)
        First row at the top; 0 outside the image.
    extent : tuple of float
        Left, right, bottom, top edge, millimetres from the plane's centre.
    """
    inverse = np.linalg.inv(volume.affine_lps_mm[:3, :3])
    # one step in the picture is one voxel along the axis it mostly runs along
    step_u = 1.0 / float(np.max(np.abs(inverse @ plane.u)))
    step_v = 1.0 / float(np.max(np.abs(inverse @ plane.v)))
    nearest = volume.to_lps_mm(np.rint(volume.to_index_zyx(plane.center_lps_mm)))
    start_u, start_v = plane.project_mm(nearest)
    half_u, half_v = int(np.ceil(width_mm / 2 / step_u)) + 1, int(np.ceil(height_mm / 2 / step_v)) + 1
    along_u = start_u + step_u * np.arange(-half_u, half_u + 1)
    along_v = start_v + step_v * np.arange(half_v, -half_v - 1, -1)
    positions = plane.center_lps_mm + along_u[None, :, None] * plane.u + along_v[:, None, None] * plane.v
    index = np.rint(volume.to_index_zyx(positions) - 1e-6).astype(np.int64)  # a tie always falls the same way
    shape = np.array(volume.image.shape)
    inside = np.all((index >= 0) & (index < shape), axis=-1)
    picture = np.zeros(inside.shape, dtype=np.float32)
    z, y, x = index[inside].T
    picture[inside] = volume.image[z, y, x]
    edges = (along_u[0] - step_u / 2, along_u[-1] + step_u / 2, along_v[-1] - step_v / 2, along_v[0] + step_v / 2)
    return picture, (float(edges[0]), float(edges[1]), float(edges[2]), float(edges[3]))


@dataclass(frozen=True)
class _Canonical:
    """A volume turned so that its axes run nearest to head, back and left; a tilted grid is not straightened."""

    image_zyx: NDArray[np.float32]
    spacing_zyx_mm: tuple[float, float, float]

    @classmethod
    def of(cls, volume: PetVolume) -> _Canonical:
        directions = volume.affine_lps_mm[:3, :3] / np.linalg.norm(volume.affine_lps_mm[:3, :3], axis=0)
        order = [0, 0, 0]  # array axis (z, y, x) for each patient axis (z, y, x)
        image = volume.image
        free = {0, 1, 2}  # index axes x, y, z not yet given to a patient axis
        for patient in (2, 1, 0):
            index_axis = max(free, key=lambda axis: abs(float(directions[patient, axis])))
            free.discard(index_axis)
            order[2 - patient] = 2 - index_axis
            if directions[patient, index_axis] < 0:
                image = np.flip(image, axis=2 - index_axis)
        spacing = volume.spacing_zyx_mm
        return cls(np.transpose(image, order), (spacing[order[0]], spacing[order[1]], spacing[order[2]]))


# --- pictures -------------------------------------------------------------------------------------------------


def _cylinder_slice(volume: PetVolume, result: CylinderResult, window: _Window) -> FigureSvg:
    pose = result.pose
    plane = _axial_plane(pose.center_lps_mm, pose.axis)
    figure, axes = _picture(volume, plane, window, ("R", "L", "A"))
    axes.add_patch(_circle((0.0, 0.0), pose.radius_mm, SERIES_1, dashed=True))
    axes.add_patch(_circle((0.0, 0.0), result.roi_radius_mm, SERIES_2))
    return _written(
        figure,
        f"Axial plane through the middle of the cylinder, black on white, {window.words}; the circle of the measured "
        f"region, radius {result.roi_radius_mm:.0f} mm, and dashed the cylinder found, radius {pose.radius_mm:.0f} mm.",
        f"Central slice, {window.words}. Look for rings, wedges and air. Dashed: the cylinder found; "
        "orange: the measured region.",
    )


def _cylinder_coronal(volume: PetVolume, result: CylinderResult, window: _Window) -> FigureSvg:
    pose = result.pose
    plane = _coronal_plane(pose.center_lps_mm, pose.axis)
    figure, axes = _picture(volume, plane, window, ("R", "L", "H"))
    sign = 1.0 if np.asarray(pose.axis) @ plane.v >= 0 else -1.0
    along = np.asarray(result.axis_position_mm, dtype=np.float64) * sign
    used = np.asarray(result.slice_used, dtype=bool)
    half = pose.length_mm / 2
    axes.add_patch(_box(-pose.radius_mm, pose.radius_mm, -half, half, SERIES_1, dashed=True))
    words = "no slice is measured"
    if used.any():
        step = float(np.median(np.abs(np.diff(along)))) / 2 if along.size > 1 else 0.0
        low, high = float(along[used].min()) - step, float(along[used].max()) + step
        axes.add_patch(_box(-result.roi_radius_mm, result.roi_radius_mm, low, high, SERIES_2))
        words = f"the box of the measured region, {high - low:.0f} mm long"
    return _written(
        figure,
        f"Coronal plane through the cylinder's axis, black on white, {window.words}; {words}, and dashed the cylinder "
        f"found, {pose.length_mm:.0f} mm long.",
        f"Coronal slice, {window.words}. Look for bed joins, bubbles at the top and a hot or cold end.",
    )


def _nema_slice(volume: PetVolume, result: NemaIqResult, window: _Window) -> FigureSvg:
    pose = result.pose
    spheres = np.array([sphere.center_lps_mm for sphere in result.spheres], dtype=np.float64)
    axial = _axial_plane(pose.center_lps_mm, pose.axis)
    normal = np.cross(axial.u, axial.v)
    on_axis = np.asarray(pose.center_lps_mm, dtype=np.float64)
    plane = _axial_plane(on_axis + float(np.mean((spheres - on_axis) @ normal)) * normal, pose.axis)
    figure, axes = _picture(volume, plane, window, ("R", "L", "A"))
    for center, radius_mm in result.background_rois:
        axes.add_patch(_circle(plane.project_mm(np.asarray(center)), radius_mm, SERIES_1))
    for sphere in result.spheres:
        at = np.array(plane.project_mm(np.asarray(sphere.center_lps_mm)))
        axes.add_patch(_circle((float(at[0]), float(at[1])), sphere.diameter_mm / 2, SERIES_2))
        # Beside it along the ring of spheres: inwards lies the lung insert, outwards are the background regions.
        outwards = at / (np.linalg.norm(at) or 1.0)
        where = at + np.array([-outwards[1], outwards[0]]) * (sphere.diameter_mm / 2 + 8.5)
        axes.text(where[0], where[1], f"{sphere.diameter_mm}", color=SERIES_2, ha="center", va="center")
    found = {one.name: one.value for one in result.measurements if one.standard is None}
    edge_mm, spheres_mm = (found[f"background_{what}_margin_mm"] or 0.0 for what in ("edge", "sphere"))
    margins = f"{edge_mm:.0f} mm from the edge and {spheres_mm:.0f} mm from the spheres"
    insert = "there is no lung insert"
    if pose.lung_center_lps_mm is not None and pose.lung_radius_mm is not None:
        axes.add_patch(_circle(plane.project_mm(pose.lung_center_lps_mm), pose.lung_radius_mm, SERIES_1, dashed=True))
        insert = "dashed, a circle on the lung insert"
    return _written(
        figure,
        f"Axial plane through the six spheres, black on white, {window.words}; circles on the spheres with their inner "
        f"diameters in mm and on {len(result.background_rois)} background regions, {margins}; {insert}.",
        f"Sphere plane, {window.words}. Look for round, full spheres without air. Orange: spheres, mm; "
        f"blue: background, {margins}; dashed: lung insert.",
    )


def _nema_coronal(volume: PetVolume, result: NemaIqResult, window: _Window) -> FigureSvg:
    largest = max(result.spheres, key=lambda sphere: sphere.diameter_mm)
    plane = _coronal_plane(np.asarray(largest.center_lps_mm), result.pose.axis)
    offset = np.asarray(result.pose.center_lps_mm) - plane.center_lps_mm
    plane = _Plane(plane.center_lps_mm + (offset @ plane.u) * plane.u + (offset @ plane.v) * plane.v, plane.u, plane.v)
    figure, axes = _picture(volume, plane, window, ("R", "L", "H"))
    at = plane.project_mm(np.asarray(largest.center_lps_mm))
    axes.add_patch(_circle(at, largest.diameter_mm / 2, SERIES_2))
    axes.annotate(
        f"{largest.diameter_mm} mm",
        xy=(at[0], at[1] + largest.diameter_mm / 2),
        xytext=(0, 2),
        textcoords="offset points",
        ha="center",
        va="bottom",
        color=SERIES_2,
    )
    return _written(
        figure,
        f"Coronal plane through the {largest.diameter_mm} mm sphere, black on white, {window.words}; a circle on the "
        "sphere.",
        f"Coronal through the {largest.diameter_mm} mm sphere, {window.words}. Look for bubbles at the top, bed joins "
        "and an even background.",
    )


def _acr_window(result: AcrResult, volume_unit: str, top: float) -> _Window:
    """Return 0 to ``top`` in SUV; where there is no SUV, to so many times the background."""
    if result.suv_factor is not None:
        return _Window(label="SUV, g/mL", per_unit=result.suv_factor, upper=top, words=f"SUV 0 to {top:g}")
    return _Window.of(volume_unit, top * result.background, f"{top:g} × the background; there is no SUV")


def _acr_faceplate(result: AcrResult, unit: str) -> FigureSvg:
    window = _acr_window(result, unit, FACEPLATE_SUV)
    slices = result.slices
    figure = _figure(SLICE_PRINT_MM, SLICE_PRINT_HEIGHT_MM + BAR_MM)
    axes = _axes(figure, 0, BAR_MM, SLICE_PRINT_MM, SLICE_PRINT_HEIGHT_MM)
    height_mm = SLICE_WIDTH_MM * SLICE_PRINT_HEIGHT_MM / SLICE_PRINT_MM
    _thick(axes, slices, int(np.argmin(np.abs(slices.position_mm))), window, SLICE_WIDTH_MM, height_mm)
    named = {f"{diameter}": (place, diameter / 2, SERIES_2) for diameter, place in result.pose.hot.items()}
    named |= {name: (place, 12.5, SERIES_1) for name, place in result.pose.cold.items()}
    for name, (place, radius, color) in named.items():
        u, v = slices.to_section_mm(place)
        axes.add_patch(_circle((u, -v), radius, color))
        # Outside the wall, where there is nothing to hide.
        outwards = np.array([u, -v]) / (math.hypot(u, v) or 1.0)
        where = outwards * (result.pose.body.radius_mm + 18.0)
        axes.text(where[0], where[1], name, color=color, ha="center", va="center")
    axes.add_patch(_circle((0.0, 0.0), result.pose.body.radius_mm, SERIES_1, dashed=True))
    _frame(axes, ("R", "L", "A"), bar_mm=50.0)
    _scale(figure, window, SLICE_PRINT_MM)
    seen = ", ".join(f"{diameter}" for diameter in result.pose.hot)
    cold = f"; and on the cold ones, {', '.join(result.pose.cold)} by their usual order" if result.pose.cold else ""
    return _written(
        figure,
        f"Slice of 1 cm through the faceplate, black on white, {window.words}; circles on the hot cylinders of {seen} "
        f"mm{cold}.",
        f"Faceplate, 1 cm, {window.words}. Orange: hot cylinders, mm; blue: cold ones, named by their usual order.",
    )


def _acr_coronal(volume: PetVolume, result: AcrResult) -> FigureSvg:
    window = _acr_window(result, volume.unit, FACEPLATE_SUV)
    pose = result.pose
    # Through the 25 mm cylinder and the axis as nearly as a coronal plane can: at the height of the cylinder.
    plane = _coronal_plane(pose.body.center_lps_mm, pose.axis)
    normal = np.cross(plane.u, plane.v)
    offset = float((pose.hot[25] - plane.center_lps_mm) @ normal)
    plane = _Plane(plane.center_lps_mm + offset * normal, plane.u, plane.v)
    figure, axes = _picture(volume, plane, window, ("R", "L", "H"))
    sign = 1.0 if pose.axis @ plane.v >= 0 else -1.0
    half = math.sqrt(max(pose.body.radius_mm**2 - offset**2, 0.0))
    for section, color in ((pose.inserts_mm, SERIES_2), (pose.uniform_mm, SERIES_1)):
        low, high = sorted(sign * end for end in section)
        axes.add_patch(_box(-half, half, low, high, color))
    return _written(
        figure,
        f"Coronal plane through the 25 mm cylinder, black on white, {window.words}; boxes on the section of the "
        f"cylinders, {np.diff(pose.inserts_mm)[0]:.0f} mm long, and on the uniform section.",
        f"Coronal through the 25 mm cylinder, {window.words}. Orange: section of the cylinders; blue: uniform section. "
        "Look for air under the lid.",
    )


def _acr_montage(result: AcrResult, unit: str, index: NDArray[np.intp], title: str, look: str) -> FigureSvg:
    """Draw slices of 1 cm side by side, each with its distance from the faceplate's."""
    window = _acr_window(result, unit, MONTAGE_SUV)
    tile = MONTAGE_PRINT_MM / MONTAGE_COLUMNS
    rows = -(-len(index) // MONTAGE_COLUMNS)
    figure = _figure(MONTAGE_PRINT_MM, rows * tile + BAR_MM)
    for place, k in enumerate(index):
        row, column = divmod(place, MONTAGE_COLUMNS)
        axes = _axes(figure, column * tile + 0.5, BAR_MM + (rows - 1 - row) * tile + 0.5, tile - 1.0, tile - 1.0)
        _thick(axes, result.slices, int(k), window, MONTAGE_WIDTH_MM, MONTAGE_WIDTH_MM)
        axes.set_xticks([])
        axes.set_yticks([])
        for spine in axes.spines.values():
            spine.set_color("#D3DAE1")
            spine.set_linewidth(LINE_PT)
        below_cm = abs(float(result.slices.position_mm[k])) / 10
        axes.text(0.03, 0.97, f"{below_cm:.0f} cm", transform=axes.transAxes, ha="left", va="top", color=INK_2)
    _scale(figure, window, MONTAGE_PRINT_MM)
    return _written(
        figure,
        f"{title}: {len(index)} slices of 1 cm, black on white, {window.words}, each with its distance from the "
        "faceplate's slice.",
        f"{title} in slices of 1 cm, {window.words}. {look}",
    )


def _thick(axes: Axes, slices: ThickSlices, index: int, window: _Window, width_mm: float, height_mm: float) -> None:
    """Draw one thick slice, patient's right at the left, front up; white outside the image."""
    half_u = (slices.u_mm[1] - slices.u_mm[0]) / 2
    half_v = (slices.v_mm[1] - slices.v_mm[0]) / 2
    extent = (
        float(slices.u_mm[0] - half_u),
        float(slices.u_mm[-1] + half_u),
        float(-slices.v_mm[-1] - half_v),
        float(-slices.v_mm[0] + half_v),
    )
    _gray(axes, np.nan_to_num(slices.image[index]).astype(np.float32), extent, window)
    axes.set_xlim(-width_mm / 2, width_mm / 2)
    axes.set_ylim(-height_mm / 2, height_mm / 2)


def _mip(canonical: _Canonical, along: int, window: _Window, name: str, left: str, right: str) -> FigureSvg:
    """Project along array axis ``along`` (1 front to back, 2 side to side)."""
    picture = np.flipud(canonical.image_zyx.max(axis=along))
    tall, deep, wide = canonical.spacing_zyx_mm
    half_width, height = picture.shape[1] * (wide if along == 1 else deep) / 2, picture.shape[0] * tall
    frame_mm = next((frame for frame in MIP_HEIGHTS_MM if frame >= height), MIP_HEIGHTS_MM[-1])
    top, print_mm = frame_mm / 2, MIP_PRINT_MM * frame_mm / MIP_WIDTH_MM
    figure = _figure(MIP_PRINT_MM, print_mm + BAR_MM)
    axes = _axes(figure, 0, BAR_MM, MIP_PRINT_MM, print_mm)
    _gray(axes, picture, (-half_width, half_width, top - height, top), window)
    axes.set_xlim(-MIP_WIDTH_MM / 2, MIP_WIDTH_MM / 2)
    axes.set_ylim(-top, top)
    _frame(axes, (left, right), bar_mm=100.0)
    _scale(figure, window, MIP_PRINT_MM)
    return _written(
        figure,
        f"{name} maximum intensity projection, black on white, {window.words}, 10 cm bar.",
        f"{name} projection, {window.words}. Look at coverage, motion and the injection site.",
    )


def _picture(volume: PetVolume, plane: _Plane, window: _Window, letters: tuple[str, ...]) -> tuple[Figure, Axes]:
    """Return a figure of one plane with its frame, 50 mm bar and grey scale."""
    figure = _figure(SLICE_PRINT_MM, SLICE_PRINT_HEIGHT_MM + BAR_MM)
    axes = _axes(figure, 0, BAR_MM, SLICE_PRINT_MM, SLICE_PRINT_HEIGHT_MM)
    height_mm = SLICE_WIDTH_MM * SLICE_PRINT_HEIGHT_MM / SLICE_PRINT_MM
    picture, extent = _sample(volume, plane, SLICE_WIDTH_MM, height_mm)
    _gray(axes, picture, extent, window)
    axes.set_xlim(-SLICE_WIDTH_MM / 2, SLICE_WIDTH_MM / 2)
    axes.set_ylim(-height_mm / 2, height_mm / 2)
    _frame(axes, letters, bar_mm=50.0)
    _scale(figure, window, SLICE_PRINT_MM)
    return figure, axes


def _gray(axes: Axes, picture: NDArray[np.float32], extent: tuple[float, float, float, float], window: _Window) -> None:
    axes.imshow(
        picture * window.per_unit,
        cmap=GREY,
        vmin=0.0,
        vmax=window.upper,
        extent=extent,
        interpolation="none",
        aspect="auto",
        resample=False,
    )


def _frame(axes: Axes, letters: tuple[str, ...], bar_mm: float) -> None:
    """Draw the edge, the letters of the sides (left, right, top) and a length bar."""
    axes.set_xticks([])
    axes.set_yticks([])
    for spine in axes.spines.values():
        spine.set_color("#D3DAE1")
        spine.set_linewidth(LINE_PT)
    places = ((0.015, 0.5, "left", "center"), (0.985, 0.5, "right", "center"), (0.5, 0.985, "center", "top"))
    for letter, (x, y, across, up) in zip(letters, places, strict=False):
        axes.text(x, y, letter, transform=axes.transAxes, ha=across, va=up, color=INK_2)
    (left, right), (bottom, top) = axes.get_xlim(), axes.get_ylim()
    x, y = left + 0.035 * (right - left), bottom + 0.025 * (top - bottom)
    axes.plot([x, x + bar_mm], [y, y], color=INK, linewidth=1.5, solid_capstyle="butt")
    axes.text(
        x + bar_mm + 0.02 * (right - left), y, f"{bar_mm:g} mm" if bar_mm < 100 else "10 cm", va="center", color=INK
    )


def _scale(figure: Figure, window: _Window, width_mm: float) -> None:
    """Draw the grey scale along the foot of a picture."""
    bar_mm = width_mm - 34.0 if width_mm > 70 else width_mm - 26.0
    axes = _axes(figure, 3.0, BAR_MM - 4.0, bar_mm, 2.2)
    axes.imshow(
        np.linspace(0, 1, 64)[None, :],
        cmap=GREY,
        extent=(0.0, window.upper, 0.0, 1.0),
        aspect="auto",
        interpolation="none",
    )
    axes.set_yticks([])
    axes.set_xticks([0.0, window.upper / 2, window.upper], ["0", _short(window.upper / 2), _short(window.upper)])
    axes.tick_params(length=2, pad=1.5)
    for spine in axes.spines.values():
        spine.set_visible(True)
        spine.set_color(INK_3)
        spine.set_linewidth(0.4)
    axes.text(1.0 + 4.0 / bar_mm, 0.5, window.label, transform=axes.transAxes, va="center", color=INK)


# --- charts ---------------------------------------------------------------------------------------------------


def _recovery(
    measured: Mapping[str, Measurement], metric: str, words: str, top: float, standard: standards.Standard | None
) -> FigureSvg:
    figure = _figure(83, 66)
    axes = _axes(figure, 10.5, 9.5, 57, 54)
    _chart(axes, (8.0, 39.0), (0.0, top), "inner diameter, mm", "recovery, measured / true")
    axes.set_xticks(DIAMETERS_MM)
    axes.set_yticks(np.arange(0.0, top + 0.01, 0.2))
    axes.grid(axis="y", color=GRID, linewidth=LINE_PT)
    axes.axhline(1.0, color=INK_3, linewidth=LINE_PT)
    names = {d: f"sphere_{d}mm_rc_{metric}" for d in DIAMETERS_MM}
    band = _draw_band(axes, names, standard)
    series = _draw_spheres(axes, {d: measured.get(name) for d, name in names.items()}, top)
    labels = []
    if band is not None and standard is not None:
        labels.append((band, _standard_name(standard), INK_3))
    if series is not None:
        labels.append((min(series, top), "measured", SERIES_1))
    _right_labels(axes, labels, least_gap=0.075 * top)
    counted = [found.verdict for name in names.values() if (found := measured.get(name)) is not None]
    outside = f"{counted.count(Outcome.FAIL)} of {len(counted)} fail" if band is not None else "no band drawn"
    return _written(
        figure,
        f"Recovery against inner sphere diameter, {words}, axis 0 to {top:g}; {outside}.",
        f"Recovery, {words}." + (" Band: what the standard accepts." if band is not None else "") + " ● pass, "
        "▲ warning, ■ fail, ◆ could not check; bars are ± 2 SD where stated.",
    )


def _draw_band(axes: Axes, names: Mapping[int, str], standard: standards.Standard | None) -> float | None:
    """Draw the standard's band; return its middle at the largest sphere."""
    if standard is None:
        return None
    edges = [
        (d, limit.low, limit.high)
        for d, name in names.items()
        if (limit := standard.limits.get(name)) is not None and limit.low is not None and limit.high is not None
    ]
    if not edges:
        return None
    diameters, low, high = zip(*edges, strict=True)
    axes.fill_between(diameters, low, high, color=BAND, linewidth=0)
    for edge in (low, high):
        axes.plot(diameters, edge, color=BAND_EDGE, linewidth=LINE_PT)
    return float(low[-1] + high[-1]) / 2


def _draw_spheres(axes: Axes, spheres: Mapping[int, Measurement | None], top: float) -> float | None:
    """Draw the measured curve; return its value at the largest sphere that has one."""
    points = [(d, found) for d, found in spheres.items() if found is not None and found.value is not None]
    if not points:
        return None
    axes.plot([d for d, _ in points], [found.value or 0.0 for _, found in points], color=SERIES_1, linewidth=1.0)
    for d, found in points:
        _draw_value(axes, d, found, top)
    return points[-1][1].value


def _draw_value(axes: Axes, x: float, found: Measurement, top: float) -> None:
    value = found.value or 0.0
    marker, color = MARKS[found.verdict]
    if value > top:
        axes.annotate(
            f"{value:.2f}",
            xy=(x, top),
            xytext=(x, top * 0.9),
            ha="center",
            va="top",
            color=color,
            arrowprops={"arrowstyle": "-|>", "color": color, "linewidth": LINE_PT, "shrinkA": 0, "shrinkB": 0},
        )
        return
    if found.uncertainty is not None:
        axes.errorbar(
            [x], [value], yerr=[2 * found.uncertainty], color=color, linewidth=LINE_PT, capsize=1.6, capthick=LINE_PT
        )
    axes.plot([x], [value], marker=marker, color=color, markersize=4.2, linestyle="none", zorder=5)


def _contrast(measured: Mapping[str, Measurement]) -> FigureSvg:
    figure = _figure(83, 60)
    axes = _axes(figure, 10.5, 9.5, 57, 48)
    _chart(axes, (8.0, 39.0), (0.0, 120.0), "inner diameter, mm", "percent")
    axes.set_xticks(DIAMETERS_MM)
    axes.set_yticks(np.arange(0.0, 121.0, 20.0))
    axes.grid(axis="y", color=GRID, linewidth=LINE_PT)
    labels = []
    for metric, label, color, marker, dashes in (
        ("qh_pct", "hot contrast", SERIES_1, "o", "-"),
        ("qc_pct", "cold", SERIES_1, "s", ":"),
        ("n_pct", "variability", SERIES_2, "v", "--"),
    ):
        found = [(d, measured.get(f"sphere_{d}mm_{metric}")) for d in DIAMETERS_MM]
        points = [(d, one.value) for d, one in found if one is not None and one.value is not None]
        if not points:
            continue
        x, y = zip(*points, strict=True)
        axes.plot(x, y, color=color, linewidth=1.0, linestyle=dashes, marker=marker, markersize=3.6)
        labels.append((float(y[-1]), label, color))
    _right_labels(axes, labels, least_gap=9.0)
    cold = ", cold contrast (dotted)" if any(label == "cold" for _, label, _ in labels) else ""
    return _written(
        figure,
        f"Hot contrast recovery{cold} and background variability against inner sphere diameter, axis 0 to 120 %.",
        f"NEMA hot contrast recovery (solid){cold} and background variability (dashed) by sphere. "
        "No edition sets a limit.",
    )


def _odd_sphere(volume: PetVolume, odd: OddSphere, window: _Window) -> FigureSvg:
    """Draw the slice through a sphere, and its voxels from back to front against what its siblings foretell."""
    figure = _figure(174, 66)
    width_mm = ODD_WIDTH_MM
    plane = _axial_plane(odd.place_lps_mm, np.array([0.0, 0.0, 1.0]))
    axes = _axes(figure, 0, 9.5, 56, 56)
    _gray(axes, *_sample(volume, plane, width_mm, width_mm), window)
    axes.set_xlim(-width_mm / 2, width_mm / 2)
    axes.set_ylim(-width_mm / 2, width_mm / 2)
    _frame(axes, ("R", "L", "A"), bar_mm=20.0)
    radius = odd.diameter_mm / 2
    axes.add_patch(_circle((0.0, 0.0), radius, SERIES_2))
    _scale(figure, window, 56.0)
    is_air, up = odd.cause != "misfill", 1.0 if odd.upwards == "anterior" else -1.0
    depth = np.linspace(0.0, 2 * radius, 1001)
    level = radius - float(np.interp(odd.bubble_pct / 100, depth**2 * (3 * radius - depth) / (4 * radius**3), depth))
    if is_air:
        half = float(np.sqrt(max(radius**2 - level**2, 0.0)))
        axes.plot([-half, half], [up * level, up * level], color=SERIES_2, linewidth=0.8, dashes=(3, 1.5))
    chart = _axes(figure, 70, 9.5, 82, 54)
    top = 1.3 * odd.filling * window.per_unit
    _chart(
        chart, (-width_mm / 2, width_mm / 2), (0.0, top), "from the sphere's middle towards the front, mm", window.label
    )
    chart.grid(axis="y", color=GRID, linewidth=LINE_PT)
    at = np.linspace(-width_mm / 2, width_mm / 2, 201)
    foretold = odd.background + (odd.filling - odd.background) * blurred_sphere(np.abs(at), radius, odd.sigma_mm)
    chart.plot(at, foretold * window.per_unit, color=INK_2, linewidth=1.0, dashes=(4, 2))
    for edge in (-radius, radius):
        chart.axvline(edge, color=INK_3, linewidth=LINE_PT)
    if is_air:
        chart.axvspan(*sorted((up * level, up * radius)), color=BAND, linewidth=0)
    z, middle, x = np.rint(volume.to_index_zyx(odd.place_lps_mm)).astype(int)
    reach = int(width_mm / 2 / volume.spacing_zyx_mm[1])
    rows = np.arange(max(middle - reach, 0), min(middle + reach + 1, volume.image.shape[1]))
    places = volume.to_lps_mm(np.stack([np.full(rows.size, z), rows, np.full(rows.size, x)], axis=1))
    front = odd.place_lps_mm[1] - places[:, 1]
    seen = np.clip(volume.image[z, rows, x] * window.per_unit, 0.0, top)
    chart.plot(front, seen, color=SERIES_2, linewidth=1.0, marker="o", markersize=2.6)
    label_at = float(seen[np.argmin(np.abs(front))])
    _right_labels(
        chart,
        [(float(foretold.max() * window.per_unit), "as the others\nforetell", INK_2), (label_at, "voxels", SERIES_2)],
        top / 8,
    )
    air = f"; a cold cap of {odd.bubble_pct:.0f} % of its volume fits at the {odd.upwards} side" if is_air else ""
    return _written(
        figure,
        f"Axial plane through the {odd.diameter_mm} mm sphere, {window.words}, and its voxels from back to front with "
        f"the profile that the other five spheres foretell; it lacks {odd.loss_pct:.0f} % of their filling{air}.",
        f"The {odd.diameter_mm} mm sphere: voxels (orange) and what its siblings foretell (dashed). "
        + ("Shaded: where the air that fits best would be." if is_air else "Low all through is a thin filling."),
    )


def _background_profile(profile: Profile) -> FigureSvg:
    figure = _figure(83, 60)
    axes = _axes(figure, 11.5, 9.5, 56, 48)
    _chart(
        axes,
        (-150.0, 150.0),
        (-PROFILE_AXIS_PCT, PROFILE_AXIS_PCT),
        "distance from the sphere plane, mm",
        "deviation, %",
    )
    axes.set_xticks(np.arange(-150.0, 151.0, 50.0))
    axes.set_yticks(np.arange(-15.0, 15.1, 5.0))
    axes.grid(axis="y", color=GRID, linewidth=LINE_PT)
    axes.axhline(0.0, color=INK_3, linewidth=LINE_PT)
    height, slope = profile.height_mm, profile.slope_pct_per_cm
    over = np.abs(profile.pct) > PROFILE_AXIS_PCT
    edge = PROFILE_AXIS_PCT - 0.6
    axes.plot(height[~over], profile.pct[~over], color=SERIES_1, marker="o", markersize=2.2, linestyle="none")
    for beyond, marker in ((over & (profile.pct > 0), "^"), (over & (profile.pct < 0), "v")):
        axes.plot(height[beyond], np.sign(profile.pct[beyond]) * edge, marker, color=SERIES_1, markersize=3.2)
    ends = np.array([height.min(), height.max()])
    labels = []
    for pct_per_cm, color, dashes, words in (
        (slope, SERIES_1, (1, 0), f"{_signed(slope, 1)} %/cm"),
        (float(np.sign(slope)), INK_2, (4, 2), "1 %/cm"),
    ):
        line = pct_per_cm * (ends - height.mean()) / 10.0
        axes.plot(ends, np.clip(line, -PROFILE_AXIS_PCT, PROFILE_AXIS_PCT), color=color, linewidth=1.0, dashes=dashes)
        labels.append((float(line[1]), words, color))
    _right_labels(axes, labels, least_gap=3.0)
    return _written(
        figure,
        "Mean of twelve columns of background in each slice against its distance from the sphere plane, deviation from "
        f"their mean, axis −15 to +15 %; the straight line rises by {_signed(slope, 2)} % per cm towards the head.",
        "Background along the axis (dots) with its straight line; dashed: the lab's rule. A drift is the "
        "normalisation's, or the phantom was not mixed.",
    )


def _lung_profile(result: NemaIqResult) -> FigureSvg:
    z, residual = np.asarray(result.lung_profile_z_mm), np.asarray(result.lung_profile_pct)
    figure = _figure(83, 60)
    axes = _axes(figure, 10.5, 9.5, 69, 48)
    _chart(axes, (-100.0, 100.0), (0.0, 60.0), "distance from the sphere plane along the axis, mm", "% of background")
    axes.set_xticks(np.arange(-100.0, 101.0, 50.0))
    axes.grid(axis="y", color=GRID, linewidth=LINE_PT)
    if z.size:
        axes.plot(z, np.minimum(residual, 60.0), color=SERIES_1, linewidth=1.0, marker="o", markersize=2.2)
        beyond = residual > 60.0
        axes.plot(z[beyond], np.full(int(beyond.sum()), 58.5), "^", color=SERIES_1, markersize=3.6)
    return _written(
        figure,
        "Residual activity in the lung insert, slice by slice, in percent of background, axis 0 to 60 %.",
        "Lung insert, slice by slice: it holds no activity, so what is left is scatter and correction error.",
    )


def _post_filter(
    curves: harmonise.FilterCurves, advice: harmonise.FilterAdvice | None, standard: standards.Standard | None
) -> FigureSvg:
    """Draw every sphere's recovery against the filter, a row a metric, and the noise below."""
    limits = harmonise.recoveries_limited(standard) if standard is not None else {}
    asked = dict.fromkeys(name.partition("mm_")[2] for name in limits) or {"rc_a50": None, "rc_max": None}
    rows = [what for what in asked if any(f"sphere_{d}mm_{what}" in curves.recovery for d in DIAMETERS_MM)]
    high, gap, foot = 25.0, 4.0, 26.0
    figure = _figure(174, 6.0 + len(rows) * (high + gap) + foot)
    edges = [edge for edge in (advice.fwhm_mm, advice.widest_mm) if edge is not None] if advice is not None else []
    shown, step = curves.fwhm_mm[::6], harmonise.WIDEST_MM + 2.0  # one axes a row, a block of it a sphere
    blocks = {d: step * k for k, d in enumerate(reversed(DIAMETERS_MM))}
    for row, what in enumerate(rows):
        top = 1.8 if what.endswith("max") else 1.4
        axes = _axes(figure, 11.5, foot + (len(rows) - 1 - row) * (high + gap), 160, high)
        words = what.removeprefix("rc_").replace("_", " ").replace("a50", "A50").replace("rc", "RC")
        _chart(axes, (0.0, 6 * step - 2.0), (0.0, top), "", f"{words}, measured / true")
        axes.set_xticks([])
        if row == len(rows) - 1:
            axes.set_xticks(
                [start + end for start in blocks.values() for end in (0.0, 6.0, 12.0)], ["0", "6", "12"] * 6
            )
        axes.set_yticks(np.arange(0.0, top + 0.01, 0.4))
        axes.grid(axis="y", color=GRID, linewidth=LINE_PT)
        bands, marks, lines = [], [], []
        for d, start in blocks.items():
            name = f"sphere_{d}mm_{what}"
            ends, limit = (start, start + harmonise.WIDEST_MM), limits.get(name)
            if limit is not None and limit.low is not None and limit.high is not None:
                bands += [(ends[0], limit.low, limit.high), (ends[1], limit.low, limit.high)]
            bands.append((ends[1], np.nan, np.nan))
            marks += [(start + edge, height) for edge in edges for height in (0.0, top, np.nan)]
            if name in curves.recovery:
                lines += list(zip(start + shown, np.minimum(curves.recovery[name][::6], top), strict=True))
            lines.append((ends[1], np.nan))
            if row == 0:
                axes.text(start + 6.0, top * 1.04, f"{d} mm", ha="center", va="bottom")
        x, low, upper = zip(*bands, strict=True)
        axes.fill_between(x, low, upper, color=BAND, linewidth=0)
        for side in (low, upper):
            axes.plot(x, side, color=BAND_EDGE, linewidth=LINE_PT)
        if marks:
            axes.plot(*zip(*marks, strict=True), color=SERIES_2, linewidth=0.8, dashes=(4, 2))
        axes.plot(*zip(*lines, strict=True), color=SERIES_1, linewidth=1.0)
    axes = _axes(figure, 11.5, 9.5, 160, foot - 15.0)
    _chart(axes, (0.0, harmonise.WIDEST_MM), (0.0, 20.0), "added post-filter, FWHM, mm", "noise, %")
    axes.set_xticks(np.arange(0.0, harmonise.WIDEST_MM + 0.1, 2.0))
    axes.set_yticks([0, 10, 20])
    axes.grid(axis="y", color=GRID, linewidth=LINE_PT)
    noise_limit = _high(standard, harmonise.COV)
    if noise_limit is not None:
        axes.axhline(noise_limit, color=INK_2, linewidth=0.8, dashes=(4, 2))
    for edge in edges:
        axes.axvline(edge, color=SERIES_2, linewidth=0.8, dashes=(4, 2))
    axes.plot(shown, np.minimum(curves.cov_pct[::6], 20.0), color=SERIES_1, linewidth=1.0)
    said = harmonise.sentence(advice) if advice is not None else "No edition is named to look for a filter."
    return _written(
        figure,
        f"Recovery of the six spheres behind an added Gaussian filter of 0 to 12 mm, a row for each of "
        f"{len(rows)} measures, and below the background noise, axis 0 to 20 %. {said}",
        f"What a post-filter would do. {said}"
        + (f" {todo}" if advice is not None and (todo := harmonise.next_step(advice)) else "")
        + (f" Blue: what {_standard_name(standard)} accepts" if limits and standard is not None else "")
        + ("; orange: the narrowest and the widest filter that keep all inside." if edges else "."),
    )


def _slice_profile(result: CylinderResult, standard: standards.Standard | None) -> FigureSvg:
    z = np.asarray(result.axis_position_mm, dtype=np.float64)
    means = np.asarray(result.slice_mean, dtype=np.float64)
    used = np.asarray(result.slice_used, dtype=bool)
    reference = float(np.nanmean(means[used])) if used.any() else float("nan")
    deviation = 100.0 * (means / reference - 1.0)
    figure = _figure(174, 50)
    axes = _axes(figure, 11.5, 9.5, 145, 38)
    _chart(axes, (-160.0, 160.0), (-PROFILE_AXIS_PCT, PROFILE_AXIS_PCT), "z along the axis, mm", "deviation, %")
    axes.set_xticks(np.arange(-150.0, 151.0, 50.0))
    axes.set_yticks(np.arange(-15.0, 15.1, 5.0))
    axes.grid(axis="y", color=GRID, linewidth=LINE_PT)
    axes.axhline(0.0, color=INK_3, linewidth=LINE_PT)
    limit = _high(standard, "cylinder_slice_deviation_max_pct")
    if limit is not None:
        for edge in (-limit, limit):
            axes.axhline(edge, color=INK_2, linewidth=0.8, dashes=(4, 2))
        _right_labels(axes, [(limit, f"+{limit:g} % limit", INK_2), (-limit, f"−{limit:g} % limit", INK_2)], 3.0)
    inside = used & (np.abs(deviation) <= PROFILE_AXIS_PCT)
    over = used & (np.abs(deviation) > PROFILE_AXIS_PCT)
    axes.plot(z[used], np.clip(deviation[used], -20, 20), color=SERIES_1, linewidth=1.0)
    failed = np.abs(deviation) > limit if limit is not None else np.zeros_like(used)
    for chosen, marker, color in (
        (inside & ~failed, "o", SERIES_1),
        (inside & failed, *MARKS[Outcome.FAIL]),
        (over & (deviation > 0), "^", MARKS[Outcome.FAIL][1]),
        (over & (deviation < 0), "v", MARKS[Outcome.FAIL][1]),
    ):
        shown = np.clip(deviation[chosen], -PROFILE_AXIS_PCT + 0.6, PROFILE_AXIS_PCT - 0.6)
        axes.plot(z[chosen], shown, marker=marker, color=color, markersize=2.6, linestyle="none")
    rest = ~used & (np.abs(deviation) <= PROFILE_AXIS_PCT)
    axes.plot(
        z[rest], deviation[rest], marker="o", color=INK_3, markersize=2.2, markerfacecolor="none", linestyle="none"
    )
    joins = _evidence(result, "PHA-BED-JOIN").get("heights_mm", [])
    for at in joins:
        axes.axvline(at, color=SERIES_2, linewidth=0.8, dashes=(3, 2))
        axes.text(at, PROFILE_AXIS_PCT - 0.5, " step", color=INK, fontsize=TEXT_PT, ha="left", va="top")
    places = ", ".join(_signed(at, 0) for at in joins)
    worst = float(np.nanmax(np.abs(deviation[used]))) if used.any() else float("nan")
    return _written(
        figure,
        f"Slice mean against position along the axis, deviation from the mean of the used slices, axis −15 to +15 %; "
        f"{int(used.sum())} slices used, the largest deviation is {worst:.1f} %."
        + (f" Steps are marked at {places} mm." if joins else ""),
        "Slice means along the axis. Look for a saw-tooth at bed joins and a slope. Hollow: end slices, not used.",
    )


def _reading_axes(x_label: str, x: tuple[float, float]) -> tuple[Axes, Figure]:
    figure = _figure(174, 50)
    axes = _axes(figure, 11.5, 9.5, 145, 38)
    _chart(axes, x, (-READING_AXIS_PCT, READING_AXIS_PCT), x_label, "deviation, %")
    axes.set_yticks(np.arange(-10.0, 10.1, 5.0))
    axes.grid(axis="y", color=GRID, linewidth=LINE_PT)
    axes.axhline(0.0, color=INK_3, linewidth=LINE_PT)
    return axes, figure


def _draw_readings(
    axes: Axes, x: Sequence[float], readings: Sequence[Reading], standard: standards.Standard | None, name: str
) -> float:
    """Draw readings with their limit; one beyond the axis becomes an arrow. Return the farthest, per cent."""
    deviation = np.array([one.deviation_pct for one in readings])
    limit = _high(standard, name)
    if limit is not None:
        for edge in (-limit, limit):
            axes.axhline(edge, color=INK_2, linewidth=0.8, dashes=(4, 2))
        _right_labels(axes, [(limit, f"+{limit:g} % limit", INK_2), (-limit, f"−{limit:g} % limit", INK_2)], 3.0)
    over = np.abs(deviation) > READING_AXIS_PCT
    failed = np.abs(deviation) > limit if limit is not None else np.zeros_like(over)
    places = np.asarray(x, dtype=np.float64)
    axes.plot(places, np.clip(deviation, -READING_AXIS_PCT, READING_AXIS_PCT), color=SERIES_1, linewidth=0.8)
    for chosen, marker, color in (
        (~over & ~failed, "o", SERIES_1),
        (~over & failed, *MARKS[Outcome.FAIL]),
        (over & (deviation > 0), "^", MARKS[Outcome.FAIL][1]),
        (over & (deviation < 0), "v", MARKS[Outcome.FAIL][1]),
    ):
        shown = np.clip(deviation[chosen], -READING_AXIS_PCT + 0.4, READING_AXIS_PCT - 0.4)
        axes.plot(places[chosen], shown, marker=marker, color=color, markersize=3.0, linestyle="none")
        for at, height, value in zip(places[chosen & over], shown[over[chosen]], deviation[chosen & over], strict=True):
            axes.annotate(_signed(float(value), 0), (at, height), (4, 0), textcoords="offset points", va="center")
    return float(deviation[int(np.argmax(np.abs(deviation)))])


def _acr_profile(result: AcrResult) -> FigureSvg:
    below = np.abs(np.asarray(result.slices.position_mm, dtype=np.float64)) / 10
    below *= np.where(result.slices.position_mm > 0, -1.0, 1.0)
    deviation = 100.0 * (np.asarray(result.slice_mean) / result.background - 1.0)
    used = np.asarray(result.is_uniform, dtype=bool)
    figure = _figure(174, 50)
    axes = _axes(figure, 11.5, 9.5, 140, 38)
    _chart(axes, (-3.0, 18.0), (-PROFILE_AXIS_PCT, PROFILE_AXIS_PCT), "distance from the faceplate, cm", "%")
    axes.set_xticks(np.arange(0.0, 18.1, 2.0))
    axes.set_yticks(np.arange(-15.0, 15.1, 5.0))
    axes.grid(axis="y", color=GRID, linewidth=LINE_PT)
    axes.axhline(0.0, color=INK_3, linewidth=LINE_PT)
    rest = ~used & (np.abs(deviation) <= PROFILE_AXIS_PCT)
    axes.plot(below[rest], deviation[rest], "o", color=INK_3, markersize=2.2, markerfacecolor="none")
    limit = PROFILE_AXIS_PCT - 0.6
    tiles = np.asarray(result.slice_nu_pct, dtype=np.float64)
    mean_at, tile_at = np.clip(deviation[used], -limit, limit), np.clip(tiles[used], -limit, limit)
    axes.plot(below[used], mean_at, "-o", color=SERIES_1, linewidth=1.0, markersize=3.0)
    axes.plot(below[used], tile_at, "--v", color=SERIES_2, linewidth=1.0, markersize=3.0)
    _right_labels(axes, [(float(mean_at[-1]), "slice mean", SERIES_1), (float(tile_at[-1]), "worst tile", SERIES_2)], 3)
    return _written(
        figure,
        f"Mean of each slice of 1 cm and its tile farthest from the slice's mean, deviation in percent, axis −15 to "
        f"+15 %; {int(used.sum())} slices of the uniform section, the largest slice deviation is "
        f"{float(np.abs(deviation[used]).max()):.1f} %, the worst tile {float(tiles[used].max()):.1f} % off.",
        "Uniform section, slice by slice: mean against the section's (blue), worst tile of 10 mm against its slice "
        "(orange). Hollow: other sections, with cylinders or rods in them.",
    )


def _uniformity_map(result: CylinderResult) -> FigureSvg:
    tiles = np.asarray(result.tile_deviation_pct, dtype=np.float64)
    rows, columns = tiles.shape
    size = float(result.tile_size_mm)
    figure = _figure(83, 70)
    axes = _axes(figure, 1.0, 3.0, 64.0, 64.0)
    limit = UNIFORMITY_AXIS_PCT
    # Each tile is drawn as a block of pixels: viewers smooth a picture of 18 × 18 pixels into a blur.
    blocks = np.kron(np.ma.filled(np.ma.masked_invalid(tiles), np.nan), np.ones((8, 8)))
    extent = (-columns * size / 2, columns * size / 2, -rows * size / 2, rows * size / 2)
    axes.imshow(blocks, cmap=DEVIATION, vmin=-limit, vmax=limit, extent=extent, interpolation="none", aspect="auto")
    axes.set_xlim(-105, 105)
    axes.set_ylim(-105, 105)
    axes.set_xticks([])
    axes.set_yticks([])
    for spine in axes.spines.values():
        spine.set_visible(False)
    axes.add_patch(_circle((0.0, 0.0), result.pose.radius_mm, INK_3, dashed=True))
    failing = np.argwhere(np.abs(np.nan_to_num(tiles)) > limit)
    for row, column in failing:
        x, y = extent[0] + (column + 0.5) * size, extent[3] - (row + 0.5) * size
        axes.text(x, y, _signed(tiles[row, column], 0), ha="center", va="center", fontsize=5.0, color=INK)
    marked = _mark_faults(axes, result)
    axes.plot([-100, -50], [-102, -102], color=INK, linewidth=1.5, solid_capstyle="butt")
    axes.text(-46, -102, "50 mm", va="center")
    bar = _axes(figure, 68.5, 8.0, 2.6, 54.0)
    bar.imshow(
        np.repeat(np.linspace(1, -1, 65)[:, None], 2, axis=1) * limit,
        cmap=DEVIATION,
        extent=(0, 1, -limit, limit),
        aspect="auto",
        interpolation="none",
    )
    bar.set_xticks([])
    bar.yaxis.tick_right()
    bar.set_yticks([-10, -5, 0, 5, 10], ["−10", "−5", "0", "+5", "+10"])
    bar.tick_params(length=2, pad=1.5)
    bar.set_title("%", fontsize=TEXT_PT, color=INK, pad=3)
    for spine in bar.spines.values():
        spine.set_color(INK_3)
        spine.set_linewidth(0.4)
    return _written(
        figure,
        f"Map of {int(np.isfinite(tiles).sum())} tiles of {size:g} mm in the central slice, deviation from their "
        f"mean, blue low, orange high, −{limit:g} to +{limit:g} %; {len(failing)} tiles are beyond it and numbered."
        + marked,
        f"Tiles of {size:g} mm in the central slice, % of their mean. Look for rings, wedges and one-sided shades.",
    )


def _mark_faults(axes: Axes, result: CylinderResult) -> str:
    """Draw where a wedge and a ring were found, round the scanner's axis; return that in words."""
    aside = np.array([result.scanner_offset_mm[0], -result.scanner_offset_mm[1]])  # anterior is up
    words = ""
    wedge, ring = _evidence(result, "PHA-WEDGE"), _evidence(result, "PHA-RING")
    if wedge:
        middle, half = float(wedge["at_deg"]), float(wedge["width_deg"]) / 2
        angles = np.radians(-np.linspace(middle - half, middle + half, 31))
        reach = result.roi_radius_mm - 2.0
        arc = aside + reach * np.stack([np.cos(angles), np.sin(angles)], axis=1)
        outline = np.vstack([aside, arc, aside])
        axes.plot(outline[:, 0], outline[:, 1], color=INK, linewidth=1.0, dashes=(3, 2))
        at = aside + (reach + 9.0) * np.array([np.cos(np.radians(-middle)), np.sin(np.radians(-middle))])
        left, up = np.clip(at, -92.0, 92.0)
        axes.text(float(left), float(up), "wedge", ha="center", va="center", fontsize=TEXT_PT, color=INK)
        words += f" A wedge is outlined, its middle {middle:.0f}° from the patient's left towards the back."
    if ring:
        radius = float(ring["radius_mm"])
        for edge in (radius - float(ring["width_mm"]) / 2, radius + float(ring["width_mm"]) / 2):
            if edge > 0:
                axes.add_patch(_circle((float(aside[0]), float(aside[1])), edge, INK, dashed=True))
        axes.text(
            float(aside[0]), float(aside[1]) + radius, "ring", ha="center", va="center", fontsize=TEXT_PT, color=INK
        )
        words += f" A ring of {radius:.0f} mm radius is outlined."
    return words


def _evidence(result: CylinderResult, code: str) -> Mapping[str, Any]:
    """Return the evidence of a finding; empty where it was not made."""
    return next((one.evidence for one in result.findings if one.id == code), {})


def _edge_profile(result: CylinderResult) -> FigureSvg:
    edge = result.edge
    away = np.asarray(edge.profile_r_mm, dtype=np.float64) - edge.radius_mm
    figure = _figure(83, 60)
    axes = _axes(figure, 10.5, 9.5, 68, 48)
    _chart(axes, (-25.0, 25.0), (-0.1, 1.3), "distance from the wall, mm", "value / level inside")
    axes.set_xticks(np.arange(-20.0, 21.0, 10.0))
    axes.set_yticks(np.arange(0.0, 1.21, 0.2))
    axes.grid(axis="y", color=GRID, linewidth=LINE_PT)
    axes.axvline(0.0, color=INK_3, linewidth=LINE_PT)
    shown = np.clip(np.asarray(edge.profile_ratio, dtype=np.float64), -0.1, 1.3)
    axes.plot(away, shown, marker="o", color=SERIES_1, markersize=1.4, linestyle="none")
    width = "the fit did not settle"
    if edge.fwhm_mm is not None:
        axes.plot(away, np.clip(edge.fitted_ratio, -0.1, 1.3), color=SERIES_2, linewidth=1.0)
        width = f"FWHM {edge.fwhm_mm:.2f} mm"
        axes.text(24.0, 1.2, width, ha="right", va="center", color=INK)
    return _written(
        figure,
        f"Mean value against the distance from the cylinder's wall, over the level inside, axis −25 to 25 mm, with the "
        f"blurred edge that fits it best: {width}.",
        "Edge of the cylinder across its own axis: dots measured, line the fitted blur. Look for an overshoot.",
    )


def _radial_profile(result: CylinderResult) -> FigureSvg:
    radius, ratio = np.asarray(result.radial_r_mm, dtype=float), np.asarray(result.radial_ratio, dtype=float)
    figure = _figure(83, 60)
    axes = _axes(figure, 10.5, 9.5, 68, 48)
    _chart(axes, (0.0, 100.0), (0.8, 1.2), "radius, mm", "value / mean")
    axes.set_xticks(np.arange(0.0, 101.0, 20.0))
    axes.set_yticks(np.arange(0.8, 1.21, 0.1))
    axes.grid(axis="y", color=GRID, linewidth=LINE_PT)
    axes.axhline(1.0, color=INK_3, linewidth=LINE_PT)
    finite = np.isfinite(ratio)
    axes.plot(
        radius[finite], np.clip(ratio[finite], 0.8, 1.2), color=SERIES_1, linewidth=1.0, marker="o", markersize=2.6
    )
    return _written(
        figure,
        "Mean value in rings against their radius, divided by the mean of the region, axis 0.8 to 1.2.",
        "Rings from the axis outwards. A low middle is cupping: scatter or attenuation correction is off.",
    )


def _bias(bias: Measurement) -> FigureSvg:
    value = bias.value or 0.0
    figure = _figure(174, 22)
    axes = _axes(figure, 3.0, 9.5, 150, 10.5)
    _chart(axes, (-15.0, 15.0), (0.0, 1.0), "measured against the activity sheet, %", "")
    axes.spines["left"].set_visible(False)
    axes.set_yticks([])
    axes.set_xticks(np.arange(-15.0, 15.1, 5.0), ["−15", "−10", "−5", "0", "+5", "+10", "+15"])
    if bias.limit_low is not None and bias.limit_high is not None:
        axes.axvspan(bias.limit_low, bias.limit_high, color=BAND, linewidth=0)
        for edge in (bias.limit_low, bias.limit_high):
            axes.axvline(edge, color=BAND_EDGE, linewidth=LINE_PT)
    axes.axvline(0.0, color=INK_3, linewidth=LINE_PT)
    marker, color = MARKS[bias.verdict]
    if abs(value) > 15.0:
        marker = ">" if value > 0 else "<"
    elif bias.uncertainty is not None:
        axes.errorbar(
            [value], [0.5], xerr=[2 * bias.uncertainty], color=color, linewidth=0.8, capsize=2.0, capthick=0.8
        )
    axes.plot([np.clip(value, -14.7, 14.7)], [0.5], marker=marker, color=color, markersize=5.0, linestyle="none")
    axes.text(1.0 + 2.0 / 150, 0.5, f"{_signed(value, 1)} %", transform=axes.transAxes, va="center", color=color)
    sd = f" ± {2 * bias.uncertainty:.1f} % (2 SD)" if bias.uncertainty is not None else ", uncertainty not stated"
    return _written(
        figure,
        f"Calibration bias {_signed(value, 1)} %{sd}, on an axis of −15 to +15 %"
        + (", with the accepted band." if bias.limit_high is not None else "."),
        "Calibration bias." + (" Band: what the standard accepts." if bias.limit_high is not None else ""),
    )


# --- drawing --------------------------------------------------------------------------------------------------


def _judged(measurements: Sequence[Measurement], standard: standards.Standard | None) -> dict[str, Measurement]:
    """Return the plain numbers by name, the judged copy in place of the plain one where the standard has a limit."""
    found = {one.name: one for one in measurements if one.standard is None}
    if standard is not None:
        found |= {one.name: one for one in standards.judge(tuple(found.values()), standard)}
    return found


def _standard_name(standard: standards.Standard) -> str:
    known = re.fullmatch(r"earl(\d)_18f", standard.id)
    return f"EARL {known[1]}" if known else standard.id


def _high(standard: standards.Standard | None, name: str) -> float | None:
    limit = standard.limits.get(name) if standard is not None else None
    return limit.high if limit is not None else None


def _figure(width_mm: float, height_mm: float) -> Figure:
    return Figure(figsize=(width_mm / MM_PER_INCH, height_mm / MM_PER_INCH), facecolor="white")


def _axes(figure: Figure, left_mm: float, bottom_mm: float, width_mm: float, height_mm: float) -> Axes:
    """Place axes by millimetres from the figure's lower left corner."""
    wide, high = (float(side) * MM_PER_INCH for side in figure.get_size_inches())
    axes = figure.add_axes((left_mm / wide, bottom_mm / high, width_mm / wide, height_mm / high))
    axes.tick_params(labelsize=TEXT_PT, width=LINE_PT, length=2.5, color=INK_3, labelcolor=INK)
    return axes


def _chart(axes: Axes, x: tuple[float, float], y: tuple[float, float], x_label: str, y_label: str) -> None:
    axes.set_xlim(*x)
    axes.set_ylim(*y)
    axes.set_xlabel(x_label, fontsize=TEXT_PT, color=INK, labelpad=2)
    axes.set_ylabel(y_label, fontsize=TEXT_PT, color=INK, labelpad=2)
    axes.set_axisbelow(True)
    for side, spine in axes.spines.items():
        spine.set_visible(side in {"left", "bottom"})
        spine.set_color(INK_3)
        spine.set_linewidth(LINE_PT)


def _right_labels(axes: Axes, labels: Sequence[tuple[float, str, str]], least_gap: float) -> None:
    """Name series at the right end, each at its own height, pushed apart where they would touch."""
    low, high = axes.get_ylim()
    at = -np.inf
    for height, text, color in sorted(labels):
        at = max(min(max(height, low), high), at + least_gap)
        axes.annotate(
            text,
            xy=(1.0, at),
            xycoords=("axes fraction", "data"),
            xytext=(3, 0),
            textcoords="offset points",
            va="center",
            color=color,
            annotation_clip=False,
        )


def _circle(center: tuple[float, float], radius: float, color: str, *, dashed: bool = False) -> Circle:
    style: Any = (0, (4, 2)) if dashed else "-"
    return Circle(center, radius, fill=False, edgecolor=color, linewidth=ROI_PT, linestyle=style)


def _box(left: float, right: float, bottom: float, top: float, color: str, *, dashed: bool = False) -> Polygon:
    style: Any = (0, (4, 2)) if dashed else "-"
    corners = [(left, bottom), (right, bottom), (right, top), (left, top)]
    return Polygon(corners, closed=True, fill=False, edgecolor=color, linewidth=ROI_PT, linestyle=style)


def _short(value: float) -> str:
    """Return three figures, without a trailing zero."""
    return f"{value:.3g}" if value < 1000 else f"{value:,.0f}".replace(",", "\u202f")


def _signed(value: float, decimals: int) -> str:
    text = f"{value:+.{decimals}f}".replace("-", "−")
    return text if text.strip("+−0.") else text[1:]


def _written(figure: Figure, alt: str, caption: str) -> FigureSvg:
    """Write a figure as SVG that carries its words, has small pictures and no style."""
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    svg = buffer.getvalue()
    svg = svg[svg.index("<svg ") :]
    svg = re.sub(r"<metadata>.*?</metadata>\s*", "", svg, flags=re.DOTALL)
    svg = re.sub(r"<defs>\s*<style[^>]*>.*?</style>\s*</defs>", "", svg, count=1, flags=re.DOTALL)
    svg = svg.replace('<g id="figure_1">', '<g id="figure_1" stroke-linejoin="round" stroke-linecap="butt">', 1)
    svg = re.sub(r' style="([^"]*)"', _as_attributes, svg)
    svg = re.sub(r"data:image/png;base64,([^\"]+)", _small_png, svg)
    return FigureSvg.with_words(svg, alt, caption)


def _as_attributes(style: re.Match[str]) -> str:
    """Turn ``style="fill: none; stroke: #000"`` into presentation attributes."""
    pairs = (item.partition(":") for item in style[1].split(";") if item.strip())
    settings = {name.strip(): value.strip() for name, _, value in pairs}
    return "".join(f' {name}="{value}"' for name, value in settings.items())


def _small_png(found: re.Match[str]) -> str:
    """Re-encode an embedded RGBA picture with as few channels and colours as it has."""
    picture = Image.open(io.BytesIO(base64.b64decode(found[1])))
    rgba = np.asarray(picture.convert("RGBA"))
    grey = np.array_equal(rgba[..., 0], rgba[..., 1]) and np.array_equal(rgba[..., 1], rgba[..., 2])
    small = Image.fromarray(rgba[..., 0] if grey and bool((rgba[..., 3] == 255).all()) else rgba)
    buffer = io.BytesIO()
    small.save(buffer, format="PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()
