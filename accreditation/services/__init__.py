"""Every write of this package: check, change, record, announce, in one transaction.

Functions are named ``<noun>_<verb>`` and take keywords only. Where a person acts, ``actor`` is that person and the
caller is inside ``audit.acting``; functions without an actor are what jobs and signals call.
"""

from accreditation.services.calendar import calendar_advance
from accreditation.services.cases import (
    case_accept_receipt,
    case_incomplete,
    case_reaccredit,
    case_receipt,
    case_start,
    case_submit,
    case_suspend,
    case_withdraw,
)
from accreditation.services.certificates import certificate_make, certificate_repeat, certificate_withdraw
from accreditation.services.decisions import (
    case_approve,
    case_fail,
    case_give_back,
    case_propose,
    case_refuse,
    case_reinstate,
    case_require_action,
    case_return,
    case_take_second,
)
from accreditation.services.evidence import cases_reconcile, evidence_collect, run_evidence_collect

__all__ = [
    "calendar_advance",
    "case_accept_receipt",
    "case_approve",
    "case_fail",
    "case_give_back",
    "case_incomplete",
    "case_propose",
    "case_reaccredit",
    "case_receipt",
    "case_refuse",
    "case_reinstate",
    "case_require_action",
    "case_return",
    "case_start",
    "case_submit",
    "case_suspend",
    "case_take_second",
    "case_withdraw",
    "cases_reconcile",
    "certificate_make",
    "certificate_repeat",
    "certificate_withdraw",
    "evidence_collect",
    "run_evidence_collect",
]
