"""The header values that SUV needs, in plain Python, under their DICOM keywords."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from functools import lru_cache
from typing import Any

# Values that a series has once; where slices differ, the first slice's is kept and the difference is named.
_TEXTS = (
    "Manufacturer",
    "Units",
    "SUVType",
    "DecayCorrection",
    "SeriesDate",
    "SeriesTime",
    "TimezoneOffsetFromUTC",
    "PatientSex",
    "GEScanDateTime",
    "SiemensDecayCorrectionDateTime",
    "DecayCorrectionDateTime",
)
_NUMBERS = ("PatientWeight", "PatientSize", "SUVScaleFactor", "ActivityConcentrationScaleFactor")
_LISTS = ("ImageType", "CorrectedImage", "private_without_creator")
# Where a series may write a DT, which alone can carry its own offset from UTC.
_SERIES_DATETIMES = {
    "DecayCorrectionDateTime": "(0018,9701)",
    "SiemensDecayCorrectionDateTime": "(0071,xx22)",
    "GEScanDateTime": "(0009,xx0D)",
}


@dataclass(frozen=True, kw_only=True)
class SliceHeader:
    """What may differ from slice to slice; ``FrameReferenceTime`` and ``ActualFrameDuration`` are milliseconds.

    ``FrameReferenceDateTime`` is the multi-frame object's moment that stands for the frame.
    """

    AcquisitionDate: str | None = None
    AcquisitionTime: str | None = None
    AcquisitionDateTime: str | None = None
    FrameReferenceTime: float | None = None
    FrameReferenceDateTime: str | None = None
    ActualFrameDuration: float | None = None
    DecayFactor: float | None = None
    RescaleIntercept: float | None = None


@dataclass(frozen=True, kw_only=True)
class Injection:
    """One item of RadiopharmaceuticalInformationSequence; the activity is Bq by the standard, the half-life s."""

    Radiopharmaceutical: str | None = None
    RadionuclideTotalDose: float | None = None
    RadionuclideHalfLife: float | None = None
    RadiopharmaceuticalStartTime: str | None = None
    RadiopharmaceuticalStartDateTime: str | None = None
    nuclide_code: str | None = None
    nuclide_meaning: str | None = None


@dataclass(frozen=True, kw_only=True)
class SeriesHeader:
    """What one PET series says about its values and times.

    ``SUVScaleFactor`` and ``ActivityConcentrationScaleFactor`` are Philips' (7053,xx00) and (7053,xx09),
    ``GEScanDateTime`` is GE's (0009,xx0D), ``SiemensDecayCorrectionDateTime`` is Siemens' (0071,xx22).
    ``private_without_creator`` names those of them whose block has no creator element.
    ``slices`` are in the order of the volume's planes. ``differing`` names attributes that are not the same on
    every slice. ``is_derived`` says whether ImageType calls any slice DERIVED.
    """

    Manufacturer: str | None = None
    ImageType: tuple[str, ...] = ()
    Units: str | None = None
    SUVType: str | None = None
    DecayCorrection: str | None = None
    CorrectedImage: tuple[str, ...] = ()
    SeriesDate: str | None = None
    SeriesTime: str | None = None
    TimezoneOffsetFromUTC: str | None = None
    PatientWeight: float | None = None
    PatientSize: float | None = None
    PatientSex: str | None = None
    NumberOfSlices: int | None = None
    GEScanDateTime: str | None = None
    SiemensDecayCorrectionDateTime: str | None = None
    DecayCorrectionDateTime: str | None = None
    SUVScaleFactor: float | None = None
    ActivityConcentrationScaleFactor: float | None = None
    private_without_creator: tuple[str, ...] = ()
    injections: tuple[Injection, ...] = ()
    slices: tuple[SliceHeader, ...] = ()
    differing: tuple[str, ...] = ()
    is_derived: bool = False

    @property
    def to_bqml_factor(self) -> float | None:
        """What turns the rescaled pixel values into Bq/mL without weight, activity or times; None where nothing does.

        1 for BQML; for CNTS Philips' ActivityConcentrationScaleFactor (7053,xx09), where all slices have the same.
        """
        if {"Units", "ActivityConcentrationScaleFactor"} & set(self.differing):
            return None
        if self.Units == "BQML":
            return 1.0
        return self.philips_factor("ActivityConcentrationScaleFactor") if self.Units == "CNTS" else None

    def philips_factor(self, keyword: str) -> float | None:
        """Return one of Philips' two factors by its keyword; None where it is no factor or may not be Philips'."""
        value: float | None = getattr(self, keyword)
        is_orphan = keyword in self.private_without_creator
        is_philips = (self.Manufacturer or "").upper().startswith("PHILIPS")
        return value if value is not None and value > 0 and (is_philips or not is_orphan) else None

    @property
    def offsets_without_zone(self) -> tuple[str, ...]:
        """Attributes that carry an offset from UTC while the series names none to compare with (0008,0201)."""
        if parse_offset(self.TimezoneOffsetFromUTC) is not None:
            return ()
        written = {"(0018,1078)": [one.RadiopharmaceuticalStartDateTime for one in self.injections]}
        written["(0008,002A)"] = [one.AcquisitionDateTime for one in self.slices]
        written["(0018,9151)"] = [one.FrameReferenceDateTime for one in self.slices]
        written |= {tag: [getattr(self, keyword)] for keyword, tag in _SERIES_DATETIMES.items()}
        return tuple(tag for tag, texts in written.items() if any(_has_offset(text) for text in texts))

    @classmethod
    def from_slices(cls, headers: Sequence[Mapping[str, Any]]) -> SeriesHeader:
        """Build the header of a series from one mapping a slice, keyed by DICOM keyword.

        Values may be texts, numbers or lists of them as a DICOM reader gives them; what cannot be read as its kind
        counts as absent. ``RadiopharmaceuticalInformationSequence`` is a list of mappings.
        """
        first: Mapping[str, Any] = headers[0] if headers else {}
        values: dict[str, Any] = {}
        differing = []
        readers = (*((k, _text) for k in _TEXTS), *((k, _number) for k in _NUMBERS), *((k, _texts) for k in _LISTS))
        for keyword, read in readers:
            raw = first.get(keyword)
            values[keyword] = read(raw)
            for other in headers:
                found = other.get(keyword)
                if found is not raw and read(found) != values[keyword]:
                    differing.append(keyword)
                    break
        sequence = first.get("RadiopharmaceuticalInformationSequence")
        values["injections"] = _injections(sequence)
        for other in headers:
            found = other.get("RadiopharmaceuticalInformationSequence")
            if found is not sequence and _injections(found) != values["injections"]:
                differing.append("RadiopharmaceuticalInformationSequence")
                break
        count = _number(first.get("NumberOfSlices"))
        values["NumberOfSlices"] = int(count) if count else None
        values["is_derived"] = any(_texts(header.get("ImageType"))[:1] == ("DERIVED",) for header in headers)
        return cls(**values, slices=tuple(_slices(headers)), differing=tuple(differing))


def _slices(headers: Iterable[Mapping[str, Any]]) -> Iterator[SliceHeader]:
    raw: list[Any] = []
    made = SliceHeader()
    for header in headers:
        found = [header.get(keyword) for keyword in _OF_SLICE]
        if found != raw:  # slices of one bed say the same
            raw = found
            made = SliceHeader(**{k: read(one) for (k, read), one in zip(_OF_SLICE.items(), raw, strict=True)})
        yield made


def _injections(sequence: Iterable[Mapping[str, Any]] | None) -> tuple[Injection, ...]:
    found = []
    for item in sequence or ():
        codes = list(item.get("RadionuclideCodeSequence") or ())
        code: Mapping[str, Any] = codes[0] if codes else {}
        found.append(
            Injection(
                Radiopharmaceutical=_text(item.get("Radiopharmaceutical")),
                RadionuclideTotalDose=_number(item.get("RadionuclideTotalDose")),
                RadionuclideHalfLife=_number(item.get("RadionuclideHalfLife")),
                RadiopharmaceuticalStartTime=_text(item.get("RadiopharmaceuticalStartTime")),
                RadiopharmaceuticalStartDateTime=_text(item.get("RadiopharmaceuticalStartDateTime")),
                nuclide_code=_text(code.get("CodeValue")),
                nuclide_meaning=_text(code.get("CodeMeaning")),
            )
        )
    return tuple(found)


def _text(value: Any) -> str | None:
    text = "" if value is None else str(value).replace("\0", " ").strip()
    return text or None


def _texts(value: Any) -> tuple[str, ...]:
    if value is None or isinstance(value, str):
        value = (value or "").split("\\")
    return tuple(text for text in map(_text, value) if text)


def _number(value: Any) -> float | None:
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None


_OF_SLICE: dict[str, Callable[[Any], Any]] = {
    **dict.fromkeys(("AcquisitionDate", "AcquisitionTime", "AcquisitionDateTime", "FrameReferenceDateTime"), _text),
    **dict.fromkeys(("FrameReferenceTime", "ActualFrameDuration", "DecayFactor", "RescaleIntercept"), _number),
}


#: The slices of a series have few different times.
_remembered = lru_cache(maxsize=1024)
_DATE = re.compile(r"^(\d{4})[.:]?(\d{2})[.:]?(\d{2})$")
_TIME = re.compile(r"^(\d{2}):?(?:(\d{2}):?(?:(\d{2})(?:\.(\d{1,6})\d*)?)?)?$")
_DATETIME = re.compile(r"^(\d{8})(\d{2,6}(?:\.\d+)?)([+-]\d{4})?$")


@_remembered
def parse_date(text: str | None) -> date | None:
    """Read a DICOM DA; None where it is no date."""
    match = _DATE.match(text or "")
    try:
        return date(*map(int, match.groups())) if match else None
    except ValueError:
        return None


@_remembered
def parse_time(text: str | None) -> time | None:
    """Read a DICOM TM, also a short one (``HH``, ``HHMM``); None where it is no time of day."""
    match = _TIME.match(text or "")
    if match is None:
        return None
    hour, minute, second = (int(part or 0) for part in match.groups()[:3])
    microsecond = int((match[4] or "").ljust(6, "0"))
    try:
        return time(hour, minute, min(second, 59), microsecond)  # 60 is DICOM's leap second
    except ValueError:
        return None


@_remembered
def parse_datetime(text: str | None, zone: str | None = None) -> datetime | None:
    """Read a DICOM DT that holds at least an hour, as wall-clock time; None where it is none.

    A DT that carries its own offset is moved to the series' offset `zone` (0008,0201) where that is given; without
    it the wall clock stands as written. Times without an offset are never moved.
    """
    match = _DATETIME.match(text or "")
    day, clock = (parse_date(match[1]), parse_time(match[2])) if match else (None, None)
    if match is None or day is None or clock is None:
        return None
    wall = datetime.combine(day, clock)
    own, wanted = parse_offset(match[3]), parse_offset(zone)
    try:
        return wall + (wanted - own) if own is not None and wanted is not None else wall
    except OverflowError:
        return None


def _has_offset(text: str | None) -> bool:
    match = _DATETIME.match(text or "")
    return match is not None and match[3] is not None


def parse_offset(text: str | None) -> timedelta | None:
    """Read a DICOM offset from UTC, ``+0100``; None where there is none."""
    match = re.match(r"^([+-])(\d{2})(\d{2})$", text or "")
    if match is None:
        return None
    offset = timedelta(hours=int(match[2]), minutes=int(match[3]))
    return -offset if match[1] == "-" else offset
