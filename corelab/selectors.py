"""What a person may see. Every query of a page starts here; absent and forbidden are the same NotFound."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import Any, TypeVar
from uuid import UUID

from django.db.models import Count, Model, Prefetch, Q, QuerySet, Value, prefetch_related_objects
from django.utils import timezone

from corelab import access
from corelab.audit import CATALOGUE
from corelab.errors import NotFound
from corelab.models import (
    AuditEvent,
    AuditHead,
    Clearance,
    DoseCalibrator,
    Membership,
    ReconstructionProfile,
    Role,
    Scanner,
    Site,
    Trial,
    User,
)
from corelab.panels import SearchGroup, SearchHit

AnyModel = TypeVar("AnyModel", bound=Model)

NOTHING_HERE = "There is nothing here, or it is not yours to see."


# --- the register -----------------------------------------------------------------------


def sites_visible_to(user: User) -> QuerySet[Site]:
    """Return the sites a person sees: all for the lab, one's own, or those of one's trials."""
    if access.sees_everything(user):
        return Site.objects.all()
    return Site.objects.filter(
        Q(pk__in=access.site_ids_of(user))
        | Q(pk__in=Trial.sites.through.objects.filter(trial_id__in=access.trial_ids_of(user)).values("site_id"))
    )


def own_sites_of(user: User) -> list[Site]:
    """Return the sites for which a person sends, by name; their memberships, read once a request, hold them."""
    mine = {m.site_id: m.site for m in access.memberships_of(user) if m.site and m.role == Role.SITE_USER}
    return sorted(mine.values(), key=lambda site: site.name)


def trials_visible_to(user: User) -> QuerySet[Trial]:
    """Return the trials a person sees: all for the lab, one's own, or those that one's sites take part in."""
    if access.sees_everything(user):
        return Trial.objects.all()
    return Trial.objects.filter(
        Q(pk__in=access.trial_ids_of(user))
        | Q(pk__in=Trial.sites.through.objects.filter(site_id__in=access.site_ids_of(user)).values("trial_id"))
    )


def scanners_visible_to(user: User) -> QuerySet[Scanner]:
    """Return the scanners of the sites a person sees."""
    return Scanner.objects.filter(site__in=sites_visible_to(user)).select_related("site")


def reconstructions_visible_to(user: User) -> QuerySet[ReconstructionProfile]:
    """Return the reconstructions of the scanners a person sees."""
    return ReconstructionProfile.objects.filter(scanner__site__in=sites_visible_to(user)).select_related(
        "scanner", "scanner__site"
    )


def calibrators_visible_to(user: User) -> QuerySet[DoseCalibrator]:
    """Return the dose calibrators of the sites a person sees."""
    return DoseCalibrator.objects.filter(site__in=sites_visible_to(user)).select_related("site")


def clearances_visible_to(user: User) -> QuerySet[Clearance]:
    """Return the clearances a person sees: all for the lab, those of one's site, or of one's trials.

    A trial's people also see the general ones of the sites that take part: its scans rest on them too.
    """
    rows = Clearance.objects.select_related("scanner__site", "reconstruction", "trial")
    if access.sees_everything(user):
        return rows
    sites_of_trials = Trial.sites.through.objects.filter(trial_id__in=access.trial_ids_of(user)).values("site_id")
    return rows.filter(
        Q(scanner__site_id__in=access.site_ids_of(user))
        | Q(trial_id__in=access.trial_ids_of(user))
        | Q(trial__isnull=True, scanner__site_id__in=sites_of_trials)
    )


def clearances_for_scan(
    *,
    scanner: Scanner,
    reconstruction: ReconstructionProfile,
    tracer: str,
    standard: str,
    trial: Trial | None,
    day: date,
) -> list[Clearance]:
    """Return the clearances that hold on a scan's own day: the trial's first, then the general ones."""
    begun = Clearance.objects.filter(
        Q(trial__isnull=True) | Q(trial=trial),
        scanner=scanner,
        reconstruction=reconstruction,
        tracer=tracer,
        standard=standard,
        from_on__lte=day,
        until_on__gte=day,
    ).filter(Q(ended_on__isnull=True) | Q(ended_on__gt=day))
    return sorted(begun.order_by("from_on", "pk"), key=lambda one: one.trial_id is None)


def site_for(user: User, code: str) -> Site:
    """Return one site, or raise NotFound."""
    return _one(sites_visible_to(user).filter(code=code))


def trial_for(user: User, code: str) -> Trial:
    """Return one trial, or raise NotFound."""
    return _one(trials_visible_to(user).filter(code=code))


def scanner_for(user: User, pk: int) -> Scanner:
    """Return one scanner, or raise NotFound."""
    return _one(scanners_visible_to(user).filter(pk=pk))


def reconstruction_for(user: User, pk: int) -> ReconstructionProfile:
    """Return one reconstruction, or raise NotFound."""
    return _one(reconstructions_visible_to(user).filter(pk=pk))


def calibrator_for(user: User, pk: int) -> DoseCalibrator:
    """Return one dose calibrator, or raise NotFound."""
    return _one(calibrators_visible_to(user).filter(pk=pk))


def sites_listed_for(user: User, text: str = "") -> QuerySet[Site]:
    """Return the list of sites with the number of scanners and trials of each."""
    sites = sites_visible_to(user).annotate(
        scanner_count=Count("scanners", filter=Q(scanners__is_active=True), distinct=True),
        trial_count=Count("trials", distinct=True),
    )
    return sites.filter(Q(name__icontains=text) | Q(code__icontains=text) | Q(city__icontains=text)) if text else sites


def trials_listed_for(user: User) -> QuerySet[Trial]:
    """Return the list of trials with the number of sites of each."""
    return trials_visible_to(user).annotate(site_count=Count("sites", distinct=True))


@dataclass(frozen=True, kw_only=True)
class Choice:
    """A site or a trial as a filter offers it."""

    code: str
    name: str


def filters_for(user: User) -> tuple[list[Choice], list[Choice]]:
    """Return the sites by name and the trials by code that a list may be narrowed to; one query."""
    trials = trials_visible_to(user).order_by().values_list(Value("trial"), "code", "code")
    sites = sites_visible_to(user).order_by().values_list(Value("site"), "code", "name")
    found: dict[str, list[Choice]] = {"site": [], "trial": []}
    for kind, code, name in sites.union(trials, all=True):
        found[kind].append(Choice(code=code, name=name))
    return sorted(found["site"], key=lambda one: one.name), sorted(found["trial"], key=lambda one: one.code)


def with_sites_listed(user: User, trial: Trial) -> Trial:
    """Give a trial the list of its sites that the person sees, so that each part of its page takes it from there."""
    prefetch_related_objects([trial], Prefetch("sites", queryset=sites_listed_for(user)))
    return trial


def site_scanners(user: User, site: Site) -> QuerySet[Scanner]:
    """Return a site's scanners with their reconstructions in use."""
    in_use = ReconstructionProfile.objects.filter(is_active=True)
    return scanners_visible_to(user).filter(site=site).prefetch_related(Prefetch("reconstructions", queryset=in_use))


