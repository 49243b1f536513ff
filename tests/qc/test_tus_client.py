"""A tus client that other people wrote talks to our door over a real socket."""

from __future__ import annotations

import hashlib
import io

import pytest
from django.test import Client
from tusclient.client import TusClient

from qc.models import ReceivedFile, Upload
from qc.services.uploads import part_path
from tests.qc.kit import slices

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def tus(live_server, sender):
    browser = Client()
    browser.force_login(sender)
    browser.get("/accounts/login/")
    browser.get("/")
    cookies = {name: morsel.value for name, morsel in browser.cookies.items()}
    token = cookies.setdefault("csrftoken", "a" * 32)
    headers = {
        "Cookie": "; ".join(f"{name}={value}" for name, value in cookies.items()),
        "X-CSRFToken": token,
        "Referer": f"{live_server.url}/",
    }
    return TusClient(f"{live_server.url}/upload/", headers=headers)


def test_client_when_it_sends_in_pieces_and_resumes_then_the_bytes_are_the_same(tus, draft):
    content = slices()[0]
    metadata = {"submission": str(draft), "filename": "scan/IM0001"}
    first = tus.uploader(file_stream=io.BytesIO(content), chunk_size=200, metadata=metadata)
    first.upload_chunk()
    first.upload_chunk()
    assert Upload.objects.get().offset_bytes == 400
    # Another session, which knows only the address, asks how far it came.
    second = tus.uploader(file_stream=io.BytesIO(content), chunk_size=300, url=first.url)
    assert second.offset == 400
    second.upload()
    assert ReceivedFile.objects.get().stored.sha256 == hashlib.sha256(content).hexdigest()
    assert not part_path(Upload.objects.get().pk).exists()


def test_client_when_it_sends_checksums_then_they_are_compared(tus, draft):
    content = slices()[1]
    uploader = tus.uploader(
        file_stream=io.BytesIO(content),
        chunk_size=len(content),
        metadata={"submission": str(draft), "filename": "scan/IM0002"},
        upload_checksum=True,
    )
    uploader.upload()
    assert ReceivedFile.objects.get().stored.sha256 == hashlib.sha256(content).hexdigest()
