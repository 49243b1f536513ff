"""Where a trial stands: its scans as a list, its conformance reports asked for, watched and downloaded."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from django.contrib import messages
from django.core.paginator import Paginator
from django.db.models import Q
from django.http import FileResponse, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.http import require_POST, require_safe

from corelab import access, storage
from corelab.errors import NotFound
from corelab.models import Trial
from corelab.models.work import WorkState
from phantoms.results import Outcome
from qc import services, trials
from qc.deviations import BY_EYE, cause_words
from qc.models import TrialReport
from qc.states import SubmissionState as S

PAGE_ROWS = 50
#: Reports that are offered beside the newest data; older ones are kept and can be asked for by their address.
OFFERED = 5
SIGNED = Q(state=S.RELEASED)
#: The groups of scans that a trial's counts lead to.
GROUPS: Mapping[str, tuple[str, Q]] = {
    "received": ("Received", Q()),
    "waiting": ("Waiting for a signature", ~SIGNED),
    "conformant": ("Conformant", SIGNED & Q(verdict=Outcome.PASS)),
    "deviating": ("Deviating", SIGNED & Q(verdict__in=(Outcome.WARN, Outcome.FAIL))),
    "unchecked": ("Could not check", SIGNED & Q(verdict__in=(Outcome.NOT_EVALUABLE, Outcome.ERROR))),
    "evaluable": ("Evaluable", SIGNED & Q(verdict__in=(Outcome.PASS, Outcome.WARN))),
}
#: What can be downloaded of a report: the file's name, its type, and the column that holds it.
FILES = {
    "conformance.pdf": ("application/pdf", "pdf"),
    "scans.csv": ("text/csv; charset=utf-8", "csv"),
    "deviations.csv": ("text/csv; charset=utf-8", "deviations_csv"),
}
#: How often the list of downloads asks again, seconds, by how often it asked already.
POLL_EVERY_S = ((15, 2), (50, 5), (10**9, 15))


def crumbs_of(trial: Trial) -> list[tuple[str, str]]:
    """Return where a page of a trial lives."""
    return [
        ("Trials", reverse("corelab:trial-list")),
        (trial.code, reverse("corelab:trial-detail", args=[trial.code])),
    ]


@require_safe
def trial_scan_list(request: HttpRequest, code: str) -> HttpResponse:
    """List the scans that count for a trial; of one that nobody signed only that it is here."""
    trial = trials.trial_for(request.user, code)
    chosen = {name: request.GET.get(name, "") for name in ("show", "site", "scanner", "cause")}
    if chosen["show"] not in GROUPS:
        chosen["show"] = "received"
    rows = trials.scans_of([trial]).filter(GROUPS[chosen["show"]][1])
    if chosen["site"]:
        rows = rows.filter(site__code=chosen["site"])
    if chosen["scanner"].isdecimal() and len(chosen["scanner"]) < 19:
        rows = rows.filter(scanner_id=int(chosen["scanner"]))
    if chosen["cause"] == BY_EYE:
        rows = rows.filter(SIGNED, raised={}).exclude(verdict=Outcome.PASS)
    elif chosen["cause"]:
        rows = rows.filter(SIGNED, raised__has_key=chosen["cause"]).exclude(verdict=Outcome.PASS)
    rows = rows.select_related("site", "scanner").only(
        "number", "subject_code", "visit", "state", "verdict", "raised", "scanned_at", "sent_at", "uptake_min",
        "site__name", "site__code", "site__time_zone", "scanner__model", "scanner__serial",
    )  # fmt: skip
    page = Paginator(rows.order_by("-number"), PAGE_ROWS).get_page(request.GET.get("page"))
    context = {
        "trial": trial,
        "crumbs": crumbs_of(trial),
        "page": page,
        "rows": [scan_row(one, sees_all=access.sees_everything(request.user)) for one in page],
        "chosen": chosen,
        "cause": cause_words(chosen["cause"]),
        "is_filtered": bool(chosen["site"] or chosen["scanner"] or chosen["cause"] or chosen["show"] != "received"),
        "groups": [(key, words) for key, (words, _) in GROUPS.items()],
        "sites": list(trial.sites.all()),
    }
    return render(request, "qc/trial_scan_list.html", context)


def scan_row(scan: Any, *, sees_all: bool) -> dict[str, Any]:
    """Return what a trial's list shows of one scan; numbers, verdict and reasons only once it is signed."""
    is_signed = scan.state == S.RELEASED
    raised = scan.raised if is_signed and scan.verdict != Outcome.PASS else {}
    return {
        "scan": scan,
        "is_signed": is_signed,
        "is_open": is_signed or sees_all,
        "reasons": [cause_words(rule) for rule in raised],
    }


# --- reports ----------------------------------------------------------------------------------


@require_POST
def trial_report_request(request: HttpRequest, code: str) -> HttpResponse:
    """Ask for the report of what the data are now, and lead to where it appears."""
    trial = trials.trial_for(request.user, code)
    report = services.trial_report_request(actor=request.user, trial=trial)
    if report.work_state == WorkState.DONE:
        messages.info(request, "Nothing has changed since this report was made.")
    return redirect(f"{reverse('corelab:trial-detail', args=[trial.code])}#downloads")


@require_safe
def trial_download_list(request: HttpRequest, code: str) -> HttpResponse:
    """Show the reports of a trial: those that are made, and how far one is that is being made."""
    trial = trials.trial_for(request.user, code)
    asked = request.GET.get("asked", "")
    panel = downloads_of(request, trial, asked=int(asked) if asked.isdecimal() and len(asked) < 9 else 0)
    if request.htmx:
        return render(request, "qc/_trial_downloads.html", {"panel": panel})
    return render(request, "qc/trial_download_list.html", {"trial": trial, "crumbs": crumbs_of(trial), "panel": panel})


def downloads_of(request: HttpRequest, trial: Trial, *, asked: int = 0) -> dict[str, Any]:
    """Return the part of a page that offers a trial's reports and asks again while one is being made."""
    reports = list(trials.trial_reports_visible_to(request.user).filter(trial=trial)[:OFFERED])
    is_running = any(report.work_state in {WorkState.QUEUED, WorkState.RUNNING} for report in reports)
    return {
        "trial": trial,
        "reports": reports,
        "may_request": trials.may_request(request.user),
        "is_running": is_running,
        "asked": asked + 1,
        "every_s": next(every_s for until, every_s in POLL_EVERY_S if asked < until),
        "says": "" if is_running or not asked else _ended(reports),
    }


def _ended(reports: list[TrialReport]) -> str:
    """Return what is spoken when nothing is being made any more."""
    newest = max(reports, key=lambda one: one.finished_at or one.created_at, default=None)
    if newest is None:
        return ""
    return "The report is made." if newest.work_state == WorkState.DONE else "The report was not made."


@require_safe
def trial_report_download(request: HttpRequest, pk: UUID, name: str) -> HttpResponse:
    """Serve one file of a report."""
    report = trials.trial_report_for(request.user, pk)
    content_type, column = FILES.get(name, ("", ""))
    stored = getattr(report, column, None) if column else None
    if stored is None:
        raise NotFound("There is no such file, or it is not made yet.")
    response = FileResponse(
        storage.open_object(stored.sha256),
        content_type=content_type,
        as_attachment=True,
        filename=f"{report.trial.code}_{report.data_as_of:%Y-%m-%d}_{report.data_digest[:8]}_{name}",
    )
    response.headers["Cache-Control"] = "private, no-cache"
    return response
