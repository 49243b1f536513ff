"""People: who may what where, invitations, the end of access; and one's own account."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import UUID

from django.contrib.messages import add_message, constants
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.http import require_POST, require_safe

from corelab import access, panels, selectors, services
from corelab.errors import NotAllowed, NotFound, Refused
from corelab.forms import AccountForm, GrantForm, InviteForm, ReasonForm
from corelab.models import Role, User
from corelab.views.register import Crumbs, get_or_post, require_administrator

PEOPLE_A_PAGE = 100
LINK_KEY = "invitation-link"


def _crumbs(person: User | None = None) -> Crumbs:
    crumbs = [("People", reverse("corelab:person-list"))]
    return [*crumbs, (person.name, _to(person))] if person else crumbs


def _to(person: User) -> str:
    return reverse("corelab:person-detail", args=[person.pk])


def _refused(form: Any, error: Refused) -> None:
    """Show a service's refusal in the form it came from; what must not be known stays unknown."""
    if isinstance(error, NotAllowed | NotFound):
        raise error
    form.add_error(None, error.message)


@require_safe
def person_list(request: HttpRequest) -> HttpResponse:
    """List who may what where."""
    if not selectors.sees_audit(request.user):
        raise NotFound(selectors.NOTHING_HERE)
    text = request.GET.get("q", "").strip()[:80]
    role = request.GET.get("role", "")
    state = request.GET.get("state", "")
    people = selectors.people_listed_for(request.user, text=text, role=role, state=state)
    return render(
        request,
        "corelab/person_list.html",
        {
            "people": Paginator(people, PEOPLE_A_PAGE).get_page(request.GET.get("page")),
            "text": text,
            "role": role,
            "state": state,
            "roles": Role.choices,
            "states": [
                ("", "With access"),
                ("invited", "Invited, not signed in yet"),
                ("ended", "Access ended"),
                ("all", "All"),
            ],
            "may_edit": access.is_administrator(request.user),
        },
    )


@get_or_post
def person_invite(request: HttpRequest) -> HttpResponse:
    """Add a person with the first role, then show the link to hand over."""
    require_administrator(request.user)
    form = InviteForm(
        request.POST or None,
        sites=selectors.sites_visible_to(request.user).filter(is_active=True),
        trials=selectors.trials_visible_to(request.user).filter(is_active=True),
        initial={"site": request.GET.get("site", ""), "role": Role.SITE_USER if request.GET.get("site") else ""},
    )
    if request.method == "POST" and form.is_valid():
        try:
            person = services.person_invite(actor=request.user, **form.cleaned_data)
        except Refused as error:
            _refused(form, error)
        else:
            _keep_link(request, person)
            return redirect(_to(person))
    return render(
        request,
        "corelab/person_invite.html",
        {"form": form, "crumbs": _crumbs(), "cancel": reverse("corelab:person-list")},
    )


def _keep_link(request: HttpRequest, person: User) -> None:
    """Make a link and keep it in this session until the next page has shown it once."""
    uid, token = services.invitation_make(actor=request.user, person=person)
    link = request.build_absolute_uri(reverse("corelab:invitation-accept", args=[uid, token]))
    request.session[LINK_KEY] = {"person": str(person.pk), "link": link}


@require_safe
def person_detail(request: HttpRequest, pk: UUID) -> HttpResponse:
    """Show a person: roles with from, to and granted by; for the administrator what may be done."""
    person = selectors.person_for(request.user, pk)
    kept = request.session.get(LINK_KEY, {})
    if kept.get("person") == str(person.pk):
        del request.session[LINK_KEY]
    else:
        kept = {}
    return render(
        request,
        "corelab/person_detail.html",
        {
            "person": person,
            "crumbs": _crumbs(),
            "memberships": selectors.memberships_of_person(request.user, person),
            "link": kept.get("link", ""),
            "may_edit": access.is_administrator(request.user),
        },
    )


