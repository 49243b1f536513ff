"""The tus door: what it answers to every header, to strangers, to broken connections and to two at once."""

from __future__ import annotations

import base64
import hashlib
import io

import pytest
from django.test import Client
from django.urls import reverse

from corelab import storage
from corelab.errors import OutOfSpace
from corelab.models import Role, StoredObject
from qc.models import ReceivedFile, Upload
from qc.services import uploads
from qc.states import SubmissionState as S
from tests import factories
from tests.qc.kit import slices, zip_of

pytestmark = pytest.mark.django_db

TYPE = "application/offset+octet-stream"


def b64(text: str | bytes) -> str:
    return base64.b64encode(text.encode() if isinstance(text, str) else text).decode()


class Tus:
    """A client that speaks the protocol as the site's page does."""

    def __init__(self, user, submission) -> None:
        self.client = Client()
        if user is not None:
            self.client.force_login(user)
        self.submission = submission

    def request(self, method, url, body=b"", **headers):
        names = {f"HTTP_{key.upper()}": str(value) for key, value in headers.items()}
        names.setdefault("HTTP_TUS_RESUMABLE", "1.0.0")
        return self.client.generic(method, url, body, content_type=TYPE, **names)

    def create(self, length, body=b"", name="scan/IM0001", **headers):
        metadata = f"submission {b64(str(self.submission))},filename {b64(name)}"
        url = reverse("qc:upload-create")
        return self.request("POST", url, body, upload_length=length, upload_metadata=metadata, **headers)

    def patch(self, url, offset, body, **headers):
        return self.request("PATCH", url, body, upload_offset=offset, **headers)

    def broken(self, method, url, stream, declared, **headers):
        """Send a request whose body ends before its declared length."""
        names = {f"HTTP_{key.upper()}": str(value) for key, value in headers.items()}
        body = {"wsgi.input": stream, "CONTENT_LENGTH": str(declared), "CONTENT_TYPE": TYPE}
        return self.client.generic(method, url, b"", HTTP_TUS_RESUMABLE="1.0.0", **names, **body)

    def head(self, url):
        return self.request("HEAD", url)


@pytest.fixture
def tus(sender, draft):
    return Tus(sender, draft)


@pytest.fixture
def content():
    return slices()[0]


def test_options_when_asked_then_version_and_extensions_are_told(tus):
    response = Client().options(reverse("qc:upload-create"))
    assert response.status_code == 204
    assert response["Tus-Version"] == "1.0.0"
    assert "creation-with-upload" in response["Tus-Extension"]


def test_create_when_the_version_is_not_said_then_it_is_refused(tus):
    assert tus.create(10, tus_resumable="0.2.2").status_code == 412


def test_create_when_nobody_is_signed_in_then_401_and_nothing_is_kept(draft):
    assert Tus(None, draft).create(3, b"abc").status_code == 401
    assert Upload.objects.count() == 0


@pytest.mark.parametrize("role", [Role.PHYSICIST, Role.TECHNICIAN, Role.ADMINISTRATOR])
def test_create_when_the_person_is_staff_then_the_draft_is_not_theirs_to_fill(draft, role):
    assert Tus(factories.user(role), draft).create(3).status_code == 404


def test_every_method_when_the_person_is_of_another_site_then_404(tus, content):
    url = tus.create(len(content))["Location"]
    stranger = Tus(factories.user(Role.SITE_USER, site=factories.site()), tus.submission)
    assert stranger.create(3).status_code == 404
    assert stranger.head(url).status_code == 404
    assert stranger.patch(url, 0, content).status_code == 404
    assert stranger.request("DELETE", url).status_code == 404
    assert Upload.objects.get().offset_bytes == 0


def test_create_when_no_token_is_sent_then_csrf_refuses(sender, draft):
    client = Client(enforce_csrf_checks=True)
    client.force_login(sender)
    response = client.generic("POST", reverse("qc:upload-create"), b"", content_type=TYPE, HTTP_TUS_RESUMABLE="1.0.0")
    assert response.status_code == 403


def test_create_with_upload_when_a_slice_comes_whole_then_it_is_landed_in_one_request(
    tus, content, django_capture_on_commit_callbacks
):
    with django_capture_on_commit_callbacks(execute=True):
        response = tus.create(len(content), content)
    assert response.status_code == 201
    assert response["Upload-Offset"] == str(len(content))
    row = ReceivedFile.objects.get()
    assert row.stored.sha256 == hashlib.sha256(content).hexdigest()
    assert Upload.objects.get().is_complete
    assert not list(uploads.part_path(Upload.objects.get().pk).parent.iterdir())


