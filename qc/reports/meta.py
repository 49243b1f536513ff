"""What the lab knows about a run beside its result."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any


@dataclass(frozen=True, kw_only=True)
class SignatureBlock:
    """One signature as it is printed: who, in which role, what it means, when, over which digest."""

    name: str
    role: str
    meaning: str
    signed_at: datetime
    time_zone: str
    digest: str


@dataclass(frozen=True, kw_only=True)
class ReviewedVerdict:
    """The physicist's verdict beside the proposed one."""

    verdict: str
    reason: str = ""  # why it differs from the proposed one
    comment: str = ""  # to the site


@dataclass(frozen=True, kw_only=True)
class SignedChoice:
    """What a physicist decided by signature about how the SUV is worked out, and why."""

    signature: SignatureBlock
    reason: str


@dataclass(frozen=True, kw_only=True)
class ChecklistLine:
    """One question of the visual checklist, its answer, by whom and when."""

    question: str
    answer: str
    answered_by: str
    answered_at: datetime


@dataclass(frozen=True, kw_only=True)
class ReportMeta:
    """What the lab knows about a run beside its result.

    ``standards`` are those that decide. ``made_at`` is the date of the document: the end of the run, or of the
    review, never the moment of printing, so that the same run gives the same bytes. ``time_zone`` is the site's.
    ``queries`` gives, by rule, the number of the query that asks the site about it. ``choices`` are the signed
    decisions about the SUV that the run was made by.
    """

    lab_name: str
    submission_number: str
    run_number: str
    site_name: str
    scanner_label: str
    reconstruction: str
    kind_label: str
    standards: tuple[str, ...]
    received_at: datetime
    scanned_at: datetime | None
    time_zone: str
    made_at: datetime
    is_dry_run: bool = False
    trial_code: str = ""
    subject_code: str = ""
    visit: str = ""
    queries: Mapping[str, str] = field(default_factory=dict)
    sheet: Mapping[str, Any] | None = None
    signatures: tuple[SignatureBlock, ...] = ()
    choices: tuple[SignedChoice, ...] = ()
    review: ReviewedVerdict | None = None
    checklist: tuple[ChecklistLine, ...] = ()
    superseded_by: str = ""
    superseded_on: date | None = None
