"""Whose scan it is said to be, and what was done so that nobody can tell."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import TYPE_CHECKING, Any

from phantoms.dicom_series.values import text, texts
from phantoms.suv.header import parse_date

if TYPE_CHECKING:
    from phantoms.dicom_series import InstanceFacts


@dataclass(frozen=True, kw_only=True)
class Identity:
    """What all DICOM objects of the scan say of the subject; several values where they disagree.

    Attributes
    ----------
    ClinicalTrialSubjectID : tuple of str
        (0012,0040), for ING-02.
    identifying : tuple of str
        Keywords of attributes that may say who somebody is and that hold something, a pseudonym too: those of
        `phantoms.dicom_series.attributes.IDENTIFYING`. What they hold is not kept. For DEID-01.
    BurnedInAnnotation : tuple of str
        (0028,0301), for DEID-01.
    PatientIdentityRemoved, DeidentificationMethod : tuple of str
        (0012,0062) and (0012,0063), for DEID-02.
    deidentification_codes : tuple of str
        CodeValue of each item of DeidentificationMethodCodeSequence (0012,0064), for DEID-02.
    patient_id_digests : tuple of str
        What `is_subject` compares.
    """

    ClinicalTrialSubjectID: tuple[str, ...] = ()
    identifying: tuple[str, ...] = ()
    BurnedInAnnotation: tuple[str, ...] = ()
    PatientIdentityRemoved: tuple[str, ...] = ()
    DeidentificationMethod: tuple[str, ...] = ()
    deidentification_codes: tuple[str, ...] = ()
    patient_id_digests: tuple[str, ...] = field(default=(), repr=False)

    def is_subject(self, code: str) -> bool | None:
        """Say whether PatientID (0010,0020) is this subject's code everywhere, for ING-02; None where it is nowhere.

        Case and surrounding blanks do not count. Only digests are kept of what the files hold.
        """
        return set(self.patient_id_digests) == {_digest(code)} if self.patient_id_digests else None


def identity_of(many: Iterable[InstanceFacts], headers: Sequence[Mapping[str, Any]]) -> Identity:
    """Return what these objects say of the subject; headers are those of the same objects."""
    said = {(one.patient_identity, one.identifying) for one in many}
    people = {identity.partition("\x1f")[0] for identity, _ in said}
    codes = distinct(headers, "DeidentificationMethodCodeSequence")
    return Identity(
        ClinicalTrialSubjectID=distinct_texts(headers, "ClinicalTrialSubjectID"),
        identifying=tuple(sorted({keyword for _, filled in said for keyword in filled})),
        BurnedInAnnotation=distinct_texts(headers, "BurnedInAnnotation"),
        PatientIdentityRemoved=distinct_texts(headers, "PatientIdentityRemoved"),
        DeidentificationMethod=distinct_texts(headers, "DeidentificationMethod"),
        deidentification_codes=tuple(sorted({text(item.get("CodeValue")) for items in codes for item in items} - {""})),
        patient_id_digests=tuple(sorted(map(_digest, people - {""}))),
    )


def age_years(written: Any, patient_identity: str, on: date | None) -> float | None:
    """Return the age at a scan, years: PatientAge (0010,1010), or else counted from the date of birth.

    Parameters
    ----------
    written : object
        PatientAge: three digits and D, W, M or Y. Source: DICOM PS3.5, 6.2.
    patient_identity : str
        `InstanceFacts.patient_identity`, whose last part is the date of birth.
    on : date or None
        The day of the scan.
    """
    age = text(written)
    if len(age) == 4 and age[:3].isascii() and age[:3].isdigit() and age[3] in _PER_YEAR:
        return int(age[:3]) / _PER_YEAR[age[3]]
    born = parse_date(patient_identity.rpartition("\x1f")[2])
    if born is None or on is None or born > on:
        return None
    return float(on.year - born.year - ((on.month, on.day) < (born.month, born.day)))


_PER_YEAR = {"D": 365.25, "W": 365.25 / 7, "M": 12.0, "Y": 1.0}


def distinct(headers: Iterable[Mapping[str, Any]], keyword: str) -> list[Any]:
    """Return the different values of an attribute, in the order in which they come; what is absent does not count."""
    found: list[Any] = []
    last = None
    for header in headers:
        value = header.get(keyword)
        # Slices of a kind share the very objects, so that most are told apart without being compared.
        if value is not None and value is not last and value not in found:
            found.append(value)
        last = value
    return found


def distinct_texts(headers: Iterable[Mapping[str, Any]], keyword: str) -> tuple[str, ...]:
    """Return the different texts of an attribute over all headers; several of one header count each."""
    return tuple(dict.fromkeys(one for value in distinct(headers, keyword) for one in texts(value) if one))


def _digest(patient_id: str) -> str:
    return hashlib.sha256(patient_id.strip().casefold().encode()).hexdigest()
