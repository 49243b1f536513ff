"""Questions to sites: the list, one page by role, and what people do there."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django import forms
from django.contrib import messages
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.views.decorators.http import require_POST, require_safe

from corelab import access
from corelab import selectors as registry
from corelab.errors import InvalidMove, NotAllowed, NotFound, Refused, StaleState
from qc import selectors, services
from qc.deadlines import query_due_on
from qc.forms import AnswerForm, AskForm, WordsForm
from qc.states import QUERY, QueryState
from qc.status import query_status

PAGE_ROWS = 50
Q = QueryState
#: Groups of states that the list can be narrowed to; drafts are the lab's own.
STATE_GROUPS = {
    "open": ("Open", (Q.DRAFT, Q.OPEN, Q.SITE_RESPONDED, Q.REOPENED)),
    "with-sites": ("With sites", (Q.OPEN, Q.REOPENED)),
    "with-lab": ("With the core lab", (Q.DRAFT, Q.SITE_RESPONDED)),
    "closed": ("Closed", (Q.CLOSED, Q.UNRESOLVABLE)),
    "all": ("All", tuple(Q)),
}
#: A scan may still be sent in answer in these.
ANSWERABLE_BY_SCAN = (Q.OPEN, Q.REOPENED, Q.SITE_RESPONDED)


# --- list -----------------------------------------------------------------------------------------


@require_safe
def query_list(request: HttpRequest) -> HttpResponse:
    """List the questions that the person may see, open ones unless asked otherwise, the next deadline first."""
    user = request.user
    chosen = {name: request.GET.get(name, "") for name in ("state", "site", "trial")}
    state = chosen["state"] if chosen["state"] in STATE_GROUPS else "open"
    rows = selectors.queries_visible_to(user).filter(state__in=STATE_GROUPS[state][1]).defer("text", "findings")
    if chosen["site"]:
        rows = rows.filter(submission__site__code=chosen["site"])
    if chosen["trial"]:
        rows = rows.filter(submission__trial__code=chosen["trial"])
    order = ("-number",) if state in ("closed", "all") else ("due_on", "number")
    page = Paginator(rows.order_by(*order), PAGE_ROWS).get_page(request.GET.get("page"))
    sites, trials = list(registry.sites_visible_to(user)), list(registry.trials_visible_to(user))
    context = {
        "page": page,
        "rows": [{"query": query, "status": _status(user, query)} for query in page],
        "chosen": chosen | {"state": state},
        "is_filtered": state != "open" or bool(chosen["site"] or chosen["trial"]),
        "states": [(key, word) for key, (word, _) in STATE_GROUPS.items()],
        "sites": sites if len(sites) > 1 else [],
        "trials": trials if len(trials) > 1 else [],
    }
    return render(request, "qc/query_list.html", context)


def _status(user: Any, query: Any) -> Any:
    roles = access.roles_of(user, query.site)
    acts = bool(roles & {"technician", "physicist"})
    return query_status(query, is_site="site_user" in roles and not access.sees_everything(user), acts=acts)


# --- one question ---------------------------------------------------------------------------------


@require_safe
def query_detail(request: HttpRequest, number: int) -> HttpResponse:
    """Show one question: what is asked and by when, what was seen, what was said, and what this person can do."""
    return _page(request, selectors.query_for(request.user, number))


def _page(
    request: HttpRequest, query: Any, *, form: forms.Form | None = None, error: str = "", status: int = 200
) -> HttpResponse:
    user = request.user
    reads = selectors.reads_query(user, query)
    may = _may(user, query)
    form_of = {type(form): form}
    context = {
        "query": query,
        "submission": query.submission,
        "status": _status(user, query),
        "reads": reads,
        "may": may,
        "thread": _thread(query) if reads else [],
        "resubmissions": _resubmissions(user, query) if reads else [],
        "ask": form_of.get(AskForm) or (_ask_form(query) if may["ask"] else None),
        "answer": form_of.get(AnswerForm) or (AnswerForm() if may["answer"] else None),
        "words": form_of.get(WordsForm) or (WordsForm(help_text=_words_help(query)) if may["end"] else None),
        "form": form,
        "error": error,
        "kept_text": _kept_text(form) if error else "",
        "is_late": query.state in (Q.OPEN, Q.REOPENED) and query.due_on and query.due_on < timezone.now().date(),
    }
    return render(request, "qc/query_detail.html", context, status=status)


def _may(user: Any, query: Any) -> dict[str, bool]:
    roles = access.roles_of(user, query.site, query.trial)
    may = {move.event: bool(move.roles & roles) for move in QUERY if move.source == query.state and move.roles}
    events = ("ask", "drop", "answer", "reopen", "close", "give_up")
    found = {event: may.get(event, False) for event in events}
    found["end"] = found["drop"] or found["close"]
    found["resubmit"] = "site_user" in roles and query.state in ANSWERABLE_BY_SCAN
    return found


def _ask_form(query: Any) -> AskForm:
    today = timezone.now().astimezone(query.site.zone).date()
    return AskForm(initial={"run": query.run_id, "text": query.text, "due_on": query_due_on(today)})


def _words_help(query: Any) -> str:
    if query.state == Q.DRAFT:
        return "Why nothing is asked. It is kept in the history."
    return "The site reads it."


def _kept_text(form: forms.Form | None) -> str:
    """Return what a person had written when somebody else was faster, where no form takes it any more."""
    if form is None:
        return ""
    return str(form.data.get("text") or form.data.get("reason") or "")


def _thread(query: Any) -> list[dict[str, Any]]:
    """Return what was said, oldest first, from the question to its end."""
    said = []
    if query.asked_at:
        said.append({"at": query.asked_at, "who": query.asked_by, "what": "asked", "text": "", "side": "lab"})
    for message in query.messages.select_related("author"):
        if message.author is None:
            said.append({"at": message.said_at, "who": None, "what": "", "text": message.text, "side": "system"})
        else:
            side = "site" if message.is_from_site else "lab"
            what = "answered" if message.is_from_site else "asked again"
            said.append(
                {"at": message.said_at, "who": message.author, "what": what, "text": message.text, "side": side}
            )
    if query.closed_at:
        what = "found that it cannot be solved" if query.state == Q.UNRESOLVABLE else "closed it"
        said.append(
            {"at": query.closed_at, "who": query.closed_by, "what": what, "text": query.closed_reason, "side": "end"}
        )
    return said


def _resubmissions(user: Any, query: Any) -> list[Any]:
    return list(selectors.submissions_visible_to(user).filter(answers=query).order_by("number"))


# --- what people do -------------------------------------------------------------------------------


def _act(
    request: HttpRequest, number: int, form: forms.Form, act: Callable[[Any, Any], Any], done: str
) -> HttpResponse:
    """Do one thing to a question and show it; whatever goes wrong, what was written comes back."""
    query = selectors.query_for(request.user, number)
    if not form.is_valid():
        # Who may not do it at all has no form to correct.
        if not (any(_may(request.user, query).values()) and selectors.reads_query(request.user, query)):
            raise NotFound("There is nothing here, or it is not yours to see.")
        return _page(request, query, form=form, status=422)
    try:
        act(query, form.cleaned_data)
    except (NotAllowed, NotFound):
        raise
    except (StaleState, InvalidMove) as error:
        now = selectors.query_for(request.user, number)
        return _page(request, now, form=form, error=error.message, status=409)
    except Refused as error:
        form.add_error("due_on" if error.code == "QUERY-DUE" else None, error.message)
        return _page(request, query, form=form, status=422)
    messages.success(request, done)
    return redirect("qc:query-detail", number)


@require_POST
def query_ask(request: HttpRequest, number: int) -> HttpResponse:
    """Ask the site."""
    return _act(
        request,
        number,
        AskForm(request.POST),
        lambda query, words: services.query_ask(
            query_id=query.pk,
            actor=request.user,
            text=words["text"],
            due_on=words["due_on"],
            shown_run=words["run"],
        ),
        "Asked.",
    )


@require_POST
def query_answer(request: HttpRequest, number: int) -> HttpResponse:
    """Answer in words."""
    return _act(
        request,
        number,
        AnswerForm(request.POST),
        lambda query, words: services.query_answer(query_id=query.pk, actor=request.user, text=words["text"]),
        "Sent. The core lab reads your answer.",
    )


def _with_words(service: Callable[..., Any], done: str) -> Callable[[HttpRequest, int], HttpResponse]:
    """Return the page that does one thing with a reason."""

    @require_POST
    def view(request: HttpRequest, number: int) -> HttpResponse:
        return _act(
            request,
            number,
            WordsForm(request.POST),
            lambda query, words: service(query_id=query.pk, actor=request.user, reason=words["reason"]),
            done,
        )

    return view


query_drop = _with_words(services.query_drop, "Dropped: nothing is asked.")
query_reopen = _with_words(services.query_reopen, "Asked again.")
query_close = _with_words(services.query_close, "Closed.")
query_give_up = _with_words(services.query_give_up, "Ended: it cannot be solved.")


@require_POST
def query_resubmit(request: HttpRequest, number: int) -> HttpResponse:
    """Start a draft that answers the question with a new series, filled in as the scan that it asks about."""
    query = selectors.query_for(request.user, number)
    scan = query.submission
    draft = services.submission_start(
        actor=request.user,
        site=scan.site,
        kind=scan.kind,
        scanner=scan.scanner,
        reconstruction=scan.reconstruction,
        standard=scan.standard,
        trial=scan.trial,
        subject_code=scan.subject_code,
        visit=scan.visit,
        answers=query,
    )
    return redirect("qc:submission-place", draft.number)
