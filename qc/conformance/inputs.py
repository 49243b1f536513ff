"""From the plain JSON that a run keeps to the `Inputs` of the rules."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from typing import Any

from phantoms.suv import SuvResult
from phantoms.suv.reference import PLACEHOLDER_DATES
from qc.conformance.engine import Inputs
from qc.conformance.reconstruction import is_as_accredited
from qc.facts import SubmissionFacts
from qc.protocols import Profile, Registered, ScanDayValues, parse, parse_registry


def inputs_of(facts: SubmissionFacts, suv: SuvResult | None, kind: str, asked: Mapping[str, Any]) -> Inputs:
    """Return what the rules look at.

    Parameters
    ----------
    facts, suv
        Of the scan.
    kind : str
    asked : mapping
        ``protocol``: ``{"version", "document"}``; ``registry``: the register as its schema has it; ``values``: the
        site's scan-day values; ``scope``: ``{"trial", "standard", "reconstruction"}``; ``date_offset_days``: days to
        add to the headers' dates for the true ones. All may be absent or None.

    Raises
    ------
    DocumentProblems
        Where the protocol or the register is not one.
    """
    given, scope = asked.get("protocol"), asked.get("scope") or {}
    protocol = parse(given["document"]) if given else None
    has_register = asked.get("registry") is not None
    scanners = parse_registry(asked["registry"]) if has_register else ()
    registered = find_scanner(scanners, facts)
    values = asked.get("values")
    return Inputs(
        facts=facts,
        suv=suv,
        kind=kind,
        protocol=protocol,
        values=ScanDayValues.read(values) if values is not None else None,
        registered=registered,
        has_register=has_register,
        profile=find_profile(registered, facts, scope.get("reconstruction")) if registered else None,
        clearances=registered.clearances if registered else None,
        scanned_on=scanned_on(facts, asked.get("date_offset_days")),
        trial=scope.get("trial") or (protocol.trial if protocol else None),
        # Which standard a scanner must be cleared under is the trial's to say; one that says none takes any.
        standard=protocol.standard if protocol else scope.get("standard"),
    )


def find_scanner(scanners: Sequence[Registered], facts: SubmissionFacts) -> Registered | None:
    """Return the scanner with the serial number of the headers; else the only one of the register, if it is one."""
    serial = facts.DeviceSerialNumber.casefold()
    same = [one for one in scanners if serial and one.serial.casefold() == serial]
    if len(same) == 1 or len(scanners) == 1:
        return (same or list(scanners))[0]
    return None


def find_profile(registered: Registered, facts: SubmissionFacts, name: str | None) -> Profile | None:
    """Return the named reconstruction; without a name the only one that is registered, or the first that is alike."""
    profiles = registered.reconstructions
    if name:
        return next((profile for profile in profiles if profile.name == name), None)
    if len(profiles) == 1:
        return profiles[0]
    return next((profile for profile in profiles if is_as_accredited(facts, profile)), None)


def scanned_on(facts: SubmissionFacts, offset_days: int | None) -> date | None:
    """Return the scan's own day; None where its date was moved or is a placeholder, and nobody said by how much."""
    at = facts.first_frame_at or facts.series_at
    if at is None or (offset_days is None and (facts.are_dates_shifted or at.date() in PLACEHOLDER_DATES)):
        return None
    try:
        return at.date() + timedelta(days=offset_days or 0)
    except OverflowError:
        return None
