"""The places that packages above fill, and the one worklist made of several."""

from __future__ import annotations

import datetime

import pytest

from corelab import panels
from corelab.panels import Panel, WorkPage, WorkQuery, WorkRow


@pytest.fixture(autouse=True)
def no_providers(monkeypatch):
    monkeypatch.setattr(panels, "_providers", {})


def _row(number: str, day: int | None) -> WorkRow:
    due = datetime.date(2026, 3, day) if day else None
    return WorkRow(number=number, url="/", what="x", site="Site North", due_on=due)


def test_register_when_the_place_does_not_exist_then_it_is_refused():
    with pytest.raises(ValueError, match="nowhere"):
        panels.register("nowhere", print)


def test_register_when_the_same_provider_comes_twice_then_it_counts_once():
    def provider(request):
        return [Panel(template="x.html", context={})]

    panels.register("site", provider)
    panels.register("site", provider)
    assert len(panels.panels("site", None)) == 1


def test_panels_when_several_then_they_stand_in_their_order():
    panels.register("site", lambda request: [Panel(template="late.html", context={}, order=90)])
    panels.register("site", lambda request: [Panel(template="early.html", context={}, order=10)])
    assert [panel.template for panel in panels.panels("site", None)] == ["early.html", "late.html"]


def test_work_when_two_packages_have_rows_then_the_one_due_next_comes_first_and_counts_add_up():
    panels.register(
        "work", lambda r, q: WorkPage(rows=[_row("S-2", 5), _row("S-10", None), _row("S-9", None)], counts={"open": 3})
    )
    panels.register(
        "work", lambda r, q: WorkPage(rows=[_row("C-1", 4), _row("C-2", 5)], counts={"open": 2, "released": 7})
    )
    page = panels.work(None, WorkQuery(view="open"))
    assert [row.number for row in page.rows] == ["C-1", "C-2", "S-2", "S-9", "S-10"]
    assert (page.counts["open"], page.counts["released"], page.counts["running"]) == (5, 7, 0)


def test_work_when_nobody_has_registered_then_it_is_empty():
    page = panels.work(None, WorkQuery(view="open"))
    assert page.rows == []
    assert set(page.counts) == set(panels.WORK_VIEWS)
