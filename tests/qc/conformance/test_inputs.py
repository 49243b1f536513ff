"""From what a run keeps to what rules look at, and what a run gives back beside its findings."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, datetime

import pytest

from qc import conformance, protocols
from qc.protocols import DocumentProblems
from tests.qc.conformance import scans
from tests.qc.conformance.scans import FACTS, GOOD, SUV

DOCUMENT = protocols.template("lymphoma")
PROFILES = [
    {"name": "OSEM 5 mm", "method": "OSEM3D 3i24s", "filter_fwhm_mm": 5.0},
    {"name": "PSF+TOF 2 mm", "method": "PSF+TOF 4i5s", "kernel": "XYZ Gauss2.00", "matrix": 220},
]
SCANNER = {
    "manufacturer": "SIEMENS",
    "model": "Vision 600",
    "serial": "60421",
    "software": "VG80B",
    "reconstructions": PROFILES,
    "clearances": [],
}
OTHER = SCANNER | {"serial": "71022"}


def inputs(facts=FACTS, *, scanners=(SCANNER, OTHER), **asked):
    given = {"protocol": {"version": 3, "document": DOCUMENT}, "registry": {"scanners": list(scanners)}} | asked
    return conformance.inputs_of(facts, SUV, "patient", given)


def test_inputs_when_everything_is_given_then_scanner_and_reconstruction_are_found() -> None:
    found = inputs(scope={"trial": "TRIAL-1", "standard": "earl2_18f", "reconstruction": "PSF+TOF 2 mm"})
    assert (found.registered.serial, found.profile.name) == ("60421", "PSF+TOF 2 mm")
    assert (found.trial, found.scanned_on) == ("TRIAL-1", scans.SCANNED_ON)


def test_inputs_when_nothing_is_given_then_nothing_is_known() -> None:
    found = conformance.inputs_of(FACTS, None, "patient", {"protocol": None, "registry": None, "values": None})
    assert (found.protocol, found.values, found.registered, found.has_register) == (None, None, None, False)


def test_trial_when_only_the_protocol_names_it_then_it_is_taken() -> None:
    found = inputs(protocol={"version": None, "document": DOCUMENT | {"trial": "T-9", "standard": "earl1_18f"}})
    assert (found.trial, found.standard) == ("T-9", "earl1_18f")


@pytest.mark.parametrize(
    ("protocol", "expected"),
    [
        ({"version": 1, "document": DOCUMENT | {"standard": "earl2_18f"}}, "earl2_18f"),
        ({"version": 1, "document": DOCUMENT}, None),  # any will do
        (None, "earl1_18f"),
    ],
)
def test_standard_when_the_protocol_speaks_then_a_submissions_own_does_not_count(protocol, expected) -> None:
    assert inputs(protocol=protocol, scope={"standard": "earl1_18f"}).standard == expected


@pytest.mark.parametrize(
    ("serial", "scanners", "expected"),
    [
        ("60421", (SCANNER, OTHER), "60421"),
        ("99999", (SCANNER, OTHER), None),
        ("", (SCANNER, OTHER), None),
        ("99999", (SCANNER,), "60421"),  # the scanner that the site chose: the difference is said by REC-07
        ("", (SCANNER,), "60421"),
        ("60421", (), None),
    ],
)
def test_scanner_when_looked_for_then_by_its_serial_number(serial, scanners, expected) -> None:
    found = inputs(replace(FACTS, DeviceSerialNumber=serial), scanners=scanners)
    assert (found.registered.serial if found.registered else None) == expected
    assert found.has_register


def test_reconstruction_when_not_named_then_the_one_that_is_alike_is_taken() -> None:
    assert inputs().profile.name == "PSF+TOF 2 mm"
    unlike = scans.made_by("VPFX", "")
    assert inputs(unlike.facts).profile is None


def test_reconstruction_when_named_then_it_is_held_to_that_one() -> None:
    assert inputs(scope={"reconstruction": "OSEM 5 mm"}).profile.name == "OSEM 5 mm"
    assert inputs(scope={"reconstruction": "unknown"}).profile is None


@pytest.mark.parametrize(
    ("modified", "offset_days", "expected"),
    [
        (None, None, date(2026, 3, 2)),
        ("UNMODIFIED", None, date(2026, 3, 2)),
        ("MODIFIED", None, None),
        ("REMOVED", None, None),  # what stands there then is a dummy
        ("MODIFIED", 317, date(2027, 1, 13)),
        ("MODIFIED", 0, date(2026, 3, 2)),
        ("MODIFIED", 10**9, None),
    ],
)
def test_day_when_the_dates_were_moved_then_only_the_offset_gives_it(modified, offset_days, expected) -> None:
    moved = replace(FACTS, LongitudinalTemporalInformationModified=modified)
    assert inputs(moved, date_offset_days=offset_days).scanned_on == expected


def test_day_when_a_placeholder_stands_there_then_no_clearance_is_held_against_it() -> None:
    emptied = replace(FACTS, first_frame_at=datetime(1900, 1, 1, 10, 30))
    assert inputs(emptied).scanned_on is None
    assert inputs(emptied, date_offset_days=46081).scanned_on == date(2026, 3, 2)


def test_inputs_when_a_document_cannot_be_read_then_it_is_said() -> None:
    with pytest.raises(DocumentProblems):
        inputs(protocol={"version": 1, "document": {}})
    with pytest.raises(DocumentProblems):
        inputs(registry={})


# --- what is given back -----------------------------------------------------------------------


def test_shown_when_everything_is_known_then_every_number_is_there() -> None:
    assert conformance.shown_of(GOOD)["values"] == {
        "uptake_min": 60.0,
        "uptake_end_min": 76.0,
        "injected_mbq": 290.0,
        "net_injected_mbq": 290.0,
        "weight_kg": 75.0,
        "glucose_mmol_l": 5.4,
        "fasting_h": 6.0,
        "mbq_per_kg": 3.867,
        "coverage_mm": 900.0,
        "scanned_on": "2026-03-02",
        "clearance": {"certificate": "PET-2026-0001", "until": "2026-12-31"},
    }


def test_shown_when_nothing_is_known_then_every_number_is_none() -> None:
    shown = conformance.shown_of(replace(scans.NO_SERIES, values=None, scanned_on=None))
    assert set(shown["values"].values()) == {None}
    assert (shown["fingerprint"], shown["drifts"]) == (None, [])


@pytest.mark.parametrize(
    ("changed", "attribute", "registered", "seen"),
    [
        (scans.facts(SoftwareVersions="VG85A"), "software", "VG80B", "VG85A"),
        (scans.facts(DeviceSerialNumber="99999"), "serial", "60421", "99999"),
        (scans.facts(ManufacturerModelName="Vision 450"), "model", "Vision 600", "Vision 450"),
        (
            scans.made_by("PSF+TOF 4i5s", "XYZ Gauss5.00"),
            "reconstruction",
            "PSF+TOF 2 mm",
            "PSF+TOF 4i5s, XYZ Gauss5.00, 220 × 3.30 mm",
        ),
    ],
)
def test_drift_when_the_scan_differs_from_the_register_then_both_values_are_given(
    changed, attribute, registered, seen
) -> None:
    assert conformance.shown_of(changed)["drifts"] == [{"attribute": attribute, "registered": registered, "seen": seen}]


def test_drift_when_nothing_differs_then_there_is_none() -> None:
    assert conformance.shown_of(GOOD)["drifts"] == []


def test_reconstruction_when_shown_then_it_has_the_names_of_the_register() -> None:
    assert conformance.shown_of(GOOD)["reconstruction"] == {
        "method": "PSF+TOF 4i5s",
        "kernel": "XYZ Gauss2.00",
        "filter_fwhm_mm": 2.0,
        "matrix": 220,
        "pixel_mm": 3.3,
        "slice_mm": 3.0,
    }
