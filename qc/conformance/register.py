"""The scanner against the register: whether it is the one, as it was, and cleared on the day of the scan."""

from __future__ import annotations

import re
from datetime import date

from phantoms.results import Owner
from qc import wording
from qc.conformance.engine import PATIENT, Answer, Inputs, failed, passed, rule, unknown, warned
from qc.conformance.ingest import ONE_SERIES
from qc.protocols import ClearanceSpan

_ENDINGS = {"SUSPENDED": "suspended", "WITHDRAWN": "withdrawn", "REPLACED": "replaced"}


@rule(
    "REC-07",
    title="The registered scanner, unchanged",
    severity="exclude",
    source="accreditation is given for one scanner and its software",
    attributes="(0008,0070) (0008,1090) (0018,1000) (0018,1020)",
    needs=(ONE_SERIES,),
)
def is_registered_scanner(inputs: Inputs) -> Answer:
    """Maker, model and serial number are in the register, and the software is the registered one."""
    facts, registered = inputs.facts, inputs.registered
    serial = facts.DeviceSerialNumber
    observed = ", ".join(
        filter(None, (facts.Manufacturer, facts.ManufacturerModelName, serial, facts.SoftwareVersions))
    )
    if not inputs.has_register:
        return unknown(
            "There is no register of accredited scanners to compare with.",
            observed=observed,
            next_step="Give the register, or register the scanner.",
            owner=Owner.CORE_LAB,
        )
    if not serial:
        return unknown(
            "The scanner's serial number is missing (0018,1000), so it cannot be found in the register.",
            observed=observed,
            expected=registered.serial if registered else "a serial number",
            next_step="Export again and keep the serial number: set the anonymiser to retain the device.",
            owner=Owner.SITE,
            reason="AD-11",
        )
    if registered is None:
        return failed(
            f"The scanner with serial number {serial} is not in the register (0018,1000).",
            observed=observed,
            expected="a registered scanner",
            next_step="Tell us on which scanner this was made; a new one must be accredited first.",
        )
    expected = ", ".join(
        filter(None, (registered.manufacturer, registered.model, registered.serial, registered.software))
    )
    if is_another_scanner(inputs):
        return failed(
            f"The scan was made on {facts.Manufacturer} {facts.ManufacturerModelName or 'a scanner'}, serial number "
            f"{serial} (0018,1000); the register has {registered.manufacturer} {registered.model}, "
            f"{registered.serial}.",
            observed=observed,
            expected=expected,
            next_step="Check which scanner was chosen for this submission.",
        )
    if not registered.software or not facts.SoftwareVersions:
        whose = "The headers do" if registered.software else "The register does"
        return unknown(
            f"{whose} not say which software the scanner has (0018,1020).",
            observed=observed,
            expected=expected,
            severity="query",
            next_step="Enter the software version on the scanner page.",
            owner=Owner.CORE_LAB,
        )
    if differs(facts.SoftwareVersions, registered.software):
        return warned(
            f"The scanner's software is now {facts.SoftwareVersions} (0018,1020); it was accredited with "
            f"{registered.software}.",
            observed=facts.SoftwareVersions,
            expected=registered.software,
            next_step="Declare the upgrade on the scanner page. A new phantom may be due.",
        )
    if _is_other_maker(inputs):
        return warned(
            f"The headers name {facts.Manufacturer} as the maker (0008,0070), the register {registered.manufacturer}; "
            "serial number and model agree.",
            observed=facts.Manufacturer,
            expected=registered.manufacturer,
            next_step="Check the maker in the register: makers change their names.",
            owner=Owner.CORE_LAB,
            severity="query",
        )
    return passed("The scanner is the registered one, with the same software.", observed=observed, expected=expected)


def is_another_scanner(inputs: Inputs) -> bool:
    """Say whether serial number and model of the headers contradict the register, or the maker where one is missing.

    Makers change their names, and a software upgrade writes the new one into the headers of the same scanner.
    """
    facts, registered = inputs.facts, inputs.registered
    if registered is None:
        return bool(facts.DeviceSerialNumber)
    pairs = [(facts.DeviceSerialNumber, registered.serial), (facts.ManufacturerModelName, registered.model)]
    if any(differs(seen, known) for seen, known in pairs):
        return True
    return _is_other_maker(inputs) and not all(seen and known for seen, known in pairs)


def _is_other_maker(inputs: Inputs) -> bool:
    facts, registered = inputs.facts, inputs.registered
    return registered is not None and differs(facts.Manufacturer.split(" ")[0], registered.manufacturer.split(" ")[0])


def is_known_scanner(inputs: Inputs) -> bool:
    """Say whether the headers themselves name the registered scanner; a guess clears nobody."""
    return bool(inputs.facts.DeviceSerialNumber) and not is_another_scanner(inputs)


def differs(seen: str, known: str) -> bool:
    """Say whether two names contradict one another; an absent one does not, nor do spaces and capitals."""
    return bool(seen and known) and _plain(seen) != _plain(known)


def _plain(text: str) -> str:
    return re.sub(r"[\s_-]+", "", text).casefold()


