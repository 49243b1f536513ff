"""The one reader and writer of DICOM PET series here; pydicom is the authority on the format.

Reading goes in two passes. `read_scan` reads every file's header once, up to the pixels, and sorts files into PET
series or gives the reason why a file is left out. `Series.load` then reads the pixels of one series into one
preallocated volume, after everything that the headers declare has been checked against what the files hold.
No message made here carries a patient's name or identity.

What reads headers alone, `header` and what it stands on, needs neither numpy nor pydicom until it meets an unusual
file, so that a program at a site can use it; so the names below are fetched when they are first asked for.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from phantoms.dicom_series.header import Instance, InstanceFacts, read_header
    from phantoms.dicom_series.scan import Ignored, Scan, Series, choose, digest_of, read_scan
    from phantoms.dicom_series.writer import write_series
    from phantoms.sources import Source, list_files

_HOMES = {
    **dict.fromkeys(("Instance", "InstanceFacts", "read_header"), "phantoms.dicom_series.header"),
    **dict.fromkeys(("Ignored", "Scan", "Series", "choose", "digest_of", "read_scan"), "phantoms.dicom_series.scan"),
    "write_series": "phantoms.dicom_series.writer",
    **dict.fromkeys(("Source", "list_files"), "phantoms.sources"),
}

__all__ = [
    "Ignored",
    "Instance",
    "InstanceFacts",
    "Scan",
    "Series",
    "Source",
    "choose",
    "digest_of",
    "list_files",
    "read_header",
    "read_scan",
    "write_series",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