@get_or_post
def membership_grant(request: HttpRequest, pk: UUID) -> HttpResponse:
    """Give a person one more role."""
    require_administrator(request.user)
    person = selectors.person_for(request.user, pk)
    form = GrantForm(
        request.POST or None,
        sites=selectors.sites_visible_to(request.user).filter(is_active=True),
        trials=selectors.trials_visible_to(request.user).filter(is_active=True),
    )
    if request.method == "POST" and form.is_valid():
        try:
            services.membership_grant(actor=request.user, person=person, **form.cleaned_data)
        except Refused as error:
            _refused(form, error)
        else:
            return redirect(_to(person))
    return render(
        request,
        "corelab/membership_grant.html",
        {"form": form, "person": person, "crumbs": _crumbs(person), "cancel": _to(person)},
    )


def _with_reason(
    request: HttpRequest, *, person: User, save: Callable[[str], Any], title: str, effect: str, verb: str, danger: bool
) -> HttpResponse:
    form = ReasonForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        try:
            save(form.cleaned_data["reason"])
        except Refused as error:
            _refused(form, error)
        else:
            # Who ends the own access sees nothing more of people.
            still_sees = selectors.people_visible_to(services.fresh(request.user)).exists()
            return redirect(_to(person) if still_sees else "corelab:home-show")
    context = {
        "form": form,
        "person": person,
        "title": title,
        "effect": effect,
        "verb": verb,
        "danger": danger,
        "crumbs": _crumbs(person),
        "cancel": _to(person),
    }
    return render(request, "corelab/person_reason.html", context)


@get_or_post
def membership_end(request: HttpRequest, pk: int) -> HttpResponse:
    """End a role, with a reason."""
    require_administrator(request.user)
    membership = selectors.membership_for(request.user, pk)
    return _with_reason(
        request,
        person=membership.user,
        save=lambda reason: services.membership_end(actor=request.user, membership=membership, reason=reason),
        title=f"End a role of {membership.user.name}",
        effect=f"{membership} ends now. The sign-in and other roles stay.",
        verb="End this role",
        danger=True,
    )


@get_or_post
def person_end(request: HttpRequest, pk: UUID) -> HttpResponse:
    """End all access of a person, with a reason."""
    require_administrator(request.user)
    person = selectors.person_for(request.user, pk)
    return _with_reason(
        request,
        person=person,
        save=lambda reason: services.person_end(actor=request.user, person=person, reason=reason),
        title=f"End the access of {person.name}",
        effect="Every role ends now and the sign-in is closed. What the person wrote and signed stays.",
        verb="End access",
        danger=True,
    )


@get_or_post
def person_open(request: HttpRequest, pk: UUID) -> HttpResponse:
    """Open a person's sign-in again, with a reason."""
    require_administrator(request.user)
    person = selectors.person_for(request.user, pk)
    return _with_reason(
        request,
        person=person,
        save=lambda reason: services.person_open(actor=request.user, person=person, reason=reason),
        title=f"Open the access of {person.name} again",
        effect="The old password no longer counts and no role comes back: give roles and a new link afterwards.",
        verb="Open access again",
        danger=False,
    )


@require_POST
def person_link(request: HttpRequest, pk: UUID) -> HttpResponse:
    """Make a new link to hand over: the first was lost, or the password was forgotten."""
    require_administrator(request.user)
    person = selectors.person_for(request.user, pk)
    _keep_link(request, person)
    return redirect(_to(person))


@get_or_post
def account_edit(request: HttpRequest) -> HttpResponse:
    """Change the own account."""
    form = AccountForm(request.POST or None, instance=services.fresh(request.user))
    if request.method == "POST" and form.is_valid():
        try:
            person = services.account_edit(actor=request.user, **form.cleaned_data)
        except Refused as error:
            _refused(form, error)
        else:
            add_message(request, constants.SUCCESS, "Saved.")
            response = redirect("corelab:account-edit")
            # The sign-in page has no account to ask: the device remembers the theme.
            response.set_cookie("theme", person.theme, max_age=365 * 86_400, samesite="Lax", httponly=True)
            return response
    return render(
        request,
        "corelab/account_edit.html",
        {
            "form": form,
            "memberships": access.memberships_of(request.user),
            "panels": panels.panels("account", request),
        },
    )
