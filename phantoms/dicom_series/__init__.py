"""The one reader and writer of DICOM PET series here; pydicom is the authority on the format.

Reading goes in two passes. `read_scan` reads every file's header once, up to the pixels, and sorts files into PET
series or gives the reason why a file is left out. `Series.load` then reads the pixels of one series into one
preallocated volume, after everything that the headers declare has been checked against what the files hold.
No message made here carries a patient's name or identity.
"""

from phantoms.dicom_series.header import Instance, InstanceFacts, read_header
from phantoms.dicom_series.scan import Ignored, Scan, Series, choose, digest_of, read_scan
from phantoms.dicom_series.writer import write_series
from phantoms.sources import Source, list_files

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
