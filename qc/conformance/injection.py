"""What was injected, how much, and when."""

from __future__ import annotations

from datetime import time

from phantoms.nuclides import NUCLIDES
from phantoms.results import Owner
from qc.conformance import quantities
from qc.conformance.engine import (
    ALL_KINDS,
    PATIENT,
    Answer,
    Inputs,
    failed,
    judged,
    no_protocol,
    passed,
    rule,
    unknown,
    warned,
    worst_of,
)
from qc.conformance.ingest import ONE_SERIES

#: The rule that the injection time can be believed, which times from it need.
INJECTION_TIME = "INJ-05"
HALF_LIFE_PCT = 1.0  # covers what public F-18 series carry: 6583.7 to 6588 s
SAME_TIME_S = 1.0
WRITTEN_TO_THE_MINUTE_S = 60.0  # a site writes hours and minutes
_DOSE_STEP = "Export with the injection data, or enter activity, time and residual with evidence."


@rule(
    "INJ-01",
    title="Tracer of the protocol",
    severity="exclude",
    source="the trial's protocol; DICOM PS3.16 CID 4020, 4021",
    attributes="(0018,0031) (0054,0300) (0054,0304)",
    needs=(ONE_SERIES,),
    applies_to=PATIENT,
)
def tracer_is_right(inputs: Inputs) -> Answer:
    """Nuclide and pharmaceutical are those of the protocol."""
    facts, protocol = inputs.facts, inputs.protocol
    if protocol is None:
        return no_protocol()
    expected = f"{protocol.nuclide} {', '.join(protocol.tracer_names)}".rstrip()
    given = facts.injection
    named = (given.Radiopharmaceutical or "").casefold()
    observed = " ".join(filter(None, (facts.nuclide, given.Radiopharmaceutical)))
    step = "Check the tracer chosen at the console. Tell us the tracer that was injected."
    if len(facts.injections) > 1:
        return unknown(
            f"{len(facts.injections)} injections are listed (0054,0016).",
            observed=f"{len(facts.injections)} injections",
            expected=expected,
            next_step="Tell us which one this scan shows.",
            owner=Owner.SITE,
        )
    if facts.nuclide is None:
        return unknown(
            "The headers do not name the nuclide (0054,0300).",
            observed=observed or "missing",
            expected=expected,
            next_step=step,
            owner=Owner.SITE,
        )
    if facts.nuclide != protocol.nuclide:
        return failed(
            f"The nuclide is {facts.nuclide} (0054,0300); the protocol uses {protocol.nuclide}.",
            observed=observed,
            expected=expected,
            next_step=step,
        )
    is_named = any(name.casefold() in named for name in protocol.tracer_names)
    is_coded = bool(set(facts.pharmaceutical_codes) & set(protocol.tracer_codes))
    if is_named or is_coded or not (protocol.tracer_names or protocol.tracer_codes):
        return passed(f"The tracer is {observed}.", observed=observed, expected=expected)
    if not named and not facts.pharmaceutical_codes:
        return unknown(
            "The headers do not name the pharmaceutical (0018,0031) (0054,0304).",
            observed=observed,
            expected=expected,
            severity="query",
            next_step="Tell us the tracer that was injected.",
            owner=Owner.SITE,
        )
    return failed(
        f"The tracer is “{given.Radiopharmaceutical or ', '.join(facts.pharmaceutical_codes)}” (0018,0031); the "
        f"protocol uses {protocol.tracer_names[0] if protocol.tracer_names else protocol.tracer_codes[0]}.",
        observed=observed,
        expected=expected,
        next_step=step,
    )


