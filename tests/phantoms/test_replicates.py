"""Several scans of one phantom: mean and scatter, and nothing of one acquisition taken for several."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path

import pytest

from phantoms import dicom_series, digital
from phantoms.errors import AnalysisRefused
from phantoms.replicates import Replicate, Span, acquisition_span, combine
from phantoms.results import Measurement, QualityFlag
from phantoms.suv.header import SeriesHeader
from qc import analysis

COARSE = {"shape_zyx": (60, 90, 90), "spacing_zyx_mm": (3.5, 4.0, 4.0)}


BEGUN = datetime(2026, 3, 2, 10, 30)


def minutes(start: float, end: float) -> Span:
    return Span(BEGUN + timedelta(minutes=start), BEGUN + timedelta(minutes=end))


def replicate(uid: str, value: float | None, acquired: Span | None) -> Replicate:
    flags = QualityFlag.NO_FIT if value is None else QualityFlag.NONE
    return Replicate(uid, acquired, (Measurement(name="lung", value=value, unit="%", flags=flags),))


def test_combine_when_three_are_given_then_mean_and_sample_deviation_are_theirs() -> None:
    (one,) = combine(
        [
            replicate("1", 2.0, minutes(0, 10)),
            replicate("2", 3.0, minutes(10, 20)),
            replicate("3", 7.0, minutes(25, 35)),
        ]
    )
    # (2 + 3 + 7) / 3 = 4; squares 4 + 1 + 9 = 14, over 3 - 1.
    assert (one.name, one.unit, one.values) == ("lung", "%", (2.0, 3.0, 7.0))
    assert one.mean == pytest.approx(4.0)
    assert one.sd == pytest.approx(7.0**0.5)


def test_combine_when_one_lacks_a_number_then_there_is_no_mean_of_the_others() -> None:
    (one,) = combine([replicate("1", 2.0, minutes(0, 10)), replicate("2", None, minutes(10, 20))])
    assert (one.values, one.mean, one.sd) == ((2.0, None), None, None)


@pytest.mark.parametrize(
    ("second", "code"),
    [
        (minutes(0, 10), "NEMA-REPLICATE-SAME-ACQUISITION"),  # reconstructed twice
        (minutes(0, 3), "NEMA-REPLICATE-SAME-ACQUISITION"),  # its first minutes alone
        (minutes(7, 10), "NEMA-REPLICATE-SAME-ACQUISITION"),  # its last ones, under another start
        (minutes(2, 5), "NEMA-REPLICATE-SAME-ACQUISITION"),
        (minutes(-5, 0.5), "NEMA-REPLICATE-SAME-ACQUISITION"),
        (minutes(0, 0), "NEMA-REPLICATE-SAME-ACQUISITION"),
        (None, "NEMA-REPLICATE-NO-TIME"),
    ],
)
def test_combine_when_they_are_not_surely_several_acquisitions_then_refuses(second: Span | None, code: str) -> None:
    for pair in (1, -1):
        with pytest.raises(AnalysisRefused) as refused:
            combine([replicate("1.2", 2.0, minutes(0, 10)), replicate("1.3", 3.0, second)][::pair])
        assert refused.value.code == code
        assert "1.3" in refused.value.detail
        assert refused.value.next_step


@pytest.mark.parametrize("gap_s", [0.0, -0.9, 3.0, 86_400.0])
def test_combine_when_one_follows_the_other_then_they_are_replicates(gap_s: float) -> None:
    # A start cut to whole seconds may lie up to a second early.
    second = minutes(10 + gap_s / 60, 20 + gap_s / 60)
    assert combine([replicate("1.2", 2.0, minutes(0, 10)), replicate("1.3", 3.0, second)])[0].mean == pytest.approx(2.5)


BED = {"AcquisitionDate": "20260302", "AcquisitionTime": "103000.00", "ActualFrameDuration": "120000"}


@pytest.mark.parametrize(
    ("beds", "span"),
    [
        ([BED], minutes(0, 2)),
        ([BED, BED | {"AcquisitionTime": "103200"}], minutes(0, 4)),
        ([BED | {"AcquisitionDate": None, "AcquisitionDateTime": "20260302103100"}], minutes(1, 3)),
        ([BED | {"AcquisitionDateTime": "20260302093000+0000", "TimezoneOffsetFromUTC": "+0100"}], minutes(0, 2)),
        ([BED, BED | {"AcquisitionTime": None}], None),
        ([BED, BED | {"AcquisitionDate": None}], None),
        ([BED | {"ActualFrameDuration": None}], None),
        ([BED | {"ActualFrameDuration": "0"}], None),
        ([], None),
    ],
)
def test_span_when_headers_are_read_then_it_reaches_from_the_first_bed_to_the_end_of_the_last(
    beds: list[dict[str, str | None]], span: Span | None
) -> None:
    assert acquisition_span(SeriesHeader.from_slices(beds)) == span


@pytest.fixture(scope="module")
def scans(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, list[str]], dict[str, object]]:
    """Return a folder with three acquisitions, the first reconstructed twice, their series, and the sheet."""
    folder = tmp_path_factory.mktemp("replicates")
    uids: dict[str, list[str]] = {"acquired": [], "again": [], "late": []}
    first = digital.nema_iq(seed=1, **COARSE)
    for number in range(3):
        scan = digital.nema_iq(
            seed=1 + number, scanned_at=digital.SCANNED_AT + timedelta(minutes=12 * number), **COARSE
        )
        digital.write_dicom(scan, folder / f"acquired{number}", seed=number)
    digital.write_dicom(digital.nema_iq(5.0, seed=1, **COARSE), folder / "again", seed=9)
    # Another reconstruction leaves the first minute out, so that no second is the same.
    late = digital.nema_iq(5.0, seed=1, scanned_at=digital.SCANNED_AT + timedelta(minutes=1), **COARSE)
    digital.write_dicom(late, folder / "late", seed=10)
    for name in ("acquired0", "acquired1", "acquired2", "again", "late"):
        (series,) = dicom_series.read_scan(dicom_series.list_files(folder / name)).series
        uids[name.rstrip("012")].append(series.as_json()["series_instance_uid"])
    return folder, uids, first.sheet


def measured(scans: tuple[Path, dict[str, list[str]], dict[str, object]], series: list[str]) -> analysis.Analysis:
    folder, _, sheet = scans
    request = analysis.Request(method="nema_iq", sheet=sheet)
    return analysis.analyse_replicates(dicom_series.list_files(folder), request, series)


def test_analyse_replicates_when_acquired_apart_then_every_number_has_its_mean_beside_the_first_scan(scans) -> None:
    series = scans[1]["acquired"]
    outcome = measured(scans, series)
    assert outcome.exit_status == 0
    assert outcome.json["replicates"]["series"] == series
    by_name = {one["name"]: one for one in outcome.json["replicates"]["measurements"]}
    plain = {one["name"]: one["value"] for one in outcome.json["measurements"] if one["standard"] is None}
    assert set(by_name) == set(plain)
    contrast = by_name["sphere_37mm_qh_pct"]
    assert contrast["values"][0] == plain["sphere_37mm_qh_pct"]
    assert len(set(contrast["values"])) == 3
    assert contrast["mean"] == pytest.approx(sum(contrast["values"]) / 3)
    assert contrast["sd"] > 0


@pytest.mark.parametrize("other", ["again", "late"])
def test_analyse_replicates_when_one_acquisition_was_reconstructed_twice_then_is_refused(scans, other: str) -> None:
    outcome = measured(scans, [scans[1]["acquired"][0], scans[1][other][0]])
    assert outcome.exit_status == 3
    assert outcome.json["refused"]["code"] == "NEMA-REPLICATE-SAME-ACQUISITION"
    assert "replicates" not in outcome.json


def test_analyse_replicates_when_a_series_is_not_there_then_that_is_the_refusal(scans) -> None:
    outcome = measured(scans, [scans[1]["acquired"][0], "1.2.3.4"])
    assert outcome.exit_status != 0
    assert "1.2.3.4" in outcome.json["refused"]["detail"]