def test_create_with_upload_when_the_answer_was_lost_then_the_same_request_finds_the_same_upload(tus, content):
    first = tus.create(len(content), content)
    again = tus.create(len(content), content)
    assert again["Location"] == first["Location"]
    assert again["Upload-Offset"] == str(len(content))
    assert ReceivedFile.objects.count() == Upload.objects.count() == 1


def test_create_with_upload_when_name_and_length_are_the_same_but_not_the_bytes_then_both_are_kept(tus):
    one, two = slices()[:2]
    assert len(one) == len(two)
    first, second = tus.create(len(one), one), tus.create(len(two), two)
    assert first["Location"] != second["Location"]
    assert ReceivedFile.objects.count() == 2
    assert tus.create(len(two), two)["Location"] == second["Location"]
    assert ReceivedFile.objects.count() == 2


def test_create_when_a_slice_comes_then_few_queries_are_made(tus, content, django_assert_max_num_queries):
    tus.create(len(content), content)
    with django_assert_max_num_queries(16):
        tus.create(len(slices()[1]), slices()[1], name="scan/IM0002")


def test_create_when_the_file_name_is_sent_then_only_a_digest_of_it_is_kept(tus, content):
    tus.create(len(content), content, name="DOE_JOHN/IM0001")
    values = str(list(Upload.objects.values()) + list(ReceivedFile.objects.values()))
    assert "DOE" not in values


def test_create_when_the_file_is_empty_then_it_is_complete_and_left_out(tus):
    response = tus.create(0)
    assert response["Upload-Offset"] == "0"
    assert Upload.objects.get().is_complete
    assert ReceivedFile.objects.get().status == "IGNORED"


def test_patch_when_a_file_comes_in_pieces_then_the_offset_grows_and_the_whole_is_landed(tus, content):
    url = tus.create(len(content))["Location"]
    first = tus.patch(url, 0, content[:100])
    assert (first.status_code, first["Upload-Offset"]) == (204, "100")
    assert tus.head(url)["Upload-Offset"] == "100"
    assert ReceivedFile.objects.count() == 0
    last = tus.patch(url, 100, content[100:])
    assert (last.status_code, last["Upload-Offset"]) == (204, str(len(content)))
    assert ReceivedFile.objects.get().stored.sha256 == hashlib.sha256(content).hexdigest()
    assert tus.head(url)["Upload-Length"] == str(len(content))


@pytest.mark.parametrize("offset", [0, 99, 101])
def test_patch_when_the_offset_is_wrong_then_409_and_nothing_changes(tus, content, offset):
    url = tus.create(len(content))["Location"]
    tus.patch(url, 0, content[:100])
    assert tus.patch(url, offset, b"x" * 50).status_code == 409
    assert tus.head(url)["Upload-Offset"] == "100"
    tus.patch(url, 100, content[100:])
    assert ReceivedFile.objects.get().stored.sha256 == hashlib.sha256(content).hexdigest()


def test_patch_when_the_connection_breaks_then_what_is_synced_counts_and_the_rest_is_asked_for(tus, content):
    url = tus.create(len(content))["Location"]
    response = tus.broken("PATCH", url, io.BytesIO(content[:70]), 300, upload_offset=0)
    assert response.status_code == 400
    assert response["Upload-Offset"] == "70"
    assert tus.head(url)["Upload-Offset"] == "70"
    assert tus.patch(url, 70, content[70:]).status_code == 204
    assert ReceivedFile.objects.get().stored.sha256 == hashlib.sha256(content).hexdigest()


def test_create_with_upload_when_the_connection_breaks_then_the_upload_goes_on_by_patch(tus, content):
    metadata = f"submission {b64(str(tus.submission))},filename {b64('scan/IM0001')}"
    headers = {"upload_length": len(content), "upload_metadata": metadata}
    response = tus.broken("POST", reverse("qc:upload-create"), io.BytesIO(content[:70]), len(content), **headers)
    assert (response.status_code, response["Upload-Offset"]) == (201, "70")
    assert tus.patch(response["Location"], 70, content[70:]).status_code == 204
    assert ReceivedFile.objects.count() == 1


def test_patch_when_the_stream_raises_then_what_was_read_is_kept(tus, content):
    url = tus.create(len(content))["Location"]

    class Broken(io.BytesIO):
        def read(self, size=-1):
            if self.tell():
                raise OSError("the peer is gone")
            return super().read(50)

    response = tus.broken("PATCH", url, Broken(content), 300, upload_offset=0)
    assert response["Upload-Offset"] == "50"


