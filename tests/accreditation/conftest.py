"""Folders and a clock that this package's tests share."""

from __future__ import annotations

import datetime

import pytest

from tests.accreditation import scenes


class Clock:
    """The program's own clock, which a test turns."""

    def __init__(self) -> None:
        self.now = scenes.NOW

    def __call__(self) -> datetime.datetime:
        # It never stands quite still: what follows is later.
        self.now += datetime.timedelta(microseconds=1)
        return self.now

    def to(self, day: datetime.date, hour: int = 12) -> None:
        self.now = datetime.datetime.combine(day, datetime.time(hour), tzinfo=datetime.UTC)


@pytest.fixture
def clock(monkeypatch):
    """Turn the clock to 10 March 2026."""
    made = Clock()
    monkeypatch.setattr("django.utils.timezone.now", made)
    return made


@pytest.fixture(autouse=True)
def folders(settings, tmp_path):
    """Keep what a test stores apart from every other test's."""
    settings.OBJECT_STORE_DIR = tmp_path / "objects"
    settings.REPORT_DIR = tmp_path / "reports"
