"""Submissions as the workers leave them, without waiting for workers: a run with numbers, pictures and a report."""

from __future__ import annotations

import datetime
from itertools import count
from typing import Any

from django.db import transaction
from django.utils import timezone

from corelab import storage
from corelab.models import Signature
from corelab.models.work import WorkState
from phantoms import standards
from qc.deviations import summary_of
from qc.models import Figure, Report, Review, Run, Submission
from qc.states import SubmissionState as S

PDF = b"%PDF-1.7 a report"
_numbers = count(5001)


def picture(words: str, *, wide: bool = False) -> bytes:
    """Return a small SVG that says what it stands for."""
    width, height = (490, 140) if wide else (235, 235)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}pt" height="{height}pt" '
        f'viewBox="0 0 {width} {height}"><rect width="{width}" height="{height}" fill="#FFFFFF"/>'
        f'<circle cx="{width / 2}" cy="{height / 2}" r="60" fill="#333333"/>'
        f'<text x="10" y="20" font-size="12">{words}</text></svg>'
    ).encode()


def _plain(name: str, value: float | None, unit: str, **more: Any) -> dict[str, Any]:
    given = {"name": name, "value": value, "unit": unit, "uncertainty": None, "flags": [], "limit_low": None}
    return given | {"limit_high": None, "standard": None, "verdict": "REPORT_ONLY", "source": ""} | more


def _judged(one: dict[str, Any], standard: str) -> dict[str, Any] | None:
    limit = standards.load(standard).limits.get(one["name"])
    if limit is None or (limit.low is None and limit.high is None):
        return None
    inside = one["value"] is not None and (limit.low is None or one["value"] >= limit.low)
    inside = inside and (limit.high is None or one["value"] <= limit.high)
    verdict = "REPORT_ONLY" if not limit.decides else "NOT_EVALUABLE" if one["value"] is None else "FAIL"
    if inside and limit.decides:
        verdict = "PASS"
    return one | {
        "standard": standard,
        "limit_low": limit.low,
        "limit_high": limit.high,
        "verdict": verdict,
        "source": limit.source,
    }


def _whole(method: str, plain: list[dict[str, Any]], **more: Any) -> dict[str, Any]:
    judged = [found for key in ("earl1_18f", "earl2_18f") for one in plain if (found := _judged(one, key)) is not None]
    decided = {one["verdict"] for one in judged if one["standard"] == "earl1_18f"}
    verdict = next((word for word in ("FAIL", "NOT_EVALUABLE", "WARN", "PASS") if word in decided), None)
    return {
        "method": method,
        "method_version": 1,
        "verdict": verdict,
        "input_digest": "sha256:" + "0a" * 32,
        "program": {"version": "0.1.0", "commit": "c" * 40, "libraries": {"numpy": "2.4", "python": "3.11"}},
        "series": [
            {
                "series_instance_uid": "1.2.3.4",
                "manufacturer": "Digital",
                "model": "Phantom 1",
                "slices": 110,
                "shape_zyx": [110, 168, 168],
                "spacing_zyx_mm": [2.0, 3.2, 3.2],
                "units": "BQML",
            }
        ],
        "suv": {
            "factor_g_per_bq": 2.429030e-4,
            "body_weight_factors": None,
            "reference_time": "2026-03-02T10:30:00",
            "administration_time": "2026-03-02T09:10:00",
            "decayed_activity_bq": 4.2e7,
            "candidates": [
                {"id": "R2", "time": "2026-03-02T10:30:00", "eligible": True, "used": True, "reason": "series time"}
            ],
            "trace": [
                {"attribute": "(0010,0010)", "value": "NOBODY^HIDDEN", "use": "never shown"},
                {"attribute": "(0018,1074)", "value": "70000000", "use": "injected activity, Bq"},
            ],
            "warnings": [],
            "refused": None,
        },
        "measurements": [*plain, *judged],
        "findings": [
            {
                "id": "PHA-POSE",
                "outcome": "PASS",
                "severity": "info",
                "observed": "",
                "expected": "",
                "message": "The phantom lies straight.",
                "next_step": "",
                "owner": "nobody",
                "source": "",
            }
        ],
        "refused": None,
        "ignored": [{"path": "/exports/HIDDEN_NOBODY.dcm", "reason": "not DICOM"}],
        "seconds": {"read": 0.1, "localise": 0.2, "measure": 0.3},
    } | more


