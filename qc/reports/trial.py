"""The conformance report of a trial: scans are added one by one, then one context gives the PDF; rows give the CSVs.

Only what a physicist signed has numbers and a verdict; what else arrived is counted. A subject is its trial's code and
the visit, nothing more. Memory does not grow with the trial: the PDF lists the worst scans up to `MOST_ROWS`, the CSV
holds them all and its digest stands in the PDF.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

from corelab import pdf
from phantoms.results import Outcome
from qc import wording
from qc.deviations import BY_EYE, cause_words, raised_findings
from qc.histogram import described, histogram_svg
from qc.reports.blocks import cell, column, date_words, moment_words, table_block, text_block, verdict_cell, verdict_of
from qc.reports.numbers import ORDER
from qc.reports.scan_day import CLEARANCE_RULE
from qc.tally import Count, Tally

#: Raised when the same data would give other bytes.
VERSION = 2
TEMPLATE = Path(__file__).parents[1] / "typst" / "trial.typ"
#: A longer table costs the typesetter memory by the row.
MOST_ROWS = 200
#: Visits with several scans that a warning names.
NAMED_REPEATS = 3
ENDING_WITHIN = timedelta(days=90)
NOTICE = "For trial quality control, not for diagnosis"
HISTOGRAM = "uptake.svg"
HISTOGRAM_MM = 150.0
PASSING = frozenset({Outcome.PASS, Outcome.WARN})

SCAN_COLUMNS = (
    "submission", "site", "scanner", "reconstruction", "standard", "subject", "visit", "scanned_on", "released_on",
    "verdict", "is_conformant", "is_evaluable", "reasons", "uptake_min", "injected_mbq", "net_injected_mbq",
    "injected_mbq_per_kg", "weight_kg", "glucose_mmol_per_l", "coverage_mm", "protocol_version", "is_cleared",
    "certificate", "cleared_until", "run", "result_sha256",
)  # fmt: skip
DEVIATION_COLUMNS = (
    "submission", "site", "scanner", "subject", "visit", "scanned_on", "verdict", "rule", "cause", "outcome",
    "severity", "seen", "expected", "source", "who_acts", "message",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Place:
    """A scanner at its site."""

    site: str
    scanner: str


@dataclass(frozen=True, kw_only=True)
class ScanRow:
    """One signed scan: ``values`` and ``findings`` of its run, ``reason`` the physicist's where the verdict differs."""

    number: str
    place: Place
    reconstruction: str
    standard: str
    subject: str
    visit: str
    scanned_on: date | None
    released_on: date | None
    verdict: str
    reason: str
    raised: Mapping[str, str]
    run: str
    result_digest: str
    protocol_version: int | None
    values: Mapping[str, Any]
    findings: Sequence[Mapping[str, Any]]

    @property
    def is_cleared(self) -> bool | None:
        """Whether the scanner was cleared on the scan's day, as its run found; None where it could not tell."""
        if self.raised.get(CLEARANCE_RULE) == Outcome.FAIL:
            return False
        return True if self.values.get("clearance") and CLEARANCE_RULE not in self.raised else None

    @property
    def reason_words(self) -> str:
        """Why it is not conformant, in a word or two a cause."""
        if self.verdict == Outcome.PASS:
            return ""
        return ", ".join(cause_words(rule) for rule in sorted(self.raised or {BY_EYE: self.verdict}))

    @property
    def reasons(self) -> str:
        """Why it is not conformant: rules with their outcome, the worst first."""
        if self.verdict == Outcome.PASS:
            return ""
        raised = sorted(self.raised.items(), key=lambda one: (ORDER[Outcome(one[1])], one[0]))
        words = [f"{rule} {wording.VERDICT_WORDS[outcome]}" for rule, outcome in raised]
        return "; ".join([*words, *([self.reason] if self.reason else [])])


@dataclass(frozen=True, kw_only=True)
class QueryRow:
    """One question that is not closed."""

    number: str
    submission: str
    place: Place
    title: str
    state: str
    asked_on: date
    due_on: date | None


