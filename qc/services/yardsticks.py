"""What a scan is judged by, as it stands when its run is made: plain JSON that becomes part of the run's identity."""

from __future__ import annotations

from datetime import date, datetime
from typing import Any

from django.db.models import Q

from corelab.models import Clearance, ReconstructionProfile, Scanner, Trial
from qc import selectors
from qc.models import ProtocolVersion, Submission
from qc.models.submissions import Kind


def yardstick_of(submission: Submission) -> dict[str, Any]:
    """Return what the rules hold a submission to.

    Returns
    -------
    dict
        ``protocol``: version and document in force on the scan's own day, None for a phantom or where there is none;
        ``values``: what the site wrote down on the scan day; ``registry``: this scanner as ``registry.schema.json``
        has it, with the clearances that can hold for this scan; ``scope``: trial, standard, reconstruction.
    """
    trial = submission.trial
    values = dict(submission.sheet.get("patient", {})) if submission.kind == Kind.PATIENT else None
    protocol = protocol_for_scan(submission)
    return {
        "protocol": {"version": protocol.version, "document": protocol.document} if protocol else None,
        "values": values,
        "registry": {"scanners": [_scanner(submission)]},
        "scope": {
            "trial": trial.code if trial else None,
            "standard": submission.standard,
            "reconstruction": submission.reconstruction.name if submission.reconstruction else None,
        },
    }


def protocol_for_scan(submission: Submission) -> ProtocolVersion | None:
    """Return the protocol in force on the day of a patient scan; None for phantoms and for a scan without a day."""
    day = scan_day(submission)
    if submission.kind != Kind.PATIENT or submission.trial is None or day is None:
        return None
    return selectors.protocol_in_force(submission.trial, day)


def scan_day(submission: Submission) -> date | None:
    """Return the day of a scan on its site's clock: as the images say it, else as the site wrote it down."""
    if submission.scanned_at is not None:
        return submission.scanned_at.astimezone(submission.site.zone).date()
    injected_at = submission.sheet.get("patient", {}).get("injected_at")
    return datetime.fromisoformat(injected_at).date() if injected_at else None


def _scanner(submission: Submission) -> dict[str, Any]:
    scanner = submission.scanner
    # Also one that is out of use by now, where the scan names it.
    named = Q(is_active=True) | Q(pk=submission.reconstruction_id)
    return {
        "manufacturer": scanner.manufacturer,
        "model": scanner.model,
        "serial": scanner.serial,
        "software": scanner.software,
        "reconstructions": [_reconstruction(one) for one in scanner.reconstructions.filter(named)],
        "clearances": [_clearance(one) for one in _clearances_of(scanner, submission.trial)],
    }


def _reconstruction(profile: ReconstructionProfile) -> dict[str, Any]:
    numbers = {name: getattr(profile, name) for name in ("filter_fwhm_mm", "pixel_mm", "slice_mm")}
    return {
        "name": profile.name,
        "method": profile.method,
        "kernel": profile.kernel,
        "matrix": profile.matrix,
        **{name: None if value is None else float(value) for name, value in numbers.items()},
    }


def _clearances_of(scanner: Scanner, trial: Trial | None) -> list[Clearance]:
    """Return those of the trial itself and those that hold for every trial."""
    holds = Q(trial=None) | Q(trial=trial)
    found = Clearance.objects.filter(holds, scanner=scanner).select_related("reconstruction", "trial")
    return list(found.order_by("from_on", "certificate_number", "pk"))


def _clearance(one: Clearance) -> dict[str, Any]:
    return {
        "reconstruction": one.reconstruction.name,
        "tracer": one.tracer,
        "standard": one.standard,
        "trial": one.trial.code if one.trial else None,
        "certificate": one.certificate_number,
        "from_on": one.from_on.isoformat(),
        "until_on": one.until_on.isoformat(),
        "ended_on": one.ended_on.isoformat() if one.ended_on else None,
        "ending": one.ending,
        "reason": one.ended_reason,
    }
