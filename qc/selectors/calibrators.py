"""Which dose calibrators, reference sources and readings a person may see."""

from __future__ import annotations

from django.db.models import Max, Q, QuerySet

from corelab import access
from corelab import selectors as registry
from corelab.models import DoseCalibrator, User
from qc.models import CalibratorReading, ReferenceSource
from qc.selectors.lookup import only


def checked_calibrators_visible_to(user: User) -> QuerySet[DoseCalibrator]:
    """Return the dose calibrators whose checks a person sees: those of one's sites, all for the lab; none for a trial.

    Each carries ``last_read_at``, the time of its last reading that stands.
    """
    seen = registry.calibrators_visible_to(user)
    if not access.sees_everything(user):
        seen = seen.filter(site_id__in=access.site_ids_of(user))
    stands = Q(sources__readings__withdrawn_at__isnull=True)
    return seen.annotate(last_read_at=Max("sources__readings__read_at", filter=stands))


def checked_calibrator_for(user: User, pk: int) -> DoseCalibrator:
    """Return one dose calibrator whose checks a person sees, or raise NotFound."""
    calibrator: DoseCalibrator = only(checked_calibrators_visible_to(user).filter(pk=pk))
    return calibrator


def reference_sources_visible_to(user: User) -> QuerySet[ReferenceSource]:
    """Return the reference sources of the dose calibrators whose checks a person sees, the latest first."""
    mine = checked_calibrators_visible_to(user).values("pk")
    return ReferenceSource.objects.filter(calibrator__in=mine).select_related("calibrator__site", "added_by")


def reference_source_for(user: User, pk: int) -> ReferenceSource:
    """Return one reference source, or raise NotFound."""
    source: ReferenceSource = only(reference_sources_visible_to(user).filter(pk=pk))
    return source


def readings_visible_to(user: User) -> QuerySet[CalibratorReading]:
    """Return the readings of the dose calibrators a person sees, withdrawn ones too, the latest first."""
    mine = checked_calibrators_visible_to(user).values("pk")
    found = CalibratorReading.objects.filter(source__calibrator__in=mine)
    return found.select_related("source__calibrator__site", "entered_by")


def reading_for(user: User, pk: int) -> CalibratorReading:
    """Return one reading, or raise NotFound."""
    reading: CalibratorReading = only(readings_visible_to(user).filter(pk=pk))
    return reading
