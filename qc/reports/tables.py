"""The same results as tables for a spreadsheet: one row a rule of a run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from phantoms.results import Outcome
from qc.deviations import values_of
from qc.reports.meta import ReportMeta
from qc.reports.numbers import ORDER
from qc.reports.scan_day import rule_title

RULE_COLUMNS = (
    "run", "submission", "trial", "subject", "visit", "site", "scanned_on", "protocol_version", "rule", "title",
    "outcome", "severity", "seen", "expected", "source", "who_acts", "message", "next_step", "query",
)  # fmt: skip


def rule_rows(run: Mapping[str, Any], meta: ReportMeta) -> Iterator[tuple[object, ...]]:
    """Yield one row a rule, the worst first, under `RULE_COLUMNS`; also what passed."""
    protocol = (run.get("conformance") or {}).get("protocol") or {}
    day = meta.scanned_at.date().isoformat() if meta.scanned_at else None
    about = (
        meta.run_number,
        meta.submission_number,
        meta.trial_code,
        meta.subject_code,
        meta.visit,
        meta.site_name,
        values_of(run).get("scanned_on") or day,
        protocol.get("version"),
    )
    for one in sorted(run["findings"], key=lambda one: ORDER[Outcome(one["outcome"])]):
        yield (
            *about,
            one["id"],
            rule_title(one["id"]),
            one["outcome"],
            one["severity"],
            one["observed"],
            one["expected"],
            one.get("source", ""),
            one.get("owner", ""),
            one["message"],
            one.get("next_step", ""),
            meta.queries.get(one["id"]),
        )
