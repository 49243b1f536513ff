"""Bytes are kept once, under their digest, and a full disk takes nothing."""

from __future__ import annotations

import errno
import hashlib
import os

import pytest
from django.db import transaction

from corelab import storage
from corelab.errors import OutOfSpace
from corelab.models import StoredObject

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def store(settings, tmp_path):
    settings.OBJECT_STORE_DIR = tmp_path / "objects"
    return settings.OBJECT_STORE_DIR


def test_put_once_when_the_same_bytes_come_twice_then_one_object_is_kept(store):
    first = storage.put_once([b"slice ", b"one"])
    again = storage.put_once([b"slice one"])
    assert (first.is_new, again.is_new) == (True, False)
    assert first.stored == again.stored
    assert first.stored.sha256 == hashlib.sha256(b"slice one").hexdigest()
    with storage.open_object(first.stored.sha256) as file:
        assert file.read() == b"slice one"
    assert [path.name for path in store.rglob("*") if path.is_file()] == [first.stored.sha256]


def test_put_once_when_the_disk_is_full_then_nothing_is_kept(store, monkeypatch):
    def full(handle):
        raise OSError(errno.ENOSPC, "no space")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OutOfSpace):
        storage.put_once([b"too much"])
    assert StoredObject.objects.count() == 0
    assert not [path for path in store.rglob("*") if path.is_file()]


def test_put_once_when_it_returns_then_file_and_folder_were_synced_before_the_row(monkeypatch):
    order = []
    sync = os.fsync
    monkeypatch.setattr(os, "fsync", lambda handle: (order.append("sync"), sync(handle))[1])
    write_row = StoredObject.objects.bulk_create
    monkeypatch.setattr(
        StoredObject.objects,
        "bulk_create",
        lambda rows, **options: (order.append("row"), write_row(rows, **options))[1],
    )
    storage.put_once([b"slice"])
    assert order == ["sync", "sync", "sync", "row"]


def test_adopt_when_the_transaction_rolls_back_then_the_part_is_still_there(tmp_path):
    part = storage.write_part([b"slice"])
    storage.secure([part])
    with pytest.raises(ZeroDivisionError), transaction.atomic():
        storage.adopt([part])
        1 / 0  # noqa: B018
    assert part.path.read_bytes() == b"slice"
    assert StoredObject.objects.count() == 0


def test_adopt_when_the_file_was_removed_while_the_row_was_fetched_then_it_is_put_back(monkeypatch):
    storage.put_once([b"slice"])
    part = storage.write_part([b"slice"])
    rows_of = storage._rows_of

    def removed_meanwhile(parts):
        storage.path_of(part.sha256).unlink()
        return rows_of(parts)

    monkeypatch.setattr(storage, "_rows_of", removed_meanwhile)
    storage.adopt([part])
    assert storage.path_of(part.sha256).read_bytes() == b"slice"


def test_remove_unused_when_no_row_points_to_the_bytes_then_row_and_file_go():
    put = storage.put_once([b"slice"])
    assert storage.remove_unused(put.stored) is True
    assert not storage.path_of(put.stored.sha256).exists()
    assert StoredObject.objects.count() == 0
