"""Every write of this package: check, change, record, announce, in one transaction.

Functions are named ``<noun>_<verb>`` and take keywords only. Where a person acts, ``actor`` is that person and the
caller is inside ``audit.acting``; functions without an actor are what jobs call.
"""

from qc.services.calibrators import reading_add, reading_withdraw, readings_of, source_add
from qc.services.checks import preview_findings, submission_check
from qc.services.cleaning import (
    Unnamed,
    dry_runs_delete_old,
    unnamed_bytes_set_aside,
    uploads_delete_stale,
    work_sweep,
)
from qc.services.drifts import drift_declare, drift_explain
from qc.services.protocols import protocol_publish, protocol_save, protocol_start
from qc.services.queries import (
    query_answer,
    query_ask,
    query_close,
    query_drop,
    query_give_up,
    query_reopen,
)
from qc.services.reports import report_make, report_repeat
from qc.services.reviews import (
    checklist_answer,
    review_sign,
    signing_digest,
    signing_statement,
    submission_claim,
    submission_unclaim,
    suv_choice_sign,
)
from qc.services.runs import run_analyse
from qc.services.submissions import (
    patient_values_save,
    sheet_save,
    submission_place_edit,
    submission_recheck,
    submission_repeat,
    submission_send,
    submission_start,
    submission_withdraw,
)
from qc.services.trial_reports import trial_report_make, trial_report_request
from qc.services.unpacking import upload_unpack
from qc.services.uploads import series_remove, upload_append, upload_create, upload_receive, upload_remove

__all__ = [
    "Unnamed",
    "checklist_answer",
    "drift_declare",
    "drift_explain",
    "dry_runs_delete_old",
    "patient_values_save",
    "preview_findings",
    "protocol_publish",
    "protocol_save",
    "protocol_start",
    "query_answer",
    "query_ask",
    "query_close",
    "query_drop",
    "query_give_up",
    "query_reopen",
    "reading_add",
    "reading_withdraw",
    "readings_of",
    "report_make",
    "report_repeat",
    "review_sign",
    "run_analyse",
    "series_remove",
    "sheet_save",
    "signing_digest",
    "signing_statement",
    "source_add",
    "submission_check",
    "submission_claim",
    "submission_place_edit",
    "submission_recheck",
    "submission_repeat",
    "submission_send",
    "submission_start",
    "submission_unclaim",
    "submission_withdraw",
    "suv_choice_sign",
    "trial_report_make",
    "trial_report_request",
    "unnamed_bytes_set_aside",
    "upload_append",
    "upload_create",
    "upload_receive",
    "upload_remove",
    "upload_unpack",
    "uploads_delete_stale",
    "work_sweep",
]
