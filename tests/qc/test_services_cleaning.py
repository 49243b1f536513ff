"""What the beat deletes, and what it must leave."""

from __future__ import annotations

import os
from datetime import timedelta
from io import StringIO

import pytest
from django.core.management import call_command
from django.db import IntegrityError
from django.utils import timezone

from corelab import audit, storage
from corelab.models import AuditEvent, StoredObject
from qc import services
from qc.models import Figure, ReceivedFile, Report, Run, Submission, Upload
from qc.services import reports
from qc.services.uploads import part_path
from qc.states import SubmissionState as S
from tests import factories
from tests.qc.kit import SHEET, call, receive, slices, work

pytestmark = pytest.mark.django_db


@pytest.fixture
def dry_run(draft, measured, monkeypatch, settings):
    """A dry run that was measured, with its report."""
    monkeypatch.setattr(reports, "render_pdf", lambda context, figures: b"%PDF- of a dry run")
    draft.is_dry_run, draft.sheet = True, SHEET
    draft.save()
    receive(draft, *slices())
    call(services.submission_send, actor=draft.created_by, submission_id=draft.pk)
    work(services.submission_check, submission_id=draft.pk)
    work(services.run_analyse, run_id=Run.objects.get().pk)
    work(services.report_make, report_id=Report.objects.get().pk)
    draft.refresh_from_db()
    assert draft.state == S.PREVIEWED
    return draft


def age(days, **where):
    Submission.objects.filter(**where).update(changed_at=timezone.now() - timedelta(days=days))


def test_dry_run_when_it_is_31_days_old_then_everything_of_it_goes_and_the_log_says_so(dry_run, settings):
    age(31)
    paths = [storage.path_of(one.sha256) for one in StoredObject.objects.all()]
    assert len(paths) == 5  # three slices, a picture, a report
    assert work(services.dry_runs_delete_old) == 1
    assert Submission.objects.count() == Run.objects.count() == Figure.objects.count() == Upload.objects.count() == 0
    assert StoredObject.objects.count() == 0
    assert not any(path.exists() for path in paths)
    assert not list(settings.REPORT_DIR.iterdir())
    row = AuditEvent.objects.get(action="submission.delete")
    assert (row.object_label, row.before["state"]) == (dry_run.short_number, "PREVIEWED")


def test_dry_run_when_it_was_measured_twice_and_a_draft_replaces_it_then_it_goes_and_the_draft_stays(dry_run, site):
    first = dry_run.current_run
    second = Run.objects.create(submission=dry_run, number=99, method="cylinder", method_version=2)
    Run.objects.filter(pk=first.pk).update(superseded_by=second)
    draft = factories.submission(of=site, is_dry_run=True, replaces=dry_run)
    age(31, pk=dry_run.pk)
    assert work(services.dry_runs_delete_old) == 1
    draft.refresh_from_db()
    assert (draft.replaces, Run.objects.count()) == (None, 0)


def test_dry_run_when_it_was_replaced_then_it_goes_too(site):
    factories.submission(of=site, state=S.REPLACED, is_dry_run=True)
    age(31)
    assert work(services.dry_runs_delete_old) == 1


def test_dry_run_when_one_cannot_be_deleted_then_the_others_go_all_the_same(site, monkeypatch, caplog):
    stuck, _ = (factories.submission(of=site, is_dry_run=True) for _ in range(2))
    age(31)
    delete = Submission.delete

    def delete_others(self):
        if self.pk == stuck.pk:
            raise IntegrityError
        return delete(self)

    monkeypatch.setattr(Submission, "delete", delete_others)
    assert work(services.dry_runs_delete_old) == 1
    assert Submission.objects.get() == stuck
    assert str(stuck.pk) in caplog.text


def test_dry_run_when_it_is_29_days_old_then_it_stays(dry_run):
    age(29)
    assert work(services.dry_runs_delete_old) == 0


