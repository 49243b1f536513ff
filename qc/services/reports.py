"""Documents of a run: made once by a job, kept by digest, and as a plain file for people with a file browser."""

from __future__ import annotations

import logging
from pathlib import Path
from uuid import UUID

from django.conf import settings
from django.db import transaction
from django.db.models import QuerySet

from corelab import access, audit, jobs, storage
from corelab.errors import NotAllowed, NotFound, StaleState
from corelab.models import Role, Signature, User
from corelab.models.work import WorkState
from phantoms.figure_svg import FigureSvg
from qc.models import Report, Run, Submission
from qc.reports import (
    ChecklistLine,
    ReportMeta,
    ReviewedVerdict,
    SignatureBlock,
    SignedChoice,
    build_context,
    render_pdf,
)
from qc.selectors import checklist_of, choices_behind, reports_visible_to
from qc.services import runs

logger = logging.getLogger(__name__)

audit.catalogue(
    {
        "report.make": "A report was typeset and kept.",
        "report.repeat": "Staff let a report be made that had ended as our error.",
    }
)


#: Who lets a report be made again that ended as our error.
MAY_REPEAT = frozenset({Role.TECHNICIAN, Role.PHYSICIST})


def report_make(*, report_id: UUID) -> None:
    """Job: typeset one report, keep it, and put the plain file beside the others."""
    report = _with_run().filter(pk=report_id).first()
    # A signed report waits for nothing else, an unsigned one for its run.
    if report is None or report.run.work_state != WorkState.DONE:
        return
    attempt = jobs.claim(report)
    if attempt is None:
        return
    try:
        report = _with_run().get(pk=report_id)
        with jobs.at_work(report):
            figures = report_figures(report.run)
            context = build_context(report.run.result, report_meta(report), figures)
            stored = storage.put_once([render_pdf(context, figures)]).stored
            _write_plain_file(report, stored.sha256)
        with transaction.atomic():
            jobs.finish(report, attempt, stored=stored)
            audit.record(
                "report.make", report, after={"sha256": stored.sha256, "is_signed": report.review_id is not None}
            )
    except StaleState:
        logger.warning("report %s: another worker has it, this outcome is dropped", report.pk)
    except Exception as error:  # noqa: BLE001 (the try is recorded and repeated, whatever it was)
        jobs.give_up(report, attempt, error)


@transaction.atomic
def report_repeat(*, report_id: UUID, actor: User) -> Report:
    """Let a report that ended as our error be made again.

    Raises
    ------
    NotAllowed
        The person is neither technician nor physicist.
    StaleState
        It is made, or being made.
    """
    report = reports_visible_to(actor).filter(pk=report_id).first()
    if report is None:
        raise NotFound("There is nothing here, or it is not yours to see.")
    if not access.lab_roles_of(actor) & MAY_REPEAT:
        raise NotAllowed("Your role does not permit this. Ask the core lab.")
    if report.work_state != WorkState.FAILED:
        raise StaleState("This report is made, or is being made now.")
    audit.record("report.repeat", report, before={"reference": report.work_error})
    jobs.queue(report, "qc.make_report", key="report_id")
    return report


def report_meta(report: Report, *, is_whole: bool = True) -> ReportMeta:
    """Return what the lab knows about a report's run beside its result.

    Without ``is_whole`` the questions to the site and the visual checklist are not read: a page has them already.
    """
    run, review = report.run, report.review
    submission = run.submission
    site = submission.site
    signed = review.signature if review else None
    newer = run.superseded_by
    made_at = signed.signed_at if signed else (run.finished_at or run.created_at)
    return ReportMeta(
        lab_name=settings.SITE_NAME,
        submission_number=submission.short_number,
        run_number=run.short_number,
        site_name=site.name,
        scanner_label=str(submission.scanner),
        reconstruction=str(submission.reconstruction or ""),
        kind_label=submission.get_kind_display(),
        standards=tuple(run.parameters["standards"]),
        received_at=submission.sent_at or submission.created_at,
        scanned_at=submission.scanned_at,
        time_zone=site.time_zone,
        made_at=made_at.replace(microsecond=0),  # a document's date knows no smaller part
        is_dry_run=submission.is_dry_run,
        trial_code=submission.trial.code if submission.trial else "",
        subject_code=submission.subject_code,
        visit=submission.visit,
        queries=_asked(submission) if is_whole else {},
        sheet=runs.sheet_of(submission),
        signatures=(_signature(signed, site.time_zone),) if signed else (),
        choices=tuple(
            SignedChoice(signature=_signature(one.signature, site.time_zone), reason=one.reason)
            for one in choices_behind(run)
        ),
        review=ReviewedVerdict(verdict=review.verdict, reason=review.difference_reason, comment=review.comment_to_site)
        if review
        else None,
        checklist=_checklist(run) if review and is_whole else (),
        superseded_by=newer.short_number if newer else "",
        superseded_on=newer.finished_at.astimezone(site.zone).date() if newer and newer.finished_at else None,
    )


def _signature(signed: Signature, time_zone: str) -> SignatureBlock:
    return SignatureBlock(
        name=signed.printed_name,
        role=signed.role,
        meaning=signed.statement,
        signed_at=signed.signed_at,
        time_zone=time_zone,
        digest=signed.digest,
    )


def report_figures(run: Run) -> dict[str, FigureSvg]:
    """Return the pictures of a run with their bytes, by name."""
    return {
        figure.name: FigureSvg(svg=_bytes(figure.stored.sha256), alt=figure.alt, caption=figure.caption)
        for figure in run.figures.select_related("stored").order_by("name")
    }


def plain_file(report: Report) -> Path:
    """Return where a report's plain file lies."""
    signed = "_signed" if report.review_id else ""
    name = f"{report.run.submission.short_number}_{report.run.short_number}{signed}.pdf"
    return Path(settings.REPORT_DIR) / name


def _with_run() -> QuerySet[Report]:
    return Report.objects.select_related(
        "run__submission__site",
        "run__submission__scanner",
        "run__submission__reconstruction",
        "run__submission__trial",
        "run__superseded_by",
        "review__signature",
    )


def _asked(submission: Submission) -> dict[str, str]:
    """Return, by rule, the number of the last query that asked the site about it; a draft asks nobody."""
    queries = submission.queries.filter(asked_at__isnull=False).order_by("number")
    return {one["id"]: query.short_number for query in queries for one in query.findings}


def _checklist(run: Run) -> tuple[ChecklistLine, ...]:
    return tuple(
        ChecklistLine(
            question=row.item.title,
            answer=_answer_words(row.answer.is_seen, row.answer.note),
            answered_by=row.answer.answered_by.name,
            answered_at=row.answer.answered_at,
        )
        for row in checklist_of(run)
        if row.answer is not None
    )


def _answer_words(is_seen: bool, note: str) -> str:
    seen = "Seen" if is_seen else "Not seen"
    return f"{seen}: {note}" if note else seen


def _bytes(sha256: str) -> bytes:
    with storage.open_object(sha256) as file:
        return file.read()


def _write_plain_file(report: Report, sha256: str) -> None:
    """Put a copy under the number that people use; half a file is never seen under it."""
    target = plain_file(report)
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(f".{target.name}.{report.attempts}")
    part.write_bytes(_bytes(sha256))
    part.replace(target)
