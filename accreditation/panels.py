"""What this package puts on the pages of `corelab`: rows of the worklist, tasks of a site, what may be scanned."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import date, datetime, time, timedelta
from typing import Any

from django.db.models import BooleanField, Count, ExpressionWrapper, F, Min, Q, QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone

from accreditation import scanning, selectors
from accreditation.requirements import Requirement, RequirementState
from accreditation.sending import kinds_of, send_url
from accreditation.status import case_clearance, status_for_lab, status_for_site
from accreditation.workflow import CLOSED
from accreditation.workflow import CaseState as C
from corelab import access, panels
from corelab import selectors as registry
from corelab.panels import Panel, SearchGroup, SearchHit, Task, WorkPage, WorkQuery, WorkRow
from phantoms import standards
from qc.deadlines import add_working_days

KIND = "case"
KINDS = {KIND: "Accreditation case"}
PANEL_ROWS = 8
#: The lab's own promise: within so many working days it makes the step that is its to make.
STEP_WORKING_DAYS = 5
#: The next step is the lab's, the site's, the workers'.
WITH_LAB = frozenset({C.SUBMITTED, C.RECEIPT_CHECK, C.PHYSICIST_REVIEW, C.PASS_RECOMMENDED, C.SECOND_REVIEW})
WITH_SITE = frozenset({C.INCOMPLETE, C.CORRECTIVE_ACTION_REQUIRED, C.ANALYSIS_RUNNING, C.SUSPENDED})
RUNNING = frozenset({C.SIGNED, C.RESUBMITTED, C.REACCREDITATION})
#: A site has to act on the case itself, not on one of its requirements.
ASKS_SITE = frozenset({C.DRAFT, C.INCOMPLETE, C.CORRECTIVE_ACTION_REQUIRED})
#: What was given ends or has ended: the site begins the next, or reads why.
ENDING = frozenset({C.DUE_SOON, C.EXPIRED, C.SUSPENDED})
_NUMBER = re.compile(r"C-?(\d{1,18})", re.IGNORECASE)


def register() -> None:
    """Fill the places; called once when the app is ready."""
    for place, provider in (
        ("work", work),
        ("nav", counts),
        ("tasks", tasks),
        ("home", of_home),
        ("scanner", of_scanner),
        ("trial", of_trial),
        ("trials", of_trials),
        ("search", search),
        ("jump", jump),
    ):
        panels.register(place, provider)


def detail_url(case: Any) -> str:
    """Return the address of a case."""
    return reverse("accreditation:case-detail", args=[case.number])


# --- the lab's worklist ---------------------------------------------------------------------------


def work(request: HttpRequest, query: WorkQuery) -> WorkPage:
    """Return the cases that stand in one view of the worklist, what is due next first."""
    user = request.user
    if not access.is_lab_staff(user) or query.kind not in ("", KIND) or query.verdict:
        return WorkPage(rows=[], counts={}, kinds=KINDS)
    today = timezone.now().date()
    late, due = _waits_since_before(today - timedelta(days=1)), _waits_since_before(today)
    narrow = Q()
    for name, value in (("scanner__site__code", query.site), ("trial__code", query.trial)):
        if value:
            narrow &= Q(**{name: value})
    needs = _needs(user)
    views = {
        "needs-me": narrow & needs,
        "breaching-today": narrow & due,
        "waiting-for-sites": narrow & Q(state__in=WITH_SITE),
        "running": narrow & Q(state__in=RUNNING),
        "open": narrow,
    }
    in_hand = selectors.cases_visible_to(user).filter(state__in=WITH_LAB | WITH_SITE | RUNNING)
    shown = views.get(query.view, Q(pk__in=[]))
    found = in_hand.order_by().aggregate(
        **{_name(view): Count("pk", filter=one) for view, one in views.items()},
        overdue=Count("pk", filter=shown & late),
        due_today=Count("pk", filter=shown & due & ~late),
        oldest_at=Min("changed_at", filter=shown),
        needed=Count("pk", filter=needs),
    )
    request._cases_needed = found["needed"]  # type: ignore[attr-defined]
    total = {view: found[_name(view)] for view in views}
    listed = []
    if total.get(query.view):
        # Each of the two orders is that of the days on which they are due; merged they are in order again.
        rows = in_hand.filter(shown)
        with_lab = rows.filter(state__in=WITH_LAB | RUNNING).order_by("changed_at", "number")[: query.limit]
        with_site = rows.filter(state__in=WITH_SITE)
        with_site = with_site.order_by(F("deadline_on").asc(nulls_last=True), "number")[: query.limit]
        needed = ExpressionWrapper(needs, output_field=BooleanField())
        first = Q(pk__in=with_lab.values("pk")) | Q(pk__in=with_site.values("pk"))
        listed = [_work_row(case, query.view, user) for case in in_hand.filter(first).annotate(is_needed=needed)]
    return WorkPage(
        rows=sorted(listed, key=lambda row: row.order)[: query.limit],
        counts=total,
        kinds=KINDS,
        overdue=found["overdue"],
        due_today=found["due_today"],
        oldest_at=found["oldest_at"],
    )


def _name(view: str) -> str:
    return f"in_{view.replace('-', '_')}"


def _needs(user: Any) -> Q:
    """Return which cases wait for this very person in the lab."""
    roles = access.lab_roles_of(user)
    needs = Q(pk__in=[])
    if roles & {"technician", "physicist"}:
        needs |= Q(state__in=(C.SUBMITTED, C.RECEIPT_CHECK))
    if "physicist" in roles:
        needs |= Q(state=C.PHYSICIST_REVIEW)
    if "approver" in roles:
        needs |= Q(state=C.SECOND_REVIEW, approver=user)
        own = selectors.cases_visible_to(user).filter(decisions__event="propose", decisions__signature__user=user)
        needs |= Q(state=C.PASS_RECOMMENDED) & ~Q(pk__in=own.order_by().values("pk"))
    return needs


def _waits_since_before(due_on: date) -> Q:
    """Return which cases were or are due on this day or before."""
    cutoff = due_on
    while add_working_days(cutoff, STEP_WORKING_DAYS) > due_on:
        cutoff -= timedelta(days=1)
    end = datetime.combine(cutoff + timedelta(days=1), time.min, timezone.get_default_timezone())
    return Q(state__in=WITH_LAB, changed_at__lt=end) | Q(state=C.CORRECTIVE_ACTION_REQUIRED, deadline_on__lte=due_on)


def due_on_of(case: Any) -> date | None:
    """Return by when the next step of a case is due: the lab's by its promise, the site's by its deadline."""
    if case.state in WITH_LAB:
        return add_working_days(case.changed_at.date(), STEP_WORKING_DAYS)
    return case.deadline_on if case.state == C.CORRECTIVE_ACTION_REQUIRED else None


def _work_row(case: Any, view: str, user: Any) -> WorkRow:
    status = status_for_lab(case, is_mine=case.is_needed)
    return WorkRow(
        number=str(case),
        url=f"{detail_url(case)}?from={view}",
        what=f"Case {standards.load(case.standard).title}, {case.scanner}, {case.reconstruction}",
        site=str(case.scanner.site),
        trial=str(case.trial or ""),
        due_on=due_on_of(case),
        next_step=status.words,
        state=status.chip,
        with_whom=_with_whom(case, user),
        waits_since=case.changed_at,
    )


def _with_whom(case: Any, user: Any) -> str:
    if case.state in WITH_SITE:
        return "site"
    if case.approver_id:
        return "you" if case.approver_id == user.pk else str(case.approver)
    return "system" if case.state in RUNNING else ""


def counts(request: HttpRequest) -> dict[str, int]:
    """Return how many cases wait for this person, for the bar; the lab's stand on the worklist too."""
    user = request.user
    found = {}
    if access.is_lab_staff(user):
        known: int | None = getattr(request, "_cases_needed", None)
        needed = selectors.cases_visible_to(user).filter(_needs(user)).count() if known is None else known
        found = {"corelab:work-list": needed, "accreditation:case-list": needed}
    if access.site_ids_of(user):
        asked = sum(case.state in ASKS_SITE for case in _own_cases(request))
        found["accreditation:case-list"] = found.get("accreditation:case-list", 0) + asked
    return found


