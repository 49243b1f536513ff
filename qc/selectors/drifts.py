"""Where scans and the register differ, and who sees it."""

from __future__ import annotations

from django.db.models import QuerySet

from corelab import access
from corelab.models import User
from qc.models import Drift
from qc.selectors.lookup import only


def drifts_visible_to(user: User) -> QuerySet[Drift]:
    """Return where scans and the register differ: all for the lab, those of its own scanners for a site."""
    drifts = Drift.objects.select_related("scanner__site", "reconstruction", "submission", "closed_by")
    if access.sees_everything(user):
        return drifts
    return drifts.filter(scanner__site_id__in=access.site_ids_of(user))


def drift_for(user: User, pk: int) -> Drift:
    """Return one difference, or raise NotFound."""
    drift: Drift = only(drifts_visible_to(user).filter(pk=pk))
    return drift
