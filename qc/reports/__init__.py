"""The report of a run: one context, from which the web page and the PDF are both made.

The context holds only strings, numbers, lists and dicts, ready to be shown; neither renderer computes anything. It is
built from the offline contract's object and from what the lab knows beside it. It never holds a person's identity or
a name that a site gave a file: paths are dropped, and of the headers in group 0010 only size, weight, sex and age
are let through.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from corelab import pdf
from qc import wording
from qc.reports.blocks import figure_entry
from qc.reports.first_page import document, result
from qc.reports.meta import ChecklistLine, ReportMeta, ReviewedVerdict, SignatureBlock, SignedChoice
from qc.reports.pages import sections

if TYPE_CHECKING:
    from phantoms.figure_svg import FigureSvg

__all__ = [
    "ChecklistLine",
    "ReportMeta",
    "ReviewedVerdict",
    "SignatureBlock",
    "SignedChoice",
    "build_context",
    "render_pdf",
]

TEMPLATE = Path(__file__).parents[1] / "typst" / "report.typ"


def build_context(
    run: Mapping[str, Any],
    meta: ReportMeta,
    figures: Mapping[str, FigureSvg] | None = None,
    figure_url: Callable[[str], str] | None = None,
) -> dict[str, Any]:
    """Build the report of one run.

    Parameters
    ----------
    run : mapping
        The offline contract's object.
    meta : ReportMeta
    figures : mapping of str to FigureSvg or None
        The run's pictures; their words and sizes go into the context, their bytes do not.
    figure_url : callable or None
        Turns a picture's key into the address the page loads it from; the PDF needs none.

    Returns
    -------
    dict
        ``document`` (title, header, footer), ``result`` (the first page) and ``sections``, each a list of blocks.
    """
    pictures = {key: figure_entry(key, figure, figure_url) for key, figure in (figures or {}).items()}
    is_phantom = run["method"] not in {"patient", "suv"}  # a submission names a standard whatever it turns out to be
    deciding = wording.deciding_standards(run, meta.standards) if is_phantom else ()
    return {
        "document": document(run, meta, deciding),
        "result": result(run, meta, deciding, pictures),
        "sections": [section for section in sections(run, meta, deciding, pictures) if section["blocks"]],
    }


def render_pdf(context: Mapping[str, Any], figures: Mapping[str, FigureSvg]) -> bytes:
    """Typeset a context that was built with the same figures.

    Raises
    ------
    Misconfigured
        A font package or the template is not as it was shipped.
    """
    files = {f"{key}.svg": figure.svg for key, figure in figures.items()}
    made_at = datetime.fromisoformat(context["document"]["made_at"])
    return pdf.render(TEMPLATE, dict(context), files, made_at)
