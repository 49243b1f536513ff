"""Where a scanner is not as the register said: noted by runs and edits, declared or explained by people."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from django.db import transaction
from django.utils import timezone

from corelab import access, audit
from corelab import services as registry
from corelab.errors import NotAllowed, Refused, StaleState
from corelab.models import ReconstructionProfile, Role, Scanner, User
from qc import selectors
from qc.models import Drift, Run, Submission

audit.catalogue(
    {
        "drift.open": "A scan, or a change of its entry, showed a scanner otherwise than the register did.",
        "drift.settle": "The register says by now what a scan had shown.",
        "drift.declare": "A change that a scan showed was declared: the register follows.",
        "drift.explain": "A difference between a scan and the register was explained: the register stays.",
    }
)

State = Drift.State
#: What the register keeps in a column of the scanner itself.
OF_SCANNER = frozenset({Drift.Attribute.SOFTWARE, Drift.Attribute.SERIAL, Drift.Attribute.MODEL})
MAY_DECLARE = frozenset({Role.TECHNICIAN, Role.PHYSICIST, Role.SITE_USER})
MAY_EXPLAIN = frozenset({Role.TECHNICIAN, Role.PHYSICIST})
MOST_VALUE = 200
#: Decimals of a reconstruction's columns.
_PLACES = {"filter_fwhm_mm": Decimal("0.1"), "pixel_mm": Decimal("0.0001"), "slice_mm": Decimal("0.0001")}


def drift_note(run: Run, submission: Submission) -> None:
    """Open one difference for each value of a finished run that the register does not have.

    It is called in the transaction that makes the run the current one. A value that is open already, or that was
    explained against the same entry, is not opened again; what the register has followed meanwhile is settled.
    """
    if submission.is_dry_run:
        return
    _settle(submission)
    for one in (run.result.get("conformance") or {}).get("drifts", []):
        attribute, registered = one["attribute"], one["registered"][:MOST_VALUE]
        value = {"scanner": submission.scanner, "attribute": attribute, "seen": one["seen"][:MOST_VALUE]}
        # A declared reconstruction stands in the register beside the old one, so there is nothing more to declare.
        answered = [State.EXPLAINED] if attribute in OF_SCANNER else [State.EXPLAINED, State.DECLARED]
        if Drift.objects.filter(**value, state__in=answered, registered=registered).exists():
            continue
        drift, is_new = Drift.objects.get_or_create(
            **value,
            state=State.OPEN,
            defaults={
                "registered": registered,
                "reconstruction": None if attribute in OF_SCANNER else submission.reconstruction,
                "submission": submission,
            },
        )
        if is_new:
            after = {"attribute": attribute, "registered": registered, "seen": drift.seen}
            audit.record("drift.open", drift, after=after)


def drift_note_edit(*, scanner: Scanner, before: Mapping[str, str], after: Mapping[str, str], **_: Any) -> None:
    """Open one difference for each change of a scanner that an administrator entered; it stands in their transaction.

    The register says already what is new. Whether the scanner has changed, or its entry was wrong, the site or staff
    say: declared it counts as a change of the scanner, explained it does not. What was not registered before is no
    change. Of several edits before anybody answered, one difference from the first value to the last stays.
    """
    for attribute in sorted(OF_SCANNER & before.keys()):
        rows = Drift.objects.filter(scanner=scanner, attribute=attribute, state=State.OPEN)
        edited = rows.filter(submission=None).first()
        registered, seen = edited.registered if edited else before[attribute], after[attribute]
        if edited:
            _close(edited, State.EXPLAINED, actor=None, reason="Its entry was changed again.")
            audit.record("drift.settle", edited, before={"state": State.OPEN}, after={"state": State.EXPLAINED})
        # What a scan has shown already is asked once.
        if not registered or registered == seen or rows.filter(seen=seen).exists():
            continue
        drift = Drift.objects.create(scanner=scanner, attribute=attribute, registered=registered, seen=seen)
        audit.record("drift.open", drift, after={"attribute": attribute, "registered": registered, "seen": seen})


def _settle(submission: Submission) -> None:
    shown = Drift.objects.filter(
        scanner=submission.scanner, state=State.OPEN, attribute__in=OF_SCANNER, submission__isnull=False
    )
    for drift in shown:
        if getattr(submission.scanner, drift.attribute) == drift.seen:
            reason = "The register says so by now."
            _close(drift, State.DECLARED, actor=None, reason=reason)
            audit.record("drift.settle", drift, before={"state": State.OPEN}, after={"state": State.DECLARED})


@transaction.atomic
def drift_declare(*, drift_id: int, actor: User, reason: str) -> Drift:
    """Declare that the scanner has changed: the register follows what the scan showed.

    Software, serial number and model are written into the scanner's entry. A reconstruction is added as a new one:
    the accredited one keeps its entry and its clearances, and the new one has none yet.

    Raises
    ------
    NotAllowed
        The actor is neither a site user there nor physicist or technician.
    Refused
        ``REASON-MISSING``; or the register does not take the value.
    NotFound, StaleState
        StaleState where somebody declared or explained it a moment before.
    """
    drift = _open(drift_id, actor, MAY_DECLARE, reason)
    words = reason.strip()
    _close(drift, State.DECLARED, actor=actor, reason=words)
    if drift.submission is None:
        evidence: dict[str, Any] = {"scanner": drift.scanner_id}
    elif drift.attribute in OF_SCANNER:
        registry.scanner_declare(actor=actor, scanner=drift.scanner, reason=words, **{drift.attribute: drift.seen})
        evidence = {"scanner": drift.scanner_id}
    else:
        evidence = {"reconstruction": _registered_reconstruction(drift, actor, words).pk}
    audit.record(
        "drift.declare", drift, before={"state": State.OPEN}, after={"state": State.DECLARED, **evidence}, reason=words
    )
    return drift


@transaction.atomic
def drift_explain(*, drift_id: int, actor: User, reason: str) -> Drift:
    """Say why the register is right all the same; the same value against the same entry is not raised again.

    Raises
    ------
    NotAllowed, NotFound, Refused, StaleState
        As in `drift_declare`; only a physicist or technician explains.
    """
    drift = _open(drift_id, actor, MAY_EXPLAIN, reason)
    words = reason.strip()
    _close(drift, State.EXPLAINED, actor=actor, reason=words)
    audit.record("drift.explain", drift, before={"state": State.OPEN}, after={"state": State.EXPLAINED}, reason=words)
    return drift


# --- the steps -------------------------------------------------------------------------------


def _open(drift_id: int, actor: User, roles: frozenset[Role], reason: str) -> Drift:
    drift = selectors.drift_for(actor, drift_id)
    if not access.roles_of(actor, drift.scanner.site) & roles:
        raise NotAllowed("Your role does not permit this. Ask the core lab.")
    if not reason.strip():
        raise Refused("Say why: this needs a reason.", code="REASON-MISSING")
    if drift.state != State.OPEN:
        raise StaleState(_was_faster(drift))
    return drift


def _close(drift: Drift, state: str, *, actor: User | None, reason: str) -> None:
    now = timezone.now()
    closed = {"state": state, "closed_at": now, "closed_by": actor, "reason": reason[:300]}
    if not Drift.objects.filter(pk=drift.pk, state=State.OPEN).update(**closed):
        drift.refresh_from_db()
        raise StaleState(_was_faster(drift))
    for name, value in closed.items():
        setattr(drift, name, value)


def _was_faster(drift: Drift) -> str:
    return f"{drift.closed_by or 'The program'} settled this already: {drift.reason}"


def _registered_reconstruction(drift: Drift, actor: User, reason: str) -> ReconstructionProfile:
    """Return the reconstruction that the scan showed, added to the register where it is not there yet."""
    run = drift.submission.current_run if drift.submission else None
    shown = ((run.result if run else {}).get("conformance") or {}).get("reconstruction") or {"method": drift.seen}
    fields = {name: _fitting(name, value) for name, value in shown.items() if value not in (None, "")}
    found = ReconstructionProfile.objects.filter(scanner=drift.scanner, **fields).first()
    if found is not None:
        return found
    name = " ".join(str(fields[key]) for key in ("method", "kernel") if key in fields)[:70] or drift.seen[:70]
    taken = set(drift.scanner.reconstructions.values_list("name", flat=True))
    free = next(one for one in (name, *(f"{name} ({n})" for n in range(2, len(taken) + 3))) if one not in taken)
    return registry.reconstruction_declare(actor=actor, scanner=drift.scanner, name=free, reason=reason, **fields)


def _fitting(name: str, value: Any) -> Any:
    """Return a value of the images as the register's column holds it."""
    if name in _PLACES:
        return Decimal(str(value)).quantize(_PLACES[name])
    most = {"method": 80, "kernel": 64}.get(name)
    return str(value)[:most] if most else value
