"""Sending a scan in five steps, any of them left and taken up again; every answer is kept as it is given."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from corelab import access
from corelab import selectors as registry
from corelab.errors import NotAllowed, NotFound, Refused, StaleState
from phantoms import standards
from qc import protocols, selectors, services
from qc.forms import FILLS_OF_KIND, FileForm, PatientForm, PlaceForm, SheetForm, kept_of, typed_of
from qc.forms.sheet import fill_title
from qc.states import OPEN_FOR_SITE
from qc.status import AT_WORK, status_for_site
from qc.views.decay import sheet_side
from qc.views.submissions import polling

#: The field under which a refusal of the service is shown.
FIELD_OF_CODE = {
    "KIND-UNKNOWN": "kind",
    "SCANNER-SITE": "scanner",
    "RECONSTRUCTION-SCANNER": "reconstruction",
    "CALIBRATOR-SITE": "calibrator",
    "TRIAL-MISSING": "trial",
    "TRIAL-SITE": "trial",
    "SUBJECT-CODE": "subject_code",
    "STANDARD-UNKNOWN": "standard",
}
#: What a link may fill in: a scanner that is not the person's own is no choice of the form, and stays empty.
NAMED_BY_ADDRESS = ("kind", "scanner", "reconstruction", "standard")
PLACE_FIELDS = ("kind", "scanner", "reconstruction", "standard", "trial", "subject_code", "visit", "is_dry_run")


@dataclass(frozen=True)
class Step:
    """One of the five steps; ``url`` is empty where it cannot be opened yet."""

    title: str
    url: str
    is_done: bool
    is_current: bool


def _steps(draft: Any, current: str) -> list[Step]:
    sheet_title = "Scan-day values" if draft is not None and draft.kind == "patient" else "Activity sheet"
    plan = [("place", "What and where"), ("sheet", sheet_title), ("files", "Files"), ("check", "Check")]
    names = [name for name, _ in plan] + ["receipt"]
    at = names.index(current)
    steps = [
        Step(
            title,
            reverse(f"qc:submission-{name}", args=[draft.number]) if draft is not None and current != "receipt" else "",
            names.index(name) < at,
            name == current,
        )
        for name, title in plan
    ]
    return [*steps, Step("Sent", "", False, current == "receipt")]


def _draft(request: HttpRequest, number: int) -> Any:
    """Return the draft; None where it was sent already, so that its receipt is the place to be."""
    try:
        return selectors.draft_for(request.user, number)
    except NotFound:
        submission = selectors.submission_for(request.user, number)
        if submission.site_id not in access.site_ids_of(request.user):
            raise
        return None


def _with_draft(view: Callable[[HttpRequest, Any], HttpResponse]) -> Callable[[HttpRequest, int], HttpResponse]:
    """Give a view the draft behind the number, or lead to the receipt of what was sent."""

    @require_http_methods(["GET", "HEAD", "POST"])
    def wrapped(request: HttpRequest, number: int) -> HttpResponse:
        draft = _draft(request, number)
        if draft is None:
            return redirect("qc:submission-receipt", number)
        return view(request, draft)

    return wrapped


def _posted(request: HttpRequest) -> Any:
    """Return what was posted, also where it is nothing; None for a page that is only opened."""
    return request.POST if request.method == "POST" else None


# --- 1 what and where -----------------------------------------------------------------------------


def _place_form(request: HttpRequest, *args: Any, **kwargs: Any) -> PlaceForm:
    sites = access.site_ids_of(request.user)
    return PlaceForm(
        *args,
        scanners=registry.scanners_visible_to(request.user).filter(site_id__in=sites, is_active=True),
        reconstructions=registry.reconstructions_visible_to(request.user)
        .filter(scanner__site_id__in=sites, is_active=True)
        .select_related("scanner"),
        calibrators=registry.calibrators_visible_to(request.user).filter(site_id__in=sites, is_active=True),
        trials=registry.trials_visible_to(request.user).filter(sites__in=sites, is_active=True).distinct(),
        **kwargs,
    )


@require_http_methods(["GET", "HEAD", "POST"])
def submission_start(request: HttpRequest) -> HttpResponse:
    """Ask what is sent and where it was scanned; answering makes the draft."""
    if not access.site_ids_of(request.user):
        raise NotFound("There is nothing here, or it is not yours to see.")
    form = _place_form(request, _posted(request), initial=_start_initial(request))
    if request.method == "POST" and form.is_valid():
        try:
            draft = services.submission_start(
                actor=request.user,
                site=form.cleaned_data["scanner"].site,
                **{name: form.cleaned_data[name] for name in PLACE_FIELDS},
            )
            if form.cleaned_data["calibrator"]:
                services.submission_place_edit(
                    submission_id=draft.pk, actor=request.user, calibrator=form.cleaned_data["calibrator"]
                )
        except Refused as error:
            _show_refusal(form, error)
        else:
            return redirect("qc:submission-sheet", draft.number)
    context = {
        "form": form,
        "steps": _steps(None, "place"),
        "drafts": selectors.drafts_visible_to(request.user)[:5] if request.method == "GET" else [],
        "has_scanner": form.fields["scanner"].queryset.exists(),
    }
    return render(request, "qc/submission_place.html", context)


def _start_initial(request: HttpRequest) -> dict[str, Any]:
    """Return what is chosen beforehand: what the address names, the same as an earlier one, or the only scanner."""
    if like := request.GET.get("like"):
        try:
            return _place_of(selectors.submission_for(request.user, like))
        except NotFound:
            return {}
    initial = {"is_dry_run": bool(request.GET.get("dry_run"))}
    named = {name: request.GET[name] for name in NAMED_BY_ADDRESS if request.GET.get(name)}
    if "scanner" in named:
        return initial | named
    scanners = list(
        registry.scanners_visible_to(request.user)
        .filter(site_id__in=access.site_ids_of(request.user), is_active=True)
        .values_list("pk", flat=True)[:2]
    )
    return initial | named | ({"scanner": scanners[0]} if len(scanners) == 1 else {})


def _place_of(submission: Any) -> dict[str, Any]:
    foreign = ("scanner", "reconstruction", "trial", "calibrator")
    plain = ("kind", "standard", "subject_code", "visit", "is_dry_run")
    return {name: getattr(submission, f"{name}_id") for name in foreign} | {
        name: getattr(submission, name) for name in plain
    }


def _show_refusal(form: Any, error: Refused) -> None:
    """Put a refusal under its field; who may not do it at all, or was overtaken, gets another page."""
    if isinstance(error, NotAllowed | NotFound | StaleState):
        raise error
    form.add_error(FIELD_OF_CODE.get(error.code), error.message)


@_with_draft
def submission_place(request: HttpRequest, draft: Any) -> HttpResponse:
    """Change what and where of a draft."""
    form = _place_form(request, _posted(request), initial=_place_of(draft))
    if request.method == "POST" and form.is_valid():
        fields = {name: form.cleaned_data[name] for name in (*PLACE_FIELDS, "calibrator")}
        try:
            services.submission_place_edit(submission_id=draft.pk, actor=request.user, **fields)
        except Refused as error:
            _show_refusal(form, error)
        else:
            return _go_on(request, draft, "sheet")
    context = {"form": form, "draft": draft, "steps": _steps(draft, "place"), "has_scanner": True}
    return render(request, "qc/submission_place.html", context)


def _go_on(request: HttpRequest, draft: Any, following: str) -> HttpResponse:
    """Lead to the next step, or back to the summary that the person came from."""
    step = "check" if request.GET.get("from") == "check" else following
    return redirect(f"qc:submission-{step}", draft.number)


# --- 2 the activity sheet -------------------------------------------------------------------------


def _entry_form(draft: Any, data: Mapping[str, Any], *, shows_errors: bool = False) -> SheetForm | PatientForm:
    if draft.kind in FILLS_OF_KIND:
        return SheetForm(data, kind=draft.kind, shows_errors=shows_errors)
    return PatientForm(data, shows_errors=shows_errors, images_began_at=selectors.scan_began_at(draft))


@_with_draft
def submission_sheet(request: HttpRequest, draft: Any) -> HttpResponse:
    """Take the activity sheet or the scan-day values; each answer is saved when its field is left."""
    kept = kept_of(draft.sheet)
    if request.method != "POST":
        return _sheet_page(request, draft, _entry_form(draft, typed_of(draft.sheet)), kept)
    form = _entry_form(draft, request.POST.dict(), shows_errors="continue" in request.POST)
    form, wants_reason = _answer_slip(request, form, kept)
    calibrator = str(draft.calibrator) if draft.calibrator_id else ""
    sheet = form.sheet(time_zone=draft.site.time_zone, calibrator=calibrator, kept=kept)
    services.sheet_save(submission_id=draft.pk, actor=request.user, sheet=sheet)
    if request.htmx:
        return render(request, "qc/_sheet_side.html", _side_context(draft, form, kept, saved_at=timezone.now()))
    if "continue" in request.POST:
        form.require_whole()
        if not form.errors:
            return _go_on(request, draft, "files")
    elif not wants_reason:
        messages.success(request, "Saved.")
        return redirect(request.get_full_path())
    return _sheet_page(request, draft, form, kept, wants_reason=wants_reason)


def _answer_slip(
    request: HttpRequest, form: SheetForm | PatientForm, kept: dict[str, str]
) -> tuple[SheetForm | PatientForm, str]:
    """Take a proposal, or keep a value with its reason; return the form after it, and what lacks a reason."""
    slips = {str(index): slip for index, slip in enumerate(form.slips(kept))}
    index, _, proposal = request.POST.get("use", "").partition(".")
    if index in slips and proposal.isdecimal() and int(proposal) < len(slips[index].proposals):
        use = slips[index].proposals[int(proposal)].use
        return form.revised(use), ""
    index = request.POST.get("keep", "")
    if index in slips:
        reason = request.POST.get(f"why-{index}", "").strip()[:300]
        if not reason:
            return form, slips[index].key
        kept[slips[index].key] = reason
    return form, ""


def _sheet_page(
    request: HttpRequest, draft: Any, form: SheetForm | PatientForm, kept: Mapping[str, str], *, wants_reason: str = ""
) -> HttpResponse:
    context = {
        **_side_context(draft, form, kept, wants_reason=wants_reason),
        "draft": draft,
        "steps": _steps(draft, "sheet"),
        "form": form if form.errors else None,
        "entry": form,
        "earlier": _earlier_sheet(request, draft) if isinstance(form, SheetForm) and form.is_blank else None,
    }
    template = "qc/submission_sheet.html" if isinstance(form, SheetForm) else "qc/submission_patient.html"
    return render(request, template, context)


def _side_context(
    draft: Any, form: SheetForm | PatientForm, kept: Mapping[str, str], *, saved_at: Any = None, wants_reason: str = ""
) -> dict[str, Any]:
    context = {
        "draft": draft,
        "saved_at": saved_at or draft.changed_at,
        "entry": form,
        "slips": form.slips(kept),
        "kept": kept,
        "wants_reason": wants_reason,
    }
    if isinstance(form, PatientForm):
        return context | _patient_side(draft, form)
    findings = form.findings()
    sheet = form.sheet(time_zone="", calibrator="")
    core = {name: value for name, value in sheet.items() if name != "entry"}
    return context | {"side": sheet_side(draft.kind, core, form.scan_at, findings)}


def _patient_side(draft: Any, form: PatientForm) -> dict[str, Any]:
    """Return what a patient's values give, judged by the protocol that is in force on the day of the scan."""
    day = form.images_began_at or form.at("injected_time") or form.scan_at or timezone.now()
    found = selectors.protocol_in_force(draft.trial, day.date()) if draft.trial else None
    protocol = protocols.parse(found.document) if found else None
    return {"given": form.given(protocol), "protocol": found}


