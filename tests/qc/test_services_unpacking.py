"""Zips: streamed into the store, bounded before they are opened, and taken up again where a worker died."""

from __future__ import annotations

import errno
import hashlib
import io
import struct
import zipfile

import pytest

from corelab import jobs, storage
from corelab.models import Attempt, AuditEvent
from qc import services
from qc.models import ReceivedFile, Upload
from qc.services import unpacking
from qc.services.uploads import part_path
from qc.states import SubmissionState as S
from tests.qc.kit import call, slices, work, zip_of

pytestmark = pytest.mark.django_db


@pytest.fixture
def send(draft):
    """Send a zip to the draft; it waits to be unpacked."""

    def sent(content: bytes) -> Upload:
        return call(
            services.upload_receive,
            actor=draft.created_by,
            submission_id=draft.pk,
            length_bytes=len(content),
            file_name="scan.zip",
            stream=io.BytesIO(content),
            is_zip=True,
        )

    return sent


def unpack(upload: Upload) -> Upload:
    work(services.upload_unpack, upload_id=upload.pk)
    upload.refresh_from_db()
    return upload


def members(count=3):
    return [(f"DOE^JOHN/IM{k:04}", content) for k, content in enumerate(slices(count))]


def test_unpack_when_a_zip_holds_a_series_then_every_entry_is_landed(send, django_capture_on_commit_callbacks):
    content = zip_of(*members(), ("readme.txt", b"hello"))
    with django_capture_on_commit_callbacks(execute=True):
        upload = send(content)
    upload.refresh_from_db()
    assert upload.work_state == "DONE"
    assert (upload.progress_done, upload.progress_total) == (4, 4)
    assert upload.sha256 == hashlib.sha256(content).hexdigest()
    assert ReceivedFile.objects.filter(status="KEPT", upload=upload).count() == 3
    assert ReceivedFile.objects.get(status="IGNORED").reason_code == "ING-01"
    kept = {row.stored.sha256 for row in ReceivedFile.objects.filter(status="KEPT")}
    assert kept == {hashlib.sha256(one).hexdigest() for one in slices(3)}
    assert not part_path(upload.pk).exists()
    assert "upload.unpack" in AuditEvent.objects.values_list("action", flat=True)


def test_unpack_when_entries_have_hostile_names_then_names_are_never_used(send, settings, tmp_path):
    hostile = [("../../../escaped", slices()[0]), ("/etc/passwd", slices()[1]), ("a\\..\\b", slices()[2])]
    upload = unpack(send(zip_of(*hostile)))
    assert upload.refused_code == ""
    assert ReceivedFile.objects.filter(status="KEPT").count() == 3
    names = [path.name for path in tmp_path.rglob("*") if path.is_file()]
    assert not {"escaped", "passwd", "b"} & set(names)


def test_unpack_when_a_zip_lies_in_a_zip_then_it_is_left_out_with_the_reason(send):
    unpack(send(zip_of(*members(1), ("inner.zip", zip_of(*members())))))
    assert ReceivedFile.objects.get(status="IGNORED").reason_code == "ZIP-NESTED"
    assert ReceivedFile.objects.filter(status="KEPT").count() == 1


def test_unpack_when_it_swells_over_the_ratio_then_nothing_is_opened(send):
    upload = unpack(send(zip_of(("bomb", b"\0" * 5_000_000))))
    assert upload.refused_code == "ING-15"
    assert upload.refused_detail.startswith("The zip unpacks to more than 50 times its size, so we did not open it.")
    assert ReceivedFile.objects.count() == 0


def test_unpack_when_it_is_over_the_total_then_it_is_refused(send, settings):
    settings.ZIP_MAX_TOTAL_BYTES = 100
    assert unpack(send(zip_of(*members()))).refused_code == "ZIP-TOO-LARGE"


@pytest.mark.parametrize("entries", [2, 1])
def test_unpack_when_it_holds_too_many_files_then_it_is_refused(send, settings, entries):
    settings.ZIP_MAX_ENTRIES = entries
    assert unpack(send(zip_of(*members(3)))).refused_code == "ZIP-TOO-MANY"


def test_unpack_when_its_directory_is_declared_huge_then_it_is_refused_before_it_is_read(send, monkeypatch):
    content = bytearray(zip_of(*members(1)))
    at = content.rfind(b"PK\x05\x06")
    content[at + 12 : at + 16] = struct.pack("<I", 500_000_000)
    monkeypatch.setattr(zipfile, "ZipFile", None)
    assert unpack(send(bytes(content))).refused_code == "ZIP-TOO-MANY"


@pytest.mark.parametrize("comment", [b"", b"c" * 65_535])
def test_unpack_when_only_the_64_bit_end_record_declares_a_huge_directory_then_it_is_refused_too(
    send, monkeypatch, comment
):
    content = zip_of(*members(1))
    at = content.rfind(b"PK\x05\x06")
    record = struct.pack("<4sQ2H2L4Q", b"PK\x06\x06", 44, 45, 45, 0, 0, 1, 1, 500_000_000, 0)
    locator = struct.pack("<4sLQL", b"PK\x06\x07", 0, at, 1)
    end = content[at : at + 20] + struct.pack("<H", len(comment)) + comment
    monkeypatch.setattr(zipfile, "ZipFile", None)
    assert unpack(send(content[:at] + record + locator + end)).refused_code == "ZIP-TOO-MANY"