def test_dry_run_when_a_real_submission_has_the_same_files_then_their_bytes_stay(dry_run, site):
    real = factories.submission(of=site, created_by=dry_run.created_by)
    receive(real, *slices())
    age(31, pk=dry_run.pk)
    work(services.dry_runs_delete_old)
    assert ReceivedFile.objects.filter(submission=real).count() == 3
    for row in ReceivedFile.objects.select_related("stored"):
        assert storage.path_of(row.stored.sha256).exists()


@pytest.mark.parametrize("state", list(S))
def test_deletion_when_it_is_no_dry_run_then_it_is_never_touched(site, state):
    factories.submission(of=site, state=state)
    age(1000)
    assert work(services.dry_runs_delete_old) == 0
    assert Submission.objects.count() == 1


@pytest.mark.parametrize("state", [S.CHECKING, S.SENT, S.ANALYSING])
def test_dry_run_when_workers_have_it_then_it_is_left_alone(site, state):
    factories.submission(of=site, state=state, is_dry_run=True)
    age(1000)
    assert work(services.dry_runs_delete_old) == 0


def unfinished(draft, name, days_old, written_days_ago=None):
    upload = call(
        services.upload_create,
        actor=draft.created_by,
        submission_id=draft.pk,
        length_bytes=10,
        file_name=name,
    )
    Upload.objects.filter(pk=upload.pk).update(created_at=timezone.now() - timedelta(days=days_old))
    path = part_path(upload.pk)
    path.write_bytes(b"12345")
    when = (timezone.now() - timedelta(days=days_old if written_days_ago is None else written_days_ago)).timestamp()
    os.utime(path, (when, when))
    return path


def test_uploads_when_nobody_went_on_for_30_days_then_only_those_go(draft):
    stale, resumed, young = (
        unfinished(draft, "stale", 31),
        unfinished(draft, "resumed", 31, 2),
        unfinished(draft, "young", 29),
    )
    receive(draft, slices()[0])
    Upload.objects.filter(is_complete=True).update(created_at=timezone.now() - timedelta(days=99))
    assert work(services.uploads_delete_stale) == 1
    assert (stale.exists(), resumed.exists(), young.exists()) == (False, True, True)
    assert Upload.objects.count() == 3
    assert ReceivedFile.objects.count() == 1
    assert AuditEvent.objects.get(action="upload.expire").before == {"uploads": 1}


def test_uploads_when_a_part_has_no_row_then_it_goes_after_a_day(settings):
    old, new = settings.UPLOAD_DIR / "0", settings.UPLOAD_DIR / "1"
    for path, hours in ((old, 25), (new, 1)):
        path.write_bytes(b"x")
        when = (timezone.now() - timedelta(hours=hours)).timestamp()
        os.utime(path, (when, when))
    work(services.uploads_delete_stale)
    assert (old.exists(), new.exists()) == (False, True)


# --- bytes that no row names ----------------------------------------------------------------------


@pytest.fixture
def lost():
    """Return a function that leaves bytes in the store as a landing does that broke before its commit."""

    def leave(content: bytes = b"a slice that was never received", hours: float = 49) -> str:
        part = storage.write_part([content])
        storage.secure([part])
        part.path.unlink()
        touch(storage.path_of(part.sha256), hours)
        return part.sha256

    return leave


def touch(path, hours: float) -> None:
    when = (timezone.now() - timedelta(hours=hours)).timestamp()
    os.utime(path, (when, when))


def aside(sha256: str):
    return storage.path_of(sha256).parent.parent / "aside" / sha256


def sweep(**how):
    return work(services.unnamed_bytes_set_aside, **how)


