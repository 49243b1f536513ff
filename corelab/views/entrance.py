"""Doors: the invitation's link, the password, the end of a sign-in."""

from __future__ import annotations

from django.contrib.auth import login, update_session_auth_hash
from django.contrib.auth.decorators import login_not_required
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_POST

from corelab import services
from corelab.errors import NotFound, Refused
from corelab.forms import NewPasswordForm, PasswordChangeForm
from corelab.views.register import get_or_post


@login_not_required
def closed(request: HttpRequest) -> HttpResponse:
    """Answer a door that this house does not have."""
    raise Http404


@login_not_required
@never_cache
@sensitive_post_parameters()
@get_or_post
def invitation_accept(request: HttpRequest, uid: str, token: str) -> HttpResponse:
    """Let an invited person choose a password, and sign the person in."""
    try:
        person = services.invitation_for(uid, token)
    except NotFound:
        return render(request, "corelab/invitation_over.html", status=404)
    form = NewPasswordForm(request.POST or None, person=person)
    if request.method == "POST" and form.is_valid():
        try:
            person = services.invitation_accept(uid=uid, token=token, password=form.cleaned_data["password"])
        except Refused as error:
            form.add_error(None, error.message)
        else:
            login(request, person)
            return redirect("corelab:home-show")
    return render(request, "corelab/invitation_accept.html", {"form": form, "person": person})


@never_cache
@sensitive_post_parameters()
@get_or_post
def password_change(request: HttpRequest) -> HttpResponse:
    """Change one's own password; other devices are signed out by it."""
    form = PasswordChangeForm(request.POST or None, person=request.user)
    if request.method == "POST" and form.is_valid():
        try:
            services.account_password_change(
                actor=request.user,
                old_password=form.cleaned_data["old"],
                password=form.cleaned_data["password"],
            )
        except Refused as error:
            form.add_error(None, error.message)
        else:
            update_session_auth_hash(request, request.user)
            return redirect("corelab:account-edit")
    return render(request, "corelab/password_change.html", {"form": form})


@require_POST
def session_stay(request: HttpRequest) -> HttpResponse:
    """Move the end of the sign-in; the idle middleware has done so already."""
    return HttpResponse(status=204)