def test_patch_when_leftovers_of_a_broken_request_lie_beyond_the_offset_then_they_are_cut_off(tus, content):
    url = tus.create(len(content))["Location"]
    tus.patch(url, 0, content[:100])
    with uploads.part_path(Upload.objects.get().pk).open("ab") as file:
        file.write(b"never acknowledged" * len(content))
    tus.patch(url, 100, content[100:])
    assert ReceivedFile.objects.get().stored.sha256 == hashlib.sha256(content).hexdigest()


def test_patch_when_the_part_is_gone_then_the_upload_starts_again(tus, content):
    url = tus.create(len(content))["Location"]
    tus.patch(url, 0, content[:100])
    uploads.part_path(Upload.objects.get().pk).unlink()
    assert tus.patch(url, 100, content[100:]).status_code == 409
    assert tus.head(url)["Upload-Offset"] == "0"


def test_patch_when_another_request_writes_now_then_423_and_nothing_is_written(tus, content):
    url = tus.create(len(content))["Location"]
    path = uploads.part_path(Upload.objects.get().pk)
    with uploads._locked(path):
        assert tus.patch(url, 0, content[:10]).status_code == 423
    assert path.stat().st_size == 0


def test_patch_when_another_request_moved_on_before_the_lock_then_its_bytes_are_not_touched(tus, content, monkeypatch):
    url = tus.create(len(content))["Location"]
    locked = uploads._locked

    def overtaken(path):
        monkeypatch.setattr(uploads, "_locked", locked)
        assert tus.patch(url, 0, content[:100]).status_code == 204
        return locked(path)

    monkeypatch.setattr(uploads, "_locked", overtaken)
    assert tus.patch(url, 0, b"x" * 30).status_code == 409
    assert uploads.part_path(Upload.objects.get().pk).read_bytes() == content[:100]


def test_patch_when_two_wrote_the_same_piece_then_the_slower_one_is_refused(tus, content, monkeypatch):
    url = tus.create(len(content))["Location"]
    copy = uploads._copy

    def overtaken(*args):
        written = copy(*args)
        Upload.objects.update(offset_bytes=10)
        return written

    monkeypatch.setattr(uploads, "_copy", overtaken)
    assert tus.patch(url, 0, content[:100]).status_code == 409
    assert tus.head(url)["Upload-Offset"] == "10"


def test_patch_when_the_body_is_over_the_chunk_limit_then_413_before_it_is_read(tus, content, settings):
    settings.UPLOAD_CHUNK_BYTES = 100
    url = tus.create(len(content))["Location"]
    assert tus.patch(url, 0, content[:101]).status_code == 413
    assert tus.create(len(content), content, name="other").status_code == 413


def test_create_when_the_file_is_over_the_limit_then_413(tus, settings):
    settings.UPLOAD_FILE_MAX_BYTES = 100
    assert tus.create(101).status_code == 413


def test_create_when_the_body_is_longer_than_the_file_then_400(tus):
    assert tus.create(2, b"abc").status_code == 400


@pytest.mark.parametrize("length", ["", "-1", "1.5", "x", "9" * 30])
def test_create_when_the_length_is_no_number_then_400(tus, length):
    assert tus.create(length).status_code == 400


@pytest.mark.parametrize(
    "metadata",
    [
        "filename !!!,submission ???",
        "filename ä,submission ö",
        "filename AAA,submission A",
        f"filename {b64('a')},submission {b64('S-1' + chr(0))}",
        f"filename {b64('a' + chr(0))},submission {b64('S-1')}",
    ],
)
def test_create_when_the_metadata_is_no_base64_of_text_then_400(tus, metadata):
    url = reverse("qc:upload-create")
    assert tus.request("POST", url, b"", upload_length=3, upload_metadata=metadata).status_code == 400


@pytest.mark.parametrize("checksum", ["sha256 ä", "sha256 !!!", "sha256 A"])
def test_patch_when_the_checksum_is_no_base64_then_400(tus, content, checksum):
    url = tus.create(len(content))["Location"]
    assert tus.patch(url, 0, content, upload_checksum=checksum).status_code == 400


def test_patch_when_the_checksum_fits_then_it_is_taken_and_otherwise_460(tus, content):
    url = tus.create(len(content))["Location"]
    wrong, right = hashlib.sha256(b"other").digest(), hashlib.sha256(content).digest()
    assert tus.patch(url, 0, content, upload_checksum=f"sha256 {b64(wrong)}").status_code == 460
    assert tus.head(url)["Upload-Offset"] == "0"
    assert tus.patch(url, 0, content, upload_checksum=f"sha256 {b64(right)}").status_code == 204
    assert tus.patch(url, 0, content, upload_checksum="crc32 AAAA").status_code == 400


