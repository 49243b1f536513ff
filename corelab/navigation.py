"""The places of the top bar: a person with several roles sees the union, in one order.

Places of packages above are named as strings. A place stands here only when its page exists.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from django.http import HttpRequest
from django.urls import reverse

from corelab import access, panels
from corelab.models import Role

LAB = frozenset(access.LAB_ROLES)
TRIAL = frozenset({Role.TRIAL_MANAGER, Role.MONITOR})
EVERYBODY = frozenset(Role)
#: Who asks, answers or follows questions to sites.
ASKED = LAB | TRIAL | {Role.SITE_USER, Role.AUDITOR}
#: Whose home is a page of its own, also when the person works in the lab.
HOME_OF_THEIR_OWN = frozenset({Role.SITE_USER}) | TRIAL
MOST_IN_BAR = 6

#: Word, URL name, beginnings of the addresses that belong to it, and the roles that see it.
PLACES: tuple[tuple[str, str, tuple[str, ...], frozenset[str]], ...] = (
    ("Home", "corelab:home-show", (), frozenset({Role.SITE_USER, Role.ADMINISTRATOR}) | TRIAL),
    ("Work", "corelab:work-list", ("/work/",), LAB),
    ("Audit", "corelab:audit-list", ("/audit/",), frozenset({Role.AUDITOR})),
    ("Send", "qc:submission-start", ("/send/",), frozenset({Role.SITE_USER})),
    ("Submissions", "qc:submission-list", ("/submissions/", "/runs/"), EVERYBODY),
    ("Accreditation", "accreditation:case-list", ("/cases/", "/certificates/"), frozenset({Role.SITE_USER})),
    ("Cases", "accreditation:case-list", ("/cases/", "/certificates/"), LAB | access.OVERSIGHT_ROLES),
    ("Queries", "qc:query-list", ("/queries/",), ASKED),
    ("Sites", "corelab:site-list", ("/sites/", "/scanners/", "/calibrators/", "/reconstructions/"), EVERYBODY),
    ("Trials", "corelab:trial-list", ("/trials/",), EVERYBODY),
    ("Protocols", "qc:protocol-list", ("/protocols/",), LAB | {Role.AUDITOR}),
    ("People", "corelab:person-list", ("/people/",), frozenset({Role.AUDITOR, Role.ADMINISTRATOR})),
    ("Audit", "corelab:audit-list", ("/audit/",), frozenset({Role.ADMINISTRATOR})),
)


@dataclass(frozen=True, kw_only=True)
class Place:
    """One link of the bar."""

    word: str
    url: str
    is_current: bool
    count: int = 0


@dataclass(frozen=True, kw_only=True)
class Navigation:
    """The bar of one person on one page."""

    places: list[Place] = field(default_factory=list)
    more: list[Place] = field(default_factory=list)
    help: Place
    roles: str = ""

    @property
    def all(self) -> list[Place]:
        """Every place, for the phone's menu."""
        return [*self.places, *self.more]


def navigation(request: HttpRequest) -> Navigation:
    """Build the bar for the person of this request."""
    roles = access.all_roles_of(request.user)
    counts: Counter[str] = Counter()
    for found in panels.ask("nav", request):
        counts.update(found)  # packages add up: the worklist holds rows of each
    places: dict[str, Place] = {}
    for word, name, beginnings, seen_by in PLACES:
        if not roles & seen_by or name in places:
            continue
        url = reverse(name)
        is_current = request.path == url or request.path.startswith(beginnings or (url + "\n",))
        places[name] = Place(word=word, url=url, is_current=is_current, count=counts[name])
    # To those who work in the lab the home is the worklist: one of the two is enough.
    if "corelab:work-list" in places and not roles & HOME_OF_THEIR_OWN:
        places.pop("corelab:home-show", None)
    listed = list(places.values())
    help_url = reverse("corelab:help-show")
    return Navigation(
        places=listed[:MOST_IN_BAR],
        more=listed[MOST_IN_BAR:],
        help=Place(word="Help", url=help_url, is_current=request.path.startswith(help_url)),
        roles=access.role_text(request.user),
    )
