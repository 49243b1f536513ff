"""May each scanner scan? Rows of scanner × reconstruction, trial by trial, in a fixed number of questions."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from django.db.models import F, Q, Window, prefetch_related_objects
from django.db.models.functions import RowNumber
from django.utils import timezone

from accreditation import selectors
from accreditation.models import Case
from accreditation.status import ClearanceState, clearance_state, status_for_site
from accreditation.workflow import CLOSED, STANDING
from corelab import selectors as registry
from corelab.models import Clearance, ReconstructionProfile, Scanner, Trial, User
from phantoms import standards
from qc.models import Submission
from qc.models.submissions import Kind
from qc.states import SubmissionState

PHANTOMS = (Kind.CYLINDER, Kind.NEMA_IQ)


@dataclass(frozen=True, kw_only=True)
class ScanRow:
    """Whether one scanner may scan in one way for one trial.

    Attributes
    ----------
    reconstruction : ReconstructionProfile, optional
        None where the scanner has neither clearance nor case for this trial.
    clearance : ClearanceState
        On today's date of the site's calendar.
    certificate_number : str
        Of the clearance that is shown.
    trial : Trial, optional
        For which it is asked; None asks in general.
    case : Case, optional
        The open one for this scope.
    case_words : str
        Where that stands, if it is still on its way.
    phantom : Submission, optional
        The newest phantom of this reconstruction whose review is signed; only where it was asked for.
    """

    scanner: Scanner
    clearance: ClearanceState
    reconstruction: ReconstructionProfile | None = None
    tracer: str = ""
    standard: str = ""
    certificate_number: str = ""
    trial: Trial | None = None
    case: Any = None
    case_words: str = ""
    phantom: Submission | None = None


def matrices_for(user: User, trials: Sequence[Trial]) -> list[tuple[Trial, list[ScanRow]]]:
    """Return for each trial every scanner of its sites, with its clearances and its newest signed phantom."""
    taking_part = _sites_of(trials)
    sites = {site for found in taking_part.values() for site in found}
    scanners = list(registry.scanners_visible_to(user).filter(site__in=sites, is_active=True))
    known = _Known.of(user, scanners, trials=trials)
    return [(trial, known.matrix(scanners, trial, taking_part[trial.pk])) for trial in trials]


def matrix_for(user: User, trial: Trial) -> list[ScanRow]:
    """Return every scanner of one trial's sites, with its clearances and its newest signed phantom."""
    return matrices_for(user, [trial])[0][1]


def scans_for(
    user: User, scanners: Iterable[Scanner], *, cases: Iterable[Case] | None = None
) -> list[tuple[Trial | None, list[ScanRow]]]:
    """Return, trial by trial, whether these scanners may scan for it; without a trial, whether they may in general.

    Parameters
    ----------
    cases : iterable of Case, optional
        Those of these scanners that the person sees and that are not closed, where the caller has read them already.
    """
    listed = list(scanners)
    known = _Known.of(user, listed, cases=cases)
    pairs = Trial.sites.through.objects.filter(
        site_id__in={scanner.site_id for scanner in listed},
        trial__in=registry.trials_visible_to(user).filter(is_active=True),
    )
    trials: dict[int, Trial] = {}
    taking_part: dict[int, set[int]] = defaultdict(set)
    for pair in pairs.select_related("trial").order_by("trial__code"):
        trials[pair.trial_id] = pair.trial
        taking_part[pair.trial_id].add(pair.site_id)
    groups: list[tuple[Trial | None, list[ScanRow]]] = [
        (trial, known.matrix(listed, trial, taking_part[key])) for key, trial in trials.items()
    ]
    in_trials = {row.scanner.pk for _, rows in groups for row in rows}
    general = [row for scanner in listed if scanner.pk not in in_trials for row in known.rows(scanner, None)]
    return [*groups, (None, general)] if general else groups


def _sites_of(trials: Sequence[Trial]) -> dict[int, set[int]]:
    """Return the sites of each trial; where its page has read them already, those."""
    prefetch_related_objects(list(trials), "sites")
    return {trial.pk: {site.pk for site in trial.sites.all()} for trial in trials}