@pytest.mark.django_db(transaction=True)
def test_bytes_when_no_row_names_them_for_two_days_then_they_are_set_aside_with_a_line_in_the_log(lost):
    old, young = lost(b"old"), lost(b"young", hours=47)
    kept = storage.put_once([b"kept"]).stored
    touch(storage.path_of(kept.sha256), 999)
    assert sweep(is_rehearsal=True).set_aside == 1
    assert storage.path_of(old).exists()
    assert not AuditEvent.objects.filter(action__startswith="bytes.").exists()
    assert sweep() == services.Unnamed(set_aside=1)
    assert aside(old).read_bytes() == b"old"
    assert [storage.path_of(one).exists() for one in (old, young, kept.sha256)] == [False, True, True]
    assert AuditEvent.objects.get(action="bytes.set_aside").before == {"sha256": old, "size_bytes": 3}
    assert list(StoredObject.objects.all()) == [kept]
    assert sweep() == services.Unnamed()  # once more finds nothing to do


@pytest.mark.django_db(transaction=True)
def test_bytes_when_a_row_is_committed_meanwhile_then_they_stay_where_they_are(lost, monkeypatch):
    sha256 = lost(b"slice")
    found = storage.unnamed

    def committed_meanwhile(**when):
        yield from list(found(**when))
        storage.put_once([b"slice"])

    def named_after_the_look(**when):
        names = list(committed_meanwhile(**when))
        assert names == [sha256]
        return names

    monkeypatch.setattr(storage, "unnamed", named_after_the_look)
    assert sweep() == services.Unnamed()
    with storage.open_object(sha256) as file:
        assert file.read() == b"slice"
    assert not AuditEvent.objects.filter(action="bytes.set_aside").exists()


@pytest.mark.django_db(transaction=True)
def test_bytes_when_they_come_again_after_they_were_set_aside_then_they_are_received_as_new(lost):
    sha256 = lost(b"slice")
    sweep()
    assert storage.put_once([b"slice"]).is_new
    with storage.open_object(sha256) as file:
        assert file.read() == b"slice"
    assert sweep() == services.Unnamed(taken_back=1)
    assert not aside(sha256).exists()


@pytest.mark.django_db(transaction=True)
def test_bytes_when_a_restored_database_names_what_lies_aside_then_they_are_put_back(lost):
    sha256 = lost(b"slice")
    sweep()
    touch(aside(sha256), 24 * 365)
    StoredObject.objects.create(sha256=sha256, size_bytes=5)
    assert sweep() == services.Unnamed(taken_back=1)
    with storage.open_object(sha256) as file:
        assert file.read() == b"slice"


@pytest.mark.django_db(transaction=True)
def test_bytes_when_they_lay_aside_for_90_days_then_they_are_deleted_with_a_line_in_the_log(lost):
    sha256 = lost()
    sweep()
    touch(aside(sha256), 24 * 89)
    assert sweep() == services.Unnamed()
    touch(aside(sha256), 24 * 91)
    assert sweep(is_rehearsal=True).deleted == 1
    assert aside(sha256).exists()
    assert sweep() == services.Unnamed(deleted=1)
    assert not aside(sha256).exists()
    assert AuditEvent.objects.get(action="bytes.delete").before["sha256"] == sha256


@pytest.mark.django_db(transaction=True)
def test_bytes_when_the_log_cannot_be_written_then_they_stay(lost, monkeypatch):
    sha256 = lost()
    monkeypatch.setattr(audit, "record", lambda *_, **__: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        sweep()
    assert storage.path_of(sha256).exists()
    assert not StoredObject.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_command_when_it_is_a_dry_run_then_it_counts_and_does_nothing(lost):
    sha256, said = lost(), StringIO()
    call_command("set_unnamed_bytes_aside", "--dry-run", stdout=said)
    assert said.getvalue() == "Nothing was done. Would be: 1 set aside, 0 put back, 0 deleted.\n"
    assert storage.path_of(sha256).exists()
    call_command("set_unnamed_bytes_aside", stdout=said)
    assert "1 set aside, 0 put back, 0 deleted." in said.getvalue()
    assert not storage.path_of(sha256).exists()