def _earlier_sheet(request: HttpRequest, draft: Any) -> dict[str, Any] | None:
    """Return what the same scanner's last phantom of this kind was filled with, to be offered again."""
    earlier = (
        selectors.submissions_visible_to(request.user)
        .filter(scanner_id=draft.scanner_id, kind=draft.kind, sent_at__isnull=False)
        .exclude(pk=draft.pk)
        .first()
    )
    if earlier is None:
        return None
    typed = typed_of(earlier.sheet)
    same = {name: text for name, text in typed.items() if name.endswith("-volume") or name == "phantom_serial"}
    if not same:
        return None
    rows = [
        (fill_title(draft.kind, name.removesuffix("-volume")), f"{text} mL")
        if name.endswith("-volume")
        else ("Phantom serial number", text)
        for name, text in same.items()
    ]
    return {"submission": earlier, "fields": same, "rows": rows}


@require_safe
def submission_sheet_print(request: HttpRequest, number: int) -> HttpResponse:
    """Show the sheet as a form of one page for paper, filled as far as it is, or blank."""
    submission = selectors.submission_for(request.user, number)
    typed = {} if "blank" in request.GET else typed_of(submission.sheet)
    form = _entry_form(submission, typed)
    context = {"submission": submission, "entry": form, "is_blank_form": "blank" in request.GET}
    context |= _side_context(submission, form, {})
    return render(request, "qc/submission_sheet_print.html", context)


