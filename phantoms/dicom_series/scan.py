"""The PET series under a path, one chosen, its pixels loaded."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from phantoms.dicom_series.elements import Elements, HeaderReader
from phantoms.dicom_series.frames import MULTI_FRAME_CT
from phantoms.dicom_series.header import (
    CT_IMAGE,
    Instance,
    InstanceFacts,
    facts_of,
    header_of,
    instances_of,
    read_elements,
    slices_of,
)
from phantoms.dicom_series.pixels import check_pixels, read_planes
from phantoms.dicom_series.stack import affine_lps_mm, stack_order
from phantoms.errors import AnalysisRefused
from phantoms.sources import Source
from phantoms.suv import SeriesHeader, SuvResult
from phantoms.volume import PetVolume

UNIT_OF_UNITS = {"BQML": "Bq/mL", "GML": "g/mL"}


@dataclass(frozen=True)
class Ignored:
    """A file that is in no series, and why: ``ING-01`` unreadable or no image, ``ING-03`` a copy, and so on."""

    path: str
    reason: str
    code: str

    @property
    def is_dicom(self) -> bool:
        """Whether it could be read as DICOM at all."""
        return self.code != "ING-01"

    def as_json(self) -> dict[str, str]:
        """Return the ``ignored[]`` object of the offline contract."""
        return {"path": self.path, "reason": self.reason, "code": self.code}


@dataclass(frozen=True)
class Series:
    """One PET series; its instances and `header.slices` are sorted along the normal of the image plane.

    An instance is a slice: a file, or a frame of a multi-frame file.
    """

    series_instance_uid: str
    instances: tuple[Instance, ...]
    header: SeriesHeader = field(repr=False)

    @property
    def slices(self) -> int:
        """Number of slices: of files, or of the frames in them."""
        return len(self.instances)

    @property
    def sources(self) -> tuple[Source, ...]:
        """The files, each once, in the order of their first slices."""
        return tuple({id(instance.source): instance.source for instance in self.instances}.values())

    @property
    def facts(self) -> InstanceFacts:
        """The facts of the first slice."""
        return self.instances[0].facts

    @property
    def study_instance_uid(self) -> str:
        """UID of the study of the first slice."""
        return self.facts.study_instance_uid

    @property
    def modality(self) -> str:
        """Modality of the first slice, ``PT``."""
        return self.facts.modality

    @property
    def manufacturer(self) -> str:
        """Manufacturer, empty where the header does not say."""
        return self.facts.manufacturer

    @property
    def model(self) -> str:
        """ManufacturerModelName, empty where the header does not say."""
        return self.facts.model

    @property
    def units(self) -> str | None:
        """Units (0054,1001), None where the header does not say."""
        return self.header.Units

    @property
    def to_bqml_factor(self) -> float | None:
        """What turns the values of `load` into Bq/mL, see `SeriesHeader.to_bqml_factor`; 1 where they are that."""
        return self.header.to_bqml_factor

    @property
    def is_attenuation_corrected(self) -> bool | None:
        """Whether CorrectedImage names ATTN; None where it is absent."""
        return self.facts.is_attenuation_corrected

    @property
    def is_volume(self) -> bool:
        """False for projections, such as a rotating MIP."""
        first = self.instances[0]
        return "REPROJECTION" not in first.series_type and (
            first.header.get("VolumeBasedCalculationTechnique", "NONE") == "NONE"
        )

    @property
    def shape_zyx(self) -> tuple[int, int, int]:
        """Planes, rows and columns as declared."""
        return self.slices, self.instances[0].rows, self.instances[0].columns

    @property
    def spacing_zyx_mm(self) -> tuple[float, float, float] | None:
        """Distance of voxel centres, millimetres; None where the slices make no even stack."""
        try:
            affine = affine_lps_mm(self.instances)
        except AnalysisRefused:
            return None
        lengths = np.linalg.norm(affine[:3, :3], axis=0)
        return float(lengths[2]), float(lengths[1]), float(lengths[0])

    def as_json(self) -> dict[str, Any]:
        """Return the ``series[]`` object of the offline contract."""
        return {
            "series_instance_uid": self.series_instance_uid,
            "manufacturer": self.manufacturer,
            "model": self.model,
            "slices": self.slices,
            "shape_zyx": list(self.shape_zyx),
            "spacing_zyx_mm": list(self.spacing_zyx_mm) if self.spacing_zyx_mm else None,
            "units": self.units,
            "is_attenuation_corrected": self.is_attenuation_corrected,
        }

    def input_digest(self) -> str:
        """Return ``sha256:…`` over the bytes of all files of the series, whatever their names and order."""
        return digest_of(map(sha256_of, self.sources))

    def load(self) -> PetVolume:
        """Read the pixels: ``image[z, y, x]`` in rescaled values, planes sorted along their normal.

        The unit is that of the headers, so counts stay counts: `to_bqml_factor` leads on, and a SUV factor multiplies
        the values as they are here. MONOCHROME1 says how to display, so it changes no value. Steps that differ by less
        than a tenth are taken as even with their mean.

        Raises
        ------
        AnalysisRefused
            ``SERIES-…`` or ``ING-10``, ``ING-13`` where the files do not make one even, complete, unaltered stack.
        """
        return self._load(None, UNIT_OF_UNITS.get(self.units, self.units) if self.units else "1")

    def load_suvbw(self, suv: SuvResult) -> PetVolume:
        """Read the pixels as SUVbw, g/mL, in the same pass; `suv` is what `suv_factor` made of `header`.

        Raises
        ------
        AnalysisRefused
            As `load`, and the refusal of the SUV.
        """
        if suv.refused is not None:
            raise suv.refused
        factors = suv.factors_by_slice or [suv.factor_g_per_bq or 0.0] * self.slices
        return self._load(factors, "g/mL")

    def _load(self, factors: Sequence[float] | None, unit: str) -> PetVolume:
        affine = affine_lps_mm(self.instances)
        check_pixels(self.instances)
        image = np.empty(self.shape_zyx, np.float32)
        read_planes(self.instances, image, factors)
        return PetVolume(image, affine, unit)


@dataclass(frozen=True)
class Other:
    """What the header of a DICOM object says that is no PET image, such as a slice of the CT.

    ``ct_slices`` is where the pixels of such slices lie, for `phantoms.dicom_series.ct`: one, or one a frame; none for
    all else, and where ``ct_refused`` says why they cannot be told apart.
    """

    facts: InstanceFacts
    header: Mapping[str, Any] = field(repr=False)
    ct_slices: tuple[Instance, ...] = ()
    ct_refused: AnalysisRefused | None = None


@dataclass(frozen=True)
class Scan:
    """The PET series under a path, and every other file with the reason why it is in none.

    ``others`` are the headers of those of the other files that are DICOM objects.
    """

    series: tuple[Series, ...]
    ignored: tuple[Ignored, ...]
    others: tuple[Other, ...] = ()


def read_scan(sources: Iterable[Source | Path]) -> Scan:
    """Read the headers of all files and sort them into PET series.

    Every file ends in exactly one series or in `Scan.ignored`; no input raises.
    """
    reader = HeaderReader()
    by_series: dict[str, list[Instance]] = {}
    ignored: list[Ignored] = []
    others: list[Other] = []
    seen: dict[str, Source] = {}
    for item in sources:
        source = Source.from_path(item) if isinstance(item, Path) else item
        facts = None
        try:
            read, file_bytes = read_elements(source, reader)
            facts = facts_of(read)
            instances = instances_of(read, facts, source, file_bytes)
        except AnalysisRefused as refusal:
            ignored.append(Ignored(source.name, refusal.detail, refusal.code))
            if facts is not None:
                others.append(_other(read, facts, source, file_bytes))
            continue
        facts = instances[0].facts
        twin = seen.setdefault(facts.sop_instance_uid, source)
        if twin is not source and sha256_of(twin) == sha256_of(source):
            ignored.append(Ignored(source.name, "A copy of another file here.", "ING-03"))
            continue
        by_series.setdefault(facts.series_instance_uid, []).extend(instances)
    series = []
    for uid, instances in by_series.items():
        instances.sort(key=stack_order)
        header = SeriesHeader.from_slices([instance.header for instance in instances])
        series.append(Series(uid, tuple(instances), header))
    series.sort(key=lambda one: (one.facts.series_number or 0, one.series_instance_uid))
    return Scan(tuple(series), tuple(ignored), tuple(others))


def _other(read: Elements, facts: InstanceFacts, source: Source, file_bytes: int) -> Other:
    if facts.sop_class_uid != CT_IMAGE and facts.sop_class_uid not in MULTI_FRAME_CT:
        return Other(facts, header_of(read))
    try:
        slices = slices_of(read, facts, source, file_bytes)
    except AnalysisRefused as refused:
        return Other(facts, header_of(read), ct_refused=refused)
    return Other(facts, slices[0].header, tuple(slices))


def choose(scan: Scan, series_uid: str | None = None) -> Series:
    """Return the one attenuation-corrected PET series, or the one that is named.

    Raises
    ------
    AnalysisRefused
        ``SERIES-AMBIGUOUS`` with the list, ``SERIES-NONE``, ``SERIES-ENHANCED``, ``MODALITY-NOT-PET``, or
        ``SUV-NOT-CORRECTED`` where the only series is not attenuation corrected.
    """
    if series_uid is not None:
        named = [series for series in scan.series if series.series_instance_uid == series_uid]
        if not named:
            raise AnalysisRefused(
                "SERIES-NONE", f"There is no PET series {series_uid} here.", "(0020,000E)", _listing(scan.series)
            )
        return named[0]
    volumes = [series for series in scan.series if series.is_volume]
    # A header that does not say is taken only where no series says that it is corrected.
    corrected = [s for s in volumes if s.is_attenuation_corrected] or [
        s for s in volumes if s.is_attenuation_corrected is None
    ]
    if len(corrected) == 1:
        return corrected[0]
    if corrected:
        raise AnalysisRefused(
            "SERIES-AMBIGUOUS",
            f"{len(corrected)} PET series qualify, and only one can be measured. {_listing(corrected)}",
            "(0020,000E)",
            "Name the series to measure.",
        )
    if volumes:
        raise AnalysisRefused(
            "SUV-NOT-CORRECTED",
            "This series is not attenuation corrected (0028,0051).",
            "(0028,0051)",
            "Send the corrected series too; we measure that one. Named by a person, this one has its numbers and no "
            "verdict.",
        )
    raise _no_series(scan)


def _no_series(scan: Scan) -> AnalysisRefused:
    codes = Counter(ignored.code for ignored in scan.ignored)
    if codes["SERIES-ENHANCED"]:
        reason = next(ignored.reason for ignored in scan.ignored if ignored.code == "SERIES-ENHANCED")
        return AnalysisRefused(
            "SERIES-ENHANCED", reason, "(5200,9230)", "Export the series as single-frame PET images."
        )
    if codes["MODALITY-NOT-PET"]:
        reasons = [ignored.reason for ignored in scan.ignored if ignored.code == "MODALITY-NOT-PET"]
        return AnalysisRefused(
            "MODALITY-NOT-PET",
            f"No PET series is here. {Counter(reasons).most_common(1)[0][0]}",
            "(0008,0060)",
            "Check that you chose the PET study, then send it here.",
        )
    return AnalysisRefused(
        "SERIES-NONE",
        f"No PET series is here: of {len(scan.ignored)} files none is a PET image.",
        "(0008,0016)",
        "Check that you chose the PET study, then export it again.",
    )


def _listing(series: Sequence[Series]) -> str:
    rows = (f"{s.series_instance_uid} ({s.slices} slices, {s.units or 'no Units'})" for s in series)
    return "PET series here: " + "; ".join(rows) + "." if series else "No PET series is here."


def digest_of(sha256_hex: Iterable[str]) -> str:
    """Return the digest of a set of files from the SHA-256 of each, as `Series.input_digest` makes it."""
    return "sha256:" + hashlib.sha256("\n".join(sorted(sha256_hex)).encode()).hexdigest()


def sha256_of(source: Source) -> str:
    """Return the SHA-256 of one file, hexadecimal."""
    digest = hashlib.sha256()
    with source.open() as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()
