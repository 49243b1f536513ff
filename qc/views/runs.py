"""Runs looked at: their numbers, their report as a page and as a file, their pictures."""

from __future__ import annotations

from django.contrib import messages
from django.http import FileResponse, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.cache import get_conditional_response
from django.utils.http import quote_etag
from django.views.decorators.http import require_http_methods, require_safe

from corelab import access, storage
from corelab.csv_lines import csv_lines
from corelab.errors import NotFound
from qc import selectors, services
from qc.reports import build_context
from qc.reports.activity import suv_blocks
from qc.reports.tables import RULE_COLUMNS, rule_rows
from qc.services.reports import MAY_REPEAT, report_figures, report_meta
from qc.status import sentence_of
from qc.views import results
from qc.views.submissions import report_of

#: A picture is a document of its own: it may carry its own styles and nothing else.
PICTURE_POLICY = "default-src 'none'; style-src 'unsafe-inline'; sandbox"
#: The browser keeps a copy and asks each time whether it still holds: another database gives numbers out again.
KEPT_AND_ASKED_ABOUT = "private, no-cache"


@require_safe
def run_detail(request: HttpRequest, number: int) -> HttpResponse:
    """Show one unchangeable run: what went in, what came out, with which program."""
    run = selectors.run_for(request.user, number)
    submission = run.submission
    against = results.tabs(run.result, submission.standard, request.GET.get("against", ""))
    current = next((tab.key for tab in against if tab.is_current), "")
    figures = list(selectors.figures_visible_to(request.user).filter(run=run))
    first, others = results.split_pictures(figures, run.method)
    report = report_of(request.user, run)
    context = {
        "run": run,
        "submission": submission,
        "is_current": submission.current_run_id == run.pk,
        "sentence": sentence_of(run.headline),
        "against": against,
        "table": results.numbers(run.result, current) if current else None,
        "pictures": [*first, *others],
        "found": results.sort_findings(run.result.get("findings", [])),
        "choices": selectors.choices_behind(run),
        "has_report": report is not None and report.stored_id is not None,
        "suv_blocks": suv_blocks(run.result, report_meta(report)) if report is not None and run.result else [],
        "failed_report": report if report is not None and report.is_failed else None,
        "may_repeat_report": bool(access.lab_roles_of(request.user) & MAY_REPEAT),
        "is_staff": access.sees_everything(request.user),
    }
    return render(request, "qc/run_detail.html", context)


@require_safe
def report_show(request: HttpRequest, number: int) -> HttpResponse:
    """Show the report as a page; it says the same as the PDF, from the same context."""
    run = selectors.run_for(request.user, number)
    report = report_of(request.user, run)
    if report is None or not run.result:
        raise NotFound("There is no report of this run yet. It usually takes a few seconds.")

    def figure_url(name: str) -> str:
        return reverse("qc:figure-show", args=[run.number, name])

    submission = run.submission
    context = {
        "report": build_context(run.result, report_meta(report), report_figures(run), figure_url),
        "crumbs": [
            (str(submission.site), f"{reverse('qc:submission-list')}?site={submission.site.code}"),
            (str(submission), reverse("qc:submission-detail", args=[submission.number])),
        ],
        "download_url": reverse("qc:report-download", args=[run.number]) if report.stored_id else "",
        "suv_url": reverse("qc:suv-trace", args=[run.number]),
        "csv_url": reverse("qc:conformance-csv", args=[run.number]) if run.result["findings"] else "",
    }
    return render(request, "qc/report_show.html", context)


@require_safe
def report_download(request: HttpRequest, number: int) -> HttpResponse:
    """Serve the stored PDF: the signed one where there is one, or the one that is about to be signed."""
    run = selectors.run_for(request.user, number)
    reports = selectors.reports_visible_to(request.user).filter(run=run, stored__isnull=False)
    if request.GET.get("unsigned"):
        reports = reports.filter(review__isnull=True)
    report = min(reports, key=lambda one: one.review_id is None, default=None)
    if report is None:
        raise NotFound("The report is not made yet. It usually takes a few seconds.")
    name = f"{run.submission.short_number}_{run.short_number}{'_signed' if report.review_id else ''}.pdf"
    response = FileResponse(
        storage.open_object(report.stored.sha256), content_type="application/pdf", as_attachment=True, filename=name
    )
    response.headers["Cache-Control"] = KEPT_AND_ASKED_ABOUT
    return response


@require_http_methods(["GET", "HEAD", "POST"])
def report_repeat(request: HttpRequest, number: int) -> HttpResponse:
    """Let a report that ended as our error be made again, once the person has confirmed it."""
    run = selectors.run_for(request.user, number)
    if not access.lab_roles_of(request.user) & MAY_REPEAT:
        raise NotFound("There is nothing here, or it is not yours to see.")
    report = report_of(request.user, run)
    if report is None:
        raise NotFound("There is no report of this run yet. It usually takes a few seconds.")
    if request.method == "POST":
        services.report_repeat(report_id=report.pk, actor=request.user)
        messages.success(request, "The report is made again. It usually takes a few seconds.")
    if request.method == "POST" or not report.is_failed:
        return redirect("qc:submission-detail", run.submission.number)
    context = {"run": run, "submission": run.submission, "report": report}
    return render(request, "qc/report_repeat.html", context)


@require_safe
def conformance_csv(request: HttpRequest, number: int) -> HttpResponse:
    """Serve what each rule saw in a run as a table, to those who may read its report."""
    run = selectors.run_for(request.user, number)
    report = report_of(request.user, run)
    if report is None or not run.result:
        raise NotFound("There is no report of this run yet. It usually takes a few seconds.")
    lines = csv_lines(RULE_COLUMNS, rule_rows(run.result, report_meta(report)))
    response = HttpResponse("".join(lines), content_type="text/csv; charset=utf-8")
    name = f"{run.submission.short_number}_{run.short_number}_conformance.csv"
    response.headers["Content-Disposition"] = f'attachment; filename="{name}"'
    response.headers["Cache-Control"] = KEPT_AND_ASKED_ABOUT
    return response


@require_safe
def figure_show(request: HttpRequest, number: int, name: str) -> HttpResponse:
    """Serve one picture of a run, under a policy in which nothing of it can act."""
    run = selectors.run_for(request.user, number)
    figure = selectors.figures_visible_to(request.user).filter(run=run, name=name).first()
    if figure is None:
        raise NotFound("There is no such picture.")
    etag = quote_etag(figure.stored.sha256)
    response = get_conditional_response(request, etag=etag)
    if response is None:
        with storage.open_object(figure.stored.sha256) as file:
            response = HttpResponse(file.read(), content_type="image/svg+xml")
    response.headers["Content-Security-Policy"] = PICTURE_POLICY
    response.headers["Cache-Control"] = KEPT_AND_ASKED_ABOUT
    response.headers["ETag"] = etag
    return response
