"""Figures of a patient scan."""

from __future__ import annotations

from typing import TYPE_CHECKING

from phantoms.figure_svg import FigureSvg
from phantoms.figures.canvas import drawing
from phantoms.figures.sections import Canonical, Window, draw_mip

if TYPE_CHECKING:
    from phantoms.volume import PetVolume

MIP_SUV = 5.0


@drawing()
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
    canonical = Canonical.of(volume)
    if suv_factor is None:
        # A bladder outshines the body a hundredfold: the window ends where one voxel in a thousand is brighter.
        window = Window.without_the_brightest(volume)
    else:
        window = Window(label="SUV, g/mL", per_unit=suv_factor, upper=MIP_SUV, words=f"SUV 0 to {MIP_SUV:g}")
    return {
        "mip_coronal": draw_mip(canonical, 1, window, "Coronal", "R", "L"),
        "mip_sagittal": draw_mip(canonical, 2, window, "Sagittal", "A", "P"),
    }
