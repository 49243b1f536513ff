"""When the lab promises an answer, in working days."""

from __future__ import annotations

from datetime import date, timedelta

#: Working days from receipt to review, by kind of submission.
REVIEW_WORKING_DAYS = {"cylinder": 10, "nema_iq": 10, "acr": 10, "patient": 5}
#: Working days that a site has to answer a question.
QUERY_WORKING_DAYS = 7

_SATURDAY = 5


def add_working_days(start: date, days: int) -> date:
    """Return the date that lies ``days`` working days (Monday to Friday) after ``start``.

    The day of receipt does not count, also where it falls on a weekend.
    """
    day = start
    while days > 0:
        day += timedelta(days=1)
        if day.weekday() < _SATURDAY:
            days -= 1
    return day


def review_due_on(kind: str, received_on: date) -> date:
    """Return the date by which a submission of this kind is reviewed."""
    return add_working_days(received_on, REVIEW_WORKING_DAYS[kind])


def query_due_on(asked_on: date) -> date:
    """Return the date by which a site answers a question of this day."""
    return add_working_days(asked_on, QUERY_WORKING_DAYS)
