"""Working days are Monday to Friday."""

from __future__ import annotations

from datetime import date

import pytest

from qc.deadlines import add_working_days, review_due_on

MONDAY = date(2026, 3, 2)


@pytest.mark.parametrize(
    ("start", "days", "expected"),
    [
        (MONDAY, 0, MONDAY),
        (MONDAY, 1, date(2026, 3, 3)),
        (MONDAY, 5, date(2026, 3, 9)),
        (MONDAY, 10, date(2026, 3, 16)),
        (date(2026, 3, 6), 1, date(2026, 3, 9)),  # Friday to Monday
        (date(2026, 3, 7), 1, date(2026, 3, 9)),  # received on a Saturday
        (date(2026, 3, 8), 10, date(2026, 3, 20)),  # received on a Sunday
    ],
)
def test_add_working_days_when_weekends_lie_between_then_they_do_not_count(start, days, expected):
    assert add_working_days(start, days) == expected


def test_review_due_on_when_a_phantom_and_a_patient_arrive_then_ten_and_five_working_days_are_given():
    assert review_due_on("nema_iq", MONDAY) == date(2026, 3, 16)
    assert review_due_on("cylinder", MONDAY) == date(2026, 3, 16)
    assert review_due_on("patient", MONDAY) == date(2026, 3, 9)