# --- 3 files --------------------------------------------------------------------------------------


@_with_draft
def submission_files(request: HttpRequest, draft: Any) -> HttpResponse:
    """Take files: many by script, or one by a plain form."""
    form = FileForm(_posted(request), request.FILES or None)
    if request.method == "POST" and form.is_valid():
        try:
            _take_file(request, draft, form.cleaned_data["file"])
        except Refused as error:
            _show_refusal(form, error)
        else:
            messages.success(request, "The file arrived.")
            return redirect("qc:submission-files", draft.number)
    context = {
        "form": form,
        "draft": draft,
        "steps": _steps(draft, "files"),
        "chunk_bytes": settings.UPLOAD_CHUNK_BYTES,
        **_files_context(draft),
    }
    return render(request, "qc/submission_files.html", context)


def _take_file(request: HttpRequest, draft: Any, file: Any) -> None:
    services.upload_receive(
        submission_id=draft.pk,
        actor=request.user,
        length_bytes=file.size,
        file_name=file.name,
        stream=file,
        is_zip=file.name.lower().endswith(".zip"),
    )


def _files_context(draft: Any) -> dict[str, Any]:
    return {"arrival": selectors.arrival_of(draft), "series": selectors.received_series(draft)}


@require_safe
def submission_file_list(request: HttpRequest, number: int) -> HttpResponse:
    """Show what has arrived of a draft: the part of the page that asks again."""
    draft = selectors.draft_for(request.user, number)
    return render(request, "qc/_file_list.html", {"draft": draft, **_files_context(draft)})


