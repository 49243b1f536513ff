"""What is wrong with a submission as it arrived, all of it at once, in words for the site: no Django, no files.

A finding of severity ``exclude`` keeps the submission from being sent; everything else sends with the finding.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from phantoms.results import Finding, Outcome, Owner

#: NumberOfSlices (0054,0081) is of VR US, so 16 bits. Source: DICOM PS3.6.
MAX_SLICES = 65_535
_LISTED_RANGES = 6
_NUMBER_WORDS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")


@dataclass(frozen=True, kw_only=True)
class Before:
    """Where the same bytes came before; ``number`` is empty where the asking site may not know it."""

    number: str
    on: date | None


@dataclass(frozen=True, kw_only=True)
class ArrivedFile:
    """One file as the check sees it; ``patient`` is a keyed digest, empty where the header names nobody.

    ``is_conflict``: its identity came with other bytes in an earlier submission; ``is_twice_here``: in this one.
    """

    is_left_out: bool = False
    is_conflict: bool = False
    is_twice_here: bool = False
    before: Before | None = None
    sop_instance_uid: str = ""
    series_uid: str = ""
    series_number: int | None = None
    instance_number: int | None = None
    number_of_slices: int | None = None
    modality: str = ""
    is_attenuation_corrected: bool | None = None
    is_lossy: bool = False
    is_derived: bool = False
    patient: str = ""
    model: str = ""
    serial: str = ""
    scan_at: datetime | None = None


@dataclass(frozen=True, kw_only=True)
class RefusedUpload:
    """A zip that was not opened."""

    code: str
    detail: str


@dataclass(frozen=True, kw_only=True)
class Arrived:
    """All that arrived for one submission, and what it is held against."""

    files: Sequence[ArrivedFile]
    uploads_complete: int = 0
    uploads_total: int = 0
    refused_uploads: Sequence[RefusedUpload] = ()
    scanner_label: str = ""
    scanner_model: str = ""
    scanner_serial: str = ""
    chosen_series: str = ""
    sheet_findings: Sequence[Finding] = ()
    needs_sheet: bool = False


@dataclass(frozen=True)
class _Series:
    """The files of one series."""

    uid: str
    files: tuple[ArrivedFile, ...]

    @property
    def first(self) -> ArrivedFile:
        return self.files[0]

    @property
    def name(self) -> str:
        return f"Series {self.first.series_number}" if self.first.series_number is not None else "A series"


def arrival_findings(arrived: Arrived) -> list[Finding]:
    """Return every finding, those that block first."""
    images = [file for file in arrived.files if not file.is_left_out]
    series = _series_of(images)
    pet = [one for one in series if one.first.modality == "PT"]
    findings = [
        *_no_pet(images, series, pet, arrived),
        *_two_patients(series),
        *_twice_here(images),
        *_conflicts(images),
        *_refused_uploads(arrived),
        *_unfinished(arrived),
        *_left_out(arrived, images),
        *_came_before(images),
        *_missing_slices(pet),
        *_not_corrected(pet),
        *_ambiguous(pet, arrived.chosen_series),
        *_lossy(pet),
        *_derived(pet),
        *_other_scanner(pet, arrived),
        *_sheet(arrived),
    ]
    return sorted(findings, key=lambda finding: finding.severity != "exclude")


def as_rows(findings: Iterable[Finding]) -> list[dict[str, Any]]:
    """Return findings as they are stored: the contract's object, and which series they speak of."""
    return [finding.as_json() | {"series": finding.evidence.get("series", [])} for finding in findings]


def measured_series(files: Iterable[ArrivedFile]) -> set[str]:
    """Return the PET series that may be the one to measure: those that say they are corrected, else those silent."""
    pet = [one for one in _series_of([f for f in files if not f.is_left_out]) if one.first.modality == "PT"]
    corrected = {one.uid for one in pet if one.first.is_attenuation_corrected}
    return corrected or {one.uid for one in pet if one.first.is_attenuation_corrected is None}


