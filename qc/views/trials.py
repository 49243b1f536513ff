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
from phantoms.results import Outcome
from qc import services, trials
from qc.deviations import BY_EYE, cause_words
from qc.states import SubmissionState as S

PAGE_ROWS = 50
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


def crumbs_of(trial: Any) -> list[tuple[str, str]]:
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
    if trials.is_made(report):
        messages.info(request, "Nothing has changed since this report was made.")
    return redirect(f"{reverse('corelab:trial-detail', args=[trial.code])}#downloads")


@require_safe
def trial_download_list(request: HttpRequest, code: str) -> HttpResponse:
    """Show the reports of a trial: those that are made, and how far one is that is being made."""
    trial = trials.trial_for(request.user, code)
    asked = request.GET.get("asked", "")
    count = int(asked) if asked.isdecimal() and len(asked) < 9 else 0
    panel = trials.downloads_of(request.user, trial, asked=count)
    if request.htmx:
        return render(request, "qc/_trial_downloads.html", {"panel": panel})
    return render(request, "qc/trial_download_list.html", {"trial": trial, "crumbs": crumbs_of(trial), "panel": panel})


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