def test_create_with_upload_when_the_checksum_is_wrong_then_nothing_is_left(tus, content):
    wrong = b64(hashlib.sha256(b"other").digest())
    assert tus.create(len(content), content, upload_checksum=f"sha256 {wrong}").status_code == 460
    assert Upload.objects.count() == StoredObject.objects.count() == 0


def test_delete_when_a_file_is_taken_out_then_its_rows_and_bytes_go(tus, content):
    url = tus.create(len(content), content)["Location"]
    sha256 = StoredObject.objects.get().sha256
    assert tus.request("DELETE", url).status_code == 204
    assert Upload.objects.count() == ReceivedFile.objects.count() == StoredObject.objects.count() == 0
    assert not storage.path_of(sha256).exists()
    assert tus.head(url).status_code == 404


def test_delete_when_another_submission_has_the_same_bytes_then_the_bytes_stay(tus, content, site):
    other = Tus(tus.submission.created_by, factories.submission(of=site))
    other.create(len(content), content)
    url = tus.create(len(content), content)["Location"]
    tus.request("DELETE", url)
    assert storage.path_of(StoredObject.objects.get().sha256).exists()
    assert ReceivedFile.objects.get().submission == other.submission


def test_delete_when_the_same_bytes_came_under_two_names_then_the_file_stays_with_the_other(tus, content):
    first = tus.create(len(content), content, name="a")["Location"]
    tus.create(len(content), content, name="b")
    tus.request("DELETE", first)
    assert ReceivedFile.objects.get().upload == Upload.objects.get()


@pytest.mark.parametrize("state", [state for state in S if state != S.DRAFT])
def test_every_method_when_it_is_no_draft_any_more_then_it_takes_nothing(tus, content, state):
    url = tus.create(len(content))["Location"]
    tus.submission.state = state
    tus.submission.save()
    assert tus.create(3, b"abc", name="late").status_code == 404
    assert tus.patch(url, 0, content).status_code == 404
    assert tus.request("DELETE", url).status_code == 404
    assert ReceivedFile.objects.count() == 0


def test_patch_when_the_draft_is_sent_between_look_and_commit_then_409_and_nothing_lands(tus, content, monkeypatch):
    url = tus.create(len(content))["Location"]
    complete = uploads._complete

    def sent_meanwhile(*args):
        type(tus.submission).objects.update(state=S.CHECKING)
        return complete(*args)

    monkeypatch.setattr(uploads, "_complete", sent_meanwhile)
    assert tus.patch(url, 0, content).status_code == 409
    assert ReceivedFile.objects.count() == 0


def test_patch_when_the_disk_is_full_then_507_and_the_offset_stays(tus, content, monkeypatch):
    url = tus.create(len(content))["Location"]

    def full(parts):
        raise OutOfSpace("There is no room.")

    monkeypatch.setattr(storage, "secure", full)
    assert tus.patch(url, 0, content).status_code == 507
    assert tus.head(url)["Upload-Offset"] == "0"
    monkeypatch.undo()


def test_received_when_it_is_answered_then_file_and_folder_were_synced_before_the_row(tus, content, monkeypatch):
    import os

    order = []
    sync = os.fsync
    monkeypatch.setattr(os, "fsync", lambda handle: (order.append("sync"), sync(handle))[1])
    create = type(ReceivedFile.objects).bulk_create
    monkeypatch.setattr(
        type(ReceivedFile.objects),
        "bulk_create",
        lambda self, rows, **o: (order.append("row"), create(self, rows, **o))[1],
    )
    tus.create(len(content), content)
    assert order.index("row") > 1
    assert "sync" not in order[order.index("row") :]


def test_create_when_it_is_a_zip_by_content_then_it_waits_to_be_unpacked_whatever_its_name(
    tus, django_capture_on_commit_callbacks
):
    content = zip_of(("IM0001", slices()[0]))
    with django_capture_on_commit_callbacks() as rung:
        tus.create(len(content), content, name="scan.dat")
    upload = Upload.objects.get()
    assert upload.is_zip
    assert upload.queued_at is not None
    assert len(rung) == 1
    assert ReceivedFile.objects.count() == 0


def test_other_methods_when_they_are_tried_then_405(tus, content):
    url = tus.create(len(content))["Location"]
    assert tus.request("GET", url).status_code == 405
    assert tus.request("GET", reverse("qc:upload-create")).status_code == 405
