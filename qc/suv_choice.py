"""What a physicist may decide about a run's SUV by signature: the reference time, or the lean mass with 120.

Pure: it reads a run's result and parameters and says what may be decided, in the sentences that are signed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from phantoms.suv import reference
from phantoms.suv.body import lean_mass_james_kg
from qc import wording

#: The decision that accepts SUV by the lean mass with the coefficient 120; every other one is a candidate's id.
LBM120 = "LBM120"
#: The decision that takes an earlier one back.
TAKEN_BACK = ""
#: Refusals that the choice of a candidate may lift.
LIFTED_BY_A_CANDIDATE = frozenset({"SUV-TREF-CONFLICT", "SUV-NO-REFERENCE", "SUV-CHOICE"})
SAME_PCT = 0.05  # a smaller effect on the SUV is not printed


@dataclass(frozen=True)
class Offer:
    """One thing that may be decided: its key, a short title, and the sentences that stand in the signature."""

    decision: str
    title: str
    sentences: str


def decision_of(parameters: Mapping[str, Any]) -> str:
    """Return what was decided by signature for a run with these parameters; empty where nothing was."""
    if parameters.get("accepts_lbm120"):
        return LBM120
    return str(parameters.get("chosen_reference") or TAKEN_BACK)


def request_of(decision: str) -> dict[str, Any]:
    """Return a decision as `qc.analysis.Request` takes it."""
    if decision == LBM120:
        return {"accepts_lbm120": True}
    return {"chosen_reference": decision} if decision else {}


def offers(result: Mapping[str, Any], parameters: Mapping[str, Any]) -> tuple[Offer, ...]:
    """Return what a physicist may decide about a run, empty where nothing is open.

    Candidates whose preconditions hold, where they disagree or none is used; the coefficient 120, where the pixel
    values are SUV by it; and the way back from what was decided before. What has no effect on the SUV is not offered.
    """
    if not result:
        return ()
    decided = decision_of(parameters)
    found = [offer for offer in (*_candidates(result["suv"], decided), _lbm120(result["suv"])) if offer is not None]
    if decided:
        found.append(Offer(TAKEN_BACK, "Take the decision back", _taken_back(result["suv"], decided)))
    return tuple(offer for offer in found if offer.decision != decided)


def beginning(run: str, submission: str) -> str:
    """Return the sentence that every decision about a run begins with."""
    return f"I have read the SUV trace of run {run} of {submission}."


def statement(offer: Offer, run: str, submission: str) -> str:
    """Return the sentences that are signed."""
    return f"{beginning(run, submission)} {offer.sentences}"


def effect_pct(at: datetime, instead_of: datetime, half_life_s: float) -> float:
    """Return by how much SUV reads higher where its values refer to one instant and not to another, %.

    The later the reference, the less activity is left to divide by: ``2^(Δt / T½) − 1``.
    """
    half_lives = (at - instead_of).total_seconds() / half_life_s
    return float(100 * (2 ** min(half_lives, 1000.0) - 1))


def clock_words(at: datetime) -> str:
    """Return ``2 Mar 2026 10:32:05``, the scanner's clock."""
    return f"{at.day} {at:%b %Y %H:%M:%S}"


# --- the reference time ----------------------------------------------------------------------


@dataclass(frozen=True)
class Instant:
    """A candidate whose preconditions hold, with its time."""

    id: str
    at: datetime

    def __str__(self) -> str:
        return f"{self.id}, {clock_words(self.at)}"


def _eligible(suv: Mapping[str, Any]) -> dict[str, Instant]:
    return {
        one["id"]: Instant(one["id"], datetime.fromisoformat(one["time"]))
        for one in suv["candidates"]
        if one.get("eligible") and one["time"]
    }


def first_in_precedence(suv: Mapping[str, Any]) -> Instant | None:
    """Return the candidate that is used where nobody chose, unless another contradicts it; None where none holds."""
    eligible = _eligible(suv)
    is_derived = any(one["code"] == "SUV-DERIVED" for one in suv["warnings"])
    order = reference.PRECEDENCE_OF_DERIVED if is_derived else reference.PRECEDENCE
    return next((eligible[key] for key in order if key in eligible), None)


