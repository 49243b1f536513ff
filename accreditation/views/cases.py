"""Cases looked at: the list, the start of one, and one page for staff, site and trial."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import date
from typing import Any

from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.http import require_safe

from accreditation import programmes, selectors, services
from accreditation.forms import DECISIONS, CaseForm
from accreditation.requirements import Requirement, RequirementState, lacking
from accreditation.sending import SEND_WORDS, kinds_of, send_url
from accreditation.status import case_clearance, certificate_words, status_for_lab, status_for_site, steps_of
from accreditation.views.moves import actions_of, get_or_post
from accreditation.workflow import CLOSED, IN_FORCE, STANDING
from accreditation.workflow import CaseState as C
from corelab import access
from corelab import selectors as registry
from corelab.audit import CATALOGUE
from corelab.errors import NotAllowed, NotFound, Refused, StaleState
from corelab.panels import WORK_VIEWS
from corelab.selectors import NOTHING_HERE
from phantoms import standards

PAGE_ROWS = 50
WITH_WORDS = {"site": "Site", "core_lab": "Core lab", "approver": "Approver", "": ""}
#: Groups of states that the list can be narrowed to.
STATE_GROUPS: Mapping[str, tuple[str, frozenset[C]]] = {
    "open": ("Open", frozenset(C) - CLOSED - STANDING),
    "in-force": ("In force", IN_FORCE),
    "not-in-force": ("Suspended or expired", frozenset({C.SUSPENDED, C.EXPIRED})),
    "closed": ("Failed or withdrawn", CLOSED),
}


# --- list -----------------------------------------------------------------------------------------


@require_safe
def case_list(request: HttpRequest) -> HttpResponse:
    """List the cases the person sees, narrowed by the address."""
    user = request.user
    rows = selectors.cases_visible_to(user)
    chosen = {name: request.GET.get(name, "")[:64] for name in ("state", "site", "trial", "scanner")}
    if chosen["state"] in STATE_GROUPS:
        rows = rows.filter(state__in=STATE_GROUPS[chosen["state"]][1])
    if chosen["site"]:
        rows = rows.filter(scanner__site__code=chosen["site"])
    if chosen["trial"]:
        rows = rows.filter(trial__code=chosen["trial"])
    if chosen["scanner"].isdecimal() and len(chosen["scanner"]) < 19:
        rows = rows.filter(scanner_id=int(chosen["scanner"]))
    page = Paginator(rows, PAGE_ROWS).get_page(request.GET.get("page"))
    sites = list(registry.sites_visible_to(user))
    trials = list(registry.trials_visible_to(user))
    is_site = bool(access.site_ids_of(user)) and not access.sees_everything(user)
    context = {
        "title": "Accreditation" if is_site else "Cases",
        "page": page,
        "rows": [_list_row(case, is_site=is_site) for case in page],
        "chosen": chosen,
        "is_filtered": any(chosen.values()),
        "states": [(key, word) for key, (word, _) in STATE_GROUPS.items()],
        "sites": sites if len(sites) > 1 else [],
        "trials": trials if len(trials) > 1 else [],
        "shows_site": len(sites) > 1,
        "may_start": may_start(user),
    }
    return render(request, "accreditation/case_list.html", context)


def _list_row(case: Any, *, is_site: bool) -> dict[str, Any]:
    return {
        "case": case,
        "standard": standards.load(case.standard).title,
        "status": status_for_site(case) if is_site else status_for_lab(case),
        "clearance": case_clearance(case, selectors.today_at(case.scanner.site)),
        "due_on": case.deadline_on if case.state == C.CORRECTIVE_ACTION_REQUIRED else None,
    }


# --- start ----------------------------------------------------------------------------------------


def may_start(user: Any) -> bool:
    """Say whether a person may open a case: the site of a scanner applies for it."""
    return bool(access.site_ids_of(user))


@get_or_post
def case_start(request: HttpRequest) -> HttpResponse:
    """Ask for the scope of a case; answering opens it as a draft."""
    user = request.user
    if not may_start(user):
        raise NotFound(NOTHING_HERE)
    form = _case_form(request)
    open_case = None
    if request.method == "POST" and form.is_valid():
        try:
            case = services.case_start(actor=user, **form.cleaned_data)
        except (NotAllowed, NotFound, StaleState):
            raise
        except Refused as error:
            open_case = _open_case(user, form.cleaned_data) if error.code == "CASE-OPEN" else None
            form.add_error(FIELD_OF_CODE.get(error.code), error.message)
        else:
            return redirect("accreditation:case-detail", case.number)
    context = {
        "form": form,
        "open_case": open_case,
        "has_reconstruction": form.fields["reconstruction"].queryset.exists(),
    }
    return render(request, "accreditation/case_start.html", context, status=422 if form.errors else 200)


#: The field under which a refusal of the service is shown.
FIELD_OF_CODE: Mapping[str, str] = {
    "SCOPE-RECONSTRUCTION": "reconstruction",
    "SCOPE-PROGRAMME": "programme",
    "SCOPE-STANDARD": "standard",
    "SCOPE-TRACER": "tracer",
    "SCOPE-TRIAL": "trial",
    "SCOPE-TRIAL-SITE": "trial",
}


def _open_case(user: Any, scope: Mapping[str, Any]) -> Any:
    names = ("scanner", "reconstruction", "tracer", "standard", "trial")
    same = selectors.cases_visible_to(user).filter(**{name: scope[name] for name in names if scope[name] is not None})
    if scope["trial"] is None:
        same = same.filter(trial__isnull=True)
    return same.exclude(state__in=CLOSED).first()


def _case_form(request: HttpRequest) -> CaseForm:
    user = request.user
    scanners = registry.scanners_visible_to(user).filter(is_active=True, site_id__in=access.site_ids_of(user))
    reconstructions = registry.reconstructions_visible_to(user).filter(scanner__in=scanners, is_active=True)
    asked = request.GET
    initial = {
        name: asked[name]
        for name in ("scanner", "reconstruction", "tracer", "standard", "programme")
        if asked.get(name)
    }
    if code := asked.get("trial"):
        initial["trial"] = registry.trials_visible_to(user).filter(code=code).first()
    if "scanner" not in initial:
        only = list(scanners.values_list("pk", flat=True)[:2])
        initial |= {"scanner": only[0]} if len(only) == 1 else {}
    return CaseForm(
        request.POST if request.method == "POST" else None,
        initial=initial,
        scanners=scanners,
        reconstructions=reconstructions,
        trials=registry.trials_visible_to(user).filter(is_active=True),
        programmes=[(one, programmes.load(one).title) for one in programmes.available()],
    )


# --- one case -------------------------------------------------------------------------------------


@require_safe
def case_detail(request: HttpRequest, number: int) -> HttpResponse:
    """Show one case: what is missing and who has it first, then what the person may do, then the proof."""
    user = request.user
    case = selectors.case_for(user, number)
    is_site = case.scanner.site_id in access.site_ids_of(user) and not access.sees_everything(user)
    today = selectors.today_at(case.scanner.site)
    found = selectors.requirements_of(case, today)
    rows = requirement_rows(case, found, today, sends=is_site)
    status = status_for_site(case) if is_site else status_for_lab(case)
    actions = actions_of(case, selectors.moves_for(user, case, found, today))
    history = list(selectors.history_of(case).order_by("-sequence")[:100])
    certificates = list(selectors.certificates_visible_to(user).filter(case=case))
    context = {
        "case": case,
        "is_site": is_site,
        "status": status,
        "steps": steps_of(case),
        "clearance": certificate_words(certificates[0], today) if case.state in STANDING and certificates else None,
        "is_acting": case.state == C.CORRECTIVE_ACTION_REQUIRED,
        "because": _because(case, history, is_site),
        "attempt_words": attempt_words(case),
        "open_rows": [row for row in rows if row["state"] != RequirementState.MET],
        "met_rows": [row for row in rows if row["state"] == RequirementState.MET],
        "requirements_title": requirements_title(found),
        "actions": actions,
        "says": says(case, actions, status.next, is_site=is_site),
        "decisions": [_decision(one) for one in selectors.decisions_of(case)],
        "certificates": [{"certificate": one, "clearance": certificate_words(one, today)} for one in certificates],
        "history": [{"event": event, "sentence": CATALOGUE.get(event.action, event.action)} for event in history],
        "came_from": request.GET.get("from", "") if request.GET.get("from") in WORK_VIEWS else "",
        **names_of(case),
    }
    return render(request, "accreditation/case_detail.html", context)


#: States whose reason stands at the top of the page, and its heading.
_BECAUSE: Mapping[C, str] = {
    C.INCOMPLETE: "What is missing",
    C.PHYSICIST_REVIEW: "Why it came back",
    C.SUSPENDED: "Why it is suspended",
    C.FAIL: "Why it failed",
    C.WITHDRAWN: "Why it was withdrawn",
}


def _because(case: Any, history: Iterable[Any], is_site: bool) -> dict[str, str] | None:
    """Return the reason that was given for the state in which a case stands now, where there is one to act on."""
    if C(case.state) not in _BECAUSE or (case.state == C.PHYSICIST_REVIEW and is_site):
        return None
    entered = next((event for event in history if (event.after or {}).get("state") == case.state), None)
    if entered is None or not entered.reason:
        return None
    return {"title": _BECAUSE[C(case.state)], "text": entered.reason}


def names_of(case: Any) -> dict[str, str]:
    """Return what standard and programme are called."""
    return {
        "standard_title": standards.load(case.standard).title,
        "programme_title": programmes.load(case.programme).title,
    }


def attempt_words(case: Any) -> str:
    """Say which attempt this is, where there was more than one or the site acts."""
    if case.attempt == 1 and case.state != C.CORRECTIVE_ACTION_REQUIRED:
        return ""
    return f"Attempt {case.attempt} of {programmes.load(case.programme).max_attempts}"


_ROW_ORDER = [RequirementState.NOT_MET, RequirementState.WAITING, RequirementState.ENDING, RequirementState.MET]


def requirement_rows(case: Any, found: Iterable[Requirement], today: date, *, sends: bool) -> list[dict[str, Any]]:
    """Return the requirements as rows of a table: what is missing first, then what ends soon, then what is met."""
    kinds = kinds_of(case)
    may_send = sends and C(case.state) not in CLOSED
    rows = [_requirement(case, one, kinds.get(one.id, ""), today, may_send) for one in found]
    return sorted(rows, key=lambda row: _ROW_ORDER.index(row["state"]))


def _requirement(case: Any, one: Requirement, kind: str, today: date, may_send: bool) -> dict[str, Any]:
    days_left = (one.valid_to - today).days if one.valid_to else 0
    asks_site = may_send and kind and one.with_whom == "site"
    return {
        "title": one.title,
        "state": one.state,
        "words": f"Ends in {days_left} day{'' if days_left == 1 else 's'}" if days_left > 0 else "Ends today",
        "reason": one.reason,
        "valid_to": one.valid_to,
        "evidence": [_piece(piece) for piece in one.evidence],
        "with_words": WITH_WORDS[one.with_whom],
        "send_url": send_url(case, kind) if asks_site else "",
        "send_words": SEND_WORDS.get(kind, ""),
    }


def _piece(piece: Any) -> dict[str, str]:
    url = reverse("qc:submission-detail", args=[piece.submission.removeprefix("S-")])
    return {"submission": piece.submission, "run": piece.run, "url": url}


def requirements_title(found: Iterable[Requirement]) -> str:
    """Say how much is missing, the approval itself not counted."""
    missing = len(lacking(found))
    return "Requirements" if not missing else f"Requirements: {missing} missing"


def says(case: Any, actions: list[Any], next_step: str, *, is_site: bool) -> str:
    """Say what happens next: to a site always, in the lab where nothing it can press moves the case on."""
    if not is_site and any(action.style == "btn-primary" and not action.reason for action in actions):
        return ""
    with_whom = f"With {case.approver.name}, who decides. " if case.state == C.SECOND_REVIEW and case.approver else ""
    return f"{with_whom}{next_step}"


#: How a signed move is shown: words, and a tint with its icon where it settles the matter.
_DECIDED: Mapping[str, tuple[str, str, str]] = {
    "propose": ("Recommended: accredit", "pass", "pass"),
    "require_action": ("Corrective action", "warn", "warn"),
    "fail": ("Failed", "fail", "fail"),
    "approve": ("Accredited", "pass", "pass"),
    "refuse": ("Refused", "fail", "fail"),
    "reinstate": ("Reinstated", "pass", "pass"),
}


def _decision(decision: Any) -> dict[str, Any]:
    words, chip, icon = _DECIDED.get(decision.event, (DECISIONS.get(decision.event, (decision.event,))[0], "", ""))
    return {"decision": decision, "words": words, "chip": chip, "icon": icon}
