"""The day of a patient's scan: the values that were settled on, each with what its rule accepts and says."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import Any

from phantoms.results import Outcome
from qc import wording
from qc.conformance import RULES
from qc.deviations import values_of
from qc.reports.blocks import date_words
from qc.reports.numbers import ORDER

#: Value of the run's conformance, its words, unit and decimals, and the rule that judges it.
SHOWN = (
    ("uptake_min", "Uptake, injection to scan", "min", 0, "TIM-01"),
    ("injected_mbq", "Injected activity", "MBq", 0, "INJ-03"),
    ("net_injected_mbq", "Injected less what was left", "MBq", 0, "INJ-04"),
    ("weight_kg", "Weight", "kg", 1, "PAT-01"),
    ("glucose_mmol_l", "Blood glucose", "mmol/L", 1, "PREP-01"),
    ("coverage_mm", "Length scanned", "mm", 0, "ACQ-03"),
)
CLEARANCE_RULE = "REC-08"


def rule_title(rule_id: str) -> str:
    """Return a rule's title; empty for what is no rule of the catalogue."""
    return RULES[rule_id].title if rule_id in RULES else ""


def scan_day(run: Mapping[str, Any]) -> list[dict[str, str]]:
    """Return the scan day's values as they stand beside the pictures.

    Returns
    -------
    list of dict
        ``name``, ``value``, ``note`` (what is accepted), ``css`` and ``word`` of the rule's outcome, empty where no
        rule judged the value. Empty for a run that was not judged by rules.
    """
    if not run.get("conformance"):
        return []
    values = values_of(run)
    rules = _worst_by_rule(run)
    entries = []
    for key, name, unit, decimals, rule in SHOWN:
        value, finding = values.get(key), rules.get(rule)
        if value is None and finding is None:
            continue
        shown = wording.with_unit(wording.number(value, decimals), unit) if value is not None else "not known"
        if key == "injected_mbq" and values.get("mbq_per_kg") is not None:
            shown += f" ({wording.with_unit(wording.number(values['mbq_per_kg'], 2), 'MBq/kg')})"
        entries.append(_entry(name, shown, finding))
    return [*entries, _entry("Clearance on the scan day", clearance_words(values), rules.get(CLEARANCE_RULE))]


def clearance_words(values: Mapping[str, Any]) -> str:
    """Return the clearance that held on the scan's own day, in words."""
    clearance = values.get("clearance")
    if not clearance:
        return "none known"
    return f"{clearance['certificate']}, to {date_words(date.fromisoformat(clearance['until']))}"


def protocol_words(run: Mapping[str, Any]) -> str:
    """Return the protocol a run was judged by: ``version 4``."""
    protocol = run["conformance"].get("protocol")
    return f"version {protocol['version']}" if protocol else "none was in force"


def _entry(name: str, value: str, finding: Mapping[str, Any] | None) -> dict[str, str]:
    entry = {"name": name, "value": value, "note": "", "css": "", "word": ""}
    if finding is None:
        return entry
    outcome = finding["outcome"]
    entry |= {"css": wording.VERDICT_CLASSES[outcome], "word": wording.VERDICT_WORDS[outcome]}
    return entry | {"note": f"accepted: {finding['expected']}"} if finding["expected"] else entry


def _worst_by_rule(run: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    ranked = sorted(run["findings"], key=lambda one: ORDER[Outcome(one["outcome"])], reverse=True)
    return {one["id"]: one for one in ranked}