@require_POST
def series_remove(request: HttpRequest, number: int) -> HttpResponse:
    """Take one series out of a draft again."""
    draft = selectors.draft_for(request.user, number)
    services.series_remove(
        submission_id=draft.pk, actor=request.user, series_uid=request.POST.get("series_uid", "")[:64]
    )
    messages.success(request, "The series was taken out.")
    return redirect("qc:submission-files", number)


# --- 4 check and send -----------------------------------------------------------------------------


@_with_draft
def submission_check(request: HttpRequest, draft: Any) -> HttpResponse:
    """Show everything once more, problems first; sending is the one thing left to do."""
    series = selectors.received_series(draft)
    offered = selectors.series_to_choose(series, draft.kind)
    errors: list[str] = []
    if request.method == "POST":
        chosen = request.POST.get("chosen_series", draft.chosen_series)
        services.submission_place_edit(
            submission_id=draft.pk,
            actor=request.user,
            comment=request.POST.get("comment", draft.comment).strip()[:4_000],
            chosen_series=chosen if chosen in {one.series_uid for one in offered} else "",
        )
        if "send" not in request.POST:
            messages.success(request, "Saved.")
            return redirect("qc:submission-check", draft.number)
        try:
            services.submission_send(submission_id=draft.pk, actor=request.user)
        except (NotAllowed, NotFound, StaleState):
            raise
        except Refused as error:
            errors.append(error.message)
        else:
            return redirect("qc:submission-receipt", draft.number)
        draft = selectors.draft_for(request.user, draft.number)
    findings = services.preview_findings(draft) or draft.check_findings
    entry = _entry_form(draft, typed_of(draft.sheet))
    context = {
        "draft": draft,
        "steps": _steps(draft, "check"),
        "errors": errors,
        "has_errors": bool(errors),
        "blocking": [one for one in findings if one["severity"] == "exclude"],
        "other": [one for one in findings if one["severity"] != "exclude" and one["outcome"] != "PASS"],
        "series": series,
        "arrival": selectors.arrival_of(draft),
        "offered": offered,
        "is_uncorrected": not any(one.is_measurable for one in offered),
        "entry": entry,
        "standard_title": standards.load(draft.standard).title,
    }
    side = _side_context(draft, entry, kept_of(draft.sheet))
    context |= {name: side[name] for name in ("side", "given", "protocol") if name in side}
    return render(request, "qc/submission_check.html", context)


# --- 5 receipt ------------------------------------------------------------------------------------


@require_safe
def submission_receipt(request: HttpRequest, number: int) -> HttpResponse:
    """Say what arrived, what is wrong, what happens next and when; the address stays for ever."""
    submission = selectors.submission_for(request.user, number)
    if submission.state in OPEN_FOR_SITE:
        return redirect("qc:submission-check", number)
    context = {
        "submission": submission,
        "steps": _steps(submission, "receipt"),
        "status": status_for_site(submission),
        "findings": selectors.repairable_findings(submission),
        "polling": polling(submission, "receipt") if submission.state in AT_WORK else None,
        "arrival": selectors.arrival_of(submission),
        "series": selectors.received_series(submission),
    }
    return render(request, "qc/submission_receipt.html", context)
