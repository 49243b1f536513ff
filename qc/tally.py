"""A trial's scans counted: by scanner, by verdict, by cause, by uptake. Pure; pages and the report count with it alike.

Only what a physicist signed has a verdict here; what was received and is not signed yet is only counted.

=============  =====================================================================================================
conformant     signed *Pass*
evaluable      signed *Pass* or *Warning*: it may be used
deviating      signed *Warning* or *Fail*
unchecked      signed *Could not check*
=============  =====================================================================================================
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from phantoms.results import Outcome
from qc.deviations import BY_EYE
from qc.histogram import bin_of

Place = TypeVar("Place", bound=Hashable)


@dataclass
class Count:
    """Some scans by what became of them."""

    waiting: int = 0
    verdicts: Counter[str] = field(default_factory=Counter)

    def add(self, verdict: str, times: int = 1) -> None:
        """Count scans with this signed verdict; without one they wait for it."""
        if verdict:
            self.verdicts[verdict] += times
        else:
            self.waiting += times

    @property
    def signed(self) -> int:
        """Scans that a physicist judged."""
        return self.verdicts.total()

    @property
    def received(self) -> int:
        """Scans that arrived, signed or not."""
        return self.signed + self.waiting

    @property
    def conformant(self) -> int:
        """Scans signed Pass."""
        return self.verdicts[Outcome.PASS]

    @property
    def evaluable(self) -> int:
        """Scans signed Pass or Warning."""
        return self.conformant + self.verdicts[Outcome.WARN]

    @property
    def deviating(self) -> int:
        """Scans signed Warning or Fail."""
        return self.verdicts[Outcome.WARN] + self.verdicts[Outcome.FAIL]

    @property
    def unchecked(self) -> int:
        """Scans signed Could not check."""
        return self.signed - self.conformant - self.deviating

    def share_pct(self, part: int) -> float | None:
        """Return a part of the signed scans in per cent; None where none is signed."""
        return 100 * part / self.signed if self.signed else None


@dataclass
class Cause(Generic[Place]):
    """One rule that scans deviate by: how often with which outcome, and where."""

    rule: str
    outcomes: Counter[str] = field(default_factory=Counter)
    places: Counter[Place] = field(default_factory=Counter)

    @property
    def scans(self) -> int:
        """Scans in which the rule raised something."""
        return self.outcomes.total()


@dataclass
class Tally(Generic[Place]):
    """What is counted of a trial; ``Place`` is what scans are told apart by, a scanner or its key."""

    whole: Count = field(default_factory=Count)
    places: dict[Place, Count] = field(default_factory=dict)
    standards: Counter[str] = field(default_factory=Counter)
    uptake_bins: Counter[int] = field(default_factory=Counter)
    _causes: dict[str, Cause[Place]] = field(default_factory=dict)

    def add(self, place: Place, standard: str, verdict: str, times: int = 1) -> None:
        """Count scans of one place and standard that have one verdict, or none yet."""
        self.whole.add(verdict, times)
        self.places.setdefault(place, Count()).add(verdict, times)
        if verdict:
            self.standards[standard] += times

    def add_causes(self, place: Place, verdict: str, raised: Mapping[str, str]) -> None:
        """Count why one signed scan is not conformant; one that a physicist let pass deviates by nothing."""
        if verdict in {"", Outcome.PASS}:
            return
        for rule, outcome in (raised or {BY_EYE: verdict}).items():
            cause = self._causes.setdefault(rule, Cause(rule))
            cause.outcomes[outcome] += 1
            cause.places[place] += 1

    def add_uptake(self, uptake_min: float | None) -> None:
        """Count one signed scan's uptake; what is not known has no bar."""
        if uptake_min is not None:
            self.uptake_bins[bin_of(uptake_min)] += 1

    @property
    def causes(self) -> list[Cause[Place]]:
        """The causes, the most frequent first."""
        return sorted(self._causes.values(), key=lambda one: (-one.scans, one.rule))

    @property
    def are_standards_mixed(self) -> bool:
        """Whether signed scans were made under more than one standard, so that their SUVs must not be pooled."""
        return len(self.standards) > 1