@rule(
    "INJ-02",
    title="Half-life is the nuclide's",
    severity="exclude",
    source="half-lives that PET scanners write; within 1 %",
    attributes="(0018,1075)",
    needs=(ONE_SERIES,),
    applies_to=ALL_KINDS,
)
def half_life_is_right(inputs: Inputs) -> Answer:
    """The half-life by which the images were corrected is the nuclide's."""
    facts = inputs.facts
    seconds, nuclide = facts.injection.RadionuclideHalfLife, NUCLIDES.get(facts.nuclide or "")
    step = "Check the tracer chosen at the console. Tell us the tracer that was injected."
    if seconds is None or nuclide is None:
        what = "half-life (0018,1075)" if seconds is None else "nuclide (0054,0300)"
        return unknown(
            f"The headers do not name the {what}, or name one that is not known here.",
            observed="missing" if seconds is None else f"{seconds:g} s",
            expected=f"{nuclide.half_life_s:,.5g} s" if nuclide else "",
            next_step=step,
            owner=Owner.SITE,
        )
    observed, expected = f"{seconds:,.5g} s", f"{nuclide.half_life_s:,.5g} s within {HALF_LIFE_PCT:g} %"
    if 100.0 * abs(seconds / nuclide.half_life_s - 1.0) > HALF_LIFE_PCT:
        return failed(
            f"The half-life (0018,1075) is {observed}; {nuclide.name} has {nuclide.half_life_s:,.5g} s.",
            observed=observed,
            expected=expected,
            next_step=step,
        )
    return passed(f"The half-life is that of {nuclide.name}.", observed=observed, expected=expected)


@rule(
    "INJ-03",
    title="Injected activity within the protocol",
    severity="query",
    source="the trial's protocol",
    attributes="(0018,1074) (0010,1030)",
    needs=(ONE_SERIES,),
    applies_to=PATIENT,
    speaks_for=("SUV-DOSE",),
)
def activity_is_right(inputs: Inputs) -> Answer | None:
    """The injected activity is within the protocol, for each kilogram and in all."""
    per_kg, in_all = inputs.limit("mbq_per_kg"), inputs.limit("injected_mbq")
    if per_kg is None and in_all is None:
        return None if inputs.protocol else no_protocol()
    dose_mbq, weight_kg = inputs.facts.dose_mbq, inputs.facts.PatientWeight
    expected = ", ".join(limit.expected for limit in (per_kg, in_all) if limit)
    if dose_mbq is None:
        return unknown(
            "The injected activity is missing (0018,1074).",
            observed="missing",
            expected=expected,
            next_step=_DOSE_STEP,
            owner=Owner.SITE,
        )
    step = "Check activity and weight. If both are right, give the reason."
    answers = []
    if in_all is not None:
        answers.append(judged(dose_mbq, in_all, "{} were injected (0018,1074)", next_step=step))
    if per_kg is not None:
        ratio = quantities.mbq_per_kg(inputs)
        if ratio is None:
            answers.append(
                unknown(
                    "Without the weight the activity for each kilogram cannot be told (0010,1030).",
                    observed=f"{dose_mbq:.0f} MBq",
                    expected=per_kg.expected,
                    next_step="Enter the weight from the scan day.",
                    owner=Owner.SITE,
                )
            )
        else:
            answers.append(
                judged(
                    ratio,
                    per_kg,
                    f"{dose_mbq:.0f} MBq for {weight_kg:g} kg is {{}} (0018,1074)",
                    decimals=1,
                    next_step=step,
                )
            )
    return worst_of(reversed(answers))


@rule(
    "INJ-04",
    title="Net activity is the site's",
    severity="query",
    source="EANM FDG guideline 2.0: what was drawn less what stayed in the syringe, both decayed to the injection",
    attributes="(0018,1074) (0009,xx38) (0009,xx39) (0009,xx3C) (0009,xx3D)",
    needs=(ONE_SERIES,),
    applies_to=PATIENT,
)
def net_activity_is_right(inputs: Inputs) -> Answer | None:
    """The headers' activity is what was drawn less what stayed in the syringe."""
    limit = inputs.limit("net_activity_difference_pct")
    if limit is None:
        return None if inputs.protocol else no_protocol()
    dose_mbq = inputs.facts.dose_mbq
    of_site, of_scanner = quantities.site_net_mbq(inputs), quantities.scanner_net_mbq(inputs)
    net_mbq, whose = (of_site, "the site's values") if of_site is not None else (of_scanner, "the scanner's own parts")
    if dose_mbq is None or not net_mbq or net_mbq < 0:
        return unknown(
            "The injected activity is missing (0018,1074)."
            if dose_mbq is None
            else f"The images say {dose_mbq:.1f} MBq (0018,1074); what was drawn and what stayed in the syringe, with "
            "their times, are not there to compare.",
            observed="missing" if dose_mbq is None else f"{dose_mbq:.1f} MBq",
            expected="activity, residual and both times",
            next_step="Enter activity and residual with their times from the scan day.",
            owner=Owner.SITE,
        )
    apart_pct = 100.0 * abs(dose_mbq / net_mbq - 1.0)
    return judged(
        apart_pct,
        limit,
        f"The images say {dose_mbq:.1f} MBq (0018,1074); by {whose} {net_mbq:.1f} MBq were injected: {{}} apart",
        decimals=1,
        next_step="Check activity, residual and their times against the record; tell us which is right.",
    )