def missing_numbers(numbers: Iterable[int | None], expected: int | None) -> tuple[int, ...]:
    """Return which of 1 to ``expected`` are missing; nothing where the numbers do not run like that."""
    given = set(numbers)
    # What is declared is the sender's word: no range is built of it before it is held against what can be.
    if expected is None or expected > MAX_SLICES or not all(n is not None and 1 <= n <= expected for n in given):
        return ()
    return tuple(number for number in range(1, expected + 1) if number not in given)


def ranges_in_words(numbers: Sequence[int]) -> str:
    """Return ``41 to 46``, ``3, 7 to 9 and 12``; long lists end in how many more."""
    ranges: list[tuple[int, int]] = []
    for number in sorted(numbers):
        if ranges and number == ranges[-1][1] + 1:
            ranges[-1] = (ranges[-1][0], number)
        else:
            ranges.append((number, number))
    shown = [str(low) if low == high else f"{low} to {high}" for low, high in ranges[:_LISTED_RANGES]]
    rest = sum(high - low + 1 for low, high in ranges[_LISTED_RANGES:])
    return _listed([*shown, f"{rest} others"] if rest else shown)


# --- one question each -----------------------------------------------------------------------


def _no_pet(
    images: Sequence[ArrivedFile], series: Sequence[_Series], pet: Sequence[_Series], arrived: Arrived
) -> list[Finding]:
    if pet:
        return []
    if not arrived.files:
        what = "No files could be taken from the zip." if arrived.refused_uploads else "No files have arrived yet."
        return [_blocking("SERIES-NONE", what, "Choose the folder of the scan in step 3.")]
    modalities = Counter(file.modality for file in images)
    if modalities["NM"]:
        return [
            _blocking(
                "ING-14",
                "These are gamma-camera images (NM), not PET.",
                "Check that you chose the PET study, then send it here.",
            )
        ]
    if images:
        others = _listed(sorted(modalities))
        return [
            _blocking(
                "ING-09",
                f"The PET images are missing; what arrived is {others} ({_count(len(series), 'series', 'series')}).",
                "Add the PET series to this submission. Nothing else needs sending again.",
            )
        ]
    return [
        _blocking(
            "SERIES-NONE", "None of the files is a DICOM image.", "Export the PET series as DICOM and add it here."
        )
    ]


def _two_patients(series: Sequence[_Series]) -> list[Finding]:
    people: dict[str, list[_Series]] = defaultdict(list)
    for one in series:
        for patient in {file.patient for file in one.files if file.patient}:
            people[patient].append(one)
    if len(people) < 2:
        return []
    count = _NUMBER_WORDS[len(people)] if len(people) < len(_NUMBER_WORDS) else str(len(people))
    shares = [_series_names(theirs) for theirs in people.values()]
    return [
        _blocking(
            "ING-02",
            f"This upload holds scans of {count} people: {'; '.join(shares)}.",
            "Take out the series of all but one person, or send one visit at a time.",
            series=[one.uid for theirs in people.values() for one in theirs],
        )
    ]


def _twice_here(images: Sequence[ArrivedFile]) -> list[Finding]:
    both = [file for file in images if file.is_twice_here]
    if not both:
        return []
    return [
        _blocking(
            "ING-13",
            f"The same image came twice in this submission, with different content ({_where(both)}).",
            "Send this series anew; take it out first.",
            series=sorted({file.series_uid for file in both}),
        )
    ]


def _conflicts(images: Sequence[ArrivedFile]) -> list[Finding]:
    both = [file for file in images if file.is_conflict]
    if not both:
        return []
    return [
        _finding(
            "ING-13",
            Outcome.FAIL,
            "query",
            f"A file with this identity came before with other content ({_where(both)}).",
            "Both are kept. Tell us which is right; until then we measure neither.",
            series=sorted({file.series_uid for file in both}),
        )
    ]


def _where(files: Sequence[ArrivedFile]) -> str:
    """Return which file it is by its numbers, and how many more there are."""
    first = files[0]
    numbers = (("series", first.series_number), ("slice", first.instance_number))
    where = ", ".join(f"{word} {number}" for word, number in numbers if number is not None)
    others = f" and {len(files) - 1} more" if len(files) > 1 else ""
    return f"{where or 'no numbers'}{others}"


