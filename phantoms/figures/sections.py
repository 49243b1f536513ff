"""Pictures of an image at one scale: planes through a volume, windows of grey, projections, frames and bars."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.figure import Figure

from phantoms.figure_svg import FigureSvg
from phantoms.figures.canvas import INK, INK_2, INK_3, LINE_PT, new_axes, new_figure, short, written

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from numpy.typing import NDArray

    from phantoms.volume import PetVolume

GREY = "gray_r"
SLICE_WIDTH_MM, SLICE_PRINT_MM = 340.0, 83.0  # every phantom picture shows the same width at the same scale
SLICE_PRINT_HEIGHT_MM, BAR_MM = 74.0, 9.0
MIP_WIDTH_MM, MIP_PRINT_MM = 500.0, 60.0
MIP_HEIGHTS_MM = (500.0, 750.0, 1000.0, 1175.0)  # one scale always; the lowest frame that holds the scan


@dataclass(frozen=True)
class Window:
    """The grey scale, ``lower`` to ``upper`` in display units; ``per_unit`` turns voxel values into them."""

    label: str
    per_unit: float
    upper: float
    words: str
    lower: float = 0.0

    @classmethod
    def of_hu(cls, lower_hu: float, upper_hu: float) -> Window:
        """Make a window of a CT; as in every picture, what is more is darker."""
        words = f"{short(lower_hu)} to {short(upper_hu)} HU"
        return cls(label="HU", per_unit=1.0, upper=upper_hu, words=words, lower=lower_hu)

    @classmethod
    def of(cls, unit: str, upper: float, why: str) -> Window:
        """Make a window from 0 to ``upper`` voxel units; ``why`` says where the upper end comes from."""
        label, per_unit = {"Bq/mL": ("kBq/mL", 1e-3), "g/mL": ("SUV, g/mL", 1.0)}.get(unit, ("raw value", 1.0))
        scaled = upper * per_unit
        return cls(label=label, per_unit=per_unit, upper=scaled, words=f"0 to {short(scaled)} {label} ({why})")

    @classmethod
    def without_the_brightest(cls, volume: PetVolume) -> Window:
        """Return 0 to the value that one voxel in a thousand exceeds; to the maximum where that is nothing."""
        ends = (float(np.quantile(volume.image, 0.999)), float(volume.image.max()), 1.0)
        upper = next(end for end in ends if end > 0)
        return cls.of(volume.unit, upper, "up to the value that one voxel in a thousand exceeds")

    @classmethod
    def for_phantom(cls, volume: PetVolume, true_bqml: float | None, read: float | None, what: str) -> Window:
        """Return 0 to 1.2 times the true concentration, else 0 to 1.1 times the maximum, and say which.

        Where the image reads more than all of that window, a picture of nothing but black would hide what is in it: the
        window then is 1.2 times what it reads.
        """
        if true_bqml is not None and volume.unit == "Bq/mL":
            if read is not None and read > 1.2 * true_bqml:
                return cls.of(volume.unit, 1.2 * read, f"1.2 × what the {what} reads, which is far above the sheet")
            return cls.of(volume.unit, 1.2 * true_bqml, f"1.2 × the true {what} concentration")
        top = float(volume.image.max())
        return cls.of(volume.unit, 1.1 * top if top > 0 else 1.0, "1.1 × the maximum; the true value is not known")


@dataclass(frozen=True)
class Plane:
    """A flat cut: ``u`` runs right and ``v`` up in the picture, unit vectors in patient space (LPS)."""

    center_lps_mm: NDArray[np.float64]
    u: NDArray[np.float64]
    v: NDArray[np.float64]

    def project_mm(self, lps_mm: NDArray[np.float64]) -> tuple[float, float]:
        """Return where a point falls in the picture, millimetres from the plane's centre."""
        offset = np.asarray(lps_mm, dtype=np.float64) - self.center_lps_mm
        return float(offset @ self.u), float(offset @ self.v)


def axial_plane(center_lps_mm: NDArray[np.float64], axis: NDArray[np.float64]) -> Plane:
    """Return the plane across the phantom's axis, seen from the feet: patient's right at the left, front up."""
    axis = towards(np.asarray(axis, dtype=np.float64), np.array([0.0, 0.0, 1.0]))
    u = np.array([1.0, 0.0, 0.0])
    u = u - (u @ axis) * axis
    u /= np.linalg.norm(u)
    return Plane(np.asarray(center_lps_mm, dtype=np.float64), u, np.cross(u, axis))


def coronal_plane(center_lps_mm: NDArray[np.float64], axis: NDArray[np.float64]) -> Plane:
    """Return the plane along the phantom's axis, seen from the front: patient's right at the left, head up."""
    axial = axial_plane(center_lps_mm, axis)
    up = towards(np.asarray(axis, dtype=np.float64), np.array([0.0, 0.0, 1.0]))
    return Plane(axial.center_lps_mm, axial.u, up)