def cylinder_result(bias_pct: float | None = -1.1) -> dict[str, Any]:
    """Return a cylinder's result; a bias beyond ten per cent fails, None cannot be checked."""
    flags = ["NO_SHEET"] if bias_pct is None else ["UNCERTAINTY_NOT_STATED"]
    return _whole(
        "cylinder",
        [
            _plain("cylinder_mean_bqml", 7_421.0, "Bq/mL"),
            _plain("cylinder_bias_pct", bias_pct, "%", flags=flags, uncertainty=None if bias_pct is None else 1.2),
            _plain("cylinder_slice_deviation_max_pct", 1.9, "%", uncertainty=0.4),
            _plain("cylinder_cov_pct", 5.1, "%"),
        ],
    )


def nema_result(scale: float = 1.0) -> dict[str, Any]:
    """Return an image-quality phantom's result; small spheres fall out of EARL 1 as ``scale`` goes down."""
    a50 = {37: 0.83, 28: 0.79, 22: 0.71, 17: 0.66, 13: 0.53, 10: 0.36}
    most = {37: 1.06, 28: 1.03, 22: 0.97, 17: 0.88, 13: 0.73, 10: 0.46}
    rows = [_plain(f"sphere_{d}mm_rc_a50", round(v * scale, 4), "1", uncertainty=0.012) for d, v in a50.items()]
    rows += [_plain(f"sphere_{d}mm_rc_max", round(v * scale, 4), "1", uncertainty=0.03) for d, v in most.items()]
    rows += [_plain(f"sphere_{d}mm_crc_a50", round((10 * v * scale - 1) / 9, 4), "1") for d, v in a50.items()]
    rows += [_plain("background_cov_pct", 7.2, "%"), _plain("activity_ratio", 9.9, "1")]
    return _whole("nema_iq", rows)


#: What the rules of a lymphoma trial say of a scan in order: id, severity, seen, expected, source, who acts.
RULES = (
    ("TIM-01", "exclude", "61 min", "55 to 75 min", "QIBA FDG-PET/CT 1.14, §3.2.1.1 (C2)", "site"),
    ("INJ-03", "query", "3.80 MBq/kg", "3.2 to 4.4 MBq/kg", "protocol 4 (ML)", "site"),
    ("PAT-01", "exclude", "72 kg in the images, 72 kg by the site", "at most 1 kg or 2 % apart", "protocol 4", "site"),
    ("PREP-01", "query", "5.6 mmol/L", "at most 11.1 mmol/L", "EANM 2.0 (C2)", "site"),
    ("REC-04", "exclude", "4 mm filter", "4 mm filter", "register", "site"),
    ("REC-08", "exclude", "PET-2026-0412 to 14 Jun 2027", "cleared on the scan day", "register", "core_lab"),
    ("ACQ-05", "info", "beds", "", "", "nobody"),
)
UPTAKE_MIN = 61.0


