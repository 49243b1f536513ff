"""Writes to the register: sites, scanners, reconstructions, dose calibrators, trials.

Administrators keep it; what a scan showed to have changed at a scanner is declared by its site or by staff.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from datetime import date
from decimal import Decimal
from typing import Any

from django.core.exceptions import ValidationError
from django.db import models, transaction

from corelab import access, audit
from corelab.errors import NotAllowed, Refused, StaleState
from corelab.models import DoseCalibrator, ReconstructionProfile, Role, Scanner, Site, Trial, User
from corelab.signals import scanner_edited

audit.catalogue(
    {
        "site.add": "A site was added to the register.",
        "site.edit": "A site's entry in the register was changed.",
        "scanner.add": "A scanner was added to the register.",
        "scanner.edit": "A scanner's entry in the register was changed.",
        "reconstruction.add": "A reconstruction of a scanner was added to the register.",
        "reconstruction.edit": "A reconstruction's entry in the register was changed.",
        "scanner.declare": "A change of a scanner was declared, and its entry in the register follows.",
        "reconstruction.declare": "A reconstruction that a scan showed was declared, and stands in the register.",
        "calibrator.add": "A dose calibrator was added to the register.",
        "calibrator.edit": "A dose calibrator's entry in the register was changed.",
        "trial.add": "A trial was added to the register.",
        "trial.edit": "A trial's entry in the register, or the sites that take part, were changed.",
    }
)

SITE_FIELDS = ("code", "name", "city", "country", "time_zone", "is_active")
SCANNER_FIELDS = ("manufacturer", "model", "serial", "software", "is_active")
RECONSTRUCTION_FIELDS = ("name", "method", "kernel", "filter_fwhm_mm", "matrix", "pixel_mm", "slice_mm", "is_active")
#: What tells a reconstruction from others in the headers of its images.
FINGERPRINT_FIELDS = frozenset(RECONSTRUCTION_FIELDS) - {"name", "is_active"}
CALIBRATOR_FIELDS = ("manufacturer", "model", "serial", "is_active")
TRIAL_FIELDS = ("code", "title", "ends_on", "is_active")
#: What a declared change may say of a scanner.
DECLARED_FIELDS = ("model", "serial", "software")
DECLARERS = frozenset({Role.ADMINISTRATOR, Role.TECHNICIAN, Role.PHYSICIST, Role.SITE_USER})
FIELDS: Mapping[type[models.Model], tuple[str, ...]] = {
    Site: SITE_FIELDS,
    Scanner: SCANNER_FIELDS,
    ReconstructionProfile: RECONSTRUCTION_FIELDS,
    DoseCalibrator: CALIBRATOR_FIELDS,
    Trial: TRIAL_FIELDS,
}


def _require_administrator(actor: User) -> None:
    if not access.is_administrator(actor):
        raise NotAllowed("Only an administrator keeps the register.")


def _require_declarer(actor: User, scanner: Scanner) -> None:
    if not access.roles_of(actor, scanner.site) & DECLARERS:
        raise NotAllowed("Only its site and the core lab declare a change of a scanner.")


def _values(row: models.Model) -> dict[str, Any]:
    values = {name: getattr(row, name) for name in FIELDS[type(row)]}
    plain = {name: str(value) if isinstance(value, Decimal | date) else value for name, value in values.items()}
    if isinstance(row, Trial):
        plain["sites"] = sorted(row.sites.values_list("code", flat=True)) if row.pk else []
    return plain


def seen_of(row: models.Model) -> str:
    """Return a short digest of a row's values: a form carries it, so that two people at once are noticed."""
    return hashlib.sha256(json.dumps(_values(row), sort_keys=True).encode()).hexdigest()[:16]


def _site_id(row: models.Model) -> int | None:
    if isinstance(row, Site):
        return row.pk
    return row.scanner.site_id if isinstance(row, ReconstructionProfile) else getattr(row, "site_id", None)