def scanner_counts_of(user: User, sites: Iterable[Site]) -> dict[int, int]:
    """Return how many scanners each of these sites has, for a person who sees them."""
    rows = scanners_visible_to(user).filter(site__in=[site.pk for site in sites]).order_by()
    return dict(rows.values_list("site_id").annotate(times=Count("pk")))


# --- people -----------------------------------------------------------------------------


def people_visible_to(user: User) -> QuerySet[User]:
    """Return the people: the administrator keeps them, the auditor reads them, nobody else sees a list."""
    if sees_audit(user):
        return User.objects.all()
    return User.objects.none()


def people_listed_for(user: User, *, text: str = "", role: str = "", state: str = "") -> QuerySet[User]:
    """Return the list of people with their memberships, filtered."""
    people = people_visible_to(user).order_by("name", "email")
    if text:
        people = people.filter(Q(name__icontains=text) | Q(email__icontains=text))
    if role:
        people = people.filter(pk__in=_in_force().filter(role=role).values("user_id"))
    if state == "invited":
        people = people.filter(is_active=True, last_login__isnull=True)
    elif state == "ended":
        people = people.filter(is_active=False)
    elif state != "all":
        people = people.filter(is_active=True)
    return people.prefetch_related(
        Prefetch("memberships", queryset=_in_force().select_related("site", "trial"), to_attr="memberships_in_force")
    )


