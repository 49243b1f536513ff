"""Where a trial stands, on its page and on the home of who manages or monitors it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from urllib.parse import urlencode

from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone
from django.utils.safestring import mark_safe

from corelab import access
from corelab.panels import Panel
from phantoms.results import Outcome
from qc import trials
from qc.deviations import BY_EYE, cause_words
from qc.histogram import bars_of, described, histogram_svg
from qc.panels import protocols
from qc.reports.trial import waiting_words, warnings_of
from qc.tally import Count, Tally
from qc.trials import Standing

#: Causes that are shown; the report names them all.
CAUSES = 8


def of_trial(request: HttpRequest, trial: Any) -> Iterator[Panel]:
    """Yield where a trial stands: five counts and a warning, scanners, causes, uptake, reports."""
    if not trials.may_read(request.user, trial):
        return
    published = [one for one in protocols.versions_of(request, trial) if one.published_at]
    standing = trials.standings([trial], today=timezone.now().date(), protocols=published)[trial.pk]
    context = {
        "trial": trial,
        "counts": counts_of(trial, standing),
        "warnings": warnings_of(standing.tally, standing.repeats),
        "protocol": standing.protocol,
        "may_request": trials.may_request(request.user),
    }
    yield Panel(template="qc/_panel_trial_counts.html", context=context, order=10)
    rows = _scanner_rows(trial, standing)
    yield Panel(template="qc/_panel_trial_scanners.html", context={"trial": trial, "rows": rows}, order=25)
    yield Panel(template="qc/_panel_trial_deviations.html", context=_deviations(trial, standing), order=30)
    yield Panel(template="qc/_trial_downloads.html", context=vars(trials.downloads_of(request.user, trial)), order=35)


def of_trials(request: HttpRequest) -> Iterator[Panel]:
    """Yield one line for each trial of a trial manager or monitor."""
    mine = list(trials.trials_readable_by(request.user).filter(pk__in=access.trial_ids_of(request.user)))
    if not mine:
        return
    found = trials.standings(mine, today=timezone.now().date())
    rows = [{"trial": trial, "counts": counts_of(trial, found[trial.pk])} for trial in mine]
    heads = [one["words"] for one in rows[0]["counts"]]
    yield Panel(template="qc/_panel_trials.html", context={"rows": rows, "heads": heads}, order=10)


def counts_of(trial: Any, standing: Standing) -> list[dict[str, Any]]:
    """Return the five counts of a trial, each with what it is a part of and the list that it leads to."""
    whole, queries = standing.tally.whole, standing.open_queries.total()
    waiting = waiting_words(whole.waiting)
    late, oldest = standing.late_queries.total(), ""
    if standing.oldest_asked_at is not None:
        days = (timezone.now() - standing.oldest_asked_at).days
        oldest = f"the oldest {days} day{'' if days == 1 else 's'}"
    return [
        _count(trial, "received", whole.received, waiting),
        _count(trial, "conformant", whole.conformant, _share(whole, whole.conformant)),
        _count(trial, "deviating", whole.deviating, _share(whole, whole.deviating)),
        _count(trial, "evaluable", whole.evaluable, _share(whole, whole.evaluable)),
        {
            "number": queries,
            "words": "open queries",
            "note": f"{oldest}, {late} late" if late else oldest,
            "url": f"{reverse('qc:query-list')}?{urlencode({'trial': trial.code})}",
        },
    ]


def _count(trial: Any, group: str, number: int, note: str) -> dict[str, Any]:
    return {"number": number, "words": group, "note": note, "url": scans_url(trial, show=group)}


def _share(count: Count, part: int) -> str:
    share_pct = count.share_pct(part)
    return "" if share_pct is None else f"{share_pct:.0f} % of signed"


def scans_url(trial: Any, **narrowed: Any) -> str:
    """Return the address of a trial's list of scans, narrowed."""
    return f"{reverse('qc:trial-scan-list', args=[trial.code])}?{urlencode(narrowed)}"


def _scanner_rows(trial: Any, standing: Standing) -> list[dict[str, Any]]:
    return [
        {
            "scanner": scanner,
            "count": standing.tally.places.get(scanner.pk, Count()),
            "queries": standing.open_queries[scanner.pk],
            "late": standing.late_queries[scanner.pk],
            "url": scans_url(trial, scanner=scanner.pk),
        }
        for scanner in trials.scanners_of(trial)
    ]


def _deviations(trial: Any, standing: Standing) -> dict[str, Any]:
    tally: Tally[int] = standing.tally
    causes = tally.causes
    most = max((cause.scans for cause in causes), default=0)
    bins, band = tally.uptake_bins, standing.band
    return {
        "trial": trial,
        "causes": [
            {
                "words": cause_words(cause.rule),
                "rule": "" if cause.rule == BY_EYE else cause.rule,
                "scans": cause.scans,
                "fails": cause.outcomes[Outcome.FAIL],
                "width": round(100 * cause.scans / most, 1),
                "url": scans_url(trial, cause=cause.rule),
            }
            for cause in causes[:CAUSES]
        ],
        "more": len(causes[CAUSES:]),
        "deviations": sum(cause.scans for cause in causes),
        "scans": tally.whole.signed - tally.whole.conformant,
        "signed": tally.whole.signed,
        "histogram": mark_safe(histogram_svg(bins, band)) if bins else "",  # noqa: S308 (our own drawing)
        "uptake": described(bins, band),
        "bars": bars_of(bins),
    }


PLACES = {"trial": of_trial, "trials": of_trials}
