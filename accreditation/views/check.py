"""The check that is open to everybody: whether a certificate is valid today."""

from __future__ import annotations

from typing import Any

from allauth.account.adapter import get_adapter
from django.conf import settings
from django.contrib.auth.decorators import login_not_required
from django.core.cache import cache
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_safe

from accreditation import selectors
from accreditation.forms import FindForm
from accreditation.status import answer_of
from corelab.templatetags.ui import day

#: One address may ask so often in so long: enough for a person with a pile of papers, too little to walk the numbers.
QUESTIONS = 60
WINDOW_S = 10 * 60


@login_not_required
@require_safe
def certificate_find(request: HttpRequest) -> HttpResponse:
    """Ask for the number of a certificate, and lead to its answer."""
    form = FindForm(request.GET if "number" in request.GET else None)
    if form.is_valid():
        return redirect("accreditation:certificate-check", form.cleaned_data["number"])
    return render(
        request, "accreditation/certificate_check.html", {"form": form, "question": "Number of the certificate"}
    )


@login_not_required
@require_safe
def certificate_check(request: HttpRequest, number: str) -> HttpResponse:
    """Answer in words, on the site's own day; no person is named, and of the serial number only its end."""
    if _asks_too_often(request):
        return render(request, "accreditation/check_later.html", {"minutes": WINDOW_S // 60}, status=429)
    shown = number.strip().upper()[:24]
    state = selectors.certificate_state(shown)
    context = {
        "form": FindForm(),
        "number": shown,
        "question": "Check another one",
        "answer": answer_of(state) if state else None,
        "facts": _facts(state) if state else [],
        "digest": state.digest if state else "",
        "replaced_by": state.replaced_by if state else "",
    }
    return render(request, "accreditation/certificate_check.html", context, status=200 if state else 404)


def _facts(state: Any) -> list[tuple[str, str]]:
    scope = state.scope
    place = ", ".join(part for part in (scope["site"], scope["city"], scope["country"]) if part)
    ending = f", serial ending {scope['serial_ending']}" if scope["serial_ending"] else ""
    return [
        ("Site", place),
        ("Scanner", f"{scope['manufacturer']} {scope['model']}{ending}"),
        ("Tracer", scope["tracer"]),
        ("Standard", f"{scope['standard_title']} ({scope['edition']})"),
        ("Trial", scope["trial"] or "general"),
        ("Given from", day(state.valid_from)),
        ("To", day(state.valid_until)),
        ("Issued by", settings.SITE_NAME),
    ]


def _asks_too_often(request: HttpRequest) -> bool:
    """Count one more question of this address, and say whether it was too many."""
    key = f"certificate-checks:{get_adapter().get_client_ip(request)}"
    cache.add(key, 0, WINDOW_S)
    try:
        return int(cache.incr(key)) > QUESTIONS
    except ValueError:  # its time ended between the two
        return False
