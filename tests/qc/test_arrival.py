"""What the arrival check says, in the words that ship; one planted problem each."""

from __future__ import annotations

from datetime import date

import pytest

from phantoms.results import Finding, Outcome, Owner
from qc.arrival import (
    Arrived,
    ArrivedFile,
    Before,
    RefusedUpload,
    arrival_findings,
    as_rows,
    missing_numbers,
    ranges_in_words,
)


def series(count=3, *, uid="1.3", number=3, expected="count", first=1, **fields):
    given = {
        "modality": "PT",
        "series_uid": uid,
        "series_number": number,
        "number_of_slices": count if expected == "count" else expected,
        "is_attenuation_corrected": True,
        "patient": "A",
        "model": "Vision 600",
        "serial": "60421",
    } | fields
    return [ArrivedFile(sop_instance_uid=f"{uid}.{k}", instance_number=k, **given) for k in range(first, first + count)]


def check(*files, **arrived):
    scanner = {"scanner_label": "Vision 600 · 60421", "scanner_model": "Vision 600", "scanner_serial": "60421"}
    return arrival_findings(Arrived(files=[f for group in files for f in group], **(scanner | arrived)))


def only(findings, id_):
    assert [finding.id for finding in findings] == [id_]
    return findings[0]


def blocks(finding):
    return finding.severity == "exclude"


def test_findings_when_one_complete_corrected_series_arrived_then_there_are_none():
    assert check(series()) == []


def test_findings_when_nothing_arrived_then_sending_is_blocked():
    assert blocks(only(check(), "SERIES-NONE"))


def test_findings_when_there_are_only_gamma_camera_images_then_sending_is_blocked():
    finding = only(check(series(modality="NM")), "ING-14")
    assert blocks(finding)
    assert finding.message == "These are gamma-camera images (NM), not PET."


def test_findings_when_only_ct_arrived_then_the_missing_pet_blocks():
    assert blocks(only(check(series(modality="CT", number_of_slices=None)), "ING-09"))


def test_findings_when_two_people_are_in_one_upload_then_it_blocks_and_names_whose_series():
    finding = only(check(series(), series(uid="1.5", number=5, modality="CT", patient="B")), "ING-02")
    assert blocks(finding)
    assert finding.message == "This upload holds scans of two people: series 3; series 5."


def test_findings_when_a_header_names_nobody_then_it_is_not_another_person():
    assert check(series(), series(uid="1.5", number=5, modality="CT", patient="")) == []


def test_findings_when_two_people_are_within_one_series_then_it_blocks():
    assert blocks(only(check([*series(2, expected=4), *series(2, first=3, expected=4, patient="B")]), "ING-02"))


def test_findings_when_slices_are_missing_then_their_numbers_are_named_and_it_still_sends():
    files = [file for file in series(89) if not 41 <= file.instance_number <= 46]
    finding = only(check(files), "ING-05")
    assert finding.message == "Series 3 has 83 of 89 slices; 41 to 46 are missing."
    assert not blocks(finding)


def test_findings_when_one_slice_is_missing_then_the_grammar_holds():
    files = [file for file in series(4) if file.instance_number != 2]
    assert only(check(files), "ING-05").message == "Series 3 has 3 of 4 slices; 2 is missing."


def test_findings_when_slices_are_missing_and_numbers_do_not_run_from_one_then_it_says_so():
    finding = only(check(series(3, expected=4, first=100)), "ING-05")
    assert finding.message == "Series 3 has 3 of 4 slices; their numbers do not say which are missing."


def test_findings_when_a_dynamic_series_has_a_multiple_then_nothing_is_missing():
    assert check(series(6, expected=3)) == []
    assert only(check(series(5, expected=3)), "ING-05").message == ("Series 3 has 5 slices, which is no multiple of 3.")


def test_findings_when_files_are_no_dicom_then_they_are_counted():
    left_out = [ArrivedFile(is_left_out=True)] * 14
    finding = only(check(series(545), left_out), "ING-01")
    assert finding.message == "14 of 559 files are not DICOM images."
    assert finding.next_step.startswith("We left them out and kept 545.")


def test_findings_when_everything_came_before_then_it_says_when_and_as_what():
    files = series(before=Before(number="S-2466", on=date(2026, 3, 2)))
    finding = only(check(files), "ING-03")
    assert finding.message == "Nothing new: these 3 images came on 2 March 2026 as S-2466."
    assert not blocks(finding)


def test_findings_when_bytes_came_from_another_site_then_no_number_is_told():
    finding = only(check(series(before=Before(number="", on=None))), "ING-03")
    assert finding.message == "Nothing new: these 3 images came before."


