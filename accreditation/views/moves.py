"""Moves of a case that people make without a signature; what a person may do now, and why not where not."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.http import require_http_methods, require_POST

from accreditation import selectors, services
from accreditation.forms import DECISIONS, ReasonForm
from accreditation.workflow import CASE
from corelab import access
from corelab.errors import NotAllowed, NotFound, Refused, StaleState
from corelab.selectors import NOTHING_HERE
from phantoms import standards

get_or_post = require_http_methods(["GET", "HEAD", "POST"])


@dataclass(frozen=True, kw_only=True)
class Action:
    """One thing that a person may do with a case, or would do if the reason were not.

    Attributes
    ----------
    words : str
        The button's.
    reason : str
        Why it is off; empty where it is not.
    is_post : bool
        A button that acts at once; else a link to a page that asks.
    """

    words: str
    url: str = ""
    is_post: bool = False
    style: str = "btn-secondary"
    hint: str = ""
    reason: str = ""


#: Moves by what their button says: address, whether it acts at once, its look, and what it does.
_UNSIGNED: Mapping[str, tuple[str, str, bool, str, str]] = {
    "submit": ("Send the application", "case-submit", True, "btn-primary", ""),
    "receive": ("Take up", "case-receipt", True, "btn-primary", "The site sees that you look at it."),
    "accept": (
        "The application is complete",
        "case-accept",
        True,
        "btn-primary",
        "Evidence is collected from then on.",
    ),
    "incomplete": ("Something is missing", "case-incomplete", False, "btn-secondary", "It goes back to the site."),
    "resubmit": ("It is done", "case-submit", True, "btn-primary", "The next attempt begins."),
    "take": ("Take for the second signature", "case-take", True, "btn-primary", "Nobody else decides meanwhile."),
    "give_back": ("Give back", "case-give-back", True, "btn-secondary", "Another approver may take it."),
    "return": ("Return to the physicist", "case-return", False, "btn-secondary", "Nothing is signed."),
    "reaccredit": ("Accredit again", "case-reaccredit", False, "btn-secondary", "What must be renewed is asked for."),
    "suspend": ("Suspend", "case-suspend", False, "btn-danger", "From today the scope may not be scanned."),
    "withdraw": ("Withdraw the case", "case-withdraw", False, "btn-danger", ""),
}


def signs(event: str) -> bool:
    """Say whether a move is a signed decision."""
    return event in DECISIONS


def actions_of(case: Any, moves: Mapping[str, str]) -> list[Action]:
    """Return what a person may do with a case now, the decision first.

    Parameters
    ----------
    moves : mapping
        What `accreditation.selectors.moves_for` answers: each move with why it cannot be made.
    """
    actions = []
    decisions = {event: why for event, why in moves.items() if signs(event)}
    if any(not why for why in decisions.values()):
        url = reverse("accreditation:case-decide", args=[case.number])
        actions.append(Action(words="Decide", url=url, style="btn-primary", hint="The next page asks, then you sign."))
    actions += [Action(words=DECISIONS[event][0], reason=why) for event, why in decisions.items() if why]
    for event, (words, name, is_post, style, hint) in _UNSIGNED.items():
        if event in moves:
            url = reverse(f"accreditation:{name}", args=[case.number])
            actions.append(Action(words=words, url=url, is_post=is_post, style=style, hint=hint, reason=moves[event]))
    return actions


def case_for_move(request: HttpRequest, number: int, event: str) -> Any:
    """Return the case if the person's role makes this move in any state; else the answer that absent ones get."""
    case = selectors.case_for(request.user, number)
    roles = access.roles_of(request.user, case.scanner.site, case.trial)
    if not any(move.roles & roles for move in CASE if move.event == event):
        raise NotFound(NOTHING_HERE)
    return case


# --- at once --------------------------------------------------------------------------------------


def _at_once(event: str, act: Callable[..., Any], done: str) -> Callable[..., HttpResponse]:
    @require_POST
    def view(request: HttpRequest, number: int) -> HttpResponse:
        case = case_for_move(request, number, event)
        act(case_id=case.pk, actor=request.user)
        messages.success(request, done)
        return redirect("accreditation:case-detail", number)

    view.__doc__ = f"Make the move *{event}*."
    return view


