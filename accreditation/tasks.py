"""Doorbells: each job calls the service of its name."""

from __future__ import annotations

from uuid import UUID

from accreditation import services
from corelab.jobs import job


@job("accreditation.reconcile_cases", queue="short", time_limit_s=60)
def reconcile_cases() -> None:
    """Count signed runs whose signal was lost."""
    services.cases_reconcile()


@job("accreditation.advance_calendar", queue="short", time_limit_s=300)
def advance_calendar() -> None:
    """Make the moves whose day has come."""
    services.calendar_advance()


@job("accreditation.make_certificate", queue="reports", time_limit_s=300)
def make_certificate(*, certificate_id: str) -> None:
    """Typeset a certificate."""
    services.certificate_make(certificate_id=UUID(certificate_id))