# --- the site's home ------------------------------------------------------------------------------


def _own_cases(request: HttpRequest) -> list[Any]:
    """Return the cases of the person's own sites that are not closed, read once a request."""
    kept: list[Any] | None = getattr(request, "_own_cases", None)
    if kept is None:
        mine = selectors.cases_visible_to(request.user).filter(scanner__site__in=access.site_ids_of(request.user))
        kept = list(mine.exclude(state__in=CLOSED))
        request._own_cases = kept  # type: ignore[attr-defined]
    return kept


def _own_requirements(request: HttpRequest) -> dict[Any, list[Requirement]]:
    """Return how the requirements of those cases stand, read once a request."""
    kept: dict[Any, list[Requirement]] | None = getattr(request, "_own_requirements", None)
    if kept is None:
        cases = [case for case in _own_cases(request) if case.state != C.DRAFT]
        kept = selectors.requirements_of_cases(cases) if cases else {}
        request._own_requirements = kept  # type: ignore[attr-defined]
    return kept


def tasks(request: HttpRequest) -> Iterator[Task]:
    """Yield what a site's cases ask of it: their own next step first, then what they still need, the next due first."""
    needed: dict[str, Task] = {}
    for case in _own_cases(request):
        if case.state in ASKS_SITE | ENDING:
            yield _case_task(case)
        if case.state in ASKS_SITE:
            continue
        kinds = kinds_of(case)
        for one in _own_requirements(request).get(case.pk, []):
            if one.with_whom != "site" or one.state == RequirementState.MET or one.id not in kinds:
                continue
            task = _send_task(case, one, kinds[one.id])
            # One phantom may speak for several cases: it is asked for once, by its earliest day.
            other = needed.get(task.url)
            if other is None or (task.due_on or date.max) < (other.due_on or date.max):
                needed[task.url] = task
    yield from sorted(needed.values(), key=lambda task: task.due_on or date.max)