case_submit = _at_once("submit", services.case_submit, "Sent to the core lab.")
case_receipt = _at_once("receive", services.case_receipt, "You look at the application now.")
case_accept = _at_once("accept", services.case_accept_receipt, "The application is complete. Evidence is collected.")
case_take = _at_once("take", services.case_take_second, "You decide on this case.")
case_give_back = _at_once("give_back", services.case_give_back, "Another approver may take it.")


# --- with a reason --------------------------------------------------------------------------------


def _with_reason(
    event: str,
    act: Callable[..., Any],
    *,
    title: str,
    explanation: str,
    button: str,
    done: str,
    is_danger: bool = False,
) -> Callable[..., HttpResponse]:
    @get_or_post
    def view(request: HttpRequest, number: int) -> HttpResponse:
        case = case_for_move(request, number, event)
        CASE.find(event, case.state)
        page = {
            "case": case,
            "title": title.format(case=case),
            "here": button,
            "explanation": explanation,
            "button": button,
            "is_danger": is_danger,
            "back_url": reverse("accreditation:case-detail", args=[number]),
        }
        return reason_page(request, page, lambda reason: act(case_id=case.pk, actor=request.user, reason=reason), done)

    view.__doc__ = f"Ask for the reason of the move *{event}*, then make it."
    return view


def reason_page(request: HttpRequest, page: dict[str, Any], act: Callable[[str], Any], done: str) -> HttpResponse:
    """Ask for a reason on a page of its own, act, go back to where the person came from."""
    form = ReasonForm(request.POST if request.method == "POST" else None)
    if request.method == "POST" and form.is_valid():
        try:
            act(form.cleaned_data["reason"])
        except (NotAllowed, NotFound, StaleState):
            raise
        except Refused as error:
            form.add_error("reason", error.message)
        else:
            messages.success(request, done)
            return redirect(page["back_url"])
    context = {"form": form, "standard_title": standards.load(page["case"].standard).title, **page}
    return render(request, "accreditation/move_confirm.html", context)


case_incomplete = _with_reason(
    "incomplete",
    services.case_incomplete,
    title="What is missing in {case}?",
    explanation="The application goes back to the site, which reads what you write here and sends it again.",
    button="Send back",
    done="It went back to the site.",
)
case_return = _with_reason(
    "return",
    services.case_return,
    title="Return {case} to the physicist",
    explanation="Nothing is signed. The physicist reads what you write here and decides again.",
    button="Return",
    done="It went back to the physicist.",
)
case_suspend = _with_reason(
    "suspend",
    services.case_suspend,
    title="Suspend {case}",
    explanation="From today this scope may not be scanned. Scans made before today stay as they are. "
    "The site reads what you write here.",
    button="Suspend",
    done="Suspended from today.",
    is_danger=True,
)
case_reaccredit = _with_reason(
    "reaccredit",
    services.case_reaccredit,
    title="Accredit {case} again",
    explanation="The case collects evidence anew. A clearance that is in force stays so until its last day.",
    button="Begin",
    done="Evidence is collected anew.",
)
case_withdraw = _with_reason(
    "withdraw",
    services.case_withdraw,
    title="Withdraw {case}",
    explanation="The case ends, and so does the clearance that it gave. Scans made before today stay as they are, and "
    "another case for the same scope may be started.",
    button="Withdraw",
    done="Withdrawn.",
    is_danger=True,
)


@get_or_post
def certificate_withdraw(request: HttpRequest, number: str) -> HttpResponse:
    """Ask why a certificate is withdrawn, then withdraw it."""
    certificate = selectors.certificate_for(request.user, number)
    if not access.lab_roles_of(request.user) & {"physicist", "approver"}:
        raise NotFound(NOTHING_HERE)
    page = {
        "case": certificate.case,
        "title": f"Withdraw certificate {certificate}",
        "here": str(certificate),
        "explanation": "From today its check page says that it is withdrawn and its scope may not be scanned. "
        "The case that rests on it is withdrawn with it.",
        "button": "Withdraw",
        "is_danger": True,
        "back_url": reverse("accreditation:certificate-detail", args=[certificate.number]),
    }
    return reason_page(
        request,
        page,
        lambda reason: services.certificate_withdraw(certificate_id=certificate.pk, actor=request.user, reason=reason),
        "Withdrawn.",
    )
