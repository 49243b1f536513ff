"""Decisions about a case: what is decided on one page, what is signed on the next."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.views.decorators.debug import sensitive_post_parameters

from accreditation import programmes, selectors, services
from accreditation.forms import DECISIONS, DecisionForm, SignForm
from accreditation.requirements import Requirement
from accreditation.statements import statement_of
from accreditation.views.cases import names_of, requirement_rows, requirements_title
from accreditation.views.moves import Action, get_or_post, signs
from accreditation.workflow import CASE
from corelab import access
from corelab.errors import NotFound, Refused, StaleState
from corelab.selectors import NOTHING_HERE
from qc import analysis


@dataclass(frozen=True, kw_only=True)
class _Desk:
    """A case before a person who decides: what it rests on, and which decisions are offered or off."""

    case: Any
    today: date
    found: list[Requirement]
    offered: list[str]
    offs: list[Action]
    last_attempt: str

    def form(self, data: Mapping[str, Any] | None = None, initial: Mapping[str, Any] | None = None) -> DecisionForm:
        """Return the form of what is offered."""
        return DecisionForm(
            data, initial=initial, offered=self.offered, today=self.today, last_attempt=self.last_attempt
        )

    @classmethod
    def of(cls, request: HttpRequest, number: int) -> _Desk:
        """Read it for a person whose role signs decisions; for everybody else there is nothing here."""
        case = selectors.case_for(request.user, number)
        roles = access.roles_of(request.user, case.scanner.site, case.trial)
        if not any(move.signature and move.roles & roles for move in CASE):
            raise NotFound(NOTHING_HERE)
        today = selectors.today_at(case.scanner.site)
        found = selectors.requirements_of(case, today)
        moves = {
            event: why for event, why in selectors.moves_for(request.user, case, found, today).items() if signs(event)
        }
        # The last attempt can be followed by one more, where the person says why: it is offered all the same.
        last_attempt = moves.get("require_action", "")
        moves |= {"require_action": ""} if last_attempt else {}
        return cls(
            case=case,
            today=today,
            found=found,
            last_attempt=last_attempt,
            offered=[event for event, why in moves.items() if not why],
            offs=[Action(words=DECISIONS[event][0], reason=why) for event, why in moves.items() if why],
        )


def _session_key(case: Any) -> str:
    return f"decision:{case.number}:{case.attempt}:{case.state}"


def _kept(request: HttpRequest, case: Any) -> dict[str, str]:
    kept: dict[str, str] = request.session.get(_session_key(case), {})
    return kept


# --- what is decided ------------------------------------------------------------------------------


@get_or_post
def case_decide(request: HttpRequest, number: int) -> HttpResponse:
    """Ask what the person decides; going on leads to the signature."""
    desk = _Desk.of(request, number)
    case = desk.case
    if not desk.offered:
        return redirect("accreditation:case-detail", number)
    if request.method != "POST":
        initial = _first_values(desk) | _kept(request, case)
        return _decide_page(request, desk, desk.form(initial=initial))
    form = desk.form(request.POST)
    request.session[_session_key(case)] = {name: request.POST.get(name, "")[:4_000] for name in form.fields}
    if form.is_valid():
        return redirect("accreditation:case-sign", number)
    return _decide_page(request, desk, form, status=422)


def _first_values(desk: _Desk) -> dict[str, Any]:
    """Return what stands in the form at first: the days that may be given, the days that a correction takes."""
    case = desk.case
    if "approve" in desk.offered:
        first, last = selectors.validity_offered(case, desk.today)
        proposal = _proposal(case)
        return {"valid_from": first, "valid_until": last, "conditions": proposal.conditions if proposal else ""}
    days = programmes.load(case.programme).correction_days
    return {"deadline_on": desk.today + timedelta(days=days)}


def _proposal(case: Any) -> Any:
    """Return the proposal on which an approver decides, or None."""
    return next((one for one in reversed(list(selectors.decisions_of(case))) if one.event == "propose"), None)


def _decide_page(request: HttpRequest, desk: _Desk, form: DecisionForm, *, status: int = 200) -> HttpResponse:
    rows = requirement_rows(desk.case, desk.found, desk.today, sends=False)
    context = {
        "case": desk.case,
        "form": form,
        "offs": desk.offs,
        "rows": rows,
        "requirements_title": requirements_title(desk.found),
        "proposal": _proposal(desk.case) if "approve" in desk.offered else None,
        **names_of(desk.case),
    }
    return render(request, "accreditation/case_decide.html", context, status=status)


# --- what is signed -------------------------------------------------------------------------------


@sensitive_post_parameters("password")
@get_or_post
def case_sign(request: HttpRequest, number: int) -> HttpResponse:
    """Show exactly what is signed, take the password, sign."""
    desk = _Desk.of(request, number)
    case = desk.case
    if not desk.offered:
        return redirect("accreditation:case-detail", number)
    checked = desk.form(_kept(request, case))
    if not checked.is_valid():
        return redirect("accreditation:case-decide", number)
    values = checked.cleaned_data
    shown = {"shown_digest": selectors.deciding_digest(case), "shown_words": _words_digest(desk, values)}
    if request.method != "POST":
        return _sign_page(request, case, SignForm(initial=shown), values)
    if request.POST.get("shown_words") != shown["shown_words"]:
        # Decided otherwise in another window, or a day has begun: the page that was read says something else.
        words = "What you decided changed after you read what is signed. Nothing was signed: below is what it is now."
        checked.add_error(None, words)
        return _decide_page(request, desk, checked, status=409)
    form = SignForm(request.POST)
    if not form.is_valid():
        return _sign_page(request, case, form, values, status=422)
    arguments = {name: value for name, value in values.items() if name != "decision"}
    arguments |= {name: form.cleaned_data[name] for name in ("shown_digest", "password")}
    try:
        SERVICES[values["decision"]](case_id=case.pk, actor=request.user, **arguments)
    except StaleState as error:
        checked.add_error(None, f"{error.message} Nothing was signed, and nothing you wrote is lost: it is below.")
        return _decide_page(request, _Desk.of(request, number), checked, status=409)
    except NotFound:
        raise
    except Refused as error:
        form.add_error("password" if error.code == "SIGN-PASSWORD" else None, error.message)
        return _sign_page(request, case, form, values, status=422)
    request.session.pop(_session_key(case), None)
    messages.success(request, f"Signed: {DECISIONS[values['decision']][0].lower()}.")
    return redirect("accreditation:case-detail", number)


def _words_digest(desk: _Desk, values: Mapping[str, Any]) -> str:
    """Return the digest of what a person decided and of the sentence that they sign."""
    said = statement_of(values["decision"], desk.case, values, desk.today)
    return analysis.digest({name: "" if value is None else str(value) for name, value in values.items()} | {"": said})


SERVICES: Mapping[str, Callable[..., Any]] = {
    "propose": services.case_propose,
    "require_action": services.case_require_action,
    "fail": services.case_fail,
    "approve": services.case_approve,
    "refuse": services.case_refuse,
    "reinstate": services.case_reinstate,
}
BUTTONS: Mapping[str, str] = {
    "propose": "Sign the proposal",
    "require_action": "Sign the corrective action",
    "fail": "Sign the failure",
    "approve": "Sign the accreditation",
    "refuse": "Sign the refusal",
    "reinstate": "Sign the reinstatement",
}
BY_APPROVER = frozenset({"approve", "refuse", "reinstate"})


def _sign_page(
    request: HttpRequest, case: Any, form: SignForm, values: Mapping[str, Any], *, status: int = 200
) -> HttpResponse:
    decision = values["decision"]
    proposal = _proposal(case) if decision in BY_APPROVER else None
    context = {
        "case": case,
        "form": form,
        "values": values,
        "statement": statement_of(decision, case, values, selectors.today_at(case.scanner.site)),
        "digest": form["shown_digest"].value(),
        "meaning": "Approval" if decision in BY_APPROVER else "Review",
        "asks_conditions": "conditions" in DECISIONS[decision][2],
        "role": "Approver" if decision in BY_APPROVER else "Physicist",
        "proposed_by": proposal.signature.printed_name if proposal else "",
        "now": timezone.now(),
        "button": BUTTONS[decision],
        **names_of(case),
    }
    return render(request, "accreditation/case_sign.html", context, status=status)