@dataclass(frozen=True, kw_only=True)
class ClearanceRow:
    """One clearance of a scanner of the trial."""

    place: Place
    reconstruction: str
    certificate: str
    standard: str
    is_general: bool
    from_on: date
    last_day: date
    ending: str


@dataclass(frozen=True, kw_only=True)
class ProtocolRow:
    """One published version of the trial's protocol."""

    version: int
    effective_on: date
    digest: str
    uptake_band_min: tuple[float, float] | None


@dataclass(frozen=True, kw_only=True)
class Repeat:
    """One visit of one subject of which several scans count."""

    subject: str
    visit: str
    times: int


@dataclass(frozen=True, kw_only=True)
class TrialFacts:
    """What is known of a trial beside its scans. ``digest`` is that of all the report is made from."""

    lab_name: str
    code: str
    title: str
    places: Sequence[Place]
    waiting: Mapping[Place, int]
    repeats: Sequence[Repeat]
    queries: Sequence[QueryRow]
    clearances: Sequence[ClearanceRow]
    protocols: Sequence[ProtocolRow]
    as_of: datetime
    digest: str


@dataclass
class TrialReport:
    """A trial's report while its scans are added."""

    facts: TrialFacts
    tally: Tally[Place] = field(default_factory=Tally)
    first_on: date | None = None
    last_on: date | None = None
    _cleared: Counter[tuple[Place, bool | None]] = field(default_factory=Counter)
    _worst: list[ScanRow] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Count what waits; every scanner of the trial has a row, also one that sent nothing."""
        for place in self.facts.places:
            self.tally.places.setdefault(place, Count())
        for place, times in self.facts.waiting.items():
            self.tally.add(place, "", "", times)

    def add(self, scan: ScanRow) -> None:
        """Count one signed scan."""
        self.tally.add(scan.place, scan.standard, scan.verdict)
        self.tally.add_causes(scan.place, scan.verdict, scan.raised)
        self.tally.add_uptake(scan.values.get("uptake_min"))
        self._cleared[scan.place, scan.is_cleared] += 1
        if scan.scanned_on is not None:
            self.first_on = min(self.first_on or scan.scanned_on, scan.scanned_on)
            self.last_on = max(self.last_on or scan.scanned_on, scan.scanned_on)
        self._worst.append(scan)
        if len(self._worst) > 2 * MOST_ROWS:
            self._cut()

    def _cut(self) -> None:
        self._worst.sort(key=lambda one: (ORDER[Outcome(one.verdict)], len(one.number), one.number))
        del self._worst[MOST_ROWS:]

    # --- the document --------------------------------------------------------------------------

    def context(self, *, scans_digest: str = "", deviations_digest: str = "") -> dict[str, Any]:
        """Return everything the template places; the digests are those of the two CSVs.

        Returns
        -------
        dict
            ``document`` (title, header, footer), ``summary`` (facts, counts, warning) and ``sections`` of blocks.
        """
        self._cut()
        return {
            "document": self._document(),
            "summary": {
                "subtitle": self.facts.title,
                "facts": self._facts(scans_digest, deviations_digest),
                "counts": self._counts(),
                "warnings": self._warnings(),
            },
            "sections": [
                {"title": title, "new_page": new_page, "blocks": [block for block in blocks if block]}
                for title, new_page, blocks in (
                    ("Sites and scanners", False, self._place_blocks()),
                    ("Deviations", False, self._cause_blocks()),
                    ("Uptake", False, self._uptake_blocks()),
                    ("Clearances", False, self._clearance_blocks()),
                    ("Open queries", False, self._query_blocks()),
                    ("Scans", True, self._scan_blocks()),
                    ("Definitions", False, self._definition_blocks()),
                )
            ],
        }

    @property
    def protocol(self) -> ProtocolRow | None:
        """The protocol that is in force on the day of the data; one that begins later judges nothing yet."""
        today = self.facts.as_of.date()
        return next((one for one in self.facts.protocols if one.effective_on <= today), None)

    @property
    def band(self) -> tuple[float, float] | None:
        """What the protocol in force accepts as uptake, minutes."""
        return self.protocol.uptake_band_min if self.protocol else None

    def _document(self) -> dict[str, Any]:
        as_of = moment_words(self.facts.as_of, "UTC")
        return {
            "title": f"{self.facts.code}: conformance report",
            "file_title": f"{self.facts.code} conformance report",
            "lab_name": self.facts.lab_name,
            "header": [self.facts.lab_name, "Conformance report", self.facts.code],
            "state": f"Data as of {as_of}",
            "is_signed": False,
            "is_dry_run": False,
            "dry_run_words": "",
            "replaced": "",
            "footer": f"data as of {as_of} · made from sha256 {self.facts.digest[:16]} · layout {VERSION}",
            "notice": NOTICE,
            "made_at": self.facts.as_of.replace(microsecond=0).isoformat(),
        }

    def _facts(self, scans_digest: str, deviations_digest: str) -> list[list[str]]:
        first, last = self.first_on, self.last_on
        now = self.protocol
        none = "none in force yet" if self.facts.protocols else "none published"
        in_force = f"version {now.version}, from {date_words(now.effective_on)}" if now else none
        facts = [
            ["Protocol", in_force],
            ["Signed scans of", f"{date_words(first)} to {date_words(last)}" if first and last else "none yet"],
            ["Data as of", moment_words(self.facts.as_of, "UTC")],
            ["Made from", f"sha256 {self.facts.digest}"],
        ]
        if scans_digest:
            facts.append(["Table of scans", f"sha256 {scans_digest}"])
        if deviations_digest:
            facts.append(["Table of deviations", f"sha256 {deviations_digest}"])
        return facts

    def _counts(self) -> list[dict[str, str]]:
        whole, queries = self.tally.whole, self.facts.queries
        oldest = max((self._age_days(one) for one in queries), default=0)
        return [
            _count(whole.received, "received", waiting_words(whole.waiting)),
            _count(whole.conformant, "conformant", _share(whole, whole.conformant)),
            _count(whole.deviating, "deviating", _share(whole, whole.deviating)),
            _count(whole.evaluable, "evaluable", _share(whole, whole.evaluable)),
            _count(len(queries), "open queries", f"the oldest {_days(oldest)}" if queries else "none waits"),
        ]

    def _warnings(self) -> list[dict[str, Any]]:
        texts = warnings_of(self.tally, self.facts.repeats)
        return [{**verdict_of(Outcome.WARN), "text": text} for text in texts]

    # --- sections ------------------------------------------------------------------------------

    def _place_blocks(self) -> list[dict[str, Any]]:
        columns = [
            column("Site, scanner", 2.4),
            column("Received", 0, "end"),
            column("Waiting", 0, "end"),
            column("Conformant", 0, "end"),
            column("Deviating", 0, "end"),
            column("Could not check", 0, "end"),
            column("Cleared on the day", 0, "end"),
            column("Queries", 0, "end"),
        ]
        asked = Counter(one.place for one in self.facts.queries)
        rows = []
        for place, count in sorted(self.tally.places.items(), key=lambda one: (one[0].site, one[0].scanner)):
            cleared = f"{self._cleared[place, True]} of {count.signed}" if count.signed else "–"
            numbers = (count.received, count.waiting, count.conformant, count.deviating, count.unchecked)
            rows.append(
                [
                    cell(place.site, kind="name", sub=place.scanner),
                    *(cell(str(number), kind="number") for number in numbers),
                    cell(cleared, kind="number"),
                    cell(str(asked[place]), kind="number"),
                ]
            )
        if not rows:
            return [text_block(["No site takes part yet."])]
        return [table_block("Scans by scanner", columns, rows)]

    def _cause_blocks(self) -> list[dict[str, Any]]:
        causes = self.tally.causes
        if not causes:
            return [text_block(["No signed scan deviates."])]
        columns = [
            column("Cause", 3.2),
            column("Scans", 0, "end"),
            column("Fail", 0, "end"),
            column("Warning", 0, "end"),
            column("Could not check", 0, "end"),
            column("Where", 4),
        ]
        rows = []
        for cause in causes:
            sites: Counter[str] = Counter()
            for place, times in cause.places.items():
                sites[place.site] += times
            where = " · ".join(
                f"{site} {times}" for site, times in sorted(sites.items(), key=lambda one: (-one[1], one[0]))
            )
            counts = (cause.outcomes[one] for one in (Outcome.FAIL, Outcome.WARN, Outcome.NOT_EVALUABLE))
            rows.append(
                [
                    cause_cell(cause.rule),
                    cell(str(cause.scans), kind="number"),
                    *(cell(str(times), kind="number") for times in counts),
                    cell(where, kind="name"),
                ]
            )
        scans = self.tally.whole.signed - self.tally.whole.conformant
        times = sum(cause.scans for cause in causes)
        return [
            table_block(f"{times} in {scans} scan{'' if scans == 1 else 's'}, the most frequent first", columns, rows)
        ]

    def _uptake_blocks(self) -> list[dict[str, Any]]:
        words = described(self.tally.uptake_bins, self.band)
        if not self.tally.uptake_bins:
            return [text_block([words])]
        figure = {
            "file": HISTOGRAM,
            "alt": f"Histogram of the time from injection to scan: {words}",
            "caption": f"Time from injection to scan, signed scans, bins of 2 min. {words}",
            "width_mm": HISTOGRAM_MM,
        }
        return [{"kind": "figures", "figures": [figure]}]

    def _clearance_blocks(self) -> list[dict[str, Any]]:
        if not self.facts.clearances:
            return [text_block(["No scanner of this trial was ever cleared."])]
        today = self.facts.as_of.date()
        ending = [one for one in self.facts.clearances if today <= one.last_day <= today + ENDING_WITHIN]
        number = {0: "None ends", 1: "1 ends"}.get(len(ending), f"{len(ending)} end")
        title = f"{number} within {ENDING_WITHIN.days} days of {date_words(today)}"
        columns = [
            column("Site, scanner", 2.4),
            column("Reconstruction", 2.4),
            column("Certificate", 0),
            column("From", 0),
            column("Last day", 0),
            column("State on this day", 1.8),
        ]
        rows = [
            [
                cell(one.place.site, kind="name", sub=one.place.scanner),
                cell(one.reconstruction, kind="name", sub=wording.standard_name(one.standard)),
                cell(one.certificate, sub="general" if one.is_general else ""),
                cell(date_words(one.from_on)),
                cell(date_words(one.last_day)),
                cell(_clearance_state(one, today)),
            ]
            for one in self.facts.clearances[:MOST_ROWS]
        ]
        return [table_block(title, columns, rows)]

    def _query_blocks(self) -> list[dict[str, Any]]:
        queries = sorted(self.facts.queries, key=lambda one: (one.asked_on, one.number))
        if not queries:
            return [text_block(["No query is open."])]
        columns = [
            column("Query", 0),
            column("Scan", 0),
            column("About", 3.4),
            column("Site", 2.2),
            column("Asked", 0),
            column("Age", 0, "end"),
            column("Answer by", 0),
            column("Waits for", 0),
        ]
        rows = [
            [
                cell(one.number),
                cell(one.submission),
                cell(one.title, kind="name"),
                cell(one.place.site, kind="name"),
                cell(date_words(one.asked_on)),
                cell(_days(self._age_days(one)), kind="number"),
                cell(date_words(one.due_on) if one.due_on else "–"),
                cell("core lab" if one.state == "SITE_RESPONDED" else "site"),
            ]
            for one in queries[:MOST_ROWS]
        ]
        return [table_block(f"Age on {date_words(self.facts.as_of.date())}, the oldest first", columns, rows)]

    def _scan_blocks(self) -> list[dict[str, Any]]:
        if not self._worst:
            return [text_block(["No scan is signed yet."])]
        columns = [
            column("Scan", 0),
            column("Subject, visit", 1.5),
            column("Scanned", 0),
            column("Site, scanner", 2.4),
            column("Verdict", 0),
            column("Uptake", 0, "end"),
            column("Cleared", 0),
            column("Reasons", 3),
        ]
        rows = [
            [
                cell(one.number),
                cell(", ".join(part for part in (one.subject, one.visit) if part) or "–", kind="name"),
                cell(date_words(one.scanned_on) if one.scanned_on else "–"),
                cell(one.place.site, kind="name", sub=one.place.scanner),
                verdict_cell(one.verdict),
                cell(_uptake_words(one.values.get("uptake_min")), kind="number"),
                cell({True: "yes", False: "no", None: "not known"}[one.is_cleared]),
                cell(one.reason_words, kind="name", sub=one.reasons),
            ]
            for one in self._worst[:MOST_ROWS]
        ]
        signed = self.tally.whole.signed
        blocks = [table_block("One row a signed scan, the worst first", columns, rows)]
        if signed > len(rows):
            blocks.append(
                text_block([f"These are {len(rows)} of {signed:,} signed scans; all are in the table of scans."])
            )
        return blocks

    def _definition_blocks(self) -> list[dict[str, Any]]:
        protocols = [
            [cell(str(one.version)), cell(date_words(one.effective_on)), cell(one.digest, kind="code")]
            for one in self.facts.protocols
        ]
        columns = [column("Version", 0), column("In force from", 0), column("sha256 of the document", 4)]
        return [
            {"kind": "list", "title": "What is counted", "lines": list(DEFINITIONS)},
            table_block("Published versions of the protocol", columns, protocols) if protocols else {},
        ]

    def _age_days(self, query: QueryRow) -> int:
        return max(0, (self.facts.as_of.date() - query.asked_on).days)


DEFINITIONS = (
    "Received: patient scans of this trial that arrived and were accepted for measuring. Drafts, dry runs, and what "
    "was withdrawn or replaced count nowhere.",
    "A scan that was sent again in answer to a query counts once: by the last one that was signed. Other scans of the "
    "same subject and visit each count, with a warning.",
    "A verdict is the one that a physicist signed. What is not signed yet is only counted as received.",
    "Conformant: signed Pass. Deviating: signed Warning or Fail. Evaluable: signed Pass or Warning.",
    "Shares are of the signed scans.",
    "A cause is a rule that raised something on a scan that is not signed Pass; one scan may have several. What is "
    "only for information is no cause.",
    "Uptake: from the injection to the start of the scan, by the run that was signed.",
    "Cleared on the day: a clearance of the trial or a general one was in force on the scan's own day.",
    "Data as of: the newest change in the data. Ages and endings are counted from it, so that the same data gives the "
    "same document.",
)


def render_pdf(report: TrialReport, context: Mapping[str, Any]) -> bytes:
    """Typeset a report; the same context gives the same bytes.

    Raises
    ------
    Misconfigured
        A font package or the template is not as it was shipped.
    """
    files = {HISTOGRAM: histogram_svg(report.tally.uptake_bins, report.band).encode()}
    return pdf.render(TEMPLATE, dict(context), files, datetime.fromisoformat(context["document"]["made_at"]))


# --- the tables -------------------------------------------------------------------------------


def scan_cells(scan: ScanRow) -> tuple[object, ...]:
    """Return one scan as a row under `SCAN_COLUMNS`."""
    values, clearance = scan.values, scan.values.get("clearance") or {}
    return (
        scan.number,
        scan.place.site,
        scan.place.scanner,
        scan.reconstruction,
        scan.standard,
        scan.subject,
        scan.visit,
        _iso(scan.scanned_on),
        _iso(scan.released_on),
        scan.verdict,
        _yes_no(scan.verdict == Outcome.PASS),
        _yes_no(scan.verdict in PASSING),
        scan.reasons,
        _rounded(values.get("uptake_min"), 2),
        _rounded(values.get("injected_mbq"), 2),
        _rounded(values.get("net_injected_mbq"), 2),
        _rounded(values.get("mbq_per_kg"), 3),
        _rounded(values.get("weight_kg"), 2),
        _rounded(values.get("glucose_mmol_l"), 2),
        _rounded(values.get("coverage_mm"), 1),
        scan.protocol_version,
        _yes_no(scan.is_cleared),
        clearance.get("certificate"),
        clearance.get("until"),
        scan.run,
        scan.result_digest,
    )


def deviation_cells(scan: ScanRow) -> Iterator[tuple[object, ...]]:
    """Yield one row a cause of a scan that is not conformant, under `DEVIATION_COLUMNS`."""
    if scan.verdict == Outcome.PASS:
        return
    about = (
        scan.number,
        scan.place.site,
        scan.place.scanner,
        scan.subject,
        scan.visit,
        _iso(scan.scanned_on),
        scan.verdict,
    )
    found = sorted(raised_findings({"findings": scan.findings}), key=lambda one: ORDER[Outcome(one["outcome"])])
    for one in found:
        texts = (one["outcome"], one["severity"], one["observed"], one["expected"], one.get("source", ""))
        yield (*about, one["id"], cause_words(one["id"]), *texts, one.get("owner", ""), one["message"])
    if not found:
        yield (*about, BY_EYE, cause_words(BY_EYE), scan.verdict, "", "", "", "", "", scan.reason)


# --- words ------------------------------------------------------------------------------------


def warnings_of(tally: Tally[Any], repeats: Sequence[Repeat]) -> list[str]:
    """Return what somebody must know before the counts are used, for the report and for the trial's page."""
    mixed = [mixed_words(tally.standards)] if tally.are_standards_mixed else []
    return [*mixed, repeated_words(repeats)] if repeats else mixed


