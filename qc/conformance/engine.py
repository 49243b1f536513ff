"""How rules are entered and answered, and how their answers make one verdict.

A rule is a function of `Inputs` that returns an `Answer`, or None where the protocol does not ask. It is entered with
its id, what it does to a scan, where it comes from and which rules it needs: one that did not pass makes it "could not
check", with that as the reason. A re-used id or an unknown need fails at import.

What a rule does to a scan:

========= =================== ==============================================================
severity  in words            its Fail or Could not check makes the whole …
========= =================== ==============================================================
exclude   Excludes the scan   Fail, or Could not check: a rule that decides
query     Needs an answer     Warning at most: the site is asked, the scan stays
info      For information     nothing
========= =================== ==============================================================

A Warning or Pass of the first two is what it is. The worst of all is the verdict: Fail > Could not check > Warning >
Pass. On a phantom nothing here excludes: its measurements decide, so a rule asks at most, and what could not be checked
is for information.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Any

from phantoms.results import WORST_FIRST, Finding, Outcome, Owner, counted, worst
from phantoms.suv import SuvResult
from qc import wording
from qc.facts import SubmissionFacts
from qc.protocols import ClearanceSpan, Limit, Profile, Protocol, Registered, ScanDayValues

PATIENT = frozenset({"patient"})
ALL_KINDS = PATIENT | {"cylinder", "nema_iq", "acr"}
SEVERITIES = ("exclude", "query", "info")


@dataclass(frozen=True, kw_only=True)
class Inputs:
    """All that rules look at. None is what is not known, and the rules that need it say so.

    Attributes
    ----------
    facts : SubmissionFacts
    suv : SuvResult or None
    kind : str
        ``patient``, ``cylinder``, ``nema_iq`` or ``acr``.
    protocol : Protocol or None
    values : ScanDayValues or None
        What the site wrote down on the scan day.
    registered : Registered or None
        The scanner that the scan was made on, as the register has it.
    has_register : bool
        Whether there is a register at all; without a register an unknown scanner is nobody's fault.
    profile : Profile or None
        The reconstruction that the scan is held to.
    clearances : tuple of ClearanceSpan or None
        Of this scanner; None without a register.
    scanned_on : date or None
        The scan's own day; None where it is not known, also because dates were moved.
    trial, standard : str or None
        Whose clearance is asked for.
    """

    facts: SubmissionFacts
    suv: SuvResult | None = None
    kind: str = "patient"
    protocol: Protocol | None = None
    values: ScanDayValues | None = None
    registered: Registered | None = None
    has_register: bool = False
    profile: Profile | None = None
    clearances: tuple[ClearanceSpan, ...] | None = None
    scanned_on: date | None = None
    trial: str | None = None
    standard: str | None = None

    def limit(self, name: str) -> Limit | None:
        """Return a limit of the protocol; None where there is no protocol, or where it does not ask."""
        return self.protocol.limits.get(name) if self.protocol else None


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What a rule found. ``severity`` is given where this answer does less than the rule may do at worst.

    ``reason`` is a code for programs: of a refusal, of a rule that did not pass, or ``DATES-SHIFTED``.
    """

    outcome: Outcome
    message: str
    observed: str = ""
    expected: str = ""
    next_step: str = ""
    owner: Owner = Owner.NOBODY
    severity: str | None = None
    reason: str = ""
    evidence: Mapping[str, Any] = field(default_factory=dict)


Check = Callable[[Inputs], Answer | None]


@dataclass(frozen=True, kw_only=True)
class Rule:
    """One rule; ``attributes`` are the DICOM tags it looks at, ``speaks_for`` are the SUV's warnings that it says."""

    id: str
    title: str
    severity: str
    source: str
    attributes: str
    needs: tuple[str, ...]
    applies_to: frozenset[str]
    speaks_for: frozenset[str]
    check: Check = field(repr=False)


#: All rules by id, each after those that it needs.
RULES: dict[str, Rule] = {}


def rule(
    rule_id: str,
    *,
    title: str,
    severity: str,
    source: str,
    attributes: str = "",
    needs: tuple[str, ...] = (),
    applies_to: frozenset[str] = ALL_KINDS,
    speaks_for: tuple[str, ...] = (),
) -> Callable[[Check], Check]:
    """Enter a rule.

    Parameters
    ----------
    rule_id : str
        Its id in reports and queries; it never changes its meaning.
    title : str
        What is claimed when it passes, in a few words.
    severity : str
        What it does at worst: ``exclude``, ``query`` or ``info``.
    source : str
        Where the rule comes from.
    attributes : str
        The DICOM tags it looks at.
    needs : tuple of str
        Rules entered before, for every kind that this one applies to.
    applies_to : frozenset of str
    speaks_for : tuple of str

    Raises
    ------
    ValueError
        Where the id is taken, a need is not known, does not apply, or the severity is none.
    """

    def enter(check: Check) -> Check:
        if rule_id in RULES:
            raise ValueError(f"{rule_id} is the id of another rule")
        if severity not in SEVERITIES:
            raise ValueError(f"{rule_id}: {severity} is no severity")
        for needed in needs:
            if needed not in RULES:
                raise ValueError(f"{rule_id} needs {needed}, which is no rule entered before it")
            if not applies_to <= RULES[needed].applies_to:
                raise ValueError(f"{rule_id} needs {needed}, which does not apply to every kind that it applies to")
        RULES[rule_id] = Rule(
            id=rule_id,
            title=title,
            severity=severity,
            source=source,
            attributes=attributes,
            needs=needs,
            applies_to=applies_to,
            speaks_for=frozenset(speaks_for),
            check=check,
        )
        return check

    return enter


