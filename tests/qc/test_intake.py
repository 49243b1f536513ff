"""The landing place: same bytes, same identity, no identity, and what is never kept."""

from __future__ import annotations

import json

import pytest
from django.core import serializers
from django.db import transaction

from corelab import storage
from qc import intake
from qc.intake import Landed
from qc.models import ReceivedFile
from qc.states import SubmissionState as S
from tests import factories
from tests.qc.kit import CT, slices

pytestmark = pytest.mark.django_db


def land(submission, content):
    with transaction.atomic():
        return intake.land_object(intake.examine(storage.write_part([content])), submission=submission)


def test_land_when_a_slice_comes_then_bytes_and_header_facts_are_kept(draft):
    content = slices(3)[1]
    landing = land(draft, content)
    row = ReceivedFile.objects.get()
    assert landing.landed is Landed.NEW
    assert (row.modality, row.series_number, row.instance_number, row.number_of_slices) == ("PT", 3, 2, 3)
    assert row.is_attenuation_corrected is True
    assert row.facts["model"] == "Phantom 1"
    with storage.open_object(row.stored.sha256) as file:
        assert file.read() == content


def test_land_when_the_same_bytes_come_twice_then_there_is_one_row_and_one_object(draft):
    content = slices()[0]
    assert land(draft, content).landed is Landed.NEW
    assert land(draft, content).landed is Landed.IDENTICAL
    assert ReceivedFile.objects.count() == 1


def test_land_when_the_same_identity_comes_with_other_bytes_then_both_are_kept_as_a_conflict(draft):
    land(draft, slices()[0])
    landing = land(draft, slices(SeriesDescription="again")[0])
    assert landing.landed is Landed.CONFLICT
    assert landing.file.status == "CONFLICT"
    assert ReceivedFile.objects.count() == 2


def test_land_when_the_same_bytes_were_sent_before_then_they_are_repeated(draft, site):
    earlier = factories.submission(of=site, state=S.RELEASED)
    land(earlier, slices()[0])
    landing = land(draft, slices()[0])
    assert (landing.landed, landing.file.status) == (Landed.IDENTICAL, "REPEATED")


@pytest.mark.parametrize(
    "fields", [{"state": S.DRAFT}, {"state": S.WITHDRAWN}, {"state": S.PREVIEWED, "is_dry_run": True}]
)
def test_land_when_the_same_bytes_are_in_what_does_not_count_then_they_are_new(draft, site, fields):
    land(factories.submission(of=site, **fields), slices()[0])
    assert land(draft, slices()[0]).landed is Landed.NEW
    assert land(draft, slices(SeriesDescription="again")[1]).landed is Landed.NEW


def test_land_when_it_replaces_the_earlier_submission_then_the_same_identity_is_no_conflict(draft, site):
    earlier = factories.submission(of=site, state=S.AWAITING_REVIEW)
    land(earlier, slices()[0])
    draft.replaces = earlier
    draft.save()
    assert land(draft, slices(SeriesDescription="again")[0]).landed is Landed.NEW


def test_land_when_it_is_no_dicom_then_it_is_kept_and_left_out(draft):
    landing = land(draft, b"%PDF-1.7 not an image")
    assert landing.landed is Landed.LEFT_OUT
    assert (landing.file.status, landing.file.reason_code) == ("IGNORED", "ING-01")


def test_land_when_it_is_empty_then_it_is_left_out(draft):
    assert land(draft, b"").landed is Landed.LEFT_OUT


def test_land_when_it_is_a_zip_in_a_zip_then_the_reason_says_so(draft):
    assert land(draft, b"PK\x03\x04" + b"\0" * 200).file.reason_code == "ZIP-NESTED"


def test_land_when_the_header_is_cut_off_then_it_is_left_out(draft):
    assert land(draft, slices()[0][:300]).landed is Landed.LEFT_OUT


def test_land_when_a_header_value_is_too_long_for_its_column_then_it_is_cut(draft):
    row = land(draft, slices(DeviceSerialNumber="9" * 300)[0]).file
    assert len(row.facts["serial"]) == 64


def test_land_when_more_slices_are_declared_than_can_be_then_the_number_counts_as_absent(draft):
    content = slices()[0]
    tag = b"\x54\x00\x81\x00"
    at = content.index(tag + b"US")
    long = content[:at] + tag + b"UL\x04\x00" + (0x7FFFFFF0).to_bytes(4, "little") + content[at + 10 :]
    assert land(draft, content).file.number_of_slices == 3
    assert land(draft, long).file.number_of_slices is None


def test_land_when_the_patient_is_named_then_nothing_of_the_name_is_in_any_row(draft):
    for content in slices(PatientID="NHS-4711", PatientName="Person^Planted", PatientBirthDate="19521224"):
        land(draft, content)
    rows = serializers.serialize("json", ReceivedFile.objects.all())
    for planted in ("4711", "Planted", "19521224"):
        assert planted not in rows
    digests = {row["fields"]["patient_digest"] for row in json.loads(rows)}
    assert len(digests) == 1
    assert len(digests.pop()) == 64


def test_patient_digest_when_one_person_is_in_two_series_then_it_is_the_same_and_another_differs(draft):
    pet = land(draft, slices(PatientID="A")[0]).file
    ct = land(draft, slices(seed=2, PatientID="A", PatientBirthDate="19500101", **CT)[0]).file
    other = land(draft, slices(seed=3, PatientID="B")[0]).file
    assert pet.patient_digest == ct.patient_digest != other.patient_digest


def test_patient_digest_when_the_key_changes_then_the_digest_does(draft, settings):
    first = intake.keyed_digest("patient", "A")
    settings.SECRET_KEY = "another key"
    assert intake.keyed_digest("patient", "A") != first


def test_land_when_the_transaction_fails_then_no_row_is_left_and_the_part_is_still_there(draft):
    examined = intake.examine(storage.write_part([slices()[0]]))
    with pytest.raises(ZeroDivisionError), transaction.atomic():
        intake.land_object(examined, submission=draft)
        1 / 0  # noqa: B018
    assert ReceivedFile.objects.count() == 0
    assert examined.part.path.exists()