@rule(
    "REC-08",
    title="Cleared on the day of the scan",
    severity="exclude",
    source="a trial scans only on scanners that are cleared for its tracer and reconstruction",
    attributes="(0008,0022) (0028,0303)",
    needs=(ONE_SERIES,),
    applies_to=PATIENT,
)
def is_cleared(inputs: Inputs) -> Answer:
    """The scanner was cleared on the scan's own day, for tracer, reconstruction, standard and trial."""
    facts = inputs.facts
    if inputs.scanned_on is None:
        if facts.are_dates_shifted:
            return unknown(
                "The dates in these headers were moved (0028,0303), so the day of the scan is not known.",
                observed=facts.LongitudinalTemporalInformationModified or "",
                expected="the true day of the scan",
                next_step="Say by how many days the dates were moved.",
                owner=Owner.CORE_LAB,
                reason="DATES-SHIFTED",
            )
        return unknown(
            "The day of the scan is missing, or a placeholder stands there (0008,0022).",
            observed=f"{facts.first_frame_at:%Y-%m-%d}" if facts.first_frame_at else "missing",
            expected="the day of the scan",
            next_step="Export the original series again, with all dates and times.",
            owner=Owner.SITE,
        )
    day = _written(inputs.scanned_on)
    if inputs.clearances is None:
        what = "The scanner is not known" if inputs.has_register else "There is no register of accredited scanners"
        return unknown(
            f"{what}, so nobody can say whether it was cleared on {day}.",
            observed=day,
            expected="a clearance",
            next_step="Register the scanner.",
            owner=Owner.CORE_LAB,
        )
    if not is_known_scanner(inputs) or inputs.profile is None or facts.nuclide is None:
        what = "scanner" if not is_known_scanner(inputs) else "reconstruction" if facts.nuclide else "tracer"
        return unknown(
            f"It is not certain which {what} was used, so nobody can say whether it was cleared on {day}.",
            observed=day,
            expected="a clearance",
            next_step="See REC-03 and REC-07.",
            owner=Owner.CORE_LAB,
        )
    found = clearance_on(inputs)
    standard = wording.standard_name(inputs.standard) if inputs.standard else None
    scope = ", ".join(filter(None, (facts.nuclide, inputs.profile.name, standard, inputs.trial)))
    if found is None and inputs.protocol is None:
        return unknown(
            f"On {day} this scanner was not cleared ({_why_not(inputs)}), and there is no protocol that asks for it.",
            observed=f"not cleared on {day}",
            expected=f"a clearance for {scope}",
            next_step="Publish the trial's protocol, then run the check again.",
            owner=Owner.CORE_LAB,
        )
    if found is None:
        return failed(
            f"On {day} this scanner was not cleared for {inputs.trial or 'this scan'} ({_why_not(inputs)}).",
            observed=f"not cleared on {day}",
            expected=f"a clearance for {scope}",
            next_step="Do not scan trial patients on it. Open the case to see what is missing.",
        )
    return passed(
        f"On {day} this scanner was cleared ({found.certificate}, to {_written(found.last_day)}).",
        observed=f"{found.certificate}, {found.from_on} to {found.last_day}",
        expected=f"a clearance for {scope}",
    )


def clearance_on(inputs: Inputs) -> ClearanceSpan | None:
    """Return the clearance that holds on the scan's own day; the trial's own before a general one."""
    day = inputs.scanned_on
    if day is None or not is_known_scanner(inputs):
        return None
    holding = [one for one in _in_scope(inputs) if one.holds_on(day)]
    return max(holding, key=lambda one: (one.trial is not None, one.last_day), default=None)


def _in_scope(inputs: Inputs) -> list[ClearanceSpan]:
    return [
        one
        for one in _of_images(inputs)
        if inputs.standard in {None, one.standard} and one.trial in {None, inputs.trial}
    ]


def _of_images(inputs: Inputs) -> list[ClearanceSpan]:
    """Return the clearances for the scan's tracer and reconstruction, under whatever standard and for any trial."""
    profile, tracer = inputs.profile, inputs.facts.nuclide
    return [
        one
        for one in inputs.clearances or ()
        if profile is not None and one.reconstruction == profile.name and one.tracer == tracer
    ]


def _why_not(inputs: Inputs) -> str:
    day = inputs.scanned_on
    spans = sorted(_in_scope(inputs), key=lambda one: one.from_on)
    before = [one for one in spans if day is not None and one.last_day < day]
    if before:
        last = before[-1]
        if last.ended_on is not None:
            return f"{_ENDINGS.get(last.ending, 'ended')} since {_written(last.ended_on)}"
        return f"expired on {_written(last.last_day)}"
    if spans:
        return f"cleared only from {_written(spans[0].from_on)}"
    of_images = _of_images(inputs)
    if any(one.trial in {None, inputs.trial} for one in of_images):
        others = sorted({wording.standard_name(one.standard) for one in of_images if one.trial in {None, inputs.trial}})
        return f"cleared under {', '.join(others)} only, not under {wording.standard_name(inputs.standard or '')}"
    # Which other trial that is, is not this site's sponsor's business.
    return "cleared for another trial only" if of_images else "no clearance for its tracer and reconstruction"


def _written(day: date) -> str:
    return f"{day.day} {day:%B %Y}"
