"""A dose calibrator's checks: the source, its readings, and the verdict that they come to."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_http_methods, require_safe

from corelab import access
from corelab.errors import NotAllowed, NotFound, Refused, StaleState
from phantoms.calibrator import STANDARD
from qc import analysis, selectors, services
from qc.forms import ReadingForm, ReasonForm, SourceForm
from qc.services.calibrators import MAY_ENTER
from qc.views import results

REQUEST = analysis.Request(method="calibrator", standards=(STANDARD,))


@require_http_methods(["GET", "HEAD", "POST"])
def calibrator_detail(request: HttpRequest, pk: int) -> HttpResponse:
    """Show a dose calibrator's readings with their verdict, and take new ones."""
    calibrator = selectors.checked_calibrator_for(request.user, pk)
    source = selectors.reference_sources_visible_to(request.user).filter(calibrator=calibrator).first()
    may_enter = bool(access.roles_of(request.user, calibrator.site) & MAY_ENTER)
    asked = request.POST.get("enter", "") if request.method == "POST" else ""
    if request.method == "POST" and not may_enter:
        raise NotFound("There is nothing here, or it is not yours to see.")
    source_form = SourceForm(request.POST if asked == "source" else None)
    reading_form = ReadingForm(request.POST if asked == "reading" else None)
    form: SourceForm | ReadingForm | None = {"source": source_form, "reading": reading_form}.get(asked)
    if form is not None and form.is_valid() and _entered(request, calibrator, source, form):
        return redirect("qc:calibrator-detail", pk)
    context = {
        "calibrator": calibrator,
        "source": source,
        "may_enter": may_enter,
        "source_form": source_form,
        "reading_form": reading_form,
        "is_source_asked": asked == "source" or source is None,
        "readings": selectors.readings_visible_to(request.user).filter(source=source) if source else [],
        **_outcome(source),
    }
    status = 422 if form is not None and form.errors else 200
    return render(request, "qc/calibrator_detail.html", context, status=status)


def _entered(request: HttpRequest, calibrator: Any, source: Any, form: SourceForm | ReadingForm) -> bool:
    """Keep what was entered; False where it is refused, with the reason in the form."""
    try:
        if isinstance(form, SourceForm):
            services.source_add(actor=request.user, calibrator_id=calibrator.pk, **form.values())
        elif source is None:
            form.add_error(None, "Enter the source and its certificate first.")
            return False
        else:
            services.reading_add(actor=request.user, source_id=source.pk, **form.values(calibrator.site.time_zone))
    except (NotAllowed, NotFound, StaleState):
        raise
    except Refused as error:
        form.add_error(None, error.message)
        return False
    messages.success(request, "Saved.")
    return True


def _outcome(source: Any) -> dict[str, Any]:
    """Return what the readings come to: the verdict, the numbers, the findings."""
    readings = services.readings_of(source) if source else None
    if readings is None:
        return {"result": None}
    result = analysis.analyse_readings(readings, REQUEST).json
    return {
        "result": result,
        "table": results.numbers(result, STANDARD),
        "found": results.sort_findings(result["findings"]),
    }


@require_safe
def calibrator_chart(request: HttpRequest, pk: int) -> HttpResponse:
    """Draw the readings of the source in use."""
    source = selectors.reference_source_for(request.user, pk)
    readings = services.readings_of(source)
    if readings is None:
        raise NotFound("There is nothing here, or it is not yours to see.")
    drawn = analysis.analyse_readings(readings, REQUEST, with_figures=True).figures["constancy"]
    return HttpResponse(drawn.svg, content_type="image/svg+xml")


@require_http_methods(["GET", "HEAD", "POST"])
def reading_withdraw(request: HttpRequest, pk: int) -> HttpResponse:
    """Withdraw a reading, with a reason."""
    reading = selectors.reading_for(request.user, pk)
    calibrator = reading.source.calibrator
    if not access.roles_of(request.user, calibrator.site) & MAY_ENTER:
        raise NotFound("There is nothing here, or it is not yours to see.")
    form = ReasonForm(request.POST if request.method == "POST" else None)
    if request.method == "POST" and form.is_valid():
        services.reading_withdraw(actor=request.user, reading_id=pk, reason=form.cleaned_data["reason"])
        messages.success(request, "Withdrawn.")
        return redirect("qc:calibrator-detail", calibrator.pk)
    context = {"form": form, "reading": reading, "calibrator": calibrator}
    return render(request, "qc/reading_withdraw.html", context, status=422 if form.errors else 200)
