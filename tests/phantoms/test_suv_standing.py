"""The engine's own standing is what a fresh run comes to."""

from __future__ import annotations

import json

from tests.conftest import SHARED_DATA
from tests.phantoms.standing import STANDING, as_text, standing


def test_standing_when_made_again_then_it_is_the_one_that_ships() -> None:
    shipped = STANDING.read_text(encoding="utf-8")
    assert shipped == as_text(standing(SHARED_DATA)), "write it anew: python -m tests.phantoms.standing"


def test_standing_when_read_then_nothing_fails_and_each_set_names_source_and_version() -> None:
    found = json.loads(STANDING.read_text(encoding="utf-8"))
    assert [(one["id"], one["of"]) for one in found["sets"]] == [
        ("ibsi_suv_v2", 58),
        ("ibsi_suv_v1", 12),
        ("vendor_headers", 4),
    ]
    for one in found["sets"]:
        assert one["source"]
        assert one["version"]
        assert not [each["id"] for each in one["objects"] if each["result"] == "FAIL"]
