"""A site enters what its dose calibrator read: kept as rows, judged, withdrawn with a reason, seen by no stranger."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import pytest
from django.urls import reverse
from django.utils import timezone

from corelab.errors import NotAllowed, NotFound, Refused, StaleState
from corelab.models import AuditEvent, Role
from qc import selectors, services
from qc.models import CalibratorReading
from tests import factories
from tests.qc.kit import call

pytestmark = pytest.mark.django_db
CERTIFIED = date(2020, 1, 15)
CS137_DAYS = 30.05 * 365.2422


def holds_mbq(at: datetime) -> float:
    """Return what 9.2 MBq of Cs-137, certified at noon of the 15th of January 2020, have become."""
    days = (at - datetime(2020, 1, 15, 12, tzinfo=UTC)).total_seconds() / 86_400
    return 9.2 * 2 ** (-days / CS137_DAYS)


@pytest.fixture
def site(db):
    return factories.site()


@pytest.fixture
def entrant(site):
    return factories.user(Role.SITE_USER, site=site)


@pytest.fixture
def calibrator(site):
    return factories.calibrator(site)


@pytest.fixture
def source(entrant, calibrator):
    return call(
        services.source_add,
        actor=entrant,
        calibrator_id=calibrator.pk,
        nuclide="Cs-137",
        activity_mbq=9.2,
        certified_on=CERTIFIED,
        uncertainty_pct=1.5,
    )


@pytest.fixture
def read(entrant, source):
    def one(factor: float = 1.0, *, days_ago: float = 1.0, **more):
        at = timezone.now() - timedelta(days=days_ago)
        values = {"read_at": at, "activity_mbq": factor * holds_mbq(at)} | more
        return call(services.reading_add, actor=entrant, source_id=source.pk, **values)

    return one


@pytest.fixture
def page(client, calibrator):
    def of(person, **typed):
        client.force_login(person)
        url = reverse("qc:calibrator-detail", args=[calibrator.pk])
        return client.post(url, typed) if typed else client.get(url)

    return of


def test_readings_when_kept_then_come_back_as_the_method_reads_them(source, read):
    read(1.01, days_ago=30, is_baseline=True)
    read(1.02, days_ago=2, clock_offset_s=90.0)
    read(1.03, days_ago=1, background_mbq=0.01, clock_offset_s=20.0)
    found = services.readings_of(source)
    assert found["source"]["calibrated_at"] == "2020-01-15T12:00:00+00:00"
    assert len(found["readings"]) == 2
    assert found["baseline"]["activity_mbq"] > 0
    assert found["clock_offset_s"] == 20.0, "the clock as it was last compared"


def test_readings_when_nothing_or_a_baseline_alone_was_read_then_there_is_nothing_to_judge(source, read):
    assert services.readings_of(source) is None
    read(is_baseline=True)
    assert services.readings_of(source) is None


def test_page_when_a_reading_is_right_then_shows_the_verdict_with_its_limits(page, entrant, read):
    read(1.004)
    words = page(entrant).content.decode()
    assert "Proposed: Pass" in words
    assert "Accuracy of the calibrator" in words
    assert "Where the limits come from" in words
    assert "Not looked at, since nothing was entered: linearity and the clock." in words


def test_page_when_a_reading_moved_then_fails_and_says_what_to_do(page, entrant, read):
    read(1.0, days_ago=3)
    read(1.07)
    words = page(entrant).content.decode()
    assert "Proposed: Fail" in words
    assert "1 of 2 readings of the reference source is outside; the farthest is 7.0 % high." in words
    assert "do not use the calibrator" in words


def test_page_when_a_source_and_a_reading_are_typed_then_both_are_kept(page, entrant, calibrator):
    typed = {"enter": "source", "nuclide": "Cs-137", "source_activity_mbq": "9,2", "certified_on": "2020-01-15"}
    assert page(entrant, **typed).status_code == 302
    typed = {"enter": "reading", "read_on": "2026-03-02", "read_time": "0800", "activity_mbq": "7,98"}
    assert page(entrant, **typed, background_mbq="0,01").status_code == 302
    (kept,) = CalibratorReading.objects.all()
    # The site's wall clock, London in winter.
    assert kept.read_at == datetime(2026, 3, 2, 8, tzinfo=UTC)
    assert (kept.activity_mbq, kept.background_mbq, kept.clock_offset_s) == (7.98, 0.01, None)
    assert list(AuditEvent.objects.order_by("sequence").values_list("action", flat=True))[-2:] == [
        "source.add",
        "reading.add",
    ]


@pytest.mark.parametrize(
    ("typed", "words"),
    [
        ({"enter": "reading", "read_on": "2026-03-02", "read_time": "8"}, "24-hour clock"),
        (
            {"enter": "reading", "read_on": "2018-03-02", "read_time": "0800", "activity_mbq": "8"},
            "does not follow from what is known of the source",
        ),
        (
            {"enter": "reading", "read_on": "2099-03-02", "read_time": "0800", "activity_mbq": "8"},
            "lies in the future",
        ),
        (
            {
                "enter": "reading",
                "read_on": "2026-03-02",
                "read_time": "0800",
                "activity_mbq": "8",
                "background_mbq": "9",
            },
            "A net reading is not a number that it could be",
        ),
        ({"enter": "source", "nuclide": "F-18"}, "Select a valid choice"),
    ],
)
def test_page_when_what_was_typed_cannot_be_then_says_so_keeps_it_and_stores_nothing(
    page, entrant, source, typed, words
):
    answer = page(entrant, **typed)
    assert answer.status_code == 422
    assert words in answer.content.decode()
    assert not CalibratorReading.objects.exists()
    if "read_on" in typed:
        assert f'value="{typed["read_on"]}"' in answer.content.decode()


def test_baseline_when_there_is_one_then_a_second_is_refused_until_it_is_withdrawn(entrant, read):
    first = read(days_ago=30, is_baseline=True)
    with pytest.raises(Refused, match="has a baseline already"):
        read(days_ago=20, is_baseline=True)
    call(services.reading_withdraw, actor=entrant, reading_id=first.pk, reason="Other holder.")
    read(days_ago=20, is_baseline=True)


def test_withdraw_when_done_then_counts_no_more_stays_in_the_list_and_is_audited(page, client, entrant, read):
    read(1.0, days_ago=2)
    wrong = read(1.5)
    url = reverse("qc:reading-withdraw", args=[wrong.pk])
    client.force_login(entrant)
    assert client.post(url, {"reason": ""}).status_code == 422
    assert client.post(url, {"reason": "Read with the wrong setting."}).status_code == 302
    words = page(entrant).content.decode()
    assert "withdrawn: Read with the wrong setting." in words
    assert "Proposed: Pass" in words
    assert AuditEvent.objects.filter(action="reading.withdraw", reason="Read with the wrong setting.").exists()
    with pytest.raises(StaleState):
        call(services.reading_withdraw, actor=entrant, reading_id=wrong.pk, reason="Again.")


def test_chart_when_there_are_readings_then_is_a_picture_and_without_is_not_found(client, entrant, source, read):
    client.force_login(entrant)
    url = reverse("qc:calibrator-chart", args=[source.pk])
    assert client.get(url).status_code == 404
    read(1.01)
    answer = client.get(url)
    assert answer["Content-Type"] == "image/svg+xml"
    assert b"Cs-137" in answer.content


def test_site_page_when_a_calibrator_is_read_then_leads_to_its_checks(client, entrant, calibrator, read):
    read(1.0)
    client.force_login(entrant)
    words = client.get(reverse("corelab:site-detail", args=[calibrator.site.code])).content.decode()
    assert reverse("qc:calibrator-detail", args=[calibrator.pk]) in words
    assert "last read" in words


def test_stranger_when_asking_for_anothers_calibrator_then_finds_nothing_and_enters_nothing(client, source, read, site):
    reading = read(1.0)
    other = factories.user(Role.SITE_USER, site=factories.site(code="other", name="Other"))
    manager = factories.user(Role.TRIAL_MANAGER, trial=factories.trial(site))
    for stranger in (other, manager):
        client.force_login(stranger)
        for url in (
            reverse("qc:calibrator-detail", args=[source.calibrator_id]),
            reverse("qc:calibrator-chart", args=[source.pk]),
            reverse("qc:reading-withdraw", args=[reading.pk]),
        ):
            assert client.get(url).status_code == 404, (stranger, url)
            assert client.post(url, {"enter": "reading", "reason": "x"}).status_code in {404, 405}
        assert not selectors.readings_visible_to(stranger).exists()
        assert not selectors.reference_sources_visible_to(stranger).exists()
        with pytest.raises(NotFound):
            call(services.reading_withdraw, actor=stranger, reading_id=reading.pk, reason="Mine.")
    assert CalibratorReading.objects.filter(withdrawn_at__isnull=True).count() == 1


def test_auditor_when_looking_then_sees_and_may_not_enter(page, client, source, read):
    reading = read(1.0)
    auditor = factories.user(Role.AUDITOR)
    answer = page(auditor)
    assert answer.status_code == 200
    assert "Enter a reading" not in answer.content.decode()
    assert page(auditor, enter="reading").status_code == 404
    assert client.get(reverse("qc:reading-withdraw", args=[reading.pk])).status_code == 404
    with pytest.raises(NotAllowed):
        call(services.reading_withdraw, actor=auditor, reading_id=reading.pk, reason="No.")