def person_for(user: User, pk: UUID) -> User:
    """Return one person, or raise NotFound."""
    return _one(people_visible_to(user).filter(pk=pk))


def memberships_visible_to(user: User) -> QuerySet[Membership]:
    """Return the memberships of the people one may see."""
    return Membership.objects.filter(user__in=people_visible_to(user)).select_related(
        "user", "site", "trial", "granted_by"
    )


def membership_for(user: User, pk: int) -> Membership:
    """Return one membership, or raise NotFound."""
    return _one(memberships_visible_to(user).filter(pk=pk))


def memberships_of_person(user: User, person: User) -> list[Membership]:
    """Return all memberships of a person, those in force first."""
    today = timezone.now().date()
    rows = list(memberships_visible_to(user).filter(user=person).order_by("-from_on", "-pk"))
    for row in rows:
        row.is_over = row.until_on is not None and row.until_on < today
    return sorted(rows, key=lambda row: row.is_over)


def people_of_site(user: User, site: Site) -> QuerySet[User]:
    """Return who may send for a site, for those who may see people."""
    return (
        people_visible_to(user)
        .filter(is_active=True, pk__in=_in_force().filter(site=site, role=Role.SITE_USER).values("user_id"))
        .order_by("name")
    )


def _in_force() -> QuerySet[Membership]:
    today = timezone.now().date()
    return Membership.objects.filter(from_on__lte=today).filter(Q(until_on__isnull=True) | Q(until_on__gte=today))


@dataclass(frozen=True, kw_only=True)
class Overview:
    """What the administrator's home counts."""

    sites: int
    scanners: int
    trials: int
    people: int
    invited: list[User]
    sites_without_people: list[Site]


def overview_for(user: User) -> Overview:
    """Return the counts of the register, and what in it waits for somebody."""
    staffed = _in_force().filter(role=Role.SITE_USER, user__is_active=True).values("site_id")
    return Overview(
        sites=sites_visible_to(user).filter(is_active=True).count(),
        scanners=scanners_visible_to(user).filter(is_active=True).count(),
        trials=trials_visible_to(user).filter(is_active=True).count(),
        people=people_visible_to(user).filter(is_active=True).count(),
        invited=list(
            people_visible_to(user).filter(is_active=True, last_login__isnull=True).order_by("created_at")[:8]
        ),
        sites_without_people=list(sites_visible_to(user).filter(is_active=True).exclude(pk__in=staffed)[:8]),
    )


# --- audit ------------------------------------------------------------------------------


def audit_visible_to(user: User) -> QuerySet[AuditEvent]:
    """Return the audit log for the auditor and the administrator; nothing for others."""
    if sees_audit(user):
        return AuditEvent.objects.order_by("-sequence")
    return AuditEvent.objects.none()


def sees_audit(user: User) -> bool:
    """Say whether a person reads the audit log and the list of people."""
    return bool(access.lab_roles_of(user) & access.OVERSIGHT_ROLES)


@dataclass(frozen=True, kw_only=True)
class AuditFilter:
    """What an auditor asks for; empty means any."""

    who: str = ""
    action: str = ""
    label: str = ""
    object_type: str = ""
    object_id: str = ""
    from_on: date | None = None
    to_on: date | None = None
    reason: str = ""

    def apply(self, events: QuerySet[AuditEvent]) -> QuerySet[AuditEvent]:
        """Narrow a query to what is asked for; days are days in UTC, both included."""
        zone = timezone.get_default_timezone()
        if self.who:
            events = events.filter(actor_name__icontains=self.who)
        if self.action:
            events = events.filter(action=self.action)
        if self.label:
            events = events.filter(object_label__icontains=self.label)
        if self.object_type:
            events = events.filter(object_type=self.object_type)
        if self.object_id:
            events = events.filter(object_id=self.object_id)
        if self.from_on:
            events = events.filter(at__gte=datetime.combine(self.from_on, time.min, zone))
        if self.to_on:
            events = events.filter(at__lt=datetime.combine(self.to_on + timedelta(days=1), time.min, zone))
        if self.reason:
            events = events.filter(reason__icontains=self.reason)
        return events