def test_findings_when_an_identity_has_two_contents_then_it_is_told_and_does_not_block_sending():
    files = series()
    files[1] = ArrivedFile(**(files[1].__dict__ | {"is_conflict": True}))
    finding = only(check(files), "ING-13")
    assert finding.message == "A file with this identity came before with other content (series 3, slice 2)."
    assert not blocks(finding)


def test_findings_when_uploads_stopped_then_it_says_at_how_many():
    finding = only(check(series(), uploads_complete=412, uploads_total=545), "ING-16")
    assert finding.message == "The upload stopped at 412 of 545 files."
    assert not blocks(finding)


@pytest.mark.parametrize(
    ("fields", "id_"),
    [
        ({"is_lossy": True}, "ING-10"),
        ({"is_derived": True}, "ING-11"),
        ({"is_attenuation_corrected": False}, "SUV-NOT-CORRECTED"),
        ({"serial": "77777"}, "REC-07"),
        ({"model": "Vision Quadra"}, "REC-07"),
    ],
)
def test_findings_when_a_series_has_one_problem_then_it_is_told_and_sends(fields, id_):
    assert not blocks(only(check(series(**fields)), id_))


def test_findings_when_serial_and_model_differ_in_case_and_spaces_then_it_is_the_same_scanner():
    assert check(series(model="VISION  600", serial=" 60421")) == []


def test_findings_when_the_header_names_no_scanner_then_nobody_is_blamed():
    assert check(series(model="", serial="")) == []


def test_findings_when_two_corrected_series_arrived_then_a_choice_is_asked_for_until_it_is_made():
    both = series(), series(uid="1.4", number=4)
    assert only(check(*both), "SERIES-AMBIGUOUS").message == (
        "2 PET series could be the one to measure: series 3 and 4."
    )
    assert check(*both, chosen_series="1.4") == []


def test_findings_when_a_corrected_and_an_uncorrected_series_arrived_then_there_is_no_question():
    assert check(series(), series(uid="1.4", number=4, is_attenuation_corrected=False)) == []


def test_findings_when_the_sheet_is_half_then_it_blocks_and_stands_first():
    half = Finding(
        id="SHEET-FILL", outcome=Outcome.NOT_EVALUABLE, severity="exclude", message="Half.", owner=Owner.SITE
    )
    findings = check(series(is_lossy=True), sheet_findings=[half])
    assert [finding.id for finding in findings] == ["SHEET-FILL", "ING-10"]


def test_findings_when_there_is_no_sheet_then_it_sends_with_a_finding():
    assert not blocks(only(check(series(), needs_sheet=True), "SHEET-NONE"))


def test_findings_when_a_zip_was_refused_then_its_reason_is_told():
    refused = RefusedUpload(code="ING-15", detail="The zip unpacks to more than 50 times its size.")
    findings = check(refused_uploads=[refused], uploads_complete=1, uploads_total=1)
    assert [finding.id for finding in findings] == ["SERIES-NONE", "ING-15"]


def test_findings_when_many_things_are_wrong_then_all_are_said_at_once():
    findings = check(
        series(3, expected=4, is_lossy=True, serial="1"),
        [ArrivedFile(is_left_out=True)],
        uploads_complete=1,
        uploads_total=2,
        needs_sheet=True,
    )
    assert {finding.id for finding in findings} == {"ING-05", "ING-10", "REC-07", "ING-01", "ING-16", "SHEET-NONE"}


def test_as_rows_when_findings_speak_of_a_series_then_the_row_says_of_which():
    (row,) = as_rows(check(series(is_lossy=True)))
    assert row["series"] == ["1.3"]
    assert row["owner"] == "site"


@pytest.mark.parametrize(
    ("numbers", "words"),
    [
        ([3], "3"),
        ([41, 42, 43], "41 to 43"),
        ([12, 3, 7, 8, 9], "3, 7 to 9 and 12"),
        ([1, 3, 5, 7, 9, 11, 13, 15], "1, 3, 5, 7, 9, 11 and 2 others"),
    ],
)
def test_ranges_in_words_when_numbers_run_on_then_they_are_joined(numbers, words):
    assert ranges_in_words(numbers) == words


def test_missing_numbers_when_a_number_is_unknown_or_outside_then_nothing_is_claimed():
    assert missing_numbers([1, 3], 3) == (2,)
    assert missing_numbers([1, None], 3) == ()
    assert missing_numbers([1, 7], 3) == ()
    assert missing_numbers([1], None) == ()


def test_missing_numbers_when_more_are_declared_than_can_be_then_no_list_of_them_is_made():
    assert missing_numbers([1], 0x7FFFFFF0) == ()
    assert missing_numbers([1, 3], 65_535) == (2, *range(4, 65_536))