def _clean(row: models.Model) -> None:
    try:
        row.full_clean()
    except ValidationError as error:
        raise Refused("; ".join(error.messages), code="REGISTER-VALUES") from error


def _add(action: str, row: models.Model, *, sites: Iterable[Site] = (), reason: str = "") -> None:
    _clean(row)
    row.save()
    if isinstance(row, Trial):
        row.sites.set(sites)
    audit.record(action, row, after=_values(row), reason=reason, site_id=_site_id(row))


def _edit(
    action: str,
    row: models.Model,
    *,
    seen: str,
    reason: str,
    fields: Mapping[str, Any],
    sites: Iterable[Site] | None = None,
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Change a row and record it; return what it said before and says now, of what changed."""
    # The row is locked before it is compared: the caller's object may be old.
    current = type(row)._default_manager.select_for_update().get(pk=row.pk)
    before = _values(current)
    if seen and seen != seen_of(current):
        raise StaleState("Someone else changed this meanwhile. Nothing you wrote is lost: compare, then save again.")
    for name, value in fields.items():
        setattr(current, name, value)
    _clean(current)
    current.save()
    if isinstance(current, Trial) and sites is not None:
        current.sites.set(sites)
    row.refresh_from_db()
    after = _values(current)
    changed = [name for name in after if after[name] != before[name]]
    was, now = {name: before[name] for name in changed}, {name: after[name] for name in changed}
    if changed:
        audit.record(action, current, before=was, after=now, reason=reason, site_id=_site_id(current))
    return was, now


@transaction.atomic
def site_add(
    *, actor: User, code: str, name: str, city: str = "", country: str = "", time_zone: str = "Europe/London"
) -> Site:
    """Add a site.

    Raises
    ------
    NotAllowed
        The actor is no administrator.
    Refused
        A value is not fit, or the code is taken.
    """
    site = Site(code=code, name=name, city=city, country=country, time_zone=time_zone)
    _require_administrator(actor)
    _add("site.add", site)
    return site


@transaction.atomic
def site_edit(*, actor: User, site: Site, seen: str = "", reason: str = "", **fields: Any) -> Site:
    """Change a site's entry; ``seen`` is `seen_of` the row that the change was made from."""
    _require_administrator(actor)
    _edit("site.edit", site, seen=seen, reason=reason, fields=_known(fields, SITE_FIELDS))
    return site


@transaction.atomic
def scanner_add(*, actor: User, site: Site, manufacturer: str, model: str, serial: str, software: str = "") -> Scanner:
    """Add a scanner to a site; the same serial number of the same maker twice is refused."""
    scanner = Scanner(site=site, manufacturer=manufacturer, model=model, serial=serial, software=software)
    _require_administrator(actor)
    _add("scanner.add", scanner)
    return scanner


@transaction.atomic
def scanner_edit(*, actor: User, scanner: Scanner, seen: str = "", reason: str = "", **fields: Any) -> Scanner:
    """Change a scanner's entry; whoever judges what its certificates rest on is told in the same transaction."""
    _require_administrator(actor)
    was, now = _edit("scanner.edit", scanner, seen=seen, reason=reason, fields=_known(fields, SCANNER_FIELDS))
    if now:
        scanner_edited.send(Scanner, scanner=scanner, before=was, after=now)
    return scanner


@transaction.atomic
def reconstruction_add(*, actor: User, scanner: Scanner, name: str, **fields: Any) -> ReconstructionProfile:
    """Add a reconstruction to a scanner.

    Fields: ``method kernel filter_fwhm_mm matrix pixel_mm slice_mm``.
    """
    row = ReconstructionProfile(scanner=scanner, name=name, **_known(fields, RECONSTRUCTION_FIELDS))
    _require_administrator(actor)
    _add("reconstruction.add", row)
    return row


@transaction.atomic
def reconstruction_edit(
    *, actor: User, reconstruction: ReconstructionProfile, seen: str = "", reason: str = "", **fields: Any
) -> ReconstructionProfile:
    """Change a reconstruction's entry.

    Raises
    ------
    Refused
        ``REGISTER-CLEARED``: a clearance was given for what its images say, and this would change it. Another way to
        reconstruct is another entry, which has no clearance yet.
    """
    known = _known(fields, RECONSTRUCTION_FIELDS)
    _require_administrator(actor)
    _, now = _edit("reconstruction.edit", reconstruction, seen=seen, reason=reason, fields=known)
    if now.keys() & FINGERPRINT_FIELDS and reconstruction.clearances.exists():
        raise Refused(
            "A clearance was given for this reconstruction as it stands. Add the changed one as a new entry, which is "
            "accredited by itself, and take this one out of use when nobody scans with it any more.",
            code="REGISTER-CLEARED",
        )
    return reconstruction


@transaction.atomic
def scanner_declare(*, actor: User, scanner: Scanner, reason: str, **fields: Any) -> Scanner:
    """Let a scanner's entry follow what a scan showed: ``model serial software``, by its site or by staff.

    Raises
    ------
    NotAllowed
        The actor is neither a site user there nor staff of the lab.
    Refused
        A value is not fit, or the serial number is another scanner's.
    """
    _require_declarer(actor, scanner)
    known = _known(fields, DECLARED_FIELDS)
    _edit("scanner.declare", scanner, seen="", reason=reason, fields=known)
    return scanner


@transaction.atomic
def reconstruction_declare(
    *, actor: User, scanner: Scanner, name: str, reason: str, **fields: Any
) -> ReconstructionProfile:
    """Add a reconstruction that a scan showed, by the scanner's site or by staff; no clearance is given for it."""
    _require_declarer(actor, scanner)
    row = ReconstructionProfile(scanner=scanner, name=name, **_known(fields, RECONSTRUCTION_FIELDS))
    _add("reconstruction.declare", row, reason=reason)
    return row


@transaction.atomic
def calibrator_add(*, actor: User, site: Site, manufacturer: str, model: str, serial: str) -> DoseCalibrator:
    """Add a dose calibrator to a site."""
    calibrator = DoseCalibrator(site=site, manufacturer=manufacturer, model=model, serial=serial)
    _require_administrator(actor)
    _add("calibrator.add", calibrator)
    return calibrator


@transaction.atomic
def calibrator_edit(
    *, actor: User, calibrator: DoseCalibrator, seen: str = "", reason: str = "", **fields: Any
) -> DoseCalibrator:
    """Change a dose calibrator's entry."""
    known = _known(fields, CALIBRATOR_FIELDS)
    _require_administrator(actor)
    _edit("calibrator.edit", calibrator, seen=seen, reason=reason, fields=known)
    return calibrator


@transaction.atomic
def trial_add(*, actor: User, code: str, title: str, ends_on: date | None = None, sites: Iterable[Site] = ()) -> Trial:
    """Add a trial and the sites that take part."""
    trial = Trial(code=code, title=title, ends_on=ends_on)
    _require_administrator(actor)
    _add("trial.add", trial, sites=sites)
    return trial


@transaction.atomic
def trial_edit(
    *,
    actor: User,
    trial: Trial,
    seen: str = "",
    reason: str = "",
    sites: Iterable[Site] | None = None,
    **fields: Any,
) -> Trial:
    """Change a trial's entry; ``sites=None`` leaves the sites as they are."""
    known = _known(fields, TRIAL_FIELDS)
    _require_administrator(actor)
    _edit("trial.edit", trial, seen=seen, reason=reason, fields=known, sites=sites)
    return trial


def _known(fields: Mapping[str, Any], names: tuple[str, ...]) -> Mapping[str, Any]:
    unknown = sorted(set(fields) - set(names))
    if unknown:
        msg = f"no such field to change: {', '.join(unknown)}"
        raise TypeError(msg)
    return fields
