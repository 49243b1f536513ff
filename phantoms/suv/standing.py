"""How the SUV stands against reference objects, as data that pages can show.

The file beside it is made by a test's module, which makes the same again and compares.
"""

from __future__ import annotations

import json
from functools import lru_cache
from pathlib import Path
from typing import Any


@lru_cache
def standing() -> dict[str, Any]:
    """Return the standing.

    Returns
    -------
    dict
        ``method``, ``method_version``, ``tolerance`` (g/mL) and ``sets``: of each title, version, source, how many
        ``passed`` ``of`` how many, and its ``objects`` with what was expected, what was found and the reference used.
    """
    found: dict[str, Any] = json.loads(Path(__file__).with_name("standing.json").read_text(encoding="utf-8"))
    return found
