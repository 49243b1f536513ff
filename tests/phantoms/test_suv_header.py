"""Header values as plain Python: dates, times, numbers, and what differs between slices."""

from __future__ import annotations

import subprocess
import sys
from datetime import date, datetime, time, timedelta

import pytest

from phantoms.suv import SeriesHeader
from phantoms.suv.header import parse_date, parse_datetime, parse_offset, parse_time


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("20260302", date(2026, 3, 2)),
        ("2026.03.02", date(2026, 3, 2)),
        ("20260230", None),
        ("202603", None),
        ("", None),
        (None, None),
    ],
)
def test_date_when_written_as_dicom_allows_then_it_is_read(text, value) -> None:
    assert parse_date(text) == value


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("110203.5", time(11, 2, 3, 500000)),
        ("110203.0000001", time(11, 2, 3)),
        ("110203", time(11, 2, 3)),
        ("1102", time(11, 2)),
        ("11", time(11)),
        ("11:02:03", time(11, 2, 3)),
        ("235960", time(23, 59, 59)),
        ("250000", None),
        ("noon", None),
        (None, None),
    ],
)
def test_time_when_written_as_dicom_allows_then_it_is_read(text, value) -> None:
    assert parse_time(text) == value


@pytest.mark.parametrize(
    ("text", "zone", "value"),
    [
        ("20260302110203.25", None, datetime(2026, 3, 2, 11, 2, 3, 250000)),
        ("2026030211", None, datetime(2026, 3, 2, 11)),
        ("20260302", None, None),
        ("20260302110000+0200", None, datetime(2026, 3, 2, 11)),
        ("20260302110000+0200", "+0100", datetime(2026, 3, 2, 10)),
        ("20260302003000-0500", "+0000", datetime(2026, 3, 2, 5, 30)),
        ("20260302110000", "+0100", datetime(2026, 3, 2, 11)),
        ("00010101000000+1400", "-1200", None),
        ("nonsense", None, None),
    ],
)
def test_datetime_when_written_as_dicom_allows_then_it_is_wall_clock(text, zone, value) -> None:
    assert parse_datetime(text, zone) == value


def test_offset_when_written_as_dicom_allows_then_it_is_read() -> None:
    assert parse_offset("-0330") == -timedelta(hours=3, minutes=30)
    assert parse_offset("0330") is None


def test_header_when_values_are_texts_numbers_or_lists_then_they_are_read_as_their_kind() -> None:
    header = SeriesHeader.from_slices(
        [
            {
                "Units": " BQML\0",
                "PatientWeight": "70.5",
                "PatientSize": "nan",
                "CorrectedImage": "ATTN\\DECY",
                "NumberOfSlices": "12",
                "SeriesTime": "",
            }
        ]
    )
    assert (header.Units, header.PatientWeight, header.PatientSize) == ("BQML", 70.5, None)
    assert header.CorrectedImage == ("ATTN", "DECY")
    assert header.NumberOfSlices == 12
    assert header.SeriesTime is None


def test_header_when_slices_write_one_value_in_two_ways_then_they_agree() -> None:
    header = SeriesHeader.from_slices([{"PatientWeight": "70"}, {"PatientWeight": 70.0}, {"PatientWeight": 71}])
    assert header.differing == ("PatientWeight",)
    assert SeriesHeader.from_slices([{"PatientWeight": "70"}, {"PatientWeight": 70.0}]).differing == ()


def test_header_when_there_are_no_slices_then_it_is_empty() -> None:
    assert SeriesHeader.from_slices([]) == SeriesHeader()


ALONE = """
import importlib, pkgutil, sys
import phantoms.suv
for module in pkgutil.iter_modules(phantoms.suv.__path__):
    importlib.import_module(f"phantoms.suv.{module.name}")
result = phantoms.suv.suv_factor(phantoms.suv.SeriesHeader.from_slices([{"Units": "BQML"}]))
assert result.as_json()["refused"]
heavy = {"numpy", "scipy", "pydicom", "django", "matplotlib"} & set(sys.modules)
sys.exit(f"imported: {heavy}" if heavy else 0)
"""


def test_suv_when_imported_and_used_then_nothing_but_python_comes_with_it() -> None:
    done = subprocess.run([sys.executable, "-c", ALONE], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


PHILIPS = {"Manufacturer": "Philips Medical Systems", "Units": "CNTS", "ActivityConcentrationScaleFactor": 1.6}


@pytest.mark.parametrize(
    ("changes", "factor"),
    [
        ({}, 1.6),
        ({"private_without_creator": ["ActivityConcentrationScaleFactor"]}, 1.6),
        ({"Manufacturer": "OTHER", "private_without_creator": ["ActivityConcentrationScaleFactor"]}, None),
        ({"ActivityConcentrationScaleFactor": 0.0}, None),
        ({"ActivityConcentrationScaleFactor": None}, None),
        ({"Units": "PROPCPS"}, None),
        ({"Units": "BQML"}, 1.0),
        ({"Units": "GML"}, None),
        ({"Units": None}, None),
    ],
)
def test_to_bqml_factor_when_philips_names_it_then_counts_have_one(changes, factor) -> None:
    assert SeriesHeader.from_slices([PHILIPS | changes]).to_bqml_factor == factor


@pytest.mark.parametrize("change", [{"ActivityConcentrationScaleFactor": 1.7}, {"Units": "BQML"}])
def test_to_bqml_factor_when_slices_differ_then_there_is_none(change) -> None:
    assert SeriesHeader.from_slices([PHILIPS, PHILIPS | change]).to_bqml_factor is None


@pytest.mark.parametrize("blank", ["", " ", "\0", "\r", " \t\0 "])
def test_text_when_it_is_blank_then_it_counts_as_absent(blank: str) -> None:
    assert SeriesHeader.from_slices([{"Manufacturer": blank}]).Manufacturer is None
