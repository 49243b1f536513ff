"""A trial's protocol as a document: what is right, and what is wrong with it in words."""

from __future__ import annotations

from datetime import date, datetime

import jsonschema
import pytest

from phantoms.results import Outcome
from qc import protocols
from qc.protocols import LIMITS, TEMPLATES, DocumentProblems, Limit, ScanDayValues, parse, parse_registry, problems

REGISTRY = {
    "scanners": [
        {
            "manufacturer": "SIEMENS",
            "model": "Vision 600",
            "serial": "60421",
            "software": "VG80B",
            "reconstructions": [{"name": "PSF+TOF 2 mm", "method": "PSF+TOF 4i5s", "filter_fwhm_mm": 2.0}],
            "clearances": [
                {
                    "reconstruction": "PSF+TOF 2 mm",
                    "tracer": "F-18",
                    "standard": "earl2_18f",
                    "trial": None,
                    "certificate": "PET-2026-0001",
                    "from_on": "2026-01-01",
                    "until_on": "2026-12-31",
                    "ended_on": "2026-03-02",
                    "ending": "SUSPENDED",
                }
            ],
        }
    ]
}


def changed(**limits: object) -> dict:
    document = protocols.template("lymphoma")
    document["limits"] |= limits
    return document


def limit(**ends: float) -> dict:
    return {**ends, "source": "the trial", "provenance": "trial"}


@pytest.mark.parametrize("name", sorted(TEMPLATES))
def test_template_when_read_then_it_is_a_protocol(name) -> None:
    assert problems(TEMPLATES[name]) == []
    assert parse(TEMPLATES[name]).title


@pytest.mark.parametrize("name", sorted(TEMPLATES))
def test_template_when_it_limits_then_source_and_provenance_are_kept(name) -> None:
    for found in parse(TEMPLATES[name]).limits.values():
        assert found.source
        assert found.provenance in {"C", "C2", "D", "MH", "MM", "ML"}


def test_lymphoma_when_read_then_its_windows_are_the_house_defaults() -> None:
    limits = parse(TEMPLATES["lymphoma"]).limits
    uptake = limits["uptake_min"]
    assert (uptake.low, uptake.warn_low, uptake.warn_high, uptake.high) == (50, 55, 65, 75)
    assert uptake.provenance == "ML"
    assert (limits["net_activity_difference_pct"].warn_high, limits["net_activity_difference_pct"].high) == (2, 5)
    assert (limits["glucose_mmol_l"].warn_high, limits["glucose_mmol_l"].high) == (8.3, 11.1)
    assert (limits["weight_difference_kg"].high, limits["weight_difference_pct"].high) == (1, 2)


def test_schema_when_held_against_the_limits_then_both_know_the_same() -> None:
    assert set(protocols.schema("protocol")["properties"]["limits"]["properties"]) == set(LIMITS)


@pytest.mark.parametrize("name", ["protocol", "registry"])
def test_schema_when_shipped_then_it_is_one(name) -> None:
    jsonschema.Draft202012Validator.check_schema(protocols.schema(name))


@pytest.mark.parametrize(
    ("document", "words"),
    [
        (None, "The document: a group of values is expected."),
        ({}, "title, tracer, corrections, limits are missing."),
        (changed(uptake_min=limit(low=70, high=60)), "low (70) lies above high (60)."),
        (changed(uptake_min=limit(low=55, warn_low=50, high=75)), "low (55) lies above warn_low (50)."),
        (changed(uptake_min=limit(warn_high=80, high=75)), "warn_high (80) lies above high (75)."),
        (changed(uptake_min=limit()), "give at least one end, or leave the limit out."),
        (changed(uptake_min=limit(low="55")), "limits.uptake_min.low: a number or nothing is expected."),
        (changed(uptake_min=limit(low=-1)), "limits.uptake_min.low: a number of at least 0 is expected."),
        (changed(uptake_min={"low": 55}), "limits.uptake_min: source, provenance are missing."),
        (changed(uptake_h=limit(low=1)), "limits: uptake_h is not known here."),
        (changed(uptake_min=limit(low=55) | {"provenance": "sure"}), "limits.uptake_min.provenance: one of "),
        (changed() | {"tracer": {"nuclide": "18F", "names": [], "codes": []}}, "tracer.nuclide: it is not written"),
    ],
)
def test_problems_when_something_is_wrong_then_it_is_said_in_words(document, words) -> None:
    found = problems(document)
    assert any(words in one for one in found), found
    with pytest.raises(DocumentProblems) as raised:
        parse(document)
    assert raised.value.problems == found


def test_problems_when_several_things_are_wrong_then_all_are_said() -> None:
    assert len(problems(changed(uptake_min=limit(low=70, high=60), fasting_h=limit(low=9, high=4)))) == 2


def test_limit_when_null_then_it_is_not_asked_for() -> None:
    assert "fasting_h" not in parse(changed(fasting_h=None)).limits


@pytest.mark.parametrize(
    ("value", "expected"), [(49, "FAIL"), (50, "WARN"), (55, "PASS"), (65, "PASS"), (66, "WARN"), (76, "FAIL")]
)
def test_limit_when_a_value_is_judged_then_the_ends_belong_to_it(value, expected) -> None:
    window = Limit(name="uptake_min", low=50, warn_low=55, warn_high=65, high=75, source="", provenance="ML")
    assert window.judge(value) is Outcome(expected)


@pytest.mark.parametrize(
    ("ends", "words"),
    [
        ({"low": 50, "warn_low": 55, "warn_high": 65, "high": 75}, "50 to 75 min, best 55 to 65 min"),
        ({"high": 75}, "at most 75 min"),
        ({"low": 50}, "at least 50 min"),
        ({"warn_high": 65}, "at most 65 min"),
    ],
)
def test_limit_when_written_then_what_is_accepted_is_said_with_its_unit(ends, words) -> None:
    assert Limit(name="uptake_min", source="", provenance="ML", **ends).expected == words


def test_registry_when_read_then_a_clearance_that_ended_early_holds_no_longer() -> None:
    (scanner,) = parse_registry(REGISTRY)
    (clearance,) = scanner.clearances
    assert clearance.last_day == date(2026, 3, 1)
    assert clearance.holds_on(date(2026, 3, 1))
    assert not clearance.holds_on(date(2026, 3, 2))
    assert not clearance.holds_on(date(2025, 12, 31))


@pytest.mark.parametrize(
    "document",
    [{}, {"scanners": [{}]}, {"scanners": [REGISTRY["scanners"][0] | {"serial": ""}]}, []],
    ids=["empty", "no scanner", "no serial", "a list"],
)
def test_registry_when_something_is_wrong_then_it_is_said(document) -> None:
    with pytest.raises(DocumentProblems):
        parse_registry(document)


def test_registry_when_a_day_is_none_then_it_is_said() -> None:
    scanner = REGISTRY["scanners"][0]
    clearance = scanner["clearances"][0] | {"until_on": "2026-02-30"}
    with pytest.raises(DocumentProblems, match="no day of the calendar"):
        parse_registry({"scanners": [scanner | {"clearances": [clearance]}]})


def test_values_when_read_from_a_sheet_then_what_is_no_number_or_time_is_not_written() -> None:
    sheet = {
        "weight_kg": 75,
        "height_m": None,
        "injected_mbq": "295",
        "injected_at": "2026-03-02T09:30:00",
        "residual_at": "soon",
        "glucose_mmol_l": -1,
        "fasting_h": True,
        "comment": "x",
    }
    assert ScanDayValues.read(sheet) == ScanDayValues(weight_kg=75.0, injected_at=datetime(2026, 3, 2, 9, 30))