@dataclass(frozen=True, kw_only=True)
class _Known:
    """What was read of some scanners, all at once."""

    reconstructions: dict[int, list[ReconstructionProfile]]
    clearances: dict[_Scope, list[Clearance]]
    cases: dict[_Scope, Any]
    phantoms: dict[tuple[int, int | None], Submission]

    @classmethod
    def of(
        cls,
        user: User,
        scanners: Sequence[Scanner],
        *,
        cases: Iterable[Case] | None = None,
        trials: Sequence[Trial] | None = None,
    ) -> _Known:
        """Read it in two questions, one where the cases are known already, and one more for the phantoms of trials.

        A reconstruction without clearance and case has no row, so those that have one tell all there are.
        """
        ids = {scanner.pk for scanner in scanners}
        given = list(registry.clearances_visible_to(user).filter(scanner__in=ids).order_by("from_on", "pk"))
        if cases is None:
            cases = selectors.cases_visible_to(user).filter(scanner__in=ids).exclude(state__in=CLOSED)
        asked = [case for case in cases if case.scanner_id in ids]
        clearances: dict[_Scope, list[Clearance]] = defaultdict(list)
        for clearance in given:
            clearances[_scope_of(clearance)].append(clearance)
        profiles = {one.reconstruction_id: one.reconstruction for one in (*asked, *given)}
        reconstructions: dict[int, list[ReconstructionProfile]] = defaultdict(list)
        for profile in sorted(profiles.values(), key=lambda one: one.name):
            reconstructions[profile.scanner_id].append(profile)
        return cls(
            reconstructions=reconstructions,
            clearances=clearances,
            cases={_scope_of(case): case for case in asked},
            phantoms=_newest_phantoms(profiles, trials) if trials is not None else {},
        )

    def matrix(self, scanners: Sequence[Scanner], trial: Trial, sites: set[int]) -> list[ScanRow]:
        """Return the rows of a trial: those of the scanners whose sites take part."""
        return [row for scanner in scanners if scanner.site_id in sites for row in self.rows(scanner, trial)]

    def rows(self, scanner: Scanner, trial: Trial | None) -> list[ScanRow]:
        """Return the rows of one scanner: each way that has a clearance or a case, or that there is none yet."""
        today = timezone.now().astimezone(scanner.site.zone).date()
        rows = []
        for profile in self.reconstructions.get(scanner.pk, []):
            ways = {scope[1:3] for scope in (*self.clearances, *self.cases) if scope[0] == profile.pk}
            for tracer, standard in sorted(ways):
                row = self._row(scanner, profile, tracer, standard, trial, today)
                if row is not None and (profile.is_active or row.clearance.may_scan):
                    rows.append(row)
        return rows or [ScanRow(scanner=scanner, trial=trial, clearance=clearance_state(None, today))]

    def _row(
        self,
        scanner: Scanner,
        profile: ReconstructionProfile,
        tracer: str,
        standard: str,
        trial: Trial | None,
        today: date,
    ) -> ScanRow | None:
        own: _Scope = (profile.pk, tracer, standard, trial.pk if trial else None)
        general: _Scope = (profile.pk, tracer, standard, None)
        # The trial's own clearance comes first; a general one holds for every trial.
        given = [one for scope in dict.fromkeys((own, general)) for one in reversed(self.clearances.get(scope, []))]
        case = self.cases.get(own) or self.cases.get(general)
        if not given and case is None:
            return None
        shown = next((one for one in given if one.holds_on(today)), given[0] if given else None)
        return ScanRow(
            scanner=scanner,
            trial=trial,
            reconstruction=profile,
            tracer=tracer,
            standard=standards.load(standard).title,
            clearance=clearance_state(shown, today),
            certificate_number=shown.certificate_number if shown else "",
            case=case,
            case_words=status_for_site(case).words if case is not None and case.state not in STANDING else "",
            phantom=self._phantom(profile, trial),
        )

    def _phantom(self, profile: ReconstructionProfile, trial: Trial | None) -> Submission | None:
        """Return the newest phantom that speaks for the trial: its own, or one that was sent for none."""
        of_any = self.phantoms.get((profile.pk, None))
        of_trial = self.phantoms.get((profile.pk, trial.pk)) if trial else None
        return max(filter(None, (of_any, of_trial)), key=lambda one: one.released_at, default=None)


#: Reconstruction, tracer, standard, and the trial or None for the general scope.
_Scope = tuple[int, str, str, int | None]


def _scope_of(row: Any) -> _Scope:
    return (row.reconstruction_id, row.tracer, row.standard, row.trial_id)


def _newest_phantoms(
    reconstructions: Iterable[int], trials: Sequence[Trial]
) -> dict[tuple[int, int | None], Submission]:
    """Return the newest signed phantom of each reconstruction for each of the trials, and of those sent for none.

    How a phantom of one's own trial ended, or of none, every role may know.
    """
    signed = Submission.objects.filter(
        Q(trial__in=[trial.pk for trial in trials]) | Q(trial__isnull=True),
        reconstruction__in=list(reconstructions),
        kind__in=PHANTOMS,
        state=SubmissionState.RELEASED,
        is_dry_run=False,
    )
    newest_first = Window(
        RowNumber(), partition_by=[F("reconstruction_id"), F("trial_id")], order_by=F("released_at").desc()
    )
    newest = signed.annotate(place=newest_first).filter(place=1)
    # Only keys are carried through the sort, not whole rows.
    found = Submission.objects.filter(pk__in=newest.values("pk"))
    return {(one.reconstruction_id, one.trial_id): one for one in found}