def _refused_uploads(arrived: Arrived) -> list[Finding]:
    return [_finding(one.code, Outcome.FAIL, "query", one.detail, "") for one in arrived.refused_uploads]


def _unfinished(arrived: Arrived) -> list[Finding]:
    if arrived.uploads_complete == arrived.uploads_total:
        return []
    return [
        _finding(
            "ING-16",
            Outcome.WARN,
            "query",
            f"The upload stopped at {arrived.uploads_complete} of {_count(arrived.uploads_total, 'file', 'files')}.",
            "Open the draft and choose the same folder; only the rest is sent.",
        )
    ]


def _left_out(arrived: Arrived, images: Sequence[ArrivedFile]) -> list[Finding]:
    left_out = len(arrived.files) - len(images)
    if not left_out:
        return []
    verb = "is not a DICOM image" if left_out == 1 else "are not DICOM images"
    it = "it" if left_out == 1 else "them"
    return [
        _finding(
            "ING-01",
            Outcome.WARN,
            "info",
            f"{left_out} of {_count(len(arrived.files), 'file', 'files')} {verb}.",
            f"We left {it} out and kept {len(images)}. If a series is missing below, export it again and add it here.",
        )
    ]


def _came_before(images: Sequence[ArrivedFile]) -> list[Finding]:
    findings = []
    repeated: dict[Before, list[ArrivedFile]] = defaultdict(list)
    for file in images:
        if file.before is not None:
            repeated[file.before].append(file)
    for before, files in repeated.items():
        count = _count(len(files), "image", "images")
        came = f"came on {before.on.day} {before.on:%B %Y}" if before.on else "came before"
        as_number = f" as {before.number}" if before.number else ""
        these = "this" if len(files) == 1 else "these"
        lead = f"Nothing new: {these} {count}" if len(files) == len(images) else f"{count} of {len(images)}"
        findings.append(
            _finding(
                "ING-03",
                Outcome.WARN,
                "query",
                f"{lead} {came}{as_number}.",
                "You need not send them again. To replace them choose Replace and say why.",
                series=sorted({file.series_uid for file in files}),
            )
        )
    return findings


def _missing_slices(pet: Sequence[_Series]) -> list[Finding]:
    findings = []
    for one in pet:
        expected = one.first.number_of_slices
        count = len({file.sop_instance_uid for file in one.files})
        # NumberOfSlices (0054,0081) is for one time slice; a gated or dynamic series has a multiple of it.
        if not expected or expected < 0 or (count >= expected and count % expected == 0):
            continue
        missing = missing_numbers((file.instance_number for file in one.files), expected)
        if count > expected:
            what = f"{one.name} has {count} slices, which is no multiple of {expected}."
        elif missing:
            verb = "is" if len(missing) == 1 else "are"
            what = f"{one.name} has {count} of {expected} slices; {ranges_in_words(missing)} {verb} missing."
        else:
            what = f"{one.name} has {count} of {expected} slices; their numbers do not say which are missing."
        again = one.name[0].lower() + one.name[1:] if one.first.series_number is not None else "this series"
        findings.append(
            _finding(
                "ING-05",
                Outcome.WARN,
                "query",
                what,
                f"Send {again} again from the scanner or archive. Everything else is kept.",
                series=[one.uid],
            )
        )
    return findings


def _not_corrected(pet: Sequence[_Series]) -> list[Finding]:
    if not pet or any(one.first.is_attenuation_corrected is not False for one in pet):
        return []
    return [
        _finding(
            "SUV-NOT-CORRECTED",
            Outcome.WARN,
            "query",
            "This series is not attenuation corrected (0028,0051)."
            if len(pet) == 1
            else "None of the PET series is attenuation corrected (0028,0051).",
            "Send the corrected series too; we measure that one.",
            series=[one.uid for one in pet],
        )
    ]