#: What a site does about a case itself, verb first.
_CASE_TASKS = {
    C.DRAFT: "Send the application {case}",
    C.INCOMPLETE: "Complete {case} and send it again",
    C.CORRECTIVE_ACTION_REQUIRED: "Do what {case} asks",
    C.SUSPENDED: "Read why {case} is suspended",
    C.EXPIRED: "Accredit again: {case} has expired",
    C.DUE_SOON: "Accredit again: {case} ends soon",
}


def _case_task(case: Any) -> Task:
    due_on = {C.CORRECTIVE_ACTION_REQUIRED: case.deadline_on, C.DUE_SOON: case.valid_until}.get(C(case.state))
    return Task(
        text=_CASE_TASKS[C(case.state)].format(case=case),
        url=detail_url(case),
        hint=f"{case.scanner}, {case.reconstruction}, {case.trial or 'general'}",
        state="needs-you",
        due_on=due_on,
    )


def _send_task(case: Any, one: Requirement, kind: str) -> Task:
    what = "a scan, to test the transfer" if kind == "transfer" else f"the {one.title[0].lower()}{one.title[1:]}"
    return Task(
        text=f"Send {what}",
        url=send_url(case, kind),
        hint=f"{case.scanner}, {case.reconstruction}, for {case}",
        state="needs-you",
        due_on=one.due_on,
    )


def of_home(request: HttpRequest) -> Iterator[Panel]:
    """Yield *May we scan?* for the scanners of the person's own sites, and their next date."""
    mine = registry.scanners_visible_to(request.user).filter(site__in=access.site_ids_of(request.user), is_active=True)
    groups = scanning.scans_for(request.user, mine, cases=_own_cases(request))
    if groups:
        context = {
            "title": "May we scan",
            "groups": groups,
            "next": _next_date(request),
            "starts": True,
            "names_scanner": True,
        }
        yield Panel(template="accreditation/_panel_may_scan.html", context=context, order=10)


def _next_date(request: HttpRequest) -> dict[str, Any] | None:
    """Return what is to be sent next of all that is met today."""
    coming = [
        {"case": case, "title": one.title, "due_on": one.due_on}
        for case in _own_cases(request)
        for one in _own_requirements(request).get(case.pk, [])
        if one.state == RequirementState.MET and one.due_on is not None
    ]
    return min(coming, key=lambda one: one["due_on"], default=None)


# --- panels of register pages ---------------------------------------------------------------------