@rule(
    INJECTION_TIME,
    title="Injection time is there and believable",
    severity="exclude",
    source="1 min of error is 0.63 % in SUV with F-18",
    attributes="(0018,1072) (0018,1078)",
    needs=(ONE_SERIES,),
    applies_to=PATIENT,
    speaks_for=("SUV-INJECTION-TIMES",),
)
def injection_time_is_right(inputs: Inputs) -> Answer:
    """There is an injection time; it is no placeholder, not the scan's, the same wherever it is written."""
    facts = inputs.facts
    clocks, written_at = facts.injection_clocks, quantities.site_injection_at(inputs)
    expected = "one time, before the scan"
    step = "Enter the time from the injection record, on the clock you used."
    if not clocks and written_at is None:
        return unknown(
            "There is no injection time (0018,1072) (0018,1078).",
            observed="missing",
            expected=expected,
            next_step=step,
            owner=Owner.SITE,
        )
    if not clocks:
        return warned(
            f"The images have no injection time (0018,1072); the site's {written_at:%H:%M} was taken.",
            observed=f"{written_at:%H:%M} by the site",
            expected=expected,
            next_step="Export with the injection data next time.",
        )
    observed = " and ".join(f"{clock:%H:%M:%S}" for clock in clocks)
    if time(0, 0) in clocks:
        return failed(
            "The injection time is 00:00:00, which is no time but a placeholder (0018,1072) (0018,1078).",
            observed=observed,
            expected=expected,
            next_step=step,
        )
    if facts.first_frame_at and _apart_s(clocks[-1], facts.first_frame_at.time()) <= SAME_TIME_S:
        return failed(
            "The injection has the time of the scan itself (0018,1072) (0008,0032).",
            observed=observed,
            expected=expected,
            next_step=step,
        )
    doubt = _doubt(inputs, clocks)
    if doubt:
        return warned(doubt, observed=observed, expected=expected, next_step="Tell us which time is right.")
    return passed(f"The injection was at {clocks[-1]:%H:%M:%S}.", observed=observed, expected=expected)


def _doubt(inputs: Inputs, clocks: tuple[time, ...]) -> str:
    """Say what makes a time doubtful that may be right; empty where nothing does."""
    if _apart_s(clocks[0], clocks[-1]) > SAME_TIME_S:
        return (
            f"Two injection times are written: {clocks[0]:%H:%M:%S} (0018,1072) and {clocks[-1]:%H:%M:%S} (0018,1078)."
        )
    syringe = inputs.facts.syringe
    if syringe and _apart_s(clocks[-1], syringe.assayed_at.time()) <= SAME_TIME_S:
        return "The injection has the time at which the syringe was measured (0018,1072) (0009,xx39)."
    written_at = quantities.site_injection_at(inputs)
    if written_at and _apart_s(clocks[-1], written_at.time()) > WRITTEN_TO_THE_MINUTE_S:
        return f"The images say {clocks[-1]:%H:%M:%S} (0018,1072), the site wrote {written_at:%H:%M}."
    return ""


def _apart_s(one: time, other: time) -> float:
    seconds = abs(_of_day_s(one) - _of_day_s(other))
    return min(seconds, 86_400.0 - seconds)


def _of_day_s(clock: time) -> float:
    return clock.hour * 3600.0 + clock.minute * 60.0 + clock.second + clock.microsecond / 1e6