def _ambiguous(pet: Sequence[_Series], chosen: str) -> list[Finding]:
    uids = measured_series([file for one in pet for file in one.files])
    candidates = [one for one in pet if one.uid in uids]
    if len(candidates) < 2 or chosen in {one.uid for one in candidates}:
        return []
    return [
        _finding(
            "SERIES-AMBIGUOUS",
            Outcome.WARN,
            "query",
            f"{len(candidates)} PET series could be the one to measure: {_series_names(candidates)}.",
            "Choose one of them, or take the others out.",
            series=[one.uid for one in candidates],
        )
    ]


def _lossy(pet: Sequence[_Series]) -> list[Finding]:
    return [
        _finding(
            "ING-10",
            Outcome.FAIL,
            "query",
            f"{one.name} was compressed with loss, so its values cannot be measured.",
            "Export it again without compression, or with lossless compression.",
            series=[one.uid],
        )
        for one in pet
        if any(file.is_lossy for file in one.files)
    ]


def _derived(pet: Sequence[_Series]) -> list[Finding]:
    return [
        _finding(
            "ING-11",
            Outcome.WARN,
            "query",
            f"{one.name} was made from other images (reformatted or fused).",
            "Send the original transaxial PET series.",
            series=[one.uid],
        )
        for one in pet
        if one.first.is_derived
    ]


def _other_scanner(pet: Sequence[_Series], arrived: Arrived) -> list[Finding]:
    """Compare model and serial number with the register; a header that does not say is not held against anybody."""
    findings = []
    seen: set[tuple[str, str]] = set()
    for one in pet:
        model, serial = one.first.model, one.first.serial
        differs = (model and _folded(model) != _folded(arrived.scanner_model)) or (
            serial and _folded(serial) != _folded(arrived.scanner_serial)
        )
        if not differs or (model, serial) in seen:
            continue
        seen.add((model, serial))
        named = " · ".join(filter(None, (model, serial)))
        findings.append(
            _finding(
                "REC-07",
                Outcome.WARN,
                "query",
                f"The images come from {named}; this submission names {arrived.scanner_label}.",
                "Choose the scanner that made this scan. If it is not in the list, ask the core lab to add it.",
                observed=named,
                expected=arrived.scanner_label,
                series=[one.uid],
            )
        )
    return findings


def _sheet(arrived: Arrived) -> list[Finding]:
    if not arrived.needs_sheet:
        return list(arrived.sheet_findings)
    return [
        _finding(
            "SHEET-NONE",
            Outcome.WARN,
            "query",
            "The activity sheet is empty, so nothing can be compared with what was filled in.",
            "Enter activities, times and volumes in step 2.",
        )
    ]


# --- words -----------------------------------------------------------------------------------


def _finding(
    id_: str,
    outcome: Outcome,
    severity: str,
    message: str,
    next_step: str,
    *,
    observed: str = "",
    expected: str = "",
    series: Sequence[str] = (),
) -> Finding:
    return Finding(
        id=id_,
        outcome=outcome,
        severity=severity,
        message=message,
        next_step=next_step,
        observed=observed,
        expected=expected,
        owner=Owner.SITE,
        evidence={"series": list(series)},
    )


def _blocking(id_: str, message: str, next_step: str, *, series: Sequence[str] = ()) -> Finding:
    return _finding(id_, Outcome.FAIL, "exclude", message, next_step, series=series)


def _series_of(images: Iterable[ArrivedFile]) -> list[_Series]:
    by_uid: dict[str, list[ArrivedFile]] = defaultdict(list)
    for file in images:
        by_uid[file.series_uid].append(file)
    series = [_Series(uid, tuple(files)) for uid, files in by_uid.items()]
    return sorted(series, key=lambda one: (one.first.series_number or 0, one.uid))


def _series_names(series: Sequence[_Series]) -> str:
    numbers = [one.first.series_number for one in series if one.first.series_number is not None]
    if len(numbers) < len(series):
        return _count(len(series), "series", "series")
    return f"series {_listed([str(number) for number in numbers])}"


def _count(number: int, singular: str, plural: str) -> str:
    return f"{number} {singular if number == 1 else plural}"


def _listed(words: Sequence[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"


def _folded(text: str) -> str:
    return "".join(text.casefold().split())