def of_scanner(request: HttpRequest, scanner: Any) -> Iterator[Panel]:
    """Yield for what a scanner may be used, and its cases."""
    groups = scanning.scans_for(request.user, [scanner])
    is_own = scanner.site_id in access.site_ids_of(request.user)
    context = {"title": "May it scan", "groups": groups, "next": None, "starts": is_own, "names_scanner": False}
    yield Panel(template="accreditation/_panel_may_scan.html", context=context, order=10)
    cases = selectors.cases_visible_to(request.user).filter(scanner=scanner)
    listed = list(cases[: PANEL_ROWS + 1])
    yield Panel(
        template="accreditation/_panel_cases.html",
        context={
            "rows": [_panel_row(case, is_own) for case in listed[:PANEL_ROWS]],
            "total": len(listed) if len(listed) <= PANEL_ROWS else cases.count(),
            "all_url": f"{reverse('accreditation:case-list')}?scanner={scanner.pk}",
        },
        order=40,
    )


def _panel_row(case: Any, is_own: bool) -> dict[str, Any]:
    return {
        "case": case,
        "status": status_for_site(case) if is_own else status_for_lab(case),
        "clearance": case_clearance(case, selectors.today_at(case.scanner.site)),
    }


def of_trial(request: HttpRequest, trial: Any) -> Iterator[Panel]:
    """Yield *May each site scan?* for one trial."""
    yield from _matrices(request, [trial])


def of_trials(request: HttpRequest) -> Iterator[Panel]:
    """Yield *May each site scan?* for the trials of a trial manager."""
    mine = registry.trials_visible_to(request.user).filter(pk__in=access.trial_ids_of(request.user), is_active=True)
    yield from _matrices(request, list(mine))


def _matrices(request: HttpRequest, trials: list[Any]) -> Iterator[Panel]:
    shows_links = access.sees_everything(request.user)
    for trial, rows in scanning.matrices_for(request.user, trials):
        context = {"trial": trial, "rows": rows, "names_trial": len(trials) > 1, "shows_links": shows_links}
        yield Panel(template="accreditation/_panel_matrix.html", context=context, order=20)


# --- search ---------------------------------------------------------------------------------------


def search(request: HttpRequest, text: str, limit: int) -> Iterator[SearchGroup]:
    """Yield the cases and certificates that fit: by number, scanner, site or trial."""
    wanted = (
        Q(scanner__serial__icontains=text) | Q(scanner__site__name__icontains=text) | Q(trial__code__icontains=text)
    )
    digits = text.upper().removeprefix("C-")
    if digits.isdecimal() and len(digits) <= 18:
        wanted |= Q(number=int(digits))
    is_own = bool(access.site_ids_of(request.user)) and not access.sees_everything(request.user)
    cases = selectors.cases_visible_to(request.user).filter(wanted)
    yield from _group(
        "Cases",
        cases,
        limit,
        lambda case: SearchHit(
            text=f"{case} {case.scanner}, {case.reconstruction}",
            url=detail_url(case),
            hint=f"{case.scanner.site} · {case.trial or 'general'} · "
            f"{(status_for_site if is_own else status_for_lab)(case).words}",
        ),
        reverse("accreditation:case-list"),
    )
    yield from _group(
        "Certificates",
        selectors.certificates_visible_to(request.user).filter(number__icontains=text),
        limit,
        lambda one: SearchHit(
            text=one.number,
            url=reverse("accreditation:certificate-detail", args=[one.number]),
            hint=f"{one.case.scanner.site} · {one.case.scanner}",
        ),
    )


def _group(title: str, rows: QuerySet[Any], limit: int, hit: Any, all_url: str = "") -> Iterator[SearchGroup]:
    found = list(rows[: limit + 1])
    if found:
        total = len(found) if len(found) <= limit else rows.count()
        yield SearchGroup(title=title, hits=[hit(one) for one in found[:limit]], total=total, all_url=all_url)


def jump(request: HttpRequest, text: str) -> str:
    """Return the address of exactly this case or certificate, if the person may see it."""
    wanted = text.strip().upper()
    if match := _NUMBER.fullmatch(wanted):
        number = int(match[1])
        seen = selectors.cases_visible_to(request.user).filter(number=number).exists()
        return reverse("accreditation:case-detail", args=[number]) if seen else ""
    if not wanted.startswith("PET-"):
        return ""
    seen = selectors.certificates_visible_to(request.user).filter(number=wanted).exists()
    return reverse("accreditation:certificate-detail", args=[wanted]) if seen else ""
