"""The register: sites with scanners, reconstructions and dose calibrators; trials with their sites."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.http import require_http_methods, require_safe

from corelab import access, panels, selectors, services
from corelab.errors import NotAllowed, NotFound, Refused, StaleState
from corelab.forms import CalibratorForm, ReconstructionForm, RegisterForm, ScannerForm, SiteForm, TrialForm
from corelab.models import User

Crumbs = list[tuple[str, str]]
get_or_post = require_http_methods(["GET", "HEAD", "POST"])


def require_administrator(user: User) -> None:
    """Hide the forms of the register and of people from everybody else."""
    if not access.is_administrator(user):
        raise NotFound(selectors.NOTHING_HERE)


def edit_page(
    request: HttpRequest,
    *,
    form_of: Callable[..., RegisterForm],
    save: Callable[[dict[str, Any]], Any],
    done: Callable[[Any], str],
    title: str,
    crumbs: Crumbs,
    verb: str,
    cancel: str,
    instance: Any = None,
    **extra: Any,
) -> HttpResponse:
    """Show one form of the register and hand what was typed to its service.

    A form that comes back keeps every value; when someone else was faster it is shown again beside the reason,
    and saving once more is then a decision made in knowledge of it.
    """
    require_administrator(request.user)
    status = 200
    form = form_of(request.POST or None, instance=instance)
    if request.method == "POST" and form.is_valid():
        try:
            return redirect(done(save(form.values())))
        except (StaleState, Refused) as error:
            if isinstance(error, NotAllowed | NotFound):
                raise
            form.add_error(None, error.message)
            status = 409 if isinstance(error, StaleState) else 422
            if isinstance(error, StaleState):
                instance.refresh_from_db()
                form.data = form.data.copy()
                form.data["seen"] = services.seen_of(instance)
    return render(
        request,
        "corelab/register_form.html",
        {"form": form, "title": title, "crumbs": crumbs, "verb": verb, "cancel": cancel, **extra},
        status=status,
    )


def _site_crumbs(site: Any = None) -> Crumbs:
    crumbs = [("Sites", reverse("corelab:site-list"))]
    return [*crumbs, (site.name, reverse("corelab:site-detail", args=[site.code]))] if site else crumbs


def _scanner_crumbs(scanner: Any) -> Crumbs:
    return [*_site_crumbs(scanner.site), (str(scanner), reverse("corelab:scanner-detail", args=[scanner.pk]))]


def _to_site(row: Any) -> str:
    site = getattr(row, "site", row)
    return reverse("corelab:site-detail", args=[site.code])


# --- sites ------------------------------------------------------------------------------


@require_safe
def site_list(request: HttpRequest) -> HttpResponse:
    """List the sites one may see."""
    text = request.GET.get("q", "").strip()[:80]
    sites = selectors.sites_listed_for(request.user, text)
    return render(
        request,
        "corelab/site_list.html",
        {"sites": sites, "text": text, "may_edit": access.is_administrator(request.user)},
    )


@require_safe
def site_detail(request: HttpRequest, code: str) -> HttpResponse:
    """Show a site: its scanners and what they reconstruct, its calibrators, its trials."""
    site = selectors.site_for(request.user, code)
    return render(
        request,
        "corelab/site_detail.html",
        {
            "site": site,
            "crumbs": _site_crumbs(),
            "scanners": selectors.site_scanners(request.user, site),
            "calibrators": selectors.calibrators_visible_to(request.user).filter(site=site),
            "trials": selectors.trials_visible_to(request.user).filter(sites=site),
            "people": selectors.people_of_site(request.user, site),
            "panels": panels.panels("site", request, site),
            "may_edit": access.is_administrator(request.user),
            "may_audit": selectors.sees_audit(request.user),
        },
    )


@get_or_post
def site_add(request: HttpRequest) -> HttpResponse:
    """Add a site."""
    return edit_page(
        request,
        form_of=SiteForm,
        save=lambda values: services.site_add(actor=request.user, **values),
        done=_to_site,
        title="Add a site",
        crumbs=_site_crumbs(),
        verb="Add site",
        cancel=reverse("corelab:site-list"),
        zones=SiteForm.zones(),
    )


@get_or_post
def site_edit(request: HttpRequest, code: str) -> HttpResponse:
    """Change a site."""
    site = selectors.site_for(request.user, code)
    return edit_page(
        request,
        form_of=SiteForm,
        save=lambda values: services.site_edit(
            actor=request.user, site=selectors.site_for(request.user, code), **values
        ),
        done=_to_site,
        title=f"Change {site.name}",
        crumbs=_site_crumbs(site),
        verb="Save",
        cancel=_to_site(site),
        instance=site,
        zones=SiteForm.zones(),
    )


# --- scanners and reconstructions -------------------------------------------------------


@require_safe
def scanner_detail(request: HttpRequest, pk: int) -> HttpResponse:
    """Show a scanner and its reconstructions, and what packages above have to say about it."""
    scanner = selectors.scanner_for(request.user, pk)
    found = panels.panels("scanner", request, scanner)
    return render(
        request,
        "corelab/scanner_detail.html",
        {
            "scanner": scanner,
            "crumbs": _site_crumbs(scanner.site),
            "reconstructions": selectors.reconstructions_visible_to(request.user).filter(scanner=scanner),
            # What it may be used for comes before how it reconstructs.
            "first_panels": [panel for panel in found if panel.order < panels.AFTER_THE_REGISTER],
            "panels": [panel for panel in found if panel.order >= panels.AFTER_THE_REGISTER],
            "may_edit": access.is_administrator(request.user),
            "may_audit": selectors.sees_audit(request.user),
        },
    )


def _to_scanner(row: Any) -> str:
    scanner = getattr(row, "scanner", row)
    return reverse("corelab:scanner-detail", args=[scanner.pk])


@get_or_post
def scanner_add(request: HttpRequest, code: str) -> HttpResponse:
    """Add a scanner to a site."""
    site = selectors.site_for(request.user, code)
    return edit_page(
        request,
        form_of=ScannerForm,
        save=lambda values: services.scanner_add(actor=request.user, site=site, **values),
        done=_to_scanner,
        title=f"Add a scanner to {site.name}",
        crumbs=_site_crumbs(site),
        verb="Add scanner",
        cancel=_to_site(site),
    )


@get_or_post
def scanner_edit(request: HttpRequest, pk: int) -> HttpResponse:
    """Change a scanner."""
    scanner = selectors.scanner_for(request.user, pk)
    return edit_page(
        request,
        form_of=ScannerForm,
        save=lambda values: services.scanner_edit(
            actor=request.user, scanner=selectors.scanner_for(request.user, pk), **values
        ),
        done=_to_scanner,
        title=f"Change {scanner}",
        crumbs=_scanner_crumbs(scanner),
        verb="Save",
        cancel=_to_scanner(scanner),
        instance=scanner,
    )


@get_or_post
def reconstruction_add(request: HttpRequest, pk: int) -> HttpResponse:
    """Add a reconstruction to a scanner."""
    scanner = selectors.scanner_for(request.user, pk)
    return edit_page(
        request,
        form_of=ReconstructionForm,
        save=lambda values: services.reconstruction_add(actor=request.user, scanner=scanner, **values),
        done=_to_scanner,
        title=f"Add a reconstruction to {scanner}",
        crumbs=_scanner_crumbs(scanner),
        verb="Add reconstruction",
        cancel=_to_scanner(scanner),
    )


@get_or_post
def reconstruction_edit(request: HttpRequest, pk: int) -> HttpResponse:
    """Change a reconstruction."""
    row = selectors.reconstruction_for(request.user, pk)
    return edit_page(
        request,
        form_of=ReconstructionForm,
        save=lambda values: services.reconstruction_edit(
            actor=request.user, reconstruction=selectors.reconstruction_for(request.user, pk), **values
        ),
        done=_to_scanner,
        title=f"Change {row}",
        crumbs=_scanner_crumbs(row.scanner),
        verb="Save",
        cancel=_to_scanner(row),
        instance=row,
    )


# --- dose calibrators -------------------------------------------------------------------


@get_or_post
def calibrator_add(request: HttpRequest, code: str) -> HttpResponse:
    """Add a dose calibrator to a site."""
    site = selectors.site_for(request.user, code)
    return edit_page(
        request,
        form_of=CalibratorForm,
        save=lambda values: services.calibrator_add(actor=request.user, site=site, **values),
        done=_to_site,
        title=f"Add a dose calibrator to {site.name}",
        crumbs=_site_crumbs(site),
        verb="Add dose calibrator",
        cancel=_to_site(site),
    )


@get_or_post
def calibrator_edit(request: HttpRequest, pk: int) -> HttpResponse:
    """Change a dose calibrator."""
    row = selectors.calibrator_for(request.user, pk)
    return edit_page(
        request,
        form_of=CalibratorForm,
        save=lambda values: services.calibrator_edit(
            actor=request.user, calibrator=selectors.calibrator_for(request.user, pk), **values
        ),
        done=_to_site,
        title=f"Change {row}",
        crumbs=_site_crumbs(row.site),
        verb="Save",
        cancel=_to_site(row),
        instance=row,
    )


# --- trials -----------------------------------------------------------------------------


def _trial_crumbs(trial: Any = None) -> Crumbs:
    crumbs = [("Trials", reverse("corelab:trial-list"))]
    return [*crumbs, (trial.code, _to_trial(trial))] if trial else crumbs


def _to_trial(trial: Any) -> str:
    return reverse("corelab:trial-detail", args=[trial.code])


def _trial_form(request: HttpRequest) -> Callable[..., TrialForm]:
    sites = selectors.sites_visible_to(request.user)
    return lambda *args, **kwargs: TrialForm(*args, sites=sites, **kwargs)


@require_safe
def trial_list(request: HttpRequest) -> HttpResponse:
    """List the trials one may see."""
    trials = selectors.trials_listed_for(request.user)
    return render(
        request, "corelab/trial_list.html", {"trials": trials, "may_edit": access.is_administrator(request.user)}
    )


@require_safe
def trial_detail(request: HttpRequest, code: str) -> HttpResponse:
    """Show a trial: its sites, and what packages above have to say about it."""
    return trial_page(request, selectors.trial_for(request.user, code))


def trial_page(request: HttpRequest, trial: Any) -> HttpResponse:
    """Show one trial that the person sees."""
    trial = selectors.with_sites_listed(request.user, trial)
    return render(
        request,
        "corelab/trial_detail.html",
        {
            "trial": trial,
            "crumbs": _trial_crumbs(),
            "sites": trial.sites.all(),
            "panels": panels.panels("trial", request, trial),
            "may_edit": access.is_administrator(request.user),
            "may_audit": selectors.sees_audit(request.user),
        },
    )


@get_or_post
def trial_add(request: HttpRequest) -> HttpResponse:
    """Add a trial."""
    return edit_page(
        request,
        form_of=_trial_form(request),
        save=lambda values: services.trial_add(actor=request.user, **values),
        done=_to_trial,
        title="Add a trial",
        crumbs=_trial_crumbs(),
        verb="Add trial",
        cancel=reverse("corelab:trial-list"),
    )


@get_or_post
def trial_edit(request: HttpRequest, code: str) -> HttpResponse:
    """Change a trial and the sites that take part."""
    trial = selectors.trial_for(request.user, code)
    return edit_page(
        request,
        form_of=_trial_form(request),
        save=lambda values: services.trial_edit(
            actor=request.user, trial=selectors.trial_for(request.user, code), **values
        ),
        done=_to_trial,
        title=f"Change {trial.code}",
        crumbs=_trial_crumbs(trial),
        verb="Save",
        cancel=_to_trial(trial),
        instance=trial,
    )