def audit_head() -> AuditHead:
    """Return where the chain ends."""
    return AuditHead.objects.get(pk=1)


def audit_last_verification(user: User) -> AuditEvent | None:
    """Return the record of the last walk along the chain."""
    return audit_visible_to(user).filter(action="audit.verify").first()


def audit_zones(events: list[AuditEvent]) -> dict[int, Site]:
    """Return the sites that events of one page belong to, for the local time beside UTC."""
    wanted = {event.site_id for event in events if event.site_id is not None}
    return {site.pk: site for site in Site.objects.filter(pk__in=wanted)} if wanted else {}


def audit_actions() -> Mapping[str, str]:
    """Return every action with the sentence that explains it."""
    return dict(sorted(CATALOGUE.items()))


# --- search -----------------------------------------------------------------------------


def search_register(user: User, text: str, limit: int, url_of: Mapping[str, Callable[[Any], str]]) -> list[SearchGroup]:
    """Find sites, scanners, trials and people by a part of their names and numbers.

    ``url_of`` holds, by the kind of thing, a function from the thing to its address.
    """
    groups = [
        _group(
            "Sites",
            sites_visible_to(user).filter(Q(name__icontains=text) | Q(code__icontains=text) | Q(city__icontains=text)),
            limit,
            lambda site: SearchHit(text=site.name, url=url_of["site"](site), hint=site.city),
        ),
        _group(
            "Scanners",
            scanners_visible_to(user).filter(
                Q(serial__icontains=text)
                | Q(model__icontains=text)
                | Q(manufacturer__icontains=text)
                | Q(site__name__icontains=text)
            ),
            limit,
            lambda scanner: SearchHit(text=str(scanner), url=url_of["scanner"](scanner), hint=scanner.site.name),
        ),
        _group(
            "Trials",
            trials_visible_to(user).filter(Q(code__icontains=text) | Q(title__icontains=text)),
            limit,
            lambda trial: SearchHit(text=trial.code, url=url_of["trial"](trial), hint=trial.title),
        ),
        _group(
            "People",
            people_visible_to(user).filter(Q(name__icontains=text) | Q(email__icontains=text)).order_by("name"),
            limit,
            lambda person: SearchHit(text=person.name, url=url_of["person"](person), hint=person.email),
        ),
    ]
    return [group for group in groups if group.total]


def _group(title: str, things: QuerySet[Any], limit: int, hit: Callable[[Any], SearchHit]) -> SearchGroup:
    found = list(things[: limit + 1])
    total = len(found) if len(found) <= limit else things.count()
    return SearchGroup(title=title, hits=[hit(thing) for thing in found[:limit]], total=total)


def scanner_with_serial(user: User, text: str) -> Scanner | None:
    """Return the one scanner with exactly this serial number."""
    found = list(scanners_visible_to(user).filter(serial__iexact=text)[:2])
    return found[0] if len(found) == 1 else None


def spelling_for(user: User, text: str) -> str:
    """Return a name the person may see that looks like what was typed, or an empty string."""
    names = {name.lower(): name for name in sites_visible_to(user).values_list("name", flat=True)[:500]}
    for name in list(names.values()):
        names.update({word.lower(): word for word in name.split() if len(word) > 3})
    names.update({code.lower(): code for code in trials_visible_to(user).values_list("code", flat=True)[:500]})
    close = difflib.get_close_matches(text.lower(), names, n=1, cutoff=0.7)
    return names[close[0]] if close else ""


def _one(rows: QuerySet[AnyModel]) -> AnyModel:
    row = rows.first()
    if row is None:
        raise NotFound(NOTHING_HERE)
    return row