def repeated_words(repeats: Sequence[Repeat]) -> str:
    """Return the warning that several scans of one visit are counted."""
    shown = "; ".join(f"{one.subject}, {one.visit}: {one.times} scans" for one in repeats[:NAMED_REPEATS])
    rest = f"; and {len(repeats) - NAMED_REPEATS} more visits" if len(repeats) > NAMED_REPEATS else ""
    return f"Several scans of one visit are counted, each as a scan of its own ({shown}{rest}). Ask which one stands."


def mixed_words(standards: Mapping[str, int]) -> str:
    """Return the warning that scans were made under several standards."""
    ranked = sorted(standards.items(), key=lambda one: (-one[1], one[0]))
    each = ", ".join(
        f"{times} scan{'' if times == 1 else 's'} {wording.standard_name(standard)}" for standard, times in ranked
    )
    number = {2: "Two", 3: "Three"}.get(len(ranked), str(len(ranked)))
    return f"{number} standards are mixed: {each}. Do not pool their SUVs."


def waiting_words(times: int) -> str:
    """Return how many scans nobody signed yet; empty where none waits."""
    return f"{times} wait{'s' if times == 1 else ''} for a signature" if times else ""


def cause_cell(rule: str) -> dict[str, Any]:
    """Return a cause in words with its rule's id."""
    words = cause_words(rule)
    return cell(words, code=rule if rule != words and rule != BY_EYE else "")


def _count(number: int, words: str, note: str) -> dict[str, str]:
    return {"number": f"{number:,}".replace(",", wording.NARROW_SPACE), "words": words, "note": note}


def _share(count: Count, part: int) -> str:
    share_pct = count.share_pct(part)
    return (
        "none signed yet" if share_pct is None else f"{wording.with_unit(wording.number(share_pct, 0), '%')} of signed"
    )


def _days(days: int) -> str:
    return f"{days} day{'' if days == 1 else 's'}"


def _clearance_state(one: ClearanceRow, today: date) -> str:
    if one.last_day < today:
        return (one.ending or "expired").lower()
    if one.from_on > today:
        return "not begun"
    left = (one.last_day - today).days
    return f"ends in {_days(left)}" if left <= ENDING_WITHIN.days else "in force"


def _uptake_words(uptake_min: float | None) -> str:
    return wording.with_unit(wording.number(uptake_min, 0), "min") if uptake_min is not None else "–"


def _iso(day: date | None) -> str | None:
    return day.isoformat() if day is not None else None


def _yes_no(value: bool | None) -> str | None:
    return None if value is None else "yes" if value else "no"


def _rounded(value: float | None, decimals: int) -> float | None:
    return None if value is None else round(value, decimals)
