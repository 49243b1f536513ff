"""A finished figure: SVG bytes that carry their own words and size, readable without a drawing library."""

from __future__ import annotations

import re
from dataclasses import dataclass
from xml.sax.saxutils import escape, unescape

MM_PER_PT = 25.4 / 72.0
_ROOT = re.compile(r'<svg [^>]*?width="(?P<width>[\d.]+)pt" height="(?P<height>[\d.]+)pt"[^>]*>')
_WORDS = re.compile(r"<title>(?P<alt>.*?)</title><desc>(?P<caption>.*?)</desc>", re.DOTALL)


@dataclass(frozen=True)
class FigureSvg:
    """One figure of a report.

    Attributes
    ----------
    svg : bytes
        A whole SVG document; ``alt`` and ``caption`` stand in it as its title and description.
    alt : str
        Plane, scale and what is drawn, for who cannot see it; never a diagnosis.
    caption : str
        What to look for.
    """

    svg: bytes
    alt: str
    caption: str

    @property
    def size_mm(self) -> tuple[float, float]:
        """Width and height in print, millimetres."""
        root = _ROOT.search(self.svg.decode())
        if root is None:
            msg = "the SVG has no width and height in pt"
            raise ValueError(msg)
        return float(root["width"]) * MM_PER_PT, float(root["height"]) * MM_PER_PT

    @classmethod
    def with_words(cls, svg: str, alt: str, caption: str) -> FigureSvg:
        """Write the words into an SVG text that has none yet, and mark it as one picture."""
        words = f"<title>{escape(alt)}</title><desc>{escape(caption)}</desc>"
        root = _ROOT.search(svg)
        if root is None:
            msg = "the SVG has no width and height in pt"
            raise ValueError(msg)
        opening = root[0].replace("<svg ", '<svg role="img" ', 1)
        return cls(svg=(svg[: root.start()] + opening + words + svg[root.end() :]).encode(), alt=alt, caption=caption)

    @classmethod
    def read(cls, svg: bytes) -> FigureSvg:
        """Read a stored figure back; the words come from the SVG itself.

        Raises
        ------
        ValueError
            The bytes are not a figure of this program.
        """
        words = _WORDS.search(svg.decode())
        if words is None:
            msg = "the SVG carries no title and description"
            raise ValueError(msg)
        return cls(svg=svg, alt=unescape(words["alt"]), caption=unescape(words["caption"]))
