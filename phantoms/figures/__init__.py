"""Report figures: matplotlib figures drawn to size, written as SVG with the same bytes each time.

Sizes are millimetres in print. Every axis is fixed, so that two reports can be laid over each other; a value beyond
its axis becomes an arrow with the number beside it. Nothing here reads a clock, a setting or a file but the face.

The SVG has no style attribute and no style sheet: it may stand inside a page that forbids both.
"""

from phantoms.figure_svg import FigureSvg
from phantoms.figures.acr import acr_figures
from phantoms.figures.calibrator import calibrator_figures
from phantoms.figures.cylinder import cylinder_figures
from phantoms.figures.nema_iq import nema_iq_figures
from phantoms.figures.patient import patient_figures
from phantoms.figures.phantom_ct import phantom_ct_figures
from phantoms.figures.refusal import refusal_figures

__all__ = [
    "FigureSvg",
    "acr_figures",
    "calibrator_figures",
    "cylinder_figures",
    "nema_iq_figures",
    "patient_figures",
    "phantom_ct_figures",
    "refusal_figures",
]
