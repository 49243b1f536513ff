"""Where pages of this app are filled by packages above it: they register, nothing here imports them.

A provider is registered for a place in its app's ``ready()``. What it may show is its own matter: it starts from
its own ``…_visible_to(request.user)`` selectors, and is asked only for a person who is signed in.

=============  ==========================================================  ======================================
place          the provider is called with                                 and returns
=============  ==========================================================  ======================================
``tasks``      ``(request)``                                               iterable of `Task`, the site's home
``sent``       ``(request)``                                               iterable of `Sent`, newest first, ≤ 8
``home``       ``(request)``                                               iterable of `Panel`: a site's home
``work``       ``(request, query: WorkQuery)``                             `WorkPage`
``nav``        ``(request)``                                               mapping of place in the bar to count
``search``     ``(request, text, limit)``                                  iterable of `SearchGroup`
``jump``       ``(request, text)``                                         address of the one thing with this
                                                                           number that the person sees, or ``""``
``site``       ``(request, site)``                                         iterable of `Panel`
``scanner``    ``(request, scanner)``                                      iterable of `Panel`
``trial``      ``(request, trial)``                                        iterable of `Panel`
``trials``     ``(request)``                                               iterable of `Panel`: home of a trial
                                                                           manager
``account``    ``(request)``                                               iterable of `Panel`
=============  ==========================================================  ======================================
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any

PLACES = frozenset(
    {"tasks", "sent", "home", "work", "nav", "search", "jump", "site", "scanner", "trial", "trials", "account"}
)

#: The views of the worklist, in the order of their tabs.
WORK_VIEWS: Mapping[str, str] = {
    "needs-me": "Needs me",
    "breaching-today": "Breaching today",
    "waiting-for-sites": "Waiting for sites",
    "running": "Running",
    "our-errors": "Our errors",
    "open": "All open",
    "released": "Released",
}


@dataclass(frozen=True, kw_only=True)
class Task:
    """One thing a site has to do: the whole row is the link.

    Attributes
    ----------
    text : str
        Verb first: "Finish S-1004".
    state : str
        A workflow state that `corelab.templatetags.ui` knows, such as ``needs-you``.
    due_on : date, optional
        Shown in place of the state.
    """

    text: str
    url: str = ""
    hint: str = ""
    state: str = "not-started"
    due_on: date | None = None


@dataclass(frozen=True, kw_only=True)
class Sent:
    """One line of "Sent lately"."""

    number: str
    url: str
    what: str
    sent_at: datetime | None = None
    zone: str = "UTC"
    verdict: str = ""
    is_proposed: bool = False
    state: str = "in-progress"
    state_text: str = ""


@dataclass(frozen=True, kw_only=True)
class WorkQuery:
    """What the worklist asks for.

    Attributes
    ----------
    view : str
        A key of `WORK_VIEWS`.
    site, trial, kind, verdict : str
        Filters; empty means any. ``site`` and ``trial`` are short codes.
    limit : int
        At most so many rows from the beginning of the order *due (none last), number*; lists of several
        providers are merged, so each starts at its first row.
    """

    view: str
    site: str = ""
    trial: str = ""
    kind: str = ""
    verdict: str = ""
    limit: int = 51


@dataclass(frozen=True, kw_only=True)
class WorkRow:
    """One line of the worklist."""

    number: str
    url: str
    what: str
    site: str
    due_on: date | None = None
    trial: str = ""
    verdict: str = ""
    is_proposed: bool = True
    headline: str = ""
    next_step: str = ""
    state: str = "waiting-lab"
    with_whom: str = ""
    waits_since: datetime | None = None

    @property
    def order(self) -> tuple[date, int, str]:
        """What the list is sorted by: the item that breaches next comes first; S-9999 before S-10000."""
        return (self.due_on or date.max, len(self.number), self.number)


@dataclass(frozen=True, kw_only=True)
class WorkPage:
    """The first rows of one view, how many each view has under the same filters, and how the time stands for this one.

    ``oldest_at`` is since when the oldest row waits.
    """

    rows: list[WorkRow]
    counts: Mapping[str, int]
    kinds: Mapping[str, str] = field(default_factory=dict)
    overdue: int = 0
    due_today: int = 0
    oldest_at: datetime | None = None


@dataclass(frozen=True, kw_only=True)
class SearchHit:
    """One thing that was found."""

    text: str
    url: str
    hint: str = ""
    verdict: str = ""
    is_proposed: bool = False


@dataclass(frozen=True, kw_only=True)
class SearchGroup:
    """What was found of one kind; ``total`` counts also what is not listed."""

    title: str
    hits: list[SearchHit]
    total: int
    all_url: str = ""


#: On a scanner's page panels with a smaller order stand before what the register says.
AFTER_THE_REGISTER = 30


@dataclass(frozen=True, kw_only=True)
class Panel:
    """A part of a page: a template with its context; the template brings its own ``<section class="panel">``."""

    template: str
    context: Mapping[str, Any]
    order: int = 50


_providers: dict[str, list[Callable[..., Any]]] = {}


def register(place: str, provider: Callable[..., Any]) -> None:
    """Fill a place; the same provider registered twice counts once."""
    if place not in PLACES:
        msg = f"no page has a place named {place}"
        raise ValueError(msg)
    kept = _providers.setdefault(place, [])
    if provider not in kept:
        kept.append(provider)


def ask(place: str, *args: Any) -> Iterator[Any]:
    """Yield what each provider of a place returns."""
    for provider in _providers.get(place, []):
        yield provider(*args)


def panels(place: str, *args: Any) -> list[Panel]:
    """Return the panels of a place in their order."""
    return sorted((panel for found in ask(place, *args) for panel in found), key=lambda panel: panel.order)


def work(request: Any, query: WorkQuery) -> WorkPage:
    """Merge the worklists of all providers into one."""
    pages: list[WorkPage] = list(ask("work", request, query))
    counts = {view: sum(page.counts.get(view, 0) for page in pages) for view in WORK_VIEWS}
    rows = sorted((row for page in pages for row in page.rows), key=lambda row: row.order)
    kinds = {key: word for page in pages for key, word in page.kinds.items()}
    return WorkPage(
        rows=rows[: query.limit],
        counts=counts,
        kinds=kinds,
        overdue=sum(page.overdue for page in pages),
        due_today=sum(page.due_today for page in pages),
        oldest_at=min((page.oldest_at for page in pages if page.oldest_at), default=None),
    )
