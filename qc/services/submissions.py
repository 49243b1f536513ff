"""A submission on the site's side: started, filled in, sent, withdrawn; and sent round again by staff."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from corelab.models import ReconstructionProfile, Scanner, Site, Trial, User
from qc.models import Submission


def submission_start(
    *,
    actor: User,
    site: Site,
    kind: str,
    scanner: Scanner,
    reconstruction: ReconstructionProfile | None = None,
    standard: str = "earl1_18f",
    trial: Trial | None = None,
    subject_code: str = "",
    visit: str = "",
    is_dry_run: bool = False,
    replaces: Submission | None = None,
) -> Submission:
    """Start a draft. With ``replaces`` the sheet of that one is copied; a draft that replaces it already is found.

    Raises
    ------
    NotAllowed
        The person is no site user of that site.
    Refused
        ``SCANNER-SITE``, ``RECONSTRUCTION-SCANNER``, ``TRIAL-MISSING``, ``TRIAL-SITE``, ``SUBJECT-CODE``,
        ``STANDARD-UNKNOWN``, ``KIND-UNKNOWN``, ``REPLACE-STATE``.
    """
    raise NotImplementedError


def submission_place_edit(*, submission_id: UUID, actor: User, **fields: Any) -> Submission:
    """Change what and where of a draft.

    Fields: ``kind scanner reconstruction standard trial subject_code visit is_dry_run calibrator comment
    chosen_series``. Refused as in `submission_start`.
    """
    raise NotImplementedError


def sheet_save(*, submission_id: UUID, actor: User, sheet: dict[str, Any]) -> Submission:
    """Keep the sheet of a draft as it is written so far; half a sheet is never refused here."""
    raise NotImplementedError


def patient_values_save(*, submission_id: UUID, actor: User, values: dict[str, Any]) -> Submission:
    """Keep the scan-day values of a patient scan, as the sheet's ``patient`` key."""
    raise NotImplementedError


def submission_send(*, submission_id: UUID, actor: User) -> Submission:
    """Send a draft: it is checked by a job, which sends it on or gives it back with ``check_findings``."""
    raise NotImplementedError


def submission_withdraw(*, submission_id: UUID, actor: User, reason: str) -> Submission:
    """Take a submission back, until its review begins."""
    raise NotImplementedError


def submission_repeat(*, submission_id: UUID, actor: User, reason: str) -> Submission:
    """Analyse again: with the same inputs, parameters and program the finished run is found, else a new one is made."""
    raise NotImplementedError


def submission_recheck(*, submission_id: UUID, actor: User, reason: str) -> Submission:
    """Let a held submission be checked again; files held against an earlier submission are thereby accepted."""
    raise NotImplementedError
