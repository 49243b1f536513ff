"""Home, by role: each role's first question answered in the first screenful."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_safe

from corelab import access, panels, selectors
from corelab.models import Role, Site, User
from corelab.panels import Sent, Task
from corelab.views.register import trial_page


@require_safe
def home_show(request: HttpRequest) -> HttpResponse:
    """Lead to the page that answers this person's first question."""
    roles = access.all_roles_of(request.user)
    if Role.SITE_USER in roles:
        return _site_home(request)
    if roles & {Role.TRIAL_MANAGER, Role.MONITOR}:
        return _trial_home(request)
    if roles & access.LAB_ROLES:
        return redirect("corelab:work-list")
    if Role.AUDITOR in roles:
        return redirect("corelab:audit-list")
    if Role.ADMINISTRATOR in roles:
        return render(request, "corelab/home_overview.html", {"overview": selectors.overview_for(request.user)})
    return render(request, "corelab/home_nobody.html")


def _site_home(request: HttpRequest) -> HttpResponse:
    sites = selectors.own_sites_of(request.user)
    tasks: list[Task] = [task for found in panels.ask("tasks", request) for task in found]
    today = timezone.now().date()
    days = [task.due_on for task in tasks if task.due_on]
    # What has passed its day comes first; else the order is that of who asks.
    tasks.sort(key=lambda task: task.due_on is None or task.due_on >= today)
    sent: list[Sent] = [line for found in panels.ask("sent", request) for line in found]
    welcome = [] if sent else _welcome(request.user, sites)
    return render(
        request,
        "corelab/home_site.html",
        {
            "sites": sites,
            "tasks": tasks,
            "overdue": sum(day < today for day in days),
            "next_due_on": min((day for day in days if day >= today), default=None),
            "welcome": welcome,
            "sent": sent,
            "send_url": reverse("qc:submission-start"),
            "home_panels": panels.panels("home", request),
            "trial_panels": panels.panels("trials", request) if access.trial_ids_of(request.user) else [],
        },
    )


def _welcome(user: User, sites: list[Site]) -> list[Task]:
    """Return the first steps of a site that has sent nothing yet."""
    steps: list[Task] = []
    scanners = selectors.scanner_counts_of(user, sites)
    for site in sites:
        count = scanners.get(site.pk, 0)
        steps.append(
            Task(
                text=f"Confirm the scanners of {site.name}",
                url=reverse("corelab:site-detail", args=[site.code]),
                hint=f"{count} in the register. If one is missing or wrong, tell the core lab."
                if count
                else "None is in the register yet. Ask the core lab to add them: nothing can be sent before.",
                state="not-started" if count else "waiting-lab",
            )
        )
    send_url = reverse("qc:submission-start")
    steps.append(
        Task(
            text="Try it out with a dry run",
            url=f"{send_url}?dry_run=1",
            hint="The same checks and the same measurement; it counts for nothing and is deleted after 30 days.",
        )
    )
    steps.append(Task(text="Send your first phantom", url=send_url, hint="A uniform cylinder or a NEMA IQ phantom."))
    steps.append(
        Task(
            text="Read how a scan is sent",
            url=reverse("corelab:help-topic", args=["sending"]),
            hint="What to export, what to write down at the bench, what happens next.",
        )
    )
    return steps


def _trial_home(request: HttpRequest) -> HttpResponse:
    trials = list(selectors.trials_listed_for(request.user))
    if len(trials) == 1:
        return trial_page(request, trials[0])
    return render(
        request,
        "corelab/home_trials.html",
        {"trials": trials, "trial_panels": panels.panels("trials", request)},
    )