def patient_result(*, uptake_min: float | None = UPTAKE_MIN, **outcomes: str) -> dict[str, Any]:
    """Return a patient scan's result; ``TIM_01="FAIL"`` and the like make a rule raise something."""
    raised = {rule.replace("_", "-"): outcome for rule, outcome in outcomes.items()}
    findings = []
    for rule, severity, seen, expected, source, owner in RULES:
        outcome = raised.get(rule, "PASS")
        is_raised = outcome != "PASS"
        findings.append(
            {
                "id": rule,
                "outcome": outcome,
                "severity": severity,
                "observed": seen if rule != "TIM-01" or uptake_min is None else f"{uptake_min:g} min",
                "expected": expected,
                "message": f"What {rule} saw differs from the protocol." if is_raised else f"{rule} is in order.",
                "next_step": "Check both values, then give the reason." if is_raised else "",
                "owner": owner,
                "source": source,
            }
        )
    verdict = next((one for one in ("FAIL", "NOT_EVALUABLE", "WARN") if one in raised.values()), "PASS")
    clearance = None if "REC-08" in raised else {"certificate": "PET-2026-0412", "until": "2027-06-14"}
    values = {
        "uptake_min": uptake_min,
        "injected_mbq": 281.0,
        "net_injected_mbq": 273.6,
        "weight_kg": 72.0,
        "glucose_mmol_l": 5.6,
        "mbq_per_kg": 3.8,
        "coverage_mm": 1020.0,
        "scanned_on": "2026-03-02",
        "clearance": clearance,
    }
    plain = [_plain("suvbw_max", 14.2, "g/mL"), _plain("suvbw_mean", 0.42, "g/mL")]
    conformance = {"protocol": {"version": 4, "digest": "4" * 64}, "values": values}
    return _whole("patient", plain, findings=findings, verdict=verdict, conformance=conformance)


def measured(submission: Submission, result: dict[str, Any] | None = None, *, state: str = S.AWAITING_REVIEW) -> Run:
    """Give a submission a finished run with pictures and its unsigned report, and put it in a state."""
    result = result or cylinder_result()
    number = next(_numbers)
    now = timezone.now()
    run = Run.objects.create(
        number=number,
        submission=submission,
        method=result["method"],
        method_version=1,
        input_digest=result["input_digest"],
        parameters={"standards": [submission.standard], "sheet": None},
        parameters_digest=f"{number:064x}",
        program=result["program"],
        program_digest="b" * 64,
        result=result,
        result_digest="d" * 64,
        verdict=result["verdict"] or "NOT_EVALUABLE",
        headline=f"{ {'PASS': 'Pass', 'FAIL': 'Fail'}.get(result['verdict'], 'Could not check') } – as measured",
        work_state=WorkState.DONE,
        finished_at=now,
        attempts=1,
    )
    with transaction.atomic():
        for name in ("central_slice", "coronal", "slice_profile", "recovery_a50"):
            stored = storage.put_once([picture(name, wide=name == "slice_profile")]).stored
            Figure.objects.create(run=run, name=name, alt=f"Plane {name}", caption=f"Look at {name}", stored=stored)
        stored = storage.put_once([PDF]).stored
        Report.objects.create(run=run, stored=stored, work_state=WorkState.DONE)
    Submission.objects.filter(pk=submission.pk).update(
        state=state,
        current_run=run,
        proposed_verdict=run.verdict,
        headline=run.headline,
        **summary_of(result),
        sent_at=now,
        sent_by=submission.created_by,
        due_on=(now + datetime.timedelta(days=14)).date(),
        scanned_at=datetime.datetime(2026, 3, 2, 10, 30, tzinfo=datetime.UTC),
    )
    submission.refresh_from_db()
    return run


def signed(submission: Submission, physicist: Any, result: dict[str, Any] | None = None, **words: str) -> Review:
    """Give a submission a run, a signed review and the signed report, released to its site."""
    run = measured(submission, result, state=S.RELEASED)
    now = timezone.now()
    signature = Signature.objects.create(
        user=physicist,
        printed_name=physicist.name,
        role="Physicist",
        meaning="review",
        statement=f"I have reviewed run {run}.",
        method="password",
        signed_at=now,
        digest="e" * 64,
        object_type="qc.run",
        object_id=str(run.pk),
    )
    review = Review.objects.create(
        run=run,
        proposed_verdict=run.verdict,
        verdict=words.pop("verdict", run.verdict),
        signature=signature,
        **words,
    )
    with transaction.atomic():
        stored = storage.put_once([PDF + b", signed"]).stored
    Report.objects.create(run=run, review=review, stored=stored, work_state=WorkState.DONE)
    Submission.objects.filter(pk=submission.pk).update(verdict=review.verdict, reviewer=physicist, released_at=now)
    submission.refresh_from_db()
    return review