@pytest.mark.parametrize("compression", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_unpack_when_a_rarely_used_compression_is_damaged_then_it_is_refused_in_words(send, compression):
    content = bytearray(zip_of(*members(1), compression=compression))
    start = 30 + len(members(1)[0][0]) + (9 if compression == zipfile.ZIP_LZMA else 0)
    content[start : start + 200] = b"\xff" * 200
    upload = unpack(send(bytes(content)))
    assert (upload.work_state, upload.refused_code) == ("DONE", "ZIP-DAMAGED")


def test_unpack_when_an_lzma_dictionary_is_declared_huge_then_it_is_refused_before_memory_is_taken(send, monkeypatch):
    content = bytearray(zip_of(*members(1), compression=zipfile.ZIP_LZMA))
    start = 30 + len(members(1)[0][0])
    content[start + 5 : start + 9] = b"\xff" * 4
    monkeypatch.setattr(zipfile.ZipFile, "open", None)
    upload = unpack(send(bytes(content)))
    assert (upload.work_state, upload.refused_code) == ("DONE", "ZIP-DAMAGED")


def test_unpack_when_the_disk_fails_then_the_zip_is_not_called_damaged(send, monkeypatch):
    upload = send(zip_of(*members(1)))

    def fails(file):
        raise OSError(errno.EIO, "I/O error")

    monkeypatch.setattr(storage, "read_chunks", fails)
    assert unpack(upload).refused_code == ""


def test_unpack_when_a_size_is_a_lie_then_reading_stops_at_what_was_declared(send):
    content = bytearray(zip_of(("lie", b"\0" * 3_000_000), *members()))
    # The directory says 10 bytes: the entry then fails its check sum, and no more than that was read of it.
    at = content.find(b"PK\x01\x02")
    content[at + 24 : at + 28] = struct.pack("<I", 10)
    upload = unpack(send(bytes(content)))
    assert upload.refused_code == "ZIP-DAMAGED"
    assert ReceivedFile.objects.count() == 0


def test_unpack_when_it_is_empty_then_it_says_so(send):
    assert unpack(send(zip_of())).refused_code == "ZIP-EMPTY"


@pytest.mark.parametrize("content", [b"PK\x03\x04 cut off", b"no zip at all, only its name says so"])
def test_unpack_when_it_is_damaged_then_it_says_so(send, content):
    assert unpack(send(content)).refused_code == "ZIP-DAMAGED"


def test_unpack_when_it_is_cut_off_within_an_entry_then_it_is_refused_in_words(send):
    content = zip_of(*members(), compression=zipfile.ZIP_STORED)
    broken = bytearray(content)
    broken[300:310] = b"!" * 10
    upload = unpack(send(bytes(broken)))
    assert upload.refused_code == "ZIP-DAMAGED"
    assert "damaged" in upload.refused_detail


def test_unpack_when_it_is_locked_then_it_says_so(send):
    content = bytearray(zip_of(*members(1)))
    for mark, offset in ((b"PK\x01\x02", 8), (b"PK\x03\x04", 6)):
        content[content.find(mark) + offset] |= 1
    assert unpack(send(bytes(content))).refused_code == "ZIP-ENCRYPTED"


def test_unpack_when_a_worker_died_half_way_then_the_next_goes_on_and_nothing_is_twice(send, monkeypatch):
    monkeypatch.setattr(unpacking, "BATCH_ENTRIES", 2)
    upload = send(zip_of(*members(5)))
    land, calls = unpacking._land_batch, []

    def dies(*args):
        calls.append(args)
        if len(calls) == 2:
            raise MemoryError
        land(*args)

    monkeypatch.setattr(unpacking, "_land_batch", dies)
    unpack(upload)
    assert (upload.work_state, upload.progress_done) == ("QUEUED", 2)
    assert ReceivedFile.objects.count() == 2
    monkeypatch.setattr(unpacking, "_land_batch", land)
    assert unpack(upload).work_state == "DONE"
    assert ReceivedFile.objects.count() == 5
    assert list(Attempt.objects.values_list("outcome", flat=True)) == ["FAILED", "COMPLETED"]


def test_unpack_when_it_fails_three_times_then_it_is_our_error_and_the_site_is_told(send, monkeypatch):
    upload = send(zip_of(*members()))

    def broken(*args):
        raise MemoryError

    monkeypatch.setattr(unpacking, "_land_batch", broken)
    for _ in range(jobs.MAX_ATTEMPTS):
        unpack(upload)
    assert (upload.work_state, upload.refused_code) == ("FAILED", "OUR-ERROR")
    assert "our side" in upload.refused_detail


def test_unpack_when_the_draft_was_withdrawn_then_nothing_more_lands(send, draft):
    upload = send(zip_of(*members()))
    draft.state = S.WITHDRAWN
    draft.save()
    assert unpack(upload).refused_code == "UPLOAD-LATE"
    assert ReceivedFile.objects.count() == 0


def test_unpack_when_another_worker_was_given_the_zip_then_this_outcome_is_dropped(send, monkeypatch):
    upload = send(zip_of(*members()))
    land = unpacking._land_batch

    def swept_meanwhile(*args):
        land(*args)
        Upload.objects.update(attempts=2)

    monkeypatch.setattr(unpacking, "_land_batch", swept_meanwhile)
    unpack(upload)
    assert (upload.work_state, upload.attempts) == ("RUNNING", 2)
    assert part_path(upload.pk).exists()


def test_unpack_when_the_submission_waits_for_it_then_its_check_is_rung(
    send, draft, monkeypatch, django_capture_on_commit_callbacks
):
    upload = send(zip_of(*members()))
    draft.state = S.CHECKING
    draft.save()
    rung = []
    monkeypatch.setattr(jobs, "enqueue", lambda name, **kwargs: rung.append(name))
    unpack(upload)
    assert rung == ["qc.check_submission"]


def test_unpack_when_many_entries_come_then_queries_do_not_grow_with_them(send, django_assert_max_num_queries):
    upload = send(zip_of(*members(40)))
    with django_assert_max_num_queries(35):
        unpack(upload)
    assert ReceivedFile.objects.count() == 40