def towards(axis: NDArray[np.float64], direction: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the axis as a unit vector that points the direction's way."""
    unit = axis / np.linalg.norm(axis)
    return unit if unit @ direction >= 0 else -unit


def sample_plane(
    volume: PetVolume, plane: Plane, width_mm: float, height_mm: float, outside: float = 0.0
) -> tuple[NDArray[np.float32], tuple[float, float, float, float]]:
    """Return the voxels that a plane passes, no value made up, and the picture's extent.

    Returns
    -------
    picture : ndarray of float32, shape (rows, columns)
        First row at the top; ``outside`` where the image does not reach.
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
    picture = np.full(inside.shape, outside, dtype=np.float32)
    z, y, x = index[inside].T
    picture[inside] = volume.image[z, y, x]
    edges = (along_u[0] - step_u / 2, along_u[-1] + step_u / 2, along_v[-1] - step_v / 2, along_v[0] + step_v / 2)
    return picture, (float(edges[0]), float(edges[1]), float(edges[2]), float(edges[3]))


@dataclass(frozen=True)
class Canonical:
    """A volume turned so that its axes run nearest to head, back and left; a tilted grid is not straightened."""

    image_zyx: NDArray[np.float32]
    spacing_zyx_mm: tuple[float, float, float]

    @classmethod
    def of(cls, volume: PetVolume) -> Canonical:
        """Turn a volume to the patient's own axes."""
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


def draw_mip(canonical: Canonical, along: int, window: Window, name: str, left: str, right: str) -> FigureSvg:
    """Project along array axis ``along`` (1 front to back, 2 side to side)."""
    picture = np.flipud(canonical.image_zyx.max(axis=along))
    tall, deep, wide = canonical.spacing_zyx_mm
    half_width, height = picture.shape[1] * (wide if along == 1 else deep) / 2, picture.shape[0] * tall
    frame_mm = next((frame for frame in MIP_HEIGHTS_MM if frame >= height), MIP_HEIGHTS_MM[-1])
    top, print_mm = frame_mm / 2, MIP_PRINT_MM * frame_mm / MIP_WIDTH_MM
    figure = new_figure(MIP_PRINT_MM, print_mm + BAR_MM)
    axes = new_axes(figure, 0, BAR_MM, MIP_PRINT_MM, print_mm)
    draw_gray(axes, picture, (-half_width, half_width, top - height, top), window)
    axes.set_xlim(-MIP_WIDTH_MM / 2, MIP_WIDTH_MM / 2)
    axes.set_ylim(-top, top)
    draw_frame(axes, (left, right), bar_mm=100.0)
    draw_scale(figure, window, MIP_PRINT_MM)
    return written(
        figure,
        f"{name} maximum intensity projection, black on white, {window.words}, 10 cm bar.",
        f"{name} projection, {window.words}. Look at coverage, motion and the injection site.",
    )


def draw_picture(volume: PetVolume, plane: Plane, window: Window, letters: tuple[str, ...]) -> tuple[Figure, Axes]:
    """Return a figure of one plane with its frame, 50 mm bar and grey scale."""
    figure = new_figure(SLICE_PRINT_MM, SLICE_PRINT_HEIGHT_MM + BAR_MM)
    axes = new_axes(figure, 0, BAR_MM, SLICE_PRINT_MM, SLICE_PRINT_HEIGHT_MM)
    height_mm = SLICE_WIDTH_MM * SLICE_PRINT_HEIGHT_MM / SLICE_PRINT_MM
    picture, extent = sample_plane(volume, plane, SLICE_WIDTH_MM, height_mm, window.lower / window.per_unit)
    draw_gray(axes, picture, extent, window)
    axes.set_xlim(-SLICE_WIDTH_MM / 2, SLICE_WIDTH_MM / 2)
    axes.set_ylim(-height_mm / 2, height_mm / 2)
    draw_frame(axes, letters, bar_mm=50.0)
    draw_scale(figure, window, SLICE_PRINT_MM)
    return figure, axes


def draw_gray(
    axes: Axes, picture: NDArray[np.float32], extent: tuple[float, float, float, float], window: Window
) -> None:
    """Draw a picture in the window's greys."""
    axes.imshow(
        picture * window.per_unit,
        cmap=GREY,
        vmin=window.lower,
        vmax=window.upper,
        extent=extent,
        interpolation="none",
        aspect="auto",
        resample=False,
    )


def draw_frame(axes: Axes, letters: tuple[str, ...], bar_mm: float) -> None:
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


def draw_scale(figure: Figure, window: Window, width_mm: float) -> None:
    """Draw the grey scale along the foot of a picture."""
    bar_mm = width_mm - 34.0 if width_mm > 70 else width_mm - 26.0
    axes = new_axes(figure, 3.0, BAR_MM - 4.0, bar_mm, 2.2)
    axes.imshow(
        np.linspace(0, 1, 64)[None, :],
        cmap=GREY,
        extent=(window.lower, window.upper, 0.0, 1.0),
        aspect="auto",
        interpolation="none",
    )
    axes.set_yticks([])
    ticks = [window.lower, (window.lower + window.upper) / 2, window.upper]
    axes.set_xticks(ticks, [short(tick) for tick in ticks])
    axes.tick_params(length=2, pad=1.5)
    for spine in axes.spines.values():
        spine.set_visible(True)
        spine.set_color(INK_3)
        spine.set_linewidth(0.4)
    axes.text(1.0 + 4.0 / bar_mm, 0.5, window.label, transform=axes.transAxes, va="center", color=INK)
