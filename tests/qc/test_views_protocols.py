"""The pages of a protocol: read by everybody of the trial, written by physicists, frozen once published."""

from __future__ import annotations

import datetime
import json

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from corelab.models import Role
from qc import protocols, selectors
from qc.models import ProtocolVersion
from tests import factories

pytestmark = pytest.mark.django_db


@pytest.fixture
def trial(site):
    return factories.trial(site, code="trial-one", title="Trial One")


@pytest.fixture
def staff(client, physicist):
    client.force_login(physicist)
    return client


def address(name, trial, version=1):
    return reverse(f"qc:protocol-{name}", args=[trial.code, version])


def start(client, trial, template="lymphoma"):
    answer = client.post(reverse("qc:protocol-start", args=[trial.code]), {"template": template})
    assert answer.status_code == 302
    return ProtocolVersion.objects.filter(trial=trial).order_by("-version").first()


def write(client, trial, protocol, document, status=302):
    data = {"document": json.dumps(document), "shown_digest": protocol.digest}
    answer = client.post(address("edit", trial, protocol.version), data)
    assert answer.status_code == status
    return answer.content.decode()


def publish(client, trial, protocol, day="2026-01-01", status=302):
    protocol.refresh_from_db()
    data = {"effective_on": day, "shown_digest": protocol.digest}
    answer = client.post(address("publish", trial, protocol.version), data)
    assert answer.status_code == status
    return answer.content.decode()


def test_flow_when_a_physicist_starts_writes_and_publishes_then_the_trial_reads_what_is_in_force(
    staff, trial, sender, client
):
    assert "Start from the lymphoma template" in staff.get(reverse("qc:protocol-list")).content.decode()
    assert "Start from the lymphoma template" in staff.get(f"/trials/{trial.code}/").content.decode()
    protocol = start(staff, trial)
    document = protocol.document
    document["limits"]["uptake_min"] |= {"low": 55, "warn_low": None, "warn_high": None}
    write(staff, trial, protocol, document)
    assert "55 to 75 min" in staff.get(address("detail", trial)).content.decode()
    assert "Draft, no scan is judged by it" in staff.get(address("detail", trial)).content.decode()
    publish(staff, trial, protocol)
    client.force_login(sender)
    html = client.get(address("detail", trial)).content.decode()
    assert "In force since 1 Jan 2026" in html
    assert "QIBA" in html
    assert "Change</a>" not in html
    assert "Protocol version 1, in force since 1 Jan 2026" in client.get(f"/trials/{trial.code}/").content.decode()


def test_detail_when_read_then_every_limit_stands_with_its_source(staff, trial):
    protocol = start(staff, trial)
    html = staff.get(address("detail", trial)).content.decode()
    for name, limit in protocols.parse(protocol.document).limits.items():
        assert protocols.LIMITS[name][0].replace("'", "&#x27;") in html
        assert limit.words in html
    assert "confidence" in html


def test_edit_when_the_document_is_wrong_then_everything_is_said_and_the_text_comes_back(staff, trial):
    protocol = start(staff, trial)
    document = protocol.document | {"colour": "blue"}
    document["limits"]["uptake_min"]["low"] = 90
    html = write(staff, trial, protocol, document, 422)
    assert "colour is not known here" in html
    assert "&quot;colour&quot;: &quot;blue&quot;" in html


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "This is not JSON: line 1"),
        ("[1]", "The document is one object"),
        ('{"title": NaN}', "This is not JSON"),
        ("[" * 50_000, "This is not JSON"),
        ('{"title": 1e999}', "This is not JSON that can be kept"),
        (r'{"title": "\ud800"}', "This is not JSON that can be kept"),
        (r'{"title": "a\u0000b"}', "This is not JSON that can be kept"),
    ],
)
def test_edit_when_the_text_is_not_a_document_then_it_says_where(staff, trial, text, words):
    protocol = start(staff, trial)
    data = {"document": text, "shown_digest": protocol.digest}
    answer = staff.post(address("edit", trial), data)
    assert answer.status_code == 422
    assert words in answer.content.decode()


def test_edit_when_it_is_published_then_it_is_refused_in_words_and_nothing_changes(staff, trial):
    protocol = start(staff, trial)
    publish(staff, trial, protocol)
    before = ProtocolVersion.objects.get().document
    assert "It does not change any more" in staff.get(address("edit", trial)).content.decode()
    changed = {**before, "title": "Another"}
    assert "It does not change any more" in write(staff, trial, protocol, changed, 409)
    publish(staff, trial, protocol, "2026-02-01", 409)
    assert ProtocolVersion.objects.get().document == before
    assert ProtocolVersion.objects.get().effective_on == datetime.date(2026, 1, 1)


def test_next_version_when_started_then_both_stand_and_the_earlier_day_is_refused(staff, trial):
    today = timezone.now().date()
    publish(staff, trial, start(staff, trial), "2026-03-01")
    second = start(staff, trial, "")
    assert second.version == 2
    assert "Choose that day or a later one." in publish(staff, trial, second, "2026-02-01", 422)
    yesterday = today - datetime.timedelta(days=1)
    assert "Choose today or a later day." in publish(staff, trial, second, yesterday.isoformat(), 422)
    publish(staff, trial, second, today.isoformat())
    html = staff.get(address("detail", trial, 1)).content.decode()
    assert "until the next version began" in html
    assert selectors.protocol_in_force(trial, yesterday).version == 1


@pytest.mark.parametrize("role", [Role.SITE_USER, Role.PHYSICIST, Role.TRIAL_MANAGER])
def test_list_when_it_grows_then_asks_the_database_no_more(client, site, trial, physicist, role):
    person = {
        Role.SITE_USER: lambda: factories.user(Role.SITE_USER, site=site),
        Role.PHYSICIST: lambda: physicist,
        Role.TRIAL_MANAGER: lambda: factories.user(Role.TRIAL_MANAGER, trial=trial),
    }[role]()
    client.force_login(person)

    def add(count):
        for _ in range(count):
            version = ProtocolVersion.objects.count() + 1
            ProtocolVersion.objects.create(
                trial=trial,
                version=version,
                document=protocols.template("lymphoma"),
                digest="0" * 64,
                effective_on=datetime.date(2026, 1, 1),
                published_at=datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC),
                made_by=physicist,
            )

    def asked():
        with CaptureQueriesContext(connection) as captured:
            assert client.get(reverse("qc:protocol-list")).status_code == 200
        return len(captured)

    add(1)
    asked()
    few = asked()
    add(6)
    assert asked() == few
    assert few <= 10