def evaluate(inputs: Inputs) -> list[Finding]:
    """Return one finding for every rule that applies and is asked for, in the order of their ids."""
    answers: dict[str, Answer] = {}
    for one in RULES.values():
        if inputs.kind not in one.applies_to:
            continue
        missed = next((RULES[needed] for needed in one.needs if not _passed(answers.get(needed))), None)
        answer = _not_checked(missed) if missed else one.check(inputs)
        if answer is not None:
            answers[one.id] = answer
    return [_finding(RULES[rule_id], answers[rule_id], inputs.kind) for rule_id in sorted(answers)]


def _passed(answer: Answer | None) -> bool:
    return answer is not None and answer.outcome in {Outcome.PASS, Outcome.WARN}


def _not_checked(needed: Rule) -> Answer:
    return unknown(
        f"Not checked, because “{needed.title}” did not pass.",
        next_step=f"See {needed.id}.",
        reason=needed.id,
    )


def _finding(one: Rule, answer: Answer, kind: str) -> Finding:
    severity = answer.severity or one.severity
    if kind not in PATIENT and severity != "info":
        severity = "info" if answer.outcome is Outcome.NOT_EVALUABLE else "query"
    return Finding(
        id=one.id,
        outcome=answer.outcome,
        severity=severity,
        message=answer.message,
        observed=answer.observed,
        expected=answer.expected,
        next_step=answer.next_step,
        owner=answer.owner,
        source=one.source,
        reason=answer.reason,
        evidence=dict(answer.evidence),
    )


def spoken_for(findings: Iterable[Finding]) -> frozenset[str]:
    """Return the codes of the SUV's warnings that these findings say in their own words, and need not be said twice."""
    return frozenset(code for one in findings if one.id in RULES for code in RULES[one.id].speaks_for)


def verdict(findings: Iterable[Finding]) -> Outcome | None:
    """Return the one verdict that findings of rules make; None where nothing was judged."""
    return worst(weight for one in findings if (weight := counted(one.outcome, one.severity)) is not None)


# --- the answers a rule gives ---------------------------------------------------------------------------------------


def passed(message: str, **more: Any) -> Answer:
    """Return that the claim holds."""
    return Answer(outcome=Outcome.PASS, message=message, **more)


def warned(message: str, *, next_step: str, owner: Owner = Owner.SITE, **more: Any) -> Answer:
    """Return that the claim holds, and that something needs a look."""
    return Answer(outcome=Outcome.WARN, message=message, next_step=next_step, owner=owner, **more)


def failed(message: str, *, next_step: str, owner: Owner = Owner.SITE, **more: Any) -> Answer:
    """Return that the claim does not hold."""
    return Answer(outcome=Outcome.FAIL, message=message, next_step=next_step, owner=owner, **more)


def unknown(message: str, *, next_step: str = "", owner: Owner = Owner.NOBODY, **more: Any) -> Answer:
    """Return that it cannot be told, and why."""
    return Answer(outcome=Outcome.NOT_EVALUABLE, message=message, next_step=next_step, owner=owner, **more)


def judged(
    value: float, limit: Limit, message: str, *, decimals: int = 0, next_step: str, owner: Owner = Owner.SITE
) -> Answer:
    """Return what a value is by a limit of the protocol.

    ``message`` holds ``{}`` where the value stands, with its unit; it is never rounded across an end of the limit.
    Where the value is outside, what is accepted is said after it, and the step is given then only.
    """
    outcome = limit.judge(value)
    is_right = outcome is Outcome.PASS
    observed = shown(value, limit, decimals)
    said = message.format(observed)
    return Answer(
        outcome=outcome,
        message=f"{said}." if is_right else f"{said}; {_accepted(outcome, limit)}.",
        observed=observed,
        expected=limit.expected,
        next_step="" if is_right else next_step,
        owner=Owner.NOBODY if is_right else owner,
        evidence={"limit": limit.name, "limit_source": limit.source, "provenance": limit.provenance},
    )


def shown(value: float, limit: Limit, decimals: int) -> str:
    """Return a value with its unit, with as many decimals as it takes to stay on its side of every end."""
    ends = ((limit.low, limit.high), (limit.warn_low, limit.warn_high))
    text = max((wording.number(value, decimals, low, high) for low, high in ends), key=len)
    return text if limit.unit == "1" else f"{text} {limit.unit}"


def _accepted(outcome: Outcome, limit: Limit) -> str:
    if outcome is Outcome.FAIL:
        return f"the protocol accepts {limit.words}"
    return f"the protocol asks for {limit.best}"


def worst_of(answers: Iterable[Answer | None]) -> Answer | None:
    """Return the answer that weighs most of several that a rule found; None where there is none."""
    given = [answer for answer in answers if answer is not None]
    return min(given, key=lambda answer: WORST_FIRST.index(answer.outcome), default=None)


def no_protocol() -> Answer:
    """Return that there is no protocol to judge by."""
    return unknown(
        "There is no protocol to judge by.",
        next_step="Publish the trial's protocol, then run the check again.",
        owner=Owner.CORE_LAB,
    )
