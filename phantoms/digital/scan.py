"""A digital scan, what is true of it, and its files."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from phantoms.dicom_series import write_series

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from phantoms.volume import PetVolume


@dataclass(frozen=True)
class DigitalScan:
    """A digital scan and what is true of it.

    Attributes
    ----------
    volume : PetVolume
        The image, Bq/mL.
    attributes : mapping
        Header values by DICOM keyword; sequences are lists of such mappings.
    slice_attributes : tuple of mappings
        Values that differ by slice (acquisition time, decay factor), in the order of ``volume.image``'s first axis.
    sheet : dict or None
        The activity sheet in the form of ``sheet.json``.
    truth : dict
        What was drawn.
    """

    volume: PetVolume
    attributes: Mapping[str, Any]
    slice_attributes: tuple[Mapping[str, Any], ...]
    sheet: dict[str, Any] | None
    truth: dict[str, Any] = field(default_factory=dict)


def write_dicom(scan: DigitalScan, folder: Path, seed: int = 0) -> list[Path]:
    """Write the scan as one PET series, one file a slice; all UIDs follow from ``seed``."""
    return write_series(folder, scan.volume, scan.attributes, lambda k: scan.slice_attributes[k], seed)
