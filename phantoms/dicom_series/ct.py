"""The CT that came beside a PET series: chosen, and as much of it loaded as lies about one place."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from phantoms.dicom_series.header import Instance
from phantoms.dicom_series.pixels import check_pixels, read_planes
from phantoms.dicom_series.scan import Scan, Series, sha256_of
from phantoms.dicom_series.stack import affine_lps_mm, stack_order
from phantoms.dicom_series.values import text
from phantoms.errors import AnalysisRefused
from phantoms.volume import PetVolume

if TYPE_CHECKING:
    from numpy.typing import NDArray

#: What one part of a CT may take in memory; of a longer part every second, third … slice is read.
MAX_PART_BYTES = 256 * 1024**2
_LEAST_SLICES = 5  # fewer are a scout or a key image
#: Against gravity, by how somebody lies: what follows the first two letters. Source: DICOM PS3.3, C.7.3.1.1.2.
_UP_LPS = {"S": (0.0, -1.0, 0.0), "P": (0.0, 1.0, 0.0), "DR": (1.0, 0.0, 0.0), "DL": (-1.0, 0.0, 0.0)}


@dataclass(frozen=True)
class CtSeries:
    """One CT series; its slices are sorted along the normal of the image plane.

    ``is_in_frame`` says whether the CT names the PET's frame of reference (0020,0052), so that both share one place.
    """

    series_instance_uid: str
    instances: tuple[Instance, ...]
    is_in_frame: bool

    @property
    def file_digests(self) -> list[str]:
        """SHA-256 of every file, hexadecimal."""
        return [sha256_of(source) for source in {id(one.source): one.source for one in self.instances}.values()]

    @property
    def up_lps(self) -> NDArray[np.float64] | None:
        """Against gravity, shape (3,), as PatientPosition (0018,5100) has it; None where it does not say."""
        up = _UP_LPS.get(text(self.instances[0].header.get("PatientPosition"))[2:])
        return None if up is None else np.array(up)

    def load(self, near_lps_mm: NDArray[np.float64], reach_mm: float) -> PetVolume:
        """Read the slices within ``reach_mm`` of a place, in HU; never more than `MAX_PART_BYTES`.

        Raises
        ------
        AnalysisRefused
            As `Series.load`; ``CT-ELSEWHERE`` where no slice lies there, ``CT-NO-HU`` where values are not HU.
        """
        affine = affine_lps_mm(self.instances)
        if any(text(one.header.get("RescaleType")) not in {"", "HU"} for one in self.instances):
            raise AnalysisRefused("CT-NO-HU", "The values of the CT are not Hounsfield units (0028,1054).")
        step = affine[:3, 2]
        spacing_mm = float(np.linalg.norm(step))
        heights = np.arange(len(self.instances)) * spacing_mm
        away = np.abs(heights - (near_lps_mm - affine[:3, 3]) @ step / spacing_mm)
        near = [one for one, distance in zip(self.instances, away, strict=True) if distance <= reach_mm]
        if len(near) < _LEAST_SLICES:
            raise AnalysisRefused("CT-ELSEWHERE", "The CT does not show the place of the spheres.")
        part_bytes = len(near) * near[0].rows * near[0].columns * 4  # 0 where a size is missing, which is refused below
        near = near[:: max(math.ceil(part_bytes / MAX_PART_BYTES), 1)]
        check_pixels(near)
        image = np.empty((len(near), near[0].rows, near[0].columns), np.float32)
        read_planes(near, image)
        return PetVolume(image, affine_lps_mm(near), "HU")


def choose_ct(scan: Scan, series: Series) -> CtSeries | None:
    """Return the CT of a PET series: of its frame of reference before others, then the one with the most slices.

    Raises
    ------
    AnalysisRefused
        ``SERIES-ENHANCED`` where the only CT is a multi-frame object that does not describe each of its frames.
    """
    by_series: dict[str, list[Instance]] = {}
    for other in scan.others:
        for one in other.ct_slices:
            if "LOCALIZER" not in one.facts.image_type:
                by_series.setdefault(one.facts.series_instance_uid, []).append(one)
    frame = text(series.instances[0].header.get("FrameOfReferenceUID"))
    found = []
    for uid, instances in by_series.items():
        own = _without_copies(sorted(instances, key=stack_order))
        named = {text(one.header.get("FrameOfReferenceUID")) for one in own}
        if len(own) >= _LEAST_SLICES:
            found.append(CtSeries(uid, tuple(own), bool(frame) and named == {frame}))
    found.sort(key=lambda one: (not one.is_in_frame, -len(one.instances), one.series_instance_uid))
    refused = [other.ct_refused for other in scan.others if other.ct_refused is not None]
    if refused and not found:
        raise refused[0]
    return found[0] if found else None


def _without_copies(instances: Sequence[Instance]) -> list[Instance]:
    """Leave out a file that is another one again; two contents of one identity stay, and are refused when read."""
    kept: dict[tuple[str, int], Instance] = {}
    others = []
    for one in instances:
        first = kept.setdefault((one.facts.sop_instance_uid, one.frame), one)
        if first is not one and sha256_of(first.source) != sha256_of(one.source):
            others.append(one)
    return [*kept.values(), *others]