def _is_open(suv: Mapping[str, Any], decided: str) -> bool:
    """Say whether a candidate may be chosen: one was, or candidates disagree, on a SUV that hangs on them."""
    refused = [suv["refused"], *suv.get("further_problems", [])] if suv["refused"] else []
    if {one["code"] for one in refused} & LIFTED_BY_A_CANDIDATE:
        return True
    hangs_on_it = any(line["attribute"] == "D(t_ref)" for line in suv["trace"])
    disagree = any(one["code"] == "SUV-TREF-CONFLICT" for one in suv["warnings"])
    return hangs_on_it and (disagree or decided not in {TAKEN_BACK, LBM120})


def _candidates(suv: Mapping[str, Any], decided: str) -> list[Offer]:
    half_life_s = suv.get("half_life_s")
    if not half_life_s or not _is_open(suv, decided):
        return []
    eligible = _eligible(suv)
    first = first_in_precedence(suv)
    return [
        Offer(one.id, f"{one.id} {clock_words(one.at)}", _about(one, first, eligible, half_life_s))
        for one in eligible.values()
    ]


def _about(one: Instant, first: Instant | None, eligible: Mapping[str, Instant], half_life_s: float) -> str:
    chosen = f"I choose {one} by the scanner's clock, as the time that the pixel values refer to."
    if first is None:
        return f"{chosen} No candidate stands in precedence, so there is no SUV to compare with."
    if first.id != one.id:
        effect = _reads(effect_pct(one.at, first.at, half_life_s))
        return f"{chosen} SUV reads {effect} by {first}, which stands first in precedence."
    farthest = max(eligible.values(), key=lambda other: abs((other.at - one.at).total_seconds()))
    effect = _reads(effect_pct(one.at, farthest.at, half_life_s))
    others = f" SUV reads {effect} by {farthest}." if farthest.id != one.id else " No other candidate holds."
    return f"{chosen} It stands first in precedence.{others}"


def _reads(pct: float) -> str:
    """Return ``4.5 % higher than``."""
    if abs(pct) < SAME_PCT:
        return f"the same (within {SAME_PCT:g} %) as"
    amount = wording.with_unit(wording.number(abs(pct), 1), "%")
    return f"{amount} {'higher' if pct > 0 else 'lower'} than"


def _taken_back(suv: Mapping[str, Any], decided: str) -> str:
    if decided == LBM120:
        return "I take the decision for the coefficient 120 back. No SUV is given."
    first, now, half_life_s = first_in_precedence(suv), _eligible(suv).get(decided), suv.get("half_life_s")
    taken = f"I take the decision for {decided} back."
    if first is None or now is None or not half_life_s:
        return f"{taken} The program decides again."
    effect = _reads(effect_pct(first.at, now.at, half_life_s))
    return f"{taken} {first} stands first again; SUV reads {effect} by {decided} where it is given."


# --- the lean mass with 120 --------------------------------------------------------------------


def _lbm120(suv: Mapping[str, Any]) -> Offer | None:
    """Offer the coefficient 120 where the pixel values are SUV by it and the body allows to work it out."""
    written = {line["attribute"]: line["value"] for line in suv["trace"]}
    if written.get("(0054,1001) (0054,1006)") != "GML LBM":
        return None
    try:
        weight_kg, height = float(written["(0010,1030)"]), float(written["(0010,1020)"])
    except (KeyError, ValueError):
        return None
    sex = written.get("(0010,0040)", "")
    height_cm = height if height > 3 else 100 * height
    if sex not in {"M", "F", "O"} or weight_kg <= 0 or height_cm <= 0:
        return None
    by_120, by_128 = (lean_mass_james_kg(weight_kg, height_cm, sex, coefficient).value for coefficient in (120, 128))
    if by_120 is None or by_128 is None:
        return None
    factor = wording.number(weight_kg / by_120, 4)
    return Offer(
        LBM120,
        "Accept the coefficient 120",
        "I accept that the pixel values (Units GML, SUV type LBM) are SUV by the lean mass with the coefficient 120. "
        f"SUVbw is {factor} × the pixel value, and reads {_reads(100 * (by_128 / by_120 - 1))} by the coefficient 128.",
    )
