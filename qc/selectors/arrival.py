"""What has arrived of a submission: files, series, and when the scan began."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db.models import Count, Q, Sum

from corelab.models.work import WorkState
from qc.arrival import missing_numbers
from qc.models import ReceivedFile, Submission

#: Zips that a worker still has to open.
UNPACKING = Q(is_complete=True, is_zip=True, work_state__in=(WorkState.QUEUED, WorkState.RUNNING))


@dataclass(frozen=True, kw_only=True)
class SeriesRow:
    """One series of a submission as it arrived. ``expected`` is None where the headers name no number of slices."""

    series_uid: str
    series_number: int | None
    modality: str
    is_attenuation_corrected: bool | None
    count: int
    expected: int | None
    missing: tuple[int, ...]
    findings: tuple[dict[str, Any], ...]

    @property
    def is_complete(self) -> bool:
        """Whether as many slices came as the headers name."""
        return self.expected is None or self.count >= self.expected

    @property
    def is_measurable(self) -> bool:
        """Whether it is PET with attenuation correction, so that it may be the one to measure."""
        return self.modality == "PT" and self.is_attenuation_corrected is not False


def received_series(submission: Submission) -> list[SeriesRow]:
    """Return the series of a submission as they arrived, by series number; one query."""
    rows = submission.files.exclude(status=ReceivedFile.Status.IGNORED).values_list(
        "series_instance_uid",
        "series_number",
        "modality",
        "is_attenuation_corrected",
        "number_of_slices",
        "instance_number",
    )
    slices: dict[str, list[Any]] = defaultdict(list)
    for uid, *slice_facts in rows.order_by("pk"):
        slices[uid].append(slice_facts)
    series = []
    for uid, many in slices.items():
        number, modality, is_corrected, expected, _ = many[0]
        series.append(
            SeriesRow(
                series_uid=uid,
                series_number=number,
                modality=modality,
                is_attenuation_corrected=is_corrected,
                count=len(many),
                expected=expected if expected and expected > 0 else None,
                missing=missing_numbers((one[-1] for one in many), expected),
                findings=tuple(one for one in submission.check_findings if uid in one.get("series", ())),
            )
        )
    return sorted(series, key=lambda one: (one.series_number or 0, one.series_uid))


def series_to_choose(series: list[SeriesRow], kind: str) -> list[SeriesRow]:
    """Return the series between which a person may choose; none where there is nothing to choose.

    Of a phantom that came without attenuation correction only, every PET series is offered: nobody has to send it, but
    named by a person it has its numbers, and the verdict that it cannot be judged.
    """
    measurable = [one for one in series if one.is_measurable]
    if measurable or kind == "patient":
        return measurable if len(measurable) > 1 else []
    return [one for one in series if one.modality == "PT"]


def scan_began_at(submission: Submission) -> datetime | None:
    """Return when the scan began by its images, on the site's wall clock; None before they arrived."""
    moments = submission.files.filter(modality="PT").exclude(status=ReceivedFile.Status.IGNORED)
    times = moments.order_by().values_list("facts__scan_at", flat=True).distinct()
    first = min(filter(None, times), default=None)
    return datetime.fromisoformat(first) if first else None


@dataclass(frozen=True, kw_only=True)
class Arrival:
    """How much of a submission has arrived; ``files`` are those that were not left out."""

    files: int
    left_out: int
    size_bytes: int
    uploads_complete: int
    uploads_total: int
    is_unpacking: bool


def arrival_of(submission: Submission) -> Arrival:
    """Return how much of a submission has arrived; two queries."""
    ignored = Q(status=ReceivedFile.Status.IGNORED)
    files = submission.files.aggregate(
        kept=Count("pk", filter=~ignored),
        left_out=Count("pk", filter=ignored),
        size=Sum("stored__size_bytes", filter=~ignored),
    )
    uploads = submission.uploads.aggregate(
        total=Count("pk"),
        complete=Count("pk", filter=Q(is_complete=True)),
        unpacking=Count("pk", filter=UNPACKING),
    )
    return Arrival(
        files=files["kept"],
        left_out=files["left_out"],
        size_bytes=files["size"] or 0,
        uploads_complete=uploads["complete"],
        uploads_total=uploads["total"],
        is_unpacking=uploads["unpacking"] > 0,
    )
