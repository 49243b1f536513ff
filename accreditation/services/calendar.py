"""What happens to cases because a day has passed, on each site's own calendar."""

from __future__ import annotations

import logging
from datetime import timedelta
from uuid import UUID

from django.db import transaction
from django.db.models import Q

from accreditation import programmes
from accreditation.models import Case
from accreditation.requirements import day_words
from accreditation.selectors import Known, facts_of, today_at
from accreditation.services.evidence import broken, case_collect, certificate_hold, is_ready
from accreditation.services.moves import case_locked, move
from accreditation.workflow import CLOSED, IN_FORCE, CaseState

logger = logging.getLogger(__name__)

#: So many cases are read together.
_AT_ONCE = 500
_EXPIRING = IN_FORCE | {CaseState.SUSPENDED}


def calendar_advance() -> int:
    """Job: make the moves whose day has come; return in how many cases something was due.

    It asks what is due today, not what has happened since the last time: run twice it does nothing more, and after
    days of standstill it does what is due now. What ends, ends today: no day that is over is changed.
    """
    watched = Case.objects.filter(
        Q(state__in=[*_EXPIRING, CaseState.CORRECTIVE_ACTION_REQUIRED, CaseState.ANALYSIS_RUNNING])
        | Q(certificates__isnull=False)
    ).exclude(state__in=CLOSED)
    ids = list(watched.order_by("number").values_list("pk", flat=True).distinct())
    advanced = 0
    for start in range(0, len(ids), _AT_ONCE):
        cases = list(
            Case.objects.filter(pk__in=ids[start : start + _AT_ONCE])
            .select_related("scanner__site", "reconstruction", "trial")
            .order_by("number")
        )
        known = facts_of(cases)
        for case in cases:
            if _due(case, known[case.pk]):
                advanced += _advance(case.pk)
    return advanced


def _due(case: Case, known: Known) -> str:
    """Return what is due in a case today; empty where nothing is."""
    today = today_at(case.scanner.site)
    if case.state == CaseState.CORRECTIVE_ACTION_REQUIRED and case.deadline_on and case.deadline_on < today:
        return "lapse"
    if case.state in _EXPIRING and case.valid_until and case.valid_until < today:
        return "expire"
    if broken(case, known):
        return "hold"
    if case.state == CaseState.ANALYSIS_RUNNING and is_ready(case, known):
        return "collect"
    if case.state == CaseState.ACCREDITED and case.valid_until:
        ahead = timedelta(days=programmes.load(case.programme).due_soon_days)
        return "remind" if case.valid_until - ahead <= today else ""
    return ""


def _advance(case_id: UUID) -> bool:
    """Make what is due in one case, asked again under its lock; log what breaks, the others wait for it."""
    try:
        with transaction.atomic():
            case = case_locked(case_id)
            known = facts_of([case])[case.pk]
            event = _due(case, known)
            if event == "lapse":
                move(
                    case, "lapse", actor=None, reason=f"The corrective action was due by {day_words(case.deadline_on)}."
                )
            elif event == "hold":
                certificate_hold(case, known)
            elif event == "collect":
                case_collect(case)
            elif event:
                move(case, event, actor=None)
            return bool(event)
    except Exception:
        logger.exception("the calendar could not move case %s, the next turn tries again", case_id)
        return False
