"""Fixtures that every package's tests share."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.core.cache import cache
from django.db import connection
from django.test import TransactionTestCase

from tests import factories

SHARED_DATA = Path(__file__).resolve().parents[1].parent / "shared" / "data"


def pytest_addoption(parser: pytest.Parser) -> None:
    """Declare that the services which bin/test installs are there."""
    parser.addoption("--with-services", action="store_true", help="PostgreSQL, redis-server and Chromium are there")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Skip what needs services where nobody started them; with them nothing is skipped."""
    if config.getoption("--with-services"):
        return
    for item in items:
        if item.get_closest_marker("services"):
            item.add_marker(pytest.mark.skip(reason="needs the services that bin/test --with-services installs"))


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder of real and reference DICOM; it lies beside the project's root, for developers and CI only."""
    if not SHARED_DATA.is_dir():
        pytest.skip("the reference data folder ../shared/data is absent; digital phantoms cover the same behaviour")
    return SHARED_DATA


@pytest.fixture(scope="session")
def django_db_setup(django_db_setup, django_db_blocker) -> Iterator[None]:
    """Let nobody hold the test's database when it is dropped.

    A thread of the live server may still answer a browser that has gone: it has ten seconds before its session ends.
    """
    yield
    if connection.vendor != "postgresql":
        return
    others = "FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
    with django_db_blocker.unblock(), connection.cursor() as cursor:
        for _ in range(100):
            cursor.execute(f"SELECT count(*) {others}")
            if not cursor.fetchone()[0]:
                return
            time.sleep(0.1)
        cursor.execute(f"SELECT pg_terminate_backend(pid) {others}")


@pytest.fixture(scope="session", autouse=True)
def _audit_rows_may_be_flushed() -> None:
    """Lift the audit triggers while the test runner empties the tables after a transactional test."""
    flush = TransactionTestCase._fixture_teardown

    def flush_without_triggers(self: TransactionTestCase) -> None:
        with connection.cursor() as cursor:
            if connection.vendor == "postgresql":
                cursor.execute("ALTER TABLE corelab_auditevent DISABLE TRIGGER USER")
                flush(self)
                cursor.execute("ALTER TABLE corelab_auditevent ENABLE TRIGGER USER")
                return
            cursor.execute("SELECT name, sql FROM sqlite_master WHERE type = 'trigger' AND name LIKE 'audit_%'")
            triggers = cursor.fetchall()
            for name, _ in triggers:
                cursor.execute(f"DROP TRIGGER {name}")
            flush(self)
            for _, statement in triggers:
                cursor.execute(statement)

    TransactionTestCase._fixture_teardown = flush_without_triggers


@pytest.fixture(autouse=True)
def _nobody_has_tried_yet() -> None:
    """Forget tries of passwords and questions about certificates: they are counted by address, and tests share one."""
    cache.clear()


@pytest.fixture
def make_user(db):
    """Return the maker of people."""
    return factories.user


@pytest.fixture
def make_submission(db):
    """Return the maker of submissions in any state."""
    return factories.submission
