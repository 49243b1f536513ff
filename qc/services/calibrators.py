"""Checks of a dose calibrator: reference sources, their readings, and what these come to."""

from __future__ import annotations

from datetime import date, datetime
from typing import Any

from django.db import transaction
from django.utils import timezone

from corelab import access, audit
from corelab.errors import NotAllowed, Refused, StaleState
from corelab.models import DoseCalibrator, Role, User
from phantoms import calibrator as method
from phantoms.errors import AnalysisRefused
from qc import selectors
from qc.models import CalibratorReading, ReferenceSource

audit.catalogue(
    {
        "source.add": "A reference source of a dose calibrator was entered.",
        "reading.add": "A reading of a reference source was entered.",
        "reading.withdraw": "A reading of a reference source was withdrawn.",
    }
)

MAY_ENTER = frozenset({Role.TECHNICIAN, Role.PHYSICIST, Role.SITE_USER})


@transaction.atomic
def source_add(
    *,
    actor: User,
    calibrator_id: int,
    nuclide: str,
    activity_mbq: float,
    certified_on: date,
    uncertainty_pct: float | None = None,
) -> ReferenceSource:
    """Enter a reference source with its certificate; it is the one that is read from now on.

    Raises
    ------
    NotFound
        There is no such calibrator, or it is not the actor's to see.
    NotAllowed
        The actor is neither a site user there nor physicist or technician.
    Refused
        ``CAL-…``: the certificate cannot be.
    """
    calibrator = selectors.checked_calibrator_for(actor, calibrator_id)
    _require(actor, calibrator)
    values = {"nuclide": nuclide, "activity_mbq": activity_mbq, "uncertainty_pct": uncertainty_pct}
    source = ReferenceSource(calibrator=calibrator, certified_on=certified_on, added_by=actor, **values)
    _measurable(source, [{"at": _noon(certified_on), "activity_mbq": activity_mbq}])
    source.save()
    audit.record("source.add", source, after=values | {"certified_on": certified_on.isoformat()})
    return source


@transaction.atomic
def reading_add(
    *,
    actor: User,
    source_id: int,
    read_at: datetime,
    activity_mbq: float,
    background_mbq: float = 0.0,
    clock_offset_s: float | None = None,
    is_baseline: bool = False,
) -> CalibratorReading:
    """Enter one reading.

    Raises
    ------
    NotFound, NotAllowed
        As in `source_add`.
    Refused
        ``CAL-…``: the reading cannot be; ``CAL-BASELINE``: the source has one; ``CAL-FUTURE``: not read yet.
    """
    source = selectors.reference_source_for(actor, source_id)
    _require(actor, source.calibrator)
    ReferenceSource.objects.select_for_update().get(pk=source.pk)  # of two baselines at once the second is refused
    if read_at > timezone.now():
        raise Refused("The reading lies in the future. Check date and clock time.", code="CAL-FUTURE")
    kept = source.readings.filter(withdrawn_at__isnull=True)
    if is_baseline and kept.filter(is_baseline=True).exists():
        raise Refused("This source has a baseline already. Withdraw that one first.", code="CAL-BASELINE")
    reading = CalibratorReading(
        source=source,
        read_at=read_at,
        activity_mbq=activity_mbq,
        background_mbq=background_mbq,
        clock_offset_s=clock_offset_s,
        is_baseline=is_baseline,
        entered_by=actor,
    )
    _measurable(source, [_row(reading)], clock_offset_s)
    reading.save()
    after = {"read_at": read_at.isoformat(), "activity_mbq": activity_mbq, "background_mbq": background_mbq}
    audit.record("reading.add", reading, after=after | {"clock_offset_s": clock_offset_s, "is_baseline": is_baseline})
    return reading


@transaction.atomic
def reading_withdraw(*, actor: User, reading_id: int, reason: str) -> CalibratorReading:
    """Withdraw a reading: it stays in the list, struck out, and counts no more.

    Raises
    ------
    NotFound, NotAllowed
        As in `source_add`.
    Refused
        ``REASON-MISSING``.
    StaleState
        Somebody withdrew it a moment before.
    """
    reading = selectors.reading_for(actor, reading_id)
    _require(actor, reading.source.calibrator)
    if not reason.strip():
        raise Refused("Say why: this needs a reason.", code="REASON-MISSING")
    now = timezone.now()
    gone = {"withdrawn_at": now, "withdrawn_by": actor, "withdrawn_reason": reason.strip()[:300]}
    if not CalibratorReading.objects.filter(pk=reading.pk, withdrawn_at__isnull=True).update(**gone):
        raise StaleState("This reading is withdrawn already.")
    reading.refresh_from_db()
    audit.record("reading.withdraw", reading, before={"withdrawn": False}, after={"withdrawn": True}, reason=reason)
    return reading


def readings_of(source: ReferenceSource) -> dict[str, Any] | None:
    """Return what `phantoms.calibrator` reads of one source; None where nothing but a baseline was read yet."""
    kept = list(source.readings.filter(withdrawn_at__isnull=True).order_by("read_at", "pk"))
    rows = [_row(one) for one in kept if not one.is_baseline]
    if not rows:
        return None
    baseline = next((_row(one) for one in kept if one.is_baseline), None)
    # The clock as it was last compared.
    offsets = [one.clock_offset_s for one in kept if one.clock_offset_s is not None]
    return (
        _certificate(source)
        | {"readings": rows}
        | ({"baseline": baseline} if baseline else {})
        | ({"clock_offset_s": offsets[-1]} if offsets else {})
    )


def _certificate(source: ReferenceSource) -> dict[str, Any]:
    stated = {} if source.uncertainty_pct is None else {"uncertainty_pct": source.uncertainty_pct}
    certified = {"nuclide": source.nuclide, "activity_mbq": source.activity_mbq}
    return {"source": certified | {"calibrated_at": _noon(source.certified_on)} | stated}


def _noon(day: date) -> str:
    return f"{day.isoformat()}T12:00:00+00:00"


def _row(reading: CalibratorReading) -> dict[str, Any]:
    return {
        "at": reading.read_at.isoformat(),
        "activity_mbq": reading.activity_mbq,
        "background_mbq": reading.background_mbq,
    }


def _measurable(source: ReferenceSource, rows: list[dict[str, Any]], clock_offset_s: float | None = None) -> None:
    """Refuse what the method could not read, before it is kept."""
    try:
        method.measure(_certificate(source) | {"readings": rows, "clock_offset_s": clock_offset_s})
    except AnalysisRefused as refused:
        raise Refused(f"{refused.detail} {refused.next_step}", code=refused.code) from None


def _require(actor: User, calibrator: DoseCalibrator) -> None:
    if not access.roles_of(actor, calibrator.site) & MAY_ENTER:
        raise NotAllowed("Your role does not permit this. Ask the core lab.")
