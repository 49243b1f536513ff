"""What people may see. Every query of a view starts here; absent and forbidden are the same answer."""

from qc.selectors.arrival import (
    UNPACKING,
    Arrival,
    SeriesRow,
    arrival_of,
    received_series,
    scan_began_at,
    series_to_choose,
)
from qc.selectors.calibrators import (
    checked_calibrator_for,
    checked_calibrators_visible_to,
    reading_for,
    readings_visible_to,
    reference_source_for,
    reference_sources_visible_to,
)
from qc.selectors.drifts import drift_for, drifts_visible_to
from qc.selectors.lookup import count_of
from qc.selectors.progress import Progress, progress_of
from qc.selectors.protocols import protocol_for, protocol_in_force, protocols_visible_to, writes_protocols
from qc.selectors.queries import queries_about, queries_needing, queries_visible_to, query_for, reads_query
from qc.selectors.repairable import repairable_findings
from qc.selectors.runs import (
    ChecklistRow,
    checklist_of,
    choices_behind,
    figures_visible_to,
    reports_visible_to,
    run_for,
    runs_visible_to,
    unsigned_report_of,
)
from qc.selectors.submissions import (
    OUR_ERROR,
    draft_for,
    draft_id_for,
    drafts_visible_to,
    history_of,
    submission_for,
    submissions_visible_to,
    upload_for,
    uploads_visible_to,
)
from qc.selectors.worklist import Totals, worklist_for, worklist_needs_me, worklist_totals

__all__ = [
    "OUR_ERROR",
    "UNPACKING",
    "Arrival",
    "ChecklistRow",
    "Progress",
    "SeriesRow",
    "Totals",
    "arrival_of",
    "checked_calibrator_for",
    "checked_calibrators_visible_to",
    "checklist_of",
    "choices_behind",
    "count_of",
    "draft_for",
    "draft_id_for",
    "drafts_visible_to",
    "drift_for",
    "drifts_visible_to",
    "figures_visible_to",
    "history_of",
    "progress_of",
    "protocol_for",
    "protocol_in_force",
    "protocols_visible_to",
    "queries_about",
    "queries_needing",
    "queries_visible_to",
    "query_for",
    "reading_for",
    "readings_visible_to",
    "reads_query",
    "received_series",
    "reference_source_for",
    "reference_sources_visible_to",
    "repairable_findings",
    "reports_visible_to",
    "run_for",
    "runs_visible_to",
    "scan_began_at",
    "series_to_choose",
    "submission_for",
    "submissions_visible_to",
    "unsigned_report_of",
    "upload_for",
    "uploads_visible_to",
    "worklist_for",
    "worklist_needs_me",
    "worklist_totals",
    "writes_protocols",
]
