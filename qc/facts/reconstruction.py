"""How images were reconstructed, by the makers' own words."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

#: GE's own elements of the block GEMS_PETD_01 that a reconstruction is read from: (0009,xxB2) and following.
GE_RECONSTRUCTION = ("Iterations", "Subsets", "PostFilter", "PostFilterFWHM", "Regularize", "Beta", "ZFilter")
_COUNTS = re.compile(r"(\d+)\s*i\s*(\d+)\s*s", re.IGNORECASE)
_GAUSS = re.compile(r"GAUSS(?:IAN)?\s*(\d+(?:\.\d+)?)", re.IGNORECASE)
_AXES = re.compile(r"^(XYZ?)(?=GAUSS)")
_BETA = re.compile(r"(?:\bBETA|Β)\s*=?\s*(\d+(?:\.\d+)?)")  # the capital of β, for the words are upper case
_GE_NAME = re.compile(r"^(VP|QC)(HD|FX)(S?)\b", re.IGNORECASE)
_DEEP_LEARNING = re.compile(r"DEEP|\bDPR\b|\bDLR?\b|PRECISION|AICE", re.IGNORECASE)
_FAMILIES = (
    ("BLOB-OS", "BLOB-OS"),
    ("RAMLA", "RAMLA"),
    ("HYPER", "HYPER"),
    ("BSREM", "BSREM"),
    ("Q.CLEAR", "BSREM"),
    ("QCLEAR", "BSREM"),
    ("FBP", "FBP"),
    ("FILTERED", "FBP"),
    ("3D IR", "OSEM"),
    ("OSEM", "OSEM"),
)


@dataclass(frozen=True, kw_only=True)
class Reconstruction:
    """How the images were reconstructed, read from the maker's words; None is what they do not say.

    ``family`` is the algorithm (``OSEM``, ``BSREM``, ``RAMLA``, ``FBP``, ``HYPER`` …); ``filter_axes`` is ``XYZ`` or
    ``XY`` where the filter's name says so; ``z_filter`` is GE's own code.
    """

    family: str | None = None
    has_tof: bool | None = None
    has_psf: bool | None = None
    iterations: int | None = None
    subsets: int | None = None
    beta: float | None = None
    filter_fwhm_mm: float | None = None
    filter_axes: str | None = None
    z_filter: str | None = None
    is_deep_learning: bool = False

    @property
    def words(self) -> str:
        """The reconstruction in words, but for its filter: ``OSEM with PSF and TOF, 3 iterations, 21 subsets``."""
        extras = [word for word, has in (("PSF", self.has_psf), ("TOF", self.has_tof)) if has]
        parts = [(self.family or "unnamed") + (f" with {' and '.join(extras)}" if extras else "")]
        parts += [
            f"{value:g} {name}"
            for value, name in ((self.iterations, "iterations"), (self.subsets, "subsets"))
            if value is not None
        ]
        parts += [f"β {self.beta:g}"] if self.beta is not None else []
        parts += ["deep learning"] if self.is_deep_learning else []
        return ", ".join(parts)


def filter_words(fwhm_mm: float, axes: str | None = None) -> str:
    """Return a post-filter in words: ``4 mm filter``, ``4 mm XY filter``, ``no filter``."""
    return " ".join(filter(None, (f"{fwhm_mm:g} mm", axes, "filter"))) if fwhm_mm else "no filter"


def read_reconstruction(
    manufacturer: str, method: str, kernel: str = "", *, ge: Mapping[str, float | None] | None = None
) -> Reconstruction:
    """Read how images were reconstructed from the maker's words.

    Parameters
    ----------
    manufacturer, method, kernel : str
        Manufacturer (0008,0070), ReconstructionMethod (0054,1103), ConvolutionKernel (0018,1210).
    ge : mapping, optional
        GE's private values by the names of `GE_RECONSTRUCTION`.

    Notes
    -----
    Siemens writes ``PSF+TOF 3i21s``, where TrueX is PSF too and a name with neither has neither. GE writes ``VPFXS``:
    VP is OSEM and QC is penalised (Q.Clear), FX has TOF and HD has not, S has PSF (SharpIR); Q.Clear always has PSF.
    Philips and others leave iterations and subsets out, so these stay None. A registered method may name Q.Clear's
    penalty as words, ``QCFX β 350``; the images carry it privately.
    """
    if not method:
        return Reconstruction(filter_fwhm_mm=_filter_mm(kernel), filter_axes=_filter_axes(kernel))
    words = method.upper().replace("_", " ")
    maker = manufacturer.upper()
    private = ge or {}
    counts = _COUNTS.search(words)
    iterations, subsets = (int(counts[1]), int(counts[2])) if counts else (None, None)
    family = next((family for word, family in _FAMILIES if word in words), None)
    has_psf, has_tof = "PSF" in words or "TRUEX" in words, "TOF" in words or "-TF" in words
    written_beta = _BETA.search(words)
    filter_mm, beta, z_filter = _filter_mm(kernel), float(written_beta[1]) if written_beta else None, None
    named = _GE_NAME.match(method.strip()) if maker.startswith("GE") else None
    if named:
        is_penalised = named[1].upper() == "QC"
        family = "BSREM" if is_penalised else "OSEM"
        has_tof, has_psf = named[2].upper() == "FX", is_penalised or bool(named[3])
    if maker.startswith("GE"):
        # A registered method is words alone; the images' own counts are private.
        iterations = _whole(private.get("Iterations")) or iterations
        subsets = _whole(private.get("Subsets")) or subsets
        beta = private.get("Beta") if private.get("Regularize") else beta
        if filter_mm is None and private.get("PostFilter") is not None:
            filter_mm = private.get("PostFilterFWHM") if private["PostFilter"] else 0.0
        z_filter = f"{z:g}" if (z := private.get("ZFilter")) is not None else None
    elif maker.startswith("SIEMENS") and family is None and (counts or has_psf or has_tof):
        family = "OSEM"  # PSF+TOF and TrueX are Siemens' names of OSEM with them
    return Reconstruction(
        family=family,
        has_tof=has_tof,
        has_psf=has_psf,
        iterations=iterations,
        subsets=subsets,
        beta=beta,
        filter_fwhm_mm=filter_mm,
        filter_axes=_filter_axes(kernel),
        z_filter=z_filter,
        is_deep_learning=bool(_DEEP_LEARNING.search(words)),
    )


def _filter_axes(kernel: str) -> str | None:
    """Return along which axes the filter of a ConvolutionKernel smooths, where its name says so: ``XYZ`` or ``XY``."""
    named = _AXES.search(_joined(kernel))
    return named[1] if named else None


def _joined(kernel: str) -> str:
    return re.sub(r"[-_\s]", "", kernel.upper())


def _filter_mm(kernel: str) -> float | None:
    """Return the width of the filter that a ConvolutionKernel names, millimetres; 0 for none (``All-pass``)."""
    words = _joined(kernel)
    if words in {"ALLPASS", "NONE"}:
        return 0.0
    width = _GAUSS.search(words)
    return float(width[1]) if width else None


def _whole(value: float | None) -> int | None:
    return int(value) if value else None
